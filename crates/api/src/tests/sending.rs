//! Experiments and campaigns as people write them.

use super::*;

#[tokio::test]
async fn an_experiment_is_read_as_yaml_too() {
    let server = Server::start().await;
    let yaml = "experiment: tone\nfactors: [copy]\nvariants:\n  - name: plain\n  - name: warm\nprimary: opened\nmetrics:\n  - {name: opened, outcome: open, measure: occurred}\n";
    let put = |text: String| async {
        server.call(Scope::Manage, Method::PUT, "/v1/experiments", &[("content-type", "application/yaml")], text).await
    };
    put(yaml.to_owned()).await.expect(StatusCode::CREATED);
    put(yaml.to_owned()).await.expect(StatusCode::OK);
    let wrong = put(yaml.replace("primary", "primray")).await.expect(StatusCode::UNPROCESSABLE_ENTITY).json();
    assert!(wrong["error"]["message"].as_str().unwrap().contains("the nearest is `primary`"), "{wrong}");
    let read = server.get("/v1/experiments/tone").await.expect(StatusCode::OK).json();
    assert_eq!((&read["experiment"], &read["window_hours"]), (&json!("tone"), &json!(168)));
    // What is read can be written again.
    server.manage(Method::PUT, "/v1/experiments", &read).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_campaign_is_checked_before_it_is_stored() {
    let server = Server::start().await;
    let check = |campaign: Value, kind: &'static str, message: &'static str| {
        let server = &server;
        async move {
            let answer =
                server.manage(Method::PUT, "/v1/campaigns", &campaign).await.expect(StatusCode::UNPROCESSABLE_ENTITY).json();
            assert_eq!(answer["error"]["kind"], kind, "{answer}");
            assert!(answer["error"]["message"].as_str().unwrap().contains(message), "{answer}");
        }
    };
    check(campaign(), "unknown_experiment", "there is no experiment `spring`").await;
    server.put_experiment().await;
    let mut torn = campaign();
    torn["content"]["warm"]["subject"] = json!("Hello {{ contact.country");
    check(torn, "bad_template", "warm").await;
    let mut missing = campaign();
    missing["content"].as_object_mut().unwrap().remove("warm");
    check(missing, "missing_content", "content has no `warm`").await;
}

#[tokio::test]
async fn a_campaign_is_started_and_paused() {
    let server = Server::start().await;
    let id = server.put_campaign().await;
    let state = |answer: Answer| answer.expect(StatusCode::OK).json()["state"].as_str().unwrap().to_owned();
    let path = format!("/v1/campaigns/{id}");
    assert_eq!(state(server.get(&path).await), "draft");
    let call = |action: &str| {
        let (server, path) = (&server, format!("{path}/{action}"));
        async move { server.manage(Method::POST, &path, &Value::Null).await }
    };
    call("pause").await.expect(StatusCode::CONFLICT);
    assert_eq!(state(call("start").await), "planning");
    assert_eq!(state(call("start").await), "planning");
    let slices = [control::NewSlice { first_row: 0, rows: 10, due: now() }];
    assert!(server.control.plan_ready(&id, 1, "plan.parquet", None, &slices).await.unwrap());
    assert_eq!(state(call("pause").await), "paused");
    assert_eq!(state(call("start").await), "sending");
    let listed = server.get("/v1/campaigns").await.expect(StatusCode::OK).json();
    assert_eq!(
        listed[0]["progress"],
        json!({"planned": 10, "due": 10, "claimed": 0, "accepted": 0, "refused": 0, "in_doubt": 0, "skipped": 0, "fallback": 0})
    );
    server.get("/v1/campaigns/none").await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn warm_ups_say_where_they_stand() {
    let server = Server::start().await;
    let counts = std::collections::BTreeMap::from([("new.example".to_owned(), 3)]);
    server.control.count_in_warm_ups("2026-03-01".parse().unwrap(), &counts).await.unwrap();
    let answer = server.call(Scope::Read, Method::GET, "/v1/warm-ups", &[], Body::empty()).await.expect(StatusCode::OK).json();
    let expect = json!([{ "warm_up": "new.example", "start": "2026-03-01", "first_day": 10, "growth": 2.0, "over_on": "2026-03-03",
        "today": "2026-03-01", "allowance": 10, "sent": 3, "is_full": false }]);
    assert_eq!(answer, expect);
}
