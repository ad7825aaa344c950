//! An experiment by what is known of its recipients: by device, language, channel, the hour at which their message was planned, or any
//! attribute of theirs. Effects of small groups are shrunk towards those of all, and it is tested whether groups differ at all.
//!
//! *Caution:* groups that are looked at afterwards always differ in something. Whether they do beyond chance is asked first.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use stats::hierarchy::random_effects::heterogeneity;
use stats::{Moments, holm, welch};
use vocabulary::{Experiment, Metric, VariantName};

use crate::decision::{Forecast, Numbers, OUTCOMES_MIN, best, forecasts, outcomes};
use crate::observe::{ByMarket, Observations};
use crate::table::table;
use crate::words::{count, percent, rounded, signed_percent, thousands};

/// More groups than anyone reads, and than a test can tell apart.
pub const PARTS_MAX: usize = 200;

/// What stands for recipients of whom it is not known.
pub const UNKNOWN: &str = "(unknown)";

/// What recipients are grouped by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dimension {
    /// The market they were assigned in.
    Market,
    /// Their country.
    Country,
    /// The part of their country.
    Region,
    /// Their language.
    Language,
    /// The device they use most.
    Device,
    /// Where they came from.
    Source,
    /// The channel their message was planned for.
    Channel,
    /// The hour of the day, by their own clock, at which their message was planned.
    Hour,
    /// One of the customer's own attributes.
    Attribute(String),
}

/// What comes before the name of an attribute.
const ATTRIBUTE: &str = "attributes.";

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Market => f.write_str("market"),
            Self::Country => f.write_str("country"),
            Self::Region => f.write_str("region"),
            Self::Language => f.write_str("language"),
            Self::Device => f.write_str("device"),
            Self::Source => f.write_str("source"),
            Self::Channel => f.write_str("channel"),
            Self::Hour => f.write_str("hour"),
            Self::Attribute(name) => write!(f, "{ATTRIBUTE}{name}"),
        }
    }
}

impl FromStr for Dimension {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let own = text.strip_prefix(ATTRIBUTE).filter(|name| !name.is_empty());
        Ok(match (text, own) {
            (_, Some(name)) => Self::Attribute(name.to_owned()),
            ("market", _) => Self::Market,
            ("country", _) => Self::Country,
            ("region", _) => Self::Region,
            ("language", _) => Self::Language,
            ("device", _) => Self::Device,
            ("source", _) => Self::Source,
            ("channel", _) => Self::Channel,
            ("hour", _) => Self::Hour,
            _ => {
                return Err(format!(
                    "`{text}` is not one of market, country, region, language, device, source, channel, hour, nor an attribute such as \
                     `{ATTRIBUTE}tier`"
                ));
            }
        })
    }
}

/// An experiment by groups of its recipients. No number in it is NaN or infinite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Breakdown {
    /// What they are grouped by.
    pub by: String,
    /// The primary metric, which all of it is about.
    pub metric: String,
    /// The largest first.
    pub parts: Vec<Part>,
    /// Every variant but control, in the experiment's order; without those of whom too few did anything in two groups.
    pub differences: Vec<Difference>,
    /// What to make of it.
    pub sentence: String,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// What its recipients have in common; [`UNKNOWN`] where it is not known.
    pub part: String,
    /// Recipients whose window is over, of all variants.
    pub mature: u64,
    /// What is believed of each variant in it, control first: shrunk towards all recipients. Empty where there is nothing to forecast from.
    pub variants: Vec<Forecast>,
    /// The best bet in it.
    pub best: Option<VariantName>,
}

/// Whether a variant's effect differs between groups: Cochran's test, over the groups with outcomes enough.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The variant.
    pub variant: VariantName,
    /// Cochran's Q.
    pub statistic: f64,
    /// Groups less one.
    pub degrees_of_freedom: u64,
    /// The chance of as much where groups do not differ.
    pub p_value: f64,
    /// The same over all variants together (Holm).
    pub p_adjusted: f64,
    /// Whether they differ at the experiment's alpha.
    pub differs: bool,
}

