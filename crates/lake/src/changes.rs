//! What came into the tables of events since they were last looked at, each event once: by the commits that landed it, so that
//! merges, erasures and new layouts in between do not matter.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use datafusion::prelude::SessionContext;
use deltalake_core::kernel::Action;
use deltalake_core::logstore::get_actions;
use vocabulary::{ContactKey, Timestamp};

use crate::delta::{DataFile, Table, TableState, commit_path};
use crate::landing::APPLICATION;
use crate::session::{Asked, Group, each_batch};
use crate::tables::Snapshot;
use crate::texts::Texts;
use crate::{Lake, LakeError, literal};

/// What contacts did, of the tables that a query reads: words, amounts and products.
const FACTS: &str = include_str!("sql/facts.sql");

/// What came in, up to certain versions of the tables of events.
pub struct Changes {
    snapshot: Snapshot,
    /// The version of each table of events up to which it goes; where to begin the next time.
    pub versions: BTreeMap<String, i64>,
}

impl std::fmt::Debug for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Changes").field("versions", &self.versions).finish_non_exhaustive()
    }
}

/// Something that a contact did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactRow {
    /// Who.
    pub contact: ContactKey,
    /// When.
    pub at: Timestamp,
    /// What: `ordered`, `opened`, `clicked`, `unsubscribed`, `complained`, `browsed` or `carted`.
    pub what: Arc<str>,
    /// What was paid for an order, in minor units of the base currency; negative when it was paid back, 0 without a rate.
    pub amount: i64,
    /// The product that was looked at or put in the cart.
    pub product: Option<Arc<str>>,
}

/// See [`Lake::changes`].
pub(crate) async fn changes(lake: &Lake, since: Option<&BTreeMap<String, i64>>) -> Result<Changes, LakeError> {
    lake.land().await?;
    let tables = &lake.tables;
    let mut snapshot = tables.landed();
    let mut versions = BTreeMap::new();
    for table in &tables.events {
        let state = table.refresh().await?;
        versions.insert(table.spec.name.to_owned(), state.version);
        let Some(since) = since else { continue };
        let seen = since.get(table.spec.name).copied().unwrap_or(0);
        tables.replace(&mut snapshot, table, Arc::new(landed_since(table, &state, seen).await?));
    }
    Ok(Changes { snapshot, versions })
}

/// The state of a table as if it had nothing but what was landed after a version.
async fn landed_since(table: &Table, state: &TableState, seen: i64) -> Result<TableState, LakeError> {
    let mut files = BTreeMap::new();
    for version in seen + 1..=state.version {
        let bytes = table.place.get(&commit_path(version)).await?.ok_or_else(|| {
            let why = format!("version {version} of the table {} is no longer kept", table.spec.name);
            LakeError::NoVersion(why)
        })?;
        let actions = get_actions(version as u64, &bytes).map_err(LakeError::table("read a commit of", table.spec.name))?;
        let is_landing = |action: &Action| matches!(action, Action::Txn(record) if record.app_id == APPLICATION);
        if !actions.iter().any(is_landing) {
            continue;
        }
        for action in &actions {
            if let Action::Add(add) = action {
                let file =
                    DataFile::of(add).map_err(|why| LakeError::table("read", table.spec.name)(std::io::Error::other(why)))?;
                files.insert(file.path.clone(), Arc::new(file));
            }
        }
    }
    Ok(state.with_files(files))
}

/// The files that a commit brought with new rows, which are none where it only merged files. `None` where it changed rows or took some
/// out, and where it is no longer kept.
pub(crate) async fn added_by(table: &Table, version: i64) -> Result<Option<Vec<DataFile>>, LakeError> {
    let Some(bytes) = table.place.get(&commit_path(version)).await? else { return Ok(None) };
    let actions = get_actions(version as u64, &bytes).map_err(LakeError::table("read a commit of", table.spec.name))?;
    let is_landing = |action: &Action| matches!(action, Action::Txn(record) if record.app_id == APPLICATION);
    let is_landed = actions.iter().any(is_landing);
    let mut files = Vec::new();
    for action in &actions {
        match action {
            Action::Add(add) if is_landed => {
                let refused = |why: String| LakeError::table("read", table.spec.name)(std::io::Error::other(why));
                files.push(DataFile::of(add).map_err(refused)?);
            }
            Action::Add(add) if add.data_change => return Ok(None),
            Action::Remove(remove) if remove.data_change => return Ok(None),
            _ => {}
        }
    }
    Ok(Some(files))
}

