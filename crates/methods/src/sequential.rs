//! Always-valid.

use serde::Deserialize;
use serde_json::{Value, json};
use stats::sequential::likelihood::{mixing_threshold, mixture_sequential_test, optimal_mixing_variance};
use stats::sequential::regression::anytime_t;
use stats::sequential::{Comparison, ConfidenceSequence, OneSidedSequence, compare_pair, confidence, jackknife, mixture};
use stats::{Alternative, Degenerate, Moments};

use crate::input::{ALPHA, Difference, MeanArm, default_alpha, default_tuning};
use crate::method::{Failure, Field, Method, typed};
use crate::summary::{METRIC, Metric, compare, pair};

const SEQUENCE_REFERENCE: &str = "Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, Time-uniform central limit theory and asymptotic confidence sequences, Annals of Statistics 52 (2024), arXiv 2103.06476v7";

const CONTROL: Field = Field { name: "control", about: "the arm of control, in the form of the metric; n counts recipients" };
const TREATMENT: Field = Field { name: "treatment", about: "the same for the variant" };
const DIFFERENCE: Field = Field { name: "difference", about: "absolute, or relative to the absolute value of control" };
const TUNING: Field = Field {
    name: "tuning_parameter",
    about: "recipients (both arms together) at which the interval is to be narrowest, more than zero; 5000 where not given",
};
const EFFECT: Field = Field { name: "effect", about: "variant minus control, over |control| where relative" };
const ERROR: Field = Field { name: "standard_error", about: "of the effect, as at a fixed sample size" };
const RHO: Field = Field { name: "rho", about: "the tuning, per root of a recipient" };

