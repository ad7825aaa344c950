//! What a look teaches, and what finished experiments teach together: by hand, from published numbers, and where the truth is known.

use std::collections::BTreeMap;

use proptest::prelude::*;
use stats::Moments;
use stats::numeric::Draws;
use stats::sequential::confidence::{log_e_value, rho};
use stats::tail::normal_upper;

use super::*;
use crate::decision::Decision;
use crate::judge::{Before, Judged, judge};
use crate::observe::Observed;
use crate::readout::hillstrom;

/// A lesson as an experiment of 10,000 recipients of both arms leaves it, whose control has a third of the variance of the lift.
pub(crate) fn lesson(experiment: &str, variant: &str, lift: f64, standard_error: f64) -> Lesson {
    let statistic = lift / standard_error;
    let p_value = 2.0 * normal_upper(statistic.abs());
    let decided_at = "2026-03-09T06:30:00Z".parse().unwrap();
    Lesson {
        experiment: ExperimentId::new(experiment).unwrap(),
        variant: VariantName::new(variant).unwrap(),
        control: VariantName::new("plain").unwrap(),
        market: None,
        tags: Vec::new(),
        factors: vec![Factor::Copy],
        channel: None,
        season: Season::of(decided_at),
        metric: "orders".to_owned(),
        measure: Measure::Occurred,
        lower_is_better: false,
        control_mean: 0.05,
        control_error: standard_error / 3.0_f64.sqrt(),
        recipients: 10_000,
        lift,
        standard_error,
        statistic,
        p_value,
        p_adjusted: p_value,
        log_e_value: log_e_value(statistic, 10_000.0, rho(0.05, 10_000.0).unwrap()).unwrap(),
        comparisons: 1,
        shown: Shown::Neither,
        shipped: false,
        decided_at,
        early: Vec::new(),
    }
}

/// Experiments of so many variants whose true lifts are N(0.02, 0.05²), with the truth of each lesson.
fn history(draws: &mut Draws, experiments: usize, variants: usize) -> Vec<(Lesson, f64)> {
    let of_experiment = |number: usize| {
        let error = 0.015 + 0.03 * draws.uniform();
        let of_control = error * draws.normal();
        let mut of_variant = |variant: usize| {
            let truth = 0.02 + 0.05 * draws.normal();
            let lift = truth + of_control + error * draws.normal();
            let own = lesson(&format!("e{number:03}"), &format!("v{variant}"), lift, error * 2.0_f64.sqrt());
            (Lesson { control_error: error, ..own }, truth)
        };
        (0..variants).map(&mut of_variant).collect::<Vec<_>>()
    };
    (0..experiments).flat_map(of_experiment).collect()
}

fn like() -> Like {
    let (factors, tags) = (Vec::new(), Vec::new());
    Like { measure: Measure::Occurred, lower_is_better: false, factors, tags, channel: None, market: None }
}

fn judged(experiment: &Experiment, overall: &Observations, markets: &BTreeMap<String, Observations>) -> Judged {
    let outcomes = ByMarket { overall: overall.clone(), markets: markets.clone() };
    let observed = Observed { arrivals: outcomes.clone(), outcomes, days: BTreeMap::new(), ages: BTreeMap::new() };
    judge(experiment, &observed, &Before { is_list: true, fractions: Vec::new(), early: None }, "ro-1")
}

fn taught_by(
    experiment: &Experiment,
    judged: &Judged,
    overall: &Observations,
    markets: &BTreeMap<String, Observations>,
) -> Vec<Lesson> {
    let outcomes = ByMarket { overall: overall.clone(), markets: markets.clone() };
    lessons(experiment, &judged.readout, &judged.decision, &outcomes, &BTreeMap::new())
}

