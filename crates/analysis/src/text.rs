//! A report as text for a terminal: verdict first, then the numbers, then the doubts.

use crate::report::{
    Adjustment, Answer, Basis, Difference, Estimate, Fleet, GuardrailState, Interval, Lift, LookSeries, Measure, Metric,
    PlanSource, Procedure, Readout, Report, SegmentColumn,
};
use crate::words::{count, level, number, percent};

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
    let mut headings = vec!["variant".to_owned(), "units".into(), "share".into(), "planned".into()];
    headings.extend(readout.metrics.iter().map(|metric| metric.name.clone()));
    let rows = readout.arms.iter().map(|arm| {
        let planned = arm.share_planned.map_or_else(|| "?".to_owned(), percent);
        let mut row = vec![arm.variant.clone(), thousands(arm.units), percent(arm.share), planned];
        row.extend(
            arm.metrics
                .iter()
                .zip(&readout.metrics)
                .map(|(cell, metric)| cell.mean.map_or_else(|| "-".to_owned(), |mean| level(metric.measure, mean))),
        );
        row
    });
    table(page, &headings, &rows.collect::<Vec<_>>());
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
            format!("{} v {}", estimate.variant, estimate.baseline),
            difference,
            interval,
            lift,
            lift_interval,
            p_value.map_or_else(|| "-".to_owned(), |p_value| probability(p_value) + mark),
        ]
    });
    table(page, &headings, &rows.collect::<Vec<_>>());
}

fn adjusted(page: &mut String, readout: &Readout) {
    let rows = readout.estimates.iter().flat_map(|estimate| {
        estimate.adjusted.iter().map(move |adjusted| {
            let measure = metric(readout, &estimate.metric).measure;
            let (difference, interval) = difference_cells(measure, &adjusted.absolute);
            let (lift, lift_interval) = lift_cells(&adjusted.relative);
            let how = adjustment(adjusted.method);
            let removed = adjusted.variance_removed.map_or_else(|| "-".to_owned(), percent_two);
            let comparison = format!("{} v {}", estimate.variant, estimate.baseline);
            vec![estimate.metric.clone(), comparison, how.to_owned(), difference, interval, lift, lift_interval, removed]
        })
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return;
    }
    let headings = ["metric", "comparison", "adjusted by", "difference", "interval", "lift", "interval", "variance removed"];
    table(page, &headings.map(str::to_owned), &rows);
    let basis = match readout.basis {
        Basis::Adjusted => "the adjusted comparison decides",
        Basis::Unadjusted => "the plain comparison decides",
    };
    line(page, &format!("  Basis         {basis}"));
}

fn guardrails(page: &mut String, readout: &Readout) {
    let rows = readout.estimates.iter().filter_map(|estimate| {
        let check = estimate.guardrail.as_ref()?;
        let state = match check.state {
            GuardrailState::Kept => "kept",
            GuardrailState::Unproven => "not shown",
            GuardrailState::Broken => "broken",
        };
        let p_value = check.non_inferiority.computed().map_or_else(|| "-".to_owned(), |test| probability(test.p_value));
        Some(vec![estimate.metric.clone(), estimate.variant.clone(), percent(check.margin), p_value, state.to_owned()])
    });
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        table(page, &["guardrail", "variant", "margin", "p (worse by margin)", "state"].map(str::to_owned), &rows);
    }
}

fn segments(page: &mut String, readout: &Readout, column: &SegmentColumn) {
    let headings = ["segment", "metric", "variant", "difference", "interval", "q"].map(str::to_owned);
    let rows = column.values.iter().flat_map(|value| {
        value.estimates.iter().map(move |estimate| {
            let measure = metric(readout, &estimate.metric).measure;
            let (difference, interval) = difference_cells(measure, &estimate.absolute);
            let q = estimate.q_value.map_or_else(|| "-".to_owned(), probability);
            let name = format!("{} = {}", column.column, value.value);
            vec![name, estimate.metric.clone(), estimate.variant.clone(), difference, interval, q]
        })
    });
    let mut rows: Vec<_> = rows.collect();
    let all = rows.len();
    rows.truncate(SEGMENT_ROWS_MAX);
    table(page, &headings, &rows);
    if all > rows.len() {
        line(page, &format!("  … and {} more rows; --json and --html show all.", all - rows.len()));
    }
    let headings = ["does the effect differ?", "metric", "variant", "p", "q", "answer"].map(str::to_owned);
    let rows = column.heterogeneity.iter().map(|test| {
        let answer = if test.significant { "yes" } else { "not shown" };
        let (p_value, q_value) = (probability(test.p_value), probability(test.q_value));
        vec![column.column.clone(), test.metric.clone(), test.variant.clone(), p_value, q_value, answer.to_owned()]
    });
    table(page, &headings, &rows.collect::<Vec<_>>());
    line(page, &format!("  Advice        {}", column.advice.as_deref().unwrap_or("none: treat all segments alike")));
    line(page, "");
}

