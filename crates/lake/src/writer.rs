//! The one thread that writes the log. It takes all requests that wait, writes them together, syncs once and then
//! answers all: the price of durability is shared by everybody who waits for it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot, watch};
use vocabulary::Event;

use crate::error::chain;
use crate::faults::{Faults, Point};
use crate::index::{IdHash, IdSet, Index};
use crate::log::{FRAME_BYTES_MAX, Segment, push_frame, sync_folder};
use crate::{Appended, LakeError};

/// A segment is sealed at this size: one landing reads a few of them into memory.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// No more than this is written before a sync, so that the first in a group does not wait for too many others.
const GROUP_BYTES_MAX: usize = 8 << 20;
/// More callers than this wait before they are queued.
const REQUESTS_WAITING_MAX: usize = 4096;

/// A segment that is written to no more.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    pub(crate) segment: Segment,
    pub(crate) bytes: u64,
    /// Its events that SQL cannot see yet.
    pub(crate) unlanded: u64,
}

/// What the writer shares with the rest of the lake.
pub(crate) struct Shared {
    pub(crate) index: Index,
    pub(crate) unlanded: watch::Sender<u64>,
    sealed: Mutex<VecDeque<Sealed>>,
}

impl Shared {
    pub(crate) fn new(index: Index, sealed: VecDeque<Sealed>) -> Self {
        let unlanded = sealed.iter().map(|sealed| sealed.unlanded).sum();
        Self { index, unlanded: watch::Sender::new(unlanded), sealed: Mutex::new(sealed) }
    }

    /// The sealed segments that still exist, oldest first.
    pub(crate) fn sealed(&self) -> MutexGuard<'_, VecDeque<Sealed>> {
        self.sealed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Events in the log's form: lines of JSON, and where each ends.
pub(crate) struct Lines {
    text: Vec<u8>,
    ends: Vec<(IdHash, usize)>,
}

impl Lines {
    pub(crate) fn of(events: &[Event]) -> Result<Self, LakeError> {
        let (mut text, mut ends) = (Vec::with_capacity(events.len() * 256), Vec::<(IdHash, usize)>::with_capacity(events.len()));
        for (event, content) in events.iter().enumerate() {
            serde_json::to_writer(&mut text, content).map_err(|source| LakeError::Unwritable { event, source })?;
            text.push(b'\n');
            let bytes = text.len() - ends.last().map_or(0, |(_, end)| *end);
            if bytes > FRAME_BYTES_MAX {
                let why = format!("event {event} of the request has {bytes} bytes; the log takes at most {FRAME_BYTES_MAX}");
                return Err(LakeError::Limit(why));
            }
            ends.push((IdHash::of(content.id.as_str()), text.len()));
        }
        Ok(Self { text, ends })
    }
}

type Reply<T> = oneshot::Sender<Result<T, LakeError>>;

enum Command {
    Append(Lines, Reply<Appended>),
    Seal(Reply<()>),
}

/// The way to the writer's thread, which ends when this is dropped.
pub(crate) struct Writer {
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

/// What the writer needs to begin.
pub(crate) struct WriterConfig {
    pub(crate) folder: PathBuf,
    /// The number of the next segment.
    pub(crate) next: i64,
    pub(crate) shared: Arc<Shared>,
    pub(crate) faults: Arc<dyn Faults>,
}

impl Writer {
    pub(crate) fn start(config: WriterConfig) -> Result<Self, LakeError> {
        let (commands, waiting) = mpsc::channel(REQUESTS_WAITING_MAX);
        let folder = config.folder.clone();
        let thread = std::thread::Builder::new()
            .name("lake-log".to_owned())
            .spawn(move || Loop { config, open: None }.run(waiting))
            .map_err(LakeError::file("start a thread for", &folder))?;
        Ok(Self { commands: Some(commands), thread: Some(thread) })
    }

    pub(crate) async fn append(&self, lines: Lines) -> Result<Appended, LakeError> {
        self.ask(|reply| Command::Append(lines, reply)).await
    }

