//! The shapes of answers: an interval, what a test looks for, or the reason why there is no answer.

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

/// What a test looks for, and so on which side its interval is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alternative {
    /// The variant differs from control.
    #[default]
    TwoSided,
    /// The variant is greater.
    Greater,
    /// The variant is less.
    Less,
}

impl Alternative {
    /// The share of `alpha` in each tail that the test looks at: half of it, or all.
    #[must_use]
    pub fn alpha_per_tail(self, alpha: f64) -> f64 {
        if self == Self::TwoSided { 0.5 * alpha } else { alpha }
    }

    /// The p-value of a `statistic`, by the upper tail of its symmetric distribution.
    #[must_use]
    pub fn p_value(self, statistic: f64, upper: impl Fn(f64) -> f64) -> f64 {
        match self {
            Self::TwoSided => (2.0 * upper(statistic.abs())).min(1.0),
            Self::Greater => upper(statistic),
            Self::Less => upper(-statistic),
        }
    }

    /// The interval around `estimate` that reaches `reach` to each side the test closes: above what "greater" rules out
    /// there is no end. `reach` is the quantile at [`Alternative::alpha_per_tail`] times the standard error.
    #[must_use]
    pub fn interval(self, estimate: f64, reach: f64) -> Interval {
        let (lower, upper) = (Some(estimate - reach), Some(estimate + reach));
        match self {
            Self::TwoSided => Interval { lower, upper },
            Self::Greater => Interval { lower, upper: None },
            Self::Less => Interval { lower: None, upper },
        }
    }
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

/// Refuses an interval with an end that left the range of floating point.
pub(crate) fn finite_interval(interval: Interval) -> Result<Interval, Degenerate> {
    for end in [interval.lower, interval.upper].into_iter().flatten() {
        finite("interval", end)?;
    }
    Ok(interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_degenerate_answer_reads_as_a_sentence() {
        assert_eq!(Degenerate::new("control is empty").to_string(), "cannot be computed, because control is empty");
    }

    #[test]
    fn an_alternative_opens_the_other_side() {
        let check = |alternative: Alternative, name: &str, p_value: f64, lower, upper| {
            assert_eq!(serde_json::to_string(&alternative).unwrap(), name);
            assert_eq!(alternative.interval(1.0, 2.0), Interval { lower, upper });
            let upper_tail = |x: f64| if x > 0.0 { 0.1 } else { 0.9 };
            assert_eq!(alternative.p_value(1.5, upper_tail), p_value);
        };
        check(Alternative::default(), "\"two-sided\"", 0.2, Some(-1.0), Some(3.0));
        check(Alternative::Greater, "\"greater\"", 0.1, Some(-1.0), None);
        check(Alternative::Less, "\"less\"", 0.9, None, Some(3.0));
        assert_eq!((Alternative::TwoSided.alpha_per_tail(0.05), Alternative::Less.alpha_per_tail(0.05)), (0.025, 0.05));
    }

    #[test]
    fn an_open_side_contains_everything_beyond() {
        let check = |lower, upper, value, expect| assert_eq!(Interval { lower, upper }.contains(value), expect);
        check(Some(1.0), None, 1e300, true);
        check(None, Some(1.0), 1.5, false);
        check(Some(1.0), Some(2.0), 2.0, true);
    }
}
