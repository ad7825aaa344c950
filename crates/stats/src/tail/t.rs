//! Student's t distribution, for any real number of degrees of freedom ν > 0.
//!
//! With s² = ν ln(1 + t²/ν) the density becomes that of a normal times g(s²/ν), g(w) = √(w / (1 − e^−w)), exactly. From
//! twenty degrees of freedom on, and not too far out, g is a short power series and its moments over a normal tail are
//! sums of positive terms. Elsewhere the tail is an incomplete beta function by its continued fraction.

use std::f64::consts::PI;

use super::beta::beta_fraction;
use super::kernel::invert;
use super::normal::{normal_density, normal_middle, normal_mills, normal_quantile_upper};

/// From here on the power series holds.
const SERIES_DEGREES_MIN: f64 = 20.0;

/// The bounds keep zero and infinity out of products; beyond them, nothing changes.
const DEGREES_MIN: f64 = 1e-300;
const DEGREES_MAX: f64 = 1e300;

/// Above, t² is taken as ν u only through logarithms.
const SQUARE_MAX: f64 = 1e290;

/// Third-order steps of the quantile; two suffice nearly always.
const QUANTILE_STEPS_MAX: usize = 4;

/// A tail this near to the target, relatively, is exact after one more step of third order.
const QUANTILE_NEAR: f64 = 2e-5;

/// The coefficients of g(w) = √(w / (1 − e^−w)).
const SERIES: [f64; 20] = [
    1.0,
    0.25,
    0.010416666666666666,
    -0.0026041666666666665,
    -9.765625e-05,
    5.154079861111111e-05,
    1.2756024718915344e-06,
    -1.110097087880291e-06,
    -1.9670584004181822e-08,
    2.4836319884715677e-08,
    3.3966619960386745e-10,
    -5.690071833942187e-10,
    -6.3372301556671304e-12,
    1.3251315155878903e-11,
    1.2468358960996804e-13,
    -3.1229993780631886e-13,
    -2.546988626356897e-15,
    7.426702350918158e-15,
    5.3488858900327365e-17,
    -1.778579261088922e-16,
];

/// Terms of [`SERIES`] that suffice where its argument is below [`SERIES_SHORT_MAX`].
const SERIES_SHORT: usize = 9;
const SERIES_SHORT_MAX: f64 = 0.05;

/// Below, the mass from the middle to the point is computed, not the tail: where the normal does so too.
const SERIES_CENTRE_MAX: f64 = 0.674;

/// P(T > x) for `df` > 0. NaN for NaN and for `df` that is not more than zero.
#[must_use]
pub fn t_upper(x: f64, df: f64) -> f64 {
    if x < 0.0 {
        return 1.0 - t_upper(-x, df);
    }
    let Some(point) = Point::new(x, df) else { return f64::NAN };
    (point.factor * point.exponent.exp()).min(0.5)
}

/// ln P(T > x), also where the tail itself is too small for a number. NaN as for [`t_upper`].
#[must_use]
pub fn t_log_upper(x: f64, df: f64) -> f64 {
    if x < 0.0 {
        return (-t_upper(-x, df)).ln_1p();
    }
    let Some(point) = Point::new(x, df) else { return f64::NAN };
    point.factor.ln() + point.exponent
}

/// The density at `x`. NaN as for [`t_upper`].
#[must_use]
pub fn t_density(x: f64, df: f64) -> f64 {
    if x.is_nan() || df.is_nan() || df <= 0.0 {
        return f64::NAN;
    }
    let df = df.clamp(DEGREES_MIN, DEGREES_MAX);
    let a = 0.5 * df;
    let (_, w) = stretch(x, df);
    (-(a + 0.5) * w).exp() * scaled_half_step(a) / (2.0 * PI).sqrt()
}

/// The x with P(T > x) = `upper`: infinite at 0, minus infinite at 1. NaN outside, for NaN, and as for [`t_upper`].
#[must_use]
pub fn t_quantile_upper(upper: f64, df: f64) -> f64 {
    if !(0.0..=1.0).contains(&upper) || df.is_nan() || df <= 0.0 {
        return f64::NAN;
    }
    if upper > 0.5 {
        return -t_quantile_upper(1.0 - upper, df);
    }
    if upper == 0.0 {
        return f64::INFINITY;
    }
    if upper == 0.5 {
        return 0.0;
    }
    let quick = if df >= 1.0 { polished(hill(upper, df), upper, df) } else { None };
    quick.unwrap_or_else(|| slow_quantile(upper, df))
}

