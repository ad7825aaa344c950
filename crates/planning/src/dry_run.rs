//! What a plan would come to, counted: looked at before anything is sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use lake::PlanReason;
use vocabulary::{Channel, VariantName};

use crate::hours::LearnedHour;

/// Recipients counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// They get a message.
    pub sent: u64,
    /// They get none.
    pub left_out: u64,
}

/// What a rule does to how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruled {
    /// How many it puts off, and how many get none because of it.
    pub counts: Counts,
    /// What it said about the first of them.
    pub reason: Arc<str>,
}

/// A plan in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DryRun {
    /// Everybody but those who are held out.
    pub all: Counts,
    /// They get everything but the message, because their variant is the experiment's holdout.
    pub held_out: u64,
    /// By ISO 3166 country they buy in; `None` where it is not known.
    pub by_market: BTreeMap<Option<String>, Counts>,
    /// By variant; `None` where the recommended one is taken when the message leaves.
    pub by_variant: BTreeMap<Option<VariantName>, u64>,
    /// Messages by channel.
    pub by_channel: BTreeMap<Channel, u64>,
    /// Messages by the hour in which they are due, by its beginning.
    pub by_hour: BTreeMap<Timestamp, u64>,
    /// Messages whose hour was learned, by that hour and whose habit it is.
    pub by_learned_hour: BTreeMap<LearnedHour, u64>,
    /// By the name of a rule and its version.
    pub by_rule: BTreeMap<(Arc<str>, u32), Ruled>,
}

impl DryRun {
    /// Counts one decision.
    pub(crate) fn add(
        &mut self,
        market: Option<&str>,
        variant: Option<&VariantName>,
        due: Option<Timestamp>,
        channel: Option<Channel>,
        why: Option<&PlanReason>,
    ) {
        let count = |counts: &mut Counts| match due {
            Some(_) => counts.sent += 1,
            None => counts.left_out += 1,
        };
        count(&mut self.all);
        count(self.by_market.entry(market.map(str::to_owned)).or_default());
        if let Some(due) = due {
            *self.by_variant.entry(variant.cloned()).or_default() += 1;
            channel.into_iter().for_each(|channel| *self.by_channel.entry(channel).or_default() += 1);
            let hour = due.as_second() - due.as_second().rem_euclid(3_600);
            *self.by_hour.entry(Timestamp::from_second(hour).unwrap_or(due)).or_default() += 1;
        }
        if let Some(why) = why {
            let new = || Ruled { counts: Counts::default(), reason: why.reason.clone() };
            count(&mut self.by_rule.entry((why.rule.clone(), why.version)).or_insert_with(new).counts);
        }
    }
}

/// When the last of messages due at these times, in order, leaves where so many leave a second.
#[must_use]
pub fn done_at(dues: &[Timestamp], per_second: f64) -> Option<Timestamp> {
    let each = SignedDuration::try_from_secs_f64(1.0 / per_second).ok()?;
    let mut done: Option<Timestamp> = None;
    for due in dues {
        done = Some(done.map_or(*due, |done| done.max(*due)).checked_add(each).ok()?);
    }
    done
}

