//! What an experiment's senders go by now: its current recommendations, which of them speaks for whom, and what each contact gets.
//!
//! A recommendation that does not hold, and one that is not there, mean the control: it is what is known to do no harm. Who follows
//! is told so, and why.

use std::fmt;
use std::sync::{Arc, OnceLock};

use vocabulary::{Asker, ContactKey, Experiment, Recommendation, RecommendationId, Timestamp, VariantName};

use crate::assign::{Assigned, Assigner};

/// Into so many parts weights are cut before they are dealt out: what is lost of a weight is less than a billionth.
pub(crate) const WEIGHT_PARTS: f64 = 1e9;

/// An experiment with its current recommendations.
#[derive(Debug, Clone)]
pub struct Guidance {
    experiment: Experiment,
    /// The most specific first.
    rules: Vec<Rule>,
}

/// A recommendation, made ready to deal its weights out.
#[derive(Debug, Clone)]
struct Rule {
    recommendation: Arc<Recommendation>,
    /// `None` where it names variants the experiment does not have.
    assigner: Option<Assigner>,
    /// See [`Advice::told`].
    told: OnceLock<Arc<[u8]>>,
}

/// What somebody is to be sent.
#[derive(Debug, Clone)]
pub struct Advice<'a> {
    guidance: &'a Guidance,
    answer: Result<&'a Rule, Fallback>,
}

/// Why the control is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fallback {
    /// Nothing is recommended.
    NoRecommendation,
    /// The recommendation does not hold any more.
    Expired {
        /// The recommendation.
        id: RecommendationId,
        /// Until when it held.
        valid_until: Timestamp,
    },
    /// The recommendation names a variant the experiment does not have.
    UnknownVariant {
        /// The recommendation.
        id: RecommendationId,
    },
}

impl Fallback {
    /// The reason in a word, for programs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoRecommendation => "no_recommendation",
            Self::Expired { .. } => "expired",
            Self::UnknownVariant { .. } => "unknown_variant",
        }
    }

    /// The recommendation that is not followed, where there is one.
    #[must_use]
    pub fn id(&self) -> Option<&RecommendationId> {
        match self {
            Self::NoRecommendation => None,
            Self::Expired { id, .. } | Self::UnknownVariant { id } => Some(id),
        }
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRecommendation => f.write_str("nothing is recommended yet, so that the control is sent"),
            Self::Expired { id, valid_until } => {
                write!(f, "the recommendation {id} held until {valid_until}, so that the control is sent")
            }
            Self::UnknownVariant { id } => {
                write!(f, "the recommendation {id} names a variant the experiment does not have, so that the control is sent")
            }
        }
    }
}

impl Guidance {
    /// Puts the current recommendations of an experiment in the order in which they are asked.
    #[must_use]
    pub fn new(experiment: Experiment, recommendations: Vec<Recommendation>) -> Self {
        let rule = |made| Rule { assigner: assigner(&experiment, &made), recommendation: Arc::new(made), told: OnceLock::new() };
        let mut rules: Vec<Rule> = recommendations.into_iter().map(rule).collect();
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.recommendation.scope.specificity()));
        Self { experiment, rules }
    }

    /// The experiment.
    #[must_use]
    pub fn experiment(&self) -> &Experiment {
        &self.experiment
    }

    /// The current recommendations, the most specific first.
    pub fn recommendations(&self) -> impl Iterator<Item = &Arc<Recommendation>> {
        self.rules.iter().map(|rule| &rule.recommendation)
    }

    /// Whether the answer depends on the asker's market or locale.
    #[must_use]
    pub fn depends_on_profile(&self) -> bool {
        self.recommendations().any(|made| made.scope.market.is_some() || made.scope.locale.is_some())
    }

    /// What `asker` is to be sent at `now`: what the most specific recommendation that speaks for them says. Where that one does not
    /// hold any more, a wider one does not take its place, because it was found worse for them; the control does.
    #[must_use]
    pub fn advice(&self, asker: Asker<'_>, now: Timestamp) -> Advice<'_> {
        let rule = self.rules.iter().find(|rule| rule.recommendation.scope.speaks_for(asker));
        let answer = rule.ok_or(Fallback::NoRecommendation).and_then(|rule| {
            let made = &rule.recommendation;
            match made.valid_until.filter(|_| !made.holds(now)) {
                Some(valid_until) => Err(Fallback::Expired { id: made.id.clone(), valid_until }),
                None if rule.assigner.is_none() => Err(Fallback::UnknownVariant { id: made.id.clone() }),
                None => Ok(rule),
            }
        });
        Advice { guidance: self, answer }
    }

    /// The next moment after `now` at which some recommendation ceases to hold.
    #[must_use]
    pub fn next_expiry(&self, now: Timestamp) -> Option<Timestamp> {
        self.recommendations().filter_map(|made| made.valid_until).filter(|until| *until > now).min()
    }
}

