//! The hour at which a contact is best written to, learned from the hours in which they, and people of their market, opened and
//! clicked something themselves.
//!
//! An *act* is an hour of the contact's own clock in which they opened or clicked at least once. Acts are taken to be drawn from
//! shares of the day's 24 hours that differ between people, and whose prior is Dirichlet: empirical Bayes in two steps, with the
//! posterior mean of the multinomial's shares (Gelman et al., Bayesian Data Analysis, third edition, section 3.4):
//!
//! - market: `m_h = (N_h + MARKET_STRENGTH * d_h) / (N + MARKET_STRENGTH)`, where `N_h` are the acts of the audience's contacts of that
//!   market in hour `h`, and `d` gives the default hour [`DEFAULT_SHARE`] and the rest to all others equally;
//! - contact: `c_h = (n_h + CONTACT_STRENGTH * m_h) / (n + CONTACT_STRENGTH)`, where `n_h` are their own acts.
//!
//! The hour taken is that of the largest `c_h` among the hours that may be; of equals the earliest. Who opened twice is so not
//! known yet, and who always opens in the evening is.
//!
//! *Limit:* people open what they were sent, so habits follow past hours of sending. Whether the learned hour is better than a fixed one
//! is for a test to say, which is why a variant can have it.

use std::collections::{BTreeMap, HashMap};

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use lake::{Act, Acts, Recipient};
use serde::{Deserialize, Serialize};
use vocabulary::{Campaign, SendHour, words};

/// Acts count for so many days: long enough for a habit to show in a mail a week, short enough for it to change.
const HABIT_DAYS: i64 = 90;

/// As many acts of their own as a contact's market weighs: two for each hour of the day. An hour that its market likes little is
/// chosen from about four acts in it on.
const CONTACT_STRENGTH: f64 = 48.0;

/// As many acts as the default weighs against a market's: ten for each hour of the day.
const MARKET_STRENGTH: f64 = 240.0;

/// The share of acts that the default hour is taken to have where nothing is known: about what a best hour has.
const DEFAULT_SHARE: f64 = 0.1;

/// The default hour: late enough for everybody to be up, early enough for the day's orders.
const HOUR_DEFAULT: u8 = 10;

/// The hours that may be learned where the campaign has no `window`: people sleep in the others.
const HOURS_DEFAULT: std::ops::Range<u8> = 8..21;

const HOURS: usize = 24;

/// Acts by hour of the day.
pub type ActCounts = [u64; HOURS];

words!(
    /// Whose habit decides about a learned hour.
    Habit {
        /// Nobody's: too little is known.
        Default = "default",
        /// That of people of their market.
        Market = "market",
        /// Their own.
        Contact = "contact",
    }
);

/// An hour that was learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LearnedHour {
    /// By the contact's clock, 0 to 23.
    pub hour: u8,
    /// Whose habit it is.
    pub from: Habit,
}

/// The same in one byte, because an audience may be tens of millions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedHour(u8);

impl From<LearnedHour> for PackedHour {
    fn from(learned: LearnedHour) -> Self {
        Self((learned.from as u8) << 5 | learned.hour)
    }
}

impl From<PackedHour> for LearnedHour {
    fn from(packed: PackedHour) -> Self {
        Self { hour: packed.0 & 0b1_1111, from: Habit::ALL[usize::from(packed.0 >> 5)] }
    }
}

/// A learned hour and what it was learned from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Learned {
    /// The hour.
    pub hour: LearnedHour,
    /// Acts of the contact.
    pub own_acts: u64,
    /// Acts of the audience's contacts of their market.
    pub market_acts: u64,
}

/// Since when acts count for what is planned at `now`.
#[must_use]
pub fn habits_since(now: Timestamp) -> Timestamp {
    now.checked_sub((HABIT_DAYS * 24).hours()).unwrap_or(now)
}

/// What was learned of an audience: all it takes to tell the hour of one contact again, from their acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Habits {
    /// The hours that may be, in order.
    hours: Vec<u8>,
    default: u8,
    /// Acts by market; of unknown market under the empty name.
    markets: BTreeMap<String, ActCounts>,
}

