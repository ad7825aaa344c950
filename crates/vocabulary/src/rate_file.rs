//! Reads files of exchange rates: the European Central Bank's reference rates as it publishes them, and our own
//! `date,currency,rate`. The first line tells which it is.
//!
//! The ECB's files are `eurofxref-hist.csv` (all days since 1999, `2026-11-27,1.1586,...`, `N/A` where a currency had
//! no rate) and `eurofxref.csv` (the last day, `27 November 2026, 1.1586, ...`); both end their lines with a comma. They
//! say what one euro buys. For another base currency every rate is divided by that currency's rate of the same day.
//!
//! A file is taken whole or not at all: rates that are half new would convert some orders of a day and not others.

use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::Date;

use crate::money::Currency;
use crate::rates::{Rate, RateSource, Rates, Ratio};

/// The largest file that is read. The ECB's has about 2 MB after 27 years.
pub const BYTES_MAX: usize = 64 << 20;

/// So many faults are told at once; a file with more is of another kind, and more lines would not help.
pub const FAULTS_MAX: usize = 10;

/// The currency that the ECB's rates are for one unit of.
const ECB_BASE: &str = "EUR";
/// The header of our own files, which may be left out.
const OWN_HEADER: [&str; 3] = ["date", "currency", "rate"];
const FORMS: &str = "expected `date,currency,rate` with lines such as `2026-01-02,USD,1.0842`, or a file of the ECB, which begins with \
                     `Date,USD,JPY,`";

/// What is wrong with one place of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateFault {
    /// The line, from 1.
    pub line: usize,
    /// The column of the table, from 1; 0 when it is the line as a whole.
    pub column: usize,
    /// Why, and what to write instead.
    pub reason: String,
}

impl fmt::Display for RateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, reason } = self;
        match column {
            0 => write!(f, "line {line}: {reason}"),
            _ => write!(f, "line {line}, column {column}: {reason}"),
        }
    }
}

/// Why a file is not taken: the first faults, in the order of lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct RateFileError {
    /// At most [`FAULTS_MAX`].
    pub faults: Vec<RateFault>,
    /// How many there are beside those.
    pub more: usize,
}

impl fmt::Display for RateFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            write!(f, "{}{fault}", if index == 0 { "" } else { "\n" })?;
        }
        if self.more > 0 {
            write!(f, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}

/// Reads a file's text into rates to `base`.
///
/// A currency the ECB publishes and ISO 4217 no longer lists, such as the kuna, is passed over: no amount can be in it.
///
/// # Errors
/// [`RateFileError`]: every place that is wrong.
pub fn read(text: &str, base: Currency) -> Result<Rates, RateFileError> {
    let mut faults = Faults::default();
    let rates = read_into(text, base, &mut faults);
    match rates {
        Some(rates) if faults.faults.is_empty() => Ok(rates),
        _ => Err(RateFileError { faults: faults.faults, more: faults.more }),
    }
}

#[derive(Default)]
struct Faults {
    faults: Vec<RateFault>,
    more: usize,
}

impl Faults {
    fn add(&mut self, line: usize, column: usize, reason: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(RateFault { line, column, reason: reason.into() });
        } else {
            self.more += 1;
        }
    }
}

/// A line that is not blank: its number and its fields.
type Row<'a> = (usize, Vec<&'a str>);

