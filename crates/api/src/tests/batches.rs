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
        order("time", &json!({"event_time": "2026-03-02 noon"})),
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
        (5, json!("event_time"), "`2026-03-02 noon` is no time"),
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

/// Strangers and those who are known take two ways into the lake; the answer speaks of lines all the same.
#[tokio::test]
async fn lines_keep_their_numbers_when_contacts_are_new() {
    let server = Server::start().await;
    let of = |id: &str, contact: &str| order(id, &json!({ "contact": contact }));
    server.collect([of("a", "known"), of("b", "known")].join("\n")).await.expect(StatusCode::OK);
    let lines = [
        of("c", "new-1"),
        of("a", "known"),
        "{".to_owned(),
        of("d", "new-2"),
        of("c", "new-1"),
        of("e", "known"),
        of("b", "new-2"),
    ];
    let answer = server.collect(lines.join("\n")).await.expect(StatusCode::OK).json();
    assert_eq!((&answer["accepted"], &answer["duplicate"], &answer["rejected"]), (&json!(3), &json!(3), &json!(1)), "{answer}");
    let expect = json!([{"line": 2, "event_id": "a"}, {"line": 5, "event_id": "c"}, {"line": 7, "event_id": "b"}]);
    assert_eq!(answer["duplicates"], expect);
    assert_eq!(answer["errors"][0]["line"], 3);
    let rows = server.rows("SELECT event_id, contact_key FROM orders ORDER BY event_id").await;
    let keys = server.control.resolve(&["known", "new-1", "new-2"].map(str::to_owned)).await.unwrap();
    let expect = [("a", keys[0]), ("b", keys[0]), ("c", keys[1]), ("d", keys[2]), ("e", keys[0])];
    for (row, (id, key)) in rows.as_array().unwrap().iter().zip(expect) {
        assert_eq!((&row["event_id"], &row["contact_key"]), (&json!(id), &json!(key)), "{rows}");
    }
}

/// A wrong clock is no reason to lose an event.
#[tokio::test]
async fn events_of_wrong_clocks_are_kept() {
    let server = Server::start().await;
    let lines = [
        order("future", &json!({"event_time": "2026-03-02T12:00:00Z"})),
        order("skewed", &json!({"event_time": "2026-03-01T13:00:00Z", "sent_at": "2026-03-01T14:00:00Z"})),
    ];
    let answer = server.collect(lines.join("\n")).await.expect(StatusCode::OK).json();
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(2), &json!(0)), "{answer}");
    let rows = server.rows("SELECT event_id, CAST(event_time AS TEXT) AS at FROM orders ORDER BY event_id").await;
    assert!(rows[0]["at"].as_str().unwrap().starts_with("2026-03-02T12:00:00"), "{rows}");
    assert!(rows[1]["at"].as_str().unwrap().starts_with("2026-03-01T11:00:00"), "{rows}");
}

/// Bodies that are announced are charged before they come; what does not fit is told to come again.
#[tokio::test]
async fn too_much_at_once_is_told_to_come_again() {
    let server = Server::start().await;
    let length = BODY_BYTES_MAX.to_string();
    let headers = [("content-type", "application/x-ndjson"), ("content-length", length.as_str())];
    let (charged, mut charges) = tokio::sync::mpsc::unbounded_channel();
    // A body is charged before it is read.
    let endless = || {
        let charged = charged.clone();
        let first = async move {
            charged.send(()).unwrap();
            std::future::pending::<Result<Bytes, std::io::Error>>().await
        };
        Body::from_stream(futures::stream::once(first))
    };
    let count = BYTES_IN_FLIGHT_MAX / BODY_BYTES_MAX;
    let mut waiting: Vec<_> =
        (0..count).map(|_| Box::pin(server.call(Scope::Collect, Method::POST, "/v1/events", &headers, endless()))).collect();
    // They go on while another one is made: what stands still may hold the connection to the database that the other waits for.
    let refused = async {
        for _ in 0..count {
            charges.recv().await.unwrap();
        }
        server.collect(order("a", &json!({}))).await
    };
    let refused = tokio::select! {
        refused = refused => refused.expect(StatusCode::TOO_MANY_REQUESTS),
        _ = futures::future::select_all(&mut waiting) => panic!("a body without end was answered"),
    };
    assert_eq!((refused.json()["error"]["kind"].as_str(), refused.header(header::RETRY_AFTER)), (Some("busy"), "1"));
    drop(waiting);
    server.collect(order("b", &json!({}))).await.expect(StatusCode::OK);
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
    let brotli = [("content-encoding", "br")];
    let refused = server.call(Scope::Collect, Method::POST, "/v1/events", &brotli, "x").await;
    assert_eq!(refused.expect(StatusCode::UNSUPPORTED_MEDIA_TYPE).json()["error"]["kind"], "unsupported_encoding");
    let gzip = [("content-encoding", "gzip")];
    let torn = server.call(Scope::Collect, Method::POST, "/v1/events", &gzip, "x").await;
    assert_eq!(torn.expect(StatusCode::BAD_REQUEST).json()["error"]["kind"], "body_broke_off");
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
