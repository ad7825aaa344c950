//! Says what is wrong with a line that the scan gave up on: slowly, through a JSON value.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::fields::{FIELDS, Field, Name, Shape, field, nearest};
use crate::line::{Fault, NUMBER_EXACT_MAX, Texts, clip};

/// Reads an event that the scan gave up on. Most are wrong; some only hold unusual numbers or names.
pub(crate) fn event(json: &[u8]) -> Result<Texts, Fault> {
    let fields = object(json, "an event")?;
    if let Some(name) = twice(json) {
        return Err(Fault::whole(format!("duplicate field `{}`", clip(&name))));
    }
    texts(fields)
}

/// The values of an event that came as a JSON value.
pub(crate) fn texts(fields: serde_json::Map<String, Value>) -> Result<Texts, Fault> {
    if let Some(name) = fields.keys().find(|name| field(name).is_none()) {
        return Err(unknown_field(name, FIELDS.iter().map(|field| field.name)));
    }
    if let Some(fault) = fields.iter().find_map(|(name, value)| field(name).and_then(|field| wrong_type(field, value))) {
        return Err(fault);
    }
    let text = |(name, value): (String, Value)| Some((Name::find(name.as_bytes())?, as_text(value)?));
    Ok(Texts(fields.into_iter().filter_map(text).collect()))
}

/// A single value as text: without quotes, and numbers without an exponent. `None` for null, lists and objects.
pub(crate) fn as_text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Bool(flag) => Some(flag.to_string()),
        // The shortest text that reads back as this number is the text that was written, up to 15 digits.
        Value::Number(number) if number.is_f64() => number.as_f64().map(|number| number.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The first name that an object holds twice; a JSON value would silently keep the second.
fn twice(json: &[u8]) -> Option<String> {
    struct Names;
    impl<'de> Visitor<'de> for Names {
        type Value = Option<String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut seen = BTreeSet::new();
            let mut twice = None;
            while let Some((name, _)) = map.next_entry::<String, IgnoredAny>()? {
                if seen.contains(&name) {
                    twice.get_or_insert(name);
                } else {
                    seen.insert(name);
                }
            }
            Ok(twice)
        }
    }
    serde_json::Deserializer::from_slice(json).deserialize_map(Names).ok().flatten()
}

/// Reads a line as a JSON object.
pub(crate) fn object(json: &[u8], what: &str) -> Result<serde_json::Map<String, Value>, Fault> {
    match serde_json::from_slice(json) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(other) => Err(Fault::whole(format!("{what} is a JSON object, not {}", name_of(&other)))),
        Err(error) => Err(broken(&error)),
    }
}

/// The fault of a field nobody knows.
pub(crate) fn unknown_field<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Fault {
    let reason = match nearest(name, known) {
        Some(known) => format!("is not a known field; did you mean `{known}`?"),
        None => "is not a known field; /openapi.json lists them".to_owned(),
    };
    Fault { field: Some(clip(name)), reason }
}

/// The fault of JSON that cannot be parsed.
fn broken(error: &serde_json::Error) -> Fault {
    let line = if error.line() > 1 { format!("line {} of the object, ", error.line()) } else { String::new() };
    Fault::whole(format!("broken JSON at {line}column {}: {}", error.column(), without_position(error)))
}

fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().map(clip).unwrap_or_default()
}

fn wrong_type(field: &Field, value: &Value) -> Option<Fault> {
    let fits = match (field.shape, value) {
        (_, Value::Null) => true,
        (Shape::Text | Shape::Word(_) | Shape::Time | Shape::Digits | Shape::Decimal, Value::String(_)) => true,
        (Shape::Flag, Value::Bool(_)) | (Shape::Number, Value::Number(_)) => true,
        (Shape::Decimal, Value::Number(number)) => {
            if number.as_f64().is_some_and(|value| value.abs() < NUMBER_EXACT_MAX) || number.is_i64() || number.is_u64() {
                return None;
            }
            let reason = "has more digits than a JSON number carries exactly; write it as text in quotes";
            return Some(Fault::new(field.name, reason));
        }
        _ => false,
    };
    (!fits).then(|| Fault::new(field.name, format!("must be {}, not {}", expected(field.shape), name_of(value))))
}

fn expected(shape: Shape) -> String {
    match shape {
        Shape::Text => "text in quotes".into(),
        Shape::Word(words) => format!("one of the words {}", words().join(", ")),
        Shape::Time => "a time in RFC 3339 in quotes, such as \"2026-03-01T09:30:00Z\"".into(),
        Shape::Digits => "a string of digits in quotes".into(),
        Shape::Flag => "true or false".into(),
        Shape::Number => "a number".into(),
        Shape::Decimal => "a decimal number".into(),
    }
}

/// A value as one would name it in a sentence.
pub(crate) fn name_of(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => format!("the truth value {value}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text \"{}\"", clip(text)),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}