impl Habits {
    /// Nothing is learned yet for this campaign.
    #[must_use]
    pub fn none(campaign: &Campaign) -> Self {
        let window = campaign.window.as_deref().and_then(|window| window.parse::<policy::Window>().ok());
        let mut hours: Vec<u8> = window.map_or(HOURS_DEFAULT.collect(), |window| window.hours().collect());
        if hours.is_empty() {
            // A window within an hour: the rules put off to it whatever is meant for another time.
            hours = HOURS_DEFAULT.collect();
        }
        let fixed = campaign.send_hour.and_then(SendHour::fixed);
        let wanted = fixed.unwrap_or(HOUR_DEFAULT);
        let default = if hours.contains(&wanted) { wanted } else { hours[0] };
        Self { hours, default, markets: BTreeMap::new() }
    }

    /// The hour of those of whom nothing is known.
    #[must_use]
    pub fn default_hour(&self) -> u8 {
        self.default
    }

    /// Learns the habits of the markets of an audience, which is ordered by key.
    #[must_use]
    pub fn learn(campaign: &Campaign, audience: &[Recipient], acts: &Acts) -> Self {
        let mut habits = Self::none(campaign);
        count(audience, acts, |_, recipient, own| {
            let market = recipient.traits.market.as_deref().unwrap_or_default();
            if !habits.markets.contains_key(market) {
                habits.markets.insert(market.to_owned(), [0; HOURS]);
            }
            let Some(counts) = habits.markets.get_mut(market) else { return };
            counts.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
        });
        habits
    }

    /// The hour of each of some contacts, who are ordered by key.
    #[must_use]
    pub fn hours(&self, contacts: &[Recipient], acts: &Acts) -> Vec<PackedHour> {
        let priors: HashMap<&str, Prior> = self.markets.keys().map(|market| (market.as_str(), self.prior(market))).collect();
        let unknown = self.prior("");
        let prior = |contact: &Recipient| priors.get(contact.traits.market.as_deref().unwrap_or_default()).unwrap_or(&unknown);
        let mut hours: Vec<PackedHour> = contacts.iter().map(|contact| PackedHour::from(prior(contact).hour)).collect();
        count(contacts, acts, |place, contact, own| hours[place] = self.hour(prior(contact), own).into());
        hours
    }

    /// The hour of each of some contacts, who are ordered by key, with what it was learned from.
    #[must_use]
    pub fn explain(&self, contacts: &[Recipient], acts: &Acts) -> Vec<Learned> {
        let hours = self.hours(contacts, acts);
        let sum = |market: &str| self.markets.get(market).map_or(0, |counts| counts.iter().sum());
        let of_market = contacts.iter().map(|contact| sum(contact.traits.market.as_deref().unwrap_or_default()));
        let mut learned: Vec<Learned> = hours
            .into_iter()
            .zip(of_market)
            .map(|(hour, market_acts)| Learned { hour: hour.into(), own_acts: 0, market_acts })
            .collect();
        count(contacts, acts, |place, _, own| learned[place].own_acts = own.iter().sum());
        learned
    }

    /// The hour of a contact whose own acts are these.
    fn hour(&self, prior: &Prior, own: &ActCounts) -> LearnedHour {
        let hour = self.best(|hour| own[hour] as f64 + CONTACT_STRENGTH * prior.shares[hour]);
        let is_known = own.iter().sum::<u64>() as f64 >= CONTACT_STRENGTH;
        if hour == prior.hour.hour && !is_known { prior.hour } else { LearnedHour { hour, from: Habit::Contact } }
    }

    /// What is expected of people of a market.
    fn prior(&self, market: &str) -> Prior {
        let counts = self.markets.get(market).copied().unwrap_or_default();
        let total = counts.iter().sum::<u64>() as f64;
        let share = |hour: usize| {
            let is_default = hour == usize::from(self.default);
            let default = if is_default { DEFAULT_SHARE } else { (1.0 - DEFAULT_SHARE) / (HOURS - 1) as f64 };
            (counts[hour] as f64 + MARKET_STRENGTH * default) / (total + MARKET_STRENGTH)
        };
        let shares = std::array::from_fn(share);
        let hour = self.best(|hour| shares[hour]);
        let is_known = hour != self.default || total >= MARKET_STRENGTH;
        Prior { shares, hour: LearnedHour { hour, from: if is_known { Habit::Market } else { Habit::Default } } }
    }

