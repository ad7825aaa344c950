//! Turns a file's text into the values of an event's fields.

use api::fields::Shape;

/// A field's value, ready to be written as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    /// Something JSON writes without quotes: a number, `true`, `false`.
    Bare(String),
}

impl Value {
    pub(crate) fn as_text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Bare(text) => text,
        }
    }
}

/// How the file writes numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// `1234.50`
    Point,
    /// `1.234,50`: dots group thousands.
    Comma,
    /// A comma in texts; numbers that the file tells from text have a point: `1234,50` and `1234.5`.
    CommaInTexts,
}

/// The value of a field that is not a time.
pub(crate) fn value(shape: Shape, numbers: Numbers, text: &str) -> Result<Value, String> {
    Ok(match shape {
        Shape::Flag => Value::Bare(flag(text)?.to_string()),
        Shape::Decimal => Value::Text(plain(&decimal(numbers, text)?)),
        Shape::Number => {
            let number = decimal(numbers, text)?;
            let is_json = serde_json::from_str::<serde_json::Number>(&number).is_ok();
            Value::Bare(is_json.then_some(number).ok_or_else(|| format!("`{text}` is no number"))?)
        }
        Shape::Word(words) => Value::Text(word(&words(), text)),
        _ => Value::Text(text.to_owned()),
    })
}

fn flag(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "y" | "t" => Ok(true),
        "0" | "false" | "no" | "n" | "f" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false; write true, yes or 1, or else false, no or 0")),
    }
}

/// Words are compared without regard to case; what is none of them is left for the server to refuse.
fn word(words: &[&str], text: &str) -> String {
    let text = text.trim();
    let found = words.iter().find(|word| word.eq_ignore_ascii_case(text));
    found.map_or(text, |word| word).to_owned()
}

/// The number with a decimal point. What is no number is left as it is for the server to refuse, but a number that could
/// mean two things is refused here.
fn decimal(numbers: Numbers, text: &str) -> Result<String, String> {
    let text = text.trim();
    if numbers == Numbers::Point {
        return Ok(text.to_owned());
    }
    let Some((whole, fraction)) = text.split_once(',') else {
        return match numbers {
            Numbers::Comma if text.contains('.') => ungrouped(text),
            _ => Ok(text.to_owned()),
        };
    };
    let whole = if whole.contains('.') { ungrouped(whole)? } else { whole.to_owned() };
    Ok(format!("{whole}.{fraction}"))
}

/// `1.234.567` without its dots.
fn ungrouped(text: &str) -> Result<String, String> {
    let mut groups = text.trim_start_matches('-').split('.');
    let first = groups.next().unwrap_or_default();
    if (1..=3).contains(&first.len()) && groups.all(|group| group.len() == 3) {
        return Ok(text.replace('.', ""));
    }
    Err(format!("`{text}` is no number with a decimal comma, such as 1.234,50"))
}

/// The number without zeros that say nothing, so that `49.90`, `49.9` and `49.900` are the same amount.
fn plain(number: &str) -> String {
    let digits = number.strip_prefix('-').unwrap_or(number);
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    match number.split_once('.') {
        Some((_, fraction)) if is_plain && !fraction.is_empty() && !fraction.contains('.') => {
            number.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => number.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_get_a_decimal_point_and_no_idle_zeros() {
        let check = |numbers: Numbers, text: &str, expect: &str| {
            assert_eq!(value(Shape::Decimal, numbers, text), Ok(Value::Text(expect.to_owned())), "{text}");
        };
        check(Numbers::Point, " 49.90 ", "49.9");
        check(Numbers::Point, "1200", "1200");
        check(Numbers::Point, "7.00", "7");
        check(Numbers::Point, "1,234.50", "1,234.50"); // for the server to refuse
        check(Numbers::Point, "€ 5.00", "€ 5.00");
        check(Numbers::Comma, "49,90", "49.9");
        check(Numbers::Comma, "-1.234,50", "-1234.5");
        check(Numbers::Comma, "1.234.567", "1234567");
        check(Numbers::Comma, "1200", "1200");
        check(Numbers::CommaInTexts, "49.9", "49.9");
        check(Numbers::CommaInTexts, "1.234,5", "1234.5");
        for text in ["49.90", "1234.567,00", ".5", "1.23,4"] {
            assert!(value(Shape::Decimal, Numbers::Comma, text).is_err(), "{text}");
        }
    }

    #[test]
    fn shapes_decide_how_a_text_is_written() {
        let check = |shape: Shape, text: &str, expect: Option<Value>| {
            assert_eq!(value(shape, Numbers::Point, text).ok(), expect, "{text}");
        };
        let bare = |text: &str| Some(Value::Bare(text.to_owned()));
        let words = || vec!["hard_bounce", "delivered"];
        check(Shape::Flag, "Yes", bare("true"));
        check(Shape::Flag, "0", bare("false"));
        check(Shape::Flag, "2", None);
        check(Shape::Number, "0.25", bare("0.25"));
        check(Shape::Number, "a quarter", None);
        check(Shape::Word(words), " Delivered", Some(Value::Text("delivered".to_owned())));
        check(Shape::Word(words), "gone", Some(Value::Text("gone".to_owned())));
        check(Shape::Text, " as it is ", Some(Value::Text(" as it is ".to_owned())));
    }
}
