//! A sender's world with known truth: eight markets, and eight variants that cross two copies, two hours and two channels.
//!
//! What differs, and why it is hard: a variant's profit is what its copy, hour and channel bring everywhere and what they bring in one
//! market besides; purchases are few and their sizes skewed; a text message costs money whether anybody buys or not; e-mail sells later
//! than text messages; what a variant adds is strongest when it is new and fades over the days after the message; machines open e-mail.
//! Recipients are in the test by chance, and are sent to on the seven days of the first week.

use experiment::Cells;
use experiment::cells::{Tally, Unit, What, age};
use stats::numeric::Draws;
use vocabulary::{Experiment, Timestamp};

pub(crate) const MARKETS: [(&str, f64, f64, f64); 8] = [
    // Share of the list, purchases per recipient, contribution of a purchase in minor units.
    ("DE", 0.22, 0.030, 1_100.0),
    ("FR", 0.18, 0.028, 1_000.0),
    ("GB", 0.16, 0.034, 950.0),
    ("IT", 0.12, 0.025, 1_000.0),
    ("ES", 0.11, 0.026, 900.0),
    ("NL", 0.08, 0.035, 1_050.0),
    ("PL", 0.08, 0.038, 700.0),
    ("SE", 0.05, 0.030, 1_200.0),
];
pub(crate) const VARIANTS: usize = 8;
pub(crate) const TEST_DAYS: i64 = 7;
pub(crate) const MINOR_PER_MAJOR: i64 = 100;

const DAY_MICROS: i64 = 24 * 3_600 * 1_000_000;
const WINDOW_HOURS: f64 = 168.0;
/// Spread of the logarithm of a purchase.
const BASKET_SIGMA: f64 = 0.6;
/// What is new about a variant is gone after about so many hours.
const NOVELTY_HOURS: f64 = 48.0;
/// How much stronger an effect is in the first moment than when it is not new any more.
const NOVELTY: f64 = 2.0;
const UNSUBSCRIBES: f64 = 0.003;

/// The channel of a variant: text messages for odd numbers.
fn is_sms(variant: usize) -> bool {
    variant % 2 == 1
}

/// Minor units per message, whether anybody buys or not.
fn cost_minor(truth: &Truth, variant: usize) -> i64 {
    i64::from(is_sms(variant) && !truth.is_same) * 3
}

fn accepted_share(variant: usize) -> f64 {
    if is_sms(variant) { 0.99 } else { 0.97 }
}

/// Mean hours from a message to a purchase.
fn delay_hours(variant: usize) -> f64 {
    if is_sms(variant) { 14.0 } else { 36.0 }
}

pub(crate) fn experiment() -> Experiment {
    let variant = |v: usize| {
        let (copy, hour, channel) = (["plain", "story"][v / 4], [10, 18][v / 2 % 2], ["email", "sms"][v % 2]);
        format!("- {{name: {}, copy: {copy}, send_hour: {hour}, channel: {channel}}}\n", name(v))
    };
    let variants: String = (0..VARIANTS).map(variant).collect();
    let text = format!(
        "experiment: fortnight\nfactors: [copy, timing, channel]\nvariants:\n{variants}primary: profit\nmetrics:\n\
         - {{name: profit, outcome: order, measure: amount}}\n- {{name: orders, outcome: order, measure: occurred}}\n\
         - {{name: opens, outcome: open, measure: occurred}}\n\
         - {{name: unsubscribes, outcome: unsubscribe, measure: occurred, lower_is_better: true}}\n\
         guardrails: [{{metric: unsubscribes, margin: 0.5}}]\nwindow_hours: 168\n"
    );
    experiment::parse(&text).expect("the world's experiment is a valid one")
}

pub(crate) fn name(v: usize) -> String {
    format!("{}-{}-{}", ["plain", "story"][v / 4], ["morning", "evening"][v / 2 % 2], ["email", "sms"][v % 2])
}

/// What is true of one run.
pub(crate) struct Truth {
    /// Purchases by market and variant, over what the market has.
    effects: Vec<[f64; VARIANTS]>,
    /// Whether all variants are the same thing, which costs the same.
    is_same: bool,
}

