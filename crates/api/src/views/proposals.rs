//! Proposals: what waits for a second person.

use control::Proposal;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::RecommendationView;
use super::documents::document;

document!(
    /// When a second person must approve: another key than the one that decided, and any where the server did.
    ApprovalDocument as Approval {
        /// From so many people on who are still to follow; 0 is always.
        from: u64,
    }
);

/// Recommendations that wait, or waited, for a second person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Proposal)]
pub struct ProposalView {
    /// Its id.
    pub id: String,
    /// The experiment.
    pub experiment_id: String,
    /// What would be recommended.
    pub recommendations: Vec<RecommendationView>,
    /// How many people were still to follow when it was made.
    pub recipients: u64,
    /// The name of the key that proposed it; `null` where the server decided by itself.
    pub proposed_by: Option<String>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub proposed_at: Timestamp,
    /// `open`, `approved`, `refused` or `superseded`.
    #[schema(example = "open")]
    pub state: String,
    /// The name of the key that approved or refused it.
    pub settled_by: Option<String>,
    /// When it was approved, refused or superseded.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub settled_at: Option<Timestamp>,
    /// Why it was refused.
    pub note: String,
}

impl From<Proposal> for ProposalView {
    fn from(proposal: Proposal) -> Self {
        Self {
            id: proposal.id,
            experiment_id: proposal.experiment.into(),
            recommendations: proposal.recommendations.into_iter().map(RecommendationView::from).collect(),
            recipients: proposal.recipients,
            proposed_by: proposal.proposed_by,
            proposed_at: proposal.proposed_at,
            state: proposal.state.to_string(),
            settled_by: proposal.settled_by,
            settled_at: proposal.settled_at,
            note: proposal.note,
        }
    }
}

/// Why a proposal is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefusalParams {
    /// For those who proposed it; at most 2,000 bytes.
    #[serde(default)]
    pub note: String,
}
