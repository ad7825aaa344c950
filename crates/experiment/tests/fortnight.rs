//! Two weeks of a sender with known truth: a test on 30 % of the list, a look every day of the second week by the rules of
//! `experiment::decision`, and the rest of the list sent what was decided.
//!
//! The figures that the product promises are printed and asserted. The usual run is small, with limits that chance breaks once in a
//! thousand runs or less were the promise only just kept; the whole is run by
//! `cargo test -p experiment --release --test fortnight -- --ignored --nocapture`.

#![expect(clippy::print_stdout, reason = "the figures are what the run is for")]

#[path = "fortnight/run.rs"]
mod run;
#[path = "fortnight/world.rs"]
mod world;

use std::collections::BTreeSet;

use stats::tail::{binomial_lower, binomial_upper};

use run::{Course, Season, season, seasons};
use world::Fault;

/// The list of a large sender.
const LIST: u64 = 2_000_000;
const TEST_SHARE: f64 = 0.3;
/// What chance may break a small run's limit.
const CHANCE: f64 = 1e-3;

/// Of the markets in which the best variant is ahead by more than five percent, those that are sent it. With [`LIST`] a market has
/// some hundred purchases of each variant, and five percent are about one standard error between two halves of the variants: there
/// is not more to be known. With four times as many it is what is promised.
const RIGHT_MIN: f64 = 0.85;
const RIGHT_OF_MANY_MIN: f64 = 0.95;
const FALSE_MAX: f64 = 0.05;
const REALISED_MIN: f64 = 0.97;
const BIAS_MAX: f64 = 0.10;
/// Of runs without faults, in which a doubt is raised.
const DOUBTED_MAX: f64 = 0.02;

fn course(list: u64) -> Course {
    Course { list, test_share: TEST_SHARE, fault: Fault::None, is_same: false, waits_until_settled: true }
}

/// The sums of many runs.
#[derive(Debug, Default)]
struct Figures {
    doubts: BTreeSet<String>,
    pairs: u64,
    right: u64,
    stopped: u64,
    oracle: f64,
    realised: f64,
    control: f64,
    forecast: f64,
    lifted: f64,
    overall_forecast: f64,
    overall_lifted: f64,
    raw: f64,
    days: f64,
    doubted: u64,
    shown: u64,
    harmed: u64,
    runs: u64,
}

fn figures(seasons: &[Season]) -> Figures {
    let mut sum = Figures { runs: seasons.len() as u64, ..Figures::default() };
    for season in seasons {
        sum.doubts.extend(season.doubts.iter().cloned());
        sum.pairs += season.pairs;
        sum.right += season.right;
        sum.stopped += season.stopped;
        sum.oracle += season.oracle;
        sum.realised += season.realised;
        sum.control += season.control;
        sum.forecast += season.forecast;
        sum.lifted += season.realised - season.control;
        sum.overall_forecast += season.overall_forecast;
        sum.overall_lifted += season.overall_lifted;
        sum.raw += season.overall_raw;
        sum.days += season.day as f64;
        sum.doubted += u64::from(!season.doubts.is_empty());
        sum.shown += u64::from(season.shown);
        sum.harmed += u64::from(season.harmed);
    }
    sum
}

impl Figures {
    fn print(&self, title: &str) {
        let share = |part: f64, whole: f64| 100.0 * part / whole;
        println!("\n{title} ({} runs)", self.runs);
        if self.pairs > 0 {
            self.print_profit(share);
        }
        println!("  day of the decision             {:>6.1}", self.days / self.runs as f64);
        println!("  a variant shown at some look    {:>6.1} %", share(self.shown as f64, self.runs as f64));
        println!("  harm shown at some look         {:>6.1} %", share(self.harmed as f64, self.runs as f64));
        println!("  runs with a doubt               {:>6.1} % {:?}", share(self.doubted as f64, self.runs as f64), self.doubts);
    }

    fn print_profit(&self, share: impl Fn(f64, f64) -> f64) {
        println!(
            "  right winner where it matters   {:>6.1} % of {} pairs",
            share(self.right as f64, self.pairs as f64),
            self.pairs
        );
        println!("  best of a market was stopped    {:>6.1} %", share(self.stopped as f64, self.pairs as f64));
        println!("  realised of the oracle's profit {:>6.2} %", share(self.realised, self.oracle));
        println!("  control of the oracle's profit  {:>6.2} %", share(self.control, self.oracle));
        println!(
            "  forecast over realised lift     {:>+6.1} % (what each market is sent)",
            share(self.forecast, self.lifted) - 100.0
        );
        println!("  the same of the overall best    {:>+6.1} %", share(self.overall_forecast, self.overall_lifted) - 100.0);
        println!("  raw lift over realised          {:>+6.1} %", share(self.raw, self.overall_lifted) - 100.0);
    }
}

