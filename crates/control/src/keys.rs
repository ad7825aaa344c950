//! Keys of the HTTP API: a random secret that is shown once, kept as its SHA-256.
//!
//! A plain hash is enough, because the secret has 256 random bits and cannot be guessed from a list.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;
use vocabulary::Timestamp;

use crate::store::{begin, commit, parsed, time};
use crate::{Control, ControlError};

/// How long an authentication is believed without asking the file again: a key that another process revoked is refused
/// after at most this, and a busy key costs two look-ups a second.
const AUTHENTICATION_AGE_MAX: Duration = Duration::from_millis(500);
/// Authentications remembered. Keys are made by people, so this is never reached in honest use.
const AUTHENTICATIONS_MAX: usize = 10_000;
/// The longest name of a key, in bytes: it is shown in lists.
const NAME_BYTES_MAX: usize = 128;
/// What every secret begins with, so that scanners find one that was published by mistake.
const SECRET_PREFIX: &str = "sl_";
/// Hexadecimal digits of a key's id: enough that two keys of one installation never meet, short enough to type.
const ID_DIGITS: usize = 12;

vocabulary::words!(
    /// What a key may do.
    Scope {
        /// Tell events.
        Collect = "collect",
        /// Read experiments, readouts, campaigns and SQL.
        Read = "read",
        /// Change contacts, experiments, campaigns and keys.
        Manage = "manage",
        /// Read what a sender needs.
        Send = "send",
    }
);

/// A fresh key. It has no `Debug`, so that the secret is not logged by accident.
#[derive(Clone)]
pub struct NewKey {
    /// Names the key; no secret.
    pub id: String,
    /// What the caller sends: `sl_` and 43 letters, digits, `-` or `_`. It cannot be shown again.
    pub secret: String,
}

/// Whom a secret belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// What it may do, in order.
    pub scopes: Vec<Scope>,
}

/// A key in the list of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// Id, name and scopes.
    pub info: KeyInfo,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Authentications of the last moment, by the hash of the secret.
#[derive(Default)]
pub(crate) struct Authentications(Mutex<Known>);

/// Who it was, and when that was asked.
type Known = HashMap<[u8; 32], (Arc<KeyInfo>, Instant)>;

impl Control {
    /// Makes a key. Scopes are kept once and in order.
    ///
    /// # Errors
    /// [`ControlError::Invalid`] for an empty or long name or no scopes.
    pub async fn create_key(&self, name: &str, scopes: &[Scope]) -> Result<NewKey, ControlError> {
        check_name(name)?;
        let mut scopes = scopes.to_vec();
        scopes.sort_unstable();
        scopes.dedup();
        if scopes.is_empty() {
            let reason = format!("name at least one of {}", words_of(Scope::ALL, ", "));
            return Err(ControlError::Invalid { field: "scopes", reason });
        }
        let mut bytes = [0; 32];
        self.ids.fill(&mut bytes);
        let secret = format!("{SECRET_PREFIX}{}", base64url(&bytes));
        let id = self.ids.token()[..ID_DIGITS].to_owned();
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        sqlx::query("INSERT INTO api_keys (key_id, name, scopes, secret_hash, created_at) VALUES ($1, $2, $3, $4, $5)")
            .bind(id.as_str())
            .bind(name)
            .bind(words_of(&scopes, " "))
            .bind(hash(&secret).as_slice())
            .bind(self.now().as_microsecond())
            .execute(&mut *transaction)
            .await
            .map_err(ControlError::query("storing a key"))?;
        commit(transaction).await?;
        Ok(NewKey { id, secret })
    }

