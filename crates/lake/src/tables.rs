//! The Delta tables: made, appended to, replaced, and read as one snapshot.
//!
//! Each commit carries an application transaction, the number of the log segment (or of the change of contacts) it
//! brings, so that after a crash the table itself tells what it has. What a commit names is synced to disk before the
//! caller may delete the log segment it came from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::TableProvider;
use deltalake_core::delta_datafusion::TableProviderBuilder;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties, TableReference};
use deltalake_core::kernel::{Action, StructType, Transaction};
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::writer::{DeltaWriter, RecordBatchWriter};
use deltalake_core::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use futures::TryStreamExt;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use url::Url;

use crate::faults::{Faults, Point};
use crate::log::sync_folder;
use crate::schema::{COMMENT, EVENT_DATE, TableSpec};
use crate::{ColumnInfo, LakeError, TableInfo};

/// The name under which commits record what they bring.
const APPLICATION: &str = "sendlab";
/// A handle slows with the commits made through it, so it is reopened after so many.
const COMMITS_PER_HANDLE: u32 = 50;
/// Opening a table reads the commits since its last checkpoint, so one is written after so many.
const COMMITS_PER_CHECKPOINT: &str = "100";
/// Files of a replaced table that nobody reads any more are deleted after so many replacements.
const REPLACEMENTS_PER_VACUUM: i64 = 20;
/// Readers of a replaced table have so long to finish.
const REPLACED_FILES_KEPT: &str = "interval 1 hours";
/// Large enough that a scan reads long runs, small enough that a row group can be skipped.
const ROW_GROUP_ROWS: usize = 128 * 1024;
/// Columns whose values hardly repeat: a dictionary would halve the speed of writing and make files larger.
const UNIQUE_COLUMNS: &[&str] = &["event_id", "event_time", "received_at", "contact_key", "message_id", "order_id", "planned_at"];

/// One Delta table, written by this process only.
pub(crate) struct Table {
    pub(crate) spec: TableSpec,
    folder: PathBuf,
    delta: DeltaTable,
    recorded: i64,
    commits: u32,
    /// A commit failed or was interrupted, so that the handle may not know what the table has.
    stale: bool,
}

impl Table {
    /// Opens the table of that name in `folder`, making it where there is none.
    pub(crate) async fn open(folder: &Path, spec: TableSpec) -> Result<Self, LakeError> {
        let folder = folder.join(spec.name);
        std::fs::create_dir_all(&folder).map_err(LakeError::file("create", &folder))?;
        let delta = create(&folder, &spec).await.map_err(LakeError::table("create", spec.name))?;
        let mut table = Self { spec, folder, delta, recorded: 0, commits: 0, stale: false };
        if table.version() == 0 {
            table.sync(Vec::new(), 0)?;
        }
        table.recorded = table.read_recorded().await?;
        Ok(table)
    }

    /// The number the newest commit brought; 0 where there was none.
    pub(crate) async fn recorded(&mut self) -> Result<i64, LakeError> {
        if self.stale || self.commits >= COMMITS_PER_HANDLE {
            let opened = async { DeltaTableBuilder::from_url(url_of(&self.folder)?)?.load().await }.await;
            self.delta = opened.map_err(LakeError::table("reopen", self.spec.name))?;
            self.recorded = self.read_recorded().await?;
            (self.commits, self.stale) = (0, false);
        }
        Ok(self.recorded)
    }

    /// Adds rows in one commit that records `number`.
    pub(crate) async fn append(&mut self, rows: RecordBatch, number: i64, faults: &dyn Faults) -> Result<(), LakeError> {
        self.commit(rows, number, Vec::new(), faults).await
    }

