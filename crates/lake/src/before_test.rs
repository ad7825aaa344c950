//! What the contacts of a list did before a test: what its size and its design are planned with.

use experiment::cells::{BEFORE_DAYS, BEFORE_HOURS, PastCounts, Unit};
use experiment::{ByMarket, Past};
use jiff::SignedDuration;
use vocabulary::{Cuped, Experiment, Timestamp};

use crate::observe::{self, ASSIGNED, Counting, Recipients, Sums};
use crate::{Lake, LakeError, literal};

impl Sums for PastCounts {
    fn add(&mut self, unit: &Unit<'_>) {
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
        ours: "true".into(),
    };
    let both = Experiment { window_hours: hours, cuped: None, ..experiment.clone() };
    let audience = experiment.audience.as_deref();
    let counting = Counting { lake, experiment: &both, snapshot: &lake.tables.landed(), recipients, audience };
    counting.sums(None, none).await
}

/// See [`Lake::observe_with_before`].
pub(crate) async fn with_before(lake: &Lake, experiment: &Experiment, as_of: Timestamp) -> Result<ByMarket, LakeError> {
    lake.land().await?;
    let experiment = &Experiment { cuped: Some(experiment.cuped.unwrap_or(Cuped { days: BEFORE_DAYS })), ..experiment.clone() };
    let recipients = Recipients { market: "coalesce(market, '')", ..ASSIGNED };
    let cells = observe::count(lake, experiment, &lake.tables.landed(), recipients, None).await?;
    Ok(cells.observe_by_market(experiment, None, as_of))
}
