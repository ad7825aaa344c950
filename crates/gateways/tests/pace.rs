//! Destinations with a clock of their own, to which mail is sent as fast as its pace permits.

use std::collections::VecDeque;

use gateways::Pace;
use gateways::put_off::is_about_load;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

/// The least that a destination is sent, a second.
const FLOOR: f64 = 0.2;
/// For how long nothing leaves before a wall.
const HOLD: SignedDuration = SignedDuration::from_secs(5);
/// After which a destination is new.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

const TO: &str = "a@x.example";
/// Between a message's leaving and its answer.
const ROUND_TRIP_MS: i64 = 200;
/// What the sender has to send, a second, where nothing else is said.
const OFFERED: i64 = 500;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(1_772_000_000_000 + millis).unwrap()
}

/// A destination and how mail to it went.
struct Simulated<F> {
    pace: Pace,
    now_ms: i64,
    offered: i64,
    /// Answers on their way: when they come, when the message left, and what they say.
    answers: VecDeque<(i64, i64, &'static str)>,
    answer: F,
    taken: usize,
    put_off: usize,
}

impl<F: FnMut(i64) -> &'static str> Simulated<F> {
    fn new(answer: F) -> Self {
        Self { pace: Pace::new(), now_ms: 0, offered: OFFERED, answers: VecDeque::new(), answer, taken: 0, put_off: 0 }
    }

    /// Messages taken and put off in the next `seconds`, per second.
    fn run(&mut self, seconds: i64) -> (f64, f64) {
        (self.taken, self.put_off) = (0, 0);
        let end = self.now_ms + seconds * 1_000;
        while self.now_ms < end {
            while let Some((_, left, reply)) = self.answers.pop_front_if(|(comes, _, _)| *comes <= self.now_ms) {
                self.pace.heard(TO, at(left), is_about_load(reply), at(self.now_ms));
            }
            if self.pace.take(TO, at(self.now_ms)).is_ok() {
                let reply = (self.answer)(self.now_ms);
                self.answers.push_back((self.now_ms + ROUND_TRIP_MS, self.now_ms, reply));
                if reply.starts_with("250") { self.taken += 1 } else { self.put_off += 1 }
            }
            self.now_ms += 1_000 / self.offered;
        }
        (self.taken as f64 / seconds as f64, self.put_off as f64 / seconds as f64)
    }
}

/// Takes so many in each second and puts the others off.
fn with_capacity(per_second: f64, reply: &'static str) -> impl FnMut(i64) -> &'static str {
    let (mut room, mut before) = (per_second.max(1.0), 0);
    move |now| {
        room = (room + per_second * (now - before) as f64 / 1_000.0).min(per_second.max(1.0));
        before = now;
        if room < 1.0 {
            return reply;
        }
        room -= 1.0;
        "250 2.0.0 Ok"
    }
}

/// Puts off this share at random, whatever the speed.
fn at_random(share: f64, reply: &'static str) -> impl FnMut(i64) -> &'static str {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    move |_| if random.random::<f64>() < share { reply } else { "250 2.0.0 Ok" }
}

#[test]
fn a_destination_is_sent_what_it_takes_and_little_more() {
    for capacity in [2.0, 10.0, 100.0, 300.0] {
        for reply in ["421 4.7.0 too many", "451 4.7.1 Try again later"] {
            let mut it = Simulated::new(with_capacity(capacity, reply));
            it.run(300);
            for _ in 0..6 {
                let (taken, put_off) = it.run(300);
                assert!(taken > 0.8 * capacity, "{taken} of {capacity}, {put_off} put off");
                assert!(put_off < 0.04 * capacity + 0.2, "{put_off} put off of {capacity}");
            }
        }
    }
}

#[test]
fn put_offs_that_do_not_follow_the_rate_do_not_starve() {
    for (offered, share, least) in [(OFFERED, 0.03, 0.95), (10, 0.03, 0.8), (OFFERED, 0.08, 0.5), (OFFERED, 0.12, 0.4)] {
        let mut it = Simulated { offered, ..Simulated::new(at_random(share, "451 4.7.1 Try again later")) };
        let slowest = (0..6).map(|_| it.run(120).0).fold(f64::INFINITY, f64::min);
        assert!(slowest > least * offered as f64 * (1.0 - share), "{slowest} a second of {offered} with {share} put off");
    }
}

#[test]
fn what_is_about_a_mailbox_changes_nothing() {
    for reply in ["452 4.2.2 The mailbox is full", "451 4.7.1 Greylisted, come again in 300 seconds"] {
        let mut it = Simulated::new(at_random(1.0, reply));
        assert_eq!(it.run(120), (0.0, OFFERED as f64), "{reply}");
    }
}

#[test]
fn a_wall_is_sent_next_to_nothing_until_it_falls() {
    let mut it = Simulated::new(|now| if now < 900_000 { "421 4.3.2 closing" } else { "250 2.0.0 Ok" });
    let (_, at_first) = it.run(60);
    assert!(at_first < 10.0, "{at_first} a second in the first minute");
    it.run(540);
    let (_, later) = it.run(300);
    assert!((FLOOR * 0.8..FLOOR * 2.0).contains(&later), "{later} a second before the wall");
    it.run(420);
    let (taken, _) = it.run(60);
    assert!(taken > 10.0, "{taken} a second seven minutes after it fell");
    it.run(360);
    assert_eq!(it.run(60), (OFFERED as f64, 0.0), "all of it after a quarter of an hour");
}

#[test]
fn only_the_operator_that_puts_off_is_sent_less() {
    let mut pace = Pace::new();
    let left = |pace: &mut Pace, address: &str, from_ms: i64, seconds: i64| {
        (0..seconds * 100).filter(|n| pace.take(address, at(from_ms + n * 10)).is_ok()).count()
    };
    assert_eq!(left(&mut pace, "a@gmail.com", 0, 10), 1_000);
    (0..10).for_each(|_| pace.heard("b@googlemail.com", at(9_900), true, at(10_000)));
    assert_eq!(pace.take("c@GMAIL.com", at(10_001)), Err(at(15_000)), "one operator");
    assert_eq!(left(&mut pace, "a@shop.example", 10_000, 1), 100, "another one");
    // More answers to what was on its way do not count again.
    (0..50).for_each(|_| pace.heard("b@googlemail.com", at(9_950), true, at(10_100)));
    let half = left(&mut pace, "a@gmail.com", 15_000, 10);
    assert!((450..550).contains(&half), "half of what it was: {half}");
    assert_eq!(left(&mut pace, "a@gmail.com", DAY_MS, 1), 100, "well again");
}

proptest! {
    #[test]
    fn whenever_it_says_it_may_leave_then(steps in prop::collection::vec((-5_000..30_000i64, any::<bool>()), 1..200)) {
        let (mut pace, mut now) = (Pace::new(), 0);
        for (pause, is_put_off) in steps {
            now += pause;
            (0..3).for_each(|_| pace.heard(TO, at(now - 1), is_put_off, at(now)));
            if let Err(until) = pace.take(TO, at(now)) {
                prop_assert!(until > at(now) && until.duration_since(at(now)) <= HOLD);
                // Held first, then paced: the second answer is the last.
                let first = pace.take(TO, until);
                let second = first.or_else(|again| pace.take(TO, again + SignedDuration::from_millis(1)));
                prop_assert!(second.is_ok(), "{first:?}");
                now = (until.as_millisecond() - at(0).as_millisecond()).max(now) + 10_000;
            }
        }
    }
}
