//! What audit and waves say together, without the waves' shares distorting it.
//!
//! A variant's mean is that of the groups within which shares were fixed, weighted by how many people each group had in all:
//! Σ (N_w/N) ȳ_w, as if every group had been split alike, so that neither a trend nor the shares' chase of luck moves it. Its variance is
//! s² Σ (N_w/N)²/n_w, so that it is as good as a plain mean of 1/Σ (N_w/N)²/n_w people. Post-stratification by wave: Miratrix, Sekhon &
//! Yu, JRSS B 75 (2013).

use std::collections::BTreeMap;

use stats::adaptive::potential_value_remaining;
use stats::posterior::NormalArm;
use stats::{Degenerate, Moments};
use vocabulary::{Experiment, Metric, Recommendation, VariantName};

use super::{Learnt, REMAINING_VALUE_MIN, SETTLED_CHANCE};
use crate::decision::{Forecasts, Numbers, forecasts, rest};
use crate::observe::Observations;

/// With fewer people of a variant a group says nothing of how much people differ.
const GROUP_MIN: u64 = 2;

/// What is believed of the variants that may be sent.
pub(super) struct Believed {
    pub(super) forecasts: Forecasts,
    /// Whether less is better.
    is_inverse: bool,
    /// By how many people each of them is known: overall, and in each market.
    overall: Vec<Moments>,
    markets: Vec<(String, Vec<Moments>)>,
}

impl Believed {
    /// By how many people the variant is known of which least is known.
    pub(super) fn counted_least(&self) -> f64 {
        least(&self.overall)
    }

    /// Whether little is left to learn of a market, or overall, by its own numbers alone.
    pub(super) fn is_settled(&self, market: Option<&str>) -> bool {
        let own = match market {
            None => Some(&self.overall),
            Some(market) => self.markets.iter().find(|(name, _)| name == market).map(|(_, moments)| moments),
        };
        let arm = |moments: &Moments| Some(NormalArm { mean: moments.mean, sd: moments.variance_of_mean()?.sqrt() });
        let arms: Option<Vec<NormalArm>> = own.and_then(|own| own.iter().map(arm).collect());
        let remaining = arms.map(|arms| potential_value_remaining(&arms, self.is_inverse, REMAINING_VALUE_MIN, SETTLED_CHANCE));
        remaining.is_some_and(|remaining| remaining.is_ok_and(|remaining| remaining.stop))
    }

    /// The markets in which every variant is known by so many people, by name.
    pub(super) fn large_markets(&self, counted: f64) -> impl Iterator<Item = &str> {
        self.markets.iter().filter(move |(_, moments)| least(moments) >= counted).map(|(market, _)| market.as_str())
    }
}

fn least(moments: &[Moments]) -> f64 {
    moments.iter().map(|moments| moments.count as f64).fold(f64::INFINITY, f64::min)
}

/// Forecasts of the variants but those that are stopped, control first.
///
/// # Errors
/// [`Degenerate`] where there is nothing to forecast from.
pub(super) fn believed(
    experiment: &Experiment,
    learnt: &Learnt<'_>,
    waves: &[&Recommendation],
    stopped: &[VariantName],
) -> Result<Believed, Degenerate> {
    let control = experiment.control();
    let others = experiment.others().filter(|name| !stopped.contains(name));
    let arms: Vec<&VariantName> = std::iter::once(control).chain(others).collect();
    let primary = experiment.primary_metric();
    let primary = primary.ok_or_else(|| Degenerate::new("the primary metric is none of the experiment's"))?;
    let mut groups = groups(learnt, waves, primary, &arms);
    let nowhere = pooled(&groups.remove(&None).unwrap_or_default(), arms.len());
    let markets = groups.into_iter().filter_map(|(market, groups)| Some((market?, pooled(&groups, arms.len()))));
    let markets: Vec<(String, Vec<Moments>)> = markets.collect();
    let with = |arm: usize| markets.iter().map(|(_, of)| of[arm]).fold(nowhere[arm], |sum, of| sum.merge(&of));
    let numbers = Numbers { overall: (0..arms.len()).map(with).collect(), markets };
    let forecasts = forecasts(experiment, &numbers, primary, &arms, &[])?;
    Ok(Believed { forecasts, is_inverse: primary.lower_is_better, overall: numbers.overall, markets: numbers.markets })
}

