//! Sums that are kept and corrected equal those of all rows, whatever happens to the tables; and past looks can be computed again.

use std::collections::{BTreeMap, BTreeSet};

use experiment::{Cells, Cut};
use vocabulary::Experiment;

use super::observe::{Random, experiment, with_before, world};
use super::*;
use crate::kept::corrected;
use crate::observe::{ASSIGNED, Counted, count};
use crate::{Pins, Recounted};

const ERASURES: u64 = 0;

/// The sums of all rows, in writing.
async fn anew(lake: &Lake, experiment: &Experiment) -> String {
    let cells = count(lake, experiment, &lake.tables.landed(), ASSIGNED, None).await.unwrap();
    String::from_utf8(cells.to_bytes()).unwrap()
}

/// The kept sums, in writing.
fn kept(lake: &Lake) -> String {
    String::from_utf8(lake.kept.of(&experiment().experiment).unwrap().cells.to_bytes()).unwrap()
}

/// Whether kept sums can be brought to the present by what came in.
async fn can_be_corrected(lake: &Lake, experiment: &Experiment) -> bool {
    lake.land().await.unwrap();
    let before = lake.kept.of(&experiment.experiment).unwrap();
    corrected(lake, experiment, &before, &lake.tables.landed()).await.is_ok_and(|cells| cells.is_some())
}

/// Random histories: events in any order, many of them told again; orders that are converted late; people who are erased; files
/// that are merged; and a process that ends in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kept_sums_equal_those_of_all_rows() {
    let mut corrections = 0;
    for seed in 0..6 {
        // With what was before, of a metric to which other experiments' events belong as well.
        let experiment = match seed {
            4 => with_before("spend"),
            5 => with_before("opens of all"),
            _ => experiment(),
        };
        let root = tempfile::tempdir().unwrap();
        let mut lake = Lake::open(config(root.path())).await.unwrap();
        let mut random = Random(seed);
        let mut events = world(seed);
        events.sort_by_key(|event| crate::index::IdHash::of(event.id.as_str()).low());
        for (round, part) in events.chunks(events.len() / 9 + 1).enumerate() {
            let hour = 400 + round as i64 * 30;
            lake.append(part.to_vec()).await.unwrap();
            lake.append(events[..1 + random.below(50) as usize].to_vec()).await.unwrap();
            match random.below(8) {
                0 => {
                    let erased = [contact(1 + random.below(120) as i64), contact(1 + random.below(120) as i64)];
                    lake.erase(&erased, at(hour * HOUR)).await.unwrap();
                }
                1 => {
                    let mut late = Rates::new(currency("EUR"));
                    late.insert(currency("JPY"), jiff::civil::date(2026, 1, 1 + random.below(9) as i8), "150").unwrap();
                    lake.put_rates(&late, at(hour * HOUR)).await.unwrap();
                }
                2 => drop(lake.tidy(at(hour * HOUR), &Pins::new()).await.unwrap()),
                3 => {
                    drop(lake);
                    lake = Lake::open(config(root.path())).await.unwrap();
                }
                _ => corrections += u64::from(round > 0 && can_be_corrected(&lake, &experiment).await),
            }
            let observed = lake.observe(&experiment, at(hour * HOUR)).await.unwrap();
            assert_eq!(kept(&lake), anew(&lake, &experiment).await, "seed {seed}, round {round}");
            assert_eq!(observed.versions, lake.tables.landed().versions());
            assert_eq!(lake.recount(&experiment).await.unwrap(), Recounted::Same);
        }
    }
    assert!(corrections > 8, "only {corrections} times sums were corrected");
}

