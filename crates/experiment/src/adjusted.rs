//! The primary metric with less noise: what recipients did before their message is taken out (CUPED), and markets are weighted
//! as they are in all variants together (post-stratification).
//!
//! Deng, Xu, Kohavi & Walker, "Improving the sensitivity of online controlled experiments by utilizing pre-experiment data", WSDM (2013);
//! Miratrix, Sekhon & Yu, "Adjusting treatment effect estimates by post-stratification in randomized experiments", JRSS B 75 (2013).
//!
//! *Caution:* intervals are those of one look. What is decided rests on boundaries that hold at all looks, and on numbers without what was
//! before only where the experiment has `cuped`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stats::adjusted::{Shape, Stratum, compare_strata};
use stats::{CoMoments, Effect, Interval, Lift, fieller_lift, welch};
use vocabulary::{Experiment, Metric, VariantName};

use crate::cells::BEFORE_DAYS;
use crate::observe::ByMarket;
use crate::table::table;
use crate::words::{difference, percent, thousands};

/// A market with fewer recipients of a variant is put together with the others that have so few: its share tells nothing of its effect.
const STRATUM_MIN: u64 = 30;

/// The numbers of a recipient besides the metric itself: the same metric before.
const COVARIATES: usize = 1;

/// The primary metric with less noise. No number in it is NaN or infinite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Adjusted {
    /// The primary metric.
    pub metric: Metric,
    /// Recipients whose window is over.
    pub recipients: u64,
    /// Every variant but control, in the experiment's order; without those that cannot be compared.
    pub variants: Vec<AdjustedVariant>,
    /// What to make of it.
    pub sentence: String,
}

/// A variant against control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdjustedVariant {
    /// The variant.
    pub variant: VariantName,
    /// As it is, weighted by recipients.
    pub plain: AdjustedDifference,
    /// With what they did before taken out, and by market.
    pub adjusted: AdjustedDifference,
    /// The share of the difference's variance that both take away together; negative where they add.
    pub variance_removed: f64,
    /// Markets that are told apart.
    pub strata: u64,
}

/// Variant minus control, in the metric's unit per recipient.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AdjustedDifference {
    /// The difference.
    pub difference: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Of `difference`, at one minus the experiment's alpha, at this one look.
    pub interval: Interval,
    /// Two-sided, at this one look.
    pub p_value: f64,
    /// The lift over control, a fraction, by Fieller; `None` where control's mean cannot be told from zero.
    pub lift: Option<f64>,
}

impl AdjustedDifference {
    fn of(effect: &Effect, lift: Option<&Lift>) -> Self {
        Self {
            difference: effect.difference,
            standard_error: effect.standard_error,
            interval: effect.interval,
            p_value: effect.p_value,
            lift: lift.map(|lift| lift.relative),
        }
    }
}

/// Compares variants. `seen` has of each market what recipients did in their window and before it. The experiment must have been checked.
#[must_use]
pub fn adjusted(experiment: &Experiment, seen: &ByMarket) -> Option<Adjusted> {
    let metric = experiment.primary_metric()?;
    let variants = experiment.others().filter_map(|name| variant(experiment, name, seen)).collect();
    let recipients = seen.overall.arms.iter().map(|arm| arm.mature).sum();
    let mut adjusted = Adjusted { metric: metric.clone(), recipients, variants, sentence: String::new() };
    adjusted.sentence = sentence(&adjusted, experiment);
    Some(adjusted)
}

