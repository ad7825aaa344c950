//! Sizes against the paper, the closed form and each other.

use stats::power::{Design, Reference, Scale};
use stats::{Alternative, CoMoments};

use super::*;
use crate::parse;

/// A list in one market of whom some had a 1; what they did before correlates with that by the root of `explained`.
pub(crate) fn past(contacts: u64, ones: u64, explained: f64) -> Past {
    let moments = stats::Moments::from_successes(contacts, ones);
    let before = contacts as f64;
    let product = (explained * moments.m2 * before).sqrt();
    let moments = CoMoments::from_centred(contacts, vec![moments.mean, 1.0], vec![moments.m2, product, before]);
    let values = vec![ValueCount { value: 1.0, contacts: ones }];
    Past { lower_is_better: false, markets: vec![PastMarket { market: "DE".to_owned(), contacts, values, moments }] }
}

fn experiment(weights: &[u32]) -> Experiment {
    let variants: String =
        weights.iter().enumerate().map(|(v, weight)| format!("- {{name: v{v}, weight: {weight}, copy: c{v}}}\n")).collect();
    parse(&format!("experiment: sized\nfactors: [copy]\nvariants:\n{variants}primary: ordered\nmetrics: [ordered]\n")).unwrap()
}

fn asked(experiment: &Experiment, mde: Option<f64>) -> Asked {
    Asked { mde, ..Asked::of(experiment) }
}

/// Feit & Berman 2019, section 4: N = 100,000, a rate of 68 % that varies by 3 points; n* = 2,283.9.
#[test]
fn the_most_valuable_size_is_that_of_the_paper() {
    let two = experiment(&[1, 1]);
    let sizing = size(&two, &past(100_000, 68_000, 0.0), &Asked { prior_sd: Some(0.03 / 0.68), ..Asked::of(&two) }).unwrap();
    let value = &sizing.plain.value;
    let expect = stats::power::test_and_roll(1e5, f64::sqrt(0.68 * 0.32), 0.68, 0.03).unwrap();
    assert!((expect.n_per_arm - 2_283.9).abs() < 0.05);
    assert!(value.units.iter().all(|units| units.abs_diff(2_283) <= 1), "{value:?}");
    assert!((value.expected - expect.expected_profit / 1e5).abs() < 1e-6, "{value:?}");
    assert!((value.gain_over_no_test - (expect.expected_profit - expect.expected_profit_untested) / 1e5).abs() < 1e-6);
    assert!((value.probability_wrong - expect.error_rate).abs() < 0.008, "{value:?} {expect:?}");
    assert!(value.gain_over_half_test > 0.0 && value.gain_over_half_test < value.gain_over_no_test);
    assert!(
        sizing.sentence.contains("test 4,566 of 100,000 contacts (2,283 of each variant; 4.57 % of the list)"),
        "{}",
        sizing.sentence
    );
}

/// 2 (z_(α/2) + z_β)² s² / Δ² for each variant at one look; more looks cost what `inflation` says.
#[test]
fn units_are_those_of_the_power_of_stats() {
    let (two, past) = (experiment(&[1, 1]), past(1_000_000, 30_000, 0.0));
    let variance = past.moments().moments(0).variance().unwrap();
    let design = Design {
        control_variance: variance,
        treatment_variance: variance,
        ratio: 1.0,
        alpha: 0.05,
        alternative: Alternative::TwoSided,
        reference: Reference::Normal,
        scale: Scale::Absolute,
    };
    let each = design.sample_size(0.05 * 0.03, 0.8).unwrap();
    let wanted = |looks| size(&two, &past, &Asked { looks, ..asked(&two, Some(0.05)) }).unwrap().plain.wanted.unwrap();
    // The closed form leaves out what is shown to be worse by mistake.
    assert!((wanted(1).units[0] as f64 / each - 1.0).abs() < 1e-4, "{:?} {each}", wanted(1));
    let cost = inflation(SPENDING, 0.05, Sides::Two, 0.2, 5).unwrap();
    assert!((wanted(5).units[0] as f64 / each / cost.inflation_factor - 1.0).abs() < 1e-4);
    assert!(wanted(5).fits && wanted(5).expected_units < wanted(1).test_units as f64);
    // What is asked for and what is there are each other's inverse.
    let sized = |test_units| size(&two, &past, &Asked { test_units, ..asked(&two, Some(0.05)) }).unwrap().plain;
    let exactly = sized(Some(wanted(5).test_units));
    assert!((exactly.mde - 0.05).abs() < 1e-6 && (exactly.wanted.unwrap().power - 0.8).abs() < 1e-5);
    assert!(sized(Some(10_000)).mde > 0.2 && sized(Some(10_000)).wanted.unwrap().power < 0.2);
}

#[test]
fn unequal_variants_and_more_of_them_need_more() {
    let past = past(1_000_000, 30_000, 0.0);
    let units = |weights: &[u32]| {
        let experiment = experiment(weights);
        let wanted = size(&experiment, &past, &asked(&experiment, Some(0.1))).unwrap().plain.wanted.unwrap();
        (wanted.units, wanted.test_units)
    };
    let (even, total) = units(&[1, 1]);
    assert_eq!((even[0], 2 * even[0]), (even[1], total));
    // 4 becomes (1 + 3)(1 + 1/3).
    let (uneven, more) = units(&[3, 1]);
    assert!((more as f64 / total as f64 - 4.0 / 3.0).abs() < 1e-3 && uneven[0].abs_diff(3 * uneven[1]) <= 3);
    let (three, _) = units(&[1, 1, 1]);
    assert!(three[0] > even[0], "two comparisons share alpha");
}

