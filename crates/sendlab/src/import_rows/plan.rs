//! A mapping that knows its file: each row becomes the fields of an event or a contact, or a fault with the field and the
//! reason.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use api::ATTRIBUTES;
use api::fields::{FIELDS, Field, Shape, nearest};
use jiff::civil::Date;
use jiff::fmt::strtime;
use vocabulary::EventKind;

use super::mapping::{Mapping, Origin};
use super::noun::Noun;
use super::rejects;
use super::time::Times;
use super::values::{Numbers, Value, value};
use crate::import_mapping::Piece;

/// The fields of one event or contact, in the order of their names.
pub(crate) type Fields = Vec<(&'static str, Value)>;

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The field that is wrong; empty when it is the row as a whole.
    pub(crate) field: String,
    /// Why, and what would be right.
    pub(crate) reason: String,
}

impl Fault {
    pub(crate) fn new(field: &str, reason: impl Into<String>) -> Self {
        Self { field: field.to_owned(), reason: reason.into() }
    }
}

/// One row of a table, or the members of one JSON object.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cells<'a> {
    Row(&'a [Option<String>]),
    Object(&'a BTreeMap<String, String>),
}

/// A piece of a template whose column was found.
#[derive(Debug, Clone)]
enum Part {
    Text(String),
    RowNumber,
    /// A column of a table by its position; `None` is one that may be missing and is.
    At(Option<usize>),
    Member(String),
}

/// What a template makes: a field, or an attribute of a contact by its name.
#[derive(Debug, Clone)]
struct Bound<T> {
    to: T,
    parts: Vec<Part>,
    words: Option<BTreeMap<String, String>>,
}

impl<T> Bound<T> {
    /// The template filled in, with the words of the file as they are called here; `name` is that of what it makes.
    fn text(&self, name: &str, number: u64, cells: Cells<'_>) -> Result<Option<String>, Fault> {
        let text = fill(&self.parts, number, cells);
        let (Some(word), Some(words)) = (&text, &self.words) else { return Ok(text) };
        let meant = words.get(word).cloned().ok_or_else(|| {
            let list = words.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            Fault::new(name, format!("`{word}` is not among the `values` of the mapping: {list}"))
        });
        meant.map(Some)
    }
}

/// The field that files do not have. It is the sender's clock at the moment of sending, by which the server corrects
/// `event_time`; in a file it would shift every event to the time of the import.
const OF_THE_MOMENT: &str = "sent_at";

/// The field of a contact that is a date, which files write in many ways.
const DATE: &str = "birth_date";

/// What `--attribute` says for all columns that are no fields.
const ALL_COLUMNS: &str = "*";

/// How the rows of one file become events or contacts.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) noun: Noun,
    bound: Vec<Bound<&'static Field>>,
    attributes: Vec<Bound<String>>,
    /// Whether the members of JSON objects are the fields of their names.
    by_name: bool,
    times: Times,
    date_format: Option<String>,
    numbers: Numbers,
}

/// What a file looks like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown<'a> {
    /// The names of its columns, or the members of its first lines.
    pub(crate) columns: &'a [String],
    /// Whether it is lines of JSON.
    pub(crate) lines: bool,
    /// Whether it tells numbers from text.
    pub(crate) typed: bool,
}

impl Plan {
    /// Finds the columns that the mapping names, and sees whether the mapping is whole.
    pub(crate) fn new(mapping: &Mapping, shown: Shown<'_>) -> anyhow::Result<Self> {
        let noun = mapping.noun;
        let kind = mapping.kind().map(|kind| kind.parse::<EventKind>().map_err(anyhow::Error::msg)).transpose();
        let kind = kind.context("`kind` in the mapping")?;
        let by_name = mapping.is_by_name();
        let mut bound = Vec::new();
        for (name, origin) in &mapping.origins {
            let field = noun.field(name).with_context(|| format!("`{name}` is no field of {}", noun.a()))?;
            if *name == OF_THE_MOMENT {
                bail!(
                    "`{name}` is the sender's clock at the moment of sending, which no file knows; leave it out of the mapping"
                );
            }
            bound.push(Bound { to: field, parts: parts(name, origin, shown)?, words: origin.words.clone() });
        }
        let attributes = attributes(mapping, shown)?;
        if by_name && !shown.lines {
            bound.extend(by_names(mapping, kind, shown.columns)?);
            bound.sort_by_key(|bound| bound.to.name);
        }
        if !(by_name && shown.lines) {
            check_whole(&bound, noun, kind, shown.columns)?;
        }
        let numbers = match (mapping.decimal_comma, shown.typed) {
            (false, _) => Numbers::Point,
            (true, false) => Numbers::Comma,
            (true, true) => Numbers::CommaInTexts,
        };
        let (times, date_format) = (mapping.times.clone(), mapping.date_format.clone());
        Ok(Self { noun, bound, attributes, by_name: by_name && shown.lines, times, date_format, numbers })
    }

