//! The numbers of peers: each case of `data/reference/stats.json` names the library that computed it.

use serde_json::Value;
use stats::tail::t_upper;
use stats::{
    Degenerate, Effect, Moments, Proportion, SequentialSampleRatio, fieller_lift, holm, non_inferior, sample_ratio,
    two_proportion, welch,
};

#[test]
fn the_numbers_of_peers_come_out() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../../data/reference/stats.json")).unwrap();
    assert!(cases.len() > 30, "the reference file lost cases");
    for case in &cases {
        check(case);
    }
}

fn check(case: &Value) {
    let (input, expected) = (&case["input"], &case["expected"]);
    let near = |field: &str, actual: f64| {
        if let Some(expect) = expected[field].as_f64() {
            let (rtol, atol) = (case["rtol"].as_f64().unwrap(), case["atol"].as_f64().unwrap());
            assert!((actual - expect).abs() <= atol + rtol * expect.abs(), "{field} is {actual}, not {expect}, in {case}");
        }
    };
    let alpha = || input["alpha"].as_f64().unwrap();
    match case["method"].as_str().unwrap() {
        "welch_t_absolute" => {
            check_effect(input, &near, &welch(&mean(input, "control"), &mean(input, "treatment"), alpha()).unwrap())
        }
        "prop_z_unpooled" => {
            check_effect(
                input,
                &near,
                &two_proportion(proportion(input, "control"), proportion(input, "treatment"), alpha()).unwrap(),
            );
        }
        "fieller" => {
            let lift = fieller_lift(&mean(input, "control"), &mean(input, "treatment"), alpha()).unwrap();
            near("relative", lift.relative);
            near("ci_lower", lift.interval.lower.unwrap());
            near("ci_upper", lift.interval.upper.unwrap());
        }
        "non_inferior" => {
            let (margin, lower) = (input["margin"].as_f64().unwrap(), input["lower_is_better"].as_bool().unwrap());
            let test = non_inferior(&mean(input, "control"), &mean(input, "treatment"), margin, lower, alpha()).unwrap();
            near("statistic", test.statistic);
            near("p_value", test.p_value);
            assert_eq!(test.shown, test.p_value <= alpha());
        }
        "srm_chi_square" => {
            let test = sample_ratio(&counts(&input["observed"]), &numbers(&input["expected_weights"])).unwrap();
            near("statistic", test.statistic);
            near("p_value", test.p_value);
            assert_eq!(test.degrees_of_freedom, expected["degrees_of_freedom"].as_u64().unwrap());
        }
        "srm_log_bayes_factor" => {
            near("log_bayes_factor", sequential(input).observe(&counts(&input["counts"])).unwrap().log_bayes_factor)
        }
        "srm_sequential_multinomial" => {
            let mut test = sequential(input);
            let looks = input["increments"].as_array().unwrap().iter().map(|look| test.observe(&counts(look)).unwrap());
            let looks: Vec<_> = looks.collect();
            near("log_bayes_factor", looks.last().unwrap().log_bayes_factor);
            for (look, expect) in looks.iter().zip(numbers(&expected["p_values"])) {
                assert!((look.p_value - expect).abs() <= 1e-7 * expect, "{} is not {expect} in {case}", look.p_value);
            }
        }
        "p_adjust" => {
            for (actual, expect) in holm(&numbers(&input["p_values"])).iter().zip(numbers(&expected["adjusted"])) {
                assert!((actual - expect).abs() <= 1e-9 * expect, "{actual} is not {expect} in {case}");
            }
        }
        "degenerate" => assert!(degenerate(input).is_some(), "{case}"),
        other => panic!("no check for {other}"),
    }
}

/// The interval is two-sided here always; the peers' one-sided ones are compared by their p-value only.
fn check_effect(input: &Value, near: &dyn Fn(&str, f64), effect: &Effect) {
    near("effect", effect.difference);
    near("standard_error", effect.standard_error);
    near("statistic", effect.statistic);
    let is_t = effect.degrees_of_freedom.is_some();
    if let Some(degrees_of_freedom) = effect.degrees_of_freedom {
        near("degrees_of_freedom", degrees_of_freedom);
    }
    let upper = |x: f64| effect.degrees_of_freedom.map_or_else(|| stats::tail::normal_upper(x), |df| t_upper(x, df));
    let alternative = input["alternative"].as_str().unwrap();
    near(
        "p_value",
        match alternative {
            "greater" => upper(effect.statistic),
            "less" => upper(-effect.statistic),
            _ => effect.p_value,
        },
    );
    if alternative == "two-sided" || !is_t {
        near("ci_lower", effect.interval.lower.unwrap());
        near("ci_upper", effect.interval.upper.unwrap());
    }
}

fn degenerate(input: &Value) -> Option<Degenerate> {
    match input["case"].as_str().unwrap() {
        "welch_t_absolute" => welch(&mean(input, "control"), &mean(input, "treatment"), 0.05).err(),
        "welch_t_relative_delta" => fieller_lift(&mean(input, "control"), &mean(input, "treatment"), 0.05).err(),
        "prop_absolute_t" => two_proportion(proportion(input, "control"), proportion(input, "treatment"), 0.05).err(),
        other => panic!("no check for {other}"),
    }
}

fn mean(input: &Value, arm: &str) -> Moments {
    let arm = &input[arm];
    Moments::from_sums(arm["n"].as_u64().unwrap(), arm["sum"].as_f64().unwrap(), arm["sum_squares"].as_f64().unwrap()).unwrap()
}

fn proportion(input: &Value, arm: &str) -> Proportion {
    Proportion { count: input[arm]["n"].as_u64().unwrap(), successes: input[arm]["successes"].as_u64().unwrap() }
}

fn sequential(input: &Value) -> SequentialSampleRatio {
    SequentialSampleRatio::new(&numbers(&input["expected_weights"]), input["concentration"].as_f64().unwrap()).unwrap()
}

fn counts(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}
