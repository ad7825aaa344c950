//! A campaign's plan: who is sent which variant when, and who is not and why; one Parquet file that senders read in slices. Those
//! who are sent something come first, by due time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimestampMicrosecondType, UInt32Type};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use vocabulary::{Channel, ContactKey, Step, Timestamp, VariantName};

use crate::log::sync_folder;
use crate::schema::timestamp_type;
use crate::texts::Texts;
use crate::{LakeError, Picks};

/// Rows of a plan that are decoded together. A slice is a few hundred to a few thousand rows, so that reading one skips
/// most of the file.
const ROW_GROUP_ROWS: usize = 16 * 1024;

/// Groups of rows that are gathered before those before them are written.
const GROUPS_AHEAD: usize = 2;

/// Columns of a plan that was made before reasons stood in it.
const COLUMNS_BEFORE_REASONS: usize = 4;

/// Columns of a plan that was made before a campaign could send several messages.
const COLUMNS_BEFORE_STEPS: usize = 7;

/// Columns of a plan that was made before messages showed products of the contact.
const COLUMNS_BEFORE_PICKS: usize = 8;
/// Columns of a plan that was made before a campaign could go by several channels.
const COLUMNS_BEFORE_CHANNELS: usize = 9;

/// One contact of a campaign's audience.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRow {
    /// Who.
    pub contact: ContactKey,
    /// The variant they were assigned; `None` where the recommended one is taken when the message leaves.
    pub variant: Option<VariantName>,
    /// ISO 3166 alpha-2 country.
    pub market: Option<String>,
    /// When the message is to leave; `None` where none is sent.
    pub due: Option<Timestamp>,
    /// The rule that put the message off or refused it, if one did.
    pub why: Option<PlanReason>,
    /// Which of the campaign's messages to the contact it is, where there may be several.
    pub step: Option<Step>,
    /// The contact's products for the slots of the campaign, as they were when the plan was made.
    pub picks: Picks,
    /// The channel it goes by; the campaign's where absent, as in older plans and where none is sent.
    pub channel: Option<Channel>,
}

/// Rows of a plan by whom and which message they are about.
pub type PlanRows = HashMap<(ContactKey, Option<Step>), PlanRow>;

/// Why a message is not sent, or later than it was meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PlanReason {
    /// The name of the rule.
    pub rule: Arc<str>,
    /// Its version.
    pub version: u32,
    /// What it said.
    pub reason: Arc<str>,
}

/// The name under which a plan's file says when it was made.
const PLANNED_AT: &str = "sendlab.planned_at";

/// What names of a plan's notes begin with.
const NOTE: &str = "sendlab.note.";

/// Writes a plan that was made at `planned_at`: afterwards `path` is there whole or not at all, power losses included. Of the rows a
/// few thousand are held at a time.
///
/// # Errors
/// [`LakeError::File`] when it cannot be written.
pub fn write_plan(path: &Path, rows: impl IntoIterator<Item = PlanRow>, planned_at: Option<Timestamp>) -> Result<(), LakeError> {
    write_plan_noting(path, rows, planned_at, &BTreeMap::new())
}

/// As [`write_plan`], with notes of what the plan was made from, by name.
///
/// # Errors
/// As [`write_plan`].
pub fn write_plan_noting(
    path: &Path,
    rows: impl IntoIterator<Item = PlanRow>,
    planned_at: Option<Timestamp>,
    notes: &BTreeMap<String, String>,
) -> Result<(), LakeError> {
    let failed = || LakeError::file("write", path);
    let folder = path.parent().unwrap_or(Path::new("."));
    let unfinished = path.with_extension("unfinished");
    let write = move || -> Result<(), std::io::Error> {
        fs::create_dir_all(folder)?;
        let level = ZstdLevel::try_new(1)?;
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level));
        let planned_at = planned_at.map(|at| KeyValue::new(PLANNED_AT.to_owned(), at.to_string()));
        let notes = notes.iter().map(|(name, note)| KeyValue::new(format!("{NOTE}{name}"), note.clone()));
        let properties = properties.set_key_value_metadata(Some(planned_at.into_iter().chain(notes).collect()));
        let properties = properties.set_max_row_group_row_count(Some(ROW_GROUP_ROWS)).build();
        let writer = ArrowWriter::try_new(File::create(&unfinished)?, Arc::new(schema()), Some(properties))?;
        encode(writer, rows.into_iter())?;
        fs::rename(&unfinished, path)?;
        sync_folder(folder)
    };
    write().map_err(failed())
}

