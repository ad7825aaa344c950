//! The interval of a difference of proportions by inverting the score test.

use super::intervals::DifferenceInterval;
use super::{Pooled, Proportion, checked};
use crate::answer::{Degenerate, Interval, checked_alpha};
use crate::numeric::root::find_root;
use crate::tail::normal_quantile_upper;

/// Where both arms are all or none, the variance at the observed difference is zero and the search begins this far from it.
const OFFSET: f64 = 1e-13;

/// Newton steps on the likelihood, after the closed form. A few suffice, but where two roots nearly coincide the closed form
/// is off by 1e-8, which is much for rare successes, and each step may only halve the rest.
const POLISH_STEPS: usize = 100;

/// The difference of proportions with the interval of Miettinen and Nurminen: every δ for which
/// (p_B − p_A − δ)² ≤ z² V(δ) N/(N − 1), V(δ) = p̃_B(1 − p̃_B)/n_B + p̃_A(1 − p̃_A)/n_A at the most likely proportions with
/// p̃_B − p̃_A = δ, N = n_A + n_B. It holds for few successes, too. `alpha` lies between 0 and 1, two-sided. Miettinen &
/// Nurminen, "Comparative analysis of two rates", Statistics in Medicine 4 (1985).
///
/// # Errors
/// [`Degenerate`] when an arm is empty or has more successes than recipients, or alpha does not lie between 0 and 1.
pub fn score_interval(control: Proportion, variant: Proportion, alpha: f64) -> Result<DifferenceInterval, Degenerate> {
    let z = normal_quantile_upper(checked_alpha(alpha)? / 2.0);
    let pooled = Pooled::new(control, variant)?;
    let (control, variant) = (checked("control", control)?, checked("the variant", variant)?);
    let difference = variant.successes as f64 / variant.count as f64 - control.successes as f64 / control.count as f64;
    let reach = z * (pooled.count / (pooled.count - 1.0)).sqrt();
    // Positive where δ is rejected.
    let beyond = |delta: f64| (difference - delta).abs() - reach * restricted_variance(control, variant, delta).sqrt();
    let limit = |far: f64| {
        if difference == far {
            return Ok(far);
        }
        let near = if beyond(difference) < 0.0 { difference } else { difference + OFFSET * far };
        find_root(beyond, near, far).ok_or_else(|| Degenerate::new("no difference would be rejected at so small an alpha"))
    };
    Ok(DifferenceInterval { difference, interval: Interval::closed(limit(-1.0)?, limit(1.0)?) })
}

/// The variance of the observed difference if the true one were `delta`, at the proportions that are then most likely.
fn restricted_variance(control: Proportion, variant: Proportion, delta: f64) -> f64 {
    let p = restricted_proportion(control, variant, delta);
    let spread = |p: f64, count: u64| (p * (1.0 - p)).max(0.0) / count as f64;
    spread(p, control.count) + spread((p + delta).clamp(0.0, 1.0), variant.count)
}

