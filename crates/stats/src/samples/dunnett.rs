//! Several variants against one control with one promise for all: Dunnett's test.

use super::{checked_values, sorted};
use crate::answer::{Alternative, Degenerate, finite};
use crate::moments::{Moments, SPREAD_RELATIVE_MIN};
use crate::tail::{normal_density, normal_upper};

/// The most variants: the work grows faster than the square of their number, to seconds where all differ in size.
const VARIANTS_MAX: usize = 50;

/// The integrand is left out where it is e to the minus this, against where it is largest.
const NEGLIGIBLE_LN: f64 = 42.0;

/// Beyond this many standard deviations a normal density is nothing.
const NORMAL_REACH: f64 = 9.0;

/// The most nodes of the inner integral; enough for a variant ten thousand times the size of control.
const NODES_MAX: f64 = 4_000.0;

/// A comparison of one variant with control.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// The difference of means over its standard error.
    pub statistic: f64,
    /// Adjusted: at most alpha for any variant with a chance of at most alpha, if none differs from control.
    pub p_value: f64,
}

/// Dunnett's test of each variant against control: t_i = (m_i − m_0)/(s √(1/n_i + 1/n_0)) with s pooled over all arms on
/// N − k degrees of freedom, and p_i = 1 − P(max |T| ≤ |t_i|), or one-sided 1 − P(max T ≤ t_i), for the multivariate t with
/// correlations λ_i λ_j, λ_i = √(n_i/(n_i + n_0)). Given the pooled spread and control's error the arms are independent, which
/// leaves a double integral; it is taken by the trapezoidal rule, which for such integrands converges faster than any power of
/// the step, of 1 − Π(1 − q_i) as such, so that small p-values keep their digits. Dunnett, "A multiple comparison procedure
/// for comparing several treatments with a control", JASA 50 (1955).
///
/// # Errors
/// [`Degenerate`] when there is no variant or more than fifty, an arm is empty, a value is not finite, there are no
/// degrees of freedom, or nothing varies within the arms.
pub fn dunnett(control: &[f64], variants: &[Vec<f64>], alternative: Alternative) -> Result<Vec<Comparison>, Degenerate> {
    if variants.is_empty() || variants.len() > VARIANTS_MAX {
        return Err(Degenerate::new(format!("there are {} variants; take 1 to {VARIANTS_MAX}", variants.len())));
    }
    checked_values("control", control)?;
    for (number, variant) in variants.iter().enumerate() {
        checked_values(&format!("variant {}", number + 1), variant)?;
    }
    let control = Moments::from_values(control);
    let variants: Vec<Moments> = variants.iter().map(|values| Moments::from_values(values)).collect();
    dunnett_of_moments(&control, &variants, alternative)
}

/// As [`dunnett`], of the moments of each arm.
///
/// # Errors
/// As [`dunnett`].
pub fn dunnett_of_moments(
    control: &Moments,
    variants: &[Moments],
    alternative: Alternative,
) -> Result<Vec<Comparison>, Degenerate> {
    if variants.is_empty() || variants.len() > VARIANTS_MAX {
        return Err(Degenerate::new(format!("there are {} variants; take 1 to {VARIANTS_MAX}", variants.len())));
    }
    let arms = || std::iter::once(control).chain(variants);
    if arms().any(|arm| arm.count == 0) {
        return Err(Degenerate::new("an arm has no recipient"));
    }
    let degrees_of_freedom = arms().map(|arm| (arm.count - 1) as f64).sum::<f64>();
    if degrees_of_freedom < 1.0 {
        return Err(Degenerate::new("each arm has only one recipient; a spread needs two"));
    }
    let variance = finite("variance", arms().map(|arm| arm.m2).sum::<f64>() / degrees_of_freedom)?;
    // What rounding leaves of equal values is not a spread.
    let noise = arms().map(|arm| arm.mean.abs()).fold(0.0, f64::max) * SPREAD_RELATIVE_MIN;
    if variance <= noise * noise {
        return Err(Degenerate::new("within each arm, all recipients have the same value"));
    }
    let (of_control, deviation) = (control.count as f64, variance.sqrt());
    let lambdas: Vec<f64> = variants.iter().map(|arm| (arm.count as f64 / (arm.count as f64 + of_control)).sqrt()).collect();
    let compare = |arm: &Moments| {
        let standard_error = deviation * (1.0 / arm.count as f64 + 1.0 / of_control).sqrt();
        let statistic = finite("statistic", (arm.mean - control.mean) / standard_error)?;
        let (t, sides) = match alternative {
            Alternative::TwoSided => (statistic.abs(), Sides::Both),
            Alternative::Greater => (statistic, Sides::Upper),
            Alternative::Less => (-statistic, Sides::Upper),
        };
        let p_value = finite("p-value", exceeded(t, &lambdas, degrees_of_freedom, sides))?;
        Ok(Comparison { statistic, p_value })
    };
    variants.iter().map(compare).collect()
}

