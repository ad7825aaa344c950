//! The shoppers: each one follows from the seed and their number alone, so that nobody has to be stored.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::market::{MARKETS, Market};

/// The reserved domain of every shopper's address (RFC 6761): no mail to it can ever leave the machine.
pub const SHOPPERS_DOMAIN: &str = "shoppers.example.test";

/// What a random stream is for. Each purpose has a stream of its own, so that drawing more for one changes no other.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// Who the shopper is.
    Person = 1,
    /// What they buy without any mail.
    Habit = 2,
    /// How they take one mail.
    Reaction = 3,
}

/// The random stream of one shopper for one purpose; `occasion` tells apart the mails they get.
pub(crate) fn stream(seed: u64, number: u32, purpose: Purpose, occasion: u32) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_be_bytes());
    key[8..12].copy_from_slice(&number.to_be_bytes());
    key[12] = purpose as u8;
    key[16..20].copy_from_slice(&occasion.to_be_bytes());
    ChaCha8Rng::from_seed(key)
}

/// One person with an address and a taste.
#[derive(Debug, Clone, PartialEq)]
pub struct Shopper {
    /// From 0 on.
    pub number: u32,
    /// Where they live.
    pub market: &'static Market,
    /// IANA name, one of the market's.
    pub time_zone: &'static str,
    /// Their first name.
    pub first_name: &'static str,
    /// What they like: a word of [`INTERESTS`].
    pub interest: &'static str,
    /// Orders before the simulation began.
    pub past_orders: u32,
    /// Days from the last of them to the beginning.
    pub days_since_order: Option<u32>,
    /// How readily this person clicks, relative to the market: 0.5 to 1.5, 1 on average.
    pub taste: f64,
    /// How many orders a day they place without any mail.
    pub orders_per_day: f64,
}

/// What shoppers like.
pub const INTERESTS: &[&str] = &["beauty", "garden", "home", "kids", "shoes", "sport"];

/// Orders a day without any mail, of a shopper with one to three past orders.
const ORDERS_PER_DAY: f64 = 0.004;

impl Shopper {
    /// The shopper of that number.
    #[must_use]
    pub fn new(seed: u64, number: u32) -> Self {
        let mut draw = stream(seed, number, Purpose::Person, 0);
        let market = pick_market(draw.random_range(0..1000));
        let pick = |words: &[&'static str], draw: &mut ChaCha8Rng| words[draw.random_range(0..words.len())];
        let time_zone = pick(market.time_zones, &mut draw);
        let first_name = pick(first_names(market.language), &mut draw);
        let interest = pick(INTERESTS, &mut draw);
        let (past_orders, habit) = match draw.random_range(0..100) {
            0..30 => (0, 0.6),
            30..75 => (draw.random_range(1..=3), 1.0),
            _ => (draw.random_range(4..=12), 1.6),
        };
        let days_since_order = (past_orders > 0).then(|| draw.random_range(1..=365));
        let taste = 0.5 + draw.random::<f64>();
        let orders_per_day = ORDERS_PER_DAY * habit * market.order_factor;
        Self { number, market, time_zone, first_name, interest, past_orders, days_since_order, taste, orders_per_day }
    }

    /// The shop's own id of this customer.
    #[must_use]
    pub fn key(&self) -> String {
        format!("c{}", self.number)
    }

    /// Their address.
    #[must_use]
    pub fn email(&self) -> String {
        format!("c{}@{SHOPPERS_DOMAIN}", self.number)
    }

    /// The number of the shopper with that address. `None` when it is not of this world.
    #[must_use]
    pub fn number_of(email: &str) -> Option<u32> {
        let digits = email.trim_matches(['<', '>']).strip_suffix(SHOPPERS_DOMAIN)?.strip_suffix('@')?.strip_prefix('c')?;
        digits.parse().ok().filter(|number: &u32| number.to_string() == digits)
    }
}

fn pick_market(mut per_mille: u32) -> &'static Market {
    for market in MARKETS {
        if per_mille < market.share_per_mille {
            return market;
        }
        per_mille -= market.share_per_mille;
    }
    unreachable!("the shares add up to a thousand, and a test holds them to it")
}

fn first_names(language: &str) -> &'static [&'static str] {
    match language {
        "de" => &["Anna", "Ben", "Clara", "Jonas", "Lena", "Moritz", "Sophie", "Jürgen"],
        "fr" => &["Chloé", "Hugo", "Inès", "Louis", "Manon", "Zoé", "Rémi", "Élodie"],
        "ja" => &["さくら", "陽菜", "翔太", "美咲", "健太", "葵", "蓮", "結衣"],
        "pl" => &["Zofia", "Jan", "Łucja", "Michał", "Małgorzata", "Piotr", "Ewa", "Staś"],
        "pt-BR" => &["João", "Maria", "Thaís", "Lucas", "Beatriz", "Antônio", "Júlia", "Caio"],
        "es" => &["Sofía", "Mateo", "Ximena", "Diego", "Lucía", "Andrés", "Renata", "Íñigo"],
        _ => &["Olivia", "Noah", "Priya", "Liam", "Aarav", "Grace", "O'Brien", "Mia"],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_shopper_follows_from_seed_and_number() {
        assert_eq!(Shopper::new(1, 77), Shopper::new(1, 77));
        let differs = (0..50).filter(|number| Shopper::new(1, *number) != Shopper::new(2, *number)).count();
        assert_eq!(differs, 50, "another seed is another world");
    }

    #[test]
    fn addresses_lead_back_to_numbers() {
        let check = |email: &str, expect: Option<u32>| assert_eq!(Shopper::number_of(email), expect, "{email}");
        check(&Shopper::new(1, 123).email(), Some(123));
        check("<c9@shoppers.example.test>", Some(9));
        check("c09@shoppers.example.test", None);
        check("x9@shoppers.example.test", None);
        check("c9@example.test", None);
        check("c@shoppers.example.test", None);
    }

    #[test]
    fn the_markets_get_their_shares() {
        let total = 20_000_u32;
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        for number in 0..total {
            *counts.entry(Shopper::new(5, number).market.country).or_default() += 1;
        }
        for market in MARKETS {
            let share = f64::from(market.share_per_mille) / 1000.0;
            let error = (share * (1.0 - share) / f64::from(total)).sqrt();
            let seen = f64::from(counts[market.country]) / f64::from(total);
            assert!((seen - share).abs() < 4.0 * error, "{}: {seen} v {share}", market.country);
        }
    }
}
