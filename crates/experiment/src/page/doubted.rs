//! What to doubt: everything the readout and the decision doubt, once, the most serious first.

use analysis::report::Code;

use super::Story;
use super::html::Html;
use super::say::{capital, in_words, people};
use crate::decision::{FUNNEL_MISMATCH, SRM_BY_MARKET};
use crate::readout::Doubt;

/// Codes from the most serious on: first what spoils every number, then what spoils some, then what only blurs. What is not named
/// stands between the last two.
const SPOILS_ALL: [&str; 4] = ["srm", "no_assignments", SRM_BY_MARKET, FUNNEL_MISMATCH];
const SPOILS_SOME: [&str; 6] =
    ["guardrail_broken", "crossover", "unknown_variants", "unconverted_orders", "not_computable", "guardrail_not_shown"];
const BLURS: [&str; 3] = ["immature", "not_identifiable", "winner_not_unique"];

pub(super) fn write(html: &mut Html, story: &Story<'_>) {
    let doubts = doubts(story);
    match doubts.len() {
        0 => {
            html.lead("Nothing that was looked for was found. That is no proof that nothing is wrong: only what is recorded can be checked.");
            html.list(&erased(story).into_iter().collect::<Vec<_>>());
        }
        how_many => {
            let things =
                if how_many == 1 { "One thing".to_owned() } else { format!("{} things", capital(&in_words(how_many as u64))) };
            let order = if how_many == 1 { "" } else { ", the most serious first" };
            html.lead(&format!("{things} a careful reader should know{order}."));
            html.list(&doubts.into_iter().map(plain).chain(erased(story)).collect::<Vec<_>>());
        }
    }
}

/// Without those that say the same of the same, in the order of their weight and, within that, as they came.
pub(super) fn doubts<'a>(story: &Story<'a>) -> Vec<&'a Doubt> {
    let mut doubts: Vec<&Doubt> = Vec::new();
    for doubt in story.readout.doubts.iter().chain(&story.decision.doubts) {
        let is_same = |other: &&Doubt| plain(other) == plain(doubt);
        if !doubts.iter().any(is_same) {
            doubts.push(doubt);
        }
    }
    doubts.sort_by_key(|doubt| weight(&doubt.code));
    doubts
}

fn weight(code: &str) -> usize {
    let place = |codes: &[&str]| codes.iter().position(|known| code == *known);
    let (all, some) = (SPOILS_ALL.len(), SPOILS_SOME.len());
    let blurs = || place(&BLURS).map(|place| all + some + 1 + place);
    place(&SPOILS_ALL).or_else(|| place(&SPOILS_SOME).map(|place| all + place)).or_else(blurs).unwrap_or(all + some)
}

/// The sentence without what only an analyst reads.
fn plain(doubt: &Doubt) -> String {
    if doubt.code == Code::Srm.name() {
        return "The groups do not have the sizes they were meant to have, by more than chance explains: people were lost or added \
                along the way, so that no number here can be trusted."
            .to_owned();
    }
    doubt.sentence.trim().to_owned()
}

/// Erasure is a right and no doubt, but the numbers were others before.
fn erased(story: &Story<'_>) -> Option<String> {
    let erased = people(story.readout.erased_units);
    (story.readout.erased_units > 0).then(|| format!("{erased} had themselves erased and are not in these numbers any more."))
}
