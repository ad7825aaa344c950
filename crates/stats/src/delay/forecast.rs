//! The final conversion rate from partial conversions, where it is known how long conversions take.
//!
//! A cohort of n recipients of age t has had the share F(t) of its conversions, x ~ Binomial(n, r F(t)), so r̂ = Σ x / Σ n
//! F with the variance Σ n r F (1 − r F)/(Σ n F)². F is the empirical distribution of m past delays, which are themselves a
//! sample: with g_j the recipients older than delay j, Σ n F is their mean ḡ, and the influence of delay j on r̂ is −r (g_j
//! − ḡ)/ḡ, so the variance grows by Σ (influence)²/m². Lawless, "Adjustments for reporting delays and the prediction of
//! occurred but not reported events", Canadian Journal of Statistics 22 (1994); Chapelle, "Modeling delayed feedback in
//! display advertising", KDD (2014).
//!
//! Past delays must be those of the same message speed: a faster message looks better for a while.

use serde::{Deserialize, Serialize};

use crate::answer::{Degenerate, Interval, checked_alpha, finite};
use crate::effect::Effect;
use crate::tail::normal_quantile_upper;

/// Recipients of one age with their conversions so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgedCohort {
    /// Hours since they were sent to, zero or more.
    pub age_hours: f64,
    /// How many they are.
    pub n: u64,
    /// How many of them have converted.
    pub conversions: u64,
}

/// The final rate of an arm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DelayForecast {
    /// The predicted final conversion rate.
    pub rate: f64,
    /// Its standard error, from conversions and delays.
    pub standard_error: f64,
    /// Of the rate, normal, at one minus alpha, within 0 and 1.
    pub interval: Interval,
    /// The share of the final conversions that have been seen.
    pub completeness: f64,
    /// The conversions expected in the end: those seen and those to come.
    pub final_conversions: f64,
}

/// Two arms and their predicted difference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ForecastDifference {
    /// Control.
    pub control: DelayForecast,
    /// The treatment.
    pub treatment: DelayForecast,
    /// The difference of final rates.
    pub effect: Effect,
}

/// The final rate of an arm from its `cohorts`; `delays_hours` are delays of past conversions up to the horizon.
///
/// # Errors
/// [`Degenerate`] when a number is negative or not finite, a cohort has more conversions than recipients, there is no past delay,
/// no recipient is older than any of them, or more have converted than can have.
pub fn delay_forecast(cohorts: &[AgedCohort], delays_hours: &[f64], alpha: f64) -> Result<DelayForecast, Degenerate> {
    Ok(Part::new("the arm", cohorts, delays_hours, alpha)?.forecast)
}

/// The difference of final rates. Where `treatment_delays` is `None` both arms share the delays, whose error then largely
/// cancels.
///
/// # Errors
/// As [`delay_forecast`], naming the arm, and when neither arm varies.
pub fn delay_forecast_difference(
    control: &[AgedCohort],
    treatment: &[AgedCohort],
    delays_hours: &[f64],
    treatment_delays: Option<&[f64]>,
    alpha: f64,
) -> Result<ForecastDifference, Degenerate> {
    let a = Part::new("control", control, delays_hours, alpha)?;
    let b = Part::new("the treatment", treatment, treatment_delays.unwrap_or(delays_hours), alpha)?;
    let of_delays = if treatment_delays.is_some() {
        a.of_delays() + b.of_delays()
    } else {
        let m = delays_hours.len() as f64;
        a.influences.iter().zip(&b.influences).map(|(a, b)| (b - a) * (b - a)).sum::<f64>() / (m * m)
    };
    let difference = b.forecast.rate - a.forecast.rate;
    let standard_error = finite("standard error", (a.of_conversions + b.of_conversions + of_delays).sqrt())?;
    if standard_error <= 0.0 {
        return Err(Degenerate::new("neither arm varies: in each, all or none converted"));
    }
    let effect = Effect::normal(difference, standard_error, alpha)?;
    Ok(ForecastDifference { control: a.forecast, treatment: b.forecast, effect })
}

