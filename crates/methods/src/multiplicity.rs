//! Multiplicity: p-values and e-values of many comparisons, and alpha shared out by preference.

use serde::Deserialize;
use serde_json::json;
use stats::multiplicity::{HOMMEL_COUNT_SENSIBLE, Procedure, e_benjamini_hochberg, preferential_alphas};

use crate::input::default_alpha;
use crate::method::{Failure, Field, Method, typed};

pub(crate) const METHODS: &[Method] = &[P_ADJUST, E_BH, PREFERENTIAL_ALPHA];

const ALPHA: Field = Field { name: "alpha", about: "the error of the whole family, between 0 and 1; 0.05 where not given" };

const P_ADJUST: Method = Method {
    name: "p_adjust",
    summary: "p-values adjusted for many comparisons (holm is the product's default)",
    formula: "sorted p_(1) ≤ … ≤ p_(n): holm max_(j≤i) (n−j+1) p_(j); hochberg min_(j≥i) (n−j+1) p_(j); hommel: closed test of Simes; \
              bonferroni n p; sidak 1−(1−p)ⁿ; holm_sidak max_(j≤i) 1−(1−p_(j))^(n−j+1), hochberg_sidak min_(j≥i) of the same; bh min_(j≥i) n p_(j)/j; by: bh times Σ 1/j; cut at 1",
    reference: "Holm 1979; Hochberg 1988; Hommel 1988; Šidák 1967; Benjamini & Hochberg 1995; Benjamini & Yekutieli 2001",
    inputs: &[
        Field {
            name: "p_values",
            about: "one per comparison, 0 to 1; null for a comparison that could not be made, which counts as 1",
        },
        Field {
            name: "procedure",
            about: "holm, hochberg, hommel (up to 5,000 p-values), bonferroni, sidak, holm_sidak, hochberg_sidak, bh or by",
        },
        ALPHA,
    ],
    outputs: &[
        Field { name: "adjusted", about: "the adjusted p-values in the order given" },
        Field { name: "rejected", about: "per comparison, whether the adjusted p-value is at most alpha" },
    ],
    refuses: "an alpha that is not between 0 and 1, and hommel for more than 5,000 p-values",
    example: r#"{"p_values": [0.01, 0.04, 0.03, 0.005, 0.55, 0.6], "procedure": "holm", "alpha": 0.05}"#,
    run: |input| {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Input {
            p_values: Vec<Option<f64>>,
            procedure: Procedure,
            #[serde(default = "default_alpha")]
            alpha: f64,
        }
        typed(input, |Input { p_values, procedure, alpha }| {
            checked_alpha(alpha)?;
            if procedure == Procedure::Hommel && p_values.len() > HOMMEL_COUNT_SENSIBLE {
                let message = format!("hommel takes at most {HOMMEL_COUNT_SENSIBLE} p-values; hochberg takes any number");
                return Err(Failure::Input { field: "p_values".to_owned(), message });
            }
            let p_values: Vec<f64> = p_values.into_iter().map(|p| p.unwrap_or(f64::NAN)).collect();
            let adjusted = procedure.adjust(&p_values);
            let rejected: Vec<bool> = adjusted.iter().map(|p| *p <= alpha).collect();
            Ok(json!({"adjusted": adjusted, "rejected": rejected}))
        })
    },
};

const E_BH: Method = Method {
    name: "e_bh",
    summary: "which of many e-values are discoveries, with a bounded share of false ones under any dependence and stopping",
    formula: "k̂ = max{k : e_[k] ≥ K/(k α)} with e_[k] the k-th largest of K; the k̂ largest are rejected",
    reference: "Wang & Ramdas, False discovery rate control with e-values, JRSS B 84 (2022)",
    inputs: &[
        Field { name: "e_values", about: "one per comparison, zero or more; null where there is none, which counts as 0" },
        Field { name: "alpha", about: "the expected share of false discoveries, between 0 and 1; 0.05 where not given" },
    ],
    outputs: &[
        Field { name: "rejected", about: "per comparison, whether it is a discovery" },
        Field { name: "count", about: "how many are" },
        Field { name: "threshold", about: "the e-value from which on a comparison is a discovery" },
    ],
    refuses: "no e-value at all, or an alpha that is not between 0 and 1",
    example: r#"{"e_values": [30, 50, 5, 100, 2], "alpha": 0.05}"#,
    run: |input| {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Input {
            e_values: Vec<Option<f64>>,
            #[serde(default = "default_alpha")]
            alpha: f64,
        }
        typed(input, |Input { e_values, alpha }| {
            let e_values: Vec<f64> = e_values.into_iter().map(Option::unwrap_or_default).collect();
            Ok::<_, Failure>(e_benjamini_hochberg(&e_values, alpha)?)
        })
    },
};

const PREFERENTIAL_ALPHA: Method = Method {
    name: "preferential_alpha",
    summary: "alpha shared out so that the primary metric keeps most of its power",
    formula: "the primary metric γ α, each of the k − 1 others (1 − γ) α/(k − 1)",
    reference: "weighted Bonferroni: Rosenthal & Rubin, Ensemble-adjusted p values, Psychological Bulletin 94 (1983)",
    inputs: &[
        Field { name: "count", about: "k, metrics in all; not needed where p_values are given" },
        Field { name: "p_values", about: "optional, one per metric, the primary one first; null counts as 1" },
        Field { name: "primary_share", about: "γ, above 0 and at most 1; 0.5 where not given" },
        ALPHA,
    ],
    outputs: &[
        Field { name: "alphas", about: "the error of each metric, the primary one first" },
        Field { name: "rejected", about: "per p-value, whether it is at most its alpha; null where none are given" },
    ],
    refuses: "no metric, a share outside its range, or an alpha that is not between 0 and 1",
    example: r#"{"p_values": [0.02, 0.004, 0.03], "primary_share": 0.5, "alpha": 0.05}"#,
    run: |input| {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Input {
            count: Option<usize>,
            p_values: Option<Vec<Option<f64>>>,
            #[serde(default = "half")]
            primary_share: f64,
            #[serde(default = "default_alpha")]
            alpha: f64,
        }
        typed(input, |Input { count, p_values, primary_share, alpha }| {
            let field = |message: &str| Failure::Input { field: "count".to_owned(), message: message.to_owned() };
            let given = p_values.as_ref().map(Vec::len);
            let count = given.or(count).ok_or_else(|| field("missing; give it or the p_values"))?;
            if count > COUNT_MAX {
                return Err(field("there are more metrics than alpha can be shared out among"));
            }
            let alphas = preferential_alphas(alpha, primary_share, count)?;
            let rejected = p_values.map(|p_values| {
                p_values.iter().zip(&alphas).map(|(p, alpha)| p.is_some_and(|p| p <= *alpha)).collect::<Vec<bool>>()
            });
            Ok(json!({"alphas": alphas, "rejected": rejected}))
        })
    },
};

/// More metrics are a mistake, and would fill the memory with shares.
const COUNT_MAX: usize = 1_000_000;

fn half() -> f64 {
    0.5
}

fn checked_alpha(alpha: f64) -> Result<(), Failure> {
    preferential_alphas(alpha, 1.0, 1)?;
    Ok(())
}
