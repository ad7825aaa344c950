//! Outcomes like those of the past, for any number of contacts at once.
//!
//! Most contacts have one value, for most metrics 0. A variant's effect thins or thickens those who have another: their share
//! becomes what gives the mean asked for, and their values are drawn from the past. Where no share does, as for a metric that
//! differs for everybody, all outcomes are shifted.
//!
//! Of n contacts a binomial number differs. The sums of a few of them are drawn one by one, which together is a multinomial draw
//! from the histogram; the sum and the sum of squares of many are drawn as two correlated normals.

use stats::Moments;
use stats::numeric::Draws;

use crate::sizing::{Past, PastError};

/// The sums of more values than this are as good as normal.
const EXACT_VALUES_MAX: u64 = 500;

/// A binomial number with a larger variance is as good as normal: its skewness is below 0.05.
const EXACT_VARIANCE_MAX: f64 = 400.0;

/// The past, ready to draw from.
pub(crate) struct World {
    /// The mean per contact, in the metric's unit.
    pub(super) mean: f64,
    /// The share of the variance that the time before explains.
    pub(super) explained: f64,
    /// Whether less is better.
    pub(super) lower_is_better: bool,
    /// The value that most contacts have.
    usual: f64,
    /// How far other values lie from it, and how many contacts have those up to each.
    distances: Vec<f64>,
    up_to: Vec<u64>,
    /// The share of contacts who have another.
    share: f64,
    /// The first four raw moments of `distances` over those who differ.
    raw: [f64; 4],
}

/// What a variant does to outcomes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Law {
    share: f64,
    shift: f64,
}

/// Outcomes of some contacts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Drawn {
    pub(super) moments: Moments,
    /// How many differ from the usual value.
    pub(super) differing: u64,
}

impl World {
    pub(crate) fn new(past: &Past) -> Result<Self, PastError> {
        let bars = past.values();
        let usual = bars.iter().reduce(|most, bar| if bar.contacts > most.contacts { bar } else { most });
        let usual = usual.ok_or(PastError::NoHistory)?.value;
        let others = || bars.iter().filter(|bar| bar.value != usual).map(|bar| (bar.value - usual, bar.contacts));
        let differing: u64 = others().map(|(_, contacts)| contacts).sum();
        if differing == 0 {
            return Err(PastError::NoVariance);
        }
        let raw = [1, 2, 3, 4].map(|power| others().map(|(d, n)| d.powi(power) * n as f64).sum::<f64>() / differing as f64);
        let share = differing as f64 / past.contacts() as f64;
        let mean = usual + share * raw[0];
        if mean <= 0.0 {
            return Err(PastError::NoBaseline { mean });
        }
        let mut sum = 0;
        let mut running = |contacts: u64| {
            sum += contacts;
            sum
        };
        Ok(Self {
            mean,
            explained: past.explained(),
            lower_is_better: past.lower_is_better,
            usual,
            distances: others().map(|(distance, _)| distance).collect(),
            up_to: others().map(|(_, contacts)| running(contacts)).collect(),
            share,
            raw,
        })
    }

    /// The law whose mean is `effect` over that of the past, a fraction.
    pub(super) fn law(&self, effect: f64) -> Law {
        let added = effect * self.mean;
        let share = self.share + added / self.raw[0];
        if share > 0.0 && share <= 1.0 { Law { share, shift: 0.0 } } else { Law { share: self.share, shift: added } }
    }

    /// The outcomes of `contacts`.
    pub(super) fn draw(&self, contacts: u64, law: Law, draws: &mut Draws) -> Drawn {
        self.draw_up_to(contacts, law, EXACT_VALUES_MAX, draws)
    }

    /// The outcomes of `contacts` of the past, of whom so many are drawn one by one.
    pub(crate) fn draw_past(&self, contacts: u64, exact_max: u64, draws: &mut Draws) -> Moments {
        self.draw_up_to(contacts, Law { share: self.share, shift: 0.0 }, exact_max, draws).moments
    }

    fn draw_up_to(&self, contacts: u64, law: Law, exact_max: u64, draws: &mut Draws) -> Drawn {
        if contacts == 0 {
            return Drawn::default();
        }
        let differing = binomial(contacts, law.share, draws);
        let (sum, squares) = self.sums(differing, exact_max, draws);
        let n = contacts as f64;
        let m2 = (squares - sum * (sum / n)).max(0.0);
        Drawn { moments: Moments { count: contacts, mean: self.usual + law.shift + sum / n, m2 }, differing }
    }

    /// The sum of so many distances, and of their squares.
    fn sums(&self, differing: u64, exact_max: u64, draws: &mut Draws) -> (f64, f64) {
        let n = differing as f64;
        if let [distance] = self.distances[..] {
            return (n * distance, n * distance * distance);
        }
        if differing <= exact_max {
            let all = self.up_to.last().copied().unwrap_or_default();
            return (0..differing).fold((0.0, 0.0), |(sum, squares), _| {
                let place = draws.below(all);
                let distance = self.distances[self.up_to.partition_point(|up_to| *up_to <= place)];
                (sum + distance, squares + distance * distance)
            });
        }
        let [first, second, third, fourth] = self.raw;
        let spread = (second - first * first).max(0.0).sqrt();
        let slope = if spread > 0.0 { (third - first * second) / spread } else { 0.0 };
        let rest = (fourth - second * second - slope * slope).max(0.0).sqrt();
        let (one, other) = (draws.normal(), draws.normal());
        let sum = n * first + n.sqrt() * spread * one;
        let squares = n * second + n.sqrt() * (slope * one + rest * other);
        // No sum of squares is smaller than that of equal numbers.
        (sum, squares.max(sum * sum / n))
    }
}

/// How many of `n` happen that each happen with `chance`: by the gaps between them, which are geometric (Devroye, "Non-Uniform
/// Random Variate Generation", 1986, chapter X.4), and where they are many by the normal distribution.
fn binomial(n: u64, chance: f64, draws: &mut Draws) -> u64 {
    if chance > 0.5 {
        return n - binomial(n, 1.0 - chance, draws);
    }
    let (trials, variance) = (n as f64, n as f64 * chance * (1.0 - chance));
    if variance > EXACT_VARIANCE_MAX {
        return (trials * chance + variance.sqrt() * draws.normal()).round().clamp(0.0, trials) as u64;
    }
    if chance <= 0.0 {
        return 0;
    }
    let (mut happened, mut place) = (0, 0.0);
    let rate = (-chance).ln_1p();
    loop {
        place += (draws.uniform().ln() / rate).floor() + 1.0;
        if place > trials {
            return happened;
        }
        happened += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ways to a binomial number have its mean and variance, on both sides of one half.
    #[test]
    fn binomial_numbers_have_their_moments() {
        for (n, chance) in [(40, 0.3), (1_000, 0.004), (30_000, 0.4), (500, 0.97)] {
            let mut draws = Draws::seeded(3);
            let values: Vec<f64> = (0..20_000).map(|_| binomial(n, chance, &mut draws) as f64).collect();
            let moments = Moments::from_values(&values);
            let (mean, variance) = (n as f64 * chance, n as f64 * chance * (1.0 - chance));
            assert!((moments.mean - mean).abs() < 4.0 * (variance / 20_000.0).sqrt(), "{n} {chance}: {}", moments.mean);
            assert!((moments.variance().unwrap() / variance - 1.0).abs() < 0.05, "{n} {chance}: {moments:?}");
        }
    }
}
