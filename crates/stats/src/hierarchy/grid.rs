//! Integration over a spread that is not known, as a weighted list of values of it.
//!
//! The variable is ln τ² in units of the typical noise. On it the posterior is smooth and falls off on both sides, where the
//! trapezoidal rule converges faster than any power of the step (Trefethen & Weideman, "The exponentially convergent
//! trapezoidal rule", SIAM Review 56, 2014); so few nodes suffice once the range is known.

use crate::numeric::find_root;
use crate::tail::{normal_quantile_upper, normal_upper};

/// A value of the unknown and the share of the posterior that it stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) at: f64,
    pub(super) weight: f64,
}

/// Nodes of the final rule. Its step is then about a quarter of the posterior's deviation.
const NODES: usize = 81;

/// Steps of the search for the range.
const SEARCH_STEPS: usize = 128;

/// What lies this far below the top in logarithm does not count.
const NEGLIGIBLE_LOG: f64 = 40.0;

/// Nodes lighter than this are dropped.
const WEIGHT_MIN: f64 = 1e-10;

/// The posterior whose unnormalised logarithm is `log_weight` on `low` to `high`, as nodes whose weights sum to one.
pub(super) fn posterior_nodes(log_weight: impl Fn(f64) -> f64, low: f64, high: f64) -> Vec<Node> {
    let (mut low, mut high) = (low, high);
    // Each round finds where the weight is not negligible on a grid that the round before has narrowed.
    for _ in 0..4 {
        let step = (high - low) / SEARCH_STEPS as f64;
        let points: Vec<(f64, f64)> = (0..=SEARCH_STEPS).map(|i| low + step * i as f64).map(|at| (at, log_weight(at))).collect();
        let top = points.iter().fold(f64::NEG_INFINITY, |top, (_, log)| top.max(*log));
        let counts = |(_, log): &&(f64, f64)| *log > top - NEGLIGIBLE_LOG;
        let first = points.iter().find(counts).map_or(low, |(at, _)| *at);
        let last = points.iter().rev().find(counts).map_or(high, |(at, _)| *at);
        (low, high) = ((first - step).max(low), (last + step).min(high));
    }
    let step = (high - low) / (NODES - 1) as f64;
    let logs: Vec<(f64, f64)> = (0..NODES).map(|i| low + step * i as f64).map(|at| (at, log_weight(at))).collect();
    normalised(logs)
}

/// Weights from logarithms.
pub(super) fn normalised(logs: Vec<(f64, f64)>) -> Vec<Node> {
    let top = logs.iter().fold(f64::NEG_INFINITY, |top, (_, log)| top.max(*log));
    let total: f64 = logs.iter().map(|(_, log)| (log - top).exp()).sum();
    let nodes = logs.into_iter().map(|(at, log)| Node { at, weight: (log - top).exp() / total });
    nodes.filter(|node| node.weight > WEIGHT_MIN).collect()
}

/// The log density of ln(τ²/s²) when the shrinkage s²/(s² + τ²) is uniform between 0 and 1: proper, free of scale, and flat
/// near zero. Daniels, "A prior for the variance in hierarchical models", Canadian Journal of Statistics 27 (1999).
pub(super) fn uniform_shrinkage_log_density(log_ratio: f64) -> f64 {
    -log_ratio.abs() - 2.0 * (-log_ratio.abs()).exp().ln_1p()
}

/// A mean and a deviation that depend on the unknown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) weight: f64,
    pub(super) mean: f64,
    pub(super) sd: f64,
}

/// The mean and the standard deviation of a mixture of normal distributions.
pub(super) fn mixture_moments(parts: &[Part]) -> (f64, f64) {
    let total: f64 = parts.iter().map(|part| part.weight).sum();
    let mean = parts.iter().map(|part| part.weight * part.mean).sum::<f64>() / total;
    let variance = parts.iter().map(|part| part.weight * (part.sd * part.sd + (part.mean - mean).powi(2))).sum::<f64>() / total;
    (mean, variance.sqrt())
}

/// The probability that a mixture of normal distributions exceeds `x`.
pub(super) fn mixture_upper(parts: &[Part], x: f64) -> f64 {
    parts.iter().map(|part| part.weight * normal_beyond(x, part.mean, part.sd)).sum::<f64>()
}

/// P(N(mean, sd²) > x), a step where the deviation is zero.
fn normal_beyond(x: f64, mean: f64, sd: f64) -> f64 {
    if sd > 0.0 { normal_upper((x - mean) / sd) } else { f64::from(u8::from(mean > x)) }
}

/// The x that a mixture of normal distributions exceeds with probability `upper`.
pub(super) fn mixture_quantile_upper(parts: &[Part], upper: f64) -> f64 {
    let z = normal_quantile_upper(upper);
    let ends = parts.iter().map(|part| part.mean + z * part.sd);
    let (low, high) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), end| (low.min(end), high.max(end)));
    // Every part's own quantile lies between the ends, so the mixture's does.
    find_root(|x| mixture_upper(parts, x) - upper, low, high).unwrap_or(low)
}

/// Points of a grid over two spreads, for each. The grid is even in w with ln τ² = sinh w, which shortens the posterior's
/// exponential ends; its step is then less than a half, and every second point still gives five digits.
pub(super) const SPREAD_POINTS: usize = 17;

/// What lies this far below the top in logarithm is cut off of two spreads: less than a millionth.
const SPREAD_NEGLIGIBLE_LOG: f64 = 14.0;

/// The points between two ends.
pub(super) fn spread_points((low, high): (f64, f64)) -> impl Iterator<Item = f64> {
    (0..SPREAD_POINTS).map(move |i| low + (high - low) * i as f64 / (SPREAD_POINTS - 1) as f64)
}

/// Where the posterior of two spreads is, within the given ranges of w, from its unnormalised logarithm.
pub(super) fn narrowed_spreads(
    mut across: (f64, f64),
    mut within: (f64, f64),
    log: impl Fn(f64, f64) -> f64,
) -> ((f64, f64), (f64, f64)) {
    for _ in 0..5 {
        let mut logs = Vec::with_capacity(SPREAD_POINTS * SPREAD_POINTS);
        for a in spread_points(across) {
            logs.extend(spread_points(within).map(|b| (a, b, log(a, b))));
        }
        let top = logs.iter().fold(f64::NEG_INFINITY, |top, (_, _, log)| top.max(*log));
        let kept = || logs.iter().filter(|(_, _, log)| *log > top - SPREAD_NEGLIGIBLE_LOG);
        let narrowed = |range: (f64, f64), of: fn(&(f64, f64, f64)) -> f64| {
            let step = (range.1 - range.0) / (SPREAD_POINTS - 1) as f64;
            let (low, high) = kept().map(of).fold((range.1, range.0), |(low, high), at| (low.min(at), high.max(at)));
            ((low - step).max(range.0), (high + step).min(range.1))
        };
        (across, within) = (narrowed(across, |point| point.0), narrowed(within, |point| point.1));
    }
    (across, within)
}
