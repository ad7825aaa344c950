//! From a decision to what the senders should use.

use vocabulary::{Expected, Experiment, Recommendation, RecommendationId, RecommendationScope, Timestamp, VariantName};

use crate::decision::{Action, Forecast, MarketDecision};
use crate::judge::Judged;
use crate::rollout::{dealt, first_percent, is_under_way};
use crate::words::signed_percent;

/// What the senders should use after a look: for everybody, and for each market where that is another variant. Empty where nothing is
/// decided or nothing would change: a variant that is current in its scope already, for all it speaks for and as long as it may be, stays.
///
/// A market that gets what everybody gets has no recommendation of its own, but where it has had one.
///
/// Where the experiment has a rollout, a variant begins with its first step, whatever was sent in its scope before, and one that
/// is under way already goes on as it does. Control, as where harm is shown, goes to everybody at once.
///
/// Where it has a bandit, nothing is recommended but control where every other variant does harm: [`crate::bandit`] does the rest.
pub fn recommend(
    experiment: &Experiment,
    judged: &Judged,
    current: &[Recommendation],
    mut fresh: impl FnMut() -> RecommendationId,
    now: Timestamp,
) -> Vec<Recommendation> {
    let Judged { readout, decision, .. } = judged;
    // A bandit moves the shares of those who follow by itself, but for harm.
    let is_followed = decision.action == Action::StopForHarm || (decision.action == Action::Ship && experiment.bandit.is_none());
    if !is_followed {
        return Vec::new();
    }
    let in_scope = |scope: &RecommendationScope| current.iter().find(|current| &current.scope == scope);
    let everybody = (RecommendationScope::default(), &decision.variant, decision.sentence.clone(), decision.best.as_ref());
    let markets = decision.markets.iter().map(|market| {
        let scope = RecommendationScope { market: Some(market.market.clone()), ..RecommendationScope::default() };
        (scope, &market.variant, market_sentence(market, &readout.control), market.best.as_ref())
    });
    let own = markets.filter(|(scope, variant, ..)| **variant != decision.variant || in_scope(scope).is_some());
    let changes = |scope: &RecommendationScope, variant: &VariantName| {
        !in_scope(scope).is_some_and(|made| {
            is_under_way(experiment, made, variant, &readout.id)
                || (&made.variant == variant && made.is_decided() && made.valid_until.is_none())
        })
    };
    std::iter::once(everybody)
        .chain(own)
        .filter(|(scope, variant, ..)| changes(scope, variant))
        .map(|(scope, decided, reason, best)| {
            let percent = first_percent(experiment, decided);
            let (variant, weights) = dealt(&readout.control, decided, percent);
            let is_whole = weights.len() == 1;
            Recommendation {
                id: fresh(),
                experiment_id: readout.experiment_id.clone(),
                variant,
                weights,
                parent: in_scope(&scope).map(|current| current.id.clone()),
                scope,
                reason: if is_whole { reason } else { format!("{reason} `{decided}` goes to {percent} % first.") },
                readout_id: Some(readout.id.clone()),
                valid_until: None,
                expected: best.filter(|best| &best.variant == decided).map(expected),
                created_at: now,
            }
        })
        .collect()
}

fn expected(best: &Forecast) -> Expected {
    Expected { gain: best.gain, loss: best.expected_loss }
}

