//! A Brownian motion that is looked at a few times and stopped where it has left a region: the arithmetic under every
//! group-sequential design.
//!
//! With g the density of the motion at one look, restricted to the region in which it goes on, its density at the next look is
//! ∫ g(u) φ((x − u − θd)/√d)/√d du, d being the time between the looks and θ the drift. Armitage, McPherson & Rowe, "Repeated
//! significance tests on accumulating data", JRSS A 132 (1969).
//!
//! The region is cut into panels with a Gauss–Legendre rule in each, narrow against √d so that the rule is exact to rounding.
//! Between two panels whose centres are D apart the kernel at offsets δ, ε factors into
//! exp(−D²/2d) · exp(−Dδ/d) · exp(Dε/d) · exp(−(δ − ε)²/2d), of which the last is the same for all pairs of panels; so a
//! pair of panels takes as many exponentials as it has nodes and not as many as it has pairs of nodes.

use std::f64::consts::TAU;
use std::sync::LazyLock;

use crate::numeric::quadrature::gauss_legendre;

/// Nodes of a panel.
const NODES: usize = 16;

/// The width of a panel, in the scale on which the integrand changes; boundaries are then exact to 1e-12.
const PANEL_SCALES: f64 = 6.0;

/// How far a density is followed where no boundary ends it, in standard deviations.
const DEVIATIONS_MAX: f64 = 8.5;

/// From so many standard deviations on, the straight way from the start decides where mass comes from.
const STRAIGHT_FROM: f64 = 5.0;

/// What is left out is smaller than what is kept by a factor of e to this power.
const NEGLIGIBLE_LOG: f64 = 37.0;

/// Panels of a look; reached only where two looks are a millionth of the first apart.
const PANELS_MAX: f64 = 20_000.0;

/// Terms of the Taylor series by which a boundary is polished.
const TERMS: usize = 16;

/// Attempts at a boundary; three or four suffice.
const STEPS_MAX: usize = 100;

type Row = [f64; NODES];

/// The rule on −1 to 1.
static RULE: LazyLock<(Row, Row)> = LazyLock::new(|| {
    let rule = gauss_legendre(NODES);
    let row = |values: &[f64]| std::array::from_fn(|i| values[i]);
    (row(&rule.nodes), row(&rule.weights))
});

/// A motion at a look, before it is decided where it stops.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    drift: f64,
    /// Where the motion began, which together with the drift says where its mass lies.
    start: (f64, f64),
    /// The time of this look.
    time: f64,
    /// The mass that went on at the look before.
    before: Mass,
    before_time: f64,
    /// Whether everything so far is symmetric about zero.
    symmetric: bool,
}

/// Mass at the nodes of panels of equal width.
#[derive(Debug, Clone)]
struct Mass {
    centres: Vec<f64>,
    half: f64,
    masses: Vec<Row>,
}

impl Walk {
    /// Begins with value 0 at time 0 and looks at `time`.
    pub(super) fn new(drift: f64, time: f64) -> Self {
        Self::from(0.0, 0.0, drift, time)
    }

    /// Begins with `value` at `start` and looks at `time`.
    pub(super) fn from(start: f64, value: f64, drift: f64, time: f64) -> Self {
        let before = Mass { centres: vec![value], half: 0.0, masses: vec![[1.0 / NODES as f64; NODES]] };
        Self { drift, start: (start, value), time, before, before_time: start, symmetric: drift == 0.0 && value == 0.0 }
    }

    /// Goes on from within `lower` to `upper` (values of the motion, infinite where there is no boundary) to the next look.
    pub(super) fn proceed(&mut self, lower: f64, upper: f64, next: f64) {
        let (mean, deviation) = self.extent();
        let low = if lower.is_finite() { lower } else { mean - DEVIATIONS_MAX * deviation };
        let high = if upper.is_finite() { upper } else { mean + DEVIATIONS_MAX * deviation };
        let (own, following) = (self.time - self.before_time, next - self.time);
        let scale = (own * following / (own + following)).sqrt();
        self.symmetric &= low == -high;
        let mut mass = Mass { centres: Vec::new(), half: 0.0, masses: Vec::new() };
        if high > low {
            // An even number, so that symmetric halves are made of whole panels.
            let count = 2.0 * ((high - low) / (2.0 * PANEL_SCALES * scale)).ceil().clamp(1.0, PANELS_MAX);
            mass.half = 0.5 * (high - low) / count;
            mass.centres = (0..count as usize).map(|i| low + (2 * i + 1) as f64 * mass.half).collect();
            let skipped = if self.symmetric { mass.centres.len() / 2 } else { 0 };
            mass.masses = self.densities(&mass.centres[skipped..], mass.half);
            let weights = &RULE.1;
            for row in &mut mass.masses {
                row.iter_mut().zip(weights).for_each(|(value, weight)| *value *= weight * mass.half);
            }
            if self.symmetric {
                let mirrored: Vec<Row> = mass.masses.iter().rev().map(reversed).collect();
                mass.masses = [mirrored, mass.masses].concat();
            }
        }
        (self.before, self.before_time, self.time) = (mass, self.time, next);
    }

