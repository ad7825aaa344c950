//! Metrics looked over before a test rests on them: what each was for the list, what one contact may count at most, and whether the
//! test of it keeps its promise on this list, where nothing differs (an A/A certificate).

use serde::{Deserialize, Serialize};
use stats::numeric::Draws;
use stats::{Moments, welch};
use vocabulary::{Experiment, Measure, Metric};

use crate::simulate::World;
use crate::sizing::{Past, ValueCount};
use crate::table::table;
use crate::words::{count, level, number, percent, thousands};

/// How many A/A tests a certificate rests on: its rate is known to a percentage point.
const RUNS: u32 = 1_000;

/// Of a group so many outcomes are drawn one by one; the sums of more are as good as normal, whatever they are made of.
const EXACT_MAX: u64 = 5_000;

/// A promise may be missed by so many standard errors of the simulation.
const SLACK: f64 = 3.0;

/// A cap leaves this share of those who have a value as they are.
const CAP_SHARE: f64 = 0.999;

/// A cap is told where at least so many contacts are beyond it: of fewer the next list says something else.
const BEYOND_MIN: u64 = 10;

/// A cap that takes less of the variance than this is for nothing.
const CAP_GAIN_MIN: f64 = 0.02;

/// The metrics of an experiment on a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricsCheck {
    /// The contacts of the list.
    pub contacts: u64,
    /// For how many hours their past was looked at.
    pub window_hours: u32,
    /// In the experiment's order.
    pub metrics: Vec<MetricCheck>,
    /// Whether every metric can be tested and keeps the promise.
    pub passed: bool,
}

/// One metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricCheck {
    /// The metric.
    pub metric: Metric,
    /// Its mean per contact in the past, in its unit; of a ratio that of its numerator.
    pub mean: f64,
    /// Its standard deviation between contacts, in its unit.
    pub sd: f64,
    /// How many contacts had another value than most.
    pub differing: u64,
    /// The largest value a contact had.
    pub largest: f64,
    /// What a contact should count at most: one in a thousand of those who had a value had more. `None` where a cap would gain nothing, or
    /// the past does not tell.
    pub cap: Option<LearnedCap>,
    /// Whether the test keeps its promise. `None` where nothing can be tested.
    pub certificate: Option<MetricCertificate>,
    /// Whether it can be tested and keeps the promise.
    pub passed: bool,
    /// What to do, for people.
    pub sentence: String,
}

/// A cap that follows from the past.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LearnedCap {
    /// To be written into the metric: a number that stays, so that no later event changes what others count.
    pub cap: f64,
    /// The share of the variance that it takes away.
    pub variance_saved: f64,
    /// The share of the sum that it takes away.
    pub sum_lost: f64,
}

/// A/A tests: two groups of contacts who are the same.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MetricCertificate {
    /// How many tests.
    pub runs: u32,
    /// Contacts of each group.
    pub units: u64,
    /// The share of tests that called a difference.
    pub false_alarms: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// The share that is promised at most: the experiment's alpha.
    pub promised: f64,
    /// Whether it is kept, give or take three standard errors.
    pub kept: bool,
}

/// Looks the metrics over, of which `pasts` tells what the list did, in the experiment's order. The same past and seed give the same bytes.
#[must_use]
pub fn check_metrics(experiment: &Experiment, pasts: &[(String, Past)], seed: u64) -> MetricsCheck {
    let draws = Draws::seeded(seed);
    let of = |(place, metric): (usize, &Metric)| {
        let past = pasts.iter().find(|(name, _)| name == &metric.name).map(|(_, past)| past)?;
        Some(check(experiment, metric, past, &mut draws.split(place as u64)))
    };
    let metrics: Vec<MetricCheck> = experiment.metrics.iter().enumerate().filter_map(of).collect();
    MetricsCheck {
        contacts: pasts.first().map_or(0, |(_, past)| past.contacts()),
        window_hours: experiment.window_hours,
        passed: !metrics.is_empty() && metrics.iter().all(|metric| metric.passed),
        metrics,
    }
}

fn check(experiment: &Experiment, metric: &Metric, past: &Past, draws: &mut Draws) -> MetricCheck {
    let moments = past.moments().moments(0);
    let bars = past.values();
    let most = bars.iter().map(|bar| bar.contacts).max().unwrap_or_default();
    let mut check = MetricCheck {
        metric: metric.clone(),
        mean: moments.mean,
        sd: moments.variance().unwrap_or_default().sqrt(),
        differing: past.contacts() - most,
        largest: bars.last().map_or(0.0, |bar| bar.value),
        cap: cap(metric, &bars),
        certificate: None,
        passed: false,
        sentence: String::new(),
    };
    let failed = match World::new(past) {
        Ok(world) => {
            check.certificate = certificate(experiment, &world, past.contacts(), draws);
            None
        }
        Err(why) => Some(why.to_string()),
    };
    check.passed = check.certificate.is_some_and(|certificate| certificate.kept);
    check.sentence = sentence(&check, failed);
    check
}

