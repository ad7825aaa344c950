//! Contacts: what is known of people, with the customer's own id and the address sealed, and who must not be reached.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use vocabulary::{Contact, ContactKey};

pub use crate::contact_check::FieldError;
use crate::experiments::{from_json, to_json};
use crate::store::{begin, bump, commit, stored};
use crate::vault::{Sealed, Secrets, Vault};
use crate::{Control, ControlError};

/// Contacts read or written by one statement. Twelve parameters each stay far below the 32,766 a statement may have, and
/// larger statements are no faster.
const CONTACTS_PER_STATEMENT: usize = 250;
/// The longest stored reason of a suppression, in bytes: it is one line on a page.
const REASON_BYTES_MAX: usize = 500;

/// A contact as the customer's system knows them. What is absent stays as it is known; an attribute with an empty value is
/// taken away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewContact {
    /// The customer's own id of the contact.
    pub key: String,
    /// The address.
    #[serde(default)]
    pub email: Option<String>,
    /// ISO 3166 alpha-2 country, upper case.
    #[serde(default)]
    pub country: Option<String>,
    /// BCP 47 language tag, such as `pt-BR`.
    #[serde(default)]
    pub language: Option<String>,
    /// IANA time zone, such as `Asia/Shanghai`.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// The customer's own attributes.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

/// What an upsert did, counted in rows given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Upserted {
    /// New contacts.
    pub created: u64,
    /// Contacts that changed.
    pub updated: u64,
    /// Contacts that were so already.
    pub unchanged: u64,
}

/// A contact who may be reached, with the address. It has no `Debug`, so that the address is not logged by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct RecipientRow {
    /// Who.
    pub contact: Contact,
    /// The address, where one is known.
    pub email: Option<String>,
}

impl Control {
    /// Stores contacts, all or none, in one commit. A contact that is so already is left alone. Of two rows with the same
    /// key, the second is applied after the first.
    ///
    /// # Errors
    /// [`ControlError::InvalidContact`] for the first that fails [`NewContact::check`].
    pub async fn upsert_contacts(&self, contacts: Vec<NewContact>) -> Result<Upserted, ControlError> {
        let hashes = self.check_all(&contacts)?;
        let mut upserted = Upserted::default();
        if contacts.is_empty() {
            return Ok(upserted);
        }
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        // Taken back with the transaction when nothing turns out to change.
        let change = bump(&mut transaction, "contacts").await?;
        for (number, (contacts, hashes)) in
            contacts.chunks(CONTACTS_PER_STATEMENT).zip(hashes.chunks(CONTACTS_PER_STATEMENT)).enumerate()
        {
            let mut drafts = Drafts { known: read_by_hash(&mut transaction, hashes).await?, control: self };
            for (index, (contact, hash)) in contacts.iter().zip(hashes).enumerate() {
                let row = number * CONTACTS_PER_STATEMENT + index + 1;
                match drafts.apply(contact, *hash, row)? {
                    Outcome::Created => upserted.created += 1,
                    Outcome::Updated => upserted.updated += 1,
                    Outcome::Unchanged => upserted.unchanged += 1,
                }
            }
            drafts.store(&mut transaction, change).await?;
        }
        if upserted.created + upserted.updated > 0 {
            commit(transaction).await?;
        }
        Ok(upserted)
    }

    /// The surrogate keys of the customer's own ids, in the order given. Unknown ones get a contact of whom nothing else is
    /// known. [`Control::known_keys`] remembers them.
    ///
    /// # Errors
    /// [`ControlError::InvalidContact`] for an id that cannot be one.
    pub async fn resolve(&self, keys: &[String]) -> Result<Vec<ContactKey>, ControlError> {
        let new = |key: &String| NewContact { key: key.clone(), ..NewContact::default() };
        let contacts: Vec<_> = keys.iter().map(new).collect();
        let hashes = self.check_all(&contacts)?;
        let mark = self.known.mark();
        let mut known = self.find(&hashes).await?;
        let unknown = contacts.into_iter().zip(&hashes).filter(|(_, hash)| !known.contains_key(*hash));
        let unknown: Vec<_> = unknown.map(|(contact, _)| contact).collect();
        if !unknown.is_empty() {
            self.upsert_contacts(unknown).await?;
            known = self.find(&hashes).await?;
        }
        let found = |hash| known.get(hash).copied().ok_or_else(|| stored("a contact", "nothing, just after storing it".into()));
        let found: Vec<ContactKey> = hashes.iter().map(found).collect::<Result<_, _>>()?;
        self.known.learn(mark, keys.iter().map(String::as_str).zip(found.iter().copied()));
        Ok(found)
    }

