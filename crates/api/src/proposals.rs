//! What waits for a second person before the senders follow it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::ExperimentId;

use crate::Parts;
use crate::auth::Caller;
use crate::problem::Problem;
use crate::request::{Ask, Params, PathText};
use crate::views::proposals::{ProposalView, RefusalParams};
use crate::views::{ConflictBody, ErrorBody, RecommendationView};

pub(crate) fn reading() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(list))
}

pub(crate) fn managing() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(approve)).routes(routes!(refuse))
}

/// Whose proposals.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ProposalsParams {
    /// Only those of this experiment.
    #[param(value_type = Option<String>)]
    experiment: Option<ExperimentId>,
}

/// What waits, or waited, for a second person.
#[utoipa::path(
    get,
    path = "/v1/proposals",
    tag = "recommendations",
    operation_id = "proposals",
    params(ProposalsParams),
    responses((status = 200, description = "Newest first; of each experiment at most one is open.", body = Vec<ProposalView>))
)]
async fn list(State(parts): State<Arc<Parts>>, Ask(asked): Ask<ProposalsParams>) -> Result<Json<Vec<ProposalView>>, Problem> {
    let proposals = parts.control.proposals(asked.experiment.as_ref()).await?;
    Ok(Json(proposals.into_iter().map(ProposalView::from).collect()))
}

/// Approve a proposal.
///
/// The senders follow it from now on. It takes another key than the one that proposed it.
#[utoipa::path(
    post,
    path = "/v1/proposals/{proposal}/approve",
    tag = "recommendations",
    operation_id = "approve",
    params(("proposal" = String, Path, description = "The proposal's id.")),
    responses(
        (status = 200, description = "The recommendations that are current now.", body = Vec<RecommendationView>),
        (status = 404, description = "There is no such proposal.", body = ErrorBody),
        (status = 409, description = "The recommendation changed since; the proposal is superseded.", body = ConflictBody),
        (status = 422, description = "It is not open, or the key that asks proposed it.", body = ErrorBody),
    )
)]
async fn approve(
    State(parts): State<Arc<Parts>>,
    Caller(key): Caller,
    PathText(id): PathText,
) -> Result<Json<Vec<RecommendationView>>, Problem> {
    let made = parts.control.approve(&id, &key).await?;
    Ok(Json(made.into_iter().map(RecommendationView::from).collect()))
}

/// Refuse a proposal.
///
/// The senders go on as they do. Whoever proposed it may take it back this way too.
#[utoipa::path(
    post,
    path = "/v1/proposals/{proposal}/refuse",
    tag = "recommendations",
    operation_id = "refuse",
    params(("proposal" = String, Path, description = "The proposal's id.")),
    request_body(content = RefusalParams, description = "Why."),
    responses(
        (status = 200, description = "The proposal as it stands now.", body = ProposalView),
        (status = 404, description = "There is no such proposal.", body = ErrorBody),
        (status = 422, description = "It is not open, or the note is too long.", body = ErrorBody),
    )
)]
async fn refuse(
    State(parts): State<Arc<Parts>>,
    Caller(key): Caller,
    PathText(id): PathText,
    Params(params): Params<RefusalParams>,
) -> Result<Json<ProposalView>, Problem> {
    Ok(Json(parts.control.refuse(&id, &key, &params.note).await?.into()))
}
