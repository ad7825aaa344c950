//! `sendlab analyze`: a file of results in, a report out, without a server and without a data folder.

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use analysis::aggregate::{AggregateOptions, aggregate_cells};
use analysis::cells::Cells;
use analysis::report::Report;
use analysis::spec::{Kind, MetricSpec, Spec};
use anyhow::{Context as _, bail};
use futures::TryStreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};

use crate::ENGINE;
use crate::cli::{AnalyzeArgs, AskedMetric, MetricValue};
use crate::print::{note, say};

/// A file of sums has few rows; more than this is a file of units.
const AGGREGATE_ROWS_MAX: usize = 1_000_000;

/// A message names so many variants.
const VARIANTS_NAMED_MAX: usize = 20;

/// Runs the command.
pub(crate) async fn run(args: &AnalyzeArgs) -> anyhow::Result<()> {
    if args.schema {
        say(&serde_json::to_string_pretty(&analysis::report::schema())?);
        return Ok(());
    }
    let Some(path) = &args.file else {
        bail!("which file? A .csv, .csv.gz or .parquet; `sendlab analyze --help` shows examples")
    };
    let (spec, cells) = if args.aggregate { sums(path, args).await? } else { units(path, args).await? };
    let report = analysis::report(&spec, &cells, ENGINE);
    if let Some(target) = &args.html {
        let title = path.file_name().map_or_else(|| "Results".to_owned(), |name| name.to_string_lossy().into_owned());
        std::fs::write(target, analysis::page::page(&report, &title))
            .with_context(|| format!("{} cannot be written", target.display()))?;
        note(&format!("The page is in {}", target.display()));
    }
    print(&report, args)
}

fn print(report: &Report, args: &AnalyzeArgs) -> anyhow::Result<()> {
    let text = if args.json { serde_json::to_string_pretty(report)? + "\n" } else { analysis::text::text(report) };
    // A reader that went away (`| head`) is no failure.
    drop(std::io::stdout().lock().write_all(text.as_bytes()));
    Ok(())
}

/// One row per unit.
async fn units(path: &Path, args: &AnalyzeArgs) -> anyhow::Result<(Spec, Cells)> {
    let Some(variant) = &args.variant else {
        bail!("which column names the variant? Give --variant COLUMN, or --aggregate for a file of sums");
    };
    let Some(control) = &args.control else { bail!("which variant are the others compared with? Give --control NAME") };
    if args.metric.is_empty() {
        bail!("what is measured? Give --metric COLUMN, or --metric COLUMN:binary, :mean or :ratio=COLUMN; the first decides");
    }
    let spec = Spec {
        experiment: args.experiment.clone(),
        covariates: args.covariate.clone(),
        segments: args.segment.clone(),
        stratum: args.stratum.clone(),
        cluster: args.cluster.clone(),
        date: args.date.clone(),
        plan: args.plan.clone(),
        alpha: args.alpha,
        correction: args.correction.into(),
        ..Spec::new(variant, control, metrics(&args.metric, args)?)
    };
    let bar = progress();
    let cells = lake::gather_units(path, &spec, |rows| bar.set_position(rows)).await;
    bar.finish_and_clear();
    let cells = cells?;
    known_variants(&spec, &cells)?;
    Ok((spec, cells))
}

/// Refuses names of variants that no experiment of the file has: a slip of the keyboard, not an arm without units.
fn known_variants(spec: &Spec, cells: &Cells) -> anyhow::Result<()> {
    let arms = || cells.experiments.iter().flat_map(|experiment| &experiment.arms).map(|arm| arm.variant.as_str());
    let names = || arms().collect::<BTreeSet<_>>().into_iter().take(VARIANTS_NAMED_MAX).collect::<Vec<_>>().join(", ");
    let named =
        spec.control.iter().map(|control| ("--control", control)).chain(spec.plan.iter().map(|(name, _)| ("--plan", name)));
    for (option, name) in named {
        if !arms().any(|arm| arm == name) {
            bail!("{option} {name}: the column `{}` has no such variant; it has {}", spec.variant, names());
        }
    }
    Ok(())
}

