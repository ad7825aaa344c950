//! What an experiment measures: one number per intended recipient, made of their events.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::EventKind;
use crate::words::words;

/// The names that can stand in the place of a metric: see [`Metric::built_in`].
pub const BUILT_IN: &[&str] = &[
    "delivered",
    "bounced",
    "opened",
    "clicked",
    "replied",
    "ordered",
    "orders",
    "revenue",
    "unsubscribed",
    "complained",
    "time_to_open",
];

/// One number per intended recipient. It is read from its fields, or from the name of a built-in one, and written with its fields.
// `remote` makes serde's reader and writer functions of the type, of which the ones below are made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
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
    /// Outcomes count for so many hours, where that is shorter than the experiment's window: a click of the second week is no answer to a
    /// message of the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_hours: Option<u32>,
    /// What its numbers are in, such as `EUR`, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Who answers for it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
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
            window_hours: None,
            unit: None,
            owner: None,
        }
    }

    /// The metric that one of [`BUILT_IN`] stands for. Opens and clicks are those of humans.
    #[must_use]
    pub fn built_in(name: &str) -> Option<Self> {
        let (outcome, measure, lower_is_better) = match name {
            "delivered" => (Outcome::Delivery, Measure::Occurred, false),
            "bounced" => (Outcome::Bounce, Measure::Occurred, true),
            "opened" => (Outcome::Open, Measure::Occurred, false),
            "clicked" => (Outcome::Click, Measure::Occurred, false),
            "replied" => (Outcome::Reply, Measure::Occurred, false),
            "ordered" => (Outcome::Order, Measure::Occurred, false),
            "orders" => (Outcome::Order, Measure::Count, false),
            "revenue" => (Outcome::Order, Measure::Amount, false),
            "unsubscribed" => (Outcome::Unsubscribe, Measure::Occurred, true),
            "complained" => (Outcome::Complaint, Measure::Occurred, true),
            "time_to_open" => (Outcome::Open, Measure::HoursToFirst, true),
            _ => return None,
        };
        Some(Self { lower_is_better, ..Self::new(name, outcome, measure) })
    }
}

impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Metric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl<'de> Visitor<'de> for Written {
            type Value = Metric;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a block of `key: value` pairs, or the name of a built-in metric")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Metric, E> {
                if name == "profit" {
                    return Err(E::custom(
                        "is `profit`, which needs its costs; write `{name: profit, outcome: order, measure: profit, costs: {margin: 0.4}}`",
                    ));
                }
                Metric::built_in(name).ok_or_else(|| E::unknown_variant(name, BUILT_IN))
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Metric, A::Error> {
                Metric::deserialize(MapAccessDeserializer::new(fields))
            }
        }

        deserializer.deserialize_any(Written)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_its_fields_or_a_name() {
        for name in BUILT_IN {
            let read: Metric = serde_json::from_str(&format!("\"{name}\"")).unwrap();
            assert_eq!((read.name.as_str(), Some(&read)), (*name, Metric::built_in(name).as_ref()));
            let written = serde_json::to_string(&read).unwrap();
            assert!(written.starts_with(&format!("{{\"name\":\"{name}\",\"outcome\":")), "{written}");
            assert_eq!(serde_json::from_str::<Metric>(&written).unwrap(), read);
        }
        let worse = BUILT_IN.iter().filter(|name| Metric::built_in(name).unwrap().lower_is_better);
        assert_eq!(worse.copied().collect::<Vec<_>>(), ["bounced", "unsubscribed", "complained", "time_to_open"]);
        let fails = |text: &str| serde_json::from_str::<Metric>(text).unwrap_err().to_string();
        assert!(fails("\"order\"").starts_with("unknown variant `order`, expected one of `delivered`"));
        assert!(fails("\"profit\"").contains("needs its costs"));
        assert!(
            fails("{\"name\": \"a\", \"outcome\": \"open\", \"measure\": \"count\", \"own\": 1}").contains("unknown field `own`")
        );
    }
}
