//! How fast a destination takes messages: as fast as they come, until it puts off too many of them; then only as fast as it took them, and
//! from there a little faster as long as it takes them (additive increase, multiplicative decrease: Chiu and Jain 1989, the way TCP
//! shares a line).
//!
//! Put-offs are judged by their share in a window of answers and not one by one, and each window slows down once at most: what left
//! before that answers to the speed before. A share that stays where it is however slowly mail is sent, as that of greylisting does, is
//! no reason to be slower still, so the lowest share of the last minutes is taken for usual.
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
/// A destination that takes more than this a second is not held back any more: one process does not send more to one operator.
const RATE_MAX: f64 = 5_000.0;
/// So much faster each second, as a share of the rate, while put-offs are no more than usual: what a decrease took is there again after some
/// twenty seconds, whatever the rate is (as in Scalable TCP, Kelly 2003).
const INCREASE: f64 = 0.01;
/// The least of it, in messages a second each second, which brings a destination at [`RATE_MIN`] back.
const INCREASE_MIN: f64 = 0.01;
/// After a window with too many put-offs the rate is the one that was taken, less a tenth: so that what waits there can drain.
const DECREASE: f64 = 0.9;
/// One window at most halves the rate.
const DECREASE_MAX: f64 = 0.5;
/// A window lasts so long, or more until [`HEARD_MIN`] answers are in it.
const WINDOW: SignedDuration = SignedDuration::from_secs(5);
/// A window in which so few answers came in all this time is begun anew: it tells of two different times.
const WINDOW_MAX: SignedDuration = SignedDuration::from_secs(60);
/// Answers of which a share can be told.
const HEARD_MIN: u32 = 10;
/// Fewer put-offs than this in one window may be chance.
const PUT_OFF_MIN: u32 = 3;
/// A share of put-offs that never slows down: a list in fair order meets it at any speed.
const TOLERATED: f64 = 0.05;
/// So much beyond it is taken for usual where it does not follow the rate. More than that is slowed down for in any case.
const USUAL_MAX: f64 = 0.2;
/// The lowest share of the last one to two of these is the usual one.
const USUAL: SignedDuration = SignedDuration::from_secs(120);
/// From this share on the destination takes next to nothing: the window ends at once.
const WALL: f64 = 0.5;
/// Before a wall nothing leaves for this time.
const HOLD: SignedDuration = SignedDuration::from_secs(5);
/// The speed that mail left with is counted over this time.
const SPEED_OVER: SignedDuration = SignedDuration::from_secs(10);
/// A destination of which nothing was heard for so long is sent to as one that is new.
const FORGOTTEN_SECONDS: i64 = 24 * 60 * 60;
/// Destinations that are remembered: far more than push back at one time.
const REMEMBERED_MAX: usize = 100_000;

/// What destinations said lately.
pub struct Pace {
    destinations: Destinations,
    known: HashMap<String, Known>,
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pace").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::new()
    }
}

impl Pace {
    /// Nothing was heard yet; domains of one operator are those that are built in.
    #[must_use]
    pub fn new() -> Self {
        Self { destinations: Destinations::built_in(), known: HashMap::new() }
    }

    /// Whether a message to this address may leave now. If so, it counts as leaving.
    ///
    /// # Errors
    /// When to ask again.
    pub fn take(&mut self, address: &str, now: Timestamp) -> Result<(), Timestamp> {
        let name = self.destinations.of(address);
        if self.known.len() >= REMEMBERED_MAX {
            self.forget(now);
        }
        self.known.entry(name).or_insert_with(|| Known::new(now)).take(now)
    }

    /// Notes how the destination of this address answered a message that left at `left_at`: whether it was put off for a reason that
    /// is about load ([`crate::put_off::is_about_load`]). Any other answer says that the destination is well.
    pub fn heard(&mut self, address: &str, left_at: Timestamp, is_put_off: bool, now: Timestamp) {
        let name = self.destinations.of(address);
        self.known.entry(name).or_insert_with(|| Known::new(now)).heard(left_at, is_put_off, now);
    }

    fn forget(&mut self, now: Timestamp) {
        self.known.retain(|_, known| known.rate.is_some() && now.duration_since(known.at).as_secs() < FORGOTTEN_SECONDS);
    }
}

