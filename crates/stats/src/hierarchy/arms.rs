//! The best arm of each market and of all together, from the arms' own means.
//!
//! In units of the market's own scale the mean of arm v in market m is x_mv = μ_m + a_v + b_mv + e_mv, with μ_m the market's level
//! (flat prior), a ~ N(0, τ_a² K) what the arms do everywhere, b_m ~ N(0, τ_b² K) what they do there besides, and e_mv ~ N(0, s²_mv)
//! the noise of their recipients. No arm is special: unlike lifts over control, the arms of a market share no noise but that of the
//! level, which cancels in every comparison. So two variants are told apart by their own noise alone. K says how alike arms are:
//! variants that cross copies, hours and channels learn from those they share a copy, an hour or a channel with, everywhere and in
//! each market.
//!
//! Given both spreads all is normal. With V_m = τ_b² K + diag s²_m, s = V_m⁻¹ 1 and W_m = V_m⁻¹ − s sᵀ / 1ᵀs, the common effects have
//! the precision Σ W_m + K⁻¹/τ_a² and the mean C Σ W_m x_m, C being its inverse. The spreads are integrated on a grid with a uniform
//! prior on either shrinkage. Henderson, "Best linear unbiased estimation and prediction under a selection model", Biometrics 31
//! (1975); Rubin, J. Educational Statistics 6 (1981); Dimmery, Bakshy & Sekhon, KDD (2019).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::grid::{Part, mixture_moments, narrowed_spreads, spread_points, uniform_shrinkage_log_density};
use super::scaled::Scaled;
use crate::answer::{Degenerate, finite};
use crate::numeric::Matrix;
use crate::posterior::{NormalArm, normal_standings};

/// Spreads lighter than this share of all are left out.
const WEIGHT_MIN: f64 = 1e-5;

/// Of the points that the chances to be best are integrated on, those lighter than this are left out: each costs an integral, and
/// chances need fewer digits than means.
const WEIGHT_MIN_CHANCES: f64 = 1e-3;

/// More markets than this are refused.
const MARKETS_MAX: usize = 2_000;

/// More arms than this are refused: the work grows with their cube.
const ARMS_MAX: usize = 64;

/// An arm in one market.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ArmEstimate {
    /// The observed mean per recipient; more is better.
    pub mean: f64,
    /// Its standard error, greater than zero.
    pub standard_error: f64,
}

/// One market.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmMarket {
    /// The arms, in the same order in every market; `None` where an arm was not tried there.
    pub arms: Vec<Option<ArmEstimate>>,
    /// In which unit effects are alike from market to market, such as the standard deviation of a recipient there; greater than zero.
    pub scale: f64,
    /// How much it counts for all markets together, such as its recipients; zero or more.
    pub weight: f64,
}

/// What is believed of an arm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ArmForecast {
    /// The posterior mean of its mean; `None` where the market's level is not known.
    pub mean: Option<f64>,
    /// The posterior mean of how far it lies above the first arm.
    pub gain: f64,
    /// The posterior standard deviation of that.
    pub gain_sd: f64,
    /// The posterior standard deviation of its distance from the other arms, as if these were known.
    pub sd: f64,
    /// The probability that it is the best.
    pub chance_best: f64,
    /// How far the best lies above it on average.
    pub expected_loss: f64,
    /// The weight of everything but its own recipients here in its forecast, between 0 and 1.
    pub pooled: f64,
}

/// What is believed of the arms, in each market and in all together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmReadout {
    /// In the order given: the arms of each market.
    pub markets: Vec<Vec<ArmForecast>>,
    /// Of the mean over all markets by their weights.
    pub overall: Vec<ArmForecast>,
    /// The standard deviation of arms' common effects in units of the markets' scales, the root of the posterior mean of τ_a².
    pub between_arms_sd: f64,
    /// The same of what an arm does in one market besides, τ_b.
    pub between_markets_sd: f64,
}

