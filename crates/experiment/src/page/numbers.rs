//! The numbers: what the sentences are made of, for the analyst, and what is needed to compute them again.

use super::doubted::doubts;
use super::html::{Html, Table};
use super::say::{NONE, ends, signed, signed_percent, thousands};
use super::{Story, market_name, moment};
use crate::decision::{BoundaryMethod, Forecast, Shown};
use crate::readout::{Answer, ArmSummary, Estimate, GuardrailState, Role};
use crate::words::{number, percent};

pub(super) fn write(html: &mut Html, story: &Story<'_>) {
    html.paragraph("For the analyst: what the sentences above are made of.");
    funnel(html, story);
    forecasts(html, story);
    markets(html, story);
    tests(html, story);
    guardrails(html, story);
    comparisons(html, story);
    html.table(&Table {
        caption: "Doubts in their full words",
        headings: &["Code", "Doubt"],
        rows: doubts(story).iter().map(|doubt| vec![doubt.code.clone(), doubt.sentence.clone()]).collect(),
    });
    provenance(html, story);
}

fn funnel(html: &mut Html, story: &Story<'_>) {
    let row = |arm: &ArmSummary| {
        let funnel = arm.funnel;
        let steps = [arm.assigned, arm.mature, funnel.sent, funnel.accepted, funnel.opened, funnel.clicked, funnel.ordered];
        let names = [arm.variant.to_string(), percent(arm.share)];
        names.into_iter().chain(steps.map(thousands)).collect()
    };
    html.table(&Table {
        caption: "How far the people of each variant came; from “sent” on of those who are counted",
        headings: &[
            "Variant",
            "Planned share",
            "Assigned",
            "Counted",
            "Sent",
            "Accepted",
            "Opened by people",
            "Clicked",
            "Ordered",
        ],
        rows: story.readout.arms.iter().map(row).collect(),
    });
}

/// The columns of a forecast.
const FORECAST: [&str; 8] =
    ["Lift raw", "Lift forecast", "its interval", "Gain per recipient", "its interval", "P(best)", "Expected loss", "Pooled"];

fn forecast_cells(forecast: Option<&Forecast>) -> Vec<String> {
    let Some(forecast) = forecast else { return vec![NONE.to_owned(); FORECAST.len()] };
    let lift = |lift: Option<f64>| lift.map_or_else(|| NONE.to_owned(), signed_percent);
    vec![
        lift(forecast.raw_lift),
        lift(forecast.lift),
        ends(&forecast.lift_interval, signed_percent),
        signed(forecast.gain),
        ends(&forecast.gain_interval, signed),
        number(forecast.probability_best),
        number(forecast.expected_loss),
        number(forecast.pooled),
    ]
}

fn forecasts(html: &mut Html, story: &Story<'_>) {
    let caption = format!(
        "Forecast of `{}` per variant against `{}`; intervals at {}",
        story.unit.metric.name,
        story.control(),
        percent(1.0 - story.readout.alpha)
    );
    let row = |forecast: &Forecast| [vec![forecast.variant.to_string()], forecast_cells(Some(forecast))].concat();
    html.table(&Table {
        caption: &caption,
        headings: &[&["Variant"], FORECAST.as_slice()].concat(),
        rows: story.decision.arms.iter().map(row).collect(),
    });
}

fn markets(html: &mut Html, story: &Story<'_>) {
    let rows = story.decision.markets.iter().map(|market| {
        let best = market.best.as_ref();
        let names = vec![
            market_name(&market.market),
            market.variant.to_string(),
            best.map_or_else(|| NONE.to_owned(), |best| best.variant.to_string()),
            thousands(market.mature),
        ];
        [names, forecast_cells(best)].concat()
    });
    html.table(&Table {
        caption: "The best bet of each market",
        headings: &[&["Market", "Send", "Best bet", "Counted"], FORECAST.as_slice()].concat(),
        rows: rows.collect(),
    });
}

