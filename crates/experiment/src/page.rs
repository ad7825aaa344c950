//! A manager's page for one experiment: what happened, how sure that is, what it is worth, what to do and what to doubt, in this order
//! and in plain words; then the numbers, for whoever wants to compute them again.
//!
//! The page says nothing that is not in the readout and the decision. It forecasts nothing itself, and where they hold no number it
//! says that there is none. It is one file: no script, no font, no picture from elsewhere.

mod act;
mod doubted;
mod happened;
mod html;
mod numbers;
mod say;
mod sure;
mod worth;

use std::fmt::Write as _;

use analysis::page::escaped;
use vocabulary::{Currency, Experiment, Metric, Timestamp, VariantName};

use crate::decision::{Action, Decision, Forecast};
use crate::readout::{Estimate, Readout, Role};
use crate::series::Series;
use html::{Html, prose};
use say::{Unit, capital};

const STYLE: &str = include_str!("page/style.css");

/// What a page is made of.
#[derive(Debug, Clone, Copy)]
pub struct PageInput<'a> {
    /// The experiment as it was written.
    pub experiment: &'a Experiment,
    /// What is known of it.
    pub readout: &'a Readout,
    /// What follows from that. It must have been decided on this readout.
    pub decision: &'a Decision,
    /// Whom the decision is for. Without it nothing is said of the rest of the list, and amounts have no currency.
    pub rest: Option<Rest>,
    /// The experiment by time, where that is known.
    pub series: Option<&'a Series>,
    /// What was decided and waits for a second person, if anything does.
    pub waiting: Option<Waiting>,
}

/// A decision that waits for a second person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// People who were still to follow when it was made.
    pub recipients: u64,
    /// Since when.
    pub since: Timestamp,
}

/// Whom a decision is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// People who are to be written to and took no part; 0 where nobody is left or it is not known.
    pub recipients: u64,
    /// The base currency, in which amounts are.
    pub currency: Currency,
}

/// The page as HTML: the same input gives the same bytes.
#[must_use]
pub fn page(input: &PageInput<'_>) -> String {
    let story = Story::of(input);
    let mut html = Html::default();
    html.raw(&head(&story));
    html.section("happened", "What happened", |html| happened::write(html, &story));
    html.section("sure", "How sure", |html| sure::write(html, &story));
    html.section("worth", "What it is worth", |html| worth::write(html, &story));
    html.section("act", "What to do", |html| act::write(html, &story));
    html.section("doubt", "What to doubt", |html| doubted::write(html, &story));
    html.section("numbers", "The numbers", |html| numbers::write(html, &story));
    html.raw("</main></body></html>\n");
    html.finish()
}

/// The input, and what several sections ask of it.
struct Story<'a> {
    experiment: &'a Experiment,
    readout: &'a Readout,
    decision: &'a Decision,
    rest: Option<Rest>,
    series: Option<&'a Series>,
    waiting: Option<Waiting>,
    unit: Unit<'a>,
}

impl<'a> Story<'a> {
    fn of(input: &PageInput<'a>) -> Self {
        let PageInput { experiment, readout, decision, rest, series, waiting } = *input;
        let is_primary = |metric: &&Metric| metric.name == experiment.primary;
        let metric = experiment.metrics.iter().find(is_primary).expect("the primary metric is one of a checked experiment's");
        Self {
            experiment,
            readout,
            decision,
            rest,
            series,
            waiting,
            unit: Unit { metric, currency: rest.map(|rest| rest.currency) },
        }
    }

    fn control(&self) -> &'a VariantName {
        self.experiment.control()
    }

    /// People whose window is over.
    fn counted(&self) -> u64 {
        self.readout.arms.iter().map(|arm| arm.mature).sum()
    }

    fn assigned(&self) -> u64 {
        self.readout.arms.iter().map(|arm| arm.assigned).sum()
    }

    /// People whose window is not over.
    fn waiting(&self) -> u64 {
        self.assigned().saturating_sub(self.counted())
    }

    /// What is believed of a variant overall.
    fn forecast(&self, variant: &VariantName) -> Option<&'a Forecast> {
        self.decision.arms.iter().chain(&self.decision.best).find(|forecast| &forecast.variant == variant)
    }

    /// What was seen of a variant against control on the primary metric.
    fn primary(&self, variant: &VariantName) -> Option<&'a Estimate> {
        let is_it = |estimate: &&Estimate| {
            let pair = (&estimate.variant, &estimate.baseline);
            estimate.role == Role::Primary && pair == (variant, self.control())
        };
        self.readout.estimates.iter().find(is_it)
    }

    /// The forecast the page speaks of: of what is shipped, else of the best bet as of now.
    fn subject(&self) -> Option<&'a Forecast> {
        match self.decision.action {
            Action::Ship => self.forecast(&self.decision.variant),
            Action::KeepTesting | Action::StopForHarm | Action::CannotJudge => self.decision.best.as_ref(),
        }
    }

    /// Whether some market gets another variant than the others.
    fn markets_differ(&self) -> bool {
        self.decision.action == Action::Ship && self.decision.markets.iter().any(|market| market.variant != self.decision.variant)
    }
}

/// Everything above the first section: whose page it is, and the answer.
fn head(story: &Story<'_>) -> String {
    let Story { experiment, readout, decision, .. } = story;
    let title = escaped(experiment.experiment.as_str());
    let (class, action) = match decision.action {
        Action::Ship => ("go", "Ship"),
        Action::KeepTesting => ("go", "Keep testing"),
        Action::StopForHarm => ("halt", "Stop for harm"),
        Action::CannotJudge => ("halt", "Cannot judge"),
    };
    let mut head = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{action}: {title}</title>\n\
         <style>\n{STYLE}</style></head>\n<body><main>\n<header>\n<h1>{title}</h1>\n"
    );
    if !experiment.question.trim().is_empty() {
        let _ = writeln!(head, "<p class=\"question\">{}</p>", escaped(experiment.question.trim()));
    }
    let _ = writeln!(head, "<p class=\"soft\">As of {}</p>\n</header>", moment(readout.as_of));
    // The action stands above the sentence already.
    let sentence = decision.sentence.strip_prefix(&format!("{action}: ")).map_or_else(|| decision.sentence.clone(), capital);
    let sentence = prose(&sentence);
    let _ = writeln!(head, "<div class=\"banner {class}\"><p class=\"action\">{action}</p><p>{sentence}</p></div>");
    head
}

/// A moment as people write it.
fn moment(at: Timestamp) -> String {
    at.strftime("%-d %B %Y, %H:%M UTC").to_string()
}

/// Names in a sentence: `a`, `b` and `c`.
fn named<'a>(variants: impl IntoIterator<Item = &'a VariantName>) -> String {
    joined(&variants.into_iter().map(|variant| format!("`{variant}`")).collect::<Vec<_>>())
}

fn joined(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Markets are data: they may have no name.
fn market_name(market: &str) -> String {
    if market.trim().is_empty() { "(no market)".to_owned() } else { market.to_owned() }
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
