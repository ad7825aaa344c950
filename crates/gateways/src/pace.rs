//! How fast a destination takes messages: as fast as they come, until it pushes back; then half as fast, and from there a little faster
//! as long as it does not (additive increase, multiplicative decrease: Chiu and Jain 1989, the way TCP shares a line).
//!
//! *Invariant:* nothing is forgotten that a destination said within [`FORGOTTEN_SECONDS`], and nothing here sends or waits: it says when.

use std::collections::HashMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

/// What is built in.
const DESTINATIONS: &str = include_str!("../../../data/rules/destinations.toml");
/// A destination is never sent less than this, or it would never be found to be well again: one message in five seconds.
const RATE_MIN: f64 = 0.2;
/// A destination that takes more than this a second is not held back any more: no single mailbox operator pushes back above it.
const RATE_MAX: f64 = 500.0;
/// So much more a second is tried for each second without a push-back.
const INCREASE: f64 = 0.5;
/// Push-backs within this time are one: they answer messages that were on their way already.
const DECREASE_PAUSE: SignedDuration = SignedDuration::from_secs(10);
/// After a push-back nothing goes to the destination for this time.
const HOLD: SignedDuration = SignedDuration::from_secs(5);
/// The speed at the moment of the first push-back is counted over this time.
const WINDOW: SignedDuration = SignedDuration::from_secs(10);
/// A destination of which nothing was heard for so long is sent to as one that is new.
const FORGOTTEN_SECONDS: i64 = 24 * 60 * 60;
/// Destinations that are remembered: far more than push back at one time.
const REMEMBERED_MAX: usize = 100_000;

/// What destinations said lately.
pub struct Pace {
    groups: HashMap<String, String>,
    destinations: HashMap<String, Destination>,
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pace").field("destinations", &self.destinations.len()).finish_non_exhaustive()
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::new()
    }
}

/// A destination and how fast it is sent to.
#[derive(Debug, Clone, Copy)]
struct Destination {
    /// Messages a second; `None` where it does not push back.
    rate: Option<f64>,
    /// Messages that may leave at once.
    tokens: f64,
    /// When `rate` and `tokens` were right.
    at: Timestamp,
    /// Nothing leaves before.
    held_until: Option<Timestamp>,
    decreased_at: Option<Timestamp>,
    /// Messages since the window began.
    window: (Timestamp, u32),
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "version")]
    _version: u32,
    #[serde(rename = "checked")]
    _checked: toml::Value,
    destinations: HashMap<String, Vec<String>>,
}

impl Pace {
    /// Nothing was heard yet; domains of one operator are those that are built in.
    ///
    /// # Panics
    /// Never: a test reads the built-in file.
    #[must_use]
    pub fn new() -> Self {
        let file: File = toml::from_str(DESTINATIONS).expect("a test reads the built-in file");
        let groups = file.destinations.into_iter();
        let groups = groups.flat_map(|(name, domains)| domains.into_iter().map(move |domain| (domain, name.clone()))).collect();
        Self { groups, destinations: HashMap::new() }
    }

    /// The destination of an address: the operator of its domain, else the domain itself.
    fn destination(&self, address: &str) -> String {
        let domain = address.rsplit_once('@').map_or(address, |(_, domain)| domain).to_lowercase();
        self.groups.get(&domain).cloned().unwrap_or(domain)
    }

    /// Whether a message to this address may leave now. If so, it counts as leaving.
    ///
    /// # Errors
    /// When to ask again.
    pub fn take(&mut self, address: &str, now: Timestamp) -> Result<(), Timestamp> {
        let name = self.destination(address);
        if self.destinations.len() >= REMEMBERED_MAX {
            self.forget(now);
        }
        let destination = self.destinations.entry(name).or_insert_with(|| Destination::new(now));
        destination.take(now)
    }

    /// Notes that the destination of this address pushed back: an answer of the kind of 421, 450, 451 or 452.
    pub fn pushed_back(&mut self, address: &str, now: Timestamp) {
        let name = self.destination(address);
        self.destinations.entry(name).or_insert_with(|| Destination::new(now)).decrease(now);
    }

    fn forget(&mut self, now: Timestamp) {
        self.destinations.retain(|_, known| known.rate.is_some() && now.duration_since(known.at).as_secs() < FORGOTTEN_SECONDS);
    }
}

impl Destination {
    fn new(now: Timestamp) -> Self {
        Self { rate: None, tokens: 0.0, at: now, held_until: None, decreased_at: None, window: (now, 0) }
    }

    fn take(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        if let Some(until) = self.held_until.filter(|until| now < *until) {
            return Err(until);
        }
        self.refill(now);
        self.count(now);
        let Some(rate) = self.rate else { return Ok(()) };
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let seconds = (1.0 - self.tokens) / rate;
        Err(now.checked_add(SignedDuration::from_secs_f64(seconds)).unwrap_or(now))
    }

