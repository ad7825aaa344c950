//! Rollouts of which everything is known: steps in order, harm that is stopped, luck that is not, and all that makes them wait.

use stats::Moments;
use stats::numeric::Draws;
use vocabulary::recommendation::WEIGHTS_TOLERANCE;

use super::*;
use crate::observe::{ArmObservations, Funnel};
use crate::readout::hillstrom;

#[path = "rollout_simulations.rs"]
mod simulations;

const SPEC: &str = "\
experiment: autumn
factors: [copy]
variants: [{name: plain}, {name: warm}, {name: cold}]
primary: visit
metrics:
  - {name: visit, outcome: click, measure: occurred}
  - {name: leave, outcome: unsubscribe, measure: occurred, lower_is_better: true}
guardrails: [{metric: leave, margin: 0.2}]
rollout: {}
";

const CONTROL: &str = "plain";

fn spec() -> Experiment {
    crate::parse(SPEC).unwrap()
}

fn name(text: &str) -> VariantName {
    VariantName::new(text).unwrap()
}

fn id(text: &str) -> RecommendationId {
    RecommendationId::new(text).unwrap()
}

fn at(hours: u32) -> Timestamp {
    Timestamp::from_second(i64::from(hours) * 3_600).unwrap()
}

/// A recommendation of a readout as it is made at first.
fn first(own: &str, market: Option<&str>, variant: &str) -> Recommendation {
    let (variant, weights) = dealt(&name(CONTROL), &name(variant), first_percent(&spec(), &name(variant)));
    Recommendation {
        id: id(own),
        experiment_id: spec().experiment,
        scope: RecommendationScope::new(market, None, None).unwrap(),
        variant,
        weights,
        parent: None,
        reason: "because".into(),
        readout_id: Some("ro-1".into()),
        valid_until: None,
        expected: None,
        created_at: at(0),
    }
}

/// Of control and of the variant: how many there are, who visited and who left.
type Counts = [(u64, u64, u64); 2];

fn seen(variant: &str, counts: Counts) -> Observations {
    let arm = |(name, (count, visits, leaves)): (&str, (u64, u64, u64))| ArmObservations {
        variant: VariantName::new(name).unwrap(),
        assigned: count,
        mature: count,
        metrics: [("visit", visits), ("leave", leaves)]
            .map(|(name, successes)| (name.to_owned(), Moments::from_successes(count, successes)))
            .into(),
        ratios: BTreeMap::new(),
        before: None,
        adjusted: None,
        bounced: 0,
        funnel: Funnel { assigned: count, sent: count, accepted: count, clicked: visits, ..Funnel::default() },
    };
    Observations { arms: [CONTROL, variant].into_iter().zip(counts).map(arm).collect(), ..hillstrom::observations() }
}

/// A control store in small: what is current, what was, and what is seen.
#[derive(Default)]
struct Store {
    current: Vec<Recommendation>,
    history: Vec<Recommendation>,
    observed: BTreeMap<RecommendationId, Observations>,
}

impl Store {
    fn of(current: &[Recommendation]) -> Self {
        Self { current: current.to_vec(), ..Self::default() }
    }

    fn see(&mut self, own: &str, variant: &str, counts: Counts) {
        self.observed.insert(id(own), seen(variant, counts));
    }

    fn followed(&self) -> Followed<'_> {
        Followed { current: &self.current, history: &self.history, observed: &self.observed }
    }

    fn standing(&self, now: Timestamp) -> Vec<ScopeStanding> {
        standing(&spec(), &self.followed(), now)
    }

    /// Makes what is due current. The number of each in its name.
    fn step(&mut self, now: Timestamp) -> Vec<Recommendation> {
        let mut number = self.history.len() + self.current.len();
        let fresh = || {
            number += 1;
            id(&format!("r{number}"))
        };
        let made = next_step(&spec(), &self.followed(), fresh, now);
        for next in &made {
            let place = self.current.iter().position(|current| Some(&current.id) == next.parent.as_ref()).unwrap();
            self.history.push(std::mem::replace(&mut self.current[place], next.clone()));
        }
        made
    }
}

/// Enough followers at a share in percent, between whom there is no difference.
fn alike(percent: u64) -> Counts {
    let of = |share: u64| (100 * share, 5 * share, share);
    [of(100 - percent), of(percent)]
}

