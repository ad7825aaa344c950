//! Numbers that the tests of statsmodels, scipy, confseq and ssrm-test hold, with the libraries they were taken from.

use stats::adjusted::least_squares::least_squares;
use stats::hierarchy::random_effects::{BetweenVariance, meta_analysis};
use stats::multiplicity::Procedure;
use stats::power::{Design, Reference, Scale, power_anova, power_goodness_of_fit};
use stats::sequential::confidence::{log_e_value, rho};
use stats::sequential::mixture::{normal_mixture_bound, normal_mixture_bound_one_sided};
use stats::{Alternative, SequentialSampleRatio};

fn near(actual: f64, expect: f64, tolerance: f64) {
    assert!((actual - expect).abs() <= tolerance, "{actual} is not {expect}");
}

fn adjusted(procedure: Procedure, p_values: &[f64], expect: &[f64], tolerance: f64) {
    let found = procedure.adjust(p_values);
    assert_eq!(found.len(), expect.len());
    for (actual, expect) in found.into_iter().zip(expect) {
        assert!((actual - expect).abs() <= tolerance, "{procedure:?}: {actual} is not {expect}");
    }
}

/// The columns Bonferroni, Holm, Hochberg, SidakSS, SidakSD, BH and BY of R's multtest.
const MULTTEST: [Procedure; 7] = [
    Procedure::Bonferroni,
    Procedure::Holm,
    Procedure::Hochberg,
    Procedure::Sidak,
    Procedure::HolmSidak,
    Procedure::BenjaminiHochberg,
    Procedure::BenjaminiYekutieli,
];

/// statsmodels `stats/tests/test_multi.py::TestMultiTests1.test_multi_pvalcorrection_rmethods`, against R's multtest.
#[test]
fn multi_tests_1() {
    #[rustfmt::skip]
    const ROWS: [[f64; 8]; 10] = [
        [5.23656777208e-05, 0.000523656777208, 0.000523656777208, 0.000523656777208,
         0.0005235333970489142, 0.0005235333970489142, 0.000523656777208, 0.0015337740764175588],
        [0.00028140506198, 0.0028140506197999998, 0.00253264555782, 0.00253264555782,
         0.0028104897961789277, 0.0025297966317768816, 0.0014070253098999999, 0.004121132465226944],
        [0.0149877310796, 0.149877310796, 0.1199018486368, 0.1199018486368,
         0.14016246580579017, 0.11379719679449507, 0.04995910359866667, 0.14632862843720582],
        [0.0202732688798, 0.202732688798, 0.1419128821586, 0.1419128821586,
         0.18520270949069695, 0.13356756197485375, 0.0506831721995, 0.14844940238274187],
        [0.177096952723, 1.0, 1.0, 0.967833824309,
         0.8576076342605613, 0.6894782512235664, 0.354193905446, 1.0],
        [0.642193923795, 1.0, 1.0, 0.967833824309,
         0.9999656064413357, 0.9941353978255707, 0.8953367279750001, 1.0],
        [0.680845947633, 1.0, 1.0, 0.967833824309,
         0.9999890351263574, 0.9941353978255707, 0.8953367279750001, 1.0],
        [0.71626938238, 1.0, 1.0, 0.967833824309,
         0.9999966188687147, 0.9941353978255707, 0.8953367279750001, 1.0],
        [0.838541367553, 1.0, 1.0, 0.967833824309,
         0.9999999879603823, 0.9941353978255707, 0.9317126306144445, 1.0],
        [0.967833824309, 1.0, 1.0, 0.967833824309,
         0.9999999999999988, 0.9941353978255707, 0.967833824309, 1.0],
    ];
    let raw = ROWS.map(|row| row[0]);
    for (column, procedure) in MULTTEST.into_iter().enumerate() {
        adjusted(procedure, &raw, &ROWS.map(|row| row[column + 1]), 1e-14);
    }
}

