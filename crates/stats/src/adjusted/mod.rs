//! Ratios, covariates and strata: effects with less noise.
//!
//! [`compare`] is the product's answer for a mean or a ratio, with any number of covariates; [`compare_strata`] is the same
//! after stratification, of which `compare` is the case of one stratum. Both give the absolute difference with Welch's test
//! and the lift with Fieller's interval from one [`EstimatePair`](crate::lift::EstimatePair), so that the two verdicts
//! cannot disagree. [`lin`] lets every arm have its own slopes, [`least_squares`] computes from rows, and [`named`] holds the
//! variants of other tools under their names.
//!
//! An estimate here is a smooth function of means. Its error is that of a linear form of the units' numbers (the delta
//! method; Deng, Knoblich & Lu, "Applying the delta method in metric analytics", KDD 2018), so ratios, covariates and strata
//! need no formulas of their own: each adds to the form.

pub(crate) mod estimate;
pub mod least_squares;
pub mod lin;
pub mod named;
mod slopes;

pub use estimate::{Comparison, Shape, Stratum, compare, compare_strata};
pub use slopes::{Dropped, DroppedBecause};
