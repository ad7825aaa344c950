//! Everything that happened, kept for ever and open to SQL.
//!
//! Reading order: [`LakeConfig`] and [`Lake`], then `group`, `rows`, `log`, `writer`, `index` and `opening` (durable before
//! acknowledged, each event once), `place`, `delta`, `parquet`, `tail`, `landing` and `log_lander` (into the tables exactly
//! once), `tables`, `provider`, `views`, `catalog`, `session`, `rules`, `distinct`, `group_join`, `few_groups`, `slow`, `stop`,
//! `sql`, `tally`, `observe`, `breakdown`, `before_test`, `kept` and `contacts` (out again), and last `plan`, `files` and `arrow_events`, formats of their own, `units`, the
//! results of experiments run elsewhere, and `care`, which checks, mends and copies all of it.
//!
//! An event is first written to the durable log, from where on SQL sees it, then moved into one of eight Delta tables that
//! any other engine can read too.
//!
//! *Invariant:* no personal address ever enters the lake; it knows a person by a random surrogate key.
//! *Invariant:* the lake reads no clock; times come with the events and as arguments.
//! *Invariant:* nothing outside this crate sees a DataFusion or Delta type.

mod acts;
mod answer;
mod arrow_events;
mod before_test;
mod blooms;
mod breakdown;
pub mod care;
mod catalog;
mod changes;
mod contacts;
mod covariates;
mod delta;
mod distinct;
mod erasure;
mod error;
mod experiments;
pub mod faults;
mod few_groups;
mod files;
mod first;
mod group;
mod group_join;
mod holdout;
pub mod index;
mod kept;
mod landing;
mod literal;
mod log;
mod log_lander;
mod observe;
mod once;
mod opening;
mod parquet;
mod picks;
mod place;
mod plan;
mod pool;
mod preferences;
mod provider;
mod rates;
mod reads;
mod retention;
mod rewrite;
mod rows;
mod rules;
mod schema;
mod sends;
mod session;
mod slow;
mod sql;
mod stop;
mod tables;
mod tail;
mod tally;
#[cfg(test)]
mod tests;
mod texts;
mod tidy;
mod units;
mod views;
mod writer;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use serde::Serialize;
use tokio::sync::Mutex;
use vocabulary::{Channel, ContactKey, Covariate, Event, EventId, Experiment, Rates, Slot, Timestamp};

pub use acts::{Act, Acts};
pub use arrow_events::{ArrowCell, ArrowColumn, ArrowEvents, ArrowHolds, ArrowRow};
pub use changes::{Changes, FactRow};
pub use contacts::{Audience, ContactRows, Recipient, Traits};
pub use covariates::Past;
pub use erasure::ErasureCertificate;
pub use error::LakeError;
pub use files::{FileRows, LINE_BYTES_MAX, Progress, ReadOptions, TextRow, has_lines, read_file, read_file_with, read_lines};
pub use group::Rows;
pub use index::IndexConfig;
pub use kept::Recounted;
pub use log_lander::LogLander;
pub use picks::{Picked, Picks};
pub use place::TablesAt;
pub use plan::{
    PlanReason, PlanRow, PlanRows, find_in_plan, forget_in_plan, plan_notes, plan_rows, planned_at, read_plan, write_plan,
    write_plan_noting,
};
pub use rates::Refilled;
pub use retention::{RETENTION_DAYS_MIN, Retention};
pub use sends::{Sends, SentMessage};
pub use session::Group;
pub use sql::{SqlAnswer, SqlFormat, SqlLimits, SqlOptions};
pub use tables::AsOf;
pub use tidy::{Pins, Tidied};
pub use units::gather_units;

/// Where a lake is and how it behaves.
#[derive(Debug, Clone)]
pub struct LakeConfig {
    /// The folder; made where it does not exist.
    pub root: PathBuf,
    /// Where the tables are; log and index always are in `root`, on a disk whose syncs are quick.
    pub tables: TablesAt,
    /// Converts amounts to the base currency.
    pub rates: Rates,
    /// What the lake's own queries may use.
    pub limits: SqlLimits,
    /// How long events told again are known, and what that may take.
    pub index: IndexConfig,
    /// Queries that take as long or longer are kept in the log of slow queries.
    pub slow_query: Duration,
    /// How long events are kept, by table; the last rule for a table counts.
    pub retention: Vec<Retention>,
}

impl LakeConfig {
    /// A lake in a local folder with the defaults.
    #[must_use]
    pub fn new(root: PathBuf, rates: Rates) -> Self {
        Self {
            root,
            tables: TablesAt::Folder,
            rates,
            limits: SqlLimits::default(),
            index: IndexConfig::default(),
            slow_query: Duration::from_secs(1),
            retention: Vec::new(),
        }
    }
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
    /// How many events are in the tables now that were not before.
    pub events: u64,
    /// How many Delta commits it took.
    pub commits: u64,
}

