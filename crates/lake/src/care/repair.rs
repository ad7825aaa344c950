//! `repair`: puts right what can be put right without giving up anything that was acknowledged.
//!
//! What a check found says what is to be done about it. Everything is one step on one object and safe to be cut off: the
//! next repair goes on.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use deltalake_core::kernel::Action;
use serde::Serialize;
use vocabulary::Timestamp;

use super::check::{CheckOptions, Looked, look, specs};
use super::data::{self, Fault, with_days};
use super::{Code, Finding, Progress, Remedy, Report, Tell};
use crate::delta::{DataFile, Purpose, Table, TableState, add_of, removes};
use crate::log::{Segment, sync_folder};
use crate::opening::lock;
use crate::parquet::{Encoded, by_day, encode, rewritten_path};
use crate::place::Place;
use crate::{LakeConfig, LakeError};

/// How far a repair may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepairOptions {
    /// Look for what only reading all data shows.
    pub deep: bool,
    /// Give up what is not there any more: the rows of missing files, what stands behind damage in the durable log.
    pub forget_missing: bool,
    /// Do it. Otherwise only say what would be done.
    pub apply: bool,
    /// The time now.
    pub now: Timestamp,
}

/// One thing that a repair does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What was found.
    pub code: Code,
    /// Of which table.
    pub table: Option<String>,
    /// Which object.
    pub object: String,
    /// What is done about it, in words.
    pub what: String,
    /// How many rows are lost by it.
    pub rows_lost: u64,
}

/// What a repair did or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repair {
    /// Whether it was done.
    pub applied: bool,
    /// What.
    pub steps: Vec<Step>,
    /// What it can do nothing about, or may not.
    pub left: Vec<Finding>,
    /// What a check finds afterwards, where something was done.
    pub after: Option<Report>,
}

/// Mends what a check finds. Nobody else may have the lake open, also when nothing is to be changed: beside a server
/// nobody can tell what is left over from what is under way.
///
/// # Errors
/// [`LakeError::Locked`] when another process has the lake open; errors of files and tables.
pub async fn repair(config: &LakeConfig, options: RepairOptions, tell: Tell<'_>) -> Result<Repair, LakeError> {
    let check = CheckOptions { deep: options.deep, now: options.now };
    let _lock = if config.root.is_dir() { Some(lock(&config.root)?) } else { None };
    let Looked { report, tables } = look(config, check, false, tell).await?;
    let place = Place::open(&config.tables, &config.root)?;
    let mender = Mender { root: &config.root, place, tables, options };
    let (mut steps, mut left) = (Vec::new(), Vec::new());
    let findings = merged(report.findings.into_iter().chain(report.notes));
    let total = findings.len() as u64;
    for (finding, done) in findings.into_iter().zip(1..) {
        match mender.step(&finding) {
            Some(step) => {
                if options.apply {
                    tell(Progress { doing: format!("mending {}", finding.object), done, total });
                    mender.mend(&finding).await?;
                }
                steps.push(step);
            }
            None if finding.code.is_normal() => {}
            None => left.push(finding),
        }
    }
    let done = options.apply && !steps.is_empty();
    let after = if done { Some(look(config, check, false, tell).await?.report) } else { None };
    Ok(Repair { applied: done, steps, left, after })
}

/// One finding for each file that is written anew: that mends all its other faults too.
fn merged(findings: impl Iterator<Item = Finding>) -> Vec<Finding> {
    let mut merged: Vec<Finding> = Vec::new();
    let mut places: BTreeMap<(Option<String>, String), usize> = BTreeMap::new();
    for finding in findings {
        if !matches!(finding.remedy, Remedy::Rewrite { .. } | Remedy::Restate) {
            merged.push(finding);
            continue;
        }
        match places.get(&(finding.table.clone(), finding.object.clone())) {
            None => {
                places.insert((finding.table.clone(), finding.object.clone()), merged.len());
                merged.push(finding);
            }
            Some(at) => {
                let first = &mut merged[*at];
                first.what = format!("{}; {}", first.what, finding.what);
                first.remedy = match (std::mem::replace(&mut first.remedy, Remedy::None), finding.remedy) {
                    (Remedy::Rewrite { without: mut all }, Remedy::Rewrite { without }) => {
                        all.extend(without);
                        Remedy::Rewrite { without: all }
                    }
                    (rewrite @ Remedy::Rewrite { .. }, _) | (_, rewrite) => rewrite,
                };
            }
        }
    }
    merged
}

struct Mender<'a> {
    root: &'a Path,
    place: Place,
    tables: Vec<Arc<Table>>,
    options: RepairOptions,
}

