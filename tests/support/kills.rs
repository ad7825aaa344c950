//! Kills the real server, and the second lander if there is one, at seeded random moments under load, with full disks and
//! torn writes in between, and checks that every acknowledged event is there once and that no reader saw a part of a request.
//!
//! A request tells some clicks that carry its name and their number in their address, so that a reader can tell a part of a
//! request from all of it, and nobody needs to remember what was in it.

mod disk;
mod feed;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sendlab::Client;
use tokio::sync::watch;

use self::feed::{FEEDS, Feeds};
use super::{Process, landed, sendlab, sql, sql_number, started, try_sql, workspace};

/// Events gather no longer than this before they are landed, so that landings are under way at many of the kills.
const LAND_AFTER_MS: &str = "50";
/// A server is killed so many milliseconds after it listens.
const LIFE_MS: std::ops::Range<u64> = 20..500;
/// A full disk refuses within this time, or everything was written before.
const FULL_MS: u64 = 300;
const READERS: usize = 2;
/// Readers look at what was told since so many kills: asking for everything would take longer from kill to kill.
const POLLED_KILLS: u64 = 2;

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) kills: u64,
    /// The server alone, or with a `sendlab lake land --follow` beside it.
    pub(crate) landers: usize,
    pub(crate) seed: u64,
}

/// What was done.
#[derive(Debug, Default, Clone)]
pub(crate) struct Outcome {
    pub(crate) server_kills: u64,
    pub(crate) lander_kills: u64,
    /// Disks that were full, and how many of them refused a write.
    pub(crate) full_disks: (u64, u64),
    /// Ends of the log that were cut or garbled.
    pub(crate) torn_writes: u64,
    pub(crate) requests: u64,
    pub(crate) events: u64,
    /// Requests sent again after they were acknowledged.
    pub(crate) repeated: u64,
    pub(crate) polls: u64,
    /// Commits to the table of clicks.
    pub(crate) commits: i64,
}

/// The processes under test.
struct World {
    data: PathBuf,
    server: Option<Process>,
    client: Option<Client>,
    lander: Option<Process>,
    doors: watch::Sender<Option<Client>>,
    outcome: Outcome,
}

/// Does it. Panics where a promise is broken.
pub(crate) async fn run(plan: Plan) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let kills = Arc::new(AtomicU64::new(0));
    let data = folder.path().join("data");
    let doors = watch::Sender::new(None);
    let mut world = World { data, server: None, client: None, lander: None, doors, outcome: Outcome::default() };
    let feeds = Feeds::start(plan.seed, &world.doors, &kills);
    let polls = Arc::new(AtomicU64::new(0));
    let read = |_| tokio::spawn(read(world.doors.subscribe(), kills.clone(), polls.clone()));
    let readers: Vec<_> = (0..READERS).map(read).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
    world.start(plan.landers).await;
    while kills.load(Ordering::Relaxed) < plan.kills {
        world.kill_once(plan.landers, &feeds, &mut rng).await;
        kills.fetch_add(1, Ordering::Relaxed);
        for reader in &readers {
            assert!(!reader.is_finished(), "a reader saw a part of a request; seed {}", plan.seed);
        }
    }
    world.doors.send_replace(None);
    feeds.parked().await;
    world.check(&feeds, plan).await;
    readers.iter().for_each(tokio::task::JoinHandle::abort);
    Outcome { polls: polls.load(Ordering::Relaxed), ..world.outcome }
}

impl World {
    /// Starts what does not run.
    async fn start(&mut self, landers: usize) {
        if self.server.is_none() {
            let (server, client) = started(&mut self.server_command(), &self.data).await;
            self.server = Some(server);
            self.client = Some(client.clone());
            self.doors.send_replace(Some(client));
        }
        if landers > 1 && self.lander.is_none() {
            let mut command = sendlab(&self.data);
            self.lander = Some(Process::start(command.args(["lake", "land", "--follow"]).stderr(Stdio::null())));
        }
    }

