//! The simulated world: how shoppers take a mail, and what they buy without one.
//!
//! Every number that decides is here, so the truth is known. For one recipient of one mail, by market, copy and local
//! hour of receipt:
//!
//! - opens with the hour's probability times the market's factor;
//! - having opened, clicks with 0.235, times the market's factor, the shopper's taste (0.5 to 1.5), the market's benefit
//!   factor (1.50 to 1.65) for a mail with a benefit, and 1.43 more for a benefit read in the evening: the interaction;
//! - having clicked, orders once with 0.45 times the market's factor;
//! - having opened, unsubscribes with 0.02 to 0.05, less for a benefit and less in the evening.
//!
//! Besides, shoppers order without any mail, by a Poisson process. All mails and orders of one shopper use random streams
//! of their own, so a run follows from the seed, whatever the order in which the server does its work.

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use vocabulary::{Currency, Rates};

use crate::error::SimulatorError;
use crate::market::{MARKETS, Market, RateRow, rates};
use crate::shopper::{Purpose, Shopper, stream};
use crate::texts::{Appeal, HOURS, Understood};

/// How long the world lives: two weeks.
pub const LIFE_DAYS: u32 = 14;
/// Days of exchange rates before the beginning and after the end, so that no moment is without a rate.
const RATES_MARGIN_DAYS: u32 = 7;

/// Clicks per opened plain mail.
const CLICK: f64 = 0.235;
/// How much more a benefit is clicked when it is read in the evening.
const BENEFIT_EVENING: f64 = 1.43;
/// Orders per click.
const ORDER: f64 = 0.45;
/// How much readiness to click remains when a mail is not understood or in another language.
const FOREIGN: f64 = 0.5;
/// The share of mails that a mail program's machine opens at receipt, whether or not a person does later.
const MACHINE_OPEN: f64 = 0.08;
/// Baskets ordered with free shipping are a little smaller.
const BENEFIT_BASKET: f64 = 0.95;
/// The spread of baskets: the standard deviation of their logarithm.
const BASKET_SIGMA: f64 = 0.6;
/// A person opens a mail one minute to 24 hours after receipt.
const VISIT_SECONDS: (f64, f64) = (60.0, 24.0 * 3600.0);
/// A person orders two minutes to twelve hours after the click.
const ORDER_SECONDS: (f64, f64) = (120.0, 12.0 * 3600.0);

/// One world.
#[derive(Debug, Clone)]
pub struct World {
    /// What everything follows from.
    pub seed: u64,
    /// How many shoppers there are.
    pub contacts: u32,
    /// When it begins.
    pub start: Timestamp,
}

/// The probabilities of one shopper and one mail.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Odds {
    /// A person opens it.
    pub open: f64,
    /// Having opened it, clicks.
    pub click: f64,
    /// Having clicked, orders.
    pub order: f64,
    /// Having opened it, unsubscribes.
    pub unsubscribe: f64,
    /// The mean basket in EUR.
    pub basket_eur: f64,
}

/// What one shopper does with one mail.
#[derive(Debug, Clone, PartialEq)]
pub struct Reaction {
    /// A machine loads the pictures at receipt.
    pub machine_open: bool,
    /// The person opens it.
    pub visit: Option<Visit>,
}

/// A person with an open mail.
#[derive(Debug, Clone, PartialEq)]
pub struct Visit {
    /// From receipt to opening.
    pub delay: SignedDuration,
    /// Which link is clicked: a number from 0 up to 1 over all links.
    pub click: Option<f64>,
    /// What is ordered after the click.
    pub purchase: Option<Purchase>,
    /// Whether they unsubscribe.
    pub unsubscribe: bool,
}

/// An order that follows a click.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Purchase {
    /// From click to order.
    pub delay: SignedDuration,
    /// The basket in EUR.
    pub eur: f64,
}

/// An order without any mail.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HabitOrder {
    /// When.
    pub at: Timestamp,
    /// The basket in EUR.
    pub eur: f64,
}

