//! How many recipients, and what can be seen with them.
//!
//! Reading order: [`Design`] (power, sample size and smallest detectable effect of two arms, by normal, t and always-valid
//! tests), [`PooledNull`] and its neighbours for rates, [`comparison_sample_size`] for more than two arms,
//! [`NonInferiority`] and [`decision_rule`] (guardrails), [`MidExperiment`] (what a running experiment will still show),
//! [`power_anova`] and [`power_goodness_of_fit`], and sizing by value instead of by error rates: [`test_and_roll`] for two
//! equal arms, [`RollOut`] for any number of unequal ones.
//!
//! Everything here plans: it takes the variance of one recipient's outcome (of the ratio's linearisation, or of what is
//! left after a covariate, where one of these is analysed) and not a sample.

mod decision;
mod design;
mod groups;
mod inverse;
mod mid_experiment;
mod non_inferiority;
mod noncentral;
mod proportions;
mod roll_out;
mod test_and_roll;

pub use decision::{DecisionRule, decision_rule};
pub use design::{Design, Reference, Scale};
pub use groups::{Groups, comparison_sample_size, optimal_allocation};
pub use mid_experiment::{EffectPrior, MidExperiment};
pub use non_inferiority::{Margin, NonInferiority};
pub use noncentral::{effect_size_w, power_anova, power_goodness_of_fit};
pub use proportions::{PooledNull, effect_size_h, sample_size_unpooled};
pub use roll_out::{ARMS_MAX, ArmPrior, RollOut, RollOutPlan};
pub use test_and_roll::{TestAndRoll, test_and_roll};

use crate::answer::Degenerate;

/// Refuses what is not a finite number above zero.
fn positive(what: &str, value: f64) -> Result<f64, Degenerate> {
    if value > 0.0 && value.is_finite() {
        return Ok(value);
    }
    Err(Degenerate::new(format!("the {what} is {value}; it must be a number above zero")))
}

/// Refuses what is not strictly between 0 and 1.
fn fraction(what: &str, value: f64) -> Result<f64, Degenerate> {
    if value > 0.0 && value < 1.0 {
        return Ok(value);
    }
    Err(Degenerate::new(format!("the {what} is {value}; it must lie between 0 and 1")))
}

/// Refuses a target that is had by rejecting at random.
fn target_power(power: f64, alpha: f64) -> Result<f64, Degenerate> {
    if fraction("power", power)? > alpha {
        return Ok(power);
    }
    Err(Degenerate::new(format!("the power is {power}, which is not above alpha, {alpha}: chance alone gives that")))
}
