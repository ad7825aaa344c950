//! Plans the messages of triggered campaigns: entries of triggers become plans beside those there are, as they come.
//!
//! An entry whose message a rule puts off stays an entry until it can leave: so whatever takes out, takes out until then, and
//! everything is decided with what is known at that time. A plan names only who is sent something now, and who is not and why.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use control::{AddedPlan, CampaignRow, EntryRow, PlannedEntries};
use experiment::Balanced;
use jiff::{SignedDuration, Timestamp};
use lake::{PlanRow, Recipient};
use planning::{Brief, Fate, Known, LeftOut, Person, Planner, Sources, plan_row};
use triggers::{Fact, Trigger};
use vocabulary::ContactKey;

use crate::planner::{Told, check, picked, plan_file};
use crate::trigger::fact_of;
use crate::{Config, Parts, WorkerError, contacts};

/// Entries planned together. More wait for the next plan, a moment later.
const ENTRIES_AT_ONCE: u32 = 10_000;

/// A message that may leave within this time goes into the plan; one that is later stays an entry.
const SOON: SignedDuration = SignedDuration::from_secs(60);

/// Looks at a triggered campaign before it sends the first time.
pub(crate) async fn begin(parts: &Parts, config: &Config, row: &CampaignRow) -> Result<(), WorkerError> {
    use control::CampaignState::{Planning, Sending};
    let brief = Brief::read(&parts.control, row.campaign.clone(), None, parts.clock.now()).await?;
    check(parts, config, &brief).await?;
    if brief.to_balance().is_some() {
        // Nobody is known beforehand, and who is assigned a variant keeps it: no later campaign chooses another draw.
        let first = Balanced::triggered(row.campaign.campaign.clone(), parts.clock.now());
        parts.control.keep_balanced(&row.campaign.experiment, &first).await?;
    }
    parts.control.set_campaign_state(&row.campaign.campaign, &[Planning], Sending).await?;
    Ok(())
}

/// Plans the entries whose time has come. A campaign whose end has come is over when there are none.
pub(crate) async fn plan(parts: &Parts, config: &Config, row: &CampaignRow) -> Result<(), WorkerError> {
    let (campaign, now) = (&row.campaign, parts.clock.now());
    let entries = parts.control.waiting_entries(&campaign.campaign, now, ENTRIES_AT_ONCE).await?;
    if entries.is_empty() {
        if campaign.ends.is_some_and(|ends| ends <= now) {
            parts.control.end_campaign(&campaign.campaign).await?;
        }
        return Ok(());
    }
    let brief = Arc::new(Brief::read(&parts.control, campaign.clone(), None, parts.clock.now()).await?);
    let Decided { mut rows, outcome } = decide(parts, &brief, entries, now).await?;
    let picked = picked(parts, campaign, || sent(&rows), now).await?;
    rows.iter_mut().for_each(|row| row.picks = picked.of(row.contact));
    let added = if rows.is_empty() { None } else { Some(write(parts, config, row, &brief, &rows, now).await?) };
    if parts.control.keep_entries(&campaign.campaign, &outcome, added.as_ref()).await? {
        let (held, exited) = (outcome.held.len(), outcome.exited.len());
        tracing::info!(campaign = %campaign.campaign, planned = outcome.planned.len(), held, exited, "planned entries of triggers");
    } else if let Some(added) = added {
        // Somebody else was faster, or the campaign was paused: nothing names this file.
        drop(std::fs::remove_file(&added.file));
    }
    Ok(())
}

/// Writes the plan, and tells who was assigned what.
async fn write(
    parts: &Parts,
    config: &Config,
    row: &CampaignRow,
    brief: &Brief,
    rows: &[PlanRow],
    now: Timestamp,
) -> Result<AddedPlan, WorkerError> {
    let version = row.plan_version + 1;
    // Its own name for each process: two may set out to write the same plan, and only one of them is kept.
    let file = plan_file(&config.plans, &row.campaign, &format!("{version}-{}", config.name));
    lake::write_plan(&file, rows.iter().cloned(), Some(now))?;
    let planned_for = brief.recommended.as_ref().map(|variant| variant.name.clone());
    let mut told = Told::default();
    told.take(parts, brief, rows).await?;
    Ok(AddedPlan { version, file, planned_for, slices: told.slices })
}

/// What was decided about entries: rows of a plan, those who are sent something first by due time, and the others.
#[derive(Default)]
struct Decided {
    rows: Vec<PlanRow>,
    outcome: PlannedEntries,
}

