//! Numbers and names in sentences for people.

use crate::report::{Interval, Measure};

/// Digits that a sentence shows of a number.
const DIGITS: i32 = 3;

/// More decimals than this are not readable; smaller numbers are shown as powers of ten.
const DECIMALS_MAX: i32 = 6;

/// Larger numbers than this power of ten are not readable either.
const EXPONENT_MAX: i32 = 15;

/// A sentence lists so many names before it only counts them.
const NAMES_MAX: usize = 5;

/// A mean: shares as percent, anything else as it is.
pub(crate) fn level(measure: Measure, value: f64) -> String {
    match measure {
        Measure::Binary => percent_exact(value),
        Measure::Mean | Measure::Ratio => number(value),
    }
}

/// A difference of two means, with its sign and, where given, its interval.
pub(crate) fn difference(measure: Measure, value: f64, interval: &Interval) -> String {
    let (scale, unit) = match measure {
        Measure::Binary => (100.0, " percentage points"),
        Measure::Mean | Measure::Ratio => (1.0, ""),
    };
    let signed = |value: f64| format!("{}{}", if value > 0.0 { "+" } else { "" }, number(scale * value));
    let ends = interval.lower.zip(interval.upper).map(|(lower, upper)| format!(" [{}, {}]", signed(lower), signed(upper)));
    format!("{}{}{unit}", signed(value), ends.unwrap_or_default())
}

/// A share of one as percent, without needless zeros.
pub(crate) fn percent(share: f64) -> String {
    let digits = number(100.0 * share);
    let short = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { &digits };
    format!("{short} %")
}

fn percent_exact(share: f64) -> String {
    format!("{} %", number(100.0 * share))
}

/// A number with three significant digits.
pub(crate) fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    // The exponent is that of the rounded number, so that 0.9999 is 1.00.
    let short = format!("{value:.width$e}", width = (DIGITS - 1) as usize);
    let exponent: i32 = short.rsplit('e').next().and_then(|exponent| exponent.parse().ok()).unwrap_or(0);
    let decimals = (DIGITS - 1).saturating_sub(exponent);
    match decimals {
        _ if exponent > EXPONENT_MAX => short,
        ..=0 => format!("{value:.0}"),
        1..=DECIMALS_MAX => format!("{value:.width$}", width = decimals.unsigned_abs() as usize),
        _ => short,
    }
}

/// How many of something, in the right number.
pub(crate) fn count(how_many: u64, one: &str, many: &str) -> String {
    format!("{how_many} {}", if how_many == 1 { one } else { many })
}

/// Names in a row: `a`, `b` and `c`.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] if most.len() < NAMES_MAX => format!("{} and {last}", most.join(", ")),
        all => format!("{} and {} more", all[..NAMES_MAX].join(", "), all.len() - NAMES_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let check = |value: f64, expect: &str| assert_eq!(number(value), expect);
        check(0.0, "0");
        check(7.6589, "7.66");
        check(-0.680_61, "-0.681");
        check(0.012_345, "0.0123");
        check(1_234.5, "1234");
        check(0.999_96, "1.00");
        check(99.96, "100");
        check(f64::MAX, "1.80e308");
        check(1.2e-9, "1.20e-9");
        check(f64::MIN_POSITIVE, "2.23e-308");
        assert_eq!(percent(0.95), "95 %");
        assert_eq!(percent(0.999), "99.9 %");
        assert_eq!(level(Measure::Binary, 0.1062), "10.6 %");
        assert_eq!(count(1, "order", "orders"), "1 order");
    }

    #[test]
    fn long_lists_are_counted() {
        let check = |names: &[&str], expect: &str| assert_eq!(list(names.iter().copied()), expect);
        check(&[], "");
        check(&["a"], "`a`");
        check(&["a", "b", "c"], "`a`, `b` and `c`");
        check(&["1", "2", "3", "4", "5", "6", "7"], "`1`, `2`, `3`, `4`, `5` and 2 more");
    }
}
