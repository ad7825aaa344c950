//! Where simulated experiments take their values from.

use stats::numeric::draws::Draws;
use stats::{Degenerate, Moments};

use super::Effort;

/// Values of a real experiment's arm, or of any past period: one per unit.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// What it is, for the certificate.
    pub name: String,
    /// One value per unit.
    pub values: Vec<f64>,
}

/// A source of values.
#[derive(Debug, Clone, Copy)]
pub(super) enum World<'a> {
    /// Normal, a coefficient of variation of one.
    Normal,
    /// Three in a hundred succeed.
    RareBinary,
    /// One in a hundred orders; order values are lognormal with a skewness of about thirty.
    Revenue,
    /// A customer's own values.
    Own(&'a History),
}

const RATE: f64 = 0.03;
const ORDER_RATE: f64 = 0.01;
const ORDER_SIGMA: f64 = 1.1;
const ORDER_MU: f64 = 3.5;

/// Iterations towards the detectable lift; each gives a digit or more.
const LIFT_STEPS: u32 = 60;

/// Where only a tenfold mean could be seen, there is no power to speak of.
const LIFT_MAX: f64 = 10.0;

/// A history must hold so many looks per arm.
const LOOKS_MIN: usize = 5;

impl<'a> World<'a> {
    pub(super) fn own(history: &'a History, effort: &Effort) -> Result<Self, Degenerate> {
        let needed = 2 * LOOKS_MIN * effort.history_units_per_look as usize;
        if history.values.len() < needed {
            let has = history.values.len();
            return Err(Degenerate::new(format!("{} has {has} values; a certificate needs {needed}", history.name)));
        }
        if history.values.iter().any(|value| !value.is_finite()) {
            return Err(Degenerate::new(format!("{} holds a value that is not a number", history.name)));
        }
        Ok(Self::Own(history))
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Normal => "normal".to_owned(),
            Self::RareBinary => "rare binary, 3 %".to_owned(),
            Self::Revenue => "revenue, 1 % order".to_owned(),
            Self::Own(history) => history.name.clone(),
        }
    }

    /// One value, drawn with replacement.
    fn draw(&self, lift: f64, draws: &mut Draws) -> f64 {
        match self {
            Self::Normal => 1.0 + lift + draws.normal(),
            Self::RareBinary => f64::from(u8::from(draws.uniform() < RATE * (1.0 + lift))),
            Self::Revenue if draws.uniform() < ORDER_RATE * (1.0 + lift) => draws.lognormal(ORDER_MU, ORDER_SIGMA),
            Self::Revenue => 0.0,
            Self::Own(history) => {
                let index = draws.below(history.values.len() as u64) as usize;
                history.values[index] * (1.0 + lift)
            }
        }
    }

    /// Units per arm between looks, and how many looks.
    pub(super) fn looks(&self, effort: &Effort) -> (usize, usize) {
        match self {
            Self::Own(history) => {
                let step = effort.history_units_per_look as usize;
                (step, history.values.len() / 2 / step)
            }
            _ => (effort.units_per_look as usize, (effort.units_per_arm / effort.units_per_look) as usize),
        }
    }

    /// An experiment without a difference, as moments of each arm at each look. A history is shuffled and split, so that
    /// its own values and no others are used.
    pub(super) fn null_looks(&self, effort: &Effort, shuffled: &mut Vec<f64>, draws: &mut Draws) -> Vec<[Arm; 2]> {
        let Self::Own(history) = self else { return self.lifted_looks(0.0, effort, draws) };
        if shuffled.len() != history.values.len() {
            shuffled.clone_from(&history.values);
        }
        draws.shuffle(shuffled);
        let (step, looks) = self.looks(effort);
        let mut arms = [Arm::default(), Arm::default()];
        let pairs = shuffled.chunks_exact(2 * step).take(looks);
        pairs
            .map(|block| {
                arms[0].add(&block[..step]);
                arms[1].add(&block[step..]);
                arms
            })
            .collect()
    }

    /// An experiment whose variant is truly better by `lift`.
    pub(super) fn lifted_looks(&self, lift: f64, effort: &Effort, draws: &mut Draws) -> Vec<[Arm; 2]> {
        let (step, looks) = self.looks(effort);
        let mut arms = [Arm::default(), Arm::default()];
        let mut block = vec![0.0; step];
        let mut at_look = || {
            for (arm, lift) in arms.iter_mut().zip([0.0, lift]) {
                block.iter_mut().for_each(|value| *value = self.draw(lift, draws));
                arm.add(&block);
            }
            arms
        };
        (0..looks).map(|_| at_look()).collect()
    }

    /// The lift that one fixed look at the end finds with a chance of about `power_z` as a sum of normal quantiles. The variant's
    /// variance grows with its lift, so the lift is found by iteration.
    pub(super) fn detectable_lift(&self, power_z: f64, units_per_arm: f64) -> Option<f64> {
        let (mean, variance) = self.mean_and_variance();
        let grown = |lift: f64| match self {
            Self::Normal => variance,
            Self::RareBinary => RATE * (1.0 + lift) * (1.0 - RATE * (1.0 + lift)).max(0.0),
            Self::Revenue => (1.0 + lift) * (variance + mean * mean) - (mean * (1.0 + lift)).powi(2),
            Self::Own(_) => variance * (1.0 + lift).powi(2),
        };
        let next = |lift: f64| power_z * ((variance + grown(lift)) / units_per_arm).sqrt() / mean;
        let lift = (0..LIFT_STEPS).fold(0.0, |lift, _| next(lift));
        (mean > 0.0 && variance > 0.0 && lift.is_finite() && lift < LIFT_MAX).then_some(lift)
    }

    fn mean_and_variance(&self) -> (f64, f64) {
        match self {
            Self::Normal => (1.0, 1.0),
            Self::RareBinary => (RATE, RATE * (1.0 - RATE)),
            Self::Revenue => {
                let mean = ORDER_RATE * (ORDER_MU + 0.5 * ORDER_SIGMA * ORDER_SIGMA).exp();
                let square = ORDER_RATE * (2.0 * ORDER_MU + 2.0 * ORDER_SIGMA * ORDER_SIGMA).exp();
                (mean, square - mean * mean)
            }
            Self::Own(history) => {
                let moments = Moments::from_values(&history.values);
                (moments.mean, moments.variance().unwrap_or_default())
            }
        }
    }
}

/// An arm so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Arm {
    pub(super) moments: Moments,
    pub(super) nonzero: u64,
}

impl Arm {
    fn add(&mut self, values: &[f64]) {
        self.moments = self.moments.merge(&Moments::from_values(values));
        self.nonzero += values.iter().filter(|value| **value != 0.0).count() as u64;
    }
}
