//! What the senders should use now, for senders that are not ours too: for a market, a locale and a segment, with an ETag, and a long
//! poll that answers when it changes.
//!
//! What is asked most is answered from memory: `control` keeps what senders go by and hears of every change.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts as HttpParts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use control::Moved;
use experiment::{Advice, Fallback, Guidance};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::watch;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::recommendation::SCOPE_BYTES_MAX;
use vocabulary::world::to_micros;
use vocabulary::{Asker, ExperimentId, Recommendation, RecommendationId, RecommendationScope};

use crate::Parts;
use crate::auth::Caller;
use crate::experiments::known;
use crate::problem::Problem;
use crate::request::{Ask, Id, Params};
use crate::views::proposals::ProposalView;
use crate::views::{AdviceView, ConflictBody, DecisionParams, ErrorBody, RecommendationView};

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

/// Who asks, and for how long they wait.
#[derive(Deserialize)]
struct Asked {
    market: Option<String>,
    locale: Option<String>,
    segment: Option<String>,
    #[serde(default)]
    wait_seconds: u64,
    after: Option<String>,
}

impl Asked {
    fn asker(&self) -> Asker<'_> {
        Asker { market: self.market.as_deref(), locale: self.locale.as_deref(), segment: self.segment.as_deref() }
    }
}

/// What an experiment's senders go by, or a 404.
pub(crate) async fn guidance(parts: &Parts, id: &ExperimentId) -> Result<Arc<Guidance>, Problem> {
    parts.control.guidance(id).await?.ok_or_else(|| no_experiment(id))
}

fn no_experiment(id: &ExperimentId) -> Problem {
    Problem::not_found("experiment", id.as_str(), "GET /v1/experiments lists them")
}

/// What to send now.
///
/// Of the recommendations that speak for the market, the locale and the segment that are asked for, the most specific answers: the one
/// that names most of the three; among as many, one with a segment before one with a market before one with a locale, and the longer
/// locale first. Where there is none, or it does not hold any more, `fallback` is true and the control is to be sent.
///
/// The ETag stands for the answer; that of a recommendation is its id. With `If-None-Match` or `after` the answer is 304 while nothing
/// changed; with `wait_seconds` it comes as soon as something does, or when the time is over. Who waits and names nothing they know
/// waits for the first recommendation.
#[utoipa::path(
    get,
    path = "/v1/recommendations/{experiment}",
    tag = "recommendations",
    operation_id = "recommendation",
    params(
        ("experiment" = String, Path, description = "The experiment's id."),
        ("market" = Option<String>, Query, description = "The market that is sent to, such as `DE`."),
        ("locale" = Option<String>, Query, description = "The language tag, such as `de-AT`."),
        ("segment" = Option<String>, Query, description = "The name of the segment that is sent to."),
        ("wait_seconds" = Option<u64>, Query, description = "How long to wait for an answer that the caller does not know, at most 60.", maximum = 60),
        ("after" = Option<String>, Query, description = "The ETag or the recommendation's id that the caller knows, as `If-None-Match`."),
        ("If-None-Match" = Option<String>, Header, description = "The ETag the caller knows."),
    ),
    responses(
        (status = 200, description = "What to send.", body = AdviceView, headers(("ETag" = String, description = "The recommendation's id in quotes; where the control is sent for want of one, a tag that begins with `%`."))),
        (status = 304, description = "The caller knows it already."),
        (status = 404, description = "There is no such experiment.", body = ErrorBody),
        (status = 422, description = "`wait_seconds` is too long.", body = ErrorBody),
    )
)]
async fn current(
    State(parts): State<Arc<Parts>>,
    Id(id): Id<ExperimentId>,
    Ask(asked): Ask<Asked>,
    known: KnownTags,
) -> Result<Response, Problem> {
    if asked.wait_seconds > WAIT_SECONDS_MAX {
        let message = format!("wait_seconds is {}; the limit is {WAIT_SECONDS_MAX}", asked.wait_seconds);
        return Err(Problem::unprocessable("wait_too_long", message, "ask again when the answer is 304"));
    }
    let guidance = guidance(&parts, &id).await?;
    let call = Call { parts: &parts, asked: &asked, known: &known };
    if asked.wait_seconds == 0 || call.is_news(&guidance) {
        return Ok(call.answer(&id, &guidance));
    }
    let mut watch = parts.control.watch(&id).await?;
    // It is looked at once more after subscribing, so that no change falls between the two.
    if tokio::time::timeout(Duration::from_secs(asked.wait_seconds), call.news(&mut watch)).await.is_err() {
        tracing::trace!(experiment = %id, "nothing new within the wait");
    }
    let guidance = watch.borrow().clone().ok_or_else(|| no_experiment(&id))?;
    Ok(call.answer(&id, &guidance))
}

