//! The mirror of a bandit and of where it stands, for the OpenAPI document: see [`super::documents`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ScopeView;
use super::documents::{document, words};
use super::readouts::IntervalDocument;
use super::rollouts::HarmCheckDocument;

words!(
    /// How the shares of a bandit follow from the chances of the variants to be best.
    BanditRuleDocument as BanditRule {
        /// As the chances are: earns the most while it learns.
        Thompson,
        /// Half to the best and half to its challengers: finds the best sooner.
        TopTwo,
    }
);
document!(
    /// How those who follow an experiment's recommendation are dealt its variants in waves, more of what looks better. The experiment's own
    /// groups are its audit: they stay as they were drawn.
    BanditDocument as Bandit {
        /// `thompson` where absent.
        #[schema(required = false)]
        rule: BanditRuleDocument,
        /// The share that every variant keeps; 0.05 where absent.
        #[schema(required = false)]
        floor: f64,
        /// How many hours a wave lasts at least; 24 where absent.
        #[schema(required = false)]
        wave_hours: u32,
    }
);
document!(
    /// The shares of one scope.
    ScopeSharesDocument as BanditShares {
        /// For whom they are.
        scope: ScopeView,
        /// The current recommendation; `null` where the scope has none of its own yet.
        #[schema(required = true)]
        recommendation_id: Option<String>,
        /// Since when it is current.
        #[schema(required = true, format = DateTime)]
        since: Option<String>,
        /// Whether one variant goes to everybody in it, so that nothing is dealt any more.
        is_decided: bool,
        /// How many waves it has had.
        waves: u64,
        /// How many followers of all its waves count, by variant.
        counted: BTreeMap<String, u64>,
        /// The shares as they are.
        shares: BTreeMap<String, f64>,
        /// The chance of each variant to be the best in it; empty where nothing can be told of it.
        chances: BTreeMap<String, f64>,
        /// The shares that follow from them.
        proposed: BTreeMap<String, f64>,
    }
);
document!(
    /// A variant against control, from followers alone, whatever the shares were (AIPW).
    BanditEffectDocument as BanditEffect {
        /// The variant.
        variant: String,
        /// Variant minus control, in the primary metric's unit per follower.
        difference: f64,
        /// Of `difference`, at one minus the experiment's alpha.
        interval: IntervalDocument,
        /// Two-sided.
        p_value: f64,
        /// From so many waves.
        waves: u64,
    }
);
document!(
    /// Whether a variant does harm.
    BanditCheckDocument as BanditCheck {
        /// The variant.
        variant: String,
        /// What is known of it on one metric.
        check: HarmCheckDocument,
    }
);

/// What a bandit does next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = BanditStep)]
pub enum BanditStepDocument {
    /// Everybody is dealt all variants alike: the first wave.
    Begin,
    /// The shares change.
    Wave,
    /// Nothing yet.
    Wait {
        /// When the next wave is due. `null` where it waits for people to count.
        #[schema(required = true, format = DateTime)]
        until: Option<String>,
    },
    /// Nothing is left to learn: the best bets go to everybody.
    Stop,
    /// One variant goes to everybody.
    Done,
}
document!(
    /// Where a bandit stands.
    BanditStandingDocument as BanditStanding {
        /// Everybody first, then the markets by name.
        scopes: Vec<ScopeSharesDocument>,
        /// What followers tell of every variant but control, whatever the shares were: it holds once, at the end.
        effects: Vec<BanditEffectDocument>,
        /// The tests for harm of every variant but control on the primary metric and the guardrails, at boundaries that hold at all looks.
        checks: Vec<BanditCheckDocument>,
        /// Variants that are shown to do harm; they get nothing any more.
        stopped: Vec<String>,
        /// What knowing the best variant of every market would add, as a share of what the best bets bring. `null` where that cannot be told.
        #[schema(required = true)]
        remaining_value: Option<f64>,
        /// What is to be done.
        next: BanditStepDocument,
        /// All of it for people.
        sentence: String,
    }
);
