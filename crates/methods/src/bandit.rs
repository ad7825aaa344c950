//! Bandits: which arm is best, the shares of the next wave, when to stop, and what can be said afterwards.

use serde::Deserialize;
use serde_json::{Value, json};
use stats::adaptive::{
    Wave, WaveArm, adaptive_aipw, adaptive_aipw_mean, adaptive_mad, batched_ols, period_weighted_mean, potential_value_remaining,
    thompson_shares, top_two_shares,
};
use stats::posterior::{EffectPrior, NormalArm, RatePosterior, Standing, effect_posterior, normal_standings, rate_standings};
use stats::{Degenerate, Interval};

use crate::input::{ALPHA, MeanArm, ProportionArm, default_alpha, default_tuning};
use crate::method::{Failure, Field, Method, typed};
use crate::posterior::one;
use crate::summary::{METRIC, Metric, arms, effect_json};

pub(crate) const METHODS: &[Method] = &[
    BEST_ARM_NORMAL,
    BEST_ARM_BETA,
    THOMPSON_WEIGHTS,
    TOP_TWO_WEIGHTS,
    POTENTIAL_VALUE_REMAINING,
    ADAPTIVE_AIPW,
    ADAPTIVE_MAD,
    BATCHED_OLS,
];

const BEST_ARM_NORMAL: Method = Method {
    name: "best_arm_normal",
    summary: "chance of each variant to be best, from normal posteriors",
    formula: "P(i best) = ∫ φ_i ∏_{j≠i} Φ_j; inverse: ∏ (1 − Φ_j)",
    reference: "Thompson, Biometrika 25 (1933)",
    inputs: &[
        Field { name: "variants", about: "[{posterior_mean, posterior_sd ≥ 0}]" },
        Field { name: "inverse", about: "true where lower is better; false where not given" },
    ],
    outputs: &[
        Field { name: "probabilities", about: "chance of each to be best, in the order given" },
        Field { name: "top_two_probabilities", about: "chance of each to be best or second" },
        Field { name: "expected_losses", about: "mean distance of each to the best, in units of the means" },
    ],
    refuses: "no variant, a number that is not finite, and a negative deviation",
    example: r#"{"variants": [{"posterior_mean": 9.5, "posterior_sd": 0.5}, {"posterior_mean": 9.6, "posterior_sd": 0.4}], "inverse": false}"#,
    run: best_arm_normal,
};

const BEST_ARM_BETA: Method = Method {
    name: "best_arm_beta",
    summary: "chance of each variant to have the highest conversion rate, from Beta posteriors",
    formula: "P(i best) = ∫ f_i ∏_{j≠i} F_j over Beta(x + a, n − x + b); inverse: the lowest rate",
    reference: "Thompson, Biometrika 25 (1933)",
    inputs: &[
        Field { name: "variants", about: "[{n, successes}]" },
        Field { name: "prior_alpha", about: "conversions the prior is worth, zero or more; 1 where not given" },
        Field { name: "prior_beta", about: "failures the prior is worth, zero or more; 1 where not given" },
        Field { name: "inverse", about: "true where lower is better; false where not given" },
    ],
    outputs: &[
        Field { name: "probabilities", about: "chance of each to be best, in the order given" },
        Field { name: "top_two_probabilities", about: "chance of each to be best or second" },
        Field { name: "expected_losses", about: "mean distance of each to the best, in rate" },
    ],
    refuses: "no variant, more successes than recipients, and a posterior that is not proper",
    example: r#"{"variants": [{"n": 900, "successes": 57}, {"n": 2200, "successes": 105}], "prior_alpha": 1, "prior_beta": 1}"#,
    run: best_arm_beta,
};