/// What a contact should count at most.
fn cap(metric: &Metric, bars: &[ValueCount]) -> Option<LearnedCap> {
    if !matches!(metric.measure, Measure::Count | Measure::Amount | Measure::Profit) || metric.cap.is_some() {
        return None;
    }
    let with: Vec<&ValueCount> = bars.iter().filter(|bar| bar.value > 0.0).collect();
    let people: u64 = with.iter().map(|bar| bar.contacts).sum();
    let mut below = 0;
    let place = with.iter().position(|bar| {
        below += bar.contacts;
        below as f64 >= CAP_SHARE * people as f64
    })?;
    // A cap of whole numbers is one for counts as well.
    let cap = with[place].value.ceil();
    let beyond: u64 = with.iter().filter(|bar| bar.value > cap).map(|bar| bar.contacts).sum();
    let moments = |value: &dyn Fn(f64) -> f64| {
        bars.iter()
            .fold(Moments::default(), |all, bar| all.merge(&Moments { count: bar.contacts, mean: value(bar.value), m2: 0.0 }))
    };
    let (plain, capped) = (moments(&|value| value), moments(&|value| value.clamp(-cap, cap)));
    let variance_saved = 1.0 - capped.m2 / plain.m2;
    let sum_lost = 1.0 - capped.mean / plain.mean;
    let is_worth = beyond >= BEYOND_MIN && variance_saved >= CAP_GAIN_MIN && sum_lost.is_finite();
    is_worth.then_some(LearnedCap { cap, variance_saved, sum_lost })
}

/// A/A tests on the list as a test would deal it.
fn certificate(experiment: &Experiment, world: &World, contacts: u64, draws: &mut Draws) -> Option<MetricCertificate> {
    let units = contacts / experiment.variants.len() as u64;
    let mut alarms = 0_u32;
    for _ in 0..RUNS {
        let [one, other] = [(); 2].map(|()| world.draw_past(units, EXACT_MAX, draws));
        // Where neither group has an outcome that differs nothing is called.
        alarms += u32::from(welch(&one, &other, experiment.alpha).is_ok_and(|effect| effect.p_value <= experiment.alpha));
    }
    let (runs, alpha) = (f64::from(RUNS), experiment.alpha);
    let false_alarms = f64::from(alarms) / runs;
    let standard_error = (alpha * (1.0 - alpha) / runs).sqrt();
    let kept = false_alarms <= alpha + SLACK * standard_error;
    (units >= 2).then_some(MetricCertificate { runs: RUNS, units, false_alarms, standard_error, promised: alpha, kept })
}

fn sentence(check: &MetricCheck, failed: Option<String>) -> String {
    let name = &check.metric.name;
    let Some(certificate) = check.certificate else {
        return format!("`{name}` cannot be tried: {}.", failed.unwrap_or_else(|| "the list has too few contacts".to_owned()));
    };
    let alarms = format!(
        "{} of {} tests of equal groups called a difference",
        percent(certificate.false_alarms),
        thousands(certificate.runs.into())
    );
    let cap = check.cap.map(|LearnedCap { cap, variance_saved, .. }| {
        format!(" `cap: {}` would take {} of the variance away.", cap, percent((100.0 * variance_saved).round() / 100.0))
    });
    let ratio = check
        .metric
        .per
        .as_ref()
        .map(|per| format!(" It is a ratio: this is about its numerator, and `{per}` is tried by itself."));
    let rest = format!("{}{}", cap.unwrap_or_default(), ratio.unwrap_or_default());
    if certificate.kept {
        format!(
            "`{name}` keeps its promise: {alarms}, of {} promised at most, give or take chance.{rest}",
            percent(certificate.promised)
        )
    } else {
        format!(
            "`{name}` breaks its promise: {alarms}, of {} promised at most. Too few contacts decide it: cap it, or take a metric of who did \
             something at all.{rest}",
            percent(certificate.promised)
        )
    }
}

