//! All tables of the lake, and what a query sees of them: one moment, with what is acknowledged and not landed yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, SchemaRef};
use vocabulary::{EventKind, Timestamp};

use crate::delta::{Table, TableState};
use crate::landing::APPLICATION;
use crate::provider::{LakeTable, ReadFrom};
use crate::schema::COMMENT;
use crate::tail::{Tail, TailSegment};
use crate::{ColumnInfo, LakeError, TableInfo, TableKind};

/// Which moment of the lake a query reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AsOf {
    /// Everything acknowledged so far.
    #[default]
    Now,
    /// What was in the tables at a time.
    Time(Timestamp),
    /// These versions, and the newest of the tables that are not named.
    Versions(BTreeMap<String, i64>),
}

/// The tables of a lake.
pub(crate) struct Tables {
    /// One for each kind of event, in the order of [`EventKind::ALL`].
    pub(crate) events: Vec<Arc<Table>>,
    pub(crate) contacts: Arc<Table>,
    pub(crate) rates: Arc<Table>,
    places: BTreeMap<&'static str, Arc<ReadFrom>>,
}

impl Tables {
    pub(crate) fn new(events: Vec<Arc<Table>>, contacts: Arc<Table>, rates: Arc<Table>) -> Self {
        let all = events.iter().chain([&contacts, &rates]);
        let places = all.map(|table| (table.spec.name, Arc::new(ReadFrom::new(table.place.clone())))).collect();
        Self { events, contacts, rates, places }
    }

    /// All tables.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.events.iter().chain([&self.contacts, &self.rates])
    }

    /// Where the tables' files are read from.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Arc<ReadFrom>> {
        self.places.values()
    }

    /// What is landed.
    pub(crate) fn landed(&self) -> Snapshot {
        self.snapshot(&[])
    }

    /// Everything acknowledged so far. The tail is looked at first: what lands meanwhile is then seen in its table, and
    /// left out of the tail because the table records it.
    pub(crate) fn now(&self, tail: &Tail) -> Snapshot {
        let segments = tail.segments();
        self.snapshot(&segments)
    }

    fn snapshot(&self, segments: &[TailSegment]) -> Snapshot {
        let mut tables = BTreeMap::new();
        for (kind, table) in self.events.iter().enumerate() {
            let state = table.state();
            let recorded = state.recorded(APPLICATION);
            let fresh = segments.iter().filter(|segment| segment.number > recorded);
            let batches = fresh.flat_map(|segment| segment.batches[kind].iter().cloned()).collect();
            tables.insert(table.spec.name, self.read(table, state, batches));
        }
        for table in [&self.contacts, &self.rates] {
            tables.insert(table.spec.name, self.read(table, table.state(), Vec::new()));
        }
        Snapshot(tables)
    }

    /// The tables as they were.
    pub(crate) async fn as_of(&self, as_of: &AsOf, tail: &Tail) -> Result<Snapshot, LakeError> {
        let mut snapshot = self.now(tail);
        if let AsOf::Versions(versions) = as_of {
            for name in versions.keys() {
                if !snapshot.0.contains_key(name.as_str()) {
                    let names: Vec<&str> = snapshot.0.keys().copied().collect();
                    return Err(LakeError::NoVersion(format!("there is no table `{name}`; the tables are {}", names.join(", "))));
                }
            }
        }
        for table in self.all() {
            let version = match as_of {
                AsOf::Now => return Ok(snapshot),
                AsOf::Time(at) => table.version_at(*at).await?,
                AsOf::Versions(versions) => match versions.get(table.spec.name) {
                    Some(version) => *version,
                    None => continue,
                },
            };
            let state = table.at_version(version).await?;
            snapshot.0.insert(table.spec.name, self.read(table, state, Vec::new()));
        }
        Ok(snapshot)
    }

    /// Puts another state of a table into a snapshot, without what is not landed.
    pub(crate) fn replace(&self, snapshot: &mut Snapshot, table: &Table, state: Arc<TableState>) {
        snapshot.0.insert(table.spec.name, self.read(table, state, Vec::new()));
    }

    fn read(&self, table: &Table, state: Arc<TableState>, tail: Vec<arrow::array::RecordBatch>) -> TableSnapshot {
        TableSnapshot {
            provider: LakeTable::new(state, tail, self.places[table.spec.name].clone()),
            schema: table.spec.schema.clone(),
            comment: table.spec.comment,
        }
    }
}

/// The table of this kind's events.
pub(crate) fn kind_of(table: &str) -> Option<EventKind> {
    EventKind::ALL.iter().copied().find(|kind| kind.table() == table)
}

/// One table as SQL sees it.
#[derive(Clone)]
pub(crate) struct TableSnapshot {
    pub(crate) provider: LakeTable,
    schema: SchemaRef,
    comment: &'static str,
}

impl TableSnapshot {
    /// What a column holds.
    pub(crate) fn comment_of(&self, column: &str) -> Option<&str> {
        self.schema.field_with_name(column).ok()?.metadata().get(COMMENT).map(String::as_str)
    }
}

/// All tables as SQL sees them, by name. It never changes.
#[derive(Clone, Default)]
pub(crate) struct Snapshot(pub(crate) BTreeMap<&'static str, TableSnapshot>);

impl Snapshot {
    pub(crate) fn versions(&self) -> BTreeMap<String, i64> {
        self.0.iter().map(|(name, table)| ((*name).to_owned(), table.provider.version())).collect()
    }

    /// The version of one table, by its name.
    pub(crate) fn version(&self, table: &str) -> i64 {
        self.0.get(table).map_or(0, |table| table.provider.version())
    }

    pub(crate) fn describe(&self) -> Vec<TableInfo> {
        let describe = |(name, table): (&&str, &TableSnapshot)| TableInfo {
            name: (*name).to_owned(),
            kind: TableKind::Table,
            version: Some(table.provider.version()),
            rows: Some(table.provider.rows()),
            comment: table.comment.to_owned(),
            columns: columns_of(&table.schema),
        };
        self.0.iter().map(describe).collect()
    }
}

/// The columns of a table with what they hold.
pub(crate) fn columns_of(schema: &SchemaRef) -> Vec<ColumnInfo> {
    let describe = |field: &Field| ColumnInfo {
        name: field.name().clone(),
        data_type: type_name(field.data_type()),
        comment: field.metadata().get(COMMENT).cloned().unwrap_or_default(),
    };
    schema.fields().iter().map(|field| describe(field)).collect()
}

/// The name of a type that people know; Arrow's own spelling of a map fills three lines.
fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(..) => "timestamp with time zone".to_owned(),
        DataType::Map(..) => "map of text to text".to_owned(),
        DataType::List(..) => "list of text".to_owned(),
        other => other.to_string(),
    }
}
