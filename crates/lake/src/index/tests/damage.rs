//! What the disk can do to the index: each damage is noticed, each failure can be tried again.

use std::fs;
use std::path::{Path, PathBuf};

use super::{IdHash, Index, IndexConfig, claim, hash, maintain_all, open};

/// An index with several runs, of ids 0 to 1,000.
fn filled(folder: &Path) -> Index {
    let index = open(folder, IndexConfig::default());
    for segment in 0..5 {
        claim(&index, segment + 1, 0, segment as u64 * 200..segment as u64 * 200 + 200);
        index.persist(segment + 1).unwrap();
    }
    index
}

fn runs(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut runs: Vec<_> = paths.filter(|path| path.extension().is_some_and(|extension| extension == "ids")).collect();
    runs.sort();
    runs
}

/// After `damage`, the index must be told everything again, and says so until it was.
fn check(damage: impl FnOnce(&Path), why: &str) {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path()));
    damage(folder.path());
    let open = || Index::open(folder.path(), IndexConfig::default()).unwrap();
    let opened = open();
    let told = opened.rebuild.expect("damage is noticed");
    assert!(told.contains(why), "{told}");
    assert!(runs(folder.path()).is_empty() && !opened.index.knows("event 1").unwrap());
    opened.index.restore(0, &(0..600).map(hash).collect::<Vec<_>>()).unwrap();
    // Interrupted with a run written: that one does not count.
    opened.index.persist(0).unwrap();
    drop(opened.index);
    let opened = open();
    assert!(opened.rebuild.is_some_and(|why| why.contains("did not come to its end")));
    assert_eq!(opened.index.len_estimate(), 0);
    for first in [0, 500] {
        opened.index.restore(0, &(first..first + 500).map(hash).collect::<Vec<_>>()).unwrap();
    }
    opened.index.restored(5).unwrap();
    assert_eq!(claim(&opened.index, 6, 0, 999..1_001), [0]);
    drop(opened.index);
    let opened = open();
    assert_eq!((opened.rebuild, opened.index.persisted(), opened.index.len_estimate()), (None, 5, 1_000));
}

#[test]
fn damage_leads_to_telling_everything_again() {
    check(|folder| fs::remove_file(&runs(folder)[2]).unwrap(), "it is missing");
    check(|folder| fs::remove_file(folder.join("manifest")).unwrap(), "manifest is missing");
    check(|folder| fs::write(folder.join("manifest"), b"sendlab").unwrap(), "manifest is damaged");
    check(|folder| flip(&runs(folder)[4], 700), "its content is damaged");
    check(|folder| flip(&runs(folder)[0], 20), "its header is damaged");
    let truncate = |folder: &Path| fs::File::options().write(true).open(&runs(folder)[0]).unwrap().set_len(90).unwrap();
    check(truncate, "it has 90 bytes instead of 3264");
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 4;
    fs::write(path, bytes).unwrap();
}

#[test]
fn strangers_in_the_folder_are_left_alone_and_leftovers_go() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path()));
    fs::write(folder.path().join("notes.txt"), b"mine").unwrap();
    fs::write(folder.path().join("00000000000000000077.ids"), b"half").unwrap();
    let index = open(folder.path(), IndexConfig::default());
    assert_eq!((runs(folder.path()).len(), index.len_estimate()), (5, 1_000));
    assert!(folder.path().join("notes.txt").exists());
}

#[test]
fn a_claim_that_cannot_be_looked_up_fails_and_claims_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let index = filled(folder.path());
    claim(&index, 6, 0, [5_000]);
    let cut = runs(folder.path())[0].clone();
    let bytes = fs::read(&cut).unwrap();
    fs::File::options().write(true).open(&cut).unwrap().set_len(64).unwrap();
    let hashes: Vec<IdHash> = [6_000, 900, 5_000, 7, 6_001, 6_000].into_iter().map(hash).collect();
    let mut known = vec![3];
    assert!(index.claim(6, 0, &hashes, &mut known).is_err());
    assert!(index.knows("event 7").is_err());
    assert_eq!((known, index.unpersisted()), (vec![3], 1));
    assert!(!index.knows("event 6001").is_ok_and(|knows| knows));
    // The file is whole again.
    fs::write(&cut, bytes).unwrap();
    let mut known = Vec::new();
    index.claim(6, 0, &hashes, &mut known).unwrap();
    assert_eq!(known, [1, 2, 3, 5]);
}

#[test]
fn a_failed_write_can_be_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let index = filled(folder.path());
    // A folder in the place of a file: writing fails whoever one is.
    for in_the_way in ["00000000000000000006.ids", "manifest.new"] {
        let path = folder.path().join(in_the_way);
        fs::create_dir(&path).unwrap();
        let segment = index.persisted() + 1;
        assert_eq!(claim(&index, segment, 0, [segment as u64 * 10_000]), [0_u32; 0]);
        assert!(index.persist(segment).is_err(), "{in_the_way}");
        assert_eq!((index.persisted(), index.unpersisted()), (segment - 1, 1));
        assert!(index.knows(&format!("event {}", segment * 10_000)).unwrap());
        fs::remove_dir(&path).unwrap();
        index.persist(segment).unwrap();
        assert_eq!((index.persisted(), index.unpersisted()), (segment, 0));
    }
    drop(index);
    let index = open(folder.path(), IndexConfig::default());
    assert_eq!(claim(&index, 9, 0, [60_000, 70_000, 1]), [0, 1, 2]);
}

#[test]
fn a_failed_merge_loses_nothing_and_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let index = filled(folder.path());
    for segment in 6..10 {
        claim(&index, segment, 0, segment as u64 * 200 - 200..segment as u64 * 200);
        index.persist(segment).unwrap();
    }
    let in_the_way = folder.path().join("manifest.new");
    fs::create_dir(&in_the_way).unwrap();
    assert!(index.maintain(0).is_err());
    assert_eq!(claim(&index, 10, 0, 1_799..1_801), [0]);
    fs::remove_dir(&in_the_way).unwrap();
    maintain_all(&index, 0);
    let before = runs(folder.path()).len();
    drop(index);
    let index = open(folder.path(), IndexConfig::default());
    assert_eq!(index.len_estimate(), 1_800);
    // The run of the failed attempt is cleared away.
    assert_eq!((before, runs(folder.path()).len()), (3, 2));
}