    /// Makes `rows` the table's only content, in one commit that records `number`.
    pub(crate) async fn replace(&mut self, rows: RecordBatch, number: i64, faults: &dyn Faults) -> Result<(), LakeError> {
        let removes = self.remove_all().await.map_err(LakeError::table("list the files of", self.spec.name))?;
        self.commit(rows, number, removes, faults).await?;
        if self.version() % REPLACEMENTS_PER_VACUUM == 0 {
            self.delta.clone().vacuum().await.map_err(LakeError::table("clean", self.spec.name))?;
            self.stale = true;
        }
        Ok(())
    }

    /// What SQL reads of the table as it is now.
    pub(crate) async fn read(&self) -> Result<TableSnapshot, LakeError> {
        let name = self.spec.name;
        let state = self.delta.snapshot().map_err(LakeError::table("read", name))?;
        let provider = TableProviderBuilder::default()
            .with_log_store(self.delta.log_store())
            .with_eager_snapshot(state.snapshot().clone())
            .await
            .map_err(LakeError::table("read", name))?;
        let rows = state.log_data().iter().map(|file| file.num_records().unwrap_or_default() as u64).sum();
        Ok(TableSnapshot {
            provider,
            version: self.version(),
            rows,
            schema: self.spec.schema.clone(),
            comment: self.spec.comment,
        })
    }

    fn version(&self) -> i64 {
        self.delta.version().map_or(0, |version| version as i64)
    }

    async fn read_recorded(&self) -> Result<i64, LakeError> {
        let read = async {
            let log_store = self.delta.log_store();
            self.delta.snapshot()?.transaction_version(log_store.as_ref(), APPLICATION).await
        };
        let recorded = read.await.map_err(LakeError::table("read the last transaction of", self.spec.name))?;
        Ok(recorded.unwrap_or_default())
    }

    async fn remove_all(&self) -> Result<Vec<Action>, DeltaTableError> {
        let log_store = self.delta.log_store();
        let files = self.delta.snapshot()?.snapshot().file_views(log_store.as_ref(), None);
        files.map_ok(|file| Action::Remove(file.remove_action(true))).try_collect().await
    }

    async fn commit(
        &mut self,
        rows: RecordBatch,
        number: i64,
        mut actions: Vec<Action>,
        faults: &dyn Faults,
    ) -> Result<(), LakeError> {
        // Set until everything succeeded: a future that is dropped halfway leaves it set too.
        self.stale = true;
        let name = self.spec.name;
        let mut writer = RecordBatchWriter::for_table(&self.delta).map_err(LakeError::table("write to", name))?;
        writer = writer.with_writer_properties(writer_properties());
        writer.write(rows).await.map_err(LakeError::table("write to", name))?;
        let adds = writer.flush().await.map_err(LakeError::table("write to", name))?;
        let files = adds.iter().map(|add| self.folder.join(&add.path)).collect();
        faults.reached(Point::FilesWritten)?;

        let mode = if actions.is_empty() { SaveMode::Append } else { SaveMode::Overwrite };
        let partition_by = self.spec.partitioned.then(|| vec![EVENT_DATE.to_owned()]);
        let operation = DeltaOperation::Write { mode, partition_by, predicate: None };
        actions.extend(adds.into_iter().map(Action::Add));
        let properties = CommitProperties::default().with_application_transaction(Transaction::new(APPLICATION, number));
        let state = self.delta.snapshot().map_err(LakeError::table("commit to", name))?;
        let committed = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(state as &dyn TableReference), self.delta.log_store(), operation)
            .await
            .map_err(LakeError::table("commit to", name))?;
        self.sync(files, committed.version() as i64)?;
        self.delta.state = Some(committed.snapshot());
        self.recorded = number;
        self.commits += 1;
        self.stale = false;
        faults.reached(Point::TableCommitted)
    }

    /// Makes files and the commit that names them survive a power loss; the object store only hands them to the
    /// operating system.
    fn sync(&self, mut files: Vec<PathBuf>, version: i64) -> Result<(), LakeError> {
        let log = self.folder.join("_delta_log");
        files.push(log.join(format!("{version:020}.json")));
        let checkpoint = [log.join(format!("{version:020}.checkpoint.parquet")), log.join("_last_checkpoint")];
        files.extend(checkpoint.into_iter().filter(|file| file.exists()));
        let mut folders: Vec<&Path> = files.iter().filter_map(|file| file.parent()).chain([self.folder.as_path()]).collect();
        folders.sort_unstable();
        folders.dedup();
        for file in &files {
            std::fs::File::open(file).and_then(|file| file.sync_all()).map_err(LakeError::file("sync", file))?;
        }
        for folder in folders {
            sync_folder(folder).map_err(LakeError::file("sync", folder))?;
        }
        Ok(())
    }
}

