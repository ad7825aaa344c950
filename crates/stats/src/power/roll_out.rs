//! Test & Roll for any number of unequal arms: which arms to test on how many recipients, when each has its own prior.
//!
//! After a test of n_k recipients, the posterior mean of arm k is normal around μ_k with deviation
//! τ_k = σ_k² / √(σ_k² + s_k² / n_k) before the test is seen. The rest of the audience gets the arm with the best posterior
//! mean, or nothing if no arm pays its message, so with cost c per message
//!
//! profit(n) = Σ n_k (μ_k − c) + (N − Σ n_k) · E max(max_k M_k − c, 0),   M_k ~ N(μ_k, τ_k²) independent.
//!
//! The expected maximum is an integral over one variable, E max(M, f) = f + ∫_f^∞ (1 − Π_k Φ((x − μ_k) / τ_k)) dx, computed
//! by Gauss–Legendre rules between the places where a factor turns. Feit & Berman, "Test & Roll: profit-maximizing A/B
//! tests", Marketing Science 38 (2019), for the model; unequal arms, costs and the choice to stop are added here.

use serde::{Deserialize, Serialize};

use super::positive;
use crate::answer::{Degenerate, finite};
use crate::numeric::quadrature::{Rule, gauss_legendre};
use crate::numeric::root::minimum;
use crate::tail::{normal_density, normal_lower, normal_upper};

/// More arms than this are not sized: the search takes seconds there and grows with the cube, and a list is seldom large
/// enough to tell so many apart.
pub const ARMS_MAX: usize = 16;

/// Where a normal factor turns, in its deviations, and where it has become 0 or 1.
const TURNS: [f64; 7] = [-9.0, -4.0, -1.5, 0.0, 1.5, 4.0, 9.0];

/// Nodes between two turns; twelve are exact to a dozen digits there.
const NODES: usize = 12;

/// Sizes of the first scan, logarithmically spaced.
const SCAN_POINTS: u32 = 24;

/// Sets of arms that are tried as a start alone.
const STARTS_MAX: usize = 2;

/// Rounds over all arms; each nearly ends the search.
const ROUNDS_MAX: usize = 12;

/// In a test of fewer recipients than this, one more or fewer is worth trying.
const FEW: f64 = 100.0;

/// A round that gains less, relative to what perfect knowledge would gain, is the last.
const GAIN_NEGLIGIBLE: f64 = 1e-9;

/// What is known of an arm before the test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ArmPrior {
    /// The expected value of the arm per message, before the cost of the message.
    pub mean: f64,
    /// How far the truth may be from it; 0 where the arm is known exactly.
    pub prior_deviation: f64,
    /// The deviation of one recipient's outcome, above 0.
    pub response_deviation: f64,
}

/// A campaign to be sized.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RollOut {
    /// The arms, control among them.
    pub arms: Vec<ArmPrior>,
    /// All recipients, at least as many as arms.
    pub audience: f64,
    /// What a message costs, in the unit of the outcome; zero or more.
    pub cost_per_message: f64,
    /// Whether the rest may be left without a message when no arm pays its cost.
    pub may_stop: bool,
}

/// A way to run it, and what it is expected to earn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RollOutPlan {
    /// Recipients of each arm in the test, whole numbers.
    pub n: Vec<f64>,
    /// Over the whole audience, test and roll-out, after costs.
    pub expected_profit: f64,
    /// For each arm, the chance that it is rolled out.
    pub chances: Vec<f64>,
    /// The chance that nothing is rolled out.
    pub chance_stopped: f64,
}

impl RollOut {
    /// The plan that earns most. Arms that are alike are treated alike first; an arm that is not worth testing gets no
    /// recipients, though it may still be rolled out on its prior.
    ///
    /// # Errors
    /// [`Degenerate`] when there are fewer than two arms or more than [`ARMS_MAX`], the audience is smaller than the number
    /// of arms, or a number is out of range.
    pub fn best(&self) -> Result<RollOutPlan, Degenerate> {
        self.check()?;
        let search = Search::new(self);
        self.plan(search.whole(search.best()))
    }

