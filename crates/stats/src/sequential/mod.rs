//! Promises that hold at every look: experiments are watched while they run, and a test that is only valid once is then wrong
//! far too often.
//!
//! Two families. Where the number of recipients is open, [`confidence`] gives intervals and p-values valid at all times at
//! once; [`compare`](mod@compare) applies them to two arms, absolute and relative, and [`tracker`] follows an experiment from
//! look to look. Where the number of recipients is known, as of a list, [`group`] gives boundaries for the looks that are
//! taken, which cost almost nothing. [`mixture`] bounds sums of known variance, [`likelihood`] and [`regression`] are two more
//! always-valid tests, and [`jackknife`] is a variance for estimates that have no formula.

pub mod compare;
pub mod confidence;
pub mod group;
pub mod jackknife;
pub mod likelihood;
pub mod mixture;
pub mod regression;
pub mod tracker;

pub use compare::{Comparison, compare, compare_pair};
pub use confidence::{ConfidenceSequence, OneSidedSequence};
pub use group::GroupSequential;
pub use tracker::{Stationarity, TrackedLook, Tracker};

use crate::answer::Degenerate;

/// Refuses what is not a positive number.
fn positive(what: &str, value: f64) -> Result<f64, Degenerate> {
    if value.is_finite() && value > 0.0 {
        return Ok(value);
    }
    Err(Degenerate::new(format!("the {what} is {value}; it must be more than zero and finite")))
}
