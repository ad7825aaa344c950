//! A rendered copy becomes the bytes of a mail: `multipart/alternative` with the headers that bulk mail must have.
//!
//! The bytes are a function of the arguments alone, boundary and Message-ID included, so that a message that has to be
//! handed over again after a crash is the same message. They are 7-bit unless the recipient's address is not.

use content::Rendered;
use lettre::Address;
use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address as Mailbox;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::date::Date;
use mail_builder::headers::raw::Raw;
use mail_builder::headers::url::URL;
use mail_builder::mime::MimePart;
use vocabulary::{MessageId, Timestamp};

use crate::GatewayError;

/// A boundary has at most 70 characters (RFC 2046), and the id is part of it.
const MESSAGE_ID_BYTES_MAX: usize = 60;
/// A header line has at most 998 characters (RFC 5322).
const URL_BYTES_MAX: usize = 900;

/// What a mail is made of.
#[derive(Debug, Clone, Copy)]
pub struct MailParts<'a> {
    /// The sender's mailbox, such as `Shop <news@shop.example>`.
    pub from: &'a str,
    /// The recipient's address.
    pub to: &'a str,
    /// Becomes the Message-ID, together with the sender's domain.
    pub message_id: &'a MessageId,
    /// When it was written.
    pub date: Timestamp,
    /// Subject, HTML and text.
    pub rendered: &'a Rendered,
    /// What mail of a list must say; `None` for a message to one person, such as a code.
    pub list: Option<ListHeaders<'a>>,
}

/// What mail of a list must say.
#[derive(Debug, Clone, Copy)]
pub struct ListHeaders<'a> {
    /// Where a POST ends all messages (RFC 8058).
    pub unsubscribe_url: &'a str,
    /// Names the list (RFC 2919), such as `autumn.shop.example`; what a header cannot hold is written as `-`.
    pub list_id: &'a str,
    /// Names the campaign to mailbox providers, such as `autumn:mens:sendlab`; what a header cannot hold is written as `-`.
    pub feedback_id: &'a str,
}

/// Builds the mail.
///
/// # Errors
/// [`GatewayError::Field`] when an address, the id or a URL cannot be written into a header.
pub fn mime(parts: &MailParts<'_>) -> Result<Vec<u8>, GatewayError> {
    let (name, from) = mailbox("from", parts.from)?;
    let to = address("to", parts.to)?;
    let id = checked_id(parts.message_id)?;
    let subject = &parts.rendered.subject;
    if subject.chars().any(char::is_control) {
        return Err(wrong("subject", subject, "holds a control character; it must be one line"));
    }
    // `=_` cannot occur in quoted-printable or base64 text.
    let alternative = ContentType::new("multipart/alternative").attribute("boundary", format!("=_{id}"));
    let body =
        vec![MimePart::new("text/plain", parts.rendered.text.as_str()), MimePart::new("text/html", parts.rendered.html.as_str())];
    let mut output = Vec::new();
    let mut message = MessageBuilder::new()
        .from(Mailbox::new_address(name, from.to_string()))
        .to(to.to_string())
        .subject(subject.as_str())
        .date(Date::new(parts.date.as_second()))
        .message_id(format!("{id}@{}", from.domain()));
    if let Some(list) = parts.list {
        message = message
            .header("List-Id", Raw::new(format!("<{}>", plain(list.list_id, ""))))
            .header("List-Unsubscribe", URL::new(checked_url(list.unsubscribe_url)?))
            .header("List-Unsubscribe-Post", Raw::new("List-Unsubscribe=One-Click"))
            .header("Feedback-ID", Raw::new(plain(list.feedback_id, ":")));
    }
    message.body(MimePart::new(alternative, body)).serialize(&mut output);
    Ok(output)
}

/// The address in a mailbox: `news@shop.example` of `Shop <news@shop.example>`.
///
/// # Errors
/// [`GatewayError::Field`] when it is no mailbox.
pub fn mailbox_address(mailbox_text: &str) -> Result<String, GatewayError> {
    mailbox("from", mailbox_text).map(|(_, address)| address.to_string())
}

