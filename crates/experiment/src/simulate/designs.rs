//! Designs as people write them.

use serde::{Deserialize, Serialize};
use stats::numeric::Draws;

use crate::check::{ALPHA_MAX, Check, unique, within};
use crate::error::{ExperimentError, Problem};
use crate::places::Places;
use crate::sizing::{LOOKS_MAX, PRIOR_SD_DEFAULT};
use crate::spec::{checked, read};

/// More designs than anyone compares.
pub const DESIGNS_MAX: usize = 20;

/// More variants than a list tells apart; the work grows with them.
pub const SIMULATED_VARIANTS_MAX: u32 = 16;

/// Runs where none are asked for: rates are right to two percentage points.
pub const RUNS_DEFAULT: u32 = 500;

/// With fewer nothing can be told.
pub const RUNS_MIN: u32 = 20;

/// Rates are right to half a percentage point; more take minutes.
pub const RUNS_MAX: u32 = 10_000;

/// Variants that differ more than this are not variants of one thing.
pub const SD_MAX: f64 = 1.0;

/// No variant takes more than nine tenths of the mean away.
pub const LIFT_MIN: f64 = -0.9;

/// No variant brings more than this.
pub const LIFT_MAX: f64 = 10.0;

/// The longest name in bytes; it heads a row.
const NAME_BYTES_MAX: usize = 64;

/// Candidate designs, and what is true where they are tried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Designs {
    /// What variants are truly worth.
    #[serde(default)]
    pub effects: Effects,
    /// How often each design is tried out.
    #[serde(default = "runs_default")]
    pub runs: u32,
    /// Everything random follows from it.
    #[serde(default = "seed_default")]
    pub seed: u64,
    /// From 1 to [`DESIGNS_MAX`].
    pub designs: Vec<Design>,
}

/// What variants are truly worth: drawn anew for each run, or the same in all. One of both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effects {
    /// The standard deviation of variants' true means among themselves, control included, as a share of the mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sd: Option<f64>,
    /// The lift over control of each other variant, a fraction, in order; a design with k variants takes the first k − 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifts: Option<Vec<f64>>,
}

impl Default for Effects {
    fn default() -> Self {
        Self { sd: Some(PRIOR_SD_DEFAULT), lifts: None }
    }
}

/// A design of a test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Design {
    /// Its name.
    pub name: String,
    /// How many variants, control included; they share the test equally.
    #[serde(default = "variants_default")]
    pub variants: u32,
    /// The share of the list that is in the test, more than 0 and at most 1. This or `units`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_share: Option<f64>,
    /// How many contacts are in the test, all variants together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<u64>,
    /// How many equally spaced looks.
    #[serde(default = "looks_default")]
    pub looks: u32,
    /// The error over all variants and looks together, two-sided.
    #[serde(default = "alpha_default")]
    pub alpha: f64,
    /// What is sent to the rest of the list.
    #[serde(default)]
    pub decide: Decide,
    /// Whether what contacts did before is taken out.
    #[serde(default)]
    pub cuped: bool,
}

/// What is sent to the rest of the list when the test ends and nothing is shown. A variant that is shown ends the test at any
/// look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decide {
    /// The variant with the best expected value, as a decision does.
    #[default]
    BestBet,
    /// Control.
    ShownOnly,
}

fn runs_default() -> u32 {
    RUNS_DEFAULT
}

fn seed_default() -> u64 {
    1
}

fn variants_default() -> u32 {
    2
}

fn looks_default() -> u32 {
    5
}

fn alpha_default() -> f64 {
    0.05
}

impl Effects {
    /// What each variant brings over the mean of the past, a fraction, control first.
    pub(super) fn drawn(&self, variants: usize, draws: &mut Draws) -> Vec<f64> {
        match (&self.lifts, self.sd) {
            (Some(lifts), _) => [0.0].into_iter().chain(lifts.iter().copied()).take(variants).collect(),
            (None, sd) => {
                let sd = sd.unwrap_or(PRIOR_SD_DEFAULT);
                (0..variants).map(|_| (sd * draws.normal()).clamp(LIFT_MIN, LIFT_MAX)).collect()
            }
        }
    }
}

