//! Events in the envelope of CloudEvents 1.0: structured, batched, or with the envelope in the headers.
//!
//! The envelope says what happened (`type`), its id and when; `data` holds the other fields as our own lines do. What
//! `data` says itself goes before what the envelope says.

use axum::http::HeaderMap;
use serde_json::{Map, Value};
use vocabulary::label::EVENT_ID_BYTES_MAX;
use vocabulary::{EventKind, Timestamp};

use crate::diagnose::{name_of, object, texts};
use crate::fields::{Name, nearest};
use crate::items::{Item, LINE_BYTES_MAX};
use crate::keeping::Batch;
use crate::line::{Fault, Line, Texts, Told, clip};
use crate::segment::short_id;

/// What `type` begins with where it is not the bare word.
const TYPE_PREFIX: &str = "sendlab.";
/// What the headers of an event begin with whose body is only its data.
const HEADER_PREFIX: &str = "ce-";

/// Events, each in its envelope.
pub(crate) struct CloudEvents<'a> {
    items: Vec<Item<'a>>,
    /// The attributes, where they came in the headers; the only item is then the data.
    attributes: Option<Map<String, Value>>,
}

impl<'a> CloudEvents<'a> {
    /// Events with their envelopes around them.
    pub(crate) fn structured(items: Vec<Item<'a>>) -> Self {
        Self { items, attributes: None }
    }

    /// One event whose envelope is in the headers. `None` where no envelope is there.
    pub(crate) fn binary(headers: &HeaderMap, body: &'a [u8]) -> Option<Self> {
        headers.get("ce-specversion")?;
        let attributes = headers.iter().filter_map(|(name, value)| {
            let name = name.as_str().strip_prefix(HEADER_PREFIX)?;
            Some((name.to_owned(), Value::String(percent_decoded(value.as_bytes()))))
        });
        Some(Self { items: vec![Item { line: 1, json: body }], attributes: Some(attributes.collect()) })
    }
}

impl Batch for CloudEvents<'_> {
    fn count(&self) -> usize {
        self.items.len()
    }

    fn line(&self, at: usize) -> usize {
        self.items[at].line
    }

    fn read<T>(&self, at: usize, now: Timestamp, hand_on: impl FnOnce(Told<'_>) -> T) -> Result<T, Fault> {
        let json = self.items[at].json;
        if json.len() > LINE_BYTES_MAX {
            return Err(Fault::whole(format!("the event is {} bytes long; the limit is {LINE_BYTES_MAX} bytes", json.len())));
        }
        let (attributes, data) = match &self.attributes {
            Some(attributes) => (attributes.clone(), object(json, "the data of an event")?),
            None => {
                let mut attributes = object(json, "a CloudEvent")?;
                let data = data_of(&mut attributes)?;
                (attributes, data)
            }
        };
        let opened = Opened::new(&attributes, data)?;
        let told = opened.texts.complete(Line::default()).check(now).map_err(|fault| opened.in_their_words(fault))?;
        Ok(hand_on(told))
    }
}

/// Takes the data out of an event.
fn data_of(attributes: &mut Map<String, Value>) -> Result<Map<String, Value>, Fault> {
    if attributes.contains_key("data_base64") {
        return Err(Fault::new("data_base64", "is not read here; send `data` as a JSON object"));
    }
    match attributes.remove("data") {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(data)) => Ok(data),
        Some(other) => Err(Fault::new("data", format!("must be an object, not {}", name_of(&other)))),
    }
}

/// An event out of its envelope.
struct Opened {
    texts: Texts,
    /// The fields that the envelope gave.
    from_envelope: u64,
}

impl Opened {
    fn new(attributes: &Map<String, Value>, data: Map<String, Value>) -> Result<Self, Fault> {
        let version = attribute(attributes, "specversion")?;
        if version != "1.0" {
            return Err(Fault::new("specversion", format!("`{}` is not read here; send 1.0", clip(version))));
        }
        let kind = kind_of(attribute(attributes, "type")?)?;
        let id = event_id(attribute(attributes, "source")?, attribute(attributes, "id")?)?;
        let time = attributes.get("time").filter(|time| !time.is_null()).map(|_| attribute(attributes, "time")).transpose()?;
        let Texts(mut texts) = texts(data).map_err(|fault| Fault { field: fault.field.map(within_data), ..fault })?;
        if let Some((_, told)) = texts.iter().find(|(name, told)| *name == Name::Kind && told != kind.as_str()) {
            return Err(Fault::new("data.kind", format!("is `{}`, but `type` says `{kind}`", clip(told))));
        }
        let mut from_envelope = 0;
        let given = [(Name::Kind, Some(kind.as_str())), (Name::EventId, Some(id.as_str())), (Name::EventTime, time)];
        for (name, text) in given {
            if texts.iter().all(|(told, _)| *told != name) {
                texts.extend(text.map(|text| (name, text.to_owned())));
                from_envelope |= name.bit();
            }
        }
        Ok(Self { texts: Texts(texts), from_envelope })
    }

    /// A fault that names the attribute, or the field within `data`.
    fn in_their_words(&self, fault: Fault) -> Fault {
        let place = |field: String| match Name::find(field.as_bytes()) {
            Some(name) if self.from_envelope & name.bit() != 0 => match name {
                Name::EventId => "id".to_owned(),
                Name::EventTime => "time".to_owned(),
                _ => "type".to_owned(),
            },
            _ => within_data(field),
        };
        Fault { field: fault.field.map(place), ..fault }
    }
}

fn within_data(field: String) -> String {
    format!("data.{field}")
}

/// An attribute that must be there.
fn attribute<'a>(attributes: &'a Map<String, Value>, name: &str) -> Result<&'a str, Fault> {
    match attributes.get(name) {
        None | Some(Value::Null) => Err(Fault::new(name, "is missing")),
        Some(Value::String(text)) if text.trim().is_empty() => Err(Fault::new(name, "is empty")),
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(Fault::new(name, format!("must be text in quotes, not {}", name_of(other)))),
    }
}

fn kind_of(text: &str) -> Result<EventKind, Fault> {
    let word = text.strip_prefix(TYPE_PREFIX).unwrap_or(text);
    word.parse().map_err(|_| {
        let words = || EventKind::ALL.iter().map(|kind| kind.as_str());
        let meant = nearest(word, words()).map(|word| format!("; did you mean `{TYPE_PREFIX}{word}`?")).unwrap_or_default();
        let known: Vec<String> = words().map(|word| format!("{TYPE_PREFIX}{word}")).collect();
        Fault::new("type", format!("`{}` is not one of {}{meant}", clip(text), known.join(", ")))
    })
}

/// CloudEvents are told apart by `source` and `id` together. A URI reference holds no space, so that a space between the two
/// keeps apart what is apart.
fn event_id(source: &str, id: &str) -> Result<String, Fault> {
    if source.contains(char::is_whitespace) {
        return Err(Fault::new("source", "holds white space; it is a URI reference, such as /shop/orders"));
    }
    Ok(short_id(&format!("{source} {id}"), EVENT_ID_BYTES_MAX))
}

/// The HTTP binding writes what is no printable ASCII as `%` and two hexadecimal digits.
fn percent_decoded(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.first_chunk::<2>().filter(|digits| *first == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        let byte = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
#[path = "cloud_events_tests.rs"]
mod tests;