/// What can stand behind `FROM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TableKind {
    /// A Delta table.
    Table,
    /// A query with a name, or what the lake says of itself.
    View,
}

/// One table or view, for people who want to query it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableInfo {
    /// Its name.
    pub name: String,
    /// Whether it is a table or a view.
    pub kind: TableKind,
    /// Its Delta version; `None` for a view.
    pub version: Option<i64>,
    /// How many rows it has; `None` for a view, where that is a question of its own.
    pub rows: Option<u64>,
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
    index: Arc<index::Index>,
    tail: Arc<tail::Tail>,
    tables: tables::Tables,
    /// One landing of this process at a time.
    landing: Mutex<()>,
    /// Held by whoever writes files anew. Knows when old versions were last forgotten.
    tidying: Mutex<Option<Timestamp>>,
    queries: session::Queries,
    /// The sums of experiments that were read out.
    kept: Arc<kept::Kept>,
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
    /// [`LakeError::NotDurable`] when the disk refuses and [`LakeError::Busy`] when it is behind: then none of them counts
    /// as told.
    pub async fn append(&self, events: Vec<Event>) -> Result<Appended, LakeError> {
        self.append_with(|rows| events.iter().for_each(|event| rows.push(event.borrowed()))).await
    }

    /// [`Lake::append`] without a list in between: `fill` pushes events, and is called once and at once.
    ///
    /// # Errors
    /// As [`Lake::append`].
    pub async fn append_with(&self, fill: impl FnOnce(&mut Rows<'_>)) -> Result<Appended, LakeError> {
        self.writer.append(fill).await
    }

    /// Whether an event of this id is stored.
    ///
    /// # Errors
    /// [`LakeError::File`] when the ids on disk cannot be read.
    pub fn knows(&self, id: &EventId) -> Result<bool, LakeError> {
        self.index.knows(id.as_str())
    }

    /// How many stored events are in no table yet. SQL sees them all the same.
    #[must_use]
    pub fn unlanded(&self) -> u64 {
        self.tail.rows()
    }

    /// Completes when [`Lake::unlanded`] is at least `rows`.
    pub async fn work_due(&self, rows: u64) {
        self.tail.wait_for(rows).await;
    }

    /// Moves everything the log holds into the tables, where other engines see it too. Calls queue behind each other.
    ///
    /// # Errors
    /// Errors of files and tables; calling again goes on where this stopped.
    pub async fn land(&self) -> Result<Landed, LakeError> {
        landing::land(self).boxed().await
    }

    /// Takes out days that are over their time, merges small files, writes closed days anew in the order that questions want, and
    /// forgets versions that are old at `now` and not among `pins`. Readers and landings go on meanwhile.
    ///
    /// # Errors
    /// Errors of files and tables; nothing is lost, and the next call goes on.
    pub async fn tidy(&self, now: Timestamp, pins: &Pins) -> Result<Tidied, LakeError> {
        tidy::tidy(self, now, pins).boxed().await
    }

    /// Adds exchange rates to those there are, and computes amounts again that now convert otherwise.
    ///
    /// # Errors
    /// [`LakeError::Internal`] for rates to another base currency; errors of files and tables, after which calling again goes on.
    pub async fn put_rates(&self, newer: &Rates, at: Timestamp) -> Result<Refilled, LakeError> {
        rates::put(self, newer, at).boxed().await
    }

    /// Deletes all rows of these contacts from the tables, from all older versions and from the log, and says what it did.
    /// Make them unlinkable first, and erase again after the callers that know their keys are gone.
    ///
    /// # Errors
    /// Errors of files and tables; what is deleted stays deleted, and calling again goes on.
    pub async fn erase(&self, contacts: &[vocabulary::ContactKey], now: Timestamp) -> Result<ErasureCertificate, LakeError> {
        erasure::erase(self, contacts, now).boxed().await
    }

    /// Makes `contacts` the content of the table of contacts as of `at`. Harmless when `change` is not newer than what is there.
    ///
    /// # Errors
    /// Errors of files and tables.
    pub async fn replace_contacts(&self, change: i64, contacts: ContactRows, at: Timestamp) -> Result<(), LakeError> {
        contacts::replace(self, change, contacts, at).await
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
    /// [`LakeError::Refused`] for what is no query, [`LakeError::Query`] for a wrong one, [`LakeError::NoVersion`] for a past
    /// that never was or is forgotten, [`LakeError::Crowded`] when it got no place, [`LakeError::Limit`] and
    /// [`LakeError::TooLong`].
    pub async fn sql(&self, query: &str, format: SqlFormat, options: &SqlOptions) -> Result<SqlAnswer, LakeError> {
        sql::sql(self, query, format, options).await
    }

    /// The contacts a query names in its column `contact_key`, all where there is no query; by key.
    ///
    /// # Errors
    /// As [`Lake::sql`].
    pub async fn audience(&self, query: Option<&str>, group: Group) -> Result<Audience, LakeError> {
        contacts::audience(self, query, None, group).await
    }

    /// Those of some contacts whom a query names, as [`Lake::audience`] does.
    ///
    /// # Errors
    /// As [`Lake::sql`].
    pub async fn audience_among(
        &self,
        query: Option<&str>,
        contacts: &[ContactKey],
        group: Group,
    ) -> Result<Audience, LakeError> {
        contacts::audience(self, query, Some(contacts), group).await
    }

    /// The products of some contacts, who are ordered by key, for the slots of a campaign at `now`: one query for each slot.
    ///
    /// # Errors
    /// As [`Lake::sql`].
    pub async fn picks(
        &self,
        slots: &BTreeMap<String, Slot>,
        contacts: &[ContactKey],
        group: Group,
        now: Timestamp,
    ) -> Result<Picked, LakeError> {
        picks::picks(self, slots, contacts, group, now).await
    }

    /// Whether the query of a slot can be asked; nothing is read.
    ///
    /// # Errors
    /// As [`Lake::sql`], and where it lacks a column that a slot needs.
    pub async fn check_slot(&self, slot: &Slot, now: Timestamp) -> Result<(), LakeError> {
        picks::check(self, slot, now).await
    }

    /// What came into the tables of events after the versions of an earlier call, each event once; everything where there was
    /// none. What is acknowledged is landed first.
    ///
    /// # Errors
    /// [`LakeError::NoVersion`] where it is too long ago: then begin anew.
    pub async fn changes(&self, since: Option<&BTreeMap<String, i64>>) -> Result<Changes, LakeError> {
        changes::changes(self, since).await
    }

    /// What contacts did, of what came in, in order of contact and time: those of the `words` of [`FactRow::what`].
    ///
    /// # Errors
    /// As [`Lake::sql`].
    pub async fn facts(&self, changes: &Changes, words: &[&str]) -> Result<Vec<FactRow>, LakeError> {
        changes::facts(self, changes, words).await
    }

    /// What these contacts did after a moment, as [`Lake::facts`] tells it.
    ///
    /// # Errors
    /// As [`Lake::sql`].
    pub async fn facts_of(&self, contacts: &[ContactKey], words: &[&str], since: Timestamp) -> Result<Vec<FactRow>, LakeError> {
        changes::facts_of(self, contacts, words, since).await
    }

    /// Who looked at a product or put it in the cart since a moment, in no order.
    ///
    /// # Errors
    /// As [`Lake::sql`].
    pub async fn seen_by(&self, product: &str, since: Timestamp) -> Result<Vec<ContactKey>, LakeError> {
        changes::seen_by(self, product, since).await
    }

    /// What these contacts, or all, were sent after `since` and before `until`; with the variant for messages of one experiment.
    ///
    /// # Errors
    /// As [`Lake::sql`].
    pub async fn sends(
        &self,
        contacts: Option<&[ContactKey]>,
        of: &Experiment,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Sends, LakeError> {
        sends::sends(self, contacts, of, since, until).await
    }

    /// By which channel these contacts, or all, want to be written to: those who say so in the attribute
    /// [`vocabulary::PREFERRED_CHANNEL`], by key.
    ///
    /// # Errors
    /// As [`Lake::sql`].
    pub async fn preferences(&self, contacts: Option<&[ContactKey]>) -> Result<Vec<(ContactKey, Channel)>, LakeError> {
        preferences::preferences(self, contacts).await
    }

    /// When these contacts, or all, opened and clicked something themselves after `since` and before `until`: one query.
    ///
    /// # Errors
    /// As [`Lake::sql`].
    pub async fn acts(&self, contacts: Option<&[ContactKey]>, since: Timestamp, until: Timestamp) -> Result<Acts, LakeError> {
        acts::acts(self, contacts, since, until).await
    }

    /// What these contacts, who are ordered by key, did from `since` on and before `until`, as far as it is wanted: one query.
    ///
    /// # Errors
    /// As [`Lake::sql`].
    pub async fn past(
        &self,
        contacts: Vec<ContactKey>,
        wanted: &[Covariate],
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Past, LakeError> {
        covariates::past(self, contacts, wanted, since, until).await
    }

    /// The tables and behind them the views, each by name.
    ///
    /// # Errors
    /// Errors of the tables.
    pub async fn tables(&self) -> Result<Vec<TableInfo>, LakeError> {
        self.queries.describe(&self.snapshot(), self.config.limits).await
    }

    /// What SQL reads now.
    fn snapshot(&self) -> tables::Snapshot {
        self.tables.now(&self.tail)
    }
}
