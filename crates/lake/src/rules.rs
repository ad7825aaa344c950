//! Rules beside DataFusion's own that make usual questions cheaper to answer.
//!
//! - An interval may hold months, so that adding one to a time with a zone asks the calendar, row by row. In UTC every day
//!   has 24 hours: an interval without months is a number of microseconds, which is added column by column.
//! - Counting the distinct contacts of each group is made, for want of better, into grouping by contact too. Whole numbers
//!   have better: [`crate::distinct`].
//! - What is a key of rows is none of what they are joined to: [`KeysEndAtJoins`] mends wrong answers.
//! - Rows that are grouped by contact and by more are dealt out to the parts of a query by contact alone. What is joined by contact
//!   or grouped by it later lies where it is wanted then.

use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalMonthDayNano, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, FunctionalDependencies, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Aggregate, AggregateUDF, BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion::optimizer::optimizer::Optimizer;
use datafusion::optimizer::single_distinct_to_groupby::SingleDistinctToGroupBy;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{Partitioning, PhysicalExpr, physical_exprs_equal};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use crate::distinct::distinct_numbers;

const MICROS_PER_DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// Puts a duration in the place of an interval that is added to a time in UTC, or taken from it.
#[derive(Debug)]
pub(crate) struct PlainDurations;

impl OptimizerRule for PlainDurations {
    fn name(&self) -> &'static str {
        "plain_durations"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let mut schema = DFSchema::empty();
        for input in plan.inputs() {
            schema.merge(input.schema());
        }
        if let LogicalPlan::TableScan(scan) = &plan {
            schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
        }
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let changed = expr.transform_up(|expr| Ok(plain(expr, &schema)))?;
            Ok(changed.update_data(|expr| name.restore(expr)))
        })
    }
}

fn plain(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = &expr else { return Transformed::no(expr) };
    let micros = match (op, right.as_ref()) {
        (Operator::Plus | Operator::Minus, Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _)) => {
            micros_of(*interval)
        }
        _ => None,
    };
    let in_utc = |zone: &str| matches!(zone, "UTC" | "+00:00" | "Z");
    let Some(micros) = micros else { return Transformed::no(expr) };
    match left.get_type(schema) {
        Ok(DataType::Timestamp(TimeUnit::Microsecond, Some(zone))) if in_utc(&zone) => {
            let duration = Expr::Literal(ScalarValue::DurationMicrosecond(Some(micros)), None);
            Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(left.clone(), *op, Box::new(duration))))
        }
        _ => Transformed::no(expr),
    }
}

/// The interval as microseconds, if it is a number of them wherever it is added.
fn micros_of(interval: IntervalMonthDayNano) -> Option<i64> {
    if interval.months != 0 || interval.nanoseconds % 1_000 != 0 {
        return None;
    }
    i64::from(interval.days).checked_mul(MICROS_PER_DAY)?.checked_add(interval.nanoseconds / 1_000)
}

type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// DataFusion's rules for all plans, in order, with [`DistinctsByGroup`] in the place of the rule that it narrows, and
/// [`KeysEndAtJoins`] before each rule that goes by keys.
pub(crate) fn optimizer_rules() -> Vec<Rule> {
    let narrowed = SingleDistinctToGroupBy::new();
    let rules = Optimizer::new().rules.into_iter();
    let ours = |rule: Rule| -> Vec<Rule> {
        if rule.name() == narrowed.name() {
            let function = Arc::new(distinct_numbers());
            return vec![Arc::new(DistinctsByGroup { others: SingleDistinctToGroupBy::new(), function })];
        }
        if GO_BY_KEYS.contains(&rule.name()) { vec![Arc::new(KeysEndAtJoins), rule] } else { vec![rule] }
    };
    rules.flat_map(ours).chain([Arc::new(PlainDurations) as _]).collect()
}

/// The rules that leave out of groups and orders what follows from a key.
const GO_BY_KEYS: [&str; 4] =
    ["replace_distinct_aggregate", "eliminate_join", "eliminate_duplicated_expr", "optimize_projections"];

/// Forgets at each join which columns are keys.
///
/// DataFusion 55.2 holds that where rows with a key were joined to many and grouped by the key and by more, the key still tells
/// the rest (`aggregate_functional_dependencies` makes all columns its targets). It then sorts by the key alone, and groups again
/// by the key alone: wrong counts.
#[derive(Debug)]
struct KeysEndAtJoins;

impl OptimizerRule for KeysEndAtJoins {
    fn name(&self) -> &'static str {
        "keys_end_at_joins"
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if !plan.exists(|plan| Ok(matches!(plan, LogicalPlan::Join(_))))? {
            return Ok(Transformed::no(plan));
        }
        let forgotten = plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Join(mut join) => {
                let schema = join.schema.as_ref().clone().with_functional_dependencies(FunctionalDependencies::empty())?;
                join.schema = Arc::new(schema);
                Ok(Transformed::yes(LogicalPlan::Join(join)))
            }
            // These keep keys of their own, made of those below.
            LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Window(_) => {
                plan.recompute_schema().map(Transformed::yes)
            }
            other => Ok(Transformed::no(other)),
        })?;
        // Nothing that another pass of the rules would see.
        Ok(Transformed::no(forgotten.data))
    }
}

