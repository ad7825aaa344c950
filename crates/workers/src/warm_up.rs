//! Warm-ups of new sending domains: what a day has no room for waits until the next, at the same hour.
//!
//! A message is counted before it leaves and given back when it did not. Codes and other messages to one person count and never wait.

use std::collections::{BTreeMap, HashSet};

use control::Allowance;
use gateways::WarmUp;
use gateways::warm_up::day_of;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use lake::PlanRow;
use vocabulary::Channel;

use crate::claim::{Dropped, Outgoing};
use crate::{Sending, WorkerError};

/// What of a day's allowances a group has taken.
#[derive(Debug, Default)]
pub(crate) struct Room {
    day: Option<Date>,
    /// For each message of the group the warm-ups it counts in.
    names: Vec<Vec<String>>,
    /// Whether all mail of the domain has to wait, to whomever.
    pub(crate) is_used_up: bool,
}

/// Takes room for the messages of a group and moves those without into `held`, with when they may leave.
pub(crate) async fn take(
    parts: &Sending,
    from: &str,
    batch: &mut Vec<Outgoing>,
    now: Timestamp,
    held: &mut Vec<(Outgoing, Dropped)>,
) -> Result<Room, WorkerError> {
    let today = day_of(now);
    let warm_ups: Vec<(&WarmUp, u64)> =
        parts.warm_ups.of_sender(from).into_iter().filter_map(|one| Some((one, one.allowance(today)?))).collect();
    if warm_ups.is_empty() || batch.is_empty() {
        return Ok(Room::default());
    }
    let allowances: Vec<Allowance> = warm_ups.iter().map(|(one, most)| Allowance { warm_up: one.name(), most: *most }).collect();
    let places = |out: &Outgoing| -> Vec<usize> {
        let is_mail = out.channel == Channel::Email;
        let counts = |place: &usize| is_mail && parts.warm_ups.counts(warm_ups[*place].0, &out.address);
        (0..warm_ups.len()).filter(counts).collect()
    };
    let messages: Vec<Vec<usize>> = batch.iter().map(places).collect();
    let granted = parts.control.take_allowances(today, &allowances, &messages).await?;
    let mut room = Room { day: Some(today), ..Room::default() };
    let mut kept = Vec::with_capacity(batch.len());
    for ((out, places), granted) in batch.drain(..).zip(messages).zip(granted.messages) {
        if granted {
            room.names.push(places.into_iter().map(|place| allowances[place].warm_up.clone()).collect());
            kept.push(out);
        } else {
            let until = again(out.due, now);
            held.push((out, Dropped::Until(until)));
        }
    }
    *batch = kept;
    if !held.is_empty() {
        tracing::info!(from, held = held.len(), "the day's allowance of a warm-up is used up: the rest waits until tomorrow");
    }
    room.is_used_up = warm_ups.iter().zip(granted.used_up).any(|((one, _), used_up)| used_up && one.destination.is_none());
    Ok(room)
}

impl Room {
    /// Gives back the room of messages that did not leave, by their place in the group.
    pub(crate) async fn give_back(&self, parts: &Sending, unsent: &[usize]) -> Result<(), WorkerError> {
        let Some(day) = self.day else { return Ok(()) };
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        for name in unsent.iter().filter_map(|place| self.names.get(*place)).flatten() {
            *counts.entry(name.clone()).or_default() -= 1;
        }
        Ok(parts.control.count_in_warm_ups(day, &counts).await?)
    }
}

/// Counts messages that left without asking, from whom and to whom.
pub(crate) async fn count(parts: &Sending, left: &[(String, String)]) -> Result<(), WorkerError> {
    let today = day_of(parts.clock.now());
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for (from, to) in left {
        let counted = |one: &&WarmUp| one.allowance(today).is_some() && parts.warm_ups.counts(one, to);
        for one in parts.warm_ups.of_sender(from).into_iter().filter(counted) {
            *counts.entry(one.name()).or_default() += 1;
        }
    }
    Ok(parts.control.count_in_warm_ups(today, &counts).await?)
}

/// The days on which a domain's mail had to wait for the next.
#[derive(Debug, Default)]
pub(crate) struct Full {
    days: HashSet<(String, Date)>,
    names: Vec<(WarmUp, String)>,
}

impl Full {
    /// Those of mail from this address.
    pub(crate) async fn of(parts: &Sending, from: &str) -> Result<Self, WorkerError> {
        let warm_ups = parts.warm_ups.of_sender(from);
        if warm_ups.is_empty() {
            return Ok(Self::default());
        }
        let names: Vec<(WarmUp, String)> = warm_ups.into_iter().map(|one| (one.clone(), one.name())).collect();
        let asked: Vec<String> = names.iter().map(|(_, name)| name.clone()).collect();
        let days = parts.control.warm_up_days(&asked).await?.into_iter().filter(|day| day.is_full);
        Ok(Self { days: days.map(|day| (day.warm_up, day.day)).collect(), names })
    }

    /// When a message is due that may have waited for its warm-up: at the same hour today, if each day since it was due was full. What
    /// was held up by anything else stays due when it was, so that the rule about its age can tell.
    pub(crate) fn due(&self, parts: &Sending, due: Timestamp, to: &str, now: Timestamp) -> Timestamp {
        if self.days.is_empty() {
            return due;
        }
        let counts: Vec<&String> =
            self.names.iter().filter(|(one, _)| parts.warm_ups.counts(one, to)).map(|(_, name)| name).collect();
        let (first, today) = (day_of(due), day_of(now));
        let is_full = |day: Date| counts.iter().any(|name| self.days.contains(&((*name).clone(), day)));
        let mut day = first;
        while day < today && is_full(day) {
            day = day.tomorrow().unwrap_or(today);
        }
        if day == today { at_hour_of(due, today) } else { due }
    }
}

/// The same time of day, in UTC, on another day.
fn at_hour_of(moment: Timestamp, day: Date) -> Timestamp {
    let time = moment.to_zoned(TimeZone::UTC).time();
    day.to_datetime(time).to_zoned(TimeZone::UTC).map_or(moment, |zoned| zoned.timestamp())
}

/// When a message that has no room today may leave: tomorrow, at the hour at which it was due, so that a test of hours stays one.
pub(crate) fn again(due: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let tomorrow = day_of(now).checked_add(1.day()).unwrap_or(Date::MAX);
    match due {
        Some(due) => at_hour_of(due, tomorrow).max(due),
        None => tomorrow.to_zoned(TimeZone::UTC).map_or(now, |zoned| zoned.timestamp()),
    }
}

/// When the first of the rows that are left may leave.
pub(crate) fn first_again(rows: &[PlanRow], now: Timestamp) -> Option<Timestamp> {
    rows.iter().map(|row| again(row.due, now)).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn what_has_no_room_waits_for_the_same_hour_of_the_next_day() {
        let now = at("2026-12-01T21:30:00Z");
        assert_eq!(again(Some(at("2026-12-01T09:15:00Z")), now), at("2026-12-02T09:15:00Z"));
        assert_eq!(again(Some(at("2026-11-28T23:59:59Z")), now), at("2026-12-02T23:59:59Z"));
        assert_eq!(again(None, now), at("2026-12-02T00:00:00Z"));
    }
}
