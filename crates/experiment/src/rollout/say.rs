//! What is to be done in a scope, for people.

use stats::Interval;
use vocabulary::{Experiment, Timestamp};

use super::chain::EVERYBODY;
use super::{FOLLOWERS_MIN, HarmCheck, ScopeStanding};
use crate::cells::HOUR_MICROS;
use crate::readout::{Doubt, GuardrailState};
use crate::words::{difference, percent, thousands};

/// What all sentences of a scope have in common.
pub(super) struct Told<'a> {
    experiment: &'a Experiment,
    standing: &'a ScopeStanding,
    /// The variant, after the market.
    it: String,
    /// The share as it is now.
    share: String,
    /// How many got the variant in all steps.
    got: String,
}

impl<'a> Told<'a> {
    pub(super) fn new(experiment: &'a Experiment, standing: &'a ScopeStanding) -> Self {
        let ScopeStanding { scope, variant, .. } = standing;
        let market = scope.market.as_ref().map(|market| format!("In {market} ")).unwrap_or_default();
        let got: u64 = standing.steps.iter().filter_map(|step| step.followers.get(variant)).sum();
        let got = format!("{} got it", thousands(got));
        Self { experiment, standing, it: format!("{market}`{variant}`"), share: percent(standing.share), got }
    }

    pub(super) fn stopped(&self) -> String {
        let Self { standing: ScopeStanding { control, checks, .. }, it, share, got, .. } = self;
        let broken = checks.iter().filter(|check| check.state == GuardrailState::Broken);
        let harm: Vec<String> = broken.filter_map(|check| self.harm(check)).collect();
        format!("{it} is stopped at {share} and `{control}` is sent: it does harm, {} ({got}).", harm.join(" and "))
    }

    /// How large the harm is on a metric.
    fn harm(&self, check: &HarmCheck) -> Option<String> {
        let metric = self.experiment.metrics.iter().find(|metric| metric.name == check.metric)?;
        let open = Interval { lower: None, upper: None };
        Some(format!("{} on {}", difference(metric, check.difference?, &open), metric.name))
    }

    pub(super) fn advanced(&self, to: u8, now: Timestamp) -> String {
        let Self { standing, it, got, .. } = self;
        let hours = now.as_microsecond().saturating_sub(standing.since.as_microsecond()) / HOUR_MICROS;
        let hours = if hours == 1 { "an hour".to_owned() } else { format!("{hours} hours") };
        let whom = if to == EVERYBODY { "everybody".to_owned() } else { format!("{to} %") };
        format!("{it} goes to {whom} now: after {hours} no harm is shown ({got}).")
    }

    pub(super) fn waiting(&self, until: Timestamp) -> String {
        let Self { it, share, got, .. } = self;
        format!("{it} goes to {share} until {until} at least; no harm is shown so far ({got}).")
    }

    pub(super) fn too_few(&self, counted: u64, until: Option<Timestamp>) -> String {
        let Self { it, share, .. } = self;
        let later = until.map(|until| format!(" Fewer will do at {until}.")).unwrap_or_default();
        format!("{it} stays at {share}: {FOLLOWERS_MIN} followers of each variant must count, and one has {counted}.{later}")
    }

    pub(super) fn doubted(&self, doubt: &Doubt) -> String {
        let Self { it, share, .. } = self;
        format!("{it} stays at {share} until somebody finds out what is wrong. {}", doubt.sentence)
    }

    pub(super) fn done(&self) -> String {
        let Self { standing, it, got, .. } = self;
        format!("{it} goes to everybody since {}; no harm was shown on the way ({got}).", standing.since)
    }
}
