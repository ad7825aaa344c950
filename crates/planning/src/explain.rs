//! Why somebody gets a message of a campaign, or gets none: what the plan says, and every rule with its input and answer.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use control::{CampaignRow, EntryRow, PlanInForce};
use jiff::Timestamp;
use lake::{PlanRow, PlanRows, Recipient, Traits};
use policy::Rules;
use triggers::Outcome;
use vocabulary::{Campaign, Channel, Contact, ContactKey, Step};

use crate::draft::{Decided, HABITS};
use crate::fate::{Asked, Fate, LeftOut, Person, Planner, preferred};
use crate::hours::{Habits, Learned, habits_since};
use crate::{Brief, PlanningError, Sources};

/// What becomes of one contact in a campaign, and why.
#[derive(Debug)]
pub struct Explained {
    /// Who.
    pub contact: ContactKey,
    /// The moment of which it tells: that of the plan, else now.
    pub at: Timestamp,
    /// The number of the plan that is told of: the one in force; of a triggered campaign the one their newest entry went into.
    pub plan: Option<u32>,
    /// Which of the campaign's messages to the contact it is, where there may be several: the newest.
    pub step: Option<Step>,
    /// What the plan says; `None` without a plan or where the contact was not in its audience.
    pub planned: Option<PlanRow>,
    /// What the rules say of that moment, with what is known of it now.
    pub decided: PlanRow,
    /// The hour that was learned for them, where the campaign has a variant that leaves at it.
    pub learned: Option<Learned>,
    /// The rules' answers, for each variant that they were asked about.
    pub asked: Vec<Asked>,
}

/// The row of a plan that a decision makes.
#[must_use]
pub fn plan_row(contact: &Recipient, step: Option<Step>, fate: Fate) -> PlanRow {
    PlanRow { step, ..Decided::from(fate).row(contact) }
}

/// Explains a campaign's decisions about contacts, one for each that is known, in the order given. Where there is a plan, what is told
/// of it is what was known when it was made, less what was overwritten since: a contact's country, a suppression that was said again.
///
/// # Errors
/// [`PlanningError::Campaign`] where the campaign cannot be planned as it is.
pub async fn explain(
    from: Sources<'_>,
    rules: &Arc<Rules>,
    row: CampaignRow,
    contacts: &[ContactKey],
    now: Timestamp,
) -> Result<Vec<Explained>, PlanningError> {
    let campaign = row.campaign;
    let cases = if campaign.triggered {
        entered(from, &campaign, contacts, now).await?
    } else {
        let plan = from.control.plan_in_force(&campaign.campaign).await?;
        vec![Case::of(from, &campaign, plan, contacts.to_vec(), HashMap::new(), now).await?]
    };
    let mut recipients = HashMap::with_capacity(contacts.len());
    let mut prefer = HashMap::new();
    for mut row in from.control.recipients(contacts).await? {
        rules.derive_time_zone(&mut row.contact);
        prefer.extend(preferred(&row.contact).map(|channel| (row.contact.key, channel)));
        recipients.insert(row.contact.key, recipient(&row.contact));
    }
    let mut explained = HashMap::with_capacity(recipients.len());
    for case in cases {
        let recipients: Vec<Recipient> = case.contacts.iter().filter_map(|key| recipients.get(key).cloned()).collect();
        for told in case.explain(from, rules, &recipients, &prefer).await? {
            explained.insert(told.contact, told);
        }
    }
    Ok(contacts.iter().filter_map(|contact| explained.remove(contact)).collect())
}

/// Contacts that were decided about at one moment.
struct Case {
    brief: Arc<Brief>,
    at: Timestamp,
    plan: Option<u32>,
    contacts: Vec<ContactKey>,
    planned: PlanRows,
    /// Who is in the audience and was not taken out.
    audience: HashSet<ContactKey>,
    /// What the plan notes of learned hours.
    habits: Option<Habits>,
    entries: HashMap<ContactKey, EntryRow>,
}

/// The cases of a triggered campaign: one for each plan that the newest entries of contacts went into, one for all others.
async fn entered(
    from: Sources<'_>,
    campaign: &Campaign,
    contacts: &[ContactKey],
    now: Timestamp,
) -> Result<Vec<Case>, PlanningError> {
    let mut entries = from.control.newest_entries(&campaign.campaign, contacts).await?;
    let mut by_plan: BTreeMap<Option<u32>, (Option<PlanInForce>, Vec<ContactKey>)> = BTreeMap::new();
    for contact in contacts {
        let plan = entries.get(contact).and_then(|entry| entry.plan.clone());
        let number = plan.as_ref().map(|plan| plan.version);
        by_plan.entry(number).or_insert_with(|| (plan, Vec::new())).1.push(*contact);
    }
    let mut cases = Vec::with_capacity(by_plan.len());
    for (plan, contacts) in by_plan.into_values() {
        let own = contacts.iter().filter_map(|contact| entries.remove_entry(contact)).collect();
        cases.push(Case::of(from, campaign, plan, contacts, own, now).await?);
    }
    Ok(cases)
}

async fn among(
    from: Sources<'_>,
    brief: &Brief,
    contacts: &[ContactKey],
    now: Timestamp,
) -> Result<HashSet<ContactKey>, PlanningError> {
    let (audience, _) = brief.audience(from, Some(contacts), now).await?;
    Ok(audience.recipients.into_iter().map(|recipient| recipient.key).collect())
}

