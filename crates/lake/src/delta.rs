//! Delta tables: their state in memory, advanced by the new commits only, and commits under optimistic concurrency.
//!
//! `deltalake-core` creates tables, reads checkpoints and writes them. Commits and the state between two checkpoints are
//! our own: a commit is one conditional put, whose price does not grow with the commits before it, and a conflict is
//! settled by the plan that knows what it read.
//!
//! *Invariant:* several processes may commit to one table. Who loses a race reads what the winner wrote and plans anew.

mod file;
mod history;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use deltalake_core::kernel::engine::arrow_conversion::{TryIntoArrow, TryIntoKernel};
use deltalake_core::kernel::{Action, CommitInfo, Metadata, MetadataExt, Protocol, Remove, StructType, Transaction};
use deltalake_core::logstore::get_actions;
use deltalake_core::protocol::SaveMode;
use deltalake_core::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use futures::TryStreamExt;
use tokio::sync::Mutex;
use vocabulary::Timestamp;

pub(crate) use file::{DataFile, FileStats, add_of, remove_of};
pub(crate) use history::{Forgotten, LOG, version_of};

use crate::LakeError;
use crate::place::{Place, Put};
use crate::schema::{EVENT_DATE, TableSpec};

/// Opening a table reads the commits since its last checkpoint, so one is written after so many.
pub(crate) const COMMITS_PER_CHECKPOINT: i64 = 100;
/// Who loses so many races in a row says so instead of going on for ever.
const RACES_MAX: u32 = 100;
/// Reader version 1 knows neither deletion vectors nor column mapping, which the file list could not honour.
const READER_VERSION_MAX: i32 = 1;

/// A table at one version. It never changes; a commit makes another.
#[derive(Debug, Clone)]
pub(crate) struct TableState {
    pub(crate) version: i64,
    /// When that version was committed; it never runs backwards.
    pub(crate) at: Timestamp,
    /// By path.
    pub(crate) files: Arc<BTreeMap<String, Arc<DataFile>>>,
    /// What each application last recorded.
    pub(crate) recorded: Arc<BTreeMap<String, i64>>,
    pub(crate) schema: SchemaRef,
    metadata: Arc<Metadata>,
}

impl TableState {
    /// The number the newest commit of an application brought; 0 where there was none.
    pub(crate) fn recorded(&self, application: &str) -> i64 {
        self.recorded.get(application).copied().unwrap_or_default()
    }

    /// How many rows the table has.
    pub(crate) fn rows(&self) -> u64 {
        self.files.values().map(|file| file.rows).sum()
    }

    /// The table as if it had these files only.
    pub(crate) fn with_files(&self, files: BTreeMap<String, Arc<DataFile>>) -> Self {
        Self { files: Arc::new(files), ..self.clone() }
    }

    /// The state after a commit of these actions.
    fn after(&self, version: i64, actions: Vec<Action>) -> Result<Self, String> {
        let mut next = self.clone();
        next.version = version;
        for action in actions {
            match action {
                Action::Add(add) => {
                    let file = DataFile::of(&add)?;
                    Arc::make_mut(&mut next.files).insert(file.path.clone(), Arc::new(file));
                }
                Action::Remove(remove) => {
                    Arc::make_mut(&mut next.files).remove(&remove.path);
                }
                Action::Txn(Transaction { app_id, version, .. }) => {
                    Arc::make_mut(&mut next.recorded).insert(app_id, version);
                }
                Action::Metadata(metadata) => {
                    next.schema = schema_of(&metadata)?;
                    next.metadata = Arc::new(metadata);
                }
                Action::Protocol(protocol) => check_protocol(&protocol)?,
                Action::CommitInfo(info) => {
                    let at = info.timestamp.and_then(|at| Timestamp::from_millisecond(at).ok());
                    next.at = at.map_or(next.at, |at| at.max(next.at));
                }
                Action::Cdc(_) | Action::DomainMetadata(_) => {}
            }
        }
        Ok(next)
    }
}

/// What a commit is for, as other readers see it in the table's history.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Purpose {
    /// Delta's word for it, such as `WRITE` or `OPTIMIZE`.
    pub(crate) operation: &'static str,
    /// When; the lake reads no clock.
    pub(crate) at: Timestamp,
}

/// What a commit wants of the newest state.
pub(crate) type Plan<'a> = Box<dyn FnMut(&TableState) -> Result<Option<Vec<Action>>, LakeError> + Send + 'a>;

