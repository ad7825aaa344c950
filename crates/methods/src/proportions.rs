//! Proportions and rates.

use serde::Deserialize;
use serde_json::{Value, json};
use stats::proportions::rates::{Rate, poisson_rate_ratio};
use stats::proportions::{difference, intervals, margin, score};
use stats::{Alternative, Degenerate, Interval, Proportion, means};

use crate::input::{Direction, MeanArm, ProportionArm, default_alpha};
use crate::means::{ALPHA, ALTERNATIVE, CONTROL_MEAN, TREATMENT};
use crate::method::{Failure, Field, Method, typed};
use crate::summary::{EFFECT_OUTPUTS, effect_json};

pub(crate) const CONTROL: Field = Field { name: "control", about: "{n, successes}: recipients, and how many of them succeeded" };

const EFFECT: Field = Field { name: "effect", about: "pB − pA, in units of proportion" };
const STANDARD_ERROR: Field = Field { name: "standard_error", about: "of the effect" };
const STATISTIC: Field = Field { name: "statistic", about: "z, with the sign of the effect" };
const P_VALUE: Field = Field { name: "p_value", about: "of the alternative" };
const INTERVAL: Field = Field { name: "ci_lower, ci_upper", about: "two-sided interval of the effect at 1 − alpha" };
const DIRECTION: Field = Field { name: "direction", about: "higher_is_better or lower_is_better" };
const REFUSES: &str = "an empty arm, more successes than recipients, or no variation in either arm";
const EXAMPLE: &str =
    r#"{"control": {"n": 10000, "successes": 812}, "treatment": {"n": 10000, "successes": 903}, "alpha": 0.05}"#;

/// Two arms and options; `alternative` where the method takes one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Compared {
    control: ProportionArm,
    treatment: ProportionArm,
    #[serde(default)]
    alternative: Alternative,
    #[serde(default = "default_alpha")]
    alpha: f64,
}

impl Compared {
    fn arms(&self) -> (Proportion, Proportion) {
        (self.control.proportion(), self.treatment.proportion())
    }
}

/// Runs a comparison of two arms.
fn compare(input: &Value, compute: impl FnOnce(Compared) -> Result<Value, Degenerate>) -> Result<Value, Failure> {
    typed(input, |compared: Compared| compute(compared).map_err(Failure::from))
}

/// One proportion and options.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Single {
    n: u64,
    successes: u64,
    #[serde(default = "default_alpha")]
    alpha: f64,
}

fn single(input: &Value, compute: impl FnOnce(Proportion, f64) -> Result<Interval, Degenerate>) -> Result<Value, Failure> {
    typed(input, |Single { n, successes, alpha }| {
        let interval = compute(Proportion { count: n, successes }, alpha)?;
        Ok(json!({"ci_lower": interval.lower, "ci_upper": interval.upper}))
    })
}

const SINGLE_INPUTS: &[Field] =
    &[Field { name: "n", about: "recipients" }, Field { name: "successes", about: "how many of them succeeded" }, ALPHA];
const SINGLE_OUTPUTS: &[Field] = &[Field { name: "ci_lower, ci_upper", about: "of the proportion" }];
const SINGLE_REFUSES: &str = "no recipients, more successes than recipients, or an alpha not between 0 and 1";

const DIFFERENCE_OUTPUTS: &[Field] = &[EFFECT, INTERVAL];

fn difference_json(answer: intervals::DifferenceInterval) -> Value {
    json!({"effect": answer.difference, "ci_lower": answer.interval.lower, "ci_upper": answer.interval.upper})
}