impl Mender<'_> {
    /// What is done about a finding, if anything.
    fn step(&self, finding: &Finding) -> Option<Step> {
        let (what, rows_lost) = match &finding.remedy {
            Remedy::None => return None,
            Remedy::Forget | Remedy::Cut { loses: true, .. } if !self.options.forget_missing => return None,
            Remedy::Delete => ("delete it".to_owned(), 0),
            Remedy::DropIndex => ("delete it; opening the lake makes it anew of the tables".to_owned(), 0),
            Remedy::Cut { loses: false, .. } => (format!("cut off its last {} bytes", finding.bytes), 0),
            Remedy::Cut { .. } => (format!("keep a copy and cut off its last {} bytes", finding.bytes), 0),
            Remedy::Forget => (format!("take it out of the table; {} rows are lost", finding.rows), finding.rows),
            Remedy::Restate => ("commit its real statistics".to_owned(), 0),
            Remedy::Rewrite { without } if without.is_empty() => ("write its rows anew, each into its day".to_owned(), 0),
            Remedy::Rewrite { without } => (format!("write it anew without {} repeated events", without.len()), 0),
        };
        let Finding { code, table, object, .. } = finding.clone();
        Some(Step { code, table, object, what, rows_lost })
    }

    async fn mend(&self, finding: &Finding) -> Result<(), LakeError> {
        match &finding.remedy {
            Remedy::None => Ok(()),
            Remedy::Delete => {
                let spec = specs().find(|spec| Some(spec.name) == finding.table.as_deref());
                let place = self.place.folder(spec.expect("what is deleted belongs to a table").name);
                if finding.code == Code::CheckpointDamaged {
                    // It names the newest checkpoint, and readers believe it.
                    place.delete("_delta_log/_last_checkpoint").await?;
                }
                place.delete(&finding.object).await
            }
            Remedy::DropIndex => {
                let folder = self.root.join("index");
                fs::remove_dir_all(&folder).map_err(LakeError::file("delete", &folder))
            }
            Remedy::Cut { segment, loses } => self.cut(*segment, *loses),
            Remedy::Forget => self.replace(finding, true, |_| Ok(Vec::new())).await,
            Remedy::Restate => self.restate(finding).await,
            Remedy::Rewrite { without } => self.rewrite(finding, without).await,
        }
    }

    fn cut(&self, segment: i64, keep_copy: bool) -> Result<(), LakeError> {
        let folder = self.root.join("log");
        let segment = Segment::new(&folder, segment);
        if keep_copy {
            let mut copy = segment.path.clone().into_os_string();
            copy.push(".damaged");
            fs::copy(&segment.path, &copy).map_err(LakeError::file("copy", &segment.path))?;
            sync_folder(&folder).map_err(LakeError::file("sync", &folder))?;
        }
        segment.cut_torn_tail().map(drop)
    }

    /// The table a finding is about, and the file.
    fn file(&self, finding: &Finding) -> Option<(&Arc<Table>, Arc<DataFile>)> {
        let table = self.tables.iter().find(|table| Some(table.spec.name) == finding.table.as_deref())?;
        let file = table.state().files.get(&finding.object)?.clone();
        Some((table, file))
    }

    /// Commits that a file gives way to what `by` makes of it.
    async fn replace(
        &self,
        finding: &Finding,
        data_change: bool,
        by: impl FnOnce(&DataFile) -> Result<Vec<Action>, LakeError>,
    ) -> Result<(), LakeError> {
        let Some((table, file)) = self.file(finding) else { return Ok(()) };
        let adds = by(&file)?;
        let purpose = Purpose { operation: "REPAIR", at: self.options.now };
        let plan = |state: &TableState| {
            let gone = removes([&file], self.options.now, data_change);
            let there = state.files.contains_key(&file.path);
            Ok(there.then(|| gone.into_iter().chain(adds.iter().cloned()).collect()))
        };
        table.commit(purpose, Box::new(plan)).await.map(drop)
    }

    /// Adding a file again under its name replaces what the table says of it.
    async fn restate(&self, finding: &Finding) -> Result<(), LakeError> {
        let Some((table, file)) = self.file(finding) else { return Ok(()) };
        let content = data::read(&table.place, &file, table.spec.skip_by, &mut |_| Ok(())).await;
        let why = |fault| match fault {
            Fault::Unreadable(why) | Fault::Checksum(why) => unreadable(&file, why),
        };
        let stats = content.map_err(why)?.stats;
        let file = DataFile { rows: stats.num_records, stats, ..file.as_ref().clone() };
        let purpose = Purpose { operation: "COMPUTE STATS", at: self.options.now };
        let plan = |state: &TableState| {
            let add = || vec![Action::Add(add_of(&file, false))];
            Ok(state.files.contains_key(&file.path).then(add))
        };
        table.commit(purpose, Box::new(plan)).await.map(drop)
    }

    async fn rewrite(&self, finding: &Finding, without: &[u64]) -> Result<(), LakeError> {
        let Some((table, file)) = self.file(finding) else { return Ok(()) };
        let (mut kept, mut first) = (Vec::new(), 0_u64);
        let without: HashSet<u64> = without.iter().copied().collect();
        let mut see = |batch: &RecordBatch| {
            let keep: BooleanArray = (first..).take(batch.num_rows()).map(|row| Some(!without.contains(&row))).collect();
            first += batch.num_rows() as u64;
            let batch = filter_record_batch(batch, &keep).map_err(|error| error.to_string())?;
            if batch.num_rows() > 0 {
                kept.push(with_days(&batch)?);
            }
            Ok(())
        };
        data::each_batch(&table.place, &file, &mut see).await.map_err(|why| unreadable(&file, why))?;
        let mut written = Vec::new();
        for (day, part) in by_day(&kept).map_err(LakeError::internal("arrange events"))?.into_iter().zip(0..) {
            let path = rewritten_path(Some(day.date), std::slice::from_ref(&file), "repair", part);
            let encoded = encode(path, Some(day.date), &[day.rows], table.spec.skip_by, self.options.now);
            let Encoded { file, bytes } = encoded.map_err(LakeError::internal("write a file anew"))?;
            table.place.put(&file.path, bytes).await?;
            written.push(Action::Add(add_of(&file, !without.is_empty())));
        }
        self.replace(finding, !without.is_empty(), |_| Ok(written)).await
    }
}

fn unreadable(file: &DataFile, why: String) -> LakeError {
    LakeError::Store { operation: "read", object: file.path.clone(), source: why.into() }
}