/// statsmodels `stats/tests/test_multi.py::TestMultiTests2` and `TestMultiTests3` (res_multtest2 and res_multtest3).
#[test]
fn multi_tests_2_and_3() {
    let raw = [0.002, 0.004, 0.006, 0.008, 0.01, 0.012];
    adjusted(Procedure::Bonferroni, &raw, &[0.012, 0.024, 0.036, 0.048, 0.06, 0.072], 1e-15);
    adjusted(Procedure::Holm, &raw, &[0.012, 0.02, 0.024, 0.024, 0.024, 0.024], 1e-15);
    adjusted(Procedure::Hochberg, &raw, &[0.012; 6], 1e-15);
    adjusted(
        Procedure::Sidak,
        &raw,
        &[
            0.01194015976019192,
            0.02376127616613988,
            0.03546430060660932,
            0.04705017875634587,
            0.058519850599,
            0.06987425045000606,
        ],
        1e-15,
    );
    adjusted(
        Procedure::HolmSidak,
        &raw,
        &[0.01194015976019192, 0.01984063872102404, 0.02378486270400004, 0.023808512, 0.023808512, 0.023808512],
        1e-15,
    );
    adjusted(Procedure::BenjaminiHochberg, &raw, &[0.012; 6], 1e-15);
    adjusted(Procedure::BenjaminiYekutieli, &raw, &[0.0294; 6], 1e-15);
    let raw = [0.001, 0.002, 0.003, 0.004, 0.005, 0.05, 0.06, 0.07, 0.08, 0.09];
    adjusted(Procedure::Holm, &raw, &[0.01, 0.018, 0.024, 0.028, 0.03, 0.25, 0.25, 0.25, 0.25, 0.25], 1e-15);
    adjusted(Procedure::Hochberg, &raw, &[0.01, 0.018, 0.024, 0.028, 0.03, 0.09, 0.09, 0.09, 0.09, 0.09], 1e-15);
    let fdr = [0.01, 0.01, 0.01, 0.01, 0.01, 0.08333333333333334, 0.0857142857142857, 0.0875, 0.0888888888888889, 0.09];
    adjusted(Procedure::BenjaminiHochberg, &raw, &fdr, 1e-15);
    let by = [
        0.02928968253968254,
        0.02928968253968254,
        0.02928968253968254,
        0.02928968253968254,
        0.02928968253968254,
        0.2440806878306878,
        0.2510544217687075,
        0.2562847222222222,
        0.260352733686067,
        0.2636071428571428,
    ];
    adjusted(Procedure::BenjaminiYekutieli, &raw, &by, 1e-15);
}

/// statsmodels `stats/tests/test_multi.py::test_hommel`, against R's p.adjust.
#[test]
fn hommel() {
    let raw = [
        0.00116, 0.00924, 0.01075, 0.01437, 0.01784, 0.01918, 0.02751, 0.02871, 0.03054, 0.03246, 0.04259, 0.06879, 0.0691,
        0.08081, 0.08593, 0.08993, 0.09386, 0.09412, 0.09718, 0.09758, 0.09781, 0.09788, 0.13282, 0.20191, 0.21757, 0.24031,
        0.26061, 0.26762, 0.29474, 0.32901, 0.41386, 0.51479, 0.52461, 0.53389, 0.56276, 0.62967, 0.72178, 0.73403, 0.87182,
        0.95384,
    ];
    let mut expect = vec![
        0.0464,
        0.25872,
        0.29025,
        0.3495714285714286,
        0.41032,
        0.44114,
        0.57771,
        0.60291,
        0.618954,
        0.6492,
        0.7402725,
        0.86749,
        0.86749,
        0.88891,
        0.8971477777777778,
        0.8993,
    ];
    expect.extend([0.9175375; 6]);
    expect.extend([0.95384; 18]);
    adjusted(Procedure::Hommel, &raw, &expect, 1e-14);
}

/// scipy `stats/tests/test_morestats.py::TestFDRControl.test_against_TileStats` and `test_against_R` (the p-values are numpy's
/// default_rng(6134137338861652935) through loguniform(0.001, 0.5)), and `test_edge_cases`.
#[test]
fn false_discovery_control() {
    let tile = [0.005, 0.009, 0.019, 0.022, 0.051, 0.101, 0.361, 0.387];
    adjusted(Procedure::BenjaminiHochberg, &tile, &[0.036, 0.036, 0.044, 0.044, 0.082, 0.135, 0.387, 0.387], 1e-3);
    let raw = [
        0.22155324617906308,
        0.0011400256607475624,
        0.016956141450127922,
        0.04105189560873919,
        0.05592919759227762,
        0.0036829815530863884,
        0.1403262673826463,
        0.04105189560873919,
        0.03648130302125419,
        0.254640823272164,
    ];
    let bh =
        [0.24617028, 0.0114003, 0.05652047, 0.06841983, 0.07989886, 0.0184149, 0.17540784, 0.06841983, 0.06841983, 0.25464082];
    let by =
        [0.72102493, 0.03339112, 0.16554665, 0.20039952, 0.23402122, 0.05393666, 0.51376399, 0.20039952, 0.20039952, 0.74583488];
    adjusted(Procedure::BenjaminiHochberg, &raw, &bh, 1e-6);
    adjusted(Procedure::BenjaminiYekutieli, &raw, &by, 1e-6);
    adjusted(Procedure::BenjaminiHochberg, &[0.25], &[0.25], 0.0);
    adjusted(Procedure::BenjaminiHochberg, &[], &[], 0.0);
}

