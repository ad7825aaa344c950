//! Rows are summed to clusters before they are counted: one unit per experiment and cluster.
//!
//! The rows are read, typed and checked as without clusters; DataFusion groups them, on disk where memory is short. It is
//! given one stream, because side by side the order of sums, and with it their last digits, would depend on chance.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use analysis::gather::{BadUnits, EMPTY, RowChecks};
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, UInt32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef, UInt32Type};
use arrow::util::display::array_value_to_string;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::functions_aggregate::expr_fn::{count, max, min, sum};
use datafusion::logical_expr::{Expr, ident, lit};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt};

use super::columns::{NumberColumn, Reader, Units};
use super::{Failed, Job, Sink};
use crate::once::Once;

/// The column that tells clusters apart.
const CLUSTER: &str = "cluster";

/// Shows every cluster to `sink`.
pub(super) async fn pass<S: Sink>(job: &Arc<Job>, mut sink: S) -> Result<(S, RowChecks), Failed> {
    let layout = Layout::new(job);
    let shared = Arc::new(Mutex::new(Shared::new(job)));
    let mut clusters = grouped(job, layout, shared.clone()).await?;
    let mut mixed = None;
    while let Some(batch) = clusters.try_next().await? {
        layout.look_for_mixed(&batch, &mut mixed)?;
        if mixed.is_none() {
            let shared = locked(&shared);
            let units = layout.units(&batch, &shared);
            sink.push(&units.batch(&job.roles, &shared.reader))?;
        }
    }
    let shared = locked(&shared);
    shared.check_clusters(job)?;
    // That a label is empty explains better than that rows disagree.
    shared.checks.finish()?;
    if let Some(Mixed { label, count, example }) = mixed {
        let cluster = job.spec.cluster.clone().unwrap_or_default();
        let (column, is_variant) = (job.roles.label_name(label).to_owned(), label == layout.keys);
        return Err(BadUnits::MixedClusters { cluster, column, is_variant, count, example }.into());
    }
    Ok((sink, shared.checks.clone()))
}

/// The rows of a file, typed and grouped by experiment and cluster.
async fn grouped(job: &Arc<Job>, layout: Layout, shared: Arc<Mutex<Shared>>) -> Result<SendableRecordBatchStream, Failed> {
    let rows = job.source.read(job.source.whole(), &job.roles.columns).await?;
    let cluster = rows.schema().field(job.roles.cluster.expect("the spec names clusters")).data_type().clone();
    let schema = layout.schema(cluster_type(cluster));
    let typed = {
        let (job, schema) = (job.clone(), schema.clone());
        rows.map(move |batch| {
            let batch = batch?;
            let _ = job.rows.send(batch.num_rows() as u64);
            locked(&shared).typed(&job, layout, &schema, &batch).map_err(|error| match error {
                Failed::Bad(bad) => DataFusionError::External(Box::new(bad)),
                Failed::Read(error) => error,
            })
        })
    };
    let stream: SendableRecordBatchStream = Box::pin(RecordBatchStreamAdapter::new(schema.clone(), typed));
    let once = Arc::new(Once::new(stream));
    let session = job.source.session();
    let rows = session.read_table(Arc::new(StreamingTable::try_new(schema, vec![once])?))?;
    let keys: Vec<Expr> = (0..layout.keys).map(|at| ident(label(at))).chain([ident(CLUSTER)]).collect();
    let labels = (layout.keys..layout.labels)
        .flat_map(|at| [min(ident(label(at))).alias(format!("least_{at}")), max(ident(label(at))).alias(format!("most_{at}"))]);
    let sums = (0..layout.numbers).map(|at| sum(ident(number(at))).alias(format!("sum_{at}")));
    let values: Vec<Expr> = labels.chain(sums).chain([count(lit(1)).alias("rows")]).collect();
    Ok(rows.aggregate(keys, values)?.execute_stream().await?)
}

/// The type clusters are grouped by: texts as views, a dictionary as its values.
fn cluster_type(found: DataType) -> DataType {
    match found {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Dictionary(_, values) => cluster_type(*values),
        other => other,
    }
}

/// What reading the rows leaves behind.
struct Shared {
    reader: Reader,
    checks: RowChecks,
    empty_clusters: u64,
    first_empty: Option<u64>,
    /// Days as integers of the same order, by code; and back.
    days: Vec<u32>,
    codes_of_days: HashMap<u32, u32>,
}

