//! What SQL reads of one table: the Parquet files of one version, as a plain list, and the rows not yet in them.
//!
//! Files are left out by day and by statistics before one is opened; what is left is an ordinary scan of Parquet files,
//! which any DataFusion can run, a cluster's too.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Date32Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, DFSchema, Result, ScalarValue, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetAccessPlan};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column as PhysicalColumn};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectMeta, ObjectStore};
use serde_json::Value;

use crate::blooms;
use crate::delta::{DataFile, TableState};
use crate::place::Place;
use crate::schema::EVENT_DATE;

/// The footers of so many files are read side by side, for stores that take long to answer.
const FOOTERS_AT_ONCE: usize = 16;

/// One table at one moment.
#[derive(Debug, Clone)]
pub(crate) struct LakeTable {
    state: Arc<TableState>,
    tail: Vec<RecordBatch>,
    /// The table's columns, with texts as views, which groups and joins handle without copying.
    schema: SchemaRef,
    place: Arc<ReadFrom>,
}

/// A file that is read, whole or in part.
struct Part {
    file: Arc<DataFile>,
    /// `None` for all.
    row_groups: Option<ParquetAccessPlan>,
}

impl Part {
    fn all(files: Vec<Arc<DataFile>>) -> Vec<Self> {
        files.into_iter().map(|file| Self { file, row_groups: None }).collect()
    }
}

/// Where files are read from.
pub(crate) struct ReadFrom {
    place: Place,
    url: ObjectStoreUrl,
    store: Arc<dyn ObjectStore>,
}

impl std::fmt::Debug for ReadFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.place.name())
    }
}

impl ReadFrom {
    pub(crate) fn new(place: Place) -> Self {
        let url = place.url();
        let root = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
        let url = ObjectStoreUrl::parse(root).expect("a place has an address with scheme and host");
        Self { url, store: place.reads(), place }
    }

    /// The address under which a session must know [`ReadFrom::store`].
    pub(crate) fn url(&self) -> &ObjectStoreUrl {
        &self.url
    }

    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        self.store.clone()
    }
}

impl LakeTable {
    /// `tail` has the table's columns in the order of `columns`.
    pub(crate) fn new(state: Arc<TableState>, tail: Vec<RecordBatch>, place: Arc<ReadFrom>) -> Self {
        let views = |field: &FieldRef| {
            // Columns of the same name say different things in different tables, and a union of them must not: comments are
            // told by `columns` instead.
            let field = plain(field);
            match field.data_type() {
                DataType::Utf8 => Arc::new(field.with_data_type(DataType::Utf8View)),
                _ => Arc::new(field),
            }
        };
        // The column that files are partitioned by is read off their folder and stands last.
        let (days, others): (Vec<_>, Vec<_>) =
            state.schema.fields().iter().map(views).partition(|field| field.name() == EVENT_DATE);
        let schema = Arc::new(Schema::new(others.into_iter().chain(days).collect::<Vec<_>>()));
        Self { state, tail, schema, place }
    }

    pub(crate) fn version(&self) -> i64 {
        self.state.version
    }

    pub(crate) fn rows(&self) -> u64 {
        self.state.rows() + self.tail.iter().map(|batch| batch.num_rows() as u64).sum::<u64>()
    }

    /// A table of these files only: for writing them anew.
    pub(crate) fn of_files(&self, files: &[Arc<DataFile>]) -> Self {
        let mut state = self.state.as_ref().clone();
        state.files = Arc::new(files.iter().map(|file| (file.path.clone(), file.clone())).collect());
        Self { state: Arc::new(state), tail: Vec::new(), ..self.clone() }
    }

    fn partitioned(&self) -> bool {
        self.schema.fields().last().is_some_and(|field| field.name() == EVENT_DATE)
    }

    /// The files that may hold rows for which `predicate` is true.
    fn prune(&self, predicate: Option<&Arc<dyn PhysicalExpr>>) -> Vec<Arc<DataFile>> {
        let files: Vec<Arc<DataFile>> = self.state.files.values().cloned().collect();
        match predicate.and_then(|predicate| self.may_hold(&files, predicate.clone())) {
            Some(keep) => files.into_iter().zip(keep).filter(|(_, keep)| *keep).map(|(file, _)| file).collect(),
            None => files,
        }
    }

    /// Which of these files may hold rows for which `predicate` is true; `None` where it says nothing about files.
    fn may_hold(&self, files: &[Arc<DataFile>], predicate: Arc<dyn PhysicalExpr>) -> Option<Vec<bool>> {
        let builder = PruningPredicateBuilder::new().with_file_schema(self.schema.clone());
        builder.build(predicate)?.prune(&Files { files, schema: &self.schema }).ok()
    }

