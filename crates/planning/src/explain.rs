//! Why somebody gets a message of a campaign, or gets none: what the plan says, and every rule with its input and answer.

use std::collections::{HashMap, HashSet};

use control::{CampaignRow, PlanInForce};
use jiff::Timestamp;
use lake::{PlanReason, PlanRow, Recipient};
use policy::Rules;
use vocabulary::{Contact, ContactKey};

use crate::fate::{Asked, Fate, LeftOut, Planner};
use crate::{Brief, PlanningError, Sources};

/// What becomes of contacts in a campaign, and why.
#[derive(Debug)]
pub struct Explanations {
    /// The moment of which it tells: that of the plan in force, else now.
    pub at: Timestamp,
    /// The plan in force.
    pub plan: Option<PlanInForce>,
    /// One for each contact that is known, in the order they were given.
    pub contacts: Vec<Explained>,
}

/// What becomes of one contact in a campaign, and why.
#[derive(Debug)]
pub struct Explained {
    /// Who.
    pub contact: ContactKey,
    /// What the plan in force says; `None` without a plan or where the contact was not in its audience.
    pub planned: Option<PlanRow>,
    /// What the rules say of that moment, with what is known of it now.
    pub decided: PlanRow,
    /// The rules' answers, for each variant that they were asked about.
    pub asked: Vec<Asked>,
}

/// The row of a plan that a decision makes.
#[must_use]
pub fn plan_row(contact: &Recipient, fate: Fate) -> PlanRow {
    let reason = |rule: &str, version: u32, reason: String| PlanReason { rule: rule.into(), version, reason: reason.into() };
    let (variant, due, why) = match fate {
        Fate::Send { variant, due, moved } => {
            (variant, Some(due), moved.map(|why| reason(&why.rule, why.version, why.because.to_string())))
        }
        Fate::LeftOut(why) => {
            let (rule, version) = why.rule();
            (None, None, Some(reason(rule, version, why.to_string())))
        }
    };
    PlanRow { contact: contact.key, variant, market: contact.market.clone(), due, why }
}

/// Explains a campaign's decisions about contacts. Where there is a plan, what is told of it is what was known when it was made,
/// less what was overwritten since: a contact's country, a suppression that was said again.
///
/// # Errors
/// [`PlanningError::Campaign`] where the campaign cannot be planned as it is.
pub async fn explain(
    from: Sources<'_>,
    rules: &Rules,
    row: CampaignRow,
    contacts: &[ContactKey],
    now: Timestamp,
) -> Result<Explanations, PlanningError> {
    let plan = from.control.plan_in_force(&row.campaign.campaign).await?;
    let brief = Brief::read(from.control, row.campaign, plan.as_ref().and_then(|plan| plan.planned_for.as_ref())).await?;
    let wanted: HashSet<ContactKey> = contacts.iter().copied().collect();
    let (at, mut planned) = match &plan {
        Some(plan) => (lake::planned_at(&plan.file)?.unwrap_or(now), lake::find_in_plan(&plan.file, &wanted)?),
        None => (now, HashMap::new()),
    };
    let audience: HashSet<ContactKey> = if plan.is_some() {
        planned.keys().copied().collect()
    } else {
        let (audience, _) = brief.audience(from, Some(contacts), now).await?;
        audience.recipients.into_iter().map(|recipient| recipient.key).collect()
    };
    let mut recipients = Vec::with_capacity(contacts.len());
    for mut row in from.control.recipients(contacts).await? {
        rules.derive_time_zone(&mut row.contact);
        recipients.push(recipient(&row.contact));
    }
    let history = from.history(Some(contacts), &brief.experiment, at).await?;
    let planner = Planner::new(&brief, rules, at);
    let mut explained = Vec::with_capacity(recipients.len());
    from.consider(&recipients, brief.campaign.channel, &history, Some(at), |known| {
        let contact = known.recipient.key;
        let (fate, asked) = if audience.contains(&contact) {
            planner.explain(&known.person, known.is_reachable)
        } else {
            (Fate::LeftOut(LeftOut::Audience), Vec::new())
        };
        let decided = plan_row(known.recipient, fate);
        explained.push(Explained { contact, planned: planned.remove(&contact), decided, asked });
    })
    .await?;
    Ok(Explanations { at, plan, contacts: explained })
}

fn recipient(contact: &Contact) -> Recipient {
    Recipient {
        key: contact.key,
        country: contact.profile.country.clone(),
        region: contact.profile.region.clone(),
        market: contact.profile.market().map(str::to_owned),
        time_zone: contact.time_zone().map(str::to_owned),
        is_zone_derived: contact.derived_time_zone.is_some(),
    }
}