fn wait_of(standing: &ScopeStanding) -> Option<Option<Timestamp>> {
    match standing.next {
        Step::Wait { until } => Some(until),
        _ => None,
    }
}

#[test]
fn steps_follow_each_other_to_everybody() {
    let mut store = Store::of(&[first("r1", None, "warm")]);
    assert_eq!(store.current[0].weights, BTreeMap::from([(name("plain"), 0.95), (name("warm"), 0.05)]));
    let mut told = Vec::new();
    for (number, percent) in [5, 25, 50].into_iter().enumerate() {
        let now = 24 * (number as u32 + 1);
        store.see(&format!("r{}", number + 1), "warm", alike(percent));
        let early = at(now - 1);
        assert_eq!(wait_of(&store.standing(early)[0]), Some(Some(at(now))));
        assert_eq!(store.step(early), []);
        let [made] = &store.step(at(now))[..] else { panic!("one is due") };
        assert_eq!((made.parent.clone(), made.created_at), (Some(id(&format!("r{}", number + 1))), at(now)));
        assert_eq!((made.readout_id.as_deref(), made.valid_until), (Some("ro-1"), None));
        told.push((made.variant.to_string(), made.weights[&name("warm")], made.reason.clone()));
        assert_eq!(store.step(at(now)), [], "no step is due twice");
    }
    let expect = [
        ("plain", 0.25, "`warm` goes to 25 % now: after 24 hours no harm is shown (500 got it)."),
        ("warm", 0.5, "`warm` goes to 50 % now: after 24 hours no harm is shown (3,000 got it)."),
        ("warm", 1.0, "`warm` goes to everybody now: after 24 hours no harm is shown (8,000 got it)."),
    ];
    assert_eq!(told, expect.map(|(variant, share, reason)| (variant.to_owned(), share, reason.to_owned())));
    assert!(store.current[0].is_decided());
    assert_eq!(store.step(at(1_000)), []);
    let [done] = &store.standing(at(1_000))[..] else { panic!("one scope") };
    assert_eq!((&done.next, done.share, done.since, done.steps.len()), (&Step::Done, 1.0, at(72), 4));
    let expect = "`warm` goes to everybody since 1970-01-04T00:00:00Z; no harm was shown on the way (8,000 got it).";
    assert_eq!(done.sentence, expect);
}

/// The numbers come from the formulas, evaluated apart from this code.
#[test]
fn known_numbers() {
    let mut store = Store::of(&[Recommendation { parent: Some(id("r1")), ..first("r2", None, "warm") }]);
    store.see("r2", "warm", [(7_600, 380, 76), (400, 20, 20)]);
    let near = |actual: Option<f64>, expect: f64| assert!((actual.unwrap() - expect).abs() < 1e-9, "{actual:?} is not {expect}");
    let [one] = &store.standing(at(1))[..] else { panic!("one scope") };
    let (visit, leave) = (&one.checks[0], &one.checks[1]);
    assert_eq!((visit.metric.as_str(), visit.role, visit.margin), ("visit", Role::Primary, None));
    assert_eq!((leave.metric.as_str(), leave.role, leave.margin), ("leave", Role::Guardrail, Some(0.2)));
    near(visit.difference, 0.0);
    near(leave.difference, 0.04);
    near(leave.statistic, -0.04 / 0.010_956_853_178_670_75);
    near(leave.boundary, 3.047_323_700_477_311_3);
    assert_eq!((visit.state, leave.state), (GuardrailState::Unproven, GuardrailState::Broken));
    let expect = "`warm` is stopped at 5 % and `plain` is sent: it does harm, +4.00 percentage points on leave (400 got it).";
    assert_eq!(one.next, Step::Stop { reason: expect.to_owned() });
    // The same with a step more.
    store.history = vec![Recommendation { weights: dealt(&name(CONTROL), &name("warm"), 5).1, ..first("r1", None, "warm") }];
    store.current[0].weights = dealt(&name(CONTROL), &name("warm"), 25).1;
    store.see("r1", "warm", [(7_600, 380, 76), (400, 20, 20)]);
    store.see("r2", "warm", [(6_000, 300, 60), (2_000, 100, 50)]);
    let leave = &store.standing(at(1))[0].checks[1];
    near(leave.difference, 0.023_370_166_150_157_92);
    near(leave.statistic, -5.266_482_006_912_627);
    near(leave.boundary, 3.052_150_196_722_306);
}