async fn decide(parts: &Parts, brief: &Arc<Brief>, entries: Vec<EntryRow>, now: Timestamp) -> Result<Decided, WorkerError> {
    contacts::publish(parts).await?;
    let exits = exits(parts, &entries, now).await?;
    let mut decided = Decided::default();
    let (exited, entries): (Vec<EntryRow>, Vec<EntryRow>) =
        entries.into_iter().partition(|entry| exits.contains_key(&entry.number));
    decided.outcome.exited.extend(exited.iter().map(|entry| (entry.number, exits[&entry.number])));
    let from = Sources { control: &parts.control, lake: &parts.lake };
    let mut keys: Vec<ContactKey> = entries.iter().map(|entry| entry.firing.contact).collect();
    keys.sort_unstable();
    keys.dedup();
    let (audience, _) = brief.audience(from, Some(&keys), now).await?;
    let history = from.history(Some(&keys), &brief.experiment, now).await?;
    let is_one = brief.campaign.chain().len() == 1;
    let mut prefer = if is_one { Vec::new() } else { from.preferences(Some(&keys), &audience.recipients).await? }.into_iter();
    let planner = Planner::new(brief.clone(), parts.rules.current(), now);
    let mut of: HashMap<ContactKey, Vec<EntryRow>> = HashMap::with_capacity(keys.len());
    for entry in entries {
        of.entry(entry.firing.contact).or_default().push(entry);
    }
    let each = |known: Known<'_>| {
        let person = Person { prefers: prefer.next().flatten(), ..known.person };
        for entry in of.remove(&known.recipient.key).unwrap_or_default() {
            let fate = planner.decide(&person, Some(entry.firing.firing.due));
            decided.add(known.recipient, &entry, fate, now);
        }
    };
    from.consider(&audience.recipients, &history, Some(now), each).await?;
    for entry in of.into_values().flatten() {
        let recipient = stranger(entry.firing.contact);
        decided.add(&recipient, &entry, Fate::LeftOut(LeftOut::Audience), now);
    }
    decided.rows.sort_by_key(place);
    Ok(decided)
}

impl Decided {
    fn add(&mut self, recipient: &Recipient, entry: &EntryRow, fate: Fate, now: Timestamp) {
        match &fate {
            Fate::Send { due, .. } if now.duration_until(*due) > SOON => self.outcome.held.push((entry.number, *due)),
            _ => {
                self.rows.push(plan_row(recipient, Some(entry.step()), fate));
                self.outcome.planned.push(entry.number);
            }
        }
    }
}

/// Where a row stands in its plan: those who are sent something come first, by due time.
fn place(row: &PlanRow) -> (bool, Option<Timestamp>, ContactKey) {
    (row.due.is_none(), row.due, row.contact)
}

/// Those who are sent something, by key.
fn sent(rows: &[PlanRow]) -> Vec<ContactKey> {
    let mut keys: Vec<ContactKey> = rows.iter().filter(|row| row.due.is_some()).map(|row| row.contact).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Somebody of whom the audience knows nothing.
fn stranger(key: ContactKey) -> Recipient {
    Recipient { key, traits: Arc::default() }
}

/// Of entries that were put off, or that nobody planned for a while because the campaign was paused or no server ran, those whose
/// contact did what takes out since the condition became true, by number. For those that have just come, the trigger has looked.
async fn exits(parts: &Parts, entries: &[EntryRow], now: Timestamp) -> Result<HashMap<i64, Timestamp>, WorkerError> {
    let has_waited = |entry: &&EntryRow| entry.is_held || now.duration_since(entry.firing.fired_at) > SOON;
    let mut by_trigger: BTreeMap<&str, Vec<&EntryRow>> = BTreeMap::new();
    for entry in entries.iter().filter(has_waited) {
        by_trigger.entry(&entry.firing.trigger).or_default().push(entry);
    }
    let mut exits = HashMap::new();
    for (trigger, entries) in by_trigger {
        let Some(row) = parts.control.trigger(trigger).await? else { continue };
        exits.extend(exits_of(parts, &row.trigger, &entries).await?);
    }
    Ok(exits)
}

async fn exits_of(parts: &Parts, trigger: &Trigger, entries: &[&EntryRow]) -> Result<Vec<(i64, Timestamp)>, WorkerError> {
    let words: Vec<&str> = trigger.exit.iter().map(|act| act.as_str()).collect();
    let keys: Vec<ContactKey> = entries.iter().map(|entry| entry.firing.contact).collect();
    let Some(since) = entries.iter().map(|entry| entry.firing.firing.true_at).min() else { return Ok(Vec::new()) };
    let rows = parts.lake.facts_of(&keys, &words, since).await?;
    let mut facts: HashMap<ContactKey, Vec<Fact<'_>>> = HashMap::new();
    for row in &rows {
        facts.entry(row.contact).or_default().extend(fact_of(row));
    }
    let exit = |entry: &&EntryRow| {
        let facts = facts.get(&entry.firing.contact)?;
        Some((entry.number, trigger.exit_after(entry.firing.firing.true_at, facts)?))
    };
    Ok(entries.iter().filter_map(exit).collect())
}
