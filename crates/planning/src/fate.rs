//! What a campaign means for one contact: whether they get it, which variant, and when; or why not.
//!
//! *Invariant:* whether a contact is in a test never depends on the variant they would get: who may not get each of the variants
//! gets none, or the variants would be compared on different people.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use control::Permission;
use experiment::{Assigner, in_layer, in_share};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use policy::{
    ConsentFact, ContactFacts, ContactZone, Decision, Explanation, MessageFacts, Rules, Schedule, Sender, SentFact, Suppression,
    Why, Window,
};
use vocabulary::{
    Campaign, Channel, Contact, ContactKey, Experiment, Mode, PREFERRED_CHANNEL, SendHour, Variant, VariantName, Weekday,
};

use crate::Brief;
use crate::hours::{Habits, LearnedHour};

/// What decides about a contact, borrowed from whoever keeps it.
#[derive(Debug, Clone, Copy)]
pub struct Person<'a> {
    /// Who.
    pub key: ContactKey,
    /// ISO 3166 alpha-2 country.
    pub country: Option<&'a str>,
    /// ISO 3166-2 part of the country, such as `US-FL`.
    pub region: Option<&'a str>,
    /// IANA time zone.
    pub time_zone: Option<&'a str>,
    /// Whether the time zone was not told, but follows from where they are.
    pub is_zone_derived: bool,
    /// The channels for which there is an address.
    pub channels: &'a [Channel],
    /// Consents given and withdrawn, in any order.
    pub consents: &'a [ConsentFact],
    /// Entries of the suppression list, in any order.
    pub suppressions: &'a [Suppression],
    /// What they were sent in the last [`policy::SENDS_HOURS`] hours, in any order.
    pub sends: &'a [SentFact<'a>],
    /// The hour that was learned, where the campaign asks for it.
    pub learned: Option<LearnedHour>,
    /// The channel they want to be written to by, where the campaign goes by several.
    pub prefers: Option<Channel>,
}

impl<'a> Person<'a> {
    /// What is known of a contact.
    #[must_use]
    pub fn of(contact: &'a Contact, permission: &'a Permission, sends: &'a [SentFact<'a>]) -> Self {
        Self {
            key: contact.key,
            country: contact.profile.country.as_deref(),
            region: contact.profile.region.as_deref(),
            time_zone: contact.time_zone(),
            is_zone_derived: contact.derived_time_zone.is_some(),
            channels: &contact.channels,
            consents: &permission.consents,
            suppressions: &permission.suppressions,
            sends,
            learned: None,
            prefers: preferred(contact),
        }
    }

    /// Hands what is known to `ask`, in the form of the rules.
    pub fn facts<T>(&self, ask: impl FnOnce(&ContactFacts<'_>) -> T) -> T {
        let zone = self.time_zone.and_then(|name| TimeZone::get(name).ok());
        let region = self.region.and_then(|region| region.split_once('-'));
        ask(&ContactFacts {
            key: self.key,
            country: self.country,
            region: region.filter(|(country, _)| Some(*country) == self.country).map(|(_, part)| part),
            zone: zone.as_ref().map(|zone| ContactZone { zone, is_derived: self.is_zone_derived }),
            consents: self.consents,
            suppressions: self.suppressions,
            sends: self.sends,
        })
    }
}

/// What becomes of a contact in a campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// They get a message.
    Send {
        /// The variant they were assigned; `None` where the recommended one is taken when the message leaves.
        variant: Option<VariantName>,
        /// When it is to leave.
        due: Timestamp,
        /// By which channel.
        channel: Channel,
        /// The rule that put it off beyond the time it was meant for, if one did.
        moved: Option<Why>,
    },
    /// They get none.
    LeftOut(LeftOut),
}

/// Why a contact gets no message. [`fmt::Display`] makes a sentence of it, without a full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeftOut {
    /// The campaign goes to a share of its audience only, and they are not in it.
    Share,
    /// The experiment has a part of its layer to itself, and they are not in it.
    Layer,
    /// They are not in the campaign's audience.
    Audience,
    /// The campaign is triggered, and no trigger named them.
    NoEntry,
    /// They entered and are held out, so that the trigger's effect can be measured.
    HeldOut,
    /// They entered and did what takes out before the message left.
    Exited,
    /// There is no address for any of the channels.
    NoAddress(Arc<[Channel]>),
    /// A rule refuses it, for the variant named.
    Rule {
        /// The rule and what it said.
        why: Why,
        /// The first of the variants that it refuses, which need not be the one they would get.
        variant: VariantName,
    },
}

