//! Looks that are kept: a readout with the versions it read, and whether it still comes out the same.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use control::Look;
use lake::LakeError;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::ExperimentId;

use crate::Parts;
use crate::experiments::{known, observed};
use crate::problem::Problem;
use crate::request::Id;
use crate::views::ErrorBody;
use crate::views::looks::{LookCheck, LookRow, LookState};

/// The versions that a kept look read stay on the disk. One a day for two years is more than an experiment takes.
const LOOKS_MAX: usize = 1_000;

pub(crate) fn reading() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(verify))
}

pub(crate) fn managing() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(keep))
}

/// Read an experiment out and keep the readout.
///
/// It decides nothing. What it read stays readable, so that it can be recomputed, until somebody is erased.
#[utoipa::path(
    post,
    path = "/v1/experiments/{id}/looks",
    tag = "experiments",
    operation_id = "keep_look",
    params(("id" = String, Path, description = "The experiment's id.")),
    responses(
        (status = 201, description = "The look is kept.", body = LookRow),
        (status = 404, description = "There is no such experiment.", body = ErrorBody),
        (status = 422, description = "It has too many already.", body = ErrorBody),
    )
)]
async fn keep(State(parts): State<Arc<Parts>>, Id(id): Id<ExperimentId>) -> Result<(StatusCode, Json<LookRow>), Problem> {
    let experiment = known(&parts, &id).await?;
    let count = parts.control.looks(&id).await?.len();
    if count >= LOOKS_MAX {
        let message = format!("`{id}` has {count} kept looks; the limit is {LOOKS_MAX}");
        let hint = format!("GET /v1/experiments/{id}/readout reads it out without keeping anything");
        return Err(Problem::unprocessable("too_many_looks", message, hint));
    }
    let readout = observed(&parts, &experiment).await?;
    parts.control.put_readout(&readout).await?;
    let looks = parts.control.looks(&id).await?;
    let look = looks.into_iter().find(|look| look.readout.id == readout.id);
    let look = look.ok_or_else(|| Problem::not_found("look", &readout.id, "POST it again"))?;
    Ok((StatusCode::CREATED, Json(look.into())))
}

/// The kept looks at an experiment.
///
/// Those of decisions are among them.
#[utoipa::path(
    get,
    path = "/v1/experiments/{id}/looks",
    tag = "experiments",
    operation_id = "list_looks",
    params(("id" = String, Path, description = "The experiment's id.")),
    responses(
        (status = 200, description = "The looks, oldest first.", body = Vec<LookRow>),
        (status = 404, description = "There is no such experiment.", body = ErrorBody),
    )
)]
async fn list(State(parts): State<Arc<Parts>>, Id(id): Id<ExperimentId>) -> Result<Json<Vec<LookRow>>, Problem> {
    known(&parts, &id).await?;
    Ok(Json(parts.control.looks(&id).await?.into_iter().map(LookRow::from).collect()))
}

/// Recompute the kept looks at an experiment.
///
/// Each is counted from all rows at the versions of the tables it names, with the experiment as it was written then, and compared
/// byte by byte.
#[utoipa::path(
    post,
    path = "/v1/experiments/{id}/looks/verify",
    tag = "experiments",
    operation_id = "verify_looks",
    params(("id" = String, Path, description = "The experiment's id.")),
    responses(
        (status = 200, description = "What recomputing each came to, oldest first.", body = Vec<LookCheck>),
        (status = 404, description = "There is no such experiment.", body = ErrorBody),
    )
)]
async fn verify(State(parts): State<Arc<Parts>>, Id(id): Id<ExperimentId>) -> Result<Json<Vec<LookCheck>>, Problem> {
    known(&parts, &id).await?;
    let mut checks = Vec::new();
    for look in parts.control.looks(&id).await? {
        let (state, recomputed, message) = recompute(&parts, &look).await?;
        let (id, as_of) = (look.readout.id, look.readout.as_of);
        checks.push(LookCheck { id, as_of, state, digest: experiment::digest(&look.body), recomputed, message });
    }
    Ok(Json(checks))
}

/// What recomputing a look comes to, the digest of what came out, and what it means.
async fn recompute(parts: &Parts, look: &Look) -> Result<(LookState, Option<String>, String), Problem> {
    if look.digest.as_ref().is_some_and(|digest| *digest != experiment::digest(&look.body)) {
        let message = "the kept readout is not the one that was kept: its digest is another".to_owned();
        return Ok((LookState::Altered, None, message));
    }
    let Some(definition) = &look.definition else {
        let message = "it was kept without the experiment as it was written, by an earlier version or while it was changed";
        return Ok((LookState::Unknown, None, message.to_owned()));
    };
    let Look { readout, body, .. } = look;
    let observations = match parts.lake.observe_at(definition, readout.as_of, &readout.versions).await {
        Ok(observations) => observations,
        Err(LakeError::NoVersion(why)) => {
            let message = format!("{why}; an erasure deletes all versions that hold who is erased");
            return Ok((LookState::Gone, None, message));
        }
        Err(error) => return Err(error.into()),
    };
    let engine = observations.engine.clone();
    let again = readout.again(definition, observations).to_json();
    let digest = Some(experiment::digest(&again));
    if again == *body {
        return Ok((LookState::Same, digest, "recomputed to the same bytes".to_owned()));
    }
    let message = if engine == readout.engine {
        "recomputed to other bytes by the same engine: something in the lake is not as it was".to_owned()
    } else {
        format!("recomputed to other bytes; it was computed by {}, and now by {engine}", readout.engine)
    };
    Ok((LookState::Different, digest, message))
}
