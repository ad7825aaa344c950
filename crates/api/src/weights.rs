//! The shares of variants as people write them: one variant, or positive numbers of which only the proportions count.

use std::collections::BTreeMap;

use vocabulary::{Experiment, Recommendation, VariantName};

use crate::problem::Problem;

/// The shares that `variant` or `weights` mean, in sum 1.
pub(crate) fn read(
    experiment: &Experiment,
    variant: Option<&str>,
    weights: Option<&BTreeMap<String, f64>>,
) -> Result<BTreeMap<VariantName, f64>, Problem> {
    match (variant, weights) {
        (Some(variant), None) => Ok(Recommendation::all_to(&known(experiment, variant)?)),
        (None, Some(weights)) => shares(experiment, weights),
        _ => {
            let message = "give either `variant` or `weights`";
            let hint = "`variant` sends one to all, `weights` sends several, such as {\"plain\": 30, \"warm\": 70}";
            Err(Problem::unprocessable("bad_weights", message, hint))
        }
    }
}

fn known(experiment: &Experiment, name: &str) -> Result<VariantName, Problem> {
    let named = VariantName::new(name).ok().filter(|name| experiment.variant(name).is_some());
    named.ok_or_else(|| {
        let known = experiment.variants.iter().map(|variant| variant.name.as_str()).collect::<Vec<_>>().join(", ");
        let message = format!("`{}` has no variant `{name}`", experiment.experiment);
        Problem::unprocessable("unknown_variant", message, format!("use one of {known}"))
    })
}

fn shares(experiment: &Experiment, weights: &BTreeMap<String, f64>) -> Result<BTreeMap<VariantName, f64>, Problem> {
    let bad = |message: String| Problem::unprocessable("bad_weights", message, "give each variant a number that is not negative");
    if let Some((name, weight)) = weights.iter().find(|(_, weight)| !weight.is_finite() || **weight < 0.0) {
        return Err(bad(format!("the weight of `{name}` is {weight}")));
    }
    // The greatest becomes 1 first, so that no sum of finite numbers is infinite.
    let greatest = weights.values().copied().fold(0.0, f64::max);
    if greatest == 0.0 {
        return Err(bad("no weight is more than nothing".into()));
    }
    let sum: f64 = weights.values().map(|weight| weight / greatest).sum();
    let share = |(name, weight): (&String, &f64)| Ok((known(experiment, name)?, weight / greatest / sum));
    weights.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experiment() -> Experiment {
        experiment::parse(&crate::tests::experiment().to_string()).unwrap()
    }

    #[test]
    fn only_proportions_count() {
        let check = |plain: f64, warm: f64, expect: [f64; 2]| {
            let weights = BTreeMap::from([("plain".to_owned(), plain), ("warm".to_owned(), warm)]);
            let shares = read(&experiment(), None, Some(&weights)).unwrap();
            let shares: Vec<(&str, f64)> = shares.iter().map(|(name, share)| (name.as_str(), *share)).collect();
            assert_eq!(shares, [("plain", expect[0]), ("warm", expect[1])]);
        };
        check(30.0, 70.0, [30.0 / 70.0 / (30.0 / 70.0 + 1.0), 1.0 / (30.0 / 70.0 + 1.0)]);
        check(1.0, 1.0, [0.5, 0.5]);
        check(0.0, 3.0, [0.0, 1.0]);
        check(f64::MAX, f64::MAX, [0.5, 0.5]);
    }

    #[test]
    fn what_is_no_share_is_refused() {
        let check = |variant: Option<&str>, weights: Option<&[(&str, f64)]>, kind: &str| {
            let weights = weights.map(|weights| weights.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect());
            assert_eq!(read(&experiment(), variant, weights.as_ref()).unwrap_err().kind, kind);
        };
        check(None, None, "bad_weights");
        check(Some("warm"), Some(&[("warm", 1.0)]), "bad_weights");
        check(Some("cold"), None, "unknown_variant");
        check(None, Some(&[("cold", 1.0)]), "unknown_variant");
        check(None, Some(&[("warm", -1.0)]), "bad_weights");
        check(None, Some(&[("warm", 0.0)]), "bad_weights");
        check(None, Some(&[]), "bad_weights");
    }
}
