//! `sendlab lake`: check, repair, backup, restore. No client of the API, because these are wanted when no server starts.

use std::fs;
use std::io::IsTerminal as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use lake::LakeConfig;
use lake::care::{self, BackupOptions, CheckOptions, CopyAt, Finding, Progress, RepairOptions, Report, RestoreOptions};
use serde::Serialize;
use vocabulary::{Clock as _, Currency, Rates};

use crate::SystemClock;
use crate::cli::{BASE_CURRENCY_DEFAULT, Place};
use crate::cli_lake::{BackupArgs, CheckArgs, LakeCommand, RepairArgs, RestoreArgs};
use crate::client::settings;
use crate::print::{say, table};
use crate::server::tables_at;

/// What people edit and senders trust.
const CONTROL: &str = "control.sqlite";
/// Notes of what senders began, worth nothing elsewhere: without them a message whose outcome is not known is not sent again.
const BEGUN: &str = "begun-";
/// With these every address can be read, and every command given.
const KEYS: [&str; 2] = ["master.key", "local.key"];

/// Runs one of the commands.
pub(crate) async fn run(place: &Place, command: &LakeCommand) -> anyhow::Result<()> {
    if place.server.is_some() {
        bail!("`sendlab lake` works on a data folder; leave --server out and run it where the folder is");
    }
    match command {
        LakeCommand::Check(args) => check(place, args).await,
        LakeCommand::Repair(args) => repair(place, args).await,
        LakeCommand::Backup(args) => backup(place, args).await,
        LakeCommand::Restore(args) => restore(place, args).await,
        LakeCommand::Land { follow } => crate::land::run(place, *follow).await,
    }
}

/// The lake of a data folder, wherever its tables are. Rates and currency play no part here, and the currency is not written
/// down: a backup brings its own.
fn config(place: &Place) -> anyhow::Result<LakeConfig> {
    let tables = tables_at(&place.data, &settings(place)?)?;
    let lake = LakeConfig::new(place.data.join("lake"), Rates::new(Currency::new(BASE_CURRENCY_DEFAULT)?));
    Ok(LakeConfig { tables, ..lake })
}

async fn check(place: &Place, args: &CheckArgs) -> anyhow::Result<()> {
    let bar = Bar::new();
    let options = CheckOptions { deep: args.deep, now: SystemClock.now() };
    let report = care::check(&config(place)?, options, &|progress| bar.show(progress)).await?;
    bar.end();
    if args.json {
        json(&report)?
    } else {
        show_report(&report)
    }
    if !report.clean {
        bail!("{} found", plural(report.findings.len() as u64, "fault"));
    }
    Ok(())
}

async fn repair(place: &Place, args: &RepairArgs) -> anyhow::Result<()> {
    let bar = Bar::new();
    let options = RepairOptions { deep: args.deep, forget_missing: args.forget_missing, apply: args.yes, now: SystemClock.now() };
    let repair = care::repair(&config(place)?, options, &|progress| bar.show(progress)).await?;
    bar.end();
    if args.json {
        json(&repair)?;
    } else {
        let of = |table: &Option<String>| table.clone().unwrap_or_else(|| "-".to_owned());
        let step = |step: &care::Step| vec![step.code.to_string(), of(&step.table), step.object.clone(), step.what.clone()];
        match (repair.steps.is_empty(), repair.applied) {
            (true, _) => say("There is nothing that a repair could do."),
            (false, true) => say("Done:"),
            (false, false) => say("A repair would do this; give --yes to do it:"),
        }
        if !repair.steps.is_empty() {
            table(&["code", "table", "object", "what"], &repair.steps.iter().map(step).collect::<Vec<_>>());
        }
        let lost: u64 = repair.steps.iter().map(|step| step.rows_lost).sum();
        if lost > 0 {
            say(&format!("{} rows {} lost.", HumanCount(lost), if repair.applied { "are" } else { "would be" }));
        }
        if !repair.left.is_empty() {
            say("Left as it is:");
            findings(&repair.left);
        }
    }
    let found = repair.after.as_ref().map_or(repair.left.len(), |after| after.findings.len());
    if found > 0 {
        bail!("{} left", plural(found as u64, "fault"));
    }
    Ok(())
}