    /// The plan that tests on `share` of the audience, the arms sharing equally: 0.2 tests on 20 %.
    ///
    /// # Errors
    /// [`Degenerate`] as [`RollOut::best`], and when the share is not between 0 and 1.
    pub fn with_test_share(&self, share: f64) -> Result<RollOutPlan, Degenerate> {
        self.check()?;
        if !(0.0..=1.0).contains(&share) {
            return Err(Degenerate::new(format!("the share of the test is {share}; it must lie between 0 and 1")));
        }
        let each = (share * self.audience / self.arms.len() as f64 * (1.0 + 1e-12)).floor();
        self.plan(vec![each; self.arms.len()])
    }

    /// What could be earned if the value of every arm were known from the start.
    ///
    /// # Errors
    /// [`Degenerate`] as [`RollOut::best`].
    pub fn expected_profit_perfect(&self) -> Result<f64, Degenerate> {
        self.check()?;
        let known: Vec<Normal> = self.arms.iter().map(|arm| Normal { mean: arm.mean, deviation: arm.prior_deviation }).collect();
        let rule = gauss_legendre(NODES);
        finite("profit", self.audience * (expected_maximum(&known, self.floor(), &rule) - self.cost_per_message))
    }

    fn plan(&self, n: Vec<f64>) -> Result<RollOutPlan, Degenerate> {
        let rule = gauss_legendre(NODES);
        let chances = chances_of_maximum(&self.posterior_means(&n), self.floor(), &rule);
        finite("sum of the chances of the arms", chances.iter().sum())?;
        Ok(RollOutPlan {
            expected_profit: finite("profit", self.profit(&n, &rule))?,
            chance_stopped: if self.may_stop { (1.0 - chances.iter().sum::<f64>()).max(0.0) } else { 0.0 },
            chances,
            n,
        })
    }

    fn profit(&self, n: &[f64], rule: &Rule) -> f64 {
        let in_test: f64 = self.arms.iter().zip(n).map(|(arm, n)| n * (arm.mean - self.cost_per_message)).sum();
        let rest = self.audience - n.iter().sum::<f64>();
        in_test + rest * (expected_maximum(&self.posterior_means(n), self.floor(), rule) - self.cost_per_message)
    }

    /// How the posterior means will be distributed, seen from before the test.
    fn posterior_means(&self, n: &[f64]) -> Vec<Normal> {
        let of = |(arm, n): (&ArmPrior, &f64)| {
            let noise = arm.response_deviation / n.sqrt();
            // σ² / √(σ² + s²/n) as σ times a share, so that nothing is squared.
            let known = if arm.prior_deviation > 0.0 { arm.prior_deviation / arm.prior_deviation.hypot(noise) } else { 0.0 };
            Normal { mean: arm.mean, deviation: arm.prior_deviation * known }
        };
        self.arms.iter().zip(n).map(of).collect()
    }

    /// What an arm must be worth to be rolled out.
    fn floor(&self) -> f64 {
        if self.may_stop { self.cost_per_message } else { f64::NEG_INFINITY }
    }

    fn check(&self) -> Result<(), Degenerate> {
        if self.arms.len() < 2 || self.arms.len() > ARMS_MAX {
            return Err(Degenerate::new(format!("there are {} arms; there must be 2 to {ARMS_MAX}", self.arms.len())));
        }
        positive("audience", self.audience)?;
        if self.audience < self.arms.len() as f64 {
            return Err(Degenerate::new("the audience is smaller than the number of arms"));
        }
        if !(self.cost_per_message >= 0.0 && self.cost_per_message.is_finite()) {
            return Err(Degenerate::new("the cost per message must be a number, zero or more"));
        }
        for arm in &self.arms {
            finite("mean of a prior", arm.mean)?;
            positive("deviation of the response of an arm", arm.response_deviation)?;
            if !(arm.prior_deviation >= 0.0 && arm.prior_deviation.is_finite()) {
                return Err(Degenerate::new("the deviation of a prior must be a number, zero or more"));
            }
        }
        Ok(())
    }
}

/// A normal distribution; certain where the deviation is zero.
#[derive(Debug, Clone, Copy)]
struct Normal {
    mean: f64,
    deviation: f64,
}

impl Normal {
    /// A deviation whose inverse would leave the range of a double is none.
    fn uncertain(&self) -> bool {
        self.deviation > 1e-290
    }

    fn standardised(&self, x: f64) -> f64 {
        (x - self.mean) / self.deviation
    }
}

/// The largest of what is certain: the floor, the certain arms, and where every uncertain arm surely is above.
fn base(arms: &[Normal], floor: f64) -> f64 {
    let surely = |arm: &Normal| arm.mean + TURNS[0] * arm.deviation;
    arms.iter().map(surely).fold(floor, f64::max)
}

