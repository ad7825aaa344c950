//! What sending brings at all: some get everything but the message, from one campaign or from all marketing, and are compared with the others.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::shop::Shop;
use crate::support::{landed, sql};

const NOW: &str = "2026-03-02T09:00:00Z";

async fn people(shop: &Shop) {
    let person = |number: u32| {
        let (key, email) = (format!("k{number}"), format!("k{number}@example.test"));
        json!({ "key": key, "email": email, "email_consent": "express", "country": "GB" })
    };
    shop.contacts((0..400).map(person).collect()).await;
    shop.lake_knows(400).await;
}

/// An order five minutes from now of each of these people.
async fn buy(shop: &Shop, people: impl Iterator<Item = &String>) {
    let at = vocabulary::Clock::now(&*shop.clock).checked_add(jiff::SignedDuration::from_mins(5)).unwrap().to_string();
    let order = |name: &String| {
        json!({ "kind": "order", "event_id": format!("o-{name}"), "event_time": at, "contact": name, "order_id": format!("o-{name}"),
            "amount": 20, "currency": "USD" })
    };
    shop.pass(10);
    shop.lines("/v1/events", people.map(order).collect()).await;
    landed(&shop.client).await;
}

fn written_to(shop: &Shop) -> BTreeSet<String> {
    shop.recipients().iter().map(|address| address.split('@').next().unwrap().to_owned()).collect()
}

