//! An experiment followed from look to look.
//!
//! A smallest p-value and an intersection of intervals may only be kept where the same quantity is estimated at every look.
//! In messaging it often is not: early openers differ from late ones, and weekdays from weekends. Where the effect may drift,
//! every look speaks for itself: the current interval, and the current e-value, which may fall again.

use serde::{Deserialize, Serialize};

use super::confidence::ConfidenceSequence;
use crate::answer::{Degenerate, Interval};

/// Whether all looks estimate the same quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stationarity {
    /// The effect is the same at every look, so evidence once gained is kept.
    Stationary,
    /// The effect may change from look to look, so only the current look is shown.
    Drifting,
}

/// What an experiment says at a look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TrackedLook {
    /// This look by itself.
    pub current: ConfidenceSequence,
    /// The smallest p-value of all looks where the estimand is stationary, otherwise that of this look.
    pub p_value: f64,
    /// The intersection of the intervals of all looks where the estimand is stationary, otherwise the interval of this look.
    /// `None` where the looks contradict each other: then the effect was not stationary after all.
    pub interval: Option<Interval>,
}

/// Follows an estimate over looks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tracker {
    alpha: f64,
    tuning: f64,
    stationarity: Stationarity,
    p_value: f64,
    interval: Option<Interval>,
}

impl Tracker {
    /// Begins. `tuning` is the number of recipients at which the intervals are to be narrowest.
    #[must_use]
    pub fn new(alpha: f64, tuning: f64, stationarity: Stationarity) -> Self {
        Self { alpha, tuning, stationarity, p_value: 1.0, interval: Some(Interval { lower: None, upper: None }) }
    }

    /// Looks at the estimate after `units` recipients (all so far, not those since the last look).
    ///
    /// # Errors
    /// [`Degenerate`] where [`ConfidenceSequence::new`] is; the look then does not count.
    pub fn look(&mut self, difference: f64, standard_error: f64, units: f64) -> Result<TrackedLook, Degenerate> {
        let current = ConfidenceSequence::new(difference, standard_error, units, self.alpha, self.tuning)?;
        match self.stationarity {
            Stationarity::Drifting => {
                self.p_value = current.p_value;
                self.interval = Some(current.interval);
            }
            Stationarity::Stationary => {
                self.p_value = self.p_value.min(current.p_value);
                self.interval = self.interval.and_then(|kept| intersection(kept, current.interval));
            }
        }
        Ok(TrackedLook { current, p_value: self.p_value, interval: self.interval })
    }
}

fn intersection(one: Interval, other: Interval) -> Option<Interval> {
    let lower = [one.lower, other.lower].into_iter().flatten().reduce(f64::max);
    let upper = [one.upper, other.upper].into_iter().flatten().reduce(f64::min);
    let empty = lower.zip(upper).is_some_and(|(lower, upper)| lower > upper);
    (!empty).then_some(Interval { lower, upper })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(stationarity: Stationarity) -> Vec<TrackedLook> {
        let mut tracker = Tracker::new(0.05, 1000.0, stationarity);
        let estimates = [(0.5, 1000.0), (0.1, 2000.0), (0.2, 3000.0)];
        estimates.map(|(difference, units)| tracker.look(difference, 3.0 / f64::sqrt(units), units).unwrap()).to_vec()
    }

    #[test]
    fn evidence_is_kept_only_where_the_effect_stays_the_same() {
        let kept = looks(Stationarity::Stationary);
        assert!(kept[0].p_value < 0.001 && kept.iter().all(|look| look.p_value == kept[0].p_value));
        assert!(kept[1].current.p_value > 0.5);
        assert_eq!(kept[1].interval.unwrap().lower, kept[0].current.interval.lower);
        assert_eq!(kept[1].interval.unwrap().upper, kept[1].current.interval.upper);
        for look in looks(Stationarity::Drifting) {
            assert_eq!((look.p_value, look.interval), (look.current.p_value, Some(look.current.interval)));
        }
    }

    #[test]
    fn looks_that_contradict_each_other_leave_nothing() {
        let mut tracker = Tracker::new(0.05, 1000.0, Stationarity::Stationary);
        tracker.look(1.0, 0.01, 1000.0).unwrap();
        assert!(tracker.look(-1.0, 0.01, 2000.0).unwrap().interval.is_none());
        assert!(tracker.look(1.0, 0.01, 3000.0).unwrap().interval.is_none());
    }

    #[test]
    fn a_look_without_an_answer_does_not_count() {
        let mut tracker = Tracker::new(0.05, 1000.0, Stationarity::Stationary);
        let before = tracker.clone();
        assert!(tracker.look(1.0, 0.0, 1000.0).is_err());
        assert_eq!(tracker, before);
    }
}
