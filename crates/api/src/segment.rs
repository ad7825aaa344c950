//! `POST /v1/batch`: events as Segment's libraries send them, so that a shop that tracks already need not track anew.
//!
//! Which events mean something here is data, `data/rules/segment_events.toml`. The others are named in the answer and do not
//! fail the batch: a library sends whatever its page tracks, and would send a failed batch for ever.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::label::LABEL_BYTES_MAX;
use vocabulary::world::to_micros;
use vocabulary::{EventKind, Timestamp};

use crate::Parts;
use crate::diagnose::{as_text, object};
use crate::fields::{Name, nearest};
use crate::intake::{Upload, bounded};
use crate::items::{Item, LINE_BYTES_MAX, counted, elements, member};
use crate::keeping::{Batch, keep};
use crate::line::{Fault, Line, Texts, Told, clip};
use crate::problem::Problem;
use crate::views::{ErrorBody, SegmentAnswer, SegmentBatch};

pub(crate) fn routes() -> OpenApiRouter<Arc<Parts>> {
    bounded(OpenApiRouter::new().routes(routes!(batch)))
}

/// Tell events in the form of Segment's libraries.
///
/// A batch of calls by Segment's public specification, with the key as the user name of Basic authorization. `track` calls
/// of the e-commerce, e-mail and experiment events are kept; `errors` names each other call and why it was not, and does not fail
/// the batch. `messageId` becomes `event_id`, `userId` (or else `anonymousId`) the contact. Where `sentAt` is more than 5
/// minutes off the server's clock, `timestamp` is corrected by the difference.
#[utoipa::path(
    post,
    path = "/v1/batch",
    tag = "events",
    request_body(content = SegmentBatch, description = "The calls, at most 10,000 and 32 MiB, which may be packed with gzip or zstd."),
    responses(
        (status = 200, description = "The batch was read; `errors` names the calls that were not kept.", body = SegmentAnswer),
        (status = 413, description = "The body is larger than 32 MiB, unpacked; nothing was kept.", body = ErrorBody),
        (status = 415, description = "The body is packed in a way that cannot be read.", body = ErrorBody),
        (status = 422, description = "The body is no batch, or has too many calls.", body = ErrorBody),
        (status = 429, description = "More is coming in than can be written; the request does not count as told. Send it again after the seconds that `Retry-After` says.", body = ErrorBody),
        (status = 503, description = "The events could not be stored; send them again.", body = ErrorBody),
    )
)]
async fn batch(State(parts): State<Arc<Parts>>, body: Upload) -> Result<Json<SegmentAnswer>, Problem> {
    let now = to_micros(parts.clock.now());
    let calls = Calls::read(&body.bytes)?;
    let collected = keep(&parts, &calls, now).await?;
    Ok(Json(SegmentAnswer { success: true, collected }))
}

/// The calls of a batch.
struct Calls<'a> {
    items: Vec<Item<'a>>,
    /// The sender's clock for calls that do not tell it themselves.
    sent_at: Option<String>,
}

impl<'a> Calls<'a> {
    fn read(body: &'a [u8]) -> Result<Self, Problem> {
        let no_batch = |message: &str| {
            let hint = r#"send {"batch": [...], "sentAt": ...} as Segment's specification of the HTTP API says"#;
            Problem::unprocessable("no_batch", message, hint)
        };
        let calls = member(body, "batch").ok_or_else(|| no_batch("the body has no `batch`"))?;
        if calls.first() != Some(&b'[') {
            return Err(no_batch("`batch` is no list"));
        }
        let sent_at = match member(body, "sentAt") {
            None | Some(b"null") => None,
            Some(text) => Some(serde_json::from_slice(text).map_err(|_| no_batch("`sentAt` is no text"))?),
        };
        Ok(Self { items: counted(elements(calls))?, sent_at })
    }
}

impl Batch for Calls<'_> {
    fn count(&self) -> usize {
        self.items.len()
    }

    fn line(&self, at: usize) -> usize {
        self.items[at].line
    }

    fn read<T>(&self, at: usize, now: Timestamp, hand_on: impl FnOnce(Told<'_>) -> T) -> Result<T, Fault> {
        let json = self.items[at].json;
        if json.len() > LINE_BYTES_MAX {
            return Err(Fault::whole(format!("the call is {} bytes long; the limit is {LINE_BYTES_MAX} bytes", json.len())));
        }
        let call = object(json, "a call")?;
        let rule = rule_for(&call)?;
        let texts = rule.apply(&call, self.sent_at.as_deref(), now)?;
        let told = texts.complete(Line::default()).check(now).map_err(|fault| rule.in_their_words(fault))?;
        Ok(hand_on(told))
    }
}

/// What an event of the specification becomes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    name: String,
    kind: EventKind,
    #[serde(default)]
    pays_back: bool,
    #[serde(default)]
    words: BTreeMap<String, String>,
    #[serde(default)]
    fields: BTreeMap<String, Vec<String>>,
}