impl<'a> Advice<'a> {
    /// The recommendation that is followed; `None` where the control is sent instead.
    #[must_use]
    pub fn followed(&self) -> Option<&'a Arc<Recommendation>> {
        self.answer.as_ref().ok().map(|rule| &rule.recommendation)
    }

    /// Why the control is sent, where it is.
    #[must_use]
    pub fn fallback(&self) -> Option<&Fallback> {
        self.answer.as_ref().err()
    }

    /// What a server answers where a recommendation is followed: written when that is asked first, and then kept, because a recommendation
    /// never changes. `None` where the control is sent instead.
    pub fn told(&self, write: impl FnOnce() -> Arc<[u8]>) -> Option<Arc<[u8]>> {
        self.answer.as_ref().ok().map(|rule| Arc::clone(rule.told.get_or_init(write)))
    }

    /// The one variant to send, where all get the same.
    #[must_use]
    pub fn variant(&self) -> &'a VariantName {
        self.followed().map_or_else(|| self.guidance.experiment.control(), |made| &made.variant)
    }

    /// What a contact gets: of a recommendation with several weights by a keyed hash of the contact, so that it is always the same one
    /// as long as the weights are, and the one they were assigned in the experiment as far as the weights allow it.
    #[must_use]
    pub fn pick(&self, contact: ContactKey) -> Assigned<'a> {
        let followed = self.answer.as_ref().ok().copied();
        let split = followed.filter(|rule| !rule.recommendation.is_decided());
        let assigned = split.and_then(|rule: &'a Rule| rule.assigner.as_ref()).map(|assigner| assigner.assign(contact));
        assigned.unwrap_or(Assigned { variant: self.variant(), propensity: 1.0 })
    }
}

