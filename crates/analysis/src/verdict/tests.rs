//! Verdicts, and what turns them.

use stats::CoMoments;

use crate::cells::MetricCell;
use crate::fixture::{arm, binary, normal, readout, spec};
use crate::report::{GuardrailState, Measure, Readout, Role, VerdictKind};
use crate::spec::{Correction, Kind, MetricSpec, Spec};

fn check(readout: &Readout, kind: VerdictKind, variant: &str, sentence: &str) {
    let found = &readout.verdict;
    assert_eq!((found.kind, found.variant.as_str()), (kind, variant), "{}", found.sentence);
    assert!(found.sentence.contains(sentence), "{}\nlacks {sentence}", found.sentence);
}

fn orders(spec: &Spec, orders: &[u64]) -> Readout {
    let names = ["a", "b", "c", "d", "e"];
    readout(spec, names.iter().zip(orders).map(|(name, orders)| arm(name, vec![binary(20_000, *orders)])).collect())
}

#[test]
fn what_to_do() {
    let plain = spec(&["order"]);
    check(
        &orders(&plain, &[2000, 2200]),
        VerdictKind::Winner,
        "b",
        "`b` wins: order is 11.0 % against 10.0 % with `a`, a difference of +1.00 [",
    );
    check(&orders(&plain, &[2000, 2010]), VerdictKind::KeepControl, "a", "Keep `a`: no variant is shown to be better on order.");
    check(&orders(&plain, &[2000, 1700]), VerdictKind::KeepControl, "a", "every variant is shown to be worse on order");
    check(&orders(&plain, &[2000]), VerdictKind::Undecided, "a", "nothing to compare");
    check(
        &orders(&plain, &[0, 0]),
        VerdictKind::Undecided,
        "a",
        "order of `b` against `a` cannot be computed, because neither arm varies",
    );
    check(&orders(&spec(&[]), &[2000, 2010]), VerdictKind::Undecided, "a", "nothing to compare");
    check(&orders(&Spec { control: Some("z".to_owned()), ..plain }, &[2000, 2010]), VerdictKind::Undecided, "z", "");
}

#[test]
fn less_may_be_better() {
    let mut spec = spec(&["complaint"]);
    spec.metrics[0].lower_is_better = true;
    check(&orders(&spec, &[2000, 1800, 1700]), VerdictKind::Winner, "c", "8.50 % against 10.0 %");
    check(&orders(&spec, &[2000, 2300, 2010]), VerdictKind::KeepControl, "a", "no variant is shown to be better");
}

#[test]
fn a_metric_with_a_margin_alone_is_shown_to_be_no_worse() {
    let mut spec = spec(&["order"]);
    spec.metrics[0].margin = Some(0.1);
    let found = orders(&spec, &[2000, 2010]);
    assert_eq!(
        (found.metrics[0].role, found.estimates[0].guardrail.as_ref().unwrap().state),
        (Role::Primary, GuardrailState::Kept)
    );
    check(&found, VerdictKind::KeepControl, "a", "though `b` is shown to be worse by less than 10 %");
}

#[test]
fn the_more_is_compared_the_more_is_asked() {
    // A p-value of about 0.03 for each of four variants.
    let found = |correction| orders(&Spec { correction, ..spec(&["order"]) }, &[2000, 2132, 2132, 2132, 2132]);
    check(&found(Correction::None), VerdictKind::Winner, "b", "wins");
    check(&found(Correction::Bh), VerdictKind::Winner, "b", "wins");
    check(&found(Correction::Hochberg), VerdictKind::Winner, "b", "wins");
    for correction in [Correction::Holm, Correction::Bonferroni, Correction::Sidak, Correction::By] {
        check(&found(correction), VerdictKind::KeepControl, "a", "no variant");
    }
    let p_adjusted = found(Correction::Hommel).estimates[0].p_adjusted.unwrap();
    assert_eq!(Some(p_adjusted), found(Correction::Hochberg).estimates[0].p_adjusted, "equal p-values are closed alike");
    assert_eq!(found(Correction::Holm).other_pairs.len(), 6);
}

#[test]
fn guardrails_are_not_corrected_and_do_not_cost_the_others() {
    let mut with = spec(&["order", "complaint"]);
    with.metrics[1].margin = Some(0.05);
    let cells = |orders| vec![binary(20_000, orders), binary(20_000, 3000)];
    let found = readout(&with, vec![arm("a", cells(2000)), arm("b", cells(2132))]);
    let alone = orders(&spec(&["order"]), &[2000, 2132]);
    assert_eq!(found.estimates[0].p_adjusted, alone.estimates[0].p_adjusted);
    assert_eq!((found.estimates[1].role, found.estimates[1].p_adjusted), (Role::Guardrail, None));
    check(&found, VerdictKind::Winner, "b", "wins");
}

#[test]
fn ratios_are_compared_by_the_delta_method() {
    let cell = |clicks: f64| {
        let moments = CoMoments::from_centred(10_000, vec![clicks, 4.0], vec![9000.0, 12_000.0, 40_000.0]);
        MetricCell { moments, ..normal(10_000, 0.0, 1.0) }
    };
    let metric = MetricSpec::new("click", Kind::Ratio { denominator: "session".to_owned() });
    let found = readout(&Spec { metrics: vec![metric], ..spec(&[]) }, vec![arm("a", vec![cell(1.0)]), arm("b", vec![cell(1.1)])]);
    let effect = found.estimates[0].absolute.computed().unwrap();
    assert_eq!((found.metrics[0].measure, found.estimates[0].mean_baseline), (Measure::Ratio, Some(0.25)));
    // By hand: (9000 − 2 R 12,000 + R² 40,000) / 4² / 9999 / 10,000 at R = 0.25 and 0.275.
    let of_arm = |ratio: f64| (9000.0 - 24_000.0 * ratio + 40_000.0 * ratio * ratio) / 16.0 / 9999.0 / 10_000.0;
    assert!((effect.standard_error - (of_arm(0.25) + of_arm(0.275)).sqrt()).abs() < 1e-15);
    assert!((effect.difference - 0.025).abs() < 1e-15);
    check(&found, VerdictKind::Winner, "b", "click is 0.275 against 0.250");
    let nothing = CoMoments::from_centred(10_000, vec![1.0, 0.0], vec![9000.0, 0.0, 40_000.0]);
    let nothing = MetricCell { moments: nothing, ..normal(10_000, 0.0, 1.0) };
    let found = readout(
        &Spec {
            metrics: found
                .metrics
                .iter()
                .map(|_| MetricSpec::new("click", Kind::Ratio { denominator: "session".to_owned() }))
                .collect(),
            ..spec(&[])
        },
        vec![arm("a", vec![nothing]), arm("b", vec![cell(1.1)])],
    );
    check(&found, VerdictKind::Undecided, "a", "the denominators of control add up to zero");
}
