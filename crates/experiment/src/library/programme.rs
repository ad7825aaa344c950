//! All finished experiments as one programme: which winners still stand when all are looked at at once, and what all that was shipped
//! is expected to bring.
//!
//! Of many experiments that change nothing some show a winner. Each finished experiment counts once, by its best variant, and of the
//! winners so many are kept that the expected share of false ones is at most alpha: by p-values after Holm over the experiment's
//! variants with the procedure of Benjamini & Hochberg, and by e-values over the number of its variants with that of Wang & Ramdas. An
//! experiment without a winner counts with a p-value of 1 and an e-value of 0, which only makes both promises stricter.
//!
//! The p-values are those of one look; where an experiment was ended by what it showed they are too small, and only the e-values hold.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stats::Degenerate;
use stats::multiplicity::{Procedure, e_benjamini_hochberg};
use vocabulary::{ExperimentId, Measure, VariantName};

use super::Lesson;
use super::entries::{Entry, Kind, Library, kind};
use crate::decision::Shown;
use crate::words::{count, percent};

/// All finished experiments together. No number in it is NaN or infinite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Programme {
    /// The false discovery rate that is accepted: the expected share of false winners among those that stand.
    pub alpha: f64,
    /// How many experiments are finished of which a lift can be told.
    pub experiments: u64,
    /// How many of them showed a winner.
    pub shown: u64,
    /// By p-values: more stand, where experiments are independent and ended as planned.
    pub by_p_value: Together,
    /// By e-values: however experiments depend on each other, and whenever they were ended.
    pub by_e_value: Together,
    /// What all that was shipped is expected to bring, by kind of primary metric.
    pub expected: Vec<ExpectedTotal>,
}

/// The winners when all experiments are taken together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Together {
    /// What a manager reads.
    pub sentence: String,
    /// How many winners stand.
    pub standing: u64,
    /// The winners that were shown, the surest first.
    pub winners: Vec<Winner>,
}

/// A variant that its experiment has shown to beat control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Winner {
    /// The experiment.
    pub experiment: ExperimentId,
    /// The variant.
    pub variant: VariantName,
    /// The primary metric.
    pub metric: String,
    /// The lift as observed, a fraction.
    pub raw_lift: f64,
    /// The lift to believe: see [`Entry::lift`].
    pub lift: f64,
    /// The smallest false discovery rate at which it stands.
    pub p_adjusted: f64,
    /// Whether it stands at the programme's.
    pub stands: bool,
}

/// What variants that were shipped bring together, each over its own control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExpectedTotal {
    /// The measure of their primary metrics.
    pub measure: Measure,
    /// Whether less of it is better.
    pub lower_is_better: bool,
    /// How many variants were shipped.
    pub shipped: u64,
    /// The sum of their lifts as observed, as fractions: too large.
    pub raw_lift: f64,
    /// The sum of their lifts to believe.
    pub lift: f64,
}

