//! What finished experiments taught: the learning library, and which winners stand when all are taken together.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use experiment::{Library, Programme, programme};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Parts;
use crate::problem::Problem;
use crate::request::Ask;
use crate::views::ErrorBody;
use crate::views::library::{LibraryView, ProgrammeDocument};

/// The share of false winners among all that is accepted where nobody says another.
const ALPHA_DEFAULT: f64 = 0.05;

pub(crate) fn reading() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(library)).routes(routes!(of_programme))
}

/// The learning library.
///
/// Every variant of every experiment that came to a decision, with its lift as observed and the lift to believe, and what works by tag, factor, channel,
/// market and quarter of the year. It grows with each decision.
#[utoipa::path(
    get,
    path = "/v1/library",
    tag = "experiments",
    responses((status = 200, description = "The library; empty before the first decision.", body = LibraryView))
)]
async fn library(State(parts): State<Arc<Parts>>) -> Result<Json<LibraryView>, Problem> {
    let library = Library::new(parts.control.lessons().await?);
    let markets = library.lessons().iter().filter(|lesson| lesson.market.is_some()).cloned().collect();
    Ok(Json(LibraryView { entries: library.entries(), patterns: library.patterns(), markets }))
}

/// What is asked of the programme.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ProgrammeParams {
    /// The false discovery rate that is accepted: the expected share of false winners among those that stand; 0.05 where absent.
    alpha: Option<f64>,
}

/// All experiments together.
///
/// Who tests often finds winners by chance. This says which winners of all finished experiments stand at a false discovery rate, and what all that was shipped
/// is expected to bring.
#[utoipa::path(
    get,
    path = "/v1/programme",
    tag = "experiments",
    operation_id = "programme",
    params(ProgrammeParams),
    responses(
        (status = 200, description = "The winners that stand.", body = ProgrammeDocument),
        (status = 422, description = "The rate is none.", body = ErrorBody),
    )
)]
async fn of_programme(State(parts): State<Arc<Parts>>, Ask(asked): Ask<ProgrammeParams>) -> Result<Json<Programme>, Problem> {
    let together = programme(&parts.control.lessons().await?, asked.alpha.unwrap_or(ALPHA_DEFAULT));
    together.map(Json).map_err(|error| Problem::unprocessable("bad_alpha", error.to_string(), "0.05 is usual"))
}
