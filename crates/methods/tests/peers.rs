//! The numbers of peers: each case of `data/reference/methods.jsonl` names the library that computed it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use methods::{answer_line, find, methods};
use serde_json::Value;

const CASES: &str = include_str!("../../../data/reference/methods.jsonl");

#[test]
fn the_numbers_of_peers_come_out() {
    let mut failures: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut seen = 0;
    for text in CASES.lines() {
        let case: Value = serde_json::from_str(text).expect("cases are JSON");
        seen += 1;
        let answer = answer_line(text).answer;
        let wrong = wrong_fields(&case, &answer["actual"]);
        if !wrong.is_empty() {
            let method = case["method"].as_str().expect("a method").to_owned();
            let message = answer["error"]["message"].as_str().unwrap_or_default();
            failures.entry(method).or_default().push(format!("{} {wrong:?} {message}", case["id"]));
        }
    }
    assert_eq!(seen, 286, "the reference file lost cases");
    let report = failures.iter().fold(String::new(), |mut report, (method, cases)| {
        let _ = writeln!(report, "{method}\n  {}", cases.join("\n  "));
        report
    });
    assert!(failures.is_empty(), "{} methods differ:\n{report}", failures.len());
}

/// Every method has an explanation, and its example works.
#[test]
fn every_method_explains_itself() {
    let mut names = std::collections::BTreeSet::new();
    for method in methods() {
        let name = method.name;
        assert!(names.insert(name), "{name} is there twice");
        for text in [method.summary, method.formula, method.reference, method.refuses] {
            assert!(text.len() > 9, "{name} does not explain itself");
        }
        assert!(!method.inputs.is_empty() && !method.outputs.is_empty(), "{name} does not tell what goes in and out");
        let example: Value = serde_json::from_str(method.example).unwrap_or_else(|error| panic!("{name}: {error}"));
        let answer = find(name).unwrap().run(&example).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        let told = |field: &str| method.outputs.iter().any(|output| output.name.split(", ").any(|name| name == field));
        if name != "degenerate" {
            for field in answer.as_object().expect("answers are objects").keys() {
                assert!(told(field), "{name} does not tell of its output `{field}`");
            }
        }
    }
}

fn wrong_fields(case: &Value, actual: &Value) -> Vec<String> {
    let number = |value: &Value| value.as_f64().expect("a tolerance");
    let expected = case["expected"].as_object().expect("expected values");
    let is_wrong = |field: &String, expect: &Value| {
        let own = case["tol"][field].as_array().map(|pair| (number(&pair[0]), number(&pair[1])));
        let (rtol, atol) = own.unwrap_or_else(|| (number(&case["rtol"]), number(&case["atol"])));
        actual.get(field).is_none_or(|actual| !near(expect, actual, rtol, atol))
    };
    let wrong = expected.iter().filter(|(field, expect)| is_wrong(field, expect));
    wrong.map(|(field, expect)| format!("{field}: {} is not {expect}", actual[field])).collect()
}

fn near(expect: &Value, actual: &Value, rtol: f64, atol: f64) -> bool {
    match (expect, actual) {
        (Value::Object(expect), Value::Object(actual)) => {
            expect.iter().all(|(name, value)| actual.get(name).is_some_and(|actual| near(value, actual, rtol, atol)))
        }
        (Value::Array(expect), Value::Array(actual)) => {
            expect.len() == actual.len() && expect.iter().zip(actual).all(|(e, a)| near(e, a, rtol, atol))
        }
        (Value::Number(expect), Value::Number(actual)) => {
            let (expect, actual) = (expect.as_f64().expect("finite"), actual.as_f64().expect("finite"));
            (actual - expect).abs() <= atol + rtol * expect.abs()
        }
        _ => expect == actual,
    }
}
