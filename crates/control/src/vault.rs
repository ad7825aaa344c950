//! Sealing: the customer's own ids and the addresses of a contact, under a key of the contact's own.
//!
//! Each contact has a random 256-bit data key that seals their secrets with AES-256-GCM; the data key is sealed the same way
//! under a key derived from the file's root secret, and the root secret is sealed under the master key, which is kept
//! elsewhere. So erasing a person is erasing one wrapped key, and changing the master key is sealing one secret again. Both seals name the contact as associated data, so that the secrets of one contact
//! cannot be passed off as another's. Nonces are random: under one wrapping key that is safe for 2^32 wrappings.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use vocabulary::{Channel, ContactKey, Ids};

use crate::consents::Evidence;
use crate::contact_check::Addresses;

/// What nobody may read in the file. It has no `Debug`, so that it cannot be logged by accident.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Secrets {
    /// The customer's own id.
    pub key: String,
    /// Further own ids, of rows that had the same address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// The address of each channel.
    #[serde(flatten)]
    pub addresses: Addresses,
}

/// What finds a contact without naming them: a keyed hash of an own id or of an address.
pub(crate) type Handle = [u8; 16];

/// The two seals of a contact as stored.
#[derive(Clone)]
pub(crate) struct Sealed {
    /// The data key under the master key.
    pub wrapped_key: Vec<u8>,
    /// The secrets under the data key.
    pub secrets: Vec<u8>,
}

/// Seals and opens. Each purpose has a key of its own, derived from the root secret.
pub(crate) struct Vault {
    wrapping: Aes256Gcm,
    own_ids: Hmac<Sha256>,
    addresses: Hmac<Sha256>,
    coupons: Hmac<Sha256>,
    check: [u8; 32],
    other: Hmac<Sha256>,
}

const NONCE_BYTES: usize = 12;

/// What the seal of the root secret names as associated data.
const ROOT: &[u8] = b"root";

/// Seals the root secret of a file under a master key. The nonce follows from both, so that no key ever seals two secrets
/// under one nonce.
pub(crate) fn wrap_root(master_key: &[u8; 32], root: &[u8; 32]) -> Vec<u8> {
    let nonce = hash(keyed(master_key).chain_update(b"sendlab vault: nonce of the root secret, 1").chain_update(root));
    let mut short = [0; NONCE_BYTES];
    short.copy_from_slice(&nonce[..NONCE_BYTES]);
    seal_with(&root_cipher(master_key), short, ROOT, root)
}

/// Opens it. `None` under another master key.
pub(crate) fn unwrap_root(master_key: &[u8; 32], sealed: &[u8]) -> Option<[u8; 32]> {
    open_as(&root_cipher(master_key), ROOT, sealed)?.try_into().ok()
}

fn root_cipher(master_key: &[u8; 32]) -> Aes256Gcm {
    Aes256Gcm::new(&hash(keyed(master_key).chain_update(b"sendlab vault: wrapping of the root secret, 1")).into())
}

impl Vault {
    /// Derives the keys from the root secret.
    pub(crate) fn new(root: &[u8; 32]) -> Self {
        let derive = |purpose: &[u8]| hash(keyed(root).chain_update(purpose));
        Self {
            wrapping: Aes256Gcm::new(&derive(b"sendlab vault: wrapping of data keys, 1").into()),
            own_ids: keyed(&derive(b"sendlab vault: index of contacts' own ids, 1")),
            addresses: keyed(&derive(b"sendlab vault: index of contacts' addresses, 1")),
            coupons: keyed(&derive(b"sendlab vault: index of coupon codes, 1")),
            check: derive(b"sendlab vault: check of the master key, 1"),
            other: keyed(&derive(b"sendlab: keys for other purposes, 1")),
        }
    }

    /// Tells whether two vaults have the same root secret, and nothing else about it.
    pub(crate) fn check(&self) -> [u8; 32] {
        self.check
    }

    /// A key for a purpose outside the vault.
    pub(crate) fn derive(&self, purpose: &str) -> [u8; 32] {
        hash(self.other.clone().chain_update(purpose.as_bytes()))
    }

    /// The keyed hash by which a customer's own id is found without being stored.
    pub(crate) fn own_id(&self, id: &str) -> Handle {
        cut(hash(self.own_ids.clone().chain_update(id)))
    }