    /// The hour with the largest score, of those that may be; the earliest of equals.
    fn best(&self, score: impl Fn(usize) -> f64) -> u8 {
        let best = |best: u8, hour: &u8| if score((*hour).into()) > score(best.into()) { *hour } else { best };
        self.hours.iter().fold(self.hours.first().copied().unwrap_or(self.default), best)
    }
}

/// What is expected of somebody before their own acts are looked at.
#[derive(Debug, Clone, Copy)]
struct Prior {
    shares: [f64; HOURS],
    hour: LearnedHour,
}

/// Tells `each` the place, the contact and the acts of all who have any. The contacts are ordered by key.
fn count(contacts: &[Recipient], acts: &Acts, mut each: impl FnMut(usize, &Recipient, &ActCounts)) {
    let mut clocks: HashMap<&str, Vec<u16>> = HashMap::new();
    let mut by_contact = acts.by_contact().peekable();
    for (place, contact) in contacts.iter().enumerate() {
        while by_contact.next_if(|(key, _)| *key < contact.key.as_i64()).is_some() {}
        let Some((_, own)) = by_contact.next_if(|(key, _)| *key == contact.key.as_i64()) else { continue };
        let zone = contact.traits.time_zone.as_deref().unwrap_or_default();
        let clock = clocks.entry(zone).or_insert_with(|| clock(zone, acts));
        each(place, contact, &by_hour(own, clock));
    }
}

/// The acts of one contact by hour of their clock: what they did in one hour of one day counts once.
fn by_hour(own: &[Act], clock: &[u16]) -> ActCounts {
    let mut counts = [0; HOURS];
    let mut last = None;
    for reading in own.iter().filter_map(|act| clock.get(act.quarter()).copied()) {
        if last.replace(reading) != Some(reading) {
            counts[usize::from(reading) % HOURS] += 1;
        }
    }
    counts
}

