//! The best arm of each market: against a dense solution, against truth, and at the edges.

use proptest::prelude::*;

use super::*;
use crate::hierarchy::{Market, VariantEstimate, market_winners};
use crate::numeric::Draws;

fn market(arms: &[(f64, f64)]) -> ArmMarket {
    let estimate = |(mean, standard_error): &(f64, f64)| Some(ArmEstimate { mean: *mean, standard_error: *standard_error });
    ArmMarket { arms: arms.iter().map(estimate).collect(), scale: 1.0, weight: 1.0 }
}

fn state(pool: &Pool, between_arms: f64, between_markets: f64) -> State {
    let within = Rc::new(pool.within(between_markets).unwrap());
    let (_, common, covariance) = pool.at(between_arms, &within).unwrap();
    State { weight: 1.0, is_coarse: true, between_arms, between_markets, common, covariance, within }
}

fn strangers(markets: &[ArmMarket]) -> Result<ArmReadout, Degenerate> {
    best_arms(markets, &Matrix::identity(markets.first().map_or(0, |market| market.arms.len())))
}

/// At fixed spreads: the textbook posterior of a joint normal distribution of all effects and means, the levels nearly flat.
#[test]
fn given_the_spreads_it_is_the_joint_normal_posterior() {
    let cells = [[(3.0, 0.5), (3.4, 0.6), (2.2, 0.5)], [(7.0, 1.0), (7.9, 0.7), (7.4, 1.2)]];
    let alike = Matrix::from_rows(&[[1.0, 0.5, 0.0], [0.5, 1.0, 0.25], [0.0, 0.25, 1.0]]);
    let pool = Pool::new(&[market(&cells[0]), market(&cells[1])], &alike).unwrap();
    let (between_arms, between_markets, flat) = (0.8, 0.3, 1e7);
    let state = state(&pool, between_arms, between_markets);
    let unit = pool.unit;
    let prior = |m: usize, v: usize, n: usize, u: usize| {
        let same = |is: bool| f64::from(u8::from(is));
        alike[(v, u)] * (between_arms + same(m == n) * between_markets)
    };
    let index = |i: usize| (i / 3, i % 3);
    let mut seen = Matrix::zeros(6, 6);
    for i in 0..6 {
        for j in 0..6 {
            let ((m, v), (n, u)) = (index(i), index(j));
            let noise = if i == j { (cells[m][v].1 / unit).powi(2) } else { 0.0 };
            seen[(i, j)] = prior(m, v, n, u) + f64::from(u8::from(m == n)) * flat + noise;
        }
    }
    let values: Vec<f64> = (0..6).map(|i| cells[index(i).0][index(i).1].0 / unit).collect();
    let inverse = seen.inverse().unwrap();
    // What is asked for: each market's arms against its first, then the sum of both markets, the second counting twice.
    let check = |scope: &[(usize, f64)]| {
        let joint = pool.joint(&state, scope);
        let with_data = |v: usize| -> Vec<f64> {
            (0..6).map(|i| scope.iter().map(|(m, size)| size * prior(*m, v, index(i).0, index(i).1)).sum()).collect()
        };
        let alone = |v: usize, u: usize| -> f64 {
            scope.iter().flat_map(|(m, a)| scope.iter().map(move |(n, b)| a * b * prior(*m, v, *n, u))).sum()
        };
        for v in 1..3 {
            let contrast: Vec<f64> = with_data(v).iter().zip(with_data(0)).map(|(one, other)| one - other).collect();
            let solved = inverse.mul_vector(&contrast);
            let mean: f64 = solved.iter().zip(&values).map(|(a, b)| a * b).sum();
            let variance =
                alone(v, v) + alone(0, 0) - 2.0 * alone(v, 0) - solved.iter().zip(&contrast).map(|(a, b)| a * b).sum::<f64>();
            let covariance = &joint.covariance;
            let own = covariance[(v, v)] + covariance[(0, 0)] - 2.0 * covariance[(v, 0)];
            assert!((joint.means[v] - joint.means[0] - mean).abs() < 1e-5, "{} {mean}", joint.means[v] - joint.means[0]);
            assert!((own / variance - 1.0).abs() < 1e-5, "{own} {variance}");
        }
    };
    check(&[(0, 1.0)]);
    check(&[(1, 1.0)]);
    check(&[(0, 1.0), (1, 2.0)]);
}

