//! Days that come back: fixed dates, the nth weekday of a month, days around Easter, and days of other calendars as tables.

use std::sync::Arc;

use jiff::ToSpan;
use jiff::civil::{Date, Weekday};

use crate::error::RulesError;
use crate::reader::Section;

const MONTHS: [&str; 12] =
    ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const NTHS: [(&str, i8); 6] = [("1st", 1), ("2nd", 2), ("3rd", 3), ("4th", 4), ("5th", 5), ("last", -1)];

/// A day of each year, or the days of a table, with its length and what happens when it falls on a weekend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DateRule {
    /// What people call the day.
    pub(crate) name: Arc<str>,
    day: Day,
    /// How many days it lasts; a table has its own lengths.
    days: u8,
    shift: Shift,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Day {
    Fixed { month: i8, day: i8 },
    Nth { nth: i8, weekday: Weekday, month: i8, plus: i32 },
    Before { weekday: Weekday, month: i8, day: i8 },
    Easter { plus: i32 },
    Table(Vec<(Date, Date)>),
}

vocabulary::words!(
    /// What happens to a holiday that falls on a weekend.
    Shift {
        /// Nothing.
        Stay = "stay",
        /// From a Sunday the Monday after is free as well.
        SundayToMonday = "sunday_to_monday",
        /// From a Saturday or a Sunday the Monday after is free as well.
        WeekendToMonday = "weekend_to_monday",
        /// From a Saturday the Friday before, from a Sunday the Monday after is free as well.
        NearestWeekday = "nearest_weekday",
        /// It is kept on the Monday on or after it, and only then.
        NextMonday = "next_monday",
    }
);

impl DateRule {
    /// Reads `name`, and `on` or `dates`, `days` and `shift`.
    pub(crate) fn read(section: &mut Section<'_>) -> Result<Self, RulesError> {
        let name = Arc::from(section.text("name")?);
        let on = section.text_or_none("on")?;
        let dates = section.spans("dates")?;
        let day = match (on, dates) {
            (Some(on), None) => day_of(on).ok_or_else(|| {
                let forms = "`12-25`, `4th thursday of november`, `last monday of may`, `4th thursday of november + 1`, \
                             `monday before 05-25` or `easter - 47`";
                section.wrong("on", format!("`{on}` is no day; write it like {forms}"))
            })?,
            (None, Some(dates)) if !dates.is_empty() => Day::Table(dates),
            _ => return Err(section.wrong("on", "or `dates` is needed, and only one of them")),
        };
        let days = section.whole("days")?.unwrap_or(1);
        let days = u8::try_from(days).ok().filter(|days| (1..=60).contains(days));
        let days = days.ok_or_else(|| section.wrong("days", "is not from 1 to 60"))?;
        Ok(Self { name, day, days, shift: section.word("shift")?.unwrap_or(Shift::Stay) })
    }

    /// The last year of which this day is known; `None` when it can be computed for every year.
    pub(crate) fn last_year(&self) -> Option<i16> {
        match &self.day {
            Day::Table(spans) => spans.last().map(|(first, _)| first.year()),
            _ => None,
        }
    }

    /// The first and last days of each of its comings that touches the span from `from` to `until`.
    pub(crate) fn between(&self, from: Date, until: Date) -> impl Iterator<Item = (Date, Date)> + '_ {
        // A long day can reach over from the year before, and a new year's day that is kept on a Friday from the year after.
        let years = from.year().saturating_sub(1)..=until.year().saturating_add(1);
        let computed = years.flat_map(|year| self.computed(year)).flatten();
        let table = match &self.day {
            Day::Table(spans) => spans.as_slice(),
            _ => &[],
        };
        computed.chain(table.iter().copied()).filter(move |(first, last)| *first <= until && from <= *last)
    }

    /// Whether a date is part of it.
    pub(crate) fn has(&self, date: Date) -> bool {
        if let Day::Table(spans) = &self.day {
            return spans.iter().any(|(first, last)| (*first..=*last).contains(&date));
        }
        // A shift from the last days of a year can reach into the next, and the other way round.
        [date.year().saturating_sub(1), date.year(), date.year().saturating_add(1)]
            .into_iter()
            .any(|year| self.computed(year).into_iter().flatten().any(|(first, last)| (first..=last).contains(&date)))
    }

    /// The day itself and the day that is free instead or as well.
    fn computed(&self, year: i16) -> [Option<(Date, Date)>; 2] {
        let Some(first) = self.day.in_year(year) else { return [None, None] };
        let long = |first: Date| first.checked_add((i32::from(self.days) - 1).days()).ok().map(|last| (first, last));
        let moved = |days: i32| first.checked_add(days.days()).ok();
        let also = match (self.shift, first.weekday()) {
            (Shift::NextMonday, Weekday::Monday) => None,
            (Shift::NextMonday, weekday) => {
                let ahead = i32::from(7 - weekday.to_monday_zero_offset());
                return [moved(ahead).and_then(long), None];
            }
            (Shift::SundayToMonday | Shift::WeekendToMonday | Shift::NearestWeekday, Weekday::Sunday) => moved(1),
            (Shift::WeekendToMonday, Weekday::Saturday) => moved(2),
            (Shift::NearestWeekday, Weekday::Saturday) => moved(-1),
            _ => None,
        };
        [long(first), also.map(|date| (date, date))]
    }
}

