//! Opens a lake: takes the lock, opens the tables, reads back the log, and knows the ids of past events again.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::error::DataFusionError;
use datafusion::prelude::{SessionContext, col, lit};
use datafusion::scalar::ScalarValue;
use futures::TryStreamExt;
use tokio::sync::Mutex;
use vocabulary::EventKind;

use crate::delta::Table;
use crate::faults::Faults;
use crate::index::{IdHash, Index};
use crate::landing::APPLICATION;
use crate::log::{Segment, list_segments, sync_folder};
use crate::place::Place;
use crate::schema::{contacts_table, event_table};
use crate::session::Queries;
use crate::tables::Tables;
use crate::tail::Tail;
use crate::writer::{Writer, WriterConfig};
use crate::{Lake, LakeConfig, LakeError, SqlLimits};

const MICROSECONDS_PER_DAY: i64 = 24 * 60 * 60 * 1_000_000;
/// The ids of landed events belong to no segment that still exists.
const LANDED_LONG_AGO: i64 = 0;

/// See [`Lake::open_with_faults`].
pub(crate) async fn open(config: LakeConfig, faults: Arc<dyn Faults>) -> Result<Lake, LakeError> {
    let folder = |name: &str| -> Result<PathBuf, LakeError> {
        let folder = config.root.join(name);
        fs::create_dir_all(&folder).map_err(LakeError::file("create", &folder))?;
        Ok(folder)
    };
    let (log, spill) = (folder("log")?, folder("spill")?);
    sync_folder(&config.root).map_err(LakeError::file("sync", &config.root))?;
    let lock = lock(&config.root)?;
    let tables = open_tables(&config).await?;
    let tail = Arc::new(Tail::new(config.rates.clone()));
    let newest = read_back(&log, &tables, &tail)?;
    let queries = Queries::new(spill, &tables)?;
    let index = Arc::new(Index::default());
    know_ids(&config, &tables, &queries, &tail, &index).await?;
    let recorded = tables.events.iter().map(|table| table.state().recorded(APPLICATION)).max().unwrap_or_default();
    let next = newest.max(recorded) + 1;
    let writer = WriterConfig { folder: log, next, index: index.clone(), tail: tail.clone(), faults: faults.clone() };
    Ok(Lake {
        writer: Writer::start(writer)?,
        config,
        faults,
        index,
        tail,
        tables,
        landing: Mutex::new(()),
        queries,
        _lock: lock,
    })
}

/// The tables, made where there are none.
pub(crate) async fn open_tables(config: &LakeConfig) -> Result<Tables, LakeError> {
    let place = Place::open(&config.tables, &config.root)?;
    let contacts = Table::open(&place, contacts_table(), &[APPLICATION]).await?;
    let mut events = Vec::new();
    for kind in EventKind::ALL {
        events.push(Arc::new(Table::open(&place, event_table(*kind), &[APPLICATION]).await?));
    }
    Ok(Tables::new(events, Arc::new(contacts)))
}

/// One process writes a log. The system frees the lock when the process ends, however it ends.
fn lock(root: &Path) -> Result<File, LakeError> {
    let path = root.join("lock");
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(LakeError::file("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder).map_err(LakeError::file("read", &path))?;
            let holder = if holder.is_empty() { "another process".to_owned() } else { holder };
            return Err(LakeError::Locked { root: root.to_owned(), holder });
        }
        Err(TryLockError::Error(error)) => return Err(LakeError::file("lock", &path)(error)),
    }
    let note = |file: &mut File| -> std::io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "process {}", std::process::id())
    };
    note(&mut file).map_err(LakeError::file("write", &path))?;
    Ok(file)
}

