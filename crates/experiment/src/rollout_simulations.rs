//! Many rollouts with a known truth, looked at four times a day: harm is stopped in time, and luck hardly ever.

use super::*;
use crate::testing::happened;

const RUNS: u64 = 500;

/// A look every six hours, for four weeks at most.
const LOOK_HOURS: u32 = 6;
const LOOKS_MAX: u32 = 28 * 4;

/// What a follower does at a look: visits and leaves with these chances, those of control first.
type Truth = fn(u32) -> [(f64, f64); 2];

/// How a rollout ended.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    /// At this share.
    Stopped(f64),
    Done,
    Held,
}

/// One rollout with so many followers between two looks, who count at the next one.
fn rollout(draws: &mut Draws, per_look: u64, truth: Truth) -> End {
    let mut store = Store::of(&[first("r1", None, "warm")]);
    let mut counts: Counts = [(0, 0, 0); 2];
    for look in 1..=LOOKS_MAX {
        let current = store.current[0].clone();
        let Some(share) = current.weights.get(&name("warm")).copied().filter(|_| current.weights.len() == 2) else {
            return End::Done;
        };
        let (many, spread) = (per_look as f64 * share, (per_look as f64 * share * (1.0 - share)).sqrt());
        let of_variant = (many + spread * draws.normal()).round() as u64;
        let fresh = [per_look - of_variant, of_variant];
        let mut observed = seen("warm", counts);
        for (arm, fresh) in observed.arms.iter_mut().zip(fresh) {
            arm.assigned += fresh;
        }
        store.observed.insert(current.id, observed);
        let made = store.step(at(look * LOOK_HOURS));
        for ((counts, fresh), (visit, leave)) in counts.iter_mut().zip(fresh).zip(truth(look)) {
            let (visits, leaves) = (happened(draws, fresh, visit), happened(draws, fresh, leave));
            *counts = (counts.0 + fresh, counts.1 + visits, counts.2 + leaves);
        }
        if let Some(made) = made.first() {
            if made.variant.as_str() == CONTROL && made.is_decided() {
                return End::Stopped(share);
            }
            // Who is sent something from now on follows the next step.
            counts = [(0, 0, 0); 2];
        }
    }
    End::Held
}

/// How many were stopped, how many of them before half got the variant, how many went to everybody and how many still wait.
fn ends(seed: u64, per_look: u64, truth: Truth) -> [usize; 4] {
    let draws = Draws::seeded(seed);
    let ends: Vec<End> = (0..RUNS).map(|run| rollout(&mut draws.split(run), per_look, truth)).collect();
    let count = |is: fn(&End) -> bool| ends.iter().filter(|end| is(end)).count();
    [
        count(|end| matches!(end, End::Stopped(_))),
        count(|end| matches!(end, End::Stopped(share) if *share < 0.5)),
        count(|end| *end == End::Done),
        count(|end| *end == End::Held),
    ]
}

#[test]
fn what_does_nothing_is_hardly_ever_stopped() {
    let check = |seed: u64, per_look: u64, truth: Truth| {
        let [stopped, _, done, held] = ends(seed, per_look, truth);
        assert!(stopped as f64 <= spec().alpha * RUNS as f64, "{stopped} were stopped by luck");
        assert!(held <= 3, "{held} wait");
        assert_eq!(stopped + done + held, RUNS as usize);
    };
    check(1, 600, |_| [(0.05, 0.01); 2]);
    check(2, 4_000, |_| [(0.05, 0.005); 2]);
    check(3, 12_000, |_| [(0.02, 0.001); 2]);
    // Days differ, and so do the shares of days: the sums of all steps would show harm where there is none.
    check(5, 4_000, |look| [if look <= 4 { (0.12, 0.002) } else { (0.03, 0.02) }; 2]);
}

#[test]
fn doubled_unsubscribes_are_stopped_in_time() {
    let [stopped, early, ..] = ends(4, 4_000, |_| [(0.05, 0.01), (0.05, 0.02)]);
    assert!(stopped as f64 >= 0.98 * RUNS as f64, "{stopped} were stopped");
    assert!(early as f64 >= 0.75 * RUNS as f64, "{early} were stopped before half");
}
