//! Counting against naive recomputation.

use proptest::prelude::*;

use super::*;
use crate::spec::MetricSpec;

/// A unit as a person would write it down: variant, value, denominator, covariate, segment.
type Unit = (u32, f64, f64, f64, u32);

fn names(of: &[&str]) -> Vec<String> {
    of.iter().map(|name| (*name).to_owned()).collect()
}

fn spec() -> Spec {
    let ratio = Kind::Ratio { denominator: "visits".to_owned() };
    let metrics = vec![MetricSpec::new("spend", Kind::Auto), MetricSpec::new("spend", ratio)];
    Spec { covariates: names(&["history"]), segments: names(&["device"]), ..Spec::new("group", "a", metrics) }
}

/// What is handed over for `units`, with `segments` as the names of codes.
struct Columns {
    variants: Vec<u32>,
    values: Vec<f64>,
    denominators: Vec<f64>,
    covariates: Vec<f64>,
    segments: Vec<u32>,
    names: [Vec<String>; 2],
}

impl Columns {
    fn of(units: &[Unit]) -> Self {
        let codes = |most: u32, prefix: &str| (0..=most).map(|code| format!("{prefix}{code}")).collect();
        Self {
            variants: units.iter().map(|unit| unit.0).collect(),
            values: units.iter().map(|unit| unit.1).collect(),
            denominators: units.iter().map(|unit| unit.2).collect(),
            covariates: units.iter().map(|unit| unit.3).collect(),
            segments: units.iter().map(|unit| unit.4).collect(),
            names: [codes(9, "v"), codes(9, "s")],
        }
    }

    fn batch(&self) -> Batch<'_> {
        let numbers = |values| Numbers { values, empty: None };
        Batch {
            experiment: None,
            variant: Labels { codes: &self.variants, names: &self.names[0] },
            segments: vec![Labels { codes: &self.segments, names: &self.names[1] }],
            stratum: None,
            date: None,
            metrics: vec![
                MetricNumbers { value: numbers(&self.values), denominator: None },
                MetricNumbers { value: numbers(&self.values), denominator: Some(numbers(&self.denominators)) },
            ],
            covariates: vec![numbers(&self.covariates)],
            cluster_rows: None,
        }
    }
}

fn gathered(units: &[Unit]) -> Gatherer {
    let mut gatherer = Gatherer::new(&spec(), &Caps::default());
    gatherer.push(&Columns::of(units).batch()).unwrap();
    gatherer
}

/// Two passes over the units of a group, as a book has it.
fn naive(units: &[[f64; 3]]) -> CoMoments {
    let mean = |i: usize| units.iter().map(|unit| unit[i]).sum::<f64>() / units.len() as f64;
    let means: Vec<f64> = (0..3).map(mean).collect();
    let product = |(i, j): (usize, usize)| units.iter().map(|unit| (unit[i] - means[i]) * (unit[j] - means[j])).sum();
    let products = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)].map(product).to_vec();
    CoMoments::from_centred(units.len() as u64, means, products)
}

/// Whether two moments agree up to `tolerance` of the scale of what was summed.
fn near(a: &CoMoments, b: &CoMoments, scale: f64, tolerance: f64) -> bool {
    let numbers = 0..a.dimensions();
    let mean = |i| (a.mean(i) - b.mean(i)).abs() <= tolerance * scale;
    let product = |i, j| (a.product(i, j) - b.product(i, j)).abs() <= tolerance * scale * scale * a.count.max(1) as f64;
    a.count == b.count && numbers.clone().all(|i| mean(i) && numbers.clone().all(|j| product(i, j)))
}

fn groups(arm: &ArmCells) -> impl Iterator<Item = (&str, &Group)> {
    std::iter::once(("", &arm.all)).chain(arm.segments[0].iter().map(|(name, group)| (name.as_str(), group)))
}

