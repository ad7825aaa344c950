//! `sendlab webhook`: addresses of your own that hear of each recommendation.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::Client;
use crate::commands::segment;
use crate::print::{items, say, table, word};

/// What the help of the command ends with.
pub(crate) const HELP: &str = "An address is called with a POST whenever something is recommended, in order and at least once, signed by Standard \
Webhooks (webhook-id, webhook-timestamp, webhook-signature). Any answer from 200 to 299 means that it was heard; else it is called again with \
growing pauses, and given up after five days.\n\n\
Examples:\n  sendlab webhook put shop https://shop.example/sendlab\n  sendlab webhook list\n  sendlab webhook remove shop";

/// What the server may call.
#[derive(Debug, Clone, Args)]
pub(crate) struct WebhookArgs {
    /// Webhooks may lead to this machine, and then by http: for receivers beside the server, and for trying.
    #[arg(long, env = "SENDLAB_WEBHOOK_LOOPBACK")]
    pub(crate) webhook_loopback: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WebhookCommand {
    /// Store an address, or call one again that was given up. The secret of a new one is shown once.
    Put {
        /// Its name: small letters, digits and hyphens.
        webhook: String,
        /// The address, with https.
        url: String,
        /// The secret that signs: whsec_ and 24 to 64 bytes in base64 [default: one is made for a new address, a known one keeps its own].
        #[arg(long, env = "SENDLAB_WEBHOOK_SECRET", hide_env_values = true, value_name = "SECRET")]
        secret: Option<String>,
    },
    /// List the addresses: what waits for each, and why calls failed.
    List,
    /// Call an address no more.
    Remove {
        /// Its name.
        webhook: String,
    },
}

pub(crate) async fn run(client: &Client, command: WebhookCommand) -> anyhow::Result<()> {
    match command {
        WebhookCommand::Put { webhook, url, secret } => {
            let body = json!({ "url": url, "secret": secret }).to_string().into_bytes();
            let path = format!("/v1/webhooks/{}", segment(&webhook));
            let made = client.send(Method::PUT, &path, "application/json", body).await?;
            say(&format!("Webhook {webhook} hears of each recommendation from now on."));
            if let Some(secret) = made["secret"].as_str() {
                say(&format!("  Secret  {secret} (shown this once)"));
            }
        }
        WebhookCommand::List => list(&client.get("/v1/webhooks").await?),
        WebhookCommand::Remove { webhook } => {
            client.send(Method::DELETE, &format!("/v1/webhooks/{}", segment(&webhook)), "application/json", Vec::new()).await?;
            say(&format!("Webhook {webhook} is removed."));
        }
    }
    Ok(())
}

fn list(all: &Value) {
    if items(all).is_empty() {
        return say("No webhook yet. Store one with `sendlab webhook put NAME URL`.");
    }
    let row = |row: &Value| ["webhook", "url", "state", "waiting", "told_at", "last_error"].map(|name| word(&row[name])).to_vec();
    table(
        &["webhook", "address", "state", "waiting", "told last", "last error"],
        &items(all).iter().map(row).collect::<Vec<_>>(),
    );
}
