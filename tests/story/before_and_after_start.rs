//! A campaign before it is started, told in numbers that come true; and one that is cancelled half-way.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::shop::Shop;
use crate::support::{sql, until};

fn people() -> Vec<Value> {
    let person = |country: &str, consent: &str, number: usize| {
        let key = format!("{}{number}", country.to_lowercase());
        json!({ "key": key, "email": format!("{key}@example.test"), "email_consent": consent, "country": country })
    };
    let british = (0..30).map(|number| person("GB", "express", number));
    let germans = (0..20).map(|number| person("DE", "double_opt_in", number));
    // In Germany nothing less than an answer to a message will do.
    british.chain(germans).chain((20..30).map(|number| person("DE", "claimed", number))).collect()
}

async fn write(shop: &Shop) {
    shop.contacts(people()).await;
    shop.lake_knows(60).await;
    shop.experiment("e", [Some(10), Some(11)]).await;
    let copy = json!({ "subject": "Hello", "html": "<p>Hello</p>", "text": "Hello" });
    let campaign =
        json!({ "campaign": "c", "experiment": "e", "from": "news@shop.example", "content": { "a": copy, "b": copy } });
    shop.send(Method::PUT, "/v1/campaigns", &campaign).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_comes_true() {
    let shop = Shop::open("2026-03-02T08:30:00Z").await;
    write(&shop).await;
    let run = shop.send(Method::POST, "/v1/campaigns/c/dry-run", &json!({ "per_second": 0.001 })).await;
    assert_eq!((&run["audience"], &run["sent"], &run["left_out"]), (&json!(60), &json!(50), &json!(10)), "{run}");
    let markets = json!([
        { "market": "DE", "sent": 20, "left_out": 10 }, { "market": "GB", "sent": 30, "left_out": 0 },
    ]);
    assert_eq!(run["by_market"], markets);
    let rule = &run["by_rule"][0];
    assert_eq!((&rule["rule"], &rule["left_out"], &rule["put_off"]), (&json!("consent/de"), &json!(10), &json!(0)), "{rule}");
    assert!(run["cost"].is_null(), "mail is not paid for by the piece");
    let last = run["last_due"].as_str().unwrap();
    assert_eq!((run["first_due"].as_str().unwrap(), last), ("2026-03-02T09:00:00Z", "2026-03-02T11:00:00Z"));
    // One message every thousand seconds: the queue that forms at nine is still there at eleven.
    let all_at_once: jiff::Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
    let done: jiff::Timestamp = run["done_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(done.duration_since(all_at_once).as_secs(), 50 * 1_000);
    assert_eq!(shop.client.get("/v1/campaigns/c").await.unwrap()["state"], "draft", "nothing is kept of it");

    shop.send(Method::POST, "/v1/campaigns/c/start", &json!({})).await;
    let planned = shop.state("c", &["sending"]).await["progress"]["planned"].clone();
    assert_eq!(planned, run["sent"]);
    let counts = |rows: &Value, name: &str| -> BTreeMap<String, u64> {
        let count = |row: &Value| (row[name].as_str().unwrap().to_owned(), row["sent"].as_u64().unwrap());
        rows.as_array().unwrap().iter().map(count).collect()
    };
    let told = async |query: &str| Value::from(sql(&shop.client, query).await);
    let variants = told("SELECT variant, count(*) AS sent FROM assignments GROUP BY variant").await;
    assert_eq!(counts(&run["by_variant"], "variant"), counts(&variants, "variant"));
    let hours = told(
        "SELECT to_char(date_trunc('hour', planned_at), '%Y-%m-%dT%H:%M:%SZ') AS hour, count(*) AS sent
         FROM assignments GROUP BY 1",
    )
    .await;
    assert_eq!(counts(&run["by_hour"], "hour"), counts(&hours, "hour"));
    shop.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_does_not_leave() {
    let shop = Shop::gated("2026-03-02T08:30:00Z").await;
    write(&shop).await;
    shop.send(Method::POST, "/v1/campaigns/c/start", &json!({})).await;
    shop.state("c", &["sending"]).await;
    shop.pass(30);
    shop.let_through(3);
    until("mails to arrive", async || (shop.recipients().len() >= 3).then_some(())).await;
    let cancelled = shop.send(Method::POST, "/v1/campaigns/c/cancel", &json!({})).await;
    assert_eq!(cancelled["state"], "cancelled");
    shop.let_through(100);
    let progress = until("nothing to be on the wire", async || {
        let progress = shop.client.get("/v1/campaigns/c").await.ok()?["progress"].clone();
        (progress["claimed"] == 0 && progress["accepted"] == shop.recipients().len()).then_some(progress)
    })
    .await;
    let left = shop.recipients().len();
    assert!(left < 50, "{progress}");
    let again = shop.client.send(Method::POST, "/v1/campaigns/c/start", "application/json", b"{}".to_vec()).await;
    assert!(again.unwrap_err().to_string().contains("cancelled"));
    // A day later, and after a restart, it is still so.
    shop.pass(24 * 60);
    let shop = shop.reopen().await;
    let again = shop.send(Method::POST, "/v1/campaigns/c/cancel", &json!({})).await;
    assert_eq!((&again["state"], shop.recipients().len()), (&json!("cancelled"), left));
    shop.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn links_carry_their_fields_and_a_trap_tells_machines_apart() {
    let shop = Shop::open("2026-03-02T10:30:00Z").await;
    shop.contacts(people().into_iter().take(1).collect()).await;
    shop.experiment("e", [None; 2]).await;
    let copy = json!({
        "subject": "Hello", "html": "<body><a href=\"https://shop.example/new?size=2#top\">New</a></body>",
        "text": "See https://shop.example/new.",
    });
    let more = json!({ "content": { "a": copy, "b": copy }, "utm": { "source": "news letter" }, "trap_link": true });
    shop.campaign("c", "e", more).await;
    let mail = shop.mail(1).await;
    let links: Vec<&str> = mail.split("<a href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let [news, trap] = links[..] else { panic!("{mail}") };
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let follow = async |link: &str| {
        let agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15";
        let answer = http.get(link).header("user-agent", agent).send().await.unwrap();
        let target = answer.headers().get("location").map(|target| target.to_str().unwrap().to_owned());
        (answer.status().as_u16(), target.unwrap_or_default())
    };
    // A reader an hour later; a scanner the next day, which takes what nobody sees.
    shop.pass(60);
    let (status, target) = follow(news).await;
    let variant = sql(&shop.client, "SELECT variant FROM assignments").await[0]["variant"].as_str().unwrap().to_owned();
    let fields = format!("utm_source=news%20letter&utm_medium=email&utm_campaign=c&utm_content={variant}");
    assert_eq!((status, target), (302, format!("https://shop.example/new?size=2&{fields}#top")));
    assert!(mail.contains(&format!("https://shop.example/new?{fields}.")), "{mail}");
    shop.pass(24 * 60);
    assert_eq!(follow(trap).await, (204, String::new()));
    assert_eq!(follow(news).await.0, 302);
    let rows = until("three clicks to be told", async || {
        let grades = "SELECT url = 'trap:' AS trap, grade, grading FROM graded_clicks ORDER BY event_time, url DESC";
        let rows = sql(&shop.client, grades).await;
        (rows.len() == 3).then_some(rows)
    })
    .await;
    let expect = json!([
        { "trap": false, "grade": "human", "grading": 1 },
        { "trap": true, "grade": "machine", "grading": 1 },
        { "trap": false, "grade": "machine", "grading": 1 },
    ]);
    assert_eq!(json!(rows), expect, "the same link is followed by a reader and by a machine");
    shop.server.stop().await.unwrap();
}