impl LeftOut {
    /// The name of the rule and its version.
    #[must_use]
    pub fn rule(&self) -> (&str, u32) {
        match self {
            Self::Share => ("campaign/share", 1),
            Self::Layer => ("experiment/layer", 1),
            Self::Audience => ("campaign/audience", 1),
            Self::NoEntry => ("trigger/entry", 1),
            Self::HeldOut => ("trigger/holdout", 1),
            Self::Exited => ("trigger/exit", 1),
            Self::NoAddress(_) => ("contact/address", 1),
            Self::Rule { why, .. } => (&why.rule, why.version),
        }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share => f.write_str("the campaign goes to a share of its audience, and the contact is not in it"),
            Self::Layer => f.write_str("the experiment has a part of its layer to itself, and the contact is in another one"),
            Self::Audience => f.write_str("the contact is not in the campaign's audience"),
            Self::NoEntry => f.write_str("no trigger has named the contact for this campaign"),
            Self::HeldOut => f.write_str("the contact entered and is held out, so that the effect can be measured"),
            Self::Exited => f.write_str("the contact entered and did what takes out before the message left"),
            Self::NoAddress(channels) => {
                let names: Vec<&str> = channels.iter().map(|channel| channel.as_str()).collect();
                write!(f, "the contact has no address for {}", names.join(" or "))
            }
            Self::Rule { why, .. } => why.because.fmt(f),
        }
    }
}

/// The rules' answers for one variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The variant.
    pub variant: VariantName,
    /// By which channel.
    pub channel: Channel,
    /// What it was meant for.
    pub due: Timestamp,
    /// The answers.
    pub explanation: Explanation,
}

/// One variant as the rules see it.
struct Arm {
    variant: Variant,
    content: String,
}

/// One contact who is decided about.
struct Turn<'a> {
    /// When each variant is meant to leave.
    dues: &'a [Timestamp],
    /// The place of the variant they were assigned; `None` where the recommended one is taken.
    own: Option<usize>,
    /// Whether all variants that leave at one time by one channel are one message to the rules.
    is_one: bool,
    /// The first moment at which anything leaves.
    start: Timestamp,
    permitted: Vec<Permitted>,
}

/// What the rules permit of one contact.
struct Permitted {
    channel: Channel,
    meant_for: Timestamp,
    due: Timestamp,
    /// The rule that put it off.
    moved: Option<Why>,
}

/// A campaign made ready to decide about contacts, on as many threads as there are.
pub struct Planner {
    brief: Arc<Brief>,
    rules: Arc<Rules>,
    assigner: Option<Assigner>,
    arms: Vec<Arm>,
    /// When the plan is made.
    now: Timestamp,
    /// The channels of the campaign.
    chain: Arc<[Channel]>,
    /// The hour of those for whom none was learned, where one is asked for.
    hour_default: u8,
    /// Whether any variant's hour is learned.
    learns: bool,
    /// For each time zone that was met, `""` for none, when each variant is meant to leave: few zones stand in many contacts.
    clocks: RwLock<HashMap<String, Clock>>,
}

/// When each variant is meant to leave in one time zone, by the hour that was learned; last where none was.
type Clock = [Option<Arc<[Timestamp]>>; 25];

impl fmt::Debug for Planner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Planner").field("campaign", &self.brief.campaign.campaign).field("now", &self.now).finish_non_exhaustive()
    }
}

impl Planner {
    /// Prepares a checked campaign at `now`.
    #[must_use]
    pub fn new(brief: Arc<Brief>, rules: Arc<Rules>, now: Timestamp) -> Self {
        let Brief { campaign, experiment, .. } = &*brief;
        let arm = |variant: &Variant| Arm { variant: variant.clone(), content: content_id(experiment, variant) };
        Self {
            assigner: (campaign.mode == Mode::Test).then(|| Assigner::new(experiment, brief.draw())),
            arms: brief.variants().map(arm).collect(),
            chain: campaign.chain().into(),
            hour_default: Habits::none(campaign).default_hour(),
            learns: brief.learns(),
            now,
            clocks: RwLock::default(),
            rules,
            brief,
        }
    }

    /// Decides about one contact of the audience. `entered` is when an entry of a trigger was due, which may be long ago: then the
    /// message is meant for that time.
    #[must_use]
    pub fn decide(&self, person: &Person<'_>, entered: Option<Timestamp>) -> Fate {
        // Content decides only where somebody got it: to everybody else, what leaves at one time by one channel is one message.
        let is_content_new = person.sends.iter().all(|sent| sent.content.is_none());
        self.settle(person, entered, is_content_new, |contact, message, _, _| self.rules.decide(contact, message, self.now))
    }

    /// The same decision with the answers of the rules, for each variant that was asked about.
    #[must_use]
    pub fn explain(&self, person: &Person<'_>, entered: Option<Timestamp>) -> (Fate, Vec<Asked>) {
        let mut asked = Vec::new();
        let fate = self.settle(person, entered, false, |contact, message, variant, due| {
            let explanation = self.rules.explain(contact, message, self.now);
            let decision = explanation.decision.clone();
            asked.push(Asked { variant: variant.clone(), channel: message.channel, due, explanation });
            decision
        });
        (fate, asked)
    }

