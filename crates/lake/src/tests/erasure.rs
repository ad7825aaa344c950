//! Erasing people: their rows go from every file, what is left stays as it was.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;

use super::*;

/// The contacts of every data file below a folder, whether a version names it or not.
fn contacts_below(folder: &Path) -> Vec<i64> {
    let mut contacts = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("_delta_log") {
            contacts.extend(contacts_below(&path));
        } else if path.extension().is_some_and(|ending| ending == "parquet") {
            for batch in crate::rewrite::read(std::fs::read(path).unwrap().into()).unwrap() {
                let batch = batch.unwrap();
                contacts.extend(batch.column_by_name("contact_key").unwrap().as_primitive::<Int64Type>().values());
            }
        }
    }
    contacts
}

fn assigned(id: &str, key: i64, experiment: &str) -> Event {
    let mut event = event(id, key, at(0), Body::Assignment { planned_at: None, propensity: Some(0.5) });
    event.context.experiment_id = Some(vocabulary::ExperimentId::new(experiment).unwrap());
    event
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_the_erased_go_from_every_file() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    // Three landings of 40 contacts, and a fourth that is in the log only.
    for round in 0..4 {
        let events = (1..=40).flat_map(|key| {
            [
                order(&format!("secret-{key}-{round}"), key, at(round * 48 * HOUR), 100),
                assigned(&format!("a-{key}-{round}"), key, "spring"),
            ]
        });
        lake.append(events.collect()).await.unwrap();
        if round < 3 {
            lake.land().await.unwrap();
        }
    }
    let versions_before = lake.tables().await.unwrap();
    let erased: Vec<ContactKey> = (1..=7).map(contact).collect();
    let certificate = lake.erase(&erased, at(1000 * HOUR)).await.unwrap();
    assert_eq!((certificate.contacts, certificate.rows["orders"], certificate.rows["assignments"]), (7, 28, 28));
    assert_eq!(certificate.rows["clicks"], 0);
    assert_eq!(certificate.units, BTreeMap::from([("spring".to_owned(), 7)]));
    assert!(certificate.files_deleted >= certificate.files_rewritten && certificate.files_rewritten > 0);

    let left =
        ask(&lake, "SELECT count(*) AS n, count(DISTINCT contact_key) AS k, min(contact_key) AS low FROM orders", SqlFormat::Csv);
    assert_eq!(left.await.unwrap(), "n,k,low\n132,33,8\n");
    // No file that is still there, in a table or not, has a row of theirs.
    let folder = root.path().join("tables/orders");
    assert!(contacts_below(&folder).iter().all(|key| *key > 7) && !contacts_below(&folder).is_empty());
    assert_eq!(std::fs::read_dir(root.path().join("log")).unwrap().count(), 0);
    // The versions that had them cannot be read any more.
    let old = versions_before.iter().find(|table| table.name == "orders").unwrap().version.unwrap();
    let options = crate::AsOf::Versions([("orders".to_owned(), old)].into());
    assert!(lake.tables.as_of(&options, &lake.tail).await.is_err());

    // A second time there is nothing to do, and after a restart everything is as it was.
    let again = lake.erase(&erased, at(1001 * HOUR)).await.unwrap();
    assert_eq!((again.rows.values().sum::<u64>(), again.files_rewritten), (0, 0));
    drop(lake);
    let lake = Lake::open(config(root.path())).await.unwrap();
    assert_eq!(counts(&lake).await[5], (132, 132));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merging_and_forgetting_change_no_answer() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    for round in 0..40 {
        let events =
            (1..=20).map(|key| assigned(&format!("a-{key}-{round}"), key, if key % 2 == 0 { "spring" } else { "autumn" }));
        lake.append(events.collect()).await.unwrap();
        lake.land().await.unwrap();
    }
    let ask_all = "SELECT event_id, contact_key, experiment_id FROM assignments ORDER BY event_id";
    let before = ask(&lake, ask_all, SqlFormat::Csv).await.unwrap();
    let pinned = BTreeMap::from([("assignments".to_owned(), [20].into())]);
    // The day is over for a while: its files become one, in the order of the layout.
    let tidied = lake.tidy(at(10 * 24 * HOUR), &pinned).await.unwrap();
    assert!(tidied.files_merged >= 40 && tidied.files_written >= 1, "{tidied:?}");
    assert_eq!(ask(&lake, ask_all, SqlFormat::Csv).await.unwrap(), before);
    let state = lake.tables.events[0].state();
    assert_eq!(state.files.len(), 1);
    // Ten days later what is neither new nor pinned is forgotten.
    let tidied = lake.tidy(at(30 * 24 * HOUR), &pinned).await.unwrap();
    assert!(tidied.files_deleted >= 19 && tidied.commits_forgotten > 0, "{tidied:?}");
    assert_eq!(ask(&lake, ask_all, SqlFormat::Csv).await.unwrap(), before);
    let at_version = |version| crate::AsOf::Versions([("assignments".to_owned(), version)].into());
    let pinned = lake.tables.as_of(&at_version(20), &lake.tail).await.unwrap();
    assert_eq!(pinned.0["assignments"].provider.rows(), 400);
    assert!(lake.tables.as_of(&at_version(19), &lake.tail).await.is_err());
    drop(lake);
    let lake = Lake::open(config(root.path())).await.unwrap();
    assert_eq!(ask(&lake, ask_all, SqlFormat::Csv).await.unwrap(), before);
}

