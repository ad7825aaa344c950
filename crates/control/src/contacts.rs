//! Contacts: what is known of people, with the customer's own ids and the addresses sealed.

use std::collections::HashMap;

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use vocabulary::{Channel, Contact, ContactKey};

use crate::contact_check::{Addresses, CheckedContact, FieldError, NewContact};
use crate::contact_store::Duplicates;
use crate::experiments::{from_json, to_json};
use crate::store::{stored, time};
use crate::vault::{Handle, Sealed, Secrets, Vault};
use crate::{Control, ControlError};

/// Handles looked up by one statement: its parameters stay far below the 32,766 it may have, and larger statements are no
/// faster.
pub(crate) const HANDLES_PER_STATEMENT: usize = 1_000;
/// Contacts read at once where all are gone through.
const SEALED_PAGE: i64 = 5_000;

/// A contact with the addresses. It has no `Debug`, so that no address is logged by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct RecipientRow {
    /// Who.
    pub contact: Contact,
    /// The addresses that are known.
    pub addresses: Addresses,
}

impl Control {
    /// The surrogate keys of the customer's own ids, in the order given. Unknown ones get a contact of whom nothing else is
    /// known. [`Control::known_keys`] remembers them.
    ///
    /// # Errors
    /// [`ControlError::InvalidContact`] for an id that cannot be one.
    pub async fn resolve(&self, own_ids: &[String]) -> Result<Vec<ContactKey>, ControlError> {
        let contacts = checked(own_ids)?;
        let handles: Vec<Handle> = own_ids.iter().map(|id| self.vault.own_id(id)).collect();
        let mark = self.known.mark();
        let mut known = find(&mut *self.reader().await, &handles).await?;
        let unknown = contacts.into_iter().zip(&handles).filter(|(_, handle)| !known.contains_key(*handle));
        let unknown: Vec<_> = unknown.map(|(contact, _)| contact).collect();
        if !unknown.is_empty() {
            self.upsert_contacts(&unknown, Duplicates::default()).await?;
            known = find(&mut *self.reader().await, &handles).await?;
        }
        let found = |handle| known.get(handle).and_then(|keys: &Vec<ContactKey>| keys.first()).copied();
        let found = |handle| found(handle).ok_or_else(|| stored("a contact", "nothing, just after storing it".into()));
        let found: Vec<ContactKey> = handles.iter().map(found).collect::<Result<_, _>>()?;
        self.known.learn(mark, own_ids.iter().map(String::as_str).zip(found.iter().copied()));
        Ok(found)
    }

    /// The surrogate keys of those of the customer's own ids that are known, in the order given.
    ///
    /// # Errors
    /// [`ControlError::InvalidContact`] for an id that cannot be one.
    pub async fn existing(&self, own_ids: &[String]) -> Result<Vec<ContactKey>, ControlError> {
        Ok(self.look_up(own_ids).await?.into_iter().flatten().collect())
    }

    /// The surrogate keys of the customer's own ids, in the order given; `None` for those that mean nobody.
    ///
    /// # Errors
    /// [`ControlError::InvalidContact`] for an id that cannot be one.
    pub async fn look_up(&self, own_ids: &[String]) -> Result<Vec<Option<ContactKey>>, ControlError> {
        checked(own_ids)?;
        let handles: Vec<Handle> = own_ids.iter().map(|id| self.vault.own_id(id)).collect();
        let known = find(&mut *self.reader().await, &handles).await?;
        Ok(handles.iter().map(|handle| known.get(handle)?.first().copied()).collect())
    }

