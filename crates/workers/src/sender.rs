//! Hands messages over: leases a slice of a plan, claims a few recipients in the ledger, renders late, speaks SMTP,
//! tells the lake, settles the ledger.
//!
//! The order of these steps is what keeps a kill at any moment harmless. A message is *claimed* durably before its first
//! byte leaves, so nobody else sends it. What became of it is an event in the lake's log before the ledger is *settled*,
//! so a claim found after a crash is settled from the log where the log knows. Where it does not, a message that was not
//! even begun ([`crate::begun`]) is sent again, and one that was begun is *in doubt*: marketing in doubt is not sent again.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use control::{CampaignState, GivenId, Lease, LedgerRow, Settled, Settlement};
use gateways::put_off::is_about_load;
use gateways::{Envelope, HandOver, Pace};
use jiff::{SignedDuration, Timestamp, ToSpan};
use lake::PlanRow;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vocabulary::{CampaignId, Channel, DeliveryStatus, Event, MessageId, Money, VariantName};

use crate::begun::Begun;
use crate::claim::{Claimed, Dropped, Job, Outgoing, claim, pools};
use crate::compose::render;
use crate::told::{Handed, delivery_event, doubt, hand_over_events, held_out_event};
use crate::warm_up::{self, Room};
use crate::ways::{Group, Ready, Sent, Ways};
use crate::{Config, Sending, WorkerError, pause_after};

/// The most recipients claimed at once by one lane: at a kill, so many per lane can be in doubt.
const CLAIM_ROWS_MAX: usize = 64;

/// A group that takes longer makes the next one smaller, so that pauses and unsubscribes are obeyed within a second.
const GROUP_TIME_MAX: Duration = Duration::from_millis(400);

/// What is known of contacts is not relied on for longer: consents, caps and rules hold from the next second on, however slow a
/// server takes what was claimed before.
const FACTS_TIME_MAX: Duration = Duration::from_millis(900);

/// A slice in which another worker has claims is looked at again after this time.
const OTHERS_PAUSE: SignedDuration = SignedDuration::from_secs(10);

/// A lease is over after this, should its holder have died without a trace.
const LEASE_MINUTES: i64 = 10;

/// How long to wait before asking again for work or for a server that would not have it.
const POLL: Duration = Duration::from_millis(100);
const UNAVAILABLE_PAUSE: Duration = Duration::from_millis(500);

/// A message that the server will not have for now (a 4xx reply, as greylisting gives) is offered again after this time.
const DEFER_MINUTES: i64 = 5;

/// How often it is offered before it counts as refused: for an hour, which outlasts greylisting.
const TRIES_MAX: u32 = 12;

/// What stands in the ledger in the place of a reply that nobody saw.
pub(crate) const FOUND: &str = "found unsettled after a restart";

/// The same for a message that was made and not handed over.
const HELD_OUT: &str = "held out: it was made and not handed over, so that what sending brings can be measured";

/// The same for a message that was due before the control store was brought back.
pub(crate) const RESTORED: &str = "it may have been handed over between the backup and the moment it was brought back";

enum Wake {
    Tick,
    Shutdown,
}

/// What the lanes of one worker share.
pub(crate) struct Shared {
    begun: Begun,
    tries: Tries,
    /// What mail servers behind the next one said about too much mail.
    pace: Mutex<Pace>,
}

impl Shared {
    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().expect("nobody panics while holding this lock")
    }
}

/// Whether a mail server put a message off for a reason that is about load. `None` where it said nothing about the message.
fn is_put_off(sent: &Sent) -> Option<bool> {
    match &sent.hand_over {
        _ if sent.is_turned_away => Some(true),
        HandOver::Refused { reply, permanent: false } => Some(is_about_load(reply)),
        HandOver::Accepted { .. } | HandOver::Refused { .. } => Some(false),
        HandOver::Late | HandOver::NotSent { .. } | HandOver::InDoubt { .. } => None,
    }
}

