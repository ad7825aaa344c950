//! Contacts come in: which of those given are new, which are known, and which are the same person under another id.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use policy::ConsentFact;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use vocabulary::{Channel, Contact, ContactKey, Profile};

use crate::attributes::{Types, read_types};
use crate::consents::{NewConsent, StoredConsent, read_consents, store_consents};
use crate::contact_check::{CheckedContact, FieldError, NewContact, address_field, check_attribute_count};
use crate::contacts::{add_handles, channel_bit, find, forget_handle, open, read_sealed};
use crate::experiments::to_json;
use crate::store::{begin, bump, commit};
use crate::suppressions::{forget_bounces, suppress_again};
use crate::vault::{Handle, Sealed, Secrets};
use crate::{Control, ControlError};

/// Contacts read or written by one statement. Eight parameters each stay far below the 32,766 a statement may have, and
/// larger statements are no faster.
const CONTACTS_PER_STATEMENT: usize = 500;

vocabulary::words!(
    /// What to do with a new own id whose address is another contact's.
    #[derive(Default)]
    Duplicates {
        /// It is the same person: the id becomes a further one of that contact, and what the row says is taken over. Unless
        /// the two have different addresses for another channel: then they are two people who share a phone or a mailbox.
        #[default]
        Merge = "merge",
        /// They are two people who share an address.
        Separate = "separate",
        /// The row is refused.
        Reject = "reject",
    }
);

/// What an upsert did, counted in rows given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Upserted {
    /// New contacts.
    pub created: u64,
    /// Contacts that changed.
    pub updated: u64,
    /// Contacts that were so already.
    pub unchanged: u64,
    /// Those of the updated and unchanged whose own id was new and became a further one of a contact with the same address.
    pub merged: u64,
    /// Rows that were not stored, by their place among those given, counted from 0.
    pub faults: Vec<(usize, FieldError)>,
}

impl Control {
    /// Stores contacts in one commit. A contact that is so already is left alone. Of two rows with the same key, the second is
    /// applied after the first. A row at fault is left out and named; the others are stored.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read or written; then nothing is stored.
    pub async fn upsert_contacts(&self, contacts: &[CheckedContact], rule: Duplicates) -> Result<Upserted, ControlError> {
        let mut upserted = Upserted::default();
        if contacts.is_empty() {
            return Ok(upserted);
        }
        let handles: Vec<Handles> = contacts.iter().map(|CheckedContact(contact)| Handles::of(self, contact)).collect();
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        // Taken back with the transaction when nothing turns out to change.
        let change = bump(&mut transaction, "contacts").await?;
        let has_attributes = |CheckedContact(contact): &CheckedContact| !contact.profile.attributes.is_empty();
        let types = if contacts.iter().any(has_attributes) { read_types(&mut transaction).await? } else { Types::new() };
        for (number, (contacts, handles)) in
            contacts.chunks(CONTACTS_PER_STATEMENT).zip(handles.chunks(CONTACTS_PER_STATEMENT)).enumerate()
        {
            let speak = contacts.iter().any(|CheckedContact(contact)| !contact.consents.is_empty());
            let mut drafts = Drafts::read(self, &mut transaction, handles, speak, &types).await?;
            for (index, (CheckedContact(contact), handles)) in contacts.iter().zip(handles).enumerate() {
                match drafts.apply(contact, handles, rule) {
                    Ok(outcome) => upserted.count(&outcome),
                    Err(Refusal::Fault(fault)) => upserted.faults.push((number * CONTACTS_PER_STATEMENT + index, fault)),
                    Err(Refusal::Failed(error)) => return Err(error),
                }
            }
            drafts.store(&mut transaction, change).await?;
        }
        if upserted.created + upserted.updated + upserted.merged > 0 {
            commit(transaction).await?;
        }
        Ok(upserted)
    }
}

impl Upserted {
    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Created => self.created += 1,
            Outcome::Known { changed: true, .. } => self.updated += 1,
            Outcome::Known { changed: false, .. } => self.unchanged += 1,
        }
        if let Outcome::Known { merged: true, .. } = outcome {
            self.merged += 1;
        }
    }
}

/// The handles of one row.
struct Handles {
    own_id: Handle,
    /// Each with that of its domain, if it has one.
    addresses: Vec<(Channel, Handle, Option<Handle>)>,
}

impl Handles {
    fn of(control: &Control, contact: &NewContact) -> Self {
        let vault = &control.vault;
        let addresses = contact.addresses.iter();
        let addresses =
            addresses.map(|(channel, address)| (*channel, vault.address(*channel, address), vault.domain_of(*channel, address)));
        Self { own_id: vault.own_id(&contact.key), addresses: addresses.collect() }
    }