/// Writes the rows: while some are encoded, the next are gathered.
fn encode(mut writer: ArrowWriter<File>, mut rows: impl Iterator<Item = PlanRow>) -> Result<(), std::io::Error> {
    std::thread::scope(|scope| {
        let (sender, batches) = sync_channel::<RecordBatch>(GROUPS_AHEAD);
        let writing = scope.spawn(move || -> Result<(), std::io::Error> {
            batches.into_iter().try_for_each(|batch| writer.write(&batch))?;
            writer.into_inner()?.sync_all()
        });
        let mut group = Vec::with_capacity(ROW_GROUP_ROWS);
        let gathered = loop {
            group.extend(rows.by_ref().take(ROW_GROUP_ROWS));
            if group.is_empty() {
                break Ok(());
            }
            let sent = to_batch(&group).map(|batch| sender.send(batch));
            group.clear();
            match sent {
                Ok(Ok(())) => {}
                // Who no longer takes any tells why below.
                Ok(Err(_)) => break Ok(()),
                Err(error) => break Err(std::io::Error::other(error)),
            }
        };
        drop(sender);
        let written = writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        gathered.and(written)
    })
}

/// Reads `rows` rows of a plan, beginning at row `first_row` (0 is the first). Fewer are given at its end.
///
/// # Errors
/// [`LakeError::File`] when it cannot be read, [`LakeError::BadPlan`] when it is no plan.
pub fn read_plan(path: &Path, first_row: usize, rows: usize) -> Result<Vec<PlanRow>, LakeError> {
    let mut plan = Vec::with_capacity(rows.min(ROW_GROUP_ROWS));
    for some in runs(path, first_row, Some(rows))? {
        plan.append(&mut some?);
    }
    Ok(plan)
}

/// All rows of a plan, some thousand at a time.
///
/// # Errors
/// As [`read_plan`], for each item too.
pub fn plan_rows(path: &Path) -> Result<impl Iterator<Item = Result<Vec<PlanRow>, LakeError>> + use<>, LakeError> {
    runs(path, 0, None)
}

fn runs(
    path: &Path,
    first_row: usize,
    rows: Option<usize>,
) -> Result<impl Iterator<Item = Result<Vec<PlanRow>, LakeError>> + use<>, LakeError> {
    let file = File::open(path).map_err(LakeError::file("open", path))?;
    let owned = path.to_owned();
    let bad = move |why: String| LakeError::BadPlan { path: owned.clone(), why };
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| bad(error.to_string()))?;
    let names = |schema: &Schema| schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    let (found, expect) = (names(builder.schema()), names(&schema()));
    // Plans of older versions are plans all the same.
    let known = [COLUMNS_BEFORE_REASONS, COLUMNS_BEFORE_STEPS, COLUMNS_BEFORE_PICKS, COLUMNS_BEFORE_CHANNELS, expect.len()];
    if !known.iter().any(|count| found == expect[..*count]) {
        return Err(bad("it has other columns".to_owned()));
    }
    let builder = match rows {
        None => builder.with_batch_size(ROW_GROUP_ROWS),
        Some(rows) => builder.with_limit(rows),
    };
    let reader = builder.with_offset(first_row).build().map_err(|error| bad(error.to_string()))?;
    Ok(reader.map(move |batch| {
        let mut rows = Vec::new();
        from_batch(&batch.map_err(|error| bad(error.to_string()))?, &mut rows).map_err(&bad)?;
        Ok(rows)
    }))
}

