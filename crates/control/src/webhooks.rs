//! Webhooks: addresses of customers that are told of each recommendation, in order and at least once.
//!
//! What waits for an address is what was recommended since the number it was told last, so that nothing is queued twice and a crash
//! loses nothing: a call that was heard and not noted is made again.

use vocabulary::Timestamp;

use crate::store::{begin, commit, count, stored, time};
use crate::{Control, ControlError};

/// What secrets are sealed for.
const PURPOSE: &str = "secrets of webhooks, 1";
/// The longest name.
const NAME_BYTES_MAX: usize = 64;
/// The longest error that is kept.
const ERROR_BYTES_MAX: usize = 500;

/// An address and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookRow {
    /// Its name.
    pub webhook: String,
    /// The address.
    pub url: String,
    /// Recommendations that wait for it.
    pub waiting: u64,
    /// Calls for the first of them that failed.
    pub tries: u64,
    /// When it is called again; `None` where nothing failed.
    pub next_try_at: Option<Timestamp>,
    /// Since when every call failed.
    pub failing_since: Option<Timestamp>,
    /// Why the last one did that failed.
    pub last_error: Option<String>,
    /// When it heard something last.
    pub told_at: Option<Timestamp>,
    /// When it was given up; it is not called any more until it is stored again.
    pub disabled_at: Option<Timestamp>,
    /// When it was first stored.
    pub created_at: Timestamp,
}

/// An address that may be called now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueWebhook {
    /// Its name.
    pub webhook: String,
    /// The address.
    pub url: String,
    /// The secret that signs, as it was stored.
    pub secret: String,
    /// The number of the recommendation that it was told last.
    pub told: i64,
    /// Calls that failed since.
    pub tries: u64,
    /// Since when every call failed.
    pub failing_since: Option<Timestamp>,
}

