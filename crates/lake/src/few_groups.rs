//! Counts the rows of few groups: a funnel by variant and day, messages by channel.
//!
//! Grouping in general hashes every row and compares it with the group it may belong to, column by column: some ten nanoseconds a row.
//! Where texts are short and few and a file holds one day, a row's texts are found in a table of a few cache lines, and the row is
//! counted by their numbers. [`FewGroups`] puts [`CountFewGroupsExec`] in the place of the first of the two steps of grouping, which is
//! done where the rows are read. Where the groups are not few after all, that step does the rest.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Date32Type, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::execution_plan::{ReplaceChildrenOptions, apply_expression_roots, replace_children_if_necessary};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::StreamingTableExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode, PlanProperties};
use futures::{Stream, StreamExt, TryStreamExt};

use crate::once::Once;

/// So many different values a column may have, and so many combinations of them the rows of a batch.
const FEW: usize = 4096;
/// Combinations are packed, sixteen bits for each column's number.
const COLUMNS_MAX: usize = 4;
/// Slots of the table in which a value is looked for first.
const SLOTS: usize = 64;

/// Puts [`CountFewGroupsExec`] where rows are counted by texts and days.
#[derive(Debug)]
pub(crate) struct FewGroups;

impl PhysicalOptimizerRule for FewGroups {
    fn name(&self) -> &'static str {
        "few_groups"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let counted = |plan: Arc<dyn ExecutionPlan>| {
            let by = plan.downcast_ref::<AggregateExec>().and_then(columns_counted_by);
            Ok(match by {
                Some(by) => Transformed::yes(Arc::new(CountFewGroupsExec::new(plan, by)) as Arc<dyn ExecutionPlan>),
                None => Transformed::no(plan),
            })
        };
        plan.transform_up(counted).map(|transformed| transformed.data)
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The columns of its input that a first step groups by, where all it does is to count rows by texts and days.
fn columns_counted_by(aggregate: &AggregateExec) -> Option<Vec<usize>> {
    let group = aggregate.group_expr();
    let is_plain = *aggregate.mode() == AggregateMode::Partial
        && group.is_single()
        && (1..=COLUMNS_MAX).contains(&group.num_group_exprs())
        && aggregate.limit_options().is_none()
        && *aggregate.input_order_mode() == InputOrderMode::Linear;
    let counts_rows = |function: &Arc<AggregateFunctionExpr>| {
        let of_all = |argument: &Arc<dyn PhysicalExpr>| {
            argument.downcast_ref::<Literal>().is_some_and(|literal| !literal.value().is_null())
        };
        function.fun().name() == "count" && !function.is_distinct() && function.expressions().iter().all(of_all)
    };
    if !is_plain || !aggregate.aggr_expr().iter().all(counts_rows) || aggregate.filter_expr().iter().any(Option::is_some) {
        return None;
    }
    let schema = aggregate.input_schema();
    let column = |expr: &Arc<dyn PhysicalExpr>| {
        let at = expr.downcast_ref::<Column>()?.index();
        matches!(schema.field(at).data_type(), DataType::Utf8View | DataType::Date32).then_some(at)
    };
    group.expr().iter().map(|(expr, _)| column(expr)).collect()
}

/// The first step of counting rows by group.
#[derive(Debug)]
pub(crate) struct CountFewGroupsExec {
    /// The step whose place this has, over its input.
    usual: Arc<dyn ExecutionPlan>,
    /// The columns of its input.
    by: Vec<usize>,
    metrics: ExecutionPlanMetricsSet,
}

impl CountFewGroupsExec {
    fn new(usual: Arc<dyn ExecutionPlan>, by: Vec<usize>) -> Self {
        Self { usual, by, metrics: ExecutionPlanMetricsSet::new() }
    }

    fn input(&self) -> &Arc<dyn ExecutionPlan> {
        self.usual.children()[0]
    }

    fn with_input(&self, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let usual = replace_children_if_necessary(self.usual.clone(), children)?;
        Ok(Arc::new(Self::new(usual, self.by.clone())))
    }
}

impl DisplayAs for CountFewGroupsExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.input().schema();
        let by: Vec<&str> = self.by.iter().map(|at| schema.field(*at).name().as_str()).collect();
        write!(f, "CountFewGroupsExec: gby=[{}]", by.join(", "))
    }
}