const THOMPSON_WEIGHTS: Method = Method {
    name: "thompson_weights",
    summary: "shares of a bandit's next wave by Thompson sampling, exactly",
    formula: "posterior per arm from N(mean, v/n) and the prior; p = P(best), or P(best or second)/2; weight = f + (1 − K f) p, uniform if K f ≥ 1",
    reference: "Thompson, Biometrika 25 (1933); Russo, COLT (2016)",
    inputs: &[
        METRIC,
        Field { name: "variants", about: "the arms' sums, as the metric asks; n is recipients" },
        Field { name: "prior", about: "{mean, variance > 0} of each arm's mean; none where null or not given" },
        Field { name: "alpha", about: "two-sided error of the intervals; 0.05 where not given" },
        Field { name: "top_two", about: "whether to share by the chance to be best or second; false where not given" },
        Field { name: "inverse", about: "true where lower is better; false where not given" },
        Field { name: "min_weight", about: "smallest share of an arm, between 0 and 1; 0.01 where not given" },
    ],
    outputs: &[
        Field { name: "posterior_means, posterior_sds", about: "of each arm" },
        Field { name: "ci_lower, ci_upper", about: "sample mean ∓ z × posterior deviation, of each arm" },
        Field { name: "best_arm_probabilities", about: "chance of each to be best" },
        Field { name: "weights", about: "shares of the next wave" },
    ],
    refuses: "an arm below two recipients or without variation, and a smallest share outside 0 to 1",
    example: r#"{"metric": "mean", "variants": [{"n": 3260, "sum": 15184.75, "sum_squares": 128372.3401}, {"n": 4762, "sum": 22556.72, "sum_squares": 189249.9748}], "prior": {"mean": 0, "variance": 10000}, "alpha": 0.05, "top_two": false, "inverse": false, "min_weight": 0.01}"#,
    run: thompson_weights,
};

const TOP_TWO_WEIGHTS: Method = Method {
    name: "top_two_weights",
    summary: "shares of a bandit's next wave by top-two Thompson sampling, in closed form",
    formula: "π_a (β + (1 − β) Σ_{j≠a} π_j/(1 − π_j)), π = P(best); then f + (1 − K f) of it",
    reference: "Russo, Simple Bayesian algorithms for best-arm identification, Operations Research 68 (2020)",
    inputs: &[
        Field { name: "variants", about: "[{posterior_mean, posterior_sd ≥ 0}]" },
        Field { name: "first_share", about: "β, how often the best of a draw is sent, between 0 and 1; 0.5 where not given" },
        Field { name: "inverse", about: "true where lower is better; false where not given" },
        Field { name: "min_weight", about: "smallest share of an arm, between 0 and 1; 0 where not given" },
    ],
    outputs: &[
        Field { name: "best_arm_probabilities", about: "chance of each to be best" },
        Field { name: "weights", about: "shares of the next wave" },
    ],
    refuses: "no variant, a number that is not finite, and shares outside 0 to 1",
    example: r#"{"variants": [{"posterior_mean": 9.5, "posterior_sd": 0.5}, {"posterior_mean": 9.6, "posterior_sd": 0.4}, {"posterior_mean": 9.1, "posterior_sd": 0.4}], "first_share": 0.5, "min_weight": 0.05}"#,
    run: top_two_weights,
};

const POTENTIAL_VALUE_REMAINING: Method = Method {
    name: "potential_value_remaining",
    summary: "whether a bandit can stop, because little could still be gained",
    formula: "stop when P((max θ_j − θ_*)/θ_* < threshold) ≥ confidence; exact, as the chance that (1 + threshold) θ_* is best",
    reference: "Scott, A modern Bayesian look at the multi-armed bandit, Applied Stochastic Models in Business and Industry 26 (2010)",
    inputs: &[
        Field { name: "variants", about: "[{posterior_mean, posterior_sd ≥ 0}]" },
        Field { name: "threshold", about: "a fraction of the best, zero or more; 0.01 where not given" },
        Field { name: "confidence", about: "between 0 and 1; 0.95 where not given" },
        Field { name: "inverse", about: "true where lower is better; false where not given" },
    ],
    outputs: &[
        Field { name: "chosen", about: "the variant with the greatest chance to be best, from 0" },
        Field { name: "chance_best", about: "its chance" },
        Field { name: "probability_below_threshold", about: "that less than the threshold remains" },
        Field {
            name: "value_remaining",
            about: "the fraction that remains at most, with the confidence; null where it is not bounded",
        },
        Field { name: "stop", about: "whether to stop" },
    ],
    refuses: "no variant, a best mean that is not above zero, and a confidence outside 0 to 1",
    example: r#"{"variants": [{"posterior_mean": 0.03, "posterior_sd": 0.0004}, {"posterior_mean": 0.031, "posterior_sd": 0.0004}], "threshold": 0.01, "confidence": 0.95}"#,
    run: value_remaining,
};

