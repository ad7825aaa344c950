//! Posteriors of effects and rates.

use serde::Deserialize;
use serde_json::{Value, json};
use stats::posterior::{
    EffectPosterior, EffectPrior, NormalArm, RatePosterior, Stakes, effect_posterior, normal_standings, rate_race,
};
use stats::{Degenerate, Effect};

use crate::input::{Difference, ProportionArm, default_alpha};
use crate::method::{Failure, Field, Method, typed};
use crate::summary::{Compared, METRIC, Metric, compare};

pub(crate) const METHODS: &[Method] = &[BAYES_NORMAL, BETA_POSTERIOR, BETA_CHANCE_TO_WIN, EXPECTED_LOSS];

const BAYES_NORMAL: Method = Method {
    name: "bayes_normal",
    summary: "posterior of an effect with a normal prior: chance to win, interval, and what a wrong choice costs",
    formula: "N(effect, se²) times the prior; precision-weighted; chance = P(Δ > 0); risk_control = E[max(Δ, 0)], risk_treatment = E[max(−Δ, 0)]",
    reference: "Gelman et al., Bayesian Data Analysis, ch. 2; Stucchio, Bayesian A/B testing at VWO (2015)",
    inputs: &[
        METRIC,
        Field { name: "control", about: "the arm's sums, as the metric asks; n is recipients" },
        Field { name: "treatment", about: "the same for the variant" },
        Field { name: "difference", about: "absolute or relative (a fraction of control's mean)" },
        Field { name: "alpha", about: "two-sided error of the interval, between 0 and 1; 0.05 where not given" },
        Field {
            name: "prior",
            about: "{mean, variance > 0} of the relative effect, rescaled for an absolute one; none where null or not given",
        },
        Field { name: "inverse", about: "true where lower is better; false where not given" },
    ],
    outputs: &[
        Field { name: "effect, standard_error", about: "of the data alone, by the fixed-horizon formulas" },
        Field { name: "posterior_mean, posterior_sd", about: "the forecast of the effect and its spread" },
        Field { name: "chance_to_win", about: "probability that the treatment is better" },
        Field { name: "ci_lower, ci_upper", about: "central interval of the posterior" },
        Field { name: "risk_control, risk_treatment", about: "expected loss of choosing that arm, in units of the effect" },
    ],
    refuses: "arms below two recipients, no variation, a baseline of zero for a relative effect or a prior, a prior variance not above zero",
    example: r#"{"metric": "proportion", "control": {"n": 10000, "successes": 300}, "treatment": {"n": 10000, "successes": 345}, "difference": "relative", "alpha": 0.05, "prior": {"mean": 0, "variance": 0.01}, "inverse": false}"#,
    run: bayes_normal,
};

const BETA_POSTERIOR: Method = Method {
    name: "beta_posterior",
    summary: "posterior of a conversion rate with a Beta prior",
    formula: "Beta(x + a, n − x + b); mean and equal-tailed quantiles",
    reference: "Gelman et al., Bayesian Data Analysis, ch. 2",
    inputs: &[
        Field { name: "n", about: "recipients" },
        Field { name: "successes", about: "how many of them converted" },
        Field { name: "prior_alpha", about: "conversions the prior is worth, zero or more; 1 where not given" },
        Field { name: "prior_beta", about: "failures the prior is worth, zero or more; 1 where not given" },
        Field { name: "interval", about: "probability inside the interval, between 0 and 1; 0.95 where not given" },
    ],
    outputs: &[
        Field { name: "posterior_mean", about: "a rate" },
        Field { name: "ci_lower, ci_upper", about: "central interval of the rate" },
    ],
    refuses: "more successes than recipients, and a posterior that is not proper",
    example: r#"{"n": 1000, "successes": 31, "prior_alpha": 1, "prior_beta": 1, "interval": 0.95}"#,
    run: beta_posterior,
};

