//! Every doubt is raised where it should be, and only there.

use stats::{CoMoments, Moments};

use crate::cells::{ArmCells, ExperimentCells, MetricCell};
use crate::fixture::*;
use crate::report::{Basis, Code, Readout, VerdictKind};
use crate::spec::Spec;

fn check(readout: &Readout, code: Code, expect: bool) {
    let raised = codes(readout).contains(&code);
    assert_eq!(raised, expect, "{code:?} in {:#?}\n{:?}", readout.doubts, readout.verdict);
    for doubt in &readout.doubts {
        assert!(doubt.sentence.ends_with('.') && !doubt.sentence.contains("NaN"), "{}", doubt.sentence);
    }
}

fn two(control: (u64, u64), variant: (u64, u64)) -> Vec<ArmCells> {
    vec![arm("a", vec![binary(control.0, control.1)]), arm("b", vec![binary(variant.0, variant.1)])]
}

#[test]
fn nothing_is_doubted_without_reason() {
    let found = readout(&spec(&["order"]), two((50_000, 5000), (50_100, 5500)));
    assert_eq!(codes(&found), []);
    assert_eq!(found.verdict.kind, VerdictKind::Winner);
}

#[test]
fn arms_of_the_wrong_size() {
    let plan =
        |shares: [f64; 2]| Spec { plan: vec![("a".to_owned(), shares[0]), ("b".to_owned(), shares[1])], ..spec(&["order"]) };
    let even = two((50_000, 5000), (50_100, 5500));
    let uneven = two((90_000, 9000), (10_000, 1300));
    let near = two((50_000, 5000), (52_000, 5700));
    let check_both = |spec: &Spec, arms: &[ArmCells], srm: bool, no_plan: bool| {
        let found = readout(spec, arms.to_vec());
        check(&found, Code::Srm, srm);
        check(&found, Code::NoPlan, no_plan);
        assert_eq!(found.verdict.kind == VerdictKind::Undecided, srm);
        assert_eq!(found.sample_ratio.mismatch, srm);
    };
    check_both(&plan([0.5, 0.5]), &even, false, false);
    check_both(&plan([0.9, 0.1]), &even, true, false);
    check_both(&plan([9.0, 1.0]), &uneven, false, false);
    check_both(&spec(&["order"]), &even, false, false);
    check_both(&spec(&["order"]), &uneven, false, true);
    check_both(&spec(&["order"]), &near, true, true);
    let lost = Spec { plan: vec![("a".to_owned(), 0.4), ("b".to_owned(), 0.4), ("c".to_owned(), 0.2)], ..spec(&["order"]) };
    check_both(&lost, &even, true, false);
    let stranger = Spec { plan: vec![("a".to_owned(), 1.0)], ..spec(&["order"]) };
    check_both(&stranger, &even, true, false);
}

#[test]
fn errors_that_cancel() {
    let with = |a: [u64; 4], b: [u64; 4]| {
        let dates = ["2026-11-01", "2026-11-02", "2026-11-03", "2026-11-04"];
        let arm = |variant: &str, units: [u64; 4]| {
            let entries: Vec<(&str, u64)> = dates.into_iter().zip(units).collect();
            let count = units.iter().sum::<u64>();
            dated(variant, vec![binary(count, count / 10)], &entries)
        };
        let spec = Spec { date: Some("day".to_owned()), ..spec(&["order"]) };
        readout(&spec, vec![arm("a", a), arm("b", b)])
    };
    let cancelling = with([1200, 1000, 800, 1000], [1000, 1010, 1200, 1010]);
    check(&cancelling, Code::SrmByDate, true);
    check(&cancelling, Code::Srm, false);
    assert_eq!(cancelling.verdict.kind, VerdictKind::Undecided);
    assert_eq!(cancelling.sample_ratio.by_date.as_ref().unwrap().worst, "2026-11-03");
    check(&with([1200, 1000, 800, 1000], [1190, 1010, 830, 990]), Code::SrmByDate, false);
    let always = with([1300, 1300, 1300, 1300], [1000, 1000, 1000, 1000]);
    check(&always, Code::SrmByDate, false);
    assert!(always.sample_ratio.sequential.is_none(), "an uneven split without a plan");
}

