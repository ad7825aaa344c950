//! Opens that no person made: mail programs and filters fetch images by themselves, so observed open rates are too high and
//! differences between them too small.
//!
//! Where a machine opens for a share π of the recipients whatever the message, r_obs = r (1 − π) + π, so r = (r_obs − π)/(1
//! − π) and a difference is 1/(1 − π) times the observed one. The errors are by the delta method, for the observed rates
//! and for π, which two arms may share. It is the correction of a prevalence for a test that errs: Rogan & Gladen, American
//! J. Epidemiology 107 (1978).

use serde::{Deserialize, Serialize};

use crate::answer::{Degenerate, Interval, checked_alpha, finite};
use crate::effect::Effect;
use crate::proportions::Proportion;
use crate::tail::normal_quantile_upper;

/// For what share of the recipients a machine opens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineShare {
    /// From 0 to less than 1.
    pub share: f64,
    /// Its standard error; 0 where it is known.
    #[serde(default)]
    pub standard_error: f64,
}

/// An open rate without machines.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CorrectedRate {
    /// As observed, machines included.
    pub observed: f64,
    /// Of persons.
    pub rate: f64,
    /// Of `rate`, for the opens and the machine share.
    pub standard_error: f64,
    /// Of `rate`, normal, at one minus alpha.
    pub interval: Interval,
}

/// Two arms without machines.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CorrectedOpens {
    /// Control.
    pub control: CorrectedRate,
    /// The treatment.
    pub treatment: CorrectedRate,
    /// The difference of persons' open rates.
    pub effect: Effect,
    /// The relative difference of persons' open rates.
    pub relative: f64,
    /// Of `relative`, by the delta method.
    pub relative_standard_error: f64,
    /// Of `relative`, normal, at one minus alpha.
    pub relative_interval: Interval,
}

/// The machine share from recipients whose open was flagged (by user agent, network or speed); `sensitivity` is the share of
/// machine opens that the flags catch, greater than 0 and at most 1.
///
/// # Errors
/// [`Degenerate`] when there is no recipient, more are flagged than there are, the sensitivity is out of range, or the
/// share would be one or more.
pub fn machine_share(flagged: Proportion, sensitivity: f64) -> Result<MachineShare, Degenerate> {
    if flagged.count == 0 || flagged.successes > flagged.count {
        return Err(Degenerate::new("flags need recipients, and no more flags than recipients"));
    }
    if !(sensitivity > 0.0 && sensitivity <= 1.0) {
        return Err(Degenerate::new(format!("the sensitivity is {sensitivity}; it must be greater than 0 and at most 1")));
    }
    let n = flagged.count as f64;
    let rate = flagged.successes as f64 / n;
    let share = MachineShare { share: rate / sensitivity, standard_error: (rate * (1.0 - rate) / n).sqrt() / sensitivity };
    checked(share)?;
    Ok(share)
}

