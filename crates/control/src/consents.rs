//! Consents: what a contact said about being written to, on which channel and for what, with the proof (GDPR, article 7(1)).
//!
//! *Invariant:* nothing that was said is overwritten by what is said later. What proves it is sealed under the contact's own key.

use std::collections::HashMap;
use std::net::IpAddr;

use policy::{Basis, ConsentFact, Purpose};
use serde::{Deserialize, Serialize};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use vocabulary::{Channel, ContactKey, Timestamp};

use crate::contact_check::{FieldError, check_label, check_text};
use crate::contacts::{contact_key, read_sealed};
use crate::experiments::from_json;
use crate::store::{begin, commit, parsed, time};
use crate::whom::Whom;
use crate::{Control, ControlError};

/// Consents of one row: each channel with each purpose, given and withdrawn.
const CONSENTS_MAX: usize = 50;
/// Rows of one statement, of nine parameters each, of the 32,766 a statement may have.
const CONSENTS_PER_STATEMENT: usize = 500;
/// The longest wording that somebody agreed to, in bytes: two pages.
const WORDING_BYTES_MAX: usize = 8 * 1024;
/// The longest proof, in bytes: a reference to a document, a message's headers.
const PROOF_BYTES_MAX: usize = 4 * 1024;

/// What a contact said about one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewConsent {
    /// The channel.
    pub channel: Channel,
    /// What for.
    pub purpose: Purpose,
    /// How it was given; `None` withdraws it.
    pub given: Option<Basis>,
    /// When it was said; now where absent, unless it is what was said last.
    pub at: Option<Timestamp>,
    /// Where it was said, such as `checkout` or a form's name.
    pub source: Option<String>,
    /// The words they agreed to.
    pub wording: Option<String>,
    /// What proves it.
    pub evidence: Evidence,
}

/// What proves a consent and may name the person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The address on the net it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    /// A reference to a document, a message's headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
}

impl NewConsent {
    /// A consent to marketing of which nothing else is known.
    #[must_use]
    pub fn new(channel: Channel, given: Option<Basis>) -> Self {
        let evidence = Evidence::default();
        Self { channel, purpose: Purpose::Marketing, given, at: None, source: None, wording: None, evidence }
    }
}

/// Checks the texts of consents.
pub(crate) fn check_consents(consents: &[NewConsent]) -> Result<(), FieldError> {
    if consents.len() > CONSENTS_MAX {
        return Err(FieldError::new("consents", format!("are {}; a contact can bring {CONSENTS_MAX} at once", consents.len())));
    }
    let name = |index: usize, field: &str| format!("consents[{index}].{field}");
    for (index, consent) in consents.iter().enumerate() {
        let check = |field: &str, text: Option<&str>, check: &dyn Fn(&str) -> Result<(), String>| {
            text.map_or(Ok(()), check).map_err(|reason| FieldError::new(name(index, field), reason))
        };
        check("source", consent.source.as_deref(), &check_label)?;
        check("proof", consent.evidence.proof.as_deref(), &|text| check_text(text, PROOF_BYTES_MAX))?;
        check("wording", consent.wording.as_deref(), &check_wording)?;
    }
    Ok(())
}

fn check_wording(wording: &str) -> Result<(), String> {
    if wording.len() > WORDING_BYTES_MAX {
        return Err(format!("is {} bytes long; the limit is {WORDING_BYTES_MAX}", wording.len()));
    }
    if wording.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return Err("holds a control character; use printable text only".to_owned());
    }
    Ok(())
}

/// A consent as it is held, for the person it is of. It may hold their address on the net.
#[derive(Clone, PartialEq, Eq)]
pub struct ConsentRow {
    /// What was said.
    pub said: ConsentFact,
    /// Where.
    pub source: Option<String>,
    /// The words they agreed to.
    pub wording: Option<String>,
    /// What proves it.
    pub evidence: Evidence,
}

/// A consent to be stored, with its evidence sealed.
pub(crate) struct StoredConsent {
    pub contact: ContactKey,
    pub said: ConsentFact,
    pub source: Option<String>,
    pub wording: Option<String>,
    pub evidence: Option<Vec<u8>>,
}

