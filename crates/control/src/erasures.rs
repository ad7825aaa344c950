//! Erasing people: at once unlinkable here, then deleted from the lake by a loop, then certified.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};
use vocabulary::{ContactKey, ExperimentId, Timestamp};

use crate::contacts::{forget_handle, json_list, read_sealed};
use crate::coupons::forget_draws;
use crate::known::ERASURES;
use crate::receipts::forget_given;
use crate::store::{begin, bump, commit, stored};
use crate::{Control, ControlError};

/// Contacts of one erasure: its keys are held in memory while every table is gone through.
pub const ERASURE_CONTACTS_MAX: usize = 100_000;
/// Contacts deleted by one statement.
const CONTACTS_PER_STATEMENT: usize = 250;

/// An erasure and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErasureRow {
    /// Its id.
    pub id: String,
    /// How many contacts it erases.
    pub contacts: u64,
    /// How many of the ids that were given meant nobody.
    pub unknown: u64,
    /// When it was asked for; since then nobody can link the rows to a person.
    pub requested_at: Timestamp,
    /// When the rows were gone; `None` while they are being deleted.
    pub done_at: Option<Timestamp>,
    /// What was deleted, as JSON.
    pub certificate: Option<String>,
}

/// An erasure whose rows are still in the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingErasure {
    /// Its id.
    pub id: String,
    /// Whose rows.
    pub contacts: Vec<ContactKey>,
}

impl Control {
    /// Makes people unlinkable: deletes their ids, addresses and attributes with the keys that open them, all or none. When
    /// this returns, their surrogate keys mean nobody. Ids that are unknown are counted.
    ///
    /// # Errors
    /// [`ControlError::InvalidContact`] for an id that cannot be one.
    pub async fn erase_contacts(&self, own_ids: &[String]) -> Result<ErasureRow, ControlError> {
        let mut keys = self.existing(own_ids).await?;
        keys.sort_unstable();
        keys.dedup();
        let now = self.now();
        let row = ErasureRow {
            id: self.ids.token(),
            contacts: keys.len() as u64,
            unknown: (own_ids.len() as u64).saturating_sub(keys.len() as u64),
            requested_at: now,
            done_at: None,
            certificate: None,
        };
        let bytes: Vec<u8> = keys.iter().flat_map(|key| key.to_bytes()).collect();
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        self.forget_handles(&mut transaction, &keys).await?;
        forget_given(&mut transaction, &json_list(&keys)?).await?;
        for chunk in keys.chunks(CONTACTS_PER_STATEMENT) {
            for delete in [
                "DELETE FROM contacts WHERE contact_key IN (",
                "DELETE FROM suppressions WHERE contact_key IN (",
                "DELETE FROM consents WHERE contact_key IN (",
                "DELETE FROM trigger_states WHERE contact_key IN (",
                "DELETE FROM firings WHERE contact_key IN (",
                "DELETE FROM outbox WHERE contact_key IN (",
            ] {
                let mut delete: QueryBuilder<Sqlite> = QueryBuilder::new(delete);
                let mut list = delete.separated(", ");
                chunk.iter().for_each(|key| {
                    list.push_bind(key.as_i64());
                });
                delete.push(")").build().execute(&mut *transaction).await.map_err(ControlError::query("erasing contacts"))?;
            }
            forget_draws(&mut transaction, &json_list(chunk)?).await?;
            let mut insert: QueryBuilder<Sqlite> = QueryBuilder::new("INSERT OR IGNORE INTO erased_contacts (contact_key) ");
            insert.push_values(chunk, |mut row, key| {
                row.push_bind(key.as_i64());
            });
            insert.build().execute(&mut *transaction).await.map_err(ControlError::query("erasing contacts"))?;
        }
        sqlx::query(
            "INSERT INTO erasures (erasure_id, contact_count, unknown_count, contact_keys, requested_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(&row.id)
        .bind(row.contacts as i64)
        .bind(row.unknown as i64)
        .bind(bytes)
        .bind(now.as_microsecond())
        .execute(&mut *transaction)
        .await
        .map_err(ControlError::query("noting an erasure"))?;
        bump(&mut transaction, "contacts").await?;
        bump(&mut transaction, ERASURES).await?;
        commit(transaction).await?;
        self.known.forget();
        // Deleted pages are overwritten (`secure_delete`); what the write-ahead log still holds of them goes now.
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&mut *writer)
            .await
            .map_err(ControlError::query("clearing the write-ahead log"))?;
        Ok(row)
    }

