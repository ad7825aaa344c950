//! Contacts come in: `POST /v1/contacts`, line by line like events.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use control::{Addresses, CheckedContact, Duplicates, FieldError, NewContact, address_field};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::{Birth, Channel, Profile};

use crate::Parts;
use crate::consents::{self, CONSENT_FIELDS, CONSENTS};
use crate::diagnose::{name_of, object, unknown_field};
use crate::fields::{Field, Shape};
use crate::items::{BODY_BYTES_MAX, LINE_BYTES_MAX, items};
use crate::line::Fault;
use crate::problem::Problem;
use crate::request::{Ask, Payload, is_ndjson};
use crate::views::{ContactView, ContactsRefused, ContactsStored, ErrorBody, LineError};

/// The fields of a contact, in the order of the documentation.
pub const CONTACT_FIELDS: &[Field] = &joined::<{ PERSON_FIELDS.len() + CONSENT_FIELDS.len() }>();

const fn joined<const N: usize>() -> [Field; N] {
    let mut all = [PERSON_FIELDS[0]; N];
    let mut place = 0;
    while place < N {
        let of_person = PERSON_FIELDS.len();
        all[place] = if place < of_person { PERSON_FIELDS[place] } else { CONSENT_FIELDS[place - of_person] };
        place += 1;
    }
    all
}

/// The fields of a contact that are about the person.
const PERSON_FIELDS: &[Field] = &[
    Field { required: true, ..text_field("key", "Your own id of the contact, at most 128 bytes.") },
    text_field("email", "E-mail address."),
    text_field("phone", "Phone number for SMS: international with +, or as it is dialled in `country`."),
    text_field("whatsapp", "Phone number of the WhatsApp account, written the same way."),
    text_field("wechat", "WeChat OpenID."),
    text_field("push", "Push token."),
    text_field("line", "LINE user id."),
    text_field("telegram", "Telegram chat id."),
    text_field("country", "ISO 3166 alpha-2 country, two capital letters."),
    text_field("region", "ISO 3166-2 part of the country, such as US-FL; laws may differ between parts."),
    text_field("language", "BCP 47 language tag."),
    text_field("time_zone", "IANA time zone. Without one, the only one of the country or of the phone number's is taken."),
    text_field("market", "ISO 3166 alpha-2 country they buy in, where it is another one."),
    text_field("interests", "What they are interested in: a list, or text with `;` or `|` between. Replaces what was known."),
    text_field("tags", "Your own marks, written the same way."),
    text_field("device", "The device they use most."),
    text_field("birth_date", "When they were born: 1990-05-17, or 1990 where only the year is known."),
    text_field("source", "Where they came from."),
    text_field("registered_at", "When they registered: an RFC 3339 time or a day. When they are first stored, where absent."),
];

const fn text_field(name: &'static str, about: &'static str) -> Field {
    Field { name, shape: Shape::Text, kinds: &[], required: false, about }
}

/// The field that holds what has no field of its own.
pub const ATTRIBUTES: &str = "attributes";

pub(crate) fn routes() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(upsert))
}

/// What to do with duplicates.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpsertParams {
    /// What to do with a new own id whose address is another contact's: `merge` (the same person, whose further id it
    /// becomes), `separate` (two people) or `reject`.
    #[serde(default)]
    #[param(value_type = Option<String>, example = "merge")]
    duplicates: Duplicates,
}

