//! A report as one self-contained page: no script, no font, no picture from elsewhere.

pub mod chart;

use std::fmt::Write as _;

use crate::report::{Answer, Basis, Estimate, Fleet, LookSeries, Looks, Measure, Readout, Report, SegmentColumn};
use crate::rows::{
    self, comparison, difference_cells, lift_cells, metric, plain_p, probability, procedure, signed, thousands, word,
};
use crate::words::percent;
use chart::{Course, Tone, Whisker, course, whiskers};

const STYLE: &str = include_str!("page/style.css");

/// A chart of intervals shows so many rows; the table beneath shows all.
const WHISKERS_MAX: usize = 60;

/// The report as HTML.
#[must_use]
pub fn page(report: &Report, title: &str) -> String {
    let title = escaped(title);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style></head><body><h1>{title}</h1>\
         <p class=\"soft\">{} rows, {} experiment(s), error {} per experiment; computed by {}.</p>",
        thousands(report.rows),
        report.experiments.len(),
        percent(report.spec.alpha),
        escaped(&report.engine)
    );
    if let Some(fleet) = &report.fleet {
        about_fleet(&mut page, fleet, report.spec.alpha);
    }
    for readout in &report.experiments {
        about_experiment(&mut page, report, readout);
    }
    for note in &report.notes {
        let _ = write!(page, "<p class=\"soft\">Note: {}</p>", escaped(note));
    }
    page + "</body></html>\n"
}

/// Text that stays text in HTML, between tags and within double quotes.
#[must_use]
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn about_experiment(page: &mut String, report: &Report, readout: &Readout) {
    if let Some(name) = &readout.experiment {
        let _ = write!(page, "<h2>{}</h2>", escaped(name));
    }
    let _ = write!(page, "<p class=\"verdict\">{}</p>", escaped(&readout.verdict.sentence));
    doubts(page, readout);
    effects(page, report, readout);
    arms(page, readout);
    for column in &readout.segments {
        segments(page, readout, column);
    }
    if let Some(looks) = &readout.looks {
        about_looks(page, readout, looks);
    }
}

fn doubts(page: &mut String, readout: &Readout) {
    if readout.doubts.is_empty() {
        page.push_str("<p class=\"soft\">No doubts.</p>");
        return;
    }
    page.push_str("<ul class=\"doubts\">");
    for doubt in &readout.doubts {
        let _ = write!(page, "<li><code>{}</code> {}</li>", doubt.code.name(), escaped(&doubt.sentence));
    }
    page.push_str("</ul>");
}

/// Per metric a chart of lifts, or of differences where a lift is not identifiable; then the table of all.
fn effects(page: &mut String, report: &Report, readout: &Readout) {
    for spec in &readout.metrics {
        let estimates: Vec<&Estimate> = readout.estimates.iter().filter(|estimate| estimate.metric == spec.name).collect();
        let relative = estimates.iter().all(|estimate| estimate.relative.computed().is_some());
        let rows: Vec<Whisker> =
            estimates.iter().filter_map(|estimate| whisker(readout, estimate, relative)).take(WHISKERS_MAX).collect();
        if rows.is_empty() {
            continue;
        }
        let what = if relative { "lift" } else { "difference" };
        let title =
            format!("{}: {what} against {} with its {} interval", spec.name, readout.control, percent(1.0 - report.spec.alpha));
        let word = |value: f64| if relative { format!("{:.0} %", 100.0 * value) } else { signed(spec.measure, value) };
        let _ = write!(page, "<figure>{}<figcaption>{}</figcaption></figure>", whiskers(&title, &rows, word), escaped(&title));
    }
    let headings = ["metric", "comparison", "difference", "interval", "lift", "interval", "p", "p corrected", "guardrail"];
    let rows = readout.estimates.iter().chain(&readout.other_pairs).map(|estimate| {
        let (difference, interval) = difference_cells(metric(readout, &estimate.metric).measure, &estimate.absolute);
        let (lift, lift_interval) = lift_cells(&estimate.relative);
        let guardrail = estimate.guardrail.as_ref().map_or("", |check| rows::guardrail(check.state));
        let (p_plain, p_corrected) = (word(plain_p(estimate), probability), word(estimate.p_adjusted, probability));
        let cells = [
            estimate.metric.clone(),
            comparison(estimate),
            difference,
            interval,
            lift,
            lift_interval,
            p_plain,
            p_corrected,
            guardrail.into(),
        ];
        (tone(estimate), cells.to_vec())
    });
    table(page, "Every comparison", &headings, rows);
    adjusted(page, readout);
}

