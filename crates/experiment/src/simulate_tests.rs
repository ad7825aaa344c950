//! Designs whose answers are known otherwise.

use stats::{CoMoments, Moments};

use super::*;
use crate::sizing::{Asked, PastMarket, ValueCount, size};

const SAMPLE: &str = include_str!("../../../data/samples/design.yaml");

/// A list of whom three percent ordered, for amounts that are skewed; `explained` of the variance is known before.
fn shop(contacts: u64, explained: f64) -> Past {
    let values: Vec<ValueCount> = (1..=200_u64)
        .map(|step| ValueCount { value: (0.02 * step as f64).exp() * 10.0, contacts: (contacts * 3 / 100) / 200 })
        .collect();
    let ordered: u64 = values.iter().map(|bar| bar.contacts).sum();
    let mut moments = Moments { count: contacts - ordered, mean: 0.0, m2: 0.0 };
    values.iter().for_each(|bar| moments = moments.merge(&Moments { count: bar.contacts, mean: bar.value, m2: 0.0 }));
    let product = (explained * moments.m2 * contacts as f64).sqrt();
    let moments = CoMoments::from_centred(contacts, vec![moments.mean, 0.0], vec![moments.m2, product, contacts as f64]);
    Past { lower_is_better: false, markets: vec![PastMarket { market: "DE".to_owned(), contacts, values, moments }] }
}

fn designs(effects: &str, runs: u32, each: &[&str]) -> Designs {
    let each: String = each.iter().map(|design| format!("- {{{design}}}\n")).collect();
    parse_designs(&format!("effects: {effects}\nruns: {runs}\nseed: 7\ndesigns:\n{each}")).unwrap()
}

#[test]
fn the_sample_is_read_and_runs() {
    let designs = Designs { runs: 100, ..parse_designs(SAMPLE).unwrap() };
    assert_eq!(designs.designs.len(), 4);
    let past = shop(100_000, 0.3);
    let simulated = simulate(&past, &designs).unwrap();
    let text = text(&simulated);
    assert!(designs.designs.iter().all(|design| text.contains(&design.name)), "{text}");
    assert!(text.lines().skip(2).all(|line| line.chars().count() <= 130) && !text.contains("NaN"), "{text}");
    assert!(simulated.sentence.contains(&simulated.best), "{}", simulated.sentence);
    let again = serde_json::to_string(&simulate(&past, &designs).unwrap()).unwrap();
    assert_eq!(serde_json::to_string(&simulated).unwrap(), again, "the same seed gives the same bytes");
    let other = simulate(&past, &Designs { seed: 2, ..designs }).unwrap();
    assert_ne!(other.designs[0].regret, simulated.designs[0].regret);
}

/// Half of alpha is for harm; of several variants Holm keeps it for all together.
#[test]
fn false_winners_are_as_rare_as_promised() {
    let each = [
        "name: two, test_share: 0.5",
        "name: adjusted, test_share: 0.5, cuped: true",
        "name: four, variants: 4, test_share: 0.8, looks: 3",
        "name: lax, test_share: 0.5, alpha: 0.2, looks: 1",
    ];
    let simulated = simulate(&shop(200_000, 0.5), &designs("{sd: 0.05}", 1_000, &each)).unwrap();
    for of in &simulated.designs {
        let (rate, alpha) = (of.false_winner_rate, of.design.alpha);
        assert!(rate.mean <= alpha + 3.0 * rate.standard_error, "{of:?}");
        if of.design.variants == 2 {
            assert!((rate.mean - alpha / 2.0).abs() <= 4.0 * rate.standard_error, "{of:?}");
        }
    }
}

