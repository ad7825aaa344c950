//! Exchange rates as a table, and amounts computed again when rates arrive late.
//!
//! Amounts get their value in the base currency when they come in, at the rate of their day. Where a rate comes later, or
//! another one for the same day, the files of the days it is for are written anew.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Date32Type, Int64Type, SchemaRef};
use arrow::error::ArrowError;
use jiff::civil::Date;
use vocabulary::{Currency, EventKind, Rate, RateSpan, Rates, Ratio, Timestamp};

use crate::delta::{DataFile, Purpose, Table};
use crate::landing::APPLICATION;
use crate::parquet::{encode, landed_path};
use crate::rewrite::{Change, fetch, read, rewrite, side_by_side};
use crate::rows::{base_amounts, date_of_days, days_since_epoch};
use crate::schema::BASE_COLUMNS;
use crate::tidy::replace_all;
use crate::{Lake, LakeError};

/// What new rates changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refilled {
    /// The days that convert otherwise now, by currency.
    pub spans: Vec<RateSpan>,
    /// Files that were written anew.
    pub files: u64,
}

/// See [`Lake::put_rates`].
pub(crate) async fn put(lake: &Lake, newer: &Rates, at: Timestamp) -> Result<Refilled, LakeError> {
    // Merging files while they are written anew would only make both begin again.
    let _one = lake.tidying.lock().await;
    let mut rates = lake.tail.rates().as_ref().clone();
    rates.merge(newer).map_err(LakeError::internal("merge exchange rates"))?;
    let mut stored = stored(&lake.tables.rates, rates.base()).await?;
    if stored.iter().eq(rates.iter()) {
        return Ok(Refilled::default());
    }
    // What was told when the lake was opened is known already, but the tables may have been filled without it.
    let spans = stored.merge(&rates).map_err(LakeError::internal("merge exchange rates"))?;
    write(&lake.tables.rates, &rates, at).await?;
    lake.tail.set_rates(rates.clone());
    // What came in before is landed at the old rates and written anew with the rest.
    lake.land().await?;
    let mut files = 0;
    for kind in [EventKind::Order, EventKind::Message] {
        files += refill(&lake.tables.events[kind as usize], &rates, &spans, at).await?;
    }
    Ok(Refilled { spans, files })
}

/// The rates in the table and, where they differ, those that were told.
pub(crate) async fn known(table: &Table, told: &Rates) -> Result<Rates, LakeError> {
    let mut rates = stored(table, told.base()).await?;
    rates.merge(told).map_err(LakeError::internal("merge exchange rates"))?;
    Ok(rates)
}

/// The rates in the table.
pub(crate) async fn stored(table: &Table, base: Currency) -> Result<Rates, LakeError> {
    let mut rates = Rates::new(base);
    for file in table.state().files.values() {
        let Some(bytes) = table.place.get(&file.path).await? else { continue };
        for batch in read(bytes)? {
            let batch = batch.map_err(LakeError::internal("read the exchange rates"))?;
            let failed = LakeError::internal("read the exchange rates");
            add_rows(&mut rates, &batch).map_err(|why| failed(std::io::Error::other(why)))?;
        }
    }
    Ok(rates)
}

fn add_rows(rates: &mut Rates, batch: &RecordBatch) -> Result<(), String> {
    let column = |name: &str| batch.column_by_name(name).cloned().ok_or_else(|| format!("the column {name} is missing"));
    let (days, currencies, sources) = (column("date")?, column("currency")?, column("source")?);
    let (numerators, denominators) = (column("numerator")?, column("denominator")?);
    let number = |column: &ArrayRef, row: usize| i128::from(column.as_primitive::<Int64Type>().value(row));
    for row in 0..batch.num_rows() {
        let rate = Rate {
            date: date_of_days(days.as_primitive::<Date32Type>().value(row)),
            currency: Currency::new(currencies.as_string::<i32>().value(row)).map_err(|error| error.to_string())?,
            ratio: Ratio::new(number(&numerators, row), number(&denominators, row)).ok_or("a rate is no positive number")?,
            source: sources.as_string::<i32>().value(row).parse()?,
        };
        rates.put(rate).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Makes `rates` the content of the table.
async fn write(table: &Table, rates: &Rates, at: Timestamp) -> Result<(), LakeError> {
    let number = table.refresh().await?.recorded(APPLICATION) + 1;
    let rows = rows(&table.spec.schema, rates).map_err(LakeError::internal("arrange exchange rates"))?;
    let path = landed_path(APPLICATION, None, number, number);
    let encoded =
        encode(path, None, &[rows], table.spec.skip_by, at).map_err(LakeError::internal("write down exchange rates"))?;
    table.place.put(&encoded.file.path, encoded.bytes).await?;
    replace_all(table, &encoded.file, number, at).await
}

fn rows(schema: &SchemaRef, rates: &Rates) -> Result<RecordBatch, ArrowError> {
    let all: Vec<Rate> = rates.iter().collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Date32Array::from_iter_values(all.iter().map(|rate| days_since_epoch(rate.date)))),
        Arc::new(StringArray::from_iter_values(all.iter().map(|rate| rate.currency.as_str()))),
        Arc::new(Float64Array::from_iter_values(
            all.iter().map(|rate| rate.ratio.numerator() as f64 / rate.ratio.denominator() as f64),
        )),
        Arc::new(Int64Array::from_iter_values(all.iter().map(|rate| rate.ratio.numerator()))),
        Arc::new(Int64Array::from_iter_values(all.iter().map(|rate| rate.ratio.denominator()))),
        Arc::new(StringArray::from_iter_values(all.iter().map(|rate| rate.source.as_str()))),
    ];
    RecordBatch::try_new(schema.clone(), columns)
}

/// Computes the amounts of the days in `spans` again. Returns how many files that changed.
async fn refill(table: &Table, rates: &Rates, spans: &[RateSpan], at: Timestamp) -> Result<u64, LakeError> {
    let within = |date: Date| spans.iter().any(|span| span.first <= date && date <= span.last);
    let salt = format!("rates {}", table.state().version);
    let files: Vec<Arc<DataFile>> =
        table.refresh().await?.files.values().filter(|file| file.date.is_some_and(within)).cloned().collect();
    let (salt, change, purpose) = (&salt, &again(rates.clone()), Purpose { operation: "UPDATE", at });
    let works = files.into_iter().map(|file| async move {
        let bytes = fetch(table, &file).await?;
        rewrite(table, &file, bytes, change.clone(), salt, purpose).await
    });
    Ok(side_by_side(works).await?.len() as u64)
}

/// Computes the base amounts of a batch again.
fn again(rates: Rates) -> Change {
    Arc::new(move |batch: &RecordBatch| {
        let fresh = base_amounts(batch, &rates)?;
        let schema = batch.schema();
        let Some(at) = BASE_COLUMNS.iter().find_map(|name| schema.index_of(name).ok()) else { return Ok(None) };
        if batch.column(at).as_primitive::<Int64Type>() == fresh.as_primitive::<Int64Type>() {
            return Ok(None);
        }
        let mut columns = batch.columns().to_vec();
        columns[at] = fresh;
        RecordBatch::try_new(schema, columns).map(Some)
    })
}
