//! `sendlab campaign test-send`: a campaign's message to addresses of those who write it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::Session;
use crate::commands::segment;
use crate::print::say;

/// How often it is asked whether the messages have left.
const PAUSE: Duration = Duration::from_millis(250);
/// How often at most: a mail server that is slow to greet has answered within a minute.
const LOOKS_MAX: usize = 240;

/// What the help of the command ends with.
pub(crate) const HELP: &str = "It is the message that the contact would get of the variant now, by the same way as real ones: sender, \
signature, gateway. The subject of an e-mail begins with [Test]. Opening, clicking and unsubscribing in it count for nobody.\n\n\
Examples:\n  sendlab campaign test-send spring-test --variant warm --contact customer-17 --to kim@shop.example\n  \
sendlab campaign test-send spring-test --locale zh-Hant --to kim@shop.example --to lee@shop.example";

#[derive(Debug, Args)]
pub(crate) struct TestSendArgs {
    /// The campaign; it need not be started.
    campaign: String,
    /// The variant [default: the experiment's first].
    #[arg(long, short, value_name = "NAME")]
    variant: Option<String>,
    /// The channel, where the campaign has several [default: the variant's own, else the campaign's first].
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// BCP 47 language: that translation of the copy, whatever the contact reads.
    #[arg(long, visible_alias = "language", value_name = "TAG")]
    locale: Option<String>,
    /// Your own id of the contact whose message it is [default: somebody of whom nothing is known].
    #[arg(long, value_name = "ID")]
    contact: Option<String>,
    /// The address that gets it: an e-mail address, or an international phone number where the campaign sends text messages. May be
    /// given up to ten times.
    #[arg(long, required = true, value_name = "ADDRESS")]
    to: Vec<String>,
}

pub(crate) async fn run(session: &Session, args: TestSendArgs) -> anyhow::Result<()> {
    if session.is_own() {
        bail!("no server runs on this data folder; start one that can send, in another terminal: sendlab serve --smtp HOST:PORT");
    }
    let path = format!("/v1/campaigns/{}/test-sends", segment(&args.campaign));
    let TestSendArgs { variant, channel, locale, contact, to, .. } = args;
    let body = json!({ "variant": variant, "channel": channel, "language": locale, "contact": contact, "to": to });
    let told = session.client.send(Method::POST, &path, "application/json", body.to_string().into_bytes()).await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let sent = told["sent"].as_array().map_or(&[][..], Vec::as_slice);
    let mut open: BTreeMap<String, String> = sent.iter().map(|one| (text(&one["message_id"]), text(&one["to"]))).collect();
    let subject = told["subject"].as_str().map(|subject| format!(": {subject}")).unwrap_or_default();
    say(&format!("Variant {}{subject}", text(&told["variant"])));
    let mut failed = 0;
    for _ in 0..LOOKS_MAX {
        for row in session.client.get(&path).await?.as_array().map_or(&[][..], Vec::as_slice) {
            if row["settled_at"].is_null() {
                continue;
            }
            let Some(to) = open.remove(&text(&row["message_id"])) else { continue };
            let (state, reply) = (text(&row["state"]), text(&row["reply"]));
            failed += usize::from(state != "accepted");
            say(&format!("  {to}: {} ({reply})", state.replace('_', " ")));
        }
        if open.is_empty() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    for to in open.values() {
        say(&format!("  {to}: waits for the gateway"));
    }
    let missing = failed + open.len();
    if missing > 0 {
        bail!("{missing} of {} test messages were not taken", sent.len());
    }
    Ok(())
}
