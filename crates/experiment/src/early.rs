//! Looks before windows are over: what recipients did up to an age decides only where finished experiments show that it tells what they do
//! in the whole window.
//!
//! A winner after four hours is the fast message, not the good one. So the lift at the early age is not compared with nothing: the lift of
//! the whole window is predicted from it by the line that finished experiments of the kind lie on (`stats::delay`), and how far they lie
//! from it is part of the error. Alike are experiments on the same metric and window whose variants differ from control in the same
//! factors and go by the same channel. Where there are too few of them, or the early effect explains too little of the late one, nothing
//! is decided early, and it says so.
//!
//! Early looks have an alpha of their own, [`ALPHA_SHARE`] of the experiment's, and looks at whole windows the rest, so that the promise
//! over all of them holds however they depend on each other. Among early looks the boundaries are those of looks whose errors shrink with
//! the number of recipients; what an experiment lies off the line is the same at each of them, so that they are more alike than the
//! boundaries assume and cross them less often (Slepian, Bell System Technical Journal 41, 1962).
//!
//! What is decided early is for now: the test goes on, and later looks decide again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stats::Interval;
use stats::delay::{PastExperiment, Proxy, proxy};
use stats::sequential::group::{Sides, Spending};
use vocabulary::{Early, Experiment, Metric, VariantName};

use crate::decision::{Action, Decision, Look, OUTCOMES_MIN, Rule, Shown, Tested, outcomes, step_down};
use crate::library::{Lesson, differing, lift_of};
use crate::observe::Observations;
use crate::words::{count, percent, rounded, signed_percent};

/// The ages of which finished experiments tell, in hours.
pub const EARLY_HOURS: [u32; 3] = [4, 24, 72];

/// The share of an experiment's alpha that early looks may spend, where it has any: the rest is for whole windows, which tell more.
const ALPHA_SHARE: f64 = 0.2;

/// The alpha that looks at whole windows may spend.
pub(crate) fn late_alpha(experiment: &Experiment) -> f64 {
    experiment.alpha * if experiment.early.is_some() { 1.0 - ALPHA_SHARE } else { 1.0 }
}

/// What a finished experiment's recipients had done at an early age, beside what they did in the whole window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EarlyEffect {
    /// The age in hours.
    pub age_hours: u32,
    /// The window in hours.
    pub window_hours: u32,
    /// The variant's mean over control's minus one at that age, a fraction.
    pub lift: f64,
    /// Of `lift`, by the delta method.
    pub standard_error: f64,
    /// The correlation of its error with that of the lift in the whole window: what comes later is taken to be independent of what came
    /// early.
    pub error_correlation: f64,
}

/// The early effects of a variant, of what was observed by age. Ages at which no lift can be told are left out.
pub(crate) fn effects(
    experiment: &Experiment,
    variant: &VariantName,
    primary: &Metric,
    ages: &BTreeMap<u32, Observations>,
    late: &Observations,
) -> Vec<EarlyEffect> {
    let variance = |of: &Observations| {
        let arms = [experiment.control(), variant].map(|arm| of.moments(arm, &primary.name).variance_of_mean());
        Some(arms[0]? + arms[1]?)
    };
    let effect = |(age_hours, early): (&u32, &Observations)| {
        let (lift, standard_error) = lift_of(early, experiment.control(), variant, primary)?;
        let error_correlation = (variance(early)? / variance(late)?).sqrt().min(1.0);
        let window_hours = experiment.window_hours;
        (*age_hours < window_hours && error_correlation.is_finite()).then_some(EarlyEffect {
            age_hours: *age_hours,
            window_hours,
            lift,
            standard_error,
            error_correlation,
        })
    };
    ages.iter().filter_map(effect).collect()
}

/// What an early look is taken from.
#[derive(Debug, Clone, Copy)]
pub struct Glimpse<'a> {
    /// What recipients did who are as old as the experiment's `early` says, within that age.
    pub observed: &'a Observations,
    /// The [`EarlyLook::fraction`] of each earlier look, in order.
    pub earlier_fractions: &'a [f64],
    /// What finished experiments taught.
    pub lessons: &'a [Lesson],
}

/// What is known before windows are over. No number in it is NaN or infinite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EarlyLook {
    /// The age in hours.
    pub age_hours: u32,
    /// Recipients who are as old.
    pub recipients: u64,
    /// `recipients` over those planned, at most 1; `None` in a triggered flow.
    pub fraction: Option<f64>,
    /// Whether the action rests on it.
    pub decides: bool,
    /// Every variant but control, in the experiment's order.
    pub variants: Vec<EarlyForecast>,
    /// What to make of it.
    pub sentence: String,
}

