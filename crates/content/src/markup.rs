//! Template expressions in HTML, put aside while programs that know only HTML work on it.
//!
//! Each expression becomes a word, and between elements a comment that holds this word: a comment may stand in every place,
//! also between the rows of a table, where a parser of HTML would throw out text.

use std::ops::Range;

/// What kind of thing a piece of a template is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `{{ value }}`.
    Value,
    /// `{% statement %}`.
    Statement,
    /// `{# comment #}`, and all between `{% raw %}` and `{% endraw %}`.
    Verbatim,
}

/// The expression at the start of `text`, if there is one. The template is known to be valid; where it is not, the
/// expression reaches to the end.
pub(crate) fn expression(text: &str) -> Option<(Kind, usize)> {
    let (kind, end) = match text.as_bytes() {
        [b'{', b'{', ..] => (Kind::Value, "}}"),
        [b'{', b'%', ..] => (Kind::Statement, "%}"),
        [b'{', b'#', ..] => {
            return Some((Kind::Verbatim, text.find("#}").map_or(text.len(), |at| at + 2)));
        }
        _ => return None,
    };
    let mut quote = None;
    let mut escaped = false;
    let mut length = text.len();
    for (at, byte) in text.bytes().enumerate().skip(2) {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if byte == b'\\' => escaped = true,
            Some(open) if open == byte => quote = None,
            Some(_) => {}
            None if matches!(byte, b'"' | b'\'') => quote = Some(byte),
            None if text.as_bytes()[at..].starts_with(end.as_bytes()) => {
                length = at + end.len();
                break;
            }
            None => {}
        }
    }
    if kind == Kind::Statement && words(&text[..length]) == "raw" {
        return Some((Kind::Verbatim, end_of_raw(text, length)));
    }
    Some((kind, length))
}

/// The inside of a statement.
pub(crate) fn words(statement: &str) -> &str {
    statement.trim_start_matches("{%").trim_end_matches("%}").trim_matches(['-', '+']).trim()
}

fn end_of_raw(text: &str, start: usize) -> usize {
    let mut at = start;
    while let Some(found) = text[at..].find("{%") {
        at += found;
        let end = text[at..].find("%}").map_or(text.len(), |end| at + end + 2);
        if words(&text[at..end]) == "endraw" {
            return end;
        }
        at += 2;
    }
    text.len()
}

/// Every expression of a template.
pub(crate) fn expressions(source: &str) -> Vec<(Kind, Range<usize>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = source[at..].find('{') {
        at += next;
        match expression(&source[at..]) {
            Some((kind, length)) => {
                found.push((kind, at..at + length));
                at += length;
            }
            None => at += 1,
        }
    }
    found
}

/// HTML with its expressions put aside.
#[derive(Debug)]
pub(crate) struct Masked<'a> {
    /// The HTML with words in their place.
    pub(crate) html: String,
    /// What each word begins with; no other text of the HTML does.
    prefix: String,
    expressions: Vec<&'a str>,
}

/// Where a scan of HTML is.
enum At<'a> {
    /// Between elements.
    Text,
    /// In a tag of that name, maybe in a quoted value.
    Tag(&'a str, Option<u8>),
    /// In a comment.
    Comment,
    /// In an element of that name, which holds no markup.
    Raw(&'a str),
}

/// Elements whose content is no markup.
const RAW: [&str; 4] = ["script", "style", "textarea", "title"];

impl<'a> Masked<'a> {
    pub(crate) fn new(source: &'a str) -> Self {
        let prefix = (0..).map(|number| format!("jj{number}x")).find(|prefix| !source.contains(prefix.as_str()));
        let prefix = prefix.expect("a text does not hold every number");
        let mut masked = Self { html: String::with_capacity(source.len()), prefix, expressions: Vec::new() };
        let mut state = At::Text;
        let mut at = 0;
        while at < source.len() {
            let rest = &source[at..];
            if let Some((_, length)) = expression(rest) {
                masked.put_aside(&rest[..length], matches!(state, At::Text));
                at += length;
                continue;
            }
            let length = rest.chars().next().map_or(1, char::len_utf8);
            state = stepped(state, rest);
            masked.html.push_str(&rest[..length]);
            at += length;
        }
        masked
    }

    fn put_aside(&mut self, expression: &'a str, between_elements: bool) {
        let word = format!("{}{}z", self.prefix, self.expressions.len());
        self.expressions.push(expression);
        if between_elements {
            self.html.extend(["<!--", &word, "-->"]);
        } else {
            self.html.push_str(&word);
        }
    }

    /// The HTML with the expressions in their places again.
    pub(crate) fn restored(&self, html: &str) -> String {
        let mut output = String::with_capacity(html.len() * 2);
        let mut rest = html;
        while let Some(at) = rest.find(&self.prefix) {
            let (before, found) = rest.split_at(at);
            let number = &found[self.prefix.len()..];
            let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
            let expression = number[..digits].parse().ok().and_then(|place: usize| self.expressions.get(place));
            rest = &number[(digits + 1).min(number.len())..];
            let before = match before.strip_suffix("<!--").zip(rest.strip_prefix("-->")) {
                Some((before, after)) => {
                    rest = after;
                    before
                }
                None => {
                    // An expression that stood where attributes do comes back as one without a value.
                    rest = rest.strip_prefix("=\"\"").unwrap_or(rest);
                    before
                }
            };
            output.push_str(before);
            output.push_str(expression.copied().unwrap_or_default());
        }
        output.push_str(rest);
        output
    }

    /// The line of the template that a place in the masked HTML is on, from 1.
    pub(crate) fn line_at(&self, place: usize) -> usize {
        let before = self.html.get(..place).unwrap_or(&self.html);
        self.restored(before).matches('\n').count() + 1
    }

    /// Whether a comment is the word of an expression.
    pub(crate) fn is_word(&self, comment: &str) -> bool {
        let place = comment.strip_prefix(&self.prefix).and_then(|number| number.strip_suffix('z'));
        place.is_some_and(|place| place.parse().is_ok_and(|place: usize| place < self.expressions.len()))
    }
}

fn stepped<'a>(state: At<'a>, rest: &'a str) -> At<'a> {
    let byte = rest.as_bytes()[0];
    match state {
        At::Text if rest.starts_with("<!--") => At::Comment,
        At::Text if byte == b'<' => tag_name(rest).map_or(At::Text, |name| At::Tag(name, None)),
        At::Comment if rest.starts_with("-->") => At::Text,
        At::Raw(name) if is_end_of(rest, name) => At::Tag("", None),
        At::Tag(name, Some(quote)) => At::Tag(name, (byte != quote).then_some(quote)),
        At::Tag(name, None) => match byte {
            b'"' | b'\'' => At::Tag(name, Some(byte)),
            b'>' => RAW.iter().find(|raw| name.eq_ignore_ascii_case(raw)).map_or(At::Text, |raw| At::Raw(raw)),
            _ => At::Tag(name, None),
        },
        state => state,
    }
}

/// The name of the tag that starts here; empty for end tags and declarations.
fn tag_name(rest: &str) -> Option<&str> {
    let inside = &rest[1..];
    match inside.as_bytes().first()? {
        b'/' | b'!' => Some(""),
        first if first.is_ascii_alphabetic() => {
            Some(&inside[..inside.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(inside.len())])
        }
        _ => None,
    }
}

fn is_end_of(rest: &str, name: &str) -> bool {
    rest.starts_with("</") && rest.get(2..2 + name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name))
}
