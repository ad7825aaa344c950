//! What begins a message by itself: a trigger says that something became true of a contact (registered and did not order, left a
//! cart, spent much, has birthday) and which campaign they are sent then.
//!
//! People write a [`Trigger`] in YAML or JSON. [`Trigger::engine`] checks it and makes an [`Engine`], which is fed with the facts
//! of one contact as they come and keeps what it must remember in a small [`State`]. History is never read again.
//!
//! *Invariant:* this crate does no IO, reads no clock and draws no randomness: the same facts give the same firings.
//! *Invariant:* how facts are divided among evaluations does not matter, as long as each is told once and no later than the first
//! evaluation that is not before it: one by one or all at once after a week of downtime, the firings are the same.
//! *Invariant:* each entry of a contact is told once, as one [`Firing`], when it ends.
//!
//! Reading order: [`trigger`] and [`condition`] (the words of the language), [`fact`], [`engine`] with [`firing`] and [`state`]
//! (what is exact about time), then inward `watch` with `birthday`, `holdout`; `check` with `span`, [`amount`] and [`limits`];
//! `describe`.

pub mod amount;
mod birthday;
mod check;
pub mod condition;
mod describe;
pub mod engine;
pub mod error;
pub mod fact;
pub mod firing;
mod holdout;
pub mod limits;
mod span;
pub mod state;
pub mod trigger;
mod watch;

pub use condition::Condition;
pub use engine::Engine;
pub use error::TriggerError;
pub use fact::{Act, Fact, Person, What};
pub use firing::{Firing, Outcome};
pub use state::State;
pub use trigger::{Entry, Trigger};

#[cfg(test)]
mod tests;