pub(crate) const METHODS: &[Method] = &[
    Method {
        name: "sequential_rho",
        summary: "the tuning of a confidence sequence that is narrowest at a given number of recipients",
        formula: "rho = sqrt((-2 ln a + ln(1 - 2 ln a)) / N), a = alpha (two-sided) or 2 alpha (one-sided)",
        reference: SEQUENCE_REFERENCE,
        inputs: &[ALPHA, TUNING, Field { name: "sided", about: "1 or 2; 2 where not given. One-sided alpha must be below 0.5" }],
        outputs: &[RHO],
        refuses: "alpha outside 0 to 1 (one-sided 0 to 0.5), or a tuning that is not positive",
        example: r#"{"alpha": 0.05, "tuning_parameter": 5000, "sided": 2}"#,
        run: rho,
    },
    Method {
        name: "sequential_cs_two_sided",
        summary: "effect with an interval and a p-value that hold at every look",
        formula: "n = nA + nB; half = se sqrt((1 + 1/x)(ln(1 + x) - 2 ln alpha)), x = n rho²; ln e = z² x / (2(1 + x)) - ln(1 + x)/2; p = min(1, 1/e)",
        reference: SEQUENCE_REFERENCE,
        inputs: &[METRIC, CONTROL, TREATMENT, DIFFERENCE, ALPHA, TUNING],
        outputs: &[
            EFFECT,
            ERROR,
            RHO,
            Field { name: "log_e_value", about: "natural logarithm of the e-value against no effect" },
            Field { name: "p_value", about: "two-sided, valid at every look" },
            Field { name: "ci_lower, ci_upper", about: "of the effect, valid at all looks together" },
        ],
        refuses: "an arm below two recipients, no variation, a control of zero where relative, or a tuning that is not positive",
        example: r#"{"metric": "mean", "control": {"n": 3000, "sum": 1396.87, "sum_squares": 52377.9767}, "treatment": {"n": 3461, "sum": 2422.7, "sum_squares": 134698.29}, "difference": "relative", "alpha": 0.05, "tuning_parameter": 1000}"#,
        run: two_sided,
    },
    Method {
        name: "sequential_cs_one_sided",
        summary: "effect with a bound on one side that holds at every look",
        formula: "distance = se sqrt(2 (1 + 1/x) ln(1 + sqrt(1 + x)/(2 alpha))), x = n rho², rho one-sided; p = the alpha at which the bound is zero with rho kept, clamped to [1e-5, 0.4999]",
        reference: SEQUENCE_REFERENCE,
        inputs: &[
            METRIC,
            CONTROL,
            TREATMENT,
            DIFFERENCE,
            Field { name: "alpha", about: "one-sided error, between 0 and 0.5; 0.05 where not given" },
            TUNING,
            Field { name: "alternative", about: "greater or less" },
        ],
        outputs: &[
            EFFECT,
            ERROR,
            RHO,
            Field { name: "p_value", about: "one-sided, valid at every look, between 1e-5 and 0.4999" },
            Field { name: "bound", about: "lower for greater, upper for less" },
        ],
        refuses: "where sequential_cs_two_sided refuses, an alpha of one half or more, or a two-sided alternative",
        example: r#"{"metric": "proportion", "control": {"n": 3191, "successes": 1307}, "treatment": {"n": 3169, "successes": 1168}, "difference": "relative", "alpha": 0.05, "tuning_parameter": 20000, "alternative": "less"}"#,
        run: one_sided,
    },
    Method {
        name: "fieller_sequence",
        summary: "absolute and relative difference with intervals that hold at every look and never disagree",
        formula: "relative: {ρ : (mB − ρ mA)² ≤ k² (vB + ρ² vA)}, lift = ρ − 1, with k the multiplier of the absolute sequence",
        reference: "Fieller, Some problems in interval estimation, JRSS B 16 (1954), with the multiplier of Waudby-Smith et al., arXiv 2103.06476v7",
        inputs: &[
            Field {
                name: "metric",
                about: "mean, proportion, ratio or cuped, with arms as in sequential_cs_two_sided; mean where not given",
            },
            CONTROL,
            TREATMENT,
            ALPHA,
            TUNING,
        ],
        outputs: &[
            Field { name: "effect", about: "variant minus control" },
            Field { name: "standard_error", about: "of the effect" },
            Field { name: "multiplier", about: "half width of the interval in standard errors" },
            Field { name: "log_e_value", about: "natural logarithm of the e-value against no effect" },
            Field { name: "p_value", about: "two-sided, valid at every look; the same for both differences" },
            Field { name: "ci_lower, ci_upper", about: "of the effect" },
            Field {
                name: "relative_effect, relative_ci_lower, relative_ci_upper",
                about: "of the lift, a fraction; null where not identifiable yet",
            },
            Field { name: "relative_why", about: "why the lift is not identifiable yet, else null" },
        ],
        refuses: "an arm below two recipients, no variation in either arm, or a tuning that is not positive",
        example: r#"{"control": {"n": 3000, "sum": 1396.87, "sum_squares": 52377.9767}, "treatment": {"n": 3461, "sum": 2422.7, "sum_squares": 134698.29}, "alpha": 0.05, "tuning_parameter": 1000}"#,
        run: fieller_sequence,
    },
    Method {
        name: "normal_mixture_bound",
        summary: "the boundary that a sum of known accumulated variance ever crosses with chance alpha",
        formula: "two-sided sqrt((v + r)(ln(1 + v/r) + 2 ln(1/alpha))); one-sided the s with 2 sqrt(r/(v + r)) exp(s²/(2(v + r))) Phi(s/sqrt(v + r)) = 1/alpha; r = v_opt/(2 ln(1/a) + ln(1 + 2 ln(1/a))), a = alpha or 2 alpha",
        reference: "Howard, Ramdas, McAuliffe & Sekhon, Time-uniform, nonparametric, nonasymptotic confidence sequences, Annals of Statistics 49 (2021)",
        inputs: &[
            Field { name: "v", about: "accumulated variance of the sum, zero or more" },
            ALPHA,
            Field { name: "v_opt", about: "accumulated variance at which the boundary is lowest, more than zero" },
            Field { name: "sided", about: "1 or 2; 2 where not given. One-sided alpha must be below 0.5" },
        ],
        outputs: &[Field { name: "bound", about: "on the sum" }],
        refuses: "a negative v, a v_opt that is not positive, or alpha outside 0 to 1 (one-sided 0 to 0.5)",
        example: r#"{"v": 4937.053, "alpha": 0.05, "v_opt": 5000, "sided": 2}"#,
        run: normal_mixture,
    },
    Method {
        name: "msprt",
        summary: "the mixture sequential probability ratio test of a difference",
        formula: "Λ = sqrt(V/(V + τ²)) exp(τ² Δ²/(2V(V + τ²))), V = se²; p = min(1, 1/Λ); τ² = σ² Φ(−b)/(φ(b)/b − Φ(−b)), b = 2 ln(1/alpha)/sqrt(M σ²), where not given",
        reference: "Johari, Koomen, Pekelis & Walsh, Always valid inference: continuous monitoring of A/B tests, Operations Research 70 (2022)",
        inputs: &[
            Field { name: "effect", about: "the difference, less the one under the null hypothesis" },
            Field { name: "standard_error", about: "of the effect, more than zero; sqrt(2 σ²/n) for two arms of n" },
            Field {
                name: "mixing_variance",
                about: "τ², the variance of effects, more than zero; or give outcome_variance and units_max",
            },
            Field { name: "outcome_variance", about: "σ², the variance per recipient" },
            Field { name: "units_max", about: "M, the largest number of recipients" },
            ALPHA,
        ],
        outputs: &[
            Field { name: "log_likelihood_ratio", about: "ln Λ" },
            Field { name: "p_value", about: "two-sided, valid at every look" },
            Field { name: "ci_lower, ci_upper", about: "of the effect, valid at all looks together" },
            Field { name: "mixing_variance", about: "τ²" },
        ],
        refuses: "a standard error or a variance that is not positive, or neither τ² nor what it is computed from",
        example: r#"{"effect": 0.3, "standard_error": 0.1414213562373095, "mixing_variance": 0.1, "alpha": 0.05}"#,
        run: msprt,
    },
    Method {
        name: "anytime_t",
        summary: "the t test of a regression coefficient that is valid at every look",
        formula: "ln e = ½ ln r + ½ (ν + 1)(ln(1 + t²/ν) − ln(1 + r t²/ν)), r = g/(g + n); p = min(1, 1/e)",
        reference: "Lindon, Ham, Tingley & Bojinov, Anytime-valid linear models and regression adjusted causal inference in randomized experiments, arXiv 2210.08589",
        inputs: &[
            Field { name: "coefficient", about: "the estimate" },
            Field { name: "standard_error", about: "of the coefficient, more than zero" },
            Field { name: "degrees_of_freedom", about: "of the residuals, more than zero" },
            Field { name: "n", about: "observations so far, more than zero" },
            Field { name: "g", about: "tuning in observations, more than zero; 1 where not given" },
            ALPHA,
        ],
        outputs: &[
            Field { name: "log_e_value", about: "natural logarithm of the e-value" },
            Field { name: "p_value", about: "two-sided, valid at every look" },
            Field { name: "ci_lower, ci_upper", about: "of the coefficient; null while there are too few observations" },
        ],
        refuses: "a number that is not finite or a standard error, degrees of freedom, n or g that is not positive",
        example: r#"{"coefficient": 2.5, "standard_error": 1, "degrees_of_freedom": 100, "n": 102, "g": 1, "alpha": 0.05}"#,
        run: anytime,
    },
    Method {
        name: "jackknife_difference",
        summary: "the difference of two means with a delete-a-group jackknife error, valid where one recipient has many rows",
        formula: "variance = (G − 1)/G Σ (θ(g) − mean θ)², θ(g) the difference without group g of G",
        reference: "Kott, The delete-a-group jackknife, Journal of Official Statistics 17 (2001)",
        inputs: &[
            Field {
                name: "groups",
                about: "two or more of {control, treatment}, each {n, sum, sum_squares}; recipients dealt into groups by a hash",
            },
            DIFFERENCE,
        ],
        outputs: &[
            EFFECT,
            Field { name: "standard_error", about: "by the jackknife" },
            Field { name: "degrees_of_freedom", about: "groups less one" },
        ],
        refuses: "fewer than two groups, an arm that is empty without one of them, or a control of zero where relative",
        example: r#"{"difference": "absolute", "groups": [{"control": {"n": 2, "sum": 3, "sum_squares": 5}, "treatment": {"n": 2, "sum": 5, "sum_squares": 13}}, {"control": {"n": 2, "sum": 4, "sum_squares": 8}, "treatment": {"n": 2, "sum": 4, "sum_squares": 10}}, {"control": {"n": 2, "sum": 2, "sum_squares": 4}, "treatment": {"n": 2, "sum": 6, "sum_squares": 18}}]}"#,
        run: jackknife_difference,
    },
];

