//! Sender ids and templates that must be registered before a network carries the message.

use std::collections::BTreeSet;

use vocabulary::MessageClass;

use crate::answer::{Answer, Reason};
use crate::error::RulesError;
use crate::facts::{Sender, Template};
use crate::place::Atlas;
use crate::reader::Section;
use crate::rule::{FileHead, Rule};
use crate::scope::{Scope, Scoped};
use crate::tally::{Case, Log, Tally};

/// What is asked of the sender's id.
#[derive(Debug)]
pub(crate) struct SenderRule {
    rule: Rule,
    registered: bool,
    entity: bool,
    /// The id is so many digits and nothing else.
    digits: Option<usize>,
    prefix: Option<String>,
    suffix: Option<String>,
    chars_max: Option<usize>,
}

/// What is asked of the template.
#[derive(Debug)]
pub(crate) struct TemplateRule {
    rule: Rule,
    /// Whether an approval for another country does: platforms approve once for all.
    anywhere: bool,
    /// How the registrar writes a variable; the text must equal the template but for these.
    variable: Option<String>,
    /// How long the value of one variable may be.
    variable_chars_max: usize,
}

/// What `registration.toml` holds.
#[derive(Debug)]
pub(crate) struct Registration {
    senders: Scoped<SenderRule>,
    templates: Scoped<TemplateRule>,
}

impl Registration {
    /// Reads `registration.toml`.
    pub(crate) fn read(mut file: Section<'_>, atlas: &Atlas) -> Result<Self, RulesError> {
        let head = FileHead::read(&mut file)?;
        let (mut senders, mut templates) = (Vec::new(), Vec::new());
        for mut section in file.tables("sender")? {
            senders.push((Scope::read(&mut section, atlas)?, SenderRule::read(&mut section, head)?));
            section.finish()?;
        }
        for mut section in file.tables("template")? {
            templates.push((Scope::read(&mut section, atlas)?, TemplateRule::read(&mut section, head)?));
            section.finish()?;
        }
        file.finish()?;
        Ok(Self { senders: Scoped::new(senders), templates: Scoped::new(templates) })
    }

    /// The heads of the rules.
    pub(crate) fn heads(&self) -> impl Iterator<Item = &Rule> {
        let senders = self.senders.iter().map(|(_, rule)| &rule.rule);
        senders.chain(self.templates.iter().map(|(_, rule)| &rule.rule))
    }
}

fn size(section: &mut Section<'_>, key: &'static str) -> Result<Option<usize>, RulesError> {
    Ok(section.whole(key)?.and_then(|number| usize::try_from(number).ok()))
}

impl SenderRule {
    fn read(section: &mut Section<'_>, head: FileHead) -> Result<Self, RulesError> {
        Ok(Self {
            rule: Rule::read(section, head)?,
            registered: section.flag("registered", true)?,
            entity: section.flag("entity", false)?,
            digits: size(section, "digits")?,
            prefix: section.text_or_none("prefix")?.map(str::to_owned),
            suffix: section.text_or_none("suffix")?.map(str::to_owned),
            chars_max: size(section, "chars_max")?,
        })
    }

    fn answer(&self, case: &Case<'_>) -> Answer {
        let Some(sender) = case.message.sender else { return Answer::refuse(Reason::SenderMissing) };
        if !self.has_form(&sender) {
            return Answer::refuse(Reason::SenderForm);
        }
        let country = case.place.country;
        let is_registered = country.is_some_and(|country| sender.registered_in.iter().any(|place| country.is(place)));
        if self.registered && !is_registered {
            return Answer::refuse(Reason::SenderNotRegistered);
        }
        let is_named = sender.entity.is_some_and(|entity| !entity.is_empty());
        if self.entity && !is_named { Answer::refuse(Reason::EntityMissing) } else { Answer::permit(Reason::SenderRegistered) }
    }

    fn has_form(&self, sender: &Sender<'_>) -> bool {
        let is_digits = |count: &usize| sender.id.len() == *count && sender.id.bytes().all(|byte| byte.is_ascii_digit());
        self.digits.as_ref().is_none_or(is_digits)
            && self.prefix.as_ref().is_none_or(|prefix| sender.id.starts_with(prefix.as_str()))
            && self.suffix.as_ref().is_none_or(|suffix| sender.id.ends_with(suffix.as_str()))
            && self.chars_max.is_none_or(|most| sender.id.chars().count() <= most)
    }

