//! Who gets which variant: a keyed hash of the contact, cut into exact ranges of 64-bit numbers.
//!
//! The variant is the function of (experiment, draw, contact) alone. The draw is 0, or for an experiment whose groups are balanced
//! the number of the one that was chosen ([`crate::balance`]). Experiments with different ids are independent of each other,
//! and so are the draws of one.

use sha2::{Digest, Sha256};
use vocabulary::{CampaignId, ContactKey, Experiment, Layer, VariantName};

/// How many 64-bit numbers there are.
const RANGE: u128 = 1 << 64;

/// Assigns the contacts of one experiment.
#[derive(Debug, Clone)]
pub struct Assigner {
    salted: Sha256,
    arms: Vec<Arm>,
    draw: u32,
}

#[derive(Debug, Clone)]
struct Arm {
    variant: VariantName,
    /// The first number that is no longer this arm's.
    end: u128,
    propensity: f64,
}

/// What a contact was assigned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Assigned<'a> {
    /// The variant.
    pub variant: &'a VariantName,
    /// The probability of this variant before the draw.
    pub propensity: f64,
}

impl Assigner {
    /// Prepares the assignment of a checked experiment by the draw that counts for it. Its salt is the experiment's id.
    ///
    /// # Panics
    /// When the experiment has no variant or all weights are zero; [`crate::parse`] refuses such.
    #[must_use]
    pub fn new(experiment: &Experiment, draw: u32) -> Self {
        let total: u128 = experiment.variants.iter().map(|variant| u128::from(variant.weight)).sum();
        assert!(total > 0, "an experiment that was checked has a variant with a weight");
        let mut weight_so_far = 0_u128;
        let arms = experiment.variants.iter().map(|variant| {
            let start = RANGE * weight_so_far / total;
            weight_so_far += u128::from(variant.weight);
            let end = RANGE * weight_so_far / total;
            Arm { variant: variant.name.clone(), end, propensity: (end - start) as f64 / RANGE as f64 }
        });
        Self { arms: arms.collect(), salted: salted("experiment", experiment.experiment.as_str()), draw }
    }

    /// The variant of a contact: always the same one.
    #[must_use]
    pub fn assign(&self, key: ContactKey) -> Assigned<'_> {
        let arm = &self.arms[self.arm(self.number(key), self.draw)];
        Assigned { variant: &arm.variant, propensity: arm.propensity }
    }

    /// The probability of a variant before the draw; `None` where the experiment has no such variant.
    #[must_use]
    pub fn propensity(&self, variant: &VariantName) -> Option<f64> {
        self.arms.iter().find(|arm| &arm.variant == variant).map(|arm| arm.propensity)
    }

    /// The number of a contact that all draws are made of.
    pub(crate) fn number(&self, key: ContactKey) -> u64 {
        hash(&self.salted, key)
    }

    /// The place of the variant of a contact with this number in a draw.
    pub(crate) fn arm(&self, number: u64, draw: u32) -> usize {
        let number = u128::from(drawn(number, draw));
        self.arms.iter().position(|arm| number < arm.end).expect("the last arm ends where the range ends")
    }
}

/// A contact's number in a draw. The first is the hash itself; each other is what SplitMix64 seeded with the hash gives at that place
/// (Steele, Lea & Flood, "Fast splittable pseudorandom number generators", 2014). For any draw this is a permutation of all 64-bit
/// numbers, so that shares stay as exact as they are in the hash.
fn drawn(hash: u64, draw: u32) -> u64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    if draw == 0 {
        return hash;
    }
    let mut bits = hash.wrapping_add(STEP.wrapping_mul(u64::from(draw)));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Whether a contact is in the `share` of the audience that a campaign mails. Who is in a share of 0.2 is also in one
/// of 0.3, so a share can grow.
#[must_use]
pub fn in_share(campaign: &CampaignId, key: ContactKey, share: f64) -> bool {
    // The conversion saturates outside 0 to 2^128 and takes NaN as 0. A share of 1 is everybody, whatever the hash.
    share >= 1.0 || u128::from(hash(&salted("campaign", campaign.as_str()), key)) < (share * RANGE as f64) as u128
}

