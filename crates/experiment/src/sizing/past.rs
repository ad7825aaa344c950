//! What the contacts of a list did before: the history that tests are sized and simulated with.

use serde::{Deserialize, Serialize};
use stats::{CoMoments, Degenerate};

/// A market's histogram has at most so many values; amounts of money are put together until they fit. More would make a
/// simulation slow and its answers no better.
pub const PAST_VALUES_MAX: usize = 1_000;

/// More markets than there are countries; whoever has more of them has put something else into the column.
pub const PAST_MARKETS_MAX: usize = 1_000;

/// No outcome is larger, on either side of zero: its fourth power is still a number.
pub const PAST_VALUE_MAX: f64 = 1e15;

/// What the contacts of the list did in a window as long as the experiment's, before now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Past {
    /// Whether less of the metric is better.
    #[serde(default)]
    pub lower_is_better: bool,
    /// By market; all contacts are in one of them.
    pub markets: Vec<PastMarket>,
}

/// The history of one market.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PastMarket {
    /// The market.
    pub market: String,
    /// How many contacts it has.
    pub contacts: u64,
    /// How many contacts had which value of the primary metric, in the metric's unit per contact; those it leaves out had 0.
    pub values: Vec<ValueCount>,
    /// Of two numbers per contact, of all of them: the primary metric in the window, and the same in the 90 days before it.
    pub moments: CoMoments,
}

/// A bar of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ValueCount {
    /// The value, in the metric's unit.
    pub value: f64,
    /// How many contacts have it.
    pub contacts: u64,
}

/// Why nothing can be planned, and what to do about it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PastError {
    /// There are no contacts with a past.
    #[error("the list has no contact with a history; import contacts and their orders, or wait until a window has passed")]
    NoHistory,
    /// The history contradicts itself.
    #[error("the history of market `{market}` cannot be used: {why}; count it anew")]
    Unsound {
        /// The market; empty where it is about all.
        market: String,
        /// What is wrong.
        why: String,
    },
    /// All contacts did the same.
    #[error(
        "all contacts had the same value of the primary metric in the past, so nothing tells how it varies; take a longer window \
         or another primary metric"
    )]
    NoVariance,
    /// A lift over nothing is none.
    #[error(
        "the primary metric had a mean of {mean} per contact, over which no lift can be told; take a metric whose mean is \
         above zero"
    )]
    NoBaseline {
        /// The mean, in the metric's unit per contact.
        mean: f64,
    },
    /// What is asked for is not possible.
    #[error("`{field}` {reason}")]
    Asked {
        /// What, as in [`super::Asked`] or in a text of designs.
        field: String,
        /// What is wrong and what to ask instead.
        reason: String,
    },
    /// The arithmetic has no answer.
    #[error("the size of the test {0}")]
    Degenerate(#[from] Degenerate),
}

impl Past {
    /// How many contacts the list has.
    #[must_use]
    pub fn contacts(&self) -> u64 {
        self.markets.iter().fold(0, |sum, market| sum.saturating_add(market.contacts))
    }

    /// The moments of all contacts: primary metric in the window, and before it.
    #[must_use]
    pub fn moments(&self) -> CoMoments {
        let mut all = CoMoments::new(2);
        self.markets.iter().filter(|market| market.moments.dimensions() == 2).for_each(|market| all.merge(&market.moments));
        all
    }

    /// The histogram of all contacts with the zeros it leaves out, ascending.
    #[must_use]
    pub fn values(&self) -> Vec<ValueCount> {
        let told = self.markets.iter().flat_map(|market| market.values.iter().copied());
        let zeros =
            self.markets.iter().map(|market| ValueCount { value: 0.0, contacts: market.contacts.saturating_sub(market.told()) });
        // Adding zero makes one of the two zeros.
        let all = told.chain(zeros).map(|bar| ValueCount { value: bar.value + 0.0, ..bar });
        let mut bars: Vec<ValueCount> = all.filter(|bar| bar.contacts > 0).collect();
        bars.sort_by(|one, other| one.value.total_cmp(&other.value));
        bars.dedup_by(|next, bar| {
            let is_same = next.value == bar.value;
            bar.contacts += if is_same { next.contacts } else { 0 };
            is_same
        });
        bars
    }

    /// Whether it can be planned with.
    ///
    /// # Errors
    /// [`PastError`] says what is missing or does not agree.
    pub fn check(&self) -> Result<(), PastError> {
        if self.contacts() == 0 {
            return Err(PastError::NoHistory);
        }
        let unsound = |market: &str, why: String| Err(PastError::Unsound { market: market.to_owned(), why });
        if self.markets.len() > PAST_MARKETS_MAX {
            return unsound("", format!("there are {} markets; the limit is {PAST_MARKETS_MAX}", self.markets.len()));
        }
        for PastMarket { market, contacts, values, moments } in &self.markets {
            if values.len() > PAST_VALUES_MAX {
                return unsound(market, format!("it has {} values; the limit is {PAST_VALUES_MAX}", values.len()));
            }
            if !values.iter().all(|bar| bar.value.abs() <= PAST_VALUE_MAX) {
                return unsound(market, format!("a value is not a number between -{PAST_VALUE_MAX:e} and {PAST_VALUE_MAX:e}"));
            }
            let told = values.iter().fold(0_u64, |sum, bar| sum.saturating_add(bar.contacts));
            if told > *contacts {
                return unsound(market, format!("its values are those of {told} contacts and it has {contacts}"));
            }
            if moments.dimensions() != 2 || moments.count != *contacts || !moments.is_sound() {
                return unsound(market, format!("its moments are not those of two numbers of {contacts} contacts"));
            }
        }
        let moments = self.moments().moments(0);
        if moments.variance().is_none_or(|variance| variance <= 0.0) {
            return Err(PastError::NoVariance);
        }
        if moments.mean <= 0.0 {
            return Err(PastError::NoBaseline { mean: moments.mean });
        }
        Ok(())
    }

    /// The correlation of the primary metric with the same before the window, squared: the share of its variance that CUPED
    /// removes. Deng, Xu, Kohavi & Walker, "Improving the sensitivity of online controlled experiments", WSDM (2013).
    #[must_use]
    pub fn explained(&self) -> f64 {
        let moments = self.moments();
        let both = moments.product(0, 0) * moments.product(1, 1);
        if both > 0.0 { (moments.product(0, 1).powi(2) / both).min(1.0) } else { 0.0 }
    }
}

impl PastMarket {
    fn told(&self) -> u64 {
        self.values.iter().map(|bar| bar.contacts).sum()
    }
}