impl Truth {
    /// Nothing differs.
    pub(crate) fn same() -> Self {
        Self { effects: vec![[0.0; VARIANTS]; MARKETS.len()], is_same: true }
    }

    /// Copy, hour and channel matter everywhere, together, and in each market besides.
    pub(crate) fn drawn(draws: &mut Draws) -> Self {
        let main = [0.08, 0.08, 0.10].map(|sd| sd * draws.normal());
        let together: Vec<f64> = (0..VARIANTS).map(|_| 0.04 * draws.normal()).collect();
        let market = |draws: &mut Draws| {
            let own = [0.02, 0.03, 0.05].map(|sd| sd * draws.normal());
            std::array::from_fn(|v| {
                let level = |factor: usize| if [v / 4, v / 2 % 2, v % 2][factor] == 1 { 0.5 } else { -0.5 };
                let factors: f64 = (0..3).map(|factor| 2.0 * level(factor) * (main[factor] + own[factor])).sum();
                (factors + together[v] + 0.02 * draws.normal()).max(-0.6)
            })
        };
        Self { effects: MARKETS.iter().map(|_| market(draws)).collect(), is_same: false }
    }

    /// The expected profit of one intended recipient, in major units.
    pub(crate) fn profit(&self, market: usize, variant: usize) -> f64 {
        let (_, _, rate, contribution) = MARKETS[market];
        let sold = self.accepted(variant) * rate * (1.0 + self.effects[market][variant]) * contribution;
        (sold - cost_minor(self, variant) as f64) / MINOR_PER_MAJOR as f64
    }

    fn accepted(&self, variant: usize) -> f64 {
        accepted_share(if self.is_same { 0 } else { variant })
    }
}

/// What goes wrong in the sender's machinery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// One variant loses 5 % of its assignments.
    LostAssignments,
    /// Text messages are not accepted in one market for a day.
    DeafGateway,
}

/// The sums of a test of so many recipients, and how many were assigned.
pub(crate) fn test(experiment: &Experiment, truth: &Truth, recipients: u64, fault: Fault, draws: &mut Draws) -> Cells {
    let mut cells = Cells::new(experiment, MINOR_PER_MAJOR);
    let names: Vec<String> = (0..VARIANTS).map(name).collect();
    for (m, (market, share, ..)) in MARKETS.iter().enumerate() {
        for day in 0..TEST_DAYS {
            let mut left = (recipients as f64 * share / TEST_DAYS as f64).round() as u64;
            for (v, variant) in names.iter().enumerate() {
                let mut count = binomial(draws, left, 1.0 / (VARIANTS - v) as f64);
                left -= count;
                if fault == Fault::LostAssignments && v == 5 {
                    count = binomial(draws, count, 0.95);
                }
                let is_deaf = fault == Fault::DeafGateway && is_sms(v) && m == 2 && day == 3;
                let group = Group { truth, market: m, variant: v, day, is_deaf };
                group.send(&mut cells, market, variant, count, draws);
            }
        }
    }
    cells
}

/// Recipients of one market and variant who are sent to on one day.
struct Group<'a> {
    truth: &'a Truth,
    market: usize,
    variant: usize,
    day: i64,
    is_deaf: bool,
}

