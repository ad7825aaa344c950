//! The part of a check that reads all data.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;
use vocabulary::EventKind;

use super::check::{FROM_BACKUP, REPAIR};
use super::data::{self, Content, Fault, contradiction, ids_of, received_of};
use super::durable::Held;
use super::ids::{REPEATED_MAX, Repeated, SeenIds};
use super::{Code, Finding, Progress, Remedy, Tell};
use crate::LakeError;
use crate::delta::{DataFile, Table};
use crate::index::IdHash;
use crate::rewrite::FILES_AT_ONCE;

/// A file to read.
#[derive(Clone)]
pub(super) struct Reading {
    pub(super) table: Arc<Table>,
    pub(super) file: Arc<DataFile>,
}

/// The log, of which only what the tables lack is looked at.
#[derive(Clone, Copy)]
pub(super) struct Lacking<'a> {
    pub(super) segments: &'a [Held],
    pub(super) recorded: &'a BTreeMap<EventKind, i64>,
}

/// Reads all files. Files have the numbers of their places in `readings`, segments those behind them.
pub(super) async fn read_all(
    readings: Vec<Reading>,
    lacking: Lacking<'_>,
    scratch: PathBuf,
    tell: Tell<'_>,
) -> Result<Vec<Finding>, LakeError> {
    let seen = Arc::new(Mutex::new(SeenIds::new(scratch)));
    let total: u64 = readings.iter().map(|reading| reading.file.bytes).sum();
    let (mut done, mut findings) = (0, Vec::new());
    let mut tasks = JoinSet::new();
    let mut waiting = readings.iter().cloned().zip(0_u32..);
    loop {
        while tasks.len() < FILES_AT_ONCE
            && let Some((reading, number)) = waiting.next()
        {
            let seen = seen.clone();
            tasks.spawn(async move { (read(&reading, number, &seen).await, reading) });
        }
        let Some(task) = tasks.join_next().await else { break };
        let (outcome, reading) = task.map_err(LakeError::internal("read a file"))?;
        done += reading.file.bytes;
        tell(Progress { doing: "reading all data".to_owned(), done, total });
        judge(&reading, outcome, &mut findings).await?;
    }
    let logged = log_ids(lacking, readings.len() as u32, &seen)?;
    let seen = Arc::into_inner(seen).expect("all tasks have ended").into_inner().unwrap_or_else(PoisonError::into_inner);
    let repeated = seen.repeated()?;
    findings.extend(duplicates(&readings, &repeated, logged, tell).await?);
    Ok(findings)
}

async fn read(reading: &Reading, number: u32, seen: &Mutex<SeenIds>) -> Result<Content, Fault> {
    let mut see = |ids: &[IdHash]| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(ids, number).map_err(|error| crate::error::chain(&error))
    };
    data::read(&reading.table.place, &reading.file, reading.table.spec.skip_by, &mut see).await
}

async fn judge(reading: &Reading, outcome: Result<Content, Fault>, findings: &mut Vec<Finding>) -> Result<(), LakeError> {
    let file = &reading.file;
    let mut add = |code, what: String, fix: &str, remedy, rows| {
        findings.push(Finding {
            code,
            table: Some(reading.table.spec.name.to_owned()),
            object: file.path.clone(),
            what,
            fix: fix.to_owned(),
            rows,
            bytes: file.bytes,
            remedy,
        });
    };
    match outcome {
        // A file that compaction put others in the place of may be deleted while it is read.
        Err(_) if !reading.table.refresh().await?.files.contains_key(&file.path) => {}
        Err(Fault::Unreadable(why)) => {
            add(Code::FileUnreadable, format!("its rows cannot be read: {why}"), FROM_BACKUP, Remedy::None, file.rows);
        }
        Err(Fault::Checksum(why)) => add(Code::FileChecksum, why, FROM_BACKUP, Remedy::None, file.rows),
        Ok(content) => {
            if content.stats.num_records != file.rows {
                let what = format!("it has {} rows and the table's log says {}", content.stats.num_records, file.rows);
                add(Code::RowCount, what, REPAIR, Remedy::Restate, file.rows);
            }
            if let Some(what) = contradiction(&file.stats, &content.stats) {
                add(Code::Statistics, what, REPAIR, Remedy::Restate, file.rows);
            }
            if content.other_days > 0 {
                let what = format!("{} of its rows belong to another day", content.other_days);
                add(Code::WrongDay, what, REPAIR, Remedy::Rewrite { without: Vec::new() }, content.other_days);
            }
        }
    }
    Ok(())
}

