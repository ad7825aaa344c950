//! Whether commits stay as quick as the first one over thousands of them, and how soon a query opens the newest snapshot.
//!
//! Each landing is one event: one file, one commit. The tables are kept in order meanwhile, as the server does. Beside them stands what the
//! disk takes for the same number of synced writes: a landing syncs the log, the file, the commit and the index.
//! `cargo bench --workspace --bench commits -- --commits 10000`.

mod support;

use std::fs::File;
use std::io::Write;
use std::path::Path;

use clap::Parser;
use criterion::measurement::{Measurement, WallTime};
use futures::TryStreamExt;
use lake::{Lake, LakeConfig, Pins, SqlFormat, SqlOptions};
use vocabulary::{Currency, Event, Rates, Timestamp};

const COMMIT_MILLIS_MAX: f64 = 30.0;
const OPEN_MILLIS_MAX: f64 = 50.0;
/// After so many landings the tables are looked over.
const LANDINGS_PER_TIDYING: u64 = 32;
/// Of the disk, to compare with.
const RAW_WRITES: usize = 500;

#[derive(Debug, Parser)]
struct Args {
    #[arg(long, default_value_t = 1_000)]
    commits: u64,
    /// What cargo says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn event(number: u64) -> Event {
    // An event each minute: a day has 1,440 of them, so that days are closed and written anew on the way.
    let time = Timestamp::from_second(support::BEGIN + number as i64 * 60).expect("in range");
    support::order(number, time)
}

fn millis(of: impl FnOnce()) -> f64 {
    let begin = WallTime.start();
    of();
    WallTime.end(begin).as_secs_f64() * 1e3
}

fn quantile(times: &[f64], share: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() as f64 * share) as usize).min(sorted.len() - 1)]
}

/// The median of writing and syncing 4 KiB.
fn raw(folder: &Path) -> f64 {
    let mut file = File::create(folder.join("raw")).expect("a file");
    let write = |_| millis(|| file.write_all(&[b'x'; 4096]).and_then(|()| file.sync_data()).expect("durable"));
    quantile(&(0..RAW_WRITES).map(write).collect::<Vec<_>>(), 0.5)
}

#[expect(clippy::print_stdout, reason = "a bench reports to the terminal")]
fn main() {
    let args = Args::parse();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let sync = raw(root.path());
    let config = LakeConfig::new(root.path().join("lake"), Rates::new(Currency::new("EUR").expect("known")));
    let lake = runtime.block_on(Lake::open(config)).expect("a lake");
    let count = async || {
        let answer =
            lake.sql("SELECT count(*) AS n FROM orders", SqlFormat::Csv, &SqlOptions::default()).await.expect("an answer");
        let parts: Vec<_> = answer.body.try_collect().await.expect("an answer");
        String::from_utf8(parts.concat()).expect("text")
    };
    let (mut landings, mut opened, mut tidied) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..args.commits {
        runtime.block_on(lake.append(vec![event(number)])).expect("durable");
        landings.push(millis(|| assert_eq!(runtime.block_on(lake.land()).expect("landed").commits, 1)));
        opened.push(millis(|| assert_eq!(runtime.block_on(count()), format!("n\n{}\n", number + 1))));
        if number % LANDINGS_PER_TIDYING == 0 {
            tidied.push(millis(|| _ = runtime.block_on(lake.tidy(event(number).time, &Pins::new())).expect("tidied")));
        }
    }
    let tenth = (landings.len() / 10).max(1);
    println!("{} commits of one event each; writing and syncing 4 KiB takes {sync:.2} ms", args.commits);
    for (what, times, most) in
        [("a landing", &landings, COMMIT_MILLIS_MAX), ("a query of the snapshot that came of it", &opened, OPEN_MILLIS_MAX)]
    {
        let [half, late, longest] = [0.5, 0.99, 1.0].map(|share| quantile(times, share));
        let [first, last] = [&times[..tenth], &times[times.len() - tenth..]].map(|part| quantile(part, 0.5));
        let holds = if half <= most { "holds" } else { "BROKEN" };
        println!(
            "  {what}: median {half:.1} ms (promised {most}: {holds}), p99 {late:.1}, longest {longest:.1}; the first tenth {first:.1}, the last {last:.1}: {:.2} times; {:.0} syncs",
            last / first,
            half / sync
        );
    }
    println!(
        "  keeping the tables in order took {:.1} s, a round at most {:.0} ms",
        tidied.iter().sum::<f64>() / 1e3,
        quantile(&tidied, 1.0)
    );
}