/// Takes all finished experiments together at the false discovery rate `alpha`. Lessons about markets are passed over.
///
/// # Errors
/// [`Degenerate`] when alpha does not lie between 0 and 1.
pub fn programme(lessons: &[Lesson], alpha: f64) -> Result<Programme, Degenerate> {
    if !(alpha > 0.0 && alpha < 1.0) {
        return Err(Degenerate::new(format!("alpha is {alpha}; it must lie between 0 and 1")));
    }
    let entries = Library::new(lessons.to_vec()).entries();
    let best: Vec<&Entry> =
        entries.chunk_by(|one, next| one.lesson.experiment == next.lesson.experiment).filter_map(best).collect();
    let shown = best.iter().filter(|entry| is_winner(entry)).count() as u64;
    let (experiments, expected) = (best.len() as u64, expected(&entries));
    let winners = |adjusted: &[f64], stands: &dyn Fn(usize) -> bool, why: &str| {
        let mut places: Vec<usize> = (0..best.len()).filter(|place| is_winner(best[*place])).collect();
        let ahead = |place: usize| best[place].lesson.statistic;
        places.sort_by(|a, b| adjusted[*a].total_cmp(&adjusted[*b]).then(ahead(*b).total_cmp(&ahead(*a))));
        let winners: Vec<Winner> = places.iter().map(|place| winner(best[*place], adjusted[*place], stands(*place))).collect();
        let standing = winners.iter().filter(|winner| winner.stands).count() as u64;
        Together { sentence: sentence([experiments, shown, standing], alpha, why), standing, winners }
    };
    let p_values: Vec<f64> = best.iter().map(|entry| if is_winner(entry) { entry.lesson.p_adjusted } else { 1.0 }).collect();
    let adjusted = Procedure::BenjaminiHochberg.adjust(&p_values);
    let by_p_value = winners(
        &adjusted,
        &|place| adjusted[place] <= alpha,
        "This holds where experiments are independent and ended as planned.",
    );
    let log_e_values: Vec<f64> = best.iter().map(|entry| log_e_value(entry)).collect();
    let e_values: Vec<f64> = log_e_values.iter().map(|log| log.exp()).collect();
    // The rule for e-values is that of Benjamini & Hochberg for their reciprocals.
    let reciprocals: Vec<f64> = log_e_values.iter().map(|log| (-log).exp()).collect();
    let rejected = e_benjamini_hochberg(&e_values, alpha).map(|found| found.rejected).unwrap_or_default();
    let by_e_value = winners(
        &Procedure::BenjaminiHochberg.adjust(&reciprocals),
        &|place| rejected.get(place).copied().unwrap_or(false),
        "This holds however experiments depend on each other, and whenever they were ended.",
    );
    Ok(Programme { alpha, experiments, shown, by_p_value, by_e_value, expected })
}

/// The variant an experiment is counted by: one that was shown to be better before all others, and of those the one furthest ahead.
fn best(variants: &[Entry]) -> Option<&Entry> {
    let is_ahead =
        |one: &Entry, other: &Entry| (is_winner(one), one.lesson.statistic) > (is_winner(other), other.lesson.statistic);
    variants.iter().reduce(|best, next| if is_ahead(next, best) { next } else { best })
}

fn is_winner(entry: &Entry) -> bool {
    entry.lesson.shown == Shown::Better
}

/// Of the experiment: that of its best variant over the number of variants, because the best was picked. An e-value against no
/// difference that counts only where the variant is ahead is one against being no better.
fn log_e_value(entry: &Entry) -> f64 {
    let comparisons = f64::from(entry.lesson.comparisons.max(1));
    if is_winner(entry) { entry.lesson.log_e_value - comparisons.ln() } else { f64::NEG_INFINITY }
}

fn winner(entry: &Entry, p_adjusted: f64, stands: bool) -> Winner {
    let lesson = &entry.lesson;
    Winner {
        experiment: lesson.experiment.clone(),
        variant: lesson.variant.clone(),
        metric: lesson.metric.clone(),
        raw_lift: lesson.lift,
        lift: entry.lift,
        p_adjusted,
        stands,
    }
}

fn expected(entries: &[Entry]) -> Vec<ExpectedTotal> {
    let mut kinds: BTreeMap<Kind, Vec<&Entry>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.lesson.shipped) {
        kinds.entry(kind(&entry.lesson)).or_default().push(entry);
    }
    let total = |((measure, lower_is_better), shipped): (Kind, Vec<&Entry>)| ExpectedTotal {
        measure,
        lower_is_better,
        shipped: shipped.len() as u64,
        raw_lift: shipped.iter().map(|entry| entry.lesson.lift).sum(),
        lift: shipped.iter().map(|entry| entry.lift).sum(),
    };
    kinds.into_iter().map(total).collect()
}

/// Of how many experiments, winners and winners that stand.
fn sentence([experiments, shown, standing]: [u64; 3], alpha: f64, why: &str) -> String {
    let finished = count(experiments, "finished experiment", "finished experiments");
    match (experiments, shown) {
        (0, _) => "No experiment is finished yet.".to_owned(),
        (_, 0) => format!("Of {finished} none has shown a winner."),
        _ => {
            let winners = count(shown, "winner was", "winners were");
            let stand = if standing == 1 { "stands" } else { "stand" };
            let rate = percent(alpha);
            format!(
                "Of {finished} {winners} shown; {standing} of them {stand} when all are taken together at a false discovery rate of \
                 {rate}. {why}"
            )
        }
    }
}

#[cfg(test)]
#[path = "programme_tests.rs"]
mod tests;
