//! What is best to send, in each market and overall: arms by expected value, with what they will bring forecast honestly.
//!
//! Effects are alike from market to market in units of the spread between recipients there, so that a market of high prices counts for
//! no more than its recipients. Standard errors come from that common spread and not from each arm's own: in skewed outcomes the arm
//! that was lucky has the larger spread as well, and would be believed less than the unlucky one.

use std::collections::BTreeMap;

use stats::hierarchy::{ArmEstimate, ArmForecast, ArmMarket, ArmReadout, best_arms};
use stats::numeric::Matrix;
use stats::tail::normal_quantile_upper;
use stats::{Degenerate, Interval, Moments};
use vocabulary::{Experiment, Metric, Variant, VariantName};

use super::{Forecast, Look};
use crate::observe::Observations;

/// What variants did on the primary metric: those that may be sent, control first.
pub(crate) struct Numbers {
    /// All recipients.
    pub(crate) overall: Vec<Moments>,
    /// The recipients of each market, by its name.
    pub(crate) markets: Vec<(String, Vec<Moments>)>,
}

impl Numbers {
    /// What a look is at.
    pub(super) fn of(look: &Look<'_>, arms: &[&VariantName], primary: &Metric) -> Self {
        let moments = |of: &Observations| arms.iter().map(|arm| of.deciding(arm, primary)).collect::<Vec<_>>();
        let markets = look.markets.iter().map(|(market, of)| (market.clone(), moments(of))).collect();
        Self { overall: moments(look.overall), markets }
    }
}

/// How far the spread of an arm may be from that of all: more is chance.
const SPREAD_RATIO_MAX: f64 = 4.0;

/// By how many standard errors a mean must be above zero for a lift over it to be told.
const LEVEL_STANDARD_ERRORS_MIN: f64 = 2.0;

/// What is believed of the variants that may be sent.
pub(crate) struct Forecasts {
    pub(crate) overall: Vec<Forecast>,
    /// By market; one that has nothing to forecast from has what the others say.
    pub(crate) markets: BTreeMap<String, Vec<Forecast>>,
    /// What perfect knowledge would add on average to the best bet of every market, as a share of what these bring.
    pub(crate) remaining_value: Option<f64>,
}

/// One market, or all recipients where no market is known.
struct Scope<'a> {
    market: Option<&'a str>,
    /// Of the primary metric, by arm.
    moments: Vec<Moments>,
    /// Whether its numbers can be used.
    is_sound: bool,
}

impl Scope<'_> {
    fn mature(&self) -> f64 {
        self.moments.iter().map(|moments| moments.count as f64).sum()
    }

    /// The standard deviation of a recipient within the arms, where anything varies.
    fn spread(&self) -> Option<f64> {
        let degrees: f64 = self.moments.iter().map(|moments| moments.count.saturating_sub(1) as f64).sum();
        let spread = (self.moments.iter().map(|moments| moments.m2).sum::<f64>() / degrees).sqrt();
        (self.is_sound && spread.is_finite() && spread > 0.0).then_some(spread)
    }
}

/// Forecasts the arms, control first. Markets in `unsound` are told by the others.
///
/// # Errors
/// [`Degenerate`] where no recipient's outcome differs from another's.
pub(crate) fn forecasts(
    experiment: &Experiment,
    numbers: &Numbers,
    primary: &Metric,
    arms: &[&VariantName],
    unsound: &[&str],
) -> Result<Forecasts, Degenerate> {
    let mut scopes: Vec<Scope<'_>> = (numbers.markets.iter())
        .map(|(market, moments)| Scope {
            market: Some(market),
            moments: moments.clone(),
            is_sound: !unsound.contains(&market.as_str()),
        })
        .collect();
    let elsewhere = rest(&numbers.overall, numbers.markets.iter().map(|(_, moments)| moments.as_slice()));
    if elsewhere.iter().any(|moments| moments.count > 0) || scopes.is_empty() {
        scopes.push(Scope { market: None, moments: elsewhere, is_sound: true });
    }
    let readout = best_arms(&arm_markets(&scopes, primary)?, &alike(experiment, arms))?;
    let alpha = experiment.alpha;
    let mut forecasts =
        Forecasts { overall: Vec::new(), markets: BTreeMap::new(), remaining_value: remaining_value(&scopes, &readout) };
    for (scope, believed) in scopes.iter().zip(&readout.markets) {
        let Some(market) = scope.market else { continue };
        forecasts.markets.insert(market.to_owned(), told(arms, &scope.moments, believed, primary, alpha));
    }
    forecasts.overall = told(arms, &numbers.overall, &readout.overall, primary, alpha);
    Ok(forecasts)
}