impl Control {
    /// Stores an address; whether it is new. A new one hears what is recommended from now on. One that was given up is called again. Without
    /// a secret, a known one keeps its own.
    ///
    /// # Errors
    /// [`ControlError::Invalid`] for a name that cannot be one, and for a new address without a secret.
    pub async fn put_webhook(&self, webhook: &str, url: &str, secret: Option<&str>) -> Result<bool, ControlError> {
        let is_sign = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=NAME_BYTES_MAX).contains(&webhook.len()) || !webhook.bytes().all(is_sign) {
            let reason = format!("`{webhook}` is no name; use up to {NAME_BYTES_MAX} small letters, digits and hyphens");
            return Err(ControlError::Invalid { field: "webhook", reason });
        }
        let sealed = secret.map(|secret| self.vault.seal_for(PURPOSE, self.ids.as_ref(), secret));
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let known: Option<Vec<u8>> = sqlx::query_scalar("SELECT secret FROM webhooks WHERE webhook = $1")
            .bind(webhook)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(ControlError::query("looking for a webhook"))?;
        let is_new = known.is_none();
        let sealed = sealed.or(known);
        let sealed = sealed.ok_or_else(|| ControlError::Invalid { field: "secret", reason: "a new webhook needs one".into() })?;
        sqlx::query(
            "INSERT INTO webhooks (webhook, url, secret, told, created_at)
             VALUES ($1, $2, $3, (SELECT coalesce(max(recommendation_seq), 0) FROM recommendations), $4)
             ON CONFLICT (webhook) DO UPDATE SET url = excluded.url, secret = excluded.secret, tries = 0, next_try_at = NULL,
                 failing_since = NULL, disabled_at = NULL",
        )
        .bind(webhook)
        .bind(url)
        .bind(sealed)
        .bind(self.now().as_microsecond())
        .execute(&mut *transaction)
        .await
        .map_err(ControlError::query("storing a webhook"))?;
        commit(transaction).await?;
        Ok(is_new)
    }

    /// All addresses, by name.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn webhooks(&self) -> Result<Vec<WebhookRow>, ControlError> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT webhook, url, (SELECT count(*) FROM recommendations r WHERE r.recommendation_seq > w.told) AS waiting, tries,
                 next_try_at, failing_since, last_error, told_at, disabled_at, created_at
             FROM webhooks w ORDER BY webhook",
        )
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("reading the webhooks"))?;
        rows.into_iter().map(Row::read).collect()
    }

    /// Removes an address.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] where there is none of that name.
    pub async fn remove_webhook(&self, webhook: &str) -> Result<(), ControlError> {
        let done = sqlx::query("DELETE FROM webhooks WHERE webhook = $1")
            .bind(webhook)
            .execute(&mut *self.writer().await)
            .await
            .map_err(ControlError::query("removing a webhook"))?;
        match done.rows_affected() {
            0 => Err(ControlError::NotFound { noun: "webhook", id: webhook.to_owned() }),
            _ => Ok(()),
        }
    }

    /// The addresses for which something waits that may be told at `now`.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn due_webhooks(&self, now: Timestamp) -> Result<Vec<DueWebhook>, ControlError> {
        let rows: Vec<DueRow> = sqlx::query_as(
            "SELECT webhook, url, secret, told, tries, failing_since FROM webhooks
             WHERE disabled_at IS NULL AND coalesce(next_try_at, 0) <= $1
                 AND told < (SELECT coalesce(max(recommendation_seq), 0) FROM recommendations)
             ORDER BY webhook",
        )
        .bind(now.as_microsecond())
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("looking for webhooks to call"))?;
        let read = |(webhook, url, sealed, told, tries, failing_since): DueRow| {
            let secret = self.vault.open_for(PURPOSE, &sealed).ok_or_else(|| stored("a webhook's secret", webhook.clone()))?;
            let failing_since = failing_since.map(time).transpose()?;
            Ok(DueWebhook { webhook, url, secret, told, tries: count(tries)?, failing_since })
        };
        rows.into_iter().map(read).collect()
    }

    /// Notes that an address heard of the recommendation of that number.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn webhook_told(&self, webhook: &str, number: i64) -> Result<(), ControlError> {
        sqlx::query(
            "UPDATE webhooks SET told = max(told, $2), told_at = $3, tries = 0, next_try_at = NULL, failing_since = NULL
             WHERE webhook = $1",
        )
        .bind(webhook)
        .bind(number)
        .bind(self.now().as_microsecond())
        .execute(&mut *self.writer().await)
        .await
        .map_err(ControlError::query("noting that a webhook was told"))?;
        Ok(())
    }

    /// Notes that a call failed, and when the next is made; `None` gives the address up.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn webhook_failed(&self, webhook: &str, why: &str, next_try_at: Option<Timestamp>) -> Result<(), ControlError> {
        let now = self.now().as_microsecond();
        sqlx::query(
            "UPDATE webhooks SET tries = tries + 1, last_error = $2, next_try_at = $3, failing_since = coalesce(failing_since, $4),
                 disabled_at = $5
             WHERE webhook = $1",
        )
        .bind(webhook)
        .bind(&why[..why.floor_char_boundary(ERROR_BYTES_MAX)])
        .bind(next_try_at.map(|at| at.as_microsecond()))
        .bind(now)
        .bind(next_try_at.is_none().then_some(now))
        .execute(&mut *self.writer().await)
        .await
        .map_err(ControlError::query("noting that a webhook was not told"))?;
        Ok(())
    }
}

/// A stored address that may be called: name, address, sealed secret, number told last, failed calls, and since when.
type DueRow = (String, String, Vec<u8>, i64, i64, Option<i64>);

/// A stored address.
#[derive(sqlx::FromRow)]
struct Row {
    webhook: String,
    url: String,
    waiting: i64,
    tries: i64,
    next_try_at: Option<i64>,
    failing_since: Option<i64>,
    last_error: Option<String>,
    told_at: Option<i64>,
    disabled_at: Option<i64>,
    created_at: i64,
}