impl ExecutionPlan for CountFewGroupsExec {
    fn name(&self) -> &'static str {
        "CountFewGroupsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.usual.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![self.input()]
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let schema = self.input().schema();
        let column = |at: &usize| Arc::new(Column::new(schema.field(*at).name(), *at)) as Arc<dyn PhysicalExpr>;
        apply_expression_roots(self.by.iter().map(column).collect::<Vec<_>>().iter(), visit)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.with_input(children)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.with_input(children)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let mut rows = self.input().execute(partition, context.clone())?;
        let (usual, by, schema) = (self.usual.clone(), self.by.clone(), self.schema());
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let counts = futures::stream::once(async move {
            let mut counts = Counts::new(&by, &rows.schema());
            let mut rest = None;
            while let Some(batch) = rows.try_next().await? {
                let _timer = metrics.elapsed_compute().timer();
                if !counts.add(&batch)? {
                    let input = futures::stream::once(async { Ok(batch) }).chain(rows);
                    rest = Some(all_the_rest(&usual, input, context)?);
                    break;
                }
            }
            let counts = counts.finish(&schema)?;
            metrics.record_output(counts.num_rows());
            let rest = rest.map(StreamExt::boxed).unwrap_or_else(|| futures::stream::empty().boxed());
            Ok::<_, DataFusionError>(futures::stream::once(async { Ok(counts) }).chain(rest))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), counts.try_flatten())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// What the usual step makes of rows that have too many groups.
fn all_the_rest(
    usual: &Arc<dyn ExecutionPlan>,
    rows: impl Stream<Item = Result<RecordBatch>> + Send + 'static,
    context: Arc<TaskContext>,
) -> Result<SendableRecordBatchStream> {
    let schema = usual.children()[0].schema();
    let once = Once::new(Box::pin(RecordBatchStreamAdapter::new(schema.clone(), rows)));
    let input = StreamingTableExec::try_new(schema, vec![Arc::new(once)], None, None, false, None)?;
    replace_children_if_necessary(usual.clone(), vec![Arc::new(input)])?.execute(0, context)
}

/// Counts of rows by the numbers of their values.
struct Counts {
    columns: Vec<(usize, Numbers)>,
    groups: HashMap<[u16; COLUMNS_MAX], i64>,
    /// Counts of one batch, kept from one to the next.
    cells: Vec<u32>,
}

/// What a batch has in one column.
enum Given {
    One(u16),
    /// Of each row.
    Many(Vec<u16>),
}

impl Counts {
    fn new(by: &[usize], schema: &SchemaRef) -> Self {
        let numbers = |at: &usize| (*at, Numbers::new(*schema.field(*at).data_type() == DataType::Utf8View));
        Self { columns: by.iter().map(numbers).collect(), groups: HashMap::new(), cells: Vec::new() }
    }

    /// Counts the rows of a batch; `false`, and it counts none of them, where there are too many groups.
    fn add(&mut self, batch: &RecordBatch) -> Result<bool> {
        if batch.num_rows() == 0 {
            return Ok(true);
        }
        let mut given = Vec::with_capacity(self.columns.len());
        for (at, numbers) in &mut self.columns {
            let Some(one) = numbers.of(batch.column(*at))? else { return Ok(false) };
            given.push(one);
        }
        // A cell for each combination of what varies.
        let size = |(given, (_, numbers)): (&Given, &(usize, Numbers))| match given {
            Given::One(_) => 1,
            Given::Many(_) => numbers.count(),
        };
        let sizes: Vec<usize> = given.iter().zip(&self.columns).map(size).collect();
        let cells: usize = sizes.iter().product();
        if cells > FEW || self.groups.len() > FEW {
            return Ok(false);
        }
        self.cells.clear();
        self.cells.resize(cells, 0);
        let mut varying = given.iter().zip(&sizes).filter_map(|(given, size)| match given {
            Given::One(_) => None,
            Given::Many(numbers) => Some((numbers, *size)),
        });
        match (varying.next(), varying.next()) {
            (None, _) => self.cells[0] = batch.num_rows() as u32,
            (Some((numbers, _)), None) => numbers.iter().for_each(|number| self.cells[usize::from(*number)] += 1),
            (Some((first, size)), Some(second)) => {
                let mut places: Vec<usize> = first.iter().map(|number| usize::from(*number)).collect();
                let mut stride = size;
                for (numbers, size) in std::iter::once(second).chain(varying) {
                    places.iter_mut().zip(numbers).for_each(|(place, number)| *place += stride * usize::from(*number));
                    stride *= size;
                }
                places.iter().for_each(|place| self.cells[*place] += 1);
            }
        }
        for (cell, count) in self.cells.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (mut group, mut rest) = ([0; COLUMNS_MAX], cell);
            for ((number, given), size) in group.iter_mut().zip(&given).zip(&sizes) {
                *number = match given {
                    Given::One(one) => *one,
                    Given::Many(_) => (rest % size) as u16,
                };
                rest /= size;
            }
            *self.groups.entry(group).or_default() += i64::from(*count);
        }
        Ok(true)
    }

    /// The groups and their counts, one for each function that counts.
    fn finish(self, schema: &SchemaRef) -> Result<RecordBatch> {
        let groups: Vec<_> = self.groups.into_iter().collect();
        let column = |(at, (_, numbers)): (usize, &(usize, Numbers))| numbers.values(groups.iter().map(|(group, _)| group[at]));
        let mut columns: Vec<ArrayRef> = self.columns.iter().enumerate().map(column).collect();
        let counts: ArrayRef = Arc::new(groups.iter().map(|(_, count)| *count).collect::<Int64Array>());
        columns.resize(schema.fields().len(), counts);
        Ok(RecordBatch::try_new(schema.clone(), columns)?)
    }
}