    /// A number that grows with each upsert that changed something; 0 before the first.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn contacts_change(&self) -> Result<i64, ControlError> {
        sqlx::query_scalar("SELECT number FROM changes WHERE noun = 'contacts'")
            .fetch_one(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("reading the contacts' change number"))
    }

    /// The first `count` contacts behind `after` in key order, without their addresses.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn contacts_after(&self, after: Option<ContactKey>, count: usize) -> Result<Vec<Contact>, ControlError> {
        let rows: Vec<ContactRow> = sqlx::query_as(
            "SELECT contact_key, channels, profile, created_at FROM contacts WHERE contact_key > $1 ORDER BY contact_key LIMIT $2",
        )
        .bind(after.map_or(0, ContactKey::as_i64))
        .bind(i64::try_from(count).unwrap_or(i64::MAX))
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("reading contacts"))?;
        rows.into_iter().map(ContactRow::read).collect()
    }

    /// Those of `keys` who are known, in the order given, with their addresses opened.
    ///
    /// # Errors
    /// [`ControlError::Unsealed`] where stored addresses do not open.
    pub async fn recipients(&self, keys: &[ContactKey]) -> Result<Vec<RecipientRow>, ControlError> {
        let mut recipients = HashMap::with_capacity(keys.len());
        for row in read_sealed(&mut *self.reader().await, keys).await? {
            let (contact, sealed) = row.read()?;
            let addresses = open(&self.vault, contact.key, &sealed)?.addresses;
            recipients.insert(contact.key, RecipientRow { contact, addresses });
        }
        Ok(keys.iter().filter_map(|key| recipients.remove(key)).collect())
    }
}

/// Contacts with these own ids and nothing else.
fn checked(own_ids: &[String]) -> Result<Vec<CheckedContact>, ControlError> {
    let check = |(index, id): (usize, &String)| {
        let contact = NewContact { key: id.clone(), ..NewContact::default() };
        contact.check().map_err(|source: FieldError| ControlError::InvalidContact { row: index + 1, source })
    };
    own_ids.iter().enumerate().map(check).collect()
}

/// The contacts of those handles that are known: one for an own id, one or more for an address.
pub(crate) async fn find(
    connection: &mut SqliteConnection,
    handles: &[Handle],
) -> Result<HashMap<Handle, Vec<ContactKey>>, ControlError> {
    let mut known: HashMap<Handle, Vec<ContactKey>> = HashMap::new();
    for handles in handles.chunks(HANDLES_PER_STATEMENT) {
        let mut builder = in_handles("SELECT hash, contact_key FROM handles", handles);
        let rows: Vec<(Vec<u8>, i64)> = builder
            .build_query_as()
            .persistent(handles.len() == HANDLES_PER_STATEMENT)
            .fetch_all(&mut *connection)
            .await
            .map_err(ControlError::query("looking up contacts"))?;
        for (hash, key) in rows {
            known.entry(handle(&hash)?).or_default().push(contact_key(key)?);
        }
    }
    Ok(known)
}

/// The next contacts with their seals behind a key, in key order; none at the end.
pub(crate) async fn sealed_after(connection: &mut SqliteConnection, last: i64) -> Result<Vec<SealedRow>, ControlError> {
    sqlx::query_as(
        "SELECT contact_key, channels, profile, created_at, wrapped_key, sealed FROM contacts
         WHERE contact_key > $1 ORDER BY contact_key LIMIT $2",
    )
    .bind(last)
    .bind(SEALED_PAGE)
    .fetch_all(connection)
    .await
    .map_err(ControlError::query("reading contacts"))
}

/// Contacts with their seals, in no order.
pub(crate) async fn read_sealed(connection: &mut SqliteConnection, keys: &[ContactKey]) -> Result<Vec<SealedRow>, ControlError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_as(
        "SELECT contact_key, channels, profile, created_at, wrapped_key, sealed FROM contacts
         WHERE contact_key IN (SELECT value FROM json_each($1))",
    )
    .bind(json_list(keys)?)
    .fetch_all(connection)
    .await
    .map_err(ControlError::query("reading contacts"))
}

