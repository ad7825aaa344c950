//! How large a test should be, from what the list did before: for an error rate and a power, and for the most value.
//!
//! Two questions, two sizes. To *show* a lift of Δ to a mean μ with variance s², variants of weights w in a test of T contacts
//! have the squared standard error s² D / T with D = Σw (1/w_control + 1/w_variant), so that T = θ² s² D / (Δμ)². Here θ is the
//! drift at which the looks of [`crate::decide`] have the power: (z_α/2 + z_β)² times what looking costs (Jennison & Turnbull,
//! "Group Sequential Methods", 2000, chapter 7), at alpha over the number of comparisons, which the Holm procedure never falls
//! below; the variant with the smallest weight is asked. To *earn* the most, the test is as large as its lesson is worth:
//! [`ValueSize`].

mod past;
mod roll_out;
mod say;

use std::f64::consts::FRAC_1_SQRT_2;

use serde::{Deserialize, Serialize};
use stats::sequential::group::{GroupSequential, Sides, Spending, inflation};
use vocabulary::{Experiment, Metric};

pub use past::{PAST_MARKETS_MAX, PAST_VALUE_MAX, PAST_VALUES_MAX, Past, PastError, PastMarket, ValueCount};
pub use roll_out::ValueSize;
pub use say::text;

use crate::early::late_alpha;
use crate::library::{Prior, prior::DEFAULT_STANDARD_DEVIATION};

/// How variants differ among themselves where no finished experiment tells, control included, as a share of the mean: what the
/// library assumes of a lift over control, which has the noise of two variants.
pub const PRIOR_SD_DEFAULT: f64 = DEFAULT_STANDARD_DEVIATION * FRAC_1_SQRT_2;

/// More looks show nothing sooner that anybody could act on.
pub const LOOKS_MAX: u32 = 50;

/// Less than this is never left: nobody's past tells their future better.
pub const VARIANCE_LEFT_MIN: f64 = 0.01;

/// What is asked for as a share or a number of contacts lies between these; what is beyond is a mistake, and its square is no
/// number.
const ASKED_MIN: f64 = 0.000_001;
const ASKED_MAX: f64 = 1e9;

/// A drift beyond which the power is 1 to all digits.
const DRIFT_MAX: f64 = 100.0;

/// The spending of the looks, as in a decision.
pub(crate) const SPENDING: Spending = Spending::ObrienFlemingSpending;

/// What the test is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The error over all variants and looks together, two-sided, between 0 and 1.
    pub alpha: f64,
    /// The chance that a variant with the lift `mde` is shown to be better, above alpha and below 1.
    pub power: f64,
    /// How many equally spaced looks, from 1 to [`LOOKS_MAX`].
    pub looks: u32,
    /// The standard deviation of variants' true means among themselves, control included, as a share of the mean:
    /// [`prior_sd`] of the library's prior; [`PRIOR_SD_DEFAULT`] where absent.
    pub prior_sd: Option<f64>,
    /// The lift that is to be shown, a fraction above 0.
    pub mde: Option<f64>,
    /// How many contacts can be in the test, all variants together; the whole list where absent.
    pub test_units: Option<u64>,
    /// How many contacts come into the test a day; all at once where absent.
    pub contacts_per_day: Option<f64>,
    /// For how many hours outcomes of a contact count.
    pub window_hours: u32,
    /// Whether the analysis will take out what contacts did before (CUPED). The sentence is about that.
    pub cuped: bool,
}

impl Asked {
    /// What is usual: power 0.8 at five looks on the whole list, analysed as the experiment will be.
    #[must_use]
    pub fn of(experiment: &Experiment) -> Self {
        Self {
            alpha: late_alpha(experiment),
            power: 0.8,
            looks: 5,
            prior_sd: None,
            mde: None,
            test_units: None,
            contacts_per_day: None,
            window_hours: experiment.window_hours,
            cuped: experiment.cuped.is_some(),
        }
    }

