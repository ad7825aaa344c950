//! Relative differences by linearisation and on the logarithmic scale.
//!
//! Both are what other platforms show and are offered for comparison with them. For rare, skewed outcomes their intervals
//! miss too often; [`crate::fieller_lift`] is the one to decide by.

use serde::{Deserialize, Serialize};

use super::welch_test;
use crate::answer::{Alternative, Degenerate, Interval, finite, finite_interval};
use crate::effect::{Arm, Effect, contrast, quantile_upper};
use crate::moments::Moments;
use crate::proportions::Proportion;

/// A ratio of means less one, with an interval made on the logarithmic scale.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LogRatio {
    /// mean_B / mean_A − 1, a fraction.
    pub relative: f64,
    /// The standard error of the logarithm of the ratio.
    pub log_standard_error: f64,
    /// Of Welch's test of the absolute difference.
    pub p_value: f64,
    /// Of `relative`; open on the side a one-sided alternative does not look at.
    pub interval: Interval,
}

/// The relative difference (m_B − m_A)/|m_A| by the delta method: variance v_B/m_A² + v_A m_B²/m_A⁴ with v = s²/n, t with
/// the degrees of freedom of Welch's test. `alpha` lies between 0 and 1. Deng, Knoblich & Lu, "Applying the delta method
/// in metric analytics", KDD 2018.
///
/// # Errors
/// [`Degenerate`] when an arm has fewer than two values, control's mean is zero, neither arm varies, or a number is not
/// finite.
pub fn relative_delta(control: &Moments, variant: &Moments, alternative: Alternative, alpha: f64) -> Result<Effect, Degenerate> {
    linearised(&Arm::new("control", control)?, &Arm::new("the variant", variant)?, alternative, alpha)
}

/// The difference of proportions by Welch's t test, with the variance p(1 − p)/n of a proportion in each arm. `alpha` lies
/// between 0 and 1. Welch, Biometrika 34 (1947).
///
/// # Errors
/// [`Degenerate`] when an arm has fewer than two recipients or more successes than recipients, or neither arm varies.
pub fn proportion_welch(
    control: Proportion,
    variant: Proportion,
    alternative: Alternative,
    alpha: f64,
) -> Result<Effect, Degenerate> {
    let (control, variant) = (Arm::of_proportion("control", control)?, Arm::of_proportion("the variant", variant)?);
    let (standard_error, degrees_of_freedom) = contrast(&control, &variant, 1.0)?;
    Effect::new(variant.mean - control.mean, standard_error, Some(degrees_of_freedom), alternative, alpha)
}

/// As [`relative_delta`] for proportions, with the variance p(1 − p)/n in each arm.
///
/// # Errors
/// As [`proportion_welch`], and when nobody in control succeeded.
pub fn proportion_relative_delta(
    control: Proportion,
    variant: Proportion,
    alternative: Alternative,
    alpha: f64,
) -> Result<Effect, Degenerate> {
    let (control, variant) = (Arm::of_proportion("control", control)?, Arm::of_proportion("the variant", variant)?);
    linearised(&control, &variant, alternative, alpha)
}

fn linearised(control: &Arm, variant: &Arm, alternative: Alternative, alpha: f64) -> Result<Effect, Degenerate> {
    if control.mean == 0.0 {
        return Err(Degenerate::new("the mean of control is zero, so nothing is relative to it"));
    }
    let (_, degrees_of_freedom) = contrast(control, variant, 1.0)?;
    let ratio = variant.mean / control.mean;
    let variance = |arm: &Arm| (arm.variance_of_mean.sqrt() / control.mean.abs()).powi(2);
    let standard_error = (variance(variant) + ratio * ratio * variance(control)).sqrt();
    let effect = (variant.mean - control.mean) / control.mean.abs();
    Effect::new(effect, standard_error, Some(degrees_of_freedom), alternative, alpha)
}