impl Row {
    fn read(self) -> Result<WebhookRow, ControlError> {
        let at = |micros: Option<i64>| micros.map(time).transpose();
        Ok(WebhookRow {
            webhook: self.webhook,
            url: self.url,
            waiting: count(self.waiting)?,
            tries: count(self.tries)?,
            next_try_at: at(self.next_try_at)?,
            failing_since: at(self.failing_since)?,
            last_error: self.last_error,
            told_at: at(self.told_at)?,
            disabled_at: at(self.disabled_at)?,
            created_at: time(self.created_at)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, at, experiment, recommendation};

    const URL: &str = "https://shop.example/hook";

    #[tokio::test]
    async fn what_waits_is_told_in_order_and_a_failure_waits_longer() {
        let world = World::new();
        let control = world.open().await;
        control.put_experiment(&experiment("e", &["a", "b"])).await.unwrap();
        control.recommend(&recommendation("r1", "a", None)).await.unwrap();
        assert!(control.put_webhook("shop", URL, Some("whsec_x")).await.unwrap());
        assert_eq!(control.due_webhooks(at(0)).await.unwrap(), [], "what was there before is not told");
        control.recommend(&recommendation("r2", "b", Some("r1"))).await.unwrap();
        control.recommend(&recommendation("r3", "a", Some("r2"))).await.unwrap();
        let due = control.due_webhooks(at(0)).await.unwrap().remove(0);
        assert_eq!((due.secret.as_str(), due.told, due.tries), ("whsec_x", 1, 0));
        control.webhook_failed("shop", "it answered 500", Some(at(5))).await.unwrap();
        assert_eq!(control.due_webhooks(at(4)).await.unwrap(), []);
        let row = control.webhooks().await.unwrap().remove(0);
        assert_eq!((row.waiting, row.tries, row.last_error.as_deref()), (2, 1, Some("it answered 500")));
        assert_eq!((row.failing_since, row.next_try_at, row.disabled_at), (Some(at(0)), Some(at(5)), None));
        control.webhook_told("shop", 2).await.unwrap();
        control.webhook_told("shop", 1).await.unwrap();
        let due = control.due_webhooks(at(5)).await.unwrap().remove(0);
        assert_eq!((due.told, due.tries, due.failing_since), (2, 0, None), "it never goes back");
    }

    #[tokio::test]
    async fn who_is_given_up_is_called_again_when_stored_anew() {
        let world = World::new();
        let control = world.open().await;
        control.put_experiment(&experiment("e", &["a", "b"])).await.unwrap();
        control.put_webhook("shop", URL, Some("whsec_x")).await.unwrap();
        control.recommend(&recommendation("r1", "a", None)).await.unwrap();
        control.webhook_failed("shop", "it answered 500", None).await.unwrap();
        assert_eq!(control.due_webhooks(at(1_000_000)).await.unwrap(), []);
        assert_eq!(control.webhooks().await.unwrap()[0].disabled_at, Some(at(0)));
        assert!(!control.put_webhook("shop", URL, None).await.unwrap());
        let due = control.due_webhooks(at(0)).await.unwrap().remove(0);
        assert_eq!((due.secret.as_str(), due.told), ("whsec_x", 0), "with its secret and all that waits");
        control.remove_webhook("shop").await.unwrap();
        assert!(matches!(control.remove_webhook("shop").await, Err(ControlError::NotFound { noun: "webhook", .. })));
    }

    #[tokio::test]
    async fn names_and_secrets_are_checked_and_no_secret_is_in_the_file() {
        let world = World::new();
        let control = world.open().await;
        let check = async |name: &str, secret: Option<&str>, expect: &str| {
            assert_eq!(control.put_webhook(name, URL, secret).await.unwrap_err().to_string(), expect);
        };
        check("Shop", Some("x"), "webhook: `Shop` is no name; use up to 64 small letters, digits and hyphens").await;
        check("shop", None, "secret: a new webhook needs one").await;
        control.put_webhook("shop", URL, Some("whsec_needle")).await.unwrap();
        assert!(!world.bytes_of(&control).await.windows(12).any(|window| window == b"whsec_needle"));
    }
}