/// What the clocks of a time zone (UTC where unknown) read in each quarter of an hour: the hour and, 24 times, the day of the year.
fn clock(zone: &str, acts: &Acts) -> Vec<u16> {
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    let reading = |quarter: Timestamp| {
        let local = zone.to_datetime(quarter);
        local.date().day_of_year().unsigned_abs() * HOURS as u16 + u16::from(local.hour().unsigned_abs())
    };
    acts.quarters().map(reading).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lake::Traits;
    use vocabulary::ContactKey;

    use super::*;

    fn campaign(more: serde_json::Value) -> Campaign {
        let mut campaign = serde_json::json!({ "campaign": "c", "experiment": "e", "content": {} });
        campaign.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(campaign).unwrap()
    }

    fn contact(key: i64, market: &str, zone: &str) -> Recipient {
        let traits = Traits { market: Some(market.to_owned()), time_zone: Some(zone.to_owned()), ..Traits::default() };
        Recipient { key: ContactKey::from_i64(key).unwrap(), traits: Arc::new(traits) }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Acts of contacts on so many days from 1 March on, each at a time of day in UTC.
    fn acts(acts: &[(i64, u32, &str)]) -> Acts {
        let each = acts.iter().flat_map(|(key, days, time)| {
            let first = at(&format!("2026-03-01T{time}Z"));
            let key = ContactKey::from_i64(*key).unwrap();
            (0..*days).map(move |day| (key, first.checked_add((i64::from(day) * 24).hours()).unwrap()))
        });
        Acts::new(at("2026-02-15T00:00:00Z"), at("2026-05-10T00:00:00Z"), each)
    }

    fn learned(habits: &Habits, contacts: &[Recipient], acts: &Acts) -> Vec<(u8, &'static str)> {
        let hours = habits.hours(contacts, acts).into_iter().map(LearnedHour::from);
        hours.map(|learned| (learned.hour, learned.from.as_str())).collect()
    }

    #[test]
    fn hours_are_packed_into_a_byte() {
        for (hour, from) in (0..24).flat_map(|hour| Habit::ALL.iter().map(move |from| (hour, *from))) {
            let learned = LearnedHour { hour, from };
            assert_eq!(LearnedHour::from(PackedHour::from(learned)), learned);
        }
    }

    #[test]
    fn an_hour_is_the_contacts_own_when_they_showed_it_often_enough() {
        // In Shanghai 12:10 is ten past eight in the evening. The others of the market like nine in the morning.
        let contacts: Vec<Recipient> = (1..=12).map(|key| contact(key, "CN", "Asia/Shanghai")).collect();
        let hour_after = |evenings: u32| {
            let mut all: Vec<(i64, u32, &str)> = (2..=11).map(|key| (key, 60, "01:00:00")).collect();
            all.push((1, evenings, "12:10:00"));
            let acts = acts(&all);
            learned(&Habits::learn(&campaign(serde_json::json!({})), &contacts, &acts), &contacts, &acts)
        };
        assert_eq!(hour_after(0)[0], (9, "market"));
        assert_eq!(hour_after(2)[0], (9, "market"), "two acts make no habit");
        assert_eq!(hour_after(60)[0], (20, "contact"));
        let all = hour_after(60);
        assert_eq!(all[1], (9, "contact"), "sixty acts are known, though they agree with the market");
        assert_eq!(all[11], (9, "market"), "nobody knows them");
        // The formula itself, for the first number of evenings at which theirs is chosen.
        let first = (1..60).find(|evenings| hour_after(*evenings)[0].0 == 20).unwrap();
        let share = |acts: f64, default: f64| (acts + 240.0 * default) / (600.0 + f64::from(first) + 240.0);
        let (nine, evening) = (48.0 * share(600.0, 0.9 / 23.0), 48.0 * share(f64::from(first), 0.9 / 23.0));
        assert!(f64::from(first) + evening > nine && f64::from(first - 1) + evening < nine, "{first} {evening} {nine}");
    }

    #[test]
    fn what_is_not_known_is_the_default() {
        let contacts = [contact(1, "DE", "Europe/Berlin"), contact(2, "FR", "Europe/Paris")];
        let check = |more: serde_json::Value, all: &[(i64, u32, &str)], expect: (u8, &str)| {
            let acts = acts(all);
            assert_eq!(learned(&Habits::learn(&campaign(more), &contacts, &acts), &contacts, &acts)[0], expect, "{all:?}");
        };
        check(serde_json::json!({}), &[], (10, "default"));
        check(serde_json::json!({ "send_hour": 14 }), &[], (14, "default"));
        check(serde_json::json!({ "send_hour": "learned" }), &[], (10, "default"));
        check(serde_json::json!({ "window": "mon-fri 12:30-18:00" }), &[], (13, "default"));
        check(serde_json::json!({ "send_hour": 3 }), &[], (8, "default"));
        check(serde_json::json!({ "window": "daily 09:10-09:50" }), &[], (10, "default"));
        // Another market's habit is not theirs; and at night nobody is written to, whatever they did then.
        check(serde_json::json!({}), &[(2, 60, "16:00:00")], (10, "default"));
        check(serde_json::json!({}), &[(1, 30, "01:00:00")], (10, "default"));
        check(serde_json::json!({ "window": "daily 00:00-24:00" }), &[(1, 28, "01:00:00")], (2, "market"));
    }

    #[test]
    fn what_was_done_in_one_hour_counts_once_and_clocks_are_local() {
        let contacts = [contact(1, "IN", "Asia/Kolkata"), contact(2, "US", "America/New_York"), contact(3, "US", "Nowhere/Land")];
        // In Kolkata 12:20 is ten to six, 12:40 ten past six. New York's clocks go forward on 8 March.
        let acts = acts(&[(1, 5, "12:20:00"), (1, 5, "12:40:00"), (1, 5, "12:55:00"), (2, 14, "22:00:00"), (3, 2, "17:00:00")]);
        let mut found = Vec::new();
        count(&contacts, &acts, |place, _, own| {
            let hours = own.iter().enumerate().filter(|(_, count)| **count > 0);
            found.push((place, hours.map(|(hour, count)| (hour, *count)).collect::<Vec<_>>()));
        });
        assert_eq!(found, [(0, vec![(17, 5), (18, 5)]), (1, vec![(17, 7), (18, 7)]), (2, vec![(17, 2)])]);
        // Of two hours that are equal the earlier one; and what was learned is told again from what was noted.
        let habits = Habits::learn(&campaign(serde_json::json!({ "send_hour": "learned" })), &contacts, &acts);
        let noted: Habits = serde_json::from_str(&serde_json::to_string(&habits).unwrap()).unwrap();
        assert_eq!((learned(&noted, &contacts, &acts)[0], noted.clone()), ((17, "contact"), habits));
        let told = noted.explain(&contacts, &acts);
        assert_eq!((told[1].own_acts, told[1].market_acts, told[2].own_acts), (14, 16, 2));
    }
}
