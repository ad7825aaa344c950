//! The winner of each market, with what the other markets say of the same variants.
//!
//! The lift of variant v in market m is estimated by d_mv ~ N(a_v + b_mv, s²_mv), with a_v ~ N(0, τ_a²) what the variant
//! does everywhere and b_mv ~ N(0, τ_b²) what it does there besides. Given both spreads all is normal: with W_v = Σ_m
//! 1/(τ_b² + s²_mv), â_v = τ_a² Σ_m d_mv/(τ_b² + s²_mv) / (1 + τ_a² W_v), and the market's effect has the mean â_v + κ(d_mv
//! − â_v) with κ = τ_b²/(τ_b² + s²_mv). The spreads are integrated on a grid of ln τ_a², ln τ_b² that is narrowed to where
//! the posterior is, with a uniform prior on either shrinkage; plugging in one estimate of them chooses worse than not
//! looking at markets at all. Rubin, J. Educational Statistics 6 (1981); Efron & Morris, JASA 70 (1975); Dimmery, Bakshy &
//! Sekhon, KDD (2019).

use serde::{Deserialize, Serialize};

use super::grid::{Part, SPREAD_POINTS as GRID, mixture_moments, narrowed_spreads, spread_points, uniform_shrinkage_log_density};
use super::scaled::Scaled;
use crate::answer::{Degenerate, finite};
use crate::posterior::{NormalArm, normal_standings};

/// Nodes lighter than this share of all are left out of the chances to be best.
const WEIGHT_MIN: f64 = 1e-5;

/// More markets than this are refused.
const MARKETS_MAX: usize = 2_000;

/// A variant's lift over control in one market.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariantEstimate {
    /// The estimated lift, in one unit for all markets.
    pub effect: f64,
    /// Its standard error, greater than zero.
    pub standard_error: f64,
}

/// One market.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Market {
    /// The variants' estimates, in the same order in every market; `None` where a variant was not tried there.
    pub variants: Vec<Option<VariantEstimate>>,
    /// Money that one unit of lift earns in this market, zero or more.
    pub value: f64,
    /// Money that each variant costs more than control in this market.
    pub costs: Vec<f64>,
}

/// What is believed of an arm in a market.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MarketArm {
    /// The posterior mean of the lift: its forecast.
    pub mean: f64,
    /// The posterior standard deviation.
    pub sd: f64,
    /// Money over control, on average.
    pub expected_profit: f64,
    /// The probability that no other arm earns more.
    pub chance_best: f64,
    /// Money lost on average by choosing this arm.
    pub expected_loss: f64,
    /// The weight of the variant's common effect in `mean`, between 0 and 1.
    pub pooled: f64,
}

/// What to send in a market.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MarketWinner {
    /// The arm with the greatest expected profit: 0 is control, 1 the first variant.
    pub choice: usize,
    /// Control first.
    pub arms: Vec<MarketArm>,
}

/// What to send in all markets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MarketReadout {
    /// In the order given.
    pub markets: Vec<MarketWinner>,
    /// The arm with the greatest expected profit if all markets had to get the same.
    pub global_choice: usize,
    /// The standard deviation of variants' common effects, the root of the posterior mean of τ_a².
    pub between_variants_sd: f64,
    /// The standard deviation of what a variant does in one market besides, the root of the posterior mean of τ_b².
    pub between_markets_sd: f64,
}