    /// The surrogate keys of those of the customer's own ids that are known, in no order.
    ///
    /// # Errors
    /// [`ControlError::InvalidContact`] for an id that cannot be one.
    pub(crate) async fn existing(&self, own_ids: &[String]) -> Result<Vec<ContactKey>, ControlError> {
        let new = |key: &String| NewContact { key: key.clone(), ..NewContact::default() };
        let hashes = self.check_all(&own_ids.iter().map(new).collect::<Vec<_>>())?;
        Ok(self.find(&hashes).await?.into_values().collect())
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

    /// All contacts in key order, without their addresses.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn all_contacts(&self) -> Result<Vec<Contact>, ControlError> {
        let rows: Vec<Attributes> =
            sqlx::query_as("SELECT contact_key, country, language, time_zone, attributes FROM contacts ORDER BY contact_key")
                .fetch_all(&mut *self.reader().await)
                .await
                .map_err(ControlError::query("reading all contacts"))?;
        rows.into_iter().map(Attributes::read).collect()
    }

    /// Those of `keys` who are known and not suppressed, in the order given, with their addresses opened.
    ///
    /// # Errors
    /// [`ControlError::Unsealed`] where a stored address does not open.
    pub async fn recipients(&self, keys: &[ContactKey]) -> Result<Vec<RecipientRow>, ControlError> {
        #[derive(sqlx::FromRow)]
        struct Row {
            wrapped_key: Vec<u8>,
            sealed: Vec<u8>,
            #[sqlx(flatten)]
            attributes: Attributes,
        }
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT contact_key, country, language, time_zone, attributes, wrapped_key, sealed FROM contacts
             WHERE contact_key IN (SELECT value FROM json_each($1))
                 AND NOT EXISTS (SELECT 1 FROM suppressions s WHERE s.contact_key = contacts.contact_key)",
        )
        .bind(json_list(keys)?)
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("reading recipients"))?;
        let mut recipients = HashMap::with_capacity(rows.len());
        for row in rows {
            let contact = row.attributes.read()?;
            let secrets = open(&self.vault, contact.key, &Sealed { wrapped_key: row.wrapped_key, secrets: row.sealed })?;
            recipients.insert(contact.key, RecipientRow { contact, email: secrets.email });
        }
        Ok(keys.iter().filter_map(|key| recipients.remove(key)).collect())
    }

    /// From now on no message of any campaign is claimed for this contact. The first reason is kept.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn suppress(&self, contact: ContactKey, reason: &str) -> Result<(), ControlError> {
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        sqlx::query(
            "INSERT INTO suppressions (contact_key, reason, suppressed_at) VALUES ($1, $2, $3)
             ON CONFLICT (contact_key) DO NOTHING",
        )
        .bind(contact.as_i64())
        .bind(&reason[..reason.floor_char_boundary(REASON_BYTES_MAX)])
        .bind(self.now().as_microsecond())
        .execute(&mut *transaction)
        .await
        .map_err(ControlError::query("suppressing a contact"))?;
        commit(transaction).await
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

    fn check_all(&self, contacts: &[NewContact]) -> Result<Vec<[u8; 32]>, ControlError> {
        let check = |(index, contact): (usize, &NewContact)| match contact.check() {
            Ok(()) => Ok(self.vault.index(&contact.key)),
            Err(source) => Err(ControlError::InvalidContact { row: index + 1, source }),
        };
        contacts.iter().enumerate().map(check).collect()
    }

    /// The surrogate keys of the contacts with these hashes, as far as they are known.
    async fn find(&self, hashes: &[[u8; 32]]) -> Result<HashMap<[u8; 32], ContactKey>, ControlError> {
        let mut known = HashMap::with_capacity(hashes.len());
        for hashes in hashes.chunks(CONTACTS_PER_STATEMENT) {
            let mut builder = in_hashes("SELECT contact_key, key_hash FROM contacts", hashes);
            let rows: Vec<(i64, Vec<u8>)> = builder
                .build_query_as()
                .persistent(hashes.len() == CONTACTS_PER_STATEMENT)
                .fetch_all(&mut *self.reader().await)
                .await
                .map_err(ControlError::query("looking up contacts"))?;
            for (key, hash) in rows {
                known.insert(key_hash(&hash)?, contact_key(key)?);
            }
        }
        Ok(known)
    }
}

