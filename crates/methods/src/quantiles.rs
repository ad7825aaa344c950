//! Quantiles.

use serde::Deserialize;
use serde_json::{Value, json};
use stats::CoMoments;
use stats::adjusted::named::relative_by_delta;
use stats::quantiles::rows::quantile_of_rows;
use stats::quantiles::sequence::{difference_sequence, quantile_ranks};
use stats::quantiles::{QuantileArm, compare_quantiles, quantile_pair_floored};

use crate::input::{ALPHA, Difference, default_alpha, default_tuning};
use crate::method::{Failure, Field, Method, typed};
use crate::summary::{EFFECT_OUTPUTS, effect_json};

const TREATMENT: Field = Field { name: "treatment", about: "the same for the variant" };
const DIFFERENCE: Field = Field { name: "difference", about: "\"absolute\" or \"relative\"; absolute where not given" };
const DENG: &str = "Deng, Knoblich & Lu, Applying the delta method in metric analytics, KDD (2018)";

pub(crate) const METHODS: &[Method] = &[
    Method {
        name: "quantile_test",
        summary: "difference of a quantile of two arms with one row per recipient, from outer quantiles",
        formula: "per row v = (n*/n)(n − 1)((upper − lower)/(2 z))², at least 0.00001 from 100 rows; Welch's t; relative by linearisation",
        reference: DENG,
        inputs: &[
            Field {
                name: "control",
                about: "{n, n_star, q, quantile, quantile_lower, quantile_upper}: rows, rows the outer quantiles were computed \
                        for, the level, the sample quantile, and those at q ∓ z(0.975) √(q(1 − q)/n_star)",
            },
            TREATMENT,
            DIFFERENCE,
            ALPHA,
        ],
        outputs: EFFECT_OUTPUTS,
        refuses: "an arm below two rows, no variation, outer quantiles out of order, a control quantile of zero where relative",
        example: r#"{"control": {"n": 10879, "n_star": 10879, "q": 0.9, "quantile": 66.952, "quantile_lower": 65.2288, "quantile_upper": 68.6771}, "treatment": {"n": 7668, "n_star": 7668, "q": 0.9, "quantile": 67.016, "quantile_lower": 65.0436, "quantile_upper": 68.9091}, "difference": "relative", "alpha": 0.1}"#,
        run: |input| named::<PlainArm>(input),
    },
    Method {
        name: "quantile_test_clustered",
        summary: "difference of a quantile of two arms with several rows per recipient, from outer quantiles",
        formula: "v of quantile_test times V/(q(1 − q)/n), V the delta-method variance of Σ rows below / Σ rows over recipients",
        reference: DENG,
        inputs: &[
            Field {
                name: "control",
                about: "as in quantile_test, and {n_clusters, numerator_sum, numerator_sum_squares, denominator_sum, \
                        denominator_sum_squares, sum_of_products}: recipients, sums over them of the rows below the quantile, \
                        of the rows, their squares and their product",
            },
            TREATMENT,
            DIFFERENCE,
            ALPHA,
        ],
        outputs: EFFECT_OUTPUTS,
        refuses: "an arm below two rows or recipients, no variation, outer quantiles out of order",
        example: CLUSTERED_EXAMPLE,
        run: |input| named::<ClusteredArm>(input),
    },
    Method {
        name: "quantile_fieller",
        summary: "difference of a quantile of two arms, with the lift by Fieller (the product's default)",
        formula: "v of quantile_test_clustered without a floor, degrees of freedom of recipients; {ρ : (QB − ρ QA)² ≤ k² (vB + ρ² vA)}",
        reference: "Deng, Knoblich & Lu, KDD (2018); Fieller, JRSS B 16 (1954)",
        inputs: &[Field { name: "control", about: "as in quantile_test_clustered" }, TREATMENT, ALPHA],
        outputs: FIELLER_OUTPUTS,
        refuses: "n* at most z² q/(1 − q): too few rows for the level; no variation in either arm",
        example: r#"{"control": {"n": 24138, "n_star": 12069, "q": 0.5, "quantile": 24.89, "quantile_lower": 24.47, "quantile_upper": 25.3, "n_clusters": 7968, "numerator_sum": 12072, "numerator_sum_squares": 30496, "denominator_sum": 24138, "denominator_sum_squares": 97094, "sum_of_products": 48773}, "treatment": {"n": 1007, "n_star": 1007, "q": 0.5, "quantile": 22.68, "quantile_lower": 21.1587, "quantile_upper": 23.7427, "n_clusters": 466, "numerator_sum": 504, "numerator_sum_squares": 996, "denominator_sum": 1007, "denominator_sum_squares": 3111, "sum_of_products": 1552}}"#,
        run: fieller,
    },
    Method {
        name: "quantile_rows",
        summary: "difference of a quantile of two arms from rows, given per recipient",
        formula: "order statistics and counts per recipient from the rows, then quantile_fieller",
        reference: DENG,
        inputs: &[
            Field { name: "control", about: "a list with one list of numbers per recipient" },
            TREATMENT,
            Field { name: "q", about: "the level, between 0 and 1: 0.5 is the median" },
            ALPHA,
        ],
        outputs: FIELLER_OUTPUTS,
        refuses: "too few rows for the level, fewer than two recipients in an arm, a value that is not finite",
        example: r#"{"control": [[1, 2], [3], [2, 5], [4], [6, 7, 1], [2], [3, 3]], "treatment": [[2, 4], [4], [3, 6], [5], [7, 8, 2], [3], [4, 5]], "q": 0.5}"#,
        run: rows,
    },
    Method {
        name: "quantile_sequence_ranks",
        summary: "ranks between which a quantile lies at every look, whatever the distribution",
        formula: "counts k with B(cq + k, c(1 − q) + n − k)/B(cq, c(1 − q)) < q^k (1 − q)^(n − k)/alpha; from the k-th to the (k+1)-th value",
        reference: "Howard & Ramdas, Sequential estimation of quantiles, Bernoulli 28 (2022)",
        inputs: &[
            Field { name: "n", about: "how many values there are at this look" },
            Field { name: "q", about: "the level, between 0 and 1: 0.5 is the median" },
            ALPHA,
            Field {
                name: "tuning_parameter",
                about: "at how many values the interval should be narrowest; 5000 where not given",
            },
        ],
        outputs: &[Field { name: "lower_rank, upper_rank", about: "counted from 1 in ascending order; null where still open" }],
        refuses: "a level or alpha that is not between 0 and 1",
        example: r#"{"n": 2000, "q": 0.9, "alpha": 0.05}"#,
        run: ranks,
    },
    Method {
        name: "quantile_sequence_difference",
        summary: "difference of a quantile of two arms with an interval that holds at every look",
        formula: "the ranks of quantile_sequence_ranks at alpha/2 per arm: [lower B − upper A, upper B − lower A]",
        reference: "Howard & Ramdas, Sequential estimation of quantiles, Bernoulli 28 (2022)",
        inputs: &[
            Field { name: "control", about: "the values of control so far, in any order" },
            TREATMENT,
            Field { name: "q", about: "the level, between 0 and 1" },
            ALPHA,
            Field {
                name: "tuning_parameter",
                about: "at how many values per arm the interval should be narrowest; 5000 where not given",
            },
        ],
        outputs: &[Field {
            name: "ci_lower, ci_upper",
            about: "of the difference, variant minus control; null where still open",
        }],
        refuses: "a level or alpha that is not between 0 and 1",
        example: r#"{"control": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], "treatment": [2, 3, 4, 5, 6, 7, 8, 9, 10, 11], "q": 0.5, "alpha": 0.2, "tuning_parameter": 10}"#,
        run: sequence,
    },
];

