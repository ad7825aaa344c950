//! `backup`: one moment of the lake, copied beside a server that goes on.
//!
//! The moment is taken in three steps. The segments of the durable log are opened, the tables are looked at, and the
//! segments are read. If no table has more than the opened segments, tables and segments together hold exactly what was
//! acknowledged when the segments were read: what a table lacks is in them. Otherwise it is taken again. Data files and
//! commits never change, so they may be copied after that at leisure, and only once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use futures::{StreamExt, stream};
use serde::Serialize;
use vocabulary::{EventKind, Timestamp};

use super::check::specs;
use super::durable::{Held, hold_segments, recorded};
use super::log::{TableLog, named_files};
use super::manifest::{CopiedFile, CopiedTable, CopyAt, FORMAT, MANIFEST, Manifest, copy, place_of, run_folder, write};
use super::{Progress, Tell};
use crate::delta::{LOG, Table, TableState, commit_path};
use crate::landing::APPLICATION;
use crate::place::Place;
use crate::{LakeConfig, LakeError};

/// So often the moment is taken again when a landing comes in between; one takes a second, the moment milliseconds.
const MOMENTS_MAX: u32 = 50;
/// Files copied at the same time.
const COPIES_AT_ONCE: usize = 4;

/// How a backup is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupOptions {
    /// The time now. It names the backup.
    pub now: Timestamp,
    /// Files beside the lake to copy as they are now, with their names in the backup.
    pub others: Vec<(String, PathBuf)>,
    /// Delete earlier backups there, and files that the lake itself no longer keeps, such as those with rows of contacts who
    /// were erased.
    pub prune: bool,
}

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Backup {
    /// What it holds.
    pub manifest: Manifest,
    /// Files that were copied.
    pub copied_files: u64,
    /// Their bytes.
    pub copied_bytes: u64,
    /// Files that were there already.
    pub kept_files: u64,
    /// Files that were deleted there.
    pub pruned_files: u64,
}

/// Copies the lake as it is at one moment. Works beside a server. What is there from a former backup is not copied again.
///
/// # Errors
/// [`LakeError::BadBackup`] when the place holds copies of another lake; [`LakeError::LogDamaged`]; errors of files and tables.
pub async fn backup(config: &LakeConfig, to: &CopyAt, options: BackupOptions, tell: Tell<'_>) -> Result<Backup, LakeError> {
    if !config.root.is_dir() {
        let missing = std::io::Error::new(std::io::ErrorKind::NotFound, "there is no such folder");
        return Err(LakeError::file("find a lake at", &config.root)(missing));
    }
    let run = options.now.strftime("%Y-%m-%dT%H-%M-%S%.3fZ").to_string();
    if let CopyAt::Folder(folder) = to {
        // Contacts, and keys if they are asked for, are for their owner's eyes only.
        let folder = folder.join(run_folder(&run)).join("others");
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(LakeError::file("create", &folder))?;
    }
    let to = to.open()?;
    let known = Manifest::read(&to, MANIFEST).await?.map(|manifest| manifest.files).unwrap_or_default();
    let known: BTreeMap<String, CopiedFile> = known.into_iter().map(|file| (file.path.clone(), file)).collect();
    let mut copier = Copier { to, known, files: Vec::new(), copied: (0, 0), kept: 0, tell };
    // First, so that nothing is settled there that the lake does not know.
    for (name, path) in &options.others {
        let (from, file) = place_of(path)?;
        let path = format!("{}/others/{name}", run_folder(&run));
        let copied = copy(&from, &file, &copier.to, &path).await?;
        copier.files.extend(copied);
    }
    let moment = moment(config).await?;
    let unlanded = copier.log(&moment, &run).await?;
    for (table, state) in &moment.tables {
        copier.table(table, state).await?;
    }
    let copied_table = |(table, state): &(Arc<Table>, Arc<TableState>)| CopiedTable {
        name: table.spec.name.to_owned(),
        version: state.version,
        rows: state.rows(),
    };
    let manifest = Manifest {
        format: FORMAT,
        program: format!("sendlab {}", env!("CARGO_PKG_VERSION")),
        run,
        at: options.now,
        tables: moment.tables.iter().map(copied_table).collect(),
        unlanded,
        files: copier.files,
    };
    manifest.write(&copier.to).await?;
    let pruned_files = if options.prune { prune(&copier.to, &manifest).await? } else { 0 };
    let (copied_files, copied_bytes) = copier.copied;
    Ok(Backup { manifest, copied_files, copied_bytes, kept_files: copier.kept, pruned_files })
}

