//! A plan while it is made: 24 bytes for each contact beside the audience, because an audience may be tens of millions.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZero;
use std::sync::Arc;

use control::SegmentUse;
use experiment::Balanced;
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use lake::{Picks, PlanReason, PlanRow, Recipient};
use policy::Rules;
use vocabulary::{Channel, ContactKey, Mode, SendHour, Variant, VariantName};

use crate::balance::{self, BALANCE};
use crate::dry_run::DryRun;
use crate::facts::{CONTACTS_AT_ONCE, History, Known, Sources, Stores, tell};
use crate::fate::{Fate, Person, Planner};
use crate::hours::{Habits, LearnedHour, PackedHour};
use crate::{Brief, PlanningError};

/// Parties of recipients that are decided about at the same time, for each core: one waits for permissions or for its turn while another
/// is decided about.
const PARTIES_PER_CORE: usize = 2;

/// Decisions about an audience, which become the rows of a plan.
#[derive(Debug)]
pub struct Draft {
    /// By key.
    recipients: Arc<Vec<Recipient>>,
    rows: Vec<Row>,
    variants: Table<VariantName>,
    reasons: Table<PlanReason>,
    learned: Option<LearnedHours>,
    /// The draw of the assignment, where groups are balanced, and whether it is this draft that chose it.
    balanced: Option<(Balanced, bool)>,
}

/// The hours that were learned for an audience.
#[derive(Debug, Clone)]
struct LearnedHours {
    habits: Arc<Habits>,
    /// One for each recipient.
    hours: Arc<Vec<PackedHour>>,
    /// The places of variants that leave at them; 0 stands for what is recommended when a message leaves.
    variants: Vec<u16>,
}

/// One decision. In the order of a plan: by due time, nobody's last, then by contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    /// Microseconds; [`NEVER`] where nothing is sent.
    due: i64,
    recipient: u32,
    /// Places in the tables, counted from 1.
    variant: u16,
    reason: u32,
    channel: Option<Channel>,
}

const _: () = assert!(size_of::<Row>() == 24);

const NEVER: i64 = i64::MAX;

/// The name of the note of a plan that says what was learned of hours.
pub(crate) const HABITS: &str = "habits";

impl Row {
    /// When the message is to leave; `None` where nothing is sent.
    fn due(&self) -> Option<Timestamp> {
        Some(self.due).filter(|due| *due != NEVER).and_then(|due| Timestamp::from_microsecond(due).ok())
    }
}

/// What one contact is told, in the form of [`PlanRow`].
pub(crate) struct Decided {
    due: Option<Timestamp>,
    variant: Option<VariantName>,
    channel: Option<Channel>,
    why: Option<PlanReason>,
}

impl From<Fate> for Decided {
    fn from(fate: Fate) -> Self {
        let reason = |rule: &str, version: u32, reason: String| PlanReason { rule: rule.into(), version, reason: reason.into() };
        match fate {
            Fate::Send { variant, due, channel, moved } => {
                let why = moved.map(|why| reason(&why.rule, why.version, why.because.to_string()));
                Self { due: Some(due), variant, channel: Some(channel), why }
            }
            Fate::LeftOut(why) => {
                let (rule, version) = why.rule();
                Self { due: None, variant: None, channel: None, why: Some(reason(rule, version, why.to_string())) }
            }
        }
    }
}

impl Decided {
    /// The row of a plan about this contact.
    pub(crate) fn row(self, of: &Recipient) -> PlanRow {
        PlanRow {
            contact: of.key,
            variant: self.variant,
            market: of.traits.market.clone(),
            due: self.due,
            why: self.why,
            step: None,
            picks: Picks::new(),
            channel: self.channel,
        }
    }
}

impl Draft {
    /// Nothing decided yet about these recipients, who are ordered by key.
    fn of(recipients: Arc<Vec<Recipient>>) -> Self {
        let rows = Vec::with_capacity(recipients.len());
        Self { recipients, rows, variants: Table::default(), reasons: Table::default(), learned: None, balanced: None }
    }