fn variant(experiment: &Experiment, name: &VariantName, seen: &ByMarket) -> Option<AdjustedVariant> {
    let arms = [experiment.control(), name];
    let [own, others] = arms.map(|arm| seen.overall.moments(arm, &experiment.primary));
    let plain = welch(&own, &others, experiment.alpha).ok()?;
    let lift = fieller_lift(&own, &others, experiment.alpha).ok();
    let plain = AdjustedDifference::of(&plain, lift.as_ref());
    let by_market = strata(seen, arms);
    let strata: Vec<Stratum<'_>> =
        by_market.iter().map(|(name, [control, treatment])| Stratum { name, control, treatment }).collect();
    let adjusted = compare_strata(&strata, Shape::Mean, COVARIATES, experiment.alpha);
    let adjusted = adjusted.ok()?;
    let adjusted = AdjustedDifference::of(&adjusted.absolute, adjusted.relative.as_ref().ok());
    let variance_removed = 1.0 - (adjusted.standard_error / plain.standard_error).powi(2);
    variance_removed.is_finite().then_some(AdjustedVariant {
        variant: name.clone(),
        plain,
        adjusted,
        variance_removed,
        strata: strata.len() as u64,
    })
}

/// The markets of both, those with few recipients of either together.
fn strata(seen: &ByMarket, arms: [&VariantName; 2]) -> BTreeMap<String, [CoMoments; 2]> {
    let nobody = || CoMoments::new(1 + COVARIATES);
    let (mut strata, mut few) = (BTreeMap::new(), [nobody(), nobody()]);
    for (name, of) in &seen.markets {
        let both = arms.map(|arm| of.arm(arm).and_then(|arm| arm.before.clone()).unwrap_or_else(nobody));
        if both.iter().all(|moments| moments.count >= STRATUM_MIN) {
            strata.insert(name.clone(), both);
        } else {
            few.iter_mut().zip(&both).for_each(|(few, own)| few.merge(own));
        }
    }
    // The few that are left over join the largest market, where they are too few for a group of their own.
    if few.iter().all(|moments| moments.count >= STRATUM_MIN) {
        strata.insert("others".to_owned(), few);
    } else if let Some(largest) = strata.values_mut().max_by_key(|both| both[0].count) {
        largest.iter_mut().zip(&few).for_each(|(own, few)| own.merge(few));
    } else {
        strata.insert("all".to_owned(), few);
    }
    strata
}

fn sentence(adjusted: &Adjusted, experiment: &Experiment) -> String {
    let people = thousands(adjusted.recipients);
    let most = adjusted.variants.iter().max_by(|one, other| one.variance_removed.total_cmp(&other.variance_removed));
    let Some(most) = most else {
        return format!("Nothing can be compared yet: {people} recipients count, and too few of them did anything.");
    };
    let removed = (100.0 * most.variance_removed).round() / 100.0;
    let worth = match removed {
        ..=0.0 => "takes no noise away: it says nothing of what they did after".to_owned(),
        _ => format!("takes {} of the variance away, as if there were {} more recipients", percent(removed), {
            percent((100.0 * (1.0 / (1.0 - removed) - 1.0)).round() / 100.0)
        }),
    };
    format!(
        "What recipients did in the {} days before {worth} ({people} recipients). Intervals are those of this one look, at {}.",
        experiment.cuped.map_or(BEFORE_DAYS, |cuped| cuped.days),
        percent(1.0 - experiment.alpha)
    )
}

/// The comparison as text for a terminal.
#[must_use]
pub fn text(adjusted: &Adjusted) -> String {
    let row = |variant: &AdjustedVariant| {
        let told = |of: &AdjustedDifference| difference(&adjusted.metric, of.difference, &of.interval);
        let removed = percent((1_000.0 * variant.variance_removed).round() / 1_000.0);
        vec![variant.variant.to_string(), told(&variant.plain), told(&variant.adjusted), removed, variant.strata.to_string()]
    };
    let rows: Vec<Vec<String>> = adjusted.variants.iter().map(row).collect();
    let head = ["variant", "plain", "adjusted", "variance removed", "markets"];
    format!("{}\n\n{}", adjusted.sentence, table(&head, &rows))
}

#[cfg(test)]
mod tests {
    use stats::numeric::Draws;

    use super::*;
    use crate::cuped;
    use crate::observe::Observations;
    use crate::testing::buyers;

