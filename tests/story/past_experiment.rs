//! A past e-mail experiment comes in from a flat file, is read out as an expert would, and its winner goes to the people
//! who were held out: by SMTP, to a server that is not ours, once each.
//!
//! The file is made here. It has three arms, one outcome column for visits, one for orders and one for amounts, and the
//! numbers that are expected are computed from it by hand, in plain sums.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sendlab::Client;
use serde_json::Value;

use crate::support::{door, landed, mails, python, run, sendlab, serve, smtp_server, sql, sql_number, until, workspace};

const ROWS: usize = 9_000;

/// One arm's plain sums: rows, visits, orders, spend, spend squared.
type Sums = [f64; 5];

/// Writes the file and gives the sums of each arm.
fn write_file(path: &Path) -> BTreeMap<&'static str, Sums> {
    let arms = [("No E-Mail", 0.10, 0.05), ("Mens E-Mail", 0.18, 0.12), ("Womens E-Mail", 0.15, 0.08)];
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut sums: BTreeMap<&str, Sums> = BTreeMap::new();
    let mut text = String::from("recency,history_segment,history,segment,visit,conversion,spend\n");
    for _ in 0..ROWS {
        let (name, visits, orders) = arms[rng.random_range(0..3)];
        let visit = rng.random_bool(visits);
        let order = visit && rng.random_bool(orders / visits);
        let cents = if order { rng.random_range(2_900..50_000_u32) } else { 0 };
        let spend = f64::from(cents) / 100.0;
        let recency = rng.random_range(1..13);
        let history = f64::from(rng.random_range(3_000..90_000_u32)) / 100.0;
        writeln!(text, "{recency},\"2) $100 - $200\",{history:.2},{name},{},{},{spend:.2}", u8::from(visit), u8::from(order))
            .unwrap();
        let arm = sums.entry(name).or_default();
        for (sum, value) in
            arm.iter_mut().zip([1.0, f64::from(u8::from(visit)), f64::from(u8::from(order)), spend, spend * spend])
        {
            *sum += value;
        }
    }
    std::fs::write(path, text).unwrap();
    sums
}

const MAPPING: &str = "
experiment: past
variant: segment
control: No E-Mail
contact: row-{row}
email: c{row}@example.test
country: US
attribute: [recency, history]
click: visit
order: conversion=spend
currency: USD
assigned_at: 2024-03-20T00:00:00Z
window_hours: 336
";

const CAMPAIGN: &str = r#"
campaign: winner-to-held-out
experiment: past
mode: recommended
audience: select contact_key from assignments where experiment_id = 'past' and variant = 'No E-Mail'
from: Shop <news@shop.example>
content:
  Mens E-Mail:
    subject: New for men
    html: <p>Last bought {{ contact.attributes.recency }} months ago. <a href="https://shop.example/men">Men</a></p><p><a href="{{ unsubscribe_url }}">Stop</a></p>
    text: "Men: https://shop.example/men  Stop: {{ unsubscribe_url }}"
  Womens E-Mail:
    subject: New for women
    html: <p><a href="https://shop.example/women">Women</a></p>
    text: Women
  No E-Mail:
    subject: Nothing
    html: <p>Nothing</p>
    text: Nothing
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_winner_of_a_past_experiment_goes_to_the_held_out() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let file = folder.path().join("past.csv");
    let sums = write_file(&file);
    let mapping = folder.path().join("mapping.yaml");
    std::fs::write(&mapping, MAPPING).unwrap();

    // From nothing to a readout in one command, without a server.
    let import = || run(sendlab(&data).args(["import", "experiment"]).arg(&file).arg("--mapping").arg(&mapping));
    let printed = import();
    assert!(printed.contains("Senders use: Mens E-Mail"), "{printed}");
    let readout = run(sendlab(&data).args(["experiment", "readout", "past", "--json"]));
    check_readout(&serde_json::from_str(&readout).unwrap(), &sums);

    // Running it again brings nothing twice.
    let again = import();
    assert!(again.contains("0 contacts and 0 events are in"), "{again}");

    let (_smtp, port, taken) = smtp_server(folder.path());
    let (server, client) = serve(&data, Some(port)).await;
    check_sql(&client, &sums).await;
    let held_out = sums["No E-Mail"][0] as usize;
    send_winner(&data, &client, folder.path(), held_out).await;
    check_mails(&mails(&taken), held_out);
    check_other_readers(&data, &client).await;
    drop(server);
}

fn mean_and_variance(sums: &Sums, metric: usize) -> (f64, f64) {
    let n = sums[0];
    let mean = sums[metric] / n;
    let squares = if metric == 3 { sums[4] } else { sums[metric] };
    (mean, (squares - n * mean * mean) / (n - 1.0))
}

