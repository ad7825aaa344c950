//! The master key: where it is kept, and how it is changed.
//!
//! It lies beside the data or comes from the environment. Changing it seals one secret of the control file again
//! ([`control::change_master_key`]), so it takes no time and disturbs nobody.
//!
//! *Invariant:* at no moment is the only key that opens the control file in memory alone: a new one is on disk, under another
//! name, before the file is changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use control::{Control, ControlConfig, ControlError, change_master_key};
use vocabulary::{Clock, Ids};

use crate::client::variable;
use crate::print::{note, say};
use crate::server::write_private;

/// The environment variable with the key, as 64 hexadecimal digits; the file in the data folder where it is not set.
pub(crate) const MASTER_KEY: &str = "SENDLAB_MASTER_KEY";
/// The environment variable with the key that takes its place.
const NEW_MASTER_KEY: &str = "SENDLAB_NEW_MASTER_KEY";

type Key = [u8; 32];

/// Opens the control store of a data folder, made where there is none. `given` is the key where it does not lie in the folder.
pub(crate) async fn open_control(
    data: &Path,
    given: Option<&str>,
    ids: Arc<dyn Ids>,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Arc<Control>> {
    let open_with = |master_key: Key, root: Option<Key>| {
        Control::open(ControlConfig { path: store(data), master_key, root, ids: ids.clone(), clock: clock.clone() })
    };
    let open = |master_key: Key| open_with(master_key, None);
    if let Some(digits) = given {
        return open(of_digits(MASTER_KEY, digits)?).await.map_err(|error| match error {
            ControlError::WrongMasterKey { .. } => {
                anyhow!(
                    "{error}: {MASTER_KEY} holds another key than the one that {} was last sealed under",
                    store(data).display()
                )
            }
            other => other.into(),
        });
    }
    let (master_key, root) = of_folder(data, ids.as_ref())?;
    match open_with(master_key, root).await {
        // A change of the key was cut off: before the control file was changed the new key is of no use, after it is the one.
        Err(ControlError::WrongMasterKey { .. }) if next_file(data).exists() => {
            let control = open(read(&next_file(data))?).await?;
            fs::rename(next_file(data), file(data))?;
            Ok(control)
        }
        Ok(control) => {
            drop(fs::remove_file(next_file(data)));
            Ok(control)
        }
        Err(error) => Err(error.into()),
    }
}

/// `sendlab vault rotate`.
pub(crate) async fn rotate(data: &Path, ids: &dyn Ids) -> anyhow::Result<()> {
    let store = store(data);
    if !store.exists() {
        bail!("there is no {}: nothing is sealed yet", store.display());
    }
    if let Some(old) = variable(MASTER_KEY) {
        let new = variable(NEW_MASTER_KEY).with_context(|| {
            format!("{MASTER_KEY} is set, so give the key that takes its place as {NEW_MASTER_KEY}: {NEW_MASTER_KEY}=$(openssl rand -hex 32)")
        })?;
        let (old, new) = (of_digits(MASTER_KEY, &old)?, of_digits(NEW_MASTER_KEY, &new)?);
        change_master_key(&store, &old, &new).await?;
        say(&format!(
            "The master key is changed. Set {MASTER_KEY} to the new one before the next start; a running server goes on."
        ));
        return Ok(());
    }
    let old = read(&file(data))?;
    let mut new = Key::default();
    ids.fill(&mut new);
    drop(fs::remove_file(next_file(data)));
    write_private(&next_file(data), &new)?;
    change_master_key(&store, &old, &new).await?;
    fs::rename(next_file(data), file(data))?;
    say(&format!("The master key is changed: {}. A running server goes on.", file(data).display()));
    note("Keep a copy of it elsewhere. Backups made until now need the key that was there before.");
    Ok(())
}

fn store(data: &Path) -> PathBuf {
    data.join("control.sqlite")
}

fn file(data: &Path) -> PathBuf {
    data.join("master.key")
}

/// Where a new key lies while the control file is changed.
fn next_file(data: &Path) -> PathBuf {
    data.join("master.key.new")
}

/// The key in the data folder, made where the folder is new, and then the root secret beside it: both follow from one draw
/// that is forgotten, and neither from the other. Without the key no address can be read again.
fn of_folder(data: &Path, ids: &dyn Ids) -> anyhow::Result<(Key, Option<Key>)> {
    if file(data).exists() {
        return Ok((read(&file(data))?, None));
    }
    if store(data).exists() {
        bail!(
            "{} is missing, and without it no address can be read; restore it from a backup, or set {MASTER_KEY}",
            file(data).display()
        );
    }
    let mut draw = Key::default();
    ids.fill(&mut draw);
    let key = blake3::derive_key("sendlab 2026-11-28 master key of a new data folder", &draw);
    let root = blake3::derive_key("sendlab 2026-11-28 root secret of a new data folder", &draw);
    write_private(&file(data), &key)?;
    Ok((key, Some(root)))
}

fn read(path: &Path) -> anyhow::Result<Key> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let damaged = || anyhow!("{} is damaged: it must hold 32 bytes; restore it from a backup", path.display());
    bytes.try_into().map_err(|_| damaged())
}

/// A key as 64 hexadecimal digits. The error does not repeat them.
fn of_digits(name: &str, digits: &str) -> anyhow::Result<Key> {
    let wrong = || format!("{name} must be 64 hexadecimal digits, as `openssl rand -hex 32` gives them");
    parse(digits.trim()).with_context(wrong)
}

fn parse(text: &str) -> Option<Key> {
    let mut key = Key::default();
    if text.len() != 2 * key.len() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sixty_four_digits() {
        let digits = "00ff".to_owned() + &"aB".repeat(30);
        let key = parse(&digits).unwrap();
        assert_eq!((key[0], key[1], key[2], key[31]), (0, 255, 0xab, 0xab));
        for wrong in ["", "00", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