fn estimate<'a>(readout: &'a Value, metric: &str, variant: &str, baseline: &str) -> &'a Value {
    let is_it = |one: &&Value| one["metric"] == metric && one["variant"] == variant && one["baseline"] == baseline;
    readout["estimates"].as_array().unwrap().iter().find(is_it).unwrap_or_else(|| panic!("none in {readout}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_is_measured_against_who_is_held_out_of_it() {
    let shop = Shop::open(NOW).await;
    people(&shop).await;
    let mut experiment = json!({
        "experiment": "e", "factors": ["copy"], "primary": "revenue", "metrics": ["revenue", "ordered"], "window_hours": 24,
        "variants": [{ "name": "a", "weight": 2 }, { "name": "b", "weight": 2 }, { "name": "nobody", "copy": "a", "holdout": true }],
    });
    shop.send(Method::PUT, "/v1/experiments", &experiment).await;
    // Receipts are for everybody.
    let copy = json!({ "subject": "Hello", "html": "<p>Hello</p>", "text": "Hello" });
    let receipt = json!({ "campaign": "r", "experiment": "e", "class": "transactional", "from": "news@shop.example",
        "content": { "a": copy, "b": copy } });
    let body = receipt.to_string().into_bytes();
    let refused = shop.client.send(Method::PUT, "/v1/campaigns", "application/json", body).await.unwrap_err().to_string();
    assert!(refused.contains("`nobody` sends nothing to its recipients"), "{refused}");

    let copies = json!({ "a": copy, "b": copy });
    let trial = json!({ "campaign": "trial", "experiment": "e", "from": "news@shop.example", "content": copies });
    shop.send(Method::PUT, "/v1/campaigns", &trial).await;
    let run = shop.send(Method::POST, "/v1/campaigns/trial/dry-run", &json!({})).await;
    let [sent, held_out] = ["sent", "held_out"].map(|count| run[count].as_u64().unwrap());
    assert_eq!((sent + held_out, &run["audience"]), (400, &json!(400)), "{run}");
    assert!(held_out > 0 && run["by_variant"].as_array().unwrap().len() == 2, "{run}");

    shop.campaign("c", "e", json!({})).await;
    let done = shop.state("c", &["done"]).await;
    landed(&shop.client).await;
    let got = written_to(&shop);
    assert_eq!(held_out, 400 - got.len() as u64, "as the dry run said");
    assert!((45..=115).contains(&held_out), "a fifth, not {held_out}");
    let progress = &done["progress"];
    assert_eq!((&progress["accepted"], &progress["skipped"]), (&json!(got.len()), &json!(held_out)), "{progress}");
    assert_eq!((shop.deliveries("held_out").await, shop.deliveries("accepted").await), (held_out, got.len() as u64));
    let variants = sql(&shop.client, "SELECT DISTINCT variant FROM deliveries WHERE status = 'held_out'").await;
    assert_eq!(variants, [json!({ "variant": "nobody" })]);

    // Six in ten of those who were written to buy, and one in ten of the others.
    let all: Vec<String> = (0..400).map(|number| format!("k{number}")).collect();
    let buyers = all.iter().enumerate().filter(|(place, name)| place % 10 < if got.contains(*name) { 6 } else { 1 });
    buy(&shop, buyers.map(|(_, name)| name)).await;
    shop.pass(26 * 60);
    let readout = shop.client.get("/v1/experiments/e/readout").await.unwrap();
    for variant in ["a", "b"] {
        let brings = estimate(&readout, "revenue", variant, "nobody");
        let difference = brings["absolute"]["computed"]["difference"].as_f64().unwrap();
        assert!((5.0..15.0).contains(&difference) && brings["significant"] == true, "10 is the truth: {brings}");
    }
    let decision = shop.client.get("/v1/experiments/e/decision").await.unwrap();
    let arms: Vec<&Value> = decision["arms"].as_array().unwrap().iter().map(|arm| &arm["variant"]).collect();
    assert_eq!(arms, ["a", "b"], "sending nothing is not what is chosen: {decision}");
    let is_lost = |doubt: &Value| doubt["code"] == "funnel_mismatch";
    assert!(!decision["doubts"].as_array().unwrap().iter().any(is_lost), "that nothing was sent to some is meant so: {decision}");
    let page = shop.client.bytes(Method::GET, "/v1/experiments/e/page", "application/json", Vec::new()).await.unwrap();
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("Sending is worth it: against the") && page.contains("They were held out"), "{page}");

    experiment["control"] = json!("nobody");
    let body = experiment.to_string().into_bytes();
    let refused = shop.client.send(Method::PUT, "/v1/experiments", "application/json", body).await.unwrap_err().to_string();
    assert!(refused.contains("is true of `nobody`, which the others are compared with"), "{refused}");
    shop.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_marketing_is_measured_against_who_is_held_out_of_it() {
    let rules = include_str!("../../data/rules/sending.toml").replace("share = 0.0", "share = 0.25\nrotate_days = 30");
    let shop = Shop::ruled(NOW, "sending.toml", rules).await;
    people(&shop).await;
    shop.experiment("e", [None; 2]).await;
    shop.campaign("c", "e", json!({})).await;
    shop.state("c", &["done"]).await;
    landed(&shop.client).await;
    let got = written_to(&shop);
    let held_out = shop.deliveries("held_out").await;
    assert!((60..=140).contains(&held_out) && got.len() as u64 + held_out == 400, "a quarter, not {held_out}");
    let all: Vec<String> = (0..400).map(|number| format!("k{number}")).collect();
    let buyers = all.iter().enumerate().filter(|(place, name)| place % 10 < if got.contains(*name) { 6 } else { 1 });
    buy(&shop, buyers.map(|(_, name)| name)).await;
    shop.pass(2 * 24 * 60);
    let readout = shop.client.get("/v1/holdout?window_hours=24&margin=0.5").await.unwrap();
    let brings = estimate(&readout, "profit", "written to", "held out");
    let difference = brings["absolute"]["computed"]["difference"].as_f64().unwrap();
    assert!((3.0..7.0).contains(&difference) && brings["significant"] == true, "5 is the truth: {brings}");
    assert!(readout["sample_ratio"]["test"]["computed"].is_object(), "the share is known: {readout}");
    let assigned: u64 = readout["arms"].as_array().unwrap().iter().map(|arm| arm["assigned"].as_u64().unwrap()).sum();
    assert_eq!(assigned, 400);
    shop.server.stop().await.unwrap();

    let shop = Shop::open(NOW).await;
    let nobody = shop.client.get("/v1/holdout").await.unwrap_err().to_string();
    assert!(nobody.contains("the holdout has a share of 0") && nobody.contains("[holdout]"), "{nobody}");
    shop.server.stop().await.unwrap();
}
