//! Words, numbers and colours that offend, bring bad luck or are not allowed where a copy is read.

use super::look::{Look, Tag};
use super::rules::MarketRule;
use super::words::{find_number, find_word};
use super::{LintInput, LintRules, Note, Notes, Version};

/// Checks one version against the rules of the audience's markets.
pub(super) fn check(input: &LintInput<'_>, rules: &LintRules, version: &Version<'_>, notes: &mut Notes<'_>) {
    for rule in &rules.market {
        let markets = rule.markets(input.markets, input.channel, input.class);
        let stands = |word: &String| version.parts.iter().any(|(_, look)| find_word(&look.visible, word).is_some());
        if markets.is_empty() || !(rule.with.is_empty() || rule.with.iter().any(stands)) {
            continue;
        }
        for (part, look) in &version.parts {
            for (at, found) in findings(rule, look) {
                let note = Note {
                    code: &rule.id,
                    severity: rule.severity,
                    found: format!("{found} ({})", markets.join(", ")),
                    why: &rule.why,
                    source: Some(&rule.source),
                };
                notes.add(Some((*part, Some(at))), note);
            }
        }
    }
}

/// What a rule finds in one part, each thing once.
fn findings<'a>(rule: &'a MarketRule, look: &Look<'_>) -> Vec<(usize, &'a str)> {
    let words = rule.words.iter().filter_map(|word| Some((find_word(&look.visible, word)?, word.as_str())));
    let numbers = rule.numbers.iter().filter_map(|number| Some((find_number(&look.visible, number)?, number.as_str())));
    let coloured = |colour: &'a String| {
        let tag = look.tags.iter().find(|tag| has_colour(tag, colour, false))?;
        Some((tag.at, colour.as_str()))
    };
    let named = |colour: &'a String| {
        let tag = look.tags.iter().find(|tag| has_colour(tag, colour, true) && holds_name(look.raw, tag))?;
        Some((tag.at, colour.as_str()))
    };
    let colours = rule.colours.iter().filter_map(coloured);
    let found = words.chain(numbers).chain(colours).chain(rule.name_colours.iter().filter_map(named));
    found.collect()
}

/// Whether a tag has the colour in one of its styles, or as the colour of its text.
fn has_colour(tag: &Tag<'_>, colour: &str, is_text: bool) -> bool {
    let is_it = |value: &str| find_word(value, colour).is_some();
    let declared = |(name, value): (&str, &str)| match name.trim() {
        "color" => is_it(value),
        "background" | "background-color" => !is_text && is_it(value),
        _ => false,
    };
    let style = tag.attribute("style").unwrap_or_default().to_ascii_lowercase();
    style.split(';').filter_map(|declaration| declaration.split_once(':')).any(declared)
        || ["color", "bgcolor", "background-color"].into_iter().any(|name| {
            tag.attribute(name).is_some_and(|value| declared((if name == "bgcolor" { "background" } else { name }, value)))
        })
}

/// Whether what directly follows a tag is a template that fills in a name.
fn holds_name(raw: &str, tag: &Tag<'_>) -> bool {
    let text = raw[tag.end..].split('<').next().unwrap_or_default();
    text.split("{{").skip(1).any(|rest| rest.split("}}").next().is_some_and(|expression| expression.contains("name")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_read_from_styles_and_attributes() {
        let check = |html: &str, colour: &str, is_text: bool, expect: bool| {
            let look = Look::at(html, true);
            assert_eq!(has_colour(&look.tags[0], colour, is_text), expect, "{html}");
        };
        check("<p style='margin:0; COLOR: Red'>", "red", true, true);
        check("<p style='background:#FFF url(x)'>", "#fff", false, true);
        check("<p style='background:red'>", "red", true, false);
        check("<td bgcolor=white>", "white", false, true);
        check("<font color=red>", "red", true, true);
        check("<p style='color:darkred'>", "red", true, false);
        check("<p style='color:#fff000'>", "#fff", false, false);
        check("<p class=red>", "red", false, false);
    }
}