/// An arm's forecast with what its variance is made of.
struct Part {
    forecast: DelayForecast,
    of_conversions: f64,
    influences: Vec<f64>,
}

impl Part {
    fn new(name: &str, cohorts: &[AgedCohort], delays: &[f64], alpha: f64) -> Result<Self, Degenerate> {
        let alpha = checked_alpha(alpha)?;
        let late = |hours: &f64| !(hours.is_finite() && *hours >= 0.0);
        if delays.is_empty() || delays.iter().any(late) || cohorts.iter().any(|cohort| late(&cohort.age_hours)) {
            return Err(Degenerate::new("past delays are needed, and delays and ages must be zero or more hours"));
        }
        if cohorts.iter().any(|cohort| cohort.conversions > cohort.n) {
            return Err(Degenerate::new(format!("{name} has more conversions than recipients")));
        }
        let mut sorted = delays.to_vec();
        sorted.sort_by(f64::total_cmp);
        let m = sorted.len() as f64;
        let seen = |cohort: &AgedCohort| sorted.partition_point(|delay| *delay <= cohort.age_hours) as f64 / m;
        let exposed: f64 = cohorts.iter().map(|cohort| cohort.n as f64 * seen(cohort)).sum();
        if exposed <= 0.0 {
            return Err(Degenerate::new(format!("no recipient of {name} is older than the shortest past delay")));
        }
        let conversions: f64 = cohorts.iter().map(|cohort| cohort.conversions as f64).sum();
        let recipients: f64 = cohorts.iter().map(|cohort| cohort.n as f64).sum();
        let rate = conversions / exposed;
        if rate > 1.0 {
            return Err(Degenerate::new(format!("{name} has more conversions than its age allows; the past delays do not fit")));
        }
        let binomial = |cohort: &AgedCohort| {
            let p = rate * seen(cohort);
            cohort.n as f64 * p * (1.0 - p)
        };
        let of_conversions = cohorts.iter().map(binomial).sum::<f64>() / (exposed * exposed);
        // Recipients at least as old as each delay, from the oldest down.
        let mut ages: Vec<&AgedCohort> = cohorts.iter().collect();
        ages.sort_by(|a, b| b.age_hours.total_cmp(&a.age_hours));
        let older: Vec<f64> = ages
            .iter()
            .scan(0.0, |sum, cohort| {
                *sum += cohort.n as f64;
                Some(*sum)
            })
            .collect();
        let beyond = |delay: &f64| match ages.partition_point(|cohort| cohort.age_hours >= *delay) {
            0 => 0.0,
            count => older[count - 1],
        };
        let influences: Vec<f64> = delays.iter().map(|delay| -rate * (beyond(delay) - exposed) / exposed).collect();
        let of_delays = influences.iter().map(|influence| influence * influence).sum::<f64>() / (m * m);
        let standard_error = finite("standard error", (of_conversions + of_delays).sqrt())?;
        let reach = normal_quantile_upper(alpha / 2.0) * standard_error;
        let forecast = DelayForecast {
            rate,
            standard_error,
            interval: Interval::closed((rate - reach).max(0.0), (rate + reach).min(1.0)),
            completeness: exposed / recipients,
            final_conversions: rate * recipients,
        };
        Ok(Self { forecast, of_conversions, influences })
    }

