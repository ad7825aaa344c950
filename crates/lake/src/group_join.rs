//! Sums over what is joined to each unit, in one step: the groupjoin of Moerkotte and Neumann, "Accelerating queries with
//! group-by and join by groupjoin", VLDB 2011.
//!
//! A readout groups deliveries into units, joins their orders to the units and groups by unit again. That last grouping has nothing to
//! find out: no two rows of the units are alike, so that each row is a group already. [`GroupJoins`] puts a [`GroupJoinExec`] in the
//! place of the join and the grouping. It keeps what is joined in a table by key, takes a batch of units, adds up what belongs to
//! each of them and gives out a batch of as many rows: joined rows are never put together, and units are neither hashed nor kept.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, BooleanBufferBuilder, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::{concat_batches, filter, take};
use arrow::datatypes::{DataType, Int64Type, SchemaRef, UInt32Type};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinSide, JoinType, NullEquality};
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{Distribution, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::{ReplaceChildrenOptions, apply_expression_roots};
use datafusion::physical_plan::joins::utils::{ColumnIndex, JoinFilter};
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode, PlanProperties};
use futures::{StreamExt, TryStreamExt};

/// So many pairs of a unit and a row are looked at together, or as many as one unit has. Between them the query can be stopped.
const PAIRS_AT_ONCE: usize = 16 * 1024;

/// Puts [`GroupJoinExec`] where rows that differ are joined and grouped by what they differ in.
#[derive(Debug)]
pub(crate) struct GroupJoins;

impl PhysicalOptimizerRule for GroupJoins {
    fn name(&self) -> &'static str {
        "group_joins"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let in_one_step = |plan: Arc<dyn ExecutionPlan>| {
            let step = plan.downcast_ref::<AggregateExec>().map(GroupJoinExec::in_place_of).transpose()?.flatten();
            Ok(step.map_or_else(|| Transformed::no(plan), |step| Transformed::yes(Arc::new(step) as Arc<dyn ExecutionPlan>)))
        };
        plan.transform_up(in_one_step).map(|transformed| transformed.data)
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Aggregates over the rows that are joined to each unit; over one row of nulls where there are none.
#[derive(Debug, Clone)]
pub(crate) struct GroupJoinExec {
    /// What is joined: the left side of the join that stood here.
    others: Arc<dyn ExecutionPlan>,
    /// No two of its rows are alike: the right side.
    units: Arc<dyn ExecutionPlan>,
    /// Their columns that are used, in order.
    kept: Vec<usize>,
    /// The column of each side that must be equal.
    on: [Column; 2],
    filter: Option<Arc<Condition>>,
    /// The columns of the units that come out, as the groups.
    by: Vec<usize>,
    aggregates: Arc<Aggregates>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// What must hold of a pair.
#[derive(Debug)]
struct Condition {
    expression: Arc<dyn PhysicalExpr>,
    columns: PairColumns,
}

/// What is computed of the pairs of a unit.
#[derive(Debug)]
struct Aggregates {
    functions: Vec<Arc<AggregateFunctionExpr>>,
    /// Of each function, over `columns`.
    arguments: Vec<Vec<Arc<dyn PhysicalExpr>>>,
    /// Of each function, over `columns`: `FILTER (WHERE ...)`.
    filters: Vec<Option<Arc<dyn PhysicalExpr>>>,
    columns: PairColumns,
}

/// Columns of both sides, put together for pairs of rows.
#[derive(Debug)]
struct PairColumns {
    from: Vec<ColumnIndex>,
    schema: SchemaRef,
}

impl GroupJoinExec {
    /// The same in one step, where the plan is grouping by what the rows of one side of a join differ in.
    fn in_place_of(aggregate: &AggregateExec) -> Result<Option<Self>> {
        let group = aggregate.group_expr();
        let is_whole = matches!(aggregate.mode(), AggregateMode::Single | AggregateMode::SinglePartitioned);
        let is_plain = group.is_single() && aggregate.limit_options().is_none();
        if !is_whole || !is_plain || *aggregate.input_order_mode() != InputOrderMode::Linear {
            return Ok(None);
        }
        let works =
            |function: &Arc<AggregateFunctionExpr>| function.groups_accumulator_supported() && function.order_bys().is_empty();
        if !aggregate.aggr_expr().iter().all(works) {
            return Ok(None);
        }
        let Some(join) = aggregate.input().downcast_ref::<HashJoinExec>() else { return Ok(None) };
        // The smaller side is the left one, which a join keeps in memory as this does.
        let is_outer = join.join_type == JoinType::Right && join.mode == PartitionMode::Partitioned;
        if !is_outer || join.null_equality != NullEquality::NullEqualsNothing || join.fetch().is_some() {
            return Ok(None);
        }
        let Some(on) = number_key(join) else { return Ok(None) };
        let origins = origins(join);
        let unit_column = |expr: &Arc<dyn PhysicalExpr>| {
            let origin = &origins[expr.downcast_ref::<Column>()?.index()];
            (origin.side == JoinSide::Right).then_some(origin.index)
        };
        let by: Option<Vec<usize>> = group.expr().iter().map(|(expr, _)| unit_column(expr)).collect();
        let Some(by) = by.filter(|by| rows_differ_in(&join.right, by)) else { return Ok(None) };
        let mut filter = join.filter.as_ref().map(Condition::new);
        let mut aggregates = Aggregates::new(aggregate, &origins)?;
        let used = filter.iter().flat_map(|filter| filter.columns.of_others()).chain(aggregates.columns.of_others());
        let kept: Vec<usize> = BTreeSet::from_iter(used.chain([on[0].index()])).into_iter().collect();
        filter.iter_mut().for_each(|filter| filter.columns.keep(&kept));
        aggregates.columns.keep(&kept);
        Ok(Some(Self {
            others: join.left.clone(),
            units: join.right.clone(),
            kept,
            on,
            filter: filter.map(Arc::new),
            by,
            aggregates: Arc::new(aggregates),
            properties: aggregate.properties().clone(),
            metrics: ExecutionPlanMetricsSet::new(),
        }))
    }