pub(crate) const METHODS: &[Method] = &[
    Method {
        name: "prop_z_pooled",
        summary: "difference of two proportions by the z test with the pooled variance",
        formula: "z = (pB − pA)/√(p(1 − p)(1/nA + 1/nB)), p = (xA + xB)/(nA + nB); no continuity correction",
        reference: "Fleiss, Levin & Paik, Statistical Methods for Rates and Proportions, chapter 3",
        inputs: &[CONTROL, TREATMENT, ALTERNATIVE, ALPHA],
        outputs: &[
            EFFECT,
            STANDARD_ERROR,
            STATISTIC,
            P_VALUE,
            Field { name: "rejected", about: "whether the p-value is at most alpha" },
        ],
        refuses: "an empty arm, more successes than recipients, or all or none succeeding in both arms together",
        example: EXAMPLE,
        run: |input| {
            compare(input, |compared| {
                let (control, treatment) = compared.arms();
                let test = difference::pooled_z(control, treatment, compared.alternative)?;
                Ok(json!({
                    "effect": test.difference, "standard_error": test.standard_error, "statistic": test.statistic,
                    "p_value": test.p_value, "rejected": test.p_value <= compared.alpha,
                }))
            })
        },
    },
    Method {
        name: "prop_z_unpooled",
        summary: "difference of two proportions by the z test with each arm's own variance, and Wald's interval",
        formula: "z = (pB − pA)/√(pA(1 − pA)/nA + pB(1 − pB)/nB); interval effect ∓ z(1 − alpha/2) · se, always two-sided",
        reference: "Wald, Transactions of the AMS 54 (1943); Fleiss, Levin & Paik, chapter 3",
        inputs: &[CONTROL, TREATMENT, ALTERNATIVE, ALPHA],
        outputs: &[EFFECT, STANDARD_ERROR, STATISTIC, P_VALUE, INTERVAL],
        refuses: REFUSES,
        example: EXAMPLE,
        run: |input| {
            compare(input, |compared| {
                let (control, treatment) = compared.arms();
                difference::unpooled_z(control, treatment, compared.alternative, compared.alpha).map(|test| effect_json(&test))
            })
        },
    },
    Method {
        name: "prop_z_pooled_continuity",
        summary: "difference and ratio of two proportions by the pooled z test with Yates' correction",
        formula: "c = (1/nA + 1/nB)/2; p = 2 SF(max(|d| − c, 0)/se), one-sided likewise where d speaks for the alternative; interval d ∓ (z se + c), clipped to −1 to 1; relative (pB/pA) exp(∓(z se/p + c/pA)) − 1",
        reference: "Yates, Supplement to the JRSS 1 (1934)",
        inputs: &[CONTROL, TREATMENT, ALTERNATIVE, ALPHA],
        outputs: &[
            EFFECT,
            P_VALUE,
            Field {
                name: "ci_lower, ci_upper", about: "of the effect; −1 or 1 on the side a one-sided alternative leaves open"
            },
            Field { name: "relative_effect", about: "pB/pA − 1; null where nobody in control succeeded" },
            Field { name: "relative_ci_lower, relative_ci_upper", about: "of the relative effect; null likewise" },
        ],
        refuses: "an empty arm, more successes than recipients, or all or none succeeding in both arms together",
        example: EXAMPLE,
        run: |input| {
            compare(input, |compared| {
                let (control, treatment) = compared.arms();
                let answer = difference::pooled_z_corrected(control, treatment, compared.alternative, compared.alpha)?;
                let relative = answer.relative.map(|(relative, _)| relative);
                let interval = answer.relative.map_or(Interval { lower: None, upper: None }, |(_, interval)| interval);
                Ok(json!({
                    "effect": answer.difference, "p_value": answer.p_value,
                    "ci_lower": answer.interval.lower, "ci_upper": answer.interval.upper,
                    "relative_effect": relative, "relative_ci_lower": interval.lower, "relative_ci_upper": interval.upper,
                }))
            })
        },
    },
    Method {
        name: "prop_relative_log",
        summary: "ratio of two proportions by its logarithm",
        formula: "r = pB/pA; se = √(1/xA − 1/nA + 1/xB − 1/nB); z = ln(r)/se; interval r exp(∓ z se) − 1, always two-sided",
        reference: "Katz, Baptista, Azen & Pike, Biometrics 34 (1978)",
        inputs: &[CONTROL, TREATMENT, ALTERNATIVE, ALPHA],
        outputs: &[
            Field { name: "relative_effect", about: "pB/pA − 1, a fraction" },
            Field { name: "log_standard_error", about: "of ln(pB/pA)" },
            STATISTIC,
            P_VALUE,
            Field { name: "ci_lower, ci_upper", about: "of the relative effect" },
        ],
        refuses: "an empty arm, more successes than recipients, an arm without success, or all succeeding in both",
        example: EXAMPLE,
        run: |input| {
            compare(input, |compared| {
                let (control, treatment) = compared.arms();
                let answer = difference::risk_ratio(control, treatment, compared.alternative, compared.alpha)?;
                Ok(json!({
                    "relative_effect": answer.relative, "log_standard_error": answer.log_standard_error,
                    "statistic": answer.statistic, "p_value": answer.p_value,
                    "ci_lower": answer.interval.lower, "ci_upper": answer.interval.upper,
                }))
            })
        },
    },
    Method {
        name: "prop_absolute_t",
        summary: "difference of two proportions by Welch's t test",
        formula: "effect pB − pA; variance pA(1 − pA)/nA + pB(1 − pB)/nB; t with Welch's degrees of freedom",
        reference: "Welch, Biometrika 34 (1947), with the variance of a proportion",
        inputs: &[CONTROL, TREATMENT, ALTERNATIVE, ALPHA],
        outputs: EFFECT_OUTPUTS,
        refuses: "an arm below two recipients, more successes than recipients, or no variation in either arm",
        example: EXAMPLE,
        run: |input| {
            compare(input, |compared| {
                let (control, treatment) = compared.arms();
                means::relative::proportion_welch(control, treatment, compared.alternative, compared.alpha)
                    .map(|test| effect_json(&test))
            })
        },
    },
    Method {
        name: "prop_relative_delta",
        summary: "relative difference of two proportions by the delta method",
        formula: "effect (pB − pA)/|pA|; variance vB/pA² + vA pB²/pA⁴, v = p(1 − p)/n; t with the degrees of freedom of the absolute test",
        reference: "Deng, Knoblich & Lu, KDD 2018",
        inputs: &[CONTROL, TREATMENT, ALTERNATIVE, ALPHA],
        outputs: EFFECT_OUTPUTS,
        refuses: "an arm below two recipients, more successes than recipients, no success in control, or no variation in either arm",
        example: EXAMPLE,
        run: |input| {
            compare(input, |compared| {
                let (control, treatment) = compared.arms();
                means::relative::proportion_relative_delta(control, treatment, compared.alternative, compared.alpha)
                    .map(|test| effect_json(&test))
            })
        },
    },
    Method {
        name: "proportion_ci_wilson",
        summary: "interval of one proportion by Wilson's score method",
        formula: "(p + z²/2n ∓ z √(p(1 − p)/n + z²/4n²))/(1 + z²/n), z = z(1 − alpha/2)",
        reference: "Wilson, JASA 22 (1927)",
        inputs: SINGLE_INPUTS,
        outputs: SINGLE_OUTPUTS,
        refuses: SINGLE_REFUSES,
        example: r#"{"n": 400, "successes": 3, "alpha": 0.05}"#,
        run: |input| single(input, intervals::wilson_interval),
    },
    Method {
        name: "proportion_ci_clopper_pearson",
        summary: "exact interval of one proportion",
        formula: "lower Beta(alpha/2; x, n − x + 1), upper Beta(1 − alpha/2; x + 1, n − x); 0 at x = 0 and 1 at x = n",
        reference: "Clopper & Pearson, Biometrika 26 (1934)",
        inputs: SINGLE_INPUTS,
        outputs: SINGLE_OUTPUTS,
        refuses: SINGLE_REFUSES,
        example: r#"{"n": 400, "successes": 3, "alpha": 0.05}"#,
        run: |input| single(input, intervals::clopper_pearson_interval),
    },
    Method {
        name: "newcombe_diff_ci",
        summary: "interval of a difference of proportions from Wilson's limits of each",
        formula: "d − √((pB − lB)² + (uA − pA)²) to d + √((pA − lA)² + (uB − pB)²), l and u Wilson's limits",
        reference: "Newcombe, Statistics in Medicine 17 (1998), method 10",
        inputs: &[CONTROL, TREATMENT, ALPHA],
        outputs: DIFFERENCE_OUTPUTS,
        refuses: "an empty arm or more successes than recipients",
        example: EXAMPLE,
        run: |input| {
            compare(input, |compared| {
                let (control, treatment) = compared.arms();
                intervals::newcombe_interval(control, treatment, compared.alpha).map(difference_json)
            })
        },
    },
    Method {
        name: "score_diff_ci",
        summary: "interval of a difference of proportions by inverting the score test",
        formula: "{δ : (pB − pA − δ)² ≤ z² V(δ) N/(N − 1)}, V at the maximum-likelihood proportions with pB − pA = δ",
        reference: "Miettinen & Nurminen, Statistics in Medicine 4 (1985)",
        inputs: &[CONTROL, TREATMENT, ALPHA],
        outputs: DIFFERENCE_OUTPUTS,
        refuses: "an empty arm or more successes than recipients",
        example: EXAMPLE,
        run: |input| {
            compare(input, |compared| {
                let (control, treatment) = compared.arms();
                score::score_interval(control, treatment, compared.alpha).map(difference_json)
            })
        },
    },
    Method {
        name: "poisson_rate_ratio",
        summary: "ratio of two rates of events per exposure",
        formula: "z = (cB − cA d)/√((cA + cB) d), d = eB/eA; interval: Wilson's of cB/(cA + cB), w ↦ w/(1 − w) · eA/eB, two-sided",
        reference: "Ng & Tang, Statistics in Medicine 24 (2005); Sato, Biometrics 46 (1990)",
        inputs: &[
            Field {
                name: "control",
                about: "{count, exposure}: events, and what they happened in (messages, days), more than 0",
            },
            TREATMENT,
            ALTERNATIVE,
            ALPHA,
        ],
        outputs: &[
            Field { name: "rate_ratio", about: "treatment's rate over control's; null where control has no event" },
            STATISTIC,
            P_VALUE,
            Field { name: "ci_lower, ci_upper", about: "of the rate ratio; the upper end null where control has no event" },
        ],
        refuses: "an exposure of zero or less, or no event in either arm",
        example: r#"{"control": {"count": 59, "exposure": 28352}, "treatment": {"count": 340, "exposure": 175755}, "alternative": "two-sided", "alpha": 0.05}"#,
        run: |input| {
            #[derive(Deserialize)]
            #[serde(deny_unknown_fields)]
            struct Arm {
                count: u64,
                exposure: f64,
            }
            #[derive(Deserialize)]
            #[serde(deny_unknown_fields)]
            struct Input {
                control: Arm,
                treatment: Arm,
                #[serde(default)]
                alternative: Alternative,
                #[serde(default = "default_alpha")]
                alpha: f64,
            }
            typed(input, |Input { control, treatment, alternative, alpha }| {
                let rate = |arm: Arm| Rate { count: arm.count, exposure: arm.exposure };
                let answer = poisson_rate_ratio(rate(control), rate(treatment), alternative, alpha)?;
                Ok::<_, Failure>(json!({
                    "rate_ratio": answer.ratio, "statistic": answer.statistic, "p_value": answer.p_value,
                    "ci_lower": answer.interval.lower, "ci_upper": answer.interval.upper,
                }))
            })
        },
    },
    Method {
        name: "non_inferiority_absolute",
        summary: "whether a proportion is worse by less than an absolute margin",
        formula: "higher is better: z = (d + margin)/se, p = SF(z); lower is better: z = (d − margin)/se, p = CDF(z); se unpooled",
        reference: "Piaggio et al., CONSORT 2010 extension to noninferiority trials, JAMA 308 (2012)",
        inputs: &[CONTROL, TREATMENT, Field { name: "margin", about: "in units of proportion, zero or more" }, DIRECTION, ALPHA],
        outputs: &[EFFECT, STANDARD_ERROR, STATISTIC, P_VALUE, BOUND],
        refuses: "an empty arm, more successes than recipients, no variation in either arm, or a negative margin",
        example: r#"{"control": {"n": 154255, "successes": 309}, "treatment": {"n": 154255, "successes": 300}, "margin": 0.0004, "direction": "lower_is_better"}"#,
        run: |input| {
            #[derive(Deserialize)]
            #[serde(deny_unknown_fields)]
            struct Input {
                control: ProportionArm,
                treatment: ProportionArm,
                margin: f64,
                direction: Direction,
                #[serde(default = "default_alpha")]
                alpha: f64,
            }
            typed(input, |Input { control, treatment, margin, direction, alpha }| {
                let (control, treatment) = (control.proportion(), treatment.proportion());
                let lower_is_better = direction == Direction::LowerIsBetter;
                let test = margin::non_inferior_proportion(control, treatment, margin, lower_is_better, alpha)?;
                Ok::<_, Failure>(margin_json(&test))
            })
        },
    },
    Method {
        name: "non_inferiority_relative",
        summary: "whether a mean is worse by less than a fixed share of control's mean",
        formula: "as non_inferiority_absolute with margin · mA, taken as fixed; se² = vA/nA + vB/nB; normal",
        reference: "Schultzberg, Ankargren & Frånberg, Risk-aware product decisions in A/B tests with multiple metrics (2024)",
        inputs: &[
            CONTROL_MEAN,
            TREATMENT,
            Field {
                name: "margin",
                about: "a fraction of control's mean, zero or more; where that mean is negative, the variant must be better by it",
            },
            DIRECTION,
            ALPHA,
        ],
        outputs: &[Field { name: "effect", about: "mB − mA" }, STANDARD_ERROR, STATISTIC, P_VALUE, BOUND],
        refuses: "an arm below two recipients, no variation in either arm, a control mean of zero, or a negative margin",
        example: r#"{"control": {"n": 1000, "sum": 500, "sum_squares": 900}, "treatment": {"n": 1000, "sum": 600, "sum_squares": 990}, "margin": 0.1, "direction": "higher_is_better", "alpha": 0.05}"#,
        run: |input| {
            typed(input, |input: MeanMargin| {
                let (control, treatment) = (input.control.moments()?, input.treatment.moments()?);
                let lower_is_better = input.direction == Direction::LowerIsBetter;
                let test = margin::non_inferior_fixed(&control, &treatment, input.margin, lower_is_better, input.alpha)?;
                Ok::<_, Failure>(margin_json(&test))
            })
        },
    },
    Method {
        name: "non_inferiority_fieller",
        summary: "whether a mean is worse by less than a share of control's mean, whose error counts too (the product's default)",
        formula: "c = 1 − margin (1 + margin where lower is better); t = (mB − c mA)/√(vB + c² vA), Welch's degrees of freedom of this contrast",
        reference: "Fieller, JRSS B 16 (1954); Hasler, Vonk & Hothorn, Statistics in Medicine 27 (2008)",
        inputs: &[
            CONTROL_MEAN,
            TREATMENT,
            Field { name: "margin", about: "a fraction of control's mean, zero or more" },
            DIRECTION,
            ALPHA,
        ],
        outputs: &[
            Field { name: "statistic", about: "distance from the margin in standard errors; positive speaks for the treatment" },
            P_VALUE,
            Field { name: "shown", about: "whether the p-value is at most alpha" },
        ],
        refuses: "an arm below two recipients, no variation in either arm, a control mean of zero, or a negative margin",
        example: r#"{"control": {"n": 1000, "sum": 500, "sum_squares": 900}, "treatment": {"n": 1000, "sum": 600, "sum_squares": 990}, "margin": 0.1, "direction": "higher_is_better", "alpha": 0.05}"#,
        run: |input| {
            typed(input, |input: MeanMargin| {
                let (control, treatment) = (input.control.moments()?, input.treatment.moments()?);
                let lower_is_better = input.direction == Direction::LowerIsBetter;
                let test = stats::non_inferior(&control, &treatment, input.margin, lower_is_better, input.alpha)?;
                Ok::<_, Failure>(json!({"statistic": test.statistic, "p_value": test.p_value, "shown": test.shown}))
            })
        },
    },
];

const BOUND: Field = Field { name: "bound", about: "one-sided bound of the effect on the bad side, at 1 − alpha" };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MeanMargin {
    control: MeanArm,
    treatment: MeanArm,
    margin: f64,
    direction: Direction,
    #[serde(default = "default_alpha")]
    alpha: f64,
}

fn margin_json(test: &margin::MarginTest) -> Value {
    json!({
        "effect": test.difference, "standard_error": test.standard_error, "statistic": test.statistic,
        "p_value": test.p_value, "bound": test.bound,
    })
}
