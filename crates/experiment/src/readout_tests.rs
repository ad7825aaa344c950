//! What a readout says: of Hillstrom's experiment what an expert would, and of everything that can go wrong its doubt.

use proptest::prelude::*;
use stats::{CoMoments, Moments};

use super::hillstrom::{SPEC, hillstrom, no_effect, observations, spec};
use super::*;

fn codes(readout: &Readout) -> Vec<&str> {
    readout.doubts.iter().map(|doubt| doubt.code.as_str()).collect()
}

fn find<'a>(readout: &'a Readout, metric: &str, variant: &str, baseline: &str) -> &'a Estimate {
    let is_it = |e: &&Estimate| e.metric == metric && e.variant.as_str() == variant && e.baseline.as_str() == baseline;
    readout.estimates.iter().find(is_it).unwrap()
}

/// Differences and intervals by mpmath at 60 digits from the same counts; they agree with the published conclusions.
#[test]
fn hillstrom_gives_the_numbers_of_an_expert() {
    let readout = hillstrom();
    let check = |metric: &str, variant: &str, absolute: [f64; 3], lift: [f64; 2], p_value: f64| {
        let estimate = find(&readout, metric, variant, "No E-Mail");
        let (effect, relative) = (estimate.absolute.computed().unwrap(), estimate.relative.computed().unwrap());
        let actual = [effect.difference, effect.interval.lower.unwrap(), effect.interval.upper.unwrap()];
        for (actual, expect) in actual
            .into_iter()
            .chain([relative.interval.lower.unwrap(), relative.interval.upper.unwrap()])
            .zip(absolute.into_iter().chain(lift))
        {
            assert!((actual - expect).abs() <= 1e-9 * expect.abs(), "{metric} {variant}: {actual} is not {expect}");
        }
        assert!((effect.p_value / p_value - 1.0).abs() < 1e-9, "{metric} {variant}: {}", effect.p_value);
        assert!(estimate.significant && estimate.better == Some(true));
    };
    check(
        "visit",
        "Mens E-Mail",
        [0.076_589_563_651_531_3, 0.069_953_147_609_761_5, 0.083_225_979_693_301],
        [0.640_924_782_943_713, 0.807_118_994_991_772],
        1.364_451_196_274_23e-112,
    );
    check(
        "conversion",
        "Mens E-Mail",
        [0.006_805_006_519_615_69, 0.005_000_070_747_732_39, 0.008_609_942_291_499],
        [0.779_521_414_913_713, 1.738_793_298_572_39],
        1.501_815_785_154_37e-13,
    );
    check(
        "spend",
        "Mens E-Mail",
        [0.769_827_155_894_536, 0.485_139_732_568_407, 1.054_514_579_220_67],
        [0.643_675_384_363_064, 1.977_480_791_768_69],
        1.163_814_968_225_49e-7,
    );
    check(
        "visit",
        "Womens E-Mail",
        [0.045_233_106_587_053, 0.038_893_493_762_080_3, 0.051_572_719_412_025_7],
        [0.356_478_043_618_395, 0.499_968_518_275_793],
        2.432_447_702_312_76e-44,
    );
    check(
        "conversion",
        "Womens E-Mail",
        [0.003_111_057_511_085_26, 0.001_498_592_366_146_8, 0.004_723_522_656_023_71],
        [0.234_012_050_977_038, 0.952_381_253_355_641],
        1.560_283_950_855_64e-4,
    );
    check(
        "spend",
        "Womens E-Mail",
        [0.424_412_215_936_597, 0.168_956_789_883_779, 0.679_867_641_989_415],
        [0.224_161_724_005_203, 1.274_964_693_810_16],
        1.129_397_102_363_25e-3,
    );
}

