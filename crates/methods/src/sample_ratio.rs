//! Sample-ratio mismatch.

use serde::Deserialize;
use serde_json::{Value, json};
use stats::ratio::{BinomialVariant, sample_ratio_binomial};
use stats::{SequentialSampleRatio, sample_ratio};

use crate::method::{Failure, Field, Method, typed};

const WEIGHTS: Field = Field { name: "expected_weights", about: "planned shares per arm, each more than zero, on any scale" };

pub(crate) const METHODS: &[Method] = &[
    Method {
        name: "srm_chi_square",
        summary: "whether the arms have the sizes they were meant to have, tested once",
        formula: "sum (O - E)²/E, E = N w_i / sum w; df = k - 1; p = chi-square tail",
        reference: "Fabijan et al., Diagnosing sample ratio mismatch in online controlled experiments, KDD 2019",
        inputs: &[Field { name: "observed", about: "recipients per arm, two arms or more" }, WEIGHTS],
        outputs: &[
            Field { name: "statistic", about: "Pearson's chi-square" },
            Field { name: "degrees_of_freedom", about: "arms less one" },
            Field { name: "p_value", about: "small where the sizes do not fit the weights" },
        ],
        refuses: "fewer than two arms, nobody assigned, or a weight that is not positive",
        example: r#"{"observed": [199375, 200961], "expected_weights": [0.5, 0.5]}"#,
        run: |input| {
            #[derive(Deserialize)]
            #[serde(deny_unknown_fields)]
            struct Input {
                observed: Vec<u64>,
                expected_weights: Vec<f64>,
            }
            typed(input, |Input { observed, expected_weights }| {
                let test = sample_ratio(&observed, &expected_weights)?;
                Ok::<_, Failure>(json!({
                    "statistic": test.statistic, "degrees_of_freedom": test.degrees_of_freedom, "p_value": test.p_value,
                }))
            })
        },
    },
    Method {
        name: "srm_binomial",
        summary: "whether two arms have the sizes they were meant to have, exactly or by the normal approximation",
        formula: "k of n in treatment, p = r/(1 + r); exact: sum of outcomes no more likely than k; normal: 2 SF((|k - np| - c)/sqrt(np(1-p))), c = 0.5 with continuity, else 0",
        reference: "Fabijan et al., Diagnosing sample ratio mismatch in online controlled experiments, KDD 2019; Clopper & Pearson, Biometrika 26 (1934)",
        inputs: &[
            Field { name: "observed_control", about: "recipients in control" },
            Field { name: "observed_treatment", about: "recipients in the variant" },
            Field { name: "expected_ratio", about: "planned variant over control, more than zero; 1 where not given" },
            Field { name: "variant", about: "exact, normal or normal_continuity; exact where not given" },
        ],
        outputs: &[Field { name: "p_value", about: "two-sided" }],
        refuses: "nobody assigned, or a ratio that is not positive",
        example: r#"{"observed_control": 190, "observed_treatment": 241, "expected_ratio": 1, "variant": "exact"}"#,
        run: |input| {
            #[derive(Deserialize)]
            #[serde(deny_unknown_fields)]
            struct Input {
                observed_control: u64,
                observed_treatment: u64,
                #[serde(default = "one")]
                expected_ratio: f64,
                #[serde(default)]
                variant: BinomialVariant,
            }
            typed(input, |Input { observed_control, observed_treatment, expected_ratio, variant }| {
                let p_value = sample_ratio_binomial(observed_control, observed_treatment, expected_ratio, variant)?;
                Ok::<_, Failure>(json!({"p_value": p_value}))
            })
        },
    },
    Method {
        name: "srm_sequential_multinomial",
        summary: "whether the arms have the sizes they were meant to have, tested at every look",
        formula: "ln BF = lnB(c w + x) - lnB(c w) - sum x ln w, lnB(a) = sum lnGamma(a) - lnGamma(sum a); p = min over looks of min(1, 1/BF)",
        reference: "Lindon & Malek, Anytime-valid inference for multinomial count data, NeurIPS 2022",
        inputs: &[
            Field { name: "increments", about: "per look: recipients since the look before, per arm" },
            WEIGHTS,
            Field {
                name: "concentration",
                about: "c, more than zero; large values look for small mismatches; 10000 where not given",
            },
        ],
        outputs: &[
            Field { name: "log_bayes_factor", about: "after the last look; 0 where there was none" },
            Field { name: "p_values", about: "running minimum, per look" },
        ],
        refuses: "fewer than two arms, a weight or concentration that is not positive, or a look of another number of arms",
        example: r#"{"increments": [[203, 197], [192, 208]], "expected_weights": [0.5, 0.5], "concentration": 100}"#,
        run: sequential_multinomial,
    },
];

fn one() -> f64 {
    1.0
}

fn sequential_multinomial(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        increments: Vec<Vec<u64>>,
        expected_weights: Vec<f64>,
        #[serde(default = "default_concentration")]
        concentration: f64,
    }
    fn default_concentration() -> f64 {
        10_000.0
    }
    typed(input, |Input { increments, expected_weights, concentration }| {
        let mut test = SequentialSampleRatio::new(&expected_weights, concentration)?;
        let mut log_bayes_factor = 0.0;
        let mut p_values = Vec::with_capacity(increments.len());
        for increment in &increments {
            let look = test.observe(increment)?;
            log_bayes_factor = look.log_bayes_factor;
            p_values.push(look.p_value);
        }
        Ok::<_, Failure>(json!({"log_bayes_factor": log_bayes_factor, "p_values": p_values}))
    })
}
