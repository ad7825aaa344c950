//! What follows from a look: of Hillstrom's experiment what an expert would do, and of everything that can go wrong nothing rash.

use proptest::prelude::*;
use stats::Moments;

use super::*;
use crate::observe::{ArmObservations, Funnel};
use crate::readout::hillstrom;

const SPEC: &str = "\
experiment: autumn
factors: [copy]
variants: [{name: A}, {name: B}, {name: C}]
primary: orders
metrics:
  - {name: orders, outcome: order, measure: occurred}
  - {name: complaints, outcome: complaint, measure: occurred, lower_is_better: true}
guardrails: [{metric: complaints, margin: 0.25}]
";

fn spec() -> Experiment {
    crate::parse(SPEC).unwrap()
}

/// Recipients of one arm: mature, orders, complaints.
fn observed(arms: [(u64, u64, u64); 3]) -> Observations {
    let arm = |(name, (count, orders, complaints)): (&str, (u64, u64, u64))| ArmObservations {
        variant: VariantName::new(name).unwrap(),
        assigned: count,
        mature: count,
        metrics: [("orders", orders), ("complaints", complaints)]
            .map(|(name, successes)| (name.to_owned(), Moments::from_successes(count, successes)))
            .into(),
        ratios: BTreeMap::new(),
        before: None,
        adjusted: None,
        bounced: 0,
        funnel: Funnel { assigned: count, sent: count, accepted: count, ordered: orders, ..Funnel::default() },
    };
    Observations { arms: ["A", "B", "C"].into_iter().zip(arms).map(arm).collect(), ..hillstrom::observations() }
}

fn at(arms: [(u64, u64, u64); 3], planned_units: Option<u64>) -> Decision {
    let (overall, markets) = (observed(arms), BTreeMap::new());
    let look = Look::of(&overall, &markets, planned_units);
    decide(&spec(), &look)
}

fn codes(decision: &Decision) -> Vec<ReasonCode> {
    decision.reasons.iter().map(|reason| reason.code).collect()
}

/// Who is held out is compared with, and never what is sent.
#[test]
fn sending_nothing_is_no_choice() {
    let held_out = SPEC.replace("{name: C}", "{name: C, holdout: true}");
    let alone = held_out.replace("{name: B}, ", "");
    let check = |spec: &str, arms: [(u64, u64, u64); 3], planned: u64| {
        let mut overall = observed(arms);
        overall.arms[2].funnel = Funnel { assigned: arms[2].0, ordered: arms[2].1, ..Funnel::default() };
        let experiment = crate::parse(spec).unwrap();
        overall.arms.retain(|arm| experiment.variant(&arm.variant).is_some());
        let markets = BTreeMap::new();
        let look = Look::of(&overall, &markets, Some(planned));
        (decide(&experiment, &look), crate::readout(&experiment, &overall, "r"))
    };
    let (decision, readout) = check(&held_out, [(10_000, 500, 5), (10_000, 800, 5), (10_000, 2_000, 5)], 30_000);
    assert_eq!((decision.action, decision.variant.as_str()), (Action::Ship, "B"));
    assert_eq!((decision.arms.len(), decision.information.tests.len(), decision.doubts.len()), (2, 1, 0), "{decision:?}");
    let against: Vec<&crate::readout::Estimate> = readout.estimates.iter().filter(|one| one.baseline.as_str() == "C").collect();
    assert_eq!(against.len(), 4, "each of two variants on each of two metrics");
    assert!(against[0].significant && against[0].better == Some(false), "sending costs orders: {:?}", against[0]);

    let (under_way, _) = check(&alone, [(10_000, 500, 5), (0, 0, 0), (10_000, 300, 5)], 40_000);
    assert_eq!((under_way.action, under_way.variant.as_str()), (Action::KeepTesting, "A"));
    let (ended, _) = check(&alone, [(10_000, 500, 5), (0, 0, 0), (10_000, 300, 5)], 20_000);
    assert_eq!((ended.action, ended.variant.as_str(), ended.stopped.len()), (Action::Ship, "A", 0));
}