fn looks(page: &mut String, readout: &Readout) {
    let Some(looks) = &readout.looks else { return };
    let headings = ["metric", "variant", "rule", "verdict", "stopped at", "difference then"].map(str::to_owned);
    let rows = looks.series.iter().flat_map(|series: &LookSeries| {
        series.rules.iter().map(move |rule| {
            let measure = metric(readout, &series.metric).measure;
            let verdict = if rule.significant { "different" } else { "no difference shown" };
            let difference = rule.difference.map_or_else(|| "-".to_owned(), |value| signed(measure, value));
            let stopped = rule.stopped_at.clone().unwrap_or_else(|| "never".to_owned());
            let name = procedure(rule.procedure).to_owned();
            vec![series.metric.clone(), series.variant.clone(), name, verdict.to_owned(), stopped, difference]
        })
    });
    table(page, &headings, &rows.collect::<Vec<_>>());
}

/// A stopping rule in words.
pub(crate) fn procedure(procedure: Procedure) -> &'static str {
    match procedure {
        Procedure::FixedAtEnd => "fixed, at the end",
        Procedure::NaivePeeking => "peeking (wrong)",
        Procedure::AlwaysValid => "always valid",
        Procedure::GroupSequential => "group-sequential",
    }
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
    let headings = ["experiment", "best variant", "lift", "forecast", "interval", "p", "q (BH)", "q (BY)", "sample ratio p"];
    let rows = fleet.experiments.iter().map(|row| {
        let share = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), lift_word);
        let chance = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), probability);
        let interval = row.lift_shrunken_interval.map_or_else(|| "-".to_owned(), |interval| ends(&interval, lift_word));
        vec![
            row.experiment.clone(),
            row.variant.clone().unwrap_or_else(|| "-".to_owned()),
            share(row.lift),
            share(row.lift_shrunken),
            interval,
            chance(row.p_value),
            chance(row.q_bh),
            chance(row.q_by),
            chance(row.sample_ratio_p_value),
        ]
    });
    table(page, &headings.map(str::to_owned), &rows.collect::<Vec<_>>());
}

pub(crate) fn metric<'a>(readout: &'a Readout, name: &str) -> &'a Metric {
    readout.metrics.iter().find(|metric| metric.name == name).expect("estimates are of the readout's metrics")
}

pub(crate) fn plain_p(estimate: &Estimate) -> Option<f64> {
    estimate.absolute.computed().map(|difference| difference.p_value)
}

pub(crate) fn difference_cells(measure: Measure, answer: &Answer<Difference>) -> (String, String) {
    match answer {
        Answer::Computed(effect) => (signed(measure, effect.difference), ends(&effect.interval, |end| signed(measure, end))),
        Answer::Degenerate(reason) => ("-".to_owned(), reason.why.clone()),
    }
}

pub(crate) fn lift_cells(answer: &Answer<Lift>) -> (String, String) {
    match answer {
        Answer::Computed(lift) => (lift_word(lift.relative), ends(&lift.interval, lift_word)),
        Answer::Degenerate(_) => ("-".to_owned(), "not identifiable".to_owned()),
    }
}

/// An interval with its ends in words; an open side is an arrow.
pub(crate) fn ends(interval: &Interval, word: impl Fn(f64) -> String) -> String {
    let side = |end: Option<f64>, open: &str| end.map_or_else(|| open.to_owned(), &word);
    format!("[{}, {}]", side(interval.lower, "−∞"), side(interval.upper, "+∞"))
}

/// A difference with its sign; of shares in percentage points.
pub(crate) fn signed(measure: Measure, value: f64) -> String {
    let plus = if value > 0.0 { "+" } else { "" };
    match measure {
        Measure::Binary => format!("{plus}{} pp", number(100.0 * value)),
        Measure::Mean | Measure::Ratio => format!("{plus}{}", number(value)),
    }
}

pub(crate) fn lift_word(share: f64) -> String {
    format!("{share:+.2} %", share = 100.0 * share)
}

/// What a comparison is adjusted by, in a word.
pub(crate) fn adjustment(method: Adjustment) -> &'static str {
    match method {
        Adjustment::Regression => "covariates",
        Adjustment::PostStratification => "strata",
    }
}

pub(crate) fn percent_two(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// A probability: plain down to one in ten thousand, as a power of ten below.
pub(crate) fn probability(p_value: f64) -> String {
    if p_value >= 1e-4 || p_value == 0.0 { format!("{p_value:.4}") } else { format!("{p_value:.1e}") }
}

pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or("")).collect();
    groups.join(",")
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
    fn numbers_read_well() {
        assert_eq!(probability(0.041_236), "0.0412");
        assert_eq!(probability(3.2e-9), "3.2e-9");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(lift_word(0.1234), "+12.34 %");
        assert_eq!(signed(Measure::Binary, 0.0766), "+7.66 pp");
        assert_eq!(ends(&Interval { lower: None, upper: Some(0.5) }, |end| end.to_string()), "[−∞, 0.5]");
    }

    #[test]
    fn columns_stand_under_each_other() {
        let mut page = String::new();
        table(&mut page, &["name".to_owned(), "n".into()], &[vec!["a".into(), "12".into()], vec!["längst".into(), "3".into()]]);
        assert_eq!(page, "  name    n\n  ──────  ──\n  a       12\n  längst   3\n\n");
    }
}
