//! The types of the customer's own attributes: `/v1/attributes`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use control::{AttributeRow, AttributeType};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Parts;
use crate::problem::Problem;
use crate::request::Params;
use crate::views::ErrorBody;

pub(crate) fn routes() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(put, list))
}

/// An attribute of your own and the type of its values.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AttributeView {
    /// Its name.
    #[schema(example = "points")]
    name: String,
    /// `text`, `number`, `boolean` or `date`; text where absent.
    #[serde(default, rename = "type")]
    #[schema(value_type = Option<String>, example = "number")]
    kind: AttributeType,
    /// What it means, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    about: Option<String>,
}

/// Say what type attributes have. From now on a contact whose value is of another type is refused; values that are there stay.
#[utoipa::path(
    put,
    path = "/v1/attributes",
    tag = "contacts",
    operation_id = "put_attributes",
    request_body(content = Vec<AttributeView>, description = "Attributes; those that are not named stay as they are."),
    responses(
        (status = 200, description = "All attributes whose type is known.", body = Vec<AttributeView>),
        (status = 422, description = "One has no name or no such type; none was stored.", body = ErrorBody)
    )
)]
async fn put(
    State(parts): State<Arc<Parts>>,
    Params(attributes): Params<Vec<AttributeView>>,
) -> Result<Json<Vec<AttributeView>>, Problem> {
    let rows: Vec<AttributeRow> =
        attributes.into_iter().map(|AttributeView { name, kind, about }| AttributeRow { name, kind, about }).collect();
    parts.control.put_attributes(&rows).await?;
    list(State(parts)).await
}

/// The attributes whose type is known.
#[utoipa::path(
    get,
    path = "/v1/attributes",
    tag = "contacts",
    operation_id = "list_attributes",
    responses((status = 200, description = "The attributes, by name.", body = Vec<AttributeView>))
)]
async fn list(State(parts): State<Arc<Parts>>) -> Result<Json<Vec<AttributeView>>, Problem> {
    let view = |AttributeRow { name, kind, about }| AttributeView { name, kind, about };
    Ok(Json(parts.control.attributes().await?.into_iter().map(view).collect()))
}
