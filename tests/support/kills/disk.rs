//! Disks that are full and writes that are torn, by means that need no privileges.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use rand::{Rng, RngExt as _};
use rand_chacha::ChaCha8Rng;

const HEADER: usize = 8;

/// From now on no file of the process grows beyond so many bytes: the write that would is cut short and the next one fails.
/// `None` lifts the limit.
pub(super) fn limit(process: u32, bytes: Option<u64>) {
    let bytes = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
    let mut command = Command::new("prlimit");
    command.arg("--pid").arg(process.to_string()).arg(format!("--fsize={bytes}:"));
    assert!(command.status().expect("prlimit is part of every Debian").success(), "{command:?}");
}

/// How large the newest segment of the log is.
pub(super) fn newest_bytes(log: &Path) -> u64 {
    newest(log).and_then(|path| fs::metadata(path).ok()).map_or(0, |metadata| metadata.len())
}

fn newest(log: &Path) -> Option<PathBuf> {
    fs::read_dir(log).ok()?.filter_map(|entry| Some(entry.ok()?.path())).max()
}

/// Does to the end of the newest segment what a power loss does to a write under way: cuts or garbles the last frame if
/// nobody was told that it is kept, which is to say that none of these texts is in it; else puts a part of a frame behind it.
pub(super) fn tear(log: &Path, acknowledged: &[String], rng: &mut ChaCha8Rng) -> bool {
    let Some(path) = newest(log) else { return false };
    let mut bytes = fs::read(&path).expect("the log can be read");
    let last = last_frame(&bytes);
    let contains = |text: &String| bytes[last.clone()].windows(text.len()).any(|window| window == text.as_bytes());
    if !last.is_empty() && !acknowledged.iter().any(contains) {
        if rng.random() {
            bytes.truncate(rng.random_range(last.start + 1..last.end));
        } else {
            bytes[rng.random_range(last)] ^= 1 << rng.random_range(0..8);
        }
    } else {
        let mut part = match rng.random_range(0..3) {
            0 => vec![0; 4_096],
            1 => {
                let mut part = vec![0; 512];
                rng.fill_bytes(&mut part);
                part
            }
            _ => bytes[last].to_vec(),
        };
        part.truncate(rng.random_range(0..part.len().max(1)));
        bytes.extend_from_slice(&part);
    }
    fs::write(&path, bytes).expect("the log can be written");
    true
}

/// Where the last frame begins and ends: `[length u32][checksum u32][payload]`, as `lake` writes it. What is behind the last
/// whole frame is torn already.
fn last_frame(bytes: &[u8]) -> Range<usize> {
    let (mut last, mut at) = (0..0, 0);
    while let Some(length) = bytes.get(at..at + 4) {
        let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
        let end = at + HEADER + length;
        if length == 0 || end > bytes.len() {
            break;
        }
        last = at..end;
        at = end;
    }
    last
}
