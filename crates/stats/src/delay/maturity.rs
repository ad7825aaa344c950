//! Who is old enough to count: a look at age h uses recipients that were sent to at least h ago, and only what they did within h.
//!
//! Then every recipient has had the same time, the effect at h is estimated without bias whichever message is faster, and looks
//! over the entry of cohorts have the information that group-sequential boundaries assume. Lan & DeMets, "Group sequential
//! procedures: calendar versus information time", Statistics in Medicine 8 (1989).

use serde::{Deserialize, Serialize};

use crate::answer::Degenerate;

/// Recipients of one age.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cohort {
    /// Hours since they were sent to, zero or more.
    pub age_hours: f64,
    /// How many they are.
    pub n: u64,
}

/// How much of an experiment can be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Maturity {
    /// Recipients sent to at least the horizon ago.
    pub mature_count: u64,
    /// Recipients sent to less than the horizon ago.
    pub immature_count: u64,
    /// The mature share of those sent to.
    pub mature_fraction: f64,
    /// The mature share of those planned, at most 1: the information time of group-sequential boundaries.
    pub information_time: f64,
}

/// How much of an experiment is mature at `horizon_hours` (≥ 0); `planned_count` is how many recipients there are to be in all.
///
/// # Errors
/// [`Degenerate`] when an age or the horizon is negative or not finite, nobody was sent to, or nobody is planned.
pub fn maturity(cohorts: &[Cohort], horizon_hours: f64, planned_count: u64) -> Result<Maturity, Degenerate> {
    if !(horizon_hours.is_finite() && horizon_hours >= 0.0) {
        return Err(Degenerate::new(format!("the horizon is {horizon_hours} hours; it must be zero or more")));
    }
    if let Some(cohort) = cohorts.iter().find(|cohort| !(cohort.age_hours.is_finite() && cohort.age_hours >= 0.0)) {
        return Err(Degenerate::new(format!("an age is {} hours; it must be zero or more", cohort.age_hours)));
    }
    if planned_count == 0 {
        return Err(Degenerate::new("no recipient is planned"));
    }
    let count = |of: &dyn Fn(&&Cohort) -> bool| cohorts.iter().filter(of).fold(0_u64, |sum, cohort| sum.saturating_add(cohort.n));
    let mature_count = count(&|cohort| cohort.age_hours >= horizon_hours);
    let immature_count = count(&|cohort| cohort.age_hours < horizon_hours);
    let sent = mature_count as f64 + immature_count as f64;
    if sent == 0.0 {
        return Err(Degenerate::new("nobody was sent to yet"));
    }
    Ok(Maturity {
        mature_count,
        immature_count,
        mature_fraction: mature_count as f64 / sent,
        information_time: (mature_count as f64 / planned_count as f64).min(1.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cohorts(cohorts: &[(f64, u64)]) -> Vec<Cohort> {
        cohorts.iter().map(|(age_hours, n)| Cohort { age_hours: *age_hours, n: *n }).collect()
    }

    #[test]
    fn only_those_old_enough_count() {
        let all = maturity(&cohorts(&[(30.0, 100), (24.0, 200), (23.9, 300), (1.0, 400)]), 24.0, 2_000).unwrap();
        assert_eq!((all.mature_count, all.immature_count), (300, 700));
        assert_eq!((all.mature_fraction, all.information_time), (0.3, 0.15));
        assert_eq!(maturity(&cohorts(&[(30.0, 100)]), 24.0, 50).unwrap().information_time, 1.0);
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |of: &[(f64, u64)], horizon, planned, expect: &str| {
            let error = maturity(&cohorts(of), horizon, planned).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(&[(-1.0, 1)], 1.0, 1, "age");
        check(&[(f64::NAN, 1)], 1.0, 1, "age");
        check(&[(1.0, 1)], f64::INFINITY, 1, "horizon");
        check(&[(1.0, 1)], 1.0, 0, "planned");
        check(&[], 1.0, 1, "nobody was sent to");
        check(&[(1.0, u64::MAX), (1.0, u64::MAX)], -1.0, 1, "horizon");
    }
}