#[test]
fn hillstrom_gives_the_verdict_of_an_expert() {
    let readout = hillstrom();
    let pair = find(&readout, "spend", "Womens E-Mail", "Mens E-Mail").absolute.computed().unwrap();
    assert!((pair.difference + 0.345_414_939_957_94).abs() < 1e-9 && (pair.p_value / 0.030_468_651_185_299_3 - 1.0).abs() < 1e-9);
    assert!(
        readout.estimates.len() == 9 && readout.estimates.iter().all(|estimate| estimate.significant),
        "all nine survive Holm"
    );
    assert!((readout.sample_ratio.test.computed().unwrap().p_value - 0.904).abs() < 5e-4);
    assert_eq!(readout.verdict.kind, VerdictKind::Winner);
    assert_eq!(
        readout.verdict.sentence,
        "`Mens E-Mail` wins: visit is 18.3 % against 10.6 % with `No E-Mail`, a difference of +7.66 [+7.00, +8.32] percentage points at \
         95 % confidence."
    );
    assert_eq!(readout.doubts, []);
    assert_eq!(readout.arms.iter().map(|arm| arm.mature).collect::<Vec<_>>(), [21_306, 21_307, 21_387]);
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let bytes = serde_json::to_string(&hillstrom()).unwrap();
    assert_eq!(bytes, serde_json::to_string(&hillstrom()).unwrap());
    let again: Readout = serde_json::from_str(&bytes).unwrap();
    assert_eq!((again.verdict, again.plan_hash), (hillstrom().verdict, hillstrom().plan_hash));
    assert!(bytes.contains("\"sample_ratio\":{\"test\":{\"computed\":{\"statistic\":"), "{bytes}");

    let hash = |change: &dyn Fn(&mut Observations)| {
        let mut changed = observations();
        change(&mut changed);
        readout(&spec(), &changed, "x").plan_hash
    };
    assert_eq!(hash(&|_| ()), hillstrom().plan_hash);
    assert_ne!(hash(&|o| o.engine.push('x')), hillstrom().plan_hash);
    assert_ne!(
        hash(&|o| {
            o.versions.insert("orders".to_owned(), 6);
        }),
        hillstrom().plan_hash
    );
}

#[test]
fn what_went_wrong_becomes_a_doubt() {
    let check = |change: &dyn Fn(&mut Observations), kind: VerdictKind, expect: &[&str]| {
        let mut observations = observations();
        change(&mut observations);
        let readout = readout(&spec(), &observations, "x");
        assert_eq!(
            (readout.verdict.kind, codes(&readout).as_slice()),
            (kind, expect),
            "{:?} {:?}",
            readout.verdict,
            readout.doubts
        );
    };
    check(&|_| (), VerdictKind::Winner, &[]);
    check(&|o| o.immature = 1, VerdictKind::Undecided, &["immature"]);
    check(&|o| o.crossovers = 2, VerdictKind::Winner, &["crossover"]);
    check(&|o| o.strangers = 2, VerdictKind::Winner, &["unknown_variants"]);
    check(&|o| o.unconverted_orders = 2, VerdictKind::Winner, &["unconverted_orders"]);
    check(&|o| o.arms[0].assigned += 1500, VerdictKind::Undecided, &["srm"]);
    let nothing = [
        "no_assignments",
        "not_computable",
        "not_computable",
        "not_computable",
        "not_computable",
        "not_computable",
        "not_computable",
    ];
    check(&|o| o.arms.clear(), VerdictKind::Undecided, &nothing);
    let not_visits = &["skewed_small", "not_computable", "not_computable"];
    let no_visits = |o: &mut Observations| {
        for arm in &mut o.arms {
            let empty = Moments::from_successes(arm.mature, 0);
            arm.metrics.insert("visit".to_owned(), empty);
        }
    };
    check(&no_visits, VerdictKind::Undecided, not_visits);
    let few_orders = |o: &mut Observations| {
        let count = o.arms[0].mature;
        o.arms[0].metrics.insert("conversion".to_owned(), Moments::from_successes(count, 3));
    };
    check(&few_orders, VerdictKind::Winner, &["skewed_small", "not_identifiable", "not_identifiable"]);
    let close_second = |o: &mut Observations| {
        let count = o.arms[2].mature;
        o.arms[2].metrics.insert("visit".to_owned(), Moments::from_successes(count, 3_880));
    };
    check(&close_second, VerdictKind::Winner, &["winner_not_unique"]);
    let not_a_number = |o: &mut Observations| {
        o.arms[2].metrics.insert("spend".to_owned(), Moments { count: 5, mean: f64::NAN, m2: f64::INFINITY });
    };
    check(&not_a_number, VerdictKind::Winner, &["not_computable"]);
}