const BETA_CHANCE_TO_WIN: Method = Method {
    name: "beta_chance_to_win",
    summary: "chance that the treatment's conversion rate is higher, and what a wrong choice costs, exactly",
    formula: "P(B > A) = ∫ f_B F_A; loss of the treatment ∫ F_B (1 − F_A), of control ∫ F_A (1 − F_B), over Beta(x + a, n − x + b)",
    reference: "Stucchio, Bayesian A/B testing at VWO (2015)",
    inputs: &[
        Field { name: "control", about: "{n, successes}" },
        Field { name: "treatment", about: "{n, successes}" },
        Field { name: "prior_alpha", about: "conversions the prior is worth, zero or more; 1 where not given" },
        Field { name: "prior_beta", about: "failures the prior is worth, zero or more; 1 where not given" },
    ],
    outputs: &[
        Field { name: "chance_to_win", about: "probability that the treatment's rate is higher" },
        Field { name: "expected_loss_treatment", about: "E[max(pA − pB, 0)], in rate" },
        Field { name: "expected_loss_control", about: "E[max(pB − pA, 0)], in rate" },
    ],
    refuses: "more successes than recipients, and a posterior that is not proper",
    example: r#"{"control": {"n": 1000, "successes": 31}, "treatment": {"n": 1000, "successes": 40}, "prior_alpha": 1, "prior_beta": 1}"#,
    run: beta_chance_to_win,
};

const EXPECTED_LOSS: Method = Method {
    name: "expected_loss",
    summary: "which of several variants to choose by expected profit, and what a wrong choice costs in money",
    formula: "posterior of each; profit per recipient = value × mean − cost; loss of i = E[max_j profit_j − profit_i] × audience",
    reference: "Stucchio, Bayesian A/B testing at VWO (2015); Thompson, Biometrika 25 (1933)",
    inputs: &[
        Field {
            name: "variants",
            about: "[{effect, standard_error ≥ 0, extra_cost}]: independent estimates in one unit; control may be one; extra_cost is money per recipient, 0 where not given",
        },
        Field {
            name: "prior",
            about: "{mean, variance > 0} of each true effect, in the same unit; none where null or not given",
        },
        Field { name: "audience", about: "recipients the choice is for; 1 where not given" },
        Field { name: "value_per_unit", about: "money per recipient for one unit of effect; 1 where not given" },
        Field { name: "inverse", about: "true where lower is better; false where not given" },
    ],
    outputs: &[
        Field { name: "choice", about: "the variant with the greatest expected profit, from 0" },
        Field { name: "forecasts", about: "shrunken effect of each" },
        Field { name: "forecast_sds", about: "their standard deviations" },
        Field { name: "expected_profits", about: "money over the whole audience" },
        Field { name: "expected_losses", about: "money over the whole audience lost on average by choosing each" },
        Field { name: "best_arm_probabilities", about: "chance that each has the greatest profit" },
    ],
    refuses: "no variant, a number that is not finite, and a negative audience or value",
    example: r#"{"variants": [{"effect": 0, "standard_error": 0}, {"effect": 0.02, "standard_error": 0.03}], "prior": {"mean": 0, "variance": 0.0025}, "audience": 100000, "value_per_unit": 2.5}"#,
    run: expected_loss,
};

fn bayes_normal(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        metric: Metric,
        control: Value,
        treatment: Value,
        difference: Difference,
        #[serde(default = "default_alpha")]
        alpha: f64,
        #[serde(default)]
        prior: Option<EffectPrior>,
        #[serde(default)]
        inverse: bool,
    }
    typed(input, |Input { metric, control, treatment, difference, alpha, prior, inverse }| {
        let Compared { effect: Effect { difference: effect, standard_error, .. }, baseline, .. } =
            compare(metric, difference, &control, &treatment, alpha)?;
        let prior = match difference {
            Difference::Absolute => prior.map(|prior| prior.of_absolute(baseline)),
            Difference::Relative => prior,
        };
        let posterior = effect_posterior(effect, standard_error, prior)?;
        let (interval, loss) = (posterior.interval(alpha)?, posterior.expected_loss(inverse));
        Ok(json!({
            "effect": effect, "standard_error": standard_error,
            "posterior_mean": posterior.mean, "posterior_sd": posterior.sd, "chance_to_win": posterior.chance_to_win(inverse),
            "ci_lower": interval.lower, "ci_upper": interval.upper,
            "risk_control": loss.control, "risk_treatment": loss.treatment,
        }))
    })
}

