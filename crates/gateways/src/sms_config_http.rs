//! Reads the part of a configuration that describes a provider's HTTP request, its answers and its receipts.

use std::collections::BTreeMap;

use regex::Regex;
use reqwest::Method;
use reqwest::header::HeaderName;
use serde::Deserialize;
use toml::Spanned;
use vocabulary::Currency;
use vocabulary::words::words;

use crate::error::GatewayError;
use crate::http_sms::{HttpPlan, PriceAt, RequestBody};
use crate::secrets::Secrets;
use crate::sms_answer::{Condition, Judge, StatusRange};
use crate::sms_config::Senders;
use crate::sms_config_read::{Reader, Text};
use crate::sms_exchange::IN_DOUBT;
use crate::sms_receipt::{ReceiptPlan, SharedSecret};
use crate::sms_template::{Place, Templates};

words!(
    /// How the request is made.
    Verb {
        /// All is in the address.
        Get = "GET",
        /// With a body.
        Post = "POST",
        /// With a body.
        Put = "PUT",
    }
);

/// `[gateway.http]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawHttp {
    url: Text,
    method: Option<Verb>,
    #[serde(default)]
    unencrypted: bool,
    #[serde(default)]
    headers: BTreeMap<String, Text>,
    basic: Option<RawBasic>,
    form: Option<BTreeMap<String, Text>>,
    json: Option<Text>,
    plain: Option<Text>,
    success: Option<Vec<RawCondition>>,
    #[serde(default)]
    permanent: Vec<RawCondition>,
    in_doubt: Option<Vec<u16>>,
    error: Option<Text>,
    id: Option<Text>,
    price: Option<RawPriceAt>,
    receipt: Option<Spanned<RawReceipt>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBasic {
    user: Text,
    password: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCondition {
    #[serde(default)]
    status: Vec<Text>,
    at: Option<Text>,
    #[serde(default)]
    equals: Vec<String>,
    matches: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPriceAt {
    at: Text,
    currency: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReceipt {
    list: Option<Text>,
    id: Text,
    status: Text,
    error: Option<Text>,
    delivered: Vec<String>,
    failed: Vec<String>,
    answer: Option<String>,
    secret_header: Option<RawShared>,
    secret_query: Option<RawShared>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawShared {
    name: Text,
    value: Text,
}

/// Reads the plan of one gateway.
pub(crate) fn plan(
    reader: &Reader<'_>,
    name: &str,
    raw: &RawHttp,
    senders: Senders,
    timeout_seconds: u64,
) -> Result<HttpPlan, GatewayError> {
    let mut secrets = Secrets::default();
    let basic = match &raw.basic {
        None => None,
        Some(basic) => Some((
            reader.resolved(&mut secrets, "http.basic.user", &basic.user)?,
            reader.secret(&mut secrets, "http.basic.password", &basic.password)?,
        )),
    };
    let receipt = raw.receipt.as_ref().map(|receipt| receipt_plan(reader, &mut secrets, receipt)).transpose()?;
    let (templates, headers, body) = request(reader, raw, secrets)?;
    let default_method = if matches!(body, RequestBody::None) { Verb::Get } else { Verb::Post };
    let method = match raw.method.unwrap_or(default_method) {
        Verb::Get if !matches!(body, RequestBody::None) => {
            let problem = "cannot have a body; write POST, or put everything into `url`";
            return Err(reader.wrong(raw.url.span(), "http.method", problem));
        }
        Verb::Get => Method::GET,
        Verb::Post => Method::POST,
        Verb::Put => Method::PUT,
    };
    Ok(HttpPlan {
        name: name.to_owned(),
        method,
        templates,
        headers,
        body,
        basic,
        judge: judge(reader, raw)?,
        id: pointer(reader, "http.id", raw.id.as_ref())?,
        price: raw.price.as_ref().map(|price| price_at(reader, price)).transpose()?,
        senders,
        receipt,
        timeout_seconds,
    })
}

/// The templates of the request, each tried once, the names of its headers, and what its body is.
fn request(
    reader: &Reader<'_>,
    raw: &RawHttp,
    mut secrets: Secrets,
) -> Result<(Templates, Vec<HeaderName>, RequestBody), GatewayError> {
    let mut sources: Vec<(Place, String, String, &Text)> = Vec::new();
    sources.push((Place::Url, "url".to_owned(), "http.url".to_owned(), &raw.url));
    let mut headers = Vec::new();
    for (key, value) in &raw.headers {
        let name: HeaderName = key.parse().map_err(|_| {
            reader.wrong(value.span(), "http.headers", format!("`{key}` is no header's name; write one such as Authorization"))
        })?;
        sources.push((Place::Header, name.as_str().to_owned(), format!("http.headers.{key}"), value));
        headers.push(name);
    }
    let body = match (&raw.form, &raw.json, &raw.plain) {
        (None, None, None) => RequestBody::None,
        (Some(form), None, None) => {
            for (key, value) in form {
                sources.push((Place::Plain, format!("form/{key}"), format!("http.form.{key}"), value));
            }
            RequestBody::Form(form.keys().cloned().collect())
        }
        (None, Some(json), None) => {
            sources.push((Place::Json, "json".to_owned(), "http.json".to_owned(), json));
            RequestBody::Json
        }
        (None, None, Some(plain)) => {
            sources.push((Place::Plain, "plain".to_owned(), "http.plain".to_owned(), plain));
            RequestBody::Plain
        }
        _ => return Err(reader.wrong(raw.url.span(), "http", "has more than one of `form`, `json` and `plain`; choose one")),
    };
    let mut resolved = Vec::new();
    for (place, name, key, text) in sources {
        let source = secrets.resolve(text.get_ref(), reader.secret_of, Templates::place);
        resolved.push((place, name, source.map_err(|problem| reader.wrong(text.span(), &key, problem))?, key, text));
    }
    let mut templates = Templates::new(secrets);
    for (place, name, source, key, text) in resolved {
        templates.add(place, &name, source).map_err(|problem| reader.wrong(text.span(), &key, templates.hide(&problem)))?;
    }
    let sample = templates.sample(Place::Url, "url").map_err(|problem| reader.wrong(raw.url.span(), "http.url", problem))?;
    reader.check_url("http.url", &raw.url, &sample, raw.unencrypted)?;
    Ok((templates, headers, body))
}

fn pointer(reader: &Reader<'_>, key: &str, text: Option<&Text>) -> Result<Option<String>, GatewayError> {
    let Some(text) = text else { return Ok(None) };
    if text.get_ref().starts_with('/') {
        return Ok(Some(text.get_ref().clone()));
    }
    Err(reader.wrong(text.span(), key, "is no place in JSON; write one such as /messages/0/id"))
}

fn judge(reader: &Reader<'_>, raw: &RawHttp) -> Result<Judge, GatewayError> {
    let conditions = |key: &str, raw: &[RawCondition]| -> Result<Vec<Condition>, GatewayError> {
        raw.iter().map(|raw| condition(reader, key, raw)).collect()
    };
    let mut success = conditions("http.success", raw.success.as_deref().unwrap_or_default())?;
    // A provider that answers errors with 200 needs a condition on the body, but none takes a message with an error's status.
    if success.iter().all(|condition| condition.status.is_empty()) {
        success.insert(0, Condition { status: vec![(200, 299)], ..Condition::default() });
    }
    Ok(Judge {
        success,
        permanent: conditions("http.permanent", &raw.permanent)?,
        in_doubt: raw.in_doubt.clone().unwrap_or_else(|| IN_DOUBT.to_vec()),
        error: pointer(reader, "http.error", raw.error.as_ref())?,
    })
}

fn condition(reader: &Reader<'_>, key: &str, raw: &RawCondition) -> Result<Condition, GatewayError> {
    let status: Vec<StatusRange> = raw
        .status
        .iter()
        .map(|text| {
            let range = status_range(text.get_ref());
            range.ok_or_else(|| reader.wrong(text.span(), key, "`status` is no range; write \"202\" or \"200-299\""))
        })
        .collect::<Result<_, _>>()?;
    let at = pointer(reader, &format!("{key}.at"), raw.at.as_ref())?;
    let matches = match &raw.matches {
        None => None,
        Some(text) => Some(Regex::new(text.get_ref()).map_err(|error| {
            reader.wrong(text.span(), &format!("{key}.matches"), format!("is no regular expression: {error}"))
        })?),
    };
    if let Some(place) = raw.at.as_ref().filter(|_| raw.equals.is_empty() && matches.is_none()) {
        return Err(reader.wrong(place.span(), key, "says where but not what; write `equals` or `matches`"));
    }
    Ok(Condition { status, at, equals: raw.equals.clone(), matches })
}

fn status_range(text: &str) -> Option<StatusRange> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| text.trim().parse::<u16>().ok().filter(|status| (100..600).contains(status));
    let range = (status(first)?, status(last)?);
    (range.0 <= range.1).then_some(range)
}

fn price_at(reader: &Reader<'_>, raw: &RawPriceAt) -> Result<PriceAt, GatewayError> {
    let at = pointer(reader, "http.price.at", Some(&raw.at))?.unwrap_or_default();
    let currency = Currency::new(raw.currency.get_ref());
    let currency = currency.map_err(|error| reader.wrong(raw.currency.span(), "http.price.currency", error.to_string()))?;
    Ok(PriceAt { at, currency })
}

fn receipt_plan(reader: &Reader<'_>, secrets: &mut Secrets, raw: &Spanned<RawReceipt>) -> Result<ReceiptPlan, GatewayError> {
    let (span, raw) = (raw.span(), raw.get_ref());
    let key = "http.receipt";
    let secret = match (&raw.secret_header, &raw.secret_query) {
        (Some(shared), None) => {
            let name = shared.name.get_ref().to_ascii_lowercase();
            SharedSecret::Header(name, reader.secret(secrets, "http.receipt.secret_header.value", &shared.value)?)
        }
        (None, Some(shared)) => {
            let name = shared.name.get_ref().clone();
            SharedSecret::Query(name, reader.secret(secrets, "http.receipt.secret_query.value", &shared.value)?)
        }
        _ => {
            let problem = "needs one of `secret_header` and `secret_query`, so that nobody else can tell of deliveries";
            return Err(reader.wrong(span, key, problem));
        }
    };
    let is_json = raw.id.get_ref().starts_with('/');
    let places = [Some(&raw.id), Some(&raw.status), raw.error.as_ref()];
    if let Some(odd) = places.into_iter().flatten().find(|place| place.get_ref().starts_with('/') != is_json) {
        return Err(reader.wrong(odd.span(), key, "mixes places in JSON, which begin with /, with fields of a form"));
    }
    if let Some(list) = raw.list.as_ref().filter(|_| !is_json) {
        return Err(reader.wrong(list.span(), key, "has a `list`, but a form has none; write places in JSON"));
    }
    Ok(ReceiptPlan {
        secret,
        list: pointer(reader, "http.receipt.list", raw.list.as_ref())?,
        id: raw.id.get_ref().clone(),
        status: raw.status.get_ref().clone(),
        error: raw.error.as_ref().map(|error| error.get_ref().clone()),
        delivered: raw.delivered.clone(),
        failed: raw.failed.clone(),
        answer: raw.answer.clone().unwrap_or_default(),
    })
}
