//! A small client of the public HTTP interface: all the simulator does to the server goes through here.

use std::collections::BTreeMap;
use std::time::Duration;

use experiment::Readout;
use reqwest::header::{CONTENT_TYPE, HeaderValue, LOCATION, USER_AGENT};
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use vocabulary::{Campaign, Experiment, Recommendation};

use crate::error::SimulatorError;

/// How long one request may take, in wall time: far longer than any good answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// A shopper tries a link again when the connection broke, as browsers do.
const VISIT_TRIES: u32 = 3;
/// The longest part of an answer that an error repeats.
const ANSWER_CHARS_MAX: usize = 600;

/// One server and the right to talk to it.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    key: String,
}

/// A contact as the shop's own system knows them.
#[derive(Debug, Clone, Serialize)]
pub struct ContactRow {
    /// The shop's own id.
    pub key: String,
    /// Their address.
    pub email: String,
    /// How they agreed to marketing by e-mail.
    pub email_consent: &'static str,
    /// How they agreed to have their data moved abroad, which some countries ask for beside.
    pub cross_border_consent: &'static str,
    /// When they did.
    pub consent_at: String,
    /// Where they did.
    pub consent_source: &'static str,
    /// ISO 3166 alpha-2.
    pub country: &'static str,
    /// BCP 47.
    pub language: &'static str,
    /// IANA name.
    pub time_zone: &'static str,
    /// The shop's own attributes.
    pub attributes: BTreeMap<&'static str, String>,
}

/// An order as the shop's own system tells it.
#[derive(Debug, Clone, Serialize)]
pub struct OrderRow {
    /// Always `order`.
    pub kind: &'static str,
    /// The same event told twice is kept once.
    pub event_id: String,
    /// When it was placed.
    pub event_time: String,
    /// The shop's own id of the customer.
    pub contact: String,
    /// The shop's own id of the order.
    pub order_id: String,
    /// In major units.
    pub amount: String,
    /// ISO 4217.
    pub currency: &'static str,
    /// ISO 3166 alpha-2.
    pub market: &'static str,
}

/// Where a campaign stands.
#[derive(Debug, Clone, Deserialize)]
pub struct CampaignStatus {
    /// `draft`, `planning`, `sending`, `paused`, `done` or `failed`.
    pub state: String,
    /// How far it is.
    pub progress: CampaignProgress,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
}

/// How many messages of a campaign are where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignProgress {
    /// In the plan.
    pub planned: u64,
    /// Of those, due by now.
    pub due: u64,
    /// Taken in hand.
    pub claimed: u64,
    /// Handed over.
    pub accepted: u64,
    /// Not taken by the mail server.
    pub refused: u64,
    /// Perhaps handed over.
    pub in_doubt: u64,
    /// Left out, because the recipient unsubscribed or has no address.
    pub skipped: u64,
}

impl CampaignProgress {
    /// How many messages need nothing more.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.accepted + self.refused + self.in_doubt + self.skipped
    }
}

/// What a decision gave.
#[derive(Debug, Clone, Deserialize)]
pub struct Decision {
    /// What it rests on.
    pub readout: Readout,
    /// What the senders use now, if anything was ever recommended.
    pub recommendation: Option<Recommendation>,
    /// Whether it is another one than before.
    pub changed: bool,
}

