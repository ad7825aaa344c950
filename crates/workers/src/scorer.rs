//! Scores each experiment once, when the window of its last recipient is over, and moves the recommendation.
//!
//! A readout before that is a look for people; it decides nothing, because the fixed-sample test it uses may be asked
//! only once.

use std::time::Duration;

use control::ControlError;
use jiff::ToSpan;
use tokio_util::sync::CancellationToken;
use vocabulary::{Experiment, RecommendationId};

use crate::{Parts, WorkerError, pause_after};

/// How often finished experiments are looked for.
const POLL: Duration = Duration::from_millis(500);

enum Wake {
    Tick,
    Shutdown,
}

pub(crate) async fn run(parts: Parts, stop: CancellationToken) {
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
            }
        }
    }
}

async fn step(parts: &Parts) -> Result<(), WorkerError> {
    let now = parts.clock.now();
    for (experiment_id, last_due) in parts.control.undecided_tests().await? {
        let Some(experiment) = parts.control.experiment(&experiment_id).await? else { continue };
        let over = last_due.checked_add(i64::from(experiment.window_hours).hours()).unwrap_or(last_due);
        if now >= over {
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
