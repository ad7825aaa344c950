//! Group-sequential designs: a few looks at an experiment whose size is known beforehand, as that of a list.
//!
//! The statistic at information fraction t is z = W(t)/√t with W a Brownian motion of drift θ, θ being the mean of z at the
//! planned end. Information time in a mailing is mature recipients over planned recipients.
//! Jennison & Turnbull, *Group Sequential Methods with Applications to Clinical Trials* (2000).
//!
//! Reading order: [`Spending`] says how the error is given out, [`boundaries`] turns it into critical values, and
//! [`GroupSequential`] is a planned design that analyses the looks that were really taken. [`Futility`] adds a boundary for
//! giving up, [`StageWise`] a p-value and an estimate after stopping, and [`inflation`] and [`ConditionalPower`] tell what a
//! design costs and what may still come.

mod boundaries;
mod design;
mod futility;
mod inference;
mod power;
mod spending;
mod walk;

pub use boundaries::{Boundaries, boundaries};
pub use design::{Decision, GroupSequential, Look};
pub use futility::Futility;
pub use inference::StageWise;
pub use power::{ConditionalPower, Crossing, Inflation, inflation};
pub use spending::{Sides, Spending};

/// No critical value is larger: its p-value, 5e-308, is about the smallest number there is.
pub const CRITICAL_VALUE_MAX: f64 = 37.5;

/// Looks of a design; more are as good as watching all the time, for which there is [`compare`](super::compare()).
pub const LOOKS_MAX: usize = 500;
