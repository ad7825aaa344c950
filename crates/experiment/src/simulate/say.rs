//! What came of designs in a sentence and in a table.

use super::{Decide, MonteCarlo, Simulated, SimulatedDesign};
use crate::table::table;
use crate::words::{number, percent, thousands};

/// Two designs closer than so many standard errors of their difference are not told apart.
const APART: f64 = 2.0;

/// Which design is the best by value; `order` has them by their regret, and `ahead` is by how much the first is ahead of the
/// second.
pub(super) fn sentence(designs: &[SimulatedDesign], order: &[usize], ahead: Option<MonteCarlo>, runs: u32) -> String {
    let name = |place: usize| format!("`{}`", designs[order[place]].design.name);
    let best = &designs[order[0]];
    let regret = format!(
        "loses {} per recipient of the list against knowing the best variant, tests {} of the list and sends the best variant \
         in {} of {runs} runs",
        number(best.regret.mean),
        percent(best.test_share),
        percent(best.picked_best.mean)
    );
    match ahead {
        None => format!("{} {regret}.", name(0)),
        Some(ahead) if ahead.mean > APART * ahead.standard_error => {
            format!("Take {}: it {regret}; {}, the next best, loses {} more.", name(0), name(1), number(ahead.mean))
        }
        Some(_) => format!("{} {regret}; that is the least, but {runs} runs do not tell it from that of {}.", name(0), name(1)),
    }
}

/// What came of designs as text for a terminal.
#[must_use]
pub fn text(simulated: &Simulated) -> String {
    let Simulated { sentence, seed, runs, contacts, mean, designs, .. } = simulated;
    let row = |of: &SimulatedDesign| {
        let decide = match of.design.decide {
            Decide::BestBet => "best bet",
            Decide::ShownOnly => "shown only",
        };
        let rate = |of: &MonteCarlo| format!("{} ± {:.1}", percent(of.mean), 100.0 * of.standard_error);
        let plain = |of: &MonteCarlo| format!("{} ± {}", number(of.mean), number(of.standard_error));
        let maybe = |of: &Option<MonteCarlo>| of.as_ref().map_or_else(|| "-".to_owned(), rate);
        [
            vec![of.design.name.clone(), of.design.variants.to_string(), thousands(of.units_per_variant), percent(of.test_share)],
            vec![format!("{decide}{}", if of.design.cuped { ", CUPED" } else { "" })],
            vec![rate(&of.false_winner_rate), maybe(&of.power), rate(&of.picked_best)],
            vec![plain(&of.regret), plain(&of.test_cost), thousands(of.sent_to_worse.mean as u64)],
            vec![format!("{:.1} / {}", of.looks.mean, of.design.looks), maybe(&of.forecast_bias), maybe(&of.raw_bias)],
        ]
        .concat()
    };
    let rows: Vec<Vec<String>> = designs.iter().map(row).collect();
    let design = ["design", "variants", "of each", "of the list", "sends", "looks", "false winners", "power"];
    let value = ["design", "best sent", "regret", "in the test", "got worse ones", "forecast too high", "observed too high"];
    let rows_of = |order: &[usize]| rows.iter().map(|row| order.iter().map(|at| row[*at].clone()).collect()).collect::<Vec<_>>();
    format!(
        "{sentence}\n\n{}\n{}\n  {runs} runs on {} contacts with a mean of {}, seed {seed}. Losses are per recipient of the \
         list.\n",
        table(&design, &rows_of(&[0, 1, 2, 3, 4, 11, 5, 6])),
        table(&value, &rows_of(&[0, 7, 8, 9, 10, 12, 13])),
        thousands(*contacts),
        number(*mean)
    )
}
