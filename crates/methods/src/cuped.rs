//! Covariates known before the send.

use serde::Deserialize;
use serde_json::{Value, json};
use stats::adjusted::lin::{Population, lin};
use stats::adjusted::named::{AdjustedByLog, cuped_by_delta, cuped_by_log, cuped_ratio, cuped_ratio_by_log};
use stats::adjusted::{Comparison, Dropped, Shape, compare};
use stats::{CoMoments, Degenerate, Lift};

use crate::input::{ALPHA, CupedArm, CupedRatioArm, default_alpha};
use crate::method::{Failure, Field, Method, typed};
use crate::summary::effect_json;

const CONTROL: Field = Field {
    name: "control",
    about: "{n, sum, sum_squares, covariate_sum, covariate_sum_squares, sum_of_products}: recipients, then sums over recipients \
            of the outcome, the covariate, their squares and their product",
};
const RATIO_CONTROL: Field = Field {
    name: "control",
    about: "{n, X_sum and X_sum_squares for X = m_post, d_post, m_pre, d_pre, and X_Y_sum_of_products for their six pairs in \
            that order}: numerator m and denominator d of a recipient, after and before",
};
const TREATMENT: Field = Field { name: "treatment", about: "the same for the variant" };
const OUTPUTS: &[Field] = &[
    Field { name: "theta", about: "the slope on the covariate" },
    Field {
        name: "effect",
        about: "adjusted variant minus adjusted control; a fraction of control where the method is relative",
    },
    Field { name: "standard_error", about: "of the effect" },
    Field { name: "statistic", about: "effect over standard error" },
    Field { name: "degrees_of_freedom", about: "of the t distribution" },
    Field { name: "p_value", about: "two-sided" },
    Field { name: "ci_lower, ci_upper", about: "of the effect, two-sided, at one minus alpha" },
];
const LOG_OUTPUTS: &[Field] = &[
    Field { name: "theta", about: "the slope on the covariate" },
    Field { name: "control_adjusted, treatment_adjusted", about: "the adjusted estimates" },
    Field { name: "effect", about: "their difference" },
    Field { name: "p_value", about: "of the difference, two-sided" },
    Field { name: "ci_lower, ci_upper", about: "of the difference" },
    Field { name: "relative_effect", about: "the ratio of the adjusted estimates less one" },
    Field {
        name: "relative_ci_lower, relative_ci_upper",
        about: "of the relative effect; its ends change places where the adjusted values have opposite signs",
    },
];
const FIELLER_OUTPUTS: &[Field] = &[
    Field { name: "slopes", about: "one per covariate; 0 for those left out" },
    Field { name: "left_out", about: "why covariates were left out" },
    Field { name: "variance_removed", about: "the share of the difference's variance that the covariates removed" },
    Field { name: "control_adjusted, treatment_adjusted", about: "the estimates at the covariate means of both arms together" },
    Field { name: "effect", about: "their difference" },
    Field { name: "standard_error", about: "of the difference" },
    Field { name: "statistic", about: "difference over standard error" },
    Field { name: "degrees_of_freedom", about: "of the t distribution" },
    Field { name: "p_value", about: "of the difference, two-sided" },
    Field { name: "ci_lower, ci_upper", about: "of the difference" },
    Field { name: "relative_effect", about: "Fieller's; left out where control cannot be told from zero" },
    Field { name: "relative_ci_lower, relative_ci_upper", about: "of the relative effect, by Fieller" },
    Field { name: "relative_why", about: "why there is no relative effect, where there is none" },
];
const REFUSES: &str = "an arm below two recipients, no variation beside the covariate's, a control mean of zero where relative";
const RATIO_REFUSES: &str = "an arm below two recipients, a denominator of zero on average, no variation";
const DENG: &str = "Deng, Xu, Kohavi & Walker, Improving the sensitivity of online controlled experiments, WSDM (2013)";
const EXAMPLE: &str = r#"{"control": {"n": 873, "sum": 6797.02, "sum_squares": 339499.52, "covariate_sum": 25428.67, "covariate_sum_squares": 1270417.14, "sum_of_products": 256427.31}, "treatment": {"n": 103, "sum": 702.31, "sum_squares": 27603.26, "covariate_sum": 3032.64, "covariate_sum_squares": 151254.52, "sum_of_products": 29204.47}, "alpha": 0.05}"#;
const RATIO_EXAMPLE: &str = r#"{"control": {"n": 6385, "m_post_sum": 175344.01, "m_post_sum_squares": 20373147.45, "d_post_sum": 21482, "d_post_sum_squares": 103578, "m_pre_sum": 162635.27, "m_pre_sum_squares": 19252288.5, "d_pre_sum": 19988, "d_pre_sum_squares": 91906, "m_post_d_post_sum_of_products": 1006448.82, "m_post_m_pre_sum_of_products": 16224019.4, "m_post_d_pre_sum_of_products": 844467.99, "d_post_m_pre_sum_of_products": 824000.58, "d_post_d_pre_sum_of_products": 83476, "m_pre_d_pre_sum_of_products": 914868.42}, "treatment": {"n": 3192, "m_post_sum": 87185.6, "m_post_sum_squares": 9024032.41, "d_post_sum": 10825, "d_post_sum_squares": 52743, "m_pre_sum": 79269.92, "m_pre_sum_squares": 7165577.51, "d_pre_sum": 10085, "d_pre_sum_squares": 45847, "m_post_d_post_sum_of_products": 497594.41, "m_post_m_pre_sum_of_products": 6701017.81, "m_post_d_pre_sum_of_products": 399468.77, "d_post_m_pre_sum_of_products": 395091.77, "d_post_d_pre_sum_of_products": 42189, "m_pre_d_pre_sum_of_products": 417321.13}, "alpha": 0.1}"#;
const INPUTS: &[Field] = &[CONTROL, TREATMENT, ALPHA];
const RATIO_INPUTS: &[Field] = &[RATIO_CONTROL, TREATMENT, ALPHA];

