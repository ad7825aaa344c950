//! What a bandit does, for people.

use vocabulary::{Experiment, VariantName};

use super::{BanditStanding, BanditStep, ScopeShares};
use crate::decision::Forecast;
use crate::words::{count, percent, signed_percent, thousands};

/// Chances and shares are told to a percent.
const PARTS: f64 = 100.0;

fn whole(share: f64) -> String {
    percent((PARTS * share).round() / PARTS)
}

fn within(of: &ScopeShares) -> String {
    of.scope.market.as_ref().map(|market| format!("In {market} ")).unwrap_or_default()
}

/// The first wave.
pub(super) fn first(experiment: &Experiment) -> String {
    let variants = count(experiment.variants.len() as u64, "variant", "variants");
    format!("All {variants} are dealt out alike to begin with: nothing is known yet.")
}

/// Why the shares of a scope change.
pub(super) fn wave(experiment: &Experiment, of: &ScopeShares) -> String {
    let leader = experiment.variants.iter().map(|variant| &variant.name).rev();
    let chance = |name: &VariantName| of.chances.get(name).copied().unwrap_or_default();
    let Some(leader) = leader.max_by(|one, other| chance(one).total_cmp(&chance(other))) else { return String::new() };
    let counted: u64 = of.counted.values().sum();
    let shares: Vec<String> = of.proposed.iter().map(|(name, share)| format!("`{name}` {}", whole(*share))).collect();
    format!(
        "{}`{leader}` is the best on {} with a chance of {} after {}: the next wave is {}.",
        within(of),
        experiment.primary,
        whole(chance(leader)),
        match counted {
            0 => "the audit group's numbers".to_owned(),
            counted => format!("{} followers who count", thousands(counted)),
        },
        shares.join(", ")
    )
}

/// Why one variant goes to everybody.
pub(super) fn stop(experiment: &Experiment, of: &ScopeShares, bet: &Forecast) -> String {
    let (place, variant) = (within(of), &bet.variant);
    if variant == experiment.control() {
        return format!("{place}`{variant}` stays: nothing is expected to do better, and little is left to learn.");
    }
    let lift = bet.lift.map(|lift| format!(", {} against `{}`", signed_percent(lift), experiment.control())).unwrap_or_default();
    format!("{place}`{variant}` goes to everybody: it is the best bet{lift}, and little is left to learn.")
}

/// Why control goes to everybody again.
pub(super) fn harm(experiment: &Experiment, of: &ScopeShares) -> String {
    format!("{}`{}` goes to everybody again: every other variant is shown to do harm.", within(of), experiment.control())
}

/// Where it stands.
pub(super) fn standing(experiment: &Experiment, standing: &BanditStanding, is_told: bool) -> String {
    let stopped: Vec<String> = standing.stopped.iter().map(|name| format!("`{name}`")).collect();
    let harm = if stopped.is_empty() { String::new() } else { format!(" Shown to do harm: {}.", stopped.join(", ")) };
    let said = match &standing.next {
        BanditStep::Begin => first(experiment),
        BanditStep::Wave => "The shares change now.".to_owned(),
        BanditStep::Wait { until: Some(until) } => format!("The next wave is due at {until}."),
        BanditStep::Wait { until: None } if !is_told => {
            format!("Nothing can be told yet: the first outcomes count after {} hours.", experiment.window_hours)
        }
        BanditStep::Wait { until: None } => "The shares stay: what came in since does not change them.".to_owned(),
        BanditStep::Stop => "Little is left to learn: the best bets go to everybody now.".to_owned(),
        BanditStep::Done => "It is decided; nothing is dealt out any more.".to_owned(),
    };
    format!("{said}{harm}")
}
