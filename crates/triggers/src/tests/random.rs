//! Random histories, told in random portions, against the definition: none missed, none doubled.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use vocabulary::ContactKey;

use crate::tests::{at, euro, evaluate, oracle, through_json, trigger};
use crate::{Entry, Fact, Firing, Outcome, Person, State, Trigger, What};

const CONDITIONS: [&str; 14] = [
    "registered: {for_hours: 5, without: [ordered]}",
    "registered: {for_days: 1}",
    "inactive: {days: 1, without: [ordered]}",
    "inactive: {days: 1, without: [browsed, carted]}",
    "spent: {more_than: 3}",
    "spent: {more_than: 3, within_days: 1}",
    "spent: {more_than: 0, within_days: 2}",
    "birthday: {at_hour: 0}",
    "birthday: {days_before: 60, at_hour: 9}",
    "browsed: {for_minutes: 60, without: [carted, ordered]}",
    "carted: {for_minutes: 180, without: [ordered]}",
    "price_dropped: {by_percent: 10, seen_within_days: 1, without: [ordered]}",
    "price_dropped: {by_percent: 10, seen_within_days: 2}",
    "entered: {segment: s}",
];

/// The steps of a history: an hour, or for birthdays five days. Everything happens on a step, so that much happens at once.
const STEPS: i64 = 150;

#[derive(Debug, Clone)]
struct Case {
    trigger: Trigger,
    person: Person,
    /// In no order.
    facts: Vec<Fact<'static>>,
    /// In order.
    evaluations: Vec<Timestamp>,
}

fn whats() -> impl Strategy<Value = What<'static>> {
    let product = || select(vec!["a", "b", "c"]);
    let segment = || select(vec!["s", "s", "t"]);
    prop_oneof![
        1 => Just(What::Registered),
        3 => (-3_i64..=4).prop_map(|euros| What::Ordered { amount: euros * 100 }),
        2 => Just(What::Clicked),
        1 => Just(What::Unsubscribed),
        3 => proptest::option::of(product()).prop_map(|product| What::Browsed { product }),
        2 => proptest::option::of(product()).prop_map(|product| What::Carted { product }),
        2 => segment().prop_map(|segment| What::LeftSegment { segment }),
        2 => segment().prop_map(|segment| What::EnteredSegment { segment }),
        3 => (product(), 8_u32..14).prop_map(|(product, percent)| What::PriceDropped { product, percent }),
    ]
}

fn persons() -> impl Strategy<Value = Person> {
    let zones = select(vec!["", "UTC", "Asia/Shanghai", "America/Los_Angeles", "Pacific/Auckland"]);
    let births = select(vec!["", "1990", "1990-01-01", "2000-02-29", "1990-03-01", "1990-12-31", "1985-07-20"]);
    (1_i64..1000, zones, births).prop_map(|(key, zone, birth)| Person {
        key: ContactKey::from_i64(key).unwrap(),
        time_zone: TimeZone::get(zone).ok(),
        birth: birth.parse().ok(),
        since: Timestamp::MIN,
    })
}

fn triggers() -> impl Strategy<Value = Trigger> {
    let entries = prop_oneof![1 => Just(Entry::Once), 1 => (1_u32..4).prop_map(Entry::OncePerDays), 3 => Just(Entry::EachTime)];
    let delays = select(vec!["", "", "delay_hours: 1", "delay_hours: 7", "delay_days: 1", "delay_days: 60"]);
    let exits = select(vec!["", "exit: [ordered]", "exit: [clicked, unsubscribed]"]);
    let holdouts = select(vec![0.0, 0.5, 1.0]);
    (select(CONDITIONS.to_vec()), entries, delays, exits, holdouts).prop_map(|(when, entry, delay, exit, holdout)| {
        let exit = if delay.is_empty() { "" } else { exit };
        Trigger { entry, holdout, ..trigger(when, &format!("{delay}\n{exit}")) }
    })
}

fn cases() -> impl Strategy<Value = Case> {
    let facts = prop::collection::vec((0..STEPS, whats()), 0..60);
    let evaluations = prop::collection::vec(0..STEPS + 30, 1..12);
    (triggers(), persons(), facts, evaluations, -20..STEPS / 2).prop_map(|(trigger, person, facts, evaluations, since)| {
        let hours = if matches!(trigger.when, crate::Condition::Birthday(_)) { 24 * 5 } else { 1 };
        let step = |number: i64| at("01-01T00:00") + SignedDuration::from_hours(hours * number);
        let mut evaluations: Vec<_> = evaluations.into_iter().map(step).collect();
        evaluations.sort();
        let told = |(number, what)| Fact { at: step(number), what };
        let facts = facts.into_iter().map(told).filter(|fact| Some(&fact.at) <= evaluations.last()).collect();
        Case { trigger, person: Person { since: step(since), ..person }, facts, evaluations }
    })
}

