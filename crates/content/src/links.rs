//! Signed links: what a recipient's click, opened picture or unsubscription says about itself, so that nothing needs to
//! be looked up to understand it and nobody can make one up.
//!
//! A token is the base64url form, without padding, of one byte for the kind, one for the length of the message id, the
//! message id, the position and the target where there is one, and the first 16 bytes of an HMAC-SHA256 over all of that. The
//! kind is under the signature, so that the address of a picture can never be turned into an unsubscription; the target is
//! too, so that the redirect is not open to others.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};
use vocabulary::{CampaignId, ContactKey, MessageId, Step};

use crate::ContentError;

/// The longest target that is put into a link. Longer ones are left as they are: some mail clients cut addresses at
/// 2,048 characters, and a token is a third longer than what it holds.
pub const TARGET_BYTES_MAX: usize = 1_400;

/// The longest token that is looked at, so that a hostile caller cannot make the server hash megabytes.
pub const TOKEN_BYTES_MAX: usize = 4_096;

/// 128 bits are beyond guessing and keep links short.
const SIGNATURE_BYTES: usize = 16;

/// The first byte of a click that has a position, in two bytes before its target. It is not that of clicks without one, which
/// are in mails that people have.
const PLACED: u8 = b'n';

/// Keeps these signatures apart from any other use of the same key.
const PURPOSE: &[u8] = b"sendlab link 1";

/// The id of the message that a campaign sends to a contact, at a step where it sends several: 32 hexadecimal digits of a SHA-256,
/// always the same, so that a message that is tried twice can be told to be one.
#[must_use]
pub fn message_id(campaign: &CampaignId, contact: ContactKey, step: Option<&Step>) -> MessageId {
    let mut hash = Sha256::new().chain_update(campaign.as_str()).chain_update([0]).chain_update(contact.to_bytes());
    if let Some(step) = step {
        hash.update(step.as_str());
    }
    MessageId::of_hash(&hash.finalize().into())
}

/// A text as one part of an address: all but letters, digits and four signs are encoded (RFC 3986, section 2.3).
#[must_use]
pub fn percent_encoded(text: &str) -> String {
    const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, ENCODED).to_string()
}

/// What a link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// The picture that tells of an opening.
    Open,
    /// A redirect to its target.
    Click,
    /// The end of all messages.
    Unsubscribe,
    /// What the recipient wants to get.
    Preferences,
    /// A link that no person sees: whoever follows it is a machine. It has no target, because any page that it led to would
    /// count a visitor who is none.
    Trap,
}

impl LinkKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Open, Self::Click, Self::Unsubscribe, Self::Preferences, Self::Trap];

    fn byte(self) -> u8 {
        match self {
            Self::Open => b'o',
            Self::Click => b'c',
            Self::Unsubscribe => b'u',
            Self::Preferences => b'p',
            Self::Trap => b't',
        }
    }
}

/// What a genuine token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The message it was part of.
    pub message_id: MessageId,
    /// Where a click leads, exactly as it was written in the message; it may hold characters that an HTTP header may
    /// not. `None` for the other kinds.
    pub target: Option<String>,
    /// The place of a click among the tracked links of its part, from 0 on. `None` for the other kinds, and where the link
    /// was made without one.
    pub position: Option<u16>,
}

/// Makes and reads links.
#[derive(Clone)]
pub struct Links {
    keyed: Hmac<Sha256>,
    base_url: String,
}

impl Links {
    /// Links under `base_url`, such as `https://mail.shop.example`, signed with `key`.
    #[must_use]
    pub fn new(key: [u8; 32], base_url: &str) -> Self {
        let mut keyed = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
        keyed.update(PURPOSE);
        Self { keyed, base_url: base_url.trim_end_matches('/').to_owned() }
    }

    /// The address of the picture that tells that `message` was opened.
    #[must_use]
    pub fn open(&self, message: &MessageId) -> String {
        format!("{}/t/o/{}.gif", self.base_url, self.token(LinkKind::Open.byte(), message, None, ""))
    }

    /// The address that tells that `message` led somebody to `target`, and takes them there. `position` is its place among the tracked
    /// links of its part, from 0 on, where it has one.
    #[must_use]
    pub fn click(&self, message: &MessageId, target: &str, position: Option<u16>) -> String {
        let kind = if position.is_some() { PLACED } else { LinkKind::Click.byte() };
        format!("{}/t/c/{}", self.base_url, self.token(kind, message, position, target))
    }

    /// The address that no person follows, because none sees it. To a machine it looks like any other link.
    #[must_use]
    pub fn trap(&self, message: &MessageId) -> String {
        format!("{}/t/c/{}", self.base_url, self.token(LinkKind::Trap.byte(), message, None, ""))
    }

    /// The address that ends all messages to the recipient of `message`.
    #[must_use]
    pub fn unsubscribe(&self, message: &MessageId) -> String {
        format!("{}/t/u/{}", self.base_url, self.token(LinkKind::Unsubscribe.byte(), message, None, ""))
    }

