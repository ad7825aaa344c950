//! Effects of factors against those of the saturated regression, and who gets none.

use std::collections::BTreeMap;

use super::super::{Action, Decision, decide};
use super::*;
use crate::observe::{ArmObservations, Funnel, Observations};
use crate::readout::hillstrom;

/// The cells of the pin of `stats::factorial`: numpy's gamma(2, mu/2) with the seed 20260101.
const PIN: [(u64, f64, f64); 4] = [
    (200, 0.9599569732861312, 71.87339945136236),
    (180, 1.4725051718435611, 170.25092359848898),
    (220, 1.0628718821739098, 137.41588418408008),
    (190, 1.915024334884128, 360.90707556398024),
];

/// Two copies at two hours, written in another order than the standard one.
const VARIANTS: &str = "[{name: plain-9, copy: plain, send_hour: 9}, {name: warm-20, copy: warm, send_hour: 20}, \
                        {name: plain-20, copy: plain, send_hour: 20}, {name: warm-9, copy: warm, send_hour: 9}]";

fn spec(variants: &str) -> Experiment {
    let keys = [("send_", ", timing"), ("channel", ", channel"), ("provider", ", provider")];
    let named: String = keys.iter().filter(|(key, _)| variants.contains(key)).map(|(_, factor)| *factor).collect();
    crate::parse(&format!(
        "experiment: crossed\nfactors: [copy{named}]\nvariants: {variants}\nprimary: revenue\n\
         metrics: [{{name: revenue, outcome: order, measure: amount, unit: EUR}}]"
    ))
    .unwrap()
}

fn decided(spec: &Experiment, cells: &[(&str, (u64, f64, f64))], planned: u64) -> Decision {
    let arm = |(name, (count, mean, m2)): &(&str, (u64, f64, f64))| ArmObservations {
        variant: vocabulary::VariantName::new(name).unwrap(),
        assigned: *count,
        mature: *count,
        metrics: [("revenue".to_owned(), Moments { count: *count, mean: *mean, m2: *m2 })].into(),
        ratios: BTreeMap::new(),
        before: None,
        adjusted: None,
        bounced: 0,
        funnel: Funnel { assigned: *count, sent: *count, accepted: *count, ordered: *count, ..Funnel::default() },
    };
    let overall = Observations { arms: cells.iter().map(arm).collect(), ..hillstrom::observations() };
    let markets = BTreeMap::new();
    let look = Look::of(&overall, &markets, Some(planned));
    decide(spec, &look)
}

