//! The arithmetic of experiments: mergeable moments in, effects with intervals out.
//!
//! *Invariant:* this crate does no IO, reads no clock, draws no randomness but from a seed it is handed
//! ([`numeric::Draws`]) and does not know what an e-mail is.
//! *Invariant:* no answer holds NaN or an infinity. What cannot be computed is a [`Degenerate`] that says why.
//!
//! Reading order:
//!
//! - [`moments`] and [`co_moments`]: what is kept of a sample, of one number per unit or of several; it can be merged.
//! - [`answer`]: intervals, alternatives, and why there is no answer.
//! - [`effect`]: an estimate and its error as a test with its interval.
//! - [`means`]: differences of means, and more than two groups.
//! - [`proportions`]: differences and ratios of rates, exact tests, tables of counts, events per exposure.
//! - [`lift`]: relative effects by Fieller, and guardrails.
//! - [`adjusted`]: ratios, covariates and strata.
//! - [`quantiles`]: differences of quantiles, with clustered rows, at one look or at every look.
//! - [`samples`]: what needs the values themselves: ranks, trimming, resampling, many variants.
//! - [`factorial`]: crossed factors, and experiments that overlap.
//! - [`ratio`]: sample-ratio mismatch.
//! - [`balance`]: groups that agree in what was known before, and assigning until they do.
//! - [`multiplicity`]: many comparisons.
//! - [`sequential`]: promises that hold at every look, or at planned ones.
//! - [`posterior`]: what to believe after the data, and what a wrong choice costs.
//! - [`adaptive`]: bandits, and what can be said after them.
//! - [`hierarchy`]: many markets and many experiments.
//! - [`delay`]: early answers, late outcomes, opens that no person made.
//! - [`power`]: how many recipients, and what can be seen with them.
//! - [`tail`]: the distributions underneath.
//! - [`numeric`]: integrals, roots, matrices, draws.

pub mod adaptive;
pub mod adjusted;
pub mod answer;
pub mod balance;
pub mod co_moments;
pub mod delay;
pub mod effect;
pub mod factorial;
pub mod hierarchy;
pub mod lift;
pub mod means;
pub mod moments;
pub mod multiplicity;
pub mod numeric;
pub mod posterior;
pub mod power;
pub mod proportions;
pub mod quantiles;
pub mod ratio;
pub mod samples;
pub mod sequential;
pub mod tail;

pub use answer::{Alternative, Degenerate, Interval};
pub use co_moments::CoMoments;
pub use effect::Effect;
pub use lift::{Lift, NonInferiority, fieller_lift, non_inferior};
pub use means::welch;
pub use moments::Moments;
pub use multiplicity::holm;
pub use proportions::{Proportion, two_proportion};
pub use ratio::{ChiSquare, SampleRatioLook, SequentialSampleRatio, sample_ratio};
