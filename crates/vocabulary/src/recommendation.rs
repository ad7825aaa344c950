//! What the senders should use now, as an immutable value.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ExperimentId, RecommendationId, VariantName};

/// One decision. It never changes; "current" is one row in `control` that points to it, moved by compare-and-set from
/// `parent`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// Its own id.
    pub id: RecommendationId,
    /// The experiment it speaks for.
    pub experiment_id: ExperimentId,
    /// The variant to send.
    pub variant: VariantName,
    /// The recommendation it replaces; `None` for the first.
    pub parent: Option<RecommendationId>,
    /// One sentence for people: why.
    pub reason: String,
    /// The readout it rests on; `None` when a person decided or when the experiment began.
    pub readout_id: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}
