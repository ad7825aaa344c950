//! `restore`: a lake out of a backup, as it was then or at a time before.
//!
//! Everything is copied into a folder beside the lake's, each file compared with its hash, the whole checked, and only then
//! given its name. What is cut off leaves nothing that a server would open.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use vocabulary::Timestamp;

use super::check::{CheckOptions, look};
use super::log::{TableLog, named_files, read_commit};
use super::manifest::{CopiedFile, CopiedTable, CopyAt, MANIFEST, Manifest, copy};
use super::{Progress, Report, Tell};
use crate::delta::{LOG, commit_path, version_of};
use crate::log::sync_folder;
use crate::place::Place;
use crate::{LakeConfig, LakeError};

/// What of a backup is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreOptions {
    /// The tables as they were at this time: the versions committed by then. Otherwise the newest backup with everything
    /// that was acknowledged.
    pub at: Option<Timestamp>,
    /// Where the files beside the lake go.
    pub others_to: PathBuf,
    /// The time now.
    pub now: Timestamp,
}

/// A lake that was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// The backup it comes from.
    pub run: String,
    /// When that backup was made.
    pub backup_at: Timestamp,
    /// The tables, at the versions they have now.
    pub tables: Vec<CopiedTable>,
    /// Events in the durable log that the first landing brings into the tables.
    pub unlanded: u64,
    /// Files that were copied.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The names of the files beside the lake.
    pub others: Vec<String>,
    /// What a check finds.
    pub report: Report,
}

/// Makes a lake of a backup, where there is none.
///
/// # Errors
/// [`LakeError::BadBackup`] when the backup is damaged or does not reach to the time asked for, or the lake is there already;
/// errors of files and tables.
pub async fn restore(from: &CopyAt, config: &LakeConfig, options: RestoreOptions, tell: Tell<'_>) -> Result<Restored, LakeError> {
    if let CopyAt::Folder(folder) = from
        && !folder.is_dir()
    {
        return Err(bad(format!("{from:?}"), "there is no such folder"));
    }
    let from = from.open()?;
    let manifest = choose(&from, options.at).await?;
    must_be_free(config, &options.others_to, &manifest)?;
    let staged = LakeConfig { root: staged(&config.root), ..config.clone() };
    if staged.root.exists() {
        fs::remove_dir_all(&staged.root).map_err(LakeError::file("delete", &staged.root))?;
    }
    fs::create_dir_all(&staged.root).map_err(LakeError::file("create", &staged.root))?;
    let tables = Place::open(&staged.tables, &staged.root)?;
    if !tables.list("").await?.is_empty() {
        return Err(bad(tables.name(), "there are tables already"));
    }
    let wanted = wanted(&from, &manifest, options.at).await?;
    let (mut bytes, total) = (0, wanted.iter().map(|(file, ..)| file.bytes).sum());
    for (file, target, path) in &wanted {
        let to = match target {
            Target::Tables => tables.clone(),
            Target::Log => Place::local(&staged.root)?,
            Target::Beside => continue,
        };
        bring(&from, file, &to, path).await?;
        bytes += file.bytes;
        tell(Progress { doing: "copying".to_owned(), done: bytes, total });
    }
    let look = look(&staged, CheckOptions { deep: false, now: options.now }, false, tell).await?;
    let beside: Vec<_> = wanted.iter().filter(|(_, target, _)| *target == Target::Beside).collect();
    let others = beside.iter().map(|(_, _, path)| path.clone()).collect();
    bytes += beside.iter().map(|(file, ..)| file.bytes).sum::<u64>();
    bring_others(&from, &beside, &staged.root.join("beside"), &options.others_to).await?;
    fs::rename(&staged.root, &config.root).map_err(LakeError::file("name", &config.root))?;
    let parent = config.root.parent().unwrap_or(Path::new("/"));
    sync_folder(parent).map_err(LakeError::file("sync", parent))?;
    let table = |table: &super::TableReport| CopiedTable { name: table.name.clone(), version: table.version, rows: table.rows };
    Ok(Restored {
        run: manifest.run,
        backup_at: manifest.at,
        tables: look.report.tables.iter().map(table).collect(),
        unlanded: look.report.unlanded,
        files: wanted.len() as u64,
        bytes,
        others,
        report: look.report,
    })
}

/// Brings files that only their owner may read, through a folder that nobody else can enter.
async fn bring_others(from: &Place, files: &[&(CopiedFile, Target, String)], through: &Path, to: &Path) -> Result<(), LakeError> {
    fs::DirBuilder::new().mode(0o700).create(through).map_err(LakeError::file("create", through))?;
    let place = Place::local(through)?;
    for (file, _, path) in files {
        bring(from, file, &place, path).await?;
        let (staged, target) = (through.join(path), to.join(path));
        let name = || -> std::io::Result<()> {
            fs::set_permissions(&staged, fs::Permissions::from_mode(0o600))?;
            let folder = target.parent().unwrap_or(to);
            fs::create_dir_all(folder)?;
            fs::rename(&staged, &target)?;
            sync_folder(folder)
        };
        name().map_err(LakeError::file("restore", &target))?;
    }
    fs::remove_dir_all(through).map_err(LakeError::file("delete", through))
}

fn bad(place: String, why: impl Into<String>) -> LakeError {
    LakeError::BadBackup { place, why: why.into() }
}

