//! The collector: `POST /v1/events`, in whatever format the body says it is.
//!
//! Each line stands for itself: bad ones are named, good ones are kept. The answer is given only when the kept ones are
//! on disk.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::world::to_micros;
use vocabulary::{EventKind, Timestamp};

use crate::Parts;
use crate::arrow::ArrowRows;
use crate::cloud_events::CloudEvents;
use crate::intake::{Upload, bounded};
use crate::items::{Item, items};
use crate::keeping::{Batch, keep};
use crate::line::{self, Fault, Told};
use crate::problem::Problem;
use crate::request::{Ask, is_ndjson, media_type};
use crate::schema::{EventV1, EventsV1};
use crate::views::{CloudEventV1, Collected, ErrorBody, EventsRefused};

/// An Arrow IPC stream.
const ARROW: &str = "application/vnd.apache.arrow.stream";
/// One event in its envelope.
const CLOUD_EVENT: &str = "application/cloudevents+json";
/// A list of events in their envelopes.
const CLOUD_EVENTS: &str = "application/cloudevents-batch+json";

pub(crate) fn routes() -> OpenApiRouter<Arc<Parts>> {
    bounded(OpenApiRouter::new().routes(routes!(collect)))
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    kind: Option<EventKind>,
}

/// Tell events.
///
/// One JSON object per line (`application/x-ndjson`), a JSON array, or one object. Good lines of a bad batch are kept;
/// `errors` names each other line with its field and the reason. When the answer arrives, what was accepted is on disk,
/// and the same `event_id` told again is harmless. At most 10,000 lines, 1 MiB per line and 32 MiB in all, which may be
/// packed with gzip or zstd.
///
/// Two other formats are told by their Content-Type. CloudEvents 1.0, structured, batched or with the envelope in the headers:
/// `type` is `sendlab.` and the kind, `source` and `id` together become `event_id`, `time` becomes `event_time`, `data` holds the
/// other fields. An Arrow IPC stream of at most 100,000 rows: a column for each field.
#[utoipa::path(
    post,
    path = "/v1/events",
    tag = "events",
    params(("kind" = Option<String>, Query, description = "The kind of the rows of an Arrow stream that do not say it themselves.")),
    request_body(
        content(
            (EventsV1 = "application/json"),
            (EventV1 = "application/x-ndjson"),
            (CloudEventV1 = "application/cloudevents+json"),
            (Vec<CloudEventV1> = "application/cloudevents-batch+json"),
            (String = "application/vnd.apache.arrow.stream"),
        ),
        description = "Events, each on a line of its own or in an array.",
    ),
    responses(
        (status = 200, description = "At least one line was accepted or known already.", body = Collected),
        (status = 413, description = "The body is larger than 32 MiB, unpacked; nothing was kept.", body = ErrorBody),
        (status = 415, description = "The body is packed in a way that cannot be read.", body = ErrorBody),
        (status = 422, description = "No line could be kept, or there are none or too many.", body = EventsRefused),
        (status = 429, description = "More is coming in than can be written; the request does not count as told. Send it again after the seconds that `Retry-After` says.", body = ErrorBody),
        (status = 503, description = "The events could not be stored; send them again.", body = ErrorBody),
    )
)]
async fn collect(
    State(parts): State<Arc<Parts>>,
    headers: HeaderMap,
    Ask(asked): Ask<Asked>,
    body: Upload,
) -> Result<(StatusCode, Json<Collected>), Problem> {
    let now = to_micros(parts.clock.now());
    let bytes = &body.bytes;
    let kept = match media_type(&headers).as_str() {
        ARROW => keep(&parts, &ArrowRows::read(bytes.clone(), asked.kind)?, now).await,
        CLOUD_EVENT | CLOUD_EVENTS => keep(&parts, &CloudEvents::structured(items(bytes, false)?), now).await,
        _ => match CloudEvents::binary(&headers, bytes) {
            Some(event) => keep(&parts, &event, now).await,
            None => keep(&parts, &Lines(items(bytes, is_ndjson(&headers))?), now).await,
        },
    };
    kept.map(answer)
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