/// Which side of zero counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sides {
    Upper,
    Both,
}

/// P(max T_i > t), or of |T_i|, for the multivariate t: the mean of [`exceeded_given_spread`] over the pooled standard
/// deviation s, χ/√df, whose logarithm u has the density c e^(df (u − (e^2u − 1)/2)).
fn exceeded(t: f64, lambdas: &[f64], degrees_of_freedom: f64, sides: Sides) -> f64 {
    if t <= 0.0 && sides == Sides::Both {
        return 1.0;
    }
    let groups = grouped(lambdas);
    // Relative to its peak, a curve with this logarithm at a distance v.
    let fall = |v: f64| degrees_of_freedom * (v - 0.5 * (2.0 * v).exp_m1());
    // Far out the inner probability falls like e^(−t² s²/2) and moves the peak towards small s; for negative t it is near one.
    let tail = t.max(0.0).powi(2);
    let shift = -0.5 * (tail / degrees_of_freedom).ln_1p();
    let step = (0.7 / (2.0 * degrees_of_freedom + 30.0).sqrt()).min(0.1);
    let (mut total, mut weights) = (0.0, 0.0);
    let mut add = |v: f64| {
        let u = v + shift;
        // The density at u against its own peak at 0.
        total += fall(u).exp() * exceeded_given_spread(t * u.exp(), &groups, sides);
    };
    let mut count = |v: f64| weights += fall(v).exp();
    for visit in [&mut add as &mut dyn FnMut(f64), &mut count] {
        for direction in [1.0, -1.0] {
            let mut index = if direction > 0.0 { 0.0 } else { 1.0 };
            while fall(direction * index * step) > -NEGLIGIBLE_LN {
                visit(direction * index * step);
                index += 1.0;
            }
        }
    }
    (total / weights).clamp(0.0, 1.0)
}

/// Variants of the same size: they have the same λ, and are computed once.
struct Group {
    lambda: f64,
    /// √(1 − λ²).
    own: f64,
    number: f64,
}

fn grouped(lambdas: &[f64]) -> Vec<Group> {
    let group = |equal: &[f64]| Group { lambda: equal[0], own: (1.0 - equal[0] * equal[0]).sqrt(), number: equal.len() as f64 };
    sorted(lambdas).chunk_by(|a, b| a == b).map(group).collect()
}