    fn with_inputs(&self, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([others, units]) = <[_; 2]>::try_from(children) else {
            return Err(DataFusionError::Internal("a groupjoin has two inputs".to_owned()));
        };
        Ok(Arc::new(Self { others, units, metrics: ExecutionPlanMetricsSet::new(), ..self.clone() }))
    }
}

/// The key of both sides, where it is one whole number.
fn number_key(join: &HashJoinExec) -> Option<[Column; 2]> {
    let [(left, right)] = &join.on[..] else { return None };
    let column = |key: &Arc<dyn PhysicalExpr>, side: &Arc<dyn ExecutionPlan>| {
        let column = key.downcast_ref::<Column>()?;
        (*side.schema().field(column.index()).data_type() == DataType::Int64).then(|| column.clone())
    };
    Some([column(left, &join.left)?, column(right, &join.right)?])
}

/// Where each column that a join gives out comes from.
fn origins(join: &HashJoinExec) -> Vec<ColumnIndex> {
    let left = join.left.schema().fields().len();
    let origin = |at: usize| match at.checked_sub(left) {
        None => ColumnIndex { index: at, side: JoinSide::Left },
        Some(at) => ColumnIndex { index: at, side: JoinSide::Right },
    };
    match &join.projection {
        Some(columns) => columns.iter().map(|at| origin(*at)).collect(),
        None => (0..join.join_schema().fields().len()).map(origin).collect(),
    }
}

/// Whether no two rows have the same values in these columns, because they were grouped by them or by some of them.
fn rows_differ_in(plan: &Arc<dyn ExecutionPlan>, columns: &[usize]) -> bool {
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let behind = columns.iter().filter_map(|at| projection.expr()[*at].expr.downcast_ref::<Column>());
        return rows_differ_in(projection.input(), &behind.map(Column::index).collect::<Vec<_>>());
    }
    if let Some(cooperative) = plan.downcast_ref::<CooperativeExec>() {
        return rows_differ_in(cooperative.input(), columns);
    }
    if let Some(step) = plan.downcast_ref::<GroupJoinExec>() {
        let behind: Vec<usize> = columns.iter().filter_map(|at| step.by.get(*at).copied()).collect();
        return rows_differ_in(&step.units, &behind);
    }
    let Some(aggregate) = plan.downcast_ref::<AggregateExec>() else { return false };
    let is_partial = matches!(aggregate.mode(), AggregateMode::Partial | AggregateMode::PartialReduce);
    let mut groups = 0..aggregate.group_expr().num_group_exprs();
    !is_partial && aggregate.group_expr().is_single() && groups.all(|group| columns.contains(&group))
}

impl Condition {
    fn new(filter: &JoinFilter) -> Self {
        let columns = PairColumns { from: filter.column_indices().to_vec(), schema: filter.schema().clone() };
        Self { expression: filter.expression().clone(), columns }
    }
}

impl Aggregates {
    fn new(aggregate: &AggregateExec, origins: &[ColumnIndex]) -> Result<Self> {
        // The columns that are used, in the order in which they are met.
        let mut used: Vec<usize> = Vec::new();
        let mut over_pairs = |expr: &Arc<dyn PhysicalExpr>| {
            let placed = expr.clone().transform(|expr| {
                let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
                let at = used.iter().position(|used| *used == column.index()).unwrap_or_else(|| {
                    used.push(column.index());
                    used.len() - 1
                });
                Ok(Transformed::yes(Arc::new(Column::new(column.name(), at)) as Arc<dyn PhysicalExpr>))
            });
            placed.map(|placed| placed.data)
        };
        let functions = aggregate.aggr_expr().to_vec();
        let arguments = functions.iter().map(|function| function.expressions().iter().map(&mut over_pairs).collect());
        let arguments = arguments.collect::<Result<_>>()?;
        let filters = aggregate.filter_expr().iter().map(|filter| filter.as_ref().map(&mut over_pairs).transpose());
        let filters = filters.collect::<Result<_>>()?;
        let from = used.iter().map(|at| origins[*at].clone()).collect();
        let schema = Arc::new(aggregate.input().schema().project(&used)?);
        Ok(Self { functions, arguments, filters, columns: PairColumns { from, schema } })
    }

