//! Sizing: how many recipients before a send, by error rates and by value.

mod by_value;

use serde::Deserialize;
use serde_json::{Value, json};
use stats::power::{Design, Margin, NonInferiority, Reference, Scale, comparison_sample_size, decision_rule};
use stats::{Alternative, Degenerate};

use crate::input::{Difference, Direction, default_alpha, default_power, default_ratio, whole};
use crate::method::{Failure, Field, Method, typed};
use crate::power::{ALPHA, ALTERNATIVE, POWER, RATIO};

pub(crate) const METHODS: &[Method] = &[
    SAMPLE_SIZE_MEAN,
    SAMPLE_SIZE_SEQUENTIAL,
    MINIMUM_DETECTABLE_EFFECT,
    SAMPLE_SIZE_NON_INFERIORITY,
    SAMPLE_SIZE_COMPARISONS,
    DECISION_RULE,
    by_value::TEST_AND_ROLL,
    by_value::TEST_AND_ROLL_K,
];

const VARIANCE: Field = Field {
    name: "variance",
    about: "of one recipient's outcome: p(1−p) for a rate p, of the linearised ratio, or of what a covariate leaves",
};
const VARIANCE_TREATMENT: Field = Field { name: "variance_treatment", about: "where it differs in treatment" };
const EFFECT: Field = Field { name: "effect", about: "treatment minus control, not zero" };
const N_CONTROL: Field = Field { name: "n_control", about: "recipients in control, rounded up" };
const N_TREATMENT: Field = Field { name: "n_treatment", about: "recipients in treatment, rounded up" };
const N_TOTAL: Field = Field { name: "n_total", about: "recipients in both arms" };

/// What all designs of two arms ask for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    variance: f64,
    variance_treatment: Option<f64>,
    effect: Option<f64>,
    n_control: Option<f64>,
    baseline_mean: Option<f64>,
    #[serde(default)]
    use_t: bool,
    tuning_parameter: Option<f64>,
    #[serde(default = "default_ratio")]
    ratio: f64,
    #[serde(default = "default_alpha")]
    alpha: f64,
    #[serde(default = "default_power")]
    power: f64,
    #[serde(default)]
    alternative: Alternative,
}

impl Input {
    fn design(&self, reference: Reference) -> Design {
        Design {
            control_variance: self.variance,
            treatment_variance: self.variance_treatment.unwrap_or(self.variance),
            ratio: self.ratio,
            alpha: self.alpha,
            alternative: self.alternative,
            reference,
            scale: Scale::Absolute,
        }
    }

    fn fixed(&self) -> Reference {
        if self.use_t { Reference::WelchT } else { Reference::Normal }
    }

    fn number(field: &str, value: Option<f64>) -> Result<f64, Failure> {
        value.ok_or_else(|| Failure::Input { field: field.to_owned(), message: "missing".to_owned() })
    }
}

/// Both arms rounded up, and their sum.
fn sizes(n_control: f64, ratio: f64) -> (Value, Value, Value) {
    let (control, treatment) = (n_control.ceil(), (n_control * ratio).ceil());
    (whole(control), whole(treatment), whole(control + treatment))
}

const SAMPLE_SIZE_MEAN: Method = Method {
    name: "sample_size_mean",
    summary: "recipients for a given power of a test of two means, rates or ratios",
    formula: "nA = (z_α + z_power)² (vA + vB/r)/effect², both tails counted where two-sided; by noncentral t where use_t",
    reference: "Cohen, Statistical Power Analysis for the Behavioral Sciences (1988), ch. 2",
    inputs: &[
        VARIANCE,
        VARIANCE_TREATMENT,
        EFFECT,
        Field {
            name: "use_t",
            about: "whether the test is by t, which matters below a few hundred recipients; false where not given",
        },
        RATIO,
        ALPHA,
        POWER,
        ALTERNATIVE,
    ],
    outputs: &[N_CONTROL, N_TREATMENT, N_TOTAL],
    refuses: "an effect of zero or of the wrong sign, variances that are both zero, and a power that is not between alpha and 1",
    example: r#"{"variance": 0.0196, "effect": 0.002, "alpha": 0.05, "power": 0.8}"#,
    run: |input| {
        typed(input, |input: Input| {
            let n_control = input.design(input.fixed()).sample_size(Input::number("effect", input.effect)?, input.power)?;
            let (control, treatment, total) = sizes(n_control, input.ratio);
            Ok::<_, Failure>(json!({"n_control": control, "n_treatment": treatment, "n_total": total}))
        })
    },
};

