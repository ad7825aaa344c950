//! Recommendations: ETag, long poll, decisions by people and by numbers.

use std::time::Duration;

use super::*;

const PATH: &str = "/v1/recommendations/spring";

impl Server {
    async fn recommend(&self, variant: &str, parent: Option<&str>) -> Answer {
        self.manage(Method::POST, PATH, &json!({"variant": variant, "parent": parent, "reason": "It reads better."})).await
    }

    async fn poll(&self, query: &str, known: Option<&str>) -> Answer {
        let headers: Vec<(&str, &str)> = known.map(|tag| ("if-none-match", tag)).into_iter().collect();
        self.call(Scope::Send, Method::GET, &format!("{PATH}{query}"), &headers, Body::empty()).await
    }
}

#[tokio::test]
async fn the_etag_tells_whether_it_changed() {
    let server = Server::start().await;
    server.put_experiment().await;
    assert_eq!(server.poll("", None).await.expect(StatusCode::OK).json()["fallback_kind"], "no_recommendation");
    let made = server.recommend("plain", None).await.expect(StatusCode::CREATED).json();
    let answer = server.poll("", None).await.expect(StatusCode::OK);
    let advice = answer.json();
    assert!(made.as_object().unwrap().iter().all(|(name, value)| advice[name] == *value), "{advice} has all of {made}");
    assert_eq!((&advice["fallback"], &advice["fallback_kind"]), (&json!(false), &Value::Null));
    let tag = answer.header(header::ETAG).to_owned();
    assert_eq!(tag, format!("\"{}\"", made["id"].as_str().unwrap()));
    let unchanged = server.poll("", Some(&tag)).await.expect(StatusCode::NOT_MODIFIED);
    assert!(unchanged.body.is_empty());
    assert_eq!(unchanged.header(header::ETAG), tag);
    server.poll("", Some("\"other\"")).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_decision_needs_the_current_parent() {
    let server = Server::start().await;
    server.put_experiment().await;
    let first = server.recommend("plain", None).await.expect(StatusCode::CREATED).json();
    let late = server.recommend("warm", None).await.expect(StatusCode::CONFLICT).json();
    assert_eq!((&late["error"]["kind"], &late["current"]), (&json!("superseded"), &first));
    let second = server.recommend("warm", first["id"].as_str()).await.expect(StatusCode::CREATED).json();
    let history = server.get(&format!("{PATH}/history")).await.expect(StatusCode::OK).json();
    assert_eq!(history, json!([second, first]));
    assert_eq!(
        server.recommend("cold", None).await.expect(StatusCode::UNPROCESSABLE_ENTITY).json()["error"]["kind"],
        "unknown_variant"
    );
    let silent = json!({"variant": "warm", "reason": " "});
    assert_eq!(server.manage(Method::POST, PATH, &silent).await.json()["error"]["kind"], "bad_reason");
}

#[tokio::test]
async fn a_long_poll_answers_when_it_changes() {
    let server = Server::start().await;
    server.put_experiment().await;
    let first = server.recommend("plain", None).await.expect(StatusCode::CREATED).json();
    let tag = format!("\"{}\"", first["id"].as_str().unwrap());
    let change = async {
        // The poll is polled first and only gives way when it waits.
        server.recommend("warm", first["id"].as_str()).await.expect(StatusCode::CREATED)
    };
    let (answer, _) = tokio::time::timeout(Duration::from_secs(30), async {
        tokio::join!(server.poll("?wait_seconds=60", Some(&tag)), change)
    })
    .await
    .expect("the change ends the wait");
    assert_eq!(answer.expect(StatusCode::OK).json()["variant"], "warm");
}

#[tokio::test]
async fn a_long_poll_waits_for_the_first_one() {
    let server = Server::start().await;
    server.put_experiment().await;
    let (answer, _) = tokio::time::timeout(Duration::from_secs(30), async {
        tokio::join!(server.poll("?wait_seconds=60", None), server.recommend("plain", None))
    })
    .await
    .expect("the first recommendation ends the wait");
    assert_eq!(answer.expect(StatusCode::OK).json()["variant"], "plain");
}

#[tokio::test]
async fn a_long_poll_ends() {
    let server = Server::start().await;
    server.put_experiment().await;
    let made = server.recommend("plain", None).await.expect(StatusCode::CREATED).json();
    let tag = format!("\"{}\"", made["id"].as_str().unwrap());
    server.poll("?wait_seconds=1", Some(&tag)).await.expect(StatusCode::NOT_MODIFIED);
    assert_eq!(
        server.poll("?wait_seconds=61", None).await.expect(StatusCode::UNPROCESSABLE_ENTITY).json()["error"]["kind"],
        "wait_too_long"
    );
}

/// The whole way: assignments and orders come in, the readout finds the winner, deciding makes it the recommendation.
#[tokio::test]
async fn the_numbers_decide() {
    let server = Server::start().await;
    server.put_experiment().await;
    let mut lines = Vec::new();
    for number in 0..400 {
        let variant = if number % 2 == 0 { "plain" } else { "warm" };
        let common = json!({"contact": format!("c{number}"), "experiment_id": "spring", "variant": variant});
        let event = |id: String, changes: Value| {
            let mut line = common.clone();
            line.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            line["event_id"] = json!(id);
            line.to_string()
        };
        lines.push(event(format!("a{number}"), json!({"kind": "assignment", "event_time": "2026-02-20T09:00:00Z"})));
        let buys = number % 20 == 0 || (variant == "warm" && number % 4 == 1);
        if buys {
            let order = json!({"kind": "order", "event_time": "2026-02-20T12:00:00Z", "order_id": format!("o{number}"), "amount": 20, "currency": "EUR"});
            lines.push(event(format!("o{number}"), order));
        }
    }
    server.collect(lines.join("\n")).await.expect(StatusCode::OK);
    server.lake.land().await.unwrap();
    let look = server.get("/v1/experiments/spring/readout").await.expect(StatusCode::OK).json();
    assert_eq!((&look["verdict"]["kind"], &look["verdict"]["variant"]), (&json!("winner"), &json!("warm")), "{look}");
    assert!(look["recommendation"].is_null());
    assert_eq!(look["arms"][0]["mature"], 200);
    assert!(look["versions"]["orders"].is_i64());
    let aged = server.get("/v1/experiments/spring/readout?age_hours=1").await.expect(StatusCode::OK).json();
    assert_eq!(
        (&aged["age_hours"], &aged["arms"][0]["mature"], &aged["arms"][0]["funnel"]["ordered"]),
        (&json!(1), &json!(200), &json!(0))
    );
    let nowhere = server.get("/v1/experiments/spring/readout?market=DE&age_hours=4").await.expect(StatusCode::OK).json();
    assert_eq!((&nowhere["market"], &nowhere["arms"][0]["assigned"]), (&json!("DE"), &json!(0)));
    for wrong in ["age_hours=3", "age_hours=48", "age=4"] {
        server.get(&format!("/v1/experiments/spring/readout?{wrong}")).await.expect(StatusCode::UNPROCESSABLE_ENTITY);
    }
    let asked = server.get("/v1/experiments/spring/decision").await.expect(StatusCode::OK).json();
    assert_eq!((&asked["action"], &asked["variant"], &asked["shown"]), (&json!("ship"), &json!("warm"), &json!(true)), "{asked}");
    assert_eq!((&asked["information"]["mature"], &asked["information"]["is_last"]), (&json!(400), &json!(true)));
    assert_eq!(asked["versions"], look["versions"]);
    let page = server.get("/v1/experiments/spring/page").await.expect(StatusCode::OK);
    assert_eq!(page.header(header::CONTENT_TYPE), "text/html; charset=utf-8");
    let page = page.text();
    for heading in ["What happened", "How sure", "What it is worth", "What to do", "What to doubt"] {
        assert!(page.contains(&format!(">{heading}</h2>")), "{heading}: {page}");
    }
    assert!(page.contains(asked["sentence"].as_str().unwrap().split('`').next().unwrap()) && !page.contains("<script"), "{page}");
    server.get("/v1/experiments/none/page").await.expect(StatusCode::NOT_FOUND);
    let decided = server.manage(Method::POST, "/v1/experiments/spring/decide", &Value::Null).await.expect(StatusCode::OK).json();
    assert_eq!(decided["decision"]["reasons"], asked["reasons"]);
    assert_eq!(decided["recommendations"][0]["expected_gain"], decided["decision"]["best"]["gain"]);
    assert_eq!((&decided["changed"], &decided["recommendation"]["variant"]), (&json!(true), &json!("warm")));
    assert_eq!(decided["recommendation"]["readout_id"], decided["readout"]["id"]);
    let again = server.manage(Method::POST, "/v1/experiments/spring/decide", &Value::Null).await.expect(StatusCode::OK).json();
    assert_eq!(again["changed"], false);
    let list = server.get("/v1/experiments").await.expect(StatusCode::OK).json();
    assert_eq!((&list[0]["assigned"], &list[0]["recommendation"]["variant"]), (&json!(400), &json!("warm")));
}

#[tokio::test]
async fn an_experiment_without_a_bandit_says_so() {
    let server = Server::start().await;
    server.put_experiment().await;
    let problem = server.get("/v1/experiments/spring/bandit").await.expect(StatusCode::NOT_FOUND).json();
    assert_eq!(problem["error"]["hint"], "write `bandit: {}` into the experiment to have one", "{problem}");
}
