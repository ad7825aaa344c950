//! What a trigger finds is sent: each entry once, by the hours of the recipient, to nobody who has done in the meantime what it was for.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};
use vocabulary::Clock as _;

use crate::support::shop::Shop;
use crate::support::until;

const TRIGGERS: &str = "
- { trigger: cart, when: { carted: { for_minutes: 60, without: [ordered] } }, entry: each_time, exit: [ordered], campaign: your-cart }
- { trigger: halved, when: { browsed: { for_minutes: 30 } }, holdout: 1, campaign: your-cart }
- { trigger: lost, when: { browsed: { for_minutes: 30 } }, campaign: nowhere }
";

/// Something that people do in a shop.
fn did(shop: &Shop, contact: &str, what: &str) -> Value {
    let at = shop.clock.now().to_string();
    let mut event = json!({ "event_id": format!("{contact} {what} {at}"), "event_time": at, "contact": contact });
    let more = match what {
        "ordered" => json!({ "kind": "order", "order_id": format!("{contact}{at}"), "amount": "20.00", "currency": "USD" }),
        activity => json!({ "kind": "activity", "activity": activity, "product": "sku1" }),
    };
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

/// Lets time pass until triggers were evaluated at its end, and everything that was to be planned is.
async fn pass(shop: &Shop, minutes: i64) {
    shop.pass(minutes);
    let now = json!(shop.clock.now().to_string());
    until("triggers to be evaluated", async || {
        let triggers = shop.client.get("/v1/triggers").await.ok()?;
        triggers.as_array()?.iter().all(|trigger| trigger["evaluated_at"] == now).then_some(())
    })
    .await;
}

/// What is told of contacts in the campaign: the step, what became of it and by which rule.
async fn told(shop: &Shop, contacts: &[&str]) -> BTreeMap<String, String> {
    let body = json!({ "campaign": "your-cart", "contacts": contacts });
    let answer = shop.send(Method::POST, "/v1/explanations", &body).await;
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let one = |contact: &Value| {
        assert_ne!(contact["agrees"], json!(false), "{contact}");
        let (decided, message) = (&contact["decided"], &contact["message"]["state"]);
        let fate = if message.is_null() { text(&decided["rule"]) } else { text(message) };
        (text(&contact["contact"]), format!("{} {fate}", text(&contact["step"])))
    };
    answer["contacts"].as_array().unwrap().iter().map(one).collect()
}

fn expected(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(contact, fate)| ((*contact).to_owned(), (*fate).to_owned())).collect()
}