/// Halley's method from a good start; `None` where the start was not good.
fn polished(start: f64, upper: f64, df: f64) -> Option<f64> {
    let mut x = start;
    for _ in 0..QUANTILE_STEPS_MAX {
        let point = Point::new(x, df)?;
        let scale = point.exponent.exp();
        let gap = match point.centre {
            // Near the middle, the tail and the target are both close to one half.
            Some(centre) => (0.5 - upper) - centre,
            None => point.factor * scale - upper,
        };
        if gap.is_nan() || gap.abs() > 0.5 * upper {
            return None;
        }
        // Not over the density itself, which may be too small for a number.
        let step = gap / scale / point.density;
        let bend = (df + 1.0) * x / (df + x * x);
        x += step / (1.0 - 0.5 * step * bend);
        if gap.abs() <= QUANTILE_NEAR * upper.min(0.5 - upper) {
            return x.is_finite().then_some(x.max(0.0));
        }
    }
    None
}

/// By the logarithm of x, for which even the tails of tiny `df` are nearly straight.
fn slow_quantile(upper: f64, df: f64) -> f64 {
    // Far out P(T > x) = half step / (√π ν) (x²/ν)^(−ν/2).
    let a = 0.5 * df;
    let ln_square = ((half_step(a) / (PI.sqrt() * df)).ln() - upper.ln()) / a;
    let start = 0.5 * (ln_square + df.ln());
    let x = invert(upper, false, if start.is_finite() { start } else { 0.0 }, (-745.0, 710.0), |v| {
        let x = v.exp();
        Point::new(x, df).map_or((f64::NAN, f64::NAN), |point| {
            let scale = point.exponent.exp();
            (point.factor * scale, x * point.density * scale)
        })
    });
    x.exp()
}

/// A start by Hill, "Algorithm 396: Student's t-quantiles", CACM 13 (1970).
fn hill(upper: f64, df: f64) -> f64 {
    let a = 1.0 / (df - 0.5);
    let b = (48.0 / a) * (48.0 / a);
    let mut c = ((20_700.0 * a / b - 98.0) * a - 16.0) * a + 96.36;
    let d = ((94.5 / (b + c) - 3.0) / b + 1.0) * (a * PI / 2.0).sqrt() * df;
    let mut y = (d * 2.0 * upper).powf(2.0 / df);
    if y > 0.05 + a {
        let x = normal_quantile_upper(upper);
        y = x * x;
        if df < 5.0 {
            c += 0.3 * (df - 4.5) * (x + 0.6);
        }
        c += (((0.05 * d * x - 5.0) * x - 7.0) * x - 2.0) * x + b;
        y = (((((0.4 * y + 6.3) * y + 36.0) * y + 94.5) / c - y - 3.0) / b + 1.0) * x;
        y = (a * y * y).exp_m1();
    } else {
        let inner = ((df + 6.0) / (df * y) - 0.089 * d - 0.822) * (df + 2.0) * 3.0;
        y = ((1.0 / inner + 0.5 / (df + 4.0)) * y - 1.0) * (df + 1.0) / (df + 2.0) + 1.0 / y;
    }
    (df * y).sqrt()
}

/// The upper tail at a point, as `factor` · e^`exponent`, the density there, as `density` · e^`exponent`, and near the
/// middle the mass between 0 and the point.
struct Point {
    factor: f64,
    exponent: f64,
    density: f64,
    centre: Option<f64>,
}

impl Point {
    /// For x ≥ 0; `None` for NaN and `df` that is not more than zero.
    fn new(x: f64, df: f64) -> Option<Self> {
        if x.is_nan() || df.is_nan() || df <= 0.0 {
            return None;
        }
        let df = df.clamp(DEGREES_MIN, DEGREES_MAX);
        let x = if df > 1e100 { x.min(1e150) } else { x };
        let a = 0.5 * df;
        let (u, w) = stretch(x, df);
        let scaled = scaled_half_step(a);
        let exponent = -a * w;
        let density = scaled / (2.0 * PI).sqrt() * (-0.5 * w).exp();
        if df >= SERIES_DEGREES_MIN && w + 8.0 / df <= 0.9 {
            let z = (df * w).sqrt();
            if z < SERIES_CENTRE_MAX {
                let centre = scaled * centre_series(z, w, df);
                return Some(Self::middle(centre, density * exponent.exp()));
            }
            let factor = scaled / (2.0 * PI).sqrt() * series(z, w, df);
            return Some(Self { factor, exponent, density, centre: None });
        }
        let h = 1.0 / (1.0 + u);
        let rest = u / (1.0 + u);
        let excess = a * rest - 0.5 * h;
        let front = half_step(a) * (rest / PI).sqrt();
        if excess > 0.0 {
            return Some(Self { factor: 0.5 * front / beta_fraction(a, 0.5, h, rest, excess), exponent, density, centre: None });
        }
        let near = if u > 0.0 { front * exponent.exp() / beta_fraction(0.5, a, rest, h, -excess) } else { 0.0 };
        Some(Self::middle(0.5 * near, density * exponent.exp()))
    }

