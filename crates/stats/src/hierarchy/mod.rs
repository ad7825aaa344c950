//! Many markets, many experiments: what each says of the others.
//!
//! An estimate among many is read together with the others: how far true effects lie apart is learnt from all, and each is
//! drawn towards their centre by as much as its noise deserves. The spread between them is integrated over, never plugged
//! in, because intervals and choices that take an estimated spread for the true one are too sure of themselves.
//!
//! Reading order: [`random_effects`] (between-experiment variance and pooled mean), [`shrinkage`] (each experiment's
//! shrunken effect), [`markets`] (the winner of each market, of lifts), [`arms`] (of the arms' own means), [`winners_curse`](mod@winners_curse) (an effect that was
//! selected for its size), [`best_of_many`](mod@best_of_many) (an effect that was selected for being the best).

pub mod arms;
pub mod best_of_many;
mod grid;
pub mod markets;
pub mod random_effects;
mod scaled;
pub mod shrinkage;
pub mod winners_curse;

pub use arms::{ArmEstimate, ArmForecast, ArmMarket, ArmReadout, best_arms};
pub use best_of_many::{BestOfMany, best_of_many};
pub use markets::{Market, MarketArm, MarketReadout, MarketWinner, VariantEstimate, market_winners};
pub use random_effects::{BetweenVariance, RandomEffects, heterogeneity, meta_analysis};
pub use shrinkage::{Centre, ShrunkenEffect, ShrunkenEffects, james_stein, shrunken_effects, shrunken_effects_about};
pub use winners_curse::{Selection, WinnersCurse, winners_curse};
