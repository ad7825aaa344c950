//! Weights that move with the data, and what can still be said afterwards.
//!
//! A bandit sends more to what looks better, so an arm's plain mean is biased: an unlucky start is never corrected. What holds
//! afterwards works wave by wave, within which the shares were fixed.
//!
//! Reading order: [`thompson`] (shares from chances), [`stopping`] (when to stop), [`waves`] (what is kept of each wave,
//! and the mean weighted by periods), then tests that hold under adaptive shares: [`aipw`],
//! [`batched_ols`](mod@batched_ols), [`mad`].

pub mod aipw;
pub mod batched_ols;
pub mod mad;
pub mod stopping;
pub mod thompson;
pub mod waves;

pub use aipw::{adaptive_aipw, adaptive_aipw_mean};
pub use batched_ols::batched_ols;
pub use mad::{MadLook, adaptive_mad, mad_shares};
pub use stopping::{PotentialValueRemaining, potential_value_remaining};
pub use thompson::{thompson_shares, top_two_shares};
pub use waves::{ArmMean, Wave, WaveArm, period_weighted_mean};