/// What is believed of every arm in every market, and overall. `alike` says how alike the effects of two arms are: correlations, which
/// are all zero but those of an arm with itself ([`Matrix::identity`]) where arms have nothing in common.
///
/// # Errors
/// [`Degenerate`] when `alike` is not a positive definite matrix with a row for each arm, there is no market or fewer than two arms, there are too many, markets have different numbers of arms, no arm
/// was tried, a number is not finite, a scale or standard error is not greater than zero, or the weights are negative or all zero.
pub fn best_arms(markets: &[ArmMarket], alike: &Matrix) -> Result<ArmReadout, Degenerate> {
    let pool = Pool::new(markets, alike)?;
    let states = pool.states()?;
    let of_market = |(m, market): (usize, &ArmMarket)| pool.forecasts(&states, &[(m, market.scale)]);
    let total: f64 = markets.iter().map(|market| market.weight).sum();
    let all: Vec<(usize, f64)> = markets
        .iter()
        .enumerate()
        .map(|(m, market)| (m, market.scale * (market.weight / total)))
        .filter(|(_, s)| *s > 0.0)
        .collect();
    let spread = |of: fn(&State) -> f64| states.iter().map(|state| state.weight * of(state)).sum::<f64>().sqrt() * pool.unit;
    Ok(ArmReadout {
        markets: markets.iter().enumerate().map(of_market).collect::<Result<_, _>>()?,
        overall: pool.forecasts(&states, &all)?,
        between_arms_sd: finite("spread between arms", spread(|state| state.between_arms))?,
        between_markets_sd: finite("spread between markets", spread(|state| state.between_markets))?,
    })
}

/// All means in units of their market's scale and of the typical standard error there.
struct Pool {
    unit: f64,
    arms: usize,
    /// Per market and arm: mean and squared standard error.
    cells: Vec<Vec<Option<(f64, f64)>>>,
    alike: Matrix,
    /// The root R of `alike` = R Rᵀ.
    root: Matrix,
}

/// The posterior at one pair of spreads.
struct State {
    weight: f64,
    /// Whether it is on every second point of the grid in either direction, where the chances to be best are integrated.
    is_coarse: bool,
    between_arms: f64,
    between_markets: f64,
    /// The arms' common effects, and their covariance.
    common: Vec<f64>,
    covariance: Matrix,
    within: Rc<Within>,
}

/// All markets at one spread between them.
struct Within {
    log: f64,
    /// Σ W and Σ W x.
    precision: Matrix,
    pulls: Vec<f64>,
    levels: Vec<Level>,
}

/// One market at one spread between markets.
struct Level {
    /// 1ᵀ V⁻¹ 1.
    total: f64,
    /// The market's level were there no common effects.
    mean: f64,
    /// The weights of the arms in `mean`.
    shares: Vec<f64>,
    /// W.
    weights: Matrix,
    /// What the market does besides is this times the distances from the level and the common effects: τ_b² K V⁻¹.
    gain: Matrix,
    /// The covariance of what it does besides when all else is known.
    left: Matrix,
}

/// Mean and covariance of the arms at one pair of spreads, and how much each hangs on its own recipients.
struct Joint {
    is_coarse: bool,
    level: f64,
    means: Vec<f64>,
    covariance: Matrix,
    own: Vec<f64>,
}