    /// The fields of a row, and whether one of its times was shown twice by the clocks of its zone.
    pub(crate) fn read(&self, number: u64, cells: Cells<'_>) -> Result<(Fields, bool), Fault> {
        let (mut fields, mut twice) = (Fields::with_capacity(self.bound.len()), false);
        for bound in &self.bound {
            let Some(text) = bound.text(bound.to.name, number, cells)? else { continue };
            twice |= self.put(bound.to, &text, &mut fields)?;
        }
        let mut attributes = serde_json::Map::new();
        for bound in &self.attributes {
            let Some(text) = bound.text(&bound.to, number, cells)? else { continue };
            attributes.insert(bound.to.clone(), text.into());
        }
        if let (true, Cells::Object(members)) = (self.by_name, cells) {
            for (name, text) in members {
                if let Some(attribute) = name.strip_prefix("attributes.").filter(|_| self.noun == Noun::Contact) {
                    attributes.insert(attribute.to_owned(), text.as_str().into());
                    continue;
                }
                let known = self.noun.field(name).ok_or_else(|| unknown(self.noun, name))?;
                if known.name != OF_THE_MOMENT && !self.bound.iter().any(|bound| bound.to.name == known.name) {
                    twice |= self.put(known, text, &mut fields)?;
                }
            }
            fields.sort_by_key(|(name, _)| *name);
        }
        if !attributes.is_empty() {
            fields.push((ATTRIBUTES, Value::Bare(serde_json::Value::Object(attributes).to_string())));
        }
        Ok((fields, twice))
    }

    fn put(&self, field: &'static Field, text: &str, fields: &mut Fields) -> Result<bool, Fault> {
        let fault = |reason: String| Fault::new(field.name, reason);
        if matches!(field.shape, Shape::Time) {
            let read = self.times.read(text).map_err(fault)?;
            fields.push((field.name, Value::Text(read.time.to_string())));
            return Ok(read.twice);
        }
        if field.name == DATE {
            fields.push((field.name, Value::Text(date(self.date_format.as_deref(), text).map_err(fault)?)));
            return Ok(false);
        }
        fields.push((field.name, value(field.shape, self.numbers, text).map_err(fault)?));
        Ok(false)
    }
}

/// A date as the server reads it. A sheet's date has a midnight behind it.
fn date(format: Option<&str>, text: &str) -> Result<String, String> {
    let text = text.trim();
    let Some(format) = format else {
        let midnight = text.split_once(['T', ' ']).filter(|(_, time)| time.starts_with("00:00"));
        return Ok(midnight.map_or(text, |(date, _)| date).to_owned());
    };
    let read = strtime::parse(format, text).and_then(|parts| parts.to_date());
    read.map(|date: Date| date.to_string()).map_err(|error| format!("`{text}` is not written as `{format}`: {error}"))
}

fn unknown(noun: Noun, name: &str) -> Fault {
    let guess = nearest(name, noun.fields().iter().map(|field| field.name)).map(|guess| format!("; did you mean `{guess}`?"));
    let advice = match noun {
        Noun::Event => "; give a mapping that says which member is which field",
        Noun::Contact => "; write it into `attributes`, or give a mapping that says which member is which field",
    };
    Fault::new(name, format!("is no field of {}{}", noun.a(), guess.as_deref().unwrap_or(advice)))
}

