//! Events per exposure, such as unsubscribes per message sent, compared as Poisson rates.

use serde::{Deserialize, Serialize};

use super::Proportion;
use super::intervals::wilson_limits;
use crate::answer::{Alternative, Degenerate, Interval, checked_alpha, finite, finite_interval};
use crate::tail::{normal_quantile_upper, normal_upper};

/// Events among an exposure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// How many events.
    pub count: u64,
    /// What they happened in: messages, days, recipient-days. More than zero.
    pub exposure: f64,
}

/// A ratio of rates with its test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RateRatio {
    /// The variant's rate over control's; `None` where control has no event, and the ratio no end.
    pub ratio: Option<f64>,
    /// Positive where the variant's rate is the higher.
    pub statistic: f64,
    /// Of the alternative that was asked for.
    pub p_value: f64,
    /// Of the ratio, two-sided; without an upper end where control has no event.
    pub interval: Interval,
}

/// The score test of equal Poisson rates, z = (c_B − c_A d)/√((c_A + c_B) d) with d = e_B/e_A, and the two-sided score
/// interval of the ratio: Wilson's interval of c_B/(c_A + c_B), an end w mapped to w/(1 − w) · e_A/e_B. `alpha` lies between
/// 0 and 1. Ng & Tang, "Testing the equality of two Poisson means using the rate ratio", Statistics in Medicine 24 (2005);
/// Sato, Biometrics 46 (1990).
///
/// # Errors
/// [`Degenerate`] when an exposure is not more than zero, neither arm has an event, a number is not finite, or alpha does not
/// lie between 0 and 1.
pub fn poisson_rate_ratio(control: Rate, variant: Rate, alternative: Alternative, alpha: f64) -> Result<RateRatio, Degenerate> {
    let z = normal_quantile_upper(checked_alpha(alpha)? / 2.0);
    for (name, rate) in [("control", control), ("the variant", variant)] {
        if !(rate.exposure.is_finite() && rate.exposure > 0.0) {
            return Err(Degenerate::new(format!("the exposure of {name} is {}; it must be more than zero", rate.exposure)));
        }
    }
    let events = control.count.checked_add(variant.count).filter(|events| *events > 0);
    let Some(events) = events else {
        return Err(Degenerate::new("neither arm has an event, or there are too many to count"));
    };
    let scale = finite("ratio of the exposures", variant.exposure / control.exposure)?;
    if scale <= 0.0 {
        return Err(Degenerate::new("the exposures differ so much that their ratio is zero"));
    }
    let (of_control, of_variant) = (control.count as f64, variant.count as f64);
    let statistic = finite("statistic", (of_variant - of_control * scale) / (events as f64 * scale).sqrt())?;
    // The odds w / (1 − w) at both ends; one minus a limit is the other limit of control's share, which keeps its digits.
    let (low, high) = wilson_limits(Proportion { count: events, successes: variant.count }, z)?;
    let (low_of_control, high_of_control) = wilson_limits(Proportion { count: events, successes: control.count }, z)?;
    let ratio = if control.count == 0 { None } else { Some(finite("rate ratio", of_variant / of_control / scale)?) };
    let lower = low / high_of_control / scale;
    let upper = if low_of_control <= 0.0 { None } else { Some(high / low_of_control / scale) };
    // Rounding must not put the ratio outside.
    let lower = lower.min(ratio.unwrap_or(lower));
    let upper = upper.zip(ratio).map(|(upper, ratio)| upper.max(ratio));
    Ok(RateRatio {
        ratio,
        statistic,
        p_value: alternative.p_value(statistic, normal_upper),
        interval: finite_interval(Interval { lower: Some(lower), upper })?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |control: (u64, f64), variant: (u64, f64), expect: &str| {
            let rate = |(count, exposure)| Rate { count, exposure };
            let error = poisson_rate_ratio(rate(control), rate(variant), Alternative::TwoSided, 0.05).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check((1, 0.0), (1, 1.0), "exposure of control is 0");
        check((1, 1.0), (1, f64::NAN), "exposure of the variant is NaN");
        check((0, 1.0), (0, 1.0), "neither arm has an event");
        check((1, 1e300), (1, 1e-300), "differ so much");
        check((1, 1e-300), (1, 1e300), "ratio of the exposures");
        let open = poisson_rate_ratio(
            Rate { count: 0, exposure: 100.0 },
            Rate { count: 5, exposure: 100.0 },
            Alternative::Greater,
            0.05,
        )
        .unwrap();
        assert!(open.ratio.is_none() && open.interval.upper.is_none() && open.interval.lower.unwrap() > 1.0);
    }

    proptest! {
        /// The interval inverts the score test of any ratio: at its ends the test with the exposures scaled by them is at
        /// alpha; and the arms' names turn the ratio.
        #[test]
        fn the_interval_inverts_the_test(
            counts in (1..1_000_000_000_u64, 1..1_000_000_000_u64),
            exposures in (1e-3..1e12_f64, 1e-3..1e12_f64),
            alpha in 1e-9..0.9_f64,
        ) {
            let (control, variant) = (Rate { count: counts.0, exposure: exposures.0 }, Rate { count: counts.1, exposure: exposures.1 });
            let answer = poisson_rate_ratio(control, variant, Alternative::TwoSided, alpha).unwrap();
            for end in [answer.interval.lower.unwrap(), answer.interval.upper.unwrap()] {
                let scaled = Rate { exposure: variant.exposure * end, ..variant };
                let at_end = poisson_rate_ratio(control, scaled, Alternative::TwoSided, alpha).unwrap();
                prop_assert!((at_end.p_value / alpha - 1.0).abs() < 1e-4, "{} {alpha}", at_end.p_value);
            }
            let turned = poisson_rate_ratio(variant, control, Alternative::TwoSided, alpha).unwrap();
            prop_assert!((turned.ratio.unwrap() * answer.ratio.unwrap() - 1.0).abs() < 1e-12);
            prop_assert!((turned.statistic + answer.statistic).abs() <= 1e-9 * (1.0 + answer.statistic.abs()));
        }
    }
}