/// Reads a stored surrogate key.
pub(crate) fn contact_key(value: i64) -> Result<ContactKey, ControlError> {
    ContactKey::from_i64(value).ok_or_else(|| stored("a contact's key", value.to_string()))
}

/// A list of keys as one parameter: a statement with a parameter for each would be prepared anew for each length.
pub(crate) fn json_list(keys: &[ContactKey]) -> Result<String, ControlError> {
    to_json("a list of keys", &keys.iter().map(|key| key.as_i64()).collect::<Vec<_>>())
}

/// A contact as stored, without the seals.
#[derive(sqlx::FromRow)]
struct Attributes {
    contact_key: i64,
    country: Option<String>,
    language: Option<String>,
    time_zone: Option<String>,
    attributes: String,
}

impl Attributes {
    fn read(self) -> Result<Contact, ControlError> {
        Ok(Contact {
            key: contact_key(self.contact_key)?,
            country: self.country,
            language: self.language,
            time_zone: self.time_zone,
            attributes: from_json("a contact's attributes", &self.attributes)?,
        })
    }
}

/// What applying a row did.
enum Outcome {
    Created,
    Updated,
    Unchanged,
}

/// A contact between reading and writing.
struct Draft {
    contact: Contact,
    sealed: Sealed,
    has_email: bool,
    changed: bool,
}

/// The contacts of one batch, by the hash of their own id.
struct Drafts<'a> {
    known: HashMap<[u8; 32], Draft>,
    control: &'a Control,
}

impl Drafts<'_> {
    fn apply(&mut self, new: &NewContact, hash: [u8; 32], row: usize) -> Result<Outcome, ControlError> {
        let Control { vault, ids, .. } = self.control;
        let Some(draft) = self.known.get_mut(&hash) else {
            let mut contact =
                Contact { key: ids.contact_key(), country: None, language: None, time_zone: None, attributes: BTreeMap::new() };
            merge(&mut contact, new, row)?;
            let secrets = Secrets { key: new.key.clone(), email: new.email.clone() };
            let sealed = vault.seal(ids.as_ref(), contact.key, &secrets);
            self.known.insert(hash, Draft { contact, sealed, has_email: new.email.is_some(), changed: true });
            return Ok(Outcome::Created);
        };
        let mut changed = merge(&mut draft.contact, new, row)?;
        if let Some(email) = &new.email {
            let key = draft.contact.key;
            let secrets = open(vault, key, &draft.sealed)?;
            if secrets.email.as_ref() != Some(email) {
                let secrets = Secrets { email: Some(email.clone()), ..secrets };
                let resealed = vault.reseal(ids.as_ref(), key, &draft.sealed, &secrets);
                draft.sealed = resealed.ok_or(ControlError::Unsealed { contact: key })?;
                draft.has_email = true;
                changed = true;
            }
        }
        draft.changed |= changed;
        Ok(if changed { Outcome::Updated } else { Outcome::Unchanged })
    }

    /// Writes those that changed.
    async fn store(&self, connection: &mut SqliteConnection, change: i64) -> Result<(), ControlError> {
        let changed: Vec<_> = self.known.iter().filter(|(_, draft)| draft.changed).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let attributes = changed.iter().map(|(_, draft)| to_json("a contact's attributes", &draft.contact.attributes));
        let attributes: Vec<_> = attributes.collect::<Result<_, _>>()?;
        let now = self.control.now().as_microsecond();
        let mut builder = QueryBuilder::<Sqlite>::new(
            "INSERT INTO contacts (contact_key, key_hash, wrapped_key, sealed, has_email, country, language, time_zone,
                 attributes, change_seq, created_at, updated_at) ",
        );
        builder.push_values(changed.iter().zip(attributes), |mut values, ((hash, draft), attributes)| {
            let Draft { contact, sealed, has_email, .. } = draft;
            values.push_bind(contact.key.as_i64()).push_bind(hash.as_slice());
            values.push_bind(sealed.wrapped_key.as_slice()).push_bind(sealed.secrets.as_slice());
            values.push_bind(*has_email);
            values.push_bind(contact.country.as_deref()).push_bind(contact.language.as_deref());
            values.push_bind(contact.time_zone.as_deref()).push_bind(attributes);
            values.push_bind(change).push_bind(now).push_bind(now);
        });
        builder.push(
            " ON CONFLICT (contact_key) DO UPDATE SET sealed = excluded.sealed, has_email = excluded.has_email,
                 country = excluded.country,
                 language = excluded.language, time_zone = excluded.time_zone, attributes = excluded.attributes,
                 change_seq = excluded.change_seq, updated_at = excluded.updated_at
              WHERE key_hash = excluded.key_hash",
        );
        let query = builder.build().persistent(changed.len() == CONTACTS_PER_STATEMENT);
        query.execute(connection).await.map_err(ControlError::query("storing contacts"))?;
        Ok(())
    }
}

