//! The text part of a mail, made from its HTML.
//!
//! It is made of the template and not of each message, so that it costs nothing when messages are sent: expressions stay what
//! they are, and with them who reads what. What they leave behind, empty lines above all, is cleared away in each message.

use std::cell::RefCell;
use std::rc::Rc;

use lol_html::html_content::{Comment, Element, TextChunk, TextType};
use lol_html::{RewriteStrSettings, doc_comments, doc_text, element, rewrite_str};

use crate::mail::Problem;
use crate::markup::Masked;

/// Elements that begin and end a paragraph.
const PARAGRAPHS: [&str; 20] = [
    "address",
    "blockquote",
    "center",
    "div",
    "dl",
    "fieldset",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "ol",
    "p",
    "section",
    "table",
    "ul",
];
/// Elements that begin a line. They do not end one, or rows that a loop repeats would have empty lines between them.
const LINES: [&str; 4] = ["dd", "dt", "li", "tr"];

/// What has been written so far.
#[derive(Default)]
struct Writer {
    output: String,
    /// How many elements that are not shown are open.
    hidden: usize,
}

impl Writer {
    fn put(&mut self, text: &str) {
        if self.hidden == 0 {
            self.output.push_str(text);
        }
    }

    fn text(&mut self, text: &str) {
        // The line breaks of HTML are spaces.
        let flat = text.replace(['\n', '\r', '\t'], " ");
        self.put(&decoded(&flat));
    }
}

/// Without the character references of HTML. A brace stays one, and does not begin an expression.
fn decoded(html: &str) -> String {
    html_escape::decode_html_entities(html).replace('{', "{{ '{' }}")
}

/// The text of a template in HTML.
///
/// # Errors
/// Where the HTML cannot be read.
pub(crate) fn text_of(source: &str) -> Result<String, Problem> {
    let masked = Masked::new(source);
    let writer: Rc<RefCell<Writer>> = Rc::default();
    let (texts, comments, elements) = (writer.clone(), writer.clone(), writer.clone());
    let settings = RewriteStrSettings::new()
        .append_element_content_handler(element!("*", move |element: &mut Element<'_, '_>| {
            begin(&elements, element);
            Ok(())
        }))
        .append_document_content_handler(doc_text!(move |chunk: &mut TextChunk<'_>| {
            if chunk.text_type() == TextType::Data {
                texts.borrow_mut().text(chunk.as_str());
            }
            Ok(())
        }))
        .append_document_content_handler(doc_comments!(|comment: &mut Comment<'_>| {
            let text = comment.text();
            // Only that it is the word of an expression makes a comment part of the text.
            if masked.is_word(&text) {
                comments.borrow_mut().put(&text);
            }
            Ok(())
        }));
    rewrite_str(&masked.html, settings).map_err(|error| (1, format!("HTML: {error}")))?;
    let output = std::mem::take(&mut writer.borrow_mut().output);
    Ok(masked.restored(&output))
}

fn begin(writer: &Rc<RefCell<Writer>>, element: &mut Element<'_, '_>) {
    let name = element.tag_name();
    let mut now = writer.borrow_mut();
    let around = if PARAGRAPHS.contains(&name.as_str()) { "\n\n" } else { "" };
    now.put(if LINES.contains(&name.as_str()) { "\n" } else { around });
    match name.as_str() {
        "br" => now.put("\n"),
        "hr" => now.put("\n\n"),
        "li" => now.put("- "),
        "img" => now.text(&element.get_attribute("alt").unwrap_or_default()),
        _ => {}
    }
    let style: String = element.get_attribute("style").unwrap_or_default().split_whitespace().collect();
    let is_hidden = style.to_ascii_lowercase().contains("display:none") || element.has_attribute("hidden");
    let start = now.output.len();
    let target = if name == "a" { element.get_attribute("href") } else { None };
    let Some(handlers) = element.end_tag_handlers() else { return };
    now.hidden += usize::from(is_hidden);
    let writer = writer.clone();
    handlers.push(Box::new(move |_| {
        let mut now = writer.borrow_mut();
        now.hidden -= usize::from(is_hidden);
        if let Some(target) = &target {
            link(&mut now, start, target);
        }
        now.put(if matches!(name.as_str(), "td" | "th") { " " } else { around });
        Ok(())
    }));
}

/// Writes where a link leads behind its words, unless the words say it.
fn link(writer: &mut Writer, start: usize, target: &str) {
    let target = decoded(target.trim());
    let says = writer.output.get(start..).unwrap_or_default().trim();
    let bare = target.strip_prefix("mailto:").or(target.strip_prefix("tel:")).unwrap_or(target.as_str());
    if target.is_empty() || target.starts_with('#') || says == bare {
        return;
    }
    let written = if says.is_empty() { target } else { format!(" ({target})") };
    writer.put(&written);
}

/// Without spaces at the ends of lines, runs of spaces, and more than one empty line at a time.
pub(crate) fn squeezed(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    let mut empty = 0;
    for line in text.lines() {
        let mut words = line.split([' ', '\t', '\u{a0}']).filter(|word| !word.is_empty()).peekable();
        if words.peek().is_none() {
            empty += 1;
            continue;
        }
        if !output.is_empty() {
            output.push_str(if empty > 0 { "\n\n" } else { "\n" });
        }
        empty = 0;
        for (place, word) in words.enumerate() {
            if place > 0 {
                output.push(' ');
            }
            output.push_str(word);
        }
    }
    output
}
