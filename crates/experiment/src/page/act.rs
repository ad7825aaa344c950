//! What to do: whom to send what, when to look again, or what to find out first.

use super::html::{Html, Table};
use super::say::{Chance, NONE, people, signed_percent, span, thousands};
use super::worth::MANY;
use super::{Story, Waiting, joined, market_name, moment, named};
use crate::decision::{Action, BoundaryMethod, MarketDecision, ReasonCode};
use crate::readout::ArmSummary;
use crate::words::percent;

pub(super) fn write(html: &mut Html, story: &Story<'_>) {
    match story.decision.action {
        Action::Ship => ship(html, story),
        Action::KeepTesting => go_on(html, story),
        Action::StopForHarm => {
            html.lead(&format!("Send `{}` to everybody from now on.", story.control()));
        }
        Action::CannotJudge => find_out(html, story),
    }
    if let Some(Waiting { recipients, since }) = story.waiting {
        html.paragraph(&format!(
            "What was decided on {} waits for a second person, because {} were still to get the message: until it is approved the senders \
             go on as they do.",
            moment(since),
            people(recipients)
        ));
    }
    if !story.decision.stopped.is_empty() {
        html.paragraph(&format!("Do not send {} any more: harm is shown.", named(&story.decision.stopped)));
    }
    why(html, story);
}

fn ship(html: &mut Html, story: &Story<'_>) {
    let variant = &story.decision.variant;
    let markets = &story.decision.markets;
    if story.markets_differ() {
        html.lead(&format!("Send each market what is best there, and `{variant}` wherever no market is named."));
        html.table(&Table {
            caption: "What to send in each market",
            headings: &["Market", "Send", "Forecast lift", "How sure", &cost_heading(story), "People counted"],
            rows: markets.iter().map(|market| market_row(story, market)).collect(),
        });
        return;
    }
    html.lead(&match markets.as_slice() {
        [] => format!("Send `{variant}` to everybody."),
        [market] => format!("Send `{variant}` to everybody; there is one market, {}.", market_name(&market.market)),
        markets => format!("Send `{variant}` to everybody, in all {} markets.", markets.len()),
    });
}

fn cost_heading(story: &Story<'_>) -> String {
    format!("Cost if wrong, {} per 1,000", story.unit.name())
}

/// A market as a manager reads it. The forecast is of what is sent there, else there is none.
fn market_row(story: &Story<'_>, market: &MarketDecision) -> Vec<String> {
    let forecast = market.best.as_ref().filter(|best| best.variant == market.variant);
    let is_control = &market.variant == story.control();
    let lift = forecast.and_then(|forecast| forecast.lift).filter(|_| !is_control);
    let loss = forecast.map(|forecast| super::say::rough(MANY * forecast.expected_loss));
    vec![
        market_name(&market.market),
        market.variant.to_string(),
        lift.map_or_else(|| NONE.to_owned(), signed_percent),
        forecast.map_or_else(|| NONE.to_owned(), |forecast| Chance::of(forecast.probability_best).short()),
        loss.unwrap_or_else(|| NONE.to_owned()),
        thousands(market.mature),
    ]
}

fn go_on(html: &mut Html, story: &Story<'_>) {
    let information = &story.decision.information;
    let window = span(story.experiment.window_hours);
    html.lead("Change nothing: go on sending each recipient the variant that the test gives them.");
    let Some(planned) = information.planned else {
        let waiting = match story.waiting() {
            0 => "Nobody is waiting to be counted at the moment.".to_owned(),
            waiting => format!("{} more will be counted when their {window} are over.", people(waiting)),
        };
        html.paragraph(&format!(
            "Look again whenever you like: the test has no fixed end, and every look is allowed for. {waiting}"
        ));
        return;
    };
    let missing = planned.saturating_sub(information.mature);
    let waiting = story.waiting().min(missing);
    let parts = [
        (waiting, format!("{} wait until their {window} are over", thousands(waiting))),
        (missing - waiting, format!("{} are still to be assigned", thousands(missing - waiting))),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|(how_many, _)| *how_many > 0).map(|(_, words)| words).collect();
    html.paragraph(&match missing {
        0 => "Nobody is missing any more; look again at once.".to_owned(),
        _ => format!(
            "It is decided at the latest when everybody is counted: {} of {} are still missing. Of these, {}.",
            thousands(missing),
            people(planned),
            joined(&parts)
        ),
    });
    if missing > 0 {
        html.paragraph(match information.method {
            BoundaryMethod::GroupSequential => {
                "It may be looked at before that; the earlier the look, the clearer a difference must be to count."
            }
            BoundaryMethod::AlwaysValid => "It may be looked at before that, as often as you like: every look is allowed for.",
        });
    }
}

/// The first thing to find out where nothing can be judged, by the most important reason.
fn find_out(html: &mut Html, story: &Story<'_>) {
    let arms = &story.readout.arms;
    let per_arm = |word: &dyn Fn(&ArmSummary) -> String| arms.iter().map(word).collect::<Vec<_>>();
    match story.decision.reasons.first().map(|reason| reason.code) {
        Some(ReasonCode::SampleRatioMismatch) => {
            html.lead(
                "Find out first why the groups do not have the sizes they were meant to have: where people were lost or added.",
            );
            let total = story.assigned();
            html.list(&per_arm(&|arm| {
                let meant = thousands((arm.share * total as f64).round() as u64);
                format!("`{}` has {}; {meant} were meant ({}).", arm.variant, people(arm.assigned), percent(arm.share))
            }));
        }
        Some(ReasonCode::FunnelMismatch) => {
            html.lead("Find out first where messages were lost: they did not get as far in some variants as in others.");
            html.list(&per_arm(&|arm| {
                let [counted, sent, accepted] = [arm.funnel.assigned, arm.funnel.sent, arm.funnel.accepted].map(thousands);
                format!(
                    "`{}`: of {counted} people counted, {sent} were sent a message and {accepted} messages were accepted.",
                    arm.variant
                )
            }));
        }
        Some(ReasonCode::TooFewOutcomes) => {
            html.lead(
                "Wait for more people: too few of them did what is measured. Find out first whether it is recorded at all.",
            );
        }
        Some(ReasonCode::NoData | ReasonCode::Immature) | None if story.assigned() == 0 => {
            html.lead("Find out first whether anything was planned: nobody was assigned yet.");
        }
        Some(ReasonCode::NoData | ReasonCode::Immature) if story.counted() == 0 => {
            let (waiting, window) = (people(story.waiting()), span(story.experiment.window_hours));
            html.lead(&format!("Wait: {waiting} take part, and the first of them count when their {window} are over."));
        }
        Some(ReasonCode::NoData) => {
            html.lead(&format!(
                "Find out first whether `{}` is recorded at all: {} are counted, and nothing was seen.",
                story.unit.metric.name,
                people(story.counted())
            ));
        }
        _ => html.lead("Find out first what the reasons below say."),
    }
    html.paragraph("Until then, do not ship and do not compare.");
}

/// The decision's reasons, in its order.
fn why(html: &mut Html, story: &Story<'_>) {
    let reasons: Vec<String> = story.decision.reasons.iter().map(|reason| reason.sentence.clone()).collect();
    if !reasons.is_empty() {
        html.paragraph("Why:");
        html.list(&reasons);
    }
}
