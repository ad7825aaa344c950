//! Made-up experiments and what was observed of them, for the tests of several modules.

use std::collections::BTreeMap;

use stats::Moments;
use stats::numeric::Draws;
use vocabulary::{Experiment, VariantName};

use crate::observe::{ArmObservations, Funnel, Observations};
use crate::readout::hillstrom;

/// Variants `a` and `b`, and who bought anything.
pub(crate) fn who_buys(id: &str) -> Experiment {
    crate::parse(&format!(
        "experiment: {id}\nfactors: [copy]\nvariants: [{{name: a}}, {{name: b}}]\nprimary: bought\nmetrics: [{{name: bought, outcome: order, measure: occurred}}]"
    ))
    .unwrap()
}

/// So many recipients of `a` and of `b`, and how many of them bought.
pub(crate) fn buyers(counts: [(u64, u64); 2]) -> Observations {
    let arm = |(name, (count, bought)): (&str, (u64, u64))| ArmObservations {
        variant: VariantName::new(name).unwrap(),
        assigned: count,
        mature: count,
        metrics: [("bought".to_owned(), Moments::from_successes(count, bought))].into(),
        ratios: BTreeMap::new(),
        before: None,
        adjusted: None,
        bounced: 0,
        funnel: Funnel { assigned: count, ordered: bought, ..Funnel::default() },
    };
    Observations { arms: ["a", "b"].into_iter().zip(counts).map(arm).collect(), ..hillstrom::observations() }
}

/// How many of so many, by the gaps between them.
pub(crate) fn happened(draws: &mut Draws, of: u64, chance: f64) -> u64 {
    let (mut found, mut place) = (0, 0.0);
    loop {
        place += (draws.exponential() / -(-chance).ln_1p()).floor() + 1.0;
        if place > of as f64 {
            return found;
        }
        found += 1;
    }
}
