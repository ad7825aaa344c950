//! Text messages against servers that speak the providers' protocols: that take them, refuse them, break off, stay silent or
//! are not there. Nothing that comes out names a secret or the recipient.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::IntoResponse;
use gateways::{HandOver, SmsConfig, SmsHandOver, SmsMessage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use vocabulary::{MessageClass, MessageId};

const TO: &str = "+33612345678";
const DIGITS: &str = "33612345678";
const ID: &str = "0123456789abcdef0123456789abcdef";
const TEXT: &str = "5 € \"off\" & more\n{now}";

/// A request as a server saw it.
#[derive(Debug, Clone, Default)]
struct Seen {
    method: String,
    path: String,
    headers: HeaderMap,
    body: String,
}

/// A server that answers every request alike and remembers the requests.
#[derive(Clone)]
struct Provider {
    status: StatusCode,
    answer: &'static str,
    seen: Arc<Mutex<Vec<Seen>>>,
}

async fn answer(
    State(provider): State<Provider>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let body = String::from_utf8(body.to_vec()).expect("requests are UTF-8");
    let seen = Seen { method: method.to_string(), path: uri.to_string(), headers, body };
    provider.seen.lock().expect("nobody panicked").push(seen);
    (provider.status, provider.answer)
}

async fn provider(status: u16, text: &'static str) -> (String, Arc<Mutex<Vec<Seen>>>) {
    let seen = Arc::default();
    let status = StatusCode::from_u16(status).expect("is a status");
    let provider = Provider { status, answer: text, seen: Arc::clone(&seen) };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("is bound");
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer).with_state(provider)).await });
    (format!("http://{address}"), seen)
}

/// What a server does that is not one of HTTP.
#[derive(Debug, Clone, Copy)]
enum Rude {
    /// Reads the request and closes.
    Closes,
    /// Reads the request and stays silent.
    StaysSilent,
    /// Begins a good answer and closes within its body.
    BreaksOff,
}

async fn rude(rude: Rude) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("is bound");
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            read_request(&mut stream).await;
            match rude {
                Rude::Closes => drop(stream),
                Rude::StaysSilent => kept.push(stream),
                Rude::BreaksOff => {
                    let beginning = b"HTTP/1.1 201 Created\r\nContent-Length: 500\r\n\r\n{\"sid\": ";
                    stream.write_all(beginning).await.expect("the client listens");
                }
            }
        }
    });
    format!("http://{address}")
}

/// Reads the head and as much body as it announces.
async fn read_request(stream: &mut TcpStream) {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let count = stream.read(&mut chunk).await.expect("the client writes");
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let announced = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = announced.map_or(0, |length| length.trim().parse().expect("is a number"));
            if bytes.len() >= head.len() + 4 + length {
                return;
            }
        }
        assert!(count > 0, "the client sends a whole request");
    }
}

/// A port that nobody listens at.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    format!("http://{}", listener.local_addr().expect("is bound"))
}

fn secret(name: &str) -> Option<String> {
    Some(if name == "ACCOUNT" { "AC0123".to_owned() } else { format!("hush/{name}") })
}

fn http(url: &str, more: &str) -> String {
    format!(
        r#"
        [[gateway]]
        name = "main"
        kind = "http"
        classes = ["marketing"]
        sender = "SHOP"
        timeout_seconds = 1
        [gateway.http]
        url = "{url}/send?key=${{KEY}}&to={{{{ to }}}}"
        headers = {{ Authorization = "Bearer ${{TOKEN}}", Idempotency-Key = "{{{{ message_id }}}}" }}
        {more}
        "#
    )
}

const JSON: &str = r#"
        json = '{"to": "{{ to_digits }}", "from": "{{ sender }}", "text": "{{ text }}", "pin": "${PIN}"}'
        success = [{ status = ["200-201"] }, { at = "/code", equals = ["0"] }]
        permanent = [{ at = "/code", equals = ["7"] }]
        error = "/text"
        id = "/sid"
        price = { at = "/price", currency = "EUR" }
"#;

fn twilio(url: &str) -> String {
    format!(
        r#"
        [[gateway]]
        name = "twilio"
        kind = "twilio"
        classes = ["marketing"]
        sender = "+14155552671"
        timeout_seconds = 1
        [gateway.twilio]
        account = "${{ACCOUNT}}"
        token = "${{TOKEN}}"
        base_url = "{url}"
        status_callback = "https://shop.example/receipts"
        "#
    )
}

