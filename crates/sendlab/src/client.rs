//! A client of the public API, and how a command finds a server to speak to.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use vocabulary::Currency;

use crate::cli::Place;
use crate::server::{Door, RatesSource, Server, Settings, read_door};
use crate::{SystemClock, SystemIds};

/// A server on this machine answers the question whether it lives within this time, or it does not live.
const ALIVE_WAIT: Duration = Duration::from_secs(2);

/// Speaks to one server.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    door: Door,
}

impl Client {
    /// A client of the server behind `door`.
    #[must_use]
    pub fn new(door: Door) -> Self {
        Self { http: reqwest::Client::new(), door }
    }

    /// The server's address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.door.url
    }

    async fn is_alive(&self) -> bool {
        let asked = self.http.get(format!("{}/healthz", self.door.url)).timeout(ALIVE_WAIT).send().await;
        asked.is_ok_and(|answer| answer.status().is_success())
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<(StatusCode, String)> {
        let request = self.http.request(method, format!("{}{path}", self.door.url)).bearer_auth(&self.door.key);
        let answer = request.header("content-type", content_type).body(body).send().await;
        let answer = answer.with_context(|| format!("the server at {} does not answer", self.door.url))?;
        let status = answer.status();
        Ok((status, answer.text().await.context("the server's answer broke off")?))
    }

    /// GET, answered as JSON.
    ///
    /// # Errors
    /// When the server does not answer, or refuses: then with its message and hint.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::GET, path, "application/json", Vec::new()).await
    }

    /// Any request, answered as JSON.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn send(&self, method: Method, path: &str, content_type: &str, body: Vec<u8>) -> anyhow::Result<Value> {
        let text = self.text(method, path, content_type, body).await?;
        if text.is_empty() { Ok(Value::Null) } else { serde_json::from_str(&text).context("the server's answer is no JSON") }
    }

    /// Any request, answered as text.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn text(&self, method: Method, path: &str, content_type: &str, body: Vec<u8>) -> anyhow::Result<String> {
        let (status, text) = self.request(method, path, content_type, body).await?;
        if status.is_success() { Ok(text) } else { bail!(refusal(status, &text)) }
    }

    /// Sends newline-delimited JSON; an answer that lists rejected lines is no failure.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn lines(&self, path: &str, body: Vec<u8>) -> anyhow::Result<Value> {
        let (status, text) = self.request(Method::POST, path, "application/x-ndjson", body).await?;
        match serde_json::from_str::<Value>(&text) {
            Ok(answer) if answer.get("errors").is_some() => Ok(answer),
            _ => bail!(refusal(status, &text)),
        }
    }
}

/// The server's refusal in words.
fn refusal(status: StatusCode, text: &str) -> String {
    let answer: Value = serde_json::from_str(text).unwrap_or_default();
    let word = |name: &str| answer["error"][name].as_str().filter(|word| !word.is_empty());
    match (word("message"), word("hint")) {
        (Some(message), Some(hint)) => format!("{message}\n  {hint}"),
        (Some(message), None) => message.to_owned(),
        _ => format!("the server answered {status}: {text}"),
    }
}

/// A client, and the server it had to start, if any.
pub(crate) struct Session {
    pub(crate) client: Client,
    own: Option<Server>,
}

impl Session {
    /// Finds the server a command should speak to, or starts one for the command.
    pub(crate) async fn open(place: &Place) -> anyhow::Result<Self> {
        if let (Some(url), Some(key)) = (&place.server, &place.key) {
            let door = Door { url: url.trim_end_matches('/').to_owned(), key: key.clone() };
            return Ok(Self { client: Client::new(door), own: None });
        }
        if let Some(door) = read_door(&place.data) {
            let client = Client::new(door);
            if client.is_alive().await {
                return Ok(Self { client, own: None });
            }
        }
        let settings = Settings { campaigns: false, ..settings(place)? };
        let server = Server::start(settings, Arc::new(SystemClock), Arc::new(SystemIds)).await?;
        Ok(Self { client: Client::new(server.door.clone()), own: Some(server) })
    }

    /// Whether the server lives only as long as the command.
    pub(crate) fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Ends the server that was started for the command, with everything landed.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        match self.own {
            Some(server) => server.stop().await,
            None => Ok(()),
        }
    }
}

/// The settings that all commands share.
pub(crate) fn settings(place: &Place) -> anyhow::Result<Settings> {
    let mut settings = Settings::new(&place.data);
    settings.base_currency = place.base_currency.as_deref().map(Currency::new).transpose().context("--base-currency")?;
    settings.lake = place.lake.clone();
    settings.variables = variables().filter(|(name, _)| name.starts_with("AWS_")).collect();
    settings.rates = place.rates.clone().map_or(RatesSource::None, RatesSource::File);
    Ok(settings)
}

/// The environment's variables that are text.
fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}
