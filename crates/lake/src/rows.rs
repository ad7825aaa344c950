//! Turns events into the columns of their tables.
//!
//! Events are pushed one by one into shared builders, one set per kind, straight from the text of the request. What comes
//! out is a log batch: the table's columns without those that follow from others. [`complete`] adds these.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, Date32Array, Float64Builder, Int64Array, Int64Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use vocabulary::{BodyRef, Currency, EventKind, EventRef, Money, Rates, Timestamp};

use crate::schema::{BASE_COLUMNS, EVENT_DATE, event_table};

const MICROSECONDS_PER_DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// The builders of one kind's columns, in the order of its table without the columns that [`complete`] adds.
pub(crate) struct KindBuilder {
    schema: SchemaRef,
    /// `event_time`, `received_at`.
    times: [TimestampMicrosecondBuilder; 2],
    event_id: StringBuilder,
    contact_key: Int64Builder,
    /// `message_id` and the others that name what the event belongs to, then `time_doubt`.
    context: [Texts; 9],
    own: Own,
    rows: usize,
}

/// The columns that only one kind has.
enum Own {
    Assignment { planned_at: TimestampMicrosecondBuilder, propensity: Float64Builder },
    Message { class: StringBuilder, cost: MoneyBuilder },
    Delivery { status: StringBuilder, reply: Texts },
    Open { machine: BooleanBuilder, user_agent: Texts },
    Click { url: Texts, machine: BooleanBuilder, user_agent: Texts, position: Int64Builder },
    Order { order_id: StringBuilder, amount: MoneyBuilder, refund_of: Texts },
    Feedback { feedback: StringBuilder, text: Texts },
    Activity { activity: StringBuilder, product: Texts },
}

/// A column of texts that many events lack. Where all lack it, nothing is kept of it and the log has no such column.
#[derive(Default)]
struct Texts {
    /// `Some` from the first text on.
    builder: Option<StringBuilder>,
    /// Rows without a text before the first.
    nulls: usize,
}

impl Texts {
    fn push(&mut self, text: Option<&str>) {
        match (&mut self.builder, text) {
            (None, None) => self.nulls += 1,
            (Some(builder), text) => builder.append_option(text),
            (None, Some(text)) => {
                let builder = self.builder.insert(text_builder());
                builder.append_nulls(std::mem::take(&mut self.nulls));
                builder.append_value(text);
            }
        }
    }

    fn finish(&mut self) -> Option<ArrayRef> {
        self.nulls = 0;
        self.builder.take().map(|mut builder| Arc::new(builder.finish()) as ArrayRef)
    }
}

struct MoneyBuilder {
    minor: Int64Builder,
    currency: StringBuilder,
}

impl MoneyBuilder {
    fn new() -> Self {
        Self { minor: Int64Builder::with_capacity(0), currency: text_builder() }
    }

    fn push(&mut self, money: Option<Money>) {
        self.minor.append_option(money.map(|money| money.minor));
        self.currency.append_option(money.as_ref().map(|money| money.currency.as_str()));
    }

    fn finish(&mut self) -> [ArrayRef; 2] {
        [Arc::new(self.minor.finish()), Arc::new(self.currency.finish())]
    }
}

/// Without Arrow's default capacity of 1,024 rows, which many small batches would each pay for.
fn text_builder() -> StringBuilder {
    StringBuilder::with_capacity(0, 0)
}

fn time_builder() -> TimestampMicrosecondBuilder {
    TimestampMicrosecondBuilder::with_capacity(0).with_timezone("UTC")
}

