//! Receipts of providers: what became of text messages after a gateway took them.
//!
//! The address is open, because providers have no key: a receipt proves itself by the secret or the signature that the gateway's
//! configuration names. What it tells of a message whose id is not written down yet waits in the control store.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use control::{PlacedReceipt, Receipt, SortedReceipts};
use gateways::sms_receipt::RECEIPT_BYTES_MAX;
use gateways::{GatewayError, ReceiptRequest, ReceiptStatus, SmsReceipt, SmsRoute};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::DeliveryStatus;
use vocabulary::world::to_micros;

use crate::Parts;
use crate::problem::Problem;
use crate::request::{PathText, Payload};
use crate::views::ErrorBody;

pub(crate) fn open() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(tell))
}

pub(crate) fn reading() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Where the provider of a gateway tells of its messages.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReceiptsView {
    /// The gateway's name in the configuration.
    gateway: String,
    /// The address to enter at the provider; `null` where the gateway takes no receipts.
    url: Option<String>,
    /// By what a receipt proves that it is the provider's, such as `the header x-key`.
    proof: Option<String>,
    /// Receipts that came before their message was known, and wait for it.
    waiting: u64,
    /// Receipts so far about messages that nobody here sent, or whose person was erased.
    unknown: u64,
}

/// Tell what became of text messages.
///
/// Providers call this; enter the address at yours. It is the provider's own format, read as the gateway's configuration says. The
/// same receipt told again is harmless.
#[utoipa::path(
    post,
    path = "/v1/receipts/{gateway}",
    tag = "messages",
    operation_id = "tell_receipts",
    params(("gateway" = String, Path, description = "The gateway's name in the configuration.")),
    request_body(content = String, content_type = "application/octet-stream", description = "What the provider sends: a form or JSON."),
    responses(
        (status = 200, description = "They are taken, also those about messages that are not known. The body is what the configuration says the provider wants to read.", content_type = "text/plain"),
        (status = 403, description = "The secret or the signature is missing or wrong.", body = ErrorBody),
        (status = 404, description = "There is no such gateway.", body = ErrorBody),
        (status = 422, description = "They cannot be read as the configuration says.", body = ErrorBody),
    )
)]
async fn tell(
    State(parts): State<Arc<Parts>>,
    PathText(gateway): PathText,
    uri: Uri,
    headers: HeaderMap,
    Payload(body): Payload<RECEIPT_BYTES_MAX>,
) -> Result<Response, Problem> {
    let route = parts.sms.routes().iter().find(|route| route.name() == gateway);
    let route = route.ok_or_else(|| {
        Problem::not_found("gateway", &gateway, "the address ends with the name of a gateway in the file of --sms")
    })?;
    let receipts = read(&parts, route, &uri, &headers, &body)?;
    let now = to_micros(parts.clock.now());
    let ended = receipts.into_iter().filter_map(|told| {
        let reply = told.reply();
        let status = match told.status {
            ReceiptStatus::Delivered => DeliveryStatus::Delivered,
            ReceiptStatus::Failed => DeliveryStatus::Bounced,
            ReceiptStatus::Other => return None,
        };
        Some(Receipt { gateway: gateway.clone(), provider_id: told.provider_id, status, reply, at: now })
    });
    let SortedReceipts { placed, unplaced } = parts.control.sort_receipts(ended.collect()).await?;
    parts.control.keep_receipts(&unplaced).await?;
    if let Err(error) = parts.lake.append(placed.iter().map(PlacedReceipt::event).collect()).await {
        // Not every provider tells again; what is kept is told to the lake as soon as it takes something.
        tracing::warn!(%error, "receipts are kept until the lake takes them");
        let kept: Vec<Receipt> = placed.into_iter().map(|placed| placed.receipt).collect();
        parts.control.keep_receipts(&kept).await?;
    }
    let answer = route.receipt_answer().to_owned();
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], answer).into_response())
}

/// What the provider says, if it is the provider.
fn read(parts: &Parts, route: &SmsRoute, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<Vec<SmsReceipt>, Problem> {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let url = format!("{}{query}", parts.links.receipts(route.name()));
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    route.receipts(&ReceiptRequest { url: &url, header: &header, body }).map_err(|error| match error {
        GatewayError::Stranger { .. } => {
            Problem::new(StatusCode::FORBIDDEN, "not_the_provider", error.to_string(), "nothing of it was kept")
        }
        error => {
            tracing::warn!(%error, "a receipt cannot be read");
            Problem::unprocessable("bad_receipt", error.to_string(), "correct [gateway.http.receipt] in the file of --sms")
        }
    })
}

/// Where providers of text messages tell what became of them: the address to enter at each, and receipts that are open.
#[utoipa::path(
    get,
    path = "/v1/receipts",
    tag = "messages",
    operation_id = "list_receipts",
    responses((status = 200, description = "The gateways, in the order of the configuration.", body = Vec<ReceiptsView>))
)]
async fn list(State(parts): State<Arc<Parts>>) -> Result<Json<Vec<ReceiptsView>>, Problem> {
    let counts = parts.control.receipt_counts().await?;
    let counts: HashMap<&str, (u64, u64)> =
        counts.iter().map(|count| (count.gateway.as_str(), (count.waiting, count.unknown))).collect();
    let view = |route: &SmsRoute| {
        let (waiting, unknown) = counts.get(route.name()).copied().unwrap_or_default();
        let url = route.takes_receipts().then(|| parts.links.receipts(route.name()));
        ReceiptsView { gateway: route.name().to_owned(), url, proof: route.receipt_proof(), waiting, unknown }
    };
    Ok(Json(parts.sms.routes().iter().map(view).collect()))
}