    /// The page on which the recipient of `message` says what they want to get.
    #[must_use]
    pub fn preferences(&self, message: &MessageId) -> String {
        format!("{}/t/p/{}", self.base_url, self.token(LinkKind::Preferences.byte(), message, None, ""))
    }

    /// The page of a subscription form.
    #[must_use]
    pub fn form(&self, name: &str) -> String {
        format!("{}/f/{name}", self.base_url)
    }

    /// The address by which somebody confirms a subscription. The token is a secret of its own and is not signed.
    #[must_use]
    pub fn confirm(&self, token: &str) -> String {
        format!("{}/f/confirm/{token}", self.base_url)
    }

    /// The address at which a provider tells of the messages of a gateway.
    #[must_use]
    pub fn receipts(&self, gateway: &str) -> String {
        format!("{}/v1/receipts/{}", self.base_url, percent_encoded(gateway))
    }

    /// Whether `url` is one of these links already.
    #[must_use]
    pub fn is_own(&self, url: &str) -> bool {
        url.strip_prefix(&self.base_url).is_some_and(|path| path.starts_with("/t/"))
    }

    /// Reads the token of an address of this kind (the last part of its path, without `.gif`). The signature is
    /// compared in constant time.
    ///
    /// # Errors
    /// [`ContentError::ForgedLink`] when it was not made by [`Links`] with this key for this kind; it does not say
    /// what is wrong with it, so that nobody learns how to make a better one.
    pub fn read(&self, kind: LinkKind, token: &str) -> Result<Link, ContentError> {
        self.read_signed(kind, token).ok_or(ContentError::ForgedLink)
    }

