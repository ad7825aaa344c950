//! Leads the links of an HTML part through signed ones, and adds the picture that tells of openings. The links of a text part
//! stay direct, because signed ones are long; they get the fields of web analytics.
//!
//! This is not an HTML parser: it copies what it reads byte by byte and changes nothing but the values of `href`. So
//! the sender's markup, however odd, arrives as it was written.

use std::borrow::Cow;
use std::fmt;

use vocabulary::MessageId;

use crate::html::escaped;
use crate::links::{Links, TARGET_BYTES_MAX, percent_encoded};

mod text;

pub use text::track_text;

/// How the links of a message are led.
#[derive(Clone, Copy)]
pub struct Tracking<'a> {
    /// Signs them.
    pub links: &'a Links,
    /// The message they are in.
    pub message: &'a MessageId,
    /// Fields that each target gets, by name, unless it has them: the `utm_` fields of web analytics.
    pub fields: &'a [(&'a str, String)],
    /// Whether there is a link that no person sees.
    pub has_trap: bool,
}

impl fmt::Debug for Tracking<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracking").field("message", self.message).field("fields", &self.fields).finish_non_exhaustive()
    }
}

/// Rewrites every `http` and `https` link so that following it tells of the click, except those that are
/// [`Links`] already, and adds the picture before the end of the body. Each knows its position among them; a link that is
/// there twice has two, and so has one that is written for Outlook and again for the others.
///
/// Addresses that the browser loads by itself (`<link>`, `<base>`) are left alone: nobody clicks on them.
#[must_use]
pub fn track(html: &str, how: &Tracking<'_>) -> String {
    let mut writer = Writer { how, position: 0, output: String::with_capacity(html.len() * 2) };
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        writer.output.push_str(&rest[..at]);
        rest = writer.copy_markup(&rest[at..]);
    }
    writer.output.push_str(rest);
    add_at_end(&mut writer.output, how);
    writer.output
}

/// What has been written so far.
struct Writer<'t> {
    how: &'t Tracking<'t>,
    /// The position of the next tracked link.
    position: u16,
    output: String,
}

