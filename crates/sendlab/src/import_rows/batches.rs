//! Cuts a file into requests.

use std::collections::BTreeMap;

use api::{BODY_BYTES_MAX, LINE_BYTES_MAX};
use futures::StreamExt as _;
use lake::{FileRows, LakeError, TextRow};
use serde_json::Value as Json;

use super::ids::Ids;
use super::noun::Noun;
use super::plan::{Cells, Fault, Fields, Plan};
use super::rejects::Rejected;
use super::values::Value;

/// The lines of one request, and what is needed when its answer comes.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// NDJSON.
    pub(crate) body: Vec<u8>,
    /// The rows of the lines, to report those that the server rejects.
    pub(crate) sent: Vec<(u64, TextRow)>,
    /// Rows that could not be made into a line.
    pub(crate) rejected: Vec<Rejected>,
    /// Rows in which nothing stands.
    pub(crate) empty: u64,
    /// Rows with a time that clocks showed twice.
    pub(crate) twice: u64,
    /// The last row that is dealt with when this request is.
    pub(crate) last_row: u64,
    /// How much of the file was read by then.
    pub(crate) position: u64,
}

/// Reads rows and makes requests of them.
pub(crate) struct Batches {
    file: FileRows,
    lines: bool,
    plan: Plan,
    ids: Ids,
    /// Rows that an earlier import has dealt with: they are read for the ids of those behind them.
    skip: u64,
    rows_max: usize,
    ready: std::vec::IntoIter<TextRow>,
    number: u64,
    failure: Option<LakeError>,
    /// A line that found no room in the request before.
    left: Option<(Vec<u8>, u64, TextRow)>,
}

impl Batches {
    /// `skip` rows are dealt with already; a request has at most `rows_max` lines.
    pub(crate) fn new(file: FileRows, lines: bool, plan: Plan, skip: u64, rows_max: usize) -> Self {
        let ready = Vec::new().into_iter();
        Self { file, lines, plan, ids: Ids::default(), skip, rows_max, ready, number: 0, failure: None, left: None }
    }

    /// The next request; what was read before a failure comes before the failure.
    pub(crate) async fn next(&mut self) -> Option<Result<Batch, LakeError>> {
        if let Some(failure) = self.failure.take() {
            self.ready = Vec::new().into_iter();
            return Some(Err(failure));
        }
        let mut batch = Batch { last_row: self.number, ..Batch::default() };
        let mut has_any = false;
        if let Some((line, row, values)) = self.left.take() {
            batch.put(line, row, values);
            has_any = true;
        }
        // A file of nothing but bad rows must not become one endless batch.
        while batch.sent.len() + batch.rejected.len() < self.rows_max && self.left.is_none() {
            let Some(row) = self.row().await else { break };
            has_any = true;
            self.number += 1;
            match row {
                Ok(values) => self.take(values, &mut batch),
                Err(LakeError::BadRow { line, why, values, .. }) => {
                    self.reject(&mut batch, Fault::new("", format!("line {line} {why}")), values);
                }
                Err(error) => {
                    self.number -= 1;
                    self.failure = Some(error);
                    break;
                }
            }
            batch.last_row = if self.left.is_some() { self.number - 1 } else { self.number };
        }
        batch.position = self.file.progress.done();
        if has_any && batch.last_row > 0 {
            return Some(Ok(batch));
        }
        self.failure.take().map(Err)
    }

