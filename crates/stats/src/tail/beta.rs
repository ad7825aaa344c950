//! The beta function and the beta distribution, with Fisher's F.
//!
//! x^a (1−x)^b / B(a, b) is computed through the deviance, which is small where the tail matters, never through
//! log-gammas, which are large and cancel (Loader, "Fast and accurate computation of binomial probabilities", 2000).
//! Small shapes: a continued fraction (Didonato & Morris, "Algorithm 708", ACM TOMS 18, 1992). Large shapes: the density
//! of ln(x / (1 − x)) is integrated along the tail.

use std::f64::consts::PI;

use super::gamma::{bounded, half, stirling_remainder};
use super::kernel::{Tails, excess_over_ln, exp_with_excess, invert, tail_integral};
use super::normal::normal_quantile_upper;
use super::t::{t_quantile_upper, t_upper};

/// Steps of the continued fraction. Where it converges slowest it takes fewer than two hundred.
const FRACTION_STEPS_MAX: usize = 1_000;

/// From this shape on, of the side towards which the tail runs, the tail is integrated.
const INTEGRAL_SHAPE_MIN: f64 = 16.0;

/// Below, ln B is no more than the logarithm of its pole.
const TINY_SHAPE: f64 = 1e-100;

/// ln B(a, b) for `a`, `b` > 0. NaN for NaN and where a shape is not more than zero.
#[must_use]
pub fn ln_beta(a: f64, b: f64) -> f64 {
    if !valid(a, b) {
        return f64::NAN;
    }
    let (a, b) = (a.min(b), a.max(b));
    if a < TINY_SHAPE {
        // B(a, b) is 1/a + 1/b.
        return (a / b).ln_1p() - a.ln();
    }
    let (a, b) = (bounded(a), bounded(b));
    let sum = a + b;
    let stirling = stirling_remainder(a) + stirling_remainder(b) - stirling_remainder(sum);
    a * (a / sum).ln() + b * (-a / sum).ln_1p() + stirling - 0.5 * (a / (2.0 * PI) * (b / sum)).ln()
}

/// I_x(a, b) = P(X < x) for a beta variable X with shapes `a`, `b` > 0. 0 below 0 and 1 above 1. NaN for NaN and where a
/// shape is not more than zero.
#[must_use]
pub fn beta_lower(x: f64, a: f64, b: f64) -> f64 {
    beta_tails_at(x, a, b).lower
}

/// P(X > x) for a beta variable X. NaN as for [`beta_lower`].
#[must_use]
pub fn beta_upper(x: f64, a: f64, b: f64) -> f64 {
    beta_tails_at(x, a, b).upper
}

/// The density at `x`; 0 outside 0 to 1, infinite at an end whose shape is below one. NaN as for [`beta_lower`].
#[must_use]
pub fn beta_density(x: f64, a: f64, b: f64) -> f64 {
    if x.is_nan() || !valid(a, b) {
        return f64::NAN;
    }
    if !(0.0..=1.0).contains(&x) {
        return 0.0;
    }
    let at_end = |own: f64, other: f64| match own.total_cmp(&1.0) {
        std::cmp::Ordering::Less => f64::INFINITY,
        std::cmp::Ordering::Equal => other,
        std::cmp::Ordering::Greater => 0.0,
    };
    if x == 0.0 {
        return at_end(a, b);
    }
    if x == 1.0 {
        return at_end(b, a);
    }
    let (a, b) = (bounded(a), bounded(b));
    let place = Place::at(a, b, x);
    place.front() / place.x / place.y
}

/// The x with P(X < x) = `p` for a beta variable X: 0 at 0, 1 at 1. NaN outside and as for [`beta_lower`].
#[must_use]
pub fn beta_quantile(p: f64, a: f64, b: f64) -> f64 {
    let (x, _) = beta_quantile_of(Tails { lower: p, upper: 1.0 - p }, a, b);
    x
}

/// P(X > x) for an F variable X with `d1`, `d2` > 0 degrees of freedom. NaN for NaN and where degrees of freedom are not
/// more than zero.
#[must_use]
pub fn f_upper(x: f64, d1: f64, d2: f64) -> f64 {
    if x.is_nan() || !valid(d1, d2) {
        return f64::NAN;
    }
    if x <= 0.0 {
        return 1.0;
    }
    if d1 == 1.0 {
        // The square of a t variable.
        return 2.0 * t_upper(x.sqrt(), d2);
    }
    f_place(x, d1, d2).map_or(0.0, |place| place.tails().upper)
}

/// The x with P(X > x) = `p` for an F variable X: infinite at 0, 0 at 1. NaN outside and as for [`f_upper`].
#[must_use]
pub fn f_quantile_upper(p: f64, d1: f64, d2: f64) -> f64 {
    if d1 == 1.0 && valid(d1, d2) && (0.0..=1.0).contains(&p) {
        return t_quantile_upper(0.5 * p, d2).powi(2);
    }
    let (x, y) = beta_quantile_of(Tails { lower: 1.0 - p, upper: p }, half(d1), half(d2));
    if y == 0.0 { f64::INFINITY } else { x / y * (half(d2) / half(d1)) }
}