/// Store contacts.
///
/// One JSON object per line (`application/x-ndjson`), a JSON array, or one object. What a line leaves out stays as it is
/// known. Addresses are brought into one form and kept encrypted. Good lines of a bad batch are kept.
#[utoipa::path(
    post,
    path = "/v1/contacts",
    tag = "contacts",
    params(UpsertParams),
    request_body(content((Vec<ContactView> = "application/json"), (ContactView = "application/x-ndjson")), description = "Contacts, each on a line of its own or in an array."),
    responses(
        (status = 200, description = "At least one line was kept.", body = ContactsStored),
        (status = 413, description = "The body is larger than 32 MiB; nothing was kept.", body = ErrorBody),
        (status = 422, description = "No line could be kept, or there are none or too many.", body = ContactsRefused),
    )
)]
async fn upsert(
    State(parts): State<Arc<Parts>>,
    Ask(UpsertParams { duplicates }): Ask<UpsertParams>,
    headers: HeaderMap,
    Payload(body): Payload<BODY_BYTES_MAX>,
) -> Result<(StatusCode, Json<ContactsStored>), Problem> {
    let mut contacts = Vec::new();
    let mut lines = Vec::new();
    let mut errors = Vec::new();
    for item in items(&body, is_ndjson(&headers))? {
        match read_contact(item.json) {
            Ok(contact) => {
                contacts.push(contact);
                lines.push(item.line);
            }
            Err(fault) => errors.push(LineError::new(item.line, fault)),
        }
    }
    let stored = parts.control.upsert_contacts(&contacts, duplicates).await?;
    let control::Upserted { created, updated, unchanged, merged, faults } = stored;
    let fault = |(place, error): (usize, FieldError)| LineError::new(lines[place], fault_of(error));
    errors.extend(faults.into_iter().map(fault));
    errors.sort_by_key(|error| error.line);
    let kept = created + updated + unchanged;
    let status = if kept == 0 { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let rejected = errors.len() as u64;
    Ok((status, Json(ContactsStored { created, updated, unchanged, merged, rejected, errors })))
}

fn fault_of(error: FieldError) -> Fault {
    Fault { field: Some(error.field), reason: error.reason }
}

/// Reads and checks one line.
///
/// # Errors
/// [`Fault`] for the first field that cannot be stored.
pub fn read_contact(json: &[u8]) -> Result<CheckedContact, Fault> {
    if json.len() > LINE_BYTES_MAX {
        return Err(Fault::whole(format!("the line is {} bytes long; the limit is {LINE_BYTES_MAX} bytes", json.len())));
    }
    let mut fields = object(json, "a contact")?;
    let is_known = |name: &str| [ATTRIBUTES, CONSENTS].contains(&name) || CONTACT_FIELDS.iter().any(|known| known.name == name);
    if let Some(name) = fields.keys().find(|name| !is_known(name)) {
        return Err(unknown_field(name, CONTACT_FIELDS.iter().map(|field| field.name).chain([ATTRIBUTES, CONSENTS])));
    }
    let key = text(&mut fields, "key")?.ok_or_else(|| Fault::new("key", "is missing; give the customer's own id"))?;
    let mut addresses = Addresses::new();
    for channel in Channel::ALL {
        if let Some(address) = text(&mut fields, address_field(*channel))? {
            addresses.insert(*channel, address);
        }
    }
    let profile = Profile {
        country: text(&mut fields, "country")?,
        region: text(&mut fields, "region")?,
        language: text(&mut fields, "language")?,
        time_zone: text(&mut fields, "time_zone")?,
        market: text(&mut fields, "market")?,
        interests: labels(&mut fields, "interests")?,
        tags: labels(&mut fields, "tags")?,
        device: text(&mut fields, "device")?,
        birth: birth(fields.remove("birth_date"))?,
        source: text(&mut fields, "source")?,
        phone_country: None,
        attributes: attributes(fields.remove(ATTRIBUTES))?,
    };
    let registered_at = text(&mut fields, "registered_at")?.filter(|text| !text.trim().is_empty());
    let registered_at = registered_at.map(|text| consents::time("registered_at", text.trim())).transpose()?;
    let consents = consents::take(&mut fields)?;
    NewContact { key, addresses, profile, registered_at, consents }.check().map_err(fault_of)
}

pub(crate) fn text(fields: &mut Map<String, Value>, name: &str) -> Result<Option<String>, Fault> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(Fault::new(name, format!("must be text in quotes, not {}", name_of(&other)))),
    }
}