/// The check as text for a terminal.
#[must_use]
pub fn text(check: &MetricsCheck) -> String {
    let row = |metric: &MetricCheck| {
        let cap = metric.cap.map_or("-".to_owned(), |cap| cap.cap.to_string());
        let alarms = metric.certificate.map_or("-".to_owned(), |certificate| percent(certificate.false_alarms));
        let verdict = if metric.passed { "kept" } else { "look" };
        vec![
            metric.metric.name.clone(),
            level(&metric.metric, metric.mean),
            level(&metric.metric, metric.sd),
            thousands(metric.differing),
            number(metric.largest),
            cap,
            alarms,
            verdict.to_owned(),
        ]
    };
    let head = ["metric", "per contact", "deviation", "contacts with another value", "largest", "cap", "false alarms", "promise"];
    let rows: Vec<Vec<String>> = check.metrics.iter().map(row).collect();
    let told: String = check.metrics.iter().map(|metric| format!("{}\n", metric.sentence)).collect();
    let contacts = count(check.contacts, "contact", "contacts");
    format!("{contacts}, the last {} hours.\n\n{}\n{told}", check.window_hours, table(&head, &rows))
}

#[cfg(test)]
mod tests {
    use stats::CoMoments;

    use super::*;
    use crate::sizing::PastMarket;

    fn spec(metric: &str) -> Experiment {
        crate::parse(&format!(
            "experiment: e\nfactors: [copy]\nvariants: [{{name: a}}, {{name: b}}]\nprimary: m\nmetrics: [{{name: m, {metric}}}]"
        ))
        .unwrap()
    }

    /// So many contacts had each value; all others had nothing.
    fn past(contacts: u64, values: &[(f64, u64)]) -> Vec<(String, Past)> {
        let mut moments = CoMoments::new(2);
        let with: u64 = values.iter().map(|(_, contacts)| contacts).sum();
        let all = values.iter().copied().chain([(0.0, contacts - with)]);
        all.for_each(|(value, contacts)| (0..contacts).for_each(|_| moments.push(&[value, 0.0])));
        let values = values.iter().map(|(value, contacts)| ValueCount { value: *value, contacts: *contacts }).collect();
        let market = PastMarket { market: "DE".to_owned(), contacts, values, moments };
        vec![("m".to_owned(), Past { lower_is_better: false, markets: vec![market] })]
    }

    fn checked(metric: &str, pasts: &[(String, Past)]) -> MetricsCheck {
        check_metrics(&spec(metric), pasts, 7)
    }

    #[test]
    fn a_rate_keeps_its_promise() {
        let pasts = past(20_000, &[(1.0, 1_000)]);
        let found = checked("outcome: order, measure: occurred", &pasts);
        let [metric] = &found.metrics[..] else { panic!("one metric, not {found:?}") };
        assert!(found.passed && metric.passed, "{metric:?}");
        assert_eq!((found.contacts, metric.differing, metric.cap), (20_000, 1_000, None));
        assert!((metric.mean - 0.05).abs() < 1e-12);
        let certificate = metric.certificate.unwrap();
        assert!((0.03..=0.07).contains(&certificate.false_alarms), "{certificate:?}");
        assert_eq!(certificate.units, 10_000);
        assert!(metric.sentence.starts_with("`m` keeps its promise:"), "{}", metric.sentence);
        assert_eq!(found, checked("outcome: order, measure: occurred", &pasts), "the same seed gives the same bytes");
        assert!(text(&found).contains("20000 contacts") && text(&found).contains("kept"), "{}", text(&found));
    }

    #[test]
    fn amounts_learn_their_cap_from_the_past() {
        let mut values: Vec<(f64, u64)> = (1..=100).map(|amount| (f64::from(amount), 300)).collect();
        values.extend([(5_000.0, 20), (9_000.0, 11)]);
        let found = checked("outcome: order, measure: amount", &past(100_000, &values));
        let cap = found.metrics[0].cap.unwrap();
        // 31 of 30,031 are beyond a hundred.
        assert_eq!(cap.cap, 5_000.0);
        assert!(cap.variance_saved > 0.3 && (0.0..0.1).contains(&cap.sum_lost), "{cap:?}");
        assert!(found.metrics[0].sentence.contains("`cap: 5000` would take"), "{}", found.metrics[0].sentence);
        let written = checked("outcome: order, measure: amount, cap: 5000", &past(100_000, &values));
        assert_eq!(written.metrics[0].cap, None, "who has one needs none");
        let even = checked("outcome: order, measure: amount", &past(100_000, &values[..100]));
        assert_eq!(even.metrics[0].cap, None, "a cap would gain nothing");
    }

    #[test]
    fn what_cannot_be_tried_says_why() {
        let nothing = checked("outcome: order, measure: occurred", &past(1_000, &[]));
        assert!(!nothing.passed && nothing.metrics[0].certificate.is_none());
        let sentence = &nothing.metrics[0].sentence;
        assert!(sentence.starts_with("`m` cannot be tried: all contacts had the same value"), "{sentence}");
        let nobody = check_metrics(&spec("outcome: order, measure: occurred"), &[], 7);
        assert!(!nobody.passed && nobody.metrics.is_empty());
    }
}
