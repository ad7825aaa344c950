//! Named points at which a test can stop the work, to prove that a crash there loses and doubles nothing.

use crate::LakeError;

/// A moment between two steps that must survive a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// Frames are written to the log but not yet synced.
    LogWritten,
    /// Frames are synced but nobody has been answered.
    LogSynced,
    /// The open segment is sealed; nothing of it is in a table.
    Sealed,
    /// Parquet files of one table are written; no commit names them.
    FilesWritten,
    /// One table has its commit; others may lack theirs.
    TableCommitted,
    /// Every table has its commit; SQL still reads the old snapshot.
    AllCommitted,
    /// SQL reads the new snapshot; the segments still exist.
    Refreshed,
    /// One segment file is deleted; the landing has not been reported.
    SegmentDeleted,
}

impl Point {
    /// Every point, in the order they are reached.
    pub const ALL: &'static [Self] = &[
        Self::LogWritten,
        Self::LogSynced,
        Self::Sealed,
        Self::FilesWritten,
        Self::TableCommitted,
        Self::AllCommitted,
        Self::Refreshed,
        Self::SegmentDeleted,
    ];
}

/// Decides at each [`Point`] whether the work goes on.
pub trait Faults: Send + Sync + 'static {
    /// Called when `point` is reached.
    ///
    /// # Errors
    /// [`LakeError::Stopped`] to stop the work there, as a crash would.
    fn reached(&self, point: Point) -> Result<(), LakeError>;
}

/// Never stops: what everybody but tests uses.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFaults;

impl Faults for NoFaults {
    fn reached(&self, _point: Point) -> Result<(), LakeError> {
        Ok(())
    }
}