impl Case {
    fn end(&self) -> Timestamp {
        self.evaluations.last().copied().unwrap()
    }

    /// By the definition.
    fn expected(&self) -> Vec<Firing> {
        oracle::firings(&self.trigger, &self.person, &self.facts, self.end())
    }

    /// By the engine, each fact told in the first evaluation that is not before it.
    fn in_portions(&self) -> Vec<Firing> {
        let mut rest = self.facts.clone();
        let portions: Vec<_> =
            self.evaluations.iter().map(|now| (rest.extract_if(.., |fact| fact.at <= *now).collect::<Vec<_>>(), *now)).collect();
        let batches: Vec<_> = portions.iter().map(|(facts, now)| (facts.as_slice(), *now)).collect();
        evaluate(&self.trigger.engine(euro()).unwrap(), &self.person, &batches)
    }

    /// By an engine that is asked when a fact comes and when it said it must be, and at no other time. Beside each firing, when
    /// it was told.
    fn when_asked(&self) -> Vec<(Firing, Timestamp)> {
        let engine = self.trigger.engine(euro()).unwrap();
        let (mut state, mut told) = (State::default(), Vec::new());
        let mut facts = self.facts.clone();
        facts.sort_by_key(|fact| std::cmp::Reverse(fact.at));
        loop {
            let fact = facts.last().map(|fact| fact.at);
            let next = engine.next_due(&self.person, &state).into_iter().chain(fact).min();
            let Some(now) = next.filter(|now| *now <= self.end()) else { return told };
            let batch: Vec<_> = facts.extract_if(.., |fact| fact.at == now).collect();
            told.extend(engine.advance(&self.person, &mut state, &batch, now).into_iter().map(|firing| (firing, now)));
            state = through_json(&state);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn portions_and_restarts_do_not_matter(case in cases()) {
        prop_assert_eq!(case.in_portions(), case.expected());
    }

    #[test]
    fn it_is_enough_to_ask_when_it_is_due(case in cases()) {
        let told = case.when_asked();
        for (firing, now) in &told {
            let ended = if let Outcome::Exited { at } = firing.outcome { at } else { firing.due };
            prop_assert_eq!(ended, *now, "told when it ended");
        }
        prop_assert_eq!(told.into_iter().map(|(firing, _)| firing).collect::<Vec<_>>(), case.expected());
    }

    /// Facts that come in any order, early and late: each entry is still told once, and limits hold.
    #[test]
    fn late_facts_double_nothing(case in cases()) {
        let engine = case.trigger.engine(euro()).unwrap();
        let portions = case.facts.len() / case.evaluations.len() + 1;
        let batches: Vec<_> = case.facts.chunks(portions).zip(case.evaluations.iter().copied()).collect();
        let firings = evaluate(&engine, &case.person, &batches);
        for (index, firing) in firings.iter().enumerate() {
            prop_assert_eq!(firing.occurrence as usize, index + 1);
            prop_assert!(firing.true_at >= case.person.since && firing.true_at <= case.end());
        }
        match case.trigger.entry {
            Entry::Once => prop_assert!(firings.len() <= 1),
            Entry::OncePerDays(days) => {
                let apart = SignedDuration::from_hours(24 * i64::from(days));
                prop_assert!(firings.windows(2).all(|pair| pair[1].true_at >= pair[0].true_at + apart));
            }
            Entry::EachTime => {}
        }
    }
}

/// The cases are worth nothing if nothing happens in them.
#[test]
fn much_happens_in_the_cases() {
    let mut runner = TestRunner::deterministic();
    let mut counts: BTreeMap<String, [usize; 4]> = BTreeMap::new();
    for _ in 0..2000 {
        let case = cases().new_tree(&mut runner).unwrap().current();
        let word = serde_json::to_value(&case.trigger.when).unwrap().as_object().unwrap().keys().next().cloned().unwrap();
        let counts = counts.entry(word).or_default();
        for firing in case.expected() {
            let outcome = match firing.outcome {
                Outcome::Send => 0,
                Outcome::HeldOut => 1,
                Outcome::Exited { .. } => 2,
            };
            counts[outcome] += 1;
            counts[3] += usize::from(firing.occurrence > 1);
        }
    }
    assert_eq!(counts.len(), 8, "{counts:?}");
    assert!(counts.values().flatten().all(|count| *count >= 5), "{counts:?}");
}