const SAMPLE_SIZE_SEQUENTIAL: Method = Method {
    name: "sample_size_sequential",
    summary: "recipients for a given power of the always-valid test",
    formula: "as sample_size_mean with k(n) in place of z, k = √(2(nρ²+1)/(nρ²) ln(√(nρ²+1)/α)), ρ² = (−2 ln α + ln(1 − 2 ln α))/N_tune; the power \
              of the look at that size, to which earlier looks only add",
    reference: "Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, Annals of Statistics 52 (2024)",
    inputs: &[
        VARIANCE,
        VARIANCE_TREATMENT,
        EFFECT,
        Field {
            name: "tuning_parameter",
            about: "N_tune, recipients in both arms at which the test is tightest; 5000 where not given",
        },
        RATIO,
        ALPHA,
        POWER,
        ALTERNATIVE,
    ],
    outputs: &[
        N_CONTROL,
        N_TREATMENT,
        N_TOTAL,
        Field { name: "inflation", about: "that over the size of the test with one look" },
    ],
    refuses: "as sample_size_mean; one-sided, an alpha of one half or more",
    example: r#"{"variance": 0.0196, "effect": 0.002, "tuning_parameter": 100000, "alpha": 0.05, "power": 0.8}"#,
    run: |input| {
        typed(input, |input: Input| {
            let effect = Input::number("effect", input.effect)?;
            let reference = Reference::AlwaysValid { tuning: input.tuning_parameter.unwrap_or(5000.0) };
            let n_control = input.design(reference).sample_size(effect, input.power)?;
            let inflation = n_control / input.design(Reference::Normal).sample_size(effect, input.power)?;
            let (control, treatment, total) = sizes(n_control, input.ratio);
            Ok::<_, Failure>(json!({"n_control": control, "n_treatment": treatment, "n_total": total, "inflation": inflation}))
        })
    },
};

const MINIMUM_DETECTABLE_EFFECT: Method = Method {
    name: "minimum_detectable_effect",
    summary: "the smallest effect that is seen with a given power",
    formula: "the effect at which SF(c − effect/SE) (two-sided plus SF(c + effect/SE)) is the power, SE² = vA/nA + vB/nB, c = z, t or k(n)",
    reference: "Bloom, Minimum detectable effects, Evaluation Review 19 (1995)",
    inputs: &[
        VARIANCE,
        VARIANCE_TREATMENT,
        Field { name: "n_control", about: "recipients in control, above 0" },
        Field { name: "baseline_mean", about: "optional: control's mean, for the effect as a fraction of it" },
        Field { name: "use_t", about: "whether the test is by t; false where not given" },
        Field { name: "tuning_parameter", about: "given where the test is always-valid: recipients at which it is tightest" },
        RATIO,
        ALPHA,
        POWER,
        ALTERNATIVE,
    ],
    outputs: &[
        Field { name: "effect", about: "treatment minus control; negative for less" },
        Field { name: "relative_effect", about: "as a fraction of the size of the baseline mean; null without one" },
    ],
    refuses: "variances that are both zero, too few recipients for t, and a power that is not between alpha and 1",
    example: r#"{"variance": 0.0196, "n_control": 50000, "baseline_mean": 0.02, "alpha": 0.05, "power": 0.8}"#,
    run: |input| {
        typed(input, |input: Input| {
            let reference = input.tuning_parameter.map_or_else(|| input.fixed(), |tuning| Reference::AlwaysValid { tuning });
            let n_control = Input::number("n_control", input.n_control)?;
            let effect = input.design(reference).minimum_detectable_effect(n_control, input.power)?;
            let relative = input.baseline_mean.map(|mean| effect / mean.abs()).filter(|relative| relative.is_finite());
            Ok::<_, Failure>(json!({"effect": effect, "relative_effect": relative}))
        })
    },
};

