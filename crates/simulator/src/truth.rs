//! What is true in the simulated world, as numbers to hold estimates against.
//!
//! Two truths are given. The *expected* one is exact: the mean, over the world's own shoppers, of the probabilities they
//! act by. The *potential* one is what would have happened to these shoppers had all of them got the variant: their
//! seeded draws are looked up for every variant, which no real shop can do.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use jiff::SignedDuration;
use serde::Serialize;
use vocabulary::VariantName;

use crate::error::SimulatorError;
use crate::shopper::Shopper;
use crate::texts::{Appeal, Understood, WINDOW_HOURS, arms, control};
use crate::world::{World, next_local_hour, odds};

/// Means per intended recipient.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Means {
    /// Opened by the person.
    pub opened: f64,
    /// Clicked.
    pub clicked: f64,
    /// Ordered at least once in the window, for whatever reason.
    pub ordered: f64,
    /// Spent in the window, in EUR.
    pub revenue: f64,
    /// Unsubscribed.
    pub unsubscribed: f64,
}

impl Means {
    /// The mean of the metric of that name.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        match name {
            "opened" => Some(self.opened),
            "clicked" => Some(self.clicked),
            "ordered" => Some(self.ordered),
            "revenue" => Some(self.revenue),
            "unsubscribed" => Some(self.unsubscribed),
            _ => None,
        }
    }

    fn over(self, count: f64) -> Self {
        Self {
            opened: self.opened / count,
            clicked: self.clicked / count,
            ordered: self.ordered / count,
            revenue: self.revenue / count,
            unsubscribed: self.unsubscribed / count,
        }
    }
}

impl AddAssign for Means {
    fn add_assign(&mut self, other: Self) {
        self.opened += other.opened;
        self.clicked += other.clicked;
        self.ordered += other.ordered;
        self.revenue += other.revenue;
        self.unsubscribed += other.unsubscribed;
    }
}

/// The truth of one variant.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ArmTruth {
    /// The variant.
    pub variant: VariantName,
    /// Exact expectations over all shoppers.
    pub expected: Means,
    /// The same by country.
    pub expected_by_market: BTreeMap<&'static str, Means>,
    /// What would have happened had every shopper got it.
    pub potential: Means,
}

/// The truth of the demo's experiment in one world.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Truth {
    /// The variants, in the experiment's order.
    pub arms: Vec<ArmTruth>,
}

impl Truth {
    /// Works out the truth of a world whose test begins when the world does.
    ///
    /// # Errors
    /// [`SimulatorError::Time`] when a zone is unknown to this machine.
    pub fn of(world: &World) -> Result<Self, SimulatorError> {
        let shoppers: Vec<Shopper> = world.shoppers().collect();
        let arms = arms().map(|(appeal, hour)| arm_truth(world, &shoppers, appeal, hour)).collect::<Result<_, _>>()?;
        Ok(Self { arms })
    }

    /// The truth of one variant.
    #[must_use]
    pub fn arm(&self, variant: &VariantName) -> Option<&ArmTruth> {
        self.arms.iter().find(|arm| &arm.variant == variant)
    }

    /// The exact expected difference of a variant to control.
    #[must_use]
    pub fn effect(&self, variant: &VariantName, metric: &str) -> Option<f64> {
        let mean = |name: &VariantName| self.arm(name)?.expected.metric(metric);
        Some(mean(variant)? - mean(&control())?)
    }

    /// The variant with the highest expectation of a metric.
    #[must_use]
    pub fn best(&self, metric: &str) -> Option<&VariantName> {
        let ranked = self.arms.iter().filter_map(|arm| Some((arm.expected.metric(metric)?, &arm.variant)));
        ranked.max_by(|left, right| left.0.total_cmp(&right.0)).map(|(_, variant)| variant)
    }
}

fn arm_truth(world: &World, shoppers: &[Shopper], appeal: Appeal, hour: u8) -> Result<ArmTruth, SimulatorError> {
    let mut sums: BTreeMap<&'static str, (f64, Means)> = BTreeMap::new();
    let (mut expected, mut potential) = (Means::default(), Means::default());
    for shopper in shoppers {
        let means = expected_means(shopper, appeal, hour);
        let market = sums.entry(shopper.market.country).or_default();
        market.0 += 1.0;
        market.1 += means;
        expected += means;
        potential += potential_outcome(world, shopper, appeal, hour)?;
    }
    let count = (shoppers.len() as f64).max(1.0);
    Ok(ArmTruth {
        variant: VariantName::new(&appeal.variant_name(hour)).expect("the demo's names are labels"),
        expected: expected.over(count),
        expected_by_market: sums.into_iter().map(|(country, (count, means))| (country, means.over(count))).collect(),
        potential: potential.over(count),
    })
}

/// The exact expectation of one shopper who gets the mail at that hour.
fn expected_means(shopper: &Shopper, appeal: Appeal, hour: u8) -> Means {
    let odds = odds(shopper, own_language(shopper, appeal), wall_hour(hour));
    let clicked = odds.open * odds.click;
    let bought = clicked * odds.order;
    let habit = shopper.orders_per_day * f64::from(WINDOW_HOURS) / 24.0;
    Means {
        opened: odds.open,
        clicked,
        ordered: 1.0 - (1.0 - bought) * (-habit).exp(),
        revenue: bought * odds.basket_eur + habit * shopper.market.basket_eur,
        unsubscribed: odds.open * odds.unsubscribe,
    }
}

