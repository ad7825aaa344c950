//! A recommendation changes while a campaign is being sent. Every message that was not handed over yet carries the new
//! one; only what was already on the wire is the old one's.

use serde_json::{Value, json};
use simulator::sink::{Mail, Sink, SinkConfig};
use tokio::sync::mpsc::Receiver;

use crate::support::{landed, serve, sql, until};

const CONTACTS: usize = 600;
/// Mails received before the recommendation moves.
const BEFORE: usize = 100;
/// What the server's lanes may have on the wire at one moment: one message each.
const LANES: usize = 4;
/// The mail server holds so many mails until the test reads them, so that the test sets the pace.
const HELD: usize = 1;

#[tokio::test(flavor = "multi_thread")]
async fn every_message_not_yet_handed_over_follows_the_new_recommendation() {
    let folder = tempfile::tempdir().unwrap();
    let (sink, mut mails) = Sink::start(SinkConfig { queue_mails_max: HELD, ..SinkConfig::default() }).await.unwrap();
    let (_server, client) = serve(&folder.path().join("data"), Some(sink.address().port())).await;
    let send = async |method, path: &str, body: Value| {
        let sent = client.send(method, path, "application/json", body.to_string().into_bytes()).await;
        sent.unwrap_or_else(|error| panic!("{path}: {error:#}"))
    };
    let contacts = (0..CONTACTS).map(|n| {
        let (key, email) = (format!("k{n}"), format!("k{n}@example.test"));
        json!({ "key": key, "email": email, "email_consent": "express", "country": "GB" }).to_string() + "\n"
    });
    client.lines("/v1/contacts", contacts.collect::<String>().into_bytes()).await.unwrap();
    let experiment = json!({
        "experiment": "subject", "factors": ["copy"], "primary": "clicked",
        "variants": [{ "name": "old" }, { "name": "new" }],
        "metrics": [{ "name": "clicked", "outcome": "click", "measure": "occurred" }],
    });
    send(reqwest::Method::PUT, "/v1/experiments", experiment).await;
    let copy = |subject: &str| json!({ "subject": subject, "html": "<p>Hello</p>", "text": "Hello" });
    let campaign = json!({
        "campaign": "rest", "experiment": "subject", "mode": "recommended", "from": "news@shop.example",
        "content": { "old": copy("the old subject"), "new": copy("the new subject") },
    });
    send(reqwest::Method::PUT, "/v1/campaigns", campaign).await;
    let recommend = async |variant: &str, parent: Value| {
        send(
            reqwest::Method::POST,
            "/v1/recommendations/subject",
            json!({ "variant": variant, "parent": parent, "reason": "a person chose" }),
        )
        .await
    };
    let first = recommend("old", Value::Null).await;
    send(reqwest::Method::POST, "/v1/campaigns/rest/start", json!({})).await;

    let before = receive(&mut mails, BEFORE).await;
    assert!(before.iter().all(|subject| subject.contains("old")), "{before:?}");
    let second = recommend("new", first["id"].clone()).await;
    let after = receive(&mut mails, CONTACTS - BEFORE).await;
    let old = after.iter().filter(|subject| subject.contains("old")).count();
    assert!(old <= LANES + HELD, "{old} messages carried the old subject after the change");
    let last_old = after.iter().rposition(|subject| subject.contains("old")).unwrap_or(0);
    assert!(last_old <= 2 * (LANES + HELD), "an old subject came as number {last_old} after the change");

    until("the campaign to end", async || (client.get("/v1/campaigns/rest").await.ok()?["state"] == "done").then_some(())).await;
    landed(&client).await;
    let rows = sql(&client, "select variant, recommendation_id, count(*) as n from messages group by 1, 2 order by 1").await;
    let expect = json!([
        { "variant": "new", "recommendation_id": second["id"], "n": after.len() - old },
        { "variant": "old", "recommendation_id": first["id"], "n": before.len() + old },
    ]);
    assert_eq!(json!(rows), expect, "the lake says which recommendation each message followed");
}

/// The subjects of the next mails.
async fn receive(mails: &mut Receiver<Mail>, count: usize) -> Vec<String> {
    let mut subjects = Vec::with_capacity(count);
    while subjects.len() < count {
        let mail = tokio::time::timeout(crate::support::PATIENCE, mails.recv())
            .await
            .expect("mails keep coming")
            .expect("the mail server runs");
        let raw = String::from_utf8(mail.raw).expect("the head of a mail is ASCII");
        subjects.push(raw.lines().find(|line| line.starts_with("Subject:")).expect("a mail has a subject").to_owned());
    }
    subjects
}