    /// The chance that the motion has not stopped before and is above `value` now.
    pub(super) fn above(&self, value: f64) -> f64 {
        let d = self.time - self.before_time;
        let (Some(bottom), Some(top)) = (self.bottom(), self.top(value)) else { return 0.0 };
        let value = value.max(bottom);
        if top <= value {
            return 0.0;
        }
        let panels = ((top - value) / (PANEL_SCALES * d.sqrt())).ceil().clamp(1.0, PANELS_MAX);
        let half = 0.5 * (top - value) / panels;
        let centres: Vec<f64> = (0..panels as usize).map(|i| value + (2 * i + 1) as f64 * half).collect();
        let weights = &RULE.1;
        let of_row = |row: &Row| row.iter().zip(weights).map(|(value, weight)| value * weight).sum::<f64>();
        self.densities(&centres, half).iter().map(of_row).sum::<f64>() * half
    }

    /// The chance that the motion has not stopped before and is below `value` now.
    pub(super) fn below(&self, value: f64) -> f64 {
        if self.symmetric { self.above(-value) } else { self.mirrored().above(-value) }
    }

    /// The value above which the motion, not stopped before, is with chance `target`, sought from `guess`. `None` where even
    /// all of its mass is less.
    pub(super) fn boundary_above(&self, target: f64, guess: f64) -> Option<f64> {
        let deviation = (self.time - self.before_time).sqrt();
        let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
        let bottom = self.bottom()?;
        let mut value = guess;
        let mut stride = deviation;
        for _ in 0..STEPS_MAX {
            let chance = self.above(value);
            let (series, room) = self.series(value);
            // Newton's step on the logarithm, in units of the deviation.
            let step = (chance / target).ln() * chance / series[0];
            if step.abs() <= room {
                return Some(value + deviation * polished(&series, chance - target, step, room));
            }
            if chance > target {
                low = value;
            } else {
                high = value;
            }
            if high <= bottom {
                return None;
            }
            let next = value + deviation * step;
            value = if next > low && next < high {
                next
            } else if low.is_finite() && high.is_finite() {
                0.5 * (low + high)
            } else {
                stride *= 2.0;
                if low.is_finite() { low + stride } else { high - stride }
            };
            if !value.is_finite() || (low.is_finite() && high - low <= 1e-14 * (1.0 + low.abs())) {
                break;
            }
        }
        (low.is_finite() && high.is_finite()).then_some(0.5 * (low + high))
    }

    /// The value below which the motion, not stopped before, is with chance `target`.
    pub(super) fn boundary_below(&self, target: f64, guess: f64) -> Option<f64> {
        self.mirrored().boundary_above(target, -guess).map(|value| -value)
    }

    /// Mean and standard deviation of the motion if nothing stopped it.
    fn extent(&self) -> (f64, f64) {
        let elapsed = self.time - self.start.0;
        (self.start.1 + self.drift * elapsed, elapsed.sqrt())
    }

    /// Where there is nothing any more below.
    fn bottom(&self) -> Option<f64> {
        let d = self.time - self.before_time;
        let edge = self.before.centres.first()? - self.before.half + self.drift * d;
        Some(edge - (2.0 * NEGLIGIBLE_LOG * d).sqrt())
    }

    /// Where the density above `value` has become negligible against what it is at `value`.
    fn top(&self, value: f64) -> Option<f64> {
        let d = self.time - self.before_time;
        let edge = self.before.centres.last()? + self.before.half + self.drift * d;
        let (mean, deviation) = self.extent();
        let falls = |from: f64, variance: f64| {
            let distance = (value - from).max(0.0);
            from + (distance * distance + 2.0 * NEGLIGIBLE_LOG * variance).sqrt()
        };
        Some(falls(edge, d).min(falls(mean, deviation * deviation)).max(value))
    }