/// P(max Z_i > x) for standard normals with correlations λ_i λ_j: given control's part z they are independent,
/// Z_i > x where a normal exceeds (x − λ_i z)/√(1 − λ_i²).
fn exceeded_given_spread(x: f64, groups: &[Group], sides: Sides) -> f64 {
    // The sharpest edges decide the step: each factor varies over √(1 − λ²)/λ, and their bandwidths add as variances.
    let edges: f64 = groups.iter().map(|group| group.number * (group.lambda / group.own).powi(2)).sum();
    let reach = NORMAL_REACH + x.abs().min(40.0);
    let step = (0.8 / (1.0 + edges).sqrt()).max(2.0 * reach / NODES_MAX);
    let last = (reach / step).ceil() as i32;
    let given = |z: f64| {
        let none = |group: &Group| {
            let beyond = normal_upper((x - group.lambda * z) / group.own);
            let below = if sides == Sides::Both { normal_upper((x + group.lambda * z) / group.own) } else { 0.0 };
            group.number * (-(beyond + below).min(1.0)).ln_1p()
        };
        -groups.iter().map(none).sum::<f64>().exp_m1()
    };
    let sum: f64 = (-last..=last).map(|i| f64::from(i) * step).map(|z| normal_density(z) * given(z)).sum();
    sum * step
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tail::{t_quantile_upper, t_upper};

    fn near(actual: f64, expect: f64, tolerance: f64) {
        assert!((actual / expect - 1.0).abs() <= tolerance, "{actual} is not {expect}");
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |control: &[f64], variants: &[Vec<f64>], expect: &str| {
            let error = dunnett(control, variants, Alternative::TwoSided).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(&[1.0, 2.0], &[], "0 variants");
        check(&[], &[vec![1.0]], "control has no values");
        check(&[1.0, 2.0], &[vec![1.0], vec![]], "variant 2 has no values");
        check(&[1.0, 2.0], &[vec![f64::NAN]], "NaN");
        check(&[1.0], &[vec![2.0]], "only one recipient");
        check(&[0.1, 0.1, 0.1], &[vec![0.7; 5]], "same value");
    }

    /// One variant against control is Student's test, into the far tail and for any degrees of freedom.
    #[test]
    fn one_variant_is_a_t_test() {
        for df in [1.0, 2.0, 5.0, 30.0, 1e3, 1e5] {
            for lambda in [0.1, 0.5_f64.sqrt(), 0.99] {
                for t in [0.01, 0.8, 2.2, 5.0, 12.0] {
                    near(exceeded(t, &[lambda], df, Sides::Both), 2.0 * t_upper(t, df), 1e-9);
                    near(exceeded(t, &[lambda], df, Sides::Upper), t_upper(t, df), 1e-9);
                }
                near(exceeded(-1.3, &[lambda], df, Sides::Upper), t_upper(-1.3, df), 1e-9);
            }
        }
    }

    /// Dunnett (1955), tables 1a and 2a: the 5 % points for equally large arms, to the two digits printed.
    #[test]
    fn the_tables_of_dunnett() {
        let check = |t: f64, variants: usize, df: f64, sides| {
            let p_value = exceeded(t, &vec![0.5_f64.sqrt(); variants], df, sides);
            assert!((p_value - 0.05).abs() < 6e-4, "{p_value}");
        };
        check(2.44, 2, 5.0, Sides::Upper);
        check(2.68, 3, 5.0, Sides::Upper);
        check(2.30, 4, 20.0, Sides::Upper);
        check(3.03, 2, 5.0, Sides::Both);
        check(2.65, 4, 20.0, Sides::Both);
    }

    /// Against nested adaptive quadrature of distribution functions (own calculation with scipy).
    #[test]
    fn unequal_arms() {
        let check = |t: f64, lambdas: &[f64], df, sides, expect: f64| {
            let p_value = exceeded(t, lambdas, df, sides);
            assert!((p_value - expect).abs() < 1e-11, "{p_value} is not {expect}");
        };
        check(2.3, &[0.9, 0.5, 0.3], 12.0, Sides::Both, 0.104_994_041_081_949_43);
        check(-0.4, &[0.9, 0.5, 0.3], 12.0, Sides::Upper, 0.909_963_649_067_694);
        check(2.5, &[0.5_f64.sqrt(); 9], 30.0, Sides::Upper, 0.054_009_019_368_191_524);
    }

    /// Nearly perfect correlation is one comparison; more comparisons never make a smaller p-value, nor does Bonferroni.
    #[test]
    fn between_one_comparison_and_all_apart() {
        for (t, df) in [(2.5, 8.0), (4.0, 60.0), (9.0, 25.0)] {
            let one = 2.0 * t_upper(t, df);
            let mut before = one;
            for variants in [2, 3, 6, 12] {
                let p_value = exceeded(t, &vec![0.6; variants], df, Sides::Both);
                assert!(p_value > before && p_value < one * variants as f64, "{p_value}");
                before = p_value;
            }
        }
        assert!(t_quantile_upper(0.025, 8.0) < 2.5);
    }

    /// Arms of very different sizes, against a step a third as wide.
    #[test]
    fn large_variants_are_integrated_finely_enough() {
        let lambdas: Vec<f64> = [900.0_f64, 30.0, 1.0].iter().map(|ratio| (ratio / (1.0 + ratio)).sqrt()).collect();
        let coarse = exceeded_given_spread(2.3, &grouped(&lambdas), Sides::Both);
        let mut more = lambdas.clone();
        // A variant of no weight in the answer that makes the step finer.
        more.push((8000.0_f64 / 8001.0).sqrt());
        let fine = exceeded_given_spread(2.3, &grouped(&more), Sides::Both);
        assert!(fine > coarse, "one more comparison");
        let given = |z: f64| {
            let none = |lambda: &f64| {
                let own = (1.0 - lambda * lambda).sqrt();
                1.0 - normal_upper((2.3 - lambda * z) / own) - normal_upper((2.3 + lambda * z) / own)
            };
            normal_density(z) * (1.0 - lambdas.iter().map(none).product::<f64>())
        };
        let direct: f64 = (-40_000..=40_000).map(|i| given(f64::from(i) * 2.5e-4)).sum::<f64>() * 2.5e-4;
        near(coarse, direct, 1e-11);
    }
}
