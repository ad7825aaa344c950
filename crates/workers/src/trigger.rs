//! Evaluates triggers over what came in since the last time: who entered, whose wait is over, who is to be sent something.
//!
//! One evaluation reads the commits that landed since the one before, looks at the contacts they are about and at those whose time
//! has come, and keeps what it decided in one commit with what it has seen. History is read once, when a trigger is new.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use control::{Cursor, Evaluation, StoredState, TriggerRow};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use lake::{Changes, FactRow, Group, LakeError};
use tokio_util::sync::CancellationToken;
use triggers::{Condition, Engine, Fact, Person, State, What};
use vocabulary::{Contact, ContactKey};

use crate::{Parts, WorkerError, contacts, pause_after};

/// How long after one evaluation the next begins, by the clock that triggers go by: a fifth of what is promised.
const EVALUATE_EVERY: SignedDuration = SignedDuration::from_secs(60);

/// The same for triggers that wait for a segment, which is asked for as a whole.
const SEGMENTS_EVERY: SignedDuration = SignedDuration::from_mins(4);

/// How often a trigger that somebody stored is looked for.
const POLL: Duration = Duration::from_millis(500);

/// Contacts looked at together.
const CONTACTS_AT_ONCE: usize = 10_000;

enum Wake {
    Tick,
    Shutdown,
}

pub(crate) async fn run(parts: Parts, stop: CancellationToken) {
    loop {
        if let Err(error) = step(&parts, &stop).await {
            pause_after("evaluating triggers", &error, &stop).await;
        }
        let next = parts.clock.now().checked_add(EVALUATE_EVERY).unwrap_or(Timestamp::MAX);
        let wake = tokio::select! {
            () = stop.cancelled() => Wake::Shutdown,
            () = tokio::time::sleep(POLL) => Wake::Tick,
            () = parts.clock.sleep_until(next) => Wake::Tick,
        };
        match wake {
            Wake::Tick => {}
            Wake::Shutdown => return,
        }
    }
}

/// Evaluates every trigger whose time has come.
async fn step(parts: &Parts, stop: &CancellationToken) -> Result<(), WorkerError> {
    let now = parts.clock.now();
    let is_due = |row: &TriggerRow| {
        let every = if matches!(row.trigger.when, Condition::Entered(_)) { SEGMENTS_EVERY } else { EVALUATE_EVERY };
        let last = row.evaluated_at.filter(|_| row.cursor.is_some());
        row.is_running && last.is_none_or(|last| now.duration_since(last) >= every)
    };
    let mut feed = Feed::default();
    for row in parts.control.triggers().await?.into_iter().filter(is_due) {
        if stop.is_cancelled() {
            return Ok(());
        }
        evaluate(parts, &mut feed, &row, now).await?;
    }
    Ok(())
}

/// What came in since some versions, read once for all triggers that have seen the same.
#[derive(Default)]
struct Feed(Option<(Option<BTreeMap<String, i64>>, Changes)>);

