//! A seeded world, two simulated weeks, and the loser stops being sent.
//!
//! Shoppers in ten markets are mailed one of two subjects at one of two hours of their own day. They open, click, order
//! and unsubscribe through the real mails and the real links. When the last window is over the experiment is decided;
//! from that moment on every message carries the winner.

use std::sync::Arc;

use sendlab::server::{RatesSource, Server, Settings};
use simulator::sink::{Sink, SinkConfig};
use simulator::{DrivePlan, Outcome, Progress, SeededIds, SteppedClock, World};
use vocabulary::Currency;

use crate::support::sql_number;

const SEED: u64 = 11;
const CONTACTS: u32 = 12_000;

#[tokio::test(flavor = "multi_thread")]
async fn the_winner_reaches_the_sender_and_the_loser_stops() {
    let folder = tempfile::tempdir().unwrap();
    let world = World { seed: SEED, contacts: CONTACTS, start: "2026-03-02T00:00:00Z".parse().unwrap() };
    let clock = Arc::new(SteppedClock::new(world.start));
    let (sink, mails) = Sink::start(SinkConfig::default()).await.unwrap();
    let settings = Settings {
        base_currency: Some(Currency::new("EUR").unwrap()),
        rates: RatesSource::Given(world.rate_table()),
        smtp: Some(gateways::SmtpConfig::new("127.0.0.1", sink.address().port())),
        ..Settings::new(&folder.path().join("data"))
    };
    let server = Server::start(settings, clock.clone(), Arc::new(SeededIds::new(SEED))).await.unwrap();

    // Two weeks go by.
    let shop = simulator::Client::new(&server.door.url, &server.door.key).unwrap();
    let mut looks = 0;
    let mut report = |progress: Progress| looks += u32::from(matches!(progress, Progress::Look(_)));
    let outcome = simulator::run(&shop, &world, &clock, mails, DrivePlan::default(), &mut report).await.unwrap();

    // The verdict is the truth, which nobody told the server.
    assert!(outcome.is_right(), "{}", outcome.sentence);
    assert!(looks >= 2, "people looked while it ran");
    let covered = outcome.comparisons.iter().filter(|row| row.covered == Some(true)).count();
    assert!(covered * 10 >= outcome.comparisons.len() * 8, "intervals hold the truth: {:#?}", outcome.comparisons);

    // The loser stops being sent.
    assert!(outcome.mails_before.len() == 4, "all four variants were tried: {:?}", outcome.mails_before);
    assert_eq!(outcome.losers_after(), 0, "{:?}", outcome.mails_after);
    assert!(
        outcome.mails_after.values().sum::<u64>() > u64::from(CONTACTS) / 2,
        "the rest was mailed: {:?}",
        outcome.mails_after
    );

    // Nobody is mailed twice, or after they said no.
    assert_eq!((outcome.duplicates, outcome.mailed_twice, outcome.unsubscribed_mailed), (0, 0, 0));
    assert!(outcome.counts.unsubscribes > 0, "somebody did say no");
    the_lake_remembers(&server, &outcome).await;
    server.stop().await.unwrap();
}

/// What the shoppers did and what the lake holds are the same numbers.
async fn the_lake_remembers(server: &Server, outcome: &Outcome) {
    let client = sendlab::Client::new(server.door.clone());
    let count = async |query: &str| sql_number(&client, query).await.cast_unsigned();
    assert_eq!(count("select count(*) from messages").await, outcome.counts.mails);
    assert_eq!(count("select count(*) from orders").await, outcome.counts.orders);
    assert_eq!(count("select count(*) from clicks").await, outcome.counts.clicks);
    assert_eq!(count("select count(*) from opens where machine").await, outcome.counts.machine_opens);
    assert_eq!(count("select count(distinct contact_key) from feedback").await, outcome.counts.unsubscribes);
    assert_eq!(count("select count(*) from contacts").await, u64::from(outcome.contacts));
}