/// Gives handles to contacts; those they have already stay.
pub(crate) async fn add_handles(
    connection: &mut SqliteConnection,
    handles: impl Iterator<Item = &(Handle, ContactKey)>,
) -> Result<(), ControlError> {
    let handles: Vec<_> = handles.collect();
    for handles in handles.chunks(HANDLES_PER_STATEMENT) {
        let mut insert = QueryBuilder::<Sqlite>::new("INSERT OR IGNORE INTO handles (hash, contact_key) ");
        insert.push_values(handles, |mut values, (handle, key)| {
            values.push_bind(handle.as_slice()).push_bind(key.as_i64());
        });
        let query = insert.build().persistent(handles.len() == HANDLES_PER_STATEMENT);
        query.execute(&mut *connection).await.map_err(ControlError::query("storing contacts' handles"))?;
    }
    Ok(())
}

/// Takes a handle from a contact.
pub(crate) async fn forget_handle(
    connection: &mut SqliteConnection,
    handle: &Handle,
    contact: ContactKey,
) -> Result<(), ControlError> {
    sqlx::query("DELETE FROM handles WHERE hash = $1 AND contact_key = $2")
        .bind(handle.as_slice())
        .bind(contact.as_i64())
        .execute(connection)
        .await
        .map_err(ControlError::query("forgetting an own id or an address"))?;
    Ok(())
}

/// `select` with the condition that the hash is one of these.
pub(crate) fn in_handles(select: &str, handles: &[Handle]) -> QueryBuilder<Sqlite> {
    let mut builder = QueryBuilder::new(select);
    builder.push(" WHERE hash IN (");
    let mut list = builder.separated(", ");
    for handle in handles {
        list.push_bind(handle.as_slice());
    }
    builder.push(")");
    builder
}

/// Reads a stored handle.
pub(crate) fn handle(bytes: &[u8]) -> Result<Handle, ControlError> {
    bytes.try_into().map_err(|_| stored("the hash of an own id or an address", format!("{} bytes", bytes.len())))
}

/// Reads a stored surrogate key.
pub(crate) fn contact_key(value: i64) -> Result<ContactKey, ControlError> {
    ContactKey::from_i64(value).ok_or_else(|| stored("a contact's key", value.to_string()))
}

/// A list of keys as one parameter: a statement with a parameter for each would be prepared anew for each length.
pub(crate) fn json_list(keys: &[ContactKey]) -> Result<String, ControlError> {
    to_json("a list of keys", &keys.iter().map(|key| key.as_i64()).collect::<Vec<_>>())
}

/// The bit of a channel in `contacts.channels`.
pub(crate) fn channel_bit(channel: Channel) -> i64 {
    1 << channel as i64
}

/// A contact as stored, without the seals.
#[derive(sqlx::FromRow)]
pub(crate) struct ContactRow {
    contact_key: i64,
    channels: i64,
    profile: String,
    created_at: i64,
}

impl ContactRow {
    pub(crate) fn read(self) -> Result<Contact, ControlError> {
        let channels = Channel::ALL.iter().copied().filter(|channel| self.channels & channel_bit(*channel) != 0);
        Ok(Contact {
            channels: channels.collect(),
            profile: from_json("what is known of a contact", &self.profile)?,
            ..Contact::new(contact_key(self.contact_key)?, time(self.created_at)?)
        })
    }
}

/// A contact as stored, with the seals.
#[derive(sqlx::FromRow)]
pub(crate) struct SealedRow {
    wrapped_key: Vec<u8>,
    sealed: Vec<u8>,
    #[sqlx(flatten)]
    contact: ContactRow,
}

impl SealedRow {
    pub(crate) fn read(self) -> Result<(Contact, Sealed), ControlError> {
        Ok((self.contact.read()?, Sealed { wrapped_key: self.wrapped_key, secrets: self.sealed }))
    }
}

/// Opens the secrets of a contact.
pub(crate) fn open(vault: &Vault, contact: ContactKey, sealed: &Sealed) -> Result<Secrets, ControlError> {
    vault.open(contact, sealed).ok_or(ControlError::Unsealed { contact })
}

#[cfg(test)]
#[path = "contacts_tests.rs"]
mod tests;
