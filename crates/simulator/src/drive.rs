//! Two simulated weeks from the first contact to the last order, driven through the public interfaces alone: HTTP on one
//! side, received mails on the other.
//!
//! Simulated time moves in steps: to the next hour of sending in any time zone, to the full hour after the next visit,
//! to a look, to the end. After each step everything due by then is waited for and done, so a run does not depend on how
//! fast the machine is.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::{RoundMode, SignedDuration, Timestamp, TimestampRound, Unit};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, timeout_at};
use vocabulary::{Campaign, Clock};

use crate::client::{CampaignProgress, CampaignStatus, Client, ContactRow, Decision};
use crate::clock::SteppedClock;
use crate::error::SimulatorError;
use crate::mailbox::{Mailbox, Visit};
use crate::outcome::{Outcome, Phase, Progress, compare};
use crate::shopper::Shopper;
use crate::sink::Mail;
use crate::texts::{EXPERIMENT, WINDOW_HOURS, experiment, refused_campaign, rest_campaign, test_campaign};
use crate::truth::Truth;
use crate::world::World;

/// How long to take in mails before asking again how far the server is.
const POLL: Duration = Duration::from_millis(20);
/// Every zone sees every hour of the day within so many hours, on the day clocks change too.
const SENDING_HOURS: i64 = 25;
/// The people who unsubscribed are mailed in vain so many days after the rest was mailed.
const REFUSED_AFTER_DAYS: i64 = 5;

/// The user agent of a person's mail program.
const PERSON: &str =
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148";
/// What a machine that loads pictures before anybody reads the mail calls itself, as the proxy of Apple Mail does.
const MACHINE: &str = "Mozilla/5.0";

/// How to drive a world.
#[derive(Debug, Clone)]
pub struct DrivePlan {
    /// The share of contacts that is tested, more than 0 and less than 1.
    pub test_share: f64,
    /// When to look at the running experiment, after the beginning.
    pub looks: Vec<SignedDuration>,
    /// When the rest is mailed, after the beginning; not before the decision.
    pub rest_after: SignedDuration,
    /// How many visits run at the same time.
    pub connections: usize,
    /// Rows per request.
    pub rows_per_request: usize,
    /// How long the server may make no headway, in wall time, before the run is given up.
    pub patience: Duration,
}

impl Default for DrivePlan {
    fn default() -> Self {
        Self {
            test_share: 0.4,
            // Too early, half way, and (at the decision) when every window is over.
            looks: vec![SignedDuration::from_hours(48), SignedDuration::from_hours(84)],
            rest_after: SignedDuration::from_hours(7 * 24),
            connections: 32,
            rows_per_request: 2_000,
            patience: Duration::from_secs(60),
        }
    }
}

/// Runs a world from its beginning to its end against a server that lives by `clock`, which must show the world's start.
///
/// The winner is decided when every window of the test is over; a week after the beginning the rest gets it; and at the
/// end those who unsubscribed are mailed, in vain.
///
/// # Errors
/// [`SimulatorError`] when the server cannot be reached, refuses something, makes no headway, or sends mails that are
/// incomplete or lead elsewhere.
pub async fn run(
    server: &Client,
    world: &World,
    clock: &SteppedClock,
    sink_mails: Receiver<Mail>,
    plan: DrivePlan,
    report: &mut (dyn FnMut(Progress) + Send),
) -> Result<Outcome, SimulatorError> {
    let truth = Truth::of(world)?;
    let mut drive = Drive {
        server,
        world,
        clock,
        mails: sink_mails,
        plan,
        report,
        mailbox: Mailbox::new(world),
        active: None,
        campaigns: Vec::new(),
        walls: Vec::new(),
        phase_began: Instant::now(),
    };
    drive.create_contacts().await?;
    drive.test().await?;
    let decision = drive.decide().await?;
    let decided_at = clock.now();
    drive.rest(&decision).await?;
    Ok(drive.outcome(truth, decision, decided_at))
}