fn check_readout(readout: &Value, sums: &BTreeMap<&str, Sums>) {
    assert_eq!(readout["doubts"], serde_json::json!([]), "{}", readout["doubts"]);
    assert_eq!(readout["verdict"]["variant"], "Mens E-Mail");
    for arm in readout["arms"].as_array().unwrap() {
        assert_eq!(arm["mature"].as_f64().unwrap(), sums[arm["variant"].as_str().unwrap()][0]);
    }
    let mut compared = 0;
    for estimate in readout["estimates"].as_array().unwrap().iter().filter(|estimate| estimate["baseline"] == "No E-Mail") {
        let metric = ["visit", "conversion", "spend"].iter().position(|name| estimate["metric"] == *name).unwrap() + 1;
        let control = &sums["No E-Mail"];
        let variant = &sums[estimate["variant"].as_str().unwrap()];
        let ((a, var_a), (b, var_b)) = (mean_and_variance(control, metric), mean_and_variance(variant, metric));
        let error = (var_a / control[0] + var_b / variant[0]).sqrt();
        let computed = &estimate["absolute"]["computed"];
        let near = |found: &Value, expect: f64| {
            let found = found.as_f64().unwrap();
            assert!((found - expect).abs() < 1e-6 * expect.abs().max(1e-3), "{estimate}: {found} is not {expect}");
        };
        near(&computed["difference"], b - a);
        near(&computed["standard_error"], error);
        compared += 1;
    }
    assert_eq!(compared, 6);
}

/// The same numbers from the query an analyst would write.
async fn check_sql(client: &Client, sums: &BTreeMap<&str, Sums>) {
    let query = "
        with spend as (select contact_key, sum(amount_base_minor) / 100.0 as spend from orders group by contact_key)
        select a.variant, count(*) as n, avg(coalesce(s.spend, 0)) as mean
        from assignments a left join spend s using (contact_key)
        where a.experiment_id = 'past' group by a.variant order by a.variant";
    let rows = sql(client, query).await;
    assert_eq!(rows.len(), 3);
    for row in rows {
        let arm = &sums[row["variant"].as_str().unwrap()];
        assert_eq!(row["n"].as_f64().unwrap(), arm[0]);
        assert!((row["mean"].as_f64().unwrap() - arm[3] / arm[0]).abs() < 1e-9, "{row}");
    }
}

async fn send_winner(data: &Path, client: &Client, folder: &Path, held_out: usize) {
    let campaign = folder.join("campaign.yaml");
    std::fs::write(&campaign, CAMPAIGN).unwrap();
    run(sendlab(data).args(["campaign", "apply"]).arg(&campaign));
    run(sendlab(data).args(["campaign", "start", "winner-to-held-out"]));
    let row = until("the campaign to end", async || {
        let row = client.get("/v1/campaigns/winner-to-held-out").await.ok()?;
        assert_ne!(row["state"], "failed", "{row}");
        (row["state"] == "done").then_some(row)
    })
    .await;
    assert_eq!(row["progress"]["accepted"], held_out, "{row}");
    landed(client).await;
    assert_eq!(sql_number(client, "select count(*) from messages where variant = 'Mens E-Mail'").await, held_out as i64);
    assert_eq!(sql_number(client, "select count(distinct recommendation_id) from messages").await, 1);
}

fn check_mails(mails: &[Value], held_out: usize) {
    let mut by_recipient: BTreeMap<&str, usize> = BTreeMap::new();
    for mail in mails {
        *by_recipient.entry(mail["to"][0].as_str().unwrap()).or_default() += 1;
        assert_eq!(mail["subject"], "New for men");
        assert_eq!(mail["one_click"], "List-Unsubscribe=One-Click");
        let html = mail["html"].as_str().unwrap();
        assert!(
            html.contains("months ago")
                && html.contains("/t/c/")
                && html.contains("/t/o/")
                && !html.contains("https://shop.example/men"),
            "{html}"
        );
    }
    assert_eq!(by_recipient.len(), held_out);
    assert!(by_recipient.values().all(|count| *count == 1), "somebody got two messages");
}

/// The notebook reads the lake with a Delta reader that is not ours; the console shows the readout in a browser.
async fn check_other_readers(data: &Path, client: &Client) {
    let door = door(data);
    let mut notebook = Command::new(python());
    notebook.arg(workspace().join("notebooks/run.py")).env("SENDLAB_LAKE", data.join("lake/tables"));
    let mut browser = Command::new("node");
    browser.args(["--test", "test/console.test.mjs"]).current_dir(workspace().join("dashboards"));
    for command in [&mut notebook, &mut browser] {
        command.env("SENDLAB_URL", &door.url).env("SENDLAB_KEY", &door.key).env("SENDLAB_EXPERIMENT", "past");
        let printed = run(command);
        assert!(!printed.is_empty());
    }
    assert!(client.get("/v1/experiments").await.unwrap().as_array().unwrap().len() == 1);
}
