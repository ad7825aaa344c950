//! A seeded world of shoppers with known truth, who answer the real mails through the real links on a stepped clock: for
//! the demo, the tests and everybody who wants to hold an estimate against the truth.
//!
//! *Invariant:* the world talks to a server over HTTP and SMTP only; it cannot know more than a real shop and its
//! customers could, and the server cannot know the truth.
//! *Invariant:* what a shopper does follows from the seed, the shopper's number and the mail; never from wall time, nor from
//! the order in which the server works.
//!
//! Reading order: [`clock`], [`market`], [`shopper`], [`texts`], [`reading`], [`world`] (how shoppers behave), [`truth`]
//! (what is true because of it), [`client`] and [`sink`] (the two doors), [`drive`] (two weeks), [`outcome`].

pub mod client;
pub mod clock;
pub mod drive;
mod error;
mod mailbox;
pub mod market;
pub mod outcome;
pub mod reading;
pub mod shopper;
pub mod sink;
pub mod sink_mix;
pub mod texts;
pub mod truth;
pub mod world;

pub use client::Client;
pub use clock::{SeededIds, SteppedClock};
pub use drive::{DrivePlan, run};
pub use error::SimulatorError;
pub use outcome::{Outcome, Phase, Progress};
pub use truth::Truth;
pub use world::World;
