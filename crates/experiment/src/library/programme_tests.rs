//! Tests of [`super`]: the promises over all experiments, where it is known which winners are real.

use stats::numeric::Draws;
use stats::sequential::confidence;

use super::super::tests::lesson;
use super::*;

fn shown(lesson: Lesson) -> Lesson {
    Lesson { shown: Shown::Better, shipped: true, ..lesson }
}

/// The p-values of a published family (`stats::multiplicity`), and the e-values of METHODS: of each two stand.
#[test]
fn known_families() {
    let p_values = [0.898, 0.138, 0.007, 0.964, 0.538, 0.006, 0.138];
    let with_p = |(place, p): (usize, f64)| shown(Lesson { p_adjusted: p, ..lesson(&format!("e{place}"), "v", 0.1, 0.05) });
    let found = programme(&p_values.into_iter().enumerate().map(with_p).collect::<Vec<_>>(), 0.05).unwrap();
    let told: Vec<(&str, f64, bool)> =
        found.by_p_value.winners.iter().map(|one| (one.experiment.as_str(), one.p_adjusted, one.stands)).collect();
    assert_eq!(told.iter().filter(|(.., stands)| *stands).map(|(name, ..)| *name).collect::<Vec<_>>(), ["e2", "e5"]);
    assert!(told[..2].iter().all(|(_, p, _)| (p - 0.0245).abs() < 1e-12) && (told[2].1 - 0.2415).abs() < 1e-12, "{told:?}");
    assert_eq!(
        found.by_p_value.sentence,
        "Of 7 finished experiments 7 winners were shown; 2 of them stand when all are taken together at a false discovery rate of 5 %. \
         This holds where experiments are independent and ended as planned."
    );

    let e_values = [30.0, 50.1, 5.0, 100.0, 2.0];
    let with_e = |(place, e): (usize, f64)| shown(Lesson { log_e_value: e.ln(), ..lesson(&format!("e{place}"), "v", 0.1, 0.05) });
    let all: Vec<Lesson> = e_values.into_iter().enumerate().map(with_e).collect();
    let found = programme(&all, 0.05).unwrap().by_e_value;
    let standing = |found: &Together| -> Vec<String> {
        found.winners.iter().filter(|one| one.stands).map(|one| one.experiment.to_string()).collect()
    };
    let mut names = standing(&found);
    names.sort();
    assert_eq!((names, found.standing), (vec!["e1".to_owned(), "e3".to_owned()], 2));
    // 5 / (2 · 50.1), and at rank 3: 5 / (3 · 30).
    assert!(
        (found.winners[1].p_adjusted - 5.0 / 100.2).abs() < 1e-12 && (found.winners[2].p_adjusted - 5.0 / 90.0).abs() < 1e-12
    );
    assert!(found.winners.iter().all(|one| one.stands == (one.p_adjusted <= 0.05 + 1e-12)), "{found:?}");
    let of_three: Vec<Lesson> = all.into_iter().map(|lesson| Lesson { comparisons: 3, ..lesson }).collect();
    assert_eq!(standing(&programme(&of_three, 0.05).unwrap().by_e_value), Vec::<String>::new(), "the best of three was picked");
}

#[test]
fn an_experiment_counts_once_by_the_best_that_was_shown() {
    let all = [
        shown(lesson("a", "b", 0.10, 0.02)),
        lesson("a", "c", 0.30, 0.05),
        shown(lesson("a", "d", 0.08, 0.02)),
        lesson("b", "b", 0.01, 0.02),
        Lesson { market: Some("DE".to_owned()), ..shown(lesson("b", "b", 0.2, 0.02)) },
        Lesson { shown: Shown::Worse, ..lesson("c", "b", -0.2, 0.02) },
    ];
    let found = programme(&all, 0.05).unwrap();
    assert_eq!((found.experiments, found.shown), (3, 1));
    let [winner] = &found.by_e_value.winners[..] else { panic!("one winner, not {found:?}") };
    assert_eq!((winner.variant.as_str(), winner.stands), ("b", true));
    assert!(found.by_e_value.sentence.starts_with("Of 3 finished experiments 1 winner was shown; 1 of them stands"), "{found:?}");
    let [total] = &found.expected[..] else { panic!("one kind, not {found:?}") };
    let entries = Library::new(all.to_vec()).entries();
    let expect: f64 = entries.iter().filter(|entry| entry.lesson.shipped).map(|entry| entry.lift).sum();
    assert!(total.shipped == 2 && (total.raw_lift - 0.18).abs() < 1e-12 && total.lift == expect && expect < 0.18, "{total:?}");
}

