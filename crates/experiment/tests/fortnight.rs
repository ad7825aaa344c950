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

/// The list that the promises are made for.
const LIST: u64 = 8_000_000;
/// A quarter of it, which the usual run is of.
const SMALL_LIST: u64 = LIST / 4;
const TEST_SHARE: f64 = 0.3;
/// What chance may break a small run's limit.
const CHANCE: f64 = 1e-3;

/// Of the markets in which the best variant is ahead by more than five percent, those that are sent it.
const RIGHT_MIN: f64 = 0.95;
/// The same with [`SMALL_LIST`]: a market has some hundred purchases of each variant, and five percent are about one standard error
/// between two halves of the variants, so that there is not more to be known.
const RIGHT_OF_FEW_MIN: f64 = 0.85;
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
    let figures = figures(&seasons(course(SMALL_LIST), 1, 8));
    figures.print("small world");
    assert!(may_be_at_least(figures.right, figures.pairs, RIGHT_OF_FEW_MIN), "{figures:?}");
    assert!(figures.realised > REALISED_MIN * figures.oracle, "{figures:?}");
    assert!(figures.realised > 1.05 * figures.control, "choosing is worth its while: {figures:?}");
    assert!(may_be_at_most(figures.doubted, figures.runs, DOUBTED_MAX), "{figures:?}");
}

#[test]
fn a_few_tests_of_nothing_show_nothing() {
    let figures = figures(&seasons(Course { is_same: true, ..course(200_000) }, 1, 20));
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
    let lost = Course { fault: Fault::LostAssignments, ..course(SMALL_LIST) };
    every_run_doubts(lost, "srm", 2);
    assert!(!season(lost, 1).shipped, "nothing is decided while the groups have the wrong sizes");
    every_run_doubts(Course { fault: Fault::DeafGateway, ..course(SMALL_LIST) }, "funnel_mismatch", 2);
}

fn check(figures: &Figures, right_min: f64) {
    assert!(figures.right as f64 >= right_min * figures.pairs as f64, "{figures:?}");
    assert!(figures.realised >= REALISED_MIN * figures.oracle, "{figures:?}");
    assert!((figures.forecast / figures.lifted - 1.0).abs() <= BIAS_MAX, "{figures:?}");
    assert!((figures.overall_forecast / figures.overall_lifted - 1.0).abs() <= BIAS_MAX, "{figures:?}");
    assert!(figures.doubted as f64 <= DOUBTED_MAX * figures.runs as f64, "{figures:?}");
}

#[test]
#[ignore = "takes minutes; see the head of this file"]
fn the_whole_world_keeps_its_promises() {
    let settled = figures(&seasons(course(LIST), 1, 200));
    settled.print(&format!("{LIST} on the list"));
    check(&settled, RIGHT_MIN);
}

#[test]
#[ignore = "takes minutes; see the head of this file"]
fn a_smaller_list_finds_fewer_winners_and_earns_as_much() {
    let settled = figures(&seasons(course(SMALL_LIST), 1, 200));
    settled.print(&format!("{SMALL_LIST} on the list"));
    check(&settled, RIGHT_OF_FEW_MIN);
    let early = figures(&seasons(Course { waits_until_settled: false, ..course(SMALL_LIST) }, 1, 200));
    early.print("the same, shipped as soon as a variant is shown to beat control");
    assert!(early.right < settled.right, "waiting is worth its while: {early:?}");
}

#[test]
#[ignore = "takes minutes; see the head of this file"]
fn a_thousand_tests_of_nothing_show_nothing() {
    let same = figures(&seasons(Course { is_same: true, ..course(SMALL_LIST) }, 1, 1_000));
    same.print("A/A");
    assert!(same.shown as f64 <= FALSE_MAX * same.runs as f64, "{same:?}");
    assert!(same.doubted as f64 <= DOUBTED_MAX * same.runs as f64, "{same:?}");
}

#[test]
#[ignore = "takes minutes; see the head of this file"]
fn every_fault_is_doubted() {
    every_run_doubts(Course { fault: Fault::LostAssignments, ..course(SMALL_LIST) }, "srm", 100);
    every_run_doubts(Course { fault: Fault::DeafGateway, ..course(SMALL_LIST) }, "funnel_mismatch", 100);
    println!("\nfaults: every one of 100 runs of each raised its doubt");
}
