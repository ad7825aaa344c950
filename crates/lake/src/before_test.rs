//! What the contacts of a list did before a test: what its size and its design are planned with.

use experiment::Past;
use experiment::cells::{BEFORE_HOURS, PastCounts};
use jiff::SignedDuration;
use vocabulary::{Experiment, Timestamp};

use crate::observe::{Counting, Recipients, Sums};
use crate::{Lake, LakeError, literal};

impl Sums for PastCounts {
    fn add(&mut self, unit: &experiment::cells::Unit<'_>) {
        self.add(unit);
    }

    fn merge(&mut self, other: &Self) {
        self.merge(other);
    }
}

/// See [`Lake::before_test`].
pub(crate) async fn before_test(lake: &Lake, experiment: &Experiment, now: Timestamp) -> Result<Past, LakeError> {
    let none = PastCounts::new(experiment, lake.config.rates.base().minor_per_major());
    Ok(count(lake, experiment, now, &none).await?.past())
}

/// See [`Lake::metrics_before_test`].
pub(crate) async fn metrics(lake: &Lake, experiment: &Experiment, now: Timestamp) -> Result<Vec<(String, Past)>, LakeError> {
    let none = PastCounts::of_all(experiment, lake.config.rates.base().minor_per_major());
    Ok(count(lake, experiment, now, &none).await?.pasts())
}

async fn count(lake: &Lake, experiment: &Experiment, now: Timestamp, none: &PastCounts) -> Result<PastCounts, LakeError> {
    lake.land().await?;
    let hours = experiment.window_hours.saturating_add(BEFORE_HOURS);
    let begins = now.checked_sub(SignedDuration::from_hours(hours.into())).unwrap_or(Timestamp::MIN);
    let (begins, id) = (literal::time(begins), literal::text(experiment.experiment.as_str()));
    let recipients = Recipients {
        told: format!(
            "(SELECT contact_key, {id} AS experiment_id, {begins} AS event_time, {begins} AS received_at, '' AS event_id, \
             CAST(NULL AS VARCHAR) AS variant, coalesce(market, country) AS market FROM contacts)"
        )
        .into(),
        market: "market",
        begins: "event_time",
        // Whatever they were sent: it is what they do without this test.
        ours: "true",
    };
    let both = Experiment { window_hours: hours, ..experiment.clone() };
    let audience = experiment.audience.as_deref();
    let counting = Counting { lake, experiment: &both, snapshot: &lake.tables.landed(), recipients, audience };
    counting.sums(None, none).await
}
