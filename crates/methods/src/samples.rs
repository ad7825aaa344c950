//! Ranks, robust, more than two variants, and the bootstrap: methods that take the values themselves.

use serde::Deserialize;
use serde_json::{Value, json};
use stats::numeric::Draws;
use stats::samples::bootstrap::{Bootstrap, BootstrapKind, Resampled, bootstrap_mean, bootstrap_quantile};
use stats::samples::dunnett::dunnett;
use stats::samples::ranks::{RankDistribution, mann_whitney};
use stats::samples::robust::{cap_at_percentile, winsorize, yuen_test};
use stats::{Alternative, Degenerate};

use crate::input::default_alpha;
use crate::means::{ALPHA, ALTERNATIVE, TREATMENT};
use crate::method::{Failure, Field, Method, typed};
use crate::summary::{EFFECT_OUTPUTS, effect_json};

const CONTROL: Field = Field { name: "control", about: "[…]: one number per recipient" };
const KIND: Field = Field { name: "kind", about: "percentile (where not given) or basic" };
const RESAMPLES: Field = Field { name: "resamples", about: "100 to 1,000,000; 10,000 where not given" };
const SEED: Field = Field { name: "seed", about: "0 to 2^64 − 1; the same seed gives the same answer; 1 where not given" };
const RESAMPLED_OUTPUTS: &[Field] = &[
    Field { name: "effect", about: "treatment minus control, in the data" },
    Field { name: "ci_lower, ci_upper", about: "of the effect, two-sided" },
];