#[test]
fn power_is_that_of_the_size() {
    let past = shop(4_000_000, 0.5);
    let experiment =
        crate::parse("experiment: s\nfactors: [copy]\nvariants: [{name: a}, {name: b}]\nprimary: revenue\nmetrics: [revenue]\n")
            .unwrap();
    let sizing = size(&experiment, &past, &Asked { mde: Some(0.04), ..Asked::of(&experiment) }).unwrap();
    let units = |of: &crate::sizing::DesignSize| of.wanted.as_ref().unwrap().test_units;
    let (plain, cuped) = (units(&sizing.plain), units(&sizing.cuped));
    let each = [
        format!("name: plain, units: {plain}, decide: shown_only"),
        format!("name: adjusted, units: {cuped}, cuped: true"),
        format!("name: halved, units: {cuped}"),
    ];
    let each: Vec<&str> = each.iter().map(String::as_str).collect();
    let simulated = simulate(&past, &designs("{lifts: [0.04]}", 600, &each)).unwrap();
    let power: Vec<MonteCarlo> = simulated.designs.iter().map(|of| of.power.unwrap()).collect();
    // A variant that sells more varies more, which costs some of it.
    for of in &power[..2] {
        assert!((of.mean - 0.79).abs() < 3.0 * of.standard_error + 0.01, "{power:?}");
    }
    assert!(power[2].mean < 0.6, "without an adjustment half of the contacts do not show it: {power:?}");
    let expect = sizing.plain.wanted.unwrap().expected_units / plain as f64;
    assert!((simulated.designs[0].looks.mean / 5.0 - expect).abs() < 0.03, "{expect} {:?}", simulated.designs[0].looks);
    assert_eq!(simulated.designs[0].picked_best.mean, power[0].mean, "only what is shown is sent");
    assert!(simulated.designs[2].picked_best.mean > 0.9, "the best bet needs no proof");
}

#[test]
fn the_most_valuable_size_loses_least() {
    let past = shop(200_000, 0.0);
    let each = ["name: little, units: 200, looks: 1", "name: best, units: 20000, looks: 1", "name: all, test_share: 1, looks: 1"];
    let simulated = simulate(&past, &designs("{sd: 0.2}", 400, &each)).unwrap();
    let [little, best, all] = &simulated.designs[..] else { panic!("{simulated:?}") };
    assert_eq!(simulated.best, "best");
    assert!(simulated.sentence.starts_with("Take `best`: it loses "), "{}", simulated.sentence);
    assert!(all.regret.mean == all.test_cost.mean && all.test_cost.mean > best.test_cost.mean);
    assert!(little.test_cost.mean < best.test_cost.mean && little.picked_best.mean < best.picked_best.mean);
    let (raw, forecast) = (best.raw_bias.unwrap(), best.forecast_bias.unwrap());
    assert!(raw.mean > 2.0 * raw.standard_error && forecast.mean < raw.mean - raw.standard_error, "{best:?}");
}

/// Where less is better, fewer are.
#[test]
fn the_direction_of_the_metric_is_kept() {
    let past = Past { lower_is_better: true, ..shop(400_000, 0.0) };
    let simulated = simulate(&past, &designs("{lifts: [-0.2]}", 50, &["name: a, test_share: 0.5"])).unwrap();
    assert!(simulated.designs[0].power.unwrap().mean > 0.95 && simulated.designs[0].false_winner_rate.mean < 0.2);
}

#[test]
fn outcomes_have_the_mean_of_their_law() {
    let past = shop(100_000, 0.0);
    let world = World::new(&past).unwrap();
    let histogram = past.moments().moments(0);
    assert!((world.mean / histogram.mean - 1.0).abs() < 1e-12);
    for (contacts, effect) in [(300, 0.0), (300, 0.5), (60_000, -0.3), (60_000, 40.0)] {
        let mut draws = Draws::seeded(5);
        let law = world.law(effect);
        let drawn: Vec<Moments> = (0..3_000).map(|_| world.draw(contacts, law, &mut draws).moments).collect();
        let means = Moments::from_values(&drawn.iter().map(|moments| moments.mean).collect::<Vec<_>>());
        let expect = world.mean * (1.0 + effect);
        assert!((means.mean - expect).abs() < 4.0 * means.variance_of_mean().unwrap().sqrt(), "{contacts} {effect}: {means:?}");
        let within = drawn.iter().map(|moments| moments.variance_of_mean().unwrap()).sum::<f64>() / 3_000.0;
        assert!((means.variance().unwrap() / within - 1.0).abs() < 0.12, "{contacts} {effect}: {means:?} {within}");
    }
}

