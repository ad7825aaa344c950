//! Learning while sending: those who follow an experiment's recommendation are dealt its variants in waves, more of what looks better,
//! while the experiment's own groups stay as they were drawn and are the audit: their readout owes nothing to what was learnt.
//!
//! There is no state but the recommendations and what is observed of those who followed them. A recommendation that deals several
//! variants out to everybody, or to a market, is a wave: within it the shares were fixed, and each message names it, so that everybody's
//! propensity is known. The shares of the next one are the chances of the variants to be best, of Thompson's rule or top-two's, with a
//! floor. They come from the same model that decides ([`crate::decision`]): effects in markets are shrunk towards each other.
//!
//! What a person decided stays: a scope in which one variant goes to everybody is not touched any more.

mod effects;
mod pool;
mod say;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stats::Interval;
use stats::adaptive::{thompson_shares, top_two_shares};
use vocabulary::{
    Bandit, BanditRule, Expected, Experiment, Recommendation, RecommendationId, RecommendationScope, Timestamp, VariantName,
};

use crate::cells::HOUR_MICROS;
use crate::decision::{Forecast, best};
use crate::observe::ByMarket;
use crate::rollout::{Followed, HarmCheck};
use pool::Believed;

/// A bandit ends once the best variant of every market is with [`SETTLED_CHANCE`] ahead of what is chosen there by less than this share:
/// then nothing is left to learn. Scott, Applied Stochastic Models in Business and Industry 26 (2010).
const REMAINING_VALUE_MIN: f64 = 0.01;

/// See [`REMAINING_VALUE_MIN`].
const SETTLED_CHANCE: f64 = 0.95;

/// How many must count of every variant, audit and followers together, before a bandit ends or a market has shares of its own.
const COUNTED_MIN: f64 = 100.0;

/// Shares that move by less are not worth a wave.
const SHARE_STEP_MIN: f64 = 0.01;

/// The chance with which top-two sends the variant that a draw makes best: Russo's own choice.
const FIRST_SHARE: f64 = 0.5;

/// Shares have so many parts: as many digits as anybody reads.
const SHARE_PARTS: f64 = 10_000.0;

/// What a bandit learns from. Everybody counts at the end of the window.
#[derive(Debug, Clone, Copy)]
pub struct Learnt<'a> {
    /// The recommendations, and what is observed of those who followed them.
    pub followed: Followed<'a>,
    /// The experiment's own groups, which nothing moves.
    pub audit: &'a ByMarket,
}

/// Where a bandit stands. No number in it is NaN or infinite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BanditStanding {
    /// Everybody first, then the markets by name.
    pub scopes: Vec<ScopeShares>,
    /// What followers tell of every variant but control, whatever the shares were: it holds once, at the end.
    pub effects: Vec<BanditEffect>,
    /// The tests for harm of every variant but control on the primary metric and the guardrails, at boundaries that hold at all looks.
    pub checks: Vec<BanditCheck>,
    /// Variants that are shown to do harm; they get nothing any more.
    pub stopped: Vec<VariantName>,
    /// What knowing the best variant of every market would add on average, as a share of what the best bets bring. `None` where that
    /// cannot be told.
    pub remaining_value: Option<f64>,
    /// What is to be done.
    pub next: BanditStep,
    /// All of it for people.
    pub sentence: String,
}

/// The shares of one scope.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScopeShares {
    /// For whom they are.
    pub scope: RecommendationScope,
    /// The current recommendation; `None` where the scope has none of its own yet.
    pub recommendation_id: Option<RecommendationId>,
    /// Since when it is current.
    pub since: Option<Timestamp>,
    /// Whether one variant goes to everybody in it, so that nothing is dealt any more.
    pub is_decided: bool,
    /// How many waves it has had.
    pub waves: u64,
    /// How many followers of all its waves count, by variant.
    pub counted: BTreeMap<VariantName, u64>,
    /// The shares as they are.
    pub shares: BTreeMap<VariantName, f64>,
    /// The chance of each variant to be the best in it; empty where nothing can be told of it.
    pub chances: BTreeMap<VariantName, f64>,
    /// The shares that follow from them.
    pub proposed: BTreeMap<VariantName, f64>,
}

