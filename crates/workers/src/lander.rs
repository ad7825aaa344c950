//! Moves acknowledged events from the log into the tables. Sendlab's own SQL sees them before; other engines see them now.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{Parts, WorkerError, pause_after};

/// So many events do not wait any longer to be landed: they fill a file worth reading.
const GATHER_ROWS: u64 = 500_000;

enum Wake {
    WorkDue,
    Shutdown,
}

pub(crate) async fn run(parts: Parts, gather: Duration, stop: CancellationToken) {
    loop {
        match wake(&parts, gather, &stop).await {
            Wake::WorkDue => {
                if let Err(error) = land(&parts).await {
                    pause_after("landing", &error, &stop).await;
                }
            }
            Wake::Shutdown => {
                if let Err(error) = land(&parts).await {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "the last landing failed; the log keeps the events"
                    );
                }
                return;
            }
        }
    }
}

async fn wake(parts: &Parts, gather: Duration, stop: &CancellationToken) -> Wake {
    tokio::select! {
        () = stop.cancelled() => return Wake::Shutdown,
        () = parts.lake.work_due(1) => {}
    }
    tokio::select! {
        () = stop.cancelled() => Wake::Shutdown,
        () = parts.lake.work_due(GATHER_ROWS) => Wake::WorkDue,
        () = tokio::time::sleep(gather) => Wake::WorkDue,
    }
}

async fn land(parts: &Parts) -> Result<(), WorkerError> {
    let landed = parts.lake.land().await?;
    tracing::debug!(events = landed.events, commits = landed.commits, "landed");
    Ok(())
}