/// Reads designs from YAML or JSON and checks them.
///
/// # Errors
/// [`ExperimentError`] names the field, the line and, for an unknown key, the nearest known one.
pub fn parse_designs(text: &str) -> Result<Designs, ExperimentError> {
    let designs: Designs = read(text)?;
    checked(designs, |designs| check_designs(designs).err(), || Places::of(text))
}

/// Whether the designs can be tried out.
///
/// # Errors
/// [`Problem`] names the field and says what to write instead.
pub fn check_designs(designs: &Designs) -> Result<(), Problem> {
    within("runs", (RUNS_MIN..=RUNS_MAX).contains(&designs.runs), || {
        format!("is {}; it must be from {RUNS_MIN} to {RUNS_MAX}, and is usually {RUNS_DEFAULT}", designs.runs)
    })?;
    within("designs", (1..=DESIGNS_MAX).contains(&designs.designs.len()), || {
        format!("has {}; there must be from 1 to {DESIGNS_MAX}", designs.designs.len())
    })?;
    designs.designs.iter().enumerate().try_for_each(|(index, design)| check_design(index, design))?;
    unique(&designs.designs, |index| format!("designs[{index}].name"), |design| &design.name)?;
    effects(designs)
}

fn effects(designs: &Designs) -> Check {
    let Effects { sd, lifts } = &designs.effects;
    within("effects", sd.is_some() != lifts.is_some(), || {
        "must have one of `sd`, which draws effects anew for each run, and `lifts`, which says what they are".to_owned()
    })?;
    within("effects.sd", sd.is_none_or(|sd| sd > 0.0 && sd <= SD_MAX), || {
        format!("is {}; it must be more than 0 and at most {SD_MAX}; 0.05 is usual", sd.unwrap_or_default())
    })?;
    let Some(lifts) = lifts else { return Ok(()) };
    for (index, lift) in lifts.iter().enumerate() {
        within(&format!("effects.lifts[{index}]"), (LIFT_MIN..=LIFT_MAX).contains(lift), || {
            format!("is {lift}; it must be from {LIFT_MIN} to {LIFT_MAX}; 0.05 is 5 % more than control")
        })?;
    }
    let most = designs.designs.iter().map(|design| design.variants).max().unwrap_or_default() as usize;
    within("effects.lifts", lifts.len() + 1 >= most, || {
        format!("has {}; a design has {most} variants, so give {} lifts, without control", lifts.len(), most.saturating_sub(1))
    })
}

fn check_design(index: usize, design: &Design) -> Check {
    let Design { name, variants, test_share, units, looks, alpha, .. } = design;
    let at = |field: &str| format!("designs[{index}].{field}");
    within(&at("name"), !name.trim().is_empty() && name.len() <= NAME_BYTES_MAX, || {
        format!("is `{name}`; give it a name of at most {NAME_BYTES_MAX} bytes")
    })?;
    within(&at("variants"), (2..=SIMULATED_VARIANTS_MAX).contains(variants), || {
        format!("is {variants}; it must be from 2, control included, to {SIMULATED_VARIANTS_MAX}")
    })?;
    within(&at("test_share"), test_share.is_some() || units.is_some(), || {
        "is missing; give the share of the list that is in the test, such as 0.2, or `units`".to_owned()
    })?;
    within(&at("units"), test_share.is_none() || units.is_none(), || {
        "is given beside `test_share`; give one of them".to_owned()
    })?;
    within(&at("test_share"), test_share.is_none_or(|share| share > 0.0 && share <= 1.0), || {
        format!("is {}; it must be more than 0 and at most 1", test_share.unwrap_or_default())
    })?;
    within(&at("units"), units.is_none_or(|units| units > 0), || {
        "is 0; it must be at least two for each variant and look".to_owned()
    })?;
    within(&at("looks"), (1..=LOOKS_MAX).contains(looks), || format!("is {looks}; it must be from 1 to {LOOKS_MAX}"))?;
    within(&at("alpha"), *alpha > 0.0 && *alpha <= ALPHA_MAX, || {
        format!("is {alpha}; it must be more than 0 and at most {ALPHA_MAX}, and is usually 0.05")
    })
}