    fn settle(
        &self,
        person: &Person<'_>,
        entered: Option<Timestamp>,
        is_one: bool,
        mut ask: impl FnMut(&ContactFacts<'_>, &MessageFacts<'_>, &VariantName, Timestamp) -> Decision,
    ) -> Fate {
        let campaign = &self.brief.campaign;
        if !in_share(&campaign.campaign, person.key, campaign.share) {
            return Fate::LeftOut(LeftOut::Share);
        }
        // Those who follow what is recommended are in no test.
        let layer = self.brief.experiment.layer.as_ref().filter(|_| campaign.mode == Mode::Test);
        if layer.is_some_and(|layer| !in_layer(layer, person.key)) {
            return Fate::LeftOut(LeftOut::Layer);
        }
        let unreachable = |channel: &Channel| !person.channels.contains(channel);
        if let Some(own) = self.arms.iter().filter_map(|arm| arm.variant.channel).find(unreachable) {
            return Fate::LeftOut(LeftOut::NoAddress([own].into()));
        }
        let takes_any = self.arms.iter().any(|arm| arm.variant.channel.is_none());
        if takes_any && campaign.chain().iter().all(unreachable) {
            return Fate::LeftOut(LeftOut::NoAddress(self.chain.clone()));
        }
        let assigned = self.assigner.as_ref().map(|assigner| assigner.assign(person.key).variant);
        let dues = match entered {
            None => self.dues(person.time_zone, person.learned),
            Some(entered) => self.dues_from(entered, person.time_zone, person.learned),
        };
        let own = assigned.and_then(|assigned| self.arms.iter().position(|arm| arm.variant.name == *assigned));
        let mut turn = Turn { dues: &dues, own, is_one, start: self.start(entered.unwrap_or(self.now)), permitted: Vec::new() };
        let refused = person.facts(|contact| {
            let mut refused = None;
            for channel in campaign.chain_for(person.prefers).filter(|channel| !takes_any || !unreachable(channel)) {
                match self.permit(&mut turn, channel, |message, variant, due| ask(contact, message, variant, due)) {
                    Ok(chosen) => return Ok(chosen),
                    Err((why, is_final)) => {
                        // What is told is why the message does not go by the channel that was wanted most.
                        let why = refused.take().unwrap_or(why);
                        if is_final || !takes_any {
                            return Err(why);
                        }
                        refused = Some(why);
                    }
                }
            }
            Err(refused.unwrap_or_else(|| LeftOut::NoAddress(self.chain.clone())))
        });
        match refused {
            Err(why) => Fate::LeftOut(why),
            Ok((due, channel, moved)) => Fate::Send { variant: assigned.cloned(), due, channel, moved },
        }
    }

