//! Numbers that tea-tasting's tests hold, beside those next to the functions themselves: its 100 users of seed 42.

use stats::adjusted::named::cuped_ratio;
use stats::adjusted::{Shape, compare};
use stats::multiplicity::Procedure;
use stats::numeric::Draws;
use stats::proportions::difference::{pooled_z_corrected, unpooled_z};
use stats::proportions::exact::fisher_exact;
use stats::proportions::table::{chi_square_test, g_test};
use stats::ratio::{BinomialVariant, sample_ratio_binomial};
use stats::samples::bootstrap::{Bootstrap, BootstrapKind, bootstrap_quantile};
use stats::{Alternative, CoMoments, Proportion};

fn near(actual: f64, expect: f64, tolerance: f64) {
    assert!((actual - expect).abs() <= tolerance, "{actual} is not {expect}");
}

/// As pytest's `approx`: a millionth.
fn approx(actual: f64, expect: f64) {
    near(actual, expect, 1e-6 * expect.abs());
}

/// `tests/test_aggr.py::test_aggregates_ratio_var`: means 5 and 4, variances 3 and 2, covariance 1, 100 users.
#[test]
fn aggregates_ratio_var() {
    let arm = CoMoments::from_centred(100, vec![5.0, 4.0], [3.0, 1.0, 2.0].map(|of: f64| of * 99.0).to_vec());
    let pair = compare(&arm, &arm, Shape::Ratio, 0, 0.05).unwrap().pair;
    near(pair.variance_control * 100.0, 0.2265625, 1e-12);
}

/// `tests/test_aggr.py::test_aggregates_ratio_cov`: the covariance of a/b and c/d from the four of their parts. It is seen in
/// the slope of one ratio on the other, with variances of 100 each (the test has none): 100/d² + 100 c²/d⁴ is that of c/d.
#[test]
fn aggregates_ratio_cov() {
    let products = [100.0, 0.0, 4.0, 3.0, 100.0, 2.0, 1.0, 100.0, 0.0, 100.0];
    let arm = CoMoments::from_centred(100, vec![8.0, 7.0, 6.0, 5.0], products.map(|of: f64| of * 99.0).to_vec());
    let theta = cuped_ratio(&arm, &arm, 0.05).unwrap().theta;
    near(theta * (100.0 / 25.0 + 100.0 * 36.0 / 625.0), -0.0146938775510204, 1e-14);
}

/// Revenue of the users who bought, control and treatment; 34 of 53 and 34 of 47 did not.
const REVENUE: [&[f64]; 2] = [
    &[
        4.65, 5.58, 5.62, 7.21, 7.26, 7.81, 10.12, 11.84, 12.06, 13.1, 13.52, 16.24, 17.32, 18.67, 19.16, 22.94, 23.34, 24.01,
        26.13,
    ],
    &[3.35, 4.18, 5.45, 6.49, 7.8, 9.93, 9.96, 10.11, 11.17, 21.02, 21.78, 49.26, 94.71],
];

/// `tests/metrics/test_resampling.py::test_quantile`: the 0.8-quantile and a one-sided 90 % interval. The peer's interval is of
/// 100 resamples of another generator, −11.44; quantiles of 4,000 resamples stand in its neighbourhood.
#[test]
fn quantile() {
    let revenue = |arm: usize, users: usize| {
        let mut values = vec![0.0; users - REVENUE[arm].len()];
        values.extend(REVENUE[arm]);
        values
    };
    let (control, treatment) = (revenue(0, 53), revenue(1, 47));
    near(stats::samples::quantile_of_sorted(&control, 0.8), 11.972, 1e-9);
    near(stats::samples::quantile_of_sorted(&treatment, 0.8), 6.282, 1e-9);
    let options = Bootstrap { kind: BootstrapKind::Percentile, resamples: 4000, alpha: 0.2 };
    let found = bootstrap_quantile(&control, &treatment, 0.8, options, &mut Draws::seeded(42)).unwrap();
    near(found.effect, -5.69, 1e-9);
    near(found.interval.lower.unwrap(), -11.43539999999998, 1.5);
}

/// p-values of three experiments: metrics 1 and 2, 2 and 3, 1 and 3.
const P_VALUES: [f64; 6] = [0.005, 0.06, 0.007, 0.04, 0.01, 0.03];

fn adjusted(procedure: Procedure, p_values: &[f64], expect: &[f64]) {
    for (actual, expect) in procedure.adjust(p_values).into_iter().zip(expect) {
        approx(actual, *expect);
    }
}

