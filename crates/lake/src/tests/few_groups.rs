//! Whether rows of few groups are counted as any rows are.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringViewArray};
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use proptest::prelude::*;

use super::answer_and_plan;
use crate::few_groups::FewGroups;

/// A short text, a long one, a day, and a number that nothing is grouped by.
type Row = (Option<u8>, Option<u8>, Option<i32>, i64);

fn batch(rows: &[Row]) -> RecordBatch {
    let short =
        |text: u8| ["", "A", "control", "exactly 12 b"].get(usize::from(text)).map_or(format!("v{text}"), ToString::to_string);
    let a: StringViewArray = rows.iter().map(|row| row.0.map(short)).collect();
    let b: StringViewArray = rows.iter().map(|row| row.1.map(|text| format!("a campaign of the number {text}"))).collect();
    let day: Date32Array = rows.iter().map(|row| row.2).collect();
    let n: Int64Array = rows.iter().map(|row| Some(row.3)).collect();
    let columns: [(&str, ArrayRef); 4] = [("a", Arc::new(a)), ("b", Arc::new(b)), ("day", Arc::new(day)), ("n", Arc::new(n))];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

fn context(batches: &[RecordBatch], is_new: bool) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(2);
    let mut state = SessionStateBuilder::new().with_config(config).with_default_features();
    if is_new {
        state = state.with_physical_optimizer_rule(Arc::new(FewGroups));
    }
    let context = SessionContext::new_with_state(state.build());
    let parts = batches.chunks(2).map(<[RecordBatch]>::to_vec).collect();
    context.register_table("t", Arc::new(MemTable::try_new(batches[0].schema(), parts).unwrap())).unwrap();
    context
}

async fn compare(batches: &[RecordBatch], query: &str, is_new: bool) {
    let (usual, ours) = (context(batches, false), context(batches, true));
    let (expected, _) = answer_and_plan(&usual, query).await;
    let (found, plan) = answer_and_plan(&ours, query).await;
    assert_eq!(found, expected, "{query}");
    assert_eq!(plan.contains("CountFewGroupsExec"), is_new, "{query}");
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let maybe = |most: u8| prop_oneof![1 => Just(None), 5 => (0..most).prop_map(Some)];
    // Some batches hold one day, as files do.
    let day = prop_oneof![Just(Some(20_000)), Just(None), Just(Some(-5)), Just(Some(20_001))];
    let of_day = (day, any::<bool>());
    of_day.prop_flat_map(move |(day, mixed)| {
        let days = if mixed { (0..4).prop_map(Some).boxed() } else { Just(day).boxed() };
        prop::collection::vec((maybe(7), maybe(5), days, 0..3_i64), 0..60)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_counts_are_the_usual_ones(batches in prop::collection::vec(rows(), 4..6)) {
        let batches: Vec<RecordBatch> = batches.iter().map(|rows| batch(rows)).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for by in ["a", "day", "b", "a, day", "day, a", "a, b", "b, a, day"] {
                compare(&batches, &format!("SELECT {by}, count(*) AS rows FROM t GROUP BY {by}"), true).await;
                compare(&batches, &format!("SELECT {by}, count(*) AS x, count(1) AS y FROM t WHERE n > 0 GROUP BY {by}"), true).await;
            }
            compare(&batches, "SELECT a, count(b) AS x FROM t GROUP BY a", false).await;
            compare(&batches, "SELECT a, count(*) FILTER (WHERE n = 1) AS x FROM t GROUP BY a", false).await;
            compare(&batches, "SELECT a, n, count(*) AS x FROM t GROUP BY a, n", false).await;
            compare(&batches, "SELECT a, count(*) AS x, sum(n) AS y FROM t GROUP BY a", false).await;
        });
    }
}

/// Every row a group of its own from some batch on: the usual step does the rest, and what was counted before stays counted.
#[tokio::test]
async fn many_groups_are_left_to_the_usual_step() {
    let text = |n: i64| Some(format!("{n}"));
    let of = |numbers: Vec<i64>| {
        let a: StringViewArray = numbers.iter().map(|n| text(*n)).collect();
        let b: StringViewArray = numbers.iter().map(|n| text(n % 100)).collect();
        let columns: [(&str, ArrayRef); 2] = [("a", Arc::new(a)), ("b", Arc::new(b))];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
    };
    let few = of((0..5_000).map(|n| n % 3).collect());
    let many = of((0..6_000).collect());
    let some = of((0..400).collect());
    let batches = [few.clone(), some.clone(), few.clone(), many.clone(), many, few.clone(), some, few];
    for by in ["a", "a, b", "b"] {
        compare(&batches, &format!("SELECT {by}, count(*) AS rows FROM t GROUP BY {by}"), true).await;
    }
}
