//! Whether recipients or messages were lost on the way: variants of the wrong size, overall or in a market, and messages of some
//! variants that got less far than they should.
//!
//! That channels differ in how many messages a provider takes is part of what they are, so shares further down the funnel are not
//! tested against the weights: a variant is doubted where it falls behind the other variants, or in one market or on one day behind itself
//! in the others, by more than chance and by more than channels differ.

use std::collections::BTreeMap;

use analysis::report::Code;
use stats::SequentialSampleRatio;
use stats::tail::binomial_lower;
use vocabulary::{Experiment, VariantName};

use crate::observe::{ArmObservations, Observations};
use crate::readout::{Doubt, SAMPLE_RATIO_THRESHOLD};
use crate::words::percent;

/// The code of a doubt about the sizes of the variants in one market.
pub const SRM_BY_MARKET: &str = "srm_by_market";
/// The code of a doubt about the sizes of the variants on one day.
pub const SRM_BY_DAY: &str = "srm_by_day";
/// The code of a doubt about messages that did not get as far as others.
pub const FUNNEL_MISMATCH: &str = "funnel_mismatch";

/// How far a variant may fall behind: channels of good standing differ by less.
const SHORTFALL_MIN: f64 = 0.05;

/// How unlikely it must be by chance: with many variants, markets and looks, what nobody expects to see.
const CHANCE_MAX: f64 = 1e-7;

/// The concentrations of the priors of a sample-ratio test at every look: the large look for small mismatches, which take many
/// recipients to see, the small for gross ones among few. The mean of their Bayes factors keeps the promise as each of them does.
const CONCENTRATIONS: [f64; 3] = [100.0, 1_000.0, 10_000.0];

/// What was lost on the way, of the recipients assigned and of the messages of those who are old enough for the observations.
#[must_use]
pub fn funnel(experiment: &Experiment, overall: &Observations, markets: &BTreeMap<String, Observations>) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    if is_mismatch(experiment, overall, 1) {
        let sentence = "The variants do not have the sizes their weights ask for: recipients were lost or added along the way, so no \
                        number here can be trusted.";
        doubts.push(Doubt { code: Code::Srm.name().to_owned(), sentence: sentence.to_owned() });
    }
    for market in mismatched_markets(experiment, markets) {
        let sentence =
            format!("In {market} the variants do not have the sizes their weights ask for, so its numbers are left out.");
        doubts.push(Doubt { code: SRM_BY_MARKET.to_owned(), sentence });
    }
    for step in STEPS {
        doubts.extend(behind_others(experiment, overall, step));
        for (market, observations) in markets {
            doubts.extend(behind_itself(experiment, overall, (&format!("In {market}"), "elsewhere"), observations, step));
        }
    }
    doubts
}

/// The same of those who began on each day, such as `2026-11-11`.
pub(super) fn by_day(experiment: &Experiment, overall: &Observations, days: &BTreeMap<String, Observations>) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    for (day, observations) in days {
        if is_mismatch(experiment, observations, days.len()) {
            let sentence = format!("Of those who began on {day} the variants do not have the sizes their weights ask for.");
            doubts.push(Doubt { code: SRM_BY_DAY.to_owned(), sentence });
        }
        let place = (format!("On {day}"), "on other days");
        let behind = |step| behind_itself(experiment, overall, (&place.0, place.1), observations, step);
        doubts.extend(STEPS.into_iter().filter_map(behind));
    }
    doubts
}

/// The markets whose variants do not have the sizes they were meant to have.
pub(crate) fn mismatched_markets<'a>(experiment: &Experiment, markets: &'a BTreeMap<String, Observations>) -> Vec<&'a str> {
    let of_market = |(_, observations): &(&String, &Observations)| is_mismatch(experiment, observations, markets.len());
    markets.iter().filter(of_market).map(|(market, _)| market.as_str()).collect()
}

