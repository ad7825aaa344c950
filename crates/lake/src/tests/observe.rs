//! What is observed of an experiment equals a slow and simple count over the same events.

use std::collections::{BTreeMap, BTreeSet};

use experiment::{ArmObservations, Funnel, Observations};
use stats::{CoMoments, Moments};
use vocabulary::{
    Costs, Cuped, Experiment, ExperimentId, Factor, Measure, Metric, Outcome, RecommendationId, Variant, VariantName,
};

use super::*;

const WINDOW_HOURS: i64 = 48;

pub(super) fn experiment() -> Experiment {
    let metric = |name: &str, outcome, measure, human_only| Metric { human_only, ..Metric::new(name, outcome, measure) };
    let costs = Costs { margin: 0.45, message: 0.004, unsubscribe: 1.5, complaint: 10.0 };
    let variant = |name: &str| Variant::new(VariantName::new(name).unwrap());
    Experiment {
        factors: vec![Factor::Copy],
        variants: ["A", "B", "nobody"].map(variant).into(),
        metrics: vec![
            metric("opened", Outcome::Open, Measure::Occurred, true),
            metric("opens of all", Outcome::Open, Measure::Count, false),
            metric("clicked", Outcome::Click, Measure::Occurred, true),
            metric("clicked by all", Outcome::Click, Measure::Occurred, false),
            metric("bought", Outcome::Order, Measure::Occurred, true),
            metric("orders", Outcome::Order, Measure::Count, true),
            metric("spend", Outcome::Order, Measure::Amount, true),
            metric("left", Outcome::Unsubscribe, Measure::Occurred, true),
            metric("complaints", Outcome::Complaint, Measure::Count, true),
            metric("delivered", Outcome::Delivery, Measure::Occurred, true),
            metric("bounces", Outcome::Bounce, Measure::Count, true),
            metric("replied", Outcome::Reply, Measure::Occurred, true),
            metric("hours to open", Outcome::Open, Measure::HoursToFirst, true),
            Metric { cap: Some(120.0), ..Metric::new("capped spend", Outcome::Order, Measure::Amount) },
            Metric { per: Some("orders".into()), ..Metric::new("basket", Outcome::Order, Measure::Amount) },
            Metric { costs: Some(costs), ..Metric::new("profit", Outcome::Order, Measure::Profit) },
        ],
        window_hours: WINDOW_HOURS as u32,
        ..Experiment::new(ExperimentId::new("it's a test").unwrap(), "spend".into())
    }
}

/// The same with what was before, of this primary metric.
pub(super) fn with_before(primary: &str) -> Experiment {
    Experiment { primary: primary.to_owned(), cuped: Some(Cuped { days: 3 }), ..experiment() }
}

/// SplitMix64 (Steele, Lea & Flood 2014): short, and the same everywhere.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % limit
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A world with everything that can go astray: two assignments, other experiments, unknown variants, machines, times at
/// and around the edges of windows, currencies without a rate, refunds with and without their order.
pub(super) fn world(seed: u64) -> Vec<Event> {
    let mut random = Random(seed);
    let mut events = Vec::new();
    for key in 1..=120 {
        for _ in 0..random.below(10).saturating_sub(7).max(1) {
            let planned_at = random.chance(60).then(|| at(random.below(200) as i64 * HOUR));
            let mut assignment =
                event("x", key, at(random.below(200) as i64 * HOUR), Body::Assignment { planned_at, propensity: None });
            let experiment = if random.chance(85) { "it's a test" } else { "another" };
            assignment.context.experiment_id = Some(ExperimentId::new(experiment).unwrap());
            let variant = ["A", "A", "A", "B", "B", "stranger"][random.below(6) as usize];
            assignment.context.market = [Some("DE".to_owned()), Some("JP".to_owned()), None][random.below(3) as usize].clone();
            assignment.context.variant = random.chance(95).then(|| VariantName::new(variant).unwrap());
            events.push(assignment);
        }
        for _ in 0..random.below(25) {
            // Whole hours hit the edges of windows often; a microsecond off them, too.
            let time = at(random.below(280) as i64 * HOUR + [0, 0, 1, -1][random.below(4) as usize]);
            let mut outcome = event("x", key, time, outcome(&mut random));
            let experiment = match random.below(10) {
                0..6 => Some("it's a test"),
                6..9 => None,
                _ => Some("another"),
            };
            outcome.context.experiment_id = experiment.map(|id| ExperimentId::new(id).unwrap());
            events.push(outcome);
        }
    }
    for (number, event) in events.iter_mut().enumerate() {
        event.id = EventId::new(&format!("{seed}-{number}")).unwrap();
        event.received_at = at(300 * HOUR - number as i64);
    }
    events
}

