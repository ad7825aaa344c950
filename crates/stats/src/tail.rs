//! Tail probabilities and quantiles that keep their digits far out.
//!
//! P-values are upper tails computed as such, never one minus a cumulative probability, which would be 0 below 1e-16.
//! The normal and t tails are ours: with the hundreds of thousands of degrees of freedom of a mailing, the usual formula
//! takes the difference of two large log-gammas and of one and a number close to one, and half of the digits are lost.

use std::f64::consts::PI;

use statrs::distribution::{ContinuousCDF, Normal};
use statrs::function::gamma::gamma_ur;

/// Steps of a continued fraction. Where they converge slowest they take fewer than two hundred.
const FRACTION_STEPS_MAX: usize = 1_000;

/// From here on the normal tail is computed by its continued fraction, below by its power series.
const NORMAL_FRACTION_FROM: f64 = 2.0;

/// Above, the t distribution is taken as normal.
const DEGREES_OF_FREEDOM_MAX: f64 = 1e9;

/// Newton steps of a quantile; a handful suffice, and bisection alone would be done by then.
const QUANTILE_STEPS_MAX: usize = 200;

/// P(Z > x) for a standard normal Z. Laplace's continued fraction far out, the power series of the middle near zero
/// (Abramowitz & Stegun 26.2.14 and 26.2.11).
#[must_use]
pub fn normal_upper(x: f64) -> f64 {
    if x < 0.0 {
        return 1.0 - normal_upper(-x);
    }
    // Beyond, the tail is zero anyway and the fraction would divide infinities.
    let x = x.clamp(0.0, 100.0);
    let density = (-0.5 * x * x).exp() / (2.0 * PI).sqrt();
    if x < NORMAL_FRACTION_FROM {
        let (mut term, mut sum, mut odd) = (x, x, 1.0);
        while term > sum * f64::EPSILON {
            odd += 2.0;
            term *= x * x / odd;
            sum += term;
        }
        return 0.5 - density * sum;
    }
    let (mut value, mut c, mut d) = (x, x, 0.0);
    for step in 1..=FRACTION_STEPS_MAX {
        d = 1.0 / (x + step as f64 * d);
        c = x + step as f64 / c;
        value *= c * d;
        if (c * d - 1.0).abs() <= f64::EPSILON {
            break;
        }
    }
    density / value
}

/// The x with P(Z > x) = `upper`, for `upper` between 0 and 1.
#[must_use]
pub fn normal_quantile_upper(upper: f64) -> f64 {
    if upper > 0.5 {
        return -normal_quantile_upper(1.0 - upper);
    }
    let x = -Normal::standard().inverse_cdf(upper);
    // One Newton step on the logarithm of the tail gives the last digits.
    let tail = normal_upper(x);
    x + (tail / upper).ln() * tail * (2.0 * PI).sqrt() / (-0.5 * x * x).exp()
}

/// P(X > x) for a chi-square X with `degrees_of_freedom` > 0.
#[must_use]
pub fn chi_square_upper(x: f64, degrees_of_freedom: f64) -> f64 {
    if x <= 0.0 { 1.0 } else { gamma_ur(degrees_of_freedom / 2.0, x / 2.0) }
}

/// P(T > x) for a t-distributed T with `degrees_of_freedom` > 0.
#[must_use]
pub fn t_upper(x: f64, degrees_of_freedom: f64) -> f64 {
    if degrees_of_freedom > DEGREES_OF_FREEDOM_MAX {
        return normal_upper(x);
    }
    // The cap keeps products of it finite.
    let half = 0.5 * beta_tail((x * x / degrees_of_freedom).clamp(0.0, 1e290), degrees_of_freedom / 2.0);
    if x >= 0.0 { half } else { 1.0 - half }
}

/// The x > 0 with P(T > x) = `upper`, for `upper` between 0 and one half.
#[must_use]
pub fn t_quantile_upper(upper: f64, degrees_of_freedom: f64) -> f64 {
    if degrees_of_freedom > DEGREES_OF_FREEDOM_MAX {
        return normal_quantile_upper(upper);
    }
    let mut low = 0.0;
    let mut high = 1.0;
    while t_upper(high, degrees_of_freedom) > upper {
        low = high;
        high *= 2.0;
    }
    let mut x = normal_quantile_upper(upper).clamp(low, high);
    for _ in 0..QUANTILE_STEPS_MAX {
        let tail = t_upper(x, degrees_of_freedom);
        if tail > upper {
            low = x
        } else {
            high = x
        }
        // Newton on the logarithm of the tail, which is nearly straight; bisection where it leaves the bracket.
        let newton = x + tail * (tail / upper).ln() / t_density(x, degrees_of_freedom);
        let next = if newton > low && newton < high { newton } else { (low + high) / 2.0 };
        if (next - x).abs() <= 4.0 * f64::EPSILON * x {
            return next;
        }
        x = next;
    }
    x
}

fn t_density(x: f64, degrees_of_freedom: f64) -> f64 {
    let a = degrees_of_freedom / 2.0;
    (ln_gamma_half_step(a) - (a + 0.5) * (x * x / degrees_of_freedom).ln_1p()).exp() / (degrees_of_freedom * PI).sqrt()
}

/// I_h(a, 1/2) for h = 1 / (1 + u): the two-sided tail of t where u = t² / (2a).
fn beta_tail(u: f64, a: f64) -> f64 {
    if u <= 0.0 {
        return 1.0;
    }
    let h = 1.0 / (1.0 + u);
    let rest = u / (1.0 + u);
    // h^a (1-h)^(1/2) / B(a, 1/2), through logarithms of numbers near one.
    let front = (ln_gamma_half_step(a) - a * u.ln_1p()).exp() * (rest / PI).sqrt();
    let excess = (a * u - 0.5) * h;
    if excess > 0.0 {
        front / beta_fraction(a, 0.5, h, rest, excess)
    } else {
        1.0 - front / beta_fraction(0.5, a, rest, h, -excess)
    }
}

