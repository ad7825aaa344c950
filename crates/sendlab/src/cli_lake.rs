//! What can be typed after `sendlab lake`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use vocabulary::Timestamp;

/// Care of the lake. These commands work on the data folder itself, also when the server cannot start.
#[derive(Debug, Subcommand)]
pub(crate) enum LakeCommand {
    /// Look for what is missing, damaged, superfluous or there twice. Changes nothing; works beside a running server.
    ///
    /// The exit code is 0 where nothing needs to be done and 1 where something was found or the check could not be made. What
    /// is normal after a crash, such as a torn end of the log, is told and does not count.
    #[command(after_help = "Examples:\n  sendlab lake check\n  sendlab lake check --deep --json")]
    Check(CheckArgs),
    /// Put right what `check` finds, as far as nothing is lost. Says what it would do; with --yes it does it. Stop the server first.
    #[command(after_help = "Examples:\n  sendlab lake repair --deep\n  sendlab lake repair --deep --yes")]
    Repair(RepairArgs),
    /// Copy everything acknowledged so far into a folder. Works beside a running server; what is there already is not copied again.
    ///
    /// Copied are the tables, the durable log, contacts, experiments and campaigns, and plans. The master key is copied only
    /// with --with-keys: without it no address in the backup can be read, and with it all can.
    #[command(after_help = "Example:\n  sendlab lake backup /mnt/backup/sendlab")]
    Backup(BackupArgs),
    /// Make a data folder out of a backup, as it was then or at an earlier time.
    ///
    /// Contacts, campaigns and what was handed over are those of the backup. Messages that were handed over after it would be
    /// sent again: start the server without --smtp and pause the campaigns first.
    #[command(after_help = "Examples:\n  sendlab lake restore /mnt/backup/sendlab --data data/restored\n  \
                      sendlab lake restore /mnt/backup/sendlab --at 2026-01-05T10:00:00Z --data data/restored")]
    Restore(RestoreArgs),
    /// Bring what a running server has written to its log into the tables, from a process of its own: a second lander.
    ///
    /// The server lands by itself; this takes work off it. Needs the data folder, and the same --rates and --lake as the
    /// server. Stopping it at any moment, in any way, loses and doubles nothing.
    Land {
        /// Go on until Ctrl-C, instead of stopping when all is landed that can be.
        #[arg(long)]
        follow: bool,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CheckArgs {
    /// Read all data: checksums, statistics, days, and events that are there twice. Otherwise sizes, footers and counts.
    #[arg(long)]
    pub(crate) deep: bool,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RepairArgs {
    /// Look for what only reading all data shows.
    #[arg(long)]
    pub(crate) deep: bool,
    /// Give up what is not there any more: rows of missing files, what stands behind damage in the log.
    #[arg(long)]
    pub(crate) forget_missing: bool,
    /// Do it.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Print what was done as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct BackupArgs {
    /// The folder, made where it does not exist. Several backups of one lake share it.
    #[arg(value_name = "DEST")]
    pub(crate) to: PathBuf,
    /// Copy the master key too. Whoever has the backup can then read every address.
    #[arg(long)]
    pub(crate) with_keys: bool,
    /// Delete earlier backups there, and files the lake itself no longer keeps. Needed after an erasure.
    #[arg(long)]
    pub(crate) prune: bool,
    /// Print what was copied as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RestoreArgs {
    /// The folder of the backup.
    #[arg(value_name = "SRC")]
    pub(crate) from: PathBuf,
    /// The tables as they were at this time, to the last landing before it: about two seconds [default: everything
    /// acknowledged when the newest backup was made].
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<Timestamp>,
    /// Print what was restored as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
