//! Those who follow a recommendation are moved by themselves: to what looks better, and away from what does harm; to what is decided only
//! once a second person agrees, where that is asked for.

use std::collections::BTreeMap;
use std::ops::Range;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::shop::Shop;
use crate::support::{landed, sql, until};

async fn people(shop: &Shop, country: &str, numbers: Range<u32>) {
    let person = |number: u32| {
        let (key, email) = (format!("k{number}"), format!("k{number}@example.test"));
        json!({ "key": key, "email": email, "email_consent": "express", "country": country })
    };
    shop.contacts(numbers.map(person).collect()).await;
}

async fn experiment(shop: &Shop, moved: Value) {
    let mut experiment = json!({
        "experiment": "season", "factors": ["copy"], "variants": [{ "name": "a" }, { "name": "b" }], "primary": "clicked",
        "metrics": [
            { "name": "clicked", "outcome": "click", "measure": "occurred" },
            { "name": "left", "outcome": "unsubscribe", "measure": "occurred", "lower_is_better": true },
        ],
        "guardrails": [{ "metric": "left", "margin": 0.25 }],
        "window_hours": 1,
    });
    experiment.as_object_mut().unwrap().extend(moved.as_object().unwrap().clone());
    shop.send(Method::PUT, "/v1/experiments", &experiment).await;
}

/// Mails everybody of a country, and tells who got which variant.
async fn mail(shop: &Shop, campaign: &str, mode: &str, country: &str) -> BTreeMap<String, Vec<String>> {
    let before = shop.raw_mails().len();
    let copy = |subject: &str| json!({ "subject": subject, "html": "<p>Hello</p>", "text": "Hello" });
    let more = json!({
        "mode": mode, "content": { "a": copy("copy a"), "b": copy("copy b") },
        "audience": format!("SELECT contact_key FROM contacts WHERE country = '{country}'"),
    });
    shop.campaign(campaign, "season", more).await;
    shop.state(campaign, &["done"]).await;
    landed(&shop.client).await;
    let mut got: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for raw in shop.raw_mails().split_off(before) {
        let raw = String::from_utf8_lossy(&raw).into_owned();
        let line = |name: &str| raw.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {raw}"));
        let variant = line("Subject:").rsplit(' ').next().unwrap().to_owned();
        let contact = line("To:").trim_start_matches("To:").trim_matches([' ', '<', '>']).split('@').next().unwrap().to_owned();
        got.entry(variant).or_default().push(contact);
    }
    got
}

/// So large a share of these people does something, five minutes from now.
async fn act(shop: &Shop, what: &Value, people: &[String], share: f64) {
    let many = (people.len() as f64 * share).round() as usize;
    let at = vocabulary::Clock::now(&*shop.clock).to_string();
    let event = |(number, contact): (usize, &String)| {
        let mut event = json!({ "event_id": format!("{at}-{contact}-{number}-{what}"), "event_time": at, "contact": contact });
        event.as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
        event
    };
    shop.lines("/v1/events", people[..many].iter().enumerate().map(event).collect()).await;
    landed(&shop.client).await;
}

fn click() -> Value {
    json!({ "kind": "click" })
}

/// What is recommended for everybody once that is something new.
async fn recommended_after(shop: &Shop, known: &Value) -> Value {
    until("another recommendation", async || {
        let made = shop.client.get("/v1/recommendations/season").await.ok()?;
        (!made["id"].is_null() && made["id"] != known["id"]).then_some(made)
    })
    .await
}