    /// Whom `secret` belongs to; `None` for an unknown or revoked one. A revocation by another process is seen within half a
    /// second, one by this process at once.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn authenticate(&self, secret: &str) -> Result<Option<Arc<KeyInfo>>, ControlError> {
        let hash = hash(secret);
        // Taken before reading, so that the answer is never believed for longer than it is old.
        let asked_at = Instant::now();
        if let Some(info) = self.authentications.recent(&hash, asked_at) {
            return Ok(Some(info));
        }
        let row: Option<(String, String, String)> =
            sqlx::query_as("SELECT key_id, name, scopes FROM api_keys WHERE secret_hash = $1 AND revoked_at IS NULL")
                .bind(hash.as_slice())
                .fetch_optional(&mut *self.reader().await)
                .await
                .map_err(ControlError::query("looking up a key"))?;
        let info = row.map(|(id, name, scopes)| read_info(id, name, &scopes)).transpose()?.map(Arc::new);
        self.authentications.remember(hash, info.as_ref(), asked_at);
        Ok(info)
    }

    /// Whom `secret` belonged to when that was last asked, where that is not too long ago: an answer of [`Control::authenticate`] without
    /// waiting for anything. `None` says nothing of the secret.
    #[must_use]
    pub fn authenticated(&self, secret: &str) -> Option<Arc<KeyInfo>> {
        self.authentications.recent(&hash(secret), Instant::now())
    }

    /// All keys, oldest first.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn keys(&self) -> Result<Vec<KeyRow>, ControlError> {
        let rows: Vec<(String, String, String, i64, Option<i64>)> =
            sqlx::query_as("SELECT key_id, name, scopes, created_at, revoked_at FROM api_keys ORDER BY created_at, key_id")
                .fetch_all(&mut *self.reader().await)
                .await
                .map_err(ControlError::query("reading the keys"))?;
        let read = |(id, name, scopes, created_at, revoked_at): (String, String, String, i64, Option<i64>)| {
            let (created_at, revoked_at) = (time(created_at)?, revoked_at.map(time).transpose()?);
            Ok(KeyRow { info: read_info(id, name, &scopes)?, created_at, revoked_at })
        };
        rows.into_iter().map(read).collect()
    }

    /// Revokes a key for ever; whether it was in force before.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] for an unknown id.
    pub async fn revoke_key(&self, id: &str) -> Result<bool, ControlError> {
        let doing = "revoking a key";
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let revoked = sqlx::query("UPDATE api_keys SET revoked_at = $1 WHERE key_id = $2 AND revoked_at IS NULL")
            .bind(self.now().as_microsecond())
            .bind(id)
            .execute(&mut *transaction)
            .await
            .map_err(ControlError::query(doing))?
            .rows_affected();
        let known: Option<i64> = sqlx::query_scalar("SELECT 1 FROM api_keys WHERE key_id = $1")
            .bind(id)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(ControlError::query(doing))?;
        commit(transaction).await?;
        self.authentications.forget(id);
        known.map(|_| revoked > 0).ok_or_else(|| ControlError::NotFound { noun: "key", id: id.to_owned() })
    }
}

impl Authentications {
    fn recent(&self, hash: &[u8; 32], now: Instant) -> Option<Arc<KeyInfo>> {
        let known = self.lock();
        let (info, asked_at) = known.get(hash)?;
        (now.saturating_duration_since(*asked_at) < AUTHENTICATION_AGE_MAX).then(|| Arc::clone(info))
    }

    fn remember(&self, hash: [u8; 32], info: Option<&Arc<KeyInfo>>, asked_at: Instant) {
        let mut known = self.lock();
        match info {
            None => drop(known.remove(&hash)),
            Some(info) => {
                if known.len() >= AUTHENTICATIONS_MAX {
                    known.clear();
                }
                known.insert(hash, (Arc::clone(info), asked_at));
            }
        }
    }

