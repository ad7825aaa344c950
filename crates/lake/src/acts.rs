//! When contacts opened and clicked themselves, for learning at which hours they do. A large audience may have hundreds of millions:
//! 16 bytes each.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use datafusion::prelude::SessionContext;
use vocabulary::{ContactKey, Timestamp};

use crate::session::{Asked, Group, each_batch};
use crate::{Lake, LakeError, literal};

/// Time zones are apart by whole quarters of an hour, so that the quarter is all it takes to tell the hour in each of them.
const QUARTER_MICROS: i64 = 15 * 60 * 1_000_000;

/// One quarter of an hour in which a contact opened or clicked something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Act {
    contact: i64,
    quarter: u32,
}

impl Act {
    /// The number of the quarter since the beginning of the span that was asked about.
    #[must_use]
    pub fn quarter(self) -> usize {
        self.quarter as usize
    }
}

/// What contacts opened and clicked within a span of time.
#[derive(Debug, Default)]
pub struct Acts {
    /// The beginning of the first quarter.
    since: i64,
    /// How many quarters there are.
    quarters: usize,
    /// By contact and quarter, each once.
    acts: Vec<Act>,
}

impl Acts {
    /// Acts at these moments, as far as they lie after `since` and before `until`.
    #[must_use]
    pub fn new(since: Timestamp, until: Timestamp, acts: impl IntoIterator<Item = (ContactKey, Timestamp)>) -> Self {
        let mut all = Self::within(since, until);
        acts.into_iter().for_each(|(contact, at)| all.push(contact.as_i64(), at.as_microsecond()));
        all.arrange()
    }

    fn within(since: Timestamp, until: Timestamp) -> Self {
        let since = since.as_microsecond().div_euclid(QUARTER_MICROS) * QUARTER_MICROS;
        let quarters = until.as_microsecond().saturating_sub(since).max(0).unsigned_abs().div_ceil(QUARTER_MICROS.unsigned_abs());
        Self { since, quarters: quarters as usize, acts: Vec::new() }
    }

    fn push(&mut self, contact: i64, at: i64) {
        let quarter = u32::try_from((at - self.since).div_euclid(QUARTER_MICROS)).ok();
        let Some(quarter) = quarter.filter(|quarter| (*quarter as usize) < self.quarters) else { return };
        self.acts.push(Act { contact, quarter });
    }

    fn arrange(mut self) -> Self {
        self.acts.sort_unstable();
        self.acts.dedup();
        self
    }

    /// The first moment of each quarter, in order.
    pub fn quarters(&self) -> impl Iterator<Item = Timestamp> + '_ {
        let begin = |quarter: usize| Timestamp::from_microsecond(self.since + quarter as i64 * QUARTER_MICROS);
        (0..self.quarters).map(move |quarter| begin(quarter).unwrap_or(Timestamp::MAX))
    }

    /// The acts of each contact who has any, by key.
    pub fn by_contact(&self) -> impl Iterator<Item = (i64, &[Act])> {
        self.acts.chunk_by(|one, next| one.contact == next.contact).map(|acts| (acts[0].contact, acts))
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let [keys, times] = batch.columns() else {
            return Err(ArrowError::SchemaError(format!("{} columns", batch.num_columns())));
        };
        let keys = cast(keys, &DataType::Int64)?;
        let rows =
            keys.as_primitive::<Int64Type>().values().iter().zip(times.as_primitive::<TimestampMicrosecondType>().values());
        rows.for_each(|(contact, at)| self.push(*contact, *at));
        Ok(())
    }
}

/// See [`Lake::acts`].
pub(crate) async fn acts(
    lake: &Lake,
    contacts: Option<&[ContactKey]>,
    since: Timestamp,
    until: Timestamp,
) -> Result<Acts, LakeError> {
    let mut acts = Acts::within(since, until);
    if contacts.is_some_and(<[ContactKey]>::is_empty) {
        return Ok(acts);
    }
    let whom = contacts.map_or_else(|| "true".to_owned(), literal::among);
    let within = format!("event_time > {} AND event_time < {} AND {whom}", literal::time(since), literal::time(until));
    let query = format!(
        "SELECT contact_key, event_time FROM human_opens WHERE {within}
         UNION ALL SELECT contact_key, event_time FROM human_clicks WHERE {within}"
    );
    let asked = Asked { group: Group::Internal, text: "when contacts opened and clicked", limits: lake.config.limits };
    let work = move |context: SessionContext| async move {
        each_batch(&context, &query, "read when contacts opened and clicked", |batch| acts.add(batch)).await?;
        Ok(acts.arrange())
    };
    lake.queries.run(&lake.snapshot(), asked, work).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_are_told_by_contact_and_quarter() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let key = |number: i64| ContactKey::from_i64(number).unwrap();
        let (since, until) = (at("2026-03-01T09:20:00Z"), at("2026-03-01T10:01:00Z"));
        let acts = [
            (7, "2026-03-01T10:00:59Z"),
            (3, "2026-03-01T09:44:59Z"),
            (7, "2026-03-01T09:29:59.999999Z"),
            (7, "2026-03-01T09:20:00Z"),
            (3, "2026-03-01T10:20:00Z"),
        ];
        let acts = Acts::new(since, until, acts.map(|(contact, time)| (key(contact), at(time))));
        let quarters: Vec<String> = acts.quarters().map(|quarter| quarter.to_string()).collect();
        let expect = ["2026-03-01T09:15:00Z", "2026-03-01T09:30:00Z", "2026-03-01T09:45:00Z", "2026-03-01T10:00:00Z"];
        assert_eq!(quarters, expect);
        let by_contact: Vec<(i64, Vec<usize>)> =
            acts.by_contact().map(|(contact, acts)| (contact, acts.iter().map(|act| act.quarter()).collect())).collect();
        assert_eq!(by_contact, [(3, vec![1]), (7, vec![0, 3])]);
        assert_eq!(Acts::default().by_contact().count(), 0);
    }
}