impl Day {
    fn in_year(&self, year: i16) -> Option<Date> {
        match *self {
            Self::Fixed { month, day } => Date::new(year, month, day).ok(),
            Self::Nth { nth, weekday, month, plus } => {
                let date = Date::new(year, month, 1).ok()?.nth_weekday_of_month(nth, weekday).ok()?;
                date.checked_add(plus.days()).ok()
            }
            Self::Before { weekday, month, day } => {
                let date = Date::new(year, month, day).ok()?;
                let back = (date.weekday().to_monday_zero_offset() - weekday.to_monday_zero_offset()).rem_euclid(7);
                let back = if back == 0 { 7 } else { back };
                date.checked_sub(i32::from(back).days()).ok()
            }
            Self::Easter { plus } => easter(year)?.checked_add(plus.days()).ok(),
            Self::Table(_) => None,
        }
    }
}

/// Easter Sunday of the Gregorian calendar, by the algorithm known as Meeus/Jones/Butcher.
fn easter(year: i16) -> Option<Date> {
    let year = i32::from(year);
    let (golden, century, rest) = (year % 19, year / 100, year % 100);
    let correction = (century - (century + 8) / 25 + 1) / 3;
    let epact = (19 * golden + century - century / 4 - correction + 15) % 30;
    let weekday = (32 + 2 * (century % 4) + 2 * (rest / 4) - epact - rest % 4) % 7;
    let late = (golden + 11 * epact + 22 * weekday) / 451;
    let days = epact + weekday - 7 * late + 114;
    Date::new(i16::try_from(year).ok()?, i8::try_from(days / 31).ok()?, i8::try_from(days % 31 + 1).ok()?).ok()
}

fn day_of(text: &str) -> Option<Day> {
    let words: Vec<&str> = text.split(' ').collect();
    let plus = |sign: &str, number: &str| {
        let number: i32 = number.parse().ok().filter(|number| (0..=200).contains(number))?;
        match sign {
            "+" => Some(number),
            "-" => Some(-number),
            _ => None,
        }
    };
    match words.as_slice() {
        ["easter"] => Some(Day::Easter { plus: 0 }),
        ["easter", sign, number] => Some(Day::Easter { plus: plus(sign, number)? }),
        [weekday, "before", date] => {
            let (month, day) = month_day(date)?;
            Some(Day::Before { weekday: weekday_of(weekday)?, month, day })
        }
        [nth, weekday, "of", month, rest @ ..] => {
            let plus = match rest {
                [] => 0,
                [sign, number] => plus(sign, number)?,
                _ => return None,
            };
            let nth = NTHS.iter().find(|(word, _)| word == nth)?.1;
            let month = MONTHS.iter().position(|name| name == month)?;
            Some(Day::Nth { nth, weekday: weekday_of(weekday)?, month: i8::try_from(month + 1).ok()?, plus })
        }
        [date] => {
            let (month, day) = month_day(date)?;
            Some(Day::Fixed { month, day })
        }
        _ => None,
    }
}

fn weekday_of(name: &str) -> Option<Weekday> {
    let place = WEEKDAYS.iter().position(|known| *known == name)?;
    Weekday::from_monday_zero_offset(i8::try_from(place).ok()?).ok()
}

/// A date of each year, `12-25`. A leap year is asked, so that 29 February can be written.
fn month_day(text: &str) -> Option<(i8, i8)> {
    let (month, day) = text.split_once('-')?;
    let date = Date::new(2028, month.parse().ok()?, day.parse().ok()?).ok()?;
    (month.len() == 2 && day.len() == 2).then_some((date.month(), date.day()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(on: &str, shift: Shift, year: i16) -> Vec<String> {
        let rule = DateRule { name: Arc::from("day"), day: day_of(on).expect(on), days: 1, shift };
        rule.computed(year).into_iter().flatten().map(|(first, _)| first.to_string()).collect()
    }

    #[test]
    fn days_are_computed() {
        let check = |on: &str, shift: Shift, year: i16, expect: &[&str]| assert_eq!(days(on, shift, year), expect, "{on}");
        check("12-25", Shift::Stay, 2026, &["2026-12-25"]);
        check("02-29", Shift::Stay, 2027, &[]);
        check("4th thursday of november", Shift::Stay, 2026, &["2026-11-26"]);
        check("4th thursday of november + 1", Shift::Stay, 2029, &["2029-11-23"]);
        check("last monday of may", Shift::Stay, 2027, &["2027-05-31"]);
        check("monday before 05-25", Shift::Stay, 2026, &["2026-05-18"]);
        check("easter - 47", Shift::Stay, 2027, &["2027-02-09"]);
        check("07-04", Shift::NearestWeekday, 2026, &["2026-07-04", "2026-07-03"]);
        check("07-04", Shift::NearestWeekday, 2027, &["2027-07-04", "2027-07-05"]);
        check("01-01", Shift::WeekendToMonday, 2028, &["2028-01-01", "2028-01-03"]);
        check("01-06", Shift::NextMonday, 2027, &["2027-01-11"]);
        check("01-06", Shift::NextMonday, 2025, &["2025-01-06"]);
        check("06-29", Shift::NextMonday, 2026, &["2026-06-29"]);
    }

    /// The dates of Easter as the churches publish them.
    #[test]
    fn easter_is_on_its_day() {
        let expect = [(2025, 4, 20), (2026, 4, 5), (2027, 3, 28), (2028, 4, 16), (2029, 4, 1), (2030, 4, 21), (2038, 4, 25)];
        for (year, month, day) in expect {
            assert_eq!(easter(year), Date::new(year, month, day).ok());
        }
    }
}
