//! Early and machine-made outcomes: maturity, delays, proxies, machine opens.

use serde::Deserialize;
use serde_json::{Value, json};
use stats::delay::{
    AgedCohort, Cohort, CorrectedRate, DelayForecast, MachineShare, PastExperiment, correct_opens, delay_forecast,
    delay_forecast_difference, machine_share, maturity, proxy,
};

use crate::input::{ALPHA, ProportionArm, default_alpha};
use crate::method::{Failure, Field, Method, typed};
use crate::posterior::one;
use crate::summary::effect_json;

pub(crate) const METHODS: &[Method] = &[MATURITY, DELAY_FORECAST, PROXY_METRIC, MACHINE_OPEN_CORRECTION];

const MATURITY: Method = Method {
    name: "maturity",
    summary: "how many recipients are old enough for a look at a given age",
    formula: "a look at age h uses recipients with age ≥ h and outcomes within h; information time = mature / planned",
    reference: "Lan & DeMets, Biometrika 70 (1983), for information time",
    inputs: &[
        Field { name: "cohorts", about: "[{age_hours ≥ 0, n}]: recipients by hours since they were sent to" },
        Field { name: "horizon_hours", about: "the age of the look, zero or more" },
        Field { name: "planned", about: "recipients there are to be in all, at least 1" },
    ],
    outputs: &[
        Field { name: "mature_count", about: "recipients old enough" },
        Field { name: "immature_count", about: "recipients too young, to be left out" },
        Field { name: "mature_fraction", about: "of those sent to" },
        Field { name: "information_time", about: "of those planned, at most 1" },
    ],
    refuses: "negative ages, nobody sent to, nobody planned",
    example: r#"{"cohorts": [{"age_hours": 30, "n": 10000}, {"age_hours": 6, "n": 5000}], "horizon_hours": 24, "planned": 40000}"#,
    run: run_maturity,
};

const DELAY_FORECAST: Method = Method {
    name: "delay_forecast",
    summary: "final conversion rates from partial conversions, where it is known how long conversions take",
    formula: "r = Σ x / Σ n F(age), F the empirical distribution of past delays; variance of conversions and of delays (influence function)",
    reference: "Chapelle, Modeling delayed feedback in display advertising, KDD (2014)",
    inputs: &[
        Field { name: "control", about: "[{age_hours ≥ 0, n, conversions}]: cohorts of control" },
        Field { name: "treatment", about: "the same for the treatment; may be left out" },
        Field { name: "delays_hours", about: "[hours ≥ 0] from message to conversion, of past conversions" },
        Field {
            name: "treatment_delays_hours",
            about: "the same for the treatment, if it is faster or slower; shared where not given",
        },
        ALPHA,
    ],
    outputs: &[
        Field { name: "control, treatment", about: "rate, standard_error, ci_lower, ci_upper, completeness, final_conversions" },
        Field {
            name: "effect, standard_error, statistic, p_value, ci_lower, ci_upper",
            about: "difference of final rates, where there is a treatment",
        },
    ],
    refuses: "no past delay, no recipient older than any, more conversions than the ages allow",
    example: r#"{"control": [{"age_hours": 4, "n": 10000, "conversions": 120}], "treatment": [{"age_hours": 4, "n": 10000, "conversions": 115}], "delays_hours": [0.5, 1, 2, 3, 6, 9, 20], "treatment_delays_hours": [1.5, 2, 3, 4, 7, 10, 21]}"#,
    run: run_forecast,
};

