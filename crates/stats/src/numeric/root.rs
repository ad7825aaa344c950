//! Roots and minima of functions of one variable. R. P. Brent, "Algorithms for Minimization without Derivatives" (1973).

/// Steps; Brent's methods end after a dozen, bisection of any two doubles after a thousand.
const STEPS_MAX: usize = 2_000;

/// The golden section, (3 − √5) / 2.
const GOLDEN: f64 = 0.381_966_011_250_105_1;

/// A root of `f` between `low` and `high` to machine precision. `None` where `f` has the same sign at both ends, or a
/// bound or a value met on the way is not a number.
#[must_use]
pub fn find_root(f: impl Fn(f64) -> f64, low: f64, high: f64) -> Option<f64> {
    if !(low.is_finite() && high.is_finite()) {
        return None;
    }
    let (mut a, mut b) = (low, high);
    let (mut fa, mut fb) = (f(a), f(b));
    if fa.is_nan() || fb.is_nan() || (fa > 0.0 && fb > 0.0) || (fa < 0.0 && fb < 0.0) {
        return None;
    }
    let (mut c, mut fc) = (a, fa);
    let mut step = b - a;
    let mut step_before = step;
    for _ in 0..STEPS_MAX {
        if fc.abs() < fb.abs() {
            (a, b, c) = (b, c, b);
            (fa, fb, fc) = (fb, fc, fb);
        }
        let tolerance = 2.0 * f64::EPSILON * b.abs() + f64::MIN_POSITIVE;
        let half = 0.5 * (c - b);
        if half.abs() <= tolerance || fb == 0.0 {
            return Some(b);
        }
        if step_before.abs() < tolerance || fa.abs() <= fb.abs() {
            (step, step_before) = (half, half);
        } else {
            let (p, q) = interpolated(a, b, c, fa, fb, fc);
            if 2.0 * p < (3.0 * half * q - (tolerance * q).abs()).min((step_before * q).abs()) {
                (step, step_before) = (p / q, step);
            } else {
                (step, step_before) = (half, half);
            }
        }
        (a, fa) = (b, fb);
        b += if step.abs() > tolerance { step } else { tolerance.copysign(half) };
        fb = f(b);
        if fb.is_nan() {
            return None;
        }
        if (fb > 0.0) == (fc > 0.0) {
            (c, fc) = (a, fa);
            step = b - a;
            step_before = step;
        }
    }
    Some(b)
}

/// The step from b as a fraction p / q with p ≥ 0: inverse quadratic through three points, or the secant through two.
fn interpolated(a: f64, b: f64, c: f64, fa: f64, fb: f64, fc: f64) -> (f64, f64) {
    let s = fb / fa;
    let (p, q) = if a == c {
        ((c - b) * s, 1.0 - s)
    } else {
        let (q, r) = (fa / fc, fb / fc);
        (s * ((c - b) * q * (q - r) - (b - a) * (r - 1.0)), (q - 1.0) * (r - 1.0) * (s - 1.0))
    };
    if p > 0.0 { (p, -q) } else { (-p, q) }
}

/// Where `f` is smallest between `low` and `high`, if it has one valley there, to about half the digits of a double, which is
/// all that values can tell. Values that are NaN count as infinite. `low` where a bound is not finite.
#[must_use]
pub fn minimum(f: impl Fn(f64) -> f64, low: f64, high: f64) -> f64 {
    if !(low.is_finite() && high.is_finite()) {
        return low;
    }
    let f = |x: f64| Some(f(x)).filter(|value| !value.is_nan()).unwrap_or(f64::INFINITY);
    let (mut a, mut b) = (low.min(high), low.max(high));
    let mut best = a + GOLDEN * (b - a);
    let (mut second, mut third) = (best, best);
    let mut f_best = f(best);
    let (mut f_second, mut f_third) = (f_best, f_best);
    let (mut step, mut step_before) = (0.0_f64, 0.0_f64);
    for _ in 0..STEPS_MAX {
        let middle = 0.5 * (a + b);
        let tolerance = 1e-9 * best.abs() + 1e-300;
        if (best - middle).abs() <= 2.0 * tolerance - 0.5 * (b - a) {
            break;
        }
        let r = (best - second) * (f_best - f_third);
        let q = (best - third) * (f_best - f_second);
        let p = (best - third) * q - (best - second) * r;
        let q = 2.0 * (q - r);
        let (p, q) = if q > 0.0 { (-p, q) } else { (p, -q) };
        let fits =
            step_before.abs() > tolerance && p.abs() < (0.5 * q * step_before).abs() && p > q * (a - best) && p < q * (b - best);
        if fits {
            (step_before, step) = (step, p / q);
            let next = best + step;
            if next - a < 2.0 * tolerance || b - next < 2.0 * tolerance {
                step = tolerance.copysign(middle - best);
            }
        } else {
            step_before = if best < middle { b - best } else { a - best };
            step = GOLDEN * step_before;
        }
        let next = best + if step.abs() >= tolerance { step } else { tolerance.copysign(step) };
        let f_next = f(next);
        if f_next <= f_best {
            if next < best {
                b = best
            } else {
                a = best
            }
            (third, f_third, second, f_second) = (second, f_second, best, f_best);
            (best, f_best) = (next, f_next);
            continue;
        }
        if next < best {
            a = next
        } else {
            b = next
        }
        if f_next <= f_second || second == best {
            (third, f_third, second, f_second) = (second, f_second, next, f_next);
        } else if f_next <= f_third || third == best || third == second {
            (third, f_third) = (next, f_next);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_found_to_the_last_digit() {
        let check = |f: fn(f64) -> f64, low, high, expect: f64| {
            let root = find_root(f, low, high).unwrap();
            assert!((root - expect).abs() <= 4.0 * f64::EPSILON * expect.abs(), "{root} is not {expect}");
        };
        check(|x| x * x - 2.0, 0.0, 10.0, 2_f64.sqrt());
        check(|x| x.cos() - x, 0.0, 1.0, 0.739_085_133_215_160_6);
        assert!(find_root(|x| x.powi(9), -1.0, 1.5).unwrap().abs() < 1e-30);
        check(|x| if x < 3.0 { -1.0 } else { 1.0 }, 0.0, 1e9, 3.0);
        check(|x| x.ln(), 1e-300, 1e300, 1.0);
        assert_eq!(find_root(|x| x * x + 1.0, -1.0, 1.0), None);
        assert_eq!(find_root(|_| f64::NAN, -1.0, 1.0), None);
        assert_eq!(find_root(|x| x, f64::NEG_INFINITY, 1.0), None);
    }

    #[test]
    fn minima_are_found_to_half_the_digits() {
        let check = |f: fn(f64) -> f64, low, high, expect: f64| {
            let found = minimum(f, low, high);
            assert!((found - expect).abs() <= 1e-7 * expect.abs().max(1.0), "{found} is not {expect}");
        };
        check(|x| (x - 2.0).powi(2), -10.0, 10.0, 2.0);
        check(|x| -x.sin(), 0.0, 3.0, std::f64::consts::FRAC_PI_2);
        check(|x| (x - 0.5).abs(), 0.0, 1.0, 0.5);
        check(|x| x, 1.0, 2.0, 1.0);
    }
}
