//! Markets and many experiments: winners per market, pooling, shrinkage, and the winner's curse.

use serde::Deserialize;
use serde_json::{Value, json};
use stats::hierarchy::{
    BetweenVariance, Centre, Market, Selection, VariantEstimate, best_of_many, james_stein, market_winners, meta_analysis,
    shrunken_effects_about, winners_curse,
};
use stats::numeric::Matrix;

use crate::input::{ALPHA, default_alpha};
use crate::method::{Failure, Field, Method, typed};
use crate::posterior::one;

pub(crate) const METHODS: &[Method] = &[MARKET_WINNER, META_ANALYSIS, SHRUNKEN_EFFECTS, WINNERS_CURSE, BEST_OF_MANY];

const MARKET_WINNER: Method = Method {
    name: "market_winner",
    summary: "the most profitable variant of each market, using what the other markets say of it",
    formula: "d_mv ~ N(a_v + b_mv, s²), a ~ N(0, τ_a²), b ~ N(0, τ_b²); both τ integrated on a grid; choose the greatest E[value × lift − cost]",
    reference: "Rubin, J. Educational Statistics 6 (1981); Dimmery, Bakshy & Sekhon, Shrinkage estimators in online experiments, KDD (2019)",
    inputs: &[Field {
        name: "markets",
        about: "[{variants: [{effect, standard_error > 0} or null], value ≥ 0 (money per unit of lift, 1 where not given), costs: [money per variant over control, 0 where not given]}]",
    }],
    outputs: &[
        Field {
            name: "markets",
            about: "per market: choice (0 is control), arms (control first) with mean, sd, expected_profit, chance_best, expected_loss, pooled (weight of what the variant does everywhere)",
        },
        Field { name: "global_choice", about: "the best arm if all markets had to get the same" },
        Field { name: "between_variants_sd", about: "τ_a, spread of variants' common effects" },
        Field { name: "between_markets_sd", about: "τ_b, spread of a variant's effects between markets" },
    ],
    refuses: "no estimate, markets with different numbers of variants, a standard error not above zero, a negative value",
    example: r#"{"markets": [{"variants": [{"effect": 0.05, "standard_error": 0.02}, {"effect": 0.01, "standard_error": 0.02}], "value": 10000}, {"variants": [{"effect": 0.02, "standard_error": 0.05}, {"effect": 0.06, "standard_error": 0.05}], "value": 2000}, {"variants": [{"effect": 0.04, "standard_error": 0.03}, null], "value": 5000, "costs": [20, 0]}]}"#,
    run: run_markets,
};

const META_ANALYSIS: Method = Method {
    name: "meta_analysis",
    summary: "the mean effect of many experiments and how far they lie apart",
    formula: "weights 1/(s² + τ²); τ² by DerSimonian–Laird, Paule–Mandel or restricted maximum likelihood; Q, I², Hartung–Knapp, prediction interval",
    reference: "DerSimonian & Laird (1986); Paule & Mandel (1982); Viechtbauer (2005); Hartung & Knapp (2001); Higgins et al. (2009)",
    inputs: &[
        ESTIMATES,
        Field { name: "between", about: "dersimonian_laird, paule_mandel or reml; reml where not given" },
        ALPHA,
    ],
    outputs: &[
        Field { name: "mean, standard_error, ci_lower, ci_upper", about: "of the pooled effect, normal" },
        Field {
            name: "hartung_knapp_standard_error, hartung_knapp_ci_lower, hartung_knapp_ci_upper",
            about: "of the pooled effect, t with k − 1 degrees of freedom",
        },
        Field {
            name: "prediction_lower, prediction_upper",
            about: "where the next experiment's true effect lies; null for two experiments",
        },
        Field { name: "between_variance", about: "τ²" },
        Field { name: "q, q_p_value, i_squared", about: "Cochran's Q, its p-value, and the share of variation beyond noise" },
    ],
    refuses: "fewer than two experiments, and a standard error not above zero",
    example: r#"{"estimates": [{"effect": 0.03, "standard_error": 0.01}, {"effect": 0.01, "standard_error": 0.02}, {"effect": 0.05, "standard_error": 0.015}], "between": "reml"}"#,
    run: run_meta,
};

const SHRUNKEN_EFFECTS: Method = Method {
    name: "shrunken_effects",
    summary: "each experiment's effect in the light of all, with honest intervals",
    formula: "θ_i ~ N(μ, τ²); given τ: (1 − B)y + B μ̂, B = s²/(s² + τ²); τ integrated under a uniform prior on the shrinkage",
    reference: "Efron & Morris, JASA 70 (1975); Rubin (1981); Daniels (1999); James & Stein (1961)",
    inputs: &[ESTIMATES, Field { name: "centre", about: "estimated (their mean) or zero; estimated where not given" }, ALPHA],
    outputs: &[
        Field { name: "mean, mean_sd", about: "of the true effects" },
        Field {
            name: "between_sd, between_sd_lower, between_sd_upper",
            about: "spread of true effects: posterior median and interval",
        },
        Field { name: "next_sd", about: "spread of the next true effect about the mean: a prior for it" },
        Field { name: "effects", about: "per experiment: mean, sd, ci_lower, ci_upper, shrinkage, chance_above_zero" },
        Field { name: "james_stein", about: "the plug-in estimates of James & Stein; null below four experiments" },
    ],
    refuses: "fewer than two experiments (one where the centre is zero), and a standard error not above zero",
    example: r#"{"estimates": [{"effect": 28, "standard_error": 15}, {"effect": 8, "standard_error": 10}, {"effect": -3, "standard_error": 16}, {"effect": 7, "standard_error": 11}]}"#,
    run: run_shrunken,
};

