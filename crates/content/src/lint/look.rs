//! A part as its reader sees it: what is template or markup is blanked out in place, so that every byte keeps its line.
//!
//! This reads the HTML that people write for mail, with templates in it, and is no parser of all HTML: what it does not
//! understand it takes for text.

/// A tag with its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    /// In small letters.
    pub(super) name: String,
    /// Where its `<` stands.
    pub(super) at: usize,
    /// Where what follows it begins.
    pub(super) end: usize,
    /// Names in small letters, and values without quotes.
    pub(super) attributes: Vec<(String, &'a str)>,
}

impl<'a> Tag<'a> {
    /// The value of an attribute, without blanks around it.
    pub(super) fn attribute(&self, name: &str) -> Option<&'a str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.trim())
    }
}

/// One part, looked at.
#[derive(Debug)]
pub(super) struct Look<'a> {
    /// As it is written.
    pub(super) raw: &'a str,
    /// What is read, with blanks in the place of all else.
    pub(super) visible: String,
    /// The tags, in order.
    pub(super) tags: Vec<Tag<'a>>,
}

impl<'a> Look<'a> {
    pub(super) fn at(raw: &'a str, is_html: bool) -> Self {
        let mut hidden = templates(raw);
        let mut tags = Vec::new();
        if is_html {
            markup(raw, &hidden, &mut tags).into_iter().for_each(|range| hidden.push(range));
        }
        let mut visible = raw.to_owned().into_bytes();
        for (start, end) in hidden {
            visible[start..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        }
        // Ranges begin and end at ASCII signs, so what is left is whole characters.
        Self { raw, visible: String::from_utf8_lossy(&visible).into_owned(), tags }
    }

    /// The line of a byte, from 1.
    pub(super) fn line_of(&self, offset: usize) -> usize {
        1 + self.raw.as_bytes()[..offset.min(self.raw.len())].iter().filter(|byte| **byte == b'\n').count()
    }

    /// What is read, without the blanks that stand for templates and markup.
    pub(super) fn said(&self) -> String {
        let hidden = templates(self.raw);
        let mut said = String::new();
        let mut at = 0;
        for (start, end) in hidden {
            said.push_str(&self.raw[at..start]);
            at = end;
        }
        said.push_str(&self.raw[at..]);
        said
    }
}

/// The places of `{{ }}`, `{% %}` and `{# #}`, in order. What is not closed is text.
fn templates(raw: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = raw[at..].find('{').map(|offset| at + offset) {
        let close = match raw.as_bytes().get(start + 1) {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            Some(b'#') => "#}",
            _ => {
                at = start + 1;
                continue;
            }
        };
        match raw[start + 2..].find(close) {
            Some(offset) => {
                at = start + 2 + offset + 2;
                found.push((start, at));
            }
            None => at = start + 2,
        }
    }
    found
}

/// The places of tags, comments, styles and scripts; the tags go into `tags`.
fn markup<'a>(raw: &'a str, templates: &[(usize, usize)], tags: &mut Vec<Tag<'a>>) -> Vec<(usize, usize)> {
    let within = |at: usize| templates.iter().find(|(start, end)| (*start..*end).contains(&at)).map(|(_, end)| *end);
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = raw[at..].find('<').map(|offset| at + offset) {
        if let Some(end) = within(start) {
            at = end;
            continue;
        }
        if raw[start..].starts_with("<!--") {
            at = raw[start..].find("-->").map_or(raw.len(), |offset| start + offset + 3);
            found.push((start, at));
            continue;
        }
        let is_tag = raw[start + 1..].starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!'));
        if !is_tag {
            at = start + 1;
            continue;
        }
        let tag = tag(raw, start, &within);
        at = tag.end;
        if matches!(tag.name.as_str(), "style" | "script" | "title" | "mj-style") {
            let close = raw[at..].to_ascii_lowercase().find(&format!("</{}", tag.name));
            at = close.map_or(raw.len(), |offset| at + offset);
        }
        found.push((start, at));
        tags.push(tag);
    }
    found
}