const CLUSTERED_EXAMPLE: &str = r#"{"control": {"n": 24138, "n_star": 12069, "q": 0.5, "quantile": 24.89, "quantile_lower": 24.47, "quantile_upper": 25.3, "n_clusters": 7968, "numerator_sum": 12072, "numerator_sum_squares": 30496, "denominator_sum": 24138, "denominator_sum_squares": 97094, "sum_of_products": 48773}, "treatment": {"n": 1007, "n_star": 1007, "q": 0.5, "quantile": 22.68, "quantile_lower": 21.1587, "quantile_upper": 23.7427, "n_clusters": 466, "numerator_sum": 504, "numerator_sum_squares": 996, "denominator_sum": 1007, "denominator_sum_squares": 3111, "sum_of_products": 1552}, "difference": "absolute", "alpha": 0.05}"#;

const FIELLER_OUTPUTS: &[Field] = &[
    Field { name: "effect", about: "the difference of the quantiles" },
    Field { name: "standard_error", about: "of the difference" },
    Field { name: "statistic", about: "difference over standard error" },
    Field { name: "degrees_of_freedom", about: "of the t distribution" },
    Field { name: "p_value", about: "two-sided" },
    Field { name: "ci_lower, ci_upper", about: "of the difference" },
    Field { name: "relative_effect", about: "a fraction of control's quantile; left out where that cannot be told from zero" },
    Field { name: "relative_ci_lower, relative_ci_upper", about: "of the relative effect, by Fieller" },
    Field { name: "relative_why", about: "why there is no relative effect, where there is none" },
];

