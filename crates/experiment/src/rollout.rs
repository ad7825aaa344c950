//! Rolling a decision out in steps: a variant that is shipped goes to a part of those who follow first, and on as long as it is
//! not shown to do harm. Harm sends everybody back to control at once.
//!
//! There is no state but the recommendations and what is observed of those who followed them. A step is a recommendation made
//! from a readout that gives control and one other variant a weight; the steps of a rollout are linked by their parents and have
//! the readout in common. Whether a variant does harm is tested whenever somebody looks, over all steps so far, at a boundary
//! that keeps the experiment's alpha over all looks, metrics and scopes together.
//!
//! *Caution:* followers of two steps are taken to be different contacts. Picks are keyed by the contact, so that whoever gets the
//! variant at one step gets it at all that follow; those who are written to in several steps count once in each.

mod chain;
mod harm;
mod say;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vocabulary::{Experiment, Recommendation, RecommendationId, RecommendationScope, Rollout, Timestamp, VariantName};

use crate::cells::{HOUR_MICROS, is_age};
use crate::observe::Observations;
use crate::readout::{Doubt, GuardrailState, Role};

use chain::Chain;
pub(crate) use chain::{dealt, first_percent, is_under_way};
pub(crate) use harm::{harm_checks, pair};
use say::Told;

/// How many followers of either variant must count before a step ends with its hours: what would be a disaster, such as a message
/// that cannot be read, is seen among so many.
const FOLLOWERS_MIN: u64 = 100;

/// A step that fewer follow ends after so many times its hours: a small audience is not kept waiting for ever.
const PATIENCE: u32 = 7;

/// With fewer followers of either variant nothing can be compared. No step ends so.
const COMPARED_MIN: u64 = 2;

/// What is sent to those who follow, and what is observed of them.
#[derive(Debug, Clone, Copy)]
pub struct Followed<'a> {
    /// The current recommendations of the experiment, one a scope.
    pub current: &'a [Recommendation],
    /// Those that they replaced, in any order; others may be among them.
    pub history: &'a [Recommendation],
    /// What is observed of the contacts who were sent something by a recommendation: `assigned` are those who were, `mature`
    /// those who are at least [`observed_hours`] old, everybody's outcomes up to that age. A recommendation that nobody followed
    /// may be missing.
    pub observed: &'a BTreeMap<RecommendationId, Observations>,
}

/// Where the rollout of one scope stands. No number in it is NaN or infinite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScopeStanding {
    /// For whom it is.
    pub scope: RecommendationScope,
    /// The current recommendation.
    pub recommendation_id: RecommendationId,
    /// The variant that is rolled out.
    pub variant: VariantName,
    /// The variant that everybody else gets.
    pub control: VariantName,
    /// The share of those who follow that gets the variant now, from 0 to 1.
    pub share: f64,
    /// Since when.
    pub since: Timestamp,
    /// All steps so far, the first one first and the current one last.
    pub steps: Vec<StepStanding>,
    /// The primary metric, then the guardrails in the experiment's order.
    pub checks: Vec<HarmCheck>,
    /// What is to be done.
    pub next: Step,
    /// What must be found out before it goes on.
    pub doubts: Vec<Doubt>,
    /// All of it for people.
    pub sentence: String,
}

/// One step and who followed it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepStanding {
    /// The recommendation.
    pub recommendation_id: RecommendationId,
    /// The share that got the variant, from 0 to 1.
    pub share: f64,
    /// Since when.
    pub since: Timestamp,
    /// How many contacts were sent control and the variant.
    pub followers: BTreeMap<VariantName, u64>,
    /// How many of them are old enough to count.
    pub counted: BTreeMap<VariantName, u64>,
}

/// Whether the variant does harm on a metric, over all steps so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HarmCheck {
    /// The metric.
    pub metric: String,
    /// What it is for: primary or guardrail.
    pub role: Role,
    /// How much worse, relative to control, is tolerated; `None` for the primary metric.
    pub margin: Option<f64>,
    /// What is known, at a boundary that holds at all looks.
    pub state: GuardrailState,
    /// Variant minus control, in the metric's unit per follower. `None` where it cannot be computed.
    pub difference: Option<f64>,
    /// How far the variant is ahead of control in standard errors: negative is harm. `None` where it cannot be computed.
    pub statistic: Option<f64>,
    /// It is harm from minus this on. `None` where it cannot be computed.
    pub boundary: Option<f64>,
}

/// What is to be done in a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Step {
    /// Everybody is to get control again: harm is shown.
    Stop {
        /// What harm, with its numbers.
        reason: String,
    },
    /// The next step is due.
    Advance {
        /// Its share in percent.
        to: u8,
    },
    /// Nothing yet.
    Wait {
        /// From when on time alone may be enough. `None` where it takes followers, or somebody who finds out what is wrong.
        until: Option<Timestamp>,
    },
    /// The variant goes to everybody.
    Done,
}

/// The age in hours at which followers are observed: half of a step, so that those of its first half count when it may end, but
/// no longer than the experiment's window, and an age that [`crate::cells::Cut`] can ask for. `None` where nothing is rolled out
/// in steps.
#[must_use]
pub fn observed_hours(experiment: &Experiment) -> Option<u32> {
    let rollout = experiment.rollout.as_ref()?;
    let most = (rollout.hours / 2).min(experiment.window_hours);
    // No age is shorter than one hour.
    Some((1..=most).rev().find(|hours| is_age(*hours)).unwrap_or(1))
}

