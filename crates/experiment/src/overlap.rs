//! Experiments that share recipients: whether their groups are independent of each other, and whether one changes what the other does.
//!
//! Experiments overlap on purpose: each has a draw of its own, so that every group of the one holds all groups of the other alike. Where
//! that is not so their effects are mixed up; where two effects change each other, neither is what it will be alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stats::factorial;
use stats::multiplicity::Procedure;
use stats::{Interval, Moments};
use vocabulary::{Experiment, ExperimentId, VariantName};

use crate::decision::{OUTCOMES_MIN, outcomes};
use crate::observe::ByMarket;
use crate::words::{difference, thousands};

/// Below this chance groups are not independent: as for the sizes of groups, an alarm must be rare.
const DEPENDENT_P: f64 = 0.001;

/// Another experiment, and what the recipients did whom it shares.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The other experiment.
    pub other: Experiment,
    /// Recipients of both, by their variant of the other one, which is in the place of the market.
    pub observed: ByMarket,
}

/// What another experiment does to this one. No number in it is NaN or infinite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overlap {
    /// The other experiment.
    pub other: ExperimentId,
    /// Recipients of both whose window is over.
    pub recipients: u64,
    /// The chance of groups as uneven as these where they are independent (Pearson). `None` where it cannot be computed.
    pub independence_p: Option<f64>,
    /// Whether the groups of the one do not hold those of the other alike.
    pub is_dependent: bool,
    /// The chance of effects as different as these where none changes the other (Wald). `None` where too few did anything.
    pub interaction_p: Option<f64>,
    /// The same over all experiments that are scanned (Benjamini & Hochberg). `None` where there is none.
    pub interaction_p_adjusted: Option<f64>,
    /// Whether effects change each other.
    pub interacts: bool,
    /// By how much: every variant of both but control.
    pub interactions: Vec<Interaction>,
    /// What to make of it.
    pub sentence: String,
}

/// How much more a variant brings with one of the other experiment than with the other's control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Interaction {
    /// The variant.
    pub variant: VariantName,
    /// The other experiment's variant.
    pub with: VariantName,
    /// The difference in differences, in the primary metric's unit per recipient.
    pub difference: f64,
    /// Of `difference`, at one minus the experiment's alpha.
    pub interval: Interval,
}

/// Scans an experiment against others that share recipients with it. The experiments must have been checked.
#[must_use]
pub fn overlaps(experiment: &Experiment, shared: &[Shared]) -> Vec<Overlap> {
    let mut found: Vec<Overlap> = shared.iter().map(|shared| overlap(experiment, shared)).collect();
    let tested: Vec<usize> = (0..found.len()).filter(|at| found[*at].interaction_p.is_some()).collect();
    let p_values: Vec<f64> = tested.iter().filter_map(|at| found[*at].interaction_p).collect();
    for (at, adjusted) in tested.into_iter().zip(Procedure::BenjaminiHochberg.adjust(&p_values)) {
        found[at].interaction_p_adjusted = Some(adjusted);
        found[at].interacts = adjusted <= experiment.alpha;
    }
    for overlap in &mut found {
        overlap.sentence = sentence(experiment, overlap);
    }
    found
}

fn overlap(experiment: &Experiment, shared: &Shared) -> Overlap {
    let (own, others) = (arms(experiment), arms(&shared.other));
    let primary = experiment.primary_metric();
    // The own variant changes fastest.
    let cells = |of: &dyn Fn(&crate::observe::Observations, &VariantName) -> Moments| -> Vec<Moments> {
        let part = |other: &VariantName| shared.observed.markets.get(other.as_str());
        let cell = |other, arm| part(other).map_or_else(Moments::default, |seen| of(seen, arm));
        others.iter().flat_map(|other| own.iter().map(move |arm| (other, arm))).map(|(other, arm)| cell(other, arm)).collect()
    };
    let values = cells(&|seen, arm| seen.moments(arm, &experiment.primary));
    let is_enough = primary.is_some_and(|primary| {
        let seen: Vec<_> = shared.observed.markets.values().collect();
        seen.len() == others.len() && seen.iter().all(|of| own.iter().all(|arm| outcomes(of, arm, primary) >= OUTCOMES_MIN))
    });
    let found = factorial::overlap((own.len(), others.len()), &values, experiment.alpha).ok();
    let interaction = found.as_ref().map(|found| &found.interaction).filter(|_| is_enough);
    let contrasts = interaction.into_iter().flat_map(|term| &term.contrasts);
    let interactions = contrasts.map(|contrast| Interaction {
        variant: own[contrast.levels[0]].clone(),
        with: others[contrast.levels[1]].clone(),
        difference: contrast.effect.difference,
        interval: contrast.effect.interval,
    });
    // Groups can be compared before anybody did anything.
    let independence_p = factorial::independence(own.len(), &values).ok().map(|found| found.p_value);
    Overlap {
        other: shared.other.experiment.clone(),
        recipients: values.iter().map(|cell| cell.count).sum(),
        independence_p,
        is_dependent: independence_p.is_some_and(|p| p < DEPENDENT_P),
        interaction_p: interaction.map(|term| term.wald.p_value),
        interaction_p_adjusted: None,
        interacts: false,
        interactions: interactions.collect(),
        sentence: String::new(),
    }
}

