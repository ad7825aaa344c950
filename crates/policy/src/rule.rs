//! What every rule has, whatever it says: a name, a version, and where it is written.

use std::sync::Arc;

use jiff::civil::Date;
use vocabulary::words::words;

use crate::error::RulesError;
use crate::reader::Section;

words!(
    /// What makes a rule binding.
    RuleKind {
        /// A law, or what an authority ordered under one.
        Law = "law",
        /// What networks and platforms enforce, or a trade has agreed on.
        Industry = "industry",
        /// What the sender has set for itself. Replace it freely.
        House = "house",
    }
);

/// The head of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name, such as `hours/us-fl`.
    pub id: Arc<str>,
    /// Counts up with each change of what it says.
    pub version: u32,
    /// What makes it binding.
    pub kind: RuleKind,
    /// The law and article, and an address where it can be read.
    pub source: String,
    /// The day on which somebody compared it with the source.
    pub checked: Date,
    /// Whether that could be done. A rule that is not verified is written on the strict side.
    pub verified: bool,
}

/// What a file gives all its rules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileHead {
    pub(crate) version: u32,
    pub(crate) checked: Date,
}

impl FileHead {
    pub(crate) fn read(section: &mut Section<'_>) -> Result<Self, RulesError> {
        let version = section.whole("version")?;
        let version = version.ok_or_else(|| section.wrong("version", "is missing; write version = 1 at the top of the file"))?;
        Ok(Self { version, checked: section.date("checked")? })
    }
}

impl Rule {
    /// Reads the head of a rule; a version of its own counts before the file's.
    pub(crate) fn read(section: &mut Section<'_>, file: FileHead) -> Result<Self, RulesError> {
        let id = section.text("id")?;
        if !id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'/' | b'-')) {
            return Err(section.wrong("id", format!("`{id}` is no id; use small letters, digits, `-` and `/`")));
        }
        let kind = section.word("kind")?.ok_or_else(|| section.wrong("kind", "is missing; write law, industry or house"))?;
        Ok(Self {
            id: Arc::from(id),
            version: section.whole("version")?.unwrap_or(file.version),
            kind,
            source: section.text("source")?.to_owned(),
            checked: file.checked,
            verified: section.flag("verified", true)?,
        })
    }
}
