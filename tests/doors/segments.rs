//! Segments from YAML to the mailbox: stored in versions, looked at, sent to, and each plan says what the segment was.

use std::path::Path;

use reqwest::Method;
use sendlab::{Client, SystemClock};
use serde_json::{Value, json};
use vocabulary::Clock as _;

use crate::support::{landed, mails, serve, smtp_server, sql_number, until, workspace};

async fn put(client: &Client, path: &str, document: &str) -> anyhow::Result<Value> {
    client.send(Method::PUT, path, "application/yaml", document.as_bytes().to_vec()).await
}

async fn preview(client: &Client, document: &str) -> anyhow::Result<Value> {
    client.send(Method::POST, "/v1/segments/preview", "application/yaml", document.as_bytes().to_vec()).await
}

fn ago(days: i64) -> String {
    (SystemClock.now() - jiff::SignedDuration::from_hours(24 * days)).to_string()
}

/// Thirty people, of whom some ordered, opened and clicked, so that conditions tell them apart.
async fn people(client: &Client) {
    let contact = |number: i64| {
        let country = ["DE", "AT", "BR"][usize::try_from(number % 3).unwrap()];
        let interests = if number % 2 == 0 { vec!["shoes"] } else { vec!["hats", "boots"] };
        json!({
            "key": format!("c{number}"), "email": format!("c{number}@shop.example"), "country": country, "interests": interests,
            "email_consent": "double_opt_in",
            "tags": if number % 5 == 0 { vec!["staff"] } else { vec![] }, "language": "zh-Hant",
            "whatsapp": if number % 4 == 0 { Some(format!("+49151234567{number:02}")) } else { None },
            "attributes": { "points": number },
        })
        .to_string()
    };
    let contacts: Vec<String> = (0..30).map(contact).collect();
    client.lines("/v1/contacts", contacts.join("\n").into_bytes()).await.unwrap();
    let event = |kind: &str, number: i64, days: i64, more: Value| {
        let mut event = json!({ "event_id": format!("{kind}{number}-{days}"), "kind": kind, "event_time": ago(days), "contact": format!("c{number}") });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event.to_string()
    };
    let mut events = Vec::new();
    for number in 0..30 {
        if number < 12 {
            let order = json!({ "order_id": format!("o{number}"), "amount": 100 + 30 * number, "currency": "USD" });
            events.push(event("order", number, if number < 6 { 45 } else { 5 }, order));
        }
        if number % 3 == 0 {
            events.push(event("click", number, 10, json!({ "channel": "sms" })));
        }
        if number % 6 == 0 {
            events.push(event("open", number, 10, json!({ "channel": "email", "machine": number == 12 })));
        }
    }
    client.lines("/v1/events", events.join("\n").into_bytes()).await.unwrap();
    landed(client).await;
    until("the contacts to be published", async || {
        (sql_number(client, "select count(*) from contacts where birth_year is null and country is not null").await == 30)
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_segments_name_whom_sql_names() {
    let folder = tempfile::tempdir().unwrap();
    let (process, client) = serve(&folder.path().join("data"), None).await;
    people(&client).await;
    let samples = std::fs::read_to_string(workspace().join("data/samples/segments.yaml")).unwrap();
    let stored = put(&client, "/v1/segments", &samples).await.unwrap();
    assert_eq!(stored.as_array().unwrap().len(), 12);

    let since = |days: i64| format!("event_time > TIMESTAMP '{}'", ago(days));
    let humans = |table: &str, channel: &str| {
        format!("select contact_key from {table} where not machine and channel = '{channel}' and {}", since(90))
    };
    let has_ordered = |condition: &str| format!("select contact_key from orders where refund_of is null and {condition}");
    for (name, condition) in [
        ("dach", "country in ('DE', 'AT', 'CH')".to_owned()),
        ("chinese-readers", "language like 'zh%'".to_owned()),
        ("shoe-lovers", "(array_has(interests, 'shoes') or array_has(interests, 'boots')) and not array_has(tags, 'staff') and not array_has(tags, 'b2b')".to_owned()),
        ("reachable-on-whatsapp", "array_has(channels, 'whatsapp')".to_owned()),
        (
            "big-spenders-90-days",
            format!("contact_key in (select contact_key from orders where {} group by contact_key having sum(amount_base_minor) > 25000)", since(90)),
        ),
        (
            "dormant-30-days",
            format!(
                "contact_key in ({}) and contact_key not in (select contact_key from orders where {since} and refund_of is null union all \
                 select contact_key from opens where not machine and {since} union all \
                 select contact_key from clicks where not machine and {since})",
                has_ordered("true"),
                since = since(30)
            ),
        ),
        (
            "sms-not-email",
            format!("contact_key in ({}) and contact_key not in ({} union all {})", humans("clicks", "sms"), humans("opens", "email"), humans("clicks", "email")),
        ),
        ("lapsing", format!("contact_key in ({}) and contact_key not in ({})", has_ordered(&format!("{} and not {}", since(120), since(30))), has_ordered(&since(30)))),
    ] {
        let expect = sql_number(&client, &format!("select count(*) from contacts where {condition}")).await;
        let seen = preview(&client, &json!({ "segment": name }).to_string()).await.unwrap();
        assert!(expect > 0 && expect < 31, "{name} tells people apart: {expect}");
        assert_eq!(seen["count"], expect, "{name}: {}", seen["query"].as_str().unwrap());
        assert!(seen["milliseconds"].as_f64().unwrap() > 0.0 && !seen["meaning"].as_array().unwrap().is_empty());
        assert_eq!(seen["sample"].as_array().unwrap().len() as i64, expect.min(10), "{name}");
    }
    process.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_is_wrong_says_where_and_nothing_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let (process, client) = serve(&folder.path().join("data"), None).await;
    for (document, words) in [
        ("segment: a\ncondition:\n  cuntry: [DE]", vec!["line 3", "`cuntry`", "nearest is `country`"]),
        (
            "- segment: a\n  condition: { country: [DE] }\n- segment: b\n  condition: { country: [Germany] }",
            vec!["line 4", "Germany"],
        ),
        ("segment: a\ncondition: { ordered: { within_days: -1 } }", vec!["within_days"]),
        ("segment: a\ncondition: { spent: { more_than: 1.2345 } }", vec!["more_than", "USD"]),
        ("segment: a\nsql: SELECT contact_key FROM contcts", vec!["contcts"]),
        ("segment: a\nsql: DELETE FROM contacts", vec!["read only"]),
        ("segment: a", vec!["condition"]),
    ] {
        let error = format!("{:#}", put(&client, "/v1/segments", document).await.unwrap_err());
        assert!(words.iter().all(|word| error.contains(word)), "{document}: {error}");
    }
    assert_eq!(client.get("/v1/segments").await.unwrap(), json!([]));
    let error = preview(&client, r#"{"segment":"nobody"}"#).await.unwrap_err().to_string();
    assert!(error.contains("there is no segment `nobody`"), "{error}");
    process.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_reaches_its_segment_and_keeps_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (smtp, port, mailbox) = smtp_server(folder.path());
    let (process, client) = serve(&folder.path().join("data"), Some(port)).await;
    people(&client).await;
    put(&client, "/v1/segments", "segment: few\ncondition: { country: [BR] }").await.unwrap();
    let changed = "segment: few\ncondition:\n  all:\n    - country: [AT]\n    - attribute: { name: points, at_least: 20 }";
    assert_eq!(put(&client, "/v1/segments", changed).await.unwrap()[0]["version"], 2);
    let experiment = json!({
        "experiment": "e", "factors": ["copy"], "primary": "clicked",
        "variants": [{ "name": "a" }, { "name": "b" }],
        "metrics": [{ "name": "clicked", "outcome": "click", "measure": "occurred" }],
    });
    put(&client, "/v1/experiments", &experiment.to_string()).await.unwrap();
    let copy = json!({ "subject": "Hello", "html": "<p>Hello</p>", "text": "Hello" });
    let campaign = |audience: Option<&str>| {
        json!({ "campaign": "c", "experiment": "e", "segment": "few", "audience": audience, "from": "news@shop.example", "content": { "a": copy, "b": copy } })
            .to_string()
    };
    let error = put(&client, "/v1/campaigns", &campaign(Some("SELECT contact_key FROM contacts"))).await.unwrap_err().to_string();
    assert!(error.contains("`segment` is given beside `audience`"), "{error}");
    put(&client, "/v1/campaigns", &campaign(None)).await.unwrap();
    client.send(Method::POST, "/v1/campaigns/c/start", "application/json", b"{}".to_vec()).await.unwrap();
    until("the campaign to end", async || (client.get("/v1/campaigns/c").await.ok()?["state"] == "done").then_some(())).await;
    // 22, 25 and 28 live in Austria and have 20 points or more.
    let mut readers: Vec<String> = mails(&mailbox).iter().map(recipient).collect();
    readers.sort();
    assert_eq!(readers, ["c22@shop.example", "c25@shop.example", "c28@shop.example"]);
    let shown = client.get("/v1/segments/few").await.unwrap();
    let used = &shown["uses"][0];
    assert_eq!((&used["campaign"], &used["version"], &used["contacts"]), (&json!("c"), &json!(2), &json!(3)));
    assert!(used["lake_versions"]["contacts"].as_i64().unwrap() > 0 && used["query"].as_str().unwrap().contains("'AT'"));
    process.kill();
    smtp.kill();
}

fn recipient(mail: &Value) -> String {
    mail["to"][0].as_str().unwrap_or_default().to_owned()
}

#[test]
fn the_command_line_shows_segments_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let data: &Path = &folder.path().join("data");
    let run = |arguments: &[&str]| crate::support::run(crate::support::sendlab(data).args(arguments));
    assert!(run(&["segment", "list"]).contains("No segment yet"));
    let samples = workspace().join("data/samples/segments.yaml");
    let said = run(&["segment", "apply", samples.to_str().unwrap()]);
    assert!(said.contains("dormant-30-days (version 1)") && said.contains("ordered at least once"), "{said}");
    assert!(run(&["segment", "show", "dach"]).contains("country is"), "{said}");
    let said = run(&["segment", "preview", "dach", "--sql"]);
    assert!(said.contains("0 contacts, found in") && said.contains("SELECT"), "{said}");
}