/// Whether a contact is in the part of its layer that an experiment has to itself.
#[must_use]
pub fn in_layer(layer: &Layer, key: ContactKey) -> bool {
    let place = u128::from(hash(&salted("layer", &layer.name), key));
    let edge = |percent: u8| RANGE * u128::from(percent) / 100;
    (edge(layer.from)..edge(layer.to)).contains(&place)
}

/// SHA-256 fed with what the hash is for, so that an experiment and a campaign of the same name stay independent.
fn salted(purpose: &str, salt: &str) -> Sha256 {
    let mut state = Sha256::new();
    for part in ["sendlab", purpose, salt] {
        state.update((part.len() as u64).to_be_bytes());
        state.update(part);
    }
    state
}

fn hash(salted: &Sha256, key: ContactKey) -> u64 {
    let digest = salted.clone().chain_update(key.to_bytes()).finalize();
    let (first, _) = digest.split_first_chunk::<8>().expect("SHA-256 gives 32 bytes");
    u64::from_be_bytes(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experiment(id: &str, weights: &[u32]) -> Experiment {
        let variants: Vec<String> =
            weights.iter().enumerate().map(|(i, weight)| format!("{{name: v{i}, weight: {weight}}}")).collect();
        let metrics = "[{name: visit, outcome: click, measure: occurred}]";
        let variants = variants.join(", ");
        crate::parse(&format!("experiment: {id}\nfactors: [copy]\nprimary: visit\nmetrics: {metrics}\nvariants: [{variants}]\n"))
            .unwrap()
    }

    fn key(number: i64) -> ContactKey {
        ContactKey::from_i64(number).unwrap()
    }

    fn arm_of(assigner: &Assigner, number: i64) -> usize {
        let name = assigner.assign(key(number)).variant.as_str();
        name[1..].parse().unwrap()
    }

    /// Computed by Python's hashlib. A change here would send people the other variant in the middle of an experiment.
    #[test]
    fn assignment_never_changes() {
        let check = |id: &str, number: i64, hash_expect: u64, arm_expect: usize| {
            assert_eq!(hash(&salted("experiment", id), key(number)), hash_expect);
            assert_eq!(arm_of(&Assigner::new(&experiment(id, &[1; 6]), 0), number), arm_expect);
        };
        check("hillstrom", 1, 13_239_936_000_961_139_461, 4);
        check("hillstrom", 2, 14_917_301_844_102_172_962, 4);
        check("hillstrom", 3, 4_275_343_331_237_036_064, 1);
        check("hillstrom", i64::MAX, 8_331_182_768_213_203_190, 2);
        check("spring", 1, 17_379_822_889_466_064_315, 5);
        check("早安", 77, 10_279_687_031_808_566_390, 3);
    }

    #[test]
    fn ranges_are_exact() {
        let check = |weights: &[u32], expect: &[u128]| {
            let assigner = Assigner::new(&experiment("e", weights), 0);
            assert_eq!(assigner.arms.iter().map(|arm| arm.end).collect::<Vec<_>>(), expect);
            assert!((assigner.arms.iter().map(|arm| arm.propensity).sum::<f64>() - 1.0).abs() < 1e-12);
        };
        check(&[1, 1], &[1 << 63, 1 << 64]);
        check(&[1, 1, 2], &[1 << 62, 1 << 63, 1 << 64]);
        check(&[1, 2], &[6_148_914_691_236_517_205, 1 << 64]);
        check(&[u32::MAX, u32::MAX], &[1 << 63, 1 << 64]);
        check(&[1, u32::MAX], &[1 << 32, 1 << 64]);
    }

    #[test]
    fn assignment_follows_the_weights() {
        for weights in [vec![1, 1], vec![1, 1, 1], vec![90, 10], vec![5, 3, 1, 1]] {
            for draw in [0, 1, 2, 900] {
                let assigner = Assigner::new(&experiment("uniform", &weights), draw);
                let mut counts = vec![0; weights.len()];
                for number in 1..=60_000 {
                    counts[arm_of(&assigner, number)] += 1;
                }
                let weights: Vec<f64> = weights.iter().copied().map(f64::from).collect();
                let test = stats::sample_ratio(&counts, &weights).unwrap();
                assert!(test.p_value > 0.002, "{draw} {counts:?} {test:?}");
                let propensity = |arm: usize| assigner.propensity(&VariantName::new(&format!("v{arm}")).unwrap());
                assert_eq!(propensity(1), Some(assigner.arms[1].propensity));
                assert_eq!(propensity(9), None);
            }
        }
    }

    /// The reference implementation (Vigna, splitmix64.c, public domain) seeded with 1234567 gives these.
    #[test]
    fn draws_never_change() {
        let expect = [
            1_234_567,
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!([0, 1, 2, 3, 4, 5].map(|draw| drawn(1_234_567, draw)), expect);
    }

    /// In any two draws, three variants meet each other as often as chance wants it.
    #[test]
    fn draws_do_not_depend_on_each_other() {
        let experiment = experiment("draws", &[1, 1, 1]);
        for (one, other) in [(0, 1), (1, 2), (0, 7), (2, 999), (500, 501)] {
            let (one, other) = (Assigner::new(&experiment, one), Assigner::new(&experiment, other));
            let mut cells = [0; 9];
            for number in 1..=40_000 {
                cells[3 * arm_of(&one, number) + arm_of(&other, number)] += 1;
            }
            let test = stats::sample_ratio(&cells, &[1.0; 9]).unwrap();
            assert!(test.p_value > 0.002, "{} {} {cells:?} {test:?}", one.draw, other.draw);
        }
    }

    #[test]
    fn experiments_and_shares_do_not_depend_on_each_other() {
        let (one, other) = (Assigner::new(&experiment("one", &[1, 1]), 0), Assigner::new(&experiment("two", &[1, 1]), 0));
        let campaign = CampaignId::new("one").unwrap();
        let mut cells = [0; 8];
        for number in 1..=40_000 {
            let shared = usize::from(in_share(&campaign, key(number), 0.5));
            cells[4 * shared + 2 * arm_of(&one, number) + arm_of(&other, number)] += 1;
        }
        let test = stats::sample_ratio(&cells, &[1.0; 8]).unwrap();
        assert!(test.p_value > 0.01, "{cells:?} {test:?}");
    }

    #[test]
    fn parts_of_a_layer_hold_everybody_once() {
        let part = |name: &str, from, to| Layer { name: name.to_owned(), from, to };
        let parts = [part("l", 0, 30), part("l", 30, 31), part("l", 31, 100)];
        let mut counts = [0_u64; 3];
        let mut shared = 0;
        for number in 1..=40_000 {
            let held: Vec<usize> = (0..3).filter(|at| in_layer(&parts[*at], key(number))).collect();
            let [one] = held[..] else { panic!("{number} is in {held:?}") };
            counts[one] += 1;
            shared += u64::from(one == 0 && in_layer(&part("other", 0, 30), key(number)));
        }
        assert!((counts[0] as f64 / 40_000.0 - 0.3).abs() < 0.01 && (200..600).contains(&counts[1]), "{counts:?}");
        assert!((shared as f64 / 40_000.0 - 0.09).abs() < 0.01, "layers do not depend on each other: {shared}");
        assert!(parts[0].meets(&part("l", 29, 40)) && !parts[0].meets(&parts[1]) && !parts[0].meets(&part("other", 0, 100)));
    }

    #[test]
    fn a_share_holds_what_it_says_and_grows() {
        let campaign = CampaignId::new("spring").unwrap();
        let members = |share: f64| (1..=50_000).filter(|number| in_share(&campaign, key(*number), share)).collect::<Vec<_>>();
        let (fifth, third) = (members(0.2), members(0.3));
        assert!((fifth.len() as f64 / 50_000.0 - 0.2).abs() < 0.006, "{}", fifth.len());
        assert!(fifth.iter().all(|member| third.contains(member)));
        assert_eq!(members(1.0).len(), 50_000);
        assert_eq!(members(0.0).len(), 0);
        assert_eq!(members(f64::NAN).len(), 0);
    }
}
