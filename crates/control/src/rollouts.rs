//! Rollouts in steps: where they stand follows from the recommendations that are kept and from what is observed of who followed them.

use std::collections::{BTreeMap, BTreeSet};

use experiment::Observations;
use experiment::rollout::{Followed, ScopeStanding, next_step, standing};
use vocabulary::{Experiment, ExperimentId, Recommendation, RecommendationId, Timestamp};

use crate::{Control, ControlError};

impl Control {
    /// Where every scope of an experiment stands that is, or was, rolled out in steps.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn rollout(
        &self,
        experiment: &Experiment,
        observed: &BTreeMap<RecommendationId, Observations>,
        now: Timestamp,
    ) -> Result<Vec<ScopeStanding>, ControlError> {
        let (current, history) = self.steps(&experiment.experiment).await?;
        Ok(standing(experiment, &Followed { current: &current, history: &history, observed }, now))
    }

    /// Takes the steps that are due, and gives them: a larger share, or the control again where harm is shown. A scope in which somebody
    /// decided in between is left alone.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read or written.
    pub async fn roll_out(
        &self,
        experiment: &Experiment,
        observed: &BTreeMap<RecommendationId, Observations>,
        fresh: impl FnMut() -> RecommendationId,
        now: Timestamp,
    ) -> Result<Vec<Recommendation>, ControlError> {
        let (current, history) = self.steps(&experiment.experiment).await?;
        let followed = Followed { current: &current, history: &history, observed };
        self.recommend_each(next_step(experiment, &followed, fresh, now)).await
    }

    /// Recommends each of these in whose scope nobody decided in between, and gives those.
    pub(crate) async fn recommend_each(&self, due: Vec<Recommendation>) -> Result<Vec<Recommendation>, ControlError> {
        let mut taken = Vec::new();
        for made in due {
            match self.recommend(&made).await {
                Ok(()) => taken.push(made),
                Err(ControlError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    /// The experiments of which a recommendation that is current gives some of those who follow one variant and some another.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn split(&self) -> Result<BTreeSet<ExperimentId>, ControlError> {
        let current = self.current_recommendations(None).await?.into_iter().map(|one| one.recommendation);
        Ok(current.filter(|made| !made.is_decided()).map(|made| made.experiment_id).collect())
    }

    /// What is recommended now, and all that ever was.
    pub(crate) async fn steps(&self, id: &ExperimentId) -> Result<(Vec<Recommendation>, Vec<Recommendation>), ControlError> {
        Ok((self.recommended(id).await?, self.recommendations(id).await?))
    }
}

#[cfg(test)]
mod tests {
    use experiment::{Cells, Cut};
    use vocabulary::{Rollout, VariantName};

    use super::*;
    use crate::testing::{World, at, experiment, experiment_id};

    fn id(text: &str) -> RecommendationId {
        RecommendationId::new(text).unwrap()
    }

    fn first(written: &Experiment) -> Recommendation {
        let (a, b) = (written.variants[0].name.clone(), written.variants[1].name.clone());
        Recommendation {
            id: id("step-1"),
            experiment_id: written.experiment.clone(),
            scope: Default::default(),
            variant: a.clone(),
            weights: [(a, 0.9), (b, 0.1)].into(),
            parent: None,
            reason: "`b` is better.".to_owned(),
            readout_id: None,
            valid_until: None,
            expected: None,
            created_at: at(0),
        }
    }

    /// So many followers of each variant who did nothing.
    fn followers(written: &Experiment, counts: [u64; 2]) -> Observations {
        let mut observed = Cells::new(written, 100).observe(written, &Cut::default(), at(0));
        for (arm, count) in observed.arms.iter_mut().zip(counts) {
            (arm.assigned, arm.mature) = (count, count);
        }
        observed
    }

    #[tokio::test]
    async fn a_step_that_is_due_is_taken_once() {
        let world = World::new();
        let control = world.open().await;
        let mut written = experiment("e", &["a", "b"]);
        written.rollout = Some(Rollout { steps: vec![10, 100], hours: 1 });
        control.put_experiment(&written).await.unwrap();
        let observed = Cells::new(&written, 100).observe(&written, &Cut::default(), at(0));
        control.put_readout(&experiment::readout(&written, &observed, "look")).await.unwrap();
        assert!(control.split().await.unwrap().is_empty());
        let step = Recommendation { readout_id: Some("look".to_owned()), ..first(&written) };
        control.recommend(&step).await.unwrap();
        assert_eq!(control.split().await.unwrap(), BTreeSet::from([experiment_id("e")]));

        let observed = [(id("step-1"), followers(&written, [9_000, 1_000]))].into();
        let early = control.roll_out(&written, &observed, || id("never"), at(3_599)).await.unwrap();
        assert_eq!(early, [], "a step lasts its hours");
        let standing = control.rollout(&written, &observed, at(3_600)).await.unwrap();
        let b = VariantName::new("b").unwrap();
        assert_eq!((standing.len(), &standing[0].variant, standing[0].share), (1, &b, 0.1));
        let taken = control.roll_out(&written, &observed, || id("step-2"), at(3_600)).await.unwrap();
        let [second] = &taken[..] else { panic!("one step, not {taken:?}") };
        assert_eq!((&second.variant, second.parent.as_ref()), (&b, Some(&step.id)));
        assert_eq!(control.current(&experiment_id("e")).await.unwrap().as_ref(), Some(second));
        assert_eq!(control.roll_out(&written, &observed, || id("never"), at(3_600)).await.unwrap(), []);
        assert!(control.split().await.unwrap().is_empty(), "it goes to everybody now");
    }
}