impl Writer<'_> {
    /// Copies what starts with the `<` that `html` begins with, and gives back what follows it.
    fn copy_markup<'a>(&mut self, html: &'a str) -> &'a str {
        // Outlook reads what others take for a comment, so the links in there count as well.
        if html.starts_with("<!--") && !html.starts_with("<!--[if") {
            return copy_until_after(html, "-->", &mut self.output);
        }
        let name: &str = &html[1..=html[1..].find(|c: char| !c.is_ascii_alphanumeric() && c != ':').unwrap_or(html.len() - 1)];
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            self.output.push('<');
            return &html[1..];
        }
        let start = 1 + name.len();
        self.output.push_str(&html[..start]);
        let is_followed = !["link", "base"].iter().any(|loaded| name.eq_ignore_ascii_case(loaded));
        let rest = self.copy_attributes(&html[start..], is_followed);
        match ["script", "style"].iter().find(|raw| name.eq_ignore_ascii_case(raw)) {
            Some(raw) => copy_raw(rest, raw, &mut self.output),
            None => rest,
        }
    }

    /// Copies up to and with the `>` that ends a tag, which people follow or not.
    fn copy_attributes<'a>(&mut self, mut html: &'a str, is_followed: bool) -> &'a str {
        loop {
            let name_at = html.find(|c: char| !c.is_ascii_whitespace() && c != '/').unwrap_or(html.len());
            self.output.push_str(&html[..name_at]);
            html = &html[name_at..];
            if html.is_empty() {
                return html;
            }
            if let Some(rest) = html.strip_prefix('>') {
                self.output.push('>');
                return rest;
            }
            // A name may begin with `=`, which keeps odd markup from standing still.
            let first = html.chars().next().map_or(0, char::len_utf8);
            let name_end = html[first..].find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>' | '='));
            let (name, after) = html.split_at(name_end.map_or(html.len(), |end| first + end));
            self.output.push_str(name);
            html = self.copy_value(after, is_followed && name.eq_ignore_ascii_case("href"));
        }
    }

    /// Copies `= value` if it is there, with another value where it is a link to follow.
    fn copy_value<'a>(&mut self, html: &'a str, is_followed: bool) -> &'a str {
        let Some(after) = html.trim_ascii_start().strip_prefix('=') else { return html };
        let value = after.trim_ascii_start();
        self.output.push_str(&html[..html.len() - value.len()]);
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (raw, rest) = match quote {
            Some(quote) => match value[1..].split_once(quote) {
                Some(parts) => parts,
                None => {
                    self.output.push_str(value);
                    return "";
                }
            },
            None => value.split_at(value.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(value.len())),
        };
        let tracked = if is_followed { self.tracked(raw) } else { None };
        let quote = quote.or(tracked.is_some().then_some('"'));
        self.output.extend(quote);
        self.output.push_str(tracked.as_deref().unwrap_or(raw));
        self.output.extend(quote);
        rest
    }

    /// The signed link in place of `raw`, or `None` when it stays as it is.
    fn tracked(&mut self, raw: &str) -> Option<String> {
        let target = decoded(raw.trim_ascii());
        // Browsers drop these three from addresses, and a redirect must not carry them into a header.
        let target =
            if target.contains(['\t', '\n', '\r']) { Cow::Owned(target.replace(['\t', '\n', '\r'], "")) } else { target };
        let scheme = target.split_once("://").map_or("", |(scheme, _)| scheme);
        if !is_web(scheme) || target.len() > TARGET_BYTES_MAX || self.how.links.is_own(&target) {
            return None;
        }
        let with_fields = with_fields(&target, self.how.fields);
        // A target that the fields make too long is worth more without them than without its click.
        let target = if with_fields.len() <= TARGET_BYTES_MAX { &*with_fields } else { &*target };
        let position = self.position;
        // Whoever writes more links than that learns of the last ones that they are far down.
        self.position = position.saturating_add(1);
        Some(escaped(&self.how.links.click(self.how.message, target, Some(position))))
    }
}

/// Whether a browser opens it.
fn is_web(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")
}

/// A target with further fields in its query, before its fragment; those it has stay as they are.
fn with_fields<'a>(target: &'a str, fields: &[(&str, String)]) -> Cow<'a, str> {
    let (address, fragment) = target.split_at(target.find('#').unwrap_or(target.len()));
    let query = address.split_once('?').map(|(_, query)| query);
    let has = |name: &str| query.is_some_and(|query| query.split('&').any(|field| field.split('=').next() == Some(name)));
    let new: Vec<String> =
        fields.iter().filter(|(name, _)| !has(name)).map(|(name, value)| format!("{name}={}", percent_encoded(value))).collect();
    if new.is_empty() {
        return Cow::Borrowed(target);
    }
    let joint = match query {
        None => "?",
        Some(query) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    };
    Cow::Owned(format!("{address}{joint}{}{fragment}", new.join("&")))
}

/// Undoes the character references that addresses are written with: the five of XML, and numbers.
fn decoded(raw: &str) -> Cow<'_, str> {
    if !raw.contains('&') {
        return Cow::Borrowed(raw);
    }
    let mut output = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('&') {
        output.push_str(&rest[..at]);
        rest = &rest[at..];
        match reference(rest) {
            Some((character, length)) => {
                output.push(character);
                rest = &rest[length..];
            }
            None => {
                output.push('&');
                rest = &rest[1..];
            }
        }
    }
    output.push_str(rest);
    Cow::Owned(output)
}

