//! The one thread that writes the log. It takes all requests that wait, writes them together, syncs once and then
//! answers all: the price of durability is shared by everybody who waits for it.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use tokio::sync::oneshot;
use vocabulary::EventKind;

use crate::error::chain;
use crate::faults::{Faults, Point};
use crate::group::{Group, Groups, Member, Rows};
use crate::index::Index;
use crate::log::{Segment, push_frames, sync_folder};
use crate::tail::Tail;
use crate::{Appended, LakeError};

/// A segment is sealed at this size: one landing reads a few of them into memory.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// Requests parse side by side in so many open groups.
const GROUPS: usize = 4;
/// Rows that wait for the disk take no more memory than this; further requests are told to come back.
const WAITING_BYTES_MAX: usize = 128 << 20;
/// Rows that wait for their landing take no more memory than this. A landing batch is a third of it.
const TAIL_BYTES_MAX: usize = 224 << 20;
/// A request waits so long for a landing to make room before it is told to come back: a landing takes about a second.
const ROOM_WITHIN: Duration = Duration::from_secs(2);
const RETRY_AFTER_SECONDS: u64 = 1;

/// The way to the writer's thread, which ends when this is dropped.
pub(crate) struct Writer {
    inbox: Arc<Inbox>,
    tail: Arc<Tail>,
    thread: Option<JoinHandle<()>>,
}

/// What waits for the thread.
struct Inbox {
    groups: Groups,
    state: Mutex<State>,
    wake: Condvar,
}

/// Who asked for a seal hears when it is done.
type SealReply = oneshot::Sender<Result<(), LakeError>>;

#[derive(Default)]
struct State {
    work: bool,
    /// Counted by callers and by the thread in whatever order they come, so that it may be below zero for a moment.
    waiting_bytes: isize,
    seals: Vec<SealReply>,
    closed: bool,
}

impl Inbox {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.notify_one();
    }

    /// Answers nobody any more: who waits hears that the writer has stopped.
    fn close(&self) {
        self.change(|state| {
            state.closed = true;
            state.seals.clear();
        });
        drop(self.groups.take());
    }

    /// Waits for work. `None` when there will be none any more.
    fn next(&self) -> Option<(Vec<Group>, Vec<SealReply>)> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |state: &mut State| !state.work && state.seals.is_empty() && !state.closed;
        let mut state = self.wake.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
        if !state.work && state.seals.is_empty() {
            return None;
        }
        state.work = false;
        let seals = std::mem::take(&mut state.seals);
        drop(state);
        Some((self.groups.take(), seals))
    }
}

/// What the writer needs to begin.
pub(crate) struct WriterConfig {
    pub(crate) folder: PathBuf,
    /// The number of the next segment.
    pub(crate) next: i64,
    pub(crate) index: Arc<Index>,
    pub(crate) tail: Arc<Tail>,
    pub(crate) faults: Arc<dyn Faults>,
}

impl Writer {
    pub(crate) fn start(config: WriterConfig) -> Result<Self, LakeError> {
        let inbox = Arc::new(Inbox { groups: Groups::new(GROUPS), state: Mutex::default(), wake: Condvar::new() });
        let (folder, tail) = (config.folder.clone(), config.tail.clone());
        let work = Loop { config, inbox: inbox.clone(), open: None, frames: Vec::new() };
        let thread = std::thread::Builder::new().name("lake-log".to_owned()).spawn(move || work.run());
        let thread = thread.map_err(LakeError::file("start a thread for", &folder))?;
        Ok(Self { inbox, tail, thread: Some(thread) })
    }

