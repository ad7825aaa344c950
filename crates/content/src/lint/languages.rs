//! Languages of the audience that nobody wrote for, and translations that lack a part.

use vocabulary::{Copy, Translation};

use super::{LintInput, Note, Notes, Severity};
use crate::Part;

/// Checks one copy with all its translations.
pub(super) fn check(input: &LintInput<'_>, copy: &Copy, notes: &mut Notes<'_>) {
    uncovered(input, copy, notes);
    for tag in copy.locales.keys() {
        for (part, of_copy, of_translation) in PARTS {
            if is_written(of_copy(copy)) && !chain(tag).any(|tag| is_part_written(copy, &tag, of_copy, of_translation)) {
                notes.add(
                    Some((part, None)),
                    Note {
                        code: "translation_lacks_part",
                        severity: Severity::Problem,
                        found: format!("{tag} has no {part}"),
                        why: "parts of several languages are never mixed, so its readers cannot get it; translate the part",
                        source: None,
                    },
                );
            }
        }
    }
}

type OfCopy = fn(&Copy) -> &str;
type OfTranslation = fn(&Translation) -> &str;
const PARTS: [(Part, OfCopy, OfTranslation); 3] = [
    (Part::Subject, |copy| &copy.subject, |translation| &translation.subject),
    (Part::Html, |copy| &copy.html, |translation| &translation.html),
    (Part::Text, |copy| &copy.text, |translation| &translation.text),
];

fn is_written(text: &str) -> bool {
    !text.trim().is_empty()
}

fn is_part_written(copy: &Copy, tag: &str, of_copy: OfCopy, of_translation: OfTranslation) -> bool {
    let is_own = copy.language.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(tag));
    let mut translations = copy.locales.iter().filter(|(known, _)| known.eq_ignore_ascii_case(tag));
    (is_own && is_written(of_copy(copy))) || translations.any(|(_, translation)| is_written(of_translation(translation)))
}

/// A tag and the less specific ones of the same language: RFC 4647, 3.4.
fn chain(tag: &str) -> impl Iterator<Item = String> {
    let first = Some(tag.replace('_', "-"));
    std::iter::successors(first, |tag| tag.rsplit_once('-').map(|(shorter, _)| shorter.to_owned()))
}

/// The script that readers of Chinese in these places expect, which their tag often leaves out.
fn with_script(tag: &str) -> Option<&'static str> {
    match tag.to_ascii_lowercase().as_str() {
        "zh-tw" | "zh-hk" | "zh-mo" => Some("zh-Hant"),
        "zh-cn" | "zh-sg" => Some("zh-Hans"),
        _ => None,
    }
}

fn uncovered(input: &LintInput<'_>, copy: &Copy, notes: &mut Notes<'_>) {
    if input.languages.is_empty() {
        return;
    }
    let Some(own) = copy.language.as_deref() else {
        notes.add(
            None,
            Note {
                code: "language_unstated",
                severity: Severity::Hint,
                found: "the copy does not say its language".to_owned(),
                why: "so nobody can tell who reads it in theirs; write `language`",
                source: None,
            },
        );
        return;
    };
    let is_known = |tag: &str| own.eq_ignore_ascii_case(tag) || copy.locales.keys().any(|known| known.eq_ignore_ascii_case(tag));
    for language in input.languages {
        let is_covered = chain(language).any(|tag| is_known(&tag)) || with_script(language).is_some_and(is_known);
        if !is_covered {
            notes.add(
                None,
                Note {
                    code: "language_uncovered",
                    severity: Severity::Warning,
                    found: language.clone(),
                    why: "readers of it get the copy in another language; translate it, or leave them out",
                    source: None,
                },
            );
        }
    }
}