/// What a new consent adds to those known; `None` where it says nothing new. At one moment a withdrawal is not taken back.
fn news(known: &[ConsentFact], new: &NewConsent, now: Timestamp) -> Option<ConsentFact> {
    let about = |fact: &&ConsentFact| fact.channel == new.channel && fact.purpose == new.purpose;
    let said_before = match new.at {
        None => {
            let last = policy::newest(known, new.channel, new.purpose, Timestamp::MAX);
            last.is_some_and(|last| last.given == new.given)
        }
        Some(at) => {
            let then = known.iter().filter(about).find(|fact| fact.at == at);
            then.is_some_and(|fact| fact.given == new.given || fact.given.is_none())
        }
    };
    let fact = ConsentFact { channel: new.channel, purpose: new.purpose, given: new.given, at: new.at.unwrap_or(now) };
    (!said_before).then_some(fact)
}

/// Everything these contacts said, or what was stored of it up to a moment, in no order.
pub(crate) async fn read_consents(
    connection: &mut SqliteConnection,
    contacts: &[ContactKey],
    as_of: Option<Timestamp>,
) -> Result<HashMap<ContactKey, Vec<ConsentFact>>, ControlError> {
    let mut found: HashMap<ContactKey, Vec<ConsentFact>> = HashMap::with_capacity(contacts.len());
    for_each_consent(connection, &Whom::listed(contacts)?, as_of, |key, fact| found.entry(key).or_default().push(fact)).await?;
    Ok(found)
}

/// Tells `each` what these contacts said, or what was stored of it up to a moment, in no order.
pub(crate) async fn for_each_consent(
    connection: &mut SqliteConnection,
    whom: &Whom,
    as_of: Option<Timestamp>,
    mut each: impl FnMut(ContactKey, ConsentFact),
) -> Result<(), ControlError> {
    // One row of JSON instead of thousands: a plan asks about everybody, and each row costs more than what it says.
    let query = match whom {
        Whom::Listed(_) => {
            "SELECT json_group_array(json_array(contact_key, channel, purpose, basis, said_at)) FROM consents
             WHERE contact_key IN (SELECT value FROM json_each($1)) AND ($2 IS NULL OR recorded_at <= $2)"
        }
        Whom::Between(..) => {
            "SELECT json_group_array(json_array(contact_key, channel, purpose, basis, said_at)) FROM consents
             WHERE contact_key BETWEEN $1 AND $2 AND ($3 IS NULL OR recorded_at <= $3)"
        }
    };
    let query = sqlx::query_scalar_with(query, whom.arguments()?).bind(as_of.map(Timestamp::as_microsecond));
    let rows: String = query.fetch_one(connection).await.map_err(ControlError::query("reading consents"))?;
    let rows: Vec<(i64, &str, &str, Option<&str>, i64)> = from_json("consents", &rows)?;
    for (key, channel, purpose, basis, said_at) in rows {
        each(contact_key(key)?, fact(channel, purpose, basis, said_at)?);
    }
    Ok(())
}

fn fact(channel: &str, purpose: &str, basis: Option<&str>, said_at: i64) -> Result<ConsentFact, ControlError> {
    Ok(ConsentFact {
        channel: parsed("a channel", channel, str::parse)?,
        purpose: parsed("what a consent is for", purpose, str::parse)?,
        given: basis.map(|text| parsed("how a consent was given", text, str::parse)).transpose()?,
        at: time(said_at)?,
    })
}

#[derive(sqlx::FromRow)]
struct FactRow {
    channel: String,
    purpose: String,
    basis: Option<String>,
    said_at: i64,
}

impl FactRow {
    fn read(&self) -> Result<ConsentFact, ControlError> {
        fact(&self.channel, &self.purpose, self.basis.as_deref(), self.said_at)
    }
}

/// Stores consents. Of two said at one moment the later stored holds.
pub(crate) async fn store_consents(
    connection: &mut SqliteConnection,
    consents: &[StoredConsent],
    now: Timestamp,
) -> Result<(), ControlError> {
    let mut wordings: HashMap<&str, i64> = HashMap::new();
    for wording in consents.iter().filter_map(|consent| consent.wording.as_deref()) {
        if !wordings.contains_key(wording) {
            wordings.insert(wording, wording_id(connection, wording).await?);
        }
    }
    // In key order: neighbours in the file are written together.
    let mut rows: Vec<&StoredConsent> = consents.iter().collect();
    rows.sort_by_key(|consent| consent.contact);
    for rows in rows.chunks(CONSENTS_PER_STATEMENT) {
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO consents (contact_key, channel, purpose, said_at, basis, source, wording_id, evidence, recorded_at) ",
        );
        insert.push_values(rows, |mut values, consent| {
            let ConsentFact { channel, purpose, given, at } = consent.said;
            values.push_bind(consent.contact.as_i64()).push_bind(channel.as_str()).push_bind(purpose.as_str());
            values.push_bind(at.as_microsecond()).push_bind(given.map(Basis::as_str)).push_bind(consent.source.as_deref());
            values.push_bind(consent.wording.as_deref().and_then(|wording| wordings.get(wording)));
            values.push_bind(consent.evidence.as_deref()).push_bind(now.as_microsecond());
        });
        insert.push(
            " ON CONFLICT DO UPDATE SET basis = excluded.basis, source = excluded.source, wording_id = excluded.wording_id,
                 evidence = excluded.evidence, recorded_at = excluded.recorded_at",
        );
        let query = insert.build().persistent(rows.len() == CONSENTS_PER_STATEMENT);
        query.execute(&mut *connection).await.map_err(ControlError::query("storing consents"))?;
    }
    Ok(())
}

