//! DKIM: a mail is signed for the domain that it is from, so that receivers know whose it is (RFC 6376; Ed25519: RFC 8463).
//!
//! A domain may have several keys, such as an RSA key for every receiver and an Ed25519 key for those who know it, or an old and a new
//! one while they are changed; each adds a signature. One RSA-2048 signature costs as much as everything else about a mail together,
//! and several times over.

use std::fmt;
use std::fs;
use std::path::Path;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_auth::common::crypto::{Ed25519Key, RsaKey, Sha256, SigningKey};
use mail_auth::common::headers::HeaderWriter as _;
use mail_auth::dkim::{Canonicalization, DkimSigner, Done};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use crate::GatewayError;
use crate::mime::{mailbox_address, wrong};

/// What is signed, if it is there. `From` twice: a second one that somebody puts in breaks the signature (RFC 6376, section 5.4.2).
/// Those of the list must be among them, or one-click unsubscribing does not count (RFC 8058, section 4).
const HEADERS: [&str; 13] = [
    "From",
    "From",
    "Reply-To",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Feedback-ID",
];

/// The longest a DNS label may be (RFC 1035, section 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// The kind of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DkimKind {
    /// RSA with 2048 bits, which every receiver knows.
    Rsa,
    /// Ed25519: sixteen times faster, not known everywhere. Use it beside RSA.
    Ed25519,
}

enum Signer {
    Rsa(DkimSigner<RsaKey<Sha256>, Done>),
    Ed25519(DkimSigner<Ed25519Key, Done>),
}

/// A key that signs for a domain.
pub struct DkimKey {
    domain: String,
    selector: String,
    signer: Signer,
    record: String,
}

impl fmt::Debug for DkimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DkimKey").field("name", &self.record_name()).finish_non_exhaustive()
    }
}

impl DkimKey {
    /// Reads a private key in PEM (PKCS #8, or PKCS #1 for RSA) that signs for a domain under a selector.
    ///
    /// # Errors
    /// [`GatewayError::Field`] where domain, selector or key cannot be one.
    pub fn read(domain: &str, selector: &str, pem: &[u8]) -> Result<Self, GatewayError> {
        let domain = domain.to_ascii_lowercase();
        let is_label = |label: &str| {
            let is_plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
            (1..=LABEL_BYTES_MAX).contains(&label.len()) && is_plain
        };
        if !domain.contains('.') || !domain.split('.').all(is_label) {
            return Err(wrong("dkim domain", &domain, "is no domain; write `shop.example`, with `xn--` for other letters"));
        }
        if !selector.split('.').all(is_label) {
            return Err(wrong("dkim selector", selector, "is no selector; write letters and digits such as `s2026`"));
        }
        let name = record_name(selector, &domain);
        let bad = || {
            wrong(
                "dkim key",
                &name,
                "has no RSA key of 2048 bits or more and no Ed25519 key in PEM; make one with `sendlab dkim new`",
            )
        };
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| bad())?;
        let (signer, record) = match Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_der()) {
            Ok(pair) => {
                let own = Ed25519Key::from_pkcs8_maybe_unchecked_der(key.secret_der()).map_err(|_| bad())?;
                (Signer::Ed25519(signer_of(own, &domain, selector)), record("ed25519", pair.public_key().as_ref()))
            }
            Err(_) => {
                let pair = match &key {
                    PrivateKeyDer::Pkcs1(der) => aws_lc_rs::rsa::KeyPair::from_der(der.secret_pkcs1_der()),
                    other => aws_lc_rs::rsa::KeyPair::from_pkcs8(other.secret_der()),
                };
                let public = pair.map_err(|_| bad())?.public_key().as_der().map_err(|_| bad())?;
                let own = RsaKey::<Sha256>::from_key_der(key).map_err(|_| bad())?;
                (Signer::Rsa(signer_of(own, &domain, selector)), record("rsa", public.as_ref()))
            }
        };
        Ok(Self { domain, selector: selector.to_owned(), signer, record })
    }

    /// The name of the TXT record that has the public key.
    #[must_use]
    pub fn record_name(&self) -> String {
        record_name(&self.selector, &self.domain)
    }

    /// What that record must say.
    #[must_use]
    pub fn record(&self) -> &str {
        &self.record
    }

    /// Whether mail from this domain may be signed with it: its own, or one below it, which aligns for DMARC.
    fn signs_for(&self, domain: &str) -> bool {
        domain.strip_suffix(&self.domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    fn header(&self, mail: &[u8]) -> Result<String, GatewayError> {
        let signature = match &self.signer {
            Signer::Rsa(signer) => signer.sign(mail),
            Signer::Ed25519(signer) => signer.sign(mail),
        };
        let signature = signature.map_err(|_| wrong("dkim key", &self.record_name(), "cannot sign this mail"))?;
        Ok(signature.to_header())
    }
}

fn signer_of<T: SigningKey>(key: T, domain: &str, selector: &str) -> DkimSigner<T, Done> {
    let signer = DkimSigner::from_key(key).domain(domain).selector(selector).headers(HEADERS);
    signer.header_canonicalization(Canonicalization::Relaxed).body_canonicalization(Canonicalization::Relaxed)
}

fn record_name(selector: &str, domain: &str) -> String {
    format!("{selector}._domainkey.{domain}")
}

fn record(kind: &str, public: &[u8]) -> String {
    format!("v=DKIM1; k={kind}; p={}", STANDARD.encode(public))
}

/// A new private key in PEM (PKCS #8).
///
/// # Errors
/// [`GatewayError::Field`] where the machine has no randomness to give.
pub fn new_dkim_key(kind: DkimKind) -> Result<String, GatewayError> {
    let failed = || wrong("dkim key", "", "cannot be made: the machine gives no randomness");
    let der = match kind {
        DkimKind::Ed25519 => Ed25519Key::generate_pkcs8().map_err(|_| failed())?,
        DkimKind::Rsa => {
            let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).map_err(|_| failed())?;
            pair.as_der().map_err(|_| failed())?.as_ref().to_vec()
        }
    };
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| str::from_utf8(line).ok()).collect();
    Ok(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n")))
}