const SAMPLE_SIZE_NON_INFERIORITY: Method = Method {
    name: "sample_size_non_inferiority",
    summary: "recipients for showing that a guardrail is kept; rare outcomes take many",
    formula: "nA = ((z_(1−α) + z_power)/D)² (c² vA + vB/r), one-sided; absolute: c = 1, D = margin ∓ expected difference; relative: the contrast \
              mB − c mA of non_inferior, c = 1 ∓ margin, D = margin |mA| ∓ expected difference",
    reference: "Fieller, JRSS B 16 (1954), for the contrast; Schultzberg, Ankargren & Frånberg, arXiv 2402.11609 (2024), for its use",
    inputs: &[
        Field { name: "mean", about: "of control; the rate for a rate" },
        Field {
            name: "variance",
            about: "of one recipient's outcome in control; mean·(1 − mean), that of a rate, where not given",
        },
        VARIANCE_TREATMENT,
        Field { name: "margin", about: "how much worse is tolerated, above 0" },
        Field {
            name: "difference",
            about: "whether the margin is absolute (where not given) or relative, a fraction of the mean",
        },
        Field { name: "direction", about: "higher_is_better or lower_is_better" },
        Field { name: "expected_difference", about: "treatment minus control as expected; 0 where not given" },
        RATIO,
        Field { name: "alpha", about: "the one-sided error; 0.05 where not given" },
        POWER,
    ],
    outputs: &[N_CONTROL, N_TREATMENT, N_TOTAL],
    refuses: "a margin that is not above zero, a relative margin of a mean of zero, and an expected difference as bad as the margin",
    example: r#"{"mean": 0.002, "margin": 0.0004, "difference": "absolute", "direction": "lower_is_better", "alpha": 0.05, "power": 0.8}"#,
    run: |input| {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Guardrail {
            mean: f64,
            variance: Option<f64>,
            variance_treatment: Option<f64>,
            margin: f64,
            #[serde(default)]
            difference: Difference,
            direction: Direction,
            #[serde(default)]
            expected_difference: f64,
            #[serde(default = "default_ratio")]
            ratio: f64,
            #[serde(default = "default_alpha")]
            alpha: f64,
            #[serde(default = "default_power")]
            power: f64,
        }
        typed(input, |guardrail: Guardrail| {
            let control_variance = variance_or_rate(guardrail.mean, guardrail.variance)?;
            let test = NonInferiority {
                control_mean: guardrail.mean,
                control_variance,
                treatment_variance: guardrail.variance_treatment.unwrap_or(control_variance),
                margin: match guardrail.difference {
                    Difference::Absolute => Margin::Absolute(guardrail.margin),
                    Difference::Relative => Margin::Relative(guardrail.margin),
                },
                expected_difference: guardrail.expected_difference,
                lower_is_better: guardrail.direction == Direction::LowerIsBetter,
                ratio: guardrail.ratio,
                alpha: guardrail.alpha,
            };
            let (control, treatment, total) = sizes(test.sample_size(guardrail.power)?, guardrail.ratio);
            Ok::<_, Failure>(json!({"n_control": control, "n_treatment": treatment, "n_total": total}))
        })
    },
};

/// The variance given, or that of a rate.
fn variance_or_rate(mean: f64, variance: Option<f64>) -> Result<f64, Degenerate> {
    match variance {
        Some(variance) => Ok(variance),
        None if mean > 0.0 && mean < 1.0 => Ok(mean * (1.0 - mean)),
        None => {
            Err(Degenerate::new("no spread is given, and the mean is not a rate between 0 and 1 that would have one of its own"))
        }
    }
}

