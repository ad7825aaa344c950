//! The sums an experiment's readouts are made of, in whole numbers: exact, whichever way and order they were added up in.
//!
//! A metric is one number per intended recipient, so that a new event changes the number of one unit, and what it does to a sum of
//! squares depends on what the unit had before. The way to keep sums is therefore to take a unit's old contribution out and to put the
//! new one in: [`Cells::subtract`] with the unit as it was, [`Cells::merge`] with the unit as it is. For that the events of the units
//! that are told of must be known twice, before and after, and nothing else: the cells themselves remember no person, and units
//! that nobody tells anything of cost nothing. Sums are 128-bit integers (money in minor units) and wrap around at their end, so that addition is associative, commutative and
//! undone by subtraction without exception.
//!
//! A cell is a variant, a market, a cohort and an age. The cohort is the quarter of an hour in which the units' outcomes begin to
//! count; the age is how long after that something happened, in steps of [`age_hours`]. A cell of an age holds by how much the sums
//! rose or fell *within* that step: the sums of ages up to `h` hours add up to the sums over what each unit had at the age of `h` hours,
//! squares and products included, and most units are in few cells.
//!
//! *Invariant:* a cell whose sums are all zero is not kept, so that equal histories leave equal bytes.

mod gather;
mod past;
mod plan;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vocabulary::{Experiment, Timestamp};

pub use self::past::{BEFORE_DAYS, BEFORE_HOURS, PastCounts};
use self::plan::Plan;
pub use self::plan::plan_of;
pub(crate) use self::plan::{PARTS, millionths};

pub(crate) const HOUR_MICROS: i64 = 60 * 60 * 1_000_000;
/// Time zones are apart by whole quarters of an hour, and so are planned hours.
const COHORT_MICROS: i64 = HOUR_MICROS / 4;
/// Where the steps of the first day end, in hours: where early looks are taken. Later steps are days.
const FIRST_DAY_HOURS: [i64; 6] = [1, 2, 4, 8, 12, 24];

/// One kind of thing that happens to a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A message was handed over.
    Sent,
    /// A provider took it.
    Accepted,
    /// An open, a machine's included.
    Opened,
    /// An open by a human.
    HumanOpened,
    /// A click, a machine's included.
    Clicked,
    /// A click by a human.
    HumanClicked,
    /// An order as placed; a refund is none.
    Ordered,
    /// An order or refund without a rate to the base currency.
    Unconverted,
    /// An unsubscription.
    Unsubscribed,
    /// A complaint.
    Complained,
    /// A server would not have it, or it came back.
    Bounced,
    /// An answer.
    Replied,
}

/// How many kinds there are.
pub const WHATS: usize = 12;

/// The age of what happened before a unit's outcomes begin to count.
pub const BEFORE: u16 = u16::MAX;

/// What happened to one unit within one step of age.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often each kind of [`What`] happened.
    pub counts: [i64; WHATS],
    /// What was paid less what was paid back, in minor units of the base currency.
    pub amount_minor: i64,
}

impl Tally {
    /// Takes in more of the same unit.
    pub fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(own, other)| *own = own.wrapping_add(other));
        self.amount_minor = self.amount_minor.wrapping_add(other.amount_minor);
    }

    fn happened(&self, what: What) -> bool {
        self.counts[what as usize] > 0
    }
}

/// One intended recipient with what they did.
#[derive(Debug, Clone, Copy)]
pub struct Unit<'a> {
    /// The variant of their first assignment.
    pub variant: Option<&'a str>,
    /// The market of their first assignment.
    pub market: Option<&'a str>,
    /// When outcomes begin to count.
    pub begins: Timestamp,
    /// Whether they were assigned more than one variant.
    pub crossed: bool,
    /// What happened within the window, by age: each [`age`] at most once, in rising order; last, at [`BEFORE`], what happened before,
    /// where that was asked for.
    pub tallies: &'a [(u16, Tally)],
}

