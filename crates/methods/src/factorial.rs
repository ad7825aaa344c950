//! Crossed factors.

use serde::Deserialize;
use serde_json::{Value, json};
use stats::factorial::{Term, level_terms, overlap, two_level};
use stats::{ChiSquare, Moments};

use crate::input::{ALPHA, MeanArm, default_alpha};
use crate::method::{Failure, Field, Method, typed};
use crate::summary::effect_json;

const DASGUPTA: &str = "Dasgupta, Pillai & Rubin, JRSS B 77 (2015); Zhao & Ding, Biometrika 109 (2022)";
const CELLS: &str = "{n, sum, sum_squares} per combination of levels; the level of the first factor changes fastest";

pub(crate) const METHODS: &[Method] = &[
    Method {
        name: "factorial_two_level",
        summary: "effects and all interactions of factors with two levels each",
        formula: "τ = 2^−(K−1) Σ g m over cells, g = ±1; variance 2^−2(K−1) Σ s²/n; an interaction of two is half the difference in differences",
        reference: DASGUPTA,
        inputs: &[Field { name: "factors", about: "the names of the K factors" }, Field { name: "cells", about: CELLS }, ALPHA],
        outputs: &[
            Field { name: "grand_mean", about: "the mean of the cell means and its standard error" },
            Field {
                name: "effects",
                about: "per set of factors: factors, meaning, difference_in_differences, and a test with its interval",
            },
        ],
        refuses: "a number of cells that is not 2^K, a cell below two recipients, no variation",
        example: r#"{"factors": ["subject", "hour"], "cells": [{"n": 200, "sum": 192, "sum_squares": 256}, {"n": 180, "sum": 265, "sum_squares": 560}, {"n": 220, "sum": 234, "sum_squares": 386}, {"n": 190, "sum": 364, "sum_squares": 1058}]}"#,
        run: two_levels,
    },
    Method {
        name: "factorial_levels",
        summary: "effects and pairwise interactions of factors with any number of levels",
        formula: "contrasts against level 0 of cell means, averaged over other factors; variance Σ w² s²/n; Wald τ'V⁻¹τ per factor and pair",
        reference: DASGUPTA,
        inputs: &[
            Field { name: "factors", about: "a list of {name, levels}: how many levels each factor has" },
            Field { name: "cells", about: CELLS },
            ALPHA,
        ],
        outputs: &[Field {
            name: "terms",
            about: "per factor and pair: factors, wald, and contrasts with their levels and a test each",
        }],
        refuses: "a number of cells that is not the product of the levels, a cell below two recipients, no variation",
        example: r#"{"factors": [{"name": "subject", "levels": 2}, {"name": "hour", "levels": 2}], "cells": [{"n": 200, "sum": 192, "sum_squares": 256}, {"n": 180, "sum": 265, "sum_squares": 560}, {"n": 220, "sum": 234, "sum_squares": 386}, {"n": 190, "sum": 364, "sum_squares": 1058}]}"#,
        run: levels,
    },
    Method {
        name: "experiment_overlap",
        summary: "whether two experiments on the same recipients are independent, and change each other's effects",
        formula: "Pearson's test of independence of the two assignments; differences in differences of the joint cells with Wald's test",
        reference: DASGUPTA,
        inputs: &[
            Field { name: "arms", about: "[arms of the first, arms of the second]; control is arm 0" },
            Field { name: "cells", about: "{n, sum, sum_squares} per pair of arms; the arm of the first changes fastest" },
            ALPHA,
        ],
        outputs: &[
            Field {
                name: "assignment",
                about: "statistic, degrees_of_freedom, p_value: small where the assignments depend on each other",
            },
            Field {
                name: "interaction",
                about: "wald, and contrasts with the arms and a test each; over many pairs adjust wald's p-values",
            },
        ],
        refuses: "a number of cells that is not the product of the arms, a cell below two recipients, no variation",
        example: r#"{"arms": [2, 2], "cells": [{"n": 200, "sum": 192, "sum_squares": 256}, {"n": 180, "sum": 265, "sum_squares": 560}, {"n": 220, "sum": 234, "sum_squares": 386}, {"n": 190, "sum": 364, "sum_squares": 1058}]}"#,
        run: overlapping,
    },
];

fn cells_of(cells: &[MeanArm]) -> Result<Vec<Moments>, Failure> {
    cells.iter().map(|cell| Ok(cell.moments()?)).collect()
}

fn chi_square(test: &ChiSquare) -> Value {
    json!({"statistic": test.statistic, "degrees_of_freedom": test.degrees_of_freedom, "p_value": test.p_value})
}

fn term(term: &Term) -> Value {
    let contrasts = term.contrasts.iter().map(|contrast| {
        let mut answer = effect_json(&contrast.effect);
        answer["levels"] = json!(contrast.levels);
        answer
    });
    json!({"wald": chi_square(&term.wald), "contrasts": contrasts.collect::<Vec<_>>()})
}

fn two_levels(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        factors: Vec<String>,
        cells: Vec<MeanArm>,
        #[serde(default = "default_alpha")]
        alpha: f64,
    }
    typed(input, |Input { factors, cells, alpha }| {
        if u32::try_from(factors.len()).ok().and_then(|count| 2_usize.checked_pow(count)) != Some(cells.len()) {
            let message =
                format!("there are {} cells for {} factors; there must be 2 to their number", cells.len(), factors.len());
            return Err(Failure::Input { field: "cells".to_owned(), message });
        }
        let found = two_level(&cells_of(&cells)?, alpha)?;
        let effects = found.effects.iter().map(|effect| {
            let mut answer = effect_json(&effect.effect);
            answer["factors"] = json!(effect.factors.iter().map(|factor| &factors[*factor]).collect::<Vec<_>>());
            answer["meaning"] = json!(effect.meaning());
            answer["difference_in_differences"] = json!(effect.effect.difference * effect.scale_of_differences);
            answer
        });
        let mean = &found.grand_mean;
        Ok(json!({
            "grand_mean": {"mean": mean.difference, "standard_error": mean.standard_error},
            "effects": effects.collect::<Vec<_>>(),
        }))
    })
}

fn levels(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Factor {
        name: String,
        levels: usize,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        factors: Vec<Factor>,
        cells: Vec<MeanArm>,
        #[serde(default = "default_alpha")]
        alpha: f64,
    }
    typed(input, |Input { factors, cells, alpha }| {
        let counts: Vec<usize> = factors.iter().map(|factor| factor.levels).collect();
        let terms = level_terms(&counts, &cells_of(&cells)?, alpha)?;
        let named = terms.iter().map(|found| {
            let mut answer = term(found);
            answer["factors"] = json!(found.factors.iter().map(|factor| &factors[*factor].name).collect::<Vec<_>>());
            answer
        });
        Ok::<_, Failure>(json!({"terms": named.collect::<Vec<_>>()}))
    })
}

fn overlapping(input: &Value) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        arms: (usize, usize),
        cells: Vec<MeanArm>,
        #[serde(default = "default_alpha")]
        alpha: f64,
    }
    typed(input, |Input { arms, cells, alpha }| {
        let found = overlap(arms, &cells_of(&cells)?, alpha)?;
        Ok::<_, Failure>(json!({"assignment": chi_square(&found.assignment), "interaction": term(&found.interaction)}))
    })
}
