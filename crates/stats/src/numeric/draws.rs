//! Seeded draws for resampling and simulation.
//!
//! The seed is an argument, so nothing here breaks the promise of the crate to draw no randomness of its own: the same
//! seed gives the same draws, on every machine, up to the last digit of its logarithm.
//!
//! The generator is xoshiro256++, seeded through splitmix64: Blackman & Vigna, "Scrambled linear pseudorandom number
//! generators", ACM TOMS 47 (2021). It is fast and passes every known test; it is no cipher.

use crate::tail::normal_quantile;

/// Rejections of one draw; each is accepted with a chance of at least one third, so this is never reached.
const REJECTIONS_MAX: usize = 10_000;

/// A seeded generator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draws {
    state: [u64; 4],
}

impl Draws {
    /// The draws that follow from `seed`.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let mut state = seed;
        Self { state: [(); 4].map(|()| splitmix(&mut state)) }
    }

    /// An own generator for this `stream`, the same for the same seed and stream, however much was drawn in between streams:
    /// call it on a generator that has drawn nothing yet. Distinct streams are as unrelated as distinct seeds.
    #[must_use]
    pub fn split(&self, stream: u64) -> Self {
        let mut key = stream;
        let mut state = self.state.map(|word| word ^ splitmix(&mut key));
        let mut fold = state[0] ^ state[1].rotate_left(16) ^ state[2].rotate_left(32) ^ state[3].rotate_left(48);
        for word in &mut state {
            *word ^= splitmix(&mut fold);
        }
        // A state of zeros would stay so; no other state is special.
        if state == [0; 4] { Self::seeded(stream) } else { Self { state } }
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let shifted = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= shifted;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// Uniform between 0 and 1, neither included: the middles of 2^52 equal cells.
    pub fn uniform(&mut self) -> f64 {
        ((self.next_u64() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }

    /// A whole number from 0 up to, not including, `n`, without bias; 0 where `n` is 0. Lemire, "Fast random integer
    /// generation in an interval", ACM TOMACS 29 (2019).
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 {
            return 0;
        }
        let mut product = u128::from(self.next_u64()) * u128::from(n);
        if (product as u64) < n {
            let threshold = n.wrapping_neg() % n;
            while (product as u64) < threshold {
                product = u128::from(self.next_u64()) * u128::from(n);
            }
        }
        (product >> 64) as u64
    }

    /// Standard normal, by the quantile of a uniform.
    pub fn normal(&mut self) -> f64 {
        normal_quantile(self.uniform())
    }

    /// Exponential with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -self.uniform().ln()
    }

    /// Gamma with this `shape` and scale 1; NaN where the shape is not a positive finite number. Marsaglia & Tsang, "A simple
    /// method for generating gamma variables", ACM TOMS 26 (2000).
    pub fn gamma(&mut self, shape: f64) -> f64 {
        if !(shape > 0.0 && shape.is_finite()) {
            return f64::NAN;
        }
        if shape < 1.0 {
            return self.ln_gamma_variable(shape).exp();
        }
        self.gamma_from_one(shape)
    }

    /// Beta with shapes `a` and `b`; NaN where a shape is not a positive finite number.
    pub fn beta(&mut self, a: f64, b: f64) -> f64 {
        if !(a > 0.0 && b > 0.0 && a.is_finite() && b.is_finite()) {
            return f64::NAN;
        }
        // By logarithms, because for tiny shapes both gamma variables are too small for a number.
        let (x, y) = (self.ln_gamma_variable(a), self.ln_gamma_variable(b));
        1.0 / (1.0 + (y - x).exp())
    }

    /// e to the power of a normal with mean `mu` and deviation `sigma`.
    pub fn lognormal(&mut self, mu: f64, sigma: f64) -> f64 {
        (mu + sigma * self.normal()).exp()
    }

    /// Puts `values` into a random order, all orders alike. Fisher & Yates, as in Knuth, TAOCP 2, §3.4.2.
    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for i in (1..values.len()).rev() {
            values.swap(i, self.below(i as u64 + 1) as usize);
        }
    }

    /// The logarithm of a gamma variable; a shape below one is one more and a power of a uniform less.
    fn ln_gamma_variable(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let raised = self.gamma_from_one(shape + 1.0).ln();
            return raised + self.uniform().ln() / shape;
        }
        self.gamma_from_one(shape).ln()
    }

    /// Gamma with a shape of at least one.
    fn gamma_from_one(&mut self, shape: f64) -> f64 {
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        for _ in 0..REJECTIONS_MAX {
            let z = self.normal();
            let cube = (1.0 + c * z).powi(3);
            if cube > 0.0 && self.uniform().ln() < 0.5 * z * z + d - d * cube + d * cube.ln() {
                return d * cube;
            }
        }
        d
    }
}