/// What a Beta prior is worth where none is given: one success and one failure, the uniform distribution.
pub(crate) fn one() -> f64 {
    1.0
}

fn beta_posterior(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        n: u64,
        successes: u64,
        #[serde(default = "one")]
        prior_alpha: f64,
        #[serde(default = "one")]
        prior_beta: f64,
        #[serde(default = "inside")]
        interval: f64,
    }
    fn inside() -> f64 {
        0.95
    }
    typed(input, |Input { n, successes, prior_alpha, prior_beta, interval }| {
        if !(interval > 0.0 && interval < 1.0) {
            return Err(Failure::Input {
                field: "interval".to_owned(),
                message: format!("is {interval}; it must lie between 0 and 1"),
            });
        }
        let arm = ProportionArm { n, successes }.proportion();
        let posterior = RatePosterior::new("the rate", arm, prior_alpha, prior_beta)?;
        let ends = posterior.interval(1.0 - interval)?;
        Ok(json!({"posterior_mean": posterior.mean(), "ci_lower": ends.lower, "ci_upper": ends.upper}))
    })
}

fn beta_chance_to_win(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        control: ProportionArm,
        treatment: ProportionArm,
        #[serde(default = "one")]
        prior_alpha: f64,
        #[serde(default = "one")]
        prior_beta: f64,
    }
    typed(input, |Input { control, treatment, prior_alpha, prior_beta }| {
        let posterior = |name: &str, arm: ProportionArm| RatePosterior::new(name, arm.proportion(), prior_alpha, prior_beta);
        let race = rate_race(posterior("control", control)?, posterior("the treatment", treatment)?)?;
        Ok::<_, Failure>(json!(race))
    })
}

fn expected_loss(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Variant {
        effect: f64,
        standard_error: f64,
        #[serde(default)]
        extra_cost: f64,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        variants: Vec<Variant>,
        #[serde(default)]
        prior: Option<EffectPrior>,
        #[serde(default = "one")]
        audience: f64,
        #[serde(default = "one")]
        value_per_unit: f64,
        #[serde(default)]
        inverse: bool,
    }
    typed(input, |Input { variants, prior, audience, value_per_unit, inverse }| {
        let (mut forecasts, mut profits) = (Vec::new(), Vec::new());
        for Variant { effect, standard_error, extra_cost } in variants {
            // A variant that is known, such as control at zero, needs no prior.
            let known = EffectPosterior { mean: effect, sd: 0.0 };
            let forecast = if standard_error == 0.0 { known } else { effect_posterior(effect, standard_error, prior)? };
            forecasts.push(forecast);
            profits.push(forecast.at_stake(Stakes { audience, value_per_unit, extra_cost }, inverse)?.0);
        }
        let arms: Vec<NormalArm> = profits.iter().map(|profit| NormalArm { mean: profit.mean, sd: profit.sd }).collect();
        let standings = normal_standings(&arms, false)?;
        let choice = (0..profits.len()).fold(0, |best, i| if profits[i].mean > profits[best].mean { i } else { best });
        let finite = |value: f64| {
            if value.is_finite() { Ok(value) } else { Err(Degenerate::new("the money at stake is not a finite number")) }
        };
        let money = |values: Vec<f64>| values.into_iter().map(|value| finite(value * audience)).collect::<Result<Vec<f64>, _>>();
        Ok::<_, Failure>(json!({
            "choice": choice,
            "forecasts": forecasts.iter().map(|forecast| forecast.mean).collect::<Vec<_>>(),
            "forecast_sds": forecasts.iter().map(|forecast| forecast.sd).collect::<Vec<_>>(),
            "expected_profits": money(profits.iter().map(|profit| profit.mean).collect())?,
            "expected_losses": money(standings.iter().map(|standing| standing.expected_loss).collect())?,
            "best_arm_probabilities": standings.iter().map(|standing| standing.best).collect::<Vec<_>>(),
        }))
    })
}