/// Lifts and their errors by hand: of 21,306 without mail 2,262 came, of 21,307 with the mail for men 3,894, with that for women 3,238
/// of 21,387.
#[test]
fn hillstrom_teaches_what_its_mails_did() {
    let (experiment, observed) = (hillstrom::spec(), hillstrom::observations());
    let taught = taught_by(&experiment, &judged(&experiment, &observed, &BTreeMap::new()), &observed, &BTreeMap::new());
    let [mens, womens] = &taught[..] else { panic!("two variants, not {taught:?}") };
    let check = |number: f64, expect: f64| assert!((number / expect - 1.0).abs() < 1e-9, "{number} {expect}");
    check(mens.lift, 0.721_404_616_781_399);
    check(mens.standard_error, 0.042_342_785_901_392_56);
    check(mens.control_error, 0.019_878_884_795_205_68);
    check(womens.lift, 0.426_055_070_266_910_14);
    check(womens.standard_error, 0.036_559_823_425_209_206);
    assert!((womens.statistic - 13.984_738).abs() < 0.03, "{womens:?}");
    for own in &taught {
        // METHODS 2.1, at a tuning to all who were assigned to both arms.
        let (t, odds) = (own.recipients as f64, -2.0 * 0.05_f64.ln());
        let r = t / (odds + odds.ln_1p());
        check(own.log_e_value, own.statistic.powi(2) * t / (2.0 * (t + r)) - 0.5 * ((t + r) / r).ln());
        assert_eq!((own.shown, own.comparisons, &own.factors[..]), (Shown::Better, 2, &[Factor::Copy][..]));
        assert_eq!(own.season, Season { year: 2008, month: 4, quarter: 2 });
    }
    assert_eq!((mens.variant.as_str(), mens.shipped, womens.shipped), ("Mens E-Mail", true, false));
    assert!(mens.p_adjusted == 2.0 * mens.p_value && womens.p_adjusted == womens.p_value, "Holm: {taught:?}");
    let written = serde_json::to_string(&taught).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Lesson>>(&written).unwrap(), taught);
}

#[test]
fn what_cannot_be_told_teaches_nothing() {
    let (experiment, observed, none) = (hillstrom::spec(), hillstrom::observations(), BTreeMap::new());
    let ended = judged(&experiment, &observed, &none);
    for action in [Action::KeepTesting, Action::CannotJudge] {
        let decision = Decision { action, ..ended.decision.clone() };
        assert_eq!(taught_by(&experiment, &Judged { decision, ..ended.clone() }, &observed, &none), []);
    }
    // Control's mean 4.9 and 5.1 of its standard errors above zero, below it, and nowhere.
    for (mean, expect) in [(4.9, 0), (5.1, 2), (-9.0, 0), (f64::NAN, 0)] {
        let mut observed = observed.clone();
        let visits = observed.arms[0].metrics.get_mut("visit").unwrap();
        visits.mean = mean * visits.variance_of_mean().unwrap().sqrt();
        assert_eq!(taught_by(&experiment, &ended, &observed, &none).len(), expect, "{mean}");
    }
    let mut quiet = observed.clone();
    for arm in &mut quiet.arms {
        arm.metrics.insert("visit".to_owned(), Moments::from_successes(100, 100));
    }
    assert_eq!(taught_by(&experiment, &ended, &quiet, &none), [], "nothing varies");
}

#[test]
fn a_market_teaches_its_own_and_an_unsound_one_nothing() {
    let (experiment, observed) = (hillstrom::spec(), hillstrom::observations());
    let mut unsound = observed.clone();
    unsound.arms[1].assigned /= 2;
    let markets = BTreeMap::from(
        [("DE", observed.clone()), ("FR", observed.clone()), ("XX", unsound)].map(|(name, of)| (name.to_owned(), of)),
    );
    let mut ended = judged(&experiment, &observed, &markets);
    let womens = VariantName::new("Womens E-Mail").unwrap();
    ended.decision.markets.iter_mut().filter(|market| market.market == "FR").for_each(|market| market.variant = womens.clone());
    let taught = taught_by(&experiment, &ended, &observed, &markets);
    let told = |lesson: &Lesson| (lesson.market.clone().unwrap_or_default(), lesson.variant.to_string(), lesson.shipped);
    let shipped: Vec<_> =
        taught.iter().map(told).filter(|(.., shipped)| *shipped).map(|(market, name, _)| (market, name)).collect();
    let expect = [("", "Mens E-Mail"), ("DE", "Mens E-Mail"), ("FR", "Womens E-Mail")];
    assert_eq!(shipped, expect.map(|(market, name)| (market.to_owned(), name.to_owned())));
    assert_eq!(taught.len(), 6, "{taught:?}");
    assert!(taught[2..].iter().all(|lesson| lesson.shown == Shown::Neither), "nothing is tested in a market");
    let ended = Judged { decision: Decision { action: Action::StopForHarm, ..ended.decision.clone() }, ..ended };
    assert!(taught_by(&experiment, &ended, &observed, &markets).iter().all(|lesson| !lesson.shipped));
}

