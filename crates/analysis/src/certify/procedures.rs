//! The default procedures, and two common ones that break their promise, each as one look at two arms.

use stats::sequential::confidence::multiplier;
use stats::sequential::group::{self, Sides, Spending};
use stats::{Degenerate, Moments, fieller_lift, sequential, welch};

use super::ALPHA;
use super::world::Arm;
use crate::estimate::OUTCOMES_MIN;

/// What the always-valid default says at a look.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct AlwaysValid {
    /// Whether the interval of the difference excludes zero.
    pub(super) absolute: bool,
    /// Whether the interval of the lift excludes zero; `None` while the lift is not identifiable.
    pub(super) relative: Option<bool>,
    /// The interval of the lift.
    pub(super) lift: Option<(f64, f64)>,
}

/// The always-valid default; says nothing before there are outcomes to speak of.
pub(super) fn always_valid([control, variant]: &[Arm; 2], tuning: f64) -> AlwaysValid {
    if control.nonzero.min(variant.nonzero) < OUTCOMES_MIN {
        return AlwaysValid::default();
    }
    let Ok(comparison) = sequential::compare(&control.moments, &variant.moments, tuning, ALPHA) else {
        return AlwaysValid::default();
    };
    let lift = comparison.relative.as_ref().ok().and_then(|lift| lift.interval.lower.zip(lift.interval.upper));
    AlwaysValid {
        absolute: !comparison.absolute.interval.contains(0.0),
        relative: lift.map(|(lower, upper)| lower > 0.0 || upper < 0.0),
        lift,
    }
}

/// The same multiplier on a linearised lift: what is widely used, shown to warn.
pub(super) fn always_valid_linear([control, variant]: &[Arm; 2], tuning: f64) -> bool {
    let linear = || -> Option<bool> {
        let (base, lifted) = (control.moments.mean, variant.moments.mean);
        let (of_control, of_variant) = (control.moments.variance_of_mean()?, variant.moments.variance_of_mean()?);
        let error = (of_variant / base.powi(2) + of_control * lifted.powi(2) / base.powi(4)).sqrt();
        let units = (control.moments.count + variant.moments.count) as f64;
        let k = multiplier(units, ALPHA, tuning).ok()?;
        Some(((lifted - base) / base.abs()).abs() > k * error)
    };
    control.nonzero.min(variant.nonzero) > 0 && linear().unwrap_or(false)
}

/// Welch's test as if this were the only look.
pub(super) fn fixed([control, variant]: &[Arm; 2]) -> bool {
    welch(&control.moments, &variant.moments, ALPHA).is_ok_and(|effect| effect.p_value <= ALPHA)
}

/// Fieller's interval as if this were the only look; an unbounded set holds everything.
pub(super) fn fieller([control, variant]: &[Arm; 2]) -> Option<(f64, f64)> {
    let interval = fieller_lift(&control.moments, &variant.moments, ALPHA).ok()?.interval;
    interval.lower.zip(interval.upper)
}

/// Difference over standard error; zero where neither arm varies.
pub(super) fn statistic(control: &Moments, variant: &Moments) -> f64 {
    welch(control, variant, ALPHA).map_or(0.0, |effect| effect.statistic)
}

/// The boundaries of O'Brien and Fleming's spending at equally spaced looks.
pub(super) fn boundaries(looks: u32) -> Result<Vec<f64>, Degenerate> {
    let fractions: Vec<f64> = (1..=looks).map(|look| f64::from(look) / f64::from(looks)).collect();
    Ok(group::boundaries(Spending::ObrienFlemingSpending, ALPHA, Sides::Two, &fractions)?.critical_values)
}
