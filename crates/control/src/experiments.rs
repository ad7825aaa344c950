//! Experiments as people wrote them, and the readouts that decisions rest on.

use std::sync::Arc;

use experiment::Readout;
use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;
use vocabulary::{Experiment, ExperimentId};

use crate::balanced::forget_balanced;
use crate::recommendations::read_guidance;
use crate::store::{begin, bump, commit};
use crate::{Control, ControlError};

impl Control {
    /// Stores an experiment; whether it is new. Once one of its campaigns was started, its variants and what they are balanced by
    /// stay as they are, because recipients were assigned by them; the rest can still be changed.
    ///
    /// # Errors
    /// [`ControlError::Frozen`] where the variants or the balance would change after a campaign was started.
    pub async fn put_experiment(&self, experiment: &Experiment) -> Result<bool, ControlError> {
        let definition = to_json("an experiment", experiment)?;
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let old = read_experiment(&mut transaction, &experiment.experiment).await?;
        let changed = match &old {
            Some(old) if old.variants != experiment.variants => Some("the variants as they are"),
            Some(old) if old.balance != experiment.balance => Some("the balance as it is"),
            Some(old) if old.layer != experiment.layer => Some("the layer as it is"),
            _ => None,
        };
        if let Some(kept) = changed {
            refuse_if_started(&mut transaction, &experiment.experiment, kept).await?;
            forget_balanced(&mut transaction, &experiment.experiment).await?;
        }
        refuse_if_taken(&mut transaction, experiment).await?;
        // What senders go by depends on the experiment too.
        let change = bump(&mut transaction, "recommendations").await?;
        sqlx::query(
            "INSERT INTO experiments (experiment_id, definition, created_at, updated_at, change) VALUES ($1, $2, $3, $3, $4)
             ON CONFLICT (experiment_id) DO UPDATE
             SET definition = excluded.definition, updated_at = excluded.updated_at, change = excluded.change",
        )
        .bind(experiment.experiment.as_str())
        .bind(definition)
        .bind(self.now().as_microsecond())
        .bind(change)
        .execute(&mut *transaction)
        .await
        .map_err(ControlError::query("storing an experiment"))?;
        let guidance = read_guidance(&mut transaction, &experiment.experiment).await?;
        commit(transaction).await?;
        if let Some((change, guidance)) = guidance {
            self.watcher.publish(&experiment.experiment, change, Arc::new(guidance));
        }
        Ok(old.is_none())
    }

    /// The experiment of that id.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn experiment(&self, id: &ExperimentId) -> Result<Option<Experiment>, ControlError> {
        read_experiment(&mut *self.reader().await, id).await
    }

    /// All experiments, oldest first.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn experiments(&self) -> Result<Vec<Experiment>, ControlError> {
        let rows: Vec<String> = sqlx::query_scalar("SELECT definition FROM experiments ORDER BY created_at, experiment_id")
            .fetch_all(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("reading the experiments"))?;
        rows.iter().map(|text| from_json("an experiment", text)).collect()
    }

    /// Keeps a readout, with its digest and the experiment as it is written now. Readouts are never changed: the same id again is
    /// harmless and changes nothing. Where the experiment was changed while it was read out, it is kept without.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] where its experiment is unknown.
    pub async fn put_readout(&self, readout: &Readout) -> Result<(), ControlError> {
        let body = readout.to_json();
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let Some(experiment) = read_experiment(&mut transaction, &readout.experiment_id).await? else {
            return Err(ControlError::NotFound { noun: "experiment", id: readout.experiment_id.to_string() });
        };
        let definition = readout.is_of(&experiment).then(|| to_json("an experiment", &experiment)).transpose()?;
        sqlx::query(
            "INSERT INTO readouts (readout_id, experiment_id, body, stored_at, digest, definition)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (readout_id) DO NOTHING",
        )
        .bind(readout.id.as_str())
        .bind(readout.experiment_id.as_str())
        .bind(&body)
        .bind(self.now().as_microsecond())
        .bind(experiment::digest(&body))
        .bind(definition)
        .execute(&mut *transaction)
        .await
        .map_err(ControlError::query("storing a readout"))?;
        commit(transaction).await
    }

    /// The readout of an experiment that was kept last.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn latest_readout(&self, id: &ExperimentId) -> Result<Option<Readout>, ControlError> {
        let row: Option<String> =
            sqlx::query_scalar("SELECT body FROM readouts WHERE experiment_id = $1 ORDER BY readout_seq DESC LIMIT 1")
                .bind(id.as_str())
                .fetch_optional(&mut *self.reader().await)
                .await
                .map_err(ControlError::query("reading the latest readout"))?;
        row.map(|text| from_json("a readout", &text)).transpose()
    }

    /// The readout of that id.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn readout(&self, id: &str) -> Result<Option<Readout>, ControlError> {
        let row: Option<String> = sqlx::query_scalar("SELECT body FROM readouts WHERE readout_id = $1")
            .bind(id)
            .fetch_optional(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("reading a readout"))?;
        row.map(|text| from_json("a readout", &text)).transpose()
    }
}