/// Calls `visit` with nodes and weights for integrals from `base` up over products of the arms' distributions.
fn visit_nodes(arms: &[Normal], base: f64, rule: &Rule, mut visit: impl FnMut(f64, f64)) {
    let turns = arms.iter().filter(|arm| arm.uncertain()).flat_map(|arm| TURNS.map(|turn| arm.mean + turn * arm.deviation));
    let mut ends: Vec<f64> = turns.filter(|end| *end > base).chain([base]).collect();
    ends.sort_by(f64::total_cmp);
    ends.dedup();
    for pair in ends.windows(2) {
        let (middle, half) = (0.5 * (pair[0] + pair[1]), 0.5 * (pair[1] - pair[0]));
        for (node, weight) in rule.nodes.iter().zip(&rule.weights) {
            visit(middle + half * node, half * weight);
        }
    }
}

/// E max(floor, max of the arms).
fn expected_maximum(arms: &[Normal], floor: f64, rule: &Rule) -> f64 {
    let base = base(arms, floor);
    let mut above = 0.0;
    visit_nodes(arms, base, rule, |x, weight| {
        // 1 − ΠΦ through logarithms, so that small tails keep their digits.
        let uncertain = arms.iter().filter(|arm| arm.uncertain());
        let logarithm: f64 = uncertain.map(|arm| (-normal_upper(arm.standardised(x))).ln_1p()).sum();
        above -= weight * logarithm.exp_m1();
    });
    base + above
}

/// For each arm the chance that it is the largest and above `floor`. Of certain arms the first of the largest.
fn chances_of_maximum(arms: &[Normal], floor: f64, rule: &Rule) -> Vec<f64> {
    let mut chances = vec![0.0; arms.len()];
    let certain = arms.iter().enumerate().filter(|(_, arm)| !arm.uncertain());
    let best = certain.reduce(|best, next| if next.1.mean > best.1.mean { next } else { best });
    if let Some((index, arm)) = best.filter(|(_, arm)| arm.mean >= floor) {
        chances[index] =
            arms.iter().filter(|other| other.uncertain()).map(|other| normal_lower(other.standardised(arm.mean))).product();
    }
    visit_nodes(arms, base(arms, floor), rule, |x, weight| {
        for (index, arm) in arms.iter().enumerate().filter(|(_, arm)| arm.uncertain()) {
            let others = arms.iter().enumerate().filter(|(other, arm)| *other != index && arm.uncertain());
            let below: f64 = others.map(|(_, other)| normal_lower(other.standardised(x))).product();
            chances[index] += weight * (normal_density(arm.standardised(x)) / arm.deviation) * below;
        }
    });
    chances.into_iter().map(|chance| chance.clamp(0.0, 1.0)).collect()
}

/// Looks for the best numbers, one set of arms after the other.
struct Search<'a> {
    plan: &'a RollOut,
    rule: Rule,
    /// What a change must gain to count.
    negligible: f64,
}

impl<'a> Search<'a> {
    fn new(plan: &'a RollOut) -> Self {
        let rule = gauss_legendre(NODES);
        let deviation = plan.arms.iter().map(|arm| arm.prior_deviation).fold(0.0, f64::max);
        Self { plan, rule, negligible: GAIN_NEGLIGIBLE * deviation * plan.audience }
    }

    /// The best of searches from several starts, since there are several hills: with all arms in the test, because testing
    /// one alone may be worth nothing where testing two is, and with the most promising set of arms alike alone; the sets in
    /// turn, upwards and downwards.
    fn best(&self) -> Vec<f64> {
        let arms = self.plan.arms.len();
        let alike = self.alike();
        let start = |set: &[usize]| {
            let mut n = vec![0.0; arms];
            self.improve(&mut n, set, true);
            (self.profit(&n), n)
        };
        let all: Vec<usize> = (0..arms).collect();
        let mut starts: Vec<(f64, Vec<f64>)> = alike.iter().map(|set| start(set)).collect();
        starts.sort_by(|a, b| b.0.total_cmp(&a.0));
        starts.truncate(STARTS_MAX);
        starts.push(start(&all));
        let backwards: Vec<Vec<usize>> = alike.iter().rev().cloned().collect();
        let ends = starts.iter().flat_map(|(_, n)| [self.climb(n.clone(), &alike), self.climb(n.clone(), &backwards)]);
        let best = ends.map(|n| (self.profit(&n), n)).reduce(|best, next| if next.0 > best.0 { next } else { best });
        best.map_or(vec![0.0; arms], |(_, n)| n)
    }

