//! Own numbers: what simulations and exact calculations said when the methods were chosen, simulated again.

use stats::adjusted::{Shape, Stratum, compare_strata};
use stats::means::relative::{relative_delta, relative_log};
use stats::numeric::Draws;
use stats::posterior::{NormalArm, normal_standings};
use stats::quantiles::design_effect;
use stats::quantiles::rows::quantile_of_rows;
use stats::sequential::confidence::multiplier;
use stats::sequential::group::{Sides, Spending, inflation};
use stats::tail::{chi_square_quantile_upper, normal_quantile_upper};
use stats::{Alternative, CoMoments, Moments, SequentialSampleRatio, fieller_lift};

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// An O'Brien-Fleming plan of five looks costs 1.025 times the fixed sample.
#[test]
fn obrien_fleming_costs_little() {
    let cost = inflation(Spending::ObrienFlemingSpending, 0.05, Sides::Two, 0.2, 5).unwrap().inflation_factor;
    assert!((cost - 1.025).abs() < 0.002, "{cost}");
}

/// An always-valid test tuned exactly to its sample needs 1.69 times the fixed sample for 80 %: so many make its power 80 %.
#[test]
fn always_valid_costs_more() {
    const LOOKS: usize = 100;
    let drift = 1.69_f64.sqrt() * (normal_quantile_upper(0.025) + normal_quantile_upper(0.2));
    let step = 1.0 / LOOKS as f64;
    let bounds: Vec<f64> = (1..=LOOKS).map(|look| multiplier(look as f64 * 100.0, 0.05, 1e4).unwrap()).collect();
    let mut draws = Draws::seeded(169);
    let mut crossed = 0;
    for _ in 0..3000 {
        let mut sum = 0.0;
        crossed += u32::from((1..=LOOKS).any(|look| {
            sum += drift * step + step.sqrt() * draws.normal();
            (sum / (look as f64 * step).sqrt()).abs() > bounds[look - 1]
        }));
    }
    let power = f64::from(crossed) / 3000.0;
    assert!((power - 0.8).abs() < 0.03, "{power}");
}

/// An arm of `count` recipients of whom 0.3 % order, for lognormal amounts.
fn revenue(draws: &mut Draws, count: u64) -> Moments {
    let (mut orders, mut waited, mut sum, mut squares) = (0, draws.exponential(), 0.0, 0.0);
    while waited < 0.003 * count as f64 {
        let amount = draws.lognormal(0.0, 1.05);
        (orders, sum, squares) = (orders + 1, sum + amount, squares + amount * amount);
        waited += draws.exponential();
    }
    assert!(orders > 0);
    Moments::from_sums(count, sum, squares).unwrap()
}

/// How often 95 % intervals of the lift miss where there is none, linear, Fieller's and logarithmic: 12.5, 4.1 and 9.7 % for
/// 5,000 recipients an arm, 7.7, 4.3 and 6.4 % for 20,000, and 6.4, 4.3 and 5.1 % for 60,000. The spread of amounts was not
/// written down; a deviation of 1.05 of their logarithms gives these numbers.
#[test]
fn how_often_intervals_of_rare_revenue_miss() {
    let mut draws = Draws::seeded(20);
    for (count, runs, expect) in
        [(5000, 4000, [12.5, 4.1, 9.7]), (20_000, 2500, [7.7, 4.3, 6.4]), (60_000, 1500, [6.4, 4.3, 5.1])]
    {
        let mut missed = [0_u32; 3];
        for _ in 0..runs {
            let (control, variant) = (revenue(&mut draws, count), revenue(&mut draws, count));
            let linear = relative_delta(&control, &variant, Alternative::TwoSided, 0.05).unwrap().interval;
            // Where control cannot be told from zero, nothing is claimed.
            let fieller = fieller_lift(&control, &variant, 0.05).map(|lift| lift.interval);
            let log = relative_log(&control, &variant, Alternative::TwoSided, 0.05).unwrap().interval;
            missed[0] += u32::from(!linear.contains(0.0));
            missed[1] += u32::from(fieller.is_ok_and(|interval| !interval.contains(0.0)));
            missed[2] += u32::from(!log.contains(0.0));
        }
        for (missed, expect) in missed.into_iter().zip(expect) {
            let share = 100.0 * f64::from(missed) / f64::from(runs);
            assert!((share - expect).abs() < 1.8, "{count}: {share} is not {expect}");
        }
    }
}

