//! Which draw of its assignment counts for an experiment whose groups were balanced. The first plan decides, for all that come.

use experiment::Balanced;
use sqlx::SqliteConnection;
use vocabulary::ExperimentId;

use crate::experiments::{from_json, read_experiment, to_json};
use crate::store::{begin, commit};
use crate::{Control, ControlError};

impl Control {
    /// Keeps the draw that a plan of an experiment chose, unless one was kept before: then that one is told, and counts.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] where the experiment is unknown.
    pub async fn keep_balanced(&self, experiment: &ExperimentId, balanced: &Balanced) -> Result<Option<Balanced>, ControlError> {
        let record = to_json("a draw", balanced)?;
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        if read_experiment(&mut transaction, experiment).await?.is_none() {
            return Err(ControlError::NotFound { noun: "experiment", id: experiment.to_string() });
        }
        let before = read_balanced(&mut transaction, experiment).await?;
        if before.is_none() {
            sqlx::query("INSERT INTO balanced (experiment_id, record, stored_at) VALUES ($1, $2, $3)")
                .bind(experiment.as_str())
                .bind(record)
                .bind(self.now().as_microsecond())
                .execute(&mut *transaction)
                .await
                .map_err(ControlError::query("keeping the draw of an experiment"))?;
        }
        commit(transaction).await?;
        Ok(before)
    }

    /// The draw that counts for an experiment, where its groups were balanced.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn balanced(&self, experiment: &ExperimentId) -> Result<Option<Balanced>, ControlError> {
        read_balanced(&mut *self.reader().await, experiment).await
    }
}

async fn read_balanced(connection: &mut SqliteConnection, experiment: &ExperimentId) -> Result<Option<Balanced>, ControlError> {
    let row: Option<String> = sqlx::query_scalar("SELECT record FROM balanced WHERE experiment_id = $1")
        .bind(experiment.as_str())
        .fetch_optional(connection)
        .await
        .map_err(ControlError::query("reading the draw of an experiment"))?;
    row.map(|text| from_json("a draw", &text)).transpose()
}

/// Forgets a draw that nobody was assigned by, because variants or what is balanced are others now.
pub(crate) async fn forget_balanced(connection: &mut SqliteConnection, experiment: &ExperimentId) -> Result<(), ControlError> {
    sqlx::query("DELETE FROM balanced WHERE experiment_id = $1")
        .bind(experiment.as_str())
        .execute(connection)
        .await
        .map_err(ControlError::query("forgetting the draw of an experiment"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use experiment::CovariateBalance;
    use vocabulary::{Balance, Covariate, Experiment};

    use super::*;
    use crate::CampaignState;
    use crate::testing::{World, at, campaign, campaign_id, experiment, experiment_id};

    fn record(draw: u32) -> Balanced {
        Balanced {
            draw,
            draws: draw + 1,
            accepted: true,
            threshold: 2.5,
            distance: Some(1.25),
            first_distance: Some(40.0),
            contacts: 1_000,
            covariates: vec![CovariateBalance { covariate: "revenue".into(), first: 0.5, chosen: 0.0625 }],
            campaign: campaign_id("c"),
            at: at(7),
        }
    }

    fn balanced_experiment() -> Experiment {
        let balance = Balance { covariates: vec![Covariate::Revenue], days: 90, acceptance: 0.1 };
        Experiment { balance: Some(balance), ..experiment("e", &["a", "b"]) }
    }

    #[tokio::test]
    async fn the_first_draw_is_kept_for_ever() {
        let world = World::new();
        let control = world.open().await;
        let id = experiment_id("e");
        let error = control.keep_balanced(&id, &record(3)).await.unwrap_err();
        assert!(matches!(error, ControlError::NotFound { noun: "experiment", .. }), "{error}");
        control.put_experiment(&balanced_experiment()).await.unwrap();
        assert_eq!(control.balanced(&id).await.unwrap(), None);
        assert_eq!(control.keep_balanced(&id, &record(3)).await.unwrap(), None);
        assert_eq!(control.keep_balanced(&id, &record(4)).await.unwrap(), Some(record(3)));
        assert_eq!(control.balanced(&id).await.unwrap(), Some(record(3)));
        let changed = sqlx::query("UPDATE balanced SET record = '{}'").execute(&mut *control.writer().await).await;
        assert!(changed.unwrap_err().to_string().contains("the draw of an experiment is never changed"));
        drop(control);
        assert_eq!(world.open().await.balanced(&id).await.unwrap(), Some(record(3)));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_plans_at_the_same_time_one_decides() {
        let world = World::new();
        let (one, other) = (world.open().await, world.open().await);
        let id = experiment_id("e");
        one.put_experiment(&balanced_experiment()).await.unwrap();
        let plans = (0..8_u32).map(|draw| {
            let control: Arc<Control> = if draw % 2 == 0 { one.clone() } else { other.clone() };
            let id = id.clone();
            tokio::spawn(async move { (draw, control.keep_balanced(&id, &record(draw)).await.unwrap()) })
        });
        let mut first = Vec::new();
        let mut told = Vec::new();
        for plan in plans.collect::<Vec<_>>() {
            match plan.await.unwrap() {
                (draw, None) => first.push(draw),
                (_, Some(before)) => told.push(before.draw),
            }
        }
        assert_eq!(first.len(), 1, "{first:?}");
        assert_eq!(told, [first[0]; 7]);
        assert_eq!(one.balanced(&id).await.unwrap(), Some(record(first[0])));
    }

    #[tokio::test]
    async fn the_balance_is_frozen_once_a_campaign_was_started() {
        let world = World::new();
        let control = world.open().await;
        let (id, plain, balanced) = (experiment_id("e"), experiment("e", &["a", "b"]), balanced_experiment());
        control.put_experiment(&balanced).await.unwrap();
        control.put_campaign(&campaign("c", "e")).await.unwrap();
        // A plan that came to nothing kept its draw. Nobody was assigned by it, so that with other groups it is forgotten.
        control.keep_balanced(&id, &record(3)).await.unwrap();
        control.put_experiment(&Experiment { question: "Another?".into(), ..balanced.clone() }).await.unwrap();
        assert_eq!(control.balanced(&id).await.unwrap(), Some(record(3)));
        control.put_experiment(&plain).await.unwrap();
        assert_eq!(control.balanced(&id).await.unwrap(), None);
        control.put_experiment(&balanced).await.unwrap();
        let id = campaign_id("c");
        let started = control.set_campaign_state(&id, &[CampaignState::Draft], CampaignState::Planning);
        assert!(started.await.unwrap());
        let error = control.put_experiment(&plain).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "experiment `e` can no longer be changed: its campaign `c` was started with the balance as it is; make a new \
             experiment for others"
        );
        assert!(!control.put_experiment(&balanced).await.unwrap());
    }
}
