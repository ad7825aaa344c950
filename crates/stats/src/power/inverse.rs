//! Finds where an increasing function crosses zero, over all magnitudes a double has.

use crate::numeric::root::find_root;

/// The x between `lowest` > 0 and `highest` at which the increasing `f` crosses zero; `lowest` where `f` is not negative
/// there. `None` where `f` stays negative. The bracket grows from `start` in steps that themselves grow, and the root is
/// then found in ln x, so that 1e-9 and 1e9 are equally near.
pub(super) fn crossing(f: impl Fn(f64) -> f64, start: f64, lowest: f64, highest: f64) -> Option<f64> {
    if lowest.is_nan() || lowest <= 0.0 || lowest >= highest {
        return None;
    }
    let reached = |x: f64| f(x) >= 0.0;
    if reached(lowest) {
        return Some(lowest);
    }
    let (mut low, mut high) = (lowest, start.clamp(lowest, highest));
    let mut factor = 2.0_f64;
    if reached(high) {
        low = high;
        while reached(low) {
            high = low;
            low = (low / factor).max(lowest);
            factor = (factor * factor).min(1e30);
        }
    } else {
        while !reached(high) {
            if high >= highest {
                return None;
            }
            low = high;
            high = (high * factor).min(highest);
            factor = (factor * factor).min(1e30);
        }
    }
    // A bound that is itself the root may fall on its other side by the rounding of its logarithm.
    if f(low.ln().exp()) >= 0.0 {
        return Some(low);
    }
    if f(high.ln().exp()) < 0.0 {
        return Some(high);
    }
    let root = find_root(|logarithm| f(logarithm.exp()), low.ln(), high.ln())?;
    Some(root.exp().clamp(low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crossing_is_found_at_any_magnitude() {
        for at in [1e-200, 1e-9, 0.3, 7.0, 1e9, 1e150] {
            for start in [1e-100, 1.0, 1e100] {
                let x = crossing(|x| (x / at).ln(), start, 1e-250, 1e250).unwrap();
                assert!((x / at - 1.0).abs() < 1e-10, "{at} from {start}: {x}");
            }
        }
        for start in (0..1000).map(|step| 1.0 + f64::from(step) * 0.0137) {
            assert_eq!(crossing(|x| x - start, start, 1e-250, 1e250), Some(start), "a start that is the root");
        }
        assert_eq!(crossing(|x| x - 1.0, 1.0, 5.0, 9.0), Some(5.0));
        assert_eq!(crossing(|x| x - 10.0, 1.0, 5.0, 9.0), None);
        assert_eq!(crossing(|x| x, 1.0, 9.0, 5.0), None);
        assert_eq!(crossing(|_| f64::NAN, 1.0, 5.0, 9.0), None);
    }
}
