//! One campaign, three readers: each gets the letter in their language, with amounts, dates and plurals as they write them, from the
//! side they read from, signed, and with an exit that works; and a text message whose price is known.

use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::response::IntoResponse;
use reqwest::Method;
use serde_json::{Value, json};

use super::signed_mail::{new_keys, verify};
use crate::support::shop::Shop;
use crate::support::{python, run, sql, until};

/// Takes a mail apart as mail programs do.
const READ: &str = "
import email, email.policy, json, sys
mail = email.message_from_binary_file(open(sys.argv[1], 'rb'), policy=email.policy.default)
part = lambda kind: mail.get_body(preferencelist=(kind,)).get_content()
print(json.dumps({'to': mail['To'], 'subject': mail['Subject'], 'html': part('html'), 'text': part('plain'),
    'unsubscribe': mail['List-Unsubscribe'].strip('<>'), 'post': mail['List-Unsubscribe-Post']}))
";

fn letter() -> Value {
    let body = |greeting: &str, plural: &str, until: &str, price: &str, exit: &str| {
        format!(
            "<html><body><h1>{greeting}</h1><p>{{{{ 3 | plural({plural}) }}}}</p><p>{until} {{{{ \"2026-11-11\" | date(\"long\") }}}}</p>\
             <p>{price} {{{{ 1299.5 | money(contact.attributes.currency) }}}}</p><p><a href=\"{{{{ unsubscribe_url }}}}\">{exit}</a></p>\
             </body></html>"
        )
    };
    json!({
        "language": "en",
        "subject": "Double Eleven",
        "html": body("Hello", "one=\"# coupon\", other=\"# coupons\"", "Until", "From", "Unsubscribe"),
        "locales": {
            "zh-Hant": { "subject": "雙十一", "html": body("您好", "other=\"# 張優惠券\"", "截止", "低至", "取消訂閱") },
            "ar": {
                "subject": "عرض ١١/١١",
                "html": body("مرحبا", "zero=\"لا قسائم\", one=\"قسيمة\", two=\"قسيمتان\", few=\"# قسائم\", many=\"# قسيمة\", other=\"# قسيمة\"",
                    "حتى", "ابتداءً من", "إلغاء الاشتراك"),
            },
            "pt-BR": { "subject": "Onze do onze", "html": body("Olá", "one=\"# cupom\", many=\"# cupons\", other=\"# cupons\"", "Até", "A partir de", "Cancelar inscrição") },
        },
    })
}

