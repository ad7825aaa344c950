//! Receipts: which message a provider's id stands for, the receipts that came before that was known, and those of which it never will be.
//!
//! A provider may tell of a message before whoever handed it over has written down its id. Such a receipt is kept until the id
//! is there, for an hour: so none is lost, whichever comes first and whoever crashes in between.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;
use vocabulary::{
    Body, CampaignId, Channel, ContactKey, Context, DeliveryStatus, Event, EventId, ExperimentId, MessageId, Provider,
    RecommendationId, Timestamp, VariantName,
};

use crate::contacts::contact_key;
use crate::experiments::to_json;
use crate::store::{begin, commit, count, parsed, time};
use crate::{Control, ControlError};

/// Ids are known for so long. Operators try to deliver for three days, few of them for a week; the rest is for receipts that a
/// provider could not get rid of.
const KNOWN_DAYS: i64 = 14;
/// A receipt waits so long for its message. An id is written down with the group that its message left in, which a slow gateway
/// and a server that does not answer hold up for minutes.
const WAITING_MINUTES: i64 = 60;
/// The most receipts that wait, so that a provider that tells of messages of others fills no disk; further ones count as unknown.
const WAITING_MAX: i64 = 10_000;
/// Receipts looked at together by those who ask for ripe ones.
const RIPE_MAX: i64 = 500;
/// Old ids forgotten with each group that is noted: more than a group holds, so that they become fewer.
const FORGOTTEN_AT_ONCE: i64 = 200;
/// The longest id of a provider that is kept, in bytes; the longest known ones are UUIDs with a word before them.
const PROVIDER_ID_BYTES_MAX: usize = 200;
/// The longest words of a provider that are kept, in bytes, as for replies in the ledger.
const REPLY_BYTES_MAX: usize = 512;

/// The id that a provider gave a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenId {
    /// The gateway's name in the configuration.
    pub gateway: String,
    /// The provider's id.
    pub provider_id: String,
    /// Our message.
    pub message_id: MessageId,
}

/// What a provider tells of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The gateway's name in the configuration.
    pub gateway: String,
    /// The provider's id of the message.
    pub provider_id: String,
    /// How it ended.
    pub status: DeliveryStatus,
    /// The provider's words, of which the first 512 bytes are kept.
    pub reply: String,
    /// When we heard of it.
    pub at: Timestamp,
}

/// A receipt with the message it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedReceipt {
    /// What was told.
    pub receipt: Receipt,
    /// To whom the message went.
    pub contact: ContactKey,
    /// What it belongs to.
    pub context: Context,
}

/// Receipts by whether their message is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SortedReceipts {
    /// Those of messages that are known.
    pub placed: Vec<PlacedReceipt>,
    /// The others.
    pub unplaced: Vec<Receipt>,
}

/// What is open about a gateway's receipts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptCount {
    /// The gateway's name.
    pub gateway: String,
    /// Receipts that wait for their message to be known.
    pub waiting: u64,
    /// Receipts so far whose message was never known.
    pub unknown: u64,
}

impl PlacedReceipt {
    /// The event of it. Its id follows from the message and how it ended, so that a receipt that is told twice is one event.
    ///
    /// # Panics
    /// Never: ids of messages and words fit into an event id.
    #[must_use]
    pub fn event(&self) -> Event {
        let Receipt { status, reply, at, .. } = &self.receipt;
        let message = self.context.message_id.as_ref().map_or("", MessageId::as_str);
        let id = EventId::new(&format!("receipt:{message}:{status}")).expect("a message id and a word fit into an event id");
        Event {
            id,
            time: *at,
            received_at: *at,
            contact: self.contact,
            time_doubt: None,
            context: self.context.clone(),
            body: Body::Delivery { status: *status, reply: Some(reply.clone()) },
        }
    }
}

