//! Days of the calendar, as far as telling whether one is missing.

/// The day number of an ISO date such as `2026-11-21`; only differences of day numbers mean anything. A time of day
/// after it is left out. `None` where it is no date.
pub(crate) fn day(text: &str) -> Option<i64> {
    let date = text.trim();
    let date = date.get(..10).filter(|_| date.len() == 10 || matches!(date.as_bytes()[10], b'T' | b' '))?;
    let mut parts = date.split('-');
    let mut part = |length: usize| -> Option<i64> {
        let digits = parts.next().filter(|part| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        digits.parse().ok()
    };
    let (year, month, day) = (part(4)?, part(2)?, part(2)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = *lengths.get(usize::try_from(month - 1).ok()?)?;
    if !(1..=length).contains(&day) {
        return None;
    }
    let before: i64 = lengths[..(month - 1) as usize].iter().sum();
    let past = year - 1;
    Some(365 * past + past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400) + before + day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_follow_each_other() {
        let check = |one: &str, next: &str, expect: i64| assert_eq!(day(next).unwrap() - day(one).unwrap(), expect);
        check("2026-11-21", "2026-11-22", 1);
        check("2024-02-28", "2024-03-01", 2);
        check("2023-02-28", "2023-03-01", 1);
        check("1999-12-31", "2000-01-01", 1);
        check("2000-01-01", "2001-01-01", 366);
        check("2026-11-21T10:00:00Z", "2026-11-22 08:00", 1);
        for bad in ["", "2026-13-01", "2026-02-29", "21.11.2026", "2026-1-01", "2026-11-21x", "week 1", "é026-11-211"] {
            assert_eq!(day(bad), None, "{bad}");
        }
    }
}