/// See the module.
struct Moment {
    tables: Vec<(Arc<Table>, Arc<TableState>)>,
    segments: Vec<Held>,
}

impl Moment {
    fn recorded(&self) -> BTreeMap<EventKind, i64> {
        let of =
            |(table, state): &(Arc<Table>, Arc<TableState>)| Some((crate::tables::kind_of(table.spec.name)?, recorded(state)));
        self.tables.iter().filter_map(of).collect()
    }
}

async fn moment(config: &LakeConfig) -> Result<Moment, LakeError> {
    let place = Place::open(&config.tables, &config.root)?;
    let mut tables = Vec::new();
    for spec in specs() {
        let name = spec.name;
        let missing = || LakeError::table("open", name)(std::io::Error::other("it is missing; see sendlab lake check"));
        tables.push(Arc::new(Table::existing(&place, spec, &[APPLICATION]).await?.ok_or_else(missing)?));
    }
    let events = |tables: &[(Arc<Table>, Arc<TableState>)]| {
        let of_events = tables.iter().filter(|(table, _)| crate::tables::kind_of(table.spec.name).is_some());
        of_events.map(|(_, state)| recorded(state)).max().unwrap_or_default()
    };
    let mut states: Vec<_> = tables.iter().map(|table| (table.clone(), table.state())).collect();
    for _ in 0..MOMENTS_MAX {
        let before = events(&states);
        let segments = hold_segments(&config.root)?;
        states.clear();
        for table in &tables {
            states.push((table.clone(), table.refresh().await?));
        }
        let newest = segments.last().map_or(0, |held| held.segment.number).max(before);
        if events(&states) <= newest {
            return Ok(Moment { tables: states, segments });
        }
    }
    let busy = std::io::Error::other(format!("{MOMENTS_MAX} landings came in between"));
    Err(LakeError::internal("look at all tables at one moment")(busy))
}

struct Copier<'a> {
    to: Place,
    /// What a former backup left, by path.
    known: BTreeMap<String, CopiedFile>,
    files: Vec<CopiedFile>,
    /// Files and bytes.
    copied: (u64, u64),
    kept: u64,
    tell: Tell<'a>,
}

