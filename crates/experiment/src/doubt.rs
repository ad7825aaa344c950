//! What a careful reader should know before believing a verdict. Doubts are results: each has a code for programs and a
//! sentence for people. What is doubted of any experiment has the code that `analysis` gives it.

use analysis::report::Code;
use stats::Moments;
use vocabulary::{Measure, Metric, VariantName};

use crate::readout::{Answer, Doubt, Estimate, GuardrailState, Role, Verdict, VerdictKind};
use crate::verdict::Evidence;
use crate::words::{count, number, percent};

/// Below so many outcomes in an arm, intervals that lean on the normal distribution are too narrow.
const OUTCOMES_MIN: f64 = 25.0;

pub(crate) fn doubts(evidence: &Evidence<'_>, verdict: &Verdict) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    about_recipients(evidence, &mut doubts);
    about_estimates(evidence, &mut doubts);
    about_guardrails(evidence, &mut doubts);
    if verdict.kind == VerdictKind::Winner {
        doubts.extend(not_separated(evidence, &verdict.variant));
    }
    doubts
}

fn doubt(code: &str, sentence: String) -> Doubt {
    Doubt { code: code.to_owned(), sentence }
}

/// Who was assigned, who counts, and what was lost on the way.
fn about_recipients(evidence: &Evidence<'_>, doubts: &mut Vec<Doubt>) {
    let observations = evidence.observations;
    let nobody =
        evidence.experiment.variants.iter().all(|variant| observations.arm(&variant.name).is_none_or(|arm| arm.assigned == 0));
    if nobody {
        doubts.push(doubt("no_assignments", "No recipient was assigned to a variant yet.".to_owned()));
    }
    if let (true, Answer::Computed(test)) = (evidence.sample_ratio.mismatch, &evidence.sample_ratio.test) {
        doubts.push(doubt(
            Code::Srm.name(),
            format!(
                "The variants do not have the sizes their weights ask for (p {}): recipients were lost or added along the way, so no \
                 number here can be trusted.",
                number(test.p_value)
            ),
        ));
    }
    let hours = evidence.experiment.window_hours;
    let counted = [
        (
            "immature",
            observations.immature,
            ("recipient is", "recipients are"),
            format!("still within the window of {hours} hours and left out"),
        ),
        (
            "crossover",
            observations.crossovers,
            ("recipient was", "recipients were"),
            "assigned to more than one variant, which counts for the first and blurs the difference".to_owned(),
        ),
        (
            "unknown_variants",
            observations.strangers,
            ("assignment names", "assignments name"),
            "a variant the experiment does not have, and is left out".to_owned(),
        ),
        (
            "unconverted_orders",
            observations.unconverted_orders,
            ("order has", "orders have"),
            "no exchange rate to the base currency and are missing from amounts".to_owned(),
        ),
    ];
    for (code, how_many, (one, many), rest) in counted {
        if how_many > 0 {
            doubts.push(doubt(code, format!("{} {rest}.", count(how_many, one, many))));
        }
    }
}

/// Whether the numbers can be computed and leaned on, per metric.
fn about_estimates(evidence: &Evidence<'_>, doubts: &mut Vec<Doubt>) {
    for metric in &evidence.experiment.metrics {
        let few: Vec<String> = evidence
            .experiment
            .variants
            .iter()
            .filter(|variant| {
                let moments = evidence.observations.moments(&variant.name, &metric.name);
                moments.count > 0 && moments.mean.is_finite() && outcomes(evidence, metric, &variant.name) < OUTCOMES_MIN
            })
            .map(|variant| format!("`{}`", variant.name))
            .collect();
        if !few.is_empty() {
            let sentence = format!(
                "{} rests on fewer than {OUTCOMES_MIN} outcomes in {}: its intervals are only rough.",
                metric.name,
                few.join(", ")
            );
            doubts.push(doubt(Code::SkewedSmall.name(), sentence));
        }
    }
    for estimate in evidence.against_control() {
        let Estimate { metric, variant, baseline, .. } = estimate;
        match (&estimate.absolute, &estimate.relative) {
            (Answer::Degenerate(reason), _) => {
                doubts.push(doubt(Code::NotComputable.name(), format!("{metric} of `{variant}` against `{baseline}` {reason}.")));
            }
            (Answer::Computed(_), Answer::Degenerate(reason)) => {
                let sentence = format!("The lift of {metric} by `{variant}` {reason}; read the absolute difference.");
                doubts.push(doubt(Code::NotIdentifiable.name(), sentence));
            }
            (Answer::Computed(_), Answer::Computed(_)) => {}
        }
    }
}

/// How many outcomes the mean of a metric rests on in a variant.
fn outcomes(evidence: &Evidence<'_>, metric: &Metric, variant: &VariantName) -> f64 {
    let moments = evidence.observations.moments(variant, &metric.name);
    let outcomes = moments.effective_outcomes();
    let of_denominator = metric.per.as_ref().map(|per| evidence.observations.moments(variant, per).effective_outcomes());
    let own = match metric.measure {
        // Where nearly everybody has it, what is rare is not to have it.
        Measure::Occurred if metric.per.is_none() => outcomes.min(moments.count as f64 - outcomes),
        Measure::Occurred | Measure::Count | Measure::Amount => outcomes,
        // Messages cost something of everybody; orders are what is rare.
        Measure::Profit => evidence.observations.arm(variant).map_or(0.0, |arm| arm.funnel.ordered as f64),
        // Who had none has the whole window.
        Measure::HoursToFirst => {
            let left = f64::from(evidence.experiment.window_hours) - moments.mean;
            Moments { mean: left, ..moments }.effective_outcomes()
        }
    };
    of_denominator.map_or(own, |outcomes| outcomes.min(own))
}

fn about_guardrails(evidence: &Evidence<'_>, doubts: &mut Vec<Doubt>) {
    for estimate in evidence.against_control() {
        let Estimate { metric, variant, baseline, .. } = estimate;
        let Some(check) = &estimate.guardrail else { continue };
        let margin = percent(check.margin);
        match check.state {
            GuardrailState::Kept => {}
            GuardrailState::Broken => {
                let sentence = format!(
                    "{metric} is worse with `{variant}` than with `{baseline}`, and may be so by more than the margin of {margin}."
                );
                doubts.push(doubt(Code::GuardrailBroken.name(), sentence));
            }
            GuardrailState::Unproven => {
                let sentence = format!(
                    "There are too few outcomes to show that {metric} gets worse by less than {margin} with `{variant}`."
                );
                doubts.push(doubt(Code::GuardrailNotShown.name(), sentence));
            }
        }
    }
}

/// Beating control does not show that the winner beats the second-best variant.
fn not_separated(evidence: &Evidence<'_>, winner: &VariantName) -> Option<Doubt> {
    let second = evidence
        .primary()
        .filter(|estimate| &estimate.variant != winner)
        .reduce(|best, next| if evidence.beats(next.mean_variant, best.mean_variant) { next } else { best })?;
    let is_pair = |estimate: &&Estimate| {
        let pair = (&estimate.variant, &estimate.baseline);
        pair == (winner, &second.variant) || pair == (&second.variant, winner)
    };
    let pair = evidence.estimates.iter().filter(|estimate| estimate.role == Role::Primary).find(is_pair)?;
    let metric = &pair.metric;
    (!pair.significant).then(|| {
        let sentence = format!("`{winner}` beats control, but is not shown to differ from `{}` on {metric}.", second.variant);
        doubt(Code::WinnerNotUnique.name(), sentence)
    })
}