/// Whether `count` of `n` is no surprise where the true share is at least `share`.
fn may_be_at_least(count: u64, n: u64, share: f64) -> bool {
    binomial_lower(count, n, share) > CHANCE
}

/// Whether `count` of `n` is no surprise where the true share is at most `share`.
fn may_be_at_most(count: u64, n: u64, share: f64) -> bool {
    count == 0 || binomial_upper(count, n, share) > CHANCE
}

#[test]
fn a_small_world_earns_and_forecasts_what_is_promised() {
    let figures = figures(&seasons(course(LIST), 1, 8));
    figures.print("small world");
    assert!(may_be_at_least(figures.right, figures.pairs, RIGHT_MIN), "{figures:?}");
    assert!(figures.realised > REALISED_MIN * figures.oracle, "{figures:?}");
    assert!(figures.realised > 1.05 * figures.control, "choosing is worth its while: {figures:?}");
    assert!(may_be_at_most(figures.doubted, figures.runs, DOUBTED_MAX), "{figures:?}");
}

#[test]
fn a_few_tests_of_nothing_show_nothing() {
    let figures = figures(&seasons(Course { is_same: true, ..course(200_000) }, 1, 40));
    figures.print("small A/A");
    assert!(may_be_at_most(figures.shown, figures.runs, FALSE_MAX), "{figures:?}");
    assert!(may_be_at_most(figures.doubted, figures.runs, DOUBTED_MAX), "{figures:?}");
}

fn every_run_doubts(course: Course, code: &str, runs: u64) {
    for season in seasons(course, 1, runs) {
        assert!(season.doubts.contains(code), "{course:?}: {:?}", season.doubts);
    }
}

#[test]
fn faults_are_doubted() {
    let lost = Course { fault: Fault::LostAssignments, ..course(LIST) };
    every_run_doubts(lost, "srm", 2);
    assert!(!season(lost, 1).shipped, "nothing is decided while the groups have the wrong sizes");
    every_run_doubts(Course { fault: Fault::DeafGateway, ..course(LIST) }, "funnel_mismatch", 2);
}

#[test]
#[ignore = "takes minutes; see the head of this file"]
fn the_whole_world_keeps_its_promises() {
    let settled = figures(&seasons(course(LIST), 1, 200));
    settled.print("waits until it is settled which variant is best");
    let early = figures(&seasons(Course { waits_until_settled: false, ..course(LIST) }, 1, 200));
    early.print("ships as soon as a variant is shown to beat control");
    assert!(settled.right as f64 >= RIGHT_MIN * settled.pairs as f64, "{settled:?}");
    assert!(settled.realised >= REALISED_MIN * settled.oracle, "{settled:?}");
    assert!((settled.forecast / settled.lifted - 1.0).abs() <= BIAS_MAX, "{settled:?}");
    assert!((settled.overall_forecast / settled.overall_lifted - 1.0).abs() <= BIAS_MAX, "{settled:?}");
    assert!(settled.doubted as f64 <= DOUBTED_MAX * settled.runs as f64, "{settled:?}");
}

#[test]
#[ignore = "takes minutes; see the head of this file"]
fn a_thousand_tests_of_nothing_show_nothing() {
    let same = figures(&seasons(Course { is_same: true, ..course(LIST) }, 1, 1_000));
    same.print("A/A");
    assert!(same.shown as f64 <= FALSE_MAX * same.runs as f64, "{same:?}");
    assert!(same.doubted as f64 <= DOUBTED_MAX * same.runs as f64, "{same:?}");
}

#[test]
#[ignore = "takes minutes; see the head of this file"]
fn every_fault_is_doubted() {
    every_run_doubts(Course { fault: Fault::LostAssignments, ..course(LIST) }, "srm", 100);
    every_run_doubts(Course { fault: Fault::DeafGateway, ..course(LIST) }, "funnel_mismatch", 100);
    println!("\nfaults: every one of 100 runs of each raised its doubt");
}

/// How often the right winner is found depends on how many recipients there are to find it with.
#[test]
#[ignore = "takes minutes; see the head of this file"]
fn winners_are_right_more_often_the_longer_the_list() {
    let few = figures(&seasons(course(LIST), 1, 60));
    few.print(&format!("{LIST} on the list"));
    let many = figures(&seasons(course(4 * LIST), 1, 60));
    many.print(&format!("{} on the list", 4 * LIST));
    assert!(many.right > few.right && many.right as f64 >= RIGHT_OF_MANY_MIN * many.pairs as f64, "{many:?}");
}
