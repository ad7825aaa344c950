//! What an experiment measures: one number per intended recipient, made of their events.

use serde::{Deserialize, Serialize};

use crate::EventKind;
use crate::words::words;

/// One number per intended recipient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// What is looked at.
    pub outcome: Outcome,
    /// What is made of it.
    pub measure: Measure,
    /// Whether less is better, as for unsubscribes.
    #[serde(default)]
    pub lower_is_better: bool,
    /// Whether machine opens and clicks are left out.
    #[serde(default = "human_only_default")]
    pub human_only: bool,
    /// What profit is made of; profit alone has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub costs: Option<Costs>,
    /// What a recipient counts at most, on either side of zero, in the metric's unit: one large order does not decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<f64>,
    /// The name of the metric whose sum its own is divided by: a ratio of sums, such as revenue per order. Per intended recipient where
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<String>,
}

fn human_only_default() -> bool {
    true
}

impl Metric {
    /// A metric of which only this much is said: more is better, and machines are left out.
    #[must_use]
    pub fn new(name: &str, outcome: Outcome, measure: Measure) -> Self {
        Self {
            name: name.to_owned(),
            outcome,
            measure,
            lower_is_better: false,
            human_only: true,
            costs: None,
            cap: None,
            per: None,
        }
    }
}

/// What is left of an order, and what it cost to get it. Amounts are in the base currency's major unit; all have at most six decimals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Costs {
    /// The share of what was paid that is left after goods and fulfilment, more than 0 and at most 1.
    pub margin: f64,
    /// What handing one message over costs.
    #[serde(default)]
    pub message: f64,
    /// What a recipient is worth who unsubscribes.
    #[serde(default)]
    pub unsubscribe: f64,
    /// What a recipient costs who complains, beyond an unsubscription.
    #[serde(default)]
    pub complaint: f64,
}

words!(
    /// The events a metric can count.
    Outcome {
        /// Deliveries: a server took the message, or it arrived. One that comes back later is a bounce as well.
        Delivery = "delivery",
        /// Messages that no server would have, or that came back.
        Bounce = "bounce",
        /// Opens.
        Open = "open",
        /// Clicks.
        Click = "click",
        /// Orders as placed; a refund is none.
        Order = "order",
        /// Answers.
        Reply = "reply",
        /// Unsubscribes.
        Unsubscribe = "unsubscribe",
        /// Spam complaints.
        Complaint = "complaint",
    }
);
words!(
    /// What is made of a recipient's events.
    Measure {
        /// 1 if there was at least one, else 0.
        Occurred = "occurred",
        /// How many.
        Count = "count",
        /// Their sum of money less what was paid back, in the base currency's major unit; orders only.
        Amount = "amount",
        /// The margin of that sum less the messages sent, and less what an unsubscription and a complaint cost, each once; orders only.
        Profit = "profit",
        /// Within how many hours the first came, in steps: 1, 2, 4, 8, 12, 24, then whole days. Where none came within the window, the
        /// whole window: a mean time that is restricted to it (Royston & Parmar 2013), for which everybody has a number. At the age of
        /// an early look, too, those without any yet have the whole window.
        HoursToFirst = "hours_to_first",
    }
);

impl Outcome {
    /// The kind of event that is looked at.
    #[must_use]
    pub fn event_kind(self) -> EventKind {
        match self {
            Self::Delivery | Self::Bounce => EventKind::Delivery,
            Self::Open => EventKind::Open,
            Self::Click => EventKind::Click,
            Self::Order => EventKind::Order,
            Self::Reply | Self::Unsubscribe | Self::Complaint => EventKind::Feedback,
        }
    }
}
