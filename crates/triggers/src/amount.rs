//! Amounts as they are written: an amount of 0.1 is not the nearest binary fraction.

use std::fmt;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize};
use vocabulary::{Currency, Money, MoneyError};

/// Digits of a number that a 64-bit floating point number always gives back as they were written.
const FLOAT_DIGITS_MAX: usize = 15;

/// An amount in major units, as text until its currency is known. In YAML and JSON a number or a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Amount(String);

impl Amount {
    /// The amount in minor units.
    pub(crate) fn minor(&self, currency: Currency) -> Result<i64, MoneyError> {
        Money::parse(&self.0, currency).map(|money| money.minor)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrText)
    }
}

struct NumberOrText;

impl Visitor<'_> for NumberOrText {
    type Value = Amount;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount such as 12.50")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Amount, E> {
        Ok(Amount(text.to_owned()))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Amount, E> {
        Ok(Amount(number.to_string()))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Amount, E> {
        Ok(Amount(number.to_string()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Amount, E> {
        // The shortest text that is read as the same number: what was written, if it had few enough digits.
        let text = number.to_string();
        match text.bytes().filter(u8::is_ascii_digit).count() > FLOAT_DIGITS_MAX {
            true => Err(E::custom(format!("{text} has too many digits to be kept exactly as a number; write it in quotes"))),
            false => Ok(Amount(text)),
        }
    }
}
