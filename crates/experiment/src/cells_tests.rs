//! Cells that are corrected event by event equal cells that are counted anew, bit for bit, over random histories; and what is
//! observed of them equals a slow and simple count.

use stats::{CoMoments, Moments};

use super::*;
use crate::observe::Observations;
use crate::spec::parse;

/// SplitMix64 (Steele, Lea & Flood 2014): short, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % limit
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

const WINDOW_HOURS: u32 = 72;
const MINOR: i64 = 100;
const CONTACTS: u64 = 12;
const MARKETS: [Option<&str>; 4] = [Some("DE"), Some("JP"), Some("BR"), None];

fn experiment() -> Experiment {
    let text = format!(
        "experiment: e
factors: [copy]
variants: [{{name: a}}, {{name: b}}]
primary: spend
window_hours: {WINDOW_HOURS}
metrics:
- {{name: spend, outcome: order, measure: amount}}
- {{name: orders, outcome: order, measure: count}}
- {{name: opened, outcome: open, measure: occurred}}
- {{name: opens, outcome: open, measure: count, human_only: false}}
- {{name: left, outcome: unsubscribe, measure: occurred, lower_is_better: true}}
- {{name: profit, outcome: order, measure: profit, costs: {{margin: 0.45, message: 0.000123, unsubscribe: 1.5, complaint: 10}}}}
- {{name: capped, outcome: order, measure: amount, cap: 150.5}}
- {{name: capped profit, outcome: order, measure: profit, costs: {{margin: 1, message: 0.5}}, cap: 99.25}}
- {{name: two opens, outcome: open, measure: count, cap: 2}}
- {{name: hours, outcome: open, measure: hours_to_first, lower_is_better: true}}
- {{name: came back, outcome: bounce, measure: count, lower_is_better: true}}
- {{name: answered, outcome: reply, measure: occurred}}
- {{name: basket, outcome: order, measure: amount, per: orders}}
- {{name: soon, outcome: order, measure: amount, window_hours: 24}}
"
    );
    parse(&text).unwrap()
}

/// The same, where what was before is counted as well.
fn with_before() -> Experiment {
    Experiment { cuped: Some(vocabulary::Cuped { days: 2 }), ..experiment() }
}

#[derive(Debug, Clone, Copy)]
enum Happened {
    Assigned {
        variant: Option<&'static str>,
        market: Option<&'static str>,
        planned_minutes: Option<i64>,
    },
    Did(What),
    /// An order or a refund; without a rate it has no amount.
    Paid {
        minor: i64,
        is_refund: bool,
        has_rate: bool,
    },
}

#[derive(Debug, Clone, Copy)]
struct Event {
    contact: u64,
    minutes: i64,
    happened: Happened,
}

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 / 900 * 900 + minutes * 60).unwrap()
}

fn event(random: &mut Random) -> Event {
    // Orders of magnitude apart, at whole quarters and off them, before, within and after windows.
    let minutes = random.below(8 * 24 * 4) as i64 * 15 + [0, 0, 0, 7][random.below(4) as usize];
    let happened = match random.below(10) {
        0..3 => Happened::Assigned {
            variant: [Some("a"), Some("b"), Some("b"), Some("gone"), None][random.below(5) as usize],
            market: MARKETS[random.below(4) as usize],
            planned_minutes: random.chance(60).then(|| random.below(96) as i64 * 60),
        },
        3..6 => {
            let magnitude = 10 + random.below(50);
            let minor = random.below(1_u64 << magnitude) as i64;
            let is_refund = random.chance(30);
            Happened::Paid { minor: if is_refund { -minor } else { minor }, is_refund, has_rate: random.chance(90) }
        }
        6 => Happened::Did(What::Sent),
        7 => Happened::Did(What::Accepted),
        8 => {
            let whats = [What::Unsubscribed, What::Complained, What::Bounced, What::Replied];
            Happened::Did(whats[random.below(4) as usize])
        }
        _ => Happened::Did(if random.chance(50) { What::Opened } else { What::HumanOpened }),
    };
    Event { contact: random.below(CONTACTS), minutes, happened }
}

/// What the lake holds: each event once, by its id.
type World = BTreeMap<u64, Event>;

/// A unit with a list of its own.
struct Owned {
    variant: Option<&'static str>,
    market: Option<&'static str>,
    begins: Timestamp,
    crossed: bool,
    tallies: Vec<(u16, Tally)>,
}