/// What this shopper would do with the mail as their first one.
fn potential_outcome(world: &World, shopper: &Shopper, appeal: Appeal, hour: u8) -> Result<Means, SimulatorError> {
    let reaction = world.reaction(shopper, own_language(shopper, appeal), wall_hour(hour), 0);
    let purchase = reaction.visit.as_ref().and_then(|visit| visit.purchase);
    let mut revenue = purchase.map_or(0.0, |purchase| purchase.eur);
    let mut ordered = purchase.is_some();
    let habits = world.habit_orders(shopper);
    if !habits.is_empty() {
        // The hour counts that comes at the world's start or after.
        let from = next_local_hour(shopper.time_zone, hour, world.start - SignedDuration::from_micros(1))?;
        let until = from + SignedDuration::from_hours(i64::from(WINDOW_HOURS));
        for order in habits.iter().filter(|order| (from..until).contains(&order.at)) {
            ordered = true;
            revenue += order.eur;
        }
    }
    let as_number = |happened: bool| f64::from(u8::from(happened));
    Ok(Means {
        opened: as_number(reaction.visit.is_some()),
        clicked: as_number(reaction.visit.as_ref().is_some_and(|visit| visit.click.is_some())),
        ordered: as_number(ordered),
        revenue,
        unsubscribed: as_number(reaction.visit.as_ref().is_some_and(|visit| visit.unsubscribe)),
    })
}

fn own_language(shopper: &Shopper, appeal: Appeal) -> Option<Understood> {
    Some(Understood { appeal, language: shopper.market.language })
}

fn wall_hour(hour: u8) -> i8 {
    i8::try_from(hour).unwrap_or(i8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::MARKETS;

    fn world(seed: u64, contacts: u32) -> World {
        World { seed, contacts, start: "2026-03-02T00:00:00Z".parse().unwrap() }
    }

    #[test]
    fn what_would_happen_agrees_with_what_is_expected() {
        let count = 30_000;
        let truth = Truth::of(&world(42, count)).unwrap();
        for arm in &truth.arms {
            let check = |metric: &str| {
                let (expected, potential) = (arm.expected.metric(metric).unwrap(), arm.potential.metric(metric).unwrap());
                let error = (expected * (1.0 - expected) / f64::from(count)).sqrt();
                assert!((potential - expected).abs() < 3.5 * error, "{} {metric}: {potential} v {expected}", arm.variant);
            };
            for metric in ["opened", "clicked", "ordered", "unsubscribed"] {
                check(metric);
            }
            // A basket's second moment is its squared mean times exp(sigma squared).
            let error = (60.0_f64.powi(2) * 0.36_f64.exp() * arm.expected.ordered / f64::from(count)).sqrt();
            assert!((arm.potential.revenue - arm.expected.revenue).abs() < 3.5 * error, "{} {arm:?}", arm.variant);
        }
    }

    #[test]
    fn the_whole_is_the_mean_of_its_markets() {
        let world = world(1, 5_000);
        let truth = Truth::of(&world).unwrap();
        let mut counts: BTreeMap<&str, f64> = BTreeMap::new();
        for shopper in world.shoppers() {
            *counts.entry(shopper.market.country).or_default() += 1.0;
        }
        for arm in &truth.arms {
            assert_eq!(arm.expected_by_market.len(), MARKETS.len());
            for metric in ["opened", "clicked", "ordered", "revenue", "unsubscribed"] {
                let sum: f64 =
                    arm.expected_by_market.iter().map(|(country, means)| counts[country] * means.metric(metric).unwrap()).sum();
                assert!((sum / 5_000.0 - arm.expected.metric(metric).unwrap()).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn the_best_variant_is_the_same_everywhere_but_markets_differ() {
        let truth = Truth::of(&world(3, 20_000)).unwrap();
        let best = truth.best("ordered").unwrap();
        assert_eq!(best.as_str(), "benefit_20");
        assert_eq!(truth.best("revenue"), Some(best));
        let by_market = &truth.arm(best).unwrap().expected_by_market;
        let control = &truth.arm(&control()).unwrap().expected_by_market;
        let lifts: Vec<f64> = by_market.iter().map(|(country, means)| means.ordered / control[country].ordered).collect();
        let (low, high) = lifts.iter().fold((f64::MAX, f64::MIN), |(low, high), lift| (low.min(*lift), high.max(*lift)));
        assert!(low > 1.5 && high - low > 0.1, "{low} {high}");
    }

    /// The promise of the demo: 50,000 contacts, 40 % tested, four variants.
    #[test]
    fn the_best_variant_is_found_with_more_than_99_per_cent() {
        let truth = Truth::of(&world(7, 20_000)).unwrap();
        let recipients = 50_000.0 * 0.4 / 4.0;
        let best = truth.arm(truth.best("ordered").unwrap()).unwrap().expected.ordered;
        // Holm over nine comparisons with control (three variants, three metrics) at worst, then 99.5 % power.
        let needed = 2.77 + 2.58;
        for arm in truth.arms.iter().filter(|arm| arm.expected.ordered < best) {
            let other = arm.expected.ordered;
            let error = ((best * (1.0 - best) + other * (1.0 - other)) / recipients).sqrt();
            assert!((best - other) / error > needed, "{}: {other} v {best}", arm.variant);
        }
    }
}