    /// The same for a normalised address. The mailbox of an e-mail address counts in lower case: servers may tell them apart
    /// and none does.
    pub(crate) fn address(&self, channel: Channel, address: &str) -> Handle {
        let mac = self.addresses.clone().chain_update(channel.as_str()).chain_update([0]);
        cut(hash(match channel {
            Channel::Email => mac.chain_update(address.to_lowercase()),
            _ => mac.chain_update(address),
        }))
    }

    /// The keyed hash of a domain of e-mail.
    pub(crate) fn domain(&self, domain: &str) -> Handle {
        cut(hash(self.addresses.clone().chain_update(b"domain\0").chain_update(domain.to_lowercase())))
    }

    /// The handle of the domain of an address, if it has one.
    pub(crate) fn domain_of(&self, channel: Channel, address: &str) -> Option<Handle> {
        let (_, domain) = address.split_once('@').filter(|_| channel == Channel::Email)?;
        Some(self.domain(domain))
    }

    /// The handles of all ids and addresses.
    pub(crate) fn handles(&self, secrets: &Secrets) -> Vec<Handle> {
        let ids = std::iter::once(&secrets.key).chain(&secrets.also).map(|id| self.own_id(id));
        ids.chain(secrets.addresses.iter().map(|(channel, address)| self.address(*channel, address))).collect()
    }

    /// Seals the secrets of a new contact under a fresh data key.
    pub(crate) fn seal(&self, ids: &dyn Ids, contact: ContactKey, secrets: &Secrets) -> Sealed {
        let mut data_key = [0; 32];
        ids.fill(&mut data_key);
        let wrapped_key = seal(&self.wrapping, ids, contact, &data_key);
        let secrets = seal(&Aes256Gcm::new(&data_key.into()), ids, contact, &to_bytes(secrets));
        Sealed { wrapped_key, secrets }
    }

    /// Seals changed secrets under the contact's own data key. `None` when the wrapped key does not open.
    pub(crate) fn reseal(&self, ids: &dyn Ids, contact: ContactKey, sealed: &Sealed, secrets: &Secrets) -> Option<Sealed> {
        let cipher = self.data_cipher(contact, &sealed.wrapped_key)?;
        let secrets = seal(&cipher, ids, contact, &to_bytes(secrets));
        Some(Sealed { wrapped_key: sealed.wrapped_key.clone(), secrets })
    }

    /// Opens the secrets of `contact`. `None` when they were sealed for another contact, under another master key, or
    /// changed since.
    pub(crate) fn open(&self, contact: ContactKey, sealed: &Sealed) -> Option<Secrets> {
        let cipher = self.data_cipher(contact, &sealed.wrapped_key)?;
        serde_json::from_slice(&open(&cipher, contact, &sealed.secrets)?).ok()
    }

    /// Seals what proves a consent under the contact's own data key. `None` when the wrapped key does not open.
    pub(crate) fn seal_evidence(
        &self,
        ids: &dyn Ids,
        contact: ContactKey,
        wrapped_key: &[u8],
        evidence: &Evidence,
    ) -> Option<Vec<u8>> {
        let clear = serde_json::to_vec(evidence).expect("texts are always JSON");
        Some(seal(&self.data_cipher(contact, wrapped_key)?, ids, contact, &clear))
    }

    /// Opens it again.
    pub(crate) fn open_evidence(&self, contact: ContactKey, wrapped_key: &[u8], sealed: &[u8]) -> Option<Evidence> {
        serde_json::from_slice(&open(&self.data_cipher(contact, wrapped_key)?, contact, sealed)?).ok()
    }

    /// The keyed hash of a coupon code.
    pub(crate) fn coupon(&self, code: &str) -> Handle {
        cut(hash(self.coupons.clone().chain_update(code)))
    }

    /// Seals a text of no contact, for one purpose.
    pub(crate) fn seal_for(&self, purpose: &str, ids: &dyn Ids, clear: &str) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        ids.fill(&mut nonce);
        seal_with(&Aes256Gcm::new(&self.derive(purpose).into()), nonce, purpose.as_bytes(), clear.as_bytes())
    }

    /// Opens it again.
    pub(crate) fn open_for(&self, purpose: &str, sealed: &[u8]) -> Option<String> {
        let clear = open_as(&Aes256Gcm::new(&self.derive(purpose).into()), purpose.as_bytes(), sealed)?;
        String::from_utf8(clear).ok()
    }

    fn data_cipher(&self, contact: ContactKey, wrapped_key: &[u8]) -> Option<Aes256Gcm> {
        Aes256Gcm::new_from_slice(&open(&self.wrapping, contact, wrapped_key)?).ok()
    }
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn hash(mac: Hmac<Sha256>) -> [u8; 32] {
    mac.finalize().into_bytes().into()
}

