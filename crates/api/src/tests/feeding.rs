//! Recommendations as they reach others: scopes, weights and times, contacts, streams of changes, OpenFeature.

use std::time::Duration;

use axum::body::BodyDataStream;
use futures::StreamExt as _;

use super::*;

const PATH: &str = "/v1/recommendations/spring";
/// What has not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(30);

impl Server {
    async fn decide(&self, decision: Value) -> Value {
        let mut decision = decision;
        decision["reason"] = json!("It reads better.");
        self.manage(Method::POST, PATH, &decision).await.expect(StatusCode::CREATED).json()
    }

    async fn refused(&self, decision: Value) -> String {
        let mut decision = decision;
        decision["reason"] = json!("It reads better.");
        let answer = self.manage(Method::POST, PATH, &decision).await.expect(StatusCode::UNPROCESSABLE_ENTITY).json();
        answer["error"]["kind"].as_str().unwrap().to_owned()
    }

    async fn advice(&self, query: &str) -> Value {
        self.call(Scope::Send, Method::GET, &format!("{PATH}{query}"), &[], Body::empty()).await.expect(StatusCode::OK).json()
    }

    async fn picks(&self, body: Value) -> Answer {
        self.call(Scope::Send, Method::POST, &format!("{PATH}/contacts"), &[], body.to_string()).await
    }

    async fn evaluate(&self, flag: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
        self.call(Scope::Send, Method::POST, &format!("/ofrep/v1/evaluate/flags{flag}"), headers, body.to_owned()).await
    }

    /// Opens a stream.
    async fn stream(&self, path: &str, last: Option<&str>) -> Events {
        let request = Request::builder().uri(path).header(header::AUTHORIZATION, format!("Bearer {}", self.key(Scope::Send)));
        let request = last.into_iter().fold(request, |request, last| request.header("last-event-id", last));
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Events { body: response.into_body().into_data_stream(), text: String::new() }
    }
}

/// A stream that is read event by event.
struct Events {
    body: BodyDataStream,
    text: String,
}

impl Events {
    /// The next event's id and data; `None` at the end. Comments are passed over.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let field =
                    |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned());
                if let Some(data) = field("data:") {
                    assert_eq!(field("event:").as_deref(), Some("recommendation"));
                    return Some((field("id:").unwrap(), serde_json::from_str(&data).unwrap()));
                }
            }
            let chunk = tokio::time::timeout(PATIENCE, self.body.next()).await.expect("the stream goes on");
            self.text += std::str::from_utf8(&chunk?.unwrap()).unwrap();
        }
    }
}

#[tokio::test]
async fn the_most_specific_recommendation_answers() {
    let server = Server::start().await;
    server.put_experiment().await;
    server.decide(json!({"variant": "plain"})).await;
    let german = server.decide(json!({"variant": "warm", "market": "de"})).await;
    assert_eq!(german["scope"], json!({"market": "DE", "locale": null, "segment": null}));
    let vip = server.decide(json!({"weights": {"plain": 60, "warm": 20}, "segment": "vip"})).await;
    assert_eq!(vip["weights"], json!({"plain": 0.75, "warm": 0.25}));
    let check = async |query: &str, variant: &str, id: Option<&Value>| {
        let advice = server.advice(query).await;
        assert_eq!(advice["variant"], variant, "{query}");
        assert!(id.is_none_or(|made| made["id"] == advice["id"]), "{query}: {advice}");
        assert_eq!(advice["fallback"], false);
    };
    check("", "plain", None).await;
    check("?market=DE", "warm", Some(&german)).await;
    check("?market=FR&locale=de-AT", "plain", None).await;
    check("?market=DE&segment=vip", "plain", Some(&vip)).await;
    let conflict = json!({"variant": "plain", "market": "DE", "parent": vip["id"], "reason": "No."});
    let late = server.manage(Method::POST, PATH, &conflict).await.expect(StatusCode::CONFLICT).json();
    assert_eq!(late["current"]["id"], german["id"], "the parent is of the same scope");
}

#[tokio::test]
async fn decisions_that_cannot_be_are_refused_with_their_field() {
    let server = Server::start().await;
    server.put_experiment().await;
    let check = async |decision: Value, kind: &str| assert_eq!(server.refused(decision).await, kind);
    check(json!({}), "bad_weights").await;
    check(json!({"variant": "warm", "weights": {"warm": 1}}), "bad_weights").await;
    check(json!({"weights": {"cold": 1}}), "unknown_variant").await;
    check(json!({"variant": "warm", "market": " "}), "bad_scope").await;
    check(json!({"variant": "warm", "valid_until": "2026-03-01T12:00:00Z"}), "bad_valid_until").await;
    check(json!({"variant": "warm", "until": "2026-03-02T12:00:00Z"}), "bad_body").await;
}

