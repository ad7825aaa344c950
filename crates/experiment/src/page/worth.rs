//! What it is worth: the gain of a recipient, of a thousand, of everybody who is left, and what a wrong choice costs.

use stats::Interval;
use vocabulary::VariantName;

use super::Story;
use super::html::Html;
use super::say::people;
use crate::decision::{Action, Forecast};
use crate::readout::Estimate;

/// Gains are told per so many recipients: few events of one would be fractions of an event.
pub(super) const MANY: f64 = 1_000.0;

/// Less than this per so many recipients is not worth a number.
const LOSS_MIN: f64 = 0.001;

pub(super) fn write(html: &mut Html, story: &Story<'_>) {
    match (story.decision.action, story.subject()) {
        (Action::CannotJudge, _) => {
            html.lead("That cannot be told as long as the numbers cannot be judged.");
        }
        (Action::StopForHarm, _) => harm(html, story),
        (_, None) => html.lead("That cannot be told: there is nothing to forecast from yet."),
        (action, Some(forecast)) => {
            if &forecast.variant == story.control() {
                unchanged(html, story, action);
            } else {
                gain(html, story, forecast);
            }
            loss(html, story, forecast);
        }
    }
    if story.decision.action != Action::CannotJudge {
        increment(html, story);
    }
}

/// What sending brings at all, against people who would have got the message.
fn increment(html: &mut Html, story: &Story<'_>) {
    let Some(held_out) = story.experiment.holdout().map(|variant| &variant.name) else { return };
    let people_held = story.readout.arms.iter().find(|arm| &arm.variant == held_out).map_or(0, |arm| arm.mature);
    let sent = &story.decision.variant;
    let is_it = |estimate: &&Estimate| {
        estimate.metric == story.unit.metric.name && &estimate.variant == sent && &estimate.baseline == held_out
    };
    let Some(effect) = story.readout.estimates.iter().find(is_it).and_then(|estimate| estimate.absolute.computed()) else {
        html.paragraph(&format!(
            "What sending brings at all cannot be told yet: {} who were held out are counted.",
            people(people_held)
        ));
        return;
    };
    let sign = if story.unit.metric.lower_is_better { -1.0 } else { 1.0 };
    let ends = [effect.interval.lower, effect.interval.upper].map(|end| end.map(|end| sign * end));
    let (lower, upper) = if sign > 0.0 { (ends[0], ends[1]) } else { (ends[1], ends[0]) };
    let between = story.unit.between(&Interval { lower, upper }, MANY);
    let verdict = match (lower, upper) {
        (Some(lower), _) if lower > 0.0 => "Sending is worth it",
        (_, Some(upper)) if upper < 0.0 => "Sending does harm",
        _ => "Whether sending is worth it is not shown",
    };
    html.paragraph(&format!(
        "{verdict}: against the {} who would have got it and were held out, `{sent}` makes about {} per 1,000 recipients{}, raw and at this \
         one look.",
        people(people_held),
        story.unit.change(MANY * sign * effect.difference),
        between.map_or_else(String::new, |between| format!(" ({between})"))
    ));
}

/// Of a variant that is not control.
fn gain(html: &mut Html, story: &Story<'_>, forecast: &Forecast) {
    let (name, control, unit) = (&forecast.variant, story.control(), &story.unit);
    let brings = if story.decision.action == Action::KeepTesting { "would bring" } else { "brings" };
    if let Some(left) = story.rest.map(|rest| rest.recipients).filter(|left| *left > 0) {
        let between = unit.between(&forecast.gain_interval, left as f64);
        html.lead(&format!(
            "`{name}` {brings} about {} than sending `{control}` to the remaining {}{}.",
            unit.change(forecast.gain * left as f64),
            people(left),
            between.map_or_else(|| "; how far off that may be cannot be told".to_owned(), |between| format!("; {between}"))
        ));
    }
    let between = unit.between(&forecast.gain_interval, MANY);
    let sentence = format!(
        "That is {}, or about {} per 1,000 recipients{}.",
        unit.per_recipient(forecast.gain),
        unit.change(MANY * forecast.gain),
        between.map_or_else(String::new, |between| format!(" ({between})"))
    );
    match story.rest.is_some_and(|rest| rest.recipients > 0) {
        true => html.paragraph(&sentence),
        false => html.lead(&sentence.replacen("That is", &format!("Against `{control}`, `{name}` {brings}"), 1)),
    }
    if story.markets_differ() {
        html.paragraph(&format!(
            "This counts `{name}` for everybody, also in markets that are to get something else; there the choice is made by their own numbers."
        ));
    }
    if story.decision.action == Action::KeepTesting {
        html.paragraph("These are the best numbers as of now, no result: they move while people are still being counted.");
    }
}

/// Of control.
fn unchanged(html: &mut Html, story: &Story<'_>, action: Action) {
    let control = story.control();
    match action {
        Action::KeepTesting => html.lead(&format!("As of now nothing is expected to bring more than `{control}`.")),
        _ if story.markets_differ() => {
            html.lead(&format!(
                "Overall nothing is expected to bring more than `{control}`; some markets do better with something else."
            ));
        }
        _ => html.lead(&format!("No gain: nothing is expected to bring more than `{control}`, which is what is compared with.")),
    }
}

/// What is lost on average by sending the variant: in the cases in which another one is better, by how much.
fn loss(html: &mut Html, story: &Story<'_>, forecast: &Forecast) {
    if story.decision.arms.len() < 2 {
        return;
    }
    let name = &forecast.variant;
    if forecast.expected_loss > 0.0 {
        let many = MANY * forecast.expected_loss;
        let lost = match many < LOSS_MIN {
            true => "next to nothing".to_owned(),
            false => format!("about {} per 1,000 recipients", story.unit.loss(many)),
        };
        html.paragraph(&format!(
            "If `{name}` is the wrong choice, something is lost. Averaged over all cases, the good ones included, that is {lost}."
        ));
    } else {
        html.paragraph(&format!("Choosing `{name}` is not expected to lose anything against another variant."));
    }
}

/// What was seen of the variants that are not to be sent any more; they have no forecast.
fn harm(html: &mut Html, story: &Story<'_>) {
    let seen: Vec<String> = story.decision.stopped.iter().filter_map(|variant| seen(story, variant)).collect();
    html.lead(&format!("Stopping spares the rest of the list the harm; nothing is gained beyond `{}`.", story.control()));
    html.list(&seen);
}

fn seen(story: &Story<'_>, variant: &VariantName) -> Option<String> {
    let control = story.control();
    let effect = story.primary(variant)?.absolute.computed()?;
    let gain = if story.unit.metric.lower_is_better { -effect.difference } else { effect.difference };
    let change = story.unit.change(MANY * gain);
    Some(format!("`{variant}` brought about {change} per 1,000 recipients than `{control}` (raw)."))
}
