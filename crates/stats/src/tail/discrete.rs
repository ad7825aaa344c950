//! Counts: binomial, Poisson and hypergeometric. Tails are incomplete beta and gamma functions; single probabilities are
//! computed through the deviance (Loader, "Fast and accurate computation of binomial probabilities", 2000).

use std::f64::consts::PI;

use super::beta::{Place, beta_tails, deviance, ln_beta};
use super::gamma::{gamma_lower, gamma_upper, stirling_remainder};

/// The logarithm of the number of ways to choose `k` of `n`; minus infinity where `k` exceeds `n`.
#[must_use]
pub fn ln_choose(n: u64, k: u64) -> f64 {
    if k > n {
        return f64::NEG_INFINITY;
    }
    let k = k.min(n - k);
    match k {
        0 => 0.0,
        1 => (n as f64).ln(),
        _ => -ln_beta((n - k) as f64 + 1.0, k as f64 + 1.0) - (n as f64).ln_1p(),
    }
}

/// P(X = k) for `n` trials that succeed with probability `p`. NaN where `p` is not within 0 to 1.
#[must_use]
pub fn binomial_pmf(k: u64, n: u64, p: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    let q = 1.0 - p;
    let (hits, misses) = (k as f64, n.saturating_sub(k) as f64);
    let excess = Place::at(hits, misses, p).excess;
    binomial_point(k, n, p, q, excess)
}

/// P(X ≤ k) for `n` trials that succeed with probability `p`. NaN where `p` is not within 0 to 1.
#[must_use]
pub fn binomial_lower(k: u64, n: u64, p: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    if k >= n {
        return 1.0;
    }
    beta_tails(k as f64 + 1.0, (n - k) as f64, p).upper
}

/// P(X ≥ k) for `n` trials that succeed with probability `p`; `k` is included. NaN where `p` is not within 0 to 1.
#[must_use]
pub fn binomial_upper(k: u64, n: u64, p: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    if k == 0 {
        return 1.0;
    }
    if k > n {
        return 0.0;
    }
    beta_tails(k as f64, (n - k) as f64 + 1.0, p).lower
}

/// P(X ≤ k) for a Poisson X with this `mean`. NaN where the mean is negative or NaN.
#[must_use]
pub fn poisson_lower(k: u64, mean: f64) -> f64 {
    if mean.is_nan() || mean < 0.0 { f64::NAN } else { gamma_upper(k as f64 + 1.0, mean) }
}

/// P(X ≥ k) for a Poisson X with this `mean`; `k` is included. NaN where the mean is negative or NaN.
#[must_use]
pub fn poisson_upper(k: u64, mean: f64) -> f64 {
    if mean.is_nan() || mean < 0.0 {
        return f64::NAN;
    }
    if k == 0 { 1.0 } else { gamma_lower(k as f64, mean) }
}

/// The chance that `k` of `drawn` are marked, drawn without replacement from `total` of which `marked` are. 0 where that
/// cannot happen, NaN where more are marked or drawn than there are.
#[must_use]
pub fn hypergeometric_pmf(k: u64, total: u64, marked: u64, drawn: u64) -> f64 {
    if marked > total || drawn > total {
        return f64::NAN;
    }
    if k > marked || k > drawn || drawn - k > total - marked {
        return 0.0;
    }
    if drawn == 0 || drawn == total {
        return 1.0;
    }
    // Three binomials with the same probability; it cancels.
    let (p, q) = (drawn as f64 / total as f64, (total - drawn) as f64 / total as f64);
    // k q − (marked − k) p from whole numbers; what the marked have too much, the others have too little.
    let (have, due) = (u128::from(k) * u128::from(total), u128::from(marked) * u128::from(drawn));
    let excess = have.abs_diff(due) as f64 / total as f64 * if have < due { -1.0 } else { 1.0 };
    let of_marked = binomial_point(k, marked, p, q, excess);
    let of_others = binomial_point(drawn - k, total - marked, p, q, -excess);
    of_marked * of_others / binomial_point(drawn, total, p, q, 0.0)
}

/// P(X = k), with `q` = 1 − p and `excess` = k q − (n − k) p.
fn binomial_point(k: u64, n: u64, p: f64, q: f64, excess: f64) -> f64 {
    if k > n {
        return 0.0;
    }
    let (hits, misses, all) = (k as f64, (n - k) as f64, n as f64);
    if k == 0 || k == n {
        let (tries, chance, other) = if k == 0 { (misses, q, p) } else { (hits, p, q) };
        let ln = if other < 0.5 { (-other).ln_1p() } else { chance.ln() };
        return if n == 0 { 1.0 } else { (tries * ln).exp() };
    }
    if p == 0.0 || q == 0.0 {
        return 0.0;
    }
    let deviance = deviance(hits, -excess, all, p) + deviance(misses, excess, all, q);
    let stirling = stirling_remainder(all) - stirling_remainder(hits) - stirling_remainder(misses);
    (all / (2.0 * PI * hits) / misses).sqrt() * (stirling - deviance).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tail::kernel::near;

    #[test]
    fn known_values() {
        near(ln_choose(5, 2), 10_f64.ln(), 1e-14);
        near(ln_choose(60, 30), 118_264_581_564_861_424_f64.ln(), 1e-14);
        assert_eq!(ln_choose(5, 0), 0.0);
        assert_eq!(ln_choose(5, 6), f64::NEG_INFINITY);
        near(binomial_pmf(3, 10, 0.5), 120.0 / 1024.0, 1e-14);
        near(binomial_pmf(0, 10, 0.5), 1.0 / 1024.0, 1e-14);
        near(binomial_lower(1, 10, 0.5), 11.0 / 1024.0, 1e-14);
        near(binomial_upper(9, 10, 0.5), 11.0 / 1024.0, 1e-14);
        near(poisson_lower(1, 2.0), 3.0 * (-2.0_f64).exp(), 1e-14);
        near(poisson_upper(1, 2.0), -(-2.0_f64).exp_m1(), 1e-14);
        near(hypergeometric_pmf(2, 10, 4, 3), 36.0 / 120.0, 1e-14);
        assert_eq!(hypergeometric_pmf(4, 10, 4, 3), 0.0);
    }

    #[test]
    fn certainties_stay_so() {
        assert_eq!((binomial_pmf(0, 0, 0.3), binomial_pmf(5, 5, 1.0), binomial_pmf(4, 5, 1.0)), (1.0, 1.0, 0.0));
        assert_eq!((binomial_lower(5, 5, 0.1), binomial_upper(0, 5, 0.1), binomial_upper(6, 5, 0.1)), (1.0, 1.0, 0.0));
        assert_eq!((poisson_lower(0, 0.0), poisson_upper(1, 0.0)), (1.0, 0.0));
    }
}
