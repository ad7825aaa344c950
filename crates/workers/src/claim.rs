//! Claims a group of a plan and asks the rules once more, with what is known at this moment: what was permitted when the plan
//! was made may not be any more.
//!
//! The claim comes first and the facts after it, so that of two campaigns that claim one contact at the same moment each sees
//! the other's claim, and the earlier goes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use content::{Library, Slots};
use control::{DrawnCoupon, Lease, LedgerState, NewClaim, Permission, RecipientRow, SentRow};
use experiment::{Advice, Guidance};
use jiff::{Timestamp, ToSpan};
use lake::PlanRow;
use planning::{Person, content_of, content_of_sent, message_facts, preferred};
use policy::{Decision, SENDS_HOURS, Schedule, SentFact};
use tokio::sync::watch;
use vocabulary::{
    Asker, Campaign, Channel, ContactKey, CouponCode, CouponPool, Experiment, MessageId, Money, Offer, Provider, Recommendation,
    RecommendationId, Variant, VariantName,
};

use crate::warm_up::Full;
use crate::{Sending, WorkerError};

/// A campaign made ready for sending.
pub(crate) struct Job {
    pub(crate) plan_version: u32,
    pub(crate) campaign: Campaign,
    pub(crate) experiment: Experiment,
    /// By channel.
    pub(crate) libraries: BTreeMap<Channel, Library>,
    /// See [`pools`].
    pub(crate) pools: BTreeMap<String, CouponPool>,
    /// The address of `campaign.from` alone.
    pub(crate) from: String,
    pub(crate) cost: Option<Money>,
    /// What is recommended, as it changes.
    pub(crate) guidance: watch::Receiver<Option<Arc<Guidance>>>,
    /// Whether it was logged that no recommendation holds.
    pub(crate) warned: AtomicBool,
}

impl Job {
    /// The pool that a variant's coupon is drawn from; none where its copy asks for none.
    pub(crate) fn pool_of(&self, variant: &Variant) -> Option<&CouponPool> {
        self.pools.get(variant.copy_name())
    }

    /// Who is asked about when a recommended variant is looked for.
    pub(crate) fn asker<'a>(&'a self, market: Option<&'a str>, locale: Option<&'a str>) -> Asker<'a> {
        Asker { market, locale, segment: self.campaign.segment.as_deref() }
    }

    /// Says once in the log that the control is sent because no recommendation holds; the campaign's status counts each message.
    pub(crate) fn warn_of_fallback(&self, advice: &Advice<'_>) {
        let Some(why) = advice.fallback() else { return };
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(campaign = %self.campaign.campaign, %why, "falling back to the control");
        }
    }

    /// The channel of a message: its variant's, else the planned one.
    fn channel_of(&self, row: &PlanRow, variant: Option<&VariantName>) -> Channel {
        let own = variant.and_then(|name| self.experiment.variant(name)?.channel);
        own.or(row.channel).unwrap_or(self.campaign.chain()[0])
    }
}

/// The pools of a campaign's copies that ask for a coupon, by the copy's name.
pub(crate) fn pools(campaign: &Campaign, libraries: &BTreeMap<Channel, Library>) -> BTreeMap<String, CouponPool> {
    let asking = campaign.content.keys().filter(|copy| content::use_coupon(libraries, copy));
    asking.filter_map(|copy| Some((copy.clone(), campaign.pool_of(copy)?.clone()))).collect()
}

/// One message on its way.
pub(crate) struct Outgoing {
    pub(crate) message_id: MessageId,
    pub(crate) channel: Channel,
    pub(crate) recipient: RecipientRow,
    pub(crate) address: String,
    pub(crate) planned: Option<VariantName>,
    /// The market it was planned for.
    pub(crate) market: Option<String>,
    /// The products it shows.
    pub(crate) slots: Slots,
    /// What was rendered last, at the moment of handing over.
    pub(crate) sent: Option<(VariantName, Option<Arc<Recommendation>>)>,
    /// Why it was taken back at that moment.
    pub(crate) dropped: Option<Dropped>,
    /// The pool that was asked when it was claimed, and the code it gave, if it had one.
    pub(crate) coupon: Option<(CouponPool, Option<CouponCode>)>,
    /// When it was due; at the same hour today where it waited for its warm-up since.
    pub(crate) due: Option<Timestamp>,
    permission: Permission,
    sends: Vec<SentRow>,
}

impl Outgoing {
    /// Whether it carried the control because no recommendation held.
    pub(crate) fn is_fallback(&self) -> bool {
        self.planned.is_none() && matches!(self.sent, Some((_, None)))
    }

