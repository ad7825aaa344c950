//! Senders that are not ours: an OpenFeature client reads what is recommended, and a change reaches a long poll and a stream, and
//! a webhook too, until it listens. A campaign whose recommendation does not hold any more sends the control, and says so.

use std::io::Write as _;
use std::process::{Command, Stdio};

use reqwest::{Method, StatusCode};
use sendlab::Client;
use sendlab::server::Door;
use serde_json::{Value, json};
use simulator::sink::{Sink, SinkConfig};

use crate::support::{PATIENCE, door, landed, python, run, sendlab, serve, sql, started, until, workspace};

async fn send(client: &Client, method: Method, path: &str, body: Value) -> Value {
    let sent = client.send(method, path, "application/json", body.to_string().into_bytes()).await;
    sent.unwrap_or_else(|error| panic!("{path}: {error:#}"))
}

async fn put_experiment(client: &Client) {
    let experiment = json!({
        "experiment": "subject", "factors": ["copy"], "primary": "clicked",
        "variants": [{ "name": "plain" }, { "name": "warm" }],
        "metrics": [{ "name": "clicked", "outcome": "click", "measure": "occurred" }],
    });
    send(client, Method::PUT, "/v1/experiments", experiment).await;
}

async fn recommend(client: &Client, decision: Value) -> Value {
    send(client, Method::POST, "/v1/recommendations/subject", decision).await
}