/// The weight of an arm's own mean is what its forecast moves by when it does.
#[test]
fn pooled_is_what_a_forecast_does_not_follow() {
    let cells = [[(3.0, 0.5), (3.4, 0.6), (2.2, 0.5)], [(7.0, 1.0), (7.9, 0.7), (7.4, 1.2)]];
    let at = |step: f64| {
        let mut moved = cells;
        moved[0][1].0 += step;
        let alike = Matrix::from_rows(&[[1.0, 0.5, 0.0], [0.5, 1.0, 0.25], [0.0, 0.25, 1.0]]);
        let pool = Pool::new(&[market(&moved[0]), market(&moved[1])], &alike).unwrap();
        let state = state(&pool, 0.8, 0.3);
        let joint = pool.joint(&state, &[(0, 1.0)]);
        (joint.means[1] * pool.unit, joint.own[1] * (1.0 - state.within.levels[0].shares[1]))
    };
    let ((before, own), (after, _)) = (at(0.0), at(1e-3));
    assert!(((after - before) / 1e-3 - own).abs() < 1e-6, "{before} {after} {own}");
}

#[test]
fn a_readout_adds_up() {
    let markets = [
        ArmMarket { weight: 3.0, ..market(&[(10.0, 0.3), (11.0, 0.3), (10.2, 0.3)]) },
        market(&[(20.0, 0.3), (20.8, 0.3), (20.4, 0.3)]),
        ArmMarket { arms: vec![None, None, None], ..market(&[(0.0, 1.0); 3]) },
    ];
    let readout = strangers(&markets).unwrap();
    for arms in readout.markets.iter().chain([&readout.overall]) {
        assert!((arms.iter().map(|arm| arm.chance_best).sum::<f64>() - 1.0).abs() < 1e-6, "{arms:?}");
        assert!(arms[1].gain > arms[2].gain && arms[1].chance_best > 0.6, "{arms:?}");
        let difference = arms[2].expected_loss - arms[1].expected_loss;
        assert!((difference - (arms[1].gain - arms[2].gain)).abs() < 1e-9 && arms[1].expected_loss > 0.0, "{arms:?}");
    }
    let untried = readout.markets[2][1];
    assert!(untried.pooled == 1.0 && untried.mean.is_none() && untried.gain_sd > readout.markets[0][1].gain_sd, "{untried:?}");
    let tried = readout.markets[0][1];
    assert!(tried.pooled < 0.9 && tried.gain < 1.0 && (tried.mean.unwrap() - 10.9).abs() < 0.2, "{tried:?}");
    assert!(readout.overall[1].mean.is_none(), "one of the markets has no level");
}

