//! The links in messages and the events they leave.

use super::*;

const BROWSER: &str =
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148";

impl Server {
    /// Follows a link as a mail program does: without a key.
    async fn follow(&self, method: Method, url: &str, user_agent: &str) -> Answer {
        let path = url.strip_prefix("http://test.example").expect("a link of this server");
        let request = Request::builder().method(method).uri(path).header(header::USER_AGENT, user_agent);
        self.send(request.body(Body::empty()).unwrap()).await
    }
}

#[tokio::test]
async fn an_open_is_recorded_each_time() {
    let server = Server::start().await;
    let (message, _) = server.sent_message(60).await;
    for _ in 0..2 {
        let answer = server.follow(Method::GET, &server.links.open(&message), BROWSER).await.expect(StatusCode::OK);
        assert_eq!((answer.header(header::CONTENT_TYPE), answer.header(header::CACHE_CONTROL)), ("image/gif", "no-store"));
        assert!(answer.body.starts_with(b"GIF89a"));
    }
    let rows = server
        .rows("SELECT message_id, campaign_id, experiment_id, variant, channel, market, machine, recommendation_id FROM opens")
        .await;
    let row = json!({"message_id": message, "campaign_id": "spring-1", "experiment_id": "spring", "variant": "warm", "channel": "email",
        "market": "DE", "machine": false, "recommendation_id": "r1"});
    assert_eq!(rows, json!([row, row]));
}

#[tokio::test]
async fn machines_are_flagged_not_dropped() {
    let server = Server::start().await;
    let (message, _) = server.sent_message(60).await;
    let open = server.links.open(&message);
    server.follow(Method::GET, &open, "Mozilla/5.0").await.expect(StatusCode::OK);
    server.follow(Method::HEAD, &open, BROWSER).await.expect(StatusCode::OK);
    server.follow(Method::GET, &open, BROWSER).await.expect(StatusCode::OK);
    assert_eq!(
        server.rows("SELECT machine, count(*) AS n FROM opens GROUP BY machine ORDER BY machine").await,
        json!([{"machine": false, "n": 1}, {"machine": true, "n": 2}])
    );
}

#[tokio::test]
async fn an_open_within_two_seconds_is_a_machines() {
    let server = Server::start().await;
    let (message, _) = server.sent_message(1).await;
    server.follow(Method::GET, &server.links.open(&message), BROWSER).await.expect(StatusCode::OK);
    assert_eq!(server.rows("SELECT machine FROM opens").await, json!([{"machine": true}]));
}

#[tokio::test]
async fn a_click_leads_to_the_signed_target_only() {
    let server = Server::start().await;
    let (message, _) = server.sent_message(60).await;
    let url = server.links.click(&message, "https://shop.example/ü?a=1", None);
    let answer = server.follow(Method::GET, &format!("{url}?url=https://evil.example/"), BROWSER).await.expect(StatusCode::FOUND);
    assert_eq!(answer.header(header::LOCATION), "https://shop.example/%C3%BC?a=1");
    assert_eq!(
        server.rows("SELECT url, machine FROM clicks").await,
        json!([{"url": "https://shop.example/ü?a=1", "machine": false}])
    );
    let forged = url.replace("/t/c/", "/t/c/A");
    let answer = server.follow(Method::GET, &forged, BROWSER).await.expect(StatusCode::NOT_FOUND);
    assert_eq!(answer.header(header::LOCATION), "");
    let script = server.links.click(&message, "javascript:alert(1)", None);
    server.follow(Method::GET, &script, BROWSER).await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_click_tells_which_link_of_the_message_it_was() {
    let server = Server::start().await;
    let (message, _) = server.sent_message(60).await;
    let html = r#"<p><a href="https://shop.example/a">1</a> <a href="https://shop.example/b">2</a></p>"#;
    let how = content::Tracking { links: &server.links, message: &message, fields: &[], has_trap: false };
    let tracked = content::track(html, &how);
    let second = tracked.split("href=\"").nth(2).and_then(|rest| rest.split('"').next()).unwrap();
    server.follow(Method::GET, second, BROWSER).await.expect(StatusCode::FOUND);
    // Links of older mails have no place.
    server
        .follow(Method::GET, &server.links.click(&message, "https://shop.example/", None), BROWSER)
        .await
        .expect(StatusCode::FOUND);
    let rows = json!([{"url": "https://shop.example/b", "position": 2}, {"url": "https://shop.example/", "position": null}]);
    for table in ["clicks", "graded_clicks", "human_clicks"] {
        assert_eq!(server.rows(&format!("SELECT url, position FROM {table} ORDER BY position")).await, rows, "{table}");
    }
}

#[tokio::test]
async fn a_click_leads_on_even_for_a_forgotten_message() {
    let server = Server::start().await;
    let message = MessageId::new("forgotten").unwrap();
    server
        .follow(Method::GET, &server.links.click(&message, "https://shop.example/", None), BROWSER)
        .await
        .expect(StatusCode::FOUND);
    server.follow(Method::POST, &server.links.unsubscribe(&message), BROWSER).await.expect(StatusCode::NOT_FOUND);
    assert_eq!(server.lake.unlanded(), 0);
}

#[tokio::test]
async fn looking_at_the_unsubscribe_page_changes_nothing() {
    let server = Server::start().await;
    let (message, contact) = server.sent_message(60).await;
    let answer = server.follow(Method::GET, &server.links.unsubscribe(&message), BROWSER).await.expect(StatusCode::OK);
    assert!(answer.text().contains("<form method=\"post\">"));
    assert!(server.control.permissions(&[contact], None).await.unwrap().is_empty());
    assert_eq!(server.lake.unlanded(), 0);
}

#[tokio::test]
async fn unsubscribing_takes_one_post() {
    let server = Server::start().await;
    let (message, contact) = server.sent_message(60).await;
    for _ in 0..2 {
        let answer = server.follow(Method::POST, &server.links.unsubscribe(&message), "").await.expect(StatusCode::OK);
        assert!(answer.headers.get(header::SET_COOKIE).is_none());
        assert!(answer.text().contains("Unsubscribed"));
    }
    let permission = server.control.permissions(&[contact], None).await.unwrap().remove(&contact).unwrap();
    assert_eq!(permission.suppressions.len(), 1);
    assert!(permission.consents.len() == 1 && permission.consents[0].given.is_none(), "withdrawn once");
    assert_eq!(
        server.rows("SELECT feedback, variant FROM feedback").await,
        json!([{"feedback": "unsubscribe", "variant": "warm"}])
    );
}

#[tokio::test]
async fn a_link_of_one_kind_is_no_link_of_another() {
    let server = Server::start().await;
    let (message, contact) = server.sent_message(60).await;
    let token = server.links.open(&message).rsplit('/').next().unwrap().trim_end_matches(".gif").to_owned();
    server.follow(Method::POST, &format!("http://test.example/t/u/{token}"), BROWSER).await.expect(StatusCode::NOT_FOUND);
    assert!(server.control.permissions(&[contact], None).await.unwrap().is_empty());
}
