//! `sendlab`: the command line.

use clap::Parser as _;
use sendlab::cli::Cli;

/// Chosen for the memory of a full rate of events, which are allocated on one thread and freed on another: see crates/DECISIONS.md.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    cli.start()
}
