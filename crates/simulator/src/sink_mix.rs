//! How often a mailbox provider says no, for the sink: shares of recipients and mails that meet an answer other than 250.
//!
//! Who meets what follows from the seed and the address, so that the same address is unknown each time it is tried, and a second run
//! meets the same.

use std::collections::HashMap;
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Mutex, PoisonError};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Shares, each from 0 to 1, of recipients; [`Mix::lost`] and [`Mix::unwanted`] of mails, by their first recipient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mix {
    /// Which addresses meet what.
    pub seed: u64,
    /// Mailboxes that do not exist: 550, each time.
    pub unknown: f64,
    /// Mailboxes that are full: 452, each time.
    pub full: f64,
    /// Recipients that are put off with 451 as often as [`Mix::busy_times`], and then taken.
    pub busy: f64,
    /// How often they are put off.
    pub busy_times: u32,
    /// Connections that end with 421 when this recipient is named for the first time.
    pub closing: f64,
    /// Mails that are read and then refused with 554.
    pub unwanted: f64,
    /// Mails that are kept, but the connection is closed without an answer: nobody can know.
    pub lost: f64,
}

impl Mix {
    /// Everything is taken.
    pub const NONE: Self =
        Self { seed: 0, unknown: 0.0, full: 0.0, busy: 0.0, busy_times: 1, closing: 0.0, unwanted: 0.0, lost: 0.0 };

    /// A list in fair order before a large provider: 2 in 100 do not exist, 3 in 100 are put off once, and less of the rest. Round
    /// figures of our own; providers publish none.
    pub const PROVIDER: Self =
        Self { unknown: 0.02, full: 0.005, busy: 0.03, closing: 0.002, unwanted: 0.003, lost: 0.0005, ..Self::NONE };
}

/// What a recipient or mail meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    Unknown,
    Full,
    Busy,
    Closing,
    Unwanted,
    Lost,
}

/// A mix with what it has to remember.
#[derive(Debug)]
pub(crate) struct Troubles {
    mix: Mix,
    /// How often those who are only put off were.
    put_off: Mutex<HashMap<String, u32>>,
}

impl Troubles {
    pub(crate) fn new(mix: Mix) -> Self {
        Self { mix, put_off: Mutex::default() }
    }

    /// What naming a recipient meets.
    pub(crate) fn of_recipient(&self, to: &str) -> Option<Trouble> {
        let Mix { unknown, full, busy, closing, busy_times, .. } = self.mix;
        let shares = [(unknown, Trouble::Unknown), (full, Trouble::Full), (busy, Trouble::Busy), (closing, Trouble::Closing)];
        let (trouble, times) = match self.draw("recipient", to, shares)? {
            Trouble::Busy => (Trouble::Busy, busy_times),
            Trouble::Closing => (Trouble::Closing, 1),
            lasting => return Some(lasting),
        };
        let mut put_off = self.put_off.lock().unwrap_or_else(PoisonError::into_inner);
        let count = put_off.entry(to.to_owned()).or_default();
        *count += 1;
        (*count <= times).then_some(trouble)
    }

    /// What a mail meets once it was read.
    pub(crate) fn of_mail(&self, to: &str) -> Option<Trouble> {
        self.draw("mail", to, [(self.mix.unwanted, Trouble::Unwanted), (self.mix.lost, Trouble::Lost)])
    }

    fn draw<const N: usize>(&self, of: &str, to: &str, shares: [(f64, Trouble); N]) -> Option<Trouble> {
        let mut hasher = std::hash::DefaultHasher::new();
        (self.mix.seed, of, to).hash(&mut hasher);
        let mut drawn: f64 = ChaCha8Rng::seed_from_u64(hasher.finish()).random();
        for (share, trouble) in shares {
            if drawn < share {
                return Some(trouble);
            }
            drawn -= share;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_met_and_stay_the_same() {
        let mix = Mix { seed: 7, busy_times: 2, ..Mix::PROVIDER };
        let meet = || {
            let troubles = Troubles::new(mix);
            let of = |number: usize| {
                let to = format!("k{number}@example.test");
                let tries: Vec<_> = (0..4).map(|_| troubles.of_recipient(&to)).collect();
                (tries, troubles.of_mail(&to))
            };
            (0..20_000).map(of).collect::<Vec<_>>()
        };
        let met = meet();
        assert_eq!(met, meet());
        let count = |trouble: Trouble| met.iter().filter(|(tries, _)| tries[0] == Some(trouble)).count();
        let near = |count: usize, share: f64| (count as f64 - share * 20_000.0).abs() < 5.0 * (share * 20_000.0).sqrt();
        assert!(near(count(Trouble::Unknown), mix.unknown) && near(count(Trouble::Busy), mix.busy), "{}", count(Trouble::Busy));
        for (tries, _) in &met {
            let expect = match tries[0] {
                Some(Trouble::Busy) => [Some(Trouble::Busy), Some(Trouble::Busy), None, None],
                Some(Trouble::Closing) => [Some(Trouble::Closing), None, None, None],
                same => [same; 4],
            };
            assert_eq!(tries[..], expect);
        }
        let unwanted = met.iter().filter(|(_, mail)| *mail == Some(Trouble::Unwanted)).count();
        assert!(near(unwanted, mix.unwanted), "{unwanted}");
        let none = Troubles::new(Mix::NONE);
        assert!((0..1_000).all(|n| none.of_recipient(&n.to_string()).is_none() && none.of_mail(&n.to_string()).is_none()));
    }
}
