//! The tails against values computed with many digits: `data/reference/tails.json` says how.

use proptest::prelude::*;
use serde_json::Value;
use stats::tail::{
    beta_density, beta_lower, beta_quantile, beta_upper, binomial_lower, binomial_pmf, binomial_upper, chi_square_lower,
    chi_square_quantile_upper, chi_square_upper, f_quantile_upper, f_upper, gamma_lower, gamma_quantile, gamma_upper,
    hypergeometric_pmf, ln_beta, ln_choose, ln_gamma, noncentral_chi_square_upper, noncentral_f_upper, noncentral_t_upper,
    normal_density, normal_log_upper, normal_lower, normal_mills, normal_quantile, normal_quantile_upper, normal_upper,
    poisson_lower, poisson_upper, stirling_remainder, t_density, t_log_upper, t_quantile_upper, t_upper,
};

fn evaluate(name: &str, x: &[f64]) -> f64 {
    let whole = |i: usize| x[i] as u64;
    match name {
        "normal_upper" => normal_upper(x[0]),
        "normal_lower" => normal_lower(x[0]),
        "normal_log_upper" => normal_log_upper(x[0]),
        "normal_mills" => normal_mills(x[0]),
        "normal_density" => normal_density(x[0]),
        "normal_quantile" => normal_quantile(x[0]),
        "normal_quantile_upper" => normal_quantile_upper(x[0]),
        "t_upper" => t_upper(x[0], x[1]),
        "t_log_upper" => t_log_upper(x[0], x[1]),
        "t_density" => t_density(x[0], x[1]),
        "t_quantile_upper" => t_quantile_upper(x[0], x[1]),
        "gamma_lower" => gamma_lower(x[0], x[1]),
        "gamma_upper" => gamma_upper(x[0], x[1]),
        "gamma_quantile" => gamma_quantile(x[0], x[1]),
        "chi_square_lower" => chi_square_lower(x[0], x[1]),
        "chi_square_upper" => chi_square_upper(x[0], x[1]),
        "chi_square_quantile_upper" => chi_square_quantile_upper(x[0], x[1]),
        "beta_lower" => beta_lower(x[0], x[1], x[2]),
        "beta_upper" => beta_upper(x[0], x[1], x[2]),
        "beta_density" => beta_density(x[0], x[1], x[2]),
        "beta_quantile" => beta_quantile(x[0], x[1], x[2]),
        "f_upper" => f_upper(x[0], x[1], x[2]),
        "f_quantile_upper" => f_quantile_upper(x[0], x[1], x[2]),
        "ln_gamma" => ln_gamma(x[0]),
        "ln_beta" => ln_beta(x[0], x[1]),
        "stirling_remainder" => stirling_remainder(x[0]),
        "ln_choose" => ln_choose(whole(0), whole(1)),
        "binomial_pmf" => binomial_pmf(whole(0), whole(1), x[2]),
        "binomial_lower" => binomial_lower(whole(0), whole(1), x[2]),
        "binomial_upper" => binomial_upper(whole(0), whole(1), x[2]),
        "poisson_lower" => poisson_lower(whole(0), x[1]),
        "poisson_upper" => poisson_upper(whole(0), x[1]),
        "hypergeometric_pmf" => hypergeometric_pmf(whole(0), whole(1), whole(2), whole(3)),
        "noncentral_t_upper" => noncentral_t_upper(x[0], x[1], x[2]),
        "noncentral_chi_square_upper" => noncentral_chi_square_upper(x[0], x[1], x[2]),
        "noncentral_f_upper" => noncentral_f_upper(x[0], x[1], x[2], x[3]),
        _ => panic!("no such function: {name}"),
    }
}

/// The relative error allowed; more for sums of many terms.
fn tolerance(name: &str) -> f64 {
    if name.starts_with("normal") || name.starts_with("t_") { 1e-13 } else { 1e-12 }
}

