//! Where the warm-ups of new sending domains stand: `/v1/warm-ups`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use gateways::warm_up::day_of;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Parts;
use crate::problem::Problem;

pub(crate) fn routes() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A warm-up and its day.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WarmUpView {
    /// What it is counted under: the domain of `From`, and the destination where it is of one.
    #[schema(example = "news.shop.example to google")]
    warm_up: String,
    /// Its first day, `YYYY-MM-DD` in UTC. Nothing of a campaign leaves before.
    #[schema(example = "2026-12-01")]
    start: String,
    /// Messages on the first day.
    first_day: u64,
    /// Each day's messages are so many times those of the day before.
    growth: f64,
    /// The first day without a limit, `YYYY-MM-DD` in UTC.
    over_on: String,
    /// Today in UTC, `YYYY-MM-DD`.
    today: String,
    /// Messages that may leave today; `null` when the warm-up is over.
    allowance: Option<u64>,
    /// Messages that left today or are about to, codes and receipts among them.
    sent: u64,
    /// Whether something waits today for tomorrow.
    is_full: bool,
}

/// Where the warm-ups stand that the server was started with.
#[utoipa::path(
    get,
    path = "/v1/warm-ups",
    tag = "campaigns",
    operation_id = "list_warm_ups",
    responses((status = 200, description = "The warm-ups, as they stand in the file.", body = Vec<WarmUpView>))
)]
async fn list(State(parts): State<Arc<Parts>>) -> Result<Json<Vec<WarmUpView>>, Problem> {
    let today = day_of(parts.clock.now());
    let warm_ups = parts.warm_ups.list();
    let names: Vec<String> = warm_ups.iter().map(gateways::WarmUp::name).collect();
    let days = parts.control.warm_up_days(&names).await?;
    let view = |(warm_up, name): (&gateways::WarmUp, String)| {
        let day = days.iter().find(|day| day.warm_up == name && day.day == today);
        WarmUpView {
            warm_up: name,
            start: warm_up.start.to_string(),
            first_day: warm_up.first_day,
            growth: warm_up.growth,
            over_on: warm_up.over_on().to_string(),
            today: today.to_string(),
            allowance: warm_up.allowance(today),
            sent: day.map_or(0, |day| day.sent),
            is_full: day.is_some_and(|day| day.is_full),
        }
    };
    Ok(Json(warm_ups.iter().zip(names).map(view).collect()))
}