/// The character that `text`, which starts with `&`, begins with in encoded form, and how long that form is.
fn reference(text: &str) -> Option<(char, usize)> {
    const NAMED: [(&str, char); 5] = [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>'), ("&quot;", '"'), ("&apos;", '\'')];
    if let Some((name, character)) = NAMED.into_iter().find(|(name, _)| text.starts_with(name)) {
        return Some((character, name.len()));
    }
    let number = text.strip_prefix("&#")?;
    let (digits, radix) = number.strip_prefix(['x', 'X']).map_or((number, 10), |digits| (digits, 16));
    let length = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    let character = u32::from_str_radix(&digits[..length], radix).ok().and_then(char::from_u32)?;
    let end = text.len() - digits.len() + length;
    Some((character, end + usize::from(text[end..].starts_with(';'))))
}

fn copy_until_after<'a>(html: &'a str, end: &str, output: &mut String) -> &'a str {
    let end = html.find(end).map_or(html.len(), |at| at + end.len());
    output.push_str(&html[..end]);
    &html[end..]
}

/// Copies the content of an element that holds no markup, up to its end tag.
fn copy_raw<'a>(html: &'a str, name: &str, output: &mut String) -> &'a str {
    let is_end = |at: usize| html.get(at + 2..at + 2 + name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name));
    let end = html.match_indices("</").map(|(at, _)| at).find(|at| is_end(*at)).unwrap_or(html.len());
    output.push_str(&html[..end]);
    &html[end..]
}

