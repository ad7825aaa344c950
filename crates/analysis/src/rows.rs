//! What a report shows, as cells of text: the same for a terminal and for a page.

use crate::report::{
    Adjustment, Answer, Difference, Estimate, Fleet, GuardrailState, Interval, Lift, LookSeries, Measure, Metric, Procedure,
    Readout, SegmentColumn,
};
use crate::words::{level, number, percent};

/// The headings of [`adjusted`].
pub(crate) const ADJUSTED: [&str; 8] =
    ["metric", "comparison", "adjusted by", "difference", "interval", "lift", "interval", "variance removed"];

/// The headings of [`fleet`].
pub(crate) const FLEET: [&str; 9] =
    ["experiment", "best variant", "lift", "forecast", "interval", "p", "q (BH)", "q (BY)", "sample ratio p"];

/// The variants in numbers, with their headings.
pub(crate) fn arms(readout: &Readout) -> (Vec<String>, Vec<Vec<String>>) {
    let mut headings = vec!["variant".to_owned(), "units".into(), "share".into(), "planned".into()];
    headings.extend(readout.metrics.iter().map(|metric| metric.name.clone()));
    let rows = readout.arms.iter().map(|arm| {
        let planned = arm.share_planned.map_or_else(|| "?".to_owned(), percent);
        let mut row = vec![arm.variant.clone(), thousands(arm.units), percent(arm.share), planned];
        let means = arm.metrics.iter().zip(&readout.metrics);
        row.extend(means.map(|(cell, metric)| word(cell.mean, |mean| level(metric.measure, mean))));
        row
    });
    (headings, rows.collect())
}

/// What covariates and strata change, and how much noise they take out; each row with its estimate.
pub(crate) fn adjusted(readout: &Readout) -> Vec<(&Estimate, Vec<String>)> {
    let mut rows = Vec::new();
    for estimate in &readout.estimates {
        let measure = metric(readout, &estimate.metric).measure;
        for adjusted in &estimate.adjusted {
            let (difference, interval) = difference_cells(measure, &adjusted.absolute);
            let (lift, lift_interval) = lift_cells(&adjusted.relative);
            let removed = word(adjusted.variance_removed, percent_two);
            let how = adjustment(adjusted.method).to_owned();
            let cells = [estimate.metric.clone(), comparison(estimate), how, difference, interval, lift, lift_interval, removed];
            rows.push((estimate, cells.to_vec()));
        }
    }
    rows
}

/// The effects by the values of a column: value, metric, variant, difference, interval, q.
pub(crate) fn segment(readout: &Readout, column: &SegmentColumn) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for value in &column.values {
        for estimate in &value.estimates {
            let (difference, interval) = difference_cells(metric(readout, &estimate.metric).measure, &estimate.absolute);
            let (metric, variant) = (estimate.metric.clone(), estimate.variant.clone());
            let q_value = word(estimate.q_value, probability);
            rows.push(vec![value.value.clone(), metric, variant, difference, interval, q_value]);
        }
    }
    rows
}

/// Whether effects differ between the values of a column: metric, variant, p, q, answer.
pub(crate) fn heterogeneity(column: &SegmentColumn) -> Vec<Vec<String>> {
    let row = |test: &crate::report::Heterogeneity| {
        let answer = if test.significant { "yes" } else { "not shown" };
        let (p_value, q_value) = (probability(test.p_value), probability(test.q_value));
        vec![test.metric.clone(), test.variant.clone(), p_value, q_value, answer.to_owned()]
    };
    column.heterogeneity.iter().map(row).collect()
}

/// What each rule for stopping says of a series: rule, verdict, look, difference then.
pub(crate) fn rules(readout: &Readout, series: &LookSeries) -> Vec<Vec<String>> {
    let measure = metric(readout, &series.metric).measure;
    let row = |rule: &crate::report::StoppingRule| {
        let verdict = if rule.significant { "different" } else { "no difference shown" };
        let stopped = rule.stopped_at.clone().unwrap_or_else(|| "never".to_owned());
        let difference = word(rule.difference, |value| signed(measure, value));
        vec![procedure(rule.procedure).to_owned(), verdict.to_owned(), stopped, difference]
    };
    series.rules.iter().map(row).collect()
}

/// Each experiment among the others.
pub(crate) fn fleet(fleet: &Fleet) -> Vec<Vec<String>> {
    let row = |row: &crate::report::FleetRow| {
        vec![
            row.experiment.clone(),
            row.variant.clone().unwrap_or_else(|| "-".to_owned()),
            word(row.lift, lift_word),
            word(row.lift_shrunken, lift_word),
            row.lift_shrunken_interval.map_or_else(|| "-".to_owned(), |interval| ends(&interval, lift_word)),
            word(row.p_value, probability),
            word(row.q_bh, probability),
            word(row.q_by, probability),
            word(row.sample_ratio_p_value, probability),
        ]
    };
    fleet.experiments.iter().map(row).collect()
}

/// A number in words, or a dash where there is none.
pub(crate) fn word(value: Option<f64>, word: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), word)
}

/// Which two variants are compared.
pub(crate) fn comparison(estimate: &Estimate) -> String {
    format!("{} v {}", estimate.variant, estimate.baseline)
}

/// The state of a guardrail in words.
pub(crate) fn guardrail(state: GuardrailState) -> &'static str {
    match state {
        GuardrailState::Kept => "kept",
        GuardrailState::Unproven => "not shown",
        GuardrailState::Broken => "broken",
    }
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
}
