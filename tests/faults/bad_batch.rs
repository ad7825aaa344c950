//! A batch full of mistakes: each gets its own clear error, and the good lines land.

use serde_json::{Value, json};

use crate::support::{landed, serve, sql_number};

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_gets_its_own_error_and_good_lines_land() {
    let folder = tempfile::tempdir().unwrap();
    let (_process, client) = serve(&folder.path().join("data"), None).await;
    let order = |id: &str, with: Value| {
        let mut line = json!({ "event_id": id, "kind": "order", "event_time": "2026-01-05T10:00:00Z", "contact": "c1", "order_id": id, "amount": 12.5, "currency": "USD" });
        line.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        line.to_string()
    };
    let lines = [
        order("good-1", json!({})),
        r#"{"event_id": "broken", "kind": "#.to_owned(),
        order("unknown-field", json!({ "amonut": 3 })),
        order("wrong-type", json!({ "order_id": 17 })),
        order("no-time", json!({ "event_time": "2026-01-05T25:00:00Z" })),
        order("negative", json!({ "amount": -1 })),
        order("currency", json!({ "currency": "EURO" })),
        order("long", json!({ "order_id": "x".repeat(2_000_000) })),
        order("good-1", json!({})),
        order("good-2", json!({ "amount": "0.99" })),
        order("marked", json!({ "event_time": "2099-01-01T00:00:00Z" })),
    ];
    let answer = client.lines("/v1/events", lines.join("\n").into_bytes()).await.unwrap();
    assert_eq!(
        (answer["accepted"].as_u64(), answer["duplicate"].as_u64(), answer["rejected"].as_u64()),
        (Some(3), Some(1), Some(7)),
        "{answer}"
    );

    let expected = [
        (2, "", "column"),
        (3, "amonut", "amount"),
        (4, "order_id", "text"),
        (5, "event_time", "is no time"),
        (6, "amount", "negative"),
        (7, "currency", "ISO 4217"),
        (8, "", "the limit is 1048576 bytes"),
    ];
    let errors = answer["errors"].as_array().unwrap();
    for (error, (line, field, word)) in errors.iter().zip(expected) {
        assert_eq!(error["line"], line, "{error}");
        let reason = error["reason"].as_str().unwrap();
        assert!(field.is_empty() || error["field"] == field, "{error}");
        assert!(reason.contains(word), "the reason should speak of `{word}`: {error}");
    }
    assert_eq!(errors.len(), expected.len());
    assert_eq!(answer["duplicates"][0]["line"], 9, "{answer}");
    landed(&client).await;
    assert_eq!(sql_number(&client, "select count(*) from orders").await, 3);
    // An event of a wrong clock is kept as it was told.
    let kept = "select count(*) from orders where event_id = 'marked' and event_time = '2099-01-01T00:00:00Z'";
    assert_eq!(sql_number(&client, kept).await, 1);
}
