//! Reads a good line fast: one flat JSON object of known fields.
//!
//! This is not a JSON parser. It knows exactly the lines that senders write and gives up on everything else, which
//! [`crate::diagnose`] then reads with `serde_json`; a test holds the two to the same answers.

use crate::fields::{Name, Shape};
use crate::line::{Line, Value};

/// Digits of a number that are taken as they stand. Longer ones may mean another number than they show.
const DIGITS_MAX: usize = 15;

/// Reads `json` into `line`, which is empty. `None` when it is anything but an object of known fields, each once and with
/// a value of its shape; `line` is then half filled.
///
/// Text that holds escapes is set as it is written and noted in [`Line::escaped`].
pub(crate) fn scan<'a>(json: &'a str, line: &mut Line<'a>) -> Option<()> {
    let bytes = json.as_bytes();
    let mut at = spaces(bytes, expect(bytes, spaces(bytes, 0), b'{')?);
    if bytes.get(at) == Some(&b'}') {
        return end(bytes, at + 1);
    }
    loop {
        let from = expect(bytes, at, b'"')?;
        let to = special(bytes, from);
        // A name with escapes is not worth knowing here.
        at = spaces(bytes, expect(bytes, to, b'"')?);
        let name = Name::find(&bytes[from..to])?;
        at = spaces(bytes, expect(bytes, at, b':')?);
        if !line.see(name) {
            return None;
        }
        at = spaces(bytes, value(json, at, name, line)?);
        match bytes.get(at)? {
            b',' => at = spaces(bytes, at + 1),
            b'}' => return end(bytes, at + 1),
            _ => return None,
        }
    }
}

/// Nothing but white space may follow.
fn end(bytes: &[u8], at: usize) -> Option<()> {
    (spaces(bytes, at) == bytes.len()).then_some(())
}

/// Reads the value at `at` into `line` and gives where it ends.
fn value<'a>(json: &'a str, at: usize, name: Name, line: &mut Line<'a>) -> Option<usize> {
    let bytes = json.as_bytes();
    let shape = name.field().shape;
    match bytes.get(at)? {
        b'"' => {
            if !matches!(shape, Shape::Text | Shape::Word(_) | Shape::Time | Shape::Digits | Shape::Decimal) {
                return None;
            }
            let (to, escaped) = text_end(bytes, at + 1)?;
            line.set(name, Value::Text(&json[at + 1..to]));
            if escaped {
                line.escaped |= name.bit();
            }
            Some(to + 1)
        }
        b'-' | b'0'..=b'9' if matches!(shape, Shape::Decimal | Shape::Number) => {
            let to = number_end(bytes, at)?;
            line.set(name, Value::Text(&json[at..to]));
            Some(to)
        }
        b't' if matches!(shape, Shape::Flag) => word(bytes, at, b"true").inspect(|_| line.set(name, Value::Text("true"))),
        b'f' if matches!(shape, Shape::Flag) => word(bytes, at, b"false").inspect(|_| line.set(name, Value::Text("false"))),
        b'n' => word(bytes, at, b"null"),
        _ => None,
    }
}

fn word(bytes: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    bytes[at..].starts_with(word).then_some(at + word.len())
}

fn expect(bytes: &[u8], at: usize, byte: u8) -> Option<usize> {
    (bytes.get(at) == Some(&byte)).then_some(at + 1)
}

/// Where the white space from `at` on ends.
fn spaces(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\r' | b'\n') = bytes.get(at) {
        at += 1;
    }
    at
}

/// Where the text that begins at `from` ends, and whether it holds escapes. `None` when it never ends or holds what must
/// be escaped.
fn text_end(bytes: &[u8], from: usize) -> Option<(usize, bool)> {
    let mut at = special(bytes, from);
    let mut escaped = false;
    while bytes.get(at) == Some(&b'\\') {
        escaped = true;
        at = special(bytes, at + 2);
    }
    (bytes.get(at) == Some(&b'"')).then_some((at, escaped))
}

/// The first quote, backslash or control character from `at` on, eight bytes at a step; the end where there is none.
fn special(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    const SPACE: u64 = ONES * b' ' as u64;
    // The high bit of each zero byte; a byte above a zero byte may be marked in error, and only the lowest is used.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*eight);
        let control = word.wrapping_sub(SPACE) & !word & HIGH;
        let found = zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\'))) | control;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len())
}

/// Where the number at `at` ends. `None` when it is none, has an exponent or more digits than are taken as they stand.
fn number_end(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let from = at + usize::from(bytes.get(at) == Some(&b'-'));
    let whole = digits(from);
    if whole == 0 || (whole > 1 && bytes[from] == b'0') {
        return None;
    }
    let mut to = from + whole;
    let mut fraction = 0;
    if bytes.get(to) == Some(&b'.') {
        fraction = digits(to + 1);
        if fraction == 0 {
            return None;
        }
        to += 1 + fraction;
    }
    let is_plain = !matches!(bytes.get(to), Some(b'e' | b'E'));
    (is_plain && whole + fraction <= DIGITS_MAX).then_some(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_special_byte_is_found_wherever_it_lies() {
        for length in 0..20 {
            for at in 0..length {
                for byte in [b'"', b'\\', 0, b'\n', 0x1f] {
                    let mut text = vec![b'a'; length];
                    text[at] = byte;
                    assert_eq!(special(&text, 0), at, "{length} {byte}");
                    text[length - 1] = b'"';
                    assert_eq!(special(&text, 0), at, "{length} {byte}");
                }
            }
            assert_eq!(special(&vec![b' '; length], 0), length);
            assert_eq!(special(&vec![0xc3; length], 0), length);
        }
        assert_eq!(special(b"abc", 9), 9);
    }

    #[test]
    fn numbers_end_where_json_says() {
        let check = |text: &str, expect: Option<usize>| assert_eq!(number_end(text.as_bytes(), 0), expect, "{text}");
        check("0,", Some(1));
        check("-12.50}", Some(6));
        check("123456789012345", Some(15));
        check("1234567890123456", None);
        check("01", None);
        check("1.", None);
        check("1.x", None);
        check("-", None);
        check("1e3", None);
        check("1.5E3", None);
    }
}
