//! Several independent beliefs on one axis, with density and both tails of each at the nodes of a quadrature.
//!
//! Everything asked of a race between arms (who is best, who is among the best two, what a wrong choice costs) is an integral
//! over products of densities and tails. All beliefs here have a log-concave density: the normal one, and Beta as the law of
//! ln(p/(1 − p)), where it has no poles at the ends. The axis is cut into panels so short that no belief's logarithm falls by
//! more than a few units within one; there a Gauss–Legendre rule is exact to rounding. The tails are sums of the panels' masses
//! and, within a panel, the integral of the polynomial through the nodes, so that they need no special function and keep
//! their digits however small they are.

use crate::numeric::{Rule, gauss_legendre};

/// Nodes per panel.
const NODES: usize = 16;

/// How far a logarithm may fall within one panel.
const PANEL_FALL_MAX: f64 = 4.0;

/// What lies so far below the top in logarithm is left out: the 1e-23rd part, or for two arms what is no number any more.
const FALL: f64 = 52.0;
const FALL_OF_PAIRS: f64 = 720.0;

/// On the logit scale p(1 − p) must be followed too: the length of a panel where it matters, and elsewhere.
const LOGIT_PANEL: f64 = 1.0;
const LOGIT_PANEL_FAR: f64 = 4.0;
const LOGIT_MATTERS: f64 = 40.0;
const LOGIT_MATTERS_FAR: f64 = 745.0;

/// What is believed of an arm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Belief {
    /// Normal on the axis itself; a deviation of zero is a value that is known.
    Normal { mean: f64, sd: f64 },
    /// Beta(a, b) on the axis ln(p/(1 − p)), both parameters greater than zero.
    Beta { a: f64, b: f64 },
}

impl Belief {
    /// Where the density is greatest.
    pub(crate) fn centre(&self) -> f64 {
        match self {
            Self::Normal { mean, .. } => *mean,
            Self::Beta { a, b } => a.ln() - b.ln(),
        }
    }

    /// The log density at a distance from the centre, 0 at the centre. On the logit scale it is a t − (a + b) ln(1 + (eᵗ − 1)
    /// a/(a + b)), which loses no digits in differences of large numbers.
    fn log_density(&self, t: f64) -> f64 {
        match *self {
            Self::Normal { sd, .. } => -0.5 * (t / sd) * (t / sd),
            Self::Beta { a, b } if a <= b => a * t - (a + b) * log_mixed(a / (a + b), t),
            Self::Beta { a, b } => -b * t - (a + b) * log_mixed(b / (a + b), -t),
        }
    }

    /// The distance on `side` (±1) at which the log density has fallen by `fall`, to a percent.
    fn reach(&self, fall: f64, side: f64) -> f64 {
        let (a, b) = match *self {
            Self::Normal { sd, .. } => return side * sd * (2.0 * fall).sqrt(),
            Self::Beta { a, b } => (a, b),
        };
        // Where the density is normal, this is it; else it is doubled until it is outside, and halved back in.
        let mut outer = (2.0 * fall * (1.0 / a + 1.0 / b)).sqrt();
        let mut inner = 0.0;
        while self.log_density(side * outer) > -fall {
            inner = outer;
            outer *= 2.0;
        }
        while outer - inner > 0.01 * outer {
            let middle = 0.5 * (inner + outer);
            if self.log_density(side * middle) > -fall { inner = middle } else { outer = middle }
        }
        side * outer
    }

    /// The borders of panels within which the log density falls by no more than it may, ascending.
    fn borders(&self, fall: f64) -> Vec<f64> {
        let centre = self.centre();
        if matches!(self, Self::Normal { sd, .. } if *sd == 0.0) {
            return vec![centre];
        }
        let mut falls = Vec::new();
        let mut at = 0.5;
        while at < fall {
            falls.push(at);
            at += ((2.0 * at).sqrt() + 0.5).min(PANEL_FALL_MAX);
        }
        falls.push(fall);
        let left = falls.iter().rev().map(|fall| centre + self.reach(*fall, -1.0));
        let right = falls.iter().map(|fall| centre + self.reach(*fall, 1.0));
        left.chain([centre]).chain(right).collect()
    }

    fn is_known(&self) -> bool {
        matches!(self, Self::Normal { sd, .. } if *sd == 0.0)
    }
}