/// One Delta table of the lake.
pub(crate) struct Table {
    pub(crate) spec: TableSpec,
    pub(crate) place: Place,
    /// Whose records are kept in the state.
    applications: Vec<String>,
    state: RwLock<Arc<TableState>>,
    /// One commit of this process at a time: racing with oneself is wasted work.
    committing: Mutex<()>,
}

impl Table {
    /// Opens the table of that name, making it where there is none, and adds the columns it lacks.
    pub(crate) async fn open(tables: &Place, spec: TableSpec, applications: &[&str]) -> Result<Self, LakeError> {
        let place = tables.folder(spec.name);
        place.make()?;
        let opened = if is_made(&place).await? { open(&place).await } else { create(&place, &spec).await };
        let delta = opened.map_err(LakeError::table("open", spec.name))?;
        let table = Self::of(place, spec, &delta, applications).await?;
        if table.state().version == 0 {
            table.place.sync(&commit_path(0))?;
        }
        table.refresh().await?;
        table.checkpoint_if_missed().await?;
        table.add_columns().await?;
        Ok(table)
    }

    /// Opens a table that is there and changes nothing; `None` where there is none.
    pub(crate) async fn existing(tables: &Place, spec: TableSpec, applications: &[&str]) -> Result<Option<Self>, LakeError> {
        let place = tables.folder(spec.name);
        if !is_made(&place).await? {
            return Ok(None);
        }
        let delta = open(&place).await.map_err(LakeError::table("open", spec.name))?;
        let table = Self::of(place, spec, &delta, applications).await?;
        table.refresh().await?;
        Ok(Some(table))
    }

    async fn of(place: Place, spec: TableSpec, delta: &DeltaTable, applications: &[&str]) -> Result<Self, LakeError> {
        let state = read_state(delta, applications).await.map_err(LakeError::table("read", spec.name))?;
        let applications = applications.iter().map(|application| (*application).to_owned()).collect();
        let mut table = Self { spec, place, applications, state: RwLock::new(Arc::new(state)), committing: Mutex::new(()) };
        let at = table.committed_at(table.state().version).await?;
        Arc::make_mut(table.state.get_mut().unwrap_or_else(PoisonError::into_inner)).at = at;
        Ok(table)
    }

    /// The table as this process last saw it.
    pub(crate) fn state(&self) -> Arc<TableState> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the commits that others made since.
    pub(crate) async fn refresh(&self) -> Result<Arc<TableState>, LakeError> {
        loop {
            let state = self.state();
            let version = state.version + 1;
            if let Some(bytes) = self.place.get(&commit_path(version)).await? {
                self.advance(&state, version, &bytes)?;
                continue;
            }
            // Another process may have forgotten commits that this one has not read, and the last one that it has read
            // with them: then the next one is missing although there are newer ones.
            let newest = self.place.has(&commit_path(state.version)).await?;
            if newest || self.reload().await?.version == state.version {
                return Ok(state);
            }
        }
    }

    /// Reads the newest state from the last checkpoint on.
    async fn reload(&self) -> Result<Arc<TableState>, LakeError> {
        let applications: Vec<&str> = self.applications.iter().map(String::as_str).collect();
        let read = async { read_state(&self.delta()?.load().await?, &applications).await };
        let mut next = read.await.map_err(LakeError::table("read", self.spec.name))?;
        next.at = self.committed_at(next.version).await?;
        Ok(self.take(next))
    }

    /// Commits what `plan` wants of the newest state. It is called again with a newer one when somebody else was first;
    /// `None` means that there is nothing to do any more. Returns the state with the commit in it.
    pub(crate) async fn commit(&self, purpose: Purpose, mut plan: Plan<'_>) -> Result<Option<Arc<TableState>>, LakeError> {
        let _one = self.committing.lock().await;
        for _ in 0..RACES_MAX {
            let state = self.state();
            let Some(mut actions) = plan(&state)? else { return Ok(None) };
            actions.insert(0, commit_info(purpose, &state));
            let version = state.version + 1;
            let bytes = encode(&actions).map_err(LakeError::table("write down a commit to", self.spec.name))?;
            let path = commit_path(version);
            // A put whose answer got lost is repeated and finds its own bytes: that is a success.
            let won = self.place.put_new(&path, bytes.clone()).await? == Put::Done
                || self.place.get(&path).await?.is_some_and(|found| found == bytes);
            if won {
                let state = self.advance(&state, version, &bytes)?;
                self.checkpoint_if_due(version).await;
                return Ok(Some(state));
            }
            self.refresh().await?;
        }
        let lost = std::io::Error::other(format!("{RACES_MAX} others were first, one after the other"));
        Err(LakeError::table("commit to", self.spec.name)(lost))
    }

