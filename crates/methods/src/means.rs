//! Means: differences, relative differences, and more than two groups.

use serde::Deserialize;
use serde_json::{Value, json};
use stats::means::groups::{FTest, oneway_anova, welch_anova};
use stats::means::relative::{relative_delta, relative_log};
use stats::means::{student_test, welch_test, z_test};
use stats::{Alternative, Degenerate, Effect, Moments};

use crate::input::{MeanArm, default_alpha};
use crate::method::{Failure, Field, Method, typed};
use crate::summary::{EFFECT_OUTPUTS, effect_json};

pub(crate) const CONTROL_MEAN: Field =
    Field { name: "control", about: "{n, sum, sum_squares}: recipients, sum and sum of squares of one number per recipient" };
pub(crate) const TREATMENT: Field = Field { name: "treatment", about: "the same for the treatment" };
pub(crate) const ALPHA: Field = Field { name: "alpha", about: "total error, between 0 and 1; 0.05 where not given" };
pub(crate) const ALTERNATIVE: Field =
    Field { name: "alternative", about: "two-sided (where not given), greater (B > A) or less (B < A)" };

const NORMAL_OUTPUTS: &[Field] = &[EFFECT_OUTPUTS[0], EFFECT_OUTPUTS[1], EFFECT_OUTPUTS[2], EFFECT_OUTPUTS[4], EFFECT_OUTPUTS[5]];

/// Two arms and options.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Compared {
    control: MeanArm,
    treatment: MeanArm,
    #[serde(default)]
    alternative: Alternative,
    #[serde(default = "default_alpha")]
    alpha: f64,
}

fn compare(
    input: &Value,
    test: impl FnOnce(&Moments, &Moments, Alternative, f64) -> Result<Effect, Degenerate>,
) -> Result<Value, Failure> {
    typed(input, |Compared { control, treatment, alternative, alpha }| {
        Ok(effect_json(&test(&control.moments()?, &treatment.moments()?, alternative, alpha)?))
    })
}

const COMPARED_INPUTS: &[Field] = &[CONTROL_MEAN, TREATMENT, ALTERNATIVE, ALPHA];
const EXAMPLE: &str = r#"{"control": {"n": 1000, "sum": 500, "sum_squares": 900}, "treatment": {"n": 1000, "sum": 600, "sum_squares": 990}, "alternative": "two-sided", "alpha": 0.05}"#;
const REFUSES: &str = "an arm below two recipients, or no variation in either arm";

const F_OUTPUTS: &[Field] = &[
    Field { name: "statistic", about: "F, the spread between over the spread within" },
    Field { name: "df_between", about: "groups minus one" },
    Field { name: "df_within", about: "degrees of freedom of the spread within" },
    Field { name: "p_value", about: "the chance of an F this large if all means are equal" },
];
const VARIANTS: &[Field] =
    &[Field { name: "variants", about: "[{n, mean, variance}, …], two or more; variance with n − 1 in the denominator" }];
const VARIANTS_EXAMPLE: &str = r#"{"variants": [{"n": 726, "mean": 23.6, "variance": 341.5}, {"n": 582, "mean": 22.6, "variance": 357.2}, {"n": 102, "mean": 25.3, "variance": 413.2}]}"#;

fn of_groups(input: &Value, test: impl FnOnce(&[Moments]) -> Result<FTest, Degenerate>) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Group {
        n: u64,
        mean: f64,
        variance: f64,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        variants: Vec<Group>,
    }
    typed(input, |Input { variants }| {
        let moments =
            |group: &Group| Moments { count: group.n, mean: group.mean, m2: group.variance * group.n.saturating_sub(1) as f64 };
        let test = test(&variants.iter().map(moments).collect::<Vec<_>>())?;
        Ok(json!({
            "statistic": test.statistic, "df_between": test.degrees_of_freedom_between,
            "df_within": test.degrees_of_freedom_within, "p_value": test.p_value,
        }))
    })
}