#[test]
fn nothing_better_keeps_control() {
    let readout = no_effect(0);
    assert_eq!((readout.verdict.kind, readout.verdict.variant.as_str()), (VerdictKind::KeepControl, "No E-Mail"));
    assert_eq!(readout.verdict.sentence, "Keep `No E-Mail`: no variant is shown to be better on visit.");
    assert_eq!(no_effect(1).verdict.sentence, "Undecided: 1 recipient is still within the window of 336 hours.");
}

/// Guardrail on unsubscribes among 100,000 in each of three arms; control has 200 of them.
#[test]
fn a_broken_guardrail_takes_the_crown() {
    let guarded = SPEC
        .replace("window_hours", "  - {name: leave, outcome: unsubscribe, measure: occurred, lower_is_better: true}\nguardrails:\n  - {metric: leave, margin: 0.5}\nwindow_hours");
    let experiment = crate::parse(&guarded).unwrap();
    let check = |leave: [u64; 3], winner: &str, kind: VerdictKind, expect: &[&str]| {
        let mut observations = observations();
        for (arm, leave) in observations.arms.iter_mut().zip(leave) {
            arm.metrics.insert("leave".to_owned(), Moments::from_successes(100_000, leave));
        }
        let readout = readout(&experiment, &observations, "x");
        assert_eq!((readout.verdict.variant.as_str(), readout.verdict.kind), (winner, kind), "{:?}", readout.verdict);
        assert_eq!(codes(&readout), expect);
        let estimate = find(&readout, "leave", "Mens E-Mail", "No E-Mail");
        assert!(estimate.p_adjusted.is_none() && estimate.role == Role::Guardrail);
        assert_eq!(find(&readout, "leave", "Womens E-Mail", "Mens E-Mail").guardrail, None);
        readout.verdict.sentence
    };
    check([200, 210, 190], "Mens E-Mail", VerdictKind::Winner, &[]);
    check([200, 400, 190], "Womens E-Mail", VerdictKind::Winner, &["guardrail_broken"]);
    check([20, 25, 19], "Mens E-Mail", VerdictKind::Winner, &["skewed_small", "guardrail_not_shown", "guardrail_not_shown"]);
    let sentence = check([200, 400, 400], "No E-Mail", VerdictKind::KeepControl, &["guardrail_broken", "guardrail_broken"]);
    assert_eq!(sentence, "Keep `No E-Mail`: `Mens E-Mail` beats it on visit, but breaks the guardrail on leave.");
}

#[test]
fn less_is_better_where_the_metric_says_so() {
    let experiment = crate::parse(&SPEC.replace("measure: occurred}", "measure: occurred, lower_is_better: true}")).unwrap();
    let readout = readout(&experiment, &observations(), "x");
    assert_eq!((readout.verdict.kind, readout.verdict.variant.as_str()), (VerdictKind::KeepControl, "No E-Mail"));
    let estimate = find(&readout, "visit", "Mens E-Mail", "No E-Mail");
    assert!(estimate.significant && estimate.better == Some(false));
}

