//! What an engine remembers of one contact between evaluations.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What is remembered of one contact for one trigger. The default knows nothing. In JSON short, to be stored and given back as it
/// is; no other meaning is promised. It belongs to the condition: where that changes, begin with the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// All up to here is decided. A fact that is not after it is late.
    #[serde(rename = "d", skip_serializing_if = "Option::is_none")]
    pub(crate) decided: Option<Timestamp>,
    /// How often the contact entered.
    #[serde(rename = "n", skip_serializing_if = "is_default")]
    pub(crate) entries: u32,
    /// When the contact last entered.
    #[serde(rename = "e", skip_serializing_if = "Option::is_none")]
    pub(crate) entered: Option<Timestamp>,
    /// When the entry began that has not ended.
    #[serde(rename = "p", skip_serializing_if = "Option::is_none")]
    pub(crate) pending: Option<Timestamp>,
    /// The last act that takes a contact out.
    #[serde(rename = "x", skip_serializing_if = "Option::is_none")]
    pub(crate) exit: Option<Timestamp>,

    /// The last act that begins a wait.
    #[serde(rename = "b", skip_serializing_if = "Option::is_none")]
    pub(crate) begin: Option<Timestamp>,
    /// Whether the end of that wait is still to come.
    #[serde(rename = "w", skip_serializing_if = "is_default")]
    pub(crate) waiting: bool,
    /// The last act that must not have happened since.
    #[serde(rename = "s", skip_serializing_if = "Option::is_none")]
    pub(crate) stop: Option<Timestamp>,

    /// What was paid and paid back when, in order; the total alone where it counts for ever.
    #[serde(rename = "m", skip_serializing_if = "Vec::is_empty")]
    pub(crate) payments: Vec<(Timestamp, i64)>,
    /// Whether that was more than the amount, when it was last looked at.
    #[serde(rename = "a", skip_serializing_if = "is_default")]
    pub(crate) above: bool,

    /// The last birthday that was kept, by its year.
    #[serde(rename = "y", skip_serializing_if = "Option::is_none")]
    pub(crate) birthday: Option<i16>,

    /// When the contact last saw which product.
    #[serde(rename = "v", skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) seen: BTreeMap<String, Timestamp>,

    /// When the contact last came into the segment or left it, and whether they are in it since.
    #[serde(rename = "g", skip_serializing_if = "Option::is_none")]
    pub(crate) member: Option<(Timestamp, bool)>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
