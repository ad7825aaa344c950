//! A look before windows are over: it decides for now once finished experiments show that what is early tells what comes, and the test goes on.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::shop::Shop;
use crate::support::{landed, until};

/// By how much `b` is clicked more in each of the finished experiments.
const PAST: [f64; 6] = [-0.4, -0.2, 0.0, 0.2, 0.4, 0.6];

const PEOPLE: usize = 240;

fn names(source: &str) -> Vec<String> {
    (0..PEOPLE).map(|number| format!("{source}-{number}")).collect()
}

async fn people(shop: &Shop, source: &str) {
    let person = |name: &String| {
        let email = format!("{name}@example.test");
        json!({ "key": name, "email": email, "email_consent": "express", "country": "GB", "source": source })
    };
    shop.contacts(names(source).iter().map(person).collect()).await;
}

/// Mails everybody of a source a test of the same name.
async fn mailed(shop: &Shop, id: &str) {
    let experiment = json!({
        "experiment": id, "factors": ["copy"], "variants": [{ "name": "a" }, { "name": "b" }], "primary": "clicked",
        "metrics": [{ "name": "clicked", "outcome": "click", "measure": "occurred" }], "window_hours": 48,
        "early": { "age_hours": 4 },
    });
    shop.send(Method::PUT, "/v1/experiments", &experiment).await;
    let audience = format!("SELECT contact_key FROM contacts WHERE source = '{id}'");
    shop.campaign(id, id, json!({ "audience": audience })).await;
    shop.state(id, &["done"]).await;
    landed(&shop.client).await;
}

/// Half an hour ago half of those with `a` clicked, and so many more of those with `b`.
async fn clicked(shop: &Shop, id: &str, lift: f64) {
    let told = shop.send(Method::POST, "/v1/explanations", &json!({ "campaign": id, "contacts": names(id) })).await;
    let told = told["contacts"].as_array().unwrap();
    let at = vocabulary::Clock::now(&*shop.clock).checked_sub(jiff::SignedDuration::from_mins(30)).unwrap().to_string();
    let mut clicks = Vec::new();
    for (variant, share) in [("a", 0.5), ("b", 0.5 * (1.0 + lift))] {
        let of: Vec<String> = (names(id).into_iter().zip(told))
            .filter(|(_, told)| told["planned"]["variant"] == variant)
            .map(|(name, _)| name)
            .collect();
        let some = (of.len() as f64 * share).round() as usize;
        let click = |name: &String| {
            let event = format!("click-{name}");
            json!({ "kind": "click", "event_id": event, "event_time": at, "contact": name, "experiment_id": id })
        };
        clicks.extend(of.iter().take(some).map(click));
    }
    shop.lines("/v1/events", clicks).await;
    landed(&shop.client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_experiments_let_an_early_look_decide() {
    let shop = Shop::open("2026-03-02T09:00:00Z").await;
    let ids: Vec<String> = (0..PAST.len()).map(|number| format!("past{number}")).collect();
    for id in ids.iter().map(String::as_str).chain(["now"]) {
        people(&shop, id).await;
    }
    shop.lake_knows((PEOPLE * (PAST.len() + 1)) as u64).await;
    for id in &ids {
        mailed(&shop, id).await;
    }
    shop.pass(60);
    for (id, lift) in ids.iter().zip(PAST) {
        clicked(&shop, id, lift).await;
    }
    shop.pass(3 * 60 + 30);
    let decision = async |id: &str| shop.client.get(&format!("/v1/experiments/{id}/decision")).await.unwrap();
    let largest = decision("past5").await;
    assert_eq!((&largest["action"], &largest["early"]["decides"]), (&json!("cannot_judge"), &json!(false)), "{largest}");
    assert!(largest["early"]["sentence"].as_str().unwrap().contains("there are 0 past experiments"), "{largest}");

    // Two days later all of them are decided. The same once more, to people who got nothing yet.
    shop.pass(3 * 24 * 60);
    let library = async || shop.client.get("/v1/library").await.unwrap()["entries"].to_string();
    let is_known = |library: &str, id: &str| library.contains(&format!("\"experiment\":\"{id}\""));
    until("the six to be decided", async || {
        let library = library().await;
        ids.iter().all(|id| is_known(&library, id)).then_some(())
    })
    .await;
    mailed(&shop, "now").await;
    shop.pass(60);
    clicked(&shop, "now", 0.7).await;
    shop.pass(3 * 60 + 30);
    let made = until("the winner of the first hours", async || {
        let made = shop.client.get("/v1/recommendations/now").await.ok()?;
        (made["variant"] == "b").then_some(made)
    })
    .await;
    assert!(made["reason"].as_str().unwrap().starts_with("Send `b` for now: by the first 4 hours"), "{made}");
    let early = decision("now").await;
    assert_eq!(early["information"]["mature"], 0, "nobody's window is over: {early}");
    assert!(early["early"]["variants"][0]["explained"].as_f64().unwrap() > 0.8, "{early}");
    assert_eq!(early["reasons"][0]["code"], "early_shown", "{early}");
    assert!(!is_known(&library().await, "now"), "the test goes on");
    let series: Value = shop.client.get("/v1/experiments/now/series").await.unwrap();
    let ages: Vec<&Value> = series["ages"].as_array().unwrap().iter().map(|point| &point["age_hours"]).collect();
    assert_eq!(ages, [1, 2, 4], "{series}");
    assert_eq!(series["days"][0]["variants"].as_array().unwrap().len(), 2, "{series}");

    shop.pass(3 * 24 * 60);
    until("the end", async || is_known(&library().await, "now").then_some(())).await;
    shop.server.stop().await.unwrap();
}
