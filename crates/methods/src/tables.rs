//! Tables of counts.

use serde::Deserialize;
use serde_json::{Value, json};
use stats::proportions::strata::{Stratum, mantel_haenszel};
use stats::proportions::{exact, table};
use stats::ratio::ChiSquare;
use stats::{Alternative, Degenerate, Proportion};

use crate::input::{ProportionArm, default_alpha};
use crate::means::{ALPHA, ALTERNATIVE, TREATMENT};
use crate::method::{Failure, Field, Method, typed};
use crate::proportions::CONTROL;

const VARIANTS: Field =
    Field { name: "variants", about: "[{n, successes}, …], two or more: recipients, and how many succeeded" };
const TABLE_OUTPUTS: &[Field] = &[
    Field { name: "statistic", about: "the distance from equal proportions" },
    Field { name: "degrees_of_freedom", about: "variants minus one" },
    Field { name: "p_value", about: "the chance of a statistic this large if all proportions are equal" },
];
const TABLE_REFUSES: &str = "fewer than two variants, an empty one, more successes than recipients, or all or none succeeding";
const TABLE_EXAMPLE: &str =
    r#"{"variants": [{"n": 9000, "successes": 812}, {"n": 9100, "successes": 903}, {"n": 8900, "successes": 850}]}"#;

fn of_variants(input: &Value, test: impl FnOnce(&[Proportion]) -> Result<ChiSquare, Degenerate>) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        variants: Vec<ProportionArm>,
    }
    typed(input, |Input { variants }| {
        let variants: Vec<Proportion> = variants.into_iter().map(ProportionArm::proportion).collect();
        Ok(test(&variants)?)
    })
}

pub(crate) const METHODS: &[Method] = &[
    Method {
        name: "fisher_exact",
        summary: "two proportions compared by Fisher's exact test",
        formula: "hypergeometric with all margins fixed; greater P(XB ≥ xB), less P(XB ≤ xB), two-sided the sum of tables at most as likely as the observed one",
        reference: "Fisher, JRSS 98 (1935)",
        inputs: &[CONTROL, TREATMENT, ALTERNATIVE],
        outputs: &[Field { name: "p_value", about: "of the alternative" }],
        refuses: "an empty arm, more successes than recipients, or more than 1,000,000,000,000 recipients",
        example: r#"{"control": {"n": 79, "successes": 11}, "treatment": {"n": 60, "successes": 4}, "alternative": "two-sided"}"#,
        run: |input| {
            #[derive(Deserialize)]
            #[serde(deny_unknown_fields)]
            struct Input {
                control: ProportionArm,
                treatment: ProportionArm,
                #[serde(default)]
                alternative: Alternative,
            }
            typed(input, |Input { control, treatment, alternative }| {
                let p_value = exact::fisher_exact(control.proportion(), treatment.proportion(), alternative)?;
                Ok::<_, Failure>(json!({"p_value": p_value}))
            })
        },
    },
    Method {
        name: "chi_square_k",
        summary: "whether the proportions of several variants differ, by Pearson's chi-square",
        formula: "Σ (O − E)²/E over successes and failures, E from the pooled proportion; k − 1 degrees of freedom, no correction",
        reference: "Pearson, Philosophical Magazine 50 (1900)",
        inputs: &[VARIANTS],
        outputs: TABLE_OUTPUTS,
        refuses: TABLE_REFUSES,
        example: TABLE_EXAMPLE,
        run: |input| of_variants(input, table::chi_square_test),
    },
    Method {
        name: "g_test_k",
        summary: "whether the proportions of several variants differ, by the likelihood ratio",
        formula: "G = 2 Σ O ln(O/E) over successes and failures, E from the pooled proportion; k − 1 degrees of freedom",
        reference: "Wilks, Annals of Mathematical Statistics 9 (1938); Sokal & Rohlf, Biometry",
        inputs: &[VARIANTS],
        outputs: TABLE_OUTPUTS,
        refuses: TABLE_REFUSES,
        example: TABLE_EXAMPLE,
        run: |input| of_variants(input, table::g_test),
    },
    Method {
        name: "cmh_stratified",
        summary: "two proportions compared within strata, and the strata put together",
        formula: "(Σ(xB − E))²/Σ V, V hypergeometric, no correction; odds ratio Σ(ad/N)/Σ(bc/N) with the Robins–Breslow–Greenland interval; Breslow–Day homogeneity without Tarone's term",
        reference: "Mantel & Haenszel, JNCI 22 (1959); Robins, Breslow & Greenland, Biometrics 42 (1986); Breslow & Day (1980)",
        inputs: &[
            Field {
                name: "strata",
                about: "[{control: {n, successes}, treatment: {n, successes}}, …]; strata that tell nothing are passed over",
            },
            ALPHA,
        ],
        outputs: &[
            Field { name: "statistic, p_value", about: "chi-square with one degree of freedom" },
            Field { name: "odds_ratio_pooled", about: "treatment over control; null where zero or infinite" },
            Field { name: "odds_ratio_ci_lower, odds_ratio_ci_upper", about: "of the odds ratio, two-sided; null where it is" },
            Field { name: "risk_ratio_pooled", about: "treatment over control; null where nobody in control succeeded" },
            Field {
                name: "homogeneity_statistic, homogeneity_p_value",
                about: "whether the odds ratio is the same everywhere; null below two strata",
            },
        ],
        refuses: "more successes than recipients, or no stratum in which both arms have recipients of whom some succeeded",
        example: r#"{"strata": [{"control": {"n": 8751, "successes": 2566}, "treatment": {"n": 8644, "successes": 2764}}, {"control": {"n": 4408, "successes": 115}, "treatment": {"n": 1078, "successes": 36}}], "alpha": 0.05}"#,
        run: cmh,
    },
];

fn cmh(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Arms {
        control: ProportionArm,
        treatment: ProportionArm,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        strata: Vec<Arms>,
        #[serde(default = "default_alpha")]
        alpha: f64,
    }
    typed(input, |Input { strata, alpha }| {
        let stratum = |arms: &Arms| Stratum { control: arms.control.proportion(), variant: arms.treatment.proportion() };
        let strata: Vec<Stratum> = strata.iter().map(stratum).collect();
        let answer = mantel_haenszel(&strata, alpha)?;
        let odds_ratio = answer.odds_ratio;
        Ok::<_, Failure>(json!({
            "statistic": answer.statistic, "p_value": answer.p_value,
            "odds_ratio_pooled": odds_ratio.map(|(ratio, _)| ratio),
            "odds_ratio_ci_lower": odds_ratio.and_then(|(_, interval)| interval.lower),
            "odds_ratio_ci_upper": odds_ratio.and_then(|(_, interval)| interval.upper),
            "risk_ratio_pooled": answer.risk_ratio,
            "homogeneity_statistic": answer.homogeneity.map(|test| test.statistic),
            "homogeneity_p_value": answer.homogeneity.map(|test| test.p_value),
        }))
    })
}
