//! From a readout to a recommendation.

use vocabulary::{Recommendation, RecommendationId, RecommendationScope, Timestamp};

use crate::readout::{Readout, VerdictKind};

/// What the senders should use for everybody after this readout. `None` when nothing would change: the verdict is undecided, or the
/// variant is the current one already, for all and for as long as it may be.
#[must_use]
pub fn recommend(
    readout: &Readout,
    current: Option<&Recommendation>,
    id: RecommendationId,
    now: Timestamp,
) -> Option<Recommendation> {
    let decided = readout.verdict.kind != VerdictKind::Undecided;
    let is_so = |current: &Recommendation| current.variant == readout.verdict.variant && current.is_decided();
    let changes = !current.is_some_and(|current| is_so(current) && current.valid_until.is_none());
    (decided && changes).then(|| Recommendation {
        id,
        experiment_id: readout.experiment_id.clone(),
        scope: RecommendationScope::default(),
        variant: readout.verdict.variant.clone(),
        weights: Recommendation::all_to(&readout.verdict.variant),
        parent: current.map(|current| current.id.clone()),
        reason: readout.verdict.sentence.clone(),
        readout_id: Some(readout.id.clone()),
        valid_until: None,
        created_at: now,
    })
}

#[cfg(test)]
mod tests {
    use vocabulary::VariantName;

    use super::*;
    use crate::readout::hillstrom::{hillstrom, no_effect};

    fn id(text: &str) -> RecommendationId {
        RecommendationId::new(text).unwrap()
    }

    #[test]
    fn a_winner_replaces_what_is_current_and_only_once() {
        let readout = hillstrom();
        let now: Timestamp = "2008-05-01T00:00:00Z".parse().unwrap();
        let first = recommend(&readout, None, id("r1"), now).unwrap();
        assert_eq!(first.variant.as_str(), "Mens E-Mail");
        assert_eq!((first.parent.clone(), first.readout_id.as_deref(), first.created_at), (None, Some("ro-1"), now));
        assert_eq!(first.reason, readout.verdict.sentence);
        assert_eq!(recommend(&readout, Some(&first), id("r2"), now), None, "nothing would change");

        let until = Recommendation { valid_until: Some(now), ..first.clone() };
        assert!(recommend(&readout, Some(&until), id("r2"), now).is_some(), "it holds for longer now");

        let manual = Recommendation { variant: VariantName::new("Womens E-Mail").unwrap(), id: id("r3"), ..first };
        let next = recommend(&readout, Some(&manual), id("r4"), now).unwrap();
        assert_eq!((next.parent, next.variant.as_str()), (Some(id("r3")), "Mens E-Mail"));
    }

    #[test]
    fn control_is_kept_or_restored_and_doubt_changes_nothing() {
        let now = Timestamp::UNIX_EPOCH;
        let keep = no_effect(0);
        let first = recommend(&keep, None, id("r1"), now).unwrap();
        assert_eq!(first.variant.as_str(), "No E-Mail");
        assert_eq!(recommend(&keep, Some(&first), id("r2"), now), None);
        assert_eq!(recommend(&no_effect(5), None, id("r1"), now), None, "undecided while five are immature");
    }
}
