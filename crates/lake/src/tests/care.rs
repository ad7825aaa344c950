//! Damage of each kind is found under its code, mended, and gone; what lives is left alone.

mod copies;

use std::fs;
use std::path::PathBuf;

use deltalake_core::kernel::Action;

use super::*;
use crate::care::{CheckOptions, Code, Repair, RepairOptions, Report, check, repair};
use crate::delta::{DataFile, Purpose, Table, add_of, removes};
use crate::opening::open_tables;
use crate::parquet::{Encoded, by_day, encode};

fn now() -> Timestamp {
    at(1_000 * HOUR)
}

async fn looked(root: &Path, deep: bool) -> Report {
    check(&config(root), CheckOptions { deep, now: now() }, &|_| ()).await.unwrap()
}

/// The codes of what is wrong.
async fn codes(root: &Path, deep: bool) -> Vec<Code> {
    looked(root, deep).await.findings.iter().map(|finding| finding.code).collect()
}

async fn notes(root: &Path) -> Vec<Code> {
    looked(root, false).await.notes.iter().map(|finding| finding.code).collect()
}

async fn mend(root: &Path, forget_missing: bool, apply: bool) -> Repair {
    let options = RepairOptions { deep: true, forget_missing, apply, now: now() };
    repair(&config(root), options, &|_| ()).await.unwrap()
}

/// A closed lake with `files` orders in as many landed files of one day.
async fn orders(files: i64) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    for n in 0..files {
        lake.append(vec![order(&format!("e{n}"), n + 1, at(n), 1)]).await.unwrap();
        lake.land().await.unwrap();
    }
    root
}

/// The data files of orders, by name.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for day in fs::read_dir(root.join("tables/orders")).unwrap().map(|entry| entry.unwrap().path()) {
        if day.file_name().unwrap().to_string_lossy().starts_with("event_date=") {
            files.extend(fs::read_dir(day).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    files.sort();
    files
}

/// Flips a bit in the middle of the bytes `from..to` of a file.
fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 4;
    fs::write(path, bytes).unwrap();
}

async fn table(root: &Path) -> Arc<Table> {
    open_tables(&config(root)).await.unwrap().events[EventKind::Order as usize].clone()
}

/// Commits what no landing would.
async fn commit(table: &Table, remove: Option<&Arc<DataFile>>, add: DataFile) {
    let plan = |_: &crate::delta::TableState| {
        let removes = removes(remove, now(), true).into_iter();
        Ok(Some(removes.chain([Action::Add(add_of(&add, true))]).collect()))
    };
    table.commit(Purpose { operation: "TEST", at: now() }, Box::new(plan)).await.unwrap().unwrap();
}

async fn order_ids(root: &Path) -> Vec<String> {
    let lake = Lake::open(config(root)).await.unwrap();
    let answer = ask(&lake, "SELECT event_id FROM orders ORDER BY event_id", SqlFormat::Csv).await.unwrap();
    answer.lines().skip(1).map(str::to_owned).collect()
}

