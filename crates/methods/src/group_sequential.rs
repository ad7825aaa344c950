//! Group-sequential.

use serde::Deserialize;
use serde_json::{Value, json};
use stats::Degenerate;
use stats::sequential::group::{Decision, GroupSequential, Look, Sides, Spending, boundaries, inflation};

use crate::input::default_alpha;
use crate::method::{Failure, Field, Method, typed};
use crate::sequential::Sided;

const REFERENCE: &str = "Lan & DeMets, Discrete sequential boundaries for clinical trials, Biometrika 70 (1983); Jennison & Turnbull, Group Sequential Methods (2000)";

const SPENDING: Field = Field {
    name: "spending",
    about: "obrien_fleming_spending, pocock_spending, power (Kim–DeMets) or hwang_shih_decani, which spend; or the classic obrien_fleming, pocock, wang_tsiatis",
};
const PARAMETER: Field = Field {
    name: "parameter",
    about: "exponent > 0 of power, gamma (-500 to 500) of hwang_shih_decani, shape (-10 to 10) of wang_tsiatis; null otherwise",
};
const ALPHA: Field =
    Field { name: "alpha", about: "error of the whole design, on all sides together, between 0 and 1; 0.05 where not given" };
const SIDED: Field = Field { name: "sided", about: "1 or 2; 2 where not given" };
const FRACTIONS: Field =
    Field { name: "information_fractions", about: "planned looks, ascending, more than zero, the last one the end (1)" };
const LOOKS: Field = Field {
    name: "looks",
    about: "looks taken so far, in order: {information_fraction, statistic}; fractions may differ from the plan and exceed 1",
};
const LAST: Field = Field { name: "last", about: "true where the latest look is the last wherever it is; false where not given" };
const BETA_SPENDING: Field = Field { name: "beta_spending", about: "a spending function for giving up; null for none" };
const BETA_PARAMETER: Field = Field { name: "beta_parameter", about: "its parameter, if it has one" };
const BETA: Field =
    Field { name: "beta", about: "chance to miss the effect of the design, between 0 and 1 - alpha; 0.2 where not given" };
const BINDING: Field = Field { name: "binding", about: "whether giving up must be obeyed; false where not given" };

