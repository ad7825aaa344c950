//! The rules of an event: what a line must hold, whatever format it came in.

use jiff::Timestamp;
use vocabulary::label::{self, EVENT_ID_BYTES_MAX, LABEL_BYTES_MAX};
use vocabulary::world::to_micros;
use vocabulary::{BodyRef, ContactKey, ContextRef, Currency, EventKind, Money};

use crate::fields::{FIELDS_OF, Name, nearest};
use crate::line::{Fault, Line, TEXT_BYTES_MAX, TIME_MAX, TIME_MIN, Told, URL_BYTES_MAX, Value, Who, clip};
use crate::times;

impl<'a> Line<'a> {
    /// Judges the line, which was received at `now`.
    pub(crate) fn check(&self, now: Timestamp) -> Result<Told<'a>, Fault> {
        let kind: EventKind = self.word(Name::Kind)?;
        let id = label(Name::EventId, EVENT_ID_BYTES_MAX, self.needed(Name::EventId)?)?;
        let (time, time_doubt) = self.happened(now)?;
        let who = self.who()?;
        let context = self.context()?;
        let body = self.body(kind)?;
        if let Some(name) = self.first_outside(FIELDS_OF[kind as usize]) {
            return Err(foreign(name, kind));
        }
        if self.has(Name::Currency) && !self.has(Name::Amount) && !self.has(Name::Cost) {
            return Err(Fault::new("currency", "is given without the amount it belongs to"));
        }
        Ok(Told { id, time, time_doubt, who, context, body })
    }

    fn happened(&self, now: Timestamp) -> Result<(Timestamp, Option<vocabulary::TimeDoubt>), Fault> {
        let told = self.time(Name::EventTime)?.ok_or_else(|| missing(Name::EventTime))?;
        let judged = times::judge(told, self.time(Name::SentAt)?, now);
        judged.filter(|(time, _)| (TIME_MIN..TIME_MAX).contains(time)).ok_or_else(|| {
            Fault::new(
                "sent_at",
                format!("is so far from the server's clock ({now}) that `event_time` cannot be corrected by it"),
            )
        })
    }

    fn who(&self) -> Result<Who<'a>, Fault> {
        match (self.text(Name::Contact), self.text(Name::ContactKey)) {
            (Some(own), None) => label(Name::Contact, LABEL_BYTES_MAX, own).map(Who::Own),
            (None, Some(key)) => match key.parse().ok().and_then(ContactKey::from_i64) {
                Some(key) => Ok(Who::Key(key)),
                None => {
                    Err(Fault::new("contact_key", format!("`{}` is no contact key; it is a positive whole number", clip(key))))
                }
            },
            (Some(_), Some(_)) => Err(Fault::new("contact_key", "is given together with `contact`; give one of the two")),
            (None, None) => Err(Fault::new("contact", "is missing; give `contact` (the customer's own id) or `contact_key`")),
        }
    }

    fn context(&self) -> Result<ContextRef<'a>, Fault> {
        Ok(ContextRef {
            message_id: self.label(Name::MessageId)?,
            campaign_id: self.label(Name::CampaignId)?,
            experiment_id: self.label(Name::ExperimentId)?,
            variant: self.label(Name::Variant)?,
            channel: self.has(Name::Channel).then(|| self.word(Name::Channel)).transpose()?,
            market: self.text(Name::Market).map(|code| country("market", code)).transpose()?,
            provider: self.label(Name::Provider)?,
            recommendation_id: self.label(Name::RecommendationId)?,
        })
    }

    fn body(&self, kind: EventKind) -> Result<BodyRef<'a>, Fault> {
        Ok(match kind {
            EventKind::Assignment => {
                BodyRef::Assignment { planned_at: self.time(Name::PlannedAt)?, propensity: self.propensity()? }
            }
            EventKind::Message => BodyRef::Message { class: self.word(Name::Class)?, cost: self.cost()? },
            EventKind::Delivery => {
                BodyRef::Delivery { status: self.word(Name::Status)?, reply: self.free_text(Name::Reply, TEXT_BYTES_MAX)? }
            }
            EventKind::Open => {
                BodyRef::Open { machine: self.flag(Name::Machine), user_agent: self.free_text(Name::UserAgent, TEXT_BYTES_MAX)? }
            }
            EventKind::Click => BodyRef::Click {
                url: self.free_text(Name::Url, URL_BYTES_MAX)?,
                machine: self.flag(Name::Machine),
                user_agent: self.free_text(Name::UserAgent, TEXT_BYTES_MAX)?,
                position: self.position()?,
            },
            EventKind::Order => self.order()?,
            EventKind::Feedback => {
                BodyRef::Feedback { kind: self.word(Name::Feedback)?, text: self.free_text(Name::Text, TEXT_BYTES_MAX)? }
            }
            EventKind::Activity => BodyRef::Activity { kind: self.word(Name::Activity)?, product: self.label(Name::Product)? },
        })
    }

    fn order(&self) -> Result<BodyRef<'a>, Fault> {
        let order_id = label(Name::OrderId, LABEL_BYTES_MAX, self.needed(Name::OrderId)?)?;
        let written = self.needed(Name::Amount)?;
        let amount = self.money(Name::Amount, written)?;
        let refund_of = self.label(Name::RefundOf)?;
        let wrong = match refund_of {
            None if amount.minor < 0 => {
                format!("{written} is negative; an order that pays back another names it in `refund_of`")
            }
            Some(_) if amount.minor > 0 => {
                format!("{written} is positive; an order with `refund_of` pays back, so its amount is zero or less")
            }
            Some(other) if other == order_id => {
                return Err(Fault::new("refund_of", "is the order itself; give the repayment an `order_id` of its own"));
            }
            _ => return Ok(BodyRef::Order { order_id, amount, refund_of }),
        };
        Err(Fault::new("amount", wrong))
    }

    fn cost(&self) -> Result<Option<Money>, Fault> {
        let Some(written) = self.text(Name::Cost) else { return Ok(None) };
        let cost = self.money(Name::Cost, written)?;
        if cost.minor < 0 {
            return Err(Fault::new("cost", format!("{written} is negative; it must be zero or more")));
        }
        Ok(Some(cost))
    }

    fn money(&self, name: Name, written: &str) -> Result<Money, Fault> {
        let field = name.as_str();
        let code = self
            .text(Name::Currency)
            .ok_or_else(|| Fault::new("currency", format!("is missing; `{field}` needs its ISO 4217 code, such as EUR")))?;
        let currency = Currency::new(code).map_err(|error| Fault::new("currency", clip(&error.to_string())))?;
        Money::parse(written, currency).map_err(|error| Fault::new(field, clip(&error.to_string())))
    }

    fn needed(&self, name: Name) -> Result<&'a str, Fault> {
        self.text(name).ok_or_else(|| missing(name))
    }

    fn label(&self, name: Name) -> Result<Option<&'a str>, Fault> {
        self.text(name).map(|text| label(name, LABEL_BYTES_MAX, text)).transpose()
    }

    fn word<T: Word>(&self, name: Name) -> Result<T, Fault> {
        let text = self.needed(name)?;
        T::of(text).ok_or_else(|| {
            let suggestion = nearest(text, T::words()).map(|word| format!("; did you mean `{word}`?")).unwrap_or_default();
            Fault::new(name.as_str(), format!("`{}` is not one of {}{suggestion}", clip(text), T::words().join(", ")))
        })
    }

    fn time(&self, name: Name) -> Result<Option<Timestamp>, Fault> {
        let example = "write it in RFC 3339 with its offset, such as 2026-03-01T09:30:00Z";
        let time = match self.get(name) {
            None => return Ok(None),
            Some(Value::Text(text)) => {
                times::parse(text).ok_or_else(|| Fault::new(name.as_str(), format!("`{}` is no time; {example}", clip(text))))?
            }
            Some(Value::Micros(micros)) => Timestamp::from_microsecond(micros)
                .map_err(|_| Fault::new(name.as_str(), format!("{micros} microseconds since 1970 lie outside the calendar")))?,
        };
        if time < TIME_MIN {
            return Err(Fault::new(name.as_str(), format!("{time} lies before {TIME_MIN}; check its unit; {example}")));
        }
        if time >= TIME_MAX {
            return Err(Fault::new(name.as_str(), format!("{time} lies after {TIME_MAX}; check its unit; {example}")));
        }
        Ok(Some(to_micros(time)))
    }

    fn propensity(&self) -> Result<Option<f64>, Fault> {
        let Some(written) = self.text(Name::Propensity) else { return Ok(None) };
        let valid = written.parse().ok().filter(|value| *value > 0.0 && *value <= 1.0);
        let wrong = || format!("{} is no probability; it must be more than 0 and at most 1", clip(written));
        valid.map(Some).ok_or_else(|| Fault::new("propensity", wrong()))
    }

    fn position(&self) -> Result<Option<u16>, Fault> {
        let Some(written) = self.text(Name::Position) else { return Ok(None) };
        // Tables in which some have none write 2.0.
        let is_place = |place: &f64| place.fract() == 0.0 && (1.0..=f64::from(u16::MAX)).contains(place);
        let valid = written.parse::<f64>().ok().filter(is_place);
        let wrong = || format!("{} is no place of a link; it must be a whole number from 1 to {}", clip(written), u16::MAX);
        valid.map(|place| Some(place as u16)).ok_or_else(|| Fault::new("position", wrong()))
    }

    fn flag(&self, name: Name) -> bool {
        self.text(name) == Some("true")
    }

    fn free_text(&self, name: Name, bytes_max: usize) -> Result<Option<&'a str>, Fault> {
        match self.text(name) {
            Some(text) if text.len() > bytes_max => {
                Err(Fault::new(name.as_str(), format!("is {} bytes long; the limit is {bytes_max}", text.len())))
            }
            text => Ok(text),
        }
    }
}

