//! The late effect from the early one, as past experiments show them to go together, and when not to trust it.
//!
//! Over past experiments the true early and late effects (θ_s, θ_l) have means μ and a covariance Λ; their estimates have
//! sampling covariances Ω besides. Λ is the covariance of the estimates less the mean Ω, because noise shared by both would
//! otherwise pass for predictive power. The best linear predictor of θ_l from an early estimate with standard error s is
//! μ_l + Λ_sl/(Λ_ss + s²) · (ŝ − μ_s), with the variance Λ_ll − Λ_sl²/(Λ_ss + s²), to which the jackknife adds what the few
//! past experiments leave open. Tripuraneni, Richardson, D'Amour, Soriano & Yadlowsky, "Choosing a proxy metric from past
//! experiments", arXiv 2309.07893 (2023); Athey, Chetty, Imbens & Kang, "The surrogate index" (2019).

use serde::{Deserialize, Serialize};

use crate::answer::{Degenerate, Interval, checked_alpha, finite};
use crate::tail::{normal_lower, normal_quantile_upper};

/// Fewer past experiments than this teach nothing of how effects go together.
const EXPERIMENTS_MIN: usize = 5;

/// More past experiments than this are refused.
const EXPERIMENTS_MAX: usize = 10_000;

/// Larger effects are refused, so that their squares stay numbers.
const EFFECT_MAX: f64 = 1e140;

/// The early effect must explain more than this share of the late effects' variance; else the residual dominates.
const EXPLAINED_MIN: f64 = 0.5;

/// An experiment that has ended, with its effect at the early and the late age.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PastExperiment {
    /// The early effect.
    pub short_effect: f64,
    /// Its standard error, zero or more.
    pub short_standard_error: f64,
    /// The late effect.
    pub long_effect: f64,
    /// Its standard error, zero or more.
    pub long_standard_error: f64,
    /// The correlation of the two errors, between −1 and 1; both come from the same recipients, so it is seldom 0.
    #[serde(default)]
    pub error_correlation: f64,
}

/// How the late effect follows from the early one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proxy {
    /// The late effect per unit of true early effect, Λ_sl/Λ_ss.
    pub slope: f64,
    /// The late effect where the true early one is zero.
    pub intercept: f64,
    /// How far true late effects lie from the line.
    pub residual_sd: f64,
    /// The share of the true late effects' variance that the true early ones explain, Λ_sl²/(Λ_ss Λ_ll).
    pub explained: f64,
    /// Whether an early winner may be declared: early effects vary beyond noise and explain more than half.
    pub usable: bool,
    /// If not, why.
    pub why: Option<String>,
    fit: Fit,
    without_one: Vec<Fit>,
}

/// A predicted late effect.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The best prediction.
    pub mean: f64,
    /// Its standard deviation: noise of the early effect, residual, and what the past leaves open.
    pub sd: f64,
    /// Normal, at one minus alpha.
    pub interval: Interval,
    /// The probability that the late effect is greater than zero.
    pub chance_above_zero: f64,
}

/// Means and covariance of the true effects.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Fit {
    mean_short: f64,
    mean_long: f64,
    short: f64,
    both: f64,
    long: f64,
}

/// Sums from which a fit with or without one experiment follows.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    count: f64,
    short: f64,
    long: f64,
    squares: [f64; 3],
    noise: [f64; 3],
}

