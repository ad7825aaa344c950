//! What works: the lifts of finished experiments that have something in common, pooled by random effects.
//!
//! One estimate per experiment: the average over its variants that share the theme, with the variance of that average. Two lifts over
//! one control have the covariance (1 + L_1)(1 + L_2) c² by the delta method, c being the standard error of control's mean over that
//! mean. The average of several variants varies less from experiment to experiment than one variant does; what to expect of one
//! variant is told by [`Library::prior`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stats::Interval;
use stats::hierarchy::{BetweenVariance, meta_analysis};
use stats::tail::t_quantile_upper;
use vocabulary::{Channel, Factor, Measure};

use super::Lesson;
use super::entries::{ALPHA, Kind, Library, Rounds, kind};

/// With fewer experiments nothing is pooled: how far they lie apart could not be told.
pub const POOLED_EXPERIMENTS_MIN: usize = 3;

/// What experiments have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by", content = "value")]
pub enum Theme {
    /// A tag.
    Tag(String),
    /// What the variants change.
    Factor(Factor),
    /// The channel the variants name.
    Channel(Channel),
    /// Recipients of one market.
    Market(String),
    /// The quarter of the year in which they were decided, 1 to 4, of any year.
    Quarter(u8),
}

/// What finished experiments that have something in common did, of those whose primary metric is alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pattern {
    /// The measure of their primary metrics.
    pub measure: Measure,
    /// Whether less of it is better.
    pub lower_is_better: bool,
    /// What they have in common.
    pub theme: Theme,
    /// How many experiments there are.
    pub experiments: u64,
    /// How many variants of theirs.
    pub variants: u64,
    /// Their lifts together; `None` with fewer than [`POOLED_EXPERIMENTS_MIN`] experiments.
    pub pooled: Option<Pooled>,
}

/// Lifts together, as fractions: negative is less, also where less is better.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pooled {
    /// The mean lift of experiments, by random effects.
    pub mean: f64,
    /// Of `mean`, at 95 %, by t with the error of Hartung & Knapp, though never less than the plain one: Röver, Knapp & Friede,
    /// "Hartung-Knapp-Sidik-Jonkman approach and its modification", BMC Medical Research Methodology 15 (2015).
    pub interval: Interval,
    /// Where the true lift of the next experiment of this theme lies, at 95 %.
    pub prediction_interval: Option<Interval>,
    /// How far true lifts of experiments lie apart: their standard deviation, by Paule & Mandel.
    pub between_standard_deviation: f64,
    /// The share of what the lifts differ by that is not noise (I²), 0 to 1.
    pub heterogeneity: f64,
}

impl Library {
    /// What works by tag, factor, channel, market and quarter, each for every kind of primary metric there is; in this order. A theme
    /// is not compared with the experiments without it, and experiments are not drawn by lot to have one, so that a pattern is a hint
    /// for the next test and no proof.
    #[must_use]
    pub fn patterns(&self) -> Vec<Pattern> {
        let mut groups: BTreeMap<(Kind, Theme), Vec<&Lesson>> = BTreeMap::new();
        for lesson in self.lessons() {
            for theme in themes(lesson) {
                groups.entry((kind(lesson), theme)).or_default().push(lesson);
            }
        }
        let pattern = |(((measure, lower_is_better), theme), lessons): ((Kind, Theme), Vec<&Lesson>)| {
            let rounds = Rounds::new(&lessons);
            let averages: Vec<(f64, f64)> = rounds.experiments().iter().map(|variants| average(variants)).collect();
            let (experiments, variants) = (averages.len() as u64, lessons.len() as u64);
            Pattern { measure, lower_is_better, theme, experiments, variants, pooled: pooled(&averages) }
        };
        groups.into_iter().map(pattern).collect()
    }
}

fn themes(lesson: &Lesson) -> Vec<Theme> {
    if let Some(market) = &lesson.market {
        return vec![Theme::Market(market.clone())];
    }
    let tags = lesson.tags.iter().cloned().map(Theme::Tag);
    let factors = lesson.factors.iter().copied().map(Theme::Factor);
    let channel = lesson.channel.map(Theme::Channel);
    tags.chain(factors).chain(channel).chain([Theme::Quarter(lesson.season.quarter)]).collect()
}

/// The average lift of variants of one experiment, and its standard error.
fn average(variants: &[&Lesson]) -> (f64, f64) {
    let count = variants.len() as f64;
    let mean = variants.iter().map(|lesson| lesson.lift).sum::<f64>() / count;
    let shared = |lesson: &Lesson| (1.0 + lesson.lift) * lesson.control_error;
    let own: f64 = variants.iter().map(|lesson| lesson.standard_error.powi(2) - shared(lesson).powi(2)).sum();
    let together: f64 = variants.iter().map(|lesson| shared(lesson)).sum();
    (mean, (own + together.powi(2)).max(0.0).sqrt() / count)
}

/// `None` where there are too few, or no such numbers.
fn pooled(averages: &[(f64, f64)]) -> Option<Pooled> {
    if averages.len() < POOLED_EXPERIMENTS_MIN {
        return None;
    }
    let found = meta_analysis(averages, BetweenVariance::PauleMandel, ALPHA).ok()?;
    let error = found.standard_error.max(found.hartung_knapp_standard_error);
    let reach = t_quantile_upper(ALPHA / 2.0, (averages.len() - 1) as f64) * error;
    Some(Pooled {
        mean: found.mean,
        interval: Interval::closed(found.mean - reach, found.mean + reach),
        prediction_interval: found.prediction_interval,
        between_standard_deviation: found.between_variance.sqrt(),
        heterogeneity: found.i_squared,
    })
}
