//! Tests of [`super`]: exact conversion, how long a rate holds, and what a merge reports.

use jiff::civil::date;
use proptest::prelude::*;

use super::*;

fn currency(code: &str) -> Currency {
    Currency::new(code).unwrap()
}

fn table(base: &str, rows: &[(&str, Date, &str, RateSource)]) -> Rates {
    let mut rates = Rates::new(currency(base));
    for &(code, date, rate, source) in rows {
        rates.put(Rate { date, currency: currency(code), ratio: Ratio::parse(rate).unwrap(), source }).unwrap();
    }
    rates
}

fn check(rates: &Rates, minor: i64, code: &str, day: Date, expect: Option<i64>) {
    let found = rates.to_base(Money { minor, currency: currency(code) }, day).map(|money| money.minor);
    assert_eq!(found, expect, "{minor} {code} on {day}");
}

#[test]
fn the_newest_rate_before_the_day_converts() {
    let mut rates = Rates::new(currency("EUR"));
    rates.insert(currency("JPY"), date(2026, 1, 1), "160").unwrap();
    rates.insert(currency("JPY"), date(2026, 2, 1), "150.5").unwrap();
    check(&rates, 16_000, "JPY", date(2025, 12, 31), None);
    check(&rates, 16_000, "JPY", date(2026, 1, 15), Some(10_000));
    check(&rates, 16_000, "JPY", date(2026, 3, 1), Some(10_631));
    check(&rates, 16_000, "EUR", date(1990, 1, 1), Some(16_000));
    check(&rates, 16_000, "USD", date(2026, 3, 1), None);
}

#[test]
fn halves_are_rounded_away_from_zero() {
    let rates =
        table("EUR", &[("USD", date(2026, 1, 1), "2", RateSource::Own), ("KWD", date(2026, 1, 1), "0.3", RateSource::Own)]);
    let day = date(2026, 1, 1);
    check(&rates, 1, "USD", day, Some(1));
    check(&rates, -1, "USD", day, Some(-1));
    check(&rates, 3, "USD", day, Some(2));
    check(&rates, -3, "USD", day, Some(-2));
    // 0.001 KWD are 0.00333 EUR, 0.002 are 0.00667.
    check(&rates, 1, "KWD", day, Some(0));
    check(&rates, -1, "KWD", day, Some(0));
    check(&rates, 2, "KWD", day, Some(1));
}

/// 2^53 + 1 is the first whole number a float does not hold; a rate may need more than nine places, a weak base's most.
#[test]
fn no_digit_is_lost() {
    let day = date(2026, 1, 1);
    let rates = table("EUR", &[("USD", day, "1", RateSource::Own), ("GBP", day, "0.9999999999999999", RateSource::Own)]);
    check(&rates, 9_007_199_254_740_993, "USD", day, Some(9_007_199_254_740_993));
    check(&rates, 9_007_199_254_740_993, "GBP", day, Some(9_007_199_254_740_994));
    check(&rates, i64::MAX, "USD", day, Some(i64::MAX));
    check(&rates, i64::MIN, "USD", day, Some(i64::MIN));
    check(&rates, i64::MAX, "GBP", day, None);
    let weak = table("IRR", &[("USD", day, "0.000000812", RateSource::Own)]);
    check(&weak, 812, "USD", day, Some(1_000_000_000));
}

/// 100 GBP at 0.86908 per euro and 1.0947 dollars per euro are 125.9607... dollars.
#[test]
fn a_cross_rate_keeps_both_rates() {
    let [gbp, usd] = ["0.86908", "1.0947"].map(|text| Ratio::parse(text).unwrap());
    let crossed = gbp.over(usd).unwrap();
    assert_eq!((crossed.numerator(), crossed.denominator()), (43454, 54735));
    let mut rates = Rates::new(currency("USD"));
    let day = date(2024, 1, 2);
    rates.put(Rate { date: day, currency: currency("GBP"), ratio: crossed, source: RateSource::Ecb }).unwrap();
    check(&rates, 10_000, "GBP", day, Some(12_596));
    // 869,080,000 pounds are exactly 1,094,700,000 dollars: no rounding of the rate shows.
    check(&rates, 86_908_000_000, "GBP", day, Some(109_470_000_000));
}