/// Nine measurements of Kacker (2004): estimates and variances.
fn kacker() -> Vec<(f64, f64)> {
    let estimates = [61.00, 61.40, 62.21, 62.30, 62.34, 62.60, 62.70, 62.84, 65.90];
    let variances: [f64; 9] = [0.2025, 1.2100, 0.0900, 0.2025, 0.3844, 0.5625, 0.0676, 0.0225, 1.8225];
    estimates.into_iter().zip(variances).map(|(estimate, variance)| (estimate, variance.sqrt())).collect()
}

/// statsmodels `stats/tests/test_meta.py::TestMetaK1.test_dl`, `test_pm` and `test_tau_kacker`, against R's metafor: plain and
/// with Hartung & Knapp's error.
#[test]
fn meta_analysis_k1() {
    let check = |method, mean: f64, error: f64, ends: [f64; 2], between: f64| {
        let pooled = meta_analysis(&kacker(), method, 0.05).unwrap();
        near(pooled.mean, mean, 1e-10);
        near(pooled.standard_error, error, 1e-10);
        near(pooled.interval.lower.unwrap(), ends[0], 1e-9);
        near(pooled.interval.upper.unwrap(), ends[1], 1e-9);
        near(pooled.between_variance, between, 1e-10);
        near(pooled.q, 24.801897741835, 1e-10);
        near(pooled.q_p_value, 0.00167935146372742, 1e-12);
        near(pooled.i_squared, 0.67744403741711, 1e-10);
    };
    let dl = (62.3901386044504, 0.245749668040304, [61.9084781058787, 62.8717991030221], 0.288049246973751);
    check(BetweenVariance::DersimonianLaird, dl.0, dl.1, dl.2, dl.3);
    let pm = (62.4076199113286, 0.338030602684471, [61.7450921043947, 63.0701477182625], 0.705395309224248);
    check(BetweenVariance::PauleMandel, pm.0, pm.1, pm.2, pm.3);
    near(pm.3.sqrt(), 0.8399, 6e-5);
    let pooled = meta_analysis(&kacker(), BetweenVariance::DersimonianLaird, 0.05).unwrap();
    near(pooled.hartung_knapp_standard_error, 0.29477605699879, 1e-10);
    near(pooled.hartung_knapp_interval.lower.unwrap(), 61.710383798052, 1e-9);
    near(pooled.hartung_knapp_interval.upper.unwrap(), 63.0698934108488, 1e-9);
}

/// statsmodels `stats/tests/test_meta.py::TestMetaBinOR.test_basic`, against R's meta: log odds ratios of 17 studies.
#[test]
fn meta_analysis_of_odds_ratios() {
    let successes = [18, 22, 21, 14, 42, 80, 13, 37, 23, 19, 106, 170, 34, 18, 13, 12, 42];
    let treated = [19, 34, 72, 22, 70, 183, 26, 61, 36, 45, 246, 386, 59, 45, 14, 26, 74];
    let successes_control = [12, 12, 15, 5, 13, 33, 18, 30, 12, 14, 76, 46, 17, 3, 14, 10, 40];
    let controls = [22, 35, 68, 20, 32, 94, 50, 55, 25, 35, 208, 141, 32, 15, 18, 19, 75];
    let estimate = |i: usize| {
        let (a, b) = (f64::from(successes[i]), f64::from(treated[i] - successes[i]));
        let (c, d) = (f64::from(successes_control[i]), f64::from(controls[i] - successes_control[i]));
        ((a * d / b / c).ln(), (1.0 / a + 1.0 / b + 1.0 / c + 1.0 / d).sqrt())
    };
    let estimates: Vec<(f64, f64)> = (0..17).map(estimate).collect();
    near(estimates[0].0, 2.70805020110221, 1e-13);
    let pooled = meta_analysis(&estimates, BetweenVariance::DersimonianLaird, 0.05).unwrap();
    near(pooled.mean, 0.429520368698268, 1e-12);
    near(pooled.hartung_knapp_standard_error, 0.0915952752397692, 1e-12);
    near(pooled.hartung_knapp_interval.lower.unwrap(), 0.235347059333852, 1e-11);
    near(pooled.hartung_knapp_interval.upper.unwrap(), 0.623693678062684, 1e-11);
    near(pooled.q, 16.181374262823, 1e-11);
    near(pooled.q_p_value, 0.440375456698129, 1e-12);
    near(pooled.between_variance, 0.0016783981912744, 1e-12);
}