pub(crate) const METHODS: &[Method] = &[
    Method {
        name: "group_sequential_bounds",
        summary: "critical values of the looks of a design",
        formula: "P(first |W(t_k)|/sqrt(t_k) > z_k) = f(t_k) - f(t_(k-1)), W a Brownian motion; f: 2(1 - Phi(z(a/2)/sqrt t)), a ln(1 + (e-1)t), a t^g, a(1 - exp(-g t))/(1 - exp(-g)), a = alpha/sided; classic z_k = c t_k^(D - 1/2)",
        reference: REFERENCE,
        inputs: &[SPENDING, PARAMETER, ALPHA, SIDED, FRACTIONS],
        outputs: &[
            Field { name: "critical_values", about: "one per look, on the scale of z" },
            Field { name: "nominal_p", about: "one-sided p-value of each" },
            Field { name: "cumulative_alpha", about: "error spent up to each look, on all sides together" },
        ],
        refuses: "fractions that do not ascend from above zero, a parameter out of its range, or alpha outside 0 to 1",
        example: r#"{"spending": "obrien_fleming_spending", "parameter": null, "alpha": 0.05, "sided": 2, "information_fractions": [0.25, 0.5, 0.75, 1]}"#,
        run: bounds,
    },
    Method {
        name: "group_sequential_inflation",
        summary: "what equally spaced looks cost against a fixed sample",
        formula: "z_k has mean theta sqrt(t_k); shift = theta² of power 1 - beta; inflation = shift/(z(1 - alpha/sided) + z(1 - beta))²; expected = inflation (1 - sum over k < K of (1 - t_k) P(first crossing at k))",
        reference: "Jennison & Turnbull, Group Sequential Methods with Applications to Clinical Trials (2000), chapter 7",
        inputs: &[SPENDING, PARAMETER, ALPHA, SIDED, BETA, Field { name: "looks", about: "how many, equally spaced; 1 to 500" }],
        outputs: &[
            Field { name: "shift", about: "squared drift of that power" },
            Field { name: "inflation_factor", about: "largest sample over the fixed sample" },
            Field { name: "expected_inflation_h1", about: "mean sample over the fixed sample, at that drift" },
        ],
        refuses: "no looks or more than 500, beta outside 0 to 1 - alpha, or a parameter out of its range",
        example: r#"{"spending": "obrien_fleming", "parameter": null, "alpha": 0.05, "sided": 2, "beta": 0.2, "looks": 3}"#,
        run: inflated,
    },
    Method {
        name: "group_sequential_futility_bounds",
        summary: "critical values for success and for giving up, one-sided",
        formula: "P_θ(first below a_k at k) = β(t_k) - β(t_(k-1)), a_K = b_K; θ solves the last equation; binding: b_k spends alpha with a_k obeyed",
        reference: "Pampallona, Tsiatis & Kim, Interim monitoring of group sequential trials using spending functions for the type I and type II error probabilities, Drug Information Journal 35 (2001)",
        inputs: &[SPENDING, PARAMETER, ALPHA, FRACTIONS, BETA_SPENDING, BETA_PARAMETER, BETA, BINDING],
        outputs: &[
            Field { name: "critical_values", about: "success above, one per look" },
            Field { name: "futility_bounds", about: "giving up below, one per look but the last" },
            Field { name: "cumulative_alpha", about: "error spent up to each look" },
            Field { name: "drift", about: "θ, the mean of z at the planned end at which the power is 1 - beta" },
            Field { name: "power", about: "chance of success up to each look at that drift, giving up obeyed" },
        ],
        refuses: "a classic shape, beta outside 0 to 1 - alpha, or boundaries that meet before the last look",
        example: r#"{"spending": "power", "parameter": 2.2, "alpha": 0.03, "information_fractions": [0.3, 0.7, 1], "beta_spending": "power", "beta_parameter": 3.2, "beta": 0.34, "binding": false}"#,
        run: futility_bounds,
    },
    Method {
        name: "group_sequential_analysis",
        summary: "what each look decides, planned or not, with repeated confidence intervals",
        formula: "boundaries spend f(min(t, 1)) at the looks taken; a last look spends all that is left; repeated interval: statistic -+ critical value, in standard errors",
        reference: REFERENCE,
        inputs: &[SPENDING, PARAMETER, ALPHA, SIDED, FRACTIONS, BETA_SPENDING, BETA_PARAMETER, BETA, BINDING, LOOKS, LAST],
        outputs: &[
            Field {
                name: "decisions",
                about: "per look: critical_value, nominal_p, cumulative_alpha, crossed, lower_critical_value (null where futility is not looked for), futile, ci_lower, ci_upper (repeated, in standard errors)",
            },
            Field { name: "stopped_at", about: "the first look that crossed, counted from 1; null where none did" },
        ],
        refuses: "looks whose fractions do not ascend, or a plan that group_sequential_bounds refuses",
        example: r#"{"spending": "obrien_fleming_spending", "alpha": 0.05, "sided": 2, "information_fractions": [0.25, 0.5, 0.75, 1], "looks": [{"information_fraction": 0.3, "statistic": 1.2}, {"information_fraction": 0.62, "statistic": 2.7}]}"#,
        run: analysis,
    },
    Method {
        name: "median_unbiased_estimate",
        summary: "p-value, estimate and interval after stopping, by stage-wise ordering",
        formula: "p(θ) = P_θ(success before, or z at the last look at least that seen); p-value p(0), estimate p(θ) = 1/2, interval p(θ) = alpha/2 and 1 - alpha/2",
        reference: "Tsiatis, Rosner & Mehta, Exact confidence intervals following a group sequential test, Biometrics 40 (1984)",
        inputs: &[SPENDING, PARAMETER, ALPHA, SIDED, FRACTIONS, BETA_SPENDING, BETA_PARAMETER, BETA, BINDING, LOOKS, LAST],
        outputs: &[
            Field { name: "look", about: "the look that ended the experiment, counted from 1, or the latest" },
            Field { name: "p_value", about: "two-sided" },
            Field { name: "p_value_one_sided", about: "small when the variant is better" },
            Field { name: "estimate", about: "median-unbiased, in standard errors of that look" },
            Field {
                name: "ci_lower, ci_upper",
                about: "in standard errors of that look; error alpha (twice alpha where one-sided)",
            },
        ],
        refuses: "no look, a statistic beyond 1000, or a plan that group_sequential_bounds refuses",
        example: r#"{"spending": "pocock_spending", "alpha": 0.05, "sided": 2, "information_fractions": [0.5, 1], "looks": [{"information_fraction": 0.5, "statistic": 1.2}, {"information_fraction": 1, "statistic": 2.7}]}"#,
        run: median_unbiased,
    },
    Method {
        name: "conditional_power",
        summary: "the chance that an experiment under way still crosses a boundary",
        formula: "one look to come: Phi((z_k sqrt(t_k) + θ(1 - t_k) - b_K)/sqrt(1 - t_k)); more: by recursive integration; predictive: averaged over θ ~ N(z_k/sqrt(t_k), 1/t_k)",
        reference: "Lan, Simon & Halperin, Stochastically curtailed tests in long-term clinical trials, Sequential Analysis 1 (1982); Spiegelhalter, Freedman & Blackburn, Monitoring clinical trials, Controlled Clinical Trials 7 (1986)",
        inputs: &[
            SPENDING,
            PARAMETER,
            ALPHA,
            SIDED,
            FRACTIONS,
            BETA_SPENDING,
            BETA_PARAMETER,
            BETA,
            BINDING,
            LOOKS,
            Field {
                name: "drift",
                about: "θ, the mean of z at the planned end, -1000 to 1000; the trend so far, z/sqrt(t), where not given",
            },
        ],
        outputs: &[
            Field { name: "drift", about: "θ" },
            Field { name: "conditional_power", about: "chance to cross above at that drift" },
            Field { name: "conditional_power_below", about: "chance to cross below at that drift" },
            Field { name: "predictive_power", about: "chance to cross above, averaged over what the data say of the drift" },
            Field { name: "predictive_power_below", about: "the same for crossing below" },
        ],
        refuses: "no look yet, no planned look still to come, or too little information to predict from",
        example: r#"{"spending": "obrien_fleming_spending", "alpha": 0.05, "sided": 2, "information_fractions": [0.25, 0.5, 0.75, 1], "looks": [{"information_fraction": 0.5, "statistic": 1.8}]}"#,
        run: conditional_power,
    },
];

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Shape {
    ObrienFlemingSpending,
    PocockSpending,
    Power,
    HwangShihDecani,
    ObrienFleming,
    Pocock,
    WangTsiatis,
}