impl Control {
    /// Finds the messages that receipts are about. Those of people who were erased are known no more, and those of tests are known but
    /// count nowhere, so they are left out.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn sort_receipts(&self, receipts: Vec<Receipt>) -> Result<SortedReceipts, ControlError> {
        let pairs: Vec<_> = receipts.iter().map(|receipt| (&receipt.gateway, &receipt.provider_id)).collect();
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT v.key AS place, g.message_id, g.contact_key, l.campaign_id, l.experiment_id, l.variant, l.market,
                 l.recommendation_id, coalesce(l.channel, o.channel) AS channel,
                 o.test_campaign IS NOT NULL AS is_test
             FROM json_each($1) v
             JOIN given_ids g ON g.gateway = v.value ->> 0 AND g.provider_id = v.value ->> 1
             LEFT JOIN ledger l ON l.message_id = g.message_id
             LEFT JOIN outbox o ON o.message_id = g.message_id
             WHERE coalesce(l.message_id, o.message_id) IS NOT NULL
                 AND NOT EXISTS (SELECT 1 FROM erased_contacts e WHERE e.contact_key = g.contact_key)",
        )
        .bind(to_json("receipts", &pairs)?)
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("looking for the messages of receipts"))?;
        let mut found: Vec<Found> = vec![Found::Nothing; receipts.len()];
        for row in rows {
            let place = usize::try_from(row.place).unwrap_or(usize::MAX);
            if let Some((slot, receipt)) = found.get_mut(place).zip(receipts.get(place)) {
                *slot = if row.is_test { Found::Test } else { row.read(&receipt.gateway)? };
            }
        }
        let mut sorted = SortedReceipts::default();
        for (receipt, found) in receipts.into_iter().zip(found) {
            match found {
                Found::Message(contact, context) => sorted.placed.push(PlacedReceipt { receipt, contact, context }),
                Found::Nothing => sorted.unplaced.push(receipt),
                Found::Test => {}
            }
        }
        Ok(sorted)
    }

    /// Keeps receipts until their message is known. Those for which there is no room count as unknown. The same again is harmless.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn keep_receipts(&self, receipts: &[Receipt]) -> Result<(), ControlError> {
        if receipts.is_empty() {
            return Ok(());
        }
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let mut waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM early_receipts")
            .fetch_one(&mut *transaction)
            .await
            .map_err(ControlError::query("counting receipts"))?;
        let mut unknown = Vec::new();
        for receipt in receipts {
            let is_kept = waiting < WAITING_MAX && receipt.provider_id.len() <= PROVIDER_ID_BYTES_MAX;
            if !is_kept {
                unknown.push(receipt.gateway.as_str());
                continue;
            }
            let kept = sqlx::query("INSERT INTO early_receipts VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING")
                .bind(&receipt.gateway)
                .bind(&receipt.provider_id)
                .bind(receipt.status.as_str())
                .bind(&receipt.reply[..receipt.reply.floor_char_boundary(REPLY_BYTES_MAX)])
                .bind(receipt.at.as_microsecond())
                .execute(&mut *transaction)
                .await
                .map_err(ControlError::query("keeping a receipt"))?;
            waiting += i64::try_from(kept.rows_affected()).unwrap_or_default();
        }
        count_unknown(&mut transaction, unknown).await?;
        commit(transaction).await
    }

    /// Receipts that were kept and whose message is known by now, at most 500.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn ripe_receipts(&self) -> Result<Vec<Receipt>, ControlError> {
        let rows: Vec<(String, String, String, String, i64)> = sqlx::query_as(
            "SELECT e.gateway, e.provider_id, e.status, e.reply, e.told_at
             FROM early_receipts e JOIN given_ids g ON g.gateway = e.gateway AND g.provider_id = e.provider_id LIMIT $1",
        )
        .bind(RIPE_MAX)
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("looking for receipts"))?;
        let read = |(gateway, provider_id, status, reply, at): (String, String, String, String, i64)| {
            let status = parsed("a receipt's status", &status, str::parse)?;
            Ok(Receipt { gateway, provider_id, status, reply, at: time(at)? })
        };
        rows.into_iter().map(read).collect()
    }

    /// Lets go of receipts that were kept, because the lake has them.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn drop_receipts(&self, receipts: &[Receipt]) -> Result<(), ControlError> {
        let rows: Vec<_> = receipts.iter().map(|one| (&one.gateway, &one.provider_id, one.status.as_str())).collect();
        sqlx::query(
            "DELETE FROM early_receipts WHERE (gateway, provider_id, status) IN
                 (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1))",
        )
        .bind(to_json("receipts", &rows)?)
        .execute(&mut *self.writer().await)
        .await
        .map_err(ControlError::query("letting go of receipts"))?;
        Ok(())
    }

    /// Lets go of receipts that have waited for an hour, and counts them as unknown; how many there were.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn give_receipts_up(&self) -> Result<u64, ControlError> {
        let now = self.now();
        let before = now.checked_sub(jiff::SignedDuration::from_mins(WAITING_MINUTES)).unwrap_or(now).as_microsecond();
        let is_any: Option<i64> = sqlx::query_scalar("SELECT 1 FROM early_receipts WHERE told_at < $1 LIMIT 1")
            .bind(before)
            .fetch_optional(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("looking for old receipts"))?;
        if is_any.is_none() {
            return Ok(0);
        }
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let gone: Vec<String> = sqlx::query_scalar("DELETE FROM early_receipts WHERE told_at < $1 RETURNING gateway")
            .bind(before)
            .fetch_all(&mut *transaction)
            .await
            .map_err(ControlError::query("giving receipts up"))?;
        count_unknown(&mut transaction, gone.iter().map(String::as_str)).await?;
        commit(transaction).await?;
        Ok(gone.len() as u64)
    }

    /// What is open about the receipts of each gateway that has any, by name.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn receipt_counts(&self) -> Result<Vec<ReceiptCount>, ControlError> {
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(
            "SELECT gateway, sum(waiting), sum(unknown) FROM (
                 SELECT gateway, count(*) AS waiting, 0 AS unknown FROM early_receipts GROUP BY gateway
                 UNION ALL SELECT gateway, 0, receipt_count FROM unknown_receipts)
             GROUP BY gateway ORDER BY gateway",
        )
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("counting receipts"))?;
        let read = |(gateway, waiting, unknown): (String, i64, i64)| {
            Ok(ReceiptCount { gateway, waiting: count(waiting)?, unknown: count(unknown)? })
        };
        rows.into_iter().map(read).collect()
    }
}

