//! What others changed: keeps what senders go by and the campaigns' change number current, at once for changes by this
//! process and within a poll for changes by another. Erased contacts are forgotten.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use experiment::Guidance;
use tokio::sync::watch;
use vocabulary::ExperimentId;

use crate::known::ERASURES;
use crate::store::parsed;
use crate::{Control, ControlError};

/// How often the file is asked whether another process changed something: four times within the second in which a changed
/// recommendation must reach a sender, at one look-up of a few rows each.
const POLL: Duration = Duration::from_millis(250);

/// Experiments that are remembered though nobody watches them, so that who asks is answered from memory.
const REMEMBERED_MAX: usize = 10_000;

/// What a watcher of one experiment sees; `None` while there is no such experiment.
type Current = Option<Arc<Guidance>>;

/// The values that are watched.
pub(crate) struct Watcher {
    experiments: Mutex<HashMap<ExperimentId, Watched>>,
    recommendations: watch::Sender<u64>,
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
        Self {
            experiments: Mutex::default(),
            recommendations: watch::Sender::new(0),
            campaigns: watch::Sender::new(0),
            outbox: watch::Sender::new(0),
        }
    }
}

impl Watcher {
    /// Watches one experiment. What is shown is nothing until the first [`Watcher::publish`].
    pub(crate) fn subscribe(&self, id: &ExperimentId) -> watch::Receiver<Current> {
        let new = || Watched { change: 0, sender: watch::Sender::new(None) };
        self.lock().entry(id.clone()).or_insert_with(new).sender.subscribe()
    }

    /// What is shown of an experiment, where anything is.
    pub(crate) fn shown(&self, id: &ExperimentId) -> Current {
        self.lock().get(id)?.sender.borrow().clone()
    }

    /// Shows what senders go by since change number `change`, where somebody watches and nothing newer is shown.
    pub(crate) fn publish(&self, id: &ExperimentId, change: i64, current: Arc<Guidance>) {
        let is_newer = |watched: &&mut Watched| change > watched.change || watched.sender.borrow().is_none();
        if let Some(watched) = self.lock().get_mut(id).filter(is_newer) {
            watched.change = change;
            watched.sender.send_replace(Some(current));
        }
    }

    /// Watches the change number of recommendations.
    pub(crate) fn recommendations(&self) -> watch::Receiver<u64> {
        self.recommendations.subscribe()
    }

    /// Shows the change number of recommendations, unless a later one is shown.
    pub(crate) fn publish_recommendations(&self, change: i64) {
        advance(&self.recommendations, change);
    }

    /// Watches the campaigns' change number.
    pub(crate) fn campaigns(&self) -> watch::Receiver<u64> {
        self.campaigns.subscribe()
    }

    /// Shows the campaigns' change number, unless a later one is shown.
    pub(crate) fn publish_campaigns(&self, change: i64) {
        advance(&self.campaigns, change);
    }

    /// Watches how many messages this process took down.
    pub(crate) fn outbox(&self) -> watch::Receiver<u64> {
        self.outbox.subscribe()
    }

    /// Tells that there is one more.
    pub(crate) fn ring_outbox(&self) {
        self.outbox.send_modify(|count| *count += 1);
    }

    /// Whether an experiment is watched or remembered.
    fn has(&self, id: &ExperimentId) -> bool {
        self.lock().contains_key(id)
    }

    /// Forgets the experiments that nobody watches: those that do not exist, and all where they are too many to be remembered.
    fn forget_unwatched(&self) {
        let mut experiments = self.lock();
        let are_few = experiments.len() <= REMEMBERED_MAX;
        experiments.retain(|_, watched| watched.sender.receiver_count() > 0 || (are_few && watched.sender.borrow().is_some()));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ExperimentId, Watched>> {
        self.experiments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows a later number.
fn advance(shown: &watch::Sender<u64>, change: i64) {
    let change = change.unsigned_abs();
    shown.send_if_modified(|shown| {
        let newer = change > *shown;
        *shown = change.max(*shown);
        newer
    });
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
        self.watcher.forget_unwatched();
        let number = number("recommendations");
        if number > seen {
            let changed: Vec<String> = sqlx::query_scalar(
                "SELECT experiment_id FROM experiments WHERE change > $1
                 UNION SELECT experiment_id FROM current_recommendations WHERE change > $1",
            )
            .bind(seen)
            .fetch_all(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("looking for changed experiments"))?;
            for id in changed {
                let id = parsed("an experiment's id", &id, ExperimentId::new)?;
                if self.watcher.has(&id) {
                    self.show(&id).await?;
                }
            }
            self.watcher.publish_recommendations(number);
        }
        Ok(number)
    }
}