/// ln(1 + p (eᵗ − 1)) for p ≤ 1/2.
fn log_mixed(p: f64, t: f64) -> f64 {
    if t < 30.0 { (p * t.exp_m1()).ln_1p() } else { t + (p + (1.0 - p) * (-t).exp()).ln() }
}

/// A node of the quadrature, or the place of a value that is known.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    /// The length of axis it stands for; for beliefs on the logit scale, the length of p.
    pub(crate) length: f64,
    /// Density times weight of each belief: the probability that it lies at this node.
    pub(crate) mass: &'a [f64],
    /// The probability of each belief to lie below.
    pub(crate) lower: &'a [f64],
    /// The probability of each belief to lie above.
    pub(crate) upper: &'a [f64],
    /// The beliefs that are known to lie exactly here; empty at ordinary nodes.
    pub(crate) known: &'a [usize],
}

/// Beliefs on their common axis.
#[derive(Debug)]
pub(crate) struct Field {
    beliefs: Vec<Belief>,
    /// Borders of panels.
    stops: Vec<f64>,
    /// Per panel, belief and node: density times half the panel, normalised to a total of one.
    density: Vec<[f64; NODES]>,
    /// Per stop and belief: the probability below, and above.
    lower: Vec<f64>,
    upper: Vec<f64>,
    rule: Rule,
    /// Row i integrates from the panel's start to node i.
    partial: Vec<[f64; NODES]>,
}

impl Field {
    /// Puts the beliefs on one axis; all must be of one kind and there must be at least one.
    pub(crate) fn new(beliefs: Vec<Belief>) -> Self {
        let fall = if beliefs.len() <= 2 { FALL_OF_PAIRS } else { FALL };
        let rule = gauss_legendre(NODES);
        let stops = stops(&beliefs, fall);
        let partial = partial_integrals(&rule);
        let mut field = Self { beliefs, stops, density: Vec::new(), lower: Vec::new(), upper: Vec::new(), rule, partial };
        field.measure(fall);
        field
    }

    /// Fills densities and tails.
    fn measure(&mut self, fall: f64) {
        let (k, panels) = (self.beliefs.len(), self.stops.len().saturating_sub(1));
        self.density = vec![[0.0; NODES]; panels * k];
        let mut masses = vec![0.0; panels * k];
        for (j, belief) in self.beliefs.iter().enumerate().filter(|(_, belief)| !belief.is_known()) {
            let centre = belief.centre();
            let (low, high) = (centre + belief.reach(fall, -1.0), centre + belief.reach(fall, 1.0));
            for panel in 0..panels {
                let (from, to) = (self.stops[panel], self.stops[panel + 1]);
                if to <= low || from >= high {
                    continue;
                }
                let (middle, half) = (0.5 * (from + to), 0.5 * (to - from));
                let density = &mut self.density[panel * k + j];
                for (value, node) in density.iter_mut().zip(&self.rule.nodes) {
                    // The middle's distance first, because it is exact where the panel is close to the centre.
                    *value = half * belief.log_density((middle - centre) + half * node).exp();
                }
                masses[panel * k + j] = dot(density, &self.rule.weights);
            }
            let total: f64 = (0..panels).map(|panel| masses[panel * k + j]).sum();
            for panel in 0..panels {
                masses[panel * k + j] /= total;
                self.density[panel * k + j].iter_mut().for_each(|value| *value /= total);
            }
        }
        self.lower = vec![0.0; (panels + 1) * k];
        self.upper = vec![0.0; (panels + 1) * k];
        for panel in 0..panels {
            for j in 0..k {
                self.lower[(panel + 1) * k + j] = self.lower[panel * k + j] + masses[panel * k + j];
                let back = panels - 1 - panel;
                self.upper[back * k + j] = self.upper[(back + 1) * k + j] + masses[back * k + j];
            }
        }
    }

