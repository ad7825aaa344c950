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
use crate::kept::Kept;
use crate::landing::APPLICATION;
use crate::log::{list_segments, sync_folder};
use crate::place::Place;
use crate::schema::{contacts_table, event_table, rates_table};
use crate::session::{Asked, Group, Queries};
use crate::slow::SlowLog;
use crate::tables::Tables;
use crate::tail::Tail;
use crate::writer::{Writer, WriterConfig};
use crate::{Lake, LakeConfig, LakeError, SqlLimits};

const MICROSECONDS_PER_DAY: i64 = 24 * 60 * 60 * 1_000_000;

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
    let rates = crate::rates::known(&tables.rates, &config.rates).await?;
    let tail = Arc::new(Tail::new(rates));
    let (segments, newest) = read_back(&log, &tables, &tail)?;
    let queries = Queries::new(spill, &tables, SlowLog::new(config.slow_query))?;
    let recorded = tables.events.iter().map(|table| table.state().recorded(APPLICATION)).max().unwrap_or_default();
    let index = open_index(&config, &config.root.join("index"), &tables, &queries, segments, recorded).await?;
    let next = newest.max(recorded).max(index.persisted()) + 1;
    let writer = WriterConfig { folder: log, next, index: index.clone(), tail: tail.clone(), faults: faults.clone() };
    Ok(Lake {
        writer: Writer::start(writer)?,
        kept: Arc::new(Kept::new(&config.root)),
        config,
        faults,
        index,
        tail,
        tables,
        landing: Mutex::new(()),
        tidying: Mutex::new(None),
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
    let rates = Table::open(&place, rates_table(), &[APPLICATION]).await?;
    Ok(Tables::new(events, Arc::new(contacts), Arc::new(rates)))
}

/// One process writes a log. The system frees the lock when the process ends, however it ends.
pub(crate) fn lock(root: &Path) -> Result<File, LakeError> {
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

/// The ids of one segment, and when the newest of them came in.
struct SegmentIds {
    number: i64,
    received_at_us: i64,
    ids: Vec<IdHash>,
}

/// Brings the segments that a former process left into memory, without what the tables have. Returns the ids of all they
/// hold, and the newest number.
fn read_back(log: &Path, tables: &Tables, tail: &Tail) -> Result<(Vec<SegmentIds>, i64), LakeError> {
    let mut segments = list_segments(log)?;
    let newest = segments.last().map_or(0, |segment| segment.number);
    if let Some(newest) = segments.pop() {
        if newest.cut_torn_tail()? > 0 {
            segments.push(newest);
        } else {
            fs::remove_file(&newest.path).map_err(LakeError::file("delete", &newest.path))?;
        }
    }
    let mut ids = Vec::new();
    for segment in segments {
        let batches = segment.read()?;
        let mut of_segment = SegmentIds { number: segment.number, received_at_us: 0, ids: Vec::new() };
        for (_, batch) in &batches {
            let (hashes, received_at_us) = ids_of(batch)?;
            of_segment.ids.extend(hashes);
            of_segment.received_at_us = of_segment.received_at_us.max(received_at_us);
        }
        ids.push(of_segment);
        let lacks = |kind: EventKind| segment.number > tables.events[kind as usize].state().recorded(APPLICATION);
        let lacking: Vec<(EventKind, RecordBatch)> = batches.into_iter().filter(|(kind, _)| lacks(*kind)).collect();
        tail.restore(segment, lacking);
    }
    Ok((ids, newest))
}

/// The index as a former process left it, with what it lacks: the ids of the log's segments, and those of the tables where
/// its own files are missing or damaged.
async fn open_index(
    config: &LakeConfig,
    folder: &Path,
    tables: &Tables,
    queries: &Queries,
    segments: Vec<SegmentIds>,
    landed: i64,
) -> Result<Arc<Index>, LakeError> {
    let opened = Index::open(folder, config.index)?;
    let newest = segments.last().map_or(0, |newest| newest.number);
    // Tables that know of later segments than index and log: one of them comes from a backup.
    let opened = if landed > newest.max(opened.index.persisted()) && opened.rebuild.is_none() {
        drop(opened);
        fs::remove_dir_all(folder).map_err(LakeError::file("delete", folder))?;
        Index::open(folder, config.index)?
    } else {
        opened
    };
    let index = Arc::new(opened.index);
    if let Some(why) = opened.rebuild {
        tracing::info!(why, "reading the ids of past events from the tables");
        // Opening takes as long as it takes.
        let limits = SqlLimits { seconds_max: u64::from(u32::MAX), ..config.limits };
        let failed = LakeError::internal("read the ids of past events");
        let (knowing, days) = (index.clone(), config.index.window_days);
        let read = move |context| async move { know_landed(context, &knowing, days).await.map_err(failed) };
        let asked = Asked { group: Group::Internal, text: "ids of past events", limits };
        queries.run(&tables.landed(), asked, read).await?;
        index.restored(segments.first().map_or(landed, |oldest| oldest.number - 1))?;
    }
    for segment in segments.iter().filter(|segment| segment.number > index.persisted()) {
        index.remember(segment.number, segment.received_at_us, &segment.ids);
    }
    Ok(index)
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
            let failed = |error: LakeError| DataFusionError::External(Box::new(error));
            let (ids, received_at_us) = ids_of(&batch).map_err(failed)?;
            index.restore(received_at_us, &ids).map_err(failed)?;
        }
    }
    Ok(())
}

/// The ids of the events of a batch, and when the newest of them came in.
fn ids_of(batch: &RecordBatch) -> Result<(Vec<IdHash>, i64), LakeError> {
    let column = |name: &str| {
        let missing = || std::io::Error::other(format!("{name} is missing"));
        batch.column_by_name(name).ok_or_else(missing).map_err(LakeError::internal("read the ids of events"))
    };
    let ids = cast(column("event_id")?, &DataType::Utf8).map_err(LakeError::internal("read the ids of events"))?;
    let received = column("received_at")?;
    let newest = arrow::compute::max(received.as_primitive::<TimestampMicrosecondType>()).unwrap_or_default();
    Ok((ids.as_string::<i32>().iter().flatten().map(IdHash::of).collect(), newest))
}
