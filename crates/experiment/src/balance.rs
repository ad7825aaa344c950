//! Which draw of an experiment's assignment counts: the first whose groups agree in what was known of them before (rerandomisation),
//! and the record of how it was found. The criterion is [`stats::balance`].
//!
//! The first plan of an experiment decides, for all of them: who gets what must not change afterwards. Among equal weights each
//! variant stays as probable for everybody as before, because the distance does not know variants apart.
//!
//! *Limit:* readouts compare variants as if the draw had been the only one. Where outcomes follow the covariates, they vary less than
//! that between draws that are accepted, so intervals are too wide and false alarms rarer than said; never the other way round.

use serde::{Deserialize, Serialize};
use stats::balance::{Covariates, rerandomize};
use vocabulary::{Balance, CampaignId, ContactKey, Experiment, Timestamp};

use crate::Assigner;

/// Draws looked at before the best of them is taken. At the least acceptance, 1 in 100, all of them fail once in 23,000 times.
pub const DRAWS_MAX: u32 = 1_000;

/// What is known of contacts before a plan.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Who.
    pub contacts: Vec<ContactKey>,
    /// The names of the columns.
    pub columns: Vec<String>,
    /// Their values, in the order of the contacts.
    pub covariates: Covariates,
}

/// The draw that counts for an experiment, and how it was found. It is never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Balanced {
    /// The number of the draw; 0 is the one of experiments that are not balanced.
    pub draw: u32,
    /// How many draws were looked at. None where a triggered campaign was the first, whose contacts nobody knows before.
    pub draws: u32,
    /// Whether its groups agree as well as was asked for; else they agree best of all draws that were looked at.
    pub accepted: bool,
    /// The largest distance that is accepted.
    pub threshold: f64,
    /// The Mahalanobis distance of its groups; `None` where a variant had nobody in any draw.
    pub distance: Option<f64>,
    /// That of draw 0.
    pub first_distance: Option<f64>,
    /// The contacts whose groups were compared: all who were to be sent something.
    pub contacts: u64,
    /// What was compared.
    pub covariates: Vec<CovariateBalance>,
    /// The campaign whose plan decided.
    pub campaign: CampaignId,
    /// When.
    pub at: Timestamp,
}

/// How far groups differ in a covariate: the largest difference between two variants' means, in standard deviations of all contacts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CovariateBalance {
    /// The covariate; of countries each by itself.
    pub covariate: String,
    /// In draw 0.
    pub first: f64,
    /// In the draw that counts.
    pub chosen: f64,
}

impl Balanced {
    /// Draw 0, because a triggered campaign is the first that assigns variants.
    #[must_use]
    pub fn triggered(campaign: CampaignId, at: Timestamp) -> Self {
        Self {
            draw: 0,
            draws: 0,
            accepted: false,
            threshold: 0.0,
            distance: None,
            first_distance: None,
            contacts: 0,
            covariates: Vec::new(),
            campaign,
            at,
        }
    }
}

/// Finds the draw that balances these contacts, for the plan that `campaign` makes `at` a time.
///
/// # Panics
/// As [`Assigner::new`], or when there are not as many columns and contacts as named.
#[must_use]
pub fn balance(experiment: &Experiment, by: &Balance, known: &Known, campaign: CampaignId, at: Timestamp) -> Balanced {
    assert_eq!(
        (known.contacts.len(), known.columns.len()),
        (known.covariates.units(), known.covariates.columns()),
        "columns and contacts are named"
    );
    let assigner = Assigner::new(experiment, 0);
    let numbers: Vec<u64> = known.contacts.iter().map(|contact| assigner.number(*contact)).collect();
    let group_of = |draw: u32, unit: usize| assigner.arm(numbers[unit], draw);
    let chosen = rerandomize(&known.covariates, experiment.variants.len(), by.acceptance, DRAWS_MAX, group_of);
    let differences = known.columns.iter().zip(chosen.first_differences.iter().zip(&chosen.differences));
    let covariates =
        differences.map(|(name, (first, chosen))| CovariateBalance { covariate: name.clone(), first: *first, chosen: *chosen });
    Balanced {
        draw: chosen.draw,
        draws: chosen.draws,
        accepted: chosen.is_accepted,
        threshold: chosen.threshold,
        distance: chosen.distance,
        first_distance: chosen.first_distance,
        contacts: known.contacts.len() as u64,
        covariates: covariates.collect(),
        campaign,
        at,
    }
}

#[cfg(test)]
mod tests {
    use stats::numeric::Draws;
    use stats::tail::{chi_square_lower, chi_square_quantile_upper};
    use stats::{Moments, welch};

    use super::*;

    const CONTACTS: usize = 300;

    /// Experiments that are the same but for the salt of their assignment.
    const RUNS: usize = 600;

    fn experiment(id: usize, weights: &[u32]) -> Experiment {
        let variants: Vec<String> =
            weights.iter().enumerate().map(|(i, weight)| format!("{{name: v{i}, weight: {weight}}}")).collect();
        let metrics = "[{name: visit, outcome: click, measure: occurred}]";
        let text = format!(
            "experiment: e{id}\nfactors: [copy]\nprimary: visit\nmetrics: {metrics}\nvariants: [{}]\n\
             balance: {{covariates: [revenue, orders], acceptance: 0.1}}\n",
            variants.join(", ")
        );
        crate::parse(&text).unwrap()
    }

