//! Numbers as a manager says them: two digits where a number is only about right, cases out of so many instead of
//! probabilities, and the primary metric in its own unit.

use stats::Interval;
use vocabulary::{Currency, Measure, Metric, Outcome};

pub(super) use crate::words::span;
pub(super) use crate::words::thousands;
use crate::words::{number, percent};

/// What is out of how many. Probabilities are said with the first of these that is close enough.
const CASES: [u32; 14] = [2, 3, 4, 5, 6, 8, 10, 12, 20, 25, 50, 100, 200, 1000];

/// How far off a share of cases may be, relative to the smaller of the chances for and against.
const CASES_ERROR: f64 = 0.05;

/// Decimals of a number that is only about right.
const DECIMALS_MAX: i32 = 6;

/// From here on groups of digits are not readable.
const READABLE_MAX: f64 = 1e15;

/// Small numbers as words.
const WORDS: [&str; 13] =
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];

/// So many people, in the right number.
pub(super) fn people(how_many: u64) -> String {
    if how_many == 1 { "1 person".to_owned() } else { format!("{} people", thousands(how_many)) }
}

/// A whole number as a word, where it is small.
pub(super) fn in_words(whole: u64) -> String {
    let word = usize::try_from(whole).ok().and_then(|place| WORDS.get(place));
    word.map_or_else(|| thousands(whole), |word| (*word).to_owned())
}

/// The text as a sentence begins.
pub(super) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// The size of a number with two digits that count: 4,236 is 4,200.
pub(super) fn rough(value: f64) -> String {
    let size = value.abs();
    if size < 0.5 * 10.0_f64.powi(-DECIMALS_MAX) {
        return "0".to_owned();
    }
    if size >= READABLE_MAX {
        return format!("{size:.1e}");
    }
    let power = size.log10().floor() as i32;
    if power >= 1 {
        let unit = 10.0_f64.powi(power - 1);
        return thousands(((size / unit).round() * unit).round() as u64);
    }
    let decimals = (1 - power).min(DECIMALS_MAX).unsigned_abs() as usize;
    let digits = format!("{size:.decimals$}");
    digits.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A change relative to control, in words: `8 % more`.
pub(super) fn lift(lift: f64) -> String {
    let size = rough(100.0 * lift);
    match (size.as_str(), lift > 0.0) {
        ("0", _) => "as much".to_owned(),
        (_, true) => format!("{size} % more"),
        (_, false) => format!("{size} % less"),
    }
}

/// Where a change relative to control likely is; `None` where an end is open.
pub(super) fn lift_between(interval: &Interval) -> Option<String> {
    let (lower, upper) = interval.lower.zip(interval.upper)?;
    let word = |value: f64| if value < 0.0 { "less" } else { "more" };
    let size = |value: f64| rough(100.0 * value);
    Some(if (lower < 0.0) == (upper < 0.0) {
        let (near, far) = if upper < 0.0 { (upper, lower) } else { (lower, upper) };
        format!("likely between {} % and {} % {}", size(near), size(far), word(far))
    } else {
        format!("likely between {} % less and {} % more", size(lower), size(upper))
    })
}

/// A number in a table, with its sign.
pub(super) fn signed(value: f64) -> String {
    match number(value.abs()) {
        zero if zero == "0" => zero,
        size if value < 0.0 => format!("−{size}"),
        size => format!("+{size}"),
    }
}

/// A fraction in a table as percent, with its sign.
pub(super) fn signed_percent(share: f64) -> String {
    crate::words::signed_percent(share).replace('-', "−")
}

/// The two ends of an interval in a table.
pub(super) fn ends(interval: &Interval, word: impl Fn(f64) -> String) -> String {
    let open = |end: Option<f64>| end.map_or_else(|| "open".to_owned(), &word);
    match (interval.lower, interval.upper) {
        (None, None) => NONE.to_owned(),
        (lower, upper) => format!("{} to {}", open(lower), open(upper)),
    }
}

/// What stands in a table where there is no number.
pub(super) const NONE: &str = "–";

/// A probability as cases out of so many.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Chance {
    /// So many cases out of so many; whether that is exact.
    Cases(u32, u32, bool),
    /// In less than one case of a thousand.
    Hardly,
    /// In all but less than one case of a thousand.
    Nearly,
}