/// A share of .505 instead of one half is detected at .001 after a median of 159,000 recipients, by a chi-square peeked at the
/// same looks after 90,000: the price of being valid.
#[test]
fn detection_of_a_sample_ratio_mismatch() {
    const STEP: f64 = 1000.0;
    let critical = chi_square_quantile_upper(0.001, 1.0);
    let mut draws = Draws::seeded(505);
    let (mut valid, mut peeked) = (Vec::new(), Vec::new());
    for _ in 0..150 {
        let mut test = SequentialSampleRatio::new(&[1.0, 1.0], 10_000.0).unwrap();
        let (mut total, mut excess, mut rung) = (0.0, 0.0, false);
        loop {
            let first = (0.505 * STEP + (0.25 * STEP).sqrt() * draws.normal()).round();
            total += STEP;
            excess += 2.0 * first - STEP;
            if !rung && excess * excess / total >= critical {
                rung = true;
                peeked.push(total);
            }
            if test.observe(&[first as u64, (STEP - first) as u64]).unwrap().p_value <= 0.001 {
                valid.push(total);
                break;
            }
        }
    }
    let (valid, peeked) = (median(valid), median(peeked));
    assert!((valid / 159e3 - 1.0).abs() < 0.12, "{valid}");
    assert!((peeked / 90e3 - 1.0).abs() < 0.15, "{peeked}");
}

/// Where four arms are equal, "best with 95 %" names a winner in 1.5 to 4 % of experiments.
#[test]
fn ninety_five_percent_best_is_rarely_wrong() {
    let mut draws = Draws::seeded(95);
    let mut winners = 0;
    for _ in 0..2000 {
        let arms: Vec<NormalArm> = (0..4).map(|_| NormalArm { mean: draws.normal(), sd: 1.0 }).collect();
        winners += u32::from(normal_standings(&arms, false).unwrap().iter().any(|arm| arm.best > 0.95));
    }
    let share = f64::from(winners) / 2000.0;
    assert!((0.01..=0.045).contains(&share), "{share}");
}

/// Rows of recipients with a level of their own.
fn clustered_rows(draws: &mut Draws, recipients: u64) -> Vec<(u64, f64)> {
    let mut rows = Vec::new();
    for recipient in 0..recipients {
        let own = draws.normal();
        for _ in 0..=draws.below(6) {
            rows.push((recipient, (own + 0.5 * draws.normal()).exp()));
        }
    }
    rows
}

/// The standard error of a quantile of clustered rows is that of the bootstrap by recipient: on average over samples, since
/// either is noisy.
#[test]
fn a_clustered_quantile_is_as_noisy_as_the_bootstrap_says() {
    let mut draws = Draws::seeded(14);
    let (mut claimed, mut resampled) = (0.0, 0.0);
    for _ in 0..12 {
        let rows = clustered_rows(&mut draws, 400);
        let (arm, clusters) = quantile_of_rows("control", &rows, 0.75).unwrap();
        let effect = design_effect("control", arm.count, arm.level, &clusters).unwrap();
        claimed += (arm.variance_per_row("control").unwrap() * effect / arm.count as f64).sqrt();
        let mut of: Vec<Vec<f64>> = vec![Vec::new(); 400];
        rows.iter().for_each(|(recipient, value)| of[*recipient as usize].push(*value));
        let mut quantiles = Moments::default();
        for _ in 0..150 {
            let mut values: Vec<f64> = (0..400).flat_map(|_| of[draws.below(400) as usize].clone()).collect();
            values.sort_by(f64::total_cmp);
            quantiles.push(values[(values.len() as f64 * 0.75).ceil() as usize - 1]);
        }
        resampled += quantiles.variance().unwrap().sqrt();
    }
    assert!((claimed / resampled - 1.0).abs() < 0.1, "{claimed} {resampled}");
}

/// gbstats `TestCovarianceOfMultinomialWeightedMeans` (skipped there as slow): with the shares of strata left to chance, the
/// variance of the post-stratified difference is what the formula says. Five strata, effects of 0 to 4.
#[test]
fn covariance_of_multinomial_weighted_means() {
    const SHARES: [f64; 5] = [0.1, 0.3, 0.25, 0.15, 0.2];
    let mut draws = Draws::seeded(20_251_219);
    let (mut differences, mut claimed) = (Moments::default(), 0.0);
    for _ in 0..1500 {
        let mut arms = [(); 5].map(|()| [CoMoments::new(1), CoMoments::new(1)]);
        for unit in 0..400 {
            let at = draws.uniform();
            let cell = (0..4).find(|cell| at < SHARES[..=*cell].iter().sum::<f64>()).unwrap_or(4);
            let treated = unit % 2;
            let value = (3 * cell + cell * treated) as f64 + (1.5 + cell as f64).sqrt() * draws.normal();
            arms[cell][treated].push(&[value]);
        }
        let strata = arms.each_ref().map(|[control, treatment]| Stratum { name: "", control, treatment });
        let found = compare_strata(&strata, Shape::Mean, 0, 0.05).unwrap().absolute;
        differences.push(found.difference);
        claimed += found.standard_error * found.standard_error / 1500.0;
    }
    let actual = differences.variance().unwrap();
    assert!((claimed / actual - 1.0).abs() < 0.1, "{claimed} is not {actual}");
    let effect: f64 = SHARES.iter().enumerate().map(|(cell, share)| share * cell as f64).sum();
    assert!((differences.mean - effect).abs() < 4.0 * (actual / 1500.0).sqrt());
}
