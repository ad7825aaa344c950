//! `sendlab import events` and `sendlab import contacts`: rows of any file become events or contacts and go through
//! `POST /v1/events` or `POST /v1/contacts`, like all others.
//!
//! *Invariant:* an import that is stopped and begun again brings nothing twice. Ids of events follow from what rows say
//! ([`ids`]), so the duplicate check of the lake is what this rests on; contacts that are so already are left alone. The
//! state ([`state`]) only saves the way.
//!
//! Reading order: [`noun`] (events or contacts), [`mapping`] (what was asked), [`plan`] with [`time`] and [`values`] (a row
//! to a line), [`batches`] (a file to requests), [`rejects`].

mod batches;
mod ids;
mod mapping;
mod noun;
mod plan;
mod rejects;
mod state;
mod time;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures::StreamExt as _;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use lake::{FileRows, LakeError};
use serde_json::Value;
use vocabulary::{Clock as _, Timestamp};

use crate::SystemClock;
use crate::cli::Place;
use crate::cli_import::{FileArgs, ImportContactsArgs, ImportEventsArgs};
use crate::client::{Client, Heard};
use crate::commands::until_stopped;
use crate::print::{note, say};
use batches::{Batch, Batches, members};
use mapping::Mapping;
use noun::Noun;
use plan::{Fault, Plan, Shown};
use rejects::{Rejected, Report};
use state::{Counts, StateFile};

/// Rejected rows shown; all are in the report.
const SHOWN_MAX: u64 = 5;

/// Lines that are looked at to learn which members there are.
const HEAD_LINES: usize = 10_000;

/// A server that says "later" all the time is given up after so long; the import can go on another day.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// The shortest wait when the server says "later", so that one that names no time is not asked without end.
const WAIT_MIN: Duration = Duration::from_millis(100);

/// How often a connection that broke is tried again, after 1, 2, 4, 8 seconds: long enough for a restart of the server.
const BROKEN_MAX: u32 = 4;

/// The import is whole, but for rows that were rejected and are in the report.
#[derive(Debug)]
pub(crate) struct SomeRejected(u64);

impl SomeRejected {
    /// Tells scripts that rows were rejected; 1 is an import that stopped.
    pub(crate) const EXIT_CODE: u8 = 2;
}

impl std::fmt::Display for SomeRejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rows = if self.0 == 1 { "row was" } else { "rows were" };
        write!(f, "{} {rows} rejected; mend them in the report and import it with the same mapping", HumanCount(self.0))
    }
}

impl std::error::Error for SomeRejected {}

/// What to import, how, and where to.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    file: &'a FileArgs,
    mapping: Mapping,
    /// Where the lines go.
    path: String,
}

impl<'a> Asked<'a> {
    pub(crate) fn events(args: &'a ImportEventsArgs) -> anyhow::Result<Self> {
        Ok(Self { file: &args.file, mapping: Mapping::of_events(args)?, path: "/v1/events".to_owned() })
    }

    pub(crate) fn contacts(args: &'a ImportContactsArgs) -> anyhow::Result<Self> {
        let path = format!("/v1/contacts?duplicates={}", args.duplicates);
        Ok(Self { file: &args.file, mapping: Mapping::of_contacts(args)?, path })
    }
}

/// Who gets the lines.
#[derive(Debug, Clone)]
enum Target {
    /// A server, under this path.
    Server(Client, String),
    /// They are only checked, as of this moment.
    Nobody(Noun, Timestamp),
}

/// Imports files into a server.
pub(crate) async fn run(client: &Client, place: &Place, asked: &Asked<'_>) -> anyhow::Result<()> {
    all(asked, Some(place), &Target::Server(client.clone(), asked.path.clone())).await
}

/// Checks files and sends nothing.
pub(crate) async fn dry_run(asked: &Asked<'_>) -> anyhow::Result<()> {
    all(asked, None, &Target::Nobody(asked.mapping.noun, SystemClock.now())).await
}

