//! Nobody is written to who may not be, whenever that turned out; and of everybody it can be told why.

use std::collections::BTreeMap;

use jiff::ToSpan as _;
use reqwest::Method;
use serde_json::{Value, json};
use vocabulary::Clock as _;

use crate::support::shop::Shop;
use crate::support::until;

/// Erases a contact with so many messages: neither a plan nor the ledger knows them any more.
async fn forgets(shop: &Shop, contact: &str, messages: u64) {
    let keys = [shop.key_of(contact).await].into();
    let plans = || std::fs::read_dir(shop.folder.path().join("data/plans")).unwrap().map(|entry| entry.unwrap().path());
    let plans = || plans().filter(|path| path.extension().is_some_and(|end| end == "parquet"));
    let known = || plans().map(|path| lake::find_in_plan(&path, &keys).unwrap().len()).sum::<usize>();
    assert_eq!(known() as u64, messages);
    let before = shop.client.get("/v1/campaigns").await.unwrap();
    shop.send(Method::POST, "/v1/erasures", &json!({ "contacts": [contact] })).await;
    let certificate = until("the erasure to be certified", async || {
        let erasures = shop.client.get("/v1/erasures").await.ok()?;
        erasures[0]["certificate"].as_object().cloned()
    })
    .await;
    assert_eq!((&certificate["rows"]["plans"], &certificate["rows"]["ledger"]), (&json!(messages), &json!(messages)));
    assert_eq!(known(), 0);
    assert_eq!(shop.client.get("/v1/campaigns").await.unwrap(), before, "counts stay");
}

