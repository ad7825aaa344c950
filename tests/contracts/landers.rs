//! Two processes that land from one log. The second has its own tables in memory and its own connections, so that it may as
//! well be in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lake::faults::{Faults, Point};
use lake::{Lake, LakeConfig, LakeError, LogLander};
use vocabulary::{Currency, Rates};

use super::{HOUR, Place, ask, at, click, counts, landed, order, three};

fn segments(place: &Place) -> usize {
    std::fs::read_dir(place.folder.path().join("log")).unwrap().count()
}

/// Stops before anything is landed, so that the segment that is open now is sealed and stays.
struct OnlySeal;

impl Faults for OnlySeal {
    fn reached(&self, point: Point) -> Result<(), LakeError> {
        if point == Point::Sealed { Err(LakeError::Stopped(point)) } else { Ok(()) }
    }
}

/// Leaves a log of two segments, each with three events: `first` and `second`.
async fn two_segments(place: &Place) {
    for prefix in ["first", "second"] {
        let lake = Lake::open_with_faults(place.config(), Arc::new(OnlySeal)).await.unwrap();
        lake.append(three(prefix)).await.unwrap();
        lake.land().await.unwrap_err();
    }
    assert_eq!(segments(place), 2);
}

/// Does something the first time that files are written and not yet committed.
struct Meanwhile<F> {
    work: F,
    done: AtomicBool,
}

impl<F: Fn() + Send + Sync + 'static> Meanwhile<F> {
    fn new(work: F) -> Arc<Self> {
        Arc::new(Self { work, done: AtomicBool::new(false) })
    }
}

impl<F: Fn() + Send + Sync + 'static> Faults for Meanwhile<F> {
    fn reached(&self, point: Point) -> Result<(), LakeError> {
        if point == Point::FilesWritten && !self.done.swap(true, Ordering::Relaxed) {
            (self.work)();
        }
        Ok(())
    }
}

/// Lands from the log to the end, as another process would: on a thread and a runtime of its own.
fn land_elsewhere(config: LakeConfig) {
    let land = move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async { LogLander::open(config).await.unwrap().land().await.unwrap() })
    };
    assert!(std::thread::spawn(land).join().unwrap().commits > 0, "the other lander was first");
}

pub(super) async fn a_second_lander_leaves_the_newest_segment_and_deletes_nothing(place: &Place) {
    let lake = Lake::open(place.config()).await.unwrap();
    drop(lake);
    let mut lander = LogLander::open(place.config()).await.unwrap();
    assert_eq!(lander.land().await.unwrap().events, 0, "there is no log");
    two_segments(place).await;
    assert_eq!(lander.land().await.unwrap().events, 3, "the newest segment may be written to");
    assert_eq!(segments(place), 2);
    assert_eq!(landed(place).await, (3, 3));
    assert_eq!(lander.land().await.unwrap().events, 0);
    // The server has nothing to write for the first, and deletes it.
    let lake = Lake::open(place.config()).await.unwrap();
    assert_eq!((lake.unlanded(), counts(&lake).await), (3, (6, 6)));
    assert_eq!(lake.land().await.unwrap().commits, 3);
    assert_eq!(segments(place), 0);
    assert_eq!(lake.append(three("first")).await.unwrap().accepted, 0, "its ids are known");
    assert_eq!(landed(place).await, (6, 6));
}

/// The server has written its files when the other lander commits a part of what they hold.
pub(super) async fn a_slower_server_survives_a_faster_lander(place: &Place) {
    two_segments(place).await;
    let config = place.config();
    let faults = Meanwhile::new(move || land_elsewhere(config.clone()));
    let lake = Lake::open_with_faults(place.config(), faults.clone()).await.unwrap();
    lake.land().await.unwrap();
    assert!(faults.done.load(Ordering::Relaxed));
    assert_eq!((lake.unlanded(), counts(&lake).await), (0, (6, 6)));
    drop(lake);
    assert_eq!(landed(place).await, (6, 6));
}

/// The other lander has written its files when the server commits the very same ones. It must not delete them as its own.
pub(super) async fn a_slower_lander_survives_a_faster_server(place: &Place) {
    two_segments(place).await;
    let lake = Lake::open(place.config()).await.unwrap();
    let (server, handle) = (lake.clone(), tokio::runtime::Handle::current());
    let faults = Meanwhile::new(move || {
        let (server, handle) = (server.clone(), handle.clone());
        std::thread::spawn(move || handle.block_on(server.land()).unwrap()).join().unwrap();
    });
    let mut lander = LogLander::open_with_faults(place.config(), faults.clone()).await.unwrap();
    lander.land().await.unwrap();
    assert!(faults.done.load(Ordering::Relaxed));
    assert_eq!((lake.unlanded(), counts(&lake).await), (0, (6, 6)));
    lake.append(three("third")).await.unwrap();
    lake.land().await.unwrap();
    drop(lake);
    assert_eq!(landed(place).await, (9, 9));
}

pub(super) async fn two_landers_at_once_lose_and_double_nothing(place: &Place) {
    const ROUNDS: u64 = 30;
    let lake = Lake::open(place.config()).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (other, stopped) = (place.config(), stop.clone());
    let second = tokio::spawn(async move {
        let mut lander = LogLander::open(other).await.unwrap();
        let mut commits = 0;
        while !stopped.load(Ordering::Relaxed) {
            commits += lander.land().await.unwrap().commits;
            tokio::task::yield_now().await;
        }
        commits
    });
    let mut first = 0;
    for round in 0..ROUNDS {
        let events = (0..10).flat_map(|n| three(&format!("{round}-{n}"))).collect();
        assert_eq!(lake.append(events).await.unwrap().accepted, 30);
        // What is acknowledged is seen, whoever lands it when.
        assert_eq!(counts(&lake).await, (30 * (round + 1), 30 * (round + 1)));
        first += lake.land().await.unwrap().commits;
    }
    stop.store(true, Ordering::Relaxed);
    let second = second.await.unwrap();
    assert!(first + second >= 3, "somebody landed: {first} and {second}");
    assert_eq!((lake.unlanded(), counts(&lake).await), (0, (30 * ROUNDS, 30 * ROUNDS)));
    drop(lake);
    assert_eq!(landed(place).await, (30 * ROUNDS, 30 * ROUNDS));
}

/// Rates differ, so that both make other files of the same segment, which is read whole whoever was first.
pub(super) async fn landers_with_other_rates_never_write_over_each_other(place: &Place) {
    let lake = Lake::open_with_faults(place.config(), Arc::new(OnlySeal)).await.unwrap();
    let dollars = (0..500).map(|n| order(&format!("o{n}"), n + 1, at(26 * HOUR), "USD")).collect();
    lake.append(dollars).await.unwrap();
    lake.land().await.unwrap_err();
    drop(lake);
    let lake = Lake::open_with_faults(place.config(), Arc::new(OnlySeal)).await.unwrap();
    lake.append(vec![click("c", 1, at(0))]).await.unwrap();
    lake.land().await.unwrap_err();
    drop(lake);
    let other = LakeConfig { rates: Rates::new(Currency::new("EUR").unwrap()), ..place.config() };
    let faults = Meanwhile::new(move || land_elsewhere(other.clone()));
    let lake = Lake::open_with_faults(place.config(), faults).await.unwrap();
    lake.land().await.unwrap();
    // The other lander knew no rate and was first.
    let orders = "SELECT count(*), count(DISTINCT event_id), count(amount_base_minor), sum(amount_minor) FROM orders";
    assert_eq!(ask(&lake, orders).await, "500,500,0,625000");
    assert_eq!(counts(&lake).await, (501, 501));
}