    /// The files of which every row is wanted, for their statistics say so, and those of which each row must be looked at.
    /// The first need not be filtered, nor the columns be read that are only filtered by.
    fn split(
        &self,
        session: &dyn Session,
        filters: &[Expr],
        schema: &DFSchema,
        files: Vec<Arc<DataFile>>,
    ) -> (Vec<Arc<DataFile>>, Vec<Arc<DataFile>>) {
        let conjuncts: Vec<&Expr> = filters.iter().flat_map(split_conjunction).collect();
        let mut whole = vec![true; files.len()];
        for conjunct in &conjuncts {
            let others = negated(conjunct).and_then(|others| session.create_physical_expr(others, schema).ok());
            let Some(may_hold_others) = others.and_then(|others| self.may_hold(&files, others)) else {
                return (Vec::new(), files);
            };
            // A null is neither wanted nor one of the others.
            let nulls = conjunct.column_refs();
            let no_nulls = |file: &Arc<DataFile>| nulls.iter().all(|column| self.has_no_nulls(file, &column.name));
            for ((whole, others), file) in whole.iter_mut().zip(may_hold_others).zip(&files) {
                *whole &= !others && no_nulls(file);
            }
        }
        let mut whole = whole.into_iter();
        files.into_iter().partition(|_| whole.next().unwrap_or(false))
    }

    fn has_no_nulls(&self, file: &DataFile, column: &str) -> bool {
        let field = self.schema.field_with_name(column);
        column == EVENT_DATE
            || field.is_ok_and(|field| !field.is_nullable())
            || file.stats.null_count.get(column).and_then(Value::as_u64) == Some(0)
    }

    /// Brings the footers of these files into the cache, with what they say of pages: DataFusion itself keeps only the rest, and would
    /// read that again for each query.
    async fn read_footers(&self, session: &dyn Session, files: &[Arc<DataFile>]) -> Result<()> {
        let footers = session.runtime_env().cache_manager.get_file_metadata_cache();
        let read = |file: &Arc<DataFile>| {
            let (meta, footers) = (self.object_meta(file), footers.clone());
            async move { blooms::footer(&self.place.store, footers, &meta).await.map(drop) }
        };
        let reads: Vec<_> = files.iter().map(read).collect();
        futures::stream::iter(reads).buffer_unordered(FOOTERS_AT_ONCE).try_collect().await
    }

    /// Of these files those that may hold one of `contacts`, each with the row groups that may.
    async fn holding(&self, session: &dyn Session, files: Vec<Arc<DataFile>>, contacts: &[i64]) -> Result<Vec<Part>> {
        let footers = session.runtime_env().cache_manager.get_file_metadata_cache();
        let part = |file: Arc<DataFile>| async {
            let meta = self.object_meta(&file);
            let row_groups = blooms::may_hold(&self.place.store, footers.clone(), &meta, contacts).await?;
            Ok(row_groups.map(|row_groups| Part { file, row_groups: Some(row_groups) }))
        };
        let parts = futures::stream::iter(files.into_iter().map(part)).buffered(FOOTERS_AT_ONCE);
        parts.try_filter_map(async |part| Ok(part)).try_collect().await
    }

