//! `check`: looks at everything, changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use futures::{StreamExt, stream};
use vocabulary::{EventKind, Timestamp};

use super::deep::{self, Reading};
use super::durable::{Held, hold_segments, recorded};
use super::log::{TableLog, named_files, read_checkpoint};
use super::{Code, Finding, Progress, Remedy, Report, TableReport, Tell, data};
use crate::delta::{DataFile, LOG, Table, TableState};
use crate::index::{Verified, verify};
use crate::landing::APPLICATION;
use crate::log::goes_on_behind;
use crate::parquet::{is_landed, is_unlanded};
use crate::place::{Listed, Place};
use crate::schema::{TableSpec, contacts_table, event_table, rates_table};
use crate::tables::kind_of;
use crate::{LakeConfig, LakeError};

/// Footers read at the same time: most of the time goes by waiting for the store.
const FOOTERS_AT_ONCE: usize = 16;
/// Beside a server, a file that no version names may belong to work that is not committed yet; none takes so long.
const UNDER_WAY_MS: i64 = 60 * 60 * 1000;

/// What is mended by `repair`.
pub(super) const REPAIR: &str = "sendlab lake repair --yes";
/// What only a backup brings back.
pub(super) const FROM_BACKUP: &str = "copy the file from a backup; or move it away and run sendlab lake repair --forget-missing --yes, \
                           which gives its rows up";

/// How thorough a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckOptions {
    /// Read all data: checksums, statistics, days, events that are there twice. Otherwise only what files say of themselves.
    pub deep: bool,
    /// The time now.
    pub now: Timestamp,
}

/// Looks for whatever is missing, damaged, superfluous or there twice. Works beside a server too.
///
/// # Errors
/// When the folder is no lake or the store does not answer. What is wrong with the lake is no error but in the report.
pub async fn check(config: &LakeConfig, options: CheckOptions, tell: Tell<'_>) -> Result<Report, LakeError> {
    let live = is_open_elsewhere(&config.root)?;
    Ok(look(config, options, live, tell).await?.report)
}

/// A report, and the tables it is about.
pub(super) struct Looked {
    pub(super) report: Report,
    pub(super) tables: Vec<Arc<Table>>,
}

/// All tables there should be.
pub(super) fn specs() -> impl Iterator<Item = TableSpec> {
    EventKind::ALL.iter().map(|kind| event_table(*kind)).chain([contacts_table(), rates_table()])
}

/// Whether another process has the lake open.
fn is_open_elsewhere(root: &Path) -> Result<bool, LakeError> {
    let path = root.join("lock");
    match File::open(&path) {
        Ok(file) => Ok(matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(LakeError::file("open", &path)(error)),
    }
}

/// See [`check`].
pub(super) async fn look(config: &LakeConfig, options: CheckOptions, live: bool, tell: Tell<'_>) -> Result<Looked, LakeError> {
    if !config.root.is_dir() {
        let missing = std::io::Error::new(std::io::ErrorKind::NotFound, "there is no such folder");
        return Err(LakeError::file("find a lake at", &config.root)(missing));
    }
    let place = Place::open(&config.tables, &config.root)?;
    // Before the tables: what is landed meanwhile is in neither or both, and in both it is left out here.
    let segments = hold_segments(&config.root)?;
    let mut looker = Looker { options, live, findings: Vec::new(), tell };
    let mut seen = Vec::new();
    let total = specs().count() as u64;
    for (spec, done) in specs().zip(0..) {
        (looker.tell)(Progress { doing: format!("looking at {}", spec.name), done, total });
        seen.extend(looker.table(&place, spec, &segments).await?);
    }
    let mut reports = Vec::new();
    let mut readings = Vec::new();
    for table in &seen {
        let (report, good) = looker.files(table).await?;
        reports.push(report);
        readings.extend(good.into_iter().map(|file| Reading { table: table.table.clone(), file }));
    }
    let unlanded = looker.segments(&segments, &seen)?;
    if options.deep {
        let scratch = config.root.join("spill").join(format!("check-{}", std::process::id()));
        let lacking = deep::Lacking { segments: &segments, recorded: &recorded_by(&seen) };
        looker.findings.extend(deep::read_all(readings, lacking, scratch, tell).await?);
    }
    let index_ids = looker.index(&config.root)?;
    let (notes, findings): (Vec<_>, Vec<_>) = looker.findings.into_iter().partition(|finding| finding.code.is_normal());
    reports.sort_by(|a, b| a.name.cmp(&b.name));
    let report = Report {
        clean: findings.is_empty(),
        at: options.now,
        deep: options.deep,
        live,
        tables: reports,
        segments: segments.len() as u64,
        unlanded,
        index_ids,
        findings,
        notes,
    };
    Ok(Looked { report, tables: seen.into_iter().map(|seen| seen.table).collect() })
}

/// Up to which segment each kind is in its table. Of a table that cannot be read nothing is known, and nothing is lacking.
fn recorded_by(seen: &[Seen]) -> BTreeMap<EventKind, i64> {
    let of = |kind: &EventKind| {
        let table = seen.iter().find(|seen| seen.table.spec.name == kind.table());
        (*kind, table.map_or(i64::MAX, |seen| recorded(&seen.state)))
    };
    EventKind::ALL.iter().map(of).collect()
}

/// A table whose log could be read.
struct Seen {
    table: Arc<Table>,
    state: Arc<TableState>,
    /// What was on storage before the log was read, with its size.
    listed: BTreeMap<String, u64>,
    past_files: u64,
}

struct Looker<'a> {
    options: CheckOptions,
    live: bool,
    findings: Vec<Finding>,
    tell: Tell<'a>,
}

