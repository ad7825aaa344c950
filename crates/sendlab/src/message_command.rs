//! `sendlab template` and `sendlab message`: codes, receipts and other messages to one person.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::client::Client;
use crate::commands::{apply, segment};
use crate::print::{count, say, table};

#[derive(Debug, Subcommand)]
pub(crate) enum TemplateCommand {
    /// Store the templates of a YAML file, one or a list.
    #[command(
        after_help = "A template is a name, a class and what it says; `data` holds the values of each message:\n\n  - template: \
                            login-code\n    class: verification\n    from: Shop <code@shop.example>\n    content:\n      subject: Your \
                            code is {{ data.code }}\n      html: <p>Your code is <b>{{ data.code }}</b>.</p>\n      text: Your code is \
                            {{ data.code }}.\n\nclass is verification (sent again when in doubt, given up after ten minutes) or \
                            transactional\n(never sent twice, given up after a day); expires_minutes says otherwise.\n\nSamples: \
                            data/samples/templates.yaml"
    )]
    Apply {
        /// The file; unknown keys are refused.
        file: PathBuf,
    },
    /// List all templates.
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MessageCommand {
    /// Send a message to one person. With the same --id it is sent once, however often this is run.
    #[command(
        after_help = "Examples:\n  sendlab message send login-code --id code-8431 --email ann@example.com --set code=482913\n  sendlab \
                            message send receipt --id order-77 --contact customer-1 --data '{\"total\": \"49.90\"}'"
    )]
    Send(Box<SendArgs>),
    /// What became of a message.
    Show {
        /// The id it was told under.
        id: String,
    },
    /// How many messages of the last month are in each state.
    List,
    /// Where the providers of text messages tell what became of them, and receipts that nobody could place.
    #[command(
        after_help = "Enter each address at its provider, as the one for delivery receipts (status callbacks). A receipt becomes a row of \
                            the table deliveries:\n  sendlab sql \"select provider, status, count(*) from deliveries where channel = 'sms' \
                            group by 1, 2\"\nwaiting: came before its message was known; within an hour it is placed, or counts as unknown: \
                            about a message that nobody here sent."
    )]
    Receipts,
}

#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// The template.
    template: String,
    /// Your own id of the message.
    #[arg(long)]
    id: String,
    /// Your own id of the contact who gets it.
    #[arg(long, value_name = "ID", required_unless_present_any = ["email", "phone"], conflicts_with_all = ["email", "phone"])]
    contact: Option<String>,
    /// The address that gets it.
    #[arg(long, conflicts_with = "phone")]
    email: Option<String>,
    /// The international phone number that gets it.
    #[arg(long)]
    phone: Option<String>,
    /// A value of `data`; may be given several times.
    #[arg(long, value_name = "NAME=TEXT")]
    set: Vec<String>,
    /// All of `data` as a JSON object.
    #[arg(long, value_name = "JSON", conflicts_with = "set")]
    data: Option<String>,
    /// BCP 47 language to write in; the contact's where absent.
    #[arg(long, value_name = "TAG")]
    language: Option<String>,
    /// ISO 3166 country of somebody who is no contact.
    #[arg(long, value_name = "CODE")]
    country: Option<String>,
}

pub(crate) async fn templates(client: &Client, command: TemplateCommand) -> anyhow::Result<()> {
    let templates = match command {
        TemplateCommand::Apply { file } => apply(client, "/v1/templates", &file).await?,
        TemplateCommand::List => client.get("/v1/templates").await?,
    };
    let templates = templates.as_array().map_or(&[][..], Vec::as_slice);
    if templates.is_empty() {
        say("There are no templates. `sendlab template apply data/samples/templates.yaml` stores two.");
        return Ok(());
    }
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let languages = |template: &Value| {
        let own = template["content"]["language"].as_str().unwrap_or("default").to_owned();
        let more = template["content"]["locales"].as_object().into_iter().flat_map(Map::keys).cloned();
        std::iter::once(own).chain(more).collect::<Vec<_>>().join(", ")
    };
    let row = |template: &Value| {
        vec![text(&template["template"]), text(&template["class"]), text(&template["channel"]), languages(template)]
    };
    table(&["template", "class", "channel", "languages"], &templates.iter().map(row).collect::<Vec<_>>());
    Ok(())
}

