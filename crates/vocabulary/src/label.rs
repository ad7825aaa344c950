//! Ids that people and other systems write: short, printable text, checked once where it enters.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest id in bytes. Ids are repeated in every row of the lake, so they are kept short.
pub const LABEL_BYTES_MAX: usize = 128;

/// The longest event id in bytes: Sendlab's own are made of another id and a few words.
pub const EVENT_ID_BYTES_MAX: usize = 256;

/// Why a text cannot be an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// The text is empty or only white space.
    #[error("is empty; give it at least one visible character")]
    Empty,
    /// The text has more bytes than its kind of id may have.
    #[error("is {bytes} bytes long; the limit is {limit}")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// The text holds a control character, such as a line break.
    #[error("holds a control character; use printable text only")]
    Control,
}

/// Checks that `text` can be an id of at most `limit` bytes.
///
/// # Errors
/// [`LabelError`] when it is empty, too long or holds control characters.
pub fn check(text: &str, limit: usize) -> Result<&str, LabelError> {
    // Nearly every id is short ASCII without spaces around it: one pass over its bytes decides that.
    // Without an early end, so that it is done with many bytes at a time.
    let plain = || text.bytes().fold(true, |plain, byte| plain & byte.is_ascii_graphic());
    if text.len() <= limit && !text.is_empty() && plain() {
        return Ok(text);
    }
    if text.trim().is_empty() {
        return Err(LabelError::Empty);
    }
    if text.len() > limit {
        return Err(LabelError::TooLong { bytes: text.len(), limit });
    }
    if text.chars().any(char::is_control) {
        return Err(LabelError::Control);
    }
    Ok(text)
}

/// Whether `text` can be a short name that also stands in addresses: up to 64 small letters, digits and hyphens.
pub(crate) fn is_name(text: &str) -> bool {
    let is_sign = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(is_sign)
}

/// Whether `text` can be a mailbox such as `Shop <news@shop.example>`, as far as can be told before it is taken apart.
#[must_use]
pub fn may_be_mailbox(text: &str) -> bool {
    text.contains('@') && !text.contains(char::is_control)
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident, $limit:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` and makes it an id.
            ///
            /// # Errors
            /// [`LabelError`] when it is empty, too long or holds control characters.
            pub fn new(text: &str) -> Result<Self, LabelError> {
                check(text, $limit).map(|text| Self(Arc::from(text)))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = LabelError;
            fn try_from(text: String) -> Result<Self, LabelError> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(label: $name) -> String {
                label.0.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

label!(
    /// Names one event for ever: a second event with the same id is the same event told again.
    EventId, EVENT_ID_BYTES_MAX
);
label!(
    /// Names one message to one contact. Sendlab's own are 32 hexadecimal digits.
    MessageId, LABEL_BYTES_MAX
);

impl MessageId {
    /// An id of Sendlab's own: the first 16 bytes of a hash.
    ///
    /// # Panics
    /// Never: hexadecimal digits are an id.
    #[must_use]
    pub fn of_hash(hash: &[u8; 32]) -> Self {
        let text: String = hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        Self::new(&text).expect("hexadecimal digits are an id")
    }
}

label!(
    /// Names a campaign.
    CampaignId, LABEL_BYTES_MAX
);
label!(
    /// Names an experiment.
    ExperimentId, LABEL_BYTES_MAX
);
label!(
    /// Names a variant within its experiment, such as `Mens E-Mail`.
    VariantName, LABEL_BYTES_MAX
);
label!(
    /// Names a pool of coupon codes.
    CouponPool, LABEL_BYTES_MAX
);
label!(
    /// Names an order in the shop's own system.
    OrderId, LABEL_BYTES_MAX
);
label!(
    /// Names a way out, such as `smtp`.
    Provider, LABEL_BYTES_MAX
);
label!(
    /// Names which of a campaign's messages to one contact it is, where there may be several, such as an entry of a trigger.
    Step, EVENT_ID_BYTES_MAX
);
label!(
    /// Names one recommendation.
    RecommendationId, LABEL_BYTES_MAX
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_checked_once() {
        let check = |text: &str, expect: Result<&str, LabelError>| {
            assert_eq!(VariantName::new(text).map(String::from), expect.map(str::to_owned), "{text:?}");
        };
        check("Mens E-Mail", Ok("Mens E-Mail"));
        check("早安", Ok("早安"));
        check(" \t", Err(LabelError::Empty));
        check("a\nb", Err(LabelError::Control));
        check(&"x".repeat(129), Err(LabelError::TooLong { bytes: 129, limit: 128 }));
    }
}
