//! Before a campaign is started its author gets the real message: signed, in the reader's language, with links that lead somewhere
//! and count for nobody.

use std::process::Command;

use reqwest::Method;
use reqwest::redirect::Policy;
use serde_json::{Value, json};

use super::signed_mail::{new_keys, verify};
use crate::support::shop::Shop;
use crate::support::{python, run, sendlab, sql, text, until};

/// Takes a mail apart as mail programs do.
const READ: &str = "
import email, email.policy, html as entities, json, re, sys
mail = email.message_from_binary_file(open(sys.argv[1], 'rb'), policy=email.policy.default)
html = mail.get_body(preferencelist=('html',)).get_content()
page = entities.unescape(html)
print(json.dumps({'to': mail['To'], 'from': mail['From'], 'subject': mail['Subject'], 'html': html, 'list': mail['List-Id'],
    'unsubscribe': mail['List-Unsubscribe'].strip('<>'), 'post': mail['List-Unsubscribe-Post'],
    'clicks': re.findall(r'href=\"([^\"]*/t/c/[^\"]*)\"', page), 'preferences': re.findall(r'href=\"([^\"]*/t/p/[^\"]*)\"', page),
    'opens': re.findall(r'src=\"([^\"]*/t/o/[^\"]*)\"', page)}))
";

async fn campaign(shop: &Shop, id: &str) {
    let body = |greeting: &str| {
        format!(
            "<html><body><p>{greeting} {{{{ contact.attributes.first_name }}}}</p><p><a href=\"https://shop.example/sale\">1</a>\
             <a href=\"https://shop.example/new\">2</a></p>\
             <p><a href=\"{{{{ unsubscribe_url }}}}\">3</a> <a href=\"{{{{ preferences_url }}}}\">4</a></p></body></html>"
        )
    };
    let copy = json!({
        "language": "en", "subject": "Sale", "html": body("Hello"),
        "locales": { "zh-Hant": { "subject": "特賣", "html": body("您好") }, "pt-BR": { "subject": "Ofertas", "html": body("Olá") } },
    });
    let plain = json!({ "subject": "Plain", "html": body("Hi") });
    let campaign =
        json!({ "campaign": id, "experiment": "e", "from": "Shop <news@shop.example>", "content": { "a": plain, "b": copy } });
    shop.send(Method::PUT, "/v1/campaigns", &campaign).await;
}

async fn mei(shop: &Shop) {
    let mei = json!({
        "key": "mei", "email": "mei@example.test", "country": "HK", "language": "zh-HK", "attributes": { "first_name": "Mei" },
        "consents": [{ "channel": "email", "basis": "double_opt_in" }],
    });
    shop.contacts(vec![mei]).await;
}

