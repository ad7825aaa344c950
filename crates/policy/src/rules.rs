//! The whole set of rules: read from its files, checked, and known by one version.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use vocabulary::Contact;

use crate::calendar::Festival;
use crate::caps::CapRule;
use crate::consent::ConsentRule;
use crate::error::RulesError;
use crate::holidays::Holidays;
use crate::hours::HoursRule;
use crate::place::{Atlas, Country};
use crate::reader::{Section, parse};
use crate::registration::Registration;
use crate::rule::Rule;
use crate::scope::Scoped;
use crate::sending::Sending;
use crate::suppression::SuppressionRule;
use crate::wording::WordingRule;
use crate::{calendar, caps, consent, hours, suppression, wording};

/// The files that make a set of rules, by name and with the text that is built in.
pub const FILES: [(&str, &str); 10] = [
    ("zones.toml", include_str!("../../../data/rules/zones.toml")),
    ("holidays.toml", include_str!("../../../data/rules/holidays.toml")),
    ("festivals.toml", include_str!("../../../data/rules/festivals.toml")),
    ("suppression.toml", include_str!("../../../data/rules/suppression.toml")),
    ("consent.toml", include_str!("../../../data/rules/consent.toml")),
    ("sending.toml", include_str!("../../../data/rules/sending.toml")),
    ("hours.toml", include_str!("../../../data/rules/hours.toml")),
    ("caps.toml", include_str!("../../../data/rules/caps.toml")),
    ("registration.toml", include_str!("../../../data/rules/registration.toml")),
    ("wording.toml", include_str!("../../../data/rules/wording.toml")),
];

/// A checked set of rules. Make it once and share it; to decide takes no lock and no memory while everything permits.
#[derive(Debug)]
pub struct Rules {
    version: Arc<str>,
    pub(crate) atlas: Atlas,
    pub(crate) holidays: Holidays,
    pub(crate) festivals: Vec<Festival>,
    pub(crate) suppression: Vec<SuppressionRule>,
    pub(crate) consent: Scoped<ConsentRule>,
    pub(crate) sending: Sending,
    pub(crate) hours: Scoped<HoursRule>,
    pub(crate) caps: Scoped<CapRule>,
    pub(crate) registration: Registration,
    pub(crate) wording: Scoped<WordingRule>,
}

impl Rules {
    /// The rules that are built in.
    ///
    /// # Errors
    /// [`RulesError`] when a built-in file is wrong, which the tests rule out.
    pub fn embedded() -> Result<Self, RulesError> {
        Self::with(&[])
    }

    /// The built-in rules with some files replaced, by name: the sender's own caps and holdout, or a law as their lawyer
    /// reads it.
    ///
    /// # Errors
    /// [`RulesError`]: the file, the key and the fix.
    pub fn with(replaced: &[(&str, &str)]) -> Result<Self, RulesError> {
        for (index, (name, _)) in replaced.iter().enumerate() {
            let wrong = |reason: String| RulesError::File { file: (*name).to_owned(), reason };
            if !FILES.iter().any(|(known, _)| known == name) {
                let known: Vec<&str> = FILES.iter().map(|(known, _)| *known).collect();
                return Err(wrong(format!("is no file of rules; known are {}", known.join(", "))));
            }
            if replaced[..index].iter().any(|(other, _)| other == name) {
                return Err(wrong("is given twice; give it once".to_owned()));
            }
        }
        let text = |wanted: &str| {
            let found = replaced.iter().chain(&FILES).find(|(name, _)| *name == wanted);
            found.map_or("", |(_, text)| *text)
        };
        let rules = Self::read(text)?;
        rules.check_ids()?;
        Ok(rules)
    }

