//! The loops that make Sendlab run by itself: events land, contacts are published, campaigns are planned and sent,
//! finished experiments are scored.
//!
//! Each loop is closed: one `enum Wake`, one `match`, and nothing shared with its siblings but `control` and `lake`.
//! One process may run all of them or several processes some of them each.
//!
//! *Invariant:* a loop never keeps in memory what a crash may not lose.

mod begun;
mod claim;
mod compose;
mod confirmer;
mod contacts;
mod entries;
mod eraser;
mod journal;
mod keeper;
mod lander;
mod name;
mod outbox;
mod planner;
mod receipts;
mod rollout;
mod scorer;
mod sender;
mod told;
mod trigger;
mod warm_up;
mod ways;
mod webhooks;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use content::Links;
use control::Control;
use gateways::{Dkim, SmsConfig, SmtpConfig, WarmUps, Webhooks};
pub use journal::Journal;
use lake::Lake;
use name::Name;
use planning::PlanningError;
use policy::InForce;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vocabulary::{Channel, Clock, Ids, MessageClass};
use ways::{Texts, Ways};

/// How long events gather before they are landed where nothing else is wanted: a commit costs about the same for one event
/// as for ten thousand.
pub const LAND_AFTER: Duration = Duration::from_secs(2);

/// A loop that failed waits so long before it tries again, so that a full disk is not asked a thousand times a second.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What every loop is handed.
#[derive(Clone)]
pub struct Parts {
    /// The events.
    pub lake: Arc<Lake>,
    /// What people edit and senders trust.
    pub control: Arc<Control>,
    /// Signs tracking links.
    pub links: Arc<Links>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub ids: Arc<dyn Ids>,
    /// Who may get what, and which clock a country has.
    pub rules: Arc<InForce>,
    /// Signs mail.
    pub dkim: Arc<Dkim>,
    /// Which domains send how much a day.
    pub warm_ups: Arc<WarmUps>,
}

/// What the loops that send are handed: all but the lake, so that a process may do nothing else.
#[derive(Clone)]
pub struct Sending {
    /// Where they tell what they did.
    pub journal: Arc<dyn Journal>,
    /// What people edit and senders trust.
    pub control: Arc<Control>,
    /// Signs tracking links.
    pub links: Arc<Links>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who may get what, and which clock a country has.
    pub rules: Arc<InForce>,
    /// Signs mail.
    pub dkim: Arc<Dkim>,
    /// Which domains send how much a day.
    pub warm_ups: Arc<WarmUps>,
}

impl Sending {
    fn of(parts: &Parts) -> Self {
        Self {
            journal: parts.lake.clone(),
            control: parts.control.clone(),
            links: parts.links.clone(),
            clock: parts.clock.clone(),
            rules: parts.rules.clone(),
            dkim: parts.dkim.clone(),
            warm_ups: parts.warm_ups.clone(),
        }
    }
}

/// How the loops run.
#[derive(Clone)]
pub struct Config {
    /// Where plan files are kept.
    pub plans: std::path::PathBuf,
    /// The mail server messages are handed to; without one nothing is sent and campaigns say so.
    pub smtp: Option<SmtpConfig>,
    /// The gateways for text messages.
    pub sms: SmsConfig,
    /// The mail servers of classes that have one of their own.
    pub smtp_of: BTreeMap<MessageClass, SmtpConfig>,
    /// How many connections to that server for campaigns.
    pub lanes: usize,
    /// The name of this process in leases; unique among processes that run at the same time.
    pub name: String,
    /// Whether campaigns are planned, sent and scored, beside landing events.
    pub campaigns: bool,
    /// How long events gather before they are landed.
    pub land_after: Duration,
    /// Whether webhooks may lead to this machine.
    pub webhook_loopback: bool,
    /// Names this start of the machine: what the kernel was told survives a killed process, not a new start. Empty where
    /// unknown.
    pub boot: String,
}

impl Config {
    /// Whether messages of that channel and class have a way out.
    fn takes(&self, channel: Channel, class: MessageClass) -> bool {
        match channel {
            Channel::Email => self.smtp_of(class).is_some(),
            Channel::Sms => self.sms.routes().iter().any(|route| route.classes().contains(&class)),
            _ => false,
        }
    }

    /// The mail server of a class.
    fn smtp_of(&self, class: MessageClass) -> Option<&SmtpConfig> {
        self.smtp_of.get(&class).or(self.smtp.as_ref())
    }
}