struct Drive<'a> {
    server: &'a Client,
    world: &'a World,
    clock: &'a SteppedClock,
    mails: Receiver<Mail>,
    plan: DrivePlan,
    report: &'a mut (dyn FnMut(Progress) + Send),
    mailbox: Mailbox<'a>,
    /// The campaign that may still send.
    active: Option<String>,
    /// The campaigns that were started, with what is known of them.
    campaigns: Vec<(String, CampaignProgress)>,
    walls: Vec<(Phase, Duration)>,
    phase_began: Instant,
}

impl Drive<'_> {
    async fn create_contacts(&mut self) -> Result<(), SimulatorError> {
        self.begin(Phase::Contacts);
        let total = u64::from(self.world.contacts);
        let rows: Vec<ContactRow> = {
            let consent_at = self.world.start.checked_sub(CONSENT_AGE).unwrap_or(self.world.start).to_string();
            self.world.shoppers().map(|shopper| contact_row(&shopper, &consent_at)).collect()
        };
        let mut done = 0;
        for batch in rows.chunks(self.plan.rows_per_request) {
            self.server.put_contacts(batch).await?;
            done += batch.len() as u64;
            (self.report)(Progress::Contacts { done, total });
        }
        self.end(Phase::Contacts);
        Ok(())
    }

    /// The experiment, until every window is over.
    async fn test(&mut self) -> Result<(), SimulatorError> {
        self.begin(Phase::Test);
        self.server.put_experiment(&experiment()).await?;
        self.start(&test_campaign(self.plan.test_share)).await?;
        let mature = self.world.start + SignedDuration::from_hours(SENDING_HOURS + i64::from(WINDOW_HOURS));
        let mut looks: Vec<Timestamp> = self.plan.looks.iter().map(|after| self.world.start + *after).collect();
        looks.retain(|look| *look < mature);
        looks.sort();
        for look in looks {
            self.live_until(look).await?;
            self.wait_until_landed().await?;
            let readout = self.server.readout(EXPERIMENT).await?;
            (self.report)(Progress::Look(Box::new(readout)));
        }
        self.live_until(mature).await?;
        self.finish_campaign().await?;
        self.end(Phase::Test);
        Ok(())
    }

    async fn decide(&mut self) -> Result<Decision, SimulatorError> {
        self.begin(Phase::Decision);
        self.wait_until_landed().await?;
        let decision = self.server.decide(EXPERIMENT).await?;
        (self.report)(Progress::Decided(Box::new(decision.clone())));
        self.end(Phase::Decision);
        Ok(decision)
    }

    /// The winner for the rest, if there is anything to send, and then life until the world's end.
    async fn rest(&mut self, decision: &Decision) -> Result<(), SimulatorError> {
        self.begin(Phase::Rest);
        if decision.recommendation.is_some() {
            let start = (self.world.start + self.plan.rest_after).max(self.clock.now());
            self.live_until(start).await?;
            self.start(&rest_campaign(start)).await?;
            self.live_until(start + SignedDuration::from_hours(24 * REFUSED_AFTER_DAYS)).await?;
            self.finish_campaign().await?;
            self.wait_until_landed().await?;
            self.start(&refused_campaign()).await?;
            self.live_until(self.clock.now() + SignedDuration::from_hours(SENDING_HOURS)).await?;
            self.finish_campaign().await?;
        }
        self.live_until(self.world.end()).await?;
        self.wait_until_landed().await?;
        self.end(Phase::Rest);
        Ok(())
    }

    fn begin(&mut self, phase: Phase) {
        self.phase_began = Instant::now();
        (self.report)(Progress::Began(phase));
    }

    fn end(&mut self, phase: Phase) {
        self.walls.push((phase, self.phase_began.elapsed()));
    }

    async fn start(&mut self, campaign: &Campaign) -> Result<(), SimulatorError> {
        let id = campaign.campaign.as_str();
        self.server.put_campaign(campaign).await?;
        self.mailbox.begin_campaign();
        self.campaigns.push((id.to_owned(), CampaignProgress::default()));
        self.active = Some(id.to_owned());
        self.server.start_campaign(id).await?;
        self.settle(false).await
    }

    /// Lets time pass until `limit`, doing all that is due on the way.
    async fn live_until(&mut self, limit: Timestamp) -> Result<(), SimulatorError> {
        while self.clock.now() < limit {
            let next = self.next_moment()?.map_or(limit, |moment| moment.min(limit));
            self.clock.advance_to(next);
            self.settle(false).await?;
            self.act().await?;
            let now = self.clock.now();
            (self.report)(Progress::Moment { now, counts: self.mailbox.counts });
        }
        Ok(())
    }

    fn next_moment(&self) -> Result<Option<Timestamp>, SimulatorError> {
        let sending = match self.active {
            Some(_) => Some(self.world.next_send_moment(self.clock.now())?),
            None => None,
        };
        let full_hour = TimestampRound::new().smallest(Unit::Hour).mode(RoundMode::Ceil);
        let visit = self.mailbox.next_visit().map(|due| due.round(full_hour)).transpose()?;
        Ok([sending, visit].into_iter().flatten().min())
    }

    /// Waits until every message due by now is handed over and received; with `to_the_end`, until the campaign is done.
    async fn settle(&mut self, to_the_end: bool) -> Result<(), SimulatorError> {
        let Some(id) = self.active.clone() else { return Ok(()) };
        let others: u64 = self.campaigns.iter().rev().skip(1).map(|(_, progress)| progress.accepted).sum();
        let mut patience = Patience::new(self.plan.patience);
        loop {
            self.take_mails_for(POLL).await?;
            let status = self.server.campaign(&id).await?;
            let progress = status.progress;
            if status.state == "failed" {
                return Err(SimulatorError::CampaignFailed { campaign: id, why: status.error.unwrap_or_default() });
            }
            let arrived = self.mailbox.counts.mails >= others + progress.accepted;
            let handed_over = status.state != "planning" && progress.settled() >= progress.due;
            if let Some(last) = self.campaigns.last_mut() {
                last.1 = progress;
            }
            if arrived && handed_over && (status.state == "done" || !to_the_end) {
                if status.state == "done" {
                    self.active = None;
                }
                return Ok(());
            }
            let waits_for = if arrived { "all due messages are handed over" } else { "all handed over mails are received" };
            patience.check(waits_for, &self.seen(&id, &status))?;
        }
    }

    /// All messages of the active campaign are due; waits until it is done.
    async fn finish_campaign(&mut self) -> Result<(), SimulatorError> {
        self.settle(true).await
    }

    fn seen(&self, id: &str, status: &CampaignStatus) -> String {
        format!("campaign {id} is {}, {:?}, {} mails received", status.state, status.progress, self.mailbox.counts.mails)
    }

    async fn take_mails_for(&mut self, pause: Duration) -> Result<(), SimulatorError> {
        let until = Instant::now() + pause;
        let now = self.clock.now();
        while let Ok(mail) = timeout_at(until, self.mails.recv()).await {
            let mail = mail.ok_or(SimulatorError::SinkGone)?;
            for to in &mail.to {
                self.mailbox.receive(to, &mail.raw, now)?;
            }
        }
        Ok(())
    }

    /// Makes the visits due by now, many at a time, and tells the orders placed by now.
    async fn act(&mut self) -> Result<(), SimulatorError> {
        let now = self.clock.now();
        let server = self.server;
        let visits = stream::iter(self.mailbox.take_visits(now)).map(|visit| make(server, visit));
        let mailbox = &mut self.mailbox;
        let made = visits.buffer_unordered(self.plan.connections);
        made.try_for_each(|visit| {
            mailbox.visited(&visit, now);
            futures::future::ready(Ok(()))
        })
        .await?;
        for batch in self.mailbox.take_orders(now).chunks(self.plan.rows_per_request) {
            self.server.tell_orders(batch).await?;
        }
        Ok(())
    }

    /// Waits until SQL sees every acknowledged event.
    async fn wait_until_landed(&mut self) -> Result<(), SimulatorError> {
        let mut patience = Patience::new(self.plan.patience);
        loop {
            let unlanded = self.server.unlanded().await?;
            if unlanded == 0 {
                return Ok(());
            }
            patience.check("all events are visible to SQL", &format!("{unlanded} events not yet visible"))?;
            tokio::time::sleep(POLL).await;
        }
    }

    fn outcome(self, truth: Truth, decision: Decision, decided_at: Timestamp) -> Outcome {
        let readout = decision.readout;
        let best = truth.best(&readout.primary).unwrap_or(&readout.control).clone();
        let mut variants = self.mailbox.variants.iter();
        let mails_before = variants.next().cloned().unwrap_or_default();
        let mut mails_after: BTreeMap<String, u64> = BTreeMap::new();
        for (variant, count) in variants.flatten() {
            *mails_after.entry(variant.clone()).or_default() += count;
        }
        Outcome {
            seed: self.world.seed,
            contacts: self.world.contacts,
            comparisons: compare(&truth, &readout),
            truth,
            primary: readout.primary,
            best,
            verdict: readout.verdict.kind,
            verdict_variant: readout.verdict.variant,
            sentence: readout.verdict.sentence,
            recommendation: decision.recommendation,
            decided_at,
            mails_before,
            mails_after,
            counts: self.mailbox.counts,
            unsubscribed_mailed: self.mailbox.unsubscribed_mailed,
            duplicates: self.mailbox.duplicates,
            mailed_twice: self.mailbox.mailed_twice(),
            campaigns: self.campaigns,
            walls: self.walls,
        }
    }
}

