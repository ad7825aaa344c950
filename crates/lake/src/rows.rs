//! Turns events and contacts into the columns of their tables.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, MapBuilder, MapFieldNames, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::error::ArrowError;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use vocabulary::{Body, Contact, Event, Money, OrderId, Rates, Timestamp};

/// The rows of `events`, which are all of the kind `schema` is for.
///
/// They are sorted by experiment and contact, so that a question about one experiment reads few pages.
pub(crate) fn event_rows(schema: &SchemaRef, mut events: Vec<Event>, rates: &Rates) -> Result<RecordBatch, ArrowError> {
    let order = |event: &Event| (event.context.experiment_id.clone(), event.contact, event.time);
    events.sort_by_cached_key(order);
    let mut columns = common_columns(&events);
    columns.extend(own_columns(&events, rates));
    let mut dates = Date32Builder::with_capacity(events.len());
    events.iter().for_each(|event| dates.append_value(days_since_epoch(date_of(event.time))));
    columns.push(Arc::new(dates.finish()));
    RecordBatch::try_new(schema.clone(), columns)
}

/// The rows of `contacts`, by key.
pub(crate) fn contact_rows(schema: &SchemaRef, mut contacts: Vec<Contact>) -> Result<RecordBatch, ArrowError> {
    contacts.sort_by_key(|contact| contact.key);
    let mut keys = Int64Builder::with_capacity(contacts.len());
    contacts.iter().for_each(|contact| keys.append_value(contact.key.as_i64()));
    let text = |of: fn(&Contact) -> Option<&str>| text_column(contacts.iter().map(of));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(keys.finish()),
        text(|contact| contact.country.as_deref()),
        text(|contact| contact.language.as_deref()),
        text(|contact| contact.time_zone.as_deref()),
        attributes_column(&contacts)?,
    ];
    RecordBatch::try_new(schema.clone(), columns)
}

/// The day in UTC.
pub(crate) fn date_of(time: Timestamp) -> Date {
    time.to_zoned(TimeZone::UTC).date()
}

fn days_since_epoch(date: Date) -> i32 {
    (date - Date::constant(1970, 1, 1)).get_days()
}

fn common_columns(events: &[Event]) -> Vec<ArrayRef> {
    let text = |of: fn(&Event) -> Option<&str>| text_column(events.iter().map(of));
    let time = |of: fn(&Event) -> Option<Timestamp>| time_column(events.iter().map(of));
    let mut contacts = Int64Builder::with_capacity(events.len());
    events.iter().for_each(|event| contacts.append_value(event.contact.as_i64()));
    vec![
        text(|event| Some(event.id.as_str())),
        time(|event| Some(event.time)),
        time(|event| Some(event.received_at)),
        Arc::new(contacts.finish()),
        text(|event| event.context.message_id.as_ref().map(|id| id.as_str())),
        text(|event| event.context.campaign_id.as_ref().map(|id| id.as_str())),
        text(|event| event.context.experiment_id.as_ref().map(|id| id.as_str())),
        text(|event| event.context.variant.as_ref().map(|name| name.as_str())),
        text(|event| event.context.channel.map(|channel| channel.as_str())),
        text(|event| event.context.market.as_deref()),
        text(|event| event.context.provider.as_ref().map(|name| name.as_str())),
        text(|event| event.context.recommendation_id.as_ref().map(|id| id.as_str())),
    ]
}

