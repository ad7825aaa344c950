//! How much of an observed gain a decision believes, as a table.
//!
//! Variants of equal size in one market differ in one respect only that matters for that: how far their means lie apart for their
//! standard error s, f² = Σ (x_v − x̄)² / s² / (K − 1). Of an observed gain a decision believes the share w(f), and w is read off
//! [`stats::hierarchy::best_arms`] at a few points once instead of for every run.

use stats::Degenerate;
use stats::hierarchy::{ArmEstimate, ArmMarket, best_arms};
use stats::numeric::Matrix;

/// Points of the table, and their distance in f; between them w is as good as straight.
const POINTS: usize = 17;
const STEP: f64 = 0.5;

/// The first point: at 0 there is no gain to tell a share of.
const FIRST: f64 = 0.1;

/// w(f) for one number of variants.
pub(super) struct Shrinkage {
    believed: Vec<f64>,
}

impl Shrinkage {
    pub(super) fn new(variants: usize) -> Result<Self, Degenerate> {
        let at = |point: usize| {
            // One arm is ahead of others that are equal.
            let ahead = (FIRST + STEP * point as f64) * (variants as f64).sqrt();
            let arm = |arm: usize| Some(ArmEstimate { mean: if arm == 1 { ahead } else { 0.0 }, standard_error: 1.0 });
            let market = ArmMarket { arms: (0..variants).map(arm).collect(), scale: 1.0, weight: 1.0 };
            Ok(best_arms(&[market], &Matrix::identity(variants))?.overall[1].gain / ahead)
        };
        Ok(Self { believed: (0..POINTS).map(at).collect::<Result<_, _>>()? })
    }

    /// The share of observed gains that is believed, of means with this common standard error.
    pub(super) fn believed(&self, means: &[f64], standard_error: f64) -> f64 {
        let centre = means.iter().sum::<f64>() / means.len() as f64;
        let squares: f64 = means.iter().map(|mean| (mean - centre).powi(2)).sum();
        let apart = (squares / (means.len() - 1) as f64).sqrt() / standard_error;
        let place = ((apart - FIRST) / STEP).max(0.0);
        let last = self.believed.len() - 1;
        if place.is_nan() || place >= last as f64 {
            // Far out what is not believed falls with the square.
            let end = FIRST + STEP * last as f64;
            return 1.0 - (1.0 - self.believed[last]) * (end / apart.max(end)).powi(2);
        }
        let below = place as usize;
        let share = place - below as f64;
        self.believed[below] + share * (self.believed[below + 1] - self.believed[below])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_what_a_decision_believes() {
        for means in [[0.0, 1.3, -0.4], [2.0, -3.0, 1.0], [0.0, 30.0, 3.0]] {
            let arm = |mean: &f64| Some(ArmEstimate { mean: *mean, standard_error: 0.8 });
            let market = ArmMarket { arms: means.iter().map(arm).collect(), scale: 50.0, weight: 1.0 };
            let forecast = best_arms(&[market], &Matrix::identity(3)).unwrap().overall;
            let believed = Shrinkage::new(3).unwrap().believed(&means, 0.8);
            for (arm, mean) in forecast.iter().zip(&means).skip(1) {
                let expect = believed * (mean - means[0]);
                assert!((arm.gain - expect).abs() < 0.015 * (mean - means[0]).abs(), "{means:?}: {} {expect}", arm.gain);
            }
        }
    }
}