impl Case {
    /// What was decided about contacts at once: by a plan, else as it would be now. `entries` are theirs of a triggered campaign.
    async fn of(
        from: Sources<'_>,
        campaign: &Campaign,
        plan: Option<PlanInForce>,
        contacts: Vec<ContactKey>,
        entries: HashMap<ContactKey, EntryRow>,
        now: Timestamp,
    ) -> Result<Self, PlanningError> {
        let planned_for = plan.as_ref().and_then(|plan| plan.planned_for.as_ref());
        let brief = Brief::read(from.control, campaign.clone(), planned_for, now).await?;
        let (at, planned, habits) = match &plan {
            Some(PlanInForce { file, .. }) => {
                let contacts = contacts.iter().copied().collect();
                let noted = lake::plan_notes(file)?.remove(HABITS).map(|note| serde_json::from_str(&note));
                let habits = noted.transpose().map_err(PlanningError::Habits)?;
                (lake::planned_at(file)?.unwrap_or(now), lake::find_in_plan(file, &contacts)?, habits)
            }
            None => (now, PlanRows::new(), None),
        };
        // A plan of entries names who entered, whether or not they are in the audience.
        let audience = if plan.is_some() && !campaign.triggered {
            planned.keys().map(|(contact, _)| *contact).collect()
        } else {
            among(from, &brief, &contacts, now).await?
        };
        let plan = plan.map(|plan| plan.version);
        Ok(Self { brief: Arc::new(brief), at, plan, contacts, planned, audience, habits, entries })
    }

    async fn explain(
        self,
        from: Sources<'_>,
        rules: &Arc<Rules>,
        recipients: &[Recipient],
        prefer: &HashMap<ContactKey, Channel>,
    ) -> Result<Vec<Explained>, PlanningError> {
        let contacts: Vec<ContactKey> = recipients.iter().map(|recipient| recipient.key).collect();
        let history = from.history(Some(&contacts), &self.brief.experiment, self.at).await?;
        let planner = Planner::new(self.brief.clone(), rules.clone(), self.at);
        let learned = self.learned(from, recipients, &contacts).await?;
        let mut explained = Vec::with_capacity(recipients.len());
        from.consider(recipients, &history, Some(self.at), |known| {
            let contact = known.recipient.key;
            let entry = self.entries.get(&contact);
            let learned = learned.get(&contact).copied();
            let prefers = prefer.get(&contact).copied();
            let person = Person { learned: learned.map(|learned| learned.hour), prefers, ..known.person };
            let (fate, asked) = match self.left_out(contact, entry) {
                Some(why) => (Fate::LeftOut(why), Vec::new()),
                None => planner.explain(&person, entry.map(|entry| entry.firing.firing.due)),
            };
            let step = entry.map(EntryRow::step);
            let decided = plan_row(known.recipient, step.clone(), fate);
            let planned = self.planned.get(&(contact, step.clone())).cloned();
            explained.push(Explained { contact, at: self.at, plan: self.plan, step, planned, decided, learned, asked });
        })
        .await?;
        Ok(explained)
    }

    /// The hours that were learned for contacts: with what the plan notes of their markets, else with what is known now of them.
    async fn learned(
        &self,
        from: Sources<'_>,
        recipients: &[Recipient],
        contacts: &[ContactKey],
    ) -> Result<HashMap<ContactKey, Learned>, PlanningError> {
        if !self.brief.learns() {
            return Ok(HashMap::new());
        }
        let habits = match &self.habits {
            Some(noted) => noted.clone(),
            None => {
                let (audience, _) = self.brief.audience(from, None, self.at).await?;
                from.habits(&self.brief.campaign, &Arc::new(audience.recipients), self.at).await?.0
            }
        };
        let acts = from.lake.acts(Some(contacts), habits_since(self.at), self.at).await?;
        let mut by_key = recipients.to_vec();
        by_key.sort_unstable_by_key(|recipient| recipient.key);
        let learned = habits.explain(&by_key, &acts);
        Ok(by_key.iter().map(|recipient| recipient.key).zip(learned).collect())
    }

    /// Why nobody asked the rules about a contact.
    fn left_out(&self, contact: ContactKey, entry: Option<&EntryRow>) -> Option<LeftOut> {
        match entry.map(|entry| entry.firing.firing.outcome) {
            None if self.brief.campaign.triggered => Some(LeftOut::NoEntry),
            Some(Outcome::HeldOut) => Some(LeftOut::HeldOut),
            Some(Outcome::Exited { .. }) => Some(LeftOut::Exited),
            None | Some(Outcome::Send) => (!self.audience.contains(&contact)).then_some(LeftOut::Audience),
        }
    }
}

fn recipient(contact: &Contact) -> Recipient {
    let traits = Traits {
        country: contact.profile.country.clone(),
        region: contact.profile.region.clone(),
        market: contact.profile.market().map(str::to_owned),
        time_zone: contact.time_zone().map(str::to_owned),
        is_zone_derived: contact.derived_time_zone.is_some(),
        channels: contact.channels.clone(),
    };
    Recipient { key: contact.key, traits: Arc::new(traits) }
}