#[tokio::test]
async fn without_a_recommendation_the_control_is_sent_and_says_so() {
    let server = Server::start().await;
    server.put_experiment().await;
    let none = server.call(Scope::Send, Method::GET, PATH, &[], Body::empty()).await.expect(StatusCode::OK);
    let advice = none.json();
    assert_eq!((&advice["variant"], &advice["fallback"], &advice["id"]), (&json!("plain"), &json!(true), &Value::Null));
    assert_eq!((&advice["fallback_kind"], &advice["weights"]), (&json!("no_recommendation"), &json!({"plain": 1.0})));
    let tag = none.header(header::ETAG).to_owned();
    assert_eq!(tag, "\"%no_recommendation::plain\"");
    let known = [("if-none-match", tag.as_str())];
    server.call(Scope::Send, Method::GET, PATH, &known, Body::empty()).await.expect(StatusCode::NOT_MODIFIED);
    // What ceased to hold is known by the control store only: the clock of this server stands still.
    let made = vocabulary::Recommendation {
        id: RecommendationId::new("old").unwrap(),
        experiment_id: ExperimentId::new("spring").unwrap(),
        scope: vocabulary::RecommendationScope::default(),
        variant: VariantName::new("warm").unwrap(),
        weights: vocabulary::Recommendation::all_to(&VariantName::new("warm").unwrap()),
        parent: None,
        reason: "For February.".into(),
        readout_id: None,
        valid_until: Some(now()),
        expected: None,
        created_at: now() - jiff::SignedDuration::from_hours(24),
    };
    server.control.recommend(&made).await.unwrap();
    let expired = server.call(Scope::Send, Method::GET, PATH, &known, Body::empty()).await.expect(StatusCode::OK);
    let advice = expired.json();
    assert_eq!((&advice["variant"], &advice["fallback_kind"]), (&json!("plain"), &json!("expired")));
    assert!(advice["reason"].as_str().unwrap().contains("held until 2026-03-01T12:00:00Z"), "{advice}");
    assert_eq!(expired.header(header::ETAG), "\"%expired:old:plain\"");
}

#[tokio::test]
async fn a_long_poll_names_what_it_knows_and_ends_with_the_server() {
    let server = Server::start().await;
    server.put_experiment().await;
    let made = server.decide(json!({"variant": "plain"})).await;
    let id = made["id"].as_str().unwrap();
    let poll = async |query: String| {
        let path = format!("{PATH}{query}");
        server.call(Scope::Send, Method::GET, &path, &[], Body::empty()).await
    };
    poll(format!("?after={id}")).await.expect(StatusCode::NOT_MODIFIED);
    poll(format!("?after=%22{id}%22")).await.expect(StatusCode::NOT_MODIFIED);
    poll("?after=other".into()).await.expect(StatusCode::OK);
    let stop = async { server.stop.cancel() };
    let waiting = async { tokio::join!(poll(format!("?after={id}&wait_seconds=60")), stop).0 };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it ends").expect(StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn contacts_get_their_variant_by_weight_and_keep_it() {
    let server = Server::start().await;
    server.put_experiment().await;
    let people = [json!({"key": "kim", "country": "DE", "language": "de-AT"}), json!({"key": "lee", "country": "FR"})];
    let lines: String = people.iter().map(|person| format!("{person}\n")).collect();
    server
        .call(Scope::Manage, Method::POST, "/v1/contacts", &[("content-type", "application/x-ndjson")], lines)
        .await
        .expect(StatusCode::OK);
    let ids: Vec<String> = (0..300).map(|number| format!("stranger-{number}")).collect();
    let fallback = server.picks(json!({"contacts": ["kim"]})).await.expect(StatusCode::OK).json();
    let expect = json!([{"contact": "kim", "variant": "plain", "propensity": 1.0, "recommendation_id": null, "fallback": true}]);
    assert_eq!(fallback["picks"], expect);
    let split = server.decide(json!({"weights": {"plain": 1, "warm": 1}})).await;
    let german = server.decide(json!({"variant": "warm", "market": "DE", "locale": "de"})).await;
    let first = server.picks(json!({"contacts": ids})).await.expect(StatusCode::OK).json();
    let picks = first["picks"].as_array().unwrap();
    let warm = picks.iter().filter(|pick| pick["variant"] == "warm").count();
    assert!((100..200).contains(&warm), "{warm} of 300");
    assert!(picks.iter().all(|pick| pick["propensity"] == 0.5 && pick["recommendation_id"] == split["id"]));
    assert_eq!(server.picks(json!({"contacts": ids})).await.json(), first, "always the same");
    let known = server.picks(json!({"contacts": ["kim", "lee"]})).await.expect(StatusCode::OK).json();
    assert_eq!(known["picks"][0]["recommendation_id"], german["id"], "her market and language are known");
    assert_eq!(known["picks"][1]["recommendation_id"], split["id"]);
    let named = server.picks(json!({"contacts": ["kim"], "market": "FR"})).await.expect(StatusCode::OK).json();
    assert_eq!(named["picks"][0]["recommendation_id"], split["id"], "what the request names counts");
    let rows = server.control.look_up(&["stranger-1".to_owned()]).await.unwrap();
    assert_eq!(rows, [None], "asking stores nobody");
    let check = async |body: Value, kind: &str| {
        let answer = server.picks(body).await.expect(StatusCode::UNPROCESSABLE_ENTITY).json();
        assert_eq!(answer["error"]["kind"], kind);
    };
    check(json!({"contacts": []}), "bad_contacts").await;
    check(json!({"contacts": vec!["x"; crate::PICKS_MAX + 1]}), "bad_contacts").await;
    check(json!({"contacts": ["kim"], "country": "DE"}), "bad_body").await;
}