fn outcome(random: &mut Random) -> Body {
    let machine = random.chance(30);
    let status = [DeliveryStatus::Accepted, DeliveryStatus::Delivered, DeliveryStatus::Refused, DeliveryStatus::Bounced];
    match random.below(7) {
        0 => Body::Message { class: MessageClass::Marketing, cost: None },
        1 => Body::Delivery { status: status[random.below(4) as usize], reply: None },
        2 => Body::Open { machine, user_agent: None },
        3 => Body::Click { url: None, machine, user_agent: None, position: None },
        4 => {
            let code = ["EUR", "EUR", "USD", "JPY"][random.below(4) as usize];
            let minor = random.below(20_000) as i64;
            let refund_of = random.chance(25).then(|| OrderId::new("o").unwrap());
            let amount = Money { minor: if refund_of.is_some() { -minor } else { minor }, currency: currency(code) };
            Body::Order { order_id: OrderId::new(if refund_of.is_some() { "r" } else { "o" }).unwrap(), amount, refund_of }
        }
        5 => Body::Feedback { kind: FeedbackKind::ALL[random.below(4) as usize], text: None },
        _ => Body::Open { machine, user_agent: Some("reader".into()) },
    }
}

/// Events are never put together with units, which is what a readout of many spends its time on otherwise.
#[tokio::test]
async fn units_and_their_events_are_grouped_in_one_step() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(dir.path())).await.unwrap();
    lake.append(world(1)).await.unwrap();
    lake.land().await.unwrap();
    for experiment in [experiment(), with_before("spend")] {
        let plan = crate::observe::plan(&lake, &experiment, &lake.tables.landed()).await;
        assert_eq!(plan.matches("GroupJoinExec: ").count(), 1, "{plan}");
    }
}

struct Unit {
    variant: Option<VariantName>,
    begins: Timestamp,
    ends: Timestamp,
    crossed: bool,
}

fn units(events: &[Event], experiment: &Experiment) -> BTreeMap<ContactKey, Unit> {
    let mut assignments: Vec<&Event> = events
        .iter()
        .filter(|event| {
            matches!(event.body, Body::Assignment { .. }) && event.context.experiment_id.as_ref() == Some(&experiment.experiment)
        })
        .collect();
    assignments.sort_by_key(|event| (event.contact, event.time, event.received_at, event.id.clone()));
    let mut units: BTreeMap<ContactKey, Unit> = BTreeMap::new();
    let mut variants: BTreeMap<ContactKey, BTreeSet<VariantName>> = BTreeMap::new();
    for event in assignments {
        let Body::Assignment { planned_at, .. } = event.body else { unreachable!() };
        let begins = planned_at.unwrap_or(event.time);
        let ends = begins + jiff::Span::new().hours(WINDOW_HOURS);
        let unit = Unit { variant: event.context.variant.clone(), begins, ends, crossed: false };
        let unit = units.entry(event.contact).or_insert(unit);
        variants.entry(event.contact).or_default().extend(event.context.variant.clone());
        unit.crossed = variants[&event.contact].len() > 1;
    }
    units
}

/// The events of `key` that count for `unit`.
fn counted<'a>(events: &'a [Event], key: ContactKey, unit: &Unit, experiment: &Experiment) -> Vec<&'a Event> {
    let counts = |event: &&Event| {
        let others = event.context.experiment_id.as_ref().is_some_and(|id| *id != experiment.experiment);
        event.contact == key
            && event.time >= unit.begins
            && event.time < unit.ends
            && (!others || matches!(event.body, Body::Order { .. }))
    };
    events.iter().filter(counts).collect()
}

