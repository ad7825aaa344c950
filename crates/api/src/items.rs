//! Cuts the body of a batch into its items: the lines of NDJSON, the elements of a JSON array, or one object.
//!
//! An array is cut by counting brackets rather than by parsing it, so that one broken element does not take its
//! neighbours with it.

use crate::problem::Problem;

/// The largest body of a batch: 10,000 lines of a generous 3 KiB. Larger uploads are cut into several by the caller.
pub const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The most lines of a batch, so that one request holds the log's group commit for milliseconds and not for seconds.
pub const BATCH_LINES_MAX: usize = 10_000;
/// The longest line. An event is some hundred bytes; a line a thousand times longer is an accident.
pub const LINE_BYTES_MAX: usize = 1024 * 1024;

/// One item of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    /// The number of its line, or of the element in an array, from 1.
    pub(crate) line: usize,
    /// Its JSON.
    pub(crate) json: &'a [u8],
}

/// Cuts `body` into items. `lines` says that the caller declared NDJSON.
///
/// # Errors
/// A 422 when there is no item at all, or more than [`BATCH_LINES_MAX`].
pub(crate) fn items(body: &[u8], lines: bool) -> Result<Vec<Item<'_>>, Problem> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let found = match body.trim_ascii_start().first() {
        Some(b'[') => elements(body.trim_ascii()),
        Some(_) if !lines && is_one_value(body) => vec![Item { line: 1, json: body.trim_ascii() }],
        _ => split_lines(body),
    };
    counted(found)
}

/// Refuses a batch without an item, or with too many.
pub(crate) fn counted(found: Vec<Item<'_>>) -> Result<Vec<Item<'_>>, Problem> {
    if found.is_empty() {
        let hint = "send one JSON object per line (application/x-ndjson), or a JSON array of objects";
        return Err(Problem::unprocessable("empty_batch", "the body holds no line", hint));
    }
    if found.len() > BATCH_LINES_MAX {
        let message = format!("the batch has {} lines; the limit is {BATCH_LINES_MAX}", found.len());
        return Err(Problem::unprocessable("batch_too_long", message, "cut it into several requests; nothing of it was kept"));
    }
    Ok(found)
}

/// Whether the body is one JSON value written over several lines. The first line is tried first: in NDJSON it is
/// complete, and then the rest need not be looked at.
fn is_one_value(body: &[u8]) -> bool {
    let complete = |json: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(json).is_ok();
    let body = body.trim_ascii();
    let first = memchr::memchr(b'\n', body).map_or(body, |end| &body[..end]);
    first.len() < body.len() && !complete(first) && complete(body)
}

fn split_lines(body: &[u8]) -> Vec<Item<'_>> {
    let mut found = Vec::new();
    let mut from = 0;
    for (at, end) in memchr::memchr_iter(b'\n', body).chain([body.len()]).enumerate() {
        let json = body[from..end].trim_ascii();
        if !json.is_empty() {
            found.push(Item { line: at + 1, json });
        }
        from = end + 1;
    }
    found
}

/// The value of a member of a JSON object, cut out without parsing it. Names with escapes are not found.
pub(crate) fn member<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let object = object.strip_prefix(b"\xef\xbb\xbf").unwrap_or(object).trim_ascii();
    if object.first() != Some(&b'{') {
        return None;
    }
    let value = |item: Item<'a>| {
        let rest = item.json.strip_prefix(b"\"")?.strip_prefix(name.as_bytes())?.strip_prefix(b"\"")?;
        Some(rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii())
    };
    elements(object).into_iter().find_map(value)
}

/// The elements of a body that begins with `[`, or the members of one that begins with `{`. A body that ends too early gives what there is: its torn last element
/// is then reported like any broken line.
pub(crate) fn elements(body: &[u8]) -> Vec<Item<'_>> {
    let mut cut = Cut { body, from: 1, found: Vec::new() };
    let close = if body.first() == Some(&b'{') { b'}' } else { b']' };
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for (at, byte) in body.iter().enumerate().skip(1) {
        match (in_text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_text = !in_text,
            (true, _) => {}
            (false, b'{' | b'[') => depth += 1,
            (false, b',') if depth == 0 => cut.end_at(at, true),
            (false, byte) if depth == 0 && *byte == close => {
                cut.end_at(at, !cut.found.is_empty());
                cut.end_at(body.len(), false);
                return cut.found;
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            (false, _) => {}
        }
    }
    cut.end_at(body.len(), false);
    cut.found
}