/// The step of age in which something happened; `None` before the unit's outcomes begin to count.
#[must_use]
pub fn age(begins: Timestamp, at: Timestamp) -> Option<u16> {
    let hours = at.as_microsecond().checked_sub(begins.as_microsecond()).filter(|micros| *micros >= 0)? / HOUR_MICROS;
    let first_day = FIRST_DAY_HOURS.iter().position(|end| hours < *end);
    let step = first_day.map_or_else(|| FIRST_DAY_HOURS.len() as i64 - 1 + hours / 24, |step| step as i64);
    Some(u16::try_from(step).unwrap_or(BEFORE).min(BEFORE - 1))
}

/// Where a step of age ends, in hours after the outcomes begin to count: 1, 2, 4, 8, 12, 24, then each day.
#[must_use]
pub fn age_hours(age: u16) -> i64 {
    let first_day = FIRST_DAY_HOURS.get(usize::from(age)).copied();
    first_day.unwrap_or_else(|| 24 * (i64::from(age) + 2 - FIRST_DAY_HOURS.len() as i64))
}

/// Whether a look may be taken at the age of so many hours: whether a step of age ends there.
#[must_use]
pub fn is_age(hours: u32) -> bool {
    FIRST_DAY_HOURS.contains(&i64::from(hours)) || (hours > 0 && hours.is_multiple_of(24))
}

/// When a unit counts: its window is over, and that of all units of its cohort, who begin up to a quarter of an hour apart. Windows that
/// begin at a full quarter, as planned ones do, are over exactly at their end.
#[must_use]
pub fn counts_from(begins: Timestamp, window_hours: u32) -> Timestamp {
    ends(cohort_of(begins), i64::from(window_hours))
}

/// The quarter of an hour up to whose end a unit begins.
fn cohort_of(begins: Timestamp) -> i64 {
    -(-begins.as_microsecond()).div_euclid(COHORT_MICROS)
}

fn ends(cohort: i64, hours: i64) -> Timestamp {
    let micros = cohort.saturating_mul(COHORT_MICROS).saturating_add(hours.saturating_mul(HOUR_MICROS));
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
}

/// Of which recipients and outcomes a readout is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cut {
    /// Recipients of this market only.
    pub market: Option<String>,
    /// Recipients who are at least so many hours old, and their outcomes within so many hours: everybody had equally long.
    /// The window where absent. Only ends of steps can be asked for: see [`is_age`].
    pub age_hours: Option<u32>,
}

/// The place of each number within a cell. Sums and products of metrics follow.
#[derive(Clone, Copy)]
enum Place {
    Units,
    Crossed,
    Unconverted,
    /// The first of [`FUNNEL`].
    Reached,
}

/// Of whom it is counted how many there are: the steps of the funnel, and last whose messages came back.
const FUNNEL: [What; 6] = [What::Sent, What::Accepted, What::HumanOpened, What::HumanClicked, What::Ordered, What::Bounced];
const METRICS_FROM: usize = Place::Reached as usize + FUNNEL.len();
/// Stands for all variants the experiment does not have.
const STRANGER: u16 = u16::MAX;

/// Variant, market, cohort, age. Variants and markets by their numbers.
type Key = (u16, u32, i64, u16);

/// The sums of one experiment.
#[derive(Debug, Clone)]
pub struct Cells {
    plan: Arc<Plan>,
    markets: Vec<Option<String>>,
    market_numbers: HashMap<String, u32>,
    /// The number of units without a market.
    no_market: Option<u32>,
    cells: HashMap<Key, Box<[i128]>>,
    scratch: Scratch,
}

/// What one unit is computed in, kept from one to the next.
#[derive(Debug, Clone, Default)]
struct Scratch {
    before: Vec<i128>,
    after: Vec<i128>,
    /// What changes in a cell: most of its numbers do not.
    changes: Vec<(usize, i128)>,
}

/// Cells as they are written down: in order, and of each only what is not zero.
#[derive(Serialize, Deserialize)]
struct Written {
    plan: String,
    cells: Vec<WrittenCell>,
}

/// Variant, market, cohort, age, and the sums by their places.
type WrittenCell = (u16, Option<String>, i64, u16, Vec<(u32, i128)>);

