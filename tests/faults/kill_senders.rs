//! A server and two processes that only send share a campaign, and one of them after the other is killed: nobody gets two messages,
//! and who got none is counted as in doubt.

use crate::support::sender_kills::{Outcome, Plan, run};

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "the counts belong into the report")]
async fn three_workers_share_a_campaign_and_double_nothing() {
    let plan = Plan { kills: 12, contacts: 3_000, workers: 3, seed: 20_261_129 };
    let outcome = run(plan).await;
    assert!(outcome.server_kills > 0 && outcome.sender_kills > 0, "{outcome:?}");
    let Outcome { accepted, in_doubt, arrived, .. } = outcome;
    println!("12 kills: {accepted} accepted, {in_doubt} in doubt, {arrived} arrived");
}
