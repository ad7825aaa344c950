//! Bandits over seasons with a known truth: they earn, they end, they say no more than they know, and they leave people's decisions alone.

use std::collections::BTreeMap;

use proptest::prelude::*;
use stats::Moments;
use stats::numeric::Draws;

use super::*;
use crate::observe::{ArmObservations, Funnel, Observations};
use crate::readout::hillstrom;
use crate::testing::happened;

const SPEC: &str = "\
experiment: season
factors: [copy]
variants: [{name: plain}, {name: warm}, {name: loud}]
primary: bought
metrics:
  - {name: bought, outcome: order, measure: occurred}
  - {name: left, outcome: unsubscribe, measure: occurred, lower_is_better: true}
guardrails: [{metric: left, margin: 0.25}]
window_hours: 24
";

const VARIANTS: [&str; 3] = ["plain", "warm", "loud"];

fn spec(bandit: &str) -> Experiment {
    crate::parse(&format!("{SPEC}bandit: {{{bandit}}}\n")).unwrap()
}

fn name(text: &str) -> VariantName {
    VariantName::new(text).unwrap()
}

fn at(hours: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + hours * 3_600).unwrap()
}

/// People, buyers and leavers of each variant.
type Counts = [(u64, u64, u64); 3];

fn observed(counts: Counts) -> Observations {
    let arm = |(variant, (count, bought, left)): (&str, (u64, u64, u64))| ArmObservations {
        variant: name(variant),
        assigned: count,
        mature: count,
        metrics: [("bought", bought), ("left", left)]
            .map(|(metric, successes)| (metric.to_owned(), Moments::from_successes(count, successes)))
            .into(),
        ratios: BTreeMap::new(),
        before: None,
        adjusted: None,
        bounced: 0,
        funnel: Funnel { assigned: count, sent: count, accepted: count, ordered: bought, ..Funnel::default() },
    };
    Observations { arms: VARIANTS.into_iter().zip(counts).map(arm).collect(), ..hillstrom::observations() }
}

fn audit(markets: &[(&str, Counts)]) -> ByMarket {
    let all = markets.iter().fold([(0, 0, 0); 3], |sum: Counts, (_, counts)| {
        std::array::from_fn(|arm| {
            let ((a, b, c), (x, y, z)) = (sum[arm], counts[arm]);
            (a + x, b + y, c + z)
        })
    });
    let markets = markets.iter().map(|(market, counts)| ((*market).to_owned(), observed(*counts))).collect();
    ByMarket { overall: observed(all), markets }
}

/// What is kept between looks.
struct Store {
    experiment: Experiment,
    current: Vec<Recommendation>,
    history: Vec<Recommendation>,
    counts: BTreeMap<RecommendationId, Counts>,
    audit: ByMarket,
}

impl Store {
    fn new(bandit: &str, audit: ByMarket) -> Self {
        Self { experiment: spec(bandit), current: Vec::new(), history: Vec::new(), counts: BTreeMap::new(), audit }
    }

    fn seen(&self) -> BTreeMap<RecommendationId, Observations> {
        self.counts.iter().map(|(id, counts)| (id.clone(), observed(*counts))).collect()
    }

    fn standing(&self, now: Timestamp) -> BanditStanding {
        let seen = self.seen();
        let followed = Followed { current: &self.current, history: &self.history, observed: &seen };
        standing(&self.experiment, &Learnt { followed, audit: &self.audit }, now).unwrap()
    }

    /// Takes what is due.
    fn step(&mut self, now: Timestamp) -> Vec<Recommendation> {
        let seen = self.seen();
        let followed = Followed { current: &self.current, history: &self.history, observed: &seen };
        let mut number = self.history.len();
        let fresh = || {
            number += 1;
            RecommendationId::new(&format!("r{number}")).unwrap()
        };
        let made = next_wave(&self.experiment, &Learnt { followed, audit: &self.audit }, fresh, now);
        for made in &made {
            let replaced = self.current.iter().position(|current| current.scope == made.scope);
            assert_eq!(replaced.map(|at| self.current[at].id.clone()), made.parent, "it names what it replaces");
            if let Some(at) = replaced {
                self.current.remove(at);
            }
            self.current.push(made.clone());
            self.history.push(made.clone());
        }
        made
    }

    fn of_market(&self, market: Option<&str>) -> &Recommendation {
        let own = self.current.iter().find(|made| made.scope.market.as_deref() == market);
        own.or_else(|| self.current.iter().find(|made| made.scope.is_everybody())).unwrap()
    }
}