impl Chance {
    pub(super) fn of(probability: f64) -> Self {
        let close = |cases: &u32| {
            let hits = (probability * f64::from(*cases)).round();
            let error = (probability - hits / f64::from(*cases)).abs();
            let is_last = CASES.last() == Some(cases);
            let is_close = is_last || error <= CASES_ERROR * probability.min(1.0 - probability);
            (is_close && hits >= 1.0 && hits < f64::from(*cases)).then_some(Self::Cases(hits as u32, *cases, error < 1e-9))
        };
        let extreme = if probability < 0.5 { Self::Hardly } else { Self::Nearly };
        CASES.iter().find_map(close).unwrap_or(extreme)
    }

    /// The chance that it is not so.
    pub(super) fn not(self) -> Self {
        match self {
            Self::Cases(hits, cases, exact) => Self::Cases(cases - hits, cases, exact),
            Self::Hardly => Self::Nearly,
            Self::Nearly => Self::Hardly,
        }
    }

    /// In a table.
    pub(super) fn short(self) -> String {
        match self {
            Self::Cases(hits, cases, _) => format!("{} of {} cases", hits, thousands(cases.into())),
            Self::Hardly => "fewer than 1 of 1,000 cases".to_owned(),
            Self::Nearly => "more than 999 of 1,000 cases".to_owned(),
        }
    }

    /// As a part of a sentence: `in 19 of 20 cases`.
    pub(super) fn cases(self) -> String {
        let about = if matches!(self, Self::Cases(_, _, false)) { "about " } else { "" };
        format!("in {about}{}", self.short())
    }

    /// As a part of a sentence, where once in so many times will do: `one time in eight`.
    pub(super) fn times(self) -> String {
        match self {
            Self::Cases(1, cases, _) => format!("one time in {}", in_words(cases.into())),
            other => other.cases(),
        }
    }
}

/// What one of the primary metric is called.
pub(super) struct Unit<'a> {
    pub(super) metric: &'a Metric,
    pub(super) currency: Option<Currency>,
}

impl Unit<'_> {
    /// What is measured, after "the measure is".
    pub(super) fn measure(&self) -> String {
        match self.metric.measure {
            Measure::Occurred => format!("the share of people who {}", verb(self.metric.outcome)),
            Measure::Count => format!("the number of {} per person", nouns(self.metric.outcome)),
            Measure::Amount => "what a person pays, less what is paid back".to_owned(),
            Measure::Profit => "what a person brings in profit, with the costs of messages and of people who leave".to_owned(),
            Measure::HoursToFirst => format!("how many hours pass until a person first {}", third(self.metric.outcome)),
        }
    }

    /// What one variant got.
    pub(super) fn result(&self, mean: f64, counted: u64) -> String {
        let people = people(counted);
        match self.metric.measure {
            Measure::Occurred => format!("{} of {people} {}", percent(mean), past(self.metric.outcome)),
            Measure::Count => format!("{} {} per person, of {people}", number(mean), nouns(self.metric.outcome)),
            Measure::Amount | Measure::Profit => format!("{} per person, of {people}", self.exact(mean)),
            Measure::HoursToFirst => format!("{} hours on average, of {people}", number(mean)),
        }
    }

    /// A gain as more or less of something; a gain is positive where it is for the better.
    pub(super) fn change(&self, gain: f64) -> String {
        let (size, way) = (self.size(gain), self.way(gain));
        match self.metric.measure {
            Measure::Amount | Measure::Profit => format!("{size} {way}"),
            Measure::Occurred | Measure::Count | Measure::HoursToFirst => format!("{size} {way} {}", self.things()),
        }
    }

    /// Where a gain of so many recipients likely is; `None` where an end is open.
    pub(super) fn between(&self, gain: &Interval, recipients: f64) -> Option<String> {
        let (worse, better) = gain.lower.zip(gain.upper)?;
        let (worse, better) = (recipients * worse, recipients * better);
        Some(if worse < 0.0 && better > 0.0 {
            let from = format!("{} {}", self.size(worse), self.way(worse));
            format!("likely between {from} and {}", self.change(better))
        } else {
            let (near, far) = if better > 0.0 { (worse, better) } else { (better, worse) };
            format!("likely between {} and {}", self.digits(near), self.change(far))
        })
    }

    /// A gain of one recipient.
    pub(super) fn per_recipient(&self, gain: f64) -> String {
        match self.metric.measure {
            Measure::Occurred => {
                let way = if (gain < 0.0) == self.metric.lower_is_better { "higher" } else { "lower" };
                let (verb, points) = (verb(self.metric.outcome), rough(100.0 * gain));
                let unit = if points == "1" { "percentage point" } else { "percentage points" };
                format!("a chance to {verb} that is {points} {unit} {way} for each recipient")
            }
            Measure::Count | Measure::Amount | Measure::Profit | Measure::HoursToFirst => {
                format!("{} per recipient", self.change(gain))
            }
        }
    }

    /// What is lost by a wrong choice.
    pub(super) fn loss(&self, loss: f64) -> String {
        match (self.metric.measure, self.metric.lower_is_better) {
            (Measure::Amount | Measure::Profit, _) => self.size(loss),
            (_, false) => format!("{} {} missed", self.size(loss), self.things()),
            (_, true) => format!("{} {} too many", self.size(loss), self.things()),
        }
    }

    /// What a mean of the metric is counted in, for the heading of a column.
    pub(super) fn name(&self) -> String {
        match self.metric.measure {
            Measure::Occurred | Measure::Count | Measure::HoursToFirst => self.things().to_owned(),
            Measure::Amount | Measure::Profit => {
                self.currency.map_or_else(|| "base currency".to_owned(), |currency| currency.to_string())
            }
        }
    }

    fn size(&self, value: f64) -> String {
        match (self.metric.measure, self.currency) {
            (Measure::Amount | Measure::Profit, Some(currency)) => format!("{} {currency}", self.digits(value)),
            (Measure::Amount | Measure::Profit, None) => format!("{} in the base currency", self.digits(value)),
            _ => self.digits(value),
        }
    }

    fn digits(&self, value: f64) -> String {
        match (self.metric.measure, self.currency) {
            (Measure::Amount | Measure::Profit, Some(currency)) => padded(&rough(value), currency),
            _ => rough(value),
        }
    }

    /// A mean with three digits that count.
    fn exact(&self, value: f64) -> String {
        let size = number(value);
        self.currency.map_or_else(|| format!("{size} in the base currency"), |currency| format!("{size} {currency}"))
    }

    fn way(&self, gain: f64) -> &'static str {
        let is_more = (gain < 0.0) == self.metric.lower_is_better;
        match (is_more, self.metric.measure) {
            (true, _) => "more",
            (false, Measure::Amount | Measure::Profit) => "less",
            (false, _) => "fewer",
        }
    }

    fn things(&self) -> &'static str {
        match self.metric.measure {
            Measure::Occurred => who(self.metric.outcome),
            Measure::Count | Measure::Amount | Measure::Profit => nouns(self.metric.outcome),
            Measure::HoursToFirst => "hours",
        }
    }
}