/// Settles what an earlier run of this worker claimed and did not settle, and starts a new file of begun messages.
pub(crate) async fn recover(parts: &Sending, config: &Config) -> Result<Shared, WorkerError> {
    let path = config.plans.join(format!("begun-{}", config.name));
    let begun = Begun::read(&path, &config.boot);
    let now = parts.clock.now();
    let (mut settled, mut unsent, mut doubts) = (Vec::new(), Vec::new(), Vec::new());
    for row in parts.control.open_claims(Some(&config.name)).await? {
        let outcome = match known_outcome(parts, &row.message_id).await? {
            Some(outcome) => outcome,
            None if begun.as_ref().is_some_and(|begun| !begun.contains(row.message_id.as_str())) => {
                unsent.push(row.message_id);
                continue;
            }
            None => Settlement::InDoubt,
        };
        if outcome == Settlement::InDoubt {
            doubts.push(doubt(&row, FOUND, now));
        }
        let reply = Some(FOUND.to_owned());
        let (variant, recommendation_id) = (row.variant, row.recommendation_id);
        let message_id = row.message_id;
        settled.push(Settled { message_id, outcome, variant, recommendation_id, is_fallback: false, reply, at: now });
    }
    if !settled.is_empty() || !unsent.is_empty() {
        let in_doubt = settled.iter().filter(|row| row.outcome == Settlement::InDoubt).count();
        let known = settled.len() - in_doubt;
        tracing::warn!(known, in_doubt, unsent = unsent.len(), "settled the claims that an earlier run left behind");
    }
    parts.journal.append(doubts).await?;
    parts.control.settle(&settled).await?;
    parts.control.release(&unsent).await?;
    // Last: who takes a slice over must find its messages settled or free, or would leave out those that are free only later.
    parts.control.release_leases(&config.name).await?;
    let begun = Begun::create(&path, &config.boot, CLAIM_ROWS_MAX).map_err(|source| WorkerError::Begun { path, source })?;
    Ok(Shared { begun, tries: Tries::default(), pace: Mutex::default() })
}

/// What the log knows of a message.
async fn known_outcome(parts: &Sending, message: &MessageId) -> Result<Option<Settlement>, WorkerError> {
    let known = async |status| parts.journal.knows(&delivery_event(message, status)).await;
    Ok(if known(DeliveryStatus::Accepted).await? {
        Some(Settlement::Accepted)
    } else if known(DeliveryStatus::Refused).await? {
        Some(Settlement::Refused)
    } else {
        None
    })
}

pub(crate) async fn run(parts: Sending, ways: Ways, worker: String, number: usize, shared: Arc<Shared>, stop: CancellationToken) {
    let mut sender = Sender { parts, worker, number, shared, ways, group_rows: CLAIM_ROWS_MAX / 4, jobs: HashMap::new() };
    let mut changed = sender.parts.control.campaigns_changed();
    loop {
        match sender.step(&stop).await {
            Ok(Step::Sent) => continue,
            Ok(Step::Idle) => {}
            Err(error) => pause_after(&format!("sending lane {number}"), &error, &stop).await,
        }
        let wake = tokio::select! {
            () = stop.cancelled() => Wake::Shutdown,
            _ = changed.changed() => Wake::Tick,
            () = tokio::time::sleep(POLL) => Wake::Tick,
        };
        match wake {
            Wake::Tick => {}
            Wake::Shutdown => return,
        }
    }
}

enum Step {
    Sent,
    Idle,
}

/// One lane: one connection and the slice it works on.
struct Sender {
    parts: Sending,
    worker: String,
    number: usize,
    shared: Arc<Shared>,
    ways: Ways,
    group_rows: usize,
    jobs: HashMap<CampaignId, Arc<Job>>,
}

/// A leased slice with what it takes to send it.
struct Slice {
    lease: Lease,
    job: Arc<Job>,
    rows: Vec<PlanRow>,
}

