//! Brings past experiments in, as the events they would have been.
//!
//! A past experiment becomes contacts, assignments and outcomes that go through the collector like any others, so that
//! readout, SQL and recommendation work on it. Event ids follow from experiment and row: an import that broke off can
//! be run again and brings only what is missing.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use futures::StreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use lake::FileRows;
use serde_json::{Map, Value, json};

use crate::cli::ImportExperimentArgs;
use crate::client::Client;
use crate::import_mapping::{Mapping, Template, is_yes};
use crate::print::{self, note, say};

/// Lines sent in one request: enough to make the request's cost vanish, few enough to show progress.
const LINES_PER_REQUEST: usize = 2_000;

/// Rejected lines shown; the rest are counted.
const REJECTED_SHOWN_MAX: usize = 20;

/// What a file's lines came to.
#[derive(Debug, Default)]
struct Tally {
    counts: BTreeMap<String, u64>,
    rejected: Vec<String>,
}

impl Tally {
    /// Adds one answer; `rows` are the file's row numbers of the request's lines.
    fn add(&mut self, answer: &Value, rows: &[u64]) {
        for (name, value) in answer.as_object().into_iter().flatten() {
            if let Some(number) = value.as_u64() {
                *self.counts.entry(name.clone()).or_default() += number;
            }
        }
        for error in answer["errors"].as_array().into_iter().flatten() {
            let line = error["line"].as_u64().unwrap_or(0) as usize;
            let row = rows.get(line.saturating_sub(1)).copied().unwrap_or(0);
            let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
            self.rejected.push(format!("row {row}, {}: {}", text("field"), text("reason")));
        }
    }

    fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    fn report(&self) {
        for line in self.rejected.iter().take(REJECTED_SHOWN_MAX) {
            note(&format!("  rejected: {line}"));
        }
        if self.rejected.len() > REJECTED_SHOWN_MAX {
            note(&format!("  ... and {} more", self.rejected.len() - REJECTED_SHOWN_MAX));
        }
    }
}

/// Collects lines with the rows they came from and sends them in batches.
struct Batch<'a> {
    client: &'a Client,
    path: &'static str,
    body: Vec<u8>,
    rows: Vec<u64>,
    tally: Tally,
}

impl<'a> Batch<'a> {
    fn new(client: &'a Client, path: &'static str) -> Self {
        Self { client, path, body: Vec::new(), rows: Vec::new(), tally: Tally::default() }
    }

    async fn push(&mut self, row: u64, line: &Value) -> anyhow::Result<()> {
        serde_json::to_writer(&mut self.body, line)?;
        self.body.push(b'\n');
        self.rows.push(row);
        if self.rows.len() >= LINES_PER_REQUEST { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        if !self.rows.is_empty() {
            let answer = self.client.lines(self.path, std::mem::take(&mut self.body)).await?;
            self.tally.add(&answer, &self.rows);
            self.rows.clear();
        }
        Ok(())
    }
}

fn progress(what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg}: {human_pos} rows, {per_sec}").expect("the template is valid");
    ProgressBar::new_spinner().with_style(style).with_message(what.to_owned())
}

async fn open(file: &Path) -> anyhow::Result<FileRows> {
    Ok(lake::read_file(file).await?)
}

/// The position of a column, or an error that lists those there are.
pub(crate) fn column(columns: &[String], name: &str, option: &str) -> anyhow::Result<usize> {
    let found = columns.iter().position(|column| column == name);
    found.with_context(|| format!("the file has no column `{name}` ({option}); it has {}", columns.join(", ")))
}

/// One file, read twice: first for the variants, then for everything.
struct Source<'a> {
    path: &'a Path,
    mapping: Mapping,
    columns: Vec<String>,
}

/// `sendlab import experiment`.
pub(crate) async fn experiment(client: &Client, args: &ImportExperimentArgs) -> anyhow::Result<()> {
    let base = client.get("/v1/lake").await?["base_currency"].as_str().unwrap_or_default().to_owned();
    let mapping = Mapping::from_args(args, &base)?;
    let columns = open(&args.file).await?.columns;
    mapping.check(&columns)?;
    let source = Source { path: &args.file, mapping, columns };

    let variants = variants(&source).await?;
    let spec = source.mapping.spec(&variants)?;
    let stored = client.send(reqwest::Method::PUT, "/v1/experiments", "application/json", serde_json::to_vec(&spec)?).await;
    stored.context("the experiment was refused")?;
    let contacts = bring(client, &source, "/v1/contacts", "contacts", contact_lines).await?;
    let events = bring(client, &source, "/v1/events", "events", event_lines).await?;
    let rejected = contacts.count("rejected") + events.count("rejected");
    say(&format!(
        "{} contacts and {} events are in; {} events were there already.",
        contacts.count("created"),
        events.count("accepted"),
        events.count("duplicate")
    ));
    if rejected > 0 {
        bail!("{rejected} lines were rejected; mend them and import the file again: what is there already is not counted twice");
    }
    decide(client, &source.mapping.experiment).await
}

