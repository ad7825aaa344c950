//! Keys: made, listed, revoked.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Parts;
use crate::problem::Problem;
use crate::request::{Params, PathText};
use crate::views::{ErrorBody, KeyMade, KeyParams, KeyView};

pub(crate) fn routes() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(revoke))
}

/// Make a key. The secret is in this answer and nowhere else.
#[utoipa::path(
    post,
    path = "/v1/keys",
    tag = "keys",
    operation_id = "create_key",
    request_body(content = KeyParams, description = "A name for people, and the scopes."),
    responses((status = 201, description = "The key.", body = KeyMade), (status = 422, description = "No name, or no scope.", body = ErrorBody))
)]
async fn create(
    State(parts): State<Arc<Parts>>,
    Params(params): Params<KeyParams>,
) -> Result<(StatusCode, Json<KeyMade>), Problem> {
    let KeyParams { name, mut scopes } = params;
    scopes.sort_unstable();
    scopes.dedup();
    if scopes.is_empty() {
        let words = control::Scope::ALL.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(", ");
        return Err(Problem::unprocessable(
            "no_scope",
            "a key without a scope opens nothing",
            format!("give at least one of {words}"),
        ));
    }
    let made = parts.control.create_key(&name, &scopes).await?;
    Ok((StatusCode::CREATED, Json(KeyMade { id: made.id, name, scopes, secret: made.secret })))
}

/// All keys, without their secrets.
#[utoipa::path(
    get,
    path = "/v1/keys",
    tag = "keys",
    operation_id = "list_keys",
    responses((status = 200, description = "The keys, oldest first; revoked ones too.", body = Vec<KeyView>))
)]
async fn list(State(parts): State<Arc<Parts>>) -> Result<Json<Vec<KeyView>>, Problem> {
    Ok(Json(parts.control.keys().await?.into_iter().map(KeyView::from).collect()))
}

/// Revoke a key. It opens nothing from now on; other processes follow within a second.
#[utoipa::path(
    delete,
    path = "/v1/keys/{id}",
    tag = "keys",
    operation_id = "revoke_key",
    params(("id" = String, Path, description = "The key's id, not its secret.")),
    responses((status = 204, description = "It is revoked, now or before."), (status = 404, description = "There is no such key.", body = ErrorBody))
)]
async fn revoke(State(parts): State<Arc<Parts>>, PathText(id): PathText) -> Result<StatusCode, Problem> {
    parts.control.revoke_key(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}