/// The waves of an adaptive experiment, as the three methods take them.
const WAVES: Field = Field {
    name: "waves",
    about: "[[{propensity, n, sum, sum_squares}]]: per wave and arm (control first) the share assigned and the sums of the outcomes",
};
const COMPARISONS: Field = Field {
    name: "comparisons",
    about: "per arm but control: effect (arm less control), standard_error, statistic, p_value, ci_lower, ci_upper",
};
const MEANS: Field = Field { name: "means", about: "per arm: mean, standard_error, ci_lower, ci_upper" };
const WAVES_REFUSED: &str = "waves with different arms, shares that do not sum to 1, arms that never vary or never meet";
const WAVES_EXAMPLE: &str = r#"{"waves": [[{"propensity": 0.5, "n": 1000, "sum": 30, "sum_squares": 30}, {"propensity": 0.5, "n": 1000, "sum": 41, "sum_squares": 41}], [{"propensity": 0.2, "n": 400, "sum": 11, "sum_squares": 11}, {"propensity": 0.8, "n": 1600, "sum": 60, "sum_squares": 60}]], "alpha": 0.05}"#;

const ADAPTIVE_AIPW: Method = Method {
    name: "adaptive_aipw",
    summary: "means and differences under adaptive shares, by augmented inverse propensity weighting",
    formula: "Γ_a = m_a + 1{A = a}(Y − m_a)/e_a, m_a from earlier waves; averaged with h ∝ √e_a (differences: 1/√(1/e_a + 1/e_0)); normal",
    reference: "Hadad, Hirshberg, Zhan, Wager & Athey, PNAS 118 (2021)",
    inputs: &[WAVES, ALPHA],
    outputs: &[
        MEANS,
        Field {
            name: "period_weighted_means",
            about: "the same by Σ (N_w/N) ȳ_aw; null where a wave has fewer than two recipients of the arm",
        },
        COMPARISONS,
    ],
    refuses: WAVES_REFUSED,
    example: WAVES_EXAMPLE,
    run: run_aipw,
};

const ADAPTIVE_MAD: Method = Method {
    name: "adaptive_mad",
    summary: "differences under adaptive shares that may be watched at every wave (mixture adaptive design)",
    formula: "τ = 1{A = a}Y/e_a − 1{A = 0}Y/e_0 averaged; S = Σ of squares; ± √S/t · √(2(tρ² + 1)/(tρ²) · ln(√(tρ² + 1)/alpha))",
    reference: "Liang & Bojinov, arXiv 2311.05794 (2023)",
    inputs: &[
        WAVES,
        Field {
            name: "tuning_parameter",
            about: "recipients (all arms) at which the sequence is tightest, above 0; 5000 where not given",
        },
        ALPHA,
    ],
    outputs: &[Field {
        name: "comparisons",
        about: "per arm but control, after the last wave: effect, standard_error, p_value, ci_lower, ci_upper; looks: the same after each wave",
    }],
    refuses: "as adaptive_aipw, and an arm with a share of zero: the design keeps every arm above",
    example: WAVES_EXAMPLE,
    run: run_mad,
};

const BATCHED_OLS: Method = Method {
    name: "batched_ols",
    summary: "differences under adaptive shares, by standardising each wave on its own",
    formula: "Δ̂ = Σ Δ̂_w/SE_w / Σ 1/SE_w, SE = √W/Σ(1/SE_w) over W waves; normal",
    reference: "Zhang, Janson & Murphy, Inference for batched bandits, NeurIPS (2020)",
    inputs: &[WAVES, ALPHA],
    outputs: &[COMPARISONS],
    refuses: WAVES_REFUSED,
    example: WAVES_EXAMPLE,
    run: run_batched,
};

/// A variant as its posterior.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Posterior {
    posterior_mean: f64,
    posterior_sd: f64,
}

fn normal_arms(variants: &[Posterior]) -> Vec<NormalArm> {
    variants.iter().map(|variant| NormalArm { mean: variant.posterior_mean, sd: variant.posterior_sd }).collect()
}