/// Waits until the events can be read, shows the readout and lets the experiment decide.
async fn decide(client: &Client, experiment: &str) -> anyhow::Result<()> {
    while client.get("/v1/lake").await?["unlanded"].as_u64() != Some(0) {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let path = format!("/v1/experiments/{}", crate::commands::segment(experiment));
    let decision = client.send(reqwest::Method::POST, &format!("{path}/decide"), "application/json", b"{}".to_vec()).await?;
    print::readout(&client.get(&format!("{path}/readout")).await?);
    say("");
    crate::experiment_command::decided(&decision);
    Ok(())
}

/// The variants of the file in order of first appearance, with how many rows each has.
async fn variants(source: &Source<'_>) -> anyhow::Result<Vec<(String, u64)>> {
    let at = column(&source.columns, &source.mapping.variant, "--variant")?;
    let mut counts: Vec<(String, u64)> = Vec::new();
    let mut file = open(source.path).await?;
    let mut row_number = 0_u64;
    while let Some(rows) = file.batches.next().await {
        for row in rows? {
            row_number += 1;
            let name = row[at].clone().with_context(|| format!("row {row_number} has no {}", source.mapping.variant))?;
            match counts.iter_mut().find(|(known, _)| *known == name) {
                Some((_, count)) => *count += 1,
                None => counts.push((name, 1)),
            }
            if counts.len() > Mapping::VARIANTS_MAX {
                bail!(
                    "column `{}` has more than {} different values; is it the variant?",
                    source.mapping.variant,
                    Mapping::VARIANTS_MAX
                );
            }
        }
    }
    Ok(counts)
}

/// Makes the lines of one row.
type Lines = fn(&Mapping, &Row<'_>) -> anyhow::Result<Vec<Value>>;

/// One row of the file.
pub(crate) struct Row<'a> {
    pub(crate) number: u64,
    pub(crate) columns: &'a [String],
    pub(crate) values: &'a [Option<String>],
}

impl Row<'_> {
    /// The value of a column that was checked to be there; empty where missing.
    pub(crate) fn get(&self, name: &str) -> &str {
        let at = self.columns.iter().position(|column| column == name);
        at.and_then(|at| self.values[at].as_deref()).unwrap_or_default()
    }
}

async fn bring(client: &Client, source: &Source<'_>, path: &'static str, what: &str, lines: Lines) -> anyhow::Result<Tally> {
    let bar = progress(what);
    let mut batch = Batch::new(client, path);
    let mut file = open(source.path).await?;
    let mut number = 0;
    while let Some(rows) = file.batches.next().await {
        for values in rows? {
            number += 1;
            let row = Row { number, columns: &source.columns, values: &values };
            for line in lines(&source.mapping, &row).with_context(|| format!("row {number}"))? {
                batch.push(number, &line).await?;
            }
            bar.inc(1);
        }
    }
    batch.flush().await?;
    bar.finish_and_clear();
    batch.tally.report();
    Ok(batch.tally)
}

fn contact_lines(mapping: &Mapping, row: &Row<'_>) -> anyhow::Result<Vec<Value>> {
    let attributes: Map<String, Value> =
        mapping.attributes.iter().map(|name| (name.clone(), row.get(name).into())).filter(|(_, value)| value != "").collect();
    let mut line = json!({ "key": mapping.contact.fill(row), "attributes": attributes });
    if let Some(email) = &mapping.email {
        line["email"] = email.fill(row).into();
    }
    if let Some(country) = &mapping.country {
        line["country"] = country.fill(row).into();
    }
    Ok(vec![line])
}

fn event_lines(mapping: &Mapping, row: &Row<'_>) -> anyhow::Result<Vec<Value>> {
    let contact = mapping.contact.fill(row);
    let assigned_at = mapping.assigned_at(row)?;
    let outcome_at = mapping.outcome_at(assigned_at)?;
    let event = |kind: &str, time: jiff::Timestamp| {
        json!({
            "event_id": format!("import:{}:{}:{kind}", mapping.experiment, row.number),
            "kind": kind,
            "event_time": time.to_string(),
            "contact": contact,
            "experiment_id": mapping.experiment,
            "variant": row.get(&mapping.variant),
        })
    };
    let mut lines = vec![event("assignment", assigned_at)];
    for (kind, column) in [("open", &mapping.open), ("click", &mapping.click)] {
        if column.as_ref().is_some_and(|column| is_yes(row.get(column))) {
            lines.push(event(kind, outcome_at));
        }
    }
    if mapping.unsubscribe.as_ref().is_some_and(|column| is_yes(row.get(column))) {
        let mut line = event("feedback", outcome_at);
        line["feedback"] = "unsubscribe".into();
        lines.push(line);
    }
    if let Some((_, amount)) = mapping.order.as_ref().filter(|(ordered, _)| is_yes(row.get(ordered))) {
        let mut line = event("order", outcome_at);
        line["order_id"] = format!("{}-{}", mapping.experiment, row.number).into();
        line["amount"] = amount.as_ref().map_or("0", |amount| row.get(amount)).into();
        line["currency"] = mapping.currency.clone().into();
        lines.push(line);
    }
    Ok(lines)
}

/// Checks that a template names only columns that exist.
pub(crate) fn check_template(template: &Template, columns: &[String], option: &str) -> anyhow::Result<()> {
    for name in template.names() {
        if name != "row" {
            column(columns, name, option)?;
        }
    }
    Ok(())
}