impl Copier<'_> {
    /// Copies what the log holds and the tables lack. Returns how many events that are.
    async fn log(&mut self, moment: &Moment, run: &str) -> Result<u64, LakeError> {
        let recorded = moment.recorded();
        let mut unlanded = 0;
        for (at, held) in moment.segments.iter().enumerate() {
            let mut content = held.read()?;
            if let Some((offset, why)) = content.damage.take() {
                if at + 1 < moment.segments.len() || crate::log::goes_on_behind(&content.bytes, offset) {
                    return Err(LakeError::LogDamaged { path: held.segment.path.clone(), offset, why });
                }
                content.bytes.truncate(offset as usize);
            }
            let lacking = content.lacking(held.segment.number, &recorded);
            let lacking: u64 = lacking.map(|batch| batch.num_rows() as u64).sum();
            if lacking > 0 {
                unlanded += lacking;
                let file = write(&self.to, &format!("{}/{}", run_folder(run), held.name()), content.bytes).await?;
                self.copied = (self.copied.0 + 1, self.copied.1 + file.bytes);
                self.files.push(file);
            }
        }
        Ok(unlanded)
    }

    /// Copies the data files of all versions that can be read, then the log up to this version.
    async fn table(&mut self, table: &Table, state: &TableState) -> Result<(), LakeError> {
        let (name, place) = (table.spec.name, &table.place);
        self.same_history(table, state).await?;
        let mut log = TableLog::list(place).await?;
        log.commits.retain(|version, _| *version <= state.version);
        log.checkpoints.retain(|version, _| *version <= state.version);
        let (named, _) = named_files(place, name, &log).await?;
        let live: BTreeSet<&String> = state.files.keys().collect();
        let mut wanted: Vec<(String, bool)> = live.iter().map(|path| ((*path).clone(), true)).collect();
        // Files of older versions may be gone already, or go while the others are copied.
        wanted.extend(named.into_iter().filter(|path| !live.contains(path)).map(|path| (path, false)));
        let log_files = log.commits.keys().map(|version| commit_path(*version)).chain(log.checkpoints.into_values());
        let log_files: Vec<(String, bool)> = log_files.map(|path| (path, false)).collect();
        self.copy_all(table, wanted).await?;
        self.copy_all(table, log_files).await
    }

    async fn copy_all(&mut self, table: &Table, wanted: Vec<(String, bool)>) -> Result<(), LakeError> {
        let name = table.spec.name;
        let (total, mut done) = (wanted.len() as u64, 0);
        let (to, known) = (&self.to, &self.known);
        let copy_one = |(path, needed): (String, bool)| async move {
            let copied_path = format!("tables/{name}/{path}");
            if let Some(file) = known.get(&copied_path)
                && to.size(&copied_path).await? == Some(file.bytes)
            {
                return Ok((Some(file.clone()), true));
            }
            let copied = copy(&table.place, &path, to, &copied_path).await?;
            if copied.is_none() && needed {
                let why = std::io::Error::other("it is not there; see sendlab lake check, or try again if a server is at work");
                return Err(LakeError::Store { operation: "copy", object: path, source: Box::new(why) });
            }
            Ok((copied, false))
        };
        let mut copies = stream::iter(wanted.into_iter().map(copy_one)).buffered(COPIES_AT_ONCE);
        while let Some(outcome) = copies.next().await {
            let (file, was_there) = outcome?;
            done += 1;
            (self.tell)(Progress { doing: format!("copying {name}"), done, total });
            let Some(file) = file else { continue };
            if was_there {
                self.kept += 1;
            } else {
                self.copied = (self.copied.0 + 1, self.copied.1 + file.bytes);
            }
            self.files.push(file);
        }
        Ok(())
    }

    /// Refuses a place where the same version of the table is another one: the lake was restored and went another way, or
    /// it is another lake.
    async fn same_history(&self, table: &Table, state: &TableState) -> Result<(), LakeError> {
        let prefix = format!("tables/{}/{LOG}/", table.spec.name);
        let newest = self.known.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix));
        let newest = newest.filter(|(path, _)| path.ends_with(".json")).filter_map(|(path, file)| {
            let version: i64 = path.strip_prefix(&prefix)?.strip_suffix(".json")?.parse().ok()?;
            (version <= state.version).then_some((version, file))
        });
        let Some((version, file)) = newest.last() else { return Ok(()) };
        let Some(bytes) = table.place.get(&commit_path(version)).await? else { return Ok(()) };
        if blake3::hash(&bytes).to_hex().as_str() == file.blake3 {
            return Ok(());
        }
        let why = format!(
            "version {version} of {} there is not the one of this lake, which is another or was restored since; choose another folder",
            table.spec.name
        );
        Err(LakeError::BadBackup { place: self.to.name(), why })
    }
}

/// Deletes what this backup does not need.
async fn prune(to: &Place, manifest: &Manifest) -> Result<u64, LakeError> {
    let needed: BTreeSet<&str> = manifest.files.iter().map(|file| file.path.as_str()).collect();
    let own = format!("{}/{MANIFEST}", manifest.folder());
    let mut pruned = 0;
    for folder in ["runs", "tables"] {
        for object in to.list(folder).await? {
            if object.path != own && !needed.contains(object.path.as_str()) {
                to.delete(&object.path).await?;
                pruned += 1;
            }
        }
    }
    Ok(pruned)
}
