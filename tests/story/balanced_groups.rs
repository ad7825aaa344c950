//! A shop with a few big spenders, whom chance has put into one group of a test: the first plan draws the groups anew until they agree, says
//! so beforehand and afterwards, and that draw counts for all that comes.

use std::collections::BTreeMap;

use experiment::Assigner;
use reqwest::Method;
use serde_json::{Value, json};
use vocabulary::ContactKey;

use crate::support::shop::Shop;
use crate::support::{sql, until};

const PEOPLE: usize = 120;
const SPENDERS: usize = 16;

fn experiment(acceptance: f64) -> Value {
    json!({
        "experiment": "e", "factors": ["copy"], "primary": "clicked", "variants": [{ "name": "a" }, { "name": "b" }],
        "metrics": [{ "name": "clicked", "outcome": "click", "measure": "occurred" }],
        "balance": { "covariates": ["revenue", "orders", "tenure", "country"], "acceptance": acceptance },
    })
}

/// The variant of a contact in a draw.
fn variant(draw: u64, key: ContactKey) -> String {
    let experiment = experiment::parse(&experiment(0.2).to_string()).unwrap();
    Assigner::new(&experiment, u32::try_from(draw).unwrap()).assign(key).variant.to_string()
}

fn key_of(row: &Value) -> ContactKey {
    ContactKey::from_i64(row["contact_key"].as_str().unwrap().parse().unwrap()).unwrap()
}

/// The shop, and those who spend much: all of them would be in one group.
async fn shop() -> (Shop, Vec<ContactKey>) {
    let shop = Shop::open("2026-03-02T09:00:00Z").await;
    let person = |number: usize| {
        let name = format!("p{number}");
        json!({ "key": name, "email": format!("{name}@example.test"), "email_consent": "express", "country": "GB",
            "attributes": { "own_id": name } })
    };
    shop.contacts((0..PEOPLE).map(person).collect()).await;
    shop.lake_knows(PEOPLE as u64).await;
    let rows = sql(&shop.client, "SELECT contact_key, attributes['own_id'] AS name FROM contacts ORDER BY contact_key").await;
    let spenders: Vec<&Value> = rows.iter().filter(|row| variant(0, key_of(row)) == "a").take(SPENDERS).collect();
    assert_eq!(spenders.len(), SPENDERS);
    let order = |row: &&Value| {
        let name = row["name"].as_str().unwrap();
        json!({ "kind": "order", "event_id": name, "event_time": "2026-02-10T12:00:00Z", "contact": name, "order_id": name,
            "amount": "4000.00", "currency": "USD" })
    };
    shop.lines("/v1/events", spenders.iter().map(order).collect()).await;
    shop.send(Method::PUT, "/v1/experiments", &experiment(0.2)).await;
    let keys = spenders.into_iter().map(key_of).collect();
    (shop, keys)
}

