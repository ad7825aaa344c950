//! Numbers that the tests of spotify-confidence hold, beside those next to the functions themselves.

use stats::adjusted::{Shape, compare};
use stats::means::z_test;
use stats::sequential::group::{Sides, Spending, boundaries};
use stats::tail::normal_upper;
use stats::{Alternative, CoMoments, Moments, non_inferior, sample_ratio, two_proportion};

/// Equal to three decimals, as numpy's `assert_almost_equal` has it.
fn near(actual: f64, expect: f64) {
    assert!((actual - expect).abs() < 1.5e-3, "{actual} is not {expect}");
}

fn moments(count: u64, sum: f64, sum_squares: f64) -> Moments {
    Moments::from_sums(count, sum, sum_squares).unwrap()
}

/// The boundaries of the peer, α t² spent, for the information at each look.
fn bounds(alpha: f64, sides: Sides, fractions: &[f64]) -> Vec<f64> {
    boundaries(Spending::Power { exponent: 2.0 }, alpha, sides, fractions).unwrap().critical_values
}

/// `test_ztest.py::TestSequentialOneSided`: 2,500 of 10,000 recipients at the first look, α .01, one side.
#[test]
fn sequential_one_sided() {
    let test = z_test(&moments(1250, 2510.0, 6304.0), &moments(1250, -2492.0, 6163.0), Alternative::Greater, 0.01).unwrap();
    near(test.difference, -4.001416);
    near(test.difference - bounds(0.01, Sides::One, &[0.25])[0] * test.standard_error, -4.129515314002298);
}

/// `test_ztest.py::TestSequentialTwoSided`: the same look on both sides.
#[test]
fn sequential_two_sided() {
    let test = z_test(&moments(1250, 2510.0, 6304.0), &moments(1250, 2492.0, 6163.0), Alternative::TwoSided, 0.01).unwrap();
    let reach = bounds(0.01, Sides::Two, &[0.25])[0] * test.standard_error;
    near(test.difference, -0.0149);
    near(test.difference - reach, -0.151);
    near(test.difference + reach, 0.121);
}

/// `test_ztest.py::TestSequentialOneSidedThreeGroups`: two looks, two treatments that share α .05 (two-sided despite its name);
/// the information is that of a comparison, out of 10,000 recipients.
#[test]
fn sequential_three_groups() {
    let control = [moments(500, 1000.0, 3000.0), moments(1000, 2000.0, 6000.0)];
    let treatments = [
        [moments(1000, 1000.0, 6000.0), moments(2000, 2000.0, 12_000.0)],
        [moments(1500, 1000.0, 12_000.0), moments(3000, 2000.0, 24_000.0)],
    ];
    let expect = [[(-1.327445, -0.6725549), (-1.209182, -0.7908185)], [(-1.646339, -1.0203281), (-1.531049, -1.1356181)]];
    for (treatment, expect) in treatments.iter().zip(expect) {
        let fractions = [0, 1].map(|look: usize| (control[look].count + treatment[look].count) as f64 / 1e4);
        let reaches = bounds(0.025, Sides::Two, &fractions);
        for look in 0..2 {
            let test = z_test(&control[look], &treatment[look], Alternative::TwoSided, 0.05).unwrap();
            near(test.difference - reaches[look] * test.standard_error, expect[look].0);
            near(test.difference + reaches[look] * test.standard_error, expect[look].1);
        }
    }
}

/// `test_bounds.py::test_seq_bounds_run_over`: more recipients came than were planned, so the last look has all information;
/// two-sided levels of the looks to 1e-4.
#[test]
fn sequential_bounds_run_over() {
    let fractions = [250.0, 450.0, 630.0, 810.0].map(|total| total / 810.0);
    let levels = bounds(0.01, Sides::Two, &fractions).into_iter().map(|z| 2.0 * normal_upper(z));
    for (level, expect) in levels.zip([0.00095, 0.00241, 0.00410, 0.00636]) {
        assert!((level - expect).abs() < 1e-4, "{level} is not {expect}");
    }
}

