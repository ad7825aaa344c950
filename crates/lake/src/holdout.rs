//! What those did who are held out of all marketing, and those who were written to.

use experiment::Observations;
use experiment::cells::{Cells, Cut};
use experiment::holdout::{HELD_OUT, WRITTEN_TO};
use vocabulary::{Experiment, MessageClass, Timestamp};

use crate::observe::{Counting, Recipients, named};
use crate::{Lake, LakeError, literal};

/// See [`Lake::observe_holdout`].
pub(crate) async fn observe_holdout(
    lake: &Lake,
    experiment: &Experiment,
    since: Timestamp,
    as_of: Timestamp,
) -> Result<Observations, LakeError> {
    lake.land().await?;
    let snapshot = lake.tables.landed();
    let (id, since) = (literal::text(experiment.experiment.as_str()), literal::time(since));
    let (held_out, written_to) = (literal::text(HELD_OUT), literal::text(WRITTEN_TO));
    let class = literal::text(MessageClass::Marketing.as_str());
    let columns = |variant: &str| {
        format!("SELECT contact_key, {id} AS experiment_id, event_time, received_at, event_id, {variant} AS variant, market")
    };
    // Who is held out of one campaign only was held out by its experiment, and has a variant.
    let told = format!(
        "({} FROM deliveries WHERE status = 'held_out' AND variant IS NULL AND event_time >= {since}
          UNION ALL {} FROM messages WHERE class = {class} AND event_time >= {since})",
        columns(&held_out),
        columns(&written_to)
    );
    // Whatever they were sent since counts: it is all of it together that is measured.
    let recipients = Recipients { told: told.into(), market: "market", begins: "event_time", ours: "true".into() };
    let counting = Counting { lake, experiment, snapshot: &snapshot, recipients, audience: None };
    let cells = counting.sums(None, &Cells::new(experiment, lake.config.rates.base().minor_per_major())).await?;
    let mut observations = cells.observe(experiment, &Cut::default(), as_of);
    named(&mut observations, snapshot.versions());
    Ok(observations)
}
