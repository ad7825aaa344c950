//! What cells come to: sums of the groups that are asked for, and what is observed of them.

use std::collections::BTreeMap;

use vocabulary::{Experiment, Timestamp};

use super::{Cells, Cut, FUNNEL, Place, age_hours, ends};
use crate::cuped;
use crate::observe::{ArmObservations, ByMarket, Funnel, Observations};

/// Cohorts of a day.
const COHORTS_OF_A_DAY: i64 = 24 * 4;
const DAY_SECONDS: i64 = 24 * 60 * 60;

impl Cells {
    /// What is observed at `as_of`, of the recipients and outcomes of `cut`. Amounts become major units. Versions, engine and erased
    /// units are for the caller to fill in.
    #[must_use]
    pub fn observe(&self, experiment: &Experiment, cut: &Cut, as_of: Timestamp) -> Observations {
        let is_asked: Vec<bool> = self.markets.iter().map(|market| cut.market.is_none() || *market == cut.market).collect();
        let (ranks, _) = self.ranks();
        let of_market = |market: u32, _| is_asked[market as usize].then(|| ranks[market as usize]);
        let gathered = self.gather(experiment, cut.age_hours, as_of, self.markets.len(), of_market);
        if self.plan.before_hours == 0 {
            // There is nothing to be taken out market by market.
            return self.observations(experiment, &self.all(&gathered), as_of);
        }
        self.together(experiment, &gathered, as_of).0
    }

    /// The same of all recipients at each of these ages, in hours.
    #[must_use]
    pub fn observe_by_age(
        &self,
        experiment: &Experiment,
        ages: impl IntoIterator<Item = u32>,
        as_of: Timestamp,
    ) -> BTreeMap<u32, Observations> {
        let at_age = |hours| (hours, self.observe(experiment, &Cut { market: None, age_hours: Some(hours) }, as_of));
        ages.into_iter().map(at_age).collect()
    }

    /// The same of all recipients and of those of each market, in one pass over the cells, at an age or over the
    /// whole window.
    #[must_use]
    pub fn observe_by_market(&self, experiment: &Experiment, age_hours: Option<u32>, as_of: Timestamp) -> ByMarket {
        let (ranks, names) = self.ranks();
        let gathered = self.gather(experiment, age_hours, as_of, self.markets.len(), |market, _| Some(ranks[market as usize]));
        let (overall, parts) = self.together(experiment, &gathered, as_of);
        let named = names.into_iter().zip(parts).filter_map(|(name, part)| name.clone().zip(part));
        ByMarket { overall, markets: named.collect() }
    }

    /// The same by the day in UTC on which recipients' outcomes begin to count, such as `2026-11-11`.
    #[must_use]
    pub fn observe_by_day(
        &self,
        experiment: &Experiment,
        age_hours: Option<u32>,
        as_of: Timestamp,
    ) -> BTreeMap<String, Observations> {
        let day = |cohort: i64| cohort.div_euclid(COHORTS_OF_A_DAY);
        let days = || self.cells.keys().map(|(_, _, cohort, _)| day(*cohort));
        let Some((first, last)) = days().min().zip(days().max()) else { return BTreeMap::new() };
        let count = usize::try_from(last - first + 1).unwrap_or_default();
        let of_day = |_, cohort: i64| usize::try_from(day(cohort) - first).ok();
        let gathered = self.gather(experiment, age_hours, as_of, count, of_day);
        let (_, parts) = self.together(experiment, &gathered, as_of);
        let name = |day: i64| Timestamp::from_second(day * DAY_SECONDS).unwrap_or_default().strftime("%Y-%m-%d").to_string();
        (first..).zip(parts).filter_map(|(day, part)| Some((name(day), part?))).collect()
    }

    /// The place of each market among all of them by name, and the names: what is added up in an order of its own is added up in this one,
    /// so that equal sums give equal numbers.
    fn ranks(&self) -> (Vec<usize>, Vec<&Option<String>>) {
        let mut order: Vec<usize> = (0..self.markets.len()).collect();
        order.sort_unstable_by_key(|number| &self.markets[*number]);
        let mut ranks = vec![0; order.len()];
        order.iter().enumerate().for_each(|(rank, number)| ranks[*number] = rank);
        (ranks, order.into_iter().map(|number| &self.markets[number]).collect())
    }

