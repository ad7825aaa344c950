//! Money as whole minor units with an ISO 4217 currency. [`crate::rates`] converts it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::rates::DIGITS_MAX;

/// Why an amount or a currency cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// No such currency.
    #[error("`{0}` is no ISO 4217 currency code; write three capital letters, such as EUR")]
    UnknownCurrency(String),
    /// Not a decimal number.
    #[error("`{0}` is no amount; write a decimal number with a point, such as 12.50")]
    NotANumber(String),
    /// More decimals than the currency has.
    #[error("`{amount}` has more than the {digits} decimals {currency} has")]
    TooPrecise {
        /// The amount as written.
        amount: String,
        /// Its currency.
        currency: Currency,
        /// How many decimals the currency has.
        digits: u32,
    },
    /// Larger than 2^63 minor units.
    #[error("`{0}` is too large")]
    TooLarge(String),
    /// A rate that is not a positive decimal number, or too long to be kept exactly.
    #[error("the rate `{0}` must be a positive decimal number with a point and at most {DIGITS_MAX} digits, such as 1.0842")]
    BadRate(String),
    /// A rate of the base currency that is not one.
    #[error("one {base} is one {base}, not `{rate}`: {base} is the base currency, and rates say what one {base} buys")]
    BaseRate {
        /// The base currency.
        base: Currency,
        /// The rate as written.
        rate: String,
    },
    /// Rates of two base currencies cannot be one table.
    #[error("rates to {given} cannot be merged into rates to {base}")]
    OtherBase {
        /// The base currency of the table.
        base: Currency,
        /// The base currency of what was to be merged.
        given: Currency,
    },
}

/// An ISO 4217 currency.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

impl Currency {
    /// Finds a currency by its code.
    ///
    /// # Errors
    /// [`MoneyError::UnknownCurrency`].
    pub fn new(code: &str) -> Result<Self, MoneyError> {
        let unknown = || MoneyError::UnknownCurrency(code.to_owned());
        let bytes: [u8; 3] = code.as_bytes().try_into().map_err(|_| unknown())?;
        digits_of(bytes).map(|_| Self(bytes)).ok_or_else(unknown)
    }

    /// The three letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???")
    }

    /// How many decimals the currency has: 2 for EUR, 0 for JPY, 3 for KWD.
    #[must_use]
    pub fn digits(self) -> u32 {
        digits_of(self.0).unwrap_or(2)
    }

    /// How many minor units make a major one.
    #[must_use]
    pub fn minor_per_major(self) -> i64 {
        10_i64.pow(self.digits())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for Currency {
    type Error = MoneyError;
    fn try_from(code: String) -> Result<Self, MoneyError> {
        Self::new(&code)
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> String {
        currency.as_str().to_owned()
    }
}

/// How many decimals the currency of that code has. `None` where there is none.
fn digits_of(code: [u8; 3]) -> Option<u32> {
    let place = place_of(code)?;
    digits_by_place()[place].checked_sub(1).map(u32::from)
}

/// The place of three capital letters among all such words, in order.
fn place_of(code: [u8; 3]) -> Option<usize> {
    let letters = code.iter().all(u8::is_ascii_uppercase);
    letters.then(|| code.iter().fold(0, |place, letter| place * 26 + usize::from(letter - b'A')))
}

/// The ISO 4217 list, read once from the embedded rule file: for each word of three letters one more than its decimals, 0
/// where it is no currency. It is asked twice for each amount that comes in.
fn digits_by_place() -> &'static [u8] {
    #[derive(Deserialize)]
    struct File {
        digits: BTreeMap<String, Vec<String>>,
    }
    static TABLE: OnceLock<Vec<u8>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let file: File =
            toml::from_str(include_str!("../../../data/rules/currencies.toml")).expect("data/rules/currencies.toml is valid");
        let mut table = vec![0; 26 * 26 * 26];
        for (digits, codes) in file.digits {
            let digits: u8 = digits.parse().expect("keys are digits");
            for code in codes {
                let place = code.as_bytes().try_into().ok().and_then(place_of).expect("codes are three capital letters");
                table[place] = digits + 1;
            }
        }
        table
    })
}

/// An amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// In minor units: cents, sen, fils.
    pub minor: i64,
    /// Of this currency.
    pub currency: Currency,
}

impl Money {
    /// Reads a decimal amount exactly: `12.5` EUR is 1250 minor units.
    ///
    /// # Errors
    /// [`MoneyError`] when it is no decimal number, has too many decimals or is too large.
    pub fn parse(amount: &str, currency: Currency) -> Result<Self, MoneyError> {
        let not_a_number = || MoneyError::NotANumber(amount.to_owned());
        let (negative, digits) = amount.strip_prefix('-').map_or((false, amount), |rest| (true, rest));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) || digits.ends_with('.') {
            return Err(not_a_number());
        }
        let fraction = fraction.trim_end_matches('0');
        let places = currency.digits();
        if fraction.len() > places as usize {
            return Err(MoneyError::TooPrecise { amount: amount.to_owned(), currency, digits: places });
        }
        let padding = places as usize - fraction.len();
        let written = whole.bytes().chain(fraction.bytes()).chain(std::iter::repeat_n(b'0', padding));
        let add = |sum: i64, digit: u8| sum.checked_mul(10)?.checked_add(i64::from(digit - b'0'));
        let minor = written.into_iter().try_fold(0, add).ok_or_else(|| MoneyError::TooLarge(amount.to_owned()))?;
        Ok(Self { minor: if negative { -minor } else { minor }, currency })
    }

    /// The amount in major units, for statistics and display.
    #[must_use]
    pub fn major(self) -> f64 {
        self.minor as f64 / self.currency.minor_per_major() as f64
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.currency.digits() as usize;
        write!(f, "{:.digits$} {}", self.major(), self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::new(code).unwrap()
    }

    #[test]
    fn amounts_are_read_exactly() {
        let check = |text: &str, code: &str, expect: Option<i64>| {
            assert_eq!(Money::parse(text, currency(code)).ok().map(|m| m.minor), expect, "{text} {code}");
        };
        check("12.5", "EUR", Some(1250));
        check("12.500", "EUR", Some(1250));
        check("0.29", "EUR", Some(29));
        check("-3", "EUR", Some(-300));
        check("1200", "JPY", Some(1200));
        check("1.5", "JPY", None);
        check("1.234", "KWD", Some(1234));
        check("12.", "EUR", None);
        check("1e3", "EUR", None);
        check("99999999999999999999", "EUR", None);
        check("92233720368547758.07", "EUR", Some(i64::MAX));
        check("92233720368547758.08", "EUR", None);
        check("007", "EUR", Some(700));
    }

    #[test]
    fn unknown_currencies_are_named() {
        assert_eq!(Currency::new("EURO").unwrap_err(), MoneyError::UnknownCurrency("EURO".into()));
        assert!(Currency::new("eur").is_err());
        assert!(Currency::new("ZZZ").is_err());
        assert_eq!([currency("EUR"), currency("JPY"), currency("KWD")].map(Currency::digits), [2, 0, 3]);
    }
}
