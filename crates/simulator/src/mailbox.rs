//! The shoppers' mailboxes: every received mail is read and turned into what its reader will do and when.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use vocabulary::world::to_micros;
use vocabulary::{Currency, Timestamp};

use crate::client::OrderRow;
use crate::error::SimulatorError;
use crate::market::rate;
use crate::outcome::Counts;
use crate::reading::{Reading, read};
use crate::shopper::Shopper;
use crate::world::{Purchase, World, local_hour};

/// Something a shopper, or a machine before them, will do with a mail.
#[derive(Debug, Clone)]
pub(crate) struct Visit {
    /// Whose mail it is.
    pub(crate) number: u32,
    /// Which of their mails it is, from 0 on.
    pub(crate) occasion: u32,
    /// Whether a machine opens it.
    pub(crate) is_machine: bool,
    /// The pictures to load.
    pub(crate) images: Vec<String>,
    /// The link to follow.
    pub(crate) link: Option<String>,
    /// What is ordered after the link was followed.
    pub(crate) purchase: Option<Purchase>,
    /// Where to unsubscribe.
    pub(crate) unsubscribe: Option<String>,
}

/// All that was received, and all that is still to be done about it.
#[derive(Debug)]
pub(crate) struct Mailbox<'a> {
    world: &'a World,
    /// What happened so far.
    pub(crate) counts: Counts,
    /// Mails by campaign, in the order they were started, and by variant as seen.
    pub(crate) variants: Vec<BTreeMap<String, u64>>,
    /// Mails to people who had unsubscribed before.
    pub(crate) unsubscribed_mailed: u64,
    /// Mails of a campaign to people who had it already.
    pub(crate) duplicates: u64,
    /// The campaign whose mail each shopper got last, and how many mails they got.
    received: Vec<(Option<usize>, u32)>,
    unsubscribed: Vec<bool>,
    visits: BTreeMap<(Timestamp, u32, u32, bool), Visit>,
    orders: BTreeMap<(Timestamp, String), OrderRow>,
}

impl<'a> Mailbox<'a> {
    /// Empty mailboxes; the orders that come without any mail are on the agenda already.
    pub(crate) fn new(world: &'a World) -> Self {
        let mut mailbox = Self {
            world,
            counts: Counts::default(),
            variants: Vec::new(),
            unsubscribed_mailed: 0,
            duplicates: 0,
            received: vec![(None, 0); world.contacts as usize],
            unsubscribed: vec![false; world.contacts as usize],
            visits: BTreeMap::new(),
            orders: BTreeMap::new(),
        };
        for shopper in world.shoppers() {
            for (index, order) in world.habit_orders(&shopper).into_iter().enumerate() {
                mailbox.plan_order(&shopper, &format!("h{index}"), order.at, order.eur);
            }
        }
        mailbox
    }

    /// From now on mails belong to another campaign.
    pub(crate) fn begin_campaign(&mut self) {
        self.variants.push(BTreeMap::new());
    }

    /// How many people got mails of two campaigns or more.
    pub(crate) fn mailed_twice(&self) -> u64 {
        let mails: u64 = self.received.iter().map(|(_, count)| u64::from(*count)).sum();
        let people = self.received.iter().filter(|(_, count)| *count > 0).count() as u64;
        mails - people - self.duplicates
    }

    /// Takes in one mail at that moment: reads it, and puts what follows on the agenda.
    pub(crate) fn receive(&mut self, to: &str, raw: &[u8], now: Timestamp) -> Result<(), SimulatorError> {
        let stranger = || SimulatorError::Stranger { to: to.to_owned() };
        let number = Shopper::number_of(to).filter(|number| *number < self.world.contacts).ok_or_else(stranger)?;
        let shopper = self.world.shopper(number);
        let reading = complete(read(raw)?, to)?;
        let hour = local_hour(shopper.time_zone, now)?;
        let occasion = self.count(number, &reading, hour);
        let reaction = self.world.reaction(&shopper, reading.understood, hour, occasion);
        let visit = Visit {
            number,
            occasion,
            is_machine: true,
            images: reading.images.clone(),
            link: None,
            purchase: None,
            unsubscribe: None,
        };
        if let Some(plan) = reaction.visit {
            let chosen = plan.click.map(|point| (point * reading.links.len() as f64) as usize);
            let visit = Visit {
                is_machine: false,
                link: chosen.and_then(|index| reading.links.get(index).cloned()),
                purchase: plan.purchase,
                unsubscribe: reading.unsubscribe.filter(|_| plan.unsubscribe),
                ..visit.clone()
            };
            self.visits.insert((now + plan.delay, number, occasion, false), visit);
        }
        if reaction.machine_open {
            self.visits.insert((now, number, occasion, true), visit);
        }
        Ok(())
    }