pub(crate) const METHODS: &[Method] = &[
    Method {
        name: "dunnett",
        summary: "several variants against one control, adjusted for their number",
        formula: "tᵢ = (mᵢ − m0)/(s √(1/nᵢ + 1/n0)), s pooled over all arms; p = 1 − P(max|T| ≤ |tᵢ|), multivariate t with correlations λᵢλⱼ, λᵢ = √(nᵢ/(nᵢ + n0))",
        reference: "Dunnett, JASA 50 (1955)",
        inputs: &[CONTROL, Field { name: "treatments", about: "[[…], …]: one list per variant" }, ALTERNATIVE],
        outputs: &[
            Field { name: "statistics", about: "t of each variant" },
            Field { name: "p_values", about: "adjusted, of each variant" },
        ],
        refuses: "no variant or more than 50, an empty arm, or no variation within any arm",
        example: r#"{"control": [7.4, 8.5, 7.2, 8.2, 9.8, 8.4], "treatments": [[9.8, 8.8, 7.6, 9.3], [12.8, 9.7, 12.1, 9.4, 8.1]], "alternative": "two-sided"}"#,
        run: run_dunnett,
    },
    Method {
        name: "mann_whitney",
        summary: "whether a recipient of the treatment tends to have more than one of control, by ranks",
        formula: "U = RB − nB(nB + 1)/2 with mid-ranks; asymptotic: z = (U − nA nB/2 ∓ ½)/s, s corrected for ties; exact: all orders counted, without ties",
        reference: "Mann & Whitney, Annals of Mathematical Statistics 18 (1947)",
        inputs: &[
            CONTROL,
            TREATMENT,
            Field { name: "variant", about: "asymptotic (where not given), or exact: without ties and up to 10,000 pairs" },
            ALTERNATIVE,
            Field { name: "continuity", about: "whether the asymptotic test is corrected by ½; true where not given" },
        ],
        outputs: &[
            Field { name: "u_treatment", about: "pairs in which the treatment's value is the greater, ties counting half" },
            Field { name: "auc_treatment", about: "their share" },
            Field { name: "p_value", about: "of the alternative" },
        ],
        refuses: "an empty arm, a value that is not finite, equal values only, or for the exact test ties or too many values",
        example: r#"{"control": [20.5, 44.5, 22.0, 24.75], "treatment": [46.9, 25.1, 22.9, 52.4, 35.6], "variant": "exact", "alternative": "greater"}"#,
        run: run_mann_whitney,
    },
    Method {
        name: "yuen_trimmed_t",
        summary: "difference of two trimmed means",
        formula: "g = ⌊trim n⌋ cut at each end, h = n − 2g; d = (n − 1)s²w/(h(h − 1)), s²w winsorised; t = (mB − mA)/√(dA + dB), Welch's degrees of freedom of d and h",
        reference: "Yuen, Biometrika 61 (1974)",
        inputs: &[
            CONTROL,
            TREATMENT,
            Field { name: "trim", about: "fraction cut at each end, from 0 to under 0.5; 0.2 where not given" },
            ALTERNATIVE,
            ALPHA,
        ],
        outputs: EFFECT_OUTPUTS,
        refuses: "an arm of which fewer than two values remain, a value that is not finite, or no variation in what remains",
        example: r#"{"control": [1, 2, 3, 4, 90, 5], "treatment": [3, 4, 5, 6, 8, 70, 7], "trim": 0.2}"#,
        run: run_yuen,
    },
    Method {
        name: "cap_percentile",
        summary: "both arms capped at a percentile of both together",
        formula: "cap = type-7 quantile of both arms pooled (linear between ranks (N − 1)q); greater values become the cap",
        reference: "Hyndman & Fan, The American Statistician 50 (1996); Dixon, Annals of Mathematical Statistics 31 (1960)",
        inputs: &[
            CONTROL,
            TREATMENT,
            Field { name: "percentile", about: "a fraction from 0 to 1" },
            Field { name: "ignore_zeros", about: "whether zeros are left out of the percentile; false where not given" },
        ],
        outputs: &[
            Field { name: "cap", about: "the greatest value that remains" },
            Field { name: "control, treatment", about: "{n, sum, sum_squares} of the capped arm" },
            Field { name: "number_capped", about: "values of both arms above the cap" },
        ],
        refuses: "no values, one that is not finite, or nothing but zeros where they are ignored",
        example: r#"{"control": [0, 1, 2, 3], "treatment": [0, 2, 3, 100], "percentile": 0.9, "ignore_zeros": true}"#,
        run: run_cap,
    },
    Method {
        name: "winsorize_counts",
        summary: "the smallest and largest values of a sample replaced by their neighbours",
        formula: "k = ⌊fraction n⌋ smallest become the (k + 1)-th smallest, k largest the (k + 1)-th largest; n kept",
        reference: "Dixon, Annals of Mathematical Statistics 31 (1960)",
        inputs: &[
            Field { name: "values", about: "[…]: one number per recipient" },
            Field { name: "lower_fraction", about: "from 0 to under 1; 0 where not given" },
            Field { name: "upper_fraction", about: "from 0 to under 1; 0 where not given" },
        ],
        outputs: &[
            Field { name: "values", about: "in the same order" },
            Field { name: "sum", about: "of the new values" },
            Field { name: "sum_squares", about: "of the new values" },
        ],
        refuses: "no values, one that is not finite, or fractions that leave no value as it is",
        example: r#"{"values": [42.5, 0, 0, 45, 0, 23.2, 34.4], "lower_fraction": 0.15, "upper_fraction": 0.15}"#,
        run: run_winsorize,
    },
    Method {
        name: "bootstrap_mean_diff",
        summary: "difference of two means with a bootstrapped interval",
        formula: "each arm resampled with replacement; percentile: quantiles alpha/2 and 1 − alpha/2 of B* − A*; basic: twice the effect less them, swapped",
        reference: "Efron, Annals of Statistics 7 (1979); Davison & Hinkley (1997)",
        inputs: &[CONTROL, TREATMENT, ALPHA, RESAMPLES, KIND, SEED],
        outputs: RESAMPLED_OUTPUTS,
        refuses: "an empty arm, a value that is not finite, or more than 2,000,000,000 values to draw",
        example: r#"{"control": [0, 10.6, 0, 26.7, 6.5, 11.2], "treatment": [4.1, 12, 0, 31.5, 9], "alpha": 0.1, "resamples": 1000, "kind": "percentile", "seed": 7}"#,
        run: |input| run_bootstrap(input, false),
    },
    Method {
        name: "bootstrap_quantile_diff",
        summary: "difference of two quantiles with a bootstrapped interval",
        formula: "as bootstrap_mean_diff for the type-7 quantile q of each arm; each resampled quantile is drawn by its two order statistics",
        reference: "Efron, Annals of Statistics 7 (1979); David & Nagaraja, Order Statistics (2003)",
        inputs: &[
            CONTROL,
            TREATMENT,
            Field { name: "q", about: "which quantile, a fraction from 0 to 1" },
            ALPHA,
            RESAMPLES,
            KIND,
            SEED,
        ],
        outputs: RESAMPLED_OUTPUTS,
        refuses: "an empty arm or a value that is not finite",
        example: r#"{"control": [0, 10.6, 0, 26.7, 6.5, 11.2], "treatment": [4.1, 12, 0, 31.5, 9], "q": 0.8, "resamples": 1000, "kind": "basic"}"#,
        run: |input| run_bootstrap(input, true),
    },
];

fn run_dunnett(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        control: Vec<f64>,
        treatments: Vec<Vec<f64>>,
        #[serde(default)]
        alternative: Alternative,
    }
    typed(input, |Input { control, treatments, alternative }| {
        let comparisons = dunnett(&control, &treatments, alternative)?;
        let statistics: Vec<f64> = comparisons.iter().map(|comparison| comparison.statistic).collect();
        let p_values: Vec<f64> = comparisons.iter().map(|comparison| comparison.p_value).collect();
        Ok::<_, Failure>(json!({"statistics": statistics, "p_values": p_values}))
    })
}

