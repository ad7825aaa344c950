//! Reads the configuration of text messages: what stands in the file, checked, with the line of what is wrong.

use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;
use url::{Host, Url};
use vocabulary::words::words;
use vocabulary::{Currency, MessageClass, is_country};

use crate::error::GatewayError;
use crate::secrets::{Secret, SecretOf, Secrets};
use crate::sms::SmsPrice;
use crate::sms_config::{CONFIG_BYTES_MAX, Countries, SenderFor, Senders, SmsRoute, TIMEOUT_SECONDS, TIMEOUT_SECONDS_MAX, Way};
use crate::sms_config_http::{self, RawHttp};
use crate::twilio::{BASE_URL, TwilioPlan};

/// A text with its place, for errors.
pub(crate) type Text = Spanned<String>;

words!(
    /// How a gateway is spoken to.
    Kind {
        /// By templates.
        Http = "http",
        /// By the API of Twilio.
        Twilio = "twilio",
    }
);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    gateway: Vec<Spanned<RawGateway>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGateway {
    name: Text,
    kind: Kind,
    classes: Vec<MessageClass>,
    countries: Option<Vec<Text>>,
    #[serde(default)]
    named_only: bool,
    sender: Option<Text>,
    #[serde(default)]
    senders: Vec<RawSender>,
    messages_per_second: Option<Spanned<f64>>,
    timeout_seconds: Option<Spanned<u64>>,
    #[serde(default)]
    price: Vec<RawPrice>,
    http: Option<RawHttp>,
    twilio: Option<RawTwilio>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSender {
    #[serde(default)]
    classes: Vec<MessageClass>,
    countries: Option<Vec<Text>>,
    sender: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrice {
    countries: Option<Vec<Text>>,
    per_segment: Text,
    currency: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTwilio {
    account: Text,
    token: Text,
    messaging_service: Option<Text>,
    status_callback: Option<Text>,
    base_url: Option<Text>,
}

/// Where in the text something is, and whose secrets are read.
pub(crate) struct Reader<'a> {
    text: &'a str,
    gateway: &'a str,
    pub(crate) secret_of: SecretOf<'a>,
}

impl Reader<'_> {
    /// An error about a key of this gateway.
    pub(crate) fn wrong(&self, span: Range<usize>, key: &str, problem: impl Into<String>) -> GatewayError {
        let field = if self.gateway.is_empty() { key.to_owned() } else { format!("gateway `{}`, {key}", self.gateway) };
        GatewayError::Config { line: line_of(self.text, span.start), field, problem: problem.into() }
    }

    /// A text with the values of its secrets in it.
    pub(crate) fn resolved(&self, secrets: &mut Secrets, key: &str, text: &Text) -> Result<String, GatewayError> {
        let resolved = secrets.resolve(text.get_ref(), self.secret_of, |_, value| value.to_owned());
        resolved.map_err(|problem| self.wrong(text.span(), key, problem))
    }

    /// A text that is a secret as a whole.
    pub(crate) fn secret(&self, secrets: &mut Secrets, key: &str, text: &Text) -> Result<Secret, GatewayError> {
        secrets.whole(text.get_ref(), self.secret_of).map_err(|problem| self.wrong(text.span(), key, problem))
    }

    fn countries(&self, key: &str, codes: Option<&[Text]>) -> Result<Countries, GatewayError> {
        let Some(codes) = codes else { return Ok(Countries::default()) };
        let mut countries = Vec::new();
        for code in codes {
            let text = code.get_ref();
            if !is_country(text) {
                let problem = format!("`{text}` is no country; write its ISO 3166 code in capital letters, such as FR");
                return Err(self.wrong(code.span(), key, problem));
            }
            countries.push(text.clone());
        }
        Ok(Countries(countries))
    }

    /// Checks that an address is one, and that nothing secret travels in the clear.
    pub(crate) fn check_url(&self, key: &str, place: &Text, url: &str, is_open: bool) -> Result<(), GatewayError> {
        let url = Url::parse(url).ok().filter(|url| url.has_host());
        let url = url.ok_or_else(|| self.wrong(place.span(), key, "is no address; begin it with https://"))?;
        let is_here = match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        match url.scheme() {
            "https" => Ok(()),
            "http" if is_here || is_open => Ok(()),
            _ => Err(self.wrong(place.span(), key, "would send messages and credentials unencrypted; begin it with https://")),
        }
    }
}

pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    let end = (0..=offset.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    1 + text[..end].matches('\n').count()
}

/// Reads all gateways.
pub(crate) fn read(text: &str, secret_of: SecretOf<'_>) -> Result<Vec<SmsRoute>, GatewayError> {
    let plain = Reader { text, gateway: "", secret_of };
    if text.len() > CONFIG_BYTES_MAX {
        return Err(plain.wrong(0..0, "text", format!("has {} bytes; the limit is {CONFIG_BYTES_MAX}", text.len())));
    }
    // The parser's message names keys; the line it would show with it may hold a password.
    let file: RawFile = toml::from_str(text)
        .map_err(|error| plain.wrong(error.span().unwrap_or(0..0), "gateways for text messages", error.message()))?;
    let mut routes: Vec<SmsRoute> = Vec::new();
    for raw in file.gateway {
        let span = raw.span();
        let raw = raw.into_inner();
        let name = raw.name.get_ref().clone();
        let reader = Reader { text, gateway: &name, secret_of };
        let route = route(&reader, span.clone(), raw)?;
        if let Some(problem) = routes.iter().find_map(|other| clash(other, &route)) {
            return Err(reader.wrong(span, "countries", problem));
        }
        routes.push(route);
    }
    Ok(routes)
}

/// What two gateways both claim.
fn clash(one: &SmsRoute, other: &SmsRoute) -> Option<String> {
    if one.name == other.name {
        return Some("an earlier gateway has the same name; choose another".to_owned());
    }
    if one.named_only || other.named_only {
        return None;
    }
    let class = one.classes.iter().find(|class| other.classes.contains(class))?;
    let claimed = match (one.countries.is_all(), other.countries.is_all()) {
        (true, true) => "every country".to_owned(),
        _ => one.countries.0.iter().find(|country| other.countries.0.contains(country))?.clone(),
    };
    Some(format!(
        "`{}` takes {class} to {claimed} already; leave it to one of them, or write `named_only = true` for one on trial",
        one.name
    ))
}

fn route(reader: &Reader<'_>, span: Range<usize>, raw: RawGateway) -> Result<SmsRoute, GatewayError> {
    let name = raw.name.get_ref().trim().to_owned();
    if name.is_empty() {
        return Err(reader.wrong(raw.name.span(), "name", "is empty; write one"));
    }
    if raw.classes.is_empty() {
        return Err(reader.wrong(span, "classes", "is empty; write some of verification, transactional and marketing"));
    }
    if raw.countries.as_ref().is_some_and(Vec::is_empty) {
        return Err(reader.wrong(span, "countries", "is empty; name countries, or leave it out for all others"));
    }
    let timeout_seconds = raw.timeout_seconds.as_ref().map_or(TIMEOUT_SECONDS, |seconds| *seconds.get_ref());
    if timeout_seconds == 0 || timeout_seconds > TIMEOUT_SECONDS_MAX {
        let place = raw.timeout_seconds.as_ref().map_or(span, Spanned::span);
        return Err(reader.wrong(place, "timeout_seconds", format!("is {timeout_seconds}; write 1 to {TIMEOUT_SECONDS_MAX}")));
    }
    if let Some(rate) = raw.messages_per_second.as_ref().filter(|rate| !rate.get_ref().is_finite() || *rate.get_ref() <= 0.0) {
        return Err(reader.wrong(rate.span(), "messages_per_second", "is not above 0; leave it out where nothing is known"));
    }
    let senders = senders(reader, raw.sender.as_ref(), &raw.senders)?;
    let way = match (raw.kind, &raw.http, &raw.twilio) {
        (Kind::Http, Some(http), None) => {
            Way::Http(Arc::new(sms_config_http::plan(reader, &name, http, senders.clone(), timeout_seconds)?))
        }
        (Kind::Twilio, None, Some(twilio)) => {
            Way::Twilio(Arc::new(twilio_plan(reader, &name, twilio, senders.clone(), timeout_seconds)?))
        }
        (kind, ..) => {
            let problem = format!("is {kind}; write [gateway.{kind}] below it, and no table of another kind");
            return Err(reader.wrong(span, "kind", problem));
        }
    };
    Ok(SmsRoute {
        name,
        classes: raw.classes,
        countries: reader.countries("countries", raw.countries.as_deref())?,
        named_only: raw.named_only,
        senders,
        messages_per_second: raw.messages_per_second.map(Spanned::into_inner),
        prices: raw.price.iter().map(|price| price_of(reader, price)).collect::<Result<_, _>>()?,
        way,
    })
}

fn senders(reader: &Reader<'_>, sender: Option<&Text>, particular: &[RawSender]) -> Result<Senders, GatewayError> {
    let named = |text: &Text| match text.get_ref().trim() {
        "" => Err(reader.wrong(text.span(), "sender", "is empty; write the id that recipients see")),
        sender => Ok(sender.to_owned()),
    };
    let entry = |raw: &RawSender| {
        let countries = reader.countries("senders.countries", raw.countries.as_deref())?;
        Ok(SenderFor { classes: raw.classes.clone(), countries, sender: named(&raw.sender)? })
    };
    Ok(Senders {
        sender: sender.map(named).transpose()?,
        particular: particular.iter().map(entry).collect::<Result<_, GatewayError>>()?,
    })
}

fn price_of(reader: &Reader<'_>, raw: &RawPrice) -> Result<(Countries, SmsPrice), GatewayError> {
    let currency = Currency::new(raw.currency.get_ref());
    let currency = currency.map_err(|error| reader.wrong(raw.currency.span(), "price.currency", error.to_string()))?;
    let price = match raw.per_segment.get_ref().trim() {
        text if text.starts_with('-') => Err("is negative; write what a segment costs".to_owned()),
        text => SmsPrice::read(text, currency),
    };
    let price = price.map_err(|problem| reader.wrong(raw.per_segment.span(), "price.per_segment", problem))?;
    Ok((reader.countries("price.countries", raw.countries.as_deref())?, price))
}

fn twilio_plan(
    reader: &Reader<'_>,
    name: &str,
    raw: &RawTwilio,
    senders: Senders,
    timeout_seconds: u64,
) -> Result<TwilioPlan, GatewayError> {
    let mut secrets = Secrets::default();
    let account = reader.resolved(&mut secrets, "twilio.account", &raw.account)?;
    if account.is_empty() || !account.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(reader.wrong(raw.account.span(), "twilio.account", "is no account's SID; it begins with AC"));
    }
    let token = reader.secret(&mut secrets, "twilio.token", &raw.token)?;
    if senders.sender.is_none() && raw.messaging_service.is_none() {
        let problem = "stands alone; write `sender` above it, or `messaging_service` below it";
        return Err(reader.wrong(raw.account.span(), "twilio.account", problem));
    }
    let mut resolved = |key, text: &Option<Text>| text.as_ref().map(|text| reader.resolved(&mut secrets, key, text)).transpose();
    let messaging_service = resolved("twilio.messaging_service", &raw.messaging_service)?;
    let status_callback = resolved("twilio.status_callback", &raw.status_callback)?;
    let base_url = resolved("twilio.base_url", &raw.base_url)?.unwrap_or_else(|| BASE_URL.to_owned());
    for (key, place, url) in [
        ("twilio.base_url", &raw.base_url, Some(&base_url)),
        ("twilio.status_callback", &raw.status_callback, status_callback.as_ref()),
    ] {
        if let Some((place, url)) = place.as_ref().zip(url) {
            reader.check_url(key, place, url, false)?;
        }
    }
    Ok(TwilioPlan {
        name: name.to_owned(),
        base_url,
        account,
        token,
        messaging_service,
        status_callback,
        senders,
        secrets,
        timeout_seconds,
    })
}

#[cfg(test)]
#[path = "sms_config_tests.rs"]
mod tests;