/// How work on a slice ended.
enum End {
    /// Every recipient is accounted for.
    Finished,
    /// Some are to be offered again, the first of them at that time.
    Deferred(Timestamp),
    /// It was told to stop, or somebody else has the slice.
    Stopped,
}

impl Sender {
    async fn step(&mut self, stop: &CancellationToken) -> Result<Step, WorkerError> {
        let now = self.parts.clock.now();
        let until = in_minutes(now, LEASE_MINUTES);
        if stop.is_cancelled() {
            return Ok(Step::Idle);
        }
        let Some(lease) = self.parts.control.lease_slice(&self.worker, now, until).await? else { return Ok(Step::Idle) };
        let Some(job) = self.job(&lease.campaign).await? else { return Ok(Step::Idle) };
        let rows = lake::read_plan(lease.plan_file.as_ref(), lease.first_row as usize, lease.rows as usize)?;
        let slice = Slice { lease, job, rows };
        let lease = &slice.lease;
        match self.send_slice(&slice, stop).await {
            Ok(End::Finished) => {
                self.parts.control.finish_slice(lease).await?;
                Ok(Step::Sent)
            }
            Ok(End::Deferred(until)) => {
                // The lease itself keeps the slice away until it is time to offer the rest again.
                self.parts.control.renew_slice(lease, until).await?;
                Ok(Step::Sent)
            }
            Ok(End::Stopped) => {
                self.parts.control.release_slice(lease).await?;
                Ok(Step::Idle)
            }
            Err(error) => {
                // Should this fail too, the lease runs out by itself.
                drop(self.parts.control.release_slice(lease).await);
                Err(error)
            }
        }
    }

    /// The campaign ready for sending; made once per plan.
    async fn job(&mut self, id: &CampaignId) -> Result<Option<Arc<Job>>, WorkerError> {
        let Some(row) = self.parts.control.campaign(id).await? else { return Ok(None) };
        if let Some(job) = self.jobs.get(id).filter(|job| job.plan_version == row.plan_version) {
            return Ok(Some(job.clone()));
        }
        let Some(experiment) = self.parts.control.experiment(&row.campaign.experiment).await? else { return Ok(None) };
        let snippets = self.parts.control.snippets_of(id).await?;
        let libraries = content::libraries(&row.campaign, &experiment, &snippets);
        let libraries = libraries.map_err(|error| WorkerError::Campaign(error.to_string()))?;
        let from = if row.campaign.chain().contains(&Channel::Email) {
            gateways::mailbox_address(&row.campaign.from)
        } else {
            Ok(String::new())
        };
        let from = from.map_err(|error| WorkerError::Campaign(error.to_string()))?;
        let base = self.parts.journal.base_currency();
        let cost = row
            .campaign
            .cost
            .map(|major| Money { minor: (major * base.minor_per_major() as f64).round() as i64, currency: base });
        let guidance = self.parts.control.watch(&row.campaign.experiment).await?;
        let (plan_version, campaign, warned) = (row.plan_version, row.campaign, AtomicBool::new(false));
        let pools = pools(&campaign, &libraries);
        let job = Arc::new(Job { plan_version, campaign, experiment, libraries, pools, from, cost, guidance, warned });
        self.jobs.insert(id.clone(), job.clone());
        Ok(Some(job))
    }

