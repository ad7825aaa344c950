//! Balances the groups of an experiment over those whom its first plan sends something, by what they did before.
//!
//! What is counted or spent is compared by the logarithm of one more, with its sign: a few who spend a hundred times what others do would else
//! be all that a mean says, the search would only place them, and the distance would not follow the distribution that its
//! threshold is taken from. A cut at some amount does the same, but the amount would have to be chosen for each shop.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use experiment::Balanced;
use experiment::balance::{Known, balance};
use jiff::{Timestamp, ToSpan};
use lake::{Past, Recipient};
use stats::balance::Covariates;
use vocabulary::{Balance, Covariate};

use crate::{Brief, PlanningError, Sources};

/// Countries that are compared by themselves, the largest; the others are one together.
const COUNTRIES_MAX: usize = 8;

/// The name of the note of a plan that says which draw its groups are of.
pub(crate) const BALANCE: &str = "balance";

/// The draw that balances those who are sent something, who are ordered by key.
pub(crate) async fn choose(
    from: Sources<'_>,
    brief: &Arc<Brief>,
    by: &Balance,
    sent: Vec<Recipient>,
    now: Timestamp,
) -> Result<Balanced, PlanningError> {
    let since = now.checked_sub((i64::from(by.days) * 24).hours()).unwrap_or(now);
    let contacts = sent.iter().map(|recipient| recipient.key).collect();
    let past = from.lake.past(contacts, &by.covariates, since, now).await?;
    let major = from.lake.base_currency().minor_per_major() as f64;
    let (brief, by) = (brief.clone(), by.clone());
    let choose = move || {
        let known = known(&by.covariates, &sent, past, major);
        balance(&brief.experiment, &by, &known, brief.campaign.campaign.clone(), now)
    };
    Ok(tokio::task::spawn_blocking(choose).await?)
}

/// The draw that a plan's file notes, if it notes one.
///
/// # Errors
/// [`PlanningError`] where the file or its note cannot be read.
pub fn noted_draw(file: &Path) -> Result<Option<Balanced>, PlanningError> {
    let note = lake::plan_notes(file)?.remove(BALANCE).map(|note| serde_json::from_str(&note));
    note.transpose().map_err(PlanningError::Balance)
}

/// What is known of contacts as columns; `minor_per_major` units of what was spent are one of the base currency.
fn known(wanted: &[Covariate], sent: &[Recipient], past: Past, minor_per_major: f64) -> Known {
    let numbers: Vec<Covariate> = wanted.iter().copied().filter(|covariate| *covariate != Covariate::Country).collect();
    let mut values = vec![0.0; numbers.len() * sent.len()];
    for (place, covariate) in numbers.iter().enumerate() {
        let mut fill = |of: &dyn Fn(usize) -> f64| {
            let column = values.iter_mut().skip(place).step_by(numbers.len());
            column.enumerate().for_each(|(unit, value)| *value = of(unit) as f32);
        };
        match covariate {
            Covariate::Revenue => fill(&|unit| signed_log(past.revenue[unit] as f64 / minor_per_major)),
            Covariate::Orders => fill(&|unit| signed_log(past.orders[unit].into())),
            Covariate::Clicks => fill(&|unit| signed_log(past.clicks[unit].into())),
            Covariate::Opens => fill(&|unit| signed_log(past.opens[unit].into())),
            Covariate::Tenure => fill(&|unit| past.tenure[unit].into()),
            Covariate::Country => {}
        }
    }
    let (names, label_of) = if wanted.contains(&Covariate::Country) { countries(sent) } else { (Vec::new(), Vec::new()) };
    let columns = numbers.iter().map(Covariate::to_string).chain(names.iter().cloned()).collect();
    let covariates = Covariates::new(sent.len(), numbers.len(), values, names.len(), label_of);
    Known { contacts: past.contacts, columns, covariates }
}

/// The logarithm of one more than a number, with the number's sign.
fn signed_log(number: f64) -> f64 {
    number.signum() * number.abs().ln_1p()
}

/// The countries that are compared, by name, and the place of each contact's among them.
fn countries(sent: &[Recipient]) -> (Vec<String>, Vec<u8>) {
    let mut counts: HashMap<Option<&str>, u64> = HashMap::new();
    sent.iter().for_each(|recipient| *counts.entry(recipient.traits.country.as_deref()).or_default() += 1);
    let mut largest: Vec<(Option<&str>, u64)> = counts.into_iter().collect();
    largest.sort_unstable_by_key(|(name, count)| (u64::MAX - count, *name));
    let has_others = largest.len() > COUNTRIES_MAX;
    largest.truncate(COUNTRIES_MAX);
    let places: HashMap<Option<&str>, u8> = largest.iter().map(|(name, _)| *name).zip(0..).collect();
    let others = COUNTRIES_MAX as u8;
    let place = |recipient: &Recipient| places.get(&recipient.traits.country.as_deref()).copied().unwrap_or(others);
    let label_of = sent.iter().map(place).collect();
    let name =
        |(name, _): &(Option<&str>, u64)| name.map_or_else(|| "country not known".to_owned(), |name| format!("country {name}"));
    let others = has_others.then(|| "other countries".to_owned());
    (largest.iter().map(name).chain(others).collect(), label_of)
}

