//! The trials: simulated experiments, counted.

use stats::hierarchy::shrunken_effects;
use stats::numeric::draws::Draws;
use stats::{Degenerate, SequentialSampleRatio, sample_ratio as chi_square};

use super::procedures::{always_valid, always_valid_linear, boundaries, fieller, fixed, statistic};
use super::world::{Arm, World};
use super::{ALPHA, Effort, Line, Promise};

/// Looks of the group-sequential default.
const GROUP_LOOKS: u32 = 5;

/// True lifts at which intervals are tried.
const LIFTS: [f64; 4] = [-0.1, 0.0, 0.1, 0.3];

/// The fixed test finds the effect of the power trial with about this z beyond its critical value: a power of 80 %.
const POWER_Z: f64 = 1.959_964 + 0.841_621;

/// Forecasts: past experiments known, variants tried, and the spread of true lifts against their standard error.
const PAST: usize = 30;
const VARIANTS: usize = 4;
const SPREAD: f64 = 0.05;
const STANDARD_ERROR: f64 = 0.05;

/// How far a forecast may be off on average, as a share of the spread of true lifts.
const FORECAST_BIAS: f64 = 0.1;

#[derive(Default)]
struct Alarms {
    absolute: u32,
    relative: u32,
    disagree: u32,
    linear: u32,
    peeking: u32,
    fixed: u32,
    group: u32,
}

/// False alarms at any look where there is no difference.
pub(super) fn any_look(world: &World<'_>, effort: &Effort, draws: &mut Draws) -> Result<Vec<Line>, Degenerate> {
    let boundaries = boundaries(GROUP_LOOKS)?;
    let mut alarms = Alarms::default();
    let mut shuffled = Vec::new();
    for _ in 0..effort.runs {
        let looks = world.null_looks(effort, &mut shuffled, draws);
        alarms.count(&looks, &boundaries);
    }
    let line = |procedure: &str, measure: &str, hits: u32, promise: Option<Promise>| {
        Line::share(world.name(), procedure, measure, hits, effort.runs, promise)
    };
    let promised = Some(Promise::most(ALPHA));
    let alarm = "false alarms at any look";
    Ok(vec![
        line("always valid, difference", alarm, alarms.absolute, promised),
        line("always valid, lift by Fieller", alarm, alarms.relative, promised),
        line("always valid", "difference and lift disagree", alarms.disagree, Some(Promise::most(0.0))),
        line("group-sequential, 5 looks", alarm, alarms.group, promised),
        line("fixed, one look", "false alarms", alarms.fixed, promised),
        line("always valid, linearised lift", alarm, alarms.linear, None),
        line("fixed test at every look", alarm, alarms.peeking, None),
    ])
}

impl Alarms {
    fn count(&mut self, looks: &[[Arm; 2]], boundaries: &[f64]) {
        let tuning = units(looks);
        let verdicts: Vec<_> = looks.iter().map(|arms| always_valid(arms, tuning)).collect();
        self.absolute += u32::from(verdicts.iter().any(|verdict| verdict.absolute));
        self.relative += u32::from(verdicts.iter().any(|verdict| verdict.relative == Some(true)));
        let disagrees = |verdict: &super::procedures::AlwaysValid| verdict.relative.is_some_and(|own| own != verdict.absolute);
        self.disagree += u32::from(verdicts.iter().any(disagrees));
        self.linear += u32::from(looks.iter().any(|arms| always_valid_linear(arms, tuning)));
        self.peeking += u32::from(looks.iter().any(fixed));
        self.fixed += u32::from(looks.last().is_some_and(fixed));
        self.group += u32::from(group_sequential(looks, boundaries));
    }
}

/// All units of both arms at the end.
fn units(looks: &[[Arm; 2]]) -> f64 {
    looks.last().map_or(0.0, |arms| arms.iter().map(|arm| arm.moments.count as f64).sum())
}

/// Whether a boundary is crossed at one of the looks nearest to equal steps.
fn group_sequential(looks: &[[Arm; 2]], boundaries: &[f64]) -> bool {
    boundaries.iter().enumerate().any(|(index, boundary)| {
        let at = ((index + 1) * looks.len()).div_ceil(boundaries.len()) - 1;
        let [control, variant] = &looks[at];
        statistic(&control.moments, &variant.moments).abs() >= *boundary
    })
}

/// Whether intervals of the lift hold the truth, at the end and at every look.
pub(super) fn coverage(world: &World<'_>, effort: &Effort, draws: &mut Draws) -> Result<Vec<Line>, Degenerate> {
    let mut lines = Vec::new();
    for lift in LIFTS {
        let (mut covered, mut missed) = (0, 0);
        for _ in 0..effort.runs {
            let looks = world.lifted_looks(lift, effort, draws);
            let holds = |interval: Option<(f64, f64)>| interval.is_none_or(|(low, high)| low <= lift && lift <= high);
            covered += u32::from(looks.last().is_none_or(|arms| holds(fieller(arms))));
            let tuning = units(&looks);
            missed += u32::from(looks.iter().any(|arms| !holds(always_valid(arms, tuning).lift)));
        }
        let measure = |what: &str| format!("{what} at a true lift of {:+.0} %", 100.0 * lift);
        let between = Some(Promise::between(0.94, 0.97));
        lines.push(Line::share(world.name(), "Fieller, one look", &measure("coverage"), covered, effort.runs, between));
        let most = Some(Promise::most(ALPHA));
        lines.push(Line::share(world.name(), "Fieller sequence", &measure("ever misses"), missed, effort.runs, most));
    }
    Ok(lines)
}