fn run_mann_whitney(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        control: Vec<f64>,
        treatment: Vec<f64>,
        #[serde(default = "asymptotic")]
        variant: RankDistribution,
        #[serde(default)]
        alternative: Alternative,
        #[serde(default = "yes")]
        continuity: bool,
    }
    fn asymptotic() -> RankDistribution {
        RankDistribution::Asymptotic
    }
    fn yes() -> bool {
        true
    }
    typed(input, |Input { control, treatment, variant, alternative, continuity }| {
        let answer = mann_whitney(&control, &treatment, variant, continuity, alternative)?;
        Ok::<_, Failure>(json!({
            "u_treatment": answer.u_variant, "auc_treatment": answer.auc_variant, "p_value": answer.p_value,
        }))
    })
}

fn run_yuen(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        control: Vec<f64>,
        treatment: Vec<f64>,
        #[serde(default = "fifth")]
        trim: f64,
        #[serde(default)]
        alternative: Alternative,
        #[serde(default = "default_alpha")]
        alpha: f64,
    }
    fn fifth() -> f64 {
        0.2
    }
    typed(input, |Input { control, treatment, trim, alternative, alpha }| {
        Ok::<_, Failure>(effect_json(&yuen_test(&control, &treatment, trim, alternative, alpha)?))
    })
}

/// Raw sums of values, as means are put in.
fn sums(values: &[f64]) -> Result<Value, Degenerate> {
    let (sum, sum_squares) = (values.iter().sum::<f64>(), values.iter().map(|value| value * value).sum::<f64>());
    if !sum_squares.is_finite() || !sum.is_finite() {
        return Err(Degenerate::new("the values are so large that their squares cannot be added up"));
    }
    Ok(json!({"n": values.len(), "sum": sum, "sum_squares": sum_squares}))
}

fn run_cap(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        control: Vec<f64>,
        treatment: Vec<f64>,
        percentile: f64,
        #[serde(default)]
        ignore_zeros: bool,
    }
    typed(input, |Input { control, treatment, percentile, ignore_zeros }| {
        let capped = cap_at_percentile(&control, &treatment, percentile, ignore_zeros)?;
        Ok::<_, Failure>(json!({
            "cap": capped.cap, "control": sums(&capped.control)?, "treatment": sums(&capped.variant)?,
            "number_capped": capped.number_capped,
        }))
    })
}

fn run_winsorize(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        values: Vec<f64>,
        #[serde(default)]
        lower_fraction: f64,
        #[serde(default)]
        upper_fraction: f64,
    }
    typed(input, |Input { values, lower_fraction, upper_fraction }| {
        let values = winsorize(&values, lower_fraction, upper_fraction)?;
        let sums = sums(&values)?;
        Ok::<_, Failure>(json!({"values": values, "sum": sums["sum"], "sum_squares": sums["sum_squares"]}))
    })
}

/// The resampled quantile where `of_quantile`, which then wants `q`; else the mean, which does not.
fn run_bootstrap(input: &Value, of_quantile: bool) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        control: Vec<f64>,
        treatment: Vec<f64>,
        q: Option<f64>,
        #[serde(default = "default_alpha")]
        alpha: f64,
        #[serde(default = "ten_thousand")]
        resamples: u64,
        #[serde(default = "percentile")]
        kind: BootstrapKind,
        #[serde(default = "one")]
        seed: u64,
    }
    fn ten_thousand() -> u64 {
        10_000
    }
    fn percentile() -> BootstrapKind {
        BootstrapKind::Percentile
    }
    fn one() -> u64 {
        1
    }
    typed(input, |Input { control, treatment, q, alpha, resamples, kind, seed }| {
        let q_is = |message: &str| Failure::Input { field: "q".to_owned(), message: message.to_owned() };
        let options = Bootstrap { kind, resamples, alpha };
        let mut draws = Draws::seeded(seed);
        let Resampled { effect, interval } = match (of_quantile, q) {
            (true, Some(q)) => bootstrap_quantile(&control, &treatment, q, options, &mut draws)?,
            (false, None) => bootstrap_mean(&control, &treatment, options, &mut draws)?,
            (true, None) => return Err(q_is("missing; it names the quantile, such as 0.9")),
            (false, Some(_)) => return Err(q_is("unknown; a mean has none, `bootstrap_quantile_diff` has")),
        };
        Ok(json!({"effect": effect, "ci_lower": interval.lower, "ci_upper": interval.upper}))
    })
}