/// Deals the weights out as an experiment's own are. `None` where a variant of some weight is not the experiment's.
fn assigner(experiment: &Experiment, recommendation: &Recommendation) -> Option<Assigner> {
    let is_known = |name: &VariantName| experiment.variant(name).is_some();
    let mut named = recommendation.weights.iter().filter(|(_, weight)| **weight > 0.0).map(|(name, _)| name);
    if !is_known(&recommendation.variant) || !named.all(is_known) {
        return None;
    }
    let mut dealt = experiment.clone();
    for variant in &mut dealt.variants {
        let weight = recommendation.weights.get(&variant.name).copied().unwrap_or_default();
        // The conversion saturates: weights are from 0 to 1.
        variant.weight = (weight * WEIGHT_PARTS).round() as u32;
    }
    dealt.variants.iter().any(|variant| variant.weight > 0).then(|| Assigner::new(&dealt, 0))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use vocabulary::RecommendationScope;

    use super::*;

    fn experiment() -> Experiment {
        let metrics = "[{name: visit, outcome: click, measure: occurred}]";
        let variants = "[{name: a, weight: 1}, {name: b, weight: 1}, {name: c, weight: 2}]";
        crate::parse(&format!("experiment: spring\nfactors: [copy]\nprimary: visit\nmetrics: {metrics}\nvariants: {variants}\n"))
            .unwrap()
    }

    fn name(text: &str) -> VariantName {
        VariantName::new(text).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn made(id: &str, market: Option<&str>, weights: &[(&str, f64)], valid_until: Option<Timestamp>) -> Recommendation {
        let weights: BTreeMap<VariantName, f64> = weights.iter().map(|(variant, weight)| (name(variant), *weight)).collect();
        let heaviest = weights.iter().max_by(|one, other| one.1.total_cmp(other.1)).unwrap().0.clone();
        Recommendation {
            id: RecommendationId::new(id).unwrap(),
            experiment_id: experiment().experiment,
            scope: RecommendationScope::new(market, None, None).unwrap(),
            variant: heaviest,
            weights,
            parent: None,
            reason: "because".into(),
            readout_id: None,
            valid_until,
            expected: None,
            created_at: at(0),
        }
    }

    fn german() -> Asker<'static> {
        Asker { market: Some("DE"), ..Asker::default() }
    }

    #[test]
    fn the_most_specific_one_answers_and_where_it_expired_the_control() {
        let all = made("all", None, &[("b", 1.0)], None);
        let own = made("own", Some("DE"), &[("c", 1.0)], Some(at(100)));
        let guidance = Guidance::new(experiment(), vec![all, own]);
        let check = |asker: Asker<'_>, now: i64, variant: &str, followed: Option<&str>, fallback: Option<&str>| {
            let advice = guidance.advice(asker, at(now));
            assert_eq!(advice.variant().as_str(), variant);
            assert_eq!(advice.followed().map(|made| made.id.as_str()), followed);
            assert_eq!(advice.fallback().map(Fallback::kind), fallback);
            let picked = advice.pick(ContactKey::from_i64(1).unwrap());
            assert_eq!((picked.variant.as_str(), picked.propensity), (variant, 1.0));
        };
        check(Asker::default(), 99, "b", Some("all"), None);
        check(german(), 99, "c", Some("own"), None);
        check(german(), 100, "a", None, Some("expired"));
        check(Asker::default(), 100, "b", Some("all"), None);
        assert_eq!((guidance.next_expiry(at(99)), guidance.next_expiry(at(100))), (Some(at(100)), None));
        assert!(guidance.depends_on_profile());
    }

    #[test]
    fn without_a_recommendation_for_somebody_they_get_the_control_and_hear_why() {
        let guidance = Guidance::new(experiment(), vec![made("own", Some("DE"), &[("c", 1.0)], None)]);
        let advice = guidance.advice(Asker::default(), at(0));
        assert_eq!((advice.variant().as_str(), advice.fallback()), ("a", Some(&Fallback::NoRecommendation)));
        let mut smaller = experiment();
        smaller.variants.pop();
        let guidance = Guidance::new(smaller, vec![made("own", Some("DE"), &[("b", 0.4), ("c", 0.6)], None)]);
        let advice = guidance.advice(german(), at(0));
        assert_eq!((advice.variant().as_str(), advice.fallback().map(Fallback::kind)), ("a", Some("unknown_variant")));
    }

    #[test]
    fn weights_are_dealt_out_and_contacts_keep_their_variant() {
        let guidance = Guidance::new(experiment(), vec![made("r", None, &[("a", 0.25), ("b", 0.25), ("c", 0.5)], None)]);
        let advice = guidance.advice(Asker::default(), at(0));
        let assigner = Assigner::new(guidance.experiment(), 0);
        let mut counts = BTreeMap::<&str, u64>::new();
        for number in 1..=20_000 {
            let key = ContactKey::from_i64(number).unwrap();
            let picked = advice.pick(key);
            assert_eq!(picked.variant, assigner.assign(key).variant, "the weights are those of the experiment");
            let expect = if picked.variant.as_str() == "c" { 0.5 } else { 0.25 };
            assert!((picked.propensity - expect).abs() < 1e-9);
            *counts.entry(picked.variant.as_str()).or_default() += 1;
        }
        let counts: Vec<u64> = counts.into_values().collect();
        assert!(stats::sample_ratio(&counts, &[1.0, 1.0, 2.0]).unwrap().p_value > 0.01, "{counts:?}");
    }

    #[test]
    fn a_weight_of_nothing_is_given_to_nobody() {
        let guidance = Guidance::new(experiment(), vec![made("r", None, &[("a", 0.9), ("b", 0.0), ("c", 0.1)], None)]);
        let advice = guidance.advice(Asker::default(), at(0));
        assert!((1..=5_000).all(|number| advice.pick(ContactKey::from_i64(number).unwrap()).variant.as_str() != "b"));
    }
}
