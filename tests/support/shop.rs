//! A server under a clock that is set by hand, with a mail server that keeps everything: a shop in which a test lives through days.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateways::{Patience, SmtpConfig};
use jiff::ToSpan as _;
use reqwest::Method;
use sendlab::server::{Server, Settings};
use sendlab::{Client, SystemIds};
use serde_json::{Value, json};
use simulator::SteppedClock;
use simulator::sink::{Fault, Sink, SinkConfig};
use tokio::sync::Semaphore;
use vocabulary::{Clock as _, Timestamp};

use super::{sql, until};

/// Registers ask nothing of the sender.
const NO_REGISTERS: &str = "version = 1\nchecked = 2026-11-28\n";

/// Mails as they came: the address in RCPT TO and the bytes.
type Mails = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// What is special about a shop.
#[derive(Clone, Default)]
struct Special {
    patience: Patience,
    dkim: Vec<String>,
    sms: gateways::SmsConfig,
    warm_ups: gateways::WarmUps,
    /// Files of rules of its own.
    rules: Vec<(&'static str, String)>,
    /// The mail server takes a mail for each of these.
    gate: Option<Arc<Semaphore>>,
}

pub(crate) struct Shop {
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) clock: Arc<SteppedClock>,
    pub(crate) sink: Sink,
    pub(crate) folder: tempfile::TempDir,
    mails: Mails,
    special: Special,
}

impl Shop {
    pub(crate) async fn open(now: &str) -> Self {
        Self::open_with(now, SinkConfig::default(), Special::default()).await
    }

    /// A shop whose mail server goes wrong in these ways and has answered after a fifth of a second, or never will.
    pub(crate) async fn troubled(faults: &[Fault]) -> Self {
        let patience = Patience { dot: Duration::from_millis(200), ..Patience::default() };
        let config = SinkConfig { faults: faults.to_vec(), ..SinkConfig::default() };
        Self::open_with("2026-03-02T09:00:00Z", config, Special { patience, ..Special::default() }).await
    }

    /// A shop whose mail server goes wrong in these ways; what it owes an answer is waited for as long as ever.
    pub(crate) async fn faulty(faults: &[Fault]) -> Self {
        let config = SinkConfig { faults: faults.to_vec(), ..SinkConfig::default() };
        Self::open_with("2026-03-02T09:00:00Z", config, Special::default()).await
    }

    /// A shop whose mail is signed with these keys, `DOMAIN:SELECTOR:FILE`.
    pub(crate) async fn signed(dkim: Vec<String>) -> Self {
        Self::open_with("2026-03-02T09:00:00Z", SinkConfig::default(), Special { dkim, ..Special::default() }).await
    }