/// The ratio of means r = m_B / m_A with the interval r exp(∓ t s) − 1, s² = v_A/m_A² + v_B/m_B² with v = s²/n, t at the
/// Welch–Satterthwaite degrees of freedom of these relative variances. The p-value is that of the absolute Welch test,
/// which near its threshold may disagree with the interval. Where the means have opposite signs the logarithm does not
/// exist: the formula then still gives numbers, whose ends change places, and only the p-value means something. `alpha`
/// lies between 0 and 1. Katz et al., Biometrics 34 (1978), for means; Casella & Berger, *Statistical Inference*, §5.5.
///
/// # Errors
/// [`Degenerate`] where Welch's test is, when a mean is zero, and when a number is not finite.
pub fn relative_log(control: &Moments, variant: &Moments, alternative: Alternative, alpha: f64) -> Result<LogRatio, Degenerate> {
    let p_value = welch_test(control, variant, alternative, alpha)?.p_value;
    let relative_to_own_mean = |name: &str, moments: &Moments| {
        let arm = Arm::new(name, moments)?;
        if arm.mean == 0.0 {
            return Err(Degenerate::new(format!("the mean of {name} is zero, and zero has no logarithm")));
        }
        let variance_of_mean = (arm.variance_of_mean.sqrt() / arm.mean).powi(2);
        Ok(Arm { variance_of_mean, ..arm })
    };
    let (control, variant) = (relative_to_own_mean("control", control)?, relative_to_own_mean("the variant", variant)?);
    let (log_standard_error, degrees_of_freedom) = contrast(&control, &variant, 1.0)?;
    let ratio = finite("ratio", variant.mean / control.mean)?;
    let reach = quantile_upper(alternative.alpha_per_tail(alpha), Some(degrees_of_freedom)) * log_standard_error;
    Ok(LogRatio {
        relative: ratio - 1.0,
        log_standard_error,
        p_value,
        interval: finite_interval(log_interval(ratio, reach, alternative))?,
    })
}

