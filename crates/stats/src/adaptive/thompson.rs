//! Shares of the next wave from the arms' chances to be best.

use crate::answer::Degenerate;

/// Shares by Thompson sampling with a floor: f + (1 − K f) π, so that every arm keeps at least f and the rest follows the
/// chances; uniform where K f ≥ 1. Raising small shares to a floor and renormalising instead would take from some arms
/// what their chances gave them. Thompson, Biometrika 25 (1933).
///
/// `chances` sum to one; `floor` is a share between 0 and 1.
///
/// # Errors
/// [`Degenerate`] when there is no arm, the chances do not sum to one, or the floor is not between 0 and 1.
pub fn thompson_shares(chances: &[f64], floor: f64) -> Result<Vec<f64>, Degenerate> {
    checked_chances(chances)?;
    if !(0.0..=1.0).contains(&floor) {
        return Err(Degenerate::new(format!("the smallest share is {floor}; it must lie between 0 and 1")));
    }
    let arms = chances.len() as f64;
    if floor * arms >= 1.0 {
        return Ok(vec![1.0 / arms; chances.len()]);
    }
    Ok(chances.iter().map(|chance| floor + (1.0 - arms * floor) * chance).collect())
}

/// Shares by top-two Thompson sampling: with probability `first_share` the arm that a draw makes best, else another one, drawn
/// anew until it differs. In closed form π_a (β + (1 − β) Σ_{j≠a} π_j/(1 − π_j)). Russo, "Simple Bayesian algorithms for
/// best-arm identification", COLT (2016); Operations Research 68 (2020).
///
/// `chances` sum to one; `first_share` (β) lies between 0 and 1, customarily one half.
///
/// # Errors
/// [`Degenerate`] when there is no arm, the chances do not sum to one, or `first_share` is not between 0 and 1.
pub fn top_two_shares(chances: &[f64], first_share: f64) -> Result<Vec<f64>, Degenerate> {
    checked_chances(chances)?;
    if !(0.0..=1.0).contains(&first_share) {
        return Err(Degenerate::new(format!("the share of the first is {first_share}; it must lie between 0 and 1")));
    }
    if chances.len() == 1 {
        return Ok(vec![1.0]);
    }
    // The others' chances are summed, because one minus a chance near one has no digits left.
    let others: Vec<f64> =
        (0..chances.len()).map(|a| chances.iter().enumerate().filter(|(j, _)| *j != a).map(|(_, chance)| chance).sum()).collect();
    let even = 1.0 / (chances.len() - 1) as f64;
    let second = |a: usize, j: usize| if others[j] > 0.0 { chances[a] / others[j] } else { even };
    let share = |a: usize| {
        let challenging: f64 = (0..chances.len()).filter(|j| *j != a).map(|j| chances[j] * second(a, j)).sum();
        first_share * chances[a] + (1.0 - first_share) * challenging
    };
    Ok((0..chances.len()).map(share).collect())
}

fn checked_chances(chances: &[f64]) -> Result<(), Degenerate> {
    let sum: f64 = chances.iter().sum();
    if chances.iter().all(|chance| (0.0..=1.0 + 1e-9).contains(chance)) && (sum - 1.0).abs() < 1e-6 {
        return Ok(());
    }
    Err(Degenerate::new(format!("the chances to be best must lie between 0 and 1 and sum to 1; their sum is {sum}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::numeric::Draws;

    #[test]
    fn known_shares() {
        let check = |actual: Vec<f64>, expect: &[f64]| {
            assert_eq!(actual.len(), expect.len());
            assert!(actual.iter().zip(expect).all(|(a, e)| (a - e).abs() < 1e-12), "{actual:?} {expect:?}");
        };
        check(thompson_shares(&[0.2, 0.8], 0.01).unwrap(), &[0.206, 0.794]);
        check(thompson_shares(&[0.0, 0.0, 1.0], 0.4).unwrap(), &[1.0 / 3.0; 3]);
        check(top_two_shares(&[0.3, 0.7], 0.5).unwrap(), &[0.5, 0.5]);
        check(top_two_shares(&[0.3, 0.7], 1.0).unwrap(), &[0.3, 0.7]);
        check(top_two_shares(&[1.0, 0.0, 0.0], 0.5).unwrap(), &[0.5, 0.25, 0.25]);
        check(top_two_shares(&[1.0], 0.5).unwrap(), &[1.0]);
    }

    /// The closed form is what redrawing until the arms differ gives.
    #[test]
    fn top_two_is_what_redrawing_gives() {
        let chances = [0.5, 0.3, 0.15, 0.05];
        let mut draws = Draws::seeded(4);
        let mut draw = || {
            let at = draws.uniform();
            (0..3).find(|i| at < chances[..=*i].iter().sum::<f64>()).unwrap_or(3)
        };
        let mut counts = [0.0; 4];
        for i in 0..60_000 {
            let first = draw();
            let mut chosen = first;
            while i % 2 == 1 && chosen == first {
                chosen = draw();
            }
            counts[chosen] += 1.0 / 60_000.0;
        }
        for (share, count) in top_two_shares(&chances, 0.5).unwrap().iter().zip(counts) {
            assert!((share - count).abs() < 0.01, "{share} {count}");
        }
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |outcome: Result<Vec<f64>, Degenerate>, expect: &str| assert!(outcome.unwrap_err().why.contains(expect));
        check(thompson_shares(&[0.5, 0.6], 0.0), "sum to 1");
        check(thompson_shares(&[], 0.0), "sum to 1");
        check(thompson_shares(&[f64::NAN, 1.0], 0.0), "sum to 1");
        check(thompson_shares(&[1.0], -0.1), "smallest share");
        check(top_two_shares(&[1.0], f64::NAN), "share of the first");
    }

    proptest! {
        #[test]
        fn shares_sum_to_one(weights in prop::collection::vec(0.0..1.0_f64, 1..9), floor in 0.0..0.3_f64, first in 0.0..=1.0_f64) {
            let total: f64 = weights.iter().sum();
            prop_assume!(total > 0.0);
            let chances: Vec<f64> = weights.iter().map(|weight| weight / total).collect();
            for shares in [thompson_shares(&chances, floor).unwrap(), top_two_shares(&chances, first).unwrap()] {
                prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
                prop_assert!(shares.iter().all(|share| *share >= 0.0));
            }
        }
    }
}
