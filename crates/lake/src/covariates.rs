//! What contacts did before a plan, for balancing the groups of an experiment: whole numbers, exact and in any order of events the
//! same. An audience may be tens of millions: at most 28 bytes each.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;
use datafusion::prelude::SessionContext;
use vocabulary::{ContactKey, Covariate, Timestamp};

use crate::session::{Asked, Group, each_batch};
use crate::{Lake, LakeError, literal};

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// What is known of some contacts, each column in their order. What was not asked for is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Past {
    /// Who, by key.
    pub contacts: Vec<ContactKey>,
    /// What they spent less what was paid back to them, in minor units of the base currency.
    pub revenue: Vec<i64>,
    /// Orders as placed.
    pub orders: Vec<u32>,
    /// Clicks of their own.
    pub clicks: Vec<u32>,
    /// Openings of their own.
    pub opens: Vec<u32>,
    /// For how many whole days they have been known.
    pub tenure: Vec<u32>,
}

impl Past {
    /// Nothing is known yet of these contacts, who are ordered by key.
    fn of(contacts: Vec<ContactKey>, wanted: &[Covariate]) -> Self {
        let count = contacts.len();
        let column = |covariate: Covariate| vec![0; if wanted.contains(&covariate) { count } else { 0 }];
        Self {
            revenue: vec![0; if wanted.contains(&Covariate::Revenue) { count } else { 0 }],
            orders: column(Covariate::Orders),
            clicks: column(Covariate::Clicks),
            opens: column(Covariate::Opens),
            tenure: column(Covariate::Tenure),
            contacts,
        }
    }

    /// Takes in the next rows: whom they are about, the place of a covariate in [`Covariate::ALL`], and what is added to it.
    fn add(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let [keys, places, values] = batch.columns() else {
            return Err(ArrowError::SchemaError(format!("{} columns", batch.num_columns())));
        };
        let whole = |column| cast(column, &DataType::Int64);
        let (keys, places, values) = (whole(keys)?, whole(places)?, whole(values)?);
        let [keys, places, values] = [&keys, &places, &values].map(|column| column.as_primitive::<Int64Type>().values());
        for ((key, place), value) in keys.iter().zip(places).zip(values) {
            let Ok(contact) = self.contacts.binary_search_by_key(key, |contact| contact.as_i64()) else { continue };
            let covariate = usize::try_from(*place).ok().and_then(|place| Covariate::ALL.get(place));
            let count = match covariate {
                Some(Covariate::Revenue) => {
                    self.revenue[contact] = self.revenue[contact].saturating_add(*value);
                    continue;
                }
                Some(Covariate::Orders) => &mut self.orders[contact],
                Some(Covariate::Clicks) => &mut self.clicks[contact],
                Some(Covariate::Opens) => &mut self.opens[contact],
                Some(Covariate::Tenure) => &mut self.tenure[contact],
                Some(Covariate::Country) | None => continue,
            };
            *count = count.saturating_add(u32::try_from(*value).unwrap_or_default());
        }
        Ok(())
    }
}

/// The rows that one covariate is made of; `None` where it is none of the lake's.
fn rows_of(covariate: Covariate, since: Timestamp, until: Timestamp) -> Option<String> {
    let place = covariate as usize;
    let within = format!("event_time >= {} AND event_time < {}", literal::time(since), literal::time(until));
    let one = |table: &str, more: &str| {
        format!("SELECT contact_key, {place} AS place, CAST(1 AS BIGINT) AS value FROM {table} WHERE {within}{more}")
    };
    match covariate {
        Covariate::Revenue => Some(format!(
            "SELECT contact_key, {place} AS place, amount_base_minor AS value FROM orders
             WHERE {within} AND amount_base_minor IS NOT NULL"
        )),
        Covariate::Orders => Some(one("orders", " AND refund_of IS NULL")),
        Covariate::Clicks => Some(one("human_clicks", "")),
        Covariate::Opens => Some(one("human_opens", "")),
        Covariate::Tenure => Some(format!(
            "SELECT contact_key, {place} AS place,
                 CAST(floor(({} - date_part('epoch', created_at)) / {DAY_SECONDS}) AS BIGINT) AS value
             FROM contacts WHERE created_at IS NOT NULL",
            until.as_second()
        )),
        Covariate::Country => None,
    }
}

/// See [`Lake::past`].
pub(crate) async fn past(
    lake: &Lake,
    contacts: Vec<ContactKey>,
    wanted: &[Covariate],
    since: Timestamp,
    until: Timestamp,
) -> Result<Past, LakeError> {
    let mut past = Past::of(contacts, wanted);
    let parts: Vec<String> = wanted.iter().filter_map(|covariate| rows_of(*covariate, since, until)).collect();
    if parts.is_empty() || past.contacts.is_empty() {
        return Ok(past);
    }
    let query = parts.join("\nUNION ALL ");
    let asked = Asked { group: Group::Internal, text: "what contacts did before", limits: lake.config.limits };
    let work = move |context: SessionContext| async move {
        each_batch(&context, &query, "read what contacts did before", |batch| past.add(batch)).await?;
        Ok(past)
    };
    lake.queries.run(&lake.snapshot(), asked, work).await
}
