//! What each factor makes where variants cross several: every copy at every hour, say, or by every channel or provider.
//!
//! Effects are contrasts of the variants' means, each variant counting the same whatever its size (`stats::factorial`), and are tested
//! at the boundary of the look, stepped down by Holm over all effects together: the family is one of its own beside the variants'.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use stats::factorial::{LevelContrast, level_terms};
use stats::sequential::group::{Sides, Spending};
use stats::{Interval, Moments};
use vocabulary::{Experiment, Factor, Metric, SendHour, Variant};

use super::boundary::{OUTCOMES_MIN, Rule, Tested, on_normal_scale, outcomes, step_down};
use super::{Look, Shown};
use crate::words::difference;

/// What a factor makes of the primary metric, or what two make together beyond what each makes by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FactorEffect {
    /// The factor; two where it is an interaction.
    pub factors: Vec<Factor>,
    /// The level of each.
    pub levels: Vec<String>,
    /// The level of each that it is compared with: the control's.
    pub baseline: Vec<String>,
    /// In the primary metric's unit per recipient, on average over the other factors: of one factor what its level brings more than the
    /// baseline; of two how much more the first one's level brings at the second one's level than at its baseline.
    pub difference: f64,
    /// Of `difference`: it holds at all looks and for all effects together.
    pub interval: Interval,
    /// The difference in standard errors: positive is better, also where less is better.
    pub statistic: f64,
    /// It is shown from here on. `None` where it cannot be computed.
    pub boundary: Option<f64>,
    /// What is shown.
    pub shown: Shown,
    /// For people.
    pub sentence: String,
}

/// What is crossed, and how.
struct Crossing<'a> {
    factors: Vec<Crossed>,
    /// In standard order: the level of the first factor changes fastest.
    cells: Vec<&'a Variant>,
}

/// A factor and its levels, the control's first, then in the experiment's order.
struct Crossed {
    factor: Factor,
    levels: Vec<String>,
}

/// The effects of factors and of pairs of them: empty unless at least two factors differ between the variants, and every combination of
/// their levels is exactly one variant.
pub(super) fn effects(experiment: &Experiment, look: &Look<'_>, rule: &Rule, primary: &Metric) -> Vec<FactorEffect> {
    let Some(crossing) = Crossing::of(experiment) else { return Vec::new() };
    let counts: Vec<usize> = crossing.factors.iter().map(|crossed| crossed.levels.len()).collect();
    let moments: Vec<Moments> = crossing.cells.iter().map(|cell| look.overall.deciding(&cell.name, primary)).collect();
    let Ok(terms) = level_terms(&counts, &moments, experiment.alpha) else { return Vec::new() };
    let is_enough = crossing.cells.iter().all(|cell| outcomes(look.overall, &cell.name, primary) >= OUTCOMES_MIN);
    let units = moments.iter().map(|cell| cell.count as f64).sum();
    let contrasts = || terms.iter().flat_map(|term| term.contrasts.iter().map(|contrast| (&term.factors, contrast)));
    let tested = |(_, contrast): (&Vec<usize>, &LevelContrast)| {
        let statistic = Some(on_normal_scale(&contrast.effect, primary.lower_is_better));
        Tested { statistic, units, is_enough }
    };
    let tested: Vec<Tested> = contrasts().map(tested).collect();
    let critical = |_: &Tested, left: usize| {
        let alpha = experiment.alpha / left as f64;
        rule.critical_value(Spending::ObrienFlemingSpending, alpha, Sides::Two, units).ok()
    };
    let results = step_down(&tested, critical);
    let effects = contrasts().zip(&tested).zip(results).map(|(((factors, contrast), tested), (boundary, shown))| {
        let open = Interval { lower: None, upper: None };
        let interval = |boundary: f64| {
            let (difference, half) = (contrast.effect.difference, boundary * contrast.effect.standard_error);
            Interval::closed(difference - half, difference + half)
        };
        let level = |(number, level): (&usize, &usize)| crossing.factors[*number].levels[*level].clone();
        let mut effect = FactorEffect {
            factors: factors.iter().map(|number| crossing.factors[*number].factor).collect(),
            levels: factors.iter().zip(&contrast.levels).map(level).collect(),
            baseline: factors.iter().map(|number| level((number, &0))).collect(),
            difference: contrast.effect.difference,
            interval: boundary.map_or(open, interval),
            statistic: tested.statistic.unwrap_or_default(),
            boundary,
            shown,
            sentence: String::new(),
        };
        effect.sentence = sentence(&effect, primary);
        effect
    });
    effects.collect()
}

