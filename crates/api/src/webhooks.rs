//! Webhooks: addresses of customers that hear of each recommendation, signed by Standard Webhooks.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use control::WebhookRow;
use gateways::{WebhookSecret, check_webhook_url};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Parts;
use crate::problem::Problem;
use crate::request::{Params, PathText};
use crate::views::ErrorBody;

/// What an address can hear of.
const EVENTS: [&str; 1] = ["recommendation.changed"];

pub(crate) fn reading() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(list))
}

pub(crate) fn managing() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(put, remove))
}

/// An address to be called.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookParams {
    /// `https`, and no host of the server's own network.
    #[schema(example = "https://shop.example/sendlab")]
    url: String,
    /// What it hears of: `recommendation.changed`, which is all there is, where absent.
    #[serde(default)]
    events: Option<Vec<String>>,
    /// What signs: `whsec_` and 24 to 64 bytes in base64. Where absent, a new address gets one and a known one keeps its own.
    #[serde(default)]
    secret: Option<String>,
}

/// An address as it was stored.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookMade {
    /// Its name.
    webhook: String,
    /// The address.
    url: String,
    /// The secret that was made for it, shown this once; `null` where it was given or known.
    secret: Option<String>,
}

/// An address and where it stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(crate) struct WebhookView {
    /// Its name.
    webhook: String,
    /// The address.
    url: String,
    /// What it hears of.
    events: Vec<String>,
    /// `well`, `failing`, or `disabled`: it failed for five days and is not called any more until it is stored again.
    #[schema(example = "well")]
    state: &'static str,
    /// Recommendations that wait for it.
    waiting: u64,
    /// Calls for the first of them that failed.
    tries: u64,
    /// Why the last one did that failed; `null` where none ever did.
    last_error: Option<String>,
    /// Since when every call failed.
    #[schema(value_type = Option<String>, format = DateTime)]
    failing_since: Option<Timestamp>,
    /// When it is called again.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_try_at: Option<Timestamp>,
    /// When it heard something last.
    #[schema(value_type = Option<String>, format = DateTime)]
    told_at: Option<Timestamp>,
    /// When it was first stored.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<WebhookRow> for WebhookView {
    fn from(row: WebhookRow) -> Self {
        let state = match (row.disabled_at, row.failing_since) {
            (Some(_), _) => "disabled",
            (None, Some(_)) => "failing",
            (None, None) => "well",
        };
        Self {
            webhook: row.webhook,
            url: row.url,
            events: EVENTS.map(str::to_owned).into(),
            state,
            waiting: row.waiting,
            tries: row.tries,
            last_error: row.last_error,
            failing_since: row.failing_since,
            next_try_at: row.next_try_at,
            told_at: row.told_at,
            created_at: row.created_at,
        }
    }
}

/// Store a webhook.
///
/// It hears of each recommendation that is made from now on, in order and at least once: a POST of `{"type": "recommendation.changed",
/// "timestamp", "data"}` with the recommendation as `data`, signed by Standard Webhooks in `webhook-id`, `webhook-timestamp` and
/// `webhook-signature`. Any answer from 200 to 299 means that it was heard; else it is called again with growing pauses, for five days.
#[utoipa::path(
    put,
    path = "/v1/webhooks/{webhook}",
    tag = "recommendations",
    operation_id = "put_webhook",
    params(("webhook" = String, Path, description = "Its name: small letters, digits and hyphens.")),
    request_body(content = WebhookParams, description = "Where it is called."),
    responses(
        (status = 200, description = "It was known and is now as given.", body = WebhookMade),
        (status = 201, description = "It is new.", body = WebhookMade),
        (status = 422, description = "The name, the address, an event or the secret cannot be.", body = ErrorBody),
    )
)]
async fn put(
    State(parts): State<Arc<Parts>>,
    PathText(webhook): PathText,
    Params(params): Params<WebhookParams>,
) -> Result<(StatusCode, Json<WebhookMade>), Problem> {
    let WebhookParams { url, events, secret } = params;
    let bad_url = |why: String| {
        let hint = "give an address that everybody can reach, such as https://shop.example/sendlab";
        Problem::unprocessable("bad_url", format!("url {why}"), hint)
    };
    check_webhook_url(&url, parts.settings.webhook_loopback).map_err(bad_url)?;
    let events = events.unwrap_or_else(|| EVENTS.map(str::to_owned).into());
    if events.is_empty() || events.iter().any(|event| !EVENTS.contains(&event.as_str())) {
        let message = format!("events are {}; one of them is unknown, or there is none", events.join(", "));
        return Err(Problem::unprocessable("bad_events", message, format!("give some of {}", EVENTS.join(", "))));
    }
    if let Some(secret) = &secret {
        let hint = "leave it out, and one is made";
        WebhookSecret::read(secret).map_err(|why| Problem::unprocessable("bad_secret", format!("secret {why}"), hint))?;
    }
    let is_known = parts.control.webhooks().await?.iter().any(|row| row.webhook == webhook);
    let made = (secret.is_none() && !is_known).then(|| {
        let mut random = [0; 32];
        parts.ids.fill(&mut random);
        WebhookSecret::text_of(&random)
    });
    let is_new = parts.control.put_webhook(&webhook, &url, secret.as_deref().or(made.as_deref())).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(WebhookMade { webhook, url, secret: made })))
}

/// All webhooks and where they stand.
#[utoipa::path(
    get,
    path = "/v1/webhooks",
    tag = "recommendations",
    operation_id = "list_webhooks",
    responses((status = 200, description = "By name, without their secrets.", body = Vec<WebhookView>))
)]
async fn list(State(parts): State<Arc<Parts>>) -> Result<Json<Vec<WebhookView>>, Problem> {
    Ok(Json(parts.control.webhooks().await?.into_iter().map(WebhookView::from).collect()))
}

/// Remove a webhook.
#[utoipa::path(
    delete,
    path = "/v1/webhooks/{webhook}",
    tag = "recommendations",
    operation_id = "remove_webhook",
    params(("webhook" = String, Path, description = "Its name.")),
    responses((status = 204, description = "It is not called any more."), (status = 404, description = "There is none.", body = ErrorBody))
)]
async fn remove(State(parts): State<Arc<Parts>>, PathText(webhook): PathText) -> Result<StatusCode, Problem> {
    parts.control.remove_webhook(&webhook).await?;
    Ok(StatusCode::NO_CONTENT)
}