impl KindBuilder {
    pub(crate) fn new(kind: EventKind) -> Self {
        let own = match kind {
            EventKind::Assignment => Own::Assignment { planned_at: time_builder(), propensity: Float64Builder::with_capacity(0) },
            EventKind::Message => Own::Message { class: text_builder(), cost: MoneyBuilder::new() },
            EventKind::Delivery => Own::Delivery { status: text_builder(), reply: Texts::default() },
            EventKind::Open => Own::Open { machine: BooleanBuilder::with_capacity(0), user_agent: Texts::default() },
            EventKind::Click => Own::Click {
                url: Texts::default(),
                machine: BooleanBuilder::with_capacity(0),
                user_agent: Texts::default(),
                position: Int64Builder::with_capacity(0),
            },
            EventKind::Order => Own::Order { order_id: text_builder(), amount: MoneyBuilder::new(), refund_of: Texts::default() },
            EventKind::Feedback => Own::Feedback { feedback: text_builder(), text: Texts::default() },
            EventKind::Activity => Own::Activity { activity: text_builder(), product: Texts::default() },
        };
        Self {
            schema: log_schema(kind),
            times: [time_builder(), time_builder()],
            event_id: text_builder(),
            contact_key: Int64Builder::with_capacity(0),
            context: Default::default(),
            own,
            rows: 0,
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds one event, which is of this builder's kind.
    pub(crate) fn push(&mut self, event: &EventRef<'_>) {
        self.event_id.append_value(event.id);
        self.times[0].append_value(event.time.as_microsecond());
        self.times[1].append_value(event.received_at.as_microsecond());
        self.contact_key.append_value(event.contact.as_i64());
        let context = &event.context;
        let texts = [
            context.message_id,
            context.campaign_id,
            context.experiment_id,
            context.variant,
            context.channel.map(vocabulary::Channel::as_str),
            context.market,
            context.provider,
            context.recommendation_id,
            event.time_doubt.map(vocabulary::TimeDoubt::as_str),
        ];
        for (column, text) in self.context.iter_mut().zip(texts) {
            column.push(text);
        }
        self.own.push(&event.body);
        self.rows += 1;
    }

    /// The rows so far as a log batch, without columns of which all are null; afterwards there are none.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        self.rows = 0;
        let [event_time, received_at] = &mut self.times;
        let mut columns: Vec<Option<ArrayRef>> = vec![
            Some(Arc::new(self.event_id.finish())),
            Some(Arc::new(event_time.finish())),
            Some(Arc::new(received_at.finish())),
            Some(Arc::new(self.contact_key.finish())),
        ];
        columns.extend(self.context.iter_mut().map(Texts::finish));
        columns.extend(self.own.finish());
        let present: Vec<usize> = (0..columns.len()).filter(|at| columns[*at].is_some()).collect();
        let schema = Arc::new(self.schema.project(&present)?);
        RecordBatch::try_new(schema, columns.into_iter().flatten().collect())
    }
}

impl Own {
    fn push(&mut self, body: &BodyRef<'_>) {
        match (self, body) {
            (Self::Assignment { planned_at, propensity }, BodyRef::Assignment { planned_at: at, propensity: drawn }) => {
                planned_at.append_option(at.map(Timestamp::as_microsecond));
                propensity.append_option(*drawn);
            }
            (Self::Message { class, cost }, BodyRef::Message { class: of, cost: paid }) => {
                class.append_value(of.as_str());
                cost.push(*paid);
            }
            (Self::Delivery { status, reply }, BodyRef::Delivery { status: is, reply: said }) => {
                status.append_value(is.as_str());
                reply.push(*said);
            }
            (Self::Open { machine, user_agent }, BodyRef::Open { machine: by, user_agent: agent }) => {
                machine.append_value(*by);
                user_agent.push(*agent);
            }
            (
                Self::Click { url, machine, user_agent, position },
                BodyRef::Click { url: to, machine: by, user_agent: agent, position: at },
            ) => {
                url.push(*to);
                machine.append_value(*by);
                user_agent.push(*agent);
                position.append_option(at.map(i64::from));
            }
            (Self::Order { order_id, amount, refund_of }, BodyRef::Order { order_id: id, amount: paid, refund_of: of }) => {
                order_id.append_value(id);
                amount.push(Some(*paid));
                refund_of.push(*of);
            }
            (Self::Feedback { feedback, text }, BodyRef::Feedback { kind, text: words }) => {
                feedback.append_value(kind.as_str());
                text.push(*words);
            }
            (Self::Activity { activity, product }, BodyRef::Activity { kind, product: id }) => {
                activity.append_value(kind.as_str());
                product.push(*id);
            }
            _ => unreachable!("events are sorted by kind before they are pushed"),
        }
    }