    fn scan_files(
        &self,
        session: &dyn Session,
        files: &[Part],
        columns: &[usize],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let count = self.schema.fields().len();
        let (file_fields, day_fields) = self.schema.fields().split_at(count - usize::from(self.partitioned()));
        let file_schema = Arc::new(Schema::new(file_fields.to_vec()));
        let table_schema = TableSchema::builder(file_schema).with_table_partition_cols(day_fields.to_vec()).build();
        let cache = session.runtime_env().cache_manager.get_file_metadata_cache();
        let reader = CachedParquetFileReaderFactory::new(self.place.store(), cache);
        let options = session.table_options().parquet.clone();
        let source = ParquetSource::new(table_schema)
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(reader));
        let groups = self.groups(files, session.config().target_partitions());
        let config = FileScanConfigBuilder::new(self.place.url().clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(self.statistics(files))
            .with_projection_indices(Some(columns.to_vec()))?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// The files dealt out so that each group has about as many bytes.
    fn groups(&self, parts: &[Part], count: usize) -> Vec<FileGroup> {
        let mut largest: Vec<&Part> = parts.iter().collect();
        largest.sort_by_key(|part| (std::cmp::Reverse(part.file.bytes), &part.file.path));
        let mut groups: Vec<(u64, Vec<&Part>)> = vec![(0, Vec::new()); count.clamp(1, parts.len().max(1))];
        for part in largest {
            let least = groups.iter_mut().min_by_key(|(bytes, _)| *bytes).expect("there is at least one group");
            least.0 += part.file.bytes;
            least.1.push(part);
        }
        let in_order = |(_, mut parts): (u64, Vec<&Part>)| {
            parts.sort_by_key(|part| &part.file.path);
            FileGroup::new(parts.into_iter().map(|part| self.partitioned_file(part)).collect())
        };
        groups.into_iter().map(in_order).collect()
    }

    fn object_meta(&self, file: &DataFile) -> ObjectMeta {
        let modified = jiff::Timestamp::from_millisecond(file.modified_ms).unwrap_or_default();
        ObjectMeta {
            location: self.place.place.at(&file.path),
            // Files never change, so that any fixed time tells the cache of their footers the same.
            last_modified: std::time::SystemTime::from(modified).into(),
            size: file.bytes,
            e_tag: None,
            version: None,
        }
    }

    fn partitioned_file(&self, Part { file, row_groups }: &Part) -> PartitionedFile {
        let days = file.day().filter(|_| self.partitioned()).map(|day| ScalarValue::Date32(Some(day)));
        let statistics = Statistics {
            num_rows: Precision::Exact(file.rows as usize),
            total_byte_size: Precision::Absent,
            column_statistics: vec![
                ColumnStatistics::new_unknown();
                self.schema.fields().len() - usize::from(self.partitioned())
            ],
        };
        let part = PartitionedFile::new_from_meta(self.object_meta(file))
            .with_partition_values(days.into_iter().collect())
            .with_statistics(Arc::new(statistics));
        match row_groups {
            Some(row_groups) => part.with_extension(row_groups.clone()),
            None => part,
        }
    }

    fn statistics(&self, parts: &[Part]) -> Statistics {
        let rows: u64 = parts.iter().map(|part| part.file.rows).sum();
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Exact(rows as usize);
        statistics
    }

    /// The rows in memory, in the types and the order of the columns.
    fn scan_tail(&self, columns: &[usize]) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(first) = self.tail.first() else { unreachable!("an empty tail is not scanned") };
        let have = Arc::new(Schema::new(first.schema().fields().iter().map(plain).collect::<Vec<_>>()));
        let plain = |batch: &RecordBatch| Ok(RecordBatch::try_new(have.clone(), batch.columns().to_vec())?);
        let tail = self.tail.iter().map(plain).collect::<Result<Vec<_>>>()?;
        let source = MemorySourceConfig::try_new_exec(&[tail], have.clone(), None)?;
        let column = |at: &usize| -> Result<(Arc<dyn PhysicalExpr>, String)> {
            let wanted = self.schema.field(*at);
            let name = wanted.name().clone();
            let Ok(found) = have.index_of(&name) else {
                let null = ScalarValue::try_from(wanted.data_type())?;
                return Ok((Arc::new(datafusion::physical_expr::expressions::Literal::new(null)), name));
            };
            let column: Arc<dyn PhysicalExpr> = Arc::new(PhysicalColumn::new(&name, found));
            if have.field(found).data_type() == wanted.data_type() {
                return Ok((column, name));
            }
            Ok((Arc::new(CastExpr::new(column, wanted.data_type().clone(), None)), name))
        };
        let columns = columns.iter().map(column).collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(ProjectionExec::try_new(columns, source)?))
    }
}

#[async_trait]
impl TableProvider for LakeTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let wanted = projection.unwrap_or(&all);
        let df_schema = DFSchema::try_from(self.schema.clone())?;
        let filter = conjunction(filters.iter().cloned());
        let predicate = filter.map(|filter| session.create_physical_expr(filter, &df_schema)).transpose()?;
        // What is only filtered by is read too and dropped behind the filter.
        let mut columns = wanted.clone();
        if let Some(predicate) = &predicate {
            let mut more: Vec<usize> = collect_columns(predicate).iter().map(PhysicalColumn::index).collect();
            more.sort_unstable();
            let known: HashSet<usize> = columns.iter().copied().collect();
            columns.extend(more.into_iter().filter(|column| !known.contains(column)));
        }
        let limit = limit.filter(|_| predicate.is_none());
        let files = self.prune(predicate.as_ref());
        let (whole, parts) = self.split(session, filters, &df_schema, files);
        let mut inputs = Vec::new();
        if !whole.is_empty() {
            inputs.push(self.scan_files(session, &Part::all(whole), wanted, limit)?);
        }
        let parts = match blooms::contacts(filters).filter(|_| self.schema.column_with_name(blooms::COLUMN).is_some()) {
            Some(contacts) => self.holding(session, parts, &contacts).await?,
            None => {
                if predicate.is_some() {
                    self.read_footers(session, &parts).await?;
                }
                Part::all(parts)
            }
        };
        let mut of_parts = Vec::new();
        if !parts.is_empty() || inputs.is_empty() {
            of_parts.push(self.scan_files(session, &parts, &columns, limit)?);
        }
        if !self.tail.is_empty() {
            of_parts.push(self.scan_tail(&columns)?);
        }
        for part in of_parts {
            inputs.push(filtered(part, predicate.as_ref(), &columns, wanted.len())?);
        }
        match inputs.len() {
            1 => Ok(inputs.remove(0)),
            _ => UnionExec::try_new(inputs),
        }
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // What says nothing of the rows is left to the optimizer: a part that is never true is not read at all.
        let of_rows = |filter: &&Expr| match filter.column_refs().is_empty() {
            true => TableProviderFilterPushDown::Unsupported,
            false => TableProviderFilterPushDown::Exact,
        };
        Ok(filters.iter().map(of_rows).collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Exact(self.rows() as usize);
        Some(statistics)
    }
}