const SAMPLE_SIZE_COMPARISONS: Method = Method {
    name: "sample_size_comparisons",
    summary: "recipients so that each treatment's comparison with control has its power",
    formula: "N = (z_α + z_power)²/effect² · max_i (v_0/w_0 + v_i/w_i), α being of one comparison (see decision_rule)",
    reference: "Dunnett, A multiple comparison procedure for comparing several treatments with a control, JASA 50 (1955)",
    inputs: &[
        Field { name: "variances", about: "of one recipient's outcome, per arm, control first" },
        Field { name: "weights", about: "the arms' shares on any scale, control first; the best ones where not given" },
        EFFECT,
        ALPHA,
        POWER,
        ALTERNATIVE,
    ],
    outputs: &[
        Field { name: "n_total", about: "recipients in all arms" },
        Field { name: "shares", about: "the share of each arm, control first" },
    ],
    refuses: "fewer than two arms, lengths that differ, and numbers that are not above zero",
    example: r#"{"variances": [0.21, 0.2083, 0.2083], "effect": 0.004319, "alpha": 0.0025, "power": 0.8, "alternative": "greater"}"#,
    run: |input| {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Comparisons {
            variances: Vec<f64>,
            weights: Option<Vec<f64>>,
            effect: f64,
            #[serde(default = "default_alpha")]
            alpha: f64,
            #[serde(default = "default_power")]
            power: f64,
            #[serde(default)]
            alternative: Alternative,
        }
        typed(input, |Comparisons { variances, weights, effect, alpha, power, alternative }| {
            let weights = weights.map_or_else(|| stats::power::optimal_allocation(&variances), Ok)?;
            let n_total = comparison_sample_size(&weights, &variances, effect, alpha, alternative, power)?;
            let sum: f64 = weights.iter().sum();
            let shares: Vec<f64> = weights.iter().map(|weight| weight / sum).collect();
            Ok::<_, Failure>(json!({"n_total": whole(n_total.ceil()), "shares": shares}))
        })
    },
};

const DECISION_RULE: Method = Method {
    name: "decision_rule",
    summary: "which error and power each test gets when one success metric must win and no guardrail may break",
    formula: "success metrics α/(treatments · metrics); guardrails α/treatments; every test is sized for 1 − β/(guardrails + 1)",
    reference: "Schultzberg, Ankargren & Frånberg, Risk-aware product decisions in A/B tests with multiple metrics, arXiv 2402.11609 (2024)",
    inputs: &[
        Field { name: "success_metrics", about: "how many, any of which suffices; at least 1" },
        Field { name: "guardrails", about: "how many, all of which must be kept; 0 where not given" },
        Field { name: "treatments", about: "arms besides control; 1 where not given" },
        Field { name: "alpha", about: "the error of the whole decision; 0.05 where not given" },
        POWER,
    ],
    outputs: &[
        Field { name: "success_alpha", about: "the error of each success metric's test" },
        Field { name: "guardrail_alpha", about: "the error of each guardrail's test" },
        Field { name: "power_each", about: "the power each test is sized for" },
    ],
    refuses: "no success metric, no treatment, and a power that is not between alpha and 1",
    example: r#"{"success_metrics": 2, "guardrails": 3, "treatments": 2, "alpha": 0.05, "power": 0.8}"#,
    run: |input| {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Decision {
            success_metrics: u32,
            #[serde(default)]
            guardrails: u32,
            #[serde(default = "one")]
            treatments: u32,
            #[serde(default = "default_alpha")]
            alpha: f64,
            #[serde(default = "default_power")]
            power: f64,
        }
        typed(input, |Decision { success_metrics, guardrails, treatments, alpha, power }| {
            Ok::<_, Failure>(decision_rule(alpha, power, treatments, success_metrics, guardrails)?)
        })
    },
};

fn one() -> u32 {
    1
}