/// Which domains one operator has.
#[derive(Debug, Clone)]
pub struct Destinations {
    operators: HashMap<String, String>,
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "version")]
    _version: u32,
    #[serde(rename = "checked")]
    _checked: toml::Value,
    destinations: HashMap<String, Vec<String>>,
}

impl Destinations {
    /// Those that are built in.
    ///
    /// # Panics
    /// Never: a test reads the built-in file.
    #[must_use]
    pub fn built_in() -> Self {
        let file: File = toml::from_str(DESTINATIONS).expect("a test reads the built-in file");
        let operators = file.destinations.into_iter();
        let operators = operators.flat_map(|(name, domains)| domains.into_iter().map(move |domain| (domain, name.clone())));
        Self { operators: operators.collect() }
    }

    /// Whether an operator has this name.
    #[must_use]
    pub fn is_operator(&self, name: &str) -> bool {
        self.operators.values().any(|known| known == name)
    }

    /// The destination of an address: the operator of its domain, such as `google`, else the domain itself.
    #[must_use]
    pub fn of(&self, address: &str) -> String {
        let domain = address.rsplit_once('@').map_or(address, |(_, domain)| domain).to_lowercase();
        self.operators.get(&domain).cloned().unwrap_or(domain)
    }
}

/// A destination and how fast it is sent to.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// Messages a second; `None` where all that comes may leave.
    rate: Option<f64>,
    /// Messages that may leave at once.
    tokens: f64,
    /// When `rate` and `tokens` were right.
    at: Timestamp,
    /// Nothing leaves before.
    held_until: Option<Timestamp>,
    /// When the rate was last lowered: what left before says nothing about the rate since.
    slowed_at: Option<Timestamp>,
    /// The rate does not grow before.
    grows_from: Timestamp,
    window: Window,
    usual: Usual,
    speed: Speed,
}

impl Known {
    fn new(now: Timestamp) -> Self {
        Self {
            rate: None,
            tokens: 0.0,
            at: now,
            held_until: None,
            slowed_at: None,
            grows_from: now,
            window: Window::default(),
            usual: Usual { lowest: [None; 2], since: now },
            speed: Speed { before: None, since: now, left: 0 },
        }
    }

    fn take(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        // A clock that was set back does not hold for longer than the hold itself.
        if let Some(until) = self.held_until.filter(|until| now < *until && until.duration_since(now) <= HOLD) {
            return Err(until);
        }
        (self.held_until, self.at) = (None, self.at.min(now));
        self.refill(now);
        if let Some(rate) = self.rate {
            if self.tokens < 1.0 {
                let seconds = (1.0 - self.tokens) / rate;
                return Err(now.checked_add(SignedDuration::from_secs_f64(seconds)).unwrap_or(now));
            }
            self.tokens -= 1.0;
        }
        self.speed.count(now);
        Ok(())
    }

    /// Brings rate and tokens up to now. While the destination is held, neither grows.
    fn refill(&mut self, now: Timestamp) {
        let seconds = now.duration_since(self.at).as_secs_f64();
        if seconds <= 0.0 {
            // Unless the clock went back, the time is not far.
            self.at = self.at.min(later(now, HOLD));
            self.grows_from = self.grows_from.min(later(now, WINDOW_MAX));
            return;
        }
        let growing = now.duration_since(self.at.max(self.grows_from)).as_secs_f64().max(0.0);
        self.at = now;
        if let Some(rate) = self.rate {
            let rate = rate + (rate * INCREASE).max(INCREASE_MIN) * growing;
            self.tokens = (self.tokens + rate * seconds).min(rate.max(1.0));
            self.rate = (rate <= RATE_MAX).then_some(rate);
        }
    }

