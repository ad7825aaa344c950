//! What a lake promises wherever its tables are: each case runs on a local folder and on a server of the S3 API that is not
//! ours. A new promise about tables is added here, to `on_both!`.

mod lake_cases;
mod landers;
mod served;

use std::sync::atomic::{AtomicU64, Ordering};

use futures::TryStreamExt as _;
use lake::{Lake, LakeConfig, SqlFormat, SqlOptions, TablesAt};
use tempfile::TempDir;
use vocabulary::{
    Body, ContactKey, Context, Currency, Event, EventId, EventKind, MessageClass, Money, OrderId, Rates, Timestamp,
};

use crate::support::s3_server;

const START: i64 = 1_767_225_600_000_000; // 2026-01-01T00:00:00Z
const HOUR: i64 = 3_600_000_000;

/// Where one case keeps its lake. Dropped with the case.
struct Place {
    folder: TempDir,
    tables: TablesAt,
    /// How many events make a large case here: each request to an object store costs about ten milliseconds.
    many: u64,
}

impl Place {
    fn folder() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), tables: TablesAt::Folder, many: 1_000_000 }
    }

    /// Each case has a prefix of its own in one bucket.
    fn s3() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let server = s3_server();
        let url = format!("s3://{}/case-{}", server.bucket, NEXT.fetch_add(1, Ordering::Relaxed));
        let tables = TablesAt::s3(&url, server.variables());
        Self { folder: tempfile::tempdir().unwrap(), tables, many: 20_000 }
    }

    fn config(&self) -> LakeConfig {
        let mut rates = Rates::new(Currency::new("EUR").unwrap());
        rates.insert(Currency::new("USD").unwrap(), jiff::civil::date(2026, 1, 2), "1.25").unwrap();
        LakeConfig { tables: self.tables.clone(), ..LakeConfig::new(self.folder.path().to_owned(), rates) }
    }
}

macro_rules! on_both {
    ($($module:ident::$case:ident),* $(,)?) => {
        mod in_a_folder { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$module::$case(&super::Place::folder()).await;
            }
        )* }
        mod on_s3 { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$module::$case(&super::Place::s3()).await;
            }
        )* }
    };
}

on_both![
    lake_cases::events_come_back_through_sql,
    lake_cases::what_is_landed_is_there_after_reopening,
    lake_cases::an_event_told_twice_over_a_restart_is_kept_once,
    lake_cases::many_events_told_three_times_over_a_restart_are_kept_once,
    lake_cases::late_events_land_in_their_own_day,
    lake_cases::a_crash_at_any_point_loses_and_doubles_nothing,
    lake_cases::contacts_are_replaced_as_a_whole,
    lake_cases::the_past_is_read_by_version_and_by_time,
    landers::a_second_lander_leaves_the_newest_segment_and_deletes_nothing,
    landers::a_slower_server_survives_a_faster_lander,
    landers::a_slower_lander_survives_a_faster_server,
    landers::two_landers_at_once_lose_and_double_nothing,
    landers::landers_with_other_rates_never_write_over_each_other,
];

/// So many microseconds after the start of 2026.
fn at(microseconds: i64) -> Timestamp {
    Timestamp::from_microsecond(START + microseconds).unwrap()
}

fn event(id: &str, key: i64, time: Timestamp, body: Body) -> Event {
    let contact = ContactKey::from_i64(key).unwrap();
    let id = EventId::new(id).unwrap();
    Event { id, time, received_at: time, contact, time_doubt: None, context: Context::default(), body }
}

fn click(id: &str, key: i64, time: Timestamp) -> Event {
    event(
        id,
        key,
        time,
        Body::Click { url: Some("https://shop.example/".into()), machine: false, user_agent: None, position: None },
    )
}

fn order(id: &str, key: i64, time: Timestamp, currency: &str) -> Event {
    let amount = Money { minor: 1_250, currency: Currency::new(currency).unwrap() };
    event(id, key, time, Body::Order { order_id: OrderId::new(id).unwrap(), amount, refund_of: None })
}

/// A click, an order and a message.
fn three(prefix: &str) -> Vec<Event> {
    let time = at(26 * HOUR);
    let message = Body::Message { class: MessageClass::Marketing, cost: None };
    vec![
        click(&format!("{prefix}-click"), 1, time),
        order(&format!("{prefix}-order"), 2, time, "USD"),
        event(&format!("{prefix}-message"), 3, time, message),
    ]
}

/// A query's answer as CSV without its header.
async fn ask(lake: &Lake, query: &str) -> String {
    ask_with(lake, query, &SqlOptions::default()).await
}

async fn ask_with(lake: &Lake, query: &str, options: &SqlOptions) -> String {
    let answer = lake.sql(query, SqlFormat::Csv, options).await.unwrap();
    let parts: Vec<_> = answer.body.try_collect().await.unwrap();
    let text = String::from_utf8(parts.concat()).unwrap();
    text.split_once('\n').map_or(String::new(), |(_, rows)| rows.trim_end().to_owned())
}

/// How many events the lake has, and how many different ids.
async fn counts(lake: &Lake) -> (u64, u64) {
    let ids: Vec<String> = EventKind::ALL.iter().map(|kind| format!("SELECT event_id FROM {}", kind.table())).collect();
    let answer = ask(lake, &format!("SELECT count(*), count(DISTINCT event_id) FROM ({})", ids.join(" UNION ALL "))).await;
    let (rows, distinct) = answer.split_once(',').unwrap();
    (rows.parse().unwrap(), distinct.parse().unwrap())
}

/// How many events are in the tables, for a process that knows nothing else: a lake without log.
async fn landed(place: &Place) -> (u64, u64) {
    let other = tempfile::tempdir().unwrap();
    let mut config = place.config();
    config.root = other.path().to_owned();
    if place.tables == TablesAt::Folder {
        std::os::unix::fs::symlink(place.folder.path().join("tables"), other.path().join("tables")).unwrap();
    }
    counts(&Lake::open(config).await.unwrap()).await
}