    /// Improves one set of arms after the other until nothing is gained.
    fn climb(&self, mut n: Vec<f64>, sets: &[Vec<usize>]) -> Vec<f64> {
        for round in 0..ROUNDS_MAX {
            let gained: f64 = sets.iter().map(|set| self.improve(&mut n, set, round == 0)).sum();
            if gained <= self.negligible {
                break;
            }
        }
        // Of many alike, testing some only may be better.
        for arm in 0..n.len() {
            let mut without = n.clone();
            without[arm] = 0.0;
            if self.profit(&without) > self.profit(&n) + self.negligible {
                n = without;
            }
        }
        n
    }

    /// Whole recipients: rounded down, which always fits, and where a few recipients make the test, one more or fewer.
    fn whole(&self, n: Vec<f64>) -> Vec<f64> {
        let mut n: Vec<f64> = n.into_iter().map(|n| (n * (1.0 + 1e-12)).floor()).collect();
        for _ in 0..ROUNDS_MAX {
            let before = n.clone();
            for arm in (0..n.len()).filter(|arm| before[*arm] < FEW) {
                for step in [-1.0, 1.0] {
                    let mut changed = n.clone();
                    changed[arm] += step;
                    let fits = changed[arm] >= 0.0 && changed.iter().sum::<f64>() <= self.plan.audience;
                    if fits && self.profit(&changed) > self.profit(&n) + self.negligible {
                        n = changed;
                    }
                }
            }
            if n == before {
                break;
            }
        }
        n
    }

    fn profit(&self, n: &[f64]) -> f64 {
        self.plan.profit(n, &self.rule)
    }

    /// Sets of arms with the same prior.
    fn alike(&self) -> Vec<Vec<usize>> {
        let mut sets: Vec<Vec<usize>> = Vec::new();
        for (index, arm) in self.plan.arms.iter().enumerate() {
            match sets.iter_mut().find(|set| self.plan.arms[set[0]] == *arm) {
                Some(set) => set.push(index),
                None => sets.push(vec![index]),
            }
        }
        sets
    }

