//! What others changed: keeps watched recommendations and the campaigns' change number current, at once for changes by this
//! process and within a poll for changes by another. Erased contacts are forgotten.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use vocabulary::{ExperimentId, Recommendation};

use crate::known::ERASURES;
use crate::{Control, ControlError};

/// How often the file is asked whether another process changed something: four times within the second in which a changed
/// recommendation must reach a sender, at one look-up of a few rows each.
const POLL: Duration = Duration::from_millis(250);

/// What a watcher of one experiment sees.
type Current = Option<Arc<Recommendation>>;

/// The values that are watched.
pub(crate) struct Watcher {
    recommendations: Mutex<HashMap<ExperimentId, Watched>>,
    campaigns: watch::Sender<u64>,
    outbox: watch::Sender<u64>,
}

struct Watched {
    /// The change number of what is shown. Only a later one replaces it, so that nobody ever sees an older
    /// recommendation after a newer one.
    change: i64,
    sender: watch::Sender<Current>,
}

impl Default for Watcher {
    fn default() -> Self {
        Self { recommendations: Mutex::default(), campaigns: watch::Sender::new(0), outbox: watch::Sender::new(0) }
    }
}

impl Watcher {
    /// Watches one experiment. What is shown is nothing until the first [`Watcher::publish`].
    pub(crate) fn subscribe(&self, id: &ExperimentId) -> watch::Receiver<Current> {
        let new = || Watched { change: 0, sender: watch::Sender::new(None) };
        self.lock().entry(id.clone()).or_insert_with(new).sender.subscribe()
    }

    /// Shows what became current with change number `change`, where somebody watches and nothing newer is shown.
    pub(crate) fn publish(&self, id: &ExperimentId, change: i64, current: Arc<Recommendation>) {
        if let Some(watched) = self.lock().get_mut(id).filter(|watched| change > watched.change) {
            watched.change = change;
            watched.sender.send_replace(Some(current));
        }
    }

    /// Watches the campaigns' change number.
    pub(crate) fn campaigns(&self) -> watch::Receiver<u64> {
        self.campaigns.subscribe()
    }

    /// Shows the campaigns' change number, unless a later one is shown.
    pub(crate) fn publish_campaigns(&self, change: i64) {
        let change = change.unsigned_abs();
        self.campaigns.send_if_modified(|shown| {
            let newer = change > *shown;
            *shown = change.max(*shown);
            newer
        });
    }

    /// Watches how many messages this process took down.
    pub(crate) fn outbox(&self) -> watch::Receiver<u64> {
        self.outbox.subscribe()
    }

    /// Tells that there is one more.
    pub(crate) fn ring_outbox(&self) {
        self.outbox.send_modify(|count| *count += 1);
    }

    /// The experiments somebody watches; the others are forgotten.
    fn watched(&self) -> Vec<ExperimentId> {
        let mut watched = self.lock();
        watched.retain(|_, watched| watched.sender.receiver_count() > 0);
        watched.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ExperimentId, Watched>> {
        self.recommendations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the task that looks for changes by other processes. It ends when `control` is dropped.
pub(crate) fn start(control: &Arc<Control>) {
    let control = Arc::downgrade(control);
    tokio::spawn(async move {
        let mut seen = 0;
        loop {
            tokio::time::sleep(POLL).await;
            let Some(control) = control.upgrade() else { return };
            match control.look_for_changes(seen).await {
                Ok(number) => seen = number,
                Err(error) => tracing::warn!(%error, "cannot look for changes by other processes; trying again"),
            }
        }
    });
}

impl Control {
    /// Publishes what changed since the recommendations' change number was `seen`, and gives the number now.
    pub(crate) async fn look_for_changes(&self, seen: i64) -> Result<i64, ControlError> {
        let changes: Vec<(String, i64)> = sqlx::query_as("SELECT noun, number FROM changes")
            .fetch_all(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("looking for changes"))?;
        let number = |noun: &str| changes.iter().find(|(name, _)| name == noun).map_or(0, |(_, number)| *number);
        self.watcher.publish_campaigns(number("campaigns"));
        self.known.see_erasures(number(ERASURES));
        let watched = self.watcher.watched();
        if number("recommendations") > seen {
            for id in &watched {
                if let Some((change, current)) = self.current_with_change(id).await? {
                    self.watcher.publish(id, change, Arc::new(current));
                }
            }
        }
        Ok(number("recommendations"))
    }
}