    /// The provider that the variant which was rendered goes by, if it names one.
    pub(crate) fn provider(&self, job: &Job) -> Option<Provider> {
        let (variant, _) = self.sent.as_ref()?;
        job.experiment.variant(variant)?.provider.clone()
    }

    /// What was sent, or would have been, and the recommendation that was followed.
    pub(crate) fn variant_and_recommendation(&self) -> (Option<VariantName>, Option<RecommendationId>) {
        match &self.sent {
            Some((variant, recommendation)) => {
                (Some(variant.clone()), recommendation.as_ref().map(|followed| followed.id.clone()))
            }
            None => (self.planned.clone(), None),
        }
    }
}

/// Why a claimed message is not offered.
#[derive(Debug)]
pub(crate) enum Dropped {
    /// It cannot be made.
    Broken(String),
    /// It must not be sent, or cannot.
    Against(String),
    /// It must not be sent before.
    Until(Timestamp),
    /// It could be sent, and its recipient is held out.
    HeldOut,
}

/// A group after it was claimed.
pub(crate) struct Claimed {
    /// What is to be handed over now.
    pub(crate) outgoing: Vec<Outgoing>,
    /// What was claimed and is not to be handed over.
    pub(crate) dropped: Vec<(MessageId, Dropped)>,
    /// What was claimed and may have been handed over before the store was brought back from a backup.
    pub(crate) restored: Vec<MessageId>,
}

/// Takes the group's messages for who holds the lease, less those that are taken, and asks the rules about each.
pub(crate) async fn claim(parts: &Sending, lease: &Lease, job: &Job, rows: &[PlanRow]) -> Result<Claimed, WorkerError> {
    let now = parts.clock.now();
    let guidance = job.guidance.borrow().clone();
    let locales = locales(parts, guidance.as_deref(), rows).await?;
    let recommended = |row: &PlanRow| {
        let asker = job.asker(row.market.as_deref(), locales.get(&row.contact).map(String::as_str));
        let guidance = guidance.as_deref().filter(|_| row.variant.is_none())?;
        Some(guidance.advice(asker, now).pick(row.contact).variant.clone())
    };
    // What was due before the store was brought back is not sent, so no code is drawn for it.
    let restored_at = parts.control.restored_at();
    let is_old = |row: &PlanRow| restored_at.is_some_and(|moment| row.due.is_some_and(|due| due <= moment));
    let are_old: Vec<bool> = rows.iter().map(is_old).collect();
    let new_claim = |(row, is_old): (&PlanRow, &bool)| {
        let claim = new_claim(job, row, recommended(row).as_ref());
        if *is_old { NewClaim { coupon_pool: None, ..claim } } else { claim }
    };
    let claims: Vec<NewClaim> = rows.iter().zip(&are_old).map(new_claim).collect();
    let taken = parts.control.claim_leased(lease, &claims, now).await?;
    let is_taken: HashSet<&MessageId> = taken.iter().collect();
    let (mut restored, mut cases) = (Vec::new(), Vec::with_capacity(taken.len()));
    for ((row, claim), is_old) in rows.iter().zip(claims).zip(are_old) {
        match is_taken.contains(&claim.message_id) {
            true if is_old => restored.push(claim.message_id),
            true => cases.push(Case { row, channel: claim.channel, claim, refused: Vec::new() }),
            false => {}
        }
    }
    match judge_all(parts, job, cases, now).await {
        Ok(claimed) => Ok(Claimed { restored, ..claimed }),
        Err(error) => {
            // Nothing was handed over; who comes next tries again.
            parts.control.release(&taken).await?;
            Err(error)
        }
    }
}

/// The languages of a group's contacts, where a recommendation that they may follow looks at it.
async fn locales(
    parts: &Sending,
    guidance: Option<&Guidance>,
    rows: &[PlanRow],
) -> Result<HashMap<ContactKey, String>, WorkerError> {
    let looks = |guidance: &Guidance| guidance.recommendations().any(|made| made.scope.locale.is_some());
    let open = rows.iter().filter(|row| row.variant.is_none()).map(|row| row.contact);
    let keys: Vec<ContactKey> = if guidance.is_some_and(looks) { open.collect() } else { Vec::new() };
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let found = parts.control.recipients(&keys).await?.into_iter().map(|row| row.contact);
    Ok(found.filter_map(|contact| Some((contact.key, contact.profile.language?))).collect())
}

/// A claimed message that is judged.
struct Case<'r> {
    row: &'r PlanRow,
    claim: NewClaim,
    /// The channel it is to go by.
    channel: Channel,
    /// The channels by which it cannot go, and why.
    refused: Vec<(Channel, String)>,
}

