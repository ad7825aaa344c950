//! A campaign is paused, changed and started again. Who has not got their message gets the new one at the new hour; nobody gets two.

use std::collections::HashSet;

use reqwest::Method;
use serde_json::json;

use crate::support::shop::Shop;
use crate::support::until;

const CONTACTS: usize = 60;
/// Mails let through before the pause.
const BEFORE: usize = 10;
/// What may be on the wire at one moment: one message for each lane, one that the mail server holds, and one that waits at the gate.
const ON_THE_WIRE: usize = 4 + 2;

/// How many mails came with this subject.
fn with_subject(shop: &Shop, subject: &str) -> usize {
    let line = format!("\r\nSubject: {subject}\r\n");
    shop.raw_mails().iter().filter(|raw| String::from_utf8_lossy(raw).contains(&line)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_left_can_be_changed() {
    let shop = Shop::gated("2026-03-02T09:00:00Z").await;
    let name = |number: usize| format!("k{number}");
    let person = |number| json!({ "key": name(number), "email": format!("{}@example.test", name(number)), "email_consent": "express", "country": "GB" });
    shop.contacts((0..CONTACTS).map(person).collect()).await;
    shop.experiment("e", [None; 2]).await;
    let recommendation = json!({ "variant": "a", "parent": null, "reason": "a person chose" });
    shop.send(Method::POST, "/v1/recommendations/e", &recommendation).await;
    shop.campaign("c", "e", json!({ "mode": "recommended", "send_hour": 10 })).await;
    shop.pass(60);
    shop.let_through(BEFORE);
    until("mails to arrive", async || (shop.recipients().len() >= BEFORE).then_some(())).await;

    let put = async |campaign: &serde_json::Value| {
        shop.client.send(Method::PUT, "/v1/campaigns", "application/json", campaign.to_string().into_bytes()).await
    };
    let mut changed = shop.client.get("/v1/campaigns/c").await.unwrap()["campaign"].clone();
    for copy in ["a", "b"] {
        changed["content"][copy]["subject"] = json!("Mended");
    }
    changed["send_hour"] = json!(15);
    let running = put(&changed).await.expect_err("it is being sent");
    assert!(format!("{running:#}").contains("it is sending; pause it first"), "{running:#}");
    shop.send(Method::POST, "/v1/campaigns/c/pause", &json!({})).await;
    shop.let_through(2 * CONTACTS);
    until("nothing to be on the wire", async || {
        let progress = shop.client.get("/v1/campaigns/c").await.ok()?["progress"].clone();
        (progress["claimed"] == 0 && progress["accepted"] == shop.recipients().len()).then_some(())
    })
    .await;
    let before = shop.recipients().len();
    assert!((BEFORE..=BEFORE + ON_THE_WIRE).contains(&before), "{before} left before the pause held");

    let mut other = changed.clone();
    other["mode"] = json!("test");
    let refused = put(&other).await.expect_err("its messages are counted by it");
    assert!(format!("{refused:#}").contains("`mode` stays as it is"), "{refused:#}");
    let answer = put(&changed).await.unwrap();
    assert_eq!((&answer["state"], &answer["is_changed"]), (&json!("paused"), &json!(true)), "{answer}");
    shop.send(Method::POST, "/v1/campaigns/c/start", &json!({})).await;
    let answer = shop.state("c", &["sending"]).await;
    assert_eq!(answer["is_changed"], json!(false));
    // A quarter past ten is no hour of the new plan: what was due at ten is due at fifteen.
    shop.pass(15);
    let explained = shop.send(Method::POST, "/v1/explanations", &json!({ "campaign": "c", "contacts": ["k0"] })).await;
    assert_eq!(explained["contacts"][0]["planned"]["due"], json!("2026-03-02T15:00:00Z"), "{explained}");
    assert_eq!(shop.recipients().len(), before);

    shop.pass(5 * 60);
    let end = shop.state("c", &["done"]).await["progress"].clone();
    assert_eq!((&end["accepted"], &end["in_doubt"]), (&json!(CONTACTS), &json!(0)), "{end}");
    let recipients = shop.recipients();
    let different: HashSet<&String> = recipients.iter().collect();
    assert_eq!((recipients.len(), different.len()), (CONTACTS, CONTACTS));
    assert_eq!((with_subject(&shop, "Hello"), with_subject(&shop, "Mended")), (before, CONTACTS - before));
    shop.server.stop().await.unwrap();
}
