//! What a contact did, or was done to: how often, when, on which channel and in which campaign, and what they spent.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use vocabulary::words::words;
use vocabulary::{CampaignId, Channel};

use crate::decimal::Decimal;
use crate::span::Written;

words!(
    /// What can be counted, by the words of the lake's funnel.
    Act {
        /// A message was handed over.
        Sent = "sent",
        /// The next server took responsibility for it.
        Accepted = "accepted",
        /// It arrived.
        Delivered = "delivered",
        /// It came back.
        Bounced = "bounced",
        /// A message was opened.
        Opened = "opened",
        /// A link was followed.
        Clicked = "clicked",
        /// An order was placed.
        Ordered = "ordered",
        /// The contact wants no more messages.
        Unsubscribed = "unsubscribed",
        /// The contact called a message spam.
        Complained = "complained",
    }
);

/// How often something happened. In YAML also the word `ever`, at least once, or `never`.
///
/// At most one of the four times is given; without one all that happened up to the moment counts. Days are 24 hours, counted
/// back from the moment. What happened exactly 30 days ago is no longer within 30 days, but before them: nothing is both.
///
/// `at_least` and `at_most` may be given together; without a count, once is enough. `at_most` and `exactly: 0` hold for contacts
/// to whom it never happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Behaviour {
    /// Only on this channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// Only in this campaign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<CampaignId>,
    /// In the last days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_days: Option<u32>,
    /// In the last hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_hours: Option<u32>,
    /// So many days ago or earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_days: Option<u32>,
    /// Between so many days ago and so many: `[30, 120]` is before 30 days and within 120.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub between_days: Option<[u32; 2]>,
    /// So often or more often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<u32>,
    /// So often or less often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u32>,
    /// Exactly so often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exactly: Option<u32>,
    /// Count what machines opened and followed too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub include_machine: bool,
}

impl Behaviour {
    /// At least once.
    #[must_use]
    pub fn ever() -> Self {
        Self::default()
    }

    /// Not once.
    #[must_use]
    pub fn never() -> Self {
        Self { exactly: Some(0), ..Self::default() }
    }

    pub(crate) fn written(&self) -> Written {
        Written {
            within_days: self.within_days,
            within_hours: self.within_hours,
            before_days: self.before_days,
            between_days: self.between_days,
        }
    }

    /// The lowest and the highest count it holds for.
    pub(crate) fn counts(&self) -> (u32, Option<u32>) {
        match (self.exactly, self.at_least, self.at_most) {
            (Some(exactly), ..) => (exactly, Some(exactly)),
            (None, None, None) => (1, None),
            (None, at_least, at_most) => (at_least.unwrap_or(0), at_most),
        }
    }
}

impl Serialize for Behaviour {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Behaviour {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BlockOrWord)
    }
}

/// Reads a block of keys, or a word.
struct BlockOrWord;

impl<'de> Visitor<'de> for BlockOrWord {
    type Value = Behaviour;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`ever`, `never` or a block such as `{within_days: 30, at_least: 2}`")
    }

    fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Behaviour, E> {
        match word {
            "ever" => Ok(Behaviour::ever()),
            "never" => Ok(Behaviour::never()),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(word), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Behaviour, A::Error> {
        Behaviour::deserialize(MapAccessDeserializer::new(map))
    }
}

/// What was paid for orders less what was paid back, in the base currency; 0 for a contact who never ordered. A refund counts
/// by its own time, and what has no exchange rate counts nothing. The times are those of [`Behaviour`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spent {
    /// Only orders of this channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// Only orders of this campaign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<CampaignId>,
    /// In the last days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_days: Option<u32>,
    /// In the last hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_hours: Option<u32>,
    /// So many days ago or earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_days: Option<u32>,
    /// Between so many days ago and so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub between_days: Option<[u32; 2]>,
    /// So much or more, in major units such as euros.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Decimal>,
    /// So much or less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<Decimal>,
    /// More than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_than: Option<Decimal>,
    /// Less than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub less_than: Option<Decimal>,
}

impl Spent {
    pub(crate) fn written(&self) -> Written {
        Written {
            within_days: self.within_days,
            within_hours: self.within_hours,
            before_days: self.before_days,
            between_days: self.between_days,
        }
    }
}
