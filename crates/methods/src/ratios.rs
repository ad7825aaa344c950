//! Ratios and strata.

use serde::Deserialize;
use serde_json::{Value, json};
use stats::adjusted::named::{ratio_by_log, relative_by_delta, scaled_impact};
use stats::adjusted::{Comparison, Shape, Stratum, compare, compare_strata};
use stats::{CoMoments, Degenerate, Moments};

use crate::input::{ALPHA, Difference, MeanArm, RatioArm, default_alpha};
use crate::method::{Failure, Field, Method, typed};
use crate::summary::{EFFECT_OUTPUTS, effect_json};

/// The outputs of a lift with its interval.
pub(crate) const LIFT: &[Field] = &[
    Field { name: "relative_effect", about: "variant over control less one, a fraction" },
    Field { name: "p_value", about: "of the absolute difference, two-sided" },
    Field { name: "ci_lower, ci_upper", about: "of the relative effect" },
];

const CONTROL: Field = Field {
    name: "control",
    about: "{n, numerator_sum, numerator_sum_squares, denominator_sum, denominator_sum_squares, sum_of_products}: recipients, \
            then sums over recipients of numerator, denominator, their squares and their product",
};
const TREATMENT: Field = Field { name: "treatment", about: "the same for the variant" };
const REFUSES: &str = "an arm below two recipients, a denominator of zero on average, no variation in either arm";
const EXAMPLE: &str = r#"{"control": {"n": 244, "numerator_sum": 156, "numerator_sum_squares": 290, "denominator_sum": 898, "denominator_sum_squares": 5152, "sum_of_products": 855}, "treatment": {"n": 244, "numerator_sum": 154, "numerator_sum_squares": 272, "denominator_sum": 837, "denominator_sum_squares": 4301, "sum_of_products": 804}, "alpha": 0.05}"#;
const STRATA_EXAMPLE: &str = r#"{"strata": [{"control": {"n": 1119, "sum": 5890.21, "sum_squares": 90685.37}, "treatment": {"n": 1027, "sum": 5432.9, "sum_squares": 95011.26}}, {"control": {"n": 3316, "sum": 39370.73, "sum_squares": 633561.59}, "treatment": {"n": 3138, "sum": 37787.89, "sum_squares": 645248.82}}], "alpha": 0.05}"#;
const STRATA: Field = Field {
    name: "strata",
    about: "a list of {control, treatment}, each {n, sum, sum_squares}: recipients, sum and sum of squares of one number per \
            recipient of the stratum",
};
const STRATA_REFUSES: &str = "a stratum with fewer than two recipients in an arm (merge it with another), no variation, and for \
                              a relative difference a control mean of zero";

