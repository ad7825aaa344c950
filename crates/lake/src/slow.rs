//! The log of slow queries: the newest of those that took long, kept in memory, told to the server's log and read by SQL.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use vocabulary::Timestamp;

use crate::LakeError;
use crate::session::Group;

/// So many are kept: enough to see a bad hour, a few hundred KiB at most.
const QUERIES_MAX: usize = 256;
/// Longer texts are cut here; who asked knows the rest.
const TEXT_CHARS_MAX: usize = 2_000;

/// How a query ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Failed,
    /// Nobody listened any more.
    Stopped,
    /// It ran into the limit of time.
    TooLong,
    /// It never got a place.
    Crowded,
}

impl Outcome {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::TooLong => "too long",
            Self::Crowded => "crowded out",
        }
    }

    pub(crate) fn of<T>(result: &Result<T, LakeError>) -> Self {
        result.as_ref().map_or_else(Self::of_error, |_| Self::Done)
    }

    pub(crate) fn of_error(error: &LakeError) -> Self {
        match error {
            LakeError::TooLong { .. } => Self::TooLong,
            LakeError::Crowded { .. } => Self::Crowded,
            _ => Self::Failed,
        }
    }
}

/// One query that took long.
#[derive(Debug, Clone)]
pub(crate) struct SlowQuery {
    pub(crate) text: String,
    pub(crate) group: Group,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) waited: Duration,
    pub(crate) ran: Duration,
    pub(crate) rows: u64,
    pub(crate) outcome: Outcome,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct SlowLog {
    threshold: Duration,
    newest: Mutex<VecDeque<SlowQuery>>,
}

impl SlowLog {
    /// Keeps queries that take `threshold` or longer, waiting included.
    pub(crate) fn new(threshold: Duration) -> Self {
        Self { threshold, newest: Mutex::default() }
    }

    /// Oldest first.
    pub(crate) fn queries(&self) -> Vec<SlowQuery> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn note(&self, query: SlowQuery) {
        if query.waited + query.ran < self.threshold {
            return;
        }
        tracing::warn!(
            query = query.text,
            group = query.group.as_str(),
            outcome = query.outcome.as_str(),
            waited_seconds = query.waited.as_secs_f64(),
            seconds = query.ran.as_secs_f64(),
            rows = query.rows,
            "a query took long"
        );
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.len() == QUERIES_MAX {
            newest.pop_front();
        }
        newest.push_back(query);
    }
}

/// Measures one query and notes it when dropped, however it ends. Durations are not times: they need no clock handed in.
pub(crate) struct Watch {
    log: Arc<SlowLog>,
    query: SlowQuery,
    asked: Instant,
    began: Option<Instant>,
}

impl Watch {
    /// A query that is asked now, and was stopped unless [`Watch::ended`] says otherwise.
    pub(crate) fn start(log: &Arc<SlowLog>, text: &str, group: Group, started_at: Option<Timestamp>) -> Self {
        let text = match text.char_indices().nth(TEXT_CHARS_MAX) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text.to_owned(),
        };
        let (waited, ran) = (Duration::ZERO, Duration::ZERO);
        let query = SlowQuery { text, group, started_at, waited, ran, rows: 0, outcome: Outcome::Stopped };
        Self { log: log.clone(), query, asked: Instant::now(), began: None }
    }

    /// It got a place.
    pub(crate) fn began(&mut self) {
        self.began = Some(Instant::now());
    }

    /// It gave more rows.
    pub(crate) fn rows(&mut self, rows: usize) {
        self.query.rows += rows as u64;
    }

    /// It ended by itself.
    pub(crate) fn ended(&mut self, outcome: Outcome) {
        self.query.outcome = outcome;
    }

    /// How long it waited for its place, and how long it has run since.
    pub(crate) fn so_far(&self) -> (Duration, Duration) {
        match self.began {
            Some(began) => (began - self.asked, began.elapsed()),
            None => (self.asked.elapsed(), Duration::ZERO),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let (waited, ran) = self.so_far();
        self.log.note(SlowQuery { waited, ran, ..self.query.clone() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(log: &Arc<SlowLog>, text: &str) -> Watch {
        Watch::start(log, text, Group::Analysts, None)
    }

    #[test]
    fn only_what_took_long_is_kept_and_waiting_counts() {
        let log = Arc::new(SlowLog::new(Duration::from_secs(1)));
        let ms = Duration::from_millis;
        for (waited, ran) in [(400, 599), (400, 600), (1_000, 0)] {
            let query = watch(&log, &format!("{waited} {ran}")).query.clone();
            log.note(SlowQuery { waited: ms(waited), ran: ms(ran), ..query });
        }
        let kept: Vec<_> = log.queries().into_iter().map(|query| (query.text, query.waited, query.ran)).collect();
        assert_eq!(kept, [("400 600".to_owned(), ms(400), ms(600)), ("1000 0".to_owned(), ms(1_000), ms(0))]);
    }

    #[test]
    fn the_newest_are_kept_and_long_texts_are_cut() {
        let log = Arc::new(SlowLog::new(Duration::ZERO));
        for number in 0..QUERIES_MAX + 2 {
            drop(watch(&log, &number.to_string()));
        }
        drop(watch(&log, &"ä".repeat(TEXT_CHARS_MAX + 1)));
        let kept = log.queries();
        assert_eq!((kept.len(), kept[0].text.as_str()), (QUERIES_MAX, "3"));
        let last = &kept.last().unwrap().text;
        assert_eq!((last.chars().count(), last.ends_with("ä…")), (TEXT_CHARS_MAX + 1, true));
        assert_eq!(kept[0].outcome, Outcome::Stopped);
    }
}
