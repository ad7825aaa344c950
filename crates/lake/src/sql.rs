//! SQL for people: read only, limited, streamed.

use std::pin::Pin;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::prelude::SessionContext;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use tokio::sync::mpsc;
use tokio::time::Sleep;

use crate::answer::Encoder;
use crate::session::{Running, explain, plan, too_long};
use crate::{Lake, LakeError};

/// Batches that are ready before they are asked for: enough that query and caller do not wait for each other in turn.
const BATCHES_AHEAD: usize = 2;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlFormat {
    /// A text table for a terminal, of the first rows only.
    Table,
    /// Comma-separated values with a header line.
    Csv,
    /// An array of objects.
    Json,
    /// An Arrow IPC stream.
    Arrow,
}

/// What one query may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqlLimits {
    /// More rows end the answer with an error.
    pub rows_max: usize,
    /// Larger sorts, joins and groups go to disk.
    pub memory_bytes_max: usize,
    /// Longer queries are stopped.
    pub seconds_max: u64,
}

impl Default for SqlLimits {
    /// A million rows, 1 GiB, one minute: what a person looking at a screen or a notebook needs, on a small machine.
    fn default() -> Self {
        Self { rows_max: 1_000_000, memory_bytes_max: 1 << 30, seconds_max: 60 }
    }
}

/// An answer on its way.
pub struct SqlAnswer {
    /// The media type of `body`.
    pub content_type: &'static str,
    /// The bytes. An error in it ends it: a limit was reached or the data could not be read.
    pub body: BoxStream<'static, Result<Bytes, LakeError>>,
}

/// See [`Lake::sql`].
pub(crate) async fn sql(lake: &Lake, query: &str, format: SqlFormat, limits: SqlLimits) -> Result<SqlAnswer, LakeError> {
    let mut deadline = Box::pin(tokio::time::sleep(Duration::from_secs(limits.seconds_max)));
    let (sender, mut parts) = mpsc::channel(BATCHES_AHEAD);
    let query = query.to_owned();
    let begin = async {
        let work = move |context| async move { answer(context, &query, limits, sender).await };
        let running = lake.queries.start(&lake.snapshot(), limits, work).await?;
        match parts.recv().await {
            Some(Part::Begin(schema)) => Ok((running, schema)),
            Some(Part::Failed(error)) => Err(error),
            _ => Err(broken_off()),
        }
    };
    let (running, schema) = tokio::select! {
        biased;
        () = &mut deadline => return Err(too_long(limits)),
        begun = begin => begun?,
    };
    let encoder = Encoder::new(format, &schema, limits.rows_max)?;
    let content_type = encoder.content_type();
    let telling = Telling { parts, ended: false, encoder, deadline, limits, rows: 0, _running: running };
    let mut body = stream::try_unfold(telling, Telling::next).boxed();
    // The first part is awaited here, so that a query that fails at once is answered with an error and not with a
    // success that breaks off.
    let first = body.try_next().await?;
    Ok(SqlAnswer { content_type, body: stream::iter(first.map(Ok)).chain(body).boxed() })
}

/// What comes from the threads of queries.
enum Part {
    Begin(SchemaRef),
    Batch(RecordBatch),
    End,
    Failed(LakeError),
}

/// Runs a query and hands over what it gives. Ends early when nobody listens any more.
async fn answer(context: SessionContext, query: &str, limits: SqlLimits, parts: mpsc::Sender<Part>) {
    let run = async {
        let plan = plan(&context, query, limits).await?;
        let failed = |error| explain(&context, error, limits);
        let frame = context.execute_logical_plan(plan).await.map_err(failed)?;
        let mut batches = frame.execute_stream().await.map_err(failed)?;
        let mut listening = parts.send(Part::Begin(batches.schema())).await.is_ok();
        while listening {
            match batches.try_next().await.map_err(failed)? {
                Some(batch) => listening = parts.send(Part::Batch(batch)).await.is_ok(),
                None => break,
            }
        }
        Ok(())
    };
    let last = match run.await {
        Ok(()) => Part::End,
        Err(error) => Part::Failed(error),
    };
    // Nobody listens when the answer was dropped; then nobody misses its end.
    let _ = parts.send(last).await;
}

fn broken_off() -> LakeError {
    LakeError::internal("finish a query")(std::io::Error::other("its thread stopped"))
}

/// An answer as it is told. Dropping it stops the query.
struct Telling {
    parts: mpsc::Receiver<Part>,
    ended: bool,
    encoder: Encoder,
    deadline: Pin<Box<Sleep>>,
    limits: SqlLimits,
    rows: usize,
    _running: Running<()>,
}

impl Telling {
    /// The next bytes of the answer, and none after its end.
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, LakeError> {
        while !self.ended {
            let part = tokio::select! {
                biased;
                () = &mut self.deadline => return Err(too_long(self.limits)),
                part = self.parts.recv() => part,
            };
            let bytes = match part {
                Some(Part::Begin(_)) => continue,
                Some(Part::Batch(batch)) => self.take(&batch)?,
                Some(Part::End) => self.end()?,
                Some(Part::Failed(error)) => return Err(error),
                None => return Err(broken_off()),
            };
            if !bytes.is_empty() {
                return Ok(Some((bytes, self)));
            }
        }
        Ok(None)
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<Bytes, LakeError> {
        self.rows += batch.num_rows();
        if self.encoder.is_full(self.rows) {
            self.encoder.write(batch)?;
            return self.end();
        }
        if self.rows > self.limits.rows_max {
            let rows = self.limits.rows_max;
            return Err(LakeError::Limit(format!("the answer has more than {rows} rows; add a LIMIT, a filter or a GROUP BY")));
        }
        self.encoder.write(batch)
    }

    fn end(&mut self) -> Result<Bytes, LakeError> {
        self.ended = true;
        self.encoder.finish()
    }
}