/// What happened on one day is doubted for that day.
#[test]
fn a_day_on_which_messages_were_lost_is_named() {
    let usual = observed([(10_000, 500, 5); 3]);
    let mut bad = usual.clone();
    bad.arms[1].funnel.accepted = 8_000;
    let mut overall = observed([(20_000, 1_000, 10); 3]);
    overall.arms[1].funnel.accepted = 18_000;
    bad.arms[2].bounced = 3_000;
    overall.arms[2].bounced = 3_000;
    let mut few = usual.clone();
    few.arms[2].assigned = 5_000;
    let days = BTreeMap::from([("2026-11-10".to_owned(), usual), ("2026-11-11".to_owned(), bad), ("2026-11-12".to_owned(), few)]);
    let markets = BTreeMap::new();
    let look = Look { days: Some(&days), ..Look::of(&overall, &markets, Some(120_000)) };
    let decision = decide(&spec(), &look);
    let told: Vec<&str> = decision.doubts.iter().map(|doubt| doubt.sentence.as_str()).collect();
    assert!(
        told.contains(&"On 2026-11-11 fewer messages were accepted by the provider with `B` than on other days."),
        "{told:?}"
    );
    assert!(told.contains(&"On 2026-11-11 fewer accepted messages did not come back with `C` than on other days."), "{told:?}");
    assert!(told.contains(&"Fewer accepted messages did not come back with `C` than the 100 % that are usual here."), "{told:?}");
    let sizes = "Of those who began on 2026-11-12 the variants do not have the sizes their weights ask for.";
    assert!(told.contains(&sizes) && !told.iter().any(|told| told.contains("2026-11-10")), "{told:?}");
    assert!(
        codes(&decision).contains(&ReasonCode::FunnelMismatch) && codes(&decision).contains(&ReasonCode::SampleRatioMismatch)
    );
}

#[test]
fn hillstrom_is_shipped_early_and_at_the_end() {
    let (experiment, overall, markets) = (hillstrom::spec(), hillstrom::observations(), BTreeMap::new());
    let mut look = Look { earlier_fractions: &[0.5], ..Look::of(&overall, &markets, Some(64_000)) };
    for planned in [Some(64_000), Some(128_000), None] {
        look.planned_units = planned;
        let decision = decide(&experiment, &look);
        assert_eq!(
            (decision.action, decision.variant.as_str(), decision.shown),
            (Action::Ship, "Mens E-Mail", true),
            "{decision:?}"
        );
        let best = decision.best.as_ref().unwrap();
        assert!((best.raw_lift.unwrap() - 0.7214).abs() < 1e-3, "{best:?}");
        assert!(
            best.lift.unwrap() < best.raw_lift.unwrap() && best.lift.unwrap() > 0.7 && best.probability_best > 0.999,
            "{best:?}"
        );
        assert_eq!(decision.information.is_last, planned == Some(64_000));
        // Each look says how strong its evidence is, whenever somebody looks: a winner far over 20 to 1.
        let winner = &decision.information.tests[0];
        assert!(winner.variant == decision.variant && winner.log_e_value.unwrap() > 20.0_f64.ln(), "{winner:?}");
    }
}

/// Lan & DeMets at half of the information, with half of alpha for the more extreme of two variants.
#[test]
fn boundaries_are_those_of_the_spending_function() {
    let decision = at([(10_000, 500, 10), (10_000, 505, 10), (10_000, 495, 10)], Some(60_000));
    let boundaries: Vec<f64> = decision.information.tests.iter().map(|test| test.boundary.unwrap()).collect();
    // 0.0125 in each of two tails spends 2 (1 − Φ(z(0.0125/2) / √½)) = 4.12e-4 there.
    assert!(boundaries.iter().all(|boundary| (boundary - 3.3447).abs() < 0.02), "{boundaries:?}");
    assert_eq!((decision.action, decision.variant.as_str()), (Action::KeepTesting, "A"));
    assert!(codes(&decision).contains(&ReasonCode::NotShown) && codes(&decision).contains(&ReasonCode::Immature), "{decision:?}");
}