#[test]
fn rates_are_decimals() {
    let check = |text: &str, expect: Option<&str>| {
        assert_eq!(Ratio::parse(text).ok().map(|ratio| ratio.to_string()).as_deref(), expect, "{text}");
    };
    check("1.0842", Some("1.0842"));
    check("007.50", Some("7.5"));
    check("160", Some("160"));
    check("0.000000000000000001", Some("0.000000000000000001"));
    check("999999999999999999", Some("999999999999999999"));
    check("1.0842000000000001", Some("1.0842000000000001"));
    for bad in ["", "0", "0.0", "-1", "+1", "1.", ".5", "1,5", "1e3", "1.2.3", "nan", "1234567890.0987654321", "１"] {
        check(bad, None);
    }
    assert_eq!(Ratio::new(1, 3).unwrap().to_string(), "0.333333333333333333");
    assert_eq!(Ratio::new(2, 3).unwrap().to_string(), "0.666666666666666667");
    assert_eq!(Ratio::new(i128::from(i64::MAX) + 1, 1), None);
}

#[test]
fn the_base_currency_is_worth_itself() {
    let mut rates = Rates::new(currency("EUR"));
    rates.insert(currency("EUR"), date(2026, 1, 1), "1.0").unwrap();
    assert!(rates.is_empty());
    let error = rates.insert(currency("EUR"), date(2026, 1, 1), "0.92").unwrap_err().to_string();
    assert!(error.contains("one EUR is one EUR, not `0.92`"), "{error}");
}

/// Good Friday 2026 is 3 April; the ECB publishes on Thursday the 2nd and Tuesday the 7th.
#[test]
fn rates_of_the_ecb_hold_over_easter_and_not_for_ever() {
    let maundy_thursday = date(2026, 4, 2);
    let ecb = table("EUR", &[("USD", maundy_thursday, "1.25", RateSource::Ecb)]);
    check(&ecb, 125, "USD", date(2026, 4, 1), None);
    for day in 2..=9 {
        check(&ecb, 125, "USD", date(2026, 4, day), Some(100));
    }
    check(&ecb, 125, "USD", date(2026, 4, 10), None);
    let own = table("EUR", &[("USD", maundy_thursday, "1.25", RateSource::Own)]);
    check(&own, 125, "USD", date(2027, 4, 2), Some(100));
    // The operator's older rate does not come back when the ECB's ends: it ended where the ECB's began.
    let mixed =
        table("EUR", &[("USD", date(2026, 1, 1), "1", RateSource::Own), ("USD", maundy_thursday, "1.25", RateSource::Ecb)]);
    check(&mixed, 125, "USD", date(2026, 4, 1), Some(125));
    check(&mixed, 125, "USD", date(2026, 4, 10), None);
}

#[test]
fn a_merge_tells_what_converts_otherwise() {
    let jan = |day| date(2026, 1, day);
    let own = |code, day, rate| (code, jan(day), rate, RateSource::Own);
    let ecb = |code, day, rate| (code, jan(day), rate, RateSource::Ecb);
    let check = |before: &[_], newer: &[_], expect: &[(&str, Date, Date)]| {
        let mut rates = table("EUR", before);
        let spans = rates.merge(&table("EUR", newer)).unwrap();
        let spans: Vec<_> = spans.iter().map(|span| (span.currency.as_str(), span.first, span.last)).collect();
        assert_eq!(spans, expect, "{before:?} and {newer:?}");
        assert_eq!(rates.merge(&table("EUR", newer)).unwrap(), [], "told twice");
    };
    check(&[], &[], &[]);
    check(&[], &[own("USD", 5, "1.1")], &[("USD", jan(5), Date::MAX)]);
    check(&[], &[ecb("USD", 5, "1.1")], &[("USD", jan(5), jan(12))]);
    check(&[], &[ecb("USD", 5, "1.1"), ecb("USD", 6, "1.2")], &[("USD", jan(5), jan(13))]);
    // A rate that comes late changes the days up to the next one.
    check(&[ecb("USD", 5, "1.1"), ecb("USD", 7, "1.3")], &[ecb("USD", 6, "1.2")], &[("USD", jan(6), jan(6))]);
    // One that says the same only holds longer.
    check(&[ecb("USD", 5, "1.1")], &[ecb("USD", 6, "1.10")], &[("USD", jan(13), jan(13))]);
    check(&[own("USD", 5, "1.1")], &[ecb("USD", 5, "1.1")], &[("USD", jan(13), Date::MAX)]);
    check(
        &[own("USD", 1, "1.1")],
        &[own("JPY", 3, "160"), own("USD", 9, "1.2")],
        &[("JPY", jan(3), Date::MAX), ("USD", jan(9), Date::MAX)],
    );
    let error = table("EUR", &[]).merge(&table("USD", &[])).unwrap_err();
    assert_eq!(error, MoneyError::OtherBase { base: currency("EUR"), given: currency("USD") });
}