#[test]
fn harm_sends_control_to_everybody_at_once() {
    let mut store = Store::of(&[first("r1", Some("DE"), "warm")]);
    // Nobody who got it visits: there is no spread that could be too small.
    store.see("r1", "warm", [(15_200, 760, 152), (800, 0, 8)]);
    let [made] = &store.step(at(1))[..] else { panic!("harm is not waited with") };
    assert_eq!((made.variant.as_str(), made.weights.clone()), ("plain", Recommendation::all_to(&name("plain"))));
    assert_eq!((made.parent.clone(), made.scope.market.as_deref(), made.expected), (Some(id("r1")), Some("DE"), None));
    let expect =
        "In DE `warm` is stopped at 5 % and `plain` is sent: it does harm, -5.00 percentage points on visit (800 got it).";
    assert_eq!(made.reason, expect);
    assert_eq!((store.step(at(1)), store.standing(at(100))), (vec![], vec![]), "a stopped rollout is none any more");
    // So few are no proof, though all of them left.
    store = Store::of(&[first("r1", None, "warm")]);
    store.see("r1", "warm", [(38, 2, 0), (2, 0, 2)]);
    assert_eq!(store.step(at(24)), []);
    // What was seen too late is still acted on.
    let mut late = Store::of(&[first("r1", None, "warm")]);
    for (own, percent, now) in [("r1", 5, 24), ("r2", 25, 48), ("r3", 50, 72)] {
        late.see(own, "warm", alike(percent));
        assert_eq!(late.step(at(now)).len(), 1);
    }
    late.see("r3", "warm", [(5_000, 250, 50), (5_000, 250, 500)]);
    assert_eq!(late.step(at(80))[0].variant.as_str(), "plain");
}

/// A difference that many followers show, but within what the guardrail tolerates.
#[test]
fn what_keeps_its_margin_is_no_harm() {
    let mut store = Store::of(&[first("r1", None, "warm")]);
    let many = |share: u64, leaves: u64| (1_000_000 * share, 50_000 * share, leaves * share);
    store.see("r1", "warm", [many(19, 10_000), many(1, 10_800)]);
    let leave = &store.standing(at(1))[0].checks[1];
    assert_eq!(leave.state, GuardrailState::Kept);
    assert!(leave.statistic.unwrap() < -leave.boundary.unwrap(), "{leave:?}");
    assert_eq!(store.step(at(24))[0].weights[&name("warm")], 0.25);
    store.see("r1", "warm", [many(19, 10_000), many(1, 12_500)]);
    store.current = vec![first("r1", None, "warm")];
    assert_eq!(store.standing(at(1))[0].checks[1].state, GuardrailState::Broken);
}

#[test]
fn it_does_not_go_on_without_followers() {
    let check = |counts: Option<Counts>, hours: u32, expect: Result<u8, Option<u32>>, sentence: &str| {
        let mut store = Store::of(&[first("r1", None, "warm")]);
        if let Some(counts) = counts {
            store.see("r1", "warm", counts);
        }
        let [one] = &store.standing(at(hours))[..] else { panic!("one scope") };
        let expect = expect.map_or_else(|until| Step::Wait { until: until.map(at) }, |to| Step::Advance { to });
        assert_eq!((&one.next, one.sentence.as_str()), (&expect, sentence));
    };
    let few = |of_variant: u64| Some([(19 * of_variant, of_variant, 1), (of_variant, 0, 0)]);
    let stays = "`warm` stays at 5 %: 100 followers of each variant must count, and one has";
    let soon = "Fewer will do at 1970-01-08T00:00:00Z.";
    check(None, 0, Err(Some(24)), "`warm` goes to 5 % until 1970-01-02T00:00:00Z at least; no harm is shown so far (0 got it).");
    check(None, 24, Err(Some(168)), &format!("{stays} 0. {soon}"));
    check(None, 168, Err(None), &format!("{stays} 0."));
    check(few(1), 9_999, Err(None), &format!("{stays} 1."));
    check(few(99), 24, Err(Some(168)), &format!("{stays} 99. {soon}"));
    check(few(99), 168, Ok(25), "`warm` goes to 25 % now: after 168 hours no harm is shown (99 got it).");
    check(few(100), 24, Ok(25), "`warm` goes to 25 % now: after 24 hours no harm is shown (100 got it).");
}

