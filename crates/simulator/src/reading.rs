//! How a shopper reads a mail: from its raw bytes, as a mail program does.

use mail_parser::MessageParser;

use crate::error::SimulatorError;
use crate::texts::{Understood, understand};

/// What a shopper finds in a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The subject line.
    pub subject: String,
    /// What it says; `None` when it says nothing that a shopper of this world understands.
    pub understood: Option<Understood>,
    /// The pictures a mail program loads, the tracking pixel among them.
    pub images: Vec<String>,
    /// The links one can follow, without the one that unsubscribes.
    pub links: Vec<String>,
    /// Where a one-click unsubscribe is posted to (RFC 8058).
    pub unsubscribe: Option<String>,
}

/// Reads a mail.
///
/// # Errors
/// [`SimulatorError::UnreadableMail`] when it is no MIME message with a subject and an HTML part.
pub fn read(raw: &[u8]) -> Result<Reading, SimulatorError> {
    let unreadable = |why: &'static str| SimulatorError::UnreadableMail { why };
    let message = MessageParser::default().parse(raw).ok_or_else(|| unreadable("it is no MIME message"))?;
    let subject = message.subject().ok_or_else(|| unreadable("it has no subject"))?.to_owned();
    let html = message.body_html(0).ok_or_else(|| unreadable("it has no HTML part"))?;
    let text = message.body_text(0).unwrap_or_default();
    let one_click = message.header_raw("List-Unsubscribe-Post").is_some_and(|value| value.trim() == "List-Unsubscribe=One-Click");
    let unsubscribe = message.header_raw("List-Unsubscribe").filter(|_| one_click).and_then(first_http_uri);
    let mut links = attributes(&html, "a", "href");
    links.retain(|link| is_http(link) && Some(link) != unsubscribe.as_ref());
    let mut images = attributes(&html, "img", "src");
    images.retain(|image| is_http(image));
    Ok(Reading { understood: understand(&subject, &text), subject, images, links, unsubscribe })
}

fn is_http(uri: &str) -> bool {
    uri.starts_with("http://") || uri.starts_with("https://")
}

/// The first web address of a header such as `<https://…>, <mailto:…>`, which may be folded over lines.
fn first_http_uri(header: &str) -> Option<String> {
    let unfolded: String = header.chars().filter(|c| !c.is_whitespace()).collect();
    unfolded.split(',').filter_map(|part| part.strip_prefix('<')?.strip_suffix('>')).find(|uri| is_http(uri)).map(str::to_owned)
}

/// The values of one attribute of every element of that name, in order, without the HTML escapes.
fn attributes(html: &str, element: &str, attribute: &str) -> Vec<String> {
    let tags = html.split('<').skip(1).filter_map(|rest| {
        let (name, inside) = rest.split_once(|c: char| c.is_whitespace())?;
        name.eq_ignore_ascii_case(element).then_some(inside)
    });
    tags.filter_map(|inside| attribute_value(inside, attribute)).map(|value| unescape(value.trim())).collect()
}

/// The value of an attribute in the inside of a tag: `class="x" href='y'>…`.
fn attribute_value<'a>(mut inside: &'a str, wanted: &str) -> Option<&'a str> {
    loop {
        inside = inside.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
        let name_end = inside.find(|c: char| c.is_whitespace() || "=>/".contains(c))?;
        let (name, rest) = inside.split_at(name_end);
        if name.is_empty() {
            return None;
        }
        let Some(value) = rest.trim_start().strip_prefix('=') else {
            inside = rest;
            continue;
        };
        let value = value.trim_start();
        let (value, rest) = match value.chars().next()? {
            quote @ ('"' | '\'') => value[1..].split_once(quote)?,
            _ => value.split_at(value.find(|c: char| c.is_whitespace() || c == '>')?),
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        inside = rest;
    }
}

/// Undoes the escapes that HTML writers use in addresses.
fn unescape(value: &str) -> String {
    let mut plain = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(start) = rest.find('&') {
        plain.push_str(&rest[..start]);
        rest = &rest[start..];
        let escape = rest.find(';').and_then(|end| Some((end, escaped_char(&rest[1..end])?)));
        let (length, char) = escape.map_or((1, '&'), |(end, char)| (end + 1, char));
        plain.push(char);
        rest = &rest[length..];
    }
    plain.push_str(rest);
    plain
}

fn escaped_char(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::Appeal;

    const SAMPLE: &str = "From: Shop <news@shop.example.test>\r\n\
        To: <c7@shoppers.example.test>\r\n\
        Subject: =?utf-8?Q?Livraison_offerte_jusqu=E2=80=99=C3=A0_dimanche?=\r\n\
        List-Unsubscribe: <mailto:stop@shop.example.test>,\r\n <http://127.0.0.1:1/t/u/abc>\r\n\
        List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\
        MIME-Version: 1.0\r\n\
        Content-Type: multipart/alternative; boundary=\"b\"\r\n\r\n\
        --b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
        Jusqu=E2=80=99=C3=A0 dimanche, nous payons les frais de port de chaque com=\r\nmande.\r\n\
        --b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
        <html><body><a class=3D'x' href=3D\"http://127.0.0.1:1/t/c/one?a=3D1&amp;b=3D2\">un</a>\r\n\
        <A HREF=3Dhttp://127.0.0.1:1/t/c/two>deux</A> <a href=3D\"http:&#x2f;&#x2f;127.0.0.1:1/t/u/abc\">stop</a>\r\n\
        <a href=3D\"#top\">haut</a><img width=3D1 src=3D\"http://127.0.0.1:1/t/o/p.gif\" /></body></html>\r\n\
        --b--\r\n";

    #[test]
    fn a_mail_is_read_from_its_bytes() {
        let reading = read(SAMPLE.as_bytes()).unwrap();
        assert_eq!(reading.subject, "Livraison offerte jusqu’à dimanche");
        assert_eq!(reading.understood, Some(Understood { appeal: Appeal::Benefit, language: "fr" }));
        assert_eq!(reading.links, ["http://127.0.0.1:1/t/c/one?a=1&b=2", "http://127.0.0.1:1/t/c/two"]);
        assert_eq!(reading.images, ["http://127.0.0.1:1/t/o/p.gif"]);
        assert_eq!(reading.unsubscribe.as_deref(), Some("http://127.0.0.1:1/t/u/abc"));
    }

    #[test]
    fn without_the_post_header_there_is_no_one_click() {
        let reading = read(SAMPLE.replace("List-Unsubscribe-Post", "X-Other").as_bytes()).unwrap();
        assert_eq!(reading.unsubscribe, None);
    }

    #[test]
    fn a_mail_without_html_is_refused() {
        let answer = read(b"Subject: x\r\nContent-Type: application/pdf\r\n\r\n%PDF");
        assert!(matches!(answer, Err(SimulatorError::UnreadableMail { .. })), "{answer:?}");
    }

    #[test]
    fn escapes_are_undone() {
        let check = |value: &str, expect: &str| assert_eq!(unescape(value), expect);
        check("a&amp;b&#38;c&#x3D;d", "a&b&c=d");
        check("a&b;c&", "a&b;c&");
        check("plain", "plain");
    }

    #[test]
    fn attributes_are_found_wherever_they_stand() {
        let check = |html: &str, expect: &[&str]| assert_eq!(attributes(html, "a", "href"), expect, "{html}");
        check("<a href=\"x\">", &["x"]);
        check("<a download data-href='n' href = 'x y' >", &["x y"]);
        check("<abbr href='x'><area href='y'>", &[]);
        check("<a>text</a><a href=x>", &["x"]);
        check("<a href=\"unclosed", &[]);
    }
}
