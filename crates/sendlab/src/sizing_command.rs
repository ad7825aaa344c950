//! `sendlab experiment size` and `sendlab simulate`: before a test.

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use reqwest::Method;

use crate::client::Client;
use crate::commands::segment;
use crate::print::{items, say, word};

#[derive(Debug, Args)]
pub(crate) struct SizeArgs {
    /// The experiment; it must be stored, and need not have begun.
    experiment: String,
    /// The lift that is to be shown, a fraction: 0.05 is 5 % [default: what the list can show is told].
    #[arg(long, value_name = "LIFT")]
    mde: Option<f64>,
    /// The chance that a variant with that lift is shown to be better [default: 0.8].
    #[arg(long)]
    power: Option<f64>,
    /// How many looks [default: 5].
    #[arg(long)]
    looks: Option<u32>,
    /// How many contacts can be in the test, all variants together [default: the whole list].
    #[arg(long, value_name = "CONTACTS")]
    units: Option<u64>,
    /// How many contacts come into the test a day [default: all at once].
    #[arg(long, value_name = "CONTACTS")]
    per_day: Option<f64>,
    /// How variants differ among themselves, as a share of the mean [default: what finished experiments say].
    #[arg(long, value_name = "SHARE")]
    prior_sd: Option<f64>,
    /// Print all of it as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MetricsCommand {
    /// Count each metric on the real tables: what it was, what a contact should count at most, and whether its test keeps its promise between groups
    /// that are the same. Fails where one does not. Nothing is stored.
    #[command(after_help = "Example:\n  sendlab metrics check data/samples/experiment.yaml")]
    Check(MetricsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct MetricsArgs {
    /// An experiment, as YAML or JSON.
    file: PathBuf,
    /// Print all of it as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// The designs, as YAML or JSON: see data/samples/design.yaml.
    file: PathBuf,
    /// The experiment whose audience and primary metric are simulated; it must be stored, and need not have begun [default: the only one].
    #[arg(long)]
    experiment: Option<String>,
    /// Print all of it as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn size(client: &Client, args: &SizeArgs) -> anyhow::Result<()> {
    let asked = [
        ("mde", args.mde.map(|value| value.to_string())),
        ("power", args.power.map(|value| value.to_string())),
        ("looks", args.looks.map(|value| value.to_string())),
        ("test_units", args.units.map(|value| value.to_string())),
        ("contacts_per_day", args.per_day.map(|value| value.to_string())),
        ("prior_sd", args.prior_sd.map(|value| value.to_string())),
    ];
    let asked: Vec<String> = asked.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?))).collect();
    let path = format!("/v1/experiments/{}/sizing?{}", segment(&args.experiment), asked.join("&"));
    let sizing = client.get(&path).await?;
    if args.json {
        say(&serde_json::to_string_pretty(&sizing)?);
    } else {
        let sizing: experiment::Sizing = serde_json::from_value(sizing).context("reading the answer")?;
        say(experiment::sizing::text(&sizing).trim_end());
    }
    Ok(())
}

pub(crate) async fn simulate(client: &Client, args: &SimulateArgs) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?;
    // Read here too, so that a mistake is told with its line before anything is asked.
    experiment::parse_designs(&text).with_context(|| args.file.display().to_string())?;
    let experiment = match &args.experiment {
        Some(named) => named.clone(),
        None => only_experiment(client).await?,
    };
    let path = format!("/v1/experiments/{}/simulate", segment(&experiment));
    let simulated = client.send(Method::POST, &path, "application/yaml", text.into_bytes()).await?;
    if args.json {
        say(&serde_json::to_string_pretty(&simulated)?);
    } else {
        let simulated: experiment::Simulated = serde_json::from_value(simulated).context("reading the answer")?;
        say(experiment::simulate::text(&simulated).trim_end());
    }
    Ok(())
}

pub(crate) async fn check_metrics(client: &Client, args: &MetricsArgs) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?;
    // Read here too, so that a mistake is told with its line before anything is asked.
    experiment::parse(&text).with_context(|| args.file.display().to_string())?;
    let checked = client.send(Method::POST, "/v1/metrics/check", "application/yaml", text.into_bytes()).await?;
    let check: experiment::MetricsCheck = serde_json::from_value(checked.clone()).context("reading the answer")?;
    if args.json {
        say(&serde_json::to_string_pretty(&checked)?);
    } else {
        say(experiment::certificate::text(&check).trim_end());
    }
    ensure!(check.passed, "not every metric can be trusted on this list; the lines above say which and what to do");
    Ok(())
}

/// The only experiment that is stored.
async fn only_experiment(client: &Client) -> anyhow::Result<String> {
    let stored = client.get("/v1/experiments").await?;
    let names: Vec<String> = items(&stored).iter().map(|experiment| word(&experiment["experiment"])).collect();
    match &names[..] {
        [only] => Ok(only.clone()),
        [] => bail!(
            "no experiment is stored, whose audience and primary metric could be simulated; `sendlab experiment apply FILE` stores one"
        ),
        _ => bail!(
            "name the experiment whose audience and primary metric are to be simulated with --experiment: {}",
            names.join(", ")
        ),
    }
}
