//! Recommendations: immutable rows, and one pointer per experiment and scope to the current one, moved by compare-and-set.

use std::collections::BTreeMap;
use std::sync::Arc;

use experiment::Guidance;
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::watch;
use vocabulary::recommendation::WEIGHTS_TOLERANCE;
use vocabulary::world::to_micros;
use vocabulary::{Experiment, ExperimentId, Recommendation, RecommendationId, RecommendationScope, VariantName};

use crate::experiments::{from_json, read_experiment, to_json};
use crate::proposals::{Settling, settle};
use crate::store::{begin, bump, commit, parsed, time};
use crate::{Control, ControlError};

/// The columns of [`Row`], of the table `r`.
macro_rules! columns {
    () => {
        "r.recommendation_seq, r.recommendation_id, r.experiment_id, r.market, r.locale, r.segment, r.variant, r.weights, r.parent,
         r.reason, r.readout_id, r.valid_until, r.expected,
         r.created_at"
    };
}

/// A recommendation with its place among all that were ever made.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberedRecommendation {
    /// Grows with each recommendation of whichever experiment.
    pub number: i64,
    /// The recommendation.
    pub recommendation: Recommendation,
}

impl Control {
    /// Stores `recommendation` and makes it current in its scope, where its parent is the current one there. The same recommendation
    /// again is harmless: nothing changes, even when another has become current since.
    ///
    /// # Errors
    /// [`ControlError::Conflict`] with the current one, [`ControlError::NotFound`] where the experiment is unknown,
    /// [`ControlError::Invalid`] for a variant the experiment does not have or weights that are none, [`ControlError::Frozen`] where
    /// the id belongs to another recommendation.
    pub async fn recommend(&self, recommendation: &Recommendation) -> Result<(), ControlError> {
        self.recommend_all(std::slice::from_ref(recommendation)).await
    }

    /// The same of several of one experiment: all of them, or where one cannot be made none.
    ///
    /// # Errors
    /// As [`Control::recommend`].
    pub async fn recommend_all(&self, recommendations: &[Recommendation]) -> Result<(), ControlError> {
        self.recommend_settling(recommendations, None).await
    }

    /// The same, with what it settles in the same commit.
    pub(crate) async fn recommend_settling(
        &self,
        recommendations: &[Recommendation],
        settling: Option<&Settling<'_>>,
    ) -> Result<(), ControlError> {
        let Some(id) = recommendations.first().map(|made| made.experiment_id.clone()) else { return Ok(()) };
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let experiment = read_experiment(&mut transaction, &id).await?;
        let experiment = experiment.ok_or_else(|| ControlError::NotFound { noun: "experiment", id: id.to_string() })?;
        let mut changed = None;
        for recommendation in recommendations {
            changed = make(&mut transaction, &experiment, recommendation).await?.or(changed);
        }
        if let Some(settling) = settling {
            settle(&mut transaction, settling, self.now()).await?;
        }
        let guidance = if changed.is_some() { read_guidance(&mut transaction, &id).await? } else { None };
        commit(transaction).await?;
        if let Some((change, guidance)) = guidance {
            self.watcher.publish(&id, change, Arc::new(guidance));
        }
        if let Some(change) = changed {
            self.watcher.publish_recommendations(change);
        }
        drop(writer);
        Ok(())
    }

