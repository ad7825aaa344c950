//! What a campaign means for its audience: who gets which variant when, and who gets none and why. The planner's loop makes
//! plans of it, the sender asks again at the moment of handing over, and the API explains single decisions.
//!
//! *Invariant:* [`Planner::decide`] and [`Planner::explain`] take the same way, so an explanation is always of the decision.
//!
//! Reading order: [`fate`] (pure), [`facts`] (what is known of contacts), [`brief`] (what a campaign needs before it is planned),
//! [`hours`] (pure: at which hour, where that is learned), `balance` (which draw of an experiment's assignment counts), [`draft`] (a plan while it is made), `explain`.

mod balance;
pub mod brief;
pub mod draft;
mod dry_run;
mod error;
mod explain;
pub mod facts;
pub mod fate;
pub mod hours;

pub use balance::noted_draw;
pub use brief::{Brief, recommended};
pub use draft::Draft;
pub use dry_run::{Counts, DryRun, Ruled, done_at, spread_over_days};
pub use error::PlanningError;
pub use explain::{Explained, explain, plan_row};
pub use facts::{History, Known, Permissions, Sources, Stores};
pub use fate::{Asked, Fate, LeftOut, Person, Planner, content_of, content_of_sent, message_facts, preferred};
pub use hours::{Habit, Learned, LearnedHour};