    /// Takes in one commit that is in the log, unless another thread did already.
    fn advance(&self, state: &TableState, version: i64, bytes: &Bytes) -> Result<Arc<TableState>, LakeError> {
        let actions = get_actions(version as u64, bytes).map_err(LakeError::table("read a commit of", self.spec.name))?;
        Ok(self.take(state.after(version, actions).map_err(|why| self.refused(why))?))
    }

    fn take(&self, next: TableState) -> Arc<TableState> {
        let mut current = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if current.version < next.version {
            *current = Arc::new(next);
        }
        current.clone()
    }

    fn refused(&self, why: String) -> LakeError {
        LakeError::table("read", self.spec.name)(std::io::Error::other(why))
    }

    /// Adds the columns that a newer version of the program knows; files written before have nulls there.
    async fn add_columns(&self) -> Result<(), LakeError> {
        let missing = |state: &TableState| {
            let known = |name: &str| state.schema.field_with_name(name).is_ok();
            self.spec.schema.fields().iter().any(|field| !known(field.name()))
        };
        if !missing(&self.state()) {
            return Ok(());
        }
        let name = self.spec.name;
        let purpose = Purpose { operation: "ADD COLUMNS", at: self.state().at };
        let plan = |state: &TableState| {
            if !missing(state) {
                return Ok(None);
            }
            let merged = merged_schema(&state.schema, &self.spec.schema);
            let schema: StructType = (&merged).try_into_kernel().map_err(LakeError::table("describe", name))?;
            let metadata = state.metadata.as_ref().clone().with_schema(&schema);
            Ok(Some(vec![Action::Metadata(metadata.map_err(LakeError::table("add columns to", name))?)]))
        };
        self.commit(purpose, Box::new(plan)).await.map(drop)
    }

    async fn checkpoint_if_due(&self, version: i64) {
        if version % COMMITS_PER_CHECKPOINT == 0 {
            self.try_checkpoint(version).await;
        }
    }

    /// Writes the checkpoint that a process which ended too early owes. Without it each opening would read more commits than the
    /// one before, and the next checkpoint would take longer, too.
    async fn checkpoint_if_missed(&self) -> Result<(), LakeError> {
        let version = self.state().version;
        if version >= COMMITS_PER_CHECKPOINT && version - self.last_checkpoint().await? >= COMMITS_PER_CHECKPOINT {
            self.try_checkpoint(version).await;
        }
        Ok(())
    }

    /// A checkpoint makes opening faster and is nothing more, so that a failure is only noted.
    async fn try_checkpoint(&self, version: i64) {
        if let Err(error) = self.checkpoint(version).await {
            tracing::warn!(
                table = self.spec.name,
                version,
                error = &error as &dyn std::error::Error,
                "no checkpoint was written"
            );
        }
    }

    fn delta(&self) -> Result<DeltaTableBuilder, DeltaTableError> {
        builder(&self.place)
    }
}

/// The table's log names its commits so.
pub(crate) fn commit_path(version: i64) -> String {
    format!("_delta_log/{version:020}.json")
}

/// Actions as the lines of a commit.
fn encode(actions: &[Action]) -> Result<Bytes, serde_json::Error> {
    let mut bytes = Vec::new();
    for action in actions {
        serde_json::to_writer(&mut bytes, action)?;
        bytes.push(b'\n');
    }
    Ok(bytes.into())
}

fn commit_info(purpose: Purpose, state: &TableState) -> Action {
    Action::CommitInfo(CommitInfo {
        timestamp: Some(purpose.at.max(state.at).as_millisecond()),
        operation: Some(purpose.operation.to_owned()),
        operation_parameters: Some(HashMap::new()),
        engine_info: Some(format!("sendlab/{}", env!("CARGO_PKG_VERSION"))),
        ..CommitInfo::default()
    })
}

/// Actions that remove these files. `data_change` is false where their rows are in files that the same commit adds.
pub(crate) fn removes<'a>(files: impl IntoIterator<Item = &'a Arc<DataFile>>, at: Timestamp, data_change: bool) -> Vec<Action> {
    let remove = |file: &Arc<DataFile>| -> Remove { remove_of(file, at, data_change) };
    files.into_iter().map(|file| Action::Remove(remove(file))).collect()
}

