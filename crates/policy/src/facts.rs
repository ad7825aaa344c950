//! What the rules are told: facts about a contact and about a message, borrowed from whoever keeps them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use vocabulary::words::words;
use vocabulary::{Channel, ContactKey, MessageClass};

use crate::window::Window;

words!(
    /// What a consent is for.
    Purpose {
        /// To be sent marketing.
        Marketing = "marketing",
        /// To be sent marketing at night, where that is asked separately.
        Night = "night",
        /// To have one's data moved to another country, where that is asked separately.
        CrossBorder = "cross_border",
    }
);
words!(
    /// How a consent came about, the strongest first.
    Basis {
        /// In writing and signed, for marketing by machine to this number.
        ExpressWritten = "express_written",
        /// Asked for, and confirmed by an answer to a message.
        DoubleOptIn = "double_opt_in",
        /// Asked for: a box that was ticked, a form that was filled.
        Express = "express",
        /// An own customer, for similar goods, who could object when the address was taken.
        SoftOptIn = "soft_opt_in",
        /// Bought something.
        ImpliedPurchase = "implied_purchase",
        /// Asked something.
        ImpliedInquiry = "implied_inquiry",
        /// Said to be there by whoever brought the list, without proof.
        Claimed = "claimed",
    }
);
words!(
    /// Why someone is on the suppression list.
    SuppressionReason {
        /// They unsubscribed.
        Unsubscribed = "unsubscribed",
        /// They called a message spam.
        Complained = "complained",
        /// The address does not exist.
        HardBounced = "hard_bounced",
        /// The address or number is not one.
        Invalid = "invalid",
        /// They stand on a public register of people who want no advertising.
        Register = "register",
        /// They objected to any processing, or a court or an authority said so.
        Legal = "legal",
        /// Somebody of the sender put them there.
        Manual = "manual",
    }
);

/// One word of a contact about consent. The newest about a channel and a purpose holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsentFact {
    /// The channel it is about.
    pub channel: Channel,
    /// What it is for.
    pub purpose: Purpose,
    /// How it was given; `None` when it was withdrawn.
    pub given: Option<Basis>,
    /// When.
    pub at: Timestamp,
}

/// One entry of the suppression list. It stays when the contact is imported again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suppression {
    /// Why.
    pub reason: SuppressionReason,
    /// The channel; every channel when `None`.
    pub channel: Option<Channel>,
    /// Since when.
    pub at: Timestamp,
}

/// One message that was handed over, or is planned to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentFact<'a> {
    /// When.
    pub at: Timestamp,
    /// By which channel.
    pub channel: Channel,
    /// Of which class.
    pub class: MessageClass,
    /// What it said, by the id of the content.
    pub content: Option<&'a str>,
}

/// Where a contact's clock stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContactZone<'a> {
    /// The time zone.
    pub zone: &'a TimeZone,
    /// Whether it was guessed, from a number's prefix or an address on the net, not told by the contact.
    pub is_derived: bool,
}

/// What is known of a contact.
#[derive(Debug, Clone, Copy)]
pub struct ContactFacts<'a> {
    /// The key, for the holdout.
    pub key: ContactKey,
    /// ISO 3166 alpha-2 country.
    pub country: Option<&'a str>,
    /// The part of the country after the hyphen of ISO 3166-2, such as `FL`.
    pub region: Option<&'a str>,
    /// The time zone.
    pub zone: Option<ContactZone<'a>>,
    /// Consents given and withdrawn, in any order.
    pub consents: &'a [ConsentFact],
    /// Entries of the suppression list, in any order.
    pub suppressions: &'a [Suppression],
    /// What was sent in the last 31 days, in any order. Planned messages may stand here with their time ahead; they count
    /// for every window that could hold both.
    pub sends: &'a [SentFact<'a>],
}

/// When a message is meant to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// At this moment.
    At(Timestamp),
    /// When the contact's clock shows this. A time that the clock jumps over is the first moment after the jump; one that
    /// it shows twice is the second; where the time zone is unknown it is the last of the country's.
    Local(DateTime),
}

/// From whom a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender<'a> {
    /// What the phone or the mailbox shows: a header, a number, an address.
    pub id: &'a str,
    /// The countries in which this id is registered for the class of the message, ISO 3166 alpha-2.
    pub registered_in: &'a [&'a str],
    /// The id of the registered sender behind it, such as the principal entity of India's DLT.
    pub entity: Option<&'a str>,
}

/// The template that a message is made from, as it was registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Template<'a> {
    /// Its id with the registrar.
    pub id: &'a str,
    /// The countries in which it is approved, ISO 3166 alpha-2.
    pub approved_in: &'a [&'a str],
    /// What class of message it was approved for.
    pub class: MessageClass,
    /// Its text with the registrar's marks for variables.
    pub text: &'a str,
}

/// What is known of a message.
#[derive(Debug, Clone, Copy)]
pub struct MessageFacts<'a> {
    /// Its class.
    pub class: MessageClass,
    /// Its channel.
    pub channel: Channel,
    /// What it says, by the id of the content.
    pub content: Option<&'a str>,
    /// The whole text as the contact will see it. While planning it is not there yet; then the template's text is looked at.
    pub text: Option<&'a str>,
    /// From whom it is.
    pub sender: Option<Sender<'a>>,
    /// What it is made from.
    pub template: Option<Template<'a>>,
    /// The regulated kinds of goods for which the sender holds a permit in the contact's market, such as `alcohol`.
    pub permits: &'a [&'a str],
    /// When it is meant to leave; at once when `None`.
    pub schedule: Option<Schedule>,
    /// The moment from which it is pointless, such as the end of the sale.
    pub ends: Option<Timestamp>,
    /// The days and times, by the contact's clock, at which the sender wants it to leave.
    pub window: Option<Window>,
}

impl<'a> MessageFacts<'a> {
    /// A message of which nothing but class and channel is known.
    #[must_use]
    pub fn new(class: MessageClass, channel: Channel) -> MessageFacts<'a> {
        Self {
            class,
            channel,
            content: None,
            text: None,
            sender: None,
            template: None,
            permits: &[],
            schedule: None,
            ends: None,
            window: None,
        }
    }
}