pub(crate) const METHODS: &[Method] = &[
    Method {
        name: "cuped_absolute",
        summary: "difference of two means, adjusted by a covariate known before the send",
        formula: "θ = cov(y, x)/var(x) over both arms as one sample; difference of y − θ x; v = vy + θ² vx − 2 θ cxy per arm; Welch's t",
        reference: DENG,
        inputs: INPUTS,
        outputs: OUTPUTS,
        refuses: REFUSES,
        example: EXAMPLE,
        run: |input| {
            with_means(input, |control, treatment, alpha| {
                let found = compare(control, treatment, Shape::Mean, 1, alpha)?;
                Ok(with_theta(found.slopes[0], effect_json(&found.absolute)))
            })
        },
    },
    Method {
        name: "cuped_relative",
        summary: "covariate-adjusted difference over control's unadjusted mean, linearised (the product's own is cuped_fieller)",
        formula: "(adjB − adjA)/|mA|; SE² = vB/(nB mA²) + [vyA mB²/mA² − 2 θ cA mB/mA + θ² vxA]/(nA mA²)",
        reference: DENG,
        inputs: INPUTS,
        outputs: OUTPUTS,
        refuses: REFUSES,
        example: EXAMPLE,
        run: |input| {
            with_means(input, |control, treatment, alpha| {
                let (theta, effect) = cuped_by_delta(control, treatment, alpha)?;
                Ok(with_theta(theta, effect_json(&effect)))
            })
        },
    },
    Method {
        name: "cuped_relative_log",
        summary: "covariate-adjusted difference of two means, with the lift of the adjusted means by logarithms",
        formula: "adj = y − θ (x − X̄), X̄ over both arms; r = adjB/adjA; r exp(∓ t √Σ v/(n adj²)) − 1",
        reference: DENG,
        inputs: INPUTS,
        outputs: LOG_OUTPUTS,
        refuses: "an arm below two recipients, no variation, an adjusted mean of zero",
        example: EXAMPLE,
        run: |input| with_means(input, |control, treatment, alpha| Ok(by_log(&cuped_by_log(control, treatment, alpha)?))),
    },
    Method {
        name: "cuped_fieller",
        summary: "covariate-adjusted difference of two means, with the lift by Fieller (the product's default)",
        formula: "{ρ : (adjB − ρ adjA)² ≤ k² (vB − 2 ρ cAB + ρ² vA)}; the shared covariate mean makes the covariance cAB",
        reference: "Fieller, JRSS B 16 (1954); Deng, Xu, Kohavi & Walker, WSDM (2013)",
        inputs: INPUTS,
        outputs: FIELLER_OUTPUTS,
        refuses: REFUSES,
        example: EXAMPLE,
        run: |input| {
            with_means(input, |control, treatment, alpha| {
                Ok(full(&compare(control, treatment, Shape::Mean, 1, alpha)?, &["covariate"]))
            })
        },
    },
    Method {
        name: "cuped_ratio_absolute",
        summary: "difference of two ratios, adjusted by the same ratio before the send",
        formula: "θ = Σ arms g_post'C g_pre / Σ arms g_pre'C g_pre, g = (1/mD, −mM/mD²); adj = R_post − θ R_pre; Welch's t",
        reference: DENG,
        inputs: RATIO_INPUTS,
        outputs: OUTPUTS,
        refuses: RATIO_REFUSES,
        example: RATIO_EXAMPLE,
        run: |input| {
            with_ratios(input, |control, treatment, alpha| {
                let found = cuped_ratio(control, treatment, alpha)?;
                Ok(with_theta(found.theta, effect_json(&found.absolute)))
            })
        },
    },
    Method {
        name: "cuped_ratio_relative",
        summary: "adjusted difference of two ratios over control's unadjusted ratio, linearised over all eight means",
        formula: "(adjB − adjA)/|RA|, θ and adj as in cuped_ratio_absolute; variance by the gradient over the eight means",
        reference: DENG,
        inputs: RATIO_INPUTS,
        outputs: OUTPUTS,
        refuses: "an arm below two recipients, a denominator or control ratio of zero, no variation",
        example: RATIO_EXAMPLE,
        run: |input| {
            with_ratios(input, |control, treatment, alpha| {
                let found = cuped_ratio(control, treatment, alpha)?;
                Ok(with_theta(found.theta, effect_json(&found.relative?)))
            })
        },
    },
    Method {
        name: "cuped_ratio_log",
        summary: "adjusted difference of two ratios, with the lift by logarithms",
        formula: "θ = cov(R_post, R_pre)/var(R_pre) of both arms as one sample; adj = R_post − θ (R_pre − R_pre of both)",
        reference: DENG,
        inputs: RATIO_INPUTS,
        outputs: LOG_OUTPUTS,
        refuses: "an arm below two recipients, a denominator of zero, a ratio of zero",
        example: RATIO_EXAMPLE,
        run: |input| with_ratios(input, |control, treatment, alpha| Ok(by_log(&cuped_ratio_by_log(control, treatment, alpha)?))),
    },
    Method {
        name: "cuped_ratio_fieller",
        summary: "difference of two ratios, adjusted by numerator and denominator before the send, with the lift by Fieller",
        formula: "slopes of the linearised ratio on m_pre and d_pre over both arms; {ρ : (adjB − ρ adjA)² ≤ k² (vB − 2 ρ cAB + ρ² vA)}",
        reference: "Fieller, JRSS B 16 (1954); Deng, Knoblich & Lu, KDD (2018)",
        inputs: RATIO_INPUTS,
        outputs: FIELLER_OUTPUTS,
        refuses: RATIO_REFUSES,
        example: RATIO_EXAMPLE,
        run: |input| {
            with_ratios(input, |control, treatment, alpha| {
                Ok(full(&compare(control, treatment, Shape::Ratio, 2, alpha)?, &["m_pre", "d_pre"]))
            })
        },
    },
    Method {
        name: "covariates",
        summary: "difference of two means or ratios, adjusted by any number of covariates with common slopes; lift by Fieller",
        formula: "slopes by least squares over both arms as one sample; adj = estimate − θ'(X̄ − X̄ of both); Welch's t and Fieller",
        reference: "Deng, Xu, Kohavi & Walker, WSDM (2013); Fieller, JRSS B 16 (1954)",
        inputs: &[
            VECTOR_CONTROL,
            TREATMENT,
            Field { name: "shape", about: "\"mean\" (outcome, covariates) or \"ratio\" (numerator, denominator, covariates)" },
            Field { name: "covariates", about: "the names of the covariates" },
            ALPHA,
        ],
        outputs: FIELLER_OUTPUTS,
        refuses: REFUSES,
        example: VECTOR_EXAMPLE,
        run: covariates,
    },
    Method {
        name: "lin_regression",
        summary: "difference of two means by the fully interacted regression: every arm has its own slopes; lift by Fieller",
        formula: "per arm the least-squares prediction at the covariate means of both; variance s² (1/n + d'S⁻¹d), s² the arm's residual variance",
        reference: "Lin, Agnostic notes on regression adjustments to experimental data, Annals of Applied Statistics 7 (2013)",
        inputs: &[
            VECTOR_CONTROL,
            TREATMENT,
            Field { name: "covariates", about: "the names of the covariates" },
            Field {
                name: "population",
                about: "\"super\": recipients like these (the default), or \"finite\": these recipients alone",
            },
            ALPHA,
        ],
        outputs: LIN_OUTPUTS,
        refuses: "an arm with fewer recipients than covariates and three, no variation beside the covariates",
        example: r#"{"covariates": ["spend"], "control": {"n": 873, "sums": [6797.02, 25428.67], "sums_of_products": [339499.52, 256427.31, 1270417.14]}, "treatment": {"n": 103, "sums": [702.31, 3032.64], "sums_of_products": [27603.26, 29204.47, 151254.52]}}"#,
        run: lin_regression,
    },
];