/// Only one finding, mended by itself.
async fn mends(root: &Path, deep: bool, code: Code, rows_lost: u64) {
    assert_eq!(codes(root, deep).await, [code]);
    let planned = mend(root, true, false).await;
    assert_eq!((planned.applied, planned.steps.len(), planned.left.len()), (false, 1, 0), "{planned:?}");
    assert_eq!(codes(root, deep).await, [code], "a dry run changes nothing");
    let done = mend(root, true, true).await;
    assert_eq!((done.applied, done.steps[0].rows_lost), (true, rows_lost), "{done:?}");
    assert!(done.after.unwrap().clean);
    assert_eq!(codes(root, true).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_lake_is_clean_open_and_closed() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    lake.append(one_of_each("a")).await.unwrap();
    lake.land().await.unwrap();
    lake.append(one_of_each("b")).await.unwrap();
    for deep in [false, true] {
        let report = looked(root.path(), deep).await;
        assert!(report.clean && report.live, "{report:?}");
        assert_eq!((report.tables.len(), report.segments, report.unlanded), (KINDS + 2, 1, KINDS as u64));
        assert_eq!(report.tables.iter().map(|table| table.rows).sum::<u64>(), KINDS as u64);
    }
    drop(lake);
    let report = looked(root.path(), true).await;
    assert!(report.clean && !report.live, "{report:?}");
    assert_eq!(report.notes, []);
    let missing = check(&config(&root.path().join("none")), CheckOptions { deep: false, now: now() }, &|_| ()).await;
    assert!(missing.unwrap_err().to_string().contains("none"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_file_is_given_up_only_when_asked() {
    let root = orders(3).await;
    fs::remove_file(&files(root.path())[1]).unwrap();
    let kept = mend(root.path(), false, true).await;
    assert_eq!((kept.applied, kept.steps.len(), kept.left[0].code), (false, 0, Code::FileMissing));
    mends(root.path(), false, Code::FileMissing, 1).await;
    assert_eq!(order_ids(root.path()).await, ["e0", "e2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_not_what_was_written_is_found() {
    let root = orders(3).await;
    let files = files(root.path());
    // Its first rows, its footer, its size.
    flip(&files[0], 30);
    assert_eq!(codes(root.path(), false).await, [], "only reading all data shows it");
    assert_eq!(codes(root.path(), true).await, [Code::FileChecksum]);
    let length = fs::metadata(&files[1]).unwrap().len() as usize;
    flip(&files[1], length - 6);
    fs::write(&files[2], b"PAR1").unwrap();
    assert_eq!(codes(root.path(), false).await, [Code::FileUnreadable, Code::FileSize]);
    assert_eq!(codes(root.path(), true).await, [Code::FileUnreadable, Code::FileSize, Code::FileChecksum]);
    let nothing = mend(root.path(), true, true).await;
    assert_eq!((nothing.applied, nothing.left.len()), (false, 3), "what is there is not given up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_statistics_are_computed_anew() {
    let root = orders(2).await;
    let table = table(root.path()).await;
    let file = table.state().files.values().next().unwrap().clone();
    let mut wrong = file.as_ref().clone();
    wrong.stats.max_values.insert("event_time".to_owned(), "2025-12-31T00:00:00.000000Z".into());
    commit(&table, None, wrong).await;
    assert_eq!(codes(root.path(), false).await, []);
    mends(root.path(), true, Code::Statistics, 0).await;
    let mended = table.refresh().await.unwrap().files[&file.path].clone();
    assert!(mended.stats.max_values["event_time"].as_str().unwrap().starts_with("2026-01-01T00:00:00"), "{mended:?}");

    let mut wrong = file.as_ref().clone();
    wrong.stats.num_records = 5;
    commit(&table, None, wrong).await;
    mends(root.path(), false, Code::RowCount, 0).await;
    assert_eq!(order_ids(root.path()).await, ["e0", "e1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_another_day_go_home() {
    let root = orders(1).await;
    let table = table(root.path()).await;
    let file = table.state().files.values().next().unwrap().clone();
    let moved =
        DataFile { path: "event_date=2026-03-01/x.parquet".into(), date: Some(jiff::civil::date(2026, 3, 1)), ..(*file).clone() };
    let bytes = table.place.get(&file.path).await.unwrap().unwrap();
    table.place.put(&moved.path, bytes).await.unwrap();
    commit(&table, Some(&file), moved).await;
    assert_eq!(codes(root.path(), false).await, []);
    mends(root.path(), true, Code::WrongDay, 0).await;
    assert_eq!(order_ids(root.path()).await, ["e0"]);
    let days: Vec<_> = table.refresh().await.unwrap().files.values().map(|file| file.date).collect();
    assert_eq!(days, [Some(jiff::civil::date(2026, 1, 1))]);
}

/// Adds a file with these events to their table, whatever the index says.
pub(super) async fn add_file(table: &Table, name: &str, events: &[Event]) {
    let mut builder = crate::rows::KindBuilder::new(crate::tables::kind_of(table.spec.name).unwrap());
    events.iter().for_each(|event| builder.push(&event.borrowed()));
    let batch = builder.finish().unwrap();
    let batch = crate::rows::complete(&table.spec.schema, &batch, &Rates::new(currency("EUR"))).unwrap();
    for day in by_day(&[batch]).unwrap() {
        let path = format!("event_date={}/{name}.parquet", day.date);
        let Encoded { file, bytes } = encode(path, Some(day.date), &[day.rows], table.spec.skip_by, now()).unwrap();
        table.place.put(&file.path, bytes).await.unwrap();
        commit(table, None, file).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_are_there_twice_are_kept_once_the_first_time() {
    let root = orders(3).await;
    let lake = Lake::open(config(root.path())).await.unwrap();
    lake.append(one_of_each("other")).await.unwrap();
    lake.land().await.unwrap();
    drop(lake);
    let table = table(root.path()).await;
    // e1 again and later, e2 again and earlier, an id of another kind later, one of them twice in the same file.
    let again = [order("e1", 2, at(HOUR), 1), order("e2", 3, at(0), 7), order("new", 9, at(0), 1)];
    add_file(&table, "again", &again).await;
    let kinds =
        [order("other-open", 7, at(40 * HOUR), 1), order("last", 7, at(40 * HOUR), 1), order("last", 7, at(40 * HOUR), 1)];
    add_file(&table, "kinds", &kinds).await;
    assert_eq!(codes(root.path(), false).await, []);
    let report = looked(root.path(), true).await;
    assert!(report.findings.iter().all(|finding| finding.code == Code::DuplicateEvent), "{report:?}");
    let mut rows: Vec<_> = report.findings.iter().map(|finding| (finding.object.clone(), finding.rows)).collect();
    rows.sort();
    // A landed file is called by its segments and its content.
    let name = |object: &str| object.rsplit_once('/').unwrap().1.split('.').next().unwrap().to_owned();
    let names: Vec<_> = rows.iter().map(|(object, rows)| (name(object), *rows)).collect();
    let expect = [("again", 1), ("log-sendlab-000000000003-000000000003", 1), ("kinds", 2)];
    assert_eq!(names, expect.map(|(name, rows)| (name.to_owned(), rows)));
    let done = mend(root.path(), false, true).await;
    assert!(done.after.unwrap().clean);
    assert_eq!(order_ids(root.path()).await, ["e0", "e1", "e2", "last", "new", "other-order"]);
    let lake = Lake::open(config(root.path())).await.unwrap();
    let first = ask(&lake, "SELECT amount_minor FROM orders WHERE event_id = 'e2'", SqlFormat::Csv).await.unwrap();
    assert_eq!(first, "amount_minor\n7\n", "what was received first stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_waits_in_the_log_counts_too() {
    let root = orders(1).await;
    let lake = Lake::open(config(root.path())).await.unwrap();
    lake.append(vec![order("waits", 1, at(0), 1)]).await.unwrap();
    add_file(&*table(root.path()).await, "again", &[order("waits", 1, at(HOUR), 1)]).await;
    let report = looked(root.path(), true).await;
    let found: Vec<_> = report.findings.iter().map(|finding| (finding.code, finding.table.clone())).collect();
    assert_eq!(found, [(Code::DuplicateEvent, None)], "what is in a table stays");
    lake.land().await.unwrap();
    drop(lake);
    mends(root.path(), true, Code::DuplicateEvent, 0).await;
    assert_eq!(order_ids(root.path()).await, ["e0", "waits"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_version_names_is_an_orphan_unless_it_is_under_way() {
    let root = orders(1).await;
    fs::copy(&files(root.path())[0], root.path().join("tables/orders/event_date=2026-01-01/left.parquet")).unwrap();
    mends(root.path(), false, Code::Orphan, 0).await;
    // As a landing leaves it that was cut off, and whose segments were landed with others later.
    let left = root.path().join("tables/orders/event_date=2026-01-01/log-sendlab-000000000000-000000000001.parquet");
    fs::copy(&files(root.path())[0], &left).unwrap();
    assert_eq!((codes(root.path(), true).await, notes(root.path()).await), (vec![], vec![Code::LeftOver]));
    assert!(mend(root.path(), false, true).await.applied && !left.exists());
    // As if a commit were lost: it holds more than the table knows of.
    let lost = left.with_file_name("log-sendlab-000000000008-000000000009.parquet");
    fs::copy(&files(root.path())[0], &lost).unwrap();
    assert_eq!(codes(root.path(), true).await, [Code::Orphan]);
    fs::remove_file(&lost).unwrap();

    // At the last of the tables, which land side by side: whichever it is, the file of the orders is written.
    let stopped = FailAt::new(Point::FilesWritten, KINDS as u32 - 1, LakeError::Stopped);
    let lake = Lake::open_with_faults(config(root.path()), stopped).await.unwrap();
    lake.append(one_of_each("a")).await.unwrap();
    lake.land().await.unwrap_err();
    drop(lake);
    assert_eq!(codes(root.path(), true).await, []);
    assert!(notes(root.path()).await.contains(&Code::UnderWay));
    assert_eq!(files(root.path()).len(), 2);
    assert!(!mend(root.path(), true, true).await.applied, "the next landing writes it again");
    let lake = Lake::open(config(root.path())).await.unwrap();
    lake.land().await.unwrap();
    assert_eq!(counts(&lake).await[5], (2, 2));
    drop(lake);
    assert_eq!((codes(root.path(), true).await, notes(root.path()).await), (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_checked_to_its_end() {
    let root = orders(0).await;
    for n in 0..2 {
        let lake = Lake::open(config(root.path())).await.unwrap();
        lake.append(vec![order(&format!("a{n}"), 1, at(n), 1)]).await.unwrap();
        lake.append(vec![order(&format!("b{n}"), 1, at(n), 1)]).await.unwrap();
    }
    let mut segments: Vec<_> = fs::read_dir(root.path().join("log")).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    let whole = fs::read(&segments[1]).unwrap();
    fs::write(&segments[1], [&whole[..], b"\x40\0\0\0half"].concat()).unwrap();
    let report = looked(root.path(), false).await;
    assert_eq!((report.clean, report.notes[0].code, report.notes[0].bytes, report.unlanded), (true, Code::TornTail, 8, 4));
    assert_eq!(mend(root.path(), false, true).await.steps[0].code, Code::TornTail);
    assert_eq!(fs::read(&segments[1]).unwrap(), whole);

    // Damage with whole frames behind it is no torn tail, in the newest segment neither.
    flip(&segments[1], 20);
    assert_eq!(codes(root.path(), false).await, [Code::SegmentDamaged]);
    fs::write(&segments[1], &whole).unwrap();
    let length = fs::metadata(&segments[0]).unwrap().len() as usize;
    flip(&segments[0], length - 3);
    assert!(matches!(Lake::open(config(root.path())).await, Err(LakeError::LogDamaged { .. })));
    assert!(!mend(root.path(), false, true).await.applied);
    mends(root.path(), false, Code::SegmentDamaged, 0).await;
    assert_eq!(order_ids(root.path()).await, ["a0", "a1", "b1"]);
    assert!(segments[0].with_extension("log.damaged").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_landed_segment_that_is_still_there_is_normal() {
    let root = orders(0).await;
    let stopped = FailAt::new(Point::Refreshed, 0, LakeError::Stopped);
    let lake = Lake::open_with_faults(config(root.path()), stopped).await.unwrap();
    lake.append(one_of_each("a")).await.unwrap();
    lake.land().await.unwrap_err();
    drop(lake);
    assert_eq!((codes(root.path(), true).await, notes(root.path()).await), (vec![], vec![Code::SegmentLanded]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_index_is_made_anew() {
    let root = orders(2).await;
    let ids = fs::read_dir(root.path().join("index")).unwrap().map(|entry| entry.unwrap().path());
    let run = ids.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "ids")).unwrap();
    assert_eq!(looked(root.path(), false).await.index_ids, 2);
    flip(&run, 70);
    mends(root.path(), false, Code::IndexDamaged, 0).await;
    assert_eq!(notes(root.path()).await, [Code::IndexMissing]);
    let lake = Lake::open(config(root.path())).await.unwrap();
    assert_eq!(lake.append(vec![order("e0", 1, at(0), 1), order("e1", 1, at(0), 1)]).await.unwrap().accepted, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_a_table_is_read_to_its_beginning() {
    let root = orders(3).await;
    let folder = root.path().join("tables/orders/_delta_log");
    table(root.path()).await.checkpoint(2).await.unwrap();
    let checkpoint = folder.join(format!("{:020}.checkpoint.parquet", 2));
    assert_eq!(codes(root.path(), false).await, []);
    fs::write(&checkpoint, b"PAR1").unwrap();
    mends(root.path(), false, Code::CheckpointDamaged, 0).await;
    assert_eq!(order_ids(root.path()).await, ["e0", "e1", "e2"]);

    let commit = folder.join(format!("{:020}.json", 2));
    let whole = fs::read(&commit).unwrap();
    fs::write(&commit, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(codes(root.path(), false).await, [Code::TableUnreadable]);
    fs::remove_file(&commit).unwrap();
    assert_eq!(codes(root.path(), false).await, [Code::LogGap]);
    fs::remove_dir_all(root.path().join("tables/orders")).unwrap();
    assert_eq!(codes(root.path(), false).await, [Code::TableMissing]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_waits_for_nobody_and_says_who_is_in_the_way() {
    let root = orders(1).await;
    let lake = Lake::open(config(root.path())).await.unwrap();
    let options = RepairOptions { deep: false, forget_missing: false, apply: false, now: now() };
    let error = repair(&config(root.path()), options, &|_| ()).await.unwrap_err();
    assert!(matches!(&error, LakeError::Locked { .. }), "{error}");
    drop(lake);
    repair(&config(root.path()), options, &|_| ()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_that_lives_is_clean() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    let living = tokio::spawn(live(lake.clone(), 40));
    let mut rounds = 0;
    while !living.is_finished() || rounds < 3 {
        let report = looked(root.path(), true).await;
        assert!(report.clean && report.live, "{report:?}");
        rounds += 1;
    }
    living.await.unwrap();
    lake.tidy(now(), &crate::Pins::new()).await.unwrap();
    assert!(looked(root.path(), true).await.clean);
}

/// Tells, lands and tidies for so many rounds.
async fn live(lake: Arc<Lake>, rounds: i64) {
    for n in 0..rounds {
        lake.append(one_of_each(&format!("r{n}"))).await.unwrap();
        if n % 2 == 0 {
            lake.land().await.unwrap();
        }
        if n % 17 == 16 {
            lake.tidy(at(26 * HOUR + n), &crate::Pins::new()).await.unwrap();
        }
    }
}
