//! From a decision to what the senders should use.

use vocabulary::{Expected, Recommendation, RecommendationId, RecommendationScope, Timestamp, VariantName};

use crate::decision::{Action, Forecast, MarketDecision};
use crate::judge::Judged;
use crate::words::signed_percent;

/// What the senders should use after a look: for everybody, and for each market where that is another variant. Empty where nothing is
/// decided or nothing would change: a variant that is current in its scope already, for all it speaks for and as long as it may be, stays.
///
/// A market that gets what everybody gets has no recommendation of its own, but where it has had one.
pub fn recommend(
    judged: &Judged,
    current: &[Recommendation],
    mut fresh: impl FnMut() -> RecommendationId,
    now: Timestamp,
) -> Vec<Recommendation> {
    let Judged { readout, decision } = judged;
    if !matches!(decision.action, Action::Ship | Action::StopForHarm) {
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
        !in_scope(scope).is_some_and(|made| &made.variant == variant && made.is_decided() && made.valid_until.is_none())
    };
    std::iter::once(everybody)
        .chain(own)
        .filter(|(scope, variant, ..)| changes(scope, variant))
        .map(|(scope, variant, reason, best)| Recommendation {
            id: fresh(),
            experiment_id: readout.experiment_id.clone(),
            variant: variant.clone(),
            weights: Recommendation::all_to(variant),
            parent: in_scope(&scope).map(|current| current.id.clone()),
            scope,
            reason,
            readout_id: Some(readout.id.clone()),
            valid_until: None,
            expected: best.filter(|best| &best.variant == variant).map(expected),
            created_at: now,
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
    use super::*;
    use crate::judge::{Before, judge};
    use crate::observe::{Observations, Observed};
    use crate::readout::hillstrom::{no_effect_observed, observations, spec};

    fn judged(observations: &Observations) -> Judged {
        judge(&spec(), &Observed::overall(observations.clone()), &Before { is_list: true, fractions: Vec::new() }, "ro-1")
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
        let made = recommend(&judged, &[], names(), now);
        let [first] = &made[..] else { panic!("one for everybody, not {made:?}") };
        assert_eq!((first.variant.as_str(), first.scope.is_everybody()), ("Mens E-Mail", true));
        assert_eq!((first.parent.clone(), first.readout_id.as_deref(), first.created_at), (None, Some("ro-1"), now));
        assert_eq!(first.reason, judged.decision.sentence);
        let best = judged.decision.best.as_ref().unwrap();
        assert_eq!(first.expected, Some(Expected { gain: best.gain, loss: best.expected_loss }));
        assert!(best.gain > 0.0 && best.expected_loss >= 0.0);
        assert_eq!(recommend(&judged, std::slice::from_ref(first), names(), now), [], "nothing would change");

        let until = Recommendation { valid_until: Some(now), ..first.clone() };
        assert_eq!(recommend(&judged, &[until], names(), now).len(), 1, "it holds for longer now");

        let by_hand = RecommendationId::new("by-hand").unwrap();
        let manual = Recommendation { variant: name("Womens E-Mail"), id: by_hand.clone(), ..first.clone() };
        let next = recommend(&judged, &[manual], names(), now);
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
        let first = recommend(&judged, &[], names(), now);
        let told: Vec<_> =
            first.iter().map(|made| (made.scope.market.as_deref().unwrap_or("all"), made.variant.as_str())).collect();
        assert_eq!(told, [("all", "Mens E-Mail"), ("FR", "Womens E-Mail"), ("IT", "No E-Mail")]);
        assert_eq!(first[1].reason, "In FR `Womens E-Mail` is expected to do best, +25 % against `No E-Mail`.");
        assert_eq!(first[2].reason, "In IT keep `No E-Mail`: nothing is expected to do better there.");
        assert_eq!(recommend(&judged, &first, names(), now), [], "nothing would change");
        judged.decision.markets[1].variant = name("Mens E-Mail");
        let next = recommend(&judged, &first, names(), now);
        let told: Vec<_> = next.iter().map(|made| (made.scope.market.as_deref(), made.variant.as_str())).collect();
        assert_eq!(told, [(Some("FR"), "Mens E-Mail")], "what a market has had is replaced, not left behind");
        assert_eq!(next[0].parent.as_ref(), Some(&first[1].id));
    }

    #[test]
    fn doubt_and_patience_change_nothing() {
        let mut judged = judged(&no_effect_observed(5));
        judged.decision.action = Action::KeepTesting;
        assert_eq!(recommend(&judged, &[], names(), Timestamp::UNIX_EPOCH), []);
        judged.decision.action = Action::CannotJudge;
        assert_eq!(recommend(&judged, &[], names(), Timestamp::UNIX_EPOCH), []);
        judged.decision.action = Action::StopForHarm;
        judged.decision.variant = name("No E-Mail");
        let stopped = recommend(&judged, &[], names(), Timestamp::UNIX_EPOCH);
        assert_eq!((stopped.len(), stopped[0].variant.as_str()), (1, "No E-Mail"), "harm sends the control");
    }
}
