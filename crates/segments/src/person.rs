//! What is asked of the contact as a person: age, birthday, registration and attributes of one's own.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::decimal::Decimal;
use crate::span::Written;

/// How many years old a contact is, both ends included, on the day of the moment in UTC. Born on 29 February, they are a year
/// older on 1 March where there is no 29 February.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Age {
    /// So old or older.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<u32>,
    /// So old or younger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u32>,
}

/// Who has birthday soon. Born on 29 February, they have it on 1 March where there is no 29 February, as with [`Age`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Birthday {
    /// On one of so many days, of which the first is the day of the moment in UTC: 1 is today, 7 is today and the six days after.
    pub within_days: u32,
}

/// When a contact was first known. Exactly one is given; see [`crate::Behaviour`] for what they mean.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registered {
    /// In the last days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_days: Option<u32>,
    /// In the last hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_hours: Option<u32>,
    /// So many days ago or earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_days: Option<u32>,
    /// Between so many days ago and so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub between_days: Option<[u32; 2]>,
}

impl Registered {
    pub(crate) fn written(&self) -> Written {
        Written {
            within_days: self.within_days,
            within_hours: self.within_hours,
            before_days: self.before_days,
            between_days: self.between_days,
        }
    }
}

/// An attribute of one's own, which is a text. One kind of question is asked of it: a text, a number, a date, yes or no, or
/// whether it is known. What cannot be read as a number or a date is as if unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// It is one of these texts, letter by letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is: Option<Vec<String>>,
    /// Whether the contact has it at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<bool>,
    /// Whether it says yes (`true`, `yes`, `1`) or no (`false`, `no`, `0`), whatever the case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_true: Option<bool>,
    /// It is this number or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Decimal>,
    /// It is this number or less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<Decimal>,
    /// It is more than this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_than: Option<Decimal>,
    /// It is less than this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub less_than: Option<Decimal>,
    /// It is a date before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Date>,
    /// It is a date after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Date>,
}