    fn check(&self, list: u64) -> Result<(), PastError> {
        let is_meant = |value: f64| (ASKED_MIN..=ASKED_MAX).contains(&value);
        asked("alpha", self.alpha > 0.0 && self.alpha < 1.0, || format!("is {}; it must lie between 0 and 1", self.alpha))?;
        asked("power", self.power > self.alpha && self.power < 1.0, || {
            format!("is {}; it must lie between alpha and 1, and is usually 0.8", self.power)
        })?;
        asked("looks", (1..=LOOKS_MAX).contains(&self.looks), || format!("is {}; it must be from 1 to {LOOKS_MAX}", self.looks))?;
        for (field, value) in [("prior_sd", self.prior_sd), ("mde", self.mde), ("contacts_per_day", self.contacts_per_day)] {
            asked(field, value.is_none_or(is_meant), || {
                format!("is {}; it must be from {ASKED_MIN} to {ASKED_MAX}", value.unwrap_or_default())
            })?;
        }
        let units = self.test_units.unwrap_or(list);
        asked("test_units", units > 0 && (units <= list || self.contacts_per_day.is_some()), || {
            format!("is {units}; it must be from 1 to {list}, which are all contacts of the list")
        })
    }
}

fn asked(field: &str, holds: bool, reason: impl FnOnce() -> String) -> Result<(), PastError> {
    if holds { Ok(()) } else { Err(PastError::Asked { field: field.to_owned(), reason: reason() }) }
}

/// How variants differ among themselves by a prior of lifts over control: where no variant is special, a lift has the variance of
/// two.
#[must_use]
pub fn prior_sd(prior: &Prior) -> f64 {
    prior.standard_deviation * FRAC_1_SQRT_2
}

/// How large the test should be. No number in it is NaN or infinite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sizing {
    /// What a manager should do.
    pub sentence: String,
    /// The primary metric.
    pub metric: Metric,
    /// The contacts of the list.
    pub contacts: u64,
    /// The mean of the primary metric, in its unit per contact.
    pub mean: f64,
    /// Its standard deviation between contacts, in its unit.
    pub sd: f64,
    /// The correlation with the same metric in the 90 days before, between -1 and 1; 0 where nothing varied then.
    pub correlation: f64,
    /// The share of the variance that CUPED leaves, 1 − correlation²; the gain is 1 less it.
    pub variance_left: f64,
    /// How variants are believed to differ, as a share of the mean.
    pub prior_sd: f64,
    /// The power asked for.
    pub power: f64,
    /// Analysed as it is.
    pub plain: DesignSize,
    /// Analysed with what contacts did before taken out.
    pub cuped: DesignSize,
}

/// The sizes of one analysis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DesignSize {
    /// The standard deviation that the analysis leaves, in the metric's unit.
    pub sd: f64,
    /// How many contacts can be in the test, all variants together: as asked, or the whole list.
    pub test_units: u64,
    /// The smallest lift, a fraction, that a test of `test_units` shows at the power asked for.
    pub mde: f64,
    /// How long a test of `test_units` takes, in days, the last contact's window included.
    pub days: f64,
    /// What the lift that was asked for needs.
    pub wanted: Option<Wanted>,
    /// What earns most.
    pub value: ValueSize,
}

/// The test that shows the lift that was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// The lift, a fraction.
    pub mde: f64,
    /// Contacts of each variant, in the experiment's order.
    pub units: Vec<u64>,
    /// All of them.
    pub test_units: u64,
    /// Their share of the list, more than 1 where it is too small.
    pub share_of_list: f64,
    /// Whether so many can be in the test.
    pub fits: bool,
    /// How many are in the test on average when it stops, if a variant has the lift.
    pub expected_units: f64,
    /// How long it takes at most, in days, the last contact's window included.
    pub days: f64,
    /// The chance that the lift is shown by a test of all who can be in it, [`DesignSize::test_units`].
    pub power: f64,
}

/// How large a test of `experiment` should be on the list whose past is given.
///
/// # Errors
/// [`PastError`] when the past tells nothing, or what is asked is not possible.
pub fn size(experiment: &Experiment, past: &Past, asked: &Asked) -> Result<Sizing, PastError> {
    past.check()?;
    asked.check(past.contacts())?;
    let metric = experiment.primary_metric();
    let metric = metric.ok_or_else(|| PastError::Asked {
        field: "primary".to_owned(),
        reason: format!("is `{}`, which is none of the metrics; check the experiment first", experiment.primary),
    })?;
    let both = past.moments();
    let (mean, sd) = (both.mean(0), both.moments(0).variance().unwrap_or_default().sqrt());
    let explained = past.explained();
    let variance_left = (1.0 - explained).max(VARIANCE_LEFT_MIN);
    let task = Task { experiment, asked, list: past.contacts(), mean, prior_sd: asked.prior_sd.unwrap_or(PRIOR_SD_DEFAULT) };
    let mut sizing = Sizing {
        sentence: String::new(),
        metric: metric.clone(),
        contacts: task.list,
        mean,
        sd,
        correlation: explained.sqrt().copysign(both.product(0, 1)),
        variance_left,
        prior_sd: task.prior_sd,
        power: asked.power,
        plain: task.sized(sd, metric)?,
        cuped: task.sized(sd * variance_left.sqrt(), metric)?,
    };
    sizing.sentence = say::sentence(&sizing, asked);
    Ok(sizing)
}