/// See [`Lake::facts`].
pub(crate) async fn facts(lake: &Lake, changes: &Changes, words: &[&str]) -> Result<Vec<FactRow>, LakeError> {
    asked(lake, &changes.snapshot, words, "true").await
}

/// See [`Lake::facts_of`].
pub(crate) async fn facts_of(
    lake: &Lake,
    contacts: &[ContactKey],
    words: &[&str],
    since: Timestamp,
) -> Result<Vec<FactRow>, LakeError> {
    if contacts.is_empty() {
        return Ok(Vec::new());
    }
    let which = format!("event_time > {} AND {}", literal::time(since), literal::among(contacts));
    asked(lake, &lake.snapshot(), words, &which).await
}

async fn asked(lake: &Lake, snapshot: &Snapshot, words: &[&str], which: &str) -> Result<Vec<FactRow>, LakeError> {
    if words.is_empty() {
        return Ok(Vec::new());
    }
    let list: Vec<String> = words.iter().map(|word| literal::text(word)).collect();
    let query = FACTS.replace("$words", &list.join(", ")).replace("$which", which);
    let asked = Asked { group: Group::Internal, text: "what contacts did since", limits: lake.config.limits };
    let work = move |context: SessionContext| async move {
        let (mut facts, mut texts) = (Vec::new(), Texts::default());
        each_batch(&context, &query, "read what contacts did", |batch| read(batch, &mut texts, &mut facts)).await?;
        Ok(facts)
    };
    lake.queries.run(snapshot, asked, work).await
}

/// See [`Lake::seen_by`].
pub(crate) async fn seen_by(lake: &Lake, product: &str, since: Timestamp) -> Result<Vec<ContactKey>, LakeError> {
    let query = format!(
        "SELECT DISTINCT contact_key FROM activities WHERE product = {} AND event_time >= {}",
        literal::text(product),
        literal::time(since)
    );
    let asked = Asked { group: Group::Internal, text: "who saw a product", limits: lake.config.limits };
    let batches = lake.queries.rows(&lake.snapshot(), asked, query, "look for who saw a product").await?;
    let keys = batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values());
    Ok(keys.filter_map(|key| ContactKey::from_i64(*key)).collect())
}

fn read(batch: &RecordBatch, texts: &mut Texts, facts: &mut Vec<FactRow>) -> Result<(), ArrowError> {
    let [keys, times, whats, amounts, products] = batch.columns() else {
        return Err(ArrowError::SchemaError(format!("{} columns", batch.num_columns())));
    };
    let (keys, amounts) = (cast(keys, &DataType::Int64)?, cast(amounts, &DataType::Int64)?);
    let (whats, products) = (cast(whats, &DataType::Utf8)?, cast(products, &DataType::Utf8)?);
    let (keys, amounts) = (keys.as_primitive::<Int64Type>(), amounts.as_primitive::<Int64Type>());
    let (whats, products) = (whats.as_string::<i32>(), products.as_string::<i32>());
    let times = times.as_primitive::<TimestampMicrosecondType>();
    for row in 0..batch.num_rows() {
        let (Some(contact), Ok(at)) = (ContactKey::from_i64(keys.value(row)), Timestamp::from_microsecond(times.value(row)))
        else {
            continue;
        };
        facts.push(FactRow {
            contact,
            at,
            what: texts.shared(whats.value(row)),
            amount: amounts.value(row),
            product: products.is_valid(row).then(|| texts.shared(products.value(row))),
        });
    }
    Ok(())
}
