//! How long events are kept. A day that is over its time leaves its table whole, so that only the table's log is written; its
//! files are deleted with the last version that has them.

use std::str::FromStr;
use std::sync::Arc;

use jiff::SignedDuration;
use vocabulary::{EventKind, Timestamp};

use crate::LakeError;
use crate::delta::{DataFile, Purpose, Table, TableState, removes};
use crate::rows::date_of;

/// Events are kept at least so long: ids of events told again are known for as long, and a day that left would come back.
pub const RETENTION_DAYS_MIN: u32 = 35;

/// The events of one table are kept for some days. Tables without such a rule keep theirs for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Whose table it is.
    pub kind: EventKind,
    /// How many days after the day of `event_time` they are kept, at least [`RETENTION_DAYS_MIN`].
    pub days: u32,
}

impl FromStr for Retention {
    type Err = String;

    /// Reads `TABLE=DAYS`, such as `opens=400`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (table, days) = text.split_once('=').ok_or("write TABLE=DAYS, such as opens=400")?;
        let kind = EventKind::ALL.iter().copied().find(|kind| kind.table() == table).ok_or_else(|| {
            let tables: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.table()).collect();
            format!("there is no table of events called {table:?}; there are {}", tables.join(", "))
        })?;
        let days = days.parse().map_err(|_| format!("{days:?} is no number of days; write {table}=400, say"))?;
        if days < RETENTION_DAYS_MIN {
            return Err(format!(
                "events are kept for at least {RETENTION_DAYS_MIN} days, because events told again are known so long"
            ));
        }
        Ok(Self { kind, days })
    }
}

/// Takes the days out of `table` that are older than `days`. Returns how many rows left.
pub(crate) async fn expire(table: &Table, days: u32, now: Timestamp) -> Result<u64, LakeError> {
    let first = now.checked_sub(SignedDuration::from_hours(24 * i64::from(days))).map_or(jiff::civil::Date::MIN, date_of);
    let over = |state: &TableState| -> Vec<Arc<DataFile>> {
        state.files.values().filter(|file| file.date.is_some_and(|date| date < first)).cloned().collect()
    };
    let mut rows = 0;
    let plan = |state: &TableState| {
        let over = over(state);
        rows = over.iter().map(|file| file.rows).sum();
        Ok((!over.is_empty()).then(|| removes(&over, now, true)))
    };
    let committed = table.commit(Purpose { operation: "DELETE", at: now }, Box::new(plan)).await?;
    Ok(if committed.is_some() { rows } else { 0 })
}
