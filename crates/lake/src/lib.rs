//! Everything that happened, kept for ever and open to SQL.
//!
//! Reading order: [`LakeConfig`] and [`Lake`], then `log`, `writer` and `opening` (durable before acknowledged), `schema`,
//! `rows`, `tables` and `landing` (into the tables exactly once), `session`, `stop`, `sql`, `observe` and `contacts` (out again),
//! and last `plan`, `files` and `arrow_events`, three formats of their own, and `units`, the results of experiments run
//! elsewhere.
//!
//! An event is first written to the durable log, then moved into one of eight Delta tables that any other engine can
//! read too. `sql`, `observe` and `recipients` read those tables.
//!
//! *Invariant:* no personal address ever enters the lake; it knows a person by a random surrogate key.
//! *Invariant:* the lake reads no clock; times come with the events and as arguments.
//! *Invariant:* nothing outside this crate sees a DataFusion or Delta type.

mod answer;
mod arrow_events;
mod contacts;
mod error;
pub mod faults;
mod files;
mod index;
mod landing;
mod log;
mod observe;
mod opening;
mod plan;
mod rows;
mod rows_stub;
mod schema;
mod session;
mod sql;
mod stop;
mod tables;
#[cfg(test)]
mod tests;
mod units;
mod writer;

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;
use tokio::sync::Mutex;
use vocabulary::{Contact, Event, EventId, Experiment, Rates, Timestamp};

pub use arrow_events::{ArrowCell, ArrowColumn, ArrowEvents, ArrowHolds, ArrowRow};
pub use error::LakeError;
pub use files::{FileRows, read_file};
pub use plan::{PlanRow, read_plan, write_plan};
pub use rows_stub::Rows;
pub use sql::{SqlAnswer, SqlFormat, SqlLimits};
pub use units::gather_units;

/// Where a lake is and how it behaves.
#[derive(Debug, Clone)]
pub struct LakeConfig {
    /// The folder; made where it does not exist.
    pub root: PathBuf,
    /// Converts amounts to the base currency as they land.
    pub rates: Rates,
    /// What the lake's own queries may use.
    pub limits: SqlLimits,
}

/// The answer to [`Lake::append`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// How many events are new.
    pub accepted: usize,
    /// The positions of those that were known already.
    pub duplicates: Vec<usize>,
}

/// The answer to [`Lake::land`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Landed {
    /// How many events became visible to SQL.
    pub events: u64,
    /// How many Delta commits it took.
    pub commits: u64,
}

/// One table, for people who want to query it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableInfo {
    /// Its name.
    pub name: String,
    /// Its Delta version.
    pub version: i64,
    /// How many rows it has.
    pub rows: u64,
    /// What a row is.
    pub comment: String,
    /// Its columns, in order.
    pub columns: Vec<ColumnInfo>,
}

/// One column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnInfo {
    /// Its name.
    pub name: String,
    /// Its type, as SQL calls it.
    #[serde(rename = "type")]
    pub data_type: String,
    /// What it holds.
    pub comment: String,
}

/// One lake, open in this process only.
pub struct Lake {
    config: LakeConfig,
    faults: Arc<dyn faults::Faults>,
    // Fields are dropped in order: the writer's thread must end before the lock is given back.
    writer: writer::Writer,
    shared: Arc<writer::Shared>,
    // Two locks, so that a large change of contacts does not hold up events.
    contacts: Mutex<tables::Table>,
    events: Mutex<Vec<tables::Table>>,
    snapshot: RwLock<Arc<tables::Snapshot>>,
    queries: session::Queries,
    _lock: File,
}

impl Lake {
    /// Opens the lake in `config.root`, making it where there is none. What the log holds and the tables lack is
    /// brought in by the next [`Lake::land`].
    ///
    /// # Errors
    /// [`LakeError::Locked`] when another process has it open, [`LakeError::LogDamaged`] when acknowledged events
    /// cannot be read back, and errors of files and tables.
    pub async fn open(config: LakeConfig) -> Result<Arc<Self>, LakeError> {
        Self::open_with_faults(config, Arc::new(faults::NoFaults)).await
    }