    /// Sends to every row that nobody has claimed yet.
    async fn send_slice(&mut self, slice: &Slice, stop: &CancellationToken) -> Result<End, WorkerError> {
        let (job, rows) = (&slice.job, &slice.rows);
        let mut renew_at = in_minutes(self.parts.clock.now(), LEASE_MINUTES / 2);
        let mut position = 0;
        let mut deferred = None;
        while position < rows.len() {
            let now = self.parts.clock.now();
            if now >= renew_at {
                if !self.parts.control.renew_slice(&slice.lease, in_minutes(now, LEASE_MINUTES)).await? {
                    return Ok(End::Stopped);
                }
                renew_at = in_minutes(now, LEASE_MINUTES / 2);
            }
            let state = self.parts.control.campaign_state(&job.campaign.campaign).await?;
            if stop.is_cancelled() || state != Some(CampaignState::Sending) {
                return Ok(End::Stopped);
            }
            let group = &rows[position..rows.len().min(position + self.group_rows)];
            let began = Instant::now();
            let ended = self.send_group(slice, group, stop).await?;
            self.group_rows = if began.elapsed() < GROUP_TIME_MAX {
                (self.group_rows * 2).min(CLAIM_ROWS_MAX)
            } else {
                (self.group_rows / 2).max(1)
            };
            deferred = sooner(deferred, ended.deferred);
            if ended.is_used_up && ended.not_sent.is_none() && !ended.is_cut {
                // Nobody of the rest may be sent to today, so that nobody is claimed.
                let rest = warm_up::first_again(&rows[position..], self.parts.clock.now());
                deferred = sooner(deferred, rest);
                break;
            }
            if let Some(why) = ended.not_sent {
                tracing::warn!(why, campaign = %job.campaign.campaign, "the mail server could not be given messages; trying again");
                tokio::select! {
                    () = stop.cancelled() => return Ok(End::Stopped),
                    () = tokio::time::sleep(UNAVAILABLE_PAUSE) => {}
                }
            } else if !ended.is_cut {
                position += group.len();
            }
            if ended.is_held_back {
                // Going on at once would only move claims to and fro.
                tokio::select! {
                    () = stop.cancelled() => return Ok(End::Stopped),
                    () = tokio::time::sleep(POLL) => {}
                }
            }
        }
        if deferred.is_none() && self.has_others_claims(slice).await? {
            deferred = self.parts.clock.now().checked_add(OTHERS_PAUSE).ok();
        }
        Ok(deferred.map_or(End::Finished, End::Deferred))
    }

    /// Leaves those for later for whom there is no room now: at their destination, or in the day of a new domain.
    async fn make_room(
        &self,
        job: &Job,
        batch: &mut Vec<Outgoing>,
        ended: &mut Ended,
        now: Timestamp,
    ) -> Result<Room, WorkerError> {
        if !job.campaign.chain().contains(&Channel::Email) {
            return Ok(Room::default());
        }
        self.hold_back(batch, ended, now);
        let mut held = Vec::new();
        let room = warm_up::take(&self.parts, &job.from, batch, now, &mut held).await?;
        // Other channels go on.
        ended.is_used_up = room.is_used_up && job.campaign.chain() == [Channel::Email];
        held.into_iter().for_each(|(out, why)| ended.drop_message(out.message_id, out.planned, why, now));
        Ok(room)
    }

    /// Leaves those for later whose destination is sent less than came up now.
    fn hold_back(&self, batch: &mut Vec<Outgoing>, ended: &mut Ended, now: Timestamp) {
        let (mut pace, before) = (self.shared.pace(), batch.len());
        let mut take = |out: &Outgoing| if out.channel == Channel::Email { pace.take(&out.address, now) } else { Ok(()) };
        batch.retain(|out| match take(out) {
            Ok(()) => true,
            Err(until) => {
                ended.drop_message(out.message_id.clone(), out.planned.clone(), Dropped::Until(until), now);
                false
            }
        });
        ended.is_held_back = before > 0 && batch.is_empty();
    }

    /// Whether another worker has claims here that it may still give back: its lease ran out while a server kept it waiting, or it
    /// died. They are not over with the slice.
    async fn has_others_claims(&self, slice: &Slice) -> Result<bool, WorkerError> {
        let id = |row: &PlanRow| content::message_id(&slice.job.campaign.campaign, row.contact, row.step.as_ref());
        let ids: Vec<MessageId> = slice.rows.iter().map(id).collect();
        Ok(self.parts.control.are_claimed(&ids).await?)
    }

