//! What SQL answers and what it refuses.

use super::*;
use arrow::ipc::reader::StreamReader;

async fn lake_with_orders(root: &Path, count: i64) -> Arc<Lake> {
    let lake = Lake::open(config(root)).await.unwrap();
    let orders = (0..count).map(|n| order(&format!("o{n}"), n + 1, at(n * HOUR), n)).collect();
    lake.append(orders).await.unwrap();
    lake.land().await.unwrap();
    lake
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_queries_are_answered() {
    let root = tempfile::tempdir().unwrap();
    let lake = lake_with_orders(root.path(), 3).await;
    let out = root.path().join("out.csv");
    let out = out.display();
    let outside = root.path().join("outside.csv");
    std::fs::write(&outside, "a\n1\n").unwrap();
    let outside = outside.display();
    for statement in [
        format!("COPY orders TO '{out}'"),
        format!("COPY (SELECT 1) TO '{out}' STORED AS CSV"),
        format!("EXPLAIN ANALYZE COPY orders TO '{out}'"),
        format!("EXPLAIN COPY orders TO '{out}'"),
        format!("CREATE EXTERNAL TABLE mine STORED AS CSV LOCATION '{outside}'"),
        "CREATE TABLE mine AS SELECT 1".to_owned(),
        "CREATE VIEW mine AS SELECT * FROM orders".to_owned(),
        "CREATE SCHEMA mine".to_owned(),
        "DROP TABLE orders".to_owned(),
        "INSERT INTO orders SELECT * FROM orders".to_owned(),
        "EXPLAIN ANALYZE INSERT INTO orders SELECT * FROM orders".to_owned(),
        "DELETE FROM orders".to_owned(),
        "UPDATE orders SET amount_minor = 0".to_owned(),
        "TRUNCATE TABLE orders".to_owned(),
        "SET datafusion.execution.batch_size = 1".to_owned(),
        "RESET datafusion.execution.batch_size".to_owned(),
        "BEGIN".to_owned(),
        "COMMIT".to_owned(),
        "PREPARE p AS SELECT 1".to_owned(),
        "EXECUTE p".to_owned(),
        "GRANT SELECT ON orders TO me".to_owned(),
    ] {
        let error = ask(&lake, &statement, SqlFormat::Csv).await.unwrap_err();
        assert!(matches!(&error, LakeError::Refused(text) if text.contains("use SELECT")), "{statement}: {error:?}");
    }
    for query in [
        format!("SELECT * FROM '{outside}'"),
        format!("SELECT * FROM \"{outside}\""),
        format!("SELECT * FROM read_csv('{outside}')"),
        "SELECT 1; DROP TABLE orders".to_owned(),
        "SELECT 1; SELECT 2".to_owned(),
        "SELEC 1".to_owned(),
        String::new(),
        "SELECT 1 / 0 FROM orders".to_owned(),
    ] {
        let error = ask(&lake, &query, SqlFormat::Csv).await.unwrap_err();
        assert!(error.is_callers(), "{query}: {error:?}");
    }
    assert!(!root.path().join("out.csv").exists());
    assert_eq!(counts(&lake).await[5], (3, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_of_many_kinds_are_answered() {
    let root = tempfile::tempdir().unwrap();
    let lake = lake_with_orders(root.path(), 3).await;
    for query in [
        "SELECT * FROM orders",
        "WITH a AS (SELECT 1 AS x) SELECT * FROM a",
        "VALUES (1, 'a')",
        "EXPLAIN SELECT count(*) FROM orders",
        "EXPLAIN ANALYZE SELECT count(*) FROM orders",
        "DESCRIBE orders",
        "SHOW TABLES",
        "SELECT * FROM information_schema.columns",
        "SELECT attributes['segment'] FROM contacts",
        "SELECT date_trunc('day', event_time) AS day, sum(amount_minor) FROM orders GROUP BY 1 ORDER BY 1",
        "SELECT * FROM orders JOIN contacts USING (contact_key) WHERE event_date = DATE '2026-01-01'",
    ] {
        for format in [SqlFormat::Csv, SqlFormat::Json, SqlFormat::Table] {
            ask(&lake, query, format).await.unwrap_or_else(|error| panic!("{query} as {format:?}: {error:?}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_are_answered_with_a_hint() {
    let root = tempfile::tempdir().unwrap();
    let lake = lake_with_orders(root.path(), 1).await;
    let check = async |query: &str, expect: &str, expect_hint: &str| {
        let LakeError::Query { message, hint } = ask(&lake, query, SqlFormat::Csv).await.unwrap_err() else { panic!("{query}") };
        assert!(message.contains(expect), "{query}: {message}");
        assert!(hint.as_deref().unwrap_or_default().contains(expect_hint), "{query}: {hint:?}");
    };
    check("SELECT amount_mino FROM orders", "No field named amount_mino", "amount_minor").await;
    check("SELECT * FROM order_lines", "table 'order_lines' not found", "assignments, clicks, contacts").await;
    check("SELECT summ(amount_minor) FROM orders", "summ", "sum").await;
    check("SELECT 1 FROM (", "sql parser error", "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_come_in_four_forms() {
    let root = tempfile::tempdir().unwrap();
    let lake = lake_with_orders(root.path(), 2).await;
    let query = "SELECT contact_key, variant, amount_minor FROM orders ORDER BY contact_key";
    assert_eq!(ask(&lake, query, SqlFormat::Csv).await.unwrap(), "contact_key,variant,amount_minor\n1,,0\n2,,1\n");
    let json = r#"[{"contact_key":"1","variant":null,"amount_minor":0},{"contact_key":"2","variant":null,"amount_minor":1}]"#;
    assert_eq!(ask(&lake, query, SqlFormat::Json).await.unwrap(), json);
    let table = ask(&lake, query, SqlFormat::Table).await.unwrap();
    assert!(table.contains("| 2           |         | 1            |"), "{table}");
    let none = "SELECT contact_key FROM orders WHERE false";
    assert_eq!(ask(&lake, none, SqlFormat::Csv).await.unwrap(), "contact_key\n");
    assert_eq!(ask(&lake, none, SqlFormat::Json).await.unwrap(), "[]");
    let arrow = lake.sql(query, SqlFormat::Arrow, &SqlOptions::default()).await.unwrap();
    assert_eq!(arrow.content_type, "application/vnd.apache.arrow.stream");
    let bytes: Vec<bytes::Bytes> = arrow.body.try_collect().await.unwrap();
    let batches: Vec<_> = StreamReader::try_new(&*bytes.concat(), None).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_stop_a_query() {
    let root = tempfile::tempdir().unwrap();
    let lake = lake_with_orders(root.path(), 20).await;
    let check = async |query: &str, limits: SqlLimits, expect: &str| {
        let error = ask_within(&lake, query, SqlFormat::Csv, limits).await.unwrap_err();
        let limit = matches!(error, LakeError::Limit(_) | LakeError::TooLong { .. });
        assert!(limit && error.to_string().contains(expect), "{query}: {error:?}");
    };
    let limits = SqlLimits::default();
    check("SELECT * FROM orders", SqlLimits { rows_max: 19, ..limits }, "more than 19 rows").await;
    ask_within(&lake, "SELECT * FROM orders", SqlFormat::Csv, SqlLimits { rows_max: 20, ..limits }).await.unwrap();
    let pairs = "FROM generate_series(1, 10000000) a, generate_series(1, 10000000) b";
    for rest in ["", "WHERE a.value + b.value = 3", "WHERE a.value % 2 = b.value % 2 AND a.value + b.value < 3"] {
        // The next query waits for a place, so that these only end if the one before was really stopped.
        for _ in 0..3 {
            check(&format!("SELECT count(*) {pairs} {rest}"), SqlLimits { seconds_max: 1, ..limits }, "1 seconds").await;
        }
    }
    let large =
        "SELECT count(DISTINCT value) FROM (SELECT value, md5(CAST(value AS TEXT)) AS m FROM generate_series(1, 3000000))";
    check(large, SqlLimits { memory_bytes_max: 1 << 20, ..limits }, "memory").await;
    let table = ask_within(&lake, "SELECT * FROM orders", SqlFormat::Table, SqlLimits { rows_max: 5, ..limits }).await.unwrap();
    assert!(table.contains("The first 5 rows; there are more"), "{table}");
    assert_eq!(table.lines().count(), 5 + 4 + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_answers_spill_to_disk() {
    let root = tempfile::tempdir().unwrap();
    let lake = lake_with_orders(root.path(), 1).await;
    let limits = SqlLimits { memory_bytes_max: 24 << 20, ..SqlLimits::default() };
    let rows = "SELECT value, md5(CAST(value AS TEXT)) AS m FROM generate_series(1, 800000)";
    let answer = ask_within(&lake, &format!("{rows} ORDER BY m"), SqlFormat::Csv, limits).await.unwrap();
    assert_eq!(answer.lines().count(), 800_001);
    let groups = format!("SELECT count(*), sum(n) FROM (SELECT m, count(*) AS n FROM ({rows}) GROUP BY m)");
    assert_eq!(ask_within(&lake, &groups, SqlFormat::Json, limits).await.unwrap(), r#"[{"count(*)":800000,"sum(n)":800000}]"#);
}