async fn submitted(config: &str, to: &str) -> SmsHandOver {
    let config = SmsConfig::read(config, &secret).unwrap_or_else(|error| panic!("{error}\n{config}"));
    let route = config.gateway_for(MessageClass::Marketing, Some("FR")).expect("takes marketing");
    let gateway = route.open().expect("HTTPS can be set up");
    let message_id = MessageId::new(ID).expect("is an id");
    let told = gateway.submit(&SmsMessage { message_id: &message_id, to, text: TEXT, class: MessageClass::Marketing }).await;
    let shown = format!("{told:?} {config:?}");
    assert!(!shown.contains("hush") && !shown.contains(DIGITS), "neither secrets nor the number are told: {shown}");
    told
}

/// The word and the text of what became of a message.
fn word(told: &SmsHandOver) -> (&'static str, &str) {
    match &told.hand_over {
        HandOver::Accepted { reply } => ("accepted", reply),
        HandOver::Refused { reply, permanent: true } => ("refused", reply),
        HandOver::Refused { reply, permanent: false } => ("later", reply),
        HandOver::NotSent { why } => ("not sent", why),
        HandOver::Late => ("late", ""),
        HandOver::InDoubt { why } => ("in doubt", why),
    }
}

fn check(told: &SmsHandOver, expect: &str, words: &str) {
    let (found, text) = word(told);
    assert!(found == expect && text.contains(words), "expected {expect} with `{words}`, got {told:?}");
}

