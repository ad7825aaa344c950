//! Events in the formats of others: envelopes, Segment's calls, Arrow streams, packed bodies.

use super::*;

/// The event of that id in our own form.
fn open(id: &str) -> Value {
    json!({"event_id": id, "kind": "open", "event_time": "2026-03-01T09:30:00Z", "contact": "c1"})
}

impl Server {
    async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        self.call(Scope::Collect, Method::POST, path, headers, body).await
    }
}

#[tokio::test]
async fn cloud_events_come_in() {
    let server = Server::start().await;
    let event = |id: &str, kind: &str| {
        json!({"specversion": "1.0", "type": format!("sendlab.{kind}"), "source": "/mail", "id": id,
            "time": "2026-03-01T11:00:00Z", "data": {"contact": "c1"}})
    };
    let one = [("content-type", "application/cloudevents+json; charset=utf-8")];
    let answer = server.post("/v1/events", &one, event("1", "open").to_string()).await.expect(StatusCode::OK).json();
    assert_eq!(answer["accepted"], 1, "{answer}");
    let many = [("content-type", "application/cloudevents-batch+json")];
    let list = json!([event("1", "open"), event("2", "opn"), event("3", "open")]).to_string();
    let answer = server.post("/v1/events", &many, list).await.expect(StatusCode::OK).json();
    assert_eq!(
        (&answer["accepted"], &answer["duplicates"]),
        (&json!(1), &json!([{"line": 1, "event_id": "/mail 1"}])),
        "{answer}"
    );
    assert_eq!((&answer["errors"][0]["line"], &answer["errors"][0]["field"]), (&json!(2), &json!("type")), "{answer}");
    let binary = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-type", "open"),
        ("ce-source", "/mail"),
        ("ce-id", "4"),
        ("ce-time", "2026-03-01T11:00:00Z"),
    ];
    server.post("/v1/events", &binary, r#"{"contact": "c1"}"#).await.expect(StatusCode::OK);
    let rows = server.rows("SELECT event_id FROM opens ORDER BY event_id").await;
    assert_eq!(rows, json!([{"event_id": "/mail 1"}, {"event_id": "/mail 3"}, {"event_id": "/mail 4"}]));
}

#[tokio::test]
async fn segments_calls_come_in() {
    let server = Server::start().await;
    let call = |id: &str, event: &str, total: i64| {
        json!({"type": "track", "messageId": id, "userId": "c1", "event": event, "timestamp": "2026-03-01T11:00:00Z",
            "properties": {"order_id": "o1", "total": total, "currency": "EUR"}})
    };
    let page = json!({"type": "page", "messageId": "m2", "userId": "c1"});
    let body = json!({"batch": [call("m1", "Order Completed", 20), page, call("m3", "Order Refunded", 5)], "sentAt": "2026-03-01T12:00:01Z"});
    // Segment's libraries send the key as a user name.
    let pair = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("{}:", server.key(Scope::Collect)));
    let request = Request::builder().method(Method::POST).uri("/v1/batch").header(header::AUTHORIZATION, format!("Basic {pair}"));
    let answer = server.send(request.body(body.to_string().into()).unwrap()).await.expect(StatusCode::OK).json();
    assert_eq!((&answer["success"], &answer["accepted"], &answer["rejected"]), (&json!(true), &json!(2), &json!(1)), "{answer}");
    assert_eq!((&answer["errors"][0]["line"], &answer["errors"][0]["field"]), (&json!(2), &json!("type")), "{answer}");
    let rows = server.rows("SELECT order_id, amount_minor FROM orders ORDER BY order_id").await;
    assert_eq!(rows, json!([{"order_id": "m3", "amount_minor": -500}, {"order_id": "o1", "amount_minor": 2000}]));
    // A batch of which nothing is kept is still a batch.
    let pages = json!({"batch": [{"type": "page", "messageId": "m4", "userId": "c1"}]}).to_string();
    let answer = server.post("/v1/batch", &[], pages).await.expect(StatusCode::OK).json();
    assert_eq!((&answer["success"], &answer["accepted"], &answer["rejected"]), (&json!(true), &json!(0), &json!(1)));
    let refused = server.post("/v1/batch", &[], "{}").await.expect(StatusCode::UNPROCESSABLE_ENTITY).json();
    assert_eq!(refused["error"]["kind"], "no_batch");
}