    /// Lets `fill` push rows, and waits until they are durable.
    pub(crate) async fn append(&self, fill: impl FnOnce(&mut Rows<'_>)) -> Result<Appended, LakeError> {
        if self.tail.bytes() > TAIL_BYTES_MAX {
            // Whether there is room is asked again below.
            let _ = tokio::time::timeout(ROOM_WITHIN, self.tail.wait_for_room(TAIL_BYTES_MAX)).await;
        }
        match self.begin(fill)? {
            Some(answer) => answer.await.map_err(|_| stopped())?,
            None => Ok(Appended { accepted: 0, duplicates: Vec::new() }),
        }
    }

    /// The part that holds locks, which no await may stand in.
    fn begin(
        &self,
        fill: impl FnOnce(&mut Rows<'_>),
    ) -> Result<Option<oneshot::Receiver<Result<Appended, LakeError>>>, LakeError> {
        {
            let state = self.inbox.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.closed {
                return Err(stopped());
            }
            if state.waiting_bytes > WAITING_BYTES_MAX as isize || self.tail.bytes() > TAIL_BYTES_MAX {
                return Err(LakeError::Busy { retry_after_seconds: RETRY_AFTER_SECONDS });
            }
        }
        let Some((answer, bytes)) = self.inbox.groups.fill(fill) else { return Ok(None) };
        self.inbox.change(|state| {
            state.work = true;
            state.waiting_bytes += bytes.cast_signed();
        });
        Ok(Some(answer))
    }

    /// Seals the open segment if it has events.
    pub(crate) async fn seal(&self) -> Result<(), LakeError> {
        let (reply, answer) = oneshot::channel();
        // Where the thread has ended, nobody would take the question.
        self.inbox.change(|state| {
            if !state.closed {
                state.seals.push(reply);
            }
        });
        answer.await.map_err(|_| stopped())?
    }
}

fn stopped() -> LakeError {
    LakeError::NotDurable { why: "the log's writer has stopped".to_owned() }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.inbox.change(|state| state.closed = true);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has answered nobody; there is nothing to add.
            let _ = thread.join();
        }
    }
}

/// The segment that is written to.
struct Open {
    segment: Segment,
    file: File,
    /// How much of the file is acknowledged.
    bytes: u64,
    events: u64,
    /// Whether something after `bytes` could not be cut off yet.
    dirty: bool,
}

struct Loop {
    config: WriterConfig,
    inbox: Arc<Inbox>,
    open: Option<Open>,
    /// Kept from one group to the next.
    frames: Vec<u8>,
}

/// A group whose duplicates are left out.
struct Ready {
    group: Group,
    /// The positions of its duplicates, in order.
    known: Vec<u32>,
    rows: Vec<(EventKind, RecordBatch)>,
}

impl Loop {
    fn run(mut self) {
        while let Some((groups, seals)) = self.inbox.next() {
            let bytes: usize = groups.iter().map(|group| group.bytes).sum();
            let outcome = self.commit(groups);
            self.inbox.state.lock().unwrap_or_else(PoisonError::into_inner).waiting_bytes -= bytes.cast_signed();
            if outcome.is_err() {
                // Only a test that plays a crash comes here: nothing may be tidied up behind it.
                self.inbox.close();
                return;
            }
            if !seals.is_empty() {
                // A request that came in before the seal was asked for is sealed with the rest.
                for seal in seals {
                    let _ = seal.send(self.seal());
                }
            }
        }
    }

    /// Makes groups durable and answers their members. An error means that a crash is being played.
    fn commit(&mut self, groups: Vec<Group>) -> Result<(), ()> {
        let mut ready = Vec::with_capacity(groups.len());
        let written = self.claim_and_write(groups, &mut ready);
        match written {
            Ok(number) => {
                for Ready { group, known, rows } in ready {
                    self.config.tail.push(number, rows);
                    answer(group.members, &known);
                }
                Ok(())
            }
            Err(LakeError::Stopped(_)) => Err(()),
            Err(error) => {
                let why = chain(&error);
                tracing::error!(%why, "events could not be made durable");
                self.give_up(ready, &why);
                Ok(())
            }
        }
    }

    /// Leaves out what is known, writes the rest and syncs it. Whatever happens, every group is in `ready` afterwards.
    fn claim_and_write(&mut self, groups: Vec<Group>, ready: &mut Vec<Ready>) -> Result<i64, LakeError> {
        ready.extend(groups.into_iter().map(|group| Ready { group, known: Vec::new(), rows: Vec::new() }));
        if ready.is_empty() {
            return Ok(0);
        }
        let number = self.segment()?;
        self.frames.clear();
        for Ready { group, known, rows } in ready.iter_mut() {
            self.config.index.claim(number, group.received_at_us, &group.ids, known)?;
            let batches = group.finish().map_err(LakeError::internal("arrange events"))?;
            *rows = without(&group.kinds, known, batches).map_err(LakeError::internal("leave out known events"))?;
            for (kind, batch) in rows.iter() {
                push_frames(&mut self.frames, *kind, batch).map_err(LakeError::internal("write down events"))?;
            }
        }
        if !self.frames.is_empty() {
            let events = ready.iter().flat_map(|ready| &ready.rows).map(|(_, batch)| batch.num_rows() as u64).sum();
            self.write(events)?;
        }
        Ok(number)
    }

