//! The library: finished experiments together, each variant with its honest lift beside the raw one.
//!
//! The lift of a variant is drawn towards the mean of those that are alike by as much as its noise deserves
//! (`stats::hierarchy::shrinkage`). The variants of one experiment share the noise of their control, so they are never computed
//! together: variants take turns, one of each experiment in a round, and each has its lift from the round it first came up in. What
//! they share could tell a little of each other's noise; that is given away, and no interval is too short for it. Taking one member of
//! each cluster at a time: Hoffman, Sen & Weinberg, "Within-cluster resampling", Biometrika 88 (2001).

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stats::Interval;
use stats::hierarchy::{ShrunkenEffects, shrunken_effects};
use stats::posterior::effect::{EffectPrior, effect_posterior};
use vocabulary::Measure;

use super::Lesson;
use super::prior::{DEFAULT_MEAN, DEFAULT_STANDARD_DEVIATION};

/// The two-sided error of the intervals of lifts, as that of [`shrunken_effects`].
pub(super) const ALPHA: f64 = 0.05;

/// What is alike enough to be read together: the measure of the primary metric, and whether less of it is better.
pub(super) type Kind = (Measure, bool);

/// Finished experiments together. The same lessons give the same bytes, in whatever order they come.
#[derive(Debug, Clone, PartialEq)]
pub struct Library {
    /// By experiment, market and variant.
    lessons: Vec<Lesson>,
}

/// A variant of a finished experiment, overall: what it seems to have done beside what it did, as far as can be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// What was observed; its `lift` is the raw one.
    pub lesson: Lesson,
    /// The lift to believe, a fraction: shrunken in the light of the others that are alike, so that it holds for winners as well.
    pub lift: f64,
    /// Of `lift`.
    pub standard_deviation: f64,
    /// Of `lift`, at 95 %.
    pub interval: Interval,
    /// The chance that the variant is better than control: that its lift is above zero, or below where less is better.
    pub certainty: f64,
    /// The weight in `lift` of what the others did, between 0 and 1.
    pub shrinkage: f64,
    /// How many finished experiments it was read in the light of, its own included.
    pub experiments: u64,
}

impl Library {
    /// Puts lessons together. Of several about the same variant in the same market the one that was decided last counts; those whose
    /// lift or standard error is no number that an experiment can give are left out.
    #[must_use]
    pub fn new(lessons: Vec<Lesson>) -> Self {
        let mut lessons: Vec<Lesson> = lessons.into_iter().filter(is_usable).collect();
        let written = |lesson: &Lesson| serde_json::to_string(lesson).unwrap_or_default();
        lessons.sort_by_cached_key(|lesson| (key(lesson), Reverse(lesson.decided_at), written(lesson)));
        lessons.dedup_by(|next, kept| key(next) == key(kept));
        Self { lessons }
    }

    /// The lessons, by experiment, market and variant.
    #[must_use]
    pub fn lessons(&self) -> &[Lesson] {
        &self.lessons
    }

    /// Every variant overall with its honest lift, by experiment and variant. A variant that is alike to no other experiment is read in
    /// the light of the default of [`Library::prior`].
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let mut kinds: BTreeMap<Kind, Vec<&Lesson>> = BTreeMap::new();
        for lesson in self.overall() {
            kinds.entry(kind(lesson)).or_default().push(lesson);
        }
        let mut entries: Vec<Entry> = kinds.values().flat_map(|lessons| of_kind(lessons)).collect();
        entries.sort_by_cached_key(|entry| key(&entry.lesson));
        entries
    }

    /// The lessons about all recipients.
    pub(super) fn overall(&self) -> impl Iterator<Item = &Lesson> {
        self.lessons.iter().filter(|lesson| lesson.market.is_none())
    }
}

/// A lift of more than a thousandfold is of a control that is next to nothing.
const LIFT_MAX: f64 = 1_000.0;
/// No experiment has as many recipients as a smaller standard error takes.
const STANDARD_ERROR_MIN: f64 = 1e-6;

