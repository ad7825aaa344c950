//! Messages to one person that other systems tell to send, such as codes and receipts: kept from the moment they are acknowledged
//! until they are handed over, and remembered for a while, so that telling one twice sends it once.
//!
//! *Invariant:* what names a person is sealed, and gone when the message is settled.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::SqliteConnection;
use tokio::sync::watch;
use vocabulary::words::words;
use vocabulary::{Channel, ContactKey, MessageClass, MessageId, MessageTemplate, Timestamp};

use crate::contact_check::{FieldError, normalised};
use crate::contacts::{contact_key, find};
use crate::experiments::{from_json, to_json};
use crate::receipts::{GivenId, note_given};
use crate::store::{begin, commit, count, parsed, time};
use crate::test_sends::MadeMessage;
use crate::{Control, ControlError};

/// Settled messages are remembered for so long: who tells one again within that time is told what became of it.
const REMEMBERED_DAYS: i64 = 30;
/// Messages forgotten at once, so that nobody waits for a large clean-up.
const FORGOTTEN_AT_ONCE: i64 = 100;
/// The longest reply that is kept, in bytes.
const REPLY_BYTES_MAX: usize = 1_000;
/// For what the addresses and values are sealed.
pub(crate) const SEALED_FOR: &str = "outbox";

/// To whom a message goes. It has no `Debug`, so that no address is logged by accident.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipient {
    /// One of the customer's own contacts, by the customer's id, at the address they have when it leaves.
    Contact(String),
    /// An address, whose owner need not be known, such as one that is about to be verified.
    Address(String),
}

/// A message to send. It has no `Debug`, so that no address is logged by accident.
#[derive(Clone)]
pub struct NewMessage {
    /// The caller's own id of it: told again, it is not sent again.
    pub id: String,
    /// To whom.
    pub to: Recipient,
    /// BCP 47 language to write in; the contact's where absent.
    pub language: Option<String>,
    /// ISO 3166 alpha-2 country of somebody who is no contact.
    pub country: Option<String>,
    /// What the template calls `data`.
    pub data: Value,
}

words!(
    /// Where a message to one person stands.
    OutboxState {
        /// To be handed over as soon as may be.
        Waiting = "waiting",
        /// A worker has it.
        Claimed = "claimed",
        /// The next server took it.
        Accepted = "accepted",
        /// The next server, or a rule, will not have it.
        Refused = "refused",
        /// Nobody knows whether the next server took it.
        InDoubt = "in_doubt",
        /// Its time was over before it could be handed over.
        Expired = "expired",
    }
);

/// A message and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its id here, as in the events about it.
    pub message_id: MessageId,
    /// Verification or transactional; of a test its campaign's.
    pub class: MessageClass,
    /// By which channel.
    pub channel: Channel,
    /// The template it is made of; empty for a test.
    pub template: String,
    /// To whom; a key of its own where the address is no contact's.
    pub contact: ContactKey,
    /// Where it stands.
    pub state: OutboxState,
    /// How often it was offered.
    pub tries: u64,
    /// When it was told.
    pub told_at: Timestamp,
    /// When it is given up.
    pub expires_at: Timestamp,
    /// When it came to its end.
    pub settled_at: Option<Timestamp>,
    /// The next server's words, or why it was not offered.
    pub reply: Option<String>,
}

/// A message that a worker has taken, opened. It has no `Debug`, so that no address is logged by accident.
#[derive(Clone)]
pub struct Taken {
    /// What is known of it.
    pub row: OutboxRow,
    /// What was told, without the caller's id.
    pub told: Told,
}

/// What was told of a message. It has no `Debug`, so that no address is logged by accident.
#[derive(Clone, Serialize, Deserialize)]
pub struct Told {
    /// The address, where one was given.
    pub address: Option<String>,
    /// BCP 47 language to write in.
    pub language: Option<String>,
    /// ISO 3166 alpha-2 country of somebody who is no contact.
    pub country: Option<String>,
    /// What the template calls `data`.
    pub data: Value,
    /// The message itself, where it was made when it was told: a test of a campaign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<MadeMessage>,
}