/// One or two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "f64")]
pub(crate) enum Sided {
    One,
    #[default]
    Two,
}

impl TryFrom<f64> for Sided {
    type Error = String;

    fn try_from(sided: f64) -> Result<Self, String> {
        match sided {
            1.0 => Ok(Self::One),
            2.0 => Ok(Self::Two),
            _ => Err(format!("{sided} sides; must be 1 or 2")),
        }
    }
}

fn rho(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        #[serde(default = "default_alpha")]
        alpha: f64,
        #[serde(default = "default_tuning")]
        tuning_parameter: f64,
        #[serde(default)]
        sided: Sided,
    }
    typed(input, |Input { alpha, tuning_parameter, sided }| {
        let rho = match sided {
            Sided::One => confidence::rho_one_sided(alpha, tuning_parameter)?,
            Sided::Two => confidence::rho(alpha, tuning_parameter)?,
        };
        Ok::<_, Failure>(json!({"rho": rho}))
    })
}

/// The arms of a comparison in the form of a metric.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sequence {
    metric: Metric,
    control: Value,
    treatment: Value,
    difference: Difference,
    #[serde(default = "default_alpha")]
    alpha: f64,
    #[serde(default = "default_tuning")]
    tuning_parameter: f64,
    #[serde(default)]
    alternative: Alternative,
}

