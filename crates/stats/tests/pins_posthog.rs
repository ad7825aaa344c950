//! Numbers that PostHog's tests in `products/experiments/stats/tests` hold.

use stats::adjusted::named::{ArmEstimate, cuped_by_delta, independent, relative_by_delta};
use stats::adjusted::{Shape, compare};
use stats::means::relative::{proportion_relative_delta, relative_delta};
use stats::means::welch_test;
use stats::posterior::{EffectPosterior, EffectPrior, effect_posterior};
use stats::{Alternative, CoMoments, Moments, Proportion};

fn near(actual: f64, expect: f64, tolerance: f64) {
    assert!((actual - expect).abs() <= tolerance, "{actual} is not {expect}");
}

fn moments(count: u64, sum: f64, sum_squares: f64) -> Moments {
    Moments::from_sums(count, sum, sum_squares).unwrap()
}

/// `test_frequentist.py::TestTwoSidedTTest.test_two_sided_ttest_with_ratio_statistic`: four places.
#[test]
fn two_sided_ttest_with_ratio_statistic() {
    let arm = |count, sum: f64, squares, denominator: f64| {
        CoMoments::from_sums(count, &[sum, denominator], &[squares, sum, denominator]).unwrap()
    };
    let treatment = arm(2034, 99673.9364269569, 11298745.182728939, 947.0);
    let control = arm(1966, 94605.79858780127, 10463129.505392816, 936.0);
    let found = compare(&control, &treatment, Shape::Ratio, 0, 0.05).unwrap();
    let relative = relative_by_delta(&found.pair, 0.05).unwrap();
    near(relative.difference, 0.041333, 5e-5);
    near(relative.p_value, 0.0032826, 5e-7);
    near(relative.interval.lower.unwrap(), 0.01378609, 5e-5);
    near(relative.interval.upper.unwrap(), 0.0689, 5e-5);
}

/// `test_bayesian.py::TestBayesianMethod.test_realistic_example`: four places.
#[test]
fn bayesian_realistic_example() {
    let (control, treatment) = (moments(2507, 1196.87, 37377.9767), moments(2461, 1922.7, 94698.29));
    let lift = relative_delta(&control, &treatment, Alternative::TwoSided, 0.05).unwrap();
    let posterior = effect_posterior(lift.difference, lift.standard_error, None).unwrap();
    let interval = posterior.interval(0.05).unwrap();
    near(posterior.mean, 0.63646, 5e-5);
    near(interval.lower.unwrap(), -0.0873, 5e-5);
    near(interval.upper.unwrap(), 1.36026, 5e-5);
    near(posterior.chance_to_win(false), 0.95759, 5e-5);
}

/// `test_bayesian.py::TestBayesianUtils`: effect sizes, the posterior between prior and data, chances, intervals and risks.
#[test]
fn bayesian_utils() {
    let absolute = welch_test(&moments(100, 500.0, 2550.0), &moments(100, 550.0, 3050.0), Alternative::TwoSided, 0.05).unwrap();
    near(absolute.difference, 0.5, 1e-10);
    let variance = (3050.0 - 3025.0) / 99.0 / 100.0 + (2550.0 - 2500.0) / 99.0 / 100.0;
    near(absolute.standard_error.powi(2), variance, 1e-12);
    let (control, treatment) = (Proportion { count: 1000, successes: 100 }, Proportion { count: 1000, successes: 110 });
    let relative = proportion_relative_delta(control, treatment, Alternative::TwoSided, 0.05).unwrap();
    near(relative.difference, 0.1, 1e-10);
    let flat = effect_posterior(0.1, 0.1, None).unwrap();
    assert_eq!((flat.mean, flat.sd), (0.1, 0.1));
    let informed = effect_posterior(0.1, 0.1, Some(EffectPrior { mean: 0.05, variance: 0.02 })).unwrap();
    assert!((0.05..0.1).contains(&informed.mean) && informed.sd * informed.sd < 0.01);
    let sure = |mean| EffectPosterior { mean, sd: 0.01 };
    assert!(sure(0.1).chance_to_win(false) > 0.99 && sure(-0.1).chance_to_win(false) < 0.01);
    assert!(sure(-0.1).chance_to_win(true) > 0.99);
    let width = |alpha| {
        let interval = EffectPosterior { mean: 0.1, sd: 0.05 }.interval(alpha).unwrap();
        interval.upper.unwrap() - interval.lower.unwrap()
    };
    assert!(width(0.05) > 0.15 && width(0.01) > width(0.05));
    let loss = EffectPosterior { mean: 0.05, sd: 0.02 }.expected_loss(false);
    assert!(loss.control > loss.treatment && loss.treatment >= 0.0);
    for variance in [-1.0, 0.0] {
        assert!(effect_posterior(0.1, 0.1, Some(EffectPrior { mean: 0.0, variance })).is_err());
    }
}