fn read_into(text: &str, base: Currency, faults: &mut Faults) -> Option<Rates> {
    if text.len() > BYTES_MAX {
        faults.add(1, 0, format!("the file has {} bytes; the limit is {BYTES_MAX}; leave old rates out", text.len()));
        return None;
    }
    let text = text.trim_start_matches('\u{feff}');
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let mut rows = lines.map(|(index, line)| (index + 1, fields(line))).peekable();
    let Some((line, header)) = rows.peek() else {
        faults.add(1, 0, format!("the file is empty; {FORMS}"));
        return None;
    };
    let line = *line;
    let rates = if is_own_header(header) {
        own(rows.skip(1), base, faults)
    } else if header[0].parse::<Date>().is_ok() {
        own(rows, base, faults)
    } else if header[0].eq_ignore_ascii_case("date") {
        let columns = ecb_columns(line, header, base, faults)?;
        ecb(rows.skip(1), &columns, base, faults)
    } else if header[0].starts_with('<') {
        faults.add(line, 0, "this is XML; take the ECB's CSV instead: eurofxref.csv or eurofxref-hist.csv");
        return None;
    } else {
        faults.add(line, 1, format!("`{}` does not begin a file of rates; {FORMS}", clip(header[0])));
        return None;
    };
    if rates.is_empty() && faults.faults.is_empty() {
        faults.add(line, 0, format!("no line has a rate to {base}; {FORMS}"));
    }
    Some(rates)
}

/// The fields of a line, without the blanks and quotes around them.
fn fields(line: &str) -> Vec<&str> {
    line.split(',').map(|field| field.trim().trim_matches('"')).collect()
}

/// The fields without those that are empty at the end, which the ECB's closing comma and some spreadsheets make.
fn without_tail<'a, 'b>(fields: &'b [&'a str]) -> &'b [&'a str] {
    let kept = fields.iter().rposition(|field| !field.is_empty()).map_or(0, |last| last + 1);
    &fields[..kept]
}

fn is_own_header(header: &[&str]) -> bool {
    let header = without_tail(header);
    header.len() == OWN_HEADER.len() && header.iter().zip(OWN_HEADER).all(|(field, name)| field.eq_ignore_ascii_case(name))
}

fn own<'a>(rows: impl Iterator<Item = Row<'a>>, base: Currency, faults: &mut Faults) -> Rates {
    let mut rates = Rates::new(base);
    let mut seen: BTreeMap<(Currency, Date), (usize, Ratio)> = BTreeMap::new();
    for (line, fields) in rows {
        let [date, code, rate] = without_tail(&fields) else {
            let count = without_tail(&fields).len();
            faults.add(line, 0, format!("has {count} columns; expected `date,currency,rate`, such as `2026-01-02,USD,1.0842`"));
            continue;
        };
        let Ok(date) = date.parse::<Date>() else {
            faults.add(line, 1, format!("`{}` is no date; write year, month and day, such as 2026-01-02", clip(date)));
            continue;
        };
        let read = Currency::new(code).map_err(|error| (2, error));
        let read = read.and_then(|currency| Ok((currency, Ratio::parse(rate).map_err(|error| (3, error))?)));
        let read = read.and_then(|(currency, ratio)| {
            let put = rates.put(Rate { date, currency, ratio, source: RateSource::Own });
            put.map(|()| (currency, ratio)).map_err(|error| (3, error))
        });
        match read {
            Err((column, error)) => faults.add(line, column, clip(&error.to_string())),
            Ok((currency, ratio)) => match seen.insert((currency, date), (line, ratio)) {
                Some((earlier, other)) if other != ratio => {
                    faults.add(line, 3, format!("line {earlier} says {other} for {currency} on {date}; keep one of the two"));
                }
                _ => {}
            },
        }
    }
    rates
}

/// The currency of each column behind the date; `None` where ISO 4217 no longer lists it. No columns without the base.
fn ecb_columns(line: usize, header: &[&str], base: Currency, faults: &mut Faults) -> Option<Vec<Option<Currency>>> {
    let names = &without_tail(header)[1..];
    for (index, name) in names.iter().enumerate() {
        if name.len() != 3 || !name.bytes().all(|byte| byte.is_ascii_uppercase()) {
            faults.add(line, index + 2, format!("`{}` is no currency code; {FORMS}", clip(name)));
        } else if *name == ECB_BASE {
            faults.add(line, index + 2, "the ECB's rates are for one EUR, so that EUR has no column; take it out");
        } else if names[..index].contains(name) {
            faults.add(line, index + 2, format!("{name} has two columns; take one out"));
        }
    }
    if base.as_str() != ECB_BASE && !names.contains(&base.as_str()) {
        let reason = format!(
            "there is no column of {base}, the base currency, so that nothing can be converted to it; give rates to {base} as \
             `date,currency,rate`"
        );
        faults.add(line, 0, reason);
    }
    faults.faults.is_empty().then(|| names.iter().map(|name| Currency::new(name).ok()).collect())
}