/// Opens of two arms without machines. Where `treatment_share` is `None` both arms have the same machines and share the error of
/// their number.
///
/// # Errors
/// [`Degenerate`] when an arm is empty or has more opens than recipients, a share is not from 0 to less than 1, there are
/// fewer opens than machines alone would make, control has no person's open, or nothing varies.
pub fn correct_opens(
    control: Proportion,
    treatment: Proportion,
    share: MachineShare,
    treatment_share: Option<MachineShare>,
    alpha: f64,
) -> Result<CorrectedOpens, Degenerate> {
    let alpha = checked_alpha(alpha)?;
    let a = Part::new("control", control, share)?;
    let b = Part::new("the treatment", treatment, treatment_share.unwrap_or(share))?;
    let shared = treatment_share.is_none();
    // The variance of b_slope · rate_B − a_slope · rate_A.
    let variance = |a_slope: f64, b_slope: f64| {
        let of_opens = (a_slope * a.of_opens).powi(2) + (b_slope * b.of_opens).powi(2);
        let (of_a, of_b) = (a_slope * a.of_share, b_slope * b.of_share);
        of_opens + if shared { (of_b - of_a).powi(2) } else { of_a * of_a + of_b * of_b }
    };
    let difference = b.rate - a.rate;
    let standard_error = variance(1.0, 1.0).sqrt();
    if standard_error <= 0.0 {
        return Err(Degenerate::new("neither arm varies: in each, all or none opened"));
    }
    if a.rate <= 0.0 {
        return Err(Degenerate::new(
            "control has no more opens than machines alone would make, so a relative effect has no size",
        ));
    }
    let relative = finite("relative difference", difference / a.rate)?;
    let relative_standard_error = finite("relative error", variance((1.0 + relative) / a.rate, 1.0 / a.rate).sqrt())?;
    let z = normal_quantile_upper(alpha / 2.0);
    let around = |estimate: f64, error: f64| -> Result<Interval, Degenerate> {
        Ok(Interval::closed(finite("interval", estimate - z * error)?, finite("interval", estimate + z * error)?))
    };
    let corrected = |part: &Part| -> Result<CorrectedRate, Degenerate> {
        let standard_error = part.of_opens.hypot(part.of_share);
        Ok(CorrectedRate {
            observed: part.observed,
            rate: part.rate,
            standard_error,
            interval: around(part.rate, standard_error)?,
        })
    };
    Ok(CorrectedOpens {
        control: corrected(&a)?,
        treatment: corrected(&b)?,
        effect: Effect::normal(difference, standard_error, alpha)?,
        relative,
        relative_standard_error,
        relative_interval: around(relative, relative_standard_error)?,
    })
}

fn checked(MachineShare { share, standard_error }: MachineShare) -> Result<(), Degenerate> {
    if (0.0..1.0).contains(&share) && standard_error.is_finite() && standard_error >= 0.0 {
        return Ok(());
    }
    Err(Degenerate::new(format!("the machine share is {share} ± {standard_error}; it must be from 0 to less than 1")))
}

/// An arm's corrected rate and the error that each source gives it.
struct Part {
    observed: f64,
    rate: f64,
    of_opens: f64,
    /// With its sign: more machines mean fewer persons.
    of_share: f64,
}

