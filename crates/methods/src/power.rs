//! Power: what can be seen with how many recipients, as peers define it.

mod mid_experiment;

use serde::Deserialize;
use serde_json::json;
use stats::power::{
    Design, Groups, PooledNull, Reference, Scale, effect_size_h, effect_size_w, power_anova, power_goodness_of_fit,
    sample_size_unpooled,
};
use stats::{Alternative, CoMoments, Degenerate};

use crate::input::{default_alpha, default_power, default_ratio, needed, whole};
use crate::method::{Failure, Field, Method, typed};

pub(crate) const METHODS: &[Method] = &[
    POWER_PROP_POOLED_NULL,
    SAMPLE_SIZE_PROP_POOLED_NULL,
    POWER_PROP_ARCSINE,
    POWER_T,
    POWER_MEAN,
    SAMPLE_SIZE_PROP_UNPOOLED,
    SAMPLE_SIZE_K_GROUPS,
    mid_experiment::MID_EXPERIMENT_POWER,
    mid_experiment::MID_EXPERIMENT_SCALING_FACTOR,
    POWER_ANOVA,
    POWER_SRM,
];

pub(crate) const ALPHA: Field =
    Field { name: "alpha", about: "the error of the test in total, between 0 and 1; 0.05 where not given" };
pub(crate) const ALTERNATIVE: Field = Field { name: "alternative", about: "two-sided (where not given), greater or less" };
pub(crate) const RATIO: Field =
    Field { name: "ratio", about: "recipients of treatment per recipient of control; 1 where not given" };
pub(crate) const POWER: Field =
    Field { name: "power", about: "the chance of seeing the effect, between alpha and 1; 0.8 where not given" };
const P_CONTROL: Field = Field { name: "p_control", about: "the rate of control, 0 to 1" };
const P_TREATMENT: Field = Field { name: "p_treatment", about: "the rate of treatment, 0 to 1" };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rates {
    p_control: f64,
    p_treatment: f64,
    n_control: Option<f64>,
    power: Option<f64>,
    #[serde(default = "default_ratio")]
    ratio: f64,
    #[serde(default = "default_alpha")]
    alpha: f64,
    #[serde(default)]
    alternative: Alternative,
}

impl Rates {
    fn pooled(&self) -> PooledNull {
        let Self { p_control, p_treatment, ratio, alpha, alternative, .. } = *self;
        PooledNull { p_control, p_treatment, ratio, alpha, alternative }
    }
}

const POWER_PROP_POOLED_NULL: Method = Method {
    name: "power_prop_pooled_null",
    summary: "power of the pooled z-test of two rates",
    formula: "σ0 = √(p(1−p)(1+1/r)), p = (pA+r pB)/(1+r); σ1 = √(pA(1−pA)+pB(1−pB)/r); SF((z σ0 − |d|√nA)/σ1), two-sided plus \
              SF((z σ0 + |d|√nA)/σ1); one-sided, the test is taken to look for the sign of d",
    reference: "Fleiss, Levin & Paik, Statistical Methods for Rates and Proportions (2003), ch. 4",
    inputs: &[
        P_CONTROL,
        P_TREATMENT,
        Field { name: "n_control", about: "recipients in control, above 0" },
        RATIO,
        ALPHA,
        ALTERNATIVE,
    ],
    outputs: &[Field { name: "power", about: "the chance that the test rejects" }],
    refuses: "rates outside 0 to 1, both 0 or both 1, and numbers out of their range",
    example: r#"{"p_control": 0.012, "p_treatment": 0.0144, "n_control": 30000, "ratio": 1, "alpha": 0.05, "alternative": "two-sided"}"#,
    run: |input| {
        typed(input, |rates: Rates| {
            let n_control = needed("n_control", rates.n_control)?;
            Ok::<_, Failure>(json!({"power": rates.pooled().power(n_control)?}))
        })
    },
};