struct Task<'a> {
    experiment: &'a Experiment,
    asked: &'a Asked,
    list: u64,
    mean: f64,
    prior_sd: f64,
}

impl Task<'_> {
    fn sized(&self, sd: f64, metric: &Metric) -> Result<DesignSize, PastError> {
        let Asked { alpha, power, looks, .. } = *self.asked;
        let variants = self.experiment.sending().count();
        let alpha = alpha / (variants.saturating_sub(1).max(1)) as f64;
        let cost = inflation(SPENDING, alpha, Sides::Two, 1.0 - power, looks as usize)?;
        let test_units = self.asked.test_units.unwrap_or(self.list);
        let noise = sd * self.crowding().sqrt();
        let error = noise / (test_units as f64).sqrt() / self.mean;
        let wanted = |mde: f64| -> Result<Wanted, PastError> {
            let needed = cost.shift * (noise / self.mean / mde).powi(2);
            let units = self.shared(needed);
            let total = units.iter().fold(0_u64, |sum, units| sum.saturating_add(*units));
            Ok(Wanted {
                mde,
                units,
                test_units: total,
                share_of_list: needed / self.list as f64,
                fits: total <= test_units,
                expected_units: needed * cost.expected_inflation_h1 / cost.inflation_factor,
                days: self.days(needed),
                power: power_at(mde / error, alpha, looks)?,
            })
        };
        Ok(DesignSize {
            sd,
            test_units,
            mde: error * cost.shift.sqrt(),
            days: self.days(test_units as f64),
            wanted: self.asked.mde.map(wanted).transpose()?,
            value: roll_out::best(&roll_out::Question {
                variants,
                list: self.list,
                mean: self.mean,
                response_sd: sd,
                prior_sd: self.prior_sd * self.mean,
                lower_is_better: metric.lower_is_better,
            })?,
        })
    }

    /// D: what a contact of the test is worth for the comparison of control with the smallest other variant.
    fn crowding(&self) -> f64 {
        let control = self.experiment.control();
        let weight = |is_control: bool| {
            let of = self.experiment.sending().filter(|variant| (&variant.name == control) == is_control);
            f64::from(of.map(|variant| variant.weight.max(1)).min().unwrap_or(1))
        };
        self.weights().iter().sum::<f64>() * (1.0 / weight(true) + 1.0 / weight(false))
    }

    fn weights(&self) -> Vec<f64> {
        self.experiment.variants.iter().map(|variant| f64::from(variant.weight.max(1))).collect()
    }

    fn shared(&self, units: f64) -> Vec<u64> {
        let weights = self.weights();
        let all: f64 = weights.iter().sum();
        weights.iter().map(|weight| (units * weight / all).ceil() as u64).collect()
    }

    fn days(&self, units: f64) -> f64 {
        self.asked.contacts_per_day.map_or(0.0, |daily| units / daily) + f64::from(self.asked.window_hours) / 24.0
    }
}

/// The chance that the looks show a variant to be better that is `drift` standard errors ahead at the end.
fn power_at(drift: f64, alpha: f64, looks: u32) -> Result<f64, PastError> {
    let design = GroupSequential::planned(SPENDING, alpha, Sides::Two, &fractions(looks))?;
    let crossings = design.crossings(drift.min(DRIFT_MAX))?;
    Ok(crossings.iter().map(|crossing| crossing.above).sum::<f64>().min(1.0))
}

fn fractions(looks: u32) -> Vec<f64> {
    (1..=looks).map(|look| f64::from(look) / f64::from(looks)).collect()
}

#[cfg(test)]
#[path = "sizing_tests.rs"]
mod tests;
