//! `sendlab send`: a process that does nothing but send, beside the server of the same data folder. It shares the control store with
//! it, and tells it over HTTP what it did.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use async_trait::async_trait;
use clap::Args;
use content::Links;
use policy::InForce;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use vocabulary::{Body, Clock, Currency, Event, EventId, Ids};
use workers::{Journal, Sending, WorkerError, Workers};

use crate::cli::{Place, SmtpArgs};
use crate::client::{Client, settings};
use crate::commands::until_stopped;
use crate::print::say;
use crate::server::{Door, boot, read_door};
use crate::{SystemClock, SystemIds, mail_server, master_key, rules_folder};

#[derive(Debug, Args)]
pub(crate) struct SendingArgs {
    /// The name of this process, which no other that sends from this data folder has. Start it again under the same name after a
    /// crash: it settles what it left behind.
    #[arg(long)]
    name: String,
    /// The address at which readers reach the server, as the server was told it; the server's own where absent.
    #[arg(long, env = "SENDLAB_BASE_URL", value_name = "URL")]
    base_url: Option<String>,
    #[command(flatten)]
    smtp: SmtpArgs,
    /// The folder with rules of your own, as the server was told it.
    #[arg(long, env = "SENDLAB_RULES", value_name = "FOLDER")]
    rules: Option<PathBuf>,
}

pub(crate) async fn run(place: &Place, args: SendingArgs) -> anyhow::Result<()> {
    let shared = settings(place)?;
    let data = &place.data;
    let given = place.server.clone().zip(place.key.clone()).map(|(url, key)| Door { url, key });
    let door = given
        .clone()
        .or_else(|| read_door(data))
        .with_context(|| format!("no server runs on {}; start one first, in another terminal: sendlab serve", data.display()))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids: Arc<dyn Ids> = Arc::new(SystemIds);
    let control = master_key::open_control(data, shared.master_key.as_deref(), ids, clock.clone()).await?;
    let client = Client::new(door);
    let answer = client.get("/v1/lake").await.context("the server cannot be asked for its currency")?;
    let base = Currency::new(answer["base_currency"].as_str().unwrap_or_default()).context("the server's currency")?;
    let base_url = args.base_url.unwrap_or_else(|| client.url().to_owned());
    let links = Arc::new(Links::new(control.derived_key("links"), &base_url));
    let rules = Arc::new(InForce::new(rules_folder::read(args.rules.as_deref())?));
    let stop = CancellationToken::new();
    if let Some(folder) = args.rules {
        tokio::spawn(rules_folder::follow(folder, rules.clone(), stop.clone()));
    }
    let folder = given.is_none().then(|| data.clone());
    let journal = Arc::new(ServerJournal { client: Mutex::new(client), folder, base });
    let dkim = Arc::new(gateways::Dkim::read(&args.smtp.dkim)?);
    let warm_ups = Arc::new(mail_server::warm_ups(args.smtp.warm_up.as_deref())?);
    let sending = Sending { journal, control, links, clock, rules, dkim, warm_ups };
    let config = workers::Config {
        plans: data.join("plans"),
        smtp: mail_server::smtp(&args.smtp)?,
        smtp_of: mail_server::smtp_of(&args.smtp)?,
        sms: mail_server::sms(args.smtp.sms.as_deref())?,
        lanes: usize::from(args.smtp.smtp_lanes),
        name: args.name,
        campaigns: true,
        webhook_loopback: false,
        land_after: workers::LAND_AFTER,
        boot: boot(),
    };
    anyhow::ensure!(
        config.smtp.is_some() || !config.smtp_of.is_empty() || !config.sms.routes().is_empty(),
        "no mail server and no gateway is given; give --smtp HOST:PORT or --sms FILE, as the server was told them"
    );
    let name = config.name.clone();
    let workers = Workers::start_sending(sending, config).await?;
    say(&format!("Sending as {name} what is planned in {}. Stop: Ctrl-C", data.display()));
    until_stopped().await?;
    say("Stopping: finishing what is under way ...");
    stop.cancel();
    workers.stop().await;
    Ok(())
}

/// The server that keeps the lake.
struct ServerJournal {
    client: Mutex<Client>,
    /// The data folder, which says where the server is after it was started again.
    folder: Option<PathBuf>,
    base: Currency,
}

impl ServerJournal {
    fn client(&self) -> Client {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The server may be somewhere else by now.
    fn failed(&self, error: &anyhow::Error) -> WorkerError {
        if let Some(door) = self.folder.as_deref().and_then(|folder: &Path| read_door(folder)) {
            *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Client::new(door);
        }
        WorkerError::Journal(format!("{error:#}"))
    }
}

#[async_trait]
impl Journal for ServerJournal {
    async fn append(&self, events: Vec<Event>) -> Result<(), WorkerError> {
        if events.is_empty() {
            return Ok(());
        }
        let lines: String = events.iter().map(|event| format!("{}\n", line(event))).collect();
        let answer = self.client().lines("/v1/events", lines.into_bytes()).await.map_err(|error| self.failed(&error))?;
        match answer["rejected"].as_u64() {
            Some(0) => Ok(()),
            _ => Err(WorkerError::Journal(format!("it rejected what this process told: {}", answer["errors"]))),
        }
    }

    async fn knows(&self, id: &EventId) -> Result<bool, WorkerError> {
        let sql = format!("SELECT count(*) AS n FROM deliveries WHERE event_id = '{}'", id.as_str().replace('\'', "''"));
        let body = json!({ "sql": sql }).to_string().into_bytes();
        let answer = self.client().send(reqwest::Method::POST, "/v1/sql?format=json", "application/json", body).await;
        let rows = answer.map_err(|error| self.failed(&error))?;
        Ok(rows[0]["n"].as_u64().is_some_and(|count| count > 0))
    }

    fn base_currency(&self) -> Currency {
        self.base
    }
}

/// An event of a sender as the collector reads it.
fn line(event: &Event) -> Value {
    let context = &event.context;
    let text = |value: &dyn std::fmt::Display| Some(Value::from(value.to_string()));
    let mut fields: Vec<(&str, Option<Value>)> = vec![
        ("event_id", text(&event.id)),
        ("event_time", text(&event.time)),
        ("contact_key", text(&event.contact)),
        ("message_id", context.message_id.as_ref().and_then(|id| text(id))),
        ("campaign_id", context.campaign_id.as_ref().and_then(|id| text(id))),
        ("experiment_id", context.experiment_id.as_ref().and_then(|id| text(id))),
        ("variant", context.variant.as_ref().and_then(|name| text(name))),
        ("channel", context.channel.as_ref().and_then(|channel| text(channel))),
        ("market", context.market.as_ref().and_then(|market| text(market))),
        ("provider", context.provider.as_ref().and_then(|provider| text(provider))),
        ("recommendation_id", context.recommendation_id.as_ref().and_then(|id| text(id))),
        ("kind", text(&event.body.kind())),
    ];
    match &event.body {
        Body::Message { class, cost } => {
            fields.push(("class", text(class)));
            if let Some(cost) = cost {
                let amount = cost.to_string();
                let amount = amount.split_once(' ').map_or(amount.as_str(), |(amount, _)| amount);
                fields.extend([("cost", text(&amount)), ("currency", text(&cost.currency))]);
            }
        }
        Body::Delivery { status, reply } => {
            fields.extend([("status", text(status)), ("reply", reply.as_ref().and_then(|reply| text(reply)))]);
        }
        other => unreachable!("a sender tells of messages and deliveries, not of {}", other.kind()),
    }
    Value::Object(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect::<Map<_, _>>())
}
