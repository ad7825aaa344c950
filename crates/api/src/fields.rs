//! The fields of an event as callers write it: one table that the diagnoses of bad lines and the OpenAPI schemas are
//! both made from, so that they cannot tell different stories.

use vocabulary::EventKind;

/// Makes the enum of fields. The words are repeated in [`FIELDS`], and a test holds the two together.
macro_rules! names {
    ($($name:ident $word:literal,)+) => {
        /// The fields, in the order of [`FIELDS`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Name { $($name,)+ }

        impl Name {
            /// Every field.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The field that is written so. It is asked for each field of each line, hence a `match` over bytes.
            pub(crate) fn find(word: &[u8]) -> Option<Self> {
                match word {
                    $($word => Some(Self::$name),)+
                    _ => None,
                }
            }
        }
    };
}

names! {
    EventId b"event_id",
    Kind b"kind",
    EventTime b"event_time",
    SentAt b"sent_at",
    Contact b"contact",
    ContactKey b"contact_key",
    MessageId b"message_id",
    CampaignId b"campaign_id",
    ExperimentId b"experiment_id",
    Variant b"variant",
    Channel b"channel",
    Market b"market",
    Provider b"provider",
    RecommendationId b"recommendation_id",
    PlannedAt b"planned_at",
    Propensity b"propensity",
    Class b"class",
    Cost b"cost",
    Status b"status",
    Reply b"reply",
    Url b"url",
    Machine b"machine",
    UserAgent b"user_agent",
    Position b"position",
    OrderId b"order_id",
    Amount b"amount",
    RefundOf b"refund_of",
    Currency b"currency",
    Feedback b"feedback",
    Text b"text",
    Activity b"activity",
    Product b"product",
}

impl Name {
    /// The row of the table.
    pub(crate) fn field(self) -> &'static Field {
        &FIELDS[self as usize]
    }

    /// As it is written.
    pub(crate) fn as_str(self) -> &'static str {
        self.field().name
    }

    /// The field as one bit of a set.
    pub(crate) const fn bit(self) -> u64 {
        1 << self as u32
    }
}

/// By kind, the fields that its events have, as a set of [`Name::bit`].
pub(crate) const FIELDS_OF: [u64; EventKind::ALL.len()] = {
    let mut sets = [0; EventKind::ALL.len()];
    let mut at = 0;
    while at < sets.len() {
        let kind = EventKind::ALL[at];
        sets[kind as usize] = fields_of(kind);
        at += 1;
    }
    sets
};

const fn fields_of(kind: EventKind) -> u64 {
    let mut set = 0;
    let mut at = 0;
    while at < FIELDS.len() {
        let kinds = FIELDS[at].kinds;
        let mut owner = 0;
        let mut owned = kinds.is_empty();
        while owner < kinds.len() {
            owned |= kinds[owner] as u32 == kind as u32;
            owner += 1;
        }
        if owned {
            set |= 1 << at;
        }
        at += 1;
    }
    set
}

/// What the value of a field looks like in JSON.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Text.
    Text,
    /// Text from a fixed list of words.
    Word(fn() -> Vec<&'static str>),
    /// An RFC 3339 time as text.
    Time,
    /// A whole number as text of digits.
    Digits,
    /// `true` or `false`.
    Flag,
    /// A number.
    Number,
    /// A decimal amount: a number, or text that holds one.
    Decimal,
}

/// One field.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What its value looks like.
    pub shape: Shape,
    /// The kinds of event that have it; all where empty.
    pub kinds: &'static [EventKind],
    /// Whether an event of these kinds must have it.
    pub required: bool,
    /// What it means.
    pub about: &'static str,
}

impl Field {
    /// Whether events of this kind have the field.
    #[must_use]
    pub fn belongs_to(&self, kind: EventKind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }
}

const fn common(name: &'static str, shape: Shape, about: &'static str) -> Field {
    Field { name, shape, kinds: &[], required: false, about }
}

const fn own(name: &'static str, kinds: &'static [EventKind], shape: Shape, about: &'static str) -> Field {
    Field { name, shape, kinds, required: false, about }
}

const fn required(field: Field) -> Field {
    Field { required: true, ..field }
}

/// The words of a list type, as a function so that the table can be a constant.
macro_rules! words_of {
    ($type:ty) => {
        Shape::Word(|| <$type>::ALL.iter().map(|word| word.as_str()).collect())
    };
}

use EventKind::{Activity, Assignment, Click, Delivery, Feedback, Message, Open, Order};

