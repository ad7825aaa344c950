//! What is known of contacts: their permission from `control`, what they were sent from the lake.

use std::collections::HashSet;
use std::fmt;

use control::{Control, Permission};
use jiff::{Timestamp, ToSpan};
use lake::{Lake, Recipient, Sends};
use policy::{SENDS_HOURS, SentFact};
use vocabulary::{Channel, ContactKey, Experiment};

use crate::PlanningError;
use crate::fate::{Person, content_of_sent};

/// Contacts asked about at once: their permissions are held in memory.
const CONTACTS_AT_ONCE: usize = 20_000;

/// From where facts are read.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// Consents and the suppression list.
    pub control: &'a Control,
    /// What was sent.
    pub lake: &'a Lake,
}

/// What contacts were sent lately.
#[derive(Debug, Default)]
pub struct History {
    sends: Sends,
    /// For each place in [`Sends::variants`] the content, where it is of the experiment that is planned: no other has the same.
    contents: Vec<Option<String>>,
}

impl History {
    fn of(&self, contact: ContactKey) -> Vec<SentFact<'_>> {
        let fact = |sent: &lake::SentMessage| SentFact {
            at: sent.at,
            channel: sent.channel,
            class: sent.class,
            content: self.contents.get(sent.variant as usize).and_then(Option::as_deref),
        };
        self.sends.of(contact).iter().map(fact).collect()
    }
}

/// What is known of one contact of an audience.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Who, and where.
    pub recipient: &'a Recipient,
    /// In the form in which decisions are made.
    pub person: Person<'a>,
    /// Whether there is an address for the channel that was asked about.
    pub is_reachable: bool,
}

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
        let sends = self.lake.sends(contacts, since, now).await?;
        let content = |(experiment, variant): &(Option<String>, Option<String>)| {
            content_of_sent(of, experiment.as_deref(), variant.as_deref())
        };
        let contents = sends.variants.iter().map(content).collect();
        Ok(History { sends, contents })
    }

    /// Tells `each` what is known of every recipient, in order. With `as_of` only what was known then counts of permissions.
    ///
    /// # Errors
    /// [`PlanningError`] where it cannot be read.
    pub async fn consider(
        &self,
        recipients: &[Recipient],
        channel: Channel,
        history: &History,
        as_of: Option<Timestamp>,
        mut each: impl FnMut(Known<'_>),
    ) -> Result<(), PlanningError> {
        let nothing = Permission::default();
        for recipients in recipients.chunks(CONTACTS_AT_ONCE) {
            let keys: Vec<ContactKey> = recipients.iter().map(|recipient| recipient.key).collect();
            let reachable: HashSet<ContactKey> = self.control.reachable(&keys, channel).await?;
            let permissions = self.control.permissions(&keys, as_of).await?;
            for recipient in recipients {
                let permission = permissions.get(&recipient.key).unwrap_or(&nothing);
                let person = Person {
                    key: recipient.key,
                    country: recipient.country.as_deref(),
                    region: recipient.region.as_deref(),
                    time_zone: recipient.time_zone.as_deref(),
                    is_zone_derived: recipient.is_zone_derived,
                    consents: &permission.consents,
                    suppressions: &permission.suppressions,
                    sends: &history.of(recipient.key),
                };
                each(Known { recipient, person, is_reachable: reachable.contains(&recipient.key) });
            }
        }
        Ok(())
    }
}
