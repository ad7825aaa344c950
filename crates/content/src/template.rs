//! Copies become messages: `MiniJinja` templates for the subject, the HTML and the text part.
//!
//! Everything that can be known to be wrong is found by [`Library::compile`], when a campaign is stored and not when it
//! is sent: syntax errors, names that no message knows, parts that are empty or too large. What depends on the contact
//! (an attribute they do not have) is an error of [`Library::render`] unless the template says `| default("...")`.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value, context};
use vocabulary::{Contact, Copy};

/// The most copies in one campaign: far above what an experiment can tell apart.
pub const COPIES_MAX: usize = 200;
/// The longest subject template. Subjects are short; this leaves room for conditions.
pub const SUBJECT_TEMPLATE_BYTES_MAX: usize = 4 * 1024;
/// The longest template of another part: ten times a rich newsletter.
pub const BODY_TEMPLATE_BYTES_MAX: usize = 512 * 1024;
/// The longest rendered subject. Mail clients show less than 100 characters; RFC 5322 ends lines at 998 bytes.
pub const SUBJECT_CHARS_MAX: usize = 250;
/// The longest rendered part. Large mail servers cut what is shown at about 100 KB.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// The most instructions one part may take, so that a loop in a template cannot hold up the senders: about 10 ms.
pub const FUEL_PER_PART: u64 = 100_000;

/// What templates know besides `contact`.
const NAMES: [&str; 4] = ["campaign", "preferences_url", "unsubscribe_url", "variant"];
/// What templates know of the contact.
const CONTACT_NAMES: [&str; 4] = ["attributes", "country", "language", "time_zone"];

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
    const ALL: [Self; 3] = [Self::Subject, Self::Html, Self::Text];

    fn source(self, copy: &vocabulary::Copy) -> &str {
        match self {
            Self::Subject => &copy.subject,
            Self::Html => &copy.html,
            Self::Text => &copy.text,
        }
    }

    fn template_bytes_max(self) -> usize {
        if self == Self::Subject { SUBJECT_TEMPLATE_BYTES_MAX } else { BODY_TEMPLATE_BYTES_MAX }
    }

    /// The name of its template. It ends in the part, by which the engine knows whether to escape.
    fn template_name(self, copy: &str) -> String {
        format!("{copy}/{self}")
    }
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

/// Why content cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// The campaign has no copy, or more than [`COPIES_MAX`].
    #[error("content: {0} copies; give at least 1 and at most {COPIES_MAX}")]
    CopyCount(usize),
    /// A part is empty.
    #[error("content: copy `{copy}`, {part}: is empty; write it")]
    EmptyPart {
        /// The copy.
        copy: String,
        /// Its part.
        part: Part,
    },
    /// A template is larger than its limit.
    #[error("content: copy `{copy}`, {part}: is {bytes} bytes long; the limit is {limit}")]
    TemplateTooLarge {
        /// The copy.
        copy: String,
        /// Its part.
        part: Part,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// A template is not valid.
    #[error("content: copy `{copy}`, {part}, line {line}: {problem}")]
    Compile {
        /// The copy.
        copy: String,
        /// Its part.
        part: Part,
        /// The line of the template, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A template cannot be filled in for this contact.
    #[error("render copy `{copy}`, {part}, line {line}: {problem}")]
    Render {
        /// The copy.
        copy: String,
        /// Its part.
        part: Part,
        /// The line of the template, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// What came out is empty.
    #[error("render copy `{copy}`, {part}: nothing came out; give it text that is always there")]
    RenderedEmpty {
        /// The copy.
        copy: String,
        /// Its part.
        part: Part,
    },
    /// What came out is too large.
    #[error("render copy `{copy}`, {part}: more than {limit} came out; shorten it")]
    RenderedTooLarge {
        /// The copy.
        copy: String,
        /// Its part.
        part: Part,
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
    /// A link was not made here.
    #[error("the link is not genuine; follow it from the message again")]
    ForgedLink,
}

/// What a template is filled in with.
#[derive(Debug, Clone, Copy)]
pub struct RenderContext<'a> {
    /// The recipient.
    pub contact: &'a Contact,
    /// The campaign's id.
    pub campaign: &'a str,
    /// The variant's name.
    pub variant: &'a str,
    /// The address that ends all messages.
    pub unsubscribe_url: &'a str,
    /// The address of the page on which the recipient says what they want to get.
    pub preferences_url: &'a str,
}

/// A finished message, without its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// One line without control characters.
    pub subject: String,
    /// The HTML part.
    pub html: String,
    /// The text part.
    pub text: String,
}

/// The copies of one campaign, compiled.
pub struct Library {
    environment: Environment<'static>,
    copies: Vec<String>,
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library").field("copies", &self.copies).finish_non_exhaustive()
    }
}

