//! Words that must not stand in a message, words that need a permit, and words that must stand there.

use std::sync::Arc;

use crate::answer::{Answer, Reason};
use crate::error::RulesError;
use crate::place::Atlas;
use crate::reader::Section;
use crate::rule::{FileHead, Rule};
use crate::scope::{Scope, Scoped};
use crate::tally::{Case, Log, Tally};
use vocabulary::words::words;

words!(
    /// Where words must stand.
    Position {
        /// At the very beginning.
        Start = "start",
        /// At the very end.
        End = "end",
        /// Anywhere.
        Anywhere = "anywhere",
    }
);

/// What is asked of the wording.
#[derive(Debug)]
pub(crate) struct WordingRule {
    rule: Rule,
    forbidden: Vec<Arc<str>>,
    regulated: Vec<Arc<str>>,
    /// The permit that regulated words need.
    permit: Option<String>,
    /// One of these must stand at the position.
    required: Vec<Arc<str>>,
    position: Position,
    no_links: bool,
}

/// Reads `wording.toml`.
pub(crate) fn read(mut file: Section<'_>, atlas: &Atlas) -> Result<Scoped<WordingRule>, RulesError> {
    let head = FileHead::read(&mut file)?;
    let mut rules = Vec::new();
    for mut section in file.tables("rule")? {
        rules.push((Scope::read(&mut section, atlas)?, WordingRule::read(&mut section, head)?));
        section.finish()?;
    }
    file.finish()?;
    Ok(Scoped::new(rules))
}

impl WordingRule {
    fn read(section: &mut Section<'_>, head: FileHead) -> Result<Self, RulesError> {
        let list = |section: &mut Section<'_>, key| -> Result<Vec<Arc<str>>, RulesError> {
            let texts = section.texts(key)?;
            if texts.iter().any(|text| text.trim().is_empty()) {
                return Err(section.wrong(key, "holds an empty word, which stands in every text; take it out"));
            }
            Ok(texts.into_iter().map(Arc::from).collect())
        };
        let rule = Self {
            rule: Rule::read(section, head)?,
            forbidden: list(section, "forbidden")?,
            regulated: list(section, "regulated")?,
            permit: section.text_or_none("permit")?.map(str::to_owned),
            required: list(section, "required")?,
            position: section.word("position")?.unwrap_or(Position::Anywhere),
            no_links: section.flag("no_links", false)?,
        };
        if rule.regulated.is_empty() != rule.permit.is_none() {
            return Err(section.wrong("permit", "and `regulated` belong together; write both or neither"));
        }
        let is_empty = rule.forbidden.is_empty() && rule.regulated.is_empty() && rule.required.is_empty() && !rule.no_links;
        if is_empty {
            return Err(
                section.wrong("forbidden", "`regulated`, `required` and `no_links` are all missing; the rule would say nothing")
            );
        }
        Ok(rule)
    }

    fn answer(&self, case: &Case<'_>) -> Answer {
        let text = case.message.text.or(case.message.template.map(|template| template.text));
        let Some(text) = text else { return Answer::permit(Reason::NoTextYet) };
        if let Some(word) = self.forbidden.iter().find(|word| holds_word(text, word)) {
            return Answer::refuse(Reason::ForbiddenWord(word.clone()));
        }
        let has_permit = self.permit.as_ref().is_none_or(|permit| case.message.permits.contains(&permit.as_str()));
        if let Some(word) = self.regulated.iter().find(|word| !has_permit && holds_word(text, word)) {
            return Answer::refuse(Reason::RegulatedWord(word.clone()));
        }
        if self.no_links && holds_link(text) {
            return Answer::refuse(Reason::LinkForbidden);
        }
        let stands = |words: &Arc<str>| match self.position {
            Position::Start => text.trim_start().starts_with(&**words),
            Position::End => text.trim_end().ends_with(&**words),
            Position::Anywhere => holds_word(text, words),
        };
        match self.required.first() {
            Some(first) if !self.required.iter().any(stands) => Answer::refuse(Reason::WordingMissing(first.clone())),
            _ => Answer::permit(Reason::WordingClean),
        }
    }

    fn input(&self, case: &Case<'_>) -> String {
        let looked_at = match (case.message.text, case.message.template) {
            (Some(_), _) => "the text",
            (None, Some(_)) => "the text of the template",
            (None, None) => "no text",
        };
        let count = |list: &[Arc<str>], what: &str| (!list.is_empty()).then(|| format!("none of {} {what} words", list.len()));
        let mut asked: Vec<String> = Vec::new();
        asked.extend(count(&self.forbidden, "forbidden"));
        asked.extend(count(&self.regulated, "regulated"));
        asked.extend(self.no_links.then(|| "no links".to_owned()));
        let place = match self.position {
            Position::Start => "at the start",
            Position::End => "at the end",
            Position::Anywhere => "anywhere",
        };
        let required: Vec<&str> = self.required.iter().map(|words| &**words).collect();
        asked.extend((!required.is_empty()).then(|| format!("{} {place}", required.join(" or "))));
        format!("{} by {}; {looked_at}; asked: {}", case.message.class, case.message.channel, asked.join(", "))
    }
}

