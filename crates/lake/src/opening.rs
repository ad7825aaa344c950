//! Opens a lake: takes the lock, opens the tables, reads back the log, and rebuilds what is known of event ids.

use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::error::DataFusionError;
use datafusion::prelude::{SessionContext, col, lit};
use datafusion::scalar::ScalarValue;
use futures::TryStreamExt;
use tokio::sync::Mutex;
use vocabulary::EventKind;

use crate::faults::Faults;
use crate::index::{IdHash, IdSet, Index, REMEMBERED_DAYS};
use crate::log::{list_segments, sync_folder};
use crate::schema::{contacts_table, event_table};
use crate::session::Queries;
use crate::tables::{Snapshot, Table};
use crate::writer::{Sealed, Shared, Writer, WriterConfig};
use crate::{Lake, LakeConfig, LakeError, SqlLimits};

const MICROSECONDS_PER_DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// See [`Lake::open_with_faults`].
pub(crate) async fn open(config: LakeConfig, faults: Arc<dyn Faults>) -> Result<Lake, LakeError> {
    let folder = |name: &str| -> Result<PathBuf, LakeError> {
        let folder = config.root.join(name);
        fs::create_dir_all(&folder).map_err(LakeError::file("create", &folder))?;
        Ok(folder)
    };
    let (log, spill, tables_folder) = (folder("log")?, folder("spill")?, folder("tables")?);
    sync_folder(&config.root).map_err(LakeError::file("sync", &config.root))?;
    let lock = lock(&config.root)?;

    let contacts = Table::open(&tables_folder, contacts_table()).await?;
    let mut events = Vec::new();
    for kind in EventKind::ALL {
        events.push(Table::open(&tables_folder, event_table(*kind)).await?);
    }
    sync_folder(&tables_folder).map_err(LakeError::file("sync", &tables_folder))?;
    let mut snapshot = Snapshot::default();
    for table in events.iter().chain([&contacts]) {
        snapshot.0.insert(table.spec.name, table.read().await?);
    }

    let queries = Queries::new(spill)?;
    // Opening takes as long as it takes.
    let limits = SqlLimits { seconds_max: u64::from(u32::MAX), ..config.limits };
    let failed = LakeError::internal("read the ids of past events");
    let read = |context| async move { landed_ids(context).await.map_err(failed) };
    let mut ids = queries.run(&snapshot, limits, read).await?;
    let sealed = read_back(&log, &mut events, &mut ids).await?;
    let newest = sealed.back().map_or(0, |sealed| sealed.segment.number);
    let mut next = newest + 1;
    for table in &mut events {
        next = next.max(table.recorded().await? + 1);
    }
    let shared = Arc::new(Shared::new(Index::new(ids), sealed));
    let writer = Writer::start(WriterConfig { folder: log, next, shared: shared.clone(), faults: faults.clone() })?;
    Ok(Lake {
        config,
        faults,
        writer,
        shared,
        contacts: Mutex::new(contacts),
        events: Mutex::new(events),
        snapshot: RwLock::new(Arc::new(snapshot)),
        queries,
        _lock: lock,
    })
}

/// One process writes a lake. The system frees the lock when the process ends, however it ends.
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

/// The segments a former process left, with how many of their events no table has. Adds their ids to `ids`.
async fn read_back(log: &Path, tables: &mut [Table], ids: &mut IdSet) -> Result<VecDeque<Sealed>, LakeError> {
    let mut segments = list_segments(log)?;
    if let Some(newest) = segments.pop() {
        if newest.cut_torn_tail()? > 0 {
            segments.push(newest);
        } else {
            fs::remove_file(&newest.path).map_err(LakeError::file("delete", &newest.path))?;
        }
    }
    let mut sealed = VecDeque::new();
    for segment in segments {
        let bytes = fs::metadata(&segment.path).map_err(LakeError::file("read", &segment.path))?.len();
        let events = segment.read()?;
        ids.extend(events.iter().map(|event| IdHash::of(event.id.as_str())));
        let mut unlanded = 0;
        for table in tables.iter_mut() {
            if segment.number > table.recorded().await? {
                let of_table = |kind: EventKind| kind.table() == table.spec.name;
                unlanded += events.iter().filter(|event| of_table(event.body.kind())).count() as u64;
            }
        }
        sealed.push_back(Sealed { segment, bytes, unlanded });
    }
    Ok(sealed)
}

/// The ids of the events received in the last [`REMEMBERED_DAYS`] days before the newest.
async fn landed_ids(context: SessionContext) -> Result<IdSet, DataFusionError> {
    let newest = EventKind::ALL.iter().map(|kind| format!("SELECT max(received_at) AS newest FROM {}", kind.table()));
    let newest = newest.collect::<Vec<_>>().join(" UNION ALL ");
    let batches = context.sql(&format!("SELECT max(newest) FROM ({newest})")).await?.collect().await?;
    let newest =
        batches.iter().find_map(|batch| batch.column(0).as_primitive::<TimestampMicrosecondType>().iter().flatten().next());
    let mut ids = IdSet::default();
    let Some(newest) = newest else { return Ok(ids) };
    let since = newest.saturating_sub(REMEMBERED_DAYS * MICROSECONDS_PER_DAY);
    let since = ScalarValue::TimestampMicrosecond(Some(since), Some("UTC".into()));
    for kind in EventKind::ALL {
        let rows = context.table(kind.table()).await?.filter(col("received_at").gt_eq(lit(since.clone())))?;
        let mut batches = rows.select_columns(&["event_id"])?.execute_stream().await?;
        while let Some(batch) = batches.try_next().await? {
            let column = cast(batch.column(0), &DataType::Utf8)?;
            ids.extend(column.as_string::<i32>().iter().flatten().map(IdHash::of));
        }
    }
    Ok(ids)
}
