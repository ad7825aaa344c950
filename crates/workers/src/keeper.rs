//! Keeps the lake quick to read: merges files, writes closed days anew, forgets versions that nobody needs.

use std::collections::BTreeMap;
use std::time::Duration;

use lake::Pins;
use tokio_util::sync::CancellationToken;

use crate::{Parts, WorkerError, pause_after};

/// How often there is something to look for. A round that finds nothing reads no file.
const PAUSE: Duration = Duration::from_secs(10);

enum Wake {
    Tick,
    Shutdown,
}

pub(crate) async fn run(parts: Parts, stop: CancellationToken) {
    loop {
        let wake = tokio::select! {
            () = stop.cancelled() => Wake::Shutdown,
            () = tokio::time::sleep(PAUSE) => Wake::Tick,
        };
        match wake {
            Wake::Shutdown => return,
            Wake::Tick => tokio::select! {
                // What is half done is done again: nothing of it is committed.
                () = stop.cancelled() => return,
                done = tidy(&parts) => if let Err(error) = done {
                    pause_after("tidying the lake", &error, &stop).await;
                },
            },
        }
    }
}

async fn tidy(parts: &Parts) -> Result<(), WorkerError> {
    let tidied = parts.lake.tidy(parts.clock.now(), &pins(parts).await?).await?;
    if tidied.rows_expired > 0 {
        tracing::info!(rows = tidied.rows_expired, "events left the lake: they were kept for as long as --keep says");
    }
    if tidied.files_merged + tidied.files_deleted > 0 {
        tracing::debug!(merged = tidied.files_merged, written = tidied.files_written, deleted = tidied.files_deleted, "tidied");
    }
    Ok(())
}

/// The versions that stored readouts name: they stay readable, so that every number can be computed again.
async fn pins(parts: &Parts) -> Result<Pins, WorkerError> {
    let mut pins: Pins = BTreeMap::new();
    for versions in parts.control.readout_versions().await? {
        for (table, version) in versions {
            pins.entry(table).or_default().insert(version);
        }
    }
    Ok(pins)
}
