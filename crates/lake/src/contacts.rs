//! The table of contacts: replaced as a whole, read as an audience.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, Date32Builder, Int32Builder, Int64Builder, ListBuilder, MapBuilder, MapFieldNames,
    RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::compute::{cast, concat_batches, sort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, SchemaRef};
use arrow::error::ArrowError;
use datafusion::common::JoinType;
use datafusion::prelude::{DataFrame, SessionContext, cast as cast_expr, col, lit};
use futures::StreamExt as _;
use vocabulary::{Channel, Contact, ContactKey, Timestamp};

use crate::faults::Point;
use crate::landing::{APPLICATION, off_thread};
use crate::parquet::{encode, landed_path};
use crate::rows::days_since_epoch;
use crate::schema::{CONTACTS, contacts_table};
use crate::session::{Asked, Group, explain, plan, versions_read};
use crate::tidy::replace_all;
use crate::{Lake, LakeError, SqlLimits};

/// The column by which an audience names its contacts.
const KEY: &str = "contact_key";

/// What decides where, when and by what a message may go. Few combinations stand in many contacts, so they are shared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Traits {
    /// ISO 3166 alpha-2 country.
    pub country: Option<String>,
    /// ISO 3166-2 part of the country.
    pub region: Option<String>,
    /// ISO 3166 alpha-2 country they buy in.
    pub market: Option<String>,
    /// IANA time zone.
    pub time_zone: Option<String>,
    /// Whether the time zone was not told, but follows from where they are.
    pub is_zone_derived: bool,
    /// The channels for which there is an address.
    pub channels: Vec<Channel>,
}

/// One contact of an audience: 16 bytes, because an audience may be tens of millions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Who.
    pub key: ContactKey,
    /// Where they are and how they are reached.
    pub traits: Arc<Traits>,
}

/// Whom a query names, and what it read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    /// By key.
    pub recipients: Vec<Recipient>,
    /// The version of each table that was read.
    pub versions: BTreeMap<String, i64>,
}

/// The rows of the table of contacts, gathered some at a time: a million take a fraction of what they do as contacts.
#[derive(Debug)]
pub struct ContactRows {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl Default for ContactRows {
    fn default() -> Self {
        Self { schema: contacts_table().schema, batches: Vec::new() }
    }
}

impl ContactRows {
    /// Adds contacts, in any order; each may stand in one call only.
    ///
    /// # Errors
    /// [`LakeError::Internal`] where Arrow refuses the columns, which is a fault of this code.
    pub fn push(&mut self, contacts: &[Contact]) -> Result<(), LakeError> {
        let batch = columns(&self.schema, contacts).map_err(LakeError::internal("arrange contacts"))?;
        self.batches.push(batch);
        Ok(())
    }

