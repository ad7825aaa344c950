//! What the distributions share: differences that keep their digits, integrals of tails, Newton's method on tails.

/// e^−40 of a tail is beyond the digits of a double, and so are the shares within the slack of it.
const NEGLIGIBLE_LN: f64 = 40.0;
const LENGTH_SLACK_LN: f64 = 4.0;

/// Newton steps towards the end of a tail; where it falls like e^−e^s they are about one long, else few suffice.
const LENGTH_STEPS_MAX: usize = 100;

/// A tail in a logarithm or logit is not longer: doubles end there.
const LENGTH_MAX: f64 = 700.0;

/// The longest panel of a tail, and the number of panels at most.
const PANEL_LENGTH_MAX: f64 = 5.0;
const PANELS_MAX: f64 = 200.0;

/// Steps of [`invert`]; bisection alone would be done by then.
const INVERT_STEPS_MAX: usize = 200;

/// A tail this near to the target, on the logarithm, is exact after one more step.
const INVERT_NEAR: f64 = 1e-9;

/// Both tails of a distribution at a point; each keeps its digits where it is the smaller one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tails {
    pub(crate) lower: f64,
    pub(crate) upper: f64,
}

impl Tails {
    pub(crate) const NAN: Self = Self { lower: f64::NAN, upper: f64::NAN };
    pub(crate) const BELOW: Self = Self { lower: 0.0, upper: 1.0 };
    pub(crate) const ABOVE: Self = Self { lower: 1.0, upper: 0.0 };

    pub(crate) fn of_lower(lower: f64) -> Self {
        let lower = lower.clamp(0.0, 1.0);
        Self { lower, upper: 1.0 - lower }
    }

    pub(crate) fn of_upper(upper: f64) -> Self {
        Self::of_lower(upper).swapped()
    }

    pub(crate) fn swapped(self) -> Self {
        Self { lower: self.upper, upper: self.lower }
    }
}

/// u − ln(1 + u), never negative; `above` is 1 + u with the digits that `u` near −1 has lost.
pub(crate) fn excess_over_ln(u: f64, above: f64) -> f64 {
    if u.abs() > 0.4 {
        return u - above.ln();
    }
    // ln(1 + u) = 2 artanh r for r = u / (2 + u), and u − 2 r = r u.
    let r = u / (2.0 + u);
    let square = r * r;
    r * (u - 2.0 * square * odd_series(square))
}

/// 1/3 + x/5 + x²/7 + …, for x up to 1/9: (artanh r / r − 1) / r² at r² = x.
pub(crate) fn odd_series(x: f64) -> f64 {
    let terms = if x < 1e-3 {
        5
    } else if x < 0.02 {
        9
    } else {
        16
    };
    ODD_INVERSES[..terms].iter().rev().fold(0.0, |sum, inverse| sum * x + inverse)
}

/// e^s − 1 − s, never negative.
pub(crate) fn excess_of_exp(s: f64) -> f64 {
    if s.abs() > 0.5 { s.exp_m1() - s } else { small_excess_of_exp(s) }
}

/// e^s − 1 and e^s − 1 − s.
pub(crate) fn exp_with_excess(s: f64) -> (f64, f64) {
    if s.abs() > 0.5 {
        let rise = s.exp_m1();
        return (rise, rise - s);
    }
    let excess = small_excess_of_exp(s);
    (s + excess, excess)
}

fn small_excess_of_exp(s: f64) -> f64 {
    // Odd and even powers apart, so that neither waits for the other.
    let square = s * s;
    let (mut even, mut odd) = (0.0, 0.0);
    for [of_even, of_odd] in EXP_EXCESS.iter().rev() {
        even = even * square + of_even;
        odd = odd * square + of_odd;
    }
    square * (even + s * odd)
}

/// ∫ e^G(s) ds from 0 to infinity for a concave G with G(0) = 0 that falls from the start and is smooth on the scale on
/// which it falls, or on the scale of 1: Gauss–Legendre panels of 32 nodes up to where nothing is left, nearly always
/// one. `curve` gives G, `slope` its first derivative and `fall` a first guess of minus its second at 0.
pub(crate) fn tail_integral(curve: impl Fn(f64) -> f64, slope: impl Fn(f64) -> f64, fall: f64) -> f64 {
    let start = -slope(0.0);
    let length = 2.0 * NEGLIGIBLE_LN / (start + (start * start + 2.0 * NEGLIGIBLE_LN * fall).sqrt());
    let mut length = length.min(LENGTH_MAX);
    for _ in 0..LENGTH_STEPS_MAX {
        let beyond = curve(length) + NEGLIGIBLE_LN;
        if beyond.abs() <= LENGTH_SLACK_LN {
            break;
        }
        let step = beyond / slope(length);
        length = if step.is_finite() { (length - step).max(0.1 * length) } else { 0.5 * length };
    }
    let panels = (length / PANEL_LENGTH_MAX).ceil().clamp(1.0, PANELS_MAX);
    let half = 0.5 * length / panels;
    let mut sum = 0.0;
    let mut middle = half;
    while middle < length {
        for (node, weight) in &PANEL {
            sum += weight * (curve(middle - half * node).exp() + curve(middle + half * node).exp());
        }
        middle += 2.0 * half;
    }
    half * sum
}

