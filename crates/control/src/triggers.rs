//! Triggers as people write them, and how far each was evaluated.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;
use triggers::Trigger;
use vocabulary::Timestamp;

use crate::experiments::{from_json, to_json};
use crate::store::{begin, commit, count, time};
use crate::{Control, ControlError};

/// A trigger and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct TriggerRow {
    /// As people wrote it.
    pub trigger: Trigger,
    /// Grows when the condition changes.
    pub version: u32,
    /// Whether it is evaluated.
    pub is_running: bool,
    /// What became true before does not count.
    pub started_at: Timestamp,
    /// When it was stored in this form.
    pub stored_at: Timestamp,
    /// What was evaluated so far; `None` before the first time.
    pub cursor: Option<Cursor>,
    /// When it was evaluated last.
    pub evaluated_at: Option<Timestamp>,
}

/// What a trigger has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The version of each table of events in the lake.
    pub versions: BTreeMap<String, i64>,
    /// The change number of contacts.
    pub contacts: i64,
    /// The number of the last price drop.
    pub drops: i64,
}

/// How many entries ended in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TriggerCounts {
    /// Whose message was due.
    pub sent: u64,
    /// Who were held out.
    pub held_out: u64,
    /// Who were taken out.
    pub exited: u64,
    /// Who have entered or wait for something.
    pub watched: u64,
}

impl Control {
    /// Stores a trigger that passed its check. A new one starts now; one whose condition changes starts anew, and what was
    /// remembered of contacts is forgotten. The same again is harmless.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn put_trigger(&self, trigger: &Trigger) -> Result<TriggerRow, ControlError> {
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let known = read(&mut transaction, Some(&trigger.trigger)).await?.pop();
        if let Some(known) = known.as_ref().filter(|known| known.trigger == *trigger) {
            return Ok(known.clone());
        }
        let is_same = known.as_ref().is_some_and(|known| known.trigger.when == trigger.when);
        let (version, started_at) = match &known {
            Some(known) if is_same => (known.version, known.started_at),
            known => (known.as_ref().map_or(0, |known| known.version) + 1, self.now()),
        };
        if !is_same {
            forget(&mut transaction, &trigger.trigger).await?;
        }
        sqlx::query(
            "INSERT INTO triggers (trigger_name, version, definition, is_running, started_at, stored_at)
             VALUES ($1, $2, $3, true, $4, $5)
             ON CONFLICT DO UPDATE SET version = excluded.version, definition = excluded.definition,
                 started_at = excluded.started_at, stored_at = excluded.stored_at,
                 cursor = CASE WHEN version = excluded.version THEN cursor END",
        )
        .bind(&trigger.trigger)
        .bind(version)
        .bind(to_json("a trigger", trigger)?)
        .bind(started_at.as_microsecond())
        .bind(self.now().as_microsecond())
        .execute(&mut *transaction)
        .await
        .map_err(ControlError::query("storing a trigger"))?;
        let stored = read(&mut transaction, Some(&trigger.trigger)).await?.pop();
        commit(transaction).await?;
        stored.ok_or_else(|| ControlError::NotFound { noun: "trigger", id: trigger.trigger.clone() })
    }

    /// All triggers, by name.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn triggers(&self) -> Result<Vec<TriggerRow>, ControlError> {
        read(&mut *self.reader().await, None).await
    }

    /// One trigger.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn trigger(&self, name: &str) -> Result<Option<TriggerRow>, ControlError> {
        Ok(read(&mut *self.reader().await, Some(name)).await?.pop())
    }

    /// Starts or pauses a trigger. What becomes true during a pause does not count when it goes on.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] for an unknown trigger.
    pub async fn run_trigger(&self, name: &str, is_running: bool) -> Result<(), ControlError> {
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let changed = sqlx::query(
            "UPDATE triggers SET started_at = CASE WHEN $2 AND NOT is_running THEN $3 ELSE started_at END, is_running = $2
             WHERE trigger_name = $1",
        )
        .bind(name)
        .bind(is_running)
        .bind(self.now().as_microsecond())
        .execute(&mut *transaction)
        .await
        .map_err(ControlError::query("starting or pausing a trigger"))?;
        if changed.rows_affected() == 0 {
            return Err(ControlError::NotFound { noun: "trigger", id: name.to_owned() });
        }
        commit(transaction).await
    }

    /// Forgets what is remembered for a trigger and begins anew now, as if it had just been stored.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn restart_trigger(&self, name: &str) -> Result<(), ControlError> {
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        forget(&mut transaction, name).await?;
        sqlx::query("UPDATE triggers SET version = version + 1, cursor = NULL, started_at = $2 WHERE trigger_name = $1")
            .bind(name)
            .bind(self.now().as_microsecond())
            .execute(&mut *transaction)
            .await
            .map_err(ControlError::query("restarting a trigger"))?;
        commit(transaction).await
    }

    /// How many entries of a trigger ended in which way.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn trigger_counts(&self, name: &str) -> Result<TriggerCounts, ControlError> {
        let row: (i64, i64, i64, i64) = sqlx::query_as(
            "SELECT count(*) FILTER (WHERE outcome = 'send'), count(*) FILTER (WHERE outcome = 'held_out'),
                 count(*) FILTER (WHERE outcome = 'exited'),
                 (SELECT count(*) FROM trigger_states WHERE trigger_name = $1)
             FROM firings WHERE trigger_name = $1",
        )
        .bind(name)
        .fetch_one(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("counting what a trigger did"))?;
        let (sent, held_out, exited, watched) = row;
        Ok(TriggerCounts { sent: count(sent)?, held_out: count(held_out)?, exited: count(exited)?, watched: count(watched)? })
    }
}

async fn forget(connection: &mut SqliteConnection, name: &str) -> Result<(), ControlError> {
    sqlx::query("DELETE FROM trigger_states WHERE trigger_name = $1")
        .bind(name)
        .execute(connection)
        .await
        .map_err(ControlError::query("forgetting what a trigger remembers"))?;
    Ok(())
}

async fn read(connection: &mut SqliteConnection, name: Option<&str>) -> Result<Vec<TriggerRow>, ControlError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT definition, version, is_running, started_at, stored_at, cursor, evaluated_at FROM triggers
         WHERE $1 IS NULL OR trigger_name = $1 ORDER BY trigger_name",
    )
    .bind(name)
    .fetch_all(connection)
    .await
    .map_err(ControlError::query("reading triggers"))?;
    rows.into_iter().map(Row::read).collect()
}

#[derive(sqlx::FromRow)]
struct Row {
    definition: String,
    version: u32,
    is_running: bool,
    started_at: i64,
    stored_at: i64,
    cursor: Option<String>,
    evaluated_at: Option<i64>,
}

impl Row {
    fn read(self) -> Result<TriggerRow, ControlError> {
        Ok(TriggerRow {
            trigger: from_json("a trigger", &self.definition)?,
            version: self.version,
            is_running: self.is_running,
            started_at: time(self.started_at)?,
            stored_at: time(self.stored_at)?,
            cursor: self.cursor.map(|cursor| from_json("what a trigger has seen", &cursor)).transpose()?,
            evaluated_at: self.evaluated_at.map(time).transpose()?,
        })
    }
}
