//! The global holdout: contacts who get no marketing at all, so that its whole effect can be measured.
//!
//! Who is in it is a keyed hash of the contact, so nothing is stored and everybody stays where they are; with `rotate_days` for so many
//! days, after which others are drawn. Whoever is in a share of 0.05 is also in one of 0.1, so a share can grow.

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use vocabulary::{ContactKey, MessageClass};

use crate::answer::{Answer, Reason};
use crate::error::RulesError;
use crate::reader::Section;
use crate::rule::{FileHead, Rule};
use crate::tally::{Case, Log, Tally};

/// Three years: whoever wants to hold people out for longer means for good.
const ROTATE_DAYS_MAX: u32 = 3 * 366;

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// How many 64-bit numbers there are.
const RANGE: u128 = 1 << 64;

/// A share of the contacts, chosen by hash under a name.
#[derive(Debug)]
pub(crate) struct Holdout {
    pub(crate) rule: Rule,
    share: f64,
    classes: Vec<MessageClass>,
    /// After so many days others are held out; never where absent.
    rotate_days: Option<u32>,
    salted: Sha256,
}

impl Holdout {
    pub(crate) fn read(mut section: Section<'_>, head: FileHead) -> Result<Self, RulesError> {
        let rule = Rule::read(&mut section, head)?;
        let name = section.text("name")?;
        let (share, classes, rotate_days) = (section.share("share")?, section.words("classes")?, section.whole("rotate_days")?);
        if rotate_days.is_some_and(|days| !(1..=ROTATE_DAYS_MAX).contains(&days)) {
            let reason = format!("must be from 1 to {ROTATE_DAYS_MAX}; leave it out to hold the same people out for good");
            return Err(section.wrong("rotate_days", reason));
        }
        let holdout = Self { rule, share, classes, rotate_days, salted: salted(name) };
        section.finish()?;
        Ok(holdout)
    }

    /// See [`crate::Rules::holdout`].
    pub(crate) fn standing(&self, at: Timestamp) -> (f64, Option<Timestamp>) {
        let begins = |days: u32| Timestamp::from_second(period(at, days) * DAY_SECONDS * i64::from(days)).unwrap_or(at);
        (self.share, self.rotate_days.map(begins))
    }

    fn has(&self, key: ContactKey, at: Timestamp) -> bool {
        let number = match self.rotate_days {
            None => hash(&self.salted, key),
            Some(days) => hash(&self.salted.clone().chain_update(period(at, days).to_be_bytes()), key),
        };
        // At 1 the product is 2^64, beyond every hash.
        u128::from(number) < (self.share * RANGE as f64) as u128
    }
}

/// The number of the period of so many days in which a moment lies.
fn period(at: Timestamp, days: u32) -> i64 {
    at.as_second().div_euclid(DAY_SECONDS * i64::from(days))
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
    } else if holdout.share > 0.0 && holdout.has(case.contact.key, case.at) {
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

    /// Others are held out in each period, as many of them, and the same ones all through it.
    #[test]
    fn a_holdout_rotates() {
        let at = |day: i64| Timestamp::from_second(day * DAY_SECONDS + 7).expect("a moment");
        let key = |number| ContactKey::from_i64(number).expect("positive");
        let text = "id = \"holdout/global\"\nkind = \"house\"\nsource = \"us\"\nname = \"global\"\nshare = 0.1\nclasses = [\"marketing\"]\n";
        let read = |text: &str| {
            let table = crate::reader::parse("sending.toml", text).expect("TOML");
            let head = FileHead { version: 1, checked: jiff::civil::date(2026, 1, 1) };
            Holdout::read(Section::of_file("sending.toml", &table), head)
        };
        let holdout = read(&format!("{text}rotate_days = 30\n")).expect("it is right");
        let held = |day| (1..=10_000).filter(|number| holdout.has(key(*number), at(day))).collect::<Vec<_>>();
        let [first, last, next] = [0, 29, 30].map(held);
        assert_eq!(first, last);
        let both = first.iter().filter(|number| next.contains(number)).count();
        assert!((900..1_100).contains(&first.len()) && (900..1_100).contains(&next.len()), "{} {}", first.len(), next.len());
        assert_eq!(holdout.standing(at(59)), (0.1, Timestamp::from_second(30 * DAY_SECONDS).ok()));
        assert!((60..140).contains(&both), "a tenth of a tenth, not {both}");
        assert!(
            (0..60).all(|day| read(text).expect("it is right").has(key(1), at(day))
                == read(text).expect("it is right").has(key(1), at(0)))
        );
        let why = read(&format!("{text}rotate_days = 0\n")).expect_err("no days").to_string();
        assert!(why.contains("rotate_days") && why.contains("must be from 1 to 1098"), "{why}");
    }

    const HASH_OF_1: u64 = 14_379_314_665_952_412_041;
    const HASH_OF_2: u64 = 8_972_596_090_542_265_480;
    const HASH_OF_77: u64 = 6_343_091_472_080_544_432;
}
