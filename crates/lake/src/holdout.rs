//! What those did who are held out of all marketing, and those who were written to.

use experiment::Observations;
use experiment::cells::{Cells, Cut};
use experiment::holdout::{HELD_OUT, WRITTEN_TO};
use vocabulary::{CampaignId, Experiment, MessageClass, Timestamp};

use crate::observe::{Counting, Recipients, named};
use crate::{Lake, LakeError, literal};

/// See [`Lake::observe_holdout`].
pub(crate) async fn observe_holdout(
    lake: &Lake,
    experiment: &Experiment,
    campaigns: &[CampaignId],
    since: Timestamp,
    as_of: Timestamp,
) -> Result<Observations, LakeError> {
    lake.land().await?;
    let snapshot = lake.tables.landed();
    let (id, since) = (literal::text(experiment.experiment.as_str()), literal::time(since));
    let (held_out, written_to) = (literal::text(HELD_OUT), literal::text(WRITTEN_TO));
    let class = literal::text(MessageClass::Marketing.as_str());
    // An empty list is no SQL.
    let campaigns: Vec<String> = campaigns.iter().map(|id| literal::text(id.as_str())).chain(["''".to_owned()]).collect();
    let counts = format!("event_time >= {since} AND campaign_id IN ({})", campaigns.join(", "));
    // Who is held out of one campaign only was held out by its experiment, and has a variant. Who is held out of all counts from when the
    // campaign's first message left in their market.
    let told = format!(
        "(SELECT ghosts.contact_key, {id} AS experiment_id, coalesce(began, event_time) AS event_time, received_at, event_id,
              {held_out} AS variant, ghosts.market
          FROM (SELECT * FROM deliveries WHERE status = 'held_out' AND variant IS NULL AND {counts}) AS ghosts
          LEFT JOIN (SELECT campaign_id, market, min(event_time) AS began FROM messages WHERE {counts} GROUP BY 1, 2) AS sent
              ON sent.campaign_id = ghosts.campaign_id AND sent.market IS NOT DISTINCT FROM ghosts.market
          UNION ALL
          SELECT contact_key, {id}, event_time, received_at, event_id, {written_to}, market
          FROM messages WHERE class = {class} AND {counts})"
    );
    // Whatever they were sent since counts: it is all of it together that is measured.
    let recipients = Recipients { told: told.into(), market: "market", begins: "event_time", ours: "true".into() };
    let counting = Counting { lake, experiment, snapshot: &snapshot, recipients, audience: None };
    let cells = counting.sums(None, &Cells::new(experiment, lake.config.rates.base().minor_per_major())).await?;
    let mut observations = cells.observe(experiment, &Cut::default(), as_of);
    named(&mut observations, snapshot.versions());
    Ok(observations)
}