/// A landing that commits while older versions are forgotten keeps its files, its commit and the way to read it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_landed_while_versions_are_forgotten_stays() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    for round in 0..3 {
        lake.append(vec![assigned(&format!("before-{round}"), round + 1, "spring")]).await.unwrap();
        lake.land().await.unwrap();
    }
    let table = &lake.tables.events[0];
    let seen = table.state();
    lake.append(vec![assigned("meanwhile", 9, "spring")]).await.unwrap();
    lake.land().await.unwrap();
    assert!(table.state().version > seen.version);
    table.forget_before(&seen, at(1000 * HOUR), &std::collections::BTreeSet::new()).await.unwrap();
    assert_eq!(counts(&lake).await[0], (4, 4));
    drop(lake);
    let lake = Lake::open(config(root.path())).await.unwrap();
    assert_eq!(counts(&lake).await[0], (4, 4));
}

/// Whole days leave when they are over their time, from one table only, and their files with the last version that has them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_kept_as_long_as_told() {
    const DAY: i64 = 24 * HOUR;
    let root = tempfile::tempdir().unwrap();
    let retention = ["orders=400".parse().unwrap(), "orders=40".parse().unwrap()].to_vec();
    let lake = Lake::open(crate::LakeConfig { retention, ..config(root.path()) }).await.unwrap();
    for day in 0..4 {
        lake.append(vec![order(&format!("o-{day}"), 1, at(day * DAY), 100), assigned(&format!("a-{day}"), 1, "spring")])
            .await
            .unwrap();
        lake.land().await.unwrap();
    }
    let pins = crate::Pins::new();
    assert_eq!(lake.tidy(at(40 * DAY), &pins).await.unwrap().rows_expired, 0, "the day itself is not counted");
    assert_eq!(lake.tidy(at(42 * DAY), &pins).await.unwrap().rows_expired, 2);
    let left = "SELECT event_id FROM orders ORDER BY event_id";
    assert_eq!(ask(&lake, left, SqlFormat::Csv).await.unwrap(), "event_id\no-2\no-3\n");
    assert_eq!(counts(&lake).await[0], (4, 4), "assignments have no rule");
    let files = || contacts_below(&root.path().join("tables/orders")).len();
    assert!(files() >= 4, "they are there for a week");
    assert_eq!(lake.tidy(at(50 * DAY), &pins).await.unwrap().rows_expired, 2);
    assert_eq!(files(), 2, "no version of the last week needs the first two");
    lake.tidy(at(58 * DAY), &pins).await.unwrap();
    assert_eq!(files(), 0);
}

#[test]
fn rules_of_retention_say_what_is_wrong_with_them() {
    let why = |text: &str| text.parse::<crate::Retention>().unwrap_err();
    assert_eq!("opens=400".parse(), Ok(crate::Retention { kind: EventKind::Open, days: 400 }));
    assert!(why("opens").contains("TABLE=DAYS") && why("opans=40").contains("orders") && why("opens=x").contains("opens=400"));
    assert!(why("opens=34").contains("at least 35"));
}
