//! What contacts were sent lately, for the rules that say how often somebody may be written to.

use std::collections::HashMap;
use std::ops::Range;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use vocabulary::{Channel, ContactKey, MessageClass, Timestamp};

use crate::session::{Asked, Group};
use crate::{Lake, LakeError, literal};

/// One message that was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentMessage {
    /// When.
    pub at: Timestamp,
    /// By which channel.
    pub channel: Channel,
    /// Of which class.
    pub class: MessageClass,
    /// The place of its experiment and variant in [`Sends::variants`].
    pub variant: u32,
}

/// The messages of many contacts, those of one contact beside each other.
#[derive(Debug, Default)]
pub struct Sends {
    /// Experiments and variants, each pair once.
    pub variants: Vec<(Option<String>, Option<String>)>,
    messages: Vec<SentMessage>,
    of: HashMap<ContactKey, Range<usize>>,
}

impl Sends {
    /// The messages of one contact, in no order.
    #[must_use]
    pub fn of(&self, contact: ContactKey) -> &[SentMessage] {
        self.of.get(&contact).map_or(&[], |range| &self.messages[range.clone()])
    }
}

/// See [`Lake::sends`].
pub(crate) async fn sends(
    lake: &Lake,
    contacts: Option<&[ContactKey]>,
    since: Timestamp,
    until: Timestamp,
) -> Result<Sends, LakeError> {
    let whom = contacts.map_or(String::new(), |contacts| {
        let keys: Vec<String> = contacts.iter().map(ToString::to_string).collect();
        format!(" AND contact_key IN ({})", keys.join(", "))
    });
    if contacts.is_some_and(<[ContactKey]>::is_empty) {
        return Ok(Sends::default());
    }
    // A message without a channel went out before there was more than one.
    let query = format!(
        "SELECT contact_key, event_time, coalesce(channel, 'email') AS channel, class, experiment_id, variant FROM messages
         WHERE event_time > {} AND event_time < {}{whom}",
        literal::time(since),
        literal::time(until)
    );
    let asked = Asked { group: Group::Internal, text: "what contacts were sent lately", limits: lake.config.limits };
    let batches = lake.queries.rows(&lake.snapshot(), asked, query, "read what was sent").await?;
    let mut gathered = Gathered::default();
    for batch in &batches {
        gathered.add(batch).map_err(LakeError::internal("read what was sent"))?;
    }
    Ok(gathered.finish())
}

#[derive(Default)]
struct Gathered {
    places: HashMap<(Option<String>, Option<String>), u32>,
    rows: Vec<(ContactKey, SentMessage)>,
}

impl Gathered {
    fn add(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let [keys, times, channels, classes, experiments, variants] = batch.columns() else {
            return Err(ArrowError::SchemaError(format!("{} columns", batch.num_columns())));
        };
        let keys = cast(keys, &DataType::Int64)?;
        let texts = |column| cast(column, &DataType::Utf8);
        let (channels, classes) = (texts(channels)?, texts(classes)?);
        let (experiments, variants) = (texts(experiments)?, texts(variants)?);
        let (channels, classes) = (channels.as_string::<i32>(), classes.as_string::<i32>());
        let (experiments, variants) = (experiments.as_string::<i32>(), variants.as_string::<i32>());
        let (keys, times) = (keys.as_primitive::<Int64Type>(), times.as_primitive::<TimestampMicrosecondType>());
        for row in 0..batch.num_rows() {
            let key = ContactKey::from_i64(keys.value(row));
            let at = Timestamp::from_microsecond(times.value(row)).ok();
            let channel = channels.value(row).parse().ok();
            let class = classes.value(row).parse().ok();
            let (Some(key), Some(at), Some(channel), Some(class)) = (key, at, channel, class) else { continue };
            let text = |column: &arrow::array::StringArray| column.is_valid(row).then(|| column.value(row).to_owned());
            let count = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
            let variant = *self.places.entry((text(experiments), text(variants))).or_insert(count);
            self.rows.push((key, SentMessage { at, channel, class, variant }));
        }
        Ok(())
    }

    fn finish(mut self) -> Sends {
        self.rows.sort_unstable_by_key(|(key, message)| (*key, message.at));
        let mut variants: Vec<_> = self.places.into_iter().collect();
        variants.sort_unstable_by_key(|(_, place)| *place);
        let mut of: HashMap<ContactKey, Range<usize>> = HashMap::new();
        for (place, (key, _)) in self.rows.iter().enumerate() {
            of.entry(*key).or_insert(place..place).end = place + 1;
        }
        Sends {
            variants: variants.into_iter().map(|(pair, _)| pair).collect(),
            messages: self.rows.into_iter().map(|(_, message)| message).collect(),
            of,
        }
    }
}
