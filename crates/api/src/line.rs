//! Reads one line of a batch of events.
//!
//! A good line goes one way only: a typed, borrowed `serde` struct, then checks that turn it into a [`Draft`]. What that
//! cannot parse is looked at again by [`crate::diagnose`], slowly, to say what is wrong with it.

use std::borrow::Cow;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vocabulary::world::to_micros;
use vocabulary::{
    Body, CampaignId, ContactKey, Context, Currency, EventId, EventKind, ExperimentId, LabelError, MessageId, Money, MoneyError,
    OrderId, Provider, RecommendationId, VariantName,
};

use crate::diagnose;
use crate::fields::{FIELDS, nearest};
use crate::items::LINE_BYTES_MAX;
use crate::refund;

/// How far ahead of the server's clock an event may lie: clocks differ by seconds, a wrong time zone by half an hour.
pub const FUTURE_MAX: SignedDuration = SignedDuration::from_mins(5);
/// Nothing this system measures happened before; such a time is a wrong unit or an unset clock.
pub const TIME_MIN: Timestamp = Timestamp::constant(631_152_000, 0); // 1990-01-01
/// The longest URL that is kept; browsers and mail programs cut longer ones.
pub const URL_BYTES_MAX: usize = 4096;
/// The longest free text (reply, user agent, the contact's words) that is kept in a row of the lake.
pub const TEXT_BYTES_MAX: usize = 4096;
/// Numbers in JSON carry 15 decimal digits exactly; amounts from here on must be written as text.
pub(crate) const NUMBER_EXACT_MAX: f64 = 1e15;

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = LineFault)]
pub struct Fault {
    /// The field that is wrong; `null` when it is the line as a whole.
    pub field: Option<String>,
    /// Why, and what to write instead.
    pub reason: String,
}

impl Fault {
    pub(crate) fn new(field: &str, reason: impl Into<String>) -> Self {
        Self { field: Some(field.to_owned()), reason: reason.into() }
    }

    pub(crate) fn whole(reason: impl Into<String>) -> Self {
        Self { field: None, reason: reason.into() }
    }
}

/// Whom an event happened to, as the caller named them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// By the customer's own id, which `control` turns into a key.
    Own(String),
    /// By the surrogate key.
    Key(ContactKey),
}

/// A checked event that only lacks its contact's key and the time of receipt.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Its id.
    pub id: EventId,
    /// When it happened.
    pub time: Timestamp,
    /// Whom it happened to.
    pub who: Who,
    /// What it belongs to.
    pub context: Context,
    /// What happened.
    pub body: Body,
}

/// Reads one line; `now` is what "the future" is measured from.
///
/// # Errors
/// [`Fault`]: what is wrong with it.
pub fn read(json: &[u8], now: Timestamp) -> Result<Draft, Fault> {
    if json.len() > LINE_BYTES_MAX {
        return Err(Fault::whole(format!("the line is {} bytes long; the limit is {LINE_BYTES_MAX} bytes", json.len())));
    }
    let line: Line<'_> = serde_json::from_slice(json).map_err(|error| diagnose::event(json, &error))?;
    line.check(now)
}

/// Text that is borrowed from the line unless it holds escapes. `Option<Cow<str>>` would always copy.
struct Text<'a>(Cow<'a, str>);

/// An amount as decimal text, read from a JSON number or from text.
struct Decimal<'a>(Cow<'a, str>);

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Cow<'de, str>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor).map(Text)
    }
}

struct DecimalVisitor;

impl<'de> Visitor<'de> for DecimalVisitor {
    type Value = Cow<'de, str>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal number or text that holds one")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Cow::Owned(number.to_string()))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Cow::Owned(number.to_string()))
    }
    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Self::Value, E> {
        // The shortest text that reads back as this number is the text that was written, up to 15 digits.
        if number.abs() < NUMBER_EXACT_MAX {
            Ok(Cow::Owned(number.to_string()))
        } else {
            Err(E::custom("too large for a number"))
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Decimal<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DecimalVisitor).map(Decimal)
    }
}

