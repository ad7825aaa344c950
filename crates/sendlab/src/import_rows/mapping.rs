//! What a person says about a file: options and a YAML file, checked as far as it can be without the file.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use api::fields::nearest;
use lake::ReadOptions;
use serde_json::Value;

use super::noun::Noun;
use super::time::Times;
use crate::cli_import::{FileArgs, ImportContactsArgs, ImportEventsArgs, delimiter};
use crate::import_mapping::Template;

/// Where a field's value comes from.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// Text with `{COLUMN}` to be filled in.
    pub(super) template: Template,
    /// The words of the file and what they are called here, where that was said.
    pub(super) words: Option<BTreeMap<String, String>>,
}

/// A mapping that does not know its file yet.
#[derive(Debug, Clone)]
pub(crate) struct Mapping {
    /// What the rows are.
    pub(super) noun: Noun,
    /// By field, in the order of their names.
    pub(super) origins: BTreeMap<&'static str, Origin>,
    /// By attribute.
    pub(super) attributes: BTreeMap<String, Origin>,
    /// Columns that become attributes under their own names.
    pub(super) attribute_columns: Vec<String>,
    pub(super) times: Times,
    /// How dates of birth are written.
    pub(super) date_format: Option<String>,
    pub(super) decimal_comma: bool,
    /// How the file is to be read.
    pub(crate) options: ReadOptions,
    /// Two mappings with the same fingerprint make the same events of a file.
    pub(crate) fingerprint: String,
}

/// The keys of a mapping file that are no fields: each is an option too, which wins.
fn settings(noun: Noun) -> &'static [&'static str] {
    match noun {
        Noun::Event => &["time_format", "time_zone", "decimal_comma", "sheet", "delimiter"],
        Noun::Contact => &["attribute", "date_format", "sheet", "delimiter"],
    }
}

/// What a mapping file and options say, by field or setting.
type Said = BTreeMap<String, Value>;

impl Mapping {
    /// Joins options and mapping file; options win.
    pub(crate) fn of_events(args: &ImportEventsArgs) -> anyhow::Result<Self> {
        let mut said = said(&args.file)?;
        let given = [
            ("kind", args.kind.clone().map(Value::from)),
            ("time_format", args.time_format.clone().map(Value::from)),
            ("time_zone", args.time_zone.clone().map(Value::from)),
            ("decimal_comma", args.decimal_comma.then_some(Value::from(true))),
        ];
        said.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        Self::new(Noun::Event, said)
    }

    /// The same for contacts.
    pub(crate) fn of_contacts(args: &ImportContactsArgs) -> anyhow::Result<Self> {
        let mut said = said(&args.file)?;
        if !args.attribute.is_empty() {
            said.insert("attribute".to_owned(), args.attribute.clone().into());
        }
        if let Some(format) = &args.date_format {
            said.insert("date_format".to_owned(), format.clone().into());
        }
        Self::new(Noun::Contact, said)
    }

    fn new(noun: Noun, mut said: Said) -> anyhow::Result<Self> {
        let fingerprint = serde_json::to_string(&said)?;
        let setting = |said: &mut Said, name: &str| settings(noun).contains(&name).then(|| said.remove(name)).flatten();
        let mut text = |name: &str| match setting(&mut said, name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => bail!("{name} is {other}; it must be text"),
        };
        let times = Times::new(text("time_format")?.as_deref(), text("time_zone")?.as_deref())?;
        let date_format = text("date_format")?;
        let sheet = text("sheet")?;
        let delimiter = text("delimiter")?.map_or(Ok(b','), |text| delimiter(&text).map_err(anyhow::Error::msg))?;
        let decimal_comma = match setting(&mut said, "decimal_comma") {
            None => false,
            Some(Value::Bool(value)) => value,
            Some(other) => bail!("decimal_comma is {other}; it must be true or false"),
        };
        let attribute_columns = match setting(&mut said, "attribute") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(one)) => vec![one],
            Some(list) => serde_json::from_value(list).context("`attribute` must be a list of columns")?,
        };
        let (mut origins, mut attributes) = (BTreeMap::new(), BTreeMap::new());
        for (name, value) in &said {
            match name.strip_prefix(ATTRIBUTE_PREFIX).filter(|_| noun == Noun::Contact) {
                Some(attribute) => drop(attributes.insert(attribute.to_owned(), origin(name, value)?)),
                None => drop(origins.insert(known(noun, name)?, origin(name, value)?)),
            }
        }
        let options = ReadOptions { delimiter, sheet };
        Ok(Self { noun, origins, attributes, attribute_columns, times, date_format, decimal_comma, options, fingerprint })
    }

    /// Whether columns are taken for fields by their names: so long as nothing was said but what every file must say.
    pub(super) fn is_by_name(&self) -> bool {
        let said = match self.noun {
            Noun::Event => "kind",
            Noun::Contact => "key",
        };
        self.attributes.is_empty() && self.origins.keys().all(|name| *name == said)
    }

    /// The kind of all rows, where it does not depend on the row.
    pub(super) fn kind(&self) -> Option<&str> {
        let origin = self.origins.get("kind")?;
        let text = origin.template.constant()?;
        origin.words.as_ref().map_or(Some(text), |words| words.get(text).map(String::as_str))
    }
}

/// What stands before the name of an attribute.
const ATTRIBUTE_PREFIX: &str = "attributes.";

