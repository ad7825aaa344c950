//! Fisher's exact test of a table of two arms and two outcomes, for any number of recipients.

use super::{Pooled, Proportion};
use crate::answer::{Alternative, Degenerate};
use crate::tail::hypergeometric_pmf;

/// Tables within this of the observed table's chance count as equally likely: rounding makes equal chances differ.
const TIE_RELATIVE: f64 = 1e-12;

/// The most recipients of both arms together. Tables out to some forty standard deviations are added up, a number that
/// grows with the root of the recipients.
const COUNT_MAX: u64 = 1_000_000_000_000;

/// The p-value of Fisher's exact test: how likely the observed number of the variant's successes, or one more against the
/// hypothesis that both arms are alike, is among all tables with the same numbers of recipients and successes
/// (hypergeometric). "Greater" adds up the tables with at least as many, "less" those with at most as many, two-sided those
/// that are at most as likely as the observed one. Fisher, "The logic of inductive inference", JRSS 98 (1935).
///
/// # Errors
/// [`Degenerate`] when an arm is empty or has more successes than recipients, or both together have more recipients than can
/// be added up.
pub fn fisher_exact(control: Proportion, variant: Proportion, alternative: Alternative) -> Result<f64, Degenerate> {
    Pooled::new(control, variant)?;
    let total = control.count.checked_add(variant.count).filter(|total| *total <= COUNT_MAX);
    let Some(total) = total else {
        return Err(Degenerate::new(format!("there are more than {COUNT_MAX} recipients, too many for an exact test")));
    };
    let table = Table { total, marked: control.successes + variant.successes, drawn: variant.count };
    let observed = variant.successes;
    Ok(match alternative {
        Alternative::Greater => table.at_least(observed),
        Alternative::Less => table.at_most(observed),
        Alternative::TwoSided => table.as_unlikely(observed),
    })
}

/// The tables with given margins, told apart by the variant's successes k.
struct Table {
    total: u64,
    marked: u64,
    drawn: u64,
}

impl Table {
    fn first(&self) -> u64 {
        (self.marked + self.drawn).saturating_sub(self.total)
    }

    fn last(&self) -> u64 {
        self.marked.min(self.drawn)
    }

    fn mode(&self) -> u64 {
        // (marked + 1)(drawn + 1) / (total + 2), in whole numbers that do not overflow.
        let product = u128::from(self.marked + 1) * u128::from(self.drawn + 1) / u128::from(self.total + 2);
        (product as u64).clamp(self.first(), self.last())
    }

    fn chance(&self, k: u64) -> f64 {
        hypergeometric_pmf(k, self.total, self.marked, self.drawn)
    }

    /// How many times more likely k + 1 is than k.
    fn step(&self, k: u64) -> f64 {
        let rest = self.total - self.marked - (self.drawn - k);
        (self.marked - k) as f64 / (k + 1) as f64 * ((self.drawn - k) as f64 / (rest + 1) as f64)
    }

    fn at_least(&self, k: u64) -> f64 {
        if k > self.mode() { self.upwards(k) } else { 1.0 - if k > self.first() { self.downwards(k - 1) } else { 0.0 } }
    }

    fn at_most(&self, k: u64) -> f64 {
        if k < self.mode() { self.downwards(k) } else { 1.0 - if k < self.last() { self.upwards(k + 1) } else { 0.0 } }
    }

    /// The chance of `from` and more, for `from` above the mode: the terms fall faster and faster.
    fn upwards(&self, from: u64) -> f64 {
        let first = self.chance(from);
        let (mut term, mut sum) = (1.0, 1.0);
        for k in from..self.last() {
            term *= self.step(k);
            sum += term;
            if term < sum * f64::EPSILON * 0.01 {
                break;
            }
        }
        (first * sum).min(1.0)
    }

    /// The chance of `from` and fewer, for `from` below the mode.
    fn downwards(&self, from: u64) -> f64 {
        let first = self.chance(from);
        let (mut term, mut sum) = (1.0, 1.0);
        for k in (self.first()..from).rev() {
            term /= self.step(k);
            sum += term;
            if term < sum * f64::EPSILON * 0.01 {
                break;
            }
        }
        (first * sum).min(1.0)
    }

