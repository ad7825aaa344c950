//! Takes people's rows out of the lake: out of every table, of every older version, and of the log.
//!
//! Who is erased was made unlinkable before, by destroying the mapping from the customer's id to the key; what is done
//! here makes the rows themselves go. Everything in the log is landed first, so that its files go too. Each file that holds
//! such rows is written anew in the same order; then all older versions are forgotten, because they hold the rows still.
//! Landings go on meanwhile: what they bring is looked at before this ends.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::{Deserialize, Serialize};
use vocabulary::{ContactKey, Timestamp};

use crate::delta::{DataFile, Purpose, Table};
use crate::landing::off_thread;
use crate::rewrite::{Change, rewrite, side_by_side};
use crate::{Lake, LakeError};

/// What an erasure did: the proof that is given to whoever asked for it. It names nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureCertificate {
    /// How many contacts were to be erased.
    pub contacts: u64,
    /// When it was done.
    pub done_at: Timestamp,
    /// Rows that were deleted, by table. Tables without such rows stand here with 0.
    pub rows: BTreeMap<String, u64>,
    /// The version of each table from which on nobody of them is in it; older ones are gone.
    pub versions: BTreeMap<String, i64>,
    /// Files that were written anew.
    pub files_rewritten: u64,
    /// Old files that were deleted from the storage.
    pub files_deleted: u64,
    /// Units that left each experiment: contacts that had an assignment in it.
    pub units: BTreeMap<String, u64>,
}

impl ErasureCertificate {
    /// The certificate as JSON.
    ///
    /// # Panics
    /// Never: it is plain data.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a certificate is plain data")
    }
}

/// See [`Lake::erase`].
pub(crate) async fn erase(lake: &Lake, contacts: &[ContactKey], now: Timestamp) -> Result<ErasureCertificate, LakeError> {
    lake.land().await?;
    // Merging files while they are written anew would only make both begin again.
    let _one = lake.tidying.lock().await;
    let keys: Arc<HashSet<i64>> = Arc::new(contacts.iter().map(|contact| contact.as_i64()).collect());
    let mut certificate = ErasureCertificate { contacts: keys.len() as u64, done_at: now, ..ErasureCertificate::default() };
    let units: Units = Arc::default();
    for table in lake.tables.all().filter(|table| table.spec.schema.field_with_name("contact_key").is_ok()) {
        let (rows, files) = erase_from(table, &keys, &units, now).await?;
        certificate.rows.insert(table.spec.name.to_owned(), rows);
        certificate.files_rewritten += files;
    }
    for table in lake.tables.all() {
        certificate.files_deleted += table.forget(now.max(table.state().at), &BTreeSet::new()).await?.files;
        certificate.versions.insert(table.spec.name.to_owned(), table.state().version);
    }
    // The sums of experiments count who is erased, until they are counted anew.
    let kept = lake.kept.clone();
    off_thread(move || kept.forget()).await?;
    let units = std::mem::take(&mut *units.lock().unwrap_or_else(PoisonError::into_inner));
    certificate.units = units.into_iter().map(|(experiment, contacts)| (experiment, contacts.len() as u64)).collect();
    Ok(certificate)
}

/// The contacts that left each experiment.
type Units = Arc<Mutex<BTreeMap<String, HashSet<i64>>>>;

/// Deletes the rows of these contacts from one table. Returns how many rows, and how many files were written anew.
async fn erase_from(table: &Table, keys: &Arc<HashSet<i64>>, units: &Units, now: Timestamp) -> Result<(u64, u64), LakeError> {
    let salt = salt(keys);
    let (mut rows, mut files) = (0, 0);
    // Files without such rows. What is landed meanwhile is looked at in another round.
    let mut clean: HashSet<String> = HashSet::new();
    loop {
        let state = table.refresh().await?;
        let unseen: Vec<Arc<DataFile>> = state.files.values().filter(|file| !clean.contains(&file.path)).cloned().collect();
        if unseen.is_empty() {
            return Ok((rows, files));
        }
        clean.extend(unseen.iter().map(|file| file.path.clone()));
        let (salt, purpose) = (&salt, Purpose { operation: "DELETE", at: now });
        let works = unseen.into_iter().map(|file| async move {
            // What is missing holds nobody.
            let Some(bytes) = table.place.get(&file.path).await? else { return Ok(None) };
            if !holds_any(bytes.clone(), keys).await? {
                return Ok(None);
            }
            rewrite(table, &file, bytes, without(keys.clone(), units.clone()), salt, purpose).await
        });
        for rewritten in side_by_side(works).await? {
            rows += rewritten.rows_gone;
            files += 1;
            clean.extend(rewritten.file.map(|file| file.path));
        }
    }
}

/// Names the files of this erasure, so that those of another one of the same file are called otherwise.
fn salt(keys: &HashSet<i64>) -> String {
    let mut sorted: Vec<i64> = keys.iter().copied().collect();
    sorted.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    sorted.iter().for_each(|key| {
        hasher.update(&key.to_le_bytes());
    });
    hasher.finalize().to_hex()[..16].to_owned()
}

/// Whether a file has rows of these contacts: reads the one column that tells.
async fn holds_any(bytes: Bytes, keys: &Arc<HashSet<i64>>) -> Result<bool, LakeError> {
    let keys = keys.clone();
    off_thread(move || {
        let failed = || LakeError::internal("look for contacts in a data file");
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(failed())?;
        let column = ProjectionMask::columns(builder.parquet_schema(), ["contact_key"]);
        for batch in builder.with_projection(column).build().map_err(LakeError::internal("look for contacts in a data file"))? {
            let batch = batch.map_err(LakeError::internal("look for contacts in a data file"))?;
            if batch.column(0).as_primitive::<Int64Type>().values().iter().any(|key| keys.contains(key)) {
                return Ok(true);
            }
        }
        Ok(false)
    })
    .await
}

/// Leaves out the rows of these contacts, and notes which experiments they leave.
fn without(keys: Arc<HashSet<i64>>, units: Units) -> Change {
    Arc::new(move |batch: &RecordBatch| {
        let column =
            batch.column_by_name("contact_key").ok_or_else(|| ArrowError::SchemaError("contact_key is missing".to_owned()))?;
        let contacts = column.as_primitive::<Int64Type>();
        let stays: BooleanArray = contacts.values().iter().map(|key| Some(!keys.contains(key))).collect();
        if stays.true_count() == batch.num_rows() {
            return Ok(None);
        }
        // Only assignments have this column: they say who is a unit of an experiment.
        if batch.column_by_name("propensity").is_some()
            && let Some(experiments) = batch.column_by_name("experiment_id").and_then(|column| column.as_string_opt::<i32>())
        {
            let mut units = units.lock().unwrap_or_else(PoisonError::into_inner);
            for row in (0..batch.num_rows()).filter(|row| !stays.value(*row) && experiments.is_valid(*row)) {
                units.entry(experiments.value(row).to_owned()).or_default().insert(contacts.value(row));
            }
        }
        filter_record_batch(batch, &stays).map(Some)
    })
}
