//! Intervals by the bootstrap: each arm is drawn anew from itself, with replacement, and the difference computed each time.

use serde::{Deserialize, Serialize};

use super::{between, checked_values, quantile_of_sorted, quantile_rank, sorted};
use crate::answer::{Degenerate, Interval, checked_alpha, finite, finite_interval};
use crate::numeric::draws::Draws;

/// Fewer resamples do not make an interval.
const RESAMPLES_MIN: u64 = 100;

/// More make no visible difference.
const RESAMPLES_MAX: u64 = 1_000_000;

/// The most values drawn in all for means: some seconds of work.
const DRAWS_MAX: u64 = 2_000_000_000;

/// How quantiles of the resampled differences become an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootstrapKind {
    /// The quantiles themselves.
    Percentile,
    /// Twice the effect less the quantiles, swapped.
    Basic,
}

/// How to resample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// How the interval is made.
    pub kind: BootstrapKind,
    /// How often to resample, 100 to 1,000,000.
    pub resamples: u64,
    /// Two-sided, between 0 and 1.
    pub alpha: f64,
}

/// A difference with its bootstrapped interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Resampled {
    /// Variant minus control, in the data.
    pub effect: f64,
    /// Of the effect.
    pub interval: Interval,
}

/// The difference of means with a bootstrapped interval: each arm is resampled with replacement, B* − A* computed, and its
/// quantiles at alpha/2 and 1 − alpha/2 taken (type 7). The same draws give the same answer. Efron, "Bootstrap methods:
/// another look at the jackknife", Annals of Statistics 7 (1979); Davison & Hinkley, *Bootstrap Methods and their
/// Application* (1997), chapter 5.
///
/// # Errors
/// [`Degenerate`] when a sample is empty or has a value that is not finite, when there are too few or too many resamples or
/// too many values to draw, or alpha does not lie between 0 and 1.
pub fn bootstrap_mean(control: &[f64], variant: &[f64], options: Bootstrap, draws: &mut Draws) -> Result<Resampled, Degenerate> {
    checked_values("control", control)?;
    checked_values("the variant", variant)?;
    let values = (control.len() + variant.len()) as u64;
    if options.resamples.saturating_mul(values) > DRAWS_MAX {
        return Err(Degenerate::new(format!("{} resamples of {values} values are too many to draw", options.resamples)));
    }
    // Distances from a value of each arm, so that a large common mean costs no digits.
    let mean = |values: &[f64]| values.iter().map(|value| value - values[0]).sum::<f64>() / values.len() as f64 + values[0];
    let effect = finite("effect", mean(variant) - mean(control))?;
    let mut resampled_mean = |values: &[f64]| {
        let sum = (0..values.len()).map(|_| values[draws.below(values.len() as u64) as usize] - values[0]).sum::<f64>();
        sum / values.len() as f64 + values[0]
    };
    resampled(effect, options, || {
        let of_control = resampled_mean(control);
        resampled_mean(variant) - of_control
    })
}

/// The difference of the quantiles `q` (type 7, 0 to 1) with a bootstrapped interval. A resample is not drawn in full: the
/// two values that its quantile lies between are the data's values at the ranks of two neighbouring order statistics of n
/// uniforms, which are drawn from their beta distributions; the result has the same distribution. Efron (1979); David &
/// Nagaraja, *Order Statistics* (2003), §2.
///
/// # Errors
/// As [`bootstrap_mean`], and when `q` is out of range.
pub fn bootstrap_quantile(
    control: &[f64],
    variant: &[f64],
    q: f64,
    options: Bootstrap,
    draws: &mut Draws,
) -> Result<Resampled, Degenerate> {
    checked_values("control", control)?;
    checked_values("the variant", variant)?;
    if !(0.0..=1.0).contains(&q) {
        return Err(Degenerate::new(format!("q is {q}; it must be a fraction from 0 to 1")));
    }
    let (control, variant) = (sorted(control), sorted(variant));
    let effect = finite("effect", quantile_of_sorted(&variant, q) - quantile_of_sorted(&control, q))?;
    let mut resampled_quantile = |values: &[f64]| {
        let count = values.len();
        let (rank, weight) = quantile_rank(count, q);
        let rest = (count - rank - 1) as f64;
        let position = draws.beta(rank as f64 + 1.0, rest + 1.0);
        let value = |position: f64| values[((position * count as f64) as usize).min(count - 1)];
        if weight == 0.0 || rest == 0.0 {
            return value(position);
        }
        // The next order statistic: the least of the remaining uniforms, which lie between this one and 1.
        let next = 1.0 - (1.0 - position) * draws.uniform().powf(1.0 / rest);
        between(value(position), value(next), weight)
    };
    resampled(effect, options, || {
        let of_control = resampled_quantile(&control);
        resampled_quantile(&variant) - of_control
    })
}