    /// The current recommendation for everybody.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn current(&self, id: &ExperimentId) -> Result<Option<Recommendation>, ControlError> {
        read_current(&mut *self.reader().await, id, &RecommendationScope::default()).await
    }

    /// All recommendations of an experiment, newest first.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn recommendations(&self, id: &ExperimentId) -> Result<Vec<Recommendation>, ControlError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM recommendations r WHERE r.experiment_id = $1 ORDER BY r.recommendation_seq DESC"
        );
        let rows: Vec<Row> = sqlx::query_as(sql)
            .bind(id.as_str())
            .fetch_all(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("reading recommendations"))?;
        rows.into_iter().map(|row| Ok(row.read()?.recommendation)).collect()
    }

    /// The first `count` recommendations behind the number `after`, of one experiment or of all, in the order in which they were made.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn recommendations_after(
        &self,
        experiment: Option<&ExperimentId>,
        after: i64,
        count: u32,
    ) -> Result<Vec<NumberedRecommendation>, ControlError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM recommendations r WHERE r.recommendation_seq > $1 AND ($2 IS NULL OR r.experiment_id = $2)
             ORDER BY r.recommendation_seq LIMIT $3"
        );
        let rows: Vec<Row> = sqlx::query_as(sql)
            .bind(after)
            .bind(experiment.map(ExperimentId::as_str))
            .bind(count)
            .fetch_all(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("reading newer recommendations"))?;
        rows.into_iter().map(Row::read).collect()
    }

    /// The recommendations that are current, of one experiment or of all and for whichever scope, in the order in which they were made.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn current_recommendations(
        &self,
        experiment: Option<&ExperimentId>,
    ) -> Result<Vec<NumberedRecommendation>, ControlError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM current_recommendations c JOIN recommendations r ON r.recommendation_id = c.recommendation_id
             WHERE $1 IS NULL OR c.experiment_id = $1 ORDER BY r.recommendation_seq"
        );
        let rows: Vec<Row> = sqlx::query_as(sql)
            .bind(experiment.map(ExperimentId::as_str))
            .fetch_all(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("reading the current recommendations"))?;
        rows.into_iter().map(Row::read).collect()
    }

    /// What is recommended for an experiment now, for whichever scope, in the order in which it was made.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn recommended(&self, experiment: &ExperimentId) -> Result<Vec<Recommendation>, ControlError> {
        let current = self.current_recommendations(Some(experiment)).await?;
        Ok(current.into_iter().map(|one| one.recommendation).collect())
    }

    /// The number of the newest recommendation of all; 0 before the first.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn last_recommendation(&self) -> Result<i64, ControlError> {
        sqlx::query_scalar("SELECT coalesce(max(recommendation_seq), 0) FROM recommendations")
            .fetch_one(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("reading the newest recommendation's number"))
    }

    /// Moves when something was recommended for whichever experiment: at once by this process, within a quarter of a second by another.
    #[must_use]
    pub fn recommendations_changed(&self) -> watch::Receiver<u64> {
        self.watcher.recommendations()
    }

    /// What an experiment's senders go by now; `None` where there is no such experiment. It is read once and then remembered, and
    /// what this process changes is seen at once, what another does within a quarter of a second.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn guidance(&self, id: &ExperimentId) -> Result<Option<Arc<Guidance>>, ControlError> {
        match self.watcher.shown(id) {
            Some(known) => Ok(Some(known)),
            None => Ok(self.watch(id).await?.borrow().clone()),
        }
    }

    /// What an experiment's senders go by as it changes: at once by this process, within a quarter of a second by another. The
    /// value in the receiver counts as seen, so `changed` waits for the next; it is `None` while there is no such experiment.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn watch(&self, id: &ExperimentId) -> Result<watch::Receiver<Option<Arc<Guidance>>>, ControlError> {
        // Subscribed before reading, so that what is recommended in between is not missed.
        let mut receiver = self.watcher.subscribe(id);
        if receiver.borrow().is_none() {
            self.show(id).await?;
        }
        receiver.mark_unchanged();
        Ok(receiver)
    }

    /// Reads what the senders of an experiment go by and shows it to those who watch.
    pub(crate) async fn show(&self, id: &ExperimentId) -> Result<(), ControlError> {
        let mut reader = self.reader().await;
        // One moment for both, experiment and recommendations.
        let mut moment = reader.begin().await.map_err(ControlError::query("beginning to read"))?;
        let read = read_guidance(&mut moment, id).await?;
        commit(moment).await?;
        drop(reader);
        if let Some((change, guidance)) = read {
            self.watcher.publish(id, change, Arc::new(guidance));
        }
        Ok(())
    }
}

/// Makes one current, and gives the number of the change; `None` where it was made before.
async fn make(
    transaction: &mut SqliteConnection,
    experiment: &Experiment,
    recommendation: &Recommendation,
) -> Result<Option<i64>, ControlError> {
    let mut recommendation = recommendation.clone();
    recommendation.created_at = to_micros(recommendation.created_at);
    recommendation.valid_until = recommendation.valid_until.map(to_micros);
    if let Some(same_id) = by_id(transaction, &recommendation.id).await? {
        return if same_id == recommendation { Ok(None) } else { Err(id_taken(&recommendation.id)) };
    }
    check_variants(experiment, &recommendation)?;
    check_weights(&recommendation)?;
    let current = read_current(transaction, &experiment.experiment, &recommendation.scope).await?;
    if current.as_ref().map(|current| &current.id) != recommendation.parent.as_ref() {
        return Err(ControlError::Conflict { current: current.map(Box::new) });
    }
    insert(transaction, &recommendation).await?;
    let change = bump(transaction, "recommendations").await?;
    point_to(transaction, &recommendation, change).await?;
    Ok(Some(change))
}