/// When messages due at these times, in order, leave if a day of UTC has only room for so many: on the first day with room, at the same
/// time of day. `room` is asked with days from `now` on, and answers `None` from the first day without a limit. In order again.
#[must_use]
pub fn spread_over_days(dues: &[Timestamp], now: Timestamp, room: impl Fn(i64) -> Option<u64>) -> Vec<Timestamp> {
    const DAY: i64 = 24 * 60 * 60;
    let number = |at: Timestamp| at.as_second().div_euclid(DAY);
    let (today, mut left): (i64, BTreeMap<i64, Option<u64>>) = (number(now), BTreeMap::new());
    // By the day on which messages are due, the first day that was found with room for them.
    let mut free: BTreeMap<i64, i64> = BTreeMap::new();
    let mut leaving: Vec<Timestamp> = Vec::with_capacity(dues.len());
    for due in dues {
        let own = number(*due) - today;
        let day = free.entry(own).or_insert(own.max(0));
        loop {
            match left.entry(*day).or_insert_with(|| room(*day)) {
                None => break,
                Some(0) => *day += 1,
                Some(room) => {
                    *room -= 1;
                    break;
                }
            }
        }
        leaving.push(due.checked_add(SignedDuration::from_secs((*day - own).max(0) * DAY)).unwrap_or(*due));
    }
    leaving.sort_unstable();
    leaving
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn everybody_is_counted_once() {
        let (mut run, variant) = (DryRun::default(), VariantName::new("a").unwrap());
        let why = |rule: &str, reason: &str| PlanReason { rule: rule.into(), version: 1, reason: reason.into() };
        run.add(Some("DE"), Some(&variant), Some(at(3_599)), Some(Channel::Sms), None);
        run.add(Some("DE"), Some(&variant), Some(at(3_600)), Some(Channel::Sms), Some(&why("hours/de", "closed")));
        run.add(Some("FR"), None, None, None, Some(&why("consent/fr", "no consent")));
        run.add(None, None, None, None, Some(&why("consent/fr", "withdrawn")));
        assert_eq!(run.all, Counts { sent: 2, left_out: 2 });
        assert_eq!(run.by_market[&Some("DE".to_owned())], Counts { sent: 2, left_out: 0 });
        assert_eq!(run.by_market[&None], Counts { sent: 0, left_out: 1 });
        assert_eq!(run.by_variant, BTreeMap::from([(Some(variant), 2)]));
        assert_eq!(run.by_channel, BTreeMap::from([(Channel::Sms, 2)]));
        assert_eq!(run.by_hour, BTreeMap::from([(at(0), 1), (at(3_600), 1)]));
        let consent = &run.by_rule[&("consent/fr".into(), 1)];
        assert_eq!((consent.counts, &*consent.reason), (Counts { sent: 0, left_out: 2 }, "no consent"));
        assert_eq!(run.by_rule[&("hours/de".into(), 1)].counts, Counts { sent: 1, left_out: 0 });
    }

    #[test]
    fn what_a_day_has_no_room_for_leaves_on_the_next() {
        const DAY: i64 = 86_400;
        let check = |dues: &[i64], rooms: &[u64], expect: &[i64]| {
            let dues: Vec<Timestamp> = dues.iter().map(|due| at(*due)).collect();
            let room = |day: i64| rooms.get(usize::try_from(day).unwrap()).copied();
            let leaving: Vec<i64> = spread_over_days(&dues, at(500), room).iter().map(|at| at.as_second()).collect();
            assert_eq!(leaving, expect, "{rooms:?}");
        };
        check(&[], &[1], &[]);
        check(&[1_000; 4], &[], &[1_000; 4]);
        check(&[1_000; 4], &[4], &[1_000; 4]);
        check(&[1_000, 1_001, 1_002, 1_003], &[1, 2], &[1_000, DAY + 1_001, DAY + 1_002, 2 * DAY + 1_003]);
        check(&[1_000, 1_000, DAY + 500], &[1, 1, 1, 1], &[1_000, DAY + 1_000, 2 * DAY + 500]);
        check(&[1_000, 1_000], &[0, 0, 1, 1], &[2 * DAY + 1_000, 3 * DAY + 1_000]);
        // A later due that has room of its own does not take the room of those that wait.
        check(&[1_000, 3 * DAY, 3 * DAY + 1], &[1, 1, 1, 1], &[1_000, 3 * DAY, 4 * DAY + 1]);
    }

    #[test]
    fn a_queue_is_done_when_its_last_has_left() {
        let check = |dues: &[i64], per_second: f64, expect: Option<i64>| {
            let dues: Vec<Timestamp> = dues.iter().map(|due| at(*due)).collect();
            assert_eq!(done_at(&dues, per_second), expect.map(at), "{dues:?}");
        };
        check(&[], 1.0, None);
        check(&[10, 10, 10], 1.0, Some(13));
        check(&[10, 10, 100], 0.5, Some(102));
        check(&[10, 11, 12, 13], 0.1, Some(50));
    }
}
