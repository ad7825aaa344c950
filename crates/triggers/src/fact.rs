//! What an engine is told: the facts of a contact, one after the other, and what it must know of the contact beside them.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use vocabulary::words::words;
use vocabulary::{Birth, ContactKey};

words!(
    /// What a contact does, by the words of a trigger.
    Act {
        /// The contact registered.
        Registered = "registered",
        /// The contact placed an order. A refund is no order.
        Ordered = "ordered",
        /// The contact opened a message.
        Opened = "opened",
        /// The contact followed a link.
        Clicked = "clicked",
        /// The contact wants no more messages.
        Unsubscribed = "unsubscribed",
        /// The contact called a message spam.
        Complained = "complained",
        /// The contact looked at a product.
        Browsed = "browsed",
        /// The contact put a product in the cart.
        Carted = "carted",
    }
);

/// Something that happened, to one contact whom the caller knows.
///
/// Facts of the same moment are taken in the order of [`What`]: whoever leaves a segment and enters it at once has entered it,
/// and what is seen or bought at the moment of a price drop was so before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact<'a> {
    /// When it happened, cut to microseconds.
    pub at: Timestamp,
    /// What happened.
    pub what: What<'a>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What<'a> {
    /// The contact registered.
    Registered,
    /// The contact ordered, or was paid back.
    Ordered {
        /// What was paid, in minor units of the base currency; negative when it was paid back, which is no order; 0 where it has
        /// no exchange rate.
        amount: i64,
    },
    /// The contact, and no machine, opened a message.
    Opened,
    /// The contact, and no machine, followed a link.
    Clicked,
    /// The contact wants no more messages.
    Unsubscribed,
    /// The contact called a message spam.
    Complained,
    /// The contact looked at a product.
    Browsed {
        /// Its id, where it is known.
        product: Option<&'a str>,
    },
    /// The contact put a product in the cart.
    Carted {
        /// Its id, where it is known.
        product: Option<&'a str>,
    },
    /// The contact left a segment.
    LeftSegment {
        /// Its name.
        segment: &'a str,
    },
    /// The contact came into a segment.
    EnteredSegment {
        /// Its name.
        segment: &'a str,
    },
    /// A product got cheaper, whoever saw it.
    PriceDropped {
        /// Its id.
        product: &'a str,
        /// By how much of the price before, in whole percent, rounded down.
        percent: u32,
    },
}

impl<'a> What<'a> {
    /// The word for it, if the contact did it.
    pub(crate) fn act(self) -> Option<Act> {
        match self {
            Self::Registered => Some(Act::Registered),
            Self::Ordered { amount } => (amount >= 0).then_some(Act::Ordered),
            Self::Opened => Some(Act::Opened),
            Self::Clicked => Some(Act::Clicked),
            Self::Unsubscribed => Some(Act::Unsubscribed),
            Self::Complained => Some(Act::Complained),
            Self::Browsed { .. } => Some(Act::Browsed),
            Self::Carted { .. } => Some(Act::Carted),
            Self::LeftSegment { .. } | Self::EnteredSegment { .. } | Self::PriceDropped { .. } => None,
        }
    }

    /// The product that the contact saw.
    pub(crate) fn seen(self) -> Option<&'a str> {
        match self {
            Self::Browsed { product } | Self::Carted { product } => product,
            _ => None,
        }
    }
}

/// What an engine must know of a contact. It should be the same at each evaluation; what changed holds from then on.
#[derive(Debug, Clone)]
pub struct Person {
    /// Whose holdout is asked for.
    pub key: ContactKey,
    /// The clock of birthdays; UTC where it is unknown.
    pub time_zone: Option<TimeZone>,
    /// The day of birthdays.
    pub birth: Option<Birth>,
    /// A condition that became true before this does not count as an entry: the later of when the trigger was started and when
    /// the contact was first known. Facts before it are remembered all the same.
    pub since: Timestamp,
}