/// Notes the ids that providers gave these messages, beside their settlement and in its transaction, and forgets old ones. Messages
/// that nobody knows any more are passed over. An id that is given anew means the newer message.
pub(crate) async fn note_given(connection: &mut SqliteConnection, given: &[GivenId], now: Timestamp) -> Result<(), ControlError> {
    let rows: Vec<_> = given
        .iter()
        .filter(|given| given.provider_id.len() <= PROVIDER_ID_BYTES_MAX)
        .map(|given| (&given.gateway, &given.provider_id, given.message_id.as_str()))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO given_ids (gateway, provider_id, message_id, contact_key, noted_at)
         SELECT v.value ->> 0, v.value ->> 1, v.value ->> 2, coalesce(l.contact_key, o.contact_key), $2
         FROM json_each($1) v
         LEFT JOIN ledger l ON l.message_id = v.value ->> 2
         LEFT JOIN outbox o ON o.message_id = v.value ->> 2
         WHERE coalesce(l.contact_key, o.contact_key) IS NOT NULL
         ON CONFLICT DO UPDATE SET message_id = excluded.message_id, contact_key = excluded.contact_key, noted_at = excluded.noted_at",
    )
    .bind(to_json("ids", &rows)?)
    .bind(now.as_microsecond())
    .execute(&mut *connection)
    .await
    .map_err(ControlError::query("noting the ids of messages"))?;
    let before = now.checked_sub(jiff::SignedDuration::from_hours(24 * KNOWN_DAYS)).unwrap_or(now);
    sqlx::query(
        "DELETE FROM given_ids WHERE (gateway, provider_id) IN
             (SELECT gateway, provider_id FROM given_ids WHERE noted_at < $1 ORDER BY noted_at LIMIT $2)",
    )
    .bind(before.as_microsecond())
    .bind(FORGOTTEN_AT_ONCE)
    .execute(connection)
    .await
    .map_err(ControlError::query("forgetting old ids of messages"))?;
    Ok(())
}

/// Forgets by which ids providers know the messages of these contacts, a JSON list of keys.
pub(crate) async fn forget_given(connection: &mut SqliteConnection, contacts: &str) -> Result<(), ControlError> {
    sqlx::query("DELETE FROM given_ids WHERE contact_key IN (SELECT value FROM json_each($1))")
        .bind(contacts)
        .execute(connection)
        .await
        .map_err(ControlError::query("erasing the ids of messages"))?;
    Ok(())
}

/// Counts receipts of messages that are not known, by the gateway of each.
async fn count_unknown(connection: &mut SqliteConnection, gateways: impl IntoIterator<Item = &str>) -> Result<(), ControlError> {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for gateway in gateways {
        *counts.entry(gateway).or_default() += 1;
    }
    for (gateway, receipts) in counts {
        sqlx::query(
            "INSERT INTO unknown_receipts VALUES ($1, $2)
             ON CONFLICT DO UPDATE SET receipt_count = receipt_count + excluded.receipt_count",
        )
        .bind(gateway)
        .bind(receipts)
        .execute(&mut *connection)
        .await
        .map_err(ControlError::query("counting receipts"))?;
    }
    Ok(())
}

/// What a receipt is about.
#[derive(Clone)]
enum Found {
    Nothing,
    Message(ContactKey, Context),
    Test,
}

/// The message of a receipt.
#[derive(sqlx::FromRow)]
struct Row {
    place: i64,
    message_id: String,
    contact_key: i64,
    campaign_id: Option<String>,
    experiment_id: Option<String>,
    variant: Option<String>,
    market: Option<String>,
    recommendation_id: Option<String>,
    channel: Option<String>,
    is_test: bool,
}

impl Row {
    fn read(self, gateway: &str) -> Result<Found, ControlError> {
        let campaign = |text: &str| parsed("a campaign's id", text, CampaignId::new);
        let experiment = |text: &str| parsed("an experiment's id", text, ExperimentId::new);
        let variant = |text: &str| parsed("a variant's name", text, VariantName::new);
        let recommendation = |text: &str| parsed("a recommendation's id", text, RecommendationId::new);
        let channel = |text: &str| parsed("a channel", text, str::parse::<Channel>);
        let context = Context {
            message_id: Some(parsed("a message's id", &self.message_id, MessageId::new)?),
            campaign_id: self.campaign_id.as_deref().map(campaign).transpose()?,
            experiment_id: self.experiment_id.as_deref().map(experiment).transpose()?,
            variant: self.variant.as_deref().map(variant).transpose()?,
            channel: self.channel.as_deref().map(channel).transpose()?,
            market: self.market,
            provider: Provider::new(gateway).ok(),
            recommendation_id: self.recommendation_id.as_deref().map(recommendation).transpose()?,
        };
        Ok(Found::Message(contact_key(self.contact_key)?, context))
    }
}

#[cfg(test)]
#[path = "receipts_tests.rs"]
mod tests;
