//! Noncentral t, chi-square and F: the distributions of test statistics when there is an effect, for power.
//!
//! Noncentral t is a normal tail averaged over the chi distribution; in the logarithm of the latter the integrand is
//! concave and smooth, and the trapezoidal rule converges exponentially (Trefethen & Weideman, SIAM Review 56, 2014),
//! whatever the degrees of freedom. Chi-square and F are Poisson mixtures of central ones, summed upwards, where every
//! step adds something positive.

use std::f64::consts::PI;

use super::beta::{Place, f_place, f_upper};
use super::gamma::{gamma_front, gamma_tails, half as half_of, stirling_remainder};
use super::kernel::excess_of_exp;
use super::normal::{normal_log_upper, normal_upper};

/// Where the integrand has fallen by e^−40, it is over.
const NEGLIGIBLE_LN: f64 = 40.0;

/// The first number of trapezoids, and how often it is doubled at most.
const TRAPEZOIDS_MIN: usize = 24;
const DOUBLINGS_MAX: usize = 11;

/// Two rounds of trapezoids that differ by less agree.
const TRAPEZOID_TOLERANCE: f64 = 1e-10;

/// Steps towards the mode and the ends of the integrand.
const SEARCH_STEPS_MAX: usize = 200;

/// The largest noncentrality whose mixture is summed; it takes some hundred thousand terms.
const MIXTURE_MAX: f64 = 1e8;
const MIXTURE_TERMS_MAX: usize = 1_000_000;

/// Poisson terms below this share of the largest are left out.
const MIXTURE_NEGLIGIBLE: f64 = 1e-22;

/// P(T > x) for T = (Z + nc) / √(χ²/df), to 1e-12 for `df` from 0.1 and `nc` up to 40; where `df` is smaller, digits and
/// speed are lost. NaN for NaN, `df` not more than zero and an infinite `nc`.
#[must_use]
pub fn noncentral_t_upper(x: f64, df: f64, nc: f64) -> f64 {
    if x.is_nan() || df.is_nan() || df <= 0.0 || !nc.is_finite() {
        return f64::NAN;
    }
    if x < 0.0 {
        return 1.0 - noncentral_t_upper(-x, df, -nc);
    }
    if x == 0.0 {
        return normal_upper(-nc);
    }
    if x.is_infinite() {
        return 0.0;
    }
    let df = df.min(1e300);
    // With √(χ²/df) = e^y: the density of y, and the normal tail given y.
    let log = |y: f64| -0.5 * df * excess_of_exp(2.0 * y) + normal_log_upper(x * y.exp() - nc);
    let front = (df / PI).sqrt() * (-stirling_remainder(0.5 * df)).exp();
    // Begin in the middle, unless the normal tail is nothing there.
    let start = if log(0.0) > -1e6 { 0.0 } else { ((nc.max(0.0) + 1.0) / x).ln() };
    (front * integral_of_log_concave(log, start, 1.0 / (2.0 * df).sqrt(), 0.7 / nc.abs().max(1.0))).min(1.0)
}

/// P(X > x) for X = (Z_1 + √nc)² + Z_2² + … with `df` > 0 degrees of freedom. From an `nc` of 1e8 on by a central
/// chi-square of the same mean and variance, to 1e-4. NaN for NaN, `df` not more than zero and a
/// negative or infinite `nc`.
#[must_use]
pub fn noncentral_chi_square_upper(x: f64, df: f64, nc: f64) -> f64 {
    if x.is_nan() || df.is_nan() || df <= 0.0 || !(0.0..f64::INFINITY).contains(&nc) {
        return f64::NAN;
    }
    if x <= 0.0 {
        return 1.0;
    }
    if nc > MIXTURE_MAX {
        let (mean, shape) = like_central(df, nc);
        return gamma_tails(0.5 * shape, 0.5 * x / mean * shape).upper;
    }
    let (a, half) = (half_of(df), 0.5 * x);
    if half.is_infinite() {
        return 0.0;
    }
    mixture(0.5 * nc, |j| gamma_tails(a + j, half).upper, |j| gamma_front(a + j, half) / (a + j), |j| half / (a + j + 1.0))
}

/// P(X > x) for the ratio of a noncentral chi-square over `d1` to a central one over `d2`. Large `nc` and NaN as for
/// [`noncentral_chi_square_upper`].
#[must_use]
pub fn noncentral_f_upper(x: f64, d1: f64, d2: f64, nc: f64) -> f64 {
    let parameters = d1 > 0.0 && d2 > 0.0 && (0.0..f64::INFINITY).contains(&nc);
    if x.is_nan() || !parameters {
        return f64::NAN;
    }
    if x <= 0.0 {
        return 1.0;
    }
    if nc > MIXTURE_MAX {
        let (mean, shape) = like_central(d1, nc);
        return f_upper(x / (mean / (2.0 * half_of(d1))), shape, d2);
    }
    let Some(first) = f_place(x, d1, d2) else { return 0.0 };
    let Place { a, b, x, .. } = first;
    // The first shape rises by one, and with it the excess by y.
    let at = |j: f64| Place { a: a + j, excess: first.excess + j * first.y, ..first };
    mixture(0.5 * nc, |j| at(j).tails().upper, |j| at(j).front() / (a + j), |j| x * ((a + j + b) / (a + j + 1.0)))
}

/// The mean of a noncentral chi-square and the degrees of freedom of the central one which, scaled, has its mean and
/// variance. Patnaik, "The non-central χ² and F-distributions and their applications", Biometrika 36 (1949).
fn like_central(df: f64, nc: f64) -> (f64, f64) {
    let (df, nc) = (2.0 * half_of(df), nc.min(1e150));
    let mean = df + nc;
    (mean, mean / (1.0 + nc / mean))
}

