//! Erasing people: `POST /v1/erasures` makes them unlinkable at once, a loop deletes their rows, and the certificate says so.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use control::{ERASURE_CONTACTS_MAX, ErasureRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Parts;
use crate::problem::Problem;
use crate::request::{Params, PathText};
use crate::views::ErrorBody;

pub(crate) fn routes() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(erase, list)).routes(routes!(show))
}

/// Whom to erase.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErasureParams {
    /// Your own ids of the contacts, at most 100,000.
    contacts: Vec<String>,
}

/// An erasure and how far it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErasureView {
    /// Its id.
    id: String,
    /// How many contacts it erases.
    contacts: u64,
    /// How many of the ids meant nobody.
    unknown: u64,
    /// Since when nobody can link the rows to a person.
    requested_at: String,
    /// Since when the rows are gone; `null` while they are being deleted.
    done_at: Option<String>,
    /// The proof: rows deleted by table, the version of each table from which on they are gone, files written anew and deleted,
    /// units that left each experiment. It names nobody.
    certificate: Option<serde_json::Value>,
}

impl From<ErasureRow> for ErasureView {
    fn from(row: ErasureRow) -> Self {
        Self {
            id: row.id,
            contacts: row.contacts,
            unknown: row.unknown,
            requested_at: row.requested_at.to_string(),
            done_at: row.done_at.map(|at| at.to_string()),
            certificate: row.certificate.and_then(|text| serde_json::from_str(&text).ok()),
        }
    }
}

/// Erase contacts. When the answer arrives, their ids, addresses and attributes are destroyed, so that nobody can link what
/// the lake holds to them. Their rows are deleted next, from all tables and all older versions; ask for the erasure until
/// it has a certificate.
#[utoipa::path(
    post,
    path = "/v1/erasures",
    tag = "contacts",
    operation_id = "erase_contacts",
    request_body(content = ErasureParams, description = "Whom to erase."),
    responses(
        (status = 202, description = "They are unlinkable; their rows are being deleted.", body = ErasureView),
        (status = 422, description = "No id, too many, or one that cannot be an id.", body = ErrorBody)
    )
)]
async fn erase(
    State(parts): State<Arc<Parts>>,
    Params(ErasureParams { contacts }): Params<ErasureParams>,
) -> Result<(StatusCode, Json<ErasureView>), Problem> {
    if contacts.is_empty() || contacts.len() > ERASURE_CONTACTS_MAX {
        let message = format!("{} contacts cannot be erased at once", contacts.len());
        return Err(Problem::unprocessable("bad_erasure", message, format!("name 1 to {ERASURE_CONTACTS_MAX} contacts")));
    }
    let row = parts.control.erase_contacts(&contacts).await?;
    Ok((StatusCode::ACCEPTED, Json(row.into())))
}

/// All erasures, newest first.
#[utoipa::path(
    get,
    path = "/v1/erasures",
    tag = "contacts",
    operation_id = "list_erasures",
    responses((status = 200, description = "The erasures.", body = Vec<ErasureView>))
)]
async fn list(State(parts): State<Arc<Parts>>) -> Result<Json<Vec<ErasureView>>, Problem> {
    Ok(Json(parts.control.erasures().await?.into_iter().map(ErasureView::from).collect()))
}

/// One erasure, with its certificate when it is done.
#[utoipa::path(
    get,
    path = "/v1/erasures/{id}",
    tag = "contacts",
    operation_id = "read_erasure",
    params(("id" = String, Path, description = "The erasure's id.")),
    responses((status = 200, description = "The erasure.", body = ErasureView), (status = 404, description = "There is no such erasure.", body = ErrorBody))
)]
async fn show(State(parts): State<Arc<Parts>>, PathText(id): PathText) -> Result<Json<ErasureView>, Problem> {
    let found = parts.control.erasures().await?.into_iter().find(|row| row.id == id);
    let missing = || {
        let hint = "GET /v1/erasures lists them";
        Problem::new(StatusCode::NOT_FOUND, "no_erasure", "there is no such erasure", hint)
    };
    found.map(|row| Json(row.into())).ok_or_else(missing)
}
