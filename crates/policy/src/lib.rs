//! May this person get this message now? Consent, suppression, quiet hours, caps, registration and wording, as data with
//! their sources, and one decision that names the rule and version it follows.
//!
//! *Invariant:* this crate does no IO, reads no clock and draws no randomness: the same rules, facts and moment give the same
//! decision.
//! *Invariant:* [`Rules::decide`] and [`Rules::explain`] take the same way, so an explanation is always of the decision.
//! *Invariant:* where a fact is missing the strictest rule that could hold does.
//!
//! Reading order: [`facts`], [`answer`], [`rules`], [`evaluate`], then what is asked: `suppression`, `consent`, `sending`,
//! `holdout`, `hours` (with [`local`] and [`window`]), `caps`, `registration`, `wording`; and [`calendar`].

pub mod answer;
pub mod calendar;
mod caps;
mod consent;
mod dates;
pub mod error;
pub mod evaluate;
pub mod facts;
mod holdout;
mod holidays;
mod hours;
mod in_force;
pub mod local;
mod place;
mod reader;
mod registration;
pub mod rule;
pub mod rules;
mod scope;
mod sending;
mod suppression;
mod tally;
pub mod window;
mod wording;

pub use answer::{Answer, Decision, Explanation, Finding, Reason, Round, Why};
pub use calendar::{CalendarDay, CampaignOutline, Conflict, ConflictKind, Effect, OwnDay};
pub use caps::SENDS_HOURS;
pub use consent::newest;
pub use error::RulesError;
pub use facts::{
    Basis, ConsentFact, ContactFacts, ContactZone, MessageFacts, Purpose, Schedule, Sender, SentFact, Suppression,
    SuppressionReason, Template,
};
pub use in_force::InForce;
pub use rule::{Rule, RuleKind};
pub use rules::Rules;
pub use window::Window;
