//! Numbers that GrowthBook's tests hold for posteriors, quantiles and bandits.

use stats::Moments;
use stats::adaptive::{thompson_shares, top_two_shares};
use stats::adjusted::named::relative_by_delta;
use stats::means::relative::relative_delta;
use stats::means::welch_test;
use stats::posterior::{EffectPosterior, EffectPrior, NormalArm, effect_posterior, normal_standings};
use stats::quantiles::{QuantileArm, compare_quantiles, quantile_pair_floored};
use stats::{Alternative, Effect};

fn near(actual: f64, expect: f64, tolerance: f64) {
    assert!((actual - expect).abs() <= tolerance, "{actual} is not {expect}");
}

fn moments(count: u64, sum: f64, sum_squares: f64) -> Moments {
    Moments::from_sums(count, sum, sum_squares).unwrap()
}

fn relative(control: &Moments, variant: &Moments) -> Effect {
    relative_delta(control, variant, Alternative::TwoSided, 0.05).unwrap()
}

/// gbstats `bayesian/test_tests.py::TestNorm.test_bayesian_gaussian_ab_test` and `_informative`, from the sums.
#[test]
fn gaussian_ab_test() {
    let lift = relative(&moments(10, 100.0, 1002.25), &moments(10, 105.0, 1111.5));
    let check = |prior, mean: f64, ends: [f64; 2], chance: f64, risk: [f64; 2]| {
        let posterior = effect_posterior(lift.difference, lift.standard_error, prior).unwrap();
        let (interval, loss) = (posterior.interval(0.05).unwrap(), posterior.expected_loss(false));
        near(posterior.mean, mean, 5.1e-6);
        near(interval.lower.unwrap(), ends[0], 5.1e-6);
        near(interval.upper.unwrap(), ends[1], 5.1e-6);
        near(posterior.chance_to_win(false), chance, 5.1e-6);
        near(loss.control, risk[0], 5.1e-6);
        near(loss.treatment, risk[1], 5.1e-6);
    };
    check(None, 0.05, [-0.02, 0.12], 0.91923, [0.05131, 0.00131]);
    check(Some(EffectPrior { mean: 0.1, variance: 0.1 }), 0.05063, [-0.01893, 0.12019], 0.92315, [0.05186, 0.00123]);
}

/// gbstats `TestAnalyzeMetricDfBayesian.test_get_metric_dfs_new` and `test_get_metric_dfs_inverse`.
#[test]
fn analyze_metric_df_bayesian() {
    let lift = relative(&moments(100, 270.0, 848.79), &moments(120, 300.0, 869.0));
    let posterior = effect_posterior(lift.difference, lift.standard_error, None).unwrap();
    near(posterior.chance_to_win(false), 0.071834168, 5e-10);
    near(posterior.chance_to_win(true), 1.0 - 0.071834168, 5e-10);
    near(posterior.expected_loss(false).treatment, 0.075691131, 5e-10);
    near(posterior.expected_loss(true).treatment, 0.001617057, 5e-10);
}

/// gbstats `TestGaussianEffectRelativeAbsolutePriors.test_bayesian_effect_relative_effect`: the chance to win hardly depends on
/// whether the same relative prior is applied to the relative or, rescaled, to the absolute effect.
#[test]
fn gaussian_effect_relative_absolute_priors() {
    let (control, variant) = (moments(100, 1000.0, 200_000.0), moments(100, 1100.0, 200_005.0));
    let (lift, absolute) = (relative(&control, &variant), welch_test(&control, &variant, Alternative::TwoSided, 0.05).unwrap());
    let prior = EffectPrior { mean: 1.0, variance: 1.0 };
    let of_lift = effect_posterior(lift.difference, lift.standard_error, Some(prior)).unwrap();
    let of_absolute =
        effect_posterior(absolute.difference, absolute.standard_error, Some(prior.of_absolute(control.mean))).unwrap();
    near(of_lift.chance_to_win(false), of_absolute.chance_to_win(false), 0.005);
    // Without rescaling a difference of one would be believed, and the chance to win would be another one.
    let unscaled = effect_posterior(absolute.difference, absolute.standard_error, Some(prior)).unwrap();
    assert!((unscaled.chance_to_win(false) - of_lift.chance_to_win(false)).abs() > 0.01);
}

/// gbstats `TestGetRiskNumericalStability.test_extreme_mu_over_sigma_no_overflow`.
#[test]
fn risk_without_overflow() {
    let risk = |mean: f64| EffectPosterior { mean, sd: 4.5e-9 }.expected_loss(false);
    assert_eq!((risk(0.01).control, risk(0.01).treatment), (0.01, 0.0));
    assert_eq!((risk(-0.01).control, risk(-0.01).treatment), (0.0, 0.01));
}

fn ninetieth(count: u64, quantile: f64, lower: f64, upper: f64) -> QuantileArm {
    QuantileArm { count, count_effective: count as f64, level: 0.9, quantile, lower, upper }
}

