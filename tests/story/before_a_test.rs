//! Before anything is sent: how large a test should be and which design is best, by what the list did before.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::shop::Shop;
use crate::support::{landed, run, sendlab};

/// A thousand people: every fifth clicked in the last two days, and every tenth in the months before.
async fn list(shop: &Shop) {
    let person = |number: u32| {
        let (key, country) = (format!("k{number}"), if number < 600 { "GB" } else { "IE" });
        json!({ "key": key, "email": format!("k{number}@example.test"), "email_consent": "express", "country": country })
    };
    shop.contacts((0..1_000).map(person).collect()).await;
    shop.lake_knows(1_000).await;
    let click = |number: u32, at: &str| json!({ "kind": "click", "event_id": format!("{number}-{at}"), "event_time": at, "contact": format!("k{number}") });
    let recent = (0..1_000).filter(|number| number % 5 == 0).map(|number| click(number, "2026-03-01T10:00:00Z"));
    let before = (0..1_000).filter(|number| number % 10 == 0).map(|number| click(number, "2026-01-05T10:00:00Z"));
    // Too long ago to count.
    let long_ago = (0..1_000).map(|number| click(number, "2025-11-01T10:00:00Z"));
    shop.lines("/v1/events", recent.chain(before).chain(long_ago).collect()).await;
    landed(&shop.client).await;
}

async fn experiment(shop: &Shop, id: &str, more: Value) {
    let mut experiment = json!({
        "experiment": id, "factors": ["copy"], "variants": [{ "name": "a" }, { "name": "b" }], "primary": "clicked", "window_hours": 48,
        "metrics": [{ "name": "clicked", "outcome": "click", "measure": "occurred" }],
    });
    experiment.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    shop.send(Method::PUT, "/v1/experiments", &experiment).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_is_sized_and_designs_are_tried_on_the_lists_own_past() {
    let shop = Shop::open("2026-03-02T09:00:00Z").await;
    list(&shop).await;
    experiment(&shop, "planned", json!({})).await;
    let sizing = shop.client.get("/v1/experiments/planned/sizing?mde=0.1").await.unwrap();
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{value} is no number: {sizing}"));
    assert_eq!((&sizing["contacts"], number(&sizing["mean"])), (&json!(1_000), 0.2));
    // Shares of a fifth and a tenth of whom the second are among the first: a correlation of 2/3.
    assert!((number(&sizing["correlation"]) - 2.0 / 3.0).abs() < 1e-9, "{sizing}");
    assert!((number(&sizing["variance_left"]) - 5.0 / 9.0).abs() < 1e-9, "{sizing}");
    // (1.96 + 0.84)² · 0.16 · 4 / 0.02², and a little for the looks.
    let needed = number(&sizing["plain"]["wanted"]["test_units"]);
    assert!((12_500.0..13_200.0).contains(&needed), "{needed}");
    let with_less_variance = number(&sizing["cuped"]["wanted"]["test_units"]);
    assert!((with_less_variance / needed - 5.0 / 9.0).abs() < 1e-3, "{with_less_variance} of {needed}");
    let sentence = sizing["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("1,000 contacts are too few to show a lift of 10 %"), "{sentence}");

    experiment(&shop, "of-some", json!({ "audience": "SELECT contact_key FROM contacts WHERE country = 'IE'" })).await;
    let some = shop.client.get("/v1/experiments/of-some/sizing").await.unwrap();
    assert_eq!((&some["contacts"], &some["plain"]["wanted"]), (&json!(400), &Value::Null), "{some}");
    let problem = shop.client.get("/v1/experiments/planned/sizing?mde=0").await.unwrap_err().to_string();
    assert!(problem.contains("`mde` is 0"), "{problem}");

    let command = || {
        let mut command = sendlab(shop.folder.path());
        command.args(["--server", &shop.server.door.url, "--key", &shop.server.door.key]);
        command
    };
    let told = run(command().args(["experiment", "size", "planned", "--mde", "0.1"]));
    assert!(told.starts_with(sentence) && told.contains("with CUPED"), "{told}");
    let designs = shop.folder.path().join("design.yaml");
    std::fs::write(
        &designs,
        "runs: 50\ndesigns:\n  - {name: a fifth, test_share: 0.2}\n  - {name: half, units: 500, looks: 1}\n",
    )
    .unwrap();
    let simulate = |more: &[&str]| {
        let mut command = command();
        command.arg("simulate").arg(&designs).args(more);
        command
    };
    let told = run(&mut simulate(&["--experiment", "planned"]));
    assert!(told.contains("a fifth") && told.contains("half") && told.contains("regret"), "{told}");
    assert_eq!(told, run(&mut simulate(&["--experiment", "planned"])), "the same seed gives the same numbers");
    let metrics = shop.folder.path().join("experiment.yaml");
    let written = "experiment: not-stored\nfactors: [copy]\nvariants: [{name: a}, {name: b}]\nprimary: clicked\nwindow_hours: 48\nmetrics:\n  - clicked\n";
    std::fs::write(&metrics, written).unwrap();
    let told = run(command().args(["metrics", "check"]).arg(&metrics));
    assert!(told.starts_with("1000 contacts, the last 48 hours.") && told.contains("`clicked` keeps its promise"), "{told}");
    std::fs::write(&metrics, format!("{written}  - ordered\n")).unwrap();
    let told = command().args(["metrics", "check"]).arg(&metrics).output().unwrap();
    assert!(!told.status.success(), "nobody ever ordered");
    let told = crate::support::text(&told);
    assert!(told.contains("`ordered` cannot be tried: all contacts had the same value"), "{told}");

    let unnamed = simulate(&[]).output().unwrap();
    assert!(!unnamed.status.success());
    assert!(crate::support::text(&unnamed).contains("with --experiment: of-some, planned"), "{}", crate::support::text(&unnamed));
    shop.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_without_a_past_is_told_what_to_do() {
    let shop = Shop::open("2026-03-02T09:00:00Z").await;
    experiment(&shop, "planned", json!({})).await;
    let problem = shop.client.get("/v1/experiments/planned/sizing").await.unwrap_err().to_string();
    assert!(problem.contains("no contact with a history; import contacts and their orders"), "{problem}");
    shop.server.stop().await.unwrap();
}