/// How a message that was taken ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEnd {
    /// Which.
    pub message_id: MessageId,
    /// Where it stands now; waiting where it is to be offered again.
    pub state: OutboxState,
    /// When it may be offered again, where it waits.
    pub next_at: Timestamp,
    /// The server's words.
    pub reply: Option<String>,
}

/// What became of telling a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enqueued {
    /// It is new and on disk.
    New(OutboxRow),
    /// It was told before, and is as it was then.
    Known(OutboxRow),
    /// Another message was told under this id before.
    Different,
    /// There is no contact with that id.
    NoContact,
    /// The contact has no address for the channel.
    NoAddress,
}

/// Another message to the same person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxSent {
    /// When it was handed over, or told where it was not yet.
    pub at: Timestamp,
    /// By which channel.
    pub channel: Channel,
    /// Of which class.
    pub class: MessageClass,
}

/// Messages of one class in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxCount {
    /// Of which class.
    pub class: MessageClass,
    /// In which state.
    pub state: OutboxState,
    /// How many.
    pub messages: u64,
}

impl Control {
    /// Stores templates that passed their check. The same again is harmless.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn put_templates(&self, templates: &[MessageTemplate]) -> Result<(), ControlError> {
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        for template in templates {
            sqlx::query(
                "INSERT INTO templates (template, definition, stored_at) VALUES ($1, $2, $3)
                 ON CONFLICT DO UPDATE SET definition = excluded.definition, stored_at = excluded.stored_at",
            )
            .bind(&template.template)
            .bind(to_json("a template", template)?)
            .bind(self.now().as_microsecond())
            .execute(&mut *transaction)
            .await
            .map_err(ControlError::query("storing a template"))?;
        }
        commit(transaction).await
    }

    /// All templates, by name.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn templates(&self) -> Result<Vec<MessageTemplate>, ControlError> {
        let rows: Vec<String> = sqlx::query_scalar("SELECT definition FROM templates ORDER BY template")
            .fetch_all(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("reading templates"))?;
        rows.iter().map(|text| from_json("a template", text)).collect()
    }

    /// One template.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn template(&self, name: &str) -> Result<Option<MessageTemplate>, ControlError> {
        let text: Option<String> = sqlx::query_scalar("SELECT definition FROM templates WHERE template = $1")
            .bind(name)
            .fetch_optional(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("reading a template"))?;
        text.map(|text| from_json("a template", &text)).transpose()
    }

    /// Takes a message down. When this returns it is on disk, and who hands over messages of its class is told.
    ///
    /// # Errors
    /// [`ControlError::InvalidContact`] for what cannot be an address.
    pub async fn enqueue(&self, template: &MessageTemplate, new: &NewMessage) -> Result<Enqueued, ControlError> {
        let now = self.now();
        let (contact, handle, told) = match self.addressed(template.channel, new).await? {
            Ok(addressed) => addressed,
            Err(refused) => return Ok(refused),
        };
        let row = OutboxRow {
            message_id: self.outbox_id(&new.id),
            class: template.class,
            channel: template.channel,
            template: template.template.clone(),
            contact,
            state: OutboxState::Waiting,
            tries: 0,
            told_at: now,
            expires_at: now.checked_add(jiff::SignedDuration::from_mins(template.expires().into())).unwrap_or(now),
            settled_at: None,
            reply: None,
        };
        let asked = to_json("a message", &(&template.template, &new.to, &new.language, &new.country, &new.data))?;
        let request = self.vault.derive(&format!("outbox request {asked}"));
        let sealed = self.vault.seal_for(SEALED_FOR, self.ids.as_ref(), &to_json("a message", &told)?);
        let mut writer = self.next_writer().await;
        let mut transaction = begin(&mut writer).await?;
        if let Some((known, stored)) = read_one(&mut transaction, &row.message_id).await? {
            return Ok(if stored == request { Enqueued::Known(known) } else { Enqueued::Different });
        }
        forget_old(&mut transaction, now).await?;
        insert(&mut transaction, &row, &handle, &request, &sealed).await?;
        commit(transaction).await?;
        drop(writer);
        self.watcher.ring_outbox();
        Ok(Enqueued::New(row))
    }

    /// Whom a message is for, or why it cannot be sent.
    async fn addressed(
        &self,
        channel: Channel,
        new: &NewMessage,
    ) -> Result<Result<(ContactKey, Vec<u8>, Told), Enqueued>, ControlError> {
        let told = |address: Option<String>| Told {
            address,
            language: new.language.clone(),
            country: new.country.clone(),
            data: new.data.clone(),
            made: None,
        };
        match &new.to {
            Recipient::Contact(own_id) => {
                let Some(key) = self.existing(std::slice::from_ref(own_id)).await?.pop() else {
                    return Ok(Err(Enqueued::NoContact));
                };
                let reachable = self.reachable(&[key], channel).await?.contains(&key);
                Ok(if reachable { Ok((key, Vec::new(), told(None))) } else { Err(Enqueued::NoAddress) })
            }
            Recipient::Address(address) => {
                let invalid = |source: FieldError| ControlError::InvalidContact { row: 1, source };
                let address = normalised(channel, address).map_err(invalid)?;
                let handle = self.vault.address(channel, &address);
                let owner = find(&mut *self.reader().await, &[handle]).await?.into_values().flatten().next();
                Ok(Ok((owner.unwrap_or_else(|| self.ids.contact_key()), handle.to_vec(), told(Some(address)))))
            }
        }
    }

    /// The id here of the caller's own id.
    fn outbox_id(&self, id: &str) -> MessageId {
        MessageId::of_hash(&self.vault.derive(&format!("outbox id {id}")))
    }

    /// Rings when this process takes a message down. Messages that another process took down are found by looking.
    #[must_use]
    pub fn outbox_rings(&self) -> watch::Receiver<u64> {
        self.watcher.outbox()
    }

    /// What became of a message, by the caller's own id.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn outbox_message(&self, id: &str) -> Result<Option<OutboxRow>, ControlError> {
        let found = read_one(&mut *self.reader().await, &self.outbox_id(id)).await?;
        Ok(found.map(|(row, _)| row))
    }

    /// How many messages of each class are in each state, of those that are remembered, tests left out.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn outbox_counts(&self) -> Result<Vec<OutboxCount>, ControlError> {
        let rows: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT class, state, count(*) FROM outbox WHERE test_campaign IS NULL GROUP BY class, state ORDER BY class, state",
        )
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("counting messages"))?;
        let read = |(class, state, messages): (String, String, i64)| {
            let class = parsed("a class of messages", &class, str::parse)?;
            Ok(OutboxCount { class, state: parsed("a message's state", &state, str::parse)?, messages: count(messages)? })
        };
        rows.into_iter().map(read).collect()
    }

    /// Takes the oldest messages of a class for a worker, those whose time is over with them.
    ///
    /// # Errors
    /// [`ControlError::Unsealed`] where a message does not open.
    pub async fn take_messages(&self, class: MessageClass, worker: &str, count: usize) -> Result<Vec<Taken>, ControlError> {
        let now = self.now().as_microsecond();
        let is_due: Option<i64> = sqlx::query_scalar(
            "SELECT 1 FROM outbox WHERE class = $1 AND state = 'waiting' AND (next_at <= $2 OR expires_at <= $2) LIMIT 1",
        )
        .bind(class.as_str())
        .bind(now)
        .fetch_optional(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("looking for messages"))?;
        if is_due.is_none() {
            return Ok(Vec::new());
        }
        let mut writer = self.next_writer().await;
        let mut transaction = begin(&mut writer).await?;
        let rows: Vec<Row> = sqlx::query_as(
            "UPDATE outbox SET state = 'claimed', worker = $3, tries = tries + 1
             WHERE message_id IN (SELECT message_id FROM outbox
                 WHERE class = $1 AND state = 'waiting' AND (next_at <= $2 OR expires_at <= $2)
                 ORDER BY next_at LIMIT $4)
             RETURNING *",
        )
        .bind(class.as_str())
        .bind(now)
        .bind(worker)
        .bind(count as i64)
        .fetch_all(&mut *transaction)
        .await
        .map_err(ControlError::query("taking messages"))?;
        let mut taken = rows.into_iter().map(|row| self.opened(row)).collect::<Result<Vec<_>, _>>()?;
        commit(transaction).await?;
        taken.sort_by_key(|taken| taken.row.told_at);
        Ok(taken)
    }

    /// What the same person or address was sent by messages like this one since `since`, or is about to be by an earlier one.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn sent_beside(&self, taken: &OutboxRow, since: Timestamp) -> Result<Vec<OutboxSent>, ControlError> {
        let rows: Vec<(i64, String, String)> = sqlx::query_as(
            "SELECT coalesce(o.settled_at, o.told_at), o.channel, o.class FROM outbox o JOIN outbox this ON this.message_id = $1
             WHERE (o.contact_key = this.contact_key OR (o.handle = this.handle AND this.handle <> x''))
                 AND o.message_id <> this.message_id AND o.told_at >= $2
                 AND (o.state IN ('accepted', 'in_doubt') OR (o.state = 'claimed' AND o.told_at < this.told_at))",
        )
        .bind(taken.message_id.as_str())
        .bind(since.as_microsecond())
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("reading what was sent"))?;
        let read = |(at, channel, class): (i64, String, String)| {
            let channel = parsed("a channel", &channel, str::parse)?;
            Ok(OutboxSent { at: time(at)?, channel, class: parsed("a class of messages", &class, str::parse)? })
        };
        rows.into_iter().map(read).collect()
    }

    /// What a worker of this name took and did not end: after a crash, the messages of which nobody knows.
    ///
    /// # Errors
    /// [`ControlError::Unsealed`] where a message does not open.
    pub async fn taken_messages(&self, worker: &str) -> Result<Vec<Taken>, ControlError> {
        let rows: Vec<Row> = sqlx::query_as("SELECT * FROM outbox WHERE state = 'claimed' AND worker = $1 ORDER BY told_at")
            .bind(worker)
            .fetch_all(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("reading taken messages"))?;
        rows.into_iter().map(|row| self.opened(row)).collect()
    }

    /// The workers that claimed or took messages and did not settle them yet, by name.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn workers_with_open_messages(&self) -> Result<Vec<String>, ControlError> {
        sqlx::query_scalar(
            "SELECT DISTINCT worker FROM ledger WHERE state = 'claimed'
             UNION SELECT DISTINCT worker FROM outbox WHERE state = 'claimed' ORDER BY 1",
        )
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("looking for open messages"))
    }

    /// Ends messages that were taken, in one commit. Those that are not taken stay as they are.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn end_messages(&self, ends: &[OutboxEnd]) -> Result<(), ControlError> {
        self.end_messages_noting(ends, &[]).await
    }

    /// The same, and notes in that commit the ids that providers gave some of them, for the receipts that come later.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn end_messages_noting(&self, ends: &[OutboxEnd], given: &[GivenId]) -> Result<(), ControlError> {
        if ends.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let mut writer = self.next_writer().await;
        let mut transaction = begin(&mut writer).await?;
        for end in ends {
            let is_open = end.state == OutboxState::Waiting;
            let reply = end.reply.as_deref().map(|reply| &reply[..reply.floor_char_boundary(REPLY_BYTES_MAX)]);
            sqlx::query(
                "UPDATE outbox SET state = $2, next_at = $3, reply = $4, settled_at = $5,
                     sealed = CASE WHEN $5 IS NULL THEN sealed END
                 WHERE message_id = $1 AND state = 'claimed'",
            )
            .bind(end.message_id.as_str())
            .bind(end.state.as_str())
            .bind(end.next_at.as_microsecond())
            .bind(reply)
            .bind((!is_open).then(|| now.as_microsecond()))
            .execute(&mut *transaction)
            .await
            .map_err(ControlError::query("ending messages"))?;
        }
        note_given(&mut transaction, given, now).await?;
        commit(transaction).await
    }

    fn opened(&self, row: Row) -> Result<Taken, ControlError> {
        let contact = contact_key(row.contact_key)?;
        let sealed = row.sealed.as_deref().unwrap_or_default();
        let text = self.vault.open_for(SEALED_FOR, sealed).ok_or(ControlError::Unsealed { contact })?;
        Ok(Taken { told: from_json("a message", &text)?, row: row.read()? })
    }
}

