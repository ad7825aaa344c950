//! Clocks that jump: what a local time means when the clock skips it (a gap) or shows it twice (a fold).
//!
//! A gap: what should begin in it begins at the first moment after the jump, and what should end in it ends there too.
//! A fold: what begins in it begins the second time, and what ends in it ends the first time. So a span of hours never
//! holds a moment at which the clock, read either way, was outside it. A span that lies in a fold as a whole is the second.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

/// The moment at which something begins that should begin when the clock shows `local`. `None` beyond the year 9999.
#[must_use]
pub fn begins(zone: &TimeZone, local: DateTime) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok(),
        AmbiguousOffset::Fold { after, .. } => after.to_timestamp(local).ok(),
        AmbiguousOffset::Gap { after, .. } => jump_after(zone, after.to_timestamp(local).ok()?),
    }
}

/// The moment at which something ends that should end when the clock shows `local`. `None` beyond the year 9999.
#[must_use]
pub fn ends(zone: &TimeZone, local: DateTime) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local).ok(),
        AmbiguousOffset::Gap { after, .. } => jump_after(zone, after.to_timestamp(local).ok()?),
    }
}

/// The span of moments from one local time to another; `None` when there is none.
#[must_use]
pub fn span(zone: &TimeZone, from: DateTime, to: DateTime) -> Option<(Timestamp, Timestamp)> {
    let (first, last) = (begins(zone, from)?, ends(zone, to)?);
    if first < last {
        return Some((first, last));
    }
    let second = begins(zone, to)?;
    (first < second).then_some((first, second))
}

/// The jump itself: the first change of the clock after a moment before it. A local time in a gap, taken with the offset
/// that holds after the gap, is such a moment.
fn jump_after(zone: &TimeZone, moment: Timestamp) -> Option<Timestamp> {
    zone.following(moment).next().map(|change| change.timestamp())
}
