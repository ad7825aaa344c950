//! From rows to what a comparison of quantiles needs. Deng, Knoblich & Lu, "Applying the delta method in metric analytics",
//! KDD 2018.

use std::collections::BTreeMap;

use super::{OUTER_Z, QuantileArm, design_effect};
use crate::answer::Degenerate;
use crate::co_moments::CoMoments;

/// The quantile of an arm from its rows, given as (cluster, value), with the clusters' counts.
///
/// Quantiles are order statistics (the inverse of the empirical distribution). n* is the number of independent rows that
/// would know the share below the quantile as well as the clusters do, n over the design effect, so that the outer interval
/// is read where the quantile's own interval ends.
///
/// # Errors
/// [`Degenerate`] when a value is not finite, the level is not between 0 and 1, there are fewer than two clusters, or n* is
/// too small for the level.
pub fn quantile_of_rows(arm: &str, rows: &[(u64, f64)], level: f64) -> Result<(QuantileArm, CoMoments), Degenerate> {
    if !(level > 0.0 && level < 1.0) {
        return Err(Degenerate::new(format!("the level is {level}; it must lie between 0 and 1")));
    }
    if rows.iter().any(|(_, value)| !value.is_finite()) {
        return Err(Degenerate::new(format!("a value of {arm} is not a finite number")));
    }
    if rows.is_empty() {
        return Err(Degenerate::new(format!("{arm} has no rows")));
    }
    let mut values: Vec<f64> = rows.iter().map(|(_, value)| *value).collect();
    values.sort_unstable_by(f64::total_cmp);
    let n = values.len() as f64;
    let at = |rank: f64| values[(rank.max(1.0) as usize).min(values.len()) - 1];
    let quantile = at((n * level).ceil());
    let clusters = counts_below(rows, quantile);
    let effect = design_effect(arm, rows.len() as u64, level, &clusters)?;
    // Without any spread between clusters there is nothing to widen; rows are then taken as they are.
    let count_effective = if effect > 0.0 { n / effect } else { n };
    let reach = OUTER_Z * (level * (1.0 - level) / count_effective).sqrt();
    let found = QuantileArm {
        count: rows.len() as u64,
        count_effective,
        level,
        quantile,
        lower: at((n * (level - reach)).floor()),
        upper: at((n * (level + reach)).ceil()),
    };
    found.check_reach(arm)?;
    Ok((found, clusters))
}

/// Per cluster the rows at or below `quantile`, and the rows.
fn counts_below(rows: &[(u64, f64)], quantile: f64) -> CoMoments {
    let mut counts: BTreeMap<u64, [f64; 2]> = BTreeMap::new();
    for (cluster, value) in rows {
        let [below, all] = counts.entry(*cluster).or_default();
        *below += f64::from(u8::from(*value <= quantile));
        *all += 1.0;
    }
    let mut clusters = CoMoments::new(2);
    counts.values().for_each(|cluster| clusters.push(cluster));
    clusters
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::Draws;
    use crate::quantiles::compare_quantiles;

    /// Recipients with an own level and several rows each.
    fn rows(draws: &mut Draws, recipients: u64, shift: f64) -> Vec<(u64, f64)> {
        let mut rows = Vec::new();
        for recipient in 0..recipients {
            let own = draws.normal();
            for _ in 0..=draws.below(5) {
                rows.push((recipient, shift + (own + 0.5 * draws.normal()).exp()));
            }
        }
        rows
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |rows: &[(u64, f64)], level, expect: &str| {
            let error = quantile_of_rows("control", rows, level).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(&[], 0.5, "no rows");
        check(&[(1, 1.0), (2, f64::NAN)], 0.5, "not a finite number");
        check(&[(1, 1.0), (2, 2.0)], 1.0, "level");
        check(&[(1, 1.0), (1, 2.0)], 0.5, "only one recipient");
        check(&(0..100).map(|i| (i, i as f64)).collect::<Vec<_>>(), 0.99, "too few rows");
    }

    #[test]
    fn rows_of_one_each_are_independent() {
        let rows: Vec<(u64, f64)> = (0..1000).map(|i| (i, ((i * 7919) % 1000) as f64)).collect();
        let (arm, clusters) = quantile_of_rows("control", &rows, 0.9).unwrap();
        assert_eq!((arm.quantile, clusters.count), (899.0, 1000));
        assert!((arm.count_effective / 1000.0 - 1.0).abs() < 0.002, "{arm:?}");
        // The density is 1/1000, so the standard error is √(0.09/1000) × 1000.
        let standard_error = (arm.variance_per_row("control").unwrap() / 1000.0).sqrt();
        assert!((standard_error / 9.487 - 1.0).abs() < 0.1, "{standard_error}");
    }

    /// Intervals cover by recipients; the same rows taken as independent would be far too sure.
    #[test]
    fn clustered_intervals_cover() {
        let mut draws = Draws::seeded(7);
        let (mut covered, mut covered_naively) = (0, 0);
        for _ in 0..300 {
            let (a, b) = (rows(&mut draws, 150, 0.0), rows(&mut draws, 150, 1.0));
            let control = quantile_of_rows("control", &a, 0.75).unwrap();
            let treatment = quantile_of_rows("the variant", &b, 0.75).unwrap();
            let test = |control, treatment| compare_quantiles(control, treatment, 0.1).unwrap().absolute.interval.contains(1.0);
            covered += i32::from(test((control.0, Some(&control.1)), (treatment.0, Some(&treatment.1))));
            let alone = |rows: &[(u64, f64)]| {
                let alone: Vec<_> = rows.iter().enumerate().map(|(i, (_, value))| (i as u64, *value)).collect();
                quantile_of_rows("arm", &alone, 0.75).unwrap().0
            };
            covered_naively += i32::from(test((alone(&a), None), (alone(&b), None)));
        }
        assert!((258..=284).contains(&covered), "{covered} of 300 at 90 %");
        assert!(covered_naively < 245, "{covered_naively} of 300");
    }
}
