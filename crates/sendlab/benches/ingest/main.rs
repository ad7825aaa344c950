//! Events over HTTP into a server of its own: how many a second, how soon durable, how soon visible, at what cost of processor
//! and memory; beside what was promised, the limits of the machine, and peers that load the same lines.
//!
//! `make bench` runs it. By hand: `cargo bench --workspace --bench ingest -- shapes own fresh peers --python PATH`, or
//! `-- long --events 100000000`. It prints what holds and what does not; it fails only if an event is lost or told twice.

mod clock;
mod fresh;
mod limits;
mod lines;
mod load;
mod server;
mod wire;

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use serde_json::Value;

use clock::{instant, millis, quantile, timestamp};
use lines::{Naming, Source, requests};
use load::{Shape, Tally, Until, drive};
use server::Server;

/// Lines a request, connections, and the events a second that are promised where syncing 4 KiB takes about 0.1 ms.
const SHAPES: [(usize, usize, u64); 4] = [(1, 64, 15_000), (10, 64, 150_000), (100, 32, 500_000), (1_000, 16, 800_000)];
/// The shape of full rate.
const FULL: Shape = Shape { lines: 1_000, connections: 16, naming: Naming::Key };
const MEMORY_MIB_MAX: u64 = 1_024;
/// Lines for the limits of the machine: more would not change them.
const LIMIT_LINES: usize = 1_000_000;
/// In the long run, a line is printed so often.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Requests of one, ten, a hundred and a thousand lines.
    Shapes,
    /// Contacts named by the customer's own ids.
    Own,
    /// How soon SQL sees an event at full rate.
    Fresh,
    /// So many events at full rate, and memory while they come.
    Long,
    /// The limits of the machine, and peers that load the same lines.
    Peers,
}

/// Events over HTTP into a server of its own.
#[derive(Debug, Parser)]
struct Arguments {
    modes: Vec<Mode>,
    /// Seconds a shape.
    #[arg(long, default_value_t = 8.0)]
    seconds: f64,
    /// Events of the long run.
    #[arg(long, default_value_t = 100_000_000)]
    events: u64,
    /// Events that are waited for, each by itself.
    #[arg(long, default_value_t = 10_000)]
    markers: usize,
    /// Lines that peers load.
    #[arg(long, default_value_t = 2_000_000)]
    peer_lines: usize,
    /// The Python that has the peers.
    #[arg(long)]
    python: Option<PathBuf>,
    /// Another program than the one that was just built.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_sendlab"))]
    program: PathBuf,
    /// Where to put the data; the disk matters.
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"))]
    folder: PathBuf,
    /// What cargo says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// One run of the bench against one server.
struct Bench {
    server: Server,
    folder: PathBuf,
    source: RefCell<Source>,
    accepted: u64,
    /// Events a processor second of the server at full rate.
    rate_per_processor: Option<f64>,
    sound: bool,
}

#[expect(clippy::print_stdout, reason = "a bench reports to the terminal")]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.modes.is_empty() {
        println!("ingest: skipped; `make bench` runs it, or name what to measure: -- shapes own fresh peers long");
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    fs::create_dir_all(&arguments.folder).expect("a folder");
    let place = tempfile::tempdir_in(&arguments.folder).expect("a folder");
    if runtime.block_on(run(&arguments, place.path())) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(arguments: &Arguments, place: &Path) -> bool {
    let server = Server::start(&arguments.program, &place.join("data")).await;
    let source = RefCell::new(Source::new(timestamp()));
    let folder = place.to_owned();
    let mut bench = Bench { server, folder, source, accepted: 0, rate_per_processor: None, sound: true };
    for mode in &arguments.modes {
        match mode {
            Mode::Shapes => bench.shapes(arguments.seconds).await,
            Mode::Own => bench.own(arguments.seconds).await,
            Mode::Fresh => fresh::measure(&bench.server, FULL, &bench.source, arguments.markers).await,
            Mode::Long => bench.long(arguments.events).await,
            Mode::Peers => bench.peers(arguments).await,
        }
        if *mode == Mode::Fresh {
            bench.server.landed().await;
            bench.accepted = bench.server.count().await;
        }
    }
    bench.sound
}

#[expect(clippy::print_stdout, reason = "a bench reports to the terminal")]
impl Bench {
    fn heading(&self, what: &str) {
        let sync = limits::small_sync(&self.folder).expect("the disk works");
        println!("\n{what}; writing and syncing 4 KiB takes {:.3} ms here (median)", sync.as_secs_f64() * 1e3);
        println!(
            "  {:>12} {:>10} {:>15} {:>8} {:>8} {:>6} {:>8} {:>8} {:>12} {:>9} {:>9}",
            "lines x conn",
            "events/s",
            "promised",
            "p50 ms",
            "p99 ms",
            "429",
            "CPU s/M",
            "load's",
            "events/CPU s",
            "peak MiB",
            "landed s"
        );
    }