/// A variant against control, from followers alone: augmented inverse propensity weighting. Hadad et al., PNAS 118 (2021).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BanditEffect {
    /// The variant.
    pub variant: VariantName,
    /// Variant minus control, in the primary metric's unit per follower.
    pub difference: f64,
    /// Of `difference`, at one minus the experiment's alpha.
    pub interval: Interval,
    /// Two-sided.
    pub p_value: f64,
    /// From so many waves.
    pub waves: u64,
}

/// Whether a variant does harm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BanditCheck {
    /// The variant.
    pub variant: VariantName,
    /// What is known of it on one metric.
    pub check: HarmCheck,
}

/// What a bandit does next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum BanditStep {
    /// Everybody is dealt all variants alike: the first wave.
    Begin,
    /// The shares change.
    Wave,
    /// Nothing yet.
    Wait {
        /// When the next wave is due. `None` where it waits for people to count.
        until: Option<Timestamp>,
    },
    /// Nothing is left to learn: the best bets go to everybody.
    Stop,
    /// One variant goes to everybody.
    Done,
}

/// Where the bandit of an experiment stands; `None` where it has none. The experiment must have been checked.
#[must_use]
pub fn standing(experiment: &Experiment, learnt: &Learnt<'_>, now: Timestamp) -> Option<BanditStanding> {
    look(experiment, learnt, now).map(|(standing, _)| standing)
}

/// The same with what it rests on, where anything is believed.
fn look(experiment: &Experiment, learnt: &Learnt<'_>, now: Timestamp) -> Option<(BanditStanding, Option<Believed>)> {
    let bandit = experiment.bandit.as_ref()?;
    let scope = RecommendationScope::default();
    let Some(everybody) = learnt.followed.current.iter().find(|made| made.scope == scope) else {
        return Some((first(experiment, scope), None));
    };
    let waves = effects::waves(experiment, &learnt.followed);
    let (checks, stopped) = effects::harm(experiment, &waves, learnt.followed.observed);
    let believed = pool::believed(experiment, learnt, &waves, &stopped).ok();
    let mut standing = BanditStanding {
        scopes: scopes(experiment, bandit, learnt, &waves, believed.as_ref()),
        effects: effects::effects(experiment, &waves, learnt.followed.observed),
        checks,
        stopped,
        remaining_value: believed.as_ref().and_then(|believed| believed.forecasts.remaining_value),
        next: BanditStep::Done,
        sentence: String::new(),
    };
    if !everybody.is_decided() {
        standing.next = next(experiment, bandit, learnt, believed.as_ref(), &standing, now);
    }
    standing.sentence = say::standing(experiment, &standing, believed.is_some());
    Some((standing, believed))
}

/// Whether one variant goes to everybody, so that no look changes anything any more.
#[must_use]
pub fn is_over(current: &[Recommendation]) -> bool {
    current.iter().any(|made| made.scope.is_everybody() && made.is_decided())
}

/// The recommendations that are due: the first wave, the next one, or the best bets for everybody at the end. Once they are current, none
/// is due at the same moment. The experiment must have been checked.
pub fn next_wave(
    experiment: &Experiment,
    learnt: &Learnt<'_>,
    mut fresh: impl FnMut() -> RecommendationId,
    now: Timestamp,
) -> Vec<Recommendation> {
    let Some((standing, believed)) = look(experiment, learnt, now) else { return Vec::new() };
    let current = |scope: &RecommendationScope| learnt.followed.current.iter().find(|made| &made.scope == scope);
    let mut made = |scope: &RecommendationScope, weights: BTreeMap<VariantName, f64>, reason: String, expected| Recommendation {
        id: fresh(),
        experiment_id: experiment.experiment.clone(),
        scope: scope.clone(),
        variant: experiment.heaviest(&weights).clone(),
        weights,
        parent: current(scope).map(|made| made.id.clone()),
        reason,
        readout_id: None,
        valid_until: None,
        expected,
        created_at: now,
    };
    match standing.next {
        BanditStep::Begin => {
            standing.scopes.iter().map(|of| made(&of.scope, of.proposed.clone(), standing.sentence.clone(), None)).collect()
        }
        BanditStep::Wave => {
            let open = standing.scopes.iter().filter(|of| !of.is_decided && moves(of));
            open.map(|of| made(&of.scope, of.proposed.clone(), say::wave(experiment, of), None)).collect()
        }
        BanditStep::Stop => {
            let open = standing.scopes.iter().filter(|of| !of.is_decided);
            if standing.is_only_control(experiment) {
                let control = Recommendation::all_to(experiment.control());
                let own = open.filter(|of| of.recommendation_id.is_some());
                return own.map(|of| made(&of.scope, control.clone(), say::harm(experiment, of), None)).collect();
            }
            let Some(believed) = believed else { return Vec::new() };
            let Some(of_all) = best(&believed.forecasts.overall) else { return Vec::new() };
            let best_of = |of: &ScopeShares| match &of.scope.market {
                None => Some(of_all.clone()),
                Some(market) => believed.forecasts.markets.get(market).and_then(|arms| best(arms)).cloned(),
            };
            let bets = open.filter_map(|of| Some((of, best_of(of)?)));
            let own = bets.filter(|(of, bet)| of.recommendation_id.is_some() || bet.variant != of_all.variant);
            own.map(|(of, bet)| {
                let expected = Expected { gain: bet.gain, loss: bet.expected_loss };
                made(&of.scope, Recommendation::all_to(&bet.variant), say::stop(experiment, of, &bet), Some(expected))
            })
            .collect()
        }
        BanditStep::Wait { .. } | BanditStep::Done => Vec::new(),
    }
}

