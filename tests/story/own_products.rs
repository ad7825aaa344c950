//! A campaign shows each contact the products they looked at, filled up with what everybody is shown, and takes in a snippet: as they
//! are in the reader's language, escaped, with links that are led and counted.

use reqwest::redirect::Policy;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::shop::Shop;
use crate::support::until;

const PRODUCTS: &str = "
- { product: boots, title: Boots <& Co>, url: 'https://shop.example/p/boots?a=1&b=2', image: 'https://shop.example/boots.jpg',
    locales: { de: { title: Stiefel, url: 'https://shop.example/de/boots' } } }
- { product: jacket, title: Jacket, url: 'https://shop.example/p/jacket' }
- { product: socks, title: Socks, url: 'https://shop.example/p/socks' }
- { product: hat, title: Hat, url: 'https://shop.example/p/hat' }
- { product: scarf, title: Scarf, url: 'https://shop.example/p/scarf' }
";

const SNIPPETS: &str = "
- snippet: footer
  content: '<p>Shop Ltd <a href=\"{{ unsubscribe_url }}\">Unsubscribe</a></p>'
  locales: { de: '<p>Laden GmbH <a href=\"{{ unsubscribe_url }}\">Abmelden</a></p>' }
";

const HTML: &str = "<h1>{{ campaign }}</h1>{% for item in slots.viewed %}<p><a href=\"{{ item.url }}\">{{ item.title }}</a>\
                    {% if item.price is defined %} {{ item.price | money(item.currency) }}{% endif %}</p>{% endfor %}\
                    {% include 'snippets/footer' %}";

fn copy() -> Value {
    let other = json!({ "subject": "Für Sie", "html": HTML });
    json!({ "language": "en", "subject": "For you: {{ slots.viewed[0].title }}", "html": HTML, "locales": { "de": other } })
}

async fn put(shop: &Shop, path: &str, text: &str) {
    shop.client.send(Method::PUT, path, "application/yaml", text.into()).await.unwrap();
}

fn did(contact: &str, what: &str, product: &str, at: &str) -> Value {
    json!({ "event_id": format!("{contact} {what} {product} {at}"), "event_time": at, "contact": contact, "kind": "activity",
        "activity": what, "product": product })
}

async fn open() -> Shop {
    let shop = Shop::open("2026-03-02T09:00:00Z").await;
    let person = |(key, country, language): (&str, &str, &str)| {
        json!({ "key": key, "email": format!("{key}@example.test"), "country": country, "language": language,
            "consents": [{ "channel": "email", "basis": "double_opt_in" }] })
    };
    shop.contacts([("ann", "GB", "en"), ("bob", "GB", "en"), ("eva", "DE", "de")].map(person).into()).await;
    put(&shop, "/v1/products", PRODUCTS).await;
    put(&shop, "/v1/snippets", SNIPPETS).await;
    shop.send(Method::PUT, "/v1/prices", &json!([{ "product": "boots", "price": "1249.50", "currency": "GBP" }])).await;
    let events = vec![
        did("ann", "viewed", "jacket", "2026-03-01T10:00:00Z"),
        did("ann", "viewed", "boots", "2026-03-01T11:00:00Z"),
        did("ann", "viewed", "jacket", "2026-03-01T09:00:00Z"),
        did("ann", "viewed", "not-sold-any-more", "2026-03-01T12:00:00Z"),
        did("ann", "carted", "hat", "2026-03-01T12:30:00Z"),
        did("eva", "viewed", "boots", "2026-02-20T11:00:00Z"),
        did("eva", "viewed", "scarf", "2025-02-20T11:00:00Z"),
    ];
    shop.lines("/v1/events", events).await;
    shop.experiment("e", [None; 2]).await;
    shop
}

fn campaign(slots: &Value) -> Value {
    let content = json!({ "a": copy(), "b": copy() });
    json!({ "campaign": "c", "experiment": "e", "from": "news@shop.example", "content": content, "slots": slots })
}

fn viewed() -> Value {
    json!({ "viewed": { "query": "last_viewed", "limit": 3, "fallback": ["boots", "socks", "hat", "scarf"] } })
}