async fn backup(place: &Place, args: &BackupArgs) -> anyhow::Result<()> {
    let to = local(&args.to)?;
    let data = &place.data;
    let mut others = Vec::new();
    // Before the lake: what is settled there, the lake knows then. See `crates/DECISIONS.md`.
    let copy = ControlCopy::make(data).await?;
    others.extend(copy.as_ref().map(|copy| (CONTROL.to_owned(), copy.path.clone())));
    let keys = if args.with_keys { &KEYS[..] } else { &[] };
    for name in keys.iter().chain(&["base_currency"]) {
        let path = data.join(name);
        if path.exists() {
            others.push(((*name).to_owned(), path));
        }
    }
    others.extend(plans(&data.join("plans"))?);
    let bar = Bar::new();
    let options = BackupOptions { now: SystemClock.now(), others, prune: args.prune };
    let backup = care::backup(&config(place)?, &to, options, &|progress| bar.show(progress)).await?;
    bar.end();
    if args.json {
        return json(&backup);
    }
    let manifest = &backup.manifest;
    let rows: u64 = manifest.tables.iter().map(|table| table.rows).sum();
    say(&format!("Backup {} in {}", manifest.run, args.to.display()));
    say(&format!("  Rows      {} in tables, {} in the log", HumanCount(rows), HumanCount(manifest.unlanded)));
    let (copied, bytes) = (plural(backup.copied_files, "file"), HumanBytes(backup.copied_bytes));
    say(&format!("  Copied    {copied} ({bytes}); {} there already", plural(backup.kept_files, "file")));
    if args.prune {
        say(&format!("  Deleted   {} of earlier backups", plural(backup.pruned_files, "file")));
    }
    if !args.with_keys && data.join(KEYS[0]).exists() {
        say("  Keys      not copied: keep master.key elsewhere, without it no address can be read");
    }
    Ok(())
}

async fn restore(place: &Place, args: &RestoreArgs) -> anyhow::Result<()> {
    let from = local(&args.from)?;
    fs::create_dir_all(&place.data).with_context(|| format!("cannot make the data folder {}", place.data.display()))?;
    let bar = Bar::new();
    let options = RestoreOptions { at: args.at, others_to: place.data.clone(), now: SystemClock.now() };
    let restored = care::restore(&from, &config(place)?, options, &|progress| bar.show(progress)).await?;
    bar.end();
    let with_control = restored.others.iter().any(|name| name == CONTROL);
    if with_control {
        control::mark_restored(&place.data.join(CONTROL), &place.data.join("plans"), SystemClock.now()).await?;
    }
    if args.json {
        json(&restored)?;
    } else {
        let rows: u64 = restored.tables.iter().map(|table| table.rows).sum();
        say(&format!("Restored {} of {} into {}", restored.run, args.from.display(), place.data.display()));
        say(&format!("  Rows      {} in tables, {} in the log", HumanCount(rows), HumanCount(restored.unlanded)));
        say(&format!("  Beside    {}", if restored.others.is_empty() { "-".to_owned() } else { restored.others.join(", ") }));
        show_report(&restored.report);
        if with_control {
            say(
                "  Sending   what was due before now and is not in the ledger counts as in doubt and is not sent: it may have been",
            );
            say(
                "            sent since the backup. Campaigns that you started since are not known here; do not start them again.",
            );
        }
        if !restored.others.iter().any(|name| name == KEYS[0]) && restored.others.iter().any(|name| name == CONTROL) {
            say("Put master.key into the data folder before you start the server.");
        }
    }
    if !restored.report.clean {
        bail!("{} found", plural(restored.report.findings.len() as u64, "fault"));
    }
    Ok(())
}

