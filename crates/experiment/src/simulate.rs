//! Candidate designs of a test tried out on what the list did before: error, power, regret and cost.
//!
//! Each run draws what the variants are truly worth, makes the outcomes of the test's contacts by resampling the past, takes the
//! looks of [`crate::decide`] (Lan & DeMets boundaries of O'Brien-Fleming shape, Holm over the variants), picks, and is held
//! against whoever knows the truth. All designs meet the same truths, so that they are compared in pairs. A second run of each
//! has variants that are all the same: a winner shown there is a false one.
//!
//! What is simple here: contacts come evenly over the looks and the variants, who is left when the test stops gets what is
//! picked, and the list is one market.

mod designs;
mod run;
mod say;
mod shrinkage;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use stats::numeric::Draws;

pub use designs::{
    DESIGNS_MAX, Decide, Design, Designs, Effects, LIFT_MAX, LIFT_MIN, RUNS_DEFAULT, RUNS_MAX, RUNS_MIN, SD_MAX,
    SIMULATED_VARIANTS_MAX, check_designs, parse_designs,
};
pub use say::text;

use crate::sizing::{Past, PastError};
use run::{Plan, Played, play};
use shrinkage::Shrinkage;
pub(crate) use world::World;

/// The kinds of draws of a run: what is true, what happens then, and what happens where nothing differs.
const TRUTHS: u64 = 0;
const OUTCOMES: u64 = 1;
const SAME: u64 = 2;

/// What came of all designs. The same past, designs and seed give the same bytes; no number in it is NaN or infinite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Simulated {
    /// Which design is the best by value, for a manager.
    pub sentence: String,
    /// Everything random followed from it.
    pub seed: u64,
    /// How many runs each number rests on.
    pub runs: u32,
    /// The contacts of the list.
    pub contacts: u64,
    /// The mean of the metric in the past, in its unit per contact.
    pub mean: f64,
    /// The name of the design with the least regret.
    pub best: String,
    /// In the order given.
    pub designs: Vec<SimulatedDesign>,
}

/// What came of one design.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SimulatedDesign {
    /// The design.
    pub design: Design,
    /// Contacts of each variant at the last look.
    pub units_per_variant: u64,
    /// The share of the list that is in the test.
    pub test_share: f64,
    /// Where all variants are the same: the share of runs in which one is shown to be better. At most about half of alpha is
    /// promised, because the other half is for harm.
    pub false_winner_rate: MonteCarlo,
    /// The share of runs in which the truly best variant is shown to be better, of those in which control is not the best. `None`
    /// where it always is.
    pub power: Option<MonteCarlo>,
    /// The share of runs in which the truly best variant is sent to the rest of the list.
    pub picked_best: MonteCarlo,
    /// What is lost against sending the truly best variant to the whole list, in the metric's unit per recipient of the list.
    pub regret: MonteCarlo,
    /// The part of `regret` that is lost in the test, to contacts who get worse variants.
    pub test_cost: MonteCarlo,
    /// How many contacts of the test get another variant than the truly best.
    pub sent_to_worse: MonteCarlo,
    /// How many looks are taken.
    pub looks: MonteCarlo,
    /// By how much the forecast lift of what is picked is too large, as a share of the mean: lifts are shrunken as in a decision.
    /// Of runs that pick another variant than control; `None` where none does.
    pub forecast_bias: Option<MonteCarlo>,
    /// The same of the lift as observed.
    pub raw_bias: Option<MonteCarlo>,
}

/// A mean over runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MonteCarlo {
    /// The mean.
    pub mean: f64,
    /// Its standard error: how far chance puts it from what endless runs would give.
    pub standard_error: f64,
}

impl MonteCarlo {
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut moments = stats::Moments::default();
        values.for_each(|value| moments.push(value));
        let standard_error = moments.variance_of_mean().unwrap_or_default().sqrt();
        (moments.count > 0).then_some(Self { mean: moments.mean, standard_error })
    }
}