/// The stream that SQL answers is a stream that events come in by: with it, a lake can be told to another.
#[tokio::test]
async fn arrow_streams_come_in() {
    let server = Server::start().await;
    let stream = async |sql: &str| {
        let headers = [("content-type", "text/plain")];
        server.call(Scope::Read, Method::POST, "/v1/sql?format=arrow", &headers, sql.to_owned()).await.expect(StatusCode::OK).body
    };
    let arrow = [("content-type", "application/vnd.apache.arrow.stream")];
    let sql = "SELECT 'a' || value AS event_id, 'order' AS kind, timestamp '2026-03-01T09:30:00' AS event_time, value AS contact,
        'o' || value AS order_id, arrow_cast(value, 'Decimal128(10, 2)') + 0.29 AS amount, 'EUR' AS currency
        FROM unnest([1, 2, 3]) AS t(value)";
    let answer = server.post("/v1/events", &arrow, stream(sql).await).await.expect(StatusCode::OK).json();
    assert_eq!(answer["accepted"], 3, "{answer}");
    let rows = server.rows("SELECT event_id, amount_minor, CAST(event_time AS TEXT) AS at FROM orders ORDER BY event_id").await;
    assert_eq!((&rows[2]["event_id"], &rows[2]["amount_minor"]), (&json!("a3"), &json!(329)), "{rows}");
    assert!(rows[2]["at"].as_str().unwrap().starts_with("2026-03-01T09:30:00"), "{rows}");
    let sql = "SELECT 'b' AS event_id, '2026-03-01T09:30:00Z' AS event_time, 'c' AS contact
        UNION ALL SELECT 'a1', '2026-03-01T09:30:00Z', NULL ORDER BY 1 DESC";
    let answer = server.post("/v1/events?kind=open", &arrow, stream(sql).await).await.expect(StatusCode::OK).json();
    assert_eq!(
        (&answer["accepted"], &answer["errors"][0]["line"], &answer["errors"][0]["field"]),
        (&json!(1), &json!(2), &json!("contact"))
    );
    let refused = async |path: &str, body: Bytes| {
        let answer = server.post(path, &arrow, body).await.expect(StatusCode::UNPROCESSABLE_ENTITY).json();
        answer["error"]["kind"].as_str().unwrap().to_owned()
    };
    assert_eq!(refused("/v1/events", stream("SELECT 1 AS evnt_id").await).await, "bad_column");
    assert_eq!(refused("/v1/events", Bytes::from_static(b"event_id\na\n")).await, "bad_stream");
    assert_eq!(refused("/v1/events?kind=opn", stream("SELECT 'a' AS event_id").await).await, "bad_query_string");
}

/// `{"event_id":"packed",…}` packed by gzip and by zstd, and a bomb of 33 MiB of spaces in some thirty kilobytes.
#[tokio::test]
async fn packed_bodies_are_unpacked_up_to_the_limit() {
    let server = Server::start().await;
    let gzip = |bytes: &[u8]| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packer, bytes).unwrap();
        packer.finish().unwrap()
    };
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
    let post = async |encoding: &str, body: Vec<u8>| server.post("/v1/events", &[("content-encoding", encoding)], body).await;
    for (encoding, body) in [("gzip", gzip(open("a").to_string().as_bytes())), ("zstd", zstd(open("b").to_string().as_bytes()))] {
        assert_eq!(post(encoding, body).await.expect(StatusCode::OK).json()["accepted"], 1, "{encoding}");
    }
    let bomb = vec![b' '; BODY_BYTES_MAX + 1];
    for (encoding, body) in [("gzip", gzip(&bomb)), ("zstd", zstd(&bomb))] {
        assert!(body.len() < BODY_BYTES_MAX / 100, "{encoding}");
        let answer = post(encoding, body).await.expect(StatusCode::PAYLOAD_TOO_LARGE).json();
        assert_eq!(answer["error"]["kind"], "body_too_large", "{encoding}");
    }
    let torn = gzip(open("c").to_string().as_bytes());
    post("gzip", torn[..torn.len() / 2].to_vec()).await.expect(StatusCode::BAD_REQUEST);
    assert_eq!(server.rows("SELECT count(*) AS n FROM opens").await, json!([{"n": 2}]));
}