/// The proportion of control, the variant's being higher by `delta`, that makes what was observed most likely: the root
/// between 0 and 1 of Miettinen and Nurminen's cubic in closed form, with Newton's steps on the derivative of the likelihood
/// to restore the digits that the closed form loses for rare successes.
fn restricted_proportion(control: Proportion, variant: Proportion, delta: f64) -> f64 {
    let (n, x) = (control.count as f64, control.successes as f64);
    let (m, y) = (variant.count as f64, variant.successes as f64);
    let (low, high) = ((-delta).max(0.0), (1.0 - delta).min(1.0));
    let (all, successes) = (n + m, x + y);
    // all p³ + b p² + c p + d = 0, everything divided by `all`.
    let b = ((m + 2.0 * n) * delta - all - successes) / all;
    let c = ((n * delta - all - 2.0 * x) * delta + successes) / all;
    let d = x * delta * (1.0 - delta) / all;
    let third = b / 3.0;
    let q = third * third * third - b * c / 6.0 + d / 2.0;
    let size = (third * third - c / 3.0).max(0.0).sqrt().copysign(q);
    let ratio = if size == 0.0 { 0.0 } else { (q / (size * size * size)).clamp(-1.0, 1.0) };
    let angle = (std::f64::consts::PI + ratio.acos()) / 3.0;
    let mut p = (2.0 * size * angle.cos() - third).clamp(low, high);
    // The derivative of the log-likelihood times p (1 − p) r (1 − r) with r = p + δ, and its own derivative.
    let slope = |p: f64| {
        let (r, not_p, not_r) = (p + delta, 1.0 - p, 1.0 - p - delta);
        let value = (x * not_p - (n - x) * p) * r * not_r + (y * not_r - (m - y) * r) * p * not_p;
        let derivative =
            -n * r * not_r + (x * not_p - (n - x) * p) * (not_r - r) - m * p * not_p + (y * not_r - (m - y) * r) * (not_p - p);
        (value, derivative)
    };
    // In the interior the sign of the derivative tells on which side the one maximum lies.
    let (mut below, mut above) = (low, high);
    for _ in 0..POLISH_STEPS {
        let (value, derivative) = slope(p);
        if value > 0.0 {
            below = p;
        } else {
            above = p;
        }
        let newton = p - value / derivative;
        let next = if newton > below && newton < above { newton } else { 0.5 * (below + above) };
        if (next - p).abs() <= 2.0 * f64::EPSILON * p {
            break;
        }
        p = next;
    }
    p
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn arm(count: u64, successes: u64) -> Proportion {
        Proportion { count, successes }
    }

    fn limits(control: Proportion, variant: Proportion, alpha: f64) -> (f64, f64) {
        let Interval { lower, upper } = score_interval(control, variant, alpha).unwrap().interval;
        (lower.unwrap(), upper.unwrap())
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |control, variant, alpha, expect: &str| {
            let error = score_interval(control, variant, alpha).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(arm(0, 0), arm(9, 1), 0.05, "control has no recipient");
        check(arm(9, 1), arm(9, 10), 0.05, "the variant has more successes");
        check(arm(9, 1), arm(9, 1), 1.0, "alpha");
    }

    #[test]
    fn all_and_none() {
        let (lower, upper) = limits(arm(10, 0), arm(10, 10), 0.05);
        assert!(upper == 1.0 && lower > 0.6 && lower < 0.75, "{lower}");
        let (lower, upper) = limits(arm(1000, 0), arm(1000, 0), 0.05);
        assert!((lower + upper).abs() < 1e-12 && upper > 0.003 && upper < 0.005, "{upper}");
    }

    proptest! {
        /// At the limit the statistic is the quantile; the labels do not matter; the observed difference lies within.
        #[test]
        fn the_interval_inverts_the_test(
            n in (1..1_000_000_000_u64, 1..1_000_000_000_u64),
            share in (0.0..=1.0_f64, 0.0..=1.0_f64),
            power in prop::sample::select(vec![1, 4, 12]),
            alpha in 0.001..0.5_f64,
        ) {
            let successes = |n: u64, share: f64| ((n as f64 * share.powi(power)) as u64).min(n);
            let (a, b) = (arm(n.0, successes(n.0, share.0)), arm(n.1, successes(n.1, share.1)));
            let (lower, upper) = limits(a, b, alpha);
            let answer = score_interval(a, b, alpha).unwrap();
            prop_assert!(-1.0 <= lower && lower <= answer.difference && answer.difference <= upper && upper <= 1.0);
            let (turned_lower, turned_upper) = limits(b, a, alpha);
            let width = upper - lower;
            prop_assert!((lower + turned_upper).abs() <= 1e-8 * width + 1e-14, "{lower} {turned_upper}");
            prop_assert!((upper + turned_lower).abs() <= 1e-8 * width + 1e-14);
            let all = (n.0 + n.1) as f64;
            let z = |delta: f64| (answer.difference - delta) / (restricted_variance(a, b, delta) * all / (all - 1.0)).sqrt();
            let quantile = normal_quantile_upper(alpha / 2.0);
            if lower > -1.0 && lower < answer.difference - 1e-12 {
                prop_assert!((z(lower) / quantile - 1.0).abs() < 1e-3, "{} {quantile}", z(lower));
            }
        }

        /// The restricted proportion is the most likely one.
        #[test]
        fn nothing_is_more_likely(
            n in (1..1_000_000_u64, 1..1_000_000_u64),
            share in (0.0..=1.0_f64, 0.0..=1.0_f64),
            delta in -0.999..0.999_f64,
            other in 0.001..0.999_f64,
        ) {
            let (a, b) = (arm(n.0, (n.0 as f64 * share.0) as u64), arm(n.1, (n.1 as f64 * share.1) as u64));
            let term = |k: u64, p: f64| if k == 0 { 0.0 } else { k as f64 * p.max(0.0).ln() };
            let log_likelihood = |p: f64| {
                let r = p + delta;
                term(a.successes, p) + term(a.count - a.successes, 1.0 - p) + term(b.successes, r) + term(b.count - b.successes, 1.0 - r)
            };
            let (low, high) = ((-delta).max(0.0), (1.0 - delta).min(1.0));
            let best = log_likelihood(restricted_proportion(a, b, delta));
            let beside = log_likelihood(low + (high - low) * other);
            prop_assert!(best >= beside - 1e-9 * beside.abs().min(1e12), "{best} {beside}");
        }
    }
}
