//! What triggers remember of contacts, and what they decided: each evaluation in one commit with what it has seen, so that a crash
//! neither loses nor doubles an entry.

use std::collections::HashMap;

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use triggers::{Firing, Outcome, State};
use vocabulary::{Contact, ContactKey, Timestamp};

use crate::contacts::{ContactRow, contact_key, json_list};
use crate::experiments::{from_json, to_json};
use crate::store::{begin, commit, time};
use crate::triggers::{Cursor, TriggerRow};
use crate::{Control, ControlError};

/// Rows of one statement, each with a handful of parameters.
const ROWS_PER_STATEMENT: usize = 1_000;

/// What is remembered of one contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredState {
    /// Who.
    pub contact: ContactKey,
    /// What.
    pub state: State,
    /// When they must be looked at again without an event.
    pub due: Option<Timestamp>,
    /// Whether they are in the segment of the trigger.
    pub is_member: bool,
}

/// What one evaluation of a trigger came to.
#[derive(Debug, Clone, Default)]
pub struct Evaluation {
    /// What is remembered from now on.
    pub states: Vec<StoredState>,
    /// The entries that ended.
    pub firings: Vec<(ContactKey, Firing)>,
    /// What was seen with it.
    pub cursor: Cursor,
}

/// An entry of a contact that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FiringRow {
    /// The trigger.
    pub trigger: String,
    /// Its version.
    pub version: u32,
    /// Who.
    pub contact: ContactKey,
    /// When and how it ended.
    pub firing: Firing,
    /// When it was decided; of who was taken out, when they did what takes out.
    pub fired_at: Timestamp,
}

impl Control {
    /// What a trigger remembers of these contacts, and whether they are in its segment.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn trigger_states(
        &self,
        trigger: &str,
        contacts: &[ContactKey],
    ) -> Result<HashMap<ContactKey, StoredState>, ControlError> {
        let rows: Vec<(i64, String, Option<i64>, bool)> = sqlx::query_as(
            "SELECT contact_key, state, due, is_member FROM trigger_states
             WHERE trigger_name = $1 AND contact_key IN (SELECT value FROM json_each($2))",
        )
        .bind(trigger)
        .bind(json_list(contacts)?)
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("reading what a trigger remembers"))?;
        let row = |(key, state, due, is_member): (i64, String, Option<i64>, bool)| {
            let contact = contact_key(key)?;
            let state = from_json("what a trigger remembers", &state)?;
            Ok((contact, StoredState { contact, state, due: due.map(time).transpose()?, is_member }))
        };
        rows.into_iter().map(row).collect()
    }

    /// Whom a trigger must look at by `now` even if nothing happened.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn due_contacts(&self, trigger: &str, now: Timestamp) -> Result<Vec<ContactKey>, ControlError> {
        self.contact_keys(
            sqlx::query_scalar("SELECT contact_key FROM trigger_states WHERE trigger_name = $1 AND due <= $2")
                .bind(trigger)
                .bind(now.as_microsecond()),
        )
        .await
    }

    /// Who is in the segment of a trigger, as it knows.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn trigger_members(&self, trigger: &str) -> Result<Vec<ContactKey>, ControlError> {
        self.contact_keys(
            sqlx::query_scalar("SELECT contact_key FROM trigger_states WHERE trigger_name = $1 AND is_member").bind(trigger),
        )
        .await
    }

    /// Whoever was stored or changed after a change number, in no order.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn contacts_changed(&self, after: i64) -> Result<Vec<ContactKey>, ControlError> {
        self.contact_keys(sqlx::query_scalar("SELECT contact_key FROM contacts WHERE change_seq > $1").bind(after)).await
    }

    async fn contact_keys<'q>(
        &self,
        query: sqlx::query::QueryScalar<'q, Sqlite, i64, sqlx::sqlite::SqliteArguments>,
    ) -> Result<Vec<ContactKey>, ControlError> {
        let keys = query.fetch_all(&mut *self.reader().await).await;
        keys.map_err(ControlError::query("looking for contacts"))?.into_iter().map(contact_key).collect()
    }

    /// What is known of these contacts, without opening any address; in no order.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn contacts_of(&self, contacts: &[ContactKey]) -> Result<Vec<Contact>, ControlError> {
        let rows: Vec<ContactRow> = sqlx::query_as(
            "SELECT contact_key, channels, profile, created_at FROM contacts
             WHERE contact_key IN (SELECT value FROM json_each($1))",
        )
        .bind(json_list(contacts)?)
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("reading contacts"))?;
        rows.into_iter().map(ContactRow::read).collect()
    }

    /// Keeps what an evaluation at `now` came to, all of it. `false`, and nothing is kept, where the trigger was changed or
    /// evaluated by somebody else since it was read as `seen`.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn keep_evaluation(&self, seen: &TriggerRow, new: &Evaluation, now: Timestamp) -> Result<bool, ControlError> {
        let before = seen.cursor.as_ref().map(|cursor| to_json("what a trigger has seen", cursor)).transpose()?;
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let moved = sqlx::query(
            "UPDATE triggers SET cursor = $3, evaluated_at = $4
             WHERE trigger_name = $1 AND version = $2 AND cursor IS $5 AND is_running",
        )
        .bind(&seen.trigger.trigger)
        .bind(seen.version)
        .bind(to_json("what a trigger has seen", &new.cursor)?)
        .bind(now.as_microsecond())
        .bind(before)
        .execute(&mut *transaction)
        .await
        .map_err(ControlError::query("keeping an evaluation"))?;
        if moved.rows_affected() == 0 {
            return Ok(false);
        }
        store_states(&mut transaction, &seen.trigger.trigger, &new.states).await?;
        store_firings(&mut transaction, seen, &new.firings, now).await?;
        commit(transaction).await?;
        Ok(true)
    }

    /// The newest entries of a trigger that ended, newest first.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn firings(&self, trigger: &str, count: u32) -> Result<Vec<FiringRow>, ControlError> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT trigger_name, version, contact_key, occurrence, true_at, due, outcome, fired_at FROM firings
             WHERE trigger_name = $1 ORDER BY firing_seq DESC LIMIT $2",
        )
        .bind(trigger)
        .bind(count)
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("reading what a trigger did"))?;
        rows.into_iter().map(Row::read).collect()
    }
}