/// One table as SQL sees it.
#[derive(Clone)]
pub(crate) struct TableSnapshot {
    pub(crate) provider: Arc<dyn TableProvider>,
    pub(crate) version: i64,
    rows: u64,
    schema: SchemaRef,
    comment: &'static str,
}

/// All tables as SQL sees them, by name. It never changes; a landing makes another.
#[derive(Clone, Default)]
pub(crate) struct Snapshot(pub(crate) BTreeMap<&'static str, TableSnapshot>);

impl Snapshot {
    pub(crate) fn versions(&self) -> BTreeMap<String, i64> {
        self.0.iter().map(|(name, table)| ((*name).to_owned(), table.version)).collect()
    }

    pub(crate) fn describe(&self) -> Vec<TableInfo> {
        let describe = |(name, table): (&&str, &TableSnapshot)| TableInfo {
            name: (*name).to_owned(),
            version: table.version,
            rows: table.rows,
            comment: table.comment.to_owned(),
            columns: columns_of(&table.schema),
        };
        self.0.iter().map(describe).collect()
    }
}

fn columns_of(schema: &SchemaRef) -> Vec<ColumnInfo> {
    let describe = |field: &arrow::datatypes::Field| ColumnInfo {
        name: field.name().clone(),
        data_type: type_name(field.data_type()),
        comment: field.metadata().get(COMMENT).cloned().unwrap_or_default(),
    };
    schema.fields().iter().map(|field| describe(field)).collect()
}

/// The name of a type that people know; Arrow's own spelling of a map fills three lines.
fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 => "text".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(..) => "timestamp with time zone".to_owned(),
        DataType::Map(..) => "map of text to text".to_owned(),
        other => other.to_string(),
    }
}

async fn create(folder: &Path, spec: &TableSpec) -> Result<DeltaTable, DeltaTableError> {
    let schema: StructType = spec.schema.as_ref().try_into_kernel()?;
    let table = DeltaTableBuilder::from_url(url_of(folder)?)?.build()?;
    let create = table.create().with_save_mode(SaveMode::Ignore).with_table_name(spec.name).with_comment(spec.comment);
    let create = create.with_columns(schema.fields().cloned()).with_configuration([
        ("delta.checkpointInterval", Some(COMMITS_PER_CHECKPOINT)),
        ("delta.dataSkippingStatsColumns", Some(spec.skip_by)),
        ("delta.deletedFileRetentionDuration", Some(REPLACED_FILES_KEPT)),
    ]);
    if spec.partitioned { create.with_partition_columns([EVENT_DATE]).await } else { create.await }
}

fn url_of(folder: &Path) -> Result<Url, DeltaTableError> {
    let whole = std::path::absolute(folder)?;
    Url::from_directory_path(&whole).map_err(|()| DeltaTableError::InvalidTableLocation(whole.display().to_string()))
}

fn writer_properties() -> WriterProperties {
    let level = ZstdLevel::try_new(1).expect("1 is a level of zstd");
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_created_by(format!("sendlab {}", env!("CARGO_PKG_VERSION")));
    let plain = |properties: parquet::file::properties::WriterPropertiesBuilder, column: &&str| {
        properties.set_column_dictionary_enabled(ColumnPath::from(*column), false)
    };
    UNIQUE_COLUMNS.iter().fold(properties, plain).build()
}