/// The id of a wording, stored where it is new.
async fn wording_id(connection: &mut SqliteConnection, wording: &str) -> Result<i64, ControlError> {
    sqlx::query_scalar(
        "INSERT INTO wordings (wording) VALUES ($1) ON CONFLICT DO UPDATE SET wording = excluded.wording RETURNING wording_id",
    )
    .bind(wording)
    .fetch_one(connection)
    .await
    .map_err(ControlError::query("storing a wording"))
}

impl Control {
    /// Takes down what a contact said, now or at the times given. What says nothing new is left out.
    ///
    /// # Errors
    /// [`ControlError::InvalidContact`] for texts that cannot be kept.
    pub async fn say(&self, contact: ContactKey, consents: &[NewConsent]) -> Result<(), ControlError> {
        check_consents(consents).map_err(|source| ControlError::InvalidContact { row: 1, source })?;
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let Some(row) = read_sealed(&mut transaction, &[contact]).await?.pop() else { return Ok(()) };
        let (_, sealed) = row.read()?;
        let mut known = read_consents(&mut transaction, &[contact], None).await?.remove(&contact).unwrap_or_default();
        let new = self.news_of(contact, &sealed.wrapped_key, &mut known, consents)?;
        store_consents(&mut transaction, &new, self.now()).await?;
        commit(transaction).await
    }

    /// What consents add to those `known` of a contact, who are told of it, ready to be stored.
    pub(crate) fn news_of(
        &self,
        contact: ContactKey,
        wrapped_key: &[u8],
        known: &mut Vec<ConsentFact>,
        consents: &[NewConsent],
    ) -> Result<Vec<StoredConsent>, ControlError> {
        let mut new = Vec::new();
        for consent in consents {
            let Some(said) = news(known, consent, self.now()) else { continue };
            known.push(said);
            let proves = consent.evidence != Evidence::default();
            let seal = || self.vault.seal_evidence(self.ids.as_ref(), contact, wrapped_key, &consent.evidence);
            let evidence = proves.then(|| seal().ok_or(ControlError::Unsealed { contact })).transpose()?;
            let (source, wording) = (consent.source.clone(), consent.wording.clone());
            new.push(StoredConsent { contact, said, source, wording, evidence });
        }
        Ok(new)
    }

    /// Every consent of a contact, given and withdrawn, oldest first, with its proof opened.
    pub(crate) async fn consents_of(&self, contact: ContactKey, wrapped_key: &[u8]) -> Result<Vec<ConsentRow>, ControlError> {
        let rows: Vec<HeldRow> = sqlx::query_as(
            "SELECT channel, purpose, basis, said_at, source, wording, evidence
             FROM consents LEFT JOIN wordings USING (wording_id) WHERE contact_key = $1 ORDER BY said_at, channel, purpose",
        )
        .bind(contact.as_i64())
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("reading consents"))?;
        let row = |row: HeldRow| {
            let opened = row.evidence.map(|sealed| self.vault.open_evidence(contact, wrapped_key, &sealed));
            let evidence = opened.map_or(Some(Evidence::default()), |opened| opened);
            Ok(ConsentRow {
                said: row.fact.read()?,
                source: row.source,
                wording: row.wording,
                evidence: evidence.ok_or(ControlError::Unsealed { contact })?,
            })
        };
        rows.into_iter().map(row).collect()
    }
}

