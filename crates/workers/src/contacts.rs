//! Publishes the contacts that people edit in `control` as the lake's `contacts` table, for joins.

use std::time::Duration;

use lake::ContactRows;
use tokio_util::sync::CancellationToken;

use crate::{Parts, WorkerError, pause_after};

/// Contacts read at once.
const PAGE: usize = 10_000;

/// How often a change is looked for.
const POLL: Duration = Duration::from_secs(1);

/// An import changes contacts for minutes; the table is written anew at the latest after so many polls, else as soon as
/// the changes pause. This keeps the promised minute.
const POLLS_BEHIND_MAX: u32 = 20;

enum Wake {
    Tick,
    Shutdown,
}

pub(crate) async fn run(parts: Parts, stop: CancellationToken) {
    let mut seen = 0;
    let mut polls_behind = 0;
    loop {
        let wake = tokio::select! {
            () = stop.cancelled() => Wake::Shutdown,
            () = tokio::time::sleep(POLL) => Wake::Tick,
        };
        match wake {
            // Who imports contacts and asks for them next finds them.
            Wake::Shutdown => {
                if let Err(error) = publish(&parts).await {
                    tracing::warn!(%error, "contacts could not be published; the next start does it");
                }
                return;
            }
            Wake::Tick => match step(&parts, seen, polls_behind).await {
                Ok(State::Behind(change)) => {
                    seen = change;
                    polls_behind += 1;
                }
                Ok(State::Current) => polls_behind = 0,
                Err(error) => pause_after("publishing contacts", &error, &stop).await,
            },
        }
    }
}

enum State {
    Current,
    Behind(i64),
}

async fn step(parts: &Parts, seen: i64, polls_behind: u32) -> Result<State, WorkerError> {
    let change = parts.control.contacts_change().await?;
    if change == parts.lake.contacts_change().await? {
        return Ok(State::Current);
    }
    if change != seen && polls_behind < POLLS_BEHIND_MAX {
        return Ok(State::Behind(change));
    }
    publish(parts).await?;
    Ok(State::Current)
}

/// Brings the lake's contacts up to date now. The change number is read first, so that an edit in between is published
/// again rather than lost.
pub(crate) async fn publish(parts: &Parts) -> Result<(), WorkerError> {
    let change = parts.control.contacts_change().await?;
    if change == parts.lake.contacts_change().await? {
        return Ok(());
    }
    let mut rows = ContactRows::default();
    let mut last = None;
    loop {
        let mut page = parts.control.contacts_after(last, PAGE).await?;
        let Some(contact) = page.last() else { break };
        last = Some(contact.key);
        let rules = parts.rules.current();
        page.iter_mut().for_each(|contact| rules.derive_time_zone(contact));
        rows.push(&page)?;
    }
    parts.lake.replace_contacts(change, rows, parts.clock.now()).await?;
    Ok(())
}
