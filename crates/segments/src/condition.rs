//! The words of a condition, each one key of a YAML or JSON block: `country: [DE, AT]`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use vocabulary::Channel;
use vocabulary::written::{Block, one_key};

use crate::behaviour::{Act, Behaviour, Spent};
use crate::person::{Age, Attribute, Birthday, Registered};

/// What holds for a contact, or does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "snake_case")]
pub enum Condition {
    /// Each of them holds.
    All(Vec<Condition>),
    /// At least one of them holds.
    Any(Vec<Condition>),
    /// None of them holds.
    #[serde(rename = "none")]
    NoneOf(Vec<Condition>),
    /// It does not hold. What is unknown does not hold, so that `not` of it does.
    Not(Box<Condition>),

    /// The country is one of these, ISO 3166 alpha-2.
    Country(Vec<String>),
    /// The part of the country is one of these, ISO 3166-2.
    Region(Vec<String>),
    /// The market is one of these.
    Market(Vec<String>),
    /// The language is one of these or a kind of one: `zh` holds for `zh`, `zh-Hant` and `zh-TW`, whatever the case (the basic
    /// filtering of RFC 4647).
    Language(Vec<String>),
    /// The time zone is one of these, IANA.
    TimeZone(Vec<String>),
    /// One of these is among the interests.
    Interests(Vec<String>),
    /// One of these is among the tags.
    Tags(Vec<String>),
    /// The device is one of these.
    Device(Vec<String>),
    /// One of these is where the contact came from.
    Source(Vec<String>),
    /// How old the contact is.
    Age(Age),
    /// When the contact has birthday.
    Birthday(Birthday),
    /// When the contact was first known.
    Registered(Registered),
    /// An attribute of your own.
    Attribute(Attribute),
    /// There is an address for one of these channels. Whether the contact agreed to be written to there is another question,
    /// which is asked when a message is due.
    Reachable(Vec<Channel>),

    /// Messages handed over to a provider.
    Sent(Behaviour),
    /// Messages the next server took responsibility for.
    Accepted(Behaviour),
    /// Messages that are known to have arrived.
    Delivered(Behaviour),
    /// Messages that came back.
    Bounced(Behaviour),
    /// Messages opened, by people.
    Opened(Behaviour),
    /// Links followed, by people.
    Clicked(Behaviour),
    /// Orders placed, kept or not. A refund is no order.
    Ordered(Behaviour),
    /// Unsubscriptions.
    Unsubscribed(Behaviour),
    /// Complaints about spam.
    Complained(Behaviour),
    /// What was paid for orders, less what was paid back.
    Spent(Spent),
}

impl Condition {
    /// The behaviour that is asked for, if it is one.
    #[must_use]
    pub fn behaviour(&self) -> Option<(Act, &Behaviour)> {
        match self {
            Self::Sent(behaviour) => Some((Act::Sent, behaviour)),
            Self::Accepted(behaviour) => Some((Act::Accepted, behaviour)),
            Self::Delivered(behaviour) => Some((Act::Delivered, behaviour)),
            Self::Bounced(behaviour) => Some((Act::Bounced, behaviour)),
            Self::Opened(behaviour) => Some((Act::Opened, behaviour)),
            Self::Clicked(behaviour) => Some((Act::Clicked, behaviour)),
            Self::Ordered(behaviour) => Some((Act::Ordered, behaviour)),
            Self::Unsubscribed(behaviour) => Some((Act::Unsubscribed, behaviour)),
            Self::Complained(behaviour) => Some((Act::Complained, behaviour)),
            _ => None,
        }
    }
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
    const EXPECTING: &'static str = "a condition such as `country: [DE, AT]`";
    const SECOND: &'static str = "is a second condition in one block; write `all:` above them and `- ` before each";

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }
}
