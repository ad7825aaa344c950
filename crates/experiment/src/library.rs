//! What finished experiments teach together: honest effects, what works by tag, factor, channel, market and season, what to expect of
//! the next test, and which winners stand when all are looked at at once.
//!
//! An experiment that was ended leaves a [`Lesson`] for each of its variants. The lifts of lessons are relative, so that they can be
//! compared from one level to another; where control's mean is not clearly above zero there is no lift, and no lesson. Alike are lessons
//! whose primary metrics have the same measure and the same direction.
//!
//! Variants of one experiment share its control, so their lifts err together. No computation here takes two of them for independent:
//! where one estimate per experiment is wanted it is the average of its variants with the variance of that average, and where the
//! effect of a single variant is wanted the variants of each experiment take turns, one in each round.
//!
//! Reading order: this file (lessons), [`entries`] (the library), [`patterns`], [`prior`](mod@prior), [`programme`](mod@programme).

pub mod entries;
pub mod patterns;
pub mod prior;
pub mod programme;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stats::{holm, welch};
use vocabulary::{Channel, Experiment, ExperimentId, Factor, Measure, Metric, Timestamp, Variant, VariantName};

use crate::decision::{Action, Decision, Shown, log_e_value_of, mismatched_markets, statistic};
use crate::early::{self, EarlyEffect};
use crate::observe::{ByMarket, Observations};
use crate::readout::Readout;

pub use entries::{Entry, Library};
pub use patterns::{Pattern, Pooled, Theme};
pub use prior::{Like, Prior};
pub use programme::{ExpectedTotal, Programme, Together, Winner, programme};

/// By how many standard errors control's mean must be above zero for a lift over it to have a standard error: with a coefficient of
/// variation of the denominator above a fifth a ratio is too skewed for the delta method. Hayya, Armstrong & Gressis, "A note on the
/// ratio of two normally distributed variables", Management Science 21 (1975).
const CONTROL_STANDARD_ERRORS_MIN: f64 = 5.0;

/// What one finished experiment taught about one of its variants, overall or in one market. Plain data; no number in it is NaN or
/// infinite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lesson {
    /// The experiment.
    pub experiment: ExperimentId,
    /// The variant, which is not the control.
    pub variant: VariantName,
    /// What it was compared with.
    pub control: VariantName,
    /// The market; all recipients where absent.
    pub market: Option<String>,
    /// The experiment's tags.
    pub tags: Vec<String>,
    /// In which of the experiment's factors the variant differs from control.
    pub factors: Vec<Factor>,
    /// The variant's channel, where it names one.
    pub channel: Option<Channel>,
    /// When it was.
    pub season: Season,
    /// The name of the primary metric.
    pub metric: String,
    /// What the primary metric makes of a recipient's events.
    pub measure: Measure,
    /// Whether less of it is better.
    pub lower_is_better: bool,
    /// Control's mean per recipient, in the metric's unit; clearly above zero.
    pub control_mean: f64,
    /// The standard error of control's mean as a fraction of it: the noise that all variants of the experiment share.
    pub control_error: f64,
    /// Recipients of both arms whose window was over.
    pub recipients: u64,
    /// The variant's mean over control's minus one, a fraction, as observed: too large for a winner. Negative is less, also where less
    /// is better.
    pub lift: f64,
    /// Of `lift`, by the delta method.
    pub standard_error: f64,
    /// How far the variant is ahead of control in standard errors: positive is better, also where less is better.
    pub statistic: f64,
    /// Of the difference by Welch, two-sided, for one look.
    pub p_value: f64,
    /// `p_value` after Holm over the variants that were compared with control.
    pub p_adjusted: f64,
    /// The natural logarithm of the e-value against no difference, which is valid whenever it was decided to look.
    pub log_e_value: f64,
    /// How many variants were compared with control.
    pub comparisons: u32,
    /// What its test showed overall, by a boundary that holds over all looks; in a market nothing is tested.
    pub shown: Shown,
    /// Whether it was sent to everybody afterwards: to all of the market in a market.
    pub shipped: bool,
    /// When it was decided: the moment of the look.
    pub decided_at: Timestamp,
    /// What its recipients had done by early ages; overall only.
    #[serde(default)]
    pub early: Vec<EarlyEffect>,
}

/// When an experiment was decided, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Season {
    /// The year.
    pub year: i16,
    /// The month, 1 to 12.
    pub month: u8,
    /// The quarter of the year, 1 to 4.
    pub quarter: u8,
}

impl Season {
    /// The season of a moment.
    ///
    /// # Panics
    /// Never: years and months are written in digits.
    #[must_use]
    pub fn of(at: Timestamp) -> Self {
        let year = at.strftime("%Y").to_string().parse().expect("a year is written in digits");
        let month: u8 = at.strftime("%m").to_string().parse().expect("a month is written in digits");
        Self { year, month, quarter: month.div_ceil(3) }
    }
}

/// What a look teaches that ended the experiment: a lesson for each variant overall, then for each market, by name. `outcomes` are
/// what the look was judged from.
///
/// `ages` are what all recipients of them had done by early ages.
///
/// Empty where the experiment goes on, also where something was decided early, or cannot be judged. Left out are variants of which no lift can be told: whose control's mean is
/// not clearly above zero, or where nothing varies; and markets whose variants do not have the sizes they were meant to have. The
/// experiment must have been checked.
#[must_use]
pub fn lessons(
    experiment: &Experiment,
    readout: &Readout,
    decision: &Decision,
    outcomes: &ByMarket,
    ages: &BTreeMap<u32, Observations>,
) -> Vec<Lesson> {
    let ByMarket { overall, markets } = outcomes;
    let primary = experiment.primary_metric();
    let Some(primary) = primary.filter(|_| decision.ends()) else { return Vec::new() };
    let ending = Ending { experiment, readout, decision, primary, ages };
    let unsound = mismatched_markets(experiment, markets);
    let sound = markets.iter().filter(|(market, _)| !unsound.contains(&market.as_str()));
    let of_markets = sound.flat_map(|(market, observed)| ending.lessons(Some(market), observed));
    ending.lessons(None, overall).into_iter().chain(of_markets).collect()
}