#[tokio::test]
async fn a_stream_tells_what_is_current_and_every_change_and_resumes() {
    let server = Server::start().await;
    server.put_experiment().await;
    let first = server.decide(json!({"variant": "plain"})).await;
    let german = server.decide(json!({"variant": "warm", "market": "DE"})).await;
    let mut events = server.stream(&format!("{PATH}/events"), None).await;
    let mut all = server.stream("/v1/recommendation-events", None).await;
    for stream in [&mut events, &mut all] {
        assert_eq!(stream.next().await.unwrap(), ("1".into(), first.clone()));
        assert_eq!(stream.next().await.unwrap(), ("2".into(), german.clone()));
    }
    let change = async { server.decide(json!({"variant": "warm", "parent": first["id"]})).await };
    let (event, second) = tokio::join!(events.next(), change);
    assert_eq!(event.unwrap(), ("3".into(), second.clone()));
    assert_eq!(all.next().await.unwrap(), ("3".into(), second.clone()));
    let third = server.decide(json!({"variant": "plain", "parent": second["id"]})).await;
    let mut resumed = server.stream(&format!("{PATH}/events"), Some("2")).await;
    assert_eq!(resumed.next().await.unwrap(), ("3".into(), second), "none is missed");
    assert_eq!(resumed.next().await.unwrap(), ("4".into(), third.clone()));
    let mut restored = server.stream(&format!("{PATH}/events"), Some("99")).await;
    assert_eq!(restored.next().await.unwrap().1, german, "a number that is not there yet begins anew");
    assert_eq!(restored.next().await.unwrap().1, third);
    assert_eq!(events.next().await.unwrap().1, third);
    server.stop.cancel();
    assert_eq!(events.next().await, None, "streams end with the server");
}

