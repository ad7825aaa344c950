//! Two proportions compared within strata, such as markets or segments, and the comparisons put together.

use serde::{Deserialize, Serialize};

use super::Proportion;
use crate::answer::{Alternative, Degenerate, Interval, checked_alpha, finite, finite_interval};
use crate::means::relative::log_interval;
use crate::ratio::ChiSquare;
use crate::tail::{chi_square_upper, normal_quantile_upper};

/// The two arms of one stratum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stratum {
    /// Its recipients of control.
    pub control: Proportion,
    /// Its recipients of the variant.
    pub variant: Proportion,
}

/// What the strata say together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MantelHaenszel {
    /// (Σ (x_B − E))² / Σ V, chi-square with one degree of freedom.
    pub statistic: f64,
    /// Of the hypothesis that in no stratum the arms differ.
    pub p_value: f64,
    /// The pooled odds ratio, variant over control, with its interval; `None` where it is zero or infinite.
    pub odds_ratio: Option<(f64, Interval)>,
    /// The pooled ratio of proportions, variant over control; `None` where nobody in control succeeded.
    pub risk_ratio: Option<f64>,
    /// Whether the odds ratio is the same in every stratum; `None` below two strata that tell something, or where there is no
    /// odds ratio.
    pub homogeneity: Option<ChiSquare>,
}

/// One stratum's table as real numbers.
struct Table {
    /// Successes and failures of the variant and of control.
    hits_variant: f64,
    misses_variant: f64,
    hits_control: f64,
    misses_control: f64,
}

impl Table {
    fn new(stratum: &Stratum) -> Self {
        Self {
            hits_variant: stratum.variant.successes as f64,
            misses_variant: stratum.variant.count.saturating_sub(stratum.variant.successes) as f64,
            hits_control: stratum.control.successes as f64,
            misses_control: stratum.control.count.saturating_sub(stratum.control.successes) as f64,
        }
    }

    fn variant(&self) -> f64 {
        self.hits_variant + self.misses_variant
    }

    fn control(&self) -> f64 {
        self.hits_control + self.misses_control
    }

    fn hits(&self) -> f64 {
        self.hits_variant + self.hits_control
    }

    fn misses(&self) -> f64 {
        self.misses_variant + self.misses_control
    }

    fn all(&self) -> f64 {
        self.variant() + self.control()
    }

    /// Both arms have recipients, and neither all nor none succeeded.
    fn tells(&self) -> bool {
        self.variant() > 0.0 && self.control() > 0.0 && self.hits() > 0.0 && self.misses() > 0.0
    }

    /// Observed less expected successes of the variant, as a determinant so that nothing cancels, and the hypergeometric
    /// variance.
    fn excess(&self) -> (f64, f64) {
        let all = self.all();
        let excess = (self.hits_variant * self.misses_control - self.misses_variant * self.hits_control) / all;
        let variance = self.variant() / all * (self.control() / all) * (self.hits() * (self.misses() / (all - 1.0)));
        (excess, variance)
    }

    /// The variant's successes that fit the margins and the `odds_ratio` ψ, and their variance: the root of
    /// A (n_A − c + A) = ψ (c − A)(n_B − A) with c successes in both arms.
    fn fitted(&self, odds_ratio: f64) -> (f64, f64) {
        let (variant, control, hits) = (self.variant(), self.control(), self.hits());
        let (a, b, c) = (1.0 - odds_ratio, control - hits + odds_ratio * (hits + variant), -odds_ratio * hits * variant);
        let root = (b * b - 4.0 * a * c).max(0.0).sqrt();
        // The root between the bounds, without subtracting like numbers.
        let fitted = if b >= 0.0 { -2.0 * c / (b + root) } else { (root - b) / (2.0 * a) };
        let fitted = fitted.clamp((hits - control).max(0.0), hits.min(variant));
        let inverse = 1.0 / fitted + 1.0 / (hits - fitted) + 1.0 / (variant - fitted) + 1.0 / (control - hits + fitted);
        (fitted, 1.0 / inverse)
    }
}