/// What an experiment's senders go by, and the change number with which it became so. To be called in a transaction.
pub(crate) async fn read_guidance(
    connection: &mut SqliteConnection,
    id: &ExperimentId,
) -> Result<Option<(i64, Guidance)>, ControlError> {
    let Some(experiment) = read_experiment(connection, id).await? else { return Ok(None) };
    let change: i64 = sqlx::query_scalar(
        "SELECT max(e.change, (SELECT coalesce(max(c.change), 0) FROM current_recommendations c WHERE c.experiment_id = $1))
         FROM experiments e WHERE e.experiment_id = $1",
    )
    .bind(id.as_str())
    .fetch_one(&mut *connection)
    .await
    .map_err(ControlError::query("reading an experiment's change number"))?;
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM current_recommendations c JOIN recommendations r ON r.recommendation_id = c.recommendation_id
         WHERE c.experiment_id = $1"
    );
    let rows: Vec<Row> = sqlx::query_as(sql)
        .bind(id.as_str())
        .fetch_all(connection)
        .await
        .map_err(ControlError::query("reading what senders go by"))?;
    let current: Result<Vec<_>, _> = rows.into_iter().map(|row| Ok(row.read()?.recommendation)).collect();
    Ok(Some((change, Guidance::new(experiment, current?))))
}

/// A stored recommendation.
#[derive(sqlx::FromRow)]
struct Row {
    recommendation_seq: i64,
    recommendation_id: String,
    experiment_id: String,
    market: String,
    locale: String,
    segment: String,
    variant: String,
    weights: Option<String>,
    parent: Option<String>,
    reason: String,
    readout_id: Option<String>,
    valid_until: Option<i64>,
    expected: Option<String>,
    created_at: i64,
}

impl Row {
    fn read(self) -> Result<NumberedRecommendation, ControlError> {
        let recommendation_id = |text: &str| parsed("a recommendation's id", text, RecommendationId::new);
        let variant = parsed("a variant's name", &self.variant, VariantName::new)?;
        let named = |text: String| Some(text).filter(|text| !text.is_empty());
        let weights: Option<BTreeMap<VariantName, f64>> =
            self.weights.map(|text| from_json("a recommendation's weights", &text)).transpose()?;
        let recommendation = Recommendation {
            id: recommendation_id(&self.recommendation_id)?,
            experiment_id: parsed("an experiment's id", &self.experiment_id, ExperimentId::new)?,
            scope: RecommendationScope { market: named(self.market), locale: named(self.locale), segment: named(self.segment) },
            weights: weights.unwrap_or_else(|| Recommendation::all_to(&variant)),
            variant,
            parent: self.parent.as_deref().map(recommendation_id).transpose()?,
            reason: self.reason,
            readout_id: self.readout_id,
            valid_until: self.valid_until.map(time).transpose()?,
            expected: self.expected.map(|text| from_json("what a recommendation expects", &text)).transpose()?,
            created_at: time(self.created_at)?,
        };
        Ok(NumberedRecommendation { number: self.recommendation_seq, recommendation })
    }
}

async fn by_id(connection: &mut SqliteConnection, id: &RecommendationId) -> Result<Option<Recommendation>, ControlError> {
    let sql = concat!("SELECT ", columns!(), " FROM recommendations r WHERE r.recommendation_id = $1");
    let row: Option<Row> = sqlx::query_as(sql)
        .bind(id.as_str())
        .fetch_optional(connection)
        .await
        .map_err(ControlError::query("reading a recommendation"))?;
    row.map(|row| Ok(row.read()?.recommendation)).transpose()
}

async fn read_current(
    connection: &mut SqliteConnection,
    id: &ExperimentId,
    scope: &RecommendationScope,
) -> Result<Option<Recommendation>, ControlError> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM current_recommendations c JOIN recommendations r ON r.recommendation_id = c.recommendation_id
         WHERE c.experiment_id = $1 AND c.market = $2 AND c.locale = $3 AND c.segment = $4"
    );
    let row: Option<Row> = sqlx::query_as(sql)
        .bind(id.as_str())
        .bind(scope.market.as_deref().unwrap_or_default())
        .bind(scope.locale.as_deref().unwrap_or_default())
        .bind(scope.segment.as_deref().unwrap_or_default())
        .fetch_optional(connection)
        .await
        .map_err(ControlError::query("reading the current recommendation"))?;
    row.map(|row| Ok(row.read()?.recommendation)).transpose()
}

