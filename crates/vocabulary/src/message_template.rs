//! A template as people write it for messages to one person: a code, a receipt, news of a parcel.

use serde::{Deserialize, Serialize};

use crate::label::{is_name, may_be_mailbox};
use crate::{Channel, Copy, MessageClass};

/// What is sent to one person at a time when another system says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageTemplate {
    /// Its name: small letters, digits and hyphens.
    pub template: String,
    /// Verification or transactional. Marketing goes by campaigns, which are counted.
    pub class: MessageClass,
    /// By which channel.
    #[serde(default = "email")]
    pub channel: Channel,
    /// The sender's mailbox, such as `Shop <orders@shop.example>`; e-mail alone has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// What it says. Values of the message are `data.NAME`.
    pub content: Copy,
    /// A message that could not be handed over so many minutes after it was told is given up; see [`MessageTemplate::expires`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_minutes: Option<u32>,
}

/// A code that comes later is a riddle: as long as most sites let one live.
const VERIFICATION_MINUTES: u32 = 10;
/// A receipt is still wanted the day after.
const TRANSACTIONAL_MINUTES: u32 = 24 * 60;
/// Three days: longer than a mail server is away.
const EXPIRES_MINUTES_MAX: u32 = 3 * 24 * 60;

fn email() -> Channel {
    Channel::Email
}

impl MessageTemplate {
    /// After how many minutes a message is given up: ten for a code, a day for anything else, where nothing else is written.
    #[must_use]
    pub fn expires(&self) -> u32 {
        self.expires_minutes.unwrap_or(match self.class {
            MessageClass::Verification => VERIFICATION_MINUTES,
            _ => TRANSACTIONAL_MINUTES,
        })
    }

    /// The first field that is wrong, with what is wrong and the fix. The content is checked where templates are compiled.
    ///
    /// # Errors
    /// Field and reason.
    pub fn check(&self) -> Result<(), (String, String)> {
        let wrong = |field: &str, reason: String| Err((field.to_owned(), reason));
        if !is_name(&self.template) {
            let reason = "is no name; use up to 64 small letters, digits and hyphens, such as login-code";
            return wrong("template", reason.to_owned());
        }
        if self.class == MessageClass::Marketing {
            let reason = "marketing is sent by campaigns; write verification or transactional, or make a triggered campaign";
            return wrong("class", reason.to_owned());
        }
        if self.channel == Channel::Email && !may_be_mailbox(&self.from) {
            return wrong("from", "is no mailbox; write `Shop <orders@shop.example>`".to_owned());
        }
        if self.channel != Channel::Email && !self.from.is_empty() {
            return wrong(
                "from",
                format!("is for e-mail; take it out: the gateway's settings name the sender by {}", self.channel),
            );
        }
        if !(1..=EXPIRES_MINUTES_MAX).contains(&self.expires()) {
            let reason = format!("is {}; write 1 to {EXPIRES_MINUTES_MAX}", self.expires());
            return wrong("expires_minutes", reason);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        let good = MessageTemplate {
            template: "login-code".to_owned(),
            class: MessageClass::Verification,
            channel: Channel::Email,
            from: "Shop <code@shop.example>".to_owned(),
            content: Copy::default(),
            expires_minutes: None,
        };
        assert_eq!((good.check(), good.expires()), (Ok(()), 10));
        let receipt = MessageTemplate { class: MessageClass::Transactional, ..good.clone() };
        assert_eq!(receipt.expires(), 24 * 60);
        let field = |template: MessageTemplate| template.check().unwrap_err().0;
        assert_eq!(field(MessageTemplate { template: "Login code".to_owned(), ..good.clone() }), "template");
        assert_eq!(field(MessageTemplate { class: MessageClass::Marketing, ..good.clone() }), "class");
        assert_eq!(field(MessageTemplate { from: "Shop".to_owned(), ..good.clone() }), "from");
        assert_eq!(field(MessageTemplate { channel: Channel::Sms, ..good.clone() }), "from");
        assert_eq!(field(MessageTemplate { expires_minutes: Some(0), ..good }), "expires_minutes");
    }
}
