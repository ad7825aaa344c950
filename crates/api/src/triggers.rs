//! Triggers: stored, started and paused, and what they did; and prices, whose drops some of them wait for.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use control::{FiringRow, TriggerCounts, TriggerRow};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use triggers::Outcome;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::label;
use vocabulary::{Currency, Money};

use crate::Parts;
use crate::problem::Problem;
use crate::request::{Params, PathText, Text};
use crate::views::ErrorBody;

/// Triggers in one document.
const TRIGGERS_MAX: usize = 200;
/// Entries that are shown of one trigger.
const ENTRIES_SHOWN: u32 = 1_000;
/// Prices in one request.
const PRICES_MAX: usize = 10_000;
/// The longest id of a product, in bytes: as long as any other id.
const PRODUCT_BYTES_MAX: usize = 128;

pub(crate) fn reading() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one))
}

pub(crate) fn managing() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(put)).routes(routes!(start)).routes(routes!(pause)).routes(routes!(prices))
}

/// A trigger and where it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TriggerView {
    /// As it was written.
    trigger: Value,
    /// Grows when the condition changes; what was remembered of contacts is forgotten then.
    version: u32,
    /// What it does in English.
    meaning: String,
    /// `running` or `paused`.
    state: &'static str,
    /// What became true before does not count.
    started_at: String,
    /// When it was evaluated last; `null` before the first time.
    evaluated_at: Option<String>,
    /// How many entries ended with a message due; whether it may be sent is decided then.
    sent: u64,
    /// How many were held out.
    held_out: u64,
    /// How many were taken out by what they did.
    exited: u64,
    /// How many contacts it remembers something of.
    watched: u64,
    /// Why nothing is sent to who enters, and what to do; `null` where nothing is wrong.
    problem: Option<String>,
}

/// A trigger with its newest entries.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TriggerWithEntries {
    #[serde(flatten)]
    trigger: TriggerView,
    /// The newest entries that ended, newest first, at most 1,000.
    entries: Vec<EntryView>,
}

/// An entry of a contact that ended.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EntryView {
    /// The surrogate key of the contact, as in the lake.
    contact_key: String,
    /// Which entry of this contact it was, from 1.
    occurrence: u32,
    /// When the condition became true.
    true_at: String,
    /// When the message was due.
    due: String,
    /// `send`, `held_out` or `exited`.
    outcome: &'static str,
    /// When it was decided; of who was taken out, when they did what takes out.
    at: String,
}

impl From<FiringRow> for EntryView {
    fn from(row: FiringRow) -> Self {
        Self {
            contact_key: row.contact.to_string(),
            occurrence: row.firing.occurrence,
            true_at: row.firing.true_at.to_string(),
            due: row.firing.due.to_string(),
            outcome: match row.firing.outcome {
                Outcome::Send => "send",
                Outcome::HeldOut => "held_out",
                Outcome::Exited { .. } => "exited",
            },
            at: row.fired_at.to_string(),
        }
    }
}

/// The price of a product.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PriceLine {
    /// Your own id of the product, as in events of the kind `activity`.
    #[schema(example = "sku-1")]
    product: String,
    /// What it costs now, as a decimal number in quotes.
    #[schema(example = "49.90")]
    price: String,
    /// ISO 4217 currency.
    #[schema(example = "EUR")]
    currency: String,
}

/// What became of prices.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PricesStored {
    /// How many were taken down.
    stored: u64,
    /// How many of them were lower than before.
    fell: u64,
}

async fn view(parts: &Parts, row: TriggerRow) -> Result<TriggerView, Problem> {
    let TriggerCounts { sent, held_out, exited, watched } = parts.control.trigger_counts(&row.trigger.trigger).await?;
    Ok(TriggerView {
        problem: problem(parts, &row).await?,
        meaning: row.trigger.describe(),
        trigger: serde_json::to_value(&row.trigger).map_err(|error| Problem::internal(&error))?,
        version: row.version,
        state: if row.is_running { "running" } else { "paused" },
        started_at: row.started_at.to_string(),
        evaluated_at: row.evaluated_at.map(|at| at.to_string()),
        sent,
        held_out,
        exited,
        watched,
    })
}

/// Why nothing is sent to who enters.
async fn problem(parts: &Parts, row: &TriggerRow) -> Result<Option<String>, Problem> {
    use control::CampaignState::{Cancelled, Done, Draft, Failed, Paused, Planning, Sending};
    let id = &row.trigger.campaign;
    if !row.is_running {
        return Ok(Some("the trigger is paused; `sendlab trigger start` lets it go on".to_owned()));
    }
    let Some(campaign) = parts.control.campaign(id).await? else {
        return Ok(Some(format!("there is no campaign `{id}`; store it with `sendlab campaign apply`")));
    };
    let advice = match campaign.state {
        _ if !campaign.campaign.triggered => "goes to an audience of its own; make one with `triggered: true`",
        Draft => "was not started; `sendlab campaign start` starts it, and who entered before is written to then",
        Paused => "is paused; `sendlab campaign start` lets it go on",
        Failed => "has failed; `sendlab campaign list` tells why",
        Done => "is over; name another one",
        Cancelled => "was cancelled; name another one",
        Planning | Sending => return Ok(None),
    };
    Ok(Some(format!("campaign `{id}` {advice}")))
}

async fn known(parts: &Parts, name: &str) -> Result<TriggerRow, Problem> {
    let found = parts.control.trigger(name).await?;
    found.ok_or_else(|| Problem::not_found("trigger", name, "GET /v1/triggers lists them"))
}