impl Owned {
    fn unit(&self) -> Unit<'_> {
        Unit { variant: self.variant, market: self.market, begins: self.begins, crossed: self.crossed, tallies: &self.tallies }
    }
}

/// The unit that a contact is, if they were assigned.
fn unit(world: &World, contact: u64) -> Option<Owned> {
    let own: Vec<(&u64, &Event)> = world.iter().filter(|(_, event)| event.contact == contact).collect();
    let mut assigned: Vec<_> = own
        .iter()
        .filter_map(|(id, event)| match event.happened {
            Happened::Assigned { variant, market, planned_minutes } => {
                Some((event.minutes, **id, variant, market, planned_minutes.unwrap_or(event.minutes)))
            }
            _ => None,
        })
        .collect();
    assigned.sort_by_key(|(minutes, id, ..)| (*minutes, *id));
    let (.., variant, market, begins) = *assigned.first()?;
    let mut named: Vec<_> = assigned.iter().filter_map(|(_, _, variant, ..)| *variant).collect();
    named.sort_unstable();
    named.dedup();
    let mut tallies: BTreeMap<u16, Tally> = BTreeMap::new();
    for (_, event) in own {
        if event.minutes < begins - 2 * 24 * 60 || event.minutes >= begins + i64::from(WINDOW_HOURS) * 60 {
            continue;
        }
        let mut tally = Tally::default();
        match event.happened {
            Happened::Assigned { .. } => continue,
            Happened::Did(what) => tally.counts[what as usize] = 1,
            Happened::Paid { minor, is_refund, has_rate } => {
                tally.counts[What::Ordered as usize] = i64::from(!is_refund);
                tally.counts[What::Unconverted as usize] = i64::from(!has_rate);
                tally.amount_minor = if has_rate { minor } else { 0 };
            }
        }
        tallies.entry(age(at(begins), at(event.minutes)).unwrap_or(BEFORE)).or_default().add(&tally);
    }
    Some(Owned { variant, market, begins: at(begins), crossed: named.len() > 1, tallies: tallies.into_iter().collect() })
}

/// All units put in, in any order and in parts.
fn anew(experiment: &Experiment, world: &World, random: &mut Random) -> Cells {
    let mut contacts: Vec<u64> = (0..CONTACTS).collect();
    random.shuffle(&mut contacts);
    let mut parts = vec![Cells::new(experiment, MINOR); 1 + random.below(4) as usize];
    let count = parts.len();
    for (number, contact) in contacts.into_iter().enumerate() {
        if let Some(unit) = unit(world, contact) {
            parts[number % count].add(&unit.unit());
        }
    }
    random.shuffle(&mut parts);
    parts.iter().fold(Cells::new(experiment, MINOR), |mut all, part| {
        all.merge(part);
        all
    })
}

/// Changes the world, and says who is touched.
fn commit(world: &mut World, random: &mut Random) -> Vec<u64> {
    let mut touched = Vec::new();
    match random.below(10) {
        // Somebody is erased with all their events.
        0 => {
            let contact = random.below(CONTACTS);
            world.retain(|_, event| event.contact != contact);
            touched.push(contact);
        }
        // A rate came late: amounts are restated.
        1 => {
            for event in world.values_mut() {
                if let Happened::Paid { minor, has_rate, .. } = &mut event.happened {
                    (*minor, *has_rate) = (minor.wrapping_mul(3) / 2, true);
                    touched.push(event.contact);
                }
            }
        }
        // Events come in whatever order they happened in, some of them told again.
        _ => {
            for _ in 0..random.below(16) {
                let event = event(random);
                let told_again = random.chance(15).then(|| world.keys().next_back().copied()).flatten();
                let id = told_again.unwrap_or_else(|| random.below(u64::MAX));
                if let std::collections::btree_map::Entry::Vacant(entry) = world.entry(id) {
                    touched.push(entry.insert(event).contact);
                }
            }
        }
    }
    touched.sort_unstable();
    touched.dedup();
    touched
}

