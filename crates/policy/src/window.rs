//! Days and hours at which something may be sent, and the first such moment from any moment on.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{self, Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use vocabulary::Weekday;

use crate::local;

/// So many days are looked ahead for an open hour. The longest closed time of ours is a week of holidays; what is closed
/// for longer is closed by mistake.
const DAYS_AHEAD_MAX: i32 = 62;

const MINUTES_PER_DAY: u16 = 24 * 60;

/// Hours of some weekdays by a local clock: from the first minute on, up to but without the last. It is written
/// `mon-fri 09:00-21:00`, `sat,sun 10:00-17:00` or `daily 08:00-24:00`, and does not go over midnight; write two then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// A bit for each weekday, Monday the lowest.
    days: u8,
    /// Minutes after midnight.
    from: u16,
    /// Minutes after midnight, at most 1440.
    to: u16,
}

impl Window {
    pub(crate) fn has_day(self, day: civil::Weekday) -> bool {
        self.days >> day.to_monday_zero_offset() & 1 == 1
    }

    /// The hours of the day, 0 to 23, whose first minute is in it on some day, in order.
    pub fn hours(self) -> impl Iterator<Item = u8> {
        (0..24).filter(move |hour| (self.from..self.to).contains(&(u16::from(*hour) * 60)))
    }

    fn has(self, reading: DateTime) -> bool {
        let minute = u16::from(reading.hour().unsigned_abs()) * 60 + u16::from(reading.minute().unsigned_abs());
        self.has_day(reading.weekday()) && self.from <= minute && minute < self.to
    }

    /// The moments of this window on a day.
    fn on(self, zone: &TimeZone, date: Date) -> Option<(Timestamp, Timestamp)> {
        if !self.has_day(date.weekday()) {
            return None;
        }
        local::span(zone, at_minute(date, self.from)?, at_minute(date, self.to)?)
    }
}

fn at_minute(date: Date, minute: u16) -> Option<DateTime> {
    let (date, minute) = if minute == MINUTES_PER_DAY { (date.tomorrow().ok()?, 0) } else { (date, minute) };
    let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
    Some(date.at(hour, minute, 0, 0))
}

impl FromStr for Window {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no window; write days and hours such as `mon-fri 09:00-21:00` or `daily 08:00-24:00`");
        let (days, hours) = text.trim().split_once(' ').ok_or_else(wrong)?;
        let (from, to) = hours.trim().split_once('-').ok_or_else(wrong)?;
        let window = Self {
            days: days_of(days).ok_or_else(wrong)?,
            from: minute_of(from).ok_or_else(wrong)?,
            to: minute_of(to).ok_or_else(wrong)?,
        };
        if window.from >= window.to {
            return Err(format!(
                "`{text}` ends before it begins; a window over midnight is written as two, up to 24:00 and from 00:00"
            ));
        }
        Ok(window)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days: Vec<&str> = Weekday::ALL.iter().filter(|day| self.has_day((**day).into())).map(|day| day.as_str()).collect();
        let days = if days.len() == Weekday::ALL.len() { "daily".to_owned() } else { days.join(",") };
        let (from, to) = (self.from, self.to);
        write!(f, "{days} {:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

fn days_of(text: &str) -> Option<u8> {
    if text == "daily" {
        return Some(0b111_1111);
    }
    let place = |name: &str| Weekday::ALL.iter().position(|day| day.as_str() == name);
    let mut days = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (place(first)?, place(last)?);
        if first > last {
            return None;
        }
        days |= (first..=last).fold(0, |days, day| days | 1 << day);
    }
    Some(days)
}

fn minute_of(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    if hour.len() != 2 || minute.len() != 2 {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let total = hour * 60 + minute;
    (minute < 60 && total <= MINUTES_PER_DAY).then_some(total)
}

/// The first moment from `at` on that lies in one of `windows` on a day that is not `closed`; `at` itself where it does.
/// `None` when there is none within two months.
pub(crate) fn next_open(windows: &[Window], closed: impl Fn(Date) -> bool, zone: &TimeZone, at: Timestamp) -> Option<Timestamp> {
    let reading = zone.to_datetime(at);
    let is_open = windows.iter().any(|window| window.has(reading)) && !closed(reading.date());
    // Only a reading that the clock shows twice can be inside and yet not count.
    if is_open && !zone.to_ambiguous_timestamp(reading).is_ambiguous() {
        return Some(at);
    }
    // A day earlier, because a clock that is set back at midnight shows a date again.
    let mut date = reading.date().yesterday().ok()?;
    for _ in 0..=DAYS_AHEAD_MAX + 1 {
        if !closed(date) {
            let spans = windows.iter().filter_map(|window| window.on(zone, date));
            let first = spans.filter(|(_, last)| at < *last).map(|(first, _)| first.max(at)).min();
            if first.is_some() {
                return first;
            }
        }
        date = date.checked_add(1.day()).ok()?;
    }
    None
}

/// The first moment from `at` on that is open in each of `zones`; `None` when there is none. Without a zone it is `at`.
pub(crate) fn next_open_in_all<'z>(
    windows: &[Window],
    closed: impl Fn(Date) -> bool,
    zones: impl Iterator<Item = &'z TimeZone> + Clone,
    at: Timestamp,
) -> Option<Timestamp> {
    // Each step goes over the closed time of one zone; more steps than this mean that the hours of the zones never meet.
    const STEPS_MAX: usize = 64;
    let mut moment = at;
    for _ in 0..STEPS_MAX {
        let mut latest = moment;
        for zone in zones.clone() {
            latest = latest.max(next_open(windows, &closed, zone, moment)?);
        }
        if latest == moment {
            return Some(moment);
        }
        moment = latest;
    }
    None
}