#[test]
fn a_table_is_rebuilt_from_its_rows() {
    let mut rates = table("EUR", &[("USD", date(2026, 1, 1), "1.1", RateSource::Own)]);
    let third = Ratio::new(1, 3).unwrap();
    rates.put(Rate { date: date(2026, 1, 2), currency: currency("GBP"), ratio: third, source: RateSource::Ecb }).unwrap();
    let mut again = Rates::new(rates.base());
    for rate in rates.iter() {
        let ratio = Ratio::new(rate.ratio.numerator().into(), rate.ratio.denominator().into()).unwrap();
        again.put(Rate { ratio, source: rate.source.as_str().parse().unwrap(), ..rate }).unwrap();
    }
    assert_eq!(again, rates);
    let codes: Vec<_> = rates.iter().map(|rate| rate.currency.to_string()).collect();
    assert_eq!(codes, ["GBP", "USD"]);
}

fn rows() -> impl Strategy<Value = Vec<(&'static str, Date, &'static str, RateSource)>> {
    let code = prop::sample::select(vec!["USD", "JPY"]);
    let rate = prop::sample::select(vec!["1", "2", "3"]);
    let source = prop::sample::select(RateSource::ALL.to_vec());
    let day = (0_i32..40).prop_map(|day| date(2026, 1, 10).saturating_add(day.days()));
    prop::collection::vec((code, day, rate, source), 0..12)
}

proptest! {
    /// A day is reported if and only if some amount converts otherwise on it.
    #[test]
    fn a_merge_reports_every_changed_day_and_no_other(before in rows(), newer in rows()) {
        let before = table("EUR", &before);
        let mut after = before.clone();
        let spans = after.merge(&table("EUR", &newer)).unwrap();
        for code in ["JPY", "USD"].map(currency) {
            for day in date(2026, 1, 1).series(1.day()).take(90).chain([Date::MAX]) {
                let reported = spans.iter().filter(|span| span.currency == code && (span.first..=span.last).contains(&day)).count();
                let differs = before.ratio(code, day) != after.ratio(code, day);
                prop_assert_eq!(reported, usize::from(differs), "{} on {}: {:?}", code, day, &spans);
            }
        }
        let touching = |pair: &[RateSpan]| pair[0].currency == pair[1].currency && pair[0].last.tomorrow().ok() == Some(pair[1].first);
        prop_assert!(!spans.windows(2).any(touching), "spans that touch are one: {:?}", &spans);
    }

    /// The rounded amount is the nearest one: at most half a minor unit away, measured without division.
    #[test]
    fn conversion_is_off_by_at_most_half_a_cent(minor in -10_i64.pow(15)..10_i64.pow(15), numerator in 1_i64..10_i64.pow(10), denominator in 1_i64..10_i64.pow(10)) {
        let ratio = Ratio::new(numerator.into(), denominator.into()).unwrap();
        let day = date(2026, 1, 1);
        let mut rates = Rates::new(currency("EUR"));
        rates.put(Rate { date: day, currency: currency("USD"), ratio, source: RateSource::Own }).unwrap();
        if let Some(found) = rates.to_base(Money { minor, currency: currency("USD") }, day) {
            let (numerator, denominator) = (i128::from(ratio.numerator()), i128::from(ratio.denominator()));
            let off = i128::from(minor) * denominator - i128::from(found.minor) * numerator;
            prop_assert!(2 * off.abs() <= numerator, "{minor} at {ratio} gives {}", found.minor);
        }
    }
}
