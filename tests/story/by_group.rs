//! An experiment by groups of its recipients: what differs between them is told, and what does not is not.

use serde_json::{Value, json};

use crate::support::landed;
use crate::support::shop::Shop;

/// The groups of a breakdown, by name.
fn names_of(breakdown: &Value) -> Vec<String> {
    let parts = breakdown["parts"].as_array().unwrap().iter();
    let mut names: Vec<String> = parts.map(|part| part["part"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// Eight hundred people, half of them with a phone; a third of each in a tier of their own, and some in another time zone.
async fn people(shop: &Shop) {
    let person = |number: u32| {
        let (key, email) = (format!("k{number}"), format!("k{number}@example.test"));
        let device = if number < 400 { "mobile" } else { "desktop" };
        let zone = if number.is_multiple_of(4) { "Europe/Paris" } else { "Europe/London" };
        json!({ "key": key, "email": email, "email_consent": "express", "country": "GB", "device": device, "time_zone": zone,
            "attributes": { "tier": if number.is_multiple_of(3) { "gold" } else { "plain" }, "number": number.to_string() } })
    };
    shop.contacts((0..800).map(person).collect()).await;
    shop.lake_knows(800).await;
}

/// With a phone `b` is clicked by far more, else by far fewer.
async fn clicks(shop: &Shop) -> Vec<Value> {
    let assigned = crate::support::sql(&shop.client, "SELECT contact_key, variant FROM assignments").await;
    let mut clicks = Vec::new();
    for number in 0..800_u32 {
        let key = shop.key_of(&format!("k{number}")).await.as_i64().to_string();
        let variant = assigned.iter().find(|row| row["contact_key"] == key.as_str()).unwrap()["variant"].clone();
        let share = match (variant == "b", number < 400) {
            (true, true) | (false, false) => 5,
            _ => 2,
        };
        if number / 4 % 10 < share {
            let (id, contact) = (format!("click-{number}"), format!("k{number}"));
            clicks.push(json!({ "kind": "click", "event_id": id, "event_time": "2026-03-02T09:30:00Z", "contact": contact }));
        }
    }
    clicks
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_compared_and_told_whether_they_differ() {
    let shop = Shop::open("2026-03-02T09:00:00Z").await;
    people(&shop).await;
    // Who clicks whatever they get clicked a month ago as well, in a message of another experiment.
    let before = (0..800_u32).filter(|number| number / 4 % 10 < 2).map(|number| {
        let (id, contact) = (format!("before-{number}"), format!("k{number}"));
        json!({ "kind": "click", "event_id": id, "event_time": "2026-02-01T09:30:00Z", "contact": contact, "experiment_id": "winter" })
    });
    shop.lines("/v1/events", before.collect()).await;
    shop.experiment("e", [None; 2]).await;
    shop.campaign("c", "e", json!({})).await;
    shop.state("c", &["done"]).await;
    landed(&shop.client).await;
    let clicks = clicks(&shop).await;
    shop.pass(60);
    shop.lines("/v1/events", clicks).await;
    landed(&shop.client).await;
    shop.pass(8 * 24 * 60);
    let by = async |dimension: &str| shop.client.get(&format!("/v1/experiments/e/breakdown?by={dimension}")).await.unwrap();

    let device = by("device").await;
    let parts: Vec<(&Value, &Value, &Value)> =
        device["parts"].as_array().unwrap().iter().map(|part| (&part["part"], &part["mature"], &part["best"])).collect();
    assert_eq!(parts, [(&json!("desktop"), &json!(400), &json!("a")), (&json!("mobile"), &json!(400), &json!("b"))]);
    assert_eq!(device["differences"][0]["differs"], true, "{device}");
    assert!(device["sentence"].as_str().unwrap().starts_with("By device the effect of `b` on clicked differs"), "{device}");

    let adjusted = shop.client.get("/v1/experiments/e/adjusted").await.unwrap();
    let variant = &adjusted["variants"][0];
    assert_eq!((&adjusted["recipients"], &variant["variant"]), (&json!(800), &json!("b")), "{adjusted}");
    let readout = shop.client.get("/v1/experiments/e/readout").await.unwrap();
    let plain = readout["estimates"][0]["absolute"]["computed"]["difference"].as_f64();
    assert!(
        plain.is_some()
            && variant["plain"]["difference"].as_f64().zip(plain).is_some_and(|(one, other)| (one - other).abs() < 1e-12)
    );
    assert!(variant["variance_removed"].as_f64().unwrap() > 0.2, "they click as they did before: {adjusted}");

    // Where the experiment asks for it, decisions rest on what is left.
    let mut written = shop.client.get("/v1/experiments/e").await.unwrap();
    assert!(shop.client.get("/v1/experiments/e/decision").await.unwrap()["information"]["variance_removed"].is_null());
    written["cuped"] = json!({});
    shop.send(reqwest::Method::PUT, "/v1/experiments", &written).await;
    let decision = shop.client.get("/v1/experiments/e/decision").await.unwrap();
    assert!(decision["information"]["variance_removed"].as_f64().unwrap() > 0.1, "{decision}");

    let tier = by("attributes.tier").await;
    assert_eq!(names_of(&tier), ["gold", "plain"]);
    assert_eq!(tier["differences"][0]["differs"], false, "{tier}");
    assert_eq!(names_of(&by("channel").await), ["email"]);
    assert_eq!(names_of(&by("hour").await), ["09:00", "10:00"], "by their own clocks");
    assert_eq!(names_of(&by("attributes.colour").await), ["(unknown)"]);
    let refused = async |dimension: &str| {
        shop.client.get(&format!("/v1/experiments/e/breakdown?by={dimension}")).await.unwrap_err().to_string()
    };
    assert!(refused("colour").await.contains("is not one of market, country"), "{}", refused("colour").await);
    assert!(
        refused("attributes.number").await.contains("800 groups; the limit is 200"),
        "{}",
        refused("attributes.number").await
    );
    shop.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn experiments_on_the_same_people_are_scanned() {
    let shop = Shop::open("2026-03-02T09:00:00Z").await;
    people(&shop).await;
    let test = async |id: &str| {
        shop.experiment(id, [None; 2]).await;
        shop.campaign(id, id, json!({})).await;
        shop.state(id, &["done"]).await;
        landed(&shop.client).await;
    };
    let overlaps = async |id: &str| shop.client.get(&format!("/v1/experiments/{id}/overlaps")).await.unwrap();
    test("first").await;
    assert_eq!(overlaps("first").await, json!([]));
    // One goes to the same people when all windows are over, and another one a day after that.
    shop.pass(8 * 24 * 60);
    test("late").await;
    assert_eq!(overlaps("first").await, json!([]), "its window is over");
    shop.pass(24 * 60);
    test("later").await;
    shop.pass(8 * 24 * 60);
    let found = overlaps("late").await;
    let overlap = &found[0];
    let facts = (&overlap["other"], &overlap["recipients"], &overlap["is_dependent"]);
    assert_eq!(facts, (&json!("later"), &json!(800), &json!(false)));
    assert!(overlap["independence_p"].as_f64().unwrap() > 0.001, "{overlap}");
    assert!(
        overlap["sentence"].as_str().unwrap().starts_with("Too few of the 800 recipients of both"),
        "nobody clicked: {overlap}"
    );
    shop.server.stop().await.unwrap();
}