fn value(metric: &Metric, events: &[&Event], begins: Timestamp, rates: &Rates) -> f64 {
    let hit = |event: &&&Event| match (&event.body, metric.outcome) {
        (Body::Open { machine, .. }, Outcome::Open) | (Body::Click { machine, .. }, Outcome::Click) => {
            !(*machine && metric.human_only)
        }
        (Body::Order { refund_of, .. }, Outcome::Order) => refund_of.is_none(),
        (Body::Feedback { kind, .. }, Outcome::Unsubscribe) => *kind == FeedbackKind::Unsubscribe,
        (Body::Feedback { kind, .. }, Outcome::Complaint) => *kind == FeedbackKind::Complaint,
        (Body::Feedback { kind, .. }, Outcome::Reply) => *kind == FeedbackKind::Reply,
        (Body::Delivery { status, .. }, Outcome::Delivery) => {
            matches!(status, DeliveryStatus::Accepted | DeliveryStatus::Delivered)
        }
        (Body::Delivery { status, .. }, Outcome::Bounce) => matches!(status, DeliveryStatus::Refused | DeliveryStatus::Bounced),
        _ => false,
    };
    // Refunds are no hits, and lower the amount all the same.
    let amount = |event: &&Event| match &event.body {
        Body::Order { amount, .. } => base(*amount, event.time, rates).map_or(0.0, Money::major),
        _ => 0.0,
    };
    let hits = events.iter().filter(hit).count();
    let happened = |test: fn(&Body) -> bool| events.iter().filter(|event| test(&event.body)).count() as f64;
    let profit = |costs: Costs| {
        let unsubscribed = happened(|body| matches!(body, Body::Feedback { kind: FeedbackKind::Unsubscribe, .. })).min(1.0);
        let complaint = happened(|body| matches!(body, Body::Feedback { kind: FeedbackKind::Complaint, .. })).min(1.0);
        let sent = happened(|body| matches!(body, Body::Message { .. }));
        let spent = costs.message * sent + costs.unsubscribe * unsubscribed + costs.complaint * complaint;
        costs.margin * events.iter().map(amount).sum::<f64>() - spent
    };
    let first = events.iter().filter(hit).map(|event| event.time.as_microsecond() - begins.as_microsecond()).min();
    let within = first.map_or(WINDOW_HOURS, |micros| {
        let steps = [1, 2, 4, 8, 12, 24, WINDOW_HOURS];
        steps.into_iter().find(|hours| micros < hours * 3_600_000_000).unwrap_or(WINDOW_HOURS)
    });
    let value = match metric.measure {
        Measure::Occurred => f64::from(u8::from(hits > 0)),
        Measure::Count => hits as f64,
        Measure::Amount => events.iter().map(amount).sum(),
        Measure::Profit => profit(metric.costs.unwrap()),
        Measure::HoursToFirst => within as f64,
    };
    metric.cap.map_or(value, |cap| value.clamp(-cap, cap))
}

fn base(amount: Money, time: Timestamp, rates: &Rates) -> Option<Money> {
    rates.to_base(amount, crate::rows::date_of(time))
}