/// Whether the sizes are not as they were meant to be, by a test that may be looked at every day, as one of `family` tests.
pub(super) fn is_mismatch(experiment: &Experiment, observations: &Observations, family: usize) -> bool {
    let assigned = experiment.variants.iter().map(|variant| observations.arm(&variant.name).map_or(0, |arm| arm.assigned));
    let weights: Vec<f64> = experiment.variants.iter().map(|variant| f64::from(variant.weight)).collect();
    let assigned: Vec<u64> = assigned.collect();
    let log_factor = |concentration: &f64| {
        let look = SequentialSampleRatio::new(&weights, *concentration).and_then(|mut test| test.observe(&assigned));
        look.map_or(0.0, |look| look.log_bayes_factor)
    };
    let log_factors: Vec<f64> = CONCENTRATIONS.iter().map(log_factor).collect();
    let top = log_factors.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mean = log_factors.iter().map(|log| (log - top).exp()).sum::<f64>() / log_factors.len() as f64;
    top + mean.ln() > (family.max(1) as f64 / SAMPLE_RATIO_THRESHOLD).ln()
}

/// A step a message takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Sent,
    Accepted,
    Delivered,
}

const STEPS: [Step; 3] = [Step::Sent, Step::Accepted, Step::Delivered];

impl Step {
    /// How many came up to the step, and how many of them beyond.
    fn of(self, arm: &ArmObservations) -> (u64, u64) {
        let funnel = &arm.funnel;
        match self {
            Self::Sent => (funnel.assigned, funnel.sent),
            Self::Accepted => (funnel.sent, funnel.accepted),
            // Nobody tells that a mail arrived, only that it did not.
            Self::Delivered => (funnel.accepted, funnel.accepted.min(funnel.sent.saturating_sub(arm.bounced))),
        }
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Sent => ("recipients", "were sent a message"),
            Self::Accepted => ("messages", "were accepted by the provider"),
            Self::Delivered => ("accepted messages", "did not come back"),
        }
    }
}

fn counts(observations: &Observations, variant: &VariantName, step: Step) -> (u64, u64) {
    observations.arm(variant).map_or((0, 0), |arm| step.of(arm))
}

/// Whether `reached` of `of` fall behind a usual share.
fn is_short((of, reached): (u64, u64), usual: f64) -> bool {
    of > 0 && usual - reached as f64 / of as f64 > SHORTFALL_MIN && binomial_lower(reached.min(of), of, usual) < CHANCE_MAX
}

/// Variants that fall behind the middle one. A variant nobody is sent anything of is meant so, and one of two that fall apart is named.
fn behind_others(experiment: &Experiment, overall: &Observations, step: Step) -> Option<Doubt> {
    let all = experiment.variants.iter().map(|variant| (&variant.name, counts(overall, &variant.name, step)));
    let some: Vec<_> = all.filter(|(_, (of, reached))| *of > 0 && (*reached > 0 || step != Step::Sent)).collect();
    let mut shares: Vec<f64> = some.iter().map(|(_, (of, reached))| *reached as f64 / *of as f64).collect();
    shares.sort_by(f64::total_cmp);
    // Of an even number the better of the two in the middle.
    let usual = *shares.get(shares.len() / 2)?;
    let short: Vec<String> =
        some.iter().filter(|(_, counts)| is_short(*counts, usual)).map(|(variant, _)| format!("`{variant}`")).collect();
    let ((who, did), usual) = (step.words(), percent(usual));
    (!short.is_empty()).then(|| Doubt {
        code: FUNNEL_MISMATCH.to_owned(),
        sentence: format!("Fewer {who} {did} with {} than the {usual} that are usual here.", short.join(", ")),
    })
}

/// Variants that fall behind themselves in the other markets or on the other days.
fn behind_itself(
    experiment: &Experiment,
    overall: &Observations,
    (place, elsewhere): (&str, &str),
    observations: &Observations,
    step: Step,
) -> Option<Doubt> {
    let is_behind = |variant: &&VariantName| {
        let ((all, all_reached), (of, reached)) = (counts(overall, variant, step), counts(observations, variant, step));
        let (others, others_reached) = (all.saturating_sub(of), all_reached.saturating_sub(reached));
        others > 0 && is_short((of, reached), (others_reached as f64 / others as f64).min(1.0))
    };
    let names = experiment.variants.iter().map(|variant| &variant.name);
    let short: Vec<String> = names.filter(is_behind).map(|variant| format!("`{variant}`")).collect();
    let (who, did) = step.words();
    (!short.is_empty()).then(|| Doubt {
        code: FUNNEL_MISMATCH.to_owned(),
        sentence: format!("{place} fewer {who} {did} with {} than {elsewhere}.", short.join(", ")),
    })
}
