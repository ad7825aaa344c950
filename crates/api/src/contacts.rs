//! Contacts come in: `POST /v1/contacts`, line by line like events.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use control::NewContact;
use serde_json::{Map, Value};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Parts;
use crate::diagnose::{name_of, object, unknown_field};
use crate::items::{BODY_BYTES_MAX, LINE_BYTES_MAX, items};
use crate::line::Fault;
use crate::problem::Problem;
use crate::request::{Payload, is_ndjson};
use crate::views::{ContactView, ContactsRefused, ContactsStored, ErrorBody, LineError};

/// The fields of a contact.
const FIELDS: &[&str] = &["key", "email", "country", "language", "time_zone", "attributes"];

pub(crate) fn routes() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(upsert))
}

/// Store contacts.
///
/// One JSON object per line (`application/x-ndjson`), a JSON array, or one object. A contact with a known `key` is
/// replaced as a whole. Good lines of a bad batch are kept.
#[utoipa::path(
    post,
    path = "/v1/contacts",
    tag = "contacts",
    request_body(content((Vec<ContactView> = "application/json"), (ContactView = "application/x-ndjson")), description = "Contacts, each on a line of its own or in an array."),
    responses(
        (status = 200, description = "At least one line was kept.", body = ContactsStored),
        (status = 413, description = "The body is larger than 32 MiB; nothing was kept.", body = ErrorBody),
        (status = 422, description = "No line could be kept, or there are none or too many.", body = ContactsRefused),
    )
)]
async fn upsert(
    State(parts): State<Arc<Parts>>,
    headers: HeaderMap,
    Payload(body): Payload<BODY_BYTES_MAX>,
) -> Result<(StatusCode, Json<ContactsStored>), Problem> {
    let mut contacts = Vec::new();
    let mut errors = Vec::new();
    for item in items(&body, is_ndjson(&headers))? {
        match read(item.json) {
            Ok(contact) => contacts.push(contact),
            Err(fault) => errors.push(LineError::new(item.line, fault)),
        }
    }
    let status = if contacts.is_empty() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let stored = if contacts.is_empty() { control::Upserted::default() } else { parts.control.upsert_contacts(contacts).await? };
    let control::Upserted { created, updated, unchanged } = stored;
    Ok((status, Json(ContactsStored { created, updated, unchanged, rejected: errors.len() as u64, errors })))
}

/// Reads one line.
fn read(json: &[u8]) -> Result<NewContact, Fault> {
    if json.len() > LINE_BYTES_MAX {
        return Err(Fault::whole(format!("the line is {} bytes long; the limit is {LINE_BYTES_MAX} bytes", json.len())));
    }
    let mut fields = object(json, "a contact")?;
    if let Some(name) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return Err(unknown_field(name, FIELDS.iter().copied()));
    }
    let contact = NewContact {
        key: text(&mut fields, "key")?.ok_or_else(|| Fault::new("key", "is missing; give the customer's own id"))?,
        email: text(&mut fields, "email")?,
        country: text(&mut fields, "country")?,
        language: text(&mut fields, "language")?,
        time_zone: text(&mut fields, "time_zone")?,
        attributes: attributes(fields.remove("attributes"))?,
    };
    contact.check().map_err(|error| Fault { field: Some(error.field), reason: error.reason })?;
    Ok(contact)
}

fn text(fields: &mut Map<String, Value>, name: &str) -> Result<Option<String>, Fault> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(Fault::new(name, format!("must be text in quotes, not {}", name_of(&other)))),
    }
}

/// Attributes as text; `null` is the same as none.
fn attributes(given: Option<Value>) -> Result<std::collections::BTreeMap<String, String>, Fault> {
    let given = match given {
        None | Some(Value::Null) => return Ok(std::collections::BTreeMap::new()),
        Some(Value::Object(given)) => given,
        Some(other) => return Err(Fault::new("attributes", format!("must be an object, not {}", name_of(&other)))),
    };
    let attribute = |(name, value)| match value {
        Value::Null => None,
        Value::String(text) => Some(Ok((name, text))),
        Value::Bool(_) | Value::Number(_) => Some(Ok((name, value.to_string()))),
        other => Some(Err(Fault::new(
            &format!("attributes.{name}"),
            format!("must be text, a number, true or false, not {}", name_of(&other)),
        ))),
    };
    given.into_iter().filter_map(attribute).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_name_their_field() {
        let check = |line: &str, field: Option<&str>, reason: &str| {
            let fault = read(line.as_bytes()).unwrap_err();
            assert_eq!(fault.field.as_deref(), field, "{line}");
            assert!(fault.reason.contains(reason), "{}: {}", line, fault.reason);
        };
        check("{", None, "broken JSON");
        check("[]", None, "a contact is a JSON object");
        check(r#"{"key":"a","emial":"x@y.example"}"#, Some("emial"), "did you mean `email`?");
        check(r#"{"email":"x@y.example"}"#, Some("key"), "is missing");
        check(r#"{"key":7}"#, Some("key"), "must be text in quotes, not the number 7");
        check(r#"{"key":"a","attributes":[1]}"#, Some("attributes"), "must be an object");
        check(r#"{"key":"a","attributes":{"x":[1]}}"#, Some("attributes.x"), "must be text, a number");
    }

    #[test]
    fn attributes_become_text() {
        let contact = read(r#"{"key":"a","attributes":{"recency":6,"new":true,"city":"Wien","gone":null}}"#.as_bytes()).unwrap();
        let expect = [("city", "Wien"), ("new", "true"), ("recency", "6")];
        assert!(contact.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(expect));
    }
}