fn labels(fields: &mut Map<String, Value>, name: &str) -> Result<BTreeSet<String>, Fault> {
    let fault = |value: &Value| Fault::new(name, format!("must be a list of texts, not {}", name_of(value)));
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(BTreeSet::new()),
        // A list that went through a table comes as text.
        Some(Value::String(text)) if text.trim_start().starts_with('[') => {
            serde_json::from_str(&text).map_err(|_| Fault::new(name, "is no list of texts; write [\"a\", \"b\"] or a; b"))
        }
        Some(Value::String(text)) => {
            let labels = text.split([';', '|']).map(str::trim).filter(|label| !label.is_empty());
            Ok(labels.map(str::to_owned).collect())
        }
        Some(Value::Array(list)) => {
            let label = |value: Value| match value {
                Value::String(text) => Ok(text),
                other => Err(Fault::new(name, format!("must hold texts only, not {}", name_of(&other)))),
            };
            list.into_iter().map(label).collect()
        }
        Some(other) => Err(fault(&other)),
    }
}

fn birth(given: Option<Value>) -> Result<Option<Birth>, Fault> {
    let text = match given {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text,
        Some(Value::Number(year)) => year.to_string(),
        Some(other) => return Err(Fault::new("birth_date", format!("must be a date in quotes, not {}", name_of(&other)))),
    };
    text.trim().parse().map(Some).map_err(|reason: String| Fault::new("birth_date", reason))
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
            let fault = read_contact(line.as_bytes()).unwrap_err();
            assert_eq!(fault.field.as_deref(), field, "{line}");
            assert!(fault.reason.contains(reason), "{}: {}", line, fault.reason);
        };
        check("{", None, "broken JSON");
        check("[]", None, "a contact is a JSON object");
        check(r#"{"key":"a","emial":"x@y.example"}"#, Some("emial"), "did you mean `email`?");
        check(r#"{"email":"x@y.example"}"#, Some("key"), "is missing");
        check(r#"{"key":7}"#, Some("key"), "must be text in quotes, not the number 7");
        check(r#"{"key":"a","attributes":[1]}"#, Some("attributes"), "must be an object");
        check(r#"{"key":"a","phone":"0301234"}"#, Some("phone"), "or give `country`");
        check(r#"{"key":"a","interests":7}"#, Some("interests"), "must be a list of texts");
        check(r#"{"key":"a","tags":["a",7]}"#, Some("tags"), "must hold texts only, not the number 7");
        check(r#"{"key":"a","birth_date":"17.5.1990"}"#, Some("birth_date"), "is no date of birth");
        check(r#"{"key":"a","attributes":{"x":[1]}}"#, Some("attributes.x"), "must be text, a number");
    }

    #[test]
    fn every_field_is_read() {
        let line = r#"{"key":"a","email":"A@Shop.example","phone":"030 22700","whatsapp":null,"wechat":"oX","country":"DE",
            "market":"AT","interests":"shoes; bags|hats;","tags":["vip"],"birth_date":1990,"source":"fair","device":"ios",
            "attributes":{"recency":6,"new":true,"city":"Wien","gone":null}}"#;
        let contact = read_contact(line.as_bytes()).unwrap();
        let text = format!("{contact:?}");
        for part in
            ["A@shop.example", "+493022700", "oX", "\"bags\", \"hats\", \"shoes\"", "vip", "Year(1990)", "fair", "ios", "\"AT\""]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.contains(r#"{"city": "Wien", "new": "true", "recency": "6"}"#), "{text}");
        for name in CONTACT_FIELDS.iter().map(|field| field.name).filter(|name| *name != "key") {
            let line = format!(r#"{{"key":"a","{name}":{{}}}}"#);
            assert_eq!(read_contact(line.as_bytes()).unwrap_err().field.as_deref(), Some(name), "an object is never right");
        }
    }
}