/// How many messages followed a recommendation, by variant.
async fn followed(shop: &Shop, made: &Value) -> BTreeMap<String, u64> {
    let id = made["id"].as_str().unwrap();
    let query = format!("SELECT variant, count(*) AS n FROM messages WHERE recommendation_id = '{id}' GROUP BY 1");
    let rows = sql(&shop.client, &query).await;
    rows.iter().map(|row| (row["variant"].as_str().unwrap().to_owned(), row["n"].as_u64().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bandit_sends_more_of_what_looks_better() {
    let shop = Shop::open("2026-03-02T09:00:00Z").await;
    people(&shop, "GB", 0..400).await;
    people(&shop, "IE", 400..800).await;
    shop.lake_knows(800).await;
    experiment(&shop, json!({ "bandit": { "floor": 0.1, "wave_hours": 1 } })).await;
    let first = recommended_after(&shop, &Value::Null).await;
    assert_eq!(first["weights"], json!({ "a": 0.5, "b": 0.5 }), "{first}");
    let got = mail(&shop, "wave-1", "recommended", "GB").await;
    let counts = followed(&shop, &first).await;
    assert_eq!(counts["a"] + counts["b"], 400);
    assert!(counts["a"].abs_diff(counts["b"]) < 100, "{counts:?}");

    shop.pass(5);
    act(&shop, &click(), &got["a"], 0.30).await;
    act(&shop, &click(), &got["b"], 0.35).await;
    shop.pass(115);
    let second = recommended_after(&shop, &first).await;
    let share = second["weights"]["b"].as_f64().unwrap();
    assert!((0.55..=0.9).contains(&share), "{second}");
    assert_eq!(second["parent"], first["id"]);
    assert!(second["reason"].as_str().unwrap().contains("after 400 followers who count"), "{second}");

    let standing = shop.client.get("/v1/experiments/season/bandit").await.unwrap();
    let everybody = &standing["scopes"][0];
    assert_eq!((&everybody["waves"], &everybody["recommendation_id"]), (&json!(2), &second["id"]), "{standing}");
    let effect = &standing["effects"][0];
    assert_eq!(effect["variant"], "b", "{standing}");
    assert!((effect["difference"].as_f64().unwrap() - 0.05).abs() < 0.01, "{standing}");
    assert_eq!((&standing["stopped"], &standing["next"]["kind"]), (&json!([]), &json!("wait")), "{standing}");

    mail(&shop, "wave-2", "recommended", "IE").await;
    let counts = followed(&shop, &second).await;
    let dealt = counts["b"] as f64 / (counts["a"] + counts["b"]) as f64;
    assert!((dealt - share).abs() < 0.1, "{counts:?} where {share} was meant");
    shop.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_takes_its_first_step_and_goes_back_where_it_does_harm() {
    let shop = Shop::open("2026-03-02T09:00:00Z").await;
    people(&shop, "GB", 0..400).await;
    people(&shop, "IE", 400..800).await;
    shop.lake_knows(800).await;
    experiment(&shop, json!({ "rollout": { "steps": [50, 100], "hours": 2 } })).await;
    let got = mail(&shop, "test", "test", "GB").await;
    shop.pass(5);
    act(&shop, &click(), &got["a"], 0.3).await;
    act(&shop, &click(), &got["b"], 0.6).await;
    shop.pass(70);
    let first = recommended_after(&shop, &Value::Null).await;
    assert_eq!((&first["weights"], first["readout_id"].is_string()), (&json!({ "a": 0.5, "b": 0.5 }), true), "{first}");

    let got = mail(&shop, "rest", "recommended", "IE").await;
    let counts = followed(&shop, &first).await;
    assert!(counts["a"] > 100 && counts["b"] > 100, "{counts:?}");
    shop.pass(5);
    let leave = json!({ "kind": "feedback", "feedback": "unsubscribe" });
    act(&shop, &leave, &got["a"], 0.02).await;
    act(&shop, &leave, &got["b"], 0.3).await;
    // They count an hour later, and are looked at a quarter of an hour after the last time.
    shop.pass(75);
    let back = recommended_after(&shop, &first).await;
    assert_eq!((&back["weights"], &back["parent"]), (&json!({ "a": 1.0 }), &first["id"]), "{back}");
    assert!(back["reason"].as_str().unwrap().contains("it does harm"), "{back}");
    let standing = shop.client.get("/v1/experiments/season/rollout").await.unwrap();
    assert_eq!(standing, json!([]), "it is over");
    shop.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_to_many_waits_for_a_second_person() {
    let shop = Shop::open("2026-03-02T09:00:00Z").await;
    people(&shop, "GB", 0..400).await;
    shop.lake_knows(400).await;
    experiment(&shop, json!({ "approval": { "from": 0 } })).await;
    let got = mail(&shop, "test", "test", "GB").await;
    shop.pass(5);
    act(&shop, &click(), &got["a"], 0.3).await;
    act(&shop, &click(), &got["b"], 0.6).await;
    shop.pass(70);
    let proposals = async || shop.client.get("/v1/proposals?experiment=season").await.unwrap();
    let by_server = until("the server to propose", async || {
        let proposals = proposals().await;
        (!proposals[0].is_null()).then(|| proposals[0].clone())
    })
    .await;
    assert_eq!((&by_server["state"], &by_server["proposed_by"]), (&json!("open"), &Value::Null), "{by_server}");
    let now = shop.client.get("/v1/recommendations/season").await.unwrap();
    assert_eq!((&now["variant"], &now["fallback"]), (&json!("a"), &json!(true)), "nobody follows yet: {now}");

    // Somebody decides in person: that takes the place of what the server proposed.
    let decision = json!({ "variant": "b", "reason": "It sells more." });
    let by_person = shop.send(Method::POST, "/v1/recommendations/season", &decision).await;
    assert_eq!((&by_person["state"], &by_person["recommendations"][0]["variant"]), (&json!("open"), &json!("b")), "{by_person}");
    let path = format!("/v1/proposals/{}/approve", by_person["id"].as_str().unwrap());
    let own = shop.client.send(Method::POST, &path, "application/json", b"{}".to_vec()).await.unwrap_err().to_string();
    assert!(own.contains("which proposed it; another one must approve"), "{own}");
    let key = shop.send(Method::POST, "/v1/keys", &json!({ "name": "the boss", "scopes": ["manage"] })).await;
    let door = sendlab::server::Door { key: key["secret"].as_str().unwrap().to_owned(), ..shop.server.door.clone() };
    let boss = sendlab::Client::new(door);
    let made = boss.send(Method::POST, &path, "application/json", b"{}".to_vec()).await.unwrap();
    let now = shop.client.get("/v1/recommendations/season").await.unwrap();
    assert_eq!((&now["id"], &now["variant"]), (&made[0]["id"], &json!("b")), "{now}");
    assert_eq!(now["reason"], "It sells more. Approved by `the boss`.");
    let states: Vec<Value> = proposals().await.as_array().unwrap().iter().map(|of| of["state"].clone()).collect();
    assert_eq!(states, ["approved", "superseded"]);
    shop.server.stop().await.unwrap();
}
