//! Exchange rates: `PUT /v1/rates`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::rate_file;

use crate::Parts;
use crate::problem::Problem;
use crate::request::Payload;
use crate::views::ErrorBody;

/// The ECB's whole history since 1999 is a fifth of it.
const RATES_BYTES_MAX: usize = 8 << 20;

pub(crate) fn routes() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(put))
}

/// What the rates changed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RatesPut {
    /// Days that convert otherwise now.
    spans: Vec<RateSpanView>,
    /// Data files whose amounts were computed again.
    files: u64,
}

/// Days on which a currency converts otherwise now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RateSpanView {
    /// ISO 4217 currency.
    currency: String,
    /// The first day.
    first: String,
    /// The last day; the year 9999 where there is no end.
    last: String,
}

/// Tell exchange rates.
///
/// A file of the European Central Bank (`eurofxref.csv`, `eurofxref-hist.csv`) or lines of `date,currency,rate`, the rate being
/// how much of the currency one unit of the base currency buys. Amounts of the days that convert otherwise now are computed
/// again before the answer arrives.
#[utoipa::path(
    put,
    path = "/v1/rates",
    tag = "events",
    operation_id = "put_rates",
    request_body(content = String, content_type = "text/csv", description = "The file, at most 8 MiB."),
    responses((status = 200, description = "They are in.", body = RatesPut), (status = 422, description = "A line cannot be read; nothing was taken.", body = ErrorBody))
)]
async fn put(State(parts): State<Arc<Parts>>, Payload(body): Payload<RATES_BYTES_MAX>) -> Result<Json<RatesPut>, Problem> {
    let hint = "send date,currency,rate lines or a CSV file of the ECB";
    let text = std::str::from_utf8(&body).map_err(|error| Problem::unprocessable("not_utf8", error.to_string(), hint))?;
    let base = parts.settings.base_currency;
    let rates = rate_file::read(text, base).map_err(|error| Problem::unprocessable("bad_rates", error.to_string(), hint))?;
    let refilled = parts.lake.put_rates(&rates, parts.clock.now()).await?;
    let view = |span: &vocabulary::RateSpan| RateSpanView {
        currency: span.currency.to_string(),
        first: span.first.to_string(),
        last: span.last.to_string(),
    };
    Ok(Json(RatesPut { spans: refilled.spans.iter().map(view).collect(), files: refilled.files }))
}