/// The most profitable arm of each market.
///
/// # Errors
/// [`Degenerate`] when there is no market or no variant, the markets have different numbers of variants or costs, no variant was
/// tried anywhere, a number is not finite, a standard error is not greater than zero, or a value is negative.
pub fn market_winners(markets: &[Market]) -> Result<MarketReadout, Degenerate> {
    let pool = Pool::new(markets)?;
    let states = pool.states();
    let variants = pool.variants;
    let mut readout = Vec::with_capacity(markets.len());
    for (m, market) in markets.iter().enumerate() {
        let mut arms =
            vec![MarketArm { mean: 0.0, sd: 0.0, expected_profit: 0.0, chance_best: 0.0, expected_loss: 0.0, pooled: 0.0 }];
        for v in 0..variants {
            arms.push(pool.arm(&states, m, v, market)?);
        }
        for state in coarse(&states) {
            let utility = |v: usize| {
                let (mean, sd, _) = pool.given(state, m, v);
                NormalArm { mean: market.value * mean * pool.unit - market.costs[v], sd: market.value * sd * pool.unit }
            };
            let utilities: Vec<NormalArm> =
                [NormalArm { mean: 0.0, sd: 0.0 }].into_iter().chain((0..variants).map(utility)).collect();
            for (arm, standing) in arms.iter_mut().zip(normal_standings(&utilities, false)?) {
                arm.chance_best += state.weight * standing.best;
                arm.expected_loss += state.weight * standing.expected_loss;
            }
        }
        let seen: f64 = coarse(&states).map(|state| state.weight).sum();
        for arm in &mut arms {
            arm.chance_best = (arm.chance_best / seen).clamp(0.0, 1.0);
            arm.expected_loss = finite("expected loss", arm.expected_loss / seen)?;
        }
        let choice = greatest(arms.iter().map(|arm| arm.expected_profit));
        // What another arm loses more is what it earns less, which is known to more digits.
        let MarketArm { expected_loss: least, expected_profit: most, .. } = arms[choice];
        for arm in &mut arms {
            arm.expected_loss = finite("expected loss", least + (most - arm.expected_profit))?;
        }
        readout.push(MarketWinner { choice, arms });
    }
    let overall = |v: usize| readout.iter().map(|market| market.arms[v].expected_profit).sum::<f64>();
    let spread = |of: fn(&State) -> f64| states.iter().map(|state| state.weight * of(state)).sum::<f64>().sqrt() * pool.unit;
    Ok(MarketReadout {
        global_choice: greatest((0..=variants).map(overall)),
        between_variants_sd: finite("spread between variants", spread(|state| state.between_variants))?,
        between_markets_sd: finite("spread between markets", spread(|state| state.between_markets))?,
        markets: readout,
    })
}

/// Every second point of the grid in either direction, for the chances to be best: each costs an integral, and they need
/// fewer digits than the choice.
fn coarse(states: &[State]) -> impl Iterator<Item = &State> {
    let kept =
        |(i, state): &(usize, &State)| (i / GRID).is_multiple_of(2) && (i % GRID).is_multiple_of(2) && state.weight > WEIGHT_MIN;
    states.iter().enumerate().filter(kept).map(|(_, state)| state)
}

/// The number of the greatest value; the first of equals.
fn greatest(values: impl Iterator<Item = f64>) -> usize {
    values.enumerate().fold((0, f64::NEG_INFINITY), |best, (i, value)| if value > best.1 { (i, value) } else { best }).0
}

/// All estimates in units of their typical standard error.
struct Pool {
    unit: f64,
    variants: usize,
    /// Per market and variant: effect and squared standard error.
    cells: Vec<Option<(f64, f64)>>,
}

/// The posterior at one pair of spreads.
struct State {
    weight: f64,
    between_variants: f64,
    between_markets: f64,
    /// Mean and variance of each variant's common effect.
    common: Vec<(f64, f64)>,
}

impl Pool {
    fn new(markets: &[Market]) -> Result<Self, Degenerate> {
        let variants = markets.first().map_or(0, |market| market.variants.len());
        if variants == 0 || markets.len() > MARKETS_MAX {
            return Err(Degenerate::new(format!("there must be 1 to {MARKETS_MAX} markets with at least one variant")));
        }
        for (number, market) in markets.iter().enumerate() {
            let number = number + 1;
            if market.variants.len() != variants || market.costs.len() != variants {
                return Err(Degenerate::new(format!("market {number} must have {variants} variants and as many costs")));
            }
            let fits = market.value.is_finite() && market.value >= 0.0 && market.costs.iter().all(|cost| cost.is_finite());
            if !fits {
                return Err(Degenerate::new(format!("market {number} needs a value of zero or more and finite costs")));
            }
        }
        let cells = || markets.iter().flat_map(|market| market.variants.iter());
        let tried: Vec<(f64, f64)> = cells().flatten().map(|estimate| (estimate.effect, estimate.standard_error)).collect();
        let scaled = Scaled::new("estimate", &tried)?;
        let mut values = scaled.effects.iter().copied().zip(scaled.variances.iter().copied());
        let cells = cells().map(|cell| if cell.is_some() { values.next() } else { None }).collect();
        Ok(Self { unit: scaled.unit, variants, cells })
    }

