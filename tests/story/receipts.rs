//! What became of text messages after a gateway took them: each provider tells it in its own way, perhaps before we know the
//! message's id, perhaps twice; and nobody else can.

use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::shop::Shop;
use crate::support::{python, run, sql, until};

/// The signature of a callback as Twilio documents it, by another implementation than ours.
const SIGN: &str = "
import base64, hashlib, hmac, sys, urllib.parse
url, token, form = sys.argv[1:]
data = url + ''.join(name + value for name, value in sorted(urllib.parse.parse_qsl(form, keep_blank_values=True)))
print(base64.b64encode(hmac.new(token.encode(), data.encode(), hashlib.sha1).digest()).decode())
";

/// Providers of text messages: one with a JSON gateway, and Twilio.
#[derive(Default)]
pub(super) struct Providers {
    /// The numbers that the first one took, in order; the n-th message has the id `sm-n`, from 0.
    taken: Mutex<Vec<String>>,
    /// Where the first one tells of deliveries, as soon as that is known.
    receipts: OnceLock<String>,
    /// To whom messages are delivered before the gateway has answered.
    quick: Option<&'static str>,
}

impl Providers {
    /// To which numbers the first one took messages.
    pub(super) fn numbers(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }
}

async fn take(State(providers): State<Arc<Providers>>, body: String) -> (StatusCode, String) {
    let message: Value = serde_json::from_str(&body).expect("the gateway sends JSON");
    let to = message["to"].as_str().expect("the number is there").to_owned();
    let number = {
        let mut taken = providers.taken.lock().unwrap();
        taken.push(to.clone());
        taken.len() - 1
    };
    if providers.quick == Some(&*to) {
        let url = providers.receipts.get().expect("the server runs");
        let told = tell(url, Some("secret"), json!([{ "id": format!("sm-{number}"), "state": "DELIVRD" }])).await;
        assert_eq!(told, (200, "ACK".to_owned()), "a receipt about a message that nobody knows yet is taken");
    }
    (StatusCode::ACCEPTED, json!({ "id": format!("sm-{number}") }).to_string())
}

async fn twilio() -> (StatusCode, String) {
    (StatusCode::CREATED, json!({ "sid": "SM1", "status": "queued" }).to_string())
}

pub(super) async fn providers(quick: &'static str) -> (String, Arc<Providers>) {
    let state = Arc::new(Providers { quick: Some(quick), ..Providers::default() });
    let router = Router::new().route("/messages", post(take)).route("/2010-04-01/Accounts/AC1/Messages.json", post(twilio));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = router.with_state(state.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, state)
}

