//! By which channel contacts want to be written to, as their attribute says. Few say so, and only they are read.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;
use datafusion::prelude::SessionContext;
use vocabulary::{Channel, ContactKey, PREFERRED_CHANNEL};

use crate::session::{Asked, Group, each_batch};
use crate::{Lake, LakeError, literal};

/// See [`Lake::preferences`].
pub(crate) async fn preferences(lake: &Lake, contacts: Option<&[ContactKey]>) -> Result<Vec<(ContactKey, Channel)>, LakeError> {
    if contacts.is_some_and(<[ContactKey]>::is_empty) {
        return Ok(Vec::new());
    }
    let whom = contacts.map_or_else(|| "true".to_owned(), literal::among);
    let name = literal::text(PREFERRED_CHANNEL);
    let query = format!(
        "SELECT contact_key, attributes[{name}] AS channel FROM contacts WHERE attributes[{name}] IS NOT NULL AND {whom}"
    );
    let asked = Asked { group: Group::Internal, text: "which channel contacts prefer", limits: lake.config.limits };
    let work = move |context: SessionContext| async move {
        let mut found = Vec::new();
        each_batch(&context, &query, "read which channel contacts prefer", |batch| add(batch, &mut found)).await?;
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