    /// Asks about every variant; when the contact's own leaves, by which channel, and what put it off. An error is the first refusal, and
    /// whether no other channel could help.
    ///
    /// One channel for all variants that have none of their own, chosen before anybody looks at the assigned one: a test of copies is not
    /// to become one of channels. What is refused by one may be permitted by the next.
    fn permit(
        &self,
        turn: &mut Turn<'_>,
        channel: Channel,
        mut ask: impl FnMut(&MessageFacts<'_>, &VariantName, Timestamp) -> Decision,
    ) -> Result<(Timestamp, Channel, Option<Why>), (LeftOut, bool)> {
        let mut chosen = (turn.start, channel, None);
        for (place, (Arm { variant, content }, meant_for)) in self.arms.iter().zip(turn.dues.iter().copied()).enumerate() {
            let channel = variant.channel.unwrap_or(channel);
            let is_same = |known: &Permitted| (known.channel, known.meant_for) == (channel, meant_for);
            let known = turn.permitted.iter().position(is_same).filter(|_| turn.is_one);
            let known = match known {
                Some(known) => known,
                None => {
                    let mut message = message_facts(&self.brief.campaign, channel, content);
                    message.schedule = Some(Schedule::At(meant_for));
                    let (due, moved) = match ask(&message, &variant.name, meant_for) {
                        Decision::Refuse { why } => {
                            return Err((LeftOut::Rule { why, variant: variant.name.clone() }, variant.channel.is_some()));
                        }
                        Decision::Permit => (meant_for, None),
                        Decision::Defer { until, why } => (until, (until > meant_for).then_some(why)),
                    };
                    turn.permitted.push(Permitted { channel, meant_for, due, moved });
                    turn.permitted.len() - 1
                }
            };
            if turn.own.is_none_or(|own| own == place) {
                let Permitted { due, moved, .. } = &turn.permitted[known];
                chosen = (*due, channel, moved.clone());
            }
        }
        Ok(chosen)
    }

    fn start(&self, meant_for: Timestamp) -> Timestamp {
        self.brief.campaign.start.unwrap_or(meant_for).max(meant_for)
    }

    /// When each variant is meant to leave for contacts of a time zone whose hour is the one that was learned.
    fn dues(&self, time_zone: Option<&str>, learned: Option<LearnedHour>) -> Arc<[Timestamp]> {
        let (zone, learned) = (time_zone.unwrap_or_default(), learned.filter(|_| self.learns));
        let place = learned.map_or(24, |learned| usize::from(learned.hour).min(23));
        let clocks = self.clocks.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = clocks.get(zone).and_then(|clock| clock[place].as_ref()) {
            return known.clone();
        }
        drop(clocks);
        let dues = self.dues_from(self.now, time_zone, learned);
        let mut clocks = self.clocks.write().unwrap_or_else(PoisonError::into_inner);
        clocks.entry(zone.to_owned()).or_default()[place] = Some(dues.clone());
        dues
    }

    fn dues_from(&self, meant_for: Timestamp, time_zone: Option<&str>, learned: Option<LearnedHour>) -> Arc<[Timestamp]> {
        let start = self.start(meant_for);
        let hour = |arm: &Arm| match self.brief.send_hour(&arm.variant)? {
            SendHour::At(hour) => Some(hour),
            SendHour::Learned => Some(learned.map_or(self.hour_default, |learned| learned.hour)),
        };
        self.arms.iter().map(|arm| due(start, arm.variant.send_day, hour(arm), time_zone)).collect()
    }
}

/// What the rules are told of a message of this campaign, without its text and time.
#[must_use]
pub fn message_facts<'a>(campaign: &'a Campaign, channel: Channel, content: &'a str) -> MessageFacts<'a> {
    // A mailbox is no sender of text messages.
    let from = if channel == Channel::Email { campaign.from.as_str() } else { "" };
    MessageFacts {
        content: Some(content),
        sender: Some(Sender { id: from, registered_in: &[], entity: None }),
        ends: campaign.ends,
        window: campaign.window.as_deref().and_then(|window| window.parse::<Window>().ok()),
        ..MessageFacts::new(campaign.class, channel)
    }
}

/// The channel by which a contact wants to be written to, as their attribute says.
#[must_use]
pub fn preferred(contact: &Contact) -> Option<Channel> {
    contact.profile.attributes.get(PREFERRED_CHANNEL)?.parse().ok()
}

/// The name under which the rules know the content that a variant of this experiment sends, so that the same one is the same in a
/// test and in what follows from it. `None` where the experiment has no such variant.
#[must_use]
pub fn content_of(experiment: &Experiment, variant: &str) -> Option<String> {
    let variant = experiment.variants.iter().find(|known| known.name.as_str() == variant)?;
    Some(content_id(experiment, variant))
}

/// The content of a message that was sent for some experiment, where that is this one: no other has the same contents.
#[must_use]
pub fn content_of_sent(experiment: &Experiment, of: Option<&str>, variant: Option<&str>) -> Option<String> {
    let is_own = of == Some(experiment.experiment.as_str());
    content_of(experiment, variant.filter(|_| is_own)?)
}

pub(crate) fn content_id(experiment: &Experiment, variant: &Variant) -> String {
    format!("{}/{}", experiment.experiment, variant.copy_name())
}

/// A day of each name lies within so many days, also where a country left one out to move over the date line.
const DAYS_AHEAD: i64 = 15;

/// The first time at or after `start` when it is `hour` o'clock on a `day` of that name in `time_zone` (UTC where unknown): on any day
/// where none is named, and from the first moment of the day on where there is no hour. An hour that daylight saving skips becomes the
/// next one that exists.
#[must_use]
pub fn due(start: Timestamp, day: Option<Weekday>, hour: Option<u8>, time_zone: Option<&str>) -> Timestamp {
    let is_day = |date: Date| day.is_none_or(|day| date.weekday() == day.into());
    let zone = time_zone.and_then(|name| TimeZone::get(name).ok()).unwrap_or(TimeZone::UTC);
    let today = start.to_zoned(zone.clone()).date();
    if hour.is_none() && is_day(today) {
        return start;
    }
    let days = (0..DAYS_AHEAD).filter_map(|days| today.checked_add(days.days()).ok()).filter(|date| is_day(*date));
    let at = |date: Date| date.at(hour.unwrap_or_default().cast_signed(), 0, 0, 0).to_zoned(zone.clone()).ok();
    let mut moments = days.filter_map(at).filter(|local| is_day(local.date())).map(|local| local.timestamp());
    moments.find(|moment| *moment >= start).unwrap_or(start)
}

#[cfg(test)]
#[path = "fate_tests.rs"]
mod tests;
