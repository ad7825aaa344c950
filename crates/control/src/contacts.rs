//! Contacts: what is known of people, with the customer's own ids and the addresses sealed, and who must not be reached.

use std::collections::{HashMap, HashSet};

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use vocabulary::{Channel, Contact, ContactKey, Timestamp};

use crate::contact_check::{Addresses, CheckedContact, FieldError, NewContact, normal_domain, normalised};
use crate::contact_store::Duplicates;
use crate::experiments::{from_json, to_json};
use crate::store::{begin, commit, stored, time};
use crate::vault::{Handle, Sealed, Secrets, Vault};
use crate::{Control, ControlError};

/// Handles looked up by one statement: its parameters stay far below the 32,766 it may have, and larger statements are no
/// faster.
pub(crate) const HANDLES_PER_STATEMENT: usize = 1_000;
/// The longest stored reason of a suppression, in bytes: it is one line on a page.
const REASON_BYTES_MAX: usize = 500;

/// A contact who may be reached, with the addresses. It has no `Debug`, so that no address is logged by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct RecipientRow {
    /// Who.
    pub contact: Contact,
    /// The addresses that are known.
    pub addresses: Addresses,
}

/// Why a contact is not written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuppressionRow {
    /// The reason that was given first.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
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

    /// The surrogate keys of those of the customer's own ids that are known, in no order.
    ///
    /// # Errors
    /// [`ControlError::InvalidContact`] for an id that cannot be one.
    pub async fn existing(&self, own_ids: &[String]) -> Result<Vec<ContactKey>, ControlError> {
        checked(own_ids)?;
        let handles: Vec<Handle> = own_ids.iter().map(|id| self.vault.own_id(id)).collect();
        Ok(find(&mut *self.reader().await, &handles).await?.into_values().flatten().collect())
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

    /// Those of `keys` who are known and not suppressed, neither themselves nor by the domain of their mailbox, in the order
    /// given, with their addresses opened.
    ///
    /// # Errors
    /// [`ControlError::Unsealed`] where stored addresses do not open.
    pub async fn recipients(&self, keys: &[ContactKey]) -> Result<Vec<RecipientRow>, ControlError> {
        let rows: Vec<SealedRow> = sqlx::query_as(
            "SELECT contact_key, channels, profile, created_at, wrapped_key, sealed FROM contacts
             WHERE contact_key IN (SELECT value FROM json_each($1))
                 AND NOT EXISTS (SELECT 1 FROM suppressions s WHERE s.contact_key = contacts.contact_key)",
        )
        .bind(json_list(keys)?)
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("reading recipients"))?;
        let mut recipients = HashMap::with_capacity(rows.len());
        let mut by_domain: HashMap<Handle, Vec<ContactKey>> = HashMap::new();
        for row in rows {
            let (contact, sealed) = row.read()?;
            let addresses = open(&self.vault, contact.key, &sealed)?.addresses;
            if let Some((_, domain)) = addresses.get(&Channel::Email).and_then(|email| email.split_once('@')) {
                by_domain.entry(self.vault.domain(domain)).or_default().push(contact.key);
            }
            recipients.insert(contact.key, RecipientRow { contact, addresses });
        }
        let domains: Vec<Handle> = by_domain.keys().copied().collect();
        for handles in domains.chunks(HANDLES_PER_STATEMENT) {
            let mut builder = in_handles("SELECT hash FROM suppressed_handles", handles);
            let query = builder.build_query_scalar().persistent(false);
            let suppressed: Vec<Vec<u8>> =
                query.fetch_all(&mut *self.reader().await).await.map_err(ControlError::query("reading suppressed domains"))?;
            for hash in suppressed {
                for key in by_domain.get(&handle(&hash)?).into_iter().flatten() {
                    recipients.remove(key);
                }
            }
        }
        Ok(keys.iter().filter_map(|key| recipients.remove(key)).collect())
    }

    /// From now on no message of any campaign is claimed for these contacts, nor for whoever else has one of their addresses or
    /// will have it, even when they are erased and imported again. The first reason is kept.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn suppress(&self, contacts: &[ContactKey], reason: &str) -> Result<(), ControlError> {
        self.suppress_all(contacts, &[], &[], reason).await
    }

    /// The same for contacts, for addresses whether or not anybody is known who has one, and for every mailbox of a domain; all
    /// or none. Addresses and domains are normalised first.
    ///
    /// # Errors
    /// [`ControlError::InvalidContact`] for the first that cannot be an address or a domain.
    pub async fn suppress_all(
        &self,
        contacts: &[ContactKey],
        addresses: &[(Channel, String)],
        domains: &[String],
        reason: &str,
    ) -> Result<(), ControlError> {
        let invalid = |index: usize, source| ControlError::InvalidContact { row: index + 1, source };
        let mut handles = Vec::with_capacity(addresses.len());
        for (index, (channel, address)) in addresses.iter().enumerate() {
            let normal = normalised(*channel, address).map_err(|source| invalid(index, source))?;
            handles.push(self.vault.address(*channel, &normal));
        }
        let no_domain = || FieldError::new("domain", "cannot exist; write one such as `shop.example`");
        let domain = |(index, domain): (usize, &String)| {
            let normal = normal_domain(domain.trim()).ok_or_else(|| invalid(index, no_domain()))?;
            Ok(self.vault.domain(&normal))
        };
        let domains: Vec<Handle> = domains.iter().enumerate().map(domain).collect::<Result<_, ControlError>>()?;
        let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];

        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        for row in read_sealed(&mut transaction, contacts).await? {
            let (contact, sealed) = row.read()?;
            handles.extend(self.vault.address_handles(&open(&self.vault, contact.key, &sealed)?.addresses));
        }
        let now = self.now().as_microsecond();
        let sharing = find(&mut transaction, &handles).await?.into_values().flatten();
        for key in contacts.iter().copied().chain(sharing) {
            note_suppression(&mut transaction, key, reason, now).await?;
        }
        for handle in handles.iter().chain(&domains) {
            sqlx::query("INSERT OR IGNORE INTO suppressed_handles (hash, reason, suppressed_at) VALUES ($1, $2, $3)")
                .bind(handle.as_slice())
                .bind(reason)
                .bind(now)
                .execute(&mut *transaction)
                .await
                .map_err(ControlError::query("suppressing an address"))?;
        }
        commit(transaction).await
    }

    /// Why and since when one of the customer's own contacts is suppressed; the outer `None` where there is no such contact.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn suppression(&self, own_id: &str) -> Result<Option<Option<SuppressionRow>>, ControlError> {
        let Some(key) = self.existing(&[own_id.to_owned()]).await?.first().copied() else { return Ok(None) };
        self.suppression_of(key).await.map(Some)
    }

    /// The same by surrogate key.
    pub(crate) async fn suppression_of(&self, key: ContactKey) -> Result<Option<SuppressionRow>, ControlError> {
        let row: Option<(String, i64)> = sqlx::query_as("SELECT reason, suppressed_at FROM suppressions WHERE contact_key = $1")
            .bind(key.as_i64())
            .fetch_optional(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("reading a suppression"))?;
        row.map(|(reason, at)| Ok(SuppressionRow { reason, at: time(at)? })).transpose()
    }

    /// Those of `keys` who are suppressed.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn suppressed(&self, keys: &[ContactKey]) -> Result<HashSet<ContactKey>, ControlError> {
        let rows: Vec<i64> =
            sqlx::query_scalar("SELECT contact_key FROM suppressions WHERE contact_key IN (SELECT value FROM json_each($1))")
                .bind(json_list(keys)?)
                .fetch_all(&mut *self.reader().await)
                .await
                .map_err(ControlError::query("reading suppressions"))?;
        rows.into_iter().map(contact_key).collect()
    }
}

/// Notes that a contact is suppressed, unless they are already.
pub(crate) async fn note_suppression(
    connection: &mut SqliteConnection,
    contact: ContactKey,
    reason: &str,
    now: i64,
) -> Result<(), ControlError> {
    sqlx::query(
        "INSERT INTO suppressions (contact_key, reason, suppressed_at) VALUES ($1, $2, $3)
         ON CONFLICT (contact_key) DO NOTHING",
    )
    .bind(contact.as_i64())
    .bind(reason)
    .bind(now)
    .execute(connection)
    .await
    .map_err(ControlError::query("suppressing a contact"))?;
    Ok(())
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
    fn read(self) -> Result<Contact, ControlError> {
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
