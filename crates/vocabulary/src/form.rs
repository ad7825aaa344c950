//! A subscription form as people write it: one market, one language, the words somebody agrees to.

use serde::{Deserialize, Serialize};

use crate::label::{is_name, may_be_mailbox};

/// A hosted form by which people subscribe to marketing by e-mail, and confirm it by an answer to a message (double opt-in).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    /// Its name, which is part of its address: small letters, digits and hyphens.
    pub form: String,
    /// ISO 3166 alpha-2 country whose rules it is made for; contacts get it as their country where theirs is unknown.
    pub country: String,
    /// BCP 47 language of its texts; contacts get it as theirs where it is unknown.
    pub language: String,
    /// The mailbox that asks for confirmation, such as `Shop <news@shop.example>`.
    pub from: String,
    /// The heading.
    pub title: String,
    /// The words they agree to, kept with each consent.
    pub wording: String,
    /// What stands before the field of the address.
    pub address_label: String,
    /// The button of the form.
    pub button: String,
    /// What is said after it: that a message comes which must be confirmed.
    pub sent: String,
    /// The message that asks.
    pub mail: FormMail,
    /// The button of the page that the message leads to.
    pub confirm: String,
    /// What is said after it.
    pub confirmed: String,
    /// The address of the privacy policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privacy_url: Option<String>,
    /// Tags that contacts get.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// The message that asks for confirmation. In both parts `{confirm_url}` stands for the link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormMail {
    /// The subject line.
    pub subject: String,
    /// The text, which must hold `{confirm_url}`.
    pub text: String,
}

/// What stands for the link in a [`FormMail`].
pub const CONFIRM_URL: &str = "{confirm_url}";

/// The longest text of a form, in bytes.
const TEXT_BYTES_MAX: usize = 4 * 1024;

impl Form {
    /// The first field that is wrong, with what is wrong and the fix.
    ///
    /// # Errors
    /// Field and reason.
    pub fn check(&self) -> Result<(), (String, String)> {
        let wrong = |field: &str, reason: String| Err((field.to_owned(), reason));
        if !is_name(&self.form) {
            return wrong("form", "is no name; use up to 64 small letters, digits and hyphens, such as newsletter-de".to_owned());
        }
        if !crate::is_country(&self.country) {
            return wrong("country", format!("`{}` is no ISO 3166 country code; write two capital letters", self.country));
        }
        let is_language = self.language.split('-').all(|part| (1..=8).contains(&part.len()) && part.is_ascii());
        if !is_language {
            return wrong("language", format!("`{}` is no BCP 47 language tag; write one such as de or pt-BR", self.language));
        }
        if !may_be_mailbox(&self.from) {
            return wrong("from", "is no mailbox; write `Shop <news@shop.example>`".to_owned());
        }
        let texts = [
            ("title", &self.title),
            ("wording", &self.wording),
            ("address_label", &self.address_label),
            ("button", &self.button),
            ("sent", &self.sent),
            ("mail.subject", &self.mail.subject),
            ("mail.text", &self.mail.text),
            ("confirm", &self.confirm),
            ("confirmed", &self.confirmed),
        ];
        for (field, text) in texts {
            if text.trim().is_empty() {
                return wrong(field, "is empty; write what people shall read".to_owned());
            }
            if text.len() > TEXT_BYTES_MAX {
                return wrong(field, format!("is {} bytes long; the limit is {TEXT_BYTES_MAX}", text.len()));
            }
        }
        if self.mail.subject.contains(char::is_control) {
            return wrong("mail.subject", "holds a line break; it must be one line".to_owned());
        }
        if !self.mail.text.contains(CONFIRM_URL) {
            return wrong("mail.text", format!("lacks {CONFIRM_URL}, by which people confirm"));
        }
        let is_web = |url: &String| url.starts_with("https://") || url.starts_with("http://");
        if self.privacy_url.as_ref().is_some_and(|url| !is_web(url)) {
            return wrong("privacy_url", "is no web address; write one such as https://shop.example/privacy".to_owned());
        }
        Ok(())
    }
}