/// The place of x in an F distribution, for x > 0; `None` where it is beyond all of it.
pub(crate) fn f_place(x: f64, d1: f64, d2: f64) -> Option<Place> {
    let (a, b) = (half(d1), half(d2));
    let ratio = x * (a / b);
    let (share, rest) = (ratio / (1.0 + ratio), 1.0 / (1.0 + ratio));
    // The excess from x itself, since near x = 1 little of the shares is left in it.
    (rest > 0.0 && share.is_finite()).then_some(Place { a, b, x: share, y: rest, excess: a * ((1.0 - x) * rest) })
}

fn valid(a: f64, b: f64) -> bool {
    a > 0.0 && b > 0.0
}

fn beta_tails_at(x: f64, a: f64, b: f64) -> Tails {
    if x.is_nan() || !valid(a, b) {
        return Tails::NAN;
    }
    beta_tails(a, b, x)
}

/// Both tails at `x`.
pub(crate) fn beta_tails(a: f64, b: f64, x: f64) -> Tails {
    if x <= 0.0 {
        return Tails::BELOW;
    }
    if x >= 1.0 {
        return Tails::ABOVE;
    }
    Place::at(bounded(a), bounded(b), x).tails()
}

/// A point inside a beta distribution: the shapes, x, y = 1 − x, and the excess a y − b x, which is positive below the mean.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) a: f64,
    pub(crate) b: f64,
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) excess: f64,
}

impl Place {
    /// The point x, whose 1 − x is rounded.
    pub(crate) fn at(a: f64, b: f64, x: f64) -> Self {
        let y = 1.0 - x;
        let place = Self::new(a, b, x, y);
        Self { excess: place.excess + a * ((1.0 - y) - x), ..place }
    }

    pub(crate) fn new(a: f64, b: f64, x: f64, y: f64) -> Self {
        // With the rounding of one product given back: near the mean the two are nearly the same.
        let product = b * x;
        let excess = a.mul_add(y, -product) - b.mul_add(x, -product);
        Self { a, b, x, y, excess }
    }

    fn turned(self) -> Self {
        Self { a: self.b, b: self.a, x: self.y, y: self.x, excess: -self.excess }
    }

    pub(crate) fn tails(self) -> Tails {
        self.tails_from(self.front())
    }

    /// Both tails, where the front is known.
    fn tails_from(self, front: f64) -> Tails {
        if self.excess >= 0.0 {
            Tails::of_lower(self.lower_from(front))
        } else {
            Tails::of_lower(self.turned().lower_from(front)).swapped()
        }
    }

    /// I_x(a, b) for x below the mean.
    fn lower_from(self, front: f64) -> f64 {
        let Self { a, b, x, y, excess } = self;
        if front == 0.0 {
            return 0.0;
        }
        if a < INTEGRAL_SHAPE_MIN {
            return front / beta_fraction(a, b, x, y, excess);
        }
        // Towards x = 0 along s = −ln(x / y): G(s) = −a s − (a + b) ln(1 + x (e^−s − 1)).
        let sum = a + b;
        let curve = |s: f64| -excess * s - sum * centred_ln_mean(s, x, y);
        let slope = |s: f64| -a + sum * x / (x + y * s.exp());
        front * tail_integral(curve, slope, sum * x * y)
    }

    /// x^a y^b / B(a, b): the density of ln(x / y).
    pub(crate) fn front(self) -> f64 {
        let Self { a, b, x, y, excess } = self;
        let sum = a + b;
        let deviance = deviance(a, -excess, sum, x) + deviance(b, excess, sum, y);
        let stirling = stirling_remainder(sum) - stirling_remainder(a) - stirling_remainder(b);
        (a / (2.0 * PI) * (b / sum)).sqrt() * (stirling - deviance).exp()
    }
}

/// ln(1 + x (e^−s − 1)) + x s: the cumulant function of a Bernoulli variable, centred; never negative. By the smaller of
/// x and y, so that what is subtracted is at most half.
fn centred_ln_mean(s: f64, x: f64, y: f64) -> f64 {
    let (share, s) = if x < y { (x, -s) } else { (y, s) };
    let (rise, excess) = exp_with_excess(s);
    let u = share * rise;
    if u.abs() > 0.4 { u.ln_1p() - share * s } else { share * excess - excess_over_ln(u, 1.0 + u) }
}

/// a ψ(off / a) with ψ(u) = u − ln(1 + u), where 1 + off/a = sum · x / a.
pub(crate) fn deviance(a: f64, off: f64, sum: f64, x: f64) -> f64 {
    let u = off / a;
    if u.abs() <= 0.4 {
        return a * excess_over_ln(u, 1.0 + u);
    }
    let above = sum / a * x;
    off - a * if above.is_finite() && above > 0.0 { above.ln() } else { (sum / a).ln() + x.ln() }
}