#[tokio::test]
async fn a_message_as_json() {
    let (url, seen) = provider(200, r#"{"code": 0, "sid": "m-1", "price": "0.0450"}"#).await;
    let told = submitted(&http(&url, JSON), TO).await;
    check(&told, "accepted", "HTTP 200");
    assert_eq!(told.provider_id.as_deref(), Some("m-1"));
    assert_eq!(told.price.map(|price| price.to_string()).as_deref(), Some("0.045 EUR"));
    let seen = seen.lock().expect("nobody panicked").clone();
    let [request] = seen.as_slice() else { panic!("one request, not {seen:?}") };
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/send?key=hush%2FKEY&to=%2B33612345678"));
    assert_eq!(request.headers["authorization"], "Bearer hush/TOKEN");
    assert_eq!(request.headers["idempotency-key"], ID);
    assert_eq!(request.headers["content-type"], "application/json");
    let expect = r#"{"to": "33612345678", "from": "SHOP", "text": "5 € \"off\" & more\n{now}", "pin": "hush/PIN"}"#;
    assert_eq!(request.body, expect);
}

#[tokio::test]
async fn a_message_as_a_form_and_in_the_address() {
    let (url, seen) = provider(202, "queued").await;
    let form = "form = { to = \"{{ to }}\", text = \"{{ text }}\" }\nbasic = { user = \"shop\", password = \"${PASSWORD}\" }";
    let without_header = |text: String| text.replace("Authorization = \"Bearer ${TOKEN}\", ", "");
    check(&submitted(&without_header(http(&url, form)), TO).await, "accepted", "HTTP 202: queued");
    check(&submitted(&http(&url, ""), TO).await, "accepted", "HTTP 202: queued");
    let seen = seen.lock().expect("nobody panicked").clone();
    let [by_form, by_address] = seen.as_slice() else { panic!("two requests, not {seen:?}") };
    assert_eq!(by_form.body, "text=5+%E2%82%AC+%22off%22+%26+more%0A%7Bnow%7D&to=%2B33612345678");
    assert_eq!(by_form.headers["authorization"], "Basic c2hvcDpodXNoL1BBU1NXT1JE");
    assert_eq!((by_address.method.as_str(), by_address.body.as_str()), ("GET", ""));
}

#[tokio::test]
async fn answers_that_refuse() {
    let check_answer = async |status: u16, answer: &'static str, expect: &str, words: &str| {
        let (url, _) = provider(status, answer).await;
        check(&submitted(&http(&url, JSON), TO).await, expect, words);
    };
    let number = r#"{"code": 7, "text": "33612345678 with hush/TOKEN or +33612345678 is unknown"}"#;
    check_answer(200, number, "refused", "HTTP 200: (the number) with *** or (the number) is unknown").await;
    check_answer(200, r#"{"code": 5, "text": "no credit"}"#, "later", "no credit").await;
    check_answer(401, "who are you, hush%2FKEY?", "later", "HTTP 401: who are you, ***?").await;
    check_answer(429, "slow down", "later", "HTTP 429: slow down").await;
    check_answer(503, "", "later", "HTTP 503").await;
    check_answer(307, "", "later", "HTTP 307").await;
    check_answer(500, "oops", "in doubt", "HTTP 500: oops").await;
    check_answer(502, "", "in doubt", "HTTP 502").await;
    check_answer(200, "<html>log in</html>", "in doubt", "does not tell").await;
}

#[tokio::test]
async fn servers_that_fail() {
    for config in [http("http://URL", JSON), twilio("http://URL")] {
        let at = |url: String| config.replace("http://URL", &url);
        check(&submitted(&at(rude(Rude::Closes).await), TO).await, "in doubt", "the connection broke");
        check(&submitted(&at(rude(Rude::BreaksOff).await), TO).await, "in doubt", "does not tell");
        check(&submitted(&at(nobody().await), TO).await, "not sent", "no connection");
    }
}

#[tokio::test]
async fn servers_that_stay_silent() {
    let silent = rude(Rude::StaysSilent).await;
    let (by_http, by_twilio) = (http(&silent, JSON), twilio(&silent));
    let (by_http, by_twilio) = tokio::join!(submitted(&by_http, TO), submitted(&by_twilio, TO));
    check(&by_http, "in doubt", "no answer in time");
    check(&by_twilio, "in doubt", "no answer in time");
}

#[tokio::test]
async fn impossible_numbers_reach_no_server() {
    let (url, seen) = provider(200, r#"{"code": 0}"#).await;
    for config in [http(&url, JSON), twilio(&url)] {
        check(&submitted(&config, "0612345678").await, "refused", "not sent: to: is not in the form of E.164");
        check(&submitted(&config, "+33000").await, "refused", "not sent: to: is no number");
    }
    assert!(seen.lock().expect("nobody panicked").is_empty(), "no server was asked");
}

#[tokio::test]
async fn a_message_by_twilio() {
    let answer = r#"{"sid": "SM1", "status": "queued", "price": "-0.00750", "price_unit": "usd", "num_segments": "2"}"#;
    let (url, seen) = provider(201, answer).await;
    let told = submitted(&twilio(&url), TO).await;
    check(&told, "accepted", "HTTP 201: SM1");
    assert_eq!((told.provider_id.as_deref(), told.segments), (Some("SM1"), Some(2)));
    assert_eq!(told.price.map(|price| price.to_string()).as_deref(), Some("0.0075 USD"));
    let seen = seen.lock().expect("nobody panicked").clone();
    let [request] = seen.as_slice() else { panic!("one request, not {seen:?}") };
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/2010-04-01/Accounts/AC0123/Messages.json"));
    assert_eq!(request.headers["authorization"], "Basic QUMwMTIzOmh1c2gvVE9LRU4=");
    let expect = "To=%2B33612345678&Body=5+%E2%82%AC+%22off%22+%26+more%0A%7Bnow%7D&From=%2B14155552671\
                  &StatusCallback=https%3A%2F%2Fshop.example%2Freceipts";
    assert_eq!(request.body, expect);
}

#[tokio::test]
async fn a_messaging_service_instead_of_a_sender() {
    let (url, seen) = provider(201, r#"{"sid": "SM1", "price": null, "price_unit": "USD", "num_segments": "0"}"#).await;
    let service =
        twilio(&url).replace("sender = \"+14155552671\"", "").replace("base_url", "messaging_service = \"MG1\"\nbase_url");
    let told = submitted(&service, TO).await;
    check(&told, "accepted", "SM1");
    assert_eq!((told.price, told.segments), (None, None));
    let body = seen.lock().expect("nobody panicked")[0].body.clone();
    assert!(body.contains("&MessagingServiceSid=MG1&") && !body.contains("From="), "{body}");
}

#[tokio::test]
async fn twilio_refuses() {
    let check_answer = async |status: u16, answer: &'static str, expect: &str, words: &str| {
        let (url, _) = provider(status, answer).await;
        check(&submitted(&twilio(&url), TO).await, expect, words);
    };
    let stopped = r#"{"code": 21610, "message": "Attempt to send to unsubscribed recipient", "status": 400}"#;
    check_answer(400, stopped, "refused", "HTTP 400: 21610 Attempt to send to unsubscribed recipient").await;
    let invalid = r#"{"code": 21211, "message": "The 'To' number +33612345678 is not a valid phone number."}"#;
    check_answer(400, invalid, "refused", "21211 The 'To' number (the number) is not").await;
    check_answer(401, r#"{"code": 20003, "message": "Authenticate"}"#, "later", "20003 Authenticate").await;
    check_answer(429, r#"{"code": 20429, "message": "Too Many Requests"}"#, "later", "20429").await;
    check_answer(503, "", "later", "HTTP 503").await;
    check_answer(500, r#"{"code": 20500, "message": "Internal"}"#, "in doubt", "20500 Internal").await;
    check_answer(504, "", "in doubt", "HTTP 504").await;
    check_answer(200, "{}", "in doubt", "does not tell").await;
}
