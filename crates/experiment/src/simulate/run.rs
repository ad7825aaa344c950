//! One run of a design: looks until something is shown, and what the pick brings the list.

use stats::Moments;
use stats::numeric::Draws;
use stats::sequential::group::{Sides, boundaries};

use super::designs::{Decide, Design};
use super::shrinkage::Shrinkage;
use super::world::{Drawn, Law, World};
use crate::decision::{OUTCOMES_MIN, Shown, Tested, statistic, step_down};
use crate::sizing::{Past, PastError, SPENDING};

/// A look adds so many contacts to each variant at least; one alone has no variance.
const UNITS_MIN: u64 = 2;

/// A design on a list.
pub(super) struct Plan {
    /// Its place among the designs.
    pub(super) index: usize,
    pub(super) variants: usize,
    /// Contacts of each variant at the last look.
    pub(super) units: u64,
    /// Contacts of the list.
    pub(super) list: f64,
    /// Contacts of each variant at each look.
    looks: Vec<u64>,
    /// The critical values of the looks, by how many comparisons are left, less one.
    boundaries: Vec<Vec<f64>>,
    decide: Decide,
    cuped: bool,
}

impl Plan {
    pub(super) fn new(index: usize, design: &Design, past: &Past) -> Result<Self, PastError> {
        let list = past.contacts();
        let asked = design.units.unwrap_or((design.test_share.unwrap_or_default() * list as f64 * (1.0 + 1e-12)) as u64);
        let units = asked / u64::from(design.variants);
        let (needed, field) = (
            UNITS_MIN * u64::from(design.variants) * u64::from(design.looks),
            if design.units.is_some() { "units" } else { "test_share" },
        );
        if asked > list || asked < needed {
            return Err(PastError::Asked {
                field: format!("designs[{index}].{field}"),
                reason: format!(
                    "puts {asked} contacts of a list of {list} into the test of `{}`; {} variants and {} looks need from \
                     {needed} to {list}",
                    design.name, design.variants, design.looks
                ),
            });
        }
        let looks: Vec<u64> = (1..=u64::from(design.looks)).map(|look| units * look / u64::from(design.looks)).collect();
        let fractions: Vec<f64> = looks.iter().map(|so_far| *so_far as f64 / units as f64).collect();
        let of_left = |left: u32| -> Result<Vec<f64>, PastError> {
            Ok(boundaries(SPENDING, design.alpha / f64::from(left), Sides::Two, &fractions)?.critical_values)
        };
        let boundaries = (1..design.variants).map(of_left).collect::<Result<_, _>>()?;
        let Design { variants, decide, cuped, .. } = *design;
        Ok(Self { index, variants: variants as usize, units, list: list as f64, looks, boundaries, decide, cuped })
    }
}

/// What came of a run. Losses are in the metric's unit per recipient of the list.
pub(super) struct Played {
    /// The truly best variant, and the one that is sent to the rest; 0 is control.
    pub(super) best: usize,
    pub(super) picked: usize,
    pub(super) best_shown: bool,
    pub(super) looks: u32,
    pub(super) regret: f64,
    pub(super) test_cost: f64,
    pub(super) sent_to_worse: f64,
    /// By how much the gain of the pick over control is thought too large, in the metric's unit: as forecast and as observed.
    pub(super) forecast_bias: Option<f64>,
    pub(super) raw_bias: Option<f64>,
}

/// A test when it has ended.
struct Ended {
    looks: usize,
    arms: Vec<Moments>,
    shown: Vec<Shown>,
}

/// Plays a run in which each variant brings its effect over the mean of the past, control first.
pub(super) fn play(world: &World, plan: &Plan, shrinkage: &Shrinkage, effects: &[f64], draws: &mut Draws) -> Played {
    let ended = test(world, plan, effects, draws);
    let sign = if world.lower_is_better { -1.0 } else { 1.0 };
    let worth: Vec<f64> = effects.iter().map(|effect| sign * world.mean * (1.0 + effect)).collect();
    let first_best =
        |values: &[f64]| (1..values.len()).fold(0, |best, next| if values[next] > values[best] { next } else { best });
    let best = first_best(&worth);
    let observed: Vec<f64> = ended.arms.iter().map(|arm| sign * arm.mean).collect();
    let gains: Vec<f64> = observed.iter().map(|mean| mean - observed[0]).collect();
    let picked = pick(plan.decide, &ended.shown, &gains);
    let sent = plan.looks[ended.looks - 1] as f64;
    let lost = |arm: usize| worth[best] - worth[arm];
    let test_cost = (0..plan.variants).map(lost).sum::<f64>() * (sent / plan.list);
    let rest = 1.0 - sent * plan.variants as f64 / plan.list;
    let true_gain = worth[picked] - worth[0];
    let bias = |gain: f64| (picked != 0).then_some(gain - true_gain);
    Played {
        best,
        picked,
        best_shown: ended.shown[best] == Shown::Better,
        looks: ended.looks as u32,
        regret: test_cost + rest.max(0.0) * lost(picked),
        test_cost,
        sent_to_worse: sent * (0..plan.variants).filter(|arm| lost(*arm) > 0.0).count() as f64,
        forecast_bias: bias(gains[picked] * shrinkage.believed(&observed, standard_error(&ended.arms))),
        raw_bias: bias(gains[picked]),
    }
}