impl World {
    /// When it ends.
    #[must_use]
    pub fn end(&self) -> Timestamp {
        self.start + SignedDuration::from_hours(24 * i64::from(LIFE_DAYS))
    }

    /// The shopper of that number.
    #[must_use]
    pub fn shopper(&self, number: u32) -> Shopper {
        Shopper::new(self.seed, number)
    }

    /// Every shopper, by number.
    pub fn shoppers(&self) -> impl Iterator<Item = Shopper> {
        (0..self.contacts).map(|number| self.shopper(number))
    }

    /// The world's own exchange rates, from a week before its beginning to a week after its end.
    #[must_use]
    pub fn rates(&self) -> Vec<RateRow> {
        let first = self.start.to_zoned(TimeZone::UTC).date().saturating_sub(i64::from(RATES_MARGIN_DAYS).days());
        rates(first, LIFE_DAYS + 2 * RATES_MARGIN_DAYS)
    }

    /// The same as a table that converts to EUR.
    #[must_use]
    pub fn rate_table(&self) -> Rates {
        let currency = |code| Currency::new(code).expect("the markets' currencies are in ISO 4217, as a test checks");
        let mut table = Rates::new(currency("EUR"));
        for row in self.rates() {
            table.insert(currency(row.currency), row.date, &row.rate).expect("the world's rates are positive decimal numbers");
        }
        table
    }

    /// What `shopper` does with the mail they got as their `occasion`-th, at that local hour.
    ///
    /// The draws depend on shopper and occasion only, not on the mail: a shopper has one fate per occasion, and the mail
    /// decides which side of it they fall on.
    #[must_use]
    pub fn reaction(&self, shopper: &Shopper, understood: Option<Understood>, hour: i8, occasion: u32) -> Reaction {
        let odds = odds(shopper, understood, hour);
        let mut draw = stream(self.seed, shopper.number, Purpose::Reaction, occasion);
        let [machine, open, click, order, unsubscribe, link]: [f64; 6] = draw.random();
        let visit_delay = log_uniform(&mut draw, VISIT_SECONDS);
        let order_delay = log_uniform(&mut draw, ORDER_SECONDS);
        let eur = basket(&mut draw, odds.basket_eur);
        let clicks = click < odds.click;
        let visit = Visit {
            delay: visit_delay,
            click: clicks.then_some(link),
            purchase: (clicks && order < odds.order).then_some(Purchase { delay: order_delay, eur }),
            unsubscribe: unsubscribe < odds.unsubscribe,
        };
        Reaction { machine_open: machine < MACHINE_OPEN, visit: (open < odds.open).then_some(visit) }
    }

    /// What `shopper` orders without any mail in the world's life, by time.
    #[must_use]
    pub fn habit_orders(&self, shopper: &Shopper) -> Vec<HabitOrder> {
        let mut draw = stream(self.seed, shopper.number, Purpose::Habit, 0);
        let mut orders = Vec::new();
        let mut days = 0.0;
        loop {
            days -= (1.0 - draw.random::<f64>()).ln() / shopper.orders_per_day;
            if days >= f64::from(LIFE_DAYS) {
                return orders;
            }
            let at = self.start + SignedDuration::from_micros((days * 86_400e6) as i64);
            orders.push(HabitOrder { at, eur: basket(&mut draw, shopper.market.basket_eur) });
        }
    }

    /// When it is next one of the test's hours for any shopper, after `time`.
    ///
    /// # Errors
    /// [`SimulatorError::Time`] when a zone is unknown to this machine.
    pub fn next_send_moment(&self, time: Timestamp) -> Result<Timestamp, SimulatorError> {
        let mut next = Timestamp::MAX;
        for zone in MARKETS.iter().flat_map(|market| market.time_zones) {
            for hour in HOURS {
                next = next.min(next_local_hour(zone, hour, time)?);
            }
        }
        Ok(next)
    }
}