impl<'a> Crossing<'a> {
    fn of(experiment: &'a Experiment) -> Option<Self> {
        let control = experiment.variant(experiment.control())?;
        let crossed = |factor: Factor| {
            let mut levels = vec![level(control, factor)];
            for variant in experiment.sending() {
                let own = level(variant, factor);
                if !levels.contains(&own) {
                    levels.push(own);
                }
            }
            (levels.len() > 1).then_some(Crossed { factor, levels })
        };
        let factors: Vec<Crossed> = Factor::ALL.iter().copied().filter_map(crossed).collect();
        let combinations: usize = factors.iter().map(|crossed| crossed.levels.len()).product();
        let mut cells: Vec<(Vec<usize>, &Variant)> = experiment
            .sending()
            .map(|variant| {
                let place = |crossed: &Crossed| {
                    let own = level(variant, crossed.factor);
                    crossed.levels.iter().position(|known| *known == own).unwrap_or_default()
                };
                // The last factor first, so that sorting gives standard order.
                (factors.iter().rev().map(place).collect(), variant)
            })
            .collect();
        let distinct = cells.iter().map(|(place, _)| place.as_slice()).collect::<BTreeSet<_>>().len();
        if factors.len() < 2 || combinations != cells.len() || distinct != combinations {
            return None;
        }
        cells.sort_by(|one, other| one.0.cmp(&other.0));
        Some(Self { factors, cells: cells.into_iter().map(|(_, variant)| variant).collect() })
    }
}

/// The level of a factor that a variant has, in a word.
fn level(variant: &Variant, factor: Factor) -> String {
    let campaigns = || "the campaign's".to_owned();
    match factor {
        Factor::Copy => variant.copy_name().to_owned(),
        Factor::Timing => {
            let hour = variant.send_hour.map(|hour| match hour {
                SendHour::At(hour) => format!("{hour}:00"),
                SendHour::Learned => "learned".to_owned(),
            });
            let parts: Vec<String> = variant.send_day.map(|day| day.to_string()).into_iter().chain(hour).collect();
            if parts.is_empty() { campaigns() } else { parts.join(" ") }
        }
        Factor::Channel => variant.channel.map_or_else(campaigns, |channel| channel.to_string()),
        Factor::Provider => variant.provider.as_ref().map_or_else(|| "the country's".to_owned(), ToString::to_string),
    }
}

fn sentence(effect: &FactorEffect, primary: &Metric) -> String {
    let what = |place: usize| {
        let noun = match effect.factors[place] {
            Factor::Copy => "copy",
            Factor::Timing => "time",
            Factor::Channel => "channel",
            Factor::Provider => "provider",
        };
        (noun, &effect.levels[place], &effect.baseline[place])
    };
    let (noun, own, other) = what(0);
    let number = difference(primary, effect.difference, &effect.interval);
    let verdict = match effect.shown {
        Shown::Better => "this is shown to be better",
        Shown::Worse => "this is shown to be worse",
        Shown::Neither => "this may be luck",
    };
    if effect.factors.len() == 1 {
        return format!("The {noun} `{own}` instead of `{other}` makes {number} of {} per recipient; {verdict}.", primary.name);
    }
    let (second, at, from) = what(1);
    format!(
        "The {noun} `{own}` instead of `{other}` makes {number} more of {} with the {second} `{at}` than with `{from}`; {verdict}.",
        primary.name
    )
}

#[cfg(test)]
#[path = "factors_tests.rs"]
mod tests;