    /// The sums of the cut by group, of which `group` gives the number of a market and a cohort; `None` for one without units.
    fn gather(
        &self,
        experiment: &Experiment,
        age: Option<u32>,
        as_of: Timestamp,
        groups: usize,
        group: impl Fn(u32, i64) -> Option<usize>,
    ) -> Vec<Option<Gathered>> {
        let hours = age.unwrap_or(experiment.window_hours).min(experiment.window_hours);
        let whole = hours == experiment.window_hours;
        let is_within = |age: u16| whole || age_hours(age) <= i64::from(hours);
        let is_mature = |cohort: i64| ends(cohort, i64::from(hours)) <= as_of;
        let mut gathered: Vec<Option<Gathered>> = vec![None; groups];
        for ((variant, market, cohort, age), numbers) in &self.cells {
            let Some(number) = group(*market, *cohort) else { continue };
            let of = gathered[number].get_or_insert_with(|| self.nothing_gathered());
            of.crossovers += numbers[Place::Crossed as usize];
            let Some((assigned, sums)) = of.arms.get_mut(usize::from(*variant)) else {
                of.strangers += numbers[Place::Units as usize];
                continue;
            };
            *assigned += numbers[Place::Units as usize];
            if is_mature(*cohort) && is_within(*age) {
                sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum = sum.wrapping_add(*number));
            }
        }
        gathered
    }

    fn nothing_gathered(&self) -> Gathered {
        Gathered { arms: vec![(0, vec![0; self.plan.width()]); self.plan.variants.len()], crossovers: 0, strangers: 0 }
    }

    /// The sums of all groups.
    fn all(&self, gathered: &[Option<Gathered>]) -> Gathered {
        let mut all = self.nothing_gathered();
        gathered.iter().flatten().for_each(|part| all.merge(part));
        all
    }

    /// What is observed of all groups together, and of each.
    fn together(
        &self,
        experiment: &Experiment,
        gathered: &[Option<Gathered>],
        as_of: Timestamp,
    ) -> (Observations, Vec<Option<Observations>>) {
        let mut overall = self.observations(experiment, &self.all(gathered), as_of);
        let of_part = |part: &Option<Gathered>| part.as_ref().map(|part| self.observations(experiment, part, as_of));
        let mut parts: Vec<Option<Observations>> = gathered.iter().map(of_part).collect();
        cuped::adjust(&mut overall, &mut parts.iter_mut().flatten().collect::<Vec<_>>());
        (overall, parts)
    }

    fn observations(&self, experiment: &Experiment, of: &Gathered, as_of: Timestamp) -> Observations {
        let count = |number: i128| u64::try_from(number).unwrap_or_default();
        let total = |place: Place| of.arms.iter().map(|(_, sums)| sums[place as usize]).sum::<i128>();
        Observations {
            versions: BTreeMap::new(),
            engine: String::new(),
            as_of,
            immature: count(of.arms.iter().map(|(assigned, _)| assigned).sum::<i128>() - total(Place::Units)),
            crossovers: count(of.crossovers),
            strangers: count(of.strangers),
            unconverted_orders: count(total(Place::Unconverted)),
            erased_units: 0,
            arms: (experiment.variants.iter().zip(&of.arms))
                .map(|(variant, (assigned, sums))| ArmObservations {
                    variant: variant.name.clone(),
                    assigned: count(*assigned),
                    mature: count(sums[Place::Units as usize]),
                    metrics: self.plan.moments(experiment, sums),
                    ratios: self.plan.ratios(experiment, sums),
                    before: self.plan.with_before(sums),
                    adjusted: None,
                    bounced: count(sums[Place::Reached as usize + FUNNEL.len() - 1]),
                    funnel: funnel(sums),
                })
                .collect(),
        }
    }
}

/// The sums of one group at some age.
#[derive(Debug, Clone)]
struct Gathered {
    /// Of each variant: the units assigned, and the sums of those that are old enough.
    arms: Vec<(i128, Vec<i128>)>,
    crossovers: i128,
    strangers: i128,
}

impl Gathered {
    fn merge(&mut self, other: &Self) {
        self.crossovers += other.crossovers;
        self.strangers += other.strangers;
        for ((assigned, sums), (other_assigned, other_sums)) in self.arms.iter_mut().zip(&other.arms) {
            *assigned += other_assigned;
            sums.iter_mut().zip(other_sums).for_each(|(sum, number)| *sum = sum.wrapping_add(*number));
        }
    }
}

fn funnel(sums: &[i128]) -> Funnel {
    let count = |place: usize| u64::try_from(sums[place]).unwrap_or_default();
    let [sent, accepted, opened, clicked, ordered] = std::array::from_fn(|step| count(Place::Reached as usize + step));
    Funnel { assigned: count(Place::Units as usize), sent, accepted, opened, clicked, ordered }
}