/// What tells a correction from counting anew: a commit that lands, one that merges, and one that takes rows out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_no_addition_is_counted_anew() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    let experiment = experiment();
    let events = world(1);
    lake.append(events[..events.len() / 2].to_vec()).await.unwrap();
    lake.observe(&experiment, at(500 * HOUR)).await.unwrap();
    assert!(can_be_corrected(&lake, &experiment).await, "nothing is new");
    lake.append(events[events.len() / 2..].to_vec()).await.unwrap();
    assert!(can_be_corrected(&lake, &experiment).await);
    assert!(lake.tidy(at(330 * HOUR), &Pins::new()).await.unwrap().files_merged > 0);
    assert!(can_be_corrected(&lake, &experiment).await, "merges change no row");
    lake.observe(&experiment, at(500 * HOUR)).await.unwrap();
    assert_eq!(kept(&lake), anew(&lake, &experiment).await);

    // Whoever knows what the sums were counted from goes on after a restart; another history of the same numbers is not believed.
    let path = lake.kept.path(&experiment.experiment);
    drop(lake);
    let lake = Lake::open(config(root.path())).await.unwrap();
    assert!(lake.counted().is_empty() && path.exists());
    let read = crate::kept::read(&lake, &experiment).await.expect("the sums were written down");
    assert!(!read.cells.is_empty());
    let text = std::fs::read_to_string(&path).unwrap();
    let [_, head, cells] = text.splitn(3, '\n').collect::<Vec<_>>().try_into().unwrap();
    let mut head: serde_json::Value = serde_json::from_str(head).unwrap();
    for (commit, is_believed) in [(head["commits"]["orders"].clone(), true), ("another".into(), false)] {
        head["commits"]["orders"] = commit;
        let rest = format!("{head}\n{cells}");
        std::fs::write(&path, format!("{}\n{rest}", blake3::hash(rest.as_bytes()).to_hex())).unwrap();
        assert_eq!(crate::kept::read(&lake, &experiment).await.is_some(), is_believed);
    }
    std::fs::write(&path, &text[1..]).unwrap();
    assert!(crate::kept::read(&lake, &experiment).await.is_none(), "the file is damaged");

    lake.observe(&experiment, at(500 * HOUR)).await.unwrap();
    let before = lake.kept.of(&experiment.experiment).unwrap();
    lake.erase(&[contact(3)], at(700 * HOUR)).await.unwrap();
    assert!(lake.counted().is_empty() && !path.exists(), "the sums still counted them");
    lake.kept.keep(&experiment.experiment, &before, ERASURES);
    assert!(lake.counted().is_empty(), "what was counted before an erasure is not kept after it");
    lake.kept.keep(&experiment.experiment, &before, ERASURES + 1);
    assert!(!can_be_corrected(&lake, &experiment).await);
    lake.observe(&experiment, at(500 * HOUR)).await.unwrap();
    assert_eq!(kept(&lake), anew(&lake, &experiment).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recount_finds_wrong_sums_and_puts_them_right() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    let experiment = experiment();
    lake.append(world(2)).await.unwrap();
    lake.observe(&experiment, at(500 * HOUR)).await.unwrap();
    assert_eq!(lake.counted(), std::slice::from_ref(&experiment.experiment));
    let wrong = Counted { snapshot: lake.tables.landed(), cells: Arc::new(Cells::new(&experiment, 100)) };
    lake.kept.keep(&experiment.experiment, &Arc::new(wrong), ERASURES);
    assert!(lake.observe(&experiment, at(500 * HOUR)).await.unwrap().arms[0].assigned == 0);
    assert_eq!(lake.recount(&experiment).await.unwrap(), Recounted::Different);
    assert_eq!(kept(&lake), anew(&lake, &experiment).await);
    assert_eq!(lake.recount(&experiment).await.unwrap(), Recounted::Same);
    assert!(lake.observe(&experiment, at(500 * HOUR)).await.unwrap().arms[0].assigned > 0);
}

