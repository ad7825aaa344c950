//! What a contact must look like, field by field, each refusal with the fix; and the one form in which each address is kept.
//!
//! Only the receiving server knows which addresses exist. What cannot be one, and what would break a mail header or a
//! template, is refused. No refusal repeats an address, because errors are logged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Once, PoisonError};

use jiff::tz::TimeZone;
use phonenumber::Mode;
use phonenumber::country::Id;
use vocabulary::{Channel, Profile, Timestamp, is_country};

use crate::consents::{NewConsent, check_consents};

/// The address of each channel, in its normal form.
pub type Addresses = BTreeMap<Channel, String>;

/// The longest own id of a contact, in bytes: as long as any other id.
pub(crate) const KEY_BYTES_MAX: usize = 128;
/// The longest address, in bytes (RFC 5321, section 4.5.3.1.3: a path of 256 with its angle brackets).
pub(crate) const EMAIL_BYTES_MAX: usize = 254;
/// The longest phone number as people write it, in bytes: 15 digits (E.164), spaces, brackets and an extension.
pub(crate) const PHONE_BYTES_MAX: usize = 64;
/// Compiled patterns of phone numbers that are kept: a country has about a dozen, and few people get messages in more than
/// a hundred countries.
const PATTERNS_MAX: usize = 2_000;
/// The longest language tag, in bytes, that readers must accept (RFC 5646, section 4.4.1).
pub(crate) const LANGUAGE_BYTES_MAX: usize = 35;
/// The longest id or token that a messenger or a push service gave out, in bytes. Web push subscriptions are the longest.
pub(crate) const TOKEN_BYTES_MAX: usize = 2048;
/// Interests of one contact, and as many tags.
pub(crate) const LABELS_MAX: usize = 50;
/// The longest interest, tag, market, device or source, in bytes.
pub(crate) const LABEL_BYTES_MAX: usize = 128;
/// Attributes of one contact. Each is a column to think of in an audience; nobody thinks of more.
pub(crate) const ATTRIBUTES_MAX: usize = 50;
/// The longest name of an attribute, in bytes.
pub(crate) const ATTRIBUTE_NAME_BYTES_MAX: usize = 64;
/// The longest value of an attribute, in bytes: a sentence, not a document.
pub(crate) const ATTRIBUTE_VALUE_BYTES_MAX: usize = 1024;

/// The longest note for people, in bytes: one line on a page.
pub(crate) const NOTE_BYTES_MAX: usize = 500;

/// What is wrong with one field, and the fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {reason}")]
pub struct FieldError {
    /// The field, such as `email` or `attributes.size`.
    pub field: String,
    /// What is wrong and what to write instead.
    pub reason: String,
}

impl FieldError {
    pub(crate) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

/// A contact as the customer's system knows them. What is absent stays as it is known; an attribute with an empty value is
/// taken away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewContact {
    /// The customer's own id of the contact.
    pub key: String,
    /// Addresses as people write them.
    pub addresses: Addresses,
    /// What is known of them. `phone_country` follows from the addresses.
    pub profile: Profile,
    /// When they registered; when they are first stored here, where it is not told.
    pub registered_at: Option<Timestamp>,
    /// What they said about being written to, since or at all.
    pub consents: Vec<NewConsent>,
}

/// A contact that passed [`NewContact::check`], with every address in its normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedContact(pub(crate) NewContact);

impl NewContact {
    /// Checks each field by itself, without looking anything up, and brings addresses into their normal form: e-mail with
    /// an ASCII domain in lower case (IDNA), phone numbers as E.164.
    ///
    /// # Errors
    /// [`FieldError`] for the first field that cannot be stored.
    pub fn check(mut self) -> Result<CheckedContact, FieldError> {
        check_key(&self.key).map_err(|reason| FieldError::new("key", reason))?;
        check_profile(&self.profile)?;
        check_consents(&self.consents)?;
        let country = self.profile.country.as_deref();
        for (channel, address) in &mut self.addresses {
            let normal = normal_address(*channel, address, country);
            let (normal, phone_country) = normal.map_err(|reason| FieldError::new(address_field(*channel), reason))?;
            *address = normal;
            if phone_country.is_some() {
                self.profile.phone_country = phone_country;
            }
        }
        Ok(CheckedContact(self))
    }
}