/// The v between `low` and `high` at which a monotone tail is `target`, by Newton's method on the logarithm of the tail,
/// which is nearly straight, and bisection where that leaves the bracket. `evaluate` gives the tail and the size of its
/// derivative by v; `rises` says its sign.
pub(crate) fn invert(target: f64, rises: bool, start: f64, bracket: (f64, f64), evaluate: impl Fn(f64) -> (f64, f64)) -> f64 {
    let (mut low, mut high) = bracket;
    let ln_target = target.ln();
    let mut v = start.clamp(low, high);
    for _ in 0..INVERT_STEPS_MAX {
        let (tail, slope) = evaluate(v);
        if (tail < target) == rises {
            low = v;
        } else {
            high = v;
        }
        let gap =
            if tail > 0.5 * target && tail < 2.0 * target { ((tail - target) / target).ln_1p() } else { tail.ln() - ln_target };
        let newton = v - tail * gap / if rises { slope } else { -slope };
        // The error is squared by every step.
        if newton.is_finite() && (gap.abs() <= INVERT_NEAR || (newton - v).abs() <= 4.0 * f64::EPSILON * v.abs().max(1e-3)) {
            return newton;
        }
        let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
        if next == v {
            return v;
        }
        v = next;
    }
    v
}

/// 1/2!, 1/3!, 1/4!, … in pairs.
const EXP_EXCESS: [[f64; 2]; 7] = [
    [1.0 / 2.0, 1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 120.0],
    [1.0 / 720.0, 1.0 / 5_040.0],
    [1.0 / 40_320.0, 1.0 / 362_880.0],
    [1.0 / 3_628_800.0, 1.0 / 39_916_800.0],
    [1.0 / 479_001_600.0, 1.0 / 6_227_020_800.0],
    [1.0 / 87_178_291_200.0, 1.0 / 1_307_674_368_000.0],
];

/// 1/3, 1/5, 1/7, …
const ODD_INVERSES: [f64; 16] = [
    1.0 / 3.0,
    1.0 / 5.0,
    1.0 / 7.0,
    1.0 / 9.0,
    1.0 / 11.0,
    1.0 / 13.0,
    1.0 / 15.0,
    1.0 / 17.0,
    1.0 / 19.0,
    1.0 / 21.0,
    1.0 / 23.0,
    1.0 / 25.0,
    1.0 / 27.0,
    1.0 / 29.0,
    1.0 / 31.0,
    1.0 / 33.0,
];

/// The positive nodes of the Gauss–Legendre rule of 32 nodes on −1 to 1, with their weights.
const PANEL: [(f64, f64); 16] = [
    (0.9972638618494816, 0.007018610009470096),
    (0.9856115115452684, 0.01627439473090567),
    (0.9647622555875064, 0.02539206530926206),
    (0.9349060759377397, 0.03427386291302143),
    (0.8963211557660521, 0.04283589802222668),
    (0.84936761373257, 0.050998059262376175),
    (0.7944837959679424, 0.058684093478535544),
    (0.7321821187402897, 0.06582222277636185),
    (0.6630442669302152, 0.0723457941088485),
    (0.5877157572407623, 0.07819389578707031),
    (0.5068999089322294, 0.08331192422694675),
    (0.42135127613063533, 0.08765209300440381),
    (0.33186860228212767, 0.09117387869576389),
    (0.23928736225213706, 0.09384439908080457),
    (0.1444719615827965, 0.09563872007927486),
    (0.04830766568773832, 0.0965400885147278),
];

#[cfg(test)]
pub(crate) fn near(actual: f64, expect: f64, tolerance: f64) {
    let close = if expect == 0.0 { actual == 0.0 } else { (actual / expect - 1.0).abs() <= tolerance };
    assert!(close, "{actual:e} is not {expect:e}, off by {:e}", actual / expect - 1.0);
}