#[test]
fn nothing_is_said_of_nothing() {
    let none = programme(&[], 0.05).unwrap();
    assert_eq!((none.by_p_value.sentence.as_str(), none.by_p_value.standing), ("No experiment is finished yet.", 0));
    let dull = programme(&[lesson("a", "v", 0.0, 0.1)], 0.05).unwrap();
    assert_eq!(dull.by_e_value.sentence, "Of 1 finished experiment none has shown a winner.");
    for alpha in [0.0, 1.0, f64::NAN] {
        assert!(programme(&[], alpha).unwrap_err().why.contains("alpha"));
    }
}

/// How experiments are ended.
#[derive(Clone, Copy, PartialEq)]
enum Ending {
    /// After 10,000 recipients.
    Planned,
    /// At the first of 100 looks at which the plain p-value is small.
    Peeking,
    /// At the first of 100 looks at which the e-value is large.
    Evidence,
}

/// Forty experiments, three of four of which change nothing; the others bring what is seen most of the time.
fn fleet(draws: &mut Draws, ending: Ending) -> (Vec<Lesson>, Vec<bool>) {
    const LOOKS: f64 = 100.0;
    // Two-sided p-values below 0.025, and what four of forty need at 10 %.
    const SMALL: f64 = 2.2414;
    let large = 100.0_f64.ln();
    let truths: Vec<bool> = (0..40).map(|number| number % 4 == 0).collect();
    let rho = confidence::rho(0.05, 10_000.0).unwrap();
    let ended = |(number, is_real): (usize, &bool)| {
        let (mut sum, mut looks, mut log_e_value) = (0.0, 0.0, 0.0);
        while looks < LOOKS {
            looks += 1.0;
            sum += draws.normal() + if *is_real { 0.447 } else { 0.0 };
            log_e_value = confidence::log_e_value(sum / f64::sqrt(looks), 100.0 * looks, rho).unwrap();
            let is_ahead = sum > 0.0 && ending == Ending::Evidence && log_e_value > large;
            if is_ahead || (ending == Ending::Peeking && sum / f64::sqrt(looks) > SMALL) {
                break;
            }
        }
        // The standard error of a lift after all looks is 0.02.
        let error = 0.02 * f64::sqrt(LOOKS / looks);
        let own = lesson(&format!("e{number:02}"), "v", sum / f64::sqrt(looks) * error, error);
        let shown = if own.statistic > SMALL { Shown::Better } else { Shown::Neither };
        Lesson { log_e_value, shown, recipients: 100 * looks as u64, ..own }
    };
    (truths.iter().enumerate().map(ended).collect(), truths)
}

/// The mean share of false winners among those that stand, and of the real ones that stand; by p-values, then by e-values.
fn shares(ending: Ending, seed: u64) -> [(f64, f64); 2] {
    const RUNS: usize = 150;
    let mut draws = Draws::seeded(seed);
    let mut sums = [(0.0, 0.0); 2];
    for _ in 0..RUNS {
        let (lessons, truths) = fleet(&mut draws, ending);
        let found = programme(&lessons, 0.1).unwrap();
        for (sum, together) in sums.iter_mut().zip([&found.by_p_value, &found.by_e_value]) {
            let is_real = |winner: &&Winner| truths[winner.experiment.as_str()[1..].parse::<usize>().unwrap()];
            let standing = || together.winners.iter().filter(|winner| winner.stands);
            let real = standing().filter(is_real).count() as f64;
            sum.0 += (together.standing as f64 - real) / (together.standing.max(1) as f64);
            sum.1 += real / 10.0;
        }
    }
    sums.map(|(false_share, found)| (false_share / RUNS as f64, found / RUNS as f64))
}

/// Benjamini & Hochberg keep the false discovery rate of experiments that end as planned, not of those that end when they look well;
/// e-values keep it in both.
#[test]
fn the_false_discovery_rate_is_kept() {
    let [by_p, by_e] = shares(Ending::Planned, 1);
    assert!(by_p.0 < 0.1 && by_e.0 < 0.1 && by_e.0 < by_p.0, "{by_p:?} {by_e:?}");
    assert!(by_p.1 > 0.9 && by_e.1 > 0.7, "real ones are found: {by_p:?} {by_e:?}");
    let [by_p, by_e] = shares(Ending::Peeking, 2);
    assert!(by_p.0 > 0.15, "p-values of one look do not hold: {by_p:?}");
    assert!(by_e.0 < 0.1, "{by_e:?}");
    let [_, by_e] = shares(Ending::Evidence, 3);
    assert!(by_e.0 < 0.1 && by_e.1 > 0.7, "{by_e:?}");
}
