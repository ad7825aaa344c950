//! What the contacts of a list did before a test: what its size and its design are planned with.

use std::collections::BTreeMap;

use experiment::Past;
use experiment::cells::{BEFORE_HOURS, PastCounts, Unit, counts_from};
use jiff::SignedDuration;
use vocabulary::{Experiment, Timestamp};

use crate::observe::{Counting, Recipients, Sums};
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
    let both = Experiment { window_hours: hours, ..experiment.clone() };
    let audience = experiment.audience.as_deref();
    let counting = Counting { lake, experiment: &both, snapshot: &lake.tables.landed(), recipients, audience };
    counting.sums(None, none).await
}

/// What recipients did in their window and before it, by variant.
#[derive(Debug, Clone)]
struct ByVariant {
    none: PastCounts,
    counts: BTreeMap<String, PastCounts>,
    window_hours: u32,
    as_of: Timestamp,
}

impl Sums for ByVariant {
    fn add(&mut self, unit: &Unit<'_>) {
        let planned = unit.begins.checked_add(SignedDuration::from_hours(BEFORE_HOURS.into())).unwrap_or(Timestamp::MAX);
        let Some(variant) = unit.variant.filter(|_| counts_from(planned, self.window_hours) <= self.as_of) else { return };
        match self.counts.get_mut(variant) {
            Some(counts) => counts.add(unit),
            None => self.counts.entry(variant.to_owned()).or_insert_with(|| self.none.clone()).add(unit),
        }
    }

    fn merge(&mut self, other: &Self) {
        for (variant, more) in &other.counts {
            self.counts.entry(variant.clone()).or_insert_with(|| self.none.clone()).merge(more);
        }
    }
}

/// See [`Lake::observe_with_before`].
pub(crate) async fn with_before(
    lake: &Lake,
    experiment: &Experiment,
    as_of: Timestamp,
) -> Result<BTreeMap<String, Past>, LakeError> {
    lake.land().await?;
    let snapshot = lake.tables.landed();
    let id = literal::text(experiment.experiment.as_str());
    let hours = experiment.window_hours.saturating_add(BEFORE_HOURS);
    let planned = "coalesce(planned_at, event_time)";
    // What names another experiment counts before the first message of this one, and not after.
    let ours = format!(
        "(experiment_id = {id} OR experiment_id IS NULL OR event_time < (SELECT min({planned}) FROM assignments WHERE experiment_id = {id}))"
    );
    let told = format!(
        "(SELECT contact_key, experiment_id, event_time, received_at, event_id, variant, market, \
         {planned} - INTERVAL '{BEFORE_HOURS} hours' AS early FROM assignments)"
    );
    let recipients = Recipients { told: told.into(), market: "market", begins: "early", ours: ours.into() };
    let both = Experiment { window_hours: hours, ..experiment.clone() };
    let counting = Counting { lake, experiment: &both, snapshot: &snapshot, recipients, audience: None };
    let none = PastCounts::new(experiment, lake.config.rates.base().minor_per_major());
    let none = ByVariant { none, counts: BTreeMap::new(), window_hours: experiment.window_hours, as_of };
    let counted = counting.sums(None, &none).await?.counts;
    Ok(counted.into_iter().map(|(variant, counts)| (variant, counts.past())).collect())
}