    async fn shapes(&mut self, seconds: f64) {
        self.heading("Events over HTTP, durable before the answer");
        for (lines, connections, promise) in SHAPES {
            self.shape(Shape { lines, connections, naming: Naming::Key }, seconds, Some(promise)).await;
        }
    }

    async fn own(&mut self, seconds: f64) {
        self.heading("Contacts by the customer's own ids");
        self.shape(Shape { lines: 100, connections: 32, naming: Naming::Own }, seconds, None).await;
    }

    /// One shape for so many seconds, and whether all it was told is there.
    async fn shape(&mut self, shape: Shape, seconds: f64, promise: Option<u64>) {
        let tally = RefCell::new(Tally::default());
        self.server.forget_peak();
        let (begin, used, spent) = (instant(), self.server.processor_seconds(), own_processor_seconds());
        let until = Until::Time(begin + Duration::from_secs_f64(seconds));
        drive(&self.server, shape, &self.source, until, &tally).await;
        let (took, spent) = (begin.elapsed().as_secs_f64(), own_processor_seconds() - spent);
        let landed = self.server.landed().await;
        let used = self.server.processor_seconds() - used;
        let tally = tally.into_inner();
        let rate = tally.accepted as f64 / took;
        let told = promise.map_or(String::new(), |least| format!("{least} {}", verdict(rate >= least as f64)));
        let [p50, p99] = [0.5, 0.99].map(|share| millis(quantile(&tally.latencies, share)));
        let (per_processor, millions) = (tally.accepted as f64 / used, tally.accepted as f64 / 1e6);
        println!(
            "  {:>12} {rate:>10.0} {told:>15} {p50:>8} {p99:>8} {:>6} {:>8.2} {:>8.2} {per_processor:>12.0} {:>9} {:>9}",
            format!("{} x {}", shape.lines, shape.connections),
            tally.refused,
            used / millions,
            spent / millions,
            self.server.memory("VmHWM:"),
            landed.map_or("never".to_owned(), |time| format!("{:.1}", time.as_secs_f64())),
        );
        if shape.lines == FULL.lines {
            self.rate_per_processor = Some(per_processor);
        }
        self.counted(&tally).await;
    }

    /// Every event that was accepted must be there once, and no other.
    async fn counted(&mut self, tally: &Tally) {
        self.accepted += tally.accepted;
        let count = self.server.count().await;
        if count != self.accepted || tally.accepted != tally.sent || tally.duplicate != 0 {
            let Tally { sent, accepted, duplicate, .. } = tally;
            println!(
                "  WRONG: sent {sent}, accepted {accepted}, called known {duplicate}; SQL counts {count} of {} in all",
                self.accepted
            );
            self.sound = false;
        }
    }

