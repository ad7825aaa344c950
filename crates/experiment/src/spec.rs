//! Reading experiments and campaigns as people write them: YAML or JSON, every key known, every value checked, and each
//! complaint with the field, the line and what to write instead.

use segments::Segment;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_saphyr::Error as YamlError;
use triggers::Trigger;
use vocabulary::{Campaign, Currency, Experiment, Form, MessageTemplate, Product, Snippet};

use crate::check::{problem_of_campaign, problem_of_experiment};
use crate::error::{ExperimentError, Problem};
use crate::places::{Place, Places, place, read_shape};

/// The largest text that is read. A campaign carries its templates, and a generous newsletter has 100 KB of HTML.
pub const TEXT_BYTES_MAX: usize = 4 << 20;

/// Reads an experiment from YAML or JSON and checks it.
///
/// # Errors
/// [`ExperimentError`] names the field, the line and, for an unknown key, the nearest known one.
pub fn parse(text: &str) -> Result<Experiment, ExperimentError> {
    let experiment: Experiment = read(text)?;
    checked(experiment, problem_of_experiment, || Places::of(text))
}

/// Reads a campaign from YAML or JSON and checks it.
///
/// # Errors
/// As [`parse`].
pub fn parse_campaign(text: &str) -> Result<Campaign, ExperimentError> {
    let campaign: Campaign = read(text)?;
    checked(campaign, problem_of_campaign, || Places::of(text))
}

/// Reads segments from YAML or JSON: one, or a list of them.
///
/// # Errors
/// [`ExperimentError`] names the place of the first mistake.
pub fn parse_segments(text: &str) -> Result<Vec<Segment>, ExperimentError> {
    one_or_many(text, |segment: &Segment| segment.check().err().map(|error| Problem::new(error.field(), error.reason())))
}

/// Reads and checks a trigger, or a list of them, in YAML or JSON. Amounts are in the base currency.
///
/// # Errors
/// [`ExperimentError`] names the place of the first mistake.
pub fn parse_triggers(text: &str, base: Currency) -> Result<Vec<Trigger>, ExperimentError> {
    one_or_many(text, |trigger: &Trigger| trigger.check(base).err().map(|error| Problem::new(error.field, error.reason)))
}

/// Reads and checks a subscription form, or a list of them, in YAML or JSON.
///
/// # Errors
/// [`ExperimentError`] names the place of the first mistake.
pub fn parse_forms(text: &str) -> Result<Vec<Form>, ExperimentError> {
    one_or_many(text, |form: &Form| form.check().err().map(|(field, reason)| Problem::new(field, reason)))
}

/// Reads and checks a template of messages to one person, or a list of them, in YAML or JSON.
///
/// # Errors
/// [`ExperimentError`] names the place of the first mistake.
pub fn parse_templates(text: &str) -> Result<Vec<MessageTemplate>, ExperimentError> {
    one_or_many(text, |template: &MessageTemplate| template.check().err().map(|(field, reason)| Problem::new(field, reason)))
}

/// Reads and checks a product, or a list of them, in YAML or JSON.
///
/// # Errors
/// [`ExperimentError`] names the place of the first mistake.
pub fn parse_products(text: &str) -> Result<Vec<Product>, ExperimentError> {
    one_or_many(text, |product: &Product| product.check().err().map(|(field, reason)| Problem::new(field, reason)))
}

/// Reads and checks a snippet, or a list of them, in YAML or JSON.
///
/// # Errors
/// [`ExperimentError`] names the place of the first mistake.
pub fn parse_snippets(text: &str) -> Result<Vec<Snippet>, ExperimentError> {
    one_or_many(text, |snippet: &Snippet| snippet.check().err().map(|(field, reason)| Problem::new(field, reason)))
}

fn one_or_many<T: DeserializeOwned>(text: &str, wrong: impl Fn(&T) -> Option<Problem>) -> Result<Vec<T>, ExperimentError> {
    let first = text.lines().map(str::trim_start).find(|line| !line.is_empty() && !line.starts_with('#') && *line != "---");
    let is_list = first.is_some_and(|line| line.starts_with(['-', '[']));
    let many: Vec<T> = if is_list { read(text)? } else { vec![read(text)?] };
    let wrong = many.iter().enumerate().find_map(|(number, one)| Some((number, wrong(one)?)));
    let Some((number, problem)) = wrong else { return Ok(many) };
    let field = if is_list { format!("[{number}].{}", problem.field) } else { problem.field.clone() };
    checked(many, |_| Some(Problem { field, ..problem }), || Places::of(text))
}