/// The arms of `test_cuped.py::TestCupedReferenceData`: outcome, covariate, and the sums of their products.
fn arm(count: u64, sums: [f64; 2], products: [f64; 3]) -> CoMoments {
    CoMoments::from_sums(count, &sums, &products).unwrap()
}

fn reference() -> [CoMoments; 3] {
    [
        arm(2801, [280.0, 195.0], [560.0, -18.0, 390.0]),
        arm(2800, [205.0, 110.0], [510.0, -8.0, 380.0]),
        arm(3500, [420.0, 280.0], [840.0, -25.0, 560.0]),
    ]
}

/// `test_cuped.py::TestCupedReferenceData`: `test_adjust_group_*`, `test_covariance_computation` and
/// `test_theta_pooled_identical_groups`.
#[test]
fn cuped_of_one_group() {
    let group = arm(5, [14.0, 28.5], [48.0, 85.2, 520.3]);
    let adjusted = |theta: f64| group.combined(&[1.0, -theta]);
    near(adjusted(0.0).mean, 2.8, 5e-10);
    near(adjusted(0.0).variance().unwrap(), 2.2, 5e-10);
    near(adjusted(0.31).mean, 1.033, 5e-6);
    near(adjusted(0.31).variance().unwrap(), 9.960346, 5e-5);
    near(group.covariance(0, 1).unwrap(), 1.35, 5e-10);
    near(compare(&group, &group, Shape::Mean, 1, 0.05).unwrap().slopes[0], 0.015090122, 5e-8);
}

/// `test_cuped.py::TestCupedReferenceData.test_mean_metric_theta_and_adjusted_stats`. The peer takes the covariate's own mean
/// from an arm's mean, here its distance from that of both arms, so that adjusted means differ by the same number in both.
#[test]
fn cuped_theta_and_adjusted_means() {
    let [control, treatment, _] = reference();
    let found = compare(&control, &treatment, Shape::Mean, 1, 0.05).unwrap();
    near(control.mean(0), 0.099964299, 5e-8);
    near(treatment.mean(0), 0.073214286, 5e-8);
    let theta = found.slopes[0];
    near(theta, -0.069566052, 5e-8);
    near(control.combined(&[1.0, -theta]).mean, 0.104807347, 5e-8);
    near(treatment.combined(&[1.0, -theta]).mean, 0.075947238, 5e-8);
    near(found.mean_treatment - found.mean_control, 0.075947238 - 0.104807347, 1e-8);
    assert!(found.variance_removed > 0.0);
}

/// `test_cuped.py::TestCupedReferenceData.test_mean_metric_relative_effect` and `_bayesian`. The peer divides the adjusted
/// difference by control's unadjusted mean, but takes the interval's width as if the ratio were that of the treatment's mean,
/// adjusted to a covariate of zero, to control's unadjusted one: a ratio of .7597, where the effect says .7113. Its ends come
/// out with that ratio; the linearisation of the effect itself is narrower by a seventieth.
#[test]
fn cuped_relative_effect() {
    let [control, treatment, _] = reference();
    let (theta, relative) = cuped_by_delta(&control, &treatment, 0.05).unwrap();
    near(relative.difference, -0.288704169, 5e-6);
    let arm = |moments: &CoMoments, estimate: f64| {
        let variance_per_unit = moments.combined(&[1.0, -theta]).variance().unwrap();
        ArmEstimate { count: moments.count, estimate, variance_per_unit }
    };
    let at_zero = treatment.combined(&[1.0, -theta]).mean;
    let theirs = independent(&arm(&control, control.mean(0)), &arm(&treatment, at_zero)).unwrap();
    let theirs = relative_by_delta(&theirs, 0.05).unwrap();
    let moved = relative.difference - theirs.difference;
    near(theirs.interval.lower.unwrap() + moved, -0.486775, 5e-6);
    near(theirs.interval.upper.unwrap() + moved, -0.090633, 5e-6);
    let posterior = effect_posterior(relative.difference, theirs.standard_error, None).unwrap().interval(0.05).unwrap();
    near(posterior.lower.unwrap(), -0.486732, 5e-6);
    near(posterior.upper.unwrap(), -0.090676, 5e-6);
    near(relative.standard_error / theirs.standard_error, 1.0 - 1.0 / 70.0, 2e-3);
}