#[test]
fn covariates_that_came_late() {
    let with = |means: [f64; 2]| {
        let arm = |variant: &str, y: f64, x: f64| {
            let products = vec![2000.0, 900.0, 1000.0];
            let moments = CoMoments::from_centred(1000, vec![y, x], products);
            arm(variant, vec![MetricCell { moments, ..normal(1000, 0.0, 1.0) }])
        };
        let spec = Spec { covariates: vec!["opens".to_owned()], ..spec(&["spend"]) };
        readout(&spec, vec![arm("a", 10.0, means[0]), arm("b", 10.3, means[1])])
    };
    let early = with([1.0, 1.01]);
    check(&early, Code::LateCovariate, false);
    assert_eq!(early.basis, Basis::Adjusted);
    assert!(early.estimates[0].adjusted[0].variance_removed.unwrap() > 0.35);
    let late = with([1.0, 1.3]);
    check(&late, Code::LateCovariate, true);
    assert_eq!(late.basis, Basis::Unadjusted);
    assert_eq!(late.verdict.kind, VerdictKind::Winner, "the plain numbers decide");
}

#[test]
fn segments_decided_after_the_start() {
    let with = |of_b: [u64; 2]| {
        let arm = |variant: &str, units: [u64; 2], orders: [u64; 2]| {
            let cells = |value: usize| vec![binary(units[value], orders[value])];
            let all = vec![binary(units[0] + units[1], orders[0] + orders[1])];
            segmented(variant, all, &[("no", cells(0)), ("yes", cells(1))])
        };
        let spec = Spec { segments: vec!["clicked".to_owned()], ..spec(&["order"]) };
        readout(&spec, vec![arm("a", [9000, 1000], [900, 300]), arm("b", of_b, [1100, 200])])
    };
    let late = with([8500, 1500]);
    check(&late, Code::PostAssignment, true);
    assert_eq!((late.segments[0].heterogeneity[0].significant, late.segments[0].advice.is_some()), (true, false));
    let early = with([9020, 980]);
    check(&early, Code::PostAssignment, false);
    assert_eq!((early.segments[0].heterogeneity[0].significant, early.segments[0].advice.is_some()), (true, true));
}

/// Twenty values without an effect, one of them lucky.
#[test]
fn luck_among_many_segments() {
    let with = |lucky: u64, second: u64| {
        let names: Vec<String> = (0..20).map(|value| format!("v{value:02}")).collect();
        let of_arm = |variant: &str, [first, second]: [u64; 2]| {
            let successes = |value: usize| match value {
                0 => first,
                1 => second,
                _ => 100 + (value as u64 * 7) % 5,
            };
            let cells: Vec<(&str, Vec<MetricCell>)> =
                names.iter().enumerate().map(|(value, name)| (name.as_str(), vec![binary(1000, successes(value))])).collect();
            let all = (0..20).map(successes).sum();
            segmented(variant, vec![binary(20_000, all)], &cells)
        };
        let spec = Spec { segments: vec!["country".to_owned()], ..spec(&["order"]) };
        readout(&spec, vec![of_arm("a", [100, 100]), of_arm("b", [lucky, second])])
    };
    let lucky = with(131, 100);
    check(&lucky, Code::SubgroupBait, true);
    assert_eq!(lucky.verdict.kind, VerdictKind::KeepControl);
    assert!(lucky.segments[0].advice.is_none());
    check(&with(104, 100), Code::SubgroupBait, false);
    let real = with(240, 20);
    check(&real, Code::SubgroupBait, false);
    assert!(real.segments[0].values[0].estimates[0].significant && real.segments[0].heterogeneity[0].significant);
    assert!(
        real.segments[0].advice.as_deref().unwrap().contains("better than `a` are `b` for `v00` (+14.0 "),
        "{:?}",
        real.segments[0].advice
    );
}

#[test]
fn too_few_units() {
    check(&readout(&spec(&["order"]), two((1000, 100), (1000, 105))), Code::LowPower, true);
    check(&readout(&spec(&["order"]), two((100_000, 10_000), (100_000, 10_050))), Code::LowPower, false);
    check(&readout(&spec(&["order"]), two((1000, 100), (1000, 180))), Code::LowPower, false);
}

#[test]
fn a_lift_on_nothing() {
    let with = |mean: f64| {
        readout(&spec(&["profit"]), vec![arm("a", vec![normal(1000, mean, 1.0)]), arm("b", vec![normal(1000, 1.0, 1.0)])])
    };
    let unbounded = with(0.01);
    check(&unbounded, Code::NotIdentifiable, true);
    assert!(unbounded.estimates[0].relative.computed().is_none() && unbounded.estimates[0].significant);
    check(&with(0.5), Code::NotIdentifiable, false);
    check(&readout(&spec(&["order"]), two((10, 0), (10, 0))), Code::NotComputable, true);
    check(&readout(&spec(&["order"]), two((0, 0), (10, 1))), Code::NotComputable, true);
}

