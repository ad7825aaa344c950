//! Configurations that are right, and what is said of those that are not.

use vocabulary::{MessageClass, Provider};

use crate::sms_config::SmsConfig;

const EVERY_KEY: &str = r#"
[[gateway]]
name = "europe"
kind = "http"
classes = ["marketing"]
countries = ["FR", "DE"]
sender = "SHOP"
messages_per_second = 20.0
timeout_seconds = 60

[[gateway.senders]]
countries = ["FR"]
sender = "38000"

[[gateway.price]]
countries = ["FR"]
per_segment = "0.045"
currency = "EUR"

[[gateway.price]]
per_segment = "0.07"
currency = "EUR"

[gateway.http]
url = "https://sms.example/v1/messages?key=${QUERY_KEY}"
method = "POST"
headers = { Authorization = "Bearer ${API_KEY}", Idempotency-Key = "{{ message_id }}" }
basic = { user = "shop", password = "${PASSWORD}" }
json = '{"to": "{{ to_digits }}", "from": "{{ sender }}", "text": "{{ text }}", "note": "{{ class }} {{ country }} {{ to }}"}'
success = [{ status = ["200-202"] }, { at = "/status", equals = ["0"] }]
permanent = [{ at = "/status", equals = ["7", "9"] }, { matches = "(?i)unknown number" }]
in_doubt = [500]
error = "/text"
id = "/id"
price = { at = "/price", currency = "EUR" }

[gateway.http.receipt]
list = "/results"
id = "/id"
status = "/status"
error = "/error"
delivered = ["DELIVRD"]
failed = ["UNDELIV"]
answer = "ACK"
secret_header = { name = "X-Key", value = "${RECEIPT_KEY}" }

[[gateway]]
name = "world"
kind = "twilio"
classes = ["verification", "marketing"]
sender = "+14155552671"

[gateway.twilio]
account = "${ACCOUNT}"
token = "${TOKEN}"
messaging_service = "MG1"
status_callback = "https://shop.example/receipts/world"
base_url = "https://api.twilio.com"

[[gateway]]
name = "trial"
kind = "twilio"
classes = ["marketing"]
countries = ["FR", "BR"]
named_only = true
sender = "+14155552672"

[gateway.twilio]
account = "${ACCOUNT}"
token = "${TOKEN}"
"#;

fn secret(name: &str) -> Option<String> {
    match name {
        "ACCOUNT" => Some("AC0123".to_owned()),
        "EMPTY" => Some(String::new()),
        "UNSET" => None,
        name => Some(format!("hush-{name}")),
    }
}

fn read(text: &str) -> SmsConfig {
    SmsConfig::read(text, &secret).expect("is right")
}