/// All keys that sign.
#[derive(Debug, Default)]
pub struct Dkim(Vec<DkimKey>);

impl Dkim {
    /// These keys.
    #[must_use]
    pub fn new(keys: Vec<DkimKey>) -> Self {
        Self(keys)
    }

    /// Reads keys that are written as `DOMAIN:SELECTOR:FILE`.
    ///
    /// # Errors
    /// [`GatewayError::Field`] names the one that is wrong.
    pub fn read(written: &[String]) -> Result<Self, GatewayError> {
        let read = |written: &String| {
            let mut parts = written.splitn(3, ':');
            let (Some(domain), Some(selector), Some(file)) = (parts.next(), parts.next(), parts.next()) else {
                return Err(wrong("dkim", written, "is not written as DOMAIN:SELECTOR:FILE"));
            };
            let pem = fs::read(Path::new(file)).map_err(|_| wrong("dkim", written, "names a file that cannot be read"))?;
            DkimKey::read(domain, selector, &pem)
        };
        written.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The mail with a signature of each key of the domain that it is `from`; as it is where there is none.
    ///
    /// # Errors
    /// [`GatewayError::Field`] where `from` is no mailbox or the mail cannot be signed.
    pub fn sign(&self, from: &str, mail: Vec<u8>) -> Result<Vec<u8>, GatewayError> {
        if self.0.is_empty() {
            return Ok(mail);
        }
        let address = mailbox_address(from)?.to_ascii_lowercase();
        let domain = address.rsplit('@').next().unwrap_or_default();
        let mut headers = String::new();
        for key in self.0.iter().filter(|key| key.signs_for(domain)) {
            headers.push_str(&key.header(&mail)?);
        }
        let mut signed = headers.into_bytes();
        signed.extend_from_slice(&mail);
        Ok(signed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &[u8] = b"From: Shop <news@shop.example>\r\nTo: ann@home.example\r\nSubject: Hi\r\n\r\nHello\r\n";

    fn key(kind: DkimKind, domain: &str, selector: &str) -> DkimKey {
        DkimKey::read(domain, selector, new_dkim_key(kind).unwrap().as_bytes()).unwrap()
    }

    #[test]
    fn mail_is_signed_for_its_domain_by_each_of_its_keys() {
        let keys = vec![
            key(DkimKind::Rsa, "Shop.example", "r1"),
            key(DkimKind::Ed25519, "shop.example", "e1"),
            key(DkimKind::Ed25519, "other.example", "e1"),
        ];
        assert_eq!(keys[0].record_name(), "r1._domainkey.shop.example");
        assert!(keys[0].record().starts_with("v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"), "{}", keys[0].record());
        assert!(keys[1].record().starts_with("v=DKIM1; k=ed25519; p=") && keys[1].record().len() == 22 + 44);
        let dkim = Dkim::new(keys);
        let signatures = |from: &str| {
            let signed = String::from_utf8(dkim.sign(from, MAIL.to_vec()).unwrap()).unwrap();
            assert!(signed.ends_with(str::from_utf8(MAIL).unwrap()));
            let headers = signed[..signed.len() - MAIL.len()].replace("\r\n\t", "");
            headers.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let both = signatures("Shop <news@SHOP.example>");
        assert_eq!(both.len(), 2);
        assert!(both[0].contains("a=rsa-sha256") && both[1].contains("a=ed25519-sha256"), "{both:?}");
        for header in &both {
            assert!(header.contains("c=relaxed/relaxed") && header.contains("d=shop.example"), "{header}");
            assert!(header.contains("List-Unsubscribe-Post") && header.matches("From").count() == 2, "{header}");
        }
        assert_eq!(signatures("news@mail.shop.example").len(), 2);
        assert_eq!(signatures("news@myshop.example").len(), 0);
        assert_eq!(signatures("a@other.example").len(), 1);
    }

    #[test]
    fn what_is_no_key_says_what_to_do() {
        let pem = new_dkim_key(DkimKind::Ed25519).unwrap();
        let check = |domain: &str, selector: &str, pem: &str, expect: &str| {
            let error = DkimKey::read(domain, selector, pem.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check("shop", "s1", &pem, "is no domain; write `shop.example`");
        check("bücher.example", "s1", &pem, "with `xn--` for other letters");
        check("shop.example", "s 1", &pem, "is no selector");
        check("shop.example", "s1", "nothing", "make one with `sendlab dkim new`");
        check("shop.example", "s1", &pem.replace("PRIVATE KEY", "PUBLIC KEY"), "make one with `sendlab dkim new`");
        let error = Dkim::read(&["shop.example:s1".into()]).unwrap_err().to_string();
        assert!(error.contains("DOMAIN:SELECTOR:FILE"), "{error}");
        let error = Dkim::read(&["shop.example:s1:/none".into()]).unwrap_err().to_string();
        assert!(error.contains("cannot be read"), "{error}");
    }
}