    fn finish(&mut self) -> Vec<Option<ArrayRef>> {
        match self {
            Self::Assignment { planned_at, propensity } => {
                vec![Some(Arc::new(planned_at.finish())), Some(Arc::new(propensity.finish()))]
            }
            Self::Message { class, cost } => {
                let [minor, currency] = cost.finish();
                vec![Some(Arc::new(class.finish())), Some(minor), Some(currency)]
            }
            Self::Delivery { status, reply } => vec![Some(Arc::new(status.finish())), reply.finish()],
            Self::Open { machine, user_agent } => vec![Some(Arc::new(machine.finish())), user_agent.finish()],
            Self::Click { url, machine, user_agent, position } => {
                let position = position.finish();
                let is_any = position.null_count() < position.len();
                let position = is_any.then(|| Arc::new(position) as ArrayRef);
                vec![url.finish(), Some(Arc::new(machine.finish())), user_agent.finish(), position]
            }
            Self::Order { order_id, amount, refund_of } => {
                let [minor, currency] = amount.finish();
                vec![Some(Arc::new(order_id.finish())), Some(minor), Some(currency), refund_of.finish()]
            }
            Self::Feedback { feedback, text } => vec![Some(Arc::new(feedback.finish())), text.finish()],
            Self::Activity { activity, product } => vec![Some(Arc::new(activity.finish())), product.finish()],
        }
    }
}

/// The columns of a log batch: its table's without those that follow from others, and without comments, because each
/// frame of the log repeats them.
pub(crate) fn log_schema(kind: EventKind) -> SchemaRef {
    let follows = |name: &str| name == EVENT_DATE || BASE_COLUMNS.contains(&name);
    let bare = |field: &Arc<Field>| Field::new(field.name(), field.data_type().clone(), field.is_nullable());
    let fields = event_table(kind).schema.fields().iter().filter(|field| !follows(field.name())).map(bare).collect::<Vec<_>>();
    Arc::new(Schema::new(fields))
}

/// The rows of a log batch as their table has them: with the day, and amounts in the base currency at the rate of the day.
/// Columns that the log lacks are null: no event had them, or an older version of the program did not write them.
pub(crate) fn complete(schema: &SchemaRef, batch: &RecordBatch, rates: &Rates) -> Result<RecordBatch, ArrowError> {
    let column = |field: &Arc<Field>| -> Result<ArrayRef, ArrowError> {
        match field.name().as_str() {
            EVENT_DATE => days(batch),
            name if BASE_COLUMNS.contains(&name) => base_amounts(batch, rates),
            name => Ok(batch
                .column_by_name(name)
                .cloned()
                .unwrap_or_else(|| arrow::array::new_null_array(field.data_type(), batch.num_rows()))),
        }
    };
    let columns = schema.fields().iter().map(column).collect::<Result<_, _>>()?;
    RecordBatch::try_new(schema.clone(), columns)
}

fn times(batch: &RecordBatch) -> Result<&arrow::array::TimestampMicrosecondArray, ArrowError> {
    let column = batch.column_by_name("event_time").and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    column.ok_or_else(|| ArrowError::SchemaError("event_time is missing".to_owned()))
}

fn days(batch: &RecordBatch) -> Result<ArrayRef, ArrowError> {
    let days = times(batch)?.values().iter().map(|time| time.div_euclid(MICROSECONDS_PER_DAY) as i32);
    Ok(Arc::new(Date32Array::from_iter_values(days)))
}

/// The amounts of a batch in the base currency, at the rates of the days of its events.
pub(crate) fn base_amounts(batch: &RecordBatch, rates: &Rates) -> Result<ArrayRef, ArrowError> {
    let minor = ["amount_minor", "cost_minor"].iter().find_map(|name| batch.column_by_name(name));
    let minor = minor.and_then(|column| column.as_primitive_opt::<Int64Type>());
    let currency = batch.column_by_name("currency").map(|column| arrow::compute::cast(column, &DataType::Utf8)).transpose()?;
    let (Some(minor), Some(currency)) = (minor, currency) else {
        return Err(ArrowError::SchemaError("an amount or its currency is missing".to_owned()));
    };
    let currency = currency.as_string::<i32>();
    let times = times(batch)?.values();
    let base = (0..batch.num_rows()).map(|row| {
        let known = minor.is_valid(row) && currency.is_valid(row);
        let money = known
            .then(|| Currency::new(currency.value(row)).ok())
            .flatten()
            .map(|currency| Money { minor: minor.value(row), currency })?;
        let time = Timestamp::from_microsecond(times[row]).ok()?;
        rates.to_base(money, date_of(time)).map(|money| money.minor)
    });
    Ok(Arc::new(base.collect::<Int64Array>()))
}

/// The day in UTC.
pub(crate) fn date_of(time: Timestamp) -> Date {
    time.to_zoned(TimeZone::UTC).date()
}

/// A day as Arrow keeps it.
pub(crate) fn days_since_epoch(date: Date) -> i32 {
    (date - Date::constant(1970, 1, 1)).get_days()
}

/// The day Arrow keeps as this number.
pub(crate) fn date_of_days(days: i32) -> Date {
    Date::constant(1970, 1, 1).saturating_add(jiff::Span::new().days(days))
}