const PROXY_METRIC: Method = Method {
    name: "proxy_metric",
    summary: "the late effect predicted from the early one, and whether an early winner may be declared",
    formula: "Λ = covariance of past effects less mean noise; slope Λ_sl/Λ_ss; prediction μ_l + Λ_sl/(Λ_ss + s²)(ŝ − μ_s), variance Λ_ll − Λ_sl²/(Λ_ss + s²) + jackknife",
    reference: "Tripuraneni et al., Choosing a proxy metric from past experiments, arXiv 2309.07893 (2023)",
    inputs: &[
        Field {
            name: "past",
            about: "[{short_effect, short_standard_error, long_effect, long_standard_error, error_correlation}], five or more; the correlation is 0 where not given",
        },
        Field { name: "short_effect", about: "early effect of the experiment at hand; no prediction where not given" },
        Field { name: "short_standard_error", about: "its standard error; 0 where not given" },
        ALPHA,
    ],
    outputs: &[
        Field { name: "slope, intercept", about: "late effect by true early effect" },
        Field { name: "residual_sd", about: "how far true late effects lie from the line" },
        Field { name: "explained", about: "share of the late effects' variance that the early ones explain" },
        Field { name: "usable, why", about: "whether an early winner may be declared, and if not, why (else null)" },
        Field { name: "predicted_mean, predicted_sd, ci_lower, ci_upper, chance_above_zero", about: "the late effect" },
    ],
    refuses: "fewer than five past experiments, and numbers out of range",
    example: r#"{"past": [{"short_effect": 0.1, "short_standard_error": 0.02, "long_effect": 0.08, "long_standard_error": 0.03}, {"short_effect": -0.05, "short_standard_error": 0.02, "long_effect": -0.03, "long_standard_error": 0.03}, {"short_effect": 0.02, "short_standard_error": 0.02, "long_effect": 0.02, "long_standard_error": 0.03}, {"short_effect": 0.15, "short_standard_error": 0.02, "long_effect": 0.1, "long_standard_error": 0.03}, {"short_effect": -0.1, "short_standard_error": 0.02, "long_effect": -0.09, "long_standard_error": 0.03}], "short_effect": 0.06, "short_standard_error": 0.02}"#,
    run: run_proxy,
};

const MACHINE_OPEN_CORRECTION: Method = Method {
    name: "machine_open_correction",
    summary: "open rates and their difference without the opens that machines made",
    formula: "r = (observed − π)/(1 − π); errors by the delta method for opens and π; π given, or flagged/n divided by the flags' sensitivity",
    reference: "Rogan & Gladen, Estimating prevalence from the results of a screening test, American J. Epidemiology 107 (1978)",
    inputs: &[
        Field { name: "control", about: "{n, successes}: recipients and opens, machines included" },
        Field { name: "treatment", about: "the same for the variant" },
        Field {
            name: "machine_share",
            about: "{share, standard_error}: recipients for whom a machine opens, from 0 to below 1; error 0 where not given",
        },
        Field { name: "treatment_machine_share", about: "the same for the treatment; shared where not given" },
        Field { name: "flagged", about: "{n, successes}: recipients and flagged opens, instead of machine_share" },
        Field { name: "sensitivity", about: "share of machine opens that the flags catch, above 0 to 1; 1 where not given" },
        ALPHA,
    ],
    outputs: &[
        Field { name: "machine_share, machine_share_standard_error", about: "as used for control" },
        Field { name: "control, treatment", about: "observed, rate, standard_error, ci_lower, ci_upper" },
        Field { name: "effect, standard_error, statistic, p_value, ci_lower, ci_upper", about: "difference of persons' rates" },
        Field {
            name: "relative_effect, relative_standard_error, relative_ci_lower, relative_ci_upper",
            about: "as a fraction of control",
        },
    ],
    refuses: "fewer opens than machines alone would make, a share of one or more, and arms without variation",
    example: r#"{"control": {"n": 10000, "successes": 5200}, "treatment": {"n": 10000, "successes": 5800}, "machine_share": {"share": 0.4, "standard_error": 0.01}}"#,
    run: run_machine_opens,
};

fn run_maturity(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        cohorts: Vec<Cohort>,
        horizon_hours: f64,
        planned: u64,
    }
    typed(input, |Input { cohorts, horizon_hours, planned }| Ok::<_, Failure>(maturity(&cohorts, horizon_hours, planned)?))
}