impl BanditStanding {
    /// Whether every other variant does harm.
    fn is_only_control(&self, experiment: &Experiment) -> bool {
        self.stopped.len() + 1 == experiment.sending().count()
    }
}

/// Before anything was recommended: all variants alike.
fn first(experiment: &Experiment, scope: RecommendationScope) -> BanditStanding {
    let names: Vec<&VariantName> = experiment.sending().map(|variant| &variant.name).collect();
    let even = vec![1.0 / names.len() as f64; names.len()];
    let everybody = ScopeShares {
        scope,
        recommendation_id: None,
        since: None,
        is_decided: false,
        waves: 0,
        counted: BTreeMap::new(),
        shares: BTreeMap::new(),
        chances: BTreeMap::new(),
        proposed: rounded(&names, &even),
    };
    BanditStanding {
        scopes: vec![everybody],
        effects: Vec::new(),
        checks: Vec::new(),
        stopped: Vec::new(),
        remaining_value: None,
        next: BanditStep::Begin,
        sentence: say::first(experiment),
    }
}

/// Everybody, then every market that has a recommendation or people enough for one.
fn scopes(
    experiment: &Experiment,
    bandit: &Bandit,
    learnt: &Learnt<'_>,
    waves: &[&Recommendation],
    believed: Option<&Believed>,
) -> Vec<ScopeShares> {
    let known = learnt.followed.current.iter().filter(|made| is_of_bandit(&made.scope)).map(|made| made.scope.clone());
    let large = believed
        .iter()
        .flat_map(|believed| believed.large_markets(COUNTED_MIN))
        .map(|market| RecommendationScope { market: Some(market.to_owned()), ..RecommendationScope::default() });
    let mut scopes: Vec<RecommendationScope> = known.chain(large).collect();
    scopes.sort_unstable();
    scopes.dedup();
    scopes.into_iter().map(|scope| scope_shares(experiment, bandit, learnt, waves, believed, scope)).collect()
}

fn scope_shares(
    experiment: &Experiment,
    bandit: &Bandit,
    learnt: &Learnt<'_>,
    waves: &[&Recommendation],
    believed: Option<&Believed>,
    scope: RecommendationScope,
) -> ScopeShares {
    let current = learnt.followed.current.iter().find(|made| made.scope == scope);
    let waves: Vec<&Recommendation> = waves.iter().copied().filter(|made| made.scope == scope).collect();
    let counted = |variant: &VariantName| {
        let of_wave = |made: &&Recommendation| Some(learnt.followed.observed.get(&made.id)?.arm(variant)?.mature);
        waves.iter().filter_map(of_wave).sum()
    };
    let forecasts = believed.and_then(|believed| match &scope.market {
        None => Some(&believed.forecasts.overall),
        Some(market) => believed.forecasts.markets.get(market),
    });
    let chances: Vec<(&VariantName, f64)> = forecasts.into_iter().flatten().map(chance).collect();
    let total: f64 = chances.iter().map(|(_, chance)| chance).sum();
    let chances: Vec<(&VariantName, f64)> = chances.into_iter().map(|(name, chance)| (name, chance / total)).collect();
    let shares = current.map(|made| made.weights.clone()).unwrap_or_default();
    ScopeShares {
        recommendation_id: current.map(|made| made.id.clone()),
        since: current.map(|made| made.created_at),
        is_decided: current.is_some_and(Recommendation::is_decided),
        waves: waves.len() as u64,
        counted: experiment.variants.iter().map(|variant| (variant.name.clone(), counted(&variant.name))).collect(),
        proposed: proposed(bandit, &chances).unwrap_or_else(|| shares.clone()),
        chances: chances.into_iter().map(|(name, chance)| (name.clone(), chance)).collect(),
        shares,
        scope,
    }
}