/// The fault of a field that belongs to other kinds of event.
fn foreign(name: Name, kind: EventKind) -> Fault {
    let owners: Vec<&str> = name.field().kinds.iter().map(|kind| kind.as_str()).collect();
    Fault::new(name.as_str(), format!("is not a field of `{kind}` events, but of `{}` events", owners.join("` and `")))
}

fn missing(name: Name) -> Fault {
    Fault::new(name.as_str(), "is missing")
}

fn label(name: Name, bytes_max: usize, text: &str) -> Result<&str, Fault> {
    label::check(text, bytes_max).map_err(|error| Fault::new(name.as_str(), error.to_string()))
}

/// An ISO 3166 alpha-2 code by its form.
fn country<'a>(field: &str, code: &'a str) -> Result<&'a str, Fault> {
    let valid = code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    valid
        .then_some(code)
        .ok_or_else(|| Fault::new(field, format!("`{}` is no country code; write two capital letters, such as DE", clip(code))))
}

/// One word of a fixed list.
trait Word: Copy + 'static {
    fn of(text: &str) -> Option<Self>;
    fn words() -> Vec<&'static str>;
}

macro_rules! word_lists {
    ($($type:ty),+) => { $(impl Word for $type {
        // `FromStr` would make the sentence of its error for nothing.
        fn of(text: &str) -> Option<Self> {
            <$type>::ALL.iter().copied().find(|word| word.as_str() == text)
        }
        fn words() -> Vec<&'static str> {
            <$type>::ALL.iter().map(|word| word.as_str()).collect()
        }
    })+ };
}
word_lists!(
    EventKind,
    vocabulary::Channel,
    vocabulary::MessageClass,
    vocabulary::DeliveryStatus,
    vocabulary::FeedbackKind,
    vocabulary::ActivityKind
);