#[cfg(test)]
mod tests {
    use lake::Traits;
    use vocabulary::{CampaignId, ContactKey, Experiment};

    use super::*;

    fn recipient(key: i64, country: Option<&str>) -> Recipient {
        let traits = Traits { country: country.map(str::to_owned), ..Traits::default() };
        Recipient { key: ContactKey::from_i64(key).unwrap(), traits: Arc::new(traits) }
    }

    fn experiment() -> Experiment {
        serde_json::from_value(serde_json::json!({
            "experiment": "e", "factors": ["copy"], "primary": "clicks", "variants": [{ "name": "a" }, { "name": "b" }],
            "metrics": [{ "name": "clicks", "outcome": "click", "measure": "occurred" }],
            "balance": { "covariates": ["revenue"] },
        }))
        .unwrap()
    }

    #[test]
    fn columns_are_what_was_asked_for() {
        let sent = [recipient(1, Some("DE")), recipient(2, None)];
        let past = Past {
            contacts: sent.iter().map(|recipient| recipient.key).collect(),
            revenue: vec![-300, 99_900],
            orders: vec![0, 3],
            clicks: vec![7, 0],
            opens: vec![1, 1],
            tenure: vec![20, 0],
        };
        let found = known(Covariate::ALL, &sent, past.clone(), 100.0);
        assert_eq!(found.columns, ["revenue", "orders", "clicks", "opens", "tenure", "country not known", "country DE"]);
        let log = |number: f64| number.ln() as f32;
        let values = vec![-log(4.0), 0.0, log(8.0), log(2.0), 20.0, log(1_000.0), log(4.0), 0.0, log(2.0), 0.0];
        assert_eq!(found.covariates, Covariates::new(2, 5, values, 2, vec![1, 0]));
        assert_eq!(found.contacts, past.contacts);
        let days = Past { contacts: past.contacts, tenure: vec![20, 0], ..Past::default() };
        let some = known(&[Covariate::Tenure], &sent, days, 100.0);
        assert_eq!(
            (some.columns, some.covariates),
            (vec!["tenure".to_owned()], Covariates::new(2, 1, vec![20.0, 0.0], 0, vec![]))
        );
        let none = known(&[Covariate::Country], &[], Past::default(), 100.0);
        assert_eq!((none.columns.len(), none.covariates.units()), (0, 0));
    }

    #[test]
    fn the_largest_countries_stand_for_themselves() {
        // Of ten countries the n-th has n contacts; nobody knows where one contact is.
        let named = (1..=10_i64).flat_map(|n| (0..n).map(move |_| format!("C{}", 10 - n)));
        let mut sent: Vec<Recipient> = named.zip(1..).map(|(name, key)| recipient(key, Some(&name))).collect();
        sent.push(recipient(1_000, None));
        let (names, places) = countries(&sent);
        let expect = (0..8).map(|n| format!("country C{n}")).chain(["other countries".to_owned()]);
        assert_eq!(names, expect.collect::<Vec<_>>());
        let counts: Vec<usize> = (0..9).map(|place| places.iter().filter(|of| **of == place).count()).collect();
        assert_eq!(counts, [10, 9, 8, 7, 6, 5, 4, 3, 4]);
    }

    /// A few spend a thousand times what others do, and chance gave them all to one variant.
    #[test]
    fn a_few_who_spend_much_do_not_stay_together() {
        let experiment = experiment();
        let assigner = experiment::Assigner::new(&experiment, 0);
        let sent: Vec<Recipient> = (1..=400).map(|key| recipient(key, Some("DE"))).collect();
        let is_first = |recipient: &&Recipient| assigner.assign(recipient.key).variant.as_str() == "a";
        let big: Vec<ContactKey> = sent.iter().filter(is_first).take(20).map(|recipient| recipient.key).collect();
        let spent = |recipient: &Recipient| if big.contains(&recipient.key) { 1_000_000 } else { 1_000 };
        let contacts = sent.iter().map(|recipient| recipient.key).collect();
        let past = Past { contacts, revenue: sent.iter().map(spent).collect(), ..Past::default() };
        let by = experiment.balance.clone().unwrap();
        let known = known(&by.covariates, &sent, past, 100.0);
        let found = balance(&experiment, &by, &known, CampaignId::new("c").unwrap(), Timestamp::UNIX_EPOCH);
        assert!(found.draw > 0 && found.accepted, "{found:?}");
        assert!(found.first_distance.unwrap() > 10.0 * found.threshold, "{found:?}");
        let chosen = experiment::Assigner::new(&experiment, found.draw);
        let of_first = big.iter().filter(|key| chosen.assign(**key).variant.as_str() == "a").count();
        assert!((8..=12).contains(&of_first), "{of_first}");
    }
}