    /// Seals the open segment if it has events.
    pub(crate) async fn seal(&self) -> Result<(), LakeError> {
        self.ask(Command::Seal).await
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, LakeError> {
        let stopped = || LakeError::NotDurable { why: "the log's writer has stopped".to_owned() };
        let (reply, answer) = oneshot::channel();
        let commands = self.commands.as_ref().ok_or_else(stopped)?;
        commands.send(command(reply)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.commands.take());
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
    open: Option<Open>,
}

/// One request within a group.
struct Member {
    reply: Reply<Appended>,
    answer: Appended,
}

/// Requests that are written and synced together.
#[derive(Default)]
struct Group {
    members: Vec<Member>,
    ids: IdSet,
    events: u64,
    frames: Vec<u8>,
}

impl Loop {
    fn run(mut self, mut waiting: mpsc::Receiver<Command>) {
        while let Some(first) = waiting.blocking_recv() {
            let mut group = Group::default();
            let mut next = Some(first);
            let seal = loop {
                match next.take() {
                    Some(Command::Append(lines, reply)) => group.take(lines, reply, &self.config.shared.index),
                    Some(Command::Seal(reply)) => break Some(reply),
                    None => break None,
                }
                if group.frames.len() < GROUP_BYTES_MAX {
                    next = waiting.try_recv().ok();
                }
            };
            if self.commit(group).is_err() {
                // Only a test that plays a crash comes here: nothing may be tidied up behind it.
                return;
            }
            if let Some(reply) = seal {
                let _ = reply.send(self.seal());
            }
        }
    }

    /// Makes a group durable and answers its members. An error means that a crash is being played.
    fn commit(&mut self, group: Group) -> Result<(), ()> {
        if group.members.is_empty() {
            return Ok(());
        }
        let written = if group.frames.is_empty() { Ok(()) } else { self.write(&group) };
        match written {
            Ok(()) => {
                self.config.shared.index.lock().extend(group.ids);
                if group.events > 0 {
                    self.config.shared.unlanded.send_modify(|unlanded| *unlanded += group.events);
                }
                for member in group.members {
                    let _ = member.reply.send(Ok(member.answer));
                }
                Ok(())
            }
            Err(LakeError::Stopped(_)) => Err(()),
            Err(error) => {
                let why = chain(&error);
                tracing::error!(%why, "events could not be made durable");
                if let Err(error) = self.cut_back() {
                    tracing::error!(why = %chain(&error), "the log could not be cut back; trying again before the next write");
                }
                for member in group.members {
                    let _ = member.reply.send(Err(LakeError::NotDurable { why: why.clone() }));
                }
                Ok(())
            }
        }
    }

    fn write(&mut self, group: &Group) -> Result<(), LakeError> {
        self.cut_back()?;
        if self.open.as_ref().is_some_and(|open| open.bytes >= SEGMENT_BYTES_MAX) {
            self.seal()?;
        }
        if self.open.is_none() {
            self.open = Some(self.create()?);
        }
        let open = self.open.as_mut().expect("a segment was just opened");
        open.dirty = true;
        open.file.write_all(&group.frames).map_err(LakeError::file("write", &open.segment.path))?;
        self.config.faults.reached(Point::LogWritten)?;
        open.file.sync_data().map_err(LakeError::file("sync", &open.segment.path))?;
        self.config.faults.reached(Point::LogSynced)?;
        open.bytes += group.frames.len() as u64;
        open.events += group.events;
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
            let sealed = Sealed { segment: open.segment, bytes: open.bytes, unlanded: open.events };
            self.config.shared.sealed().push_back(sealed);
        }
        Ok(())
    }
}

impl Group {
    /// Adds a request, leaving out the events that are known or came earlier in this group.
    fn take(&mut self, lines: Lines, reply: Reply<Appended>, index: &Index) {
        let known = index.lock();
        let mut answer = Appended { accepted: 0, duplicates: Vec::new() };
        let (mut start, mut payload) = (0, Vec::with_capacity(lines.text.len()));
        for (position, (id, end)) in lines.ends.iter().enumerate() {
            let line = &lines.text[start..*end];
            start = *end;
            if known.contains(id) || !self.ids.insert(*id) {
                answer.duplicates.push(position);
                continue;
            }
            if payload.len() + line.len() > FRAME_BYTES_MAX {
                push_frame(&mut self.frames, &payload);
                payload.clear();
            }
            payload.extend_from_slice(line);
            answer.accepted += 1;
        }
        if !payload.is_empty() {
            push_frame(&mut self.frames, &payload);
        }
        self.events += answer.accepted as u64;
        self.members.push(Member { reply, answer });
    }
}