async fn all(asked: &Asked<'_>, place: Option<&Place>, target: &Target) -> anyhow::Result<()> {
    let Asked { file: args, mapping, .. } = asked;
    ensure!(args.rejects.is_none() || args.files.len() == 1, "--rejects names one report; leave it out for several files");
    // A mistake in the mapping of the last file should show before the first is in.
    for path in &args.files {
        open(path, mapping).await.with_context(|| path.display().to_string())?;
    }
    let mut total = Counts::default();
    let began = SystemClock.now();
    for path in &args.files {
        let counts = one(path, mapping, args, place, target).await?;
        total.rejected += counts.rejected;
        total.rows += counts.rows;
        total.empty += counts.empty;
        total.accepted += counts.accepted;
        total.known += counts.known;
        total.updated += counts.updated;
        total.merged += counts.merged;
    }
    if args.files.len() > 1 {
        say(&summary(&format!("{} files", args.files.len()), &total, total.rows, began, mapping.noun, target));
    }
    if total.rejected > 0 { Err(SomeRejected(total.rejected).into()) } else { Ok(()) }
}

/// Opens a file and binds the mapping to it.
async fn open(path: &Path, mapping: &Mapping) -> anyhow::Result<(FileRows, Plan)> {
    let lines = lake::has_lines(path);
    let columns = if lines { head_members(path).await? } else { Vec::new() };
    let file = if lines { lake::read_lines(path).await } else { lake::read_file_with(path, &mapping.options).await };
    let file = file.map_err(|error| match error {
        LakeError::BadFile { path, why } if why.contains(".csv.gz") => {
            LakeError::BadFile { path, why: format!("{why}, .ndjson, .jsonl, .ndjson.gz or .jsonl.gz") }
        }
        other => other,
    })?;
    let columns = if lines { &columns } else { &file.columns };
    let plan = Plan::new(mapping, Shown { columns, lines, typed: file.typed })?;
    Ok((file, plan))
}