#[test]
fn every_mistake_has_its_field_and_line() {
    let complaint = |from: &str, to: &str, expect: &str| {
        assert!(SAMPLE.contains(from), "{from}");
        assert_eq!(parse_designs(&SAMPLE.replacen(from, to, 1)).unwrap_err().to_string(), expect);
    };
    complaint(
        "runs: 500",
        "run: 500",
        "line 8: `run` is not a known key; known are effects, runs, seed, designs; the nearest is `runs`",
    );
    complaint("runs: 500", "runs: 5", "line 8: `runs` is 5; it must be from 20 to 10000, and is usually 500");
    complaint("seed: 1", "seed: one", "line 10: `seed` must be a whole number, zero or more");
    complaint("{ sd: 0.05 }", "{ sd: 2 }", "line 4: `effects.sd` is 2; it must be more than 0 and at most 1; 0.05 is usual");
    complaint(
        "{ sd: 0.05 }",
        "{ lifts: [0.1, 11, 0] }",
        "line 4: `effects.lifts[1]` is 11; it must be from -0.9 to 10; 0.05 is 5 % more than control",
    );
    complaint(
        "{ sd: 0.05 }",
        "{ lifts: [0.1] }",
        "line 4: `effects.lifts` has 1; a design has 4 variants, so give 3 lifts, without control",
    );
    complaint(
        "{ sd: 0.05 }",
        "{ sd: 0.1, lifts: [0, 0, 0] }",
        "line 4: `effects` must have one of `sd`, which draws effects anew for each run, and `lifts`, which says what they are",
    );
    complaint("- name: a fifth\n", "- name: ''\n", "line 13: `designs[0].name` is ``; give it a name of at most 64 bytes");
    complaint(
        "name: a fifth, adjusted",
        "name: a fifth",
        "line 20: `designs[1].name` is `a fifth`, which is there already; names must differ",
    );
    complaint("variants: 2", "variants: 1", "line 14: `designs[0].variants` is 1; it must be from 2, control included, to 16");
    complaint(
        "test_share: 0.2",
        "test_share: 1.2",
        "line 15: `designs[0].test_share` is 1.2; it must be more than 0 and at most 1",
    );
    complaint(
        "test_share: 0.2",
        "units: 0",
        "line 15: `designs[0].units` is 0; it must be at least two for each variant and look",
    );
    complaint("looks: 5", "units: 10", "line 16: `designs[0].units` is given beside `test_share`; give one of them");
    complaint("looks: 5", "looks: 51", "line 16: `designs[0].looks` is 51; it must be from 1 to 50");
    complaint(
        "alpha: 0.05",
        "alpha: 0.6",
        "line 17: `designs[0].alpha` is 0.6; it must be more than 0 and at most 0.5, and is usually 0.05",
    );
    complaint(
        "decide: best_bet",
        "decide: best_bett",
        "line 18: `designs[0].decide` is `best_bett`, which is not one of best_bet, shown_only; the nearest is `best_bet`",
    );
    complaint("cuped: true", "cuped: perhaps", "line 22: `designs[1].cuped` must be true or false");
    complaint(
        "    units: 8000\n",
        "",
        "line 29: `designs[3].test_share` is missing; give the share of the list that is in the test, such as 0.2, or `units`",
    );
    assert_eq!(parse_designs("designs: []").unwrap_err().to_string(), "line 1: `designs` has 0; there must be from 1 to 20");
}

#[test]
fn a_design_that_does_not_fit_the_list_is_refused() {
    let fails = |design: &str, expect: &str| {
        let error = simulate(&shop(20_000, 0.0), &designs("{sd: 0.05}", 20, &[design])).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    fails("name: a, units: 30000", "`designs[0].units` puts 30000 contacts of a list of 20000 into the test of `a`");
    fails("name: a, test_share: 0.0005", "`designs[0].test_share` puts 10 contacts");
    assert_eq!(
        simulate(&Past { lower_is_better: false, markets: Vec::new() }, &designs("{sd: 0.05}", 20, &["name: a, units: 50"])),
        Err(PastError::NoHistory)
    );
}
