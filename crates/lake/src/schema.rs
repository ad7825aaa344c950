//! The tables: their names, columns and comments. What stands here is what every reader of the lake sees.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use vocabulary::EventKind;

/// The column that event tables are partitioned by: the day of `event_time` in UTC.
pub(crate) const EVENT_DATE: &str = "event_date";
/// The name of the table of contacts.
pub(crate) const CONTACTS: &str = "contacts";
/// The columns that are computed from an amount, its currency and the rate of the day.
pub(crate) const BASE_COLUMNS: &[&str] = &["amount_base_minor", "cost_base_minor"];
/// The key under which Delta and its readers look for a column's comment.
pub(crate) const COMMENT: &str = "comment";

/// One table of the lake.
#[derive(Debug, Clone)]
pub(crate) struct TableSpec {
    pub(crate) name: &'static str,
    pub(crate) comment: &'static str,
    pub(crate) schema: SchemaRef,
    pub(crate) partitioned: bool,
    /// Columns whose smallest and largest value per file are worth keeping to skip files by. Contact keys are random,
    /// so they skip nothing, and Delta's log would keep them after an erasure.
    pub(crate) skip_by: &'static str,
}

/// The table of one kind of event.
pub(crate) fn event_table(kind: EventKind) -> TableSpec {
    let mut fields = common_fields();
    fields.extend(own_fields(kind));
    fields.push(field(EVENT_DATE, DataType::Date32, false, "The day of event_time in UTC; the table is partitioned by it."));
    TableSpec {
        name: kind.table(),
        comment: match kind {
            EventKind::Assignment => "One row per variant given to a contact: who counts, and from when.",
            EventKind::Message => "One row per message handed over to a provider.",
            EventKind::Delivery => "One row per thing heard of what became of a message.",
            EventKind::Open => "One row per opening of a message, machines' included.",
            EventKind::Click => "One row per link followed, machines' included.",
            EventKind::Order => "One row per order, and one per refund or cancellation of an order.",
            EventKind::Feedback => "One row per unsubscription, complaint, reply or survey answer.",
            EventKind::Activity => "One row per product looked at or put in the cart.",
        },
        schema: Arc::new(Schema::new(fields)),
        partitioned: true,
        skip_by: "event_time,received_at,experiment_id,campaign_id",
    }
}

/// The table of contacts.
pub(crate) fn contacts_table() -> TableSpec {
    let entries = Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)]);
    // Delta's readers name the entries of a map `key_value`.
    let attributes = DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entries), false)), false);
    // And the members of a list `element`.
    let labels = || DataType::List(Arc::new(Field::new("element", DataType::Utf8, true)));
    let text = |name: &str, comment: &str| field(name, DataType::Utf8, true, comment);
    let fields = vec![
        field("contact_key", DataType::Int64, false, "The random key the lake knows the person by."),
        text("country", "ISO 3166 alpha-2 country."),
        text("language", "BCP 47 language tag, such as pt-BR."),
        text("time_zone", "IANA time zone, such as Asia/Shanghai."),
        field("attributes", attributes, true, "Your own attributes by name: attributes['segment']."),
        field(
            "time_zone_derived",
            DataType::Boolean,
            true,
            "Whether the time zone follows from the country or the phone number; null where there is none.",
        ),
        text("market", "ISO 3166 alpha-2 country they buy in; the country where nothing else was said."),
        field("interests", labels(), true, "What they are interested in: array_has(interests, 'shoes')."),
        field("tags", labels(), true, "Your own marks."),
        text("device", "The device they use most."),
        field("birth_date", DataType::Date32, true, "When they were born; null where only the year is known."),
        field("birth_year", DataType::Int32, true, "The year in which they were born."),
        text("source", "Where they came from."),
        field("channels", labels(), true, "The channels with an address: email, sms, whatsapp, wechat, push, line, telegram."),
        field("created_at", timestamp_type(), true, "When they were first known here."),
        text("region", "ISO 3166-2 part of the country, such as US-FL."),
    ];
    TableSpec {
        name: CONTACTS,
        comment: "One row per contact as they are now; no address.",
        schema: Arc::new(Schema::new(fields)),
        partitioned: false,
        skip_by: "country,language",
    }
}

