//! From an experiment as people write it to an answer they can act on: the spec and its checks, assignment, the readout
//! of what was observed, the recommendation that follows from a readout, and what senders go by then.
//!
//! *Invariant:* this crate does no IO, reads no clock and draws no randomness but from a seed: the same input gives the
//! same bytes.
//! *Invariant:* it knows what units did, not events; `lake` makes [`cells::Unit`]s of events.
//!
//! Reading order: [`spec`], [`assign`], [`balance`], [`cells`], [`observe`], [`readout`], [`decision`], [`early`], [`mod@judge`],
//! [`mod@page`], [`mod@recommend`], [`mod@series`], [`rollout`], [`bandit`], [`guidance`], [`library`], [`sizing`], [`mod@simulate`].

pub mod adjusted;
pub mod assign;
pub mod balance;
pub mod bandit;
pub mod breakdown;
pub mod cells;
pub mod certificate;
mod check;
mod cuped;
pub mod decision;
mod doubt;
pub mod early;
mod error;
mod estimate;
pub mod guidance;
pub mod holdout;
pub mod judge;
pub mod library;
pub mod observe;
pub mod overlap;
pub mod page;
mod places;
pub mod readout;
pub mod recommend;
pub mod rollout;
pub mod series;
pub mod simulate;
pub mod sizing;
pub mod spec;
mod table;
#[cfg(test)]
mod testing;
mod verdict;
mod words;

pub use adjusted::{Adjusted, adjusted};
pub use assign::{Assigned, Assigner, in_layer, in_share};
pub use balance::{Balanced, CovariateBalance};
pub use bandit::{BanditStanding, Learnt};
pub use breakdown::{Breakdown, Dimension};
pub use cells::{Cells, Cut};
pub use certificate::{MetricCheck, MetricsCheck, check_metrics};
pub use decision::{Action, Decision, Look, decide};
pub use early::{EarlyEffect, EarlyForecast, EarlyLook, Glimpse};
pub use error::{ExperimentError, Problem};
pub use guidance::{Advice, Fallback, Guidance};
pub use judge::{Judged, judge};
pub use library::{Lesson, Library, Like, Prior, Programme, lessons, programme};
pub use observe::{ArmObservations, ByMarket, Funnel, Observations, Observed};
pub use overlap::{Overlap, overlaps};
pub use page::{PageInput, Rest, Waiting, page};
pub use readout::{
    Answer, ArmSummary, Doubt, Estimate, GuardrailCheck, GuardrailState, Readout, Role, SampleRatio, Verdict, VerdictKind,
    digest, readout,
};
pub use recommend::recommend;
pub use rollout::{Followed, HarmCheck, ScopeStanding, StepStanding, next_step, observed_hours, standing};
pub use series::{Series, series};
pub use simulate::{Designs, Simulated, parse_designs, simulate};
pub use sizing::{Asked, Past, PastError, PastMarket, Sizing, ValueCount, size};
pub use spec::{
    check, check_campaign, parse, parse_campaign, parse_forms, parse_products, parse_segments, parse_snippets, parse_templates,
    parse_triggers, to_yaml,
};
