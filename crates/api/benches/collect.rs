//! How fast lines are read, beside the least that can be done with them in the same run: skipping over the JSON.
//!
//! The ratio of the two is what to watch; lines per second alone says more about the machine.

use std::hint::black_box;

use api::line;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;
use serde::de::IgnoredAny;

/// Lines per measured batch.
const LINES: u64 = 1_000;

fn lines() -> Vec<String> {
    let open = |number: u64| {
        format!(
            r#"{{"event_id":"open-{number:08}","kind":"open","event_time":"2026-03-01T09:30:{:02}.123456Z","contact":"customer-{number}","message_id":"{number:032x}","campaign_id":"spring","experiment_id":"spring-copy","variant":"warm","channel":"email","market":"DE","machine":false,"user_agent":"Mozilla/5.0 (X11; Linux x86_64)"}}"#,
            number % 60
        )
    };
    (0..LINES).map(open).collect()
}

fn reading(criterion: &mut Criterion) {
    let lines = lines();
    let now: Timestamp = "2026-03-02T00:00:00Z".parse().expect("a time");
    let mut group = criterion.benchmark_group("lines");
    group.throughput(Throughput::Elements(LINES));
    group.bench_function("read_and_check", |bencher| {
        bencher.iter(|| {
            for text in &lines {
                line::read(text.as_bytes(), now, |told| {
                    black_box(told);
                })
                .expect("a good line");
            }
        });
    });
    group.bench_function("skip_over", |bencher| {
        bencher.iter(|| {
            for text in &lines {
                black_box(serde_json::from_slice::<IgnoredAny>(text.as_bytes()).expect("JSON"));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, reading);
criterion_main!(benches);