/// The variants, control first.
fn arms(experiment: &Experiment) -> Vec<&VariantName> {
    let control = experiment.control();
    let others = experiment.others();
    std::iter::once(control).chain(others).collect()
}

fn sentence(experiment: &Experiment, overlap: &Overlap) -> String {
    let (other, people) = (&overlap.other, thousands(overlap.recipients));
    if overlap.is_dependent {
        return format!(
            "The groups of `{other}` are not spread alike over those of this experiment ({people} recipients of both): find out what joins \
             them, as the effects of both are mixed up."
        );
    }
    let metric = experiment.primary_metric();
    let largest = overlap.interactions.iter().max_by(|one, other| one.difference.abs().total_cmp(&other.difference.abs()));
    match (largest, metric) {
        (Some(largest), Some(metric)) if overlap.interacts => format!(
            "`{other}` changes what this experiment does ({people} recipients of both): `{}` makes {} more of {} with its `{}`. Decide them \
             together.",
            largest.variant,
            difference(metric, largest.difference, &largest.interval),
            metric.name,
            largest.with
        ),
        (Some(_), _) => format!("`{other}` is not shown to change what this experiment does ({people} recipients of both)."),
        (None, _) => format!(
            "Too few of the {people} recipients of both this and `{other}` did anything to tell whether one changes the other."
        ),
    }
}

/// The other experiment's variants as groups, of what was counted by them.
#[must_use]
pub fn shared(other: Experiment, observed: ByMarket) -> Shared {
    let known: BTreeMap<_, _> = observed
        .markets
        .into_iter()
        .filter(|(name, _)| other.variants.iter().any(|variant| variant.name.as_str() == name))
        .collect();
    Shared { observed: ByMarket { overall: observed.overall, markets: known }, other }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{buyers, who_buys};

    /// By the other experiment's variant.
    fn with(id: &str, a: [(u64, u64); 2], b: [(u64, u64); 2]) -> Shared {
        let markets = [("a".to_owned(), buyers(a)), ("b".to_owned(), buyers(b)), ("gone".to_owned(), buyers(a))].into();
        shared(who_buys(id), ByMarket { overall: buyers(a), markets })
    }

    #[test]
    fn effects_that_add_up_are_left_alone_and_a_clash_is_told() {
        let alone = with("alone", [(10_000, 500), (10_000, 600)], [(10_000, 550), (10_000, 655)]);
        let clash = with("clash", [(10_000, 500), (10_000, 700)], [(10_000, 500), (10_000, 450)]);
        let found = overlaps(&who_buys("e"), &[alone, clash]);
        assert_eq!([found[0].interacts, found[1].interacts], [false, true], "{found:?}");
        assert_eq!((found[1].recipients, found[1].is_dependent), (40_000, false));
        let [interaction] = &found[1].interactions[..] else { panic!("one, not {:?}", found[1]) };
        assert!((interaction.difference + 0.025).abs() < 1e-12, "{interaction:?}");
        assert!(found[1].interaction_p_adjusted >= found[1].interaction_p, "both were scanned");
        assert!(
            found[1].sentence.starts_with("`clash` changes what this experiment does (40,000 recipients of both)"),
            "{}",
            found[1].sentence
        );
        assert!(found[0].sentence.contains("is not shown to change"), "{}", found[0].sentence);
    }

    #[test]
    fn groups_that_are_joined_raise_an_alarm() {
        let found = overlaps(&who_buys("e"), &[with("joined", [(9_000, 500), (11_000, 600)], [(11_000, 550), (9_000, 655)])]);
        assert!(found[0].is_dependent && found[0].sentence.contains("not spread alike"), "{found:?}");
    }

    #[test]
    fn few_outcomes_say_nothing() {
        let found = overlaps(&who_buys("e"), &[with("few", [(100, 5), (100, 6)], [(100, 50), (100, 60)])]);
        assert_eq!((found[0].interaction_p, found[0].interacts), (None, false));
        assert!(found[0].sentence.starts_with("Too few of the 400 recipients"), "{}", found[0].sentence);
    }
}