fn resampled(effect: f64, options: Bootstrap, mut difference: impl FnMut() -> f64) -> Result<Resampled, Degenerate> {
    let Bootstrap { kind, resamples, alpha } = options;
    let alpha = checked_alpha(alpha)?;
    if !(RESAMPLES_MIN..=RESAMPLES_MAX).contains(&resamples) {
        return Err(Degenerate::new(format!("there are {resamples} resamples; take {RESAMPLES_MIN} to {RESAMPLES_MAX}")));
    }
    let mut differences: Vec<f64> = (0..resamples).map(|_| difference()).collect();
    differences.sort_unstable_by(f64::total_cmp);
    let quantile = |q: f64| quantile_of_sorted(&differences, q);
    let (low, high) = (quantile(alpha / 2.0), quantile(1.0 - alpha / 2.0));
    let interval = match kind {
        BootstrapKind::Percentile => Interval::closed(low, high),
        BootstrapKind::Basic => Interval::closed(2.0 * effect - high, 2.0 * effect - low),
    };
    Ok(Resampled { effect, interval: finite_interval(interval)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Alternative;
    use crate::means::z_test;
    use crate::moments::Moments;

    const OPTIONS: Bootstrap = Bootstrap { kind: BootstrapKind::Percentile, resamples: 4000, alpha: 0.1 };

    fn sample(count: usize, seed: u64) -> Vec<f64> {
        let mut draws = Draws::seeded(seed);
        (0..count).map(|_| draws.exponential()).collect()
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |control: &[f64], q: f64, options: Bootstrap, expect: &str| {
            let error = bootstrap_quantile(control, &[1.0], q, options, &mut Draws::seeded(1)).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(&[], 0.5, OPTIONS, "control has no values");
        check(&[f64::NAN], 0.5, OPTIONS, "NaN");
        check(&[1.0], 1.5, OPTIONS, "q is 1.5");
        check(&[1.0], 0.5, Bootstrap { resamples: 5, ..OPTIONS }, "5 resamples");
        check(&[1.0], 0.5, Bootstrap { alpha: 0.0, ..OPTIONS }, "alpha");
        let many = vec![1.0; 3000];
        let error = bootstrap_mean(&many, &many, Bootstrap { resamples: 1_000_000, ..OPTIONS }, &mut Draws::seeded(1));
        assert!(error.unwrap_err().why.contains("too many to draw"));
    }

    /// For means of many values both kinds come near the normal interval; the same seed gives the same bytes.
    #[test]
    fn means_are_nearly_normal() {
        let (control, variant) = (sample(400, 1), sample(500, 2));
        let moments = |values: &[f64]| Moments::from_values(values);
        let normal = z_test(&moments(&control), &moments(&variant), Alternative::TwoSided, 0.1).unwrap();
        for kind in [BootstrapKind::Percentile, BootstrapKind::Basic] {
            let run = || bootstrap_mean(&control, &variant, Bootstrap { kind, ..OPTIONS }, &mut Draws::seeded(3)).unwrap();
            let answer = run();
            assert_eq!(answer, run());
            assert!((answer.effect - normal.difference).abs() < 1e-12);
            for (end, expect) in [(answer.interval.lower, normal.interval.lower), (answer.interval.upper, normal.interval.upper)]
            {
                assert!((end.unwrap() - expect.unwrap()).abs() < 0.15 * normal.standard_error, "{answer:?} {normal:?}");
            }
        }
    }

    /// Drawing two order statistics is drawing the whole resample: the distribution of a resampled 0.8-quantile of ten values
    /// against full resampling, by its mean and spread.
    #[test]
    fn two_order_statistics_are_enough() {
        let values = sorted(&sample(10, 5));
        let mut draws = Draws::seeded(7);
        let full: Vec<f64> = (0..20_000)
            .map(|_| {
                let drawn: Vec<f64> = (0..10).map(|_| values[draws.below(10) as usize]).collect();
                quantile_of_sorted(&sorted(&drawn), 0.83)
            })
            .collect();
        let full = sorted(&full);
        for alpha in [0.05, 0.2, 0.6] {
            let options = Bootstrap { resamples: 20_000, alpha, ..OPTIONS };
            let short = bootstrap_quantile(&[0.0], &values, 0.83, options, &mut Draws::seeded(9)).unwrap();
            for (end, q) in [(short.interval.lower, alpha / 2.0), (short.interval.upper, 1.0 - alpha / 2.0)] {
                let (low, high) = (quantile_of_sorted(&full, q - 0.015), quantile_of_sorted(&full, q + 0.015));
                assert!((low..=high).contains(&end.unwrap()), "{alpha} {q} {end:?} {low} {high}");
            }
        }
    }
}