impl Feed {
    /// `None` where it is too long ago.
    async fn since(&mut self, parts: &Parts, seen: Option<&BTreeMap<String, i64>>) -> Result<Option<&Changes>, WorkerError> {
        let is_same = self.0.as_ref().is_some_and(|(known, _)| known.as_ref() == seen);
        if !is_same {
            match parts.lake.changes(seen).await {
                Ok(changes) => self.0 = Some((seen.cloned(), changes)),
                Err(LakeError::NoVersion(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.0.as_ref().map(|(_, changes)| changes))
    }
}

/// One trigger at one moment.
struct Round<'a> {
    row: &'a TriggerRow,
    engine: Engine,
    facts: BTreeMap<ContactKey, Vec<FactRow>>,
    /// Whose product got cheaper: product, percent, when.
    drops: HashMap<ContactKey, Vec<(String, u32, Timestamp)>>,
    /// Who came into the segment or left it.
    moves: HashMap<ContactKey, bool>,
    now: Timestamp,
}

async fn evaluate(parts: &Parts, feed: &mut Feed, row: &TriggerRow, now: Timestamp) -> Result<(), WorkerError> {
    let name = &row.trigger.trigger;
    let engine = match row.trigger.engine(parts.lake.base_currency()) {
        Ok(engine) => engine,
        Err(error) => {
            tracing::error!(trigger = name, %error, "a trigger cannot be evaluated; store it anew");
            return Ok(());
        }
    };
    let seen = row.cursor.clone().unwrap_or_default();
    // Before the events are read: whoever is stored meanwhile is seen the next time.
    let contacts = parts.control.contacts_change().await?;
    let Some(changes) = feed.since(parts, row.cursor.as_ref().map(|cursor| &cursor.versions)).await? else {
        tracing::warn!(trigger = name, "a trigger was not evaluated for so long that it begins anew");
        return Ok(parts.control.restart_trigger(name).await?);
    };
    let words: Vec<&str> = engine.acts().into_iter().map(triggers::Act::as_str).collect();
    let mut facts: BTreeMap<ContactKey, Vec<FactRow>> = BTreeMap::new();
    for fact in parts.lake.facts(changes, &words).await? {
        facts.entry(fact.contact).or_default().push(fact);
    }
    let mut cursor = Cursor { versions: changes.versions.clone(), contacts, drops: seen.drops };
    let mut touched: BTreeSet<ContactKey> = facts.keys().copied().collect();
    touched.extend(parts.control.due_contacts(name, now).await?);
    if matches!(row.trigger.when, Condition::Registered(_) | Condition::Birthday(_)) && contacts > seen.contacts {
        touched.extend(parts.control.contacts_changed(seen.contacts).await?);
    }
    let (drops, moves) = (price_drops(parts, row, &mut cursor).await?, segment_moves(parts, row, now).await?);
    touched.extend(drops.keys().chain(moves.keys()));
    let round = Round { row, engine, facts, drops, moves, now };
    let mut evaluation = Evaluation { cursor, ..Evaluation::default() };
    let touched: Vec<ContactKey> = touched.into_iter().collect();
    for contacts in touched.chunks(CONTACTS_AT_ONCE) {
        round.look_at(parts, contacts, &mut evaluation).await?;
    }
    let fired = evaluation.firings.len();
    if parts.control.keep_evaluation(row, &evaluation, now).await? && fired > 0 {
        tracing::info!(trigger = name, fired, looked_at = touched.len(), "a trigger was evaluated");
    }
    Ok(())
}

/// Who saw what got cheaper since the last time. The trigger itself knows when they saw it; this only finds them.
async fn price_drops(
    parts: &Parts,
    row: &TriggerRow,
    cursor: &mut Cursor,
) -> Result<HashMap<ContactKey, Vec<(String, u32, Timestamp)>>, WorkerError> {
    let mut found: HashMap<ContactKey, Vec<(String, u32, Timestamp)>> = HashMap::new();
    let Condition::PriceDropped(condition) = &row.trigger.when else { return Ok(found) };
    for drop in parts.control.price_drops(cursor.drops).await? {
        cursor.drops = drop.number;
        if drop.percent < condition.by_percent {
            continue;
        }
        let since = drop.at.checked_sub((i64::from(condition.seen_within_days) * 24).hours()).unwrap_or(drop.at);
        for contact in parts.lake.seen_by(&drop.product, since).await? {
            found.entry(contact).or_default().push((drop.product.clone(), drop.percent, drop.at));
        }
    }
    Ok(found)
}

/// Who came into the trigger's segment, and who left it, since the last time.
async fn segment_moves(parts: &Parts, row: &TriggerRow, now: Timestamp) -> Result<HashMap<ContactKey, bool>, WorkerError> {
    let Condition::Entered(entered) = &row.trigger.when else { return Ok(HashMap::new()) };
    let Some(segment) = parts.control.segment(&entered.segment).await? else {
        tracing::warn!(
            trigger = row.trigger.trigger,
            segment = entered.segment,
            "a trigger waits for a segment that is not stored"
        );
        return Ok(HashMap::new());
    };
    let query = match segment.segment.query(now, parts.lake.base_currency()) {
        Ok(query) => query,
        Err(error) => {
            tracing::warn!(trigger = row.trigger.trigger, segment = entered.segment, %error, "a segment cannot be asked for");
            return Ok(HashMap::new());
        }
    };
    contacts::publish(parts).await?;
    let members = parts.lake.audience(Some(&query), Group::Internal).await?.recipients;
    let members: HashSet<ContactKey> = members.into_iter().map(|recipient| recipient.key).collect();
    let known: HashSet<ContactKey> = parts.control.trigger_members(&row.trigger.trigger).await?.into_iter().collect();
    let came = members.difference(&known).map(|contact| (*contact, true));
    Ok(came.chain(known.difference(&members).map(|contact| (*contact, false))).collect())
}

impl Round<'_> {
    async fn look_at(&self, parts: &Parts, keys: &[ContactKey], into: &mut Evaluation) -> Result<(), WorkerError> {
        let mut states = parts.control.trigger_states(&self.row.trigger.trigger, keys).await?;
        let rules = parts.rules.current();
        for mut contact in parts.control.contacts_of(keys).await? {
            rules.derive_time_zone(&mut contact);
            let before = states.remove(&contact.key);
            let after = self.advance(&contact, before.as_ref(), &mut into.firings);
            if before.as_ref() != Some(&after) {
                into.states.push(after);
            }
        }
        Ok(())
    }

    /// Takes in what happened to one contact.
    fn advance(
        &self,
        contact: &Contact,
        before: Option<&StoredState>,
        firings: &mut Vec<(ContactKey, triggers::Firing)>,
    ) -> StoredState {
        let key = contact.key;
        let person = Person {
            key,
            time_zone: contact.time_zone().and_then(|name| TimeZone::get(name).ok()),
            birth: contact.profile.birth,
            since: self.row.started_at.max(contact.created_at),
        };
        let mut state = before.map_or_else(State::default, |before| before.state.clone());
        let mut is_member = before.is_some_and(|before| before.is_member);
        let facts = self.facts.get(&key).map_or(&[][..], Vec::as_slice);
        let mut facts: Vec<Fact<'_>> = facts.iter().filter_map(fact_of).collect();
        if before.is_none() && matches!(self.row.trigger.when, Condition::Registered(_)) {
            facts.push(Fact { at: contact.created_at, what: What::Registered });
        }
        for (product, percent, at) in self.drops.get(&key).map_or(&[][..], Vec::as_slice) {
            facts.push(Fact { at: *at, what: What::PriceDropped { product, percent: *percent } });
        }
        if let (Some(inside), Condition::Entered(entered)) = (self.moves.get(&key), &self.row.trigger.when) {
            is_member = *inside;
            let segment = &entered.segment;
            let what = if *inside { What::EnteredSegment { segment } } else { What::LeftSegment { segment } };
            // Whoever was in the segment when the trigger was stored did not come into it.
            if self.row.cursor.is_some() {
                facts.push(Fact { at: self.now, what });
            }
        }
        let fired = self.engine.advance(&person, &mut state, &facts, self.now);
        firings.extend(fired.into_iter().map(|firing| (key, firing)));
        let due = self.engine.next_due(&person, &state);
        StoredState { contact: key, state, due, is_member }
    }
}

/// What a row of the lake tells a trigger.
pub(crate) fn fact_of(row: &FactRow) -> Option<Fact<'_>> {
    let product = row.product.as_deref();
    let what = match &*row.what {
        "ordered" => What::Ordered { amount: row.amount },
        "opened" => What::Opened,
        "clicked" => What::Clicked,
        "unsubscribed" => What::Unsubscribed,
        "complained" => What::Complained,
        "browsed" => What::Browsed { product },
        "carted" => What::Carted { product },
        _ => return None,
    };
    Some(Fact { at: row.at, what })
}
