//! What must hold for every method of a kind, asked at the door as a user would: money may be counted in cents, the arms may
//! change places, an interval holds exactly what its test does not reject, and adjusted p-values keep their order.

use proptest::prelude::*;
use serde_json::{Value, json};

/// One arm: an outcome and a covariate per recipient.
type Rows = Vec<(f64, f64)>;

fn rows() -> impl Strategy<Value = Rows> {
    prop::collection::vec((1.0..100.0_f64, 1.0..9.0_f64), 5..40)
}

/// An arm in every form: as mean, with a covariate, and as a ratio of outcome to covariate. `change` alters outcomes.
fn arms(rows: &Rows, change: impl Fn(f64) -> f64) -> [Value; 3] {
    let sum = |of: &dyn Fn(f64, f64) -> f64| rows.iter().map(|(y, x)| of(change(*y), *x)).sum::<f64>();
    let (n, y, yy) = (rows.len(), sum(&|y, _| y), sum(&|y, _| y * y));
    let (x, xx, xy) = (sum(&|_, x| x), sum(&|_, x| x * x), sum(&|y, x| x * y));
    [
        json!({"n": n, "sum": y, "sum_squares": yy}),
        json!({"n": n, "sum": y, "sum_squares": yy, "covariate_sum": x, "covariate_sum_squares": xx, "sum_of_products": xy}),
        json!({
            "n": n, "numerator_sum": y, "numerator_sum_squares": yy, "denominator_sum": x, "denominator_sum_squares": xx,
            "sum_of_products": xy,
        }),
    ]
}