const SAMPLE_SIZE_PROP_POOLED_NULL: Method = Method {
    name: "sample_size_prop_pooled_null",
    summary: "recipients for a given power of the pooled z-test of two rates",
    formula: "nA = ((z σ0 + z_power σ1)/d)², σ0 and σ1 as in power_prop_pooled_null; the wrong tail is not counted",
    reference: "Fleiss, Levin & Paik, Statistical Methods for Rates and Proportions (2003), ch. 4",
    inputs: &[P_CONTROL, P_TREATMENT, POWER, RATIO, ALPHA, ALTERNATIVE],
    outputs: &[Field { name: "n_control", about: "recipients in control, not rounded" }],
    refuses: "equal rates, rates outside 0 to 1, and a power that is not between alpha and 1",
    example: r#"{"p_control": 0.02, "p_treatment": 0.022, "power": 0.8, "ratio": 1, "alpha": 0.05, "alternative": "two-sided"}"#,
    run: |input| {
        typed(input, |rates: Rates| {
            let n_control = rates.pooled().sample_size(rates.power.unwrap_or_else(default_power))?;
            Ok::<_, Failure>(json!({"n_control": n_control}))
        })
    },
};

/// Two arms whose outcomes vary alike.
fn design(variance: f64, ratio: f64, alpha: f64, alternative: Alternative, reference: Reference) -> Design {
    Design {
        control_variance: variance,
        treatment_variance: variance,
        ratio,
        alpha,
        alternative,
        reference,
        scale: Scale::Absolute,
    }
}