fn run_forecast(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        control: Vec<AgedCohort>,
        treatment: Option<Vec<AgedCohort>>,
        delays_hours: Vec<f64>,
        treatment_delays_hours: Option<Vec<f64>>,
        #[serde(default = "default_alpha")]
        alpha: f64,
    }
    let arm = |forecast: &DelayForecast| {
        json!({
            "rate": forecast.rate, "standard_error": forecast.standard_error,
            "ci_lower": forecast.interval.lower, "ci_upper": forecast.interval.upper,
            "completeness": forecast.completeness, "final_conversions": forecast.final_conversions,
        })
    };
    typed(input, |Input { control, treatment, delays_hours, treatment_delays_hours, alpha }| {
        let Some(treatment) = treatment else {
            return Ok::<_, Failure>(json!({"control": arm(&delay_forecast(&control, &delays_hours, alpha)?)}));
        };
        let both = delay_forecast_difference(&control, &treatment, &delays_hours, treatment_delays_hours.as_deref(), alpha)?;
        let mut answer = effect_json(&both.effect);
        answer["control"] = arm(&both.control);
        answer["treatment"] = arm(&both.treatment);
        Ok(answer)
    })
}

fn run_proxy(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        past: Vec<PastExperiment>,
        short_effect: Option<f64>,
        #[serde(default)]
        short_standard_error: f64,
        #[serde(default = "default_alpha")]
        alpha: f64,
    }
    typed(input, |Input { past, short_effect, short_standard_error, alpha }| {
        let learnt = proxy(&past)?;
        let mut answer = json!({
            "slope": learnt.slope, "intercept": learnt.intercept, "residual_sd": learnt.residual_sd,
            "explained": learnt.explained, "usable": learnt.usable, "why": learnt.why,
        });
        if let Some(short_effect) = short_effect {
            let prediction = learnt.predict(short_effect, short_standard_error, alpha)?;
            answer["predicted_mean"] = json!(prediction.mean);
            answer["predicted_sd"] = json!(prediction.sd);
            answer["ci_lower"] = json!(prediction.interval.lower);
            answer["ci_upper"] = json!(prediction.interval.upper);
            answer["chance_above_zero"] = json!(prediction.chance_above_zero);
        }
        Ok::<_, Failure>(answer)
    })
}

fn run_machine_opens(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        control: ProportionArm,
        treatment: ProportionArm,
        machine_share: Option<MachineShare>,
        treatment_machine_share: Option<MachineShare>,
        flagged: Option<ProportionArm>,
        #[serde(default = "one")]
        sensitivity: f64,
        #[serde(default = "default_alpha")]
        alpha: f64,
    }
    let arm = |rate: &CorrectedRate| {
        json!({
            "observed": rate.observed, "rate": rate.rate, "standard_error": rate.standard_error,
            "ci_lower": rate.interval.lower, "ci_upper": rate.interval.upper,
        })
    };
    typed(input, |input: Input| {
        let share = match (input.machine_share, input.flagged) {
            (Some(share), None) => share,
            (None, Some(flagged)) => machine_share(flagged.proportion(), input.sensitivity)?,
            _ => {
                let message = "give either machine_share or flagged".to_owned();
                return Err(Failure::Input { field: "machine_share".to_owned(), message });
            }
        };
        let (control, treatment) = (input.control.proportion(), input.treatment.proportion());
        let corrected = correct_opens(control, treatment, share, input.treatment_machine_share, input.alpha)?;
        let mut answer = effect_json(&corrected.effect);
        answer["control"] = arm(&corrected.control);
        answer["treatment"] = arm(&corrected.treatment);
        answer["machine_share"] = json!(share.share);
        answer["machine_share_standard_error"] = json!(share.standard_error);
        answer["relative_effect"] = json!(corrected.relative);
        answer["relative_standard_error"] = json!(corrected.relative_standard_error);
        answer["relative_ci_lower"] = json!(corrected.relative_interval.lower);
        answer["relative_ci_upper"] = json!(corrected.relative_interval.upper);
        Ok(answer)
    })
}