/// What stands for null, in a text's place no view and in a day's place no day.
const NULL: u128 = u128::MAX;

/// What a slot holds that nothing was met in.
const NOT_MET: u16 = u16::MAX;
/// Longer texts are not in their views.
const SHORT_BYTES_MAX: u32 = 12;

/// Numbers for the values of a column, in the order in which they are met.
struct Numbers {
    /// What was met last in each slot: a value's bits and its number.
    recent: [(u128, u16); SLOTS],
    /// Short texts by their views, days by their number, null.
    short: HashMap<u128, u16>,
    long: HashMap<String, u16>,
    values: Values,
}

enum Values {
    Texts(Vec<Option<String>>),
    Days(Vec<Option<i32>>),
}

impl Numbers {
    fn new(texts: bool) -> Self {
        let values = if texts { Values::Texts(Vec::new()) } else { Values::Days(Vec::new()) };
        Self { recent: [(0, NOT_MET); SLOTS], short: HashMap::new(), long: HashMap::new(), values }
    }

    fn count(&self) -> usize {
        match &self.values {
            Values::Texts(texts) => texts.len(),
            Values::Days(days) => days.len(),
        }
    }

    /// The numbers of a batch's values. `None` where there are too many different ones.
    fn of(&mut self, column: &ArrayRef) -> Result<Option<Given>> {
        let wrong = || DataFusionError::Internal(format!("groups of {} are not counted", column.data_type()));
        // The views of long texts are another batch's.
        self.recent = [(0, NOT_MET); SLOTS];
        let given = if let Some(texts) = column.as_string_view_opt() {
            let bits = texts.views().iter().copied();
            self.given(column, bits, |row| texts.value(row))
        } else {
            let days = column.as_primitive_opt::<Date32Type>().ok_or_else(wrong)?;
            let bits = days.values().iter().map(|day| u128::from(day.cast_unsigned()));
            self.given(column, bits, |_| "")
        };
        Ok((self.count() <= FEW).then_some(given))
    }

    fn given<'a>(
        &mut self,
        column: &ArrayRef,
        bits: impl Iterator<Item = u128> + Clone,
        text: impl Fn(usize) -> &'a str,
    ) -> Given {
        if column.null_count() > 0 {
            let bits = bits.enumerate().map(|(row, bits)| if column.is_valid(row) { bits } else { NULL });
            return Given::Many(bits.zip(0..).map(|(bits, row)| self.number(bits, row, &text)).collect());
        }
        let first = bits.clone().next().unwrap_or(NULL);
        if bits.clone().all(|bits| bits == first) {
            return Given::One(self.number(first, 0, &text));
        }
        Given::Many(bits.zip(0..).map(|(bits, row)| self.number(bits, row, &text)).collect())
    }

    #[inline]
    fn number<'a>(&mut self, bits: u128, row: usize, text: &impl Fn(usize) -> &'a str) -> u16 {
        let slot = slot(bits);
        let (met, number) = self.recent[slot];
        if met == bits && number != NOT_MET {
            return number;
        }
        let number = self.look_up(bits, row, text);
        self.recent[slot] = (bits, number);
        number
    }

    #[cold]
    fn look_up<'a>(&mut self, bits: u128, row: usize, text: &impl Fn(usize) -> &'a str) -> u16 {
        let next = self.count().min(FEW) as u16;
        let is_long = matches!(self.values, Values::Texts(_)) && bits != NULL && bits as u32 > SHORT_BYTES_MAX;
        let number = match is_long {
            true => *self.long.entry(text(row).to_owned()).or_insert(next),
            false => *self.short.entry(bits).or_insert(next),
        };
        // Beyond the last number values need not be told apart: the batch is left to the usual step.
        if usize::from(number) == self.count() {
            match &mut self.values {
                Values::Texts(texts) => texts.push((bits != NULL).then(|| text(row).to_owned())),
                Values::Days(days) => days.push((bits != NULL).then_some(bits as u32 as i32)),
            }
        }
        number
    }

    /// The values that these numbers stand for.
    fn values(&self, numbers: impl Iterator<Item = u16>) -> ArrayRef {
        match &self.values {
            Values::Texts(texts) => {
                Arc::new(numbers.map(|number| texts[usize::from(number)].as_deref()).collect::<StringViewArray>())
            }
            Values::Days(days) => Arc::new(numbers.map(|number| days[usize::from(number)]).collect::<Date32Array>()),
        }
    }
}

fn slot(bits: u128) -> usize {
    let folded = (bits >> 64) as u64 ^ bits as u64;
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - SLOTS.ilog2())) as usize
}
