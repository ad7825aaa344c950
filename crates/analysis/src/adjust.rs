//! The same comparisons, adjusted for what was known before the experiment.

use std::collections::BTreeMap;

use stats::adjusted::{Comparison, Shape, Stratum, compare, compare_strata};
use stats::lift::non_inferior_pair;
use stats::{CoMoments, Degenerate};

use crate::cells::{Group, MetricCell};
use crate::frame::Frame;
use crate::report::{Adjusted, Adjustment, Answer, Difference, NonInferiority, Reason};

/// The adjusted comparisons that were asked for: by regression where there are covariates, and by strata where there is a
/// stratum (within these by regression too, where both are given).
pub(crate) fn adjusted(
    frame: &Frame<'_>,
    metric: usize,
    baseline: usize,
    variant: usize,
    plain: Option<&Difference>,
) -> Vec<Adjusted> {
    let covariates = frame.spec.covariates.len();
    let cells = frame.cell(baseline, metric).zip(frame.cell(variant, metric));
    let Some((own, others)) = cells else { return Vec::new() };
    let shape = if frame.is_ratio(own) { Shape::Ratio } else { Shape::Mean };
    let wire = |method, answer| wire(method, answer, plain, &Guardrail::new(frame, metric, baseline));
    let mut found = Vec::new();
    if frame.spec.stratum.is_some() {
        let answer = stratified(frame, metric, baseline, variant, shape);
        found.push(wire(Adjustment::PostStratification, answer));
    }
    if covariates > 0 {
        let answer = compare(&own.moments, &others.moments, shape, covariates, frame.spec.alpha);
        found.push(wire(Adjustment::Regression, answer));
    }
    found
}

/// What is tested of a metric as a guardrail; nothing where it is none, or among other pairs than with control.
struct Guardrail {
    margin: Option<f64>,
    lower_is_better: bool,
    alpha: f64,
}

impl Guardrail {
    fn new(frame: &Frame<'_>, metric: usize, baseline: usize) -> Self {
        let spec = &frame.metrics[metric];
        let margin = spec.margin.filter(|_| baseline == 0);
        Self { margin, lower_is_better: spec.lower_is_better, alpha: frame.spec.alpha }
    }

    fn test(&self, comparison: &Comparison) -> Option<Answer<NonInferiority>> {
        let Self { margin, lower_is_better, alpha } = *self;
        margin.map(|margin| non_inferior_pair(&comparison.pair, margin, lower_is_better, alpha).into())
    }
}

fn wire(
    method: Adjustment,
    answer: Result<Comparison, Degenerate>,
    plain: Option<&Difference>,
    guardrail: &Guardrail,
) -> Adjusted {
    match answer {
        Ok(comparison) => {
            let non_inferiority = guardrail.test(&comparison);
            let ratio = plain.map(|plain| comparison.absolute.standard_error / plain.standard_error);
            let variance_removed = ratio.map(|ratio| 1.0 - ratio * ratio).filter(|removed| removed.is_finite());
            Adjusted {
                method,
                absolute: Answer::Computed(comparison.absolute.into()),
                relative: comparison.relative.into(),
                variance_removed,
                non_inferiority,
            }
        }
        Err(Degenerate { why }) => {
            let reason = Reason { why };
            let (absolute, relative) = (Answer::Degenerate(reason.clone()), Answer::Degenerate(reason));
            Adjusted { method, absolute, relative, variance_removed: None, non_inferiority: None }
        }
    }
}