/// The members of the first lines.
async fn head_members(path: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = BTreeSet::new();
    let mut file = lake::read_lines(path).await?;
    let mut count = 0;
    while let Some(rows) = file.batches.next().await {
        let rows = match rows {
            Ok(rows) => rows,
            Err(LakeError::BadRow { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        count += rows.len();
        let texts = rows.iter().filter_map(|row| row.first()?.as_deref());
        found.extend(texts.filter_map(|text| members(text).ok()).flat_map(BTreeMap::into_keys));
        if count >= HEAD_LINES {
            break;
        }
    }
    Ok(found.into_iter().collect())
}

/// Imports one file.
async fn one(path: &Path, mapping: &Mapping, args: &FileArgs, place: Option<&Place>, target: &Target) -> anyhow::Result<Counts> {
    let (file, plan) = open(path, mapping).await?;
    let state = place.map(|place| {
        let server = place.server.as_deref().unwrap_or_default();
        StateFile::new(&place.data, path, &mapping.fingerprint, server)
    });
    let mut import = Import {
        name: path.display().to_string(),
        state: state.transpose()?,
        counts: Counts::default(),
        report: Report::new(report_path(path, args), file.columns.clone(), mapping.options.delimiter),
        shown: 0,
        bar: bar(file.progress.total()),
    };
    import.go_on(args.restart)?;
    let (began, first) = (SystemClock.now(), import.counts.rows);
    let stale = first == 0 && import.report.path().exists();
    let batches = Batches::new(file, lake::has_lines(path), plan, first, args.batch as usize);
    let ended = import.bring(batches, target, usize::from(args.requests)).await;
    import.bar.finish_and_clear();
    ended.with_context(|| import.stopped(target))?;
    if let Some(state) = &import.state {
        state.remove();
    }
    let counts = import.counts;
    say(&summary(&import.name, &counts, counts.rows - first, began, mapping.noun, target));
    import.tell_about_rows(stale);
    Ok(counts)
}

fn report_path(path: &Path, args: &FileArgs) -> PathBuf {
    args.rejects.clone().unwrap_or_else(|| {
        let mut name = path.as_os_str().to_owned();
        name.push(".rejected.csv");
        name.into()
    })
}

fn bar(total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}, {eta} left").expect("the template is valid");
    ProgressBar::new(total).with_style(style)
}

/// One file on its way in.
struct Import {
    name: String,
    state: Option<StateFile>,
    counts: Counts,
    report: Report,
    shown: u64,
    bar: ProgressBar,
}

impl Import {
    /// Finds out where an earlier import was stopped.
    fn go_on(&mut self, restart: bool) -> anyhow::Result<()> {
        let Some(state) = &self.state else { return Ok(()) };
        if restart {
            state.remove();
        }
        self.counts = state.read();
        if self.counts.rows > 0 {
            note(&format!("{}: going on behind row {}", self.name, HumanCount(self.counts.rows)));
        }
        self.report.go_on(self.counts.report_bytes)
    }

    /// Sends everything, several requests at a time, and takes the answers in order.
    async fn bring(&mut self, batches: Batches, target: &Target, requests: usize) -> anyhow::Result<()> {
        let cut = futures::stream::unfold(batches, |mut batches| async { batches.next().await.map(|batch| (batch, batches)) });
        let deliver = |batch: Result<Batch, LakeError>| {
            let target = target.clone();
            // On a task of its own, so that it goes on while the next rows are read.
            let task = tokio::spawn(async move { deliver(&target, batch?).await });
            async { task.await.context("the request was cut off")? }
        };
        let mut answers = std::pin::pin!(cut.map(deliver).buffered(requests));
        let mut stopped = std::pin::pin!(until_stopped());
        let first = self.counts.rows;
        loop {
            let answer = tokio::select! {
                biased;
                stop = &mut stopped => { stop?; bail!("Ctrl-C, or a request to end"); }
                answer = answers.next() => answer,
            };
            let Some(answer) = answer else { return Ok(()) };
            let (batch, answer) = answer?;
            self.take(batch, &answer)?;
            let seconds = self.bar.elapsed().as_secs_f64().max(1e-3);
            let rate = ((self.counts.rows - first) as f64 / seconds) as u64;
            self.bar.set_message(format!("{} rows, {} a second", HumanCount(self.counts.rows), HumanCount(rate)));
        }
    }

    /// Counts an answer, reports what it rejects, and writes down how far the import is.
    fn take(&mut self, batch: Batch, answer: &Answer) -> anyhow::Result<()> {
        let mut rejected = batch.rejected;
        let mut sent: BTreeMap<usize, _> = batch.sent.into_iter().enumerate().collect();
        for (line, fault) in &answer.faults {
            let (row, values) = sent.remove(line).context("the server names a line twice, or one that was not sent")?;
            rejected.push(Rejected { row, fault: fault.clone(), values });
        }
        rejected.sort_by_key(|rejected| rejected.row);
        for Rejected { row, fault, .. } in &rejected {
            if self.shown < SHOWN_MAX {
                let field = if fault.field.is_empty() { String::new() } else { format!(", {}", fault.field) };
                self.bar.suspend(|| note(&format!("  rejected: row {row}{field}: {}", fault.reason)));
                self.shown += 1;
            }
        }
        self.counts.report_bytes = self.report.add(&rejected)?;
        self.counts.rows = batch.last_row;
        self.counts.accepted += answer.accepted;
        self.counts.known += answer.known;
        self.counts.updated += answer.updated;
        self.counts.merged += answer.merged;
        self.counts.rejected += rejected.len() as u64;
        self.counts.empty += batch.empty;
        self.counts.twice += batch.twice;
        self.bar.set_position(batch.position);
        self.state.as_ref().map_or(Ok(()), |state| state.write(self.counts))
    }

    fn stopped(&self, target: &Target) -> String {
        let row = HumanCount(self.counts.rows);
        match target {
            Target::Server(..) => format!("{}: stopped behind row {row}; the same command goes on there", self.name),
            Target::Nobody(..) => format!("{}: the check stopped behind row {row}", self.name),
        }
    }

    fn tell_about_rows(&self, stale: bool) {
        let Counts { rejected, twice, .. } = self.counts;
        let report = self.report.path().display();
        if rejected > 0 {
            note(&format!("  Rejected rows, with reasons: {report}"));
        } else if stale {
            note(&format!("  {report} is of an earlier import: this one rejected nothing"));
        }
        if twice > 0 {
            note(&format!(
                "  {} rows have a time that clocks showed twice as they were set back; the first was taken",
                HumanCount(twice)
            ));
        }
    }
}

fn summary(name: &str, counts: &Counts, rows_now: u64, began: Timestamp, noun: Noun, target: &Target) -> String {
    let seconds = SystemClock.now().duration_since(began).as_secs_f64().max(1e-3);
    let rate = HumanCount((rows_now as f64 / seconds) as u64);
    let Counts { accepted, known, updated, merged, rejected, .. } = *counts;
    let [accepted, known, updated, merged, rejected] = [accepted, known, updated, merged, rejected].map(HumanCount);
    let outcome = match (target, noun) {
        (Target::Nobody(..), _) => format!("{accepted} can be imported, {rejected} would be rejected"),
        (Target::Server(..), Noun::Event) => format!("{accepted} accepted, {known} known already, {rejected} rejected"),
        (Target::Server(..), Noun::Contact) => {
            let same = if counts.merged > 0 { format!(" ({merged} under a new key)") } else { String::new() };
            format!("{accepted} created, {updated} updated, {known} unchanged{same}, {rejected} rejected")
        }
    };
    let rows = HumanCount(counts.rows - counts.empty);
    format!("{name}: {rows} rows in {seconds:.1} s ({rate} a second): {outcome}.")
}

/// What became of the lines of a request.
#[derive(Debug, Default)]
struct Answer {
    accepted: u64,
    known: u64,
    updated: u64,
    merged: u64,
    /// Rejected lines, counted from 0.
    faults: Vec<(usize, Fault)>,
}

async fn deliver(target: &Target, mut batch: Batch) -> anyhow::Result<(Batch, Answer)> {
    let body = std::mem::take(&mut batch.body);
    let answer = match target {
        _ if batch.sent.is_empty() => Answer::default(),
        Target::Server(client, path) => read_answer(&send(client, path, body).await?, batch.sent.len())?,
        Target::Nobody(noun, now) => check(&body, *noun, *now),
    };
    Ok((batch, answer))
}

/// Reads lines as the server would.
fn check(body: &[u8], noun: Noun, now: Timestamp) -> Answer {
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let mut answer = Answer::default();
    for (at, line) in lines.enumerate() {
        match noun.check(line, now) {
            Ok(()) => answer.accepted += 1,
            Err(fault) => answer.faults.push((at, fault)),
        }
    }
    answer
}

/// Sends a request until it is answered: the server may say "later", or be started anew.
async fn send(client: &Client, path: &str, body: Vec<u8>) -> anyhow::Result<Value> {
    let (mut waited, mut broken) = (Duration::ZERO, 0);
    loop {
        let wait = match client.offer(path, body.clone()).await? {
            Heard::Answer(answer) => return Ok(answer),
            Heard::Later { wait, why } => {
                let wait = wait.max(WAIT_MIN);
                waited += wait;
                ensure!(waited <= WAIT_MAX, "the server has said \"later\" for {} minutes: {why}", WAIT_MAX.as_secs() / 60);
                wait
            }
            Heard::Broken(error) => {
                if broken == BROKEN_MAX {
                    return Err(error);
                }
                broken += 1;
                Duration::from_secs(1 << (broken - 1))
            }
        };
        tokio::time::sleep(wait).await;
    }
}

fn read_answer(answer: &Value, sent: usize) -> anyhow::Result<Answer> {
    let count = |name: &str| answer[name].as_u64().unwrap_or(0);
    let text = |error: &Value, name: &str| error[name].as_str().unwrap_or_default().to_owned();
    let mut faults = Vec::new();
    for error in answer["errors"].as_array().into_iter().flatten() {
        let line = error["line"].as_u64().and_then(|line| usize::try_from(line).ok()).filter(|line| *line > 0);
        let line = line.with_context(|| format!("the server's answer names no line: {error}"))?;
        faults.push((line - 1, Fault { field: text(error, "field"), reason: text(error, "reason") }));
    }
    // Events are accepted or duplicates; contacts created, updated or unchanged.
    let accepted = count("accepted") + count("created");
    let known = count("duplicate") + count("unchanged");
    let read = Answer { accepted, known, updated: count("updated"), merged: count("merged"), faults };
    let told = read.accepted + read.known + read.updated + read.faults.len() as u64;
    ensure!(told == sent as u64, "the server has told the fate of {told} of {sent} lines");
    Ok(read)
}