    /// The estimates of one variant.
    fn of_variant(&self, v: usize) -> impl Iterator<Item = (f64, f64)> {
        self.cells.iter().skip(v).step_by(self.variants).flatten().copied()
    }

    /// The unnormalised log posterior at a point of the grid, and the variants' common effects there.
    fn at(&self, a: f64, b: f64) -> (f64, Vec<(f64, f64)>) {
        let (log_variants, log_markets) = (a.sinh(), b.sinh());
        let (between_variants, between_markets) = (log_variants.exp(), log_markets.exp());
        let mut log = uniform_shrinkage_log_density(log_variants) + uniform_shrinkage_log_density(log_markets);
        log += a.cosh().ln() + b.cosh().ln();
        let mut common = Vec::with_capacity(self.variants);
        for v in 0..self.variants {
            let (mut weights, mut weighted, mut squares) = (0.0, 0.0, 0.0);
            for (d, s2) in self.of_variant(v) {
                let weight = 1.0 / (between_markets + s2);
                weights += weight;
                weighted += weight * d;
                squares += weight * d * d;
                log += 0.5 * weight.ln();
            }
            let shrunken = between_variants / (1.0 + between_variants * weights);
            log -= 0.5 * ((between_variants * weights).ln_1p() + squares - shrunken * weighted * weighted);
            common.push((shrunken * weighted, shrunken));
        }
        (log, common)
    }

    /// The posterior of the spreads on a grid narrowed to it.
    fn states(&self) -> Vec<State> {
        let furthest = self.cells.iter().flatten().fold(1.0_f64, |most, (d, _)| most.max(d.abs()));
        let range = ((-25.0_f64).asinh(), (2.0 * furthest.ln() + 25.0).asinh());
        let (across, within) = narrowed_spreads(range, range, |a, b| self.at(a, b).0);
        let mut logs = Vec::with_capacity(GRID * GRID);
        for a in spread_points(across) {
            for b in spread_points(within) {
                let (log, common) = self.at(a, b);
                logs.push((
                    log,
                    State { weight: 0.0, between_variants: a.sinh().exp(), between_markets: b.sinh().exp(), common },
                ));
            }
        }
        let top = logs.iter().fold(f64::NEG_INFINITY, |top, (log, _)| top.max(*log));
        let total: f64 = logs.iter().map(|(log, _)| (log - top).exp()).sum();
        logs.into_iter().map(|(log, state)| State { weight: (log - top).exp() / total, ..state }).collect()
    }

    /// Mean and deviation of a variant's effect in a market at one pair of spreads, and the weight of its common effect.
    fn given(&self, state: &State, m: usize, v: usize) -> (f64, f64, f64) {
        let (common, variance) = state.common[v];
        let Some((d, s2)) = self.cells[m * self.variants + v] else {
            return (common, (variance + state.between_markets).sqrt(), 1.0);
        };
        let pooled = s2 / (state.between_markets + s2);
        let own = (1.0 - pooled) * s2;
        (d + pooled * (common - d), (own + pooled * pooled * variance).sqrt(), pooled)
    }