    /// The currency amounts are converted to as they land.
    #[must_use]
    pub fn base_currency(&self) -> vocabulary::Currency {
        self.config.rates.base()
    }

    /// [`Lake::open`] with chosen interruptions, for tests.
    ///
    /// # Errors
    /// As [`Lake::open`].
    pub async fn open_with_faults(config: LakeConfig, faults: Arc<dyn faults::Faults>) -> Result<Arc<Self>, LakeError> {
        opening::open(config, faults).await.map(Arc::new)
    }

    /// Stores events. When this returns `Ok`, each is on disk once, whether this call or an earlier one brought it.
    ///
    /// # Errors
    /// [`LakeError::NotDurable`] when the disk refuses: then none of them counts as told.
    pub async fn append(&self, events: Vec<Event>) -> Result<Appended, LakeError> {
        if events.is_empty() {
            return Ok(Appended { accepted: 0, duplicates: Vec::new() });
        }
        self.writer.append(writer::Lines::of(&events)?).await
    }

    /// Whether an event of this id is stored.
    #[must_use]
    pub fn knows(&self, id: &EventId) -> bool {
        self.shared.index.knows(id.as_str())
    }

    /// How many stored events SQL cannot see yet.
    #[must_use]
    pub fn unlanded(&self) -> u64 {
        *self.shared.unlanded.borrow()
    }

    /// Completes when [`Lake::unlanded`] is more than 0.
    pub async fn work_due(&self) {
        // It fails only without a sender, which is the lake itself.
        let _ = self.shared.unlanded.subscribe().wait_for(|unlanded| *unlanded > 0).await;
    }

    /// Moves everything the log holds into the tables, where SQL sees it. Calls queue behind each other.
    ///
    /// # Errors
    /// Errors of files and tables; calling again goes on where this stopped.
    pub async fn land(&self) -> Result<Landed, LakeError> {
        landing::land(self).await
    }

    /// Makes `contacts` the content of the table of contacts. Harmless when `change` is not newer than what is there.
    ///
    /// # Errors
    /// Errors of files and tables.
    pub async fn replace_contacts(&self, change: i64, contacts: Vec<Contact>) -> Result<(), LakeError> {
        contacts::replace(self, change, contacts).await
    }

    /// The number of the change the table of contacts stands at; 0 where it was never filled.
    ///
    /// # Errors
    /// Errors of the table.
    pub async fn contacts_change(&self) -> Result<i64, LakeError> {
        contacts::change(self).await
    }

    /// Answers a query over the tables.
    ///
    /// # Errors
    /// [`LakeError::Refused`] for what is no query, [`LakeError::Query`] for a wrong one, [`LakeError::Limit`].
    pub async fn sql(&self, query: &str, format: SqlFormat, limits: SqlLimits) -> Result<SqlAnswer, LakeError> {
        sql::sql(self, query, format, limits).await
    }

    /// The contacts a query names in its column `contact_key`, all where there is no query; by key.
    ///
    /// # Errors
    /// As [`Lake::sql`].
    pub async fn recipients(&self, audience: Option<&str>) -> Result<Vec<Contact>, LakeError> {
        contacts::recipients(self, audience).await
    }

    /// What is known of an experiment at `as_of`: one query over the tables as they are now.
    ///
    /// # Errors
    /// [`LakeError::Internal`] when the tables cannot be read.
    pub async fn observe(&self, experiment: &Experiment, as_of: Timestamp) -> Result<experiment::Observations, LakeError> {
        observe::observe(self, experiment, as_of).await
    }

    /// The tables, by name.
    ///
    /// # Errors
    /// Errors of the tables.
    pub async fn tables(&self) -> Result<Vec<TableInfo>, LakeError> {
        Ok(self.snapshot().describe())
    }

    /// What SQL reads now.
    fn snapshot(&self) -> Arc<tables::Snapshot> {
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows `changed` tables to SQL as they are now.
    async fn refresh(&self, changed: &[&tables::Table]) -> Result<(), LakeError> {
        let mut fresh = Vec::new();
        for table in changed {
            fresh.push((table.spec.name, table.read().await?));
        }
        let mut snapshot = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut snapshot).0.extend(fresh);
        Ok(())
    }
}
