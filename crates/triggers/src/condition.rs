//! The words of a condition, one key of a YAML or JSON block: `birthday: { at_hour: 9 }`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use vocabulary::written::{Block, one_key};

use crate::amount::Amount;
use crate::fact::Act;
use crate::span::Written;

/// What becomes true of a contact, at one moment. Days are 24 hours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "snake_case")]
pub enum Condition {
    /// So long after the contact registered.
    Registered(Wait),
    /// So long after the contact last looked at a product.
    Browsed(Wait),
    /// So long after the contact last put a product in the cart.
    Carted(Wait),
    /// So long after the contact last did one of some acts.
    Inactive(Inactive),
    /// The contact has spent more than an amount.
    Spent(Spent),
    /// The contact has birthday, or will have it soon.
    Birthday(Birthday),
    /// A product that the contact saw got cheaper.
    PriceDropped(PriceDropped),
    /// The contact came into a segment.
    Entered(Entered),
}

/// A time after an act. Exactly one of the three times is given. Each new act begins the wait anew, one at the very end of it
/// too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    /// So many minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_minutes: Option<u32>,
    /// So many hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_hours: Option<u32>,
    /// So many days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_days: Option<u32>,
    /// Only if none of these happened in that time, both ends included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<Act>,
}

impl Wait {
    pub(crate) fn written(&self) -> Written {
        Written { minutes: self.for_minutes, hours: self.for_hours, days: self.for_days }
    }
}

/// A time without some acts, after the last of them: a contact who never did any of them is not inactive. Each new act begins the
/// time anew, one at the very end of it too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inactive {
    /// So many days.
    pub days: u32,
    /// Without any of these.
    pub without: Vec<Act>,
}

/// What was paid for orders less what was paid back, in the base currency, each by its own time, rises above an amount. It can do
/// so again when it was not above in between, because of a refund or because orders got older than `within_days`. An order of
/// exactly 90 days ago is no longer within 90 days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spent {
    /// More than this, in major units such as euros.
    pub more_than: Amount,
    /// In the last days; ever, if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_days: Option<u32>,
}

/// The contact's birthday by their own clock, or UTC where their time zone is unknown. The date of birth must be known, the year
/// alone is not enough. Born on 29 February, they have it on 1 March where there is no 29 February. An hour that the clock leaves
/// out comes an hour later; of one that it repeats the first is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Birthday {
    /// So many days before it.
    #[serde(default)]
    pub days_before: u32,
    /// At this hour, 0 to 23.
    pub at_hour: u32,
}

/// A product that the contact looked at or put in the cart got cheaper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceDropped {
    /// By so many percent or more of the price before.
    pub by_percent: u32,
    /// Seen in the last days. Exactly 30 days ago is no longer within 30 days.
    pub seen_within_days: u32,
    /// Only if none of these happened since the contact last saw it, both ends included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<Act>,
}

/// The contact came into a segment: whoever was in it already does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entered {
    /// The name of the segment.
    pub segment: String,
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        one_key(deserializer)
    }
}

impl Block for Condition {
    const EXPECTING: &'static str = "a condition such as `carted: {for_minutes: 60, without: [ordered]}`";
    const SECOND: &'static str = "is a second condition in one block; a trigger has one, so write a trigger for each";

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }
}
