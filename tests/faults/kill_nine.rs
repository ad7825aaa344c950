//! The server is killed twenty times while events come in and messages go out; the mail server takes a random number of
//! mails between two kills, so that sending is under way at each of them. What was acknowledged is in the lake
//! once, nobody gets two messages, and what cannot be known is counted as in doubt.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sendlab::Client;
use serde_json::json;
use simulator::sink::{Sink, SinkConfig};
use tokio::sync::{Semaphore, watch};

use crate::support::sender_kills::{Mailboxes, count_mails, prepare};
use crate::support::{landed, serve, sql, sql_number, until};

const SEED: u64 = 20_261_111;
const KILLS: usize = 20;
const CONTACTS: usize = 6_000;
/// Twenty times this is no more than the contacts, so that there is always somebody left to mail.
const MAILS_BETWEEN_KILLS_MAX: usize = CONTACTS / KILLS;
const FEEDS: usize = 4;
const BATCH: usize = 50;

/// What the world outside the server saw.
#[derive(Default)]
struct Seen {
    /// Event ids for which the server said yes.
    acknowledged: Mutex<HashSet<String>>,
    mailboxes: Arc<Mailboxes>,
    /// How many batches were acknowledged.
    told: AtomicUsize,
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_lose_nothing_and_double_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let seen = Arc::new(Seen::default());
    let (sink, received) = Sink::start(SinkConfig { queue_mails_max: 1, ..SinkConfig::default() }).await.unwrap();
    let gate = Arc::new(Semaphore::new(0));
    tokio::spawn(count_mails(received, gate.clone(), seen.mailboxes.clone()));

    let (mut process, client) = serve(&data, Some(sink.address().port())).await;
    prepare(&client, CONTACTS).await;
    let (door, doors) = watch::channel(client);
    let feeds: Vec<_> = (0..FEEDS).map(|feed| tokio::spawn(feed_events(feed, doors.clone(), seen.clone()))).collect();

    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    for kill in 0..KILLS {
        // Every other kill comes after a number of mails, the others after a number of acknowledged batches.
        let (count, more) =
            if kill % 2 == 0 { (&seen.mailboxes.count, 1..MAILS_BETWEEN_KILLS_MAX) } else { (&seen.told, 1..100) };
        let more = rng.random_range(more);
        let target = count.load(Ordering::Relaxed) + more;
        gate.add_permits(if kill % 2 == 0 { more } else { rng.random_range(1..MAILS_BETWEEN_KILLS_MAX) });
        until("the next moment to kill", async || (count.load(Ordering::Relaxed) >= target).then_some(())).await;
        process.kill();
        let (next, client) = serve(&data, Some(sink.address().port())).await;
        process = next;
        door.send_replace(client);
    }
    let arrived = seen.mailboxes.mails.lock().unwrap().len();
    assert!((1..CONTACTS).contains(&arrived), "sending was under way at the last kill: {arrived} mails");
    gate.add_permits(2 * CONTACTS);
    let client = door.borrow().clone();
    for feed in feeds {
        feed.abort();
    }
    check(&client, &seen).await;
    drop(process);
}

/// Sends batches without end; a batch that was not answered is sent again as it is.
async fn feed_events(feed: usize, mut doors: watch::Receiver<Client>, seen: Arc<Seen>) {
    for batch in 0_u64.. {
        let ids: Vec<String> = (0..BATCH).map(|n| format!("f{feed}-{batch}-{n}")).collect();
        let line = |id: &String| {
            let event = json!({ "event_id": id, "kind": "click", "event_time": "2026-01-05T10:00:00Z", "contact": format!("k{}", batch % 50), "url": "https://shop.example/" });
            format!("{event}\n")
        };
        let body: String = ids.iter().map(line).collect();
        loop {
            let client = doors.borrow_and_update().clone();
            match client.lines("/v1/events", body.clone().into_bytes()).await {
                Ok(answer) => {
                    assert_eq!(
                        answer["accepted"].as_u64().unwrap() + answer["duplicate"].as_u64().unwrap(),
                        BATCH as u64,
                        "{answer}"
                    );
                    break;
                }
                // The server is dead: wait for the next one.
                Err(_) => doors.changed().await.unwrap(),
            }
        }
        seen.acknowledged.lock().unwrap().extend(ids);
        seen.told.fetch_add(1, Ordering::Relaxed);
    }
}

#[expect(clippy::print_stdout, reason = "the counts belong into the report")]
async fn check(client: &Client, seen: &Seen) {
    let row = until("the campaign to end", async || {
        let row = client.get("/v1/campaigns/kill").await.ok()?;
        (row["state"] == "done").then_some(row)
    })
    .await;
    landed(client).await;

    let ids = sql(client, "select event_id from clicks").await;
    let stored: Vec<&str> = ids.iter().map(|row| row["event_id"].as_str().unwrap()).collect();
    let distinct: HashSet<&str> = stored.iter().copied().collect();
    assert_eq!(stored.len(), distinct.len(), "an event is in the lake twice");
    let acknowledged = seen.acknowledged.lock().unwrap().clone();
    let lost: Vec<&String> = acknowledged.iter().filter(|id| !distinct.contains(id.as_str())).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert!(acknowledged.len() > 1_000, "the feeds were at work: {}", acknowledged.len());

    let mails = seen.mailboxes.mails.lock().unwrap().clone();
    let doubled: Vec<&String> = mails.iter().filter(|(_, count)| **count > 1).map(|(to, _)| to).collect();
    assert!(doubled.is_empty(), "got two messages: {doubled:?}");
    let count = |name: &str| row["progress"][name].as_u64().unwrap();
    let [planned, accepted, in_doubt] = ["planned", "accepted", "in_doubt"].map(count);
    assert_eq!(planned, CONTACTS as u64);
    assert_eq!(accepted + in_doubt, planned, "every recipient is accounted for: {row}");
    let arrived = mails.len() as u64;
    assert!((accepted..=accepted + in_doubt).contains(&arrived), "{accepted} accepted, {in_doubt} in doubt, {arrived} arrived");
    assert_eq!(sql_number(client, "select count(*) from messages").await.cast_unsigned(), accepted);
    assert_eq!(sql_number(client, "select count(distinct contact_key) from assignments").await.cast_unsigned(), planned);
    println!(
        "20 kills: {} events acknowledged and stored once, {accepted} accepted, {in_doubt} in doubt, {arrived} arrived",
        acknowledged.len()
    );
}