/// What people buy and leave by variant, in each market.
type Truth = [(&'static str, [f64; 3]); 2];

const LEAVES: f64 = 0.004;

/// A season: how many waves it took to end, what share bought, and the store as it stands.
fn season(seed: u64, truth: &Truth, leaves: [f64; 3], waves: i64, per_wave: u64) -> (Option<i64>, f64, Store) {
    let mut draws = Draws::seeded(seed);
    let counts = |draws: &mut Draws, chances: &[f64; 3], numbers: [u64; 3]| {
        std::array::from_fn(|arm| {
            (numbers[arm], happened(draws, numbers[arm], chances[arm]), happened(draws, numbers[arm], leaves[arm]))
        })
    };
    let groups = truth.map(|(market, chances)| (market, counts(&mut draws, &chances, [300; 3])));
    let mut store = Store::new("", audit(&groups));
    let (mut ended, mut bought, mut people) = (None, 0, 0);
    for wave in 0..waves {
        let made = store.step(at(25 * wave));
        if ended.is_none() && made.iter().any(|made| made.scope.is_everybody() && made.is_decided()) {
            ended = Some(wave);
        }
        for (market, chances) in truth {
            let made = store.of_market(Some(market)).clone();
            let share = |arm: usize| made.weights.get(&name(VARIANTS[arm])).copied().unwrap_or_default();
            let numbers = std::array::from_fn(|arm| (per_wave as f64 * share(arm)).round() as u64);
            let fresh: Counts = counts(&mut draws, chances, numbers);
            bought += fresh.iter().map(|(_, bought, _)| bought).sum::<u64>();
            people += numbers.iter().sum::<u64>();
            let own = store.counts.entry(made.id.clone()).or_insert([(0, 0, 0); 3]);
            for (own, (count, bought, left)) in own.iter_mut().zip(fresh) {
                *own = (own.0 + count, own.1 + bought, own.2 + left);
            }
        }
    }
    (ended, bought as f64 / people as f64, store)
}

#[test]
fn it_begins_alike_waits_and_follows_the_chances() {
    let mut store = Store::new("floor: 0.1", audit(&[]));
    assert_eq!(store.standing(at(0)).next, BanditStep::Begin);
    let made = store.step(at(0));
    let [first] = &made[..] else { panic!("one for everybody, not {made:?}") };
    assert_eq!(
        first.weights,
        [("plain", 0.3333), ("warm", 0.3333), ("loud", 0.3334)].map(|(of, share)| (name(of), share)).into()
    );
    assert_eq!(store.step(at(1)), [], "nobody counts yet");
    assert!(store.standing(at(1)).sentence.contains("after 24 hours"), "{}", store.standing(at(1)).sentence);
    store.counts.insert(first.id.clone(), [(1_000, 50, 4), (1_000, 66, 4), (1_000, 50, 4)]);
    assert_eq!(store.standing(at(23)).next, BanditStep::Wait { until: Some(at(24)) });
    assert_eq!(store.step(at(23)), [], "a wave lasts its hours");
    let made = store.step(at(24));
    let [second] = &made[..] else { panic!("one for everybody, not {made:?}") };
    let share = |of: &str| second.weights[&name(of)];
    assert!(share("warm") > 0.5 && share("plain") >= 0.1 && share("loud") >= 0.1, "{second:?}");
    assert!((second.weights.values().sum::<f64>() - 1.0).abs() < 1e-12);
    assert_eq!(second.variant, name("warm"));
    assert!(second.reason.starts_with("`warm` is the best on bought with a chance of "), "{}", second.reason);
    assert!(second.reason.contains("after 3,000 followers who count"), "{}", second.reason);
    assert_eq!(store.step(at(24)), [], "none is due twice");
}

#[test]
fn top_two_gives_the_challenger_half() {
    let mut shares = Vec::new();
    for rule in ["thompson", "top_two"] {
        let mut store = Store::new(&format!("rule: {rule}"), audit(&[]));
        let first = store.step(at(0))[0].id.clone();
        store.counts.insert(first, [(1_000, 50, 4), (1_000, 66, 4), (1_000, 54, 4)]);
        shares.push(store.step(at(24))[0].weights[&name("warm")]);
    }
    assert!(shares[0] > 0.6 && (0.4..0.55).contains(&shares[1]), "{shares:?}");
}

#[test]
fn what_a_person_decided_stays() {
    let counts: Counts = [(2_000, 100, 8), (2_000, 160, 8), (2_000, 100, 8)];
    let mut store = Store::new("", audit(&[("DE", counts), ("FR", counts)]));
    store.step(at(0));
    store.step(at(24));
    let mut by_hand = store.of_market(Some("FR")).clone();
    by_hand.scope.market = Some("FR".to_owned());
    by_hand.weights = Recommendation::all_to(&name("loud"));
    store.current.retain(|made| made.scope.market.as_deref() != Some("FR"));
    store.current.push(by_hand.clone());
    let made = store.step(at(72));
    assert!(made.iter().all(|made| made.scope != by_hand.scope), "{made:?}");
    for made in &mut store.current {
        made.weights = Recommendation::all_to(&name("plain"));
    }
    assert_eq!((store.step(at(200)), store.standing(at(200)).next), (vec![], BanditStep::Done));
    assert!(is_over(&store.current));
}

#[test]
fn a_variant_that_does_harm_is_stopped_at_once() {
    let mut store = Store::new("", audit(&[]));
    let first = store.step(at(0))[0].id.clone();
    store.counts.insert(first, [(5_000, 250, 20), (5_000, 260, 120), (5_000, 250, 20)]);
    let standing = store.standing(at(2));
    assert_eq!((standing.stopped.as_slice(), &standing.next), ([name("warm")].as_slice(), &BanditStep::Wave));
    assert!(standing.sentence.ends_with("Shown to do harm: `warm`."), "{}", standing.sentence);
    let made = store.step(at(2));
    assert!(!made[0].weights.contains_key(&name("warm")), "{made:?}");
    assert_eq!(store.step(at(2)), [], "once");
    store.counts.insert(made[0].id.clone(), [(5_000, 250, 20), (0, 0, 0), (5_000, 250, 120)]);
    let last = store.step(at(4));
    assert_eq!(
        (last.len(), last[0].variant.clone(), last[0].is_decided()),
        (1, name("plain"), true),
        "nothing is left but control"
    );
}

const BETTER: Truth = [("DE", [0.05, 0.07, 0.05]), ("FR", [0.05, 0.05, 0.07])];

/// Each market's best variant is another one: what people buy comes near what the best would bring, far beyond what even shares do, and
/// the bandit ends with the right ones.
#[test]
fn each_market_gets_its_best_and_the_season_earns_nearly_all() {
    let (mut ends, mut right, mut earned) = (0, 0, 0.0);
    let runs = 20;
    for seed in 0..runs {
        let (ended, bought, store) = season(seed, &BETTER, [LEAVES; 3], 14, 3_000);
        ends += u64::from(ended.is_some());
        let best = |market, variant: &str| u64::from(store.of_market(Some(market)).variant == name(variant));
        right += best("DE", "warm") + best("FR", "loud");
        earned += bought / runs as f64;
    }
    let even = (0.05 + 0.07 + 0.05) / 3.0;
    assert!((earned - even) / (0.07 - even) > 0.75, "{earned} of 0.07, {even} with even shares");
    assert!(right >= 2 * runs - 1 && ends >= runs / 2, "{right} right, {ends} ended");
}

/// Where all variants are alike, luck stops hardly any of them, and the intervals of followers hold whatever the shares did.
#[test]
fn luck_is_no_harm_and_effects_hold_their_promise() {
    const ALIKE: Truth = [("DE", [0.05; 3]), ("FR", [0.05; 3])];
    let (mut stopped, mut held, mut told) = (0, 0, 0);
    let runs = 30;
    for seed in 100..100 + runs {
        let (_, _, store) = season(seed, &ALIKE, [LEAVES; 3], 8, 1_500);
        let standing = store.standing(at(1_000));
        stopped += u64::from(!standing.stopped.is_empty());
        told += standing.effects.len();
        held += standing.effects.iter().filter(|effect| effect.interval.contains(0.0)).count();
    }
    assert!(stopped <= 4, "{stopped} of {runs} seasons stopped a variant that does nothing");
    assert!(told >= 55 && held as f64 >= 0.9 * told as f64, "{held} of {told} intervals hold");
}

#[test]
fn trebled_unsubscribes_are_stopped_in_most_seasons() {
    let stopped = (0..8).filter(|seed| {
        let (_, _, store) = season(*seed, &BETTER, [LEAVES, 3.0 * LEAVES, LEAVES], 6, 5_000);
        store.standing(at(1_000)).stopped.contains(&name("warm"))
    });
    assert!(stopped.count() >= 7);
}

#[test]
fn an_experiment_without_one_has_none() {
    let experiment = crate::parse(SPEC).unwrap();
    let (audit, seen) = (audit(&[]), BTreeMap::new());
    let followed = Followed { current: &[], history: &[], observed: &seen };
    assert_eq!(standing(&experiment, &Learnt { followed, audit: &audit }, at(0)), None);
}

proptest! {
    // Each case asks for several forecasts, of some hundredths of a second.
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever was counted, shares are shares and numbers are numbers.
    #[test]
    fn any_numbers_give_shares(counts in prop::collection::vec((0..5_000_u64, 0.0..1.0_f64, 0.0..1.0_f64), 9), hours in 0..200_i64) {
        let of = |from: usize| -> Counts {
            std::array::from_fn(|arm| {
                let (count, bought, left) = counts[from + arm];
                (count, (count as f64 * bought) as u64, (count as f64 * left) as u64)
            })
        };
        let mut store = Store::new("", audit(&[("DE", of(0))]));
        let first = store.step(at(0))[0].id.clone();
        store.counts.insert(first, of(3));
        let made = store.step(at(hours));
        for made in &made {
            store.counts.insert(made.id.clone(), of(6));
        }
        for made in made.iter().chain(&store.step(at(2 * hours + 24))) {
            prop_assert!((made.weights.values().sum::<f64>() - 1.0).abs() < 1e-9, "{:?}", made);
            prop_assert!(made.weights.values().all(|share| (0.0..=1.0).contains(share)));
        }
        let standing = store.standing(at(hours));
        let text = serde_json::to_string(&standing).unwrap();
        prop_assert_eq!(serde_json::from_str::<BanditStanding>(&text).unwrap(), standing);
    }
}
