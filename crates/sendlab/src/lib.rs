//! The binary: reads settings, builds the parts, runs them. Everything the command line does, it does over HTTP as a
//! client of its own public API, with a server that runs already or one that it starts for the command. Only `sendlab lake`
//! works on the data folder itself.
//!
//! *Invariant:* only this crate reads files and the environment, and only it knows the real clock and real randomness.

mod analyze;
mod bench_codes;
mod bench_plan;
mod bench_recommendations;
mod bench_smtp;
mod certify;
pub mod cli;
mod cli_analyze;
mod cli_audience;
mod cli_experiment;
mod cli_import;
mod cli_lake;
mod client;
mod commands;
mod coupons_command;
mod demo;
mod dkim_command;
mod experiment_command;
mod explain;
mod import;
mod import_mapping;
mod import_rows;
mod lake_command;
mod land;
mod mail_server;
mod master_key;
mod message_command;
mod print;
mod product_command;
mod readout_command;
mod recommendation_command;
mod rules_folder;
mod send_command;
pub mod server;
mod sink_command;
mod sizing_command;
mod stats_command;
mod test_send_command;
mod webhook_command;
mod world;

pub use client::Client;
pub use server::{Server, Settings};
pub use world::{SystemClock, SystemIds};

/// What computes, as reports and certificates name it.
pub(crate) const ENGINE: &str = concat!("sendlab ", env!("CARGO_PKG_VERSION"));
