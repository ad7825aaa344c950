//! What kept looks at an experiment are shown as.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::readouts::VerdictKindDocument;

/// A readout that was kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Look)]
pub struct LookRow {
    /// The readout's id.
    pub id: String,
    /// Only outcomes before count.
    #[schema(value_type = String, format = DateTime)]
    pub as_of: Timestamp,
    /// When it was kept.
    #[schema(value_type = String, format = DateTime)]
    pub stored_at: Timestamp,
    /// Which way its verdict went.
    #[schema(value_type = VerdictKindDocument)]
    pub verdict: experiment::VerdictKind,
    /// Its verdict in a sentence.
    pub sentence: String,
    /// Names the plan: the experiment as written, the table versions, the moment and the engine.
    pub plan_hash: String,
    /// SHA-256 of its bytes; `null` where it was kept before there were digests.
    pub digest: Option<String>,
    /// The version of each table that was read.
    pub versions: BTreeMap<String, i64>,
}

impl From<control::Look> for LookRow {
    fn from(look: control::Look) -> Self {
        let control::Look { readout, digest, stored_at, .. } = look;
        Self {
            id: readout.id,
            as_of: readout.as_of,
            stored_at,
            verdict: readout.verdict.kind,
            sentence: readout.verdict.sentence,
            plan_hash: readout.plan_hash,
            digest,
            versions: readout.versions,
        }
    }
}

/// What recomputing a kept look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LookState {
    /// It gives the same bytes.
    Same,
    /// It gives other bytes.
    Different,
    /// The kept bytes are not those that were kept: somebody changed them.
    Altered,
    /// It cannot be recomputed: the versions it read are gone.
    Gone,
    /// It cannot be recomputed: how the experiment was written is not known.
    Unknown,
}

/// A kept look, recomputed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LookCheck {
    /// The readout's id.
    pub id: String,
    /// Only outcomes before count.
    #[schema(value_type = String, format = DateTime)]
    pub as_of: Timestamp,
    /// What it came to.
    pub state: LookState,
    /// SHA-256 of the kept bytes.
    pub digest: String,
    /// SHA-256 of the recomputed bytes; `null` where there are none.
    pub recomputed: Option<String>,
    /// What that means.
    pub message: String,
}