/// Learns from past experiments.
///
/// # Errors
/// [`Degenerate`] when there are fewer than five past experiments, a number is not finite, a standard error is negative, or a
/// correlation is not between −1 and 1.
pub fn proxy(past: &[PastExperiment]) -> Result<Proxy, Degenerate> {
    if past.len() < EXPERIMENTS_MIN || past.len() > EXPERIMENTS_MAX {
        let count = past.len();
        return Err(Degenerate::new(format!(
            "there are {count} past experiments; between {EXPERIMENTS_MIN} and {EXPERIMENTS_MAX} can be learnt from"
        )));
    }
    let mut centre = (0.0, 0.0);
    for (number, one) in past.iter().enumerate() {
        let errors = [one.short_standard_error, one.long_standard_error];
        let fits = one.short_effect.abs() <= EFFECT_MAX
            && one.long_effect.abs() <= EFFECT_MAX
            && errors.iter().all(|error| (0.0..=EFFECT_MAX).contains(error))
            && (-1.0..=1.0).contains(&one.error_correlation);
        if !fits {
            let number = number + 1;
            return Err(Degenerate::new(format!("past experiment {number} has a number that is not finite or out of range")));
        }
        centre.0 += one.short_effect / past.len() as f64;
        centre.1 += one.long_effect / past.len() as f64;
    }
    let terms: Vec<Sums> = past.iter().map(|one| Sums::of(one, centre)).collect();
    let all = terms.iter().fold(Sums::default(), |sum, term| sum.plus(term, 1.0));
    let fit = all.fit(centre);
    finite("covariance of past effects", fit.short + fit.both + fit.long)?;
    let without_one = terms.iter().map(|term| all.plus(term, -1.0).fit(centre)).collect();
    let slope = if fit.short > 0.0 { fit.both / fit.short } else { 0.0 };
    let residual = (fit.long - slope * fit.both).max(0.0);
    let explained = if fit.short > 0.0 && fit.long > 0.0 { (slope * fit.both / fit.long).clamp(0.0, 1.0) } else { 0.0 };
    let why = if fit.short <= 0.0 {
        Some("past early effects differ by no more than noise, so they cannot tell winners apart".to_owned())
    } else if explained <= EXPLAINED_MIN {
        let percent = (100.0 * explained).round();
        Some(format!(
            "early effects explain {percent} % of the late ones; the rest dominates, so an early winner would be a guess"
        ))
    } else {
        None
    };
    Ok(Proxy {
        slope: finite("slope", slope)?,
        intercept: finite("intercept", fit.mean_long - slope * fit.mean_short)?,
        residual_sd: residual.sqrt(),
        explained,
        usable: why.is_none(),
        why,
        fit,
        without_one,
    })
}

impl Proxy {
    /// The late effect of an experiment whose early effect is known. Whether it may decide is [`Proxy::usable`].
    ///
    /// # Errors
    /// [`Degenerate`] when a number is not finite or the standard error is negative.
    pub fn predict(&self, short_effect: f64, short_standard_error: f64, alpha: f64) -> Result<Prediction, Degenerate> {
        let alpha = checked_alpha(alpha)?;
        let short_effect = finite("early effect", short_effect)?;
        if !(short_standard_error.is_finite() && short_standard_error >= 0.0) {
            return Err(Degenerate::new("the standard error of the early effect must be zero or more"));
        }
        let (mean, variance) = self.fit.predict(short_effect, short_standard_error);
        let others: Vec<f64> = self.without_one.iter().map(|fit| fit.predict(short_effect, short_standard_error).0).collect();
        let n = others.len() as f64;
        let average = others.iter().sum::<f64>() / n;
        let jackknife = (n - 1.0) / n * others.iter().map(|other| (other - average).powi(2)).sum::<f64>();
        let mean = finite("predicted effect", mean)?;
        let sd = finite("spread of the prediction", (variance + jackknife).sqrt())?;
        let reach = normal_quantile_upper(alpha / 2.0) * sd;
        let certain = if mean > 0.0 { 1.0 } else { 0.0 };
        Ok(Prediction {
            mean,
            sd,
            interval: Interval::closed(finite("interval", mean - reach)?, finite("interval", mean + reach)?),
            chance_above_zero: if sd > 0.0 { normal_lower(mean / sd) } else { certain },
        })
    }
}

impl Proxy {
    /// The late effect that the early one speaks for by itself, not drawn towards those of past experiments, and its standard error: noise
    /// of the early effect, residual, and what the past leaves open of the line. Over experiments without a late effect their ratio is as
    /// a standard normal number, so that it can be tested.
    ///
    /// # Errors
    /// [`Degenerate`] when a number is not finite or the standard error is negative.
    pub fn estimate(&self, short_effect: f64, short_standard_error: f64) -> Result<(f64, f64), Degenerate> {
        let short_effect = finite("early effect", short_effect)?;
        if !(short_standard_error.is_finite() && short_standard_error >= 0.0) {
            return Err(Degenerate::new("the standard error of the early effect must be zero or more"));
        }
        let others: Vec<f64> = self.without_one.iter().map(|fit| fit.at(short_effect)).collect();
        let n = others.len() as f64;
        let average = others.iter().sum::<f64>() / n;
        let jackknife = (n - 1.0) / n * others.iter().map(|other| (other - average).powi(2)).sum::<f64>();
        let variance = (self.slope * short_standard_error).powi(2) + self.residual_sd.powi(2) + jackknife;
        Ok((finite("late effect", self.fit.at(short_effect))?, finite("standard error of the late effect", variance.sqrt())?))
    }
}

