//! What can be wrong with a written experiment or campaign.

use std::fmt;

/// Why a text is no experiment or campaign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExperimentError {
    /// The text is too large to be meant.
    #[error("the text has {bytes} bytes; the limit is {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The text is neither YAML nor JSON.
    #[error("this is neither YAML nor JSON: {0}")]
    Unreadable(Problem),
    /// The text can be read, but a field is wrong.
    #[error("{0}")]
    Invalid(Problem),
}

impl ExperimentError {
    /// What is wrong and where, but for a text that is too large.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::TooLarge { .. } => None,
            Self::Unreadable(problem) | Self::Invalid(problem) => Some(problem),
        }
    }
}

/// One thing that is wrong, where, and how to put it right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problem {
    /// The field, such as `variants[1].weight`; empty where it is the text as a whole.
    pub field: String,
    /// The line, from 1; `None` where the experiment did not come from a text.
    pub line: Option<u64>,
    /// The column, from 1.
    pub column: Option<u64>,
    /// What is wrong with it and how to put it right.
    pub reason: String,
    /// The known key or name that looks most like the unknown one.
    pub nearest: Option<String>,
}

impl Problem {
    pub(crate) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into(), ..Self::default() }
    }

    /// Says which of `known` looks most like `unknown`.
    pub(crate) fn nearest_of<'a>(mut self, unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        self.nearest = nearest(unknown, known);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "`{}` ", self.field)?;
        }
        f.write_str(&self.reason)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; the nearest is `{nearest}`"),
            None => Ok(()),
        }
    }
}

/// The one of `known` that looks most like `unknown`, the first of equals.
fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let unknown = unknown.to_lowercase();
    let likeness = |word: &str| strsim::jaro_winkler(&unknown, &word.to_lowercase());
    let best =
        known.into_iter().map(|word| (likeness(word), word)).reduce(|best, next| if next.0 > best.0 { next } else { best });
    best.map(|(_, word)| word.to_owned())
}