/// Whether a text holds a word, without regard to case. A word that begins or ends with a letter or digit of a script that
/// puts spaces between words must stand alone there: `win` is not in `window`.
fn holds_word(text: &str, word: &str) -> bool {
    let Some(first) = word.chars().next() else { return false };
    let mut before = None;
    for (place, character) in text.char_indices() {
        if same(character, first) && begins_alone(before, first) && starts_with_word(&text[place..], word) {
            return true;
        }
        before = Some(character);
    }
    false
}

fn begins_alone(before: Option<char>, first: char) -> bool {
    !is_spaced(first) || before.is_none_or(|before| !is_spaced(before))
}

fn starts_with_word(text: &str, word: &str) -> bool {
    let mut characters = text.chars();
    for expected in word.chars() {
        if !characters.next().is_some_and(|character| same(character, expected)) {
            return false;
        }
    }
    let last = word.chars().next_back();
    !last.is_some_and(is_spaced) || characters.next().is_none_or(|after| !is_spaced(after))
}

fn same(one: char, other: char) -> bool {
    one == other || (one.is_ascii() && other.is_ascii() && one.eq_ignore_ascii_case(&other)) || {
        !one.is_ascii() && !other.is_ascii() && one.to_lowercase().eq(other.to_lowercase())
    }
}

/// Letters and digits of scripts that write words apart: all but those of China, Japan, Korea and Thailand.
fn is_spaced(character: char) -> bool {
    let is_joined = matches!(character, '\u{0E00}'..='\u{0E7F}' | '\u{1100}'..='\u{11FF}' | '\u{2E80}'..='\u{D7FF}')
        || matches!(character, '\u{F900}'..='\u{FAFF}' | '\u{FF00}'..='\u{FFEF}');
    character.is_alphanumeric() && !is_joined
}

fn holds_link(text: &str) -> bool {
    text.contains("://") || holds_word_start(text, "www.")
}

fn holds_word_start(text: &str, start: &str) -> bool {
    text.as_bytes().windows(start.len()).any(|part| part.eq_ignore_ascii_case(start.as_bytes()))
}

/// Asks every rule that holds.
pub(crate) fn check<L: Log>(rules: &Scoped<WordingRule>, case: &Case<'_>, tally: &mut Tally<'_, L>) {
    let class = case.message.class;
    let exempt = |scope: &Scope| (!scope.has_class(class)).then(|| Answer::permit(Reason::ClassExempt(class)));
    for (scope, rule) in rules.at(&case.place, case.message.channel, class) {
        let answer = exempt(scope).unwrap_or_else(|| rule.answer(case));
        tally.answer(&rule.rule, answer, || rule.input(case));
    }
}

/// The heads of the rules.
pub(crate) fn heads(rules: &Scoped<WordingRule>) -> impl Iterator<Item = &Rule> {
    rules.iter().map(|(_, rule)| &rule.rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found() {
        let check = |text: &str, word: &str, expect: bool| assert_eq!(holds_word(text, word), expect, "{word} in {text}");
        check("Win a prize", "win", true);
        check("a window", "win", false);
        check("Reply STOP.", "stop", true);
        check("nonstop", "STOP", false);
        check("全国最佳价格", "最佳", true);
        check("ÜBER ALLES", "über", true);
        check("回复TD退订", "TD", true);
        check("100 % free", "100 % free", true);
        check("", "free", false);
    }
}