    fn input(&self, case: &Case<'_>) -> String {
        let mut asked = Vec::new();
        asked.extend(self.registered.then(|| "registered in the country".to_owned()));
        asked.extend(self.entity.then(|| "the registered entity named".to_owned()));
        asked.extend(self.digits.map(|count| format!("{count} digits")));
        asked.extend(self.prefix.as_ref().map(|prefix| format!("beginning with {prefix}")));
        asked.extend(self.suffix.as_ref().map(|suffix| format!("ending with {suffix}")));
        asked.extend(self.chars_max.map(|most| format!("at most {most} characters")));
        let sender = case.message.sender.map_or("no sender id".to_owned(), |sender| {
            format!("sender id {}, registered in {}", sender.id, listed(sender.registered_in))
        });
        format!("{sender}; asked: {}", asked.join(", "))
    }
}

impl TemplateRule {
    fn read(section: &mut Section<'_>, head: FileHead) -> Result<Self, RulesError> {
        Ok(Self {
            rule: Rule::read(section, head)?,
            anywhere: section.flag("anywhere", false)?,
            variable: section.text_or_none("variable")?.map(str::to_owned),
            variable_chars_max: size(section, "variable_chars_max")?.unwrap_or(usize::MAX),
        })
    }

    fn answer(&self, case: &Case<'_>) -> Answer {
        let Some(template) = case.message.template else { return Answer::refuse(Reason::TemplateMissing) };
        let approved = |place: &&str| case.place.country.is_some_and(|country| country.is(place));
        let is_approved = template.approved_in.iter().any(approved) || (self.anywhere && !template.approved_in.is_empty());
        if !is_approved {
            return Answer::refuse(Reason::TemplateNotApproved);
        }
        if template.class != case.message.class {
            return Answer::refuse(Reason::TemplateClass(template.class));
        }
        match (case.message.text, &self.variable) {
            (Some(text), Some(variable)) if !matches(template.text, variable, self.variable_chars_max, text) => {
                Answer::refuse(Reason::TemplateDiffers)
            }
            _ => Answer::permit(Reason::TemplateApproved),
        }
    }

    fn input(&self, case: &Case<'_>) -> String {
        let named = |template: Template<'_>| {
            format!("template {} for {} messages, approved in {}", template.id, template.class, listed(template.approved_in))
        };
        case.message.template.map_or("no template".to_owned(), named)
    }
}

fn listed(places: &[&str]) -> String {
    if places.is_empty() { "no country".to_owned() } else { places.join(", ") }
}

/// Whether a text is a template with its variables filled in by at most so many characters each. All places at which a fixed
/// part may end are kept, so that a value may hold words of the template, and the work stays small whatever the text.
fn matches(template: &str, variable: &str, chars_max: usize, text: &str) -> bool {
    let mut parts = template.split(variable);
    let first = parts.next().unwrap_or_default();
    let mut ends: BTreeSet<usize> = text.starts_with(first).then_some(first.len()).into_iter().collect();
    for part in parts {
        let mut next = BTreeSet::new();
        for start in ends {
            let tail = &text[start..];
            let values = tail.char_indices().map(|(place, _)| place).chain([tail.len()]).take(chars_max.saturating_add(1));
            next.extend(values.filter(|end| tail[*end..].starts_with(part)).map(|end| start + end + part.len()));
        }
        ends = next;
    }
    ends.contains(&text.len())
}

/// Asks what holds for sender and template.
pub(crate) fn check<L: Log>(registration: &Registration, case: &Case<'_>, tally: &mut Tally<'_, L>) {
    let (channel, class) = (case.message.channel, case.message.class);
    let exempt =
        |scope: &Scope, class: MessageClass| (!scope.has_class(class)).then(|| Answer::permit(Reason::ClassExempt(class)));
    for (scope, rule) in registration.senders.at(&case.place, channel, class) {
        let answer = exempt(scope, class).unwrap_or_else(|| rule.answer(case));
        tally.answer(&rule.rule, answer, || rule.input(case));
    }
    for (scope, rule) in registration.templates.at(&case.place, channel, class) {
        let answer = exempt(scope, class).unwrap_or_else(|| rule.answer(case));
        tally.answer(&rule.rule, answer, || rule.input(case));
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_text_is_its_template_filled_in() {
        let check =
            |template: &str, text: &str, expect: bool| assert_eq!(matches(template, "{#var#}", 5, text), expect, "{text}");
        check("Sale today", "Sale today", true);
        check("Sale today", "Sale  today", false);
        check("Hi {#var#}, sale", "Hi Asha, sale", true);
        check("Hi {#var#}, sale", "Hi , sale", true);
        check("Hi {#var#}, sale", "Hi Ashaaa, sale", false);
        check("Hi {#var#}, sale", "Hi Ashaa, sale!", false);
        check("{#var#}{#var#} off", "1234567890 off", true);
        check("{#var#}{#var#} off", "12345678901 off", false);
        check("{#var#} a {#var#}", "b a a a c", true);
        check("Sale {#var#}", "Sale 早安早安早", true);
        check("Sale {#var#}", "Sale 早安早安早安", false);
    }
}
