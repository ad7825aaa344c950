//! Reads times, and judges the clocks they come from.
//!
//! An event is never refused for its clock: where the clock is doubtful, the event is kept and marked, so that a readout
//! can leave it out and nobody has to send it again.

use jiff::{SignedDuration, Timestamp};
use vocabulary::TimeDoubt;
use vocabulary::world::to_micros;

/// How far ahead of the server's clock an event may lie unmarked: clocks differ by seconds, a wrong time zone by half an hour.
pub const FUTURE_MAX: SignedDuration = SignedDuration::from_mins(5);
/// How far the sender's clock may be off before its times are corrected: less is as likely the time the request was under way.
pub const SKEW_MAX: SignedDuration = SignedDuration::from_mins(5);
/// Nothing this system measures happened before; such a time is a wrong unit or an unset clock.
pub const TIME_MIN: Timestamp = Timestamp::constant(631_152_000, 0); // 1990-01-01
/// A later time is a wrong unit too. It could not be kept: 64 bits of nanoseconds end in that year, and a query that compares
/// times in nanoseconds would fail for everybody over one such row.
pub const TIME_MAX: Timestamp = Timestamp::constant(9_214_646_400, 0); // 2262-01-01

const DAY_SECONDS: i64 = 86_400;

/// Reads an RFC 3339 time, cut to microseconds. The usual form is read here, in a tenth of the time; everything else that
/// is a time, `jiff` reads.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    usual(text.as_bytes()).or_else(|| text.parse().ok().map(to_micros))
}

/// Reads `2026-03-01T09:30:00.123456Z` or with an offset such as `+01:00`, from 1971 on. `None` for whatever else.
fn usual(text: &[u8]) -> Option<Timestamp> {
    let (head, mut rest) = text.split_at_checked(19)?;
    if head[4] != b'-' || head[7] != b'-' || head[10] != b'T' || head[13] != b':' || head[16] != b':' {
        return None;
    }
    let year = two(head, 0)? * 100 + two(head, 2)?;
    let (month, day) = (two(head, 5)?, two(head, 8)?);
    let (hour, minute, second) = (two(head, 11)?, two(head, 14)?, two(head, 17)?);
    if year < 1971 || !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut micros = 0;
    if let Some((b'.', digits)) = rest.split_first() {
        let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&count) {
            return None;
        }
        let kept = digits[..count.min(6)].iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        micros = kept * 10_i64.pow(6 - count.min(6) as u32);
        rest = &digits[count..];
    }
    let offset_minutes = match *rest {
        [b'Z'] => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hours, minutes) = (two(rest, 1)?, two(rest, 4)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let minutes = hour * 60 + minute - offset_minutes;
    let seconds = days_since_epoch(year, month, day) * DAY_SECONDS + minutes * 60 + second;
    Timestamp::from_microsecond(seconds * 1_000_000 + micros).ok()
}

/// Two digits as a number.
fn two(text: &[u8], at: usize) -> Option<i64> {
    let (tens, ones) = (text[at].wrapping_sub(b'0'), text[at + 1].wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| i64::from(tens) * 10 + i64::from(ones))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a day of the Gregorian calendar after it. Years are counted from March, so that the leap day is
/// the last of its year and (153 m + 2) / 5 gives the days before the m-th month.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    const DAYS_TO_EPOCH: i64 = 719_468; // from 0000-03-01 to 1970-01-01
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - DAYS_TO_EPOCH
}

