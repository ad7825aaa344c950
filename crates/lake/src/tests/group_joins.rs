//! Whether a groupjoin gives what the join and the grouping in its place would give.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use proptest::prelude::*;

use super::answer_and_plan;
use crate::group_join::GroupJoins;

/// `deliveries (g, k, t)` and `orders (k, t, v)`, in small batches of three parts.
fn context(deliveries: &[[Option<i64>; 3]], orders: &[[Option<i64>; 3]], in_one_step: bool, batch_rows: usize) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(3).with_batch_size(batch_rows);
    config.options_mut().optimizer.hash_join_single_partition_threshold = 0;
    config.options_mut().optimizer.hash_join_single_partition_threshold_rows = 0;
    config.options_mut().optimizer.subset_repartition_threshold = 1;
    // A join keeps its left side as it is written, whatever the sizes of random rows.
    config.options_mut().optimizer.join_reordering = false;
    let mut state = SessionStateBuilder::new().with_config(config).with_default_features();
    if in_one_step {
        state = state
            .with_physical_optimizer_rule(Arc::new(crate::rules::ByContact))
            .with_physical_optimizer_rule(Arc::new(GroupJoins));
    }
    let context = SessionContext::new_with_state(state.build());
    for (name, columns, rows) in
        [("deliveries", ["g", "contact_key", "t"], deliveries), ("orders", ["contact_key", "t", "v"], orders)]
    {
        let column = |at: usize| Arc::new(rows.iter().map(|row| row[at]).collect::<Int64Array>()) as ArrayRef;
        let batch = RecordBatch::try_from_iter_with_nullable((0..3).map(|at| (columns[at], column(at), true))).unwrap();
        let third = batch.num_rows() / 3;
        let parts = (0..3).map(|at| vec![batch.slice(at * third, third)]);
        let rest = batch.slice(3 * third, batch.num_rows() - 3 * third);
        let table = MemTable::try_new(batch.schema(), parts.chain([vec![rest]]).collect()).unwrap();
        context.register_table(name, Arc::new(table)).unwrap();
    }
    context
}

/// The answer, and how many groupjoins there were in its plan.
async fn ask(context: &SessionContext, query: &str) -> (Vec<String>, usize) {
    let (lines, plan) = answer_and_plan(context, query).await;
    (lines, plan.matches("GroupJoinExec: ").count())
}

const UNITS: &str = "WITH units AS (SELECT g, contact_key, min(t) AS since FROM deliveries GROUP BY g, contact_key)";
/// Joined to units, and what is asked of each; 1 where it is done in one step.
const QUESTIONS: [(&str, &str, usize); 6] = [
    (
        "orders o RIGHT JOIN units ON o.contact_key = units.contact_key AND o.t >= since AND o.t < since + 50",
        "units.g, units.contact_key, since, sum(v) AS a, count(*) AS b, count(v) AS c, min(o.t) AS d, avg(v) AS e GROUP BY units.g, units.contact_key, since",
        1,
    ),
    (
        "orders o RIGHT JOIN units ON o.contact_key = units.contact_key",
        "units.contact_key, units.g, count(*) FILTER (WHERE v > since) AS a, sum(v - since) AS b, sum(since) AS c GROUP BY units.contact_key, units.g",
        1,
    ),
    (
        "orders o RIGHT JOIN units ON o.contact_key = units.contact_key",
        "units.contact_key, units.g GROUP BY units.contact_key, units.g",
        0,
    ),
    (
        "orders o RIGHT JOIN units ON o.contact_key = units.contact_key AND o.v > 3",
        "units.contact_key, sum(v) AS a, count(*) AS b GROUP BY units.contact_key",
        0,
    ),
    (
        "orders o JOIN units ON o.contact_key = units.contact_key",
        "units.g, units.contact_key, sum(v) AS a GROUP BY units.g, units.contact_key",
        0,
    ),
    (
        "orders o RIGHT JOIN units ON o.contact_key = units.contact_key AND o.v < since",
        "units.g, units.contact_key, o.v, count(*) AS b GROUP BY units.g, units.contact_key, o.v",
        0,
    ),
];

fn number(values: std::ops::Range<i64>) -> impl Strategy<Value = Option<i64>> {
    prop_oneof![1 => Just(None), 9 => values.prop_map(Some)]
}

fn rows(columns: [std::ops::Range<i64>; 3], count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<[Option<i64>; 3]>> {
    let [a, b, c] = columns;
    prop::collection::vec((number(a), number(b), number(c)).prop_map(|(a, b, c)| [a, b, c]), count)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The answers are those of the join and the grouping by themselves.
    #[test]
    fn one_step_gives_the_same(
        deliveries in rows([0..4, 0..40, 0..100], 300..500), orders in rows([0..20, 0..150, -9..9], 0..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (usual, ours) = (context(&deliveries, &orders, false, 64), context(&deliveries, &orders, true, 64));
            for (join, asked, steps) in QUESTIONS {
                let (columns, groups) = asked.split_once(" GROUP BY ").unwrap();
                let query = format!("{UNITS} SELECT {columns} FROM {join} GROUP BY {groups}");
                let (expected, none) = ask(&usual, &query).await;
                let (found, some) = ask(&ours, &query).await;
                assert_eq!(found, expected, "{query}");
                assert_eq!((none, some), (0, steps), "{query}");
            }
        });
    }
}

/// More pairs for one batch of units than are looked at together.
#[tokio::test]
async fn many_rows_may_belong_to_one_unit() {
    let deliveries: Vec<_> = (0..900).map(|g| [Some(g), Some(7), Some(g % 10)]).collect();
    let orders: Vec<_> = (0..100).map(|t| [Some(7), Some(t), Some(t * t)]).collect();
    let query = format!(
        "{UNITS} SELECT sum(n) AS n, sum(total) AS total FROM (SELECT units.g, units.contact_key, count(v) AS n, sum(v) AS total FROM orders o \
         RIGHT JOIN units ON o.contact_key = units.contact_key AND o.t >= since GROUP BY units.g, units.contact_key)"
    );
    let (found, steps) = ask(&context(&deliveries, &orders, true, 800), &query).await;
    let pairs = || (0..900).flat_map(|g| g % 10..100);
    let row = format!("| {} | {} |", pairs().count(), pairs().map(|t| t * t).sum::<i64>());
    assert!(steps == 1 && found.contains(&row), "{row} {found:?}");
}

/// What comes out of one groupjoin can be the units of the next.
#[tokio::test]
async fn units_can_be_joined_twice() {
    let deliveries: Vec<_> = (0..600).map(|n| [Some(n % 3), Some(n % 100), Some(n)]).collect();
    let orders: Vec<_> = (0..60).map(|n| [Some(n % 20), Some(10 * n), Some(n)]).collect();
    let query = format!(
        "{UNITS}, late AS (SELECT units.g, units.contact_key, since, sum(v) AS after FROM orders o \
           RIGHT JOIN units ON o.contact_key = units.contact_key AND o.t >= since GROUP BY units.g, units.contact_key, since) \
         SELECT late.g, late.contact_key, after, sum(v) AS before FROM orders o \
           RIGHT JOIN late ON o.contact_key = late.contact_key AND o.t < since GROUP BY late.g, late.contact_key, since, after"
    );
    let (expected, none) = ask(&context(&deliveries, &orders, false, 64), &query).await;
    let (found, steps) = ask(&context(&deliveries, &orders, true, 64), &query).await;
    assert_eq!((found, none, steps), (expected, 0, 2));
}
