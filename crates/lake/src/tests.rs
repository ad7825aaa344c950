//! Tests of the lake as a whole, and what they share.

mod asking;
mod care;
mod contacts;
mod covariates;
mod crash;
mod durable;
mod erasure;
mod few_groups;
mod files;
mod group_joins;
mod kept;
mod observe;
mod picks;
mod plans;
mod queries;
mod rates;
mod sql;
mod units;

use std::path::Path;
use std::sync::{Arc, Mutex};

use arrow::util::pretty::pretty_format_batches;
use datafusion::physical_plan::displayable;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use vocabulary::{
    ActivityKind, Body, Contact, ContactKey, Context, Currency, DeliveryStatus, Event, EventId, EventKind, FeedbackKind,
    MessageClass, Money, OrderId, Rates, Timestamp,
};

use crate::faults::{Faults, Point};
use crate::{ContactRows, Lake, LakeConfig, LakeError, Recipient, SqlFormat, SqlLimits, SqlOptions};

const START: i64 = 1_767_225_600_000_000; // 2026-01-01T00:00:00Z
const HOUR: i64 = 3_600_000_000;

/// So many microseconds after the start of 2026.
pub(crate) fn at(microseconds: i64) -> Timestamp {
    Timestamp::from_microsecond(START + microseconds).unwrap()
}

fn contact(key: i64) -> ContactKey {
    ContactKey::from_i64(key).unwrap()
}

/// Contacts as rows of their table.
fn contact_rows(contacts: &[Contact]) -> ContactRows {
    let mut rows = ContactRows::default();
    rows.push(contacts).unwrap();
    rows
}

fn currency(code: &str) -> Currency {
    Currency::new(code).unwrap()
}

/// Euros are the base; dollars have a rate from the second day of 2026, yen none.
fn config(root: &Path) -> LakeConfig {
    let mut rates = Rates::new(currency("EUR"));
    rates.insert(currency("USD"), jiff::civil::date(2026, 1, 2), "1.25").unwrap();
    LakeConfig::new(root.to_owned(), rates)
}

fn event(id: &str, key: i64, time: Timestamp, body: Body) -> Event {
    Event {
        id: EventId::new(id).unwrap(),
        time,
        received_at: time,
        contact: contact(key),
        time_doubt: None,
        context: Context::default(),
        body,
    }
}

pub(crate) fn order(id: &str, key: i64, time: Timestamp, minor: i64) -> Event {
    let amount = Money { minor, currency: currency("EUR") };
    event(id, key, time, Body::Order { order_id: OrderId::new(id).unwrap(), amount, refund_of: None })
}

/// How many kinds of event there are, each with a table.
const KINDS: usize = EventKind::ALL.len();

/// One event of each kind.
fn one_of_each(prefix: &str) -> Vec<Event> {
    let body = |kind: EventKind| match kind {
        EventKind::Assignment => Body::Assignment { planned_at: Some(at(HOUR)), propensity: Some(0.5) },
        EventKind::Message => {
            Body::Message { class: MessageClass::Marketing, cost: Some(Money { minor: 3, currency: currency("EUR") }) }
        }
        EventKind::Delivery => Body::Delivery { status: DeliveryStatus::Accepted, reply: Some("250 ok".into()) },
        EventKind::Open => Body::Open { machine: false, user_agent: None },
        EventKind::Click => {
            Body::Click { url: Some("https://shop.example/".into()), machine: true, user_agent: None, position: Some(2) }
        }
        EventKind::Order => {
            let amount = Money { minor: 1250, currency: currency("USD") };
            Body::Order { order_id: OrderId::new("o1").unwrap(), amount, refund_of: None }
        }
        EventKind::Activity => Body::Activity { kind: ActivityKind::Carted, product: Some("sku-1".into()) },
        EventKind::Feedback => Body::Feedback { kind: FeedbackKind::Reply, text: Some("no, \"thanks\"\n".into()) },
    };
    EventKind::ALL.iter().map(|kind| event(&format!("{prefix}-{kind}"), 7, at(26 * HOUR), body(*kind))).collect()
}

/// A query's answer as text.
async fn ask(lake: &Lake, query: &str, format: SqlFormat) -> Result<String, LakeError> {
    ask_within(lake, query, format, SqlLimits::default()).await
}

async fn ask_within(lake: &Lake, query: &str, format: SqlFormat, limits: SqlLimits) -> Result<String, LakeError> {
    let parts: Vec<bytes::Bytes> =
        lake.sql(query, format, &SqlOptions { limits, ..SqlOptions::default() }).await?.body.try_collect().await?;
    Ok(String::from_utf8(parts.concat()).unwrap())
}

/// The lines of an answer in some order, and how it was planned.
async fn answer_and_plan(context: &SessionContext, query: &str) -> (Vec<String>, String) {
    let plan = context.sql(query).await.unwrap().create_physical_plan().await.unwrap();
    let text = displayable(plan.as_ref()).indent(true).to_string();
    let batches = datafusion::physical_plan::collect(plan, context.task_ctx()).await.unwrap();
    let mut lines: Vec<String> = pretty_format_batches(&batches).unwrap().to_string().lines().map(str::to_owned).collect();
    lines.sort_unstable();
    (lines, text)
}

/// How many rows each event table has, and how many different ids.
async fn counts(lake: &Lake) -> Vec<(i64, i64)> {
    let one = |kind: &EventKind| format!("SELECT count(*) AS rows, count(DISTINCT event_id) AS ids FROM {}", kind.table());
    let mut counts = Vec::new();
    for kind in EventKind::ALL {
        let answer = ask(lake, &one(kind), SqlFormat::Csv).await.unwrap();
        let (rows, ids) = answer.lines().nth(1).unwrap().split_once(',').unwrap();
        counts.push((rows.parse().unwrap(), ids.parse().unwrap()));
    }
    counts
}

/// Answers `error` the `skip + 1`th time that `point` is reached.
struct FailAt {
    point: Point,
    skip: Mutex<u32>,
    error: fn(Point) -> LakeError,
}

impl FailAt {
    fn new(point: Point, skip: u32, error: fn(Point) -> LakeError) -> Arc<Self> {
        Arc::new(Self { point, skip: Mutex::new(skip), error })
    }
}

impl Faults for FailAt {
    fn reached(&self, point: Point) -> Result<(), LakeError> {
        if point != self.point {
            return Ok(());
        }
        let mut skip = self.skip.lock().unwrap();
        match skip.checked_sub(1) {
            Some(left) => *skip = left,
            None => {
                *skip = u32::MAX;
                return Err((self.error)(point));
            }
        }
        Ok(())
    }
}
