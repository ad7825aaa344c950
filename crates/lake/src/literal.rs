//! Values as SQL writes them, for queries that are put together here.

use vocabulary::Timestamp;

/// A text.
pub(crate) fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// A moment, of the type that columns of times have.
pub(crate) fn time(at: Timestamp) -> String {
    format!("arrow_cast('{at}', 'Timestamp(Microsecond, Some(\"UTC\"))')")
}