/// What is expected of a variant by what recipients did early.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EarlyForecast {
    /// The variant.
    pub variant: VariantName,
    /// Its lift over control at the early age, a fraction; `None` where control's mean is not clearly above zero.
    pub early_lift: Option<f64>,
    /// How many finished experiments of the kind there are.
    pub experiments: u64,
    /// The share of their late lifts' variance that the early ones explain; `None` where there are too few to tell.
    pub explained: Option<f64>,
    /// Why it cannot decide; `None` where it can.
    pub why_not: Option<String>,
    /// The lift over control in the whole window that the early one speaks for, a fraction; `None` where it cannot decide.
    pub lift: Option<f64>,
    /// Of `lift`: it holds at all early looks and for all variants together. Open where there is none.
    pub lift_interval: Interval,
    /// How far ahead of control in standard errors: positive is better, also where less is better.
    pub statistic: Option<f64>,
    /// It is shown from here on.
    pub boundary: Option<f64>,
    /// What is shown.
    pub shown: Shown,
}

/// Looks early, and decides where that shows something and nothing else decided.
pub(crate) fn consider(experiment: &Experiment, look: &Look<'_>, primary: &Metric, decision: &mut Decision) {
    let (Some(glimpse), Some(Early { age_hours })) = (look.early, experiment.early) else { return };
    let is_open = matches!(decision.action, Action::KeepTesting | Action::CannotJudge);
    let recipients: u64 = glimpse.observed.arms.iter().map(|arm| arm.mature).sum();
    if decision.information.is_last || !is_open || recipients == 0 {
        return;
    }
    let planned = decision.information.planned.filter(|planned| *planned > 0);
    let fraction = planned.map(|planned| (recipients as f64 / planned as f64).min(1.0));
    let rule =
        Rule::of(decision.information.method, glimpse.earlier_fractions, fraction.unwrap_or(1.0), look.settings.tuning_units);
    let variants = forecasts(experiment, &glimpse, age_hours, primary, &rule);
    let mut early = EarlyLook { age_hours, recipients, fraction, decides: false, variants, sentence: String::new() };
    act(experiment, primary, &mut early, decision);
    early.sentence = sentence(experiment, &early, decision);
    decision.early = Some(early);
}

fn forecasts(
    experiment: &Experiment,
    glimpse: &Glimpse<'_>,
    age_hours: u32,
    primary: &Metric,
    rule: &Rule,
) -> Vec<EarlyForecast> {
    let control = experiment.control();
    let units =
        |name: &VariantName| [control, name].iter().map(|arm| glimpse.observed.arm(arm).map_or(0, |arm| arm.mature)).sum::<u64>();
    let is_enough =
        |name: &VariantName| [control, name].iter().all(|arm| outcomes(glimpse.observed, arm, primary) >= OUTCOMES_MIN);
    let told: Vec<(EarlyForecast, Option<f64>)> =
        experiment.others().map(|name| forecast(experiment, glimpse, age_hours, primary, name)).collect();
    let tested = |(forecast, _): &(EarlyForecast, Option<f64>)| Tested {
        statistic: forecast.statistic,
        units: units(&forecast.variant) as f64,
        is_enough: is_enough(&forecast.variant),
    };
    let tested: Vec<Tested> = told.iter().map(tested).collect();
    let critical = |test: &Tested, left: usize| {
        let alpha = ALPHA_SHARE * experiment.alpha / left as f64;
        rule.critical_value(Spending::ObrienFlemingSpending, alpha, Sides::Two, test.units).ok()
    };
    let finished = told.into_iter().zip(step_down(&tested, critical)).map(|((forecast, error), (boundary, shown))| {
        let half = boundary.zip(error).map(|(boundary, error)| boundary * error);
        let lift_interval = forecast.lift.zip(half).map(|(lift, half)| Interval::closed(lift - half, lift + half));
        EarlyForecast { boundary, shown, lift_interval: lift_interval.unwrap_or(forecast.lift_interval), ..forecast }
    });
    finished.collect()
}

/// The forecast without its test, and the error of its lift.
fn forecast(
    experiment: &Experiment,
    glimpse: &Glimpse<'_>,
    age_hours: u32,
    primary: &Metric,
    name: &VariantName,
) -> (EarlyForecast, Option<f64>) {
    let past = alike(experiment, glimpse.lessons, age_hours, primary, name);
    let early = lift_of(glimpse.observed, experiment.control(), name, primary);
    let mut forecast = EarlyForecast {
        variant: name.clone(),
        early_lift: early.map(|(lift, _)| lift),
        experiments: past.len() as u64,
        explained: None,
        why_not: None,
        lift: None,
        lift_interval: Interval { lower: None, upper: None },
        statistic: None,
        boundary: None,
        shown: Shown::Neither,
    };
    let learnt = proxy(&past);
    forecast.explained = learnt.as_ref().ok().map(|learnt| learnt.explained);
    let usable = learnt.map_err(|why| why.why).and_then(|learnt| match learnt.why.clone() {
        None => Ok(learnt),
        Some(why) => Err(why),
    });
    let told = usable.and_then(|learnt: Proxy| {
        let (lift, error) = early.ok_or_else(|| "control's mean is not clearly above zero yet".to_owned())?;
        learnt.estimate(lift, error).map_err(|why| why.why)
    });
    match told {
        Ok((lift, error)) => {
            let sign = if primary.lower_is_better { -1.0 } else { 1.0 };
            forecast.statistic = Some(sign * lift / error).filter(|statistic| statistic.is_finite());
            forecast.lift = Some(lift);
            (forecast, Some(error))
        }
        Err(why) => (EarlyForecast { why_not: Some(why), ..forecast }, None),
    }
}

