//! Money as whole minor units with an ISO 4217 currency, and its conversion by dated rates.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// Rates are kept as whole billionths, so that a conversion gives the same cent everywhere.
const RATE_SCALE: i128 = 1_000_000_000;

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
    /// A rate that is not positive.
    #[error("the rate `{0}` must be a positive decimal number")]
    BadRate(String),
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

/// Dated exchange rates to one base currency: how many units of a currency one unit of the base buys, as the European
/// Central Bank publishes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates {
    base: Currency,
    billionths: BTreeMap<(Currency, Date), i128>,
}

impl Rates {
    /// No rates but the base currency's own.
    #[must_use]
    pub fn new(base: Currency) -> Self {
        Self { base, billionths: BTreeMap::new() }
    }

    /// The base currency.
    #[must_use]
    pub fn base(&self) -> Currency {
        self.base
    }

    /// Adds the rate of `currency` from `date` on: one unit of the base buys `rate` of it.
    ///
    /// # Errors
    /// [`MoneyError::BadRate`] when `rate` is not a positive decimal number.
    pub fn insert(&mut self, currency: Currency, date: Date, rate: &str) -> Result<(), MoneyError> {
        let bad = || MoneyError::BadRate(rate.to_owned());
        let (whole, fraction) = rate.split_once('.').unwrap_or((rate, ""));
        let fraction: String = fraction.chars().take(9).collect();
        let billionths: i128 = format!("{whole}{fraction:0<9}").parse().map_err(|_| bad())?;
        if billionths <= 0 {
            return Err(bad());
        }
        self.billionths.insert((currency, date), billionths);
        Ok(())
    }

    /// Converts to the base currency with the newest rate of that day or before, rounded half away from zero.
    /// `None` when no such rate is known.
    #[must_use]
    pub fn to_base(&self, money: Money, date: Date) -> Option<Money> {
        if money.currency == self.base {
            return Some(money);
        }
        let from = (money.currency, Date::MIN);
        let (_, rate) = self.billionths.range(from..=(money.currency, date)).next_back()?;
        let numerator = i128::from(money.minor) * RATE_SCALE * i128::from(self.base.minor_per_major());
        let denominator = rate * i128::from(money.currency.minor_per_major());
        let half = if numerator < 0 { -denominator / 2 } else { denominator / 2 };
        i64::try_from((numerator + half) / denominator).ok().map(|minor| Money { minor, currency: self.base })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

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

    #[test]
    fn the_newest_rate_before_the_day_converts() {
        let mut rates = Rates::new(currency("EUR"));
        rates.insert(currency("JPY"), date(2026, 1, 1), "160").unwrap();
        rates.insert(currency("JPY"), date(2026, 2, 1), "150.5").unwrap();
        let yen = Money { minor: 16_000, currency: currency("JPY") };
        let check = |day: Date, expect: Option<i64>| assert_eq!(rates.to_base(yen, day).map(|m| m.minor), expect, "{day}");
        check(date(2025, 12, 31), None);
        check(date(2026, 1, 15), Some(10_000));
        check(date(2026, 3, 1), Some(10_631));
        assert!(rates.insert(currency("USD"), date(2026, 1, 1), "-1").is_err());
    }
}