/// Where an event is: its id, when it came in, the number of the file or segment, the row.
type Where = (IdHash, i64, u32, u64);

/// The rows of the log that are in no table yet.
struct Logged {
    names: BTreeMap<u32, String>,
    rows: Vec<Where>,
}

fn log_ids(lacking: Lacking<'_>, first: u32, seen: &Mutex<SeenIds>) -> Result<Logged, LakeError> {
    let mut logged = Logged { names: BTreeMap::new(), rows: Vec::new() };
    for (held, number) in lacking.segments.iter().zip(first..) {
        logged.names.insert(number, held.name());
        let content = held.read()?;
        for batch in content.lacking(held.segment.number, lacking.recorded) {
            let ids = ids_of(batch).map_err(|why| LakeError::internal("read the log")(std::io::Error::other(why)))?;
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(&ids, number)?;
            logged.rows.extend(ids.into_iter().zip(0_u64..).map(|(id, row)| (id, i64::MAX, number, row)));
        }
    }
    Ok(logged)
}

/// Names the files that repeat events of others. What was received first stays, and what is in a table before what is not.
async fn duplicates(
    readings: &[Reading],
    repeated: &Repeated,
    logged: Logged,
    tell: Tell<'_>,
) -> Result<Vec<Finding>, LakeError> {
    let hashes: &HashSet<IdHash> = &repeated.hashes;
    let mut rows: Vec<Where> = logged.rows.into_iter().filter(|(id, ..)| hashes.contains(id)).collect();
    let total = repeated.places.len() as u64;
    for (number, done) in repeated.places.iter().zip(1..) {
        let Some(reading) = readings.get(*number as usize) else { continue };
        let mut first = 0;
        let mut see = |batch: &arrow::array::RecordBatch| {
            let received = received_of(batch);
            let found = ids_of(batch)?.into_iter().zip(received).zip(first..).filter(|((id, _), _)| hashes.contains(id));
            rows.extend(found.map(|((id, received), row)| (id, received, *number, row)));
            first += batch.num_rows() as u64;
            Ok(())
        };
        data::each_batch(&reading.table.place, &reading.file, &mut see).await.map_err(|why| LakeError::Store {
            operation: "read",
            object: reading.file.path.clone(),
            source: why.into(),
        })?;
        tell(Progress { doing: "looking for events that are there twice".to_owned(), done, total });
    }
    rows.sort_unstable();
    let mut again: BTreeMap<u32, (Vec<u64>, u32)> = BTreeMap::new();
    for same in rows.chunk_by(|a, b| a.0 == b.0) {
        for (_, _, number, row) in &same[1..] {
            again.entry(*number).or_insert_with(|| (Vec::new(), same[0].2)).0.push(*row);
        }
    }
    let name = |number: u32| match readings.get(number as usize) {
        Some(reading) => format!("{}/{}", reading.table.spec.name, reading.file.path),
        None => logged.names.get(&number).cloned().unwrap_or_default(),
    };
    let more = if repeated.hashes.len() == REPEATED_MAX { "; there may be more" } else { "" };
    let finding = |(number, (mut without, first)): (u32, (Vec<u64>, u32))| {
        without.sort_unstable();
        let what = format!("{} of its events are there before, the first in {}{more}", without.len(), name(first));
        let (rows, bytes) = (without.len() as u64, readings.get(number as usize).map_or(0, |reading| reading.file.bytes));
        let (table, object, fix, remedy) = match readings.get(number as usize) {
            Some(reading) => {
                let table = Some(reading.table.spec.name.to_owned());
                (table, reading.file.path.clone(), REPAIR.to_owned(), Remedy::Rewrite { without })
            }
            None => (None, name(number), format!("open the lake, so that it lands them, then {REPAIR}"), Remedy::None),
        };
        Finding { code: Code::DuplicateEvent, table, object, what, fix, rows, bytes, remedy }
    };
    Ok(again.into_iter().map(finding).collect())
}
