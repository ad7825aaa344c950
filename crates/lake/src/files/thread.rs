//! Reads on a thread of its own, because decoders block, and hands the rows to whoever waits for them.

use futures::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::{FileRows, Progress, TextRow};
use crate::LakeError;

/// Rows handed over at once: enough to make the hand-over cheap.
const BATCH_ROWS: usize = 1_024;

/// Batches that may lie ready: one being used and one being read.
const BATCHES_AHEAD: usize = 2;

/// What is known before the first row.
pub(super) struct Head {
    pub(super) columns: Vec<String>,
    pub(super) progress: Progress,
    pub(super) typed: bool,
}

type Item = Result<Vec<TextRow>, LakeError>;

/// Where a reader puts what it reads: the head first, then the rows.
pub(super) struct Out {
    head: Option<oneshot::Sender<Head>>,
    items: mpsc::Sender<Item>,
    rows: Vec<TextRow>,
}

/// Nobody waits for more rows.
pub(super) struct Unwanted;

impl Out {
    /// Says what the columns are.
    pub(super) fn head(&mut self, head: Head) {
        if let Some(sender) = self.head.take() {
            // Whoever opened the file may have gone away; then the first row finds that out.
            drop(sender.send(head));
        }
    }

    /// Hands over one row.
    pub(super) fn row(&mut self, row: TextRow) -> Result<(), Unwanted> {
        self.rows.push(row);
        if self.rows.len() >= BATCH_ROWS { self.flush() } else { Ok(()) }
    }

    /// Hands over an error in its place among the rows.
    pub(super) fn error(&mut self, error: LakeError) -> Result<(), Unwanted> {
        self.flush()?;
        self.items.blocking_send(Err(error)).map_err(|_| Unwanted)
    }

    fn flush(&mut self) -> Result<(), Unwanted> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::replace(&mut self.rows, Vec::with_capacity(BATCH_ROWS));
        self.items.blocking_send(Ok(rows)).map_err(|_| Unwanted)
    }
}

/// Why a reader stopped before the end.
pub(super) enum Stop {
    Unwanted,
    Failed(LakeError),
}

impl From<Unwanted> for Stop {
    fn from(_: Unwanted) -> Self {
        Self::Unwanted
    }
}

impl From<LakeError> for Stop {
    fn from(error: LakeError) -> Self {
        Self::Failed(error)
    }
}

/// Starts `read` and waits for the head.
pub(super) async fn run(read: impl FnOnce(&mut Out) -> Result<(), Stop> + Send + 'static) -> Result<FileRows, LakeError> {
    let (head_sender, head) = oneshot::channel();
    let (items, mut receiver) = mpsc::channel(BATCHES_AHEAD);
    let mut out = Out { head: Some(head_sender), items, rows: Vec::new() };
    let reading = tokio::task::spawn_blocking(move || {
        let ended = match read(&mut out) {
            Ok(()) => out.flush(),
            Err(Stop::Unwanted) => Ok(()),
            Err(Stop::Failed(error)) => out.error(error),
        };
        drop(ended);
    });
    let Ok(head) = head.await else {
        // Without a head the reader has failed, and the first item says why.
        return Err(match receiver.recv().await {
            Some(Err(error)) => error,
            _ => panicked(),
        });
    };
    let state = Some((receiver, reading));
    let batches = futures::stream::unfold(state, |state| async {
        let (mut receiver, reading): (mpsc::Receiver<Item>, JoinHandle<()>) = state?;
        match receiver.recv().await {
            Some(item) => Some((item, Some((receiver, reading)))),
            // A reader that panicked must not look like the end of the file.
            None => reading.await.is_err().then(|| (Err(panicked()), None)),
        }
    });
    Ok(FileRows { columns: head.columns, batches: batches.fuse().boxed(), progress: head.progress, typed: head.typed })
}

fn panicked() -> LakeError {
    let source = std::io::Error::other("the reader panicked; the file is probably damaged");
    LakeError::Internal { operation: "read the file to its end", source: Box::new(source) }
}

/// Checks that a name stands for one column.
pub(super) fn distinct(columns: &[String]) -> Result<(), String> {
    let twice = columns.iter().enumerate().find(|(at, name)| !name.is_empty() && columns[..*at].contains(name));
    twice.map_or(Ok(()), |(_, name)| Err(format!("its header names the column `{name}` twice; rename one of them")))
}