impl Group<'_> {
    fn send(&self, cells: &mut Cells, market: &str, variant: &str, count: u64, draws: &mut Draws) {
        let hour = [10, 18][self.variant / 2 % 2];
        let begins = Timestamp::from_microsecond(self.day * DAY_MICROS + hour * (DAY_MICROS / 24)).expect("a day of 1970");
        let unit = |tallies: &[(u16, Tally)], cells: &mut Cells, how_many: u64| {
            let unit = Unit { variant: Some(variant), market: Some(market), begins, crossed: false, tallies };
            cells.add_many(&unit, how_many as u32);
        };
        let mut sent = Tally { amount_minor: -cost_minor(self.truth, self.variant), ..Tally::default() };
        sent.counts[What::Sent as usize] = 1;
        let accepted = if self.is_deaf { 0 } else { binomial(draws, count, self.truth.accepted(self.variant)) };
        unit(&[(0, sent)], cells, count - accepted);
        sent.counts[What::Accepted as usize] = 1;
        let (_, _, rate, contribution) = MARKETS[self.market];
        let effect = self.truth.effects[self.market][self.variant];
        let buyers = binomial(draws, accepted, rate * (1.0 + effect));
        let mu = contribution.ln() - 0.5 * BASKET_SIGMA * BASKET_SIGMA;
        for _ in 0..buyers {
            let hours = self.purchase_hours(effect, draws);
            let at = Timestamp::from_microsecond(begins.as_microsecond() + (hours * 3.6e9) as i64).expect("a day of 1970");
            let step = age(begins, at).expect("a purchase is after the message");
            let mut bought = Tally { amount_minor: draws.lognormal(mu, BASKET_SIGMA).round() as i64, ..Tally::default() };
            bought.counts[What::Ordered as usize] = 1;
            bought.counts[What::HumanClicked as usize] = 1;
            if step == 0 {
                bought.add(&sent);
                unit(&[(0, bought)], cells, 1);
            } else {
                unit(&[(0, sent), (step, bought)], cells, 1);
            }
        }
        let mut left = accepted - buyers;
        let human = if is_sms(self.variant) { 0.0 } else { 0.25 };
        for (share, whats) in [
            (UNSUBSCRIBES, &[What::Unsubscribed][..]),
            (human, &[What::Opened, What::HumanOpened]),
            (if is_sms(self.variant) { 0.0 } else { 0.4 }, &[What::Opened]),
        ] {
            let some = binomial(draws, left, share);
            let mut did = Tally::default();
            whats.iter().for_each(|what| did.counts[*what as usize] = 1);
            unit(&[(0, sent), (4, did)], cells, some);
            left -= some;
        }
        unit(&[(0, sent)], cells, left);
    }

    /// When a purchase is made, in hours after the message and within the window. An effect e adds e g(t) to the purchases at t, where g
    /// falls from `NOVELTY` to 1 over the days, so that the effect of the first hours is larger than that of the week.
    fn purchase_hours(&self, effect: f64, draws: &mut Draws) -> f64 {
        let mean = delay_hours(self.variant);
        let within = 1.0 - (-WINDOW_HOURS / mean).exp();
        // The mean of g over the delays, by which the effect of the week is what was said.
        let rate = 1.0 / mean + 1.0 / NOVELTY_HOURS;
        let fading = (1.0 - (-WINDOW_HOURS * rate).exp()) / (rate * mean) / within;
        let average = 1.0 + (NOVELTY - 1.0) * fading;
        let weight = |hours: f64| (1.0 + effect * (1.0 + (NOVELTY - 1.0) * (-hours / NOVELTY_HOURS).exp()) / average).max(0.0);
        let most = weight(0.0).max(weight(WINDOW_HOURS));
        loop {
            let hours = -mean * (1.0 - within * draws.uniform()).ln();
            if draws.uniform() * most <= weight(hours) {
                return hours.min(WINDOW_HOURS - 1e-6);
            }
        }
    }
}

/// How many of `n` succeed: exact where few do, and by the normal distribution where the difference is no matter.
fn binomial(draws: &mut Draws, n: u64, p: f64) -> u64 {
    if p > 0.5 {
        return n - binomial(draws, n, 1.0 - p);
    }
    let mean = n as f64 * p;
    if mean > 400.0 {
        let drawn = mean + (mean * (1.0 - p)).sqrt() * draws.normal();
        return (drawn.round().max(0.0) as u64).min(n);
    }
    if p <= 0.0 {
        return 0;
    }
    // From one success to the next there are geometrically many.
    let (mut at, mut count) = (0.0, 0);
    loop {
        at += (draws.uniform().ln() / (-p).ln_1p()).floor() + 1.0;
        if at > n as f64 {
            return count;
        }
        count += 1;
    }
}