    fn forget(&self, id: &str) {
        self.lock().retain(|_, (info, _)| info.id != id);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check_name(name: &str) -> Result<(), ControlError> {
    let reason = if name.trim().is_empty() {
        "is empty; say who uses the key, such as `shop backend`".to_owned()
    } else if name.len() > NAME_BYTES_MAX {
        format!("is {} bytes long; the limit is {NAME_BYTES_MAX}", name.len())
    } else if name.chars().any(char::is_control) {
        "holds a control character; use printable text only".to_owned()
    } else {
        return Ok(());
    };
    Err(ControlError::Invalid { field: "name", reason })
}

fn read_info(id: String, name: String, scopes: &str) -> Result<KeyInfo, ControlError> {
    let scopes = scopes.split(' ').map(|word| parsed("a scope", word, Scope::from_str)).collect::<Result<_, _>>()?;
    Ok(KeyInfo { id, name, scopes })
}

fn words_of(scopes: &[Scope], separator: &str) -> String {
    scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(separator)
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Base64 with the alphabet for URLs and without padding (RFC 4648, section 5).
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let encode = |chunk: &[u8]| {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(group);
        let letter = move |place: usize| char::from(ALPHABET[(bits >> (18 - 6 * place)) as usize & 63]);
        (0..=chunk.len()).map(letter).collect::<String>()
    };
    bytes.chunks(3).map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, at};

    #[test]
    fn base64url_is_that_of_the_rfc() {
        let check = |bytes: &[u8], expect: &str| assert_eq!(base64url(bytes), expect);
        check(b"", "");
        check(b"f", "Zg");
        check(b"fo", "Zm8");
        check(b"foo", "Zm9v");
        check(b"foobar", "Zm9vYmFy");
        check(&[0xfb, 0xff], "-_8");
    }

    #[test]
    fn scopes_are_words() {
        let words: Vec<_> = Scope::ALL.iter().map(ToString::to_string).collect();
        assert_eq!(words, ["collect", "read", "manage", "send"]);
        assert_eq!("send".parse(), Ok(Scope::Send));
        assert_eq!("sned".parse::<Scope>().unwrap_err(), "`sned` is not one of collect, read, manage, send");
    }

    #[tokio::test]
    async fn a_secret_opens_until_it_is_revoked() {
        let world = World::new();
        let control = world.open().await;
        let key = control.create_key("shop", &[Scope::Send, Scope::Collect, Scope::Send]).await.unwrap();
        assert!(key.secret.starts_with("sl_") && key.secret.len() == 46, "{}", key.secret);
        let info = KeyInfo { id: key.id.clone(), name: "shop".into(), scopes: vec![Scope::Collect, Scope::Send] };
        assert_eq!(control.authenticated(&key.secret), None, "nobody asked yet");
        assert_eq!(control.authenticate(&key.secret).await.unwrap().as_deref(), Some(&info));
        assert_eq!(control.authenticated(&key.secret).as_deref(), Some(&info));
        assert_eq!(control.authenticate("sl_wrong").await.unwrap(), None);
        assert_eq!(control.keys().await.unwrap(), [KeyRow { info: info.clone(), created_at: at(0), revoked_at: None }]);
        world.clock.set(at(5));
        assert!(control.revoke_key(&key.id).await.unwrap());
        assert_eq!(control.authenticated(&key.secret), None);
        assert_eq!(control.authenticate(&key.secret).await.unwrap(), None);
        assert!(!control.revoke_key(&key.id).await.unwrap());
        assert_eq!(control.keys().await.unwrap(), [KeyRow { info, created_at: at(0), revoked_at: Some(at(5)) }]);
        assert!(matches!(control.revoke_key("none").await, Err(ControlError::NotFound { noun: "key", .. })));
    }

    #[tokio::test]
    async fn a_revocation_by_another_process_is_seen_within_a_second() {
        let world = World::new();
        let (one, two) = (world.open().await, world.open().await);
        let key = one.create_key("shop", &[Scope::Read]).await.unwrap();
        assert!(two.authenticate(&key.secret).await.unwrap().is_some());
        one.revoke_key(&key.id).await.unwrap();
        let revoked = Instant::now();
        while two.authenticate(&key.secret).await.unwrap().is_some() {
            assert!(revoked.elapsed() < Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn the_secret_is_not_in_the_file() {
        let world = World::new();
        let control = world.open().await;
        let key = control.create_key("shop", &[Scope::Read]).await.unwrap();
        assert!(world.bytes_of(&control).await.windows(4).any(|window| window == b"shop"), "the search finds what is there");
        assert!(!world.bytes_of(&control).await.windows(46).any(|window| window == key.secret.as_bytes()));
    }

    #[tokio::test]
    async fn bad_keys_are_refused_with_the_fix() {
        let world = World::new();
        let control = world.open().await;
        let check = async |name: &str, scopes: &[Scope], expect: &str| {
            assert_eq!(control.create_key(name, scopes).await.err().map(|error| error.to_string()).as_deref(), Some(expect));
        };
        check(" ", &[Scope::Read], "name: is empty; say who uses the key, such as `shop backend`").await;
        check(&"x".repeat(129), &[Scope::Read], "name: is 129 bytes long; the limit is 128").await;
        check("a\nb", &[Scope::Read], "name: holds a control character; use printable text only").await;
        check("shop", &[], "scopes: name at least one of collect, read, manage, send").await;
    }
}
