//! Rules of the customer's own, from a folder: read at the start, and again whenever a file of it changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use policy::{InForce, Rules};
use tokio_util::sync::CancellationToken;

/// How often the folder is looked at: what is changed holds within a second.
const LOOK: Duration = Duration::from_millis(400);

/// The built-in rules, with the files of a folder in the place of those of the same name.
pub(crate) fn read(folder: Option<&Path>) -> anyhow::Result<Rules> {
    let Some(folder) = folder else { return Ok(Rules::embedded()?) };
    let mut files = Vec::new();
    for path in toml_files(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.push((name, fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?));
    }
    let replaced: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    Rules::with(&replaced).with_context(|| format!("cannot use the rules in {}", folder.display()))
}

fn toml_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let unreadable = || format!("cannot read the folder of rules {}", folder.display());
    let entries = fs::read_dir(folder).with_context(unreadable)?;
    let paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>().with_context(unreadable)?;
    let mut paths: Vec<PathBuf> = paths.into_iter().filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    paths.sort();
    Ok(paths)
}

/// What tells that a file of the folder changed, came or went.
fn seen(folder: &Path) -> Option<Vec<(PathBuf, SystemTime, u64)>> {
    let file = |path: PathBuf| {
        let about = fs::metadata(&path).ok()?;
        Some((path, about.modified().ok()?, about.len()))
    };
    toml_files(folder).ok()?.into_iter().map(file).collect()
}

/// Looks at the folder until it is told to stop, and puts what is written there into force. What cannot be read changes nothing, and
/// is told of once.
pub(crate) async fn follow(folder: PathBuf, rules: Arc<InForce>, stop: CancellationToken) {
    let mut known = seen(&folder);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let now = seen(&folder);
        if now == known {
            continue;
        }
        match read(Some(&folder)) {
            Ok(new) => {
                tracing::warn!(version = %new.version(), folder = %folder.display(), "new rules are in force");
                rules.replace(new);
            }
            Err(error) => tracing::error!("the rules stay as they were: {error:#}"),
        }
        known = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_rules_take_the_place_of_built_in_ones() {
        let folder = tempfile::tempdir().unwrap();
        let built_in = read(None).unwrap();
        assert_eq!(read(Some(folder.path())).unwrap().version(), built_in.version());
        let caps = include_str!("../../../data/rules/caps.toml").replace("limit = 15", "limit = 12");
        fs::write(folder.path().join("caps.toml"), caps).unwrap();
        assert_ne!(read(Some(folder.path())).unwrap().version(), built_in.version());
        fs::write(folder.path().join("cups.toml"), "").unwrap();
        let error = format!("{:#}", read(Some(folder.path())).unwrap_err());
        assert!(error.contains("cups.toml") && error.contains("known are"), "{error}");
    }
}
