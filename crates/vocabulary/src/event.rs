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
    /// Why `time` may be wrong; `None` where nothing speaks against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_doubt: Option<TimeDoubt>,
    /// What it belongs to.
    #[serde(default)]
    pub context: Context,
    /// What happened.
    pub body: Body,
}

/// An event whose texts are borrowed: the way from a request to the lake without a copy of each text. Its texts were
/// checked by [`crate::label::check`] under the limits of the ids of the same names in [`Event`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EventRef<'a> {
    /// Unique; the same id told twice is kept once.
    pub id: &'a str,
    /// When it happened.
    pub time: Timestamp,
    /// When Sendlab heard of it.
    pub received_at: Timestamp,
    /// Whom it happened to.
    pub contact: ContactKey,
    /// Why `time` may be wrong.
    pub time_doubt: Option<TimeDoubt>,
    /// What it belongs to.
    pub context: ContextRef<'a>,
    /// What happened.
    pub body: BodyRef<'a>,
}

/// A [`Context`] whose texts are borrowed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContextRef<'a> {
    /// The message that led to it.
    pub message_id: Option<&'a str>,
    /// The campaign of that message.
    pub campaign_id: Option<&'a str>,
    /// The experiment it counts in.
    pub experiment_id: Option<&'a str>,
    /// The variant the contact got.
    pub variant: Option<&'a str>,
    /// The channel of the message.
    pub channel: Option<Channel>,
    /// ISO 3166 alpha-2 country.
    pub market: Option<&'a str>,
    /// The way out the message took.
    pub provider: Option<&'a str>,
    /// The recommendation the sender followed.
    pub recommendation_id: Option<&'a str>,
}

/// A [`Body`] whose texts are borrowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum BodyRef<'a> {
    /// See [`Body::Assignment`].
    Assignment {
        /// When the message is planned to leave.
        planned_at: Option<Timestamp>,
        /// The probability with which this variant was drawn, 0 to 1.
        propensity: Option<f64>,
    },
    /// See [`Body::Message`].
    Message {
        /// What kind of message it is.
        class: MessageClass,
        /// What handing it over cost.
        cost: Option<Money>,
    },
    /// See [`Body::Delivery`].
    Delivery {
        /// How it ended, or where it stands.
        status: DeliveryStatus,
        /// The provider's own words.
        reply: Option<&'a str>,
    },
    /// See [`Body::Open`].
    Open {
        /// Whether a machine opened it.
        machine: bool,
        /// The opener's user agent.
        user_agent: Option<&'a str>,
    },
    /// See [`Body::Click`].
    Click {
        /// Where it led.
        url: Option<&'a str>,
        /// Whether a machine followed it.
        machine: bool,
        /// The follower's user agent.
        user_agent: Option<&'a str>,
        /// Its place in the message, from 1.
        position: Option<u16>,
    },
    /// See [`Body::Order`].
    Order {
        /// The shop's own id of the order.
        order_id: &'a str,
        /// What was paid; negative when it was paid back.
        amount: Money,
        /// The order that was paid back or cancelled.
        refund_of: Option<&'a str>,
    },
    /// See [`Body::Feedback`].
    Feedback {
        /// What they said.
        kind: FeedbackKind,
        /// Their words, if any.
        text: Option<&'a str>,
    },
    /// See [`Body::Activity`].
    Activity {
        /// What they did.
        kind: ActivityKind,
        /// The shop's own id of the product.
        product: Option<&'a str>,
    },
}

impl BodyRef<'_> {
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
            Self::Activity { .. } => EventKind::Activity,
        }
    }
}

impl Event {
    /// The same event with borrowed texts.
    #[must_use]
    pub fn borrowed(&self) -> EventRef<'_> {
        EventRef {
            id: self.id.as_str(),
            time: self.time,
            received_at: self.received_at,
            contact: self.contact,
            time_doubt: self.time_doubt,
            context: self.context.borrowed(),
            body: self.body.borrowed(),
        }
    }
}

impl Context {
    fn borrowed(&self) -> ContextRef<'_> {
        ContextRef {
            message_id: self.message_id.as_ref().map(MessageId::as_str),
            campaign_id: self.campaign_id.as_ref().map(CampaignId::as_str),
            experiment_id: self.experiment_id.as_ref().map(ExperimentId::as_str),
            variant: self.variant.as_ref().map(VariantName::as_str),
            channel: self.channel,
            market: self.market.as_deref(),
            provider: self.provider.as_ref().map(Provider::as_str),
            recommendation_id: self.recommendation_id.as_ref().map(RecommendationId::as_str),
        }
    }
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
        /// Its place among the tracked links of its part of the message: 1 is the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        position: Option<u16>,
    },
    /// Something was bought.
    Order {
        /// The shop's own id of the order.
        order_id: OrderId,
        /// What was paid; negative when it was paid back.
        amount: Money,
        /// The order that was paid back or cancelled, in whole or in part.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refund_of: Option<OrderId>,
    },
    /// The contact spoke.
    Feedback {
        /// What they said.
        kind: FeedbackKind,
        /// Their words, if any.
        text: Option<String>,
    },
    /// The contact did something in the shop.
    Activity {
        /// What they did.
        kind: ActivityKind,
        /// The shop's own id of the product.
        product: Option<String>,
    },
}

impl Body {
    fn borrowed(&self) -> BodyRef<'_> {
        match self {
            Self::Assignment { planned_at, propensity } => {
                BodyRef::Assignment { planned_at: *planned_at, propensity: *propensity }
            }
            Self::Message { class, cost } => BodyRef::Message { class: *class, cost: *cost },
            Self::Delivery { status, reply } => BodyRef::Delivery { status: *status, reply: reply.as_deref() },
            Self::Open { machine, user_agent } => BodyRef::Open { machine: *machine, user_agent: user_agent.as_deref() },
            Self::Click { url, machine, user_agent, position } => {
                BodyRef::Click { url: url.as_deref(), machine: *machine, user_agent: user_agent.as_deref(), position: *position }
            }
            Self::Order { order_id, amount, refund_of } => BodyRef::Order {
                order_id: order_id.as_str(),
                amount: *amount,
                refund_of: refund_of.as_ref().map(OrderId::as_str),
            },
            Self::Feedback { kind, text } => BodyRef::Feedback { kind: *kind, text: text.as_deref() },
            Self::Activity { kind, product } => BodyRef::Activity { kind: *kind, product: product.as_deref() },
        }
    }

    /// The kind of this event.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        self.borrowed().kind()
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
        /// The contact did something in the shop.
        Activity = "activity",
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
            Self::Activity => "activities",
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
        /// LINE.
        Line = "line",
        /// Telegram.
        Telegram = "telegram",
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
        /// It may or may not have been taken, and is not sent again.
        InDoubt = "in_doubt",
        /// It was made and would have been handed over, but its recipient is held out (a ghost send).
        HeldOut = "held_out",
    }
);
words!(
    /// Why the time of an event may be wrong. Such events are kept and marked, not dropped.
    TimeDoubt {
        /// It lies ahead of the server's clock by more than clocks differ.
        Future = "future",
        /// The sender's clock differs from the server's; the time was corrected by the difference.
        Skewed = "skewed",
    }
);
words!(
    /// What a contact does in the shop before they order.
    ActivityKind {
        /// They looked at a product.
        Viewed = "viewed",
        /// They put a product in the cart.
        Carted = "carted",
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
