//! `sendlab sink`: a mail server and a gateway for text messages that take everything and deliver nothing, for trying, loading and
//! showing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::response::Json;
use axum::routing::{get, post};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use simulator::sink::{Sink, SinkConfig, SinkCounts};
use simulator::sink_mix::Mix;
use tokio::net::TcpListener;

use crate::commands::until_stopped;
use crate::print::{note, say};

/// How often counts are told while mail comes in.
const TELL_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct SinkArgs {
    /// Where mail is taken.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:2525")]
    smtp: SocketAddr,
    /// Where text messages are taken, by POST to any path, and counts are told, by GET of /counts.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:2580")]
    http: SocketAddr,
    /// Milliseconds that each answer takes.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=60_000))]
    latency_ms: u16,
    /// How it answers.
    #[arg(long, value_enum, default_value_t = Answers::All)]
    answers: Answers,
    /// Share of recipients who do not exist, 0 to 1; as `--answers` says where absent.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    unknown: Option<f64>,
    /// Share of recipients who are put off once.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    busy: Option<f64>,
    /// Share of mails that are kept and never answered for.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    lost: Option<f64>,
    /// Tell at this address that each text message was delivered, as a provider does: a POST of {"id": "sink-1", "status":
    /// "delivered"}. It is the one that `sendlab message receipts` shows.
    #[arg(long, value_name = "URL")]
    receipts: Option<reqwest::Url>,
    /// The header that proves it, as [gateway.http.receipt] of the gateway names it.
    #[arg(long, value_name = "NAME=VALUE", requires = "receipts", value_parser = header)]
    receipts_header: Option<(HeaderName, HeaderValue)>,
    /// Which addresses meet what.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Answers {
    /// Yes to everything.
    All,
    /// Like a large mailbox provider before a list in fair order: 2 % unknown, 3 % put off once, a few full, refused and lost.
    Provider,
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| format!("`{text}` is no number; write a share such as 0.02"))?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err(format!("{share} is no share; write a number from 0 to 1")) }
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let read = |(name, value): (&str, &str)| Some((name.trim().parse().ok()?, value.trim().parse().ok()?));
    text.split_once('=').and_then(read).ok_or_else(|| "is no header; write NAME=VALUE, such as X-Key=secret".to_owned())
}

/// Where receipts are told.
struct Receipts {
    client: reqwest::Client,
    url: reqwest::Url,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Receipts {
    /// Tells that a message was delivered.
    async fn tell(&self, id: &str) {
        let body = json!({ "id": id, "status": "delivered" }).to_string();
        let mut request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json").body(body);
        if let Some((name, value)) = &self.header {
            request = request.header(name, value);
        }
        let told = request.send().await.and_then(reqwest::Response::error_for_status);
        if let Err(error) = told {
            note(&format!("The receipt of {id} was not taken: {error}"));
        }
    }
}

impl SinkArgs {
    fn receipts(&self) -> Option<Arc<Receipts>> {
        let url = self.receipts.clone()?;
        Some(Arc::new(Receipts { client: reqwest::Client::new(), url, header: self.receipts_header.clone() }))
    }

    fn mix(&self) -> Mix {
        let mix = match self.answers {
            Answers::All => Mix::NONE,
            Answers::Provider => Mix::PROVIDER,
        };
        Mix {
            seed: self.seed,
            unknown: self.unknown.unwrap_or(mix.unknown),
            busy: self.busy.unwrap_or(mix.busy),
            lost: self.lost.unwrap_or(mix.lost),
            ..mix
        }
    }
}

/// What the HTTP side knows.
struct Http {
    sink: Sink,
    texts: AtomicU64,
    latency: Duration,
    receipts: Option<Arc<Receipts>>,
}

pub(crate) async fn run(args: &SinkArgs) -> anyhow::Result<()> {
    let latency = Duration::from_millis(args.latency_ms.into());
    let config = SinkConfig { listen: args.smtp, latency, mix: args.mix(), sessions_max: 10_000, ..SinkConfig::default() };
    let taken = |what: &str, flag: &str| format!("cannot take {what}; choose another address with {flag}");
    let (sink, mut mails) = Sink::start(config).await.with_context(|| taken("mail", "--smtp"))?;
    let listener = TcpListener::bind(args.http).await.with_context(|| taken("text messages", "--http"))?;
    let (smtp, http) = (sink.address(), listener.local_addr()?);
    let state = Arc::new(Http { sink, texts: AtomicU64::new(0), latency, receipts: args.receipts() });
    let router = Router::new().route("/counts", get(counts)).route("/{*path}", post(text)).with_state(state.clone());
    say(&format!("Mail is taken at {smtp}, text messages at http://{http}/ (any path), and nothing is delivered."));
    say(&format!("Counts: http://{http}/counts    Try: sendlab serve --smtp {smtp}    Stop: Ctrl-C"));
    tokio::select! {
        stopped = until_stopped() => stopped?,
        served = axum::serve(listener, router) => served.context("cannot take text messages any more")?,
        () = async { while mails.recv().await.is_some() {} } => {}
        () = tell(&state) => {}
    }
    say(&told(&state));
    Ok(())
}

/// Tells the counts as long as they grow.
async fn tell(state: &Http) {
    let mut last = String::new();
    loop {
        tokio::time::sleep(TELL_EVERY).await;
        let now = told(state);
        if !last.is_empty() && now != last {
            note(&now);
        }
        last = now;
    }
}

fn told(state: &Http) -> String {
    let SinkCounts { sessions, turned_away, mails, refusals } = state.sink.counts();
    let texts = state.texts.load(Ordering::Relaxed);
    format!("{mails} mails, {refusals} refusals, {sessions} connections ({turned_away} turned away), {texts} text messages")
}

async fn counts(State(state): State<Arc<Http>>) -> Json<Value> {
    let SinkCounts { sessions, turned_away, mails, refusals } = state.sink.counts();
    let texts = state.texts.load(Ordering::Relaxed);
    Json(json!({
        "mails": mails, "refusals": refusals, "sessions": sessions, "turned_away": turned_away, "text_messages": texts,
    }))
}

/// Takes a text message in whatever form: the number it is given is under the names that gateways use.
async fn text(State(state): State<Arc<Http>>) -> Json<Value> {
    if !state.latency.is_zero() {
        tokio::time::sleep(state.latency).await;
    }
    let id = format!("sink-{}", state.texts.fetch_add(1, Ordering::Relaxed) + 1);
    if let Some(receipts) = state.receipts.clone() {
        let id = id.clone();
        tokio::spawn(async move { receipts.tell(&id).await });
    }
    Json(json!({ "id": id, "sid": id, "message_id": id, "status": "queued" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_checked() {
        assert_eq!(share("0.5"), Ok(0.5));
        for wrong in ["-0.1", "1.1", "NaN", "half"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn headers_are_checked() {
        let (name, value) = header("X-Key = a=b").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("x-key", "a=b"));
        for wrong in ["X-Key", "X Key=a", "X-Key=a\nb"] {
            assert!(header(wrong).is_err(), "{wrong:?}");
        }
    }
}