/// The titles of a mail's products, in order.
fn titles(html: &str) -> Vec<&str> {
    let (links, _) = html.rsplit_once("</a>").unwrap();
    let told = links.split("</a>").filter_map(|part| Some(part.rsplit_once("\">")?.1));
    told.filter(|title| !["Unsubscribe", "Abmelden"].contains(title)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_gets_what_they_looked_at_and_then_what_everybody_is_shown() {
    let shop = open().await;
    let start = json!({ "start": "2026-03-02T10:00:00Z", "content": { "a": copy(), "b": copy() }, "slots": viewed() });
    shop.campaign("c", "e", start).await;
    let preview = async |contact: &str| {
        let seen = shop.send(Method::POST, "/v1/campaigns/c/preview", &json!({ "contact": contact })).await;
        seen["html"].as_str().unwrap().to_owned()
    };
    assert_eq!(titles(&preview("ann").await), ["Boots &lt;&amp; Co&gt;", "Jacket", "Socks"]);
    assert_eq!(titles(&preview("bob").await), ["Boots &lt;&amp; Co&gt;", "Socks", "Hat"]);

    // Between plan and hour the snippet stays as it was when the campaign was started; products are as they are now.
    put(&shop, "/v1/snippets", "{ snippet: footer, content: 'Another foot {{ unsubscribe_url }}' }").await;
    put(&shop, "/v1/products", "{ product: jacket, title: Rain jacket, url: 'https://shop.example/p/jacket' }").await;
    shop.client.send(Method::DELETE, "/v1/products/socks", "application/json", Vec::new()).await.unwrap();
    shop.pass(61);
    shop.state("c", &["done"]).await;
    shop.mail(3).await;
    let mails: Vec<String> = shop.raw_mails().iter().map(|raw| mail_of(raw)).collect();
    let of = |name: &str| mails.iter().find(|mail| mail.contains(&format!("To: <{name}@example.test>"))).unwrap();
    let (ann, bob, eva) = (of("ann"), of("bob"), of("eva"));
    assert_eq!(titles(ann), ["Boots &lt;&amp; Co&gt;", "Rain jacket", "Hat"], "{ann}");
    assert_eq!(titles(bob), ["Boots &lt;&amp; Co&gt;", "Hat", "Scarf"], "{bob}");
    assert_eq!(titles(eva), ["Stiefel", "Hat", "Scarf"], "{eva}");
    assert!(ann.contains("£1,249.50") && ann.contains("Shop Ltd") && !ann.contains("Another foot"), "{ann}");
    assert!(ann.contains("Subject: For you: Boots <& Co>"), "{ann}");
    assert!(ann.contains("https://shop.example/p/boots?a=1&b=2"), "the text has the direct link: {ann}");
    assert!(eva.contains("Laden GmbH") && eva.contains("Abmelden"), "{eva}");

    // The link of a product is led, and the click is told.
    let start = ann.find(&format!("{}/t/c/", shop.server.door.url)).unwrap();
    let link: String = ann[start..].chars().take_while(|c| *c != '"').collect();
    let http = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    let answer = http.get(&link).send().await.unwrap();
    assert!(answer.status().is_redirection(), "{}", answer.status());
    assert_eq!(answer.headers()["location"], "https://shop.example/p/boots?a=1&b=2");
    let query = json!({ "sql": "select url from clicks" }).to_string().into_bytes();
    until("the click to be told", async || {
        let rows = shop.client.send(Method::POST, "/v1/sql?format=json", "application/json", query.clone()).await.unwrap();
        (rows == json!([{ "url": "https://shop.example/p/boots?a=1&b=2" }])).then_some(())
    })
    .await;
    shop.server.stop().await.unwrap();
}

/// A mail as text, taken out of its encoding as far as this story needs it.
fn mail_of(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw).replace("=\r\n", "");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let coded = (*first == b'=').then(|| more.get(..2)).flatten().and_then(|two| std::str::from_utf8(two).ok());
        match coded.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &more[2..];
            }
            None => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_filled_is_named_when_the_campaign_is_stored() {
    let shop = open().await;
    let refused = async |path: &str, document: &Value| {
        let http = reqwest::Client::new().put(format!("{}{path}", shop.server.door.url));
        let answer = http.bearer_auth(&shop.server.door.key).json(document).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "{document}");
        answer.json::<Value>().await.unwrap()["error"]["message"].as_str().unwrap().to_owned()
    };
    let check = async |slot: Value, expect: &str| {
        let message = refused("/v1/campaigns", &campaign(&json!({ "viewed": slot }))).await;
        assert!(message.contains(expect), "{message}");
    };
    check(json!({ "query": "last_seen" }), "`slots.viewed.query` is none of last_viewed").await;
    check(json!({ "query": "last_viewed", "limit": 13 }), "`slots.viewed.limit` is 13; write 1 to 12").await;
    check(
        json!({ "query": "SELECT contact_key, product FROM activities" }),
        "slots.viewed.query: a slot's query must give the column position once",
    )
    .await;
    check(json!({ "query": "SELECT contact_key, product, 1 AS position FROM nothing" }), "slots.viewed.query: ").await;
    check(json!({ "query": "last_viewed", "fallback": ["gloves"] }), "slots.viewed.fallback: there is no product `gloves`").await;
    let message = refused("/v1/campaigns", &campaign(&json!({ "seen": { "query": "last_viewed" } }))).await;
    assert!(message.contains("`slots.viewed` is not known; there are slots.seen"), "{message}");

    let mut unknown = campaign(&viewed());
    unknown["content"]["a"]["html"] = json!("{% include 'snippets/header' %}");
    let message = refused("/v1/campaigns", &unknown).await;
    assert!(message.contains("copy `a`, html, line 1: there is no snippet `header`; there are footer"), "{message}");
    let message = refused("/v1/snippets", &json!({ "snippet": "footer", "content": "{% include 'snippets/footer' %}" })).await;
    assert!(message.contains("snippet `footer`, line 1: includes itself"), "{message}");
    let message = refused("/v1/products", &json!({ "product": "x", "title": "X", "url": "javascript:alert(1)" })).await;
    assert!(message.contains("`url` is no address of the web"), "{message}");

    // The other questions, and one in SQL; who has nothing for a slot without a fallback is left out where the copy says so.
    let order = json!({ "event_id": "o", "event_time": "2026-03-01T13:00:00Z", "contact": "ann", "kind": "order", "order_id": "1",
        "amount": "9.00", "currency": "USD" });
    shop.lines("/v1/events", vec![order, did("ann", "carted", "scarf", "2026-03-01T14:00:00Z")]).await;
    let sql = "SELECT a.contact_key, a.product, length(a.product) AS position FROM activities a";
    let slots = json!({ "left": { "query": "abandoned" }, "had": { "query": "last_ordered" }, "cart": { "query": "last_carted" },
        "short": { "query": sql, "limit": 2 } });
    let list = |name: &str| format!("{name}:{{% for item in slots.{name} %}} {{{{ item.product }}}}{{% endfor %}}");
    let text = ["left", "had", "cart", "short"].map(list).join("; ");
    let copy = json!({ "subject": "s", "html": "<p>h</p>", "text": text, "missing": "skip" });
    let mut document = campaign(&slots);
    document["content"] = json!({ "a": copy, "b": copy });
    shop.send(Method::PUT, "/v1/campaigns", &document).await;
    let seen = shop.send(Method::POST, "/v1/campaigns/c/preview", &json!({ "contact": "ann" })).await;
    assert_eq!(seen["text"].as_str().unwrap().trim(), "left: scarf; had: hat; cart: scarf hat; short: hat boots");
    shop.send(Method::POST, "/v1/campaigns/c/start", &json!({})).await;
    let progress = shop.state("c", &["done"]).await["progress"].clone();
    assert_eq!((&progress["accepted"], &progress["skipped"]), (&json!(1), &json!(2)), "{progress}");
    shop.server.stop().await.unwrap();
}