/// Spend per visit, with two thousand recipients in an arm: numbers by the delta method as it is written down (Deng, Knoblich & Lu 2018).
#[test]
fn a_ratio_is_compared_as_a_ratio() {
    let spec = SPEC
        .replace("amount}", "amount}\n  - {name: basket, outcome: order, measure: amount, per: visit, lower_is_better: true}")
        .replace("window_hours", "guardrails:\n  - {metric: basket, margin: 0.2}\nwindow_hours");
    let experiment = crate::parse(&spec).unwrap();
    let mut observations = observations();
    let mut arms = Vec::new();
    for (arm, spent) in observations.arms.iter_mut().zip([10.0, 10.5, 30.0]) {
        let mut ratio = CoMoments::new(2);
        for number in 0..2_000 {
            let visits = f64::from(number % 4);
            ratio.push(&[visits * spent + f64::from(number % 7) - 3.0, visits]);
        }
        arms.push(ratio.clone());
        arm.metrics.insert("basket".to_owned(), ratio.moments(0));
        arm.ratios.insert("basket".to_owned(), ratio);
    }
    let readout = readout(&experiment, &observations, "x");
    let estimate = find(&readout, "basket", "Mens E-Mail", "No E-Mail");
    let ratio = |arm: &CoMoments| arm.mean(0) / arm.mean(1);
    let variance = |arm: &CoMoments| {
        let [yy, yx, xx] = [(0, 0), (0, 1), (1, 1)].map(|(one, other)| arm.covariance(one, other).unwrap());
        let r = ratio(arm);
        (yy - 2.0 * r * yx + r * r * xx) / (arm.mean(1) * arm.mean(1)) / 2_000.0
    };
    let effect = estimate.absolute.computed().unwrap();
    let near = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-9;
    assert!(near(effect.difference, ratio(&arms[1]) - ratio(&arms[0])) && effect.difference > 0.49, "{effect:?}");
    assert!(near(effect.standard_error, (variance(&arms[0]) + variance(&arms[1])).sqrt()), "{effect:?}");
    assert!(near(estimate.relative.computed().unwrap().relative, ratio(&arms[1]) / ratio(&arms[0]) - 1.0));
    assert_eq!((estimate.mean_variant, estimate.better), (Some(ratio(&arms[1])), Some(false)));
    assert_eq!(readout.arms[1].means["basket"], ratio(&arms[1]));
    let state = |variant| find(&readout, "basket", variant, "No E-Mail").guardrail.as_ref().unwrap().state;
    assert_eq!((state("Mens E-Mail"), state("Womens E-Mail")), (GuardrailState::Kept, GuardrailState::Broken));
    assert_eq!(codes(&readout), ["guardrail_broken"]);

    let comparable = observations.comparable(&VariantName::new("Mens E-Mail").unwrap(), &experiment.metrics[3]);
    assert!(near(comparable.mean, ratio(&arms[1])) && near(comparable.variance_of_mean().unwrap(), variance(&arms[1])));

    // Nobody visits: there is no ratio, and that is said.
    for arm in &mut observations.arms {
        arm.ratios.clear();
    }
    let empty = super::readout(&experiment, &observations, "x");
    assert_eq!(find(&empty, "basket", "Mens E-Mail", "No E-Mail").mean_variant, None);
    assert!(codes(&empty).contains(&"not_computable") && !empty.arms[1].means.contains_key("basket"));
}

#[test]
fn another_control_turns_the_comparisons() {
    let experiment = crate::parse(&SPEC.replace("primary:", "control: Mens E-Mail\nprimary:")).unwrap();
    let readout = readout(&experiment, &observations(), "x");
    assert_eq!(readout.verdict.kind, VerdictKind::KeepControl);
    assert_eq!(find(&readout, "visit", "No E-Mail", "Mens E-Mail").better, Some(false));
    assert_eq!(find(&readout, "visit", "Womens E-Mail", "No E-Mail").better, Some(true));
}

proptest! {
    /// Whatever was observed, the readout answers, and every number in it can be written and read again.
    #[test]
    fn a_readout_never_fails(
        arms in prop::collection::vec((0..1_000_u64, any::<f64>(), any::<f64>(), 0..1_000_u64), 0..4),
        immature in 0..2_u64,
    ) {
        let mut observations = observations();
        observations.immature = immature;
        observations.arms.truncate(arms.len());
        for (arm, (count, mean, m2, assigned)) in observations.arms.iter_mut().zip(arms) {
            arm.assigned = assigned;
            arm.mature = count;
            for moments in arm.metrics.values_mut() {
                *moments = Moments { count, mean, m2: m2.abs() };
            }
        }
        let readout = readout(&spec(), &observations, "x");
        let text = serde_json::to_string(&readout).unwrap();
        prop_assert!(serde_json::from_str::<Readout>(&text).is_ok(), "{}", text);
    }
}
