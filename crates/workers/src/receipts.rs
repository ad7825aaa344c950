//! Tells the lake of receipts that came before it was known which message they are about: as soon as it is.

use std::time::Duration;

use control::PlacedReceipt;
use tokio_util::sync::CancellationToken;

use crate::{Parts, WorkerError, pause_after};

/// How often there is something to look for. Who asks what became of a message does not ask more often.
const POLL: Duration = Duration::from_secs(1);

enum Wake {
    Tick,
    Shutdown,
}

pub(crate) async fn run(parts: Parts, stop: CancellationToken) {
    loop {
        if let Err(error) = step(&parts).await {
            pause_after("telling of receipts", &error, &stop).await;
        }
        let wake = tokio::select! {
            () = stop.cancelled() => Wake::Shutdown,
            () = tokio::time::sleep(POLL) => Wake::Tick,
        };
        match wake {
            Wake::Tick => {}
            Wake::Shutdown => return,
        }
    }
}

/// First the log, then the store: what is told twice after a crash in between is one event.
async fn step(parts: &Parts) -> Result<(), WorkerError> {
    let ripe = parts.control.ripe_receipts().await?;
    if !ripe.is_empty() {
        let sorted = parts.control.sort_receipts(ripe.clone()).await?;
        parts.lake.append(sorted.placed.iter().map(PlacedReceipt::event).collect()).await?;
        // Those of people who were erased meanwhile go with the others.
        parts.control.drop_receipts(&ripe).await?;
    }
    let given_up = parts.control.give_receipts_up().await?;
    if given_up > 0 {
        tracing::warn!(receipts = given_up, "providers told of messages that nobody here sent");
    }
    Ok(())
}