    /// Gives every arm of `set` the same number, the best one with the others as they are. How much that gains.
    fn improve(&self, n: &mut Vec<f64>, set: &[usize], scan: bool) -> f64 {
        let with = |value: f64| {
            let mut changed = n.clone();
            set.iter().for_each(|arm| changed[*arm] = value);
            changed
        };
        let profit = |logarithm: f64| self.profit(&with(logarithm.exp()));
        let before = self.profit(n);
        let room = (self.plan.audience - with(0.0).iter().sum::<f64>()) / set.len() as f64;
        if room < 1.0 {
            return 0.0;
        }
        // A test has whole recipients, so the least is one.
        let (least, most) = (0.0, room.ln());
        let (mut low, mut high) = ((n[set[0]].ln() - 1.4).clamp(least, most), (n[set[0]].ln() + 1.4).clamp(least, most));
        if scan || low >= high {
            let step = (most - least) / f64::from(SCAN_POINTS);
            let at = |i: u32| least + step * f64::from(i);
            let best =
                (0..=SCAN_POINTS).map(|i| (i, profit(at(i)))).reduce(|best, next| if next.1 > best.1 { next } else { best });
            let best = best.map_or(0, |(i, _)| i);
            (low, high) = (at(best.saturating_sub(1)), at((best + 1).min(SCAN_POINTS)));
        }
        let found = minimum(|logarithm| -profit(logarithm) / self.plan.audience, low, high).exp().min(room);
        for candidate in [with(0.0), with(found)] {
            if self.profit(&candidate) > self.profit(n) {
                *n = candidate;
            }
        }
        self.profit(n) - before
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use proptest::prelude::*;

    use super::*;
    use crate::power::test_and_roll;

    fn arm(mean: f64, prior_deviation: f64, response_deviation: f64) -> ArmPrior {
        ArmPrior { mean, prior_deviation, response_deviation }
    }

    fn campaign(arms: Vec<ArmPrior>, audience: f64) -> RollOut {
        RollOut { arms, audience, cost_per_message: 0.0, may_stop: false }
    }

    /// Lost clicks, by simulation: a rate of 3 %, σ = 0.002, N = 2,000,000.
    #[test]
    fn small_tests_lose_the_fewest_clicks() {
        let plan = campaign(vec![arm(0.03, 0.002, f64::sqrt(0.03 * 0.97)); 2], 2e6);
        let perfect = plan.expected_profit_perfect().unwrap();
        assert!((perfect - 2e6 * (0.03 + 0.002 / PI.sqrt())).abs() < 1e-6);
        let check = |earned: RollOutPlan, expect: f64| {
            assert!((perfect - earned.expected_profit - expect).abs() < 1.5, "{earned:?} {expect}");
        };
        check(plan.best().unwrap(), 252.0);
        check(plan.with_test_share(0.1).unwrap(), 296.0);
        check(plan.with_test_share(0.2).unwrap(), 484.0);
        check(plan.with_test_share(0.5).unwrap(), 1137.0);
        check(plan.with_test_share(0.0).unwrap(), 2e6 * 0.002 / PI.sqrt());
    }

    /// The expected maximum of two normals: Clark, "The greatest of a finite set of random variables" (1961).
    #[test]
    fn the_expected_maximum_is_that_of_clark() {
        let rule = gauss_legendre(NODES);
        let check = |a: (f64, f64), b: (f64, f64)| {
            let arms = [Normal { mean: a.0, deviation: a.1 }, Normal { mean: b.0, deviation: b.1 }];
            let spread = a.1.hypot(b.1);
            let z = (a.0 - b.0) / spread;
            let expect = a.0 * normal_lower(z) + b.0 * normal_upper(z) + spread * normal_density(z);
            let actual = expected_maximum(&arms, f64::NEG_INFINITY, &rule);
            assert!((actual - expect).abs() < 1e-10 * spread, "{a:?} {b:?}: {actual} {expect}");
            let chances = chances_of_maximum(&arms, f64::NEG_INFINITY, &rule);
            assert!(
                (chances[0] - normal_lower(z)).abs() < 1e-9 && (chances.iter().sum::<f64>() - 1.0).abs() < 1e-9,
                "{chances:?}"
            );
        };
        check((0.0, 1.0), (0.0, 1.0));
        check((1.0, 0.5), (0.0, 2.0));
        check((0.0, 1e-6), (0.0, 1.0));
        check((3.0, 1.0), (-3.0, 1.0));
        check((0.5, 0.0), (0.0, 1.0));
    }

    /// The expected maximum of k standard normals (Harter 1961).
    #[test]
    fn the_expected_maximum_of_many() {
        let rule = gauss_legendre(NODES);
        for (count, expect) in [(3, 0.846_284_375_3), (5, 1.162_964_473_6), (10, 1.538_752_730_8)] {
            let arms = vec![Normal { mean: 0.0, deviation: 1.0 }; count];
            assert!((expected_maximum(&arms, f64::NEG_INFINITY, &rule) - expect).abs() < 1e-9);
        }
    }

    /// Against a grid over all allocations.
    #[test]
    fn unequal_arms_get_the_best_numbers() {
        let check = |plan: RollOut| {
            let best = plan.best().unwrap();
            let rule = gauss_legendre(NODES);
            let sizes: Vec<f64> = std::iter::once(0.0).chain((0..22).map(|i| 10.0 * 1.45_f64.powi(i))).collect();
            let tried = sizes.iter().flat_map(|a| sizes.iter().map(move |b| vec![*a, *b]));
            let tried = tried.filter(|n| n.iter().sum::<f64>() <= plan.audience).map(|n| plan.profit(&n, &rule));
            let grid = tried.fold(f64::NEG_INFINITY, f64::max);
            let none = plan.with_test_share(0.0).unwrap().expected_profit;
            assert!(best.expected_profit >= grid - 1e-3 * (grid - none).abs(), "{plan:?} {best:?} {grid}");
            best
        };
        // A safe control and a wild newcomer: only the newcomer is tested, and control mostly stays.
        let newcomer = check(campaign(vec![arm(0.03, 0.0, 0.17), arm(0.025, 0.005, 0.16)], 1e5));
        assert!(newcomer.n[0] == 0.0 && newcomer.n[1] > 100.0 && newcomer.chances[0] > 0.7, "{newcomer:?}");
        check(campaign(vec![arm(0.03, 0.002, 0.17), arm(0.03, 0.004, 0.4)], 3e4));
        check(campaign(vec![arm(1.0, 1.0, 30.0), arm(1.0, 1.0, 3.0)], 1e4));
        check(campaign(vec![arm(1.0, 1.0, 1.0), arm(-3.0, 1.0, 1.0)], 500.0));
        // A message that costs more than it brings on average is tested all the same, and mostly stopped.
        let costly = check(RollOut {
            cost_per_message: 0.05,
            may_stop: true,
            ..campaign(vec![arm(0.04, 0.01, 0.5), arm(0.03, 0.01, 0.5)], 2e5)
        });
        assert!(costly.expected_profit > 0.0 && costly.chance_stopped > 0.5, "{costly:?}");
    }

    /// Arms nothing sets apart: the closed form.
    #[test]
    fn two_equal_arms_are_test_and_roll() {
        let closed = test_and_roll(1e5, f64::sqrt(0.68 * 0.32), 0.68, 0.03).unwrap();
        let plan = campaign(vec![arm(0.68, 0.03, f64::sqrt(0.68 * 0.32)); 2], 1e5).best().unwrap();
        assert!((plan.n[0] / closed.n_per_arm - 1.0).abs() < 2e-3 && plan.n[0] == plan.n[1], "{plan:?}");
        assert!((plan.expected_profit / closed.expected_profit - 1.0).abs() < 1e-9);
        assert!((plan.chances[0] - 0.5).abs() < 1e-9);
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let good = campaign(vec![arm(0.0, 1.0, 1.0); 2], 100.0);
        let check = |plan: RollOut, expect: &str| {
            let error = plan.best().unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(campaign(vec![arm(0.0, 1.0, 1.0)], 100.0), "1 arms");
        check(campaign(vec![arm(0.0, 1.0, 0.0); 2], 100.0), "response");
        check(campaign(vec![arm(0.0, -1.0, 1.0); 2], 100.0), "prior");
        check(RollOut { audience: 1.0, ..good.clone() }, "audience");
        check(RollOut { cost_per_message: f64::NAN, ..good.clone() }, "cost");
        assert!(good.with_test_share(1.5).unwrap_err().why.contains("share"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// The best plan beats every equal split, and neither the unit of the outcome nor the order of the arms matters.
        #[test]
        fn nothing_beats_the_best(
            arms in prop::collection::vec((-1.0..1.0_f64, 0.0..1.0_f64, 0.01..10.0_f64), 2..4),
            audience in 10.0..1e6_f64,
            cost in 0.0..1.0_f64,
        ) {
            let arms: Vec<ArmPrior> = arms.into_iter().map(|(mean, prior, response)| arm(mean, prior, response)).collect();
            let plan = RollOut { arms, audience, cost_per_message: cost, may_stop: true };
            let best = plan.best().unwrap();
            let unit = plan.expected_profit_perfect().unwrap().abs() + audience;
            prop_assert!(best.n.iter().sum::<f64>() <= audience);
            for share in [0.0, 0.01, 0.1, 0.2, 0.5] {
                let other = plan.with_test_share(share).unwrap();
                prop_assert!(other.expected_profit <= best.expected_profit + 1e-4 * unit, "{} {:?} {:?}", share, best, other);
            }
            prop_assert!(best.expected_profit <= plan.expected_profit_perfect().unwrap() + 1e-9 * unit);
            let mut reversed = plan.clone();
            reversed.arms.reverse();
            let reversed = reversed.best().unwrap();
            prop_assert!((reversed.expected_profit - best.expected_profit).abs() <= 1e-4 * unit);
        }

        #[test]
        fn nothing_that_can_be_sent_breaks_it(
            arms in prop::collection::vec((any::<f64>(), any::<f64>(), any::<f64>()), 2..4),
            audience in any::<f64>(), cost in any::<f64>(),
        ) {
            let arms: Vec<ArmPrior> = arms.into_iter().map(|(mean, prior, response)| arm(mean, prior.abs(), response.abs())).collect();
            let plan = RollOut { arms, audience: audience.abs(), cost_per_message: cost.abs(), may_stop: true };
            for answer in [plan.best(), plan.with_test_share(0.3)].into_iter().flatten() {
                prop_assert!(answer.expected_profit.is_finite() && answer.chances.iter().all(|chance| chance.is_finite()));
                prop_assert!(answer.n.iter().all(|n| n.is_finite()) && answer.chance_stopped.is_finite());
            }
        }
    }
}