    /// Hands over messages of one channel, whose places in the lane's group begin at `first`.
    async fn hand_over(&mut self, job: &Job, batch: &mut [Outgoing], first: usize, until: Instant) -> Vec<Sent> {
        let Some(channel) = batch.first().map(|out| out.channel) else { return Vec::new() };
        let envelopes: Vec<Envelope> =
            batch.iter().map(|out| Envelope { from: job.from.clone(), to: out.address.clone() }).collect();
        let ids: Vec<MessageId> = batch.iter().map(|out| out.message_id.clone()).collect();
        let group = Group { channel, class: job.campaign.class, ids: &ids, envelopes: &envelopes, until: Some(until) };
        let (parts, begun, number) = (&self.parts, &self.shared.begun, self.number);
        let mut content = |place: usize| {
            let out = &mut batch[place];
            let content = render(parts, job, out)?;
            begun.note(number, first + place, &out.message_id).ok()?;
            Some(Ready { content, provider: out.provider(job) })
        };
        self.ways.deliver(group, &mut content).await
    }

    /// Claims, hands over, tells and settles one group.
    async fn send_group(&mut self, slice: &Slice, rows: &[PlanRow], stop: &CancellationToken) -> Result<Ended, WorkerError> {
        let job = &slice.job;
        let until = Instant::now() + FACTS_TIME_MAX;
        let Claimed { outgoing: mut batch, dropped, restored } = claim(&self.parts, &slice.lease, job, rows).await?;
        let mut ended = Ended::default();
        batch.sort_by_key(|out| out.channel);
        let left_at = self.parts.clock.now();
        let ids = batch.iter().map(|out| &out.message_id).chain(dropped.iter().map(|(id, _)| id)).chain(&restored);
        let claimed: Vec<MessageId> = ids.cloned().collect();
        let room = match self.make_room(job, &mut batch, &mut ended, left_at).await {
            Ok(room) => room,
            Err(error) => {
                // Nothing was handed over; who comes next tries again.
                self.parts.control.release(&claimed).await?;
                return Err(error);
            }
        };
        let (mut results, mut first) = (Vec::with_capacity(batch.len()), 0);
        for batch in batch.chunk_by_mut(|one, next| one.channel == next.channel) {
            results.extend(self.hand_over(job, batch, first, until).await);
            first += batch.len();
        }
        let at = self.parts.clock.now();
        for (message_id, why) in dropped {
            ended.drop_message(message_id, None, why, at);
        }
        for message_id in restored {
            if let Some(row) = self.parts.control.message(&message_id).await? {
                ended.doubt(row, at);
            }
        }
        let unsent: Vec<usize> = (0..).zip(&results).filter(|(_, sent)| !sent.left()).map(|(place, _)| place).collect();
        for (out, result) in batch.iter_mut().zip(results) {
            if let Some(is_put_off) = is_put_off(&result).filter(|_| out.channel == Channel::Email) {
                self.shared.pace().heard(&out.address, left_at, is_put_off, at);
            }
            ended.add(job, out, result, &self.shared.tries, at);
        }
        // What was handed over must be told before this lane goes on: the next group takes its place in the file of begun
        // messages.
        while let Err(error) = ended.tell(&self.parts).await {
            pause_after("settling", &error, stop).await;
            if stop.is_cancelled() {
                return Err(error);
            }
        }
        room.give_back(&self.parts, &unsent).await?;
        Ok(ended)
    }
}

/// How often each message was offered to a server that would not have it for now; shared by the lanes.
type Tries = Mutex<HashMap<MessageId, u32>>;

/// How a group ended.
#[derive(Default)]
struct Ended {
    settled: Vec<Settled>,
    /// What providers call some of them.
    given: Vec<GivenId>,
    events: Vec<Event>,
    /// To be tried again.
    release: Vec<MessageId>,
    /// Why some could not even be offered, to be tried again at once.
    not_sent: Option<String>,
    /// Whether some were not begun while the facts about them were fresh.
    is_cut: bool,
    /// Whether there were some, and all of them go to destinations that are sent less than came up.
    is_held_back: bool,
    /// Whether the day of the domain they are from has no more room.
    is_used_up: bool,
    /// When some are to be tried again that a server would not have for now, or a rule.
    deferred: Option<Timestamp>,
}