async fn insert(
    connection: &mut SqliteConnection,
    row: &OutboxRow,
    handle: &[u8],
    request: &[u8],
    sealed: &[u8],
) -> Result<(), ControlError> {
    sqlx::query(
        "INSERT INTO outbox (message_id, request, class, channel, template, contact_key, handle, sealed, state, told_at, next_at,
             expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'waiting', $9, $9, $10)",
    )
    .bind(row.message_id.as_str())
    .bind(request)
    .bind(row.class.as_str())
    .bind(row.channel.as_str())
    .bind(&row.template)
    .bind(row.contact.as_i64())
    .bind(handle)
    .bind(sealed)
    .bind(row.told_at.as_microsecond())
    .bind(row.expires_at.as_microsecond())
    .execute(connection)
    .await
    .map_err(ControlError::query("taking a message down"))?;
    Ok(())
}

/// Forgets messages that were settled long ago.
pub(crate) async fn forget_old(connection: &mut SqliteConnection, now: Timestamp) -> Result<(), ControlError> {
    let before = now.checked_sub(jiff::SignedDuration::from_hours(24 * REMEMBERED_DAYS)).unwrap_or(now);
    sqlx::query(
        "DELETE FROM outbox WHERE message_id IN (SELECT message_id FROM outbox WHERE settled_at < $1 ORDER BY settled_at LIMIT $2)",
    )
    .bind(before.as_microsecond())
    .bind(FORGOTTEN_AT_ONCE)
    .execute(connection)
    .await
    .map_err(ControlError::query("forgetting old messages"))?;
    Ok(())
}