/// What becomes attributes: what is mapped so, and the columns named for it.
fn attributes(mapping: &Mapping, shown: Shown<'_>) -> anyhow::Result<Vec<Bound<String>>> {
    let mut bound = Vec::new();
    for (name, origin) in &mapping.attributes {
        bound.push(Bound { to: name.clone(), parts: parts(name, origin, shown)?, words: origin.words.clone() });
    }
    let is_used = |name: &str| {
        let origins = mapping.origins.values().chain(mapping.attributes.values());
        origins.into_iter().any(|origin| origin.template.names().any(|used| used.trim_end_matches('?') == name))
    };
    let is_other = |name: &str| {
        !name.is_empty() && mapping.noun.field(name).is_none() && !is_used(name) && !rejects::COLUMNS.contains(&name)
    };
    for column in &mapping.attribute_columns {
        if column == ALL_COLUMNS {
            let others = shown.columns.iter().filter(|name| is_other(name));
            let part = |name: &String| Ok((name.clone(), find(name, name, shown)?));
            let others: Vec<_> = others.map(part).collect::<anyhow::Result<_>>()?;
            bound.extend(others.into_iter().map(|(name, part)| Bound { to: name, parts: vec![part], words: None }));
        } else {
            bound.push(Bound { to: column.clone(), parts: vec![find("--attribute", column, shown)?], words: None });
        }
    }
    Ok(bound)
}

/// The template filled in. A template with an empty column gives nothing: half an id would be wrong.
fn fill(parts: &[Part], number: u64, cells: Cells<'_>) -> Option<String> {
    let get = |part: &Part| match (part, cells) {
        (Part::Text(text), _) => Some(text.clone()),
        (Part::RowNumber, _) => Some(number.to_string()),
        (Part::At(Some(at)), Cells::Row(row)) => row.get(*at)?.clone().filter(|text| !text.trim().is_empty()),
        (Part::Member(name), Cells::Object(members)) => members.get(name).cloned(),
        _ => None,
    };
    if let [part] = parts { get(part) } else { parts.iter().map(get).collect() }
}

fn parts(name: &str, origin: &Origin, shown: Shown<'_>) -> anyhow::Result<Vec<Part>> {
    let pieces = origin.template.pieces().filter(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
    let part = |piece: &Piece| match piece {
        Piece::Text(text) => Ok(Part::Text(text.clone())),
        Piece::Column(column) if column == "row" => Ok(Part::RowNumber),
        Piece::Column(column) => find(name, column, shown),
    };
    pieces.map(part).collect()
}

fn find(name: &str, column: &str, shown: Shown<'_>) -> anyhow::Result<Part> {
    let position = |name: &str| shown.columns.iter().position(|column| column == name);
    let (at, column) = match (position(column), column.strip_suffix('?')) {
        // A question mark at the end says that the column may be missing, unless the column is called so.
        (None, Some(rest)) => (Some(position(rest)), rest),
        (at, _) => (at.map(Some), column),
    };
    match at {
        Some(_) if shown.lines => Ok(Part::Member(column.to_owned())),
        Some(at) => Ok(Part::At(at)),
        None => bail!(missing(name, column, shown)),
    }
}

/// Says that a column is missing, and which may be meant.
fn missing(name: &str, column: &str, shown: Shown<'_>) -> String {
    let guess = like(column, shown.columns).map(|guess| format!("; did you mean `{guess}`?")).unwrap_or_default();
    if shown.lines {
        return format!(
            "no line among the first has a member `{column}` (for {name}){guess}; write `{{{column}?}}` if lines may lack it"
        );
    }
    if let [only] = shown.columns
        && let Some(separator) = [';', '\t', '|', ','].into_iter().find(|separator| only.contains(*separator))
    {
        let separator = if separator == '\t' { "tab".to_owned() } else { separator.to_string() };
        return format!("the file has one column only, `{only}`; is it separated otherwise? Then give --delimiter '{separator}'");
    }
    let list = shown.columns.join(", ");
    format!(
        "the file has no column `{column}` (for {name}){guess}; it has {list}. Write `{{{column}?}}` if the column may be missing"
    )
}

/// The column whose name is most like `name`.
fn like<'a>(name: &str, columns: &'a [String]) -> Option<&'a str> {
    let names = || columns.iter().map(String::as_str).filter(|column| !column.is_empty());
    names().find(|column| column.eq_ignore_ascii_case(name)).or_else(|| nearest(name, names()))
}