fn cells(names: [&'static str; 4]) -> Vec<(&'static str, (u64, f64, f64))> {
    names.into_iter().zip(PIN).collect()
}

#[test]
fn crossed_variants_have_the_effects_of_the_saturated_regression() {
    let names = ["plain-9", "warm-9", "plain-20", "warm-20"];
    let decision = decided(&spec(VARIANTS), &cells(names), 790);
    assert_ne!(decision.action, Action::CannotJudge, "{decision:?}");
    let [copy, hour, both] = &decision.factors[..] else { panic!("three effects, not {:?}", decision.factors) };
    // Parameters and HC2 errors of statsmodels in the coding ±½; the difference in differences is twice the interaction.
    let check = |effect: &FactorEffect, difference: f64, error: f64| {
        assert!((effect.difference - difference).abs() < 1e-8, "{effect:?}");
        let (lower, upper) = effect.interval.lower.zip(effect.interval.upper).unwrap();
        let half = effect.boundary.unwrap() * error;
        assert!((upper - difference - half).abs() < 1e-8 && (difference - lower - half).abs() < 1e-8, "{effect:?}");
    };
    check(copy, 0.68235033, 0.0706971284);
    check(hour, 0.27271704, 0.0706971284);
    check(both, 2.0 * 0.16980213, 2.0 * 0.0706971284);
    assert_eq!((copy.factors.as_slice(), copy.levels[0].as_str()), ([Factor::Copy].as_slice(), "warm"));
    assert_eq!((hour.levels[0].as_str(), hour.baseline[0].as_str()), ("20:00", "9:00"));
    assert_eq!(both.factors, [Factor::Copy, Factor::Timing]);
    // At the end, stepped down: z of 0.05/3, 0.05/2 and 0.05, two-sided.
    let boundaries = [copy, hour, both].map(|effect| effect.boundary.unwrap());
    assert!(
        boundaries.iter().zip([2.3940, 2.2414, 1.9600]).all(|(found, expect)| (found - expect).abs() < 1e-3),
        "{boundaries:?}"
    );
    assert!([copy, hour, both].iter().all(|effect| effect.shown == Shown::Better), "{decision:?}");
    let said = "The copy `warm` instead of `plain` makes +0.682 [+0.513, +0.852] EUR of revenue per recipient; this is shown to be better.";
    assert_eq!(copy.sentence, said);
    assert!(both.sentence.ends_with("more of revenue with the time `20:00` than with `9:00`; this is shown to be better."));
}

#[test]
fn an_early_look_asks_for_more() {
    let names = ["plain-9", "warm-9", "plain-20", "warm-20"];
    let decision = decided(&spec(VARIANTS), &cells(names), 2_400);
    assert!(decision.factors.iter().all(|effect| effect.boundary.unwrap() > 3.0), "{:?}", decision.factors);
    assert_eq!(decision.factors[0].shown, Shown::Better);
    assert_eq!(decision.factors[2].shown, Shown::Neither);
    assert!(decision.factors[2].sentence.ends_with("this may be luck."));
}

#[test]
fn three_levels_of_a_factor_are_compared_with_the_control() {
    let variants = "[{name: a, copy: x, channel: email}, {name: b, copy: y, channel: email}, {name: c, copy: z, channel: email}, \
                    {name: d, copy: x, channel: sms}, {name: e, copy: y, channel: sms}, {name: f, copy: z, channel: sms}]";
    let cells: Vec<_> = ["a", "b", "c", "d", "e", "f"].into_iter().zip(PIN.into_iter().cycle()).collect();
    let decision = decided(&spec(variants), &cells, 10_000);
    let levels: Vec<String> = decision.factors.iter().map(|effect| effect.levels.join(" ")).collect();
    assert_eq!(levels, ["y", "z", "sms", "y sms", "z sms"]);
    let means = |name: &str| cells.iter().find(|(known, _)| *known == name).unwrap().1.1;
    let y = (means("b") - means("a") + means("e") - means("d")) / 2.0;
    assert!((decision.factors[0].difference - y).abs() < 1e-12);
}

#[test]
fn a_day_and_an_hour_are_one_time_and_providers_are_compared() {
    let levels = |variants: &str, names: [&'static str; 4]| {
        let told = decided(&spec(variants), &cells(names), 10_000).factors;
        told.iter().map(|effect| (effect.baseline.join(" + "), effect.levels.join(" + "))).collect::<Vec<_>>()
    };
    let expect = |found: Vec<(String, String)>, expect: [(&str, &str); 3]| {
        assert_eq!(found, expect.map(|(baseline, level)| (baseline.to_owned(), level.to_owned())));
    };
    let names = ["a", "b", "c", "d"];
    let days = "[{name: a, copy: x, send_hour: 9}, {name: b, copy: y, send_hour: 9}, \
                 {name: c, copy: x, send_day: tue, send_hour: 9}, {name: d, copy: y, send_day: tue, send_hour: 9}]";
    expect(levels(days, names), [("x", "y"), ("9:00", "tue 9:00"), ("x + 9:00", "y + tue 9:00")]);
    let times = "[{name: a, copy: x, send_day: tue}, {name: b, copy: y, send_day: tue}, \
                  {name: c, copy: x, send_day: sun, send_hour: learned}, {name: d, copy: y, send_day: sun, send_hour: learned}]";
    expect(levels(times, names), [("x", "y"), ("tue", "sun learned"), ("x + tue", "y + sun learned")]);
    let providers =
        "[{name: a, copy: x}, {name: b, copy: y}, {name: c, copy: x, provider: trial}, {name: d, copy: y, provider: trial}]";
    expect(levels(providers, names), [("x", "y"), ("the country's", "trial"), ("x + the country's", "y + trial")]);
    let decision = decided(&spec(providers), &cells(names), 10_000);
    assert!(decision.factors[1].sentence.starts_with("The provider `trial` instead of `the country's` makes +"), "{decision:?}");
}

#[test]
fn variants_that_do_not_cross_have_no_effects_of_factors() {
    let check = |variants: &str, names: [&'static str; 4]| {
        assert_eq!(decided(&spec(variants), &cells(names), 790).factors, [], "{variants}");
    };
    check("[{name: a}, {name: b}, {name: c}, {name: d}]", ["a", "b", "c", "d"]);
    let incomplete = "[{name: a, copy: x, send_hour: 9}, {name: b, copy: y, send_hour: 9}, {name: c, copy: x, send_hour: 20}]";
    check(incomplete, ["a", "b", "c", "d"]);
    let twice = "[{name: a, copy: x, send_hour: 9}, {name: b, copy: y, send_hour: 9}, {name: c, copy: x, send_hour: 20}, \
                 {name: d, copy: x, send_hour: 20}]";
    check(twice, ["a", "b", "c", "d"]);
}

#[test]
fn less_can_be_better() {
    let mut spec = spec(VARIANTS);
    spec.metrics[0].lower_is_better = true;
    let decision = decided(&spec, &cells(["plain-9", "warm-9", "plain-20", "warm-20"]), 790);
    assert!(decision.factors[0].difference > 0.0 && decision.factors[0].statistic < 0.0);
    assert_eq!(decision.factors[0].shown, Shown::Worse);
}
