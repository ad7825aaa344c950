//! What the look-over knows as data: `data/rules/lint.toml`, and of `data/rules/registration.toml` where templates must be
//! registered.

use std::collections::BTreeSet;

use serde::Deserialize;
use toml::value::Datetime;
use vocabulary::{Channel, MessageClass, is_country};

use super::Severity;

/// The longest file of rules in bytes. Ours has about 20,000.
const FILE_BYTES_MAX: usize = 1 << 20;

/// Why a file of rules is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rules of the look-over{at}: {problem}")]
pub struct LintError {
    /// `, line 7` or `, rule \`culture/four\``, or nothing.
    pub at: String,
    /// What is wrong and what to write.
    pub problem: String,
}

/// The rules, read.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LintRules {
    version: u32,
    checked: Datetime,
    pub(super) address: AddressWords,
    #[serde(default)]
    pub(super) spam: Vec<SpamWords>,
    #[serde(default)]
    pub(super) market: Vec<MarketRule>,
    #[serde(skip)]
    pub(super) templates: Vec<TemplateRule>,
}

/// What makes a line a postal address.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AddressWords {
    pub(super) source: String,
    pub(super) words: Vec<String>,
}

/// Words that filters know from unwanted mail, in one language.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SpamWords {
    /// The primary subtag.
    pub(super) language: String,
    pub(super) source: String,
    #[serde(default = "is_verified")]
    #[expect(dead_code, reason = "for the readers of the rule file")]
    verified: bool,
    pub(super) words: Vec<String>,
}

/// What may offend or is not allowed in some countries.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MarketRule {
    pub(super) id: String,
    #[serde(rename = "where")]
    pub(super) places: Vec<String>,
    #[serde(default)]
    channels: Vec<Channel>,
    #[serde(default)]
    classes: Vec<MessageClass>,
    pub(super) severity: Severity,
    pub(super) why: String,
    pub(super) source: String,
    #[serde(default = "is_verified")]
    #[expect(dead_code, reason = "for the readers of the rule file")]
    verified: bool,
    #[serde(default)]
    pub(super) words: Vec<String>,
    #[serde(default)]
    pub(super) numbers: Vec<String>,
    #[serde(default)]
    pub(super) colours: Vec<String>,
    #[serde(default)]
    pub(super) name_colours: Vec<String>,
    /// One of these must stand in the copy as well.
    #[serde(default)]
    pub(super) with: Vec<String>,
}

fn is_verified() -> bool {
    true
}

/// Where a template must be registered before a network carries the message.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct TemplateRule {
    pub(super) id: String,
    pub(super) source: String,
    #[serde(rename = "where")]
    pub(super) places: Vec<String>,
    #[serde(default)]
    channels: Vec<Channel>,
    #[serde(default)]
    classes: Vec<MessageClass>,
}

impl MarketRule {
    /// The markets of the list that it is about, where it is about the channel and class.
    pub(super) fn markets<'a>(&self, markets: &'a [String], channel: Channel, class: MessageClass) -> Vec<&'a str> {
        let is_asked = (self.channels.is_empty() || self.channels.contains(&channel))
            && (self.classes.is_empty() || self.classes.contains(&class));
        let is_here = |market: &&String| is_asked && self.places.contains(*market);
        markets.iter().filter(is_here).map(String::as_str).collect()
    }

    fn check(&self) -> Result<(), String> {
        if let Some(unknown) = self.places.iter().find(|place| !is_country(place)) {
            return Err(format!("`{unknown}` is no country; write its ISO 3166 code in capital letters"));
        }
        let lists = [&self.words, &self.numbers, &self.colours, &self.name_colours, &self.with];
        if lists.into_iter().flatten().any(|word| word.trim().is_empty()) {
            return Err("holds an empty word, which stands in every text; take it out".to_owned());
        }
        if self.places.is_empty() || lists[..4].iter().all(|list| list.is_empty()) {
            return Err("says nothing; write `where` and one of words, numbers, colours and name_colours".to_owned());
        }
        if self.source.trim().is_empty() || self.why.trim().is_empty() {
            return Err("has no reason or no source; write `why` and `source`".to_owned());
        }
        Ok(())
    }
}

impl TemplateRule {
    /// Whether the rule is about a country, channel and class.
    pub(super) fn holds(&self, market: &str, channel: Channel, class: MessageClass) -> bool {
        let is_place = self.places.iter().any(|place| place == market || place == "*");
        // As the rules of `policy` do: any channel where there is none, marketing where there is no class.
        let is_class = if self.classes.is_empty() { class == MessageClass::Marketing } else { self.classes.contains(&class) };
        is_place && is_class && (self.channels.is_empty() || self.channels.contains(&channel))
    }
}

#[derive(Deserialize)]
struct Registration {
    #[serde(default)]
    template: Vec<TemplateRule>,
}

impl LintRules {
    /// Reads rules from TOML. Where templates must be registered is always what the embedded file says.
    ///
    /// # Errors
    /// [`LintError`]: the first thing that is wrong.
    pub fn read(text: &str) -> Result<Self, LintError> {
        if text.len() > FILE_BYTES_MAX {
            let problem = format!("{} bytes are too many; the limit is {FILE_BYTES_MAX}", text.len());
            return Err(LintError { at: String::new(), problem });
        }
        let mut rules: Self = parsed(text)?;
        let registration: Registration = parsed(include_str!("../../../../data/rules/registration.toml"))?;
        rules.templates = registration.template;
        let mut ids = BTreeSet::new();
        for rule in &rules.market {
            let wrong = |problem| LintError { at: format!(", rule `{}`", rule.id), problem };
            if !ids.insert(&rule.id) {
                return Err(wrong("is there twice; give it another id".to_owned()));
            }
            rule.check().map_err(wrong)?;
        }
        let words = rules.spam.iter().flat_map(|spam| &spam.words).chain(&rules.address.words);
        if words.into_iter().any(|word| word.trim().is_empty()) {
            let problem = "an empty word stands in every text; take it out".to_owned();
            return Err(LintError { at: String::new(), problem });
        }
        Ok(rules)
    }

    /// The embedded rules.
    ///
    /// # Errors
    /// Never for those that are shipped, which a test reads.
    pub fn built_in() -> Result<Self, LintError> {
        Self::read(include_str!("../../../../data/rules/lint.toml"))
    }

    /// Counts up with each change of what the rules say.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The day on which somebody compared them with their sources, such as `2026-11-29`.
    #[must_use]
    pub fn checked(&self) -> String {
        self.checked.to_string()
    }
}

fn parsed<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, LintError> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let start = error.span().map(|span| span.start.min(text.len()));
        let line = start.map(|start| 1 + text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count());
        let at = line.map_or(String::new(), |line| format!(", line {line}"));
        LintError { at, problem: error.message().to_owned() }
    })
}
