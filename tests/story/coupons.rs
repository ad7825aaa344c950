//! A shop has fewer codes than readers: each code goes to one reader, the others get what the copy says, and nobody gets a code of
//! another, whatever is looked at beforehand, tried again or started again.

use std::collections::BTreeSet;
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};
use simulator::sink::Fault;

use crate::support::shop::Shop;
use crate::support::{run, sendlab, sql, text, until};

const READERS: usize = 30;
const CODES: usize = 8;

fn people(count: usize) -> Vec<Value> {
    let person = |number: usize| {
        let email = format!("k{number}@example.test");
        json!({ "key": format!("k{number}"), "email": email, "email_consent": "express", "country": "GB" })
    };
    (0..count).map(person).collect()
}

fn codes(numbers: std::ops::Range<usize>) -> BTreeSet<String> {
    numbers.map(|number| format!("NEEDLE-{number:03}")).collect()
}

fn copy(missing: &str) -> Value {
    let defaults = if missing == "fallback" { json!({ "coupon": "EVERYBODY" }) } else { json!({}) };
    json!({
        "subject": "For you", "missing": missing, "defaults": defaults, "text": "CODE[{{ coupon }}]\n{{ unsubscribe_url }}",
        "html": "<p>CODE[{{ coupon }}] <a href=\"https://shop.example/?c={{ coupon | urlencode }}\">Shop</a></p>",
    })
}

fn drawing(missing: [&str; 2]) -> Value {
    json!({ "coupon_pool": "ten", "content": { "a": copy(missing[0]), "b": copy(missing[1]) } })
}

/// The command line, at the shop's server.
fn command(shop: &Shop) -> Command {
    let mut command = sendlab(&shop.folder.path().join("elsewhere"));
    command.args(["--server", &shop.server.door.url, "--key", &shop.server.door.key, "coupons"]);
    command
}

/// Total, drawn and left of the pool.
async fn numbers(shop: &Shop) -> [u64; 3] {
    let row = shop.client.get("/v1/coupon-pools/ten").await.unwrap();
    ["total", "drawn", "left"].map(|number| row[number].as_u64().unwrap())
}

/// The codes that stand in mails.
fn written(mails: &[Vec<u8>]) -> Vec<String> {
    let code = |raw: &Vec<u8>| {
        let mail = String::from_utf8_lossy(raw).replace("=\r\n", "");
        let (_, rest) = mail.split_once("CODE[").expect("each mail has a code");
        rest.split(']').next().expect("something comes first").to_owned()
    };
    mails.iter().map(code).collect()
}