const WINNERS_CURSE: Method = Method {
    name: "winners_curse",
    summary: "what remains of an effect that is only looked at because it was large",
    formula: "the μ at which P(Z > z | selected) = 1/2, alpha/2, 1 − alpha/2 for Z ~ N(μ, 1) cut to the selection",
    reference: "Zhong & Prentice, Biostatistics 9 (2008); Lee, Sun, Sun & Taylor, Annals of Statistics 44 (2016)",
    inputs: &[
        Field { name: "effect", about: "as observed" },
        Field { name: "standard_error", about: "greater than zero" },
        Field {
            name: "selection",
            about: "two-sided (|z| > cutoff), greater (z > cutoff), less (z < cutoff) or between; two-sided where not given",
        },
        Field { name: "cutoff", about: "in standard errors; 1.959964 where not given" },
        Field { name: "lower", about: "for between: smallest z that is looked at; unbounded where null or not given" },
        Field { name: "upper", about: "for between: largest z that is looked at; unbounded where null or not given" },
        ALPHA,
    ],
    outputs: &[
        Field { name: "statistic", about: "effect over standard error" },
        Field { name: "estimate", about: "median-unbiased given the selection" },
        Field { name: "ci_lower, ci_upper", about: "given the selection; null beyond 10,000 standard errors" },
    ],
    refuses: "a statistic outside the selection or at its edge, and a standard error not above zero",
    example: r#"{"effect": 0.05, "standard_error": 0.02, "selection": "two-sided"}"#,
    run: run_curse,
};

const BEST_OF_MANY: Method = Method {
    name: "best_of_many",
    summary: "the best variant's effect, freed from having been chosen for being the best",
    formula: "X_w given the choice is normal cut to an interval; its median-unbiased μ, and the hybrid with the simultaneous interval at alpha/10",
    reference: "Andrews, Kitagawa & McCloskey, Inference on winners, Quarterly Journal of Economics 139 (2024)",
    inputs: &[
        ESTIMATES,
        Field {
            name: "control_standard_error",
            about: "of the control that all effects are differences from; 0 (independent) where not given",
        },
        ALPHA,
    ],
    outputs: &[
        Field { name: "winner", about: "the variant with the largest effect, from 0" },
        Field { name: "naive", about: "its effect as observed" },
        Field {
            name: "conditional, conditional_ci_lower, conditional_ci_upper",
            about: "given the choice; null where the race was too close",
        },
        Field { name: "hybrid, hybrid_ci_lower, hybrid_ci_upper", about: "nearly median-unbiased and never far from the data" },
    ],
    refuses: "no variant, and a standard error not above zero or not above control's",
    example: r#"{"estimates": [{"effect": 0.05, "standard_error": 0.02}, {"effect": 0.04, "standard_error": 0.02}, {"effect": -0.01, "standard_error": 0.02}], "control_standard_error": 0.012}"#,
    run: run_best,
};

const ESTIMATES: Field = Field { name: "estimates", about: "[{effect, standard_error > 0}], all in one unit" };

fn pairs(estimates: &[VariantEstimate]) -> Vec<(f64, f64)> {
    estimates.iter().map(|estimate| (estimate.effect, estimate.standard_error)).collect()
}

fn run_markets(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct MarketInput {
        variants: Vec<Option<VariantEstimate>>,
        #[serde(default = "one")]
        value: f64,
        #[serde(default)]
        costs: Option<Vec<f64>>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        markets: Vec<MarketInput>,
    }
    typed(input, |Input { markets }| {
        let market = |MarketInput { variants, value, costs }| {
            let costs = costs.unwrap_or_else(|| vec![0.0; variants.len()]);
            Market { variants, value, costs }
        };
        let markets: Vec<Market> = markets.into_iter().map(market).collect();
        Ok::<_, Failure>(market_winners(&markets)?)
    })
}

