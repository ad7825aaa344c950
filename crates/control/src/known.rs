//! Which contact each of the customer's own ids means, as far as it was asked for lately: events name contacts by the
//! customer's id, and asking the file for each would cost more than keeping the event.
//!
//! An entry is 128 bits of a keyed hash and the surrogate key: no id can be read from it, and nobody can choose ids that
//! collide. An id keeps its surrogate key for as long as the contact exists, so an entry can only become wrong by erasure.
//!
//! *The rule of erasure:* who erases contacts moves the change number of [`ERASURES`] in the same transaction and calls
//! [`Known::forget`] after its commit. Another process that shares the file forgets when its watcher sees the number, within
//! a poll; until then it may still tell events under a surrogate key that nobody can link to a person any more. An
//! erasure of rows therefore comes again after such a pause.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use vocabulary::ContactKey;

use crate::Control;
use crate::vault::Vault;

/// Contacts that are remembered. A million take about 40 MB, and hold those whom a day's events are about.
const KNOWN_MAX: usize = 1_000_000;
/// The change that is counted when contacts were erased.
pub(crate) const ERASURES: &str = "erasures";

/// What is remembered. When the younger half is full, the older one is forgotten.
pub(crate) struct Known {
    table: RwLock<Table>,
    secret: [u8; 32],
    half_max: usize,
}

#[derive(Default)]
struct Table {
    young: HashMap<u128, ContactKey, BuildHasherDefault<AsItIs>>,
    old: HashMap<u128, ContactKey, BuildHasherDefault<AsItIs>>,
    /// Moves with each forgetting, so that what was read before is not learnt after.
    forgotten: u64,
    /// The change number of erasures that was last seen.
    erasures: i64,
}

/// The surrogate keys that are remembered, to look up many at once. While it is held nothing can be learnt, so hold it for
/// the reading of one batch only.
pub struct KnownKeys<'a> {
    table: RwLockReadGuard<'a, Table>,
    secret: &'a [u8; 32],
}

impl KnownKeys<'_> {
    /// The surrogate key of one of the customer's own ids. `None` when it is not remembered, which says nothing about
    /// whether there is such a contact: [`Control::resolve`] does.
    #[must_use]
    pub fn get(&self, own_id: &str) -> Option<ContactKey> {
        let hash = hash(self.secret, own_id);
        self.table.young.get(&hash).or_else(|| self.table.old.get(&hash)).copied()
    }
}

impl Control {
    /// The surrogate keys that can be told without asking the file.
    #[must_use]
    pub fn known_keys(&self) -> KnownKeys<'_> {
        self.known.keys()
    }
}

impl Known {
    pub(crate) fn new(vault: &Vault) -> Self {
        Self::with_room(vault.derive("which contacts are known, 1"), KNOWN_MAX)
    }

    fn with_room(secret: [u8; 32], known_max: usize) -> Self {
        Self { table: RwLock::default(), secret, half_max: known_max / 2 }
    }

    fn keys(&self) -> KnownKeys<'_> {
        KnownKeys { table: self.table.read().unwrap_or_else(PoisonError::into_inner), secret: &self.secret }
    }

    /// A mark to take before reading what shall be learnt.
    pub(crate) fn mark(&self) -> u64 {
        self.keys().table.forgotten
    }

    /// Remembers what was read since `mark` was taken, unless anything was forgotten in between.
    pub(crate) fn learn<'a>(&self, mark: u64, found: impl IntoIterator<Item = (&'a str, ContactKey)>) {
        let mut table = self.write();
        if table.forgotten != mark {
            return;
        }
        for (own_id, key) in found {
            if table.young.len() >= self.half_max {
                table.old = std::mem::take(&mut table.young);
            }
            table.young.insert(hash(&self.secret, own_id), key);
        }
    }

    /// Forgets everything: contacts were erased.
    pub(crate) fn forget(&self) {
        let mut table = self.write();
        *table = Table { forgotten: table.forgotten + 1, erasures: table.erasures, ..Table::default() };
    }

    /// Forgets everything if contacts were erased since the last call, by whichever process.
    pub(crate) fn see_erasures(&self, number: i64) {
        let seen = std::mem::replace(&mut self.write().erasures, number);
        if seen != number {
            self.forget();
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(secret: &[u8; 32], own_id: &str) -> u128 {
    let mut half = [0; 16];
    half.copy_from_slice(&blake3::keyed_hash(secret, own_id.as_bytes()).as_bytes()[..16]);
    u128::from_le_bytes(half)
}

/// The entries are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    fn key(number: i64) -> ContactKey {
        ContactKey::from_i64(number).unwrap()
    }

    #[test]
    fn the_older_half_makes_room() {
        let known = Known::with_room([7; 32], 4);
        let check = |own_id: &str, expect: Option<i64>| assert_eq!(known.keys().get(own_id), expect.map(key), "{own_id}");
        known.learn(known.mark(), [("a", key(1)), ("b", key(2)), ("c", key(3))]);
        check("a", Some(1));
        check("c", Some(3));
        known.learn(known.mark(), [("d", key(4)), ("e", key(5))]);
        check("a", None);
        check("c", Some(3));
        check("e", Some(5));
        check("f", None);
    }

    #[test]
    fn what_was_read_before_an_erasure_is_not_learnt_after_it() {
        let known = Known::with_room([7; 32], 4);
        let mark = known.mark();
        known.learn(mark, [("a", key(1))]);
        known.forget();
        assert_eq!(known.keys().get("a"), None);
        known.learn(mark, [("a", key(1))]);
        assert_eq!(known.keys().get("a"), None);
        known.learn(known.mark(), [("a", key(1))]);
        assert_eq!(known.keys().get("a"), Some(key(1)));
    }

    #[tokio::test]
    async fn resolving_teaches_and_erasing_elsewhere_forgets() {
        let world = World::new();
        let control = world.open().await;
        assert_eq!(control.known_keys().get("a"), None);
        let found = control.resolve(&["a".to_owned(), "b".to_owned()]).await.unwrap();
        assert_eq!(control.known_keys().get("a"), Some(found[0]));
        assert_eq!(control.known_keys().get("b"), Some(found[1]));
        control.look_for_changes(0).await.unwrap();
        assert_eq!(control.known_keys().get("a"), Some(found[0]), "nothing was erased");
        let other = world.open().await;
        sqlx::query("UPDATE changes SET number = 1 WHERE noun = $1")
            .bind(ERASURES)
            .execute(&mut *other.writer().await)
            .await
            .unwrap();
        control.look_for_changes(0).await.unwrap();
        assert_eq!(control.known_keys().get("a"), None);
        control.resolve(&["a".to_owned()]).await.unwrap();
        control.look_for_changes(0).await.unwrap();
        assert_eq!(control.known_keys().get("a"), Some(found[0]), "it forgets once for each erasure");
    }
}