    async fn long(&mut self, events: u64) {
        println!("\n{events} events at full rate");
        println!("  {:>8} {:>13} {:>10} {:>9} {:>12} {:>6}", "second", "events", "events/s", "RSS MiB", "events/CPU s", "429");
        let tally = RefCell::new(Tally::default());
        self.server.forget_peak();
        let (begin, used) = (instant(), self.server.processor_seconds());
        let tell = async {
            let mut before = 0;
            loop {
                tokio::time::sleep(TELL_EVERY).await;
                let (accepted, refused) = (tally.borrow().accepted, tally.borrow().refused);
                println!(
                    "  {:>8.0} {accepted:>13} {:>10.0} {:>9} {:>12.0} {refused:>6}",
                    begin.elapsed().as_secs_f64(),
                    (accepted - before) as f64 / TELL_EVERY.as_secs_f64(),
                    self.server.memory("VmRSS:"),
                    accepted as f64 / (self.server.processor_seconds() - used),
                );
                before = accepted;
            }
        };
        tokio::select! {
            () = drive(&self.server, FULL, &self.source, Until::Events(events), &tally) => {}
            () = tell => {}
        }
        let seconds = begin.elapsed().as_secs_f64();
        self.server.landed().await;
        let (peak, tally) = (self.server.memory("VmHWM:"), tally.into_inner());
        let rate = tally.accepted as f64 / seconds;
        println!(
            "  {rate:.0} events/s over all; peak {peak} MiB; promised: under {MEMORY_MIB_MAX} MiB {}",
            verdict(peak < MEMORY_MIB_MAX)
        );
        self.counted(&tally).await;
    }

    async fn peers(&mut self, arguments: &Arguments) {
        if self.rate_per_processor.is_none() {
            self.heading("Full rate, for the comparison");
            self.shape(FULL, arguments.seconds, None).await;
        }
        let ours = self.rate_per_processor.expect("just measured");
        let sample = arguments.peer_lines.min(LIMIT_LINES);
        let mut lines = Vec::with_capacity(sample * 300);
        self.write_lines(sample, &mut lines).expect("memory holds them");
        let (events, bytes) = (sample as f64, lines.len() as f64);
        let raw = limits::large_sync(&self.folder, &lines).expect("the disk works");
        let spent = own_processor_seconds();
        assert_eq!(limits::decode(&lines), sample, "arrow-json reads every line");
        let decoded = own_processor_seconds() - spent;
        println!("\n{} lines of {:.0} bytes, one processor second of each", arguments.peer_lines, bytes / events);
        println!("  {:32} {ours:>12.0} events/CPU s (HTTP, duplicates, durable, landed)", "sendlab");
        println!("  {:32} {:>12.0} events/CPU s", "limit: arrow-json into columns", events / decoded);
        println!("  {:32} {:>12.0} events/s, {:.0} MB/s", "limit: write, sync each MiB", events / raw, bytes / raw / 1e6);
        let Some(python) = &arguments.python else { return };
        let path = self.folder.join("lines.ndjson");
        let mut file = BufWriter::new(File::create(&path).expect("the disk works"));
        self.write_lines(arguments.peer_lines, &mut file).and_then(|()| file.flush()).expect("the disk works");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/lake_peers.py");
        let output = Command::new(python).arg(script).arg(&path).arg(self.folder.join("peers")).stderr(Stdio::inherit()).output();
        let output = output.expect("Python runs");
        assert!(output.status.success(), "the peers failed");
        let theirs: Value = serde_json::from_slice(&output.stdout).expect("the script prints JSON");
        for (name, peer) in theirs.as_object().expect("by name") {
            let number = |name: &str| peer[name].as_f64().expect("a number");
            let rate = number("rows") / number("processor");
            println!(
                "  {name:32} {rate:>12.0} events/CPU s, {:.0} events/s; ours is {:.2} times that; promised >= 1.0 {}",
                number("rows") / number("wall"),
                ours / rate,
                verdict(ours >= rate),
            );
        }
    }

    /// Writes lines of new events, as they are sent.
    fn write_lines(&self, count: usize, out: &mut impl Write) -> io::Result<()> {
        let mut source = self.source.borrow_mut();
        let day = source.day().to_owned();
        let mut made = requests(&self.server.address, "", 0, FULL.lines, FULL.naming, &day);
        for first in (0..count).step_by(FULL.lines) {
            made[0].renew(&mut source);
            let wanted = (count - first).min(FULL.lines);
            for line in made[0].body().split_inclusive(|byte| *byte == b'\n').take(wanted) {
                out.write_all(line)?;
            }
        }
        Ok(())
    }
}

/// What the load itself takes from the processors it shares with the server.
fn own_processor_seconds() -> f64 {
    server::processor_seconds(Path::new("/proc/self/stat"))
}

fn verdict(holds: bool) -> &'static str {
    if holds { "holds" } else { "BROKEN" }
}
