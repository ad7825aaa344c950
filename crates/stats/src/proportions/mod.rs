//! Proportions and rates: differences and ratios, intervals that hold for few successes, exact tests, tables of counts, and
//! events per exposure.
//!
//! Reading order: [`difference`], [`intervals`] (of one proportion and of a difference), [`score`] (Miettinen–Nurminen),
//! [`exact`] (Fisher), [`table`] (chi-square and G), [`strata`] (Cochran–Mantel–Haenszel), [`rates`] (Poisson),
//! [`margin`] (non-inferiority).

pub mod difference;
pub mod exact;
pub mod intervals;
pub mod margin;
pub mod rates;
pub mod score;
pub mod strata;
pub mod table;

pub use difference::{two_proportion, two_proportion_test};
use serde::{Deserialize, Serialize};

use crate::answer::Degenerate;

/// Successes among trials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proportion {
    /// How many were tried.
    pub count: u64,
    /// How many of them succeeded.
    pub successes: u64,
}

/// Both arms together, as real numbers: recipients, successes, failures.
struct Pooled {
    count: f64,
    successes: f64,
    failures: f64,
}

impl Pooled {
    fn new(control: Proportion, variant: Proportion) -> Result<Self, Degenerate> {
        for (name, arm) in [("control", control), ("the variant", variant)] {
            checked(name, arm)?;
        }
        let count = control.count as f64 + variant.count as f64;
        let successes = control.successes as f64 + variant.successes as f64;
        let failures = (control.count - control.successes) as f64 + (variant.count - variant.successes) as f64;
        Ok(Self { count, successes, failures })
    }

    /// p (1 − p) of the pooled proportion p; zero where all or none succeeded.
    fn variance(&self) -> f64 {
        self.successes / self.count * (self.failures / self.count)
    }
}

/// The rate of an arm and the variance of that rate.
pub(crate) fn rate(name: &str, Proportion { count, successes }: Proportion) -> Result<(f64, f64), Degenerate> {
    if count == 0 {
        return Err(Degenerate::new(format!("{name} has no recipient")));
    }
    if successes > count {
        return Err(Degenerate::new(format!("{name} has more successes than recipients")));
    }
    let n = count as f64;
    let rate = successes as f64 / n;
    Ok((rate, rate * ((count - successes) as f64 / n) / n))
}

/// Refuses an arm without recipients or with more successes than recipients.
fn checked(name: &str, arm: Proportion) -> Result<Proportion, Degenerate> {
    rate(name, arm).map(|_| arm)
}
