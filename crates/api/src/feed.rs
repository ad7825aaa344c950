//! Recommendations as they are made, as server-sent events: for one experiment or for all, resumed where the reader was.
//!
//! An event's id is the number of the recommendation among all that were ever made, so that a reader who comes back with
//! `Last-Event-ID` misses none. A stream waits for `control`'s word that something changed and reads what is new then; it asks for
//! nothing in between.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use control::NumberedRecommendation;
use futures::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::ExperimentId;

use crate::Parts;
use crate::experiments::known;
use crate::problem::Problem;
use crate::request::Id;
use crate::views::{ErrorBody, RecommendationView};

/// Streams that may be open at once: each holds a connection and reads what is new at each change, so that a change costs
/// milliseconds in all.
pub const STREAMS_MAX: usize = 500;
/// How often a silent stream says that it is there: proxies close connections that are silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// After so long a reader whose stream broke off comes back.
const RETRY: Duration = Duration::from_secs(1);
/// Recommendations read at once by a stream that is behind.
const READ_MAX: u32 = 100;
/// When a stream may be free for who finds none.
const RETRY_AFTER_SECONDS: u64 = 5;

/// What streams and long polls share: how many there may be, and when they end.
#[derive(Debug)]
pub struct Feed {
    stop: CancellationToken,
    streams: Arc<Semaphore>,
}

impl Feed {
    /// A feed whose streams end with `stop`.
    #[must_use]
    pub fn new(stop: CancellationToken) -> Self {
        Self { stop, streams: Arc::new(Semaphore::new(STREAMS_MAX)) }
    }

    /// Completes when the server stops.
    pub(crate) async fn stopped(&self) {
        self.stop.cancelled().await;
    }
}

pub(crate) fn sending() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(of_one)).routes(routes!(of_all))
}

/// The recommendations of an experiment as they are made.
///
/// Server-sent events named `recommendation`, each with a recommendation as JSON. First those that are current, for whichever scope;
/// with `Last-Event-ID` all that were made since instead. A silent stream sends a comment every 15 seconds.
#[utoipa::path(
    get,
    path = "/v1/recommendations/{experiment}/events",
    tag = "recommendations",
    operation_id = "recommendation_events",
    params(
        ("experiment" = String, Path, description = "The experiment's id."),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that the reader got."),
    ),
    responses(
        (status = 200, description = "Events without an end.", body = RecommendationView, content_type = "text/event-stream"),
        (status = 404, description = "There is no such experiment.", body = ErrorBody),
        (status = 503, description = "Too many streams are open; `Retry-After` says when to try again.", body = ErrorBody),
    )
)]
async fn of_one(State(parts): State<Arc<Parts>>, Id(id): Id<ExperimentId>, headers: HeaderMap) -> Result<Response, Problem> {
    known(&parts, &id).await?;
    open(parts, Some(id), &headers).await
}

/// The recommendations of all experiments as they are made.
///
/// As `GET /v1/recommendations/{experiment}/events`; `experiment_id` says of which.
#[utoipa::path(
    get,
    path = "/v1/recommendation-events",
    tag = "recommendations",
    operation_id = "all_recommendation_events",
    params(("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that the reader got.")),
    responses(
        (status = 200, description = "Events without an end.", body = RecommendationView, content_type = "text/event-stream"),
        (status = 503, description = "Too many streams are open; `Retry-After` says when to try again.", body = ErrorBody),
    )
)]
async fn of_all(State(parts): State<Arc<Parts>>, headers: HeaderMap) -> Result<Response, Problem> {
    open(parts, None, &headers).await
}

async fn open(parts: Arc<Parts>, experiment: Option<ExperimentId>, headers: &HeaderMap) -> Result<Response, Problem> {
    let permit = Arc::clone(&parts.feed.streams).try_acquire_owned();
    let permit = permit.map_err(|_| Problem::streams_taken(STREAMS_MAX, RETRY_AFTER_SECONDS))?;
    let named = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.trim().parse::<i64>().ok());
    // A number that is not there yet was of a store that was brought back from an older backup.
    let last = match named {
        Some(named) if named <= parts.control.last_recommendation().await? => Some(named),
        _ => None,
    };
    // Subscribed before the first look, so that no change falls between the two.
    let changed = parts.control.recommendations_changed();
    let pending = match last {
        Some(_) => VecDeque::new(),
        None => parts.control.current_recommendations(experiment.as_ref()).await?.into(),
    };
    let reader = Reader { parts, experiment, last: last.unwrap_or_default(), pending, changed, is_new: true, _permit: permit };
    let events = stream::unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Some((Ok::<_, Infallible>(event), reader))
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response();
    // Asks proxies that gather answers not to.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// One open stream.
struct Reader {
    parts: Arc<Parts>,
    experiment: Option<ExperimentId>,
    /// The number of the last recommendation that was told.
    last: i64,
    pending: VecDeque<NumberedRecommendation>,
    changed: watch::Receiver<u64>,
    is_new: bool,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    /// The next event, when there is one; `None` ends the stream.
    async fn next(&mut self) -> Option<Event> {
        if std::mem::take(&mut self.is_new) {
            // The reader hears at once that the stream is open, and when to come back should it break off.
            return Some(Event::default().comment("recommendations").retry(RETRY));
        }
        loop {
            if self.parts.feed.stop.is_cancelled() {
                return None;
            }
            if let Some(next) = self.pending.pop_front() {
                self.last = next.number;
                let view = RecommendationView::from(next.recommendation);
                return Event::default().id(next.number.to_string()).event("recommendation").json_data(view).ok();
            }
            self.changed.mark_unchanged();
            let newer = self.parts.control.recommendations_after(self.experiment.as_ref(), self.last, READ_MAX).await;
            match newer {
                Ok(newer) if !newer.is_empty() => self.pending = newer.into(),
                Ok(_) => tokio::select! {
                    changed = self.changed.changed() => changed.ok()?,
                    () = self.parts.feed.stopped() => return None,
                },
                Err(error) => {
                    // The reader comes back and resumes.
                    tracing::error!(%error, "a stream of recommendations cannot be read on");
                    return None;
                }
            }
        }
    }
}

impl Problem {
    /// 503: so many streams are open as may be.
    fn streams_taken(streams_max: usize, retry_after_seconds: u64) -> Self {
        let message = format!("{streams_max} streams of recommendations are open, and no more may be");
        let hint = "try again after the seconds that `Retry-After` says, or ask with `wait_seconds`";
        Self::later(StatusCode::SERVICE_UNAVAILABLE, "streams_taken", message, hint, retry_after_seconds)
    }
}
