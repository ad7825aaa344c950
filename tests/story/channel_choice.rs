//! One campaign by several channels: each person is written to by the one they prefer, else by the first that reaches them and that they
//! agreed to, and by the next one when that is taken back before the message leaves; never by two. And tests of the channels
//! and of two providers.

use reqwest::Method;
use serde_json::{Value, json};

use super::letters::provider;
use crate::support::shop::Shop;
use crate::support::{sql, until};

fn person(number: usize, name: &str, reached: &[&str], agreed: &[&str]) -> Value {
    let consent = |channel: &&str| json!({ "channel": channel, "basis": "double_opt_in" });
    let consents: Vec<Value> = agreed.iter().map(consent).collect();
    let mut person = json!({ "key": name, "country": "DE", "consents": consents });
    if reached.contains(&"email") {
        person["email"] = json!(format!("{name}@example.test"));
    }
    if reached.contains(&"sms") {
        person["phone"] = json!(format!("+49151234567{number:02}"));
    }
    person
}

/// A gateway for text messages of the file of `--sms`.
fn gateway(name: &str, url: &str, more: &str) -> String {
    format!(
        "[[gateway]]\nname = \"{name}\"\nkind = \"http\"\nclasses = [\"marketing\"]\nsender = \"SHOP\"\n{more}\
         [[gateway.price]]\nper_segment = \"0.02\"\ncurrency = \"USD\"\n\
         [gateway.http]\nurl = \"{url}\"\nmethod = \"POST\"\njson = '{{\"to\": \"{{{{ to }}}}\", \"text\": \"{{{{ text }}}}\", \"id\": \"{{{{ message_id }}}}\"}}'\n\
         success = [{{ status = [\"202\"] }}]\nid = \"/id\"\n"
    )
}

async fn shop() -> (Shop, super::letters::Asked) {
    let (url, asked) = provider().await;
    (Shop::texting("2026-03-02T12:30:00Z", &gateway("texts", &url, "")).await, asked)
}

fn copy() -> Value {
    json!({
        "subject": "Hello", "html": "<p>Hello <a href=\"{{ preferences_url }}\">Choose</a></p>",
        "text": "Shop: hello. {{ preferences_url }} Reply STOP to end",
    })
}

