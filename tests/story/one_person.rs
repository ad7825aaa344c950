//! Codes and receipts: told by another system, handed over at once beside whatever else is sent, once or as often as their class
//! allows.

use reqwest::Method;
use serde_json::{Value, json};
use simulator::sink::Fault;

use crate::support::shop::Shop;
use crate::support::until;

async fn templates(shop: &Shop) {
    let content = json!({ "subject": "Your code", "html": "<p>Code <b>{{ data.code }}</b></p>", "text": "Code {{ data.code }}" });
    let receipt = json!({ "subject": "Order {{ data.order }}", "html": "<p>Paid</p>", "text": "Paid" });
    let both = json!([
        { "template": "code", "class": "verification", "from": "Shop <code@shop.example>", "content": content },
        { "template": "receipt", "class": "transactional", "from": "Shop <orders@shop.example>", "content": receipt },
    ]);
    shop.send(Method::PUT, "/v1/templates", &both).await;
}

async fn code(shop: &Shop, id: &str, email: &str) -> Value {
    let message = json!({ "id": id, "template": "code", "to": { "email": email }, "data": { "code": "482913" } });
    shop.send(Method::POST, "/v1/messages", &message).await
}

async fn receipt(shop: &Shop, id: &str, to: Value) -> Value {
    let message = json!({ "id": id, "template": "receipt", "to": to, "data": { "order": id } });
    shop.send(Method::POST, "/v1/messages", &message).await
}

async fn state(shop: &Shop, id: &str) -> String {
    let row = shop.client.get(&format!("/v1/messages/{id}")).await.unwrap();
    row["state"].as_str().unwrap().to_owned()
}