pub(crate) async fn messages(client: &Client, command: MessageCommand) -> anyhow::Result<()> {
    match command {
        MessageCommand::Send(args) => show(&send(client, *args).await?),
        MessageCommand::Show { id } => show(&client.get(&format!("/v1/messages/{}", segment(&id))).await?),
        MessageCommand::Receipts => receipts(client).await?,
        MessageCommand::List => {
            let counts = client.get("/v1/messages").await?;
            let counts = counts.as_array().map_or(&[][..], Vec::as_slice);
            if counts.is_empty() {
                say("No message to one person was told in the last month. `sendlab message send --help` shows how.");
                return Ok(());
            }
            let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            let row = |row: &Value| vec![text(&row["class"]), text(&row["state"]), count(&row["messages"])];
            table(&["class", "state", "messages"], &counts.iter().map(row).collect::<Vec<_>>());
        }
    }
    Ok(())
}

async fn send(client: &Client, args: SendArgs) -> anyhow::Result<Value> {
    let data: Map<String, Value> = match &args.data {
        Some(text) => serde_json::from_str(text).context("--data must be a JSON object, such as '{\"code\": \"482913\"}'")?,
        None => args.set.iter().map(|pair| value(pair)).collect::<anyhow::Result<_>>()?,
    };
    let SendArgs { template, id, contact, email, phone, language, country, .. } = args;
    let given = [("contact", contact), ("email", email), ("phone", phone)];
    let to: Map<String, Value> = given.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?.into()))).collect();
    let message = json!({ "id": id, "template": template, "to": to, "data": data, "language": language, "country": country });
    client.send(Method::POST, "/v1/messages", "application/json", message.to_string().into_bytes()).await
}

async fn receipts(client: &Client) -> anyhow::Result<()> {
    let gateways = client.get("/v1/receipts").await?;
    let gateways = gateways.as_array().map_or(&[][..], Vec::as_slice);
    if gateways.is_empty() {
        say("There are no gateways for text messages. `sendlab serve --sms data/samples/sms.toml` has some.");
        return Ok(());
    }
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let row = |row: &Value| {
        let url = row["url"].as_str().unwrap_or("none: write [gateway.http.receipt]").to_owned();
        vec![text(&row["gateway"]), url, text(&row["proof"]), count(&row["waiting"]), count(&row["unknown"])]
    };
    let rows: Vec<_> = gateways.iter().map(row).collect();
    table(&["gateway", "address to enter at the provider", "proved by", "waiting", "unknown"], &rows);
    Ok(())
}

fn value(pair: &str) -> anyhow::Result<(String, Value)> {
    let Some((name, text)) = pair.split_once('=').filter(|(name, _)| !name.is_empty()) else {
        bail!("--set `{pair}` must be NAME=TEXT, such as code=482913");
    };
    Ok((name.to_owned(), text.into()))
}

fn show(row: &Value) {
    let text = |field: &str| row[field].as_str().unwrap_or("-").to_owned();
    say(&format!("Message {} ({}, {}): {}", text("id"), text("template"), text("class"), text("state").replace('_', " ")));
    say(&format!("  Told      {}", text("told_at")));
    if row["settled_at"].is_null() {
        say(&format!("  Given up  {} unless it was handed over before", text("expires_at")));
    } else {
        say(&format!("  Ended     {}", text("settled_at")));
    }
    say(&format!("  Offered   {} times", count(&row["tries"])));
    if row["reply"].is_string() {
        say(&format!("  Reply     {}", text("reply")));
    }
}