fn readers() -> Vec<Value> {
    let person = |key: &str, country: &str, language: &str, currency: &str, phone: &str| {
        json!({
            "key": key, "email": format!("{key}@example.test"), "phone": phone, "country": country, "language": language,
            "attributes": { "currency": currency },
            "consents": [
                { "channel": "email", "basis": "double_opt_in" }, { "channel": "sms", "basis": "double_opt_in" },
            ],
        })
    };
    vec![
        person("mei", "HK", "zh-HK", "HKD", "+85251234567"),
        person("nour", "AE", "ar-AE", "AED", "+971501234567"),
        person("rui", "BR", "pt-BR", "BRL", "+5511961234567"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reader_gets_the_letter_in_their_language() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, records) = new_keys(folder.path());
    let shop = Shop::signed(keys).await;
    shop.pass(2 * 60);
    shop.contacts(readers()).await;
    shop.experiment("e", [None; 2]).await;
    shop.campaign("c", "e", json!({ "content": { "a": letter(), "b": letter() } })).await;
    shop.state("c", &["done"]).await;
    let mut letters: Vec<Value> = Vec::new();
    for (number, raw) in shop.raw_mails().into_iter().enumerate() {
        assert_eq!(verify(folder.path(), &records, &raw), json!([true, true]), "both signatures are true in every language");
        let file = folder.path().join(number.to_string());
        std::fs::write(&file, raw).unwrap();
        letters.push(serde_json::from_str(&run(Command::new(python()).args(["-c", READ]).arg(file))).unwrap());
    }
    let of = |key: &str| letters.iter().find(|letter| letter["to"] == format!("{key}@example.test")).unwrap();
    let check = |key: &str, subject: &str, head: &str, words: &[&str]| {
        let letter = of(key);
        assert_eq!(letter["subject"], subject);
        let html = letter["html"].as_str().unwrap();
        assert!(html.contains(head), "{html}");
        for word in words {
            assert!(html.contains(word), "`{word}` is not in {html}");
            // A text part has no space that does not break.
            let word = word.replace('\u{a0}', " ");
            assert!(
                letter["text"].as_str().unwrap().replace('\u{a0}', " ").contains(&word),
                "`{word}` is not in {}",
                letter["text"]
            );
        }
    };
    check(
        "mei",
        "雙十一",
        "<html lang=\"zh-Hant\" dir=\"ltr\"",
        &["您好", "3 張優惠券", "2026年11月11日", "HK$1,299.50", "取消訂閱"],
    );
    check(
        "nour",
        "عرض ١١/١١",
        "<html lang=\"ar\" dir=\"rtl\"",
        &["مرحبا", "3 قسائم", "11 نوفمبر 2026", "1,299.50", "د.إ.", "إلغاء الاشتراك"],
    );
    check(
        "rui",
        "Onze do onze",
        "<html lang=\"pt-BR\" dir=\"ltr\"",
        &["Olá", "3 cupons", "11 de novembro de 2026", "R$\u{a0}1.299,50", "Cancelar inscrição"],
    );

    // Looking at the exit leaves nobody out; the mail program's button does.
    let exit = of("mei");
    assert_eq!(exit["post"], "List-Unsubscribe=One-Click");
    let url = exit["unsubscribe"].as_str().unwrap();
    let suppressed = async || {
        let held = shop.client.get("/v1/contacts/mei/export").await.unwrap();
        held["suppressions"].as_array().unwrap().len()
    };
    let http = reqwest::Client::new();
    let page = http.get(url).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("lang=\"zh-Hant"), "{page}");
    assert_eq!(suppressed().await, 0);
    let posted = http.post(url).body("List-Unsubscribe=One-Click").send().await.unwrap();
    assert!(posted.status().is_success());
    assert_eq!(suppressed().await, 1);
    shop.server.stop().await.unwrap();
}

/// What the provider's gateway was asked.
pub(super) type Asked = Arc<Mutex<Vec<Value>>>;