const VECTOR_CONTROL: Field = Field {
    name: "control",
    about: "{n, sums, sums_of_products}: recipients, the sum of each number, and the sums of their products as upper triangle by \
            rows: (0,0), (0,1) …, (1,1) …",
};
const VECTOR_EXAMPLE: &str = r#"{"shape": "mean", "covariates": ["spend"], "control": {"n": 873, "sums": [6797.02, 25428.67], "sums_of_products": [339499.52, 256427.31, 1270417.14]}, "treatment": {"n": 103, "sums": [702.31, 3032.64], "sums_of_products": [27603.26, 29204.47, 151254.52]}}"#;
const LIN_OUTPUTS: &[Field] = &[
    Field { name: "slopes_control, slopes_treatment", about: "one per covariate; 0 for those left out" },
    Field { name: "left_out", about: "why covariates were left out" },
    Field { name: "variance_removed", about: "the share of the difference's variance that the covariates removed" },
    Field { name: "control_adjusted, treatment_adjusted", about: "the predictions at the covariate means of both arms together" },
    Field { name: "effect", about: "their difference" },
    Field { name: "standard_error", about: "of the difference" },
    Field { name: "statistic", about: "difference over standard error" },
    Field { name: "degrees_of_freedom", about: "of the t distribution" },
    Field { name: "p_value", about: "of the difference, two-sided" },
    Field { name: "ci_lower, ci_upper", about: "of the difference" },
    Field { name: "relative_effect", about: "Fieller's; left out where control cannot be told from zero" },
    Field { name: "relative_ci_lower, relative_ci_upper", about: "of the relative effect, by Fieller" },
    Field { name: "relative_why", about: "why there is no relative effect, where there is none" },
];