fn locked(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn new(job: &Job) -> Self {
        let (reader, checks) = (Reader::new(&job.roles, 0), RowChecks::new(&job.spec));
        Self { reader, checks, empty_clusters: 0, first_empty: None, days: Vec::new(), codes_of_days: HashMap::new() }
    }

    /// A batch of rows as the grouping wants it.
    fn typed(&mut self, job: &Job, layout: Layout, schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch, Failed> {
        let before = self.reader.rows();
        let mut units = self.reader.read(batch)?;
        self.checks.push(&units.batch(&job.roles, &self.reader))?;
        if layout.has_date {
            self.learn_days();
            let day = |code: &u32| self.days.get(*code as usize).copied().unwrap_or(EMPTY);
            let days = units.labels.last_mut().expect("the day is a label");
            *days = days.iter().map(day).collect();
        }
        let cluster = batch.column(job.roles.cluster.expect("the spec names clusters"));
        let cluster = cast(cluster, schema.field(layout.labels).data_type()).map_err(DataFusionError::from)?;
        for row in 0..cluster.len() {
            if cluster.is_null(row) || cluster.as_string_view_opt().is_some_and(|texts| texts.value(row).is_empty()) {
                self.empty_clusters += 1;
                self.first_empty.get_or_insert(before + row as u64 + 1);
            }
        }
        let labels = units.labels.into_iter().map(|codes| Arc::new(UInt32Array::from(codes)) as ArrayRef);
        let columns = labels.chain([cluster]).chain(units.numbers.into_iter().map(filled)).collect();
        Ok(RecordBatch::try_new(schema.clone(), columns).map_err(DataFusionError::from)?)
    }

    /// Makes integers of the days that are new: 20261121.
    fn learn_days(&mut self) {
        let names = self.reader.interners.last().expect("the day is a label").names();
        for (code, name) in names.iter().enumerate().skip(self.days.len()) {
            let day =
                name.bytes().filter(u8::is_ascii_digit).fold(0_u32, |day, digit| day.wrapping_mul(10) + u32::from(digit - b'0'));
            self.days.push(day);
            self.codes_of_days.insert(day, code as u32);
        }
    }

    fn check_clusters(&self, job: &Job) -> Result<(), BadUnits> {
        let Some(row) = self.first_empty else { return Ok(()) };
        let column = job.spec.cluster.clone().unwrap_or_default();
        Err(BadUnits::EmptyLabel { what: "cluster", column, count: self.empty_clusters, row })
    }
}

/// Empty values count as 0 in sums.
fn filled(numbers: NumberColumn) -> ArrayRef {
    let Some(empty) = numbers.empty else { return Arc::new(numbers.values) };
    let values = numbers.values.values().iter().zip(&empty);
    Arc::new(Float64Array::from_iter_values(values.map(|(value, is_empty)| if *is_empty { 0.0 } else { *value })))
}

/// How many columns there are of each kind. Rows have labels, the cluster, and numbers. Clusters have the first labels as
/// their keys, the cluster, the least and the most of each other label, sums, and the number of rows.
#[derive(Debug, Clone, Copy)]
struct Layout {
    labels: usize,
    /// 1 where the first label is the experiment.
    keys: usize,
    numbers: usize,
    has_date: bool,
}

/// Clusters whose rows disagree in a label.
struct Mixed {
    label: usize,
    count: u64,
    example: String,
}

impl Layout {
    fn new(job: &Job) -> Self {
        let (labels, numbers) = job.roles.counts();
        Self { labels, numbers, keys: usize::from(job.roles.has_experiment), has_date: job.roles.has_date }
    }

    fn schema(self, cluster: DataType) -> SchemaRef {
        let labels = (0..self.labels).map(|at| Field::new(label(at), DataType::UInt32, false));
        let numbers = (0..self.numbers).map(|at| Field::new(number(at), DataType::Float64, false));
        Arc::new(Schema::new(labels.chain([Field::new(CLUSTER, cluster, true)]).chain(numbers).collect::<Vec<_>>()))
    }

    /// The codes of a label that is no key: the least or, with `most` of 1, the most of each cluster.
    fn codes(self, clusters: &RecordBatch, label: usize, most: usize) -> &[u32] {
        clusters.column(self.keys + 1 + 2 * (label - self.keys) + most).as_primitive::<UInt32Type>().values()
    }

    /// Counts clusters that disagree in the first label in which some do. Days may differ: a cluster enters on its first.
    fn look_for_mixed(self, clusters: &RecordBatch, mixed: &mut Option<Mixed>) -> Result<(), Failed> {
        for label in self.keys..self.labels - usize::from(self.has_date) {
            if mixed.as_ref().is_some_and(|mixed| mixed.label != label) {
                continue;
            }
            let pairs = self.codes(clusters, label, 0).iter().zip(self.codes(clusters, label, 1));
            for (row, _) in pairs.enumerate().filter(|(_, (least, most))| least != most) {
                if let Some(mixed) = mixed {
                    mixed.count += 1;
                    continue;
                }
                let example = array_value_to_string(clusters.column(self.keys), row).map_err(DataFusionError::from)?;
                *mixed = Some(Mixed { label, count: 1, example });
            }
        }
        Ok(())
    }

    /// Clusters as units.
    fn units(self, clusters: &RecordBatch, shared: &Shared) -> Units {
        let keys = (0..self.keys).map(|at| clusters.column(at).as_primitive::<UInt32Type>().values().to_vec());
        let mut labels: Vec<_> = keys.chain((self.keys..self.labels).map(|at| self.codes(clusters, at, 0).to_vec())).collect();
        if self.has_date {
            let code = |day: &mut u32| *day = shared.codes_of_days.get(day).copied().unwrap_or(EMPTY);
            labels.iter_mut().last().expect("the day is a label").iter_mut().for_each(code);
        }
        let column = |at: usize| clusters.column(self.keys + 1 + 2 * (self.labels - self.keys) + at);
        let sums = |at: usize| NumberColumn { values: column(at).as_primitive::<Float64Type>().clone(), empty: None };
        let rows = column(self.numbers).as_primitive::<Int64Type>().values().iter().map(|rows| *rows as f64);
        Units { labels, numbers: (0..self.numbers).map(sums).collect(), cluster_rows: Some(rows.collect()) }
    }
}

fn label(at: usize) -> String {
    format!("label_{at}")
}

fn number(at: usize) -> String {
    format!("number_{at}")
}
