//! The name of a process that sends: one process has it at a time, and what a dead one left behind is settled by another.

use std::fs::{File, TryLockError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{Config, Sending, WorkerError, outbox, pause_after, sender};

/// How often the names of dead processes are looked for. A process that is started again under its name settles what it left
/// behind by itself, and at once.
const LOOK: Duration = Duration::from_secs(30);

enum Wake {
    Tick,
    Shutdown,
}

/// The name, for as long as this value lives. The system gives it back when the process dies.
#[derive(Debug)]
pub(crate) struct Name {
    _locked: File,
}

impl Name {
    /// Takes the name; `None` where a living process has it.
    pub(crate) fn take(config: &Config, name: &str) -> Result<Option<Self>, WorkerError> {
        let path = config.plans.join(format!("begun-{name}.lock"));
        let failed = |source| WorkerError::Begun { path: path.clone(), source };
        let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _locked: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

/// Settles what processes left behind that are dead and did not come back.
pub(crate) async fn adopt(parts: Sending, config: Config, stop: CancellationToken) {
    loop {
        let wake = tokio::select! {
            () = stop.cancelled() => Wake::Shutdown,
            () = tokio::time::sleep(LOOK) => Wake::Tick,
        };
        match wake {
            Wake::Shutdown => return,
            Wake::Tick => {
                if let Err(error) = adopt_once(&parts, &config).await {
                    pause_after("settling what dead senders left behind", &error, &stop).await;
                }
            }
        }
    }
}

/// See [`adopt`].
pub(crate) async fn adopt_once(parts: &Sending, config: &Config) -> Result<(), WorkerError> {
    for name in parts.control.workers_with_open_messages().await? {
        if name == config.name {
            continue;
        }
        let Some(_taken) = Name::take(config, &name)? else { continue };
        let config = Config { name, ..config.clone() };
        sender::recover(parts, &config).await?;
        outbox::recover(parts, &config).await?;
        tracing::warn!(worker = config.name, "settled what a sender left behind that is not running any more");
    }
    Ok(())
}