/// Reads an experiment through whichever connection is at hand.
pub(crate) async fn read_experiment(
    connection: &mut SqliteConnection,
    id: &ExperimentId,
) -> Result<Option<Experiment>, ControlError> {
    let row: Option<String> = sqlx::query_scalar("SELECT definition FROM experiments WHERE experiment_id = $1")
        .bind(id.as_str())
        .fetch_optional(connection)
        .await
        .map_err(ControlError::query("reading an experiment"))?;
    row.map(|text| from_json("an experiment", &text)).transpose()
}

/// The stored form of something people wrote.
pub(crate) fn to_json(what: &'static str, value: &impl Serialize) -> Result<String, ControlError> {
    serde_json::to_string(value).map_err(ControlError::json(what))
}

/// Reads the stored form.
pub(crate) fn from_json<'a, T: Deserialize<'a>>(what: &'static str, text: &'a str) -> Result<T, ControlError> {
    serde_json::from_str(text).map_err(ControlError::json(what))
}

async fn refuse_if_started(connection: &mut SqliteConnection, experiment: &ExperimentId, kept: &str) -> Result<(), ControlError> {
    let started: Option<String> = sqlx::query_scalar(
        "SELECT campaign_id FROM campaigns
         WHERE experiment_id = $1 AND (plan_version > 0 OR state NOT IN ('draft', 'failed'))
         ORDER BY created_at, campaign_id LIMIT 1",
    )
    .bind(experiment.as_str())
    .fetch_optional(connection)
    .await
    .map_err(ControlError::query("looking for campaigns of an experiment"))?;
    let Some(campaign) = started else { return Ok(()) };
    let reason = format!("its campaign `{campaign}` was started with {kept}; make a new experiment for others");
    Err(ControlError::Frozen { noun: "experiment", id: experiment.to_string(), reason })
}

impl Control {
    /// The table versions that stored readouts name, one map a readout.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn readout_versions(&self) -> Result<Vec<std::collections::BTreeMap<String, i64>>, ControlError> {
        let versions: Vec<Option<String>> = sqlx::query_scalar("SELECT json_extract(body, '$.versions') FROM readouts")
            .fetch_all(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("reading the versions of readouts"))?;
        versions.into_iter().flatten().map(|text| from_json("the versions of a readout", &text)).collect()
    }
}