/// Asks the rules about messages. What they refuse by one channel goes by the next of the campaign's, if it may: the ledger is told
/// first and the facts are read again, so that whoever claims a message to the same contact meanwhile sees it where it goes.
async fn judge_all(parts: &Sending, job: &Job, mut cases: Vec<Case<'_>>, now: Timestamp) -> Result<Claimed, WorkerError> {
    let mut all = Claimed { outgoing: Vec::new(), dropped: Vec::new(), restored: Vec::new() };
    while !cases.is_empty() {
        let facts = Facts::read(parts, job, &cases, now).await?;
        cases = judge(parts, job, cases, &facts, &mut all);
        let rerouted: Vec<(MessageId, Channel)> =
            cases.iter().map(|case| (case.claim.message_id.clone(), case.channel)).collect();
        parts.control.reroute(&rerouted).await?;
    }
    Ok(all)
}

fn new_claim(job: &Job, row: &PlanRow, recommended: Option<&VariantName>) -> NewClaim {
    let variant = row.variant.as_ref().or(recommended);
    NewClaim {
        contact: row.contact,
        step: row.step.clone(),
        message_id: content::message_id(&job.campaign.campaign, row.contact, row.step.as_ref()),
        experiment_id: job.experiment.experiment.clone(),
        channel: job.channel_of(row, variant),
        variant: variant.cloned(),
        market: row.market.clone(),
        class: job.campaign.class,
        // Who is held out gets no code.
        coupon_pool: variant
            .and_then(|name| job.experiment.variant(name).filter(|variant| !variant.holdout))
            .and_then(|variant| job.pool_of(variant))
            .cloned(),
    }
}

/// What is known of the group's contacts.
struct Facts {
    recipients: HashMap<ContactKey, RecipientRow>,
    permissions: HashMap<ContactKey, Permission>,
    sends: HashMap<ContactKey, Vec<SentRow>>,
    full: Full,
    coupons: HashMap<MessageId, Vec<DrawnCoupon>>,
    /// The products that their messages may show.
    offers: HashMap<String, Arc<Offer>>,
}

impl Facts {
    async fn read(parts: &Sending, job: &Job, cases: &[Case<'_>], now: Timestamp) -> Result<Self, WorkerError> {
        let keys: Vec<ContactKey> = cases.iter().map(|case| case.row.contact).collect();
        let since = now.checked_sub(SENDS_HOURS.hours()).unwrap_or(now);
        let mut recipients = HashMap::with_capacity(keys.len());
        let rules = parts.rules.current();
        for mut row in parts.control.recipients(&keys).await? {
            rules.derive_time_zone(&mut row.contact);
            recipients.insert(row.contact.key, row);
        }
        let permissions = parts.control.permissions(&keys, None).await?;
        let mut sends: HashMap<ContactKey, Vec<SentRow>> = HashMap::new();
        for row in parts.control.sent_since(&keys, since).await? {
            sends.entry(row.contact).or_default().push(row);
        }
        let full = Full::of(parts, &job.from).await?;
        let with_coupon = cases.iter().map(|case| &case.claim).filter(|claim| claim.coupon_pool.is_some());
        let with_coupon: Vec<MessageId> = with_coupon.map(|claim| claim.message_id.clone()).collect();
        let mut coupons: HashMap<MessageId, Vec<DrawnCoupon>> = HashMap::new();
        if !with_coupon.is_empty() {
            for drawn in parts.control.coupons_of(&with_coupon).await? {
                coupons.entry(drawn.message_id.clone()).or_default().push(drawn);
            }
        }
        let products = Slots::products(&job.campaign.slots, cases.iter().map(|case| &case.row.picks));
        let offers = parts.control.offers(products.into_iter()).await?;
        Ok(Self { recipients, permissions, sends, full, coupons, offers })
    }
}

/// Sorts messages into those that go, those that do not, and, given back, those that are to be asked about for their next channel.
fn judge<'r>(parts: &Sending, job: &Job, cases: Vec<Case<'r>>, facts: &Facts, all: &mut Claimed) -> Vec<Case<'r>> {
    let mut again = Vec::new();
    for mut case in cases {
        let message_id = case.claim.message_id.clone();
        let recipient = facts.recipients.get(&case.row.contact).cloned();
        let prefers = recipient.as_ref().and_then(|recipient| preferred(&recipient.contact));
        let reached =
            recipient.and_then(|mut recipient| recipient.addresses.remove(&case.channel).map(|address| (recipient, address)));
        let variant = case.claim.variant.as_ref().and_then(|name| job.experiment.variant(name));
        let why = match reached {
            None => {
                let since = if case.refused.is_empty() { " any more" } else { "" };
                Some(Dropped::Against(format!("the contact has no address{since}")))
            }
            Some((recipient, address)) => {
                let out = outgoing(parts, job, &case, recipient, address, facts);
                match variant.and_then(|variant| against(parts, job, &out, variant, None)) {
                    Some(why) => Some(why),
                    None => {
                        all.outgoing.push(out);
                        None
                    }
                }
            }
        };
        match why {
            None => {}
            Some(Dropped::Against(why)) => {
                case.refused.push((case.channel, why));
                let is_free = variant.is_none_or(|variant| variant.channel.is_none());
                let mut chain = job.campaign.chain_for(prefers).filter(|_| is_free);
                match chain.find(|channel| case.refused.iter().all(|(tried, _)| tried != channel)) {
                    Some(next) => again.push(Case { channel: next, ..case }),
                    None => all.dropped.push((message_id, Dropped::Against(reasons(case.refused)))),
                }
            }
            Some(why) => all.dropped.push((message_id, why)),
        }
    }
    again
}

