//! Publishes the contacts that people edit in `control` as the lake's `contacts` table, for joins.

use std::time::Duration;

use lake::ContactRows;
use policy::Rules;
use tokio_util::sync::CancellationToken;
use vocabulary::Contact;

use crate::{Parts, WorkerError, pause_after};

/// Contacts read at once.
const PAGE: usize = 10_000;

/// How often a change is looked for.
const POLL: Duration = Duration::from_secs(1);

/// An import changes contacts for minutes; the table is written anew at the latest after so many polls, else as soon as
/// the changes pause. This keeps the promised minute.
const POLLS_BEHIND_MAX: u32 = 20;

enum Wake {
    Tick,
    Shutdown,
}

pub(crate) async fn run(parts: Parts, stop: CancellationToken) {
    let mut seen = 0;
    let mut polls_behind = 0;
    loop {
        let wake = tokio::select! {
            () = stop.cancelled() => Wake::Shutdown,
            () = tokio::time::sleep(POLL) => Wake::Tick,
        };
        match wake {
            // Who imports contacts and asks for them next finds them.
            Wake::Shutdown => {
                if let Err(error) = publish(&parts).await {
                    tracing::warn!(%error, "contacts could not be published; the next start does it");
                }
                return;
            }
            Wake::Tick => match step(&parts, seen, polls_behind).await {
                Ok(State::Behind(change)) => {
                    seen = change;
                    polls_behind += 1;
                }
                Ok(State::Current) => polls_behind = 0,
                Err(error) => pause_after("publishing contacts", &error, &stop).await,
            },
        }
    }
}

enum State {
    Current,
    Behind(i64),
}

async fn step(parts: &Parts, seen: i64, polls_behind: u32) -> Result<State, WorkerError> {
    let change = parts.control.contacts_change().await?;
    if change == parts.lake.contacts_change().await? {
        return Ok(State::Current);
    }
    if change != seen && polls_behind < POLLS_BEHIND_MAX {
        return Ok(State::Behind(change));
    }
    publish(parts).await?;
    Ok(State::Current)
}

/// Brings the lake's contacts up to date now. The change number is read first, so that an edit in between is published
/// again rather than lost.
pub(crate) async fn publish(parts: &Parts) -> Result<(), WorkerError> {
    let change = parts.control.contacts_change().await?;
    if change == parts.lake.contacts_change().await? {
        return Ok(());
    }
    let mut rows = ContactRows::default();
    let mut last = None;
    loop {
        let mut page = parts.control.contacts_after(last, PAGE).await?;
        let Some(contact) = page.last() else { break };
        last = Some(contact.key);
        page.iter_mut().for_each(|contact| derive_time_zone(&parts.rules, contact));
        rows.push(&page)?;
    }
    parts.lake.replace_contacts(change, rows, parts.clock.now()).await?;
    Ok(())
}

/// Where nobody told a contact's time zone, their country or else that of their number tells it, if it has only one clock.
/// Of several none is more likely enough to send by: there a message waits until every clock of the country permits it.
fn derive_time_zone(rules: &Rules, contact: &mut Contact) {
    let profile = &contact.profile;
    if profile.time_zone.is_none() {
        let country = profile.country.as_deref().or(profile.phone_country.as_deref());
        contact.derived_time_zone = country.and_then(|country| rules.only_zone(country)).map(str::to_owned);
    }
}

#[cfg(test)]
mod tests {
    use vocabulary::{ContactKey, Timestamp};

    use super::*;

    #[test]
    fn a_country_with_one_clock_tells_the_time() {
        let rules = Rules::embedded().unwrap();
        let check = |country: Option<&str>, phone: Option<&str>, told: Option<&str>, expect: Option<&str>| {
            let mut contact = Contact::new(ContactKey::from_random(1), Timestamp::UNIX_EPOCH);
            contact.profile.country = country.map(str::to_owned);
            contact.profile.phone_country = phone.map(str::to_owned);
            contact.profile.time_zone = told.map(str::to_owned);
            derive_time_zone(&rules, &mut contact);
            assert_eq!(contact.derived_time_zone.as_deref(), expect, "{country:?} {phone:?} {told:?}");
        };
        check(Some("JP"), None, None, Some("Asia/Tokyo"));
        check(Some("JP"), Some("DE"), None, Some("Asia/Tokyo"));
        check(None, Some("DE"), None, Some("Europe/Berlin"));
        check(Some("JP"), None, Some("Asia/Seoul"), None);
        check(Some("US"), Some("DE"), None, None);
        check(None, None, None, None);
    }
}