/// What OpenFeature's own client resolves.
async fn resolved(door: &Door, flag: &str, market: &str) -> Value {
    let script = workspace().join("tests/support/openfeature_client.py");
    let mut command = Command::new(python());
    command.arg(script).args([&door.url, &door.key, flag, "kim", market]);
    // The client waits for the server, which must go on meanwhile.
    let line = tokio::task::spawn_blocking(move || run(&mut command)).await.expect("the client runs");
    serde_json::from_str(&line).expect("the client prints JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_openfeature_client_reads_what_is_recommended() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (_server, client) = serve(&data, None).await;
    put_experiment(&client).await;
    let door = door(&data);
    let none = resolved(&door, "subject", "FR").await;
    assert_eq!((&none["value"], &none["metadata"]["fallback"]), (&json!("plain"), &json!(true)), "{none}");
    let all = recommend(&client, json!({ "variant": "warm", "reason": "It sells more." })).await;
    recommend(&client, json!({ "variant": "plain", "market": "DE", "reason": "Not in Germany." })).await;
    let french = resolved(&door, "subject", "FR").await;
    assert_eq!((&french["value"], &french["variant"], &french["reason"]), (&json!("warm"), &json!("warm"), &json!("STATIC")));
    assert_eq!(french["metadata"]["recommendation_id"], all["id"], "{french}");
    let german = resolved(&door, "subject", "DE").await;
    assert_eq!((&german["value"], &german["reason"]), (&json!("plain"), &json!("TARGETING_MATCH")), "{german}");
    let unknown = resolved(&door, "nothing", "DE").await;
    assert_eq!((&unknown["value"], &unknown["error"]), (&json!("the code's own"), &json!("FLAG_NOT_FOUND")), "{unknown}");
    let shown = run(sendlab(&data).args(["recommendation", "subject", "--market", "DE"]));
    assert!(shown.contains("Senders use: plain") && shown.contains("market DE"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_reaches_who_waits_by_a_long_poll_and_a_stream() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (_server, client) = serve(&data, None).await;
    put_experiment(&client).await;
    let first = recommend(&client, json!({ "variant": "plain", "reason": "To begin with." })).await;
    let Door { url, key } = door(&data);
    let http = reqwest::Client::new();
    let get = |path: &str| http.get(format!("{url}/v1/recommendations/subject{path}")).bearer_auth(&key);

    let mut stream = get("/events").send().await.unwrap();
    let current = next_event(&mut stream).await;
    assert_eq!(current["id"], first["id"], "the stream begins with what is current");
    let poll = get(&format!("?wait_seconds=60&after={}", first["id"].as_str().unwrap())).send();
    let poll = tokio::spawn(async move { poll.await.unwrap().json::<Value>().await.unwrap() });
    let told = tokio::spawn(async move { next_event(&mut stream).await });

    let second = recommend(&client, json!({ "variant": "warm", "parent": first["id"], "reason": "It sells more." })).await;
    for (who, heard) in [("the long poll", poll), ("the stream", told)] {
        let news = tokio::time::timeout(PATIENCE, heard).await.expect("the change is heard").unwrap();
        assert_eq!((&news["id"], &news["variant"]), (&second["id"], &json!("warm")), "{who}");
    }
}

/// The data of the next event of a stream.
async fn next_event(stream: &mut reqwest::Response) -> Value {
    let mut text = String::new();
    loop {
        let chunk = tokio::time::timeout(PATIENCE, stream.chunk()).await.expect("the stream goes on").unwrap();
        text += std::str::from_utf8(&chunk.expect("the stream has no end")).unwrap();
        // Whole events only: a comment has no data.
        let whole = text.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
        if let Some(data) = whole.lines().find_map(|line| line.strip_prefix("data:")) {
            return serde_json::from_str(data.trim()).expect("the data is JSON");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_without_a_recommendation_that_holds_sends_the_control_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (sink, mut mails) = Sink::start(SinkConfig::default()).await.unwrap();
    let (_server, client) = serve(&folder.path().join("data"), Some(sink.address().port())).await;
    let people = [("kim", "GB"), ("lee", "GB"), ("mia", "DE")].map(|(key, country)| {
        let email = format!("{key}@example.test");
        json!({ "key": key, "email": email, "email_consent": "double_opt_in", "country": country }).to_string() + "\n"
    });
    client.lines("/v1/contacts", people.concat().into_bytes()).await.unwrap();
    put_experiment(&client).await;
    let german = recommend(&client, json!({ "variant": "warm", "market": "DE", "reason": "It sells more there." })).await;
    let copy = |subject: &str| json!({ "subject": subject, "html": "<p>Hello</p>", "text": "Hello" });
    let campaign = json!({
        "campaign": "rest", "experiment": "subject", "mode": "recommended", "from": "news@shop.example",
        "content": { "plain": copy("plain"), "warm": copy("warm") },
    });
    send(&client, Method::PUT, "/v1/campaigns", campaign).await;
    send(&client, Method::POST, "/v1/campaigns/rest/start", json!({})).await;
    let mut subjects = Vec::new();
    for _ in 0..people.len() {
        let mail = tokio::time::timeout(PATIENCE, mails.recv()).await.expect("mails come").expect("the mail server runs");
        let raw = String::from_utf8(mail.raw).expect("the head of a mail is ASCII");
        let subject = raw.lines().find_map(|line| line.strip_prefix("Subject: ")).expect("a mail has a subject").to_owned();
        subjects.push((mail.to[0].clone(), subject));
    }
    subjects.sort();
    let expect = [("kim@example.test", "plain"), ("lee@example.test", "plain"), ("mia@example.test", "warm")];
    assert_eq!(subjects, expect.map(|(to, subject)| (to.to_owned(), subject.to_owned())));
    let done =
        until("the campaign to end", async || client.get("/v1/campaigns/rest").await.ok().filter(|row| row["state"] == "done"))
            .await;
    assert_eq!((&done["progress"]["accepted"], &done["progress"]["fallback"]), (&json!(3), &json!(2)), "{done}");
    landed(&client).await;
    let rows = sql(&client, "select variant, recommendation_id, count(*) as n from messages group by 1, 2 order by 1").await;
    let expect = json!([
        { "variant": "plain", "recommendation_id": null, "n": 2 },
        { "variant": "warm", "recommendation_id": german["id"], "n": 1 },
    ]);
    assert_eq!(json!(rows), expect, "the lake says which message followed what");
}

/// What a receiver got: `webhook-id`, `webhook-timestamp`, `webhook-signature`, and the body.
type Call = (Vec<String>, String);

/// A receiver that fails the first time.
async fn receiver() -> (String, tokio::sync::mpsc::Receiver<Call>) {
    let (sender, calls) = tokio::sync::mpsc::channel(10);
    let first = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let handler = move |headers: axum::http::HeaderMap, body: String| {
        let (sender, fails) = (sender.clone(), first.swap(false, std::sync::atomic::Ordering::Relaxed));
        async move {
            let named = |name: &str| headers[name].to_str().expect("a header is text").to_owned();
            let named = ["webhook-id", "webhook-timestamp", "webhook-signature"].map(named).to_vec();
            sender.send((named, body)).await.expect("the test runs");
            if fails { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK }
        }
    };
    let router = axum::Router::new().route("/hook", axum::routing::post(handler));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, calls)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_hears_of_a_change_signed_and_again_until_it_listens() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut command = sendlab(&data);
    command.args(["serve", "--listen", "127.0.0.1:0", "--webhook-loopback"]);
    let (_server, client) = started(&mut command, &data).await;
    put_experiment(&client).await;
    let (url, mut calls) = receiver().await;
    let shown = run(sendlab(&data).args(["webhook", "put", "shop", &url]));
    let secret = shown.split_whitespace().find(|word| word.starts_with("whsec_")).expect("the secret is shown").to_owned();
    let made = recommend(&client, json!({ "variant": "warm", "reason": "It sells more." })).await;
    let mut next = async || tokio::time::timeout(PATIENCE, calls.recv()).await.expect("it is called").expect("the receiver runs");
    let (first, (headers, body)) = (next().await, next().await);
    assert_eq!((&headers[0], &body), (&first.0[0], &first.1), "the same news, told again");
    let news: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&news["type"], &news["data"]), (&json!("recommendation.changed"), &made));
    assert_eq!(verified(&secret, &headers, &body).await, "recommendation.changed", "by a library that is not ours");
    let row = until("the webhook to have heard", async || {
        let row = client.get("/v1/webhooks").await.ok()?[0].clone();
        (row["waiting"] == 0).then_some(row)
    })
    .await;
    assert_eq!((&row["state"], &row["last_error"]), (&json!("well"), &json!("it answered 500 Internal Server Error")), "{row}");
}

/// What the library of Standard Webhooks says of a call.
async fn verified(secret: &str, headers: &[String], body: &str) -> String {
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: serde_json::Map<String, Value> =
        names.into_iter().zip(headers).map(|(name, value)| (name.to_owned(), json!(value))).collect();
    let lines = format!("{}\n{}\n{}\n", json!(secret), json!(headers), json!(body));
    let script = workspace().join("tests/support/webhook_verify.py");
    let mut command = Command::new(python());
    command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.spawn().expect("Python starts");
    process.stdin.take().expect("stdin is piped").write_all(lines.as_bytes()).expect("the script reads");
    let output = process.wait_with_output().expect("the script ends");
    assert!(output.status.success(), "the signature does not verify");
    String::from_utf8(output.stdout).expect("the script prints text").trim().to_owned()
}
