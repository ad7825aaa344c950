//! A test of the learned hour against a fixed one: each reader's own habit, else their market's, else a default that is told; seen
//! beforehand in numbers, explained, and the same when it is asked for later.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::shop::Shop;

/// Days on which somebody opened something at a time of day.
fn opens(contact: &str, days: u32, time: &str) -> Vec<Value> {
    let open = |day: u32| {
        let (month, day) = (1 + day / 28, 1 + day % 28);
        let at = format!("2026-{month:02}-{day:02}T{time}Z");
        json!({ "kind": "open", "event_id": format!("{contact}-{at}"), "event_time": at, "contact": contact })
    };
    (0..days).map(open).collect()
}

fn campaign() -> Value {
    let copy =
        json!({ "subject": "Hello", "html": "<p>Hello <a href=\"{{ preferences_url }}\">Choose</a></p>", "text": "Hello" });
    json!({ "campaign": "c", "experiment": "e", "from": "news@shop.example", "content": { "a": copy, "b": copy } })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_learned_hour_is_a_variant_of_a_test() {
    let shop = Shop::open("2026-03-02T08:00:00Z").await;
    let person = |name: &str, country: &str| json!({ "key": name, "email": format!("{name}@example.test"), "email_consent": "express", "country": country });
    let crowd: Vec<String> = (0..8).map(|number| format!("crowd-{number}")).collect();
    let mut people: Vec<Value> = crowd.iter().map(|name| person(name, "GB")).collect();
    people.extend([person("evening", "GB"), person("newcomer", "GB"), person("stranger", "JP")]);
    shop.contacts(people).await;
    shop.lake_knows(11).await;
    let mut acts: Vec<Value> = crowd.iter().flat_map(|name| opens(name, 56, "09:30:00")).collect();
    acts.extend(opens("evening", 56, "19:10:00"));
    // Two openings make no habit, and what a machine opened none at all.
    acts.extend(opens("newcomer", 2, "20:15:00"));
    let machine = opens("stranger", 56, "05:00:00").into_iter().map(|mut open| {
        open["machine"] = json!(true);
        open
    });
    acts.extend(machine);
    shop.lines("/v1/events", acts).await;
    let experiment = json!({
        "experiment": "e", "factors": ["timing"], "primary": "clicked",
        "variants": [{ "name": "a", "send_hour": 12 }, { "name": "b", "send_hour": "learned" }],
        "metrics": [{ "name": "clicked", "outcome": "click", "measure": "occurred" }],
    });
    shop.send(Method::PUT, "/v1/experiments", &experiment).await;
    shop.send(Method::PUT, "/v1/campaigns", &campaign()).await;

    let run = shop.send(Method::POST, "/v1/campaigns/c/dry-run", &json!({})).await;
    let learned = run["by_learned_hour"].as_array().unwrap();
    let sum = learned.iter().map(|hour| hour["sent"].as_u64().unwrap()).sum::<u64>();
    let of_b = run["by_variant"].as_array().unwrap().iter().find(|variant| variant["variant"] == "b");
    assert_eq!(sum, of_b.map_or(0, |variant| variant["sent"].as_u64().unwrap()), "{run}");

    let hours = async || {
        let asked = json!({ "campaign": "c", "contacts": ["evening", "newcomer", "stranger"] });
        let answer = shop.send(Method::POST, "/v1/explanations", &asked).await;
        let told = |contact: &Value| {
            let learned = &contact["learned_hour"];
            let due = |place: usize| contact["variants"][place]["due"].clone();
            (json!([learned["hour"], learned["from"], learned["own_acts"], due(0), due(1)]), contact["agrees"].clone())
        };
        answer["contacts"].as_array().unwrap().iter().map(told).collect::<Vec<_>>()
    };
    let expect = |agrees: Value| {
        let fixed = "2026-03-02T12:00:00Z";
        vec![
            (json!([19, "contact", 56, fixed, "2026-03-02T19:00:00Z"]), agrees.clone()),
            (json!([9, "market", 2, fixed, "2026-03-02T09:00:00Z"]), agrees.clone()),
            (json!([10, "default", 0, "2026-03-03T03:00:00Z", "2026-03-03T01:00:00Z"]), agrees),
        ]
    };
    assert_eq!(hours().await, expect(Value::Null));
    shop.send(Method::POST, "/v1/campaigns/c/start", &json!({})).await;
    shop.state("c", &["sending"]).await;
    assert_eq!(hours().await, expect(json!(true)));
    // What they do later changes nothing of what was planned; nor do others who come into their market.
    shop.pass(30);
    let late = (0..60).map(|minute| {
        let at = format!("2026-03-02T08:{:02}:{:02}Z", minute % 30, minute);
        json!({ "kind": "click", "event_id": format!("late-{minute}"), "event_time": at, "contact": "newcomer" })
    });
    shop.lines("/v1/events", late.collect()).await;
    assert_eq!(hours().await, expect(json!(true)));
    shop.server.stop().await.unwrap();
}