/// The mapping file with the options that every import has.
fn said(args: &FileArgs) -> anyhow::Result<Said> {
    let mut said = args.mapping.as_deref().map(read).transpose()?.unwrap_or_default();
    for pair in &args.map {
        let (name, template) = pair
            .split_once('=')
            .with_context(|| format!("--map `{pair}` must be FIELD=TEMPLATE, such as --map order_id='{{shop}}-{{order_no}}'"))?;
        said.insert(name.trim().to_owned(), template.into());
    }
    let given = [("sheet", &args.sheet), ("delimiter", &args.delimiter)];
    said.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?.into()))));
    Ok(said)
}

fn read(path: &Path) -> anyhow::Result<Said> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_saphyr::from_str(&text).with_context(|| {
        format!("{} is no valid mapping; write lines such as `order_id: \"{{shop}}-{{order_no}}\"`, in quotes", path.display())
    })
}

fn known(noun: Noun, name: &str) -> anyhow::Result<&'static str> {
    let field = noun.field(name).with_context(|| {
        let names = noun.fields().iter().map(|field| field.name);
        let guess = nearest(name, names.clone().chain(settings(noun).iter().copied()));
        let guess = guess.map(|guess| format!("; did you mean `{guess}`?"));
        let list = || format!("; the fields are {}{}", names.collect::<Vec<_>>().join(", "), noun.open_fields());
        format!("`{name}` is no field of {}{}", noun.a(), guess.unwrap_or_else(list))
    })?;
    Ok(field.name)
}

fn origin(name: &str, value: &Value) -> anyhow::Result<Origin> {
    let template = |text: &str| Template::new(text).with_context(|| format!("in the mapping of `{name}`"));
    match value {
        Value::String(text) => Ok(Origin { template: template(text)?, words: None }),
        Value::Number(_) | Value::Bool(_) => Ok(Origin { template: template(&value.to_string())?, words: None }),
        Value::Object(map) if map.contains_key("values") => {
            let from = map.get("from").and_then(Value::as_str);
            let from =
                from.with_context(|| format!("`{name}` has `values` but no `from`, the template they are looked up for"))?;
            let words = map["values"].as_object().filter(|_| map.len() == 2);
            let words = words.with_context(|| {
                format!("`{name}` must hold `from` and `values`, pairs of a word of the file and what it is called here")
            })?;
            let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let words = words.iter().map(|(word, value)| (word.clone(), plain(value))).collect();
            Ok(Origin { template: template(from)?, words: Some(words) })
        }
        // YAML reads `{created_at}` without quotes as a map of one key to nothing.
        Value::Object(map) if map.len() == 1 && map.values().all(Value::is_null) => {
            let column = map.keys().next().map_or("", String::as_str);
            Ok(Origin { template: template(&format!("{{{column}}}"))?, words: None })
        }
        other => bail!("`{name}` is {other}; write a template in quotes, such as \"{{created_at}}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(yaml: &str) -> anyhow::Result<Mapping> {
        Mapping::new(Noun::Event, serde_saphyr::from_str(yaml).unwrap())
    }

    #[test]
    fn a_mapping_is_read_with_and_without_quotes() {
        let quoted = mapping(
            "{kind: order, order_id: '{shop}-{no}', event_time: '{paid}', time_zone: Europe/Berlin, decimal_comma: true, delimiter: ;}",
        );
        let quoted = quoted.unwrap();
        assert_eq!(quoted.kind(), Some("order"));
        assert_eq!((quoted.options.delimiter, quoted.decimal_comma, quoted.is_by_name()), (b';', true, false));
        let bare = mapping("event_time: {paid}\nkind: order").unwrap();
        assert_eq!(bare.origins["event_time"].template, quoted.origins["event_time"].template);
        assert!(mapping("kind: open").unwrap().is_by_name());
        let words = mapping("status: {from: '{state}', values: {Hard: hard_bounce, 1: delivered}}").unwrap();
        let words = words.origins["status"].words.as_ref().unwrap();
        assert_eq!((words["Hard"].as_str(), words["1"].as_str()), ("hard_bounce", "delivered"));
    }

    #[test]
    fn mistakes_are_named() {
        let check = |yaml: &str, expect: &str| {
            let error = format!("{:#}", mapping(yaml).unwrap_err());
            assert!(error.contains(expect), "{yaml}: {error}");
        };
        check("evnt_time: x", "did you mean `event_time`?");
        check("timezone: UTC", "did you mean `time_zone`?");
        check("colour: x", "the fields are event_id, kind");
        check("order_id: '{no'", "without `}`");
        check("order_id: [a]", "write a template");
        check("status: {values: {a: b}}", "no `from`");
        check("decimal_comma: 'no'", "must be true or false");
        check("delimiter: ab", "one character");
        check("time_zone: 3", "must be text");
    }

    #[test]
    fn contacts_have_attributes_of_their_own_names() {
        let mapping = |yaml: &str| Mapping::new(Noun::Contact, serde_saphyr::from_str(yaml).unwrap());
        let mapped = mapping("key: '{id}'\nattribute: [tier]\ndate_format: '%d.%m.%Y'").unwrap();
        assert!(mapped.is_by_name() && mapped.attribute_columns == ["tier"] && mapped.date_format.is_some());
        let mapped = mapping("key: '{id}'\nattributes.size: '{Size}'\ntime_zone: '{zone}'").unwrap();
        assert!(!mapped.is_by_name() && mapped.attributes.contains_key("size") && mapped.origins.contains_key("time_zone"));
        let check = |yaml: &str, expect: &str| {
            let error = format!("{:#}", mapping(yaml).unwrap_err());
            assert!(error.contains(expect), "{yaml}: {error}");
        };
        check("e_mail: x", "did you mean `email`?");
        check("kind: x", "`kind` is no field of a contact; the fields are key, email");
        check("attribute: {a: b}", "must be a list of columns");
    }
}