fn ecb<'a>(rows: impl Iterator<Item = Row<'a>>, columns: &[Option<Currency>], base: Currency, faults: &mut Faults) -> Rates {
    let mut rates = Rates::new(base);
    let mut seen: BTreeMap<Date, usize> = BTreeMap::new();
    for (line, fields) in rows {
        let Some(date) = ecb_date(fields[0]) else {
            let reason = format!("`{}` is no date; write 2026-11-27 or 27 November 2026", clip(fields[0]));
            faults.add(line, 1, reason);
            continue;
        };
        if let Some(earlier) = seen.insert(date, line) {
            faults.add(line, 1, format!("line {earlier} has the rates of {date} already; keep one of the two"));
            continue;
        }
        let (count, expected) = (fields.len() - 1, columns.len());
        if count < expected || without_tail(&fields).len() - 1 > expected {
            let reason = format!("has {count} rates, but the first line names {expected} currencies; fetch the file again");
            faults.add(line, 0, reason);
            continue;
        }
        for (currency, ratio, column) in day(line, &fields[1..], columns, base, faults) {
            if let Err(error) = rates.put(Rate { date, currency, ratio, source: RateSource::Ecb }) {
                faults.add(line, column, error.to_string());
            }
        }
    }
    rates
}

/// The rates of one day to `base`, each with its column; none on a day on which the base currency itself has none.
fn day(
    line: usize,
    fields: &[&str],
    columns: &[Option<Currency>],
    base: Currency,
    faults: &mut Faults,
) -> Vec<(Currency, Ratio, usize)> {
    let mut per_euro = Vec::new();
    for (index, (field, currency)) in fields.iter().zip(columns).enumerate() {
        let Some(currency) = currency else { continue };
        if matches!(*field, "N/A" | "") {
            continue;
        }
        match Ratio::parse(field) {
            Ok(ratio) => per_euro.push((*currency, ratio, index + 2)),
            Err(error) => {
                faults.add(line, index + 2, format!("{currency}: {}; write N/A where there is none", clip(&error.to_string())))
            }
        }
    }
    if base.as_str() == ECB_BASE {
        return per_euro;
    }
    let Some(&(_, of_base, base_column)) = per_euro.iter().find(|(currency, ..)| *currency == base) else { return Vec::new() };
    let one = Ratio::new(1, 1);
    let euro = Currency::new(ECB_BASE).ok().zip(one).map(|(euro, one)| (euro, one, base_column));
    let mut crossed = Vec::new();
    for (currency, ratio, column) in per_euro.into_iter().chain(euro) {
        match ratio.over(of_base) {
            Some(ratio) => crossed.push((currency, ratio, column)),
            None => {
                faults.add(line, column, format!("{currency}: has too many digits to be divided by the rate of {base}; round it"))
            }
        }
    }
    crossed
}

/// `2026-11-27` as in the ECB's history, or `27 November 2026` as in its daily file.
fn ecb_date(text: &str) -> Option<Date> {
    text.parse().or_else(|_| Date::strptime("%d %B %Y", text)).ok()
}

/// Cuts what stands in the file to a length that a message can repeat.
fn clip(text: &str) -> String {
    const CHARS_MAX: usize = 160;
    match text.char_indices().nth(CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
#[path = "rate_file_tests.rs"]
mod tests;
