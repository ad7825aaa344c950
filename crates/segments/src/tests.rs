//! Segments as people write them: the samples against their golden SQL, the rest of the language, and what is refused.

mod golden;
mod language;
mod refused;

use jiff::Timestamp;
use vocabulary::Currency;

use crate::{Segment, SegmentError};

/// The moment of all tests.
fn at() -> Timestamp {
    "2026-03-01T12:30:00Z".parse().unwrap()
}

fn euro() -> Currency {
    Currency::new("EUR").unwrap()
}

/// A segment of one condition, written in YAML.
fn read(condition: &str) -> Result<Segment, String> {
    let condition = condition.replace('\n', "\n  ");
    serde_saphyr::from_str(&format!("segment: test\ncondition:\n  {condition}\n")).map_err(|error| error.to_string())
}

fn segment(condition: &str) -> Segment {
    read(condition).unwrap_or_else(|error| panic!("{condition}: {error}"))
}

fn query_of(segment: &Segment) -> Result<String, SegmentError> {
    segment.query(at(), euro())
}

fn query(condition: &str) -> String {
    query_of(&segment(condition)).unwrap_or_else(|error| panic!("{condition}: {error}"))
}

/// What stands behind WHERE of a condition's query, on one line.
fn clause(condition: &str) -> String {
    let query = query(condition);
    let clause = query.rsplit_once("\nWHERE ").unwrap().1;
    clause.split_whitespace().collect::<Vec<_>>().join(" ").replace("( ", "(").replace(" )", ")")
}