    /// The posterior of a variant in a market, spreads integrated out.
    fn arm(&self, states: &[State], m: usize, v: usize, market: &Market) -> Result<MarketArm, Degenerate> {
        let mut pooled = 0.0;
        let parts: Vec<Part> = (states.iter())
            .map(|state| {
                let (mean, sd, of_common) = self.given(state, m, v);
                pooled += state.weight * of_common;
                Part { weight: state.weight, mean, sd }
            })
            .collect();
        let (mean, sd) = mixture_moments(&parts);
        let mean = finite("lift", mean * self.unit)?;
        Ok(MarketArm {
            mean,
            sd: finite("standard deviation", sd * self.unit)?,
            expected_profit: finite("profit", market.value * mean - market.costs[v])?,
            chance_best: 0.0,
            expected_loss: 0.0,
            pooled: pooled.clamp(0.0, 1.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::numeric::Draws;

    fn market(estimates: &[(f64, f64)]) -> Market {
        let estimate =
            |(effect, standard_error): &(f64, f64)| Some(VariantEstimate { effect: *effect, standard_error: *standard_error });
        Market { variants: estimates.iter().map(estimate).collect(), value: 1.0, costs: vec![0.0; estimates.len()] }
    }

    /// Brute force: a fine Riemann sum over both shrinkages.
    #[test]
    fn the_integral_over_the_spreads_is_exact() {
        let d = [[1.2, -0.3], [0.7, 0.4], [2.0, -1.1], [0.4, 0.2]];
        let s = [[0.5, 0.5], [0.8, 0.6], [1.0, 1.0], [0.4, 0.7]];
        let markets: Vec<Market> = d.iter().zip(&s).map(|(d, s)| market(&[(d[0], s[0]), (d[1], s[1])])).collect();
        let harmonic = 8.0 / s.iter().flatten().map(|s: &f64| 1.0 / (s * s)).sum::<f64>();
        let (mut total, mut first, mut square) = (0.0, 0.0, 0.0);
        let steps = 600;
        let spread = |i: i32| (f64::from(i) + 0.5) / f64::from(steps);
        for i in 0..steps {
            for j in 0..steps {
                let (a2, b2) = (harmonic / spread(i) - harmonic, harmonic / spread(j) - harmonic);
                let (mut density, mut mean, mut variance) = (1.0, 0.0, 0.0);
                for v in 0..2 {
                    let weight = |m: usize| 1.0 / (b2 + s[m][v] * s[m][v]);
                    let w: f64 = (0..4).map(weight).sum();
                    let x: f64 = (0..4).map(|m| weight(m) * d[m][v]).sum();
                    let q: f64 = (0..4).map(|m| weight(m) * d[m][v] * d[m][v]).sum();
                    let det: f64 = (0..4).map(|m| weight(m).sqrt()).product();
                    density *= det / (1.0 + a2 * w).sqrt() * (-0.5 * (q - a2 * x * x / (1.0 + a2 * w))).exp();
                    if v == 0 {
                        let (common, kept) = (a2 * x / (1.0 + a2 * w), b2 * weight(0));
                        mean = common + kept * (d[0][0] - common);
                        variance = kept * s[0][0] * s[0][0] + (1.0 - kept).powi(2) * a2 / (1.0 + a2 * w);
                    }
                }
                total += density;
                first += density * mean;
                square += density * (variance + mean * mean);
            }
        }
        let (mean, sd) = (first / total, (square / total - (first / total).powi(2)).sqrt());
        let arm = market_winners(&markets).unwrap().markets[0].arms[1];
        assert!((arm.mean / mean - 1.0).abs() < 2e-4 && (arm.sd / sd - 1.0).abs() < 2e-4, "{arm:?} {mean} {sd}");
    }

    #[test]
    fn a_readout_adds_up() {
        let markets = [market(&[(1.0, 0.3), (0.2, 0.3)]), market(&[(0.8, 0.3), (0.4, 0.3)]), market(&[(1.1, 2.0), (0.1, 2.0)])];
        let readout = market_winners(&markets).unwrap();
        for market in &readout.markets {
            assert_eq!(market.choice, 1);
            assert!((market.arms.iter().map(|arm| arm.chance_best).sum::<f64>() - 1.0).abs() < 1e-9);
            let difference = market.arms[2].expected_loss - market.arms[1].expected_loss;
            assert!((difference - (market.arms[1].expected_profit - market.arms[2].expected_profit)).abs() < 1e-12, "{market:?}");
        }
        // The same on the whole of a finer grid.
        let first = readout.markets[0].arms[1];
        assert!((first.chance_best - 0.9613).abs() < 3e-4 && (first.expected_loss - 0.005_19).abs() < 3e-5, "{first:?}");
        let (sharp, noisy) = (readout.markets[0].arms[1], readout.markets[2].arms[1]);
        assert!(noisy.pooled > sharp.pooled + 0.1 && noisy.sd > sharp.sd, "{readout:?}");
        assert_eq!(readout.global_choice, 1);
        // A cost turns the choice; a market without data gets what is common.
        let mut costly = markets.to_vec();
        costly[0].costs[0] = 5.0;
        costly[2].variants = vec![None, None];
        let readout = market_winners(&costly).unwrap();
        assert_eq!(readout.markets[0].choice, 2);
        assert_eq!(readout.markets[2].choice, 1);
        assert!((readout.markets[2].arms[1].pooled - 1.0).abs() < 1e-12, "{readout:?}");
    }

    /// Regret per market of three ways to choose: full Bayes is no worse than one winner for all, and both are better than
    /// each market's own largest estimate.
    #[test]
    fn full_bayes_regrets_least() {
        let mut draws = Draws::seeded(77);
        let (mut bayes, mut global, mut raw) = (0.0, 0.0, 0.0);
        for _ in 0..120 {
            let common: Vec<f64> = (0..4).map(|_| 4.5 * draws.normal()).collect();
            let truth: Vec<Vec<f64>> = (0..12).map(|_| common.iter().map(|a| a + 1.8 * draws.normal()).collect()).collect();
            let estimate =
                |theta: &Vec<f64>, draws: &mut Draws| theta.iter().map(|t| (t + 4.0 * draws.normal(), 4.0)).collect::<Vec<_>>();
            let markets: Vec<Market> = truth.iter().map(|theta| market(&estimate(theta, &mut draws))).collect();
            let observed = |m: usize, v: usize| markets[m].variants[v].map_or(0.0, |estimate| estimate.effect);
            let pool = Pool::new(&markets).unwrap();
            let states = pool.states();
            let profit = |m: usize, choice: usize| if choice == 0 { 0.0 } else { truth[m][choice - 1] };
            let average = |v: usize| (0..12).map(|m| observed(m, v)).sum::<f64>();
            let one_for_all = greatest([0.0].into_iter().chain((0..4).map(average)));
            for (m, market) in markets.iter().enumerate() {
                let best = (0..=4).map(|choice| profit(m, choice)).fold(0.0, f64::max);
                let posterior = |v: usize| pool.arm(&states, m, v, market).unwrap().expected_profit;
                bayes += best - profit(m, greatest([0.0].into_iter().chain((0..4).map(posterior))));
                raw += best - profit(m, greatest([0.0].into_iter().chain((0..4).map(|v| observed(m, v)))));
                global += best - profit(m, one_for_all);
            }
        }
        assert!(bayes <= global && global < 0.8 * raw, "{bayes} {global} {raw}");
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |markets: &[Market], expect: &str| {
            let error = market_winners(markets).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(&[], "markets");
        check(&[market(&[(1.0, 1.0)]), market(&[(1.0, 1.0), (1.0, 1.0)])], "market 2");
        check(&[market(&[(1.0, 0.0)])], "estimate 1");
        check(&[Market { value: -1.0, ..market(&[(1.0, 1.0)]) }], "value");
        check(&[Market { variants: vec![None], ..market(&[(1.0, 1.0)]) }], "no estimate");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn no_input_gives_nan(cells in prop::collection::vec((any::<f64>(), any::<f64>()), 4), value in any::<f64>()) {
            let wild = |cells: &[(f64, f64)]| Market { value, ..market(cells) };
            if let Ok(readout) = market_winners(&[wild(&cells[..2]), wild(&cells[2..])]) {
                let arms = || readout.markets.iter().flat_map(|market| &market.arms);
                prop_assert!(arms().all(|arm| arm.mean.is_finite() && arm.sd.is_finite() && arm.expected_loss.is_finite()));
                prop_assert!(readout.between_markets_sd.is_finite());
            }
        }

        /// The unit of the lift, and the order of markets and variants, do not matter.
        #[test]
        fn unit_and_order_are_harmless(cells in prop::collection::vec((-3.0..3.0_f64, 0.2..2.0_f64), 6), scale in 1e-3..1e3_f64) {
            let base = market_winners(&[market(&cells[..2]), market(&cells[2..4]), market(&cells[4..])]).unwrap();
            let turned: Vec<(f64, f64)> = cells.iter().rev().map(|(d, s)| (d * scale, s * scale)).collect();
            let turned = market_winners(&[market(&turned[..2]), market(&turned[2..4]), market(&turned[4..])]).unwrap();
            for m in 0..3 {
                for v in 0..2 {
                    let (one, other) = (base.markets[m].arms[1 + v], turned.markets[2 - m].arms[2 - v]);
                    prop_assert!((one.mean * scale - other.mean).abs() <= 1e-6 * scale, "{:?} {:?}", one, other);
                    prop_assert!((one.chance_best - other.chance_best).abs() <= 1e-4, "{:?} {:?}", one, other);
                }
            }
        }
    }
}
