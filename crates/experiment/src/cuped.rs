//! The primary metric with what recipients did before taken out (CUPED): their number less what the same number of the time before
//! foretells.
//!
//! What a message does cannot change what was before it, so that nothing is lost but noise. One slope serves all variants and groups; each
//! group (a market, a day) keeps its own level, so that lifts are over what recipients there are like, and all recipients are the groups
//! put together. The slope is estimated anew at each look: estimates stay asymptotically efficient, so that boundaries over several looks
//! hold as for plain means. Deng, Xu, Kohavi & Walker, WSDM (2013); Jennison & Turnbull, "Group-sequential analysis incorporating covariate
//! information", JASA 92 (1997).

use stats::{CoMoments, Moments};

use crate::observe::{ArmObservations, Observations};

/// Fills in the adjusted moments of each group and of all together, which are the groups added up. Nothing where what was before is not
/// known.
pub(crate) fn adjust(overall: &mut Observations, groups: &mut [&mut Observations]) {
    if overall.arms.iter().any(|arm| arm.before.is_none()) {
        return;
    }
    let slope = slope(groups);
    let mut together = vec![Moments::default(); overall.arms.len()];
    for group in groups {
        let level = level(&group.arms);
        for (arm, all) in group.arms.iter_mut().zip(&mut together) {
            let Some(before) = &arm.before else { continue };
            let mut adjusted = before.combined(&[1.0, -slope]);
            adjusted.mean += slope * level;
            *all = all.merge(&adjusted);
            arm.adjusted = Some(adjusted);
        }
    }
    for (arm, all) in overall.arms.iter_mut().zip(together) {
        arm.adjusted = Some(all);
    }
}

/// The share of the variance within variants that the adjustment took away; `None` where there is none, or nothing varies.
pub(crate) fn variance_removed(overall: &Observations) -> Option<f64> {
    let (mut plain, mut adjusted) = (0.0, 0.0);
    for arm in &overall.arms {
        plain += arm.before.as_ref()?.product(0, 0);
        adjusted += arm.adjusted?.m2;
    }
    let removed = 1.0 - adjusted / plain;
    removed.is_finite().then_some(removed)
}

/// By how much a number rises with the one before, within variants and groups; 0 where nothing was before.
fn slope(groups: &[&mut Observations]) -> f64 {
    let befores = || groups.iter().flat_map(|group| &group.arms).filter_map(|arm| arm.before.as_ref());
    let sum = |one: usize, other: usize| befores().map(|before| before.product(one, other)).sum::<f64>();
    let slope = sum(0, 1) / sum(1, 1);
    if slope.is_finite() { slope } else { 0.0 }
}

/// The mean of what was before, of all variants together.
fn level(arms: &[ArmObservations]) -> f64 {
    let befores = || arms.iter().filter_map(|arm| arm.before.as_ref());
    let count: u64 = befores().map(|before| before.count).sum();
    let sum = |before: &CoMoments| if before.count > 0 { before.count as f64 * before.mean(1) } else { 0.0 };
    if count > 0 { befores().map(sum).sum::<f64>() / count as f64 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use stats::numeric::Draws;

    use super::*;
    use crate::testing::buyers;

    /// Observations of two variants whose recipients have numbers `level + slope * before + noise`, the second one `effect` more.
    fn seen(draws: &mut Draws, people: usize, slope: f64, level: f64, effect: f64) -> Observations {
        let mut observations = buyers([(people as u64, 0); 2]);
        for (arm, more) in observations.arms.iter_mut().zip([0.0, effect]) {
            let mut before = CoMoments::new(2);
            for _ in 0..people {
                let was = 2.0 + draws.normal();
                before.push(&[level + more + slope * was + 0.5 * draws.normal(), was]);
            }
            arm.before = Some(before);
        }
        observations
    }

    #[test]
    fn noise_goes_and_the_effect_stays() {
        let mut draws = Draws::seeded(3);
        let mut groups = [seen(&mut draws, 4_000, 1.5, 1.0, 0.2), seen(&mut draws, 1_000, 1.5, 30.0, 0.2)];
        let mut overall = buyers([(5_000, 0); 2]);
        for (place, arm) in overall.arms.iter_mut().enumerate() {
            let mut both = groups[0].arms[place].before.clone().unwrap();
            both.merge(groups[1].arms[place].before.as_ref().unwrap());
            arm.before = Some(both);
        }
        let [one, other] = &mut groups;
        adjust(&mut overall, &mut [one, other]);
        // Within a group three standard deviations of 0.5 are left of the square root of 1.5² + 0.5².
        for (group, level) in groups.iter().zip([1.0 + 3.0, 30.0 + 3.0]) {
            let [a, b] = [0, 1].map(|arm: usize| group.arms[arm].adjusted.unwrap());
            assert!((a.variance().unwrap() - 0.25).abs() < 0.03, "{a:?}");
            assert!((a.mean - level).abs() < 0.1 && (b.mean - a.mean - 0.2).abs() < 0.06, "{a:?} {b:?}");
        }
        let all = overall.arms[0].adjusted.unwrap();
        assert_eq!(all.count, 5_000);
        assert!((all.mean - (0.8 * 4.0 + 0.2 * 33.0)).abs() < 0.1, "{all:?}");
        assert!((0.85..0.95).contains(&variance_removed(&groups[0]).unwrap()), "{:?}", variance_removed(&groups[0]));
    }

    #[test]
    fn nothing_before_changes_nothing() {
        let mut overall = buyers([(100, 20), (100, 30)]);
        let mut part = overall.clone();
        adjust(&mut overall, &mut [&mut part]);
        assert_eq!((overall.arms[0].adjusted, variance_removed(&overall)), (None, None));
        for arm in overall.arms.iter_mut().chain(&mut part.arms) {
            let bought = arm.metrics["bought"];
            arm.before = Some(CoMoments::from_centred(bought.count, vec![bought.mean, 0.0], vec![bought.m2, 0.0, 0.0]));
        }
        adjust(&mut overall, &mut [&mut part]);
        assert_eq!(overall.arms[1].adjusted, Some(overall.arms[1].metrics["bought"]));
        assert_eq!(variance_removed(&overall), Some(0.0));
    }
}