/// Power of the group-sequential default against one fixed look, on the same simulated experiments.
pub(super) fn power(world: &World<'_>, effort: &Effort, draws: &mut Draws) -> Result<Vec<Line>, Degenerate> {
    let boundaries = boundaries(GROUP_LOOKS)?;
    let (step, looks) = world.looks(effort);
    let Some(lift) = world.detectable_lift(POWER_Z, (step * looks) as f64) else { return Ok(Vec::new()) };
    let (mut both, mut only_fixed, mut only_group, mut sequence) = (0_u32, 0_u32, 0_u32, 0_u32);
    for _ in 0..effort.runs {
        let looks = world.lifted_looks(lift, effort, draws);
        match (looks.last().is_some_and(fixed), group_sequential(&looks, &boundaries)) {
            (true, true) => both += 1,
            (true, false) => only_fixed += 1,
            (false, true) => only_group += 1,
            (false, false) => {}
        }
        let tuning = units(&looks);
        sequence += u32::from(looks.iter().any(|arms| always_valid(arms, tuning).absolute));
    }
    let of_fixed = f64::from(both + only_fixed).max(1.0);
    let ratio = f64::from(both + only_group) / of_fixed;
    let error = f64::from(only_fixed + only_group).sqrt() / of_fixed;
    let name = world.name();
    let group = Line::new(
        name,
        "group-sequential, 5 looks",
        "power against one fixed look",
        (ratio, error),
        effort.runs,
        Some(Promise::least(0.98)),
    );
    let share = |procedure, hits| Line::share(world.name(), procedure, "power", hits, effort.runs, None);
    Ok(vec![group, share("fixed, one look", both + only_fixed), share("always valid", sequence)])
}

/// Whether the winner keeps what was forecast. True lifts are normal around zero; the winner is the best of several by its
/// raw lift, and past experiments tell how large lifts usually are.
pub(super) fn forecast(effort: &Effort, draws: &mut Draws) -> Result<Vec<Line>, Degenerate> {
    let (mut raw, mut shrunken) = (Bias::default(), Bias::default());
    for _ in 0..effort.runs {
        let truths: Vec<f64> = (0..PAST + VARIANTS).map(|_| SPREAD * draws.normal()).collect();
        let estimates: Vec<(f64, f64)> =
            truths.iter().map(|truth| (truth + STANDARD_ERROR * draws.normal(), STANDARD_ERROR)).collect();
        let best = (PAST..PAST + VARIANTS).max_by(|a, b| estimates[*a].0.total_cmp(&estimates[*b].0)).unwrap_or(PAST);
        let forecast = shrunken_effects(&estimates)?;
        raw.add((estimates[best].0 - truths[best]) / SPREAD);
        shrunken.add((forecast.effects[best].mean - truths[best]) / SPREAD);
    }
    let line = |procedure: &str, bias: &Bias, promise: Option<Promise>| {
        let data = format!("best of {VARIANTS}, {PAST} experiments before");
        Line::new(data, procedure, "claimed minus realised, in spreads of true lifts", bias.mean(), effort.runs, promise)
    };
    let promised = Some(Promise::between(-FORECAST_BIAS, FORECAST_BIAS));
    Ok(vec![line("shrunken forecast", &shrunken, promised), line("raw lift", &raw, None)])
}

#[derive(Default)]
struct Bias {
    moments: stats::Moments,
}

impl Bias {
    fn add(&mut self, value: f64) {
        self.moments.push(value);
    }

    fn mean(&self) -> (f64, f64) {
        (self.moments.mean, self.moments.variance_of_mean().unwrap_or_default().sqrt())
    }
}

/// Alarms of the sample-ratio tests while the split is right.
pub(super) fn sample_ratio(effort: &Effort, draws: &mut Draws) -> Result<Vec<Line>, Degenerate> {
    let (mut alarms, mut peeked) = (0, 0);
    let looks = effort.units_per_arm / effort.units_per_look;
    for _ in 0..effort.runs {
        let mut test = SequentialSampleRatio::new(&[1.0, 1.0], 10_000.0)?;
        let mut counts = [0_u64; 2];
        let (mut alarmed, mut peeked_here) = (false, false);
        for _ in 0..looks {
            let mut fresh = [0_u64; 2];
            (0..2 * effort.units_per_look).for_each(|_| fresh[usize::from(draws.uniform() < 0.5)] += 1);
            counts.iter_mut().zip(fresh).for_each(|(count, fresh)| *count += fresh);
            alarmed |= test.observe(&fresh)?.p_value <= ALPHA;
            peeked_here |= chi_square(&counts, &[1.0, 1.0])?.p_value <= ALPHA;
        }
        alarms += u32::from(alarmed);
        peeked += u32::from(peeked_here);
    }
    let line = |procedure: &str, hits: u32, promise: Option<Promise>| {
        Line::share("a fair split".to_owned(), procedure, "false alarms at any look", hits, effort.runs, promise)
    };
    Ok(vec![line("sequential sample ratio", alarms, Some(Promise::most(ALPHA))), line("chi-square at every look", peeked, None)])
}
