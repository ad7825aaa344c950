//! Whatever numbers a user sends, a method answers with finite numbers, says why there is no answer, or names the field that
//! is wrong: no panic, no NaN (which JSON shows as null), and no long wait.

use std::time::{Duration, Instant};

use methods::{Failure, Method};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

/// What no input of an example's size may take, with room for a busy machine and an unoptimised build.
const TIME_MAX: Duration = Duration::from_secs(5);

/// Numbers at the ends of what a line can hold, and what is no number at all.
fn extremes() -> Vec<Value> {
    let numbers = [0.0, -0.0, -1.0, 1.0, 2.0, 3.0, 0.5, -0.5, 0.05, 1e-9, 1.0 - 1e-16, 100.0, 1e6, 1e9, 1e15, 1e18, 1e19];
    let far = [1e-308, 5e-324, 1e-200, 1e-100, 1e100, 1e160, 1e308, f64::MAX, -1e308, -1e-308];
    let mut values: Vec<Value> = numbers.iter().chain(&far).map(|number| json!(number)).collect();
    values.extend([json!(0), json!(1), json!(-1), json!(7), json!(u32::MAX), json!(u64::MAX), json!(i64::MIN)]);
    values.extend([Value::Null, json!("x"), json!([]), json!({}), json!(true)]);
    values
}

/// What is done to one place of an input.
#[derive(Debug, Clone)]
enum Change {
    Replace(Value),
    Remove,
    Repeat,
}

fn change() -> impl Strategy<Value = (Index, Change)> {
    let replace = prop::sample::select(extremes()).prop_map(Change::Replace);
    (any::<Index>(), prop_oneof![8 => replace, 1 => Just(Change::Remove), 1 => Just(Change::Repeat)])
}

/// The JSON pointers of all values below `value`.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(values) => values.iter().enumerate().map(|(i, value)| (i.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (name, child) in children {
        let path = format!("{at}/{name}");
        places(child, &path, found);
        found.push(path);
    }
}

fn apply(input: &mut Value, place: &Index, change: &Change) {
    let mut found = Vec::new();
    places(input, "", &mut found);
    let Some((parent, name)) = (!found.is_empty()).then(|| place.get(&found)).and_then(|path| path.rsplit_once('/')) else {
        return;
    };
    match (change, input.pointer_mut(parent)) {
        (Change::Replace(by), Some(Value::Object(fields))) => {
            fields.insert(name.to_owned(), by.clone());
        }
        (Change::Remove, Some(Value::Object(fields))) => {
            fields.remove(name);
        }
        (Change::Repeat, Some(Value::Object(fields))) => {
            fields.insert(format!("{name}_again"), json!(1));
        }
        (change, Some(Value::Array(values))) => {
            let at: usize = name.parse().expect("a place in a list");
            match change {
                Change::Replace(by) => values[at] = by.clone(),
                Change::Remove => drop(values.remove(at)),
                Change::Repeat => values.insert(at, values[at].clone()),
            }
        }
        _ => unreachable!("a value lies in an object or a list"),
    }
}

/// Whether the explanation of the method says that this output may be null.
fn may_be_null(method: &Method, name: &str) -> bool {
    let named = |field: &&methods::Field| field.about.contains(name) || field.name.split(", ").any(|output| output == name);
    method.outputs.iter().filter(named).any(|field| ["null", "none"].iter().any(|word| field.about.contains(word)))
}

/// The names of outputs that are null without leave.
fn nulls(method: &Method, name: &str, answer: &Value, found: &mut Vec<String>) {
    match answer {
        Value::Null if !may_be_null(method, name) => found.push(name.to_owned()),
        Value::Array(values) => values.iter().for_each(|value| nulls(method, name, value, found)),
        Value::Object(fields) => fields.iter().for_each(|(name, value)| nulls(method, name, value, found)),
        _ => {}
    }
}

#[expect(clippy::disallowed_methods, reason = "a long wait is measured, not simulated")]
fn check(method: &Method, input: &Value) -> Result<(), TestCaseError> {
    let start = Instant::now();
    let answer = method.run(input);
    let took = start.elapsed();
    prop_assert!(took < TIME_MAX, "{} took {took:?} for {input}", method.name);
    match answer {
        Ok(answer) => {
            let mut found = Vec::new();
            nulls(method, "", &answer, &mut found);
            prop_assert!(found.is_empty(), "{}: {found:?} null for {input}: {answer}", method.name);
        }
        Err(Failure::Degenerate(why)) => prop_assert!(!why.why.is_empty(), "{} without a reason", method.name),
        Err(Failure::Input { field, message }) => {
            prop_assert!(!field.is_empty() || message.contains('`'), "{}: {message:?} names no field of {input}", method.name);
        }
        // The method that asks for another was given a name that is none.
        Err(failure @ Failure::UnknownMethod { .. }) => prop_assert_eq!(method.name, "degenerate", "{}", failure),
    }
    Ok(())
}

/// The random test below may miss what one change shows, such as counts too large to be added.
#[test]
fn every_place_bears_the_worst_numbers() {
    for method in methods::methods() {
        let example: Value = serde_json::from_str(method.example).expect("an example is JSON");
        let mut found = Vec::new();
        places(&example, "", &mut found);
        for by in [json!(0), json!(-1), json!(u64::MAX), json!(1e308), json!(1e-308), Value::Null, json!([])] {
            for path in &found {
                let mut input = example.clone();
                *input.pointer_mut(path).expect("a place in the example") = by.clone();
                check(method, &input).unwrap_or_else(|failure| panic!("{failure}"));
            }
            let mut input = example.clone();
            for path in found.iter().filter(|path| path.ends_with("/n")) {
                *input.pointer_mut(path).expect("a place in the example") = by.clone();
            }
            check(method, &input).unwrap_or_else(|failure| panic!("{failure}"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, max_shrink_time: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_input_is_answered(which in any::<Index>(), changes in prop::collection::vec(change(), 1..4)) {
        let all: Vec<&Method> = methods::methods().collect();
        let method = which.get(&all);
        let mut input: Value = serde_json::from_str(method.example).expect("an example is JSON");
        for (place, change) in &changes {
            apply(&mut input, place, change);
        }
        check(method, &input)?;
    }
}
