//! Many experiments together, on made ones whose truth is known.

use super::*;
use crate::cells::{ArmCells, ExperimentCells};
use crate::fixture::{arm, binary, report, spec};

/// Experiments of 20,000 units an arm on a rate of 10 %, by the orders of the other arms.
fn fleet_of(orders: &[&[u64]]) -> Fleet {
    let experiment = |(index, others): (usize, &&[u64])| {
        let others = others.iter().enumerate().map(|(place, orders)| arm(&format!("b{place}"), vec![binary(20_000, *orders)]));
        let arms: Vec<ArmCells> = [arm("a", vec![binary(20_000, 2000)])].into_iter().chain(others).collect();
        ExperimentCells { name: Some(format!("e{index}")), arms, looks: Vec::new() }
    };
    report(&spec(&["order"]), orders.iter().enumerate().map(experiment).collect()).fleet.unwrap()
}

#[test]
fn one_experiment_is_no_fleet() {
    let one = ExperimentCells { arms: vec![arm("a", vec![binary(10, 1)]), arm("b", vec![binary(10, 2)])], ..Default::default() };
    assert_eq!(report(&spec(&["order"]), vec![one]).fleet, None);
}

#[test]
fn some_of_the_wins_are_luck() {
    // p-values of about 1e-5, 0.04, 0.04 and none.
    let fleet = fleet_of(&[&[2265], &[2124], &[1878], &[2010], &[1995], &[2020], &[1990], &[2003]]);
    assert_eq!((fleet.significant, fleet.significant_bh, fleet.significant_by), (3, 1, 1), "{fleet:#?}");
    let p_values: Vec<f64> = fleet.experiments.iter().map(|row| row.p_value.unwrap()).collect();
    for (row, p_value) in fleet.experiments.iter().zip(&p_values) {
        assert!(row.q_bh.unwrap() >= *p_value && row.q_by.unwrap() >= row.q_bh.unwrap());
        let (lift, forecast) = (row.lift.unwrap(), row.lift_shrunken.unwrap());
        let mean = fleet.spread.unwrap().mean;
        assert!((forecast - mean).abs() <= (lift - mean).abs(), "forecasts are nearer to the mean: {row:?}");
        let interval = row.lift_shrunken_interval.unwrap();
        assert!(interval.lower.unwrap() < forecast && forecast < interval.upper.unwrap());
    }
    let error = fleet.experiments[3].lift_standard_error.unwrap();
    // Delta method: √(0.9/0.1/20,000 · 2) for equal rates.
    assert!((error - 0.03).abs() < 5e-4, "{error}");
    assert_eq!(fleet.spread.unwrap().lifts, 8);
    assert!(fleet.sentences[0].contains("Of 8 experiments 3 are significant by themselves, 1 when"), "{:?}", fleet.sentences);
}

#[test]
fn the_best_variant_pays_for_its_rivals() {
    let fleet = fleet_of(&[&[2130, 1990, 2010, 2005], &[2000, 2001, 2002, 2003]]);
    let row = &fleet.experiments[0];
    assert_eq!(row.variant.as_deref(), Some("b0"));
    assert!(row.p_value.unwrap() > 0.1, "0.03 times four: {row:?}");
    assert_eq!(fleet.spread.unwrap().lifts, 8, "every variant of every experiment");
}

#[test]
fn sample_ratios_are_watched() {
    let looks = |lost: u64| {
        let at = |look: u64| (5000 * look, 500 * look);
        let control: Vec<(u64, u64)> = (1..=4).map(at).collect();
        let pairs: Vec<[(u64, u64); 2]> =
            control.iter().map(|(units, orders)| [(*units, *orders), (units - units / 100 * lost, *orders)]).collect();
        let names = ["1", "2", "3", "4"];
        let looks: Vec<(&str, &[(u64, u64)])> = names.into_iter().zip(pairs.iter().map(<[_; 2]>::as_slice)).collect();
        ExperimentCells { name: Some(format!("lost {lost}")), ..crate::fixture::looks(&["a", "b"], &looks) }
    };
    let fleet = report(&spec(&["order"]), vec![looks(0), looks(1), looks(8)]).fleet.unwrap();
    let found = fleet.sample_ratio;
    assert_eq!((found.tested, found.mismatches, found.mismatches_bh, found.watched), (3, 1, 1, 3));
    assert_eq!((found.alarms_sequential, found.alarms_peeked), (1, 1));
    let sequential: Vec<f64> = fleet.experiments.iter().map(|row| row.sample_ratio_p_sequential.unwrap()).collect();
    assert!(sequential[0] == 1.0 && sequential[2] < 1e-4, "{sequential:?}");
}