/// `tests/test_multiplicity.py::test_adjust_fdr_default`.
#[test]
fn adjust_fdr_default() {
    adjusted(Procedure::BenjaminiHochberg, &P_VALUES, &[0.02, 0.06, 0.02, 0.048, 0.02, 0.045]);
}

/// `tests/test_multiplicity.py::test_adjust_fdr_arbitrary_dependence`, `_single_experiment` and `_single_metric`.
#[test]
fn adjust_fdr_arbitrary_dependence() {
    adjusted(Procedure::BenjaminiYekutieli, &P_VALUES, &[0.049, 0.147, 0.049, 0.1176, 0.049, 0.11025]);
    adjusted(Procedure::BenjaminiYekutieli, &[0.005, 0.06], &[0.015, 0.09]);
    adjusted(Procedure::BenjaminiYekutieli, &[0.005, 0.01], &[0.015, 0.015]);
}

/// `tests/test_multiplicity.py::test_adjust_fwer_bonferroni`: Hochberg.
#[test]
fn adjust_fwer_bonferroni() {
    adjusted(Procedure::Hochberg, &P_VALUES, &[0.03, 0.06, 0.035, 0.06, 0.04, 0.06]);
}

/// `tests/test_multiplicity.py::test_adjust_fwer_default`: Hochberg with Šidák's bound.
#[test]
fn adjust_fwer_default() {
    let expect = [0.0296274906437343, 0.06, 0.0345134180118071, 0.06, 0.03940399, 0.06];
    adjusted(Procedure::HochbergSidak, &P_VALUES, &expect);
}

/// `tests/test_multiplicity.py::test_adjust_fwer_arbitrary_dependence` and `_arbitrary_dependence_bonferroni`: Holm with
/// Šidák's bound, and Holm.
#[test]
fn adjust_fwer_arbitrary_dependence() {
    let expect = [0.0296274906437343, 0.087327, 0.0345134180118071, 0.087327, 0.03940399, 0.087327];
    adjusted(Procedure::HolmSidak, &P_VALUES, &expect);
    adjusted(Procedure::Holm, &P_VALUES, &[0.03, 0.09, 0.035, 0.09, 0.04, 0.09]);
}

/// `tests/metrics/test_proportion.py::test_sample_ratio_analyze_binom`, `_norm_corr` and `_norm_no_corr`: 53 against 47.
#[test]
fn sample_ratio_analyze() {
    let p_value = |variant| sample_ratio_binomial(53, 47, 1.0, variant).unwrap();
    approx(p_value(BinomialVariant::Exact), 0.6172994135892521);
    approx(p_value(BinomialVariant::NormalContinuity), 0.6170750774519738);
    approx(p_value(BinomialVariant::Normal), 0.5485062355001472);
}

/// `tests/metrics/test_proportion.py::test_proportion_analyze_*`: 19 of 53 users bought, and 13 of 47.
#[test]
fn proportion_analyze() {
    let (control, variant) = (Proportion { count: 53, successes: 19 }, Proportion { count: 47, successes: 13 });
    let corrected = pooled_z_corrected(control, variant, Alternative::TwoSided, 0.05).unwrap();
    approx(corrected.difference, -0.08189482135688475);
    approx(corrected.interval.lower.unwrap(), -0.2851524037206986);
    approx(corrected.interval.upper.unwrap(), 0.12136276100692911);
    approx(corrected.p_value, 0.5083165530405196);
    let (relative, interval) = corrected.relative.unwrap();
    approx(relative, -0.22844344904815217);
    approx(interval.lower.unwrap(), -0.5884358933441386);
    approx(interval.upper.unwrap(), 0.44643204227351263);
    let less = pooled_z_corrected(control, variant, Alternative::Less, 0.05).unwrap();
    approx(less.interval.upper.unwrap(), 0.0919114073864812);
    approx(less.p_value, 0.2541582765202598);
    approx(less.relative.unwrap().1.upper.unwrap(), 0.3192513062736768);
    approx(unpooled_z(control, variant, Alternative::TwoSided, 0.05).unwrap().difference, -0.08189482135688475);
    approx(fisher_exact(control, variant, Alternative::TwoSided).unwrap(), 0.3999948918153569);
    approx(fisher_exact(control, variant, Alternative::Less).unwrap(), 0.2546303652212273);
    approx(g_test(&[control, variant]).unwrap().p_value, 0.37976268998844287);
    approx(chi_square_test(&[control, variant]).unwrap().p_value, 0.3809096823118986);
}
