//! What was observed, as the lake counts it: the input of a readout.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stats::{CoMoments, Moments};
use vocabulary::{Metric, Timestamp, VariantName};

/// All that a readout needs to know of an experiment at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observations {
    /// The version of each table that was read.
    pub versions: BTreeMap<String, i64>,
    /// What computed it, such as `sendlab 0.1.0`.
    pub engine: String,
    /// Only outcomes before count.
    pub as_of: Timestamp,
    /// One per variant; a variant without any may be missing.
    pub arms: Vec<ArmObservations>,
    /// Recipients whose window is not over.
    pub immature: u64,
    /// Recipients who were assigned more than one variant; they count in their first.
    pub crossovers: u64,
    /// Assignments to variants the experiment does not have.
    pub strangers: u64,
    /// Orders and refunds without a rate to the base currency; they are missing from amounts.
    pub unconverted_orders: u64,
    /// Units that were erased because their people asked for it; nothing is known of them any more.
    pub erased_units: u64,
}

impl Observations {
    /// What was observed of a variant, if anything.
    #[must_use]
    pub fn arm(&self, variant: &VariantName) -> Option<&ArmObservations> {
        self.arms.iter().find(|arm| &arm.variant == variant)
    }

    /// The moments of a metric in a variant; empty where nothing was observed.
    #[must_use]
    pub fn moments(&self, variant: &VariantName, metric: &str) -> Moments {
        self.arm(variant).and_then(|arm| arm.metrics.get(metric)).copied().unwrap_or_default()
    }

    /// The numerator and the denominator of a ratio in a variant; empty where nothing was observed.
    #[must_use]
    pub fn ratio(&self, variant: &VariantName, metric: &str) -> CoMoments {
        self.arm(variant).and_then(|arm| arm.ratios.get(metric)).cloned().unwrap_or_else(|| CoMoments::new(2))
    }

    /// Moments by which variants are compared on a metric: its own, and of a ratio those of the recipients' numbers that have its mean and
    /// its variance by the delta method, (y - R x) / mean x around R (Deng, Knoblich & Lu 2018). Empty where there is no such number.
    #[must_use]
    pub fn comparable(&self, variant: &VariantName, metric: &Metric) -> Moments {
        if metric.per.is_none() {
            return self.moments(variant, &metric.name);
        }
        let parts = self.ratio(variant, &metric.name);
        let (ratio, per) = (parts.mean(0) / parts.mean(1), parts.mean(1));
        let [yy, yx, xx] = [(0, 0), (0, 1), (1, 1)].map(|(one, other)| parts.product(one, other));
        let m2 = (yy - 2.0 * ratio * yx + ratio * ratio * xx) / (per * per);
        if ratio.is_finite() && m2.is_finite() { Moments { count: parts.count, mean: ratio, m2 } } else { Moments::default() }
    }

    /// The moments of the primary metric that decisions rest on: with what recipients did before taken out, where that is known.
    #[must_use]
    pub fn deciding(&self, variant: &VariantName, primary: &Metric) -> Moments {
        let adjusted = self.arm(variant).and_then(|arm| arm.adjusted);
        adjusted.unwrap_or_else(|| self.moments(variant, &primary.name))
    }

    /// The mean of a metric in a variant, per mature recipient; of a ratio the sum of its numerator over that of its denominator. `None`
    /// where there is no such number.
    #[must_use]
    pub fn mean(&self, variant: &VariantName, metric: &Metric) -> Option<f64> {
        let (count, mean) = match &metric.per {
            None => {
                let moments = self.moments(variant, &metric.name);
                (moments.count, moments.mean)
            }
            Some(_) => {
                let ratio = self.ratio(variant, &metric.name);
                (ratio.count, ratio.mean(0) / ratio.mean(1))
            }
        };
        (count > 0 && mean.is_finite()).then_some(mean)
    }
}

/// What was observed of all recipients and of those of each market, at one moment and age. Recipients without a market are in none.
#[derive(Debug, Clone, PartialEq)]
pub struct ByMarket {
    /// All recipients.
    pub overall: Observations,
    /// The recipients of each market that has any, by its name.
    pub markets: BTreeMap<String, Observations>,
}

/// What a look that may decide is taken from.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// What recipients did whose window is over.
    pub outcomes: ByMarket,
    /// What became of the messages of recipients who are [`ARRIVAL_HOURS`] old: whether they came as far as they should is known long
    /// before what they brought.
    pub arrivals: ByMarket,
    /// The same by the day in UTC on which recipients begin, such as `2026-11-11`.
    pub days: BTreeMap<String, Observations>,
    /// What recipients did who are so many hours old, within that age: [`crate::early::EARLY_HOURS`].
    pub ages: BTreeMap<u32, Observations>,
}

impl Observed {
    /// What is known where markets are not told apart, and messages are as old as outcomes.
    #[must_use]
    pub fn overall(overall: Observations) -> Self {
        let outcomes = ByMarket { overall, markets: BTreeMap::new() };
        Self { arrivals: outcomes.clone(), outcomes, days: BTreeMap::new(), ages: BTreeMap::new() }
    }
}

/// So old recipients are when it is asked how far their messages came.
pub const ARRIVAL_HOURS: u32 = 24;

/// One variant as observed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmObservations {
    /// The variant.
    pub variant: VariantName,
    /// Recipients assigned to it.
    pub assigned: u64,
    /// Those of them whose window is over.
    pub mature: u64,
    /// By metric: one value per mature recipient, zeros included. Of a ratio its numerator.
    pub metrics: BTreeMap<String, Moments>,
    /// By metric that is a ratio: its numerator and its denominator, per mature recipient.
    #[serde(default)]
    pub ratios: BTreeMap<String, CoMoments>,
    /// The primary metric and the same of the time before, per mature recipient; where the experiment has `cuped`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<CoMoments>,
    /// The primary metric with what recipients did before taken out, where `before` is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adjusted: Option<Moments>,
    /// How far its mature recipients came.
    pub funnel: Funnel,
    /// Those of them whose message came back, or was not taken.
    #[serde(default)]
    pub bounced: u64,
}

/// Distinct mature recipients at each step from assignment to order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Funnel {
    /// Assigned.
    pub assigned: u64,
    /// A message was handed over.
    pub sent: u64,
    /// A provider took it.
    pub accepted: u64,
    /// At least one open.
    pub opened: u64,
    /// At least one click.
    pub clicked: u64,
    /// At least one order, whether it was paid back later or not.
    pub ordered: u64,
}