    /// The chance of all tables that are at most as likely as `observed`.
    fn as_unlikely(&self, observed: u64) -> f64 {
        let (mode, limit) = (self.mode(), self.chance(observed) * (1.0 + TIE_RELATIVE));
        if self.chance(mode) <= limit {
            return 1.0;
        }
        // On the other side of the mode the chances fall, so the first that is small enough is found by halving.
        if observed > mode {
            let (mut low, mut high) = (self.first(), mode);
            while low < high {
                let middle = low + (high - low) / 2;
                if self.chance(middle) <= limit { low = middle + 1 } else { high = middle }
            }
            let below = if low > self.first() { self.downwards(low - 1) } else { 0.0 };
            return (self.upwards(observed) + below).min(1.0);
        }
        let (mut low, mut high) = (mode, self.last());
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if self.chance(middle) <= limit { high = middle - 1 } else { low = middle }
        }
        let above = if low < self.last() { self.upwards(low + 1) } else { 0.0 };
        (self.downwards(observed) + above).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn arm((count, successes): (u64, u64)) -> Proportion {
        Proportion { count, successes }
    }

    fn p_value(control: (u64, u64), variant: (u64, u64), alternative: Alternative) -> f64 {
        fisher_exact(arm(control), arm(variant), alternative).unwrap()
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |control, variant, expect: &str| {
            let error = fisher_exact(arm(control), arm(variant), Alternative::TwoSided).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check((0, 0), (5, 1), "no recipient");
        check((5, 6), (5, 1), "more successes");
        check((u64::MAX, 6), (5, 1), "too many");
    }

    /// The lady who tastes tea: Fisher, *The Design of Experiments* (1935). Of the 70 ways to choose four cups of eight, 17
    /// have three or four right.
    #[test]
    fn the_lady_tasting_tea() {
        assert!((p_value((4, 1), (4, 3), Alternative::Greater) - 17.0 / 70.0).abs() < 1e-14);
        assert!((p_value((4, 1), (4, 3), Alternative::TwoSided) - 34.0 / 70.0).abs() < 1e-14);
        assert!((p_value((4, 0), (4, 4), Alternative::TwoSided) - 2.0 / 70.0).abs() < 1e-15);
        assert_eq!(p_value((4, 0), (7, 0), Alternative::TwoSided), 1.0);
        assert_eq!(p_value((4, 0), (7, 0), Alternative::Greater), 1.0);
    }

    #[test]
    fn millions_of_recipients_are_no_matter() {
        // Near the normal approximation where that is good.
        let (control, variant) = ((300_000_000, 60_000_000), (300_000_000, 60_030_000));
        let exact = p_value(control, variant, Alternative::TwoSided);
        let z = super::super::difference::pooled_z(arm(control), arm(variant), Alternative::TwoSided).unwrap();
        assert!((exact / z.p_value - 1.0).abs() < 1e-3, "{exact} {}", z.p_value);
        let far = p_value((5_000_000, 50_000), (5_000_000, 54_000), Alternative::Greater);
        assert!(far > 0.0 && far < 1e-30, "{far}");
    }

    proptest! {
        /// Against adding up every table one by one; and the arms' names do not matter.
        #[test]
        fn every_table_counted(n in (1..200_u64, 1..200_u64), share in (0.0..=1.0_f64, 0.0..=1.0_f64)) {
            let (control, variant) = ((n.0, (n.0 as f64 * share.0) as u64), (n.1, (n.1 as f64 * share.1) as u64));
            let (total, marked) = (n.0 + n.1, control.1 + variant.1);
            let chance = |k: u64| hypergeometric_pmf(k, total, marked, n.1);
            let sum = |keep: &dyn Fn(u64) -> bool| (0..=marked.min(n.1)).filter(|k| keep(*k)).map(chance).sum::<f64>();
            let observed = chance(variant.1);
            let near = |actual: f64, expect: f64| (actual - expect).abs() <= 1e-11;
            prop_assert!(near(p_value(control, variant, Alternative::Greater), sum(&|k| k >= variant.1)));
            prop_assert!(near(p_value(control, variant, Alternative::Less), sum(&|k| k <= variant.1)));
            let two_sided = p_value(control, variant, Alternative::TwoSided);
            prop_assert!(near(two_sided, sum(&|k| chance(k) <= observed * (1.0 + 1e-10))));
            prop_assert!(near(two_sided, p_value(variant, control, Alternative::TwoSided)));
        }
    }
}