    /// The server, which a full disk does not kill but tells.
    fn server_command(&self) -> Command {
        let plain = sendlab(&self.data);
        let mut command = Command::new("sh");
        command.args(["-c", r#"trap "" XFSZ; exec "$@""#, "sh"]).arg(plain.get_program()).args(plain.get_args());
        command.args(["serve", "--listen", "127.0.0.1:0", "--land-after-ms", LAND_AFTER_MS]);
        command.env_clear().env("HOME", &self.data).env("PATH", "/usr/bin:/bin").current_dir(workspace());
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Waits for a random moment, breaks something, and starts it again.
    async fn kill_once(&mut self, landers: usize, feeds: &Feeds, rng: &mut ChaCha8Rng) {
        tokio::time::sleep(Duration::from_millis(rng.random_range(LIFE_MS))).await;
        if landers > 1 && rng.random_ratio(2, 5) {
            self.outcome.lander_kills += 1;
            self.lander.take().expect("it runs").kill();
            return self.start(landers).await;
        }
        let server = self.server.take().expect("it runs");
        if rng.random_ratio(1, 5) {
            self.outcome.full_disks.0 += 1;
            let refused = self.fill_disk(&server, feeds, rng).await;
            self.outcome.full_disks.1 += u64::from(refused);
        }
        server.kill();
        self.outcome.server_kills += 1;
        // Answers that were sent before the kill may be read after it: only then is known what was acknowledged.
        self.doors.send_replace(None);
        feeds.parked().await;
        if rng.random_ratio(1, 4) && disk::tear(&self.data.join("lake/log"), &feeds.newest_acknowledged(), rng) {
            self.outcome.torn_writes += 1;
        }
        self.start(landers).await;
    }

    /// Lets the server write only a little more to its log, and every other time lets it recover. Says whether it refused
    /// requests.
    async fn fill_disk(&self, server: &Process, feeds: &Feeds, rng: &mut ChaCha8Rng) -> bool {
        let before = feeds.refused();
        let left = rng.random_range(0..8_192);
        disk::limit(server.0.id(), Some(disk::newest_bytes(&self.data.join("lake/log")) + left));
        for _ in 0..FULL_MS / 20 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if feeds.refused() > before {
                break;
            }
        }
        let refused = feeds.refused() > before;
        if rng.random_ratio(1, 2) {
            disk::limit(server.0.id(), None);
            tokio::time::sleep(Duration::from_millis(rng.random_range(LIFE_MS))).await;
        }
        refused
    }

    /// Everything acknowledged is there once, and nothing that was not told.
    async fn check(&mut self, feeds: &Feeds, plan: Plan) {
        feeds.stop();
        self.start(1).await;
        let client = self.client.clone().expect("the server runs");
        landed(&client).await;
        let acknowledged = feeds.acknowledged();
        let (mut stored, mut requests) = (0, 0);
        for (feed, count) in acknowledged.iter().enumerate() {
            let query = format!(
                "SELECT url, count(*) AS n, count(DISTINCT event_id) AS ids FROM clicks WHERE url LIKE '{}' GROUP BY url ORDER BY url",
                feed::url_pattern(feed)
            );
            let rows = sql(&client, &query).await;
            let mut seen = vec![false; *count as usize];
            for row in &rows {
                let url = row["url"].as_str().unwrap();
                let (request, size) = feed::request_of(url);
                assert_eq!((row["n"].as_u64(), row["ids"].as_u64()), (Some(size), Some(size)), "{url} {plan:?}");
                // The last request of a feed may have been stored and not answered.
                assert!(request <= *count, "{url} was never told");
                if let Some(seen) = seen.get_mut(request as usize) {
                    *seen = true;
                }
                stored += size;
            }
            let lost: Vec<usize> = (0..seen.len()).filter(|at| !seen[*at]).collect();
            assert!(lost.is_empty(), "acknowledged and lost, feed {feed}: {lost:?} {plan:?}");
            requests += count;
        }
        let orders: u64 = acknowledged.iter().map(|count| count / 2).sum();
        let count = async |what: &str| sql_number(&client, &format!("SELECT count({what}) FROM orders")).await.cast_unsigned();
        let [rows, distinct] = [count("*").await, count("DISTINCT event_id").await];
        assert!(rows == distinct && (orders..=orders + FEEDS as u64).contains(&rows), "{rows} orders, {distinct}, told {orders}");
        let total = "SELECT count(*) FROM clicks";
        assert_eq!(sql_number(&client, total).await.cast_unsigned(), stored);
        self.outcome.commits = commits(&client).await;
        self.server.take().expect("it runs").kill();
        drop(self.lander.take());
        super::run(super::sendlab(&self.data).args(["lake", "check", "--deep"]));
        assert_eq!(read_tables(&self.data.join("lake")).await, (stored, stored), "the tables by themselves");
        self.outcome.requests = requests;
        self.outcome.events = stored;
        self.outcome.repeated = feeds.repeated();
        assert!(requests > plan.kills * FEEDS as u64, "the feeds were at work: {requests} requests");
    }
}

/// Looks for parts of requests until it is stopped.
async fn read(mut doors: watch::Receiver<Option<Client>>, kills: Arc<AtomicU64>, polls: Arc<AtomicU64>) {
    loop {
        let client = doors.borrow_and_update().clone();
        let Some(client) = client else {
            if doors.changed().await.is_err() {
                return;
            }
            continue;
        };
        let since = feed::time_of(kills.load(Ordering::Relaxed).saturating_sub(POLLED_KILLS));
        let query = format!(
            "SELECT url, count(*) AS n FROM clicks WHERE event_time >= '{since}' GROUP BY url \
             HAVING count(*) <> max(CAST(split_part(url, '=', 2) AS BIGINT))"
        );
        // A server that was killed does not answer.
        if let Ok(parts) = try_sql(&client, &query).await {
            assert!(parts.is_empty(), "a reader saw parts of requests: {parts:?}");
            polls.fetch_add(1, Ordering::Relaxed);
        } else {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn commits(client: &Client) -> i64 {
    let tables = client.get("/v1/tables").await.unwrap();
    let clicks = tables.as_array().and_then(|tables| tables.iter().find(|table| table["name"] == "clicks"));
    clicks.and_then(|table| table["version"].as_i64()).unwrap_or_default()
}

/// How many clicks the Delta table has, and how many different ones, for a process that knows nothing but the tables.
async fn read_tables(lake: &Path) -> (u64, u64) {
    use futures::TryStreamExt as _;
    let other = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(lake.join("tables"), other.path().join("tables")).unwrap();
    let rates = vocabulary::Rates::new(vocabulary::Currency::new("USD").unwrap());
    let lake = lake::Lake::open(lake::LakeConfig::new(other.path().to_owned(), rates)).await.unwrap();
    let query = "SELECT count(*), count(DISTINCT event_id) FROM clicks";
    let answer = lake.sql(query, lake::SqlFormat::Csv, &lake::SqlOptions::default()).await.unwrap();
    let parts: Vec<_> = answer.body.try_collect().await.unwrap();
    let text = String::from_utf8(parts.concat()).unwrap();
    let (rows, ids) = text.lines().nth(1).and_then(|row| row.split_once(',')).unwrap();
    (rows.parse().unwrap(), ids.parse().unwrap())
}