/// Why bytes are no cells of an experiment.
#[derive(Debug, thiserror::Error)]
pub enum BadCells {
    /// They cannot be read.
    #[error("the cells cannot be read")]
    Unreadable(#[from] serde_json::Error),
    /// The experiment was changed since, or another version wrote them.
    #[error("the cells were counted by another plan")]
    OtherPlan,
}

impl Cells {
    /// No units yet. Amounts are in minor units of the base currency, of which `minor_per_major` make a major one.
    #[must_use]
    pub fn new(experiment: &Experiment, minor_per_major: i64) -> Self {
        Self {
            plan: Arc::new(Plan::new(experiment, minor_per_major)),
            markets: Vec::new(),
            market_numbers: HashMap::new(),
            no_market: None,
            cells: HashMap::new(),
            scratch: Scratch::default(),
        }
    }

    /// Whether they are made for the experiment as it is written.
    #[must_use]
    pub fn is_of(&self, experiment: &Experiment) -> bool {
        self.plan.hash == plan_of(experiment, self.plan.minor_per_major)
    }

    /// Puts a unit in.
    pub fn add(&mut self, unit: &Unit<'_>) {
        self.apply(unit, 1);
    }

    /// Puts so many units in that are all alike.
    pub fn add_many(&mut self, unit: &Unit<'_>, how_many: u32) {
        self.apply(unit, i128::from(how_many));
    }

    /// Takes a unit out that was put in just as it is given here.
    pub fn take(&mut self, unit: &Unit<'_>) {
        self.apply(unit, -1);
    }

    /// Puts all units of other cells of the same experiment in.
    pub fn merge(&mut self, other: &Self) {
        self.apply_all(other, 1);
    }

    /// Takes all units of other cells out, which were put in just as they are there.
    pub fn subtract(&mut self, other: &Self) {
        self.apply_all(other, -1);
    }

    fn apply_all(&mut self, other: &Self, sign: i128) {
        let markets: Vec<u32> = other.markets.iter().map(|market| self.market(market.as_deref())).collect();
        for ((variant, market, cohort, age), numbers) in &other.cells {
            self.change((*variant, markets[*market as usize], *cohort, *age), sign, numbers.iter().copied().enumerate());
        }
    }

    fn market(&mut self, market: Option<&str>) -> u32 {
        let known = market.map_or(self.no_market, |name| self.market_numbers.get(name).copied());
        known.unwrap_or_else(|| {
            let number = self.markets.len() as u32;
            match market {
                Some(name) => drop(self.market_numbers.insert(name.to_owned(), number)),
                None => self.no_market = Some(number),
            }
            self.markets.push(market.map(str::to_owned));
            number
        })
    }

    fn apply(&mut self, unit: &Unit<'_>, times: i128) {
        let plan = self.plan.clone();
        let Scratch { mut before, mut after, mut changes } = std::mem::take(&mut self.scratch);
        before.clear();
        before.resize(plan.numbers(), 0);
        after.clear();
        after.resize(plan.numbers(), 0);
        let place = unit.variant.and_then(|name| plan.variants.iter().position(|known| known == name));
        let variant = place.map_or(STRANGER, |place| place as u16);
        let (market, cohort) = (self.market(unit.market), cohort_of(unit.begins));
        changes.clear();
        changes.extend([(Place::Units as usize, 1), (Place::Crossed as usize, i128::from(unit.crossed))]);
        // What strangers did counts nowhere.
        let tallies = if variant == STRANGER { &[][..] } else { unit.tallies };
        let (tallies, was) = match tallies.split_last() {
            Some(((BEFORE, tally), within)) => (within, plan.was(tally)),
            _ => (tallies, 0),
        };
        plan.put_was(was, &mut after);
        // The unit itself counts at the first age, whether anything happened then or not.
        if tallies.first().is_none_or(|(age, _)| *age > 0) {
            if before != after {
                plan.changes(&before, &after, &mut changes);
                before.copy_from_slice(&after);
            }
            self.change((variant, market, cohort, 0), times, changes.drain(..));
        }
        let mut so_far = Tally::default();
        for (age, tally) in tallies {
            let old = so_far;
            so_far.add(tally);
            changes.push((Place::Unconverted as usize, i128::from(tally.counts[What::Unconverted as usize])));
            for (step, what) in FUNNEL.into_iter().enumerate() {
                let reached = i128::from(so_far.happened(what)) - i128::from(old.happened(what));
                changes.push((Place::Reached as usize + step, reached));
            }
            plan.values(&so_far, *age, &before, &mut after);
            plan.put_was(was, &mut after);
            if before != after {
                plan.changes(&before, &after, &mut changes);
            }
            self.change((variant, market, cohort, *age), times, changes.drain(..));
            std::mem::swap(&mut before, &mut after);
        }
        self.scratch = Scratch { before, after, changes };
    }