#[test]
fn rare_outcomes() {
    check(&readout(&spec(&["order"]), two((10_000, 24), (10_000, 60))), Code::SkewedSmall, true);
    check(&readout(&spec(&["order"]), two((10_000, 25), (10_000, 60))), Code::SkewedSmall, false);
    check(&readout(&spec(&["order"]), two((10_000, 9990), (10_000, 9000))), Code::SkewedSmall, true);
    let spend = |nonzero| MetricCell { nonzero, ..normal(10_000, 2.0, 10.0) };
    let with = |nonzero| readout(&spec(&["spend"]), vec![arm("a", vec![spend(100)]), arm("b", vec![spend(nonzero)])]);
    check(&with(12), Code::SkewedSmall, true);
    check(&with(120), Code::SkewedSmall, false);
}

#[test]
fn a_few_large_values() {
    let with = |without: Moments| {
        let control = MetricCell { without_outliers: Some(moments(10_000, 1.0, 2.0)), ..normal(10_000, 1.0, 2.0) };
        let variant = MetricCell { without_outliers: Some(without), ..normal(10_000, 1.2, 6.0) };
        readout(&spec(&["spend"]), vec![arm("a", vec![control]), arm("b", vec![variant])])
    };
    check(&with(moments(10_000, 1.02, 2.0)), Code::OutlierDriven, true);
    check(&with(moments(10_000, 1.15, 2.0)), Code::OutlierDriven, false);
    check(&with(moments(10_000, 0.8, 2.0)), Code::OutlierDriven, true);
}

fn at(names: &[&str], control: &[(u64, u64)], variant: &[(u64, u64)]) -> ExperimentCells {
    let pairs: Vec<[(u64, u64); 2]> = control.iter().zip(variant).map(|(a, b)| [*a, *b]).collect();
    let at: Vec<(&str, &[(u64, u64)])> = names.iter().copied().zip(pairs.iter().map(<[_; 2]>::as_slice)).collect();
    looks(&["a", "b"], &at)
}

#[test]
fn cumulative_sums_do_not_fall() {
    let with = |units: u64, orders: u64| {
        let control = [(1000, 100), (2000, 200), (3000, 300)];
        let variant = [(1010, 100), (2010, 210), (units, orders)];
        readout_of(&spec(&["order"]), at(&["1", "2", "3"], &control, &variant))
    };
    check(&with(3010, 320), Code::FallingCumulative, false);
    check(&with(3010, 209), Code::FallingCumulative, true);
    check(&with(2000, 320), Code::FallingCumulative, true);
}

#[test]
fn an_arm_that_stands_still() {
    let with = |control: [(u64, u64); 4]| {
        let variant = [(1010, 100), (2010, 210), (3010, 320), (4010, 420)];
        readout_of(&spec(&["order"]), at(&["1", "2", "3", "4"], &control, &variant))
    };
    check(&with([(1000, 100), (2000, 200), (3000, 300), (4000, 400)]), Code::FrozenArm, false);
    let frozen = with([(1000, 100), (2000, 200), (2000, 200), (2000, 200)]);
    check(&frozen, Code::FrozenArm, true);
    let sentence = frozen.doubts.iter().find(|doubt| doubt.code == Code::FrozenArm).unwrap().sentence.clone();
    assert!(sentence.starts_with("`a` gets no unit from 3 on"), "{sentence}");
    check(&with([(1000, 100), (2000, 200), (3000, 200), (4000, 200)]), Code::FrozenArm, true);
    check(&with([(1000, 0), (2000, 0), (3000, 0), (4000, 0)]), Code::FrozenArm, false);
}

#[test]
fn missing_dates_and_looks() {
    let with = |names: &[&str]| {
        let series: Vec<(u64, u64)> = (1..=names.len() as u64).map(|look| (1000 * look, 100 * look)).collect();
        readout_of(&spec(&["order"]), at(names, &series, &series))
    };
    check(&with(&["1", "2", "3", "4"]), Code::Gap, false);
    check(&with(&["1", "2", "4", "5"]), Code::Gap, true);
    check(&with(&["4", "24", "72", "168"]), Code::Gap, false);
    check(&with(&["first", "second", "fourth"]), Code::Gap, false);
    check(&with(&["2026-11-02", "2026-11-03", "2026-11-04", "2026-11-06"]), Code::Gap, true);
    // Friday the 6th is followed by Monday the 9th.
    check(&with(&["2026-11-05", "2026-11-06", "2026-11-09", "2026-11-10"]), Code::Gap, false);
    check(&with(&["2026-11-01", "2026-11-08", "2026-11-15"]), Code::Gap, false);
}

