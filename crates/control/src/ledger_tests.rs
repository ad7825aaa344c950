//! Tests of [`super`]: one claim per contact whatever races or crashes, settlements, and counts that agree with the rows.

use super::*;
use crate::CampaignState::{Paused, Sending};
use crate::testing::{World, at, campaign, campaign_id, claims, message_id, new_slices, sending_campaign};

fn settled(id: &str, outcome: Settlement) -> Settled {
    Settled {
        message_id: message_id(id),
        outcome,
        variant: None,
        recommendation_id: None,
        is_fallback: false,
        reply: None,
        at: at(9),
    }
}

fn ids(keys: impl IntoIterator<Item = i64>) -> Vec<MessageId> {
    keys.into_iter().map(|key| message_id(&format!("m{key}"))).collect()
}

fn contact(key: i64) -> ContactKey {
    ContactKey::from_i64(key).unwrap()
}

async fn claim(control: &Control, worker: &str, keys: impl IntoIterator<Item = i64>) -> Vec<MessageId> {
    control.claim(&campaign_id("c"), worker, &claims(keys), at(1)).await.unwrap()
}

/// Counts as progress shows them and as the rows of the ledger give them must agree: claimed, accepted, refused, in doubt,
/// skipped.
async fn check_counts(control: &Control, expect: [u64; 5]) {
    let progress = control.progress(&campaign_id("c")).await.unwrap();
    let shown = [progress.claimed, progress.accepted, progress.refused, progress.in_doubt, progress.skipped];
    assert_eq!(shown, expect);
    let rows: Vec<(String, i64)> = sqlx::query_as("SELECT state, count(*) FROM ledger WHERE campaign_id = 'c' GROUP BY state")
        .fetch_all(&mut *control.reader().await)
        .await
        .unwrap();
    for (state, expect) in LedgerState::ALL.iter().zip(expect) {
        let found = rows.iter().find(|(name, _)| name == state.as_str()).map_or(0, |(_, count)| *count);
        assert_eq!(found, expect as i64, "{state}");
    }
}

