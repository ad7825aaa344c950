//! What templates can do with amounts, numbers, shares, dates and times, in the manner of the reader:
//!
//! | in a template | gives an `en-IN` reader |
//! |---|---|
//! | `{{ 1299.5 \| money("HKD") }}`, `{{ 129950 \| money_minor("HKD") }}` | `HK$1,299.50` |
//! | `{{ 1234567.8 \| number }}` | `12,34,567.8` |
//! | `{{ 0.2 \| percent }}` | `20%` |
//! | `{{ "2026-11-11" \| date("long") }}`: `full`, `long`, `medium` (where none is given) or `short` | `11 November 2026` |
//! | `{{ now \| time }}` | `5:30 PM` |
//! | `{{ n \| plural(one="# coupon", other="# coupons") }}` | `3 coupons` |
//! | `https://shop.example/?c={{ coupon \| urlencode }}` | `https://shop.example/?c=A%2F1` |
//!
//! Numbers may also be decimal strings, since attributes are. Moments are told in the contact's time zone, or in UTC where it
//! is not known; days and times of the clock stay as they are written.
//!
//! The engine hands nothing but their arguments to filters that are called inside macros. So the reader is kept beside it, for
//! the time of one rendering, on the thread that renders.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use icu_decimal::input::Decimal;
use icu_plurals::PluralCategory;
use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value};
use vocabulary::Currency;

use crate::formats::Formats;
use crate::links::percent_encoded;

/// The longest number that is read: twice as long as exact ones are.
const NUMBER_BYTES_MAX: usize = 40;
/// Numbers have at most this many decimals, as CLDR's patterns do.
const NUMBER_DECIMALS_MAX: i16 = 3;
/// Shares have at most this many decimals after they became hundredths.
const PERCENT_DECIMALS_MAX: i16 = 2;
/// The plural categories of CLDR, as templates name them.
const CATEGORIES: [&str; 6] = ["zero", "one", "two", "few", "many", "other"];

/// The reader of what is rendered.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    pub(crate) formats: Arc<Formats>,
    pub(crate) time_zone: Option<Arc<str>>,
}

thread_local! {
    static READER: RefCell<Option<Reader>> = const { RefCell::new(None) };
}

/// Renders for a reader.
pub(crate) fn with_reader<R>(reader: Reader, render: impl FnOnce() -> R) -> R {
    /// Forgets the reader, also where rendering panics.
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            READER.set(None);
        }
    }
    let _end = End;
    READER.set(Some(reader));
    render()
}

/// What a filter was asked wrongly, in whole words; [`described`] finds it in an error of the engine.
#[derive(Debug)]
struct Misused(String);

impl fmt::Display for Misused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misused {}

/// What is wrong, where it is a filter of this module that says so.
pub(crate) fn described(error: &Error) -> Option<&str> {
    use std::error::Error as _;
    error.source()?.downcast_ref::<Misused>().map(|misused| misused.0.as_str())
}

fn misused(problem: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, "").with_source(Misused(problem))
}

/// How long a date is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Full,
    Long,
    Medium,
    Short,
}

/// Makes the filters known.
pub(crate) fn register(environment: &mut Environment<'static>) {
    environment.add_filter("money", money);
    environment.add_filter("money_minor", money_minor);
    environment.add_filter("number", number);
    environment.add_filter("percent", percent);
    environment.add_filter("date", date);
    environment.add_filter("time", time);
    environment.add_filter("plural", plural);
    environment.add_filter("urlencode", |text: String| percent_encoded(&text));
}

fn reader() -> Result<Reader, Error> {
    READER.with_borrow(Clone::clone).ok_or_else(|| misused("there is no reader to write for".to_owned()))
}

fn money(value: &Value, currency: Option<&str>) -> Result<String, Error> {
    let amount = decimal("money", value)?;
    Ok(reader()?.formats.money(&amount, currency_of("money", currency)?))
}

fn money_minor(value: &Value, currency: Option<&str>) -> Result<String, Error> {
    let mut amount = decimal("money_minor", value)?;
    let currency = currency_of("money_minor", currency)?;
    if amount.magnitude_range().start() < &0 {
        let problem = format!("`money_minor` takes whole minor units such as 129950, not `{value}`; `money` takes major ones");
        return Err(misused(problem));
    }
    amount.multiply_pow10(-i16::try_from(currency.digits()).expect("currencies have few decimals"));
    Ok(reader()?.formats.money(&amount, currency))
}

fn number(value: &Value) -> Result<String, Error> {
    let mut number = decimal("number", value)?;
    number.round(-NUMBER_DECIMALS_MAX);
    number.trim_end();
    Ok(reader()?.formats.number(&number))
}