/// The finished experiments of the kind: of each the first variant that is alike, because variants share their control's error.
fn alike(
    experiment: &Experiment,
    lessons: &[Lesson],
    age_hours: u32,
    primary: &Metric,
    name: &VariantName,
) -> Vec<PastExperiment> {
    let Some(variant) = experiment.variant(name) else { return Vec::new() };
    let factors = differing(experiment, variant);
    let is_alike = |lesson: &&Lesson| {
        lesson.market.is_none()
            && lesson.experiment != experiment.experiment
            && (lesson.metric.as_str(), lesson.measure, lesson.lower_is_better)
                == (&primary.name, primary.measure, primary.lower_is_better)
            && lesson.factors == factors
            && lesson.channel == variant.channel
    };
    let mut firsts: BTreeMap<_, (&VariantName, PastExperiment)> = BTreeMap::new();
    for lesson in lessons.iter().filter(is_alike) {
        let is_it = |early: &&EarlyEffect| (early.age_hours, early.window_hours) == (age_hours, experiment.window_hours);
        let Some(early) = lesson.early.iter().find(is_it) else { continue };
        let past = PastExperiment {
            short_effect: early.lift,
            short_standard_error: early.standard_error,
            long_effect: lesson.lift,
            long_standard_error: lesson.standard_error,
            error_correlation: early.error_correlation,
        };
        let first = firsts.entry(&lesson.experiment).or_insert((&lesson.variant, past));
        if lesson.variant < *first.0 {
            *first = (&lesson.variant, past);
        }
    }
    firsts.into_values().map(|(_, past)| past).collect()
}

/// Ships the best of those that are shown to be better, and stops those that are shown to be worse.
fn act(experiment: &Experiment, primary: &Metric, early: &mut EarlyLook, decision: &mut Decision) {
    let worse = |name: &VariantName| early.variants.iter().any(|own| &own.variant == name && own.shown == Shown::Worse);
    let stopped: Vec<VariantName> =
        experiment.others().filter(|name| decision.stopped.contains(name) || worse(name)).cloned().collect();
    let sign = if primary.lower_is_better { -1.0 } else { 1.0 };
    let gain = |forecast: &&EarlyForecast| sign * forecast.lift.unwrap_or_default();
    let shown = early.variants.iter().filter(|own| own.shown == Shown::Better && !stopped.contains(&own.variant));
    let best = shown.max_by(|one, other| gain(one).total_cmp(&gain(other)));
    let (action, variant) = match best {
        Some(best) => (Action::Ship, &best.variant),
        None if stopped.len() == experiment.others().count() => (Action::StopForHarm, experiment.control()),
        None => {
            decision.stopped = stopped;
            return;
        }
    };
    (decision.action, decision.variant, decision.shown) = (action, variant.clone(), action == Action::Ship);
    // What is best in a market is for whole windows to say.
    decision.markets.iter_mut().for_each(|market| market.variant = variant.clone());
    decision.best = decision.arms.iter().find(|arm| &arm.variant == variant).cloned();
    decision.stopped = stopped;
    early.decides = true;
}

fn sentence(experiment: &Experiment, early: &EarlyLook, decision: &Decision) -> String {
    let (hours, primary) = (early.age_hours, &experiment.primary);
    if early.decides {
        let own = early.variants.iter().find(|own| own.variant == decision.variant);
        let told = own.and_then(|own| Some((own, own.lift?, own.lift_interval.lower?, own.lift_interval.upper?)));
        let Some((own, lift, lower, upper)) = told else {
            return format!("By the first {hours} hours every other variant does harm on {primary}; the test goes on.");
        };
        let [lift, lower, upper] = [lift, lower, upper].map(|share| signed_percent(rounded(share)));
        return format!(
            "By the first {hours} hours `{}` makes {lift} on {primary} in the whole window, between {lower} and {upper}, as {} of the kind \
             tell; the test goes on.",
            own.variant,
            count(own.experiments, "finished experiment", "finished experiments")
        );
    }
    let why = early.variants.iter().find_map(|own| own.why_not.as_ref());
    let explained = early.variants.iter().filter_map(|own| own.explained).fold(0.0, f64::max);
    match why {
        Some(why) if early.variants.iter().all(|own| own.why_not.is_some()) => {
            format!("The first {hours} hours decide nothing: {why}.")
        }
        _ => format!(
            "The first {hours} hours, which explain {} of what differs in whole windows, show nothing yet.",
            percent((100.0 * explained).round() / 100.0)
        ),
    }
}

#[cfg(test)]
#[path = "early_tests.rs"]
mod tests;
