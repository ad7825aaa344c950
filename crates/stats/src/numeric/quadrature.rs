//! Integrals: Gauss rules of any order and an adaptive Gauss–Kronrod rule.

use std::collections::BinaryHeap;

/// Nodes of a Gauss rule; above, adaptive integration is the better tool.
const NODES_MAX: usize = 512;

/// Steps of Newton's method for a node; three or four suffice.
const NEWTON_STEPS_MAX: usize = 60;

/// Intervals of [`integrate`]; an integrand that needs more has a singularity inside.
const SUBDIVISIONS_MAX: usize = 500;

/// Nodes and weights of a Gauss rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The nodes, ascending.
    pub nodes: Vec<f64>,
    /// The weight of each node.
    pub weights: Vec<f64>,
}

impl Rule {
    /// ∫ f from `a` to `b`, for a rule on −1 to 1 ([`gauss_legendre`]).
    #[must_use]
    pub fn integrate(&self, a: f64, b: f64, f: impl Fn(f64) -> f64) -> f64 {
        let (middle, half) = (0.5 * (a + b), 0.5 * (b - a));
        half * self.nodes.iter().zip(&self.weights).map(|(node, weight)| weight * f(middle + half * node)).sum::<f64>()
    }
}

/// The Gauss–Legendre rule with `n` nodes on −1 to 1, exact for polynomials up to degree 2n − 1. `n` is taken as at least
/// 1 and at most 512. Newton's method on the Legendre polynomial (Davis & Rabinowitz 1984, §2.7).
#[must_use]
pub fn gauss_legendre(n: usize) -> Rule {
    let n = n.clamp(1, NODES_MAX);
    let mut rule = Rule { nodes: vec![0.0; n], weights: vec![0.0; n] };
    for i in 0..n.div_ceil(2) {
        let mut x = (std::f64::consts::PI * (i as f64 + 0.75) / (n as f64 + 0.5)).cos();
        let mut slope = 1.0;
        for _ in 0..NEWTON_STEPS_MAX {
            let (value, derivative) = legendre(n, x);
            slope = derivative;
            let step = value / derivative;
            x -= step;
            if step.abs() <= f64::EPSILON {
                slope = legendre(n, x).1;
                break;
            }
        }
        let x = if 2 * i + 1 == n { 0.0 } else { x };
        let weight = 2.0 / ((1.0 - x * x) * slope * slope);
        (rule.nodes[i], rule.nodes[n - 1 - i]) = (-x, x);
        (rule.weights[i], rule.weights[n - 1 - i]) = (weight, weight);
    }
    rule
}

/// The Legendre polynomial of degree `n` and its derivative at `x` inside −1 to 1.
fn legendre(n: usize, x: f64) -> (f64, f64) {
    let (mut before, mut here) = (0.0, 1.0);
    for k in 1..=n {
        let k = k as f64;
        (before, here) = (here, ((2.0 * k - 1.0) * x * here - (k - 1.0) * before) / k);
    }
    (here, n as f64 * (x * here - before) / (x * x - 1.0))
}

/// ∫ f from `a` to `b`, both finite, to `tolerance_relative` where the integrand allows it: the Gauss–Kronrod rule of 7 and
/// 15 nodes, halving the worst interval (Piessens et al., QUADPACK, 1983). Values of `f` that are not finite count as 0,
/// so that an integrable singularity may sit at an end.
#[must_use]
pub fn integrate(f: impl Fn(f64) -> f64, a: f64, b: f64, tolerance_relative: f64) -> f64 {
    let mut pieces = BinaryHeap::from([Piece::new(&f, a, b)]);
    for _ in 0..SUBDIVISIONS_MAX {
        let (value, error) = pieces.iter().fold((0.0, 0.0), |(value, error), piece| (value + piece.value, error + piece.error));
        if error.is_nan() || error <= tolerance_relative.max(1e-15) * f64::abs(value) {
            break;
        }
        let Some(worst) = pieces.pop() else { break };
        let middle = 0.5 * (worst.a + worst.b);
        pieces.push(Piece::new(&f, worst.a, middle));
        pieces.push(Piece::new(&f, middle, worst.b));
    }
    // From the smallest up, so that little is lost and the order is always the same.
    pieces.into_sorted_vec().iter().map(|piece| piece.value).sum()
}