/// One row per variant, metric and look.
async fn sums(path: &Path, args: &AnalyzeArgs) -> anyhow::Result<(Spec, Cells)> {
    let only_units = [
        ("--covariate", !args.covariate.is_empty()),
        ("--segment", !args.segment.is_empty()),
        ("--stratum", args.stratum.is_some()),
        ("--cluster", args.cluster.is_some()),
        ("--date", args.date.is_some()),
        ("--cap", !args.cap.is_empty()),
    ];
    if let Some((option, _)) = only_units.iter().find(|(_, given)| *given) {
        bail!("{option} needs rows of units; a file of sums has lost what it asks for");
    }
    let rows = lake::read_file(path).await?;
    let columns = rows.columns;
    let mut numbered: Vec<(u64, Vec<Option<String>>)> = Vec::new();
    let mut batches = rows.batches;
    while let Some(batch) = batches.try_next().await? {
        // The header is line 1.
        let first = numbered.len() as u64 + 2;
        numbered.extend((first..).zip(batch));
        if numbered.len() > AGGREGATE_ROWS_MAX {
            bail!("the file has more than {AGGREGATE_ROWS_MAX} rows; for rows of units leave --aggregate out");
        }
    }
    // A file of sums names its metrics itself, so that what is said about one need not repeat it under --metric.
    let named = args.margin.iter().map(|margin| &margin.name).chain(&args.lower_is_better);
    let asked: Vec<AskedMetric> = if args.metric.is_empty() {
        let names: BTreeSet<&String> = named.collect();
        names.into_iter().map(|name| AskedMetric { name: name.clone(), kind: Kind::Auto }).collect()
    } else {
        args.metric.clone()
    };
    let options = AggregateOptions {
        control: args.control.clone(),
        metrics: args.metric.iter().map(|metric| metric.name.clone()).collect(),
        settings: metrics(&asked, args)?,
        plan: args.plan.clone(),
        alpha: args.alpha,
        correction: args.correction.into(),
    };
    Ok(aggregate_cells(&columns, numbered.into_iter(), &options)?)
}

/// The metrics with what else was said about each.
fn metrics(asked: &[AskedMetric], args: &AnalyzeArgs) -> anyhow::Result<Vec<MetricSpec>> {
    let mut metrics: Vec<MetricSpec> = asked.iter().map(|metric| MetricSpec::new(&metric.name, metric.kind.clone())).collect();
    let names: Vec<String> = metrics.iter().map(|metric| metric.name.clone()).collect();
    if let Some(twice) = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)) {
        bail!("--metric {} is given twice", twice.1);
    }
    let mut find = |option: &str, name: &str| {
        metrics.iter_mut().position(|metric| metric.name == name).with_context(|| {
            let known = if names.is_empty() {
                "no --metric is given".to_owned()
            } else {
                format!("the metrics are {}", names.join(", "))
            };
            format!("{option} {name}: {known}")
        })
    };
    let lower: Vec<usize> = args.lower_is_better.iter().map(|name| find("--lower-is-better", name)).collect::<Result<_, _>>()?;
    let margins: Vec<(usize, f64)> = args
        .margin
        .iter()
        .map(|MetricValue { name, value }| Ok((find("--margin", name)?, *value)))
        .collect::<anyhow::Result<_>>()?;
    let caps: Vec<(usize, f64)> =
        args.cap.iter().map(|MetricValue { name, value }| Ok((find("--cap", name)?, *value))).collect::<anyhow::Result<_>>()?;
    lower.into_iter().for_each(|index| metrics[index].lower_is_better = true);
    margins.into_iter().for_each(|(index, margin)| metrics[index].margin = Some(margin));
    for (index, cap) in caps {
        if metrics[index].kind == Kind::Binary {
            bail!("--cap {}: a binary metric has nothing to cap", metrics[index].name);
        }
        metrics[index].cap = Some(cap);
    }
    Ok(metrics)
}

/// Rows read so far, where a person looks on.
fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {human_pos} rows, {per_sec}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::new_spinner().with_style(style)
}