fn whisker(readout: &Readout, estimate: &Estimate, relative: bool) -> Option<Whisker> {
    let (value, interval) = match (estimate.deciding_relative(readout.basis), estimate.deciding(readout.basis)) {
        (Answer::Computed(lift), _) if relative => (lift.relative, lift.interval),
        (_, Answer::Computed(effect)) => (effect.difference, effect.interval),
        _ => return None,
    };
    let (lower, upper) = (interval.lower, interval.upper);
    Some(Whisker { label: estimate.variant.clone(), value, lower, upper, other: None, tone: tone(estimate) })
}

/// What covariates and strata change, and how much noise they take out.
fn adjusted(page: &mut String, readout: &Readout) {
    let rows = rows::adjusted(readout);
    if !rows.is_empty() {
        let caption = match readout.basis {
            Basis::Adjusted => "Adjusted for what was known before; these decide",
            Basis::Unadjusted => "Adjusted for what was known before; the plain comparisons decide",
        };
        table(page, caption, &rows::ADJUSTED, rows.into_iter().map(|(estimate, cells)| (tone(estimate), cells)));
    }
}

fn tone(estimate: &Estimate) -> Tone {
    match (estimate.significant, estimate.better) {
        (true, Some(true)) => Tone::Better,
        (true, Some(false)) => Tone::Worse,
        _ => Tone::Neutral,
    }
}

fn arms(page: &mut String, readout: &Readout) {
    let (headings, rows) = rows::arms(readout);
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let ratio = match &readout.sample_ratio.test {
        Answer::Computed(test) => format!("Variants; sample ratio p {}", probability(test.p_value)),
        Answer::Degenerate(reason) => format!("Variants; sample ratio not tested: {}", reason.why),
    };
    table(page, &ratio, &headings, plain(rows));
}

fn segments(page: &mut String, readout: &Readout, column: &SegmentColumn) {
    let advice = column.advice.as_deref().unwrap_or("No advice: treat all alike.");
    let _ = write!(page, "<h3>By {}</h3><p>{}</p>", escaped(&column.column), escaped(advice));
    let headings = ["value", "metric", "variant", "difference", "interval", "q"];
    table(page, "Effects by value; q after Benjamini and Hochberg over all", &headings, plain(rows::segment(readout, column)));
    let headings = ["metric", "variant", "p", "q", "does the effect differ?"];
    table(page, "Whether the effect differs between the values", &headings, plain(rows::heterogeneity(column)));
}

fn about_looks(page: &mut String, readout: &Readout, looks: &Looks) {
    for series in &looks.series {
        let spec = metric(readout, &series.metric);
        let title = format!("{}: {} minus {} at each look", series.metric, series.variant, readout.control);
        let drawn = course(&title, &course_of(looks, series), |value| short(spec.measure, value));
        let caption = format!("{title}. Dark band: right for one look fixed beforehand; light band: right at every look.");
        let _ = write!(page, "<figure>{drawn}<figcaption>{}</figcaption></figure>", escaped(&caption));
        let said = rows::rules(readout, series).into_iter().zip(&series.rules);
        let rows = said.map(|(cells, rule)| [cells, vec![rule.sentence.clone()]].concat());
        table(
            page,
            "What each rule for stopping says",
            &["rule", "verdict", "stopped at", "difference then", ""],
            plain(rows.collect()),
        );
    }
}

