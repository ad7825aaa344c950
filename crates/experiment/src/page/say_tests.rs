//! How numbers are said.

use vocabulary::{Currency, Measure, Metric, Outcome};

use super::*;

fn metric(outcome: Outcome, measure: Measure, lower_is_better: bool) -> Metric {
    Metric { lower_is_better, ..Metric::new("it", outcome, measure) }
}

#[test]
fn two_digits_count() {
    let check = |value: f64, expect: &str| assert_eq!(rough(value), expect, "{value}");
    check(4_236.0, "4,200");
    check(-900.4, "900");
    check(99.6, "100");
    check(12.34, "12");
    check(9.96, "10");
    check(4.2, "4.2");
    check(4.0, "4");
    check(0.0123, "0.012");
    check(0.1, "0.1");
    check(0.0, "0");
    check(1e-7, "0");
    check(1_234_567.0, "1,200,000");
    check(1e18, "1.0e18");
    assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    assert_eq!([0, 1, 2_000].map(people), ["0 people", "1 person", "2,000 people"]);
    assert_eq!([1, 12, 13].map(in_words), ["one", "twelve", "13"]);
    assert_eq!(["in 1", "", "ähnlich"].map(capital), ["In 1", "", "Ähnlich"]);
    assert_eq!([1, 24, 36, 168, 0].map(span), ["1 hour", "1 day", "36 hours", "7 days", "0 hours"]);
}

#[test]
fn chances_are_cases() {
    let check = |chance: f64, cases: &str, not: &str| {
        assert_eq!(Chance::of(chance).cases(), cases, "{chance}");
        assert_eq!(Chance::of(chance).not().times(), not, "{chance}");
    };
    check(0.95, "in 19 of 20 cases", "one time in 20");
    check(0.874, "in about 7 of 8 cases", "one time in eight");
    check(0.5, "in 1 of 2 cases", "one time in two");
    check(0.7, "in 7 of 10 cases", "in 3 of 10 cases");
    check(0.34, "in about 1 of 3 cases", "in about 2 of 3 cases");
    check(0.99, "in 99 of 100 cases", "one time in 100");
    check(0.9987, "in about 999 of 1,000 cases", "one time in 1,000");
    check(0.9999, "in more than 999 of 1,000 cases", "in fewer than 1 of 1,000 cases");
    check(1.0, "in more than 999 of 1,000 cases", "in fewer than 1 of 1,000 cases");
    check(0.0, "in fewer than 1 of 1,000 cases", "in more than 999 of 1,000 cases");
}

/// Cases are never further from the chance than they claim.
#[test]
fn cases_are_close_to_the_chance() {
    for step in 1..10_000_u32 {
        let chance = f64::from(step) / 10_000.0;
        let (said, error) = match Chance::of(chance) {
            Chance::Cases(hits, cases, _) => (f64::from(hits) / f64::from(cases), 0.05 * chance.min(1.0 - chance)),
            Chance::Hardly => (0.0, 0.0),
            Chance::Nearly => (1.0, 0.0),
        };
        assert!((said - chance).abs() <= error.max(0.000_501), "{chance} is said as {said}");
    }
}

#[test]
fn lifts_say_which_way() {
    assert_eq!([0.08, -0.125, 0.0].map(lift), ["8 % more", "13 % less", "as much"]);
    let check = |lower: f64, upper: f64, expect: &str| {
        assert_eq!(lift_between(&Interval::closed(lower, upper)).as_deref(), Some(expect));
    };
    check(0.01, 0.15, "likely between 1 % and 15 % more");
    check(-0.15, -0.01, "likely between 1 % and 15 % less");
    check(-0.03, 0.1, "likely between 3 % less and 10 % more");
    assert_eq!(lift_between(&Interval { lower: Some(0.1), upper: None }), None);
    assert_eq!([signed(0.035), signed(-2.0), signed(0.0)], ["+0.0350", "−2.00", "0"]);
    assert_eq!([0.125, -0.5, 0.0].map(signed_percent), ["+12.5 %", "−50 %", "0 %"]);
    assert_eq!(ends(&Interval { lower: None, upper: Some(0.5) }, signed_percent), "open to +50 %");
    assert_eq!(ends(&Interval { lower: None, upper: None }, signed), NONE);
}

#[test]
fn every_metric_has_its_own_words() {
    let money = metric(Outcome::Order, Measure::Amount, false);
    let unit = Unit { metric: &money, currency: Some(Currency::new("EUR").unwrap()) };
    assert_eq!(unit.change(4_236.0), "4,200 EUR more");
    assert_eq!(unit.change(-4.2), "4.20 EUR less");
    assert_eq!(unit.per_recipient(0.035), "0.035 EUR more per recipient");
    assert_eq!(unit.loss(12.4), "12 EUR");
    let between = |unit: &Unit<'_>, lower, upper| unit.between(&Interval::closed(lower, upper), 1_000.0).unwrap();
    assert_eq!(between(&unit, 0.0075, 0.063), "likely between 7.50 and 63 EUR more");
    assert_eq!(between(&unit, -0.063, -0.0075), "likely between 7.50 and 63 EUR less");
    assert_eq!(between(&unit, -0.9, 7.6), "likely between 900 EUR less and 7,600 EUR more");
    assert_eq!(unit.between(&Interval { lower: None, upper: Some(1.0) }, 1.0), None);
    let unit = Unit { metric: &money, currency: None };
    assert_eq!(unit.change(4_236.0), "4,200 in the base currency more");

    let buyers = metric(Outcome::Order, Measure::Occurred, false);
    let unit = Unit { metric: &buyers, currency: None };
    assert_eq!(unit.change(12.3), "12 more people who order");
    assert_eq!(unit.result(0.045, 10_000), "4.5 % of 10,000 people ordered");
    assert_eq!(unit.per_recipient(0.012), "a chance to order that is 1.2 percentage points higher for each recipient");
    assert_eq!(unit.per_recipient(-0.01), "a chance to order that is 1 percentage point lower for each recipient");
    assert_eq!(unit.loss(0.5), "0.5 people who order missed");
    assert_eq!(between(&unit, -0.004, 0.02), "likely between 4 fewer and 20 more people who order");

    let left = metric(Outcome::Unsubscribe, Measure::Count, true);
    let unit = Unit { metric: &left, currency: None };
    assert_eq!(unit.change(12.3), "12 fewer unsubscribes");
    assert_eq!(unit.change(-12.3), "12 more unsubscribes");
    assert_eq!(unit.loss(0.5), "0.5 unsubscribes too many");
    assert_eq!(between(&unit, 0.004, 0.02), "likely between 4 and 20 fewer unsubscribes");
    assert_eq!(between(&unit, -0.004, 0.02), "likely between 4 more and 20 fewer unsubscribes");
}
