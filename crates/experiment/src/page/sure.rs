//! How sure: chances as cases, what was shown and what was not, how far the test is, and whether the guardrails held.

use vocabulary::{Guardrail, VariantName};

use super::Story;
use super::happened::others;
use super::html::Html;
use super::say::{Chance, people, thousands};
use crate::decision::{Action, BoundaryTest, Forecast, GuardrailStanding, Shown};
use crate::readout::GuardrailState;
use crate::words::percent;

/// With this chance going on gains less than is said.
const REMAINING_CHANCE: f64 = 0.95;

pub(super) fn write(html: &mut Html, story: &Story<'_>) {
    match (story.decision.action, story.subject()) {
        (Action::CannotJudge, _) => html.lead("Not at all: before anything is believed, something else must be found out."),
        (_, None) => html.lead("There is nothing to forecast from yet, so that no chance can be told."),
        (_, Some(forecast)) => html.lead(&best(story, forecast)),
    }
    if story.decision.action != Action::CannotJudge {
        html.list(&story.decision.information.tests.iter().map(|test| shown(story, test)).collect::<Vec<_>>());
        promise(html, story);
    }
    progress(html, story);
    guardrails(html, story);
}

/// How often the variant is the best one.
fn best(story: &Story<'_>, forecast: &Forecast) -> String {
    let name = &forecast.variant;
    let others = story.decision.arms.iter().filter(|other| &other.variant != name).count();
    let chance = Chance::of(forecast.probability_best);
    let other = match others {
        0 => return format!("`{name}` is the only variant that may be sent, so that there is no chance to tell."),
        1 => "the other one",
        _ => "another one",
    };
    let so_far = if story.decision.action == Action::KeepTesting { "As of now " } else { "" };
    format!("{so_far}`{name}` is the best variant to send {}; {} {other} is better.", chance.cases(), chance.not().times())
}

fn shown(story: &Story<'_>, test: &BoundaryTest) -> String {
    let (name, control, metric) = (&test.variant, story.control(), &story.unit.metric.name);
    match test.shown {
        Shown::Better => format!("`{name}` is shown to be better than `{control}` on `{metric}`."),
        Shown::Worse => format!("`{name}` is shown to be worse than `{control}` on `{metric}`."),
        Shown::Neither => {
            let yet = if story.decision.information.is_last { "" } else { " so far" };
            format!("`{name}` is not shown to be better or worse than `{control}` on `{metric}`{yet}: what was seen may be luck.")
        }
    }
}

/// What "shown" and "likely" mean.
fn promise(html: &mut Html, story: &Story<'_>) {
    if story.decision.information.tests.is_empty() {
        return;
    }
    let alarms = Chance::of(story.readout.alpha);
    html.paragraph(&format!(
        "“Shown” is a promise: if all variants were the same, one of them would be called different at most {}, however often the test \
         is looked at. “Likely” means {}.",
        alarms.times(),
        alarms.not().cases()
    ));
    if story.decision.action == Action::Ship && !story.decision.shown && &story.decision.variant != story.control() {
        html.paragraph(&format!(
            "`{}` is sent because it is the best bet, not because it is shown to be better.",
            story.decision.variant
        ));
    }
}

/// How much of the test is in, and what going on could gain.
fn progress(html: &mut Html, story: &Story<'_>) {
    let information = &story.decision.information;
    let mature = information.mature;
    let sentence = match (information.planned, information.is_last) {
        (Some(planned), true) => {
            let counted =
                if planned == mature { String::new() } else { format!(": {} of {}", thousands(mature), people(planned)) };
            format!("The test is complete: everybody who was to be counted is counted{counted}.")
        }
        (Some(planned), false) => {
            let fraction = information.fraction.map_or_else(String::new, |fraction| format!(" ({})", whole_percent(fraction)));
            format!("The test is under way: {} of {} are counted{fraction}.", thousands(mature), people(planned))
        }
        (None, _) => format!("The test has no fixed end: {} are counted so far.", people(mature)),
    };
    html.paragraph(&sentence);
    if let (Some(share), true) = (information.fraction, information.planned.is_some()) {
        html.raw(&bar(share));
    }
    let open = matches!(story.decision.action, Action::KeepTesting | Action::Ship) && !information.is_last;
    if let (Some(gain), true) = (story.decision.remaining_value, open) {
        html.paragraph(&format!(
            "{}, going on would find nothing that is better than the best bet by {} of what it brings.",
            capital(&Chance::of(REMAINING_CHANCE).cases()),
            percent(gain)
        ));
    }
}

/// How far the test is, drawn.
fn bar(fraction: f64) -> String {
    let title = format!("{} of the test is counted", whole_percent(fraction));
    let width = 720.0 * fraction.clamp(0.0, 1.0);
    format!(
        "<figure class=\"bar\"><svg role=\"img\" aria-label=\"{title}\" viewBox=\"0 0 720 8\" width=\"720\" height=\"8\"><title>{title}</title>\
         <rect class=\"track\" width=\"720\" height=\"8\" rx=\"4\"/><rect class=\"done\" width=\"{width:.1}\" height=\"8\" rx=\"4\"/></svg></figure>\n"
    )
}

/// A share that is not said to be complete or empty before it is.
fn whole_percent(fraction: f64) -> String {
    let percent = (100.0 * fraction).floor();
    if percent < 1.0 && fraction > 0.0 { "less than 1 %".to_owned() } else { format!("{percent:.0} %") }
}

fn guardrails(html: &mut Html, story: &Story<'_>) {
    let standings = &story.decision.guardrails;
    match (story.experiment.guardrails.as_slice(), standings.is_empty()) {
        ([], true) => html.paragraph("There are no guardrails: nothing was watched that must not get worse."),
        (guardrails, true) => html.paragraph(&format!(
            "Of what must not get worse nothing can be told yet: {}.",
            super::joined(&guardrails.iter().map(|Guardrail { metric, .. }| format!("`{metric}`")).collect::<Vec<_>>())
        )),
        (_, false) => {
            html.paragraph(&format!("What must not get worse with {}:", others(story)));
            html.list(&standings.iter().map(|standing| guardrail(story.control(), standing)).collect::<Vec<_>>());
        }
    }
}

fn guardrail(control: &VariantName, standing: &GuardrailStanding) -> String {
    let GuardrailStanding { variant, metric, margin, .. } = standing;
    let margin = percent(*margin);
    match standing.state {
        GuardrailState::Kept => {
            format!("`{metric}` with `{variant}`: kept. It is shown to be at most {margin} worse than with `{control}`.")
        }
        GuardrailState::Unproven => format!(
            "`{metric}` with `{variant}`: open. It is not shown whether it stays within {margin} of `{control}`; there are too few people to tell."
        ),
        GuardrailState::Broken => format!(
            "`{metric}` with `{variant}`: broken. It is shown to be worse than with `{control}`, and perhaps by more than the {margin} that are tolerated."
        ),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_not_rounded_to_an_end() {
        assert_eq!([0.0, 0.001, 0.3, 0.999, 1.0].map(whole_percent), ["0 %", "less than 1 %", "30 %", "99 %", "100 %"]);
        assert_eq!(capital("in 1"), "In 1");
        assert_eq!(capital(""), "");
    }
}