/// `test_ztest.py::TestWithNims.test_one_sided_ztest_*` and `test_compare_series_non_inferiority_improve_postitive` and
/// `_negative`: a margin of 2 % is not shown to hold where more is better, and is where less is.
#[test]
fn with_nims() {
    let (control, treatment) = (moments(5000, 10_021.0, 25_142.0), moments(5000, 9892.0, 24_510.0));
    near(control.mean, 2.004210);
    let test = |alternative| z_test(&control, &treatment, alternative, 0.01).unwrap();
    let (greater, less) = (test(Alternative::Greater), test(Alternative::Less));
    near(greater.difference, -0.0258);
    near(greater.interval.lower.unwrap(), -0.0723);
    near(less.interval.upper.unwrap(), 0.0207);
    assert!(greater.interval.upper.is_none() && less.interval.lower.is_none());
    assert!(greater.p_value > 0.01 && less.p_value > 0.01);
    let margin = |lower_is_better| non_inferior(&control, &treatment, 0.02, lower_is_better, 0.01).unwrap();
    assert!(!margin(false).shown && margin(true).shown);
}

/// `test_ztest.py::TestNimsWithNaN`: rates with no margin, with a direction alone and with a margin of 500 % all have an answer.
#[test]
fn nims_with_nan() {
    let arm = |count, successes| stats::Proportion { count, successes };
    for treatment in [arm(253_656, 89_992), arm(252_328, 89_108)] {
        assert!(two_proportion(arm(252_934, 89_984), treatment, 0.01).is_ok());
    }
    let of = |count, successes| Moments::from_successes(count, successes);
    for treatment in [of(465_726, 5867), of(465_194, 5896)] {
        assert!(!non_inferior(&of(464_640, 5815), &treatment, 0.0, true, 0.01).unwrap().shown);
    }
    for treatment in [of(464_487, 13_688), of(464_059, 13_505)] {
        assert!(non_inferior(&of(463_493, 13_928), &treatment, 5.0, false, 0.01).unwrap().shown);
    }
}

/// `test_chisquared.py::TestCategorical.test_sample_ratio_test` and `TestOrdinal.test_sample_ratio_test`, which compare with
/// `scipy.stats.chisquare`: 777.80689195707 and 28.99568064843617.
#[test]
fn sample_ratio_test() {
    let test = sample_ratio(&[1009, 104, 1502, 100, 100, 150], &[0.35, 0.04, 0.52, 0.035, 0.0035, 0.0515]).unwrap();
    assert!((test.statistic / 777.8068919570745 - 1.0).abs() < 1e-12 && test.degrees_of_freedom == 5);
    assert!((test.p_value / 7.31442008406888e-166 - 1.0).abs() < 1e-10, "{test:?}");
    let observed = [1010, 22, 150, 1000, 20, 153, 1030, 23, 154, 1000, 20, 150, 1040, 21, 155];
    let weights = [0.15, 0.004, 0.025, 0.168, 0.003, 0.026, 0.173, 0.004, 0.026, 0.168, 0.003, 0.025, 0.195, 0.004, 0.026];
    let test = sample_ratio(&observed, &weights).unwrap();
    assert!((test.statistic / 28.99568064843617 - 1.0).abs() < 1e-12);
    assert!((test.p_value / 0.010464427137283358 - 1.0).abs() < 1e-12, "{test:?}");
    assert!(sample_ratio(&[1009, 104], &[1.1, -0.1]).is_err());
}

/// `test_ztest_linreg.py::TestUnivariateSingleMetric.test_parameters_univariate`: numpy's seed 123, 10,000 recipients, outcome
/// 0.5 d + 0.5 x + noise; the covariate's sums are of x − 100. Regression on x, then of its residuals on the arm.
#[test]
fn linreg_parameters_univariate() {
    let arm = |count, sums: [f64; 2], products: [f64; 3]| CoMoments::from_sums(count, &sums, &products).unwrap();
    let control = arm(5028, [251386.82121101825, 78.72282553255461], [12574776.565189883, 6368.888974425777, 5203.654265205447]);
    let treatment =
        arm(4972, [251119.93758153776, 152.7535068628128], [12689396.31173505, 10210.152207980964, 4954.928014112587]);
    let found = compare(&control, &treatment, Shape::Mean, 1, 0.01).unwrap();
    assert!((found.slopes[0] / 0.4872539950231632 - 1.0).abs() < 1e-4, "{found:?}");
    assert!((found.absolute.difference / 0.502105918646844 - 1.0).abs() < 1e-5, "{found:?}");
    assert!((found.absolute.standard_error / 0.01982698987908626 - 1.0).abs() < 1e-3, "{found:?}");
}
