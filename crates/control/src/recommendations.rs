//! Recommendations: immutable rows, and one pointer per experiment to the current one, moved by compare-and-set.

use std::sync::Arc;

use sqlx::SqliteConnection;
use tokio::sync::watch;
use vocabulary::world::to_micros;
use vocabulary::{Experiment, ExperimentId, Recommendation, RecommendationId, VariantName};

use crate::store::{begin, bump, commit, parsed, time};
use crate::{Control, ControlError};

impl Control {
    /// Stores `recommendation` and makes it current, where its parent is the current one. The same recommendation again is
    /// harmless: nothing changes, even when another has become current since.
    ///
    /// # Errors
    /// [`ControlError::Conflict`] with the current one, [`ControlError::NotFound`] where the experiment is unknown,
    /// [`ControlError::Invalid`] for a variant the experiment does not have, [`ControlError::Frozen`] where the id
    /// belongs to another recommendation.
    pub async fn recommend(&self, recommendation: &Recommendation) -> Result<(), ControlError> {
        let mut recommendation = recommendation.clone();
        recommendation.created_at = to_micros(recommendation.created_at);
        let experiment = self.experiment(&recommendation.experiment_id).await?;
        let experiment = experiment
            .ok_or_else(|| ControlError::NotFound { noun: "experiment", id: recommendation.experiment_id.to_string() })?;
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        if let Some(same_id) = by_id(&mut transaction, &recommendation.id).await? {
            return if same_id == recommendation { Ok(()) } else { Err(id_taken(&recommendation.id)) };
        }
        check_variant(&experiment, &recommendation.variant)?;
        let current = read_current(&mut transaction, &recommendation.experiment_id).await?.map(|(_, current)| current);
        if current.as_ref().map(|current| &current.id) != recommendation.parent.as_ref() {
            return Err(ControlError::Conflict { current: current.map(Box::new) });
        }
        insert(&mut transaction, &recommendation).await?;
        let change = bump(&mut transaction, "recommendations").await?;
        point_to(&mut transaction, &recommendation, change).await?;
        commit(transaction).await?;
        let id = recommendation.experiment_id.clone();
        self.watcher.publish(&id, change, Arc::new(recommendation));
        drop(writer);
        Ok(())
    }

    /// The current recommendation.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn current(&self, id: &ExperimentId) -> Result<Option<Recommendation>, ControlError> {
        Ok(self.current_with_change(id).await?.map(|(_, current)| current))
    }

    /// All recommendations of an experiment, newest first.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn recommendations(&self, id: &ExperimentId) -> Result<Vec<Recommendation>, ControlError> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT 0, recommendation_id, experiment_id, variant, parent, reason, readout_id, created_at
             FROM recommendations WHERE experiment_id = $1 ORDER BY recommendation_seq DESC",
        )
        .bind(id.as_str())
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("reading recommendations"))?;
        rows.into_iter().map(|row| row.read().map(|(_, recommendation)| recommendation)).collect()
    }

    /// The current recommendation as it changes: at once by this process, within a quarter of a second by another. The
    /// value in the receiver is the current one and counts as seen, so `changed` waits for the next.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn watch(&self, id: &ExperimentId) -> Result<watch::Receiver<Option<Arc<Recommendation>>>, ControlError> {
        // Subscribed before reading, so that what is recommended in between is not missed.
        let mut receiver = self.watcher.subscribe(id);
        if let Some((change, current)) = self.current_with_change(id).await? {
            self.watcher.publish(id, change, Arc::new(current));
        }
        receiver.mark_unchanged();
        Ok(receiver)
    }

    /// The current recommendation and the change number with which it became so.
    pub(crate) async fn current_with_change(&self, id: &ExperimentId) -> Result<Option<(i64, Recommendation)>, ControlError> {
        read_current(&mut *self.reader().await, id).await
    }
}

/// A stored recommendation.
#[derive(sqlx::FromRow)]
struct Row(i64, String, String, String, Option<String>, String, Option<String>, i64);

impl Row {
    /// The change number, where one was selected, and the recommendation.
    fn read(self) -> Result<(i64, Recommendation), ControlError> {
        let Self(change, id, experiment_id, variant, parent, reason, readout_id, created_at) = self;
        let recommendation_id = |text: &str| parsed("a recommendation's id", text, RecommendationId::new);
        let recommendation = Recommendation {
            id: recommendation_id(&id)?,
            experiment_id: parsed("an experiment's id", &experiment_id, ExperimentId::new)?,
            variant: parsed("a variant's name", &variant, VariantName::new)?,
            parent: parent.as_deref().map(recommendation_id).transpose()?,
            reason,
            readout_id,
            created_at: time(created_at)?,
        };
        Ok((change, recommendation))
    }
}

