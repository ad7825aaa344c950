//! Values as SQL writes them, for queries that are put together here.

use std::fmt::Display;

use vocabulary::Timestamp;

/// A text.
pub(crate) fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// A moment, of the type that columns of times have.
pub(crate) fn time(at: Timestamp) -> String {
    format!("arrow_cast('{at}', 'Timestamp(Microsecond, Some(\"UTC\"))')")
}

/// The condition that a row is about one of these contacts, of whom there is at least one.
pub(crate) fn among(contacts: &[impl Display]) -> String {
    let keys: Vec<String> = contacts.iter().map(ToString::to_string).collect();
    format!("contact_key IN ({})", keys.join(", "))
}
