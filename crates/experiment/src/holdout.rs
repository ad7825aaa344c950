//! What marketing brings as a whole: the contacts of the global holdout, who got nothing, beside those who were written to.
//!
//! It is read out as any experiment of two variants: a contact counts from the first message they got, or would have got, on. Whom a rule
//! refused anyway is in neither group.
//!
//! *Caution:* who is held out counts from when the campaign's first message left in their market, who is written to from when their own did,
//! which may be some hours later. Over weeks that is little.

use vocabulary::{Costs, Experiment, ExperimentId, Factor, Measure, Metric, Outcome, Variant, VariantName};

/// The name of those who were written to.
pub const WRITTEN_TO: &str = "written to";

/// The name of those who were held out.
pub const HELD_OUT: &str = "held out";

/// Four weeks.
pub const WINDOW_HOURS_DEFAULT: u32 = 28 * 24;

/// Shares become whole weights, in millionths.
const WEIGHTS: f64 = 1_000_000.0;

/// The holdout as an experiment: `share` of all contacts were held out, more than 0 and less than 1, and the others are compared with
/// them. The primary metric is profit where its `costs` are told, else revenue.
///
/// # Panics
/// Never: its names are labels.
#[must_use]
pub fn experiment(share: f64, window_hours: u32, costs: Option<Costs>) -> Experiment {
    let held_out = ((share * WEIGHTS).round() as u32).clamp(1, WEIGHTS as u32 - 1);
    let name = |text: &str| VariantName::new(text).expect("a name of this file is a label");
    let variant = |text: &str, weight: u32| Variant { weight, ..Variant::new(name(text)) };
    let profit = costs.map(|costs| Metric { costs: Some(costs), ..Metric::new("profit", Outcome::Order, Measure::Profit) });
    let primary = profit.as_ref().map_or("revenue", |_| "profit").to_owned();
    let others = ["revenue", "ordered", "orders", "unsubscribed"].into_iter().filter_map(Metric::built_in);
    Experiment {
        question: "What does marketing bring?".to_owned(),
        factors: vec![Factor::Copy],
        variants: vec![variant(HELD_OUT, held_out), variant(WRITTEN_TO, WEIGHTS as u32 - held_out)],
        metrics: profit.into_iter().chain(others).collect(),
        window_hours,
        ..Experiment::new(ExperimentId::new("holdout/global").expect("a name of this file is a label"), primary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_becomes_weights() {
        let weights = |share| experiment(share, 24, None).variants.iter().map(|variant| variant.weight).collect::<Vec<_>>();
        assert_eq!(weights(0.05), [50_000, 950_000]);
        assert_eq!(weights(1e-9), [1, 999_999]);
        assert_eq!(weights(1.0), [999_999, 1]);
        let costs = Costs { margin: 0.4, message: 0.001, unsubscribe: 1.0, complaint: 5.0 };
        for (costs, primary) in [(None, "revenue"), (Some(costs), "profit")] {
            let experiment = experiment(0.1, WINDOW_HOURS_DEFAULT, costs);
            assert_eq!((experiment.primary.as_str(), experiment.control().as_str()), (primary, HELD_OUT));
            crate::check(&experiment).unwrap();
        }
    }
}