/// Tries all designs out on the past of the list.
///
/// # Errors
/// [`PastError`] when the past tells nothing, or a design does not fit the list.
pub fn simulate(past: &Past, designs: &Designs) -> Result<Simulated, PastError> {
    past.check()?;
    check_designs(designs).map_err(|problem| PastError::Asked { field: problem.field, reason: problem.reason })?;
    let world = World::new(past)?;
    let plans = designs.designs.iter().enumerate();
    let plans = plans.map(|(index, design)| Plan::new(index, design, past)).collect::<Result<Vec<_>, _>>()?;
    let counts: BTreeSet<usize> = plans.iter().map(|plan| plan.variants).collect();
    let shrinkages = counts.into_iter().map(|variants| Ok((variants, Shrinkage::new(variants)?)));
    let shrinkages = shrinkages.collect::<Result<BTreeMap<_, _>, PastError>>()?;
    let played: Vec<Vec<Played>> = plans.iter().map(|plan| runs(&world, plan, &shrinkages[&plan.variants], designs)).collect();
    let simulated: Vec<SimulatedDesign> =
        plans.iter().zip(&played).map(|(plan, played)| summed(&world, plan, designs, played)).collect();
    let regret = |index: &usize| simulated[*index].regret.mean;
    let mut order: Vec<usize> = (0..simulated.len()).collect();
    order.sort_by(|one, other| regret(one).total_cmp(&regret(other)));
    let ahead = order.get(1).and_then(|next| {
        let pairs = played[order[0]].iter().zip(&played[*next]);
        MonteCarlo::of(pairs.map(|(best, next)| next.regret - best.regret))
    });
    Ok(Simulated {
        sentence: say::sentence(&simulated, &order, ahead, designs.runs),
        seed: designs.seed,
        runs: designs.runs,
        contacts: past.contacts(),
        mean: world.mean,
        best: simulated[order[0]].design.name.clone(),
        designs: simulated,
    })
}

/// An own generator for each kind, design and run.
fn stream(designs: &Designs, kind: u64, design: usize, run: u32) -> Draws {
    Draws::seeded(designs.seed).split(kind << 56 | (design as u64) << 32 | u64::from(run))
}

fn runs(world: &World, plan: &Plan, shrinkage: &Shrinkage, designs: &Designs) -> Vec<Played> {
    let of_run = |run| {
        let effects = designs.effects.drawn(plan.variants, &mut stream(designs, TRUTHS, 0, run));
        play(world, plan, shrinkage, &effects, &mut stream(designs, OUTCOMES, plan.index, run))
    };
    (0..designs.runs).map(of_run).collect()
}

fn false_winners(world: &World, plan: &Plan, designs: &Designs) -> Option<MonteCarlo> {
    let same = vec![0.0; plan.variants];
    let is_shown = |run| run::shows_any(world, plan, &same, &mut stream(designs, SAME, plan.index, run));
    rate((0..designs.runs).map(is_shown))
}

fn rate(of: impl Iterator<Item = bool>) -> Option<MonteCarlo> {
    MonteCarlo::of(of.map(|is_so| f64::from(u8::from(is_so))))
}

fn summed(world: &World, plan: &Plan, designs: &Designs, played: &[Played]) -> SimulatedDesign {
    let none = MonteCarlo { mean: 0.0, standard_error: 0.0 };
    let mean = |of: fn(&Played) -> f64| MonteCarlo::of(played.iter().map(of)).unwrap_or(none);
    let bias = |of: fn(&Played) -> Option<f64>| MonteCarlo::of(played.iter().filter_map(of).map(|bias| bias / world.mean));
    SimulatedDesign {
        design: designs.designs[plan.index].clone(),
        units_per_variant: plan.units,
        test_share: (plan.units * plan.variants as u64) as f64 / plan.list,
        false_winner_rate: false_winners(world, plan, designs).unwrap_or(none),
        power: rate(played.iter().filter(|run| run.best != 0).map(|run| run.best_shown)),
        picked_best: rate(played.iter().map(|run| run.picked == run.best)).unwrap_or(none),
        regret: mean(|run| run.regret),
        test_cost: mean(|run| run.test_cost),
        sent_to_worse: mean(|run| run.sent_to_worse),
        looks: mean(|run| f64::from(run.looks)),
        forecast_bias: bias(|run| run.forecast_bias),
        raw_bias: bias(|run| run.raw_bias),
    }
}

#[cfg(test)]
#[path = "simulate_tests.rs"]
mod tests;
