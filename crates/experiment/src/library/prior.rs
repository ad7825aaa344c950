//! What to expect of the next test, from finished experiments that are like it: a prior for its size and for its forecasts.

use serde::{Deserialize, Serialize};
use vocabulary::{Channel, Factor, Measure};

use super::Lesson;
use super::entries::{Library, Rounds};
use crate::words::{count, percent};

/// A group of fewer experiments says too little of the next one, and a wider one is asked.
pub const PRIOR_EXPERIMENTS_MIN: usize = 5;

/// Where nothing is known a variant is expected to change nothing.
pub const DEFAULT_MEAN: f64 = 0.0;

/// Where nothing is known two of three variants are expected within 5 % of control.
pub const DEFAULT_STANDARD_DEVIATION: f64 = 0.05;

/// How many experiments are named; of more the rest is counted.
const NAMES_MAX: usize = 5;

/// The test that is planned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Like {
    /// The measure of its primary metric.
    pub measure: Measure,
    /// Whether less of it is better.
    #[serde(default)]
    pub lower_is_better: bool,
    /// All that its variants change; not asked about where empty.
    #[serde(default)]
    pub factors: Vec<Factor>,
    /// Its tags, of which an experiment that is like it has at least one; not asked about where empty.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The channel its variants name; not asked about where absent.
    #[serde(default)]
    pub channel: Option<Channel>,
    /// The market it is for; all recipients where absent.
    #[serde(default)]
    pub market: Option<String>,
}

/// What is believed of a variant's lift over control before its test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prior {
    /// The lift to expect, a fraction.
    pub mean: f64,
    /// How far the true lift of one variant is from it, on average: how far those of variants lie apart, with what is not known of
    /// their mean.
    pub standard_deviation: f64,
    /// How many finished experiments it rests on; 0 where it is the default.
    pub experiments: u64,
    /// Which these are, in a sentence for people.
    pub from: String,
}

/// What an experiment can have in common with the one that is planned. Where groups have equally much of it, those that come first
/// here are asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    Tags,
    Factors,
    Channel,
    Market,
}

const LIKENESSES: [Likeness; 4] = [Likeness::Tags, Likeness::Factors, Likeness::Channel, Likeness::Market];

impl Library {
    /// What to expect of a variant of a test that is like `like`: from the finished experiments with the same kind of primary metric
    /// that have the most in common with it and are at least [`PRIOR_EXPERIMENTS_MIN`]; the default where there are no such.
    ///
    /// Variants of one experiment take turns, and the rounds are averaged, so that the spread is that of single variants and none
    /// counts for more because it had many.
    #[must_use]
    pub fn prior(&self, like: &Like) -> Prior {
        groups(like).iter().find_map(|group| self.prior_of(like, group)).unwrap_or_else(nothing_known)
    }

    fn prior_of(&self, like: &Like, group: &[Likeness]) -> Option<Prior> {
        let belongs = |lesson: &&Lesson| {
            (lesson.measure, lesson.lower_is_better) == (like.measure, like.lower_is_better)
                && lesson.market.as_ref() == like.market.as_ref().filter(|_| group.contains(&Likeness::Market))
                && group.iter().all(|likeness| has(lesson, like, *likeness))
        };
        let lessons: Vec<&Lesson> = self.lessons().iter().filter(belongs).collect();
        let rounds = Rounds::new(&lessons);
        let experiments = rounds.experiments();
        if experiments.len() < PRIOR_EXPERIMENTS_MIN {
            return None;
        }
        let shrunken: Vec<_> = rounds.shrunken().into_iter().collect::<Option<_>>()?;
        let mean_of = |numbers: &dyn Fn(&stats::hierarchy::ShrunkenEffects) -> f64| {
            shrunken.iter().map(numbers).sum::<f64>() / shrunken.len() as f64
        };
        let names: Vec<&str> = experiments.iter().map(|variants| variants[0].experiment.as_str()).collect();
        Some(Prior {
            mean: mean_of(&|round| round.mean),
            standard_deviation: mean_of(&|round| round.next_sd.powi(2)).sqrt(),
            experiments: names.len() as u64,
            from: from(like, group, &names),
        })
    }
}

/// The groups to ask, the most specific first.
fn groups(like: &Like) -> Vec<Vec<Likeness>> {
    let is_asked = |likeness: &Likeness| match likeness {
        Likeness::Tags => !like.tags.is_empty(),
        Likeness::Factors => !like.factors.is_empty(),
        Likeness::Channel => like.channel.is_some(),
        Likeness::Market => like.market.is_some(),
    };
    let asked: Vec<Likeness> = LIKENESSES.into_iter().filter(is_asked).collect();
    let of = |set: u32| asked.iter().enumerate().filter(move |(place, _)| set >> place & 1 == 1).map(|(_, likeness)| *likeness);
    let mut groups: Vec<Vec<Likeness>> = (0..1_u32 << asked.len()).map(|set| of(set).collect()).collect();
    // As many as possible, and of equally many those with the first ones.
    groups.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
    groups
}

fn has(lesson: &Lesson, like: &Like, likeness: Likeness) -> bool {
    match likeness {
        Likeness::Tags => like.tags.iter().any(|tag| lesson.tags.contains(tag)),
        Likeness::Factors => {
            let within = |these: &[Factor], those: &[Factor]| these.iter().all(|factor| those.contains(factor));
            within(&like.factors, &lesson.factors) && within(&lesson.factors, &like.factors)
        }
        Likeness::Channel => lesson.channel == like.channel,
        Likeness::Market => lesson.market == like.market,
    }
}

fn from(like: &Like, group: &[Likeness], names: &[&str]) -> String {
    let word = |likeness: &Likeness| match likeness {
        Likeness::Tags => format!(" tagged {}", like.tags.join(" or ")),
        Likeness::Factors => {
            let changed: Vec<&str> = like.factors.iter().map(|factor| factor.as_str()).collect();
            format!(" that changed {}", changed.join(" and "))
        }
        Likeness::Channel => like.channel.map(|channel| format!(" by {channel}")).unwrap_or_default(),
        Likeness::Market => like.market.as_ref().map(|market| format!(" in {market}")).unwrap_or_default(),
    };
    let shared: String = group.iter().map(word).collect();
    let many = count(names.len() as u64, "finished experiment", "finished experiments");
    let more = match names.len().saturating_sub(NAMES_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let named = names.iter().take(NAMES_MAX).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    format!("From {many}{shared}: {named}{more}.")
}

fn nothing_known() -> Prior {
    let from = format!(
        "No {PRIOR_EXPERIMENTS_MIN} finished experiments are like this one, so it rests on nothing: no change is expected, give or take {}.",
        percent(DEFAULT_STANDARD_DEVIATION)
    );
    Prior { mean: DEFAULT_MEAN, standard_deviation: DEFAULT_STANDARD_DEVIATION, experiments: 0, from }
}