/// Why a loop had to try again.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The lake refused.
    #[error("the lake could not do it")]
    Lake(#[from] lake::LakeError),
    /// The control store refused.
    #[error("the control store could not do it")]
    Control(#[from] control::ControlError),
    /// The server that keeps the lake does not take events, or does not answer.
    #[error("the server could not be told: {0}")]
    Journal(String),
    /// A gateway for text messages or for webhooks cannot be opened.
    #[error("cannot open a gateway")]
    Gateway(#[from] gateways::GatewayError),
    /// Another process sends under this name.
    #[error("another process sends as `{0}`; give this one a name of its own")]
    NameTaken(String),
    /// The file of begun messages cannot be written.
    #[error("cannot write {}", path.display())]
    Begun {
        /// The file.
        path: std::path::PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The campaign cannot be sent as it is written.
    #[error("{0}")]
    Campaign(String),
    /// A plan could not be made.
    #[error("a plan could not be made")]
    Planning(#[source] PlanningError),
    /// Work that was given to other threads ended before it was done.
    #[error("a part of the work ended early")]
    Ended(#[from] tokio::task::JoinError),
}

impl From<PlanningError> for WorkerError {
    fn from(error: PlanningError) -> Self {
        match error {
            PlanningError::Lake(error) => Self::Lake(error),
            PlanningError::Control(error) => Self::Control(error),
            PlanningError::Campaign(why) => Self::Campaign(why),
            PlanningError::Ended(error) => Self::Ended(error),
            error @ (PlanningError::Habits(_) | PlanningError::Balance(_)) => Self::Planning(error),
        }
    }
}

/// The running loops.
pub struct Workers {
    stop: CancellationToken,
    tasks: JoinSet<()>,
    /// Held until every loop has ended.
    name: Option<Name>,
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}

impl Workers {
    /// Starts every loop.
    ///
    /// # Errors
    /// [`WorkerError`] when what an earlier run left behind cannot be settled.
    pub async fn start(parts: Parts, config: Config) -> Result<Self, WorkerError> {
        let mut workers = Self { stop: CancellationToken::new(), tasks: JoinSet::new(), name: None };
        let stop = workers.stop.clone();
        workers.spawn(lander::run(parts.clone(), config.land_after, stop.clone()));
        workers.spawn(contacts::run(parts.clone(), stop.clone()));
        workers.spawn(keeper::run(parts.clone(), stop.clone()));
        workers.spawn(eraser::run(parts.clone(), config.plans.clone(), stop));
        if config.campaigns {
            workers.start_campaigns(&parts, &config).await?;
        }
        Ok(workers)
    }

    /// Starts the loops that send and no other, beside a server that has the others.
    ///
    /// # Errors
    /// As [`Workers::start`].
    pub async fn start_sending(sending: Sending, config: Config) -> Result<Self, WorkerError> {
        let mut workers = Self { stop: CancellationToken::new(), tasks: JoinSet::new(), name: None };
        workers.start_senders(&sending, &config).await?;
        Ok(workers)
    }

    async fn start_campaigns(&mut self, parts: &Parts, config: &Config) -> Result<(), WorkerError> {
        let (sending, stop) = (Sending::of(parts), self.stop.clone());
        // First: what an earlier run left behind is settled before anything new is planned.
        self.start_senders(&sending, config).await?;
        self.spawn(planner::run(parts.clone(), config.clone(), stop.clone()));
        self.spawn(scorer::run(parts.clone(), stop.clone()));
        self.spawn(receipts::run(parts.clone(), stop.clone()));
        self.spawn(webhooks::run(parts.clone(), Webhooks::new(config.webhook_loopback)?, stop.clone()));
        self.spawn(trigger::run(parts.clone(), stop.clone()));
        if let Some(smtp) = config.smtp_of(MessageClass::Verification) {
            self.spawn(confirmer::run(sending.clone(), smtp.clone(), stop.clone()));
        }
        self.spawn(name::adopt(sending, config.clone(), stop));
        Ok(())
    }

    async fn start_senders(&mut self, parts: &Sending, config: &Config) -> Result<(), WorkerError> {
        let name = Name::take(config, &config.name)?.ok_or_else(|| WorkerError::NameTaken(config.name.clone()))?;
        self.name = Some(name);
        let texts = Arc::new(Texts::open(config.sms.clone())?);
        let shared = Arc::new(sender::recover(parts, config).await?);
        let begun = outbox::recover(parts, config).await?;
        let stop = self.stop.clone();
        for (place, class) in outbox::CLASSES.into_iter().enumerate() {
            let smtp = config.smtp_of(class);
            if smtp.is_none() && !config.takes(Channel::Sms, class) {
                continue;
            }
            for lane in 0..outbox::LANES {
                let number = place * outbox::LANES + lane;
                let (worker, begun) = (config.name.clone(), begun.clone());
                let ways = Ways::new(smtp, &texts);
                self.spawn(outbox::run(parts.clone(), ways, class, worker, number, begun, stop.clone()));
            }
        }
        if config.smtp.is_some() || !config.sms.routes().is_empty() {
            for lane in 0..config.lanes {
                let ways = Ways::new(config.smtp.as_ref(), &texts);
                self.spawn(sender::run(parts.clone(), ways, config.name.clone(), lane, shared.clone(), stop.clone()));
            }
        }
        Ok(())
    }

    fn spawn(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(work);
    }

    /// Asks every loop to finish what it holds and waits until all have.
    pub async fn stop(self) {
        let Self { stop, tasks, name } = self;
        stop.cancel();
        tasks.join_all().await;
        drop(name);
    }
}

/// Logs a failure with its whole chain of causes and waits before the next try, or until the process stops.
async fn pause_after(what: &str, error: &WorkerError, stop: &CancellationToken) {
    tracing::error!(error = error as &dyn std::error::Error, "{what} failed and will be tried again");
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(RETRY_PAUSE) => {}
    }
}
