//! Named audiences: a segment is a small tree of conditions that people write in YAML or JSON, and compiles to one SQL query
//! that gives the `contact_key` of everybody it holds for.
//!
//! *Invariant:* this crate does no IO, reads no clock and draws no randomness: the same segment, moment and base currency give
//! the same SQL, byte for byte.
//! *Invariant:* no text of a segment can become anything but a text literal of its SQL; only `sql` is SQL.
//! *Invariant:* conditions are true or false. What is not known of a contact is false, and `not` of it is true: `not` of
//! `country: [DE]` holds for a contact whose country is unknown.
//!
//! Reading order: [`segment`], [`condition`] (the words of the language), [`behaviour`] and [`person`] (what stands behind them),
//! [`decimal`], `span` (within 30 days, as times), `check` with [`limits`], `compile` with `scan` and `expression` (the SQL),
//! `describe`.

pub mod behaviour;
mod check;
mod compile;
pub mod condition;
pub mod decimal;
mod describe;
pub mod error;
mod expression;
pub mod limits;
pub mod person;
mod scan;
pub mod segment;
mod span;

pub use behaviour::{Act, Behaviour, Spent};
pub use condition::Condition;
pub use decimal::Decimal;
pub use error::SegmentError;
pub use person::{Age, Attribute, Birthday, Registered};
pub use segment::Segment;

#[cfg(test)]
mod tests;