/// When a plan was made; `None` where it does not say so, as old ones do not.
///
/// # Errors
/// As [`read_plan`].
pub fn planned_at(path: &Path) -> Result<Option<Timestamp>, LakeError> {
    let noted = noted(path)?;
    Ok(noted.iter().find(|pair| pair.key == PLANNED_AT).and_then(|pair| pair.value.as_deref()?.parse().ok()))
}

/// The notes of a plan, by name.
///
/// # Errors
/// As [`read_plan`].
pub fn plan_notes(path: &Path) -> Result<BTreeMap<String, String>, LakeError> {
    let note = |pair: KeyValue| Some((pair.key.strip_prefix(NOTE)?.to_owned(), pair.value?));
    Ok(noted(path)?.into_iter().filter_map(note).collect())
}

fn noted(path: &Path) -> Result<Vec<KeyValue>, LakeError> {
    let file = File::open(path).map_err(LakeError::file("open", path))?;
    let bad = |why: String| LakeError::BadPlan { path: path.to_owned(), why };
    let reader = SerializedFileReader::new(file).map_err(|error| bad(error.to_string()))?;
    Ok(reader.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default())
}

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("contact_key", DataType::Int64, false),
        Field::new("variant", DataType::Utf8, true),
        Field::new("market", DataType::Utf8, true),
        Field::new("due", timestamp_type(), true),
        Field::new("rule", DataType::Utf8, true),
        Field::new("rule_version", DataType::UInt32, true),
        Field::new("reason", DataType::Utf8, true),
        Field::new("step", DataType::Utf8, true),
        Field::new("picks", DataType::Utf8, true),
        Field::new("channel", DataType::Utf8, true),
    ])
}

fn to_batch(rows: &[PlanRow]) -> Result<RecordBatch, arrow::error::ArrowError> {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.contact.as_i64()))),
        Arc::new(StringArray::from_iter(rows.iter().map(|row| row.variant.as_ref().map(|name| name.as_str())))),
        Arc::new(StringArray::from_iter(rows.iter().map(|row| row.market.as_deref()))),
        Arc::new(
            TimestampMicrosecondArray::from_iter(rows.iter().map(|row| row.due.map(Timestamp::as_microsecond)))
                .with_timezone("UTC"),
        ),
        Arc::new(StringArray::from_iter(rows.iter().map(|row| row.why.as_ref().map(|why| &*why.rule)))),
        Arc::new(UInt32Array::from_iter(rows.iter().map(|row| row.why.as_ref().map(|why| why.version)))),
        Arc::new(StringArray::from_iter(rows.iter().map(|row| row.why.as_ref().map(|why| &*why.reason)))),
        Arc::new(StringArray::from_iter(rows.iter().map(|row| row.step.as_ref().map(Step::as_str)))),
        Arc::new(StringArray::from_iter(rows.iter().map(|row| picks_to_text(&row.picks)))),
        Arc::new(StringArray::from_iter(rows.iter().map(|row| row.channel.map(Channel::as_str)))),
    ];
    RecordBatch::try_new(Arc::new(schema()), columns)
}

/// As JSON, which packs well: many contacts have the same.
fn picks_to_text(picks: &Picks) -> Option<String> {
    (!picks.is_empty()).then(|| serde_json::to_string(picks).expect("texts are JSON"))
}

