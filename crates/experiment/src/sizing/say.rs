//! A size in a sentence and in a table.

use stats::Interval;

use super::{Asked, DesignSize, Sizing, ValueSize, Wanted};
use crate::table::table;
use crate::words::{difference, level, number, percent, thousands};

/// What a manager should do.
pub(super) fn sentence(sizing: &Sizing, asked: &Asked) -> String {
    let size = if asked.cuped { &sizing.cuped } else { &sizing.plain };
    let list = thousands(sizing.contacts);
    let lift = |lift: f64| format!("a lift of {}", percent(lift));
    let shows = match &size.wanted {
        Some(wanted) if wanted.fits => format!(
            "To show {} with a power of {}, test {} contacts ({}), {} of the list, which takes {} days. ",
            lift(wanted.mde),
            percent(sizing.power),
            thousands(wanted.test_units),
            each(&wanted.units),
            percent(wanted.share_of_list),
            number(wanted.days)
        ),
        Some(wanted) => format!(
            "{} contacts are too few to show {}: that takes {}. They show it with a power of {}, and {} with {}. Do not wait for \
             significance; pick by expected value. ",
            thousands(size.test_units),
            lift(wanted.mde),
            thousands(wanted.test_units),
            percent(wanted.power),
            lift(size.mde),
            percent(sizing.power)
        ),
        None => format!(
            "A test of {} contacts shows {} or more with a power of {}. ",
            thousands(size.test_units),
            lift(size.mde),
            percent(sizing.power)
        ),
    };
    let ValueSize { units, test_units, share_of_list, probability_wrong, .. } = &size.value;
    let (over_none, over_half) = gains(sizing, &size.value);
    format!(
        "{shows}To earn the most, test {} of {list} contacts ({}; {} of the list) and send all others the best bet: {over_none} \
         per recipient against no test, {over_half} against a test on half of the list, and a wrong pick with a chance of {}.",
        thousands(*test_units),
        each(units),
        percent(*share_of_list),
        percent(*probability_wrong)
    )
}

/// The size as text for a terminal.
#[must_use]
pub fn text(sizing: &Sizing) -> String {
    let Sizing { sentence, metric, contacts, mean, sd, correlation, variance_left, prior_sd, power, plain, cuped } = sizing;
    let facts = [
        ("contacts", thousands(*contacts)),
        (metric.name.as_str(), format!("{} per contact", level(metric, *mean))),
        ("deviation", level(metric, *sd)),
        (
            "correlation with the 90 days before",
            format!("{}; {} of the variance is left", number(*correlation), percent(*variance_left)),
        ),
        ("variants differ by", percent(*prior_sd)),
    ];
    let wanted = |of: fn(&Wanted) -> String| move |size: &DesignSize| size.wanted.as_ref().map(of);
    let row = |name: &str, of: &dyn Fn(&DesignSize) -> Option<String>| {
        let cells = [of(plain)?, of(cuped)?];
        Some([vec![name.to_owned()], cells.to_vec()].concat())
    };
    let at_power = percent(*power);
    let rows = [
        row("contacts that can be in the test", &|size| Some(thousands(size.test_units))),
        row(&format!("smallest lift they show, power {at_power}"), &|size| Some(percent(size.mde))),
        row("days they take", &|size| Some(number(size.days))),
        row("lift asked for", &wanted(|wanted| percent(wanted.mde))),
        row("  contacts it needs", &wanted(|wanted| thousands(wanted.test_units))),
        row("  of each variant", &wanted(|wanted| listed(&wanted.units))),
        row("  share of the list", &wanted(|wanted| percent(wanted.share_of_list))),
        row("  contacts until it stops, on average", &wanted(|wanted| thousands(wanted.expected_units as u64))),
        row("  days it takes at most", &wanted(|wanted| number(wanted.days))),
        row("  power with the contacts there can be", &wanted(|wanted| percent(wanted.power))),
        row("test that earns most: contacts", &|size| Some(thousands(size.value.test_units))),
        row("  of each variant", &|size| Some(listed(&size.value.units))),
        row("  share of the list", &|size| Some(percent(size.value.share_of_list))),
        row("  gain over no test, per recipient", &|size| Some(gains(sizing, &size.value).0)),
        row("  gain over a test on half", &|size| Some(gains(sizing, &size.value).1)),
        row("  chance of a wrong pick", &|size| Some(percent(size.value.probability_wrong))),
    ];
    let rows: Vec<Vec<String>> = rows.into_iter().flatten().collect();
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let facts: String = facts.iter().map(|(name, value)| format!("  {name:<width$}  {value}\n")).collect();
    format!("{sentence}\n\n{facts}\n{}", table(&["", "plain", "with CUPED"], &rows))
}

/// Over no test and over a test on half, with their sign for the metric: where less is better a gain is less.
fn gains(sizing: &Sizing, value: &ValueSize) -> (String, String) {
    let sign = if sizing.metric.lower_is_better { -1.0 } else { 1.0 };
    let open = Interval { lower: None, upper: None };
    let told = |gain: f64| difference(&sizing.metric, sign * gain, &open);
    (told(value.gain_over_no_test), told(value.gain_over_half_test))
}

fn each(units: &[u64]) -> String {
    match units {
        [first, rest @ ..] if rest.iter().all(|units| units == first) => format!("{} of each variant", thousands(*first)),
        _ => format!("{} of the variants", listed(units)),
    }
}

fn listed(units: &[u64]) -> String {
    match units {
        [first, rest @ ..] if rest.iter().all(|units| units == first) => thousands(*first),
        _ => units.iter().map(|units| thousands(*units)).collect::<Vec<_>>().join(" / "),
    }
}