/// One visit, from the first picture to the last click.
async fn make(server: &Client, visit: Visit) -> Result<Visit, SimulatorError> {
    let user_agent = if visit.is_machine { MACHINE } else { PERSON };
    for image in &visit.images {
        server.load_image(image, user_agent).await?;
    }
    if let Some(link) = &visit.link {
        server.follow_link(link, user_agent).await?;
    }
    if let Some(url) = &visit.unsubscribe {
        server.unsubscribe(url, user_agent).await?;
    }
    Ok(visit)
}

/// How long before the world begins its shoppers agreed to be written to.
const CONSENT_AGE: SignedDuration = SignedDuration::from_hours(30 * 24);

fn contact_row(shopper: &Shopper, consent_at: &str) -> ContactRow {
    let mut attributes = BTreeMap::from([
        ("first_name", shopper.first_name.to_owned()),
        ("interest", shopper.interest.to_owned()),
        ("past_orders", shopper.past_orders.to_string()),
    ]);
    attributes.extend(shopper.days_since_order.map(|days| ("days_since_order", days.to_string())));
    ContactRow {
        key: shopper.key(),
        email: shopper.email(),
        email_consent: "double_opt_in",
        cross_border_consent: "express",
        consent_at: consent_at.to_owned(),
        consent_source: "newsletter form",
        country: shopper.market.country,
        language: shopper.market.language,
        time_zone: shopper.time_zone,
        attributes,
    }
}

/// Gives up when nothing has changed for too long.
struct Patience {
    limit: Duration,
    seen: String,
    since: Instant,
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Self { limit, seen: String::new(), since: Instant::now() }
    }

    fn check(&mut self, what: &str, seen: &str) -> Result<(), SimulatorError> {
        if self.seen != seen {
            self.seen = seen.to_owned();
            self.since = Instant::now();
        }
        if self.since.elapsed() < self.limit {
            return Ok(());
        }
        Err(SimulatorError::Stalled { what: what.to_owned(), limit: self.limit, seen: self.seen.clone() })
    }
}

#[cfg(test)]
mod tests;
