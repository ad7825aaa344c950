//! Opens an index: reads all runs that count, makes filter and fences of them, and clears away what a crash left.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::filter::{FETCHED, Filter};
use super::hash::HASH_BYTES;
use super::manifest::Manifest;
use super::recent::Recent;
use super::run::{Run, Unusable, number_of, path_of};
use super::upkeep::Work;
use super::{Index, IndexConfig, State, order};
use crate::LakeError;

/// An index that was opened.
pub struct Opened {
    /// The index.
    pub index: Index,
    /// Why the index was emptied, if it was: it was not there yet, was damaged, or was being told everything again. Tell it
    /// everything with [`Index::restore`] and [`Index::restored`] before the first claim.
    pub rebuild: Option<String>,
}

impl Index {
    /// Opens the index in `folder`, which is made where it does not exist and is the index's alone. Reads all of it.
    ///
    /// # Errors
    /// If the system does not let it read or write there. Damage is no error: see [`Opened::rebuild`].
    pub fn open(folder: &Path, config: IndexConfig) -> Result<Opened, LakeError> {
        fs::create_dir_all(folder).map_err(LakeError::file("create", folder))?;
        let (loaded, rebuild) = match load(folder, config)? {
            Ok(loaded) => (loaded, None),
            Err(why) => {
                // From here on no former run counts, even if this process ends before all are deleted.
                let manifest = Manifest::incomplete();
                manifest.commit(folder)?;
                let filter = Filter::new(0, config.filter_bytes_max());
                (Loaded { manifest, filter, runs: Vec::new() }, Some(why))
            }
        };
        let Loaded { manifest, filter, mut runs } = loaded;
        let next = clear(folder, &manifest)?;
        order(&mut runs);
        let (closed, persisted) = (manifest.persisted, manifest.persisted);
        let state = State { filter, recent: Recent::default(), runs: Arc::new(runs), closed, persisted };
        let index = Self {
            folder: folder.to_owned(),
            config,
            claims: Mutex::new(()),
            work: Mutex::new(Work { manifest, next, merge: None }),
            state: Mutex::new(state),
        };
        Ok(Opened { index, rebuild })
    }
}

struct Loaded {
    manifest: Manifest,
    filter: Filter,
    runs: Vec<Arc<Run>>,
}

/// Reads what the manifest names, or says why it does not count.
fn load(folder: &Path, config: IndexConfig) -> Result<Result<Loaded, String>, LakeError> {
    let manifest = match Manifest::read(folder)? {
        Ok(manifest) => manifest,
        Err(why) => return Ok(Err(why)),
    };
    if !manifest.complete {
        return Ok(Err(format!("telling the index in {} everything again did not come to its end", folder.display())));
    }
    // The size of a missing run does not matter, as loading it finds it missing.
    let bytes = |number: &u64| fs::metadata(path_of(folder, *number)).map_or(0, |data| data.len());
    let hashes = manifest.runs.iter().map(bytes).sum::<u64>() / HASH_BYTES as u64;
    let mut filter = Filter::new(hashes, config.filter_bytes_max());
    let mut runs = Vec::new();
    for number in &manifest.runs {
        let loaded = Run::load(folder, *number, &mut |hashes| {
            for hashes in hashes.chunks(FETCHED) {
                filter.fetch(hashes);
                hashes.iter().for_each(|hash| _ = filter.add(*hash));
            }
        });
        match loaded {
            Ok(run) => runs.push(Arc::new(run)),
            Err(Unusable::Damaged(why)) => return Ok(Err(why)),
            Err(Unusable::Unread(error)) => return Err(error),
        }
    }
    Ok(Ok(Loaded { manifest, filter, runs }))
}

/// Deletes runs that no manifest names. Returns a number that no run ever seen here has.
fn clear(folder: &Path, manifest: &Manifest) -> Result<u64, LakeError> {
    let mut next = 1;
    for entry in fs::read_dir(folder).map_err(LakeError::file("list", folder))? {
        let path = entry.map_err(LakeError::file("list", folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(number) = name.and_then(number_of) else { continue };
        next = next.max(number + 1);
        if !manifest.runs.contains(&number) {
            fs::remove_file(&path).map_err(LakeError::file("delete", &path))?;
        }
    }
    Ok(next)
}