    /// Deletes what these contacts are found by. Where a contact's secrets do not open, every handle is looked at.
    async fn forget_handles(&self, connection: &mut SqliteConnection, keys: &[ContactKey]) -> Result<(), ControlError> {
        let mut unopened = Vec::new();
        for chunk in keys.chunks(CONTACTS_PER_STATEMENT) {
            for row in read_sealed(connection, chunk).await? {
                let (contact, sealed) = row.read()?;
                let Some(secrets) = self.vault.open(contact.key, &sealed) else {
                    unopened.push(contact.key);
                    continue;
                };
                for handle in self.vault.handles(&secrets) {
                    forget_handle(connection, &handle, contact.key).await?;
                }
            }
        }
        if !unopened.is_empty() {
            sqlx::query("DELETE FROM handles WHERE contact_key IN (SELECT value FROM json_each($1))")
                .bind(json_list(&unopened)?)
                .execute(connection)
                .await
                .map_err(ControlError::query("erasing contacts' handles"))?;
        }
        Ok(())
    }

    /// Deletes what the ledger holds of erased contacts, their messages' replies with it; how many messages, and how many remain
    /// because a worker is about to settle them. The counts of campaigns stay.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn forget_messages(&self, contacts: &[ContactKey]) -> Result<(u64, u64), ControlError> {
        let list = json_list(contacts)?;
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let deleted =
            sqlx::query("DELETE FROM ledger WHERE contact_key IN (SELECT value FROM json_each($1)) AND state <> 'claimed'")
                .bind(&list)
                .execute(&mut *transaction)
                .await
                .map_err(ControlError::query("erasing messages"))?;
        // A claim may have drawn one between the erasure and now.
        forget_draws(&mut transaction, &list).await?;
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM ledger WHERE contact_key IN (SELECT value FROM json_each($1))")
            .bind(&list)
            .fetch_one(&mut *transaction)
            .await
            .map_err(ControlError::query("erasing messages"))?;
        forget_given(&mut transaction, &list).await?;
        commit(transaction).await?;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&mut *writer)
            .await
            .map_err(ControlError::query("clearing the write-ahead log"))?;
        Ok((deleted.rows_affected(), left.unsigned_abs()))
    }

    /// The oldest erasure whose rows are still in the lake.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn pending_erasure(&self) -> Result<Option<PendingErasure>, ControlError> {
        let row = sqlx::query("SELECT erasure_id, contact_keys FROM erasures WHERE done_at IS NULL ORDER BY erasure_seq LIMIT 1")
            .fetch_optional(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("reading erasures"))?;
        let Some(row) = row else { return Ok(None) };
        let bytes: Vec<u8> = row.get(1);
        let key = |eight: &[u8]| {
            let number = <[u8; 8]>::try_from(eight).ok().map(i64::from_be_bytes);
            number.and_then(ContactKey::from_i64).ok_or_else(|| stored("a contact key", "of no contact".into()))
        };
        let contacts = bytes.chunks(8).map(key).collect::<Result<_, _>>()?;
        Ok(Some(PendingErasure { id: row.get(0), contacts }))
    }

    /// Notes that the rows of an erasure are gone, with the proof and how many units left each experiment.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn certify_erasure(&self, id: &str, certificate: &str, units: &BTreeMap<String, u64>) -> Result<(), ControlError> {
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let done = sqlx::query(
            "UPDATE erasures SET done_at = $1, certificate = $2, contact_keys = x'' WHERE erasure_id = $3 AND done_at IS NULL",
        )
        .bind(self.now().as_microsecond())
        .bind(certificate)
        .bind(id)
        .execute(&mut *transaction)
        .await
        .map_err(ControlError::query("certifying an erasure"))?;
        if done.rows_affected() > 0 {
            for (experiment, units) in units {
                sqlx::query(
                    "INSERT INTO erased_units (experiment_id, units) VALUES ($1, $2) \
                     ON CONFLICT (experiment_id) DO UPDATE SET units = units + excluded.units",
                )
                .bind(experiment)
                .bind(*units as i64)
                .execute(&mut *transaction)
                .await
                .map_err(ControlError::query("counting erased units"))?;
            }
        }
        commit(transaction).await
    }

    /// The erasures, newest first.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn erasures(&self) -> Result<Vec<ErasureRow>, ControlError> {
        let rows = sqlx::query(
            "SELECT erasure_id, contact_count, unknown_count, requested_at, done_at, certificate FROM erasures ORDER BY erasure_seq DESC",
        )
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("reading erasures"))?;
        let time = |micros: i64| Timestamp::from_microsecond(micros).map_err(|error| stored("a time", error.to_string()));
        rows.iter()
            .map(|row| {
                Ok(ErasureRow {
                    id: row.get(0),
                    contacts: row.get::<i64, _>(1).unsigned_abs(),
                    unknown: row.get::<i64, _>(2).unsigned_abs(),
                    requested_at: time(row.get(3))?,
                    done_at: row.get::<Option<i64>, _>(4).map(time).transpose()?,
                    certificate: row.get(5),
                })
            })
            .collect()
    }

    /// How many units of an experiment were erased.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn erased_units(&self, experiment: &ExperimentId) -> Result<u64, ControlError> {
        let units: Option<i64> = sqlx::query_scalar("SELECT units FROM erased_units WHERE experiment_id = $1")
            .bind(experiment.as_str())
            .fetch_optional(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("counting erased units"))?;
        Ok(units.unwrap_or_default().unsigned_abs())
    }

    /// Whether a surrogate key means nobody any more.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn is_erased(&self, contact: ContactKey) -> Result<bool, ControlError> {
        let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM erased_contacts WHERE contact_key = $1")
            .bind(contact.as_i64())
            .fetch_optional(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("looking for an erased contact"))?;
        Ok(found.is_some())
    }
}