/// Raw sums of several numbers per recipient.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VectorArm {
    n: u64,
    sums: Vec<f64>,
    sums_of_products: Vec<f64>,
}

impl VectorArm {
    fn moments(&self) -> Result<CoMoments, Degenerate> {
        CoMoments::from_sums(self.n, &self.sums, &self.sums_of_products)
    }
}

fn covariates(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        control: VectorArm,
        treatment: VectorArm,
        shape: Shape,
        covariates: Vec<String>,
        #[serde(default = "default_alpha")]
        alpha: f64,
    }
    typed(input, |Input { control, treatment, shape, covariates, alpha }| {
        let names: Vec<&str> = covariates.iter().map(String::as_str).collect();
        let found = compare(&control.moments()?, &treatment.moments()?, shape, names.len(), alpha)?;
        Ok::<_, Failure>(full(&found, &names))
    })
}

fn lin_regression(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        control: VectorArm,
        treatment: VectorArm,
        covariates: Vec<String>,
        #[serde(default = "default_population")]
        population: Population,
        #[serde(default = "default_alpha")]
        alpha: f64,
    }
    typed(input, |Input { control, treatment, covariates, population, alpha }| {
        let found = lin(&control.moments()?, &treatment.moments()?, covariates.len(), population, alpha)?;
        let mut answer = effect_json(&found.absolute);
        let of_arm = |arm: &str, dropped: &Dropped| format!("{arm}: {}", dropped.sentence(&covariates[dropped.covariate]));
        let left_out = found.dropped_control.iter().map(|dropped| of_arm("control", dropped));
        let left_out = left_out.chain(found.dropped_treatment.iter().map(|dropped| of_arm("the variant", dropped)));
        answer["left_out"] = json!(left_out.collect::<Vec<_>>());
        answer["slopes_control"] = json!(found.slopes_control);
        answer["slopes_treatment"] = json!(found.slopes_treatment);
        answer["variance_removed"] = json!(found.variance_removed);
        Ok::<_, Failure>(with_lift(answer, found.mean_control, found.mean_treatment, &found.relative))
    })
}

