//! Acknowledged means on disk, once.

use std::fs;
use std::io::Write;

use super::*;
use crate::{Appended, Landed, TableKind};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_back_through_sql() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    let appended = lake.append(one_of_each("a")).await.unwrap();
    assert_eq!(appended, Appended { accepted: KINDS, duplicates: vec![] });
    assert_eq!(lake.unlanded(), KINDS as u64);
    lake.work_due(KINDS as u64).await;
    // SQL sees what is acknowledged, landed or not.
    assert_eq!(counts(&lake).await, [(1, 1); KINDS]);
    assert!(lake.tables().await.unwrap().iter().all(|table| table.version.unwrap_or_default() == 0));
    assert_eq!(lake.land().await.unwrap(), Landed { events: KINDS as u64, commits: KINDS as u64 });
    assert_eq!((lake.unlanded(), lake.land().await.unwrap()), (0, Landed::default()));
    assert_eq!(counts(&lake).await, [(1, 1); KINDS]);
    assert_eq!(fs::read_dir(root.path().join("log")).unwrap().count(), 0);

    let answer =
        ask(&lake, "SELECT event_time, contact_key, amount_minor, amount_base_minor, event_date FROM orders", SqlFormat::Csv)
            .await;
    let expect =
        "event_time,contact_key,amount_minor,amount_base_minor,event_date\n2026-01-02T02:00:00Z,7,1250,1000,2026-01-02\n";
    assert_eq!(answer.unwrap(), expect);
    let answer = ask(&lake, "SELECT planned_at, propensity FROM assignments", SqlFormat::Json).await;
    assert_eq!(answer.unwrap(), r#"[{"planned_at":"2026-01-01T01:00:00Z","propensity":0.5}]"#);
    let answer = ask(&lake, "SELECT feedback, text FROM feedback", SqlFormat::Json).await;
    assert_eq!(answer.unwrap(), r#"[{"feedback":"reply","text":"no, \"thanks\"\n"}]"#);

    let tables = lake.tables().await.unwrap();
    let tables: Vec<_> = tables.into_iter().filter(|table| table.kind == TableKind::Table).collect();
    let names: Vec<_> = tables.iter().map(|table| (table.name.as_str(), table.version.unwrap(), table.rows.unwrap())).collect();
    let event_table = |name| (name, 1, 1);
    let expect = ["activities", "assignments", "clicks"].map(event_table).into_iter().chain([("contacts", 0, 0)]);
    let expect = expect.chain(["deliveries", "feedback", "messages", "opens", "orders"].map(event_table));
    let expect: Vec<_> = expect.chain([("rates", 0, 0)]).collect();
    assert_eq!(names, expect);
    for name in tables.iter().map(|table| &table.name) {
        // The oldest protocol: every reader of Delta tables knows it.
        let log = fs::read_to_string(root.path().join(format!("tables/{name}/_delta_log/{:020}.json", 0))).unwrap();
        assert!(log.contains(r#""protocol":{"minReaderVersion":1,"minWriterVersion":2}"#), "{log}");
    }
    assert!(tables.iter().all(|table| table.columns.iter().all(|column| !column.comment.is_empty())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_an_older_version_gets_the_columns_it_lacks() {
    let root = tempfile::tempdir().unwrap();
    let spec = crate::schema::event_table(EventKind::Click);
    let fields: Vec<_> = spec.schema.fields().iter().filter(|field| field.name() != "position").cloned().collect();
    let old = crate::schema::TableSpec { schema: Arc::new(arrow::datatypes::Schema::new(fields)), ..spec };
    let tables = crate::place::Place::open(&crate::TablesAt::Folder, root.path()).unwrap();
    let click = |id: &str, position| event(id, 7, at(0), Body::Click { url: None, machine: false, user_agent: None, position });
    let table = crate::delta::Table::open(&tables, old, &[]).await.unwrap();
    super::care::add_file(&table, "old", &[click("a", None)]).await;
    assert!(table.state().schema.field_with_name("position").is_err());
    drop(table);
    let lake = Lake::open(config(root.path())).await.unwrap();
    lake.append(vec![click("b", None), click("c", Some(2)), click("a", Some(1))]).await.unwrap();
    let query = "SELECT event_id, position, event_date FROM clicks ORDER BY event_id";
    let expect = "event_id,position,event_date\na,,2026-01-01\nb,,2026-01-01\nc,2,2026-01-01\n";
    assert_eq!(ask(&lake, query, SqlFormat::Csv).await.unwrap(), expect);
    lake.land().await.unwrap();
    assert_eq!(ask(&lake, query, SqlFormat::Csv).await.unwrap(), expect);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_told_twice_is_kept_once() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    let (a, b) = (order("a", 1, at(0), 100), order("b", 1, at(1), 100));
    let appended = lake.append(vec![a.clone(), b.clone(), a.clone()]).await.unwrap();
    assert_eq!(appended, Appended { accepted: 2, duplicates: vec![2] });
    let appended = lake.append(vec![b.clone()]).await.unwrap();
    assert_eq!(appended, Appended { accepted: 0, duplicates: vec![0] });
    assert!(lake.knows(&a.id).unwrap() && !lake.knows(&EventId::new("c").unwrap()).unwrap());

    // From the log, from the tables, and from both after another restart.
    drop(lake);
    let lake = Lake::open(config(root.path())).await.unwrap();
    assert_eq!((lake.unlanded(), lake.append(vec![a.clone()]).await.unwrap().accepted), (2, 0));
    lake.land().await.unwrap();
    assert_eq!(lake.append(vec![a.clone()]).await.unwrap().accepted, 0);
    drop(lake);
    let lake = Lake::open(config(root.path())).await.unwrap();
    assert_eq!((lake.unlanded(), lake.append(vec![b, a]).await.unwrap().accepted), (0, 0));
    lake.append(vec![order("c", 1, at(2), 5)]).await.unwrap();
    lake.land().await.unwrap();
    assert_eq!(counts(&lake).await[5], (3, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_callers_share_events_fairly() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    let tell = |caller: usize| {
        let lake = lake.clone();
        // Every caller tells the same 200 events, in another order.
        let events = (0..200).map(|n| order(&format!("e{}", (n * 7 + caller * 31) % 200), 1, at(0), 1)).collect();
        tokio::spawn(async move { lake.append(events).await.unwrap().accepted })
    };
    let callers: Vec<_> = (0..16).map(tell).collect();
    let mut accepted = 0;
    for caller in callers {
        accepted += caller.await.unwrap();
    }
    assert_eq!((accepted, lake.unlanded()), (200, 200));
    assert_eq!(lake.land().await.unwrap().events, 200);
    assert_eq!(counts(&lake).await[5], (200, 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_tail_is_cut_at_opening() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    lake.append(vec![order("a", 1, at(0), 1)]).await.unwrap();
    drop(lake);
    let segment = fs::read_dir(root.path().join("log")).unwrap().next().unwrap().unwrap().path();
    let whole = fs::metadata(&segment).unwrap().len();
    for torn in [&b"\x40"[..], &[0; 100], &b"\x40\0\0\0\xff\xff\xff\xffhalf a frame"[..]] {
        fs::File::options().append(true).open(&segment).unwrap().write_all(torn).unwrap();
        let lake = Lake::open(config(root.path())).await.unwrap();
        assert_eq!((lake.unlanded(), fs::metadata(&segment).unwrap().len()), (1, whole));
        drop(lake);
    }
    let lake = Lake::open(config(root.path())).await.unwrap();
    lake.append(vec![order("b", 1, at(0), 1)]).await.unwrap();
    lake.land().await.unwrap();
    assert_eq!(counts(&lake).await[5], (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_before_the_tail_is_told() {
    let root = tempfile::tempdir().unwrap();
    for id in ["a", "b"] {
        let lake = Lake::open(config(root.path())).await.unwrap();
        lake.append(vec![order(id, 1, at(0), 1)]).await.unwrap();
    }
    let mut segments: Vec<_> = fs::read_dir(root.path().join("log")).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    assert_eq!(segments.len(), 2);
    let mut bytes = fs::read(&segments[0]).unwrap();
    bytes[20] ^= 1;
    fs::write(&segments[0], bytes).unwrap();
    let error = Lake::open(config(root.path())).await.err().unwrap();
    assert!(matches!(&error, LakeError::LogDamaged { path, offset: 0, .. } if *path == segments[0]), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_at_a_time() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    let error = Lake::open(config(root.path())).await.err().unwrap().to_string();
    assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    assert!(error.contains(&root.path().display().to_string()), "{error}");
    drop(lake);
    Lake::open(config(root.path())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_refuses_is_told_and_forgotten() {
    for point in [Point::LogWritten, Point::LogSynced] {
        let root = tempfile::tempdir().unwrap();
        let full = |_| LakeError::file("sync", Path::new("log"))(std::io::Error::other("no space left"));
        let lake = Lake::open_with_faults(config(root.path()), FailAt::new(point, 1, full)).await.unwrap();
        lake.append(vec![order("a", 1, at(0), 1)]).await.unwrap();
        let (b, c) = (order("b", 1, at(0), 1), order("c", 1, at(0), 1));
        let error = lake.append(vec![b.clone(), order("a", 1, at(0), 1)]).await.unwrap_err();
        assert!(matches!(&error, LakeError::NotDurable { why } if why.contains("no space left")), "{error}");
        assert!(!lake.knows(&b.id).unwrap());
        assert_eq!(lake.unlanded(), 1);
        // Told again it is new, and what failed before left nothing behind.
        assert_eq!(lake.append(vec![b, c]).await.unwrap().accepted, 2);
        drop(lake);
        let lake = Lake::open(config(root.path())).await.unwrap();
        assert_eq!(lake.land().await.unwrap().events, 3);
        assert_eq!(counts(&lake).await[5], (3, 3));
    }
}

/// A process that ends before its checkpoint is whole must not leave ever more commits to read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missed_checkpoint_is_written_at_opening() {
    const COMMITS: i64 = crate::delta::COMMITS_PER_CHECKPOINT + 3;
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    for number in 0..COMMITS {
        lake.append(vec![order(&format!("o{number}"), 1, at(number), 1)]).await.unwrap();
        lake.land().await.unwrap();
    }
    drop(lake);
    let log = root.path().join("tables/orders/_delta_log");
    let checkpoints = || {
        let names = std::fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains("checkpoint")).collect::<Vec<_>>()
    };
    assert_eq!(checkpoints().len(), 2, "{:?}", checkpoints());
    checkpoints().iter().for_each(|name| std::fs::remove_file(log.join(name)).unwrap());
    let lake = Lake::open(config(root.path())).await.unwrap();
    let name = format!("{COMMITS:020}.checkpoint.parquet");
    assert!(checkpoints().contains(&name) && checkpoints().contains(&"_last_checkpoint".to_owned()), "{:?}", checkpoints());
    drop(lake);
    std::fs::remove_file(log.join(format!("{:020}.json", 1))).unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    assert_eq!(ask(&lake, "SELECT count(*) AS n FROM orders", SqlFormat::Csv).await.unwrap(), format!("n\n{COMMITS}\n"));
}