#[derive(sqlx::FromRow)]
struct HeldRow {
    #[sqlx(flatten)]
    fact: FactRow,
    source: Option<String>,
    wording: Option<String>,
    evidence: Option<Vec<u8>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, at, contact};
    use crate::{Duplicates, NewContact, Upserted};

    fn consent(given: Option<Basis>, seconds: Option<i64>) -> NewConsent {
        NewConsent { at: seconds.map(at), ..NewConsent::new(Channel::Email, given) }
    }

    fn with(consents: &[NewConsent]) -> NewContact {
        NewContact { consents: consents.to_vec(), ..contact("a") }
    }

    async fn upsert(control: &Control, contact: NewContact) -> Upserted {
        control.upsert_contacts(&[contact.check().unwrap()], Duplicates::Merge).await.unwrap()
    }

    #[tokio::test]
    async fn what_was_said_stays_and_saying_it_again_changes_nothing() {
        let world = World::new();
        let control = world.open().await;
        let key = control.resolve(&["a".to_owned()]).await.unwrap()[0];
        let said = async |consents: &[NewConsent], updated: u64, expect: &[(Option<Basis>, i64)]| {
            let found = upsert(&control, with(consents)).await;
            assert_eq!((found.updated, found.unchanged), (updated, 1 - updated), "{consents:?}");
            let held = control.permissions(&[key], None).await.unwrap().remove(&key).unwrap_or_default().consents;
            let mut held: Vec<_> = held.iter().map(|fact| (fact.given, fact.at)).collect();
            held.sort_by_key(|(_, at)| *at);
            assert_eq!(held, expect.iter().map(|(given, seconds)| (*given, at(*seconds))).collect::<Vec<_>>());
        };
        let (express, double) = (Some(Basis::Express), Some(Basis::DoubleOptIn));
        said(&[], 1, &[]).await;
        world.clock.set(at(100));
        said(&[consent(express, None)], 1, &[(express, 100)]).await;
        world.clock.set(at(200));
        said(&[consent(express, None)], 0, &[(express, 100)]).await;
        said(&[consent(express, Some(100))], 0, &[(express, 100)]).await;
        said(&[consent(double, Some(50))], 1, &[(double, 50), (express, 100)]).await;
        said(&[consent(None, Some(100))], 1, &[(double, 50), (None, 100)]).await;
        said(&[consent(express, Some(100))], 0, &[(double, 50), (None, 100)]).await;
        said(&[consent(express, None)], 1, &[(double, 50), (None, 100), (express, 200)]).await;
    }

    #[tokio::test]
    async fn proof_is_sealed_and_told_to_whom_it_is_of() {
        let world = World::new();
        let control = world.open().await;
        let proof = NewConsent {
            source: Some("checkout".into()),
            wording: Some("Yes, send me offers.".into()),
            evidence: Evidence { ip: Some("203.0.113.77".parse().unwrap()), proof: Some("form 4711-needle".into()) },
            ..consent(Some(Basis::DoubleOptIn), Some(5))
        };
        upsert(&control, with(std::slice::from_ref(&proof))).await;
        let held = control.held("a").await.unwrap().unwrap().consents;
        assert_eq!(held.len(), 1);
        assert_eq!((held[0].said.at, held[0].source.as_deref()), (at(5), Some("checkout")));
        assert_eq!((held[0].wording.as_ref(), &held[0].evidence), (proof.wording.as_ref(), &proof.evidence));
        let bytes = world.bytes_of(&control).await;
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(holds("Yes, send me offers.") && !holds("203.0.113.77") && !holds("4711-needle"));

        control.erase_contacts(&["a".to_owned()]).await.unwrap();
        let left: i64 =
            sqlx::query_scalar("SELECT count(*) FROM consents").fetch_one(&mut *control.reader().await).await.unwrap();
        assert_eq!(left, 0);
    }

    #[test]
    fn long_and_broken_texts_are_refused_by_name() {
        let check = |change: &dyn Fn(&mut NewConsent), expect: &str| {
            let mut bad = consent(None, None);
            change(&mut bad);
            let error = with(&[consent(None, None), bad]).check().unwrap_err();
            assert_eq!(error.to_string(), expect);
        };
        check(
            &|c| c.source = Some("kim@shop.example".into()),
            "consents[1].source holds an e-mail address, which would be kept in clear; give it as `email`",
        );
        check(&|c| c.wording = Some("x".repeat(9000)), "consents[1].wording is 9000 bytes long; the limit is 8192");
        check(
            &|c| c.evidence.proof = Some("x\0".into()),
            "consents[1].proof holds a control character, such as a line break; use printable text only",
        );
        let error = with(&vec![consent(None, None); 51]).check().unwrap_err();
        assert_eq!(error.to_string(), "consents are 51; a contact can bring 50 at once");
    }
}
