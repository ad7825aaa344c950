//! The server and a second lander are killed while events come in and readers read. `cargo bench --workspace --bench kills`
//! does the same a thousand times.

use crate::support::kills::{Plan, run};

const KILLS: u64 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn kills_with_one_lander_lose_and_double_nothing() {
    let outcome = run(Plan { kills: KILLS, landers: 1, seed: 20_261_128 }).await;
    assert!(outcome.torn_writes + outcome.full_disks.0 > 0 && outcome.polls > 0, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_with_two_landers_lose_and_double_nothing() {
    let outcome = run(Plan { kills: KILLS, landers: 2, seed: 20_261_129 }).await;
    assert!(outcome.lander_kills > 0 && outcome.server_kills > 0 && outcome.polls > 0, "{outcome:?}");
}
