//! Makes every query stoppable.
//!
//! A task ends when it is dropped, but only at a point where it gives way, and a join may compare pairs of rows for hours
//! without giving way once. Two rules mend that: joins give way after each batch they produce, and the conditions
//! they test fail as soon as the query is to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, Expr, LogicalPlan, ScalarUDF, Volatility, create_udf};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;

/// The function that stands around the conditions of joins, as `EXPLAIN` shows it.
const NAME: &str = "unless_stopped";

/// Tells a running query to stop.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// A function that gives back its argument, and an error once the query is to stop.
    fn function(&self) -> ScalarUDF {
        let stopped = self.0.clone();
        let check = move |args: &[ColumnarValue]| {
            if stopped.load(Ordering::Relaxed) {
                return Err(DataFusionError::Execution("the query was stopped".to_owned()));
            }
            args.first().cloned().ok_or_else(|| DataFusionError::Internal(format!("{NAME} has one argument")))
        };
        create_udf(NAME, vec![DataType::Boolean], DataType::Boolean, Volatility::Volatile, Arc::new(check))
    }
}

/// Puts [`Stop::function`] around the condition of each join.
#[derive(Debug)]
pub(crate) struct StopConditions(ScalarUDF);

impl StopConditions {
    pub(crate) fn new(stop: &Stop) -> Self {
        Self(stop.function())
    }
}

impl OptimizerRule for StopConditions {
    fn name(&self) -> &'static str {
        "stop_conditions"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let wrapped = |expr: &Expr| matches!(expr, Expr::ScalarFunction(function) if function.func.name() == NAME);
        match plan {
            LogicalPlan::Join(mut join) if join.filter.as_ref().is_some_and(|filter| !wrapped(filter)) => {
                join.filter = join.filter.map(|filter| self.0.call(vec![filter]));
                Ok(Transformed::yes(LogicalPlan::Join(join)))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

/// Lets joins give way after each batch, because they can make many batches of one.
#[derive(Debug)]
pub(crate) struct JoinsGiveWay;

impl PhysicalOptimizerRule for JoinsGiveWay {
    fn name(&self) -> &'static str {
        "joins_give_way"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let wrap = |plan: Arc<dyn ExecutionPlan>| {
            if plan.name().contains("Join") {
                Ok(Transformed::yes(Arc::new(CooperativeExec::new(plan)) as Arc<dyn ExecutionPlan>))
            } else {
                Ok(Transformed::no(plan))
            }
        };
        plan.transform_up(wrap).map(|transformed| transformed.data)
    }

    fn schema_check(&self) -> bool {
        true
    }
}