    /// Counts a mail; gives which of the shopper's mails it is.
    fn count(&mut self, number: u32, reading: &Reading, hour: i8) -> u32 {
        let campaign = self.variants.len().checked_sub(1);
        let seen = match (reading.understood, u8::try_from(hour)) {
            (Some(understood), Ok(hour)) => understood.appeal.variant_name(hour),
            _ => format!("not understood: {}", reading.subject),
        };
        if let Some(variants) = self.variants.last_mut() {
            *variants.entry(seen).or_default() += 1;
        }
        let (last, occasion) = self.received[number as usize];
        self.received[number as usize] = (campaign, occasion + 1);
        self.counts.mails += 1;
        self.duplicates += u64::from(occasion > 0 && last == campaign);
        self.unsubscribed_mailed += u64::from(self.unsubscribed[number as usize]);
        occasion
    }

    /// When the next visit is due.
    pub(crate) fn next_visit(&self) -> Option<Timestamp> {
        self.visits.first_key_value().map(|((due, ..), _)| *due)
    }

    /// Takes the visits due by now off the agenda, in order.
    pub(crate) fn take_visits(&mut self, now: Timestamp) -> Vec<Visit> {
        let later = self.visits.split_off(&(now, u32::MAX, u32::MAX, true));
        std::mem::replace(&mut self.visits, later).into_values().collect()
    }

    /// Notes that a visit was made, and plans the order that follows.
    pub(crate) fn visited(&mut self, visit: &Visit, now: Timestamp) {
        if visit.is_machine {
            self.counts.machine_opens += 1;
            return;
        }
        self.counts.opens += 1;
        self.counts.clicks += u64::from(visit.link.is_some());
        if visit.unsubscribe.is_some() {
            self.counts.unsubscribes += 1;
            self.unsubscribed[visit.number as usize] = true;
        }
        if let Some(purchase) = visit.purchase {
            let shopper = self.world.shopper(visit.number);
            self.plan_order(&shopper, &format!("m{}", visit.occasion), now + purchase.delay, purchase.eur);
        }
    }

    /// Takes the orders placed by now off the agenda, in order.
    pub(crate) fn take_orders(&mut self, now: Timestamp) -> Vec<OrderRow> {
        // No order id sorts after this one, so everything placed at `now` is taken.
        let later = self.orders.split_off(&(now, char::MAX.to_string()));
        let due: Vec<OrderRow> = std::mem::replace(&mut self.orders, later).into_values().collect();
        self.counts.orders += due.len() as u64;
        due
    }

    fn plan_order(&mut self, shopper: &Shopper, suffix: &str, at: Timestamp, eur: f64) {
        let at = to_micros(at);
        let order_id = format!("{}-{suffix}", shopper.key());
        let row = OrderRow {
            kind: "order",
            event_id: format!("order-{:x}-{order_id}", self.world.seed),
            event_time: at.to_string(),
            contact: shopper.key(),
            order_id: order_id.clone(),
            amount: local_amount(shopper, at, eur),
            currency: shopper.market.currency,
            market: shopper.market.country,
        };
        self.orders.insert((at, order_id), row);
    }
}

/// What every mail of a campaign must have, so that a fault of the sender cannot pass for lack of interest.
fn complete(reading: Reading, to: &str) -> Result<Reading, SimulatorError> {
    let missing = if reading.images.is_empty() {
        "tracking pixel"
    } else if reading.links.is_empty() {
        "link"
    } else if reading.unsubscribe.is_none() {
        "one-click unsubscribe (List-Unsubscribe and List-Unsubscribe-Post)"
    } else {
        return Ok(reading);
    };
    Err(SimulatorError::IncompleteMail { to: to.to_owned(), subject: reading.subject, part: missing })
}

/// An amount in the shopper's own money at that day's rate, as a decimal number, at least the smallest coin.
fn local_amount(shopper: &Shopper, at: Timestamp, eur: f64) -> String {
    let currency = Currency::new(shopper.market.currency).expect("the markets' currencies are in ISO 4217, as a test checks");
    let digits = currency.digits() as usize;
    let coins = eur * rate(shopper.market, at.to_zoned(TimeZone::UTC).date()) * currency.minor_per_major() as f64;
    let coins = (coins.round() as i64).max(1);
    if digits == 0 {
        return coins.to_string();
    }
    format!("{}.{:0digits$}", coins / currency.minor_per_major(), coins % currency.minor_per_major())
}

#[cfg(test)]
pub(crate) mod tests;