impl Library {
    /// Compiles every part of every copy and checks that each name it uses is known.
    ///
    /// # Errors
    /// The first thing that is wrong, with copy, part and line.
    pub fn compile(copies: &BTreeMap<String, Copy>) -> Result<Self, ContentError> {
        if copies.is_empty() || copies.len() > COPIES_MAX {
            return Err(ContentError::CopyCount(copies.len()));
        }
        let mut environment = new_environment();
        for (name, copy) in copies {
            for part in Part::ALL {
                compile_part(&mut environment, name, part, part.source(copy))?;
            }
        }
        Ok(Self { environment, copies: copies.keys().cloned().collect() })
    }

    /// Fills in one copy.
    ///
    /// # Errors
    /// When there is no such copy, when the contact lacks something it needs, and when a part comes out empty or too
    /// large.
    pub fn render(&self, copy: &str, context: &RenderContext<'_>) -> Result<Rendered, ContentError> {
        let values = values_of(context);
        let subject = one_line(&self.render_part(copy, Part::Subject, &values)?);
        if subject.is_empty() {
            return Err(ContentError::RenderedEmpty { copy: copy.to_owned(), part: Part::Subject });
        }
        if subject.chars().count() > SUBJECT_CHARS_MAX {
            return Err(too_large(copy, Part::Subject));
        }
        let html = self.render_part(copy, Part::Html, &values)?;
        let text = self.render_part(copy, Part::Text, &values)?;
        Ok(Rendered { subject, html, text })
    }

    fn render_part(&self, copy: &str, part: Part, values: &Value) -> Result<String, ContentError> {
        let unknown = |_| ContentError::UnknownCopy { copy: copy.to_owned(), known: self.copies.join(", ") };
        let template = self.environment.get_template(&part.template_name(copy)).map_err(unknown)?;
        let mut output = Bounded { bytes: Vec::with_capacity(template.source().len() * 2), is_full: false };
        let outcome = template.render_captured_to(values.clone(), &mut output).map(drop);
        if output.is_full {
            return Err(too_large(copy, part));
        }
        outcome.map_err(|error| {
            let (line, problem) = described(&error, template.source());
            ContentError::Render { copy: copy.to_owned(), part, line, problem }
        })?;
        Ok(String::from_utf8(output.bytes).expect("templates write text"))
    }
}

fn new_environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL_PER_PART));
    environment.set_auto_escape_callback(|name| if name.ends_with("/html") { AutoEscape::Html } else { AutoEscape::None });
    // Errors would carry a copy of the template and of the contact: too dear, and addresses do not belong in logs.
    environment.set_debug(false);
    environment
}

fn compile_part(environment: &mut Environment<'static>, copy: &str, part: Part, source: &str) -> Result<(), ContentError> {
    let wrong = |line, problem| ContentError::Compile { copy: copy.to_owned(), part, line, problem };
    if source.trim().is_empty() {
        return Err(ContentError::EmptyPart { copy: copy.to_owned(), part });
    }
    let (bytes, limit) = (source.len(), part.template_bytes_max());
    if bytes > limit {
        return Err(ContentError::TemplateTooLarge { copy: copy.to_owned(), part, bytes, limit });
    }
    let name = part.template_name(copy);
    environment.add_template_owned(name.clone(), source.to_owned()).map_err(|error| {
        let (line, problem) = described(&error, source);
        wrong(line, problem)
    })?;
    let template = environment.get_template(&name).expect("it was added above");
    let mut names: Vec<String> = template.undeclared_variables(true).into_iter().collect();
    names.sort_unstable();
    let unknown = names.into_iter().find_map(|name| problem_of_name(environment, &name).map(|problem| (name, problem)));
    match unknown {
        Some((name, problem)) => Err(wrong(line_of(source, &name), problem)),
        None => Ok(()),
    }
}