/// Shares that are not those of the weights, and messages that get less far.
#[test]
fn it_waits_where_the_numbers_cannot_be_trusted() {
    let mut store = Store::of(&[first("r1", None, "warm")]);
    store.see("r1", "warm", [(9_000, 450, 90), (1_000, 50, 10)]);
    for hours in [24, 168, 10_000] {
        let [one] = &store.standing(at(hours))[..] else { panic!("one scope") };
        assert_eq!((wait_of(one), one.doubts.len(), one.doubts[0].code.as_str()), (Some(None), 1, "srm"));
        assert!(one.doubts[0].sentence.starts_with("At 5 %: The variants do not have the sizes"), "{one:?}");
        assert_eq!(
            one.sentence,
            format!("`warm` stays at 5 % until somebody finds out what is wrong. {}", one.doubts[0].sentence)
        );
        assert_eq!(store.step(at(hours)), []);
    }
    store.see("r1", "warm", alike(5));
    let arm = store.observed.get_mut(&id("r1")).unwrap().arms.iter_mut().find(|arm| arm.variant == name("warm")).unwrap();
    arm.funnel.accepted = 300;
    let [one] = &store.standing(at(24))[..] else { panic!("one scope") };
    assert_eq!((wait_of(one), one.doubts[0].code.as_str()), (Some(None), crate::decision::FUNNEL_MISMATCH));
    assert!(one.doubts[0].sentence.ends_with("with `warm` than the 100 % that are usual here."), "{one:?}");
}

#[test]
fn markets_go_by_themselves_and_control_has_no_steps() {
    let control = Recommendation { weights: Recommendation::all_to(&name("plain")), ..first("c", Some("FR"), "plain") };
    assert_eq!(control, first("c", Some("FR"), "plain"), "control goes to everybody at once");
    let mut store = Store::of(&[first("a", None, "warm"), first("b", Some("DE"), "cold"), control]);
    store.see("a", "warm", alike(5));
    assert_eq!(store.standing(at(24)).len(), 2);
    let told: Vec<_> = store.step(at(24)).into_iter().map(|made| (made.parent.unwrap(), made.reason)).collect();
    let goes = "`warm` goes to 25 % now: after 24 hours no harm is shown (500 got it).";
    assert_eq!(told, [(id("a"), goes.to_owned())], "nobody followed in DE");
    store.see("b", "cold", alike(5));
    let [made] = &store.step(at(30))[..] else { panic!("DE is due") };
    assert_eq!((made.parent.clone(), made.weights[&name("cold")]), (Some(id("b")), 0.25));
    assert_eq!(made.reason, "In DE `cold` goes to 25 % now: after 30 hours no harm is shown (500 got it).");
    // Alpha is split over the scopes.
    let one = Store { current: vec![first("a", None, "warm")], ..Store { observed: store.observed.clone(), ..Store::default() } };
    let boundary = |store: &Store| store.standing(at(0))[0].checks[0].boundary.unwrap();
    let mut three = one;
    let alone = boundary(&three);
    three.current.extend([first("b", Some("DE"), "cold"), first("c", Some("FR"), "plain")]);
    assert!(boundary(&three) > alone);
}

#[test]
fn only_what_a_readout_deals_between_two_is_rolled_out() {
    let check = |change: fn(&mut Recommendation), expect: usize| {
        let mut made = first("r1", None, "warm");
        change(&mut made);
        assert_eq!(Store::of(&[made]).standing(at(0)).len(), expect);
    };
    check(|_| {}, 1);
    check(|made| made.readout_id = None, 0);
    check(|made| made.valid_until = Some(at(10)), 0);
    check(|made| made.weights = Recommendation::all_to(&name("warm")), 0);
    check(|made| made.weights = Recommendation::all_to(&name("plain")), 0);
    check(|made| made.weights = BTreeMap::from([(name("warm"), 0.5), (name("cold"), 0.5)]), 0);
    check(|made| made.weights = BTreeMap::from([(name("plain"), 0.9), (name("warm"), 0.05), (name("cold"), 0.05)]), 0);
    check(|made| made.weights.extend([(name("cold"), 0.0)]), 1);
    let without = Experiment { rollout: None, ..spec() };
    let store = Store::of(&[first("r1", None, "warm")]);
    assert_eq!((standing(&without, &store.followed(), at(0)), observed_hours(&without)), (vec![], None));
}

