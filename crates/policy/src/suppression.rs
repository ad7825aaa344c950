//! Whether the contact is on the suppression list, which survives every import.

use vocabulary::MessageClass;

use crate::answer::{Answer, Reason};
use crate::consent::newest;
use crate::error::RulesError;
use crate::facts::{Basis, Purpose, Suppression, SuppressionReason};
use crate::reader::Section;
use crate::rule::{FileHead, Rule};
use crate::tally::{Case, Log, Tally};

/// What an entry of one reason stops.
#[derive(Debug)]
pub(crate) struct SuppressionRule {
    rule: Rule,
    reason: SuppressionReason,
    stops: Vec<MessageClass>,
    /// The kinds of consent that, given later, make the entry void.
    lifted_by: Vec<Basis>,
}

/// Reads `suppression.toml`: one rule for each reason.
pub(crate) fn read(mut file: Section<'_>) -> Result<Vec<SuppressionRule>, RulesError> {
    let head = FileHead::read(&mut file)?;
    let mut rules: Vec<SuppressionRule> = Vec::new();
    for mut section in file.tables("rule")? {
        let rule = Rule::read(&mut section, head)?;
        let reason =
            section.word("reason")?.ok_or_else(|| section.wrong("reason", "is missing; write one such as \"unsubscribed\""))?;
        let stops = section.words("stops")?;
        if stops.is_empty() {
            return Err(section.wrong("stops", "is missing; write the classes it stops, such as [\"marketing\"]"));
        }
        if rules.iter().any(|other| other.reason == reason) {
            return Err(section.wrong("reason", format!("`{reason}` has a rule already")));
        }
        rules.push(SuppressionRule { rule, reason, stops, lifted_by: section.words("lifted_by")? });
        section.finish()?;
    }
    let missing = SuppressionReason::ALL.iter().find(|reason| !rules.iter().any(|rule| rule.reason == **reason));
    if let Some(missing) = missing {
        return Err(
            file.wrong("rule", format!("has none for the reason `{missing}`; add one, or its entries would stop nothing"))
        );
    }
    file.finish()?;
    Ok(rules)
}

impl SuppressionRule {
    fn is_about(&self, entry: &Suppression, case: &Case<'_>) -> bool {
        entry.reason == self.reason && entry.channel.is_none_or(|channel| channel == case.message.channel)
    }

    fn answer(&self, case: &Case<'_>) -> Answer {
        // Of several entries the newest counts: a consent that lifts it lifts the older ones as well.
        let entries = case.contact.suppressions.iter().filter(|entry| self.is_about(entry, case));
        let Some(newest_entry) = entries.max_by_key(|entry| entry.at) else { return Answer::permit(Reason::NotSuppressed) };
        let class = case.message.class;
        if !self.stops.contains(&class) {
            return Answer::permit(Reason::ClassExempt(class));
        }
        let consent = newest(case.contact.consents, case.message.channel, Purpose::Marketing, case.at);
        let later = consent.filter(|consent| consent.at > newest_entry.at).and_then(|consent| consent.given);
        match later.filter(|basis| self.lifted_by.contains(basis)) {
            Some(basis) => Answer::permit(Reason::SuppressionLifted(basis)),
            None => Answer::refuse(Reason::Suppressed(self.reason)),
        }
    }
}

/// Asks the rule of each reason.
pub(crate) fn check<L: Log>(rules: &[SuppressionRule], case: &Case<'_>, tally: &mut Tally<'_, L>) {
    for rule in rules {
        tally.answer(&rule.rule, rule.answer(case), || {
            let about = case.contact.suppressions.iter().filter(|entry| rule.is_about(entry, case)).max_by_key(|entry| entry.at);
            let about = about.map_or("no entry".to_owned(), |entry| {
                let channel = entry.channel.map_or("every channel", |channel| channel.as_str());
                format!("an entry for {channel} since {}", entry.at)
            });
            format!("{} by {}; {}: {about}", case.message.class, case.message.channel, rule.reason.as_str().replace('_', " "))
        });
    }
}

/// The heads of the rules.
pub(crate) fn heads(rules: &[SuppressionRule]) -> impl Iterator<Item = &Rule> {
    rules.iter().map(|rule| &rule.rule)
}