fn run_meta(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        estimates: Vec<VariantEstimate>,
        #[serde(default = "reml")]
        between: BetweenVariance,
        #[serde(default = "default_alpha")]
        alpha: f64,
    }
    fn reml() -> BetweenVariance {
        BetweenVariance::Reml
    }
    typed(input, |Input { estimates, between, alpha }| {
        let pooled = meta_analysis(&pairs(&estimates), between, alpha)?;
        Ok::<_, Failure>(json!({
            "mean": pooled.mean, "standard_error": pooled.standard_error,
            "ci_lower": pooled.interval.lower, "ci_upper": pooled.interval.upper,
            "hartung_knapp_standard_error": pooled.hartung_knapp_standard_error,
            "hartung_knapp_ci_lower": pooled.hartung_knapp_interval.lower,
            "hartung_knapp_ci_upper": pooled.hartung_knapp_interval.upper,
            "prediction_lower": pooled.prediction_interval.map(|interval| interval.lower),
            "prediction_upper": pooled.prediction_interval.map(|interval| interval.upper),
            "between_variance": pooled.between_variance,
            "q": pooled.q, "q_p_value": pooled.q_p_value, "i_squared": pooled.i_squared,
        }))
    })
}

fn run_shrunken(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        estimates: Vec<VariantEstimate>,
        #[serde(default = "estimated")]
        centre: Centre,
        #[serde(default = "default_alpha")]
        alpha: f64,
    }
    fn estimated() -> Centre {
        Centre::Estimated
    }
    typed(input, |Input { estimates, centre, alpha }| {
        let estimates = pairs(&estimates);
        let all = shrunken_effects_about(&estimates, centre, alpha)?;
        let effect = |effect: &stats::hierarchy::ShrunkenEffect| {
            json!({
                "mean": effect.mean, "sd": effect.sd, "ci_lower": effect.interval.lower, "ci_upper": effect.interval.upper,
                "shrinkage": effect.shrinkage, "chance_above_zero": effect.chance_above_zero,
            })
        };
        Ok::<_, Failure>(json!({
            "mean": all.mean, "mean_sd": all.mean_sd, "between_sd": all.between_sd,
            "between_sd_lower": all.between_sd_interval.lower, "between_sd_upper": all.between_sd_interval.upper,
            "next_sd": all.next_sd, "effects": all.effects.iter().map(effect).collect::<Vec<_>>(),
            "james_stein": james_stein(&estimates).ok(),
        }))
    })
}

fn run_curse(input: &Value) -> Result<Value, Failure> {
    #[derive(Clone, Copy, Default, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Kind {
        #[default]
        TwoSided,
        Greater,
        Less,
        Between,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        effect: f64,
        standard_error: f64,
        #[serde(default)]
        selection: Kind,
        cutoff: Option<f64>,
        lower: Option<f64>,
        upper: Option<f64>,
        #[serde(default = "default_alpha")]
        alpha: f64,
    }
    typed(input, |Input { effect, standard_error, selection, cutoff, lower, upper, alpha }| {
        let significant = stats::tail::normal_quantile_upper(0.025);
        let selection = match selection {
            Kind::TwoSided => Selection::TwoSided(cutoff.unwrap_or(significant)),
            Kind::Greater => Selection::Greater(cutoff.unwrap_or(significant)),
            Kind::Less => Selection::Less(cutoff.unwrap_or(-significant)),
            Kind::Between => Selection::Between(lower, upper),
        };
        let freed = winners_curse(effect, standard_error, selection, alpha)?;
        Ok::<_, Failure>(json!({
            "statistic": freed.statistic, "estimate": freed.estimate,
            "ci_lower": freed.interval.lower, "ci_upper": freed.interval.upper,
        }))
    })
}

fn run_best(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        estimates: Vec<VariantEstimate>,
        #[serde(default)]
        control_standard_error: f64,
        #[serde(default = "default_alpha")]
        alpha: f64,
    }
    typed(input, |Input { estimates, control_standard_error, alpha }| {
        let above = |estimate: &VariantEstimate| estimate.standard_error > control_standard_error;
        if control_standard_error < 0.0 || !estimates.iter().all(above) {
            let message = "must be zero or more and below every variant's standard error, which contains it".to_owned();
            return Err(Failure::Input { field: "control_standard_error".to_owned(), message });
        }
        let k = estimates.len();
        if k > 1_000 {
            return Err(Failure::Input {
                field: "estimates".to_owned(),
                message: "at most 1000 variants can be compared".to_owned(),
            });
        }
        let mut covariance = Matrix::zeros(k, k);
        for (i, estimate) in estimates.iter().enumerate() {
            (0..k).for_each(|j| covariance[(i, j)] = control_standard_error * control_standard_error);
            covariance[(i, i)] = estimate.standard_error * estimate.standard_error;
        }
        let effects: Vec<f64> = estimates.iter().map(|estimate| estimate.effect).collect();
        let best = best_of_many(&effects, &covariance, alpha)?;
        Ok::<_, Failure>(json!({
            "winner": best.winner, "naive": best.naive, "conditional": best.conditional,
            "conditional_ci_lower": best.conditional_interval.lower, "conditional_ci_upper": best.conditional_interval.upper,
            "hybrid": best.hybrid, "hybrid_ci_lower": best.hybrid_interval.lower, "hybrid_ci_upper": best.hybrid_interval.upper,
        }))
    })
}