/// What another decision dealt out is no part of it, nor is what leads round in a circle.
#[test]
fn a_chain_ends_where_the_rollout_began() {
    let share = |percent| dealt(&name(CONTROL), &name("warm"), percent).1;
    let current = Recommendation { parent: Some(id("r1")), weights: share(25), ..first("r2", None, "warm") };
    let check = |before: Recommendation, expect: usize| {
        let mut store = Store::of(std::slice::from_ref(&current));
        store.history = vec![first("r0", None, "warm"), before];
        assert_eq!(store.standing(at(0))[0].steps.len(), expect);
    };
    check(first("r1", None, "warm"), 2);
    check(first("other", None, "warm"), 1);
    check(first("r1", Some("DE"), "warm"), 1);
    check(first("r1", None, "cold"), 1);
    check(first("r1", None, "plain"), 1);
    check(Recommendation { readout_id: Some("ro-0".into()), ..first("r1", None, "warm") }, 1);
    check(Recommendation { weights: share(50), ..first("r1", None, "warm") }, 1);
    check(Recommendation { parent: Some(id("r2")), ..first("r1", None, "warm") }, 2);
    check(Recommendation { parent: Some(id("r0")), ..first("r1", None, "warm") }, 2);
}

#[test]
fn followers_are_observed_at_an_age_that_half_a_step_has() {
    let check = |hours: u32, window_hours: u32, expect: u32| {
        let rollout = Some(Rollout { steps: vec![100], hours });
        assert_eq!(observed_hours(&Experiment { rollout, window_hours, ..spec() }), Some(expect));
    };
    check(24, 168, 12);
    check(1, 168, 1);
    check(2, 168, 1);
    check(23, 168, 8);
    check(72, 168, 24);
    check(720, 168, 168);
    check(720, 100, 96);
    check(48, 1, 1);
}

/// Whatever is observed: weights sum to one, shares rise or fall to nothing, parents are what was current, nothing is due twice,
/// and all of it can be written down.
#[test]
fn steps_are_sound_whatever_is_observed() {
    let mut draws = Draws::seeded(77);
    let mut made_of_each = [0, 0];
    for _ in 0..300 {
        let mut store = Store::of(&[first("a", None, "warm"), first("b", Some("DE"), "cold"), first("c", Some("FR"), "plain")]);
        let mut now = 0;
        for _ in 0..12 {
            now += draws.below(60) as u32;
            for current in store.current.clone() {
                let variant = if current.scope.market.is_some() { "cold" } else { "warm" };
                let many = draws.below(400);
                let share = current.weights.get(&name(variant)).copied().unwrap_or(0.0);
                let of = |share: f64, draws: &mut Draws| {
                    let count = (share * (20 * many) as f64) as u64;
                    (count, draws.below(count + 1), draws.below(count / 50 + 1))
                };
                let counts = [of(1.0 - share, &mut draws), of(share, &mut draws)];
                store.observed.insert(current.id, seen(variant, counts));
            }
            let text = serde_json::to_string(&store.standing(at(now))).unwrap();
            let read: Vec<ScopeStanding> = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), text, "no number is lost");
            let before = store.current.clone();
            let made = store.step(at(now));
            for next in &made {
                let parent = before.iter().find(|current| Some(&current.id) == next.parent.as_ref()).unwrap();
                let share = |made: &Recommendation| 1.0 - made.weights.get(&name(CONTROL)).copied().unwrap_or(0.0);
                assert!((next.weights.values().sum::<f64>() - 1.0).abs() < WEIGHTS_TOLERANCE);
                assert!(share(next) > share(parent) || share(next) == 0.0, "{next:?} after {parent:?}");
                let heaviest = next.weights.values().copied().fold(0.0, f64::max);
                assert_eq!(next.weights[&next.variant], heaviest);
                assert_eq!((&next.scope, next.created_at), (&parent.scope, at(now)));
                made_of_each[usize::from(share(next) > 0.0)] += 1;
            }
            assert_eq!(store.step(at(now)), [], "nothing is due twice");
        }
    }
    assert!(made_of_each.iter().all(|made| *made > 20), "{made_of_each:?}");
}
