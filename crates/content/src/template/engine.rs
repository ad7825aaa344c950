//! The template engine: its settings, one rendering, and its errors in words that name the line and the fix.

use std::io;

use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};

use super::check::line_of;
use super::{BODY_BYTES_MAX, FUEL_PER_PART, SUBJECT_CHARS_MAX};
use crate::error::{ContentError, Part, Place};
use crate::values::COUPON;
use crate::{filters, plain};

/// What the names of snippets begin with, in templates and in the engine.
pub(super) const SNIPPETS: &str = "snippets/";

/// A compiled part.
#[derive(Debug, Clone)]
pub(super) struct Text {
    /// The name of its template. It ends in what it becomes, by which the engine knows whether to escape.
    pub(super) template: String,
    /// Where it was written.
    pub(super) place: Place,
    /// As it was written, where the template was made of that: lines are told by it.
    pub(super) written: Option<String>,
    /// Whether it is text made from HTML.
    pub(super) is_made: bool,
}

pub(crate) fn new_environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL_PER_PART));
    environment.set_auto_escape_callback(|name| if name.ends_with("/html") { AutoEscape::Html } else { AutoEscape::None });
    // A snippet becomes what includes it: HTML, text, or text made from HTML, in its language.
    environment.set_path_join_callback(|name, parent| {
        let mut steps = parent.rsplit('/');
        let (kind, key) = (steps.next().unwrap_or_default(), steps.next().unwrap_or_default());
        format!("{name}/{key}/{kind}").into()
    });
    // Errors would carry a copy of the template and of the contact: too dear, and addresses do not belong in logs.
    environment.set_debug(false);
    filters::register(&mut environment);
    environment
}

pub(super) fn rendered(environment: &Environment<'_>, text: &Text, values: &Value, skips: bool) -> Result<String, ContentError> {
    let template = environment.get_template(&text.template).expect("each part was compiled");
    let mut output = Bounded { bytes: Vec::with_capacity(template.source().len() * 2), is_full: false };
    let outcome = template.render_captured_to(values.clone(), &mut output).map(drop);
    if output.is_full {
        return Err(too_large(&text.place));
    }
    outcome.map_err(|error| render_error(environment, text, &error, skips))?;
    let output = String::from_utf8(output.bytes).expect("templates write text");
    Ok(if text.is_made { plain::squeezed(&output) } else { output })
}

fn render_error(environment: &Environment<'_>, text: &Text, error: &Error, skips: bool) -> ContentError {
    let error = innermost(error);
    let name = error.name().unwrap_or(&text.template);
    let template = environment.get_template(name);
    let source = template.as_ref().map(minijinja::Template::source).unwrap_or_default();
    let mut line = error.line().unwrap_or(1);
    let mut place = text.place.clone();
    if let Some(snippet) = snippet_of(name) {
        place = Place::Snippet { name: snippet.to_owned(), language: None };
    } else if let Some(written) = &text.written {
        // Lines of what was made of the template are not those of its author.
        let asked = error.range().and_then(|range| source.get(range)).filter(|asked| !asked.trim().is_empty());
        line = asked.map_or(1, |asked| line_of(written, asked.trim()));
    }
    match missing_name(error, source) {
        Some(name) => ContentError::MissingField { place, line, name, skip: skips },
        None => ContentError::Render { place, line, problem: problem_of(error) },
    }
}

/// The name of the snippet whose template has this name.
fn snippet_of(template: &str) -> Option<&str> {
    // Behind the name are its language and what it becomes.
    template.strip_prefix(SNIPPETS)?.rsplitn(3, '/').nth(2)
}

/// What went wrong in a snippet, not that it was included.
fn innermost(error: &Error) -> &Error {
    use std::error::Error as _;
    match error.source().and_then(|source| source.downcast_ref::<Error>()) {
        Some(inner) => innermost(inner),
        None => error,
    }
}

/// What the template asked for and is not there.
fn missing_name(error: &Error, source: &str) -> Option<String> {
    if error.kind() != ErrorKind::UndefinedError {
        return None;
    }
    let name = error.range().and_then(|range| path_at(source, range)).filter(|name| !name.is_empty());
    Some(name.unwrap_or("what it asks for").to_owned())
}

/// What is wrong, in words.
pub(super) fn problem_of(error: &Error) -> String {
    if let Some(problem) = filters::described(error) {
        return problem.to_owned();
    }
    match error.kind() {
        ErrorKind::OutOfFuel => format!("takes more than {FUEL_PER_PART} steps; shorten its loops"),
        kind => error.detail().map_or_else(|| kind.to_string(), |detail| format!("{kind}: {detail}")),
    }
}

/// The dotted name in `source` that ends with `range`; the engine's ranges begin at one of its dots. Where a filter was asked,
/// it is the name that goes into it. The only name without a dot that may be lacking is [`COUPON`].
fn path_at(source: &str, range: std::ops::Range<usize>) -> Option<&str> {
    let is_step = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
    let before = source.get(..range.start)?;
    let start = before.trim_end_matches(is_step).len();
    let path = source.get(start..range.end)?.trim();
    let path = path.split(|c: char| !is_step(c)).next()?;
    let can_lack = |path: &str| path.contains('.') || path == COUPON;
    if can_lack(path) {
        return Some(path);
    }
    let before = source[..start].trim_end().trim_end_matches('|').trim_end();
    let path = before.rsplit(|c: char| !is_step(c)).next()?;
    can_lack(path).then_some(path)
}

pub(super) fn too_large(place: &Place) -> ContentError {
    let is_subject = matches!(place, Place::Copy { part: Some(Part::Subject), .. });
    let limit = if is_subject { format!("{SUBJECT_CHARS_MAX} characters") } else { format!("{BODY_BYTES_MAX} bytes") };
    ContentError::RenderedTooLarge { place: place.clone(), limit }
}

/// Makes one line of a subject: whatever could end a header line, or hide in it, becomes a space. Authors may break
/// their templates over lines, and no attribute of a contact can add a header.
pub(super) fn one_line(subject: &str) -> String {
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