    /// Visits all nodes, and the places of values that are known, in ascending order.
    pub(crate) fn visit(&self, mut see: impl FnMut(&Node)) {
        let k = self.beliefs.len();
        let known: Vec<usize> = (0..k).filter(|j| self.beliefs[*j].is_known()).collect();
        let (mut mass, mut lower, mut upper) = (vec![0.0; k], vec![0.0; k], vec![0.0; k]);
        for stop in 0..self.stops.len() {
            let at = self.stops[stop];
            let here: Vec<usize> = known.iter().copied().filter(|j| self.beliefs[*j].centre() == at).collect();
            if !here.is_empty() {
                mass.fill(0.0);
                lower.copy_from_slice(&self.lower[stop * k..(stop + 1) * k]);
                upper.copy_from_slice(&self.upper[stop * k..(stop + 1) * k]);
                known.iter().for_each(|j| (lower[*j], upper[*j]) = step(self.beliefs[*j].centre(), at));
                see(&Node { length: 0.0, mass: &mass, lower: &lower, upper: &upper, known: &here });
            }
            if stop + 1 < self.stops.len() {
                known.iter().for_each(|j| (lower[*j], upper[*j]) = step(self.beliefs[*j].centre(), self.stops[stop + 1]));
                self.visit_panel(stop, (&mut mass, &mut lower, &mut upper), &mut see);
                known.iter().for_each(|j| mass[*j] = 0.0);
            }
        }
    }

    fn visit_panel(&self, panel: usize, (mass, lower, upper): (&mut [f64], &mut [f64], &mut [f64]), see: &mut impl FnMut(&Node)) {
        let k = self.beliefs.len();
        let (from, to) = (self.stops[panel], self.stops[panel + 1]);
        for (i, node) in self.rule.nodes.iter().enumerate() {
            for j in (0..k).filter(|j| !self.beliefs[*j].is_known()) {
                let density = &self.density[panel * k + j];
                mass[j] = density[i] * self.rule.weights[i];
                // From the nearer end: a tail is a sum of positive parts, never one minus the other.
                lower[j] = self.lower[panel * k + j] + dot(density, &self.partial[i]).max(0.0);
                let mirrored: f64 =
                    density.iter().rev().zip(&self.partial[NODES - 1 - i]).map(|(value, weight)| value * weight).sum();
                upper[j] = self.upper[(panel + 1) * k + j] + mirrored.max(0.0);
            }
            let half = 0.5 * (to - from);
            let length = half * self.rule.weights[i] * self.stretch(0.5 * (from + to) + half * node);
            see(&Node { length, mass, lower, upper, known: &[] });
        }
    }

    /// How much of the arms' own scale a piece of axis stands for.
    fn stretch(&self, at: f64) -> f64 {
        match self.beliefs[0] {
            Belief::Normal { .. } => 1.0,
            Belief::Beta { .. } => {
                let small = (-at.abs()).exp();
                small / ((1.0 + small) * (1.0 + small))
            }
        }
    }
}

/// The tails of a known value below and above `at`; of a panel, `at` is its end.
fn step(value: f64, at: f64) -> (f64, f64) {
    if value < at { (1.0, 0.0) } else { (0.0, 1.0) }
}

fn dot(values: &[f64; NODES], weights: &[f64]) -> f64 {
    values.iter().zip(weights).map(|(value, weight)| value * weight).sum()
}

/// The borders of panels: each as short as the belief with the shortest ones there asks for.
fn stops(beliefs: &[Belief], fall: f64) -> Vec<f64> {
    let borders: Vec<Vec<f64>> = beliefs.iter().map(|belief| belief.borders(fall)).collect();
    let logit = matches!(beliefs[0], Belief::Beta { .. });
    let mut forced: Vec<f64> = borders.iter().flat_map(|of| [of[0], of[of.len() - 1]]).collect();
    forced.sort_by(f64::total_cmp);
    forced.dedup();
    let mut stops = vec![forced[0]];
    let mut at = forced[0];
    for end in forced.into_iter().skip(1) {
        while at < end {
            // The panel of each belief that starts at or before `at` and does not end there.
            let own = borders.iter().filter_map(|of| {
                let next = of.partition_point(|border| *border <= at);
                (next > 0 && next < of.len()).then(|| of[next] - of[next - 1])
            });
            let mut length = own.fold(end - at, f64::min);
            if logit && at > -LOGIT_MATTERS_FAR && at < LOGIT_MATTERS_FAR {
                let near = at > -LOGIT_MATTERS - LOGIT_PANEL_FAR && at < LOGIT_MATTERS;
                length = length.min(if near { LOGIT_PANEL } else { LOGIT_PANEL_FAR });
            } else if logit && at <= -LOGIT_MATTERS_FAR {
                length = length.min((-LOGIT_MATTERS_FAR - at).max(LOGIT_PANEL_FAR));
            }
            // A short rest is taken along.
            let next = at + length;
            at = if next > at && end - next > 0.25 * length { next } else { end };
            stops.push(at);
        }
    }
    stops
}

