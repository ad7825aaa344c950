//! What to believe after the data: posteriors of effects and rates, chances to win, and what a wrong choice costs.
//!
//! Reading order: [`effect`] (a normal effect with a prior), [`rate`] (Beta posteriors of conversion rates), [`standing`]
//! (which of many arms is best), `field` (the integrals underneath).

pub mod effect;
mod field;
pub mod rate;
pub mod standing;

pub use effect::{EffectPosterior, EffectPrior, ExpectedLoss, Stakes, effect_posterior};
pub use rate::{RatePosterior, RateRace, rate_race};
pub use standing::{NormalArm, Standing, normal_standings, rate_standings};