fn brute_force(events: &[Event], experiment: &Experiment, as_of: Timestamp, rates: &Rates) -> Observations {
    let units = units(events, experiment);
    let known = |unit: &Unit| unit.variant.as_ref().is_some_and(|name| experiment.variant(name).is_some());
    let mut observations = Observations {
        versions: BTreeMap::new(),
        engine: String::new(),
        as_of,
        arms: vec![],
        immature: units.values().filter(|unit| known(unit) && unit.ends > as_of).count() as u64,
        crossovers: units.values().filter(|unit| unit.crossed).count() as u64,
        strangers: units.values().filter(|unit| !known(unit)).count() as u64,
        unconverted_orders: 0,
        erased_units: 0,
    };
    for variant in &experiment.variants {
        let own: Vec<_> = units.iter().filter(|(_, unit)| unit.variant.as_ref() == Some(&variant.name)).collect();
        let mature: Vec<_> = own.iter().filter(|(_, unit)| unit.ends <= as_of).collect();
        let outcomes: Vec<Vec<&Event>> = mature.iter().map(|(key, unit)| counted(events, **key, unit, experiment)).collect();
        let unconverted =
            |event: &&&Event| matches!(event.body, Body::Order { amount, .. } if base(amount, event.time, rates).is_none());
        observations.unconverted_orders += outcomes.iter().flatten().filter(unconverted).count() as u64;
        let reached =
            |test: fn(&Body) -> bool| outcomes.iter().filter(|own| own.iter().any(|event| test(&event.body))).count() as u64;
        let moments = |metric: &Metric| {
            let own = outcomes.iter().zip(&mature);
            let values: Vec<f64> = own.map(|(own, (_, unit))| value(metric, own, unit.begins, rates)).collect();
            (metric.name.clone(), Moments::from_values(&values))
        };
        let ratio = |metric: &Metric| {
            let denominator = experiment.metrics.iter().find(|other| metric.per.as_ref() == Some(&other.name))?;
            let mut ratio = CoMoments::new(2);
            for (own, (_, unit)) in outcomes.iter().zip(&mature) {
                ratio.push(&[metric, denominator].map(|metric| value(metric, own, unit.begins, rates)));
            }
            Some((metric.name.clone(), ratio))
        };
        observations.arms.push(ArmObservations {
            variant: variant.name.clone(),
            assigned: own.len() as u64,
            mature: mature.len() as u64,
            metrics: experiment.metrics.iter().map(moments).collect(),
            ratios: experiment.metrics.iter().filter_map(ratio).collect(),
            before: None,
            adjusted: None,
            bounced: reached(|body| {
                matches!(body, Body::Delivery { status: DeliveryStatus::Refused | DeliveryStatus::Bounced, .. })
            }),
            funnel: Funnel {
                assigned: mature.len() as u64,
                sent: reached(|body| matches!(body, Body::Message { .. })),
                accepted: reached(|body| {
                    matches!(body, Body::Delivery { status: DeliveryStatus::Accepted | DeliveryStatus::Delivered, .. })
                }),
                opened: reached(|body| matches!(body, Body::Open { machine: false, .. })),
                clicked: reached(|body| matches!(body, Body::Click { machine: false, .. })),
                ordered: reached(|body| matches!(body, Body::Order { refund_of: None, .. })),
            },
        });
    }
    observations
}

/// Moments come by other ways of summing, so they are compared to twelve digits.
fn assert_same(found: &Observations, expect: &Observations, case: &str) {
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-12 * (1.0 + a.abs().max(b.abs()));
    for (found, expect) in found.arms.iter().zip(&expect.arms) {
        for (name, expect) in &expect.metrics {
            let found = found.metrics[name];
            let same = found.count == expect.count && close(found.mean, expect.mean) && close(found.m2, expect.m2);
            assert!(same, "{case} {name}: {found:?} {expect:?}");
        }
        for (name, expect) in &expect.ratios {
            let found = &found.ratios[name];
            let same = found.count == expect.count && close(found.product(0, 1), expect.product(0, 1));
            assert!(same && close(found.mean(1), expect.mean(1)), "{case} {name}: {found:?} {expect:?}");
        }
    }
    let exact = |observations: &Observations| {
        let arms: Vec<_> = observations
            .arms
            .iter()
            .map(|arm| (arm.variant.clone(), arm.assigned, arm.mature, arm.funnel, arm.bounced))
            .collect();
        (arms, observations.immature, observations.crossovers, observations.strangers, observations.unconverted_orders)
    };
    assert_eq!(exact(found), exact(expect), "{case}");
}