fn market_sentence(market: &MarketDecision, control: &VariantName) -> String {
    let MarketDecision { market: name, variant, best, .. } = market;
    if variant == control {
        return format!("In {name} keep `{control}`: nothing is expected to do better there.");
    }
    let lift = best.as_ref().filter(|best| &best.variant == variant).and_then(|best| best.lift);
    let by = lift.map(|lift| format!(", {} against `{control}`", signed_percent(lift))).unwrap_or_default();
    format!("In {name} `{variant}` is expected to do best{by}.")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::judge::{Before, judge};
    use crate::observe::{Observations, Observed};
    use crate::readout::hillstrom::{SPEC, no_effect_observed, observations, spec};

    fn judged(observations: &Observations) -> Judged {
        judge(
            &spec(),
            &Observed::overall(observations.clone()),
            &Before { is_list: true, fractions: Vec::new(), early: None },
            "ro-1",
        )
    }

    fn names() -> impl FnMut() -> RecommendationId {
        let mut count = 0;
        move || {
            count += 1;
            RecommendationId::new(&format!("r{count}")).unwrap()
        }
    }

    fn name(text: &str) -> VariantName {
        VariantName::new(text).unwrap()
    }

    #[test]
    fn a_winner_replaces_what_is_current_and_only_once() {
        let judged = judged(&observations());
        let now: Timestamp = "2008-05-01T00:00:00Z".parse().unwrap();
        let made = recommend(&spec(), &judged, &[], names(), now);
        let [first] = &made[..] else { panic!("one for everybody, not {made:?}") };
        assert_eq!((first.variant.as_str(), first.scope.is_everybody()), ("Mens E-Mail", true));
        assert_eq!((first.parent.clone(), first.readout_id.as_deref(), first.created_at), (None, Some("ro-1"), now));
        assert_eq!(first.reason, judged.decision.sentence);
        let best = judged.decision.best.as_ref().unwrap();
        assert_eq!(first.expected, Some(Expected { gain: best.gain, loss: best.expected_loss }));
        assert!(best.gain > 0.0 && best.expected_loss >= 0.0);
        assert_eq!(recommend(&spec(), &judged, std::slice::from_ref(first), names(), now), [], "nothing would change");

        let until = Recommendation { valid_until: Some(now), ..first.clone() };
        assert_eq!(recommend(&spec(), &judged, &[until], names(), now).len(), 1, "it holds for longer now");

        let by_hand = RecommendationId::new("by-hand").unwrap();
        let manual = Recommendation { variant: name("Womens E-Mail"), id: by_hand.clone(), ..first.clone() };
        let next = recommend(&spec(), &judged, &[manual], names(), now);
        assert_eq!((next[0].parent.as_ref(), next[0].variant.as_str()), (Some(&by_hand), "Mens E-Mail"));
    }

    #[test]
    fn a_market_has_its_own_only_where_it_differs() {
        let mut judged = judged(&observations());
        let now = Timestamp::UNIX_EPOCH;
        let best = judged.decision.best.clone().unwrap();
        let market = |market: &str, variant: &str| MarketDecision {
            market: market.into(),
            variant: name(variant),
            mature: 10,
            best: Some(Forecast { variant: name(variant), lift: Some(0.25), ..best.clone() }),
        };
        judged.decision.markets = vec![
            market("DE", "Mens E-Mail"),
            market("FR", "Womens E-Mail"),
            market("IT", "No E-Mail"),
            market("US", "Mens E-Mail"),
        ];
        let first = recommend(&spec(), &judged, &[], names(), now);
        let told: Vec<_> =
            first.iter().map(|made| (made.scope.market.as_deref().unwrap_or("all"), made.variant.as_str())).collect();
        assert_eq!(told, [("all", "Mens E-Mail"), ("FR", "Womens E-Mail"), ("IT", "No E-Mail")]);
        assert_eq!(first[1].reason, "In FR `Womens E-Mail` is expected to do best, +25 % against `No E-Mail`.");
        assert_eq!(first[2].reason, "In IT keep `No E-Mail`: nothing is expected to do better there.");
        assert_eq!(recommend(&spec(), &judged, &first, names(), now), [], "nothing would change");
        judged.decision.markets[1].variant = name("Mens E-Mail");
        let next = recommend(&spec(), &judged, &first, names(), now);
        let told: Vec<_> = next.iter().map(|made| (made.scope.market.as_deref(), made.variant.as_str())).collect();
        assert_eq!(told, [(Some("FR"), "Mens E-Mail")], "what a market has had is replaced, not left behind");
        assert_eq!(next[0].parent.as_ref(), Some(&first[1].id));
    }

    #[test]
    fn doubt_and_patience_change_nothing() {
        let mut judged = judged(&no_effect_observed(5));
        judged.decision.action = Action::KeepTesting;
        assert_eq!(recommend(&spec(), &judged, &[], names(), Timestamp::UNIX_EPOCH), []);
        judged.decision.action = Action::CannotJudge;
        assert_eq!(recommend(&spec(), &judged, &[], names(), Timestamp::UNIX_EPOCH), []);
        judged.decision.action = Action::StopForHarm;
        judged.decision.variant = name("No E-Mail");
        let stopped = recommend(&spec(), &judged, &[], names(), Timestamp::UNIX_EPOCH);
        assert_eq!((stopped.len(), stopped[0].variant.as_str()), (1, "No E-Mail"), "harm sends the control");
    }

    fn in_steps() -> Experiment {
        crate::parse(&format!("{SPEC}rollout: {{steps: [10, 50, 100]}}\n")).unwrap()
    }

    fn weights(pairs: &[(&str, f64)]) -> BTreeMap<VariantName, f64> {
        pairs.iter().map(|(variant, weight)| (name(variant), *weight)).collect()
    }

    #[test]
    fn a_rollout_begins_with_its_first_step_and_once() {
        let (experiment, mut judged, now) = (in_steps(), judged(&observations()), Timestamp::UNIX_EPOCH);
        let best = judged.decision.best.clone().unwrap();
        let market = |market: &str, variant: &str| MarketDecision {
            market: market.into(),
            variant: name(variant),
            mature: 10,
            best: Some(Forecast { variant: name(variant), ..best.clone() }),
        };
        judged.decision.markets = vec![market("FR", "Womens E-Mail"), market("IT", "No E-Mail"), market("US", "Mens E-Mail")];
        let made = recommend(&experiment, &judged, &[], names(), now);
        let told: Vec<_> = made.iter().map(|made| (made.variant.as_str(), made.weights.clone())).collect();
        let expect = [
            ("No E-Mail", weights(&[("Mens E-Mail", 0.1), ("No E-Mail", 0.9)])),
            ("No E-Mail", weights(&[("Womens E-Mail", 0.1), ("No E-Mail", 0.9)])),
            ("No E-Mail", weights(&[("No E-Mail", 1.0)])),
        ];
        assert_eq!(told, expect, "the market that keeps control needs no steps");
        assert_eq!(made[0].reason, format!("{} `Mens E-Mail` goes to 10 % first.", judged.decision.sentence));
        assert!(made[1].reason.ends_with("`Womens E-Mail` goes to 10 % first.") && !made[2].reason.contains("first"));
        assert_eq!(made[0].expected, Some(Expected { gain: best.gain, loss: best.expected_loss }));
        assert_eq!(recommend(&experiment, &judged, &made, names(), now), [], "nothing would change");

        judged.readout.id = "ro-2".into();
        assert_eq!(recommend(&experiment, &judged, &made, names(), now), [], "it goes on as it does");
        let further = Recommendation { weights: weights(&[("Mens E-Mail", 0.5), ("No E-Mail", 0.5)]), ..made[0].clone() };
        assert_eq!(recommend(&experiment, &judged, &[further.clone(), made[1].clone(), made[2].clone()], names(), now), []);
        let all = Recommendation { variant: name("Mens E-Mail"), weights: weights(&[("Mens E-Mail", 1.0)]), ..made[0].clone() };
        assert_eq!(recommend(&experiment, &judged, &[all.clone(), made[1].clone(), made[2].clone()], names(), now), []);
        judged.decision.markets[0].variant = name("Mens E-Mail");
        let next = recommend(&experiment, &judged, &[further, made[1].clone(), made[2].clone()], names(), now);
        let [france] = &next[..] else { panic!("one market changes, not {next:?}") };
        assert_eq!(france.weights, weights(&[("Mens E-Mail", 0.1), ("No E-Mail", 0.9)]), "from control, in steps");
        assert_eq!(france.parent.as_ref(), Some(&made[1].id));
    }

    #[test]
    fn harm_has_no_steps_and_what_was_stopped_does_not_begin_again_by_itself() {
        let (experiment, mut judged, now) = (in_steps(), judged(&observations()), Timestamp::UNIX_EPOCH);
        let [first] = &recommend(&experiment, &judged, &[], names(), now)[..] else { panic!("one for everybody") };
        let control = weights(&[("No E-Mail", 1.0)]);
        let stopped = Recommendation { weights: control.clone(), ..first.clone() };
        assert_eq!(recommend(&experiment, &judged, std::slice::from_ref(&stopped), names(), now), []);
        judged.readout.id = "ro-2".into();
        assert_eq!(recommend(&experiment, &judged, &[stopped], names(), now).len(), 1, "another look may begin it again");
        judged.decision.action = Action::StopForHarm;
        judged.decision.variant = name("No E-Mail");
        let made = recommend(&experiment, &judged, std::slice::from_ref(first), names(), now);
        assert_eq!((made[0].weights.clone(), made[0].parent.as_ref()), (control, Some(&first.id)));
    }

    #[test]
    fn a_rollout_of_one_step_is_none() {
        let experiment = crate::parse(&format!("{SPEC}rollout: {{steps: [100]}}\n")).unwrap();
        let judged = judged(&observations());
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(recommend(&experiment, &judged, &[], names(), now), recommend(&spec(), &judged, &[], names(), now));
    }
}
