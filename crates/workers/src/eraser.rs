//! Deletes from the lake, the plans and the ledger what is there of people who were erased in `control`, and certifies it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vocabulary::ContactKey;

use crate::{Parts, WorkerError, pause_after};

/// How often a new erasure is looked for.
const POLL: Duration = Duration::from_secs(1);
/// Another process may still tell events under a surrogate key until it has noticed that its person was erased.
const NOTICED_WITHIN: Duration = Duration::from_secs(1);

enum Wake {
    Tick,
    Shutdown,
}

pub(crate) async fn run(parts: Parts, plans: PathBuf, stop: CancellationToken) {
    loop {
        let wake = tokio::select! {
            () = stop.cancelled() => Wake::Shutdown,
            () = tokio::time::sleep(POLL) => Wake::Tick,
        };
        match wake {
            Wake::Shutdown => return,
            Wake::Tick => {
                if let Err(error) = step(&parts, &plans).await {
                    pause_after("erasing contacts", &error, &stop).await;
                }
            }
        }
    }
}

async fn step(parts: &Parts, plans: &Path) -> Result<(), WorkerError> {
    while let Some(pending) = parts.control.pending_erasure().await? {
        // The table of contacts is written anew without them first, so that its old versions are deleted with the rest.
        crate::contacts::publish(parts).await?;
        tokio::time::sleep(NOTICED_WITHIN).await;
        let mut certificate = parts.lake.erase(&pending.contacts, parts.clock.now()).await?;
        let planned = forget_in_plans(parts, plans, &pending.contacts)?;
        let (messages, left) = parts.control.forget_messages(&pending.contacts).await?;
        if left > 0 {
            // Their sender settles them in a moment; until then there is nothing to certify.
            tracing::info!(left, "an erasure waits for messages on their way");
            return Ok(());
        }
        certificate.rows.extend([("plans".to_owned(), planned), ("ledger".to_owned(), messages)]);
        parts.control.certify_erasure(&pending.id, &certificate.to_json(), &certificate.units).await?;
        tracing::info!(contacts = certificate.contacts, rows = certificate.rows.values().sum::<u64>(), "erased");
    }
    Ok(())
}

/// Forgets contacts in every plan there is; how many rows were theirs.
fn forget_in_plans(parts: &Parts, folder: &Path, contacts: &[ContactKey]) -> Result<u64, WorkerError> {
    let contacts: HashSet<ContactKey> = contacts.iter().copied().collect();
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(0) };
    let mut forgotten = 0;
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "parquet")) {
        forgotten += lake::forget_in_plan(&path, &contacts, || parts.ids.contact_key())?;
    }
    Ok(forgotten)
}