fn percent(value: &Value) -> Result<String, Error> {
    let mut share = decimal("percent", value)?;
    share.round(-PERCENT_DECIMALS_MAX - 2);
    Ok(reader()?.formats.percent(&share))
}

fn date(value: &Value, length: Option<&str>) -> Result<String, Error> {
    let length = match length.unwrap_or("medium") {
        "full" => Length::Full,
        "long" => Length::Long,
        "medium" => Length::Medium,
        "short" => Length::Short,
        other => return Err(misused(format!("`date` is full, long, medium or short, not `{other}`; write date(\"long\")"))),
    };
    let reader = reader()?;
    let (date, _) = moment("date", value, &reader)?;
    Ok(reader.formats.date(date, length))
}

fn time(value: &Value) -> Result<String, Error> {
    let reader = reader()?;
    let (_, time) = moment("time", value, &reader)?;
    let day = || misused(format!("`time` takes a date-time such as 2026-11-11T20:00, and `{value}` is a day; use `date`"));
    Ok(reader.formats.time(time.ok_or_else(day)?))
}

fn plural(value: &Value, forms: Kwargs) -> Result<String, Error> {
    let number = decimal("plural", value)?;
    let reader = reader()?;
    if let Some(form) = forms.args().find(|form| !CATEGORIES.contains(form)) {
        return Err(misused(format!("`plural` has no form `{form}`; there are {}", CATEGORIES.join(", "))));
    }
    if !forms.has("other") {
        let problem =
            "`plural` needs the form `other`, which every language has; write plural(one=\"# item\", other=\"# items\")";
        return Err(misused(problem.to_owned()));
    }
    let name = match reader.formats.plural(&number) {
        PluralCategory::Zero => "zero",
        PluralCategory::One => "one",
        PluralCategory::Two => "two",
        PluralCategory::Few => "few",
        PluralCategory::Many => "many",
        PluralCategory::Other => "other",
    };
    let form: &str = forms.get(if forms.has(name) { name } else { "other" })?;
    Ok(form.replace('#', &reader.formats.number(&number)))
}

/// The number a filter was given, as a number or written in decimal.
fn decimal(filter: &str, value: &Value) -> Result<Decimal, Error> {
    if value.is_undefined() {
        return Err(ErrorKind::UndefinedError.into());
    }
    let wrong = || misused(format!("`{filter}` takes a number such as 12.5, not `{}`", shortened(value)));
    let text = match value.kind() {
        ValueKind::Number => value.to_string(),
        ValueKind::String => value.as_str().unwrap_or_default().trim().to_owned(),
        _ => return Err(wrong()),
    };
    let is_plain = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-');
    let is_number = text.len() <= NUMBER_BYTES_MAX && text.chars().all(is_plain);
    let mut number = is_number.then(|| Decimal::try_from_str(&text).ok()).flatten().ok_or_else(wrong)?;
    number.trim_start();
    Ok(number)
}

fn currency_of(filter: &str, code: Option<&str>) -> Result<Currency, Error> {
    let code = code.ok_or_else(|| misused(format!("`{filter}` needs a currency; write {filter}(\"EUR\")")))?;
    Currency::new(code).map_err(|error| misused(format!("`{filter}`: {error}")))
}

/// The day, and the time of it where one was given, by the reader's clock.
fn moment(filter: &str, value: &Value, reader: &Reader) -> Result<(civil::Date, Option<civil::Time>), Error> {
    if value.is_undefined() {
        return Err(ErrorKind::UndefinedError.into());
    }
    let text = value.as_str().unwrap_or_default().trim();
    if let Ok(at) = text.parse::<Timestamp>() {
        let zone = reader.time_zone.as_deref().and_then(|zone| TimeZone::get(zone).ok()).unwrap_or(TimeZone::UTC);
        let local = at.to_zoned(zone).datetime();
        return Ok((local.date(), Some(local.time())));
    }
    let day_only = !text.contains(['T', 't', ' ', ':']);
    let local = if day_only {
        text.parse().ok().map(|date| (date, None))
    } else {
        text.parse().ok().map(|at: civil::DateTime| (at.date(), Some(at.time())))
    };
    local.ok_or_else(|| {
        let examples = "2026-11-11, 2026-11-11T20:00 or 2026-11-11T12:00:00Z";
        misused(format!("`{filter}` takes an ISO 8601 date such as {examples}, not `{}`", shortened(value)))
    })
}

/// What a message about a value shows of it, so that no long attribute of a contact fills logs.
fn shortened(value: &Value) -> String {
    value.to_string().chars().take(NUMBER_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests;