impl Sequence {
    /// With its standard error as at a fixed sample size, and the recipients of both arms.
    fn effect(&self) -> Result<(f64, f64, f64), Failure> {
        let found = compare(self.metric, self.difference, &self.control, &self.treatment, self.alpha)?;
        Ok((found.effect.difference, found.effect.standard_error, found.units))
    }
}

fn two_sided(input: &Value) -> Result<Value, Failure> {
    typed(input, |input: Sequence| {
        if input.alternative != Alternative::TwoSided {
            let message = "must be two-sided; a bound on one side is sequential_cs_one_sided".to_owned();
            return Err(Failure::Input { field: "alternative".to_owned(), message });
        }
        let (effect, standard_error, units) = input.effect()?;
        let sequence = ConfidenceSequence::new(effect, standard_error, units, input.alpha, input.tuning_parameter)?;
        Ok(json!({
            "effect": effect, "standard_error": standard_error, "rho": sequence.rho, "log_e_value": sequence.log_e_value,
            "p_value": sequence.p_value, "ci_lower": sequence.interval.lower, "ci_upper": sequence.interval.upper,
        }))
    })
}

fn one_sided(input: &Value) -> Result<Value, Failure> {
    typed(input, |input: Sequence| {
        let (effect, standard_error, units) = input.effect()?;
        let Sequence { alpha, tuning_parameter, alternative, .. } = input;
        let sequence = OneSidedSequence::new(effect, standard_error, units, alpha, tuning_parameter, alternative)?;
        Ok::<_, Failure>(json!({
            "effect": effect, "standard_error": standard_error, "rho": sequence.rho,
            "p_value": sequence.p_value.clamp(1e-5, 0.4999), "bound": sequence.bound,
        }))
    })
}

fn fieller_sequence(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        #[serde(default)]
        metric: Metric,
        control: Value,
        treatment: Value,
        #[serde(default = "default_alpha")]
        alpha: f64,
        #[serde(default = "default_tuning")]
        tuning_parameter: f64,
    }
    typed(input, |input: Input| {
        let (pair, units) = pair(input.metric, &input.control, &input.treatment)?;
        let Comparison { absolute, relative } = compare_pair(&pair, units, input.tuning_parameter, input.alpha)?;
        let lift = relative.as_ref().ok();
        Ok(json!({
            "effect": absolute.difference, "standard_error": absolute.standard_error, "multiplier": absolute.multiplier,
            "log_e_value": absolute.log_e_value, "p_value": absolute.p_value,
            "ci_lower": absolute.interval.lower, "ci_upper": absolute.interval.upper,
            "relative_effect": lift.map(|lift| lift.relative),
            "relative_ci_lower": lift.and_then(|lift| lift.interval.lower),
            "relative_ci_upper": lift.and_then(|lift| lift.interval.upper),
            "relative_why": relative.as_ref().err().map(|why| &why.why),
        }))
    })
}