fn builder(place: &Place) -> Result<DeltaTableBuilder, DeltaTableError> {
    // The store already points at the table, and `deltalake` wants its root beside it.
    DeltaTableBuilder::from_url(place.url().clone())
        .map(|builder| builder.with_storage_backend(place.root(), place.url().clone()))
}

/// Whether there is a table. Looked at first, because the kernel logs an error where it finds none.
async fn is_made(place: &Place) -> Result<bool, LakeError> {
    Ok(place.has(&commit_path(0)).await? || place.has("_delta_log/_last_checkpoint").await?)
}

async fn open(place: &Place) -> Result<DeltaTable, DeltaTableError> {
    builder(place)?.load().await
}

async fn create(place: &Place, spec: &TableSpec) -> Result<DeltaTable, DeltaTableError> {
    let schema: StructType = spec.schema.as_ref().try_into_kernel()?;
    let create = builder(place)?.build()?.create().with_save_mode(SaveMode::Ignore);
    let create = create.with_table_name(spec.name).with_comment(spec.comment).with_columns(schema.fields().cloned());
    let create = create.with_configuration([
        ("delta.checkpointInterval", Some(COMMITS_PER_CHECKPOINT.to_string())),
        ("delta.dataSkippingStatsColumns", Some(spec.skip_by.to_owned())),
    ]);
    let created = if spec.partitioned { create.with_partition_columns([EVENT_DATE]).await } else { create.await };
    // Another process may have made it meanwhile: then that one is the table.
    match created {
        Ok(table) => Ok(table),
        Err(error) => open(place).await.map_err(|_| error),
    }
}

/// The whole state of a table as `deltalake` loaded it.
async fn read_state(delta: &DeltaTable, applications: &[&str]) -> Result<TableState, DeltaTableError> {
    let refused = |why: String| DeltaTableError::Generic(why);
    let snapshot = delta.snapshot()?;
    check_protocol(snapshot.protocol()).map_err(refused)?;
    let log_store = delta.log_store();
    let mut files = BTreeMap::new();
    let mut views = snapshot.snapshot().file_views(log_store.as_ref(), None);
    while let Some(view) = views.try_next().await? {
        #[expect(deprecated, reason = "the action is the one form that commits and checkpoints share")]
        let file = DataFile::of(&view.add_action()).map_err(refused)?;
        files.insert(file.path.clone(), Arc::new(file));
    }
    let mut recorded = BTreeMap::new();
    for application in applications {
        if let Some(number) = snapshot.transaction_version(log_store.as_ref(), application).await? {
            recorded.insert((*application).to_owned(), number);
        }
    }
    let version = snapshot.version() as i64;
    Ok(TableState {
        version,
        // Who needs it reads it from the commit: files are dated by the clock of their disk.
        at: Timestamp::UNIX_EPOCH,
        files: Arc::new(files),
        recorded: Arc::new(recorded),
        schema: schema_of(snapshot.metadata()).map_err(refused)?,
        metadata: Arc::new(snapshot.metadata().clone()),
    })
}

fn schema_of(metadata: &Metadata) -> Result<SchemaRef, String> {
    if metadata.configuration().get("delta.columnMapping.mode").is_some_and(|mode| mode != "none") {
        return Err("it maps its columns to other names, which Sendlab does not read; write it without column mapping".to_owned());
    }
    let schema = metadata.parse_schema().map_err(|error| error.to_string())?;
    let schema: Schema = (&schema).try_into_arrow().map_err(|error: arrow::error::ArrowError| error.to_string())?;
    Ok(Arc::new(schema))
}

fn check_protocol(protocol: &Protocol) -> Result<(), String> {
    let version = protocol.min_reader_version();
    if version > READER_VERSION_MAX {
        return Err(format!(
            "it asks its readers for protocol version {version} (deletion vectors, column mapping or the like) and Sendlab reads \
             version {READER_VERSION_MAX}; rewrite it without those features"
        ));
    }
    Ok(())
}

/// The columns of `old` and behind them those that only `new` has; what is added to old rows must be nullable.
fn merged_schema(old: &Schema, new: &Schema) -> Schema {
    let mut fields: Vec<_> = old.fields().iter().cloned().collect();
    for field in new.fields() {
        if old.field_with_name(field.name()).is_err() {
            fields.push(Arc::new(field.as_ref().clone().with_nullable(true)));
        }
    }
    Schema::new(fields)
}
