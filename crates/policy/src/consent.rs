//! Whether the contact agreed to be written to, in a way that is good enough where they live.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use vocabulary::{Channel, MessageClass};

use crate::answer::{Answer, Reason};
use crate::error::RulesError;
use crate::facts::{Basis, ConsentFact, Purpose};
use crate::place::Atlas;
use crate::reader::Section;
use crate::rule::{FileHead, Rule};
use crate::scope::{Scope, Scoped};
use crate::tally::{Case, Log, Tally};

/// What a consent must be like.
#[derive(Debug)]
pub(crate) struct ConsentRule {
    rule: Rule,
    /// Whether one is needed at all; where not, an objection is what counts.
    needed: bool,
    accepts: Vec<Basis>,
    /// How long consents of some kinds last, in months.
    months: Vec<(Basis, u32)>,
    /// Separate consents that are needed beside.
    also: Vec<Purpose>,
}

/// Reads `consent.toml`.
pub(crate) fn read(mut file: Section<'_>, atlas: &Atlas) -> Result<Scoped<ConsentRule>, RulesError> {
    let head = FileHead::read(&mut file)?;
    let mut rules = Vec::new();
    for mut section in file.tables("rule")? {
        rules.push((Scope::read(&mut section, atlas)?, ConsentRule::read(&mut section, head)?));
        section.finish()?;
    }
    file.finish()?;
    Ok(Scoped::new(rules))
}

impl ConsentRule {
    fn read(section: &mut Section<'_>, head: FileHead) -> Result<Self, RulesError> {
        let rule = Rule::read(section, head)?;
        let needed = section.flag("needed", true)?;
        let accepts = section.words::<Basis>("accepts")?;
        if needed == accepts.is_empty() {
            return Err(section.wrong("accepts", "must name kinds of consent where consent is needed, and only there"));
        }
        let mut months = Vec::new();
        if let Some(table) = section.table("months")? {
            for (name, count) in table.named_wholes()? {
                let basis: Basis = name.parse().map_err(|reason: String| table.wrong(name, reason))?;
                if count == 0 {
                    return Err(table.wrong(name, "is 0; leave the kind out of `accepts` instead"));
                }
                months.push((basis, count));
            }
        }
        Ok(Self { rule, needed, accepts, months, also: section.words("also")? })
    }

    fn answer(&self, case: &Case<'_>) -> Answer {
        let newest = newest(case.contact.consents, case.message.channel, Purpose::Marketing, case.at);
        let fact = match newest {
            Some(ConsentFact { given: None, at, .. }) => return Answer::refuse(Reason::ConsentWithdrawn(*at)),
            None if !self.needed => return Answer::permit(Reason::ConsentNotNeeded),
            None => return Answer::refuse(Reason::NoConsent),
            Some(fact) => fact,
        };
        let Some(basis) = fact.given else { return Answer::refuse(Reason::NoConsent) };
        if !self.needed {
            return Answer::permit(Reason::Consented(basis));
        }
        if !self.accepts.contains(&basis) {
            return Answer::refuse(Reason::BasisNotEnough(basis));
        }
        let months = self.months.iter().find(|(limited, _)| *limited == basis);
        if months.is_some_and(|(_, months)| end_of(fact.at, *months).is_none_or(|end| end <= case.at)) {
            return Answer::refuse(Reason::ConsentExpired(fact.at));
        }
        let missing = self.also.iter().find(|purpose| !is_given(case, **purpose));
        missing
            .map_or(Answer::permit(Reason::Consented(basis)), |purpose| Answer::refuse(Reason::SeparateConsentMissing(*purpose)))
    }
}

/// When a consent ends: as many calendar months later, by the clock of UTC.
fn end_of(given: Timestamp, months: u32) -> Option<Timestamp> {
    let end = given.to_zoned(TimeZone::UTC).checked_add(i64::from(months).months()).ok()?;
    Some(end.timestamp())
}

/// The newest word about a channel and a purpose; of two at the same moment the withdrawal. A consent dated ahead of `at` is
/// not there yet, while a withdrawal holds whatever its date.
#[must_use]
pub fn newest(consents: &[ConsentFact], channel: Channel, purpose: Purpose, at: Timestamp) -> Option<&ConsentFact> {
    let about = consents.iter().filter(|fact| fact.channel == channel && fact.purpose == purpose);
    about.filter(|fact| fact.at <= at || fact.given.is_none()).max_by_key(|fact| (fact.at, fact.given.is_none()))
}

/// Whether a separate consent was asked for and given, and not withdrawn since.
pub(crate) fn is_given(case: &Case<'_>, purpose: Purpose) -> bool {
    let newest = newest(case.contact.consents, case.message.channel, purpose, case.at);
    let asked = [Basis::ExpressWritten, Basis::DoubleOptIn, Basis::Express];
    newest.and_then(|fact| fact.given).is_some_and(|basis| asked.contains(&basis))
}

/// Asks the first rule that holds for the contact's country, the channel and marketing.
pub(crate) fn check<L: Log>(rules: &Scoped<ConsentRule>, case: &Case<'_>, tally: &mut Tally<'_, L>) {
    let mut found = rules.at(&case.place, case.message.channel, MessageClass::Marketing);
    let Some((scope, rule)) = found.next() else { return };
    let class = case.message.class;
    let answer = if scope.has_class(class) { rule.answer(case) } else { Answer::permit(Reason::ClassExempt(class)) };
    tally.answer(&rule.rule, answer, || {
        let newest = newest(case.contact.consents, case.message.channel, Purpose::Marketing, case.at);
        let state = newest.map_or("nothing is known".to_owned(), |fact| match fact.given {
            Some(basis) => format!("{} since {}", basis.as_str().replace('_', " "), fact.at),
            None => format!("withdrawn at {}", fact.at),
        });
        let accepts: Vec<&str> = rule.accepts.iter().map(|basis| basis.as_str()).collect();
        let accepts = if rule.needed { format!("needed: one of {}", accepts.join(", ")) } else { "none is needed".to_owned() };
        format!("{class} by {}; consent: {state}; {accepts}", case.message.channel)
    });
}

/// The heads of the rules.
pub(crate) fn heads(rules: &Scoped<ConsentRule>) -> impl Iterator<Item = &Rule> {
    rules.iter().map(|(_, rule)| &rule.rule)
}