/// The shape with its parameter, which `field` names where it is missing.
fn spending(shape: Shape, parameter: Option<f64>, field: &str) -> Result<Spending, Failure> {
    let needed = || {
        let message = "this shape needs a number".to_owned();
        parameter.ok_or_else(|| Failure::Input { field: field.to_owned(), message })
    };
    Ok(match shape {
        Shape::ObrienFlemingSpending => Spending::ObrienFlemingSpending,
        Shape::PocockSpending => Spending::PocockSpending,
        Shape::Power => Spending::Power { exponent: needed()? },
        Shape::HwangShihDecani => Spending::HwangShihDeCani { gamma: needed()? },
        Shape::ObrienFleming => Spending::ObrienFleming,
        Shape::Pocock => Spending::Pocock,
        Shape::WangTsiatis => Spending::WangTsiatis { shape: needed()? },
    })
}

fn sides(sided: Sided) -> Sides {
    match sided {
        Sided::One => Sides::One,
        Sided::Two => Sides::Two,
    }
}

fn default_beta() -> f64 {
    0.2
}

fn bounds(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        spending: Shape,
        parameter: Option<f64>,
        #[serde(default = "default_alpha")]
        alpha: f64,
        #[serde(default)]
        sided: Sided,
        information_fractions: Vec<f64>,
    }
    typed(input, |input: Input| {
        let spending = spending(input.spending, input.parameter, "parameter")?;
        let found = boundaries(spending, input.alpha, sides(input.sided), &input.information_fractions)?;
        Ok::<_, Failure>(json!({
            "critical_values": found.critical_values, "nominal_p": found.nominal_p, "cumulative_alpha": found.cumulative_alpha,
        }))
    })
}

fn inflated(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        spending: Shape,
        parameter: Option<f64>,
        #[serde(default = "default_alpha")]
        alpha: f64,
        #[serde(default)]
        sided: Sided,
        #[serde(default = "default_beta")]
        beta: f64,
        looks: u32,
    }
    typed(input, |input: Input| {
        let spending = spending(input.spending, input.parameter, "parameter")?;
        let found = inflation(spending, input.alpha, sides(input.sided), input.beta, input.looks as usize)?;
        Ok::<_, Failure>(json!({
            "shift": found.shift, "inflation_factor": found.inflation_factor,
            "expected_inflation_h1": found.expected_inflation_h1,
        }))
    })
}