fn normal_mixture(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        v: f64,
        #[serde(default = "default_alpha")]
        alpha: f64,
        v_opt: f64,
        #[serde(default)]
        sided: Sided,
    }
    typed(input, |Input { v, alpha, v_opt, sided }| {
        let bound = match sided {
            Sided::One => mixture::normal_mixture_bound_one_sided(v, alpha, v_opt)?,
            Sided::Two => mixture::normal_mixture_bound(v, alpha, v_opt)?,
        };
        Ok::<_, Failure>(json!({"bound": bound}))
    })
}

fn msprt(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        effect: f64,
        standard_error: f64,
        mixing_variance: Option<f64>,
        outcome_variance: Option<f64>,
        units_max: Option<f64>,
        #[serde(default = "default_alpha")]
        alpha: f64,
    }
    typed(input, |input: Input| {
        let mixing_variance = match (input.mixing_variance, input.outcome_variance, input.units_max) {
            (Some(given), None, None) => given,
            (None, Some(variance), Some(units_max)) => {
                optimal_mixing_variance(variance, mixing_threshold(input.alpha, variance, units_max)?)?
            }
            _ => {
                let message = "give either mixing_variance, or outcome_variance and units_max".to_owned();
                return Err(Failure::Input { field: "mixing_variance".to_owned(), message });
            }
        };
        let test = mixture_sequential_test(input.effect, input.standard_error, mixing_variance, input.alpha)?;
        Ok(json!({
            "log_likelihood_ratio": test.log_likelihood_ratio, "p_value": test.p_value,
            "ci_lower": test.interval.lower, "ci_upper": test.interval.upper, "mixing_variance": mixing_variance,
        }))
    })
}

fn anytime(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        coefficient: f64,
        standard_error: f64,
        degrees_of_freedom: f64,
        n: f64,
        g: Option<f64>,
        #[serde(default = "default_alpha")]
        alpha: f64,
    }
    typed(input, |input: Input| {
        let Input { coefficient, standard_error, degrees_of_freedom, n, g, alpha } = input;
        let test = anytime_t(coefficient, standard_error, degrees_of_freedom, n, g.unwrap_or(1.0), alpha)?;
        Ok::<_, Failure>(json!({
            "log_e_value": test.log_e_value, "p_value": test.p_value,
            "ci_lower": test.interval.lower, "ci_upper": test.interval.upper,
        }))
    })
}

fn jackknife_difference(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Group {
        control: MeanArm,
        treatment: MeanArm,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        groups: Vec<Group>,
        difference: Difference,
    }
    typed(input, |input: Input| {
        let groups = input.groups.iter().map(|group| Ok((group.control.moments()?, group.treatment.moments()?)));
        let groups = groups.collect::<Result<Vec<(Moments, Moments)>, Degenerate>>()?;
        let merge = |a: &(Moments, Moments), b: &(Moments, Moments)| (a.0.merge(&b.0), a.1.merge(&b.1));
        let estimate = |(control, treatment): &(Moments, Moments)| {
            if control.count == 0 || treatment.count == 0 {
                return Err(Degenerate::new("an arm has no recipient left when one group is left out"));
            }
            Ok((treatment.mean - control.mean) / base(control.mean, input.difference)?)
        };
        let found = jackknife::jackknife(&groups, merge, estimate)?;
        Ok::<_, Failure>(json!({
            "effect": found.estimate, "standard_error": found.standard_error, "degrees_of_freedom": found.degrees_of_freedom,
        }))
    })
}

/// What a difference is divided by.
fn base(control: f64, difference: Difference) -> Result<f64, Degenerate> {
    match difference {
        Difference::Absolute => Ok(1.0),
        Difference::Relative if control == 0.0 => {
            Err(Degenerate::new("the value of control is zero, so nothing is relative to it"))
        }
        Difference::Relative => Ok(control.abs()),
    }
}
