//! Takes the steps of rollouts and deals the waves of bandits that are due, and stops what is shown to do harm.

use std::collections::{BTreeSet, HashMap};

use jiff::SignedDuration;
use vocabulary::{Experiment, ExperimentId, Recommendation, RecommendationId, Timestamp};

use crate::{Parts, WorkerError};

/// How often it is looked whether those who follow come to harm: all their events are counted each time.
const LOOK_EVERY: SignedDuration = SignedDuration::from_mins(15);

/// When each experiment that moves its followers by itself was looked at last.
#[derive(Debug, Default)]
pub(crate) struct Movers(HashMap<ExperimentId, Timestamp>);

impl Movers {
    /// Looks at the rollouts and the bandits for which it is time.
    pub(crate) async fn step(&mut self, parts: &Parts) -> Result<(), WorkerError> {
        let now = parts.clock.now();
        let bandits = parts.control.bandits().await?;
        let mut split = parts.control.split().await?;
        split.retain(|id| bandits.iter().all(|bandit| &bandit.experiment != id));
        let known: BTreeSet<&ExperimentId> = split.iter().chain(bandits.iter().map(|bandit| &bandit.experiment)).collect();
        self.0.retain(|id, _| known.contains(id));
        for id in &split {
            if self.is_due(id, now)
                && let Some(experiment) = parts.control.experiment(id).await?
            {
                roll_out(parts, &experiment, now).await?;
                self.0.insert(id.clone(), now);
            }
        }
        for bandit in &bandits {
            if self.is_due(&bandit.experiment, now) {
                deal(parts, bandit, now).await?;
                self.0.insert(bandit.experiment.clone(), now);
            }
        }
        Ok(())
    }

    fn is_due(&self, id: &ExperimentId, now: Timestamp) -> bool {
        self.0.get(id).is_none_or(|looked| now >= *looked + LOOK_EVERY)
    }
}

async fn roll_out(parts: &Parts, experiment: &Experiment, now: Timestamp) -> Result<(), WorkerError> {
    let Some(age_hours) = experiment::rollout::observed_hours(experiment) else { return Ok(()) };
    let observed = parts.lake.observe_followers(experiment, age_hours, now).await?;
    for step in &parts.control.roll_out(experiment, &observed, fresh(parts), now).await? {
        tell(step, "a rollout took a step");
    }
    Ok(())
}

async fn deal(parts: &Parts, experiment: &Experiment, now: Timestamp) -> Result<(), WorkerError> {
    let current = parts.control.recommended(&experiment.experiment).await?;
    if experiment::bandit::is_over(&current) {
        return Ok(());
    }
    let observed = parts.lake.observe_followers(experiment, experiment.window_hours, now).await?;
    let audit = parts.lake.observe_by_market(experiment, now).await?.outcomes;
    for wave in &parts.control.deal(experiment, &observed, &audit, fresh(parts), now).await? {
        tell(wave, "a bandit dealt a wave");
    }
    Ok(())
}

fn fresh(parts: &Parts) -> impl FnMut() -> RecommendationId {
    || RecommendationId::new(&parts.ids.token()).expect("a token is a valid id")
}

/// Notes a recommendation in the log.
pub(crate) fn tell(made: &Recommendation, what: &str) {
    let market = made.scope.market.as_deref().unwrap_or("all");
    tracing::info!(experiment = %made.experiment_id, market, variant = %made.variant, reason = made.reason, "{what}");
}