/// The rules, read once from the embedded file.
fn rules() -> &'static [Rule] {
    #[derive(Deserialize)]
    struct File {
        event: Vec<Rule>,
    }
    static RULES: OnceLock<Vec<Rule>> = OnceLock::new();
    RULES.get_or_init(|| {
        let file: Result<File, _> = toml::from_str(include_str!("../../../data/rules/segment_events.toml"));
        file.expect("data/rules/segment_events.toml is valid").event
    })
}

/// The rule for a call.
fn rule_for(call: &Map<String, Value>) -> Result<&'static Rule, Fault> {
    let known = || rules().iter().map(|rule| rule.name.as_str());
    match text_at(call, "type").as_deref() {
        Some("track") => {}
        Some(other) => {
            let reason =
                format!("`{}` calls are not kept, only `track` calls of {}", clip(other), known().collect::<Vec<_>>().join(", "));
            return Err(Fault::new("type", reason));
        }
        None => return Err(Fault::new("type", "is missing; it says what kind of call this is, such as `track`")),
    }
    let event = text_at(call, "event").ok_or_else(|| Fault::new("event", "is missing; a `track` call names its event"))?;
    rules().iter().find(|rule| rule.name == event).ok_or_else(|| {
        let meant = nearest(&event, known()).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        let known = known().collect::<Vec<_>>().join(", ");
        Fault::new("event", format!("`{}` has no meaning here; known are {known}{meant}", clip(&event)))
    })
}

impl Rule {
    /// The call in our fields.
    fn apply(&self, call: &Map<String, Value>, sent_at: Option<&str>, now: Timestamp) -> Result<Texts, Fault> {
        let message_id = text_at(call, "messageId")
            .ok_or_else(|| Fault::new("messageId", "is missing; without it a call that is sent again would count twice"))?;
        let mut texts = vec![(Name::Kind, self.kind.as_str().to_owned())];
        let mut give = |name: Name, text: Option<String>| texts.extend(text.map(|text| (name, text)));
        give(Name::Contact, text_at(call, "userId").or_else(|| text_at(call, "anonymousId")));
        // "If the event just happened, leave it out", says the specification.
        let happened = text_at(call, "timestamp").or_else(|| text_at(call, "originalTimestamp"));
        let is_told = happened.is_some();
        give(Name::EventTime, happened.or_else(|| Some(now.to_string())));
        let sent_at = text_at(call, "sentAt").or_else(|| sent_at.map(str::to_owned));
        give(Name::SentAt, sent_at.filter(|_| is_told));
        for (field, word) in &self.words {
            give(name_in(field), Some(word.clone()));
        }
        for (field, places) in &self.fields {
            let mut found = places.iter().find_map(|place| text_at(call, place));
            if self.pays_back && field == "amount" {
                found = found.map(|amount| format!("-{}", amount.trim_start_matches('-')));
            }
            give(name_in(field), found);
        }
        if self.pays_back {
            if !texts.iter().any(|(name, _)| *name == Name::RefundOf) {
                return Err(Fault::new(self.place_of("refund_of"), "is missing"));
            }
            texts.push((Name::OrderId, short_id(&message_id, LABEL_BYTES_MAX)));
        }
        texts.push((Name::EventId, message_id));
        Ok(Texts(texts))
    }

    /// A fault that names the place in the call instead of our field.
    fn in_their_words(&self, fault: Fault) -> Fault {
        let place = fault.field.as_deref().map(|field| match field {
            "event_id" => "messageId",
            "contact" => "userId",
            "event_time" => "timestamp",
            "sent_at" => "sentAt",
            field => self.place_of(field),
        });
        let reason = if place == Some("userId") && fault.reason.starts_with("is missing") {
            "is missing; give `userId`, or `anonymousId`".to_owned()
        } else {
            fault.reason
        };
        Fault { field: place.map(str::to_owned), reason }
    }

    fn place_of<'a>(&'a self, field: &'a str) -> &'a str {
        self.fields.get(field).and_then(|places| places.first()).map_or(field, String::as_str)
    }
}

fn name_in(field: &str) -> Name {
    Name::find(field.as_bytes()).expect("data/rules/segment_events.toml names fields of events")
}

/// The single value at a place such as `properties.total`, as text. Lists and objects count as absent.
fn text_at(call: &Map<String, Value>, place: &str) -> Option<String> {
    let (first, rest) = place.split_once('.').map_or((place, None), |(first, rest)| (first, Some(rest)));
    match (call.get(first)?, rest) {
        (Value::Object(inner), Some(rest)) => text_at(inner, rest),
        (value, None) => as_text(value.clone()),
        _ => None,
    }
}

/// An id that is short enough: itself, or where it is too long a hash of it, which is as good a name.
pub(crate) fn short_id(id: &str, bytes_max: usize) -> String {
    if id.len() <= bytes_max { id.to_owned() } else { blake3::hash(id.as_bytes()).to_hex().to_string() }
}

#[cfg(test)]
#[path = "segment_tests.rs"]
mod tests;
