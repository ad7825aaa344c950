//! The nouns of Sendlab: what every other crate names when it speaks of an event, a contact, money, an experiment or
//! a recommendation.
//!
//! *Invariant:* this crate does no IO, reads no clock and draws no randomness: [`Clock`] and [`Ids`] are handed in.
//!
//! Reading order: [`label`] (ids), [`contact`], [`money`], [`rates`], [`rate_file`], [`event`], [`experiment`], [`weekday`], [`metric`], [`campaign`], [`coupon`], [`message_template`],
//! [`product`], [`snippet`], [`recommendation`], [`world`].

pub mod campaign;
pub mod contact;
pub mod coupon;
pub mod event;
pub mod experiment;
pub mod form;
pub mod label;
pub mod message_template;
pub mod metric;
pub mod money;
pub mod product;
pub mod rate_file;
pub mod rates;
pub mod recommendation;
pub mod send_hour;
pub mod snippet;
pub mod weekday;
pub mod words;
pub mod world;
pub mod written;

pub use campaign::{Campaign, Copy, Missing, Mode, PREFERRED_CHANNEL, Translation, Utm};
pub use contact::{Birth, Contact, ContactKey, Profile, is_country};
pub use coupon::CouponCode;
pub use event::{
    ActivityKind, Body, BodyRef, Channel, Context, ContextRef, DeliveryStatus, Event, EventKind, EventRef, FeedbackKind,
    MessageClass, TimeDoubt,
};
pub use experiment::{
    Approval, Balance, Bandit, BanditRule, Covariate, Cuped, Early, Experiment, Factor, Guardrail, Layer, Rollout, Variant,
};
pub use form::{CONFIRM_URL, Form, FormMail};
pub use label::{
    CampaignId, CouponPool, EventId, ExperimentId, LabelError, MessageId, OrderId, Provider, RecommendationId, Step, VariantName,
};
pub use message_template::MessageTemplate;
pub use metric::{BUILT_IN, Costs, Measure, Metric, Outcome};
pub use money::{Currency, Money, MoneyError};
pub use product::{Offer, Product, ProductTranslation, Slot, SlotQuery};
pub use rates::{Rate, RateSource, RateSpan, Rates, Ratio};
pub use recommendation::{Asker, Expected, Recommendation, RecommendationScope, ScopeError};
pub use send_hour::SendHour;
pub use snippet::Snippet;
pub use weekday::Weekday;
pub use world::{Clock, Ids};

/// A point in time, UTC. Everything that is stored is cut to microseconds by [`world::to_micros`].
pub use jiff::Timestamp;