async fn open() -> Shop {
    let shop = Shop::open("2026-03-02T09:00:00Z").await;
    let person =
        |key: &str| json!({ "key": key, "email": format!("{key}@example.test"), "country": "GB", "email_consent": "express" });
    let mut people: Vec<Value> = ["ann", "bob", "dan", "eve", "fay"].map(person).into();
    people.push(json!({ "key": "cat", "email": "cat@example.test", "country": "GB" }));
    shop.contacts(people).await;
    shop.experiment("e", [None; 2]).await;
    let stored = shop.client.send(Method::PUT, "/v1/triggers", "application/yaml", TRIGGERS.into()).await.unwrap();
    let problems: Vec<&str> = stored.as_array().unwrap().iter().map(|row| row["problem"].as_str().unwrap()).collect();
    assert!(problems[0].contains("there is no campaign `your-cart`"), "{problems:?}");
    shop.campaign("your-cart", "e", json!({ "triggered": true, "window": "daily 08:00-20:00" })).await;
    let trigger = shop.client.get("/v1/triggers/cart").await.unwrap();
    assert!(trigger["problem"].is_null(), "{trigger}");
    pass(&shop, 5).await;
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_sent_once_and_what_takes_out_does_so_until_it_leaves() {
    let shop = open().await;
    // Ann and Cat leave a cart, Bob orders, Fay only looks and is held out.
    let acts = [("ann", "carted"), ("bob", "carted"), ("cat", "carted"), ("fay", "viewed")];
    shop.lines("/v1/events", acts.map(|(who, what)| did(&shop, who, what)).into()).await;
    pass(&shop, 30).await;
    shop.lines("/v1/events", vec![did(&shop, "bob", "ordered")]).await;
    pass(&shop, 31).await;
    shop.mail(1).await;
    assert_eq!(shop.recipients(), ["ann@example.test"]);
    let first = [
        ("ann", "cart/1/1 accepted"),
        ("bob", "- trigger/entry"),
        ("cat", "cart/1/1 consent/gb"),
        ("fay", "halved/1/1 trigger/holdout"),
    ];
    until("the ledger to know", async || (told(&shop, &["ann", "bob", "cat", "fay"]).await == expected(&first)).then_some(()))
        .await;

    // The next day the same again is another message, and a restart in between doubles nothing.
    pass(&shop, 24 * 60).await;
    shop.lines("/v1/events", vec![did(&shop, "ann", "carted")]).await;
    let shop = shop.reopen().await;
    pass(&shop, 61).await;
    shop.mail(2).await;
    assert_eq!(shop.recipients(), ["ann@example.test", "ann@example.test"]);

    // At half past seven in the evening it is too late to write an hour later. Who orders in the night is not written to.
    pass(&shop, 9 * 60 - 35).await;
    assert_eq!(shop.clock.now().to_string(), "2026-03-03T19:32:00Z");
    shop.lines("/v1/events", ["dan", "eve"].map(|who| did(&shop, who, "carted")).into()).await;
    pass(&shop, 61).await;
    let waits = expected(&[("dan", "cart/1/1 schedule/window"), ("eve", "cart/1/1 schedule/window")]);
    assert_eq!(told(&shop, &["dan", "eve"]).await, waits);
    pass(&shop, 120).await;
    shop.lines("/v1/events", vec![did(&shop, "dan", "ordered")]).await;
    let shop = shop.reopen().await;
    pass(&shop, 12 * 60).await;
    shop.mail(3).await;
    let morning = [("dan", "cart/1/1 trigger/exit"), ("eve", "cart/1/1 accepted")];
    until("the ledger to know", async || (told(&shop, &["dan", "eve"]).await == expected(&morning)).then_some(())).await;
    assert_eq!(shop.recipients(), ["ann@example.test", "ann@example.test", "eve@example.test"]);
    let counts = shop.client.get("/v1/triggers/cart").await.unwrap();
    assert_eq!((&counts["sent"], &counts["exited"]), (&json!(4), &json!(1)), "{counts}");

    forgets_ann(&shop).await;
    shop.server.stop().await.unwrap();
}

/// Erasing somebody with two messages leaves nothing of either.
async fn forgets_ann(shop: &Shop) {
    shop.send(Method::POST, "/v1/erasures", &json!({ "contacts": ["ann"] })).await;
    let rows = until("the erasure to be certified", async || {
        let erasures = shop.client.get("/v1/erasures").await.ok()?;
        erasures[0]["certificate"]["rows"].as_object().cloned()
    })
    .await;
    assert_eq!((&rows["plans"], &rows["ledger"]), (&json!(2), &json!(2)), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_did_what_takes_out_during_a_pause_is_not_written_to() {
    let shop = open().await;
    shop.send(Method::POST, "/v1/campaigns/your-cart/pause", &json!({})).await;
    shop.lines("/v1/events", ["ann", "bob"].map(|who| did(&shop, who, "carted")).into()).await;
    pass(&shop, 61).await;
    shop.lines("/v1/events", vec![did(&shop, "bob", "ordered")]).await;
    pass(&shop, 10).await;
    shop.send(Method::POST, "/v1/campaigns/your-cart/start", &json!({})).await;
    let after = expected(&[("ann", "cart/1/1 accepted"), ("bob", "cart/1/1 trigger/exit")]);
    until("the ledger to know", async || (told(&shop, &["ann", "bob"]).await == after).then_some(())).await;
    assert_eq!(shop.recipients(), ["ann@example.test"]);
    shop.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_keeps_entries_but_not_for_ever_and_an_end_ends() {
    let shop = open().await;
    shop.send(Method::POST, "/v1/campaigns/your-cart/pause", &json!({})).await;
    shop.lines("/v1/events", vec![did(&shop, "ann", "carted")]).await;
    pass(&shop, 61).await;
    let problem = shop.client.get("/v1/triggers/cart").await.unwrap()["problem"].clone();
    assert!(problem.as_str().unwrap().contains("is paused"), "{problem}");
    pass(&shop, 24 * 60 * 5).await;
    shop.lines("/v1/events", vec![did(&shop, "bob", "carted")]).await;
    pass(&shop, 61).await;
    shop.send(Method::POST, "/v1/campaigns/your-cart/start", &json!({})).await;
    shop.mail(1).await;
    let late = expected(&[("ann", "cart/1/1 schedule/age-marketing"), ("bob", "cart/1/1 accepted")]);
    until("the ledger to know", async || (told(&shop, &["ann", "bob"]).await == late).then_some(())).await;
    assert_eq!(shop.recipients(), ["bob@example.test"]);
    let progress = shop.state("your-cart", &["sending"]).await["progress"].clone();
    assert_eq!((&progress["planned"], &progress["due"], &progress["accepted"]), (&json!(1), &json!(1), &json!(1)), "{progress}");

    let ends = shop.clock.now().to_string();
    let both = json!({ "campaign": "both", "experiment": "e", "from": "a@shop.example", "content": {}, "triggered": true, "segment": "x" });
    let refused = shop.client.send(Method::PUT, "/v1/campaigns", "application/json", both.to_string().into_bytes()).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("triggered") && refused.contains("is given beside `audience` or `segment`"), "{refused}");
    shop.campaign("brief", "e", json!({ "triggered": true, "start": "2026-03-01T00:00:00Z", "ends": ends })).await;
    shop.state("brief", &["done"]).await;
    shop.server.stop().await.unwrap();
}