    /// How far the mass is that arrives at `middle` (a value less the drift since the look before), and how far to look for
    /// all of it. Far out it is not the nearest mass that arrives but that on the straight way from the start.
    fn reach(&self, middle: f64, first: f64, last: f64) -> (f64, f64) {
        let d = self.time - self.before_time;
        let nearest = (middle - last).max(first - middle).max(0.0);
        let near = (nearest * nearest + 2.0 * NEGLIGIBLE_LOG * d).sqrt();
        let (mean, deviation) = self.extent();
        let out = (middle + self.drift * d - mean).abs();
        if out <= STRAIGHT_FROM * deviation {
            return (nearest, near);
        }
        let straight = out * d / (deviation * deviation);
        (nearest.max(straight), near.max(straight + (2.0 * NEGLIGIBLE_LOG * d).sqrt()))
    }

    /// The density at the nodes of panels of half width `half`.
    fn densities(&self, centres: &[f64], half: f64) -> Vec<Row> {
        let d = self.time - self.before_time;
        let before = &self.before;
        let nodes = &RULE.0;
        let front = 1.0 / (TAU * d).sqrt();
        let shared: [Row; NODES] = std::array::from_fn(|j| {
            std::array::from_fn(|i| {
                let offset = half * nodes[i] - before.half * nodes[j];
                front * (-0.5 * offset * offset / d).exp()
            })
        });
        centres.iter().map(|centre| self.density_of_panel(*centre, half, d, &shared)).collect()
    }

    /// The density at the nodes of one panel; `shared[j][i]` is the part of the kernel that is the same for all panels.
    fn density_of_panel(&self, centre: f64, half: f64, d: f64, shared: &[Row; NODES]) -> Row {
        let before = &self.before;
        let mut density = [0.0; NODES];
        let (Some(first), Some(last)) = (before.centres.first(), before.centres.last()) else { return density };
        let middle = centre - self.drift * d;
        let reach = self.reach(middle, *first, *last).1 + half + before.half;
        let from = before.centres.partition_point(|other| *other < middle - reach);
        let to = before.centres.partition_point(|other| *other <= middle + reach);
        for (other, masses) in before.centres[from..to].iter().zip(&before.masses[from..to]) {
            let distance = middle - other;
            let of_pair = (-0.5 * distance * distance / d).exp();
            if of_pair == 0.0 {
                continue;
            }
            let outer = tilt(-distance * half / d);
            let inner = tilt(distance * before.half / d);
            let mut sum = [0.0; NODES];
            for ((mass, inner), row) in masses.iter().zip(&inner).zip(shared) {
                let mass = mass * inner * of_pair;
                sum.iter_mut().zip(row).for_each(|(sum, kernel)| *sum += mass * kernel);
            }
            density.iter_mut().zip(&sum).zip(&outer).for_each(|((density, sum), outer)| *density += sum * outer);
        }
        density
    }

    /// The Taylor coefficients of the density times √d around `value`, in units of √d, and how far they can be trusted.
    fn series(&self, value: f64) -> ([f64; TERMS], f64) {
        let d = self.time - self.before_time;
        let deviation = d.sqrt();
        let nodes = &RULE.0;
        let mut series = [0.0; TERMS];
        let middle = value - self.drift * d;
        let (Some(first), Some(last)) = (self.before.centres.first(), self.before.centres.last()) else { return (series, 0.0) };
        let (closest, reach) = self.reach(middle, *first, *last);
        for (centre, masses) in self.before.centres.iter().zip(&self.before.masses) {
            if (middle - centre).abs() > reach + self.before.half {
                continue;
            }
            for (node, mass) in nodes.iter().zip(masses) {
                // The derivatives of the normal density are Hermite polynomials: φ⁽ⁿ⁾(y)/n! = (−1)ⁿ Heₙ(y)/n! φ(y).
                let y = (middle - centre - self.before.half * node) / deviation;
                let (mut previous, mut here) = (0.0, mass * (-0.5 * y * y).exp() / TAU.sqrt());
                for (n, term) in series.iter_mut().enumerate() {
                    *term += here;
                    (previous, here) = (here, -(y * here + previous) / (n + 1) as f64);
                }
            }
        }
        (series, (2.0 / (1.0 + closest / deviation)).min(0.5))
    }

