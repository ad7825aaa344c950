//! Snippets looked at by themselves: what can be known to be wrong before any message takes them in.

use std::collections::{BTreeMap, BTreeSet};

use vocabulary::{Copy, Slot, Snippet};

use crate::ContentError;
use crate::template::{Given, NO_LANGUAGE, check, compile};

/// Checks snippets that are to be stored together: syntax, names, tags, includes, size. `all` are those there will be then.
///
/// # Errors
/// The first thing that is wrong, with snippet, language and line.
pub fn check_snippets(all: &[Snippet]) -> Result<(), ContentError> {
    let slots: BTreeMap<String, Slot> = BTreeMap::new();
    let known = compile::Known::new(Given { snippets: all, slots: &slots })?;
    let mut taken: BTreeSet<(String, String)> = BTreeSet::new();
    for snippet in all {
        taken.insert((snippet.snippet.clone(), NO_LANGUAGE.to_owned()));
        let tags = compile::keys_of_snippet(snippet)?;
        taken.extend(tags.into_keys().map(|key| (snippet.snippet.clone(), key)));
    }
    compile::snippets(&mut crate::template::engine::new_environment(), &known, taken)
}

/// Whether any part of a copy takes in a snippet.
#[must_use]
pub fn takes_snippets(copy: &Copy) -> bool {
    let own = [&copy.subject, &copy.html, &copy.text];
    let translated = copy.locales.values().flat_map(|other| [&other.subject, &other.html, &other.text]);
    own.into_iter().chain(translated).any(|part| !check::includes(part).is_empty())
}

/// The copies with what they take in written where they take it in, each on one line, so that lines stay where they are: for
/// looking them over. What cannot be taken in stays as it is.
#[must_use]
pub fn with_snippets(copies: &BTreeMap<String, Copy>, snippets: &[Snippet]) -> BTreeMap<String, Copy> {
    let Ok(known) = compile::Known::new(Given { snippets, ..Given::default() }) else { return copies.clone() };
    let mut copies = copies.clone();
    for copy in copies.values_mut() {
        let key = copy.language.as_deref().and_then(compile::key_of).unwrap_or_else(|| NO_LANGUAGE.to_owned());
        for part in [&mut copy.subject, &mut copy.html, &mut copy.text] {
            *part = written_out(part, &known, &key);
        }
        for (tag, other) in &mut copy.locales {
            let key = compile::key_of(tag).unwrap_or_else(|| NO_LANGUAGE.to_owned());
            for part in [&mut other.subject, &mut other.html, &mut other.text] {
                *part = written_out(part, &known, &key);
            }
        }
    }
    copies
}

/// No snippet takes in itself, so this ends.
fn written_out(source: &str, known: &compile::Known<'_>, key: &str) -> String {
    let mut output = String::with_capacity(source.len());
    let mut done = 0;
    for (at, name) in check::includes(source) {
        let said = name.and_then(|name| known.said(name, key));
        let (Some(said), Some(end)) = (said, source[at..].find("%}").map(|end| at + end + 2)) else { continue };
        output.push_str(&source[done..at]);
        output.push_str(&written_out(said, known, key).replace(['\r', '\n'], " "));
        done = end;
    }
    output.push_str(&source[done..]);
    output
}
