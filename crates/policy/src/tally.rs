//! One round of answers: what the rules look at, and the one place where their answers become a decision.
//!
//! Whoever only wants the decision passes [`Silent`], and no word is written; whoever wants it explained passes [`Notes`].
//! Both take the same way, so they cannot disagree.

use jiff::Timestamp;

use crate::answer::{Answer, Finding, Reason, Round, Why};
use crate::facts::{ContactFacts, MessageFacts};
use crate::place::Place;
use crate::rule::Rule;

/// What the rules look at in one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) contact: &'a ContactFacts<'a>,
    pub(crate) message: &'a MessageFacts<'a>,
    pub(crate) place: Place<'a>,
    pub(crate) at: Timestamp,
}

/// Who listens to the answers.
pub(crate) trait Log {
    /// Whether the answers after the first refusal are of interest.
    const WANTS_ALL: bool;
    /// A round begins.
    fn begins(&mut self, at: Timestamp);
    /// A rule has answered.
    fn hears(&mut self, rule: &Rule, answer: &Answer, input: impl FnOnce() -> String);
}

/// Listens to nothing.
pub(crate) struct Silent;

impl Log for Silent {
    const WANTS_ALL: bool = false;
    fn begins(&mut self, _at: Timestamp) {}
    fn hears(&mut self, _rule: &Rule, _answer: &Answer, _input: impl FnOnce() -> String) {}
}

/// Writes everything down.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) rounds: Vec<Round>,
}

impl Log for Notes {
    const WANTS_ALL: bool = true;

    fn begins(&mut self, at: Timestamp) {
        self.rounds.push(Round { at, findings: Vec::new() });
    }

    fn hears(&mut self, rule: &Rule, answer: &Answer, input: impl FnOnce() -> String) {
        let finding = Finding { rule: rule.id.clone(), version: rule.version, input: input(), answer: answer.clone() };
        if let Some(round) = self.rounds.last_mut() {
            round.findings.push(finding);
        }
    }
}

/// Combines the answers of a round: a refusal beats a deferral, the first refusal and the latest deferral are the ones told.
pub(crate) struct Tally<'l, L> {
    log: &'l mut L,
    refusal: Option<Why>,
    deferral: Option<(Timestamp, Why)>,
}

/// What a round came to.
pub(crate) enum Outcome {
    Permit,
    Defer(Timestamp, Why),
    Refuse(Why),
}

impl<'l, L: Log> Tally<'l, L> {
    pub(crate) fn new(log: &'l mut L) -> Self {
        Self { log, refusal: None, deferral: None }
    }

    /// Takes an answer. `input` says in words what the rule looked at; it is called only when somebody listens.
    #[inline]
    pub(crate) fn answer(&mut self, rule: &Rule, answer: Answer, input: impl FnOnce() -> String) {
        self.log.hears(rule, &answer, input);
        match answer {
            Answer::Permit { .. } => {}
            Answer::Refuse { because } => {
                self.refusal.get_or_insert_with(|| why(rule, because));
            }
            Answer::Defer { until, because } => {
                if self.deferral.as_ref().is_none_or(|(latest, _)| *latest < until) {
                    self.deferral = Some((until, why(rule, because)));
                }
            }
        }
    }

    /// Whether nothing that follows can change what is told.
    pub(crate) fn is_done(&self) -> bool {
        self.refusal.is_some() && !L::WANTS_ALL
    }

    pub(crate) fn outcome(self) -> Outcome {
        match (self.refusal, self.deferral) {
            (Some(why), _) => Outcome::Refuse(why),
            (None, Some((until, why))) => Outcome::Defer(until, why),
            (None, None) => Outcome::Permit,
        }
    }
}

pub(crate) fn why(rule: &Rule, because: Reason) -> Why {
    Why { rule: rule.id.clone(), version: rule.version, because }
}

impl Answer {
    pub(crate) fn permit(because: Reason) -> Self {
        Self::Permit { because }
    }

    pub(crate) fn refuse(because: Reason) -> Self {
        Self::Refuse { because }
    }

    /// Permits what may leave at `from` already, and defers what may not.
    pub(crate) fn from_then_on(at: Timestamp, from: Timestamp, permit: Reason, defer: impl FnOnce() -> Reason) -> Self {
        if from <= at { Self::Permit { because: permit } } else { Self::Defer { until: from, because: defer() } }
    }
}