pub(crate) const METHODS: &[Method] = &[
    Method {
        name: "fieller",
        summary: "relative difference of two means with Fieller's interval (the product's default)",
        formula: "{ρ : (mB − ρ mA)² ≤ k² (vB/nB + ρ² vA/nA)}, k = t quantile at Welch's degrees of freedom; lift = ρ − 1",
        reference: "Fieller, Some problems in interval estimation, JRSS B 16 (1954)",
        inputs: &[CONTROL_MEAN, TREATMENT, ALPHA],
        outputs: &[
            Field { name: "relative_effect", about: "(mB − mA)/|mA|, a fraction" },
            Field { name: "ci_lower", about: "of the relative effect" },
            Field { name: "ci_upper", about: "of the relative effect" },
        ],
        refuses: "an arm below two recipients, no variation in either arm, or a control mean that cannot be told from zero",
        example: r#"{"control": {"n": 1000, "sum": 500, "sum_squares": 900}, "treatment": {"n": 1000, "sum": 600, "sum_squares": 990}, "alpha": 0.05}"#,
        run: |input| {
            #[derive(Deserialize)]
            #[serde(deny_unknown_fields)]
            struct Input {
                control: MeanArm,
                treatment: MeanArm,
                #[serde(default = "default_alpha")]
                alpha: f64,
            }
            typed(input, |Input { control, treatment, alpha }| {
                let lift = stats::fieller_lift(&control.moments()?, &treatment.moments()?, alpha)?;
                Ok::<_, Failure>(json!({
                    "relative_effect": lift.relative, "ci_lower": lift.interval.lower, "ci_upper": lift.interval.upper,
                }))
            })
        },
    },
    Method {
        name: "welch_t_absolute",
        summary: "difference of two means by Welch's t test (the product's default)",
        formula: "t = (mB − mA)/√(vA/nA + vB/nB); Welch's degrees of freedom; the interval matches the alternative",
        reference: "Welch, Biometrika 34 (1947)",
        inputs: COMPARED_INPUTS,
        outputs: EFFECT_OUTPUTS,
        refuses: REFUSES,
        example: EXAMPLE,
        run: |input| compare(input, welch_test),
    },
    Method {
        name: "student_t_pooled",
        summary: "difference of two means by Student's t test with one variance for both arms",
        formula: "s² = ((nA − 1) vA + (nB − 1) vB)/(nA + nB − 2); se = √(s² (1/nA + 1/nB)); nA + nB − 2 degrees of freedom",
        reference: "Student, Biometrika 6 (1908)",
        inputs: COMPARED_INPUTS,
        outputs: EFFECT_OUTPUTS,
        refuses: REFUSES,
        example: EXAMPLE,
        run: |input| compare(input, student_test),
    },
    Method {
        name: "welch_t_relative_delta",
        summary: "relative difference of two means by the delta method",
        formula: "effect (mB − mA)/|mA|; variance (vB/nB)/mA² + (vA/nA) mB²/mA⁴; t with the degrees of freedom of the absolute test",
        reference: "Deng, Knoblich & Lu, KDD 2018",
        inputs: COMPARED_INPUTS,
        outputs: EFFECT_OUTPUTS,
        refuses: "an arm below two recipients, no variation in either arm, or a control mean of zero",
        example: EXAMPLE,
        run: |input| compare(input, relative_delta),
    },
    Method {
        name: "welch_relative_log_ci",
        summary: "relative difference of two means with an interval on the logarithmic scale",
        formula: "r = mB/mA; s² = vA/(nA mA²) + vB/(nB mB²); interval r exp(∓ t s) − 1, degrees of freedom from v/m²; p-value of the absolute Welch test",
        reference: "Katz et al., Biometrics 34 (1978), for means",
        inputs: COMPARED_INPUTS,
        outputs: &[
            Field { name: "relative_effect", about: "mB/mA − 1, a fraction" },
            Field { name: "p_value", about: "of the absolute Welch test" },
            Field {
                name: "ci_lower, ci_upper",
                about: "of the relative effect; where the means have opposite signs the formula has no meaning, and its ends change places",
            },
        ],
        refuses: "an arm below two recipients, no variation in either arm, or a mean of zero",
        example: EXAMPLE,
        run: |input| {
            typed(input, |Compared { control, treatment, alternative, alpha }| {
                let answer = relative_log(&control.moments()?, &treatment.moments()?, alternative, alpha)?;
                Ok::<_, Failure>(json!({
                    "relative_effect": answer.relative, "p_value": answer.p_value,
                    "ci_lower": answer.interval.lower, "ci_upper": answer.interval.upper,
                }))
            })
        },
    },
    Method {
        name: "z_test_mean",
        summary: "difference of two means by the z test",
        formula: "as welch_t_absolute with the normal distribution in place of t",
        reference: "Cox & Hinkley, Theoretical Statistics (1974)",
        inputs: COMPARED_INPUTS,
        outputs: NORMAL_OUTPUTS,
        refuses: REFUSES,
        example: EXAMPLE,
        run: |input| compare(input, z_test),
    },
    Method {
        name: "oneway_anova",
        summary: "whether the means of several variants differ, with one variance for all",
        formula: "F = [Σ nᵢ(mᵢ − m)²/(k − 1)]/[Σ (nᵢ − 1)vᵢ/(N − k)] on k − 1 and N − k degrees of freedom",
        reference: "Fisher, Statistical Methods for Research Workers (1925)",
        inputs: VARIANTS,
        outputs: F_OUTPUTS,
        refuses: "fewer than two variants, an empty one, or no variation within any",
        example: VARIANTS_EXAMPLE,
        run: |input| of_groups(input, oneway_anova),
    },
    Method {
        name: "welch_anova",
        summary: "whether the means of several variants differ, with a variance for each",
        formula: "w = n/v, W = Σ w, m = Σ w mᵢ/W, L = Σ (1 − w/W)²/(n − 1); F = [Σ w (mᵢ − m)²/(k − 1)]/[1 + 2(k − 2)L/(k² − 1)] on k − 1 and (k² − 1)/(3L)",
        reference: "Welch, Biometrika 38 (1951)",
        inputs: VARIANTS,
        outputs: F_OUTPUTS,
        refuses: "fewer than two variants, or one with fewer than two recipients or without variation",
        example: VARIANTS_EXAMPLE,
        run: |input| of_groups(input, welch_anova),
    },
];
