//! SQL for people and programs: `POST /v1/sql`, read only and limited by the lake.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use lake::SqlFormat;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Parts;
use crate::problem::Problem;
use crate::request::{Ask, Text, media_type};
use crate::views::{ErrorBody, LakeView, SqlParams, TableView};

/// The formats by their word in the query and their media types in `Accept`.
const FORMATS: &[(&str, &[&str], SqlFormat)] = &[
    ("json", &["application/json", "application/*", "*/*"], SqlFormat::Json),
    ("csv", &["text/csv"], SqlFormat::Csv),
    ("table", &["text/plain", "text/*"], SqlFormat::Table),
    ("arrow", &["application/vnd.apache.arrow.stream"], SqlFormat::Arrow),
];

pub(crate) fn routes() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(query)).routes(routes!(tables)).routes(routes!(lake_view))
}

#[derive(Deserialize)]
struct Format {
    format: Option<String>,
}

/// Ask in SQL.
///
/// One statement that only reads, over the tables that `GET /v1/tables` lists. Rows, memory and time are limited; a
/// limit that is reached while rows are already on their way ends the answer early and breaks the connection.
#[utoipa::path(
    post,
    path = "/v1/sql",
    tag = "lake",
    params(("format" = Option<String>, Query, description = "`json`, `csv`, `table` or `arrow`; else `Accept` decides, else `json`.", example = "json")),
    request_body(content((SqlParams = "application/json"), (String = "text/plain")), description = "The query, in an object or as it is."),
    responses(
        (status = 200, description = "The rows.", content(
            (Vec<serde_json::Value> = "application/json"),
            (String = "text/csv"),
            (String = "text/plain"),
            (String = "application/vnd.apache.arrow.stream"),
        )),
        (status = 406, description = "None of the formats in `Accept` is offered.", body = ErrorBody),
        (status = 422, description = "Not a query, a wrong one, or one beyond the limits.", body = ErrorBody),
    )
)]
async fn query(
    State(parts): State<Arc<Parts>>,
    Ask(asked): Ask<Format>,
    headers: HeaderMap,
    Text(body): Text,
) -> Result<Response, Problem> {
    let format = format(asked.format.as_deref(), &headers)?;
    let sql = statement(body, &headers)?;
    let mut answer = parts.lake.sql(&sql, format, parts.settings.sql_limits).await?;
    // Waiting for the first rows turns a query that fails at once into an error answer instead of a torn one.
    let first = answer.body.next().await.transpose()?;
    let rest = answer.body.inspect(|chunk| {
        if let Err(error) = chunk {
            tracing::warn!(%error, "an answer in SQL was cut short");
        }
    });
    let body = Body::from_stream(futures::stream::iter(first.map(Ok)).chain(rest));
    Ok(([(header::CONTENT_TYPE, answer.content_type), (header::CACHE_CONTROL, "no-store")], body).into_response())
}

fn format(word: Option<&str>, headers: &HeaderMap) -> Result<SqlFormat, Problem> {
    let words = || FORMATS.iter().map(|(word, ..)| *word).collect::<Vec<_>>().join(", ");
    if let Some(word) = word {
        let found = FORMATS.iter().find(|(known, ..)| *known == word);
        return found.map(|(.., format)| *format).ok_or_else(|| {
            Problem::unprocessable("unknown_format", format!("`{word}` is no format"), format!("use one of {}", words()))
        });
    }
    let Some(accept) = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()) else { return Ok(SqlFormat::Json) };
    let wanted = accept.split(',').map(|part| part.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    let found = wanted.filter_map(|wanted| FORMATS.iter().find(|(_, types, _)| types.contains(&wanted.as_str()))).next();
    found.map(|(.., format)| *format).ok_or_else(|| {
        let message = format!("`{accept}` is not offered");
        Problem::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", message, format!("add `?format=` with one of {}", words()))
    })
}

/// The statement: an object's `sql`, or the body as it is.
fn statement(body: String, headers: &HeaderMap) -> Result<String, Problem> {
    if media_type(headers) != "application/json" {
        return Ok(body);
    }
    let params: SqlParams = serde_json::from_str(&body).map_err(|error| {
        Problem::unprocessable(
            "bad_body",
            format!("the body cannot be read: {error}"),
            "send {\"sql\": \"SELECT …\"}, or the query as text/plain",
        )
    })?;
    Ok(params.sql)
}

/// The tables one can ask.
#[utoipa::path(get, path = "/v1/tables", tag = "lake", responses((status = 200, description = "The tables, by name.", body = Vec<TableView>)))]
async fn tables(State(parts): State<Arc<Parts>>) -> Result<Json<Vec<TableView>>, Problem> {
    Ok(Json(parts.lake.tables().await?.into_iter().map(TableView::from).collect()))
}

/// The state of the lake.
#[utoipa::path(get, path = "/v1/lake", tag = "lake", operation_id = "lake", responses((status = 200, description = "What is stored but not yet visible to SQL, and the base currency.", body = LakeView)))]
async fn lake_view(State(parts): State<Arc<Parts>>) -> Json<LakeView> {
    Json(LakeView { unlanded: parts.lake.unlanded(), base_currency: parts.settings.base_currency.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn the_format_is_negotiated() {
        let check = |word: Option<&str>, accept: Option<&'static str>, expect: Result<SqlFormat, &str>| {
            let headers = accept.map(|accept| (header::ACCEPT, HeaderValue::from_static(accept)));
            let found = format(word, &headers.into_iter().collect());
            assert_eq!(found.map_err(|problem| problem.kind), expect, "{word:?} {accept:?}");
        };
        check(None, None, Ok(SqlFormat::Json));
        check(None, Some("*/*"), Ok(SqlFormat::Json));
        check(None, Some("text/csv;q=0.9, */*"), Ok(SqlFormat::Csv));
        check(None, Some("application/vnd.apache.arrow.stream"), Ok(SqlFormat::Arrow));
        check(None, Some("text/plain"), Ok(SqlFormat::Table));
        check(None, Some("image/png"), Err("not_acceptable"));
        check(Some("arrow"), Some("text/csv"), Ok(SqlFormat::Arrow));
        check(Some("xml"), None, Err("unknown_format"));
    }
}