#[test]
fn at_the_end_the_best_bet_is_sent_and_said_to_be_one() {
    let decision = at([(20_000, 1_000, 20), (20_000, 1_050, 20), (20_000, 990, 20)], Some(60_000));
    assert_eq!((decision.action, decision.variant.as_str(), decision.shown), (Action::Ship, "B", false));
    assert_eq!(codes(&decision), [ReasonCode::ExpectedValue, ReasonCode::NotShown, ReasonCode::GuardrailUnproven]);
    assert!(decision.sentence.contains("not shown"), "{}", decision.sentence);
    let best = decision.best.unwrap();
    assert!(best.lift.unwrap() > 0.0 && best.lift.unwrap() < best.raw_lift.unwrap(), "{best:?}");
    let early = at([(20_000, 1_000, 20), (20_000, 1_050, 20), (20_000, 990, 20)], Some(60_001));
    assert_eq!((early.action, early.variant.as_str()), (Action::KeepTesting, "A"), "one recipient is still to come");
    let flow = at([(20_000, 1_000, 20), (20_000, 1_050, 20), (20_000, 990, 20)], None);
    assert_eq!((flow.action, flow.information.method), (Action::KeepTesting, BoundaryMethod::AlwaysValid));
}

#[test]
fn harm_stops_a_variant_and_all_harm_the_test() {
    let decision = at([(20_000, 1_000, 20), (20_000, 700, 20), (20_000, 1_010, 20)], Some(100_000));
    assert_eq!((decision.action, decision.stopped.len()), (Action::KeepTesting, 1));
    assert!(codes(&decision).contains(&ReasonCode::Harm) && decision.sentence.contains("Stop `B`"), "{}", decision.sentence);
    assert!(decision.arms.iter().all(|arm| arm.variant.as_str() != "B"));

    let decision = at([(20_000, 1_000, 20), (20_000, 1_300, 90), (20_000, 1_010, 20)], Some(60_000));
    assert!(codes(&decision).contains(&ReasonCode::GuardrailBroken), "{decision:?}");
    assert_ne!(decision.variant.as_str(), "B", "it brings more orders, but complaints as well");

    let decision = at([(20_000, 1_000, 20), (20_000, 700, 20), (20_000, 1_010, 90)], Some(60_000));
    assert_eq!((decision.action, decision.variant.as_str()), (Action::StopForHarm, "A"));
}

#[test]
fn nothing_is_decided_without_numbers_or_with_wrong_sizes() {
    let nobody = at([(0, 0, 0); 3], Some(60_000));
    assert_eq!((nobody.action, codes(&nobody)), (Action::CannotJudge, vec![ReasonCode::NoData]));
    let quiet = at([(20_000, 0, 0); 3], Some(60_000));
    assert_eq!((quiet.action, quiet.variant.as_str()), (Action::CannotJudge, "A"));
    let decision = at([(20_000, 1_000, 20), (20_000, 2_000, 20), (18_000, 900, 20)], Some(58_000));
    assert_eq!((decision.action, codes(&decision)), (Action::CannotJudge, vec![ReasonCode::SampleRatioMismatch]));
    assert_eq!((decision.doubts[0].code.as_str(), decision.best), ("srm", None));
    let gross = at([(400, 40, 0), (400, 40, 0), (200, 20, 0)], None);
    assert_eq!(gross.action, Action::CannotJudge, "a gross mismatch is seen among few");
}