/// A look that ended an experiment.
#[derive(Clone, Copy)]
struct Ending<'a> {
    experiment: &'a Experiment,
    readout: &'a Readout,
    decision: &'a Decision,
    primary: &'a Metric,
    ages: &'a BTreeMap<u32, Observations>,
}

impl Ending<'_> {
    fn lessons(self, market: Option<&String>, observed: &Observations) -> Vec<Lesson> {
        let Self { experiment, primary, .. } = self;
        let control = experiment.control();
        let of_control = observed.moments(control, &primary.name);
        let others: Vec<&Variant> = experiment.sending().filter(|variant| &variant.name != control).collect();
        let test = |variant: &&Variant| welch(&of_control, &observed.moments(&variant.name, &primary.name), experiment.alpha);
        // A comparison that cannot be made stays in the family.
        let p_values: Vec<f64> = others.iter().map(|variant| test(variant).map_or(1.0, |effect| effect.p_value)).collect();
        let tested = others.iter().zip(p_values.iter().zip(holm(&p_values)));
        tested.filter_map(|(variant, (p, adjusted))| self.lesson(market, observed, variant, (*p, adjusted))).collect()
    }

    /// `p_values` are the plain one and that after Holm. `None` where no lift can be told.
    fn lesson(self, market: Option<&String>, observed: &Observations, variant: &Variant, p_values: (f64, f64)) -> Option<Lesson> {
        let Self { experiment, readout, decision, primary, ages } = self;
        let (control, name) = (experiment.control(), &variant.name);
        let [own, others] = [control, name].map(|arm| observed.moments(arm, &primary.name));
        let control_error = own.variance_of_mean()?.sqrt() / own.mean;
        let (lift, standard_error) = lift_of(observed, control, name, primary)?;
        let statistic = statistic(&own, &others, primary.lower_is_better).ok()?;
        let is_list = decision.information.planned.is_some();
        let log_e_value = log_e_value_of(experiment, observed, name, statistic, is_list)?;
        let in_market = |market: &String| decision.markets.iter().find(|own| &own.market == market).map(|own| &own.variant);
        let sent = market.map_or(Some(&decision.variant), in_market);
        let tested = decision.information.tests.iter().find(|test| market.is_none() && &test.variant == name);
        Some(Lesson {
            experiment: experiment.experiment.clone(),
            variant: name.clone(),
            control: control.clone(),
            market: market.cloned(),
            tags: experiment.tags.clone(),
            factors: differing(experiment, variant),
            channel: variant.channel,
            season: Season::of(readout.as_of),
            metric: primary.name.clone(),
            measure: primary.measure,
            lower_is_better: primary.lower_is_better,
            control_mean: own.mean,
            control_error,
            recipients: own.count + others.count,
            lift,
            standard_error,
            statistic,
            p_value: p_values.0,
            p_adjusted: p_values.1,
            log_e_value,
            comparisons: experiment.others().count() as u32,
            shown: tested.map_or(Shown::Neither, |test| test.shown),
            shipped: decision.action == Action::Ship && sent == Some(name),
            decided_at: readout.as_of,
            early: if market.is_none() { early::effects(experiment, name, primary, ages, observed) } else { Vec::new() },
        })
    }
}

/// The variant's mean over control's minus one, with its standard error by the delta method. `None` where control's mean is not clearly
/// above zero, or nothing varies.
pub(crate) fn lift_of(
    observed: &Observations,
    control: &VariantName,
    variant: &VariantName,
    primary: &Metric,
) -> Option<(f64, f64)> {
    let [own, others] = [control, variant].map(|arm| observed.moments(arm, &primary.name));
    let control_error = own.variance_of_mean()?.sqrt() / own.mean;
    // Negated, so that what is no number is left out as well.
    if !(own.mean > 0.0 && control_error * CONTROL_STANDARD_ERRORS_MIN <= 1.0) {
        return None;
    }
    let ratio = others.mean / own.mean;
    let standard_error = (others.variance_of_mean()?.sqrt() / own.mean).hypot(ratio * control_error);
    (ratio.is_finite() && standard_error.is_finite() && standard_error > 0.0).then_some((ratio - 1.0, standard_error))
}

/// In which of the experiment's factors a variant differs from control.
pub(crate) fn differing(experiment: &Experiment, variant: &Variant) -> Vec<Factor> {
    let Some(control) = experiment.variant(experiment.control()) else { return Vec::new() };
    let differs = |factor: &Factor| match factor {
        Factor::Copy => control.copy_name() != variant.copy_name(),
        Factor::Timing => (control.send_day, control.send_hour) != (variant.send_day, variant.send_hour),
        Factor::Channel => control.channel != variant.channel,
        Factor::Provider => control.provider != variant.provider,
    };
    Factor::ALL.iter().copied().filter(|factor| experiment.factors.contains(factor) && differs(factor)).collect()
}

#[cfg(test)]
#[path = "library_tests.rs"]
pub(crate) mod tests;