fn is_usable(lesson: &Lesson) -> bool {
    let is_told = lesson.lift.abs() <= LIFT_MAX && (STANDARD_ERROR_MIN..=LIFT_MAX).contains(&lesson.standard_error);
    is_told && lesson.statistic.is_finite() && lesson.log_e_value.is_finite()
}

/// What a lesson is about, in the order of the library.
fn key(lesson: &Lesson) -> (String, Option<String>, String) {
    (lesson.experiment.to_string(), lesson.market.clone(), lesson.variant.to_string())
}

pub(super) fn kind(lesson: &Lesson) -> Kind {
    (lesson.measure, lesson.lower_is_better)
}

/// Lessons of one kind and one market or overall, by experiment, as rounds in which each experiment has one of its variants.
pub(super) struct Rounds<'a> {
    experiments: Vec<&'a [&'a Lesson]>,
}

impl<'a> Rounds<'a> {
    /// `lessons` are in the order of the library.
    pub(super) fn new(lessons: &'a [&'a Lesson]) -> Self {
        Self { experiments: lessons.chunk_by(|one, next| one.experiment == next.experiment).collect() }
    }

    /// The lessons of each experiment.
    pub(super) fn experiments(&self) -> &[&'a [&'a Lesson]] {
        &self.experiments
    }

    /// Each round's effects, in the order of the experiments; `None` where they cannot be computed. There are as many rounds as the
    /// largest experiment has variants; an experiment of fewer begins again. Which variant comes when does not depend on outcomes.
    pub(super) fn shrunken(&self) -> Vec<Option<ShrunkenEffects>> {
        let rounds = self.experiments.iter().map(|variants| variants.len()).max().unwrap_or(0);
        let estimate = |lesson: &Lesson| (lesson.lift, lesson.standard_error);
        let of_round = |round: usize| {
            let estimates = self.experiments.iter().map(|variants| estimate(variants[round % variants.len()]));
            shrunken_effects(&estimates.collect::<Vec<_>>()).ok()
        };
        (0..rounds).map(of_round).collect()
    }
}

fn of_kind(lessons: &[&Lesson]) -> Vec<Entry> {
    let rounds = Rounds::new(lessons);
    let shrunken = rounds.shrunken();
    let mut entries = Vec::with_capacity(lessons.len());
    for (place, variants) in rounds.experiments().iter().enumerate() {
        for (lesson, round) in variants.iter().zip(&shrunken) {
            let Some(round) = round else {
                entries.extend(alone(lesson));
                continue;
            };
            let effect = &round.effects[place];
            let above = effect.chance_above_zero;
            entries.push(Entry {
                lesson: (*lesson).clone(),
                lift: effect.mean,
                standard_deviation: effect.sd,
                interval: effect.interval,
                certainty: if lesson.lower_is_better { 1.0 - above } else { above },
                shrinkage: effect.shrinkage,
                experiments: rounds.experiments().len() as u64,
            });
        }
    }
    entries
}

/// A variant that nothing can be compared with, in the light of the default. `None` where its numbers leave floating point.
fn alone(lesson: &Lesson) -> Option<Entry> {
    let variance = DEFAULT_STANDARD_DEVIATION * DEFAULT_STANDARD_DEVIATION;
    let prior = EffectPrior { mean: DEFAULT_MEAN, variance };
    let believed = effect_posterior(lesson.lift, lesson.standard_error, Some(prior)).ok()?;
    let ratio = lesson.standard_error / DEFAULT_STANDARD_DEVIATION;
    Some(Entry {
        lesson: lesson.clone(),
        lift: believed.mean,
        standard_deviation: believed.sd,
        interval: believed.interval(ALPHA).ok()?,
        certainty: believed.chance_to_win(lesson.lower_is_better),
        shrinkage: 1.0 - 1.0 / (1.0 + ratio * ratio),
        experiments: 1,
    })
}