/// A correlation of √½ leaves half of the variance.
#[test]
fn half_of_the_variance_needs_half_of_the_contacts() {
    let two = experiment(&[1, 1]);
    let sizing = size(&two, &past(1_000_000, 30_000, 0.5), &asked(&two, Some(0.05))).unwrap();
    let units = |size: &DesignSize| size.wanted.as_ref().unwrap().test_units as f64;
    assert!((units(&sizing.plain) / units(&sizing.cuped) - 2.0).abs() < 1e-3);
    assert!((sizing.variance_left - 0.5).abs() < 1e-9 && (sizing.correlation - f64::sqrt(0.5)).abs() < 1e-9);
    assert!((sizing.plain.mde / sizing.cuped.mde - f64::sqrt(2.0)).abs() < 1e-9);
    assert!(sizing.cuped.value.gain_over_no_test > sizing.plain.value.gain_over_no_test);
    assert_ne!(say::sentence(&sizing, &Asked { cuped: true, ..asked(&two, Some(0.05)) }), sizing.sentence);
}

#[test]
fn a_list_that_is_too_small_is_told_so() {
    let two = experiment(&[1, 1]);
    let sizing = size(&two, &past(8_000, 240, 0.0), &asked(&two, Some(0.05))).unwrap();
    let wanted = sizing.plain.wanted.as_ref().unwrap();
    assert!(!wanted.fits && wanted.share_of_list > 10.0 && wanted.power < 0.1, "{wanted:?}");
    let said = &sizing.sentence;
    assert!(said.starts_with("8,000 contacts are too few to show a lift of 5 %: that takes "), "{said}");
    assert!(said.contains("Do not wait for significance; pick by expected value. To earn the most, test"), "{said}");
    let text = text(&sizing);
    assert!(text.starts_with(said) && text.contains("power with the contacts there can be"), "{text}");
    assert!(text.lines().skip(2).all(|line| line.chars().count() <= 110 && !line.contains("NaN")), "{text}");
}

#[test]
fn a_flow_takes_its_days() {
    let two = experiment(&[1, 1]);
    let flow = Asked { test_units: Some(20_000), contacts_per_day: Some(500.0), ..Asked::of(&two) };
    let sizing = size(&two, &past(8_000, 240, 0.0), &flow).unwrap();
    assert_eq!((sizing.plain.days, sizing.plain.wanted), (40.0 + 7.0, None));
}

#[test]
fn what_cannot_be_sized_says_what_to_do() {
    let two = experiment(&[1, 1]);
    let fails = |past: Past, asked: Asked, expect: &str| {
        let error = size(&two, &past, &asked).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    let usual = || Asked::of(&two);
    let good = || past(1_000, 30, 0.0);
    fails(Past { lower_is_better: false, markets: Vec::new() }, usual(), "import contacts and their orders");
    fails(past(1_000, 1_000, 0.0), usual(), "take a longer window");
    let mut broken = good();
    broken.markets[0].values[0].contacts = 2_000;
    fails(broken, usual(), "market `DE` cannot be used: its values are those of 2000 contacts and it has 1000");
    let mut broken = good();
    broken.markets[0].moments = CoMoments::new(2);
    fails(broken, usual(), "its moments are not those of two numbers of 1000 contacts");
    let mut broken = good();
    broken.markets[0].values = vec![ValueCount { value: 2.0, contacts: 0 }; PAST_VALUES_MAX + 1];
    fails(broken, usual(), "the limit is 1000");
    let mut broken = good();
    broken.markets[0].values[0].value = f64::NAN;
    fails(broken, usual(), "a value is not a number");
    let mut lost = good();
    let product = lost.markets[0].moments.product(0, 0);
    lost.markets[0].moments = CoMoments::from_centred(1_000, vec![-0.5, 0.0], vec![product, 0.0, 0.0]);
    fails(lost, usual(), "take a metric whose mean is above zero");
    fails(good(), Asked { alpha: 0.0, ..usual() }, "`alpha` is 0");
    fails(good(), Asked { power: 0.01, ..usual() }, "`power` is 0.01; it must lie between alpha and 1");
    fails(good(), Asked { looks: 0, ..usual() }, "`looks` is 0");
    fails(good(), Asked { mde: Some(-0.1), ..usual() }, "`mde` is -0.1; it must be from 0.000001 to 1000000000");
    fails(good(), Asked { prior_sd: Some(f64::NAN), ..usual() }, "`prior_sd` is NaN");
    fails(good(), Asked { test_units: Some(2_000), ..usual() }, "`test_units` is 2000; it must be from 1 to 1000");
}

#[test]
fn a_histogram_is_that_of_all_markets() {
    let mut both = past(100, 3, 0.0);
    both.markets.push(PastMarket { market: "FR".to_owned(), ..past(50, 2, 0.0).markets.remove(0) });
    let told: Vec<(f64, u64)> = both.values().iter().map(|bar| (bar.value, bar.contacts)).collect();
    assert_eq!((told, both.contacts()), (vec![(0.0, 145), (1.0, 5)], 150));
    assert!((both.moments().mean(0) - 5.0 / 150.0).abs() < 1e-12);
    let text = serde_json::to_string(&both).unwrap();
    assert_eq!(serde_json::from_str::<Past>(&text).unwrap(), both);
}
