//! Times as files write them. What a number or a time without an offset means is told by options, never guessed.

use anyhow::{Context as _, bail};
use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// Day 0 of Excel: with it, days count right from March 1900 on.
const EXCEL_START: Date = jiff::civil::date(1899, 12, 30);

/// Excel knows no day after the year 9999.
const EXCEL_DAYS_MAX: f64 = 2_958_466.0;

const MILLIS_PER_DAY: f64 = 86_400_000.0;

/// How times are written.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Format {
    /// RFC 3339, and with a time zone also times without an offset.
    Iso,
    UnixSeconds,
    UnixMillis,
    /// Days since the end of 1899.
    Excel,
    /// As `strptime` reads them.
    Pattern(String),
}

/// Reads the times of one file.
#[derive(Debug, Clone)]
pub(crate) struct Times {
    format: Format,
    zone: Option<(String, TimeZone)>,
}

/// A time, and whether the clocks of its zone showed it twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) time: Timestamp,
    pub(crate) twice: bool,
}

impl Times {
    /// Checks what was said about times.
    pub(crate) fn new(format: Option<&str>, zone: Option<&str>) -> anyhow::Result<Self> {
        let format = match format.unwrap_or("rfc3339") {
            "rfc3339" => Format::Iso,
            "unix-seconds" => Format::UnixSeconds,
            "unix-millis" => Format::UnixMillis,
            "excel" => Format::Excel,
            pattern if pattern.contains('%') => Format::Pattern(pattern.to_owned()),
            other => bail!(
                "time_format `{other}` is none of rfc3339, unix-seconds, unix-millis, excel; or write a pattern such as '%d.%m.%Y %H:%M:%S'"
            ),
        };
        let find = |name: &str| {
            TimeZone::get(name).map(|zone| (name.to_owned(), zone)).with_context(|| {
                format!("time_zone `{name}` is no IANA time zone; write one such as Europe/Berlin, Asia/Shanghai or UTC")
            })
        };
        let zone = zone.map(find).transpose()?;
        if format == Format::Excel && zone.is_none() {
            bail!("a workbook knows no time zone; say which its times are in with --time-zone, such as Europe/Berlin or UTC");
        }
        Ok(Self { format, zone })
    }

    /// Reads one time.
    pub(crate) fn read(&self, text: &str) -> Result<Read, String> {
        let text = text.trim();
        match &self.format {
            Format::Iso => self.iso(text),
            Format::UnixSeconds => unix(text, 1_000_000_000).map(once),
            Format::UnixMillis => unix(text, 1_000_000).map(once),
            Format::Excel => self.in_zone(excel(text)?, text),
            Format::Pattern(pattern) => self.pattern(pattern, text),
        }
    }

    fn iso(&self, text: &str) -> Result<Read, String> {
        if is_number(text) {
            return Err(format!(
                "`{text}` is a number; say what it counts with --time-format unix-seconds, unix-millis or excel"
            ));
        }
        if let Ok(time) = text.parse() {
            return Ok(once(time));
        }
        match text.parse::<DateTime>() {
            Ok(time) => self.in_zone(time, text),
            Err(_) => {
                Err(format!("`{text}` is no time in RFC 3339, such as 2026-03-01T09:30:00Z; for other forms see --time-format"))
            }
        }
    }

    fn pattern(&self, pattern: &str, text: &str) -> Result<Read, String> {
        let parts = strtime::parse(pattern, text).map_err(|error| format!("`{text}` is not written as `{pattern}`: {error}"))?;
        if let Ok(time) = parts.to_timestamp() {
            return Ok(once(time));
        }
        let time = parts.to_datetime().map_err(|error| format!("`{text}` read as `{pattern}` is no whole time: {error}"))?;
        self.in_zone(time, text)
    }

    /// The moment at which clocks showed this time. The first of two, where they were set back; none, where they were
    /// set forward over it, because nobody's clock showed such a time and so the zone is probably wrong.
    fn in_zone(&self, time: DateTime, text: &str) -> Result<Read, String> {
        let Some((name, zone)) = &self.zone else {
            return Err(format!(
                "`{text}` has no offset from UTC; say which zone it is in with --time-zone, such as Europe/Berlin"
            ));
        };
        let ambiguous = zone.to_ambiguous_timestamp(time);
        let twice = match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { .. } => false,
            AmbiguousOffset::Fold { .. } => true,
            AmbiguousOffset::Gap { .. } => {
                return Err(format!("`{text}` does not exist in {name}: clocks were set forward over it; is the zone right?"));
            }
        };
        let time = ambiguous.earlier().map_err(|error| format!("`{text}` is out of range: {error}"))?;
        Ok(Read { time, twice })
    }
}

fn once(time: Timestamp) -> Read {
    Read { time, twice: false }
}

fn is_number(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit()) && text.bytes().all(|byte| byte.is_ascii_digit() || b".,+-".contains(&byte))
        // `2026-03-01` is made of the same characters and is a date.
        && !text.trim_start_matches(['+', '-']).contains('-')
}