fn standings_json(standings: &[Standing]) -> Value {
    json!({
        "probabilities": standings.iter().map(|standing| standing.best).collect::<Vec<_>>(),
        "top_two_probabilities": standings.iter().map(|standing| standing.top_two).collect::<Vec<_>>(),
        "expected_losses": standings.iter().map(|standing| standing.expected_loss).collect::<Vec<_>>(),
    })
}

fn best_arm_normal(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        variants: Vec<Posterior>,
        #[serde(default)]
        inverse: bool,
    }
    typed(input, |Input { variants, inverse }| {
        Ok::<_, Failure>(standings_json(&normal_standings(&normal_arms(&variants), inverse)?))
    })
}

fn best_arm_beta(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        variants: Vec<ProportionArm>,
        #[serde(default = "one")]
        prior_alpha: f64,
        #[serde(default = "one")]
        prior_beta: f64,
        #[serde(default)]
        inverse: bool,
    }
    typed(input, |Input { variants, prior_alpha, prior_beta, inverse }| {
        let posterior = |(number, arm): (usize, &ProportionArm)| {
            let RatePosterior { a, b } =
                RatePosterior::new(&format!("variant {}", number + 1), arm.proportion(), prior_alpha, prior_beta)?;
            // The lowest rate is the highest rate of failures.
            Ok(if inverse { (b, a) } else { (a, b) })
        };
        let posteriors: Vec<(f64, f64)> = variants.iter().enumerate().map(posterior).collect::<Result<_, Degenerate>>()?;
        Ok::<_, Failure>(standings_json(&rate_standings(&posteriors)?))
    })
}

fn thompson_weights(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        metric: Metric,
        variants: Vec<Value>,
        #[serde(default)]
        prior: Option<EffectPrior>,
        #[serde(default = "default_alpha")]
        alpha: f64,
        #[serde(default)]
        top_two: bool,
        #[serde(default)]
        inverse: bool,
        #[serde(default = "one_percent")]
        min_weight: f64,
    }
    fn one_percent() -> f64 {
        0.01
    }
    typed(input, |Input { metric, variants, prior, alpha, top_two, inverse, min_weight }| {
        let named: Vec<(String, &Value)> = variants.iter().enumerate().map(|(i, arm)| (format!("variants[{i}]"), arm)).collect();
        let (mut posteriors, mut intervals) = (Vec::new(), Vec::new());
        for ((name, _), arm) in named.iter().zip(arms(metric, &named)?) {
            let standard_error = (arm.variance_per_unit / arm.count as f64).sqrt();
            let posterior = effect_posterior(arm.estimate, standard_error, prior)
                .map_err(|error| Degenerate::new(format!("of {name}: {}", error.why)))?;
            intervals.push(stats::posterior::EffectPosterior { mean: arm.estimate, ..posterior }.interval(alpha)?);
            posteriors.push(NormalArm { mean: posterior.mean, sd: posterior.sd });
        }
        let standings = normal_standings(&posteriors, inverse)?;
        let best: Vec<f64> = standings.iter().map(|standing| standing.best).collect();
        // With one arm there is no second to share the places with.
        let places = posteriors.len().min(2) as f64;
        let shares = if top_two { standings.iter().map(|standing| standing.top_two / places).collect() } else { best.clone() };
        Ok::<_, Failure>(json!({
            "posterior_means": posteriors.iter().map(|arm| arm.mean).collect::<Vec<_>>(),
            "posterior_sds": posteriors.iter().map(|arm| arm.sd).collect::<Vec<_>>(),
            "ci_lower": intervals.iter().map(|interval| interval.lower).collect::<Vec<_>>(),
            "ci_upper": intervals.iter().map(|interval| interval.upper).collect::<Vec<_>>(),
            "best_arm_probabilities": best,
            "weights": thompson_shares(&shares, min_weight)?,
        }))
    })
}

fn top_two_weights(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        variants: Vec<Posterior>,
        #[serde(default = "half")]
        first_share: f64,
        #[serde(default)]
        inverse: bool,
        #[serde(default)]
        min_weight: f64,
    }
    fn half() -> f64 {
        0.5
    }
    typed(input, |Input { variants, first_share, inverse, min_weight }| {
        let standings = normal_standings(&normal_arms(&variants), inverse)?;
        let best: Vec<f64> = standings.iter().map(|standing| standing.best).collect();
        let weights = thompson_shares(&top_two_shares(&best, first_share)?, min_weight)?;
        Ok::<_, Failure>(json!({"best_arm_probabilities": best, "weights": weights}))
    })
}