/// The state of cutting an array.
struct Cut<'a> {
    body: &'a [u8],
    from: usize,
    found: Vec<Item<'a>>,
}

impl Cut<'_> {
    /// Ends the element at `at`. Nothing between two commas is an element too, and a broken one; nothing at the end is not.
    fn end_at(&mut self, at: usize, keep_empty: bool) {
        let json = self.body.get(self.from..at).unwrap_or_default().trim_ascii();
        if keep_empty || !json.is_empty() {
            self.found.push(Item { line: self.found.len() + 1, json });
        }
        self.from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(body: &str, lines: bool) -> Vec<(usize, String)> {
        let found = items(body.as_bytes(), lines).unwrap();
        found.into_iter().map(|item| (item.line, String::from_utf8(item.json.to_vec()).unwrap())).collect()
    }

    fn check(body: &str, lines: bool, expect: &[(usize, &str)]) {
        let expect: Vec<_> = expect.iter().map(|(line, json)| (*line, (*json).to_owned())).collect();
        assert_eq!(cut(body, lines), expect, "{body:?}");
    }

    #[test]
    fn lines_keep_their_numbers() {
        check("{\"a\":1}\r\n\n{\"b\":2}\n", true, &[(1, "{\"a\":1}"), (3, "{\"b\":2}")]);
        check("\u{feff}{\"a\":1}\n{\"b\":2}", false, &[(1, "{\"a\":1}"), (2, "{\"b\":2}")]);
        check("{\"a\":\n{\"b\":2}", false, &[(1, "{\"a\":"), (2, "{\"b\":2}")]);
    }

    #[test]
    fn one_object_may_span_lines() {
        check("{\n \"a\": 1\n}\n", false, &[(1, "{\n \"a\": 1\n}")]);
        check("{\"a\":1}", false, &[(1, "{\"a\":1}")]);
    }

    #[test]
    fn elements_stand_for_themselves() {
        check(r#" [{"a":[1,2]}, {"b":"],}"}] "#, false, &[(1, r#"{"a":[1,2]}"#), (2, r#"{"b":"],}"}"#)]);
        check(r#"[{"a":"\""},{b},{"c":1}]"#, false, &[(1, r#"{"a":"\""}"#), (2, "{b}"), (3, r#"{"c":1}"#)]);
        check(r#"[{"a":1},,{"c":1}]"#, false, &[(1, r#"{"a":1}"#), (2, ""), (3, r#"{"c":1}"#)]);
        check(r#"[{"a":1},{"b":"#, false, &[(1, r#"{"a":1}"#), (2, r#"{"b":"#)]);
        check(r#"[{"a":1},]"#, false, &[(1, r#"{"a":1}"#), (2, "")]);
        check(r#"[{"a":1}] tail"#, false, &[(1, r#"{"a":1}"#), (2, "tail")]);
    }

    #[test]
    fn members_are_cut_out() {
        let check = |body: &str, name: &str, expect: Option<&str>| {
            assert_eq!(member(body.as_bytes(), name), expect.map(str::as_bytes), "{body} {name}");
        };
        let body = r#" {"a" : [1, {"b": "}"}], "sentAt":"x,y", "n": null} "#;
        check(body, "a", Some(r#"[1, {"b": "}"}]"#));
        check(body, "sentAt", Some(r#""x,y""#));
        check(body, "n", Some("null"));
        check(body, "b", None);
        check(r#"{"batch":[{"a":1},"#, "batch", Some(r#"[{"a":1},"#));
        check("[1]", "a", None);
        check("", "a", None);
    }

    #[test]
    fn empty_and_endless_batches_are_refused() {
        let check = |body: &str, expect: &str| assert_eq!(items(body.as_bytes(), true).unwrap_err().kind, expect, "{:.20}", body);
        check("", "empty_batch");
        check(" \n\n", "empty_batch");
        check("[]", "empty_batch");
        check(&"{}\n".repeat(BATCH_LINES_MAX + 1), "batch_too_long");
    }
}
