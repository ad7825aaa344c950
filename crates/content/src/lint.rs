//! A campaign's copies looked over before launch: what is broken, costs more than it must, or may offend where it is read.
//!
//! It never blocks: every finding is a [`Warning`] with its place and its reason. Templates are looked at as they are written,
//! so what is filled in later is not counted.
//!
//! Reading order: this file, [`rules`] (words, numbers and colours as data), `look` (a part as its reader sees it, with its
//! tags), `words` (finding them), and the checks: `mail`, `links`, `short` (text messages), `languages`, `markets`.

mod languages;
mod links;
mod look;
mod mail;
mod markets;
pub mod rules;
mod short;
mod words;

use std::collections::BTreeMap;

use vocabulary::words::words;
use vocabulary::{Channel, Copy, MessageClass};

use crate::Part;
use look::Look;
pub use rules::{LintError, LintRules};

words!(
    /// How much a finding matters.
    Severity {
        /// Could be better.
        Hint = "hint",
        /// Likely to cost money, reach or goodwill.
        Warning = "warning",
        /// Broken, or against a law.
        Problem = "problem",
    }
);

/// What is looked over, and for whom it is meant.
#[derive(Debug, Clone, Copy)]
pub struct LintInput<'a> {
    /// The copies of a campaign by name.
    pub copies: &'a BTreeMap<String, Copy>,
    /// The channel.
    pub channel: Channel,
    /// What kind of message it is.
    pub class: MessageClass,
    /// The countries of the audience by their ISO 3166 codes; none where they are not known, and then nothing is said of them.
    pub markets: &'a [String],
    /// The BCP 47 languages that the audience reads; none where they are not known.
    pub languages: &'a [String],
    /// The countries in which the text of a copy is registered: pairs of a copy's name and a country's code.
    pub registered: &'a [(String, String)],
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// The copy.
    pub copy: String,
    /// The language of the translation, or of the copy itself where it says so.
    pub language: Option<String>,
    /// The part; none where it is the copy as a whole.
    pub part: Option<Part>,
    /// The line of the part, from 1; 0 where it is the part as a whole.
    pub line: usize,
    /// What kind of finding it is, such as `link_empty`, or the id of the rule, such as `culture/four`.
    pub code: String,
    /// What stands there.
    pub found: String,
    /// How much it matters.
    pub severity: Severity,
    /// Why it matters, and what to do.
    pub why: String,
    /// Where that is written.
    pub source: Option<String>,
}

/// Looks the copies over. The findings are in the order of copies, languages, parts and lines; none is told twice.
#[must_use]
pub fn lint(input: &LintInput<'_>, rules: &LintRules) -> Vec<Warning> {
    let mut found = Vec::new();
    for (name, copy) in input.copies {
        for version in versions(name, copy) {
            let mut notes = Notes { version: &version, found: &mut found };
            match input.channel {
                Channel::Email => mail::check(input, rules, &version, &mut notes),
                Channel::Sms => short::check(&version, &mut notes),
                _ => {}
            }
            links::check(&version, &mut notes);
            markets::check(input, rules, &version, &mut notes);
        }
        let whole = Version::of_copy(name, copy);
        let mut notes = Notes { version: &whole, found: &mut found };
        languages::check(input, copy, &mut notes);
        short::check_registration(input, rules, name, &mut notes);
    }
    found.sort();
    found.dedup();
    found
}

/// A copy in one language: the parts that are written in it.
struct Version<'a> {
    copy: &'a str,
    language: Option<&'a str>,
    parts: Vec<(Part, Look<'a>)>,
}

impl<'a> Version<'a> {
    fn new(copy: &'a str, language: Option<&'a str>, parts: [(Part, &'a str); 3]) -> Self {
        let written = parts.into_iter().filter(|(_, text)| !text.trim().is_empty());
        let parts = written.map(|(part, text)| (part, Look::at(text, part == Part::Html))).collect();
        Self { copy, language, parts }
    }

    fn of_copy(name: &'a str, copy: &'a Copy) -> Self {
        let parts = [(Part::Subject, &*copy.subject), (Part::Html, &*copy.html), (Part::Text, &*copy.text)];
        Self::new(name, copy.language.as_deref(), parts)
    }

    fn part(&self, part: Part) -> Option<&Look<'a>> {
        self.parts.iter().find(|(known, _)| *known == part).map(|(_, look)| look)
    }
}

fn versions<'a>(name: &'a str, copy: &'a Copy) -> Vec<Version<'a>> {
    let translated = copy.locales.iter().map(|(tag, translation)| {
        let parts = [(Part::Subject, &*translation.subject), (Part::Html, &*translation.html), (Part::Text, &*translation.text)];
        Version::new(name, Some(tag), parts)
    });
    std::iter::once(Version::of_copy(name, copy)).chain(translated).collect()
}

/// What a check has to say, before it is known of which copy.
struct Note<'a> {
    code: &'a str,
    severity: Severity,
    found: String,
    why: &'a str,
    source: Option<&'a str>,
}

/// Gathers what is found in one version.
struct Notes<'a> {
    version: &'a Version<'a>,
    found: &'a mut Vec<Warning>,
}

impl Notes<'_> {
    /// Adds a finding. `at` is the part, and the byte in it where there is one.
    fn add(&mut self, at: Option<(Part, Option<usize>)>, note: Note<'_>) {
        let line = at.and_then(|(part, offset)| Some(self.version.part(part)?.line_of(offset?)));
        self.found.push(Warning {
            copy: self.version.copy.to_owned(),
            language: self.version.language.map(str::to_owned),
            part: at.map(|(part, _)| part),
            line: line.unwrap_or(0),
            code: note.code.to_owned(),
            found: note.found,
            severity: note.severity,
            why: note.why.to_owned(),
            source: note.source.map(str::to_owned),
        });
    }
}

#[cfg(test)]
mod tests;