    /// Takes back what a failed write claimed and tells everybody who waits.
    fn give_up(&mut self, ready: Vec<Ready>, why: &str) {
        if let Err(error) = self.cut_back() {
            tracing::error!(why = %chain(&error), "the log could not be cut back; trying again before the next write");
        }
        let number = self.open.as_ref().map_or(self.config.next, |open| open.segment.number);
        for Ready { group, known, .. } in ready {
            let known: std::collections::HashSet<u32> = known.into_iter().collect();
            let claimed = group.ids.iter().zip(0..).filter(|(_, position)| !known.contains(position)).map(|(id, _)| *id);
            self.config.index.take_back(number, &claimed.collect::<Vec<_>>());
            for member in group.members {
                let _ = member.reply.send(Err(LakeError::NotDurable { why: why.to_owned() }));
            }
        }
    }

    /// The number of the segment that the next rows go to; opened where there is none.
    fn segment(&mut self) -> Result<i64, LakeError> {
        self.cut_back()?;
        if self.open.as_ref().is_some_and(|open| open.bytes >= SEGMENT_BYTES_MAX) {
            self.seal()?;
        }
        if self.open.is_none() {
            self.open = Some(self.create()?);
        }
        Ok(self.open.as_ref().expect("a segment was just opened").segment.number)
    }

    fn write(&mut self, events: u64) -> Result<(), LakeError> {
        let open = self.open.as_mut().expect("a segment was just opened");
        open.dirty = true;
        open.file.write_all(&self.frames).map_err(LakeError::file("write", &open.segment.path))?;
        self.config.faults.reached(Point::LogWritten)?;
        open.file.sync_data().map_err(LakeError::file("sync", &open.segment.path))?;
        self.config.faults.reached(Point::LogSynced)?;
        open.bytes += self.frames.len() as u64;
        open.events += events;
        open.dirty = false;
        Ok(())
    }

    fn create(&mut self) -> Result<Open, LakeError> {
        let segment = Segment::new(&self.config.folder, self.config.next);
        let create = || -> io::Result<File> {
            // Truncating is safe: a segment of this number is only there when its creation failed halfway before.
            let file = File::options().write(true).create(true).truncate(true).open(&segment.path)?;
            sync_folder(&self.config.folder)?;
            Ok(file)
        };
        let file = create().map_err(LakeError::file("create", &segment.path))?;
        self.config.next += 1;
        Ok(Open { segment, file, bytes: 0, events: 0, dirty: false })
    }

    /// Removes what a failed write left behind the acknowledged bytes.
    fn cut_back(&mut self) -> Result<(), LakeError> {
        let Some(open) = self.open.as_mut().filter(|open| open.dirty) else { return Ok(()) };
        let cut = |open: &mut Open| -> io::Result<()> {
            open.file.set_len(open.bytes)?;
            open.file.seek(SeekFrom::Start(open.bytes))?;
            open.file.sync_all()
        };
        cut(open).map_err(LakeError::file("cut back", &open.segment.path))?;
        open.dirty = false;
        Ok(())
    }

    fn seal(&mut self) -> Result<(), LakeError> {
        self.cut_back()?;
        if let Some(open) = self.open.take_if(|open| open.events > 0) {
            self.config.tail.seal(open.segment);
        }
        Ok(())
    }
}

/// The batches without the rows at these positions of their group.
fn without(
    kinds: &[EventKind],
    known: &[u32],
    batches: Vec<(EventKind, RecordBatch)>,
) -> Result<Vec<(EventKind, RecordBatch)>, arrow::error::ArrowError> {
    if known.is_empty() {
        return Ok(batches);
    }
    let mut kept = Vec::new();
    for (kind, batch) in batches {
        let mut drop = known.iter().peekable();
        let of_kind = kinds.iter().zip(0_u32..).filter_map(|(of, position)| {
            let dropped = drop.next_if(|known| **known == position).is_some();
            (*of == kind).then_some(Some(!dropped))
        });
        let batch = filter_record_batch(&batch, &of_kind.collect::<BooleanArray>())?;
        if batch.num_rows() > 0 {
            kept.push((kind, batch));
        }
    }
    Ok(kept)
}

/// Tells each member which of its rows were known.
fn answer(members: Vec<Member>, known: &[u32]) {
    for Member { reply, first, rows } in members {
        let begin = known.partition_point(|position| (*position as usize) < first);
        let own = known[begin..].iter().map(|position| *position as usize - first).take_while(|position| *position < rows);
        let duplicates: Vec<usize> = own.collect();
        let _ = reply.send(Ok(Appended { accepted: rows - duplicates.len(), duplicates }));
    }
}