    fn change(&mut self, key: Key, sign: i128, changes: impl IntoIterator<Item = (usize, i128)>) {
        let width = self.plan.width();
        let cell = self.cells.entry(key).or_insert_with(|| vec![0; width].into());
        let mut is_any = false;
        for (place, number) in changes {
            cell[place] = cell[place].wrapping_add(number.wrapping_mul(sign));
            is_any |= cell[place] != 0;
        }
        // Nearly always one of those that changed is not zero, so that the others need not be looked at.
        if !is_any && cell.iter().all(|sum| *sum == 0) {
            self.cells.remove(&key);
        }
    }

    /// The cells in writing: the same units give the same bytes, whichever way they were put in.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut cells: Vec<_> = self.cells.iter().collect();
        let market = |number: &u32| &self.markets[*number as usize];
        cells.sort_unstable_by_key(|((variant, number, cohort, age), _)| (*variant, market(number), *cohort, *age));
        let sparse = |numbers: &[i128]| {
            numbers.iter().enumerate().filter(|(_, sum)| **sum != 0).map(|(place, sum)| (place as u32, *sum)).collect()
        };
        let cells = cells
            .into_iter()
            .map(|((variant, number, cohort, age), numbers)| (*variant, market(number).clone(), *cohort, *age, sparse(numbers)));
        let written = Written { plan: self.plan.hash.clone(), cells: cells.collect() };
        serde_json::to_vec(&written).expect("cells are plain data")
    }

    /// Reads cells of an experiment back, with amounts as in [`Cells::new`].
    ///
    /// # Errors
    /// [`BadCells`] where they cannot be used.
    pub fn from_bytes(experiment: &Experiment, minor_per_major: i64, bytes: &[u8]) -> Result<Self, BadCells> {
        let written: Written = serde_json::from_slice(bytes)?;
        let mut cells = Self::new(experiment, minor_per_major);
        if written.plan != cells.plan.hash {
            return Err(BadCells::OtherPlan);
        }
        for (variant, market, cohort, age, sparse) in written.cells {
            let width = cells.plan.width();
            if sparse.iter().any(|(place, _)| *place as usize >= width) {
                return Err(BadCells::OtherPlan);
            }
            let market = cells.market(market.as_deref());
            let sums = sparse.into_iter().map(|(place, sum)| (place as usize, sum));
            cells.change((variant, market, cohort, age), 1, sums);
        }
        Ok(cells)
    }

    /// Between which moments something that happened can count for a unit: from the first, and before the second. `None` without
    /// units.
    #[must_use]
    pub fn span(&self, window_hours: u32) -> Option<(Timestamp, Timestamp)> {
        let cohorts = || self.cells.keys().map(|(_, _, cohort, _)| *cohort);
        Some((ends(cohorts().min()? - 1, -self.plan.before_hours), ends(cohorts().max()?, i64::from(window_hours))))
    }

    /// The markets that have units, in order; `None` for units without one.
    #[must_use]
    pub fn markets(&self) -> Vec<Option<String>> {
        let numbers: BTreeMap<&Option<String>, ()> =
            self.cells.keys().map(|(_, market, ..)| (&self.markets[*market as usize], ())).collect();
        numbers.into_keys().cloned().collect()
    }

    /// How many cells there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there are no units.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }
}

#[cfg(test)]
#[path = "cells_tests.rs"]
mod tests;
