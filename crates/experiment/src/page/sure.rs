//! How sure: chances as cases, what was shown and what was not, how far the test is, and whether the guardrails held.

use vocabulary::{Guardrail, VariantName};

use super::html::Html;
use super::say::{Chance, people, rough, thousands};
use super::{Story, joined};
use crate::decision::{Action, BoundaryTest, Decision, Forecast, GuardrailStanding, Shown};
use crate::readout::GuardrailState;
use crate::words::percent;

pub(super) fn write(html: &mut Html, story: &Story<'_>) {
    let is_judged = story.decision.action != Action::CannotJudge;
    match story.subject() {
        _ if !is_judged && story.counted() == 0 => html.lead("Not at all: nobody is counted yet."),
        _ if !is_judged => html.lead("Not at all: before any number is believed, something else must be found out."),
        None => html.lead("There is nothing to forecast from yet, so that no chance can be told."),
        Some(forecast) => html.lead(&best(story, forecast)),
    }
    if is_judged {
        html.list(&story.decision.information.tests.iter().map(|test| shown(story, test)).collect::<Vec<_>>());
        promise(html, story);
        factors(html, story);
        less_noise(html, story);
    }
    if let Some(early) = &story.decision.early {
        html.paragraph(&early.sentence);
    }
    progress(html, story);
    if is_judged {
        guardrails(html, story);
    } else {
        html.paragraph("Of what must not get worse nothing can be said either.");
    }
}

/// How often the variant is the best one.
fn best(story: &Story<'_>, forecast: &Forecast) -> String {
    let name = &forecast.variant;
    let others = story.decision.arms.iter().filter(|other| &other.variant != name).count();
    let chance = Chance::of(forecast.probability_best);
    let other = match others {
        0 => return format!("`{name}` is the only variant that may be sent; there is nothing else to choose."),
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
    let alarms = Chance::of(story.readout.alpha);
    let mut sentences = Vec::new();
    if !story.decision.information.tests.is_empty() {
        sentences.push(format!(
            "“Shown” is a promise: if all variants were the same, one of them would be called different at most {}, however often the \
             test is looked at.",
            alarms.times()
        ));
    }
    if story.subject().is_some() {
        sentences.push(format!("“Likely” means {}.", alarms.not().cases()));
    }
    if !sentences.is_empty() {
        html.paragraph(&sentences.join(" "));
    }
    let Decision { action, shown, variant, .. } = story.decision;
    if *action == Action::Ship && !shown && variant != story.control() {
        html.paragraph(&format!("`{variant}` is sent because it is the best bet, not because it is shown to be better."));
    }
}

/// What makes the difference, where variants cross several factors.
fn factors(html: &mut Html, story: &Story<'_>) {
    let effects = &story.decision.factors;
    if !effects.is_empty() {
        html.paragraph("What makes the difference, on average over the variants that differ in nothing else:");
        html.list(&effects.iter().map(|effect| effect.sentence.clone()).collect::<Vec<_>>());
    }
}

/// What was taken out before anything was compared.
fn less_noise(html: &mut Html, story: &Story<'_>) {
    let removed = story.decision.information.variance_removed.zip(story.experiment.cuped);
    if let Some((removed, cuped)) = removed {
        html.paragraph(&format!(
            "What people did in the {} days before their message is taken out of these chances, which leaves {} % of the noise; the results \
             above are as they were seen.",
            cuped.days,
            rough(100.0 * (1.0 - removed).clamp(0.0, 1.0))
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
            let state = if story.decision.action == Action::KeepTesting { "is under way" } else { "is not complete" };
            let fraction = information.fraction.map_or_else(String::new, |fraction| format!(" ({})", whole_percent(fraction)));
            format!("The test {state}: {} of {} are counted{fraction}.", thousands(mature), people(planned))
        }
        (None, _) => format!("The test has no fixed end: {} are counted so far.", people(mature)),
    };
    html.paragraph(&sentence);
    if let (Some(share), false) = (information.fraction, information.is_last) {
        html.raw(&bar(share));
    }
    let may_go_on = matches!(story.decision.action, Action::KeepTesting | Action::Ship) && !information.is_last;
    if let (Some(gain), true) = (story.decision.remaining_value, may_go_on) {
        html.paragraph(&format!(
            "If what is best were known for certain, sending it would bring about {} % more than the best bets do, on average: more than \
             that cannot be gained by going on.",
            rough(100.0 * gain)
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
            joined(&guardrails.iter().map(|Guardrail { metric, .. }| format!("`{metric}`")).collect::<Vec<_>>())
        )),
        (_, false) => {
            html.paragraph("What must not get worse:");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_not_rounded_to_an_end() {
        assert_eq!([0.0, 0.001, 0.3, 0.999, 1.0].map(whole_percent), ["0 %", "less than 1 %", "30 %", "99 %", "100 %"]);
    }
}