impl Pool {
    fn new(markets: &[ArmMarket], alike: &Matrix) -> Result<Self, Degenerate> {
        let arms = markets.first().map_or(0, |market| market.arms.len());
        if !(2..=ARMS_MAX).contains(&arms) || markets.len() > MARKETS_MAX {
            return Err(Degenerate::new(format!("there must be 1 to {MARKETS_MAX} markets with 2 to {ARMS_MAX} arms")));
        }
        let fits = |market: &ArmMarket| market.scale.is_finite() && market.scale > 0.0 && market.weight >= 0.0;
        if let Some(m) = markets.iter().position(|market| market.arms.len() != arms || !fits(market)) {
            let number = m + 1;
            return Err(Degenerate::new(format!(
                "market {number} needs {arms} arms, a scale above zero and a weight of zero or more"
            )));
        }
        if alike.rows() != arms || alike.columns() != arms {
            return Err(Degenerate::new(format!("how alike arms are needs {arms} rows and columns")));
        }
        let total: f64 = markets.iter().map(|market| market.weight).sum();
        if !(total > 0.0 && total.is_finite()) {
            return Err(Degenerate::new("the weights of the markets must add up to a number above zero"));
        }
        let tried = markets.iter().flat_map(|market| {
            market.arms.iter().flatten().map(move |arm| (arm.mean / market.scale, arm.standard_error / market.scale))
        });
        let scaled = Scaled::new("estimate", &tried.collect::<Vec<_>>())?;
        let mut values = scaled.effects.iter().copied().zip(scaled.variances.iter().copied());
        let mut cell = |arm: &Option<ArmEstimate>| if arm.is_some() { values.next() } else { None };
        let cells = markets.iter().map(|market| market.arms.iter().map(&mut cell).collect()).collect();
        let root = alike.cholesky()?.lower().clone();
        Ok(Self { unit: scaled.unit, arms, cells, alike: alike.clone(), root })
    }

    /// One market at a spread between markets, and its part of the log likelihood.
    fn level(&self, m: usize, between_markets: f64) -> Result<(Level, f64), Degenerate> {
        let all = self.arms;
        let tried: Vec<(usize, f64, f64)> =
            self.cells[m].iter().enumerate().filter_map(|(v, cell)| cell.map(|(x, s2)| (v, x, s2))).collect();
        let mut left = self.alike.clone();
        (0..all).for_each(|v| (0..all).for_each(|u| left[(v, u)] *= between_markets));
        let (mut level, count) = (
            Level {
                total: 0.0,
                mean: 0.0,
                shares: vec![0.0; all],
                weights: Matrix::zeros(all, all),
                gain: Matrix::zeros(all, all),
                left,
            },
            tried.len(),
        );
        if count == 0 {
            return Ok((level, 0.0));
        }
        let mut seen = Matrix::zeros(count, count);
        for (i, (v, _, s2)) in tried.iter().enumerate() {
            (0..count).for_each(|j| seen[(i, j)] = between_markets * self.alike[(*v, tried[j].0)]);
            seen[(i, i)] += s2;
        }
        let root = seen.cholesky()?;
        let inverse = root.inverse();
        let sums: Vec<f64> = (0..count).map(|i| inverse.row(i).iter().sum()).collect();
        level.total = sums.iter().sum();
        level.mean = tried.iter().zip(&sums).map(|((_, x, _), sum)| sum * x).sum::<f64>() / level.total;
        let distances: Vec<f64> = tried.iter().map(|(_, x, _)| x - level.mean).collect();
        let log_root: f64 = (0..count).map(|i| root.lower()[(i, i)].ln()).sum();
        let log = -log_root - 0.5 * level.total.ln() - 0.5 * root.inverse_quadratic_form(&distances);
        let mut full = Matrix::zeros(all, all);
        for (i, (v, ..)) in tried.iter().enumerate() {
            level.shares[*v] = sums[i] / level.total;
            for (j, (u, ..)) in tried.iter().enumerate() {
                full[(*v, *u)] = inverse[(i, j)];
                level.weights[(*v, *u)] = inverse[(i, j)] - sums[i] * (sums[j] / level.total);
            }
        }
        level.gain = level.left.mul(&full);
        let known = level.gain.mul(&level.left);
        (0..all).for_each(|v| (0..all).for_each(|u| level.left[(v, u)] -= known[(v, u)]));
        Ok((level, log))
    }