/// `test_cuped.py::TestCupedReferenceData.test_binomial_metric`.
#[test]
fn cuped_binomial_metric() {
    let control = arm(2801, [280.0, 195.0], [280.0, -18.0, 195.0]);
    let treatment = arm(2800, [205.0, 110.0], [205.0, -8.0, 110.0]);
    let found = compare(&control, &treatment, Shape::Mean, 1, 0.05).unwrap();
    assert!(found.variance_removed > 0.0);
    let (_, relative) = cuped_by_delta(&control, &treatment, 0.05).unwrap();
    assert!(relative.p_value < 0.05 && relative.difference < 0.0);
}

/// `test_cuped.py::TestCupedReferenceData.test_three_armed_adjusted_stddev`.
#[test]
fn cuped_three_armed_deviations() {
    let [control, one, two] = reference();
    let deviation = |arm: &CoMoments, partner: &CoMoments| {
        let theta = compare(&control, partner, Shape::Mean, 1, 0.05).unwrap().slopes[0];
        arm.combined(&[1.0, -theta]).variance().unwrap().sqrt()
    };
    near(deviation(&control, &two), 0.434365539, 5e-6);
    near(deviation(&one, &one), 0.420353709, 5e-6);
    near(deviation(&two, &two), 0.473119119, 5e-6);
}

/// `test_cuped.py::TestComputeTheta.test_theta_with_known_correlation` and
/// `TestCupedAdjust.test_variance_reduction_with_correlated_data`: the sums of numpy's default_rng(42), outcome twice the
/// covariate, treatment half a unit above.
#[test]
fn cuped_with_known_correlation() {
    let control =
        arm(1000, [19510.270856461633, 9755.864935751819], [418371.99357001163, 208786.21199782047, 104431.28968930767]);
    let same = arm(1000, [19860.351898826622, 9913.32534701216], [431023.8793168259, 214569.6910396081, 107072.16650026111]);
    near(compare(&control, &same, Shape::Mean, 1, 0.05).unwrap().slopes[0], 2.0, 0.05);
    let better = arm(1000, [20360.351898826622, 9913.32534701216], [451134.2312156525, 219526.3537131142, 107072.16650026111]);
    let found = compare(&control, &better, Shape::Mean, 1, 0.05).unwrap();
    near(found.slopes[0], 2.0, 0.05);
    assert!(found.variance_removed > 0.5 && found.absolute.interval.contains(0.5));
    let unadjusted = compare(&arm1(&control), &arm1(&better), Shape::Mean, 0, 0.05).unwrap();
    assert!(found.absolute.standard_error < unadjusted.absolute.standard_error);
}

/// An arm without its covariate.
fn arm1(arm: &CoMoments) -> CoMoments {
    CoMoments::from_centred(arm.count, vec![arm.mean(0)], vec![arm.product(0, 0)])
}

/// `test_cuped.py::TestComputeTheta.test_theta_zero_when_no_pre_variance` and
/// `TestCupedAdjust.test_no_adjustment_when_zero_pre_variance`: a covariate of five everywhere adjusts nothing.
#[test]
fn cuped_without_variance_before() {
    let (control, treatment) =
        (arm(100, [480.0, 500.0], [2800.0, 2400.0, 2500.0]), arm(100, [500.0, 500.0], [3000.0, 2500.0, 2500.0]));
    let found = compare(&control, &treatment, Shape::Mean, 1, 0.05).unwrap();
    assert_eq!((found.slopes, found.variance_removed), (vec![0.0], 0.0));
    near(found.mean_control, 4.8, 1e-12);
    near(found.mean_treatment, 5.0, 1e-12);
}