#[cfg(test)]
mod tests {
    use crate::Duplicates;
    use crate::Settlement;
    use crate::testing::{World, at, claims, contact, message_id, sending_campaign};

    #[tokio::test]
    async fn the_ledger_forgets_what_is_settled_and_keeps_its_counts() {
        let world = World::new();
        let control = world.open().await;
        let campaign = sending_campaign(&control, &[(0, 10, 0)]).await;
        control.claim(&campaign, "w", &claims([1, 2, 3]), at(1)).await.unwrap();
        let settled = |id: &str| crate::Settled {
            message_id: message_id(id),
            outcome: Settlement::Refused,
            variant: None,
            recommendation_id: None,
            is_fallback: false,
            reply: Some("550 <needle@shop.example> is unknown".into()),
            at: at(2),
        };
        control.settle(&[settled("m1"), settled("m2")]).await.unwrap();
        let contacts = [1, 3].map(|key| vocabulary::ContactKey::from_i64(key).unwrap());
        assert_eq!(control.forget_messages(&contacts).await.unwrap(), (1, 1));
        assert!(control.message(&message_id("m1")).await.unwrap().is_none());
        assert!(control.message(&message_id("m2")).await.unwrap().is_some());
        control.settle(&[settled("m3")]).await.unwrap();
        assert_eq!(control.forget_messages(&contacts).await.unwrap(), (1, 0));
        assert_eq!(control.progress(&campaign).await.unwrap().refused, 3);
        let rest = vocabulary::ContactKey::from_i64(2).unwrap();
        assert_eq!(control.forget_messages(&[rest]).await.unwrap(), (1, 0));
        let bytes = world.bytes_of(&control).await;
        assert!(!bytes.windows(6).any(|window| window == b"needle"));
    }

    #[tokio::test]
    async fn the_erased_are_nobody_and_may_come_again_as_somebody_else() {
        let world = World::new();
        let control = world.open().await;
        let people = ["ann", "bob"].map(|key| contact(key).check().unwrap());
        control.upsert_contacts(&people, Duplicates::Merge).await.unwrap();
        let before = control.resolve(&["ann".to_owned(), "bob".to_owned()]).await.unwrap();
        let erasure = control.erase_contacts(&["ann".to_owned(), "nobody".to_owned()]).await.unwrap();
        assert_eq!((erasure.contacts, erasure.unknown), (1, 1));
        assert_eq!(control.contacts_after(None, 10).await.unwrap().len(), 1);
        assert!(control.is_erased(before[0]).await.unwrap() && !control.is_erased(before[1]).await.unwrap());
        assert!(control.known_keys().get("ann").is_none());
        // The same id is a new person from here on.
        let after = control.resolve(&["ann".to_owned()]).await.unwrap();
        assert_ne!(after[0], before[0]);

        let pending = control.pending_erasure().await.unwrap().unwrap();
        assert_eq!((pending.id.as_str(), pending.contacts.as_slice()), (erasure.id.as_str(), &before[..1]));
        let units = [("spring".to_owned(), 1)].into();
        control.certify_erasure(&pending.id, "{}", &units).await.unwrap();
        // Told twice it counts once.
        control.certify_erasure(&pending.id, "{}", &units).await.unwrap();
        assert_eq!(control.pending_erasure().await.unwrap(), None);
        let spring = vocabulary::ExperimentId::new("spring").unwrap();
        assert_eq!(control.erased_units(&spring).await.unwrap(), 1);
        let rows = control.erasures().await.unwrap();
        assert!(rows.len() == 1 && rows[0].done_at.is_some() && rows[0].certificate.as_deref() == Some("{}"));
    }
}