/// Reads `user@host`, `<user@host>`, `Name <user@host>` or `"Name, with signs" <user@host>`.
fn mailbox(field: &'static str, text: &str) -> Result<(Option<String>, Address), GatewayError> {
    let problem = "is no mailbox; write `Name <user@host>`";
    if text.chars().any(char::is_control) {
        return Err(wrong(field, text, problem));
    }
    let trimmed = text.trim();
    let Some((name, rest)) = trimmed.rsplit_once('<') else {
        return address(field, trimmed).map(|address| (None, address)).map_err(|_| wrong(field, text, problem));
    };
    let inner = rest.strip_suffix('>').ok_or_else(|| wrong(field, text, problem))?;
    let address = address(field, inner).map_err(|_| wrong(field, text, problem))?;
    let name = unquoted(name.trim()).ok_or_else(|| wrong(field, text, problem))?;
    Ok(((!name.is_empty()).then_some(name), address))
}

/// A display name without its quotes; `None` when they do not match, or when a name without quotes holds signs that
/// would make it several mailboxes.
fn unquoted(name: &str) -> Option<String> {
    let Some(inner) = name.strip_prefix('"') else {
        return (!name.contains(['"', '<', '>', ',', ';', '@'])).then(|| name.to_owned());
    };
    let inner = inner.strip_suffix('"')?;
    let mut output = String::new();
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => output.push(characters.next()?),
            '"' => return None,
            _ => output.push(character),
        }
    }
    Some(output)
}

/// Checks an address; what passes can stand between `<` and `>` of a command or a header.
pub(crate) fn address(field: &'static str, text: &str) -> Result<Address, GatewayError> {
    let parsed: Option<Address> = text.parse().ok();
    let is_plain =
        |address: &Address| !address.user().starts_with('"') && !text.chars().any(|c| c.is_control() || c.is_whitespace());
    parsed.filter(is_plain).ok_or_else(|| wrong(field, text, "is no e-mail address; write `user@host`"))
}

fn checked_id(id: &MessageId) -> Result<&str, GatewayError> {
    let text = id.as_str();
    let is_plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if is_plain && text.len() <= MESSAGE_ID_BYTES_MAX {
        return Ok(text);
    }
    Err(wrong("message_id", text, "is no id of ours; use at most 60 letters, digits, `-` and `_`"))
}

fn checked_url(url: &str) -> Result<&str, GatewayError> {
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    let is_plain = url.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b','));
    if is_web && is_plain && url.len() <= URL_BYTES_MAX {
        return Ok(url);
    }
    Err(wrong("unsubscribe_url", url, "cannot stand in a header; use an http or https URL of at most 900 plain characters"))
}

/// Keeps letters, digits, `.`, `-`, `_` and the characters of `also`; a `-` takes the place of others.
fn plain(text: &str, also: &str) -> String {
    let keeps = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') || also.contains(c);
    text.chars().map(|c| if keeps(c) { c } else { '-' }).collect()
}

