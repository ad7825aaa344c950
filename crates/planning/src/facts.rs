//! What is known of contacts: their permission from `control`, what they were sent from the lake.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use control::{Control, Permission};
use jiff::{Timestamp, ToSpan};
use lake::{Acts, Lake, Recipient, Sends};
use policy::{SENDS_HOURS, SentFact};
use vocabulary::{Campaign, Channel, ContactKey, Experiment};

use crate::PlanningError;
use crate::fate::{Person, content_id};
use crate::hours::{Habits, habits_since};

/// Contacts asked about at once: their permissions are held in memory.
pub(crate) const CONTACTS_AT_ONCE: usize = 20_000;

/// From where facts are read.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// Consents and the suppression list.
    pub control: &'a Control,
    /// What was sent.
    pub lake: &'a Lake,
}

/// The stores themselves, for work on several threads.
#[derive(Clone)]
pub struct Stores {
    /// Consents and the suppression list.
    pub control: Arc<Control>,
    /// What was sent.
    pub lake: Arc<Lake>,
}

impl Stores {
    /// The same, to read from.
    #[must_use]
    pub fn sources(&self) -> Sources<'_> {
        Sources { control: &self.control, lake: &self.lake }
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores").finish_non_exhaustive()
    }
}

/// What contacts were sent lately.
#[derive(Debug, Default)]
pub struct History {
    sends: Sends,
    /// For each variant of the experiment that is planned its content: no other experiment has the same.
    contents: Vec<String>,
}

impl History {
    /// Puts what one contact was sent into `facts`; `from` as for [`Sends::of`].
    fn tell<'a>(&'a self, contact: ContactKey, from: &mut usize, facts: &mut Vec<SentFact<'a>>) {
        facts.clear();
        let content = |variant: usize| self.contents.get(variant).map(String::as_str);
        facts.extend(self.sends.of(contact, from).map(|sent| SentFact {
            at: sent.at,
            channel: sent.channel,
            class: sent.class,
            content: sent.variant.and_then(content),
        }));
    }
}

/// What is known of one contact of an audience.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Who, and where.
    pub recipient: &'a Recipient,
    /// In the form in which decisions are made.
    pub person: Person<'a>,
}

/// What `control` knows of contacts, of those it knows something of.
pub type Permissions = HashMap<ContactKey, Permission>;

impl fmt::Debug for Sources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

impl Sources<'_> {
    /// What these contacts, or all, were sent before `now`, as far back as any rule looks, for messages of an experiment.
    ///
    /// # Errors
    /// [`PlanningError`] where it cannot be read.
    pub async fn history(
        &self,
        contacts: Option<&[ContactKey]>,
        of: &Experiment,
        now: Timestamp,
    ) -> Result<History, PlanningError> {
        let since = now.checked_sub(SENDS_HOURS.hours()).unwrap_or(now);
        let sends = self.lake.sends(contacts, of, since, now).await?;
        Ok(History { sends, contents: of.variants.iter().map(|variant| content_id(of, variant)).collect() })
    }

    /// What is learned of the hours of an audience, which is ordered by key, and when they did what it is learned from: one query.
    ///
    /// # Errors
    /// [`PlanningError`] where it cannot be read.
    pub(crate) async fn habits(
        &self,
        of: &Campaign,
        audience: &Arc<Vec<Recipient>>,
        now: Timestamp,
    ) -> Result<(Habits, Acts), PlanningError> {
        let acts = self.lake.acts(None, habits_since(now), now).await?;
        let (of, audience) = (of.clone(), audience.clone());
        Ok(tokio::task::spawn_blocking(move || (Habits::learn(&of, &audience, &acts), acts)).await?)
    }

    /// By which channel each of an audience wants to be written to, in its order, which is by key.
    ///
    /// # Errors
    /// [`PlanningError`] where it cannot be read.
    pub async fn preferences(
        &self,
        contacts: Option<&[ContactKey]>,
        audience: &[Recipient],
    ) -> Result<Vec<Option<Channel>>, PlanningError> {
        let mut found = self.lake.preferences(contacts).await?.into_iter().peekable();
        let of = |recipient: &Recipient| {
            while found.next_if(|(key, _)| *key < recipient.key).is_some() {}
            found.next_if(|(key, _)| *key == recipient.key).map(|(_, channel)| channel)
        };
        Ok(audience.iter().map(of).collect())
    }

    /// What `control` knows of these recipients. With `as_of` only what was known then counts.
    ///
    /// # Errors
    /// [`PlanningError`] where it cannot be read.
    pub async fn permissions(&self, recipients: &[Recipient], as_of: Option<Timestamp>) -> Result<Permissions, PlanningError> {
        let keys: Vec<ContactKey> = recipients.iter().map(|recipient| recipient.key).collect();
        Ok(self.control.permissions(&keys, as_of).await?)
    }

    /// Tells `each` what is known of every recipient, in order. With `as_of` only what was known then counts of permissions.
    ///
    /// # Errors
    /// [`PlanningError`] where it cannot be read.
    pub async fn consider(
        &self,
        recipients: &[Recipient],
        history: &History,
        as_of: Option<Timestamp>,
        mut each: impl FnMut(Known<'_>),
    ) -> Result<(), PlanningError> {
        for recipients in recipients.chunks(CONTACTS_AT_ONCE) {
            let permissions = self.permissions(recipients, as_of).await?;
            tell(recipients, &permissions, history, &mut each);
        }
        Ok(())
    }
}

/// Tells `each` what is known of some recipients, in order, who are best ordered by key.
pub(crate) fn tell(recipients: &[Recipient], permissions: &Permissions, history: &History, mut each: impl FnMut(Known<'_>)) {
    let nothing = Permission::default();
    let (mut sends, mut from) = (Vec::new(), 0);
    for recipient in recipients {
        let (traits, permission) = (&recipient.traits, permissions.get(&recipient.key).unwrap_or(&nothing));
        history.tell(recipient.key, &mut from, &mut sends);
        let person = Person {
            key: recipient.key,
            country: traits.country.as_deref(),
            region: traits.region.as_deref(),
            time_zone: traits.time_zone.as_deref(),
            is_zone_derived: traits.is_zone_derived,
            channels: &traits.channels,
            consents: &permission.consents,
            suppressions: &permission.suppressions,
            sends: &sends,
            learned: None,
            prefers: None,
        };
        each(Known { recipient, person });
    }
}
