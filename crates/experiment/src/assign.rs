//! Who gets which variant: a keyed hash of the contact, cut into exact ranges of 64-bit numbers.
//!
//! The variant is the function of (experiment, contact) alone. Nothing is drawn and nothing stored is needed to know
//! it again, and experiments with different ids are independent of each other.

use sha2::{Digest, Sha256};
use vocabulary::{CampaignId, ContactKey, Experiment, VariantName};

/// How many 64-bit numbers there are.
const RANGE: u128 = 1 << 64;

/// Assigns the contacts of one experiment.
#[derive(Debug, Clone)]
pub struct Assigner {
    salted: Sha256,
    arms: Vec<Arm>,
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
    /// Prepares the assignment of a checked experiment. Its salt is the experiment's id.
    ///
    /// # Panics
    /// When the experiment has no variant or all weights are zero; [`crate::parse`] refuses such.
    #[must_use]
    pub fn new(experiment: &Experiment) -> Self {
        let total: u128 = experiment.variants.iter().map(|variant| u128::from(variant.weight)).sum();
        assert!(total > 0, "an experiment that was checked has a variant with a weight");
        let mut weight_so_far = 0_u128;
        let arms = experiment.variants.iter().map(|variant| {
            let start = RANGE * weight_so_far / total;
            weight_so_far += u128::from(variant.weight);
            let end = RANGE * weight_so_far / total;
            Arm { variant: variant.name.clone(), end, propensity: (end - start) as f64 / RANGE as f64 }
        });
        Self { arms: arms.collect(), salted: salted("experiment", experiment.experiment.as_str()) }
    }

    /// The variant of a contact: always the same one.
    #[must_use]
    pub fn assign(&self, key: ContactKey) -> Assigned<'_> {
        let number = u128::from(hash(&self.salted, key));
        let arm = self.arms.iter().find(|arm| number < arm.end).expect("the last arm ends where the range ends");
        Assigned { variant: &arm.variant, propensity: arm.propensity }
    }
}

/// Whether a contact is in the `share` of the audience that a campaign mails. Who is in a share of 0.2 is also in one
/// of 0.3, so a share can grow.
#[must_use]
pub fn in_share(campaign: &CampaignId, key: ContactKey, share: f64) -> bool {
    // The conversion saturates outside 0 to 2^128 and takes NaN as 0. A share of 1 is everybody, whatever the hash.
    share >= 1.0 || u128::from(hash(&salted("campaign", campaign.as_str()), key)) < (share * RANGE as f64) as u128
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
            assert_eq!(arm_of(&Assigner::new(&experiment(id, &[1; 6])), number), arm_expect);
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
            let assigner = Assigner::new(&experiment("e", weights));
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
            let assigner = Assigner::new(&experiment("uniform", &weights));
            let mut counts = vec![0; weights.len()];
            for number in 1..=60_000 {
                counts[arm_of(&assigner, number)] += 1;
            }
            let weights: Vec<f64> = weights.into_iter().map(f64::from).collect();
            let test = stats::sample_ratio(&counts, &weights).unwrap();
            assert!(test.p_value > 0.01, "{counts:?} {test:?}");
        }
    }

    #[test]
    fn experiments_and_shares_do_not_depend_on_each_other() {
        let (one, other) = (Assigner::new(&experiment("one", &[1, 1])), Assigner::new(&experiment("two", &[1, 1])));
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