fn chance(forecast: &Forecast) -> (&VariantName, f64) {
    (&forecast.variant, forecast.probability_best)
}

/// The shares that follow from chances; `None` where there are none.
fn proposed(bandit: &Bandit, chances: &[(&VariantName, f64)]) -> Option<BTreeMap<VariantName, f64>> {
    let (names, chances): (Vec<&VariantName>, Vec<f64>) = chances.iter().copied().unzip();
    let chances = match bandit.rule {
        BanditRule::Thompson => chances,
        BanditRule::TopTwo => top_two_shares(&chances, FIRST_SHARE).ok()?,
    };
    Some(rounded(&names, &thompson_shares(&chances, bandit.floor).ok()?))
}

/// Shares with few digits that sum to one: what rounding leaves goes to the largest.
fn rounded(names: &[&VariantName], shares: &[f64]) -> BTreeMap<VariantName, f64> {
    let mut parts: Vec<f64> = shares.iter().map(|share| (SHARE_PARTS * share).round()).collect();
    let left = SHARE_PARTS - parts.iter().sum::<f64>();
    if let Some(largest) = parts.iter_mut().max_by(|one, other| one.total_cmp(other)) {
        *largest += left;
    }
    names.iter().zip(parts).map(|(name, parts)| ((*name).clone(), parts / SHARE_PARTS)).collect()
}

/// Whether a scope is one that a bandit deals for: everybody, or a market.
fn is_of_bandit(scope: &RecommendationScope) -> bool {
    scope.locale.is_none() && scope.segment.is_none()
}

/// Whether the shares change enough for a new wave. A scope without shares of its own has those of everybody so far.
fn moves(of: &ScopeShares) -> bool {
    let moved = |(name, share): (&VariantName, &f64)| (share - of.shares.get(name).copied().unwrap_or_default()).abs();
    let is_gone = of.shares.iter().any(|(name, share)| *share > 0.0 && !of.proposed.contains_key(name));
    is_gone || of.proposed.iter().map(moved).fold(0.0, f64::max) >= SHARE_STEP_MIN
}

fn next(
    experiment: &Experiment,
    bandit: &Bandit,
    learnt: &Learnt<'_>,
    believed: Option<&Believed>,
    standing: &BanditStanding,
    now: Timestamp,
) -> BanditStep {
    if standing.is_only_control(experiment) {
        return BanditStep::Stop;
    }
    let Some(believed) = believed else { return BanditStep::Wait { until: None } };
    let open = || standing.scopes.iter().filter(|of| !of.is_decided);
    // Where markets have shares of their own, hardly anybody follows everybody's.
    let has_markets = standing.scopes.iter().any(|of| of.scope.market.is_some());
    let is_asked = |of: &&ScopeShares| !has_markets || of.scope.market.is_some();
    let is_told = believed.counted_least() >= COUNTED_MIN;
    if is_told && open().filter(is_asked).all(|of| believed.is_settled(of.scope.market.as_deref())) {
        return BanditStep::Stop;
    }
    // What does harm is not sent until the next wave is due.
    let is_harmed = |of: &ScopeShares| standing.stopped.iter().any(|name| of.shares.get(name).is_some_and(|share| *share > 0.0));
    if open().any(is_harmed) {
        return BanditStep::Wave;
    }
    let current = learnt.followed.current.iter().filter(|made| is_of_bandit(&made.scope) && !made.is_decided());
    let latest = current.map(|made| made.created_at.as_microsecond()).max().unwrap_or_default();
    let due = latest.saturating_add(i64::from(bandit.wave_hours) * HOUR_MICROS);
    let due = Timestamp::from_microsecond(due).unwrap_or(Timestamp::MAX);
    match now < due {
        true => BanditStep::Wait { until: Some(due) },
        false if is_told && open().any(moves) => BanditStep::Wave,
        false => BanditStep::Wait { until: None },
    }
}

#[cfg(test)]
#[path = "bandit_tests.rs"]
mod tests;