async fn store_states(connection: &mut SqliteConnection, trigger: &str, states: &[StoredState]) -> Result<(), ControlError> {
    for states in states.chunks(ROWS_PER_STATEMENT) {
        let texts = states.iter().map(|stored| to_json("what a trigger remembers", &stored.state));
        let texts: Vec<String> = texts.collect::<Result<_, _>>()?;
        let mut insert =
            QueryBuilder::<Sqlite>::new("INSERT INTO trigger_states (trigger_name, contact_key, state, due, is_member) ");
        insert.push_values(states.iter().zip(&texts), |mut values, (stored, text)| {
            values.push_bind(trigger).push_bind(stored.contact.as_i64()).push_bind(text);
            values.push_bind(stored.due.map(Timestamp::as_microsecond)).push_bind(stored.is_member);
        });
        insert.push(" ON CONFLICT DO UPDATE SET state = excluded.state, due = excluded.due, is_member = excluded.is_member");
        let query = insert.build().persistent(states.len() == ROWS_PER_STATEMENT);
        query.execute(&mut *connection).await.map_err(ControlError::query("keeping what a trigger remembers"))?;
    }
    Ok(())
}

async fn store_firings(
    connection: &mut SqliteConnection,
    seen: &TriggerRow,
    firings: &[(ContactKey, Firing)],
    now: Timestamp,
) -> Result<(), ControlError> {
    for (contact, firing) in firings {
        sqlx::query(
            "INSERT INTO firings (trigger_name, version, contact_key, occurrence, campaign_id, true_at, due, outcome, fired_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(&seen.trigger.trigger)
        .bind(seen.version)
        .bind(contact.as_i64())
        .bind(firing.occurrence)
        .bind(seen.trigger.campaign.as_str())
        .bind(firing.true_at.as_microsecond())
        .bind(firing.due.as_microsecond())
        .bind(match firing.outcome {
            Outcome::Send => "send",
            Outcome::HeldOut => "held_out",
            Outcome::Exited { .. } => "exited",
        })
        .bind(match firing.outcome {
            Outcome::Exited { at } => at.as_microsecond(),
            _ => now.as_microsecond(),
        })
        .execute(&mut *connection)
        .await
        .map_err(ControlError::query("keeping what a trigger did"))?;
    }
    Ok(())
}

#[derive(sqlx::FromRow)]
pub(crate) struct Row {
    trigger_name: String,
    version: u32,
    contact_key: i64,
    occurrence: u32,
    true_at: i64,
    due: i64,
    outcome: String,
    fired_at: i64,
}

impl Row {
    pub(crate) fn read(self) -> Result<FiringRow, ControlError> {
        let fired_at = time(self.fired_at)?;
        let outcome = match self.outcome.as_str() {
            "send" => Outcome::Send,
            "held_out" => Outcome::HeldOut,
            _ => Outcome::Exited { at: fired_at },
        };
        let firing = Firing { occurrence: self.occurrence, true_at: time(self.true_at)?, due: time(self.due)?, outcome };
        Ok(FiringRow {
            trigger: self.trigger_name,
            version: self.version,
            contact: contact_key(self.contact_key)?,
            firing,
            fired_at,
        })
    }
}