fn from_batch(batch: &RecordBatch, plan: &mut Vec<PlanRow>) -> Result<(), String> {
    let keys = batch.column(0).as_primitive::<Int64Type>();
    let (variants, markets) = (batch.column(1).as_string::<i32>(), batch.column(2).as_string::<i32>());
    let dues = batch.column(3).as_primitive::<TimestampMicrosecondType>();
    let reasons = (batch.num_columns() > COLUMNS_BEFORE_REASONS).then(|| {
        let texts = |column: usize| batch.column(column).as_string::<i32>();
        (texts(4), batch.column(5).as_primitive::<UInt32Type>(), texts(6))
    });
    let steps = (batch.num_columns() > COLUMNS_BEFORE_STEPS).then(|| batch.column(COLUMNS_BEFORE_STEPS).as_string::<i32>());
    let picks = (batch.num_columns() > COLUMNS_BEFORE_PICKS).then(|| batch.column(COLUMNS_BEFORE_PICKS).as_string::<i32>());
    let has_channels = batch.num_columns() > COLUMNS_BEFORE_CHANNELS;
    let channels = has_channels.then(|| batch.column(COLUMNS_BEFORE_CHANNELS).as_string::<i32>());
    let mut texts = Texts::default();
    for (row, (((key, variant), market), due)) in keys.iter().zip(variants).zip(markets).zip(dues).enumerate() {
        let given = reasons.filter(|(rules, _, _)| rules.is_valid(row));
        let why = given.map(|(rules, versions, reasons)| PlanReason {
            rule: texts.shared(rules.value(row)),
            version: versions.value(row),
            reason: texts.shared(reasons.value(row)),
        });
        plan.push(PlanRow {
            contact: key.and_then(ContactKey::from_i64).ok_or("a contact key is not positive")?,
            variant: variant.map(VariantName::new).transpose().map_err(|error| format!("a variant's name {error}"))?,
            market: market.map(str::to_owned),
            due: due.map(Timestamp::from_microsecond).transpose().map_err(|_| "a due time is out of range")?,
            why,
            step: steps
                .filter(|steps| steps.is_valid(row))
                .map(|steps| Step::new(steps.value(row)))
                .transpose()
                .map_err(|error| format!("a step {error}"))?,
            picks: match picks.filter(|picks| picks.is_valid(row)) {
                Some(picks) => {
                    serde_json::from_str(picks.value(row)).map_err(|error| format!("a contact's products: {error}"))?
                }
                None => Picks::new(),
            },
            channel: channels
                .filter(|channels| channels.is_valid(row))
                .map(|channels| channels.value(row).parse::<Channel>())
                .transpose()?,
        });
    }
    Ok(())
}

/// What a plan says of some contacts: one row each, or one for each step.
///
/// # Errors
/// As [`read_plan`].
pub fn find_in_plan(path: &Path, contacts: &HashSet<ContactKey>) -> Result<PlanRows, LakeError> {
    let mut found = PlanRows::new();
    for rows in plan_rows(path)? {
        let theirs = rows?.into_iter().filter(|row| contacts.contains(&row.contact));
        found.extend(theirs.map(|row| ((row.contact, row.step.clone()), row)));
    }
    Ok(found)
}