/// Tells receipts as the first provider does; the answer's status and text.
pub(super) async fn tell(url: &str, secret: Option<&str>, receipts: Value) -> (u16, String) {
    let mut request = reqwest::Client::new().post(url).body(json!({ "results": receipts }).to_string());
    if let Some(secret) = secret {
        request = request.header("X-Key", secret);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

pub(super) fn config(url: &str) -> String {
    format!(
        "[[gateway]]\nname = \"asia\"\nkind = \"http\"\nclasses = [\"transactional\"]\nsender = \"SHOP\"\n\
         [gateway.http]\nurl = \"{url}/messages\"\njson = '{{\"to\": \"{{{{ to }}}}\", \"text\": \"{{{{ text }}}}\"}}'\n\
         success = [{{ status = [\"202\"] }}]\nid = \"/id\"\n\
         [gateway.http.receipt]\nlist = \"/results\"\nid = \"/id\"\nstatus = \"/state\"\nerror = \"/why\"\n\
         delivered = [\"DELIVRD\"]\nfailed = [\"UNDELIV\"]\nanswer = \"ACK\"\n\
         secret_header = {{ name = \"X-Key\", value = \"${{SECRET}}\" }}\n\
         [[gateway]]\nname = \"codes\"\nkind = \"twilio\"\nclasses = [\"verification\"]\nsender = \"+14155552671\"\n\
         [gateway.twilio]\naccount = \"AC1\"\ntoken = \"${{TOKEN}}\"\nbase_url = \"{url}\"\n"
    )
}

fn people() -> Vec<Value> {
    let person = |(key, country, phone): (&str, &str, &str)| {
        let consents = json!([{ "channel": "sms", "basis": "double_opt_in" }]);
        json!({ "key": key, "phone": phone, "country": country, "consents": consents })
    };
    [("mei", "HK", "+85251234567"), ("nour", "AE", "+971501234567"), ("rui", "BR", "+5511961234567")].map(person).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_tells_what_became_of_a_campaigns_text_messages() {
    let (url, providers) = providers("+85251234567").await;
    let shop = Shop::texting("2026-03-02T12:30:00Z", &config(&url)).await;
    let receipts = format!("{}/v1/receipts/asia", shop.client.url());
    providers.receipts.set(receipts.clone()).unwrap();
    shop.contacts(people()).await;
    shop.experiment("e", [None; 2]).await;
    let copy = json!({ "text": "Shop: all half price. Reply STOP to end" });
    let more = json!({ "channel": "sms", "class": "transactional", "from": "", "content": { "a": copy, "b": copy } });
    shop.campaign("c", "e", more).await;
    let progress = shop.state("c", &["done"]).await["progress"].clone();
    assert_eq!(progress["accepted"], 3, "{progress}");

    let id_of = |number: &str| {
        let place = providers.taken.lock().unwrap().iter().position(|to| to == number).unwrap();
        format!("sm-{place}")
    };
    let failed = json!([
        { "id": id_of("+971501234567"), "state": "UNDELIV", "why": "+971501234567 is switched off, code 27" },
        { "id": id_of("+5511961234567"), "state": "BUFFERED" },
    ]);
    for stranger in [None, Some("another")] {
        let (status, text) = tell(&receipts, stranger, failed.clone()).await;
        assert_eq!(status, 403, "{text}");
        assert!(text.contains("the shared secret is missing or another"), "{text}");
    }
    // Told twice, it happened once.
    for _ in 0..2 {
        assert_eq!(tell(&receipts, Some("secret"), failed.clone()).await, (200, "ACK".to_owned()));
    }
    assert_eq!(tell(&receipts, Some("secret"), json!([{ "id": "nobody's", "state": "DELIVRD" }])).await.0, 200);
    assert_eq!(tell(&receipts, Some("secret"), json!([{ "state": "DELIVRD" }])).await.0, 422);
    assert_eq!(tell(&format!("{receipts}s"), Some("secret"), failed).await.0, 404);

    let query =
        "SELECT c.country, d.status, d.reply, d.provider, d.campaign_id, d.experiment_id, d.variant IN ('a', 'b') AS counts
                 FROM deliveries d JOIN contacts c USING (contact_key) WHERE d.status <> 'accepted' ORDER BY c.country";
    // The one that came before its message was known is told as soon as it is.
    let rows = until("both receipts to be told", async || {
        let rows = sql(&shop.client, query).await;
        (rows.len() >= 2).then_some(rows)
    })
    .await;
    let row = |country: &str, status: &str, reply: &str| {
        json!({ "country": country, "status": status, "reply": reply, "provider": "asia", "campaign_id": "c", "experiment_id": "e",
            "counts": true })
    };
    let expect = json!([row("AE", "bounced", "UNDELIV +… is switched off, code 27"), row("HK", "delivered", "DELIVRD")]);
    assert_eq!(json!(rows), expect);
    let outcomes = "SELECT count(delivered_at) AS delivered, count(*) FILTER (WHERE bounced) AS bounced FROM message_outcomes";
    assert_eq!(json!(sql(&shop.client, outcomes).await), json!([{ "delivered": 1, "bounced": 1 }]));

    let asia = json!({ "gateway": "asia", "url": receipts, "proof": "the header x-key", "waiting": 1, "unknown": 0 });
    until("only the receipt of nobody's message to wait", async || {
        (shop.client.get("/v1/receipts").await.ok()?[0] == asia).then_some(())
    })
    .await;
    shop.pass(61);
    until("the receipt of a stranger's message to be given up", async || {
        let listed = shop.client.get("/v1/receipts").await.ok()?;
        (listed[0]["unknown"] == 1 && listed[0]["waiting"] == 0).then_some(())
    })
    .await;
    shop.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn twilio_tells_what_became_of_a_code() {
    let (url, _) = providers("").await;
    let shop = Shop::texting("2026-03-02T12:30:00Z", &config(&url)).await;
    let template =
        json!({ "template": "code", "class": "verification", "channel": "sms", "content": { "text": "Code {{ data.code }}" } });
    shop.send(Method::PUT, "/v1/templates", &template).await;
    let message = json!({ "id": "code-1", "template": "code", "to": { "phone": "+85251234567" }, "data": { "code": "482913" } });
    shop.send(Method::POST, "/v1/messages", &message).await;
    until("the code to be taken", async || {
        let row = shop.client.get("/v1/messages/code-1").await.ok()?;
        (row["state"] == "accepted").then_some(())
    })
    .await;
    let url = format!("{}/v1/receipts/codes", shop.client.url());
    let form = "AccountSid=AC1&From=%2B14155552671&MessageSid=SM1&MessageStatus=undelivered&ErrorCode=30005&To=%2B85251234567";
    let signed = |url: &str, token: &str| run(Command::new(python()).args(["-c", SIGN, url, token, form])).trim().to_owned();
    let call = async |signature: String| {
        let request = reqwest::Client::new().post(&url).header("X-Twilio-Signature", signature).body(form);
        request.header("Content-Type", "application/x-www-form-urlencoded").send().await.unwrap().status().as_u16()
    };
    assert_eq!(call(signed(&url, "another")).await, 403);
    assert_eq!(call(signed("https://elsewhere.example/", "token")).await, 403);
    assert_eq!(call(signed(&url, "token")).await, 200);
    let rows = sql(&shop.client, "SELECT status, reply, provider FROM deliveries WHERE status <> 'accepted'").await;
    assert_eq!(json!(rows), json!([{ "status": "bounced", "reply": "undelivered 30005", "provider": "codes" }]));
    shop.server.stop().await.unwrap();
}
