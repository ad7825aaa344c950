//! `sendlab`: the command line.

use clap::Parser as _;
use sendlab::cli::Cli;

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    cli.start()
}