pub(crate) const METHODS: &[Method] = &[
    Method {
        name: "ratio_absolute_delta",
        summary: "difference of two ratios of sums, such as revenue per order, with recipients as units",
        formula: "R = ΣM/ΣD; per unit v = vM/mD² + vD mM²/mD⁴ − 2 cMD mM/mD³; SE² = vA/nA + vB/nB; t with Welch's degrees of freedom",
        reference: "Deng, Knoblich & Lu, Applying the delta method in metric analytics, KDD (2018)",
        inputs: &[CONTROL, TREATMENT, ALPHA],
        outputs: EFFECT_OUTPUTS,
        refuses: REFUSES,
        example: EXAMPLE,
        run: |input| with_ratios(input, |found, _, _| Ok(effect_json(&found.absolute))),
    },
    Method {
        name: "ratio_relative_delta",
        summary: "relative difference of two ratios by linearisation (for the product's own see ratio_fieller)",
        formula: "(RB − RA)/|RA|; SE² = (vB/nB)/RA² + (vA/nA) RB²/RA⁴, v as in ratio_absolute_delta, whose degrees of freedom serve",
        reference: "Deng, Knoblich & Lu, Applying the delta method in metric analytics, KDD (2018)",
        inputs: &[CONTROL, TREATMENT, ALPHA],
        outputs: EFFECT_OUTPUTS,
        refuses: "an arm below two recipients, a denominator or a control ratio of zero, no variation in either arm",
        example: EXAMPLE,
        run: |input| with_ratios(input, |found, _, alpha| Ok(effect_json(&relative_by_delta(&found.pair, alpha)?))),
    },
    Method {
        name: "ratio_relative_log",
        summary: "relative difference of two ratios by logarithms",
        formula: "r exp(∓ t √(vA/(nA RA²) + vB/(nB RB²))) − 1, degrees of freedom from v/R²; the p-value is that of the absolute test",
        reference: "Deng, Knoblich & Lu, Applying the delta method in metric analytics, KDD (2018)",
        inputs: &[CONTROL, TREATMENT, ALPHA],
        outputs: LIFT,
        refuses: "an arm below two recipients, a denominator of zero, a ratio of zero",
        example: EXAMPLE,
        run: |input| {
            with_ratios(input, |found, (control, treatment), alpha| {
                let lift = ratio_by_log(control, treatment, alpha)?;
                Ok(json!({
                    "relative_effect": lift.relative, "p_value": found.absolute.p_value,
                    "ci_lower": lift.interval.lower, "ci_upper": lift.interval.upper,
                }))
            })
        },
    },
    Method {
        name: "ratio_fieller",
        summary: "relative difference of two ratios of sums with Fieller's interval (the product's default)",
        formula: "{ρ : (RB − ρ RA)² ≤ k² (vB/nB + ρ² vA/nA)}, v as in ratio_absolute_delta; lift = ρ − 1",
        reference: "Fieller, Some problems in interval estimation, JRSS B 16 (1954)",
        inputs: &[CONTROL, TREATMENT, ALPHA],
        outputs: LIFT,
        refuses: "an arm below two recipients, a denominator of zero, or a control ratio that cannot be told from zero",
        example: EXAMPLE,
        run: |input| with_ratios(input, |found, _, _| lift(&found)),
    },
    Method {
        name: "post_stratified",
        summary: "difference of two means after stratification, absolute or relative (linearised)",
        formula: "per stratum (mA, mB − mA), weighted by its share ν of recipients; variance Σ ν² Var + (1/N) Σ ν (estimate − mean)²",
        reference: "Miratrix, Sekhon & Yu, Adjusting treatment effect estimates by post-stratification, JRSS B 75 (2013)",
        inputs: &[STRATA, Field { name: "difference", about: "\"absolute\" or \"relative\"; absolute where not given" }, ALPHA],
        outputs: EFFECT_OUTPUTS,
        refuses: STRATA_REFUSES,
        example: STRATA_EXAMPLE,
        run: |input| {
            with_strata(input, |found, difference, alpha| match difference {
                Difference::Absolute => Ok(effect_json(&found.absolute)),
                Difference::Relative => Ok(effect_json(&relative_by_delta(&found.pair, alpha)?)),
            })
        },
    },
    Method {
        name: "post_stratified_fieller",
        summary: "relative difference of two means after stratification with Fieller's interval (the product's default)",
        formula: "{ρ : (mB − ρ mA)² ≤ k² (vB − 2 ρ cAB + ρ² vA)} with the post-stratified means and their covariance",
        reference: "Fieller (1954); Miratrix, Sekhon & Yu, JRSS B 75 (2013)",
        inputs: &[STRATA, Field { name: "difference", about: "not used" }, ALPHA],
        outputs: LIFT,
        refuses: "a stratum with fewer than two recipients in an arm, or a control mean that cannot be told from zero",
        example: STRATA_EXAMPLE,
        run: |input| with_strata(input, |found, _, _| lift(&found)),
    },
    Method {
        name: "scaled_impact",
        summary: "the absolute difference of two means as an effect per day if everyone got the variant",
        formula: "Welch's difference, standard error and interval times total_units/(traffic_fraction × days); the p-value stays",
        reference: "Welch, Biometrika 34 (1947)",
        inputs: &[
            Field {
                name: "control",
                about: "{n, sum, sum_squares}: recipients, sum and sum of squares of one number per recipient",
            },
            TREATMENT,
            ALPHA,
            Field { name: "total_units", about: "recipients in the test, all arms, over its days" },
            Field { name: "traffic_fraction", about: "the share of all recipients who are in the test, above 0 and at most 1" },
            Field { name: "days", about: "how long the test ran, days, more than zero" },
        ],
        outputs: EFFECT_OUTPUTS,
        refuses: "an arm below two recipients, no variation, a traffic fraction or a number of days out of range",
        example: r#"{"control": {"n": 1000, "sum": 500, "sum_squares": 900}, "treatment": {"n": 1000, "sum": 600, "sum_squares": 990}, "alpha": 0.05, "total_units": 2000, "traffic_fraction": 0.2, "days": 7}"#,
        run: scaled,
    },
];

/// Fieller's lift as JSON.
pub(crate) fn lift(found: &Comparison) -> Result<Value, Failure> {
    let lift = found.relative.clone()?;
    Ok(json!({
        "relative_effect": lift.relative, "p_value": found.absolute.p_value,
        "ci_lower": lift.interval.lower, "ci_upper": lift.interval.upper,
    }))
}

/// Moments of one number as those of a vector of one.
pub(crate) fn of_one(moments: &Moments) -> CoMoments {
    CoMoments::from_centred(moments.count, vec![moments.mean], vec![moments.m2])
}

fn with_ratios(
    input: &Value,
    answer: impl Fn(Comparison, (&CoMoments, &CoMoments), f64) -> Result<Value, Failure>,
) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        control: RatioArm,
        treatment: RatioArm,
        #[serde(default = "default_alpha")]
        alpha: f64,
    }
    typed(input, |Input { control, treatment, alpha }| {
        let (control, treatment) = (control.moments()?, treatment.moments()?);
        answer(compare(&control, &treatment, Shape::Ratio, 0, alpha)?, (&control, &treatment), alpha)
    })
}

fn with_strata(input: &Value, answer: impl Fn(Comparison, Difference, f64) -> Result<Value, Failure>) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Arms {
        control: MeanArm,
        treatment: MeanArm,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        strata: Vec<Arms>,
        #[serde(default)]
        difference: Difference,
        #[serde(default = "default_alpha")]
        alpha: f64,
    }
    typed(input, |Input { strata, difference, alpha }| {
        let arms: Result<Vec<_>, Degenerate> = strata
            .iter()
            .enumerate()
            .map(|(i, arms)| {
                Ok((format!("number {}", i + 1), of_one(&arms.control.moments()?), of_one(&arms.treatment.moments()?)))
            })
            .collect();
        let arms = arms?;
        let strata: Vec<Stratum<'_>> =
            arms.iter().map(|(name, control, treatment)| Stratum { name, control, treatment }).collect();
        answer(compare_strata(&strata, Shape::Mean, 0, alpha)?, difference, alpha)
    })
}

fn scaled(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        control: MeanArm,
        treatment: MeanArm,
        #[serde(default = "default_alpha")]
        alpha: f64,
        total_units: f64,
        traffic_fraction: f64,
        days: f64,
    }
    typed(input, |Input { control, treatment, alpha, total_units, traffic_fraction, days }| {
        let effect = stats::welch(&control.moments()?, &treatment.moments()?, alpha)?;
        Ok::<_, Failure>(effect_json(&scaled_impact(&effect, total_units, traffic_fraction, days)?))
    })
}
