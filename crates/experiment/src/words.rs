//! Numbers in sentences for people.

use stats::Interval;
use vocabulary::{Measure, Metric};

/// Digits that a sentence shows of a number.
const DIGITS: i32 = 3;

/// More decimals than this are not readable; smaller numbers are shown as powers of ten.
const DECIMALS_MAX: i32 = 6;

/// A mean of a metric: rates as percent, amounts and counts as they are, with their unit where it is known.
pub(crate) fn level(metric: &Metric, value: f64) -> String {
    match metric.measure {
        Measure::Occurred => format!("{} %", number(100.0 * value)),
        Measure::HoursToFirst => format!("{} hours", number(value)),
        Measure::Count | Measure::Amount | Measure::Profit => format!("{}{}", number(value), unit(metric)),
    }
}

/// A difference of two means, with its sign and, where given, its interval.
pub(crate) fn difference(metric: &Metric, value: f64, interval: &Interval) -> String {
    let (scale, unit) = match metric.measure {
        Measure::Occurred => (100.0, " percentage points".to_owned()),
        Measure::HoursToFirst => (1.0, " hours".to_owned()),
        Measure::Count | Measure::Amount | Measure::Profit => (1.0, unit(metric)),
    };
    let signed = |value: f64| format!("{}{}", if value > 0.0 { "+" } else { "" }, number(scale * value));
    let ends = interval.lower.zip(interval.upper).map(|(lower, upper)| format!(" [{}, {}]", signed(lower), signed(upper)));
    format!("{}{}{unit}", signed(value), ends.unwrap_or_default())
}

fn unit(metric: &Metric) -> String {
    metric.unit.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default()
}

/// A share of one as percent, without needless zeros.
pub(crate) fn percent(share: f64) -> String {
    let digits = number(100.0 * share);
    let short = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { &digits };
    format!("{short} %")
}

/// A change as percent with its sign.
pub(crate) fn signed_percent(share: f64) -> String {
    format!("{}{}", if share > 0.0 { "+" } else { "" }, percent(share))
}

/// A number with three significant digits.
pub(crate) fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let decimals = (DIGITS - 1).saturating_sub(value.abs().log10().floor() as i32);
    match decimals {
        ..=0 => format!("{value:.0}"),
        1..=DECIMALS_MAX => format!("{value:.width$}", width = decimals.unsigned_abs() as usize),
        _ => format!("{value:.2e}"),
    }
}

/// A whole number with its thousands set apart.
pub(crate) fn thousands(whole: u64) -> String {
    let digits = whole.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or("")).collect();
    groups.join(",")
}

/// How many of something, in the right number.
pub(crate) fn count(how_many: u64, one: &str, many: &str) -> String {
    format!("{how_many} {}", if how_many == 1 { one } else { many })
}

/// Hours as people say them.
pub(crate) fn span(hours: u32) -> String {
    match (hours, hours % 24) {
        (1, _) => "1 hour".to_owned(),
        (24, _) => "1 day".to_owned(),
        (0, _) | (_, 1..) => format!("{hours} hours"),
        (_, 0) => format!("{} days", hours / 24),
    }
}

/// To a tenth of a percent, so that sentences are no more exact than they are sure.
pub(crate) fn rounded(share: f64) -> f64 {
    (share * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_metrics_have_their_unit() {
        let check = |measure, unit: Option<&str>, expect: [&str; 2]| {
            let metric = Metric { unit: unit.map(str::to_owned), ..Metric::new("m", vocabulary::Outcome::Order, measure) };
            let interval = Interval::closed(-0.25, 1.0);
            assert_eq!([level(&metric, 0.5), difference(&metric, 0.5, &interval)], expect);
        };
        check(Measure::Occurred, None, ["50.0 %", "+50.0 [-25.0, +100] percentage points"]);
        check(Measure::HoursToFirst, None, ["0.500 hours", "+0.500 [-0.250, +1.00] hours"]);
        check(Measure::Profit, Some("EUR"), ["0.500 EUR", "+0.500 [-0.250, +1.00] EUR"]);
        check(Measure::Count, None, ["0.500", "+0.500 [-0.250, +1.00]"]);
    }

    #[test]
    fn numbers_are_short() {
        let check = |value: f64, expect: &str| assert_eq!(number(value), expect);
        check(0.0, "0");
        check(7.6589, "7.66");
        check(-0.680_61, "-0.681");
        check(0.012_345, "0.0123");
        check(1_234.5, "1234");
        check(99.95, "100.0");
        check(1.2e-9, "1.20e-9");
        check(f64::MIN_POSITIVE, "2.23e-308");
        assert_eq!(percent(0.95), "95 %");
        assert_eq!(percent(0.999), "99.9 %");
        assert_eq!(percent(20.0), "2000 %");
        assert_eq!(count(1, "order", "orders"), "1 order");
    }
}