impl Fit {
    /// The line.
    fn at(&self, short_effect: f64) -> f64 {
        let slope = if self.short > 0.0 { self.both / self.short } else { 0.0 };
        self.mean_long + slope * (short_effect - self.mean_short)
    }

    fn predict(&self, short_effect: f64, standard_error: f64) -> (f64, f64) {
        let total = self.short + standard_error * standard_error;
        let weight = if total > 0.0 { self.both / total } else { 0.0 };
        (self.mean_long + weight * (short_effect - self.mean_short), (self.long - weight * self.both).max(0.0))
    }
}

impl Sums {
    fn of(one: &PastExperiment, centre: (f64, f64)) -> Self {
        let (short, long) = (one.short_effect - centre.0, one.long_effect - centre.1);
        let (s, l) = (one.short_standard_error, one.long_standard_error);
        Self {
            count: 1.0,
            short,
            long,
            squares: [short * short, short * long, long * long],
            noise: [s * s, one.error_correlation * s * l, l * l],
        }
    }

    fn plus(&self, other: &Self, sign: f64) -> Self {
        let sum = |a: [f64; 3], b: [f64; 3]| [a[0] + sign * b[0], a[1] + sign * b[1], a[2] + sign * b[2]];
        Self {
            count: self.count + sign * other.count,
            short: self.short + sign * other.short,
            long: self.long + sign * other.long,
            squares: sum(self.squares, other.squares),
            noise: sum(self.noise, other.noise),
        }
    }

