//! Results of experiments, wherever they were run: from cells of counted units to a report with verdicts and doubts.
//!
//! *Invariant:* this crate does no IO, reads no clock and draws no randomness but from a seed: the same input gives the
//! same bytes.
//! *Invariant:* it knows sums, not rows of a file; `lake` reads files and hands over columns.
//!
//! Reading order: [`spec`] (what is asked), [`cells`] (what was counted), [`mod@report`] (what is answered), [`gather`]
//! (how units are counted) and [`aggregate`] (how sums are read), then [`report()`] and what it is made of.

mod adjust;
pub mod aggregate;
mod balance;
pub mod cells;
pub mod certify;
mod correction;
mod dates;
mod doubts;
mod estimate;
mod fleet;
mod frame;
pub mod gather;
mod looks;
pub mod page;
mod readout;
pub mod report;
mod rows;
mod sample_ratio;
mod segments;
pub mod spec;
pub mod text;
mod verdict;
mod words;

pub use readout::report;

#[cfg(test)]
mod certificate;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod hillstrom;
#[cfg(test)]
mod properties;
