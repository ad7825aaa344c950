//! How fast tails are, and how fast moments are made, against a plain sum of the same values in the same run: machines
//! differ, the ratio less.

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::{Measurement, WallTime};
use criterion::{Criterion, Throughput, criterion_group};
use stats::tail::{f_upper, noncentral_t_upper, normal_quantile_upper, t_quantile_upper, t_upper};
use stats::{Moments, fieller_lift, holm, welch};

const VALUES: usize = 1_000_000;

/// An odd number, so that the median is one of the runs.
const RUNS: usize = 21;

fn values() -> Vec<f64> {
    // Mostly zeros and a few amounts, as orders are; a small congruential generator keeps it the same everywhere.
    let mut state = 1_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let draw = state >> 40;
        if draw.is_multiple_of(100) { (draw % 20_000) as f64 / 100.0 } else { 0.0 }
    };
    std::iter::repeat_with(next).take(VALUES).collect()
}

fn plain_sum(values: &[f64]) -> f64 {
    values.iter().sum()
}

fn pushed(values: &[f64]) -> Moments {
    values.iter().fold(Moments::default(), |mut moments, value| {
        moments.push(*value);
        moments
    })
}

fn moments(criterion: &mut Criterion) {
    let values = values();
    let mut group = criterion.benchmark_group("moments");
    group.throughput(Throughput::Elements(VALUES as u64)).sample_size(20);
    group.bench_function("plain_sum", |bench| bench.iter(|| plain_sum(black_box(&values))));
    group.bench_function("from_values", |bench| bench.iter(|| Moments::from_values(black_box(&values))));
    group.bench_function("push", |bench| bench.iter(|| pushed(black_box(&values))));
    group.finish();
}

fn estimates(criterion: &mut Criterion) {
    let control = Moments::from_successes(21_306, 2_262);
    let variant = Moments::from_successes(21_307, 3_894);
    criterion.bench_function("welch", |bench| bench.iter(|| welch(black_box(&control), black_box(&variant), 0.05)));
    criterion.bench_function("fieller_lift", |bench| bench.iter(|| fieller_lift(black_box(&control), black_box(&variant), 0.05)));
    let p_values: Vec<f64> = (1..=100).map(|i| f64::from(i) / 1000.0).collect();
    criterion.bench_function("holm_100", |bench| bench.iter(|| holm(black_box(&p_values))));
}

fn tails(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tails");
    group.bench_function("normal_quantile_upper", |bench| bench.iter(|| normal_quantile_upper(black_box(0.025))));
    for df in [12.5, 42_692.5] {
        group.bench_function(format!("t_upper_{df}"), |bench| bench.iter(|| t_upper(black_box(2.1), black_box(df))));
        group.bench_function(format!("t_quantile_upper_{df}"), |bench| {
            bench.iter(|| t_quantile_upper(black_box(0.025), black_box(df)));
        });
    }
    group.bench_function("f_upper", |bench| bench.iter(|| f_upper(black_box(2.1), black_box(3.0), black_box(42_692.5))));
    group.bench_function("noncentral_t_upper", |bench| {
        bench.iter(|| noncentral_t_upper(black_box(1.96), black_box(42_692.5), 2.8))
    });
    group.finish();
}

/// The median time of `work` over [`RUNS`] runs.
fn median(work: impl Fn()) -> Duration {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let start = WallTime.start();
            work();
            WallTime.end(start)
        })
        .collect();
    times.sort();
    times[RUNS / 2]
}

#[expect(clippy::print_stdout, reason = "a bench reports to the terminal")]
fn ratio_to_plain_sum() {
    let values = values();
    let sum = median(|| {
        black_box(plain_sum(black_box(&values)));
    });
    let from_values = median(|| {
        black_box(Moments::from_values(black_box(&values)));
    });
    let push = median(|| {
        black_box(pushed(black_box(&values)));
    });
    let ratio = |time: Duration| time.as_secs_f64() / sum.as_secs_f64();
    println!("moments of {VALUES} values, as multiples of a plain sum loop ({sum:?}):");
    println!("  Moments::from_values  {:.2}", ratio(from_values));
    println!("  Moments::push         {:.2}", ratio(push));
}

criterion_group!(benches, moments, estimates, tails);

fn main() {
    ratio_to_plain_sum();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