/// The time an event is kept under and why it may be wrong. `sent_at` is the sender's clock at the moment `now` of ours.
///
/// `None` when the corrected time lies outside the calendar.
pub(crate) fn judge(told: Timestamp, sent_at: Option<Timestamp>, now: Timestamp) -> Option<(Timestamp, Option<TimeDoubt>)> {
    let skew = sent_at.map_or(SignedDuration::ZERO, |sent_at| sent_at.duration_since(now));
    if skew.abs() > SKEW_MAX {
        return Some((told.checked_sub(skew).ok()?, Some(TimeDoubt::Skewed)));
    }
    let is_future = told.duration_since(now) > FUTURE_MAX;
    Some((told, is_future.then_some(TimeDoubt::Future)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn time(text: &str) -> Timestamp {
        to_micros(text.parse().unwrap())
    }

    #[test]
    fn the_usual_form_is_read_as_jiff_reads_it() {
        let check = |text: &str| assert_eq!(usual(text.as_bytes()), Some(time(text)), "{text}");
        check("2026-03-01T09:30:00Z");
        check("2026-03-01T09:30:00.1Z");
        check("2026-03-01T09:30:00.123456789Z");
        check("2024-02-29T23:59:59.000001+01:00");
        check("2000-02-29T00:00:00-11:30");
        check("1971-01-01T00:00:00+23:59");
        check("9999-01-01T00:00:00Z");
    }

    #[test]
    fn the_rest_is_left_to_jiff() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(usual(text.as_bytes()), None, "{text}");
            assert_eq!(parse(text), expect.map(time), "{text}");
        };
        check("2026-03-01 09:30:00Z", Some("2026-03-01T09:30:00Z"));
        check("2026-03-01t09:30:00z", Some("2026-03-01T09:30:00Z"));
        check("2026-03-01T09:30:00+0100", Some("2026-03-01T08:30:00Z"));
        check("1969-12-31T23:59:59Z", Some("1969-12-31T23:59:59Z"));
        check("2026-03-01T09:30:00", None);
        check("2026-03-01", None);
        check("2026-02-29T00:00:00Z", None);
        check("2100-02-29T00:00:00Z", None);
        check("2026-13-01T00:00:00Z", None);
        check("2026-00-01T00:00:00Z", None);
        check("2026-01-00T00:00:00Z", None);
        check("2026-04-31T00:00:00Z", None);
        check("2026-03-01T24:00:00Z", None);
        check("2026-03-01T09:60:00Z", None);
        check("2026-03-01T09:30:00.Z", None);
        check("2026-03-01T09:30:00.1234567890Z", None);
        check("2026-03-0:T09:30:00Z", None);
        check("2026-03-01T09:30:00é", None);
        check("", None);
    }

    #[test]
    fn doubtful_clocks_are_marked_and_corrected() {
        let now = time("2026-03-01T12:00:00Z");
        let check = |told: &str, sent_at: Option<&str>, expect: &str, doubt: Option<TimeDoubt>| {
            assert_eq!(judge(time(told), sent_at.map(time), now), Some((time(expect), doubt)), "{told} {sent_at:?}");
        };
        check("2026-03-01T12:05:00Z", None, "2026-03-01T12:05:00Z", None);
        check("2026-03-01T12:05:00.000001Z", None, "2026-03-01T12:05:00.000001Z", Some(TimeDoubt::Future));
        check("2999-01-01T00:00:00Z", None, "2999-01-01T00:00:00Z", Some(TimeDoubt::Future));
        check("2026-03-01T11:00:00Z", Some("2026-03-01T12:05:00Z"), "2026-03-01T11:00:00Z", None);
        check("2026-03-01T12:30:00Z", Some("2026-03-01T13:00:00Z"), "2026-03-01T11:30:00Z", Some(TimeDoubt::Skewed));
        check("2026-03-01T08:00:00Z", Some("2026-03-01T09:00:00Z"), "2026-03-01T11:00:00Z", Some(TimeDoubt::Skewed));
        assert_eq!(judge(Timestamp::MAX, Some(time("1995-01-01T00:00:00Z")), now), None);
    }

    proptest! {
        #[test]
        fn every_time_is_read_as_jiff_reads_it(seconds in 31_536_000_i64..250_000_000_000, nanos in 0_i32..1_000_000_000) {
            let text = Timestamp::new(seconds, nanos).unwrap().to_string();
            prop_assert_eq!(usual(text.as_bytes()), Some(time(&text)), "{}", text);
        }
    }
}