/// A provider of text messages: the one part of this story that is paid for, so it speaks the provider's protocol and keeps what it hears.
pub(super) async fn provider() -> (String, Asked) {
    let asked = Asked::default();
    let take = async |State(asked): State<Asked>, body: String| {
        let message: Value = serde_json::from_str(&body).expect("the gateway sends JSON");
        asked.lock().unwrap().push(message);
        (axum::http::StatusCode::ACCEPTED, r#"{"id": "sm-1", "status": "queued"}"#).into_response()
    };
    let router = axum::Router::new().route("/messages", axum::routing::post(take)).with_state(asked.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/messages", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reader_gets_a_text_message_whose_price_is_known() {
    let (url, asked) = provider().await;
    let config = format!(
        "[[gateway]]\nname = \"asia\"\nkind = \"http\"\nclasses = [\"transactional\"]\nsender = \"SHOP\"\n\
         [[gateway.price]]\ncountries = [\"HK\"]\nper_segment = \"0.05\"\ncurrency = \"USD\"\n\
         [[gateway.price]]\nper_segment = \"0.02\"\ncurrency = \"USD\"\n\
         [gateway.http]\nurl = \"{url}\"\nmethod = \"POST\"\njson = '{{\"to\": \"{{{{ to }}}}\", \"text\": \"{{{{ text }}}}\", \"id\": \"{{{{ message_id }}}}\"}}'\n\
         success = [{{ status = [\"202\"] }}]\nid = \"/id\"\n"
    );
    let shop = Shop::texting("2026-03-02T12:30:00Z", &config).await;
    shop.contacts(readers()).await;
    shop.experiment("e", [None; 2]).await;
    let copy = json!({
        "language": "en", "text": "Shop: from {{ 1299.5 | money(contact.attributes.currency) }}. Reply STOP to end",
        "locales": {
            "zh-Hant": { "text": "【商店】低至 {{ 1299.5 | money(contact.attributes.currency) }}，優惠到 {{ \"2026-11-11\" | date(\"long\") }} 為止，數量有限，售完即止。請於官方網站下單，結帳時自動折扣。回覆 STOP 取消訂閱" },
            "ar": { "text": "المتجر: ابتداءً من {{ 1299.5 | money(contact.attributes.currency) }}. للإلغاء أرسل STOP" },
            "pt-BR": { "text": "Loja: a partir de {{ 1299.5 | money(contact.attributes.currency) }}. Responda STOP para sair" },
        },
    });
    let more = json!({ "channel": "sms", "class": "transactional", "from": "", "content": { "a": copy, "b": copy } });
    shop.campaign("c", "e", more).await;
    let end = shop.state("c", &["done"]).await["progress"].clone();
    assert_eq!(end["accepted"], 3, "{end}");
    let texts = asked.lock().unwrap().clone();
    let to = |number: &str| texts.iter().find(|text| text["to"] == number).unwrap()["text"].as_str().unwrap().to_owned();
    assert!(to("+85251234567").contains("HK$1,299.50") && to("+85251234567").contains("2026年11月11日"));
    assert!(to("+971501234567").starts_with("المتجر"));
    assert!(to("+5511961234567").contains("R$\u{a0}1.299,50"));

    let preview = async |contact: &str| shop.send(Method::POST, "/v1/campaigns/c/preview", &json!({ "contact": contact })).await;
    let mei = preview("mei").await;
    assert_eq!(
        (&mei["segments"]["segments"], &mei["segments"]["encoding"], &mei["price"]),
        (&json!(2), &json!("ucs2"), &json!("0.10 USD")),
        "{mei}"
    );
    assert_eq!((&mei["text"], &mei["direction"], &mei["gateway"]), (&json!(to("+85251234567")), &json!("ltr"), &json!("asia")));
    let nour = preview("nour").await;
    assert_eq!(
        (&nour["segments"]["segments"], &nour["price"], &nour["direction"]),
        (&json!(1), &json!("0.02 USD"), &json!("rtl")),
        "{nour}"
    );
    let rui = preview("rui").await;
    // One character costs the GSM alphabet: the space that does not break, which Brazilian amounts have.
    assert_eq!((&rui["segments"]["culprit"], &rui["segments"]["instead"]), (&json!("\u{a0}"), &json!(" ")), "{rui}");
    let rows = until("the messages to be told", async || {
        let rows = sql(&shop.client, "SELECT provider, sum(cost_minor) AS cost FROM messages GROUP BY provider").await;
        (rows.len() == 1).then_some(rows)
    })
    .await;
    assert_eq!(json!(rows), json!([{ "provider": "asia", "cost": 14 }]), "two segments to Hong Kong, one to each of the others");

    let run = shop.send(Method::POST, "/v1/campaigns/c/dry-run", &json!({})).await;
    let cost = json!({ "amounts": ["0.14 USD"], "sampled": 3, "unpriced": 0 });
    assert_eq!((&run["sent"], &run["cost"]), (&json!(3), &cost), "what it costs is known before: {run}");

    let warnings = json!({ "markets": ["HK", "AE", "BR"], "languages": ["zh-HK", "ar-AE", "pt-BR", "fr"] });
    let warnings = shop.send(Method::POST, "/v1/campaigns/c/lint", &warnings).await;
    let codes: Vec<&str> = warnings.as_array().unwrap().iter().map(|warning| warning["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"language_uncovered"), "{warnings}");
    shop.server.stop().await.unwrap();
}