/// What became of each contact in a campaign: that a mail left, or the rule or words that stopped it.
async fn became(shop: &Shop, campaign: &str, contacts: &[&str]) -> BTreeMap<String, String> {
    let body = json!({ "campaign": campaign, "contacts": contacts });
    let answer = shop.send(Method::POST, "/v1/explanations", &body).await;
    let fate = |contact: &Value| {
        let planned = &contact["planned"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let fate = match (planned["sent"].as_bool(), contact["message"]["state"].as_str()) {
            (Some(false), _) => text(&planned["rule"]),
            (_, Some("accepted")) => "sent".to_owned(),
            (_, Some("skipped")) => text(&contact["message"]["reply"]),
            _ => contact.to_string(),
        };
        (text(&contact["contact"]), fate)
    };
    answer["contacts"].as_array().unwrap().iter().map(fate).collect()
}

fn person(key: &str, country: Option<&str>, basis: Option<&str>) -> Value {
    let mut person = json!({ "key": key, "email": format!("{key}@example.test"), "country": country });
    if let Some(basis) = basis {
        person["email_consent"] = json!(basis);
        person["consent_at"] = json!("2026-01-15");
    }
    person
}

fn fates(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, fate)| ((*key).to_owned(), (*fate).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_permitted_and_is_not_any_more_is_not_sent() {
    let shop = Shop::open("2026-03-02T08:00:00Z").await;
    let express = Some("express");
    shop.contacts(vec![
        person("ann", Some("DE"), Some("double_opt_in")),
        person("bob", Some("DE"), express),
        person("cat", Some("GB"), express),
        person("dan", Some("GB"), None),
        person("eve", Some("GB"), express),
        person("fay", Some("GB"), express),
        person("gus", Some("US"), None),
        person("hal", None, express),
    ])
    .await;
    let everybody = ["ann", "bob", "cat", "dan", "eve", "fay", "gus", "hal"];
    let suppress = json!({ "contacts": ["fay"], "reason": "unsubscribed" });
    shop.send(Method::POST, "/v1/suppressions", &suppress).await;
    // An import after that does not take anybody from the list, whatever it says.
    shop.contacts(vec![person("fay", Some("GB"), express)]).await;

    shop.experiment("e", [None; 2]).await;
    shop.campaign("c", "e", json!({ "start": "2026-03-02T10:00:00Z" })).await;
    // The plan is made. Before it is time, one takes their consent back and another complains.
    shop.contacts(vec![json!({ "key": "eve", "consents": [{ "channel": "email", "state": "withdrawn" }] })]).await;
    shop.send(Method::POST, "/v1/suppressions", &json!({ "emails": ["GUS@example.test"], "reason": "complained" })).await;
    shop.pass(2 * 60);
    let end = shop.state("c", &["done"]).await;
    assert_eq!((&end["progress"]["accepted"], &end["progress"]["skipped"]), (&json!(3), &json!(2)), "{end}");
    assert_eq!(shop.sink.counts().mails, 3);
    let expect = [
        ("ann", "sent"),
        ("bob", "consent/de"),
        ("cat", "sent"),
        ("dan", "consent/gb"),
        ("eve", "consent was withdrawn at 2026-03-02T08:00:00Z (rule consent/gb, version 1)"),
        ("fay", "suppression/unsubscribed"),
        ("gus", "the contact is suppressed: complained (rule suppression/complained, version 1)"),
        ("hal", "sent"),
    ];
    assert_eq!(became(&shop, "c", &everybody).await, fates(&expect));

    // What is no marketing reaches those who want none, but nobody whose address does not exist.
    shop.send(Method::POST, "/v1/suppressions", &json!({ "emails": ["dan@example.test"], "reason": "hard_bounced" })).await;
    shop.campaign("orders", "e", json!({ "class": "transactional" })).await;
    let end = shop.state("orders", &["done"]).await;
    assert_eq!(end["progress"]["accepted"], 7);
    assert_eq!(became(&shop, "orders", &["dan", "fay"]).await, fates(&[("dan", "suppression/hard-bounced"), ("fay", "sent")]));

    // Whoever asks again, and confirms it, is written to again.
    let again = json!({ "channel": "email", "basis": "double_opt_in", "at": "2026-03-02T11:00:00Z", "source": "form" });
    shop.contacts(vec![json!({ "key": "fay", "consents": [again] })]).await;
    shop.pass(3 * 60);
    shop.campaign("again", "e", json!({ "audience": "SELECT contact_key FROM contacts WHERE country = 'GB'" })).await;
    shop.state("again", &["done"]).await;
    let expect = [("cat", "sent"), ("dan", "suppression/hard-bounced"), ("eve", "consent/gb"), ("fay", "sent")];
    assert_eq!(became(&shop, "again", &["cat", "dan", "eve", "fay"]).await, fates(&expect));
    forgets(&shop, "cat", 3).await;
    shop.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_schedule_does_not_fire_and_caps_hold_between_campaigns() {
    let shop = Shop::open("2026-03-02T08:00:00Z").await;
    shop.contacts(vec![person("cat", Some("GB"), Some("express")), person("ann", Some("DE"), Some("double_opt_in"))]).await;
    shop.experiment("e", [None; 2]).await;
    shop.experiment("f", [None; 2]).await;
    shop.campaign("old", "e", json!({ "start": "2026-03-02T09:00:00Z" })).await;
    shop.send(Method::POST, "/v1/campaigns/old/pause", &json!({})).await;
    shop.pass(98 * 60);
    shop.send(Method::POST, "/v1/campaigns/old/start", &json!({})).await;
    let end = shop.state("old", &["done"]).await;
    assert_eq!((&end["progress"]["accepted"], &end["progress"]["skipped"]), (&json!(0), &json!(2)), "{end}");
    let late = "its time has passed by more than the most (rule schedule/age-marketing, version 1)";
    assert_eq!(became(&shop, "old", &["cat", "ann"]).await, fates(&[("ann", late), ("cat", late)]));

    // Two campaigns are planned for one moment: neither knows of the other. The second waits for an hour.
    let start = shop.clock.now().checked_add(1.hours()).unwrap().to_string();
    shop.campaign("one", "e", json!({ "start": start })).await;
    shop.campaign("two", "f", json!({ "start": start })).await;
    shop.pass(60);
    let progress = async |id: &str| shop.client.get(&format!("/v1/campaigns/{id}")).await.unwrap()["progress"].clone();
    until("both contacts to get one mail", async || (shop.sink.counts().mails == 2).then_some(())).await;
    until("the claims to be settled", async || {
        let both = [progress("one").await, progress("two").await];
        both.iter().all(|progress| progress["claimed"] == 0).then_some(())
    })
    .await;
    shop.pass(60);
    let ends = [shop.state("one", &["done"]).await, shop.state("two", &["done"]).await];
    assert!(ends.iter().all(|end| end["progress"]["accepted"] == 2), "{ends:?}");
    assert_eq!(shop.sink.counts().mails, 4);
    // A third one is planned with both in mind: two e-mails a day are the most.
    shop.pass(60);
    shop.campaign("three", "e", json!({})).await;
    let body = json!({ "campaign": "three", "contacts": ["cat"] });
    let told = shop.send(Method::POST, "/v1/explanations", &body).await["contacts"][0]["planned"].clone();
    assert_eq!((&told["sent"], &told["rule"]), (&json!(true), &json!("cap/email-day")), "{told}");
    shop.server.stop().await.unwrap();
}

/// A number that follows from two others and looks like none.
fn mixed(a: u64, b: u64) -> u64 {
    let mut state = a.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ b.wrapping_mul(0xD1B5_4A32_D192_ED03);
    state ^= state >> 29;
    state = state.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    state ^ (state >> 32)
}

/// How many contacts the campaigns decide about, eight times.
const STRANGERS: u64 = 1_250;

/// One contact of so many.
fn every(salt: u64, of: u64) -> Vec<String> {
    (0..STRANGERS).filter(|number| mixed(*number, salt).is_multiple_of(of)).map(|number| format!("p{number}")).collect()
}

/// A contact whose country, clock, consent and address follow from a number.
fn stranger(number: u64) -> Value {
    let of = |salt: u64| mixed(number, salt);
    let pick = |list: &[&'static str], salt: u64| list[(of(salt) % list.len() as u64) as usize];
    let bases = ["express_written", "double_opt_in", "express", "soft_opt_in", "implied_purchase", "withdrawn", ""];
    let country = pick(&["DE", "GB", "US", "CN", "BR", "KR", "JP", "AE", "FR", "CA", ""], 1);
    let zone = match country {
        "US" => pick(&["America/New_York", "America/Los_Angeles", ""], 2),
        "BR" => pick(&["America/Sao_Paulo", ""], 2),
        _ => "",
    };
    let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    json!({
        "key": format!("p{number}"), "country": filled(country), "time_zone": filled(zone),
        "email": (of(3) % 10 > 0).then(|| format!("p{number}@example.test")),
        "region": (country == "US" && of(4) % 2 == 0).then_some("US-FL"),
        "email_consent": pick(&bases, 5), "cross_border_consent": pick(&bases, 6),
        "consent_at": pick(&["2026-02-01", "2025-06-01", "2023-11-01"], 7),
        "tags": if of(8) % 3 == 0 { vec!["vip"] } else { vec![] },
    })
}

/// Plans eight campaigns, one hour after another, of which each decides otherwise.
async fn campaigns(shop: &Shop) -> Vec<&'static str> {
    shop.experiment("copy", [None; 2]).await;
    shop.experiment("hours", [Some(9), Some(22)]).await;
    shop.send(Method::PUT, "/v1/segments", &json!([{ "segment": "vips", "condition": { "tags": ["vip"] } }])).await;
    let campaigns = [
        ("c0", "copy", json!({})),
        ("c1", "hours", json!({})),
        ("c2", "copy", json!({ "class": "transactional" })),
        ("c3", "hours", json!({ "segment": "vips" })),
        ("c4", "copy", json!({ "share": 0.4 })),
        ("c5", "hours", json!({ "window": "mon-fri 10:00-16:00" })),
        ("c6", "hours", json!({ "ends": "2026-03-07T14:00:00Z" })),
        ("c7", "copy", json!({ "send_hour": 6, "audience": "SELECT contact_key FROM contacts WHERE country <> 'DE'" })),
    ];
    let mut ids = Vec::new();
    for (id, experiment, more) in campaigns {
        shop.campaign(id, experiment, more).await;
        if matches!(id, "c0" | "c2") {
            // What was sent counts for the plans that follow.
            shop.state(id, &["done"]).await;
        }
        shop.pass(60);
        ids.push(id);
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_thousand_decisions_each_is_explained_as_it_was_made() {
    let shop = Shop::open("2026-03-06T15:30:00Z").await;
    shop.contacts((0..STRANGERS).map(stranger).collect()).await;
    for (reason, salt) in [("unsubscribed", 20), ("complained", 21), ("hard_bounced", 22), ("manual", 23)] {
        shop.send(Method::POST, "/v1/suppressions", &json!({ "contacts": every(salt, 20), "reason": reason })).await;
    }
    let campaigns = campaigns(&shop).await;
    // What changes after the plans were made is not told of them.
    let withdrawn = |number: u64| json!({ "key": format!("p{number}"), "email_consent": "withdrawn" });
    shop.contacts((0..STRANGERS).step_by(7).map(withdrawn).collect()).await;
    shop.send(Method::POST, "/v1/suppressions", &json!({ "contacts": every(9, 30), "reason": "register" })).await;

    let mut tally: BTreeMap<String, u64> = BTreeMap::new();
    let ids: Vec<String> = (0..STRANGERS).map(|number| format!("p{number}")).collect();
    for campaign in campaigns {
        for ids in ids.chunks(1_000) {
            let body = json!({ "campaign": campaign, "contacts": ids });
            let answer = shop.send(Method::POST, "/v1/explanations", &body).await;
            for contact in answer["contacts"].as_array().unwrap() {
                let (planned, decided) = (&contact["planned"], &contact["decided"]);
                assert_eq!(contact["agrees"], json!(true), "{campaign} {}: {planned} {decided}", contact["contact"]);
                assert!(planned.is_null() || planned == decided);
                let rule = contact["decided"]["rule"].as_str().unwrap_or("as meant").to_owned();
                *tally.entry(rule).or_default() += 1;
            }
        }
    }
    assert_eq!(tally.values().sum::<u64>(), 10_000);
    for rule in ["as meant", "campaign/audience", "campaign/share", "contact/address", "schedule/window", "schedule/end"] {
        assert!(tally.contains_key(rule), "nothing shows {rule}: {tally:?}");
    }
    let kinds = |of: &str| tally.keys().filter(|rule| rule.starts_with(of)).count();
    assert!(kinds("consent/") >= 8 && kinds("suppression/") >= 4 && kinds("cap/") >= 1, "{tally:?}");
    shop.server.stop().await.unwrap();
}
