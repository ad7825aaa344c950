//! Times that are counted back from a moment: within 30 days, before 30 days, between 30 and 120 days ago.

use jiff::{SignedDuration, Timestamp};
use vocabulary::world::to_micros;

use crate::limits::{DAYS_MAX, HOURS_MAX};

/// The names of the keys, for errors.
const KEYS: &str = "within_days, within_hours, before_days and between_days";

/// A time as it is written; at most one is given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    pub(crate) within_days: Option<u32>,
    pub(crate) within_hours: Option<u32>,
    pub(crate) before_days: Option<u32>,
    pub(crate) between_days: Option<[u32; 2]>,
}

/// The times after `after`, up to and with `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) after: Option<Timestamp>,
    pub(crate) until: Timestamp,
}

impl Written {
    /// The keys that are given, with what is wrong with the value of each.
    fn given(self) -> impl Iterator<Item = (&'static str, Option<String>)> {
        let days = |days| bound(days, DAYS_MAX, "days");
        let hours = |hours| bound(hours, HOURS_MAX, "hours");
        let pair = |[near, far]: [u32; 2]| {
            let order = (near >= far).then(|| format!("is [{near}, {far}]; write the fewer days first, such as [30, 120]"));
            order.or_else(|| days(near)).or_else(|| days(far))
        };
        [
            self.within_days.map(|value| ("within_days", days(value))),
            self.within_hours.map(|value| ("within_hours", hours(value))),
            self.before_days.map(|value| ("before_days", days(value))),
            self.between_days.map(|value| ("between_days", pair(value))),
        ]
        .into_iter()
        .flatten()
    }

    /// The key that is wrong, and why.
    pub(crate) fn problem(self) -> Option<(&'static str, String)> {
        if let Some((second, _)) = self.given().nth(1) {
            return Some((second, format!("is a second time; give one of {KEYS}")));
        }
        self.given().find_map(|(key, reason)| Some((key, reason?)))
    }

    pub(crate) fn is_given(self) -> bool {
        self.given().next().is_some()
    }

    /// The times that are meant at a moment.
    pub(crate) fn span(self, at: Timestamp) -> Span {
        let at = to_micros(at);
        let days_ago = |days: u32| back(at, i64::from(days) * 24);
        match self {
            Self { within_days: Some(days), .. } => Span { after: Some(days_ago(days)), until: at },
            Self { within_hours: Some(hours), .. } => Span { after: Some(back(at, i64::from(hours))), until: at },
            Self { before_days: Some(days), .. } => Span { after: None, until: days_ago(days) },
            Self { between_days: Some([near, far]), .. } => Span { after: Some(days_ago(far)), until: days_ago(near) },
            _ => Span { after: None, until: at },
        }
    }

    /// The same in English, with a space before it; empty where no time is given.
    pub(crate) fn words(self) -> String {
        match self {
            Self { within_days: Some(days), .. } => format!(" within {}", counted(days, "day")),
            Self { within_hours: Some(hours), .. } => format!(" within {}", counted(hours, "hour")),
            Self { before_days: Some(days), .. } => format!(" {} ago or earlier", counted(days, "day")),
            Self { between_days: Some([near, far]), .. } => format!(" between {near} and {far} days ago"),
            _ => String::new(),
        }
    }
}

/// `1 day`, `2 days`.
pub(crate) fn counted(count: u32, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// What is wrong with a number of days or hours.
pub(crate) fn bound(value: u32, max: u32, unit: &str) -> Option<String> {
    match value {
        0 => Some(format!("is 0; write a number of {unit} from 1 to {max}")),
        _ if value > max => Some(format!("is {value}; the limit is {max} {unit}")),
        _ => None,
    }
}

fn back(at: Timestamp, hours: i64) -> Timestamp {
    at.checked_sub(SignedDuration::from_hours(hours)).unwrap_or(Timestamp::MIN)
}
