//! What is acknowledged but in no table yet: kept in memory by log segment, read by SQL beside the tables, and taken by
//! the lander from here rather than from the log.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use tokio::sync::watch;
use vocabulary::{EventKind, Rates};

use crate::group::ROW_BYTES;
use crate::log::Segment;
use crate::rows::complete;
use crate::schema::event_table;

/// Neighbours of fewer rows are joined, so that a query over a minute of small requests reads few batches.
const SMALL_ROWS: usize = 4096;

/// The rows of one log segment, one list of batches per kind, as their tables have them.
#[derive(Debug, Clone)]
pub(crate) struct TailSegment {
    pub(crate) number: i64,
    /// `Some` when nothing is added any more.
    pub(crate) sealed: Option<Segment>,
    pub(crate) batches: [Vec<RecordBatch>; EventKind::ALL.len()],
    pub(crate) rows: u64,
}

/// See the module.
pub(crate) struct Tail {
    schemas: [SchemaRef; EventKind::ALL.len()],
    rates: RwLock<Arc<Rates>>,
    segments: Mutex<VecDeque<TailSegment>>,
    /// Rows that are in no table yet.
    unlanded: watch::Sender<u64>,
}

impl Tail {
    pub(crate) fn new(rates: Rates) -> Self {
        Self {
            schemas: std::array::from_fn(|kind| event_table(EventKind::ALL[kind]).schema),
            rates: RwLock::new(Arc::new(rates)),
            segments: Mutex::default(),
            unlanded: watch::Sender::new(0),
        }
    }

    pub(crate) fn rates(&self) -> Arc<Rates> {
        self.rates.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_rates(&self, rates: Rates) {
        *self.rates.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rates);
    }

    /// Adds log batches of the segment that is written to.
    pub(crate) fn push(&self, number: i64, batches: Vec<(EventKind, RecordBatch)>) {
        if batches.is_empty() {
            return;
        }
        let rates = self.rates();
        let complete = |(kind, batch): (EventKind, RecordBatch)| {
            // The builders made it of the very schema that is completed here.
            (kind, complete(&self.schemas[kind as usize], &batch, &rates).expect("a log batch has the columns of its table"))
        };
        let batches: Vec<_> = batches.into_iter().map(complete).collect();
        let rows: u64 = batches.iter().map(|(_, batch)| batch.num_rows() as u64).sum();
        let mut segments = self.lock();
        if segments.back().is_none_or(|newest| newest.number != number) {
            segments.push_back(TailSegment { number, sealed: None, batches: Default::default(), rows: 0 });
        }
        let segment = segments.back_mut().expect("a segment was just pushed");
        segment.rows += rows;
        for (kind, batch) in batches {
            push_batch(&mut segment.batches[kind as usize], batch);
        }
        drop(segments);
        self.unlanded.send_modify(|unlanded| *unlanded += rows);
    }

    /// Notes that nothing is added to a segment any more.
    pub(crate) fn seal(&self, segment: Segment) {
        let mut segments = self.lock();
        if let Some(tail) = segments.iter_mut().rfind(|tail| tail.number == segment.number) {
            tail.sealed = Some(segment);
        }
    }

    /// Adds a whole segment that an earlier process left, even where nothing of it is lacking: its file is to be deleted.
    pub(crate) fn restore(&self, segment: Segment, batches: Vec<(EventKind, RecordBatch)>) {
        let number = segment.number;
        self.lock().push_back(TailSegment { number, sealed: None, batches: Default::default(), rows: 0 });
        self.push(number, batches);
        self.seal(segment);
    }

    /// The segments as they are now, oldest first. Batches are shared, not copied.
    pub(crate) fn segments(&self) -> Vec<TailSegment> {
        self.lock().iter().cloned().collect()
    }

    /// The oldest sealed segments: at least one if there is any, and no more than fit into `rows_max`.
    pub(crate) fn next_batch(&self, rows_max: u64) -> Vec<TailSegment> {
        let mut rows = 0;
        let fits = |segment: &&TailSegment| {
            let first = rows == 0;
            rows += segment.rows;
            segment.sealed.is_some() && (first || rows <= rows_max)
        };
        self.lock().iter().take_while(fits).cloned().collect()
    }

    /// Forgets the oldest segments up to this number, which every table has. Returns how many rows they had.
    pub(crate) fn drop_landed(&self, up_to: i64) -> u64 {
        let mut segments = self.lock();
        let mut rows = 0;
        while segments.front().is_some_and(|oldest| oldest.number <= up_to && oldest.sealed.is_some()) {
            rows += segments.pop_front().map_or(0, |segment| segment.rows);
        }
        drop(segments);
        self.unlanded.send_modify(|unlanded| *unlanded -= rows);
        rows
    }

    /// How many rows are in no table yet.
    pub(crate) fn rows(&self) -> u64 {
        *self.unlanded.borrow()
    }

    /// About how much memory they take.
    pub(crate) fn bytes(&self) -> usize {
        bytes_of(self.rows())
    }

    /// Completes when at least so many rows wait.
    pub(crate) async fn wait_for(&self, rows: u64) {
        let mut unlanded = self.unlanded.subscribe();
        // It fails only without a sender, which is this.
        while *unlanded.borrow_and_update() < rows && unlanded.changed().await.is_ok() {}
    }

    /// Completes when they take at most so much memory.
    pub(crate) async fn wait_for_room(&self, bytes_max: usize) {
        let mut unlanded = self.unlanded.subscribe();
        while bytes_of(*unlanded.borrow_and_update()) > bytes_max && unlanded.changed().await.is_ok() {}
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<TailSegment>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes_of(rows: u64) -> usize {
    usize::try_from(rows).unwrap_or(usize::MAX).saturating_mul(ROW_BYTES)
}

/// Adds a batch, joining it with its neighbours while they are about as small, so that each row is copied a few times only.
fn push_batch(batches: &mut Vec<RecordBatch>, mut batch: RecordBatch) {
    while let Some(last) = batches.last() {
        let (old, new) = (last.num_rows(), batch.num_rows());
        if old + new > SMALL_ROWS || old > 2 * new {
            break;
        }
        match concat_batches(last.schema_ref(), [last, &batch]) {
            Ok(joined) => batch = joined,
            Err(_) => break,
        }
        batches.pop();
    }
    batches.push(batch);
}