    async fn row(&mut self) -> Option<Result<TextRow, LakeError>> {
        loop {
            if let Some(row) = self.ready.next() {
                return Some(Ok(row));
            }
            match self.file.batches.next().await? {
                Ok(rows) => self.ready = rows.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Makes a line of a row, or a fault.
    fn take(&mut self, values: TextRow, batch: &mut Batch) {
        let skipped = self.number <= self.skip;
        if values.iter().all(|value| value.as_deref().is_none_or(|text| text.trim().is_empty())) {
            batch.empty += u64::from(!skipped);
            return;
        }
        let (fields, twice) = match self.fields(&values) {
            Ok(read) => read,
            Err(fault) => return self.reject(batch, fault, values),
        };
        let line = line(&fields, (self.plan.noun == Noun::Event).then_some(&mut self.ids));
        if skipped {
            return;
        }
        if line.len() > LINE_BYTES_MAX {
            let why = format!("the line is {} bytes long; the limit is {LINE_BYTES_MAX}", line.len());
            return self.reject(batch, Fault::new("", why), values);
        }
        batch.twice += u64::from(twice);
        if batch.body.len() + line.len() > BODY_BYTES_MAX {
            self.left = Some((line, self.number, values));
        } else {
            batch.put(line, self.number, values);
        }
    }

    fn fields(&self, values: &[Option<String>]) -> Result<(Fields, bool), Fault> {
        if !self.lines {
            return self.plan.read(self.number, Cells::Row(values));
        }
        let text = values.first().and_then(Option::as_deref).unwrap_or_default();
        let members = members(text).map_err(|why| Fault::new("", why))?;
        self.plan.read(self.number, Cells::Object(&members))
    }

    fn reject(&self, batch: &mut Batch, fault: Fault, values: TextRow) {
        if self.number > self.skip {
            batch.rejected.push(Rejected { row: self.number, fault, values });
        }
    }
}

impl Batch {
    fn put(&mut self, line: Vec<u8>, row: u64, values: TextRow) {
        self.body.extend(line);
        self.sent.push((row, values));
        self.last_row = row;
    }
}

/// The fields as one line of JSON; an event without an id gets one of `ids`.
fn line(fields: &Fields, ids: Option<&mut Ids>) -> Vec<u8> {
    let mut line = Vec::with_capacity(256);
    let mut put = |name: &str, value: &Value| {
        line.push(if line.is_empty() { b'{' } else { b',' });
        line.extend(format!("\"{name}\":").bytes());
        match value {
            Value::Bare(text) => line.extend(text.bytes()),
            Value::Text(text) => line.extend(Json::from(text.as_str()).to_string().bytes()),
        }
    };
    if let Some(ids) = ids.filter(|_| !fields.iter().any(|(name, _)| *name == "event_id")) {
        put("event_id", &Value::Text(ids.next(fields)));
    }
    for (name, value) in fields {
        put(name, value);
    }
    line.extend(b"}\n");
    line
}

/// The members of a JSON object as text, those of objects within it with their path: `customer.id`.
pub(crate) fn members(line: &str) -> Result<BTreeMap<String, String>, String> {
    match serde_json::from_str(line) {
        Ok(Json::Object(map)) => {
            let mut found = BTreeMap::new();
            flatten("", map, &mut found);
            Ok(found)
        }
        Ok(_) => Err("the line is no JSON object".to_owned()),
        Err(error) => Err(format!("the line is no JSON: {error}")),
    }
}

fn flatten(path: &str, map: serde_json::Map<String, Json>, found: &mut BTreeMap<String, String>) {
    for (name, value) in map {
        let name = if path.is_empty() { name } else { format!("{path}.{name}") };
        match value {
            Json::Null => {}
            Json::Object(map) => flatten(&name, map, found),
            Json::String(text) if text.trim().is_empty() => {}
            Json::String(text) => drop(found.insert(name, text)),
            other => drop(found.insert(name, other.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_members_have_a_path() {
        let found =
            members(r#"{"id": 7, "total": 49.90, "who": {"id": "c1", "vip": true, "none": null}, "tags": ["a"], "e": " "}"#);
        let found: Vec<_> = found.unwrap().into_iter().map(|(name, text)| format!("{name}={text}")).collect();
        assert_eq!(found, ["id=7", "tags=[\"a\"]", "total=49.9", "who.id=c1", "who.vip=true"]);
        assert_eq!(members("[1]").unwrap_err(), "the line is no JSON object");
        assert!(members("{\"a\":").unwrap_err().starts_with("the line is no JSON: EOF"));
    }

    #[test]
    fn a_line_is_json_whatever_its_texts_hold() {
        let text = |text: &str| Value::Text(text.to_owned());
        let fields = vec![("event_id", text("a\"b\n")), ("machine", Value::Bare("true".to_owned())), ("text", text("早"))];
        let line = line(&fields, Some(&mut Ids::default()));
        assert_eq!(String::from_utf8(line).unwrap(), "{\"event_id\":\"a\\\"b\\n\",\"machine\":true,\"text\":\"早\"}\n");
    }
}
