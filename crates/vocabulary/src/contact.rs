//! A person as the lake knows them: a random key and attributes, never an address.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::Channel;

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

/// A contact without their addresses: the row of the lake's `contacts` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// The surrogate key.
    pub key: ContactKey,
    /// The channels for which an address is known, in their order.
    pub channels: Vec<Channel>,
    /// When the contact was first known.
    pub created_at: Timestamp,
    /// The time zone that their country or their number has, where nobody told theirs and there is only one.
    pub derived_time_zone: Option<String>,
    /// What is known of them.
    pub profile: Profile,
}

impl Contact {
    /// A contact of whom nothing else is known.
    #[must_use]
    pub fn new(key: ContactKey, created_at: Timestamp) -> Self {
        Self { key, channels: Vec::new(), created_at, derived_time_zone: None, profile: Profile::default() }
    }

    /// The time zone they told, else the derived one.
    #[must_use]
    pub fn time_zone(&self) -> Option<&str> {
        self.profile.time_zone.as_deref().or(self.derived_time_zone.as_deref())
    }
}

/// What is known of a person, without what names or reaches them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// ISO 3166 alpha-2 country, upper case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// ISO 3166-2 part of the country, such as `US-FL`; laws may differ between parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// BCP 47 language tag, such as `pt-BR`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// IANA time zone, such as `Asia/Shanghai`, as they or their shop told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// ISO 3166 alpha-2 country they buy in, where it is not the one they live in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub market: Option<String>,
    /// What they are interested in.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub interests: BTreeSet<String>,
    /// The customer's own marks.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// The device they use most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// When they were born.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub birth: Option<Birth>,
    /// Where they came from, such as a campaign or a partner: the acquisition source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The ISO 3166 alpha-2 country of their phone number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_country: Option<String>,
    /// The customer's own attributes, in name order.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

impl Profile {
    /// The market they buy in.
    #[must_use]
    pub fn market(&self) -> Option<&str> {
        self.market.as_deref().or(self.country.as_deref())
    }
}

/// ISO 3166-1 alpha-2 codes, and XK, which carriers and the European Union use for Kosovo.
const COUNTRIES: &str = "\
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC \
    CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD \
    GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH \
    KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW \
    MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC \
    SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY \
    UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW XK";

/// Whether this is the code of a country, in capital letters.
#[must_use]
pub fn is_country(code: &str) -> bool {
    code.len() == 2 && COUNTRIES.split(' ').any(|known| known == code)
}

/// A date of birth, or the year alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Birth {
    /// Only the year is known.
    Year(i16),
    /// The whole date.
    Date(Date),
}

/// Nobody who gets messages was born before.
pub const BIRTH_YEAR_MIN: i16 = 1900;

impl Birth {
    /// The year.
    #[must_use]
    pub fn year(self) -> i16 {
        match self {
            Self::Year(year) => year,
            Self::Date(date) => date.year(),
        }
    }

    /// The date, where it is known whole.
    #[must_use]
    pub fn date(self) -> Option<Date> {
        match self {
            Self::Year(_) => None,
            Self::Date(date) => Some(date),
        }
    }
}

impl FromStr for Birth {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let year = (text.len() == 4).then(|| text.parse().ok().map(Self::Year)).flatten();
        let date = || (text.len() == 10).then(|| text.parse().ok().map(Self::Date)).flatten();
        year.or_else(date).filter(|birth| birth.year() >= BIRTH_YEAR_MIN).ok_or_else(|| {
            format!("`{}` is no date of birth; write 1990-05-17 or 1990", text.chars().take(40).collect::<String>())
        })
    }
}

impl fmt::Display for Birth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Year(year) => year.fmt(f),
            Self::Date(date) => date.fmt(f),
        }
    }
}

impl TryFrom<String> for Birth {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Birth> for String {
    fn from(birth: Birth) -> String {
        birth.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_are_those_of_the_standard() {
        assert_eq!(COUNTRIES.split(' ').count(), 249 + 1);
        for (code, expect) in
            [("DE", true), ("GB", true), ("ZW", true), ("UK", false), ("de", false), ("E A", false), ("", false)]
        {
            assert_eq!(is_country(code), expect, "{code}");
        }
    }

    #[test]
    fn a_birth_is_a_date_or_a_year() {
        let check = |text: &str, expect: Option<(i16, bool)>| {
            let birth: Option<Birth> = text.parse().ok();
            assert_eq!(birth.map(|birth| (birth.year(), birth.date().is_some())), expect, "{text}");
            assert!(birth.is_none_or(|birth| birth.to_string() == text), "{text}");
        };
        check("1990", Some((1990, false)));
        check("2000-02-29", Some((2000, true)));
        for wrong in ["", "90", "1899", "1990-02-30", "1990-5-17", "17.05.1990", "1990-05-17T00:00:00Z", "19 9"] {
            check(wrong, None);
        }
    }
}
