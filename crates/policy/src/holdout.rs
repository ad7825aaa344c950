//! The global holdout: contacts who get no marketing at all, so that its whole effect can be measured.
//!
//! Who is in it is a keyed hash of the contact, so nothing is stored and everybody stays where they are. Whoever is in a share
//! of 0.05 is also in one of 0.1, so a share can grow.

use sha2::{Digest, Sha256};
use vocabulary::{ContactKey, MessageClass};

use crate::answer::{Answer, Reason};
use crate::error::RulesError;
use crate::reader::Section;
use crate::rule::{FileHead, Rule};
use crate::tally::{Case, Log, Tally};

/// How many 64-bit numbers there are.
const RANGE: u128 = 1 << 64;

/// A share of the contacts, chosen by hash under a name.
#[derive(Debug)]
pub(crate) struct Holdout {
    pub(crate) rule: Rule,
    share: f64,
    classes: Vec<MessageClass>,
    salted: Sha256,
}

impl Holdout {
    pub(crate) fn read(mut section: Section<'_>, head: FileHead) -> Result<Self, RulesError> {
        let rule = Rule::read(&mut section, head)?;
        let name = section.text("name")?;
        let holdout = Self { rule, share: section.share("share")?, classes: section.words("classes")?, salted: salted(name) };
        section.finish()?;
        Ok(holdout)
    }

    fn has(&self, key: ContactKey) -> bool {
        // At 1 the product is 2^64, beyond every hash.
        u128::from(hash(&self.salted, key)) < (self.share * RANGE as f64) as u128
    }
}

/// SHA-256 fed with what the hash is for, so that it is independent of experiments and campaigns of the same name.
fn salted(name: &str) -> Sha256 {
    let mut state = Sha256::new();
    for part in ["sendlab", "holdout", name] {
        state.update((part.len() as u64).to_be_bytes());
        state.update(part);
    }
    state
}

fn hash(salted: &Sha256, key: ContactKey) -> u64 {
    let digest = salted.clone().chain_update(key.to_bytes()).finalize();
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Asks whether the contact is held out.
pub(crate) fn check<L: Log>(holdout: &Holdout, case: &Case<'_>, tally: &mut Tally<'_, L>) {
    let class = case.message.class;
    let answer = if !holdout.classes.contains(&class) {
        Answer::permit(Reason::ClassExempt(class))
    } else if holdout.share > 0.0 && holdout.has(case.contact.key) {
        Answer::refuse(Reason::HeldOut)
    } else {
        Answer::permit(Reason::NotHeldOut)
    };
    tally.answer(&holdout.rule, answer, || format!("{class}; a share of {} of all contacts is held out", holdout.share));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by Python's hashlib. A change here would move people in and out of the holdout.
    #[test]
    fn the_holdout_never_changes() {
        let key = |number| ContactKey::from_i64(number).expect("positive");
        assert_eq!(hash(&salted("global"), key(1)), HASH_OF_1);
        assert_eq!(hash(&salted("global"), key(2)), HASH_OF_2);
        assert_eq!(hash(&salted("早安"), key(77)), HASH_OF_77);
    }

    const HASH_OF_1: u64 = 14_379_314_665_952_412_041;
    const HASH_OF_2: u64 = 8_972_596_090_542_265_480;
    const HASH_OF_77: u64 = 6_343_091_472_080_544_432;
}
