//! A new domain is warmed up: each day has room for so many, the rest waits for the same hour of the next day, and nobody is lost, not
//! even when the wait is longer than messages may be old. Codes never wait, and count.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::shop::Shop;
use crate::support::{run, sendlab, until};

const WARM_UP: &str = r#"
[[warm_up]]
domain = "shop.example"
start = 2026-03-02
first_day = 10
growth = 1.1
until = 15

[[warm_up]]
domain = "other.example"
start = 2026-03-02
first_day = 1
growth = 2.0
until = 4
"#;

const DAY_MINUTES: i64 = 24 * 60;

impl Shop {
    /// The first warm-up when so many of today's messages left.
    async fn warm_up(&self, today: &str, sent: u64) -> Value {
        until(&format!("{sent} messages to leave on {today}"), async || {
            let row = self.client.get("/v1/warm-ups").await.ok()?[0].clone();
            let settled = self.client.get("/v1/campaigns/c").await.ok()?["progress"]["claimed"] == 0;
            (row["today"] == today && row["sent"] == sent && settled).then_some(row)
        })
        .await
    }

    /// Messages of the campaign that were accepted.
    async fn accepted(&self) -> Value {
        self.client.get("/v1/campaigns/c").await.unwrap()["progress"]["accepted"].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_has_room_for_so_many_and_the_rest_waits_for_the_next() {
    let shop = Shop::warmed_up("2026-03-02T09:00:00Z", WARM_UP).await;
    let names: Vec<String> = (0..60).map(|number| format!("p{number}")).collect();
    shop.mailing(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let row = shop.warm_up("2026-03-02", 10).await;
    until("the others to be told to wait", async || {
        (shop.client.get("/v1/warm-ups").await.ok()?[0]["is_full"] == true).then_some(())
    })
    .await;
    assert_eq!((&row["allowance"], &row["over_on"]), (&json!(10), &json!("2026-03-07")));
    assert_eq!(shop.recipients().len(), 10);
    let told = run(sendlab(&shop.folder.path().join("data")).arg("warm-ups"));
    assert!(told.contains("shop.example") && told.contains("the rest waits until tomorrow"), "{told}");

    // The rest of the day changes nothing; nor does a restart, which forgets what a process knew.
    shop.pass(14 * 60);
    let shop = shop.reopen().await;
    let row = shop.warm_up("2026-03-02", 10).await;
    assert_eq!((row["is_full"].clone(), shop.accepted().await), (json!(true), json!(10)));

    // After midnight it is not yet the hour. A code leaves at once, and counts.
    shop.pass(2 * 60);
    let content = json!({ "subject": "Your code", "html": "<p>{{ data.code }}</p>", "text": "{{ data.code }}" });
    let template =
        json!([{ "template": "code", "class": "verification", "from": "Shop <code@shop.example>", "content": content }]);
    shop.send(Method::PUT, "/v1/templates", &template).await;
    let message = json!({ "id": "m1", "template": "code", "to": { "email": "z@example.test" }, "data": { "code": "1" } });
    shop.send(Method::POST, "/v1/messages", &message).await;
    shop.warm_up("2026-03-03", 1).await;
    assert_eq!(shop.recipients().len(), 11);
    shop.pass(8 * 60);
    shop.warm_up("2026-03-03", 11).await;
    assert_eq!(shop.accepted().await, json!(20), "ten of the campaign beside the code");

    // Three, four days: those who wait longer than messages may be old are sent to all the same.
    for (today, room, accepted) in [("2026-03-04", 12, 32), ("2026-03-05", 13, 45), ("2026-03-06", 14, 59)] {
        shop.pass(DAY_MINUTES);
        shop.warm_up(today, room).await;
        assert_eq!(shop.accepted().await, json!(accepted), "{today}");
    }
    shop.pass(DAY_MINUTES);
    assert_eq!(shop.end_of_mailing().await, [60, 0, 0, 0]);
    let mut people = shop.recipients();
    people.dedup();
    assert_eq!(people.len(), 61, "nobody twice");
    shop.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_when_a_warm_up_lets_the_last_one_leave() {
    let shop = Shop::warmed_up("2026-03-02T09:00:00Z", WARM_UP).await;
    let person = |number: usize| {
        json!({ "key": format!("p{number}"), "email": format!("p{number}@example.test"),
        "email_consent": "express", "country": "GB" })
    };
    shop.contacts((0..32).map(person).collect()).await;
    shop.lake_knows(32).await;
    shop.experiment("e", [None; 2]).await;
    let copy = json!({ "subject": "Hello", "html": "<p><a href=\"{{ preferences_url }}\">Choose</a></p>",
        "text": "{{ preferences_url }}" });
    let done = async |id: &str, from: &str| {
        let campaign = json!({ "campaign": id, "experiment": "e", "from": from, "content": { "a": copy, "b": copy } });
        shop.send(Method::PUT, "/v1/campaigns", &campaign).await;
        let run = shop.send(Method::POST, &format!("/v1/campaigns/{id}/dry-run"), &json!({})).await;
        run["done_at"].clone()
    };
    // 10 today, 11 tomorrow, the last 11 on the day after.
    assert!(done("c", "news@shop.example").await.as_str().unwrap().starts_with("2026-03-04T09:"));
    // 1, 2, and then as many as there are.
    assert!(done("d", "news@other.example").await.as_str().unwrap().starts_with("2026-03-04T09:"));
    assert_eq!(done("f", "news@third.example").await, Value::Null, "no warm-up, and no rate is known");
    shop.server.stop().await.unwrap();
}