    fn middle(centre: f64, density: f64) -> Self {
        Self { factor: 0.5 - centre, exponent: 0.0, density, centre: Some(centre) }
    }
}

/// x²/ν, capped, and ln(1 + x²/ν), not capped.
fn stretch(x: f64, df: f64) -> (f64, f64) {
    let u = x / df * x;
    if u < SQUARE_MAX { (u, u.ln_1p()) } else { (SQUARE_MAX, 2.0 * x.abs().ln() - df.ln()) }
}

/// ∫ from z of φ(s) g(s²/ν) ds, over φ(z): Σ g_k m_k / ν^k with m_k = z^(2k−1) + (2k − 1) m_(k−1), m_0 Mills' ratio.
fn series(z: f64, w: f64, df: f64) -> f64 {
    let terms = if w + 8.0 / df <= SERIES_SHORT_MAX { SERIES_SHORT } else { SERIES.len() };
    let mut moment = normal_mills(z);
    let (mut sum, mut power, mut odd) = (moment, z / df, 1.0);
    for coefficient in &SERIES[1..terms] {
        moment = power + odd / df * moment;
        sum += coefficient * moment;
        power *= w;
        odd += 2.0;
    }
    sum
}

/// ∫ from 0 to z of φ(s) g(s²/ν) ds: as [`series`], with m_k = (2k − 1) m_(k−1) − z^(2k−1) φ(z) and m_0 the normal mass.
fn centre_series(z: f64, w: f64, df: f64) -> f64 {
    let terms = if w + 8.0 / df <= SERIES_SHORT_MAX { SERIES_SHORT } else { SERIES.len() };
    let mut moment = z * normal_middle(z * z);
    let (mut sum, mut power, mut odd) = (moment, z * normal_density(z) / df, 1.0);
    for coefficient in &SERIES[1..terms] {
        moment = odd / df * moment - power;
        sum += coefficient * moment;
        power *= w;
        odd += 2.0;
    }
    sum
}

/// Γ(a + 1/2) / Γ(a).
fn half_step(a: f64) -> f64 {
    scaled_half_step(a) * a.sqrt()
}

/// Γ(a + 1/2) / (Γ(a) √a), by its asymptotic series, for small `a` after stepping upwards.
fn scaled_half_step(a: f64) -> f64 {
    let (mut top, mut bottom, mut z) = (1.0, 1.0, a);
    while z < 20.0 {
        top *= if z == a { 1.0 } else { z };
        bottom *= z + 0.5;
        z += 1.0;
    }
    let inverse = 1.0 / z;
    let square = inverse * inverse;
    let series =
        -1.0 / 8.0 + square * (1.0 / 192.0 + square * (-1.0 / 640.0 + square * (17.0 / 14_336.0 + square * (-31.0 / 18_432.0))));
    let step = (inverse * series).exp();
    // The first factor of the product, a, over √a.
    if z == a { step } else { step * (top / bottom) * (a * z).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tail::kernel::near;

    /// Expected values by mpmath at 60 digits.
    #[test]
    fn the_tail_keeps_its_digits() {
        let check = |x: f64, df: f64, expect: f64| near(t_upper(x, df), expect, 1e-12);
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
    fn the_quantile_inverts_the_tail() {
        let check = |upper: f64, df: f64, expect: f64| near(t_quantile_upper(upper, df), expect, 1e-12);
        check(0.025, 1.0, 12.706_204_736_174_704);
        check(0.025, 5.5, 2.501_858_617_589_240_4);
        check(0.0005, 30.0, 3.645_958_635_042_022);
        check(0.025, 42_692.5, 1.960_019_552_551_859_2);
        check(1e-12, 1000.0, 7.124_228_925_314_409);
        check(0.25, 3.0, 0.764_892_328_404_345_3);
        check(0.025, 1e6, 1.959_966_356_814_107);
        check(0.025, 1e12, 1.959_963_984_542_426_7);
    }
}