/// Whether a run ends with a variant shown to be better.
pub(super) fn shows_any(world: &World, plan: &Plan, effects: &[f64], draws: &mut Draws) -> bool {
    test(world, plan, effects, draws).shown.contains(&Shown::Better)
}

fn test(world: &World, plan: &Plan, effects: &[f64], draws: &mut Draws) -> Ended {
    let laws: Vec<Law> = effects.iter().map(|effect| world.law(*effect)).collect();
    let mut arms = vec![Drawn::default(); plan.variants];
    let mut before = 0;
    let mut shown = vec![Shown::Neither; plan.variants];
    for (look, so_far) in plan.looks.iter().enumerate() {
        for ((arm, law), effect) in arms.iter_mut().zip(&laws).zip(effects) {
            let mut drawn = world.draw(so_far - before, *law, draws);
            if plan.cuped {
                drawn.moments = adjusted(drawn.moments, world.mean * (1.0 + effect), world.explained, draws);
            }
            arm.moments = arm.moments.merge(&drawn.moments);
            arm.differing += drawn.differing;
        }
        before = *so_far;
        shown = compared(world, plan, &arms, look);
        let is_over = shown.contains(&Shown::Better) || shown[1..].iter().all(|shown| *shown == Shown::Worse);
        if is_over || look + 1 == plan.looks.len() {
            return Ended { looks: look + 1, arms: arms.iter().map(|arm| arm.moments).collect(), shown };
        }
    }
    Ended { looks: plan.looks.len(), arms: arms.iter().map(|arm| arm.moments).collect(), shown }
}

/// What is left of outcomes when the time before is taken out. With ρ² of the variance explained, the covariate's mean is off by
/// what goes with the outcome's error ε, and by its own: the adjusted error is (1 − ρ²) ε + ρ √(1 − ρ²) s z / √n, of variance (1
/// − ρ²) s² / n.
fn adjusted(moments: Moments, truth: f64, explained: f64, draws: &mut Draws) -> Moments {
    let left = 1.0 - explained;
    let error = moments.variance_of_mean().unwrap_or_default().sqrt();
    let mean = truth + left * (moments.mean - truth) + (explained * left).sqrt() * error * draws.normal();
    Moments { mean, m2: left * moments.m2, ..moments }
}

/// What a look shows of every variant: the most extreme at alpha over all comparisons, the next at alpha over one less, and so
/// on.
fn compared(world: &World, plan: &Plan, arms: &[Drawn], look: usize) -> Vec<Shown> {
    let is_enough = |arm: &Drawn| arm.differing as f64 >= OUTCOMES_MIN;
    let tested = |arm: &Drawn| Tested {
        statistic: statistic(&arms[0].moments, &arm.moments, world.lower_is_better).ok(),
        units: (arms[0].moments.count + arm.moments.count) as f64,
        is_enough: is_enough(&arms[0]) && is_enough(arm),
    };
    let family: Vec<Tested> = arms[1..].iter().map(tested).collect();
    let others = step_down(&family, |_, left| Some(plan.boundaries[left - 1][look]));
    std::iter::once(Shown::Neither).chain(others.into_iter().map(|(_, shown)| shown)).collect()
}

/// The best of what is shown, or at the end of what does no harm; the first of equals, which is control. Variants have the same
/// size, so that the largest gain as observed is the largest as believed.
fn pick(decide: Decide, shown: &[Shown], gains: &[f64]) -> usize {
    let may_be_sent = |arm: &usize| match (shown.contains(&Shown::Better), decide) {
        (true, _) => shown[*arm] == Shown::Better,
        (false, Decide::BestBet) => shown[*arm] != Shown::Worse,
        (false, Decide::ShownOnly) => *arm == 0,
    };
    let best = (0..shown.len()).filter(may_be_sent).reduce(|best, next| if gains[next] > gains[best] { next } else { best });
    best.unwrap_or(0)
}

/// The standard error of an arm's mean by the spread between contacts within all arms, as in a decision.
fn standard_error(arms: &[Moments]) -> f64 {
    let contacts: f64 = arms.iter().map(|arm| arm.count as f64).sum();
    let degrees: f64 = arms.iter().map(|arm| arm.count.saturating_sub(1) as f64).sum();
    let variance = arms.iter().map(|arm| arm.m2).sum::<f64>() / degrees;
    (variance * arms.len() as f64 / contacts).sqrt()
}