/// The variant that each contact was sent in a campaign.
async fn sent(shop: &Shop, campaign: &str) -> BTreeMap<ContactKey, String> {
    let query = format!("SELECT contact_key, variant FROM messages WHERE campaign_id = '{campaign}'");
    let rows = until("all messages to be told", async || {
        let rows = sql(&shop.client, &query).await;
        (rows.len() == PEOPLE).then_some(rows)
    });
    rows.await.iter().map(|row| (key_of(row), row["variant"].as_str().unwrap().to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_agree_before_anything_is_sent() {
    let (shop, spenders) = shop().await;
    let copy =
        json!({ "subject": "Hello", "html": "<p>Hello <a href=\"{{ preferences_url }}\">Choose</a></p>", "text": "Hello" });
    let content = json!({ "a": copy, "b": copy });
    let written = json!({ "campaign": "c", "experiment": "e", "from": "news@shop.example", "content": content });
    shop.send(Method::PUT, "/v1/campaigns", &written).await;

    // Beforehand it is told, and nothing kept.
    let run = shop.send(Method::POST, "/v1/campaigns/c/dry-run", &json!({})).await;
    let (kept, told) = (&run["balance"]["kept"], &run["balance"]["balanced"]);
    assert_eq!((&run["sent"], kept, &told["contacts"]), (&json!(PEOPLE), &json!(false), &json!(PEOPLE)), "{run}");
    let draw = told["draw"].as_u64().unwrap();
    assert!(draw > 0 && told["accepted"] == true, "{told}");
    assert!(shop.client.get("/v1/experiments/e").await.unwrap()["balanced"].is_null());

    // The plan chooses in the same way, keeps what it chose, and sends by it.
    shop.campaign("c", "e", json!({})).await;
    shop.state("c", &["done"]).await;
    let balanced = shop.client.get("/v1/experiments/e").await.unwrap()["balanced"].clone();
    let number = |name: &str| balanced[name].as_f64().unwrap();
    assert_eq!((&balanced["draw"], &balanced["campaign"], &balanced["contacts"]), (&json!(draw), &json!("c"), &json!(PEOPLE)));
    assert!(number("distance") <= number("threshold") && number("threshold") < number("first_distance"), "{balanced}");
    let names: Vec<&Value> = balanced["covariates"].as_array().unwrap().iter().map(|row| &row["covariate"]).collect();
    assert_eq!(json!(names), json!(["revenue", "orders", "tenure", "country GB"]));
    let revenue = &balanced["covariates"][0];
    assert!(revenue["chosen"].as_f64().unwrap() < revenue["first"].as_f64().unwrap() / 2.0, "{revenue}");
    let first = sent(&shop, "c").await;
    assert!(first.iter().all(|(key, found)| *found == variant(draw, *key)), "{first:?}");
    let in_a = spenders.iter().filter(|key| first[*key] == "a").count();
    assert!((5..=11).contains(&in_a), "{in_a} of {SPENDERS}");
    let answer = shop.send(Method::POST, "/v1/explanations", &json!({ "campaign": "c", "contacts": ["p0", "p1", "p2"] })).await;
    assert!(answer["contacts"].as_array().unwrap().iter().all(|contact| contact["agrees"] == true), "{answer}");

    // Whatever becomes known later, everybody keeps their variant, and what groups were balanced by stays.
    let late = json!({ "kind": "order", "event_id": "late", "event_time": "2026-03-02T09:00:00Z", "contact": "p0", "order_id": "late",
        "amount": "90000.00", "currency": "USD" });
    shop.lines("/v1/events", vec![late]).await;
    shop.pass(60);
    let run = shop.send(Method::POST, "/v1/campaigns/c/dry-run", &json!({})).await;
    assert_eq!((&run["balance"]["kept"], &run["balance"]["balanced"]), (&json!(true), &balanced), "{run}");
    shop.campaign("d", "e", json!({})).await;
    shop.state("d", &["done"]).await;
    assert_eq!(sent(&shop, "d").await, first);
    assert_eq!(shop.client.get("/v1/experiments/e").await.unwrap()["balanced"], balanced);
    let other = experiment(0.1).to_string().into_bytes();
    let refused = shop.client.send(Method::PUT, "/v1/experiments", "application/json", other).await.unwrap_err();
    assert!(refused.to_string().contains("was started with the balance as it is"), "{refused}");
    shop.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_named_by_a_trigger_first_keeps_their_variant() {
    let (shop, _) = shop().await;
    shop.campaign("entries", "e", json!({ "triggered": true })).await;
    let balanced = shop.client.get("/v1/experiments/e").await.unwrap()["balanced"].clone();
    assert_eq!(json!([balanced["draw"], balanced["draws"], balanced["campaign"]]), json!([0, 0, "entries"]));
    shop.campaign("c", "e", json!({})).await;
    shop.state("c", &["done"]).await;
    assert!(sent(&shop, "c").await.iter().all(|(key, found)| *found == variant(0, *key)));
    assert_eq!(shop.client.get("/v1/experiments/e").await.unwrap()["balanced"], balanced);
    shop.server.stop().await.unwrap();
}