fn check_profile(profile: &Profile) -> Result<(), FieldError> {
    let check = |field: &str, value: &Option<String>, check: fn(&str) -> Result<(), String>| match value {
        None => Ok(()),
        Some(value) => check(value).map_err(|reason| FieldError::new(field, reason)),
    };
    check("country", &profile.country, check_country)?;
    check_region(profile)?;
    check("language", &profile.language, check_language)?;
    check("time_zone", &profile.time_zone, check_time_zone)?;
    check("market", &profile.market, check_country)?;
    check("device", &profile.device, check_label)?;
    check("source", &profile.source, check_label)?;
    check_labels("interests", &profile.interests)?;
    check_labels("tags", &profile.tags)?;
    check_attribute_count(profile.attributes.len())?;
    for (name, value) in &profile.attributes {
        check_attribute(name, value).map_err(|reason| FieldError::new(format!("attributes.{name}"), reason))?;
    }
    Ok(())
}

/// The name of the field that holds the address of a channel: `phone` for SMS, else the channel's own.
#[must_use]
pub fn address_field(channel: Channel) -> &'static str {
    match channel {
        Channel::Sms => "phone",
        other => other.as_str(),
    }
}

/// One address in its normal form. A phone number must be international.
pub(crate) fn normalised(channel: Channel, address: &str) -> Result<String, FieldError> {
    let normal = normal_address(channel, address, None);
    normal.map(|(address, _)| address).map_err(|reason| FieldError::new(address_field(channel), reason))
}

