//! Bandits: where they stand follows from the recommendations that are kept and from what is observed.

use std::collections::BTreeMap;

use experiment::bandit::{BanditStanding, Learnt, next_wave, standing};
use experiment::{ByMarket, Followed, Observations};
use vocabulary::{Experiment, Recommendation, RecommendationId, Timestamp};

use crate::experiments::from_json;
use crate::{Control, ControlError};

impl Control {
    /// The experiments that have a bandit, oldest first.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn bandits(&self) -> Result<Vec<Experiment>, ControlError> {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT definition FROM experiments WHERE definition -> 'bandit' IS NOT NULL ORDER BY created_at, experiment_id",
        )
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("reading the experiments that have a bandit"))?;
        rows.iter().map(|text| from_json("an experiment", text)).collect()
    }

    /// Where the bandit of an experiment stands; `None` where it has none.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn bandit(
        &self,
        experiment: &Experiment,
        observed: &BTreeMap<RecommendationId, Observations>,
        audit: &ByMarket,
        now: Timestamp,
    ) -> Result<Option<BanditStanding>, ControlError> {
        let (current, history) = self.steps(&experiment.experiment).await?;
        let followed = Followed { current: &current, history: &history, observed };
        Ok(standing(experiment, &Learnt { followed, audit }, now))
    }

    /// Recommends what is due, and gives it: the first wave, the next one, or the best bets for everybody. A scope in which somebody decided
    /// in between is left alone.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read or written.
    pub async fn deal(
        &self,
        experiment: &Experiment,
        observed: &BTreeMap<RecommendationId, Observations>,
        audit: &ByMarket,
        fresh: impl FnMut() -> RecommendationId,
        now: Timestamp,
    ) -> Result<Vec<Recommendation>, ControlError> {
        let (current, history) = self.steps(&experiment.experiment).await?;
        let followed = Followed { current: &current, history: &history, observed };
        self.recommend_each(next_wave(experiment, &Learnt { followed, audit }, fresh, now)).await
    }
}

#[cfg(test)]
mod tests {
    use experiment::bandit::BanditStep;
    use experiment::{Cells, Cut};
    use vocabulary::{Bandit, BanditRule};

    use super::*;
    use crate::testing::{World, at, experiment};

    #[tokio::test]
    async fn a_bandit_begins_once_and_is_found() {
        let world = World::new();
        let control = world.open().await;
        let plain = experiment("plain", &["a", "b"]);
        let mut written = experiment("e", &["a", "b"]);
        written.bandit = Some(Bandit { rule: BanditRule::Thompson, floor: 0.1, wave_hours: 1 });
        control.put_experiment(&plain).await.unwrap();
        control.put_experiment(&written).await.unwrap();
        assert_eq!(control.bandits().await.unwrap(), std::slice::from_ref(&written));

        let overall = Cells::new(&written, 100).observe(&written, &Cut::default(), at(0));
        let (audit, observed) = (ByMarket { overall, markets: BTreeMap::new() }, BTreeMap::new());
        assert_eq!(control.bandit(&plain, &observed, &audit, at(0)).await.unwrap(), None);
        let before = control.bandit(&written, &observed, &audit, at(0)).await.unwrap().unwrap();
        assert_eq!(before.next, BanditStep::Begin);
        let first = || RecommendationId::new("wave-1").unwrap();
        let made = control.deal(&written, &observed, &audit, first, at(0)).await.unwrap();
        assert_eq!((made.len(), made[0].weights.len()), (1, 2));
        assert_eq!(control.current(&written.experiment).await.unwrap().as_ref(), made.first());
        assert_eq!(control.deal(&written, &observed, &audit, first, at(7_200)).await.unwrap(), [], "nobody counts yet");
    }
}