impl Ended {
    fn add(&mut self, job: &Job, out: &mut Outgoing, sent: Sent, tries: &Tries, at: Timestamp) {
        let message_id = out.message_id.clone();
        if let Some(why) = out.dropped.take() {
            if matches!(why, Dropped::HeldOut) {
                self.events.push(held_out_event(job, out, at));
            }
            let (variant, _) = out.variant_and_recommendation();
            return self.drop_message(message_id, variant, why, at);
        }
        self.given.extend(sent.given_id(&message_id));
        let (outcome, reply) = match sent.hand_over {
            HandOver::Accepted { reply } => (Settlement::Accepted, reply),
            HandOver::Refused { reply, permanent } if permanent || exhausted(tries, &message_id) => (Settlement::Refused, reply),
            HandOver::Refused { .. } => {
                self.deferred = sooner(self.deferred, Some(in_minutes(at, DEFER_MINUTES)));
                return self.release.push(message_id);
            }
            HandOver::Late => {
                self.is_cut = true;
                return self.release.push(message_id);
            }
            HandOver::NotSent { why } => {
                self.not_sent = Some(why);
                return self.release.push(message_id);
            }
            HandOver::InDoubt { why } => (Settlement::InDoubt, why),
        };
        self.events.extend(hand_over_events(
            job,
            out,
            &Handed { outcome, reply: &reply, provider: sent.provider, cost: sent.cost },
            at,
        ));
        let (variant, recommendation_id) = out.variant_and_recommendation();
        let (is_fallback, reply) = (out.is_fallback(), Some(reply));
        self.settled.push(Settled { message_id, outcome, variant, recommendation_id, is_fallback, reply, at });
    }

    /// A message that was claimed after the store was brought back, and may have been handed over before.
    fn doubt(&mut self, row: LedgerRow, at: Timestamp) {
        self.events.push(doubt(&row, RESTORED, at));
        let LedgerRow { message_id, variant, recommendation_id, .. } = row;
        let (outcome, reply) = (Settlement::InDoubt, Some(RESTORED.to_owned()));
        self.settled.push(Settled { message_id, outcome, variant, recommendation_id, is_fallback: false, reply, at });
    }

    /// A message that was not offered, because it cannot be made or a rule is against it.
    fn drop_message(&mut self, message_id: MessageId, variant: Option<VariantName>, why: Dropped, at: Timestamp) {
        let (outcome, reply) = match why {
            Dropped::Broken(why) => (Settlement::Refused, why),
            Dropped::Against(why) => (Settlement::Skipped, why),
            Dropped::HeldOut => (Settlement::Skipped, HELD_OUT.to_owned()),
            Dropped::Until(until) => {
                self.deferred = sooner(self.deferred, Some(until));
                return self.release.push(message_id);
            }
        };
        let reply = Some(reply);
        self.settled.push(Settled { message_id, outcome, variant, recommendation_id: None, is_fallback: false, reply, at });
    }

    /// First the log, then the ledger: a crash in between is settled from the log. Doing it twice is harmless.
    async fn tell(&self, parts: &Sending) -> Result<(), WorkerError> {
        parts.journal.append(self.events.clone()).await?;
        parts.control.settle_noting(&self.settled, &self.given).await?;
        parts.control.release(&self.release).await?;
        Ok(())
    }
}

fn exhausted(tries: &Tries, message: &MessageId) -> bool {
    let mut tries = tries.lock().expect("nobody panics while holding this lock");
    let count = tries.entry(message.clone()).or_insert(0);
    *count += 1;
    let exhausted = *count >= TRIES_MAX;
    if exhausted {
        tries.remove(message);
    }
    exhausted
}

/// The earlier of two times, of which either may not be.
fn sooner(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

fn in_minutes(now: Timestamp, minutes: i64) -> Timestamp {
    now.checked_add(minutes.minutes()).unwrap_or(now)
}