/// A question with all that its answer depends on.
struct Call<'a> {
    parts: &'a Parts,
    asked: &'a Asked,
    known: &'a KnownTags,
}

impl Call<'_> {
    fn advice<'g>(&self, guidance: &'g Guidance) -> Advice<'g> {
        guidance.advice(self.asked.asker(), self.parts.clock.now())
    }

    /// Whether there is something that the caller does not know.
    fn is_news(&self, guidance: &Guidance) -> bool {
        let advice = self.advice(guidance);
        let knows_something = self.asked.after.is_some() || !self.known.0.is_empty();
        (advice.followed().is_some() || knows_something) && !self.is_known(&tag(&advice))
    }

    fn is_known(&self, tag: &HeaderValue) -> bool {
        let bare = |text: &[u8]| text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).map(<[u8]>::to_vec);
        let named = self.asked.after.as_deref().map(str::as_bytes);
        named.is_some_and(|named| named == tag.as_bytes() || Some(named) == bare(tag.as_bytes()).as_deref())
            || self.known.have(tag)
    }

    /// Completes when there is something that the caller does not know: by a change, or because what held does not hold any more. Also
    /// when the server stops.
    async fn news(&self, watch: &mut watch::Receiver<Option<Arc<Guidance>>>) {
        loop {
            let guidance = watch.borrow_and_update().clone();
            let Some(guidance) = guidance.filter(|guidance| !self.is_news(guidance)) else { return };
            let expiry = guidance.next_expiry(self.parts.clock.now());
            tokio::select! {
                changed = watch.changed() => if changed.is_err() { return },
                () = self.reached(expiry) => {}
                () = self.parts.feed.stopped() => return,
            }
        }
    }

    async fn reached(&self, due: Option<Timestamp>) {
        match due {
            Some(due) => self.parts.clock.sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    fn answer(&self, id: &ExperimentId, guidance: &Guidance) -> Response {
        let advice = self.advice(guidance);
        let tag = tag(&advice);
        let is_known = self.is_known(&tag);
        let headers = [(header::ETAG, tag), (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"))];
        if is_known {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        let write = || serde_json::to_vec(&AdviceView::new(id, &advice)).expect("an answer is plain data").into();
        let told = advice.told(write).unwrap_or_else(write);
        (headers, [(header::CONTENT_TYPE, "application/json")], Bytes::from_owner(told)).into_response()
    }
}

/// Stands for an answer: the id of the recommendation, else why there is none and what is sent then.
fn tag(advice: &Advice<'_>) -> HeaderValue {
    match (advice.followed(), advice.fallback()) {
        (Some(made), _) => etag("", made.id.as_str()),
        (None, why) => {
            let id = why.and_then(Fallback::id).map_or("", RecommendationId::as_str);
            // No id is written so: in ids `%` is encoded, and so is what follows.
            etag(&format!("%{}:", why.map_or("", Fallback::kind)), &format!("{id}:{}", advice.variant()))
        }
    }
}

/// The prefix and the text in quotes; what a header or the quotes cannot hold is percent-encoded in the text.
fn etag(prefix: &str, text: &str) -> HeaderValue {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'%' && byte != b',';
    let mut tag = format!("\"{prefix}");
    for byte in text.bytes() {
        if plain(byte) {
            tag.push(char::from(byte));
        } else {
            tag.push_str(&format!("%{byte:02X}"));
        }
    }
    tag.push('"');
    HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\""))
}

/// What the caller knows: the values of `If-None-Match`.
pub(crate) struct KnownTags(Vec<HeaderValue>);

impl KnownTags {
    fn of(headers: &HeaderMap) -> Self {
        Self(headers.get_all(header::IF_NONE_MATCH).iter().cloned().collect())
    }

    /// Whether the tag is among them.
    pub(crate) fn have(&self, tag: &HeaderValue) -> bool {
        let named = self.0.iter().filter_map(|value| value.to_str().ok());
        let mut tags = named.flat_map(|value| value.split(',')).map(|named| named.trim().trim_start_matches("W/"));
        tags.any(|named| named == "*" || named.as_bytes() == tag.as_bytes())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for KnownTags {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut HttpParts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

/// Everything that was ever recommended.
#[utoipa::path(
    get,
    path = "/v1/recommendations/{experiment}/history",
    tag = "recommendations",
    params(("experiment" = String, Path, description = "The experiment's id.")),
    responses(
        (status = 200, description = "Newest first; each names its parent, its scope and its reason.", body = Vec<RecommendationView>),
        (status = 404, description = "There is no such experiment.", body = ErrorBody),
    )
)]
async fn history(State(parts): State<Arc<Parts>>, Id(id): Id<ExperimentId>) -> Result<Json<Vec<RecommendationView>>, Problem> {
    known(&parts, &id).await?;
    Ok(Json(parts.control.recommendations(&id).await?.into_iter().map(RecommendationView::from).collect()))
}

/// Decide in person.
///
/// For everybody, or for a market, a locale or a segment; one variant, or several by weights; until it is replaced, or until a time.
/// `parent` must be the recommendation of the same scope that is current; where it is not, somebody else decided in between, and the
/// answer says what.
#[utoipa::path(
    post,
    path = "/v1/recommendations/{experiment}",
    tag = "recommendations",
    operation_id = "recommend",
    params(("experiment" = String, Path, description = "The experiment's id.")),
    request_body(content = DecisionParams, description = "The variant or the weights, what it replaces, and why."),
    responses(
        (status = 201, description = "It is current now.", body = RecommendationView),
        (status = 202, description = "It waits for a second person, as the experiment's `approval` asks.", body = ProposalView),
        (status = 404, description = "There is no such experiment.", body = ErrorBody),
        (status = 409, description = "`parent` is not current.", body = ConflictBody),
        (status = 422, description = "No such variant, no weights, a time that is past, or no reason.", body = ErrorBody),
    )
)]
async fn decide(
    State(parts): State<Arc<Parts>>,
    Caller(key): Caller,
    Id(id): Id<ExperimentId>,
    Params(params): Params<DecisionParams>,
) -> Result<Response, Problem> {
    let experiment = known(&parts, &id).await?;
    let now = to_micros(parts.clock.now());
    let weights = crate::weights::read(&experiment, params.variant.as_deref(), params.weights.as_ref())?;
    if params.reason.trim().is_empty() || params.reason.len() > REASON_BYTES_MAX {
        let message = format!("reason has {} bytes; give 1 to {REASON_BYTES_MAX}", params.reason.len());
        return Err(Problem::unprocessable("bad_reason", message, "say why in a sentence, for those who come after"));
    }
    if let Some(past) = params.valid_until.filter(|until| *until <= now) {
        let message = format!("valid_until is {past}, which is over");
        return Err(Problem::unprocessable("bad_valid_until", message, "name a time to come, or leave it out"));
    }
    let scope = RecommendationScope::new(params.market.as_deref(), params.locale.as_deref(), params.segment.as_deref());
    let scope = scope.map_err(|error| {
        let hint = format!("leave it out for all, or give it 1 to {SCOPE_BYTES_MAX} bytes");
        Problem::unprocessable("bad_scope", error.to_string(), hint)
    })?;
    let bad_id = |error: vocabulary::LabelError| {
        Problem::unprocessable("bad_id", format!("parent {error}"), "name the id of the current recommendation")
    };
    let made = Recommendation {
        id: RecommendationId::new(&parts.ids.token()).map_err(|error| Problem::internal(&error))?,
        experiment_id: experiment.experiment.clone(),
        scope,
        variant: experiment.heaviest(&weights).clone(),
        weights,
        parent: params.parent.as_deref().map(RecommendationId::new).transpose().map_err(bad_id)?,
        reason: params.reason,
        readout_id: None,
        valid_until: params.valid_until.map(to_micros),
        expected: None,
        created_at: now,
    };
    Ok(match parts.control.follow(&experiment, vec![made.clone()], Some(&key), &parts.ids.token()).await? {
        Moved::Recommended(_) => (StatusCode::CREATED, Json(RecommendationView::from(made))).into_response(),
        Moved::Proposed(proposal) => (StatusCode::ACCEPTED, Json(ProposalView::from(proposal))).into_response(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_as_http_says() {
        let tag = etag("", "abc");
        assert_eq!(tag, "\"abc\"");
        let check = |value: &'static str, expect: bool| {
            let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static(value))]);
            assert_eq!(KnownTags::of(&headers).have(&tag), expect, "{value}");
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
        let check = |id: &str, expect: &str| assert_eq!(etag("", id), expect);
        check("spring 1", "\"spring%201\"");
        check("\",%", "\"%22%2C%25\"");
        check("é", "\"%C3%A9\"");
        assert_eq!(etag("%expired:", "r 1:plain"), "\"%expired:r%201:plain\"");
    }
}
