//! The arithmetic of experiments: mergeable moments in, effects with intervals out.
//!
//! *Invariant:* this crate does no IO, reads no clock, draws no randomness and does not know what an e-mail is.
//! *Invariant:* no answer holds NaN or an infinity. What cannot be computed is a [`Degenerate`] that says why.
//!
//! Reading order: [`moments`], [`answer`] (the shapes of answers), [`means`] and [`proportion`] (absolute effects),
//! [`lift`] (relative effects and guardrails), [`multiplicity`], [`ratio`] (sample-ratio mismatch), [`tail`] (the
//! distributions underneath).

pub mod answer;
pub mod lift;
pub mod means;
pub mod moments;
pub mod multiplicity;
pub mod proportion;
pub mod ratio;
pub mod tail;

pub use answer::{Degenerate, Effect, Interval};
pub use lift::{Lift, NonInferiority, fieller_lift, non_inferior};
pub use means::welch;
pub use moments::Moments;
pub use multiplicity::holm;
pub use proportion::{Proportion, two_proportion};
pub use ratio::{ChiSquare, SampleRatioLook, SequentialSampleRatio, sample_ratio};
