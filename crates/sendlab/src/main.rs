//! `sendlab`: the command line.

use clap::Parser as _;
use sendlab::cli::Cli;

/// Quicker than the system's own where events come in, and it gives memory back that other threads took.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    cli.start()
}
