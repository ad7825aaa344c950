//! Somebody subscribes on a form, confirms it, gets a campaign, and changes their mind on the page behind its link, and again.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::shop::Shop;
use crate::support::workspace;

/// The link to a page of ours in a mail.
fn link(shop: &Shop, mail: &str, page: &str) -> String {
    let start = mail.find(&format!("{}{page}", shop.server.door.url)).unwrap_or_else(|| panic!("no {page} in {mail}"));
    mail[start..].chars().take_while(|c| !c.is_whitespace() && !"\"<>&".contains(*c)).collect()
}

async fn visit(method: Method, url: &str, body: &'static str) -> (StatusCode, String) {
    let request = reqwest::Client::new().request(method, url).body(body).header("X-Forwarded-For", "203.0.113.9, 10.0.0.1");
    let answer = request.header("Content-Type", "application/x-www-form-urlencoded").send().await.unwrap();
    assert!(answer.headers().get("set-cookie").is_none());
    (answer.status(), answer.text().await.unwrap())
}

/// Sends a campaign to everybody; how many got it.
async fn sent(shop: &Shop, campaign: &str) -> u64 {
    // Two messages in one hour are too many.
    shop.pass(24 * 60);
    shop.campaign(campaign, "e", json!({})).await;
    shop.state(campaign, &["done"]).await["progress"]["accepted"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_confirmed_changed_and_given_again() {
    let shop = Shop::open("2026-03-02T08:00:00Z").await;
    let forms = std::fs::read(workspace().join("data/samples/forms.yaml")).unwrap();
    let stored = shop.client.send(Method::PUT, "/v1/forms", "application/yaml", forms).await.unwrap();
    let url = stored[0]["url"].as_str().unwrap();
    assert!(stored[0]["html"].as_str().unwrap().contains(&format!("action=\"{url}\"")));
    let (status, page) = visit(Method::GET, url, "").await;
    assert!(status == StatusCode::OK && page.contains("lang=\"de\"") && page.contains("Ja, ich möchte"), "{page}");
    assert!(!page.contains("<script"));

    assert_eq!(visit(Method::POST, url, "email=no+address").await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(visit(Method::POST, url, "email=kim%40shop.example&website=x").await.0, StatusCode::OK);
    let (status, page) = visit(Method::POST, url, "email=Kim%40Shop.example").await;
    assert!(status == StatusCode::OK && page.contains("Fast geschafft"), "{page}");
    let mail = shop.mail(1).await;
    assert!(!mail.contains("List-Unsubscribe") && mail.contains("To: <Kim@shop.example>"), "{mail}");
    let confirm = link(&shop, &mail, "/f/confirm/");
    let contacts = async || {
        let body = json!({ "sql": "select count(*) as n from contacts" }).to_string().into_bytes();
        let rows = shop.client.send(Method::POST, "/v1/sql?format=json", "application/json", body).await.unwrap();
        rows[0]["n"].as_u64().unwrap()
    };
    // Scanners follow links; nobody is a contact yet.
    assert!(visit(Method::GET, &confirm, "").await.1.contains("Anmeldung bestätigen"));
    assert_eq!(contacts().await, 0);
    assert!(visit(Method::POST, &confirm, "").await.1.contains("Du bist angemeldet"));
    assert_eq!(visit(Method::POST, &confirm, "").await.0, StatusCode::NOT_FOUND, "a link confirms once");
    // Whoever is asked often enough today is not asked again, and hears the same.
    for _ in 0..5 {
        assert_eq!(visit(Method::POST, url, "email=lee%40shop.example").await.0, StatusCode::OK);
    }
    shop.mail(4).await;

    shop.experiment("e", [None; 2]).await;
    assert_eq!(sent(&shop, "one").await, 1);
    let preferences = link(&shop, &shop.mail(5).await, "/t/p/");
    let page = visit(Method::GET, &preferences, "").await.1;
    assert!(page.contains("name=\"email\" checked") && page.contains("lang=\"de\"") && page.contains("Speichern"), "{page}");
    assert_eq!(sent(&shop, "two").await, 1);
    assert!(!visit(Method::POST, &preferences, "").await.1.contains("checked"));
    assert_eq!(sent(&shop, "three").await, 0);
    assert!(visit(Method::POST, &preferences, "email=on").await.1.contains("name=\"email\" checked"));
    assert_eq!(sent(&shop, "four").await, 1);

    let body = json!({ "sql": "select country, language, source from contacts" }).to_string().into_bytes();
    let rows = shop.client.send(Method::POST, "/v1/sql?format=json", "application/json", body).await.unwrap();
    assert_eq!(rows, json!([{ "country": "DE", "language": "de", "source": "form newsletter-de" }]));
    shop.server.stop().await.unwrap();
}