/// Before their message whatever recipients were sent counts, other experiments' messages included.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_before_equals_a_simple_count() {
    let root = tempfile::tempdir().unwrap();
    let config = config(root.path());
    let lake = Lake::open(config.clone()).await.unwrap();
    let (events, as_of) = (world(3), at(250 * HOUR));
    lake.append(events.clone()).await.unwrap();
    for primary in ["spend", "opens of all", "hours to open"] {
        let experiment = with_before(primary);
        let metric = experiment.primary_metric().unwrap();
        // Whether it happened is what there is before, of hours to the first.
        let measure = if metric.measure == Measure::HoursToFirst { Measure::Occurred } else { metric.measure };
        let earlier = Metric { measure, ..metric.clone() };
        let found = lake.observe(&experiment, as_of).await.unwrap();
        let by_market = lake.observe_with_before(&experiment, as_of).await.unwrap();
        let (units, mut any) = (units(&events, &experiment), 0);
        for arm in &found.arms {
            let mut expect = CoMoments::new(2);
            let is_own = |unit: &Unit| unit.variant.as_ref() == Some(&arm.variant) && unit.ends <= as_of;
            for (key, unit) in units.iter().filter(|(_, unit)| is_own(unit)) {
                let begins = unit.begins - jiff::Span::new().hours(72);
                let before = |event: &&Event| event.contact == *key && event.time >= begins && event.time < unit.begins;
                let before: Vec<&Event> = events.iter().filter(before).collect();
                any += before.len();
                let own = value(metric, &counted(&events, *key, unit, &experiment), unit.begins, &config.rates);
                expect.push(&[own, value(&earlier, &before, begins, &config.rates)]);
            }
            let close = |a: f64, b: f64| (a - b).abs() <= 1e-12 * (1.0 + a.abs().max(b.abs()));
            let counted = arm.before.as_ref().unwrap();
            assert_eq!(counted.count, expect.count);
            for (one, other) in [(0, 0), (0, 1), (1, 1)] {
                let same = close(counted.product(one, other), expect.product(one, other));
                assert!(same && close(counted.mean(one), expect.mean(one)), "{primary}: {counted:?} {expect:?}");
            }
            assert_eq!(Some(counted), by_market.overall.arm(&arm.variant).unwrap().before.as_ref());
        }
        assert!(any > 100, "{any} events before are too few");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn observations_equal_a_simple_count() {
    let experiment = experiment();
    for seed in 0..4 {
        let root = tempfile::tempdir().unwrap();
        let config = config(root.path());
        let lake = Lake::open(config.clone()).await.unwrap();
        let mut events = world(seed);
        // Brought in two landings, and not in order of time.
        events.sort_by_key(|event| crate::index::IdHash::of(event.id.as_str()).low());
        let half = events.len() / 2;
        for part in [&events[..half], &events[half..]] {
            lake.append(part.to_vec()).await.unwrap();
            lake.land().await.unwrap();
        }
        for hours in [0, 100, 200, 250, 300] {
            let as_of = at(hours * HOUR);
            let found = lake.observe(&experiment, as_of).await.unwrap();
            let expect = brute_force(&events, &experiment, as_of, &config.rates);
            assert_same(&found, &expect, &format!("seed {seed}, {hours} h"));
            if hours == 300 {
                let interesting = [expect.crossovers, expect.strangers, expect.unconverted_orders];
                assert!(interesting.iter().all(|count| *count > 0), "the world of seed {seed} is too tame: {interesting:?}");
            }
            assert_eq!((found.versions.len(), found.versions["orders"]), (KINDS + 2, 2));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_experiment_without_events_has_empty_arms() {
    let root = tempfile::tempdir().unwrap();
    let config = config(root.path());
    let lake = Lake::open(config.clone()).await.unwrap();
    let (found, expect) =
        (lake.observe(&experiment(), at(0)).await.unwrap(), brute_force(&[], &experiment(), at(0), &config.rates));
    assert_same(&found, &expect, "empty");
    assert_eq!(found.arms.len(), 3);
    assert!(found.engine.contains("datafusion 55"), "{}", found.engine);
}

/// 100 placed and 30 of it paid back; an order that is paid back whole; a refund of an order before the window; and one
/// after the window, which the readout does not see.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refunds_lower_the_amount_and_are_no_orders() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    let experiment = experiment();
    let mut events = Vec::new();
    for key in 1..=4 {
        let mut assignment = event(&format!("a{key}"), key, at(0), Body::Assignment { planned_at: None, propensity: None });
        assignment.context.experiment_id = Some(experiment.experiment.clone());
        assignment.context.variant = Some(VariantName::new("A").unwrap());
        events.push(assignment);
    }
    let refund = |id: &str, key, hours: i64, minor| {
        let amount = Money { minor, currency: currency("EUR") };
        let refund_of = Some(OrderId::new("o").unwrap());
        event(id, key, at(hours * HOUR), Body::Order { order_id: OrderId::new(id).unwrap(), amount, refund_of })
    };
    events.extend([order("o1", 1, at(HOUR), 10_000), refund("r1", 1, 2, -3_000)]);
    events.extend([order("o2", 2, at(HOUR), 5_000), refund("r2", 2, 47, -5_000)]);
    events.push(refund("r3", 3, 1, -2_000));
    events.extend([order("o4", 4, at(HOUR), 1_000), refund("r4", 4, WINDOW_HOURS, -1_000)]);
    lake.append(events).await.unwrap();
    lake.land().await.unwrap();

    let found = lake.observe(&experiment, at(100 * HOUR)).await.unwrap();
    let arm = &found.arms[0];
    assert_eq!((arm.funnel.ordered, arm.metrics["bought"]), (3, Moments::from_successes(4, 3)));
    assert!((arm.metrics["orders"].mean - 0.75).abs() < 1e-12);
    assert!((arm.metrics["spend"].mean - (70.0 + 0.0 - 20.0 + 10.0) / 4.0).abs() < 1e-12, "{:?}", arm.metrics["spend"]);
    let query = "SELECT order_id, refund_of, amount_base_minor FROM orders WHERE refund_of IS NOT NULL ORDER BY 1 LIMIT 1";
    assert_eq!(ask(&lake, query, SqlFormat::Csv).await.unwrap().lines().nth(1), Some("r1,o,-3000"));
}

/// Who was sent something by a recommendation counts by it, from the message on and once in the first; nobody else counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_count_by_the_recommendation_they_were_sent() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    let experiment = experiment();
    let id = |text: &str| RecommendationId::new(text).unwrap();
    let message = |key, hours: i64, variant: &str, followed: Option<&str>| {
        let body = Body::Message { class: MessageClass::Marketing, cost: None };
        let mut message = event(&format!("m{key}-{hours}"), key, at(hours * HOUR), body);
        message.context.experiment_id = Some(experiment.experiment.clone());
        message.context.variant = Some(VariantName::new(variant).unwrap());
        message.context.recommendation_id = followed.map(id);
        message
    };
    let mut events = vec![message(1, 10, "A", Some("first")), message(2, 10, "B", Some("first")), message(3, 10, "B", None)];
    events.extend([
        message(4, 30, "B", Some("second")),
        message(2, 30, "B", Some("second")),
        message(5, 60, "A", Some("second")),
    ]);
    // Before the message; within the age; after it.
    events.extend([order("o1", 1, at(9 * HOUR), 100), order("o2", 2, at(12 * HOUR), 100), order("o4", 4, at(47 * HOUR), 100)]);
    lake.append(events).await.unwrap();

    let followed = lake.observe_followers(&experiment, 4, at(40 * HOUR)).await.unwrap();
    let counts = |made: &str| -> Vec<(u64, u64, u64)> {
        followed[&id(made)].arms.iter().map(|arm| (arm.assigned, arm.mature, arm.funnel.ordered)).collect()
    };
    assert_eq!(followed.len(), 2);
    assert_eq!(counts("first")[..2], [(1, 1, 0), (1, 1, 1)]);
    assert_eq!(counts("second")[..2], [(1, 0, 0), (1, 1, 0)], "one is too young, and one was sent something before");
}
