//! What a running experiment will still show.

use serde::Deserialize;
use serde_json::json;
use stats::Degenerate;
use stats::power::{EffectPrior, MidExperiment};

use super::ALPHA;
use crate::input::{default_alpha, default_power};
use crate::method::{Failure, Field, Method, typed};

const STANDARD_ERROR: Field = Field { name: "standard_error", about: "of the effect so far, above 0" };
const SO_FAR: Field = Field { name: "n", about: "recipients so far, both arms" };
const TARGET: Field = Field { name: "target_effect", about: "the effect to be seen, in the unit of the standard error" };
const GOALS: Field = Field { name: "goal_metrics", about: "metrics that share alpha where it is corrected; 1 where not given" };
const VARIANTS: Field = Field { name: "variants", about: "arms in all, control among them; 2 where not given" };
const CORRECTED: Field =
    Field { name: "corrected", about: "whether alpha is divided by (variants − 1) · goal_metrics; false where not given" };
const SEQUENTIAL: Field = Field { name: "sequential", about: "whether the test is always-valid; false where not given" };
const TUNING: Field =
    Field { name: "tuning_parameter", about: "recipients at which that test is tightest; 5000 where not given" };
const PRIOR: Field = Field { name: "prior", about: "null, or {mean, variance} of the effect; then `sequential` does not matter" };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Prior {
    mean: f64,
    variance: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Running {
    standard_error: f64,
    n: f64,
    target_effect: f64,
    #[serde(default = "default_alpha")]
    alpha: f64,
    #[serde(default = "one")]
    goal_metrics: u32,
    #[serde(default = "two")]
    variants: u32,
    #[serde(default)]
    corrected: bool,
    #[serde(default)]
    sequential: bool,
    #[serde(default = "default_tuning")]
    tuning_parameter: Option<f64>,
    prior: Option<Prior>,
    #[serde(default)]
    scaling_factor: f64,
    target_power: Option<f64>,
}

fn one() -> u32 {
    1
}

fn two() -> u32 {
    2
}

fn default_tuning() -> Option<f64> {
    Some(5000.0)
}

impl Running {
    fn experiment(&self) -> Result<MidExperiment, Degenerate> {
        if self.goal_metrics == 0 || self.variants < 2 {
            return Err(Degenerate::new("there must be at least one metric and two variants"));
        }
        let tests = if self.corrected { f64::from(self.variants - 1) * f64::from(self.goal_metrics) } else { 1.0 };
        let prior = self.prior.as_ref().map(|prior| EffectPrior { mean: prior.mean, variance: prior.variance });
        Ok(MidExperiment {
            standard_error: self.standard_error,
            n: self.n,
            target_effect: self.target_effect,
            alpha: self.alpha,
            tests,
            tuning: if self.sequential && prior.is_none() { self.tuning_parameter.or_else(default_tuning) } else { None },
            prior,
        })
    }
}

pub(super) const MID_EXPERIMENT_POWER: Method = Method {
    name: "mid_experiment_power",
    summary: "the power a running experiment will have after more recipients",
    formula: "v = SE²/(1+s), α/T with T = (variants − 1) goal_metrics if corrected; SF((h − d)/√v) + SF((h + d)/√v); h = z √v, always-valid: the \
              half-width at n(1+s); with a prior h = v √(1/v0 + 1/v) z, both sides shifted by v m0/v0",
    reference: "Waudby-Smith et al., Annals of Statistics 52 (2024), for the half-width; the posterior of a normal mean for the prior",
    inputs: &[
        STANDARD_ERROR,
        SO_FAR,
        TARGET,
        ALPHA,
        GOALS,
        VARIANTS,
        CORRECTED,
        SEQUENTIAL,
        TUNING,
        PRIOR,
        Field { name: "scaling_factor", about: "s, recipients more as a multiple of those so far; 0 where not given" },
    ],
    outputs: &[Field { name: "power", about: "the chance that the interval excludes zero, if the effect is the target" }],
    refuses: "a standard error or a number of recipients that is not above zero, and other numbers out of range",
    example: r#"{"standard_error": 0.012, "n": 180000, "target_effect": 0.02, "alpha": 0.05, "goal_metrics": 3, "variants": 4, "corrected": true, "sequential": false, "tuning_parameter": 5000, "prior": null, "scaling_factor": 1.7}"#,
    run: |input| {
        typed(input, |running: Running| Ok::<_, Failure>(json!({"power": running.experiment()?.power(running.scaling_factor)?})))
    },
};

pub(super) const MID_EXPERIMENT_SCALING_FACTOR: Method = Method {
    name: "mid_experiment_scaling_factor",
    summary: "how many recipients more a running experiment needs",
    formula: "the smallest s ≥ 0 at which mid_experiment_power reaches target_power^(1/goal_metrics)",
    reference: "as mid_experiment_power; the root is that all of m independent metrics shall be seen",
    inputs: &[
        STANDARD_ERROR,
        SO_FAR,
        TARGET,
        ALPHA,
        GOALS,
        VARIANTS,
        CORRECTED,
        SEQUENTIAL,
        TUNING,
        PRIOR,
        Field { name: "target_power", about: "of all metrics together, between 0 and 1; 0.8 where not given" },
    ],
    outputs: &[
        Field { name: "scaling_factor", about: "recipients more as a multiple of those so far; 0 where there are enough" },
        Field { name: "additional_units", about: "recipients more, not rounded" },
    ],
    refuses: "as mid_experiment_power, and a target effect of zero",
    example: r#"{"standard_error": 0.022, "n": 60000, "target_effect": 0.04, "alpha": 0.05, "goal_metrics": 1, "variants": 2, "corrected": false, "sequential": true, "tuning_parameter": 20000, "prior": null, "target_power": 0.8}"#,
    run: |input| {
        typed(input, |running: Running| {
            let target = running.target_power.unwrap_or_else(default_power);
            let experiment = running.experiment()?;
            let factor = experiment.scaling_factor(target.powf(1.0 / f64::from(running.goal_metrics)))?;
            let additional = factor * running.n;
            if !additional.is_finite() {
                return Err(Degenerate::new("the recipients more that are needed are too many to be a number").into());
            }
            Ok::<_, Failure>(json!({"scaling_factor": factor, "additional_units": additional}))
        })
    },
};
