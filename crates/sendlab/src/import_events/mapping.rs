//! What a person says about a file of events: options and a YAML file, checked as far as it can be without the file.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use api::fields::{FIELDS, Field, field, nearest};
use lake::ReadOptions;
use serde_json::Value;

use super::time::Times;
use crate::cli_import::{ImportEventsArgs, delimiter};
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
    /// By field, in the order of their names.
    pub(super) origins: BTreeMap<&'static str, Origin>,
    pub(super) times: Times,
    pub(super) decimal_comma: bool,
    /// How the file is to be read.
    pub(crate) options: ReadOptions,
    /// Two mappings with the same fingerprint make the same events of a file.
    pub(crate) fingerprint: String,
}

/// The keys of a mapping file that are no fields: each is an option too, which wins.
const SETTINGS: [&str; 5] = ["time_format", "time_zone", "decimal_comma", "sheet", "delimiter"];

impl Mapping {
    /// Joins options and mapping file; options win.
    pub(crate) fn from_args(args: &ImportEventsArgs) -> anyhow::Result<Self> {
        let mut asked = args.mapping.as_deref().map(read).transpose()?.unwrap_or_default();
        for pair in &args.map {
            let (name, template) = pair.split_once('=').with_context(|| {
                format!("--map `{pair}` must be FIELD=TEMPLATE, such as --map order_id='{{shop}}-{{order_no}}'")
            })?;
            asked.insert(name.trim().to_owned(), template.into());
        }
        let given = [
            ("kind", args.kind.clone().map(Value::from)),
            ("time_format", args.time_format.clone().map(Value::from)),
            ("time_zone", args.time_zone.clone().map(Value::from)),
            ("decimal_comma", args.decimal_comma.then_some(Value::from(true))),
            ("sheet", args.sheet.clone().map(Value::from)),
            ("delimiter", args.delimiter.clone().map(Value::from)),
        ];
        asked.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        Self::new(asked)
    }

    fn new(mut asked: BTreeMap<String, Value>) -> anyhow::Result<Self> {
        let fingerprint = serde_json::to_string(&asked)?;
        let mut text = |name: &str| match asked.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => bail!("{name} is {other}; it must be text"),
        };
        let times = Times::new(text("time_format")?.as_deref(), text("time_zone")?.as_deref())?;
        let sheet = text("sheet")?;
        let delimiter = text("delimiter")?.map_or(Ok(b','), |text| delimiter(&text).map_err(anyhow::Error::msg))?;
        let decimal_comma = match asked.remove("decimal_comma") {
            None => false,
            Some(Value::Bool(value)) => value,
            Some(other) => bail!("decimal_comma is {other}; it must be true or false"),
        };
        let origins = asked.iter().map(|(name, value)| Ok((known(name)?.name, origin(name, value)?)));
        let origins = origins.collect::<anyhow::Result<_>>()?;
        Ok(Self { origins, times, decimal_comma, options: ReadOptions { delimiter, sheet }, fingerprint })
    }

    /// Whether columns are taken for fields by their names: so long as nothing but the kind was said.
    pub(super) fn is_by_name(&self) -> bool {
        self.origins.keys().all(|name| *name == "kind")
    }

    /// The kind of all rows, where it does not depend on the row.
    pub(super) fn kind(&self) -> Option<&str> {
        let origin = self.origins.get("kind")?;
        let text = origin.template.constant()?;
        origin.words.as_ref().map_or(Some(text), |words| words.get(text).map(String::as_str))
    }
}

fn read(path: &Path) -> anyhow::Result<BTreeMap<String, Value>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_saphyr::from_str(&text).with_context(|| {
        format!("{} is no valid mapping; write lines such as `order_id: \"{{shop}}-{{order_no}}\"`, in quotes", path.display())
    })
}

fn known(name: &str) -> anyhow::Result<&'static Field> {
    field(name).with_context(|| {
        let names = FIELDS.iter().map(|field| field.name);
        let guess = nearest(name, names.clone().chain(SETTINGS)).map(|guess| format!("; did you mean `{guess}`?"));
        let list = || format!("; the fields are {}", names.collect::<Vec<_>>().join(", "));
        format!("`{name}` is no field of an event{}", guess.unwrap_or_else(list))
    })
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
        Mapping::new(serde_saphyr::from_str(yaml).unwrap())
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
}
