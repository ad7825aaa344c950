//! The mirror of where a rollout stands, for the OpenAPI document: see [`super::documents`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ScopeView;
use super::documents::document;
use super::readouts::{DoubtDocument, GuardrailStateDocument, RoleDocument};

document!(
    /// One step and who followed it.
    StepStandingDocument as StepStanding {
        /// The recommendation.
        recommendation_id: String,
        /// The share that got the variant, from 0 to 1.
        share: f64,
        /// Since when.
        #[schema(format = DateTime)]
        since: String,
        /// How many contacts were sent control and the variant.
        followers: BTreeMap<String, u64>,
        /// How many of them are old enough to count.
        counted: BTreeMap<String, u64>,
    }
);
document!(
    /// Whether the variant does harm on a metric, over all steps so far.
    HarmCheckDocument as HarmCheck {
        /// The metric.
        metric: String,
        /// What it is for: primary or guardrail.
        role: RoleDocument,
        /// How much worse, relative to control, is tolerated; `null` for the primary metric.
        #[schema(required = true)]
        margin: Option<f64>,
        /// What is known, at a boundary that holds at all looks.
        state: GuardrailStateDocument,
        /// Variant minus control, in the metric's unit per follower. `null` where it cannot be computed.
        #[schema(required = true)]
        difference: Option<f64>,
        /// How far the variant is ahead of control in standard errors: negative is harm. `null` where it cannot be computed.
        #[schema(required = true)]
        statistic: Option<f64>,
        /// It is harm from minus this on. `null` where it cannot be computed.
        #[schema(required = true)]
        boundary: Option<f64>,
    }
);

/// What is to be done in a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = RolloutStep)]
pub enum StepDocument {
    /// Everybody is to get control again: harm is shown.
    Stop {
        /// What harm, with its numbers.
        reason: String,
    },
    /// The next step is due.
    Advance {
        /// Its share in percent.
        to: u8,
    },
    /// Nothing yet.
    Wait {
        /// From when on time alone may be enough. `null` where it takes followers, or somebody who finds out what is wrong.
        #[schema(required = true, format = DateTime)]
        until: Option<String>,
    },
    /// The variant goes to everybody.
    Done,
}
document!(
    /// Where the rollout of one scope stands.
    ScopeStandingDocument as RolloutStanding {
        /// For whom it is.
        scope: ScopeView,
        /// The current recommendation.
        recommendation_id: String,
        /// The variant that is rolled out.
        variant: String,
        /// The variant that everybody else gets.
        control: String,
        /// The share of those who follow that gets the variant now, from 0 to 1.
        share: f64,
        /// Since when.
        #[schema(format = DateTime)]
        since: String,
        /// All steps so far, the first one first and the current one last.
        steps: Vec<StepStandingDocument>,
        /// The primary metric, then the guardrails in the experiment's order.
        checks: Vec<HarmCheckDocument>,
        /// What is to be done.
        next: StepDocument,
        /// What must be found out before it goes on.
        doubts: Vec<DoubtDocument>,
        /// All of it for people.
        sentence: String,
    }
);
