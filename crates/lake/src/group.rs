//! Requests that gather while the disk is busy: rows pushed into shared builders, and who waits for them.
//!
//! A request pushes its rows into one of a few open groups, parsing as it goes. The writer takes all groups at once, makes
//! them durable with one sync and answers everybody in them. So many small requests become few large batches.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use tokio::sync::oneshot;
use vocabulary::{EventKind, EventRef};

use crate::index::IdHash;
use crate::rows::KindBuilder;
use crate::{Appended, LakeError};

/// Who waits for a group gets the positions of its duplicates, or why nothing was kept.
pub(crate) type Reply = oneshot::Sender<Result<Appended, LakeError>>;

/// One request within a group.
pub(crate) struct Member {
    pub(crate) reply: Reply,
    /// Its rows in the group's order.
    pub(crate) first: usize,
    pub(crate) rows: usize,
}

/// Rows that become durable together.
#[derive(Default)]
pub(crate) struct Group {
    builders: [Option<Box<KindBuilder>>; EventKind::ALL.len()],
    /// Of each row, in the order they were pushed.
    pub(crate) ids: Vec<IdHash>,
    pub(crate) kinds: Vec<EventKind>,
    pub(crate) members: Vec<Member>,
    /// About how much memory the rows take.
    pub(crate) bytes: usize,
    /// The newest time of receipt.
    pub(crate) received_at_us: i64,
}

impl Group {
    fn push(&mut self, event: &EventRef<'_>) {
        let kind = event.body.kind();
        let builder = self.builders[kind as usize].get_or_insert_with(|| Box::new(KindBuilder::new(kind)));
        builder.push(event);
        self.ids.push(IdHash::of(event.id));
        self.kinds.push(kind);
        self.received_at_us = self.received_at_us.max(event.received_at.as_microsecond());
    }

    /// The rows, one batch per kind. Their order within a kind is the order they were pushed.
    pub(crate) fn finish(&mut self) -> Result<Vec<(EventKind, RecordBatch)>, ArrowError> {
        let mut batches = Vec::new();
        for (builder, kind) in self.builders.iter_mut().zip(EventKind::ALL) {
            if let Some(builder) = builder.as_mut().filter(|builder| builder.rows() > 0) {
                batches.push((*kind, builder.finish()?));
            }
        }
        Ok(batches)
    }
}

/// Where a request puts its rows. Positions count the pushes, from 0.
pub struct Rows<'a> {
    group: &'a mut Group,
}

impl Rows<'_> {
    /// Adds one event.
    pub fn push(&mut self, event: EventRef<'_>) {
        self.group.push(&event);
    }
}

/// The open groups. There are a few, so that as many requests can parse at the same time.
pub(crate) struct Groups(Vec<Mutex<Group>>);

impl Groups {
    pub(crate) fn new(count: usize) -> Self {
        Self((0..count.max(1)).map(|_| Mutex::default()).collect())
    }

    /// Lets `fill` push the rows of one request. Returns what to wait for, and about how many bytes came in; `None` where
    /// nothing was pushed.
    pub(crate) fn fill(
        &self,
        fill: impl FnOnce(&mut Rows<'_>),
    ) -> Option<(oneshot::Receiver<Result<Appended, LakeError>>, usize)> {
        let mut group = self.pick();
        let first = group.ids.len();
        fill(&mut Rows { group: &mut group });
        let rows = group.ids.len() - first;
        if rows == 0 {
            return None;
        }
        let bytes = rows * ROW_BYTES;
        group.bytes += bytes;
        let (reply, answer) = oneshot::channel();
        group.members.push(Member { reply, first, rows });
        Some((answer, bytes))
    }

    /// All groups that hold something, which are empty afterwards.
    pub(crate) fn take(&self) -> Vec<Group> {
        let taken = self.0.iter().map(|group| std::mem::take(&mut *group.lock().unwrap_or_else(PoisonError::into_inner)));
        taken.filter(|group| !group.members.is_empty()).collect()
    }

    /// The first group nobody is pushing to, else whichever is free first.
    fn pick(&self) -> MutexGuard<'_, Group> {
        for group in &self.0 {
            match group.try_lock() {
                Ok(group) => return group,
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        self.0[0].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a row takes in memory, roughly: columns, offsets and validity of a usual event.
pub(crate) const ROW_BYTES: usize = 320;
