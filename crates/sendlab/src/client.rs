//! A client of the public API, and how a command finds a server to speak to.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use vocabulary::Currency;

use crate::cli::Place;
use crate::master_key::MASTER_KEY;
use crate::server::{Door, RatesSource, Server, Settings, read_door};
use crate::{SystemClock, SystemIds};

/// A server on this machine answers the question whether it lives within this time, or it does not live.
const ALIVE_WAIT: Duration = Duration::from_secs(2);

/// The wait when a server says "later" and not when.
const LATER_DEFAULT: Duration = Duration::from_secs(1);

/// A server that names a longer wait is asked earlier, so that an import notices when it is well again.
const LATER_MAX: Duration = Duration::from_secs(60);

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
    ) -> anyhow::Result<(StatusCode, Vec<u8>)> {
        let request = self.http.request(method, format!("{}{path}", self.door.url)).bearer_auth(&self.door.key);
        let answer = request.header("content-type", content_type).body(body).send().await;
        let answer = answer.with_context(|| format!("the server at {} does not answer", self.door.url))?;
        let status = answer.status();
        Ok((status, answer.bytes().await.context("the server's answer broke off")?.into()))
    }

    /// GET, answered as JSON.
    ///
    /// # Errors
    /// When the server does not answer, or refuses: then with its message and hint.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::GET, path, "application/json", Vec::new()).await
    }

    /// GET, answered as JSON; `None` where the server says that nothing changed.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn get_changed(&self, path: &str) -> anyhow::Result<Option<Value>> {
        let (status, bytes) = self.request(Method::GET, path, "application/json", Vec::new()).await?;
        if status == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        if !status.is_success() {
            bail!(refusal(status, &bytes))
        }
        Ok(Some(serde_json::from_slice(&bytes).context("the server's answer is no JSON")?))
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
        let bytes = self.bytes(method, path, content_type, body).await?;
        String::from_utf8(bytes).context("the server's answer is no text")
    }

    /// Any request, answered as it is.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn bytes(&self, method: Method, path: &str, content_type: &str, body: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        let (status, bytes) = self.request(method, path, content_type, body).await?;
        if status.is_success() { Ok(bytes) } else { bail!(refusal(status, &bytes)) }
    }

    /// Sends newline-delimited JSON; an answer that lists rejected lines is no failure.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn lines(&self, path: &str, body: Vec<u8>) -> anyhow::Result<Value> {
        let (status, bytes) = self.request(Method::POST, path, "application/x-ndjson", body).await?;
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(answer) if answer.get("errors").is_some() => Ok(answer),
            _ => bail!(refusal(status, &bytes)),
        }
    }

    /// Sends newline-delimited JSON once, for a caller that sends it again when the server says so or is not heard.
    ///
    /// # Errors
    /// When the server refuses the request for good.
    pub(crate) async fn offer(&self, path: &str, body: Vec<u8>) -> anyhow::Result<Heard> {
        let request = self.http.post(format!("{}{path}", self.door.url)).bearer_auth(&self.door.key);
        let sent = request.header("content-type", "application/x-ndjson").body(body).send().await;
        let answer = match sent.with_context(|| format!("the server at {} does not answer", self.door.url)) {
            Ok(answer) => answer,
            Err(error) => return Ok(Heard::Broken(error)),
        };
        let status = answer.status();
        let wait = answer.headers().get("retry-after").and_then(|wait| wait.to_str().ok()?.trim().parse().ok());
        let text = match answer.text().await.context("the server's answer broke off") {
            Ok(text) => text,
            Err(error) => return Ok(Heard::Broken(error)),
        };
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            let wait = wait.map_or(LATER_DEFAULT, Duration::from_secs).min(LATER_MAX);
            return Ok(Heard::Later { wait, why: refusal(status, text.as_bytes()) });
        }
        match serde_json::from_str::<Value>(&text) {
            Ok(answer) if answer.get("errors").is_some() => Ok(Heard::Answer(answer)),
            _ => bail!(refusal(status, text.as_bytes())),
        }
    }
}

/// What came of a request that may be sent again.
#[derive(Debug)]
pub(crate) enum Heard {
    /// The answer, with the lines that were rejected.
    Answer(Value),
    /// The server cannot take it now.
    Later {
        /// When to send it again.
        wait: Duration,
        /// Why, in the server's words.
        why: String,
    },
    /// Nothing was heard. The request may have been taken or not.
    Broken(anyhow::Error),
}

/// The server's refusal in words.
fn refusal(status: StatusCode, bytes: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let word = |name: &str| answer["error"][name].as_str().filter(|word| !word.is_empty());
    match (word("message"), word("hint")) {
        (Some(message), Some(hint)) => format!("{message}\n  {hint}"),
        (Some(message), None) => message.to_owned(),
        _ => format!("the server answered {status}: {}", String::from_utf8_lossy(bytes)),
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
    settings.master_key = variable(MASTER_KEY);
    settings.rates = place.rates.clone().map_or(RatesSource::None, RatesSource::File);
    Ok(settings)
}

/// A variable of the environment, where it is set and not empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    variables().find(|(known, value)| known == name && !value.trim().is_empty()).map(|(_, value)| value)
}

/// The environment's variables that are text.
fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}
