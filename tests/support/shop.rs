//! A server under a clock that is set by hand, with a mail server that keeps everything: a shop in which a test lives through days.

use std::sync::{Arc, Mutex};

use jiff::ToSpan as _;
use reqwest::Method;
use sendlab::server::{Server, Settings};
use sendlab::{Client, SystemIds};
use serde_json::{Value, json};
use simulator::SteppedClock;
use simulator::sink::{Sink, SinkConfig};
use vocabulary::{Clock as _, Timestamp};

use super::until;

/// Mails as they came: the address in RCPT TO and the whole text, lines joined that quoted-printable had broken.
type Mails = Arc<Mutex<Vec<(String, String)>>>;

pub(crate) struct Shop {
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) clock: Arc<SteppedClock>,
    pub(crate) sink: Sink,
    pub(crate) folder: tempfile::TempDir,
    mails: Mails,
}

impl Shop {
    pub(crate) async fn open(now: &str) -> Self {
        Self::open_with(now, SinkConfig::default()).await
    }

    pub(crate) async fn open_with(now: &str, config: SinkConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (sink, mut received) = Sink::start(config).await.unwrap();
        let mails = Mails::default();
        let seen = mails.clone();
        tokio::spawn(async move {
            while let Some(mail) = received.recv().await {
                let text = String::from_utf8_lossy(&mail.raw).replace("=\r\n", "").replace("=3D", "=");
                seen.lock().unwrap().extend(mail.to.into_iter().map(|to| (to, text.clone())));
            }
        });
        let clock = Arc::new(SteppedClock::new(now.parse::<Timestamp>().unwrap()));
        let server = serve(&folder, &sink, &clock).await;
        let client = Client::new(server.door.clone());
        Self { server, client, clock, sink, folder, mails }
    }

    /// Stops the server and starts it again over the same data.
    pub(crate) async fn reopen(self) -> Self {
        self.server.stop().await.unwrap();
        let server = serve(&self.folder, &self.sink, &self.clock).await;
        let client = Client::new(server.door.clone());
        Self { server, client, ..self }
    }

    pub(crate) fn pass(&self, minutes: i64) {
        self.clock.advance_to(self.clock.now().checked_add(minutes.minutes()).unwrap());
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: &Value) -> Value {
        self.client.send(method, path, "application/json", body.to_string().into_bytes()).await.unwrap()
    }

    pub(crate) async fn contacts(&self, lines: Vec<Value>) {
        self.lines("/v1/contacts", lines).await;
    }

    pub(crate) async fn lines(&self, path: &str, lines: Vec<Value>) {
        let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
        let answer = self.client.lines(path, lines.join("\n").into_bytes()).await.unwrap();
        assert_eq!(answer["rejected"], 0, "{answer}");
    }

    /// Stores an experiment with the variants `a` and `b`, which differ in their hour where one has one.
    pub(crate) async fn experiment(&self, id: &str, hours: [Option<u8>; 2]) {
        let variant = |(name, hour): (&str, Option<u8>)| match hour {
            None => json!({ "name": name }),
            Some(hour) => json!({ "name": name, "send_hour": hour }),
        };
        let variants: Vec<Value> = ["a", "b"].into_iter().zip(hours).map(variant).collect();
        let metrics = json!([{ "name": "clicked", "outcome": "click", "measure": "occurred" }]);
        let factor = if hours == [None; 2] { "copy" } else { "timing" };
        let experiment =
            json!({ "experiment": id, "factors": [factor], "primary": "clicked", "variants": variants, "metrics": metrics });
        self.send(Method::PUT, "/v1/experiments", &experiment).await;
    }

    /// Stores and starts a campaign, and waits until it is planned.
    pub(crate) async fn campaign(&self, id: &str, experiment: &str, more: Value) {
        let copy = json!({ "subject": "Hello", "html": "<p>Hello <a href=\"{{ preferences_url }}\">Choose</a></p>",
            "text": "Hello\n{{ preferences_url }}" });
        let content = json!({ "a": copy, "b": copy });
        let mut campaign = json!({ "campaign": id, "experiment": experiment, "from": "news@shop.example", "content": content });
        campaign.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.send(Method::PUT, "/v1/campaigns", &campaign).await;
        self.send(Method::POST, &format!("/v1/campaigns/{id}/start"), &json!({})).await;
        self.state(id, &["sending", "done"]).await;
    }

    /// The campaign when it has come to one of the states.
    pub(crate) async fn state(&self, id: &str, states: &[&str]) -> Value {
        until(&format!("campaign {id} to be {states:?}"), async || {
            let campaign = self.client.get(&format!("/v1/campaigns/{id}")).await.ok()?;
            assert!(campaign["error"].is_null(), "{campaign}");
            states.contains(&campaign["state"].as_str()?).then_some(campaign)
        })
        .await
    }

    /// The newest of so many mails.
    pub(crate) async fn mail(&self, count: usize) -> String {
        until(&format!("mail {count}"), async || {
            let mails = self.mails.lock().unwrap();
            (mails.len() >= count).then(|| mails.last().map(|(_, text)| text.clone()))?
        })
        .await
    }

    /// To whom mails went, in order of the addresses.
    pub(crate) fn recipients(&self) -> Vec<String> {
        let mut recipients: Vec<String> = self.mails.lock().unwrap().iter().map(|(to, _)| to.clone()).collect();
        recipients.sort();
        recipients
    }

    /// The surrogate key of a contact.
    pub(crate) async fn key_of(&self, contact: &str) -> vocabulary::ContactKey {
        let held = self.client.get(&format!("/v1/contacts/{contact}/export")).await.unwrap();
        vocabulary::ContactKey::from_i64(held["contact_key"].as_str().unwrap().parse().unwrap()).unwrap()
    }
}

async fn serve(folder: &tempfile::TempDir, sink: &Sink, clock: &Arc<SteppedClock>) -> Server {
    let smtp = Some(gateways::SmtpConfig::new("127.0.0.1", sink.address().port()));
    let settings = Settings { smtp, ..Settings::new(&folder.path().join("data")) };
    Server::start(settings, clock.clone(), Arc::new(SystemIds)).await.unwrap()
}
