//! Events as a stream of Arrow record batches: a column for each field, a row for each event, checked like lines.

use axum::body::Bytes;
use lake::{ArrowCell, ArrowColumn, ArrowEvents, ArrowHolds};
use vocabulary::{EventKind, Timestamp};

use crate::fields::{FIELDS, Name, Shape, nearest};
use crate::keeping::Batch;
use crate::line::{Fault, Line, Told, Value, clip};
use crate::problem::Problem;

/// The most rows of a stream: ten times what lines may be, because columns are read in a fraction of the time.
pub const ARROW_ROWS_MAX: usize = 100_000;

/// The rows of a stream.
pub(crate) struct ArrowRows {
    events: ArrowEvents,
    names: Vec<Name>,
    kind: Option<EventKind>,
}

impl ArrowRows {
    /// Reads a stream. `kind` is the kind of the rows that do not say it themselves.
    pub(crate) fn read(bytes: Bytes, kind: Option<EventKind>) -> Result<Self, Problem> {
        let events = ArrowEvents::read(bytes, ARROW_ROWS_MAX)?;
        if events.rows() == 0 {
            let hint = "send an Arrow IPC stream of record batches with a column for each field";
            return Err(Problem::unprocessable("empty_batch", "the stream holds no row", hint));
        }
        let mut names = Vec::with_capacity(events.columns().len());
        for column in events.columns() {
            let name = field_of(column)?;
            if names.contains(&name) {
                return Err(bad_column(format!("there are two columns `{}`", name.as_str())));
            }
            names.push(name);
        }
        Ok(Self { events, names, kind })
    }
}

impl Batch for ArrowRows {
    fn count(&self) -> usize {
        self.events.rows()
    }

    fn line(&self, at: usize) -> usize {
        at + 1
    }

    fn read<T>(&self, at: usize, now: Timestamp, hand_on: impl FnOnce(Told<'_>) -> T) -> Result<T, Fault> {
        let row = self.events.row(at).ok_or_else(|| Fault::whole("is not there"))?;
        let mut line = Line::default();
        if let Some(kind) = self.kind {
            line.set(Name::Kind, Value::Text(kind.as_str()));
        }
        for (column, name) in self.names.iter().enumerate() {
            match row.cell(column) {
                None => {}
                Some(ArrowCell::Text(text)) => line.set(*name, Value::Text(text)),
                Some(ArrowCell::Micros(micros)) => line.set(*name, Value::Micros(micros)),
                Some(ArrowCell::Flag(flag)) => line.set(*name, Value::Text(if flag { "true" } else { "false" })),
            }
        }
        line.check(now).map(hand_on)
    }
}

/// The field that a column holds.
fn field_of(column: &ArrowColumn) -> Result<Name, Problem> {
    let name = Name::find(column.name.as_bytes()).ok_or_else(|| {
        let meant = nearest(&column.name, FIELDS.iter().map(|field| field.name));
        let meant = meant.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        bad_column(format!("the column `{}` is not a known field{meant}", clip(&column.name)))
    })?;
    let expected = match (name.field().shape, column.holds) {
        (_, ArrowHolds::Nothing) => return Ok(name),
        // Ids are often numbers where they come from.
        (Shape::Text | Shape::Digits | Shape::Decimal, ArrowHolds::Text | ArrowHolds::Numbers) => return Ok(name),
        (Shape::Time, ArrowHolds::Times | ArrowHolds::Text) => return Ok(name),
        (Shape::Word(_), ArrowHolds::Text) => return Ok(name),
        (Shape::Number, ArrowHolds::Numbers) => return Ok(name),
        (Shape::Flag, ArrowHolds::Flags) => return Ok(name),
        (Shape::Text | Shape::Word(_), _) => "text",
        (Shape::Digits, _) => "digits as text or a whole number",
        (Shape::Decimal, _) => "a number, or text that holds one",
        (Shape::Time, _) => "a timestamp, or text in RFC 3339",
        (Shape::Number, _) => "a number",
        (Shape::Flag, _) => "a boolean",
    };
    Err(bad_column(format!("the column `{}` must be {expected}, not {}", name.as_str(), column.data_type)))
}

fn bad_column(message: String) -> Problem {
    Problem::unprocessable(
        "bad_column",
        message,
        "name the columns like the fields of an event, each once; /openapi.json lists them",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fit_their_fields() {
        let check = |name: &str, holds: ArrowHolds, expect: Result<Name, &str>| {
            let column = ArrowColumn { name: name.to_owned(), holds, data_type: "Binary".to_owned() };
            match (field_of(&column), expect) {
                (Ok(found), Ok(expect)) => assert_eq!(found, expect),
                (Err(problem), Err(part)) => assert!(problem.message.contains(part), "{}", problem.message),
                (found, _) => panic!("{name} {holds:?}: {found:?}"),
            }
        };
        check("event_time", ArrowHolds::Times, Ok(Name::EventTime));
        check("event_time", ArrowHolds::Text, Ok(Name::EventTime));
        check("event_time", ArrowHolds::Numbers, Err("`event_time` must be a timestamp"));
        check("amount", ArrowHolds::Numbers, Ok(Name::Amount));
        check("contact", ArrowHolds::Numbers, Ok(Name::Contact));
        check("contact", ArrowHolds::Times, Err("must be text, not Binary"));
        check("machine", ArrowHolds::Flags, Ok(Name::Machine));
        check("machine", ArrowHolds::Text, Err("must be a boolean"));
        check("kind", ArrowHolds::Numbers, Err("must be text"));
        check("propensity", ArrowHolds::Nothing, Ok(Name::Propensity));
        check("curency", ArrowHolds::Text, Err("did you mean `currency`?"));
    }
}
