//! The clock of a bench: the one place that reads it.

use std::time::{Duration, Instant};

use jiff::Timestamp;

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the server refuses events that lie ahead of its own clock")]
pub(crate) fn timestamp() -> Timestamp {
    Timestamp::now()
}

/// The value a share of all lie below; zero where there are none.
pub(crate) fn quantile(sorted: &[u32], share: f64) -> Duration {
    let at = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    Duration::from_micros(u64::from(sorted.get(at).copied().unwrap_or_default()))
}

/// Milliseconds with one decimal.
pub(crate) fn millis(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e3)
}