/// statsmodels' Longley regression (`regression/tests/test_regression.py::TestOLS.test_HC2_errors`; `test_robustcov.py` has
/// HC0 and HC1, which are not offered): coefficients of NIST, HC2 errors of Stata.
#[test]
fn heteroscedasticity_consistent_errors() {
    #[rustfmt::skip]
    const LONGLEY: [[f64; 7]; 16] = [
        [60323.0, 83.0, 234289.0, 2356.0, 1590.0, 107608.0, 1947.0],
        [61122.0, 88.5, 259426.0, 2325.0, 1456.0, 108632.0, 1948.0],
        [60171.0, 88.2, 258054.0, 3682.0, 1616.0, 109773.0, 1949.0],
        [61187.0, 89.5, 284599.0, 3351.0, 1650.0, 110929.0, 1950.0],
        [63221.0, 96.2, 328975.0, 2099.0, 3099.0, 112075.0, 1951.0],
        [63639.0, 98.1, 346999.0, 1932.0, 3594.0, 113270.0, 1952.0],
        [64989.0, 99.0, 365385.0, 1870.0, 3547.0, 115094.0, 1953.0],
        [63761.0, 100.0, 363112.0, 3578.0, 3350.0, 116219.0, 1954.0],
        [66019.0, 101.2, 397469.0, 2904.0, 3048.0, 117388.0, 1955.0],
        [67857.0, 104.6, 419180.0, 2822.0, 2857.0, 118734.0, 1956.0],
        [68169.0, 108.4, 442769.0, 2936.0, 2798.0, 120445.0, 1957.0],
        [66513.0, 110.8, 444546.0, 4681.0, 2637.0, 121950.0, 1958.0],
        [68655.0, 112.6, 482704.0, 3813.0, 2552.0, 123366.0, 1959.0],
        [69564.0, 114.2, 502601.0, 3931.0, 2514.0, 125368.0, 1960.0],
        [69331.0, 115.7, 518173.0, 4806.0, 2572.0, 127852.0, 1961.0],
        [70551.0, 116.9, 554894.0, 4007.0, 2827.0, 130081.0, 1962.0],
    ];
    // The intercept stands where the outcome stood; years are counted from their middle, as no software keeps ten digits of
    // the intercept otherwise.
    let middle = 1954.5;
    let rows = LONGLEY.map(|row| [1.0, row[1], row[2], row[3], row[4], row[5], row[6] - middle]);
    let fit = least_squares(&rows, &LONGLEY.map(|row| row[0])).unwrap();
    let coefficients =
        [15.0618722713733, -0.035819179292591, -2.02022980381683, -1.03322686717359, -0.0511041056535807, 1829.15146461355];
    let errors = [67.49208, 0.03653, 0.55334, 0.20522, 0.22324, 617.59295];
    for i in 0..6 {
        assert!((fit.coefficients[i + 1] / coefficients[i] - 1.0).abs() < 1e-7, "{fit:?}");
        near(fit.standard_errors[i + 1], errors[i], 5.1e-5);
    }
    near(fit.coefficients[0] - middle * fit.coefficients[6], -3482258.63459582, 1.0);
}