/// ratio · exp(∓ reach) − 1, open where the alternative does not look. The interval of ln ratio around 0 is moved to the
/// scale of the ratio.
pub(crate) fn log_interval(ratio: f64, reach: f64, alternative: Alternative) -> Interval {
    let Interval { lower, upper } = alternative.interval(0.0, reach);
    let moved = |end: f64| ratio * end.exp() - 1.0;
    Interval { lower: lower.map(moved), upper: upper.map(moved) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(actual: f64, expect: f64, tolerance: f64) {
        assert!((actual - expect).abs() <= tolerance, "{actual} is not {expect}");
    }

    fn check_test(test: Effect, effect: f64, p_value: f64, interval: [Option<f64>; 2]) {
        check_digits(5.1e-6, test, effect, p_value, interval);
    }

    fn check_digits(tolerance: f64, test: Effect, effect: f64, p_value: f64, interval: [Option<f64>; 2]) {
        near(test.difference, effect, tolerance);
        near(test.p_value, p_value, tolerance);
        for (actual, expect) in [test.interval.lower, test.interval.upper].into_iter().zip(interval) {
            assert_eq!(actual.is_some(), expect.is_some());
            near(actual.unwrap_or_default(), expect.unwrap_or_default(), tolerance);
        }
    }

    /// The published fixture of several peers: revenue per recipient of 3,407 (or 3,000) against 3,461.
    fn fixture(count_control: u64) -> (Moments, Moments) {
        let moments = |count, sum, sum_squares| Moments::from_sums(count, sum, sum_squares).unwrap();
        (moments(count_control, 1396.87, 52_377.976_7), moments(3461, 2422.7, 134_698.29))
    }

    /// gbstats tests/frequentist/test_tests.py: TestTwoSidedTTest, TestOneSidedGreaterTTest, TestOneSidedLesserTTest.
    #[test]
    fn the_numbers_of_gbstats() {
        let (control, variant) = fixture(3407);
        let two_sided = Alternative::TwoSided;
        let relative = relative_delta(&control, &variant, two_sided, 0.05).unwrap();
        check_test(relative, 0.707_32, 0.061_91, [Some(-0.035_26), Some(1.449_89)]);
        near(relative.standard_error, 0.378_79, 5.1e-6);
        let absolute = welch_test(&control, &variant, two_sided, 0.05).unwrap();
        check_test(absolute, 0.29, 0.020_16, [Some(0.045_38), Some(0.534_62)]);
        let arm = |count, successes| Proportion { count, successes };
        let binomial = proportion_relative_delta(arm(28, 14), arm(30, 16), two_sided, 0.05).unwrap();
        check_test(binomial, 0.066_67, 0.807_07, [Some(-0.477_67), Some(0.611_01)]);
        let (control, variant) = fixture(3000);
        let check = |alternative, relative: f64, p_value, absolute: f64, absolute_p_value| {
            let ends = |end| if alternative == Alternative::Greater { [Some(end), None] } else { [None, Some(end)] };
            let test = relative_delta(&control, &variant, alternative, 0.05).unwrap();
            check_test(test, 0.503_361_085_856, p_value, ends(relative));
            let test = welch_test(&control, &variant, alternative, 0.05).unwrap();
            check_test(test, 0.234_376_666_667, absolute_p_value, ends(absolute));
        };
        check(Alternative::Greater, -0.045_136_675_850, 0.065_582_628_685, 0.020_791_480_063, 0.035_542_724_899);
        check(Alternative::Less, 1.051_858_847_563, 0.934_417_371_315, 0.447_961_853_270, 0.964_457_275_101);
    }

    /// PostHog products/experiments/stats/tests/test_frequentist.py: sample mean and sample proportion (its second arm is
    /// the control), equal to four places there.
    #[test]
    fn the_numbers_of_posthog() {
        let moments = |count, sum, sum_squares| Moments::from_sums(count, sum, sum_squares).unwrap();
        let (control, variant) = (moments(2507, 1196.87, 37_377.976_7), moments(2461, 1922.7, 94_698.29));
        let test = relative_delta(&control, &variant, Alternative::TwoSided, 0.05).unwrap();
        check_digits(5e-5, test, 0.636_46, 0.084_87, [Some(-0.0875), Some(1.360_48)]);
        let (control, variant) = (Proportion { count: 1529, successes: 87 }, Proportion { count: 1471, successes: 62 });
        let test = proportion_relative_delta(control, variant, Alternative::TwoSided, 0.05).unwrap();
        check_digits(5e-5, test, -0.259_25, 0.030_96, [Some(-0.494_75), Some(-0.023_76)]);
    }

    /// tea-tasting tests/metrics/test_mean.py: test_ratio_of_means_analyze_basic (orders per user of its 100 users of seed
    /// 42, as sums) and test_ratio_of_means_analyze_ratio_greater_equal_var (orders per session, linearised per user).
    #[test]
    fn the_numbers_of_tea_tasting() {
        let (control, variant) = (Moments::from_sums(53, 30.0, 58.0).unwrap(), Moments::from_sums(47, 18.0, 30.0).unwrap());
        let absolute = welch_test(&control, &variant, Alternative::TwoSided, 0.05).unwrap();
        near(absolute.difference, -0.183_059_012_444_801_27, 1e-14);
        near(absolute.statistic, -1.144_767_804_011_803_4, 1e-12);
        near(absolute.interval.lower.unwrap(), -0.500_435_936_032_698_4, 1e-10);
        near(absolute.interval.upper.unwrap(), 0.134_317_911_143_095_83, 1e-10);
        let relative = relative_log(&control, &variant, Alternative::TwoSided, 0.05).unwrap();
        near(relative.relative, -0.323_404_255_319_148_94, 1e-14);
        near(relative.p_value, 0.255_123_054_670_990_8, 1e-10);
        near(relative.interval.lower.unwrap(), -0.659_335_111_118_764_6, 1e-10);
        near(relative.interval.upper.unwrap(), 0.343_789_209_459_240_96, 1e-10);
        // Orders o and sessions s as sums n, Σo, Σo², Σs, Σs², Σos; per user the variance of (o − R s) / mean(s).
        let ratio = |n: f64, o: f64, oo: f64, s: f64, ss: f64, os: f64| {
            let ratio = o / s;
            let m2 = (oo - 2.0 * ratio * os + ratio * ratio * ss) / (s / n).powi(2);
            Moments { count: n as u64, mean: ratio, m2 }
        };
        let (control, variant) = (ratio(53.0, 30.0, 58.0, 105.0, 259.0, 80.0), ratio(47.0, 18.0, 30.0, 89.0, 205.0, 41.0));
        let pooled = super::super::student_test(&control, &variant, Alternative::Greater, 0.05).unwrap();
        near(pooled.statistic, -1.079_404_881_344_692_6, 1e-12);
        near(pooled.p_value, 0.858_471_634_752_513_2, 1e-12);
        near(pooled.interval.lower.unwrap(), -0.211_872_467_040_828_18, 1e-10);
        assert_eq!(pooled.interval.upper, None);
    }

    /// The first fixture of gbstats, own calculation with the normal quantile: Fieller (.0942, 1.7084), log (.105, 1.637).
    #[test]
    fn fieller_and_log_on_the_same_fixture() {
        let (control, variant) = fixture(3407);
        // The alpha at which t reaches as far as the normal at 5 %.
        let degrees_of_freedom = welch_test(&control, &variant, Alternative::TwoSided, 0.05).unwrap().degrees_of_freedom;
        let alpha = 2.0 * crate::tail::t_upper(crate::tail::normal_quantile_upper(0.025), degrees_of_freedom.unwrap());
        let fieller = crate::fieller_lift(&control, &variant, alpha).unwrap();
        near(fieller.interval.lower.unwrap(), 0.0942, 5.1e-5);
        near(fieller.interval.upper.unwrap(), 1.7084, 5.1e-5);
        let log = relative_log(&control, &variant, Alternative::TwoSided, alpha).unwrap();
        near(log.interval.lower.unwrap(), 0.105, 5.1e-4);
        near(log.interval.upper.unwrap(), 1.637, 5.1e-4);
    }

    #[test]
    fn a_negative_baseline_keeps_more_as_more() {
        let arm = |mean: f64| Moments { count: 1000, mean, m2: 999.0 };
        let test = relative_delta(&arm(-2.0), &arm(-1.0), Alternative::Greater, 0.05).unwrap();
        near(test.difference, 0.5, 1e-12);
        assert!(test.p_value < 1e-6 && test.interval.lower.unwrap() > 0.4);
        let mirrored = relative_delta(&arm(2.0), &arm(1.0), Alternative::Less, 0.05).unwrap();
        near(mirrored.statistic, -test.statistic, 1e-12);
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |control: (u64, u64), variant: (u64, u64), expect: &str| {
            let moments = |(count, successes)| Moments::from_successes(count, successes);
            let error = relative_delta(&moments(control), &moments(variant), Alternative::TwoSided, 0.05).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
            let arm = |(count, successes)| Proportion { count, successes };
            let error = proportion_relative_delta(arm(control), arm(variant), Alternative::TwoSided, 0.05).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check((500, 0), (500, 10), "mean of control is zero");
        check((500, 500), (500, 500), "neither arm varies");
        check((1, 1), (500, 10), "only one recipient");
        check((0, 0), (500, 10), "no recipient");
        check((500, 10), (500, 0), "nothing varies");
        let zero = relative_log(&Moments::from_successes(50, 5), &Moments::from_successes(50, 0), Alternative::TwoSided, 0.05);
        assert!(zero.unwrap_err().why.contains("the mean of the variant is zero"));
        let more = proportion_welch(
            Proportion { count: 5, successes: 6 },
            Proportion { count: 5, successes: 2 },
            Alternative::TwoSided,
            0.05,
        );
        assert!(more.unwrap_err().why.contains("more successes"));
    }

    proptest! {
        /// The unit of the metric does not matter, and no finite input gives NaN.
        #[test]
        fn scale_is_harmless(
            counts in (2..100_000_u64, 2..100_000_u64),
            means in (-10.0..10.0_f64, -10.0..10.0_f64),
            deviations in (0.0..50.0_f64, 0.01..50.0_f64),
            scale in prop::sample::select(vec![1e-80, 0.01, 1e6, 1e70]),
        ) {
            let arm = |count: u64, mean: f64, deviation: f64, scale: f64| {
                Moments { count, mean: mean * scale, m2: (deviation * scale).powi(2) * (count - 1) as f64 }
            };
            let arms = |scale| (arm(counts.0, means.0, deviations.0, scale), arm(counts.1, means.1, deviations.1, scale));
            let ((control, variant), (large, larger)) = (arms(1.0), arms(scale));
            let one = relative_delta(&control, &variant, Alternative::TwoSided, 0.05).unwrap();
            let other = relative_delta(&large, &larger, Alternative::TwoSided, 0.05).unwrap();
            prop_assert!((one.statistic - other.statistic).abs() <= 1e-9 * one.statistic.abs().max(1.0));
            prop_assert!((one.p_value - other.p_value).abs() <= 1e-9);
            if let Ok(log) = relative_log(&control, &variant, Alternative::TwoSided, 0.05) {
                prop_assert!(log.interval.lower.unwrap().is_finite() && log.interval.upper.unwrap().is_finite());
            }
        }

        #[test]
        fn no_number_gives_nan(count in 0..4_u64, means: (f64, f64), m2: (f64, f64), alpha: f64) {
            let (control, variant) = (Moments { count, mean: means.0, m2: m2.0 }, Moments { count: 3, mean: means.1, m2: m2.1 });
            for alternative in [Alternative::TwoSided, Alternative::Greater, Alternative::Less] {
                for test in [relative_delta, welch_test, super::super::student_test, super::super::z_test] {
                    if let Ok(test) = test(&control, &variant, alternative, alpha) {
                        prop_assert!(test.p_value.is_finite() && test.difference.is_finite());
                    }
                }
                if let Ok(log) = relative_log(&control, &variant, alternative, alpha) {
                    prop_assert!(log.relative.is_finite() && log.log_standard_error.is_finite());
                }
            }
        }
    }
}