#[test]
fn a_lesson_knows_what_its_variant_changes() {
    let text = "experiment: e\nfactors: [timing, channel]\ntags: [scarcity]\ncontrol: early\nprimary: left\nvariants:\n\
                \x20 - {name: late, send_hour: 20, channel: sms}\n  - {name: early, send_hour: 9, channel: email}\n\
                \x20 - {name: noon, send_hour: 12, channel: email}\n\
                metrics:\n  - {name: left, outcome: unsubscribe, measure: occurred, lower_is_better: true}\n";
    let experiment = crate::parse(text).unwrap();
    let mut observed = hillstrom::observations();
    for (arm, (name, left)) in observed.arms.iter_mut().zip([("late", 200), ("early", 300), ("noon", 290)]) {
        let metrics = BTreeMap::from([("left".to_owned(), Moments::from_successes(20_000, left))]);
        *arm = crate::ArmObservations { variant: VariantName::new(name).unwrap(), assigned: 20_000, metrics, ..arm.clone() };
        arm.mature = 20_000;
    }
    let taught = taught_by(&experiment, &judged(&experiment, &observed, &BTreeMap::new()), &observed, &BTreeMap::new());
    let [late, noon] = &taught[..] else { panic!("two variants, not {taught:?}") };
    assert_eq!((&late.factors[..], late.channel), (&[Factor::Timing, Factor::Channel][..], Some(Channel::Sms)));
    assert_eq!((&noon.factors[..], noon.channel), (&[Factor::Timing][..], Some(Channel::Email)));
    let changed = |change: fn(&mut vocabulary::Variant), factors: &[Factor]| {
        let mut experiment = experiment.clone();
        experiment.factors = Factor::ALL.to_vec();
        experiment.variants = vec![experiment.variants[1].clone(); 2];
        experiment.variants[1].name = VariantName::new("other").unwrap();
        experiment.variants.iter_mut().for_each(|variant| variant.copy = Some("one".to_owned()));
        change(&mut experiment.variants[1]);
        assert_eq!(differing(&experiment, &experiment.variants[1]), factors);
    };
    changed(|_| {}, &[]);
    changed(|other| other.send_day = Some(vocabulary::Weekday::Tuesday), &[Factor::Timing]);
    changed(|other| other.provider = vocabulary::Provider::new("trial").ok(), &[Factor::Provider]);
    assert!(late.lift < -0.3 && late.statistic > 4.0 && late.shown == Shown::Better && late.tags == ["scarcity"], "{late:?}");
    let others = (0..6).map(|number| Lesson { experiment: ExperimentId::new(&format!("o{number}")).unwrap(), ..late.clone() });
    let library = Library::new(others.chain(taught.clone()).collect());
    let entries = library.entries();
    let of_late = entries.iter().filter(|entry| entry.lesson.variant == late.variant);
    assert!(of_late.clone().count() == 7 && of_late.clone().all(|entry| entry.certainty > 0.99), "less is better: {entries:?}");
    assert!(library.prior(&like()).experiments == 0 && library.prior(&Like { lower_is_better: true, ..like() }).mean < -0.2);
}

#[test]
fn seasons_are_those_of_utc() {
    let check = |at: &str, year, month, quarter| assert_eq!(Season::of(at.parse().unwrap()), Season { year, month, quarter });
    check("2025-12-31T23:59:59Z", 2025, 12, 4);
    check("2026-01-01T08:00:00+09:00", 2025, 12, 4);
    check("2026-03-31T23:00:00Z", 2026, 3, 1);
    check("2026-04-01T00:00:00Z", 2026, 4, 2);
}

/// Of 300 experiments those that seem to have won did less than they seem; what is believed of them is what they did.
#[test]
fn what_is_believed_of_winners_is_unbiased() {
    let mut draws = Draws::seeded(20);
    let (mut raw, mut honest, mut winners, mut within, mut all) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for _ in 0..4 {
        let history = history(&mut draws, 300, 1);
        let entries = Library::new(history.iter().map(|(lesson, _)| lesson.clone()).collect()).entries();
        for (entry, (lesson, truth)) in entries.iter().zip(&history) {
            assert_eq!(&entry.lesson, lesson);
            all += 1.0;
            within += f64::from(entry.interval.contains(*truth));
            if lesson.statistic > 1.96 {
                winners += 1.0;
                raw += lesson.lift - truth;
                honest += entry.lift - truth;
            }
        }
    }
    let (raw, honest, within) = (raw / winners, honest / winners, within / all);
    assert!(winners > 200.0 && raw > 0.015, "{winners} winners claim {raw} too much");
    // Four standard errors of a mean of so many, each known to 0.03.
    assert!(honest.abs() < 4.0 * 0.03 / f64::sqrt(winners), "{honest}");
    assert!((0.93..0.97).contains(&within), "{within}");
}