/// An interval with its integral and how much that may be off. Ordered by the latter.
struct Piece {
    a: f64,
    b: f64,
    value: f64,
    error: f64,
}

impl Piece {
    fn new(f: &impl Fn(f64) -> f64, a: f64, b: f64) -> Self {
        let (middle, half) = (0.5 * (a + b), 0.5 * (b - a));
        let at = |x: f64| Some(f(x)).filter(|value| value.is_finite()).unwrap_or(0.0);
        let centre = at(middle);
        let (mut kronrod, mut gauss) = (KRONROD[7].1 * centre, KRONROD[7].2 * centre);
        for (node, weight, gauss_weight) in &KRONROD[..7] {
            let pair = at(middle - half * node) + at(middle + half * node);
            kronrod += weight * pair;
            gauss += gauss_weight * pair;
        }
        Self { a, b, value: kronrod * half, error: ((kronrod - gauss) * half).abs() }
    }
}

impl PartialEq for Piece {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Piece {}

impl PartialOrd for Piece {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Piece {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.error.total_cmp(&other.error).then(self.a.total_cmp(&other.a))
    }
}

/// Positive nodes, Kronrod weights, Gauss weights (0 at the nodes that Kronrod added).
const KRONROD: [(f64, f64, f64); 8] = [
    (0.991_455_371_120_812_6, 0.022_935_322_010_529_224, 0.0),
    (0.949_107_912_342_758_5, 0.063_092_092_629_978_56, 0.129_484_966_168_869_7),
    (0.864_864_423_359_769_1, 0.104_790_010_322_250_19, 0.0),
    (0.741_531_185_599_394_4, 0.140_653_259_715_525_92, 0.279_705_391_489_276_64),
    (0.586_087_235_467_691_1, 0.169_004_726_639_267_9, 0.0),
    (0.405_845_151_377_397_2, 0.190_350_578_064_785_4, 0.381_830_050_505_118_9),
    (0.207_784_955_007_898_47, 0.204_432_940_075_298_9, 0.0),
    (0.0, 0.209_482_141_084_727_82, 0.417_959_183_673_469_4),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn near(actual: f64, expect: f64, tolerance: f64) {
        assert!((actual - expect).abs() <= tolerance * expect.abs().max(1e-300), "{actual:e} is not {expect:e}");
    }

    #[test]
    fn gauss_rules_are_exact_for_polynomials() {
        for n in [1, 2, 5, 16, 33, 100, 512] {
            let legendre = gauss_legendre(n);
            near(legendre.weights.iter().sum(), 2.0, 1e-13);
            near(legendre.integrate(0.0, 2.0, |x| x), 2.0, 1e-13);
            if n >= 5 {
                near(legendre.integrate(-1.0, 1.0, |x| x.powi(8)), 2.0 / 9.0, 1e-13);
            }
        }
    }

    #[test]
    fn adaptive_integration_reaches_the_tolerance() {
        near(integrate(f64::exp, 0.0, 1.0, 1e-13), 1_f64.exp_m1(), 1e-13);
        near(integrate(|x| (-x * x).exp(), -30.0, 30.0, 1e-13), std::f64::consts::PI.sqrt(), 1e-13);
        near(integrate(|x| 1.0 / x.sqrt(), 0.0, 1.0, 1e-9), 2.0, 1e-8);
        near(integrate(|x| 1.0 / (1e-6 + x * x), -1.0, 1.0, 1e-12), 2e3 * 1e3_f64.atan(), 1e-11);
        assert_eq!(integrate(|_| f64::NAN, 0.0, 1.0, 1e-9), 0.0);
    }
}