    fn expressions(&self) -> impl Iterator<Item = &Arc<dyn PhysicalExpr>> {
        self.arguments.iter().flatten().chain(self.filters.iter().flatten())
    }
}

impl PairColumns {
    /// The columns for these pairs of rows.
    fn of(&self, others: &RecordBatch, units: &RecordBatch, pairs: &Pairs) -> Result<RecordBatch> {
        let column = |from: &ColumnIndex| match from.side {
            JoinSide::Left => take(others.column(from.index), &pairs.others, None),
            _ => take(units.column(from.index), &pairs.units, None),
        };
        let columns = self.from.iter().map(column).collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(pairs.units.len()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    /// The columns of the left side among them.
    fn of_others(&self) -> impl Iterator<Item = usize> {
        self.from.iter().filter(|from| from.side == JoinSide::Left).map(|from| from.index)
    }

    /// Looks for the columns of the left side where only these are kept.
    fn keep(&mut self, kept: &[usize]) {
        for from in self.from.iter_mut().filter(|from| from.side == JoinSide::Left) {
            from.index = place(kept, from.index);
        }
    }
}

/// Rows of both sides that belong together.
struct Pairs {
    units: UInt32Array,
    /// Null where a unit has nothing joined to it.
    others: UInt32Array,
}

impl Pairs {
    /// The same, and one for each of these units that has none.
    fn with_alone(self, these: Range<u32>) -> Self {
        let room = self.units.len() + these.len();
        let (mut units, mut others) = (Vec::with_capacity(room), Vec::with_capacity(room));
        let mut is_joined = BooleanBufferBuilder::new(room);
        let mut pairs = self.units.values().iter().zip(self.others.values()).peekable();
        for unit in these {
            let before = units.len();
            while let Some((_, other)) = pairs.next_if(|(of, _)| **of == unit) {
                units.push(unit);
                others.push(*other);
            }
            let count = units.len() - before;
            is_joined.append_n(count.max(1), count > 0);
            if count == 0 {
                units.push(unit);
                others.push(0);
            }
        }
        let others = UInt32Array::new(others.into(), Some(NullBuffer::new(is_joined.finish())));
        Self { units: units.into(), others }
    }
}

/// Where a column is among those that are kept.
fn place(kept: &[usize], column: usize) -> usize {
    kept.binary_search(&column).expect("every column that is used is kept")
}

/// What is joined to units, by key.
struct Others {
    rows: RecordBatch,
    /// Where each bucket begins in `entries`, and the end.
    begins: Vec<u32>,
    /// Keys and rows, by bucket.
    entries: Vec<(i64, u32)>,
    shift: u32,
}

impl Others {
    fn new(rows: RecordBatch, key: usize) -> Result<Self> {
        if u32::try_from(rows.num_rows()).is_err() {
            return Err(DataFusionError::ResourcesExhausted(format!("{} rows are too many to join to others", rows.num_rows())));
        }
        // Two buckets at least, so that the shift stays below the width of the hash.
        let buckets = rows.num_rows().next_power_of_two().max(2);
        let shift = u64::BITS - buckets.ilog2();
        let keys = rows.column(key).as_primitive::<Int64Type>();
        let mut begins = vec![0_u32; buckets + 1];
        keys.iter().flatten().for_each(|key| begins[bucket(key, shift) + 1] += 1);
        for at in 1..begins.len() {
            begins[at] += begins[at - 1];
        }
        let mut next = begins.clone();
        let mut entries = vec![(0, 0); begins[buckets] as usize];
        for (key, row) in keys.iter().zip(0..) {
            let Some(key) = key else { continue };
            let next = &mut next[bucket(key, shift)];
            entries[*next as usize] = (key, row);
            *next += 1;
        }
        Ok(Self { rows, begins, entries, shift })
    }

    /// So much memory it takes beside the rows themselves, at most.
    fn size(rows: usize) -> usize {
        rows * (size_of::<(i64, u32)>() + 4 * size_of::<u32>())
    }

    /// Begins to bring the entries at all these places from memory, so that the waits overlap.
    fn fetch(&self, ranges: &[(u32, u32)]) {
        let first = |(begin, _): &(u32, u32)| self.entries.get(*begin as usize).map_or(0, |(key, _)| *key);
        std::hint::black_box(ranges.iter().map(first).fold(0, |seen, key| seen ^ key));
    }

    /// Where a key's entries lie, among those of few other keys.
    fn range(&self, key: i64) -> (u32, u32) {
        let bucket = bucket(key, self.shift);
        (self.begins[bucket], self.begins[bucket + 1])
    }
}

fn bucket(key: i64, shift: u32) -> usize {
    // The highest bits of a product by a large odd number: all bits of the key count in them.
    (key.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> shift) as usize
}

impl DisplayAs for GroupJoinExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [other, unit] = &self.on;
        write!(f, "GroupJoinExec: on=[({other}, {unit})]")?;
        if let Some(condition) = &self.filter {
            write!(f, ", filter={}", condition.expression)?;
        }
        let schema = self.schema();
        let groups: Vec<&str> = schema.fields().iter().take(self.by.len()).map(|field| field.name().as_str()).collect();
        let functions: Vec<&str> = self.aggregates.functions.iter().map(|function| function.name()).collect();
        write!(f, ", gby=[{}], aggr=[{}]", groups.join(", "), functions.join(", "))
    }
}

impl ExecutionPlan for GroupJoinExec {
    fn name(&self) -> &'static str {
        "GroupJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        let by = |column: &Column| Distribution::KeyPartitioned(vec![Arc::new(column.clone())]);
        self.on.iter().map(by).collect()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.others, &self.units]
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let filter = self.filter.iter().map(|filter| &filter.expression);
        apply_expression_roots(filter.chain(self.aggregates.expressions()), visit)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.with_inputs(children)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.with_inputs(children)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let others = self.others.execute(partition, context.clone())?;
        let units = self.units.execute(partition, context.clone())?;
        let consumer = MemoryConsumer::new(format!("GroupJoin[{partition}]"));
        let memory = consumer.register(context.memory_pool());
        let work = Work { step: self.clone(), metrics: BaselineMetrics::new(&self.metrics, partition) };
        let sums = futures::stream::once(async move {
            let gathered = Arc::new((work.gather(others, &memory).await?, work, memory));
            Ok::<_, DataFusionError>(units.then(move |units| {
                let gathered = gathered.clone();
                async move {
                    let (others, work, _memory) = gathered.as_ref();
                    work.sums(others, &units?).await
                }
            }))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), sums.try_flatten())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// One part of the step at work.
struct Work {
    step: GroupJoinExec,
    metrics: BaselineMetrics,
}

impl Work {
    /// Reads all that is joined.
    async fn gather(&self, mut others: SendableRecordBatchStream, memory: &MemoryReservation) -> Result<Others> {
        let kept = &self.step.kept;
        let (mut batches, mut rows) = (Vec::new(), 0);
        while let Some(batch) = others.try_next().await? {
            let batch = batch.project(kept)?;
            // Twice, because they are put together.
            memory.try_grow(2 * batch.get_array_memory_size() + Others::size(batch.num_rows()))?;
            rows += batch.num_rows();
            batches.push(batch);
        }
        let _timer = self.metrics.elapsed_compute().timer();
        let whole = concat_batches(&Arc::new(others.schema().project(kept)?), &batches)?;
        drop(batches);
        memory.try_resize(whole.get_array_memory_size() + Others::size(rows))?;
        Others::new(whole, place(kept, self.step.on[0].index()))
    }

