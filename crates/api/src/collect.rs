//! The collector: `POST /v1/events`.
//!
//! Each line stands for itself: bad ones are named, good ones are kept. The answer is given only when the kept ones are
//! on disk.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::Timestamp;
use vocabulary::world::to_micros;

use crate::Parts;
use crate::intake::{Upload, bounded};
use crate::items::{Item, items};
use crate::keeping::{Batch, keep};
use crate::line::{self, Fault, Told};
use crate::problem::Problem;
use crate::request::is_ndjson;
use crate::schema::{EventV1, EventsV1};
use crate::views::{Collected, ErrorBody, EventsRefused};

pub(crate) fn routes() -> OpenApiRouter<Arc<Parts>> {
    bounded(OpenApiRouter::new().routes(routes!(collect)))
}

/// Tell events.
///
/// One JSON object per line (`application/x-ndjson`), a JSON array, or one object. Good lines of a bad batch are kept;
/// `errors` names each other line with its field and the reason. When the answer arrives, what was accepted is on disk,
/// and the same `event_id` told again is harmless. At most 10,000 lines, 1 MiB per line and 32 MiB in all, which may be
/// packed with gzip or zstd.
#[utoipa::path(
    post,
    path = "/v1/events",
    tag = "events",
    request_body(content((EventsV1 = "application/json"), (EventV1 = "application/x-ndjson")), description = "Events, each on a line of its own or in an array."),
    responses(
        (status = 200, description = "At least one line was accepted or known already.", body = Collected),
        (status = 413, description = "The body is larger than 32 MiB, unpacked; nothing was kept.", body = ErrorBody),
        (status = 415, description = "The body is packed in a way that cannot be read.", body = ErrorBody),
        (status = 422, description = "No line could be kept, or there are none or too many.", body = EventsRefused),
        (status = 429, description = "More is coming in than can be written; nothing was kept. Send it again after the seconds that `Retry-After` says.", body = ErrorBody),
        (status = 503, description = "The events could not be stored; send them again.", body = ErrorBody),
    )
)]
async fn collect(
    State(parts): State<Arc<Parts>>,
    headers: HeaderMap,
    body: Upload,
) -> Result<(StatusCode, Json<Collected>), Problem> {
    let now = to_micros(parts.clock.now());
    let lines = Lines(items(&body.bytes, is_ndjson(&headers))?);
    keep(&parts, &lines, now).await.map(answer)
}

/// The answer as it is sent: a failure when nothing was kept at all.
fn answer(collected: Collected) -> (StatusCode, Json<Collected>) {
    let nothing = collected.accepted + collected.duplicate == 0;
    (if nothing { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK }, Json(collected))
}

/// Events in our own form.
struct Lines<'a>(Vec<Item<'a>>);

impl Batch for Lines<'_> {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn line(&self, at: usize) -> usize {
        self.0[at].line
    }

    fn read<T>(&self, at: usize, now: Timestamp, hand_on: impl FnOnce(Told<'_>) -> T) -> Result<T, Fault> {
        line::read(self.0[at].json, now, hand_on)
    }
}