/// The continued fraction that divides x^a y^b / B(a, b) to give I_x(a, b), with y = 1 − x; it converges fast where
/// `excess` = a y − b x is positive, and takes `y` and `excess` separately because the digits of 1 − x are gone where x
/// is close to one. Evaluated by Lentz's method as modified by Thompson & Barnett (1986).
pub(crate) fn beta_fraction(a: f64, b: f64, x: f64, y: f64, excess: f64) -> f64 {
    let mut value = a / (a + 1.0) * (excess + 1.0);
    let mut c = value;
    let mut d = 0.0;
    for step in 1..=FRACTION_STEPS_MAX {
        let n = step as f64;
        let odd = a + 2.0 * n - 1.0;
        let turn = n * (b - n) * x / odd;
        let numerator = ((a + n - 1.0) / odd) * (a + b + n - 1.0) * turn * x;
        let denominator = n + turn + (a + n) / (odd + 2.0) * (excess + 1.0 + n * (1.0 + y));
        d = 1.0 / (denominator + numerator * d);
        c = denominator + numerator / c;
        value *= c * d;
        if (c * d - 1.0).abs() <= f64::EPSILON {
            break;
        }
    }
    value
}

/// The quantile x and 1 − x, by whichever tail is smaller, along ln(x / (1 − x)).
fn beta_quantile_of(p: Tails, a: f64, b: f64) -> (f64, f64) {
    if !(0.0..=1.0).contains(&p.lower) || !(0.0..=1.0).contains(&p.upper) || !valid(a, b) {
        return (f64::NAN, f64::NAN);
    }
    if p.lower == 0.0 {
        return (0.0, 1.0);
    }
    if p.upper == 0.0 {
        return (1.0, 0.0);
    }
    let (a, b) = (bounded(a), bounded(b));
    let by_lower = p.lower <= p.upper;
    let target = if by_lower { p.lower } else { p.upper };
    let shares = |v: f64| (1.0 / (1.0 + (-v).exp()), 1.0 / (1.0 + v.exp()));
    let v = invert(target, by_lower, quantile_start(p, a, b), (-745.0, 745.0), |v| {
        let (x, y) = shares(v);
        if x == 0.0 || y == 0.0 {
            return (if (x == 0.0) == by_lower { 0.0 } else { 1.0 }, 0.0);
        }
        let place = Place::new(a, b, x, y);
        let front = place.front();
        let tails = place.tails_from(front);
        (if by_lower { tails.lower } else { tails.upper }, front)
    });
    shares(v)
}

/// Half a logit by Cochran & Fisher (Abramowitz & Stegun 26.5.22) for shapes above one, else the leading term of the
/// nearer end.
fn quantile_start(p: Tails, a: f64, b: f64) -> f64 {
    if a > 1.0 && b > 1.0 {
        let z = if p.lower <= p.upper { normal_quantile_upper(p.lower) } else { -normal_quantile_upper(p.upper) };
        let lambda = (z * z - 3.0) / 6.0;
        let (s, t) = (1.0 / (2.0 * a - 1.0), 1.0 / (2.0 * b - 1.0));
        let h = 2.0 / (s + t);
        let inner = (h + lambda).max(0.0);
        let w = z * inner.sqrt() / h - (t - s) * (lambda + 5.0 / 6.0 - 2.0 / (3.0 * h));
        return (a / b).ln() - 2.0 * w;
    }
    let ln_beta = ln_beta(a, b);
    let low = (p.lower.ln() + a.ln() + ln_beta) / a;
    let high = -(p.upper.ln() + b.ln() + ln_beta) / b;
    if low < 0.0 && (low.abs() > high.abs() || high < 0.0) { low } else { high }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tail::kernel::near;

    #[test]
    fn known_values() {
        near(ln_beta(2.0, 3.0), (1.0_f64 / 12.0).ln(), 1e-14);
        near(beta_lower(0.3, 2.0, 3.0), 0.3483, 1e-13);
        near(beta_upper(0.3, 2.0, 3.0), 0.6517, 1e-13);
        near(beta_lower(0.5, 200.0, 200.0), 0.5, 1e-13);
        near(f_upper(4.0, 2.0, 10.0), 1.8_f64.powi(-5), 1e-13);
        near(f_quantile_upper(0.05, 1.0, 10.0), 4.964_602_743_730_711, 1e-12);
        near(beta_quantile(0.3483, 2.0, 3.0), 0.3, 1e-13);
        near(beta_quantile(0.5, 0.5, 0.5), 0.5, 1e-13);
    }

    #[test]
    fn the_ways_to_compute_agree_where_they_meet() {
        for (a, b, x) in [(16.0, 16.0, 0.5), (16.0, 3.0, 0.8), (16.0, 1e4, 1.5e-3), (16.0, 40.0, 0.1)] {
            let place = Place::new(a, b, x, 1.0 - x);
            near(place.lower_from(place.front()), place.front() / beta_fraction(a, b, x, 1.0 - x, place.excess), 1e-12);
        }
    }
}