    fn spec() -> Experiment {
        crate::parse(
            "experiment: e\nfactors: [copy]\nvariants: [{name: a}, {name: b}]\nprimary: revenue\nmetrics: [{name: revenue, outcome: order, measure: amount}]",
        )
        .unwrap()
    }

    /// Recipients of two variants, the second of whom spend so much more.
    fn seen(markets: &[(&str, u64)], more: f64, mut recipient: impl FnMut(&str) -> [f64; 2]) -> ByMarket {
        let mut of_market = |people: u64, name: &str| {
            let mut observations = buyers([(people, 0); 2]);
            for (arm, more) in observations.arms.iter_mut().zip([0.0, more]) {
                let mut before = CoMoments::new(2);
                for _ in 0..people {
                    let [spends, spent] = recipient(name);
                    before.push(&[spends + more, spent]);
                }
                arm.metrics = [("revenue".to_owned(), before.moments(0))].into();
                arm.before = Some(before);
            }
            observations
        };
        let mut found = ByMarket { overall: buyers([(0, 0); 2]), markets: BTreeMap::new() };
        for (name, people) in markets {
            found.markets.insert((*name).to_owned(), of_market(*people, name));
        }
        for (place, arm) in found.overall.arms.iter_mut().enumerate() {
            let befores = found.markets.values().filter_map(|of: &Observations| of.arms[place].before.as_ref());
            let before = befores.fold(CoMoments::new(2), |mut all, own| {
                all.merge(own);
                all
            });
            (arm.mature, arm.metrics) = (before.count, [("revenue".to_owned(), before.moments(0))].into());
            arm.before = Some(before);
        }
        found
    }

    #[test]
    fn what_was_known_before_is_taken_out() {
        let mut draws = Draws::seeded(8);
        let mut seen = seen(&[("DE", 2_000), ("FR", 1_000), ("LI", 4)], 1.0, |market| {
            let before = if market == "FR" { 90.0 } else { 50.0 } + 10.0 * draws.normal();
            [before + 5.0 * draws.normal(), before]
        });
        let found = adjusted(&spec(), &seen).unwrap();
        let [variant] = &found.variants[..] else { panic!("one, not {found:?}") };
        assert_eq!((found.recipients, variant.strata), (6_008, 2), "the four are with the largest market");
        // 25 of a variance of 125 within markets is left, and markets differ besides.
        assert!(variant.variance_removed > 0.8, "{variant:?}");
        assert!(variant.adjusted.interval.contains(1.0), "{variant:?}");
        let expect = (25.0_f64 * 2.0 / 3_004.0).sqrt();
        assert!((variant.adjusted.standard_error / expect - 1.0).abs() < 0.1, "{variant:?}");
        assert!(found.sentence.starts_with("What recipients did in the 90 days before takes"), "{}", found.sentence);
        assert!(text(&found).contains("variance removed"), "{}", text(&found));
        // What decisions rest on comes to nearly the same, though it weights markets as they are in each variant.
        let ByMarket { overall, markets } = &mut seen;
        cuped::adjust(overall, &mut markets.values_mut().collect::<Vec<_>>());
        let [a, b] = [0, 1].map(|arm: usize| seen.markets["DE"].arms[arm].adjusted.unwrap());
        assert!((b.mean - a.mean - 1.0).abs() < 3.0 * (50.0_f64 / 2_000.0).sqrt(), "{a:?} {b:?}");
    }

    #[test]
    fn what_says_nothing_takes_nothing_away() {
        let mut draws = Draws::seeded(6);
        let found = adjusted(&spec(), &seen(&[("", 5_000)], 0.0, |_| [draws.normal(), draws.normal()])).unwrap();
        assert!(found.variants[0].variance_removed.abs() < 0.01, "{found:?}");
        let nobody = adjusted(&spec(), &ByMarket { overall: buyers([(0, 0); 2]), markets: BTreeMap::new() }).unwrap();
        assert!(nobody.variants.is_empty() && nobody.sentence.starts_with("Nothing can be compared yet"), "{nobody:?}");
    }
}