    fn within(&self, between_markets: f64) -> Result<Within, Degenerate> {
        let mut within =
            Within { log: 0.0, precision: Matrix::zeros(self.arms, self.arms), pulls: vec![0.0; self.arms], levels: Vec::new() };
        for (m, cells) in self.cells.iter().enumerate() {
            let (level, log) = self.level(m, between_markets)?;
            within.log += log;
            let distances: Vec<f64> = cells.iter().map(|cell| cell.map_or(0.0, |(x, _)| x - level.mean)).collect();
            for (v, pull) in level.weights.mul_vector(&distances).into_iter().enumerate() {
                within.pulls[v] += pull;
                (0..self.arms).for_each(|u| within.precision[(v, u)] += level.weights[(v, u)]);
            }
            within.levels.push(level);
        }
        Ok(within)
    }

    /// The log likelihood of two spreads, and the common effects there with their covariance C = τ_a² R (I + τ_a² Rᵀ P R)⁻¹ Rᵀ, which
    /// has a limit where the spread between arms vanishes.
    fn at(&self, between_arms: f64, within: &Within) -> Result<(f64, Vec<f64>, Matrix), Degenerate> {
        let turned = self.root.transpose();
        let mut scaled = turned.mul(&within.precision).mul(&self.root);
        for v in 0..self.arms {
            (0..self.arms).for_each(|u| scaled[(v, u)] *= between_arms);
            scaled[(v, v)] += 1.0;
        }
        let root = scaled.cholesky()?;
        let log_root: f64 = (0..self.arms).map(|v| root.lower()[(v, v)].ln()).sum();
        let mut covariance = self.root.mul(&root.inverse()).mul(&turned);
        (0..self.arms).for_each(|v| (0..self.arms).for_each(|u| covariance[(v, u)] *= between_arms));
        let common = covariance.mul_vector(&within.pulls);
        let explained: f64 = within.pulls.iter().zip(&common).map(|(pull, effect)| pull * effect).sum();
        Ok((within.log - log_root + 0.5 * explained, common, covariance))
    }

    /// The posterior of the spreads on a grid narrowed to it.
    fn states(&self) -> Result<Vec<State>, Degenerate> {
        let furthest = |cells: &Vec<Option<(f64, f64)>>| {
            let level = cells.iter().flatten().map(|(x, _)| x).sum::<f64>() / cells.iter().flatten().count().max(1) as f64;
            cells.iter().flatten().fold(1.0_f64, |most, (x, _)| most.max((x - level).abs()))
        };
        let furthest = self.cells.iter().map(furthest).fold(1.0, f64::max);
        let range = ((-25.0_f64).asinh(), (2.0 * furthest.ln() + 14.0).asinh());
        let log = |a: f64, b: f64, likelihood: f64| {
            let prior = uniform_shrinkage_log_density(a.sinh()) + uniform_shrinkage_log_density(b.sinh());
            likelihood + prior + a.cosh().ln() + b.cosh().ln()
        };
        // The markets depend on the spread between them alone, so each value of it is computed once.
        let known: RefCell<BTreeMap<u64, Option<Rc<Within>>>> = RefCell::new(BTreeMap::new());
        let within = |b: f64| {
            known.borrow_mut().entry(b.to_bits()).or_insert_with(|| self.within(b.sinh().exp()).ok().map(Rc::new)).clone()
        };
        let at = |a: f64, b: f64| {
            let within = within(b)?;
            self.at(a.sinh().exp(), &within).ok().map(|(likelihood, common, covariance)| (likelihood, common, covariance, within))
        };
        let (across, beside) =
            narrowed_spreads(range, range, |a, b| at(a, b).map_or(f64::NEG_INFINITY, |found| log(a, b, found.0)));
        let mut states = Vec::new();
        for (i, a) in spread_points(across).enumerate() {
            for (j, b) in spread_points(beside).enumerate() {
                let Some((likelihood, common, covariance, within)) = at(a, b) else { continue };
                let (between_arms, between_markets) = (a.sinh().exp(), b.sinh().exp());
                let is_coarse = i.is_multiple_of(2) && j.is_multiple_of(2);
                let weight = log(a, b, likelihood);
                states.push(State { weight, is_coarse, between_arms, between_markets, common, covariance, within });
            }
        }
        let top = states.iter().fold(f64::NEG_INFINITY, |top, state| top.max(state.weight));
        if !top.is_finite() {
            return Err(Degenerate::new("the spread between arms cannot be computed"));
        }
        kept(states.into_iter().map(|state| State { weight: (state.weight - top).exp(), ..state }).collect(), WEIGHT_MIN)
    }

