//! SQL for people: read only, limited, streamed.

use std::collections::BTreeMap;
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
use vocabulary::Timestamp;

use crate::answer::Encoder;
use crate::session::{Group, Running, explain, plan, too_long, versions_read};
use crate::slow::{Outcome, Watch};
use crate::{AsOf, Lake, LakeError};

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
    /// A query that found no place to run in this time is refused. Waiting is not counted as running.
    pub wait_seconds_max: u64,
}

impl Default for SqlLimits {
    /// A million rows, 1 GiB, one minute: what a person looking at a screen or a notebook needs, on a small machine; and half
    /// a minute of patience.
    fn default() -> Self {
        Self { rows_max: 1_000_000, memory_bytes_max: 1 << 30, seconds_max: 60, wait_seconds_max: 30 }
    }
}

/// How a query is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SqlOptions {
    /// What it may use.
    pub limits: SqlLimits,
    /// Which moment it reads.
    pub as_of: AsOf,
    /// Whose places it takes.
    pub group: Group,
    /// When it is asked, for the log of slow queries.
    pub asked_at: Option<Timestamp>,
}

/// An answer on its way.
pub struct SqlAnswer {
    /// The media type of `body`.
    pub content_type: &'static str,
    /// The version of each table that the query named. What was acknowledged and not landed when it began comes on top,
    /// unless it asked for the past.
    pub versions: BTreeMap<String, i64>,
    /// How long the query waited for a place.
    pub waited: Duration,
    /// How long it ran until its first rows were there.
    pub ran: Duration,
    /// The bytes. An error in it ends it: a limit was reached or the data could not be read.
    pub body: BoxStream<'static, Result<Bytes, LakeError>>,
}

/// See [`Lake::sql`].
pub(crate) async fn sql(lake: &Lake, query: &str, format: SqlFormat, options: &SqlOptions) -> Result<SqlAnswer, LakeError> {
    let mut watch = Watch::start(lake.queries.slow(), query, options.group, options.asked_at);
    match begin(lake, query, options, &mut watch).await {
        Ok(begun) => tell(begun, format, options.limits, watch).await,
        Err(error) => {
            watch.ended(Outcome::of_error(&error));
            Err(error)
        }
    }
}

/// A query whose columns are known.
struct Begun {
    running: Running<()>,
    parts: mpsc::Receiver<Part>,
    deadline: Pin<Box<Sleep>>,
    schema: SchemaRef,
    versions: BTreeMap<String, i64>,
}

/// Starts a query as soon as there is a place, and waits until it is planned.
async fn begin(lake: &Lake, query: &str, options: &SqlOptions, watch: &mut Watch) -> Result<Begun, LakeError> {
    let limits = options.limits;
    let place = lake.queries.enter(options.group, limits).await?;
    watch.began();
    let mut deadline = Box::pin(tokio::time::sleep(Duration::from_secs(limits.seconds_max)));
    let (sender, mut parts) = mpsc::channel(BATCHES_AHEAD);
    let query = query.to_owned();
    let work = move |context| async move { answer(context, &query, limits, sender).await };
    let begin = async {
        let snapshot = lake.tables.as_of(&options.as_of, &lake.tail).await?;
        let running = lake.queries.start(place, &snapshot, limits, work)?;
        match parts.recv().await {
            Some(Part::Begin(schema, versions)) => Ok((running, schema, versions)),
            Some(Part::Failed(error)) => Err(error),
            _ => Err(broken_off()),
        }
    };
    let (running, schema, versions) = tokio::select! {
        biased;
        () = &mut deadline => return Err(too_long(limits)),
        begun = begin => begun?,
    };
    Ok(Begun { running, parts, deadline, schema, versions })
}

/// Waits for the first bytes, so that a query that fails at once is answered with an error and not with a success that
/// breaks off.
async fn tell(begun: Begun, format: SqlFormat, limits: SqlLimits, watch: Watch) -> Result<SqlAnswer, LakeError> {
    let Begun { running, parts, deadline, schema, versions } = begun;
    let encoder = Encoder::new(format, &schema, limits.rows_max)?;
    let content_type = encoder.content_type();
    let mut telling = Telling { parts, ended: false, encoder, deadline, limits, rows: 0, watch, _running: running };
    let first = telling.next().await?;
    let (waited, ran) = telling.watch.so_far();
    let body = stream::try_unfold(telling, |mut telling| async { Ok(telling.next().await?.map(|bytes| (bytes, telling))) });
    Ok(SqlAnswer { content_type, versions, waited, ran, body: stream::iter(first.map(Ok)).chain(body).boxed() })
}

/// What comes from the threads of queries.
enum Part {
    Begin(SchemaRef, BTreeMap<String, i64>),
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
        let mut listening = parts.send(Part::Begin(batches.schema(), versions_read(&context))).await.is_ok();
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
    watch: Watch,
    _running: Running<()>,
}

impl Telling {
    /// The next bytes of the answer, and none after its end.
    async fn next(&mut self) -> Result<Option<Bytes>, LakeError> {
        let bytes = self.listen().await;
        match &bytes {
            Err(error) => self.watch.ended(Outcome::of_error(error)),
            Ok(_) if self.ended => self.watch.ended(Outcome::Done),
            Ok(_) => {}
        }
        bytes
    }

    async fn listen(&mut self) -> Result<Option<Bytes>, LakeError> {
        while !self.ended {
            let part = tokio::select! {
                biased;
                () = &mut self.deadline => return Err(too_long(self.limits)),
                part = self.parts.recv() => part,
            };
            let bytes = match part {
                Some(Part::Begin(..)) => continue,
                Some(Part::Batch(batch)) => self.take(&batch)?,
                Some(Part::End) => self.end()?,
                Some(Part::Failed(error)) => return Err(error),
                None => return Err(broken_off()),
            };
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<Bytes, LakeError> {
        self.rows += batch.num_rows();
        self.watch.rows(batch.num_rows());
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
