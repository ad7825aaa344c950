//! What the senders should use now, for senders that are not ours too: with an ETag, and a long poll that answers when
//! it changes.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::world::to_micros;
use vocabulary::{ExperimentId, Recommendation, RecommendationId, VariantName};

use crate::Parts;
use crate::experiments::known;
use crate::problem::Problem;
use crate::request::{Ask, Id, Params};
use crate::views::{ConflictBody, DecisionParams, ErrorBody, RecommendationView};

/// The longest a caller may wait: proxies on the way close connections that are silent for longer.
pub const WAIT_SECONDS_MAX: u64 = 60;
/// The longest reason a person may give.
pub(crate) const REASON_BYTES_MAX: usize = 2_000;

pub(crate) fn sending() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(current))
}

pub(crate) fn reading() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(history))
}

pub(crate) fn managing() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(decide))
}

#[derive(Deserialize)]
struct Wait {
    #[serde(default)]
    wait_seconds: u64,
}

/// What to send now.
///
/// The ETag is the recommendation's id. With `If-None-Match` the answer is 304 while nothing changed; with
/// `wait_seconds` it comes as soon as something does, or when the time is over.
#[utoipa::path(
    get,
    path = "/v1/recommendations/{experiment}",
    tag = "recommendations",
    operation_id = "recommendation",
    params(
        ("experiment" = String, Path, description = "The experiment's id."),
        ("wait_seconds" = Option<u64>, Query, description = "How long to wait for one that the caller does not know, at most 60.", maximum = 60),
        ("If-None-Match" = Option<String>, Header, description = "The ETag the caller knows."),
    ),
    responses(
        (status = 200, description = "The current recommendation.", body = RecommendationView, headers(("ETag" = String, description = "Its id in quotes."))),
        (status = 304, description = "The caller knows it already."),
        (status = 404, description = "There is no such experiment, or nothing is recommended yet.", body = ErrorBody),
        (status = 422, description = "`wait_seconds` is too long.", body = ErrorBody),
    )
)]
async fn current(
    State(parts): State<Arc<Parts>>,
    Id(id): Id<ExperimentId>,
    Ask(wait): Ask<Wait>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if wait.wait_seconds > WAIT_SECONDS_MAX {
        let message = format!("wait_seconds is {}; the limit is {WAIT_SECONDS_MAX}", wait.wait_seconds);
        return Err(Problem::unprocessable("wait_too_long", message, "ask again when the answer is 304"));
    }
    known(&parts, &id).await?;
    let mut watch = parts.control.watch(&id).await?;
    let is_known = |made: &Recommendation| is_known(&headers, &etag(&made.id));
    // Subscribed before the first look, so that no change falls between the two.
    let news = async {
        loop {
            let made = watch.borrow_and_update().clone();
            if made.as_deref().is_some_and(|made| !is_known(made)) || watch.changed().await.is_err() {
                return;
            }
        }
    };
    if tokio::time::timeout(Duration::from_secs(wait.wait_seconds), news).await.is_err() {
        tracing::trace!(experiment = %id, "nothing new within the wait");
    }
    let made = watch.borrow().clone();
    let made = made.ok_or_else(|| {
        let message = format!("nothing is recommended for `{id}` yet");
        Problem::new(StatusCode::NOT_FOUND, "no_recommendation", message, format!("POST /v1/experiments/{id}/decide decides"))
    })?;
    let tag = etag(&made.id);
    let headers = [(header::ETAG, tag), (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"))];
    if is_known(&made) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    Ok((headers, Json(RecommendationView::from((*made).clone()))).into_response())
}

/// The id in quotes; what a header or the quotes cannot hold is percent-encoded.
fn etag(id: &RecommendationId) -> HeaderValue {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'%' && byte != b',';
    let text: String =
        id.as_str().bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect();
    HeaderValue::from_str(&format!("\"{text}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Whether `If-None-Match` names the tag.
fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let named = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = named.flat_map(|value| value.split(',')).map(|named| named.trim().trim_start_matches("W/"));
    tags.any(|named| named == "*" || named.as_bytes() == tag.as_bytes())
}

/// Everything that was ever recommended.
#[utoipa::path(
    get,
    path = "/v1/recommendations/{experiment}/history",
    tag = "recommendations",
    params(("experiment" = String, Path, description = "The experiment's id.")),
    responses(
        (status = 200, description = "Newest first; each names its parent and its reason.", body = Vec<RecommendationView>),
        (status = 404, description = "There is no such experiment.", body = ErrorBody),
    )
)]
async fn history(State(parts): State<Arc<Parts>>, Id(id): Id<ExperimentId>) -> Result<Json<Vec<RecommendationView>>, Problem> {
    known(&parts, &id).await?;
    Ok(Json(parts.control.recommendations(&id).await?.into_iter().map(RecommendationView::from).collect()))
}

/// Decide in person.
///
/// `parent` must be the recommendation that is current; where it is not, somebody else decided in between, and the
/// answer says what.
#[utoipa::path(
    post,
    path = "/v1/recommendations/{experiment}",
    tag = "recommendations",
    operation_id = "recommend",
    params(("experiment" = String, Path, description = "The experiment's id.")),
    request_body(content = DecisionParams, description = "The variant, what it replaces, and why."),
    responses(
        (status = 201, description = "It is current now.", body = RecommendationView),
        (status = 404, description = "There is no such experiment.", body = ErrorBody),
        (status = 409, description = "`parent` is not current.", body = ConflictBody),
        (status = 422, description = "No such variant, or no reason.", body = ErrorBody),
    )
)]
async fn decide(
    State(parts): State<Arc<Parts>>,
    Id(id): Id<ExperimentId>,
    Params(params): Params<DecisionParams>,
) -> Result<(StatusCode, Json<RecommendationView>), Problem> {
    let experiment = known(&parts, &id).await?;
    let named = VariantName::new(&params.variant).ok().filter(|name| experiment.variant(name).is_some());
    let variant = named.ok_or_else(|| {
        let known = experiment.variants.iter().map(|variant| variant.name.as_str()).collect::<Vec<_>>().join(", ");
        Problem::unprocessable(
            "unknown_variant",
            format!("`{id}` has no variant `{}`", params.variant),
            format!("use one of {known}"),
        )
    })?;
    if params.reason.trim().is_empty() || params.reason.len() > REASON_BYTES_MAX {
        let message = format!("reason has {} bytes; give 1 to {REASON_BYTES_MAX}", params.reason.len());
        return Err(Problem::unprocessable("bad_reason", message, "say why in a sentence, for those who come after"));
    }
    let bad_id = |error: vocabulary::LabelError| {
        Problem::unprocessable("bad_id", format!("parent {error}"), "name the id of the current recommendation")
    };
    let made = Recommendation {
        id: RecommendationId::new(&parts.ids.token()).map_err(|error| Problem::internal(&error))?,
        experiment_id: id,
        variant,
        parent: params.parent.as_deref().map(RecommendationId::new).transpose().map_err(bad_id)?,
        reason: params.reason,
        readout_id: None,
        created_at: to_micros(parts.clock.now()),
    };
    parts.control.recommend(&made).await?;
    Ok((StatusCode::CREATED, Json(made.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_as_http_says() {
        let tag = etag(&RecommendationId::new("abc").unwrap());
        assert_eq!(tag, "\"abc\"");
        let check = |value: &'static str, expect: bool| {
            let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static(value))]);
            assert_eq!(is_known(&headers, &tag), expect, "{value}");
        };
        check("\"abc\"", true);
        check("W/\"abc\"", true);
        check("\"x\", \"abc\"", true);
        check("*", true);
        check("\"ab\"", false);
        check("abc", false);
    }

    #[test]
    fn any_id_fits_a_header() {
        let check = |id: &str, expect: &str| assert_eq!(etag(&RecommendationId::new(id).unwrap()), expect);
        check("spring 1", "\"spring%201\"");
        check("\",%", "\"%22%2C%25\"");
        check("é", "\"%C3%A9\"");
    }
}