/// The columns that only this kind of event has. An event of another kind would give nulls; callers sort by kind first.
fn own_columns(events: &[Event], rates: &Rates) -> Vec<ArrayRef> {
    let text = |of: fn(&Body) -> Option<&str>| text_column(events.iter().map(|event| of(&event.body)));
    let machine = || {
        let flags = events.iter().map(|event| match event.body {
            Body::Open { machine, .. } | Body::Click { machine, .. } => Some(machine),
            _ => None,
        });
        let mut column = BooleanBuilder::with_capacity(events.len());
        flags.for_each(|flag| column.append_option(flag));
        Arc::new(column.finish()) as ArrayRef
    };
    let user_agent = || {
        text(|body| match body {
            Body::Open { user_agent, .. } | Body::Click { user_agent, .. } => user_agent.as_deref(),
            _ => None,
        })
    };
    match events.first().map(|event| &event.body) {
        None => Vec::new(),
        Some(Body::Assignment { .. }) => assignment_columns(events),
        Some(Body::Message { .. }) => {
            let class = text(|body| if let Body::Message { class, .. } = body { Some(class.as_str()) } else { None });
            std::iter::once(class).chain(money_columns(events, rates)).collect()
        }
        Some(Body::Delivery { .. }) => vec![
            text(|body| if let Body::Delivery { status, .. } = body { Some(status.as_str()) } else { None }),
            text(|body| if let Body::Delivery { reply, .. } = body { reply.as_deref() } else { None }),
        ],
        Some(Body::Open { .. }) => vec![machine(), user_agent()],
        Some(Body::Click { .. }) => {
            vec![text(|body| if let Body::Click { url, .. } = body { url.as_deref() } else { None }), machine(), user_agent()]
        }
        Some(Body::Order { .. }) => {
            let order = text(|body| if let Body::Order { order_id, .. } = body { Some(order_id.as_str()) } else { None });
            let refund_of = text(|body| match body {
                Body::Order { refund_of, .. } => refund_of.as_ref().map(OrderId::as_str),
                _ => None,
            });
            std::iter::once(order).chain(money_columns(events, rates)).chain([refund_of]).collect()
        }
        Some(Body::Feedback { .. }) => vec![
            text(|body| if let Body::Feedback { kind, .. } = body { Some(kind.as_str()) } else { None }),
            text(|body| if let Body::Feedback { text, .. } = body { text.as_deref() } else { None }),
        ],
    }
}

fn assignment_columns(events: &[Event]) -> Vec<ArrayRef> {
    let planned = events.iter().map(|event| if let Body::Assignment { planned_at, .. } = event.body { planned_at } else { None });
    let mut propensities = Float64Builder::with_capacity(events.len());
    for event in events {
        propensities.append_option(if let Body::Assignment { propensity, .. } = event.body { propensity } else { None });
    }
    vec![time_column(planned), Arc::new(propensities.finish())]
}

/// Amount, currency, and amount in the base currency at the rate of the event's day.
fn money_columns(events: &[Event], rates: &Rates) -> [ArrayRef; 3] {
    let (mut minor, mut base) = (Int64Builder::with_capacity(events.len()), Int64Builder::with_capacity(events.len()));
    let mut currency = StringBuilder::new();
    for event in events {
        let money: Option<Money> = match &event.body {
            Body::Order { amount, .. } => Some(*amount),
            Body::Message { cost, .. } => *cost,
            _ => None,
        };
        minor.append_option(money.map(|money| money.minor));
        currency.append_option(money.as_ref().map(|money| money.currency.as_str()));
        base.append_option(money.and_then(|money| rates.to_base(money, date_of(event.time))).map(|money| money.minor));
    }
    [Arc::new(minor.finish()), Arc::new(currency.finish()), Arc::new(base.finish())]
}

fn text_column<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    let mut column = StringBuilder::new();
    values.for_each(|value| column.append_option(value));
    Arc::new(column.finish())
}

fn time_column(values: impl Iterator<Item = Option<Timestamp>>) -> ArrayRef {
    let mut column = TimestampMicrosecondBuilder::new();
    values.for_each(|value| column.append_option(value.map(|time| time.as_microsecond())));
    Arc::new(column.finish().with_timezone("UTC"))
}

fn attributes_column(contacts: &[Contact]) -> Result<ArrayRef, ArrowError> {
    let names = MapFieldNames { entry: "key_value".to_owned(), key: "key".to_owned(), value: "value".to_owned() };
    let mut maps = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
        .with_keys_field(Field::new("key", DataType::Utf8, false))
        .with_values_field(Field::new("value", DataType::Utf8, true));
    for contact in contacts {
        for (name, value) in &contact.attributes {
            maps.keys().append_value(name);
            maps.values().append_value(value);
        }
        maps.append(true)?;
    }
    Ok(Arc::new(maps.finish()))
}