async fn explained(shop: &Shop, names: &[&str]) -> Vec<Value> {
    let answer = shop.send(Method::POST, "/v1/explanations", &json!({ "campaign": "c", "contacts": names })).await;
    answer["contacts"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_person_is_written_to_by_one_channel() {
    let (shop, asked) = shop().await;
    let both = ["email", "sms"];
    let mut picky = person(2, "picky", &both, &both);
    picky["attributes"] = json!({ "preferred_channel": "email" });
    let people = [
        person(1, "texted", &both, &both),
        picky,
        person(3, "mailbox", &["email"], &["email"]),
        person(4, "untexted", &both, &["email"]),
        person(5, "leaver", &both, &both),
        person(6, "gone", &["sms"], &["sms"]),
        person(7, "nobody", &["sms"], &[]),
    ];
    shop.contacts(people.to_vec()).await;
    shop.experiment("e", [None; 2]).await;
    let names = ["texted", "picky", "mailbox", "untexted", "leaver", "gone", "nobody"];
    let more = json!({ "channels": ["sms", "email"], "start": "2026-03-02T13:30:00Z", "content": { "a": copy(), "b": copy() } });
    shop.campaign("c", "e", more).await;
    let run = shop.send(Method::POST, "/v1/campaigns/c/dry-run", &json!({})).await;
    let expect = json!([{ "channel": "email", "sent": 3 }, { "channel": "sms", "sent": 3 }]);
    assert_eq!((&run["by_channel"], &run["left_out"]), (&expect, &json!(1)), "{run}");
    assert_eq!(run["cost"]["sampled"], 3, "{run}");
    let planned: Vec<Value> = explained(&shop, &names).await.iter().map(|told| told["planned"]["channel"].clone()).collect();
    assert_eq!(json!(planned), json!(["sms", "email", "email", "email", "sms", "sms", null]));

    // Two of them take back that they are sent texts: one is written to by mail, the other cannot be.
    let stop = json!({ "contacts": ["leaver", "gone"], "reason": "unsubscribed", "channel": "sms" });
    shop.send(Method::POST, "/v1/suppressions", &stop).await;
    shop.pass(60);
    let end = shop.state("c", &["done"]).await["progress"].clone();
    assert_eq!((&end["accepted"], &end["skipped"], &end["refused"]), (&json!(5), &json!(1), &json!(0)), "{end}");
    until("the mails to come", async || (shop.recipients().len() == 4).then_some(())).await;
    let mailed = ["leaver", "mailbox", "picky", "untexted"].map(|name| format!("{name}@example.test"));
    assert_eq!(shop.recipients(), mailed);
    let texts: Vec<Value> = asked.lock().unwrap().iter().map(|text| text["to"].clone()).collect();
    assert_eq!(texts, ["+4915123456701"]);
    let gone = &explained(&shop, &["gone"]).await[0]["message"];
    let reply = gone["reply"].as_str().unwrap();
    assert!(
        reply.starts_with("by sms: the contact is suppressed") && reply.ends_with("by email: the contact has no address"),
        "{reply}"
    );
    let rows = sql(&shop.client, "SELECT channel, count(*) AS n FROM messages GROUP BY channel ORDER BY channel").await;
    assert_eq!(json!(rows), json!([{ "channel": "email", "n": 4 }, { "channel": "sms", "n": 1 }]));
    shop.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_are_tested_on_those_who_may_get_each() {
    let (shop, asked) = shop().await;
    let both = ["email", "sms"];
    let mut people: Vec<Value> = (10..30).map(|number| person(number, &format!("p{number}"), &both, &both)).collect();
    people.push(person(31, "mailbox", &["email"], &["email"]));
    people.push(person(32, "untexted", &both, &["email"]));
    shop.contacts(people).await;
    let experiment = json!({
        "experiment": "e", "factors": ["channel"], "primary": "clicked",
        "variants": [{ "name": "a", "channel": "email" }, { "name": "b", "channel": "sms" }],
        "metrics": [{ "name": "clicked", "outcome": "click", "measure": "occurred" }],
    });
    shop.send(Method::PUT, "/v1/experiments", &experiment).await;
    let content = json!({ "a": { "subject": "Hello", "html": copy()["html"] }, "b": { "text": copy()["text"] } });
    let one = json!({ "campaign": "c", "experiment": "e", "from": "news@shop.example", "content": { "a": content["a"], "b": content["a"] } });
    let refused = shop.client.send(Method::PUT, "/v1/campaigns", "application/json", one.to_string().into_bytes()).await;
    assert!(refused.unwrap_err().to_string().contains("variant `b` goes by sms, and the campaign by email"));
    shop.campaign("c", "e", json!({ "channels": ["email", "sms"], "content": content })).await;
    let end = shop.state("c", &["done"]).await["progress"].clone();
    assert_eq!(end["accepted"], 20, "{end}");
    let rows = sql(&shop.client, "SELECT variant, channel, count(*) AS n FROM messages GROUP BY 1, 2 ORDER BY 1").await;
    let (mails, texts) = (shop.sink.counts().mails, asked.lock().unwrap().len());
    let expect = json!([{ "variant": "a", "channel": "email", "n": mails }, { "variant": "b", "channel": "sms", "n": texts }]);
    assert_eq!((mails as usize + texts, json!(rows)), (20, expect));
    let why = |told: &Value| (told["planned"]["rule"].clone(), told["agrees"].clone());
    let left_out: Vec<_> = explained(&shop, &["mailbox", "untexted"]).await.iter().map(why).collect();
    assert_eq!(left_out, [(json!("contact/address"), json!(true)), (json!("consent/de"), json!(true))]);
    shop.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_are_tested_on_messages_that_name_them() {
    let ((url, asked), (trial_url, asked_on_trial)) = (provider().await, provider().await);
    let config = gateway("texts", &url, "") + &gateway("trial", &trial_url, "named_only = true\n");
    let shop = Shop::texting("2026-03-02T12:30:00Z", &config).await;
    let people = (10..30).map(|number| person(number, &format!("p{number}"), &["sms"], &["sms"]));
    shop.contacts(people.collect()).await;
    for (id, other) in [("e", "trial"), ("f", "gone")] {
        let experiment = json!({
            "experiment": id, "factors": ["provider"], "primary": "clicked",
            "variants": [{ "name": "a", "copy": "a", "provider": "texts" }, { "name": "b", "copy": "a", "provider": other }],
            "metrics": [{ "name": "clicked", "outcome": "click", "measure": "occurred" }],
        });
        shop.send(Method::PUT, "/v1/experiments", &experiment).await;
    }
    let written = |id: &str, experiment: &str, channels: &[&str]| {
        let content = json!({ "a": { "text": copy()["text"] } });
        let mut campaign = json!({ "campaign": id, "experiment": experiment, "channels": channels, "content": content });
        if channels.contains(&"email") {
            (campaign["from"], campaign["content"]["a"]) = (json!("news@shop.example"), copy());
        }
        campaign
    };
    let both = written("c", "e", &["sms", "email"]);
    let refused = shop.client.send(Method::PUT, "/v1/campaigns", "application/json", both.to_string().into_bytes()).await;
    let why = refused.unwrap_err().to_string();
    assert!(why.contains("variant `a` goes by a provider of text messages, and may go by sms or email"), "{why}");

    // A name without a gateway is found before anybody is written to.
    shop.send(Method::PUT, "/v1/campaigns", &written("d", "f", &["sms"])).await;
    shop.send(Method::POST, "/v1/campaigns/d/start", &json!({})).await;
    let failed = until("the campaign to fail", async || {
        let campaign = shop.client.get("/v1/campaigns/d").await.ok()?;
        (campaign["state"] == "failed").then(|| campaign["error"].to_string())
    })
    .await;
    assert!(failed.contains("variant `b` goes by the provider `gone`, and no gateway of that name takes marketing"), "{failed}");

    let test = json!({ "variant": "b", "to": ["+4915123456799"] });
    shop.send(Method::PUT, "/v1/campaigns", &written("c", "e", &["sms"])).await;
    shop.send(Method::POST, "/v1/campaigns/c/test-sends", &test).await;
    until("the test to come by its provider", async || (asked_on_trial.lock().unwrap().len() == 1).then_some(())).await;
    shop.send(Method::POST, "/v1/campaigns/c/start", &json!({})).await;
    let end = shop.state("c", &["done"]).await["progress"].clone();
    assert_eq!(end["accepted"], 20, "{end}");
    let rows = sql(&shop.client, "SELECT variant, provider, count(*) AS n FROM messages GROUP BY 1, 2 ORDER BY 1").await;
    let (texts, on_trial) = (asked.lock().unwrap().len(), asked_on_trial.lock().unwrap().len() - 1);
    let expect =
        json!([{ "variant": "a", "provider": "texts", "n": texts }, { "variant": "b", "provider": "trial", "n": on_trial }]);
    assert_eq!((texts + on_trial, json!(rows)), (20, expect));
    assert!(texts > 0 && on_trial > 0);
    shop.server.stop().await.unwrap();
}