/// Variants of one experiment share a control; the prior is that of one variant all the same.
#[test]
fn the_prior_is_what_the_next_variant_is_drawn_from() {
    const SEEDS: u64 = 8;
    for variants in [1, 3] {
        let (mut prior_sum, mut average_sum) = (0.0, 0.0);
        for seed in 0..SEEDS {
            let history = history(&mut Draws::seeded(seed), 300, variants);
            let library = Library::new(history.into_iter().map(|(lesson, _)| lesson).collect());
            let prior = library.prior(&like());
            assert!((prior.standard_deviation - 0.05).abs() < 0.012 && (prior.mean - 0.02).abs() < 0.012, "{prior:?}");
            assert_eq!(prior.from, "From 300 finished experiments: `e000`, `e001`, `e002`, `e003`, `e004` and 295 more.");
            let patterns = library.patterns();
            let copy = patterns.iter().find(|pattern| pattern.theme == Theme::Factor(Factor::Copy)).unwrap();
            let pooled = copy.pooled.unwrap();
            assert!((pooled.mean - 0.02).abs() < 0.012 && pooled.interval.contains(pooled.mean), "{pooled:?}");
            assert_eq!((copy.experiments, copy.variants), (300, 300 * variants as u64));
            prior_sum += prior.standard_deviation;
            average_sum += pooled.between_standard_deviation;
        }
        let (prior, average) = (prior_sum / SEEDS as f64, average_sum / SEEDS as f64);
        assert!((prior - 0.05).abs() < 0.003, "{variants} variants: {prior}");
        // Of experiments, whose variants are averaged: true lifts are independent here.
        assert!((average - 0.05 / (variants as f64).sqrt()).abs() < 0.003, "{variants} variants: {average}");
    }
}

#[test]
fn the_prior_is_of_those_that_have_most_in_common() {
    let of = |name: &'static str, tag: &'static str, factor, lift: f64| {
        (0..5).map(move |number| Lesson {
            tags: vec![tag.to_owned()],
            factors: vec![factor],
            ..lesson(&format!("{name}{number}"), "v", lift, 0.01)
        })
    };
    let mut all: Vec<Lesson> = of("a", "scarcity", Factor::Copy, 0.10).chain(of("b", "scarcity", Factor::Timing, 0.02)).collect();
    all.extend(of("c", "humour", Factor::Copy, -0.04));
    all.extend(of("d", "humour", Factor::Timing, 0.0).take(4));
    all.extend(of("a", "scarcity", Factor::Copy, 0.30).map(|lesson| Lesson { market: Some("DE".to_owned()), ..lesson }));
    let library = Library::new(all);
    let check = |tag: &str, factor: Option<Factor>, market: Option<&str>, mean: f64, experiments: u64, from: &str| {
        let tags = if tag.is_empty() { Vec::new() } else { vec![tag.to_owned()] };
        let factors = factor.into_iter().collect();
        let prior = library.prior(&Like { tags, factors, market: market.map(str::to_owned), ..like() });
        assert!((prior.mean - mean).abs() < 1e-3 && prior.experiments == experiments, "{prior:?}");
        assert!(prior.from.contains(from), "{prior:?}");
    };
    let (copy, timing) = (Some(Factor::Copy), Some(Factor::Timing));
    check(
        "scarcity",
        copy,
        None,
        0.10,
        5,
        "From 5 finished experiments tagged scarcity that changed copy: `a0`, `a1`, `a2`, `a3`, `a4`.",
    );
    check("humour", copy, None, -0.04, 5, "`c4`.");
    check("humour", timing, None, -0.2 / 9.0, 9, "9 finished experiments tagged humour: `c0`");
    check("unheard", timing, None, 0.1 / 9.0, 9, "that changed timing: `b0`");
    check("scarcity", copy, Some("DE"), 0.30, 5, "tagged scarcity that changed copy in DE");
    check("scarcity", timing, Some("DE"), 0.02, 5, "tagged scarcity that changed timing: `b0`");
    check("unheard", Some(Factor::Channel), Some("FR"), 0.4 / 19.0, 19, "From 19 finished experiments: `a0`");
    check("", None, Some("DE"), 0.30, 5, "5 finished experiments in DE");
    let unknown = library.prior(&Like { measure: Measure::Amount, ..like() });
    assert_eq!((unknown.mean, unknown.standard_deviation, unknown.experiments), (0.0, 0.05, 0));
    assert!(unknown.from.ends_with("so it rests on nothing: no change is expected, give or take 5 %."), "{unknown:?}");
}

