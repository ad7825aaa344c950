//! Connections that tell events without end. A request that was not answered is told again as it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sendlab::Client;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::support::until;

/// Requests at the same time.
pub(super) const FEEDS: usize = 4;
/// A request has up to so many clicks.
const CLICKS_MAX: u64 = 12;
/// Who is refused tells it again after this pause.
const PAUSE: Duration = Duration::from_millis(5);
const URL: &str = "https://shop.example/f";

/// What is known of one connection.
#[derive(Default)]
struct State {
    /// Requests 0 to this, without it, are acknowledged.
    acknowledged: AtomicU64,
    refused: AtomicU64,
    repeated: AtomicU64,
    /// Nothing is under way and nothing will be while there is no door.
    parked: AtomicBool,
}

pub(super) struct Feeds {
    states: Vec<Arc<State>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Feeds {
    pub(super) fn start(seed: u64, doors: &watch::Sender<Option<Client>>, kills: &Arc<AtomicU64>) -> Self {
        let states: Vec<Arc<State>> = (0..FEEDS).map(|_| Arc::default()).collect();
        let tell = |(feed, state): (usize, &Arc<State>)| {
            let rng = ChaCha8Rng::seed_from_u64(seed.wrapping_add(feed as u64));
            let feed = Feed { feed, state: state.clone(), doors: doors.subscribe(), kills: kills.clone() };
            tokio::spawn(feed.tell(rng))
        };
        let tasks = states.iter().enumerate().map(tell).collect();
        Self { states, tasks }
    }

    /// Waits until nothing is under way any more.
    pub(super) async fn parked(&self) {
        let parked = || self.states.iter().all(|state| state.parked.load(Ordering::SeqCst));
        until("requests to end", async || (parked() || self.ended()).then_some(())).await;
        assert!(!self.ended(), "a feed ended: the server gave a wrong answer");
    }

    pub(super) fn stop(&self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }

    fn ended(&self) -> bool {
        self.tasks.iter().any(JoinHandle::is_finished)
    }

    /// How many requests of each feed are acknowledged: always the first ones.
    pub(super) fn acknowledged(&self) -> Vec<u64> {
        self.sum(|state| &state.acknowledged).collect()
    }

    pub(super) fn refused(&self) -> u64 {
        self.sum(|state| &state.refused).sum()
    }

    pub(super) fn repeated(&self) -> u64 {
        self.sum(|state| &state.repeated).sum()
    }

    fn sum(&self, of: impl Fn(&State) -> &AtomicU64) -> impl Iterator<Item = u64> {
        self.states.iter().map(move |state| of(state).load(Ordering::SeqCst))
    }

    /// With what the ids of each feed's newest acknowledged request begin.
    pub(super) fn newest_acknowledged(&self) -> Vec<String> {
        let newest = |(feed, count): (usize, u64)| Some(format!("f{feed}-{}-", count.checked_sub(1)?));
        self.acknowledged().into_iter().enumerate().filter_map(newest).collect()
    }
}

struct Feed {
    feed: usize,
    state: Arc<State>,
    doors: watch::Receiver<Option<Client>>,
    kills: Arc<AtomicU64>,
}

impl Feed {
    async fn tell(mut self, mut rng: ChaCha8Rng) {
        for request in 0.. {
            let (body, lines) = self.request(request, &mut rng);
            while let Err(()) = self.send(&body, lines, 0).await {
                self.state.refused.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(PAUSE).await;
            }
            self.state.acknowledged.store(request + 1, Ordering::SeqCst);
            if rng.random_ratio(1, 10) && self.send(&body, lines, lines).await.is_ok() {
                self.state.repeated.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    /// Tells it once. At least so many of its lines must be known already.
    async fn send(&mut self, body: &str, lines: u64, known: u64) -> Result<(), ()> {
        let client = self.door().await;
        let Ok(answer) = client.lines("/v1/events", body.as_bytes().to_vec()).await else { return Err(()) };
        let count = |name: &str| answer[name].as_u64().unwrap_or_default();
        assert_eq!(count("accepted") + count("duplicate"), lines, "{answer}");
        assert!(count("duplicate") >= known, "acknowledged and then not known: {answer}");
        Ok(())
    }

    async fn door(&mut self) -> Client {
        loop {
            // In this order: who finds a door here is not taken for parked.
            self.state.parked.store(false, Ordering::SeqCst);
            if let Some(client) = self.doors.borrow_and_update().clone() {
                return client;
            }
            self.state.parked.store(true, Ordering::SeqCst);
            // Without a door there will be none any more: the test is over.
            if self.doors.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// A request's lines, and how many they are. One line may stand in it twice, and some have an order too.
    fn request(&self, request: u64, rng: &mut ChaCha8Rng) -> (String, u64) {
        let feed = self.feed;
        let clicks = rng.random_range(1..=CLICKS_MAX);
        let time = time_of(self.kills.load(Ordering::Relaxed));
        let line = |n: u64| {
            let url = format!("{URL}{feed}-{request}?k={clicks}");
            // Contacts by their keys: those a server does not remember would make it keep the request in two parts, and
            // readers see the first before the request is answered.
            let key = ((request + n) % 50 + 1).to_string();
            json!({ "event_id": format!("f{feed}-{request}-{n}"), "kind": "click", "event_time": time, "contact_key": key, "url": url })
        };
        let mut lines: Vec<_> = (0..clicks).map(line).collect();
        if rng.random_ratio(1, 5) {
            lines.push(line(rng.random_range(0..clicks)));
        }
        if request % 2 == 1 {
            let id = format!("f{feed}-{request}-order");
            lines.push(json!({ "event_id": id, "kind": "order", "event_time": time, "contact_key": "1", "order_id": id, "amount": 5, "currency": "USD" }));
        }
        (lines.iter().map(|line| format!("{line}\n")).collect(), lines.len() as u64)
    }
}

/// When something happened that was told after so many kills: a minute apart, so that readers can ask for the latest.
pub(super) fn time_of(kills: u64) -> String {
    let start: jiff::Timestamp = "2026-01-05T00:00:00Z".parse().expect("a time");
    (start + jiff::SignedDuration::from_mins(kills as i64)).to_string()
}

/// What the addresses of a feed are like, for SQL.
pub(super) fn url_pattern(feed: usize) -> String {
    format!("{URL}{feed}-%")
}

/// The request an address belongs to, and how many clicks it has.
pub(super) fn request_of(url: &str) -> (u64, u64) {
    let (head, clicks) = url.split_once("?k=").expect("addresses say the size of their request");
    let (_, request) = head.rsplit_once('-').expect("addresses say their request");
    (request.parse().expect("a number"), clicks.parse().expect("a number"))
}
