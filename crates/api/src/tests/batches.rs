//! Batches with good and bad lines.

use super::*;

fn order(id: &str, changes: &Value) -> String {
    let mut line = json!({"event_id": id, "kind": "order", "event_time": "2026-03-01T09:30:00Z", "contact": "c1",
        "order_id": id, "amount": "12.50", "currency": "EUR"});
    for (name, value) in changes.as_object().unwrap() {
        line[name] = value.clone();
    }
    line.to_string()
}

/// One batch with every kind of damage: each bad line is named with its field and reason, and the good ones land.
#[tokio::test]
async fn each_bad_line_is_named_and_the_good_ones_land() {
    let server = Server::start().await;
    let lines = [
        order("good-1", &json!({})),
        r#"{"event_id": "broken", "kind": "#.to_owned(),
        order("unknown", &json!({"curency": "EUR"})),
        order("type", &json!({"amount": true})),
        order("future", &json!({"event_time": "2026-03-02T12:00:00Z"})),
        order("negative", &json!({"amount": -5})),
        order("currency", &json!({"currency": "EURO"})),
        order("long", &json!({"order_id": "x".repeat(2 * 1024 * 1024)})),
        order("good-1", &json!({"amount": "99.00"})),
        order("good-2", &json!({"contact": "c2", "amount": 0.29})),
    ];
    let answer = server.collect(lines.join("\n")).await.expect(StatusCode::OK).json();
    assert_eq!((&answer["accepted"], &answer["duplicate"], &answer["rejected"]), (&json!(2), &json!(1), &json!(7)), "{answer}");
    let expect = [
        (2, json!(null), "broken JSON at column"),
        (3, json!("curency"), "is not a known field; did you mean `currency`?"),
        (4, json!("amount"), "must be a decimal number, not the truth value true"),
        (5, json!("event_time"), "lies in the future"),
        (6, json!("amount"), "-5 is negative"),
        (7, json!("currency"), "`EURO` is no ISO 4217 currency code"),
        (8, json!(null), "bytes long; the limit is 1048576 bytes"),
    ];
    let errors = answer["errors"].as_array().unwrap();
    assert_eq!(errors.len(), expect.len());
    for (error, (line, field, reason)) in errors.iter().zip(expect) {
        assert_eq!((&error["line"], &error["field"]), (&json!(line), &field), "{error}");
        assert!(error["reason"].as_str().unwrap().contains(reason), "{error}");
    }
    assert_eq!(answer["duplicates"], json!([{"line": 9, "event_id": "good-1"}]));
    let rows = server.rows("SELECT event_id, order_id FROM orders ORDER BY event_id").await;
    assert_eq!(rows, json!([{"event_id": "good-1", "order_id": "good-1"}, {"event_id": "good-2", "order_id": "good-2"}]));
}

#[tokio::test]
async fn the_same_batch_twice_is_harmless() {
    let server = Server::start().await;
    let batch = [order("a", &json!({})), order("b", &json!({}))].join("\n");
    let first = server.collect(batch.clone()).await.expect(StatusCode::OK).json();
    assert_eq!(first["accepted"], 2);
    let second = server.collect(batch).await.expect(StatusCode::OK).json();
    assert_eq!((&second["accepted"], &second["duplicate"]), (&json!(0), &json!(2)));
    assert_eq!(server.rows("SELECT count(*) AS n FROM orders").await, json!([{"n": 2}]));
}

#[tokio::test]
async fn arrays_and_single_objects_are_read_too() {
    let server = Server::start().await;
    let json_type = [("content-type", "application/json")];
    let array = format!("[{}, {{broken}}, {}]", order("a", &json!({})), order("b", &json!({})));
    let answer = server.call(Scope::Collect, Method::POST, "/v1/events", &json_type, array).await.expect(StatusCode::OK).json();
    assert_eq!((&answer["accepted"], &answer["errors"][0]["line"]), (&json!(2), &json!(2)), "{answer}");
    let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&order("c", &json!({}))).unwrap()).unwrap();
    let answer = server.call(Scope::Collect, Method::POST, "/v1/events", &json_type, pretty).await.expect(StatusCode::OK).json();
    assert_eq!(answer["accepted"], 1, "{answer}");
}

#[tokio::test]
async fn contacts_are_found_by_own_id_and_by_key() {
    let server = Server::start().await;
    server.collect(order("a", &json!({}))).await.expect(StatusCode::OK);
    let key = server.control.resolve(&["c1".to_owned()]).await.unwrap()[0];
    let by_key = order("b", &json!({"contact": null, "contact_key": key.to_string()}));
    server.collect(by_key).await.expect(StatusCode::OK);
    assert_eq!(
        server.rows("SELECT count(DISTINCT contact_key) AS n, count(*) AS m FROM orders").await,
        json!([{"n": 1, "m": 2}])
    );
}

#[tokio::test]
async fn limits_are_told() {
    let server = Server::start().await;
    let check = |body: Vec<u8>, status: StatusCode, kind: &'static str| {
        let server = &server;
        async move {
            let answer = server.collect(body).await.expect(status).json();
            assert_eq!(answer["error"]["kind"], kind, "{answer}");
            assert!(!answer["error"]["hint"].as_str().unwrap().is_empty());
        }
    };
    check(vec![b' '; BODY_BYTES_MAX + 1], StatusCode::PAYLOAD_TOO_LARGE, "body_too_large").await;
    check("{}\n".repeat(BATCH_LINES_MAX + 1).into_bytes(), StatusCode::UNPROCESSABLE_ENTITY, "batch_too_long").await;
    check(Vec::new(), StatusCode::UNPROCESSABLE_ENTITY, "empty_batch").await;
    let nothing_kept = server.collect("{}\n{}").await.expect(StatusCode::UNPROCESSABLE_ENTITY).json();
    assert_eq!((&nothing_kept["accepted"], &nothing_kept["rejected"]), (&json!(0), &json!(2)));
    let gzip = [("content-encoding", "gzip")];
    server.call(Scope::Collect, Method::POST, "/v1/events", &gzip, "x").await.expect(StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn contacts_are_stored_line_by_line() {
    let server = Server::start().await;
    let lines = [
        json!({"key": "a", "email": "kim@example.test", "country": "DE", "language": "de", "time_zone": "Europe/Berlin", "attributes": {"size": 7}})
            .to_string(),
        json!({"key": "b", "country": "Germany"}).to_string(),
        json!({"key": "c", "emial": "x@example.test"}).to_string(),
        "{".to_owned(),
    ];
    let call = || {
        server.call(Scope::Manage, Method::POST, "/v1/contacts", &[("content-type", "application/x-ndjson")], lines.join("\n"))
    };
    let answer = call().await.expect(StatusCode::OK).json();
    assert_eq!((&answer["created"], &answer["rejected"]), (&json!(1), &json!(3)), "{answer}");
    let fields: Vec<&Value> = answer["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, [&json!("country"), &json!("emial"), &json!(null)]);
    assert_eq!(call().await.expect(StatusCode::OK).json()["unchanged"], 1);
}
