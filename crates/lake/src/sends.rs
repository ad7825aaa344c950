//! What contacts were sent lately, for the rules that say how often somebody may be written to. A plan asks for the messages of a
//! month, which may be hundreds of millions: 16 bytes each.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use datafusion::prelude::SessionContext;
use vocabulary::{Channel, ContactKey, Experiment, MessageClass, Timestamp};

use crate::session::{Asked, Group, each_batch};
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
    /// The place of its variant in the experiment that was asked about; `None` where it is of another.
    pub variant: Option<usize>,
}

/// The messages of many contacts.
#[derive(Debug, Default)]
pub struct Sends {
    since: i64,
    /// By contact and time.
    messages: Vec<Packed>,
}

/// A contact and a message: from the highest bit 46 of the microseconds since the beginning, which are two years, 3 of the channel,
/// 3 of the class and 12 of the variant, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Packed {
    contact: i64,
    message: u64,
}

const VARIANT_BITS: u32 = 12;
const CLASS_BITS: u32 = 3;
const CHANNEL_BITS: u32 = 3;
const TIME_BITS: u32 = 64 - CHANNEL_BITS - CLASS_BITS - VARIANT_BITS;

const _: () = assert!(Channel::ALL.len() <= 1 << CHANNEL_BITS && MessageClass::ALL.len() <= 1 << CLASS_BITS);

impl Sends {
    /// The messages of one contact, by time. `from` is where to begin to look: 0 at first, and then as the last call left it, which
    /// spares most of the search for whoever asks about contacts in order.
    pub fn of(&self, contact: ContactKey, from: &mut usize) -> impl Iterator<Item = SentMessage> + '_ {
        let key = contact.as_i64();
        if self.messages.get(*from).is_none_or(|message| message.contact > key) {
            *from = 0;
        }
        let (mut low, mut step) = (*from, 1);
        while self.messages.get(low + step).is_some_and(|message| message.contact < key) {
            low += step;
            step *= 2;
        }
        let high = self.messages.len().min(low + step + 1);
        let first = low + self.messages[low..high].partition_point(|message| message.contact < key);
        *from = first;
        self.messages[first..]
            .iter()
            .take_while(move |message| message.contact == key)
            .map(|message| self.unpack(message.message))
    }

    fn unpack(&self, message: u64) -> SentMessage {
        let variant = message & ((1 << VARIANT_BITS) - 1);
        let class = message >> VARIANT_BITS & ((1 << CLASS_BITS) - 1);
        let channel = message >> (VARIANT_BITS + CLASS_BITS) & ((1 << CHANNEL_BITS) - 1);
        let after = (message >> (64 - TIME_BITS)).cast_signed();
        SentMessage {
            at: Timestamp::from_microsecond(self.since + after).unwrap_or(Timestamp::MAX),
            channel: Channel::ALL[channel as usize],
            class: MessageClass::ALL[class as usize],
            variant: variant.checked_sub(1).map(|place| place as usize),
        }
    }

    fn add(&mut self, batch: &RecordBatch, experiment: &Experiment) -> Result<(), ArrowError> {
        let [keys, times, channels, classes, variants] = batch.columns() else {
            return Err(ArrowError::SchemaError(format!("{} columns", batch.num_columns())));
        };
        let keys = cast(keys, &DataType::Int64)?;
        let texts = |column| cast(column, &DataType::Utf8);
        let (channels, classes, variants) = (texts(channels)?, texts(classes)?, texts(variants)?);
        let (channels, classes) = (channels.as_string::<i32>(), classes.as_string::<i32>());
        let variants = variants.as_string::<i32>();
        let (keys, times) = (keys.as_primitive::<Int64Type>(), times.as_primitive::<TimestampMicrosecondType>());
        for row in 0..batch.num_rows() {
            let after = u64::try_from(times.value(row) - self.since).ok().filter(|after| *after < 1 << TIME_BITS);
            let channel = channels.value(row).parse::<Channel>().ok();
            let class = classes.value(row).parse::<MessageClass>().ok();
            let (Some(after), Some(channel), Some(class)) = (after, channel, class) else { continue };
            let name = variants.is_valid(row).then(|| variants.value(row));
            let place = name.and_then(|name| experiment.variants.iter().position(|known| known.name.as_str() == name));
            let variant = place.map(|place| place as u64 + 1).filter(|variant| *variant < 1 << VARIANT_BITS).unwrap_or_default();
            let message = after << (64 - TIME_BITS)
                | (channel as u64) << (VARIANT_BITS + CLASS_BITS)
                | (class as u64) << VARIANT_BITS
                | variant;
            self.messages.push(Packed { contact: keys.value(row), message });
        }
        Ok(())
    }
}

/// See [`Lake::sends`].
pub(crate) async fn sends(
    lake: &Lake,
    contacts: Option<&[ContactKey]>,
    of: &Experiment,
    since: Timestamp,
    until: Timestamp,
) -> Result<Sends, LakeError> {
    let mut sends = Sends { since: since.as_microsecond(), messages: Vec::new() };
    if contacts.is_some_and(<[ContactKey]>::is_empty) {
        return Ok(sends);
    }
    let whom = contacts.map_or_else(|| "true".to_owned(), literal::among);
    // A message without a channel went out before there was more than one.
    let query = format!(
        "SELECT contact_key, event_time, coalesce(channel, 'email') AS channel, class,
             CASE WHEN experiment_id = {} THEN variant END AS variant
         FROM messages WHERE event_time > {} AND event_time < {} AND {whom}",
        literal::text(of.experiment.as_str()),
        literal::time(since),
        literal::time(until)
    );
    let asked = Asked { group: Group::Internal, text: "what contacts were sent lately", limits: lake.config.limits };
    let of = of.clone();
    let work = move |context: SessionContext| async move {
        each_batch(&context, &query, "read what was sent", |batch| sends.add(batch, &of)).await?;
        sends.messages.sort_unstable();
        Ok(sends)
    };
    lake.queries.run(&lake.snapshot(), asked, work).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_in_any_order() {
        let at = |second: i64| Timestamp::from_second(1_700_000_000 + second).unwrap();
        let key = |number: i64| ContactKey::from_i64(number).unwrap();
        let mut sends = Sends { since: at(0).as_microsecond(), messages: Vec::new() };
        let all: Vec<(i64, SentMessage)> = (0..3_000_i64)
            .map(|n| {
                let channel = Channel::ALL[n as usize % Channel::ALL.len()];
                let class = MessageClass::ALL[n as usize % MessageClass::ALL.len()];
                (n / 5 * 3 + 1, SentMessage { at: at(n), channel, class, variant: (n % 3 > 0).then_some(n as usize % 3) })
            })
            .collect();
        for (contact, message) in all.iter().rev() {
            let variant = message.variant.map_or(0, |place| place as u64 + 1);
            let after = (message.at.as_microsecond() - sends.since).cast_unsigned();
            let bits = (after << 18) | (message.channel as u64) << 15 | (message.class as u64) << 12 | variant;
            sends.messages.push(Packed { contact: *contact, message: bits });
        }
        sends.messages.sort_unstable();
        let mut from = 0;
        for number in (1..2_000).chain([5, 4, 1_500, 1, 1_798, 1_798, 3]) {
            let expect: Vec<SentMessage> = all.iter().filter(|(to, _)| *to == number).map(|(_, message)| *message).collect();
            assert_eq!(sends.of(key(number), &mut from).collect::<Vec<_>>(), expect, "{number}");
        }
        assert_eq!(Sends::default().of(key(1), &mut 0).count(), 0);
    }
}