    /// The motion turned upside down.
    fn mirrored(&self) -> Self {
        let before = Mass {
            centres: self.before.centres.iter().rev().map(|centre| -centre).collect(),
            half: self.before.half,
            masses: self.before.masses.iter().rev().map(reversed).collect(),
        };
        Self { drift: -self.drift, start: (self.start.0, -self.start.1), before, ..*self }
    }
}

/// exp(`exponent` · node) for every node; the nodes are symmetric.
fn tilt(exponent: f64) -> Row {
    let nodes = &RULE.0;
    let mut row = [0.0; NODES];
    for i in 0..NODES / 2 {
        let up = (exponent * nodes[NODES - 1 - i]).exp();
        (row[i], row[NODES - 1 - i]) = (1.0 / up, up);
    }
    row
}

fn reversed(row: &Row) -> Row {
    std::array::from_fn(|i| row[NODES - 1 - i])
}

/// The step s, near `step`, at which the integral of the series from 0 to s is `excess`.
fn polished(series: &[f64; TERMS], excess: f64, step: f64, room: f64) -> f64 {
    let mut s = step;
    for _ in 0..TERMS {
        let (mut integral, mut density) = (0.0, 0.0);
        for (n, term) in series.iter().enumerate().rev() {
            integral = integral * s + term / (n + 1) as f64;
            density = density * s + term;
        }
        let change = (integral * s - excess) / density;
        if !change.is_finite() {
            break;
        }
        s = (s - change).clamp(-2.0 * room, 2.0 * room);
        if change.abs() <= 1e-15 {
            break;
        }
    }
    s
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tail::{normal_lower, normal_quantile_upper, normal_upper};

    fn near(actual: f64, expect: f64, tolerance: f64) {
        assert!((actual / expect - 1.0).abs() <= tolerance, "{actual:e} is not {expect:e}");
    }

    #[test]
    fn without_boundaries_it_is_a_normal_variable() {
        let check = |drift: f64, times: &[f64], tolerance: f64| {
            let mut walk = Walk::new(drift, times[0]);
            for next in &times[1..] {
                walk.proceed(f64::NEG_INFINITY, f64::INFINITY, *next);
            }
            let end: f64 = times[times.len() - 1];
            for z in [-3.0, -1.0, 0.0, 0.5, 2.0, 5.0] {
                let value = drift * end + z * end.sqrt();
                near(walk.above(value), normal_upper(z), tolerance);
                near(walk.below(value), normal_lower(z), tolerance);
            }
            let value = walk.boundary_above(0.01, 0.0).unwrap();
            near(value, drift * end + normal_quantile_upper(0.01) * end.sqrt(), 1e-11);
        };
        check(0.0, &[1.0], 1e-12);
        check(0.0, &[0.2, 0.5, 1.0], 1e-10);
        check(3.0, &[0.2, 0.5, 1.0], 1e-10);
        check(-2.0, &[0.2, 0.2001, 0.2002, 0.9, 1.0], 1e-10);
        check(0.5, &[1e-4, 0.5, 0.5001, 1.0], 1e-10);
    }

    /// A target far out, and one that all of the mass does not reach.
    #[test]
    fn boundaries_far_out() {
        let mut walk = Walk::new(0.0, 0.1);
        near(walk.boundary_above(1e-250, 0.0).unwrap() / 0.1_f64.sqrt(), normal_quantile_upper(1e-250), 1e-12);
        walk.proceed(-0.1, 0.1, 0.2);
        let value = walk.boundary_above(1e-60, 0.5).unwrap();
        near(walk.above(value), 1e-60, 1e-9);
        assert!(walk.boundary_above(0.9, 0.5).is_none());
        near(walk.boundary_below(1e-60, 0.5).unwrap(), -value, 1e-12);
    }

    /// The reflection principle: many close looks approach continuous time, where P(max > b) = 2 P(W > b).
    #[test]
    fn close_looks_approach_continuous_time() {
        let looks = 400;
        let b = 2.0 + 0.5826 / f64::from(looks).sqrt();
        let mut walk = Walk::new(0.0, 1.0 / f64::from(looks));
        let mut crossed = 0.0;
        for look in 1..=looks {
            let level = b - 0.5826 / f64::from(looks).sqrt();
            crossed += walk.above(level);
            walk.proceed(f64::NEG_INFINITY, level, f64::from(look + 1) / f64::from(looks));
        }
        // Chernoff's correction: the discrete motion behaves like the continuous one with b raised by 0.5826 √(1/looks).
        near(crossed, 2.0 * normal_upper(b), 2e-3);
    }
}