/// Other metrics are other sums.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_experiment_is_counted_anew() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    let mut experiment = experiment();
    lake.append(world(3)).await.unwrap();
    let before = lake.observe(&experiment, at(500 * HOUR)).await.unwrap();
    experiment.metrics.truncate(3);
    experiment.primary = "opened".into();
    experiment.window_hours = 24;
    let after = lake.observe(&experiment, at(500 * HOUR)).await.unwrap();
    assert_eq!(after.arms[0].metrics.len(), 3);
    assert!(after.arms[0].funnel.ordered < before.arms[0].funnel.ordered, "the window is shorter");
    // Ages of the longer window and the whole of the shorter one are the same question.
    let cut = Cut { age_hours: Some(24), ..Cut::default() };
    let aged = lake.observe_cut(&super::observe::experiment(), &cut, at(500 * HOUR)).await.unwrap();
    for (aged, after) in aged.arms.iter().zip(&after.arms) {
        assert_eq!((aged.mature, aged.funnel), (after.mature, after.funnel));
    }
    let german = Cut { market: Some("DE".to_owned()), ..Cut::default() };
    let german = lake.observe_cut(&experiment, &german, at(500 * HOUR)).await.unwrap();
    assert!(0 < german.arms[0].assigned && german.arms[0].assigned < after.arms[0].assigned);
}

/// A look on day 3 counts what was known on day 3. Events that come in later, merged files and forgotten versions do not change it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_look_of_day_3_is_the_same_on_day_14() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    let experiment = experiment();
    // Commits are dated by what they bring, and never before the tables were made: so these lie far ahead.
    let day = |day: i64| "2126-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + jiff::Span::new().hours(24 * day);
    let known_on = |number: i64, mut event: Event| {
        event.received_at = day(number);
        event
    };
    let mut events = Vec::new();
    for key in 1..=60 {
        let mut assignment = event(&format!("a{key}"), key, day(0), Body::Assignment { planned_at: None, propensity: None });
        assignment.context.experiment_id = Some(experiment.experiment.clone());
        let variant = if key % 2 == 0 { "A" } else { "B" };
        assignment.context.variant = Some(vocabulary::VariantName::new(variant).unwrap());
        events.push(assignment);
        if key % 3 == 0 {
            events.push(known_on(1, order(&format!("o{key}"), key, day(1), 100 * key)));
        }
    }
    lake.append(events).await.unwrap();
    let look = lake.observe(&experiment, day(3)).await.unwrap();
    let stored = experiment::readout(&experiment, &look, "look");
    let pins: Pins = stored.versions.iter().map(|(table, version)| (table.clone(), BTreeSet::from([*version]))).collect();

    for number in 4..=14 {
        // Late: within the windows, and told after the look.
        let late = (1..=60).filter(|key| key % 11 == number % 11);
        let late = late.map(|key| known_on(number, order(&format!("late{number}-{key}"), key, day(1), 7)));
        lake.append(late.collect()).await.unwrap();
        lake.land().await.unwrap();
        lake.tidy(day(number), &pins).await.unwrap();
    }
    let now = lake.observe(&experiment, day(3)).await.unwrap();
    assert_ne!(now.arms, look.arms, "what came in late counts now");
    let again = lake.observe_at(&experiment, day(3), &stored.versions).await.unwrap();
    assert_eq!(stored.again(&experiment, again).to_json(), stored.to_json());
    assert_eq!(look.arms[0].mature, 30);

    // A look that nobody pinned is gone, and an erasure takes the pinned one too.
    let orders: BTreeMap<String, i64> = BTreeMap::from([("orders".to_owned(), stored.versions["orders"] + 1)]);
    assert!(matches!(lake.observe_at(&experiment, day(3), &orders).await, Err(LakeError::NoVersion(_))));
    lake.erase(&[contact(6)], day(14)).await.unwrap();
    let gone = lake.observe_at(&experiment, day(3), &stored.versions).await.unwrap_err();
    assert!(matches!(&gone, LakeError::NoVersion(why) if why.contains("no longer kept")), "{gone:?}");
}
