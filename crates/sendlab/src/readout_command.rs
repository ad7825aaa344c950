//! `sendlab readout`: looks at experiments that are kept, and whether they still come out the same.

use clap::Subcommand;
use reqwest::Method;
use serde_json::Value;

use crate::client::Client;
use crate::commands::segment;
use crate::print::{count, say, table};

#[derive(Debug, Subcommand)]
pub(crate) enum ReadoutCommand {
    /// Read an experiment out and keep the readout, with the versions of the tables it read. It decides nothing.
    #[command(
        after_help = "Example:\n  sendlab readout keep spring\n\nWhat a kept readout read stays on the disk, so that it can be \
                            recomputed. `sendlab experiment readout` looks without keeping anything."
    )]
    Keep {
        /// The experiment.
        experiment: String,
    },
    /// List the kept readouts of an experiment, those of decisions among them, oldest first.
    List {
        /// The experiment.
        experiment: String,
    },
    /// Recompute every kept readout of an experiment from the rows it read, and compare byte by byte.
    #[command(
        after_help = "Example:\n  sendlab readout verify spring\n\nThe exit code is 0 where all came out the same, 1 where one came out \
                            otherwise or was changed, and 2 where all that could be recomputed came out the same and others could not: an \
                            erasure deletes the versions that hold who is erased, and versions before this one kept too little."
    )]
    Verify {
        /// The experiment.
        experiment: String,
        /// Print what came out as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Some readouts could not be recomputed; the others came out the same.
#[derive(Debug)]
pub(crate) struct NotRecomputed(usize);

impl NotRecomputed {
    /// Tells scripts that nothing is known to be wrong, and not all to be right.
    pub(crate) const EXIT_CODE: u8 = 2;
}

impl std::fmt::Display for NotRecomputed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let readouts = if self.0 == 1 { "readout" } else { "readouts" };
        write!(f, "{} {readouts} cannot be recomputed any more", self.0)
    }
}

impl std::error::Error for NotRecomputed {}

pub(crate) async fn run(client: &Client, command: ReadoutCommand) -> anyhow::Result<()> {
    let looks = |experiment: &str| format!("/v1/experiments/{}/looks", segment(experiment));
    match command {
        ReadoutCommand::Keep { experiment } => {
            let look = client.send(Method::POST, &looks(&experiment), "application/json", b"{}".to_vec()).await?;
            say(&text(&look["sentence"]));
            say(&format!("Kept as {}, SHA-256 {}.", text(&look["id"]), text(&look["digest"])));
        }
        ReadoutCommand::List { experiment } => {
            let kept = client.get(&looks(&experiment)).await?;
            let kept = kept.as_array().map_or(&[][..], Vec::as_slice);
            if kept.is_empty() {
                say(&format!("No readout of {experiment} is kept. `sendlab readout keep {experiment}` keeps one."));
                return Ok(());
            }
            let row = |look: &Value| ["as_of", "id", "verdict", "sentence"].map(|name| text(&look[name])).to_vec();
            table(&["as of", "readout", "verdict", "in words"], &kept.iter().map(row).collect::<Vec<_>>());
        }
        ReadoutCommand::Verify { experiment, json } => {
            let path = format!("{}/verify", looks(&experiment));
            let checks = client.send(Method::POST, &path, "application/json", b"{}".to_vec()).await?;
            if json {
                say(&serde_json::to_string_pretty(&checks)?);
            }
            return judge(&experiment, checks.as_array().map_or(&[][..], Vec::as_slice), json);
        }
    }
    Ok(())
}

/// Says what came out, and fails where something did not come out the same.
fn judge(experiment: &str, checks: &[Value], quiet: bool) -> anyhow::Result<()> {
    if !quiet {
        let row = |check: &Value| ["as_of", "id", "state", "message"].map(|name| text(&check[name])).to_vec();
        table(&["as of", "readout", "recomputed", "in words"], &checks.iter().map(row).collect::<Vec<_>>());
    }
    let of =
        |states: &[&str]| checks.iter().filter(|check| states.contains(&check["state"].as_str().unwrap_or_default())).count();
    let (wrong, unknown) = (of(&["different", "altered"]), of(&["gone", "unknown"]));
    if wrong > 0 {
        anyhow::bail!("{wrong} of {} kept readouts of {experiment} did not come out the same", checks.len());
    }
    if unknown > 0 {
        return Err(NotRecomputed(unknown).into());
    }
    if !quiet {
        say(&format!("{} kept readouts of {experiment} came out the same, byte by byte.", count(&checks.len().into())));
    }
    Ok(())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_worst_decides() {
        let check = |states: &[&str], expect: Option<&str>| {
            let checks: Vec<Value> = states.iter().map(|state| json!({ "state": state })).collect();
            let error = judge("spring", &checks, true).err();
            assert_eq!(error.as_ref().map(ToString::to_string).as_deref(), expect, "{states:?}");
            let only_unknown = expect.is_some() && !states.contains(&"different") && !states.contains(&"altered");
            assert_eq!(error.is_some_and(|error| error.is::<NotRecomputed>()), only_unknown);
        };
        check(&[], None);
        check(&["same", "same"], None);
        check(&["same", "gone"], Some("1 readout cannot be recomputed any more"));
        check(&["unknown", "gone"], Some("2 readouts cannot be recomputed any more"));
        check(&["different", "gone", "altered"], Some("2 of 3 kept readouts of spring did not come out the same"));
    }
}