/// Brings the segments that a former process left into memory, without what the tables have. Returns the newest number.
fn read_back(log: &Path, tables: &Tables, tail: &Tail) -> Result<i64, LakeError> {
    let mut segments = list_segments(log)?;
    let newest = segments.last().map_or(0, |segment| segment.number);
    if let Some(newest) = segments.pop() {
        if newest.cut_torn_tail()? > 0 {
            segments.push(newest);
        } else {
            fs::remove_file(&newest.path).map_err(LakeError::file("delete", &newest.path))?;
        }
    }
    for segment in segments {
        let (bytes, batches) = read_segment(&segment)?;
        let lacks = |kind: EventKind| segment.number > tables.events[kind as usize].state().recorded(APPLICATION);
        let lacking: Vec<(EventKind, RecordBatch)> = batches.into_iter().filter(|(kind, _)| lacks(*kind)).collect();
        tail.restore(segment, bytes, lacking);
    }
    Ok(newest)
}

fn read_segment(segment: &Segment) -> Result<(u64, Vec<(EventKind, RecordBatch)>), LakeError> {
    let bytes = fs::metadata(&segment.path).map_err(LakeError::file("read", &segment.path))?.len();
    Ok((bytes, segment.read()?))
}

/// Makes the index know the events of the tables and of the log.
async fn know_ids(
    config: &LakeConfig,
    tables: &Tables,
    queries: &Queries,
    tail: &Tail,
    index: &Arc<Index>,
) -> Result<(), LakeError> {
    for segment in tail.segments() {
        for batch in segment.batches.iter().flatten() {
            remember(index, segment.number, batch)?;
        }
    }
    // Opening takes as long as it takes.
    let limits = SqlLimits { seconds_max: u64::from(u32::MAX), ..config.limits };
    let failed = LakeError::internal("read the ids of past events");
    let (landed, days) = (index.clone(), config.dedupe_days);
    let read = move |context| async move { know_landed(context, &landed, days).await.map_err(failed) };
    queries.run(&tables.landed(), limits, read).await
}

/// Knows the events received in the last days before the newest.
async fn know_landed(context: SessionContext, index: &Index, days: u32) -> Result<(), DataFusionError> {
    let newest = EventKind::ALL.iter().map(|kind| format!("SELECT max(received_at) AS newest FROM {}", kind.table()));
    let newest = newest.collect::<Vec<_>>().join(" UNION ALL ");
    let batches = context.sql(&format!("SELECT max(newest) FROM ({newest})")).await?.collect().await?;
    let newest =
        batches.iter().find_map(|batch| batch.column(0).as_primitive::<TimestampMicrosecondType>().iter().flatten().next());
    let Some(newest) = newest else { return Ok(()) };
    let since = newest.saturating_sub(i64::from(days) * MICROSECONDS_PER_DAY);
    let since = ScalarValue::TimestampMicrosecond(Some(since), Some("UTC".into()));
    for kind in EventKind::ALL {
        let rows = context.table(kind.table()).await?.filter(col("received_at").gt_eq(lit(since.clone())))?;
        let mut batches = rows.select_columns(&["event_id", "received_at"])?.execute_stream().await?;
        while let Some(batch) = batches.try_next().await? {
            remember(index, LANDED_LONG_AGO, &batch).map_err(|error| DataFusionError::External(Box::new(error)))?;
        }
    }
    Ok(())
}

fn remember(index: &Index, segment: i64, batch: &RecordBatch) -> Result<(), LakeError> {
    let column = |name: &str| {
        let missing = || std::io::Error::other(format!("{name} is missing"));
        batch.column_by_name(name).ok_or_else(missing).map_err(LakeError::internal("read the ids of events"))
    };
    let ids = cast(column("event_id")?, &DataType::Utf8).map_err(LakeError::internal("read the ids of events"))?;
    let received = column("received_at")?;
    let newest = arrow::compute::max(received.as_primitive::<TimestampMicrosecondType>()).unwrap_or_default();
    let ids: Vec<IdHash> = ids.as_string::<i32>().iter().flatten().map(IdHash::of).collect();
    index.remember(segment, newest, &ids)
}