    /// The covariance of the estimates less the mean noise, brought back to one that can be: no negative variance, and no
    /// correlation beyond one.
    fn fit(&self, centre: (f64, f64)) -> Fit {
        let n = self.count;
        let true_part = |i: usize, product: f64| (self.squares[i] - product / n) / (n - 1.0) - self.noise[i] / n;
        let short = true_part(0, self.short * self.short).max(0.0);
        let long = true_part(2, self.long * self.long).max(0.0);
        let most = (short * long).sqrt();
        let both = true_part(1, self.short * self.long).clamp(-most, most);
        Fit { mean_short: centre.0 + self.short / n, mean_long: centre.1 + self.long / n, short, both, long }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::delay::{AgedCohort, delay_forecast_difference};
    use crate::numeric::Draws;

    /// Past experiments with a slope, an intercept, a residual, and noise that both effects share.
    fn past(slope: f64, residual: f64, noise: f64, count: usize, draws: &mut Draws) -> Vec<PastExperiment> {
        (0..count)
            .map(|_| {
                let short = draws.normal();
                let long = 0.1 + slope * short + residual * draws.normal();
                let (shared, own) = (draws.normal(), draws.normal());
                PastExperiment {
                    short_effect: short + noise * shared,
                    short_standard_error: noise,
                    long_effect: long + noise * (0.8 * shared + 0.6 * own),
                    long_standard_error: noise,
                    error_correlation: 0.8,
                }
            })
            .collect()
    }

    #[test]
    fn noise_does_not_pass_for_predictive_power() {
        let mut draws = Draws::seeded(11);
        let good = proxy(&past(0.7, 0.2, 0.8, 3_000, &mut draws)).unwrap();
        assert!((good.slope - 0.7).abs() < 0.06 && (good.intercept - 0.1).abs() < 0.06, "{} {}", good.slope, good.intercept);
        assert!((good.residual_sd - 0.2).abs() < 0.12 && good.usable, "{}", good.residual_sd);
        let bad = proxy(&past(0.0, 1.0, 0.8, 3_000, &mut draws)).unwrap();
        assert!(bad.slope.abs() < 0.08 && !bad.usable && bad.why.unwrap().contains("dominates"), "{}", bad.slope);
        let still: Vec<PastExperiment> =
            past(0.7, 0.2, 0.8, 20, &mut draws).into_iter().map(|one| PastExperiment { short_effect: 1.0, ..one }).collect();
        assert!(proxy(&still).unwrap().why.unwrap().contains("no more than noise"));
    }

    /// Predictions hold as often as they promise, also from few past experiments.
    #[test]
    fn predictions_hold() {
        let mut draws = Draws::seeded(12);
        let mut covered = 0;
        for _ in 0..400 {
            let learnt = proxy(&past(0.7, 0.3, 0.2, 30, &mut draws)).unwrap();
            let short = draws.normal();
            let long = 0.1 + 0.7 * short + 0.3 * draws.normal();
            let prediction = learnt.predict(short + 0.2 * draws.normal(), 0.2, 0.1).unwrap();
            covered += u32::from(prediction.interval.contains(long));
        }
        assert!((345..=378).contains(&covered), "{covered}");
    }

    /// Of experiments whose late effect is zero, as many are called different from zero as alpha says, also from few past experiments.
    #[test]
    fn estimates_err_as_they_say() {
        let mut draws = Draws::seeded(15);
        let mut called = 0;
        for _ in 0..1_000 {
            let learnt = proxy(&past(0.7, 0.3, 0.2, 40, &mut draws)).unwrap();
            // 0.1 + 0.7 short + residual = 0.
            let short = (-0.1 - 0.3 * draws.normal()) / 0.7;
            let (mean, error) = learnt.estimate(short + 0.2 * draws.normal(), 0.2).unwrap();
            called += u32::from(mean.abs() > 1.959_964 * error);
        }
        assert!((30..=70).contains(&called), "{called}");
        let learnt = proxy(&past(0.7, 0.3, 0.2, 40, &mut draws)).unwrap();
        assert!(learnt.estimate(f64::INFINITY, 0.1).is_err() && learnt.estimate(0.1, f64::NAN).is_err());
    }

    /// B is better by five percent in the end and one hour slower. At four hours it is hardly ever picked by what is seen, and
    /// about as often as it should be by what each arm's own delays promise.
    #[test]
    fn a_four_hour_winner_is_the_fast_message() {
        let mut draws = Draws::seeded(13);
        let fast: Vec<f64> = (0..2_000).map(|_| 6.0 * draws.exponential()).collect();
        let slow: Vec<f64> = fast.iter().map(|delay| delay + 1.0).collect();
        let seen = |delays: &[f64]| delays.iter().filter(|delay| **delay <= 4.0).count() as f64 / delays.len() as f64;
        let n = 40_000_u64;
        let converted = |rate: f64, draws: &mut Draws| {
            let mean = n as f64 * rate;
            (mean + mean.sqrt() * draws.normal()).round().max(0.0) as u64
        };
        let (mut early, mut forecast) = (0, 0);
        for _ in 0..300 {
            let arm = |rate: f64, delays: &[f64], draws: &mut Draws| {
                vec![AgedCohort { age_hours: 4.0, n, conversions: converted(rate * seen(delays), draws) }]
            };
            let (a, b) = (arm(0.03, &fast, &mut draws), arm(0.03 * 1.05, &slow, &mut draws));
            early += u32::from(b[0].conversions > a[0].conversions);
            let difference = delay_forecast_difference(&a, &b, &fast, Some(&slow), 0.05).unwrap();
            forecast += u32::from(difference.effect.difference > 0.0);
        }
        assert!(early < 30, "{early}");
        assert!(forecast > 190, "{forecast}");
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let mut draws = Draws::seeded(14);
        let good = past(0.7, 0.2, 0.1, 10, &mut draws);
        assert!(proxy(&good[..4]).unwrap_err().why.contains("4 past experiments"));
        let mut bad = good.clone();
        bad[2].error_correlation = 1.5;
        assert!(proxy(&bad).unwrap_err().why.contains("past experiment 3"));
        let learnt = proxy(&good).unwrap();
        assert!(learnt.predict(f64::NAN, 0.1, 0.05).is_err() && learnt.predict(1.0, -0.1, 0.05).is_err());
    }

    proptest! {
        #[test]
        fn no_input_gives_nan(effects in prop::collection::vec((any::<f64>(), any::<f64>(), any::<f64>()), 5..8), short in any::<f64>()) {
            let one = |(s, l, e): &(f64, f64, f64)| PastExperiment {
                short_effect: *s, short_standard_error: e.abs(), long_effect: *l, long_standard_error: e.abs(), error_correlation: 0.5,
            };
            let past: Vec<PastExperiment> = effects.iter().map(one).collect();
            if let Ok(learnt) = proxy(&past) {
                prop_assert!(learnt.slope.is_finite() && learnt.residual_sd.is_finite() && learnt.explained.is_finite());
                if let Ok(prediction) = learnt.predict(short, 1.0, 0.05) {
                    prop_assert!(prediction.mean.is_finite() && prediction.sd.is_finite());
                }
            }
        }
    }
}
