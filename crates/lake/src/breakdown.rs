//! What is observed of an experiment by groups of its recipients, or by their variant of another one: units are counted as ever, with the
//! group in the place of the market.

use std::collections::HashMap;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use experiment::breakdown::{Dimension, PARTS_MAX, UNKNOWN};
use experiment::cells::{Cells, Unit};
use experiment::observe::ByMarket;
use jiff::tz::TimeZone;
use vocabulary::{Experiment, ExperimentId, Timestamp};

use crate::observe::{ASSIGNED, Counting, Recipients, Sums};
use crate::session::{Asked, Group};
use crate::{Lake, LakeError, literal};

/// See [`Lake::observe_by`].
pub(crate) async fn observe_by(
    lake: &Lake,
    experiment: &Experiment,
    by: &Dimension,
    as_of: Timestamp,
) -> Result<ByMarket, LakeError> {
    lake.land().await?;
    let (snapshot, told) = (lake.tables.landed(), told(by));
    check_count(lake, experiment, by, &told).await?;
    let recipients = Recipients { told: told.into(), market: "part", ..ASSIGNED };
    let counting = Counting { lake, experiment, snapshot: &snapshot, recipients, audience: None };
    let cells = Cells::new(experiment, lake.config.rates.base().minor_per_major());
    let cells = match by {
        Dimension::Hour => counting.sums(None, &ByHour { cells, zones: HashMap::new() }).await?.cells,
        _ => counting.sums(None, &cells).await?,
    };
    Ok(cells.observe_by_market(experiment, None, as_of))
}

/// At most so many other experiments are looked at: those that share the most recipients.
const OTHERS_MAX: usize = 20;

/// See [`Lake::others`].
pub(crate) async fn others(lake: &Lake, experiment: &Experiment) -> Result<Vec<ExperimentId>, LakeError> {
    lake.land().await?;
    let id = literal::text(experiment.experiment.as_str());
    let hours = experiment.window_hours;
    let begins = "coalesce(planned_at, event_time)";
    // Others whose messages fall into this one's window, or the other way round.
    let query = format!(
        "SELECT theirs.experiment_id, count(DISTINCT theirs.contact_key) AS people
         FROM (SELECT contact_key, {begins} AS begins FROM assignments WHERE experiment_id = {id}) AS ours
         JOIN (SELECT contact_key, experiment_id, {begins} AS begins FROM assignments
               WHERE experiment_id IS NOT NULL AND experiment_id <> {id}) AS theirs
             ON theirs.contact_key = ours.contact_key
         WHERE theirs.begins < ours.begins + INTERVAL '{hours} hours' AND theirs.begins > ours.begins - INTERVAL '{hours} hours'
         GROUP BY 1 ORDER BY people DESC, 1 LIMIT {OTHERS_MAX}"
    );
    let text = format!("overlaps of {}", experiment.experiment);
    let asked = Asked { group: Group::Readouts, text: &text, limits: lake.config.limits };
    let rows = lake.queries.rows(&lake.tables.landed(), asked, query, "look for experiments that overlap").await?;
    let mut found = Vec::new();
    for rows in &rows {
        let names =
            cast(rows.column(0), &DataType::Utf8View).map_err(LakeError::internal("read the experiments that overlap"))?;
        found.extend(names.as_string_view().iter().flatten().filter_map(|name| ExperimentId::new(name).ok()));
    }
    Ok(found)
}

/// See [`Lake::observe_with`].
pub(crate) async fn observe_with(
    lake: &Lake,
    experiment: &Experiment,
    other: &ExperimentId,
    as_of: Timestamp,
) -> Result<ByMarket, LakeError> {
    lake.land().await?;
    let other = literal::text(other.as_str());
    // Who was assigned two variants of the other one is in neither of its groups.
    let told = format!(
        "(SELECT a.contact_key, a.experiment_id, a.event_time, a.received_at, a.event_id, a.variant, a.planned_at, b.part \
         FROM assignments AS a JOIN (SELECT contact_key, min(variant) AS part FROM assignments WHERE experiment_id = {other} \
         GROUP BY contact_key HAVING min(variant) = max(variant)) AS b ON a.contact_key = b.contact_key)"
    );
    let recipients = Recipients { told: told.into(), market: "part", ..ASSIGNED };
    let counting = Counting { lake, experiment, snapshot: &lake.tables.landed(), recipients, audience: None };
    let cells = counting.sums(None, &Cells::new(experiment, lake.config.rates.base().minor_per_major())).await?;
    Ok(cells.observe_by_market(experiment, None, as_of))
}

/// The assignments, each with the group of its contact; of the hour their time zone.
fn told(by: &Dimension) -> String {
    let part = match by {
        Dimension::Market => "a.market".to_owned(),
        Dimension::Channel => "a.channel".to_owned(),
        Dimension::Hour => "c.time_zone".to_owned(),
        Dimension::Attribute(name) => format!("c.attributes[{}]", literal::text(name)),
        Dimension::Country | Dimension::Region | Dimension::Language | Dimension::Device | Dimension::Source => format!("c.{by}"),
    };
    format!(
        "(SELECT a.contact_key, a.experiment_id, a.event_time, a.received_at, a.event_id, a.variant, a.planned_at, \
         coalesce({part}, '{UNKNOWN}') AS part FROM assignments AS a LEFT JOIN contacts AS c ON a.contact_key = c.contact_key)"
    )
}

/// Refuses what everybody has another value of.
async fn check_count(lake: &Lake, experiment: &Experiment, by: &Dimension, told: &str) -> Result<(), LakeError> {
    let id = literal::text(experiment.experiment.as_str());
    let query = format!("SELECT count(DISTINCT part) FROM {told} WHERE experiment_id = {id}");
    let text = format!("breakdown of {}", experiment.experiment);
    let asked = Asked { group: Group::Readouts, text: &text, limits: lake.config.limits };
    let rows = lake.queries.rows(&lake.tables.landed(), asked, query, "count the groups of a breakdown").await?;
    let parts = rows.first().map_or(0, |rows| rows.column(0).as_primitive::<Int64Type>().value(0));
    // Time zones become hours.
    if *by == Dimension::Hour || usize::try_from(parts).is_ok_and(|parts| parts <= PARTS_MAX) {
        return Ok(());
    }
    let message = format!("by {by} there are {parts} groups; the limit is {PARTS_MAX}");
    let hint = "break it down by an attribute with fewer values, such as a tier instead of an amount".to_owned();
    Err(LakeError::Query { message, hint: Some(hint) })
}

/// Units by the hour at which they begin, by the clock of their time zone.
#[derive(Debug, Clone)]
struct ByHour {
    cells: Cells,
    zones: HashMap<String, Option<TimeZone>>,
}

impl Sums for ByHour {
    fn add(&mut self, unit: &Unit<'_>) {
        let name = unit.market.unwrap_or(UNKNOWN);
        let zone = match self.zones.get(name) {
            Some(known) => known,
            None => self.zones.entry(name.to_owned()).or_insert_with(|| TimeZone::get(name).ok()),
        };
        let hour = zone.as_ref().map(|zone| format!("{:02}:00", zone.to_datetime(unit.begins).hour()));
        self.cells.add(&Unit { market: Some(hour.as_deref().unwrap_or(UNKNOWN)), ..*unit });
    }

    fn merge(&mut self, other: &Self) {
        self.cells.merge(&other.cells);
    }
}