    /// The arms at one pair of spreads in a sum of markets, each with the size of one unit of effect there: sums of
    /// a + b = G (x − x̄) + (I − G + G1 shares ᵀ) a − G1 η + r, with η the noise of the level and r what is left.
    fn joint(&self, state: &State, scope: &[(usize, f64)]) -> Joint {
        let count = self.arms;
        let mut joint = Joint {
            is_coarse: state.is_coarse,
            level: 0.0,
            means: vec![0.0; count],
            covariance: Matrix::zeros(count, count),
            own: Vec::new(),
        };
        let (mut load, mut push) = (Matrix::zeros(count, count), Matrix::zeros(count, count));
        let (mut own, mut whole) = (vec![0.0; count], vec![0.0; count]);
        for (m, size) in scope {
            let Level { total, mean, shares, weights, gain, left } = &state.within.levels[*m];
            let distances: Vec<f64> = self.cells[*m].iter().map(|cell| cell.map_or(0.0, |(x, _)| x - mean)).collect();
            joint.level += size * (mean - shares.iter().zip(&state.common).map(|(share, effect)| share * effect).sum::<f64>());
            let gains: Vec<f64> = (0..count).map(|v| gain.row(v).iter().sum()).collect();
            for (v, moved) in gain.mul_vector(&distances).into_iter().enumerate() {
                joint.means[v] += size * moved;
                load[(v, v)] += size;
                own[v] += size * (gain[(v, v)] - gains[v] * shares[v]);
                whole[v] += size * if self.cells[*m][v].is_some() { 1.0 - shares[v] } else { 0.0 };
                for u in 0..count {
                    load[(v, u)] += size * (gains[v] * shares[u] - gain[(v, u)]);
                    push[(v, u)] += weights[(v, u)];
                    let of_level = if *total > 0.0 { gains[v] * gains[u] / total } else { 0.0 };
                    joint.covariance[(v, u)] += size * size * (of_level + left[(v, u)]);
                }
            }
        }
        let through = load.mul(&state.covariance);
        let of_common = through.mul(&load.transpose());
        let of_own = through.mul(&push);
        let moved = load.mul_vector(&state.common);
        for v in 0..count {
            joint.means[v] += moved[v];
            (0..count).for_each(|u| joint.covariance[(v, u)] += of_common[(v, u)]);
            own[v] = if whole[v] > 0.0 { (own[v] + of_own[(v, v)]) / whole[v] } else { 0.0 };
        }
        Joint { own, ..joint }
    }

    /// What is believed of the arms with the spreads integrated out.
    fn forecasts(&self, states: &[State], scope: &[(usize, f64)]) -> Result<Vec<ArmForecast>, Degenerate> {
        let joints: Vec<(f64, Joint)> = states.iter().map(|state| (state.weight, self.joint(state, scope))).collect();
        let is_level_known = scope.iter().all(|(m, _)| self.cells[*m].iter().any(Option::is_some));
        let (chances, losses) = self.chances(&joints)?;
        let unit = self.unit;
        let forecast = |v: usize| {
            let gain = |(weight, joint): &(f64, Joint)| {
                let covariance = &joint.covariance;
                let variance = covariance[(v, v)] + covariance[(0, 0)] - 2.0 * covariance[(v, 0)];
                Part { weight: *weight, mean: joint.means[v] - joint.means[0], sd: variance.max(0.0).sqrt() }
            };
            let alone = |(weight, joint): &(f64, Joint)| Part { weight: *weight, mean: 0.0, sd: independent(joint)[v] };
            let average = |of: &dyn Fn(&Joint) -> f64| joints.iter().map(|(weight, joint)| weight * of(joint)).sum::<f64>();
            let (gain, gain_sd) = mixture_moments(&joints.iter().map(gain).collect::<Vec<_>>());
            let (_, sd) = mixture_moments(&joints.iter().map(alone).collect::<Vec<_>>());
            let mean = finite("mean", average(&|joint| joint.level + joint.means[v]) * unit)?;
            Ok(ArmForecast {
                mean: is_level_known.then_some(mean),
                gain: finite("gain", gain * unit)?,
                gain_sd: finite("standard deviation", gain_sd * unit)?,
                sd: finite("standard deviation", sd * unit)?,
                chance_best: chances[v],
                expected_loss: finite("expected loss", losses[v] * unit)?,
                pooled: (1.0 - average(&|joint| joint.own[v])).clamp(0.0, 1.0),
            })
        };
        (0..self.arms).map(forecast).collect()
    }

