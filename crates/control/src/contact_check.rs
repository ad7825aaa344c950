//! What a contact must look like, field by field, each refusal with the fix.
//!
//! Addresses are checked lightly: only the receiving server knows which exist. What would break a mail header or a template
//! is refused.

use jiff::tz::TimeZone;

use crate::NewContact;

/// The longest own id of a contact, in bytes: as long as any other id.
pub(crate) const KEY_BYTES_MAX: usize = 128;
/// The longest address, in bytes (RFC 5321, section 4.5.3.1.3: a path of 256 with its angle brackets).
pub(crate) const EMAIL_BYTES_MAX: usize = 254;
/// The longest language tag, in bytes, that readers must accept (RFC 5646, section 4.4.1).
pub(crate) const LANGUAGE_BYTES_MAX: usize = 35;
/// Attributes of one contact. Each is a column to think of in an audience; nobody thinks of more.
pub(crate) const ATTRIBUTES_MAX: usize = 50;
/// The longest name of an attribute, in bytes.
pub(crate) const ATTRIBUTE_NAME_BYTES_MAX: usize = 64;
/// The longest value of an attribute, in bytes: a sentence, not a document.
pub(crate) const ATTRIBUTE_VALUE_BYTES_MAX: usize = 1024;

/// What is wrong with one field, and the fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {reason}")]
pub struct FieldError {
    /// The field, such as `email` or `attributes.size`.
    pub field: String,
    /// What is wrong and what to write instead.
    pub reason: String,
}

impl NewContact {
    /// Checks each field by itself, without looking anything up.
    ///
    /// # Errors
    /// [`FieldError`] for the first field that cannot be stored.
    pub fn check(&self) -> Result<(), FieldError> {
        let check = |field: &str, value: &Option<String>, check: fn(&str) -> Result<(), String>| match value {
            None => Ok(()),
            Some(value) => check(value).map_err(|reason| FieldError { field: field.to_owned(), reason }),
        };
        check_key(&self.key).map_err(|reason| FieldError { field: "key".to_owned(), reason })?;
        check("email", &self.email, check_email)?;
        check("country", &self.country, check_country)?;
        check("language", &self.language, check_language)?;
        check("time_zone", &self.time_zone, check_time_zone)?;
        check_attribute_count(self.attributes.len())?;
        for (name, value) in &self.attributes {
            check_attribute(name, value).map_err(|reason| FieldError { field: format!("attributes.{name}"), reason })?;
        }
        Ok(())
    }
}

/// Checks how many attributes a contact has, given or in all.
pub(crate) fn check_attribute_count(count: usize) -> Result<(), FieldError> {
    if count <= ATTRIBUTES_MAX {
        return Ok(());
    }
    Err(FieldError { field: "attributes".to_owned(), reason: format!("are {count}; a contact can have {ATTRIBUTES_MAX}") })
}

fn check_key(key: &str) -> Result<(), String> {
    if key.trim().is_empty() {
        return Err("is empty; give your own id of the contact".to_owned());
    }
    check_text(key, KEY_BYTES_MAX)
}

