//! Moves sealed log segments into the tables, each event exactly once.
//!
//! Order is everything: commit to each table, recording the newest segment's number; show the new tables to SQL; only
//! then delete the segments. Whatever step a crash interrupts, the next landing reads the segments that are still
//! there and leaves out, table by table, what that table's record says it has.

use std::collections::BTreeMap;

use vocabulary::{Event, EventKind};

use crate::faults::Point;
use crate::log::Segment;
use crate::rows::event_rows;
use crate::writer::{Sealed, Shared};
use crate::{Lake, LakeError, Landed};

/// Segments are landed together up to this size: fewer commits after a pause, but a bound on the memory it takes.
const BATCH_BYTES_MAX: u64 = 128 << 20;

/// Events by kind, each with the number of its segment.
type ByKind = BTreeMap<EventKind, Vec<(i64, Event)>>;

/// See [`Lake::land`].
pub(crate) async fn land(lake: &Lake) -> Result<Landed, LakeError> {
    let mut tables = lake.events.lock().await;
    lake.writer.seal().await?;
    lake.faults.reached(Point::Sealed)?;
    let mut landed = Landed::default();
    loop {
        let batch = next_batch(&lake.shared);
        let Some(newest) = batch.last().map(|sealed| sealed.segment.number) else { return Ok(landed) };
        let segments = batch.iter().map(|sealed| sealed.segment.clone()).collect();
        let mut by_kind = off_thread(move || read_segments(segments)).await?;
        let mut changed = Vec::new();
        for table in tables.iter_mut() {
            let Some(kind) = EventKind::ALL.iter().find(|kind| kind.table() == table.spec.name) else { continue };
            let Some(events) = by_kind.remove(kind) else { continue };
            let recorded = table.recorded().await?;
            let events: Vec<Event> =
                events.into_iter().filter(|(number, _)| *number > recorded).map(|(_, event)| event).collect();
            changed.push(table.spec.name);
            if events.is_empty() {
                continue;
            }
            let (schema, rates) = (table.spec.schema.clone(), lake.config.rates.clone());
            let rows =
                off_thread(move || event_rows(&schema, events, &rates).map_err(LakeError::internal("arrange events"))).await?;
            table.append(rows, newest, lake.faults.as_ref()).await?;
            landed.commits += 1;
        }
        lake.faults.reached(Point::AllCommitted)?;
        let changed: Vec<_> = tables.iter().filter(|table| changed.contains(&table.spec.name)).collect();
        lake.refresh(&changed).await?;
        landed.events += mark_visible(&lake.shared, batch.len());
        lake.faults.reached(Point::Refreshed)?;
        delete_oldest(lake, batch.len())?;
    }
}

/// Runs work that keeps a processor busy where it does not hold up requests.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LakeError> + Send + 'static,
) -> Result<T, LakeError> {
    tokio::task::spawn_blocking(work).await.map_err(LakeError::internal("finish work on another thread"))?
}

/// The oldest sealed segments: at least one if there is any, and no more than fit.
fn next_batch(shared: &Shared) -> Vec<Sealed> {
    let mut bytes = 0;
    let fits = |sealed: &&Sealed| {
        let first = bytes == 0;
        bytes += sealed.bytes;
        first || bytes <= BATCH_BYTES_MAX
    };
    shared.sealed().iter().take_while(fits).cloned().collect()
}

fn read_segments(segments: Vec<Segment>) -> Result<ByKind, LakeError> {
    let mut by_kind = ByKind::new();
    for segment in segments {
        for event in segment.read()? {
            by_kind.entry(event.body.kind()).or_default().push((segment.number, event));
        }
    }
    Ok(by_kind)
}

/// Counts the events of the oldest `count` segments as landed, once.
fn mark_visible(shared: &Shared, count: usize) -> u64 {
    let visible = shared.sealed().iter_mut().take(count).map(|sealed| std::mem::take(&mut sealed.unlanded)).sum();
    shared.unlanded.send_modify(|unlanded| *unlanded -= visible);
    visible
}

fn delete_oldest(lake: &Lake, count: usize) -> Result<(), LakeError> {
    for _ in 0..count {
        let path = lake.shared.sealed().front().map(|sealed| sealed.segment.path.clone());
        let Some(path) = path else { return Ok(()) };
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(LakeError::file("delete", &path)(error)),
            _ => lake.shared.sealed().pop_front(),
        };
        lake.faults.reached(Point::SegmentDeleted)?;
    }
    Ok(())
}