/// Checks an experiment that was made by a program.
///
/// # Errors
/// [`ExperimentError::Invalid`] names the field; there is no line.
pub fn check(experiment: &Experiment) -> Result<(), ExperimentError> {
    checked((), |()| problem_of_experiment(experiment), Places::default)
}

/// Checks a campaign that was made by a program.
///
/// # Errors
/// [`ExperimentError::Invalid`] names the field; there is no line.
pub fn check_campaign(campaign: &Campaign) -> Result<(), ExperimentError> {
    checked((), |()| problem_of_campaign(campaign), Places::default)
}

/// Writes an experiment so that [`parse`] reads the same one.
///
/// # Panics
/// Never: an experiment is plain data.
#[must_use]
pub fn to_yaml(experiment: &Experiment) -> String {
    serde_saphyr::to_string(experiment).expect("an experiment is plain data")
}

pub(crate) fn checked<T>(
    value: T,
    problem: impl FnOnce(&T) -> Option<Problem>,
    places: impl FnOnce() -> Places,
) -> Result<T, ExperimentError> {
    let Some(problem) = problem(&value) else { return Ok(value) };
    let at = places().of_field(&problem.field);
    Err(ExperimentError::Invalid(Problem { line: at.map(|(line, _)| line), column: at.map(|(_, column)| column), ..problem }))
}

pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, ExperimentError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(ExperimentError::TooLarge { bytes: text.len(), limit: TEXT_BYTES_MAX });
    }
    serde_saphyr::from_str(text).map_err(|error| {
        // Where the shape itself cannot be read, that is the complaint, not the first field that came out wrong for it.
        let shape = read_shape::<IgnoredAny>(text).err();
        let readable = shape.is_none();
        let error = shape.unwrap_or(error);
        let at: Option<Place> = error.location().map(|location| place(&location)).filter(|(line, _)| *line > 0);
        let places = Places::of(text);
        let field = at.and_then(|at| places.field_at(at)).unwrap_or_default();
        let problem = explain(error.without_snippet(), field);
        let problem = Problem { line: at.map(|(line, _)| line), column: at.map(|(_, column)| column), ..problem };
        if readable { ExperimentError::Invalid(problem) } else { ExperimentError::Unreadable(problem) }
    })
}

/// Puts an error of the YAML reader, met at `field`, into words for people.
fn explain(error: &YamlError, field: &str) -> Problem {
    let list = |words: &[&str]| words.join(", ");
    match error {
        YamlError::SerdeUnknownField { field: unknown, expected, .. } => {
            let path = if field.is_empty() { unknown } else { field };
            Problem::new(path, format!("is not a known key; known are {}", list(expected)))
                .nearest_of(unknown, expected.iter().copied())
        }
        YamlError::SerdeUnknownVariant { variant, expected, .. } => {
            Problem::new(field, format!("is `{variant}`, which is not one of {}", list(expected)))
                .nearest_of(variant, expected.iter().copied())
        }
        YamlError::SerdeMissingField { field: missing, .. } => {
            // The reader stands at the last key it saw, a sibling of the missing one.
            let path = field.rfind('.').map_or_else(|| (*missing).to_owned(), |dot| format!("{}.{missing}", &field[..dot]));
            Problem::new(path, "is missing; add it")
        }
        YamlError::DuplicateMappingKey { .. } => Problem::new(field, "is given twice; keep one"),
        YamlError::InvalidScalar { ty, .. } => Problem::new(field, format!("must be {}", plain_type(ty))),
        YamlError::Unexpected { expected, .. } => Problem::new(field, format!("must be {}", plain_type(expected))),
        other => {
            let message = other.to_string();
            let reason = message.rsplit_once(" at line ").map_or(message.as_str(), |(reason, _)| reason);
            match reason.strip_prefix("invalid type: ").and_then(|reason| reason.split_once(", expected ")) {
                Some((_, expected)) => Problem::new(field, format!("must be {expected}")),
                None => Problem::new(field, reason),
            }
        }
    }
}

/// The reader's name of a type in plain words.
fn plain_type(name: &str) -> &str {
    match name {
        "u8" => "a whole number from 0 to 255",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" => "a whole number, zero or more",
        "f64" | "floating point" => "a number",
        "bool" | "boolean" => "true or false",
        "mapping start" => "a block of `key: value` pairs",
        "sequence start" => "a list",
        "string scalar" => "a text",
        other => other,
    }
}

#[cfg(test)]
#[path = "spec_again_tests.rs"]
mod again_tests;
#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
