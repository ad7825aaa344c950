//! A person as the lake knows them: a random key and attributes, never an address.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The surrogate key of a contact: random, positive and below 2^63, so that it fits the signed 64-bit integers of every
/// reader of the lake. In JSON it is a string of decimal digits, because JavaScript rounds large numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContactKey(i64);

impl ContactKey {
    /// Makes a key of 64 random bits; the sign bit is cleared and zero is avoided.
    #[must_use]
    pub fn from_random(bits: u64) -> Self {
        Self(((bits >> 1) as i64).max(1))
    }

    /// Reads a stored key. `None` when it is not positive.
    #[must_use]
    pub fn from_i64(value: i64) -> Option<Self> {
        (value > 0).then_some(Self(value))
    }

    /// The key as a number.
    #[must_use]
    pub fn as_i64(self) -> i64 {
        self.0
    }

    /// The key as bytes, for hashing.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for ContactKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for ContactKey {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
            .ok()
            .and_then(Self::from_i64)
            .ok_or_else(|| format!("`{text}` is no contact key; it is a positive whole number"))
    }
}

impl From<ContactKey> for String {
    fn from(key: ContactKey) -> String {
        key.0.to_string()
    }
}

/// What is known of a contact without their address: the row of the lake's `contacts` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// The surrogate key.
    pub key: ContactKey,
    /// ISO 3166 alpha-2 country, upper case, which is also the market.
    pub country: Option<String>,
    /// BCP 47 language tag, such as `pt-BR`.
    pub language: Option<String>,
    /// IANA time zone, such as `Asia/Shanghai`.
    pub time_zone: Option<String>,
    /// The customer's own attributes, in name order.
    pub attributes: BTreeMap<String, String>,
}
