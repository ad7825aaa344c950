//! The table of contacts: replaced as a whole, read as an audience.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;
use datafusion::common::JoinType;
use datafusion::prelude::{DataFrame, SessionContext, cast as cast_expr, col};
use vocabulary::{Contact, ContactKey, Timestamp};

use crate::faults::Point;
use crate::landing::{APPLICATION, off_thread};
use crate::parquet::{encode, landed_path};
use crate::rows::contact_rows;
use crate::schema::CONTACTS;
use crate::session::{Asked, Group, explain, plan};
use crate::tidy::replace_all;
use crate::{Lake, LakeError, SqlLimits};

/// The column by which an audience names its contacts.
const KEY: &str = "contact_key";

/// See [`Lake::replace_contacts`].
pub(crate) async fn replace(lake: &Lake, change: i64, contacts: Vec<Contact>, at: Timestamp) -> Result<(), LakeError> {
    let table = &lake.tables.contacts;
    if change <= table.refresh().await?.recorded(APPLICATION) {
        return Ok(());
    }
    let (schema, skip_by) = (table.spec.schema.clone(), table.spec.skip_by);
    let encoded = off_thread(move || {
        let rows = contact_rows(&schema, contacts).map_err(LakeError::internal("arrange contacts"))?;
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

/// See [`Lake::recipients`].
pub(crate) async fn recipients(lake: &Lake, audience: Option<&str>) -> Result<Vec<Contact>, LakeError> {
    let limits = lake.config.limits;
    let asked = Asked { group: Group::Internal, text: audience.unwrap_or("all contacts"), limits };
    let audience = audience.map(str::to_owned);
    let run = move |context: SessionContext| async move {
        let failed = |error| explain(&context, error, limits);
        let everybody = context.table(CONTACTS).await.map_err(failed)?;
        let chosen = match audience {
            None => everybody,
            Some(query) => {
                let keys = keys_of(&context, &query, limits).await?;
                everybody.join(keys, JoinType::LeftSemi, &[KEY], &["audience_key"], None).map_err(failed)?
            }
        };
        chosen.collect().await.map_err(failed)
    };
    let batches = lake.queries.run(&lake.snapshot(), asked, run).await?;
    let mut contacts = Vec::new();
    for batch in &batches {
        read_contacts(batch, &mut contacts).map_err(LakeError::internal("read the contacts"))?;
    }
    contacts.sort_by_key(|contact| contact.key);
    Ok(contacts)
}

/// The keys an audience's query gives, as one column `audience_key`.
async fn keys_of(context: &SessionContext, query: &str, limits: SqlLimits) -> Result<DataFrame, LakeError> {
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

fn read_contacts(batch: &RecordBatch, contacts: &mut Vec<Contact>) -> Result<(), ArrowError> {
    let column = |name: &str| batch.column_by_name(name).ok_or_else(|| ArrowError::SchemaError(format!("no column {name}")));
    let text = |name: &str| cast(column(name)?, &DataType::Utf8);
    let keys = cast(column(KEY)?, &DataType::Int64)?;
    let (countries, languages, time_zones) = (text("country")?, text("language")?, text("time_zone")?);
    let attributes = column("attributes")?;
    let value = |column: &ArrayRef, row: usize| {
        let column = column.as_string::<i32>();
        (!column.is_null(row)).then(|| column.value(row).to_owned())
    };
    let keys = keys.as_primitive::<Int64Type>();
    for row in 0..batch.num_rows() {
        let Some(key) = ContactKey::from_i64(keys.value(row)) else { continue };
        contacts.push(Contact {
            key,
            country: value(&countries, row),
            language: value(&languages, row),
            time_zone: value(&time_zones, row),
            attributes: read_attributes(attributes, row)?,
        });
    }
    Ok(())
}

fn read_attributes(column: &ArrayRef, row: usize) -> Result<BTreeMap<String, String>, ArrowError> {
    if column.is_null(row) {
        return Ok(BTreeMap::new());
    }
    let entries = column.as_map().value(row);
    let (names, values) = (cast(entries.column(0), &DataType::Utf8)?, cast(entries.column(1), &DataType::Utf8)?);
    let pairs = names.as_string::<i32>().iter().zip(values.as_string::<i32>().iter());
    Ok(pairs.filter_map(|(name, value)| Some((name?.to_owned(), value.unwrap_or_default().to_owned()))).collect())
}