/// By strata. Those in which an arm has fewer than two units cannot be compared by themselves and are taken together.
fn stratified(frame: &Frame<'_>, metric: usize, baseline: usize, variant: usize, shape: Shape) -> Result<Comparison, Degenerate> {
    let empty = BTreeMap::new();
    let strata = |arm: usize| frame.arm(arm).map_or(&empty, |cells| &cells.strata);
    let (own, others) = (strata(baseline), strata(variant));
    let mut names: Vec<&String> = own.keys().chain(others.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let cell = |groups: &BTreeMap<String, Group>, name: &String| -> Option<MetricCell> {
        groups.get(name)?.metrics.get(metric).cloned()
    };
    let covariates = frame.spec.covariates.len();
    let none = || CoMoments::new(shape.numbers() + covariates);
    let mut kept: Vec<(&str, CoMoments, CoMoments)> = Vec::with_capacity(names.len());
    let (mut rest_own, mut rest_others) = (none(), none());
    for name in names {
        let of_own = cell(own, name).map_or_else(none, |cell| cell.moments);
        let of_others = cell(others, name).map_or_else(none, |cell| cell.moments);
        if of_own.count >= 2 && of_others.count >= 2 {
            kept.push((name, of_own, of_others));
        } else {
            rest_own.merge(&of_own);
            rest_others.merge(&of_others);
        }
    }
    if rest_own.count.max(rest_others.count) > 0 {
        let is_whole = rest_own.count >= 2 && rest_others.count >= 2;
        match kept.iter_mut().min_by_key(|(_, own, others)| own.count + others.count).filter(|_| !is_whole) {
            Some((_, own, others)) => {
                own.merge(&rest_own);
                others.merge(&rest_others);
            }
            None => kept.push(("the rest", rest_own, rest_others)),
        }
    }
    let strata: Vec<Stratum<'_>> = kept.iter().map(|(name, control, treatment)| Stratum { name, control, treatment }).collect();
    compare_strata(&strata, shape, covariates, frame.spec.alpha)
}

#[cfg(test)]
mod tests {
    use crate::cells::ArmCells;
    use crate::fixture::{amount, arm, codes, group, moments, readout, spec};
    use crate::report::{Basis, GuardrailState, Readout};
    use crate::spec::Spec;

    fn by_country(units: [[u64; 2]; 2], tiny: [u64; 2]) -> Readout {
        by_country_as(&spec(&["spend"]), units, tiny, 0.5)
    }

    /// Two countries that differ by far more than the variants do, and a tiny third.
    fn by_country_as(spec: &Spec, units: [[u64; 2]; 2], tiny: [u64; 2], effect: f64) -> Readout {
        let of_arm = |variant: &str, index: usize, effect: f64| -> ArmCells {
            let cells = [
                ("de", moments(units[index][0], 10.0 + effect, 3.0)),
                ("us", moments(units[index][1], 40.0 + effect, 3.0)),
                ("va", moments(tiny[index], 20.0, 3.0)),
            ];
            let all = cells.iter().fold(stats::Moments::default(), |all, (_, cell)| all.merge(cell));
            let strata = cells.map(|(name, cell)| (name.to_owned(), group(vec![amount(cell)])));
            ArmCells { strata: strata.into(), ..arm(variant, vec![amount(all)]) }
        };
        let spec = Spec { stratum: Some("country".to_owned()), ..spec.clone() };
        readout(&spec, vec![of_arm("a", 0, 0.0), of_arm("b", 1, effect)])
    }

    #[test]
    fn strata_take_their_differences_out() {
        let found = by_country([[1000, 1000], [1000, 1000]], [1, 0]);
        let adjusted = &found.estimates[0].adjusted[0];
        let effect = adjusted.absolute.computed().unwrap();
        assert!((effect.difference - 0.5).abs() < 0.02, "a tiny stratum joins another: {effect:?}");
        assert!(adjusted.variance_removed.unwrap() > 0.9, "{adjusted:?}");
        assert!(!found.estimates[0].absolute.computed().is_some_and(|plain| plain.p_value < 0.05));
        assert!(found.basis == Basis::Adjusted && found.estimates[0].significant);
        assert!(found.verdict.sentence.contains("after adjustment"), "{}", found.verdict.sentence);
        assert_eq!(codes(&found), []);
    }

    /// Among all recipients one percent of the mean is lost in the difference between the countries, within them it is not.
    #[test]
    fn a_guardrail_is_judged_by_the_numbers_that_decide() {
        let mut guarded = spec(&["spend"]);
        guarded.metrics[0].margin = Some(0.01);
        let state = |spec: &Spec, units| {
            let found = by_country_as(spec, units, [0, 0], 0.0);
            (found.basis, found.estimates[0].guardrail.as_ref().unwrap().state)
        };
        assert_eq!(state(&guarded, [[1000, 1000], [1000, 1000]]), (Basis::Adjusted, GuardrailState::Kept));
        assert_eq!(state(&guarded, [[1000, 1000], [1300, 700]]).0, Basis::Unadjusted);
        let plain = readout(
            &guarded,
            vec![arm("a", vec![amount(moments(2000, 25.0, 15.3))]), arm("b", vec![amount(moments(2000, 25.0, 15.3))])],
        );
        assert_eq!(plain.estimates[0].guardrail.as_ref().unwrap().state, GuardrailState::Unproven);
    }

    #[test]
    fn strata_that_moved_decide_nothing() {
        let found = by_country([[1000, 1000], [1300, 700]], [0, 0]);
        assert_eq!((found.basis, codes(&found)[0]), (Basis::Unadjusted, crate::report::Code::PostAssignment));
    }
}