#[test]
fn corrected_cells_equal_cells_counted_anew() {
    let (mut changed, mut left, mut erased) = (0, 0, 0);
    for seed in 0..1_000 {
        let experiment = if seed % 2 == 0 { experiment() } else { with_before() };
        let mut random = Random(seed);
        let mut world = World::new();
        let mut cells = Cells::new(&experiment, MINOR);
        for _ in 0..1 + random.below(12) {
            let before = world.clone();
            let touched = commit(&mut world, &mut random);
            for (before, after) in touched.iter().map(|contact| (unit(&before, *contact), unit(&world, *contact))) {
                match (before, after) {
                    (Some(before), Some(after)) => changed += u64::from(before.tallies != after.tallies),
                    (Some(before), None) => (left, erased) = (left + 1, erased + u64::from(!before.tallies.is_empty())),
                    (None, _) => {}
                }
            }
            if random.chance(50) {
                // Taken out and put in one after the other: in between the sums are those of the others.
                for contact in touched {
                    unit(&before, contact).into_iter().for_each(|unit| cells.take(&unit.unit()));
                    unit(&world, contact).into_iter().for_each(|unit| cells.add(&unit.unit()));
                }
            } else {
                // All that are touched together, and the new before the old.
                let of = |world: &World| {
                    let mut cells = Cells::new(&experiment, MINOR);
                    touched.iter().filter_map(|contact| unit(world, *contact)).for_each(|unit| cells.add(&unit.unit()));
                    cells
                };
                cells.merge(&of(&world));
                cells.subtract(&of(&before));
            }
            if random.chance(20) {
                // Another process goes on.
                cells = Cells::from_bytes(&experiment, MINOR, &cells.to_bytes()).unwrap();
            }
            let expect = anew(&experiment, &world, &mut random);
            assert_eq!(
                String::from_utf8(cells.to_bytes()).unwrap(),
                String::from_utf8(expect.to_bytes()).unwrap(),
                "seed {seed}"
            );
            let observed = |cells: &Cells| cells.observe(&experiment, &Cut::default(), at(6 * 24 * 60));
            assert_eq!(observed(&cells), observed(&expect), "seed {seed}");
            check_markets(&cells, &experiment);
        }
        // Everybody leaves, and nothing is left of anybody.
        (0..CONTACTS).filter_map(|contact| unit(&world, contact)).for_each(|unit| cells.take(&unit.unit()));
        assert!(cells.is_empty(), "seed {seed}: {:?}", cells.cells);
    }
    assert!(changed > 3_000 && left > 150 && erased > 50, "the histories are too tame: {changed} {left} {erased}");
}

/// What is observed of all markets at once is what is observed of each.
fn check_markets(cells: &Cells, experiment: &Experiment) {
    for (age_hours, as_of) in [(None, at(6 * 24 * 60)), (Some(4), at(26 * 60))] {
        let of = |market: Option<String>| cells.observe(experiment, &Cut { market, age_hours }, as_of);
        let all = cells.observe_by_market(experiment, age_hours, as_of);
        assert_eq!(all.overall, of(None));
        assert_eq!(all.markets.keys().cloned().map(Some).collect::<Vec<_>>(), {
            cells.markets().into_iter().filter(Option::is_some).collect::<Vec<_>>()
        });
        // What was before is taken out by one slope for all markets.
        let plain = |observations: &Observations| {
            let mut plain = observations.clone();
            plain.arms.iter_mut().for_each(|arm| arm.adjusted = None);
            plain
        };
        for (market, observations) in &all.markets {
            assert_eq!(plain(observations), plain(&of(Some(market.clone()))));
        }
        let days = cells.observe_by_day(experiment, age_hours, as_of);
        let assigned = |of: &Observations| of.arms.iter().map(|arm| (arm.assigned, arm.mature)).collect::<Vec<_>>();
        let sums = days
            .values()
            .map(assigned)
            .fold(vec![(0, 0); 2], |sums, of| sums.iter().zip(of).map(|(sum, own)| (sum.0 + own.0, sum.1 + own.1)).collect());
        assert_eq!(sums, assigned(&all.overall));
    }
}

/// The value of a metric by the events within some hours.
fn value(metric: &str, tally: &Tally) -> f64 {
    let count = |what: What| tally.counts[what as usize] as f64;
    let once = |what: What| count(what).min(1.0);
    match metric {
        "profit" => {
            let costs = 0.000_123 * count(What::Sent) + 1.5 * once(What::Unsubscribed) + 10.0 * once(What::Complained);
            0.45 * tally.amount_minor as f64 / 100.0 - costs
        }
        "spend" | "basket" | "soon" => tally.amount_minor as f64 / 100.0,
        "orders" => tally.counts[What::Ordered as usize] as f64,
        "opened" => f64::from(u8::from(tally.counts[What::HumanOpened as usize] > 0)),
        "opens" => tally.counts[What::Opened as usize] as f64,
        "capped" => (tally.amount_minor as f64 / 100.0).clamp(-150.5, 150.5),
        "capped profit" => (tally.amount_minor as f64 / 100.0 - 0.5 * count(What::Sent)).clamp(-99.25, 99.25),
        "two opens" => count(What::HumanOpened).min(2.0),
        "came back" => count(What::Bounced),
        "answered" => once(What::Replied),
        _ => f64::from(u8::from(tally.counts[What::Unsubscribed as usize] > 0)),
    }
}