    /// The sums of a batch of units: a row for each.
    async fn sums(&self, others: &Others, units: &RecordBatch) -> Result<RecordBatch> {
        let _timer = self.metrics.elapsed_compute().timer();
        let functions = &self.step.aggregates.functions;
        let mut sums = functions.iter().map(|function| function.create_groups_accumulator()).collect::<Result<Vec<_>>>()?;
        let keys = units.column(self.step.on[1].index()).as_primitive::<Int64Type>();
        // All places first: memory answers many such questions at once.
        let ranges: Vec<(u32, u32)> = keys.iter().map(|key| key.map_or((0, 0), |key| others.range(key))).collect();
        others.fetch(&ranges);
        let (mut of, mut found) = (Vec::new(), Vec::new());
        let mut first = 0;
        for ((key, (begin, end)), unit) in keys.values().iter().zip(ranges).zip(0..) {
            for (_, other) in others.entries[begin as usize..end as usize].iter().filter(|(other_key, _)| other_key == key) {
                of.push(unit);
                found.push(*other);
            }
            if of.len() >= PAIRS_AT_ONCE {
                let pairs = Pairs { units: std::mem::take(&mut of).into(), others: std::mem::take(&mut found).into() };
                self.add(others, units, pairs, first..unit + 1, &mut sums)?;
                first = unit + 1;
                tokio::task::consume_budget().await;
            }
        }
        let pairs = Pairs { units: of.into(), others: found.into() };
        self.add(others, units, pairs, first..units.num_rows() as u32, &mut sums)?;
        let groups = self.step.by.iter().map(|at| Ok(units.column(*at).clone()));
        let columns = groups.chain(sums.iter_mut().map(|sum| sum.evaluate(EmitTo::All))).collect::<Result<_>>()?;
        let batch = RecordBatch::try_new(self.step.schema(), columns)?;
        self.metrics.record_output(batch.num_rows());
        Ok(batch)
    }

