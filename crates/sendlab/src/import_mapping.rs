//! Which column of a file means what, from options or a YAML file.

use std::path::Path;

use anyhow::{Context as _, bail};
use jiff::{Timestamp, ToSpan};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::ImportExperimentArgs;
use crate::import::{Row, check_template, column};

/// Outcomes carry no time in flat files: they are put so long after the assignment, inside any window.
const OUTCOME_AFTER_MINUTES: i64 = 30;

/// An experiment whose time is not given is taken to have begun so long ago, with its window over by now.
const AGE_DEFAULT_HOURS: i64 = 30 * 24;

/// The window where none is given.
const WINDOW_DEFAULT_HOURS: u32 = 14 * 24;

/// A mapping that was checked as far as it can be without the file.
#[derive(Debug, Clone)]
pub(crate) struct Mapping {
    pub(crate) experiment: String,
    question: String,
    pub(crate) variant: String,
    control: Option<String>,
    pub(crate) contact: Template,
    pub(crate) email: Option<Template>,
    pub(crate) country: Option<Template>,
    pub(crate) attributes: Vec<String>,
    assigned_at: Template,
    window_hours: u32,
    pub(crate) open: Option<String>,
    pub(crate) click: Option<String>,
    /// The column that says who ordered, and the one with the amount.
    pub(crate) order: Option<(String, Option<String>)>,
    pub(crate) unsubscribe: Option<String>,
    pub(crate) currency: String,
    primary: Option<String>,
}

/// The mapping file: the same keys as the options.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    experiment: Option<String>,
    question: Option<String>,
    variant: Option<String>,
    control: Option<String>,
    contact: Option<String>,
    email: Option<String>,
    country: Option<String>,
    attribute: Vec<String>,
    assigned_at: Option<String>,
    window_hours: Option<u32>,
    open: Option<String>,
    click: Option<String>,
    order: Option<String>,
    unsubscribe: Option<String>,
    currency: Option<String>,
    primary: Option<String>,
}

impl Mapping {
    /// More variants than this are taken for a mistake in the mapping.
    pub(crate) const VARIANTS_MAX: usize = 50;

    /// Joins options and mapping file; options win.
    pub(crate) fn from_args(args: &ImportExperimentArgs, base_currency: &str) -> anyhow::Result<Self> {
        let file = args.mapping.as_deref().map(read).transpose()?.unwrap_or_default();
        let pick = |option: &Option<String>, file: Option<String>| option.clone().or(file);
        let file_name = args.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stem = || file_name.split('.').next().filter(|stem| !stem.is_empty()).map(str::to_owned);
        let experiment =
            pick(&args.experiment, file.experiment).or_else(stem).context("give the experiment a name with --experiment")?;
        let variant = pick(&args.variant, file.variant).context("say which column holds the variant: --variant COLUMN")?;
        let order = pick(&args.order, file.order).map(|order| match order.split_once('=') {
            Some((ordered, amount)) => (ordered.to_owned(), Some(amount.to_owned())),
            None => (order, None),
        });
        let mapping = Self {
            question: file.question.unwrap_or_else(|| format!("Imported from {file_name}")),
            control: pick(&args.control, file.control),
            contact: Template::new(&pick(&args.contact, file.contact).unwrap_or_else(|| format!("{experiment}-{{row}}")))?,
            email: pick(&args.email, file.email).as_deref().map(Template::new).transpose()?,
            country: pick(&args.country, file.country).as_deref().map(Template::new).transpose()?,
            attributes: if args.attribute.is_empty() { file.attribute } else { args.attribute.clone() },
            assigned_at: Template::new(&pick(&args.assigned_at, file.assigned_at).map_or_else(long_ago, Ok)?)?,
            window_hours: args.window_hours.or(file.window_hours).unwrap_or(WINDOW_DEFAULT_HOURS),
            open: pick(&args.open, file.open),
            click: pick(&args.click, file.click),
            order,
            unsubscribe: pick(&args.unsubscribe, file.unsubscribe),
            currency: pick(&args.currency, file.currency).unwrap_or_else(|| base_currency.to_owned()),
            primary: pick(&args.primary, file.primary),
            experiment,
            variant,
        };
        if mapping.open.is_none() && mapping.click.is_none() && mapping.order.is_none() && mapping.unsubscribe.is_none() {
            bail!("name at least one outcome: --open, --click, --order or --unsubscribe, each with its column");
        }
        Ok(mapping)
    }

    /// Checks that every column that is named exists.
    pub(crate) fn check(&self, columns: &[String]) -> anyhow::Result<()> {
        column(columns, &self.variant, "--variant")?;
        for name in &self.attributes {
            column(columns, name, "--attribute")?;
        }
        let order = self.order.as_ref();
        let named = [
            (self.open.as_ref(), "--open"),
            (self.click.as_ref(), "--click"),
            (self.unsubscribe.as_ref(), "--unsubscribe"),
            (order.map(|(ordered, _)| ordered), "--order"),
            (order.and_then(|(_, amount)| amount.as_ref()), "--order"),
        ];
        for (name, option) in named {
            if let Some(name) = name {
                column(columns, name, option)?;
            }
        }
        check_template(&self.contact, columns, "--contact")?;
        check_template(&self.assigned_at, columns, "--assigned-at")?;
        self.email.as_ref().map_or(Ok(()), |email| check_template(email, columns, "--email"))?;
        self.country.as_ref().map_or(Ok(()), |country| check_template(country, columns, "--country"))
    }