/// gbstats `TestEffectBayesianABTest.test_bayesian_effect_ab_test`, from the quantiles and the bounds around them.
#[test]
fn effect_ab_test_of_quantiles() {
    let control = ninetieth(11_054, 7.157987489967789, 7.098780136176828, 7.217194843758751);
    let treatment = ninetieth(10_861, 7.694499927525767, 7.64180598628119, 7.747193868770344);
    let pair = quantile_pair_floored((control, None), (treatment, None)).unwrap();
    let (absolute, lift) = (pair.absolute(0.05).unwrap(), relative_by_delta(&pair, 0.05).unwrap());
    let prior = |variance| EffectPrior { mean: 0.0, variance };
    let check = |effect: &Effect, prior, expect: [f64; 3]| {
        let posterior = effect_posterior(effect.difference, effect.standard_error, prior).unwrap();
        let interval = posterior.interval(0.05).unwrap();
        near(posterior.mean, expect[0], 1e-13);
        near(interval.lower.unwrap(), expect[1], 1e-13);
        near(interval.upper.unwrap(), expect[2], 1e-13);
    };
    let scaled = |variance| Some(prior(variance).of_absolute(control.quantile));
    check(&absolute, None, [0.5365124375579775, 0.4572559589115422, 0.6157689162044128]);
    check(&absolute, scaled(1e6), [0.536512437540855, 0.4572559588956844, 0.6157689161860256]);
    check(&lift, Some(prior(1e6)), [0.07495297222736319, 0.06341005842481906, 0.08649588602990732]);
    check(&absolute, scaled(1.0), [0.536495315442269, 0.4572401014910488, 0.6157505293934892]);
    check(&lift, Some(prior(1.0)), [0.07495037261804469, 0.06340765898986044, 0.08649308624622894]);
}

/// gbstats `TestQuantileStatisticZeroVariance`: bounds that fell together leave no variance, whatever the count, and are not
/// floored; where both arms' did, there is no comparison.
#[test]
fn quantile_statistic_zero_variance() {
    for count in [999, 60_000_000] {
        let collapsed = ninetieth(count, 5.0, 5.0, 5.0);
        assert_eq!(collapsed.variance_per_row("control").unwrap(), 0.0);
        let error = compare_quantiles((collapsed, None), (collapsed, None), 0.05).unwrap_err();
        assert!(error.why.contains("neither arm varies"), "{error}");
    }
    assert!(ninetieth(60_000_000, 5.0, 4.99, 5.01).variance_per_row("control").unwrap() > 0.0);
}

/// The arms of gbstats `TestBanditMinVariationWeightFloor`: one of them is far ahead.
fn bandit() -> Vec<NormalArm> {
    let arm = |sum, sum_squares| {
        let moments = moments(1000, sum, sum_squares);
        NormalArm { mean: moments.mean, sd: moments.variance_of_mean().unwrap().sqrt() }
    };
    vec![arm(10.0, 2000.0), arm(20.0, 2000.0), arm(30.0, 2000.0), arm(300.0, 20_000.0)]
}

/// gbstats `TestBanditMinVariationWeightFloor.*`: the floor f gives f + (1 − 4f) w on the top-two shares w; none leaves them;
/// one too large for all arms gives equal shares. A negative floor, which the peer takes as none, is refused.
#[test]
fn bandit_min_variation_weight_floor() {
    let chances: Vec<f64> = normal_standings(&bandit(), false).unwrap().iter().map(|arm| arm.best).collect();
    let shares = top_two_shares(&chances, 0.5).unwrap();
    near(shares.iter().sum::<f64>(), 1.0, 1e-9);
    let floored = thompson_shares(&shares, 0.1).unwrap();
    near(floored.iter().sum::<f64>(), 1.0, 1e-9);
    assert!(chances.iter().any(|chance| *chance < 0.1) && floored.iter().all(|share| *share >= 0.1));
    for (share, floored) in shares.iter().zip(&floored) {
        near(*floored, 0.1 + 0.6 * share, 1e-12);
    }
    for (share, same) in shares.iter().zip(thompson_shares(&shares, 0.0).unwrap()) {
        near(same, *share, 1e-12);
    }
    assert_eq!(thompson_shares(&shares, 0.5).unwrap(), [0.25; 4]);
    assert!(thompson_shares(&shares, -0.3).is_err());
}

/// GrowthBook `packages/stats-ts/test/banditWeights.test.ts`: chances sum to one (there to 1e-6, and to 0.01 where deviations
/// differ), follow the means, turn with the direction, and repeat.
#[test]
fn bandit_weights() {
    let chances = |means: &[f64], sds: &[f64], inverse| -> Vec<f64> {
        let arms: Vec<NormalArm> = means.iter().zip(sds).map(|(mean, sd)| NormalArm { mean: *mean, sd: *sd }).collect();
        normal_standings(&arms, inverse).unwrap().iter().map(|arm| arm.best).collect()
    };
    let scenarios: [(&[f64], f64); 5] = [
        (&[0.0, 0.1, 0.2], 0.1),
        (&[1.0, 2.0, 3.0], 0.5),
        (&[0.0, 0.0, 0.0], 0.2),
        (&[0.0, 1.0, 2.0, 3.0, 4.0], 0.3),
        (&[0.0, 0.0, 0.0, 5.0], 0.4),
    ];
    for (means, sd) in scenarios {
        let found = chances(means, &vec![sd; means.len()], false);
        near(found.iter().sum::<f64>(), 1.0, 1e-9);
        assert!(found.iter().all(|chance| (0.0..=1.0).contains(chance)));
        assert_eq!(found, chances(means, &vec![sd; means.len()], false));
    }
    let (forth, back) = (chances(&[0.0, 1.0, 2.0], &[0.3; 3], false), chances(&[0.0, 1.0, 2.0], &[0.3; 3], true));
    assert!(forth[2] > forth[1] && forth[1] > forth[0] && back[0] > back[1] && back[1] > back[2]);
    near(chances(&[0.0, 0.5, 1.0], &[0.05, 0.5, 1.5], false).iter().sum::<f64>(), 1.0, 1e-9);
}
