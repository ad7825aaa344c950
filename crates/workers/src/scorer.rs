//! Looks at each experiment once a day from when the first recipients' windows are over, or they are as old as an early look asks, and when
//! the last one's is, and moves the recommendations.
//!
//! Before the end only what clears a boundary that knows of all looks decides; at the end the best bet does. What people read
//! out in between is no look.
//!
//! It also takes the steps of rollouts and bandits that are due, counts an experiment from all rows now and then, and compares with the sums that looks
//! are made of.

use std::time::Duration;

use control::{ControlError, Moved, OpenTest};
use experiment::cells::counts_from;
use jiff::SignedDuration;
use lake::Recounted;
use tokio_util::sync::CancellationToken;
use vocabulary::{Experiment, ExperimentId, RecommendationId, Timestamp};

use crate::rollout::{Movers, tell};
use crate::{Parts, WorkerError, pause_after};

/// How often finished experiments are looked for.
const POLL: Duration = Duration::from_millis(500);
/// How long after a look that decided nothing the next one is taken.
const LOOK_EVERY: SignedDuration = SignedDuration::from_hours(24);
/// After so many polls, ten minutes, the next experiment whose sums are kept is counted from all rows: often enough to find a fault
/// within a day of fifty experiments, and seldom enough to cost nothing.
const RECOUNT_POLLS: u32 = 20 * 60;

/// After so many polls, five seconds, rollouts and bandits are looked for.
const MOVER_POLLS: u32 = 10;

enum Wake {
    Tick,
    Shutdown,
}

pub(crate) async fn run(parts: Parts, stop: CancellationToken) {
    let (mut polls, mut recounted, mut movers) = (0_u32, None, Movers::default());
    loop {
        let wake = tokio::select! {
            () = stop.cancelled() => Wake::Shutdown,
            () = tokio::time::sleep(POLL) => Wake::Tick,
        };
        match wake {
            Wake::Shutdown => return,
            Wake::Tick => {
                if let Err(error) = step(&parts).await {
                    pause_after("scoring", &error, &stop).await;
                }
                polls = polls.wrapping_add(1);
                if polls.is_multiple_of(MOVER_POLLS)
                    && let Err(error) = movers.step(&parts).await
                {
                    pause_after("moving those who follow", &error, &stop).await;
                }
                if polls.is_multiple_of(RECOUNT_POLLS)
                    && let Err(error) = recount(&parts, &mut recounted).await
                {
                    pause_after("counting an experiment anew", &error, &stop).await;
                }
            }
        }
    }
}

/// Counts the experiment after `last` from all rows, beginning anew after the last of them.
async fn recount(parts: &Parts, last: &mut Option<ExperimentId>) -> Result<(), WorkerError> {
    let counted = parts.lake.counted();
    let next = counted.iter().find(|id| last.as_ref().is_none_or(|last| *id > last)).or(counted.first());
    *last = next.cloned();
    let Some(id) = next else { return Ok(()) };
    let Some(experiment) = parts.control.experiment(id).await? else { return Ok(()) };
    match parts.lake.recount(&experiment).await? {
        Recounted::Same => tracing::debug!(experiment = %id, "the kept sums of an experiment are those of all rows"),
        Recounted::Different => tracing::error!(
            experiment = %id,
            "the kept sums of an experiment were not those of all rows, which count from now on; please report this"
        ),
    }
    Ok(())
}

async fn step(parts: &Parts) -> Result<(), WorkerError> {
    let now = parts.clock.now();
    for open in parts.control.open_tests().await? {
        let Some(experiment) = parts.control.experiment(&open.experiment).await? else { continue };
        if let Some(look) = look_due(&open, &experiment, now) {
            decide(parts, &experiment, look).await?;
        }
    }
    Ok(())
}

/// Which look it is time for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DueLook {
    /// Some recipients' windows are over, or they are old enough for an early look.
    Early,
    /// All are.
    Last,
}

/// Whether it is time for a look, from when the first recipients' windows are over: one a day, but none within the last day, because
/// each makes the ones after it ask for a little more.
fn look_due(open: &OpenTest, experiment: &Experiment, now: Timestamp) -> Option<DueLook> {
    let end = open.last_due.map(|due| counts_from(due, experiment.window_hours));
    if end.is_some_and(|end| now >= end) {
        return Some(DueLook::Last);
    }
    let hours = experiment.early.map_or(experiment.window_hours, |early| early.age_hours.min(experiment.window_hours));
    let first = counts_from(open.first_due, hours);
    let next = open.looked_at.map_or(first, |looked_at| first.max(looked_at + LOOK_EVERY));
    let is_near_end = end.is_some_and(|end| now + LOOK_EVERY > end);
    (now >= next && !is_near_end).then_some(DueLook::Early)
}

async fn decide(parts: &Parts, experiment: &Experiment, look: DueLook) -> Result<(), WorkerError> {
    let (id, now) = (&experiment.experiment, parts.clock.now());
    let observed = parts.lake.observe_by_market(experiment, now).await?;
    let judged = parts.control.judge(experiment, observed, &parts.ids.token()).await?;
    parts.control.put_judged(&judged).await?;
    let current = parts.control.recommended(id).await?;
    let fresh = || RecommendationId::new(&parts.ids.token()).expect("a token is a valid id");
    let made = experiment::recommend(experiment, &judged, &current, fresh, now);
    match parts.control.follow(experiment, made, None, &parts.ids.token()).await {
        Ok(Moved::Recommended(made)) => made.iter().for_each(|made| tell(made, "recommended")),
        Ok(Moved::Proposed(proposal)) => {
            tracing::info!(experiment = %id, proposal = proposal.id, recipients = proposal.recipients, "waits for a second person")
        }
        // Somebody decided in between; theirs stands.
        Err(ControlError::Conflict { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    if look == DueLook::Last || judged.decision.ends() {
        parts.control.mark_decided(id, &judged.readout.id).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_a_day_and_one_at_the_end() {
        let hour = |hour: i64| Timestamp::from_second(hour * 3_600).unwrap();
        let experiment = experiment::parse(
            "experiment: e\nfactors: [copy]\nvariants: [{name: a}, {name: b}]\nprimary: c\nwindow_hours: 48\nmetrics: [{name: c, outcome: click, measure: occurred}]",
        )
        .unwrap();
        let open = |last_due: Option<i64>, looked_at: Option<i64>| OpenTest {
            experiment: experiment.experiment.clone(),
            first_due: hour(0),
            last_due: last_due.map(hour),
            looked_at: looked_at.map(hour),
        };
        let due = |open: &OpenTest, now: i64| look_due(open, &experiment, hour(now));
        let sent = open(Some(72), None);
        assert_eq!([47, 48, 96, 97, 119, 120].map(|now| due(&sent, now)), {
            let early = Some(DueLook::Early);
            [None, early, early, None, None, Some(DueLook::Last)]
        });
        let looked = open(Some(72), Some(50));
        assert_eq!([73, 74, 97].map(|now| due(&looked, now)), [None, Some(DueLook::Early), None]);
        let hasty = vocabulary::Experiment { early: Some(vocabulary::Early { age_hours: 4 }), ..experiment.clone() };
        assert_eq!([3, 4].map(|now| look_due(&sent, &hasty, hour(now))), [None, Some(DueLook::Early)]);
        let flow = open(None, Some(1_000));
        assert_eq!([1_023, 1_024].map(|now| due(&flow, now)), [None, Some(DueLook::Early)], "a flow has no end");
        let short = open(Some(12), None);
        assert_eq!([48, 59, 60].map(|now| due(&short, now)), [None, None, Some(DueLook::Last)], "too near the end");
    }
}