    fn heard(&mut self, left_at: Timestamp, is_put_off: bool, now: Timestamp) {
        if self.slowed_at.is_some_and(|slowed| slowed > now) {
            // The clock went back.
            (self.slowed_at, self.window) = (None, Window::default());
        }
        if self.slowed_at.is_some_and(|slowed| left_at <= slowed) {
            return;
        }
        self.window.note(left_at, is_put_off, now);
        let Some(share) = self.window.share(now) else { return };
        let Window { heard, put_off, .. } = std::mem::take(&mut self.window);
        let usual = self.usual.share();
        self.usual.note(share, now);
        self.refill(now);
        // By more than a standard error, or chance alone would keep a small destination slow.
        let surely = share - (share * (1.0 - share) / f64::from(heard)).sqrt();
        if put_off >= PUT_OFF_MIN && surely > TOLERATED + usual {
            self.slow_down(share, now);
        } else {
            self.grows_from = self.grows_from.min(now);
        }
    }

    fn slow_down(&mut self, share: f64, now: Timestamp) {
        let left = self.speed.per_second(now);
        // A rate that was not used up says nothing about what the destination takes.
        let used = self.rate.map_or(left.unwrap_or(f64::from(self.speed.left)), |rate| rate.min(left.unwrap_or(rate)));
        let rate = used * ((1.0 - share) * DECREASE).max(DECREASE_MAX);
        self.rate = Some(rate.clamp(RATE_MIN, RATE_MAX));
        self.tokens = 0.0;
        self.slowed_at = Some(now);
        self.at = if share >= WALL { later(now, HOLD) } else { now };
        self.held_until = Some(self.at);
        // Until a window says that this is slow enough, or nothing is heard.
        self.grows_from = later(self.at, WINDOW_MAX);
        self.speed = Speed { before: None, since: self.at, left: 0 };
    }
}

fn later(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.checked_add(by).unwrap_or(now)
}

/// The answers that are judged together.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    /// When the first message left that was answered in it.
    began: Option<Timestamp>,
    heard: u32,
    put_off: u32,
}

impl Window {
    fn note(&mut self, left_at: Timestamp, is_put_off: bool, now: Timestamp) {
        let began = *self.began.get_or_insert(left_at);
        if now < began || (now.duration_since(began) > WINDOW_MAX && self.heard < HEARD_MIN) {
            *self = Self { began: Some(left_at.min(now)), ..Self::default() };
        }
        self.heard += 1;
        self.put_off += u32::from(is_put_off);
    }

    /// The share of put-offs, when the window is over.
    fn share(&self, now: Timestamp) -> Option<f64> {
        let began = self.began.filter(|_| self.heard >= HEARD_MIN)?;
        let share = f64::from(self.put_off) / f64::from(self.heard);
        (share >= WALL || now.duration_since(began) >= WINDOW).then_some(share)
    }
}

/// The lowest share of put-offs of late: in the time that runs, and in the one before.
#[derive(Debug, Clone, Copy)]
struct Usual {
    lowest: [Option<f64>; 2],
    since: Timestamp,
}

impl Usual {
    fn share(&self) -> f64 {
        self.lowest.into_iter().flatten().reduce(f64::min).unwrap_or(0.0).min(USUAL_MAX)
    }

    fn note(&mut self, share: f64, now: Timestamp) {
        let age = now.duration_since(self.since);
        if age > USUAL || age < SignedDuration::ZERO {
            // What is older than two of these times is not of late.
            let before = self.lowest[0].filter(|_| age <= USUAL * 2);
            *self = Self { lowest: [None, before], since: now };
        }
        self.lowest[0] = Some(self.lowest[0].map_or(share, |lowest| lowest.min(share)));
    }
}

/// How fast messages left: in the time that runs, and in the one before.
#[derive(Debug, Clone, Copy)]
struct Speed {
    before: Option<f64>,
    since: Timestamp,
    left: u32,
}

impl Speed {
    fn count(&mut self, now: Timestamp) {
        let age = now.duration_since(self.since);
        if age > SPEED_OVER || age < SignedDuration::ZERO {
            *self = Self { before: self.running(now), since: now, left: 0 };
        }
        self.left += 1;
    }

    /// Messages a second; `None` where less than a second is known of.
    fn per_second(&self, now: Timestamp) -> Option<f64> {
        self.before.into_iter().chain(self.running(now)).reduce(f64::max)
    }

    fn running(&self, now: Timestamp) -> Option<f64> {
        let seconds = now.duration_since(self.since).as_secs_f64();
        (seconds >= 1.0).then(|| f64::from(self.left) / seconds)
    }
}