    fn of_delays(&self) -> f64 {
        let m = self.influences.len() as f64;
        self.influences.iter().map(|influence| influence * influence).sum::<f64>() / (m * m)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::numeric::Draws;

    fn cohorts(of: &[(f64, u64, u64)]) -> Vec<AgedCohort> {
        of.iter()
            .map(|(age_hours, n, conversions)| AgedCohort { age_hours: *age_hours, n: *n, conversions: *conversions })
            .collect()
    }

    #[test]
    fn conversions_to_come_are_counted_in() {
        let delays = [1.0, 2.0, 3.0, 10.0];
        // The older half has had all its conversions, the younger one half of them.
        let forecast = delay_forecast(&cohorts(&[(24.0, 1000, 40), (2.0, 1000, 20)]), &delays, 0.05).unwrap();
        assert!((forecast.rate - 0.04).abs() < 1e-12 && (forecast.completeness - 0.75).abs() < 1e-12, "{forecast:?}");
        assert!((forecast.final_conversions - 80.0).abs() < 1e-9);
        let mature = delay_forecast(&cohorts(&[(24.0, 1000, 40)]), &delays, 0.05).unwrap();
        assert!((mature.standard_error - (0.04 * 0.96 / 1000.0_f64).sqrt()).abs() < 1e-12, "{mature:?}");
        // Both arms equally old: the delays' error cancels from a difference of nothing.
        let arm = cohorts(&[(2.0, 1000, 20)]);
        let same = delay_forecast_difference(&arm, &arm, &delays, None, 0.05).unwrap();
        let apart = delay_forecast_difference(&arm, &arm, &delays, Some(&delays), 0.05).unwrap();
        assert!(same.effect.difference == 0.0 && same.effect.standard_error < apart.effect.standard_error, "{same:?}");
    }

    /// The standard error is that of repetitions in which conversions and past delays are drawn anew.
    #[test]
    fn the_error_is_that_of_repetitions() {
        let mut draws = Draws::seeded(3);
        let (mut sum, mut squares, mut claimed) = (0.0, 0.0, 0.0);
        let runs = 300;
        for _ in 0..runs {
            let delays: Vec<f64> = (0..60).map(|_| 12.0 * draws.exponential()).collect();
            let of_age = |age: f64, draws: &mut Draws| {
                let converted = (0..800).filter(|_| draws.uniform() < 0.1 && 12.0 * draws.exponential() <= age).count();
                (age, 800, converted as u64)
            };
            let arm: Vec<(f64, u64, u64)> = [6.0, 12.0, 30.0].into_iter().map(|age| of_age(age, &mut draws)).collect();
            let forecast = delay_forecast(&cohorts(&arm), &delays, 0.05).unwrap();
            sum += forecast.rate;
            squares += forecast.rate * forecast.rate;
            claimed += forecast.standard_error;
        }
        let n = f64::from(runs);
        let (mean, sd) = (sum / n, (squares / n - (sum / n).powi(2)).sqrt());
        assert!((mean - 0.1).abs() < 0.002, "{mean}");
        assert!((claimed / n / sd - 1.0).abs() < 0.12, "{} {sd}", claimed / n);
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |of: &[(f64, u64, u64)], delays: &[f64], expect: &str| {
            let error = delay_forecast(&cohorts(of), delays, 0.05).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(&[(1.0, 10, 1)], &[], "past delays");
        check(&[(1.0, 10, 1)], &[f64::NAN], "past delays");
        check(&[(-1.0, 10, 1)], &[1.0], "past delays");
        check(&[(1.0, 10, 11)], &[1.0], "more conversions than recipients");
        check(&[(1.0, 10, 0)], &[2.0], "older than");
        check(&[(1.0, 10, 9)], &[1.0, 2.0], "do not fit");
        let none = cohorts(&[(1.0, 10, 0)]);
        assert!(delay_forecast_difference(&none, &none, &[1.0], None, 0.05).unwrap_err().why.contains("neither arm varies"));
    }

    proptest! {
        #[test]
        fn no_input_gives_nan(
            of in prop::collection::vec((any::<f64>(), any::<u64>(), any::<u64>()), 0..4), delays in prop::collection::vec(any::<f64>(), 0..4),
        ) {
            let arm = cohorts(&of);
            if let Ok(both) = delay_forecast_difference(&arm, &arm, &delays, None, 0.05) {
                prop_assert!(both.control.rate.is_finite() && both.control.standard_error.is_finite());
                prop_assert!(both.effect.standard_error.is_finite());
            }
        }
    }
}
