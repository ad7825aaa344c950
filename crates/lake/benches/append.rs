//! How fast events become durable, beside the disk's own speed for the same bytes in the same run.
//!
//! `append` is what callers wait for: encoding, index, checksum, a shared sync. `raw` writes and syncs as many bytes and
//! does nothing else. The ratio, printed at the end, tells what the log costs whatever disk it runs on.

mod support;

use std::cell::Cell;
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use criterion::measurement::{Measurement, WallTime};
use criterion::{Criterion, Throughput};
use lake::{Lake, LakeConfig};
use vocabulary::{Currency, Event, Rates, Timestamp};

/// A request of the collector's usual size.
const EVENTS: u64 = 1_000;
/// Callers that share a sync.
const CALLERS: u64 = 8;

fn event(number: u64) -> Event {
    let time = Timestamp::from_microsecond(support::BEGIN * 1_000_000 + number as i64).expect("in range");
    support::order(number, time)
}

/// Requests of events nobody has seen.
fn requests(next: &AtomicU64) -> Vec<Vec<Event>> {
    let first = next.fetch_add(EVENTS * CALLERS, Ordering::Relaxed);
    (0..CALLERS).map(|caller| (first + caller * EVENTS..first + (caller + 1) * EVENTS).map(event).collect()).collect()
}

/// Runs `work` on the outcome of `prepare` so many times. Returns the time of `work` alone, and keeps its mean.
fn timed<T>(rounds: u64, mean: &Cell<Duration>, prepare: impl Fn() -> T, mut work: impl FnMut(T)) -> Duration {
    let mut total = Duration::ZERO;
    for _ in 0..rounds {
        let input = prepare();
        let begin = WallTime.start();
        work(input);
        total += WallTime.end(begin);
    }
    mean.set(total / u32::try_from(rounds).unwrap_or(u32::MAX));
    total
}

#[expect(clippy::print_stdout, reason = "a bench reports to the terminal")]
fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let root = tempfile::tempdir().expect("a folder");
    let rates = Rates::new(Currency::new("EUR").expect("known"));
    let config = LakeConfig::new(root.path().to_owned(), rates);
    let lake = runtime.block_on(Lake::open(config)).expect("a lake");
    let next = AtomicU64::new(0);
    let bytes: usize = requests(&next).iter().flatten().map(|event| serde_json::to_vec(event).expect("written").len() + 1).sum();
    let content = vec![b'x'; bytes];
    let mut file = File::create(root.path().join("raw")).expect("a file");
    let (append, raw) = (Cell::new(Duration::ZERO), Cell::new(Duration::ZERO));

    let mut group = criterion.benchmark_group("durable");
    group.throughput(Throughput::Elements(EVENTS * CALLERS)).sample_size(20).measurement_time(Duration::from_secs(5));
    group.bench_function("append", |bench| {
        bench.iter_custom(|rounds| {
            timed(
                rounds,
                &append,
                || requests(&next),
                |requests| {
                    let tell = |events| {
                        let lake = lake.clone();
                        runtime.spawn(async move { lake.append(events).await.expect("durable").accepted as u64 })
                    };
                    let calls: Vec<_> = requests.into_iter().map(tell).collect();
                    let accepted: u64 = calls.into_iter().map(|call| runtime.block_on(call).expect("answered")).sum();
                    assert_eq!(accepted, EVENTS * CALLERS);
                },
            )
        });
    });
    group.bench_function("raw", |bench| {
        bench.iter_custom(|rounds| {
            timed(rounds, &raw, || (), |()| file.write_all(&content).and_then(|()| file.sync_data()).expect("durable"))
        });
    });
    group.finish();
    if !append.get().is_zero() && !raw.get().is_zero() {
        let share = raw.get().as_secs_f64() / append.get().as_secs_f64();
        println!("append reaches {share:.2} of the throughput of writing and syncing {bytes} bytes raw");
    }
    criterion.final_summary();
}