async fn by_id(connection: &mut SqliteConnection, id: &RecommendationId) -> Result<Option<Recommendation>, ControlError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT 0, recommendation_id, experiment_id, variant, parent, reason, readout_id, created_at
         FROM recommendations WHERE recommendation_id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(connection)
    .await
    .map_err(ControlError::query("reading a recommendation"))?;
    row.map(|row| row.read().map(|(_, recommendation)| recommendation)).transpose()
}

async fn read_current(
    connection: &mut SqliteConnection,
    id: &ExperimentId,
) -> Result<Option<(i64, Recommendation)>, ControlError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT c.change, r.recommendation_id, r.experiment_id, r.variant, r.parent, r.reason, r.readout_id, r.created_at
         FROM current_recommendations c JOIN recommendations r ON r.recommendation_id = c.recommendation_id
         WHERE c.experiment_id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(connection)
    .await
    .map_err(ControlError::query("reading the current recommendation"))?;
    row.map(Row::read).transpose()
}

async fn insert(connection: &mut SqliteConnection, recommendation: &Recommendation) -> Result<(), ControlError> {
    sqlx::query(
        "INSERT INTO recommendations (recommendation_id, experiment_id, variant, parent, reason, readout_id, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(recommendation.id.as_str())
    .bind(recommendation.experiment_id.as_str())
    .bind(recommendation.variant.as_str())
    .bind(recommendation.parent.as_ref().map(RecommendationId::as_str))
    .bind(recommendation.reason.as_str())
    .bind(recommendation.readout_id.as_deref())
    .bind(recommendation.created_at.as_microsecond())
    .execute(connection)
    .await
    .map_err(ControlError::query("storing a recommendation"))?;
    Ok(())
}

async fn point_to(connection: &mut SqliteConnection, recommendation: &Recommendation, change: i64) -> Result<(), ControlError> {
    sqlx::query(
        "INSERT INTO current_recommendations (experiment_id, recommendation_id, change) VALUES ($1, $2, $3)
         ON CONFLICT (experiment_id) DO UPDATE SET recommendation_id = excluded.recommendation_id, change = excluded.change",
    )
    .bind(recommendation.experiment_id.as_str())
    .bind(recommendation.id.as_str())
    .bind(change)
    .execute(connection)
    .await
    .map_err(ControlError::query("making a recommendation current"))?;
    Ok(())
}

fn check_variant(experiment: &Experiment, variant: &VariantName) -> Result<(), ControlError> {
    if experiment.variant(variant).is_some() {
        return Ok(());
    }
    let names: Vec<_> = experiment.variants.iter().map(|variant| format!("`{}`", variant.name)).collect();
    let reason = format!("`{variant}` is no variant of `{}`; it has {}", experiment.experiment, names.join(", "));
    Err(ControlError::Invalid { field: "variant", reason })
}

fn id_taken(id: &RecommendationId) -> ControlError {
    let reason = "a recommendation never changes; give the new one an id of its own".to_owned();
    ControlError::Frozen { noun: "recommendation", id: id.to_string(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, experiment, experiment_id, recommendation};

    async fn with_experiment(world: &World) -> Arc<Control> {
        let control = world.open().await;
        control.put_experiment(&experiment("e", &["a", "b"])).await.unwrap();
        control
    }

    #[tokio::test]
    async fn only_a_child_of_the_current_one_becomes_current() {
        let world = World::new();
        let (one, two) = (with_experiment(&world).await, world.open().await);
        let id = experiment_id("e");
        assert_eq!(one.current(&id).await.unwrap(), None);
        one.recommend(&recommendation("r1", "a", None)).await.unwrap();
        two.recommend(&recommendation("r2", "b", Some("r1"))).await.unwrap();
        let error = one.recommend(&recommendation("r3", "a", Some("r1"))).await.unwrap_err();
        let ControlError::Conflict { current } = error else { panic!("{error}") };
        assert_eq!(current.map(|current| *current), Some(recommendation("r2", "b", Some("r1"))));
        assert!(matches!(two.recommend(&recommendation("r4", "a", None)).await, Err(ControlError::Conflict { .. })));
        let history = one.recommendations(&id).await.unwrap();
        assert_eq!(history, [recommendation("r2", "b", Some("r1")), recommendation("r1", "a", None)]);
    }

    #[tokio::test]
    async fn saying_it_again_is_harmless_and_never_moves_back() {
        let world = World::new();
        let control = with_experiment(&world).await;
        control.recommend(&recommendation("r1", "a", None)).await.unwrap();
        control.recommend(&recommendation("r2", "b", Some("r1"))).await.unwrap();
        control.recommend(&recommendation("r1", "a", None)).await.unwrap();
        assert_eq!(control.current(&experiment_id("e")).await.unwrap(), Some(recommendation("r2", "b", Some("r1"))));
        let error = control.recommend(&recommendation("r1", "b", None)).await.unwrap_err();
        assert!(matches!(error, ControlError::Frozen { .. }), "{error}");
    }

    #[tokio::test]
    async fn it_names_a_known_experiment_and_variant() {
        let world = World::new();
        let control = with_experiment(&world).await;
        let error = control.recommend(&recommendation("r1", "c", None)).await.unwrap_err();
        assert_eq!(error.to_string(), "variant: `c` is no variant of `e`; it has `a`, `b`");
        let mut unknown = recommendation("r1", "a", None);
        unknown.experiment_id = experiment_id("none");
        assert!(matches!(control.recommend(&unknown).await, Err(ControlError::NotFound { .. })));
    }

    #[tokio::test]
    async fn a_stored_recommendation_cannot_be_changed_even_by_sql() {
        let world = World::new();
        let control = with_experiment(&world).await;
        control.recommend(&recommendation("r1", "a", None)).await.unwrap();
        let changed = sqlx::query("UPDATE recommendations SET variant = 'b'").execute(&mut *control.writer().await).await;
        assert!(changed.unwrap_err().to_string().contains("never changed"));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_many_deciders_in_two_processes_one_wins_each_step() {
        let world = World::new();
        let (one, two) = (with_experiment(&world).await, world.open().await);
        let mut parent = None;
        for step in 0..5 {
            let tries = (0..8).map(|number| {
                let control = if number % 2 == 0 { one.clone() } else { two.clone() };
                let child = recommendation(&format!("r{step}-{number}"), "a", parent.as_deref());
                tokio::spawn(async move { control.recommend(&child).await.map(|()| child.id) })
            });
            let results = futures::future::join_all(tries).await;
            let won: Vec<_> = results.into_iter().filter_map(|result| result.unwrap().ok()).collect();
            assert_eq!(won.len(), 1, "step {step}");
            parent = Some(won[0].to_string());
        }
        assert_eq!(one.recommendations(&experiment_id("e")).await.unwrap().len(), 5);
    }

    #[tokio::test]
    async fn watchers_in_both_processes_see_the_change() {
        let world = World::new();
        let (one, two) = (with_experiment(&world).await, world.open().await);
        let id = experiment_id("e");
        one.recommend(&recommendation("r1", "a", None)).await.unwrap();
        let mut near = one.watch(&id).await.unwrap();
        let mut far = two.watch(&id).await.unwrap();
        assert_eq!(near.borrow().as_deref(), Some(&recommendation("r1", "a", None)));
        assert!(!near.has_changed().unwrap() && !far.has_changed().unwrap());
        one.recommend(&recommendation("r2", "b", Some("r1"))).await.unwrap();
        assert!(near.has_changed().unwrap(), "a change by the same process is there when `recommend` returns");
        let bound = std::time::Duration::from_secs(10);
        tokio::time::timeout(bound, far.changed()).await.expect("the poller sees it").unwrap();
        assert_eq!(far.borrow_and_update().as_deref(), Some(&recommendation("r2", "b", Some("r1"))));
        assert_eq!(near.borrow_and_update().as_deref(), Some(&recommendation("r2", "b", Some("r1"))));
    }

    #[tokio::test]
    async fn an_older_recommendation_is_never_shown_after_a_newer() {
        let world = World::new();
        let control = with_experiment(&world).await;
        let id = experiment_id("e");
        let receiver = control.watch(&id).await.unwrap();
        control.recommend(&recommendation("r1", "a", None)).await.unwrap();
        control.recommend(&recommendation("r2", "b", Some("r1"))).await.unwrap();
        control.watcher.publish(&id, 1, Arc::new(recommendation("r1", "a", None)));
        assert_eq!(receiver.borrow().as_deref(), Some(&recommendation("r2", "b", Some("r1"))));
    }

    #[tokio::test]
    async fn a_dropped_control_ends_its_watches() {
        let world = World::new();
        let control = with_experiment(&world).await;
        let mut receiver = control.watch(&experiment_id("e")).await.unwrap();
        drop(control);
        let bound = std::time::Duration::from_secs(10);
        assert!(tokio::time::timeout(bound, receiver.changed()).await.expect("the task ends").is_err());
    }
}