/// Why a call is refused.
async fn refused(shop: &Shop, path: &str, body: Value) -> String {
    let sent = shop.client.send(Method::POST, path, "application/json", body.to_string().into_bytes()).await;
    format!("{:#}", sent.unwrap_err())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_author_gets_the_real_message_and_it_counts_for_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, records) = new_keys(folder.path());
    let shop = Shop::signed(keys).await;
    shop.pass(2 * 60);
    mei(&shop).await;
    shop.experiment("e", [None; 2]).await;
    campaign(&shop, "c").await;
    let asked = json!({ "variant": "b", "contact": "mei", "to": ["kim@shop.example", "Lee@Shop.Example"] });
    let told = shop.send(Method::POST, "/v1/campaigns/c/test-sends", &asked).await;
    assert_eq!((&told["variant"], &told["language"]), (&json!("b"), &json!("zh-Hant")));
    shop.mail(2).await;
    let read = |raw: &[u8]| -> Value {
        let file = folder.path().join("mail");
        std::fs::write(&file, raw).unwrap();
        serde_json::from_str(&run(Command::new(python()).args(["-c", READ]).arg(file))).unwrap()
    };
    let mails = shop.raw_mails();
    for raw in &mails {
        assert_eq!(verify(folder.path(), &records, raw), json!([true, true]), "signed as real ones are");
    }
    assert_eq!(shop.recipients(), ["Lee@shop.example", "kim@shop.example"]);
    let mail = read(&mails[0]);
    assert_eq!((&mail["subject"], &mail["from"]), (&json!("[Test] 特賣"), &json!("Shop <news@shop.example>")), "{mail}");
    assert!(mail["html"].as_str().unwrap().contains("您好 Mei"), "{mail}");
    assert_eq!((&mail["post"], &mail["list"]), (&json!("List-Unsubscribe=One-Click"), &json!("<c>")), "{mail}");

    // Everything in it works, and nothing of it is noted.
    let http = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    let first = |field: &str| mail[field][0].as_str().unwrap_or_else(|| panic!("{field} of {mail}")).to_owned();
    let click = http.get(first("clicks")).send().await.unwrap();
    assert_eq!((click.status().as_u16(), &click.headers()["location"]), (302, &"https://shop.example/sale".parse().unwrap()));
    assert_eq!(http.get(first("opens")).send().await.unwrap().status(), 200);
    let exit = mail["unsubscribe"].as_str().unwrap();
    assert_eq!(http.get(exit).send().await.unwrap().status(), 200);
    for (url, body) in [(exit, "List-Unsubscribe=One-Click"), (&first("preferences"), "")] {
        let answer = http.post(url).body(body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.text().await.unwrap().contains("Test message"), "{url}");
    }
    let held = shop.client.get("/v1/contacts/mei/export").await.unwrap();
    assert_eq!((&held["suppressions"], &held["messages"]), (&json!([]), &json!([])), "{held}");
    for table in ["messages", "deliveries", "opens", "clicks", "feedback", "assignments"] {
        assert_eq!(sql(&shop.client, &format!("SELECT 1 FROM {table}")).await, Vec::<Value>::new(), "{table}");
    }
    let row = shop.client.get("/v1/campaigns/c").await.unwrap();
    assert_eq!((&row["state"], &row["progress"]["accepted"]), (&json!("draft"), &json!(0)));
    let listed = shop.client.get("/v1/campaigns/c/test-sends").await.unwrap();
    let states: Vec<_> = listed.as_array().unwrap().iter().map(|row| (&row["variant"], &row["state"])).collect();
    assert_eq!(states, [(&json!("b"), &json!("accepted")); 2]);

    // The contact gets the real one all the same.
    shop.send(Method::POST, "/v1/campaigns/c/start", &json!({})).await;
    assert_eq!(shop.state("c", &["done"]).await["progress"]["accepted"], 1);
    assert!(shop.recipients().contains(&"mei@example.test".to_owned()));
    // What is followed in that one counts, with the place of the link in the message.
    let real = read(&shop.raw_mail(3).await);
    let second = real["clicks"][1].as_str().unwrap_or_else(|| panic!("two links in {real}"));
    assert_eq!(http.get(second).send().await.unwrap().status(), 302);
    let links =
        "SELECT position, url, clicks + suspect_clicks + machine_clicks AS followed FROM link_clicks WHERE campaign_id = 'c'";
    let expect = json!([{ "position": 2, "url": "https://shop.example/new", "followed": 1 }]);
    assert_eq!(json!(sql(&shop.client, links).await), expect);
    shop.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_is_asked_for_by_command_and_addresses_are_refused_by_name() {
    let shop = Shop::open("2026-03-02T09:00:00Z").await;
    mei(&shop).await;
    shop.experiment("e", [None; 2]).await;
    campaign(&shop, "c").await;
    let path = "/v1/campaigns/c/test-sends";
    let suppress = json!({ "emails": ["gone@shop.example"], "reason": "hard_bounced" });
    shop.send(Method::POST, "/v1/suppressions", &suppress).await;
    let all = refused(&shop, path, json!({ "to": ["kim@shop.example", "gone@shop.example", "kim", "KIM@shop.example"] })).await;
    assert!(all.contains("`gone@shop.example` is refused: ") && all.contains("hard-bounced") && all.contains("`kim` "), "{all}");
    let many: Vec<String> = (0..11).map(|number| format!("a{number}@shop.example")).collect();
    let many = refused(&shop, path, json!({ "to": many })).await;
    assert!(many.contains("to: names 11 addresses") && many.contains("name 1 to 10"), "{many}");
    let lacks = refused(&shop, path, json!({ "to": ["kim@shop.example"] })).await;
    assert!(lacks.contains("first_name"), "nobody has no name: {lacks}");
    let unknown = refused(&shop, path, json!({ "contact": "mei", "locale": "de", "to": ["kim@shop.example"] })).await;
    assert!(unknown.contains("unknown field `locale`"), "{unknown}");

    let data = shop.folder.path().join("data");
    let command = |more: &[&str]| {
        let mut command = sendlab(&data);
        command.args(["campaign", "test-send", "c", "--contact", "mei", "--to", "kim@shop.example"]).args(more);
        tokio::task::spawn_blocking(move || command.output().expect("the command starts"))
    };
    let output = command(&["--variant", "b", "--locale", "pt-BR"]).await.unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).starts_with("Variant b: [Test] Ofertas\n  kim@shop.example: accepted (250"), "{}", text(&output));
    let output = command(&["--to", "gone@shop.example"]).await.unwrap();
    assert!(!output.status.success() && text(&output).contains("`gone@shop.example` is refused"), "{}", text(&output));
    assert_eq!(shop.recipients(), ["kim@shop.example"], "nothing of what was refused has left");
    shop.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_message_is_tested_by_the_gateway_of_its_class() {
    let (url, taken) = super::receipts::providers("").await;
    let config = super::receipts::config(&url).replace("classes = [\"transactional\"]", "classes = [\"marketing\"]");
    let shop = Shop::texting("2026-03-02T12:30:00Z", &config).await;
    shop.experiment("e", [None; 2]).await;
    let copy = json!({ "text": "Shop: all half price. Reply STOP to end" });
    let campaign =
        json!({ "campaign": "c", "experiment": "e", "channel": "sms", "from": "", "content": { "a": copy, "b": copy } });
    shop.send(Method::PUT, "/v1/campaigns", &campaign).await;
    let told = shop.send(Method::POST, "/v1/campaigns/c/test-sends", &json!({ "to": ["+49 1512 3456789"] })).await;
    assert_eq!((&told["subject"], &told["sent"][0]["to"]), (&Value::Null, &json!("+4915123456789")));
    until("the text message to be taken", async || {
        let listed = shop.client.get("/v1/campaigns/c/test-sends").await.ok()?;
        (listed[0]["state"] == "accepted").then_some(())
    })
    .await;
    assert_eq!(taken.numbers(), ["+4915123456789"]);
    // The provider tells of it; it is known, and no event.
    let receipts = format!("{}/v1/receipts/asia", shop.client.url());
    let delivered = json!([{ "id": "sm-0", "state": "DELIVRD" }]);
    assert_eq!(super::receipts::tell(&receipts, Some("secret"), delivered).await.0, 200);
    assert_eq!(shop.client.get("/v1/receipts").await.unwrap()[0]["waiting"], 0);
    for table in ["messages", "deliveries"] {
        assert_eq!(sql(&shop.client, &format!("SELECT 1 FROM {table}")).await, Vec::<Value>::new(), "{table}");
    }
    shop.server.stop().await.unwrap();
}
