//! The suppression list: who is not written to, why, and since when. It knows addresses and domains by their hashes, so it
//! outlives erasures and imports.

use std::collections::{BTreeMap, HashSet};

use policy::{Suppression, SuppressionReason};
use sqlx::SqliteConnection;
use vocabulary::{Channel, ContactKey, Timestamp};

use crate::consents::{NewConsent, read_consents, store_consents};
use crate::contact_check::{FieldError, check_note, normal_domain, normalised};
use crate::contacts::{HANDLES_PER_STATEMENT, handle, in_handles, json_list, open, read_sealed, sealed_after};
use crate::store::{begin, commit, parsed, time};
use crate::vault::Handle;
use crate::whom::Whom;
use crate::{Control, ControlError};

/// Whom to suppress and why; all or none.
#[derive(Debug, Clone)]
pub struct NewSuppression {
    /// Contacts, with the addresses they have.
    pub contacts: Vec<ContactKey>,
    /// Addresses, whether or not anybody is known who has them.
    pub addresses: Vec<(Channel, String)>,
    /// Domains of e-mail, every mailbox of each.
    pub domains: Vec<String>,
    /// Why; it decides which classes of message are stopped.
    pub reason: SuppressionReason,
    /// The channel on which the contacts are suppressed; every one where absent.
    pub channel: Option<Channel>,
    /// More about why, for people.
    pub note: Option<String>,
}

impl NewSuppression {
    /// Nobody yet, for that reason, on every channel.
    #[must_use]
    pub fn new(reason: SuppressionReason) -> Self {
        Self { contacts: Vec::new(), addresses: Vec::new(), domains: Vec::new(), reason, channel: None, note: None }
    }
}

/// Why a contact is not written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuppressionRow {
    /// Why.
    pub reason: SuppressionReason,
    /// The channel; every one where absent.
    pub channel: Option<Channel>,
    /// More about why, for people.
    pub note: Option<String>,
    /// Since when; the last time it was said.
    pub at: Timestamp,
}

impl Control {
    /// From now on these contacts, whoever else has one of the addresses and whoever will have it, are on the list, even when
    /// they are erased and imported again. Addresses and domains are normalised first.
    ///
    /// # Errors
    /// [`ControlError::InvalidContact`] for the first that cannot be an address or a domain; then nothing is done.
    pub async fn suppress(&self, new: &NewSuppression) -> Result<(), ControlError> {
        let named = self.handles_of(new)?;
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        self.put_on_list(&mut transaction, new, &named).await?;
        commit(transaction).await?;
        drop(writer);
        if new.domains.is_empty() {
            return Ok(());
        }
        // Whoever comes from now on is met by the domain's entry; those who are here already are looked for.
        let contacts = self.contacts_in(&named).await?;
        let entry = Entry { reason: new.reason, note: new.note.as_deref(), at: self.now().as_microsecond() };
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        entry.note_contacts(&mut transaction, &contacts, Some(Channel::Email)).await?;
        commit(transaction).await
    }

    /// Everybody with a mailbox in one of these domains. It opens every contact, because nothing else asks for a domain.
    async fn contacts_in(&self, domains: &[(Channel, Handle)]) -> Result<Vec<ContactKey>, ControlError> {
        let domains: HashSet<Handle> = domains.iter().map(|(_, handle)| *handle).collect();
        let (mut found, mut last) = (Vec::new(), 0);
        loop {
            let rows = sealed_after(&mut *self.reader().await, last).await?;
            if rows.is_empty() {
                return Ok(found);
            }
            for row in rows {
                let (contact, sealed) = row.read()?;
                last = contact.key.as_i64();
                let addresses = open(&self.vault, contact.key, &sealed)?.addresses;
                let email = addresses.get(&Channel::Email);
                let domain = email.and_then(|email| self.vault.domain_of(Channel::Email, email));
                if domain.is_some_and(|domain| domains.contains(&domain)) {
                    found.push(contact.key);
                }
            }
        }
    }