/// Adds the picture before the end of the body, and the link that no person sees: no size, no words, no place in the order of the
/// keys, nothing for who reads aloud.
fn add_at_end(html: &mut String, how: &Tracking<'_>) {
    let open = escaped(&how.links.open(how.message));
    let mut added = format!("<img src=\"{open}\" width=\"1\" height=\"1\" alt=\"\" style=\"display:block;border:0\">");
    if how.has_trap {
        let trap = escaped(&how.links.trap(how.message));
        added += &format!(
            "<a href=\"{trap}\" rel=\"nofollow\" aria-hidden=\"true\" tabindex=\"-1\" \
             style=\"display:none;mso-hide:all;max-height:0;overflow:hidden;font-size:0\"></a>"
        );
    }
    let is_body = |at: &usize| html.get(at + 2..at + 6).is_some_and(|found| found.eq_ignore_ascii_case("body"));
    let at = html.rmatch_indices("</").map(|(at, _)| at).find(is_body).unwrap_or(html.len());
    html.insert_str(at, &added);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LinkKind;
    use proptest::prelude::*;

    fn links() -> Links {
        Links::new([7; 32], "https://mail.shop.example")
    }

    fn message() -> MessageId {
        MessageId::new("0123456789abcdef0123456789abcdef").unwrap()
    }

    fn tracked_with(html: &str, fields: &[(&str, String)], has_trap: bool) -> String {
        track(html, &Tracking { links: &links(), message: &message(), fields, has_trap })
    }

    #[test]
    fn targets_get_the_fields_they_lack() {
        let fields = [("utm_source", "Shop & Co".to_owned()), ("utm_medium", "email".to_owned())];
        let check = |target: &str, expect: &str| assert_eq!(with_fields(target, &fields), expect);
        let both = "utm_source=Shop%20%26%20Co&utm_medium=email";
        check("https://shop.example", &format!("https://shop.example?{both}"));
        check("https://shop.example/?a=1#top", &format!("https://shop.example/?a=1&{both}#top"));
        check("https://shop.example/?#top", &format!("https://shop.example/?{both}#top"));
        check("https://shop.example/?utm_source=own", "https://shop.example/?utm_source=own&utm_medium=email");
        check("https://shop.example/?utm_sources=1&", &format!("https://shop.example/?utm_sources=1&{both}"));
        check("https://shop.example/?utm_medium=x&utm_source", "https://shop.example/?utm_medium=x&utm_source");
        let target_of = |html: &str| {
            let output = tracked_with(html, &fields, false);
            let token = output.split("/t/c/").nth(1).unwrap().split('"').next().unwrap();
            links().read(LinkKind::Click, token).unwrap().target.unwrap()
        };
        assert_eq!(
            target_of("<a href=\"https://shop.example/?a=1&amp;b=2\">x</a>"),
            format!("https://shop.example/?a=1&b=2&{both}")
        );
        let long = format!("https://shop.example/{}", "a".repeat(TARGET_BYTES_MAX - 30));
        assert_eq!(target_of(&format!("<a href=\"{long}\">x</a>")), long);
    }

    #[test]
    fn a_trap_is_seen_by_nobody() {
        let output = tracked_with("<body><p>Hi</p></body>", &[], true);
        let trap = output.split("<a href=\"").nth(1).unwrap();
        let token = trap.split("/t/c/").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(links().read(LinkKind::Trap, token), Ok(crate::Link { message_id: message(), target: None, position: None }));
        assert!(links().read(LinkKind::Click, token).is_err());
        for hidden in ["display:none", "aria-hidden=\"true\"", "tabindex=\"-1\"", "></a></body>"] {
            assert!(trap.contains(hidden), "{trap}");
        }
        assert!(!tracked_with("<body></body>", &[], false).contains("<a "));
    }

    #[test]
    fn links_know_their_positions() {
        let check = |html: &str, has_trap: bool, expect: &[&str]| {
            let output = tracked_with(html, &[], has_trap);
            let tokens = output.split("/t/c/").skip(1).map(|rest| rest.split(['"', '\'']).next().unwrap());
            let clicks = tokens.filter_map(|token| links().read(LinkKind::Click, token).ok());
            let found: Vec<_> = clicks.map(|link| (link.position, link.target.unwrap())).collect();
            let expect: Vec<_> = expect.iter().enumerate().map(|(at, target)| (Some(at as u16), (*target).to_owned())).collect();
            assert_eq!(found, expect, "{html}");
        };
        let (a, b) = ("https://a.example", "https://b.example");
        check(&format!("<a href='{a}'>"), false, &[a]);
        check(&format!("<p><a href={b}><area href=\"{a}\"><a href='{b}'>"), true, &[b, a, b]);
        check(&format!("<!--[if mso]><v:rect href='{a}'><![endif]--><a href='{a}'>"), false, &[a, a]);
        let own = links().unsubscribe(&message());
        check(&format!("<a href='mailto:x'><a href='{own}'><a href='#x'><base href='{b}'><a href='{a}'>"), true, &[a]);
        let long = "x".repeat(TARGET_BYTES_MAX);
        check(&format!("<a href='{a}'><a href='{a}/{long}'><!-- <a href='{a}'> --><a href='{b}'>"), false, &[a, b]);
        check(&format!("<a href='{a}/?x=1&amp;y=2#&#122;'>"), false, &["https://a.example/?x=1&y=2#z"]);
    }

    /// Tracks `html` and writes `[TARGET]` where a link to TARGET came out, and `[open]` for the picture.
    fn told(html: &str) -> String {
        let mut output = tracked_with(html, &[], false);
        let picture = format!(
            "<img src=\"{}\" width=\"1\" height=\"1\" alt=\"\" style=\"display:block;border:0\">",
            links().open(&message())
        );
        assert!(output.contains(&picture), "{output}");
        output = output.replace(&picture, "[open]");
        while let Some(at) = output.find("https://mail.shop.example/t/c/") {
            let start = at + "https://mail.shop.example/t/c/".len();
            let is_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            let end = start + output[start..].find(|c: char| !is_token(c)).unwrap();
            let link = links().read(LinkKind::Click, &output[start..end]).unwrap();
            output.replace_range(at..end, &format!("[{}]", link.target.unwrap()));
        }
        output
    }

    #[test]
    fn links_are_led_through_ours() {
        let check = |html: &str, expect: &str| assert_eq!(told(html), format!("{expect}[open]"));
        check("<a href=\"https://shop.example/a\">x</a>", "<a href=\"[https://shop.example/a]\">x</a>");
        check("<a class=b href='http://shop.example'>x</a>", "<a class=b href='[http://shop.example]'>x</a>");
        check("<a href=https://shop.example/x>y</a>", "<a href=\"[https://shop.example/x]\">y</a>");
        check("<A\n HREF = \"HTTPS://Shop.Example\" >x</A>", "<A\n HREF = \"[HTTPS://Shop.Example]\" >x</A>");
        check("<a href=\" https://s.example/?a=1&amp;b=2 \">", "<a href=\"[https://s.example/?a=1&b=2]\">");
        check("<a href=\"https:&#x2f;&#47;s.example&#x2F;x\">", "<a href=\"[https://s.example/x]\">");
        check("<a href=\"https://s.example/?a=1&copy=2&x\">", "<a href=\"[https://s.example/?a=1&copy=2&x]\">");
        check("<a title='>' href='https://s.example/>'>", "<a title='>' href='[https://s.example/>]'>");
        check("<area href='https://s.example'/>", "<area href='[https://s.example]'/>");
        check(
            "<!--[if mso]><v:rect href='https://s.example'/><![endif]-->",
            "<!--[if mso]><v:rect href='[https://s.example]'/><![endif]-->",
        );
    }

    #[test]
    fn everything_else_stays() {
        let check = |html: &str| assert_eq!(told(html), format!("{html}[open]"));
        check("");
        check("a < b, 1 <2, </a href='https://s.example'");
        check("<a href='mailto:a@shop.example'><a href=\"#top\"><a href='tel:+49'><a href=''><a href><a>");
        check("<a href=\"/relative\"><a href='//shop.example'><a data-href='https://s.example'>");
        check("<link rel=stylesheet href=\"https://s.example/a.css\"><base href='https://s.example'>");
        check("<img src=\"https://s.example/a.png\">");
        check("<!-- <a href='https://s.example'> --><style>a[href='https://s.example'] <a href='https://s.example'></style>");
        check("<a href='https://mail.shop.example/t/u/abc'>unsubscribe</a>");
        check("<a href='https:&#x2f;&#x2f;mail.shop.example&#x2f;t&#x2f;u&#x2f;abc'>unsubscribe</a>");
        check("<a ='x' / = > ok");
        check("<a href='https://unfinished");
    }

    #[test]
    fn long_targets_stay() {
        let long = format!("<a href='https://s.example/{}'>", "x".repeat(TARGET_BYTES_MAX));
        assert_eq!(told(&long), format!("{long}[open]"));
    }

    #[test]
    fn the_picture_is_in_the_body() {
        let check = |html: &str, expect: &str| assert_eq!(told(html), expect);
        check("<html><body>x</body></html>", "<html><body>x[open]</body></html>");
        check("<BODY>x</BODY >", "<BODY>x[open]</BODY >");
        check("x", "x[open]");
    }

    #[test]
    fn a_target_cannot_break_a_header() {
        assert_eq!(
            told("<a href='https://s.example/&#13;&#10;Set-Cookie:x'>"),
            "<a href='[https://s.example/Set-Cookie:x]'>[open]"
        );
    }

    fn encoded(target: &str, quote: char) -> String {
        let escape = |c: char| match c {
            '&' => "&amp;".to_owned(),
            '<' => "&#60;".to_owned(),
            '/' => "&#x2f;".to_owned(),
            c if c == quote => format!("&#{};", c as u32),
            c => c.to_string(),
        };
        target.chars().map(escape).collect()
    }

    proptest! {
        #[test]
        fn rewriting_then_reading_gives_the_target_back(path in "[^\\p{C}\\s]{0,80}", quote in prop::sample::select(vec!['"', '\''])) {
            let target = format!("https://shop.example/{path}");
            let html = format!("<p><a href={quote}{}{quote}>x</a></p>", encoded(&target, quote));
            prop_assert_eq!(told(&html), format!("<p><a href={quote}[{target}]{quote}>x</a></p>[open]"));
        }

        #[test]
        fn no_input_stops_it(html in "[<>a-b/='\" !-]{0,60}|.{0,60}") {
            let output = tracked_with(&html, &[], false);
            prop_assert!(output.len() > html.len());
        }
    }
}
