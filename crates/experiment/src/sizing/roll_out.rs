//! The test that earns most: each contact in it is one more who may get a worse variant, and makes a wrong pick for all others
//! less likely. Feit & Berman, "Test & Roll: profit-maximizing A/B tests", Marketing Science 38 (2019), for any number of
//! variants alike.

use serde::{Deserialize, Serialize};
use stats::Degenerate;
use stats::numeric::Draws;
use stats::power::{ArmPrior, RollOut};

/// Draws for the chance of a wrong pick: it is right to a third of a percentage point.
const DRAWS: u32 = 20_000;

/// The seed of those draws: the same question has the same answer.
const SEED: u64 = 1;

/// The size of the most valuable test, and what it is worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValueSize {
    /// Contacts of each variant; 0 where trying it is not worth its while.
    pub units: Vec<u64>,
    /// All of them.
    pub test_units: u64,
    /// Their share of the list.
    pub share_of_list: f64,
    /// The mean to expect over the whole list, test and all others, in the metric's unit per recipient.
    pub expected: f64,
    /// How much better that is than sending any variant untested, in the metric's unit per recipient: positive is better.
    pub gain_over_no_test: f64,
    /// How much better it is than a test on half of the list, likewise.
    pub gain_over_half_test: f64,
    /// The chance that the variant that is picked is not the best one.
    pub probability_wrong: f64,
}

pub(super) struct Question {
    pub(super) variants: usize,
    pub(super) list: u64,
    pub(super) mean: f64,
    /// Of one contact's outcome, in the metric's unit.
    pub(super) response_sd: f64,
    /// Of variants' means among themselves, in the metric's unit.
    pub(super) prior_sd: f64,
    pub(super) lower_is_better: bool,
}

pub(super) fn best(question: &Question) -> Result<ValueSize, Degenerate> {
    let Question { variants, list, mean, response_sd, prior_sd, lower_is_better } = *question;
    let list = list as f64;
    // Gains do not depend on the mean, and at zero no digit of them is lost.
    let arm = ArmPrior { mean: 0.0, prior_deviation: prior_sd, response_deviation: response_sd };
    let campaign = RollOut { arms: vec![arm; variants], audience: list, cost_per_message: 0.0, may_stop: false };
    let plan = campaign.best()?;
    let gain = plan.expected_profit / list;
    let test_units: f64 = plan.n.iter().sum();
    Ok(ValueSize {
        test_units: test_units as u64,
        share_of_list: test_units / list,
        expected: if lower_is_better { mean - gain } else { mean + gain },
        gain_over_no_test: gain,
        gain_over_half_test: gain - campaign.with_test_share(0.5)?.expected_profit / list,
        probability_wrong: probability_wrong(&plan.n, response_sd / prior_sd),
        units: plan.n.into_iter().map(|n| n as u64).collect(),
    })
}

/// How often the largest posterior mean is not that of the largest true mean, in units of the prior's deviation.
fn probability_wrong(n: &[f64], noise: f64) -> f64 {
    let mut draws = Draws::seeded(SEED);
    let weights: Vec<f64> = n.iter().map(|n| n / (n + noise * noise)).collect();
    let errors: Vec<f64> = n.iter().map(|n| if *n > 0.0 { noise / n.sqrt() } else { 0.0 }).collect();
    let wrong = (0..DRAWS).filter(|_| {
        let (mut best, mut picked) = ((f64::NEG_INFINITY, 0), (f64::NEG_INFINITY, 0));
        for (arm, (weight, error)) in weights.iter().zip(&errors).enumerate() {
            let truth = draws.normal();
            let believed = weight * (truth + error * draws.normal());
            best = if truth > best.0 { (truth, arm) } else { best };
            picked = if believed > picked.0 { (believed, arm) } else { picked };
        }
        best.1 != picked.1
    });
    wrong.count() as f64 / f64::from(DRAWS)
}