/// A message and the hash of what was asked for.
async fn read_one(connection: &mut SqliteConnection, id: &MessageId) -> Result<Option<(OutboxRow, Vec<u8>)>, ControlError> {
    let row: Option<Row> = sqlx::query_as("SELECT * FROM outbox WHERE message_id = $1")
        .bind(id.as_str())
        .fetch_optional(connection)
        .await
        .map_err(ControlError::query("reading a message"))?;
    row.map(|row| Ok((row.clone().read()?, row.request))).transpose()
}

#[derive(Clone, sqlx::FromRow)]
pub(crate) struct Row {
    message_id: String,
    request: Vec<u8>,
    class: String,
    channel: String,
    template: String,
    contact_key: i64,
    sealed: Option<Vec<u8>>,
    state: String,
    tries: i64,
    told_at: i64,
    expires_at: i64,
    settled_at: Option<i64>,
    reply: Option<String>,
}

impl Row {
    pub(crate) fn read(self) -> Result<OutboxRow, ControlError> {
        Ok(OutboxRow {
            message_id: parsed("a message's id", &self.message_id, MessageId::new)?,
            class: parsed("a class of messages", &self.class, str::parse)?,
            channel: parsed("a channel", &self.channel, str::parse)?,
            template: self.template,
            contact: contact_key(self.contact_key)?,
            state: parsed("a message's state", &self.state, str::parse)?,
            tries: count(self.tries)?,
            told_at: time(self.told_at)?,
            expires_at: time(self.expires_at)?,
            settled_at: self.settled_at.map(time).transpose()?,
            reply: self.reply,
        })
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