/// How a campaign that is done ended: accepted, refused, skipped.
async fn end(shop: &Shop, campaign: &str) -> [u64; 3] {
    let progress = shop.state(campaign, &["done"]).await["progress"].clone();
    assert_eq!((&progress["claimed"], &progress["in_doubt"]), (&json!(0), &json!(0)), "{progress}");
    ["accepted", "refused", "skipped"].map(|state| progress[state].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_code_goes_to_one_reader_and_the_rest_get_what_the_copy_says() {
    let shop = Shop::open("2026-03-02T09:00:00Z").await;
    shop.contacts(people(READERS)).await;
    shop.lake_knows(READERS as u64).await;
    shop.experiment("e", [None; 2]).await;
    let mut campaign = json!({ "campaign": "c", "experiment": "e", "from": "news@shop.example" });
    campaign.as_object_mut().unwrap().extend(drawing(["skip", "fail"]).as_object().unwrap().clone());
    let put = shop.client.send(Method::PUT, "/v1/campaigns", "application/json", campaign.to_string().into_bytes()).await;
    let refused = format!("{:#}", put.unwrap_err());
    assert!(refused.contains("there is no coupon pool `ten`"), "{refused}");

    // Uploaded by hand, first with a fault, then whole, then by mistake again.
    let file = shop.folder.path().join("export.csv");
    std::fs::write(&file, "name,code\nspring,NEEDLE 1\n").unwrap();
    let wrong = command(&shop).args(["upload", "ten", "--column", "code"]).arg(&file).output().unwrap();
    assert!(!wrong.status.success() && text(&wrong).contains("line 2: holds a blank"), "{}", text(&wrong));
    let rows: String = codes(0..CODES).iter().map(|code| format!("\"spring, 10 %\",{code}\n")).collect();
    std::fs::write(&file, format!("name,code\n{rows}")).unwrap();
    for expect in ["8 new codes, 0 that it knew. 8 are left", "0 new codes, 8 that it knew. 8 are left"] {
        let said = run(command(&shop).args(["upload", "ten", "--column", "code"]).arg(&file));
        assert!(said.contains(expect) && !said.contains("NEEDLE"), "{said}");
    }
    let other = shop.client.send(Method::POST, "/v1/coupon-pools/twenty/codes", "text/plain", b"NEW-1\nNEEDLE-003".into()).await;
    let refused = format!("{:#}", other.unwrap_err());
    assert!(refused.contains("line 2: this code is in the pool `ten`") && !refused.contains("NEEDLE"), "{refused}");

    // Looking beforehand draws nothing.
    shop.send(Method::PUT, "/v1/campaigns", &campaign).await;
    let preview = shop.send(Method::POST, "/v1/campaigns/c/preview", &json!({ "contact": "k1" })).await;
    assert!(preview["text"].as_str().unwrap().starts_with("CODE[SAMPLEXXXX]"), "{preview}");
    let dry = shop.send(Method::POST, "/v1/campaigns/c/dry-run", &json!({})).await;
    assert_eq!(dry["coupons"], json!([{ "pool": "ten", "needed": 30, "left": 8, "lacking": 22 }]));
    assert_eq!(numbers(&shop).await, [8, 0, 8]);

    shop.send(Method::POST, "/v1/campaigns/c/start", &json!({})).await;
    let [accepted, refused, skipped] = end(&shop, "c").await;
    assert_eq!((accepted as usize, (refused + skipped) as usize), (CODES, READERS - CODES));
    assert!(refused > 0 && skipped > 0, "each copy has its own way: {refused} refused, {skipped} left out");
    shop.raw_mail(CODES).await;
    let sent: BTreeSet<String> = written(&shop.raw_mails()).into_iter().collect();
    assert_eq!(sent, codes(0..CODES), "every code once");
    assert_eq!(numbers(&shop).await, [8, 8, 0]);
    let names: Vec<String> = (0..READERS).map(|number| format!("k{number}")).collect();
    let ledger = shop.ledger(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let without = ledger.iter().filter(|(_, reply)| reply.contains("its coupon pool is empty; upload more codes")).count();
    assert_eq!(without, READERS - CODES, "{ledger:?}");

    // A second campaign finds what was uploaded since, and never what is out.
    // A week later no cap stands in its way.
    shop.pass(8 * 24 * 60);
    let more: Vec<String> = codes(CODES..CODES + 3).into_iter().collect();
    shop.client.send(Method::POST, "/v1/coupon-pools/ten/codes", "text/plain", more.join("\r\n").into_bytes()).await.unwrap();
    shop.campaign("d", "e", drawing(["fallback", "fallback"])).await;
    assert_eq!(end(&shop, "d").await, [READERS as u64, 0, 0]);
    shop.raw_mail(CODES + READERS).await;
    let second = written(&shop.raw_mails()[CODES..]);
    assert_eq!(second.iter().filter(|code| *code == "EVERYBODY").count(), READERS - 3);
    let own: BTreeSet<String> = second.into_iter().filter(|code| code != "EVERYBODY").collect();
    assert_eq!(own, codes(CODES..CODES + 3));
    let listed = run(command(&shop).arg("list"));
    assert!(listed.lines().any(|line| line.split_whitespace().eq(["ten", "11", "11", "0", "0"])), "{listed}");
    no_event_tells_a_code(&shop).await;
    shop.server.stop().await.unwrap();
}

/// A reader follows a link that holds their code: they get there, and what is kept of it does not hold it.
async fn no_event_tells_a_code(shop: &Shop) {
    // The first campaign's mails came first, and each of them has a code.
    let mail = String::from_utf8_lossy(&shop.raw_mails()[0]).replace("=\r\n", "").replace("=3D", "=");
    let (_, rest) = mail.split_once("/t/c/").expect("the link is tracked");
    let token = rest.split('"').next().unwrap();
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let answer = http.get(format!("{}/t/c/{token}", shop.client.url())).send().await.unwrap();
    let location = answer.headers()["location"].to_str().unwrap();
    assert!(location.starts_with("https://shop.example/?c=NEEDLE-"), "{location}");
    let clicks = sql(&shop.client, "select url from clicks").await;
    let known: Vec<&str> = clicks.iter().map(|row| row["url"].as_str().unwrap()).collect();
    assert_eq!(known, ["https://shop.example/?c=COUPON"]);
    for table in ["clicks", "messages", "deliveries"] {
        let rows = sql(&shop.client, &format!("select * from {table}")).await;
        assert!(!rows.is_empty() && !json!(rows).to_string().contains("NEEDLE"), "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_made_again_keeps_its_code() {
    let mut shop = Shop::faulty(&[Fault::RefuseData("k1@".into())]).await;
    shop.contacts(people(3)).await;
    shop.experiment("e", [None; 2]).await;
    let lines = codes(0..10).into_iter().collect::<Vec<_>>().join("\n");
    shop.client.send(Method::POST, "/v1/coupon-pools/ten/codes", "text/plain", lines.into_bytes()).await.unwrap();
    shop.campaign("c", "e", drawing(["fail", "fail"])).await;
    for offers in 1..=3 {
        until("the message to be offered and given back", async || {
            let progress = shop.client.get("/v1/campaigns/c").await.ok()?["progress"].clone();
            (shop.sink.counts().refusals >= offers && progress["accepted"] == 2 && progress["claimed"] == 0).then_some(())
        })
        .await;
        assert_eq!(numbers(&shop).await, [10, 3, 7], "after {offers} offers");
        if offers == 2 {
            shop = shop.reopen().await;
        }
        shop.pass(5);
    }
    let sent: BTreeSet<String> = written(&shop.raw_mails()).into_iter().collect();
    assert!(sent.len() == 2 && sent.is_subset(&codes(0..3)), "{sent:?}");
    shop.server.stop().await.unwrap();
}
