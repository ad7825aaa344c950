//! `sendlab experiment`: stored, listed, read out, decided, and put on a page.

use std::path::PathBuf;

use anyhow::Context as _;
use reqwest::Method;
use serde_json::Value;

use crate::cli::ExperimentCommand;
use crate::client::Client;
use crate::commands::{apply, segment};
use crate::print::{self, items, say, table, word};
use crate::recommendation_command;

pub(crate) async fn run(client: &Client, command: ExperimentCommand) -> anyhow::Result<()> {
    let path = |experiment: &str, what: &str| format!("/v1/experiments/{}{what}", segment(experiment));
    match command {
        ExperimentCommand::Apply { file } => {
            let answer = apply(client, "/v1/experiments", &file).await?;
            say(&format!("Experiment {} is stored.", answer["experiment"].as_str().unwrap_or("?")));
        }
        ExperimentCommand::List => print::experiments(&client.get("/v1/experiments").await?),
        ExperimentCommand::Show { experiment } => print::experiment(&client.get(&path(&experiment, "")).await?),
        ExperimentCommand::Readout { experiment, market, age_hours, json } => {
            let market = market.map(|market| format!("market={}", segment(&market)));
            let cut: Vec<String> = market.into_iter().chain(age_hours.map(|hours| format!("age_hours={hours}"))).collect();
            let readout = client.get(&format!("{}?{}", path(&experiment, "/readout"), cut.join("&"))).await?;
            if json { say(&serde_json::to_string_pretty(&readout)?) } else { print::readout(&readout) }
        }
        ExperimentCommand::Decision { experiment, json } => {
            let decision = client.get(&path(&experiment, "/decision")).await?;
            if json { say(&serde_json::to_string_pretty(&decision)?) } else { show(&decision) }
        }
        ExperimentCommand::Page { experiment, output } => {
            let page = client.bytes(Method::GET, &path(&experiment, "/page"), "application/json", Vec::new()).await?;
            let file = output.unwrap_or_else(|| PathBuf::from(format!("{experiment}.html")));
            std::fs::write(&file, page)
                .with_context(|| format!("cannot write {}; name another file with --output", file.display()))?;
            say(&format!("The page is in {}; open it in a browser, print it or send it.", file.display()));
        }
        ExperimentCommand::Decide { experiment } => {
            let answer = client.send(Method::POST, &path(&experiment, "/decide"), "application/json", b"{}".to_vec()).await?;
            decided(&answer);
        }
    }
    Ok(())
}

/// What a decision came to.
pub(crate) fn decided(answer: &Value) {
    show(&answer["decision"]);
    let moved = answer["changed"].as_bool() == Some(true);
    say(if moved { "The senders follow from now on." } else { "The recommendation stays as it was." });
    recommendation_command::print(&answer["recommendation"]);
}

/// What to do, why, and where markets differ.
fn show(decision: &Value) {
    say(&word(&decision["sentence"]));
    for reason in items(&decision["reasons"]) {
        say(&format!("  {:<22} {}", word(&reason["code"]), word(&reason["sentence"])));
    }
    for doubt in items(&decision["doubts"]) {
        say(&format!("  Doubt: {}", word(&doubt["sentence"])));
    }
    let arms = items(&decision["arms"]);
    if !arms.is_empty() {
        let row = |arm: &Value| [vec![word(&arm["variant"])], forecast(arm)].concat();
        table(&["variant", "raw lift", "forecast", "best with", "cost if wrong"], &arms.iter().map(row).collect::<Vec<_>>());
    }
    let markets = items(&decision["markets"]);
    if !markets.is_empty() {
        let row = |market: &Value| {
            let own = [word(&market["market"]), word(&market["variant"]), word(&market["best"]["variant"])].to_vec();
            [own, forecast(&market["best"])].concat()
        };
        let rows: Vec<_> = markets.iter().map(row).collect();
        table(&["market", "send", "best bet", "raw lift", "forecast", "best with", "cost if wrong"], &rows);
    }
}

/// The lift as observed and as expected, how probably it is the best, and what it costs where it is not.
fn forecast(of: &Value) -> Vec<String> {
    let percent = |value: &Value, sign: &str| {
        value.as_f64().map_or("-".to_owned(), |share| match sign {
            "+" => format!("{:+.1} %", 100.0 * share),
            _ => format!("{:.0} %", 100.0 * share),
        })
    };
    let loss = of["expected_loss"].as_f64().map_or("-".to_owned(), |loss| format!("{loss:.4}"));
    vec![percent(&of["raw_lift"], "+"), percent(&of["lift"], "+"), percent(&of["probability_best"], ""), loss]
}