/// The groups within which shares were fixed, by their market: the primary metric of each variant.
fn groups(
    learnt: &Learnt<'_>,
    waves: &[&Recommendation],
    primary: &Metric,
    arms: &[&VariantName],
) -> BTreeMap<Option<String>, Vec<Vec<Moments>>> {
    let moments = |of: &Observations| arms.iter().map(|arm| of.moments(arm, &primary.name)).collect::<Vec<_>>();
    let audit: Vec<(String, Vec<Moments>)> =
        learnt.audit.markets.iter().map(|(market, of)| (market.clone(), moments(of))).collect();
    let elsewhere = rest(&moments(&learnt.audit.overall), audit.iter().map(|(_, moments)| moments.as_slice()));
    let of_wave = |made: &Recommendation| Some((made.scope.market.clone(), moments(learnt.followed.observed.get(&made.id)?)));
    let waves = waves.iter().copied().filter_map(of_wave);
    let audit = audit.into_iter().map(|(market, moments)| (Some(market), moments)).chain([(None, elsewhere)]);
    let mut groups: BTreeMap<Option<String>, Vec<Vec<Moments>>> = BTreeMap::new();
    for (market, moments) in audit.chain(waves) {
        groups.entry(market).or_default().push(moments);
    }
    groups
}

/// What groups say of each variant together, as moments of as many people as would know it as well.
fn pooled(groups: &[Vec<Moments>], arms: usize) -> Vec<Moments> {
    let usable: Vec<&Vec<Moments>> =
        groups.iter().filter(|group| group.iter().all(|moments| moments.count >= GROUP_MIN)).collect();
    let people = |group: &[Moments]| group.iter().map(|moments| moments.count as f64).sum::<f64>();
    let total: f64 = usable.iter().map(|group| people(group)).sum();
    let of_arm = |arm: usize| {
        let (mut mean, mut reach, mut squares, mut degrees) = (0.0, 0.0, 0.0, 0.0);
        for group in &usable {
            let (weight, own) = (people(group) / total, group[arm]);
            mean += weight * own.mean;
            reach += weight * weight / own.count as f64;
            squares += own.m2;
            degrees += (own.count - 1) as f64;
        }
        // The conversion saturates; a group has at least two people of each variant, so that there are two here.
        let count = (1.0 / reach).round().max(2.0);
        Moments { count: count as u64, mean, m2: squares / degrees * (count - 1.0) }
    };
    if usable.is_empty() { vec![Moments::default(); arms] } else { (0..arms).map(of_arm).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(arms: &[(u64, u64)]) -> Vec<Moments> {
        arms.iter().map(|(count, successes)| Moments::from_successes(*count, *successes)).collect()
    }

    /// Two groups with other shares and other rates: the plain means say that the second variant is better, which it is in neither group.
    #[test]
    fn shares_that_follow_the_season_do_not_make_a_winner() {
        let groups = [group(&[(9_000, 900), (1_000, 100)]), group(&[(1_000, 500), (9_000, 4_500)])];
        let plain: Vec<f64> = (0..2).map(|arm| groups[0][arm].merge(&groups[1][arm]).mean).collect();
        assert!(plain[1] > plain[0] + 0.3);
        let pooled = pooled(&groups, 2);
        assert!(pooled.iter().all(|moments| (moments.mean - 0.3).abs() < 1e-12), "{pooled:?}");
        // (1/2)²/9000 + (1/2)²/1000 = 1/3600.
        assert!(pooled.iter().all(|moments| moments.count == 3_600), "{pooled:?}");
    }

    #[test]
    fn groups_of_like_shares_are_their_sum() {
        let groups = [group(&[(1_000, 100), (1_000, 120)]), group(&[(1_000, 100), (1_000, 120)])];
        let pooled = pooled(&groups, 2);
        assert_eq!(pooled[0].count, 2_000);
        assert!((pooled[1].mean - 0.12).abs() < 1e-12);
    }

    #[test]
    fn a_group_without_a_variant_says_nothing() {
        let groups = [group(&[(1_000, 100), (1, 1)]), group(&[(1_000, 50), (1_000, 60)])];
        let pooled = pooled(&groups, 2);
        assert!((pooled[0].mean - 0.05).abs() < 1e-12, "{pooled:?}");
        assert_eq!(super::pooled(&groups[..1], 2), vec![Moments::default(); 2]);
    }
}
