//! Experiments without an effect and without a fault: what is alarmed by chance, counted on a fixed seed.

use std::collections::BTreeMap;

use stats::CoMoments;
use stats::numeric::draws::Draws;

use crate::cells::{ArmCells, MetricCell};
use crate::fixture::{binary, codes, dated, group, looks, readout, readout_of, spec};
use crate::report::{Code, Procedure, VerdictKind};
use crate::spec::Spec;

const EXPERIMENTS: usize = 400;
const RATE: f64 = 0.05;

/// Successes among trials, by the normal approximation.
fn successes(draws: &mut Draws, trials: u64, rate: f64) -> u64 {
    let trials = trials as f64;
    (trials * rate + (trials * rate * (1.0 - rate)).sqrt() * draws.normal()).round().clamp(0.0, trials) as u64
}

/// Two weeks of about 500 units a day, in three countries, with a covariate that explains nothing.
fn arm(draws: &mut Draws, variant: &str) -> ArmCells {
    let names: Vec<String> = (1..=14).map(|day| format!("2026-11-{day:02}")).collect();
    let dates: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), successes(draws, 100_000, 0.005))).collect();
    let units: u64 = dates.iter().map(|(_, units)| units).sum();
    let first = successes(draws, units, 0.6);
    let second = successes(draws, units - first, 0.5);
    let mut orders = 0;
    let values = [("de", first), ("se", second), ("us", units - first - second)].map(|(value, units)| {
        let found = successes(draws, units, RATE);
        orders += found;
        (value.to_owned(), group(vec![with_covariate(units, found, 0.0)]))
    });
    let mean = draws.normal() / (units as f64).sqrt();
    let all = vec![with_covariate(units, orders, mean)];
    ArmCells { segments: vec![BTreeMap::from(values)], ..dated(variant, all, &dates) }
}

fn with_covariate(units: u64, orders: u64, mean: f64) -> MetricCell {
    let cell = binary(units, orders);
    let products = vec![cell.moments.product(0, 0), 0.0, units as f64];
    MetricCell { moments: CoMoments::from_centred(units, vec![cell.moments.mean(0), mean], products), ..cell }
}

#[test]
fn experiments_without_fault_are_left_alone() {
    let mut draws = Draws::seeded(3);
    let mut raised: BTreeMap<Code, usize> = BTreeMap::new();
    let mut winners = 0;
    let spec = Spec {
        covariates: vec!["history".to_owned()],
        segments: vec!["country".to_owned()],
        date: Some("day".to_owned()),
        ..spec(&["order"])
    };
    for _ in 0..EXPERIMENTS {
        let found = readout(&spec, vec![arm(&mut draws, "a"), arm(&mut draws, "b")]);
        winners += usize::from(found.verdict.kind == VerdictKind::Winner);
        for code in codes(&found) {
            *raised.entry(code).or_default() += 1;
        }
    }
    // 2.5 % are expected to win, within three standard errors.
    assert!((2..=20).contains(&winners), "{winners} winners");
    let weak = raised.remove(&Code::LowPower).unwrap_or(0);
    assert!(weak > EXPERIMENTS * 9 / 10, "7,000 units an arm on a rate of 5 % are few: {weak}");
    // One test of heterogeneity and three of effects: about one in seven has a p-value below 0.05 somewhere.
    let bait = raised.remove(&Code::SubgroupBait).unwrap_or(0);
    assert!((EXPERIMENTS / 20..EXPERIMENTS / 4).contains(&bait), "{bait}");
    let others: usize = raised.values().sum();
    assert!(others <= 4, "{raised:?}");
}

#[test]
fn peeking_alarms_and_the_other_rules_keep_their_promise() {
    let mut draws = Draws::seeded(5);
    let mut stopped = [0_usize; 4];
    let mut drifting = 0;
    let spec = spec(&["order"]);
    for _ in 0..EXPERIMENTS {
        let mut so_far = [(0, 0); 2];
        let series: Vec<(String, [(u64, u64); 2])> = (1..=20)
            .map(|look| {
                so_far = so_far.map(|(units, orders)| (units + 1000, orders + successes(&mut draws, 1000, RATE)));
                (look.to_string(), so_far)
            })
            .collect();
        let at: Vec<(&str, &[(u64, u64)])> = series.iter().map(|(look, cells)| (look.as_str(), cells.as_slice())).collect();
        let found = readout_of(&spec, looks(&["a", "b"], &at)).looks.unwrap();
        drifting += usize::from(found.series[0].drifts);
        for (count, rule) in stopped.iter_mut().zip(&found.series[0].rules) {
            *count += usize::from(rule.significant);
        }
    }
    let share = |procedure: Procedure| stopped[procedure as usize] as f64 / EXPERIMENTS as f64;
    let near = |procedure: Procedure, low: f64, high: f64| {
        assert!((low..=high).contains(&share(procedure)), "{procedure:?} {stopped:?}")
    };
    near(Procedure::FixedAtEnd, 0.02, 0.085);
    near(Procedure::NaivePeeking, 0.18, 0.32);
    near(Procedure::AlwaysValid, 0.0, 0.05);
    near(Procedure::GroupSequential, 0.02, 0.085);
    assert!(drifting <= 20, "{drifting}");
}