    /// Those by which a person is found. A domain is many people's.
    fn personal(&self) -> impl Iterator<Item = Handle> {
        std::iter::once(self.own_id).chain(self.addresses.iter().map(|(_, handle, _)| *handle))
    }
}

/// What applying a row did.
enum Outcome {
    Created,
    Known { changed: bool, merged: bool },
}

/// Why a row is not applied.
enum Refusal {
    /// The row is at fault.
    Fault(FieldError),
    /// The file is.
    Failed(ControlError),
}

impl From<FieldError> for Refusal {
    fn from(fault: FieldError) -> Self {
        Self::Fault(fault)
    }
}

impl From<ControlError> for Refusal {
    fn from(error: ControlError) -> Self {
        Self::Failed(error)
    }
}

/// A contact between reading and writing.
struct Draft {
    contact: Contact,
    sealed: Sealed,
    changed: bool,
    /// What they said, where it was asked.
    said: Vec<ConsentFact>,
}

/// The contacts that one batch of rows is about.
struct Drafts<'a> {
    control: &'a Control,
    /// Whose handles these are, as stored and as given by rows so far.
    owners: HashMap<Handle, Vec<ContactKey>>,
    drafts: HashMap<ContactKey, Draft>,
    /// Handles to store and to take away.
    added: BTreeSet<(Handle, ContactKey)>,
    removed: BTreeSet<(Handle, ContactKey)>,
    /// Whose address of a channel is another one now.
    moved: Vec<(ContactKey, Channel)>,
    /// Whose address is in which domain, where it is a new one.
    domains: Vec<(Handle, ContactKey)>,
    consents: Vec<StoredConsent>,
    types: &'a Types,
}

impl<'a> Drafts<'a> {
    /// Reads what is known of the rows' contacts; with `speak` also what they said.
    async fn read(
        control: &'a Control,
        connection: &mut SqliteConnection,
        handles: &[Handles],
        speak: bool,
        types: &'a Types,
    ) -> Result<Self, ControlError> {
        let all: Vec<Handle> = handles.iter().flat_map(Handles::personal).collect();
        let owners = find(connection, &all).await?;
        let keys: BTreeSet<ContactKey> = owners.values().flatten().copied().collect();
        let keys: Vec<ContactKey> = keys.into_iter().collect();
        let mut said = if speak { read_consents(connection, &keys, None).await? } else { HashMap::new() };
        let mut drafts = HashMap::with_capacity(handles.len());
        for row in read_sealed(connection, &keys).await? {
            let (contact, sealed) = row.read()?;
            let said = said.remove(&contact.key).unwrap_or_default();
            drafts.insert(contact.key, Draft { contact, sealed, changed: false, said });
        }
        let (added, removed) = (BTreeSet::new(), BTreeSet::new());
        Ok(Self { control, owners, drafts, added, removed, moved: Vec::new(), domains: Vec::new(), consents: Vec::new(), types })
    }

    fn apply(&mut self, new: &NewContact, handles: &Handles, rule: Duplicates) -> Result<Outcome, Refusal> {
        let own = self.owners.get(&handles.own_id).and_then(|keys| keys.first()).copied();
        let same = if rule == Duplicates::Separate { None } else { self.same_person(handles, own)? };
        let same = match same {
            Some((_, key)) if rule == Duplicates::Merge && self.contradicts(key, new)? => None,
            same => same,
        };
        match (own, same) {
            (None, None) => self.create(new, handles),
            (None, Some((channel, _))) if rule == Duplicates::Reject => {
                let field = address_field(channel);
                Err(FieldError::new(field, "is that of another contact; give that contact's key, or allow duplicates to merge")
                    .into())
            }
            (None, Some((_, key))) => Ok(Outcome::Known { changed: self.update(key, new, handles, true)?, merged: true }),
            (Some(_), Some((channel, _))) => {
                let reason = "is that of another contact, and what happened to two contacts cannot be put together; \
                              leave it out, erase one of them, or allow duplicates to stay separate";
                Err(FieldError::new(address_field(channel), reason).into())
            }
            (Some(key), None) => Ok(Outcome::Known { changed: self.update(key, new, handles, false)?, merged: false }),
        }
    }

