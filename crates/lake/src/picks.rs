//! The products of many contacts for the slots of a campaign: one query for each slot, however many contacts there are.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, UInt64Type};
use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::expr_fn::min;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::ExprFunctionExt;
use datafusion::prelude::{DataFrame, SessionContext, cast as cast_expr, col, lit};
use futures::StreamExt as _;
use jiff::{SignedDuration, ToSpan};
use vocabulary::{ContactKey, Slot, SlotQuery, Timestamp};

use crate::session::{Asked, Group, explain, plan};
use crate::texts::Texts;
use crate::{Lake, LakeError, SqlLimits, literal};

/// The products of one contact by slot, the first first.
pub type Picks = BTreeMap<String, Vec<String>>;

/// How far back the questions without SQL look: who looked at something half a year ago has forgotten it.
const DAYS: i64 = 180;

/// So few contacts are named in the query itself, which then reads little; of more the rows of all are read and theirs kept.
const NAMED_MAX: usize = 1_000;

/// The columns that a slot's query must give.
const COLUMNS: [&str; 3] = ["contact_key", "product", "position"];

/// The products of many contacts: 16 bytes each, because an audience may be tens of millions.
#[derive(Debug, Default)]
pub struct Picked {
    slots: Vec<String>,
    products: Vec<Arc<str>>,
    /// By contact, slot and place.
    rows: Vec<Row>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    contact: i64,
    slot: u8,
    place: u8,
    product: u32,
}

impl Picked {
    /// Those of one contact; a slot for which they have none is left out.
    #[must_use]
    pub fn of(&self, contact: ContactKey) -> Picks {
        let key = contact.as_i64();
        let first = self.rows.partition_point(|row| row.contact < key);
        let mut picks = Picks::new();
        for row in self.rows[first..].iter().take_while(|row| row.contact == key) {
            let product = self.products[row.product as usize].to_string();
            picks.entry(self.slots[usize::from(row.slot)].clone()).or_default().push(product);
        }
        picks
    }
}

/// See [`Lake::picks`].
pub(crate) async fn picks(
    lake: &Lake,
    slots: &BTreeMap<String, Slot>,
    contacts: &[ContactKey],
    group: Group,
    now: Timestamp,
) -> Result<Picked, LakeError> {
    let mut picked = Picked { slots: slots.keys().cloned().collect(), ..Picked::default() };
    if contacts.is_empty() {
        return Ok(picked);
    }
    let mut places: HashMap<Arc<str>, u32> = HashMap::new();
    let limits = lake.config.limits;
    for (number, slot) in slots.values().enumerate() {
        let (query, most) = (query_of(slot, now), slot.picks());
        let asked = Asked { group, text: &query, limits };
        let named = (contacts.len() <= NAMED_MAX).then(|| contacts.to_vec());
        let wanted: Arc<[ContactKey]> = contacts.into();
        let (text, slot) = (query.clone(), number as u8);
        let run = move |context: SessionContext| async move {
            let failed = |error| explain(&context, error, limits);
            let frame = ranked(&context, &text, named.as_deref(), most, limits).await?;
            let mut batches = frame.execute_stream().await.map_err(failed)?;
            let (mut found, mut texts) = (Vec::new(), Texts::default());
            while let Some(batch) = batches.next().await {
                read(&batch.map_err(failed)?, slot, &wanted, &mut texts, &mut found)
                    .map_err(LakeError::internal("read products"))?;
            }
            Ok(found)
        };
        for (contact, slot, place, product) in lake.queries.run(&lake.snapshot(), asked, run).await? {
            let next = picked.products.len() as u32;
            let product = *places.entry(product).or_insert_with_key(|product| {
                picked.products.push(product.clone());
                next
            });
            picked.rows.push(Row { contact, slot, place, product });
        }
    }
    picked.rows.sort_unstable();
    Ok(picked)
}

/// See [`Lake::check_slot`].
pub(crate) async fn check(lake: &Lake, slot: &Slot, now: Timestamp) -> Result<(), LakeError> {
    let (limits, query, most) = (lake.config.limits, query_of(slot, now), slot.picks());
    let asked = Asked { group: Group::Analysts, text: "check a slot", limits };
    let run = move |context: SessionContext| async move {
        let frame = ranked(&context, &query, None, most, limits).await?;
        frame.create_physical_plan().await.map(drop).map_err(|error| explain(&context, error, limits))
    };
    lake.queries.run(&lake.snapshot(), asked, run).await
}