/// Regret and forecast with seven variants beside control: the arms' own means choose better than lifts over control, whose noise the
/// variants of a market share, and the forecast of what is chosen is what it brings.
#[test]
fn arms_regret_less_than_lifts_and_forecast_honestly() {
    let mut draws = Draws::seeded(5);
    let (mut own, mut lifts, mut forecast, mut brought) = (0.0, 0.0, 0.0, 0.0);
    for _ in 0..20 {
        let common: Vec<f64> = (0..8).map(|_| 1.2 * draws.normal()).collect();
        let truth: Vec<Vec<f64>> = (0..8).map(|_| common.iter().map(|a| 50.0 + a + 0.8 * draws.normal()).collect()).collect();
        let seen: Vec<Vec<(f64, f64)>> =
            truth.iter().map(|row| row.iter().map(|t| (t + draws.normal(), 1.0)).collect()).collect();
        let arms = strangers(&seen.iter().map(|row| market(row)).collect::<Vec<_>>()).unwrap();
        let lift = |row: &Vec<(f64, f64)>| Market {
            variants: row[1..]
                .iter()
                .map(|arm| Some(VariantEstimate { effect: arm.0 - row[0].0, standard_error: 2.0_f64.sqrt() }))
                .collect(),
            value: 1.0,
            costs: vec![0.0; 7],
        };
        let winners = market_winners(&seen.iter().map(lift).collect::<Vec<_>>()).unwrap();
        for (m, row) in truth.iter().enumerate() {
            let best = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let choice = (0..8).fold(0, |best, v| if arms.markets[m][v].gain > arms.markets[m][best].gain { v } else { best });
            own += best - row[choice];
            lifts += best - row[winners.markets[m].choice];
            forecast += arms.markets[m][choice].gain;
            brought += row[choice] - row[0];
        }
    }
    assert!(own < 0.97 * lifts, "{own} {lifts}");
    assert!((forecast / brought - 1.0).abs() < 0.05, "{forecast} {brought}");
}

#[test]
fn what_cannot_be_computed_says_why() {
    let check = |markets: &[ArmMarket], expect: &str| {
        let error = strangers(markets).unwrap_err();
        assert!(error.why.contains(expect), "{error}");
    };
    let pair = market(&[(1.0, 1.0), (2.0, 1.0)]);
    check(&[], "markets");
    check(&[market(&[(1.0, 1.0)])], "arms");
    check(&[pair.clone(), market(&[(1.0, 1.0); 3])], "market 2");
    check(&[ArmMarket { scale: 0.0, ..pair.clone() }], "scale");
    check(&[ArmMarket { weight: 0.0, ..pair.clone() }], "weights");
    check(&[market(&[(1.0, 0.0), (2.0, 1.0)])], "estimate 1");
    check(&[ArmMarket { arms: vec![None, None], ..pair }], "no estimate");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn no_input_gives_nan(cells in prop::collection::vec((any::<f64>(), any::<f64>()), 4), weight in any::<f64>()) {
        let wild = |cells: &[(f64, f64)]| ArmMarket { weight, ..market(cells) };
        if let Ok(readout) = strangers(&[wild(&cells[..2]), wild(&cells[2..])]) {
            let arms = || readout.markets.iter().chain([&readout.overall]).flatten();
            let numbers = |arm: &ArmForecast| [arm.gain, arm.gain_sd, arm.sd, arm.chance_best, arm.expected_loss, arm.pooled];
            prop_assert!(arms().all(|arm| numbers(arm).iter().all(|number| number.is_finite())), "{:?}", readout);
        }
    }

    /// The unit, the level of a market and the order of the arms do not matter.
    #[test]
    fn unit_level_and_order_are_harmless(cells in prop::collection::vec((-3.0..3.0_f64, 0.2..2.0_f64), 6), scale in 1e-3..1e3_f64) {
        let base = strangers(&[market(&cells[..3]), market(&cells[3..])]).unwrap();
        let turn = |cells: &[(f64, f64)], level: f64| {
            let arms: Vec<(f64, f64)> = cells.iter().rev().map(|(x, s)| ((x + level) * scale, s * scale)).collect();
            ArmMarket { scale, ..market(&arms) }
        };
        let turned = strangers(&[turn(&cells[..3], 5.0), turn(&cells[3..], -2.0)]).unwrap();
        for m in 0..2 {
            let (one, other) = (&base.markets[m], &turned.markets[m]);
            prop_assert!(((one[2].gain) + other[2].gain / scale).abs() < 1e-5, "{:?} {:?}", one, other);
            prop_assert!((one[1].chance_best - other[1].chance_best).abs() < 1e-4, "{:?} {:?}", one, other);
        }
    }
}