/// Row i holds the weights that integrate the polynomial through the nodes from −1 to node i: with Legendre polynomials P_n,
/// Σ_n (2n + 1)/2 · w_j P_n(x_j) ∫_{−1}^{x_i} P_n, and the integral of P_n is (P_{n+1} − P_{n−1})/(2n + 1).
fn partial_integrals(rule: &Rule) -> Vec<[f64; NODES]> {
    let polynomials: Vec<Vec<f64>> = rule.nodes.iter().map(|x| legendre(*x)).collect();
    let row = |i: usize| {
        let own = &polynomials[i];
        let mut row = [0.0; NODES];
        for (j, weight) in row.iter_mut().enumerate() {
            let constant = 0.5 * (rule.nodes[i] + 1.0);
            let others = (1..NODES).map(|n| 0.5 * polynomials[j][n] * (own[n + 1] - own[n - 1]));
            *weight = rule.weights[j] * (constant + others.sum::<f64>());
        }
        row
    };
    (0..NODES).map(row).collect()
}

/// P_0(x) to P_NODES(x) by their recurrence.
fn legendre(x: f64) -> Vec<f64> {
    let mut values = vec![1.0, x];
    for n in 1..NODES {
        let degree = n as f64;
        values.push(((2.0 * degree + 1.0) * x * values[n] - degree * values[n - 1]) / (degree + 1.0));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tail::{beta_lower, beta_upper, normal_upper};

    /// Tails by sums of panels against the special functions.
    #[test]
    fn tails_are_those_of_the_distributions() {
        let normal = Field::new(vec![Belief::Normal { mean: 3.0, sd: 0.5 }, Belief::Normal { mean: 8.0, sd: 4.0 }]);
        let mut at = Vec::new();
        let centre = normal.stops.clone();
        normal.visit(|node| at.push((node.lower[0], node.upper[0])));
        assert!(at.len() == (centre.len() - 1) * NODES);
        for (panel, ends) in centre.windows(2).enumerate() {
            let x = 0.5 * (ends[0] + ends[1]) + 0.5 * (ends[1] - ends[0]) * normal.rule.nodes[5];
            let (lower, upper) = at[panel * NODES + 5];
            let z = (x - 3.0) / 0.5;
            if z.abs() < 37.0 {
                assert!((lower / normal_upper(-z) - 1.0).abs() < 1e-9, "{z} {lower:e}");
                assert!((upper / normal_upper(z) - 1.0).abs() < 1e-9, "{z} {upper:e}");
            }
        }
        let (a, b) = (30.5, 900.0);
        let beta = Field::new(vec![Belief::Beta { a, b }]);
        let mut at = Vec::new();
        beta.visit(|node| at.push((node.lower[0], node.upper[0])));
        for (panel, ends) in beta.stops.windows(2).enumerate() {
            let y: f64 = 0.5 * (ends[0] + ends[1]) + 0.5 * (ends[1] - ends[0]) * beta.rule.nodes[9];
            let p = 1.0 / (1.0 + (-y).exp());
            let (lower, upper) = at[panel * NODES + 9];
            if lower > 1e-200 && upper > 1e-200 {
                assert!((lower / beta_lower(p, a, b) - 1.0).abs() < 1e-9, "{p} {lower:e}");
                assert!((upper / beta_upper(p, a, b) - 1.0).abs() < 1e-9, "{p} {upper:e}");
            }
        }
    }

    #[test]
    fn panels_stay_few() {
        let check = |beliefs: Vec<Belief>, most: usize| {
            let field = Field::new(beliefs);
            assert!(field.stops.len() < most, "{}", field.stops.len());
            assert!(field.stops.windows(2).all(|ends| ends[0] < ends[1]));
        };
        check((0..100).map(|i| Belief::Normal { mean: f64::from(i) * 0.01, sd: 1.0 }).collect(), 300);
        check((0..100).map(|i| Belief::Normal { mean: f64::from(i), sd: 1e-5 }).collect(), 4_000);
        check(vec![Belief::Beta { a: 1e-3, b: 1e8 }, Belief::Beta { a: 1e8, b: 1e-3 }], 2_000);
        check(vec![Belief::Beta { a: 1e8, b: 1e8 }, Belief::Beta { a: 1.0, b: 1.0 }], 3_000);
    }
}
