//! Which recommendations are the steps of one rollout, and what a step deals out.

use std::collections::BTreeMap;

use vocabulary::{Experiment, Recommendation, Rollout, VariantName};

/// The share of the last step, in percent.
pub(super) const EVERYBODY: u8 = 100;

/// Shares that differ by less are the same.
const SHARE_STEP_MIN: f64 = 1e-6;

/// A recommendation that deals control and one other variant out, or the other alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dealing<'a> {
    pub(super) made: &'a Recommendation,
    /// The share of the other variant, above 0 and at most 1.
    pub(super) share: f64,
}

/// The rollout of one scope.
#[derive(Debug, Clone)]
pub(super) struct Chain<'a> {
    pub(super) current: &'a Recommendation,
    /// The variant that is rolled out.
    pub(super) variant: &'a VariantName,
    /// The first one first and the current one last; shares rise.
    pub(super) steps: Vec<Dealing<'a>>,
}

impl<'a> Chain<'a> {
    /// The rollout that `current` is a step of, back to where it began. `None` where it is none, as where a person decided.
    pub(super) fn of(experiment: &Experiment, current: &'a Recommendation, history: &'a [Recommendation]) -> Option<Self> {
        let (variant, share) = dealing(experiment, current)?;
        let mut steps = vec![Dealing { made: current, share }];
        let mut last = steps[0];
        // Shares fall on the way back, so that it ends.
        while let Some(before) = parent(experiment, last, variant, history) {
            steps.push(before);
            last = before;
        }
        steps.reverse();
        // What went to everybody at once was not rolled out.
        (last.share < 1.0).then_some(Self { current, variant, steps })
    }

    /// The share of those who follow that gets the variant now.
    pub(super) fn share(&self) -> f64 {
        self.steps.last().map_or(0.0, |step| step.share)
    }
}

/// The step before, where there is one.
fn parent<'a>(
    experiment: &Experiment,
    of: Dealing<'a>,
    variant: &VariantName,
    history: &'a [Recommendation],
) -> Option<Dealing<'a>> {
    let made = history.iter().find(|made| Some(&made.id) == of.made.parent.as_ref())?;
    let (other, share) = dealing(experiment, made)?;
    let is_before = other == variant
        && made.scope == of.made.scope
        && made.readout_id == of.made.readout_id
        && share + SHARE_STEP_MIN < of.share;
    is_before.then_some(Dealing { made, share })
}

/// The variant that a recommendation of a readout gives a share beside control, or instead of it, and that share.
fn dealing<'a>(experiment: &Experiment, made: &'a Recommendation) -> Option<(&'a VariantName, f64)> {
    if made.readout_id.is_none() || made.valid_until.is_some() {
        return None;
    }
    let control = experiment.control();
    let (of_control, others): (Vec<_>, Vec<_>) =
        made.weights.iter().filter(|(_, weight)| **weight > 0.0).partition(|(name, _)| *name == control);
    match (&of_control[..], &others[..]) {
        ([_], [(variant, share)]) if **share < 1.0 => Some((variant, **share)),
        ([], [(variant, _)]) => Some((variant, 1.0)),
        _ => None,
    }
}

/// The share at which a decision to send `variant` begins, in percent: control and what has no rollout go to everybody at once.
pub(crate) fn first_percent(experiment: &Experiment, variant: &VariantName) -> u8 {
    let rollout = experiment.rollout.as_ref().filter(|_| variant != experiment.control());
    rollout.and_then(|rollout| percent_after(rollout, 0.0)).unwrap_or(EVERYBODY)
}

/// The share of the step that follows, in percent. `None` after the last.
pub(super) fn percent_after(rollout: &Rollout, share: f64) -> Option<u8> {
    let is_after = |percent: &u8| as_share(*percent) > share + SHARE_STEP_MIN;
    rollout.steps.iter().copied().chain([EVERYBODY]).find(is_after)
}

/// What a step deals out: the variant of the greatest weight, of equal ones the new, and the weights.
pub(crate) fn dealt(control: &VariantName, variant: &VariantName, percent: u8) -> (VariantName, BTreeMap<VariantName, f64>) {
    if percent >= EVERYBODY || variant == control {
        return (variant.clone(), Recommendation::all_to(variant));
    }
    let share = as_share(percent);
    let heaviest = if share < 0.5 { control } else { variant };
    (heaviest.clone(), BTreeMap::from([(variant.clone(), share), (control.clone(), 1.0 - share)]))
}

/// Whether a decision to send `variant` has been acted on in the scope of `made` already: it is being rolled out there, or what
/// is sent there follows from the same readout, which is not gone back to once it was stopped.
pub(crate) fn is_under_way(experiment: &Experiment, made: &Recommendation, variant: &VariantName, readout_id: &str) -> bool {
    if experiment.rollout.is_none() || variant == experiment.control() {
        return false;
    }
    made.readout_id.as_deref() == Some(readout_id) || dealing(experiment, made).is_some_and(|(other, _)| other == variant)
}

fn as_share(percent: u8) -> f64 {
    f64::from(percent) / f64::from(EVERYBODY)
}
