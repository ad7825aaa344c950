//! What a careful reader should know before believing a verdict. Doubts are results: each has a code for programs and a
//! sentence for people.

mod design;
mod numbers;
mod parts;
mod time;

use crate::report::{Balance, Code, Doubt, Estimate, Looks, SegmentColumn, Verdict};
use crate::sample_ratio::Entry;
use crate::verdict::Evidence;

/// Everything that was found.
pub(crate) struct Findings<'a> {
    pub(crate) evidence: &'a Evidence<'a>,
    pub(crate) other_pairs: &'a [Estimate],
    pub(crate) segments: &'a [SegmentColumn],
    pub(crate) balance: &'a [Balance],
    pub(crate) entries: &'a [Entry<'a>],
    pub(crate) looks: Option<&'a Looks>,
    pub(crate) verdict: &'a Verdict,
}

/// All doubts: about the design first, because they spoil everything after.
pub(crate) fn doubts(findings: &Findings<'_>) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    design::sample_ratio(findings, &mut doubts);
    design::balance(findings, &mut doubts);
    time::about_looks(findings, &mut doubts);
    numbers::computable(findings, &mut doubts);
    numbers::few_outcomes(findings, &mut doubts);
    numbers::outliers(findings, &mut doubts);
    numbers::power(findings, &mut doubts);
    numbers::guardrails(findings, &mut doubts);
    numbers::other_winners(findings, &mut doubts);
    parts::bait(findings, &mut doubts);
    parts::simpson(findings, &mut doubts);
    doubts
}

fn doubt(code: Code, sentence: String) -> Doubt {
    Doubt { code, sentence }
}

#[cfg(test)]
mod tests;