/// The tag that begins at `start`.
fn tag<'a>(raw: &'a str, start: usize, within: &dyn Fn(usize) -> Option<usize>) -> Tag<'a> {
    let bytes = raw.as_bytes();
    let is_name = |at: usize| at < bytes.len() && !bytes[at].is_ascii_whitespace() && !matches!(bytes[at], b'=' | b'>');
    let run = |mut at: usize, goes_on: &dyn Fn(usize) -> bool| {
        while at < bytes.len() && goes_on(at) {
            at = within(at).unwrap_or(at + 1);
        }
        at
    };
    let is_blank = |at: usize| bytes[at].is_ascii_whitespace() || bytes[at] == b'/';
    let name_end = run(start + 1, &is_name);
    let mut attributes = Vec::new();
    let mut at = run(name_end, &is_blank);
    while at < bytes.len() && bytes[at] != b'>' {
        let key_end = run(at, &is_name).max(at + 1);
        let key = raw.get(at..key_end).unwrap_or_default().to_ascii_lowercase();
        at = run(key_end, &|at| bytes[at].is_ascii_whitespace());
        let mut value = "";
        if bytes.get(at) == Some(&b'=') {
            at = run(at + 1, &|at| bytes[at].is_ascii_whitespace());
            let quote = bytes.get(at).copied().filter(|byte| matches!(byte, b'"' | b'\''));
            let from = at + usize::from(quote.is_some());
            let end = match quote {
                Some(quote) => run(from, &|at| bytes[at] != quote),
                None => run(from, &|at| !bytes[at].is_ascii_whitespace() && bytes[at] != b'>'),
            };
            value = raw.get(from..end).unwrap_or_default();
            at = end + usize::from(quote.is_some());
        }
        attributes.push((key, value));
        at = run(at, &is_blank);
    }
    let name = raw[start + 1..name_end].trim_end_matches('/').to_ascii_lowercase();
    Tag { name, at: start, end: (at + 1).min(raw.len()), attributes }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn markup_and_templates_are_blanked_in_place() {
        let html = "<p class=a>Hi {{ name }}<!-- x --><br/>\n<style>p { }</style>5 < 6 {% if a < b %}é{% endif %}</p>";
        let look = Look::at(html, true);
        assert_eq!(look.visible.split_whitespace().collect::<Vec<_>>(), ["Hi", "5", "<", "6", "é"]);
        assert_eq!(look.visible.len(), html.len());
        assert_eq!(look.line_of(html.find('é').expect("is there")), 2);
        assert_eq!(Look::at("a {{ b }}{# c #}d {", false).said(), "a d {");
    }

    #[test]
    fn attributes_are_read_with_templates_in_them() {
        let html = r#"<A HREF="{{ url("x") }}?a=1" title='a > b' hidden><img src=x.png alt="">"#;
        let look = Look::at(html, true);
        let names: Vec<&str> = look.tags.iter().map(|tag| tag.name.as_str()).collect();
        assert_eq!(names, ["a", "img"]);
        assert_eq!(look.tags[0].attribute("href"), Some("{{ url(\"x\") }}?a=1"));
        assert_eq!(look.tags[0].attribute("title"), Some("a > b"));
        assert_eq!(look.tags[0].attribute("hidden"), Some(""));
        assert_eq!((look.tags[1].attribute("alt"), look.tags[1].attribute("width")), (Some(""), None));
    }

    proptest! {
        #[test]
        fn any_text_is_looked_at(text in "[<>/a-c=\"' {}%#!é猫\n-]{0,60}") {
            let look = Look::at(&text, true);
            prop_assert_eq!(look.visible.len(), text.len());
            prop_assert_eq!(look.visible.matches('\n').count(), text.matches('\n').count());
        }
    }
}
