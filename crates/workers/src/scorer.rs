//! Scores each experiment once, when the window of its last recipient is over, and moves the recommendation.
//!
//! A readout before that is a look for people; it decides nothing, because the fixed-sample test it uses may be asked
//! only once.
//!
//! It also counts an experiment from all rows now and then, and compares with the sums that looks are made of.

use std::time::Duration;

use control::ControlError;
use experiment::cells::counts_from;
use lake::Recounted;
use tokio_util::sync::CancellationToken;
use vocabulary::{Experiment, ExperimentId, RecommendationId};

use crate::{Parts, WorkerError, pause_after};

/// How often finished experiments are looked for.
const POLL: Duration = Duration::from_millis(500);
/// After so many polls, ten minutes, the next experiment whose sums are kept is counted from all rows: often enough to find a fault
/// within a day of fifty experiments, and seldom enough to cost nothing.
const RECOUNT_POLLS: u32 = 20 * 60;

enum Wake {
    Tick,
    Shutdown,
}

pub(crate) async fn run(parts: Parts, stop: CancellationToken) {
    let (mut polls, mut recounted) = (0_u32, None);
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
    for (experiment_id, last_due) in parts.control.undecided_tests().await? {
        let Some(experiment) = parts.control.experiment(&experiment_id).await? else { continue };
        if now >= counts_from(last_due, experiment.window_hours) {
            decide(parts, &experiment).await?;
        }
    }
    Ok(())
}

async fn decide(parts: &Parts, experiment: &Experiment) -> Result<(), WorkerError> {
    let now = parts.clock.now();
    let mut observations = parts.lake.observe(experiment, now).await?;
    observations.erased_units = parts.control.erased_units(&experiment.experiment).await?;
    let readout = experiment::readout(experiment, &observations, &parts.ids.token());
    parts.control.put_readout(&readout).await?;
    let current = parts.control.current(&experiment.experiment).await?;
    let id = RecommendationId::new(&parts.ids.token()).expect("a token is a valid id");
    if let Some(recommendation) = experiment::recommend(&readout, current.as_ref(), id, now) {
        match parts.control.recommend(&recommendation).await {
            Ok(()) => {
                tracing::info!(experiment = %experiment.experiment, variant = %recommendation.variant, reason = recommendation.reason, "recommended")
            }
            // Somebody decided in between; theirs stands.
            Err(ControlError::Conflict { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    parts.control.mark_decided(&experiment.experiment, &readout.id).await?;
    Ok(())
}
