//! Tests and treatments that need the values themselves rather than their moments: ranks, trimming, capping, many variants
//! against one control, the bootstrap.
//!
//! Reading order: [`ranks`] (Mann–Whitney), [`robust`] (Yuen, caps, winsorising), [`dunnett`](mod@dunnett), [`bootstrap`].

pub mod bootstrap;
pub mod dunnett;
pub mod ranks;
pub mod robust;

use crate::answer::Degenerate;

/// Refuses an empty sample and values that are not finite.
fn checked_values(name: &str, values: &[f64]) -> Result<(), Degenerate> {
    if values.is_empty() {
        return Err(Degenerate::new(format!("{name} has no values")));
    }
    if let Some(value) = values.iter().find(|value| !value.is_finite()) {
        return Err(Degenerate::new(format!("a value of {name} is {value}, which is not a finite number")));
    }
    Ok(())
}

/// The values in rising order.
fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// The quantile `q`, between 0 and 1, of values in rising order, of which there is at least one: linear between the values at
/// ranks ⌊h⌋ and ⌊h⌋ + 1 with h = (n − 1) q, counted from 0. Type 7 of Hyndman & Fan, "Sample quantiles in statistical
/// packages", The American Statistician 50 (1996).
#[must_use]
pub fn quantile_of_sorted(values: &[f64], q: f64) -> f64 {
    let (rank, weight) = quantile_rank(values.len(), q);
    between(values[rank], values[(rank + 1).min(values.len() - 1)], weight)
}

/// The lower of the two ranks that a type-7 quantile lies between, and the weight of the upper.
fn quantile_rank(count: usize, q: f64) -> (usize, f64) {
    let position = (count - 1) as f64 * q.clamp(0.0, 1.0);
    let rank = (position as usize).min(count - 1);
    (rank, position - rank as f64)
}

fn between(low: f64, high: f64, weight: f64) -> f64 {
    // From the nearer end; as a sum of shares, so that the distance of two huge values does not overflow.
    if weight == 0.0 || low == high { low } else { low * (1.0 - weight) + high * weight }
}
