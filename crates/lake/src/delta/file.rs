//! One data file of a table, as the table's log describes it.

use std::collections::{BTreeMap, HashMap};

use arrow::datatypes::Date32Type;
use deltalake_core::kernel::{Add, Remove};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use vocabulary::Timestamp;

use crate::schema::EVENT_DATE;

/// A data file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DataFile {
    /// Relative to the table.
    pub(crate) path: String,
    /// The day all its rows belong to; `None` in a table without partitions.
    pub(crate) date: Option<Date>,
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
    pub(crate) modified_ms: i64,
    pub(crate) stats: FileStats,
}

/// What is known of the values in a file, in Delta's own JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct FileStats {
    pub(crate) num_records: u64,
    /// By column. Texts may be cut.
    pub(crate) min_values: BTreeMap<String, Value>,
    /// By column. Texts may be cut and then raised, so that no value is above them.
    pub(crate) max_values: BTreeMap<String, Value>,
    /// By column.
    pub(crate) null_count: BTreeMap<String, Value>,
}

impl DataFile {
    pub(crate) fn of(add: &Add) -> Result<Self, String> {
        let path = &add.path;
        if add.deletion_vector.is_some() {
            return Err(format!(
                "the file {path} has a deletion vector, which Sendlab does not read; purge it (REORG ... APPLY (PURGE))"
            ));
        }
        let stats: FileStats = match &add.stats {
            Some(text) => {
                serde_json::from_str(text).map_err(|error| format!("the statistics of {path} cannot be read: {error}"))?
            }
            None => return Err(format!("the file {path} was added without statistics, so that its rows cannot be counted")),
        };
        let date = match add.partition_values.get(EVENT_DATE) {
            Some(Some(text)) => Some(text.parse().map_err(|error| format!("the day of {path} cannot be read: {error}"))?),
            _ => None,
        };
        Ok(Self {
            path: path.clone(),
            date,
            bytes: u64::try_from(add.size).unwrap_or_default(),
            rows: stats.num_records,
            modified_ms: add.modification_time,
            stats,
        })
    }

    /// The day as days since 1970, which is how Arrow keeps it.
    pub(crate) fn day(&self) -> Option<<Date32Type as arrow::datatypes::ArrowPrimitiveType>::Native> {
        self.date.map(crate::rows::days_since_epoch)
    }

    fn partition_values(&self) -> HashMap<String, Option<String>> {
        self.date.map(|date| (EVENT_DATE.to_owned(), Some(date.to_string()))).into_iter().collect()
    }
}

/// The action that adds a file.
pub(crate) fn add_of(file: &DataFile, data_change: bool) -> Add {
    Add {
        path: file.path.clone(),
        partition_values: file.partition_values(),
        size: file.bytes as i64,
        modification_time: file.modified_ms,
        data_change,
        stats: serde_json::to_string(&file.stats).ok(),
        ..Add::default()
    }
}

/// The action that removes a file.
pub(crate) fn remove_of(file: &DataFile, at: Timestamp, data_change: bool) -> Remove {
    Remove {
        path: file.path.clone(),
        data_change,
        deletion_timestamp: Some(at.as_millisecond()),
        extended_file_metadata: Some(true),
        partition_values: Some(file.partition_values()),
        size: Some(file.bytes as i64),
        ..Remove::default()
    }
}