async fn becomes(shop: &Shop, id: &str, expect: &str) -> Value {
    until(&format!("message {id} to be {expect}"), async || {
        let row = shop.client.get(&format!("/v1/messages/{id}")).await.ok()?;
        (row["state"] == expect).then_some(row)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_goes_out_once_while_every_lane_of_a_campaign_stands_still() {
    let shop = Shop::faulty(&[Fault::SilentAfterDot("slow".into())]).await;
    templates(&shop).await;
    // Four slices of the plan, one for each lane, of which each claims sixteen at first.
    let names: Vec<String> = (0..1_501).map(|number| format!("slow{number}")).collect();
    shop.mailing(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    until("every lane of the campaign to wait for an answer", async || {
        (shop.client.get("/v1/campaigns/c").await.ok()?["progress"]["claimed"] == 3 * 16 + 1).then_some(())
    })
    .await;

    let told = code(&shop, "code-1", "ann@example.test").await;
    assert_eq!((&told["class"], &told["template"], &told["id"]), (&json!("verification"), &json!("code"), &json!("code-1")));
    let row = becomes(&shop, "code-1", "accepted").await;
    assert!(row["reply"].as_str().unwrap().starts_with("250"), "{row}");
    let mail = shop.mail(1).await;
    assert!(mail.contains("Code 482913") && mail.contains("Code <b>482913</b>"), "{mail}");
    assert!(!mail.contains("List-Unsubscribe") && !mail.contains("/t/o/"), "a code is not tracked: {mail}");
    // Told again it is not sent again; with other content it is refused.
    assert_eq!(code(&shop, "code-1", "ann@example.test").await["state"], "accepted");
    let other = json!({ "id": "code-1", "template": "code", "to": { "email": "bob@example.test" }, "data": { "code": "1" } });
    let refused = shop.client.send(Method::POST, "/v1/messages", "application/json", other.to_string().into_bytes()).await;
    assert!(format!("{:#}", refused.unwrap_err()).contains("give this one an id of its own"));
    receipt(&shop, "order-1", json!({ "email": "ann@example.test" })).await;
    becomes(&shop, "order-1", "accepted").await;
    assert_eq!(shop.recipients(), ["ann@example.test", "ann@example.test"]);
    assert_eq!(shop.deliveries("accepted").await, 2);
    assert_eq!(shop.client.get("/v1/campaigns/c").await.unwrap()["progress"]["accepted"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_doubt_a_code_is_sent_again_and_a_receipt_is_not() {
    let shop = Shop::troubled(&[Fault::DropAfterDot("doubt".into())]).await;
    templates(&shop).await;
    code(&shop, "code-1", "doubt1@example.test").await;
    receipt(&shop, "order-1", json!({ "email": "doubt2@example.test" })).await;
    let row = becomes(&shop, "order-1", "in_doubt").await;
    assert_eq!((&row["tries"], row["settled_at"].is_null()), (&json!(1), false), "{row}");
    let tried = async |tries: u64| {
        until(&format!("try {tries}"), async || {
            let row = shop.client.get("/v1/messages/code-1").await.ok()?;
            (row["tries"] == tries && row["state"] == "waiting").then_some(())
        })
        .await;
    };
    tried(1).await;
    shop.pass(1);
    tried(2).await;
    assert_eq!(shop.recipients(), ["doubt1@example.test", "doubt1@example.test", "doubt2@example.test"]);
    assert_eq!(shop.deliveries("in_doubt").await, 3);
    // After ten minutes nobody waits for the code any more.
    shop.pass(10);
    let row = becomes(&shop, "code-1", "expired").await;
    assert!(row["reply"].as_str().unwrap().contains("its time was over"), "{row}");
    assert_eq!(shop.recipients().len(), 3);
    let counts = shop.client.get("/v1/messages").await.unwrap();
    let expect = json!([
        { "class": "transactional", "state": "in_doubt", "messages": 1 },
        { "class": "verification", "state": "expired", "messages": 1 },
    ]);
    assert_eq!(counts, expect);
    shop.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_rule_protects_gets_none_and_hears_why() {
    let shop = Shop::troubled(&[Fault::RefuseData("later".into())]).await;
    templates(&shop).await;
    shop.contacts(vec![json!({ "key": "ann", "email": "ann@example.test", "country": "DE" })]).await;
    let suppress = json!({ "emails": ["gone@example.test"], "reason": "hard_bounced" });
    shop.send(Method::POST, "/v1/suppressions", &suppress).await;
    receipt(&shop, "order-1", json!({ "email": "gone@example.test" })).await;
    let row = becomes(&shop, "order-1", "refused").await;
    assert!(row["reply"].as_str().unwrap().contains("suppression/hard-bounced"), "{row}");
    // A contact needs no consent for a receipt, and is found by the customer's id.
    receipt(&shop, "order-2", json!({ "contact": "ann" })).await;
    becomes(&shop, "order-2", "accepted").await;
    // Who asks for codes again and again is stopped.
    code(&shop, "code-1", "ann@example.test").await;
    becomes(&shop, "code-1", "accepted").await;
    code(&shop, "code-2", "ann@example.test").await;
    let row = becomes(&shop, "code-2", "refused").await;
    assert!(row["reply"].as_str().unwrap().contains("cap/verification-gap"), "{row}");
    // What a server will not have now is offered later; what a template lacks is refused at once.
    receipt(&shop, "order-3", json!({ "email": "later@example.test" })).await;
    until("the receipt to wait for its second try", async || {
        let row = shop.client.get("/v1/messages/order-3").await.ok()?;
        (row["state"] == "waiting" && row["tries"] == 1 && row["reply"].as_str()?.starts_with("451")).then_some(())
    })
    .await;
    let message = json!({ "id": "code-3", "template": "code", "to": { "email": "cat@example.test" } });
    shop.send(Method::POST, "/v1/messages", &message).await;
    let row = becomes(&shop, "code-3", "refused").await;
    assert!(row["reply"].as_str().unwrap().contains("data.code"), "{row}");
    assert_eq!(shop.recipients(), ["ann@example.test", "ann@example.test"]);
    let refused = async |message: Value| {
        let sent = shop.client.send(Method::POST, "/v1/messages", "application/json", message.to_string().into_bytes()).await;
        format!("{:#}", sent.unwrap_err())
    };
    let none = refused(json!({ "id": "x", "template": "none", "to": { "email": "a@example.test" } })).await;
    assert!(none.contains("template: there is none named `none`"), "{none}");
    let two = refused(json!({ "id": "x", "template": "code", "to": { "email": "a@example.test", "contact": "ann" } })).await;
    assert!(two.contains("names nobody, or more than one"), "{two}");
    let nobody = refused(json!({ "id": "x", "template": "code", "to": { "contact": "none" } })).await;
    assert!(nobody.contains("there is no such contact"), "{nobody}");
    assert_eq!(state(&shop, "order-2").await, "accepted");
    shop.server.stop().await.unwrap();
}
