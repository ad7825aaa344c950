//! What can be known to be wrong with a template before anybody gets it.

use std::collections::BTreeMap;

use minijinja::Environment;

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
    snippets: &BTreeMap<String, String>,
) -> Result<(), (usize, String)> {
    environment
        .add_template_owned(name.to_owned(), source.to_owned())
        .map_err(|error| (error.line().unwrap_or(1), problem_of(&error)))?;
    let template = environment.get_template(name).expect("it was added above");
    let mut names: Vec<String> = template.undeclared_variables(true).into_iter().collect();
    names.sort_unstable();
    let is_global = |name: &str| environment.globals().any(|(global, _)| global == name);
    let unknown = names.into_iter().find_map(|name| problem_of_name(&name, is_global).map(|problem| (name, problem)));
    if let Some((name, problem)) = unknown {
        return Err((line_of(source, &name), problem));
    }
    for (at, snippet) in includes(source) {
        let line = source[..at].matches('\n').count() + 1;
        match snippet {
            Some(snippet) if snippets.contains_key(snippet) => {}
            Some(snippet) => return Err((line, format!("there is no snippet `{snippet}`; {}", known(snippets)))),
            None => return Err((line, format!("write the name in quotes, as in {{% include \"{SNIPPETS}NAME\" %}}"))),
        }
    }
    Ok(())
}

fn known(snippets: &BTreeMap<String, String>) -> String {
    if snippets.is_empty() {
        return "there are none".to_owned();
    }
    let names: Vec<&str> = snippets.keys().map(String::as_str).collect();
    format!("there are {}", names.join(", "))
}

/// The snippets a template takes in, and where. `None` for what cannot be known before it is rendered, or is no snippet.
pub(super) fn includes(source: &str) -> Vec<(usize, Option<&str>)> {
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
    let kind = name.rsplit('/').next().unwrap_or_default();
    let of_snippet = |snippet: &str| asks_for(environment, &format!("{SNIPPETS}{snippet}/{kind}"), asked);
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
pub(super) fn circle(snippets: &BTreeMap<String, String>) -> Option<&str> {
    /// Whether a way from `name` leads to `end`. Each snippet is walked once.
    fn leads<'a>(snippets: &'a BTreeMap<String, String>, name: &'a str, end: &str, seen: &mut Vec<&'a str>) -> bool {
        let next: Vec<&str> =
            snippets.get(name).map(|source| includes(source)).unwrap_or_default().into_iter().filter_map(|(_, n)| n).collect();
        next.into_iter().any(|next| {
            let is_new = !seen.contains(&next);
            seen.extend(is_new.then_some(next));
            next == end || (is_new && leads(snippets, next, end, seen))
        })
    }
    snippets.keys().map(String::as_str).find(|name| leads(snippets, name, name, &mut Vec::new()))
}

/// What is wrong with a name in `defaults`; `None` when contacts or messages may lack it.
pub(super) fn problem_of_default(name: &str) -> Option<String> {
    let form = "write one such as contact.attributes.first_name, contact.country or data.code";
    let steps: Vec<&str> = name.split('.').collect();
    match steps.as_slice() {
        _ if steps.iter().any(|step| step.is_empty()) => Some(format!("`{name}` is no name; {form}")),
        ["contact", "attributes", _] | ["data", _, ..] | [COUPON] => None,
        ["contact", known] if *known != "attributes" && CONTACT_NAMES.contains(known) => None,
        _ => Some(problem_of_name(name, |_| false).unwrap_or_else(|| format!("`{name}` is never lacking; {form}"))),
    }
}

/// `None` when every message knows `name`.
fn problem_of_name(name: &str, is_global: impl Fn(&str) -> bool) -> Option<String> {
    let mut steps = name.split('.');
    let first = steps.next().unwrap_or_default();
    if first == "data" || NAMES.contains(&first) || is_global(first) {
        return None;
    }
    if first != "contact" {
        return Some(format!("`{first}` is not known; there are contact, data, {}", NAMES.join(", ")));
    }
    let second = steps.next().filter(|second| !CONTACT_NAMES.contains(second))?;
    Some(format!("`contact.{second}` is not known; there are contact.{}", CONTACT_NAMES.join(", contact.")))
}

/// The line where `name` is first written, as well as can be told from the text.
pub(super) fn line_of(source: &str, name: &str) -> usize {
    let at = source.find(name).or_else(|| source.find(name.rsplit('.').next().unwrap_or(name))).unwrap_or(0);
    source[..at].matches('\n').count() + 1
}