/// Puts a key that means nobody in the place of each of these contacts, so that the other rows stay where they are; how many rows
/// were theirs. `nobody` makes such keys.
///
/// # Errors
/// As [`read_plan`] and [`write_plan`].
pub fn forget_in_plan(
    path: &Path,
    contacts: &HashSet<ContactKey>,
    mut nobody: impl FnMut() -> ContactKey,
) -> Result<u64, LakeError> {
    let mut rows = read_plan(path, 0, usize::MAX)?;
    let mut forgotten = 0;
    for row in rows.iter_mut().filter(|row| contacts.contains(&row.contact)) {
        *row = PlanRow { contact: nobody(), market: None, picks: Picks::new(), ..row.clone() };
        forgotten += 1;
    }
    if forgotten > 0 {
        write_plan_noting(path, rows, planned_at(path)?, &plan_notes(path)?)?;
    }
    Ok(forgotten)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: i64) -> Vec<PlanRow> {
        let row = |n: i64| PlanRow {
            contact: ContactKey::from_i64(n + 1).unwrap(),
            variant: (n % 3 != 0).then(|| VariantName::new("Mens E-Mail").unwrap()),
            market: (n % 2 == 0).then(|| "DE".to_owned()),
            due: (n % 5 != 0).then(|| Timestamp::from_microsecond(1_700_000_000_000_001 + n).unwrap()),
            why: (n % 5 < 2).then(|| PlanReason {
                rule: "cap/email-week".into(),
                version: 2,
                reason: format!("{} were sent", n % 7).into(),
            }),
            step: (n % 4 == 0).then(|| Step::new(&format!("cart/1/{n}")).unwrap()),
            picks: if n % 7 == 0 {
                Picks::from([("viewed".to_owned(), vec![format!("sku-{n}"), "\"b\"".into()])])
            } else {
                Picks::new()
            },
            channel: (n % 3 < 2).then(|| Channel::ALL[n as usize % 2]),
        };
        (0..count).map(row).collect()
    }

    #[test]
    fn slices_of_a_plan_come_back_as_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plans/spring.parquet");
        let (rows, made_at) = (rows(40_000), "2026-11-11T00:00:00.5Z".parse().ok());
        let notes = BTreeMap::from([("hours".to_owned(), "{\"DE\": 9}".to_owned())]);
        write_plan_noting(&path, rows.clone(), made_at, &notes).unwrap();
        assert_eq!((planned_at(&path).unwrap(), plan_notes(&path).unwrap()), (made_at, notes.clone()));
        let check = |first: usize, count: usize, expect: &[PlanRow]| {
            assert_eq!(read_plan(&path, first, count).unwrap(), expect, "{first} {count}");
        };
        check(0, 10, &rows[..10]);
        check(16_380, 10, &rows[16_380..16_390]);
        check(39_990, 100, &rows[39_990..]);
        check(40_000, 5, &[]);
        check(0, 40_000, &rows);
        assert_eq!(fs::read_dir(folder.path().join("plans")).unwrap().count(), 1);
        let some = [rows[7].contact, ContactKey::from_i64(99_999_999).unwrap()].into();
        assert_eq!(find_in_plan(&path, &some).unwrap(), [((rows[7].contact, None), rows[7].clone())].into());
        let left_out = rows.iter().filter(|row| row.due.is_none() && row.why.is_some());
        assert_eq!(left_out.count(), 8_000);
        let nobody = ContactKey::from_i64(77_777_777).unwrap();
        assert_eq!(forget_in_plan(&path, &some, || nobody).unwrap(), 1);
        assert_eq!(find_in_plan(&path, &some).unwrap().len(), 0);
        let found = read_plan(&path, 6, 3).unwrap();
        assert_eq!((found[1].contact, found[1].due, &found[1].market), (nobody, rows[7].due, &None));
        assert!(!rows[7].picks.is_empty() && found[1].picks.is_empty());
        assert_eq!((&found[0], &found[2], planned_at(&path).unwrap()), (&rows[6], &rows[8], made_at));
        assert_eq!(plan_notes(&path).unwrap(), notes);
    }

    #[test]
    fn an_empty_plan_is_a_plan() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty.parquet");
        write_plan(&path, [], None).unwrap();
        assert_eq!(planned_at(&path).unwrap(), None);
        assert_eq!(read_plan(&path, 0, 10).unwrap(), []);
    }

    #[test]
    fn a_plan_of_an_older_version_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.parquet");
        let rows: Vec<PlanRow> = rows(9).into_iter().map(|row| PlanRow { channel: None, ..row }).collect();
        let check = |columns: usize, rows: &[PlanRow]| {
            let batch = to_batch(rows).unwrap().project(&(0..columns).collect::<Vec<_>>()).unwrap();
            let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
            writer.write(&batch).unwrap();
            writer.close().unwrap();
            assert_eq!(read_plan(&path, 0, 100).unwrap(), rows);
        };
        check(COLUMNS_BEFORE_CHANNELS, &rows);
        let rows: Vec<PlanRow> = rows.into_iter().map(|row| PlanRow { picks: Picks::new(), ..row }).collect();
        check(COLUMNS_BEFORE_PICKS, &rows);
        let rows: Vec<PlanRow> = rows.into_iter().map(|row| PlanRow { step: None, ..row }).collect();
        check(COLUMNS_BEFORE_STEPS, &rows);
        let rows: Vec<PlanRow> = rows.into_iter().map(|row| PlanRow { why: None, ..row }).collect();
        check(COLUMNS_BEFORE_REASONS, &rows);
    }

    #[test]
    fn what_is_no_plan_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        fs::write(&path, b"no parquet").unwrap();
        assert!(matches!(read_plan(&path, 0, 1), Err(LakeError::BadPlan { .. })));
        assert!(matches!(read_plan(&folder.path().join("none"), 0, 1), Err(LakeError::File { .. })));
    }
}
