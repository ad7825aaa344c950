//! The collector: `POST /v1/events`.
//!
//! Each line stands for itself: bad ones are named, good ones are kept. The answer is given only when the kept ones are
//! on disk.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::world::to_micros;
use vocabulary::{ContactKey, Event, Timestamp};

use crate::Parts;
use crate::items::{BODY_BYTES_MAX, Item, items};
use crate::line::{self, Draft, Who};
use crate::problem::Problem;
use crate::request::{Payload, is_ndjson};
use crate::schema::{EventV1, EventsV1};
use crate::views::{Collected, Duplicate, ErrorBody, EventsRefused, LineError};

pub(crate) fn routes() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(collect))
}

/// Tell events.
///
/// One JSON object per line (`application/x-ndjson`), a JSON array, or one object. Good lines of a bad batch are kept;
/// `errors` names each other line with its field and the reason. When the answer arrives, what was accepted is on disk,
/// and the same `event_id` told again is harmless. At most 10,000 lines, 1 MiB per line and 32 MiB in all.
#[utoipa::path(
    post,
    path = "/v1/events",
    tag = "events",
    request_body(content((EventsV1 = "application/json"), (EventV1 = "application/x-ndjson")), description = "Events, each on a line of its own or in an array."),
    responses(
        (status = 200, description = "At least one line was accepted or known already.", body = Collected),
        (status = 413, description = "The body is larger than 32 MiB; nothing was kept.", body = ErrorBody),
        (status = 422, description = "No line could be kept, or there are none or too many.", body = EventsRefused),
        (status = 503, description = "The events could not be stored; send them again.", body = ErrorBody),
    )
)]
async fn collect(
    State(parts): State<Arc<Parts>>,
    headers: HeaderMap,
    Payload(body): Payload<BODY_BYTES_MAX>,
) -> Result<(StatusCode, Json<Collected>), Problem> {
    let now = to_micros(parts.clock.now());
    let found = items(&body, is_ndjson(&headers))?;
    let (drafts, errors) = read_all(&found, now);
    let lines: Vec<usize> = drafts.iter().map(|(line, _)| *line).collect();
    let events = resolve(&parts, drafts, now).await?;
    let ids: Vec<String> = events.iter().map(|event| event.id.to_string()).collect();
    let appended = if events.is_empty() { None } else { Some(parts.lake.append(events).await?) };
    let (accepted, known) = appended.map_or((0, Vec::new()), |appended| (appended.accepted, appended.duplicates));
    let duplicates: Vec<Duplicate> =
        known.iter().map(|at| Duplicate { line: lines[*at] as u64, event_id: ids[*at].clone() }).collect();
    let answer = Collected {
        accepted: accepted as u64,
        duplicate: duplicates.len() as u64,
        rejected: errors.len() as u64,
        errors,
        duplicates,
    };
    let status = if lines.is_empty() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok((status, Json(answer)))
}

/// Reads every line: the good ones with their numbers, and the faults of the others.
fn read_all(found: &[Item<'_>], now: Timestamp) -> (Vec<(usize, Draft)>, Vec<LineError>) {
    let mut drafts = Vec::with_capacity(found.len());
    let mut errors = Vec::new();
    for item in found {
        match line::read(item.json, now) {
            Ok(draft) => drafts.push((item.line, draft)),
            Err(fault) => errors.push(LineError::new(item.line, fault)),
        }
    }
    (drafts, errors)
}

/// Gives every draft the key of its contact. Each of the customer's own ids is asked for once.
async fn resolve(parts: &Parts, drafts: Vec<(usize, Draft)>, received_at: Timestamp) -> Result<Vec<Event>, Problem> {
    let own: std::collections::BTreeSet<&String> = drafts.iter().filter_map(|(_, draft)| own_id(draft)).collect();
    let own: Vec<String> = own.into_iter().cloned().collect();
    let keys = if own.is_empty() { Vec::new() } else { parts.control.resolve(&own).await? };
    let key_of: HashMap<&str, ContactKey> = own.iter().map(String::as_str).zip(keys).collect();
    let events = drafts.iter().map(|(_, draft)| match &draft.who {
        Who::Key(key) => *key,
        Who::Own(id) => key_of[id.as_str()],
    });
    let contacts: Vec<ContactKey> = events.collect();
    let event = |((_, draft), contact): ((usize, Draft), ContactKey)| {
        let Draft { id, time, who: _, context, body } = draft;
        Event { id, time, received_at, contact, time_doubt: None, context, body }
    };
    Ok(drafts.into_iter().zip(contacts).map(event).collect())
}

fn own_id(draft: &Draft) -> Option<&String> {
    match &draft.who {
        Who::Own(id) => Some(id),
        Who::Key(_) => None,
    }
}
