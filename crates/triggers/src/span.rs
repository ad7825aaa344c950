//! Lengths of time: 60 minutes, 3 days.

use jiff::{SignedDuration, Timestamp};

use crate::error::TriggerError;
use crate::limits::{DAYS_MAX, HOURS_MAX, MINUTES_MAX};

/// A length as it is written; at most one is given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    pub(crate) minutes: Option<u32>,
    pub(crate) hours: Option<u32>,
    pub(crate) days: Option<u32>,
}

impl Written {
    /// The lengths that are given: number, unit, its limit, its minutes.
    fn given(self) -> impl Iterator<Item = (u32, &'static str, u32, i64)> {
        let units = [
            self.minutes.map(|number| (number, "minute", MINUTES_MAX, 1)),
            self.hours.map(|number| (number, "hour", HOURS_MAX, 60)),
            self.days.map(|number| (number, "day", DAYS_MAX, 24 * 60)),
        ];
        units.into_iter().flatten()
    }

    /// The length, if one is given. `prefix` is what stands before the unit in the names of its fields.
    pub(crate) fn length(self, prefix: &str) -> Result<Option<SignedDuration>, TriggerError> {
        let mut given = self.given();
        let Some((number, unit, most, minutes)) = given.next() else { return Ok(None) };
        if let Some((_, second, ..)) = given.next() {
            let reason = format!("is given beside {unit}s; keep one of them");
            return Err(TriggerError::new(format!("{prefix}_{second}s"), reason));
        }
        bounded(format!("{prefix}_{unit}s"), number, most, &format!("{unit}s"))?;
        Ok(Some(SignedDuration::from_mins(i64::from(number) * minutes)))
    }

    /// `60 minutes`.
    pub(crate) fn words(self) -> Option<String> {
        self.given().next().map(|(number, unit, ..)| counted(number, unit))
    }
}

/// Checks a number of `units`.
pub(crate) fn bounded(field: impl Into<String>, number: u32, most: u32, units: &str) -> Result<(), TriggerError> {
    let reason = match number {
        0 => format!("is 0; write a number of {units} from 1 to {most}"),
        _ if number > most => format!("is {number}; the limit is {most} {units}"),
        _ => return Ok(()),
    };
    Err(TriggerError::new(field, reason))
}

/// `1 day`, `2 days`.
pub(crate) fn counted(number: u32, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Days of 24 hours.
pub(crate) fn days(number: u32) -> SignedDuration {
    SignedDuration::from_hours(24 * i64::from(number))
}

/// The end of time where there is no later one.
pub(crate) fn later(at: Timestamp, length: SignedDuration) -> Timestamp {
    at.checked_add(length).unwrap_or(Timestamp::MAX)
}