#[test]
fn where_less_is_better_the_least_is_sent() {
    let text =
        SPEC.replace("primary: orders", "primary: complaints").replace("guardrails: [{metric: complaints, margin: 0.25}]", "");
    let (experiment, overall, markets) =
        (crate::parse(&text).unwrap(), observed([(20_000, 0, 400), (20_000, 0, 200), (20_000, 0, 500)]), BTreeMap::new());
    let look = Look::of(&overall, &markets, Some(60_000));
    let decision = decide(&experiment, &look);
    assert_eq!((decision.action, decision.variant.as_str(), decision.shown), (Action::Ship, "B", true));
    let best = decision.best.unwrap();
    assert!(best.gain > 0.0 && best.lift.unwrap() < -0.4 && best.raw_lift.unwrap() == -0.5, "{best:?}");
    assert!(best.lift_interval.contains(best.lift.unwrap()), "{best:?}");
    assert_eq!(decision.stopped.len(), 1, "C is shown to be worse");
}

/// Markets of their own, one whose groups have the wrong sizes, and recipients of no market.
#[test]
fn each_market_gets_its_own_and_an_unsound_one_what_the_others_say() {
    let (north, south) =
        ([(10_000, 500, 5), (10_000, 800, 5), (10_000, 480, 5)], [(10_000, 500, 5), (10_000, 400, 5), (10_000, 800, 5)]);
    let unsound = [(10_000, 500, 5), (8_000, 100, 5), (10_000, 500, 5)];
    let all: [(u64, u64, u64); 3] = std::array::from_fn(|arm| {
        let of = [north[arm], north[arm], south[arm], (2_000, 100, 1)];
        of.iter().fold((0, 0, 0), |sum, arm| (sum.0 + arm.0, sum.1 + arm.1, sum.2 + arm.2))
    });
    let markets = BTreeMap::from(
        [("north", north), ("west", north), ("south", south), ("void", unsound)]
            .map(|(name, arms)| (name.to_owned(), observed(arms))),
    );
    let overall = observed(all);
    let look = Look::of(&overall, &markets, Some(96_000));
    let decision = decide(&spec(), &look);
    let sent: Vec<(&str, &str)> =
        decision.markets.iter().map(|market| (market.market.as_str(), market.variant.as_str())).collect();
    assert_eq!(sent[..2], [("north", "B"), ("south", "C")], "{decision:?}");
    assert!(sent[2].1 != "A" && decision.markets[2].best.as_ref().unwrap().pooled == 1.0, "{:?}", decision.markets[2]);
    assert!(decision.doubts.iter().any(|doubt| doubt.code == SRM_BY_MARKET && doubt.sentence.contains("void")));
    assert!(decision.best.unwrap().pooled < 0.5);
}

#[test]
fn messages_lost_lately_are_doubted_before_their_recipients_count() {
    let (overall, markets) = (observed([(2_000, 100, 5); 3]), BTreeMap::new());
    let mut arrived = observed([(10_000, 0, 0); 3]);
    let mut look = Look::of(&overall, &markets, Some(30_000));
    let codes = |look: &Look<'_>| decide(&spec(), look).doubts.into_iter().map(|doubt| doubt.code).collect::<Vec<_>>();
    assert_eq!(codes(&look), Vec::<String>::new());
    arrived.arms[1].funnel.accepted = 8_500;
    let arrivals = ByMarket { overall: arrived, markets: BTreeMap::new() };
    look.arrivals = Some(&arrivals);
    assert_eq!(codes(&look), [FUNNEL_MISMATCH]);
}