#[tokio::test]
async fn more_streams_than_may_be_are_turned_away() {
    let server = Server::start().await;
    server.put_experiment().await;
    let path = format!("{PATH}/events");
    let mut open = Vec::new();
    for _ in 0..crate::STREAMS_MAX {
        open.push(server.stream(&path, None).await);
    }
    let turned_away = server.get(&path).await.expect(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(turned_away.json()["error"]["kind"], "streams_taken");
    assert_eq!(turned_away.header(header::RETRY_AFTER), "5");
    open.pop();
    server.stream(&path, None).await;
    server.get("/v1/recommendations/none/events").await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn openfeature_clients_read_recommendations() {
    let server = Server::start().await;
    server.put_experiment().await;
    let about = |market: &str| json!({"context": {"targetingKey": "kim", "market": market, "plan": 7}}).to_string();
    let none = server.evaluate("/spring", &about("FR"), &[]).await.expect(StatusCode::OK).json();
    assert_eq!(
        (&none["value"], &none["reason"], &none["metadata"]["fallback"]),
        (&json!("plain"), &json!("DISABLED"), &json!(true))
    );
    let all = server.decide(json!({"variant": "warm"})).await;
    let german = server.decide(json!({"variant": "plain", "market": "DE"})).await;
    let split = server.decide(json!({"weights": {"plain": 1, "warm": 1}, "market": "CH"})).await;
    let check = async |market: &str, reason: &str, made: &Value| {
        let flag = server.evaluate("/spring", &about(market), &[]).await.expect(StatusCode::OK).json();
        assert_eq!((&flag["key"], &flag["reason"]), (&json!("spring"), &json!(reason)));
        assert_eq!(flag["metadata"]["recommendation_id"], made["id"]);
        assert_eq!(flag["value"], flag["variant"]);
        assert!(flag["metadata"].as_object().unwrap().values().all(|value| !value.is_null() && !value.is_object()), "{flag}");
    };
    check("FR", "STATIC", &all).await;
    check("DE", "TARGETING_MATCH", &german).await;
    check("CH", "SPLIT", &split).await;
    let bulk = server.evaluate("", &about("DE"), &[]).await.expect(StatusCode::OK);
    let flags = bulk.json();
    assert_eq!((&flags["flags"][0]["key"], &flags["flags"][0]["value"]), (&json!("spring"), &json!("plain")));
    let tag = bulk.header(header::ETAG).to_owned();
    let known = [("if-none-match", tag.as_str())];
    server.evaluate("", &about("DE"), &known).await.expect(StatusCode::NOT_MODIFIED);
    server.decide(json!({"variant": "warm", "market": "DE", "parent": german["id"]})).await;
    server.evaluate("", &about("DE"), &known).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn openfeature_clients_hear_errors_in_their_own_words() {
    let server = Server::start().await;
    server.put_experiment().await;
    let check = async |flag: &str, body: &str, status: StatusCode, code: &str| {
        let failure = server.evaluate(flag, body, &[]).await.expect(status).json();
        assert_eq!(failure["errorCode"], code, "{failure}");
        assert!(failure["errorDetails"].as_str().is_some_and(|details| !details.is_empty()));
        assert_eq!(failure["key"], if flag.is_empty() { Value::Null } else { json!(&flag[1..]) });
    };
    let bad = StatusCode::BAD_REQUEST;
    check("/none", r#"{"context": {"targetingKey": "kim"}}"#, StatusCode::NOT_FOUND, "FLAG_NOT_FOUND").await;
    for flag in ["/spring", ""] {
        check(flag, "no json", bad, "PARSE_ERROR").await;
        check(flag, "{}", bad, "TARGETING_KEY_MISSING").await;
        check(flag, r#"{"context": {}}"#, bad, "TARGETING_KEY_MISSING").await;
        check(flag, r#"{"context": {"targetingKey": ""}}"#, bad, "TARGETING_KEY_MISSING").await;
        check(flag, r#"{"context": 7}"#, bad, "INVALID_CONTEXT").await;
        check(flag, r#"{"context": {"targetingKey": "kim", "market": 7}}"#, bad, "INVALID_CONTEXT").await;
        check(flag, &json!({"context": {"targetingKey": "x".repeat(200)}}).to_string(), bad, "INVALID_CONTEXT").await;
    }
    let key = server.key(Scope::Send).to_owned();
    let request = Request::builder().method(Method::POST).uri("/ofrep/v1/evaluate/flags/spring").header("x-api-key", key);
    let body = Body::from(r#"{"context": {"targetingKey": "kim"}}"#);
    server.send(request.body(body).unwrap()).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn webhooks_are_stored_listed_and_removed() {
    let server = Server::start().await;
    let put = async |body: Value| server.manage(Method::PUT, "/v1/webhooks/shop", &body).await;
    let url = "https://shop.example/sendlab";
    let made = put(json!({"url": url})).await.expect(StatusCode::CREATED).json();
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"));
    let again = put(json!({"url": url, "events": ["recommendation.changed"]})).await.expect(StatusCode::OK).json();
    assert_eq!(again["secret"], Value::Null, "it keeps its own");
    let listed = server.get("/v1/webhooks").await.expect(StatusCode::OK);
    assert!(!listed.text().contains(&secret));
    let row = &listed.json()[0];
    assert_eq!((&row["webhook"], &row["state"], &row["waiting"]), (&json!("shop"), &json!("well"), &json!(0)));
    let check = async |body: Value, kind: &str| {
        assert_eq!(put(body).await.expect(StatusCode::UNPROCESSABLE_ENTITY).json()["error"]["kind"], kind);
    };
    check(json!({"url": "http://shop.example/"}), "bad_url").await;
    check(json!({"url": "https://10.0.0.1/"}), "bad_url").await;
    check(json!({"url": "https://127.0.0.1/"}), "bad_url").await;
    check(json!({"url": url, "events": []}), "bad_events").await;
    check(json!({"url": url, "events": ["order.created"]}), "bad_events").await;
    check(json!({"url": url, "secret": "short"}), "bad_secret").await;
    check(json!({"url": url, "retries": 3}), "bad_body").await;
    server.manage(Method::PUT, "/v1/webhooks/Shop", &json!({"url": url})).await.expect(StatusCode::UNPROCESSABLE_ENTITY);
    server.manage(Method::DELETE, "/v1/webhooks/shop", &Value::Null).await.expect(StatusCode::NO_CONTENT);
    server.manage(Method::DELETE, "/v1/webhooks/shop", &Value::Null).await.expect(StatusCode::NOT_FOUND);
}
