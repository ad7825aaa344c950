//! Times as people write them: by a clock, and where the clock shows a time twice, the first or the second.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};

/// `2026-12-01 20:59`, with `first`, `second`, `Z` or the name of a time zone behind it; a date alone is its midnight in UTC.
pub(crate) fn moment(text: &str, zone: Option<&TimeZone>) -> Result<Timestamp, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (local, rest) = match words.as_slice() {
        [date] => {
            let date: Date = date.parse().map_err(|_| format!("`{text}` is no time; write 2026-12-01 20:59"))?;
            return Ok(date.at(0, 0, 0, 0).to_zoned(TimeZone::UTC).map_err(|error| error.to_string())?.timestamp());
        }
        [date, time, rest @ ..] => (local(&format!("{date} {time}"))?, rest),
        [] => return Err("a time is missing".to_owned()),
    };
    let (zone, which) = match rest {
        [] | ["first" | "second"] => {
            let zone = zone.ok_or_else(|| format!("`{text}` needs a clock; write the time zone behind it"))?;
            (zone.clone(), rest.first().copied())
        }
        ["Z"] => (TimeZone::UTC, None),
        [name] => (named(name)?, None),
        _ => return Err(format!("`{text}` is no time; write 2026-12-01 20:59 and at most one word behind it")),
    };
    let offset = match (zone.to_ambiguous_timestamp(local).offset(), which) {
        (AmbiguousOffset::Unambiguous { offset }, None) => offset,
        (AmbiguousOffset::Fold { before, .. }, Some("first")) => before,
        (AmbiguousOffset::Fold { after, .. }, Some("second")) => after,
        (AmbiguousOffset::Unambiguous { .. }, _) => return Err(format!("`{text}` comes only once")),
        (AmbiguousOffset::Fold { .. }, _) => return Err(format!("`{text}` comes twice; write first or second behind it")),
        (AmbiguousOffset::Gap { .. }, _) => return Err(format!("`{text}` never comes: the clock jumps over it")),
    };
    offset.to_timestamp(local).map_err(|error| error.to_string())
}

/// A local time such as `2026-12-01 20:59`.
pub(crate) fn local(text: &str) -> Result<DateTime, String> {
    text.parse().map_err(|_| format!("`{text}` is no time; write 2026-12-01 20:59"))
}

/// A time zone by name.
pub(crate) fn named(name: &str) -> Result<TimeZone, String> {
    TimeZoneDatabase::bundled().get(name).map_err(|_| format!("`{name}` is no time zone"))
}
