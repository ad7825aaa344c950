//! Deletes from the lake the rows of people who were erased in `control`, and certifies it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{Parts, WorkerError, pause_after};

/// How often a new erasure is looked for.
const POLL: Duration = Duration::from_secs(1);
/// Another process may still tell events under a surrogate key until it has noticed that its person was erased.
const NOTICED_WITHIN: Duration = Duration::from_secs(1);

enum Wake {
    Tick,
    Shutdown,
}

pub(crate) async fn run(parts: Parts, stop: CancellationToken) {
    loop {
        let wake = tokio::select! {
            () = stop.cancelled() => Wake::Shutdown,
            () = tokio::time::sleep(POLL) => Wake::Tick,
        };
        match wake {
            Wake::Shutdown => return,
            Wake::Tick => {
                if let Err(error) = step(&parts).await {
                    pause_after("erasing contacts", &error, &stop).await;
                }
            }
        }
    }
}

async fn step(parts: &Parts) -> Result<(), WorkerError> {
    while let Some(pending) = parts.control.pending_erasure().await? {
        // The table of contacts is written anew without them first, so that its old versions are deleted with the rest.
        crate::contacts::publish(parts).await?;
        tokio::time::sleep(NOTICED_WITHIN).await;
        let certificate = parts.lake.erase(&pending.contacts, parts.clock.now()).await?;
        parts.control.certify_erasure(&pending.id, &certificate.to_json(), &certificate.units).await?;
        tracing::info!(contacts = certificate.contacts, rows = certificate.rows.values().sum::<u64>(), "erased");
    }
    Ok(())
}
