//! A second lander: brings what a running server has written to its log into the tables, from another process.
//!
//! It reads whole segments only: a segment is whole when a newer one exists. It deletes nothing: the server still has their
//! rows in memory and their ids to write down, and deletes a segment when it sees it in the tables.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::faults::{Faults, NoFaults};
use crate::landing::land_segments;
use crate::log::{Segment, list_segments};
use crate::opening::open_tables;
use crate::tables::Tables;
use crate::tail::{Tail, TailSegment};
use crate::{LakeConfig, LakeError, Landed};

/// Segments are read until they have so many rows together: a bound on the memory it takes.
const BATCH_ROWS_MAX: u64 = 1 << 19;

/// Lands from the log of a lake that another process has open.
pub struct LogLander {
    config: LakeConfig,
    faults: Arc<dyn Faults>,
    log: PathBuf,
    tables: Tables,
    /// Every segment up to this one is in the tables.
    landed: i64,
}

impl std::fmt::Debug for LogLander {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogLander").field("log", &self.log).field("landed", &self.landed).finish_non_exhaustive()
    }
}

impl LogLander {
    /// Opens the tables of a lake. `config` must be what the lake itself was opened with. Amounts are converted at the
    /// rates in its table.
    ///
    /// # Errors
    /// Errors of the tables.
    pub async fn open(config: LakeConfig) -> Result<Self, LakeError> {
        Self::open_with_faults(config, Arc::new(NoFaults)).await
    }

    /// [`LogLander::open`] with chosen interruptions, for tests.
    ///
    /// # Errors
    /// As [`LogLander::open`].
    pub async fn open_with_faults(config: LakeConfig, faults: Arc<dyn Faults>) -> Result<Self, LakeError> {
        let tables = open_tables(&config).await?;
        Ok(Self { log: config.root.join("log"), config, faults, tables, landed: 0 })
    }

    /// Brings every segment that is whole into the tables. The events it counts may have been landed by others meanwhile.
    ///
    /// # Errors
    /// Errors of files and tables; calling again goes on where this stopped.
    pub async fn land(&mut self) -> Result<Landed, LakeError> {
        let mut landed = Landed::default();
        loop {
            let batch = self.next_batch().await?;
            let Some(newest) = batch.last().map(|segment| segment.number) else { return Ok(landed) };
            let commits = land_segments(&self.tables.events, &batch, self.faults.as_ref()).await?;
            if commits > 0 {
                landed.commits += commits;
                landed.events += batch.iter().map(|segment| segment.rows).sum::<u64>();
            }
            self.landed = newest;
        }
    }

    /// The oldest whole segments that are not known to be landed.
    async fn next_batch(&self) -> Result<Vec<TailSegment>, LakeError> {
        let mut segments = match list_segments(&self.log) {
            Ok(segments) => segments,
            // The server has not made its folders yet.
            Err(LakeError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        segments.pop();
        segments.retain(|segment| segment.number > self.landed);
        if segments.is_empty() {
            return Ok(Vec::new());
        }
        // The server may have been told new ones since.
        self.tables.rates.refresh().await?;
        let tail = Tail::new(crate::rates::known(&self.tables.rates, &self.config.rates).await?);
        for segment in segments {
            match segment.read() {
                Ok(batches) => tail.restore(segment, batches),
                // The server has landed and deleted it since the folder was listed.
                Err(error) if is_gone(&error, &segment) => {}
                Err(error) => return Err(error),
            }
            if tail.rows() >= BATCH_ROWS_MAX {
                break;
            }
        }
        Ok(tail.segments())
    }
}

fn is_gone(error: &LakeError, segment: &Segment) -> bool {
    matches!(error, LakeError::File { source, path, .. } if source.kind() == io::ErrorKind::NotFound && *path == segment.path)
}