const POWER_PROP_ARCSINE: Method = Method {
    name: "power_prop_arcsine",
    summary: "power, recipients or smallest effect for two rates, by Cohen's h",
    formula: "h = 2 asin √pB − 2 asin √pA; SF(z − |h| √(nA/(1+1/r))), two-sided plus SF(z + |h| √(nA/(1+1/r))); one-sided, the test \
              is taken to look for the sign of h",
    reference: "Cohen, Statistical Power Analysis for the Behavioral Sciences (1988), ch. 6",
    inputs: &[
        P_CONTROL,
        P_TREATMENT,
        Field { name: "solve", about: "power, n_control or effect_size_h: what is computed from the others" },
        Field { name: "n_control", about: "recipients in control, above 0; needed unless solved" },
        Field { name: "power", about: "between alpha and 1; needed unless solved" },
        RATIO,
        ALPHA,
        ALTERNATIVE,
    ],
    outputs: &[
        Field { name: "effect_size_h", about: "h of the rates; where solved, the smallest |h| that is seen, negative for less" },
        Field { name: "power", about: "where solved, the chance that the test rejects" },
        Field { name: "n_control", about: "where solved, recipients in control, not rounded" },
    ],
    refuses: "rates outside 0 to 1, equal rates where recipients are solved, and a power that is not between alpha and 1",
    example: r#"{"p_control": 0.011, "p_treatment": 0.01265, "alpha": 0.05, "alternative": "two-sided", "ratio": 1, "solve": "n_control", "power": 0.8}"#,
    run: |input| {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Solve {
            Power,
            NControl,
            EffectSizeH,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Input {
            p_control: f64,
            p_treatment: Option<f64>,
            solve: Solve,
            n_control: Option<f64>,
            power: Option<f64>,
            #[serde(default = "default_ratio")]
            ratio: f64,
            #[serde(default = "default_alpha")]
            alpha: f64,
            #[serde(default)]
            alternative: Alternative,
        }
        typed(input, |Input { p_control, p_treatment, solve, n_control, power, ratio, alpha, alternative }| {
            let test = |alternative| design(1.0, ratio, alpha, alternative, Reference::Normal);
            // The alternative is the sign that h has.
            let sized = if alternative == Alternative::TwoSided { test(alternative) } else { test(Alternative::Greater) };
            let h = || -> Result<f64, Failure> { Ok(effect_size_h(p_control, needed("p_treatment", p_treatment)?)?) };
            match solve {
                Solve::Power => {
                    Ok(json!({"effect_size_h": h()?, "power": sized.power(needed("n_control", n_control)?, h()?.abs())?}))
                }
                Solve::NControl => {
                    Ok(json!({"effect_size_h": h()?, "n_control": sized.sample_size(h()?.abs(), needed("power", power)?)?}))
                }
                Solve::EffectSizeH => {
                    let n_control = needed("n_control", n_control)?;
                    let h = test(alternative).minimum_detectable_effect(n_control, needed("power", power)?)?;
                    Ok::<_, Failure>(json!({"effect_size_h": h}))
                }
            }
        })
    },
};

const POWER_T: Method = Method {
    name: "power_t",
    summary: "power, recipients or smallest effect of Student's t-test of two means",
    formula: "noncentral t with nA(1+r) − 2 degrees of freedom and noncentrality d √(nA r/(1+r)), d = (mB − mA)/sd, beyond the central \
              critical value; two-sided both tails",
    reference: "Cohen, Statistical Power Analysis for the Behavioral Sciences (1988), ch. 2",
    inputs: &[
        Field { name: "solve", about: "power, n_control or effect_size: what is computed from the other two" },
        Field { name: "effect_size", about: "d, the difference in deviations of one recipient's outcome; needed unless solved" },
        Field { name: "n_control", about: "recipients in control; needed unless solved" },
        Field { name: "power", about: "between alpha and 1; needed unless solved" },
        RATIO,
        ALPHA,
        ALTERNATIVE,
    ],
    outputs: &[Field { name: "power, n_control, effect_size", about: "the one that is solved; recipients are not rounded" }],
    refuses: "too few recipients for a t-test, an effect of zero or of the wrong sign where recipients are solved",
    example: r#"{"alpha": 0.05, "ratio": 1, "alternative": "two-sided", "solve": "n_control", "effect_size": 0.1, "power": 0.8}"#,
    run: |input| {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Solve {
            Power,
            NControl,
            EffectSize,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Input {
            solve: Solve,
            effect_size: Option<f64>,
            n_control: Option<f64>,
            power: Option<f64>,
            #[serde(default = "default_ratio")]
            ratio: f64,
            #[serde(default = "default_alpha")]
            alpha: f64,
            #[serde(default)]
            alternative: Alternative,
        }
        typed(input, |Input { solve, effect_size, n_control, power, ratio, alpha, alternative }| {
            let test = design(1.0, ratio, alpha, alternative, Reference::StudentT);
            let effect_size = || needed("effect_size", effect_size);
            let n_control = || needed("n_control", n_control);
            let power = || needed("power", power);
            match solve {
                Solve::Power => Ok(json!({"power": test.power(n_control()?, effect_size()?)?})),
                Solve::NControl => Ok(json!({"n_control": test.sample_size(effect_size()?, power()?)?})),
                Solve::EffectSize => {
                    Ok::<_, Failure>(json!({"effect_size": test.minimum_detectable_effect(n_control()?, power()?)?}))
                }
            }
        })
    },
};

const POWER_MEAN: Method = Method {
    name: "power_mean",
    summary: "power, recipients or smallest effect for a mean, from one sample of the past, with or without a covariate",
    formula: "v of the sample, with a covariate vy + θ² vx − 2 θ cxy, θ = cxy/vx; nA = N/(1+r), nB = N r/(1+r), SE² = v/nA + v/nB; normal, or \
              noncentral t with Welch's degrees of freedom",
    reference: "Cohen, Statistical Power Analysis for the Behavioral Sciences (1988); Deng et al., WSDM 2013, for the covariate",
    inputs: &[
        Field { name: "n", about: "recipients in the sample, at least 2" },
        Field { name: "sum", about: "of one number per recipient" },
        Field { name: "sum_squares", about: "of the same" },
        Field { name: "covariate_sum", about: "optional, with the next two: of a number known before" },
        Field { name: "covariate_sum_squares", about: "of the same" },
        Field { name: "sum_of_products", about: "of outcome and covariate" },
        Field { name: "use_t", about: "whether the test is by t; true where not given" },
        Field { name: "solve", about: "power, n_total or effect_size: what is computed from the other two" },
        Field { name: "n_total", about: "recipients in both arms; needed unless solved" },
        Field { name: "effect_size", about: "treatment minus control; needed unless solved" },
        Field { name: "power", about: "between alpha and 1; needed unless solved" },
        RATIO,
        ALPHA,
        ALTERNATIVE,
    ],
    outputs: &[
        Field { name: "power", about: "given or solved" },
        Field { name: "n_total", about: "given, or solved and rounded up" },
        Field { name: "effect_size", about: "given or solved" },
        Field { name: "relative_effect_size", about: "the effect as a fraction of the sample's mean; null where that is zero" },
    ],
    refuses: "a sample below two recipients or without variation, and an effect of zero or of the wrong sign where recipients are solved",
    example: r#"{"n": 24860, "sum": 44826.29, "sum_squares": 1598632.7767, "use_t": false, "alpha": 0.05, "ratio": 1, "alternative": "two-sided", "solve": "power", "n_total": 5000, "effect_size": 0.663029}"#,
    run: |input| typed(input, power_mean),
};

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum SolveMean {
    Power,
    NTotal,
    EffectSize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PowerMean {
    n: u64,
    sum: f64,
    sum_squares: f64,
    covariate_sum: Option<f64>,
    covariate_sum_squares: Option<f64>,
    sum_of_products: Option<f64>,
    #[serde(default = "default_use_t")]
    use_t: bool,
    solve: SolveMean,
    n_total: Option<f64>,
    effect_size: Option<f64>,
    power: Option<f64>,
    #[serde(default = "default_ratio")]
    ratio: f64,
    #[serde(default = "default_alpha")]
    alpha: f64,
    #[serde(default)]
    alternative: Alternative,
}

fn default_use_t() -> bool {
    true
}

fn power_mean(input: PowerMean) -> Result<serde_json::Value, Failure> {
    let (mean, variance) = baseline(&input)?;
    let reference = if input.use_t { Reference::WelchT } else { Reference::Normal };
    let test = design(variance, input.ratio, input.alpha, input.alternative, reference);
    let n_total = || needed("n_total", input.n_total);
    let effect_size = || needed("effect_size", input.effect_size);
    let power = || needed("power", input.power);
    let n_control = || Ok::<_, Failure>(n_total()? / (1.0 + input.ratio));
    let (power, n_total, effect_size) = match input.solve {
        SolveMean::Power => (test.power(n_control()?, effect_size()?)?, n_total()?, effect_size()?),
        SolveMean::NTotal => {
            let n_control = test.sample_size(effect_size()?, power()?)?;
            (power()?, (n_control * (1.0 + input.ratio)).ceil(), effect_size()?)
        }
        SolveMean::EffectSize => (power()?, n_total()?, test.minimum_detectable_effect(n_control()?, power()?)?),
    };
    let relative = effect_size / mean;
    let relative = relative.is_finite().then_some(relative);
    Ok(json!({"power": power, "n_total": whole(n_total), "effect_size": effect_size, "relative_effect_size": relative}))
}

/// The mean of the sample, and the variance of what is left of the outcome after the covariate.
fn baseline(input: &PowerMean) -> Result<(f64, f64), Failure> {
    let outcome = (input.sum, input.sum_squares);
    let covariate = [input.covariate_sum, input.covariate_sum_squares, input.sum_of_products];
    let sample = match covariate {
        [None, None, None] => CoMoments::from_sums(input.n, &[outcome.0], &[outcome.1])?,
        [Some(sum), Some(squares), Some(products)] => {
            CoMoments::from_sums(input.n, &[outcome.0, sum], &[outcome.1, products, squares])?
        }
        _ => {
            let message = "a covariate needs covariate_sum, covariate_sum_squares and sum_of_products".to_owned();
            return Err(Failure::Input { field: "covariate_sum".to_owned(), message });
        }
    };
    // A covariate that does not vary explains nothing.
    let of_covariate = if sample.dimensions() > 1 { sample.product(1, 1) } else { 0.0 };
    let theta = if of_covariate > 0.0 { sample.product(0, 1) / of_covariate } else { 0.0 };
    let left = if of_covariate > 0.0 { sample.combined(&[1.0, -theta]) } else { sample.moments(0) };
    let variance = left.variance().ok_or_else(|| Degenerate::new("the sample has fewer than two recipients"))?;
    Ok((sample.mean(0), variance))
}

const SAMPLE_SIZE_PROP_UNPOOLED: Method = Method {
    name: "sample_size_prop_unpooled",
    summary: "recipients for a given power of the unpooled z-test of two rates",
    formula: "nB = ⌈((z_(1−α/2) + z_power)/effect)² (pA(1−pA)/k + pB(1−pB))⌉, pB = pA + effect; N = ⌈nB + k nB⌉",
    reference: "Fleiss, Levin & Paik, Statistical Methods for Rates and Proportions (2003), ch. 4",
    inputs: &[
        P_CONTROL,
        Field { name: "effect", about: "treatment's rate minus control's, not zero" },
        Field {
            name: "ratio_control_to_treatment",
            about: "k, recipients of control per recipient of treatment; 1 where not given",
        },
        ALPHA,
        POWER,
    ],
    outputs: &[Field { name: "n_total", about: "recipients in both arms" }],
    refuses: "rates outside 0 to 1, an effect of zero, and a power that is not between alpha and 1",
    example: r#"{"p_control": 0.02, "effect": 0.002, "alpha": 0.05, "power": 0.8, "ratio_control_to_treatment": 1}"#,
    run: |input| {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Input {
            p_control: f64,
            effect: f64,
            #[serde(default = "default_ratio")]
            ratio_control_to_treatment: f64,
            #[serde(default = "default_alpha")]
            alpha: f64,
            #[serde(default = "default_power")]
            power: f64,
        }
        typed(input, |Input { p_control, effect, ratio_control_to_treatment, alpha, power }| {
            let n_total = sample_size_unpooled(p_control, effect, ratio_control_to_treatment, alpha, power)?;
            Ok::<_, Failure>(json!({"n_total": whole(n_total)}))
        })
    },
};

const SAMPLE_SIZE_K_GROUPS: Method = Method {
    name: "sample_size_k_groups",
    summary: "recipients for several treatments, each against control",
    formula: "N = ⌈((z_(1−α/2) + z_power)/(c mde))² v (Σ_i √(1/w0 + 1/wi))²⌉ over c comparisons, v = p(1−p) or the variance, α/c if \
              bonferroni; n_i = ⌈w_i N⌉",
    reference: "Duflo, Glennerster & Kremer, Using randomization in development economics research (2007)",
    inputs: &[
        Field { name: "kind", about: "binomial or continuous" },
        Field { name: "mde", about: "the effect to be seen, absolute, averaged over the comparisons; not zero" },
        Field { name: "baseline", about: "the rate (binomial) or the variance of one recipient's outcome (continuous)" },
        Field { name: "allocation", about: "the share of each arm, control first; they sum to 1" },
        Field { name: "bonferroni", about: "whether alpha is divided by the comparisons; true where not given" },
        ALPHA,
        POWER,
    ],
    outputs: &[
        Field { name: "n_total", about: "recipients in all arms" },
        Field { name: "n_per_group", about: "recipients of each arm, control first, each rounded up" },
    ],
    refuses: "fewer than two arms, shares that do not sum to 1, a rate of 0 or 1, and a power that is not between alpha and 1",
    example: r#"{"kind": "binomial", "mde": 0.002, "baseline": 0.011, "alpha": 0.01, "power": 0.8, "allocation": [0.4, 0.3, 0.3], "bonferroni": true}"#,
    run: |input| {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Kind {
            Binomial,
            Continuous,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Input {
            kind: Kind,
            mde: f64,
            baseline: f64,
            allocation: Vec<f64>,
            #[serde(default = "default_bonferroni")]
            bonferroni: bool,
            #[serde(default = "default_alpha")]
            alpha: f64,
            #[serde(default = "default_power")]
            power: f64,
        }
        typed(input, |Input { kind, mde, baseline, allocation, bonferroni, alpha, power }| {
            let variance = match kind {
                Kind::Continuous => baseline,
                Kind::Binomial if (0.0..=1.0).contains(&baseline) => baseline * (1.0 - baseline),
                Kind::Binomial => {
                    return Err(Degenerate::new(format!("the baseline is {baseline}; a rate lies between 0 and 1")).into());
                }
            };
            let groups = Groups { variance, effect: mde, allocation, alpha, bonferroni };
            let n_total = groups.sample_size(power)?;
            let n_per_group: Vec<_> = groups.allocation.iter().map(|share| whole((share * n_total).ceil())).collect();
            Ok(json!({"n_total": whole(n_total), "n_per_group": n_per_group}))
        })
    },
};

fn default_bonferroni() -> bool {
    true
}

const POWER_ANOVA: Method = Method {
    name: "power_anova",
    summary: "power of the analysis of variance of several arms",
    formula: "noncentral F with k − 1 and N − k degrees of freedom and noncentrality f² N beyond the central critical value",
    reference: "Cohen, Statistical Power Analysis for the Behavioral Sciences (1988), ch. 8",
    inputs: &[
        Field { name: "effect_size_f", about: "deviation of the arms' means over the deviation within arms" },
        Field { name: "n_total", about: "recipients in all arms, more than arms" },
        Field { name: "k_groups", about: "arms, at least 2" },
        ALPHA,
    ],
    outputs: &[Field { name: "power", about: "the chance that the test rejects" }],
    refuses: "fewer than two arms, not more recipients than arms, and numbers out of range",
    example: r#"{"effect_size_f": 0.05, "n_total": 6000, "k_groups": 3, "alpha": 0.05}"#,
    run: |input| {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Input {
            effect_size_f: f64,
            n_total: f64,
            k_groups: u64,
            #[serde(default = "default_alpha")]
            alpha: f64,
        }
        typed(input, |Input { effect_size_f, n_total, k_groups, alpha }| {
            Ok::<_, Failure>(json!({"power": power_anova(effect_size_f, n_total, k_groups, alpha)?}))
        })
    },
};

const POWER_SRM: Method = Method {
    name: "power_srm",
    summary: "the chance that a mismatch of arm sizes is found",
    formula: "w = √(Σ (pt − pe)²/pe); noncentral chi-square with k − 1 degrees of freedom and noncentrality N w² beyond the central critical value",
    reference: "Cohen, Statistical Power Analysis for the Behavioral Sciences (1988), ch. 7",
    inputs: &[
        Field { name: "expected_weights", about: "one per arm, above 0, on any scale" },
        Field { name: "true_weights", about: "one per arm, on any scale" },
        Field { name: "n", about: "recipients in all arms" },
        ALPHA,
    ],
    outputs: &[
        Field { name: "effect_size_w", about: "how far the weights are apart" },
        Field { name: "power", about: "the chance that the chi-square test rejects" },
    ],
    refuses: "fewer than two arms, weights that are not above zero, and numbers out of range",
    example: r#"{"expected_weights": [0.5, 0.5], "true_weights": [0.51, 0.49], "n": 30000, "alpha": 0.01}"#,
    run: |input| {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Input {
            expected_weights: Vec<f64>,
            true_weights: Vec<f64>,
            n: f64,
            #[serde(default = "default_alpha")]
            alpha: f64,
        }
        typed(input, |Input { expected_weights, true_weights, n, alpha }| {
            let w = effect_size_w(&expected_weights, &true_weights)?;
            let power = power_goodness_of_fit(w, n, expected_weights.len() as u64, alpha)?;
            Ok::<_, Failure>(json!({"effect_size_w": w, "power": power}))
        })
    },
};