#[test]
fn days_without_anybody_and_arms_that_stop() {
    let with = |a: &[(&str, u64)], b: &[(&str, u64)]| {
        let of_arm = |variant: &str, dates: &[(&str, u64)]| {
            let units = dates.iter().map(|(_, units)| units).sum::<u64>();
            dated(variant, vec![binary(units, units / 10)], dates)
        };
        readout(&Spec { date: Some("day".to_owned()), ..spec(&["order"]) }, vec![of_arm("a", a), of_arm("b", b)])
    };
    let many = [("2026-11-02", 500), ("2026-11-03", 500), ("2026-11-04", 500), ("2026-11-06", 500)];
    check(&with(&many, &many), Code::Gap, true);
    let few = [("2026-11-02", 5), ("2026-11-03", 5), ("2026-11-04", 5), ("2026-11-06", 5)];
    check(&with(&few, &few), Code::Gap, false);
    check(&with(&many, &many), Code::FrozenArm, false);
    check(&with(&many[..2], &many), Code::FrozenArm, true);
}

#[test]
fn answers_that_were_early() {
    let control = [(1000, 100), (2000, 200), (3000, 300), (4000, 400)];
    let peeked =
        readout_of(&spec(&["order"]), at(&["1", "2", "3", "4"], &control, &[(1000, 131), (2000, 230), (3000, 320), (4000, 415)]));
    check(&peeked, Code::Peeking, true);
    check(&peeked, Code::NotStationary, false);
    let steady = [(1000, 140), (2000, 280), (3000, 420), (4000, 560)];
    check(&readout_of(&spec(&["order"]), at(&["1", "2", "3", "4"], &control, &steady)), Code::Peeking, false);
    let control: Vec<(u64, u64)> = [10_000, 20_000, 90_000].map(|units| (units, units / 10)).to_vec();
    let turned = [(10_000, 1500), (20_000, 2500), (90_000, 7000)];
    let drifting = readout_of(&spec(&["order"]), at(&["1", "2", "9"], &control, &turned));
    check(&drifting, Code::NotStationary, true);
}

#[test]
fn guardrails_that_are_not_kept() {
    let with = |complaints: (u64, u64), margin: f64| {
        let mut spec = spec(&["order", "complaint"]);
        spec.metrics[1].margin = Some(margin);
        spec.metrics[1].lower_is_better = true;
        let arm = |variant, orders, complaints| arm(variant, vec![binary(50_000, orders), binary(50_000, complaints)]);
        readout(&spec, vec![arm("a", 5000, complaints.0), arm("b", 5500, complaints.1)])
    };
    let kept = with((1000, 1000), 0.2);
    check(&kept, Code::GuardrailNotShown, false);
    assert_eq!(kept.verdict.kind, VerdictKind::Winner);
    let unproven = with((1000, 1000), 0.02);
    check(&unproven, Code::GuardrailNotShown, true);
    check(&unproven, Code::GuardrailBroken, false);
    let broken = with((1000, 1300), 0.2);
    check(&broken, Code::GuardrailBroken, true);
    assert_eq!(broken.verdict.kind, VerdictKind::KeepControl);
    assert!(broken.verdict.sentence.contains("breaks the guardrail on complaint"), "{}", broken.verdict.sentence);
}

#[test]
fn two_that_win() {
    let with = |second: u64| {
        let arm = |variant, orders| arm(variant, vec![binary(50_000, orders)]);
        readout(&spec(&["order"]), vec![arm("a", 5000), arm("b", 5600), arm("c", second)])
    };
    let equal = with(5580);
    check(&equal, Code::WinnerNotUnique, true);
    assert_eq!(equal.verdict.variant, "b");
    check(&with(5100), Code::WinnerNotUnique, false);
    let apart = with(6100);
    check(&apart, Code::WinnerNotUnique, false);
    assert_eq!(apart.verdict.variant, "c");
}

#[test]
fn segments_that_point_the_other_way() {
    let with = |of_a: [(u64, u64); 2], of_b: [(u64, u64); 2]| {
        let arm = |variant: &str, values: [(u64, u64); 2]| {
            let all = binary(values[0].0 + values[1].0, values[0].1 + values[1].1);
            let cells = values.map(|(units, orders)| vec![binary(units, orders)]);
            segmented(variant, vec![all], &[("new", cells[0].clone()), ("old", cells[1].clone())])
        };
        let spec = Spec { segments: vec!["age".to_owned()], ..spec(&["order"]) };
        readout(&spec, vec![arm("a", of_a), arm("b", of_b)])
    };
    // Better in both segments, worse in total, because b has more of those who order rarely.
    let turned = with([(2000, 100), (8000, 4000)], [(8000, 480), (2000, 1060)]);
    check(&turned, Code::Simpson, true);
    check(&turned, Code::PostAssignment, true);
    check(&with([(5000, 250), (5000, 2500)], [(5000, 350), (5000, 2700)]), Code::Simpson, false);
    check(&with([(5000, 250), (5000, 2500)], [(5000, 240), (5000, 2530)]), Code::Simpson, false);
}