/// Breaks an experiment down. `observed` has the groups in the place of markets. The experiment must have been checked.
#[must_use]
pub fn breakdown(experiment: &Experiment, by: &Dimension, observed: &ByMarket) -> Breakdown {
    let control = experiment.control();
    let others: Vec<&VariantName> = experiment.others().collect();
    let arms: Vec<&VariantName> = std::iter::once(control).chain(others.iter().copied()).collect();
    let primary = experiment.primary_metric();
    let mut breakdown = Breakdown {
        by: by.to_string(),
        metric: experiment.primary.clone(),
        parts: Vec::new(),
        differences: Vec::new(),
        sentence: String::new(),
    };
    let Some(primary) = primary else { return breakdown };
    let moments = |of: &Observations| arms.iter().map(|arm| of.deciding(arm, primary)).collect::<Vec<Moments>>();
    let markets = observed.markets.iter().map(|(part, of)| (part.clone(), moments(of))).collect();
    let numbers = Numbers { overall: moments(&observed.overall), markets };
    let mut believed = forecasts(experiment, &numbers, primary, &arms, &[]).ok();
    for (part, of) in &observed.markets {
        let variants = believed.as_mut().and_then(|believed| believed.markets.remove(part)).unwrap_or_default();
        let best = best(&variants).map(|best| best.variant.clone());
        let mature = of.arms.iter().map(|arm| arm.mature).sum();
        breakdown.parts.push(Part { part: part.clone(), mature, variants, best });
    }
    // The names are in order already, so that equals are too.
    breakdown.parts.sort_by_key(|part| std::cmp::Reverse(part.mature));
    let tested = others.iter().filter_map(|variant| difference(observed, primary, control, variant));
    breakdown.differences = tested.collect();
    let adjusted = holm(&breakdown.differences.iter().map(|of| of.p_value).collect::<Vec<_>>());
    for (difference, p_adjusted) in breakdown.differences.iter_mut().zip(adjusted) {
        difference.p_adjusted = p_adjusted;
        difference.differs = p_adjusted <= experiment.alpha;
    }
    breakdown.sentence = sentence(experiment, &breakdown);
    breakdown
}

fn difference(observed: &ByMarket, primary: &Metric, control: &VariantName, variant: &VariantName) -> Option<Difference> {
    let effects: Vec<(f64, f64)> = (observed.markets.values())
        .filter(|of| [control, variant].iter().all(|arm| outcomes(of, arm, primary) >= OUTCOMES_MIN))
        .filter_map(|of| {
            let effect = welch(&of.deciding(control, primary), &of.deciding(variant, primary), 0.5).ok()?;
            Some((effect.difference, effect.standard_error))
        })
        .collect();
    let found = heterogeneity(&effects).ok()?;
    Some(Difference {
        variant: variant.clone(),
        statistic: found.statistic,
        degrees_of_freedom: found.degrees_of_freedom,
        p_value: found.p_value,
        p_adjusted: found.p_value,
        differs: false,
    })
}

fn sentence(experiment: &Experiment, breakdown: &Breakdown) -> String {
    let Breakdown { by, metric, parts, differences, .. } = breakdown;
    let groups = count(parts.len() as u64, "group", "groups");
    if parts.iter().all(|part| part.mature == 0) {
        return format!("Nobody's window is over yet, so that nothing can be told by {by}.");
    }
    if differences.is_empty() {
        return format!("There are {groups} by {by}, in which too few did anything for a difference between them to be tested.");
    }
    let differing: Vec<String> = differences.iter().filter(|of| of.differs).map(|of| format!("`{}`", of.variant)).collect();
    if differing.is_empty() {
        return format!(
            "No difference by {by} is shown: what {groups} seem to differ in on {metric} may be luck, and each is best served by what is best \
             for all."
        );
    }
    format!(
        "By {by} the effect of {} on {metric} differs, at {} for all of it together: what is best for all need not be best for each. It was \
         looked at afterwards; test it before you rely on it.",
        differing.join(", "),
        percent(experiment.alpha)
    )
}