/// Σ Poisson(j; mean) tail(j). `tail` rises with j by `rise(j)`, whose own ratio from j to j + 1 is `ratio(j)`.
fn mixture(mean: f64, tail: impl Fn(f64) -> f64, rise: impl Fn(f64) -> f64, ratio: impl Fn(f64) -> f64) -> f64 {
    // Down from the mode to where nothing is left: the tails there are smaller still.
    let mode = mean.floor();
    let (mut low, mut weight) = (mode, 1.0);
    let mut steps = 0;
    while low > 0.0 && weight > MIXTURE_NEGLIGIBLE && steps < MIXTURE_TERMS_MAX {
        weight *= low / mean;
        low -= 1.0;
        steps += 1;
    }
    let mut weight = if low == 0.0 { (-mean).exp().max(f64::MIN_POSITIVE) } else { poisson_point(low, mean) };
    let (mut j, mut tail, mut step) = (low, tail(low), rise(low));
    let mut sum = 0.0;
    for _ in 0..2 * MIXTURE_TERMS_MAX {
        let term = weight * tail;
        sum += term;
        if j > mode && weight <= (1e-17 * sum).max(1e-290) && (tail > 0.5 || term <= 1e-17 * sum && step <= tail) {
            break;
        }
        tail = (tail + step).min(1.0);
        step *= ratio(j);
        j += 1.0;
        weight *= mean / j;
    }
    sum.min(1.0)
}

/// P(X = j) for a Poisson X.
fn poisson_point(j: f64, mean: f64) -> f64 {
    gamma_front(j, mean) / j
}

/// ∫ e^`log` over all y, for a concave function that falls on both sides; `scale` is a guess of its width and `start` a place
/// where it is not nothing. Trapezoids wider than `grain` may agree by chance.
fn integral_of_log_concave(log: impl Fn(f64) -> f64, start: f64, scale: f64, grain: f64) -> f64 {
    let mode = mode(&log, start, scale);
    let top = log(mode);
    if top < -760.0 || top.is_nan() {
        return 0.0;
    }
    let (low, high) = (end(&log, mode, top, -scale), end(&log, mode, top, scale));
    let mut width = (high - low) / TRAPEZOIDS_MIN as f64;
    let value = |y: f64| (log(y) - top).exp();
    let mut sum: f64 = (1..TRAPEZOIDS_MIN).map(|i| value(low + width * i as f64)).sum();
    let mut trapezoids = TRAPEZOIDS_MIN;
    for _ in 0..DOUBLINGS_MAX {
        let between: f64 = (0..trapezoids).map(|i| value(low + width * (i as f64 + 0.5))).sum();
        // The coarse sum stands for `sum`, the fine one for half of both.
        let agree = (between - sum).abs() <= 2.0 * TRAPEZOID_TOLERANCE * sum;
        sum += between;
        width *= 0.5;
        trapezoids *= 2;
        if agree && width <= grain {
            break;
        }
    }
    top.exp() * sum * width
}

/// The mode of a concave function, well enough to start from: by growing steps, then golden section.
fn mode(log: &impl Fn(f64) -> f64, start: f64, scale: f64) -> f64 {
    let direction = if log(start + scale) > log(start - scale) { 1.0 } else { -1.0 };
    let (mut before, mut here, mut step) = (start - direction * scale, start, direction * scale);
    for _ in 0..SEARCH_STEPS_MAX {
        let next = here + step;
        let rises = log(next) > log(here);
        if !rises {
            break;
        }
        (before, here) = (here, next);
        step *= 1.5;
    }
    let (mut low, mut high) = (before.min(here + step), before.max(here + step));
    for _ in 0..SEARCH_STEPS_MAX {
        let third = (high - low) / 3.0;
        if third <= 0.02 * scale {
            break;
        }
        if log(low + third) < log(high - third) { low += third } else { high -= third }
    }
    0.5 * (low + high)
}

/// Where a concave function has fallen by [`NEGLIGIBLE_LN`] from its top, a little beyond.
fn end(log: &impl Fn(f64) -> f64, mode: f64, top: f64, scale: f64) -> f64 {
    let mut reach = scale;
    for _ in 0..SEARCH_STEPS_MAX {
        let goes_on = log(mode + reach) > top - NEGLIGIBLE_LN;
        if !goes_on {
            break;
        }
        reach *= 1.3;
    }
    mode + reach
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tail::kernel::near;
    use crate::tail::{chi_square_upper, f_upper, t_upper};

    #[test]
    fn without_an_effect_they_are_central() {
        for (x, df) in [(0.3, 3.0), (2.5, 17.0), (6.0, 250.0), (1.96, 1e7), (30.0, 1.0), (1.0, 0.2)] {
            near(noncentral_t_upper(x, df, 0.0), t_upper(x, df), 1e-11);
            near(noncentral_chi_square_upper(x, df, 0.0), chi_square_upper(x, df), 1e-14);
            near(noncentral_f_upper(x, 2.0, df, 0.0), f_upper(x, 2.0, df), 1e-14);
        }
    }

    #[test]
    fn one_degree_of_freedom_is_a_square() {
        for (x, nc) in [(2.0_f64, 1.5_f64), (3.84, 7.85), (50.0, 30.0), (2000.0, 1600.0)] {
            let expect = normal_upper(x.sqrt() - nc.sqrt()) + normal_upper(x.sqrt() + nc.sqrt());
            near(noncentral_chi_square_upper(x, 1.0, nc), expect, 1e-11);
            let df = 25.0;
            let t = noncentral_t_upper(x.sqrt(), df, nc.sqrt()) + noncentral_t_upper(x.sqrt(), df, -nc.sqrt());
            near(noncentral_f_upper(x, 1.0, df, nc), t, 1e-10);
        }
    }
}
