//! What a method is: a name, an explanation, and a function from JSON to JSON.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use stats::Degenerate;

/// A statistical method that can be called by name.
#[derive(Debug)]
pub struct Method {
    /// What it is called by, such as `welch_t_absolute`.
    pub name: &'static str,
    /// What it answers, in one line.
    pub summary: &'static str,
    /// The formula.
    pub formula: &'static str,
    /// Where the formula is from.
    pub reference: &'static str,
    /// What goes in.
    pub inputs: &'static [Field],
    /// What comes out.
    pub outputs: &'static [Field],
    /// What makes it refuse to answer.
    pub refuses: &'static str,
    /// An input that works, as JSON.
    pub example: &'static str,
    /// Computes.
    pub(crate) run: fn(&Value) -> Result<Value, Failure>,
}

/// One input or output.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name in the JSON.
    pub name: &'static str,
    /// What it is, with its unit, its range and its default.
    pub about: &'static str,
}

/// Why a line was not computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// No method has that name.
    UnknownMethod {
        /// As asked for.
        name: String,
        /// The method whose name is nearest.
        nearest: &'static str,
    },
    /// The input has not the form the method wants.
    Input {
        /// The path of the field, such as `control.n`; empty for the input as a whole.
        field: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// The input is well formed and has no answer.
    Degenerate(Degenerate),
}

impl From<Degenerate> for Failure {
    fn from(why: Degenerate) -> Self {
        Self::Degenerate(why)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownMethod { name, nearest } => {
                write!(f, "there is no method `{name}`; the nearest name is `{nearest}`, and `sendlab stats --list` shows all")
            }
            Self::Input { field, message } if field.is_empty() => f.write_str(message),
            Self::Input { field, message } => write!(f, "`{field}`: {message}"),
            Self::Degenerate(degenerate) => degenerate.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

impl Method {
    /// Computes.
    ///
    /// # Errors
    /// [`Failure::Input`] for an input of the wrong form, [`Failure::Degenerate`] for one without an answer.
    pub fn run(&self, input: &Value) -> Result<Value, Failure> {
        (self.run)(input)
    }
}

/// Reads a part of the input whose form depends on another; `name` is its field, empty for the whole input. A count may be
/// written as 500.0, and an option that is null counts as not given.
pub(crate) fn read<T: DeserializeOwned>(name: &str, value: &Value) -> Result<T, Failure> {
    if let Ok(typed) = T::deserialize(value) {
        return Ok(typed);
    }
    serde_path_to_error::deserialize(plain(value)).map_err(|error| {
        let path = error.path().to_string();
        let field = match path.as_str() {
            "." => name.to_owned(),
            _ if name.is_empty() => path,
            _ => format!("{name}.{path}"),
        };
        let mut message = error.inner().to_string();
        for count in ["u64", "usize", "u32"] {
            message = message.replace(&format!("expected {count}"), "expected a whole number, zero or more");
        }
        Failure::Input { field, message }
    })
}

/// The same JSON with whole numbers written without a point, and objects without their nulls.
fn plain(value: &Value) -> Value {
    /// Up to here every whole number is one double.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() <= WHOLE_MAX => Value::from(float as i64),
            _ => value.clone(),
        },
        Value::Array(values) => values.iter().map(plain).collect(),
        Value::Object(fields) => {
            let given = fields.iter().filter(|(_, value)| !value.is_null());
            given.map(|(name, value)| (name.clone(), plain(value))).collect()
        }
        _ => value.clone(),
    }
}

/// Reads the input, computes, writes the output: what the `run` of nearly every method is made of.
pub(crate) fn typed<I: DeserializeOwned, O: Serialize>(
    input: &Value,
    compute: impl FnOnce(I) -> Result<O, Failure>,
) -> Result<Value, Failure> {
    serde_json::to_value(compute(read("", input)?)?)
        .map_err(|error| Failure::Degenerate(Degenerate::new(format!("the answer cannot be written: {error}"))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Arm {
        n: u64,
        #[serde(default)]
        sum: f64,
    }

    #[test]
    fn counts_may_have_a_point_and_options_may_be_null() {
        let check = |input: Value, expect| assert_eq!(read::<Arm>("", &input).unwrap(), expect, "{input}");
        check(json!({"n": 500, "sum": 2.5}), Arm { n: 500, sum: 2.5 });
        check(json!({"n": 500.0, "sum": 2}), Arm { n: 500, sum: 2.0 });
        check(json!({"n": 1e9, "sum": null}), Arm { n: 1_000_000_000, sum: 0.0 });
        check(json!({"n": -0.0, "sum": 1e300}), Arm { n: 0, sum: 1e300 });
    }

    #[test]
    fn a_number_that_is_no_count_is_refused_by_name() {
        let check = |n: Value, expect: &str| {
            let failure = read::<Arm>("control", &json!({"n": n})).unwrap_err().to_string();
            assert!(failure.starts_with("`control.n`") && failure.contains(expect), "{failure}");
        };
        check(json!(500.5), "`500.5`, expected a whole number, zero or more");
        check(json!(-1), "`-1`, expected a whole number, zero or more");
        check(json!(1e30), "expected a whole number");
        check(json!("12"), "\"12\", expected a whole number");
        let missing = read::<Arm>("control", &json!({"n": null})).unwrap_err().to_string();
        assert_eq!(missing, "`control`: missing field `n`");
    }
}