fn value_remaining(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        variants: Vec<Posterior>,
        #[serde(default = "percent")]
        threshold: f64,
        #[serde(default = "confident")]
        confidence: f64,
        #[serde(default)]
        inverse: bool,
    }
    fn percent() -> f64 {
        0.01
    }
    fn confident() -> f64 {
        0.95
    }
    typed(input, |Input { variants, threshold, confidence, inverse }| {
        Ok::<_, Failure>(potential_value_remaining(&normal_arms(&variants), inverse, threshold, confidence)?)
    })
}

/// An arm within a wave, as people write it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct SharedArm {
    propensity: f64,
    n: u64,
    sum: f64,
    sum_squares: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WavesInput {
    waves: Vec<Vec<SharedArm>>,
    #[serde(default = "default_tuning")]
    tuning_parameter: f64,
    #[serde(default = "default_alpha")]
    alpha: f64,
}

impl WavesInput {
    fn waves(&self) -> Result<Vec<Wave>, Degenerate> {
        let arm = |arm: &SharedArm| {
            let moments = MeanArm { n: arm.n, sum: arm.sum, sum_squares: arm.sum_squares }.moments()?;
            Ok(WaveArm { propensity: arm.propensity, moments })
        };
        self.waves.iter().map(|arms| Ok(Wave { arms: arms.iter().map(arm).collect::<Result<_, Degenerate>>()? })).collect()
    }

    fn arms(&self) -> usize {
        self.waves.first().map_or(0, Vec::len)
    }
}

/// Compares every arm with control.
fn compare(waves: &WavesInput, compare: impl Fn(&[Wave], usize) -> Result<Value, Degenerate>) -> Result<Vec<Value>, Degenerate> {
    let moments = waves.waves()?;
    if waves.arms() < 2 {
        return Err(Degenerate::new("there must be at least two arms in every wave"));
    }
    (1..waves.arms()).map(|arm| compare(&moments, arm)).collect()
}

fn mean_json(mean: &stats::adaptive::ArmMean) -> Value {
    let Interval { lower, upper } = mean.interval;
    json!({"mean": mean.mean, "standard_error": mean.standard_error, "ci_lower": lower, "ci_upper": upper})
}

fn run_aipw(input: &Value) -> Result<Value, Failure> {
    typed(input, |input: WavesInput| {
        let comparisons = compare(&input, |waves, arm| Ok(effect_json(&adaptive_aipw(waves, arm, 0, input.alpha)?)))?;
        let waves = input.waves()?;
        let mean = |arm: usize| Ok(mean_json(&adaptive_aipw_mean(&waves, arm, input.alpha)?));
        let means = (0..input.arms()).map(mean).collect::<Result<Vec<_>, Degenerate>>()?;
        let period = |arm: usize| period_weighted_mean(&waves, arm, input.alpha).ok().map(|mean| mean_json(&mean));
        let periods: Vec<Option<Value>> = (0..input.arms()).map(period).collect();
        Ok::<_, Failure>(json!({"means": means, "period_weighted_means": periods, "comparisons": comparisons}))
    })
}

fn run_batched(input: &Value) -> Result<Value, Failure> {
    typed(input, |input: WavesInput| {
        let comparisons = compare(&input, |waves, arm| Ok(effect_json(&batched_ols(waves, arm, 0, input.alpha)?)))?;
        Ok::<_, Failure>(json!({"comparisons": comparisons}))
    })
}

fn run_mad(input: &Value) -> Result<Value, Failure> {
    let look = |look: &stats::adaptive::MadLook| {
        json!({
            "effect": look.difference, "standard_error": look.standard_error, "p_value": look.p_value,
            "ci_lower": look.interval.lower, "ci_upper": look.interval.upper,
        })
    };
    typed(input, |input: WavesInput| {
        let comparisons = compare(&input, |waves, arm| {
            let looks = adaptive_mad(waves, arm, 0, input.tuning_parameter, input.alpha)?;
            let mut last = looks.last().map_or(Value::Null, look);
            last["looks"] = looks.iter().map(look).collect();
            Ok(last)
        })?;
        Ok::<_, Failure>(json!({"comparisons": comparisons}))
    })
}