/// A plan and, where they are asked for, the looks taken.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    spending: Shape,
    parameter: Option<f64>,
    #[serde(default = "default_alpha")]
    alpha: f64,
    #[serde(default)]
    sided: Sided,
    information_fractions: Vec<f64>,
    beta_spending: Option<Shape>,
    beta_parameter: Option<f64>,
    #[serde(default = "default_beta")]
    beta: f64,
    #[serde(default)]
    binding: bool,
    #[serde(default)]
    looks: Vec<LookTaken>,
    #[serde(default)]
    last: bool,
    drift: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LookTaken {
    information_fraction: f64,
    statistic: f64,
}

impl Plan {
    fn design(&self) -> Result<(GroupSequential, Vec<Look>), Failure> {
        let spent = spending(self.spending, self.parameter, "parameter")?;
        let design = GroupSequential::planned(spent, self.alpha, sides(self.sided), &self.information_fractions)?;
        let design = match self.beta_spending {
            None => design,
            Some(shape) => {
                design.with_futility(spending(shape, self.beta_parameter, "beta_parameter")?, self.beta, self.binding)?
            }
        };
        let looks = self.looks.iter();
        let looks = looks.map(|look| Look { information_fraction: look.information_fraction, statistic: look.statistic });
        Ok((design, looks.collect()))
    }
}

fn futility_bounds(input: &Value) -> Result<Value, Failure> {
    typed(input, |input: Plan| {
        let (design, _) = Plan { sided: Sided::One, ..input }.design()?;
        let found = design.futility().ok_or_else(|| Failure::Input {
            field: "beta_spending".to_owned(),
            message: "missing; it names the spending function for giving up".to_owned(),
        })?;
        let before_last = found.lower_critical_values.len() - 1;
        Ok(json!({
            "critical_values": found.boundaries.critical_values, "cumulative_alpha": found.boundaries.cumulative_alpha,
            "futility_bounds": found.lower_critical_values[..before_last], "drift": found.drift, "power": found.power,
        }))
    })
}

fn analysis(input: &Value) -> Result<Value, Failure> {
    typed(input, |input: Plan| {
        let (design, looks) = input.design()?;
        let decisions = design.analyse(&looks, input.last)?;
        let shown = |decision: &Decision| {
            json!({
                "critical_value": decision.critical_value, "nominal_p": decision.nominal_p,
                "cumulative_alpha": decision.cumulative_alpha, "crossed": decision.crossed,
                "lower_critical_value": decision.lower_critical_value, "futile": decision.futile,
                "ci_lower": decision.repeated_interval.lower, "ci_upper": decision.repeated_interval.upper,
            })
        };
        let stopped_at = decisions.iter().position(|decision| decision.crossed).map(|index| index + 1);
        Ok::<_, Failure>(json!({"decisions": decisions.iter().map(shown).collect::<Vec<_>>(), "stopped_at": stopped_at}))
    })
}

fn median_unbiased(input: &Value) -> Result<Value, Failure> {
    typed(input, |input: Plan| {
        let (design, looks) = input.design()?;
        let found = design.estimate(&looks, input.last)?;
        Ok::<_, Failure>(json!({
            "look": found.look, "p_value": found.p_value, "p_value_one_sided": found.p_value_one_sided,
            "estimate": found.median_unbiased, "ci_lower": found.interval.lower, "ci_upper": found.interval.upper,
        }))
    })
}

fn conditional_power(input: &Value) -> Result<Value, Failure> {
    typed(input, |input: Plan| {
        let (design, looks) = input.design()?;
        let latest = looks.last().ok_or_else(|| Degenerate::new("there was no look yet"))?;
        let drift = input.drift.unwrap_or(latest.statistic / latest.information_fraction.sqrt());
        let conditional = design.conditional_power(&looks, drift)?;
        let predictive = design.predictive_power(&looks)?;
        Ok::<_, Failure>(json!({
            "drift": drift, "conditional_power": conditional.above, "conditional_power_below": conditional.below,
            "predictive_power": predictive.above, "predictive_power_below": predictive.below,
        }))
    })
}