/// Cents are written as two digits where there are any.
fn padded(digits: &str, currency: Currency) -> String {
    let decimals = digits.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let missing = (currency.digits() as usize).saturating_sub(decimals);
    if decimals == 0 { digits.to_owned() } else { format!("{digits}{}", "0".repeat(missing)) }
}

fn verb(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Delivery => "be reached",
        Outcome::Bounce => "bounce",
        Outcome::Reply => "answer",
        Outcome::Open => "open",
        Outcome::Click => "click",
        Outcome::Order => "order",
        Outcome::Unsubscribe => "unsubscribe",
        Outcome::Complaint => "complain",
    }
}

fn third(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Delivery => "is reached",
        Outcome::Bounce => "bounces",
        Outcome::Reply => "answers",
        Outcome::Open => "opens",
        Outcome::Click => "clicks",
        Outcome::Order => "orders",
        Outcome::Unsubscribe => "unsubscribes",
        Outcome::Complaint => "complains",
    }
}

fn past(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Delivery => "were reached",
        Outcome::Bounce => "bounced",
        Outcome::Reply => "answered",
        Outcome::Open => "opened",
        Outcome::Click => "clicked",
        Outcome::Order => "ordered",
        Outcome::Unsubscribe => "unsubscribed",
        Outcome::Complaint => "complained",
    }
}

fn nouns(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Delivery => "deliveries",
        Outcome::Bounce => "bounces",
        Outcome::Reply => "answers",
        Outcome::Open => "opens",
        Outcome::Click => "clicks",
        Outcome::Order => "orders",
        Outcome::Unsubscribe => "unsubscribes",
        Outcome::Complaint => "complaints",
    }
}

fn who(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Delivery => "people who are reached",
        Outcome::Bounce => "people who bounce",
        Outcome::Reply => "people who answer",
        Outcome::Open => "people who open",
        Outcome::Click => "people who click",
        Outcome::Order => "people who order",
        Outcome::Unsubscribe => "people who unsubscribe",
        Outcome::Complaint => "people who complain",
    }
}

#[cfg(test)]
#[path = "say_tests.rs"]
mod tests;
