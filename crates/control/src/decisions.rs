//! Looks at an experiment that could have decided: each decision with its readout, and what the next look must know of those before.

use experiment::judge::Before;
use experiment::{Decision, Judged, Observed, judge};
use vocabulary::{Experiment, ExperimentId};

use crate::experiments::{from_json, to_json};
use crate::lessons::put_lessons;
use crate::store::{begin, commit};
use crate::{Control, ControlError};

impl Control {
    /// A look at an experiment, of which `observed` is what is known at one moment: with who was erased, and by boundaries that know of
    /// the looks before.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn judge(&self, experiment: &Experiment, mut observed: Observed, readout_id: &str) -> Result<Judged, ControlError> {
        let id = &experiment.experiment;
        observed.outcomes.overall.erased_units = self.erased_units(id).await?;
        let mut before = self.looks_before(id).await?;
        if experiment.early.is_some() {
            before.early = Some((self.early_looks_before(id).await?, self.lessons().await?));
        }
        Ok(judge(experiment, &observed, &before, readout_id))
    }

    /// Keeps a look that could decide: its readout, its decision and what it teaches. The same again is harmless.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] where its experiment is unknown.
    pub async fn put_judged(&self, judged: &Judged) -> Result<(), ControlError> {
        let Judged { readout, decision, lessons } = judged;
        self.put_readout(readout).await?;
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        sqlx::query(
            "INSERT INTO decisions (experiment_id, readout_id, body, fraction, stored_at)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (readout_id) DO NOTHING",
        )
        .bind(readout.experiment_id.as_str())
        .bind(readout.id.as_str())
        .bind(to_json("a decision", decision)?)
        .bind(decision.information.fraction)
        .bind(self.now().as_microsecond())
        .execute(&mut *transaction)
        .await
        .map_err(ControlError::query("storing a decision"))?;
        put_lessons(&mut transaction, &readout.experiment_id, lessons).await?;
        commit(transaction).await
    }

    /// The decision on an experiment that was kept last, with the id of its readout.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn latest_decision(&self, id: &ExperimentId) -> Result<Option<(String, Decision)>, ControlError> {
        let row: Option<(String, String)> =
            sqlx::query_as("SELECT readout_id, body FROM decisions WHERE experiment_id = $1 ORDER BY decision_seq DESC LIMIT 1")
                .bind(id.as_str())
                .fetch_optional(&mut *self.reader().await)
                .await
                .map_err(ControlError::query("reading the latest decision"))?;
        row.map(|(readout, body)| Ok((readout, from_json("a decision", &body)?))).transpose()
    }

    /// What the next look at an experiment must know: whether its recipients are known beforehand, which they are but for a test that
    /// is triggered, and how much of them earlier looks rested on.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn looks_before(&self, id: &ExperimentId) -> Result<Before, ControlError> {
        let mut reader = self.reader().await;
        let is_triggered: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM campaigns WHERE experiment_id = $1 AND definition ->> 'mode' = 'test'
                 AND definition ->> 'triggered' IS TRUE)",
        )
        .bind(id.as_str())
        .fetch_one(&mut *reader)
        .await
        .map_err(ControlError::query("looking for triggered tests"))?;
        let fractions: Vec<f64> = sqlx::query_scalar(
            "SELECT fraction FROM decisions WHERE experiment_id = $1 AND fraction IS NOT NULL ORDER BY decision_seq",
        )
        .bind(id.as_str())
        .fetch_all(&mut *reader)
        .await
        .map_err(ControlError::query("reading earlier looks"))?;
        Ok(Before { is_list: !is_triggered, fractions, early: None })
    }

    /// How much of its recipients earlier looks at an experiment rested on that were taken before windows were over, in order.
    async fn early_looks_before(&self, id: &ExperimentId) -> Result<Vec<f64>, ControlError> {
        sqlx::query_scalar(
            "SELECT body ->> '$.early.fraction' FROM decisions
             WHERE experiment_id = $1 AND body ->> '$.early.fraction' IS NOT NULL ORDER BY decision_seq",
        )
        .bind(id.as_str())
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("reading earlier looks"))
    }

    /// How many people the campaigns that follow an experiment's recommendation are still to write to: of their plans, who has not got
    /// the message yet. A campaign without a plan counts as nobody.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn still_to_follow(&self, id: &ExperimentId) -> Result<u64, ControlError> {
        let rest: i64 = sqlx::query_scalar(
            "SELECT coalesce(sum(max(planned - claimed_count - accepted_count - refused_count - in_doubt_count - skipped_count, 0)), 0)
             FROM campaigns WHERE experiment_id = $1 AND definition ->> 'mode' = 'recommended'
                 AND state IN ('planning', 'sending', 'paused') AND definition ->> 'triggered' IS NOT TRUE",
        )
        .bind(id.as_str())
        .fetch_one(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("counting who is still to follow"))?;
        Ok(u64::try_from(rest).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use experiment::{Cells, Cut};
    use vocabulary::Mode;

    use super::*;
    use crate::CampaignState::{Draft, Planning};
    use crate::testing::{World, at, campaign, campaign_id, experiment, experiment_id, new_slices};

    #[tokio::test]
    async fn looks_that_could_decide_are_kept_and_known_to_the_next() {
        let world = World::new();
        let control = world.open().await;
        let (id, written) = (experiment_id("e"), experiment("e", &["a", "b"]));
        control.put_experiment(&written).await.unwrap();
        assert_eq!(control.looks_before(&id).await.unwrap(), Before { is_list: true, fractions: vec![], early: None });
        assert_eq!(control.latest_decision(&id).await.unwrap(), None);
        let observed = Cells::new(&written, 100).observe(&written, &Cut::default(), at(0));
        let mut judged = judge(
            &written,
            &Observed::overall(observed.clone()),
            &Before { is_list: true, fractions: vec![], early: None },
            "r1",
        );
        judged.decision.information.fraction = Some(0.25);
        control.put_judged(&judged).await.unwrap();
        control.put_judged(&judged).await.unwrap();
        let mut second = Judged { readout: experiment::readout(&written, &observed, "r2"), ..judged.clone() };
        second.decision.information.fraction = None;
        control.put_judged(&second).await.unwrap();
        assert_eq!(control.looks_before(&id).await.unwrap().fractions, [0.25], "each once, and only those that rest on a share");
        assert_eq!(control.latest_decision(&id).await.unwrap(), Some(("r2".to_owned(), second.decision)));
        assert_eq!(control.readout("r1").await.unwrap(), Some(judged.readout));

        let mut flow = campaign("flow", "e");
        flow.triggered = true;
        control.put_campaign(&flow).await.unwrap();
        assert!(!control.looks_before(&id).await.unwrap().is_list, "nobody knows beforehand whom a trigger finds");
    }

    #[tokio::test]
    async fn who_follows_is_counted_from_the_plans() {
        let world = World::new();
        let control = world.open().await;
        let id = experiment_id("e");
        control.put_experiment(&experiment("e", &["a", "b"])).await.unwrap();
        let (rest, mut written) = (campaign_id("rest"), campaign("rest", "e"));
        written.mode = Mode::Recommended;
        control.put_campaign(&written).await.unwrap();
        control.put_campaign(&campaign("test", "e")).await.unwrap();
        assert_eq!(control.still_to_follow(&id).await.unwrap(), 0);
        for (campaign, rows) in [(&rest, 30), (&campaign_id("test"), 50)] {
            assert!(control.set_campaign_state(campaign, &[Draft], Planning).await.unwrap());
            assert!(control.plan_ready(campaign, 1, "plan", None, &new_slices(&[(0, rows, 0)])).await.unwrap());
        }
        assert_eq!(control.still_to_follow(&id).await.unwrap(), 30, "those of the test do not follow");
    }
}
