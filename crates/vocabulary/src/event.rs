//! An event: something that happened to one contact, kept for ever in the lake.
//!
//! The `serde` form of [`Event`] is the format of the lake's durable log. What callers send over HTTP is another type,
//! in `api`, because it names contacts by the customer's own id and is read more leniently.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::words::words;
use crate::{CampaignId, ContactKey, EventId, ExperimentId, MessageId, Money, OrderId, Provider, RecommendationId, VariantName};

/// One event as the lake stores it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Unique; the same id told twice is kept once.
    pub id: EventId,
    /// When it happened.
    pub time: Timestamp,
    /// When Sendlab heard of it.
    pub received_at: Timestamp,
    /// Whom it happened to.
    pub contact: ContactKey,
    /// What it belongs to.
    #[serde(default)]
    pub context: Context,
    /// What happened.
    pub body: Body,
}

/// What an event belongs to, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// The message that led to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    /// The campaign of that message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign_id: Option<CampaignId>,
    /// The experiment it counts in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment_id: Option<ExperimentId>,
    /// The variant the contact got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<VariantName>,
    /// The channel of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// ISO 3166 alpha-2 country.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub market: Option<String>,
    /// The way out the message took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// The recommendation the sender followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommendation_id: Option<RecommendationId>,
}

/// What happened. Each kind has a table of its own in the lake.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// A contact was given a variant: this, and not what happened later, makes them count.
    Assignment {
        /// When the message is planned to leave; outcomes are counted from here. The event's own time where absent.
        planned_at: Option<Timestamp>,
        /// The probability with which this variant was drawn, 0 to 1.
        propensity: Option<f64>,
    },
    /// A message was handed over to a provider.
    Message {
        /// What kind of message it is.
        class: MessageClass,
        /// What handing it over cost.
        cost: Option<Money>,
    },
    /// What became of a message.
    Delivery {
        /// How it ended, or where it stands.
        status: DeliveryStatus,
        /// The provider's own words, such as `250 2.0.0 Ok: queued as 4B2`.
        reply: Option<String>,
    },
    /// A message was opened.
    Open {
        /// Whether a machine (mail proxy, scanner) opened it, as far as can be told.
        machine: bool,
        /// The opener's user agent.
        user_agent: Option<String>,
    },
    /// A link was followed.
    Click {
        /// Where it led.
        url: Option<String>,
        /// Whether a machine followed it, as far as can be told.
        machine: bool,
        /// The follower's user agent.
        user_agent: Option<String>,
    },
    /// Something was bought.
    Order {
        /// The shop's own id of the order.
        order_id: OrderId,
        /// What was paid.
        amount: Money,
    },
    /// The contact spoke.
    Feedback {
        /// What they said.
        kind: FeedbackKind,
        /// Their words, if any.
        text: Option<String>,
    },
}

impl Body {
    /// The kind of this event.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Assignment { .. } => EventKind::Assignment,
            Self::Message { .. } => EventKind::Message,
            Self::Delivery { .. } => EventKind::Delivery,
            Self::Open { .. } => EventKind::Open,
            Self::Click { .. } => EventKind::Click,
            Self::Order { .. } => EventKind::Order,
            Self::Feedback { .. } => EventKind::Feedback,
        }
    }
}

words!(
    /// The kinds of event; each has a table.
    EventKind {
        /// A contact was given a variant.
        Assignment = "assignment",
        /// A message was handed over.
        Message = "message",
        /// What became of a message.
        Delivery = "delivery",
        /// A message was opened.
        Open = "open",
        /// A link was followed.
        Click = "click",
        /// Something was bought.
        Order = "order",
        /// The contact spoke.
        Feedback = "feedback",
    }
);

impl EventKind {
    /// The table that holds events of this kind.
    #[must_use]
    pub fn table(self) -> &'static str {
        match self {
            Self::Assignment => "assignments",
            Self::Message => "messages",
            Self::Delivery => "deliveries",
            Self::Open => "opens",
            Self::Click => "clicks",
            Self::Order => "orders",
            Self::Feedback => "feedback",
        }
    }
}

words!(
    /// The ways to reach a person.
    Channel {
        /// E-mail.
        Email = "email",
        /// Short message.
        Sms = "sms",
        /// WhatsApp.
        Whatsapp = "whatsapp",
        /// WeChat.
        Wechat = "wechat",
        /// App or web push.
        Push = "push",
    }
);
words!(
    /// The three lanes of sending, which never wait for each other.
    MessageClass {
        /// One-time codes.
        Verification = "verification",
        /// Order and account mail.
        Transactional = "transactional",
        /// Everything else; needs consent.
        Marketing = "marketing",
    }
);
words!(
    /// Where a handed-over message stands.
    DeliveryStatus {
        /// The next server took responsibility.
        Accepted = "accepted",
        /// It arrived in the mailbox.
        Delivered = "delivered",
        /// The next server will not have it for now.
        Deferred = "deferred",
        /// The next server will not have it.
        Refused = "refused",
        /// It came back later.
        Bounced = "bounced",
    }
);
words!(
    /// What a contact can say.
    FeedbackKind {
        /// Stop sending.
        Unsubscribe = "unsubscribe",
        /// This is spam.
        Complaint = "complaint",
        /// An answer.
        Reply = "reply",
        /// A survey answer.
        Survey = "survey",
    }
);