/// Recipients who are in no market, by arm.
pub(crate) fn rest<'a>(overall: &[Moments], markets: impl Iterator<Item = &'a [Moments]> + Clone) -> Vec<Moments> {
    let of_arm = |(arm, all): (usize, &Moments)| {
        let within = markets.clone().map(|of| of[arm]).fold(Moments::default(), |sum, moments| sum.merge(&moments));
        let count = all.count.saturating_sub(within.count);
        if count == 0 || within.count == 0 {
            return if count == 0 { Moments::default() } else { *all };
        }
        let mean = all.mean + (all.mean - within.mean) * (within.count as f64 / count as f64);
        let distance = mean - within.mean;
        let between = distance * distance * (within.count as f64 * (count as f64 / all.count as f64));
        Moments { count, mean, m2: (all.m2 - within.m2 - between).max(0.0) }
    };
    overall.iter().enumerate().map(of_arm).collect()
}

fn arm_markets(scopes: &[Scope<'_>], primary: &Metric) -> Result<Vec<ArmMarket>, Degenerate> {
    let sign = sign(primary);
    let told: Vec<(f64, f64)> = scopes.iter().filter_map(|scope| Some((scope.spread()?, scope.mature()))).collect();
    let recipients: f64 = told.iter().map(|(_, mature)| mature).sum();
    if recipients <= 0.0 {
        return Err(Degenerate::new("no recipient's outcome differs from another's"));
    }
    let typical = told.iter().map(|(spread, mature)| spread * mature).sum::<f64>() / recipients;
    let count = scopes.first().map_or(0, |scope| scope.moments.len());
    let ratios: Vec<f64> = (0..count).map(|arm| spread_ratio(scopes, arm)).collect();
    let of_scope = |scope: &Scope<'_>| {
        let spread = scope.spread();
        let estimate = |(moments, ratio): (&Moments, &f64)| {
            let standard_error = spread? * (ratio / moments.count as f64).sqrt();
            (moments.count > 0).then_some(ArmEstimate { mean: sign * moments.mean, standard_error })
        };
        ArmMarket {
            arms: scope.moments.iter().zip(&ratios).map(estimate).collect(),
            scale: spread.unwrap_or(typical),
            weight: if spread.is_some() { scope.mature() } else { 0.0 },
        }
    };
    Ok(scopes.iter().map(of_scope).collect())
}

/// The variance of an arm over that of all arms, over all markets.
fn spread_ratio(scopes: &[Scope<'_>], arm: usize) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for scope in scopes {
        let Some((spread, variance)) = scope.spread().zip(scope.moments[arm].variance()) else { continue };
        sum += scope.moments[arm].count as f64 * variance / (spread * spread);
        count += scope.moments[arm].count as f64;
    }
    if count > 0.0 { (sum / count).clamp(1.0 / SPREAD_RATIO_MAX, SPREAD_RATIO_MAX) } else { 1.0 }
}

/// How alike the effects of two variants are: by the share of what differs between variants in which they agree, and of their own as
/// much again as of one factor. Where only one thing differs, variants have nothing in common.
fn alike(experiment: &Experiment, arms: &[&VariantName]) -> Matrix {
    let variants: Vec<&Variant> = arms.iter().filter_map(|name| experiment.variant(name)).collect();
    let agree = |one: &Variant, other: &Variant| {
        // A day and an hour are learnt of each by itself: every day at nine has something in common, and all of a Tuesday.
        [
            one.copy_name() == other.copy_name(),
            one.send_hour == other.send_hour,
            one.send_day == other.send_day,
            one.channel == other.channel,
            one.provider == other.provider,
        ]
    };
    let differs = |factor: &usize| variants.windows(2).any(|pair| !agree(pair[0], pair[1])[*factor]);
    let differing: Vec<usize> = (0..5).filter(differs).collect();
    let mut alike = Matrix::identity(variants.len());
    if differing.len() > 1 {
        for (v, one) in variants.iter().enumerate() {
            for (u, other) in variants.iter().enumerate().filter(|(u, _)| *u != v) {
                let agreed = differing.iter().filter(|factor| agree(one, other)[**factor]).count();
                alike[(v, u)] = agreed as f64 / (differing.len() + 1) as f64;
            }
        }
    }
    alike
}