/// Where every scope stands that is, or was, rolled out in steps, in the order of the current recommendations. The experiment
/// must have been checked.
#[must_use]
pub fn standing(experiment: &Experiment, followed: &Followed<'_>, now: Timestamp) -> Vec<ScopeStanding> {
    let Some(rollout) = &experiment.rollout else { return Vec::new() };
    // All scopes, so that the split stays the same while some of them end.
    let tests = (experiment.guardrails.len() + 1) * followed.current.len();
    let alpha_each = experiment.alpha / tests.max(1) as f64;
    let chains = followed.current.iter().filter_map(|current| Chain::of(experiment, current, followed.history));
    chains.map(|chain| scope_standing(experiment, rollout, &chain, followed.observed, alpha_each, now)).collect()
}

/// The recommendations that are due: the next step, or control where harm is shown. Once they are current, none is due at the
/// same moment. The experiment must have been checked.
pub fn next_step(
    experiment: &Experiment,
    followed: &Followed<'_>,
    mut fresh: impl FnMut() -> RecommendationId,
    now: Timestamp,
) -> Vec<Recommendation> {
    let due = standing(experiment, followed, now).into_iter().filter_map(|standing| {
        let current = followed.current.iter().find(|current| current.id == standing.recommendation_id)?;
        let ((variant, weights), expected) = match standing.next {
            Step::Stop { .. } => (dealt(&standing.control, &standing.control, chain::EVERYBODY), None),
            Step::Advance { to } => (dealt(&standing.control, &standing.variant, to), current.expected),
            Step::Wait { .. } | Step::Done => return None,
        };
        Some(Recommendation {
            id: fresh(),
            variant,
            weights,
            parent: Some(current.id.clone()),
            reason: standing.sentence,
            expected,
            created_at: now,
            ..current.clone()
        })
    });
    due.collect()
}

fn scope_standing(
    experiment: &Experiment,
    rollout: &Rollout,
    chain: &Chain<'_>,
    observed: &BTreeMap<RecommendationId, Observations>,
    alpha_each: f64,
    now: Timestamp,
) -> ScopeStanding {
    let steps = chain.steps.iter().map(|step| step_standing(experiment, chain, step, observed)).collect();
    let mut standing = ScopeStanding {
        scope: chain.current.scope.clone(),
        recommendation_id: chain.current.id.clone(),
        variant: chain.variant.clone(),
        control: experiment.control().clone(),
        share: chain.share(),
        since: chain.current.created_at,
        steps,
        checks: harm_checks(experiment, |metric| harm::waves(experiment, chain, observed, metric), alpha_each),
        next: Step::Done,
        doubts: chain.steps.iter().flat_map(|step| harm::doubts(experiment, chain, step, observed)).collect(),
        sentence: String::new(),
    };
    (standing.next, standing.sentence) = next(experiment, rollout, &standing, now);
    standing
}

fn step_standing(
    experiment: &Experiment,
    chain: &Chain<'_>,
    step: &chain::Dealing<'_>,
    observed: &BTreeMap<RecommendationId, Observations>,
) -> StepStanding {
    let seen = observed.get(&step.made.id);
    let each = |count: fn(&crate::observe::ArmObservations) -> u64| {
        let of = |name: &VariantName| (name.clone(), seen.and_then(|seen| seen.arm(name)).map_or(0, count));
        [experiment.control(), chain.variant].map(of).into()
    };
    StepStanding {
        recommendation_id: step.made.id.clone(),
        share: step.share,
        since: step.made.created_at,
        followers: each(|arm| arm.assigned),
        counted: each(|arm| arm.mature),
    }
}

/// What is to be done, and why.
fn next(experiment: &Experiment, rollout: &Rollout, standing: &ScopeStanding, now: Timestamp) -> (Step, String) {
    let told = Told::new(experiment, standing);
    if standing.checks.iter().any(|check| check.state == GuardrailState::Broken) {
        let reason = told.stopped();
        return (Step::Stop { reason: reason.clone() }, reason);
    }
    let Some(to) = chain::percent_after(rollout, standing.share) else { return (Step::Done, told.done()) };
    if let Some(doubt) = standing.doubts.first() {
        return (Step::Wait { until: None }, told.doubted(doubt));
    }
    let due = hours_after(standing.since, rollout.hours);
    if now < due {
        return (Step::Wait { until: Some(due) }, told.waiting(due));
    }
    let counted = standing.steps.last().and_then(|step| step.counted.values().min().copied()).unwrap_or_default();
    let late = hours_after(standing.since, rollout.hours * PATIENCE);
    if counted >= FOLLOWERS_MIN || (now >= late && counted >= COMPARED_MIN) {
        return (Step::Advance { to }, told.advanced(to, now));
    }
    let until = Some(late).filter(|late| now < *late);
    (Step::Wait { until }, told.too_few(counted, until))
}

fn hours_after(since: Timestamp, hours: u32) -> Timestamp {
    let micros = since.as_microsecond().saturating_add(i64::from(hours) * HOUR_MICROS);
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
#[path = "rollout_tests.rs"]
mod tests;