impl Owned {
    /// What they did up to an age of so many hours.
    fn total(&self, hours: u32) -> Tally {
        let counted = self.tallies.iter().filter(|(age, _)| age_hours(*age) <= i64::from(hours));
        counted.fold(Tally::default(), |mut total, (_, tally)| {
            total.add(tally);
            total
        })
    }

    /// When they first opened, by steps of age, up to an age of so many hours; the window where they did not.
    fn hours_to_open(&self, hours: u32) -> f64 {
        let opens =
            |(age, tally): &&(u16, Tally)| age_hours(*age) <= i64::from(hours) && tally.counts[What::HumanOpened as usize] > 0;
        self.tallies.iter().find(opens).map_or(f64::from(WINDOW_HOURS), |(age, _)| age_hours(*age) as f64)
    }
}

#[test]
fn what_is_observed_equals_a_simple_count() {
    let experiment = with_before();
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()));
    let mut interesting = 0;
    for seed in 0..200 {
        let mut random = Random(seed);
        let mut world = World::new();
        (0..20).for_each(|_| drop(commit(&mut world, &mut random)));
        for event in world.values_mut() {
            // Beyond that the squares of profits are more than 128 bits hold.
            if let Happened::Paid { minor, .. } = &mut event.happened {
                *minor %= 1 << 36;
            }
        }
        let cells = anew(&experiment, &world, &mut random);
        let units: Vec<Owned> = (0..CONTACTS).filter_map(|contact| unit(&world, contact)).collect();
        let as_of = at(random.below(8 * 24) as i64 * 60);
        for (market, hours) in [(None, None), (Some("DE"), None), (None, Some(4)), (Some("JP"), Some(24)), (None, Some(48))] {
            let cut = Cut { market: market.map(str::to_owned), age_hours: hours };
            let found = cells.observe(&experiment, &cut, as_of);
            let hours = hours.unwrap_or(WINDOW_HOURS);
            let within: Vec<&Owned> = units.iter().filter(|unit| market.is_none() || unit.market == market).collect();
            for arm in &found.arms {
                let own = || within.iter().filter(|unit| unit.variant == Some(arm.variant.as_str()));
                let mature = || own().filter(|unit| counts_from(unit.begins, hours) <= as_of);
                assert_eq!((arm.assigned, arm.mature), (own().count() as u64, mature().count() as u64), "seed {seed} {cut:?}");
                let totals: Vec<Tally> = mature().map(|unit| unit.total(hours)).collect();
                for (name, moments) in &arm.metrics {
                    let values: Vec<f64> = match name.as_str() {
                        "soon" => mature().map(|unit| value(name, &unit.total(hours.min(24)))).collect(),
                        "hours" => mature().map(|unit| unit.hours_to_open(hours)).collect(),
                        _ => totals.iter().map(|total| value(name, total)).collect(),
                    };
                    let expect = Moments::from_values(&values);
                    let same = moments.count == expect.count && near(moments.mean, expect.mean) && near(moments.m2, expect.m2);
                    assert!(same, "seed {seed} {cut:?} {name}: {moments:?} {expect:?}");
                    interesting += u64::from(expect.m2 > 0.0);
                }
                let mut before = CoMoments::new(2);
                for unit in mature() {
                    let was = unit.tallies.last().filter(|(age, _)| *age == BEFORE).map_or(0, |(_, tally)| tally.amount_minor);
                    before.push(&[value("spend", &unit.total(hours)), was as f64 / 100.0]);
                }
                let found_before = arm.before.as_ref().unwrap();
                for (one, other) in [(0, 0), (0, 1), (1, 1)] {
                    let same = near(found_before.product(one, other), before.product(one, other));
                    assert!(same && near(found_before.mean(one), before.mean(one)), "seed {seed}: {found_before:?} {before:?}");
                }
                let mut ratio = CoMoments::new(2);
                totals.iter().for_each(|total| ratio.push(&["basket", "orders"].map(|name| value(name, total))));
                let found_ratio = &arm.ratios["basket"];
                assert!(found_ratio.count == ratio.count && arm.ratios.len() == 1);
                for (one, other) in [(0, 0), (0, 1), (1, 1)] {
                    let same = near(found_ratio.product(one, other), ratio.product(one, other));
                    assert!(
                        same && near(found_ratio.mean(one), ratio.mean(one)),
                        "seed {seed} {cut:?}: {found_ratio:?} {ratio:?}"
                    );
                }
                let ordered = totals.iter().filter(|total| total.counts[What::Ordered as usize] > 0).count();
                assert_eq!((arm.funnel.assigned, arm.funnel.ordered), (arm.mature, ordered as u64));
            }
            assert_eq!(found.crossovers, within.iter().filter(|unit| unit.crossed).count() as u64);
            let strangers = within.iter().filter(|unit| !matches!(unit.variant, Some("a" | "b")));
            assert_eq!(found.strangers, strangers.count() as u64);
        }
    }
    assert!(interesting > 500, "the worlds are too tame: {interesting}");
}

