//! How fast units are counted, beside DataFusion's own aggregation of the same sums from the same file in the same run.
//!
//! A million units in Parquet: two variants, spend that is rare and skewed, and what was spent before. Counting gives more
//! than sums do: it is centred, checks every value, and knows the outliers. The ratios, printed at the end, tell what that
//! costs whatever machine it runs on.

use std::cell::Cell;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use analysis::spec::{Kind, MetricSpec, Spec};
use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use criterion::measurement::{Measurement, WallTime};
use criterion::{Criterion, Throughput};
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use lake::gather_units;
use parquet::arrow::ArrowWriter;

const UNITS: u64 = 1_000_000;

/// A number between 0 and 1 that looks like chance.
fn share(unit: u64, which: u64) -> f64 {
    let mut mixed = unit.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ which.wrapping_mul(0xd1b5_4a32_d192_ed03);
    mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed ^ (mixed >> 29)) >> 11) as f64 / (1_u64 << 53) as f64
}

fn write(path: &Path) {
    let history = |unit| -60.0 * (1.0 - share(unit, 1)).ln();
    let spend = |unit| if share(unit, 2) < 0.1 { 10.0 * (3.0 * share(unit, 3)).exp() + 0.3 * history(unit) } else { 0.0 };
    let variant = |unit| if share(unit, 4) < 0.5 { "control" } else { "treatment" };
    let columns: [(&str, ArrayRef); 3] = [
        ("variant", Arc::new((0..UNITS).map(|unit| Some(variant(unit))).collect::<StringArray>())),
        ("spend", Arc::new(Float64Array::from_iter_values((0..UNITS).map(spend)))),
        ("history", Arc::new(Float64Array::from_iter_values((0..UNITS).map(history)))),
    ];
    let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let mut writer = ArrowWriter::try_new(File::create(path).expect("a file"), batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
}

/// Runs `work` so many times and keeps its mean time.
fn timed(rounds: u64, mean: &Cell<Duration>, mut work: impl FnMut()) -> Duration {
    let begin = WallTime.start();
    (0..rounds).for_each(|_| work());
    let total = WallTime.end(begin);
    mean.set(total / u32::try_from(rounds).unwrap_or(u32::MAX));
    total
}

/// What DataFusion alone takes for the sums. The session is new each time, as it is for a file.
async fn sums(path: &str, columns: &str) {
    let session = SessionContext::new();
    session.register_parquet("units", path, ParquetReadOptions::default()).await.expect("registered");
    let query = format!("SELECT variant, count(*), {columns} FROM units GROUP BY variant");
    let rows = session.sql(&query).await.expect("planned").collect().await.expect("run");
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
}

#[expect(clippy::print_stdout, reason = "a bench reports to the terminal")]
fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let root = tempfile::tempdir().expect("a folder");
    let path = root.path().join("units.parquet");
    write(&path);
    let name = path.to_str().expect("UTF-8");
    let plain = Spec::new("variant", "control", vec![MetricSpec::new("spend", Kind::Mean)]);
    let adjusted = Spec { covariates: vec!["history".to_owned()], ..plain.clone() };
    let sums_plain = "sum(spend), sum(spend * spend)";
    let sums_adjusted = format!("{sums_plain}, sum(history), sum(history * history), sum(spend * history)");

    let mut group = criterion.benchmark_group("units");
    group.throughput(Throughput::Elements(UNITS)).sample_size(20).measurement_time(Duration::from_secs(5));
    let mut report = Vec::new();
    for (case, spec, columns) in [("mean", &plain, sums_plain), ("mean_and_covariate", &adjusted, sums_adjusted.as_str())] {
        let (counted, summed) = (Cell::new(Duration::ZERO), Cell::new(Duration::ZERO));
        group.bench_function(format!("gather/{case}"), |bench| {
            bench.iter_custom(|rounds| {
                timed(rounds, &counted, || {
                    let gathered = runtime.block_on(gather_units(&path, spec, |_| {}));
                    assert_eq!(gathered.expect("counted").rows, UNITS);
                })
            });
        });
        group.bench_function(format!("datafusion/{case}"), |bench| {
            bench.iter_custom(|rounds| timed(rounds, &summed, || runtime.block_on(sums(name, columns))));
        });
        report.push((case, counted.get(), summed.get()));
    }
    group.finish();
    for (case, counted, summed) in report {
        println!("{case}: {:.2} x the time of plain sums", counted.as_secs_f64() / summed.as_secs_f64().max(f64::MIN_POSITIVE));
    }
}
