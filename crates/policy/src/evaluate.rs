//! Asks every rule in a fixed order and makes one decision of the answers.
//!
//! A refusal beats a deferral, and of deferrals the latest wins. A moment that a deferral gives is asked about again, so that
//! `until` is a moment at which everything permits, as far as is known now.

use jiff::Timestamp;

use crate::answer::{Decision, Explanation, Reason};
use crate::facts::{ContactFacts, MessageFacts};
use crate::place::Place;
use crate::rules::Rules;
use crate::tally::{Case, Log, Notes, Outcome, Silent, Tally, why};
use crate::{caps, consent, holdout, hours, registration, sending, suppression, wording};

/// So often a deferral may lead to another. Hours, holidays and caps settle within three or four; more means that they
/// never meet.
pub const ROUNDS_MAX: usize = 16;

impl Rules {
    /// Decides about one contact and one message at `now`. Allocates nothing when everything permits.
    #[must_use]
    pub fn decide(&self, contact: &ContactFacts<'_>, message: &MessageFacts<'_>, now: Timestamp) -> Decision {
        self.settle(contact, message, now, &mut Silent)
    }

    /// The same decision, with every rule's input and answer.
    #[must_use]
    pub fn explain(&self, contact: &ContactFacts<'_>, message: &MessageFacts<'_>, now: Timestamp) -> Explanation {
        let mut notes = Notes::default();
        let decision = self.settle(contact, message, now, &mut notes);
        Explanation { decision, rules: self.version().clone(), rounds: notes.rounds }
    }

    fn settle<L: Log>(&self, contact: &ContactFacts<'_>, message: &MessageFacts<'_>, now: Timestamp, log: &mut L) -> Decision {
        let place = Place::of(&self.atlas, contact);
        let mut case = Case { contact, message, place, at: now };
        // What is not yet due is looked at from the moment it is: nothing that holds before then says anything about it.
        let mut deferral = sending::not_due(&self.sending, &case, log).map(|(due, why)| {
            case.at = due;
            why
        });
        for _ in 0..ROUNDS_MAX {
            match self.round(&case, log) {
                Outcome::Refuse(why) => return Decision::Refuse { why },
                Outcome::Permit => {
                    return deferral.map_or(Decision::Permit, |why| Decision::Defer { until: case.at, why });
                }
                Outcome::Defer(until, why) => {
                    case.at = until;
                    deferral = Some(why);
                }
            }
        }
        Decision::Refuse { why: why(&self.sending.no_permitted_time, Reason::NoPermittedTime) }
    }

    /// One round at one moment. The order is the order of an explanation, and of refusals the first is told.
    fn round<L: Log>(&self, case: &Case<'_>, log: &mut L) -> Outcome {
        log.begins(case.at);
        let mut tally = Tally::new(log);
        suppression::check(&self.suppression, case, &mut tally);
        consent::check(&self.consent, case, &mut tally);
        sending::check_place(&self.sending, case, &mut tally);
        if tally.is_done() {
            return tally.outcome();
        }
        sending::check_time(&self.sending, case, &mut tally);
        if tally.is_done() {
            return tally.outcome();
        }
        hours::check(&self.hours, case, &mut tally);
        caps::check(&self.caps, case, &mut tally);
        registration::check(&self.registration, case, &mut tally);
        wording::check(&self.wording, case, &mut tally);
        // Last, so that who is refused for it would have got the message otherwise.
        holdout::check(&self.sending.holdout, case, &mut tally);
        tally.outcome()
    }
}