pub(crate) fn wrong(field: &'static str, value: &str, problem: &'static str) -> GatewayError {
    GatewayError::Field { field, value: value.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered() -> Rendered {
        Rendered {
            subject: "Neue Schuhe für dich".into(),
            html: "<p>Grüße</p>\n.\n<p>dots</p>".into(),
            text: "Hello\n.\nyou".into(),
            ..Rendered::default()
        }
    }

    fn built(from: &str, to: &str, rendered: &Rendered) -> Result<String, String> {
        let message_id = MessageId::new("0123456789abcdef0123456789abcdef").unwrap();
        let parts = MailParts {
            from,
            to,
            message_id: &message_id,
            date: "2026-11-21T20:35:00Z".parse().unwrap(),
            rendered,
            list: Some(ListHeaders {
                unsubscribe_url: "https://mail.shop.example/t/u/abc",
                list_id: "autumn sale.shop.example",
                feedback_id: "autumn:mens e-mail:sendlab",
            }),
        };
        mime(&parts).map(|bytes| String::from_utf8(bytes).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_mail_is_the_same_every_time() {
        let expect = "From: \"Shop, Inc.\" <news@shop.example>\r\n\
                      To: <ann@home.example>\r\n\
                      Subject: =?utf-8?Q?Neue_Schuhe_f=C3=BCr_dich?=\r\n\
                      Date: Sat, 21 Nov 2026 20:35:00 +0000\r\n\
                      Message-ID: <0123456789abcdef0123456789abcdef@shop.example>\r\n\
                      List-Id: <autumn-sale.shop.example>\r\n\
                      List-Unsubscribe: <https://mail.shop.example/t/u/abc>\r\n\
                      List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\
                      Feedback-ID: autumn:mens-e-mail:sendlab\r\n\
                      MIME-Version: 1.0\r\n\
                      Content-Type: multipart/alternative;\r\n \
                      boundary=\"=_0123456789abcdef0123456789abcdef\"\r\n\
                      \r\n--=_0123456789abcdef0123456789abcdef\r\n\
                      Content-Type: text/plain; charset=\"utf-8\"\r\n\
                      Content-Transfer-Encoding: 7bit\r\n\r\n\
                      Hello\r\n.\r\nyou\r\n\
                      --=_0123456789abcdef0123456789abcdef\r\n\
                      Content-Type: text/html; charset=\"utf-8\"\r\n\
                      Content-Transfer-Encoding: quoted-printable\r\n\r\n\
                      <p>Gr=C3=BC=C3=9Fe</p>\r\n.\r\n<p>dots</p>\r\n\
                      --=_0123456789abcdef0123456789abcdef--\r\n";
        let mail = built("\"Shop, Inc.\" <news@shop.example>", "ann@home.example", &rendered()).unwrap();
        assert_eq!(mail, expect);
        assert!(mail.is_ascii());
    }

    #[test]
    fn mailboxes_are_read() {
        let check = |text: &str, expect: Option<(Option<&str>, &str)>| {
            let read = mailbox("from", text).ok().map(|(name, address)| (name, address.to_string()));
            assert_eq!(read, expect.map(|(name, address)| (name.map(String::from), address.to_owned())), "{text}");
        };
        check("news@shop.example", Some((None, "news@shop.example")));
        check(" <news@shop.example> ", Some((None, "news@shop.example")));
        check("Shop <news@shop.example>", Some((Some("Shop"), "news@shop.example")));
        check("Schöner Laden <news@shop.example>", Some((Some("Schöner Laden"), "news@shop.example")));
        check("\"A \\\"B\\\", C\" <news@shop.example>", Some((Some("A \"B\", C"), "news@shop.example")));
        check("a@b.example, Shop <news@shop.example>", None);
        check("Shop <news@shop.example", None);
        check("Shop news@shop.example", None);
        check("Shop <news>", None);
        check("Shop\r\nBcc: x@y.example <news@shop.example>", None);
        check("\"Shop <news@shop.example>", None);
        check("", None);
    }

    #[test]
    fn nothing_adds_a_header() {
        let check = |from: &str, to: &str, subject: &str, expect: &str| {
            let error = built(from, to, &Rendered { subject: subject.into(), ..rendered() }).unwrap_err();
            assert!(error.starts_with(expect), "{error}");
        };
        check("a@b.example\r\nX: y", "c@d.example", "s", "from: ");
        check("a@b.example", "c@d.example\r\nX: y", "s", "to: ");
        check("a@b.example", "\"c\r\nX\"@d.example", "s", "to: ");
        check("a@b.example", "c@d.example>, <e@f.example", "s", "to: ");
        check("a@b.example", "c@d.example", "s\r\nX: y", "subject: ");
    }

    #[test]
    fn odd_ids_and_urls_are_refused() {
        let message_id = MessageId::new("a b").unwrap();
        let rendered = rendered();
        let list = |unsubscribe_url| ListHeaders { unsubscribe_url, list_id: "l", feedback_id: "f" };
        let good = MailParts {
            from: "a@b.example",
            to: "c@d.example",
            message_id: &MessageId::new("abc").unwrap(),
            date: Timestamp::UNIX_EPOCH,
            rendered: &rendered,
            list: Some(list("https://x.example")),
        };
        assert!(mime(&good).is_ok());
        assert!(mime(&MailParts { message_id: &message_id, ..good }).is_err());
        assert!(mime(&MailParts { list: Some(list("mailto:a@b.example")), ..good }).is_err());
        assert!(mime(&MailParts { list: Some(list("https://x.example/>\r\nX: y")), ..good }).is_err());
    }
}