#[test]
fn ages_are_steps() {
    let hours = |hours: i64| age(at(0), at(hours * 60));
    assert_eq!(hours(-1), None);
    let steps: Vec<Option<u16>> = [0, 1, 2, 3, 4, 11, 12, 23, 24, 47, 48, 72].map(hours).into();
    assert_eq!(steps, [0, 1, 2, 2, 3, 4, 5, 5, 6, 6, 7, 8].map(Some));
    assert_eq!([0, 2, 4, 5, 6, 7, 12].map(age_hours), [1, 4, 12, 24, 48, 72, 192]);
    for step in 0..40 {
        // Each step ends where the next begins.
        assert_eq!(age(at(0), at(age_hours(step) * 60)), Some(step + 1));
        assert_eq!(age(at(0), at(age_hours(step) * 60 - 1)), Some(step));
        assert!(is_age(age_hours(step) as u32));
    }
    assert!(!is_age(0) && !is_age(3) && !is_age(25));
}

#[test]
fn whole_quarters_count_at_the_end_of_their_window() {
    let check = |minutes, expect| assert_eq!(counts_from(at(minutes), 1), at(expect), "{minutes}");
    check(0, 60);
    check(15, 75);
    check(16, 90);
    check(-1, 60);
}

#[test]
fn many_alike_are_as_many_one_by_one() {
    let mut bought = Tally { amount_minor: -3, ..Tally::default() };
    bought.counts[What::Ordered as usize] = 2;
    let tallies = [(0, Tally { amount_minor: 7, ..Tally::default() }), (4, bought)];
    let unit = Unit { variant: Some("b"), market: Some("JP"), begins: at(30), crossed: true, tallies: &tallies };
    let (mut one_by_one, mut at_once) = (Cells::new(&experiment(), MINOR), Cells::new(&experiment(), MINOR));
    (0..137).for_each(|_| one_by_one.add(&unit));
    at_once.add_many(&unit, 137);
    assert_eq!(one_by_one.to_bytes(), at_once.to_bytes());
}

/// Sums of squares of large amounts do not fit 64 bits, and a refund takes back all of it.
#[test]
fn money_is_exact() {
    let experiment = experiment();
    let paid = |minor: i64| {
        let mut tally = Tally { amount_minor: minor, ..Tally::default() };
        tally.counts[What::Ordered as usize] = 1;
        tally
    };
    let unit = |tallies| Unit { variant: Some("a"), market: None, begins: at(0), crossed: false, tallies };
    let big = 4_000_000_000_000_000_007;
    let mut cells = Cells::new(&experiment, MINOR);
    let (once, paid_back) = ([(0, paid(big))], [(0, paid(1)), (7, paid(-1))]);
    cells.add(&unit(&once));
    cells.add(&unit(&paid_back));
    let bytes = String::from_utf8(cells.to_bytes()).unwrap();
    assert!(bytes.contains(&(i128::from(big) * i128::from(big) + 1).to_string()), "{bytes}");
    let observed = cells.observe(&experiment, &Cut { age_hours: Some(1), ..Cut::default() }, at(60)).arms[0].metrics["spend"];
    assert_eq!(observed.mean, (big + 1) as f64 / 200.0);
    cells.take(&unit(&once));
    let small = cells.observe(&experiment, &Cut::default(), at(72 * 60)).arms[0].metrics["spend"];
    assert_eq!(small, Moments { count: 1, mean: 0.0, m2: 0.0 });
}