/// A line as it is written: the fields of [`FIELDS`], flat.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    event_id: Option<Text<'a>>,
    #[serde(borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    event_time: Option<Text<'a>>,
    #[serde(borrow)]
    contact: Option<Text<'a>>,
    #[serde(borrow)]
    contact_key: Option<Text<'a>>,
    #[serde(borrow)]
    message_id: Option<Text<'a>>,
    #[serde(borrow)]
    campaign_id: Option<Text<'a>>,
    #[serde(borrow)]
    experiment_id: Option<Text<'a>>,
    #[serde(borrow)]
    variant: Option<Text<'a>>,
    #[serde(borrow)]
    channel: Option<Text<'a>>,
    #[serde(borrow)]
    market: Option<Text<'a>>,
    #[serde(borrow)]
    provider: Option<Text<'a>>,
    #[serde(borrow)]
    recommendation_id: Option<Text<'a>>,
    #[serde(borrow)]
    planned_at: Option<Text<'a>>,
    propensity: Option<f64>,
    #[serde(borrow)]
    class: Option<Text<'a>>,
    #[serde(borrow)]
    cost: Option<Decimal<'a>>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
    #[serde(borrow)]
    reply: Option<Text<'a>>,
    #[serde(borrow)]
    url: Option<Text<'a>>,
    machine: Option<bool>,
    #[serde(borrow)]
    user_agent: Option<Text<'a>>,
    #[serde(borrow)]
    order_id: Option<Text<'a>>,
    #[serde(borrow)]
    refund_of: Option<Text<'a>>,
    #[serde(borrow)]
    amount: Option<Decimal<'a>>,
    #[serde(borrow)]
    currency: Option<Text<'a>>,
    #[serde(borrow)]
    feedback: Option<Text<'a>>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