#[test]
fn the_numbers_of_many_digits_come_out() {
    let file: Value = serde_json::from_str(include_str!("../../../data/reference/tails.json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert!(cases.len() > 350, "the reference file lost cases");
    for case in cases {
        let name = case[0].as_str().unwrap();
        let input: Vec<f64> = case[1].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
        let expect = case[2].as_f64().unwrap();
        let actual = evaluate(name, &input);
        let error = (actual - expect).abs() / expect.abs();
        assert!(error <= tolerance(name), "{name}{input:?} is {actual:e}, not {expect:e}, off by {error:e}");
    }
}

/// How a function is called and what it promises: where the parameters are valid, what it gives lies in the range.
struct Promise {
    name: &'static str,
    arguments: usize,
    valid: fn(&[f64]) -> bool,
    low: f64,
    high: f64,
}

const INFINITE: f64 = f64::INFINITY;

const fn promise(name: &'static str, arguments: usize, valid: fn(&[f64]) -> bool, low: f64, high: f64) -> Promise {
    Promise { name, arguments, valid, low, high }
}

fn is_share(p: f64) -> bool {
    (0.0..=1.0).contains(&p)
}

const PROMISES: [Promise; 29] = [
    promise("normal_upper", 1, |_| true, 0.0, 1.0),
    promise("normal_lower", 1, |_| true, 0.0, 1.0),
    promise("normal_log_upper", 1, |_| true, -INFINITE, 0.0),
    promise("normal_mills", 1, |_| true, 0.0, INFINITE),
    promise("normal_density", 1, |_| true, 0.0, 0.4),
    promise("normal_quantile", 1, |x| is_share(x[0]), -INFINITE, INFINITE),
    promise("normal_quantile_upper", 1, |x| is_share(x[0]), -INFINITE, INFINITE),
    promise("t_upper", 2, |x| x[1] > 0.0, 0.0, 1.0),
    promise("t_log_upper", 2, |x| x[1] > 0.0, -INFINITE, 0.0),
    promise("t_density", 2, |x| x[1] > 0.0, 0.0, 0.4),
    promise("t_quantile_upper", 2, |x| is_share(x[0]) && x[1] > 0.0, -INFINITE, INFINITE),
    promise("gamma_lower", 2, |x| x[0] > 0.0, 0.0, 1.0),
    promise("gamma_upper", 2, |x| x[0] > 0.0, 0.0, 1.0),
    promise("gamma_quantile", 2, |x| is_share(x[0]) && x[1] > 0.0, 0.0, INFINITE),
    promise("chi_square_lower", 2, |x| x[1] > 0.0, 0.0, 1.0),
    promise("chi_square_upper", 2, |x| x[1] > 0.0, 0.0, 1.0),
    promise("chi_square_quantile_upper", 2, |x| is_share(x[0]) && x[1] > 0.0, 0.0, INFINITE),
    promise("beta_lower", 3, |x| x[1] > 0.0 && x[2] > 0.0, 0.0, 1.0),
    promise("beta_upper", 3, |x| x[1] > 0.0 && x[2] > 0.0, 0.0, 1.0),
    promise("beta_density", 3, |x| x[1] > 0.0 && x[2] > 0.0, 0.0, INFINITE),
    promise("beta_quantile", 3, |x| is_share(x[0]) && x[1] > 0.0 && x[2] > 0.0, 0.0, 1.0),
    promise("f_upper", 3, |x| x[1] > 0.0 && x[2] > 0.0, 0.0, 1.0),
    promise("f_quantile_upper", 3, |x| is_share(x[0]) && x[1] > 0.0 && x[2] > 0.0, 0.0, INFINITE),
    promise("ln_gamma", 1, |x| x[0] >= 0.0, -0.2, INFINITE),
    promise("ln_beta", 2, |x| x[0] > 0.0 && x[1] > 0.0, -INFINITE, INFINITE),
    promise("stirling_remainder", 1, |x| x[0] > 0.0, 0.0, INFINITE),
    promise("noncentral_t_upper", 3, |x| x[1] > 0.0 && x[2].is_finite(), 0.0, 1.0),
    promise("noncentral_chi_square_upper", 3, |x| x[1] > 0.0 && (0.0..INFINITE).contains(&x[2]), 0.0, 1.0),
    promise("noncentral_f_upper", 4, |x| x[1] > 0.0 && x[2] > 0.0 && (0.0..INFINITE).contains(&x[3]), 0.0, 1.0),
];

/// Any double at all, and often one that is not absurd.
fn anything() -> impl Strategy<Value = f64> {
    let special = [0.0, -0.0, 0.5, 1.0, 1.0 - f64::EPSILON, f64::MIN_POSITIVE, 5e-324, f64::MAX, INFINITE, f64::NAN, 20.0, 1e9];
    prop_oneof![
        2 => prop::num::f64::ANY,
        1 => prop::sample::select(special.to_vec()),
        3 => 0.0..=1.0_f64,
        2 => (-20.0..20.0_f64).prop_map(|power| 10_f64.powf(power)),
        1 => -50.0..50.0_f64,
    ]
}

fn shape() -> impl Strategy<Value = f64> {
    (-1.0..7.0_f64).prop_map(|power| 10_f64.powf(power))
}

/// Any probability, on the scale of its logarithm.
fn share() -> impl Strategy<Value = f64> {
    prop_oneof![(-290.0..0.0_f64).prop_map(|power| 10_f64.powf(power)), 0.001..0.999_f64]
}

fn close(actual: f64, expect: f64, tolerance: f64) -> bool {
    (actual - expect).abs() <= tolerance * expect.abs()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Far out, a quantile determines its tail only as well as a double holds the quantile.
    #[test]
    fn quantiles_invert_tails(p in share(), a in shape(), b in shape()) {
        let depth = 1.0 - p.ln();
        prop_assert!(close(normal_upper(normal_quantile_upper(p)), p, 1e-15 * depth * 2.0));
        let x = t_quantile_upper(p, a);
        if x < 1e290 {
            prop_assert!(close(t_upper(x, a), p, 1e-15 * depth * 4.0), "t with {}, {}", p, a);
        }
        let x = chi_square_quantile_upper(p, a);
        prop_assert!(close(chi_square_upper(x, a), p, 1e-15 * (depth + x) * 4.0), "chi-square with {}, {}", p, a);
        let x = f_quantile_upper(p, a, b);
        if x > 1e-290 && x < 1e290 {
            prop_assert!(close(f_upper(x, a, b), p, 1e-15 * (depth + a.min(b)) * 8.0), "F with {}, {}, {}", p, a, b);
        }
    }

    #[test]
    fn counts_add_up(k in any::<u64>(), n in any::<u64>(), marked in any::<u64>(), drawn in any::<u64>(), cut in 0..64_u32, p in 0.0..=1.0_f64) {
        let [k, n, marked, drawn] = [k, n, marked, drawn].map(|count| count >> cut);
        let (point, lower, upper) = (binomial_pmf(k, n, p), binomial_lower(k, n, p), binomial_upper(k, n, p));
        prop_assert!([point, lower, upper].iter().all(|value| is_share(*value)), "{} of {} at {}: {}", k, n, p, point);
        prop_assert!(close(lower + upper, 1.0 + point, 1e-9) || k > n, "{} of {} at {}", k, n, p);
        prop_assert!(is_share(poisson_lower(k, p * n as f64)) && is_share(poisson_upper(k, p * n as f64)));
        let possible = marked <= n && drawn <= n;
        prop_assert_eq!(is_share(hypergeometric_pmf(k, n, marked, drawn)), possible);
        prop_assert_eq!(ln_choose(n, k).is_finite(), k <= n);
    }

    #[test]
    fn tails_fall(x in -40.0..40.0_f64, step in 0.0..5.0_f64, a in shape(), b in shape(), nc in 0.0..40.0_f64) {
        let y = x + step;
        let falls = |there: f64, here: f64| there <= here * (1.0 + 1e-12);
        prop_assert!(falls(normal_upper(y), normal_upper(x)));
        prop_assert!(falls(t_upper(y, a), t_upper(x, a)));
        prop_assert!(falls(chi_square_upper(y, a), chi_square_upper(x, a)));
        prop_assert!(falls(f_upper(y, a, b), f_upper(x, a, b)));
        prop_assert!(falls(noncentral_t_upper(y, a, nc), noncentral_t_upper(x, a, nc)));
        prop_assert!(falls(noncentral_chi_square_upper(y, a, nc), noncentral_chi_square_upper(x, a, nc)));
        prop_assert!(falls(noncentral_t_upper(x, a, nc), noncentral_t_upper(x, a, nc + step)));
    }

    #[test]
    fn sides_mirror_each_other(x in 0.0..30.0_f64, p in 0.0..1.0_f64, a in shape(), b in shape()) {
        prop_assert!(close(normal_upper(x) + normal_upper(-x), 1.0, 1e-15));
        prop_assert!(close(t_upper(x, a) + t_upper(-x, a), 1.0, 1e-15));
        prop_assert!(close(gamma_lower(a, x) + gamma_upper(a, x), 1.0, 1e-15));
        prop_assert!(close(beta_lower(p, a, b) + beta_upper(p, a, b), 1.0, 1e-15));
        prop_assert!(close(t_upper(x, a), 0.5 * f_upper(x * x, 1.0, a), 1e-11));
        prop_assert_eq!(t_quantile_upper(0.25, a), -t_quantile_upper(0.75, a));
    }

    #[test]
    fn no_input_panics_or_leaves_the_range(x in prop::array::uniform4(anything())) {
        for Promise { name, arguments, valid, low, high } in PROMISES {
            let input = &x[..arguments];
            let value = evaluate(name, input);
            if input.iter().any(|x| x.is_nan()) {
                prop_assert!(value.is_nan(), "{}{:?} is {}", name, input, value);
            } else if valid(input) {
                prop_assert!(low <= value && value <= high, "{}{:?} is {}", name, input, value);
            } else {
                prop_assert!(value.is_nan(), "{}{:?} is {} where it is not defined", name, input, value);
            }
        }
    }
}