/// Store triggers.
///
/// YAML or JSON, one or a list; all are stored or none. A new one runs at once: what becomes true from now on counts. One whose
/// condition changes begins anew.
#[utoipa::path(
    put,
    path = "/v1/triggers",
    tag = "triggers",
    operation_id = "put_triggers",
    request_body(content((Value = "application/json"), (String = "application/yaml")), description = "A trigger, or a list of them."),
    responses(
        (status = 200, description = "They are as given.", body = Vec<TriggerView>),
        (status = 422, description = "Something is wrong with one; the message names the place and the fix. None was stored.", body = ErrorBody),
    )
)]
async fn put(State(parts): State<Arc<Parts>>, Text(text): Text) -> Result<Json<Vec<TriggerView>>, Problem> {
    let triggers = experiment::parse_triggers(&text, parts.settings.base_currency)?;
    if triggers.is_empty() || triggers.len() > TRIGGERS_MAX {
        let message = format!("there are {} triggers", triggers.len());
        return Err(Problem::unprocessable("bad_trigger", message, format!("send 1 to {TRIGGERS_MAX}")));
    }
    let mut views = Vec::with_capacity(triggers.len());
    for trigger in &triggers {
        views.push(view(&parts, parts.control.put_trigger(trigger).await?).await?);
    }
    Ok(Json(views))
}

/// All triggers.
#[utoipa::path(
    get,
    path = "/v1/triggers",
    tag = "triggers",
    operation_id = "list_triggers",
    responses((status = 200, description = "The triggers, by name.", body = Vec<TriggerView>))
)]
async fn list(State(parts): State<Arc<Parts>>) -> Result<Json<Vec<TriggerView>>, Problem> {
    let mut views = Vec::new();
    for row in parts.control.triggers().await? {
        views.push(view(&parts, row).await?);
    }
    Ok(Json(views))
}

/// One trigger and its newest entries.
#[utoipa::path(
    get,
    path = "/v1/triggers/{name}",
    tag = "triggers",
    operation_id = "trigger",
    params(("name" = String, Path, description = "The trigger's name.")),
    responses((status = 200, description = "The trigger.", body = TriggerWithEntries), (status = 404, description = "There is none.", body = ErrorBody))
)]
async fn one(State(parts): State<Arc<Parts>>, PathText(name): PathText) -> Result<Json<TriggerWithEntries>, Problem> {
    let row = known(&parts, &name).await?;
    let entries = parts.control.firings(&name, ENTRIES_SHOWN).await?.into_iter().map(EntryView::from).collect();
    Ok(Json(TriggerWithEntries { trigger: view(&parts, row).await?, entries }))
}

/// Let a paused trigger go on. What became true during the pause does not count.
#[utoipa::path(
    post,
    path = "/v1/triggers/{name}/start",
    tag = "triggers",
    operation_id = "start_trigger",
    params(("name" = String, Path, description = "The trigger's name.")),
    responses((status = 200, description = "It runs.", body = TriggerView), (status = 404, description = "There is none.", body = ErrorBody))
)]
async fn start(State(parts): State<Arc<Parts>>, PathText(name): PathText) -> Result<Json<TriggerView>, Problem> {
    switch(&parts, &name, true).await
}

/// Pause a trigger: nobody enters, and no wait comes to its end, until it goes on.
#[utoipa::path(
    post,
    path = "/v1/triggers/{name}/pause",
    tag = "triggers",
    operation_id = "pause_trigger",
    params(("name" = String, Path, description = "The trigger's name.")),
    responses((status = 200, description = "It stands still.", body = TriggerView), (status = 404, description = "There is none.", body = ErrorBody))
)]
async fn pause(State(parts): State<Arc<Parts>>, PathText(name): PathText) -> Result<Json<TriggerView>, Problem> {
    switch(&parts, &name, false).await
}

async fn switch(parts: &Parts, name: &str, is_running: bool) -> Result<Json<TriggerView>, Problem> {
    known(parts, name).await?;
    parts.control.run_trigger(name, is_running).await?;
    Ok(Json(view(parts, known(parts, name).await?).await?))
}

/// Tell prices. A price that is lower than the one told before is a price drop, which triggers may wait for.
#[utoipa::path(
    put,
    path = "/v1/prices",
    tag = "triggers",
    operation_id = "put_prices",
    request_body(content = Vec<PriceLine>, description = "At most 10,000 prices."),
    responses(
        (status = 200, description = "They are taken down.", body = PricesStored),
        (status = 422, description = "One cannot be a price; the message names it. None was taken down.", body = ErrorBody)
    )
)]
async fn prices(State(parts): State<Arc<Parts>>, Params(lines): Params<Vec<PriceLine>>) -> Result<Json<PricesStored>, Problem> {
    let wrong = |message: String| Problem::unprocessable("bad_price", message, "correct it and send all again");
    if lines.is_empty() || lines.len() > PRICES_MAX {
        return Err(wrong(format!("there are {} prices; send 1 to {PRICES_MAX}", lines.len())));
    }
    let read = |(place, line): (usize, PriceLine)| {
        let fault = |field: &str, reason: String| wrong(format!("price {}: `{field}` {reason}", place + 1));
        label::check(&line.product, PRODUCT_BYTES_MAX).map_err(|error| fault("product", error.to_string()))?;
        let currency = Currency::new(&line.currency).map_err(|error| fault("currency", error.to_string()))?;
        let price = Money::parse(&line.price, currency).map_err(|error| fault("price", error.to_string()))?;
        if price.minor < 0 {
            return Err(fault("price", "is negative; write what the product costs".to_owned()));
        }
        Ok((line.product, price))
    };
    let prices: Vec<(String, Money)> = lines.into_iter().enumerate().map(read).collect::<Result<_, _>>()?;
    let fell = parts.control.put_prices(&prices).await?;
    Ok(Json(PricesStored { stored: prices.len() as u64, fell }))
}