    fn read_signed(&self, kind: LinkKind, token: &str) -> Option<Link> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (said, signature) = bytes.split_at_checked(bytes.len().checked_sub(SIGNATURE_BYTES)?)?;
        self.keyed.clone().chain_update(said).verify_truncated_left(signature).ok()?;
        let (&[kind_byte, id_length], rest) = said.split_first_chunk::<2>()?;
        let (id, rest) = rest.split_at_checked(usize::from(id_length))?;
        let (position, target) = match rest.split_first_chunk() {
            Some((position, target)) if kind_byte == PLACED => (Some(u16::from_be_bytes(*position)), target),
            _ => (None, rest),
        };
        let made = if position.is_some() { LinkKind::Click.byte() } else { kind_byte };
        if made != kind.byte() {
            return None;
        }
        let message_id = MessageId::new(str::from_utf8(id).ok()?).ok()?;
        let target = (kind == LinkKind::Click).then(|| str::from_utf8(target).map(str::to_owned)).transpose().ok()?;
        Some(Link { message_id, target, position })
    }

    fn token(&self, kind: u8, message: &MessageId, position: Option<u16>, target: &str) -> String {
        let id = message.as_str().as_bytes();
        let id_length = u8::try_from(id.len()).expect("ids are at most 128 bytes long");
        let mut bytes = Vec::with_capacity(4 + id.len() + target.len() + SIGNATURE_BYTES);
        bytes.extend_from_slice(&[kind, id_length]);
        bytes.extend_from_slice(id);
        bytes.extend(position.into_iter().flat_map(u16::to_be_bytes));
        bytes.extend_from_slice(target.as_bytes());
        let signature = self.keyed.clone().chain_update(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&signature[..SIGNATURE_BYTES]);
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn links() -> Links {
        Links::new([7; 32], "https://mail.shop.example/")
    }

    fn message() -> MessageId {
        MessageId::new("0123456789abcdef0123456789abcdef").unwrap()
    }

    fn token_of(url: &str) -> &str {
        url.rsplit('/').next().unwrap().trim_end_matches(".gif")
    }

    fn token(kind: LinkKind, target: &str) -> String {
        let url = match kind {
            LinkKind::Open => links().open(&message()),
            LinkKind::Click => links().click(&message(), target, None),
            LinkKind::Unsubscribe => links().unsubscribe(&message()),
            LinkKind::Preferences => links().preferences(&message()),
            LinkKind::Trap => links().trap(&message()),
        };
        token_of(&url).to_owned()
    }

    #[test]
    fn links_have_their_places() {
        let check = |url: String, start: &str, end: &str| {
            assert!(url.starts_with(start) && url.ends_with(end), "{url}");
            assert!(links().is_own(&url), "{url}");
        };
        check(links().open(&message()), "https://mail.shop.example/t/o/", ".gif");
        check(links().click(&message(), "https://shop.example", None), "https://mail.shop.example/t/c/", "");
        check(links().unsubscribe(&message()), "https://mail.shop.example/t/u/", "");
        check(links().trap(&message()), "https://mail.shop.example/t/c/", "");
        assert!(!links().is_own("https://mail.shop.example.evil/t/c/x"));
        assert!(!links().is_own("https://mail.shop.example/terms"));
    }

    #[test]
    fn only_clicks_have_targets() {
        let read = |kind| links().read(kind, &token(kind, "https://shop.example/?a=1&b=2")).unwrap();
        let untargeted = Link { message_id: message(), target: None, position: None };
        assert_eq!(read(LinkKind::Open), untargeted);
        assert_eq!(read(LinkKind::Click).target.as_deref(), Some("https://shop.example/?a=1&b=2"));
        assert_eq!(read(LinkKind::Unsubscribe), untargeted);
        assert_eq!(read(LinkKind::Trap), untargeted);
    }

    #[test]
    fn positions_are_read_by_clicks_alone() {
        let check = |target: &str, position: u16| {
            let url = links().click(&message(), target, Some(position));
            let expect = Link { message_id: message(), target: Some(target.to_owned()), position: Some(position) };
            assert!(url.starts_with("https://mail.shop.example/t/c/"), "{url}");
            assert!(url.len() <= links().click(&message(), target, None).len() + 3, "a position is short");
            for kind in LinkKind::ALL {
                let expect = if kind == LinkKind::Click { Ok(expect.clone()) } else { Err(ContentError::ForgedLink) };
                assert_eq!(links().read(kind, token_of(&url)), expect, "{kind:?}");
            }
        };
        check("https://shop.example", 0);
        check("https://shop.example", 1);
        check("", u16::from_be_bytes(*b"oc"));
        check("https://shop.example/?a=1#x", u16::MAX);
    }

    /// Made by other means from what the head of this file says; such links are in mails that people have.
    #[test]
    fn links_without_a_position_stay_good() {
        let token = "YyAwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZmh0dHBzOi8vc2hvcC5leGFtcGxlLz9hPTG642drhg-SQ1cHTN9g5dqR";
        let target = Some("https://shop.example/?a=1".to_owned());
        assert_eq!(links().read(LinkKind::Click, token), Ok(Link { message_id: message(), target, position: None }));
    }

    #[test]
    fn a_token_of_one_kind_is_no_token_of_another() {
        for made in LinkKind::ALL {
            for read in LinkKind::ALL {
                let answer = links().read(read, &token(made, "https://shop.example"));
                assert_eq!(answer.is_ok(), made == read, "{made:?} read as {read:?}");
            }
        }
    }

    #[test]
    fn another_key_does_not_read_it() {
        let stranger = Links::new([8; 32], "https://mail.shop.example");
        assert_eq!(stranger.read(LinkKind::Open, &token(LinkKind::Open, "")), Err(ContentError::ForgedLink));
    }

    #[test]
    fn odd_tokens_are_refused() {
        let check = |token: &str| assert_eq!(links().read(LinkKind::Click, token), Err(ContentError::ForgedLink), "{token:.40}");
        check("");
        check("AAAA");
        check("not base64url!");
        check(&"A".repeat(100));
        check(&"A".repeat(TOKEN_BYTES_MAX + 4));
        check(&format!("{}=", token(LinkKind::Click, "https://shop.example")));
    }

    proptest! {
        #[test]
        fn a_token_changed_in_any_byte_is_refused(
            at in any::<prop::sample::Index>(), to in any::<char>(), position in any::<u16>(), target in ".{0,60}",
        ) {
            let url = links().click(&message(), &target, Some(position));
            let genuine = token_of(&url);
            let mut changed: Vec<char> = genuine.chars().collect();
            let at = at.index(changed.len());
            prop_assume!(changed[at] != to);
            changed[at] = to;
            let changed: String = changed.into_iter().collect();
            prop_assert_eq!(links().read(LinkKind::Click, &changed), Err(ContentError::ForgedLink));
        }

        #[test]
        fn every_single_bit_matters(bit in any::<prop::sample::Index>()) {
            let mut bytes = URL_SAFE_NO_PAD.decode(token(LinkKind::Unsubscribe, "")).unwrap();
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(links().read(LinkKind::Unsubscribe, &URL_SAFE_NO_PAD.encode(bytes)).is_err());
        }

        #[test]
        fn a_cut_token_is_refused(keep in any::<prop::sample::Index>()) {
            let genuine = token(LinkKind::Click, "https://shop.example/very/long");
            let keep = keep.index(genuine.len());
            prop_assert!(links().read(LinkKind::Click, &genuine[..keep]).is_err());
        }

        #[test]
        fn what_was_written_is_read(id in "[a-zA-Z0-9 ._é-]{1,60}", target in ".{0,200}", position in any::<Option<u16>>()) {
            prop_assume!(!id.trim().is_empty());
            let id = MessageId::new(&id).unwrap();
            let url = links().click(&id, &target, position);
            let link = links().read(LinkKind::Click, token_of(&url)).unwrap();
            prop_assert_eq!(link, Link { message_id: id, target: Some(target), position });
        }
    }
}
