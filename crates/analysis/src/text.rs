//! A report as text for a terminal: verdict first, then the numbers, then the doubts.

use crate::report::{Answer, Basis, Fleet, PlanSource, Readout, Report, SegmentColumn};
use crate::rows::{self, comparison, difference_cells, lift_cells, metric, plain_p, probability, word};
use crate::words::{count, percent};

/// Tables of segments show so many rows and count the rest.
const SEGMENT_ROWS_MAX: usize = 40;

/// So many experiments are shown one by one; the fleet's table shows all.
const READOUTS_MAX: usize = 20;

/// The report as text, lines of about 110 columns.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut page = String::new();
    let shown = report.experiments.len().min(READOUTS_MAX);
    for readout in &report.experiments[..shown] {
        about_experiment(&mut page, report, readout);
    }
    if shown < report.experiments.len() {
        let rest = report.experiments.len() - shown;
        line(&mut page, &format!("… and {rest} more experiments; --json and --html show all."));
        line(&mut page, "");
    }
    if let Some(fleet) = &report.fleet {
        about_fleet(&mut page, fleet);
    }
    for note in &report.notes {
        line(&mut page, &format!("Note: {note}"));
    }
    page
}

fn line(page: &mut String, text: &str) {
    page.push_str(text.trim_end());
    page.push('\n');
}

fn about_experiment(page: &mut String, report: &Report, readout: &Readout) {
    if let Some(name) = &readout.experiment {
        line(page, &format!("Experiment {name}"));
    }
    line(page, &format!("  {}", readout.verdict.sentence));
    line(page, "");
    arms(page, readout);
    estimates(page, report, readout);
    adjusted(page, readout);
    guardrails(page, readout);
    for column in &readout.segments {
        segments(page, readout, column);
    }
    looks(page, readout);
    sample_ratio(page, readout);
    if readout.doubts.is_empty() {
        line(page, "  Doubts        none");
    } else {
        line(page, "  Doubts");
        for doubt in &readout.doubts {
            line(page, &format!("    {:18} {}", doubt.code.name(), doubt.sentence));
        }
    }
    line(page, "");
}

fn arms(page: &mut String, readout: &Readout) {
    let (headings, rows) = rows::arms(readout);
    table(page, &headings, &rows);
}

fn estimates(page: &mut String, report: &Report, readout: &Readout) {
    let correction = serde_json::to_value(report.spec.correction).ok().and_then(|word| word.as_str().map(str::to_owned));
    let level = percent(1.0 - report.spec.alpha);
    let headings = [
        "metric".to_owned(),
        "comparison".into(),
        "difference".into(),
        format!("{level} interval"),
        "lift".into(),
        format!("{level} interval"),
        format!("p ({})", correction.unwrap_or_default()),
    ];
    let rows = readout.estimates.iter().chain(&readout.other_pairs).map(|estimate| {
        let measure = metric(readout, &estimate.metric).measure;
        let (difference, interval) = difference_cells(measure, &estimate.absolute);
        let (lift, lift_interval) = lift_cells(&estimate.relative);
        let (p_value, mark) = (estimate.p_adjusted.or(plain_p(estimate)), if estimate.significant { " *" } else { "" });
        vec![
            estimate.metric.clone(),
            comparison(estimate),
            difference,
            interval,
            lift,
            lift_interval,
            word(p_value, |p_value| probability(p_value) + mark),
        ]
    });
    table(page, &headings, &rows.collect::<Vec<_>>());
}

fn adjusted(page: &mut String, readout: &Readout) {
    let rows = rows::adjusted(readout);
    if rows.is_empty() {
        return;
    }
    let cells: Vec<Vec<String>> = rows.into_iter().map(|(_, cells)| cells).collect();
    table(page, &rows::ADJUSTED.map(str::to_owned), &cells);
    let basis = match readout.basis {
        Basis::Adjusted => "the adjusted comparison decides",
        Basis::Unadjusted => "the plain comparison decides",
    };
    line(page, &format!("  Basis         {basis}"));
}

fn guardrails(page: &mut String, readout: &Readout) {
    let rows = readout.estimates.iter().filter_map(|estimate| {
        let check = estimate.guardrail.as_ref()?;
        let state = rows::guardrail(check.state);
        let p_value = word(check.non_inferiority.computed().map(|test| test.p_value), probability);
        Some(vec![estimate.metric.clone(), estimate.variant.clone(), percent(check.margin), p_value, state.to_owned()])
    });
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        table(page, &["guardrail", "variant", "margin", "p (worse by margin)", "state"].map(str::to_owned), &rows);
    }
}

