//! Asks whether another method has an answer.

use serde_json::{Value, json};

use crate::method::{Failure, Field, Method};

pub(crate) const METHODS: &[Method] = &[Method {
    name: "degenerate",
    summary: "whether another method can be computed from an input",
    formula: "none: the method named by `case` is run, and `computable` tells whether it has an answer",
    reference: "an estimate without a finite value must be refused, not shown as NaN",
    inputs: &[
        Field { name: "case", about: "the name of the method to run" },
        Field { name: "…", about: "the inputs of that method" },
    ],
    outputs: &[
        Field { name: "computable", about: "whether the method has an answer" },
        Field { name: "why", about: "if not, the reason" },
    ],
    refuses: "an unknown method, and an input that does not have that method's form",
    example: r#"{"case": "welch_t_absolute", "control": {"n": 1, "sum": 2, "sum_squares": 4}, "treatment": {"n": 500, "sum": 1000, "sum_squares": 9000}, "alpha": 0.05}"#,
    run: degenerate,
}];

/// What has no part in the question where the method does not take it.
const OPTIONS: &[&str] = &["alpha", "alternative", "difference"];

fn degenerate(input: &Value) -> Result<Value, Failure> {
    let field = |message: &str| Failure::Input { field: "case".to_owned(), message: message.to_owned() };
    let mut input = input.as_object().ok_or_else(|| field("the input must be an object"))?.clone();
    let case = input.remove("case").ok_or_else(|| field("missing; it names the method to run"))?;
    let case = case.as_str().ok_or_else(|| field("must be text: the name of a method"))?;
    let method = crate::find(case)?;
    for option in OPTIONS {
        if !method.inputs.iter().any(|field| field.name == *option) {
            input.remove(*option);
        }
    }
    match method.run(&Value::Object(input)) {
        Ok(_) => Ok(json!({"computable": true})),
        Err(Failure::Degenerate(why)) => Ok(json!({"computable": false, "why": why.why})),
        Err(failure) => Err(failure),
    }
}
