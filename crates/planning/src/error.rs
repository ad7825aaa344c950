//! Why a campaign cannot be planned.

/// Why a campaign cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanningError {
    /// The lake refused.
    #[error("the lake could not do it")]
    Lake(#[from] lake::LakeError),
    /// The control store refused.
    #[error("the control store could not do it")]
    Control(#[from] control::ControlError),
    /// The campaign cannot be planned as it is written; the text says what to mend.
    #[error("{0}")]
    Campaign(String),
    /// What a plan notes of the hours that were learned cannot be read or written.
    #[error("the plan's note of learned hours is no such note")]
    Habits(#[source] serde_json::Error),
    /// What a plan notes of its balance cannot be read or written.
    #[error("the plan's note of its balance is no such note")]
    Balance(#[source] serde_json::Error),
    /// Work that was given to other threads ended before it was done.
    #[error("a part of the work ended early")]
    Ended(#[from] tokio::task::JoinError),
}
