//! What happened: who was counted, what each variant got, and what that lets expect.

use analysis::page::chart::{Tone, Whisker, whiskers};

use super::html::Html;
use super::say::{lift, lift_between, people, rough, span};
use super::{Story, market_name};
use crate::decision::{Action, Forecast};
use crate::readout::ArmSummary;
use crate::words::count;

/// A chart shows so many rows; the tables at the end show all.
const ROWS_MAX: usize = 24;

/// Longer labels run into the chart.
const LABEL_CHARS_MAX: usize = 20;

pub(super) fn write(html: &mut Html, story: &Story<'_>) {
    let variants = count(story.experiment.variants.len() as u64, "variant", "variants");
    let window = span(story.experiment.window_hours);
    let measure = format!("The measure is `{}`: {}", story.unit.metric.name, story.unit.measure());
    match (story.counted(), story.assigned()) {
        (0, 0) => html.lead(&format!("Nothing yet: nobody was assigned to one of the {variants}. {measure}.")),
        (0, assigned) => html.lead(&format!(
            "Nothing that counts yet: {} take part, and a person counts {window} after the planned hour of sending. {measure}.",
            people(assigned)
        )),
        (counted, _) => {
            html.lead(&format!(
                "{} counted{}, in {variants}. {measure}, within {window} of the planned hour of sending.",
                if counted == 1 { "1 person is".to_owned() } else { format!("{} are", people(counted)) },
                if story.decision.information.is_last { "" } else { " so far" }
            ));
            html.list(&story.readout.arms.iter().map(|arm| result(story, arm)).collect::<Vec<_>>());
            expected(html, story);
            by_age(html, story);
        }
    }
}

/// What one variant got; its lift beside it where the numbers can be trusted.
fn result(story: &Story<'_>, arm: &ArmSummary) -> String {
    let name = &arm.variant;
    let Some(mean) = arm.means.get(&story.unit.metric.name) else {
        return format!("`{name}`: no result yet.");
    };
    let result = format!("`{name}`: {}", story.unit.result(*mean, arm.mature));
    let control = story.control();
    if name == control {
        return format!("{result}. The others are compared with it.");
    }
    if story.experiment.variant(name).is_some_and(|variant| variant.holdout) {
        return format!("{result}. They were held out: everything was done but handing the message over.");
    }
    let forecast = story.forecast(name);
    let seen = story.primary(name).and_then(|estimate| estimate.relative.computed()).map(|seen| seen.relative);
    let Some(raw) = forecast.map_or(seen, |forecast| forecast.raw_lift).filter(|_| is_trusted(story)) else {
        return format!("{result}.");
    };
    let than = if lift(raw) == "as much" { "as" } else { "than" };
    let result = format!("{result}, {} {than} `{control}` (raw)", lift(raw));
    let Some(expected) = forecast.and_then(|forecast| Some((forecast.lift?, forecast.lift_interval))) else {
        return format!("{result}.");
    };
    let between = lift_between(&expected.1).map_or_else(String::new, |between| format!(", {between}"));
    format!("{result}. Forecast: {}{between}.", lift(expected.0))
}

/// Why there are two numbers, and both of them drawn.
fn expected(html: &mut Html, story: &Story<'_>) {
    if !is_trusted(story) {
        html.paragraph("Do not compare these numbers yet: what they are worth is not known.");
        return;
    }
    let rows = rows(story);
    if rows.is_empty() {
        html.paragraph(&no_forecast(story));
        return;
    }
    html.paragraph(
        "Raw is what was seen; the forecast is what to expect when it is sent to everybody. They differ because a winner’s raw \
         difference is too large on average: part of what made it win was luck, and luck does not come back.",
    );
    let title = format!("{} compared with {}: forecast and raw", story.unit.metric.name, story.control());
    let caption = format!(
        "Dot: forecast of how much more or less than `{}`. Line: where it likely is. Faint mark: raw.{}",
        story.control(),
        if rows.len() > ROWS_MAX {
            format!(" The first {ROWS_MAX} of {} rows; the tables below hold all.", rows.len())
        } else {
            String::new()
        }
    );
    let shown = &rows[..rows.len().min(ROWS_MAX)];
    html.figure(&whiskers(&title, shown, tick), &caption);
}