/// The address in its normal form and the country of a phone number.
fn normal_address(channel: Channel, address: &str, country: Option<&str>) -> Result<(String, Option<String>), String> {
    match channel {
        Channel::Email => normal_email(address).map(|address| (address, None)),
        Channel::Sms | Channel::Whatsapp => normal_phone(address, country),
        Channel::Wechat | Channel::Push | Channel::Line | Channel::Telegram => {
            check_text(address, TOKEN_BYTES_MAX)?;
            let address = address.trim();
            if address.is_empty() || address.contains(char::is_whitespace) {
                return Err("is no id: it is empty or holds a space; give the id as the service gave it, or leave it out".into());
            }
            Ok((address.to_owned(), None))
        }
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

pub(crate) fn check_text(text: &str, bytes_max: usize) -> Result<(), String> {
    if text.len() > bytes_max {
        return Err(format!("is {} bytes long; the limit is {bytes_max}", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err("holds a control character, such as a line break; use printable text only".to_owned());
    }
    Ok(())
}

/// Whether a text is made of parts with single dots between.
fn is_dotted(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('.') && !text.ends_with('.') && !text.contains("..")
}

/// A domain in ASCII and lower case (IDNA); `None` where there can be no such domain.
pub(crate) fn normal_domain(domain: &str) -> Option<String> {
    idna::domain_to_ascii_strict(domain).ok().filter(|domain| is_dotted(domain))
}

fn normal_email(email: &str) -> Result<String, String> {
    let email = email.trim();
    check_text(email, EMAIL_BYTES_MAX)?;
    let is_forbidden = |c: char| c.is_whitespace() || matches!(c, '<' | '>' | ',' | ';' | '"' | '\\' | '(' | ')' | ':');
    let no_address =
        || "is no address; write one as `name@domain`, without spaces, names or brackets, or leave it out".to_owned();
    let (mailbox, domain) = email.split_once('@').ok_or_else(no_address)?;
    if !is_dotted(mailbox) || domain.contains('@') || email.contains(is_forbidden) {
        return Err(no_address());
    }
    let domain = normal_domain(domain);
    let domain = domain.ok_or("has no domain that can exist; write one such as `name@shop.example`, or leave it out")?;
    let normal = format!("{mailbox}@{domain}");
    if normal.len() > EMAIL_BYTES_MAX {
        return Err(format!("is {} bytes long with an ASCII domain; the limit is {EMAIL_BYTES_MAX}", normal.len()));
    }
    Ok(normal)
}

fn normal_phone(phone: &str, country: Option<&str>) -> Result<(String, Option<String>), String> {
    check_text(phone, PHONE_BYTES_MAX)?;
    let home: Option<Id> = country.and_then(|country| country.parse().ok());
    let is_abroad = phone.trim_start().starts_with('+');
    if home.is_none() && !is_abroad {
        return Err("is no international number; write it with + and the country's code, or give `country`".to_owned());
    }
    PATTERNS_KEPT.call_once(|| {
        // The crate compiles its patterns when they are needed and keeps a hundred of them, which the numbers of a dozen
        // countries push out by turns; a shop's take a millisecond each then.
        let patterns = phonenumber::metadata::DATABASE.cache();
        patterns.lock().unwrap_or_else(PoisonError::into_inner).set_capacity(PATTERNS_MAX);
    });
    let number = phonenumber::parse(home, phone).ok().filter(phonenumber::is_valid);
    let number = number.ok_or_else(|| match country {
        Some(country) if !is_abroad => {
            format!("is no number that {country} has given out; check it, or write it with + and the country's code")
        }
        _ => "is no number that its country has given out; check it, or leave it out".to_owned(),
    })?;
    let country = number.country().id().map(|id| id.as_ref().to_owned());
    Ok((number.format().mode(Mode::E164).to_string(), country))
}

static PATTERNS_KEPT: Once = Once::new();

pub(crate) fn check_label(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("is empty; leave it out".to_owned());
    }
    check_text(text, LABEL_BYTES_MAX)?;
    check_no_address(text)
}

/// What is not an address is kept in clear, and most of it goes into the lake, where anybody who may ask SQL reads it. An
/// address in the wrong column must not.
fn check_no_address(text: &str) -> Result<(), String> {
    let has_dotted_domain = text.split_once('@').is_some_and(|(_, domain)| domain.contains('.'));
    if has_dotted_domain && normal_email(text).is_ok() {
        return Err("holds an e-mail address, which would be kept in clear; give it as `email`".to_owned());
    }
    Ok(())
}

/// Checks a line for people that is kept in clear.
pub(crate) fn check_note(field: &str, note: Option<&str>) -> Result<(), FieldError> {
    let check = |note| check_text(note, NOTE_BYTES_MAX).and_then(|()| check_no_address(note));
    note.map_or(Ok(()), check).map_err(|reason| FieldError::new(field, reason))
}

fn check_labels(field: &str, labels: &BTreeSet<String>) -> Result<(), FieldError> {
    if labels.len() > LABELS_MAX {
        return Err(FieldError::new(field, format!("are {}; a contact can have {LABELS_MAX}", labels.len())));
    }
    labels
        .iter()
        .try_for_each(|label| check_label(label))
        .map_err(|reason| FieldError::new(field, format!("holds one that {reason}")))
}

fn check_country(country: &str) -> Result<(), String> {
    match country {
        country if is_country(country) => return Ok(()),
        "UK" => return Err("`UK` is no ISO 3166 country code; write GB".to_owned()),
        _ => {}
    }
    Err(format!("`{}` is no ISO 3166 country code; write two capital letters, such as DE", shortened(country)))
}

fn check_region(profile: &Profile) -> Result<(), FieldError> {
    let Some(region) = &profile.region else { return Ok(()) };
    let wrong = |reason: String| Err(FieldError::new("region", reason));
    let Some((country, part)) = region.split_once('-') else {
        return wrong(format!("`{}` is no ISO 3166-2 code; write one such as US-FL", shortened(region)));
    };
    let is_part = (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
    if !is_country(country) || !is_part {
        return wrong(format!("`{}` is no ISO 3166-2 code; write one such as US-FL", shortened(region)));
    }
    match &profile.country {
        Some(other) if other != country => wrong(format!("`{region}` is no part of {other}")),
        _ => Ok(()),
    }
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

pub(crate) fn check_attribute_name(name: &str) -> Result<(), String> {
    if name.trim().is_empty() {
        return Err("has an empty name; give each attribute a name".to_owned());
    }
    check_text(name, ATTRIBUTE_NAME_BYTES_MAX).map_err(|reason| format!("has a bad name, which {reason}"))
}

fn check_attribute(name: &str, value: &str) -> Result<(), String> {
    check_attribute_name(name)?;
    check_text(value, ATTRIBUTE_VALUE_BYTES_MAX)?;
    check_no_address(value)
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
        let found = contact.clone().check().err().map(|error| (error.field, error.reason));
        let expect = expect.map(|(field, reason)| (field.to_owned(), reason.to_owned()));
        assert_eq!(found, expect, "{contact:?}");
    }

    #[test]
    fn good_contacts_pass() {
        check(|_| (), None);
        check(|c| c.key = "客户 42".into(), None);
        for language in ["de", "pt-BR", "zh-Hans-CN", "yue", "sl-rozaj-biske-1994"] {
            check(|c| c.profile.language = Some(language.into()), None);
        }
        for zone in ["Europe/Berlin", "Asia/Shanghai", "America/Argentina/Buenos_Aires", "UTC"] {
            check(|c| c.profile.time_zone = Some(zone.into()), None);
        }
        check(|c| c.profile.country = Some("BR".into()), None);
        check(|c| c.profile.region = Some("US-FL".into()), None);
        check(|c| (c.profile.country, c.profile.region) = (Some("CN".into()), Some("CN-31".into())), None);
        check(|c| c.profile.attributes = [("size".into(), "XL".into()), ("gone".into(), String::new())].into(), None);
    }

    /// What becomes of an address: its normal form, or the refusal.
    fn normal(channel: Channel, address: &str, country: Option<&str>) -> String {
        match normal_address(channel, address, country) {
            Ok((address, None)) => address,
            Ok((address, Some(country))) => format!("{address} {country}"),
            Err(reason) => {
                assert!(address.len() < 4 || !reason.contains(address), "an error repeats {address}");
                reason
            }
        }
    }

    #[test]
    fn mail_addresses_have_one_form() {
        let check = |email: &str, expect: &str| assert_eq!(normal(Channel::Email, email, None), expect, "{email}");
        check("a@b", "a@b");
        check(" First.Last+tag@Shop.EXAMPLE ", "First.Last+tag@shop.example");
        check("o'neil@shop.example", "o'neil@shop.example");
        check("用户@例子.广告", "用户@xn--fsqu00a.xn--4rr70v");
        check("a@Bücher.example", "a@xn--bcher-kva.example");
        let no_address = "is no address; write one as `name@domain`, without spaces, names or brackets, or leave it out";
        for email in ["", "a", "@b", "a@b@c", "a b@c", "Ann <a@b>", "a@b,c", "a@b;", "a\u{3000}@b", "a..b@c", ".a@b", "a.@b"] {
            check(email, no_address);
        }
        let no_domain = "has no domain that can exist; write one such as `name@shop.example`, or leave it out";
        for email in ["a@", "a@.b", "a@b..c", "a@b.", "a@-b.example", "a@b_c.example"] {
            check(email, no_domain);
        }
        check("a@b\r\nBcc: c", "holds a control character, such as a line break; use printable text only");
        check(&format!("{}@b.example", "a".repeat(250)), "is 260 bytes long; the limit is 254");
    }

    #[test]
    fn numbers_become_international() {
        let check = |phone: &str, country: Option<&str>, expect: &str| {
            assert_eq!(normal(Channel::Sms, phone, country), expect, "{phone} {country:?}");
            assert_eq!(normal(Channel::Whatsapp, phone, country), expect, "{phone} {country:?}");
        };
        check("+49 (0)30 / 2270-0", None, "+493022700 DE");
        check("030 22700", Some("DE"), "+493022700 DE");
        check("+1 212 736 5000", Some("DE"), "+12127365000 US");
        check("010-8888-8888", Some("CN"), "+861088888888 CN");
        check("(11) 91234-5678", Some("BR"), "+5511912345678 BR");
        check("030 22700", None, "is no international number; write it with + and the country's code, or give `country`");
        let not_given = "is no number that DE has given out; check it, or write it with + and the country's code";
        for phone in ["12", "0", "call me", "030 22700 22700 22700 22700"] {
            check(phone, Some("DE"), not_given);
        }
        check("+999 123456", None, "is no number that its country has given out; check it, or leave it out");
        check("+", None, "is no number that its country has given out; check it, or leave it out");
    }

    #[test]
    fn other_addresses_are_taken_as_the_service_gave_them() {
        assert_eq!(normal(Channel::Wechat, " oABC_def-1 ", None), "oABC_def-1");
        for channel in [Channel::Wechat, Channel::Push, Channel::Line, Channel::Telegram] {
            let refused = "is no id: it is empty or holds a space; give the id as the service gave it, or leave it out";
            assert_eq!(normal(channel, " ", None), refused);
            assert_eq!(normal(channel, "a b c d", None), refused);
        }
        check(|c| drop(c.addresses.insert(Channel::Sms, "1".into())), Some(("phone", &normal(Channel::Sms, "1", None))));
    }

    #[test]
    fn labels_have_limits() {
        check(|c| c.profile.source = Some(" ".into()), Some(("source", "is empty; leave it out")));
        check(|c| c.profile.device = Some("x".repeat(129)), Some(("device", "is 129 bytes long; the limit is 128")));
        let many = (0..51).map(|number| number.to_string()).collect();
        check(|c| c.profile.tags = many, Some(("tags", "are 51; a contact can have 50")));
        let control = "holds one that holds a control character, such as a line break; use printable text only";
        check(|c| c.profile.interests = ["a\nb".to_owned()].into(), Some(("interests", control)));
    }

    #[test]
    fn other_bad_fields_are_named_with_the_fix() {
        check(|c| c.key = " ".into(), Some(("key", "is empty; give your own id of the contact")));
        check(|c| c.key = "k".repeat(129), Some(("key", "is 129 bytes long; the limit is 128")));
        for country in ["de", "DEU", "D1", "XX", ""] {
            let expect = format!("`{country}` is no ISO 3166 country code; write two capital letters, such as DE");
            check(|c| c.profile.country = Some(country.into()), Some(("country", &expect)));
        }
        check(|c| c.profile.country = Some("UK".into()), Some(("country", "`UK` is no ISO 3166 country code; write GB")));
        for language in ["german", "d", "de_DE", "de-", "de-longerthan8"] {
            let expect = format!("`{language}` is no BCP 47 language tag; write one such as `de` or `pt-BR`");
            check(|c| c.profile.language = Some(language.into()), Some(("language", &expect)));
        }
        let expect = "`Mars/Olympus` is no IANA time zone; write one such as `Europe/Berlin`";
        check(|c| c.profile.time_zone = Some("Mars/Olympus".into()), Some(("time_zone", expect)));
        check(
            |c| c.profile.time_zone = Some("europe/berlin".into()),
            Some(("time_zone", "`europe/berlin` is written `Europe/Berlin`")),
        );
    }

    #[test]
    fn addresses_stay_out_of_what_the_lake_holds() {
        let readable = "holds an e-mail address, which would be kept in clear; give it as `email`";
        let with = |value: &str| [("note".to_owned(), value.to_owned())].into();
        check(|c| c.profile.attributes = with("Kim@Shop.example"), Some(("attributes.note", readable)));
        check(|c| c.profile.source = Some("kim@shop.example".into()), Some(("source", readable)));
        for harmless in ["@kim", "50 @ 3.20", "kim@work", "meet @shop.example"] {
            check(|c| c.profile.attributes = with(harmless), None);
        }
    }

    #[test]
    fn attributes_have_limits() {
        let many = (0..51).map(|number| (format!("a{number}"), "x".to_owned())).collect();
        check(|c| c.profile.attributes = many, Some(("attributes", "are 51; a contact can have 50")));
        let long = [("a".to_owned(), "x".repeat(1025))].into();
        check(|c| c.profile.attributes = long, Some(("attributes.a", "is 1025 bytes long; the limit is 1024")));
        let control = "holds a control character, such as a line break; use printable text only";
        check(|c| c.profile.attributes = [("a".to_owned(), "x\ny".to_owned())].into(), Some(("attributes.a", control)));
        let unnamed = [(String::new(), "x".to_owned())].into();
        check(|c| c.profile.attributes = unnamed, Some(("attributes.", "has an empty name; give each attribute a name")));
    }
}