fn cut(hash: [u8; 32]) -> Handle {
    let mut handle = Handle::default();
    handle.copy_from_slice(&hash[..16]);
    handle
}

fn to_bytes(secrets: &Secrets) -> Vec<u8> {
    serde_json::to_vec(secrets).expect("texts are always JSON")
}

fn seal(cipher: &Aes256Gcm, ids: &dyn Ids, contact: ContactKey, clear: &[u8]) -> Vec<u8> {
    let mut nonce = [0; NONCE_BYTES];
    ids.fill(&mut nonce);
    seal_with(cipher, nonce, &contact.to_bytes(), clear)
}

fn open(cipher: &Aes256Gcm, contact: ContactKey, sealed: &[u8]) -> Option<Vec<u8>> {
    open_as(cipher, &contact.to_bytes(), sealed)
}

/// The nonce followed by what it seals.
fn seal_with(cipher: &Aes256Gcm, nonce: [u8; NONCE_BYTES], aad: &[u8], clear: &[u8]) -> Vec<u8> {
    let payload = Payload { msg: clear, aad };
    let sealed = cipher.encrypt(&Nonce::from(nonce), payload).expect("the secrets are shorter than the cipher's limit");
    [nonce.as_slice(), &sealed].concat()
}

fn open_as(cipher: &Aes256Gcm, aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    cipher.decrypt(&Nonce::from(*nonce), Payload { msg: sealed, aad }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SeededIds;

    fn secrets(email: &str) -> Secrets {
        Secrets { key: "customer-1".into(), also: vec![], addresses: [(Channel::Email, email.to_owned())].into() }
    }

    #[test]
    fn only_the_contact_and_the_master_key_it_was_sealed_for_open_it() {
        let ids = SeededIds::new(1);
        let (vault, other_vault) = (Vault::new(&[1; 32]), Vault::new(&[2; 32]));
        let (contact, other_contact) = (ids.contact_key(), ids.contact_key());
        let sealed = vault.seal(&ids, contact, &secrets("a@b.example"));
        assert!(vault.open(contact, &sealed) == Some(secrets("a@b.example")));
        assert!(vault.open(other_contact, &sealed).is_none());
        assert!(other_vault.open(contact, &sealed).is_none());
        for byte in 0..sealed.secrets.len() {
            let mut changed = sealed.clone();
            changed.secrets[byte] ^= 1;
            assert!(vault.open(contact, &changed).is_none(), "byte {byte}");
        }
        let cut = Sealed { secrets: sealed.secrets[..5].to_vec(), ..sealed };
        assert!(vault.open(contact, &cut).is_none());
    }

    #[test]
    fn resealing_keeps_the_data_key_and_changes_the_nonce() {
        let ids = SeededIds::new(2);
        let vault = Vault::new(&[1; 32]);
        let contact = ids.contact_key();
        let first = vault.seal(&ids, contact, &secrets("a@b.example"));
        let second = vault.reseal(&ids, contact, &first, &secrets("a@b.example")).unwrap();
        assert_eq!(first.wrapped_key, second.wrapped_key);
        assert_ne!(first.secrets, second.secrets);
        assert!(vault.open(contact, &second) == Some(secrets("a@b.example")));
    }

    #[test]
    fn handles_depend_on_what_they_are_of_and_on_the_master_key() {
        let (vault, other) = (Vault::new(&[1; 32]), Vault::new(&[2; 32]));
        assert_eq!(vault.own_id("1"), vault.own_id("1"));
        assert_ne!(vault.own_id("1"), vault.own_id("2"));
        assert_ne!(vault.own_id("1"), other.own_id("1"));
        assert_ne!(vault.check(), other.check());
        assert_eq!(vault.address(Channel::Email, "A@b.example"), vault.address(Channel::Email, "a@b.example"));
        assert_ne!(vault.address(Channel::Wechat, "Ab"), vault.address(Channel::Wechat, "ab"));
        assert_ne!(vault.address(Channel::Sms, "+4930123456"), vault.address(Channel::Whatsapp, "+4930123456"));
    }

    #[test]
    fn secrets_of_the_first_schema_open() {
        let old: Secrets = serde_json::from_str(r#"{"key":"customer-1","email":"a@b.example"}"#).unwrap();
        assert!(old == secrets("a@b.example"));
    }
}
