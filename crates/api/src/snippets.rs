//! Pieces of templates that many messages take in.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::Snippet;

use crate::Parts;
use crate::problem::Problem;
use crate::request::Text;
use crate::views::ErrorBody;
use crate::views::documents::SnippetDocument;

/// Snippets in one document.
const SNIPPETS_MAX: usize = 200;

pub(crate) fn reading() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(list))
}

pub(crate) fn managing() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(put))
}

/// Store snippets.
///
/// YAML or JSON, one or a list; all are stored or none, and those that are not named stay as they are. Copies take one in with
/// `{% include "snippets/NAME" %}`. A campaign that was started keeps those of that moment; a message to one person takes the
/// newest.
#[utoipa::path(
    put,
    path = "/v1/snippets",
    tag = "snippets",
    operation_id = "put_snippets",
    request_body(content((Vec<SnippetDocument> = "application/json"), (String = "application/yaml")), description = "A snippet, or a list of at most 200."),
    responses(
        (status = 200, description = "They are as given.", body = Vec<SnippetDocument>),
        (status = 422, description = "Something is wrong with one; the message names the place and the fix. None was stored.", body = ErrorBody),
    )
)]
async fn put(State(parts): State<Arc<Parts>>, Text(text): Text) -> Result<Json<Vec<Snippet>>, Problem> {
    let snippets = experiment::parse_snippets(&text)?;
    if snippets.is_empty() || snippets.len() > SNIPPETS_MAX {
        let message = format!("there are {} snippets", snippets.len());
        return Err(Problem::unprocessable("bad_snippet", message, format!("send 1 to {SNIPPETS_MAX}")));
    }
    let known = parts.control.snippets().await?.into_iter();
    let mut all: BTreeMap<String, Snippet> = known.map(|snippet| (snippet.snippet.clone(), snippet)).collect();
    all.extend(snippets.iter().map(|snippet| (snippet.snippet.clone(), snippet.clone())));
    let all: Vec<Snippet> = all.into_values().collect();
    content::check_snippets(&all)
        .map_err(|error| Problem::unprocessable("bad_snippet", error.to_string(), "correct the snippet and send it again"))?;
    parts.control.put_snippets(&snippets).await?;
    Ok(Json(snippets))
}

/// All snippets as they are now.
#[utoipa::path(
    get,
    path = "/v1/snippets",
    tag = "snippets",
    operation_id = "list_snippets",
    responses((status = 200, description = "The snippets, by name.", body = Vec<SnippetDocument>))
)]
async fn list(State(parts): State<Arc<Parts>>) -> Result<Json<Vec<Snippet>>, Problem> {
    Ok(Json(parts.control.snippets().await?))
}