impl Part {
    fn new(name: &str, opens: Proportion, share: MachineShare) -> Result<Self, Degenerate> {
        checked(share)?;
        if opens.count == 0 || opens.successes > opens.count {
            return Err(Degenerate::new(format!("{name} needs recipients, and no more opens than recipients")));
        }
        let n = opens.count as f64;
        let observed = opens.successes as f64 / n;
        let persons = 1.0 - share.share;
        let rate = (observed - share.share) / persons;
        if rate < 0.0 {
            return Err(Degenerate::new(format!("{name} has fewer opens than machines alone would make")));
        }
        Ok(Self {
            observed,
            rate,
            of_opens: (observed * (1.0 - observed) / n).sqrt() / persons,
            of_share: finite("error of the machine share", (observed - 1.0) / persons / persons * share.standard_error)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::numeric::Draws;

    fn arm(count: u64, successes: u64) -> Proportion {
        Proportion { count, successes }
    }

    #[test]
    fn an_effect_is_attenuated_by_machines() {
        // Persons open at 20 % and 30 %, machines for 40 %: observed 52 % and 58 %.
        let share = MachineShare { share: 0.4, standard_error: 0.0 };
        let corrected = correct_opens(arm(10_000, 5_200), arm(10_000, 5_800), share, None, 0.05).unwrap();
        assert!((corrected.control.rate - 0.2).abs() < 1e-12 && (corrected.treatment.rate - 0.3).abs() < 1e-12, "{corrected:?}");
        assert!((corrected.effect.difference - 0.1).abs() < 1e-12 && (corrected.relative - 0.5).abs() < 1e-12);
        let observed = ((0.52 * 0.48 + 0.58 * 0.42) / 10_000.0_f64).sqrt();
        assert!((corrected.effect.standard_error - observed / 0.6).abs() < 1e-12, "the error grows as the effect does");
        // Without machines nothing changes.
        let plain =
            correct_opens(arm(100, 20), arm(100, 30), MachineShare { share: 0.0, standard_error: 0.0 }, None, 0.05).unwrap();
        assert_eq!((plain.control.rate, plain.treatment.rate), (0.2, 0.3));
    }

    /// The delta method against draws of opens and share, shared and not.
    #[test]
    fn the_errors_are_those_of_repetitions() {
        let mut draws = Draws::seeded(21);
        let share = MachineShare { share: 0.4, standard_error: 0.02 };
        for own in [None, Some(share)] {
            let corrected = correct_opens(arm(4_000, 2_080), arm(4_000, 2_320), share, own, 0.05).unwrap();
            let (mut squares, mut relative) = (0.0, 0.0);
            let runs = 4_000;
            for _ in 0..runs {
                let pi_a = 0.4 + 0.02 * draws.normal();
                let pi_b = if own.is_some() { 0.4 + 0.02 * draws.normal() } else { pi_a };
                let noise = |rate: f64, draws: &mut Draws| rate + (rate * (1.0 - rate) / 4_000.0).sqrt() * draws.normal();
                let a = (noise(0.52, &mut draws) - pi_a) / (1.0 - pi_a);
                let b = (noise(0.58, &mut draws) - pi_b) / (1.0 - pi_b);
                squares += (b - a - 0.1).powi(2) / f64::from(runs);
                relative += (b / a - 1.5).powi(2) / f64::from(runs);
            }
            assert!((corrected.effect.standard_error / squares.sqrt() - 1.0).abs() < 0.06, "{corrected:?} {}", squares.sqrt());
            assert!(
                (corrected.relative_standard_error / relative.sqrt() - 1.0).abs() < 0.25,
                "{corrected:?} {}",
                relative.sqrt()
            );
        }
    }

    #[test]
    fn flags_give_the_share() {
        let share = machine_share(arm(1_000, 360), 0.9).unwrap();
        assert!((share.share - 0.4).abs() < 1e-12);
        assert!((share.standard_error - (0.36 * 0.64 / 1_000.0_f64).sqrt() / 0.9).abs() < 1e-12);
        assert!(machine_share(arm(10, 10), 0.9).unwrap_err().why.contains("less than 1"));
        assert!(machine_share(arm(0, 0), 0.9).unwrap_err().why.contains("recipients"));
        assert!(machine_share(arm(10, 1), 0.0).unwrap_err().why.contains("sensitivity"));
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |control: Proportion, treatment: Proportion, share: f64, expect: &str| {
            let error = correct_opens(control, treatment, MachineShare { share, standard_error: 0.0 }, None, 0.05).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(arm(0, 0), arm(10, 5), 0.1, "control needs recipients");
        check(arm(10, 5), arm(10, 11), 0.1, "the treatment needs recipients");
        check(arm(10, 5), arm(10, 5), 1.0, "less than 1");
        check(arm(10, 5), arm(10, 5), f64::NAN, "less than 1");
        check(arm(10, 5), arm(10, 1), 0.3, "the treatment has fewer opens");
        check(arm(10, 0), arm(10, 5), 0.0, "relative effect");
        check(arm(10, 10), arm(10, 10), 0.3, "neither arm varies");
    }

    proptest! {
        #[test]
        fn no_input_gives_nan(n in 0..1000_u64, a in 0..1000_u64, b in 0..1000_u64, share in any::<f64>(), error in any::<f64>()) {
            let share = MachineShare { share, standard_error: error };
            if let Ok(corrected) = correct_opens(arm(n, a), arm(n, b), share, None, 0.05) {
                prop_assert!(corrected.relative.is_finite() && corrected.relative_standard_error.is_finite());
                prop_assert!(corrected.effect.standard_error.is_finite() && corrected.control.standard_error.is_finite());
            }
        }

        /// The corrected difference excludes zero with a known share exactly when the observed one does.
        #[test]
        fn a_known_share_changes_no_verdict(a in 450..900_u64, b in 450..900_u64) {
            let known = |share| MachineShare { share, standard_error: 0.0 };
            let p = |share| correct_opens(arm(1000, a), arm(1000, b), known(share), None, 0.05).unwrap().effect.p_value;
            prop_assert!((p(0.4) - p(0.0)).abs() < 1e-9);
        }
    }
}
