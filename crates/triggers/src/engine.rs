//! The evaluation of a trigger for one contact, as facts come and time passes.
//!
//! Time is a row of moments: those of facts, and those at which something comes due without one. At each moment, in this order,
//!
//! 1. its facts are remembered, all of them: one that happens at the very end of a wait is still within it;
//! 2. if the condition becomes true, and the contact may enter and is not in already, they enter;
//! 3. whoever is in leaves: taken out by an act of `exit` after the condition became true, or else because the message is due.
//!
//! What was due before a fact is decided before the fact is looked at, even if both are told at once.
//!
//! A fact is late when it is not after what was decided already. Nothing that was told is taken back. A late fact is a moment of
//! its own with the time it happened: it begins a wait if it is the last of its kind, enters a segment if nothing later is known
//! of that, is paid, seen or done by its own time. What becomes true by it, did so at that time, for `since` and `entry` too; a
//! wait or a delay that is over by now ends at once. Acts of `without` and `exit` that are known by then count even if they
//! happened later.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use vocabulary::world::to_micros;

use crate::fact::{Act, Fact, Person};
use crate::firing::{Firing, Outcome};
use crate::holdout::Holdout;
use crate::span::{days, later};
use crate::state::State;
use crate::trigger::Entry;
use crate::watch::Watch;

/// A trigger that was checked, ready to be evaluated for any contact.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) watch: Watch,
    pub(crate) entry: Entry,
    pub(crate) delay: SignedDuration,
    pub(crate) exit: Vec<Act>,
    pub(crate) holdout: Holdout,
}

impl Engine {
    /// Takes new facts of a contact, in any order, and decides all up to and with `now`. Gives the entries that ended, in order.
    ///
    /// Each fact must be told once. One that claims to be ahead of `now` is taken as of `now`. A fact that does not concern the
    /// trigger may be told or not.
    pub fn advance(&self, person: &Person, state: &mut State, facts: &[Fact<'_>], now: Timestamp) -> Vec<Firing> {
        let now = to_micros(now);
        let mut facts: Vec<_> = facts.iter().map(|fact| Fact { at: to_micros(fact.at).min(now), ..*fact }).collect();
        facts.sort_unstable();
        let mut firings = Vec::new();
        for facts in facts.chunk_by(|one, next| one.at == next.at) {
            let at = facts[0].at;
            while let Some(due) = self.next_due(person, state).filter(|due| *due < at) {
                firings.extend(self.step(person, state, due, &[]));
            }
            firings.extend(self.step(person, state, at, facts));
        }
        while let Some(due) = self.next_due(person, state).filter(|due| *due <= now) {
            firings.extend(self.step(person, state, due, &[]));
        }
        state.decided = state.decided.max(Some(now));
        firings
    }

    /// The acts that concern the trigger. Facts about others need not be told.
    #[must_use]
    pub fn acts(&self) -> BTreeSet<Act> {
        self.watch.acts().into_iter().chain(self.exit.iter().copied()).collect()
    }

    /// When the contact must be evaluated again if no fact comes before. `None`: not without a fact.
    ///
    /// For a birthday it depends on what is known of the person: ask again when that changes, and once for each contact of whom
    /// no fact was told.
    #[must_use]
    pub fn next_due(&self, person: &Person, state: &State) -> Option<Timestamp> {
        let message = state.pending.map(|true_at| later(true_at, self.delay));
        message.into_iter().chain(self.watch.next_due(person, state)).min()
    }

    /// One moment with all its facts.
    fn step(&self, person: &Person, state: &mut State, moment: Timestamp, facts: &[Fact<'_>]) -> Option<Firing> {
        let mut is_true = false;
        for fact in facts {
            if fact.what.act().is_some_and(|act| self.exit.contains(&act)) {
                state.exit = state.exit.max(Some(fact.at));
            }
            is_true |= self.watch.learn(state, fact);
        }
        is_true |= self.watch.comes_due(person, state, moment);
        state.decided = state.decided.max(Some(moment));
        if is_true && moment >= person.since && self.may_enter(state, moment) {
            state.entries += 1;
            state.entered = state.entered.max(Some(moment));
            state.pending = Some(moment);
        }
        self.leave(person, state, moment)
    }

    fn may_enter(&self, state: &State, moment: Timestamp) -> bool {
        let is_time = match (self.entry, state.entered) {
            (Entry::EachTime, _) | (_, None) => true,
            (Entry::Once, Some(_)) => false,
            (Entry::OncePerDays(number), Some(entered)) => later(entered, days(number)) <= moment,
        };
        is_time && state.pending.is_none()
    }

    fn leave(&self, person: &Person, state: &mut State, moment: Timestamp) -> Option<Firing> {
        let true_at = state.pending?;
        let due = later(true_at, self.delay);
        let outcome = match state.exit {
            Some(at) if at > true_at => Outcome::Exited { at },
            _ if due > moment => return None,
            _ if self.holdout.has(person.key) => Outcome::HeldOut,
            _ => Outcome::Send,
        };
        state.pending = None;
        Some(Firing { occurrence: state.entries, true_at, due, outcome })
    }
}