/// The table of exchange rates.
pub(crate) fn rates_table() -> TableSpec {
    let terms = "the rate is numerator / denominator exactly, because a cross rate has no finite decimals.";
    let fields = vec![
        field("date", DataType::Date32, false, "The first day the rate holds."),
        field("currency", DataType::Utf8, false, "ISO 4217 currency."),
        field("rate", DataType::Float64, false, "How much of the currency one unit of the base currency buys, rounded."),
        field("numerator", DataType::Int64, false, &format!("Above the line: {terms}")),
        field("denominator", DataType::Int64, false, "Below the line; see numerator."),
        field(
            "source",
            DataType::Utf8,
            false,
            "ecb: the European Central Bank's reference rates, which expire; own: yours, which hold on.",
        ),
    ];
    TableSpec {
        name: "rates",
        comment: "One row per exchange rate to the base currency.",
        schema: Arc::new(Schema::new(fields)),
        partitioned: false,
        skip_by: "currency",
    }
}

/// A point in time as the tables keep it. With a zone, because readers of plain Delta tables know no naive times.
pub(crate) fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn common_fields() -> Vec<Field> {
    let text = |name, comment| field(name, DataType::Utf8, true, comment);
    vec![
        field("event_id", DataType::Utf8, false, "Unique; the same event told twice is here once."),
        field("event_time", timestamp_type(), false, "When it happened."),
        field("received_at", timestamp_type(), false, "When Sendlab heard of it."),
        field("contact_key", DataType::Int64, false, "Whom it happened to: contacts.contact_key."),
        text("message_id", "The message that led to it."),
        text("campaign_id", "The campaign of that message."),
        text("experiment_id", "The experiment it counts in."),
        text("variant", "The variant the contact got."),
        text("channel", "email, sms, whatsapp, wechat or push."),
        text("market", "ISO 3166 alpha-2 country."),
        text("provider", "The way out the message took."),
        text("recommendation_id", "The recommendation the sender followed."),
        text("time_doubt", "Why event_time may be wrong: future or skewed; null where nothing speaks against it."),
    ]
}

fn own_fields(kind: EventKind) -> Vec<Field> {
    let text = |name, comment| field(name, DataType::Utf8, true, comment);
    let number = |name, nullable, comment| field(name, DataType::Int64, nullable, comment);
    let machine = || field("machine", DataType::Boolean, false, "Whether a machine did it, as far as can be told.");
    match kind {
        EventKind::Assignment => vec![
            field("planned_at", timestamp_type(), true, "When the message is planned to leave; outcomes count from here."),
            field("propensity", DataType::Float64, true, "The probability with which this variant was drawn, 0 to 1."),
        ],
        EventKind::Message => vec![
            field("class", DataType::Utf8, false, "verification, transactional or marketing."),
            number("cost_minor", true, "What handing it over cost, in minor units of currency."),
            text("currency", "ISO 4217 currency of cost_minor."),
            number("cost_base_minor", true, "The cost in minor units of the base currency; null without a rate."),
        ],
        EventKind::Delivery => vec![
            field("status", DataType::Utf8, false, "accepted, delivered, deferred, refused or bounced."),
            text("reply", "The provider's own words."),
        ],
        EventKind::Open => vec![machine(), text("user_agent", "The opener's user agent.")],
        EventKind::Click => vec![
            text("url", "Where the link led."),
            machine(),
            text("user_agent", "The follower's user agent."),
            number("position", true, "The link's place among the tracked links of its part of the message: 1 is the first."),
        ],
        EventKind::Order => vec![
            field("order_id", DataType::Utf8, false, "The shop's own id of the order."),
            number("amount_minor", false, "What was paid, in minor units of currency; negative when it was paid back."),
            field("currency", DataType::Utf8, false, "ISO 4217 currency of amount_minor."),
            number("amount_base_minor", true, "The amount in minor units of the base currency; null without a rate."),
            text("refund_of", "The order that was paid back or cancelled; null for an order."),
        ],
        EventKind::Feedback => vec![
            field("feedback", DataType::Utf8, false, "unsubscribe, complaint, reply or survey."),
            text("text", "Their words, if any."),
        ],
        EventKind::Activity => vec![
            field("activity", DataType::Utf8, false, "viewed or carted."),
            text("product", "The shop's own id of the product."),
        ],
    }
}

fn field(name: &str, data_type: DataType, nullable: bool, comment: &str) -> Field {
    Field::new(name, data_type, nullable).with_metadata(HashMap::from([(COMMENT.to_owned(), comment.to_owned())]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_explained() {
        for table in EventKind::ALL.iter().map(|kind| event_table(*kind)).chain([contacts_table(), rates_table()]) {
            assert!(!table.comment.is_empty(), "{}", table.name);
            for field in table.schema.fields() {
                assert!(field.metadata().contains_key(COMMENT), "{}.{}", table.name, field.name());
            }
            assert_eq!(table.schema.field_with_name(EVENT_DATE).is_ok(), table.partitioned, "{}", table.name);
            for column in table.skip_by.split(',') {
                assert!(table.schema.field_with_name(column).is_ok(), "{}.{column}", table.name);
            }
        }
    }
}
