//! What a trigger means, by looking over a whole history: the definition that the engine is compared with. It knows no state and
//! no order of evaluation, and each question is asked of all facts again.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

use crate::condition::{Birthday, Condition, PriceDropped, Spent, Wait};
use crate::holdout::Holdout;
use crate::tests::euro;
use crate::{Act, Entry, Fact, Firing, Outcome, Person, Trigger, What};

/// All facts of a contact, and all that is asked of them.
struct History<'a>(&'a [Fact<'a>]);

/// The entries that ended by `now`. Nothing in the history is later.
pub(super) fn firings(trigger: &Trigger, person: &Person, history: &[Fact<'_>], now: Timestamp) -> Vec<Firing> {
    let history = History(history);
    let mut moments = history.moments(&trigger.when, person);
    moments.retain(|at| (person.since..=now).contains(at));
    moments.sort();
    moments.dedup();
    let delay = hours(24 * trigger.delay_days.unwrap_or(0) + trigger.delay_hours.unwrap_or(0));
    let held_out = Holdout::new(&trigger.trigger, trigger.holdout).has(person.key);
    // Beside each firing, when the entry ended.
    let mut entries: Vec<(Firing, Timestamp)> = Vec::new();
    for true_at in moments {
        if let Some((last, ended)) = entries.last() {
            let may_again = match trigger.entry {
                Entry::Once => false,
                Entry::OncePerDays(days) => true_at >= last.true_at + hours(24 * days),
                Entry::EachTime => true,
            };
            if !may_again || true_at <= *ended {
                continue;
            }
        }
        let due = true_at + delay;
        let exit = history.times(&trigger.exit).filter(|at| *at > true_at && *at <= due).min();
        let outcome = match exit {
            Some(at) => Outcome::Exited { at },
            None if held_out => Outcome::HeldOut,
            None => Outcome::Send,
        };
        let occurrence = entries.len() as u32 + 1;
        entries.push((Firing { occurrence, true_at, due, outcome }, exit.unwrap_or(due)));
    }
    entries.into_iter().filter(|(_, ended)| *ended <= now).map(|(firing, _)| firing).collect()
}

fn hours(number: u32) -> SignedDuration {
    SignedDuration::from_hours(i64::from(number))
}

impl History<'_> {
    /// When the condition became true, now or later.
    fn moments(&self, condition: &Condition, person: &Person) -> Vec<Timestamp> {
        match condition {
            Condition::Registered(wait) => self.waited(&[Act::Registered], length(wait), &wait.without),
            Condition::Browsed(wait) => self.waited(&[Act::Browsed], length(wait), &wait.without),
            Condition::Carted(wait) => self.waited(&[Act::Carted], length(wait), &wait.without),
            Condition::Inactive(inactive) => self.waited(&inactive.without, hours(24 * inactive.days), &[]),
            Condition::Spent(spent) => self.spent(spent),
            Condition::Birthday(birthday) => birthdays(birthday, person),
            Condition::PriceDropped(drop) => self.cheaper(drop),
            Condition::Entered(entered) => self.entered(&entered.segment),
        }
    }

    fn times(&self, acts: &[Act]) -> impl Iterator<Item = Timestamp> {
        self.0.iter().filter(|fact| fact.what.act().is_some_and(|act| acts.contains(&act))).map(|fact| fact.at)
    }

    fn waited(&self, begin: &[Act], length: SignedDuration, without: &[Act]) -> Vec<Timestamp> {
        let is_quiet = |from: &Timestamp| {
            let until = *from + length;
            !self.times(begin).any(|at| at > *from && at <= until) && !self.times(without).any(|at| at >= *from && at <= until)
        };
        self.times(begin).filter(is_quiet).map(|from| from + length).collect()
    }

    fn spent(&self, spent: &Spent) -> Vec<Timestamp> {
        let within = spent.within_days.map_or(SignedDuration::from_hours(24 * 100_000), |days| hours(24 * days));
        let payments = || {
            self.0.iter().filter_map(|fact| match fact.what {
                What::Ordered { amount } => Some((fact.at, amount)),
                _ => None,
            })
        };
        let is_above = |now: Timestamp| {
            let counted = payments().filter(|(at, _)| *at <= now && *at + within > now);
            counted.map(|(_, amount)| amount).sum::<i64>() > spent.more_than.minor(euro()).unwrap()
        };
        let changes = payments().flat_map(|(at, _)| [at, at + within]);
        changes.filter(|at| is_above(*at) && !is_above(*at - SignedDuration::from_micros(1))).collect()
    }

    fn cheaper(&self, drop: &PriceDropped) -> Vec<Timestamp> {
        let within = hours(24 * drop.seen_within_days);
        let is_wanted = |fact: &&Fact<'_>| {
            let What::PriceDropped { product: cheaper, percent } = fact.what else { return false };
            let sightings = self.0.iter().filter(|other| match other.what {
                What::Browsed { product } | What::Carted { product } => product == Some(cheaper) && other.at <= fact.at,
                _ => false,
            });
            let Some(seen) = sightings.map(|other| other.at).max() else { return false };
            percent >= drop.by_percent
                && fact.at < seen + within
                && !self.times(&drop.without).any(|at| at >= seen && at <= fact.at)
        };
        self.0.iter().filter(is_wanted).map(|fact| fact.at).collect()
    }

    fn entered(&self, name: &str) -> Vec<Timestamp> {
        let enters = |at: Timestamp| self.0.contains(&Fact { at, what: What::EnteredSegment { segment: name } });
        let leaves = |at: Timestamp| self.0.contains(&Fact { at, what: What::LeftSegment { segment: name } });
        let is_inside_before = |moment: Timestamp| {
            let last = self.0.iter().map(|fact| fact.at).filter(|at| *at < moment && (enters(*at) || leaves(*at))).max();
            last.is_some_and(enters)
        };
        self.0.iter().map(|fact| fact.at).filter(|at| enters(*at) && (leaves(*at) || !is_inside_before(*at))).collect()
    }
}

fn length(wait: &Wait) -> SignedDuration {
    SignedDuration::from_mins(i64::from(wait.for_minutes.unwrap_or(0)))
        + hours(wait.for_hours.unwrap_or(0))
        + hours(24 * wait.for_days.unwrap_or(0))
}

fn birthdays(birthday: &Birthday, person: &Person) -> Vec<Timestamp> {
    let Some(born) = person.birth.and_then(|birth| birth.date()) else { return Vec::new() };
    let zone = person.time_zone.clone().unwrap_or(TimeZone::UTC);
    let in_year = |year: i16| {
        let leaps = Date::constant(year, 1, 1).in_leap_year();
        let day = if born.month() == 2 && born.day() == 29 && !leaps { (3, 1) } else { (born.month(), born.day()) };
        let day = Date::constant(year, day.0, day.1) - i64::from(birthday.days_before).days();
        day.at(birthday.at_hour as i8, 0, 0, 0).to_zoned(zone.clone()).unwrap().timestamp()
    };
    (2020..2040).map(in_year).collect()
}