/// `None` when every message knows `name`.
fn problem_of_name(environment: &Environment<'_>, name: &str) -> Option<String> {
    let mut steps = name.split('.');
    let first = steps.next().unwrap_or_default();
    if NAMES.contains(&first) || environment.globals().any(|(global, _)| global == first) {
        return None;
    }
    if first != "contact" {
        return Some(format!("`{first}` is not known; there are contact, {}", NAMES.join(", ")));
    }
    let second = steps.next().filter(|second| !CONTACT_NAMES.contains(second))?;
    Some(format!("`contact.{second}` is not known; there are contact.{}", CONTACT_NAMES.join(", contact.")))
}

/// The line where `name` is first written, as well as can be told from the text.
fn line_of(source: &str, name: &str) -> usize {
    let at = source.find(name).or_else(|| source.find(name.rsplit('.').next().unwrap_or(name))).unwrap_or(0);
    source[..at].matches('\n').count() + 1
}

/// The line and what is wrong there.
fn described(error: &minijinja::Error, source: &str) -> (usize, String) {
    let problem = match error.kind() {
        ErrorKind::OutOfFuel => format!("takes more than {FUEL_PER_PART} steps; shorten its loops"),
        ErrorKind::UndefinedError => {
            let missing = error.range().and_then(|range| path_at(source, range)).unwrap_or("what it asks for");
            format!("this contact has no `{missing}`; say what to write instead with `| default(\"...\")`")
        }
        kind => error.detail().map_or_else(|| kind.to_string(), |detail| format!("{kind}: {detail}")),
    };
    (error.line().unwrap_or(1), problem)
}

/// The dotted name in `source` that ends with `range`; the engine's ranges begin at one of its dots.
fn path_at(source: &str, range: std::ops::Range<usize>) -> Option<&str> {
    let is_step = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
    let before = source.get(..range.start)?;
    let start = before.trim_end_matches(is_step).len();
    source.get(start..range.end).map(str::trim)
}

fn too_large(copy: &str, part: Part) -> ContentError {
    let limit = match part {
        Part::Subject => format!("{SUBJECT_CHARS_MAX} characters"),
        _ => format!("{BODY_BYTES_MAX} bytes"),
    };
    ContentError::RenderedTooLarge { copy: copy.to_owned(), part, limit }
}

/// What is not known of a contact is left out, so that `| default` works and its absence is an error without it.
fn values_of(context: &RenderContext<'_>) -> Value {
    let contact = &context.contact.profile;
    let known = [("country", &contact.country), ("language", &contact.language), ("time_zone", &contact.time_zone)];
    let known = known.into_iter().filter_map(|(name, value)| value.as_deref().map(|value| (name, Value::from(value))));
    let attributes = contact.attributes.iter().map(|(name, value)| (name.as_str(), Value::from(value.as_str())));
    let attributes = Value::from_pairs(attributes);
    context! {
        contact => Value::from_pairs(known.chain([("attributes", attributes)])),
        campaign => context.campaign,
        variant => context.variant,
        unsubscribe_url => context.unsubscribe_url,
        preferences_url => context.preferences_url,
    }
}

/// Makes one line of a subject: whatever could end a header line, or hide in it, becomes a space. Authors may break
/// their templates over lines, and no attribute of a contact can add a header.
fn one_line(subject: &str) -> String {
    let is_space = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let words: Vec<&str> = subject.split(is_space).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// Collects output up to [`BODY_BYTES_MAX`] and then stops the template.
struct Bounded {
    bytes: Vec<u8>,
    is_full: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + more.len() > BODY_BYTES_MAX {
            self.is_full = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