    /// Decides about everybody in the audience of a campaign at `now`, on all cores; with the use of its segment, if it has one.
    ///
    /// # Errors
    /// [`PlanningError::Campaign`] where the audience is missing, [`PlanningError`] where a store cannot be read.
    pub async fn draw_up(
        stores: &Stores,
        brief: &Arc<Brief>,
        rules: Arc<Rules>,
        now: Timestamp,
    ) -> Result<(Self, Option<SegmentUse>), PlanningError> {
        let from = stores.sources();
        // Neither query uses all cores all the time.
        let asked = tokio::join!(brief.audience(from, None, now), from.history(None, &brief.experiment, now));
        let ((audience, used), history) = (asked.0?, asked.1?);
        let mut draft = Self::of(Arc::new(audience.recipients));
        if brief.learns() {
            draft.learn(from, brief, now).await?;
        }
        let hours = draft.learned.as_ref().map(|learned| learned.hours.clone());
        let is_one = brief.campaign.chain().len() == 1;
        let prefer = if is_one { Vec::new() } else { from.preferences(None, &draft.recipients).await? };
        let recipients = draft.recipients.clone();
        let facts = Arc::new(Facts { stores: stores.clone(), recipients, history, hours, prefer, now });
        draft.decide(&facts, Planner::new(brief.clone(), rules.clone(), now)).await?;
        draft.balanced = brief.balanced.clone().map(|kept| (kept, false));
        if let Some(by) = brief.to_balance() {
            let chosen = balance::choose(from, brief, by, draft.sent(), now).await?;
            if chosen.draw != 0 {
                // Who is sent something is the same in each draw; when and by what channel need not be.
                let brief = Brief { balanced: Some(chosen.clone()), ..Brief::clone(brief) };
                draft.rows.clear();
                draft.decide(&facts, Planner::new(Arc::new(brief), rules, now)).await?;
            }
            draft.balanced = Some((chosen, true));
        }
        Ok((draft, used))
    }

    /// Decides about everybody, on all cores.
    async fn decide(&mut self, facts: &Arc<Facts>, planner: Planner) -> Result<(), PlanningError> {
        let job = Arc::new(Job { facts: facts.clone(), planner });
        let parties = (0..self.recipients.len()).step_by(CONTACTS_AT_ONCE);
        let parties = stream::iter(parties).map(|first| tokio::spawn(job.clone().decide(first)));
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let mut parties = parties.buffered(cores * PARTIES_PER_CORE);
        while let Some(decided) = parties.next().await {
            self.push(decided??);
        }
        Ok(())
    }

    /// Those who are sent something, by key. The rows are still in the order of the recipients.
    fn sent(&self) -> Vec<Recipient> {
        let sent = self.rows.iter().filter(|row| row.due != NEVER);
        sent.map(|row| self.recipients[row.recipient as usize].clone()).collect()
    }

    /// The draw that its groups are of, where they are balanced.
    #[must_use]
    pub fn balanced(&self) -> Option<&Balanced> {
        self.balanced.as_ref().map(|(balanced, _)| balanced)
    }

    /// The same where this draft chose it: it is to be kept before anybody is told of the draft.
    #[must_use]
    pub fn chosen(&self) -> Option<&Balanced> {
        self.balanced.as_ref().filter(|(_, is_chosen)| *is_chosen).map(|(chosen, _)| chosen)
    }

    /// Learns at which hours the recipients are best written to.
    async fn learn(&mut self, from: Sources<'_>, brief: &Brief, now: Timestamp) -> Result<(), PlanningError> {
        let (habits, acts) = from.habits(&brief.campaign, &self.recipients, now).await?;
        let (habits, recipients) = (Arc::new(habits), self.recipients.clone());
        let hours = {
            let habits = habits.clone();
            tokio::task::spawn_blocking(move || habits.hours(&recipients, &acts)).await?
        };
        let is_learned = |variant: &&Variant| brief.send_hour(variant) == Some(SendHour::Learned);
        let mut place = |variant: &Variant| match brief.campaign.mode {
            Mode::Test => self.variants.place(variant.name.clone()) as u16,
            Mode::Recommended => 0,
        };
        let variants = brief.variants().filter(is_learned).map(&mut place).collect();
        self.learned = Some(LearnedHours { habits, hours: Arc::new(hours), variants });
        Ok(())
    }

    /// What the plan is to note of what it was made from, by name.
    ///
    /// # Errors
    /// [`PlanningError::Habits`] or [`PlanningError::Balance`] where it cannot be written, which is a fault of this code.
    pub fn notes(&self) -> Result<BTreeMap<String, String>, PlanningError> {
        let mut notes = BTreeMap::new();
        if let Some(learned) = &self.learned {
            notes.insert(HABITS.to_owned(), serde_json::to_string(&*learned.habits).map_err(PlanningError::Habits)?);
        }
        if let Some(balanced) = self.balanced() {
            notes.insert(BALANCE.to_owned(), serde_json::to_string(balanced).map_err(PlanningError::Balance)?);
        }
        Ok(notes)
    }

    /// Takes the decisions about the next recipients.
    fn push(&mut self, decided: Vec<Decided>) {
        for Decided { due, variant, channel, why } in decided {
            self.rows.push(Row {
                due: due.map_or(NEVER, Timestamp::as_microsecond),
                recipient: u32::try_from(self.rows.len()).unwrap_or(u32::MAX),
                variant: variant.map_or(0, |variant| self.variants.place(variant) as u16),
                reason: why.map_or(0, |why| self.reasons.place(why)),
                channel,
            });
        }
    }

    /// Gives other due times to some of those who are sent something.
    pub fn retime(&mut self, due: impl Fn(ContactKey) -> Option<Timestamp>) {
        for row in self.rows.iter_mut().filter(|row| row.due != NEVER) {
            let other = due(self.recipients[row.recipient as usize].key);
            row.due = other.map_or(row.due, Timestamp::as_microsecond);
        }
    }