/// The methods that compare two arms: the form of their arms, what their inputs need beside them, and whether they are relative.
const COMPARISONS: &[(&str, usize, &str, bool)] = &[
    ("welch_t_absolute", 0, "{}", false),
    ("student_t_pooled", 0, "{}", false),
    ("z_test_mean", 0, "{}", false),
    ("cuped_absolute", 1, "{}", false),
    ("ratio_absolute_delta", 2, "{}", false),
    ("sequential_cs_two_sided", 0, r#"{"metric": "mean", "difference": "absolute"}"#, false),
    ("sequential_cs_two_sided", 1, r#"{"metric": "cuped", "difference": "absolute"}"#, false),
    ("sequential_cs_two_sided", 2, r#"{"metric": "ratio", "difference": "absolute"}"#, false),
    ("welch_t_relative_delta", 0, "{}", true),
    ("cuped_relative", 1, "{}", true),
    ("ratio_relative_delta", 2, "{}", true),
    ("sequential_cs_two_sided", 0, r#"{"metric": "mean", "difference": "relative"}"#, true),
];

/// The number `field` of the answer; `None` where there is no answer.
fn ask(name: &str, options: &str, control: &Value, treatment: &Value) -> Option<impl Fn(&str) -> f64 + use<>> {
    let mut input: Value = serde_json::from_str(options).expect("options are JSON");
    input["control"] = control.clone();
    input["treatment"] = treatment.clone();
    let answer = methods::find(name).expect("a method").run(&input).ok()?;
    Some(move |field: &str| answer[field].as_f64().unwrap_or_else(|| panic!("no {field} in {answer}")))
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * (a.abs() + b.abs()) + 1e-9
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Cents instead of dollars: a hundred times the difference, the same share, the same p-value.
    #[test]
    fn money_may_be_counted_in_cents(a in rows(), b in rows()) {
        let (dollars, cents) = ((arms(&a, |y| y), arms(&b, |y| y)), (arms(&a, |y| 100.0 * y), arms(&b, |y| 100.0 * y)));
        for (name, form, options, relative) in COMPARISONS {
            let scale = if *relative { 1.0 } else { 100.0 };
            let (Some(of_dollars), Some(of_cents)) = (
                ask(name, options, &dollars.0[*form], &dollars.1[*form]),
                ask(name, options, &cents.0[*form], &cents.1[*form]),
            ) else {
                return Err(TestCaseError::fail(format!("{name} has no answer")));
            };
            for field in ["effect", "standard_error", "ci_lower", "ci_upper"] {
                prop_assert!(near(scale * of_dollars(field), of_cents(field)), "{} {}", name, field);
            }
            prop_assert!(near(of_dollars("p_value"), of_cents("p_value")), "{} p", name);
        }
    }

    /// The arms change places: the difference and its interval are mirrored, the p-value stays.
    #[test]
    fn swapped_arms_mirror(a in rows(), b in rows()) {
        let (a, b) = (arms(&a, |y| y), arms(&b, |y| y));
        for (name, form, options, relative) in COMPARISONS.iter().filter(|method| !method.3) {
            let there = ask(name, options, &a[*form], &b[*form]).expect("an answer");
            let back = ask(name, options, &b[*form], &a[*form]).expect("an answer");
            prop_assert!(near(there("effect"), -back("effect")) && !relative, "{}", name);
            prop_assert!(near(there("ci_lower"), -back("ci_upper")) && near(there("ci_upper"), -back("ci_lower")), "{}", name);
            prop_assert!(near(there("p_value"), back("p_value")), "{}", name);
        }
    }

    /// Taking a difference just inside the interval from the treatment's outcomes leaves nothing to reject; one just outside
    /// leaves too much. Both arms have the same covariate, else taking the difference away changes its slope.
    #[test]
    fn intervals_invert_their_tests(a in rows(), outcomes in prop::collection::vec(1.0..100.0_f64, 40)) {
        let b: Rows = a.iter().zip(&outcomes).map(|((_, x), y)| (*y, *x)).collect();
        let (control, treatment) = (arms(&a, |y| y), arms(&b, |y| y));
        for (name, form, options, _) in COMPARISONS.iter().filter(|(_, form, _, relative)| *form < 2 && !relative) {
            let found = ask(name, options, &control[*form], &treatment[*form]).expect("an answer");
            for (bound, outwards) in [("ci_lower", -1.0), ("ci_upper", 1.0)] {
                for (step, rejected) in [(-1e-3, false), (1e-3, true)] {
                    let taken = found(bound) + outwards * step * found("standard_error");
                    let shifted = arms(&b, |y| y - taken);
                    let p = ask(name, options, &control[*form], &shifted[*form]).expect("an answer")("p_value");
                    prop_assert_eq!(p < 0.05, rejected, "{} {} p = {}", name, bound, p);
                }
            }
        }
    }

    /// Fieller's interval of a lift leaves out zero exactly when the test of the difference rejects.
    #[test]
    fn lift_and_difference_agree(a in rows(), b in rows()) {
        let (control, treatment) = (arms(&a, |y| y), arms(&b, |y| y));
        for (name, test, form) in [("fieller", "welch_t_absolute", 0), ("ratio_fieller", "ratio_absolute_delta", 2)] {
            // A control that cannot be told from zero has no lift.
            let Some(lift) = ask(name, "{}", &control[form], &treatment[form]) else { continue };
            let p = ask(test, "{}", &control[form], &treatment[form]).expect("an answer")("p_value");
            prop_assert_eq!(p < 0.05, lift("ci_lower") > 0.0 || lift("ci_upper") < 0.0, "{} {}", name, p);
        }
    }

    /// A larger p-value never gets a smaller adjusted one, and none gets smaller by adjusting.
    #[test]
    fn adjusted_p_values_keep_their_order(p in prop::collection::vec(0.0..=1.0_f64, 1..20), which in 0_usize..8) {
        let procedure = ["holm", "hochberg", "hommel", "bonferroni", "sidak", "holm_sidak", "bh", "by"][which];
        let method = methods::find("p_adjust").expect("a method");
        let answer = method.run(&json!({"p_values": p, "procedure": procedure})).expect("an answer");
        let adjusted: Vec<f64> = serde_json::from_value(answer["adjusted"].clone()).expect("numbers");
        for (i, (own, own_adjusted)) in p.iter().zip(&adjusted).enumerate() {
            prop_assert!(*own_adjusted >= own * (1.0 - 1e-14) && *own_adjusted <= 1.0, "{} {}: {} {}", procedure, i, own, own_adjusted);
            let later = p.iter().zip(&adjusted).filter(|(p, _)| *p >= own);
            prop_assert!(later.into_iter().all(|(_, adjusted)| adjusted >= own_adjusted), "{} {}", procedure, i);
        }
    }
}
