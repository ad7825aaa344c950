//! Rules beside DataFusion's own that make usual questions cheaper to answer.
//!
//! - An interval may hold months, so that adding one to a time with a zone asks the calendar, row by row. In UTC every day
//!   has 24 hours: an interval without months is a number of microseconds, which is added column by column.
//! - Counting the distinct contacts of each group is made, for want of better, into grouping by contact too. Whole numbers
//!   have better: one set of pairs of group and number. A group by several columns takes half as long again.

use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalMonthDayNano, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Aggregate, BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion::optimizer::optimizer::Optimizer;
use datafusion::optimizer::single_distinct_to_groupby::SingleDistinctToGroupBy;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

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

/// DataFusion's rules for all plans, in order, with [`DistinctsByGroup`] in the place of the rule that it narrows.
pub(crate) fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let narrowed = SingleDistinctToGroupBy::new();
    let rules = Optimizer::new().rules.into_iter();
    let narrow = |rule: Arc<dyn OptimizerRule + Send + Sync>| match rule.name() == narrowed.name() {
        true => Arc::new(DistinctsByGroup(SingleDistinctToGroupBy::new())),
        false => rule,
    };
    rules.map(narrow).chain([Arc::new(PlainDurations) as _]).collect()
}

/// Leaves counts of distinct whole numbers by group as they are.
#[derive(Debug)]
struct DistinctsByGroup(SingleDistinctToGroupBy);

impl OptimizerRule for DistinctsByGroup {
    fn name(&self) -> &'static str {
        "distincts_by_group"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match &plan {
            LogicalPlan::Aggregate(aggregate) if counts_numbers(aggregate) => Ok(Transformed::no(plan)),
            _ => self.0.rewrite(plan, config),
        }
    }
}

/// Whether an aggregate has groups, and counts distinct whole numbers where it counts distinct values at all.
fn counts_numbers(aggregate: &Aggregate) -> bool {
    let of_numbers = |expr: &Expr| match expr {
        Expr::AggregateFunction(AggregateFunction { func, params }) if params.distinct => {
            let is_number = |arg: &Expr| arg.get_type(aggregate.input.schema()).is_ok_and(|arg| arg.is_integer());
            func.name() == "count" && params.args.iter().all(is_number)
        }
        _ => true,
    };
    !aggregate.group_expr.is_empty() && aggregate.aggr_expr.iter().all(of_numbers)
}
