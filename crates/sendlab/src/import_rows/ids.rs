//! Ids for rows that have none: the same row of the same file gets the same id whenever it is imported.
//!
//! An id follows from what the row says, not from where it stands, so that a file that has grown at either end, or the
//! same rows in another format, bring nothing twice. Rows that say the same are told apart by counting them.

use std::collections::{HashMap, HashSet};

use super::values::Value;

/// Gives ids to the rows of one file, which must come in the file's order.
///
/// It needs 10 to 20 bytes a row. A 64-bit fingerprint that two different rows share only counts the second as a
/// repetition: its id is still its own, and still the same at the next import of the file.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    seen: HashSet<u64>,
    repeated: HashMap<u64, u32>,
}

impl Ids {
    /// The id of the next row, from its fields in the order of their names.
    pub(crate) fn next(&mut self, fields: &[(&'static str, Value)]) -> String {
        let mut hasher = blake3::Hasher::new();
        for (name, value) in fields {
            // Lengths first, so that no two lists of fields are the same bytes.
            for text in [name, value.as_text()] {
                hasher.update(&(text.len() as u64).to_le_bytes());
                hasher.update(text.as_bytes());
            }
        }
        let content = hasher.finalize();
        let mut fingerprint = [0; 8];
        fingerprint.copy_from_slice(&content.as_bytes()[..8]);
        let occurrence = self.count(u64::from_le_bytes(fingerprint));
        hasher.update(&u64::MAX.to_le_bytes());
        hasher.update(&occurrence.to_le_bytes());
        format!("import:{}", &hasher.finalize().to_hex()[..32])
    }

    /// How many rows with this fingerprint came before.
    fn count(&mut self, fingerprint: u64) -> u32 {
        if self.seen.insert(fingerprint) {
            return 0;
        }
        let count = self.repeated.entry(fingerprint).or_insert(0);
        *count += 1;
        *count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&'static str, &str)]) -> Vec<(&'static str, Value)> {
        pairs.iter().map(|(name, text)| (*name, Value::Text((*text).to_owned()))).collect()
    }

    #[test]
    fn the_same_rows_get_the_same_ids_wherever_they_stand() {
        let (a, b) = (fields(&[("contact", "c1"), ("kind", "open")]), fields(&[("contact", "c2"), ("kind", "open")]));
        let ids = |rows: &[&Vec<_>]| {
            let mut ids = Ids::default();
            rows.iter().map(|row| ids.next(row)).collect::<Vec<_>>()
        };
        let [first, second, other]: [String; 3] = ids(&[&a, &a, &b]).try_into().unwrap();
        assert_eq!(ids(&[&b, &a, &a]), [other.clone(), first.clone(), second.clone()]);
        assert!(first != second && first != other && first.len() == 39, "{first} {second} {other}");
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let id = |pairs: &[(&'static str, &str)]| Ids::default().next(&fields(pairs));
        assert_ne!(id(&[("text", "ab"), ("url", "c")]), id(&[("text", "a"), ("url", "bc")]));
        assert_ne!(id(&[("text", "a")]), id(&[("url", "a")]));
        // Ids are kept for ever: another recipe would bring every file twice.
        assert_eq!(id(&[("contact", "c1"), ("kind", "open")]), "import:88dec9b80d3db1fd002b25a411785031");
    }
}