/// Takes over what `new` says; whether anything changed.
fn merge(contact: &mut Contact, new: &NewContact, row: usize) -> Result<bool, ControlError> {
    let old = contact.clone();
    let take = |known: &mut Option<String>, new: &Option<String>| {
        if new.is_some() {
            known.clone_from(new);
        }
    };
    take(&mut contact.country, &new.country);
    take(&mut contact.language, &new.language);
    take(&mut contact.time_zone, &new.time_zone);
    for (name, value) in &new.attributes {
        if value.is_empty() {
            contact.attributes.remove(name);
        } else {
            contact.attributes.insert(name.clone(), value.clone());
        }
    }
    crate::contact_check::check_attribute_count(contact.attributes.len())
        .map_err(|source| ControlError::InvalidContact { row, source })?;
    Ok(*contact != old)
}

fn open(vault: &Vault, contact: ContactKey, sealed: &Sealed) -> Result<Secrets, ControlError> {
    vault.open(contact, sealed).ok_or(ControlError::Unsealed { contact })
}

async fn read_by_hash(connection: &mut SqliteConnection, hashes: &[[u8; 32]]) -> Result<HashMap<[u8; 32], Draft>, ControlError> {
    #[derive(sqlx::FromRow)]
    struct Row {
        key_hash: Vec<u8>,
        wrapped_key: Vec<u8>,
        sealed: Vec<u8>,
        has_email: bool,
        #[sqlx(flatten)]
        attributes: Attributes,
    }
    let mut builder = in_hashes(
        "SELECT contact_key, country, language, time_zone, attributes, key_hash, wrapped_key, sealed, has_email FROM contacts",
        hashes,
    );
    let rows: Vec<Row> = builder
        .build_query_as()
        .persistent(hashes.len() == CONTACTS_PER_STATEMENT)
        .fetch_all(connection)
        .await
        .map_err(ControlError::query("reading contacts"))?;
    let read = |row: Row| {
        let sealed = Sealed { wrapped_key: row.wrapped_key, secrets: row.sealed };
        let (contact, has_email) = (row.attributes.read()?, row.has_email);
        Ok((key_hash(&row.key_hash)?, Draft { contact, sealed, has_email, changed: false }))
    };
    rows.into_iter().map(read).collect()
}

fn in_hashes(select: &str, hashes: &[[u8; 32]]) -> QueryBuilder<Sqlite> {
    let mut builder = QueryBuilder::new(select);
    builder.push(" WHERE key_hash IN (");
    let mut list = builder.separated(", ");
    for hash in hashes {
        list.push_bind(hash.as_slice());
    }
    builder.push(")");
    builder
}

fn key_hash(bytes: &[u8]) -> Result<[u8; 32], ControlError> {
    bytes.try_into().map_err(|_| stored("the hash of a contact's own id", format!("{} bytes", bytes.len())))
}

#[cfg(test)]
#[path = "contacts_tests.rs"]
mod tests;
