//! Estimates in units of their typical standard error, so that answers do not depend on the unit of money.

use crate::answer::{Degenerate, finite};

/// More estimates than this are refused: the integrals grow with them, and nobody reads so many.
pub(super) const ESTIMATES_MAX: usize = 100_000;

/// Estimates divided by `unit`.
pub(super) struct Scaled {
    /// The square root of the harmonic mean of the squared standard errors.
    pub(super) unit: f64,
    pub(super) effects: Vec<f64>,
    pub(super) variances: Vec<f64>,
}

impl Scaled {
    /// Checks and scales. `what` names one estimate in messages, such as "experiment".
    pub(super) fn new(what: &str, estimates: &[(f64, f64)]) -> Result<Self, Degenerate> {
        if estimates.is_empty() {
            return Err(Degenerate::new(format!("there is no {what}")));
        }
        if estimates.len() > ESTIMATES_MAX {
            return Err(Degenerate::new(format!("there are {} estimates; the limit is {ESTIMATES_MAX}", estimates.len())));
        }
        for (number, (effect, standard_error)) in estimates.iter().enumerate() {
            if !effect.is_finite() || !standard_error.is_finite() || *standard_error <= 0.0 {
                let number = number + 1;
                return Err(Degenerate::new(format!(
                    "{what} {number} has the effect {effect} with the standard error {standard_error}; both must be numbers, \
                     and the standard error greater than zero"
                )));
            }
        }
        let smallest = estimates.iter().fold(f64::INFINITY, |least, (_, standard_error)| least.min(*standard_error));
        let inverse: f64 = estimates.iter().map(|(_, standard_error)| (smallest / standard_error).powi(2)).sum();
        let unit = smallest * (estimates.len() as f64 / inverse).sqrt();
        let mut scaled = Self { unit, effects: Vec::new(), variances: Vec::new() };
        for (effect, standard_error) in estimates {
            scaled.effects.push(in_range(effect / unit)?);
            scaled.variances.push(in_range((standard_error / unit).powi(2))?);
        }
        Ok(scaled)
    }
}

/// Refuses magnitudes whose squares would leave floating point.
fn in_range(value: f64) -> Result<f64, Degenerate> {
    let value = finite("effect in standard errors", value)?;
    if value.abs() > 1e100 {
        return Err(Degenerate::new("the effects and standard errors differ by more than a hundred orders of magnitude"));
    }
    Ok(value)
}
