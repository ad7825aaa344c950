//! Why content cannot be used, and where the fault is: copy, language, part, line.

use std::fmt;

use vocabulary::Channel;

use crate::template::{COPIES_MAX, LOCALES_MAX, SNIPPETS_MAX};
use crate::values::COUPON;

/// One of the three parts of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The subject line.
    Subject,
    /// The HTML part.
    Html,
    /// The text part.
    Text,
}

impl Part {
    /// Every part, in the order in which they are read.
    pub const ALL: [Self; 3] = [Self::Subject, Self::Html, Self::Text];
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subject => "subject",
            Self::Html => "html",
            Self::Text => "text",
        })
    }
}

/// Where in the content something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A part of a copy, in the language of the copy's own parts or of a translation.
    Copy {
        /// The copy.
        copy: String,
        /// The tag of the translation; `None` for the copy's own parts.
        language: Option<String>,
        /// The part; `None` for the copy or the translation as a whole.
        part: Option<Part>,
    },
    /// A snippet.
    Snippet {
        /// Its name.
        name: String,
        /// The tag of the translation; `None` for its own text, and where it is not known.
        language: Option<String>,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Copy { copy, language, part } => {
                write!(f, "copy `{copy}`")?;
                language.iter().try_for_each(|language| write!(f, ", {language}"))?;
                part.iter().try_for_each(|part| write!(f, ", {part}"))
            }
            Self::Snippet { name, language } => {
                write!(f, "snippet `{name}`")?;
                language.iter().try_for_each(|language| write!(f, ", {language}"))
            }
        }
    }
}

/// Why content cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// The campaign has no copy, or more than [`COPIES_MAX`].
    #[error("content: {0} copies; give at least 1 and at most {COPIES_MAX}")]
    CopyCount(usize),
    /// A copy has more than [`LOCALES_MAX`] translations.
    #[error("content: copy `{copy}`: {count} translations; give at most {LOCALES_MAX}")]
    LocaleCount {
        /// The copy.
        copy: String,
        /// How many it has.
        count: usize,
    },
    /// There are more than [`SNIPPETS_MAX`] snippets.
    #[error("content: {0} snippets; give at most {SNIPPETS_MAX}")]
    SnippetCount(usize),
    /// A part is empty.
    #[error("content: {0}: is empty; write it")]
    EmptyPart(Place),
    /// A translation lacks a part, and so do the less specific ones of its language.
    #[error("content: {place}: has no {part}{}; write it", untaken(.from))]
    MissingPart {
        /// The translation.
        place: Place,
        /// What it lacks.
        part: Part,
        /// The less specific tags it could have been taken from, most specific first.
        from: Vec<String>,
    },
    /// The channel has no such part.
    #[error("content: {place}: {channel} takes text alone; leave the {part} out")]
    NotOnChannel {
        /// The copy or the translation.
        place: Place,
        /// What it gives.
        part: Part,
        /// The channel.
        channel: Channel,
    },
    /// A language tag is none.
    #[error("content: copy `{copy}`: `{tag}` is no BCP 47 language tag; write one such as `de`, `pt-BR` or `zh-Hant`")]
    BadTag {
        /// The copy.
        copy: String,
        /// The tag as written.
        tag: String,
    },
    /// Two tags name one language.
    #[error("content: copy `{copy}`: `{first}` and `{second}` are the same language; keep one of them")]
    SameTag {
        /// The copy.
        copy: String,
        /// A tag as written.
        first: String,
        /// Another.
        second: String,
    },
    /// `defaults` names something that templates do not know.
    #[error("content: {place}, defaults: {problem}")]
    BadDefault {
        /// The copy or the translation.
        place: Place,
        /// What is wrong.
        problem: String,
    },
    /// A template is larger than its limit.
    #[error("content: {place}: is {bytes} bytes long; the limit is {limit}")]
    TemplateTooLarge {
        /// The template.
        place: Place,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// A template is not valid.
    #[error("content: {place}, line {line}: {problem}")]
    Compile {
        /// The template.
        place: Place,
        /// The line of the template, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A template of messages to one person asks for a coupon.
    #[error("content: `coupon` is drawn for messages of campaigns; give a code of your own with each message as `data.code`")]
    NoPool,
    /// A template asks for something that this contact or this message does not have.
    #[error("render {place}, line {line}: {}", lacking(.name))]
    MissingField {
        /// The template.
        place: Place,
        /// The line of the template, from 1.
        line: usize,
        /// What it asks for, such as `contact.attributes.first_name`.
        name: String,
        /// Whether the copy says that such a message is left out; else it counts as refused.
        skip: bool,
    },
    /// A template cannot be filled in for this contact.
    #[error("render {place}, line {line}: {problem}")]
    Render {
        /// The template.
        place: Place,
        /// The line of the template, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// What came out is empty.
    #[error("render {0}: nothing came out; give it text that is always there")]
    RenderedEmpty(Place),
    /// What came out is too large.
    #[error("render {place}: more than {limit} came out; shorten it")]
    RenderedTooLarge {
        /// The template.
        place: Place,
        /// How much may come out, with its unit.
        limit: String,
    },
    /// The library has no such copy.
    #[error("no copy is named `{copy}`; there are {known}")]
    UnknownCopy {
        /// The name that was asked for.
        copy: String,
        /// The names that exist.
        known: String,
    },
    /// The copy is not written in that language.
    #[error("copy `{copy}` has no `{tag}`; there are {known}")]
    UnknownLanguage {
        /// The copy.
        copy: String,
        /// The tag that was asked for.
        tag: String,
        /// The tags that exist.
        known: String,
    },
    /// A link was not made here.
    #[error("the link is not genuine; follow it from the message again")]
    ForgedLink,
}

impl ContentError {
    /// Whether the message is to be left out because the contact lacks something and the copy says `missing: skip`.
    #[must_use]
    pub fn is_skip(&self) -> bool {
        matches!(self, Self::MissingField { skip: true, .. })
    }
}

fn untaken(from: &[String]) -> String {
    match from {
        [] => String::new(),
        tags => format!(", and there is no `{}` to take it from", tags.join("` or `")),
    }
}

fn lacking(name: &str) -> String {
    const DEFAULT: &str = "say what to write instead with `| default(\"...\")`";
    if name.starts_with("slots.") {
        return format!(
            "there is no product for `{name}`; give the slot a `fallback`, or write `{{% if {name} is defined %}}` around it"
        );
    }
    match name {
        COUPON => format!("its coupon pool is empty; upload more codes, or {DEFAULT}"),
        _ if name.starts_with("data.") => format!("this message has no `{name}`; {DEFAULT}"),
        _ => format!("this contact has no `{name}`; {DEFAULT}"),
    }
}