impl Line<'_> {
    fn check(mut self, now: Timestamp) -> Result<Draft, Fault> {
        let kind: EventKind = word("kind", &needed("kind", self.kind.take())?)?;
        let id = label("event_id", EventId::new, &needed("event_id", self.event_id.take())?)?;
        let time = time("event_time", &needed("event_time", self.event_time.take())?)?;
        if time.duration_since(now) > FUTURE_MAX {
            let reason = format!(
                "{time} lies in the future: it is more than {} minutes ahead of the server's clock ({now})",
                FUTURE_MAX.as_mins()
            );
            return Err(Fault::new("event_time", reason));
        }
        let who = self.who()?;
        let context = self.context()?;
        let body = self.body(kind)?;
        match self.left_over() {
            Some(name) => Err(foreign(name, kind)),
            None => Ok(Draft { id, time, who, context, body }),
        }
    }

    fn who(&mut self) -> Result<Who, Fault> {
        match (self.contact.take(), self.contact_key.take()) {
            (Some(own), None) => label("contact", checked_own_id, &own).map(Who::Own),
            (None, Some(key)) => match ContactKey::try_from(key.0.into_owned()) {
                Ok(key) => Ok(Who::Key(key)),
                Err(reason) => Err(Fault::new("contact_key", clip(&reason))),
            },
            (Some(_), Some(_)) => Err(Fault::new("contact_key", "is given together with `contact`; give one of the two")),
            (None, None) => Err(Fault::new("contact", "is missing; give `contact` (the customer's own id) or `contact_key`")),
        }
    }

    fn context(&mut self) -> Result<Context, Fault> {
        Ok(Context {
            message_id: label_if("message_id", MessageId::new, self.message_id.take())?,
            campaign_id: label_if("campaign_id", CampaignId::new, self.campaign_id.take())?,
            experiment_id: label_if("experiment_id", ExperimentId::new, self.experiment_id.take())?,
            variant: label_if("variant", VariantName::new, self.variant.take())?,
            channel: self.channel.take().map(|text| word("channel", &text)).transpose()?,
            market: self.market.take().map(|text| country("market", &text.0)).transpose()?,
            provider: label_if("provider", Provider::new, self.provider.take())?,
            recommendation_id: label_if("recommendation_id", RecommendationId::new, self.recommendation_id.take())?,
        })
    }

    fn body(&mut self, kind: EventKind) -> Result<Body, Fault> {
        Ok(match kind {
            EventKind::Assignment => Body::Assignment {
                planned_at: self.planned_at.take().map(|text| time("planned_at", &text)).transpose()?,
                propensity: self.propensity.take().map(propensity).transpose()?,
            },
            EventKind::Message => Body::Message {
                class: word("class", &needed("class", self.class.take())?)?,
                cost: match self.cost.take() {
                    Some(cost) => Some(refund::not_negative("cost", &cost.0, self.money("cost", &cost)?)?),
                    None => None,
                },
            },
            EventKind::Delivery => Body::Delivery {
                status: word("status", &needed("status", self.status.take())?)?,
                reply: free_text("reply", TEXT_BYTES_MAX, self.reply.take())?,
            },
            EventKind::Open => Body::Open {
                machine: self.machine.take().unwrap_or(false),
                user_agent: free_text("user_agent", TEXT_BYTES_MAX, self.user_agent.take())?,
            },
            EventKind::Click => Body::Click {
                url: free_text("url", URL_BYTES_MAX, self.url.take())?,
                machine: self.machine.take().unwrap_or(false),
                user_agent: free_text("user_agent", TEXT_BYTES_MAX, self.user_agent.take())?,
            },
            EventKind::Order => {
                let order_id = label("order_id", OrderId::new, &needed("order_id", self.order_id.take())?)?;
                let refund_of = label_if("refund_of", OrderId::new, self.refund_of.take())?;
                let amount = self.amount.take().ok_or_else(|| missing("amount"))?;
                let money = self.money("amount", &amount)?;
                refund::check(order_id.as_str(), refund_of.as_ref().map(OrderId::as_str), &amount.0, money)?;
                Body::Order { order_id, amount: money, refund_of }
            }
            EventKind::Feedback => Body::Feedback {
                kind: word("feedback", &needed("feedback", self.feedback.take())?)?,
                text: free_text("text", TEXT_BYTES_MAX, self.text.take())?,
            },
        })
    }

    fn money(&mut self, field: &str, amount: &Decimal<'_>) -> Result<Money, Fault> {
        let code = self
            .currency
            .take()
            .ok_or_else(|| Fault::new("currency", format!("is missing; `{field}` needs its ISO 4217 code, such as EUR")))?;
        let currency = Currency::new(&code.0).map_err(|error| Fault::new("currency", clip(&error.to_string())))?;
        Money::parse(&amount.0, currency).map_err(|error: MoneyError| Fault::new(field, clip(&error.to_string())))
    }

    /// A field that was given but that no part of the event took.
    fn left_over(&self) -> Option<&'static str> {
        let given = [
            ("planned_at", self.planned_at.is_some()),
            ("propensity", self.propensity.is_some()),
            ("class", self.class.is_some()),
            ("cost", self.cost.is_some()),
            ("status", self.status.is_some()),
            ("reply", self.reply.is_some()),
            ("url", self.url.is_some()),
            ("machine", self.machine.is_some()),
            ("user_agent", self.user_agent.is_some()),
            ("order_id", self.order_id.is_some()),
            ("refund_of", self.refund_of.is_some()),
            ("amount", self.amount.is_some()),
            ("currency", self.currency.is_some()),
            ("feedback", self.feedback.is_some()),
            ("text", self.text.is_some()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }
}

