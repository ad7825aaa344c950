//! What is asked of a file of results.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything a person says about a file before it is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spec {
    /// The column that names the experiment, where a file holds many.
    pub experiment: Option<String>,
    /// The column that names the variant.
    pub variant: String,
    /// The variant the others are compared with.
    pub control: Option<String>,
    /// What is measured; the first without a margin decides, or where all have one the first.
    pub metrics: Vec<MetricSpec>,
    /// Columns known before the experiment, for adjustment.
    pub covariates: Vec<String>,
    /// Columns to break results down by.
    pub segments: Vec<String>,
    /// A column to post-stratify by.
    pub stratum: Option<String>,
    /// A column that names the unit of randomisation where a row is less than that, such as an order.
    pub cluster: Option<String>,
    /// The column with the day a unit entered.
    pub date: Option<String>,
    /// Planned shares by variant; empty where they were not told.
    pub plan: Vec<(String, f64)>,
    /// The total two-sided error.
    pub alpha: f64,
    /// How many comparisons are held to `alpha` together.
    pub correction: Correction,
}

/// One metric as asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricSpec {
    /// The column of values, or of numerators.
    pub name: String,
    /// How the values are summed up.
    pub kind: Kind,
    /// Whether less is better.
    pub lower_is_better: bool,
    /// As a guardrail: how much worse, relative to control, is tolerated.
    pub margin: Option<f64>,
    /// Values above this quantile of all units are set to it, such as 0.999.
    pub cap: Option<f64>,
}

/// How the values of a metric are summed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Binary where all values are 0 or 1, else a mean.
    Auto,
    /// The share of units with 1; other values than 0 and 1 are refused.
    Binary,
    /// The mean per unit.
    Mean,
    /// The sum of the values over the sum of another column.
    Ratio {
        /// The column of denominators.
        denominator: String,
    },
}

/// How the p-values of one experiment are corrected for their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    /// Holm 1979: any false alarm, under any dependence.
    #[default]
    Holm,
    /// Hochberg 1988.
    Hochberg,
    /// Hommel 1988.
    Hommel,
    /// Bonferroni.
    Bonferroni,
    /// Šidák 1967.
    Sidak,
    /// Benjamini & Hochberg 1995: the share of false alarms.
    Bh,
    /// Benjamini & Yekutieli 2001: the same under any dependence.
    By,
    /// None: each comparison is held to `alpha` alone.
    None,
}

/// The total error where none is given.
pub const ALPHA_DEFAULT: f64 = 0.05;

impl Spec {
    /// A question about one metric with every default.
    #[must_use]
    pub fn new(variant: &str, control: &str, metrics: Vec<MetricSpec>) -> Self {
        Self {
            experiment: None,
            variant: variant.to_owned(),
            control: Some(control.to_owned()),
            metrics,
            covariates: Vec::new(),
            segments: Vec::new(),
            stratum: None,
            cluster: None,
            date: None,
            plan: Vec::new(),
            alpha: ALPHA_DEFAULT,
            correction: Correction::Holm,
        }
    }

    /// Which of an experiment's variants is control: the one that was named, else the only one called "control" in
    /// whichever case. `None` where there is none.
    pub fn control_among<'a>(&self, variants: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
        let Some(control) = &self.control else {
            let mut named = variants.filter(|variant| variant.eq_ignore_ascii_case("control"));
            return named.next().filter(|_| named.next().is_none());
        };
        variants.clone().find(|variant| variant == control)
    }
}

impl MetricSpec {
    /// A metric with every default.
    #[must_use]
    pub fn new(name: &str, kind: Kind) -> Self {
        Self { name: name.to_owned(), kind, lower_is_better: false, margin: None, cap: None }
    }
}