/// The columns that are called like fields; there may be no others.
fn by_names(mapping: &Mapping, kind: Option<EventKind>, columns: &[String]) -> anyhow::Result<Vec<Bound<&'static Field>>> {
    let (mut bound, mut strangers) = (Vec::new(), Vec::new());
    let is_used = |name: &str| mapping.origins.values().any(|origin| origin.template.names().any(|used| used == name));
    let noun = mapping.noun;
    for (at, name) in columns.iter().enumerate() {
        match noun.field(name).filter(|field| kind.is_none_or(|kind| field.belongs_to(kind))) {
            Some(field) if field.name == OF_THE_MOMENT || mapping.origins.contains_key(field.name) => {}
            Some(field) => bound.push(Bound { to: field, parts: vec![Part::At(Some(at))], words: None }),
            // A file of rejected rows can be mended and imported again.
            None if name.is_empty() || is_used(name) || rejects::COLUMNS.contains(&name.as_str()) => {}
            None => strangers.push(format!("`{name}`")),
        }
    }
    if noun == Noun::Contact {
        // Who names the attributes has chosen among the columns.
        if !strangers.is_empty() && mapping.attribute_columns.is_empty() {
            bail!(
                "{}: no field of a contact is called so. Say which of them become attributes with --attribute {}, or '*' for all, \
                 or map them, such as --map email='{{{}}}'; what is not named is left out",
                strangers.join(", "),
                strangers.iter().map(|name| name.trim_matches('`')).collect::<Vec<_>>().join(","),
                strangers[0].trim_matches('`')
            );
        }
        return Ok(bound);
    }
    if let Some(stranger) = strangers.first() {
        let names = FIELDS.iter().map(|field| field.name);
        let guess = nearest(stranger.trim_matches('`'), names).map(|guess| format!(" (`{guess}`?)")).unwrap_or_default();
        let events = kind.map_or_else(|| "an event".to_owned(), |kind| format!("`{kind}` events"));
        bail!(
            "{}{guess}: no field of {events} is called so. Say which column is which field with --map or --mapping, such as \
             --map contact='{{customer_id}}'; then only what is mapped is imported",
            strangers.join(", ")
        );
    }
    Ok(bound)
}

/// Checks what would otherwise be refused in every row.
fn check_whole(bound: &[Bound<&Field>], noun: Noun, kind: Option<EventKind>, columns: &[String]) -> anyhow::Result<()> {
    let has = |name: &str| bound.iter().any(|bound| bound.to.name == name);
    let advice = |name: &str| {
        let guess = like(name, columns).map_or_else(|| "COLUMN".to_owned(), str::to_owned);
        format!("map it, such as --map {name}='{{{guess}}}'; the file has {}", columns.join(", "))
    };
    let who = noun.who();
    if noun == Noun::Contact {
        let advice = advice(who);
        return if has(who) {
            Ok(())
        } else {
            bail!("nothing says who the contacts are: the field `{who}` is missing; {advice}")
        };
    }
    if let Some(kind) = kind {
        if let Some(stranger) = bound.iter().find(|bound| !bound.to.belongs_to(kind)) {
            let owners: Vec<&str> = stranger.to.kinds.iter().map(|kind| kind.as_str()).collect();
            bail!("`{}` is no field of `{kind}` events, but of `{}` events", stranger.to.name, owners.join("` and `"));
        }
    } else if !has("kind") {
        let kinds = EventKind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
        bail!("say what the rows are with --kind KIND, or map `kind` to a column; the kinds are {kinds}");
    }
    let is_needed = |field: &&Field| {
        let everywhere = field.kinds.is_empty() || kind.is_some_and(|kind| field.belongs_to(kind));
        field.required && everywhere && field.name != "event_id" && field.name != "kind"
    };
    let needed = FIELDS.iter().filter(is_needed).map(|field| field.name);
    if let Some(name) = needed.into_iter().find(|name| !has(name)) {
        let events = kind.map_or_else(String::new, |kind| format!(" of a `{kind}` event"));
        bail!("the field `{name}`{events} is missing; {}", advice(name));
    }
    if !has("contact") && !has("contact_key") {
        bail!("nothing says whom the events happened to: the field `contact` is missing; {}", advice("contact"));
    }
    for amount in ["amount", "cost"] {
        if has(amount) && !has("currency") {
            bail!("`{amount}` needs its currency: --map currency=EUR where it is always the same, or a column");
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
