//! How questions are planned: what need not be read or computed is not, and the answers stay the same.

use super::*;

/// Three days: all in experiments, none, some.
fn events() -> Vec<Event> {
    let orders = (0..30).map(|n: i64| {
        let mut event = order(&format!("o{n:02}"), n % 7 + 1, at(n / 10 * 24 * HOUR + n % 10 * HOUR / 6), n);
        if n < 10 || n >= 20 && n % 2 == 0 {
            event.context.experiment_id = Some(vocabulary::ExperimentId::new(&format!("exp-{}", n % 2)).unwrap());
        }
        event
    });
    orders.collect()
}

async fn explain(lake: &Lake, query: &str) -> String {
    ask(lake, &format!("EXPLAIN {query}"), SqlFormat::Csv).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_all_wanted_are_not_filtered() {
    let roots = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let landed = Lake::open(config(roots[0].path())).await.unwrap();
    let waiting = Lake::open(config(roots[1].path())).await.unwrap();
    for lake in [&landed, &waiting] {
        lake.append(events()).await.unwrap();
    }
    landed.land().await.unwrap();
    let days = [at(0), at(24 * HOUR), at(24 * HOUR + HOUR / 2), at(48 * HOUR), at(99 * HOUR)];
    let mut conditions: Vec<String> =
        days.iter().flat_map(|day| ["<", "<=", ">", ">=", "=", "<>"].map(|op| format!("event_time {op} '{day}'"))).collect();
    conditions.extend(
        [
            "experiment_id IS NOT NULL",
            "experiment_id IS NULL",
            "experiment_id = 'exp-0'",
            "experiment_id <> 'exp-0'",
            "experiment_id >= 'exp-0'",
            "NOT (experiment_id = 'exp-1')",
            "experiment_id IS DISTINCT FROM 'exp-0'",
            "experiment_id IN ('exp-0', 'exp-1')",
            "event_date = '2026-01-02' OR experiment_id = 'exp-1'",
            "contact_key > 3 AND event_date > '2026-01-01'",
            "contact_key = 3",
            "contact_key = 99",
            "contact_key = 3 AND experiment_id IS NOT NULL",
            "contact_key IN (1, 4, 5, 6, 99) AND event_time < '2026-01-02'",
            "contact_key = 1 OR contact_key = 2",
            "amount_minor >= 0 AND experiment_id IS NOT NULL",
            "true",
        ]
        .map(str::to_owned),
    );
    for condition in conditions {
        for columns in ["event_id", "count(*)", "event_id, experiment_id"] {
            let query = format!("SELECT {columns} FROM orders WHERE {condition} ORDER BY 1");
            let of = |lake: Arc<Lake>| {
                let query = query.clone();
                async move { ask(&lake, &query, SqlFormat::Csv).await.unwrap() }
            };
            assert_eq!(of(landed.clone()).await, of(waiting.clone()).await, "{query}");
        }
    }
    let filters = async |query: &str| explain(&landed, query).await.matches(" predicate=").count();
    assert_eq!(filters("SELECT event_id FROM orders WHERE event_time >= '2026-01-01' AND event_date < '2027-01-01'").await, 0);
    assert_eq!(filters("SELECT event_id FROM orders WHERE experiment_id IS NOT NULL AND event_date = '2026-01-01'").await, 0);
    assert_eq!(filters("SELECT event_id FROM orders WHERE experiment_id IS NOT NULL AND event_date = '2026-01-03'").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_are_added_as_microseconds() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    lake.append(events()).await.unwrap();
    let plan = explain(&lake, "SELECT a.event_id FROM orders a JOIN orders b ON a.contact_key = b.contact_key AND a.event_time < b.event_time + INTERVAL '7 days 3 hours'").await;
    assert!(plan.contains("DurationMicrosecond") && !plan.contains("IntervalMonthDayNano"), "{plan}");
    let plan = explain(&lake, "SELECT event_time - INTERVAL '1 month' AS before FROM orders").await;
    assert!(plan.contains("IntervalMonthDayNano"), "{plan}");
    let one = "SELECT event_time + INTERVAL '1 day 2 hours' AS later, event_time - INTERVAL '1 day' AS sooner, event_time - INTERVAL '1 month' AS month \
               FROM orders WHERE event_id = 'o00'";
    let found = ask(&lake, one, SqlFormat::Csv).await.unwrap();
    assert_eq!(found, "later,sooner,month\n2026-01-02T02:00:00Z,2025-12-31T00:00:00Z,2025-12-01T00:00:00Z\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn distinct_contacts_of_groups_are_counted_in_one_step() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    lake.append(events()).await.unwrap();
    lake.land().await.unwrap();
    let by_day = "SELECT event_date, count(DISTINCT contact_key) AS n, count(DISTINCT nullif(contact_key, 3)) AS m FROM orders GROUP BY event_date ORDER BY 1";
    let found = ask(&lake, by_day, SqlFormat::Csv).await.unwrap();
    assert_eq!(found, "event_date,n,m\n2026-01-01,7,6\n2026-01-02,7,6\n2026-01-03,7,6\n");
    let one = "SELECT event_date, count(DISTINCT contact_key) AS n FROM orders GROUP BY event_date";
    assert!(explain(&lake, one).await.contains("count(DISTINCT orders.contact_key)"), "{}", explain(&lake, one).await);
    assert!(explain(&lake, one).await.contains("count_distinct_numbers"), "{}", explain(&lake, one).await);
    let texts = "SELECT event_date, count(DISTINCT order_id) AS n FROM orders GROUP BY event_date";
    assert!(explain(&lake, texts).await.contains("alias1"), "{}", explain(&lake, texts).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_grouped_by_contact_is_dealt_out_once() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    lake.append(events()).await.unwrap();
    lake.land().await.unwrap();
    let query = "WITH units AS (SELECT experiment_id, contact_key, min(event_time) AS since FROM orders GROUP BY experiment_id, contact_key)
        SELECT units.experiment_id, units.contact_key, sum(amount_minor) AS paid, count(*) AS n FROM units
        LEFT JOIN orders ON orders.contact_key = units.contact_key AND event_time >= since
        GROUP BY units.experiment_id, units.contact_key ORDER BY 1, 2";
    let plan = explain(&lake, query).await;
    // Units once, orders once: not again for the join, nor for the groups behind it.
    assert_eq!((plan.matches("Hash([contact_key").count(), plan.matches("Hash([").count()), (2, 2), "{plan}");
    // The same by hand; who is in no experiment comes last.
    let events = events();
    let unit = |event: &Event| {
        let experiment = event.context.experiment_id.as_ref().map(|id| id.as_str().to_owned());
        (experiment.is_none(), experiment.unwrap_or_default(), event.contact.as_i64())
    };
    let mut since = std::collections::BTreeMap::new();
    for event in &events {
        let first = since.entry(unit(event)).or_insert(event.time);
        *first = event.time.min(*first);
    }
    let mut expect = "experiment_id,contact_key,paid,n\n".to_owned();
    for ((_, experiment, contact), since) in since {
        let theirs = events.iter().filter(|event| event.contact.as_i64() == contact && event.time >= since);
        let amounts: Vec<i64> = theirs
            .map(|event| match &event.body {
                Body::Order { amount, .. } => amount.minor,
                _ => unreachable!("all are orders"),
            })
            .collect();
        expect += &format!("{experiment},{contact},{},{}\n", amounts.iter().sum::<i64>(), amounts.len());
    }
    assert_eq!(ask(&lake, query, SqlFormat::Csv).await.unwrap(), expect);
}

/// Units that are joined to many rows and grouped by more are not told by their key any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_none_behind_a_join() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    let rows =
        "WITH d (g, k) AS (VALUES (1, 1), (1, 1), (1, 2), (2, 1)), units AS (SELECT g, k, count(*) AS c FROM d GROUP BY g, k),
        o (k, v) AS (VALUES (1, 5), (1, 3), (1, 9), (2, 4), (2, 1))";
    let joined = "SELECT units.g, units.k, o.v, count(*) AS n FROM units JOIN o ON o.k = units.k GROUP BY units.g, units.k, o.v";
    let sorted = ask(&lake, &format!("{rows} {joined} ORDER BY 1, 2, 3"), SqlFormat::Csv).await.unwrap();
    assert_eq!(sorted, "g,k,v,n\n1,1,3,1\n1,1,5,1\n1,1,9,1\n1,2,1,1\n1,2,4,1\n2,1,3,1\n2,1,5,1\n2,1,9,1\n");
    for query in [joined.to_owned(), joined.replace(" JOIN", " LEFT JOIN")] {
        let again = format!(
            "{rows} SELECT max(n) AS most, count(*) AS n FROM (SELECT g, k, v, count(*) AS n FROM ({query}) GROUP BY g, k, v)"
        );
        assert_eq!(ask(&lake, &again, SqlFormat::Csv).await.unwrap(), "most,n\n1,8\n", "{again}");
    }
}
