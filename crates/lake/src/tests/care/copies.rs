//! What a backup holds comes back, exactly as it was acknowledged at that moment.

use std::collections::BTreeSet;

use super::*;
use crate::care::{Backup, BackupOptions, CopyAt, RestoreOptions, Restored, backup, restore};

async fn copied(root: &Path, to: &Path, now: Timestamp) -> Result<Backup, LakeError> {
    let options = BackupOptions { now, others: Vec::new(), prune: false };
    backup(&config(root), &CopyAt::Folder(to.to_owned()), options, &|_| ()).await
}

/// Restores into `data/lake`.
async fn restored(from: &Path, data: &Path, at: Option<Timestamp>) -> Result<Restored, LakeError> {
    let options = RestoreOptions { at, others_to: data.to_owned(), now: now() };
    restore(&CopyAt::Folder(from.to_owned()), &config(&data.join("lake")), options, &|_| ()).await
}

struct World {
    root: tempfile::TempDir,
    copy: tempfile::TempDir,
    data: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = || tempfile::tempdir().unwrap();
        Self { root: folder(), copy: folder(), data: folder() }
    }

    async fn restored_ids(&self) -> Vec<String> {
        order_ids(&self.data.path().join("lake")).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_landed_and_what_is_not_comes_back() {
    let world = World::new();
    let lake = Lake::open(config(world.root.path())).await.unwrap();
    lake.append(one_of_each("a")).await.unwrap();
    lake.land().await.unwrap();
    lake.append(one_of_each("b")).await.unwrap();
    let made = copied(world.root.path(), world.copy.path(), now()).await.unwrap();
    assert_eq!((made.manifest.unlanded, made.kept_files), (KINDS as u64, 0));
    lake.append(one_of_each("after")).await.unwrap();

    let back = restored(world.copy.path(), world.data.path(), None).await.unwrap();
    assert_eq!((back.unlanded, back.report.clean), (KINDS as u64, true), "{back:?}");
    let again = Lake::open(config(&world.data.path().join("lake"))).await.unwrap();
    assert_eq!(counts(&again).await, [(2, 2); KINDS]);
    // Its index was made anew, and it goes on.
    assert_eq!(again.append(one_of_each("b")).await.unwrap().accepted, 0);
    assert_eq!(again.append(one_of_each("after")).await.unwrap().accepted, KINDS);
    again.land().await.unwrap();
    assert_eq!(counts(&again).await, [(3, 3); KINDS]);
    drop(again);
    assert_eq!(codes(&world.data.path().join("lake"), true).await, []);
    let error = restored(world.copy.path(), world.data.path(), None).await.unwrap_err().to_string();
    assert!(error.contains("already"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_beside_ingest_holds_exactly_one_moment() {
    let world = World::new();
    let lake = Lake::open(config(world.root.path())).await.unwrap();
    let told = Arc::new(Mutex::new(0_i64));
    let telling = tokio::spawn({
        let (lake, told) = (lake.clone(), told.clone());
        async move {
            for n in 0..150 {
                // One of each kind, so that a moment that is not one would show as kinds that differ.
                lake.append(one_of_each(&format!("r{n:03}"))).await.unwrap();
                *told.lock().unwrap() = n + 1;
                if n % 3 == 0 {
                    lake.land().await.unwrap();
                }
            }
        }
    });
    let mut round = 0;
    while !telling.is_finished() || round < 2 {
        round += 1;
        let before = *told.lock().unwrap();
        let made = copied(world.root.path(), world.copy.path(), at(1_000 * HOUR + round * 1_000_000)).await.unwrap();
        let after = *told.lock().unwrap() + 1;
        let data = tempfile::tempdir().unwrap();
        let back = restored(world.copy.path(), data.path(), None).await.unwrap();
        assert!(back.report.clean, "{back:?}");
        let rows: u64 = made.manifest.tables.iter().map(|table| table.rows).sum();
        let lake = Lake::open(config(&data.path().join("lake"))).await.unwrap();
        let counts = counts(&lake).await;
        let (rows_back, ids) = counts[5];
        assert!(before <= rows_back && rows_back <= after && rows_back == ids, "{before} {rows_back} {after}");
        // A request that nobody was answered yet may be half there; all others are there whole.
        assert!(counts.iter().all(|of| of.0 == of.1 && of.0 >= before && of.0 <= after), "{counts:?} {before} {after}");
        assert_eq!(rows + made.manifest.unlanded, counts.iter().map(|of| of.0 as u64).sum::<u64>());
    }
    telling.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_new_is_copied() {
    let world = World::new();
    let lake = Lake::open(config(world.root.path())).await.unwrap();
    for n in 0..3 {
        lake.append(vec![order(&format!("e{n}"), 1, at(n), 1)]).await.unwrap();
        lake.land().await.unwrap();
    }
    let first = copied(world.root.path(), world.copy.path(), at(HOUR)).await.unwrap();
    lake.append(vec![order("e3", 1, at(3), 1)]).await.unwrap();
    lake.land().await.unwrap();
    let second = copied(world.root.path(), world.copy.path(), at(2 * HOUR)).await.unwrap();
    assert_eq!((second.kept_files, second.copied_files), (first.copied_files, 2), "one data file and its commit");
    assert_eq!(fs::read_dir(world.copy.path().join("runs")).unwrap().count(), 2);
    restored(world.copy.path(), world.data.path(), None).await.unwrap();
    assert_eq!(world.restored_ids().await, ["e0", "e1", "e2", "e3"]);

    let options = BackupOptions { now: at(3 * HOUR), others: Vec::new(), prune: true };
    fs::write(world.copy.path().join("tables/orders/stray"), b"x").unwrap();
    let pruned = backup(&config(world.root.path()), &CopyAt::Folder(world.copy.path().to_owned()), options, &|_| ()).await;
    assert_eq!(pruned.unwrap().pruned_files, 3, "two manifests and a stray file");
    let data = tempfile::tempdir().unwrap();
    assert!(restored(world.copy.path(), data.path(), None).await.unwrap().report.clean);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_time_comes_back() {
    let world = World::new();
    let lake = Lake::open(config(world.root.path())).await.unwrap();
    for n in 0..4 {
        lake.append(vec![order(&format!("e{n}"), 1, at(n * HOUR), 1)]).await.unwrap();
        lake.land().await.unwrap();
    }
    lake.append(vec![order("unlanded", 1, at(5 * HOUR), 1)]).await.unwrap();
    copied(world.root.path(), world.copy.path(), at(6 * HOUR)).await.unwrap();
    lake.append(vec![order("later", 1, at(7 * HOUR), 1)]).await.unwrap();
    lake.land().await.unwrap();
    copied(world.root.path(), world.copy.path(), at(8 * HOUR)).await.unwrap();
    let cases: [(i64, &[&str]); 4] =
        [(-1, &[]), (1, &["e0", "e1"]), (3, &["e0", "e1", "e2", "e3"]), (7, &["e0", "e1", "e2", "e3", "later", "unlanded"])];
    for (hour, expect) in cases {
        let data = tempfile::tempdir().unwrap();
        let back = restored(world.copy.path(), data.path(), Some(at(hour * HOUR))).await.unwrap();
        assert!(back.report.clean, "{back:?}");
        let lake = data.path().join("lake");
        assert_eq!(order_ids(&lake).await, expect, "hour {hour}");
        // It goes on from there.
        let open = Lake::open(config(&lake)).await.unwrap();
        open.append(vec![order("fork", 1, at(9 * HOUR), 1)]).await.unwrap();
        open.land().await.unwrap();
        assert_eq!(order_ids_of(&open).await.len(), expect.len() + 1);
        drop(open);
        assert_eq!(codes(&lake, true).await, []);
        // Another history does not go into the same folder.
        if hour == 1 {
            let error = copied(&lake, world.copy.path(), at(10 * HOUR)).await.unwrap_err().to_string();
            assert!(error.contains("choose another folder"), "{error}");
        }
    }
    let error = restored(world.copy.path(), world.data.path(), Some(at(9 * HOUR))).await.unwrap_err().to_string();
    assert!(error.contains("newest backup"), "{error}");
}

async fn order_ids_of(lake: &Lake) -> BTreeSet<String> {
    let answer = ask(lake, "SELECT event_id FROM orders", SqlFormat::Csv).await.unwrap();
    answer.lines().skip(1).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_beside_the_lake_come_back_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    drop(Lake::open(config(world.root.path())).await.unwrap());
    // Larger than what is copied at once.
    let large: Vec<u8> = (0..20_000_000_u32).map(|n| (n % 251) as u8).collect();
    let source = world.data.path().join("source");
    fs::write(&source, &large).unwrap();
    let others = vec![("secret".to_owned(), source.clone()), ("plans/a".to_owned(), source.clone())];
    let options = BackupOptions { now: now(), others, prune: false };
    let to = CopyAt::Folder(world.copy.path().to_owned());
    let made = backup(&config(world.root.path()), &to, options, &|_| ()).await.unwrap();
    let folder = world.copy.path().join("runs").join(&made.manifest.run).join("others");
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    let back = restored(world.copy.path(), world.data.path(), None).await.unwrap();
    assert_eq!(back.others, ["secret", "plans/a"]);
    for name in back.others {
        let path = world.data.path().join(name);
        assert!(fs::read(&path).unwrap() == large);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_backup_is_refused_and_leaves_no_lake() {
    let world = World::new();
    let root = orders(2).await;
    copied(root.path(), world.copy.path(), now()).await.unwrap();
    let file = files(world.copy.path())[0].clone();
    let whole = fs::read(&file).unwrap();
    flip(&file, 30);
    let error = restored(world.copy.path(), world.data.path(), None).await.unwrap_err().to_string();
    assert!(error.contains("damaged") && error.contains("orders"), "{error}");
    fs::remove_file(&file).unwrap();
    let error = restored(world.copy.path(), world.data.path(), None).await.unwrap_err().to_string();
    assert!(error.contains("missing"), "{error}");
    assert!(!world.data.path().join("lake").exists());
    fs::write(&file, whole).unwrap();
    restored(world.copy.path(), world.data.path(), None).await.unwrap();
    assert_eq!(world.restored_ids().await, ["e0", "e1"]);
    let empty = tempfile::tempdir().unwrap();
    let error = restored(empty.path(), &empty.path().join("x"), None).await.unwrap_err().to_string();
    assert!(error.contains("manifest.json"), "{error}");
}
