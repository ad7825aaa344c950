//! What segments seem to say.

use super::{Findings, doubt};
use crate::report::{Code, Doubt, SegmentColumn, SegmentEstimate};
use crate::segments::standardised;
use crate::words::number;

/// What looks special before it is counted how much was looked at: per column the most striking.
pub(super) fn bait(findings: &Findings<'_>, doubts: &mut Vec<Doubt>) {
    let asked: usize = findings.segments.iter().map(|column| column.heterogeneity.len()).sum();
    let looked: usize = findings.segments.iter().flat_map(|column| &column.values).map(|value| value.estimates.len()).sum();
    for column in findings.segments {
        differences(findings, column, asked, doubts);
        values(findings, column, looked, doubts);
    }
}

/// Effects that seem to differ. A column by which some effect really differs is no bait.
fn differences(findings: &Findings<'_>, column: &SegmentColumn, asked: usize, doubts: &mut Vec<Doubt>) {
    let alpha = findings.evidence.frame.spec.alpha;
    if column.heterogeneity.iter().any(|test| test.significant) {
        return;
    }
    let baits = column.heterogeneity.iter().filter(|test| test.p_value <= alpha);
    let Some(test) = baits.min_by(|one, other| one.p_value.total_cmp(&other.p_value)) else { return };
    let name = &column.column;
    let sentence = format!(
        "The effect of `{}` on {} seems to differ by {name} (p {}), but {asked} such questions were asked and this is what chance \
         brings (q {}): do not treat anyone differently by {name}.",
        test.variant,
        test.metric,
        number(test.p_value),
        number(test.q_value),
    );
    doubts.push(doubt(Code::SubgroupBait, sentence));
}

/// Effects among some units where there is none among all.
fn values(findings: &Findings<'_>, column: &SegmentColumn, looked: usize, doubts: &mut Vec<Doubt>) {
    let alpha = findings.evidence.frame.spec.alpha;
    let p_value = |estimate: &SegmentEstimate| estimate.absolute.computed().map_or(1.0, |effect| effect.p_value);
    let effects = column.values.iter().flat_map(|value| {
        let with_totals = value.estimates.iter().zip(findings.evidence.estimates);
        with_totals.map(move |(estimate, total)| (value, estimate, total))
    });
    let baits = effects.filter(|(_, estimate, total)| {
        p_value(estimate) <= alpha && !estimate.significant && estimate.q_value.is_some() && !total.significant
    });
    let Some((value, estimate, _)) = baits.min_by(|one, other| p_value(one.1).total_cmp(&p_value(other.1))) else { return };
    let sentence = format!(
        "`{}` seems to change {} where {} is `{}` (p {}), but not over all, and {looked} segment effects were looked at: this is what \
         chance brings (q {}).",
        estimate.variant,
        estimate.metric,
        column.column,
        value.value,
        number(p_value(estimate)),
        number(estimate.q_value.unwrap_or(1.0)),
    );
    doubts.push(doubt(Code::SubgroupBait, sentence));
}

/// The total mixes the segments by their shares, which must be the same in both arms. Where they are not, the total may
/// point one way and the segments the other.
pub(super) fn simpson(findings: &Findings<'_>, doubts: &mut Vec<Doubt>) {
    let z = stats::tail::normal_quantile_upper(findings.evidence.frame.spec.alpha / 2.0);
    for column in findings.segments {
        for (index, total) in findings.evidence.estimates.iter().enumerate() {
            let Some(all) = total.absolute.computed() else { continue };
            let effects = column.values.iter().filter_map(|value| value.estimates[index].absolute.computed());
            let opposite = effects.clone().count() > 1 && effects.clone().all(|effect| effect.difference * all.difference < 0.0);
            let clear = all.statistic.abs() > z;
            let turned = standardised(column, index).is_some_and(|(difference, error)| {
                let is_clear = difference.abs() > z * error;
                (difference > 0.0) != (all.difference > 0.0) && all.difference != 0.0 && (is_clear || clear)
            });
            if turned || (opposite && clear) {
                let sentence = format!(
                    "Over all, `{}` {} {}, but within {} it is the other way round: the variants hold different shares of its values, so \
                     believe neither before you know why.",
                    total.variant,
                    if all.difference > 0.0 { "raises" } else { "lowers" },
                    total.metric,
                    column.column,
                );
                doubts.push(doubt(Code::Simpson, sentence));
            }
        }
    }
}