/// What is true of the rows that a condition leaves out, but for nulls; `None` where that is not known.
fn negated(condition: &Expr) -> Option<Expr> {
    match condition {
        Expr::IsNotNull(value) => Some(Expr::IsNull(value.clone())),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            Some(Expr::BinaryExpr(BinaryExpr::new(left.clone(), op.negate()?, right.clone())))
        }
        _ => None,
    }
}

/// A column without what is said of it.
fn plain(field: &FieldRef) -> Field {
    Field::new(field.name(), field.data_type().clone(), field.is_nullable())
}

/// `input` with the rows the predicate lets through, and only its first `wanted` columns.
fn filtered(
    input: Arc<dyn ExecutionPlan>,
    predicate: Option<&Arc<dyn PhysicalExpr>>,
    columns: &[usize],
    wanted: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(predicate) = predicate else { return Ok(input) };
    let predicate = datafusion::physical_expr::utils::reassign_expr_columns(predicate.clone(), &input.schema())?;
    let filter = FilterExec::try_new(predicate, input)?;
    if wanted == columns.len() {
        return Ok(Arc::new(filter));
    }
    let schema = filter.schema();
    let keep = (0..wanted).map(|at| {
        let name = schema.field(at).name().clone();
        (Arc::new(PhysicalColumn::new(&name, at)) as Arc<dyn PhysicalExpr>, name)
    });
    let keep: Vec<(Arc<dyn PhysicalExpr>, String)> = keep.collect();
    Ok(Arc::new(ProjectionExec::try_new(keep, Arc::new(filter))?))
}

/// The statistics of files, as pruning asks for them.
struct Files<'a> {
    files: &'a [Arc<DataFile>],
    schema: &'a SchemaRef,
}

impl Files<'_> {
    fn field(&self, column: &Column) -> Option<&Field> {
        self.schema.field_with_name(&column.name).ok()
    }

    /// `later_us` is added to times.
    fn bound(&self, column: &Column, later_us: i64, of: impl Fn(&DataFile) -> Option<&Value>) -> Option<ArrayRef> {
        let field = self.field(column)?;
        if field.name() == EVENT_DATE {
            return Some(Arc::new(self.files.iter().map(|file| file.day()).collect::<Date32Array>()));
        }
        let texts = self.files.iter().map(|file| of(file).and_then(Value::as_str));
        match field.data_type() {
            DataType::Utf8 | DataType::Utf8View => {
                let texts: StringArray = texts.collect();
                arrow::compute::cast(&texts, field.data_type()).ok()
            }
            DataType::Timestamp(..) => {
                let time = |text: &str| text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond);
                let times: TimestampMicrosecondArray = texts.map(|text| Some(text.and_then(time)? + later_us)).collect();
                Some(Arc::new(times.with_timezone("UTC")))
            }
            _ => None,
        }
    }
}

impl PruningStatistics for Files<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bound(column, 0, |file| file.stats.min_values.get(&column.name))
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        // Checkpoints may have cut times to milliseconds.
        self.bound(column, 999, |file| file.stats.max_values.get(&column.name))
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let nulls = |file: &Arc<DataFile>| {
            if column.name == EVENT_DATE {
                return Some(0);
            }
            file.stats.null_count.get(&column.name).and_then(Value::as_u64)
        };
        Some(Arc::new(self.files.iter().map(nulls).collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from_iter_values(self.files.iter().map(|file| file.rows))))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
