//! When a contact has birthday, by their own clock.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::fact::Person;
use crate::state::State;

/// So many days before a birthday at an hour.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Celebration {
    pub(crate) days_before: u32,
    pub(crate) at_hour: i8,
}

/// The next one that is neither decided nor before the contact is of interest, and the year of the birthday.
pub(crate) fn next(celebration: &Celebration, person: &Person, state: &State) -> Option<(i16, Timestamp)> {
    let born = person.birth?.date()?;
    let utc = TimeZone::UTC;
    let zone = person.time_zone.as_ref().unwrap_or(&utc);
    let after = state.decided.map_or(person.since, |decided| decided.max(person.since));
    let is_open = |at: Timestamp| at >= person.since && state.decided.is_none_or(|decided| at > decided);
    let first = utc.to_datetime(after).year().saturating_sub(1).max(born.year());
    // A birthday is kept once, even where the contact's time zone or date of birth is put right in between.
    let first = state.birthday.map_or(first, |kept| first.max(kept)).saturating_add(1);
    // The year of `after`, and of what lies after it the next birthday and one that is decided already.
    (first..=first.saturating_add(2)).find_map(|year| {
        let day = in_year(born, year)?.checked_sub(i64::from(celebration.days_before).days()).ok()?;
        let at = zone.to_timestamp(day.at(celebration.at_hour, 0, 0, 0)).ok()?;
        is_open(at).then_some((year, at))
    })
}

/// Born on 29 February, they have birthday on 1 March where there is no 29 February.
fn in_year(born: Date, year: i16) -> Option<Date> {
    Date::new(year, born.month(), born.day()).or_else(|_| Date::new(year, 3, 1)).ok()
}