    /// Brings rate and tokens up to now. While the destination is held, neither grows.
    fn refill(&mut self, now: Timestamp) {
        let seconds = now.duration_since(self.at).as_secs_f64();
        if seconds <= 0.0 {
            // Unless the clock went back, the time is not far.
            self.at = self.at.min(now.checked_add(HOLD).unwrap_or(now));
            return;
        }
        self.at = now;
        if let Some(rate) = self.rate {
            let rate = rate + INCREASE * seconds;
            self.tokens = (self.tokens + rate * seconds).min(rate.max(1.0));
            self.rate = (rate <= RATE_MAX).then_some(rate);
        }
    }

    fn count(&mut self, now: Timestamp) {
        let (began, count) = self.window;
        self.window = if now.duration_since(began) > WINDOW { (now, 1) } else { (began, count + 1) };
    }

    fn decrease(&mut self, now: Timestamp) {
        if self.decreased_at.is_some_and(|before| now >= before && now.duration_since(before) < DECREASE_PAUSE) {
            return;
        }
        self.refill(now);
        let (began, count) = self.window;
        let observed = f64::from(count) / now.duration_since(began).as_secs_f64().max(1.0);
        self.rate = Some((self.rate.unwrap_or(observed) / 2.0).clamp(RATE_MIN, RATE_MAX));
        self.tokens = 0.0;
        self.decreased_at = Some(now);
        self.at = now.checked_add(HOLD).unwrap_or(now);
        self.held_until = Some(self.at);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_772_000_000_000 + millis).unwrap()
    }

    /// How many of so many messages a second leave within some seconds, asked one after the other.
    fn left(pace: &mut Pace, address: &str, from_ms: i64, seconds: i64, per_second: i64) -> usize {
        (0..seconds * per_second).filter(|n| pace.take(address, at(from_ms + n * 1_000 / per_second)).is_ok()).count()
    }

    #[test]
    fn nothing_is_held_back_until_somebody_pushes_back_and_then_only_there() {
        let mut pace = Pace::new();
        assert_eq!(left(&mut pace, "a@gmail.com", 0, 10, 100), 1_000);
        pace.pushed_back("b@googlemail.com", at(10_000));
        assert_eq!(pace.take("c@GMAIL.com", at(10_001)), Err(at(15_000)), "one operator");
        assert_eq!(left(&mut pace, "a@shop.example", 10_000, 1, 100), 100, "another one");
        let first = left(&mut pace, "a@gmail.com", 15_000, 10, 100);
        assert!((450..700).contains(&first), "half of what it was, and a little more: {first}");
        let later = left(&mut pace, "a@gmail.com", 25_000, 10, 100);
        assert!(later > first, "faster as long as nobody pushes back: {later}");
        // A push-back that answers what was on its way already is not another one.
        pace.pushed_back("a@gmail.com", at(35_000));
        pace.pushed_back("a@gmail.com", at(35_100));
        let slower = left(&mut pace, "a@gmail.com", 40_000, 10, 100);
        assert!(slower > later / 3 && slower < later, "{slower} after {later}");
    }

    #[test]
    fn a_destination_that_is_well_again_is_sent_to_as_before() {
        let mut pace = Pace::new();
        for n in 0..50 {
            pace.pushed_back("a@x.example", at(n * 20_000));
        }
        let slow = left(&mut pace, "a@x.example", 1_000_000, 10, 100);
        assert!((50..300).contains(&slow), "{slow}");
        let day = FORGOTTEN_SECONDS * 1_000;
        assert_eq!(left(&mut pace, "a@x.example", day + 2_000_000, 1, 1_000), 1_000);
    }

    proptest! {
        #[test]
        fn whenever_it_says_it_may_leave_then(steps in prop::collection::vec((0..30_000i64, any::<bool>()), 1..200)) {
            let (mut pace, mut now) = (Pace::new(), 0);
            for (pause, is_pushed) in steps {
                now += pause;
                if is_pushed {
                    pace.pushed_back("a@x.example", at(now));
                }
                if let Err(until) = pace.take("a@x.example", at(now)) {
                    prop_assert!(until > at(now));
                    // Held first, then paced: the second answer is the last.
                    let first = pace.take("a@x.example", until);
                    let second = first.or_else(|again| pace.take("a@x.example", again + SignedDuration::from_millis(1)));
                    prop_assert!(second.is_ok(), "{first:?}");
                    now = (until.as_millisecond() - at(0).as_millisecond()).max(now) + 10_000;
                }
            }
        }
    }
}
