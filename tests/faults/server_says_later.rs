//! The mail server will not have a message for now: it is offered again every five minutes for an hour, and nobody else
//! waits for it.

use std::sync::Arc;

use jiff::ToSpan as _;
use sendlab::server::{Server, Settings};
use sendlab::{Client, SystemIds};
use serde_json::{Value, json};
use simulator::SteppedClock;
use simulator::sink::{Fault, Sink, SinkConfig};
use vocabulary::{Clock as _, Timestamp};

use crate::support::until;

/// Offers in an hour, five minutes apart.
const OFFERS: u64 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_deferred_message_is_offered_again_and_then_counts_as_refused() {
    let folder = tempfile::tempdir().unwrap();
    let faults = vec![Fault::RefuseData("later".into())];
    let (sink, _mails) = Sink::start(SinkConfig { faults, ..SinkConfig::default() }).await.unwrap();
    let clock = Arc::new(SteppedClock::new("2026-03-02T00:00:00Z".parse::<Timestamp>().unwrap()));
    let smtp = Some(gateways::SmtpConfig::new("127.0.0.1", sink.address().port()));
    let settings = Settings { smtp, ..Settings::new(&folder.path().join("data")) };
    let server = Server::start(settings, clock.clone(), Arc::new(SystemIds)).await.unwrap();
    let client = Client::new(server.door.clone());
    start_campaign(&client).await;

    let progress = async || client.get("/v1/campaigns/c").await.ok().map(|row| (row["state"].clone(), row["progress"].clone()));
    for offers in 1..=OFFERS {
        until("the message to be offered", async || (sink.counts().refusals >= offers).then_some(())).await;
        let settled = until("the offer to be settled", async || {
            progress().await.filter(|(_, progress)| progress["accepted"] == 2 && progress["claimed"] == 0)
        })
        .await;
        if offers < OFFERS {
            assert_eq!((settled.0, &settled.1["refused"]), (json!("sending"), &json!(0)), "after {offers} offers");
            clock.advance_to(clock.now().checked_add(5.minutes()).unwrap());
        }
    }
    let (_, end) = until("the campaign to end", async || progress().await.filter(|(state, _)| state == "done")).await;
    assert_eq!((&end["accepted"], &end["refused"], &end["in_doubt"]), (&json!(2), &json!(1), &json!(0)));
    assert_eq!(sink.counts().refusals, OFFERS);
    assert_eq!(sink.counts().mails, 2, "the others were not sent again");
    server.stop().await.unwrap();
}

async fn start_campaign(client: &Client) {
    let contacts = ["anna", "later", "bruno"].map(|name| {
        let email = format!("{name}@example.test");
        json!({ "key": name, "email": email, "email_consent": "express", "country": "GB" }).to_string()
    });
    client.lines("/v1/contacts", contacts.join("\n").into_bytes()).await.unwrap();
    let put = async |path: &str, body: Value| {
        client.send(reqwest::Method::PUT, path, "application/json", body.to_string().into_bytes()).await.unwrap()
    };
    let experiment = json!({
        "experiment": "e", "factors": ["copy"], "primary": "clicked",
        "variants": [{ "name": "a" }, { "name": "b" }],
        "metrics": [{ "name": "clicked", "outcome": "click", "measure": "occurred" }],
    });
    put("/v1/experiments", experiment).await;
    let copy = json!({ "subject": "Hello", "html": "<p>Hello</p>", "text": "Hello" });
    put(
        "/v1/campaigns",
        json!({ "campaign": "c", "experiment": "e", "from": "news@shop.example", "content": { "a": copy, "b": copy } }),
    )
    .await;
    client.send(reqwest::Method::POST, "/v1/campaigns/c/start", "application/json", b"{}".to_vec()).await.unwrap();
}