/// Every field of every kind, in the order of the documentation.
pub const FIELDS: &[Field] = &[
    required(common(
        "event_id",
        Shape::Text,
        "Names the event for ever, at most 256 bytes. The same id told twice is kept once.",
    )),
    required(common("kind", words_of!(EventKind), "What happened.")),
    required(common(
        "event_time",
        Shape::Time,
        "When it happened, in RFC 3339, between 1990 and 2262. More than 5 minutes ahead of the server's clock it is kept and marked as `future`.",
    )),
    common(
        "sent_at",
        Shape::Time,
        "The sender's clock as it sends this line. Where it is more than 5 minutes off, `event_time` is corrected by the difference and marked as `skewed`.",
    ),
    common(
        "contact",
        Shape::Text,
        "The contact by the customer's own id, at most 128 bytes. Either this or `contact_key` must be given.",
    ),
    common(
        "contact_key",
        Shape::Digits,
        "The contact by Sendlab's surrogate key, a string of digits. Either this or `contact` must be given.",
    ),
    common("message_id", Shape::Text, "The message that led to it."),
    common("campaign_id", Shape::Text, "The campaign of that message."),
    common("experiment_id", Shape::Text, "The experiment it counts in."),
    common("variant", Shape::Text, "The variant the contact got."),
    common("channel", words_of!(vocabulary::Channel), "The channel of the message."),
    common("market", Shape::Text, "ISO 3166 alpha-2 country, two capital letters."),
    common("provider", Shape::Text, "The way out the message took, such as `smtp`."),
    common("recommendation_id", Shape::Text, "The recommendation the sender followed."),
    own(
        "planned_at",
        &[Assignment],
        Shape::Time,
        "When the message is planned to leave; outcomes count from here. `event_time` where absent.",
    ),
    own(
        "propensity",
        &[Assignment],
        Shape::Number,
        "The probability with which the variant was drawn, more than 0 and at most 1.",
    ),
    required(own("class", &[Message], words_of!(vocabulary::MessageClass), "What kind of message it is.")),
    own(
        "cost",
        &[Message],
        Shape::Decimal,
        "What handing it over cost, in major units of `currency`: a number, or text where more than 15 digits matter.",
    ),
    required(own("status", &[Delivery], words_of!(vocabulary::DeliveryStatus), "How the delivery ended, or where it stands.")),
    own("reply", &[Delivery], Shape::Text, "The provider's own words."),
    own("url", &[Click], Shape::Text, "Where the link led."),
    own(
        "machine",
        &[Open, Click],
        Shape::Flag,
        "Whether a machine (mail proxy, scanner) did it, as far as can be told. `false` where absent.",
    ),
    own("user_agent", &[Open, Click], Shape::Text, "The user agent."),
    own(
        "position",
        &[Click],
        Shape::Number,
        "The place of the link among the tracked links of its part of the message: a whole number, 1 for the first.",
    ),
    required(own("order_id", &[Order], Shape::Text, "The shop's own id of the order.")),
    required(own(
        "amount",
        &[Order],
        Shape::Decimal,
        "What was paid, in major units of `currency`: a number, or text where more than 15 digits matter. Negative only with `refund_of`.",
    )),
    own(
        "refund_of",
        &[Order],
        Shape::Text,
        "The `order_id` of the order that this one pays back or cancels, in whole or in part; `amount` is then zero or less.",
    ),
    own(
        "currency",
        &[Message, Order],
        Shape::Text,
        "ISO 4217 code of `amount` or `cost`, three capital letters. Required with either.",
    ),
    required(own("feedback", &[Feedback], words_of!(vocabulary::FeedbackKind), "What the contact said.")),
    own("text", &[Feedback], Shape::Text, "Their words, if any."),
    required(own("activity", &[Activity], words_of!(vocabulary::ActivityKind), "What the contact did in the shop.")),
    own("product", &[Activity], Shape::Text, "The shop's own id of the product."),
];

/// The field of that name.
#[must_use]
pub fn field(name: &str) -> Option<&'static Field> {
    Name::find(name.as_bytes()).map(Name::field)
}

/// The candidate most like `word`, if any is like it at all.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Below this similarity a suggestion confuses more than it helps: it still pairs `evnt_time` with `event_time`.
    const SIMILARITY_MIN: f64 = 0.8;
    let scored = candidates.into_iter().map(|candidate| (strsim::jaro_winkler(word, candidate), candidate));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= SIMILARITY_MIN).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_field_is_suggested() {
        let names = || FIELDS.iter().map(|field| field.name);
        let check = |word: &str, expect: Option<&str>| assert_eq!(nearest(word, names()), expect, "{word}");
        check("evnt_time", Some("event_time"));
        check("eventId", Some("event_id"));
        check("currancy", Some("currency"));
        check("zzz", None);
    }

    #[test]
    fn the_names_are_the_table() {
        assert_eq!(Name::ALL.len(), FIELDS.len());
        for (field, name) in FIELDS.iter().zip(Name::ALL) {
            assert_eq!(Name::find(field.name.as_bytes()), Some(*name), "{}", field.name);
            assert_eq!(name.as_str(), field.name);
        }
        assert_eq!(Name::find(b"event"), None);
    }

    #[test]
    fn kinds_have_their_fields() {
        for (kind, field) in EventKind::ALL.iter().flat_map(|kind| FIELDS.iter().map(move |field| (*kind, field))) {
            let name = Name::find(field.name.as_bytes()).unwrap();
            assert_eq!(FIELDS_OF[kind as usize] & name.bit() != 0, field.belongs_to(kind), "{kind} {}", field.name);
        }
    }
}