    /// The experiment as it would have been written.
    pub(crate) fn spec(&self, variants: &[(String, u64)]) -> anyhow::Result<Value> {
        let mut metrics = Vec::new();
        let mut add = |name: &str, outcome: &str, measure: &str, lower: bool| {
            metrics.push(json!({ "name": name, "outcome": outcome, "measure": measure, "lower_is_better": lower }));
        };
        if let Some(name) = &self.open {
            add(name, "open", "occurred", false);
        }
        if let Some(name) = &self.click {
            add(name, "click", "occurred", false);
        }
        if let Some((name, amount)) = &self.order {
            add(name, "order", "occurred", false);
            if let Some(amount) = amount {
                add(amount, "order", "amount", false);
            }
        }
        let best = metrics.last().map(|metric| metric["name"].clone());
        if let Some(name) = &self.unsubscribe {
            metrics.push(json!({ "name": name, "outcome": "unsubscribe", "measure": "occurred", "lower_is_better": true }));
        }
        let primary = self.primary.clone().map(Value::from).or(best).or_else(|| self.unsubscribe.clone().map(Value::from));
        let control = self.control.clone().unwrap_or_else(|| variants[0].0.clone());
        if !variants.iter().any(|(name, _)| *name == control) {
            let names: Vec<&str> = variants.iter().map(|(name, _)| name.as_str()).collect();
            bail!("no row has the control variant `{control}`; the file has {}", names.join(", "));
        }
        let variants: Vec<Value> = variants.iter().map(|(name, _)| json!({ "name": name })).collect();
        Ok(json!({
            "experiment": self.experiment,
            "question": self.question,
            "factors": ["copy"],
            "variants": variants,
            "control": control,
            "primary": primary,
            "metrics": metrics,
            "window_hours": self.window_hours,
        }))
    }

    /// When this row's variant was given.
    pub(crate) fn assigned_at(&self, row: &Row<'_>) -> anyhow::Result<Timestamp> {
        let text = self.assigned_at.fill(row);
        text.parse().with_context(|| format!("assigned_at `{text}` must be a time such as 2026-03-20T09:00:00Z"))
    }

    /// When this row's outcomes are taken to have happened.
    pub(crate) fn outcome_at(&self, assigned_at: Timestamp) -> anyhow::Result<Timestamp> {
        Ok(assigned_at.checked_add(OUTCOME_AFTER_MINUTES.minutes())?)
    }
}

fn read(path: &Path) -> anyhow::Result<File> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_saphyr::from_str(&text).with_context(|| format!("{} is no valid mapping", path.display()))
}

fn long_ago() -> anyhow::Result<String> {
    let now = vocabulary::Clock::now(&crate::SystemClock);
    Ok(now.checked_sub(AGE_DEFAULT_HOURS.hours())?.to_string())
}

/// 1, true, yes, y and t mean yes; numbers other than 0 too.
pub(crate) fn is_yes(text: &str) -> bool {
    let text = text.trim();
    ["true", "yes", "y", "t"].iter().any(|word| text.eq_ignore_ascii_case(word))
        || text.parse::<f64>().is_ok_and(|number| number != 0.0)
}

/// Text with `{row}` and `{COLUMN}` to be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    Column(String),
}

impl Template {
    pub(crate) fn new(text: &str) -> anyhow::Result<Self> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, next) = after.split_once('}').with_context(|| format!("template `{text}` has a `{{` without `}}`"))?;
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Column(name.to_owned()));
            rest = next;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self(pieces))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Column(name) => Some(name.as_str()),
        })
    }

    /// Texts and columns in their order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.0.iter()
    }

    /// The text, where there is no column in it.
    pub(crate) fn constant(&self) -> Option<&str> {
        match &self.0[..] {
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    pub(crate) fn fill(&self, row: &Row<'_>) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Column(name) if name == "row" => row.number.to_string(),
            Piece::Column(name) => row.get(name).to_owned(),
        };
        self.0.iter().map(piece).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_fill_in_row_and_columns() {
        let columns = ["id".to_owned()];
        let values = [Some("x7".to_owned())];
        let row = Row { number: 3, columns: &columns, values: &values };
        assert_eq!(Template::new("c{row}@example.test").unwrap().fill(&row), "c3@example.test");
        assert_eq!(Template::new("{id}-{row}").unwrap().fill(&row), "x7-3");
        assert!(Template::new("{id").is_err());
    }

    #[test]
    fn yes_has_many_spellings() {
        for (text, expect) in
            [("1", true), ("0", false), ("TRUE", true), ("", false), ("no", false), ("1.0", true), ("0.0", false), ("y", true)]
        {
            assert_eq!(is_yes(text), expect, "{text}");
        }
    }
}