fn check_text(text: &str, bytes_max: usize) -> Result<(), String> {
    if text.len() > bytes_max {
        return Err(format!("is {} bytes long; the limit is {bytes_max}", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err("holds a control character, such as a line break; use printable text only".to_owned());
    }
    Ok(())
}

fn check_email(email: &str) -> Result<(), String> {
    check_text(email, EMAIL_BYTES_MAX)?;
    let is_forbidden = |c: char| c.is_whitespace() || matches!(c, '<' | '>' | ',' | ';' | '"' | '\\');
    let well_formed = match email.split_once('@') {
        Some((mailbox, domain)) => !mailbox.is_empty() && !domain.is_empty() && !domain.contains('@'),
        None => false,
    };
    if well_formed && !email.contains(is_forbidden) {
        return Ok(());
    }
    // The address is not repeated, because errors are logged.
    Err("is no address; write one as `name@domain`, without spaces, names or brackets, or leave it out".to_owned())
}

fn check_country(country: &str) -> Result<(), String> {
    if country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Ok(());
    }
    Err(format!("`{}` is no ISO 3166 country code; write two capital letters, such as DE", shortened(country)))
}

fn check_language(language: &str) -> Result<(), String> {
    let mut parts = language.split('-');
    let primary = parts.next().unwrap_or_default();
    let well_formed = (2..=3).contains(&primary.len())
        && primary.bytes().all(|byte| byte.is_ascii_alphabetic())
        && parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    if well_formed && language.len() <= LANGUAGE_BYTES_MAX {
        return Ok(());
    }
    Err(format!("`{}` is no BCP 47 language tag; write one such as `de` or `pt-BR`", shortened(language)))
}

fn check_time_zone(name: &str) -> Result<(), String> {
    let unknown = || format!("`{}` is no IANA time zone; write one such as `Europe/Berlin`", shortened(name));
    let zone = TimeZone::get(name).map_err(|_| unknown())?;
    match zone.iana_name() {
        Some(known) if known == name => Ok(()),
        Some(known) => Err(format!("`{name}` is written `{known}`")),
        None => Err(unknown()),
    }
}

fn check_attribute(name: &str, value: &str) -> Result<(), String> {
    if name.trim().is_empty() {
        return Err("has an empty name; give each attribute a name".to_owned());
    }
    check_text(name, ATTRIBUTE_NAME_BYTES_MAX).map_err(|reason| format!("has a bad name, which {reason}"))?;
    check_text(value, ATTRIBUTE_VALUE_BYTES_MAX)
}

/// The beginning of a value, so that a wrong value of a megabyte does not make an error of a megabyte.
fn shortened(value: &str) -> &str {
    const SHOWN_BYTES_MAX: usize = 40;
    &value[..value.floor_char_boundary(SHOWN_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut NewContact), expect: Option<(&str, &str)>) {
        let mut contact = NewContact { key: "1".into(), ..NewContact::default() };
        change(&mut contact);
        let found = contact.check().err().map(|error| (error.field, error.reason));
        let expect = expect.map(|(field, reason)| (field.to_owned(), reason.to_owned()));
        assert_eq!(found, expect, "{contact:?}");
    }

    #[test]
    fn good_contacts_pass() {
        check(|_| (), None);
        check(|c| c.key = "客户 42".into(), None);
        for email in ["a@b", "first.last+tag@shop.example", "o'neil@shop.example", "用户@例子.广告"] {
            check(|c| c.email = Some(email.into()), None);
        }
        for language in ["de", "pt-BR", "zh-Hans-CN", "yue", "sl-rozaj-biske-1994"] {
            check(|c| c.language = Some(language.into()), None);
        }
        for zone in ["Europe/Berlin", "Asia/Shanghai", "America/Argentina/Buenos_Aires", "UTC"] {
            check(|c| c.time_zone = Some(zone.into()), None);
        }
        check(|c| c.country = Some("BR".into()), None);
        check(|c| c.attributes = [("size".into(), "XL".into()), ("gone".into(), String::new())].into(), None);
    }

    #[test]
    fn bad_addresses_are_refused_without_repeating_them() {
        let no_address = "is no address; write one as `name@domain`, without spaces, names or brackets, or leave it out";
        for email in ["", "a", "@b", "a@", "a@b@c", "a b@c", "Ann <a@b>", "a@b,c", "a@b;", "a\u{3000}@b"] {
            check(|c| c.email = Some(email.into()), Some(("email", no_address)));
        }
        let control = "holds a control character, such as a line break; use printable text only";
        check(|c| c.email = Some("a@b\r\nBcc: c".into()), Some(("email", control)));
        check(
            |c| c.email = Some(format!("{}@b.example", "a".repeat(250))),
            Some(("email", "is 260 bytes long; the limit is 254")),
        );
    }

    #[test]
    fn other_bad_fields_are_named_with_the_fix() {
        check(|c| c.key = " ".into(), Some(("key", "is empty; give your own id of the contact")));
        check(|c| c.key = "k".repeat(129), Some(("key", "is 129 bytes long; the limit is 128")));
        for country in ["de", "DEU", "D1", ""] {
            let expect = format!("`{country}` is no ISO 3166 country code; write two capital letters, such as DE");
            check(|c| c.country = Some(country.into()), Some(("country", &expect)));
        }
        for language in ["german", "d", "de_DE", "de-", "de-longerthan8"] {
            let expect = format!("`{language}` is no BCP 47 language tag; write one such as `de` or `pt-BR`");
            check(|c| c.language = Some(language.into()), Some(("language", &expect)));
        }
        let expect = "`Mars/Olympus` is no IANA time zone; write one such as `Europe/Berlin`";
        check(|c| c.time_zone = Some("Mars/Olympus".into()), Some(("time_zone", expect)));
        check(|c| c.time_zone = Some("europe/berlin".into()), Some(("time_zone", "`europe/berlin` is written `Europe/Berlin`")));
    }

    #[test]
    fn attributes_have_limits() {
        let many = (0..51).map(|number| (format!("a{number}"), "x".to_owned())).collect();
        check(|c| c.attributes = many, Some(("attributes", "are 51; a contact can have 50")));
        let long = [("a".to_owned(), "x".repeat(1025))].into();
        check(|c| c.attributes = long, Some(("attributes.a", "is 1025 bytes long; the limit is 1024")));
        let control = "holds a control character, such as a line break; use printable text only";
        check(|c| c.attributes = [("a".to_owned(), "x\ny".to_owned())].into(), Some(("attributes.a", control)));
        let unnamed = [(String::new(), "x".to_owned())].into();
        check(|c| c.attributes = unnamed, Some(("attributes.", "has an empty name; give each attribute a name")));
    }
}
