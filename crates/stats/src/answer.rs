//! The shapes of answers: an effect with its interval, or the reason why there is none.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why an answer cannot be computed. It is a result, not a failure: the reader is told instead of shown NaN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Degenerate {
    /// The reason, to follow "because".
    pub why: String,
}

impl Degenerate {
    /// Says why. `why` follows "cannot be computed, because".
    #[must_use]
    pub fn new(why: impl Into<String>) -> Self {
        Self { why: why.into() }
    }
}

impl fmt::Display for Degenerate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot be computed, because {}", self.why)
    }
}

impl std::error::Error for Degenerate {}

/// An interval of numbers; a side that is `None` is unbounded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub lower: Option<f64>,
    /// The upper end.
    pub upper: Option<f64>,
}

impl Interval {
    /// An interval with both ends.
    #[must_use]
    pub fn closed(lower: f64, upper: f64) -> Self {
        Self { lower: Some(lower), upper: Some(upper) }
    }

    /// Whether `value` lies within, ends included.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        self.lower.is_none_or(|lower| lower <= value) && self.upper.is_none_or(|upper| value <= upper)
    }
}

/// The difference variant minus control, with its test and interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Variant minus control.
    pub difference: f64,
    /// The standard error of the difference.
    pub standard_error: f64,
    /// Difference over standard error.
    pub statistic: f64,
    /// Of the t distribution; `None` where the normal distribution is used.
    pub degrees_of_freedom: Option<f64>,
    /// Two-sided.
    pub p_value: f64,
    /// Of the difference, two-sided, at one minus alpha.
    pub interval: Interval,
}

/// Refuses an alpha that leaves no interval.
pub(crate) fn checked_alpha(alpha: f64) -> Result<f64, Degenerate> {
    if alpha > 0.0 && alpha < 1.0 {
        return Ok(alpha);
    }
    Err(Degenerate::new(format!("alpha is {alpha}; it must lie between 0 and 1")))
}

/// Refuses a number that left the range of floating point, so that no answer ever holds NaN or an infinity.
pub(crate) fn finite(what: &str, value: f64) -> Result<f64, Degenerate> {
    if value.is_finite() {
        return Ok(value);
    }
    Err(Degenerate::new(format!("the {what} is not a finite number; the values are too large or not numbers")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_degenerate_answer_reads_as_a_sentence() {
        assert_eq!(Degenerate::new("control is empty").to_string(), "cannot be computed, because control is empty");
    }

    #[test]
    fn an_open_side_contains_everything_beyond() {
        let check = |lower, upper, value, expect| assert_eq!(Interval { lower, upper }.contains(value), expect);
        check(Some(1.0), None, 1e300, true);
        check(None, Some(1.0), 1.5, false);
        check(Some(1.0), Some(2.0), 2.0, true);
    }
}
