//! `sendlab certify`: tries what the default procedures promise, also on the user's own history.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::Path;

use analysis::certify::{Certificate, Effort, History, certify, text};
use anyhow::{Context as _, bail};
use futures::TryStreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};

use crate::ENGINE;
use crate::cli::CertifyArgs;
use crate::print::say;

/// A history is shuffled in memory; more values than this add nothing to a certificate.
const HISTORY_VALUES_MAX: usize = 20_000_000;

/// Runs the command.
pub(crate) async fn run(args: &CertifyArgs) -> anyhow::Result<()> {
    if args.schema {
        say(&serde_json::to_string_pretty(&analysis::certify::schema())?);
        return Ok(());
    }
    let mut effort = if args.short { Effort::short() } else { Effort::default() };
    effort.seed = args.seed;
    effort.runs = args.runs.unwrap_or(effort.runs);
    effort.history_units_per_look = args.every;
    let histories = match (&args.history, &args.metric) {
        (Some(path), Some(metric)) => histories(path, metric, args.variant.as_deref()).await?,
        _ => Vec::new(),
    };
    let bar = progress();
    let tell = bar.clone();
    // Minutes of arithmetic belong on a thread of their own.
    let certificate = tokio::task::spawn_blocking(move || {
        certify(ENGINE, &effort, &histories, |done| tell.set_position((100.0 * done) as u64))
    });
    let certificate: Certificate = certificate.await??;
    bar.finish_and_clear();
    if args.json {
        say(&serde_json::to_string_pretty(&certificate)?)
    } else {
        say(text(&certificate).trim_end())
    }
    if !certificate.kept {
        bail!("a promise is broken; see the lines marked so");
    }
    Ok(())
}

/// The values of a column, by variant where one is named.
async fn histories(path: &Path, metric: &str, variant: Option<&str>) -> anyhow::Result<Vec<History>> {
    let rows = lake::read_file(path).await?;
    let find = |name: &str| {
        let columns = || format!("{} has no column `{name}`; its columns are {}", path.display(), rows.columns.join(", "));
        rows.columns.iter().position(|column| column == name).with_context(columns)
    };
    let (value_at, variant_at) = (find(metric)?, variant.map(find).transpose()?);
    let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let (mut batches, mut line) = (rows.batches, 1_usize);
    while let Some(batch) = batches.try_next().await? {
        for row in batch {
            line += 1;
            let value = match row[value_at].as_deref().map(str::trim) {
                None | Some("") => 0.0,
                Some(text) => text
                    .parse()
                    .ok()
                    .filter(|value: &f64| value.is_finite())
                    .with_context(|| format!("line {line}, column `{metric}`, value `{text}`: not a number"))?,
            };
            let arm = variant_at.map(|at| row[at].clone().unwrap_or_default()).unwrap_or_default();
            values.entry(arm).or_default().push(value);
        }
        if line > HISTORY_VALUES_MAX {
            bail!("{} has more than {HISTORY_VALUES_MAX} rows; a part of them is enough", path.display());
        }
    }
    if values.is_empty() {
        bail!("{} holds no rows", path.display());
    }
    let name = |arm: &str| if arm.is_empty() { metric.to_owned() } else { format!("{metric}, {arm}") };
    Ok(values.into_iter().map(|(arm, values)| History { name: name(&arm), values }).collect())
}

fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {percent} %  {elapsed}, about {eta} more");
    ProgressBar::new(100).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
