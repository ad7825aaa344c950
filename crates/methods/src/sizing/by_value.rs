//! Sizing by what is earned instead of by error rates.

use serde::Deserialize;
use serde_json::{Value, json};
use stats::Degenerate;
use stats::power::{ArmPrior, RollOut, RollOutPlan, test_and_roll};

use super::variance_or_rate;
use crate::input::whole;
use crate::method::{Failure, Field, Method, typed};

const AUDIENCE: Field = Field { name: "audience", about: "N, all recipients of the campaign, test and roll-out" };

pub(super) const TEST_AND_ROLL: Method = Method {
    name: "test_and_roll",
    summary: "the test size that earns most, for two variants that nothing sets apart",
    formula: "n* = √(N/4 (s/σ)² + (¾ (s/σ)²)²) − ¾ (s/σ)² per arm; profit N μ + (N − 2n) σ/√π/√(1 + (s/σ)²/n); error rate ½ − arctan(√n σ/s)/π",
    reference: "Feit & Berman, Test & Roll: profit-maximizing A/B tests, Marketing Science 38 (2019)",
    inputs: &[
        AUDIENCE,
        Field { name: "mean", about: "μ, the expected value of a variant per recipient; the rate for a rate" },
        Field { name: "prior_deviation", about: "σ, how much variants of past campaigns differed among themselves" },
        Field {
            name: "response_deviation",
            about: "s, of one recipient's outcome; √(mean (1 − mean)), that of a rate, where not given",
        },
    ],
    outputs: &[
        Field { name: "n_per_arm", about: "recipients of each variant in the test, not rounded" },
        Field { name: "test_share", about: "of the audience that is in the test" },
        Field { name: "expected_profit", about: "over the whole audience" },
        Field { name: "expected_profit_untested", about: "without a test" },
        Field { name: "expected_profit_perfect", about: "if the better variant were known" },
        Field { name: "expected_loss", about: "what is missing to the latter" },
        Field { name: "error_rate", about: "the chance that the worse variant is rolled out" },
    ],
    refuses: "an audience below two, a deviation that is not above zero, and a missing deviation where the mean is no rate",
    example: r#"{"audience": 100000, "mean": 0.68, "prior_deviation": 0.03}"#,
    run: |input| {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Input {
            audience: f64,
            mean: f64,
            prior_deviation: f64,
            response_deviation: Option<f64>,
        }
        typed(input, |Input { audience, mean, prior_deviation, response_deviation }| {
            let test = test_and_roll(audience, deviation_or_rate(mean, response_deviation)?, mean, prior_deviation)?;
            Ok::<_, Failure>(json!({
                "n_per_arm": test.n_per_arm,
                "test_share": 2.0 * test.n_per_arm / audience,
                "expected_profit": test.expected_profit,
                "expected_profit_untested": test.expected_profit_untested,
                "expected_profit_perfect": test.expected_profit_perfect,
                "expected_loss": test.expected_profit_perfect - test.expected_profit,
                "error_rate": test.error_rate,
            }))
        })
    },
};

fn deviation_or_rate(mean: f64, deviation: Option<f64>) -> Result<f64, Degenerate> {
    deviation.map_or_else(|| variance_or_rate(mean, None).map(f64::sqrt), Ok)
}

pub(super) const TEST_AND_ROLL_K: Method = Method {
    name: "test_and_roll_k",
    summary: "how many recipients each of several unequal variants should get in the test, to earn most over the whole audience",
    formula: "max over n of Σ n_k (μ_k − c) + (N − Σ n_k) E max(max_k M_k − c, 0), M_k ~ N(μ_k, τ_k²), τ_k = σ_k²/√(σ_k² + s_k²/n_k); the expectation by \
              quadrature, the maximum by search over all arms",
    reference: "Feit & Berman, Test & Roll: profit-maximizing A/B tests, Marketing Science 38 (2019), for the model",
    inputs: &[
        AUDIENCE,
        Field {
            name: "arms",
            about: "2 to 16 of {mean, prior_deviation, response_deviation}: the expected value per message before its cost, how far the truth may be \
                    from it (0 where known), and the deviation of one recipient's outcome (√(mean (1 − mean)) where not given)",
        },
        Field { name: "cost_per_message", about: "in the unit of the value; 0 where not given" },
        Field {
            name: "may_stop",
            about: "whether the rest may be left without a message when none pays its cost; true where not given",
        },
        Field {
            name: "compare_shares",
            about: "test shares to compare with, shared equally; [0, 0.1, 0.2, 0.5] where not given",
        },
    ],
    outputs: &[
        Field { name: "n", about: "recipients of each arm in the test" },
        Field { name: "test_share", about: "of the audience that is in the test" },
        Field { name: "expected_profit", about: "over the whole audience, after costs" },
        Field { name: "expected_profit_perfect", about: "if the value of every arm were known" },
        Field { name: "expected_loss", about: "what is missing to the latter" },
        Field { name: "roll_out_probabilities", about: "for each arm" },
        Field { name: "stop_probability", about: "that nothing is rolled out" },
        Field {
            name: "alternatives",
            about: "per share to compare with: {test_share, expected_profit, expected_loss}; 0 is no test",
        },
    ],
    refuses: "fewer than 2 or more than 16 arms, an audience smaller than the number of arms, and numbers out of range",
    example: r#"{"audience": 100000, "arms": [{"mean": 0.03, "prior_deviation": 0.001}, {"mean": 0.03, "prior_deviation": 0.004}, {"mean": 0.028, "prior_deviation": 0.004}], "cost_per_message": 0.001}"#,
    run: |input| typed(input, test_and_roll_k),
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arm {
    mean: f64,
    prior_deviation: f64,
    response_deviation: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Campaign {
    audience: f64,
    arms: Vec<Arm>,
    #[serde(default)]
    cost_per_message: f64,
    #[serde(default = "yes")]
    may_stop: bool,
    #[serde(default = "default_shares")]
    compare_shares: Vec<f64>,
}

fn yes() -> bool {
    true
}

fn default_shares() -> Vec<f64> {
    vec![0.0, 0.1, 0.2, 0.5]
}

fn test_and_roll_k(campaign: Campaign) -> Result<Value, Failure> {
    let arm = |arm: &Arm| {
        let response_deviation = deviation_or_rate(arm.mean, arm.response_deviation)?;
        Ok(ArmPrior { mean: arm.mean, prior_deviation: arm.prior_deviation, response_deviation })
    };
    let arms = campaign.arms.iter().map(arm).collect::<Result<Vec<ArmPrior>, Degenerate>>()?;
    let Campaign { audience, cost_per_message, may_stop, compare_shares, .. } = campaign;
    let plan = RollOut { arms, audience, cost_per_message, may_stop };
    let perfect = plan.expected_profit_perfect()?;
    let share = |of: &RollOutPlan| of.n.iter().sum::<f64>() / audience;
    let best = plan.best()?;
    let mut alternatives = Vec::new();
    for compared in compare_shares {
        let other = plan.with_test_share(compared)?;
        let (profit, loss) = (other.expected_profit, perfect - other.expected_profit);
        alternatives.push(json!({"test_share": share(&other), "expected_profit": profit, "expected_loss": loss}));
    }
    Ok(json!({
        "n": best.n.iter().map(|n| whole(*n)).collect::<Vec<Value>>(),
        "test_share": share(&best),
        "expected_profit": best.expected_profit,
        "expected_profit_perfect": perfect,
        "expected_loss": perfect - best.expected_profit,
        "roll_out_probabilities": best.chances,
        "stop_probability": best.chance_stopped,
        "alternatives": alternatives,
    }))
}