/// The fault of a field that belongs to other kinds of event.
fn foreign(name: &str, kind: EventKind) -> Fault {
    let field = FIELDS.iter().find(|field| field.name == name);
    if field.is_some_and(|field| field.belongs_to(kind)) {
        return Fault::new(name, "is given without the amount it belongs to");
    }
    let owners: Vec<&str> = field.map(|field| field.kinds.iter().map(|kind| kind.as_str()).collect()).unwrap_or_default();
    Fault::new(name, format!("is not a field of `{kind}` events, but of `{}` events", owners.join("` and `")))
}

fn missing(field: &str) -> Fault {
    Fault::new(field, "is missing")
}

fn needed<'a>(field: &str, text: Option<Text<'a>>) -> Result<Text<'a>, Fault> {
    text.ok_or_else(|| missing(field))
}

fn label<T>(field: &str, new: impl FnOnce(&str) -> Result<T, LabelError>, text: &Text<'_>) -> Result<T, Fault> {
    new(&text.0).map_err(|error| Fault::new(field, error.to_string()))
}

fn label_if<T>(field: &str, new: impl FnOnce(&str) -> Result<T, LabelError>, text: Option<Text<'_>>) -> Result<Option<T>, Fault> {
    text.map(|text| label(field, new, &text)).transpose()
}

/// The customer's own id of a contact: under the same limits as most other ids.
pub(crate) fn checked_own_id(text: &str) -> Result<String, LabelError> {
    MessageId::new(text).map(|_| text.to_owned())
}

/// One word of a fixed list.
trait Word: std::str::FromStr<Err = String> + 'static {
    fn words() -> Vec<&'static str>;
}

macro_rules! word_lists {
    ($($type:ty),+) => { $(impl Word for $type {
        fn words() -> Vec<&'static str> { <$type>::ALL.iter().map(|word| word.as_str()).collect() }
    })+ };
}
word_lists!(EventKind, vocabulary::Channel, vocabulary::MessageClass, vocabulary::DeliveryStatus, vocabulary::FeedbackKind);

fn word<T: Word>(field: &str, text: &Text<'_>) -> Result<T, Fault> {
    text.0.parse().map_err(|_| {
        let suggestion = nearest(&text.0, T::words()).map(|word| format!("; did you mean `{word}`?")).unwrap_or_default();
        Fault::new(field, format!("`{}` is not one of {}{suggestion}", clip(&text.0), T::words().join(", ")))
    })
}

fn time(field: &str, text: &Text<'_>) -> Result<Timestamp, Fault> {
    let example = "write it in RFC 3339 with its offset, such as 2026-03-01T09:30:00Z";
    let time: Timestamp = text.0.parse().map_err(|_| Fault::new(field, format!("`{}` is no time; {example}", clip(&text.0))))?;
    if time < TIME_MIN {
        return Err(Fault::new(field, format!("{time} lies before {TIME_MIN}; check its unit; {example}")));
    }
    Ok(to_micros(time))
}

fn propensity(value: f64) -> Result<f64, Fault> {
    let valid = value > 0.0 && value <= 1.0;
    valid
        .then_some(value)
        .ok_or_else(|| Fault::new("propensity", format!("{value} is no probability; it must be more than 0 and at most 1")))
}

/// An ISO 3166 alpha-2 code by its form.
pub(crate) fn country(field: &str, code: &str) -> Result<String, Fault> {
    let valid = code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    valid
        .then(|| code.to_owned())
        .ok_or_else(|| Fault::new(field, format!("`{}` is no country code; write two capital letters, such as DE", clip(code))))
}

fn free_text(field: &str, bytes_max: usize, text: Option<Text<'_>>) -> Result<Option<String>, Fault> {
    let Some(Text(text)) = text else { return Ok(None) };
    if text.len() > bytes_max {
        return Err(Fault::new(field, format!("is {} bytes long; the limit is {bytes_max}", text.len())));
    }
    Ok(Some(text.into_owned()))
}

/// Cuts what the caller wrote to a length that an answer can repeat.
pub(crate) fn clip(text: &str) -> String {
    const CHARS_MAX: usize = 120;
    match text.char_indices().nth(CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
