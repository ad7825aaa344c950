//! One request to a provider, and what can be said of it when the answer is late, broken or missing.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Request};
use tracing::debug;

use crate::error::{GatewayError, explained};
use crate::smtp::HandOver;

/// How long the connection may take at most; the answer has the configured time after that.
const CONNECT_SECONDS_MAX: u64 = 10;
/// A connection that was idle for longer is not used again: several servers close theirs after five seconds, and a request
/// that meets the closing is in doubt.
const IDLE_SECONDS_MAX: u64 = 4;
/// What is read of an answer. Providers' answers have less than one KiB.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How much of an answer without a text of its own is told.
const TOLD_CHARS_MAX: usize = 200;

/// The statuses after which the provider may have the message: it failed on the way, or somebody between lost its answer.
/// 520 and 524 are those of a widespread proxy for an answer that was broken or late.
pub(crate) const IN_DOUBT: [u16; 5] = [500, 502, 504, 520, 524];

/// Too many requests, and not now: the provider says that it has not taken the message.
pub(crate) fn is_later(status: u16) -> bool {
    matches!(status, 429 | 503)
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Empty where it broke off.
    pub(crate) body: String,
    /// Why the body is not there, where it broke off after the status.
    pub(crate) broken: Option<String>,
}

impl Answer {
    /// The status, and the provider's words or the beginning of what it sent.
    pub(crate) fn told(&self, words: Option<&str>) -> String {
        let words = words.unwrap_or(&self.body);
        let line: String = words.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(TOLD_CHARS_MAX).collect();
        let status = format!("HTTP {}", self.status);
        if line.is_empty() { status } else { format!("{status}: {line}") }
    }
}

/// A client that makes one attempt: no redirects, because who answers with one has not taken the message, and no proxies of
/// the environment.
pub(crate) fn client(timeout_seconds: u64) -> Result<Client, GatewayError> {
    let connect = Duration::from_secs(timeout_seconds.min(CONNECT_SECONDS_MAX));
    Client::builder()
        .redirect(Policy::none())
        .referer(false)
        .no_proxy()
        .user_agent("Sendlab")
        .connect_timeout(connect)
        .timeout(connect + Duration::from_secs(timeout_seconds))
        .pool_idle_timeout(Duration::from_secs(IDLE_SECONDS_MAX))
        .build()
        .map_err(|source| GatewayError::Client { source })
}

/// Sends the request once.
///
/// # Errors
/// What is to be said of the message when there is no answer, without the address, which may hold secrets.
pub(crate) async fn exchange(client: &Client, request: Request) -> Result<Answer, HandOver> {
    let mut response = match client.execute(request).await {
        Ok(response) => response,
        Err(error) => return Err(unanswered(error)),
    };
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while body.len() < ANSWER_BYTES_MAX {
        match response.chunk().await {
            Ok(Some(bytes)) => body.extend_from_slice(&bytes),
            Ok(None) => break,
            Err(error) => {
                let broken = Some(explained(&error.without_url()));
                return Ok(Answer { status, body: String::new(), broken });
            }
        }
    }
    Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned(), broken: None })
}

fn unanswered(error: reqwest::Error) -> HandOver {
    let (is_connect, is_builder, is_timeout) = (error.is_connect(), error.is_builder(), error.is_timeout());
    let why = explained(&error.without_url());
    debug!(%why, "no answer to a text message");
    if is_builder {
        HandOver::Refused { reply: format!("not sent: {why}"), permanent: true }
    } else if is_connect {
        HandOver::NotSent { why: format!("no connection: {why}") }
    } else if is_timeout {
        HandOver::InDoubt { why: format!("no answer in time: {why}") }
    } else {
        HandOver::InDoubt { why: format!("the connection broke: {why}") }
    }
}