/// An arm as one of the two methods wants it.
trait Arm: for<'a> Deserialize<'a> {
    fn parts(self) -> Result<(QuantileArm, Option<CoMoments>), Failure>;
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainArm {
    n: u64,
    n_star: f64,
    q: f64,
    quantile: f64,
    quantile_lower: f64,
    quantile_upper: f64,
}

impl PlainArm {
    fn arm(&self) -> QuantileArm {
        QuantileArm {
            count: self.n,
            count_effective: self.n_star,
            level: self.q,
            quantile: self.quantile,
            lower: self.quantile_lower,
            upper: self.quantile_upper,
        }
    }
}

impl Arm for PlainArm {
    fn parts(self) -> Result<(QuantileArm, Option<CoMoments>), Failure> {
        Ok((self.arm(), None))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClusteredArm {
    n: u64,
    n_star: f64,
    q: f64,
    quantile: f64,
    quantile_lower: f64,
    quantile_upper: f64,
    n_clusters: u64,
    numerator_sum: f64,
    numerator_sum_squares: f64,
    denominator_sum: f64,
    denominator_sum_squares: f64,
    sum_of_products: f64,
}

impl Arm for ClusteredArm {
    fn parts(self) -> Result<(QuantileArm, Option<CoMoments>), Failure> {
        let Self { n, n_star, q, quantile, quantile_lower, quantile_upper, .. } = self;
        let clusters = CoMoments::from_sums(
            self.n_clusters,
            &[self.numerator_sum, self.denominator_sum],
            &[self.numerator_sum_squares, self.sum_of_products, self.denominator_sum_squares],
        )?;
        Ok((PlainArm { n, n_star, q, quantile, quantile_lower, quantile_upper }.arm(), Some(clusters)))
    }
}

fn named<A: Arm>(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input<A> {
        control: A,
        treatment: A,
        #[serde(default)]
        difference: Difference,
        #[serde(default = "default_alpha")]
        alpha: f64,
    }
    typed(input, |Input::<A> { control, treatment, difference, alpha }| {
        let (control, treatment) = (control.parts()?, treatment.parts()?);
        let pair = quantile_pair_floored((control.0, control.1.as_ref()), (treatment.0, treatment.1.as_ref()))?;
        Ok::<_, Failure>(effect_json(&match difference {
            Difference::Absolute => pair.absolute(alpha)?,
            Difference::Relative => relative_by_delta(&pair, alpha)?,
        }))
    })
}

fn fieller(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        control: ClusteredArm,
        treatment: ClusteredArm,
        #[serde(default = "default_alpha")]
        alpha: f64,
    }
    typed(input, |Input { control, treatment, alpha }| full(control.parts()?, treatment.parts()?, alpha))
}

fn full(
    control: (QuantileArm, Option<CoMoments>),
    treatment: (QuantileArm, Option<CoMoments>),
    alpha: f64,
) -> Result<Value, Failure> {
    let found = compare_quantiles((control.0, control.1.as_ref()), (treatment.0, treatment.1.as_ref()), alpha)?;
    let mut answer = effect_json(&found.absolute);
    match &found.relative {
        Ok(lift) => {
            answer["relative_effect"] = json!(lift.relative);
            answer["relative_ci_lower"] = json!(lift.interval.lower);
            answer["relative_ci_upper"] = json!(lift.interval.upper);
        }
        Err(degenerate) => answer["relative_why"] = json!(degenerate.why),
    }
    Ok(answer)
}

fn rows(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        control: Vec<Vec<f64>>,
        treatment: Vec<Vec<f64>>,
        q: f64,
        #[serde(default = "default_alpha")]
        alpha: f64,
    }
    typed(input, |Input { control, treatment, q, alpha }| {
        let arm = |name: &str, recipients: &[Vec<f64>]| {
            let rows = recipients.iter().enumerate().flat_map(|(i, rows)| rows.iter().map(move |row| (i as u64, *row)));
            let (arm, clusters) = quantile_of_rows(name, &rows.collect::<Vec<_>>(), q)?;
            Ok::<_, Failure>((arm, Some(clusters)))
        };
        full(arm("control", &control)?, arm("the variant", &treatment)?, alpha)
    })
}

fn ranks(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        n: u64,
        q: f64,
        #[serde(default = "default_alpha")]
        alpha: f64,
        #[serde(default = "default_tuning")]
        tuning_parameter: f64,
    }
    typed(input, |Input { n, q, alpha, tuning_parameter }| {
        let ranks = quantile_ranks(n, q, alpha, tuning_parameter)?;
        Ok::<_, Failure>(json!({"lower_rank": ranks.lower, "upper_rank": ranks.upper}))
    })
}

fn sequence(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        control: Vec<f64>,
        treatment: Vec<f64>,
        q: f64,
        #[serde(default = "default_alpha")]
        alpha: f64,
        #[serde(default = "default_tuning")]
        tuning_parameter: f64,
    }
    typed(input, |Input { mut control, mut treatment, q, alpha, tuning_parameter }| {
        control.sort_unstable_by(f64::total_cmp);
        treatment.sort_unstable_by(f64::total_cmp);
        let interval = difference_sequence(&control, &treatment, q, alpha, tuning_parameter)?;
        Ok::<_, Failure>(json!({"ci_lower": interval.lower, "ci_upper": interval.upper}))
    })
}
