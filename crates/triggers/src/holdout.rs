//! Contacts for whom a trigger fires but nothing is sent, so that its effect can be measured.
//!
//! Who is among them is a keyed hash of the contact, so nothing is stored and everybody stays where they are. Whoever is in a
//! share of 0.05 is also in one of 0.1, so a share can grow.

use sha2::{Digest, Sha256};
use vocabulary::ContactKey;

/// How many 64-bit numbers there are.
const RANGE: u128 = 1 << 64;

/// A share of the contacts, chosen by hash under the name of a trigger.
#[derive(Debug, Clone)]
pub(crate) struct Holdout {
    share: f64,
    salted: Sha256,
}

impl Holdout {
    /// A share of 0 to 1.
    pub(crate) fn new(trigger: &str, share: f64) -> Self {
        // What the hash is for goes first, so that it is independent of the global holdout, experiments and campaigns.
        let mut salted = Sha256::new();
        for part in ["sendlab", "trigger holdout", trigger] {
            salted.update((part.len() as u64).to_be_bytes());
            salted.update(part);
        }
        Self { share, salted }
    }

    pub(crate) fn has(&self, key: ContactKey) -> bool {
        // At 1 the product is 2^64, beyond every hash.
        u128::from(self.hash(key)) < (self.share * RANGE as f64) as u128
    }

    fn hash(&self, key: ContactKey) -> u64 {
        let digest = self.salted.clone().chain_update(key.to_bytes()).finalize();
        digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: i64) -> ContactKey {
        ContactKey::from_i64(number).unwrap()
    }

    /// Computed by Python's hashlib. A change here would move people in and out of holdouts.
    #[test]
    fn the_holdout_never_changes() {
        assert_eq!(Holdout::new("welcome", 0.1).hash(key(1)), WELCOME_1);
        assert_eq!(Holdout::new("早安", 0.1).hash(key(77)), MORNING_77);
    }

    const WELCOME_1: u64 = 5_485_482_486_904_431_837;
    const MORNING_77: u64 = 5_528_739_513_625_771;

    #[test]
    fn shares_are_kept_and_nested() {
        let held = |share| (1..=10_000).map(|number| Holdout::new("t", share).has(key(number))).collect::<Vec<_>>();
        let count = |share| held(share).into_iter().filter(|held| *held).count();
        assert_eq!((count(0.0), count(1.0)), (0, 10_000));
        assert!((900..1100).contains(&count(0.1)), "{}", count(0.1));
        assert!(held(0.1).into_iter().zip(held(0.2)).all(|(small, large)| !small || large));
    }
}
