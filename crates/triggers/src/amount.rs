//! Amounts as they are written: an amount of 0.1 is not the nearest binary fraction.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use vocabulary::written::number_or_text;
use vocabulary::{Currency, Money, MoneyError};

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
        number_or_text(deserializer, "an amount such as 12.50", |text| Ok(Self(text.to_owned())))
    }
}