    /// What this would come to as a plan. Who gets the variant `held_out` is sent nothing.
    #[must_use]
    pub fn dry_run(&self, held_out: Option<&VariantName>) -> DryRun {
        let mut run = DryRun::default();
        for row in &self.rows {
            if held_out.is_some() && self.variants.get(row.variant.into()) == held_out {
                run.held_out += 1;
                continue;
            }
            let traits = &self.recipients[row.recipient as usize].traits;
            let (variant, why) = (self.variants.get(row.variant.into()), self.reasons.get(row.reason));
            run.add(traits.market.as_deref(), variant, row.due(), row.channel, why);
            let learned = self.learned.as_ref().filter(|learned| row.due != NEVER && learned.variants.contains(&row.variant));
            if let Some(learned) = learned {
                let hour = LearnedHour::from(learned.hours[row.recipient as usize]);
                *run.by_learned_hour.entry(hour).or_default() += 1;
            }
        }
        run
    }

    /// Some of those who are sent something by a channel, spread over all of them, with the variant they are assigned.
    #[must_use]
    pub fn sample(&self, channel: Channel, count: usize) -> Vec<(ContactKey, Option<VariantName>)> {
        let sent: Vec<&Row> = self.rows.iter().filter(|row| row.due != NEVER && row.channel == Some(channel)).collect();
        let step = sent.len().div_ceil(count.max(1)).max(1);
        let whom = |row: &&Row| (self.recipients[row.recipient as usize].key, self.variants.get(row.variant.into()).cloned());
        sent.iter().step_by(step).map(whom).collect()
    }

    /// Those who are sent something, by key.
    #[must_use]
    pub fn contacts(&self) -> Vec<ContactKey> {
        let sent = self.rows.iter().filter(|row| row.due != NEVER);
        sent.map(|row| self.recipients[row.recipient as usize].key).collect()
    }

    /// The due times of those who are sent something, in order.
    #[must_use]
    pub fn dues(&self) -> Vec<Timestamp> {
        let mut dues: Vec<Timestamp> = self.rows.iter().filter_map(Row::due).collect();
        dues.sort_unstable();
        dues
    }

    /// The rows in the order of a plan: those who are sent something come first, by due time.
    pub fn into_rows(mut self) -> impl Iterator<Item = PlanRow> {
        self.rows.sort_unstable();
        let Self { recipients, rows, variants, reasons, .. } = self;
        rows.into_iter().map(move |row| {
            let (variant, why) = (variants.get(row.variant.into()).cloned(), reasons.get(row.reason).cloned());
            let decided = Decided { due: row.due(), variant, channel: row.channel, why };
            decided.row(&recipients[row.recipient as usize])
        })
    }
}

/// What is known of an audience when it is decided about.
struct Facts {
    stores: Stores,
    recipients: Arc<Vec<Recipient>>,
    history: History,
    /// Where hours are learned, those of the recipients.
    hours: Option<Arc<Vec<PackedHour>>>,
    /// Where there are several channels, the one that each recipient prefers.
    prefer: Vec<Option<Channel>>,
    now: Timestamp,
}

/// What the threads share that decide.
struct Job {
    facts: Arc<Facts>,
    planner: Planner,
}

impl Job {
    /// Decides about the recipients from a place on.
    async fn decide(self: Arc<Self>, first: usize) -> Result<Vec<Decided>, PlanningError> {
        let Facts { stores, recipients, now, .. } = &*self.facts;
        let some = first..recipients.len().min(first + CONTACTS_AT_ONCE);
        let permissions = stores.sources().permissions(&recipients[some.clone()], Some(*now)).await?;
        let decide = move || {
            let Facts { recipients, history, hours, prefer, .. } = &*self.facts;
            let mut decided = Vec::with_capacity(some.len());
            let each = |known: Known<'_>| {
                let learned = hours.as_ref().map(|hours| hours[first + decided.len()].into());
                let prefers = prefer.get(first + decided.len()).copied().flatten();
                let person = Person { learned, prefers, ..known.person };
                decided.push(Decided::from(self.planner.decide(&person, None)));
            };
            tell(&recipients[some], &permissions, history, each);
            decided
        };
        Ok(tokio::task::spawn_blocking(decide).await?)
    }
}

/// Values of which few stand in many rows.
#[derive(Debug)]
struct Table<T> {
    places: HashMap<T, u32>,
    values: Vec<T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { places: HashMap::new(), values: Vec::new() }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Table<T> {
    /// The place of a value, counted from 1.
    fn place(&mut self, value: T) -> u32 {
        if let Some(place) = self.places.get(&value) {
            return *place;
        }
        self.values.push(value.clone());
        let place = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        self.places.insert(value, place);
        place
    }

    fn get(&self, place: u32) -> Option<&T> {
        self.values.get(place.checked_sub(1)? as usize)
    }
}
