//! By which channel contacts want to be written to, as their attribute says. Few say so, and only they are read.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;
use datafusion::prelude::SessionContext;
use futures::StreamExt as _;
use vocabulary::{Channel, ContactKey, PREFERRED_CHANNEL};

use crate::session::{Asked, Group};
use crate::{Lake, LakeError, literal};

/// See [`Lake::preferences`].
pub(crate) async fn preferences(lake: &Lake, contacts: Option<&[ContactKey]>) -> Result<Vec<(ContactKey, Channel)>, LakeError> {
    if contacts.is_some_and(<[ContactKey]>::is_empty) {
        return Ok(Vec::new());
    }
    let whom = contacts.map_or(String::new(), |contacts| {
        let keys: Vec<String> = contacts.iter().map(ToString::to_string).collect();
        format!(" AND contact_key IN ({})", keys.join(", "))
    });
    let name = literal::text(PREFERRED_CHANNEL);
    let query =
        format!("SELECT contact_key, attributes[{name}] AS channel FROM contacts WHERE attributes[{name}] IS NOT NULL{whom}");
    let asked = Asked { group: Group::Internal, text: "which channel contacts prefer", limits: lake.config.limits };
    let work = move |context: SessionContext| async move {
        let failed = || LakeError::internal("read which channel contacts prefer");
        let rows = async { context.sql(&query).await?.execute_stream().await };
        let mut rows = rows.await.map_err(failed())?;
        let mut found = Vec::new();
        while let Some(batch) = rows.next().await {
            add(&batch.map_err(failed())?, &mut found).map_err(LakeError::internal("read which channel contacts prefer"))?;
        }
        found.sort_unstable();
        Ok(found)
    };
    lake.queries.run(&lake.snapshot(), asked, work).await
}

fn add(batch: &RecordBatch, found: &mut Vec<(ContactKey, Channel)>) -> Result<(), ArrowError> {
    let [keys, words] = batch.columns() else {
        return Err(ArrowError::SchemaError(format!("{} columns", batch.num_columns())));
    };
    let (keys, words) = (cast(keys, &DataType::Int64)?, cast(words, &DataType::Utf8)?);
    let words = words.as_string::<i32>();
    for (row, key) in keys.as_primitive::<Int64Type>().values().iter().enumerate().filter(|(row, _)| words.is_valid(*row)) {
        let channel = Channel::ALL.iter().find(|channel| channel.as_str() == words.value(row));
        found.extend(ContactKey::from_i64(*key).zip(channel.copied()));
    }
    Ok(())
}
