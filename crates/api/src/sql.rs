//! SQL for people and programs: `POST /v1/sql`, read only and limited by the lake.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use lake::{AsOf, Group, SqlAnswer, SqlFormat, SqlOptions};
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
/// limit that is reached while rows are already on their way ends the answer early and breaks the connection. Closing the
/// connection stops the query.
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
        ), headers(
            ("Server-Timing" = String, description = "How long the query waited for a place, and ran until its first rows, in milliseconds: `wait;dur=0.0, query;dur=12.5`."),
            ("Sendlab-Versions" = String, description = "The version of each table that was read: `opens=7,orders=12`. Given back as `versions`, they read the same again, without what had not landed."),
        )),
        (status = 406, description = "None of the formats in `Accept` is offered.", body = ErrorBody),
        (status = 422, description = "Not a query, a wrong one, one of a past that is not kept, or one beyond the limits.", body = ErrorBody),
        (status = 429, description = "Too many queries run already; `Retry-After` says when to come back.", body = ErrorBody),
    )
)]
async fn query(
    State(parts): State<Arc<Parts>>,
    Ask(asked): Ask<Format>,
    headers: HeaderMap,
    Text(body): Text,
) -> Result<Response, Problem> {
    let format = format(asked.format.as_deref(), &headers)?;
    let params = params(body, &headers)?;
    let options = SqlOptions {
        limits: parts.settings.sql_limits,
        as_of: as_of(&params)?,
        group: Group::Analysts,
        asked_at: Some(parts.clock.now()),
    };
    let mut answer = parts.lake.sql(&params.sql, format, &options).await?;
    let facts = facts(&answer);
    // Waiting for the first rows turns a query that fails at once into an error answer instead of a torn one.
    let first = answer.body.next().await.transpose()?;
    let rest = answer.body.inspect(|chunk| {
        if let Err(error) = chunk {
            tracing::warn!(%error, "an answer in SQL was cut short");
        }
    });
    let body = Body::from_stream(futures::stream::iter(first.map(Ok)).chain(rest));
    let kind = [(header::CONTENT_TYPE, answer.content_type), (header::CACHE_CONTROL, "no-store")];
    Ok((kind, facts, body).into_response())
}

/// What the headers say of an answer.
fn facts(answer: &SqlAnswer) -> [(HeaderName, String); 2] {
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    let timing = format!("wait;dur={:.1}, query;dur={:.1}", ms(answer.waited), ms(answer.ran));
    let versions: Vec<String> = answer.versions.iter().map(|(table, version)| format!("{table}={version}")).collect();
    [(HeaderName::from_static("server-timing"), timing), (HeaderName::from_static("sendlab-versions"), versions.join(","))]
}

/// Which moment is asked for.
fn as_of(params: &SqlParams) -> Result<AsOf, Problem> {
    match (params.as_of, &params.versions) {
        (None, None) => Ok(AsOf::Now),
        (Some(at), None) => Ok(AsOf::Time(at)),
        (None, Some(versions)) => Ok(AsOf::Versions(versions.clone())),
        (Some(_), Some(_)) => Err(Problem::unprocessable(
            "two_pasts",
            "`as_of` and `versions` cannot both be given",
            "give `as_of` for all tables at a time, or `versions` for single tables",
        )),
    }
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

/// The question: an object, or the query as it is.
fn params(body: String, headers: &HeaderMap) -> Result<SqlParams, Problem> {
    if media_type(headers) != "application/json" {
        return Ok(SqlParams { sql: body, as_of: None, versions: None });
    }
    serde_json::from_str(&body).map_err(|error| {
        Problem::unprocessable(
            "bad_body",
            format!("the body cannot be read: {error}"),
            "send {\"sql\": \"SELECT …\", \"as_of\": \"2026-01-31T00:00:00Z\"} or \"versions\": {\"orders\": 12}, or the query as text/plain",
        )
    })
}

/// The tables and views one can ask.
#[utoipa::path(get, path = "/v1/tables", tag = "lake", responses((status = 200, description = "The tables and behind them the views, each by name.", body = Vec<TableView>)))]
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