/// Vaccination against tuberculosis (Colditz et al., JAMA 271, 1994), log risk ratios as they are published, pooled as statsmodels
/// does with the method of Paule & Mandel.
#[test]
fn the_vaccine_trials_are_pooled_as_peers_do() {
    let trials = [
        (-0.8893, 0.3256),
        (-1.5854, 0.1946),
        (-1.3481, 0.4154),
        (-1.4416, 0.0200),
        (-0.2175, 0.0512),
        (-0.7861, 0.0069),
        (-1.6209, 0.2230),
        (0.0120, 0.0040),
        (-0.4694, 0.0564),
        (-1.3713, 0.0730),
        (-0.3394, 0.0124),
        (0.4459, 0.5325),
        (-0.0173, 0.0714),
    ];
    let told =
        |(number, (lift, variance)): (usize, &(f64, f64))| lesson(&format!("e{number:02}"), "v", *lift, f64::sqrt(*variance));
    let library = Library::new(trials.iter().enumerate().map(told).collect());
    let patterns = library.patterns();
    let [copy, quarter] = &patterns[..] else { panic!("a factor and a quarter, not {patterns:?}") };
    assert_eq!((&copy.theme, &quarter.theme), (&Theme::Factor(Factor::Copy), &Theme::Quarter(1)));
    let pooled = copy.pooled.unwrap();
    assert!(
        (pooled.mean + 0.7150).abs() < 5e-4 && (pooled.between_standard_deviation.powi(2) - 0.3181).abs() < 5e-4,
        "{pooled:?}"
    );
    assert!((pooled.heterogeneity - 0.9212).abs() < 5e-4, "{pooled:?}");
    // 2.1788 is the t quantile at 12 degrees of freedom, 2.2010 at 11; the plain standard error is 0.1809.
    let (lower, next) = (pooled.interval.lower.unwrap(), pooled.prediction_interval.unwrap().lower.unwrap());
    assert!((lower - (-0.7150 - 2.1788 * 0.1809)).abs() < 2e-3, "{pooled:?}");
    assert!((next - (-0.7150 - 2.2010 * f64::sqrt(0.3181 + 0.1809 * 0.1809))).abs() < 2e-3, "{pooled:?}");
    assert_eq!(serde_json::to_string(&quarter.theme).unwrap(), "{\"by\":\"quarter\",\"value\":1}");
    let two = Library::new(library.lessons()[..2].to_vec()).patterns();
    assert!(two.iter().all(|pattern| pattern.experiments == 2 && pattern.pooled.is_none()), "{two:?}");
}

/// With a control as exact as a variant, two lifts of variance 2 s² have the average's variance (2 + 2 + 2 · 1)/4 s² = 1.5 s² near
/// zero lift: more than the 1 s² of independent ones.
#[test]
fn an_average_over_one_control_is_as_unsure_as_it_is() {
    let error = 0.02;
    let own = |number: usize, variant: &str, lift: f64| {
        let own = lesson(&format!("e{number:04}"), variant, lift, error * f64::sqrt(2.0));
        Lesson { control_error: error, ..own }
    };
    let same: Vec<Lesson> = (0..4).flat_map(|number| [own(number, "a", 1e-9), own(number, "b", -1e-9)]).collect();
    let pooled = Library::new(same).patterns()[0].pooled.unwrap();
    let reach = 3.182_446 * error * f64::sqrt(1.5 / 4.0);
    assert!((pooled.interval.upper.unwrap() - reach).abs() < 1e-6 && pooled.between_standard_deviation == 0.0, "{pooled:?}");

    let mut draws = Draws::seeded(8);
    let noise = (0..2_000).flat_map(|number| {
        let control = 1.0 + error * draws.normal();
        let mut lift = || (1.0 + error * draws.normal()) / control - 1.0;
        [own(number, "a", lift()), own(number, "b", lift())]
    });
    let pooled = Library::new(noise.collect()).patterns()[0].pooled.unwrap();
    assert!(pooled.between_standard_deviation < 0.006 && pooled.heterogeneity < 0.06, "noise alone: {pooled:?}");
}