/// How the difference came about, age by age.
fn by_age(html: &mut Html, story: &Story<'_>) {
    let Some((series, variant)) = story.series.and_then(|series| Some((series, series.ahead()?))).filter(|_| is_trusted(story))
    else {
        return;
    };
    let better = |low: Option<f64>| low.is_some_and(|low| low > 0.0) != story.unit.metric.lower_is_better;
    let row = |(hours, lift, interval): (u32, f64, &stats::Interval)| {
        let (lower, upper) = (interval.lower, interval.upper);
        let is_told = lower.is_some_and(|lower| lower > 0.0) || upper.is_some_and(|upper| upper < 0.0);
        let tone = match is_told {
            true if better(lower) => Tone::Better,
            true => Tone::Worse,
            false => Tone::Neutral,
        };
        Whisker { label: span(hours), value: lift, lower, upper, other: None, tone }
    };
    let rows: Vec<Whisker> = series.lifts(variant).map(row).collect();
    if rows.len() < 2 {
        return;
    }
    html.paragraph(&format!(
        "How `{variant}` came to stand where it does, by the time since the message. At each age all count who are as old, so that the last \
         lines rest on fewer people while the test runs; early lines favour messages that are answered fast."
    ));
    let title = format!("{} compared with {} by age", story.unit.metric.name, story.control());
    let caption =
        format!("Dot: how much more or less than `{}` was seen. Line: where it likely is at that one look.", story.control());
    html.figure(&whiskers(&title, &rows[..rows.len().min(ROWS_MAX)], tick), &caption);
}

/// Why there is nothing to draw.
fn no_forecast(story: &Story<'_>) -> String {
    let control = story.control();
    match story.decision.arms.iter().any(|forecast| &forecast.variant != control) {
        true => format!("A forecast in percent cannot be told, because the average of `{control}` is not greater than zero."),
        false if !story.decision.stopped.is_empty() => "There is no forecast of what is not to be sent any more.".to_owned(),
        false => "There is no forecast yet.".to_owned(),
    }
}

fn is_trusted(story: &Story<'_>) -> bool {
    story.decision.action != Action::CannotJudge
}

/// Every variant overall, then the best bet of each market; without those that have no lift.
fn rows(story: &Story<'_>) -> Vec<Whisker> {
    let control = story.control();
    let overall = story.decision.arms.iter().map(|forecast| (forecast, forecast.variant.to_string()));
    let markets = story.decision.markets.iter().filter_map(|market| {
        let best = market.best.as_ref()?;
        Some((best, format!("{}: {}", market_name(&market.market), best.variant)))
    });
    let compared = overall.chain(markets).filter(|(forecast, _)| &forecast.variant != control);
    compared.filter_map(|(forecast, label)| whisker(forecast, &label)).collect()
}

fn whisker(forecast: &Forecast, label: &str) -> Option<Whisker> {
    let tone = match (forecast.gain_interval.lower, forecast.gain_interval.upper) {
        (Some(lower), _) if lower > 0.0 => Tone::Better,
        (_, Some(upper)) if upper < 0.0 => Tone::Worse,
        _ => Tone::Neutral,
    };
    let (lower, upper) = (forecast.lift_interval.lower, forecast.lift_interval.upper);
    Some(Whisker { label: shortened(label), value: forecast.lift?, lower, upper, other: forecast.raw_lift, tone })
}

fn shortened(label: &str) -> String {
    if label.chars().count() <= LABEL_CHARS_MAX {
        return label.to_owned();
    }
    label.chars().take(LABEL_CHARS_MAX - 1).chain(['…']).collect()
}

/// A number of the chart's scale.
fn tick(share: f64) -> String {
    let size = rough(100.0 * share);
    match size.as_str() {
        "0" => "0 %".to_owned(),
        _ if share < 0.0 => format!("−{size} %"),
        _ => format!("+{size} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_ticks_fit() {
        assert_eq!(shortened("DE: bold"), "DE: bold");
        assert_eq!(shortened("a label that is far too long"), "a label that is far…");
        assert_eq!([-0.1, 0.0, 0.005, 1.5].map(tick), ["−10 %", "0 %", "+0.5 %", "+150 %"]);
    }
}