/// The next number of splitmix64.
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Moments;

    const DRAWS: usize = 40_000;

    fn moments(seed: u64, mut draw: impl FnMut(&mut Draws) -> f64) -> Moments {
        let mut draws = Draws::seeded(seed);
        Moments::from_values(&(0..DRAWS).map(|_| draw(&mut draws)).collect::<Vec<_>>())
    }

    #[test]
    fn the_generator_is_the_published_one() {
        // The first outputs of xoshiro256++ from the state 1, 2, 3, 4, as in the authors' reference and rand_xoshiro.
        let mut draws = Draws { state: [1, 2, 3, 4] };
        let expect = [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386];
        assert_eq!([(); 4].map(|()| draws.next_u64()), expect);
        // The first outputs of splitmix64 from the seed 1234567.
        let mut state = 1_234_567;
        assert_eq!([splitmix(&mut state), splitmix(&mut state)], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn draws_have_the_moments_they_should() {
        let check = |name: &str, moments: Moments, mean: f64, variance: f64| {
            let deviations = (moments.mean - mean) / (variance / DRAWS as f64).sqrt();
            assert!(deviations.abs() < 4.0, "{name}: the mean is {deviations} standard errors off");
            let ratio = moments.variance().unwrap() / variance;
            assert!((ratio - 1.0).abs() < 0.1, "{name}: the variance is {ratio} of what it should be");
        };
        check("uniform", moments(1, Draws::uniform), 0.5, 1.0 / 12.0);
        check("below", moments(2, |draws| draws.below(6) as f64), 2.5, 35.0 / 12.0);
        check("normal", moments(3, Draws::normal), 0.0, 1.0);
        check("exponential", moments(4, Draws::exponential), 1.0, 1.0);
        check("gamma of 0.3", moments(5, |draws| draws.gamma(0.3)), 0.3, 0.3);
        check("gamma of 7", moments(6, |draws| draws.gamma(7.0)), 7.0, 7.0);
        check("beta", moments(7, |draws| draws.beta(2.0, 3.0)), 0.4, 0.04);
        check("beta of tiny shapes", moments(8, |draws| draws.beta(1e-3, 1e-3)), 0.5, 0.25 / 1.002);
        check("lognormal", moments(9, |draws| draws.lognormal(0.0, 0.5).ln()), 0.0, 0.25);
    }

    #[test]
    fn streams_repeat_and_differ() {
        let draws = Draws::seeded(7);
        assert_eq!(draws.split(1), draws.split(1));
        let firsts = [draws.clone(), draws.split(0), draws.split(1), Draws::seeded(8).split(1)].map(|mut d| d.next_u64());
        assert!((0..4).all(|i| (0..i).all(|j| firsts[i] != firsts[j])), "{firsts:?}");
    }

    #[test]
    fn a_shuffle_keeps_what_it_shuffles() {
        let mut values: Vec<u32> = (0..100).collect();
        Draws::seeded(11).shuffle(&mut values);
        assert_ne!(values, (0..100).collect::<Vec<_>>());
        values.sort_unstable();
        assert_eq!(values, (0..100).collect::<Vec<_>>());
        assert_eq!(Draws::seeded(1).below(0), 0);
        assert!(Draws::seeded(1).gamma(-1.0).is_nan() && Draws::seeded(1).beta(f64::NAN, 1.0).is_nan());
    }
}