    /// Takes a contact's consent back on one channel and puts them on the list there. `source` tells where they said so.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn unsubscribe(&self, contact: ContactKey, channel: Channel, source: &str) -> Result<(), ControlError> {
        let new = NewSuppression {
            contacts: vec![contact],
            channel: Some(channel),
            note: Some(source.to_owned()),
            ..NewSuppression::new(SuppressionReason::Unsubscribed)
        };
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        self.put_on_list(&mut transaction, &new, &[]).await?;
        let mut known = read_consents(&mut transaction, &[contact], None).await?.remove(&contact).unwrap_or_default();
        let withdrawn = NewConsent { source: Some(source.to_owned()), ..NewConsent::new(channel, None) };
        // There is nothing to seal, so no key is needed.
        let new = self.news_of(contact, &[], &mut known, &[withdrawn])?;
        store_consents(&mut transaction, &new, self.now()).await?;
        commit(transaction).await
    }

    /// Puts contacts on the list with their addresses, and beside them the addresses and domains that are `named`.
    async fn put_on_list(
        &self,
        transaction: &mut SqliteConnection,
        new: &NewSuppression,
        named: &[(Channel, Handle)],
    ) -> Result<(), ControlError> {
        let mut handles = named.to_vec();
        let entry = Entry { reason: new.reason, note: new.note.as_deref(), at: self.now().as_microsecond() };
        for row in read_sealed(transaction, &new.contacts).await? {
            let (contact, sealed) = row.read()?;
            let addresses = open(&self.vault, contact.key, &sealed)?.addresses;
            let about = addresses.iter().filter(|(channel, _)| new.channel.is_none_or(|only| only == **channel));
            handles.extend(about.map(|(channel, address)| (*channel, self.vault.address(*channel, address))));
        }
        entry.note_contacts(transaction, &new.contacts, new.channel).await?;
        for (channel, handle) in &handles {
            entry.note_handle(transaction, *channel, handle).await?;
        }
        Ok(())
    }

    fn handles_of(&self, new: &NewSuppression) -> Result<Vec<(Channel, Handle)>, ControlError> {
        let invalid = |index: usize, source| ControlError::InvalidContact { row: index + 1, source };
        check_note("note", new.note.as_deref()).map_err(|source| invalid(0, source))?;
        let mut handles = Vec::with_capacity(new.addresses.len() + new.domains.len());
        for (index, (channel, address)) in new.addresses.iter().enumerate() {
            let normal = normalised(*channel, address).map_err(|source| invalid(index, source))?;
            handles.push((*channel, self.vault.address(*channel, &normal)));
        }
        for (index, domain) in new.domains.iter().enumerate() {
            let no_domain = || FieldError::new("domain", "cannot exist; write one such as `shop.example`");
            let normal = normal_domain(domain.trim()).ok_or_else(|| invalid(index, no_domain()))?;
            handles.push((Channel::Email, self.vault.domain(&normal)));
        }
        Ok(handles)
    }

    /// The entries about one of the customer's own contacts, oldest first; `None` where there is no such contact.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn suppressions(&self, own_id: &str) -> Result<Option<Vec<SuppressionRow>>, ControlError> {
        let Some(key) = self.existing(&[own_id.to_owned()]).await?.first().copied() else { return Ok(None) };
        let found = read_suppressions(&mut *self.reader().await, &Whom::listed(&[key])?).await?;
        Ok(Some(found.into_iter().map(|(_, row)| row).collect()))
    }
}

/// One entry before it is known about whom.
struct Entry<'a> {
    reason: SuppressionReason,
    note: Option<&'a str>,
    at: i64,
}

/// An entry that is there is as new as the last time it was said.
macro_rules! said_again {
    ($insert:literal) => {
        concat!(
            $insert,
            " ON CONFLICT DO UPDATE SET suppressed_at = max(suppressed_at, excluded.suppressed_at),
                  note = coalesce(excluded.note, note)"
        )
    };
}

impl Entry<'_> {
    async fn note_contacts(
        &self,
        connection: &mut SqliteConnection,
        contacts: &[ContactKey],
        channel: Option<Channel>,
    ) -> Result<(), ControlError> {
        sqlx::query(said_again!("INSERT INTO suppressions SELECT value, $2, $3, $4, $5 FROM json_each($1) WHERE true"))
            .bind(json_list(contacts)?)
            .bind(self.reason.as_str())
            .bind(channel.map_or("", Channel::as_str))
            .bind(self.note)
            .bind(self.at)
            .execute(connection)
            .await
            .map_err(ControlError::query("suppressing contacts"))?;
        Ok(())
    }

    /// Notes an address or a domain, and everybody who has it.
    async fn note_handle(
        &self,
        connection: &mut SqliteConnection,
        channel: Channel,
        handle: &Handle,
    ) -> Result<(), ControlError> {
        for insert in [
            said_again!("INSERT INTO suppressed_handles SELECT $1, $2, $3, $4, $5 WHERE true"),
            said_again!("INSERT INTO suppressions SELECT contact_key, $2, $3, $4, $5 FROM handles WHERE hash = $1"),
        ] {
            sqlx::query(insert)
                .bind(handle.as_slice())
                .bind(self.reason.as_str())
                .bind(channel.as_str())
                .bind(self.note)
                .bind(self.at)
                .execute(&mut *connection)
                .await
                .map_err(ControlError::query("suppressing an address"))?;
        }
        Ok(())
    }
}