#[tokio::test]
async fn a_contact_is_claimed_once_per_campaign() {
    let world = World::new();
    let control = world.open().await;
    sending_campaign(&control, &[(0, 100, 0)]).await;
    assert_eq!(claim(&control, "w1", [3, 1, 2]).await, ids([3, 1, 2]));
    assert_eq!(claim(&control, "w2", [2, 3, 4]).await, ids([4]));
    assert_eq!(claim(&control, "w1", [5, 5]).await, ids([5]));
    assert_eq!(claim(&control, "w1", []).await, []);
    check_counts(&control, [5, 0, 0, 0, 0]).await;

    let mut steps = claims([1, 1]);
    for (claim, step) in steps.iter_mut().zip(["cart/1/1", "cart/1/2"]) {
        (claim.step, claim.message_id) = (Step::new(step).ok(), message_id(step));
    }
    let both = control.claim(&campaign_id("c"), "w1", &steps, at(1)).await.unwrap();
    assert_eq!(both, [message_id("cart/1/1"), message_id("cart/1/2")], "a step is a message of its own");
    steps[1].message_id = message_id("another");
    assert_eq!(control.claim(&campaign_id("c"), "w2", &steps, at(1)).await.unwrap(), [], "each once, whatever its id");
    control.release(&both).await.unwrap();

    control.put_campaign(&campaign("d", "e")).await.unwrap();
    let other = campaign_id("d");
    control.set_campaign_state(&other, &[CampaignState::Draft], CampaignState::Planning).await.unwrap();
    assert!(control.plan_ready(&other, 1, "d", None, &new_slices(&[(0, 1, 0)])).await.unwrap());
    let mut again = claims([1]);
    again[0].message_id = message_id("d1");
    assert_eq!(control.claim(&other, "w1", &again, at(1)).await.unwrap(), [message_id("d1")]);
    check_counts(&control, [5, 0, 0, 0, 0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_workers_in_two_processes_claim_each_contact_once() {
    let world = World::new();
    let (one, two) = (world.open().await, world.open().await);
    sending_campaign(&one, &[(0, 2000, 0)]).await;
    let worker = |number: i64| {
        let control = if number % 2 == 0 { one.clone() } else { two.clone() };
        tokio::spawn(async move {
            let mut claimed = Vec::new();
            // Everyone walks the same contacts, each from another place.
            for start in (0..2000).step_by(50) {
                let first = (start + number * 250) % 2000 + 1;
                claimed.extend(claim(&control, &format!("w{number}"), first..first + 50).await);
            }
            claimed
        })
    };
    let claimed = futures::future::join_all((0..8).map(worker)).await;
    let mut claimed: Vec<_> = claimed.into_iter().flat_map(|claimed| claimed.unwrap()).collect();
    claimed.sort();
    let mut expect = ids(1..=2000);
    expect.sort();
    assert_eq!(claimed, expect);
    check_counts(&one, [2000, 0, 0, 0, 0]).await;
}

#[tokio::test]
async fn a_campaign_that_is_not_sending_claims_nothing() {
    let world = World::new();
    let control = world.open().await;
    let id = sending_campaign(&control, &[(0, 100, 0)]).await;
    assert!(control.set_campaign_state(&id, &[Sending], Paused).await.unwrap());
    assert_eq!(claim(&control, "w1", [1]).await, []);
    assert!(control.set_campaign_state(&id, &[Paused], Sending).await.unwrap());
    assert_eq!(claim(&control, "w1", [1]).await, ids([1]));
    let unknown = control.claim(&campaign_id("none"), "w1", &claims([1]), at(1)).await;
    assert!(matches!(unknown, Err(ControlError::NotFound { noun: "campaign", .. })));
}

#[tokio::test]
async fn settlements_are_kept_and_only_doubt_can_be_resolved_later() {
    let world = World::new();
    let control = world.open().await;
    sending_campaign(&control, &[(0, 100, 0)]).await;
    claim(&control, "w1", 1..=5).await;
    let full = Settled {
        variant: Some(VariantName::new("b").unwrap()),
        recommendation_id: Some(RecommendationId::new("r1").unwrap()),
        reply: Some("é".repeat(300)),
        ..settled("m1", Settlement::Accepted)
    };
    let group = [
        full,
        settled("m2", Settlement::Refused),
        settled("m3", Settlement::InDoubt),
        settled("m4", Settlement::InDoubt),
        settled("m4", Settlement::Skipped),
        settled("unknown", Settlement::Accepted),
    ];
    assert_eq!(control.settle(&group).await.unwrap(), 4);
    check_counts(&control, [1, 1, 1, 1, 1]).await;
    let row = control.message(&message_id("m1")).await.unwrap().unwrap();
    let expect = LedgerRow {
        message_id: message_id("m1"),
        campaign_id: campaign_id("c"),
        experiment_id: ExperimentId::new("e").unwrap(),
        variant: Some(VariantName::new("b").unwrap()),
        contact: contact(1),
        market: Some("DE".into()),
        recommendation_id: Some(RecommendationId::new("r1").unwrap()),
        state: LedgerState::Accepted,
        worker: "w1".into(),
        claimed_at: at(1),
        settled_at: Some(at(9)),
        reply: Some("é".repeat(256)),
    };
    assert_eq!(row, expect);
    let later = ["m1", "m2", "m3", "m4"].map(|id| settled(id, Settlement::Accepted));
    assert_eq!(control.settle(&later).await.unwrap(), 1);
    check_counts(&control, [1, 2, 1, 0, 1]).await;
    assert_eq!(control.message(&message_id("m2")).await.unwrap().unwrap().variant, VariantName::new("a").ok());
    assert_eq!(control.settle(&[]).await.unwrap(), 0);
}

#[tokio::test]
async fn released_claims_can_be_claimed_again() {
    let world = World::new();
    let control = world.open().await;
    sending_campaign(&control, &[(0, 100, 0)]).await;
    claim(&control, "w1", 1..=3).await;
    control.settle(&[settled("m3", Settlement::Accepted)]).await.unwrap();
    assert_eq!(control.release(&ids(2..=4)).await.unwrap(), 1);
    check_counts(&control, [1, 1, 0, 0, 0]).await;
    assert_eq!(claim(&control, "w2", 1..=3).await, ids([2]));
}

#[tokio::test]
async fn claims_of_a_worker_that_was_killed_are_open_after_it() {
    let world = World::new();
    let control = world.open().await;
    sending_campaign(&control, &[(0, 100, 0)]).await;
    claim(&control, "w1", 1..=3).await;
    claim(&control, "w2", 4..=4).await;
    control.settle(&[settled("m2", Settlement::Accepted)]).await.unwrap();
    // A copy of the files at this moment is what a kill leaves behind: nothing is closed, nothing checkpointed.
    let (killed, after) = (world.path(), World::new());
    std::fs::create_dir_all(after.path().parent().unwrap()).unwrap();
    for ending in ["sqlite", "sqlite-wal"] {
        std::fs::copy(killed.with_extension(ending), after.path().with_extension(ending)).unwrap();
    }
    let reopened = after.open().await;
    let open = async |worker| {
        let rows = reopened.open_claims(worker).await.unwrap();
        rows.into_iter().map(|row| row.message_id).collect::<Vec<_>>()
    };
    assert_eq!(open(None).await, ids([1, 3, 4]));
    assert_eq!(open(Some("w1")).await, ids([1, 3]));
    assert_eq!(open(Some("w3")).await, []);
    assert_eq!(claim(&reopened, "w1", 1..=4).await, [], "what may have been handed over is not claimed again");
    reopened.settle(&[settled("m1", Settlement::InDoubt), settled("m3", Settlement::InDoubt)]).await.unwrap();
    check_counts(&reopened, [1, 1, 0, 2, 0]).await;
}

#[tokio::test]
async fn a_claim_that_is_cancelled_is_whole_or_absent() {
    let world = World::new();
    let control = world.open().await;
    sending_campaign(&control, &[(0, 1000, 0)]).await;
    for polls in 0..40 {
        let first = polls * 100 + 1;
        let id = campaign_id("c");
        let claims = claims(first..first + 100);
        let mut claiming = Box::pin(control.claim(&id, "w1", &claims, at(1)));
        for _ in 0..polls {
            let _ = futures::poll!(&mut claiming);
            tokio::task::yield_now().await;
        }
        drop(claiming);
    }
    // It comes behind whatever the last of them left under way.
    assert_eq!(claim(&control, "w1", [9_999]).await, ids([9_999]));
    let progress = control.progress(&campaign_id("c")).await.unwrap();
    assert_eq!((progress.claimed - 1) % 100, 0);
    check_counts(&control, [progress.claimed, 0, 0, 0, 0]).await;
}

#[tokio::test]
async fn progress_knows_plan_and_due_rows() {
    let world = World::new();
    let control = world.open().await;
    let id = sending_campaign(&control, &[(0, 10, 0), (10, 20, 60)]).await;
    let check = async |planned: u64, due: u64| {
        let progress = control.progress(&id).await.unwrap();
        assert_eq!((progress.planned, progress.due), (planned, due));
    };
    check(30, 10).await;
    world.clock.set(at(60));
    check(30, 30).await;
    assert!(control.plan_ready(&id, 2, "plan-2", None, &new_slices(&[(0, 25, 90)])).await.unwrap());
    check(25, 0).await;
    assert!(matches!(control.progress(&campaign_id("none")).await, Err(ControlError::NotFound { .. })));
}

#[tokio::test]
async fn a_claimed_message_goes_by_another_channel() {
    let world = World::new();
    let control = world.open().await;
    sending_campaign(&control, &[(0, 100, 0)]).await;
    claim(&control, "w", 1..=2).await;
    control.settle(&[settled("m2", Settlement::Accepted)]).await.unwrap();
    let reroute = [(message_id("m1"), Channel::Sms), (message_id("m2"), Channel::Sms), (message_id("m3"), Channel::Sms)];
    assert_eq!(
        control.reroute(&reroute).await.unwrap(),
        1,
        "what left by one channel stays there, and who is not claimed is not"
    );
    let sent = control.sent_since(&[contact(1), contact(2)], at(0)).await.unwrap();
    let channels: Vec<(i64, Channel)> = sent.iter().map(|row| (row.contact.as_i64(), row.channel)).collect();
    assert_eq!(channels, [(1, Channel::Sms), (2, Channel::Email)]);
    assert_eq!(control.reroute(&[]).await.unwrap(), 0);
    check_counts(&control, [1, 1, 0, 0, 0]).await;
}

#[tokio::test]
async fn statements_on_the_ledger_look_messages_up() {
    let world = World::new();
    let control = world.open().await;
    let check = async |sql: &'static str| {
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(explain).fetch_all(&mut *control.reader().await).await.unwrap();
        let steps: Vec<_> = plan.into_iter().map(|(_, _, _, step)| step).filter(|step| step.contains("ledger")).collect();
        assert_eq!(steps.len(), 1, "{sql}: {steps:#?}");
        assert!(steps[0].starts_with("SEARCH ledger") && steps[0].ends_with("(message_id=?)"), "{sql}: {steps:#?}");
    };
    check("SELECT * FROM ledger WHERE message_id = $1").await;
    check("DELETE FROM ledger WHERE message_id IN (SELECT value FROM json_each($1)) AND state = 'claimed'").await;
    check(
        "WITH v AS (SELECT value ->> 0 AS message_id, value ->> 1 AS state FROM json_each($1))
         UPDATE ledger SET state = v.state FROM v WHERE ledger.message_id = v.message_id",
    )
    .await;
}

#[tokio::test]
async fn messages_that_carried_the_control_for_want_of_a_recommendation_are_counted_once() {
    let world = World::new();
    let control = world.open().await;
    let id = sending_campaign(&control, &[(0, 100, 0)]).await;
    claim(&control, "w1", 1..=3).await;
    let fallback = |id: &str, outcome| Settled { is_fallback: true, ..settled(id, outcome) };
    let group = [fallback("m1", Settlement::Accepted), fallback("m2", Settlement::InDoubt), settled("m3", Settlement::Accepted)];
    control.settle(&group).await.unwrap();
    control.settle(&group).await.unwrap();
    control.settle(&[fallback("m2", Settlement::Accepted)]).await.unwrap();
    assert_eq!(control.progress(&id).await.unwrap().fallback, 2);
}