impl Client {
    /// A client of the server at `url` with that API key.
    ///
    /// # Errors
    /// [`SimulatorError::Unreachable`] when this machine cannot make HTTP connections at all.
    pub fn new(url: &str, key: &str) -> Result<Self, SimulatorError> {
        let http = reqwest::Client::builder().redirect(Policy::none()).timeout(REQUEST_TIMEOUT).tcp_nodelay(true).build();
        let http = http.map_err(|source| SimulatorError::Unreachable { what: "prepare HTTP connections".to_owned(), source })?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned(), key: key.to_owned() })
    }

    /// The server's address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Creates or updates contacts; all must be taken.
    ///
    /// # Errors
    /// [`SimulatorError`] when the server cannot be reached or refuses one.
    pub async fn put_contacts(&self, rows: &[ContactRow]) -> Result<(), SimulatorError> {
        #[derive(Deserialize)]
        struct Answer {
            created: u64,
            updated: u64,
            unchanged: u64,
        }
        let count = |answer: &Answer| answer.created + answer.updated + answer.unchanged;
        self.put_rows("create contacts", "/v1/contacts", rows, count).await
    }

    /// Tells orders; all must be taken or known already.
    ///
    /// # Errors
    /// [`SimulatorError`] when the server cannot be reached or refuses one.
    pub async fn tell_orders(&self, rows: &[OrderRow]) -> Result<(), SimulatorError> {
        #[derive(Deserialize)]
        struct Answer {
            accepted: u64,
            duplicate: u64,
        }
        self.put_rows("tell orders", "/v1/events", rows, |answer: &Answer| answer.accepted + answer.duplicate).await
    }

    async fn put_rows<R: Serialize, A: DeserializeOwned>(
        &self,
        what: &str,
        path: &str,
        rows: &[R],
        count: impl Fn(&A) -> u64,
    ) -> Result<(), SimulatorError> {
        let request = self.request(Method::POST, path).header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let text = self.send(what, request.body(to_json(rows))).await?;
        let taken = count(&understand(what, &text)?);
        if taken == rows.len() as u64 {
            return Ok(());
        }
        Err(SimulatorError::RowsRefused { what: what.to_owned(), sent: rows.len(), taken, answer: shortened(&text) })
    }

    /// Creates or changes an experiment.
    ///
    /// # Errors
    /// [`SimulatorError`] when the server cannot be reached or refuses it.
    pub async fn put_experiment(&self, experiment: &Experiment) -> Result<(), SimulatorError> {
        self.put("apply the experiment", "/v1/experiments", experiment).await
    }

    /// Creates or changes a campaign.
    ///
    /// # Errors
    /// [`SimulatorError`] when the server cannot be reached or refuses it.
    pub async fn put_campaign(&self, campaign: &Campaign) -> Result<(), SimulatorError> {
        self.put("apply the campaign", "/v1/campaigns", campaign).await
    }

    async fn put<T: Serialize + ?Sized>(&self, what: &str, path: &str, body: &T) -> Result<(), SimulatorError> {
        let request = self.request(Method::PUT, path).header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.send(what, request.body(to_json(body))).await.map(drop)
    }

    /// Starts a campaign.
    ///
    /// # Errors
    /// [`SimulatorError`] when the server cannot be reached or refuses.
    pub async fn start_campaign(&self, id: &str) -> Result<(), SimulatorError> {
        self.send("start the campaign", self.request(Method::POST, &format!("/v1/campaigns/{id}/start"))).await.map(drop)
    }

    /// Where a campaign stands.
    ///
    /// # Errors
    /// [`SimulatorError`] when the server cannot be reached or refuses.
    pub async fn campaign(&self, id: &str) -> Result<CampaignStatus, SimulatorError> {
        self.get("read the campaign", &format!("/v1/campaigns/{id}")).await
    }

    /// How many acknowledged events SQL cannot see yet.
    ///
    /// # Errors
    /// [`SimulatorError`] when the server cannot be reached or refuses.
    pub async fn unlanded(&self) -> Result<u64, SimulatorError> {
        #[derive(Deserialize)]
        struct Answer {
            unlanded: u64,
        }
        let answer: Answer = self.get("read the state of the lake", "/v1/lake").await?;
        Ok(answer.unlanded)
    }

    /// Reads an experiment out now.
    ///
    /// # Errors
    /// [`SimulatorError`] when the server cannot be reached or refuses.
    pub async fn readout(&self, experiment: &str) -> Result<Readout, SimulatorError> {
        self.get("read the experiment out", &format!("/v1/experiments/{experiment}/readout")).await
    }

    /// Reads an experiment out and makes the verdict what senders use.
    ///
    /// # Errors
    /// [`SimulatorError`] when the server cannot be reached or refuses.
    pub async fn decide(&self, experiment: &str) -> Result<Decision, SimulatorError> {
        let what = "decide the experiment";
        let text = self.send(what, self.request(Method::POST, &format!("/v1/experiments/{experiment}/decide"))).await?;
        understand(what, &text)
    }

    /// Loads a picture of a mail, as a mail program with that user agent does.
    ///
    /// # Errors
    /// [`SimulatorError`] when the link leads elsewhere or the answer is not a picture.
    pub async fn load_image(&self, url: &str, user_agent: &str) -> Result<(), SimulatorError> {
        self.visit("load a picture of a mail", Method::GET, url, user_agent, StatusCode::OK).await.map(drop)
    }

    /// Follows a link of a mail as far as the server, and gives where it leads.
    ///
    /// # Errors
    /// [`SimulatorError`] when the link leads elsewhere or the answer is no redirect.
    pub async fn follow_link(&self, url: &str, user_agent: &str) -> Result<String, SimulatorError> {
        let what = "follow a link of a mail";
        let target = self.visit(what, Method::GET, url, user_agent, StatusCode::FOUND).await?;
        target.ok_or_else(|| SimulatorError::Refused {
            what: what.to_owned(),
            status: StatusCode::FOUND.as_u16(),
            answer: "the redirect names no target".to_owned(),
        })
    }

    /// Unsubscribes with one click (RFC 8058).
    ///
    /// # Errors
    /// [`SimulatorError`] when the link leads elsewhere or the answer is not plain success.
    pub async fn unsubscribe(&self, url: &str, user_agent: &str) -> Result<(), SimulatorError> {
        self.visit("unsubscribe", Method::POST, url, user_agent, StatusCode::OK).await.map(drop)
    }

    /// Asks for a link of a mail without the API key; gives where the answer leads, if it leads anywhere.
    async fn visit(
        &self,
        what: &str,
        method: Method,
        url: &str,
        user_agent: &str,
        expect: StatusCode,
    ) -> Result<Option<String>, SimulatorError> {
        let ours = url.strip_prefix(self.url.as_str()).is_some_and(|path| path.starts_with('/'));
        if !ours {
            return Err(SimulatorError::UntrackedLink { url: url.to_owned(), server: self.url.clone() });
        }
        let mut request = self.http.request(method.clone(), url).header(USER_AGENT, user_agent);
        if method == Method::POST {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            request = request.header(CONTENT_TYPE, form).body("List-Unsubscribe=One-Click");
        }
        let mut tries = 1;
        let response = loop {
            let attempt = request.try_clone().expect("a request with a text body can be repeated");
            match attempt.send().await {
                Ok(response) => break response,
                Err(error) if tries < VISIT_TRIES && !error.is_timeout() => tries += 1,
                Err(source) => return Err(SimulatorError::Unreachable { what: what.to_owned(), source }),
            }
        };
        let status = response.status();
        let target = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        // Read to the end in any case, so that the connection can serve the next visit.
        let body = response.bytes().await.map_err(|source| SimulatorError::Unreachable { what: what.to_owned(), source })?;
        if status == expect {
            return Ok(target);
        }
        let answer = shortened(&String::from_utf8_lossy(&body));
        Err(SimulatorError::Refused { what: what.to_owned(), status: status.as_u16(), answer })
    }

    async fn get<T: DeserializeOwned>(&self, what: &str, path: &str) -> Result<T, SimulatorError> {
        let text = self.send(what, self.request(Method::GET, path)).await?;
        understand(what, &text)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.key)
    }

    async fn send(&self, what: &str, request: RequestBuilder) -> Result<String, SimulatorError> {
        let unreachable = |source| SimulatorError::Unreachable { what: what.to_owned(), source };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let text = response.text().await.map_err(unreachable)?;
        if status.is_success() {
            return Ok(text);
        }
        Err(SimulatorError::Refused { what: what.to_owned(), status: status.as_u16(), answer: shortened(&text) })
    }
}

