//! Subscription forms, and who filled one: asked for, confirmed by an answer to a message, and only then a contact with consent.

use jiff::ToSpan;
use policy::{Basis, Purpose};
use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;
use std::net::IpAddr;
use vocabulary::{Channel, ContactKey, Form, Profile, Timestamp};

use crate::consents::{Evidence, NewConsent};
use crate::contact_check::{FieldError, NewContact, normalised};
use crate::contact_store::Duplicates;
use crate::experiments::{from_json, to_json};
use crate::store::{begin, commit, time};
use crate::{Control, ControlError};

/// So often a day somebody is asked to confirm one address: whoever types another's address must not fill their mailbox.
const ASKED_A_DAY_MAX: i64 = 3;
/// A confirmation that takes longer does not count, and what was asked for is forgotten.
const CONFIRMED_WITHIN_HOURS: i64 = 7 * 24;
/// So often a mail server is offered one message, for an hour, which outlasts greylisting.
const TRIES_MAX: i64 = 12;
/// As long after a message was asked for, times the offers so far, it is offered again.
const BETWEEN_TRIES_MICROS: i64 = 5 * 60 * 1_000_000;

/// What is known of somebody who has not confirmed. It has no `Debug`, so that no address is logged by accident.
#[derive(Clone, Serialize, Deserialize)]
struct Asked {
    email: String,
    token: String,
    ip: Option<IpAddr>,
}

/// A message that asks for confirmation and has not been sent. It has no `Debug`, so that no address is logged by accident.
pub struct Unsent {
    /// The form.
    pub form: Form,
    /// To whom.
    pub email: String,
    /// What the link carries.
    pub token: String,
}

