//! What decides whether somebody may be written to: what they said, the suppression list, and what they got lately.

use std::collections::HashMap;

use policy::{ConsentFact, Suppression};
use vocabulary::{Channel, ContactKey, ExperimentId, MessageClass, MessageId, Timestamp, VariantName};

use crate::LedgerState;
use crate::consents::for_each_consent;
use crate::contacts::{contact_key, json_list};
use crate::store::{parsed, time};
use crate::suppressions::{read_suppressed_handles, read_suppressions};
use crate::whom::Whom;
use crate::{Control, ControlError};

/// What one contact and the suppression list say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permission {
    /// Consents given and withdrawn, in no order.
    pub consents: Vec<ConsentFact>,
    /// Entries of the suppression list, oldest first.
    pub suppressions: Vec<Suppression>,
}

/// A message in the ledger that was handed over, may have been, or is about to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentRow {
    /// To whom.
    pub contact: ContactKey,
    /// Which.
    pub message_id: MessageId,
    /// When it was claimed or, later, handed over.
    pub at: Timestamp,
    /// Grows with each claim: of two claims the earlier has the lower.
    pub number: i64,
    /// Where it stands.
    pub state: LedgerState,
    /// By which channel.
    pub channel: Channel,
    /// Of which class.
    pub class: MessageClass,
    /// The experiment it counts in.
    pub experiment_id: ExperimentId,
    /// The variant, where it is known.
    pub variant: Option<VariantName>,
}

impl Control {
    /// What is known of the permission of these contacts, or what was known at a moment; of whom nothing is known is left out.
    /// What was said again since that moment is not known of it. For thousands it is quickest where they are ordered by key.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn permissions(
        &self,
        contacts: &[ContactKey],
        as_of: Option<Timestamp>,
    ) -> Result<HashMap<ContactKey, Permission>, ControlError> {
        let mut reader = self.reader().await;
        let whom = Whom::quickest(&mut reader, contacts).await?;
        let mut found: HashMap<ContactKey, Permission> = HashMap::with_capacity(contacts.len());
        for_each_consent(&mut reader, &whom, as_of, |key, fact| {
            if whom.asks_for(contacts, key) {
                found.entry(key).or_default().consents.push(fact);
            }
        })
        .await?;
        for (key, row) in read_suppressions(&mut reader, &whom).await? {
            let key = contact_key(key)?;
            if !whom.asks_for(contacts, key) || as_of.is_some_and(|then| row.at > then) {
                continue;
            }
            let entry = Suppression { reason: row.reason, channel: row.channel, at: row.at };
            found.entry(key).or_default().suppressions.push(entry);
        }
        Ok(found)
    }

    /// What the suppression list says about an address, whoever has it; it is normalised already.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn suppressions_of_address(&self, channel: Channel, address: &str) -> Result<Vec<Suppression>, ControlError> {
        let mut handles = vec![self.vault.address(channel, address)];
        handles.extend(self.vault.domain_of(channel, address));
        read_suppressed_handles(&mut *self.reader().await, &handles).await
    }

    /// What was claimed for these contacts since `since` and was not refused or passed over, in no order.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn sent_since(&self, contacts: &[ContactKey], since: Timestamp) -> Result<Vec<SentRow>, ControlError> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT contact_key, message_id, rowid AS number, coalesce(settled_at, claimed_at) AS at, state, channel, class, experiment_id,
                 variant
             FROM ledger WHERE contact_key IN (SELECT value FROM json_each($1)) AND claimed_at >= $2
                 AND state IN ('claimed', 'accepted', 'in_doubt')",
        )
        .bind(json_list(contacts)?)
        .bind(since.as_microsecond())
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("reading what was sent"))?;
        rows.into_iter().map(Row::read).collect()
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    contact_key: i64,
    message_id: String,
    number: i64,
    at: i64,
    state: String,
    channel: String,
    class: String,
    experiment_id: String,
    variant: Option<String>,
}

impl Row {
    fn read(self) -> Result<SentRow, ControlError> {
        Ok(SentRow {
            contact: contact_key(self.contact_key)?,
            message_id: parsed("a message's id", &self.message_id, MessageId::new)?,
            at: time(self.at)?,
            number: self.number,
            state: parsed("a message's state", &self.state, str::parse)?,
            channel: parsed("a channel", &self.channel, str::parse)?,
            class: parsed("a class of messages", &self.class, str::parse)?,
            experiment_id: parsed("an experiment's id", &self.experiment_id, ExperimentId::new)?,
            variant: self.variant.map(|name| parsed("a variant's name", &name, VariantName::new)).transpose()?,
        })
    }
}