fn sign(primary: &Metric) -> f64 {
    if primary.lower_is_better { -1.0 } else { 1.0 }
}

/// The best of several: the first of equals, which is control where it is among them.
pub(crate) fn best(forecasts: &[Forecast]) -> Option<&Forecast> {
    forecasts.iter().reduce(|best, next| if next.gain > best.gain { next } else { best })
}

fn remaining_value(scopes: &[Scope<'_>], readout: &ArmReadout) -> Option<f64> {
    let (mut lost, mut brought, mut variance) = (0.0, 0.0, 0.0);
    for (scope, arms) in scopes.iter().zip(&readout.markets) {
        let Some(spread) = scope.spread() else { continue };
        let best = arms.iter().reduce(|best, next| if next.gain > best.gain { next } else { best })?;
        lost += scope.mature() * best.expected_loss;
        brought += scope.mature() * best.mean?;
        variance += scope.mature() * spread * spread;
    }
    let share = lost / brought.abs();
    (brought.abs() > LEVEL_STANDARD_ERRORS_MIN * variance.sqrt() && share.is_finite()).then_some(share)
}

/// What is believed, in the metric's own direction and unit.
fn told(arms: &[&VariantName], moments: &[Moments], believed: &[ArmForecast], primary: &Metric, alpha: f64) -> Vec<Forecast> {
    let sign = sign(primary);
    let scope = Scope { market: None, moments: moments.to_vec(), is_sound: true };
    let error = |units: f64| scope.spread().map(|spread| spread / units.sqrt());
    let is_told = |level: f64, units: f64| error(units).is_some_and(|error| level > LEVEL_STANDARD_ERRORS_MIN * error);
    let level = believed.first().and_then(|control| control.mean).map(|mean| sign * mean);
    let level = level.filter(|level| is_told(*level, scope.mature()));
    let control = moments.first().copied().unwrap_or_default();
    let z = normal_quantile_upper(alpha / 2.0);
    let forecast = |((name, own), arm): ((&&VariantName, &Moments), &ArmForecast)| {
        let reach = z * arm.gain_sd;
        let lift = |gain: f64| level.map(|level| sign * gain / level);
        let ends = [lift(arm.gain - sign * reach), lift(arm.gain + sign * reach)];
        Forecast {
            variant: (*name).clone(),
            probability_best: arm.chance_best,
            expected_loss: arm.expected_loss,
            pooled: arm.pooled,
            raw_lift: (own.count > 0 && is_told(control.mean, control.count as f64)).then(|| own.mean / control.mean - 1.0),
            lift: lift(arm.gain),
            lift_interval: Interval { lower: ends[0], upper: ends[1] },
            gain: arm.gain,
            gain_interval: Interval::closed(arm.gain - reach, arm.gain + reach),
        }
    };
    arms.iter().zip(moments).zip(believed).map(forecast).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_alike_by_what_they_agree_in() {
        let check = |factors: &str, differ: [&str; 4], expect: [f64; 3]| {
            let variants = (0..4).map(|at| format!("  - {{name: v{at}, copy: x, {}}}\n", differ[at]));
            let variants: String = variants.collect();
            let rest = "primary: clicked\nmetrics: [clicked]\n";
            let experiment = crate::parse(&format!("experiment: e\nfactors: [{factors}]\nvariants:\n{variants}{rest}")).unwrap();
            let names: Vec<&VariantName> = experiment.variants.iter().map(|variant| &variant.name).collect();
            let alike = alike(&experiment, &names);
            assert_eq!([1, 2, 3].map(|other| alike[(0, other)]), expect, "{differ:?}");
        };
        let third = 1.0 / 3.0;
        check("timing", ["send_day: mon", "send_day: tue", "send_day: wed", "send_day: thu"], [0.0; 3]);
        let [monday, tuesday] =
            ["send_day: mon, send_hour: ", "send_day: tue, send_hour: "].map(|day| [9, 20].map(|hour| format!("{day}{hour}")));
        check("timing", [&monday[0], &monday[1], &tuesday[0], &tuesday[1]], [third, third, 0.0]);
        let [one, two] =
            ["provider: one, send_hour: ", "provider: two, send_hour: "].map(|by| [9, 20].map(|hour| format!("{by}{hour}")));
        check("timing, provider", [&one[0], &one[1], &two[0], &two[1]], [third, third, 0.0]);
    }
}