/// Refuses a part of a layer that another experiment has which is not decided yet.
async fn refuse_if_taken(writer: &mut SqliteConnection, experiment: &Experiment) -> Result<(), ControlError> {
    let Some(layer) = &experiment.layer else { return Ok(()) };
    let rows: Vec<String> = sqlx::query_scalar(
        "SELECT definition FROM experiments e
         WHERE definition -> 'layer' ->> 'name' = $1 AND experiment_id <> $2
             AND NOT EXISTS (SELECT 1 FROM verdicts v WHERE v.experiment_id = e.experiment_id)
         ORDER BY experiment_id",
    )
    .bind(&layer.name)
    .bind(experiment.experiment.as_str())
    .fetch_all(writer)
    .await
    .map_err(ControlError::query("looking for experiments of the same layer"))?;
    for row in rows {
        let other: Experiment = from_json("an experiment", &row)?;
        if let Some(theirs) = other.layer.filter(|theirs| theirs.meets(layer)) {
            let reason = format!(
                "has {} to {} of `{}`, and `{}` has {} to {} and is not decided yet; take another part, or another layer",
                layer.from, layer.to, layer.name, other.experiment, theirs.from, theirs.to
            );
            return Err(ControlError::Invalid { field: "layer", reason });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CampaignState;
    use crate::testing::{World, at, campaign, campaign_id, experiment, experiment_id};

    /// A readout as small as one can be.
    fn readout(id: &str, experiment: &str) -> Readout {
        let experiment = crate::testing::experiment(experiment, &["a", "b"]);
        let observations = experiment::Observations {
            versions: [("clicks".to_owned(), 3)].into(),
            engine: "test".into(),
            as_of: at(0),
            arms: Vec::new(),
            immature: 0,
            crossovers: 0,
            strangers: 0,
            unconverted_orders: 0,
            erased_units: 0,
        };
        experiment::readout(&experiment, &observations, id)
    }

    #[tokio::test]
    async fn an_experiment_is_created_changed_and_listed_by_age() {
        let world = World::new();
        let control = world.open().await;
        assert!(control.put_experiment(&experiment("z", &["a", "b"])).await.unwrap());
        world.clock.set(at(1));
        assert!(control.put_experiment(&experiment("e", &["a", "b"])).await.unwrap());
        let changed = experiment("z", &["a", "b", "c"]);
        assert!(!control.put_experiment(&changed).await.unwrap());
        assert_eq!(control.experiment(&experiment_id("z")).await.unwrap(), Some(changed.clone()));
        assert_eq!(control.experiment(&experiment_id("none")).await.unwrap(), None);
        assert_eq!(control.experiments().await.unwrap(), [changed, experiment("e", &["a", "b"])]);
    }

    #[tokio::test]
    async fn variants_are_frozen_once_a_campaign_was_started() {
        let world = World::new();
        let control = world.open().await;
        let (mut question, mut weight) = (experiment("e", &["a", "b"]), experiment("e", &["a", "b"]));
        control.put_experiment(&question).await.unwrap();
        control.put_campaign(&campaign("c", "e")).await.unwrap();
        weight.variants[0].weight = 2;
        control.put_experiment(&weight).await.expect("a draft freezes nothing");
        let id = campaign_id("c");
        let started = control.set_campaign_state(&id, &[CampaignState::Draft], CampaignState::Planning);
        assert!(started.await.unwrap());
        let error = control.put_experiment(&question).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "experiment `e` can no longer be changed: its campaign `c` was started with the variants as they are; make a new \
             experiment for others"
        );
        question.variants = weight.variants;
        question.question = "Another question?".into();
        assert!(!control.put_experiment(&question).await.unwrap());
    }

    #[tokio::test]
    async fn readouts_are_kept_as_they_were() {
        let world = World::new();
        let control = world.open().await;
        control.put_experiment(&experiment("e", &["a", "b"])).await.unwrap();
        let id = experiment_id("e");
        assert_eq!(control.latest_readout(&id).await.unwrap(), None);
        let (first, second) = (readout("r1", "e"), readout("r2", "e"));
        control.put_readout(&first).await.unwrap();
        control.put_readout(&second).await.unwrap();
        control.put_readout(&Readout { engine: "other".into(), ..first.clone() }).await.unwrap();
        assert_eq!(control.latest_readout(&id).await.unwrap(), Some(second));
        assert_eq!(control.readout("r1").await.unwrap(), Some(first));
        assert_eq!(control.readout("none").await.unwrap(), None);
        let error = control.put_readout(&readout("r3", "none")).await.unwrap_err();
        assert!(matches!(error, ControlError::NotFound { noun: "experiment", .. }), "{error}");
    }

    #[tokio::test]
    async fn a_part_of_a_layer_belongs_to_one_experiment_until_that_is_decided() {
        let world = World::new();
        let control = world.open().await;
        let part = |id: &str, from, to| Experiment {
            layer: Some(vocabulary::Layer { name: "subjects".to_owned(), from, to }),
            ..experiment(id, &["a", "b"])
        };
        control.put_experiment(&part("one", 0, 50)).await.unwrap();
        control.put_experiment(&part("two", 50, 100)).await.unwrap();
        control.put_experiment(&part("one", 0, 40)).await.unwrap();
        let refusal = control.put_experiment(&part("three", 30, 45)).await.unwrap_err().to_string();
        let expect = "layer: has 30 to 45 of `subjects`, and `one` has 0 to 40 and is not decided yet; take another part, or another layer";
        assert_eq!(refusal, expect);
        control.put_experiment(&part("three", 40, 50)).await.unwrap();
    }
}