    /// Two covariates of each contact: a skewed one, and one that goes along with it.
    fn values() -> Vec<f32> {
        let mut draws = Draws::seeded(2_026);
        let values = (0..CONTACTS).flat_map(|_| {
            let skewed = draws.exponential();
            [skewed as f32, (skewed + draws.normal()) as f32]
        });
        values.collect()
    }

    fn known() -> Known {
        Known {
            contacts: (1..=CONTACTS as i64).map(|key| ContactKey::from_i64(key).unwrap()).collect(),
            columns: ["revenue", "orders"].map(str::to_owned).into(),
            covariates: Covariates::new(CONTACTS, 2, values(), 0, Vec::new()),
        }
    }

    fn balanced(experiment: &Experiment, known: &Known) -> Balanced {
        let by = experiment.balance.as_ref().unwrap();
        balance(experiment, by, known, CampaignId::new("c").unwrap(), Timestamp::UNIX_EPOCH)
    }

    /// The difference of the means of some values between the first two variants in a draw, and its p-value.
    fn compared(experiment: &Experiment, draw: u32, values: &[f64]) -> (f64, f64) {
        let assigner = Assigner::new(experiment, draw);
        let of = |arm: &str| {
            let units = values
                .iter()
                .zip(1..)
                .filter(|(_, key)| assigner.assign(ContactKey::from_i64(*key).unwrap()).variant.as_str() == arm);
            Moments::from_values(&units.map(|(value, _)| *value).collect::<Vec<_>>())
        };
        let (control, variant) = (of("v0"), of("v1"));
        let effect = welch(&control, &variant, 0.05).unwrap();
        (variant.mean - control.mean, effect.p_value)
    }

    fn variance(values: &[f64]) -> f64 {
        let moments = Moments::from_values(values);
        moments.m2 / (moments.count - 1) as f64
    }

    #[test]
    fn what_is_chosen_is_accepted_and_told_as_it_is() {
        for weights in [&[1, 1][..], &[1, 1, 1], &[7, 2, 1]] {
            let (known, mut draws) = (known(), 0);
            for id in 0..30 {
                let experiment = experiment(id, weights);
                let found = balanced(&experiment, &known);
                assert!(found.accepted && found.distance.unwrap() <= found.threshold, "{found:?}");
                assert_eq!(found.threshold, chi_square_quantile_upper(0.9, (2 * (weights.len() - 1)) as f64));
                assert_eq!(found.draw == 0, found.first_distance.unwrap() <= found.threshold);
                assert_eq!((found.draws, found.contacts), (found.draw + 1, CONTACTS as u64));
                assert_eq!(balanced(&experiment, &known), found);
                let names: Vec<&str> = found.covariates.iter().map(|one| one.covariate.as_str()).collect();
                assert_eq!(names, ["revenue", "orders"]);
                draws += found.draws;
            }
            // Thirty searches of ten draws each in the mean, of a geometric distribution: five standard errors.
            assert!((60..=560).contains(&draws), "{draws}");
        }
    }

    /// The factor of Morgan and Rubin's theorem 3.1, and what it does for the promise of a test.
    #[test]
    fn differences_vary_less_and_promises_hold() {
        let known = known();
        let mut noise = Draws::seeded(9);
        let covariate: Vec<f64> = values().chunks(2).map(|of_one| of_one[0].into()).collect();
        let apart: Vec<f64> = covariate.iter().map(|_| noise.normal()).collect();
        let along: Vec<f64> = covariate.iter().map(|value| value + noise.normal()).collect();
        let (mut before, mut after, mut alarms) = (Vec::new(), Vec::new(), [0; 2]);
        for id in 0..RUNS {
            let experiment = experiment(id, &[1, 1]);
            let draw = balanced(&experiment, &known).draw;
            before.push(compared(&experiment, 0, &covariate).0);
            after.push(compared(&experiment, draw, &covariate).0);
            for (alarms, outcome) in alarms.iter_mut().zip([&apart, &along]) {
                *alarms += usize::from(compared(&experiment, draw, outcome).1 < 0.05);
            }
        }
        let threshold = chi_square_quantile_upper(0.9, 2.0);
        let expect = chi_square_lower(threshold, 4.0) / chi_square_lower(threshold, 2.0);
        let found = variance(&after) / variance(&before);
        // Two variances of six hundred each: their ratio has a standard error of about 8 %.
        assert!((found / expect - 1.0).abs() < 0.3, "{found} {expect}");
        let [apart, along] = alarms.map(|alarms| alarms as f64 / RUNS as f64);
        // Four standard errors above one in twenty.
        assert!(apart < 0.05 + 0.036, "{apart}");
        // Half of the outcome's variance is the covariate's, and that part hardly differs any more.
        assert!(along < 0.03, "{along}");
    }

    #[test]
    fn nobody_and_hardly_anybody_can_be_balanced() {
        let experiment = experiment(1, &[1, 1]);
        let columns = known().columns;
        let few = |count: usize| Known {
            contacts: (1..=count as i64).map(|key| ContactKey::from_i64(key).unwrap()).collect(),
            columns: columns.clone(),
            covariates: Covariates::new(count, 2, vec![1.0; 2 * count], 0, Vec::new()),
        };
        let found = balanced(&experiment, &few(0));
        assert_eq!((found.draw, found.accepted, found.distance), (0, false, None));
        let found = balanced(&experiment, &few(1));
        assert_eq!((found.draw, found.draws, found.accepted, found.distance), (0, DRAWS_MAX, false, None));
        // Two of whom the same is known: what is left to ask is that each variant has one.
        let found = balanced(&experiment, &few(2));
        assert_eq!((found.accepted, found.distance), (true, Some(0.0)));
    }
}