    /// The contact, other than `own`, to whom addresses of a row belong.
    fn same_person(&self, handles: &Handles, own: Option<ContactKey>) -> Result<Option<(Channel, ContactKey)>, Refusal> {
        let mut found: Option<(Channel, ContactKey)> = None;
        for (channel, handle, _) in &handles.addresses {
            let Some(owners) = self.owners.get(handle).filter(|owners| own.is_none_or(|own| !owners.contains(&own))) else {
                continue;
            };
            match (found, owners.first()) {
                (None, Some(owner)) => found = Some((*channel, *owner)),
                (Some((first, known)), Some(_)) if !owners.contains(&known) => {
                    let reason =
                        format!("is that of one other contact and `{}` that of another; leave one out", address_field(first));
                    return Err(FieldError::new(address_field(*channel), reason).into());
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// Whether a contact has another address for a channel than a row says.
    fn contradicts(&self, key: ContactKey, new: &NewContact) -> Result<bool, ControlError> {
        let draft = self.drafts.get(&key).ok_or(ControlError::Unsealed { contact: key })?;
        let known = open(&self.control.vault, key, &draft.sealed)?.addresses;
        let vault = &self.control.vault;
        let differs = |channel: &Channel, address: &str| {
            known.get(channel).is_some_and(|known| vault.address(*channel, known) != vault.address(*channel, address))
        };
        Ok(new.addresses.iter().any(|(channel, address)| differs(channel, address)))
    }

    fn create(&mut self, new: &NewContact, handles: &Handles) -> Result<Outcome, Refusal> {
        let Control { vault, ids, .. } = self.control;
        let now = self.control.now();
        let mut contact = Contact::new(ids.contact_key(), new.registered_at.unwrap_or(now).min(now));
        contact.channels = new.addresses.keys().copied().collect();
        contact.profile = merged(&Profile::default(), &new.profile, self.types)?;
        let secrets = Secrets { key: new.key.clone(), also: Vec::new(), addresses: new.addresses.clone() };
        let sealed = vault.seal(ids.as_ref(), contact.key, &secrets);
        for handle in handles.personal() {
            self.add(handle, contact.key);
        }
        self.domains.extend(handles.addresses.iter().filter_map(|(_, _, domain)| Some(((*domain)?, contact.key))));
        let key = contact.key;
        self.drafts.insert(key, Draft { contact, sealed, changed: true, said: Vec::new() });
        self.hear(key, &new.consents)?;
        Ok(Outcome::Created)
    }

    /// Takes over what a row says about a known contact; whether anything changed. `further` makes its id a further one.
    fn update(&mut self, key: ContactKey, new: &NewContact, handles: &Handles, further: bool) -> Result<bool, Refusal> {
        let Control { vault, ids, .. } = self.control;
        let draft = self.drafts.get_mut(&key).ok_or(ControlError::Unsealed { contact: key })?;
        let profile = merged(&draft.contact.profile, &new.profile, self.types)?;
        let registered_at = new.registered_at.unwrap_or(draft.contact.created_at).min(draft.contact.created_at);
        let mut changed = profile != draft.contact.profile || registered_at != draft.contact.created_at;
        draft.contact.created_at = registered_at;
        draft.contact.profile = profile;
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        if further || !new.addresses.is_empty() {
            let mut secrets = open(vault, key, &draft.sealed)?;
            let before = secrets.clone();
            for ((channel, address), (_, handle, domain)) in new.addresses.iter().zip(&handles.addresses) {
                let old = secrets.addresses.insert(*channel, address.clone());
                let old = old.map(|old| vault.address(*channel, &old));
                if old != Some(*handle) {
                    removed.extend(old);
                    added.push(*handle);
                    self.domains.extend(domain.map(|domain| (domain, key)));
                    self.moved.push((key, *channel));
                }
            }
            if further {
                secrets.also.push(new.key.clone());
                added.push(handles.own_id);
            }
            if secrets != before {
                let resealed = vault.reseal(ids.as_ref(), key, &draft.sealed, &secrets);
                draft.sealed = resealed.ok_or(ControlError::Unsealed { contact: key })?;
                draft.contact.channels = secrets.addresses.keys().copied().collect();
                changed = true;
            }
        }
        draft.changed |= changed;
        removed.into_iter().for_each(|handle| self.remove(handle, key));
        added.into_iter().for_each(|handle| self.add(handle, key));
        Ok(self.hear(key, &new.consents)? || changed)
    }

    /// Takes down what a contact said; whether any of it is new.
    fn hear(&mut self, key: ContactKey, consents: &[NewConsent]) -> Result<bool, ControlError> {
        let draft = self.drafts.get_mut(&key).ok_or(ControlError::Unsealed { contact: key })?;
        let new = self.control.news_of(key, &draft.sealed.wrapped_key, &mut draft.said, consents)?;
        let is_news = !new.is_empty();
        self.consents.extend(new);
        Ok(is_news)
    }

    fn add(&mut self, handle: Handle, key: ContactKey) {
        let owners = self.owners.entry(handle).or_default();
        if !owners.contains(&key) {
            owners.push(key);
        }
        self.removed.remove(&(handle, key));
        self.added.insert((handle, key));
    }

    fn remove(&mut self, handle: Handle, key: ContactKey) {
        if let Some(owners) = self.owners.get_mut(&handle) {
            owners.retain(|owner| *owner != key);
        }
        self.added.remove(&(handle, key));
        self.removed.insert((handle, key));
    }

    /// Writes what changed.
    async fn store(&self, connection: &mut SqliteConnection, change: i64) -> Result<(), ControlError> {
        self.store_contacts(connection, change).await?;
        for (handle, key) in &self.removed {
            forget_handle(connection, handle, *key).await?;
        }
        for (key, channel) in &self.moved {
            forget_bounces(connection, *key, *channel).await?;
        }
        add_handles(connection, self.added.iter()).await?;
        suppress_again(connection, self.added.iter().chain(&self.domains)).await?;
        store_consents(connection, &self.consents, self.control.now()).await
    }

    async fn store_contacts(&self, connection: &mut SqliteConnection, change: i64) -> Result<(), ControlError> {
        // In key order: neighbours in the file are written together.
        let changed: BTreeMap<_, _> = self.drafts.iter().filter(|(_, draft)| draft.changed).collect();
        let profile = |draft: &&Draft| to_json("what is known of a contact", &draft.contact.profile);
        let profiles: Vec<_> = changed.values().map(profile).collect::<Result<_, _>>()?;
        let rows: Vec<_> = changed.into_values().zip(profiles).collect();
        let now = self.control.now().as_microsecond();
        for rows in rows.chunks(CONTACTS_PER_STATEMENT) {
            let mut builder = QueryBuilder::<Sqlite>::new(
                "INSERT INTO contacts (contact_key, wrapped_key, sealed, channels, profile, change_seq, created_at, updated_at) ",
            );
            builder.push_values(rows, |mut values, (Draft { contact, sealed, .. }, profile)| {
                let channels: i64 = contact.channels.iter().map(|channel| channel_bit(*channel)).sum();
                values.push_bind(contact.key.as_i64());
                values.push_bind(sealed.wrapped_key.as_slice()).push_bind(sealed.secrets.as_slice());
                values.push_bind(channels).push_bind(profile);
                values.push_bind(change).push_bind(contact.created_at.as_microsecond()).push_bind(now);
            });
            builder.push(
                " ON CONFLICT (contact_key) DO UPDATE SET sealed = excluded.sealed, channels = excluded.channels,
                     profile = excluded.profile, change_seq = excluded.change_seq,
                     created_at = excluded.created_at, updated_at = excluded.updated_at",
            );
            let query = builder.build().persistent(rows.len() == CONTACTS_PER_STATEMENT);
            query.execute(&mut *connection).await.map_err(ControlError::query("storing contacts"))?;
        }
        Ok(())
    }
}

/// What is known with what is new.
fn merged(known: &Profile, new: &Profile, types: &Types) -> Result<Profile, FieldError> {
    let text = |known: &Option<String>, new: &Option<String>| new.clone().or_else(|| known.clone());
    let labels = |known: &BTreeSet<String>, new: &BTreeSet<String>| if new.is_empty() { known.clone() } else { new.clone() };
    let mut profile = Profile {
        country: text(&known.country, &new.country),
        region: text(&known.region, &new.region),
        language: text(&known.language, &new.language),
        time_zone: text(&known.time_zone, &new.time_zone),
        market: text(&known.market, &new.market),
        interests: labels(&known.interests, &new.interests),
        tags: labels(&known.tags, &new.tags),
        device: text(&known.device, &new.device),
        birth: new.birth.or(known.birth),
        source: text(&known.source, &new.source),
        phone_country: text(&known.phone_country, &new.phone_country),
        attributes: known.attributes.clone(),
    };
    for (name, value) in &new.attributes {
        if value.is_empty() {
            profile.attributes.remove(name);
        } else {
            let value = match types.get(name) {
                Some(kind) => kind.read(value).map_err(|reason| FieldError::new(format!("attributes.{name}"), reason))?,
                None => value.clone(),
            };
            profile.attributes.insert(name.clone(), value);
        }
    }
    check_attribute_count(profile.attributes.len())?;
    Ok(profile)
}