    /// Adds to the sums of some units what is joined to them: those pairs of which the condition holds, or a row of nulls. Every unit
    /// is told of, in order, as accumulators expect of groups.
    fn add(&self, others: &Others, units: &RecordBatch, mut pairs: Pairs, these: Range<u32>, sums: &mut Sums) -> Result<()> {
        if let Some(condition) = &self.step.filter {
            let holds = booleans(&condition.expression, &condition.columns.of(&others.rows, units, &pairs)?)?;
            pairs = Pairs { units: those(&pairs.units, &holds)?, others: those(&pairs.others, &holds)? };
        }
        let all = these.end as usize;
        let pairs = pairs.with_alone(these);
        let groups: Vec<usize> = pairs.units.values().iter().map(|unit| *unit as usize).collect();
        let Aggregates { arguments, filters, columns, .. } = self.step.aggregates.as_ref();
        let pairs = columns.of(&others.rows, units, &pairs)?;
        for ((sum, arguments), filter) in sums.iter_mut().zip(arguments).zip(filters) {
            let values = arguments.iter().map(|argument| argument.evaluate(&pairs)?.into_array(pairs.num_rows()));
            let filter = filter.as_ref().map(|filter| booleans(filter, &pairs)).transpose()?;
            sum.update_batch(&values.collect::<Result<Vec<_>>>()?, &groups, filter.as_ref(), all)?;
        }
        Ok(())
    }
}

/// Of each function the sums so far, by row of the units.
type Sums = [Box<dyn GroupsAccumulator>];

fn booleans(expression: &Arc<dyn PhysicalExpr>, pairs: &RecordBatch) -> Result<BooleanArray> {
    let values = expression.evaluate(pairs)?.into_array(pairs.num_rows())?;
    let values = values.as_boolean_opt().cloned();
    values.ok_or_else(|| DataFusionError::Internal(format!("{expression} is no condition")))
}

fn those(rows: &UInt32Array, wanted: &BooleanArray) -> Result<UInt32Array> {
    Ok(filter(rows, wanted)?.as_primitive::<UInt32Type>().clone())
}
