//! Who waits for whom, what is stopped, what is noted, and questions about the past.

use std::collections::BTreeMap;
use std::time::Duration;

use super::observe::experiment;
use super::*;
use crate::{AsOf, Group, SqlAnswer};

/// Gives rows for longer than any test runs, and keeps its place until its answer is dropped.
const ENDLESS: &str = "SELECT value FROM generate_series(1, 1000000000000)";
/// As many as may run.
const ANALYSTS_AT_ONCE: usize = 4;

/// Every query is slow.
async fn open(root: &Path) -> Arc<Lake> {
    Lake::open(LakeConfig { slow_query: Duration::ZERO, ..config(root) }).await.unwrap()
}

async fn ask_for_long(lake: &Lake, group: Group) -> SqlAnswer {
    let limits = SqlLimits { rows_max: usize::MAX, seconds_max: 600, ..SqlLimits::default() };
    let options = SqlOptions { limits, group, ..SqlOptions::default() };
    lake.sql(ENDLESS, SqlFormat::Csv, &options).await.unwrap()
}

fn impatient() -> SqlLimits {
    SqlLimits { wait_seconds_max: 0, ..SqlLimits::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn analysts_delay_neither_readouts_nor_landing() {
    let root = tempfile::tempdir().unwrap();
    let lake = open(root.path()).await;
    let mut answers = Vec::new();
    for _ in 0..ANALYSTS_AT_ONCE {
        answers.push(ask_for_long(&lake, Group::Analysts).await);
    }
    let error = ask_within(&lake, "SELECT 1", SqlFormat::Csv, impatient()).await.unwrap_err();
    assert!(matches!(&error, LakeError::Crowded { why, .. } if why.contains("one of 4 places")), "{error:?}");
    // Without places of their own these would wait until the analysts are done.
    lake.append(vec![order("o1", 1, at(0), 100)]).await.unwrap();
    assert_eq!(lake.land().await.unwrap().events, 1);
    lake.observe(&experiment(), at(HOUR)).await.unwrap();
    lake.audience(Some("SELECT contact_key FROM orders"), Group::Internal).await.unwrap();
    // Dropping one answer stops its query and makes room.
    answers.pop();
    assert_eq!(ask(&lake, "SELECT count(*) AS n FROM orders", SqlFormat::Csv).await.unwrap(), "n\n1\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_is_bounded() {
    let root = tempfile::tempdir().unwrap();
    let lake = open(root.path()).await;
    let mut answers = Vec::new();
    for _ in 0..ANALYSTS_AT_ONCE {
        answers.push(ask_for_long(&lake, Group::Analysts).await);
    }
    let mut waiting: Vec<_> = (0..32).map(|_| Box::pin(ask(&lake, "SELECT 1 AS one", SqlFormat::Csv))).collect();
    for query in &mut waiting {
        assert!(futures::poll!(query).is_pending());
    }
    let error = ask(&lake, "SELECT 1", SqlFormat::Csv).await.unwrap_err();
    assert!(matches!(&error, LakeError::Crowded { why, .. } if why.contains("32 wait")), "{error:?}");
    drop(answers);
    for query in waiting {
        assert_eq!(query.await.unwrap(), "one\n1\n");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_queries_are_noted_with_how_they_ended() {
    let root = tempfile::tempdir().unwrap();
    let lake = open(root.path()).await;
    let options = SqlOptions { asked_at: Some(at(HOUR)), ..SqlOptions::default() };
    let answer = lake.sql("SELECT 1 AS done", SqlFormat::Csv, &options).await.unwrap();
    answer.body.try_collect::<Vec<_>>().await.unwrap();
    ask(&lake, "SELECT failed", SqlFormat::Csv).await.unwrap_err();
    drop(ask_for_long(&lake, Group::Internal).await);
    let limits = SqlLimits { seconds_max: 0, ..SqlLimits::default() };
    ask_within(&lake, ENDLESS, SqlFormat::Csv, limits).await.unwrap_err();
    lake.observe(&experiment(), at(0)).await.unwrap();
    // Whether a query that is stopped at once has given a row before is not told.
    let noted = "SELECT started_at, resource_group, outcome, rows > 0 AND outcome <> 'too long' AS rows, seconds >= 0 AS seconds, query \
                 FROM slow_queries \
                 WHERE query <> 'ids of past events'";
    let expect = "started_at,resource_group,outcome,rows,seconds,query\n\
                  2026-01-01T01:00:00Z,analysts,done,true,true,SELECT 1 AS done\n\
                  ,analysts,failed,false,true,SELECT failed\n\
                  ,internal,stopped,true,true,\"SELECT value FROM generate_series(1, 1000000000000)\"\n\
                  ,analysts,too long,false,true,\"SELECT value FROM generate_series(1, 1000000000000)\"\n\
                  ,readouts,done,false,true,recipients of it's a test\n";
    assert_eq!(ask(&lake, noted, SqlFormat::Csv).await.unwrap(), expect);
}

/// How many orders there are, and their sum, at a moment.
async fn orders(lake: &Lake, as_of: AsOf) -> Result<String, LakeError> {
    let options = SqlOptions { as_of, ..SqlOptions::default() };
    let query = "SELECT count(*) AS n, sum(amount_minor) AS minor FROM orders";
    let parts: Vec<bytes::Bytes> = lake.sql(query, SqlFormat::Csv, &options).await?.body.try_collect().await?;
    Ok(String::from_utf8(parts.concat()).unwrap().lines().nth(1).unwrap().to_owned())
}

fn versions(version: i64) -> AsOf {
    AsOf::Versions(BTreeMap::from([("orders".to_owned(), version)]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_past_can_be_asked() {
    let root = tempfile::tempdir().unwrap();
    let lake = open(root.path()).await;
    // Commits are dated by what they bring, and never before the tables were made: so these lie far ahead.
    let day = |day: i64| "2126-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + jiff::Span::new().hours(24 * day);
    for (number, minor) in [(1, 100), (2, 20), (3, 3)] {
        lake.append(vec![order(&format!("o{number}"), number, day(number), minor)]).await.unwrap();
        lake.land().await.unwrap();
    }
    lake.append(vec![order("fresh", 9, day(4), 4_000)]).await.unwrap();
    let check = async |as_of: AsOf, expect: &str| assert_eq!(orders(&lake, as_of.clone()).await.unwrap(), expect, "{as_of:?}");
    check(AsOf::Now, "4,4123").await;
    check(versions(0), "0,").await;
    check(versions(1), "1,100").await;
    check(versions(2), "2,120").await;
    // What is not landed has no version.
    check(versions(3), "3,123").await;
    check(AsOf::Time(day(1)), "1,100").await;
    check(AsOf::Time(day(3) - jiff::Span::new().microseconds(1)), "2,120").await;
    check(AsOf::Time(day(50)), "3,123").await;
    lake.land().await.unwrap();
    check(versions(2), "2,120").await;
    check(AsOf::Time(day(2)), "2,120").await;
    check(AsOf::Now, "4,4123").await;

    let refused = async |as_of: AsOf, expect: &str| {
        let error = orders(&lake, as_of).await.unwrap_err();
        assert!(matches!(&error, LakeError::NoVersion(why) if why.contains(expect)), "{error:?}");
    };
    refused(versions(5), "has no version 5; its newest is 4").await;
    refused(versions(-1), "has no version -1").await;
    refused(AsOf::Versions(BTreeMap::from([("order".to_owned(), 1)])), "no table `order`; the tables are activities").await;
    // Before the first landing there was nothing, and before 1970 there was no lake.
    check(AsOf::Time(at(0)), "0,").await;
    refused(AsOf::Time("1969-12-31T00:00:00Z".parse().unwrap()), "no version as old as 1969-12-31T00:00:00Z").await;
}

/// A view asked about the past reads the past of its tables.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_have_a_past_too() {
    let root = tempfile::tempdir().unwrap();
    let lake = open(root.path()).await;
    for number in 1..=2 {
        let body = Body::Open { machine: false, user_agent: None };
        lake.append(vec![event(&format!("e{number}"), number, at(0), body)]).await.unwrap();
        lake.land().await.unwrap();
    }
    let as_of = AsOf::Versions(BTreeMap::from([("opens".to_owned(), 1)]));
    let options = SqlOptions { as_of, ..SqlOptions::default() };
    let answer = lake.sql("SELECT event_id FROM human_opens", SqlFormat::Csv, &options).await.unwrap();
    assert_eq!(answer.versions, BTreeMap::from([("opens".to_owned(), 1)]));
    assert_eq!(answer.body.try_collect::<Vec<_>>().await.unwrap().concat(), b"event_id\ne1\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_explain_themselves() {
    let root = tempfile::tempdir().unwrap();
    let lake = open(root.path()).await;
    let plan = async |query: &str| ask(&lake, query, SqlFormat::Csv).await.unwrap();
    // The join of orders with assignments is not made for those who do not ask for it.
    let ordered = plan("EXPLAIN SELECT sum(events) FROM funnel").await;
    assert!(ordered.contains("refund_of") && ordered.contains("planned_at"), "{ordered}");
    let opened = plan("EXPLAIN SELECT sum(events) FROM funnel WHERE step = 'opened'").await;
    assert!(opened.contains("machine") && !opened.contains("refund_of") && !opened.contains("planned_at"), "{opened}");
    let analyzed = plan("EXPLAIN ANALYZE SELECT * FROM human_opens").await;
    assert!(analyzed.contains("output_rows=0"), "{analyzed}");
}