/// Backups are kept in folders; a bucket can be mounted as one.
fn local(path: &Path) -> anyhow::Result<CopyAt> {
    if path.to_string_lossy().contains("://") {
        bail!("`{}` is no folder; backups are written to and read from local or mounted folders", path.display());
    }
    Ok(CopyAt::Folder(path.to_owned()))
}

/// The plans of campaigns, which senders read.
fn plans(folder: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut plans = Vec::new();
    if folder.exists() {
        for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_file() && !name.starts_with(BEGUN) {
                plans.push((format!("plans/{name}"), entry.path()));
            }
        }
    }
    plans.sort();
    Ok(plans)
}

/// The control file as it was at one moment, deleted in the end.
struct ControlCopy {
    path: PathBuf,
}

impl ControlCopy {
    async fn make(data: &Path) -> anyhow::Result<Option<Self>> {
        let from = data.join(CONTROL);
        if !from.exists() {
            return Ok(None);
        }
        let copy = Self { path: data.join(format!("control.backup-{}", std::process::id())) };
        let make = || fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&copy.path);
        make().with_context(|| format!("cannot write {}", copy.path.display()))?;
        control::copy_file(&from, &copy.path).await?;
        Ok(Some(copy))
    }
}

impl Drop for ControlCopy {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path));
    }
}

fn show_report(report: &Report) {
    let row = |of: &care::TableReport| {
        let (files, rows, past) = (HumanCount(of.files), HumanCount(of.rows), HumanCount(of.past_files));
        vec![
            of.name.clone(),
            of.version.to_string(),
            files.to_string(),
            rows.to_string(),
            HumanBytes(of.bytes).to_string(),
            past.to_string(),
        ]
    };
    let headings = ["table", "version", "files", "rows", "size", "files of the past"];
    table(&headings, &report.tables.iter().map(row).collect::<Vec<_>>());
    let log = format!("{}, {} not in tables yet", plural(report.segments, "segment"), plural(report.unlanded, "event"));
    say(&format!("  Log     {log}"));
    say(&format!("  Index   {}", plural(report.index_ids, "known id")));
    if !report.notes.is_empty() {
        say("Normal, and nothing to be done:");
        findings(&report.notes);
    }
    if !report.findings.is_empty() {
        say("Found:");
        findings(&report.findings);
    }
    say(match (report.clean, report.deep) {
        (true, true) => "Clean: all data was read.",
        (true, false) => "Clean, as far as sizes, footers and counts tell; --deep reads all data.",
        (false, _) => "Not clean.",
    });
}

fn findings(findings: &[Finding]) {
    let cells = |finding: &Finding| {
        let table = finding.table.clone().unwrap_or_else(|| "-".to_owned());
        vec![finding.code.to_string(), table, finding.object.clone(), finding.what.clone(), finding.fix.clone()]
    };
    table(&["code", "table", "object", "what", "what mends it"], &findings.iter().map(cells).collect::<Vec<_>>());
}

fn plural(count: u64, what: &str) -> String {
    format!("{} {what}{}", HumanCount(count), if count == 1 { "" } else { "s" })
}

fn json(value: &impl Serialize) -> anyhow::Result<()> {
    say(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// How far a long work is, on a terminal.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template("{bar:30} {percent} %  {msg}  {elapsed}");
        Self(ProgressBar::new(1).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    fn show(&self, progress: Progress) {
        self.0.set_length(progress.total.max(1));
        self.0.set_position(progress.done);
        self.0.set_message(progress.doing);
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_copied_and_notes_of_what_was_begun_are_not() {
        let folder = tempfile::tempdir().unwrap();
        assert!(plans(&folder.path().join("none")).unwrap().is_empty());
        for name in ["spring-1.parquet", "begun-sender", "autumn-2.parquet"] {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        let names: Vec<String> = plans(folder.path()).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["plans/autumn-2.parquet", "plans/spring-1.parquet"]);
        assert!(local(Path::new("s3://bucket/x")).is_err());
    }
}