fn course_of(looks: &Looks, series: &LookSeries) -> Course {
    let band = |interval: Option<crate::report::Interval>| interval.and_then(|interval| interval.lower.zip(interval.upper));
    let stopped = series.rules.iter().filter_map(|rule| {
        let index = looks.looks.iter().position(|look| Some(&look.look) == rule.stopped_at.as_ref())?;
        Some((index, procedure(rule.procedure).to_owned()))
    });
    Course {
        looks: looks.looks.iter().map(|look| look.look.clone()).collect(),
        values: series.points.iter().map(|point| point.difference).collect(),
        narrow: series.points.iter().map(|point| band(point.interval)).collect(),
        wide: series.points.iter().map(|point| band(point.interval_always_valid)).collect(),
        marks: stopped.collect(),
    }
}

fn short(measure: Measure, value: f64) -> String {
    signed(measure, value).replace(" pp", "")
}

fn about_fleet(page: &mut String, fleet: &Fleet, alpha: f64) {
    page.push_str("<h2>All experiments together</h2>");
    for sentence in &fleet.sentences {
        let _ = write!(page, "<p>{}</p>", escaped(sentence));
    }
    let rows: Vec<Whisker> = fleet
        .experiments
        .iter()
        .filter_map(|row| {
            let interval = row.lift_shrunken_interval?;
            let tone = if row.q_bh.is_some_and(|q_value| q_value <= alpha) { Tone::Better } else { Tone::Neutral };
            let (lower, upper) = (interval.lower, interval.upper);
            Some(Whisker { label: row.experiment.clone(), value: row.lift_shrunken?, lower, upper, other: row.lift, tone })
        })
        .take(WHISKERS_MAX)
        .collect();
    if !rows.is_empty() {
        let title = "Forecast lift of each experiment's best variant (dot) beside the raw one (bar)";
        let drawn = whiskers(title, &rows, |value| format!("{:.0} %", 100.0 * value));
        let _ = write!(page, "<figure>{drawn}<figcaption>{title}</figcaption></figure>");
    }
    table(page, "Experiments", &rows::FLEET, plain(rows::fleet(fleet)));
}

/// Rows without a tone.
fn plain(rows: Vec<Vec<String>>) -> impl Iterator<Item = (Tone, Vec<String>)> {
    rows.into_iter().map(|cells| (Tone::Neutral, cells))
}

/// A table; columns of words stand to the left.
fn table(page: &mut String, caption: &str, headings: &[&str], rows: impl Iterator<Item = (Tone, Vec<String>)>) {
    let rows: Vec<(Tone, Vec<String>)> = rows.collect();
    let is_words = |column: usize| rows.first().is_some_and(|(_, cells)| cells[column].starts_with(char::is_alphabetic));
    let classes: Vec<&str> = (0..headings.len()).map(|column| if is_words(column) { " class=\"word\"" } else { "" }).collect();
    let _ = write!(page, "<div class=\"scroll\"><table><caption>{}</caption><thead><tr>", escaped(caption));
    for (heading, class) in headings.iter().zip(&classes) {
        let _ = write!(page, "<th{class}>{}</th>", escaped(heading));
    }
    page.push_str("</tr></thead><tbody>");
    for (tone, cells) in &rows {
        let class = match tone {
            Tone::Better => " class=\"better\"",
            Tone::Worse => " class=\"worse\"",
            Tone::Neutral => "",
        };
        let _ = write!(page, "<tr{class}>");
        for (cell, class) in cells.iter().zip(&classes) {
            let _ = write!(page, "<td{class}>{}</td>", escaped(cell));
        }
        page.push_str("</tr>");
    }
    page.push_str("</tbody></table></div>");
}