    fn read<'t>(text: impl Fn(&str) -> &'t str) -> Result<Self, RulesError> {
        let mut digest = Sha256::new();
        let mut tables = Vec::new();
        for (name, _) in FILES {
            let text = text(name);
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text);
            tables.push(parse(name, text)?);
        }
        let file = |index: usize| Section::of_file(FILES[index].0, &tables[index]);
        let atlas = Atlas::read(file(0))?;
        let holidays = Holidays::read(file(1), &atlas)?;
        let version: String = digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            version: Arc::from(version),
            festivals: calendar::read(file(2), &atlas)?,
            suppression: suppression::read(file(3))?,
            consent: consent::read(file(4), &atlas)?,
            sending: Sending::read(file(5))?,
            hours: hours::read(file(6), &atlas, &holidays)?,
            caps: caps::read(file(7), &atlas)?,
            registration: Registration::read(file(8), &atlas)?,
            wording: wording::read(file(9), &atlas)?,
            holidays,
            atlas,
        })
    }

    /// The share of all contacts that is held out of marketing at a moment, and since when others were, where they take turns.
    #[must_use]
    pub fn holdout(&self, at: Timestamp) -> (f64, Option<Timestamp>) {
        self.sending.holdout.standing(at)
    }

    /// A decision names a rule by its id, so no two may share one.
    fn check_ids(&self) -> Result<(), RulesError> {
        let mut seen = BTreeSet::new();
        match self.heads().find(|rule| !seen.insert(&rule.id)) {
            None => Ok(()),
            Some(rule) => {
                let reason = "stands twice in the rules; give each rule its own id".to_owned();
                Err(RulesError::Invalid { file: "the files of rules".to_owned(), key: rule.id.to_string(), reason })
            }
        }
    }

    /// The IANA time zone of a country whose clocks all run alike; `None` where there are several, or no such country.
    #[must_use]
    pub fn only_zone(&self, country: &str) -> Option<&str> {
        match self.atlas.zones(Country::new(country), None) {
            [zone] => zone.iana_name(),
            _ => None,
        }
    }

    /// Where nobody told a contact's time zone, their country or else that of their number tells it, if it has only one clock.
    /// Of several none is more likely enough to send by: there a message waits until every clock of the country permits it.
    pub fn derive_time_zone(&self, contact: &mut Contact) {
        let profile = &contact.profile;
        if profile.time_zone.is_none() {
            let country = profile.country.as_deref().or(profile.phone_country.as_deref());
            contact.derived_time_zone = country.and_then(|country| self.only_zone(country)).map(str::to_owned);
        }
    }

    /// Names the whole set: twelve hexadecimal digits of a hash of all files. The same text has the same version.
    #[must_use]
    pub fn version(&self) -> &Arc<str> {
        &self.version
    }

    /// The heads of all rules, with their sources.
    pub fn heads(&self) -> impl Iterator<Item = &Rule> {
        let days = self.holidays.calendars.iter().map(|calendar| &calendar.rule);
        let days = days.chain(self.festivals.iter().map(|festival| &festival.rule));
        let people = suppression::heads(&self.suppression).chain(consent::heads(&self.consent)).chain(self.sending.heads());
        let times = hours::heads(&self.hours).chain(caps::heads(&self.caps));
        let content = self.registration.heads().chain(wording::heads(&self.wording));
        days.chain(people).chain(times).chain(content)
    }

    /// The head of a rule by its id.
    #[must_use]
    pub fn head(&self, id: &str) -> Option<&Rule> {
        self.heads().find(|rule| &*rule.id == id)
    }
}

#[cfg(test)]
mod tests {
    use vocabulary::{ContactKey, Timestamp};

    use super::*;

    #[test]
    fn a_country_with_one_clock_tells_the_time() {
        let rules = Rules::embedded().unwrap();
        let check = |country: Option<&str>, phone: Option<&str>, told: Option<&str>, expect: Option<&str>| {
            let mut contact = Contact::new(ContactKey::from_random(1), Timestamp::UNIX_EPOCH);
            contact.profile.country = country.map(str::to_owned);
            contact.profile.phone_country = phone.map(str::to_owned);
            contact.profile.time_zone = told.map(str::to_owned);
            rules.derive_time_zone(&mut contact);
            assert_eq!(contact.derived_time_zone.as_deref(), expect, "{country:?} {phone:?} {told:?}");
        };
        check(Some("JP"), None, None, Some("Asia/Tokyo"));
        check(Some("JP"), Some("DE"), None, Some("Asia/Tokyo"));
        check(None, Some("DE"), None, Some("Europe/Berlin"));
        check(Some("JP"), None, Some("Asia/Seoul"), None);
        check(Some("US"), Some("DE"), None, None);
        check(None, None, None, None);
    }
}