/// statsmodels `stats/tests/test_power.py::TestTTPowerTwoS1` to `TwoS6`, `TestNormalIndPower1` and `2`, `TestChisquarePower` and
/// `TestFtestAnovaPower`, against R's pwr and G*Power.
#[test]
fn power() {
    let check = |reference, alternative, ratio, n, effect, expect| {
        let design = Design {
            control_variance: 1.0,
            treatment_variance: 1.0,
            ratio,
            alpha: 0.05,
            alternative,
            reference,
            scale: Scale::Absolute,
        };
        near(design.power(n, effect).unwrap(), expect, 1e-7);
    };
    let (t, z) = (Reference::StudentT, Reference::Normal);
    let (both, greater) = (Alternative::TwoSided, Alternative::Greater);
    check(t, both, 1.0, 30.0, 1.0, 0.967708258242517);
    check(t, both, 1.0, 20.0, 0.1, 0.06095912465411235);
    check(t, greater, 1.0, 30.0, 1.0, 0.985459690251624);
    check(t, greater, 1.0, 30.0, 0.01, 0.0540740302835667);
    check(t, both, 1.5, 20.0, 0.1, 0.0633081832564667);
    check(t, greater, 1.5, 20.0, 0.1, 0.09623589080917805);
    check(z, both, 1.0, 80.0, 0.3, 0.475100870572638);
    check(z, Alternative::Less, 1.0, 80.0, 0.01, 0.0438089705093578);
    near(power_goodness_of_fit(0.1, 5.0, 5, 0.05).unwrap(), 0.05246644635810126, 1e-7);
    near(power_anova(0.25, 200.0, 10, 0.1592).unwrap(), 0.8408, 5e-5);
}

/// confseq `test/uniform_boundaries_unittest.cpp`: `TestTwoSidedNormalMixture` and the boundary of `TestOneSidedNormalMixture`,
/// against a reference in R.
#[test]
fn uniform_boundaries() {
    let rho = rho(0.05, 100.0).unwrap();
    near(1.0 / (rho * rho), 12.60056, 1e-5);
    // A sum of 10 at a variance of 100 is one standard error.
    near(log_e_value(1.0, 100.0, rho).unwrap(), -0.6510052, 1e-5);
    near(normal_mixture_bound(100.0, 0.05, 100.0).unwrap(), 30.35209, 1e-5);
    near(normal_mixture_bound_one_sided(100.0, 0.05, 100.0).unwrap(), 27.66071, 1e-5);
}

/// ssrm-test 0.1.5 `test_regression`: numpy's seed 0, ten recipients one by one, a concentration of 10,000; and
/// `test_accumulator` and `test_p_values_decreasing_and_in_range`: one by one is as good as all at once, and p only falls.
#[test]
fn ssrm_regression() {
    let arms = [2, 2, 2, 2, 0, 2, 2, 0, 1, 2];
    let mut test = SequentialSampleRatio::new(&[0.1, 0.5, 0.4], 10_000.0).unwrap();
    let one = |arm: usize| [0, 1, 2].map(|other| u64::from(other == arm));
    let looks: Vec<_> = arms.into_iter().map(|arm| test.observe(&one(arm)).unwrap()).collect();
    assert!(looks.windows(2).all(|pair| pair[1].p_value <= pair[0].p_value));
    let last = looks.last().unwrap();
    let factor = last.log_bayes_factor.exp();
    near(factor, 1.0017496120131435, 1e-9);
    near(factor / (1.0 + factor), 0.5004370206949569, 1e-9);
    near(last.p_value, 0.9980534145723241, 1e-9);
    let whole = SequentialSampleRatio::new(&[0.1, 0.5, 0.4], 10_000.0).unwrap().observe(&[2, 1, 7]).unwrap();
    near(whole.log_bayes_factor, last.log_bayes_factor, 1e-9);
}

/// ssrm-test `test_srm_test`: posterior probabilities of a mismatch lie between 0 and 1, recipient by recipient and by day.
#[test]
fn ssrm_mismatch_probability() {
    let check = |looks: &[[u64; 3]]| {
        let mut test = SequentialSampleRatio::new(&[0.4, 0.4, 0.2], 10_000.0).unwrap();
        let last = looks.iter().map(|look| test.observe(look).unwrap()).last().unwrap();
        let odds = last.log_bayes_factor.exp();
        assert!((0.0..=1.0).contains(&(odds / (1.0 + odds))) && (0.0..=1.0).contains(&last.p_value));
    };
    check(&[[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]);
    check(&[[20, 17, 9], [18, 21, 8], [4, 6, 4], [18, 19, 11]]);
}
