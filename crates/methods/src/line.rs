//! JSON lines: `{id, method, input}` in, `{id, actual}` out, one per line and in order.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::find;
use crate::method::Failure;

/// Longer lines are refused, so that a file that is no JSON lines cannot fill the memory.
pub const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What became of a line.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// The line that answers: `{id, actual}`, or `{id, error}` for a bad line.
    pub answer: Value,
    /// Whether the line could be read and its method exists. A degenerate input counts as good: `actual` says
    /// `computable: false` and why.
    pub good: bool,
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    id: Value,
    method: String,
    input: Value,
}

/// Answers one line. Other fields than `id`, `method` and `input` are passed over, so that files of expected values can be
/// fed as they are.
#[must_use]
pub fn answer_line(text: &str) -> Answered {
    if text.len() > LINE_BYTES_MAX {
        let message = format!("the line is {} bytes long; the limit is {LINE_BYTES_MAX}", text.len());
        return bad(Value::Null, &Failure::Input { field: String::new(), message });
    }
    let line: Line = match serde_json::from_str(text) {
        Ok(line) => line,
        Err(error) => {
            let id = serde_json::from_str::<Value>(text).ok().and_then(|value| value.get("id").cloned()).unwrap_or_default();
            let message = format!("{error}; a line is {{\"id\": …, \"method\": \"welch_t_absolute\", \"input\": {{…}}}}");
            return bad(id, &Failure::Input { field: String::new(), message });
        }
    };
    match find(&line.method).and_then(|method| method.run(&line.input)) {
        Ok(actual) => Answered { answer: json!({"id": line.id, "actual": actual}), good: true },
        Err(Failure::Degenerate(why)) => {
            Answered { answer: json!({"id": line.id, "actual": {"computable": false, "why": why.why}}), good: true }
        }
        Err(failure) => bad(line.id, &failure),
    }
}

fn bad(id: Value, failure: &Failure) -> Answered {
    let mut error = Map::new();
    if let Failure::Input { field, .. } = failure
        && !field.is_empty()
    {
        error.insert("field".to_owned(), json!(field));
    }
    error.insert("message".to_owned(), json!(failure.to_string()));
    Answered { answer: json!({"id": id, "error": error}), good: false }
}