fn staged(root: &Path) -> PathBuf {
    let mut name = root.as_os_str().to_owned();
    name.push(".restoring");
    name.into()
}

/// The backup to take: the newest, or the first that was made after `at`, which has all commits up to then.
async fn choose(from: &Place, at: Option<Timestamp>) -> Result<Manifest, LakeError> {
    let newest = Manifest::read(from, MANIFEST).await?;
    let newest = newest.ok_or_else(|| bad(from.name(), "it holds no whole backup: manifest.json is missing"))?;
    let Some(at) = at else { return Ok(newest) };
    if at > newest.at {
        return Err(bad(from.name(), format!("the newest backup is of {}, before {at}", newest.at)));
    }
    let mut chosen = newest;
    for object in from.list("runs").await?.iter().filter(|object| object.path.ends_with(MANIFEST)) {
        let manifest = Manifest::read(from, &object.path).await?;
        chosen = manifest.filter(|manifest| at <= manifest.at && manifest.at < chosen.at).unwrap_or(chosen);
    }
    Ok(chosen)
}

fn must_be_free(config: &LakeConfig, others_to: &Path, manifest: &Manifest) -> Result<(), LakeError> {
    let others = format!("{}/others/", manifest.folder());
    let others = manifest.files.iter().filter_map(|file| file.path.strip_prefix(&others)).map(|name| others_to.join(name));
    match others.chain([config.root.clone()]).find(|path| path.exists()) {
        Some(path) => Err(bad(path.display().to_string(), "it is there already; choose an empty folder with --data")),
        None => Ok(()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Tables,
    /// The path begins with `log/`.
    Log,
    Beside,
}

/// The files to copy, data files first and the durable log behind the tables, each with where it goes.
async fn wanted(
    from: &Place,
    manifest: &Manifest,
    at: Option<Timestamp>,
) -> Result<Vec<(CopiedFile, Target, String)>, LakeError> {
    let mut of_tables: BTreeMap<&str, Vec<(&CopiedFile, &str)>> = BTreeMap::new();
    let mut beside = Vec::new();
    let own = format!("{}/", manifest.folder());
    for file in &manifest.files {
        if let Some((table, path)) = file.path.strip_prefix("tables/").and_then(|path| path.split_once('/')) {
            of_tables.entry(table).or_default().push((file, path));
        } else if let Some(name) = file.path.strip_prefix(&own) {
            match name.strip_prefix("others/") {
                Some(name) => beside.push((file.clone(), Target::Beside, name.to_owned())),
                // At an earlier time these events were not told yet, or are in a commit.
                None if at.is_none() => beside.push((file.clone(), Target::Log, name.to_owned())),
                None => {}
            }
        }
    }
    let mut wanted = Vec::new();
    for (table, files) in of_tables {
        let keep = match at {
            None => None,
            Some(at) => Some(names_at(from, table, &files, at).await?),
        };
        let (logs, data): (Vec<_>, Vec<_>) = files.into_iter().partition(|(_, path)| path.starts_with(LOG));
        let kept = data.into_iter().chain(logs).filter(|(_, path)| keep.as_ref().is_none_or(|keep| keep.contains(*path)));
        wanted.extend(kept.map(|(file, path)| (file.clone(), Target::Tables, format!("{table}/{path}"))));
    }
    wanted.extend(beside);
    Ok(wanted)
}

/// The files of a table in its versions up to the newest that was committed at `at` or before, with their log.
async fn names_at(
    from: &Place,
    table: &str,
    files: &[(&CopiedFile, &str)],
    at: Timestamp,
) -> Result<BTreeSet<String>, LakeError> {
    let place = from.folder("tables").folder(table);
    let mut log = TableLog::default();
    for (file, path) in files.iter().filter(|(_, path)| path.starts_with(LOG)) {
        let Some(version) = version_of(path) else { continue };
        if *path == commit_path(version) {
            log.commits.insert(version, file.bytes);
        } else {
            log.checkpoints.insert(version, (*path).to_owned());
        }
    }
    let mut newest = None;
    for version in log.commits.keys().rev() {
        // A table that was made later was empty then: its first version is.
        if *version == 0 || read_commit(&place, table, *version).await?.at.is_some_and(|committed| committed <= at) {
            newest = Some(*version);
            break;
        }
    }
    let Some(newest) = newest else {
        return Err(bad(from.name(), format!("the table {table} has no version as old as {at} there")));
    };
    log.commits.retain(|version, _| *version <= newest);
    log.checkpoints.retain(|version, _| *version <= newest);
    let (mut names, unread) = named_files(&place, table, &log).await?;
    if let Some((path, why)) = unread.first() {
        return Err(bad(from.name(), format!("tables/{table}/{path} cannot be read: {why}")));
    }
    names.extend(log.commits.keys().map(|version| commit_path(*version)));
    names.extend(log.checkpoints.into_values());
    Ok(names)
}

/// Copies a file and compares it with what the manifest says.
async fn bring(from: &Place, file: &CopiedFile, to: &Place, path: &str) -> Result<(), LakeError> {
    match copy(from, &file.path, to, path).await? {
        None => Err(bad(from.name(), format!("{} is missing", file.path))),
        Some(copied) if (copied.bytes, &copied.blake3) != (file.bytes, &file.blake3) => {
            Err(bad(from.name(), format!("{} is damaged: it is not what was copied there", file.path)))
        }
        Some(_) => Ok(()),
    }
}