fn segments(page: &mut String, readout: &Readout, column: &SegmentColumn) {
    let headings = ["segment", "metric", "variant", "difference", "interval", "q"].map(str::to_owned);
    let mut rows = rows::segment(readout, column);
    rows.iter_mut().for_each(|row| row[0] = format!("{} = {}", column.column, row[0]));
    let all = rows.len();
    rows.truncate(SEGMENT_ROWS_MAX);
    table(page, &headings, &rows);
    if all > rows.len() {
        line(page, &format!("  … and {} more rows; --json and --html show all.", all - rows.len()));
    }
    let headings = ["does the effect differ?", "metric", "variant", "p", "q", "answer"].map(str::to_owned);
    let with_column = |row: Vec<String>| [vec![column.column.clone()], row].concat();
    let rows: Vec<Vec<String>> = rows::heterogeneity(column).into_iter().map(with_column).collect();
    table(page, &headings, &rows);
    line(page, &format!("  Advice        {}", column.advice.as_deref().unwrap_or("none: treat all segments alike")));
    line(page, "");
}

fn looks(page: &mut String, readout: &Readout) {
    let Some(looks) = &readout.looks else { return };
    let headings = ["metric", "variant", "rule", "verdict", "stopped at", "difference then"].map(str::to_owned);
    let rows = looks.series.iter().flat_map(|series| {
        let of_rule = move |rule: Vec<String>| [vec![series.metric.clone(), series.variant.clone()], rule].concat();
        rows::rules(readout, series).into_iter().map(of_rule)
    });
    table(page, &headings, &rows.collect::<Vec<_>>());
}

fn sample_ratio(page: &mut String, readout: &Readout) {
    let ratio = &readout.sample_ratio;
    let against = match ratio.plan {
        PlanSource::Told => "against the plan",
        PlanSource::AssumedEqual => "against equal shares",
        PlanSource::Unknown => "no plan was told",
    };
    let test = match &ratio.test {
        Answer::Computed(test) => format!("p {} {against}", probability(test.p_value)),
        Answer::Degenerate(reason) => format!("not tested: {}", reason.why),
    };
    let by_date = ratio.by_date.as_ref().map(|test| format!("; by date p {}, worst {}", probability(test.p_value), test.worst));
    let alarm = if ratio.mismatch { "; MISMATCH" } else { "" };
    line(page, &format!("  Sample ratio  {test}{}{alarm}", by_date.unwrap_or_default()));
}

fn about_fleet(page: &mut String, fleet: &Fleet) {
    line(page, &format!("All {} together", count(fleet.experiments.len() as u64, "experiment", "experiments")));
    for sentence in &fleet.sentences {
        line(page, &format!("  {sentence}"));
    }
    line(page, "");
    table(page, &rows::FLEET.map(str::to_owned), &rows::fleet(fleet));
}

/// Aligned columns under their headings; numbers to the right.
pub(crate) fn table(page: &mut String, headings: &[String], rows: &[Vec<String>]) {
    let length = |text: &str| text.chars().count();
    let width =
        |column: usize| rows.iter().map(|row| length(&row[column])).chain([length(&headings[column])]).max().unwrap_or_default();
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let is_number = |cell: &str| cell.starts_with(|first: char| first.is_ascii_digit() || "+-−[?".contains(first));
    let mut put = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| {
            let pad = " ".repeat(width - length(cell));
            if is_number(cell) { format!("{pad}{cell}") } else { format!("{cell}{pad}") }
        });
        line(page, &format!("  {}", padded.collect::<Vec<_>>().join("  ")));
    };
    put(headings);
    put(&widths.iter().map(|width| "─".repeat(*width)).collect::<Vec<_>>());
    rows.iter().for_each(|row| put(row));
    line(page, "");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let mut page = String::new();
        table(&mut page, &["name".to_owned(), "n".into()], &[vec!["a".into(), "12".into()], vec!["längst".into(), "3".into()]]);
        assert_eq!(page, "  name    n\n  ──────  ──\n  a       12\n  längst   3\n\n");
    }
}
