//! Links that lead nowhere.

use super::look::Look;
use super::{Note, Notes, Severity, Version};
use crate::Part;

/// What a mail program opens.
const SCHEMES: [&str; 7] = ["https:", "http:", "mailto:", "tel:", "sms:", "whatsapp:", "geo:"];
/// What only exists where the copy was written.
const LOCAL: [&str; 5] = ["localhost", "127.0.0.1", "0.0.0.0", "[::1]", ".local"];

/// Checks the links of one version.
pub(super) fn check(version: &Version<'_>, notes: &mut Notes<'_>) {
    for (part, look) in &version.parts {
        match part {
            Part::Html => {
                // `<link>` and `<base>` are not followed by anybody.
                let tags = look.tags.iter().filter(|tag| !matches!(tag.name.as_str(), "link" | "base"));
                for (at, link) in tags.filter_map(|tag| Some((tag.at, tag.attribute("href")?))) {
                    check_link(*part, at, link, notes);
                }
            }
            Part::Text => addresses(look).into_iter().for_each(|(at, link)| check_link(*part, at, link, notes)),
            Part::Subject => {}
        }
    }
}

/// Every word of a text that is an address, and where it stands.
fn addresses<'a>(look: &Look<'a>) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = look.raw[at..].find("http").map(|offset| at + offset) {
        let rest = &look.raw[start..];
        let length = rest.find(char::is_whitespace).unwrap_or(rest.len());
        if rest.starts_with("https://") || rest.starts_with("http://") {
            found.push((start, &rest[..length]));
        }
        at = start + length.max(1);
    }
    found
}

fn check_link(part: Part, at: usize, link: &str, notes: &mut Notes<'_>) {
    let Some((code, severity, why)) = fault(link) else { return };
    let found = if link.is_empty() { "an empty href".to_owned() } else { link.to_owned() };
    notes.add(Some((part, Some(at))), Note { code, severity, found, why, source: None });
}

/// What is wrong with an address.
fn fault(link: &str) -> Option<(&'static str, Severity, &'static str)> {
    if link.is_empty() || link == "#" {
        return Some(("link_empty", Severity::Problem, "nothing opens; write the address, or take the link away"));
    }
    let Some(fixed) = without_templates(link) else {
        return Some(("link_braces", Severity::Problem, "braces do not pair, so this is sent as it stands; write {{ name }}"));
    };
    if fixed.contains(['{', '}']) {
        return Some(("link_braces", Severity::Problem, "single braces are sent as they stand; write {{ name }}"));
    }
    if fixed.contains(char::is_whitespace) {
        return Some((
            "link_spaces",
            Severity::Problem,
            "blanks end an address in many mail programs; write %20 or take them out",
        ));
    }
    let lower = fixed.to_ascii_lowercase();
    // What is filled in first, or an anchor within the mail, is taken for good.
    if link.starts_with("{{") || link.starts_with("{%") || link.starts_with('#') {
        return None;
    }
    if !SCHEMES.iter().any(|scheme| lower.starts_with(scheme)) {
        return Some((
            "link_no_scheme",
            Severity::Problem,
            "without https:// it opens nothing in a mail; write the whole address",
        ));
    }
    let host = lower.split_once("://").map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or(rest));
    let name = host.map(|host| host.rsplit_once(':').map_or(host, |(name, _)| name));
    if name.is_some_and(|name| LOCAL.iter().any(|local| name == *local || (local.starts_with('.') && name.ends_with(local)))) {
        return Some(("link_local", Severity::Problem, "this machine is not where the reader is; write the public address"));
    }
    if host == Some("") && !link.contains("{{") {
        return Some(("link_empty", Severity::Problem, "there is no host; write the whole address"));
    }
    lower.starts_with("http:").then_some((
        "link_http",
        Severity::Hint,
        "unencrypted links are marked as unsafe by browsers and filters; write https:// if the page has it",
    ))
}

/// An address without what is filled in; `None` where `{{` and `}}` do not pair.
fn without_templates(link: &str) -> Option<String> {
    let mut fixed = String::new();
    let mut rest = link;
    loop {
        let next = ["{{", "{%"].into_iter().filter_map(|open| Some((rest.find(open)?, open))).min();
        let Some((start, open)) = next else { break };
        fixed.push_str(&rest[..start]);
        let close = if open == "{{" { "}}" } else { "%}" };
        let end = rest[start..].find(close)?;
        rest = &rest[start + end + close.len()..];
    }
    fixed.push_str(rest);
    (!fixed.contains("}}")).then_some(fixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_judged() {
        let check = |link: &str, expect: Option<&str>| assert_eq!(fault(link).map(|(code, ..)| code), expect, "{link}");
        for good in [
            "https://shop.example/a?b={{ c }}",
            "mailto:shop@shop.example",
            "tel:+33612345678",
            "{{ unsubscribe_url }}",
            "{% if a %}https://a.example{% else %}https://b.example{% endif %}",
            "#top",
            "https://{{ host }}/a",
            "HTTPS://SHOP.EXAMPLE",
        ] {
            check(good, None);
        }
        check("", Some("link_empty"));
        check("#", Some("link_empty"));
        check("https:///path", Some("link_empty"));
        check("www.shop.example", Some("link_no_scheme"));
        check("/sale", Some("link_no_scheme"));
        check("http://shop.example", Some("link_http"));
        check("http://localhost:8080/a", Some("link_local"));
        check("https://127.0.0.1/", Some("link_local"));
        check("https://shop.local/", Some("link_local"));
        check("https://shop.example/my page", Some("link_spaces"));
        check("https://shop.example/{id}", Some("link_braces"));
        check("https://shop.example/{{ id }", Some("link_braces"));
        check("https://shop.example/id }}", Some("link_braces"));
    }
}
