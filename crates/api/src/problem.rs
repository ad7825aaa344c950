//! The one shape of every error answer: `{"error": {"kind", "message", "hint"}}`.
//!
//! What a caller can mend is told to them. What is ours goes to the log with its causes, and the caller hears no detail.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use control::ControlError;
use experiment::ExperimentError;
use lake::LakeError;
use planning::PlanningError;
use vocabulary::Recommendation;

use crate::views::{ErrorBody, ErrorView, RecommendationView};

/// An answer that is not what the caller hoped for.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// For programs: stays the same when the words change.
    pub(crate) kind: &'static str,
    /// For people: what is wrong.
    pub(crate) message: String,
    /// For people: what to do.
    pub(crate) hint: String,
    /// The recommendation that is current, where a decision came too late.
    current: Option<Box<Option<RecommendationView>>>,
    /// When it is worth trying again.
    retry_after_seconds: Option<u64>,
}

impl Problem {
    /// A problem of any status.
    pub(crate) fn new(status: StatusCode, kind: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status, kind, message: message.into(), hint: hint.into(), current: None, retry_after_seconds: None }
    }

    /// 422: understood, but it cannot be as given.
    pub(crate) fn unprocessable(kind: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, kind, message, hint)
    }

    /// 404: there is no such thing.
    pub(crate) fn not_found(noun: &str, id: &str, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {noun} `{id}`"), hint)
    }

    /// 404: nobody has this own id, which is not repeated because errors are logged.
    pub(crate) fn no_contact() -> Self {
        let hint = "give your own id of the contact as it was imported";
        Self::new(StatusCode::NOT_FOUND, "no_contact", "there is no such contact", hint)
    }

    /// 409: it is not in a state that allows it.
    pub(crate) fn conflict(kind: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, kind, message, hint)
    }

    /// 429: there is no room for it at the moment.
    pub(crate) fn busy(retry_after_seconds: u64) -> Self {
        let message = "more is coming in than can be written at the moment; this request does not count as told";
        let hint = "send it again after the seconds that `Retry-After` says; the same event_id is harmless";
        let busy = Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", message, hint);
        Self { retry_after_seconds: Some(retry_after_seconds), ..busy }
    }

    /// Any problem that is worth trying again after some seconds.
    pub(crate) fn later(
        status: StatusCode,
        kind: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
        retry_after_seconds: u64,
    ) -> Self {
        Self { retry_after_seconds: Some(retry_after_seconds), ..Self::new(status, kind, message, hint) }
    }

    /// 500: our fault. The error and its causes are logged, the caller hears only that it happened.
    pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        let causes = std::iter::successors(error.source(), |cause| cause.source());
        let causes: Vec<String> = causes.map(ToString::to_string).collect();
        tracing::error!(error = %error, causes = causes.join(": "), "a request failed");
        let hint = "try again; if it stays so, the server's log says more";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the server could not finish the request", hint)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let retry_after_seconds = self.retry_after_seconds;
        let error = ErrorView { kind: self.kind.to_owned(), message: self.message, hint: self.hint };
        let mut response = match self.current {
            None => (self.status, Json(ErrorBody { error })).into_response(),
            Some(current) => (self.status, Json(crate::views::ConflictBody { error, current: *current })).into_response(),
        };
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"sendlab\""));
        }
        if let Some(seconds) = retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::NotFound { noun, ref id } => {
                Self::not_found(noun, id, "list what there is with a GET on the collection")
            }
            ControlError::Invalid { .. } | ControlError::InvalidContact { .. } => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                let message =
                    if matches!(error, ControlError::Invalid { .. }) { error.to_string() } else { format!("{error}{cause}") };
                Self::unprocessable("invalid", message, "correct the field and send it again")
            }
            ControlError::Frozen { .. } => Self::conflict("frozen", error.to_string(), "give the changed one a new id"),
            ControlError::Conflict { current } => Self::superseded(current.map(|current| *current)),
            error => Self::internal(&error),
        }
    }
}

impl Problem {
    /// 409: another recommendation became current in the meantime; the answer carries it.
    pub(crate) fn superseded(current: Option<Recommendation>) -> Self {
        let message = "the parent is not the current recommendation";
        let hint = "look at `current`, decide again, and name its id as `parent`";
        Self { current: Some(Box::new(current.map(RecommendationView::from))), ..Self::conflict("superseded", message, hint) }
    }
}

impl From<LakeError> for Problem {
    fn from(error: LakeError) -> Self {
        match error {
            LakeError::Refused(why) => {
                Self::unprocessable("not_a_query", why, "only queries are answered here: SELECT, WITH, EXPLAIN, SHOW")
            }
            LakeError::Query { message, hint } => Self::unprocessable(
                "bad_query",
                message,
                hint.unwrap_or_else(|| "GET /v1/tables lists the tables and their columns".into()),
            ),
            LakeError::NoVersion(why) => Self::unprocessable(
                "no_version",
                why,
                "GET /v1/tables names the newest version of each table; older ones are kept for a while",
            ),
            LakeError::Crowded { why, retry_after_seconds } => {
                let hint = "send it again after the seconds that `Retry-After` says";
                let crowded = Self::new(StatusCode::TOO_MANY_REQUESTS, "queries_busy", why, hint);
                Self { retry_after_seconds: Some(retry_after_seconds), ..crowded }
            }
            LakeError::TooLong { .. } => {
                Self::unprocessable("query_limit", error.to_string(), "ask for less: filter, aggregate, or add LIMIT")
            }
            LakeError::Limit(why) => Self::unprocessable("query_limit", why, "ask for less: filter, aggregate, or add LIMIT"),
            LakeError::NotDurable { .. } => {
                tracing::error!(%error, "events were not stored");
                let message = "the events could not be stored; none of them counts as told";
                let hint = "send them again; the same event_id is harmless";
                let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_durable", message, hint);
                Self { retry_after_seconds: Some(1), ..problem }
            }
            LakeError::BadStream { .. } => Self::unprocessable(
                "bad_stream",
                error.to_string(),
                "send an Arrow IPC stream, as `new_stream` of pyarrow writes it",
            ),
            LakeError::Busy { retry_after_seconds } => Self::busy(retry_after_seconds),
            error => Self::internal(&error),
        }
    }
}

impl From<PlanningError> for Problem {
    fn from(error: PlanningError) -> Self {
        match error {
            PlanningError::Lake(error) => error.into(),
            PlanningError::Control(error) => error.into(),
            PlanningError::Ended(error) => Self::internal(&error),
            PlanningError::Habits(error) | PlanningError::Balance(error) => Self::internal(&error),
            PlanningError::Campaign(why) => Self::unprocessable("not_plannable", why, "mend that and ask again"),
        }
    }
}

impl From<ExperimentError> for Problem {
    fn from(error: ExperimentError) -> Self {
        let hint = "correct it and send it again; /openapi.json describes every field";
        match error {
            ExperimentError::TooLarge { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", error.to_string(), hint),
            _ => Self::unprocessable("invalid", error.to_string(), hint),
        }
    }
}