/// The query of a slot at a time.
fn query_of(slot: &Slot, now: Timestamp) -> String {
    let text = match slot.query.parse() {
        Ok(SlotQuery::LastViewed) => include_str!("sql/slots/last_viewed.sql"),
        Ok(SlotQuery::LastCarted) => include_str!("sql/slots/last_carted.sql"),
        Ok(SlotQuery::Abandoned) => include_str!("sql/slots/abandoned.sql"),
        Ok(SlotQuery::LastOrdered) => include_str!("sql/slots/last_ordered.sql"),
        Err(_) => return slot.query.clone(),
    };
    let since = now.checked_sub((DAYS * 24).hours()).unwrap_or(now);
    let when = format!("event_time > {} AND event_time <= {}", literal::time(since), literal::time(now));
    text.replace("$when", &when).replace("$week", &SignedDuration::from_hours(7 * 24).as_micros().to_string())
}

/// The first products of each contact, each once, with their place from 1.
async fn ranked(
    context: &SessionContext,
    query: &str,
    only: Option<&[ContactKey]>,
    most: usize,
    limits: SqlLimits,
) -> Result<DataFrame, LakeError> {
    let plan = plan(context, query, limits).await?;
    let names: Vec<_> = plan.schema().fields().iter().map(|field| field.name().clone()).collect();
    if let Some(column) = COLUMNS.iter().find(|column| names.iter().filter(|name| *name == *column).count() != 1) {
        let message = format!("a slot's query must give the column {column} once; this query gives {}", names.join(", "));
        let hint = "SELECT contact_key, product, - CAST(max(event_time) AS BIGINT) AS position FROM activities GROUP BY 1, 2";
        return Err(LakeError::Query { message, hint: Some(hint.to_owned()) });
    }
    let [contact, product, position] = COLUMNS;
    let ranked = async {
        let mut told = context.execute_logical_plan(plan).await?.select(vec![
            cast_expr(col(contact), DataType::Int64).alias(contact),
            cast_expr(col(product), DataType::Utf8).alias(product),
            col(position).alias(position),
        ])?;
        told = told.filter(col(product).is_not_null())?;
        if let Some(keys) = only {
            told = told.filter(col(contact).in_list(keys.iter().map(|key| lit(key.as_i64())).collect(), false))?;
        }
        let once = told.aggregate(vec![col(contact), col(product)], vec![min(col(position)).alias(position)])?;
        let order = vec![col(position).sort(true, false), col(product).sort(true, false)];
        let place = row_number().partition_by(vec![col(contact)]).order_by(order).build()?.alias("place");
        let placed = once.window(vec![place])?.filter(col("place").lt_eq(lit(most as u64)))?;
        placed.select_columns(&[contact, product, "place"])
    };
    ranked.await.map_err(|error: DataFusionError| explain(context, error, limits))
}

/// A contact, the number of a slot, a place and a product.
type Found = (i64, u8, u8, Arc<str>);

fn read(
    batch: &RecordBatch,
    slot: u8,
    wanted: &[ContactKey],
    texts: &mut Texts,
    found: &mut Vec<Found>,
) -> Result<(), ArrowError> {
    let [contacts, products, places] = batch.columns() else {
        return Err(ArrowError::SchemaError(format!("{} columns", batch.num_columns())));
    };
    let (contacts, products) = (cast(contacts, &DataType::Int64)?, cast(products, &DataType::Utf8)?);
    let places = cast(places, &DataType::UInt64)?;
    let (contacts, products) = (contacts.as_primitive::<Int64Type>(), products.as_string::<i32>());
    let places = places.as_primitive::<UInt64Type>();
    for row in (0..batch.num_rows()).filter(|row| contacts.is_valid(*row) && products.is_valid(*row)) {
        let key = contacts.value(row);
        if ContactKey::from_i64(key).is_some_and(|key| wanted.binary_search(&key).is_ok()) {
            // No slot has as many as 256 places.
            found.push((key, slot, places.value(row) as u8, texts.shared(products.value(row))));
        }
    }
    Ok(())
}