/// The continued fraction that divides x^a y^b / B(a, b) to give I_x(a, b), with y = 1 − x; it converges fast where
/// `excess` = a y − b x is positive, and takes `y` and `excess` separately because the digits of 1 − x are gone where x
/// is close to one. Didonato & Morris, "Algorithm 708", ACM TOMS 18 (1992), evaluated by Lentz's method as modified by
/// Thompson & Barnett (1986).
fn beta_fraction(a: f64, b: f64, x: f64, y: f64, excess: f64) -> f64 {
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

/// ln Γ(a + 1/2) − ln Γ(a), by its asymptotic series, for small `a` after stepping upwards.
fn ln_gamma_half_step(a: f64) -> f64 {
    let mut below = 0.0;
    let mut a = a;
    while a < 20.0 {
        below += (0.5 / a).ln_1p();
        a += 1.0;
    }
    let inverse = 1.0 / a;
    let square = inverse * inverse;
    let series =
        -1.0 / 8.0 + square * (1.0 / 192.0 + square * (-1.0 / 640.0 + square * (17.0 / 14_336.0 + square * (-31.0 / 18_432.0))));
    0.5 * a.ln() + inverse * series - below
}

/// ln Γ(z) less Stirling's (z − 1/2) ln z − z + ln(2π)/2, for z > 0: a small number that keeps its digits.
pub(crate) fn stirling_remainder(z: f64) -> f64 {
    let mut below = 0.0;
    let mut z = z;
    while z < 15.0 {
        // The remainder at z exceeds the one at z + 1 by (z + 1/2) ln(1 + 1/z) − 1.
        below += (z + 0.5) * (1.0 / z).ln_1p() - 1.0;
        z += 1.0;
    }
    let inverse = 1.0 / z;
    let square = inverse * inverse;
    let series =
        1.0 / 12.0 + square * (-1.0 / 360.0 + square * (1.0 / 1260.0 + square * (-1.0 / 1680.0 + square * (1.0 / 1188.0))));
    below + inverse * series
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(actual: f64, expect: f64, tolerance: f64) {
        assert!((actual / expect - 1.0).abs() <= tolerance, "{actual:e} is not {expect:e}");
    }

    /// Expected values by mpmath at 60 digits.
    #[test]
    fn the_t_tail_keeps_its_digits() {
        let check = |x: f64, degrees_of_freedom: f64, expect: f64| near(t_upper(x, degrees_of_freedom), expect, 1e-12);
        check(0.5, 3.0, 0.325_723_982_424_075_5);
        check(2.5, 1.0, 0.121_118_941_590_843_4);
        check(1.7, 4.5, 0.078_176_956_067_948_89);
        check(1.2, 40.0, 0.118_599_312_057_305_16);
        check(1.9, 1e6, 0.028_716_703_498_269_69);
        check(8.0, 37.25, 6.569_854_349_748_295e-10);
        check(25.000_000_086_222_908, 369_361.782_270_620_1, 3.983_940_198_267_254e-138);
        check(37.0, 5e7, 5.779_554_711_130_779e-300);
        check(0.01, 12.0, 0.496_092_807_494_251_8);
        check(4.5, 42_692.5, 3.406_632_460_969_951_7e-6);
        check(0.0, 12.0, 0.5);
        check(-1.2, 40.0, 1.0 - 0.118_599_312_057_305_16);
        assert!(t_upper(38.3, 99_999.5) > 0.0, "6.4e-319 can be represented");
        assert_eq!(t_upper(f64::INFINITY, 5.0), 0.0);
        assert!(t_upper(f64::NAN, 5.0).is_nan());
    }

    #[test]
    fn the_t_quantile_inverts_the_tail() {
        let check =
            |upper: f64, degrees_of_freedom: f64, expect: f64| near(t_quantile_upper(upper, degrees_of_freedom), expect, 1e-12);
        check(0.025, 1.0, 12.706_204_736_174_704);
        check(0.025, 5.5, 2.501_858_617_589_240_4);
        check(0.0005, 30.0, 3.645_958_635_042_022);
        check(0.025, 42_692.5, 1.960_019_552_551_859_2);
        check(1e-12, 1000.0, 7.124_228_925_314_409);
        check(0.25, 3.0, 0.764_892_328_404_345_3);
        check(0.025, 1e6, 1.959_966_356_814_107);
        check(0.025, 1e12, 1.959_963_984_540_054_2);
    }

    #[test]
    fn other_tails_are_never_one_minus_something() {
        near(normal_upper(10.0), 7.619_853_024_160_527e-24, 1e-12);
        near(normal_upper(37.0), 5.725_571_222_524_576e-300, 1e-10);
        near(chi_square_upper(100.0, 1.0), 1.523_970_604_832_105e-23, 1e-12);
        near(chi_square_upper(0.2, 2.0), 0.904_837_418_035_959_6, 1e-13);
        near(normal_upper(-1.0), 0.841_344_746_068_542_9, 1e-14);
        near(normal_quantile_upper(0.025), 1.959_963_984_540_054_2, 1e-14);
        near(normal_quantile_upper(0.975), -1.959_963_984_540_054_2, 1e-14);
        assert_eq!(normal_upper(f64::INFINITY), 0.0);
        assert_eq!(chi_square_upper(0.0, 3.0), 1.0);
    }
}
