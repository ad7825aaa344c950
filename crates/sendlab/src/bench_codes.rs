//! `sendlab bench codes`: how long a one-time code takes from the request to the mail server while a campaign goes out as fast as it
//! can.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use gateways::{DkimKind, new_dkim_key};
use reqwest::Method;
use serde_json::{Value, json};
use simulator::sink::{Mail, Sink, SinkConfig};
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::client::Client;
use crate::mail_server::local_smtp;
use crate::print::say;
use crate::server::{Server, Settings};
use crate::{SystemClock, SystemIds};

/// Contacts of one request.
const AT_ONCE: usize = 10_000;
/// The address of codes, which tells them from the campaign's.
const CODES: &str = "codes.example";
/// A code that has not come after this will not come.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(crate) struct BenchCodesArgs {
    /// Codes.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    codes: u32,
    /// Milliseconds from one code to the next.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    every_ms: u16,
    /// Contacts of the campaign: so many that it is not done before the codes are.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1_000..=5_000_000))]
    contacts: u32,
    /// Connections of the campaign.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    lanes: u16,
    /// Sign everything with RSA-2048, which takes as much processor time as all else about a mail.
    #[arg(long)]
    signed: bool,
}

/// What the mail server saw.
#[derive(Default)]
struct Seen {
    campaign: AtomicU64,
    /// Who waits for a code, by its address.
    waiting: std::sync::Mutex<HashMap<String, oneshot::Sender<Instant>>>,
}

pub(crate) async fn run(args: &BenchCodesArgs) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (sink, mails) = Sink::start(SinkConfig::default()).await.context("cannot start the built-in mail server")?;
    let seen = Arc::new(Seen::default());
    tokio::spawn(look(mails, seen.clone()));
    let smtp = Some(local_smtp(sink.address()));
    let mut settings = Settings { smtp, lanes: usize::from(args.lanes), ..Settings::new(&folder.path().join("data")) };
    if args.signed {
        let file = folder.path().join("key.pem");
        std::fs::write(&file, new_dkim_key(DkimKind::Rsa)?.as_bytes())?;
        settings.dkim.push(format!("shop.example:bench:{}", file.display()));
    }
    let server = Server::start(settings, Arc::new(SystemClock), Arc::new(SystemIds)).await?;
    let client = Client::new(server.door.clone());
    say(&format!("{} codes, one every {} ms, beside a campaign to {} contacts.", args.codes, args.every_ms, args.contacts));
    prepare(&client, args.contacts as usize).await?;
    while seen.campaign.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (began, before) = (Instant::now(), seen.campaign.load(Ordering::Relaxed));
    let mut codes = Vec::new();
    for number in 0..args.codes {
        codes.push(tokio::spawn(code(client.clone(), seen.clone(), number)));
        tokio::time::sleep(Duration::from_millis(args.every_ms.into())).await;
    }
    let mut answered = Vec::new();
    let mut arrived = Vec::new();
    for code in codes {
        let (answer, arrival) = code.await.context("a code's task")??;
        answered.push(answer);
        arrived.push(arrival);
    }
    let mails = seen.campaign.load(Ordering::Relaxed) - before;
    let rate = mails as f64 / began.elapsed().as_secs_f64();
    let row = client.get("/v1/campaigns/bench").await?;
    ensure!(row["state"] == "sending", "the campaign was done before the codes were; give it more --contacts");
    say(&format!("  The campaign  {rate:.0} messages a second by {} connections", args.lanes));
    tell("Answered", &mut answered);
    tell("Handed over", &mut arrived);
    client.send(Method::POST, "/v1/campaigns/bench/pause", "application/json", b"{}".to_vec()).await?;
    server.stop().await
}

/// Median, 99th percentile and the longest.
fn tell(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1_000.0;
    say(&format!("  {what:<13} {:.1} ms half of them, {:.1} ms 99 in 100, {:.1} ms the slowest", at(0.5), at(0.99), at(1.0)));
}

async fn look(mut mails: Receiver<Mail>, seen: Arc<Seen>) {
    while let Some(mail) = mails.recv().await {
        let Some(to) = mail.to.into_iter().next() else { continue };
        if !to.ends_with(CODES) {
            seen.campaign.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let waiting = seen.waiting.lock().expect("nobody panics while holding this lock").remove(&to);
        if let Some(waiting) = waiting {
            // Who gave up does not hear.
            let _ = waiting.send(Instant::now());
        }
    }
}

/// Tells one code; how long the answer took and how long the mail server waited for it.
async fn code(client: Client, seen: Arc<Seen>, number: u32) -> anyhow::Result<(Duration, Duration)> {
    let (sender, arrival) = oneshot::channel();
    let to = format!("reader{number}@{CODES}");
    seen.waiting.lock().expect("nobody panics while holding this lock").insert(to.clone(), sender);
    let message =
        json!({ "id": format!("code-{number}"), "template": "code", "to": { "email": to }, "data": { "code": number } });
    let began = Instant::now();
    client.send(Method::POST, "/v1/messages", "application/json", message.to_string().into_bytes()).await?;
    let answered = began.elapsed();
    let arrived = tokio::time::timeout(PATIENCE, arrival).await.context("a code did not arrive")??;
    Ok((answered, arrived.duration_since(began)))
}

async fn prepare(client: &Client, contacts: usize) -> anyhow::Result<()> {
    let line = |n: usize| {
        let email = format!("k{n}@example.test");
        json!({ "key": format!("k{n}"), "email": email, "email_consent": "double_opt_in", "country": "DE" }).to_string() + "\n"
    };
    for first in (0..contacts).step_by(AT_ONCE) {
        let lines: String = (first..contacts.min(first + AT_ONCE)).map(line).collect();
        client.lines("/v1/contacts", lines.into_bytes()).await?;
    }
    let put =
        async |path: &str, body: Value| client.send(Method::PUT, path, "application/json", body.to_string().into_bytes()).await;
    let copy = json!({ "subject": "Hello", "html": "<p>Hello <a href=\"https://shop.example/\">Shop</a></p>", "text": "Hello" });
    let code = json!({ "subject": "Your code", "html": "<p>{{ data.code }}</p>", "text": "{{ data.code }}" });
    put("/v1/templates", json!({ "template": "code", "class": "verification", "from": "code@shop.example", "content": code }))
        .await?;
    let experiment = json!({
        "experiment": "bench", "factors": ["copy"], "primary": "clicked", "variants": [{ "name": "a" }, { "name": "b" }],
        "metrics": [{ "name": "clicked", "outcome": "click", "measure": "occurred" }],
    });
    put("/v1/experiments", experiment).await?;
    let campaign =
        json!({ "campaign": "bench", "experiment": "bench", "from": "news@shop.example", "content": { "a": copy, "b": copy } });
    put("/v1/campaigns", campaign).await?;
    client.send(Method::POST, "/v1/campaigns/bench/start", "application/json", b"{}".to_vec()).await?;
    Ok(())
}