/// A count of units of so many nanoseconds since 1970, exactly.
fn unix(text: &str, nanos: i128) -> Result<Timestamp, String> {
    let bad = || format!("`{text}` is no number of {} since 1970", if nanos == 1_000_000 { "milliseconds" } else { "seconds" });
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if digits.is_empty() || !are_digits(digits) || !are_digits(fraction) {
        return Err(bad());
    }
    // Nine decimals of a second are nanoseconds; what is finer is cut.
    let padded = format!("{fraction:0<9.9}");
    let whole: i128 = whole.parse().map_err(|_| bad())?;
    let part = padded.parse::<i128>().map_err(|_| bad())? * nanos / 1_000_000_000;
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let total = whole.checked_mul(nanos).map(|total| total + sign * part).ok_or_else(bad)?;
    Timestamp::from_nanosecond(total).map_err(|_| format!("{}; it lies outside the years that exist: is the unit right?", bad()))
}

fn excel(text: &str) -> Result<DateTime, String> {
    let days: f64 =
        text.replace(',', ".").parse().map_err(|_| format!("`{text}` is no serial date of Excel, such as 46027.5"))?;
    if !(0.0..EXCEL_DAYS_MAX).contains(&days) {
        return Err(format!("`{text}` is no serial date of Excel: it lies outside the years 1900 to 9999"));
    }
    // Excel holds milliseconds; what a day's fraction has beyond them is rounding.
    let millis = (days * MILLIS_PER_DAY).round() as i64;
    let time = EXCEL_START.to_datetime(jiff::civil::Time::midnight()).checked_add(SignedDuration::from_millis(millis));
    time.map_err(|error| format!("`{text}` is out of range: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: Option<&str>, zone: Option<&str>, text: &str) -> Result<Read, String> {
        Times::new(format, zone).unwrap().read(text)
    }

    fn check(format: &str, zone: Option<&str>, text: &str, expect: &str) {
        assert_eq!(read(Some(format), zone, text), Ok(once(expect.parse().unwrap())), "{format} {zone:?} {text}");
    }

    fn refused(format: &str, zone: Option<&str>, text: &str, why: &str) {
        let error = read(Some(format), zone, text).unwrap_err();
        assert!(error.contains(why), "{format} {zone:?} {text}: {error}");
    }

    const BERLIN: Option<&str> = Some("Europe/Berlin");

    #[test]
    fn times_with_an_offset_keep_it() {
        check("rfc3339", None, "2026-03-01T09:30:00Z", "2026-03-01T09:30:00Z");
        check("rfc3339", BERLIN, "2026-03-01 09:30:00.5+02:00", "2026-03-01T07:30:00.5Z");
        check("%d/%b/%Y:%H:%M:%S %z", None, "01/Mar/2026:09:30:00 +0100", "2026-03-01T08:30:00Z");
    }

    #[test]
    fn times_without_an_offset_are_read_in_the_zone() {
        check("rfc3339", BERLIN, "2026-01-05 10:00:00", "2026-01-05T09:00:00Z");
        check("rfc3339", BERLIN, "2026-07-05T10:00", "2026-07-05T08:00:00Z");
        check("rfc3339", BERLIN, "2026-07-05", "2026-07-04T22:00:00Z");
        check("%d.%m.%Y %H:%M", BERLIN, "05.01.2026 10:00", "2026-01-05T09:00:00Z");
        check("%d.%m.%Y", BERLIN, "05.01.2026", "2026-01-04T23:00:00Z");
        refused("rfc3339", None, "2026-01-05 10:00:00", "--time-zone");
        refused("%d.%m.%Y %H:%M", None, "05.01.2026 10:00", "--time-zone");
        refused("%d.%m.%Y %H:%M", BERLIN, "2026-01-05", "is not written as");
    }

    #[test]
    fn a_time_that_clocks_showed_twice_is_the_first_and_one_they_skipped_is_refused() {
        let fold = read(None, BERLIN, "2026-10-25 02:30:00").unwrap();
        assert_eq!(fold, Read { time: "2026-10-25T00:30:00Z".parse().unwrap(), twice: true });
        check("rfc3339", BERLIN, "2026-10-25 03:00:00", "2026-10-25T02:00:00Z");
        refused("rfc3339", BERLIN, "2026-03-29 02:30:00", "does not exist in Europe/Berlin");
    }

    #[test]
    fn numbers_mean_what_was_declared() {
        check("unix-seconds", None, "1767607200", "2026-01-05T10:00:00Z");
        check("unix-seconds", None, "1767607200.25", "2026-01-05T10:00:00.25Z");
        check("unix-millis", None, "1767607200250", "2026-01-05T10:00:00.25Z");
        check("unix-seconds", None, "-0.5", "1969-12-31T23:59:59.5Z");
        check("excel", Some("UTC"), "46027.4166666667", "2026-01-05T10:00:00Z");
        check("excel", BERLIN, "46027,5", "2026-01-05T11:00:00Z");
        refused("rfc3339", BERLIN, "1767607200", "is a number");
        refused("rfc3339", BERLIN, "20260105", "is a number");
        refused("unix-seconds", None, "1767607200250", "is the unit right?");
        refused("unix-seconds", None, "2026-01-05", "is no number of seconds");
        refused("excel", BERLIN, "99999999", "1900 to 9999");
    }

    #[test]
    fn options_are_checked_before_the_file_is() {
        let check = |format: Option<&str>, zone: Option<&str>, expect: &str| {
            let error = Times::new(format, zone).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(Some("epoch"), None, "unix-seconds");
        check(None, Some("Europe/Berln"), "IANA");
        check(Some("excel"), None, "--time-zone");
    }
}