impl Control {
    /// Stores forms that passed their check.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn put_forms(&self, forms: &[Form]) -> Result<(), ControlError> {
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        for form in forms {
            sqlx::query(
                "INSERT INTO forms (form, definition, stored_at) VALUES ($1, $2, $3)
                 ON CONFLICT DO UPDATE SET definition = excluded.definition, stored_at = excluded.stored_at",
            )
            .bind(&form.form)
            .bind(to_json("a form", form)?)
            .bind(self.now().as_microsecond())
            .execute(&mut *transaction)
            .await
            .map_err(ControlError::query("storing a form"))?;
        }
        commit(transaction).await
    }

    /// All forms, by name.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn forms(&self) -> Result<Vec<Form>, ControlError> {
        let rows: Vec<String> = sqlx::query_scalar("SELECT definition FROM forms ORDER BY form")
            .fetch_all(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("reading forms"))?;
        rows.iter().map(|text| from_json("a form", text)).collect()
    }

    /// One form.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn form(&self, name: &str) -> Result<Option<Form>, ControlError> {
        read_form(&mut *self.reader().await, name).await
    }

    /// Takes down that somebody filled a form; the message that asks is sent by the next sender. Whether it is: an address that was
    /// asked too often today is not asked again, which nobody must be told.
    ///
    /// # Errors
    /// [`ControlError::InvalidContact`] for what is no address.
    pub async fn ask_to_confirm(&self, form: &Form, email: &str, ip: Option<IpAddr>) -> Result<bool, ControlError> {
        let invalid = |source: FieldError| ControlError::InvalidContact { row: 1, source };
        let email = normalised(Channel::Email, email).map_err(invalid)?;
        let (now, handle) = (self.now(), self.vault.address(Channel::Email, &email));
        let yesterday = now.checked_sub(24.hours()).unwrap_or(now).as_microsecond();
        let too_old = now.checked_sub(CONFIRMED_WITHIN_HOURS.hours()).unwrap_or(now).as_microsecond();
        let asked = Asked { email, token: self.ids.token(), ip };
        let sealed = self.vault.seal_for("subscriptions", self.ids.as_ref(), &to_json("a subscription", &asked)?);
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        sqlx::query("DELETE FROM subscriptions WHERE requested_at < $1")
            .bind(too_old)
            .execute(&mut *transaction)
            .await
            .map_err(ControlError::query("forgetting old subscriptions"))?;
        let today: i64 = sqlx::query_scalar("SELECT count(*) FROM subscriptions WHERE handle = $1 AND requested_at > $2")
            .bind(handle.as_slice())
            .bind(yesterday)
            .fetch_one(&mut *transaction)
            .await
            .map_err(ControlError::query("counting subscriptions"))?;
        if today >= ASKED_A_DAY_MAX {
            commit(transaction).await?;
            return Ok(false);
        }
        sqlx::query("INSERT INTO subscriptions (token_hash, form, handle, sealed, requested_at) VALUES ($1, $2, $3, $4, $5)")
            .bind(token_hash(&asked.token))
            .bind(&form.form)
            .bind(handle.as_slice())
            .bind(sealed)
            .bind(now.as_microsecond())
            .execute(&mut *transaction)
            .await
            .map_err(ControlError::query("storing a subscription"))?;
        commit(transaction).await?;
        Ok(true)
    }

    /// The messages that ask, have not been sent and are to be offered now, oldest first.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn unsent_confirmations(&self, count: u32) -> Result<Vec<Unsent>, ControlError> {
        let mut reader = self.reader().await;
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(
            "SELECT form, sealed FROM subscriptions
             WHERE sent_at IS NULL AND tries < $1 AND requested_at + tries * $3 <= $4 ORDER BY requested_at LIMIT $2",
        )
        .bind(TRIES_MAX)
        .bind(count)
        .bind(BETWEEN_TRIES_MICROS)
        .bind(self.now().as_microsecond())
        .fetch_all(&mut *reader)
        .await
        .map_err(ControlError::query("reading subscriptions"))?;
        let mut unsent = Vec::with_capacity(rows.len());
        for (form, sealed) in rows {
            let Some(form) = read_form(&mut reader, &form).await? else { continue };
            let asked = self.open_subscription(&sealed)?;
            unsent.push(Unsent { form, email: asked.email, token: asked.token });
        }
        Ok(unsent)
    }

    /// Notes that a message that asks was offered to a mail server, and whether it was taken.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn confirmation_offered(&self, token: &str, taken: bool) -> Result<(), ControlError> {
        let now = taken.then(|| self.now().as_microsecond());
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        sqlx::query("UPDATE subscriptions SET tries = tries + 1, sent_at = coalesce($2, sent_at) WHERE token_hash = $1")
            .bind(token_hash(token))
            .bind(now)
            .execute(&mut *transaction)
            .await
            .map_err(ControlError::query("noting a subscription's message"))?;
        commit(transaction).await
    }

    /// The form that a link asks to confirm; `None` where the link is unknown, used or too old.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn form_to_confirm(&self, token: &str) -> Result<Option<Form>, ControlError> {
        let found = self.subscription(token).await?;
        Ok(found.map(|(form, _, _)| form))
    }

    /// Confirms a subscription: from now on there is a contact with this address and their consent, with what proves it. `None`
    /// where the link is unknown, used or too old.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn confirm(&self, token: &str, ip: Option<IpAddr>) -> Result<Option<Form>, ControlError> {
        let Some((form, asked, asked_at)) = self.subscription(token).await? else { return Ok(None) };
        let from = |ip: Option<IpAddr>| ip.map_or_else(|| "an unknown address".to_owned(), |ip| ip.to_string());
        let proof = format!(
            "form {} filled at {asked_at} from {}; confirmed at {} from {} by the link sent to the address",
            form.form,
            from(asked.ip),
            self.now(),
            from(ip)
        );
        let consent = NewConsent {
            purpose: Purpose::Marketing,
            at: Some(self.now()),
            source: Some(format!("form {}", form.form)),
            wording: Some(form.wording.clone()),
            evidence: Evidence { ip, proof: Some(proof) },
            ..NewConsent::new(Channel::Email, Some(Basis::DoubleOptIn))
        };
        let known = self.known_by_email(&asked.email).await?;
        let profile = Profile {
            country: known.country.is_none().then(|| form.country.clone()),
            language: known.language.is_none().then(|| form.language.clone()),
            source: known.source.is_none().then(|| format!("form {}", form.form)),
            tags: if form.tags.is_empty() { known.tags.clone() } else { known.tags.iter().chain(&form.tags).cloned().collect() },
            ..Profile::default()
        };
        let contact = NewContact {
            key: format!("form:{}", &asked.token[..asked.token.len().min(32)]),
            addresses: [(Channel::Email, asked.email)].into(),
            profile,
            registered_at: None,
            consents: vec![consent],
        };
        let contact = contact.check().map_err(|source| ControlError::InvalidContact { row: 1, source })?;
        self.upsert_contacts(&[contact], Duplicates::Merge).await?;
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        sqlx::query("DELETE FROM subscriptions WHERE token_hash = $1")
            .bind(token_hash(token))
            .execute(&mut *transaction)
            .await
            .map_err(ControlError::query("forgetting a subscription"))?;
        commit(transaction).await?;
        Ok(Some(form))
    }

    /// What is known of the first contact with that address.
    async fn known_by_email(&self, email: &str) -> Result<Profile, ControlError> {
        let handle = self.vault.address(Channel::Email, email);
        let owners = crate::contacts::find(&mut *self.reader().await, &[handle]).await?;
        let owner: Vec<ContactKey> = owners.into_values().flatten().take(1).collect();
        Ok(self.contacts_of(&owner).await?.pop().map(|contact| contact.profile).unwrap_or_default())
    }

    async fn subscription(&self, token: &str) -> Result<Option<(Form, Asked, Timestamp)>, ControlError> {
        let mut reader = self.reader().await;
        let row: Option<(String, Vec<u8>, i64)> =
            sqlx::query_as("SELECT form, sealed, requested_at FROM subscriptions WHERE token_hash = $1")
                .bind(token_hash(token))
                .fetch_optional(&mut *reader)
                .await
                .map_err(ControlError::query("reading a subscription"))?;
        let Some((form, sealed, requested_at)) = row else { return Ok(None) };
        let requested_at = time(requested_at)?;
        let is_old = self.now().duration_since(requested_at).as_hours() >= CONFIRMED_WITHIN_HOURS;
        let Some(form) = read_form(&mut reader, &form).await?.filter(|_| !is_old) else { return Ok(None) };
        Ok(Some((form, self.open_subscription(&sealed)?, requested_at)))
    }

    fn open_subscription(&self, sealed: &[u8]) -> Result<Asked, ControlError> {
        let opened = self.vault.open_for("subscriptions", sealed);
        let opened = opened.ok_or_else(|| crate::store::stored("a subscription", "what does not open".to_owned()))?;
        from_json("a subscription", &opened)
    }
}

fn token_hash(token: &str) -> Vec<u8> {
    blake3::hash(token.as_bytes()).as_bytes().to_vec()
}

async fn read_form(connection: &mut SqliteConnection, name: &str) -> Result<Option<Form>, ControlError> {
    let text: Option<String> = sqlx::query_scalar("SELECT definition FROM forms WHERE form = $1")
        .bind(name)
        .fetch_optional(connection)
        .await
        .map_err(ControlError::query("reading a form"))?;
    text.map(|text| from_json("a form", &text)).transpose()
}