#[test]
fn a_configuration_with_every_key() {
    let config = read(EVERY_KEY);
    let name = |class, country| config.gateway_for(class, country).map(crate::SmsRoute::name);
    assert_eq!(name(MessageClass::Marketing, Some("FR")), Some("europe"));
    assert_eq!(name(MessageClass::Marketing, Some("BR")), Some("world"));
    assert_eq!(name(MessageClass::Marketing, None), Some("world"));
    assert_eq!(name(MessageClass::Verification, Some("FR")), Some("world"), "each class has its own");
    assert_eq!(name(MessageClass::Transactional, Some("FR")), None);

    let named = |provider: &str, class, country| {
        let provider = Provider::new(provider).expect("is a name");
        config.gateway_of(Some(&provider), class, country).map(crate::SmsRoute::name)
    };
    assert_eq!(named("trial", MessageClass::Marketing, Some("FR")), Some("trial"));
    assert_eq!(named("world", MessageClass::Marketing, Some("FR")), Some("world"), "it names no country, and takes all");
    assert_eq!(named("trial", MessageClass::Marketing, Some("DE")), None, "no other takes its place");
    assert_eq!(named("trial", MessageClass::Verification, Some("FR")), None);
    assert_eq!(named("trail", MessageClass::Marketing, Some("FR")), None);

    let europe = &config.routes()[0];
    let price = |country, segments| europe.price(country, segments).map(|price| price.to_string());
    assert_eq!(price(Some("FR"), 3).as_deref(), Some("0.135 EUR"));
    assert_eq!(price(Some("DE"), 1).as_deref(), Some("0.07 EUR"));
    assert_eq!(config.routes()[1].price(Some("FR"), 1), None);
    assert_eq!(europe.sender(MessageClass::Marketing, Some("FR")), Some("38000"));
    assert_eq!(europe.sender(MessageClass::Marketing, Some("DE")), Some("SHOP"));
    assert_eq!((europe.receipt_answer(), config.routes()[1].receipt_answer()), ("ACK", ""));
    let proofs = config.routes().iter().map(crate::SmsRoute::receipt_proof).collect::<Vec<_>>();
    assert_eq!(proofs[..2], [Some("the header x-key".to_owned()), Some("Twilio's signature".to_owned())]);
    assert_eq!(config.routes().iter().map(crate::SmsRoute::is_named_only).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!((europe.messages_per_second(), europe.countries().len()), (Some(20.0), 2));
}

#[test]
fn secrets_are_not_shown() {
    let config = read(EVERY_KEY);
    let shown = format!("{config:?}");
    assert!(shown.contains("europe") && !shown.contains("hush"), "{shown}");
}

/// Puts `new` in the place of `old`, and checks line and words of the error.
fn check(old: &str, new: &str, line: usize, problem: &str) {
    let text = EVERY_KEY.replacen(old, new, 1);
    assert_ne!(text, EVERY_KEY, "{old} is there");
    let error = SmsConfig::read(&text, &secret).map(|_| ()).expect_err(new).to_string();
    assert!(error.starts_with(&format!("line {line}: ")) && error.contains(problem), "{new}: {error}");
    assert!(!error.contains("hush"), "secrets are not told: {error}");
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    check("sender = \"SHOP\"", "sendr = \"SHOP\"", 7, "unknown field `sendr`");
    check("in_doubt = [500]", "doubt = [500]", 32, "unknown field `doubt`");
    check("\"DE\"]", "\"Germany\"]", 6, "`Germany` is no country");
    check("kind = \"twilio\"", "kind = \"http\"", 47, "write [gateway.http] below it");
    check("kind = \"twilio\"", "kind = \"smpp\"", 49, "unknown variant `smpp`");
    check("classes = [\"marketing\"]", "classes = []", 2, "is empty");
    check("timeout_seconds = 60", "timeout_seconds = 0", 9, "write 1 to 300");
    check("messages_per_second = 20.0", "messages_per_second = 0.0", 8, "is not above 0");
    check("per_segment = \"0.045\"", "per_segment = \"4,5 ct\"", 17, "is no price");
    check("currency = \"EUR\"", "currency = \"EURO\"", 18, "is no ISO 4217 currency");
    check("https://sms.example/v1", "http://sms.example/v1", 25, "unencrypted");
    check("${API_KEY}", "${UNSET}", 27, "the secret UNSET has no value");
    check("${API_KEY}", "${EMPTY}", 27, "the secret EMPTY has no value");
    check("\"${PASSWORD}\"", "\"open sesame\"", 28, "is a secret; write ${NAME}");
    check("\"{{ text }}\"", "{{ text }}", 29, "does not become JSON");
    check("{{ to_digits }}", "{{ phone }}", 29, "`phone` is no name here");
    check("[\"200-202\"]", "[\"2xx\"]", 30, "is no range");
    check("(?i)unknown", "(unknown", 31, "is no regular expression");
    check("id = \"/id\"", "id = \"id\"", 34, "is no place in JSON");
    check("secret_header = { name = \"X-Key\", value = \"${RECEIPT_KEY}\" }\n", "", 37, "needs one of `secret_header`");
    check("error = \"/error\"", "error = \"error\"", 41, "mixes places in JSON");
    check("name = \"world\"", "name = \"europe\"", 47, "an earlier gateway has the same name");
    check("countries = [\"FR\", \"DE\"]\n", "", 46, "takes marketing to every country already");
    check("named_only = true\n", "", 60, "`europe` takes marketing to FR already");
    check("named_only = true", "named_only = 1", 65, "expected a boolean");
    check("token = \"${TOKEN}\"", "token = \"0123456789\"", 55, "is a secret; write ${NAME}");
    check("base_url = \"https://api", "base_url = \"http://api", 58, "unencrypted");
}

#[test]
fn a_syntax_error_does_not_show_the_line() {
    let error = SmsConfig::read("[[gateway]]\npassword = open sesame", &secret).map(|_| ()).expect_err("no TOML").to_string();
    assert!(error.starts_with("line 2: ") && !error.contains("sesame"), "{error}");
}