/// The first moment after `time` at which it is `hour` o'clock in that zone.
///
/// # Errors
/// [`SimulatorError::Time`] when the zone is unknown to this machine.
pub fn next_local_hour(zone: &str, hour: u8, time: Timestamp) -> Result<Timestamp, SimulatorError> {
    let local = time.in_tz(zone)?;
    let clock = Time::new(i8::try_from(hour).unwrap_or(i8::MAX), 0, 0, 0)?;
    let mut date = local.date();
    loop {
        let moment = date.to_datetime(clock).in_tz(zone)?.timestamp();
        if moment > time {
            return Ok(moment);
        }
        date = date.tomorrow()?;
    }
}

/// The hour on the wall where the shopper lives.
///
/// # Errors
/// [`SimulatorError::Time`] when the zone is unknown to this machine.
pub fn local_hour(zone: &str, time: Timestamp) -> Result<i8, SimulatorError> {
    Ok(time.in_tz(zone)?.hour())
}

/// The probabilities of one shopper and one mail received at that local hour.
#[must_use]
pub fn odds(shopper: &Shopper, understood: Option<Understood>, hour: i8) -> Odds {
    let market = shopper.market;
    let appeal = understood.map_or(Appeal::Plain, |understood| understood.appeal);
    let speaks_to_me = understood.is_some_and(|understood| understood.language == market.language);
    let evening = (18..=21).contains(&hour);
    let appeal_factor = match appeal {
        Appeal::Plain => 1.0,
        Appeal::Benefit if evening => market.benefit_factor * BENEFIT_EVENING,
        Appeal::Benefit => market.benefit_factor,
    };
    let foreign = if speaks_to_me { 1.0 } else { FOREIGN };
    let unsubscribe = match (appeal, evening) {
        (Appeal::Plain, false) => 0.050,
        (Appeal::Plain, true) | (Appeal::Benefit, false) => 0.035,
        (Appeal::Benefit, true) => 0.020,
    };
    let basket_factor = if appeal == Appeal::Benefit { BENEFIT_BASKET } else { 1.0 };
    Odds {
        open: open_by_hour(hour) * market.open_factor,
        click: CLICK * market.click_factor * shopper.taste * appeal_factor * foreign,
        order: ORDER * market.order_factor,
        unsubscribe,
        basket_eur: market.basket_eur * basket_factor,
    }
}

fn open_by_hour(hour: i8) -> f64 {
    match hour {
        6..=8 => 0.28,
        9..=11 => 0.30,
        12..=16 => 0.29,
        17..=18 => 0.33,
        19..=21 => 0.38,
        22..=23 => 0.26,
        _ => 0.20,
    }
}

/// A delay whose logarithm is uniform: most within minutes, a few after many hours.
fn log_uniform(draw: &mut ChaCha8Rng, (shortest, longest): (f64, f64)) -> SignedDuration {
    let seconds = shortest * (longest / shortest).powf(draw.random());
    SignedDuration::from_micros((seconds * 1e6) as i64)
}

/// A basket with that mean: log-normal, by Box and Muller.
fn basket(draw: &mut ChaCha8Rng, mean: f64) -> f64 {
    let [radius, angle]: [f64; 2] = draw.random();
    let normal = (-2.0 * (1.0 - radius).ln()).sqrt() * (std::f64::consts::TAU * angle).cos();
    mean * (BASKET_SIGMA * normal - BASKET_SIGMA * BASKET_SIGMA / 2.0).exp()
}