impl Looker<'_> {
    fn add(
        &mut self,
        code: Code,
        table: Option<&str>,
        object: &str,
        what: String,
        (fix, remedy): (&str, Remedy),
    ) -> &mut Finding {
        let finding = Finding {
            code,
            table: table.map(str::to_owned),
            object: object.to_owned(),
            what,
            fix: fix.to_owned(),
            rows: 0,
            bytes: 0,
            remedy,
        };
        self.findings.push(finding);
        self.findings.last_mut().expect("one was just pushed")
    }

    /// Reads the log of a table, and finds what no version of it names.
    async fn table(&mut self, tables: &Place, spec: TableSpec, segments: &[Held]) -> Result<Option<Seen>, LakeError> {
        let name = spec.name;
        let place = tables.folder(name);
        let listed = place.list("").await?;
        let mut log = TableLog::list(&place).await?;
        if log.gap().is_some() && self.live {
            // A folder is not listed in one moment: a commit that came meanwhile may be seen and the one before it not.
            log = TableLog::list(&place).await?;
        }
        if log.newest().is_none() {
            let what = "it has no log; when the lake is opened it is made anew, empty".to_owned();
            self.add(Code::TableMissing, Some(name), LOG, what, ("copy it from a backup, unless the lake is new", Remedy::None));
            return Ok(None);
        }
        if let Some(version) = log.gap() {
            let what = format!("version {version} is missing and newer ones are there");
            self.add(Code::LogGap, Some(name), &crate::delta::commit_path(version), what, (FROM_BACKUP_LOG, Remedy::None));
            return Ok(None);
        }
        if let Some((version, path)) = log.checkpoints.last_key_value()
            && let Err(why) = read_checkpoint(&place, path).await?
        {
            let what = format!("the checkpoint of version {version} cannot be read: {why}");
            let mend = if log.is_whole() { (REPAIR, Remedy::Delete) } else { (FROM_BACKUP_LOG, Remedy::None) };
            self.add(Code::CheckpointDamaged, Some(name), path, what, mend);
            return Ok(None);
        }
        let mut opened = Table::existing(tables, spec.clone(), &[APPLICATION]).await;
        if opened.is_err() && self.live {
            // Versions may have been forgotten while they were read.
            opened = Table::existing(tables, spec, &[APPLICATION]).await;
        }
        let table = match opened {
            Ok(table) => table,
            Err(LakeError::Table { source, .. }) => {
                let what = crate::error::chain(source.as_ref());
                self.add(Code::TableUnreadable, Some(name), LOG, what, (FROM_BACKUP_LOG, Remedy::None));
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let Some(table) = table else { return Ok(None) };
        let state = table.state();
        let past_files = self.strangers(&place, name, &state, &listed, segments).await?;
        let listed = listed.into_iter().map(|object| (object.path, object.bytes)).collect();
        Ok(Some(Seen { table: Arc::new(table), state, listed, past_files }))
    }

    /// Files that no version names. Returns how many only older versions name.
    async fn strangers(
        &mut self,
        place: &Place,
        name: &'static str,
        state: &TableState,
        listed: &[Listed],
        segments: &[Held],
    ) -> Result<u64, LakeError> {
        let log = TableLog::list(place).await?;
        let (named, unread) = named_files(place, name, &log).await?;
        for (object, why) in &unread {
            let what = format!("older versions cannot be read: {why}");
            self.add(Code::TableUnreadable, Some(name), object, what, (FROM_BACKUP_LOG, Remedy::None));
        }
        let mut past_files = 0;
        for object in listed.iter().filter(|object| !object.path.starts_with(LOG)) {
            if state.files.contains_key(&object.path) {
                continue;
            }
            if named.contains(&object.path) {
                past_files += 1;
            } else if unread.is_empty() {
                self.stranger(name, state, object, segments);
            }
        }
        Ok(past_files)
    }

    fn stranger(&mut self, name: &'static str, state: &TableState, object: &Listed, segments: &[Held]) {
        let waits = |segment: &Held| segment.segment.number > recorded(state);
        // Contacts and rates are written again by whoever brought them.
        let will_land = kind_of(name).is_none() || segments.iter().any(waits);
        let young = object.modified_ms > self.options.now.as_millisecond() - UNDER_WAY_MS;
        let unlanded = is_unlanded(&object.path, state);
        let finding = if unlanded && (self.live || will_land) || self.live && young {
            let what = "no version names it yet: it is being landed or written anew".to_owned();
            self.add(Code::UnderWay, Some(name), &object.path, what, ("nothing", Remedy::None))
        } else if is_landed(&object.path) && !unlanded {
            let what = "a landing wrote it and was cut off; the table has its rows from another one".to_owned();
            self.add(Code::LeftOver, Some(name), &object.path, what, ("nothing: tidying deletes it", Remedy::Delete))
        } else {
            let what = format!("no version of the table that is kept names it; it takes {} bytes", object.bytes);
            self.add(Code::Orphan, Some(name), &object.path, what, (REPAIR, Remedy::Delete))
        };
        finding.bytes = object.bytes;
    }

    /// Compares each file with what the table's log says of it. Returns those that can be read.
    async fn files(&mut self, seen: &Seen) -> Result<(TableReport, Vec<Arc<DataFile>>), LakeError> {
        let name = seen.table.spec.name;
        let place = &seen.table.place;
        let mut readable = Vec::new();
        let mut gone = BTreeSet::new();
        let total = seen.state.files.len() as u64;
        let look = |file: Arc<DataFile>| async move {
            let size = match seen.listed.get(&file.path) {
                Some(bytes) => Some(*bytes),
                None => place.size(&file.path).await?,
            };
            let footer = match size {
                Some(bytes) if bytes == file.bytes => Some(data::footer(place, &file).await.map(|footer| data::rows_of(&footer))),
                _ => None,
            };
            Ok::<_, LakeError>((file, size, footer))
        };
        let mut looks = stream::iter(seen.state.files.values().cloned().map(look)).buffered(FOOTERS_AT_ONCE);
        let mut done = 0;
        while let Some(looked) = looks.next().await {
            let (file, size, footer) = looked?;
            done += 1;
            (self.tell)(Progress { doing: format!("looking at the files of {name}"), done, total });
            match (size, footer) {
                (_, Some(Ok(rows))) if rows == file.rows => readable.push(file),
                (None, _) | (_, Some(Err(_))) if self.left_meanwhile(seen, &file).await? => _ = gone.insert(file.path.clone()),
                (size, footer) => self.file(name, &file, size, footer),
            }
        }
        drop(looks);
        let report = TableReport {
            name: name.to_owned(),
            version: seen.state.version,
            files: total,
            bytes: seen.state.files.values().map(|file| file.bytes).sum(),
            rows: seen.state.rows(),
            past_files: seen.past_files,
        };
        Ok((report, readable))
    }

    /// Whether a newer version has the file no more: then it may have been deleted since this one was read.
    async fn left_meanwhile(&self, seen: &Seen, file: &DataFile) -> Result<bool, LakeError> {
        Ok(self.live && !seen.table.refresh().await?.files.contains_key(&file.path))
    }

    fn file(&mut self, name: &str, file: &DataFile, size: Option<u64>, footer: Option<Result<u64, String>>) {
        let (code, what, mend) = match (size, footer) {
            (None, _) => {
                let what = format!("it is not there; {} rows are lost with it", file.rows);
                let fix = "copy it from a backup; or sendlab lake repair --forget-missing --yes, which gives its rows up";
                (Code::FileMissing, what, (fix, Remedy::Forget))
            }
            (Some(size), None) => {
                let what = format!("it has {size} bytes and was written with {}", file.bytes);
                (Code::FileSize, what, (FROM_BACKUP, Remedy::None))
            }
            (_, Some(Err(why))) => {
                (Code::FileUnreadable, format!("its footer cannot be read: {why}"), (FROM_BACKUP, Remedy::None))
            }
            (_, Some(Ok(rows))) => {
                let what = format!("it has {rows} rows and the table's log says {}", file.rows);
                (Code::RowCount, what, (REPAIR, Remedy::Restate))
            }
        };
        let finding = self.add(code, Some(name), &file.path, what, mend);
        (finding.rows, finding.bytes) = (file.rows, file.bytes);
    }

    /// Reads the durable log. Returns how many of its rows are in no table yet.
    fn segments(&mut self, segments: &[Held], seen: &[Seen]) -> Result<u64, LakeError> {
        let recorded = recorded_by(seen);
        let mut unlanded = 0;
        for (at, held) in segments.iter().enumerate() {
            let content = held.read()?;
            let lacking = content.lacking(held.segment.number, &recorded);
            let lacking: u64 = lacking.map(|batch| batch.num_rows() as u64).sum();
            unlanded += lacking;
            if let Some((offset, why)) = &content.damage {
                let newest = at + 1 == segments.len();
                self.damaged_segment(held, newest && !goes_on_behind(&content.bytes, *offset), *offset, why, &content.bytes);
            } else if lacking == 0 && !content.batches.is_empty() {
                let what = "all tables have what it holds; the next landing deletes it".to_owned();
                self.add(Code::SegmentLanded, None, &held.name(), what, ("nothing", Remedy::None)).bytes =
                    content.bytes.len() as u64;
            }
        }
        Ok(unlanded)
    }

    fn damaged_segment(&mut self, held: &Held, is_tail: bool, offset: u64, why: &str, bytes: &[u8]) {
        let (segment, behind) = (held.segment.number, bytes.len() as u64 - offset);
        let finding = if is_tail {
            let what = format!(
                "its last {behind} bytes are no whole frame ({why}): a write that was cut short, of which nobody was told"
            );
            self.add(
                Code::TornTail,
                None,
                &held.name(),
                what,
                ("nothing: opening the lake cuts them off", Remedy::Cut { segment, loses: false }),
            )
        } else {
            let what =
                format!("it is damaged at byte {offset} ({why}); {behind} bytes from there on may hold acknowledged events");
            let fix =
                "copy it from a backup; or sendlab lake repair --forget-missing --yes, which keeps what stands before that byte";
            self.add(Code::SegmentDamaged, None, &held.name(), what, (fix, Remedy::Cut { segment, loses: true }))
        };
        finding.bytes = behind;
    }

    /// Reads the index of known ids. Returns how many it has.
    fn index(&mut self, root: &Path) -> Result<u64, LakeError> {
        (self.tell)(Progress { doing: "reading the index of known ids".to_owned(), done: 0, total: 1 });
        match verify(&root.join("index"))? {
            Verified::Whole { ids } => return Ok(ids),
            Verified::Absent(why) => {
                let what = format!("{why}; opening the lake makes it of the tables");
                self.add(Code::IndexMissing, None, "index", what, ("nothing", Remedy::None));
            }
            Verified::Damaged(why) => _ = self.add(Code::IndexDamaged, None, "index", why, (REPAIR, Remedy::DropIndex)),
        }
        Ok(0)
    }
}

/// What only a backup brings back, of a table's log.
const FROM_BACKUP_LOG: &str = "copy the file from a backup, or bring the whole lake back with sendlab lake restore";