    /// The chance of each arm to be best, and what choosing it loses.
    fn chances(&self, joints: &[(f64, Joint)]) -> Result<(Vec<f64>, Vec<f64>), Degenerate> {
        let (mut chances, mut losses, mut seen) = (vec![0.0; self.arms], vec![0.0; self.arms], 0.0);
        for (weight, joint) in joints.iter().filter(|(weight, joint)| joint.is_coarse && *weight > WEIGHT_MIN_CHANCES) {
            let arms = joint.means.iter().zip(independent(joint)).map(|(mean, sd)| NormalArm { mean: *mean, sd });
            seen += weight;
            for (v, standing) in normal_standings(&arms.collect::<Vec<_>>(), false)?.into_iter().enumerate() {
                chances[v] += weight * standing.best;
                losses[v] += weight * standing.expected_loss;
            }
        }
        if seen <= 0.0 {
            return Err(Degenerate::new("the spread between arms cannot be computed"));
        }
        let means: Vec<f64> =
            (0..self.arms).map(|v| joints.iter().map(|(weight, joint)| weight * joint.means[v]).sum()).collect();
        let best = (0..self.arms).fold(0, |best, v| if means[v] > means[best] { v } else { best });
        // What another arm loses more is what it brings less, which is known to more digits.
        let least = losses[best] / seen;
        let losses = means.iter().map(|mean| least + (means[best] - mean)).collect();
        Ok((chances.into_iter().map(|chance| (chance / seen).clamp(0.0, 1.0)).collect(), losses))
    }
}

/// Weights that sum to one, without those too light to matter.
fn kept(states: Vec<State>, weight_min: f64) -> Result<Vec<State>, Degenerate> {
    let sum = |states: &[State]| states.iter().map(|state| state.weight).sum::<f64>();
    let least = weight_min * sum(&states);
    let states: Vec<State> = states.into_iter().filter(|state| state.weight > least).collect();
    let total = finite("weight", sum(&states))?;
    Ok(states.into_iter().map(|state| State { weight: state.weight / total, ..state }).collect())
}

/// The deviations of independent arms that lie from their common mean as far as these do: what arms share is no matter of which is
/// best. Exact where all pairs of arms share equally much.
fn independent(joint: &Joint) -> Vec<f64> {
    let count = joint.means.len();
    let k = count as f64;
    let rows: Vec<f64> = (0..count).map(|v| joint.covariance.row(v).iter().sum::<f64>() / k).collect();
    let all = rows.iter().sum::<f64>() / k;
    let distances: Vec<f64> = (0..count).map(|v| joint.covariance[(v, v)] - 2.0 * rows[v] + all).collect();
    let sum = distances.iter().sum::<f64>() * k / (k - 1.0);
    let variance = |distance: f64| if count == 2 { sum / 2.0 } else { (distance - sum / (k * k)) / (1.0 - 2.0 / k) };
    distances.into_iter().map(|distance| variance(distance).max(0.0).sqrt()).collect()
}

#[cfg(test)]
#[path = "arms_tests.rs"]
mod tests;