/// Why a message goes by none of its channels.
fn reasons(mut refused: Vec<(Channel, String)>) -> String {
    if refused.len() == 1 {
        return refused.remove(0).1;
    }
    let each = refused.into_iter().map(|(channel, why)| format!("by {channel}: {why}"));
    each.collect::<Vec<_>>().join("; ")
}

fn outgoing(parts: &Sending, job: &Job, case: &Case<'_>, recipient: RecipientRow, address: String, facts: &Facts) -> Outgoing {
    let (row, message_id) = (case.row, case.claim.message_id.clone());
    let mut sends = facts.sends.get(&row.contact).cloned().unwrap_or_default();
    let own = sends.iter().find(|sent| sent.message_id == message_id).map(|sent| sent.number);
    // Who claimed later may have been judged before this message came to their channel, so that here all claims count.
    let own = own.filter(|_| case.refused.is_empty());
    sends.retain(|sent| sent.message_id != message_id && counts(sent, own));
    let permission = facts.permissions.get(&row.contact).cloned().unwrap_or_default();
    let (channel, planned) = (case.channel, row.variant.clone());
    let due = match channel {
        Channel::Email => row.due.map(|due| facts.full.due(parts, due, &address, parts.clock.now())),
        _ => row.due,
    };
    let coupon = case.claim.coupon_pool.clone().map(|pool| {
        let drawn = facts.coupons.get(&message_id).into_iter().flatten().find(|drawn| drawn.pool == pool);
        (pool, drawn.map(|drawn| drawn.code.clone()))
    });
    let slots = Slots::fill(&job.campaign.slots, &row.picks, &facts.offers);
    let (market, sent, dropped) = (row.market.clone(), None, None);
    Outgoing { message_id, channel, recipient, address, planned, market, slots, sent, dropped, coupon, due, permission, sends }
}

/// Whether another message counts for the caps of the own one: of those that are only claimed so far, the earlier ones do.
fn counts(sent: &SentRow, own: Option<i64>) -> bool {
    sent.state != LedgerState::Claimed || own.is_none_or(|own| sent.number < own)
}

/// What the rules have against a message now, if anything. Its text is known at the moment of handing over.
pub(crate) fn against(parts: &Sending, job: &Job, out: &Outgoing, variant: &Variant, text: Option<&str>) -> Option<Dropped> {
    let content = content_of(&job.experiment, variant.name.as_str());
    let content_of_sent = |sent: &SentRow| {
        let variant = sent.variant.as_ref().map(VariantName::as_str);
        content_of_sent(&job.experiment, Some(sent.experiment_id.as_str()), variant)
    };
    let contents: Vec<Option<String>> = out.sends.iter().map(content_of_sent).collect();
    let sends: Vec<SentFact<'_>> = out.sends.iter().zip(&contents).map(|(sent, content)| sent_fact(sent, content)).collect();
    let person = Person::of(&out.recipient.contact, &out.permission, &sends);
    let mut message = message_facts(&job.campaign, out.channel, content.as_deref().unwrap_or_default());
    message.schedule = out.due.map(Schedule::At);
    message.text = text;
    match person.facts(|contact| parts.rules.current().decide(contact, &message, parts.clock.now())) {
        Decision::Permit => None,
        Decision::Defer { until, .. } => Some(Dropped::Until(until)),
        Decision::Refuse { why } => Some(Dropped::Against(why.to_string())),
    }
}

fn sent_fact<'a>(sent: &SentRow, content: &'a Option<String>) -> SentFact<'a> {
    SentFact { at: sent.at, channel: sent.channel, class: sent.class, content: content.as_deref() }
}
