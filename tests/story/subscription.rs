//! Somebody subscribes on a form, confirms it, gets a campaign, and changes their mind on the page behind its link, and again.

use std::sync::{Arc, Mutex};

use jiff::ToSpan as _;
use reqwest::{Method, StatusCode};
use sendlab::server::{Server, Settings};
use sendlab::{Client, SystemIds};
use serde_json::{Value, json};
use simulator::SteppedClock;
use simulator::sink::{Sink, SinkConfig};
use vocabulary::{Clock as _, Timestamp};

use crate::support::{until, workspace};

struct World {
    server: Server,
    client: Client,
    clock: Arc<SteppedClock>,
    mails: Arc<Mutex<Vec<String>>>,
    _sink: Sink,
    _folder: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (sink, mut received) = Sink::start(SinkConfig::default()).await.unwrap();
        let mails: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = mails.clone();
        tokio::spawn(async move {
            while let Some(mail) = received.recv().await {
                // Soft line breaks of quoted-printable text.
                let text = String::from_utf8_lossy(&mail.raw).replace("=\r\n", "").replace("=3D", "=");
                seen.lock().unwrap().push(text);
            }
        });
        let clock = Arc::new(SteppedClock::new("2026-03-02T08:00:00Z".parse::<Timestamp>().unwrap()));
        let smtp = Some(gateways::SmtpConfig::new("127.0.0.1", sink.address().port()));
        let settings = Settings { smtp, ..Settings::new(&folder.path().join("data")) };
        let server = Server::start(settings, clock.clone(), Arc::new(SystemIds)).await.unwrap();
        let client = Client::new(server.door.clone());
        Self { server, client, clock, mails, _sink: sink, _folder: folder }
    }

    /// The newest of so many mails.
    async fn mail(&self, count: usize) -> String {
        until(&format!("mail {count}"), async || {
            let mails = self.mails.lock().unwrap();
            (mails.len() >= count).then(|| mails.last().cloned())?
        })
        .await
    }

    /// The link to a page of ours in a mail.
    fn link(&self, mail: &str, page: &str) -> String {
        let start = mail.find(&format!("{}{page}", self.server.door.url)).unwrap_or_else(|| panic!("no {page} in {mail}"));
        mail[start..].chars().take_while(|c| !c.is_whitespace() && !"\"<>&".contains(*c)).collect()
    }

    async fn visit(&self, method: Method, url: &str, body: &'static str) -> (StatusCode, String) {
        let request = reqwest::Client::new().request(method, url).body(body).header("X-Forwarded-For", "203.0.113.9, 10.0.0.1");
        let answer = request.header("Content-Type", "application/x-www-form-urlencoded").send().await.unwrap();
        assert!(answer.headers().get("set-cookie").is_none());
        (answer.status(), answer.text().await.unwrap())
    }

    async fn put(&self, path: &str, body: Value) {
        self.client.send(Method::PUT, path, "application/json", body.to_string().into_bytes()).await.unwrap();
    }

    /// Sends a campaign to everybody; how many got it.
    async fn campaign(&self, id: &str) -> u64 {
        // Two messages in one hour are too many.
        self.clock.advance_to(self.clock.now().checked_add(24.hours()).unwrap());
        let copy = json!({ "subject": "Hello", "html": "<p>Hello <a href=\"{{ preferences_url }}\">Choose</a></p>",
            "text": "Hello\n{{ preferences_url }}" });
        self.put(
            "/v1/campaigns",
            json!({ "campaign": id, "experiment": "e", "from": "news@shop.example", "content": { "a": copy, "b": copy } }),
        )
        .await;
        self.client.send(Method::POST, &format!("/v1/campaigns/{id}/start"), "application/json", b"{}".to_vec()).await.unwrap();
        let end = until("the campaign to end", async || {
            let campaign = self.client.get(&format!("/v1/campaigns/{id}")).await.ok()?;
            (campaign["state"] == "done").then_some(campaign)
        })
        .await;
        end["progress"]["accepted"].as_u64().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_confirmed_changed_and_given_again() {
    let world = World::start().await;
    let forms = std::fs::read(workspace().join("data/samples/forms.yaml")).unwrap();
    let stored = world.client.send(Method::PUT, "/v1/forms", "application/yaml", forms).await.unwrap();
    let url = stored[0]["url"].as_str().unwrap();
    assert!(stored[0]["html"].as_str().unwrap().contains(&format!("action=\"{url}\"")));
    let (status, page) = world.visit(Method::GET, url, "").await;
    assert!(status == StatusCode::OK && page.contains("lang=\"de\"") && page.contains("Ja, ich möchte"), "{page}");
    assert!(!page.contains("<script"));

    assert_eq!(world.visit(Method::POST, url, "email=no+address").await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(world.visit(Method::POST, url, "email=kim%40shop.example&website=x").await.0, StatusCode::OK);
    let (status, page) = world.visit(Method::POST, url, "email=Kim%40Shop.example").await;
    assert!(status == StatusCode::OK && page.contains("Fast geschafft"), "{page}");
    let mail = world.mail(1).await;
    assert!(!mail.contains("List-Unsubscribe") && mail.contains("To: <Kim@shop.example>"), "{mail}");
    let confirm = world.link(&mail, "/f/confirm/");
    let contacts = async || {
        let body = json!({ "sql": "select count(*) as n from contacts" }).to_string().into_bytes();
        let rows = world.client.send(Method::POST, "/v1/sql?format=json", "application/json", body).await.unwrap();
        rows[0]["n"].as_u64().unwrap()
    };
    // Scanners follow links; nobody is a contact yet.
    assert!(world.visit(Method::GET, &confirm, "").await.1.contains("Anmeldung bestätigen"));
    assert_eq!(contacts().await, 0);
    assert!(world.visit(Method::POST, &confirm, "").await.1.contains("Du bist angemeldet"));
    assert_eq!(world.visit(Method::POST, &confirm, "").await.0, StatusCode::NOT_FOUND, "a link confirms once");
    // Whoever is asked often enough today is not asked again, and hears the same.
    for _ in 0..5 {
        assert_eq!(world.visit(Method::POST, url, "email=lee%40shop.example").await.0, StatusCode::OK);
    }
    world.mail(4).await;

    let experiment = json!({ "experiment": "e", "factors": ["copy"], "primary": "clicked", "variants": [{ "name": "a" }, { "name": "b" }],
        "metrics": [{ "name": "clicked", "outcome": "click", "measure": "occurred" }] });
    world.put("/v1/experiments", experiment).await;
    assert_eq!(world.campaign("one").await, 1);
    let preferences = world.link(&world.mail(5).await, "/t/p/");
    assert!(world.visit(Method::GET, &preferences, "").await.1.contains("name=\"email\" checked"));
    assert_eq!(world.campaign("two").await, 1);
    assert!(!world.visit(Method::POST, &preferences, "").await.1.contains("checked"));
    assert_eq!(world.campaign("three").await, 0);
    assert!(world.visit(Method::POST, &preferences, "email=on").await.1.contains("name=\"email\" checked"));
    assert_eq!(world.campaign("four").await, 1);

    let body = json!({ "sql": "select country, language, source from contacts" }).to_string().into_bytes();
    let rows = world.client.send(Method::POST, "/v1/sql?format=json", "application/json", body).await.unwrap();
    assert_eq!(rows, json!([{ "country": "DE", "language": "de", "source": "form newsletter-de" }]));
    world.server.stop().await.unwrap();
}