/// The breakdown as text for a terminal.
#[must_use]
pub fn text(breakdown: &Breakdown) -> String {
    let rows = breakdown.parts.iter().flat_map(|part| {
        part.variants.iter().enumerate().map(|(place, variant)| {
            let lift = |lift: Option<f64>| lift.map_or("-".to_owned(), |lift| signed_percent(rounded(lift)));
            let name = if place == 0 { part.part.clone() } else { String::new() };
            let people = if place == 0 { thousands(part.mature) } else { String::new() };
            let best = if part.best.as_ref() == Some(&variant.variant) { "best bet" } else { "" };
            let chance = format!("{:.0} %", 100.0 * variant.probability_best);
            vec![name, people, variant.variant.to_string(), lift(variant.raw_lift), lift(variant.lift), chance, best.to_owned()]
        })
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let tests: String = (breakdown.differences.iter())
        .map(|of| {
            format!(
                "  {}: Q {:.2} on {} degrees of freedom, p {:.3}\n",
                of.variant, of.statistic, of.degrees_of_freedom, of.p_adjusted
            )
        })
        .collect();
    let head = [breakdown.by.as_str(), "people", "variant", "raw lift", "forecast", "best with", ""];
    format!("{}\n{tests}\n{}", breakdown.sentence, table(&head, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{buyers, who_buys};

    fn by_market(parts: &[(&str, [(u64, u64); 2])]) -> ByMarket {
        let all = parts.iter().fold([(0, 0); 2], |sum: [(u64, u64); 2], (_, counts)| {
            std::array::from_fn(|arm| (sum[arm].0 + counts[arm].0, sum[arm].1 + counts[arm].1))
        });
        ByMarket {
            overall: buyers(all),
            markets: parts.iter().map(|(part, counts)| ((*part).to_owned(), buyers(*counts))).collect(),
        }
    }

    #[test]
    fn groups_that_differ_are_told_and_shrunk() {
        let parts = [("phone", [(10_000, 500), (10_000, 700)]), ("desktop", [(20_000, 1_000), (20_000, 900)])];
        let found = breakdown(&who_buys("e"), &Dimension::Device, &by_market(&parts));
        assert_eq!(
            found.parts.iter().map(|part| (part.part.as_str(), part.mature)).collect::<Vec<_>>(),
            [("desktop", 40_000), ("phone", 20_000)]
        );
        let best: Vec<&str> = found.parts.iter().map(|part| part.best.as_ref().unwrap().as_str()).collect();
        assert_eq!(best, ["a", "b"]);
        let phone = &found.parts[1].variants[1];
        assert!(phone.lift.unwrap() < phone.raw_lift.unwrap() && phone.lift.unwrap() > 0.2, "{phone:?}");
        let [difference] = &found.differences[..] else { panic!("one, not {:?}", found.differences) };
        // (0.02 − (−0.005))² over the sum of both variances.
        let variance = (0.05 * 0.95 + 0.07 * 0.93) / 9_999.0 + (0.05 * 0.95 + 0.045 * 0.955) / 19_999.0;
        assert!((difference.statistic - 0.025 * 0.025 / variance).abs() < 0.05, "{difference:?}");
        assert!(difference.differs && difference.degrees_of_freedom == 1);
        assert!(found.sentence.starts_with("By device the effect of `b` on bought differs"), "{}", found.sentence);
        assert!(text(&found).contains("best bet"), "{}", text(&found));
    }

    #[test]
    fn groups_that_are_alike_are_said_to_be() {
        let parts = [("phone", [(10_000, 500), (10_000, 560)]), ("desktop", [(20_000, 1_000), (20_000, 1_110)])];
        let found = breakdown(&who_buys("e"), &Dimension::Device, &by_market(&parts));
        assert!(!found.differences[0].differs);
        assert!(found.sentence.starts_with("No difference by device is shown"), "{}", found.sentence);
        let few = breakdown(&who_buys("e"), &Dimension::Device, &by_market(&[("phone", [(100, 2), (100, 3)])]));
        assert!(few.differences.is_empty() && few.sentence.contains("1 group by device"), "{few:?}");
        let nobody = breakdown(&who_buys("e"), &Dimension::Device, &by_market(&[]));
        assert!(nobody.sentence.starts_with("Nobody's window is over"), "{}", nobody.sentence);
    }

    #[test]
    fn dimensions_are_read_as_they_are_written() {
        for text in ["market", "country", "region", "language", "device", "source", "channel", "hour", "attributes.tier"] {
            assert_eq!(text.parse::<Dimension>().unwrap().to_string(), text);
        }
        assert!("attributes.".parse::<Dimension>().unwrap_err().contains("`attributes.tier`"));
        assert!("colour".parse::<Dimension>().unwrap_err().starts_with("`colour` is not one of market, country"));
    }
}