    async fn open_with(now: &str, config: SinkConfig, special: Special) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (sink, mut received) = Sink::start(config).await.unwrap();
        let mails = Mails::default();
        let (seen, gate) = (mails.clone(), special.gate.clone());
        tokio::spawn(async move {
            loop {
                if let Some(gate) = &gate {
                    gate.acquire().await.expect("the gate is never closed").forget();
                }
                let Some(mail) = received.recv().await else { return };
                seen.lock().unwrap().extend(mail.to.into_iter().map(|to| (to, mail.raw.clone())));
            }
        });
        let clock = Arc::new(SteppedClock::new(now.parse::<Timestamp>().unwrap()));
        let server = serve(&folder, &sink, &special, &clock).await;
        let client = Client::new(server.door.clone());
        Self { server, client, clock, sink, folder, mails, special }
    }

    /// A shop that sends text messages by these gateways, with its sender in every register there is. The value of each secret is
    /// its name in small letters.
    pub(crate) async fn texting(now: &str, config: &str) -> Self {
        let sms = gateways::SmsConfig::read(config, &|name| Some(name.to_lowercase())).unwrap();
        Self::open_with(
            now,
            SinkConfig::default(),
            Special { sms, rules: vec![("registration.toml", NO_REGISTERS.to_owned())], ..Special::default() },
        )
        .await
    }

    /// A shop with a file of rules of its own.
    pub(crate) async fn ruled(now: &str, file: &'static str, text: String) -> Self {
        Self::open_with(now, SinkConfig::default(), Special { rules: vec![(file, text)], ..Special::default() }).await
    }

    /// A shop whose domain is new.
    pub(crate) async fn warmed_up(now: &str, warm_ups: &str) -> Self {
        let warm_ups = gateways::WarmUps::read(warm_ups).unwrap();
        Self::open_with(now, SinkConfig::default(), Special { warm_ups, ..Special::default() }).await
    }

    /// A shop whose mail server takes a mail only when it is let through.
    pub(crate) async fn gated(now: &str) -> Self {
        let config = SinkConfig { queue_mails_max: 1, ..SinkConfig::default() };
        let gate = Some(Arc::new(Semaphore::new(0)));
        Self::open_with(now, config, Special { gate, ..Special::default() }).await
    }

    /// Lets so many mails through the gate.
    pub(crate) fn let_through(&self, mails: usize) {
        self.special.gate.as_ref().expect("the shop has a gate").add_permits(mails);
    }

    /// Stops the server and starts it again over the same data.
    pub(crate) async fn reopen(self) -> Self {
        self.server.stop().await.unwrap();
        let server = serve(&self.folder, &self.sink, &self.special, &self.clock).await;
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

    /// Waits until the lake knows so many contacts, as a dry run asks it.
    pub(crate) async fn lake_knows(&self, count: u64) {
        until("the lake to know everybody", async || {
            let rows = sql(&self.client, "SELECT count(*) AS n FROM contacts").await;
            (rows[0]["n"] == count).then_some(())
        })
        .await;
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

    /// Sends one campaign to these people of Great Britain, who all agreed to it.
    pub(crate) async fn mailing(&self, names: &[&str]) {
        let person = |name: &&str| {
            let email = format!("{name}@example.test");
            json!({ "key": name, "email": email, "email_consent": "express", "country": "GB" })
        };
        self.contacts(names.iter().map(person).collect()).await;
        self.experiment("e", [None; 2]).await;
        self.campaign("c", "e", json!({})).await;
    }

    /// The campaign's numbers when it is done: accepted, refused, in doubt, skipped.
    pub(crate) async fn end_of_mailing(&self) -> [u64; 4] {
        let progress = self.state("c", &["done"]).await["progress"].clone();
        assert_eq!(progress["claimed"], 0, "nothing stays open: {progress}");
        ["accepted", "refused", "in_doubt", "skipped"].map(|state| progress[state].as_u64().unwrap())
    }

    /// The ledger's row of each of these contacts in the mailing: how it ended and the server's words.
    pub(crate) async fn ledger(&self, names: &[&str]) -> Vec<(String, String)> {
        let body = json!({ "campaign": "c", "contacts": names });
        let answer = self.send(Method::POST, "/v1/explanations", &body).await;
        let row = |contact: &Value| {
            let text = |field: &str| contact["message"][field].as_str().unwrap_or_default().to_owned();
            (text("state"), text("reply"))
        };
        answer["contacts"].as_array().unwrap().iter().map(row).collect()
    }

    /// How many events of a kind the lake has with a status.
    pub(crate) async fn deliveries(&self, status: &str) -> u64 {
        let sql = format!("select count(*) as n from deliveries where status = '{status}'");
        let body = json!({ "sql": sql }).to_string().into_bytes();
        let rows = self.client.send(Method::POST, "/v1/sql?format=json", "application/json", body).await.unwrap();
        rows[0]["n"].as_u64().unwrap()
    }

    /// The newest of so many mails, as it came.
    pub(crate) async fn raw_mail(&self, count: usize) -> Vec<u8> {
        until(&format!("mail {count}"), async || {
            let mails = self.mails.lock().unwrap();
            (mails.len() >= count).then(|| mails.last().map(|(_, raw)| raw.clone()))?
        })
        .await
    }

    /// All mails, as they came.
    pub(crate) fn raw_mails(&self) -> Vec<Vec<u8>> {
        self.mails.lock().unwrap().iter().map(|(_, raw)| raw.clone()).collect()
    }

    /// The same as text, with the lines joined that quoted-printable had broken.
    pub(crate) async fn mail(&self, count: usize) -> String {
        String::from_utf8_lossy(&self.raw_mail(count).await).replace("=\r\n", "").replace("=3D", "=")
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

async fn serve(folder: &tempfile::TempDir, sink: &Sink, special: &Special, clock: &Arc<SteppedClock>) -> Server {
    let rules = (!special.rules.is_empty()).then(|| folder.path().join("rules"));
    for (name, text) in &special.rules {
        let rules = folder.path().join("rules");
        std::fs::create_dir_all(&rules).unwrap();
        std::fs::write(rules.join(name), text).unwrap();
    }
    let smtp = Some(SmtpConfig { patience: special.patience, ..SmtpConfig::new("127.0.0.1", sink.address().port()) });
    let settings = Settings {
        smtp,
        dkim: special.dkim.clone(),
        sms: special.sms.clone(),
        warm_ups: special.warm_ups.clone(),
        rules,
        ..Settings::new(&folder.path().join("data"))
    };
    Server::start(settings, clock.clone(), Arc::new(SystemIds)).await.unwrap()
}
