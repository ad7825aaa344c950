//! What e-mail needs: the way out of it, an address, a subject that is read, HTML that is shown.

use vocabulary::MessageClass;

use super::look::Look;
use super::words::find_word;
use super::{LintInput, LintRules, Note, Notes, Severity, Version};
use crate::Part;

/// Gmail shows so much of the HTML and hides the rest behind a link.
const GMAIL_BYTES_MAX: usize = 102 * 1024;
const GMAIL_SOURCE: &str = "https://www.spamresource.com/2022/01/what-is-gmail-clipping-and-what-to-do.html";
/// Phones show 40 to 50 characters of a subject, desktops about 70.
const SUBJECT_CHARS_MAX: usize = 70;
/// A subject of fewer capital letters may be a name.
const CAPITALS_MIN: usize = 8;
/// Beside images so much text tells what the mail is about where images are not shown.
const WORDS_MIN: usize = 20;
/// A sign of Chinese or Japanese counts as much as half a word.
const SIGNS_PER_WORD: usize = 2;

/// Checks one version.
pub(super) fn check(input: &LintInput<'_>, rules: &LintRules, version: &Version<'_>, notes: &mut Notes<'_>) {
    if input.class == MessageClass::Marketing {
        unsubscribing(version, notes);
        postal_address(rules, version, notes);
    }
    if let Some(subject) = version.part(Part::Subject) {
        check_subject(subject, notes);
    }
    if let Some(html) = version.part(Part::Html) {
        size(html, notes);
        images(html, notes);
    }
    spam(rules, version, notes);
}

fn unsubscribing(version: &Version<'_>, notes: &mut Notes<'_>) {
    let is_html = version.part(Part::Html).is_some();
    for part in [Part::Html, Part::Text] {
        let Some(look) = version.part(part) else { continue };
        if look.raw.contains("unsubscribe_url") {
            continue;
        }
        // Who reads the text beside an HTML part has the header's link at least.
        let severity = if part == Part::Text && is_html { Severity::Warning } else { Severity::Problem };
        notes.add(
            Some((part, None)),
            Note {
                code: "unsubscribe_missing",
                severity,
                found: "no unsubscribe_url".to_owned(),
                why: "marketing needs a way out that is seen; write a link to {{ unsubscribe_url }}",
                source: Some("15 USC 7704(a)(3) and (5); RFC 8058"),
            },
        );
    }
}

fn postal_address(rules: &LintRules, version: &Version<'_>, notes: &mut Notes<'_>) {
    let bodies: Vec<(Part, &Look<'_>)> =
        [Part::Html, Part::Text].into_iter().filter_map(|part| Some((part, version.part(part)?))).collect();
    let Some((part, _)) = bodies.first() else { return };
    let is_address = |line: &str| {
        line.chars().any(|character| character.is_ascii_digit())
            && rules.address.words.iter().any(|word| find_word(line, word).is_some())
    };
    let has = |look: &Look<'_>| look.raw.contains("postal_address") || look.visible.lines().any(is_address);
    if !bodies.iter().any(|(_, look)| has(look)) {
        notes.add(
            Some((*part, None)),
            Note {
                code: "postal_address_missing",
                severity: Severity::Warning,
                found: "no postal address was recognised".to_owned(),
                why: "marketing must tell the sender's postal address in several countries; write street and number or a post \
                      office box at the end",
                source: Some(&rules.address.source),
            },
        );
    }
}

fn check_subject(subject: &Look<'_>, notes: &mut Notes<'_>) {
    let said = subject.said();
    let said = said.trim();
    let at = Some((Part::Subject, Some(0)));
    let mut add = |code, severity, found: String, why| notes.add(at, Note { code, severity, found, why, source: None });
    let length = said.chars().count();
    if length > SUBJECT_CHARS_MAX {
        let why = "mail programs show 40 to 70 characters; put what matters first and leave the rest out";
        add("subject_long", Severity::Hint, format!("{length} characters without what is filled in"), why);
    }
    let capitals = said.chars().filter(|character| character.is_uppercase()).count();
    if capitals >= CAPITALS_MIN && !said.chars().any(char::is_lowercase) {
        add(
            "subject_capitals",
            Severity::Warning,
            said.to_owned(),
            "capitals are read as shouting, by filters too; write it as a sentence",
        );
    }
    let is_mark = |character: char| matches!(character, '!' | '！');
    let marks = said.split(|character| !is_mark(character)).map(|run| run.chars().count()).max().unwrap_or(0);
    if marks >= 3 {
        add(
            "subject_exclamation",
            Severity::Warning,
            "!".repeat(marks),
            "filters and readers know it from unwanted mail; one is enough",
        );
    }
}

fn size(html: &Look<'_>, notes: &mut Notes<'_>) {
    if html.raw.len() > GMAIL_BYTES_MAX {
        notes.add(
            Some((Part::Html, None)),
            Note {
                code: "html_large",
                severity: Severity::Warning,
                found: format!("{} KB before anything is filled in", html.raw.len() / 1024),
                why: "Gmail shows 102 KB and hides the rest, with the unsubscribe link in it; take out styles and sections",
                source: Some(GMAIL_SOURCE),
            },
        );
    }
}

fn images(html: &Look<'_>, notes: &mut Notes<'_>) {
    let is_image = |name: &str| matches!(name, "img" | "mj-image" | "amp-img");
    let images: Vec<_> = html.tags.iter().filter(|tag| is_image(&tag.name)).collect();
    for image in images.iter().filter(|image| image.attribute("alt").is_none()) {
        let source = image.attribute("src").unwrap_or("an image");
        notes.add(
            Some((Part::Html, Some(image.at))),
            Note {
                code: "image_no_alt",
                severity: Severity::Hint,
                found: source.to_owned(),
                why: "where images are not shown or read aloud, `alt` tells what is there; write it, empty for mere decoration",
                source: Some("WCAG 2.2, 1.1.1"),
            },
        );
    }
    let Some(first) = images.first() else { return };
    let signs = html.visible.chars().filter(|character| ('\u{2e80}'..='\u{d7ff}').contains(character)).count();
    let words = html.visible.split_whitespace().count() + signs / SIGNS_PER_WORD;
    if words < WORDS_MIN {
        notes.add(
            Some((Part::Html, Some(first.at))),
            Note {
                code: "image_only",
                severity: Severity::Warning,
                found: format!("{} images and {words} words", images.len()),
                why: "filters distrust mail of images alone, and many readers do not load them; write what it says as text",
                source: Some("https://www.suped.com/learn/email-deliverability/what-words-and-phrases-are-considered-spammy-and-trigger-spam-filters"),
            },
        );
    }
}

fn spam(rules: &LintRules, version: &Version<'_>, notes: &mut Notes<'_>) {
    let primary = version.language.map(|tag| tag.split(['-', '_']).next().unwrap_or(tag).to_ascii_lowercase());
    let lists = rules.spam.iter().filter(|list| primary.as_ref().is_none_or(|primary| *primary == list.language));
    for list in lists {
        for (part, look) in &version.parts {
            for word in &list.words {
                let Some(at) = find_word(&look.visible, word) else { continue };
                notes.add(
                    Some((*part, Some(at))),
                    Note {
                        code: "spam_word",
                        severity: Severity::Hint,
                        found: word.clone(),
                        why: "filters know it from unwanted mail; say what the offer is instead",
                        source: Some(&list.source),
                    },
                );
            }
        }
    }
}
