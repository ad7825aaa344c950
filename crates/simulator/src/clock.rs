//! Simulated time and seeded randomness: the [`Clock`] and [`Ids`] of a server that lives two weeks in a minute.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use tokio::sync::watch;
use vocabulary::world::to_micros;
use vocabulary::{Clock, Ids, Timestamp};

/// A clock that stands still until it is told to advance, and then wakes everybody whose time has come.
#[derive(Debug)]
pub struct SteppedClock {
    time: watch::Sender<Timestamp>,
}

impl SteppedClock {
    /// A clock that shows `start`.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        Self { time: watch::Sender::new(to_micros(start)) }
    }

    /// Sets the clock, back too, as a hand on a machine's clock does. Who slept until a time that has come is woken.
    pub fn set(&self, time: Timestamp) {
        self.time.send_replace(to_micros(time));
    }

    /// Moves the clock to `time` and wakes all who slept until then. It never goes back: an earlier time is ignored.
    pub fn advance_to(&self, time: Timestamp) {
        let time = to_micros(time);
        self.time.send_if_modified(|now| {
            let later = time > *now;
            *now = time.max(*now);
            later
        });
    }
}

impl Clock for SteppedClock {
    fn now(&self) -> Timestamp {
        *self.time.borrow()
    }

    fn sleep_until(&self, due: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let mut time = self.time.subscribe();
        Box::pin(async move {
            // The sender lives in `self`, which this future borrows, so the wait cannot fail.
            let _ = time.wait_for(|now| *now >= due).await;
        })
    }
}

/// Random bits that follow from one seed, so that a run can be repeated. Not for service: whoever knows the seed knows
/// every key and token.
#[derive(Debug)]
pub struct SeededIds {
    stream: Mutex<ChaCha20Rng>,
}

impl SeededIds {
    /// The stream of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { stream: Mutex::new(ChaCha20Rng::seed_from_u64(seed)) }
    }
}

impl Ids for SeededIds {
    fn fill(&self, bytes: &mut [u8]) {
        // A poisoned lock only means that another thread panicked between two draws; the stream is intact.
        self.stream.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn a_sleeper_wakes_when_its_time_has_come_and_not_before() {
        let clock = SteppedClock::new(at("2026-03-02T00:00:00Z"));
        let mut sleep = clock.sleep_until(at("2026-03-02T09:00:00Z"));
        assert!(futures::poll!(&mut sleep).is_pending());
        clock.advance_to(at("2026-03-02T08:59:59Z"));
        assert!(futures::poll!(&mut sleep).is_pending(), "an early step does not wake it");
        clock.advance_to(at("2026-03-02T10:00:00Z"));
        sleep.await;
        assert_eq!(clock.now(), at("2026-03-02T10:00:00Z"));
    }

    #[tokio::test]
    async fn every_sleeper_in_another_task_is_woken() {
        let clock = Arc::new(SteppedClock::new(at("2026-03-02T00:00:00Z")));
        let sleepers = (1..=20).map(|hour| {
            let clock = clock.clone();
            let due = at("2026-03-02T00:00:00Z") + jiff::SignedDuration::from_hours(hour);
            tokio::spawn(async move { clock.sleep_until(due).await })
        });
        let sleepers: Vec<_> = sleepers.collect();
        tokio::task::yield_now().await;
        clock.advance_to(at("2026-03-02T20:00:00Z"));
        for sleeper in sleepers {
            sleeper.await.unwrap();
        }
    }

    #[tokio::test]
    async fn the_past_is_over_at_once_and_time_never_goes_back() {
        let clock = SteppedClock::new(at("2026-03-02T09:00:00.1234567Z"));
        assert_eq!(clock.now(), at("2026-03-02T09:00:00.123456Z"), "cut to microseconds");
        clock.sleep_until(at("2026-03-01T00:00:00Z")).await;
        clock.advance_to(at("2026-03-01T00:00:00Z"));
        assert_eq!(clock.now(), at("2026-03-02T09:00:00.123456Z"));
    }

    #[tokio::test]
    async fn a_hand_may_set_it_back() {
        let clock = SteppedClock::new(at("2026-03-02T09:00:00Z"));
        let mut sleep = clock.sleep_until(at("2026-03-02T09:30:00Z"));
        clock.set(at("2026-03-02T08:00:00Z"));
        assert!(futures::poll!(&mut sleep).is_pending());
        assert_eq!(clock.now(), at("2026-03-02T08:00:00Z"));
        clock.set(at("2026-03-02T10:00:00Z"));
        sleep.await;
    }

    #[test]
    fn the_same_seed_gives_the_same_ids() {
        let draw = |seed| {
            let ids = SeededIds::new(seed);
            (ids.contact_key(), ids.token(), ids.token())
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let (_, first, second) = draw(7);
        assert_ne!(first, second);
    }
}
