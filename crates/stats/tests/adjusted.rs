//! Numbers that the tests of peers hold for ratios, covariates and strata.

use stats::adjusted::named::{cuped_ratio_by_log, ratio_by_log, relative_by_delta};
use stats::adjusted::{Shape, Stratum, compare, compare_strata};
use stats::means::relative::relative_log;
use stats::tail::normal_upper;
use stats::{Alternative, CoMoments, Moments, welch};

fn near(actual: f64, expect: f64, tolerance: f64) {
    assert!((actual - expect).abs() <= tolerance * expect.abs(), "{actual} is not {expect}");
}

/// tea-tasting's users of `make_users_data(n_users=100, covariates=True, rng=42)`: orders and sessions, after and before.
fn users() -> (CoMoments, CoMoments) {
    let arm = |count: u64, sums: [f64; 4], products: [f64; 10]| {
        CoMoments::from_centred(count, sums.map(|sum| sum / count as f64).to_vec(), products.to_vec())
    };
    (
        arm(
            53,
            [30.0, 105.0, 28.0, 102.0],
            [
                41.01886792452826,
                20.56603773584907,
                40.15094339622647,
                36.264150943396224,
                50.98113207547169,
                20.528301886792466,
                57.924528301886795,
                75.20754716981129,
                64.1132075471698,
                183.69811320754715,
            ],
        ),
        arm(
            47,
            [18.0, 89.0, 15.0, 92.0],
            [
                23.106382978723424,
                6.914893617021271,
                17.255319148936177,
                6.765957446808505,
                36.468085106382986,
                7.595744680851064,
                38.787234042553195,
                26.212765957446805,
                12.63829787234043,
                109.91489361702133,
            ],
        ),
    )
}

/// `test_ratio_of_means_analyze_basic` of tea-tasting 1.14.0.
#[test]
fn a_mean_of_orders() {
    let (control, treatment) = users();
    let effect = welch(&control.moments(0), &treatment.moments(0), 0.05).unwrap();
    near(effect.difference, -0.18305901244480127, 1e-9);
    near(effect.p_value, 0.2551230546709908, 1e-9);
    near(effect.statistic, -1.1447678040118034, 1e-9);
    near(effect.interval.lower.unwrap(), -0.5004359360326984, 1e-9);
    // A ratio to ones is a mean.
    let of_ones = |arm: &CoMoments| CoMoments::from_centred(arm.count, vec![arm.mean(0), 1.0], vec![arm.product(0, 0), 0.0, 0.0]);
    let lift = ratio_by_log(&of_ones(&control), &of_ones(&treatment), 0.05).unwrap();
    near(lift.relative, -0.32340425531914896, 1e-9);
    near(lift.interval.lower.unwrap(), -0.6593351111187646, 1e-9);
    near(lift.interval.upper.unwrap(), 0.34378920945924096, 1e-9);
}

/// A mean that changed its sign has no logarithm, and all methods by logarithms give the same numbers for it.
#[test]
fn a_mean_that_changed_its_sign() {
    let (control, treatment) = (Moments { count: 40, mean: 2.0, m2: 100.0 }, Moments { count: 60, mean: -1.0, m2: 90.0 });
    let expect = relative_log(&control, &treatment, Alternative::TwoSided, 0.05).unwrap();
    let to_ones = |arm: &Moments| CoMoments::from_centred(arm.count, vec![arm.mean, 1.0], vec![arm.m2, 0.0, 0.0]);
    let lift = ratio_by_log(&to_ones(&control), &to_ones(&treatment), 0.05).unwrap();
    near(lift.relative, -1.5, 1e-12);
    near(lift.interval.lower.unwrap(), expect.interval.lower.unwrap(), 1e-9);
    near(lift.interval.upper.unwrap(), expect.interval.upper.unwrap(), 1e-9);
    assert!(ratio_by_log(&to_ones(&Moments { mean: 0.0, ..control }), &to_ones(&treatment), 0.05).is_err());
    assert!(ratio_by_log(&to_ones(&control), &to_ones(&Moments { mean: 0.0, ..treatment }), 0.05).is_err());
}

