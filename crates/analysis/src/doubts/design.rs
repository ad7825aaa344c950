//! Whether the comparison is one of like with like.

use super::{Findings, doubt};
use crate::report::{Answer, Balance, BalanceKind, Basis, Code, Doubt, PlanSource};
use crate::words::number;

pub(super) fn sample_ratio(findings: &Findings<'_>, doubts: &mut Vec<Doubt>) {
    let found = findings.evidence.sample_ratio;
    if let (true, Answer::Degenerate(reason)) = (found.mismatch, &found.test) {
        let why = &reason.why;
        doubts.push(doubt(Code::Srm, format!("Whether the variants have the planned sizes cannot be computed, because {why}.")));
    }
    if let (true, Answer::Computed(test)) = (found.mismatch, &found.test) {
        let meant = match found.plan {
            PlanSource::Told => "the planned ones",
            PlanSource::AssumedEqual | PlanSource::Unknown => "the equal ones they seem to be meant to be",
        };
        doubts.push(doubt(
            Code::Srm,
            format!(
                "The variants' shares of the units are not {meant} (p {}): units were lost or added along the way, so no number \
                 here can be trusted.",
                number(test.p_value)
            ),
        ));
    }
    if let (false, Some(dates)) = (found.mismatch, found.by_date.as_ref().filter(|dates| dates.mismatch)) {
        doubts.push(doubt(
            Code::SrmByDate,
            format!(
                "The variants' shares of the units change from date to date (p {}), most of all at {}. In total they may look \
                 right, but errors that cancel are still errors.",
                number(dates.p_value),
                dates.worst
            ),
        ));
    }
    let is_uneven = found.plan == PlanSource::Unknown || (found.plan == PlanSource::AssumedEqual && found.mismatch);
    if is_uneven {
        doubts.push(doubt(
            Code::NoPlan,
            "The variants have uneven shares of the units and no planned shares were told, so it cannot be judged whether units \
             were lost. Say how they were meant to be split: --plan."
                .to_owned(),
        ));
    }
}

pub(super) fn balance(findings: &Findings<'_>, doubts: &mut Vec<Doubt>) {
    for Balance { column, kind, p_value, late } in findings.balance {
        let (true, Some(p_value)) = (*late, p_value) else { continue };
        let p = number(*p_value);
        let (code, sentence) = match kind {
            BalanceKind::Covariate => (
                Code::LateCovariate,
                format!(
                    "The covariate {column} differs between the variants (p {p}), as one measured after the start would. \
                     Adjusting by it would take away a part of the effect, so the verdict rests on the unadjusted numbers."
                ),
            ),
            BalanceKind::Stratum => (
                Code::PostAssignment,
                format!(
                    "The stratum {column} is filled differently in the variants (p {p}), as one decided after the start would \
                     be. The verdict rests on the unadjusted numbers."
                ),
            ),
            BalanceKind::Segment => (
                Code::PostAssignment,
                format!(
                    "The segment {column} is filled differently in the variants (p {p}), as one decided after the start would \
                     be. Its results compare different people and say nothing about the variants."
                ),
            ),
        };
        doubts.push(doubt(code, sentence));
    }
    debug_assert!(
        findings.evidence.basis == Basis::Unadjusted || !findings.balance.iter().any(|found| found.late && found.adjusts()),
        "a late column never decides"
    );
}