fn tests(html: &mut Html, story: &Story<'_>) {
    let information = &story.decision.information;
    let method = match information.method {
        BoundaryMethod::GroupSequential => "group-sequential boundaries (O’Brien-Fleming by spending)",
        BoundaryMethod::AlwaysValid => "a confidence sequence, valid at every look",
    };
    let caption = format!(
        "Tests on `{}` against `{}` at alpha {} over all looks and variants, by {method}",
        story.unit.metric.name,
        story.control(),
        number(story.readout.alpha)
    );
    let rows = information.tests.iter().map(|test| {
        let shown = match test.shown {
            Shown::Better => "better",
            Shown::Neither => "neither",
            Shown::Worse => "worse",
        };
        vec![
            test.variant.to_string(),
            optional(test.statistic, signed),
            optional(test.boundary, number),
            ends(&test.lift_interval, signed_percent),
            shown.to_owned(),
        ]
    });
    html.table(&Table {
        caption: &caption,
        headings: &["Variant", "Statistic", "Boundary", "Lift at all looks", "Shown"],
        rows: rows.collect(),
    });
}

fn guardrails(html: &mut Html, story: &Story<'_>) {
    let rows = story.decision.guardrails.iter().map(|standing| {
        let state = match standing.state {
            GuardrailState::Kept => "kept",
            GuardrailState::Unproven => "unproven",
            GuardrailState::Broken => "broken",
        };
        vec![
            standing.metric.clone(),
            standing.variant.to_string(),
            percent(standing.margin),
            optional(standing.statistic, signed),
            optional(standing.boundary, number),
            state.to_owned(),
        ]
    });
    html.table(&Table {
        caption: "Guardrails; a statistic below minus the boundary is harm",
        headings: &["Metric", "Variant", "Margin", "Statistic", "Boundary", "State"],
        rows: rows.collect(),
    });
}

/// Everything the readout compares, at this look alone.
fn comparisons(html: &mut Html, story: &Story<'_>) {
    let row = |estimate: &Estimate| {
        let role = match estimate.role {
            Role::Primary => "primary",
            Role::Secondary => "secondary",
            Role::Guardrail => "guardrail",
        };
        let difference = match &estimate.absolute {
            Answer::Computed(effect) => [signed(effect.difference), ends(&effect.interval, signed), number(effect.p_value)],
            Answer::Degenerate(_) => [NONE; 3].map(str::to_owned),
        };
        let lift = match &estimate.relative {
            Answer::Computed(lift) => [signed_percent(lift.relative), ends(&lift.interval, signed_percent)],
            Answer::Degenerate(_) => [NONE; 2].map(str::to_owned),
        };
        let names = [
            estimate.metric.clone(),
            format!("{} – {}", estimate.variant, estimate.baseline),
            role.to_owned(),
            optional(estimate.mean_variant, number),
            optional(estimate.mean_baseline, number),
        ];
        let [difference, interval, p_value] = difference;
        let rest = [difference, interval].into_iter().chain(lift).chain([p_value, optional(estimate.p_adjusted, number)]);
        names.into_iter().chain(rest).collect()
    };
    let caption =
        format!("Every comparison, raw and right for one look only; intervals at {}", percent(1.0 - story.readout.alpha));
    html.table(&Table {
        caption: &caption,
        headings: &[
            "Metric",
            "Variants",
            "Role",
            "First mean",
            "Second mean",
            "Difference",
            "its interval",
            "Lift",
            "its interval",
            "p",
            "p corrected",
        ],
        rows: story.readout.estimates.iter().map(row).collect(),
    });
}

/// What to ask for to get the same numbers again.
fn provenance(html: &mut Html, story: &Story<'_>) {
    let readout = story.readout;
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let mut rows = vec![
        row("Experiment", readout.experiment_id.to_string()),
        row("Readout", readout.id.clone()),
        row("As of", format!("{} ({})", readout.as_of, moment(readout.as_of))),
        row("Engine", readout.engine.clone()),
        row("Plan hash", readout.plan_hash.clone()),
        row("People erased", thousands(readout.erased_units)),
    ];
    rows.extend(readout.versions.iter().map(|(table, version)| row(&format!("Table {table}"), format!("version {version}"))));
    html.table(&Table {
        caption: "What was computed from what, so that anybody can compute it again",
        headings: &["What", "Which"],
        rows,
    });
}

fn optional(value: Option<f64>, word: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| NONE.to_owned(), word)
}