fn same(a: &Cells, b: &Cells, scale: f64) -> bool {
    let (a_arms, b_arms) = (&a.experiments[0].arms, &b.experiments[0].arms);
    a.rows == b.rows
        && a_arms.len() == b_arms.len()
        && a_arms.iter().zip(b_arms).all(|(a, b)| {
            let pairs = groups(a).zip(groups(b));
            let cells = |a: &MetricCell, b: &MetricCell| {
                let without = match (a.without_outliers, b.without_outliers) {
                    (Some(a), Some(b)) => {
                        let (mean, m2) = ((a.mean - b.mean).abs(), (a.m2 - b.m2).abs());
                        mean <= 1e-12 * scale && m2 <= 1e-12 * scale * scale * a.count as f64
                    }
                    (a, b) => a.is_some() == b.is_some(),
                };
                near(&a.moments, &b.moments, scale, 1e-12) && without && a.is_binary == b.is_binary && a.nonzero == b.nonzero
            };
            a.variant == b.variant
                && groups(a).count() == groups(b).count()
                && pairs.into_iter().all(|((a_name, a), (b_name, b))| {
                    a_name == b_name && a.units == b.units && a.metrics.iter().zip(&b.metrics).all(|(a, b)| cells(a, b))
                })
        })
}

fn units(most: usize) -> impl Strategy<Value = Vec<Unit>> {
    let value = prop_oneof![Just(0.0), Just(1.0), -1e3..1e3_f64];
    prop::collection::vec((0..3_u32, value, 1.0..9.0_f64, -1e3..1e3_f64, 0..4_u32), 1..most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn cells_are_what_a_book_computes(units in units(300)) {
        let cells = gathered(&units).finish().unwrap();
        for arm in &cells.experiments[0].arms {
            for (segment, group) in groups(arm) {
                let belongs = |unit: &&Unit| format!("v{}", unit.0) == arm.variant && (segment.is_empty() || format!("s{}", unit.4) == segment);
                let own: Vec<&Unit> = units.iter().filter(belongs).collect();
                let expect = naive(&own.iter().map(|unit| [unit.1, unit.2, unit.3]).collect::<Vec<_>>());
                prop_assert!(near(&group.metrics[1].moments, &expect, 1e3, 1e-12));
                prop_assert_eq!(group.units, own.len() as u64);
                prop_assert_eq!(group.metrics[0].moments.dimensions(), 2, "value and covariate");
                prop_assert!((group.metrics[0].moments.product(0, 1) - expect.product(0, 2)).abs() <= 1e-12 * 1e6 * own.len() as f64);
                prop_assert_eq!(group.metrics[0].nonzero, own.iter().filter(|unit| unit.1 != 0.0).count() as u64);
                prop_assert_eq!(group.metrics[0].is_binary, own.iter().all(|unit| unit.1 == 0.0 || unit.1 == 1.0));
            }
        }
    }

    #[test]
    fn merge_is_recompute_in_any_order(units in units(3000), cut in 0.0..=1.0_f64) {
        let (left, right) = units.split_at((units.len() as f64 * cut) as usize);
        let whole = gathered(&units).finish().unwrap();
        prop_assert!(same(&gathered(left).merge(gathered(right)).finish().unwrap(), &whole, 1e3));
        prop_assert!(same(&gathered(right).merge(gathered(left)).finish().unwrap(), &whole, 1e3));
        let mut batches = gathered(left);
        batches.push(&Columns::of(right).batch()).unwrap();
        prop_assert!(same(&batches.finish().unwrap(), &whole, 1e3));
    }

    #[test]
    fn any_numbers_give_finite_cells_or_an_error(values in prop::collection::vec(any::<f64>(), 1..50)) {
        let units: Vec<Unit> = values.iter().map(|value| (0, *value, *value, *value, 0)).collect();
        let mut gatherer = Gatherer::new(&spec(), &Caps::default());
        if gatherer.push(&Columns::of(&units).batch()).is_ok() && let Ok(cells) = gatherer.finish() {
            let cell = &cells.experiments[0].arms[0].all.metrics[1];
            prop_assert!((0..3).all(|i| cell.moments.mean(i).is_finite() && cell.moments.product(i, i).is_finite()));
            prop_assert!(cell.without_outliers.is_none_or(|moments| moments.mean.is_finite() && moments.m2.is_finite()));
        } else {
            prop_assert!(values.iter().any(|value| !value.is_finite() || value.abs() > 1e140));
        }
    }
}

#[test]
fn large_means_do_not_swallow_the_spread() {
    let units: Vec<Unit> = (0..20_000).map(|i| (0, 1e9 + f64::from(i % 2), 1.0, 1e9 - f64::from(i % 2), 0)).collect();
    let cells = gathered(&units).finish().unwrap();
    let cell = &cells.experiments[0].arms[0].all.metrics[0];
    assert!((cell.moments.product(0, 0) / 5000.0 - 1.0).abs() < 1e-12);
    assert!((cell.moments.product(0, 1) / -5000.0 - 1.0).abs() < 1e-12);
    assert!((cell.without_outliers.unwrap().m2 / 5000.0 - 1.0).abs() < 1e-9, "nothing sticks out");
}

#[test]
fn many_experiments_are_kept_apart() {
    let units: Vec<Unit> = (0..1000).map(|i| (i % 2, f64::from(i), 1.0, 0.0, 0)).collect();
    let columns = Columns::of(&units);
    let experiments: Vec<u32> = (0..1000).map(|i| i / 2 % 5).collect();
    let experiment_names = names(&["e", "d", "c", "b", "a"]);
    let mut batch = columns.batch();
    batch.experiment = Some(Labels { codes: &experiments, names: &experiment_names });
    let spec = Spec { experiment: Some("test".to_owned()), ..spec() };
    let mut gatherer = Gatherer::new(&spec, &Caps::default());
    gatherer.push(&batch).unwrap();
    let cells = gatherer.finish().unwrap();
    let found: Vec<_> = cells.experiments.iter().map(|experiment| experiment.name.as_deref().unwrap()).collect();
    assert_eq!(found, ["a", "b", "c", "d", "e"]);
    for (at, experiment) in cells.experiments.iter().enumerate() {
        let code = 4 - at as u32;
        for (variant, arm) in experiment.arms.iter().enumerate() {
            let own: Vec<f64> = (0..1000).filter(|i| i / 2 % 5 == code && i % 2 == variant as u32).map(f64::from).collect();
            let expect = stats::Moments::from_values(&own);
            assert_eq!(arm.all.units, 100);
            assert!((arm.all.metrics[0].moments.moments(0).m2 / expect.m2 - 1.0).abs() < 1e-12);
        }
    }
}

#[test]
fn empty_values_count_as_zero_and_empty_segments_are_a_group() {
    let mut columns = Columns::of(&[(0, 5.0, 2.0, 1.0, 0), (0, f64::NAN, 2.0, 1.0, 0), (1, 3.0, 2.0, 1.0, 0)]);
    columns.segments[2] = EMPTY;
    let empty = [false, true, false];
    let denominator_empty = [true, true, false];
    let mut batch = columns.batch();
    batch.metrics[0].value.empty = Some(&empty);
    batch.metrics[1].value.empty = Some(&empty);
    batch.metrics[1].denominator = Some(Numbers { values: &columns.denominators, empty: Some(&denominator_empty) });
    let mut gatherer = Gatherer::new(&spec(), &Caps::default());
    gatherer.push(&batch).unwrap();
    let cells = gatherer.finish().unwrap();
    assert_eq!((cells.rows, cells.empty), (3, vec![1, 2]));
    let arms = &cells.experiments[0].arms;
    assert_eq!(arms[0].all.metrics[0].moments.mean(0), 2.5);
    assert_eq!(arms[0].all.metrics[1].moments.mean(1), 0.0);
    assert_eq!(arms[1].segments[0].keys().collect::<Vec<_>>(), [EMPTY_NAME]);
}

#[test]
fn refusals_name_the_column_the_row_and_the_way_out() {
    let check = |change: &dyn Fn(&mut Columns, &mut Spec), expect: &str| {
        let mut columns = Columns::of(&[(0, 1.0, 2.0, 1.0, 0), (1, 0.0, 2.0, 1.0, 1)]);
        let mut spec = spec();
        change(&mut columns, &mut spec);
        let mut gatherer = Gatherer::new(&spec, &Caps::default()).after_rows(10);
        let error = gatherer.push(&columns.batch()).and_then(|()| gatherer.finish().map(drop)).unwrap_err();
        assert!(error.to_string().contains(expect), "{error}");
    };
    check(&|columns, _| columns.variants[1] = EMPTY, "the variant (column `group`) is empty in 1 rows, first in row 12");
    check(&|columns, _| columns.values[1] = f64::INFINITY, "row 12: the column `spend` holds inf");
    check(&|columns, _| columns.covariates[0] = f64::NAN, "row 11: the column `history` holds NaN");
    check(&|columns, _| columns.denominators[0] = f64::NAN, "row 11: the column `visits`");
    check(
        &|columns, spec| {
            columns.values[1] = 2.0;
            spec.metrics[0].kind = Kind::Binary;
        },
        "row 12: the binary metric `spend` is 2; it must be 0 or 1",
    );
    let too_large = |columns: &mut Columns| (columns.values[1], columns.variants[1]) = (1e200, 0);
    check(&|columns, _| too_large(columns), "the values of `spend` are so large");
    check(
        &|columns, _| columns.names[1] = (0..=SEGMENT_VALUES_MAX).map(|i| i.to_string()).collect(),
        "10001 segments or more in the column `device`, and at most 10000",
    );
    check(
        &|columns, _| columns.names[0] = (0..=VARIANTS_MAX).map(|i| i.to_string()).collect(),
        "1001 variants or more in the column `group`, and at most 1000",
    );
    let none = Gatherer::new(&spec(), &Caps::default()).finish().unwrap_err();
    assert_eq!(none.to_string(), "the file has no rows");
}

#[test]
fn an_empty_covariate_is_counted_and_refused() {
    let columns = Columns::of(&[(0, 1.0, 2.0, 1.0, 0), (1, 0.0, 2.0, 1.0, 1)]);
    let empty = [true, true];
    let mut batch = columns.batch();
    batch.covariates[0].empty = Some(&empty);
    let gatherer = || {
        let mut gatherer = Gatherer::new(&spec(), &Caps::default());
        gatherer.push(&batch).unwrap();
        gatherer
    };
    let error = gatherer().merge(gatherer()).finish().unwrap_err();
    assert_eq!(error, BadUnits::EmptyCovariate { column: "history".to_owned(), count: 4, row: 1 });
}

#[test]
fn unknown_columns_are_answered_with_the_nearest() {
    let columns = names(&["group", "Spend", "visits", "history", "device"]);
    let error = check_columns(&spec(), &columns).unwrap_err().to_string();
    assert_eq!(
        error,
        "there is no column `spend`; did you mean `Spend`? (the columns are group, Spend, visits, history, device)"
    );
    let nothing_similar = check_columns(&spec(), &names(&["x", "yyyyyyyy"])).unwrap_err();
    assert!(matches!(nothing_similar, BadUnits::NoColumn { nearest: None, .. }), "{nothing_similar}");
    let known = names(&["group", "spend", "visits", "history", "device"]);
    assert_eq!(check_columns(&spec(), &known), Ok(()));
    let mut capped = spec();
    capped.metrics[0].cap = Some(99.9);
    assert!(matches!(check_columns(&capped, &known), Err(BadUnits::BadCap { .. })));
}

#[test]
fn clusters_bring_their_rows() {
    let columns = Columns::of(&[(0, 2.0, 2.0, 4.0, 0), (0, 0.0, 2.0, 1.0, 0), (1, 1.0, 2.0, 1.0, 0)]);
    let rows = [3.0, 1.0, 2.0];
    let mut batch = columns.batch();
    batch.cluster_rows = Some(&rows);
    let mut spec = Spec { cluster: Some("store".to_owned()), ..spec() };
    spec.metrics[0].kind = Kind::Binary;
    let mut checks = RowChecks::new(&spec);
    checks.push(&Columns::of(&[(0, 1.0, 2.0, 4.0, 0); 6]).batch()).unwrap();
    let mut gatherer = Gatherer::new(&spec, &Caps::default());
    gatherer.push(&batch).unwrap();
    let cells = gatherer.finish_clusters(&checks).unwrap();
    assert_eq!((cells.rows, cells.empty), (6, vec![0, 0]));
    let all = &cells.experiments[0].arms[0].all;
    assert_eq!((all.units, all.metrics[0].is_binary), (2, true));
    let moments = &all.metrics[0].moments;
    assert_eq!((moments.mean(0), moments.mean(1), moments.mean(2)), (1.0, 2.0, 2.5), "sum, rows, covariate");
    assert_eq!(all.metrics[1].moments.mean(1), 2.0, "a ratio keeps its own denominator");
}