/// Puts those on the list who have got an address or a domain that is on it.
pub(crate) async fn suppress_again(
    connection: &mut SqliteConnection,
    added: impl Iterator<Item = &(Handle, ContactKey)>,
) -> Result<(), ControlError> {
    let mut owners: BTreeMap<Handle, Vec<ContactKey>> = BTreeMap::new();
    for (handle, contact) in added {
        owners.entry(*handle).or_default().push(*contact);
    }
    let handles: Vec<Handle> = owners.keys().copied().collect();
    for handles in handles.chunks(HANDLES_PER_STATEMENT) {
        let mut find = in_handles("SELECT DISTINCT hash FROM suppressed_handles", handles);
        let query = find.build_query_scalar().persistent(handles.len() == HANDLES_PER_STATEMENT);
        let found: Vec<Vec<u8>> =
            query.fetch_all(&mut *connection).await.map_err(ControlError::query("looking for suppressed addresses"))?;
        for hash in found {
            let contacts = owners.get(&handle(&hash)?).map_or(&[][..], Vec::as_slice);
            sqlx::query(said_again!(
                "INSERT INTO suppressions
                 SELECT value, s.reason, s.channel, s.note, s.suppressed_at
                 FROM suppressed_handles s, json_each($2) WHERE s.hash = $1"
            ))
            .bind(hash.as_slice())
            .bind(json_list(contacts)?)
            .execute(&mut *connection)
            .await
            .map_err(ControlError::query("suppressing an address again"))?;
        }
    }
    Ok(())
}

/// Takes away what was said of an address that the contact no longer has: that it does not exist.
pub(crate) async fn forget_bounces(
    connection: &mut SqliteConnection,
    contact: ContactKey,
    channel: Channel,
) -> Result<(), ControlError> {
    sqlx::query("DELETE FROM suppressions WHERE contact_key = $1 AND channel = $2 AND reason IN ('hard_bounced', 'invalid')")
        .bind(contact.as_i64())
        .bind(channel.as_str())
        .execute(connection)
        .await
        .map_err(ControlError::query("forgetting an old address"))?;
    Ok(())
}

/// The entries about these addresses and domains, in no order.
pub(crate) async fn read_suppressed_handles(
    connection: &mut SqliteConnection,
    handles: &[Handle],
) -> Result<Vec<Suppression>, ControlError> {
    let mut find = in_handles("SELECT reason, channel, suppressed_at FROM suppressed_handles", handles);
    let rows: Vec<(String, String, i64)> =
        find.build_query_as().fetch_all(connection).await.map_err(ControlError::query("looking for suppressed addresses"))?;
    let entry = |(reason, channel, at): (String, String, i64)| {
        let channel = if channel.is_empty() { None } else { Some(parsed("a channel", &channel, str::parse)?) };
        let reason = parsed("the reason of a suppression", &reason, str::parse)?;
        Ok(Suppression { reason, channel, at: time(at)? })
    };
    rows.into_iter().map(entry).collect()
}

/// The entries about these contacts, oldest first.
pub(crate) async fn read_suppressions(
    connection: &mut SqliteConnection,
    whom: &Whom,
) -> Result<Vec<(i64, SuppressionRow)>, ControlError> {
    let query = match whom {
        Whom::Listed(_) => {
            "SELECT contact_key, reason, channel, note, suppressed_at FROM suppressions
             WHERE contact_key IN (SELECT value FROM json_each($1)) ORDER BY suppressed_at, reason"
        }
        Whom::Between(..) => {
            "SELECT contact_key, reason, channel, note, suppressed_at FROM suppressions
             WHERE contact_key BETWEEN $1 AND $2 ORDER BY suppressed_at, reason"
        }
    };
    let rows: Vec<(i64, String, String, Option<String>, i64)> = sqlx::query_as_with(query, whom.arguments()?)
        .fetch_all(connection)
        .await
        .map_err(ControlError::query("reading suppressions"))?;
    let row = |(key, reason, channel, note, at): (i64, String, String, Option<String>, i64)| {
        let channel = if channel.is_empty() { None } else { Some(parsed("a channel", &channel, str::parse)?) };
        let reason = parsed("the reason of a suppression", &reason, str::parse)?;
        Ok((key, SuppressionRow { reason, channel, note, at: time(at)? }))
    };
    rows.into_iter().map(row).collect()
}
