//! What each condition remembers of facts, and when it becomes true.

use jiff::{SignedDuration, Timestamp};

use crate::birthday::{self, Celebration};
use crate::fact::{Act, Fact, Person, What};
use crate::limits::{PAYMENTS_MAX, PRODUCTS_MAX};
use crate::span::later;
use crate::state::State;

/// A condition that was checked.
#[derive(Debug, Clone)]
pub(crate) enum Watch {
    /// So long after the last act of `begin`, if none of `without` happened since.
    Wait { begin: Vec<Act>, length: SignedDuration, without: Vec<Act> },
    /// More was paid than an amount in minor units, within a time or ever.
    Spent { more_than: i64, within: Option<SignedDuration> },
    /// Each year.
    Birthday(Celebration),
    /// What was seen got cheaper.
    PriceDropped { by_percent: u32, seen_within: SignedDuration, without: Vec<Act> },
    /// Came into the segment.
    Entered { segment: String },
}

impl Watch {
    /// The acts that it remembers or that begin it.
    pub(crate) fn acts(&self) -> Vec<Act> {
        match self {
            Self::Wait { begin, without, .. } => begin.iter().chain(without).copied().collect(),
            Self::Spent { .. } => vec![Act::Ordered],
            Self::PriceDropped { without, .. } => {
                [Act::Browsed, Act::Carted].into_iter().chain(without.iter().copied()).collect()
            }
            Self::Birthday(_) | Self::Entered { .. } => Vec::new(),
        }
    }

    /// Remembers a fact. Whether the condition becomes true by it, at its moment.
    pub(crate) fn learn(&self, state: &mut State, fact: &Fact<'_>) -> bool {
        let is_one_of = |acts: &[Act]| fact.what.act().is_some_and(|act| acts.contains(&act));
        match self {
            Self::Wait { begin, without, .. } => {
                if is_one_of(begin) && Some(fact.at) > state.begin {
                    state.begin = Some(fact.at);
                    state.waiting = true;
                }
                if is_one_of(without) {
                    state.stop = state.stop.max(Some(fact.at));
                }
                state.waiting &= state.stop < state.begin;
                false
            }
            Self::Spent { within, .. } => {
                if let What::Ordered { amount } = fact.what {
                    remember_payment(&mut state.payments, (fact.at, amount), within.is_some());
                }
                false
            }
            Self::Birthday(_) => false,
            Self::PriceDropped { by_percent, seen_within, without } => {
                if is_one_of(without) {
                    state.stop = state.stop.max(Some(fact.at));
                }
                if let Some(product) = fact.what.seen() {
                    remember_product(state, product, fact.at);
                }
                let What::PriceDropped { product, percent } = fact.what else { return false };
                let wanted = |seen: Timestamp| seen <= fact.at && fact.at < later(seen, *seen_within) && state.stop < Some(seen);
                percent >= *by_percent && state.seen.get(product).is_some_and(|seen| wanted(*seen))
            }
            Self::Entered { segment } => match fact.what {
                What::EnteredSegment { segment: of } if of == segment => moved(state, fact.at, true),
                What::LeftSegment { segment: of } if of == segment => moved(state, fact.at, false),
                _ => false,
            },
        }
    }

    /// The next moment that matters without a fact.
    pub(crate) fn next_due(&self, person: &Person, state: &State) -> Option<Timestamp> {
        match self {
            Self::Wait { length, .. } => state.begin.filter(|_| state.waiting).map(|begin| later(begin, *length)),
            Self::Spent { within, .. } => within.and_then(|within| state.payments.first().map(|(at, _)| later(*at, within))),
            Self::Birthday(celebration) => birthday::next(celebration, person, state).map(|(_, at)| at),
            Self::PriceDropped { .. } | Self::Entered { .. } => None,
        }
    }

    /// Looks at a moment whose facts are all remembered. Whether the condition becomes true at it.
    pub(crate) fn comes_due(&self, person: &Person, state: &mut State, moment: Timestamp) -> bool {
        match self {
            Self::Wait { .. } => {
                let is_over = self.next_due(person, state).is_some_and(|due| due <= moment);
                state.waiting &= !is_over;
                is_over
            }
            Self::Spent { more_than, within } => {
                if let Some(within) = within {
                    // What a late fact says is looked at from where everything else stands.
                    let moment = state.decided.map_or(moment, |decided| decided.max(moment));
                    state.payments.retain(|(at, _)| later(*at, *within) > moment);
                }
                let was_above = state.above;
                let sum: i128 = state.payments.iter().map(|(_, amount)| i128::from(*amount)).sum();
                state.above = sum > i128::from(*more_than);
                state.above && !was_above
            }
            Self::Birthday(celebration) => match birthday::next(celebration, person, state) {
                Some((year, at)) if at <= moment => {
                    state.birthday = Some(year);
                    true
                }
                _ => false,
            },
            Self::PriceDropped { .. } | Self::Entered { .. } => false,
        }
    }
}

/// Keeps payments in order, each by its time or all as one.
fn remember_payment(payments: &mut Vec<(Timestamp, i64)>, payment: (Timestamp, i64), by_time: bool) {
    let place = payments.partition_point(|(at, _)| *at <= payment.0);
    payments.insert(place, payment);
    let most = if by_time { PAYMENTS_MAX } else { 1 };
    if payments.len() > most {
        let (_, amount) = payments.remove(0);
        payments[0].1 = payments[0].1.saturating_add(amount);
    }
}

/// Keeps when products were last seen, of those seen last.
fn remember_product(state: &mut State, product: &str, at: Timestamp) {
    let seen = &mut state.seen;
    match seen.get_mut(product) {
        Some(known) => *known = at.max(*known),
        None => {
            seen.insert(product.to_owned(), at);
        }
    }
    if seen.len() > PRODUCTS_MAX
        && let Some(oldest) = seen.iter().min_by_key(|(_, at)| **at).map(|(product, _)| product.clone())
    {
        seen.remove(&oldest);
    }
}

/// Takes what was told of the segment, unless something later is known. Whether the contact came in.
fn moved(state: &mut State, at: Timestamp, inside: bool) -> bool {
    let was_inside = state.member.is_some_and(|(_, inside)| inside);
    if state.member.is_some_and(|(known, _)| known > at) {
        return false;
    }
    state.member = Some((at, inside));
    inside && !was_inside
}