/// The Cochran–Mantel–Haenszel test without correction for continuity, the pooled odds ratio with the interval of Robins,
/// Breslow and Greenland, the pooled ratio of proportions, and the test of Breslow and Day (without Tarone's term) that the
/// odds ratio is the same everywhere, on strata minus one degrees of freedom. With a, b the successes and failures of the
/// variant and c, d of control among N: odds ratio Σ(ad/N) / Σ(bc/N), risk ratio Σ(a n_A/N) / Σ(c n_B/N). A stratum with an
/// empty arm, or where all or none succeeded, tells nothing and is passed over. `alpha` lies between 0 and 1, two-sided.
/// Mantel & Haenszel, JNCI 22 (1959); Robins, Breslow & Greenland, Biometrics 42 (1986); Breslow & Day, *Statistical Methods
/// in Cancer Research* 1 (1980), §4.4.
///
/// # Errors
/// [`Degenerate`] when an arm of a stratum has more successes than recipients, no stratum tells anything, a number is not
/// finite, or alpha does not lie between 0 and 1.
pub fn mantel_haenszel(strata: &[Stratum], alpha: f64) -> Result<MantelHaenszel, Degenerate> {
    let alpha = checked_alpha(alpha)?;
    let (mut excess, mut variance, mut risk) = (0.0, 0.0, (0.0, 0.0));
    check_strata(strata)?;
    for stratum in strata {
        let table = Table::new(stratum);
        if table.tells() {
            let (more, spread) = table.excess();
            (excess, variance) = (excess + more, variance + spread);
            risk.0 += table.hits_variant * (table.control() / table.all());
            risk.1 += table.hits_control * (table.variant() / table.all());
        }
    }
    if variance <= 0.0 {
        return Err(Degenerate::new("in no stratum do both arms have recipients of whom some succeeded and some did not"));
    }
    let statistic = finite("statistic", excess * (excess / variance))?;
    let odds_ratio = pooled_odds_ratio(strata, alpha)?;
    Ok(MantelHaenszel {
        statistic,
        p_value: chi_square_upper(statistic, 1.0),
        odds_ratio,
        risk_ratio: (risk.1 > 0.0).then_some(risk.0 / risk.1),
        homogeneity: odds_ratio.map(|(ratio, _)| breslow_day(strata, ratio)).transpose()?.flatten(),
    })
}

/// Refuses more successes than recipients. An empty arm is allowed: such a stratum tells nothing and adds nothing.
fn check_strata(strata: &[Stratum]) -> Result<(), Degenerate> {
    for (number, stratum) in strata.iter().enumerate() {
        for (name, arm) in [("control", stratum.control), ("the variant", stratum.variant)] {
            if arm.successes > arm.count {
                return Err(Degenerate::new(format!("{name} in stratum {} has more successes than recipients", number + 1)));
            }
        }
    }
    Ok(())
}

fn pooled_odds_ratio(strata: &[Stratum], alpha: f64) -> Result<Option<(f64, Interval)>, Degenerate> {
    // Sums of R = ad/N and S = bc/N, and of their products with P = (a + d)/N and Q = (b + c)/N.
    let (mut r_sum, mut s_sum, mut pr, mut ps_qr, mut qs) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for stratum in strata {
        let table = Table::new(stratum);
        if !table.tells() {
            continue;
        }
        let all = table.all();
        let (p, q) = ((table.hits_variant + table.misses_control) / all, (table.misses_variant + table.hits_control) / all);
        let (r, s) = (table.hits_variant * (table.misses_control / all), table.misses_variant * (table.hits_control / all));
        (r_sum, s_sum) = (r_sum + r, s_sum + s);
        (pr, ps_qr, qs) = (pr + p * r, ps_qr + p * s + q * r, qs + q * s);
    }
    if r_sum <= 0.0 || s_sum <= 0.0 {
        return Ok(None);
    }
    let ratio = finite("odds ratio", r_sum / s_sum)?;
    let variance = pr / r_sum / (2.0 * r_sum) + ps_qr / r_sum / (2.0 * s_sum) + qs / s_sum / (2.0 * s_sum);
    let reach = normal_quantile_upper(alpha / 2.0) * variance.sqrt();
    let Interval { lower, upper } = log_interval(ratio, reach, Alternative::TwoSided);
    let interval = Interval { lower: lower.map(|end| end + 1.0), upper: upper.map(|end| end + 1.0) };
    Ok(Some((ratio, finite_interval(interval)?)))
}