#[test]
fn cells_of_another_plan_are_not_read() {
    let mut other = experiment();
    other.window_hours += 1;
    let bytes = Cells::new(&experiment(), MINOR).to_bytes();
    assert!(matches!(Cells::from_bytes(&other, MINOR, &bytes), Err(BadCells::OtherPlan)));
    assert!(matches!(Cells::from_bytes(&experiment(), MINOR, b"{"), Err(BadCells::Unreadable(_))));
    assert!(matches!(Cells::from_bytes(&experiment(), 1, &bytes), Err(BadCells::OtherPlan)), "in another currency");
    // The question and the margins of guardrails change no sum.
    other = experiment();
    other.question = "Which?".into();
    assert!(Cells::from_bytes(&other, MINOR, &bytes).is_ok());
}

/// 19.99 paid, 5.00 of it paid back, two messages, and two unsubscriptions, which cost once: all digits of a hundred millionth are there.
#[test]
fn profit_is_what_is_left() {
    let mut experiment = experiment();
    experiment.metrics.retain(|metric| metric.name == "profit");
    experiment.primary = "profit".into();
    let mut tallies =
        [(0, Tally { amount_minor: 1_999, ..Tally::default() }), (6, Tally { amount_minor: -500, ..Tally::default() })];
    tallies[0].1.counts[What::Sent as usize] = 2;
    tallies[0].1.counts[What::Unsubscribed as usize] = 1;
    tallies[1].1.counts[What::Unsubscribed as usize] = 1;
    let unit = |tallies| Unit { variant: Some("a"), market: None, begins: at(0), crossed: false, tallies };
    let mut cells = Cells::new(&experiment, MINOR);
    cells.add(&unit(&tallies));
    cells.add(&unit(&[]));
    let parts = 450_000 * 1_499 - 2 * 123 * 100 - 1_500_000 * 100_i128;
    assert_eq!(parts, 524_525_400);
    let sums = |age| cells.cells[&(0, 0, cohort_of(at(0)), age)][METRICS_FROM..].to_vec();
    assert_eq!((sums(0)[0] + sums(6)[0], sums(0)[1] + sums(6)[1]), (parts, parts * parts));
    let mean = |minor_per_major| {
        let mut cells = Cells::new(&experiment, minor_per_major);
        cells.add(&unit(&tallies));
        cells.observe(&experiment, &Cut::default(), at(72 * 60)).arms[0].metrics["profit"].mean
    };
    assert_eq!(mean(100), 5.245_254);
    assert_eq!(
        mean(1),
        673.049_754,
        "in a currency without minor units the costs are as large, and the amount is a hundred times"
    );
}

/// Of many metrics most products are not kept; those of a ratio with its denominator are, whichever comes first.
#[test]
fn ratios_are_kept_among_many_metrics() {
    let mut experiment = experiment();
    let of =
        |number: usize| vocabulary::Metric::new(&format!("m{number}"), vocabulary::Outcome::Open, vocabulary::Measure::Count);
    experiment.metrics.extend((0..20).map(of));
    for (ratio, per) in [("m3", "orders"), ("orders", "m4")] {
        let mut experiment = experiment.clone();
        let numerator = experiment.metrics.iter_mut().find(|metric| metric.name == ratio).unwrap();
        numerator.per = Some(per.to_owned());
        let mut tally = Tally::default();
        (tally.counts[What::HumanOpened as usize], tally.counts[What::Ordered as usize]) = (3, 2);
        let mut cells = Cells::new(&experiment, MINOR);
        for tallies in [&[(0, tally)][..], &[]] {
            cells.add(&Unit { variant: Some("a"), market: None, begins: at(0), crossed: false, tallies });
        }
        let observed = cells.observe(&experiment, &Cut::default(), at(72 * 60));
        let products = |one, other| observed.arms[0].ratios[ratio].product(one, other);
        let (numerator, denominator) = if ratio == "m3" { (3.0, 2.0) } else { (2.0, 3.0) };
        let expect = [numerator * numerator / 2.0, 3.0, denominator * denominator / 2.0];
        assert_eq!([products(0, 0), products(0, 1), products(1, 1)], expect);
    }
}
