//! Kills the server a thousand times while events come in, and says what became of them; nothing may be lost or doubled.
//! `cargo bench --workspace --bench kills -- --kills 1000 --landers 2`.
//! With `--messages 50000 --kills 50` it kills processes that send instead, with one worker and with three.

#[path = "../../../tests/support/mod.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod support;

use clap::Parser;
use criterion::measurement::{Measurement as _, WallTime};

use crate::support::kills::{Plan, run};
use crate::support::sender_kills;

#[derive(Debug, Parser)]
struct Args {
    /// How often something is killed.
    #[arg(long, default_value_t = 100)]
    kills: u64,
    /// 1: the server alone; 2: with `sendlab lake land --follow` beside it; both one after the other if absent.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=2))]
    landers: Option<u8>,
    /// Kills while so many messages go out, instead of while events come in.
    #[arg(long)]
    messages: Option<usize>,
    /// All that is random follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Cargo says so.
    #[arg(long, hide = true)]
    bench: bool,
}

#[expect(clippy::print_stdout, reason = "a bench reports to the terminal")]
fn main() {
    let args = Args::parse();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if let Some(contacts) = args.messages {
        for workers in [1, 3] {
            let plan = sender_kills::Plan { kills: args.kills as usize, contacts, workers, seed: args.seed };
            let begin = WallTime.start();
            let outcome = runtime.block_on(sender_kills::run(plan));
            let seconds = WallTime.end(begin).as_secs_f64();
            println!("{workers} worker(s), {} kills, {contacts} messages in {seconds:.0} s: {outcome:?}", plan.kills);
        }
        return;
    }
    for landers in args.landers.map_or(vec![1, 2], |landers| vec![landers]) {
        let plan = Plan { kills: args.kills, landers: usize::from(landers), seed: args.seed };
        let begin = WallTime.start();
        let outcome = runtime.block_on(run(plan));
        let seconds = WallTime.end(begin).as_secs_f64();
        println!("{landers} lander(s), {} kills in {seconds:.0} s, nothing lost, doubled or half seen: {outcome:?}", plan.kills);
    }
}