/// `test_ratio_of_means_analyze_ratio_greater_equal_var`: the estimates; that test pools the variances.
#[test]
fn orders_per_session() {
    let (control, treatment) = users();
    let ratio = |arm: &CoMoments| {
        CoMoments::from_centred(
            arm.count,
            vec![arm.mean(0), arm.mean(1)],
            vec![arm.product(0, 0), arm.product(0, 1), arm.product(1, 1)],
        )
    };
    let found = compare(&ratio(&control), &ratio(&treatment), Shape::Ratio, 0, 0.05).unwrap();
    near(found.mean_control, 0.2857142857142857, 1e-12);
    near(found.mean_treatment, 0.20224719101123595, 1e-12);
    near(found.absolute.difference, -0.08346709470304975, 1e-12);
}

/// `test_ratio_of_means_analyze_ratio_less_use_norm`: adjusted by the same ratio before, one-sided, normal.
#[test]
fn orders_per_session_adjusted() {
    let (control, treatment) = users();
    let found = cuped_ratio_by_log(&control, &treatment, 0.05).unwrap();
    near(found.control, 0.25572348175909004, 1e-9);
    near(found.treatment, 0.23549786496156158, 1e-9);
    near(found.absolute.difference, -0.020225616797528462, 1e-9);
    near(found.relative.relative, -0.07909174651619377, 1e-9);
    near(found.absolute.statistic, -0.3573188986307722, 1e-9);
    near(normal_upper(-found.absolute.statistic), 0.3604265417728255, 1e-9);
}

/// n, sums of numerator and denominator, of their squares and their product.
type Cell = (u64, f64, f64, f64, f64, f64);

/// The strata of GrowthBook's `TestPostStratification`, control and treatment.
const STRATA: [(Cell, Cell); 5] = [
    (
        (21, 330.0696210595999, 5377.811252605509, 890.9766550739607, 38220.95223835553, 14263.937571840695),
        (42, 708.1220000911836, 12249.255519049513, 1745.9858250014954, 73194.53424221886, 29826.620793423102),
    ),
    (
        (65, 1391.96628040659, 30546.63404187155, 2769.8126179473184, 118719.96077578884, 59924.702385890436),
        (75, 1807.4703052657744, 45000.287664918586, 3184.8395612061063, 136710.92474497214, 78119.14871556411),
    ),
    (
        (102, 2916.824124651419, 86396.06886690554, 4445.780384331884, 195387.7733842407, 129041.55268673625),
        (101, 3104.5399914554023, 98365.40553530994, 4235.277718489282, 179690.4720421368, 132444.36911739354),
    ),
    (
        (151, 5172.587929941052, 182453.04528037464, 6510.170220892494, 283094.7243365024, 226127.20135744457),
        (121, 4613.696610070716, 180520.64781229294, 5079.943060454901, 215529.32009367683, 196562.8269130501),
    ),
    (
        (160, 6539.348445231273, 274981.98909352464, 6906.305872710853, 300900.3106781779, 286483.9732935189),
        (162, 7431.953259880505, 349244.6690736718, 6899.004661928157, 296839.44355002965, 321057.8410309036),
    ),
];

/// Estimates and standard errors of GrowthBook's `TestPostStratification`, means and ratios.
#[test]
fn post_stratification() {
    let check = |shape: Shape, absolute: (f64, f64), relative: (f64, f64)| {
        let moments = |cell: &Cell| match shape {
            Shape::Mean => CoMoments::from_sums(cell.0, &[cell.1], &[cell.2]).unwrap(),
            Shape::Ratio => CoMoments::from_sums(cell.0, &[cell.1, cell.3], &[cell.2, cell.5, cell.4]).unwrap(),
        };
        let arms = STRATA.each_ref().map(|(control, treatment)| (moments(control), moments(treatment)));
        let strata = arms.each_ref().map(|(control, treatment)| Stratum { name: "", control, treatment });
        let found = compare_strata(&strata, shape, 0, 0.05).unwrap();
        near(found.absolute.difference, absolute.0, 1e-9);
        near(found.absolute.standard_error, absolute.1, 1e-9);
        let linear = relative_by_delta(&found.pair, 0.05).unwrap();
        near(linear.difference, relative.0, 1e-9);
        near(linear.standard_error, relative.1, 1e-9);
        // The strata carry much of the noise, so that Fieller's interval is close to the linear one, and excludes zero too.
        let lift = found.relative.unwrap();
        near(lift.interval.lower.unwrap(), linear.interval.lower.unwrap(), 0.02);
    };
    check(Shape::Mean, (3.548094377986586, 0.37634374823059685), (0.10994584851937336, 0.012225394656480164));
    check(Shape::Ratio, (0.10008903417216031, 0.005071004003792392), (0.13371299783026003, 0.007131233706378072));
}