#[test]
fn lost_messages_are_doubted_and_differing_channels_are_not() {
    let lose = |observations: &mut Observations, arm: usize, share: f64| {
        let funnel = &mut observations.arms[arm].funnel;
        funnel.accepted = (funnel.sent as f64 * share) as u64;
    };
    let arms = [(10_000, 500, 5); 3];
    let mut markets = BTreeMap::from([("north", arms), ("south", arms)].map(|(name, arms)| (name.to_owned(), observed(arms))));
    let mut overall = observed([(20_000, 1_000, 10); 3]);
    let doubts = |overall: &Observations, markets: &BTreeMap<String, Observations>| {
        funnel(&spec(), overall, markets).into_iter().map(|doubt| doubt.code).collect::<Vec<_>>()
    };
    lose(&mut overall, 2, 0.97);
    assert_eq!(doubts(&overall, &markets), Vec::<String>::new(), "a channel takes 97 %");
    for market in markets.values_mut() {
        lose(market, 2, 0.97);
    }
    lose(markets.get_mut("south").unwrap(), 2, 0.85);
    lose(&mut overall, 2, 0.91);
    assert_eq!(doubts(&overall, &markets), [FUNNEL_MISMATCH, FUNNEL_MISMATCH], "overall and in the south");
    for observations in markets.values_mut().chain([&mut overall]) {
        observations.arms.iter_mut().for_each(|arm| arm.funnel = Funnel { assigned: arm.funnel.assigned, ..Funnel::default() });
    }
    assert_eq!(doubts(&overall, &markets), Vec::<String>::new(), "nobody tells what was sent");
}

#[test]
fn with_the_setting_a_shown_variant_waits_until_it_is_settled_which_is_best() {
    let overall = observed([(20_000, 1_000, 20), (20_000, 1_300, 20), (20_000, 1_290, 20)]);
    let markets = BTreeMap::new();
    let mut look = Look::of(&overall, &markets, Some(120_000));
    assert_eq!(decide(&spec(), &look).action, Action::Ship);
    look.settings.waits_until_settled = true;
    let decision = decide(&spec(), &look);
    assert!(decision.remaining_value.unwrap() > REMAINING_VALUE_MIN, "{:?}", decision.remaining_value);
    assert_eq!((decision.action, codes(&decision)[0]), (Action::KeepTesting, ReasonCode::Superior));
}

#[test]
fn the_same_look_gives_the_same_bytes_and_can_be_read_back() {
    let decision = at([(20_000, 1_000, 20), (20_000, 1_050, 20), (20_000, 990, 20)], Some(60_000));
    let bytes = serde_json::to_string(&decision).unwrap();
    assert_eq!(
        bytes,
        serde_json::to_string(&at([(20_000, 1_000, 20), (20_000, 1_050, 20), (20_000, 990, 20)], Some(60_000))).unwrap()
    );
    assert!(bytes.starts_with("{\"action\":\"ship\",\"sentence\":\"Send `B`"), "{bytes}");
    assert!(bytes.contains("\"code\":\"expected_value\"") && bytes.contains("\"method\":\"group_sequential\""), "{bytes}");
    let again: Decision = serde_json::from_str(&bytes).unwrap();
    assert_eq!(again.information.tests, decision.information.tests);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever was counted, there is a decision without NaN: JSON would show it as null where a number must be.
    #[test]
    fn no_look_gives_nan(counts in prop::collection::vec((0_u64..50_000, 0.0..1.0_f64, 0.0..0.1_f64), 3), planned in prop::option::of(0_u64..200_000), earlier in prop::collection::vec(any::<f64>(), 0..4)) {
        let arms = std::array::from_fn(|i| { let (n, p, q) = counts[i]; (n, (n as f64 * p * p * p) as u64, (n as f64 * q) as u64) });
        let (overall, markets) = (observed(arms), BTreeMap::from([("north".to_owned(), observed(arms))]));
        let look = Look { earlier_fractions: &earlier, ..Look::of(&overall, &markets, planned) };
        let decision = decide(&spec(), &look);
        let again: Result<Decision, _> = serde_json::from_str(&serde_json::to_string(&decision).unwrap());
        prop_assert!(again.is_ok(), "{:?}", decision);
        prop_assert!(!decision.sentence.is_empty() && !decision.reasons.is_empty());
        prop_assert!(decision.action == Action::Ship || decision.variant.as_str() == "A");
    }
}
