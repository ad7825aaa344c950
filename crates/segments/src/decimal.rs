//! Decimal numbers as they are written: an amount of 0.1 is not the nearest binary fraction.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use vocabulary::written::number_or_text;

use crate::limits::{FRACTION_DIGITS_MAX, WHOLE_DIGITS_MAX};

/// A decimal number, kept exactly. In YAML and JSON a number or a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Decimal(String);

impl Decimal {
    /// Reads a number such as `12.50` or `-3`. It is kept in its shortest form.
    ///
    /// # Errors
    /// What is wrong with it and what to write instead.
    pub fn new(text: &str) -> Result<Self, String> {
        let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) {
            return Err(format!("`{text}` is no decimal number; write digits with a point, such as 12.50"));
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        if whole.len() > WHOLE_DIGITS_MAX || fraction.len() > FRACTION_DIGITS_MAX {
            return Err(format!(
                "`{text}` is too long; the limit is {WHOLE_DIGITS_MAX} digits before the point and {FRACTION_DIGITS_MAX} after it"
            ));
        }
        let sign = if whole.is_empty() && fraction.is_empty() { "" } else { sign };
        let whole = if whole.is_empty() { "0" } else { whole };
        let point = if fraction.is_empty() { "" } else { "." };
        Ok(Self(format!("{sign}{whole}{point}{fraction}")))
    }

    /// The number in its shortest form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number in units of its last possible digit, to compare by.
    pub(crate) fn scaled(&self) -> i128 {
        let (whole, fraction) = self.0.split_once('.').unwrap_or((&self.0, ""));
        let digits = format!("{whole}{fraction:0<FRACTION_DIGITS_MAX$}");
        digits.parse().expect("a decimal has few enough digits")
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number_or_text(deserializer, "a decimal number such as 12.50", Self::new)
    }
}