fn default_population() -> Population {
    Population::Super
}

fn with_theta(theta: f64, mut test: Value) -> Value {
    test["theta"] = json!(theta);
    test
}

fn by_log(found: &AdjustedByLog) -> Value {
    json!({
        "theta": found.theta, "control_adjusted": found.control, "treatment_adjusted": found.treatment,
        "effect": found.absolute.difference, "p_value": found.absolute.p_value,
        "ci_lower": found.absolute.interval.lower, "ci_upper": found.absolute.interval.upper,
        "relative_effect": found.relative.relative,
        "relative_ci_lower": found.relative.interval.lower, "relative_ci_upper": found.relative.interval.upper,
    })
}

/// A comparison as JSON, with the names of its covariates.
fn full(found: &Comparison, names: &[&str]) -> Value {
    let mut answer = effect_json(&found.absolute);
    answer["slopes"] = json!(found.slopes);
    let sentence = |dropped: &Dropped| dropped.sentence(names[dropped.covariate]);
    answer["left_out"] = json!(found.dropped.iter().map(sentence).collect::<Vec<_>>());
    answer["variance_removed"] = json!(found.variance_removed);
    with_lift(answer, found.mean_control, found.mean_treatment, &found.relative)
}

/// Adds the adjusted estimates and Fieller's lift, or why there is none.
fn with_lift(mut answer: Value, control: f64, treatment: f64, relative: &Result<Lift, Degenerate>) -> Value {
    answer["control_adjusted"] = json!(control);
    answer["treatment_adjusted"] = json!(treatment);
    match relative {
        Ok(lift) => {
            answer["relative_effect"] = json!(lift.relative);
            answer["relative_ci_lower"] = json!(lift.interval.lower);
            answer["relative_ci_upper"] = json!(lift.interval.upper);
        }
        Err(degenerate) => answer["relative_why"] = json!(degenerate.why),
    }
    answer
}

fn with_means(input: &Value, answer: impl Fn(&CoMoments, &CoMoments, f64) -> Result<Value, Failure>) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        control: CupedArm,
        treatment: CupedArm,
        #[serde(default = "default_alpha")]
        alpha: f64,
    }
    typed(input, |Input { control, treatment, alpha }| answer(&control.moments()?, &treatment.moments()?, alpha))
}

fn with_ratios(input: &Value, answer: impl Fn(&CoMoments, &CoMoments, f64) -> Result<Value, Failure>) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        control: CupedRatioArm,
        treatment: CupedRatioArm,
        #[serde(default = "default_alpha")]
        alpha: f64,
    }
    typed(input, |Input { control, treatment, alpha }| answer(&control.moments()?, &treatment.moments()?, alpha))
}