async fn insert(connection: &mut SqliteConnection, recommendation: &Recommendation) -> Result<(), ControlError> {
    sqlx::query(
        "INSERT INTO recommendations (recommendation_id, experiment_id, market, locale, segment, variant, weights, parent, reason,
             readout_id, valid_until, expected, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(recommendation.id.as_str())
    .bind(recommendation.experiment_id.as_str())
    .bind(recommendation.scope.market.as_deref().unwrap_or_default())
    .bind(recommendation.scope.locale.as_deref().unwrap_or_default())
    .bind(recommendation.scope.segment.as_deref().unwrap_or_default())
    .bind(recommendation.variant.as_str())
    .bind(to_json("a recommendation's weights", &recommendation.weights)?)
    .bind(recommendation.parent.as_ref().map(RecommendationId::as_str))
    .bind(recommendation.reason.as_str())
    .bind(recommendation.readout_id.as_deref())
    .bind(recommendation.valid_until.map(|until| until.as_microsecond()))
    .bind(recommendation.expected.as_ref().map(|expected| to_json("what a recommendation expects", expected)).transpose()?)
    .bind(recommendation.created_at.as_microsecond())
    .execute(connection)
    .await
    .map_err(ControlError::query("storing a recommendation"))?;
    Ok(())
}

async fn point_to(connection: &mut SqliteConnection, recommendation: &Recommendation, change: i64) -> Result<(), ControlError> {
    sqlx::query(
        "INSERT INTO current_recommendations (experiment_id, market, locale, segment, recommendation_id, change)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (experiment_id, market, locale, segment)
         DO UPDATE SET recommendation_id = excluded.recommendation_id, change = excluded.change",
    )
    .bind(recommendation.experiment_id.as_str())
    .bind(recommendation.scope.market.as_deref().unwrap_or_default())
    .bind(recommendation.scope.locale.as_deref().unwrap_or_default())
    .bind(recommendation.scope.segment.as_deref().unwrap_or_default())
    .bind(recommendation.id.as_str())
    .bind(change)
    .execute(connection)
    .await
    .map_err(ControlError::query("making a recommendation current"))?;
    Ok(())
}

fn check_variants(experiment: &Experiment, recommendation: &Recommendation) -> Result<(), ControlError> {
    let named = std::iter::once(&recommendation.variant).chain(recommendation.weights.keys());
    let Some(unknown) = named.into_iter().find(|name| experiment.variant(name).is_none()) else { return Ok(()) };
    let names: Vec<_> = experiment.variants.iter().map(|variant| format!("`{}`", variant.name)).collect();
    let reason = format!("`{unknown}` is no variant of `{}`; it has {}", experiment.experiment, names.join(", "));
    Err(ControlError::Invalid { field: "variant", reason })
}

fn check_weights(recommendation: &Recommendation) -> Result<(), ControlError> {
    let (weights, variant) = (&recommendation.weights, &recommendation.variant);
    let wrong = |reason: String| Err(ControlError::Invalid { field: "weights", reason });
    if let Some((name, weight)) = weights.iter().find(|(_, weight)| !(0.0..=1.0).contains(*weight)) {
        return wrong(format!("the weight of `{name}` is {weight}; a weight is from 0 to 1"));
    }
    let sum: f64 = weights.values().sum();
    if (sum - 1.0).abs() > WEIGHTS_TOLERANCE {
        return wrong(format!("they come to {sum}; give shares that come to 1"));
    }
    let own = weights.get(variant).copied().unwrap_or_default();
    if weights.values().any(|weight| *weight > own) {
        return wrong(format!("`{variant}` does not have the greatest; name the variant that does"));
    }
    Ok(())
}

fn id_taken(id: &RecommendationId) -> ControlError {
    let reason = "a recommendation never changes; give the new one an id of its own".to_owned();
    ControlError::Frozen { noun: "recommendation", id: id.to_string(), reason }
}

#[cfg(test)]
#[path = "recommendations_tests.rs"]
mod tests;