    /// All rows by key.
    fn by_key(self) -> Result<RecordBatch, ArrowError> {
        let all = concat_batches(&self.schema, &self.batches)?;
        drop(self.batches);
        let keys = all.column(0);
        let sorted = keys.as_primitive::<Int64Type>().values().is_sorted();
        if sorted { Ok(all) } else { take_record_batch(&all, &sort_to_indices(keys, None, None)?) }
    }
}

/// See [`Lake::replace_contacts`].
pub(crate) async fn replace(lake: &Lake, change: i64, contacts: ContactRows, at: Timestamp) -> Result<(), LakeError> {
    let table = &lake.tables.contacts;
    if change <= table.refresh().await?.recorded(APPLICATION) {
        return Ok(());
    }
    let skip_by = table.spec.skip_by;
    let encoded = off_thread(move || {
        let rows = contacts.by_key().map_err(LakeError::internal("arrange contacts"))?;
        let path = landed_path(APPLICATION, None, change, change);
        encode(path, None, &[rows], skip_by, at).map_err(LakeError::internal("write down contacts"))
    })
    .await?;
    table.place.put(&encoded.file.path, encoded.bytes).await?;
    lake.faults.reached(Point::FilesWritten)?;
    replace_all(table, &encoded.file, change, at).await?;
    lake.faults.reached(Point::TableCommitted)
}

/// See [`Lake::contacts_change`].
pub(crate) async fn change(lake: &Lake) -> Result<i64, LakeError> {
    Ok(lake.tables.contacts.refresh().await?.recorded(APPLICATION))
}

/// See [`Lake::audience`].
pub(crate) async fn audience(
    lake: &Lake,
    audience: Option<&str>,
    only: Option<&[ContactKey]>,
    group: Group,
) -> Result<Audience, LakeError> {
    let limits = lake.config.limits;
    let asked = Asked { group, text: audience.unwrap_or("all contacts"), limits };
    let audience = audience.map(str::to_owned);
    let only = only.map(|keys| keys.iter().map(|key| lit(key.as_i64())).collect::<Vec<_>>());
    let run = move |context: SessionContext| async move {
        let failed = |error| explain(&context, error, limits);
        let everybody = context.table(CONTACTS).await.map_err(failed)?;
        let everybody = match only {
            None => everybody,
            Some(keys) => everybody.filter(col(KEY).in_list(keys, false)).map_err(failed)?,
        };
        let chosen = match audience {
            None => everybody,
            Some(query) => {
                let keys = keys_of(&context, &query, limits).await?;
                everybody.join(keys, JoinType::LeftSemi, &[KEY], &["audience_key"], None).map_err(failed)?
            }
        };
        let columns = [KEY, "country", "region", "market", "time_zone", "time_zone_derived", "channels"];
        let mut rows = chosen.select_columns(&columns).map_err(failed)?.execute_stream().await.map_err(failed)?;
        let mut found = Recipients::default();
        while let Some(batch) = rows.next().await {
            found.add(&batch.map_err(failed)?).map_err(LakeError::internal("read the contacts"))?;
        }
        found.all.sort_unstable_by_key(|recipient| recipient.key);
        Ok(Audience { recipients: found.all, versions: versions_read(&context) })
    };
    lake.queries.run(&lake.snapshot(), asked, run).await
}

/// The keys an audience's query gives, as one column `audience_key`.
pub(crate) async fn keys_of(context: &SessionContext, query: &str, limits: SqlLimits) -> Result<DataFrame, LakeError> {
    let plan = plan(context, query, limits).await?;
    let names: Vec<_> = plan.schema().fields().iter().map(|field| field.name().clone()).collect();
    if names.iter().filter(|name| *name == KEY).count() != 1 {
        let message = format!("an audience must give the column {KEY} once; this query gives {}", names.join(", "));
        return Err(LakeError::Query { message, hint: Some(format!("SELECT {KEY} FROM {CONTACTS} WHERE ...")) });
    }
    let select = async {
        let audience = context.execute_logical_plan(plan).await?;
        audience.select(vec![cast_expr(col(KEY), DataType::Int64).alias("audience_key")])
    };
    select.await.map_err(|error| explain(context, error, limits))
}

#[derive(Default)]
struct Recipients {
    all: Vec<Recipient>,
    known: HashSet<Arc<Traits>>,
    /// The traits of the row that is read, so that nothing is allocated for those that are known.
    row: Traits,
}

impl Recipients {
    fn add(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let [keys, country, region, market, time_zone, derived, channels] = batch.columns() else {
            return Err(ArrowError::SchemaError(format!("{} columns", batch.num_columns())));
        };
        let keys = cast(keys, &DataType::Int64)?;
        let texts = |column| cast(column, &DataType::Utf8);
        let (country, region) = (texts(country)?, texts(region)?);
        let (market, time_zone) = (texts(market)?, texts(time_zone)?);
        let derived = cast(derived, &DataType::Boolean)?;
        let channels = cast(channels, &DataType::List(Arc::new(Field::new("element", DataType::Utf8, true))))?;
        for (row, key) in keys.as_primitive::<Int64Type>().values().iter().enumerate() {
            let Some(key) = ContactKey::from_i64(*key) else { continue };
            set(&mut self.row.country, &country, row);
            set(&mut self.row.region, &region, row);
            set(&mut self.row.market, &market, row);
            set(&mut self.row.time_zone, &time_zone, row);
            self.row.is_zone_derived = derived.is_valid(row) && derived.as_boolean().value(row);
            self.row.channels.clear();
            if channels.is_valid(row) {
                let words = channels.as_list::<i32>().value(row);
                self.row
                    .channels
                    .extend(words.as_string::<i32>().iter().flatten().filter_map(|word| word.parse::<Channel>().ok()));
            }
            let traits = self.known.get(&self.row).cloned().unwrap_or_else(|| {
                let new = Arc::new(self.row.clone());
                self.known.insert(new.clone());
                new
            });
            self.all.push(Recipient { key, traits });
        }
        Ok(())
    }
}

/// Puts a column's text into a place, whose memory is used again.
fn set(into: &mut Option<String>, column: &ArrayRef, row: usize) {
    match (into, column.is_valid(row).then(|| column.as_string::<i32>().value(row))) {
        (Some(into), Some(text)) => {
            into.clear();
            into.push_str(text);
        }
        (into, text) => *into = text.map(str::to_owned),
    }
}

/// The columns of contacts, in the order of the table.
fn columns(schema: &SchemaRef, contacts: &[Contact]) -> Result<RecordBatch, ArrowError> {
    let text = |of: fn(&Contact) -> Option<&str>| {
        let mut column = StringBuilder::new();
        contacts.iter().for_each(|contact| column.append_option(of(contact)));
        Arc::new(column.finish()) as ArrayRef
    };
    let (mut keys, mut created) = (Int64Builder::new(), TimestampMicrosecondBuilder::new().with_timezone("UTC"));
    let (mut derived, mut dates, mut years) = (BooleanBuilder::new(), Date32Builder::new(), Int32Builder::new());
    for contact in contacts {
        keys.append_value(contact.key.as_i64());
        derived.append_option(contact.time_zone().map(|_| contact.profile.time_zone.is_none()));
        dates.append_option(contact.profile.birth.and_then(|birth| birth.date()).map(days_since_epoch));
        years.append_option(contact.profile.birth.map(|birth| i32::from(birth.year())));
        created.append_value(contact.created_at.as_microsecond());
    }
    RecordBatch::try_new(
        schema.clone(),
        vec![
            Arc::new(keys.finish()),
            text(|contact| contact.profile.country.as_deref()),
            text(|contact| contact.profile.language.as_deref()),
            text(Contact::time_zone),
            attributes(contacts)?,
            Arc::new(derived.finish()),
            text(|contact| contact.profile.market()),
            lists(contacts, |contact| contact.profile.interests.iter().map(String::as_str).collect()),
            lists(contacts, |contact| contact.profile.tags.iter().map(String::as_str).collect()),
            text(|contact| contact.profile.device.as_deref()),
            Arc::new(dates.finish()),
            Arc::new(years.finish()),
            text(|contact| contact.profile.source.as_deref()),
            lists(contacts, |contact| contact.channels.iter().map(|channel| channel.as_str()).collect()),
            Arc::new(created.finish()),
            text(|contact| contact.profile.region.as_deref()),
        ],
    )
}

fn lists(contacts: &[Contact], of: fn(&Contact) -> Vec<&str>) -> ArrayRef {
    let mut column = ListBuilder::new(StringBuilder::new()).with_field(Field::new("element", DataType::Utf8, true));
    for contact in contacts {
        of(contact).into_iter().for_each(|label| column.values().append_value(label));
        column.append(true);
    }
    Arc::new(column.finish())
}

fn attributes(contacts: &[Contact]) -> Result<ArrayRef, ArrowError> {
    let names = MapFieldNames { entry: "key_value".to_owned(), key: "key".to_owned(), value: "value".to_owned() };
    let mut maps = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
        .with_keys_field(Field::new("key", DataType::Utf8, false))
        .with_values_field(Field::new("value", DataType::Utf8, true));
    for contact in contacts {
        for (name, value) in &contact.profile.attributes {
            maps.keys().append_value(name);
            maps.values().append_value(value);
        }
        maps.append(true)?;
    }
    Ok(Arc::new(maps.finish()))
}