/// Counts distinct whole numbers by group with a function of their own.
#[derive(Debug)]
struct DistinctsByGroup {
    others: SingleDistinctToGroupBy,
    function: Arc<AggregateUDF>,
}

impl OptimizerRule for DistinctsByGroup {
    fn name(&self) -> &'static str {
        "distincts_by_group"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.others.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = plan else { return self.others.rewrite(plan, config) };
        if !counts_numbers(&aggregate) {
            return self.others.rewrite(LogicalPlan::Aggregate(aggregate), config);
        }
        let Aggregate { input, group_expr, aggr_expr, .. } = aggregate;
        let counted = aggr_expr.into_iter().map(|expr| self.counted(expr, input.schema())).collect::<Result<_>>()?;
        Ok(Transformed::yes(LogicalPlan::Aggregate(Aggregate::try_new(input, group_expr, counted)?)))
    }
}

impl DistinctsByGroup {
    /// The same numbers under the same name.
    fn counted(&self, expr: Expr, schema: &DFSchema) -> Result<Expr> {
        let (relation, name) = expr.qualified_name();
        match expr {
            Expr::AggregateFunction(AggregateFunction { params, .. }) if params.distinct => {
                let AggregateFunctionParams { args, filter, order_by, null_treatment, .. } = params;
                let args = args.into_iter().map(|arg| arg.cast_to(&DataType::Int64, schema)).collect::<Result<_>>()?;
                let function = AggregateFunction::new_udf(self.function.clone(), args, false, filter, order_by, null_treatment);
                Ok(Expr::AggregateFunction(function).alias_qualified(relation, name))
            }
            other => Ok(other),
        }
    }
}

/// Whether an aggregate has groups, and counts distinct whole numbers and nothing else that is distinct.
fn counts_numbers(aggregate: &Aggregate) -> bool {
    let is_number = |arg: &Expr| {
        let arg = arg.get_type(aggregate.input.schema());
        arg.is_ok_and(|arg| arg.is_integer() && arg != DataType::UInt64)
    };
    let distincts = aggregate.aggr_expr.iter().filter_map(|expr| match expr {
        Expr::AggregateFunction(function) if function.params.distinct => Some(function),
        _ => None,
    });
    let of_numbers = |function: &AggregateFunction| {
        function.func.name() == "count" && matches!(&function.params.args[..], [arg] if is_number(arg))
    };
    let mut distincts = distincts.peekable();
    !aggregate.group_expr.is_empty() && distincts.peek().is_some() && distincts.all(of_numbers)
}

/// Deals rows out by contact alone where they are grouped by contact and more.
#[derive(Debug)]
pub(crate) struct ByContact;

impl PhysicalOptimizerRule for ByContact {
    fn name(&self) -> &'static str {
        "by_contact"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let by_contact = |plan: Arc<dyn ExecutionPlan>| {
            let grouped = plan.downcast_ref::<AggregateExec>();
            if grouped.is_some_and(|grouped| *grouped.mode() == AggregateMode::FinalPartitioned) {
                let input = plan.children()[0].downcast_ref::<RepartitionExec>().map(dealt_out_by_contact).transpose()?.flatten();
                return match input {
                    Some(input) => Ok(Transformed::yes(replace_children_if_necessary(plan, vec![input])?)),
                    None => Ok(Transformed::no(plan)),
                };
            }
            match plan.downcast_ref::<RepartitionExec>() {
                Some(again) if is_dealt_out(again) => Ok(Transformed::yes(again.input().clone())),
                _ => Ok(Transformed::no(plan)),
            }
        };
        plan.transform_up(by_contact).map(|transformed| transformed.data)
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The same rows dealt out by contact alone, if they are dealt out by contact and more.
fn dealt_out_by_contact(dealt: &RepartitionExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Partitioning::Hash(by, parts) = dealt.partitioning() else { return Ok(None) };
    let is_contact =
        |by: &&Arc<dyn PhysicalExpr>| by.downcast_ref::<Column>().is_some_and(|column| column.name() == "contact_key");
    let Some(contact) = by.iter().find(is_contact).filter(|_| by.len() > 1 && !dealt.preserve_order()) else { return Ok(None) };
    let dealt = RepartitionExec::try_new(dealt.input().clone(), Partitioning::Hash(vec![contact.clone()], *parts))?;
    Ok(Some(Arc::new(dealt)))
}

/// Whether the input is in the very parts already that it is to be dealt out to.
fn is_dealt_out(again: &RepartitionExec) -> bool {
    match (again.partitioning(), again.input().output_partitioning()) {
        (Partitioning::Hash(wanted, parts), Partitioning::Hash(are, of)) => parts == of && physical_exprs_equal(wanted, are),
        _ => false,
    }
}
