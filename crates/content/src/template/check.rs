//! What can be known to be wrong with a template before anybody gets it.

use minijinja::Environment;

use super::compile::Known;
use super::engine::{SNIPPETS, problem_of};
use crate::markup::{Kind, expressions, words};
use crate::values::COUPON;

/// What templates know besides `contact` and `data`.
const NAMES: [&str; 8] = ["campaign", COUPON, "direction", "locale", "now", "preferences_url", "unsubscribe_url", "variant"];
/// What templates know of the contact.
const CONTACT_NAMES: [&str; 4] = ["attributes", "country", "language", "time_zone"];
/// The statements that take in another template.
const TAKES: [&str; 4] = ["extends", "from", "import", "include"];

/// Adds a template, and says what is wrong with it and on which line, from 1.
pub(super) fn add(
    environment: &mut Environment<'static>,
    name: &str,
    source: &str,
    known: &Known<'_>,
) -> Result<(), (usize, String)> {
    environment
        .add_template_owned(name.to_owned(), source.to_owned())
        .map_err(|error| (error.line().unwrap_or(1), problem_of(&error)))?;
    let template = environment.get_template(name).expect("it was added above");
    let mut names: Vec<String> = template.undeclared_variables(true).into_iter().collect();
    names.sort_unstable();
    let is_global = |name: &str| environment.globals().any(|(global, _)| global == name);
    let unknown = names.into_iter().find_map(|name| problem_of_name(&name, known, is_global).map(|problem| (name, problem)));
    if let Some((name, problem)) = unknown {
        return Err((line_of(source, &name), problem));
    }
    for (at, snippet) in includes(source) {
        let line = source[..at].matches('\n').count() + 1;
        match snippet {
            Some(snippet) if known.snippets.contains_key(snippet) => {}
            Some(snippet) => return Err((line, format!("there is no snippet `{snippet}`; {}", those_there_are(known)))),
            None => return Err((line, format!("write the name in quotes, as in {{% include \"{SNIPPETS}NAME\" %}}"))),
        }
    }
    Ok(())
}

fn those_there_are(known: &Known<'_>) -> String {
    if known.snippets.is_empty() {
        return "there are none".to_owned();
    }
    let names: Vec<&str> = known.snippets.keys().copied().collect();
    format!("there are {}", names.join(", "))
}

/// The snippets a template takes in, and where. `None` for what cannot be known before it is rendered, or is no snippet.
pub(crate) fn includes(source: &str) -> Vec<(usize, Option<&str>)> {
    let statements = expressions(source).into_iter().filter(|(kind, _)| *kind == Kind::Statement);
    let taken = |range: std::ops::Range<usize>| {
        let inside = words(&source[range.clone()]);
        let (word, rest) = inside.split_once(char::is_whitespace)?;
        TAKES.contains(&word).then(|| (range.start, quoted(rest.trim_start()).and_then(|name| name.strip_prefix(SNIPPETS))))
    };
    statements.filter_map(|(_, range)| taken(range)).collect()
}

/// Whether a template asks for a name of the first level, itself or by a snippet. Snippets that include themselves were refused.
pub(super) fn asks_for(environment: &Environment<'_>, name: &str, asked: &str) -> bool {
    let Ok(template) = environment.get_template(name) else { return false };
    let mut steps = name.rsplit('/');
    let (kind, key) = (steps.next().unwrap_or_default(), steps.next().unwrap_or_default());
    let of_snippet = |snippet: &str| asks_for(environment, &format!("{SNIPPETS}{snippet}/{key}/{kind}"), asked);
    template.undeclared_variables(false).contains(asked)
        || includes(template.source()).into_iter().filter_map(|(_, snippet)| snippet).any(of_snippet)
}

/// The text in quotes at the start, where nothing is done with it.
fn quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (name, rest) = text[1..].split_once(quote)?;
    let rest = rest.trim_start();
    (rest.is_empty() || rest.starts_with(char::is_alphabetic)).then_some(name)
}

/// The first snippet that takes in itself, directly or by others.
pub(super) fn circle<'a>(known: &Known<'a>) -> Option<&'a str> {
    /// Whether a way from `name` leads to `end`. Each snippet is walked once.
    fn leads<'a>(known: &Known<'a>, name: &str, end: &str, seen: &mut Vec<&'a str>) -> bool {
        let Some(snippet) = known.snippets.get(name) else { return false };
        let texts = std::iter::once(&snippet.content).chain(snippet.locales.values());
        texts.flat_map(|text| includes(text)).filter_map(|(_, next)| next).any(|next| {
            let is_new = !seen.contains(&next);
            seen.extend(is_new.then_some(next));
            next == end || (is_new && leads(known, next, end, seen))
        })
    }
    known.snippets.keys().copied().find(|name| leads(known, name, name, &mut Vec::new()))
}

/// What is wrong with a name in `defaults`; `None` when contacts or messages may lack it.
pub(super) fn problem_of_default(name: &str) -> Option<String> {
    let form = "write one such as contact.attributes.first_name, contact.country or data.code";
    let steps: Vec<&str> = name.split('.').collect();
    match steps.as_slice() {
        _ if steps.iter().any(|step| step.is_empty()) => Some(format!("`{name}` is no name; {form}")),
        ["contact", "attributes", _] | ["data", _, ..] | [COUPON] => None,
        ["slots", ..] => Some(format!("`{name}` is a list of products; give the slot a `fallback`")),
        ["contact", known] if *known != "attributes" && CONTACT_NAMES.contains(known) => None,
        _ => Some(
            problem_of_name(name, &Known::default(), |_| false).unwrap_or_else(|| format!("`{name}` is never lacking; {form}")),
        ),
    }
}

/// `None` when every message knows `name`.
fn problem_of_name(name: &str, known: &Known<'_>, is_global: impl Fn(&str) -> bool) -> Option<String> {
    let mut steps = name.split('.');
    let first = steps.next().unwrap_or_default();
    if first == "data" || NAMES.contains(&first) || is_global(first) {
        return None;
    }
    if first == "slots" {
        return problem_of_slot(steps.next(), known);
    }
    if first != "contact" {
        return Some(format!("`{first}` is not known; there are contact, data, {}", NAMES.join(", ")));
    }
    let second = steps.next().filter(|second| !CONTACT_NAMES.contains(second))?;
    Some(format!("`contact.{second}` is not known; there are contact.{}", CONTACT_NAMES.join(", contact.")))
}

/// `None` when the campaign has such a slot, or where any of its slots will do.
fn problem_of_slot(slot: Option<&str>, known: &Known<'_>) -> Option<String> {
    if known.slots.is_empty() {
        return Some("`slots` is not known here; a campaign that writes `slots` knows them, in its copies".to_owned());
    }
    let slot = slot.filter(|slot| !known.slots.contains_key(slot))?;
    let names: Vec<&str> = known.slots.keys().copied().collect();
    Some(format!("`slots.{slot}` is not known; there are slots.{}", names.join(", slots.")))
}

/// The line where `name` is first written, as well as can be told from the text.
pub(super) fn line_of(source: &str, name: &str) -> usize {
    let at = source.find(name).or_else(|| source.find(name.rsplit('.').next().unwrap_or(name))).unwrap_or(0);
    source[..at].matches('\n').count() + 1
}