fn to_json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("rows of text and numbers always serialise")
}

fn understand<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, SimulatorError> {
    serde_json::from_str(text).map_err(|source| SimulatorError::NotUnderstood {
        what: what.to_owned(),
        answer: shortened(text),
        source,
    })
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(ANSWER_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn links_that_lead_elsewhere_are_not_followed() {
        let client = Client::new("http://127.0.0.1:9/", "key").unwrap();
        let check = async |url: &str| {
            let answer = client.follow_link(url, "test").await;
            assert!(matches!(answer, Err(SimulatorError::UntrackedLink { .. })), "{url}: {answer:?}");
        };
        check("https://shop.example.test/DE").await;
        check("http://127.0.0.1:99/t/c/abc").await;
        check("http://127.0.0.1:9.example.test/t/c/abc").await;
    }

    #[test]
    fn long_answers_are_shortened_between_characters() {
        assert_eq!(shortened("kurz"), "kurz");
        let long = shortened(&"ü".repeat(ANSWER_CHARS_MAX + 5));
        assert_eq!(long.chars().count(), ANSWER_CHARS_MAX + 1);
    }

    #[test]
    fn the_interface_is_understood() {
        let text = r#"{"campaign":{"campaign":"x"},"state":"sending","error":null,
            "progress":{"planned":9,"due":5,"claimed":5,"accepted":3,"refused":0,"in_doubt":1,"skipped":1}}"#;
        let status: CampaignStatus = serde_json::from_str(text).unwrap();
        assert_eq!(status.progress.settled(), 5);
        assert!(understand::<CampaignStatus>("read", "{}").is_err());
    }
}