#[test]
fn what_is_alone_is_read_in_the_light_of_the_default() {
    let entries = Library::new(vec![lesson("one", "v", 0.1, 0.05)]).entries();
    let [entry] = &entries[..] else { panic!("one entry, not {entries:?}") };
    assert!((entry.lift - 0.05).abs() < 1e-12 && (entry.shrinkage - 0.5).abs() < 1e-12 && entry.experiments == 1, "{entry:?}");
    assert!((entry.certainty - 0.921_350_396_474_857_4).abs() < 1e-12, "{entry:?}");
    let siblings = [("a", 0.10), ("b", 0.12)].map(|(name, lift)| lesson("one", name, lift, 0.02));
    assert!(Library::new(siblings.into()).entries().iter().all(|entry| entry.experiments == 1 && entry.lift < 0.11));
    assert_eq!(Library::new(Vec::new()).entries(), []);
}

#[test]
fn the_order_of_lessons_does_not_matter_and_the_last_word_counts() {
    let mut draws = Draws::seeded(5);
    let mut all: Vec<Lesson> = history(&mut draws, 40, 3).into_iter().map(|(lesson, _)| lesson).collect();
    for (place, lesson) in all.iter_mut().enumerate() {
        lesson.tags = vec![format!("t{}", place % 3)];
        lesson.shown = if lesson.statistic > 2.0 { Shown::Better } else { Shown::Neither };
        lesson.shipped = lesson.shown == Shown::Better;
    }
    all.extend(all.clone().into_iter().take(30).map(|lesson| Lesson { market: Some("DE".to_owned()), ..lesson }));
    let later = Lesson { lift: 0.7, decided_at: "2026-04-01T00:00:00Z".parse().unwrap(), ..all[0].clone() };
    all.extend([Lesson { lift: 0.6, ..later.clone() }, later.clone()]);
    all.push(Lesson { standard_error: 0.0, ..lesson("broken", "v", 0.1, 0.1) });
    let written = |lessons: Vec<Lesson>| {
        let programme = programme(&lessons, 0.05).unwrap();
        let library = Library::new(lessons);
        serde_json::to_string(&(library.entries(), library.patterns(), library.prior(&like()), programme)).unwrap()
    };
    let base = written(all.clone());
    let entries = Library::new(all.clone()).entries();
    assert_eq!((entries.len(), entries[0].lesson.decided_at), (120, later.decided_at));
    for _ in 0..5 {
        draws.shuffle(&mut all);
        assert_eq!(written(all.clone()), base);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever is stored, nothing is NaN: JSON would show it as null where a number must be.
    #[test]
    fn no_lesson_gives_nan(
        numbers in prop::collection::vec((any::<f64>(), any::<f64>(), -0.5..0.5_f64, 0.001..0.3_f64, 0..4_usize), 0..14),
        wild in any::<bool>(),
    ) {
        let told = |(place, (a, b, lift, error, of)): (usize, &(f64, f64, f64, f64, usize))| {
            let own = lesson(&format!("e{of}"), &format!("v{place}"), *lift, *error);
            if wild && place % 3 == 0 { Lesson { lift: *a, standard_error: b.abs(), ..own } } else { own }
        };
        let library = Library::new(numbers.iter().enumerate().map(told).collect());
        let (entries, patterns, prior) = (library.entries(), library.patterns(), library.prior(&like()));
        let again: Result<(Vec<Entry>, Vec<Pattern>, Prior), _> =
            serde_json::from_str(&serde_json::to_string(&(&entries, &patterns, &prior)).unwrap());
        prop_assert!(again.is_ok(), "{entries:?} {patterns:?} {prior:?}");
        prop_assert!(prior.standard_deviation > 0.0);
        for entry in &entries {
            prop_assert!((0.0..=1.0).contains(&entry.certainty) && entry.interval.contains(entry.lift), "{entry:?}");
        }
    }
}