/// The market of a country.
#[must_use]
pub fn market_of(country: &str) -> Option<&'static Market> {
    MARKETS.iter().find(|market| market.country == country)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::arms;

    fn world(contacts: u32) -> World {
        World { seed: 42, contacts, start: "2026-03-02T00:00:00Z".parse().unwrap() }
    }

    fn mail(shopper: &Shopper, appeal: Appeal) -> Option<Understood> {
        Some(Understood { appeal, language: shopper.market.language })
    }

    #[test]
    fn a_reaction_follows_from_seed_shopper_and_mail() {
        let world = world(500);
        for shopper in world.shoppers() {
            let react = |occasion| world.reaction(&shopper, mail(&shopper, Appeal::Benefit), 20, occasion);
            assert_eq!(react(0), react(0));
        }
        let changed = world.shoppers().filter(|shopper| {
            let react = |occasion| world.reaction(shopper, mail(shopper, Appeal::Benefit), 20, occasion);
            react(0) != react(1)
        });
        assert!(changed.count() > 150, "another occasion is another draw");
    }

    #[test]
    fn probabilities_stay_probabilities() {
        for market in MARKETS {
            for (appeal, hour) in arms() {
                let eager = Shopper { taste: 1.5, market, ..Shopper::new(1, 1) };
                let odds = odds(&eager, mail(&eager, appeal), hour as i8);
                for probability in [odds.open, odds.click, odds.order, odds.unsubscribe] {
                    assert!((0.0..=1.0).contains(&probability), "{} {odds:?}", market.country);
                }
            }
        }
    }

    #[test]
    fn a_mail_that_is_not_understood_moves_half_as_many() {
        let shopper = Shopper::new(1, 1);
        let own = odds(&shopper, mail(&shopper, Appeal::Plain), 9);
        let check = |understood, expect: f64| assert!((odds(&shopper, understood, 9).click - expect).abs() < 1e-12);
        check(None, own.click / 2.0);
        check(Some(Understood { appeal: Appeal::Plain, language: "tlh" }), own.click / 2.0);
    }

    #[test]
    fn everything_a_mail_causes_happens_within_the_window() {
        let longest = SignedDuration::from_secs_f64(VISIT_SECONDS.1 + ORDER_SECONDS.1) + SignedDuration::from_hours(2);
        assert!(longest < SignedDuration::from_hours(i64::from(crate::texts::WINDOW_HOURS)));
    }

    #[test]
    fn habit_orders_come_at_their_rate_and_in_order() {
        let world = world(30_000);
        let (mut seen, mut expected) = (0.0, 0.0);
        for shopper in world.shoppers() {
            let orders = world.habit_orders(&shopper);
            assert!(orders.is_sorted_by_key(|order| order.at));
            assert!(orders.iter().all(|order| (world.start..world.end()).contains(&order.at) && order.eur > 0.0));
            seen += orders.len() as f64;
            expected += shopper.orders_per_day * f64::from(LIFE_DAYS);
        }
        let error: f64 = expected;
        assert!((seen - expected).abs() < 4.0 * error.sqrt(), "{seen} v {expected}");
    }

    #[test]
    fn the_next_local_hour_knows_its_zone() {
        let check = |zone: &str, hour, time: &str, expect: &str| {
            let expect: Timestamp = expect.parse().unwrap();
            assert_eq!(next_local_hour(zone, hour, time.parse().unwrap()).unwrap(), expect, "{zone} {time}");
        };
        check("Europe/Berlin", 9, "2026-03-02T00:00:00Z", "2026-03-02T08:00:00Z");
        check("Europe/Berlin", 9, "2026-03-02T08:00:00Z", "2026-03-03T08:00:00Z");
        check("Asia/Kolkata", 20, "2026-03-02T00:00:00Z", "2026-03-02T14:30:00Z");
        check("Asia/Tokyo", 9, "2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z");
        // Clocks go forward in New York between the two.
        check("America/New_York", 9, "2026-03-07T15:00:00Z", "2026-03-08T13:00:00Z");
        let first = world(1).next_send_moment("2026-03-02T00:00:00Z".parse().unwrap()).unwrap();
        assert_eq!(first, "2026-03-02T01:00:00Z".parse().unwrap(), "20:00 in New York");
        assert_eq!(local_hour("Asia/Kolkata", first).unwrap(), 6);
    }

    #[test]
    fn the_rates_cover_the_whole_life() {
        let rows = world(1).rates();
        assert_eq!(rows.first().unwrap().date.to_string(), "2026-02-23");
        assert_eq!(rows.last().unwrap().date.to_string(), "2026-03-22");
    }
}