fn breslow_day(strata: &[Stratum], odds_ratio: f64) -> Result<Option<ChiSquare>, Degenerate> {
    let (mut statistic, mut telling) = (0.0, 0_u64);
    for stratum in strata {
        let table = Table::new(stratum);
        if table.tells() {
            let (fitted, variance) = table.fitted(odds_ratio);
            let distance = table.hits_variant - fitted;
            // Without variance the margins leave one table only, which fits.
            statistic += if variance > 0.0 { distance * (distance / variance) } else { 0.0 };
            telling += 1;
        }
    }
    if telling < 2 {
        return Ok(None);
    }
    let statistic = finite("homogeneity statistic", statistic)?;
    let degrees_of_freedom = telling - 1;
    let p_value = chi_square_upper(statistic, degrees_of_freedom as f64);
    Ok(Some(ChiSquare { statistic, degrees_of_freedom, p_value }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stratum(control: (u64, u64), variant: (u64, u64)) -> Stratum {
        let arm = |(count, successes)| Proportion { count, successes };
        Stratum { control: arm(control), variant: arm(variant) }
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |strata: &[Stratum], expect: &str| {
            let error = mantel_haenszel(strata, 0.05).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(&[], "in no stratum");
        check(&[stratum((0, 0), (9, 3)), stratum((9, 0), (9, 0))], "in no stratum");
        check(&[stratum((9, 3), (9, 10))], "the variant in stratum 1 has more successes");
        check(&[stratum((0, 3), (9, 1))], "control in stratum 1");
        assert!(mantel_haenszel(&[stratum((9, 3), (9, 4))], 0.0).is_err());
        let one_sided = mantel_haenszel(&[stratum((9, 0), (9, 4))], 0.05).unwrap();
        assert_eq!((one_sided.odds_ratio, one_sided.risk_ratio, one_sided.homogeneity), (None, None, None));
    }

    proptest! {
        /// Strata that tell nothing change nothing; the arms' names turn the ratio; one stratum has the plain odds ratio.
        #[test]
        fn labels_and_silence_do_not_matter(
            counts in prop::collection::vec((2..100_000_u64, 2..100_000_u64, 0.01..0.99_f64, 0.01..0.99_f64), 1..6),
        ) {
            let strata: Vec<Stratum> = counts
                .iter()
                .map(|(a, b, p, q)| stratum((*a, (*a as f64 * p) as u64), (*b, (*b as f64 * q) as u64)))
                .collect();
            let Ok(answer) = mantel_haenszel(&strata, 0.05) else { return Ok(()) };
            let mut more = strata.clone();
            more.insert(0, stratum((0, 0), (7, 3)));
            more.push(stratum((5, 5), (7, 7)));
            prop_assert_eq!(answer, mantel_haenszel(&more, 0.05).unwrap());
            let turned: Vec<Stratum> = strata.iter().map(|s| Stratum { control: s.variant, variant: s.control }).collect();
            let other = mantel_haenszel(&turned, 0.05).unwrap();
            prop_assert!((answer.statistic - other.statistic).abs() <= 1e-9 * (1.0 + answer.statistic));
            if let (Some((here, interval)), Some((there, _))) = (answer.odds_ratio, other.odds_ratio) {
                prop_assert!((here * there - 1.0).abs() < 1e-10 && interval.contains(here));
            }
            if let (Some(here), Some(there)) = (answer.homogeneity, other.homogeneity) {
                prop_assert!((here.statistic - there.statistic).abs() <= 1e-6 * (1.0 + here.statistic));
            }
            if let ([only], Some((ratio, _))) = (strata.as_slice(), answer.odds_ratio) {
                let odds = |p: Proportion| p.successes as f64 / (p.count - p.successes) as f64;
                prop_assert!((ratio / (odds(only.variant) / odds(only.control)) - 1.0).abs() < 1e-10);
            }
        }
    }
}
