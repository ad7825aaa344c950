//! Takes the steps of rollouts that are due, and sends the control again where a step is shown to do harm.

use std::collections::HashMap;

use jiff::SignedDuration;
use vocabulary::{ExperimentId, RecommendationId, Timestamp};

use crate::{Parts, WorkerError};

/// How often it is looked whether those who follow come to harm: all their events are counted each time.
const LOOK_EVERY: SignedDuration = SignedDuration::from_mins(15);

/// When each rollout was looked at last.
#[derive(Debug, Default)]
pub(crate) struct Rollouts(HashMap<ExperimentId, Timestamp>);

impl Rollouts {
    /// Looks at the rollouts for which it is time.
    pub(crate) async fn step(&mut self, parts: &Parts) -> Result<(), WorkerError> {
        let now = parts.clock.now();
        let split = parts.control.split().await?;
        self.0.retain(|id, _| split.contains(id));
        for id in split {
            if self.0.get(&id).is_some_and(|looked| now < *looked + LOOK_EVERY) {
                continue;
            }
            look(parts, &id, now).await?;
            self.0.insert(id, now);
        }
        Ok(())
    }
}

async fn look(parts: &Parts, id: &ExperimentId, now: Timestamp) -> Result<(), WorkerError> {
    let Some(experiment) = parts.control.experiment(id).await? else { return Ok(()) };
    let Some(age_hours) = experiment::rollout::observed_hours(&experiment) else { return Ok(()) };
    let observed = parts.lake.observe_followers(&experiment, age_hours, now).await?;
    let fresh = || RecommendationId::new(&parts.ids.token()).expect("a token is a valid id");
    for step in parts.control.roll_out(&experiment, &observed, fresh, now).await? {
        let market = step.scope.market.as_deref().unwrap_or("all");
        tracing::info!(experiment = %id, market, variant = %step.variant, reason = step.reason, "a rollout took a step");
    }
    Ok(())
}
